r"""Karhunen-Loeve decompositions of covariance kernels: every mean-square continuous process is a network in time.

.. math:: x(t) = m(t) + \sum_k \theta_k \sqrt{\lambda_k}\, e_k(t), \qquad
          \int_a^b K(s, t)\, e_k(t)\, dt = \lambda_k e_k(s)

The neurons are the eigenfunctions e_k, the output weights uncorrelated numbers theta_k of variance 1, and the output
bias is the mean (Ferko and Halverson, arXiv:2504.05462; Ghanem and Spanos, Stochastic Finite Elements (1991), ch. 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, floats, integer, positive
from ..exact.spectral_measures import kallen_lehmann, thermal_measure
from ..quantum.measures import SpectralMeasure, ThermalMeasure
from ..sampling.correlators import Correlators
from ..statistics.estimate import Estimate
from ..theories.linear_processes import LinearProcess
from ..theories.mode_sums import KarhunenLoeve, Pieces, Waves, analysis, gauss
from ..theories.theory import Theory
from .kernels import CosineNetwork, Kernel, TimeNetwork, network_kernel

__all__ = ["SpectralKernel", "TableRule", "exact_kernel", "karhunen_loeve"]

Function = Callable[[Floats, Floats], ArrayLike]
Exact: TypeAlias = SpectralMeasure | ThermalMeasure | LinearProcess | CosineNetwork | TimeNetwork

# Nodes of a panel; of the coarser rule against which eigenvalues are compared; and modes that one panel holds well.
_FINE, _COARSE, _MODES_PER_PANEL = 32, 24, 6
# Additional nodes of inner integrals, for the kernel beside the polynomials.
_INNER = 16
# Most modes; and the largest matrix, but for kernels that need more from the start.
_MOST_MODES, _MOST_NODES = 1000, 1500
# Rounding of eigenvalues, relative to the largest, and of symmetry.
_ROUNDING, _ASYMMETRY = 4e-15, 1e-10
# Last Legendre coefficients of an eigenfunction below this multiple of the tolerance: the panel is fine enough.
_RESOLVED = 10.0
# A negative eigenvalue is real if it exceeds its change between the two rules by this factor.
_REAL = 100.0
# A measured mode is resolved if its eigenvalue exceeds its error by this factor.
_SIGNIFICANT = 5.0
# Panels are not halved below this part of the interval.
_NARROWEST = 1e-10
# Largest ratio of neighbouring steps of a table, beyond which errors are underestimated.
_UNEVEN = 2.5
# Points per eigenfunction on which signs are decided.
_SIGN_GRID = 16


def karhunen_loeve(
    kernel: Kernel | Exact | Theory | Correlators | tuple[ArrayLike, ArrayLike | Estimate] | Function,
    interval: tuple[float, float] | None = None,
    n_modes: int = 64,
    *,
    mean: float | Callable[[Floats], ArrayLike] | None = None,
    breaks: Sequence[float] = (),
    tolerance: float = 1e-10,
) -> KarhunenLoeve:
    r"""Decompose a covariance kernel into the neurons of a network in time.

    Wiener process, Brownian bridge, Ornstein-Uhlenbeck process and its thermal form over one period have closed forms.
    Other kernels are discretised by Legendre polynomials on panels, with inner integrals split where s = t and taken
    in the root of \|s - t\|, so that kernels that are smooth, kinked, or functions of sqrt(\|s - t\|) at the diagonal
    converge spectrally; panels are halved where eigenfunctions are not resolved. Tables are integrated by local cubics
    on either side of the diagonal.

    Parameters
    ----------
    kernel : Kernel, callable, (times, table), SpectralMeasure, Theory or Correlators
        A callable takes arrays s, t that broadcast and returns K(s, t). A table has shape (n, n) on strictly increasing
        times (n,); as an ``Estimate`` it is a measured one. A theory whose two-point function is known stands for its
        connected part and its mean, and so does a measure; a run, with ``two_time=True``, for its measured connected
        two-time function and its measured mean.
    interval : (float, float), optional
        Needed for all but tables and runs, whose own range it must be.
    n_modes : int, default 64
        Modes wanted. Those not distinguished from zero are left out and counted in ``n_noise``.
    mean : float or callable, optional
        Mean of x, zero by default; not for theories and runs, which have their own.
    breaks : sequence of float
        Times within the interval where the kernel has kinks other than at s = t.
    tolerance : float, default 1e-10
        Largest acceptable error of an eigenvalue, of asymmetry, and of negative eigenvalues, relative to the largest.
        The errors of tables are reported, not refused.

    Returns
    -------
    KarhunenLoeve
        The errors of eigenvalues are the changes from a coarser rule (panels of 24 instead of 32 nodes; every second
        entry of a table), which exceed what is left; and rounding.

    Raises
    ------
    TypeError, ValueError
        If the interval is empty, a table does not fit its times, or the kernel is not finite, symmetric and positive
        semidefinite (the message has the worst value), or the tolerance is not reached.

    Examples
    --------
    >>> kl = karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 3)
    >>> (1 / (np.pi**2 * kl.eigenvalues)).round(6)
    array([0.25, 2.25, 6.25])
    >>> matern = karhunen_loeve(Kernel.matern(1.5), (0.0, 2.0), 8)
    >>> print(f"{matern.truncation_error:.4%}", bool(matern.errors.max() < 1e-13))
    0.1500% True
    """
    n = integer("n_modes", n_modes, 1, _MOST_MODES)
    limit = positive("tolerance", tolerance)
    if isinstance(kernel, Correlators | tuple):
        return _of_table(kernel, interval, n, mean, limit)
    if interval is None:
        raise ValueError("interval must be given for a kernel that is not a table: interval=(0.0, 10.0)")
    a, b = (float(v) for v in floats("interval", interval, 1)) if np.shape(interval) == (2,) else (np.nan, np.nan)
    if not b > a:
        raise ValueError(f"interval must be (a, b) with a < b; got {interval}")
    if isinstance(kernel, Theory):
        kernel = exact_kernel(kernel)
    uncertainty = 0.0
    if isinstance(kernel, LinearProcess | ThermalMeasure):
        if mean is not None:
            raise ValueError("mean is that of the theory; leave it out")
        kernel, mean = _function_and_mean(kernel)
    if isinstance(kernel, SpectralMeasure):
        if mean is not None:
            raise ValueError(f"mean is that of the theory, {kernel.mean:g}; leave it out")
        uncertainty, mean = kernel.error * float(kernel.moments[0]) * (b - a), kernel.mean
        kernel = SpectralKernel.of(kernel, b - a)
    bias = _bias(mean, a, b)
    if isinstance(kernel, Kernel):
        closed = _closed_form(kernel, a, b, n)
        if closed is not None:
            eigenvalues, waves, trace = closed
            errors = _ROUNDING * eigenvalues
            return KarhunenLoeve((a, b), eigenvalues, errors, 0, trace, "closed form", None, waves, bias)
    if not callable(kernel):
        raise TypeError(f"kernel must be a function K(s, t), a Kernel, a table, a theory or a run; got {kernel!r}")
    inner = floats("breaks", list(breaks), 1)
    if inner.size and not (inner.min() > a and inner.max() < b):
        raise ValueError(f"breaks must lie inside the interval ({a:g}, {b:g}); got {inner.tolist()}")
    _need_continuous(kernel, a, b)
    solved = _solve(kernel, np.unique([a, *inner, b]), n, limit)
    errors = solved.errors + uncertainty
    keep = _count_resolved(solved.eigenvalues[:n], errors[:n])
    functions = _oriented(solved.functions(), solved.eigenvalues, errors, (a, b)).take(keep)
    return KarhunenLoeve(
        (a, b), solved.eigenvalues[:keep], errors[:keep], n - keep, solved.trace, "panels", None, functions, bias
    )


def exact_kernel(theory: Theory) -> Exact:
    """What knows the two-point function of the first output of a theory without sampling.

    Raises
    ------
    ValueError
        If nothing does.
    """
    if theory.network is None and isinstance(theory.sources[0], LinearProcess):
        return theory.sources[0]
    network = network_kernel(theory)
    if network is not None:
        return network
    return kallen_lehmann(theory) if theory.period is None else thermal_measure(theory)


def _function_and_mean(
    kernel: LinearProcess | ThermalMeasure,
) -> tuple[Function, float | Callable[[Floats], ArrayLike]]:
    if isinstance(kernel, LinearProcess):
        return kernel.connected, kernel.mean_at
    measure = kernel
    return lambda s, t: measure.connected(t - s), measure.mean


def _bias(mean: float | Callable[[Floats], ArrayLike] | None, a: float, b: float) -> float | Pieces:
    if mean is None:
        return 0.0
    return Pieces.through("mean", mean, a, b) if callable(mean) else float(floats("mean", mean, 0))


def _count_resolved(eigenvalues: Floats, errors: Floats) -> int:
    noise = np.flatnonzero(~(eigenvalues > _SIGNIFICANT * errors))
    keep = int(noise[0]) if noise.size else len(eigenvalues)
    if keep == 0:
        raise ValueError(
            f"kernel has no mode above its errors: the largest eigenvalue is {eigenvalues[0]:.3g}({errors[0]:.1g}); "
            "it vanishes, or needs more paths or a finer table"
        )
    return keep


def _closed_form(kernel: Kernel, a: float, b: float, n: int) -> tuple[Floats, Waves, float] | None:
    """Eigenvalues, eigenfunctions and trace where textbooks have them (Ghanem and Spanos, section 2.3)."""
    p, T, k = dict(kernel.parameters), b - a, np.arange(1, n + 1)
    if kernel.name == "wiener" and a == 0:
        w = np.asarray((k - 0.5) * np.pi / T)
        functions = Waves(a, w, np.full(n, np.pi / 2), np.full(n, np.sqrt(2 / T)))
        return (p["sigma"] / w) ** 2, functions, p["sigma"] ** 2 * T**2 / 2
    if kernel.name == "brownian-bridge" and a == 0 and abs(b - p["duration"]) <= 1e-12 * b:
        w = np.asarray(k * np.pi / T)
        functions = Waves(a, w, np.full(n, np.pi / 2), np.full(n, np.sqrt(2 / T)))
        return (p["sigma"] / w) ** 2, functions, p["sigma"] ** 2 * T**2 / 6
    if kernel.name == "ornstein-uhlenbeck":
        omega, variance = p["omega"], p["sigma"] ** 2 / (2 * p["omega"])
        w = _ornstein_uhlenbeck_roots(omega * T, n) / T
        eigenvalues = p["sigma"] ** 2 / (omega**2 + w**2)
        amplitude = np.sqrt(2 / (T + 2 * omega / (omega**2 + w**2)))
        return eigenvalues, Waves(a, w, np.arctan2(omega, w), amplitude), variance * T
    if kernel.name == "thermal-ornstein-uhlenbeck" and abs(T - p["beta"]) <= 1e-12 * T:
        w = np.asarray(2 * np.pi * (k // 2) / T)
        amplitude = np.where(k == 1, 1.0, np.sqrt(2)) / np.sqrt(T)
        # cos first, then sin
        functions = Waves(a, w, np.where((k > 1) & (k % 2 == 1), np.pi / 2, 0.0), amplitude)
        return p["sigma"] ** 2 / (p["omega"] ** 2 + w**2), functions, float(kernel(0.0, 0.0)) * T
    return None


def _ornstein_uhlenbeck_roots(c: float, n: int) -> Floats:
    """Roots x_k = w_k T of x - (k - 1) pi = 2 arctan(c/x), c = omega T: even and odd modes in one equation."""
    offset: Floats = np.pi * np.arange(n, dtype=np.float64)
    x = offset
    # The left side less the right is concave and increasing, so that Newton's steps from the left never pass the root.
    for _ in range(200):
        step = (x - offset - 2 * np.arctan2(c, x)) / (1 + 2 * c / (x**2 + c**2))
        x = x - step
        if np.all(np.abs(step) <= 2e-16 * x):
            break
    return x


@dataclass(frozen=True, eq=False, repr=False)
class SpectralKernel:
    """A sum of decaying exponentials of |s - t|, interpolated: thousands of terms at the cost of one polynomial.

    On [d, 2d] a sum of decaying exponentials is analytic as far as 0, so that 28 Legendre functions reach rounding
    whatever the rates; and so they do on [0, d] where no rate exceeds 1/d.
    """

    pieces: Pieces

    @classmethod
    def of(cls, measure: SpectralMeasure, duration: float) -> SpectralKernel:
        """The connected two-point function up to times as long as this."""
        if measure.signs is not None:
            raise ValueError(
                f"a chain with negative eigenvalues has a kernel at multiples of dt={measure.step:g} only; give a "
                "table: (times, measure.connected(times[:, None] - times))"
            )
        # Inputs of equal frequencies have many equal energies.
        first = np.flatnonzero(np.abs(np.diff(measure.energies, prepend=-1.0)) > 1e-12 * measure.energies)
        rates, weights = measure.energies[first] / measure.hbar, np.add.reduceat(measure.weights, first)
        octaves = int(np.clip(np.ceil(np.log2(rates.max(initial=1 / duration) * duration)), 1, 48))
        edges = np.concatenate([[0.0], duration * 2.0 ** np.arange(-octaves, 1)])
        d = edges[:-1, None] + np.diff(edges)[:, None] * (1 + gauss(28)[0]) / 2
        values = np.exp(-d[..., None] * rates) @ weights
        return cls(Pieces(edges, (values @ analysis(28).T)[..., None]))

    def __call__(self, s: Floats, t: Floats) -> Floats:
        """K(s, t) for times that broadcast."""
        return np.asarray(self.pieces(np.abs(t - s))[..., 0])


@dataclass(frozen=True, eq=False, repr=False)
class _Solution:
    """Eigenpairs on panels; their errors, once there is another rule to compare with."""

    edges: Floats
    eigenvalues: Floats
    vectors: Floats  # (P p, K)
    smallest: float
    trace: float
    errors: Floats

    def functions(self) -> Pieces:
        panels = len(self.edges) - 1
        p = len(self.vectors) // panels
        weights = np.diff(self.edges)[:, None] / 2 * gauss(p)[1]
        values = self.vectors.reshape(panels, p, -1) / np.sqrt(weights)[..., None]
        return Pieces(self.edges, np.einsum("kb,ibm->ikm", analysis(p), values, optimize=True))


def _solve(kernel: Function, breaks: Floats, n: int, tolerance: float) -> _Solution:
    """Panels halved until eigenvalues have converged and eigenfunctions are resolved."""
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
        fine, coarse = _discretised(kernel, edges, _FINE, tolerance), _discretised(kernel, edges, _COARSE, tolerance)
        largest, lowest = fine.eigenvalues[0], fine.smallest
        size = max(largest, -lowest)
        rounding = _ROUNDING * size
        # A larger one among its neighbours: two rules may agree in one eigenvalue by chance.
        m = min(len(coarse.eigenvalues), n + 8)
        change = np.abs(fine.eigenvalues[:m] - coarse.eigenvalues[:m])
        padded = np.pad(change, 1)
        errors = np.maximum(np.maximum(padded[:-2], padded[2:]), change) + rounding
        solution = replace(fine, eigenvalues=fine.eigenvalues[:m], vectors=fine.vectors[:, :m], errors=errors)
        converged = errors[:n].max() <= tolerance * size
        shift = abs(lowest - coarse.smallest)
        if converged and -lowest > max(tolerance * size, _REAL * shift):
            raise ValueError(
                f"kernel must be positive semidefinite; it has the eigenvalue {lowest:.6g}({shift:.1g}) on the "
                f"interval [{breaks[0]:g}, {breaks[-1]:g}], the largest being {largest:.6g}; no process has it as its "
                "covariance"
            )
        if size <= 0:
            return solution
        coefficients = np.abs(solution.functions().coefficients[:, -2:, :n]).max(axis=1)
        # Rounding disturbs an eigenvector by this much; below it no panel is to blame.
        floor = np.maximum(_RESOLVED * tolerance, 10 * rounding / np.maximum(solution.eigenvalues[:n], rounding))
        tails = (coefficients * np.sqrt(edges[-1] - edges[0]) / floor).max(axis=1)
        cuts = _cuts(edges, tails > (1 if converged else min(1, tails.max() / 2)), breaks)
        too_many = (len(edges) - 1 + len(cuts)) * _FINE > most or np.diff(edges).min() < _NARROWEST * np.ptp(edges)
        if converged and (too_many or not len(cuts)):
            return solution
        if too_many:
            raise ValueError(
                f"kernel converges slowly: with {len(edges) - 1} panels of {_FINE} polynomials the error of an "
                f"eigenvalue is {errors[:n].max() / size:.1g} of the largest, not tolerance={tolerance:g}; give the "
                "times of its kinks as breaks, fewer n_modes, or a larger tolerance"
            )
        edges = np.sort(np.concatenate([edges, cuts]))


def _cuts(edges: Floats, rough: NDArray[np.bool_], breaks: Floats) -> Floats:
    """Points at which panels are cut: in the middle, and thrice towards an end where the kernel's domain ends."""
    low, high = edges[:-1][rough], edges[1:][rough]
    parts = [(low + high) / 2]
    for end, other in ((low, high), (high, low)):
        at_end = np.isin(end, breaks)
        parts += [end[at_end] + (other - end)[at_end] / 2**k for k in (2, 3)]
    return np.concatenate(parts)


