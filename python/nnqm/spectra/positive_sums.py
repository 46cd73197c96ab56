"""Fits of sums of exponentials with positive weights, and of alternating ones, to one correlator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats

__all__: list[str] = []

# A correlation matrix with a smaller eigenvalue cannot be inverted in float64.
SINGULAR = 1e-12

# A fit is rejected below this p-value.
POOR_FIT = 0.01

# Fall of chi^2 that a further exponential (two numbers), or a constant (one), must bring: p = 3e-4.
_FURTHER = {2: 16.0, 1: 13.0}
# Cost of leaving out a point in the information of a plateau. With Akaike's 2 the late windows, whose errors are
# large, share in the average of even a single exponential, which then scatters five times as much as the fit to all
# points does; with more than 4 early windows that are not yet flat keep too much weight.
CUT_COST = 4.0

# Most steps of a fit, and of one that is tried and refined if it is chosen: a term that is not needed never converges.
_STEPS, _FEW_STEPS = 400, 60

# With a probability of 68% a number is below its estimate and so much of its normal error.
_ONE_SIDED = 0.47

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class Shape:
    """Contribution of one level at the given times, in units where hbar is 1.

    It is e^(-E t) or, with ``half`` a period, cosh(E(half - t))/cosh(E half), or sinh likewise if ``odd``. Levels of
    negative eigenvalues of the transfer matrix are multiplied by ``signs``, shape (K,), which alternate.
    """

    t: Floats
    half: float | None = None
    odd: bool = False
    signs: Floats | None = None

    def __call__(self, energies: ArrayLike, order: int = 0, flips: Flags | None = None) -> Floats:
        """A derivative in the energies, shape (K, n); ``flips`` are those that alternate."""
        return self.derivatives(energies, flips, order)[order]

    def derivatives(self, energies: ArrayLike, flips: Flags | None = None, most: int = 1) -> list[Floats]:
        """Value and derivatives in the energies up to an order, at most 2, each of shape (K, n)."""
        t, e = self.t[:, None], np.asarray(energies)
        if self.half is None:
            value = np.exp(-t * e)
            found = [value, *((-t) ** k * value for k in range(1, most + 1))]
        else:
            # Energies of terms that are not needed grow without bound: their contributions are zero.
            with np.errstate(over="ignore", invalid="ignore"):
                found = self._periodic(self.half, self.half - t, e)[: most + 1]
        if flips is not None and self.signs is not None:
            found = [np.where(flips, self.signs[:, None] * each, each) for each in found]
        return found

    def _periodic(self, h: float, c: Floats, e: Floats) -> list[Floats]:
        logarithm, ratio, sign = (log_sinh, _coth, -1.0) if self.odd else (log_cosh, np.tanh, 1.0)
        inner, outer = logarithm(e * c), logarithm(e * h)
        # cosh(E c)/cosh(E h), or sinh(E c)/sinh(E h).
        value = np.exp(inner - outer)
        slope = c * ratio(e * c) - h * ratio(e * h)
        bend = slope**2 + sign * ((2 * c * np.exp(-inner)) ** 2 - (2 * h * np.exp(-outer)) ** 2)
        return [value, value * slope, np.where(value > 0, value * bend, 0.0)]

    def later(self, first: int) -> Shape:
        """The same at times from a position on."""
        return replace(self, t=self.t[first:], signs=None if self.signs is None else self.signs[first:])


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """sum_j a_j shape(E_j) + sign * constant, fitted to whitened values; all parameters are positive."""

    shape: Shape
    white: Floats
    weights: Floats
    energies: Floats
    flips: Flags
    sign: float  # of the constant; zero if there is none
    constant: float
    residual: Floats

    @property
    def chi_squared(self) -> float:
        return float(self.residual @ self.residual)

    @property
    def n_parameters(self) -> int:
        return len(self.parameters)

    @property
    def parameters(self) -> Floats:
        """Weights, then energies, then the constant if there is one."""
        return np.concatenate([self.weights, self.energies, [self.constant] if self.constant > 0 else []])

    @property
    def alternating(self) -> Floats:
        """The terms that alternate, shape (K,)."""
        return np.asarray(self.shape(self.energies, 0, self.flips)[:, self.flips] @ self.weights[self.flips])

    @cached_property
    def jacobian(self) -> Floats:
        """Derivatives of the whitened values, shape (K, n_parameters)."""
        shape, e, flips = self.shape, self.energies, self.flips
        value, slope = shape.derivatives(e, flips)
        columns = [value, self.weights * slope]
        if self.constant > 0:
            columns.append(np.full((len(shape.t), 1), self.sign))
        return np.asarray(self.white @ np.concatenate(columns, axis=1))

    @cached_property
    def rows(self) -> Floats:
        """Change of each parameter per whitened value, shape (n_parameters, K)."""
        # Columns of equal length: what is cut as zero must not depend on the units of the parameters.
        length = np.sqrt(np.einsum("ij,ij->j", self.jacobian, self.jacobian))
        scale = 1 / np.where(length > 0, length, 1.0)
        return np.asarray(np.linalg.pinv(self.jacobian * scale, rcond=1e-14) * scale[:, None], dtype=np.float64)

    def spread(self, j: int) -> float:
        """Spread of the energies behind exponential j that the data allow."""
        one = slice(j, j + 1)
        second = 0.5 * self.weights[j] * self.white @ self.shape(self.energies[one], 2, self.flips[one])[:, 0]
        # Changes that the other parameters can imitate do not count.
        free = second - self.jacobian @ (self.rows @ second)
        norm = float(free @ free)
        if norm <= 1e-20 * float(second @ second):
            return float(np.inf)
        return bound_of_levels(float(free @ self.residual) / norm, 1 / np.sqrt(norm))


def bound_of_levels(square: float, error: float) -> float:
    """Root of what a square that cannot be negative is below with a probability of 68%."""
    return float(np.sqrt(max(square, 0.0) + _ONE_SIDED * error))


def refine(
    shape: Shape,
    values: Floats,
    white: Floats,
    energies: ArrayLike,
    sign: float = 0.0,
    flips: Flags | None = None,
    *,
    steps: int = _STEPS,
) -> Fit:
    """Fit with one exponential per given energy, started there; weights start from non-negative least squares.

    ``sign`` is the sign of a constant, 0 for none; ``flips`` are the exponentials that alternate.
    """
    from scipy.optimize import leastsq, nnls

    energies = np.asarray(energies, dtype=np.float64)
    n, target = len(energies), white @ values
    flags = np.zeros(n, dtype=bool) if flips is None else flips
    start, _ = nnls(white @ _columns(shape, energies, sign, flags), target)
    start = np.maximum(start, 1e-6 * max(start.max(), 1e-300))

    def fit(logarithms: Floats) -> Fit:
        q = np.exp(np.clip(logarithms, -600, 600))
        a, e, c = q[:n], q[n : 2 * n], float(q[2 * n]) if sign else 0.0
        return Fit(shape, white, a, e, flags, sign, c, target - white @ (shape(e, 0, flags) @ a + sign * c))

    begin = np.log(np.concatenate([start[:n], energies, start[n:]]))
    if len(begin) > len(target):
        return fit(begin)
    last: list[Any] = [begin, fit(begin)]

    def at(logarithms: Floats) -> Fit:
        # Residual and Jacobian are asked for at the same place, one after the other.
        if not np.array_equal(logarithms, last[0]):
            last[:] = [logarithms.copy(), fit(logarithms)]
        return last[1]  # type: ignore[no-any-return]

    def jacobian(logarithms: Floats) -> Floats:
        return np.asarray(-at(logarithms).jacobian * at(logarithms).parameters)

    # MINPACK without the checks of least_squares, which would take most of the time. The covariance that comes along is
    # not used, and overflows where an exponential is not needed.
    options = {"xtol": 1e-12, "ftol": 1e-12, "maxfev": steps, "full_output": True}
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        found = leastsq(lambda p: at(p).residual, begin, Dfun=jacobian, **options)
        return fit(found[0])


def _columns(shape: Shape, energies: Floats, sign: float, flips: Flags | None = None) -> Floats:
    constant = np.full((len(shape.t), int(sign != 0)), sign)
    return np.asarray(np.concatenate([shape(energies, 0, flips), constant], axis=1))


def grow(shape: Shape, values: Floats, white: Floats, most: int, factor: float) -> Fit:
    """The fewest exponentials, and a constant, to which no further one is worth adding.

    With ``shape.signs`` exponentials that alternate are added in the same way.
    """
    t, target = shape.t, white @ values
    grid = np.geomspace(0.02 / (t[-1] - t[0]), 5 / np.diff(t).min(), 160)
    starts = _clusters(shape, target, white, grid)
    first = rate_of(t, values)
    best = refine(shape, values, white, [first])
    if shape.signs is not None:
        for other in ([True], [False, True]):
            begin = [first, first][: len(other)]
            trial = refine(shape, values, white, begin, 0.0, np.array(other))
            if factor * (best.chi_squared - trial.chi_squared) > (_FURTHER[2] if len(other) > 1 else 0.0):
                best = trial
    while True:
        constant = best.constant > 0
        room = len(t) - best.n_parameters
        trials = []
        for flip in (False, True) if shape.signs is not None else (False,):
            if np.count_nonzero(best.flips == flip) < most and room > 2:
                for extra in _further(starts[int(flip)], best.energies[best.flips == flip], first):
                    flips = np.append(best.flips, flip)
                    more = np.append(best.energies, extra)
                    trial = refine(shape, values, white, more, best.sign, flips, steps=_FEW_STEPS)
                    trials.append((trial, 2))
        if not constant and room > 1:
            trials.append((with_constant(best, values), 1))
        gains = [factor * (best.chi_squared - trial.chi_squared) - _FURTHER[cost] for trial, cost in trials]
        if not gains or max(gains) <= 0:
            return best
        best = trials[int(np.argmax(gains))][0]
        again = refine(shape, values, white, best.energies, best.sign, best.flips)
        best = min(best, again, key=lambda fit: fit.chi_squared)


def with_constant(fit: Fit, values: Floats) -> Fit:
    """The same exponentials and a constant: positive, or in a period of the sign that the residual asks for."""
    sign = 1.0
    if fit.shape.half is not None:
        column = fit.white @ np.ones(len(values))
        sign = 1.0 if (column - fit.jacobian @ (fit.rows @ column)) @ fit.residual >= 0 else -1.0
    return refine(fit.shape, values, fit.white, fit.energies, sign, fit.flips)


def rate_of(t: Floats, values: Floats) -> float:
    """Rate at which values fall from the first to the last, or one over the last time if they do not fall."""
    first, last = abs(values[0]), abs(values[-1])
    return float(np.log(first / last) / (t[-1] - t[0])) if first > last > 0 else 1 / float(t[-1])


def _clusters(shape: Shape, target: Floats, white: Floats, grid: Floats) -> list[Floats]:
    """Energies of the measure that non-negative least squares finds on a grid, neighbours merged.

    The second entry are the energies of terms that alternate.
    """
    from scipy.optimize import nnls

    both, flips = grid, None
    if shape.signs is not None:
        both, flips = np.concatenate([grid, grid]), np.repeat([False, True], len(grid))
    columns = white @ _columns(shape, both, 1.0, flips)
    weights, _ = nnls(columns, target, maxiter=30 * len(both))
    found = []
    for part in weights[:-1].reshape(-1, len(grid)):
        on = np.flatnonzero(part > 0)
        groups = np.split(on, np.flatnonzero(np.diff(on) > 2) + 1) if on.size else []
        found.append(np.array([np.average(grid[g], weights=part[g]) for g in groups]))
    return found


def _further(starts: Floats, energies: Floats, first: float) -> Floats:
    """Where to look for a further exponential: clusters not yet taken, and on either side of those that are."""
    if not energies.size:
        return np.append(starts, first)
    near = np.array([np.abs(np.log(s / energies)).min() > 0.2 for s in starts], dtype=bool)
    return np.concatenate([starts[near] if starts.size else starts, [0.5 * energies.min(), 2.5 * energies.max()]])


def _coth(x: Floats) -> Floats:
    return np.asarray(1 / np.tanh(x))


def log_cosh(x: Floats) -> Floats:
    """ln(2 cosh x)."""
    return np.asarray(np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))))


def log_sinh(x: Floats) -> Floats:
    """ln(2 sinh x) for positive x."""
    return np.asarray(x + np.log(-np.expm1(-2 * x)))
