"""Fits of one correlator with its full covariance: averages over windows, and sums of exponentials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._arguments import Floats
from ..statistics.estimate import Estimate
from .positive_sums import CUT_COST, POOR_FIT, Fit, Shape, grow, rate_of, refine

__all__: list[str] = []

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
        return self.values.map(lambda g: value + np.sqrt(inflation) * ((g - self.values.value) @ row))

    def parameter(self, fit: Fit, i: int) -> Estimate:
        """A parameter of a fit with its error."""
        return self.linear(fit.parameters[i], fit.rows[i] @ self.white, self.inflation(fit))


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

    def padded(self, row: Floats) -> Floats:
        return np.concatenate([np.zeros(self.first), row])


@dataclass(frozen=True, eq=False, repr=False)
class Average:
    """The average of an energy over windows; ``first`` is where the most probable window begins."""

    gap: Estimate
    first: int
    p_value: float
    share: float  # probability of the windows that have this energy
    constant: bool  # whether the most probable window has a constant


def averages(points: Points) -> tuple[Average | None, Average | None]:
    """Energies of one exponential, and of one that alternates if the shape has signs, averaged over windows.

    If the shape is periodic, a constant of either sign is tried in each window.
    """
    windows = []
    for first in range(len(points) - 1 - _FREEDOM):
        rest = points.later(first)
        windows += [_Window(first, rest, fit) for fit in _window_fits(rest)]
    return _average(points, windows, False), _average(points, windows, True)


def _window_fits(points: Points) -> list[Fit]:
    shape, g, white = points.shape, points.values.value, points.white
    start = rate_of(shape.t, g)
    fits = [refine(shape, g, white, [start])]
    if shape.half is not None and len(points) >= 3 + _FREEDOM:
        both = [refine(shape, g, white, fits[0].energies, sign) for sign in (1.0, -1.0)]
        fits.append(min(both, key=lambda fit: fit.chi_squared))
    if shape.signs is not None:
        fits.append(refine(shape, g, white, [start], 0.0, np.array([True])))
        if len(points) >= 4 + _FREEDOM:
            # Each parity of the steps sees the sum or the difference of the two terms: starts from either side.
            starts = ([start, start], [0.5 * start, start], [start, 0.5 * start], [start, 2 * start])
            trials = [refine(shape, g, white, s, 0.0, np.array([False, True])) for s in starts]
            fits.append(min(trials, key=lambda fit: fit.chi_squared))
    return fits


def _average(points: Points, windows: list[_Window], flip: bool) -> Average | None:
    having = [window for window in windows if np.any(window.fit.flips == flip)]
    if not having:
        return None
    lowest = min(window.information for window in windows)
    chance = np.array([np.exp(-(window.information - lowest) / 2) for window in having])
    total = sum(np.exp(-(window.information - lowest) / 2) for window in windows)
    share = float(chance.sum() / total)
    if not chance.sum() > 1e-12:
        return None
    chance /= chance.sum()
    places = [int(np.flatnonzero(window.fit.flips == flip)[0]) for window in having]
    energies = np.array([window.fit.energies[j] for window, j in zip(having, places, strict=True)])
    average = float(chance @ energies)
    # Change of the energy and of the information of each fit with each value.
    row = np.zeros(len(points))
    for p, energy, window, j in zip(chance, energies, having, places, strict=True):
        rest, fit = window.points, window.fit
        change = fit.rows[len(fit.energies) + j] @ rest.white
        slope = 2 * rest.chi_factor * fit.residual @ rest.white
        row += p * window.padded(change - 0.5 * (energy - average) * slope)
    inflation = float(sum(p * w.points.inflation(w.fit) for p, w in zip(chance, having, strict=True)))
    spread = sum(p * w.fit.spread(j) ** 2 for p, w, j in zip(chance, having, places, strict=True) if p > 1e-12)
    gap = points.linear(average, row, inflation).with_systematic(np.sqrt(spread))
    best = having[int(np.argmax(chance))]
    return Average(gap, best.first, best.points.p_value(best.fit), share, best.fit.constant > 0)


def exponentials(points: Points, most: int, *, cut: bool = True) -> tuple[Points, Fit, float]:
    """The sum that the points demand and its p-value; with ``cut`` early points are left out while it is small."""
    fewest = 4 if points.shape.signs is None else 6
    while True:
        number = min(most, (len(points) - 1) // 2)
        fit = grow(points.shape, points.values.value, points.white, number, points.chi_factor)
        p_value = points.p_value(fit)
        if p_value > POOR_FIT or len(points) <= fewest or not cut:
            return points, fit, p_value
        points = points.later(1)
