"""Eigenvalue problems of covariance kernels, discretised on panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..statistics.matrices import eigenstates, product
from ..statistics.rules import legendre_analysis, legendre_rule
from ..theories.mode_sums import Pieces

__all__: list[str] = []

Function = Callable[[Floats, Floats], ArrayLike]

# Nodes of a panel; nodes of the coarser rule that eigenvalues are compared with; modes per panel in the first trial.
_FINE, _COARSE, _MODES_PER_PANEL = 32, 24, 6

# Additional nodes of inner integrals, because the integrand is the kernel times a polynomial.
_INNER = 16

# Largest number of modes; largest number of nodes, except for kernels that start with more.
MOST_MODES, _MOST_NODES = 1000, 1500

# Rounding errors of eigenvalues, relative to the largest, and of the symmetry of a kernel.
ROUNDING, _ASYMMETRY = 4e-15, 1e-10

# Largest last Legendre coefficients of an eigenfunction on a panel that is fine enough, in units of the tolerance.
_RESOLVED = 10.0

# Smallest ratio of a negative eigenvalue to its change between the two rules that counts as significant.
_REAL = 100.0

# Smallest ratio of the eigenvalue of a resolved mode to its error.
SIGNIFICANT = 5.0

# Smallest length of a panel, as a fraction of the interval.
_NARROWEST = 1e-10

# Points per eigenfunction of the grid that decides signs.
_SIGN_GRID = 16


def mean_function(mean: float | Callable[[Floats], ArrayLike] | None, a: float, b: float) -> float | Pieces:
    """The mean on an interval as a number or a piecewise polynomial; zero if it is None."""
    if mean is None:
        return 0.0
    return Pieces.through("mean", mean, a, b) if callable(mean) else float(floats("mean", mean, 0))


def count_resolved(eigenvalues: Floats, errors: Floats) -> int:
    """Number of leading eigenvalues that exceed ``SIGNIFICANT`` times their errors; at least one is required."""
    noise = np.flatnonzero(~(eigenvalues > SIGNIFICANT * errors))
    keep = int(noise[0]) if noise.size else len(eigenvalues)
    if keep == 0:
        raise InputError(
            f"kernel has no mode above its errors: the largest eigenvalue is {eigenvalues[0]:.3g}({errors[0]:.1g}); "
            "it vanishes, or needs more paths or a finer table"
        )
    return keep


@dataclass(frozen=True, eq=False, repr=False)
class _Solution:
    """Eigenpairs on panels, and their errors after a comparison with another rule."""

    edges: Floats
    eigenvalues: Floats
    vectors: Floats  # (P p, K)
    smallest: float
    trace: float
    errors: Floats

    def functions(self) -> Pieces:
        panels = len(self.edges) - 1
        p = len(self.vectors) // panels
        weights = np.diff(self.edges)[:, None] / 2 * legendre_rule(p)[1]
        values = self.vectors.reshape(panels, p, -1) / np.sqrt(weights)[..., None]
        return Pieces(self.edges, np.einsum("kb,ibm->ikm", legendre_analysis(p), values, optimize=True))


def solve_on_panels(kernel: Function, breaks: Floats, n: int, tolerance: float) -> _Solution:
    """Halve panels until the eigenvalues converge and the eigenfunctions are resolved."""
    shares = np.diff(breaks) / (breaks[-1] - breaks[0])
    counts = np.maximum(np.ceil(shares * n / _MODES_PER_PANEL), 1).astype(int)
    edges = np.concatenate(
        [
            *(np.linspace(lo, hi, c + 1)[:-1] for lo, hi, c in zip(breaks[:-1], breaks[1:], counts, strict=True)),
            breaks[-1:],
        ]
    )
    most = max(_MOST_NODES, 3 * _FINE * len(edges) // 2)
    while True:
        fine, coarse = discretised(kernel, edges, _FINE, tolerance), discretised(kernel, edges, _COARSE, tolerance)
        largest, lowest = fine.eigenvalues[0], fine.smallest
        size = max(largest, -lowest)
        rounding = ROUNDING * size
        # The largest change among the neighbours: two rules may agree in one eigenvalue by chance.
        m = min(len(coarse.eigenvalues), n + 8)
        change = np.abs(fine.eigenvalues[:m] - coarse.eigenvalues[:m])
        padded = np.pad(change, 1)
        errors = np.maximum(np.maximum(padded[:-2], padded[2:]), change) + rounding
        solution = replace(fine, eigenvalues=fine.eigenvalues[:m], vectors=fine.vectors[:, :m], errors=errors)
        converged = errors[:n].max() <= tolerance * size
        shift = abs(lowest - coarse.smallest)
        if converged and -lowest > max(tolerance * size, _REAL * shift):
            raise InputError(
                f"kernel must be positive semidefinite; it has the eigenvalue {lowest:.6g}({shift:.1g}) on the "
                f"interval [{breaks[0]:g}, {breaks[-1]:g}], the largest being {largest:.6g}; no process has it as its "
                "covariance"
            )
        if size <= 0:
            return solution
        coefficients = np.abs(solution.functions().coefficients[:, -2:, :n]).max(axis=1)
        # Perturbation of an eigenvector by rounding, which a finer panel does not reduce.
        floor = np.maximum(_RESOLVED * tolerance, 10 * rounding / np.maximum(solution.eigenvalues[:n], rounding))
        tails = (coefficients * np.sqrt(edges[-1] - edges[0]) / floor).max(axis=1)
        cuts = _cuts(edges, tails > (1 if converged else min(1, tails.max() / 2)), breaks)
        too_many = (len(edges) - 1 + len(cuts)) * _FINE > most or np.diff(edges).min() < _NARROWEST * np.ptp(edges)
        if converged and (too_many or not len(cuts)):
            return solution
        if too_many:
            raise InputError(
                f"kernel converges slowly: with {len(edges) - 1} panels of {_FINE} polynomials the error of an "
                f"eigenvalue is {errors[:n].max() / size:.1g} of the largest, not tolerance={tolerance:g}; give the "
                "times of its kinks as breaks, fewer n_modes, or a larger tolerance"
            )
        edges = np.sort(np.concatenate([edges, cuts]))


def _cuts(edges: Floats, rough: NDArray[np.bool_], breaks: Floats) -> Floats:
    """Points at which panels are cut: in the middle, and at 1/4 and 1/8 next to a break or an end of the interval."""
    low, high = edges[:-1][rough], edges[1:][rough]
    parts = [(low + high) / 2]
    for end, other in ((low, high), (high, low)):
        at_end = np.isin(end, breaks)
        parts += [end[at_end] + (other - end)[at_end] / 2**k for k in (2, 3)]
    return np.concatenate(parts)


def discretised(kernel: Function, edges: Floats, p: int, tolerance: float) -> _Solution:
    """Eigenpairs of the kernel between piecewise polynomials of degree p - 1 (Galerkin's method).

    The basis functions are the Lagrange polynomials of the Gauss nodes, divided by the square roots of their weights.
    For distant panels K at pairs of nodes is sufficient. For a panel with itself and with its neighbours the kernel is
    not smooth, and the double integral is computed.
    """
    x, w = legendre_rule(p)
    half = np.diff(edges) / 2
    nodes = edges[:-1, None] + half[:, None] * (1 + x)
    root = np.sqrt(half[:, None] * w)
    flat = nodes.ravel()
    matrix = _evaluated(kernel, flat[:, None], flat[None, :])
    need_symmetric(matrix, flat, tolerance)
    trace = float(np.sum(root.ravel() ** 2 * np.diag(matrix)))
    matrix *= root.ravel()[:, None] * root.ravel()
    for i in range(len(half)):
        for j in range(i, min(i + 2, len(half))):
            low, high = edges[j], edges[j + 1]
            rule = _near_rule(p, j > i, round(float(half[j] / half[i]), 9))
            s = edges[i] + half[i] * (1 + rule.outer)
            t = np.clip(low + half[j] * (1 + rule.inner), low, high)
            values = _evaluated(kernel, s[:, None], t) * rule.weights
            inner = product(values[:, None, :], rule.inner_polynomials)[:, 0]
            block = half[i] * half[j] / (root[i][:, None] * root[j]) * product(rule.outer_polynomials.T, inner)
            matrix[i * p : (i + 1) * p, j * p : (j + 1) * p] = block
            matrix[j * p : (j + 1) * p, i * p : (i + 1) * p] = block.T
    eigenvalues, vectors = eigenstates(matrix)
    return _Solution(edges, eigenvalues[::-1], vectors[:, ::-1], float(eigenvalues[0]), trace, np.zeros(0))


@dataclass(frozen=True, eq=False, repr=False)
class _NearRule:
    """Nodes and weights of double integrals with a kink at s = t, and the polynomials at the nodes."""

    outer: Floats  # (m,), positions of s on [-1, 1]
    inner: Floats  # (m, q), positions of t
    weights: Floats  # (m, q)
    outer_polynomials: Floats  # (m, p)
    inner_polynomials: Floats  # (m, q, p)


@lru_cache(maxsize=32)
def _near_rule(p: int, neighbours: bool, ratio: float) -> _NearRule:
    """Rule for double integrals over a panel squared, or over a panel and the next one, ``ratio`` times as long.

    With d = |s - t| = u^2, smooth functions of d or sqrt(d) are smooth in u. The inner integral contains powers of the
    square root of the distance from the ends of the panel, which are smooth in a variable whose square is that
    distance.
    """
    # s is cubic in the variable: the explicit polynomial in s and the one from the inner integral, both of degree
    # p - 1, have degree 3 (p - 1) each.
    x, mu = legendre_rule(3 * p + _INNER)
    outer = x * (3 - x**2) / 2
    xi, omega = legendre_rule(p + _INNER)
    if neighbours:
        # Distances in half-lengths of the target panel.
        near = (1 - outer) / ratio
        pieces = [(1.0, -1 - near, near, near + 2)]
    else:
        pieces = [(side, outer, 0 * outer, 1 - side * outer) for side in (-1.0, 1.0)]
    positions, weights = [], []
    for side, start, near, far in pieces:
        lowest, highest = np.sqrt(near)[:, None], np.sqrt(far)[:, None]
        u = lowest + (highest - lowest) * (1 + xi) / 2
        positions.append(start[:, None] + side * u**2)
        weights.append((highest - lowest) * omega * u)
    inner = np.clip(np.concatenate(positions, axis=1), -1, 1)
    weight = np.concatenate(weights, axis=1) * (mu * 1.5 * (1 - x**2))[:, None]
    lagrange = [
        product(np.asarray(legendre.legvander(z, p - 1), dtype=np.float64), legendre_analysis(p))
        for z in (outer, inner)
    ]
    return _NearRule(outer, inner, weight, lagrange[0], lagrange[1])


def _evaluated(kernel: Function, s: Floats, t: Floats) -> Floats:
    """K(s, t) as float64 of the shape that s and t broadcast to."""
    shape = np.broadcast_shapes(s.shape, t.shape)
    values = np.asarray(kernel(s, t))
    if values.dtype.kind not in "fiu":
        raise InputTypeError(f"kernel must return real numbers; got dtype {values.dtype}")
    if values.shape != shape:
        raise InputError(
            f"kernel must return an array of the shape that s and t broadcast to, {shape}; got {values.shape}; "
            "use NumPy functions, or numpy.vectorize"
        )
    values = np.array(values, dtype=np.float64)
    if not np.isfinite(values).all():
        at = tuple(np.argwhere(~np.isfinite(values))[0])
        where = tuple(float(np.broadcast_to(v, shape)[at]) for v in (s, t))
        raise InputError(f"kernel must be finite; K({where[0]:.6g}, {where[1]:.6g}) = {values[at]}")
    return values


def need_symmetric(matrix: Floats, times: Floats, tolerance: float) -> None:
    """Raise if a matrix of kernel values is not symmetric to the tolerance."""
    lack = np.abs(matrix - matrix.T)
    i, j = np.unravel_index(int(lack.argmax()), lack.shape)
    if lack[i, j] > max(tolerance, _ASYMMETRY) * np.abs(matrix).max():
        raise InputError(
            f"kernel must be symmetric; K({times[i]:.6g}, {times[j]:.6g}) = {matrix[i, j]:.10g} but "
            f"K({times[j]:.6g}, {times[i]:.6g}) = {matrix[j, i]:.10g}; use (K + K^T)/2 if that is meant"
        )


def need_continuous(kernel: Function, a: float, b: float) -> None:
    """Raise for white noise, whose variance no mode contains."""
    # Irrational fractions of the interval.
    t = a + (b - a) * (np.sqrt(2) * np.arange(1, 33) % 1) * (1 - 1e-6)
    shorter, longer = (
        _evaluated(kernel, t, t) + _evaluated(kernel, t + h, t + h) - 2 * _evaluated(kernel, t, t + h)
        for h in ((b - a) * 1e-12, (b - a) * 1e-8)
    )
    # For every continuous process the mean squared increment shrinks with the distance.
    jump = (shorter > 0.9 * longer) & (shorter > 1e-6 * np.abs(_evaluated(kernel, t, t)))
    if jump.any():
        i = int(jump.argmax())
        raise InputError(
            f"kernel must be continuous at s = t, or x is not mean-square continuous; at t={t[i]:.6g} "
            f"<(x(t + h) - x(t))^2> = {shorter[i]:.3g} for h={(b - a) * 1e-12:.1g}; leave white noise out"
        )


def oriented(functions: Pieces, eigenvalues: Floats, errors: Floats, interval: tuple[float, float]) -> Pieces:
    """Make eigenfunctions unique: a rotation for equal eigenvalues, and a positive first lobe."""
    a, b = interval
    coefficients = functions.coefficients.copy()
    n = coefficients.shape[2]
    same = np.abs(np.diff(eigenvalues[:n])) <= 2 * (errors[: n - 1] + errors[1:n])
    start = 0
    for stop in [*(np.flatnonzero(~same) + 1), n]:
        size = stop - start
        if size > 1:
            # Irrational fractions: no symmetry of the interval makes a function vanish there.
            points = a + (b - a) * ((np.sqrt(5) - 1) / 2 * np.arange(size) % 1)
            rotation, _ = np.linalg.qr(functions(points)[:, start:stop].T)
            coefficients[..., start:stop] = coefficients[..., start:stop] @ rotation
        start = stop
    rotated = Pieces(functions.edges, coefficients)
    values = rotated(np.linspace(a, b, _SIGN_GRID * (n + 1) + 1))
    # The first point above half of the maximum lies in the first lobe, or in an equivalent lobe.
    first = np.argmax(np.abs(values) > np.abs(values).max(axis=0) / 2, axis=0)
    signs = np.where(values[first, np.arange(n)] < 0, -1.0, 1.0)
    return Pieces(functions.edges, coefficients * signs)