def _discretised(kernel: Function, edges: Floats, p: int, tolerance: float) -> _Solution:
    """Eigenpairs of the kernel between piecewise polynomials of degree p - 1 (Galerkin's method).

    The basis are the Lagrange polynomials of the Gauss nodes, divided by the roots of their weights. Distant panels
    need K at pairs of nodes only; a panel and its neighbours need the double integral, the kernel not being smooth
    there.
    """
    x, w = gauss(p)
    half = np.diff(edges) / 2
    nodes = edges[:-1, None] + half[:, None] * (1 + x)
    root = np.sqrt(half[:, None] * w)
    flat = nodes.ravel()
    matrix = _evaluated(kernel, flat[:, None], flat[None, :])
    _need_symmetric(matrix, flat, tolerance)
    trace = float(np.sum(root.ravel() ** 2 * np.diag(matrix)))
    matrix *= root.ravel()[:, None] * root.ravel()
    for i in range(len(half)):
        for j in range(i, min(i + 2, len(half))):
            low, high = edges[j], edges[j + 1]
            rule = _near_rule(p, j > i, round(float(half[j] / half[i]), 9))
            s = edges[i] + half[i] * (1 + rule.outer)
            t = np.clip(low + half[j] * (1 + rule.inner), low, high)
            values = _evaluated(kernel, s[:, None], t) * rule.weights
            inner = np.matmul(values[:, None, :], rule.inner_polynomials)[:, 0]
            block = half[i] * half[j] / (root[i][:, None] * root[j]) * (rule.outer_polynomials.T @ inner)
            matrix[i * p : (i + 1) * p, j * p : (j + 1) * p] = block
            matrix[j * p : (j + 1) * p, i * p : (i + 1) * p] = block.T
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return _Solution(edges, eigenvalues[::-1], vectors[:, ::-1], float(eigenvalues[0]), trace, np.zeros(0))


