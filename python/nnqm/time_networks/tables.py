"""Karhunen-Loeve decompositions of tabulated and measured kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..sampling.correlators import Correlators
from ..statistics.estimate import Estimate
from ..statistics.matrices import eigenstates
from ..statistics.rules import legendre_analysis, legendre_rule
from ..theories.mode_sums import KarhunenLoeve, Pieces
from .nystrom import ROUNDING, SIGNIFICANT, count_resolved, mean_function, need_symmetric, oriented

__all__ = ["TableRule"]

# Largest ratio of neighbouring steps of a table; beyond it errors are underestimated.
_UNEVEN = 2.5


def decompose_table(
    kernel: Correlators | tuple[ArrayLike, ArrayLike | Estimate],
    interval: tuple[float, float] | None,
    n: int,
    mean: float | Callable[[Floats], ArrayLike] | None,
    tolerance: float,
) -> KarhunenLoeve:
    """Karhunen-Loeve modes of a tabulated or measured covariance; see ``karhunen_loeve``."""
    bias: float | Pieces
    table: Floats | Estimate
    if isinstance(kernel, Correlators):
        if mean is not None:
            raise InputError("mean is measured by the run; leave it out")
        times, table, means = _measured(kernel)
        bias = _interpolated(times, means[:, None])
    else:
        if len(kernel) != 2:
            raise InputTypeError(f"a table must be (times, values); got a tuple of {len(kernel)}")
        times = floats("times", kernel[0], 1)
        table = kernel[1] if isinstance(kernel[1], Estimate) else floats("table", kernel[1])
        bias = mean_function(mean, float(times[0]), float(times[-1])) if times.size else 0.0
    values = table.value if isinstance(table, Estimate) else table
    size = len(times)
    _need_grid(times, values)
    a, b = float(times[0]), float(times[-1])
    if interval is not None:
        given = floats("interval", interval, 1)
        if given.shape != (2,) or np.abs(given - [a, b]).max() > 1e-9 * (b - a):
            raise InputError(f"interval must be the range of the table, ({a:g}, {b:g}); got {interval}; leave it out")
    need_symmetric(values, times, tolerance)
    values = (values + values.T) / 2
    rule = TableRule.of(times)
    lowest = _need_positive(table, values, rule, tolerance)
    eigenvalues, vectors = eigenstates(rule.operator(values))
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    most = min(n, size // 2)
    change = np.zeros(most)
    for first in (0, 1):
        keep = np.unique([0, *range(first, size, 2), size - 1])
        coarse = eigenstates(TableRule.of(times[keep]).operator(values[np.ix_(keep, keep)]))[0][::-1]
        change = np.maximum(change, np.abs(eigenvalues[:most] - coarse[:most]))
    padded = np.pad(change, 1)
    numerical = np.maximum(np.maximum(padded[:-2], padded[2:]), change) + ROUNDING * eigenvalues[0] + max(-lowest, 0.0)
    errors, estimates, method = numerical, None, "table"
    if isinstance(table, Estimate):
        estimates = _with_errors(table, rule, eigenvalues, vectors[:, :most], numerical)
        errors, method = estimates.total_error, "measured"
    kept = count_resolved(eigenvalues[:most], errors)
    functions = _interpolated(times, vectors[:, :kept] / np.sqrt(rule.outer)[:, None])
    return KarhunenLoeve(
        interval=(a, b),
        eigenvalues=eigenvalues[:kept],
        errors=errors[:kept],
        n_noise=n - kept,
        trace=float(rule.outer @ np.diag(values)),
        method=method,
        estimates=None if estimates is None else estimates[:kept],
        _functions=oriented(functions, eigenvalues, numerical[:kept], (a, b)),
        _mean=bias,
    )


def _need_grid(times: Floats, values: Floats) -> None:
    """Raise unless a table has one row and column per time, on increasing times that are not too uneven."""
    size = len(times)
    if values.shape != (size, size):
        raise InputError(f"table must have shape {(size, size)}, one row and column per time; got {values.shape}")
    if size < 8:
        raise InputError(f"times must have at least 8 entries for a table; got {size}; use a finer grid")
    if np.diff(times).min() <= 0:
        i = int(np.argmax(np.diff(times) <= 0))
        raise InputError(
            f"times must be strictly increasing; times[{i + 1}]={times[i + 1]:g} <= times[{i}]={times[i]:g}; "
            "sort the table"
        )
    steps = np.diff(times)
    ratio = np.maximum(steps[1:] / steps[:-1], steps[:-1] / steps[1:])
    if ratio.max() > _UNEVEN:
        i = int(ratio.argmax())
        raise InputError(
            f"times of a table must not be too uneven: neighbouring steps may differ by a factor of {_UNEVEN:g}; got "
            f"{steps[i]:.3g} and {steps[i + 1]:.3g} at times[{i + 1}]={times[i + 1]:g}; interpolate the table"
        )


def _need_positive(table: Floats | Estimate, values: Floats, rule: TableRule, tolerance: float) -> float:
    """Lowest eigenvalue of a table; raises if it is negative beyond the tolerance and the noise."""
    # A covariance is positive as a matrix, for any quadrature.
    root = np.diag(np.sqrt(rule.outer))
    plain, directions = eigenstates(root @ values @ root)
    allowed = tolerance * plain[-1]
    if isinstance(table, Estimate):
        direction = root @ directions[:, 0]
        # Noise alone spreads eigenvalues over 2 sqrt(size) times the error of an entry.
        spread = float(table.map_replicas(lambda m: (m @ direction) @ direction).error)
        allowed += (SIGNIFICANT + 2 * np.sqrt(len(values))) * spread
    if plain[0] < -allowed:
        raise InputError(
            f"table must be positive semidefinite; it has the eigenvalue {plain[0]:.6g}, the largest being "
            f"{plain[-1]:.6g}; use a larger tolerance for a table that is rounded"
        )
    return float(plain[0])


def _measured(run: Correlators) -> tuple[Floats, Estimate, Floats]:
    """Times, connected two-time function and mean of a run."""
    run.need("two_time", "simulate with measure=Measure(two_time=True)")
    c = 0 if run.two_time is None else run.two_time
    shift, scale = run.observables.shift[c], run.observables.scale[c]
    rows, columns = np.tril_indices(run.n_times)

    def evaluate(s: dict[str, Floats]) -> Floats:
        n = s["paths"][:, None]
        mean = s["time_sums"] / n
        packed = scale**2 * (s["two_time"] / n - mean[:, rows] * mean[:, columns])
        return np.asarray(_core.unpack_matrices(packed=packed, size=run.n_times))

    means = shift + scale * run.sums["time_sums"].sum(axis=0) / run.block_paths.sum()
    return run.times, run.estimate(evaluate, "two_time", "time_sums"), means


def _with_errors(table: Estimate, rule: TableRule, eigenvalues: Floats, vectors: Floats, numerical: Floats) -> Estimate:
    """Eigenvalues with jackknife errors; their systematic errors are the bias from noise and the error of the grid.

    In first order of perturbation theory the replicas are v^T A v. In second order noise repels two eigenvalues by the
    squared matrix element between them divided by their distance, and at most by the matrix element.
    """
    elements = table.map_replicas(lambda m: np.matmul(vectors.T, rule.operator(m) @ vectors))
    k = np.arange(vectors.shape[1])
    gaps = eigenvalues[k, None] - eigenvalues[None, k] + np.eye(k.size)
    spread = elements.error
    push = np.minimum(spread**2 / np.maximum(np.abs(gaps), 1e-300), spread) * np.sign(gaps)
    np.fill_diagonal(push, 0.0)
    bias = np.abs(push.sum(axis=1))
    diagonal = elements[k, k]
    return Estimate(eigenvalues[k], diagonal.replicas, diagonal.weights, np.hypot(bias, numerical))


@dataclass(frozen=True, eq=False, repr=False)
class TableRule:
    """Quadrature of tables.

    The weights of the grid times the kernel give its integral operator. The kink at s = t causes an error of second
    order, a multiple of the function at that point. It is corrected on the diagonal, exactly for constant functions.
    """

    outer: Floats  # (n,), weights of the grid
    split: Floats  # (n, n), weights of integrals split at the point of each row, less the weights of the grid

    @classmethod
    def of(cls, times: Floats) -> TableRule:
        """The rule of a grid."""
        left = _weights_up_to(times)
        outer = left[-1]
        if outer.min() <= 0:
            # Weights of cubics can be negative on very uneven points; weights of straight lines are positive.
            outer = np.convolve(np.diff(times), [0.5, 0.5])
        return cls(outer, left + _weights_up_to(-times[::-1])[::-1, ::-1] - outer)

    def operator(self, table: Floats) -> Floats:
        """Symmetric matrices (..., n, n) of the integral operators of tables (..., n, n)."""
        root = np.sqrt(self.outer)
        out = table * (root[:, None] * root)
        diagonal = np.arange(len(root))
        out[..., diagonal, diagonal] += np.sum(self.split * table, axis=-1)
        return np.asarray(out)


def _weights_up_to(times: Floats) -> Floats:
    """Weights (n, n): row i integrates from the first point to point i and uses the points up to i only."""
    n = len(times)
    out = np.zeros((n, n))
    total = np.zeros(n)
    for i in range(1, n):
        if i < 3:
            out[i, : i + 1] = _cubic_weights(times[: i + 1], times[0], times[i])
            continue
        here = slice(i - 3, i + 1)
        if i == 3:
            total[here] += _cubic_weights(times[here], times[0], times[1])
        total[here] += _cubic_weights(times[here], times[i - 2], times[i - 1])
        out[i] = total
        out[i, here] += _cubic_weights(times[here], times[i - 1], times[i])
    return out


def _cubic_weights(points: Floats, low: float, high: float) -> Floats:
    """Weights of the integral from low to high of the polynomial through points."""
    centre, scale = points.mean(), points[-1] - points[0]
    z, powers = (points - centre) / scale, np.arange(len(points))
    ends = (np.array([low, high]) - centre) / scale
    moments = (ends[1] ** (powers + 1) - ends[0] ** (powers + 1)) / (powers + 1)
    return np.asarray(scale * np.linalg.solve(z[None, :] ** powers[:, None], moments))


def _interpolated(times: Floats, values: Floats) -> Pieces:
    """Local cubics through values (n, K) on a grid, as Legendre series on the intervals of the grid."""
    n = len(times)
    x, _ = legendre_rule(4)
    pieces = np.empty((n - 1, 4, values.shape[1]))
    for i in range(n - 1):
        first = min(max(i - 1, 0), n - 4)
        points = times[first : first + 4]
        t = times[i] + (times[i + 1] - times[i]) * (1 + x) / 2
        others = [[k for k in range(4) if k != j] for j in range(4)]
        lagrange = np.stack(
            [np.prod((t[:, None] - points[o]) / (points[j] - points[o]), axis=1) for j, o in enumerate(others)]
        )
        pieces[i] = legendre_analysis(4) @ (lagrange.T @ values[first : first + 4])
    return Pieces(times, pieces)
