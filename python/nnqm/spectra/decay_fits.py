"""Fits of one correlator with its full covariance: averages over windows, and sums of exponentials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._arguments import Floats
from ..statistics.estimate import Estimate
from .positive_sums import CUT_COST, POOR_FIT, Fit, Shape, grow, rate_of, refine, with_constant

__all__: list[str] = []

# Late values of fast terms are too small for float64: zero is meant.
_tiny_is_zero = np.errstate(under="ignore")

# Most steps of a fit with a term that alternates in a window.
_STEPS = 80

# Probability of the windows that bound the spread, below which it is unknown.
_BOUNDED = 0.99

# Points more than parameters in the shortest window of a plateau.
_FREEDOM = 2


@dataclass(frozen=True, eq=False, repr=False)
class Points:
    """Points of a correlator to which sums are fitted; times over hbar and values in units that make them near 1."""

    shape: Shape
    values: Estimate  # (K,)
    covariance: Floats  # (K, K)
    n_samples: int | None  # from which the covariance is estimated

    def __len__(self) -> int:
        return len(self.values)

    def later(self, first: int) -> Points:
        """The points from a position on."""
        return replace(
            self,
            shape=self.shape.later(first),
            values=self.values[first:],
            covariance=self.covariance[first:, first:],
        )

    @cached_property
    def white(self) -> Floats:
        """Matrix that makes the values independent, with errors of 1, shape (K, K)."""
        # The correlation matrix is decomposed: its condition does not depend on how fast the errors fall.
        scale = 1 / np.sqrt(np.diag(self.covariance))
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.covariance * scale[:, None] * scale)) * scale)

    @property
    def errors(self) -> Floats:
        """Errors of the values, shape (K,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def chi_factor(self) -> float:
        """Factor that makes chi^2 from an estimated covariance unbiased.

        Hartlap, Simon and Schneider, Astron. Astrophys. 464, 399 (2007).
        """
        return 1.0 if self.n_samples is None else (self.n_samples - len(self) - 2) / (self.n_samples - 1)

    def p_value(self, fit: Fit) -> float:
        """Probability of a larger chi^2: Hotelling's test if the covariance is estimated."""
        from scipy.special import chdtrc, fdtrc

        freedom = len(fit.residual) - fit.n_parameters
        if freedom < 1:
            return 1.0
        if self.n_samples is None:
            return float(chdtrc(freedom, fit.chi_squared))
        n = self.n_samples
        return float(fdtrc(freedom, n - freedom, fit.chi_squared * (n - freedom) / (freedom * (n - 1))))

    def inflation(self, fit: Fit) -> float:
        r"""Variance of a fit parameter over what the estimated covariance gives.

        It is :math:`(\nu + \chi^2)/(\nu - q)` with q points more than parameters and a covariance of :math:`\nu`
        degrees of freedom: exact for Gaussian blocks, whatever chi^2 (C. R. Rao, Proc. 5th Berkeley Symp. 1, 355
        (1967)). The energy then has Student's distribution of :math:`\nu - q` degrees of freedom.
        """
        if self.n_samples is None:
            return 1.0
        freedom = self.n_samples - 1
        return (freedom + fit.chi_squared) / (freedom - len(fit.residual) + fit.n_parameters)

    def linear(self, value: float, row: Floats, inflation: float) -> Estimate:
        """An estimate whose replicas follow the data linearly, with its variance multiplied by a factor."""
        return self.values.map_replicas(lambda g: value + np.sqrt(inflation) * ((g - self.values.value) @ row))


@dataclass(frozen=True, eq=False, repr=False)
class _Window:
    """A fit to the points from ``first`` on."""

    first: int
    points: Points
    fit: Fit

    @property
    def information(self) -> float:
        fit = self.fit
        return self.points.chi_factor * fit.chi_squared + 2 * fit.n_parameters + CUT_COST * self.first

    def determines(self, flip: bool) -> bool:
        """Whether the fit says something on the first energy of a kind: its size, or that there is no decay."""
        at = np.flatnonzero(self.fit.flips == flip)
        if not at.size:
            return False
        energy = self.fit.energies[at[0]]
        error = float(np.hypot.reduce(self.fit.rows[len(self.fit.energies) + at[0]]))
        t = self.points.shape.t
        return bool(error < energy or (energy + error) * (t[-1] - t[0]) < 1)

    def change(self, i: int) -> Floats:
        """Change of parameter i with each value, those before the window included."""
        return np.concatenate([np.zeros(self.first), self.fit.rows[i] @ self.points.white])

    @property
    def slope(self) -> Floats:
        """Change of the information with each value."""
        return np.concatenate(
            [np.zeros(self.first), 2 * self.points.chi_factor * self.fit.residual @ self.points.white]
        )


@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    """Fits of the same parameters with their probabilities, by information; ``share`` is that of all of them."""

    points: Points
    windows: list[_Window]
    chance: Floats
    share: float = 1.0

    @classmethod
    @_tiny_is_zero
    def of(cls, points: Points, windows: list[_Window], everything: list[_Window]) -> Mixture | None:
        """Some of all windows, or None if these have no probability."""
        if not windows:
            return None
        lowest = min(window.information for window in everything)
        chance = np.array([np.exp(-(window.information - lowest) / 2) for window in windows])
        share = float(chance.sum() / sum(np.exp(-(window.information - lowest) / 2) for window in everything))
        return cls(points, windows, chance / chance.sum(), share) if share > 1e-12 else None

    @property
    def best(self) -> _Window:
        """The most probable window."""
        return self.windows[int(np.argmax(self.chance))]

    @property
    def p_value(self) -> float:
        return self.best.points.p_value(self.best.fit)

    @_tiny_is_zero
    def weight(self, places: list[int]) -> Estimate:
        """Average of the weight of the exponential that stands at a place in each fit."""
        return self._parameter(places)

    @_tiny_is_zero
    def energy(self, places: list[int]) -> Estimate:
        """Average of its energy; the systematic error is the average spread."""
        parts = list(zip(self.chance, self.windows, places, strict=True))
        spreads = np.array([window.fit.spread(j) for _, window, j in parts])
        # Late windows of too few points bound nothing. They are left out as long as they hardly count.
        bounded = np.isfinite(spreads)
        known = bounded if self.chance[bounded].sum() > _BOUNDED else self.chance > 0
        spread = np.sqrt(self.chance[known] @ spreads[known] ** 2 / self.chance[known].sum())
        found = self._parameter([len(window.fit.energies) + j for _, window, j in parts])
        return found.with_systematic(spread)

    def _parameter(self, places: list[int]) -> Estimate:
        parts = list(zip(self.chance, self.windows, places, strict=True))
        average = float(sum(p * window.fit.parameters[i] for p, window, i in parts))
        row = np.zeros(len(self.points))
        for p, window, i in parts:
            row += p * (window.change(i) - 0.5 * (window.fit.parameters[i] - average) * window.slope)
        inflation = float(sum(p * window.points.inflation(window.fit) for p, window, _ in parts))
        return self.points.linear(average, row, inflation)


@_tiny_is_zero
def plateaus(points: Points) -> tuple[Mixture | None, Mixture | None]:
    """Windows with one exponential, and with one that alternates if the shape has signs.

    If the shape is periodic, a constant of either sign is tried in each window.
    """
    windows: list[_Window] = []
    pair: Floats | None = None
    for first in range(len(points) - 1 - _FREEDOM):
        rest = points.later(first)
        fits = _window_fits(rest, pair)
        windows += [_Window(first, rest, fit) for fit in fits]
        if len(fits[-1].energies) == 2:
            pair = fits[-1].energies
    plain, other = ([w for w in windows if w.determines(flip)] for flip in (False, True))
    return Mixture.of(points, plain, windows), Mixture.of(points, other, windows)


def _window_fits(points: Points, pair: Floats | None) -> list[Fit]:
    """The fits that are tried in a window; ``pair`` are the energies of both kinds in the window before."""
    shape, g, white = points.shape, points.values.value, points.white
    start = rate_of(shape.t, g)
    fits = [refine(shape, g, white, [start])]
    if shape.half is not None and len(points) >= 3 + _FREEDOM:
        fits.append(with_constant(fits[0], g))
    if shape.signs is not None:
        # In late windows a term is often not needed, and its fit never converges.
        fits.append(refine(shape, g, white, [start], 0.0, np.array([True]), steps=_STEPS))
        if len(points) >= 4 + _FREEDOM:
            # Each parity of the steps sees the sum or the difference of the two terms: starts from either side.
            sides = [[start, start], [0.5 * start, start], [start, 0.5 * start], [start, 2 * start]]
            starts = np.array(sides) if pair is None else np.array([pair, sides[0]])
            trials = [refine(shape, g, white, s, 0.0, np.array([False, True]), steps=_STEPS) for s in starts]
            fits.append(min(trials, key=lambda fit: fit.chi_squared))
    return fits


@_tiny_is_zero
def exponentials(points: Points, most: int, *, cut: int = 1) -> Mixture:
    """The sum that the points demand; ``cut`` early points are left out while its p-value is small, none if it is 0.

    In a period the sum with and without a constant share by their information: a constant too small to be seen would
    move the levels by several of their errors.
    """
    fewest = 4 if points.shape.signs is None else 6
    while True:
        number = min(most, (len(points) - 1) // 2)
        fit = grow(points.shape, points.values.value, points.white, number, points.chi_factor)
        if points.p_value(fit) > POOR_FIT or len(points) <= fewest or not cut:
            break
        points = points.later(min(cut, len(points) - fewest))
    fits = [fit]
    if points.shape.half is not None and len(points) > fit.n_parameters + 1:
        if fit.constant > 0:
            fits.append(refine(fit.shape, points.values.value, points.white, fit.energies, 0.0, fit.flips))
        else:
            fits.append(with_constant(fit, points.values.value))
    windows = [_Window(0, points, fit) for fit in fits]
    found = Mixture.of(points, windows, windows)
    assert found is not None
    return found