@dataclass(frozen=True, eq=False, repr=False)
class _NearRule:
    """Nodes and weights of double integrals with a kink at s = t, and the polynomials there."""

    outer: Floats  # (m,), positions of s on [-1, 1]
    inner: Floats  # (m, q), of t
    weights: Floats  # (m, q)
    outer_polynomials: Floats  # (m, p)
    inner_polynomials: Floats  # (m, q, p)


@lru_cache(maxsize=32)
def _near_rule(p: int, neighbours: bool, ratio: float) -> _NearRule:
    """Rule for double integrals over a panel squared, or over a panel and the next one, ratio times as long.

    With d = |s - t| = u^2, smooth functions of d or sqrt(d) are smooth in u. What the inner integral leaves are powers
    of the root of the distance from the ends of the panel, smooth in a variable of which that distance is a square.
    """
    # Polynomials of degree p - 1 in s, one explicit and one that the inner integral leaves, are cubic in the variable.
    x, mu = gauss(3 * p + _INNER)
    outer = x * (3 - x**2) / 2
    xi, omega = gauss(p + _INNER)
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
    lagrange = [legendre.legvander(z, p - 1) @ analysis(p) for z in (outer, inner)]
    return _NearRule(outer, inner, weight, lagrange[0], lagrange[1])


