"""Fits of sums of exponentials with positive weights to one correlator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

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

# With a probability of 68% a number is below its estimate and so much of its normal error.
_ONE_SIDED = 0.47


@dataclass(frozen=True, eq=False, repr=False)
class Shape:
    """Contribution of one level at the given times, e^(-E t) or its periodic sum, in units where hbar is 1."""

    t: Floats
    half: float | None = None

    def __call__(self, energies: ArrayLike, order: int = 0) -> Floats:
        """A derivative in the energies, shape (K, n)."""
        t, e = self.t[:, None], np.asarray(energies)
        if self.half is None:
            return np.asarray((-t) ** order * np.exp(-t * e))
        # cosh(E c)/cosh(E h), c = h - t.
        h, c = self.half, self.half - t
        value = np.exp(log_cosh(e * c) - log_cosh(e * h))
        slope = c * np.tanh(e * c) - h * np.tanh(e * h)
        bend = slope**2 + (2 * c * np.exp(-log_cosh(e * c))) ** 2 - (2 * h * np.exp(-log_cosh(e * h))) ** 2
        return np.asarray(value * (1.0, slope, bend)[order])


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """sum_j a_j shape(E_j) + constant, fitted to whitened values."""

    shape: Shape
    white: Floats
    weights: Floats
    energies: Floats
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

    @cached_property
    def jacobian(self) -> Floats:
        """Derivatives of the whitened values, shape (K, n_parameters)."""
        columns = [self.shape(self.energies), self.weights * self.shape(self.energies, 1)]
        if self.constant > 0:
            columns.append(np.ones((len(self.shape.t), 1)))
        return np.asarray(self.white @ np.concatenate(columns, axis=1))

    @cached_property
    def rows(self) -> Floats:
        """Change of each parameter per whitened value, shape (n_parameters, K)."""
        return np.asarray(np.linalg.pinv(self.jacobian), dtype=np.float64)

    def spread(self, j: int) -> float:
        """Spread of the energies behind exponential j that the data allow."""
        second = 0.5 * self.weights[j] * self.white @ self.shape(self.energies[j : j + 1], 2)[:, 0]
        # Changes that the other parameters can imitate do not count.
        free = second - self.jacobian @ (self.rows @ second)
        norm = float(free @ free)
        if norm <= 1e-20 * float(second @ second):
            return float(np.inf)
        return bound_of_levels(float(free @ self.residual) / norm, 1 / np.sqrt(norm))


def bound_of_levels(square: float, error: float) -> float:
    """Root of what a square that cannot be negative is below with a probability of 68%."""
    return float(np.sqrt(max(square, 0.0) + _ONE_SIDED * error))


def refine(shape: Shape, values: Floats, white: Floats, energies: ArrayLike, constant: bool) -> Fit:
    """Fit with one exponential per given energy, started there; weights start from non-negative least squares."""
    from scipy.optimize import leastsq, nnls

    energies = np.asarray(energies)
    n, target = len(energies), white @ values
    start, _ = nnls(white @ _columns(shape, energies, constant), target)
    start = np.maximum(start, 1e-6 * max(start.max(), 1e-300))

    def fit(logarithms: Floats) -> Fit:
        q = np.exp(np.clip(logarithms, -600, 600))
        a, e, c = q[:n], q[n : 2 * n], float(q[2 * n]) if constant else 0.0
        return Fit(shape, white, a, e, c, target - white @ (shape(e) @ a + c))

    def jacobian(logarithms: Floats) -> Floats:
        at = fit(logarithms)
        return np.asarray(-at.jacobian * at.parameters)

    begin = np.log(np.concatenate([start[:n], energies, start[n:]]))
    # MINPACK without the checks of least_squares, which would take most of the time. The covariance that comes along is
    # not used, and overflows where an exponential is not needed.
    options = {"xtol": 1e-12, "ftol": 1e-12, "maxfev": 400, "full_output": True}
    with np.errstate(over="ignore", invalid="ignore"):
        found = leastsq(lambda p: fit(p).residual, begin, Dfun=jacobian, **options)
    return fit(found[0])


def _columns(shape: Shape, energies: Floats, constant: bool) -> Floats:
    return np.asarray(np.concatenate([shape(energies), np.ones((len(shape.t), int(constant)))], axis=1))


def grow(shape: Shape, values: Floats, white: Floats, most: int, factor: float) -> Fit:
    """The fewest exponentials, and a constant, to which no further one is worth adding."""
    t, target = shape.t, white @ values
    grid = np.geomspace(0.02 / (t[-1] - t[0]), 5 / np.diff(t).min(), 160)
    starts = _clusters(shape, target, white, grid)
    best = refine(shape, values, white, [rate_of(t, values)], False)
    while True:
        n, constant = len(best.energies), best.constant > 0
        room = len(t) - best.n_parameters
        trials = []
        if n < most and room > 2:
            for extra in _further(starts, best.energies):
                trials.append((refine(shape, values, white, np.append(best.energies, extra), constant), 2))
        if not constant and room > 1:
            trials.append((refine(shape, values, white, best.energies, True), 1))
        gains = [factor * (best.chi_squared - trial.chi_squared) - _FURTHER[cost] for trial, cost in trials]
        if not gains or max(gains) <= 0:
            return best
        best = trials[int(np.argmax(gains))][0]


def rate_of(t: Floats, values: Floats) -> float:
    return float(np.log(values[0] / values[-1]) / (t[-1] - t[0])) if values[0] > values[-1] > 0 else 1 / float(t[-1])


def _clusters(shape: Shape, target: Floats, white: Floats, grid: Floats) -> Floats:
    """Energies of the measure that non-negative least squares finds on a grid, neighbours merged."""
    from scipy.optimize import nnls

    weights, _ = nnls(white @ _columns(shape, grid, True), target, maxiter=30 * len(grid))
    on = np.flatnonzero(weights[:-1] > 0)
    groups = np.split(on, np.flatnonzero(np.diff(on) > 2) + 1) if on.size else []
    return np.array([np.average(grid[g], weights=weights[g]) for g in groups])


def _further(starts: Floats, energies: Floats) -> Floats:
    """Where to look for a further exponential: clusters not yet taken, and on either side of those that are."""
    near = np.array([np.abs(np.log(s / energies)).min() > 0.2 for s in starts], dtype=bool)
    return np.concatenate([starts[near] if starts.size else starts, [0.5 * energies.min(), 2.5 * energies.max()]])


def log_cosh(x: Floats) -> Floats:
    return np.asarray(np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))))