def _evaluated(kernel: Function, s: Floats, t: Floats) -> Floats:
    """K(s, t) as float64 of the shape that s and t broadcast to."""
    shape = np.broadcast_shapes(s.shape, t.shape)
    values = np.asarray(kernel(s, t))
    if values.dtype.kind not in "fiu":
        raise TypeError(f"kernel must return real numbers; got dtype {values.dtype}")
    if values.shape != shape:
        raise ValueError(
            f"kernel must return an array of the shape that s and t broadcast to, {shape}; got {values.shape}; "
            "use NumPy functions, or numpy.vectorize"
        )
    values = np.array(values, dtype=np.float64)
    if not np.isfinite(values).all():
        at = tuple(np.argwhere(~np.isfinite(values))[0])
        where = tuple(float(np.broadcast_to(v, shape)[at]) for v in (s, t))
        raise ValueError(f"kernel must be finite; K({where[0]:.6g}, {where[1]:.6g}) = {values[at]}")
    return values


def _need_symmetric(matrix: Floats, times: Floats, tolerance: float) -> None:
    lack = np.abs(matrix - matrix.T)
    i, j = np.unravel_index(int(lack.argmax()), lack.shape)
    if lack[i, j] > max(tolerance, _ASYMMETRY) * np.abs(matrix).max():
        raise ValueError(
            f"kernel must be symmetric; K({times[i]:.6g}, {times[j]:.6g}) = {matrix[i, j]:.10g} but "
            f"K({times[j]:.6g}, {times[i]:.6g}) = {matrix[j, i]:.10g}; use (K + K^T)/2 if that is meant"
        )


def _need_continuous(kernel: Function, a: float, b: float) -> None:
    """Refuse white noise: its variance is in no mode."""
    # Irrational fractions of the interval
    t = a + (b - a) * (np.sqrt(2) * np.arange(1, 33) % 1) * (1 - 1e-6)
    shorter, longer = (
        _evaluated(kernel, t, t) + _evaluated(kernel, t + h, t + h) - 2 * _evaluated(kernel, t, t + h)
        for h in ((b - a) * 1e-12, (b - a) * 1e-8)
    )
    # Of a continuous process, however rough, it shrinks with the distance.
    jump = (shorter > 0.9 * longer) & (shorter > 1e-6 * np.abs(_evaluated(kernel, t, t)))
    if jump.any():
        i = int(jump.argmax())
        raise ValueError(
            f"kernel must be continuous at s = t, or x is not mean-square continuous; at t={t[i]:.6g} "
            f"<(x(t + h) - x(t))^2> = {shorter[i]:.3g} for h={(b - a) * 1e-12:.1g}; leave white noise out"
        )


def _oriented(functions: Pieces, eigenvalues: Floats, errors: Floats, interval: tuple[float, float]) -> Pieces:
    """Eigenfunctions made unique: equal eigenvalues by their values at the left end, signs by the first lobe."""
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
    # Where it first exceeds half of its maximum it is in its first lobe, or in one like it.
    first = np.argmax(np.abs(values) > np.abs(values).max(axis=0) / 2, axis=0)
    signs = np.where(values[first, np.arange(n)] < 0, -1.0, 1.0)
    return Pieces(functions.edges, coefficients * signs)


def _of_table(
    kernel: Correlators | tuple[ArrayLike, ArrayLike | Estimate],
    interval: tuple[float, float] | None,
    n: int,
    mean: float | Callable[[Floats], ArrayLike] | None,
    tolerance: float,
) -> KarhunenLoeve:
    bias: float | Pieces
    table: Floats | Estimate
    if isinstance(kernel, Correlators):
        if mean is not None:
            raise ValueError("mean is measured by the run; leave it out")
        times, table, means = _measured(kernel)
        bias = _interpolated(times, means[:, None])
    else:
        if len(kernel) != 2:
            raise TypeError(f"a table must be (times, values); got a tuple of {len(kernel)}")
        times = floats("times", kernel[0], 1)
        table = kernel[1] if isinstance(kernel[1], Estimate) else floats("table", kernel[1])
        bias = _bias(mean, float(times[0]), float(times[-1])) if times.size else 0.0
    values = table.value if isinstance(table, Estimate) else table
    size = len(times)
    if values.shape != (size, size):
        raise ValueError(f"table must have shape {(size, size)}, one row and column per time; got {values.shape}")
    if size < 8:
        raise ValueError(f"times must have at least 8 entries for a table; got {size}; use a finer grid")
    if np.diff(times).min() <= 0:
        i = int(np.argmax(np.diff(times) <= 0))
        raise ValueError(
            f"times must be strictly increasing; times[{i + 1}]={times[i + 1]:g} <= times[{i}]={times[i]:g}; "
            "sort the table"
        )
    steps = np.diff(times)
    ratio = np.maximum(steps[1:] / steps[:-1], steps[:-1] / steps[1:])
    if ratio.max() > _UNEVEN:
        i = int(ratio.argmax())
        raise ValueError(
            f"times of a table must not be too uneven: neighbouring steps may differ by a factor of {_UNEVEN:g}; got "
            f"{steps[i]:.3g} and {steps[i + 1]:.3g} at times[{i + 1}]={times[i + 1]:g}; interpolate the table"
        )
    a, b = float(times[0]), float(times[-1])
    if interval is not None:
        given = floats("interval", interval, 1)
        if given.shape != (2,) or np.abs(given - [a, b]).max() > 1e-9 * (b - a):
            raise ValueError(f"interval must be that of the table, ({a:g}, {b:g}); got {interval}; leave it out")
    _need_symmetric(values, times, tolerance)
    values = (values + values.T) / 2
    rule = TableRule.of(times)
    # What makes a table the covariance of a process is that it is positive as a matrix, whatever the quadrature.
    root = np.diag(np.sqrt(rule.outer))
    plain, directions = np.linalg.eigh(root @ values @ root)
    allowed = tolerance * plain[-1]
    if isinstance(table, Estimate):
        direction = root @ directions[:, 0]
        # Noise alone spreads eigenvalues over 2 sqrt(size) times the error of an entry.
        spread = float(table.map(lambda m: (m @ direction) @ direction).error)
        allowed += (_SIGNIFICANT + 2 * np.sqrt(size)) * spread
    if plain[0] < -allowed:
        raise ValueError(
            f"table must be positive semidefinite; it has the eigenvalue {plain[0]:.6g}, the largest being "
            f"{plain[-1]:.6g}; a larger tolerance accepts a table that is rounded"
        )
    eigenvalues, vectors = np.linalg.eigh(rule.operator(values))
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    most = min(n, size // 2)
    change = np.zeros(most)
    for first in (0, 1):
        keep = np.unique([0, *range(first, size, 2), size - 1])
        coarse = np.linalg.eigvalsh(TableRule.of(times[keep]).operator(values[np.ix_(keep, keep)]))[::-1]
        change = np.maximum(change, np.abs(eigenvalues[:most] - coarse[:most]))
    padded = np.pad(change, 1)
    numerical = (
        np.maximum(np.maximum(padded[:-2], padded[2:]), change) + _ROUNDING * eigenvalues[0] + max(-plain[0], 0.0)
    )
    errors, estimates, method = numerical, None, "table"
    if isinstance(table, Estimate):
        estimates = _with_errors(table, rule, eigenvalues, vectors[:, :most], numerical)
        errors, method = estimates.total_error, "measured"
    kept = _count_resolved(eigenvalues[:most], errors)
    functions = _interpolated(times, vectors[:, :kept] / np.sqrt(rule.outer)[:, None])
    return KarhunenLoeve(
        (a, b),
        eigenvalues[:kept],
        errors[:kept],
        n - kept,
        float(rule.outer @ np.diag(values)),
        method,
        None if estimates is None else estimates[:kept],
        _oriented(functions, eigenvalues, numerical[:kept], (a, b)),
        bias,
    )


def _measured(run: Correlators) -> tuple[Floats, Estimate, Floats]:
    """Times, connected two-time function and mean of a run."""
    run.need("two_time", "simulate with two_time=True")
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
    """Eigenvalues with jackknife errors and, as systematic ones, bias of noise and error of the grid.

    First order of perturbation theory: replicas are v^T A v. Second order: noise pushes an eigenvalue away from another
    one by the squared matrix element between them over their distance, and never by more than the element itself.
    """
    elements = table.map(lambda m: np.matmul(vectors.T, rule.operator(m) @ vectors))
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

    Weights of the grid times the kernel make its integral operator; the kink at s = t is an error of second order,
    a multiple of the function at that point, so that it is corrected on the diagonal, exactly for constants.
    """

    outer: Floats  # (n,), weights of the grid
    split: Floats  # (n, n), weights of integrals split at the point of each row, less those of the grid

    @classmethod
    def of(cls, times: Floats) -> TableRule:
        """The rule of a grid."""
        left = _weights_up_to(times)
        outer = left[-1]
        if outer.min() <= 0:
            # Cubics on very uneven points; straight lines are always positive.
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
    """Weights (n, n): row i integrates from the first point to point i, using the points up to i only."""
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
    """Local cubics through values (n, K) on a grid, as Legendre series on its intervals."""
    n = len(times)
    x, _ = gauss(4)
    pieces = np.empty((n - 1, 4, values.shape[1]))
    for i in range(n - 1):
        first = min(max(i - 1, 0), n - 4)
        points = times[first : first + 4]
        t = times[i] + (times[i + 1] - times[i]) * (1 + x) / 2
        others = [[k for k in range(4) if k != j] for j in range(4)]
        lagrange = np.stack(
            [np.prod((t[:, None] - points[o]) / (points[j] - points[o]), axis=1) for j, o in enumerate(others)]
        )
        pieces[i] = analysis(4) @ (lagrange.T @ values[first : first + 4])
    return Pieces(times, pieces)
