r"""Beyond two-point functions: connected four-point functions, and whether correlations decay at all.

The connected four-point function is the joint cumulant of x at four times,

.. math:: \langle x_1 x_2 x_3 x_4\rangle_c = \sum_\pi (-1)^{|\pi| - 1} (|\pi| - 1)! \prod_{B \in \pi}
          \Big\langle \prod_{i \in B} x_i \Big\rangle

over the partitions of {1, 2, 3, 4}; zero for Gaussian processes, and at equal times, over the squared variance, the
excess kurtosis. In a theory with one vacuum connected functions of distant times vanish (clustering); a mixture of
theories has a plateau.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, integer
from ..sampling.correlators import Correlators, normalised_lags
from ..sampling.independent_paths import (
    FEWEST_BLOCKS,
    Units,
    block_length,
    corrected_t,
    merged,
    path_units,
    theory_units,
)
from ..sampling.run_settings import Rng
from ..statistics.estimate import Estimate, jackknife
from ..theories.theory import Theory

__all__ = ["Clustering", "clustering", "connected_four_point", "pair_four_point"]

_N_BLOCKS = 128
# Values of paths handled at once.
_CHUNK = 1 << 21
# Part of the correlation at half the distance that a decaying one may keep, at most.
_KEPT = 0.5

Subset: TypeAlias = "tuple[int, ...]"


def _partitions(items: Subset) -> Iterator[list[Subset]]:
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            left = tuple(i for i in rest if i not in others)
            for partition in _partitions(left):
                yield [(first, *others), *partition]


_FOUR = (0, 1, 2, 3)
_PARTITIONS = tuple(_partitions(_FOUR))
_SUBSETS = tuple(s for size in range(1, 5) for s in combinations(_FOUR, size))


def _cumulant(moment: Callable[[Subset], Floats]) -> Floats:
    """Joint cumulant of four variables from the moments of their subsets."""
    terms = [
        (-1) ** (len(blocks) - 1) * factorial(len(blocks) - 1) * prod(moment(b) for b in blocks)
        for blocks in _PARTITIONS
    ]
    return np.asarray(sum(terms))


def pair_four_point(run: Correlators, channel: int | str = 0, powers: tuple[int, int] = (2, 2)) -> Estimate:
    r"""Connected four-point function of two times, :math:`\langle x^a(0)\, x^b(t) \rangle_c` with a + b = 4.

    From the lag matrix of the Hermite polynomials of the channel; symmetrised in time. The error is statistical
    (jackknife over blocks); the bias of a product of estimated moments is of the order of its square.

    Parameters
    ----------
    run : Correlators
        With ``observable_lags``, and polynomials of the channel up to the larger power: for outputs of a network
        ``simulate(..., observables=default_observables(theory, observe=["x"]))``.
    channel : int or str
    powers : tuple of int, default (2, 2)
        (2, 2), (1, 3) or (3, 1); the last two are the same.

    Returns
    -------
    Estimate
        Shape (k,) at the lags ``run.observable_lags``, in units of x^4.

    Raises
    ------
    ValueError
        If the run has no such sums, or the powers are others.

    Examples
    --------
    >>> import nnqm
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 16, 0.2, rng=1)
    >>> print(bool(np.all(np.abs(pair_four_point(run).pull(0.0)) < 4)))  # Gaussian
    True
    """
    if tuple(powers) not in ((2, 2), (1, 3), (3, 1)):
        raise ValueError(f"powers must be (2, 2), (1, 3) or (3, 1); got {tuple(powers)}")
    first, second = sorted(powers)
    run.need("observable_lags", "simulate with observable_lags=(1, 2, 3, ...)")
    o = run.observables
    c = o.index(channel)
    if o.orders[c] < second:
        raise ValueError(
            f"observables must hold polynomials of {o.channels[c]} up to order {second}; got {o.orders[c]}; simulate "
            f"with observables=default_observables(theory, observe=[{o.channels[c]!r}])"
        )
    place = [0, 1 + c] + [o.labels.index(f"h{k}({o.channels[c]})") for k in range(2, second + 1)]
    # Powers of z from normalised Hermite polynomials, rows: 1, z, z^2, z^3.
    convert = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, np.sqrt(2), 0], [0, 3, 0, np.sqrt(6)]])
    convert = convert[: second + 1, : second + 1]

    def evaluate(s: Mapping[str, Floats]) -> Floats:
        product, _ = normalised_lags(s["observable_lags"])
        of_powers = convert @ product[..., place, :][..., place] @ convert.T
        # The same estimator backwards in time.
        of_powers = (of_powers + np.swapaxes(of_powers, -1, -2)) / 2

        def moment(subset: Subset) -> Floats:
            early = sum(i < first for i in subset)
            return np.asarray(of_powers[..., early, len(subset) - early])

        return np.asarray(o.scale[c] ** 4 * _cumulant(moment))

    estimate: Estimate = run.estimate(evaluate, "observable_lags")
    return estimate


def connected_four_point(
    source: Theory | ArrayLike,
    steps: ArrayLike,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    channel: int | str = 0,
    stationary: bool = True,
    n_paths: int = 100_000,
    rng: Rng = None,
    key: int | None = None,
    precision: str = "float32",
    n_threads: int = 0,
) -> Estimate:
    """Connected four-point function of any four times, from paths chunk by chunk.

    The error is statistical: jackknife over at most 128 blocks of successive paths, which are to be much longer than
    the paths' correlations if they are a Markov chain. Of a theory with random weights it is the cumulant over paths
    and weights.

    Parameters
    ----------
    source : Theory or array_like
        A theory, of which paths are drawn, or paths of shape (n_paths, n_times[, channels]).
    steps : array_like of int
        Times in steps of the grid, shape (..., 4), in any order; repeated ones are powers of x.
    n_times, dt : int, float
        Time grid of a theory; paths have their own.
    channel : int or str
        Which output of the theory, or which channel of the paths.
    stationary : bool, default True
        Average over all translations of the four times within a path. Otherwise steps are positions on the grid.
    n_paths : int, default 100000
        Paths drawn of a theory; of paths given, at most so many are used.
    rng, key, precision, n_threads
        As for ``sample_paths``.

    Returns
    -------
    Estimate
        Shape (...), in units of x^4.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not fit, or there are fewer than 2 paths.

    See Also
    --------
    n_point : the exact n-point functions.

    Examples
    --------
    >>> import nnqm
    >>> found = connected_four_point(nnqm.harmonic_oscillator(), [0, 1, 3, 4], 16, 0.2, n_paths=20_000, rng=1)
    >>> print(bool(abs(found.pull(0.0)) < 4))  # Gaussian
    True
    """
    given = np.asarray(steps)
    if given.dtype.kind not in "iu" or given.ndim == 0 or given.shape[-1] != 4 or given.size == 0:
        raise ValueError(f"steps must be integers of shape (..., 4); got shape {given.shape}, dtype {given.dtype}")
    paths = _paths(source, n_times, dt, channel, n_paths, rng, key, precision, n_threads)
    rows = given.reshape(-1, 4)
    if stationary:
        rows = rows - rows.min(axis=1, keepdims=True)
    if rows.min() < 0 or rows.max() >= paths.n_times:
        raise ValueError(
            f"steps must span less than the paths, {paths.n_times} steps; got {given.reshape(-1, 4).tolist()}; "
            "use longer paths"
        )
    n_groups = -(-paths.n_units // paths.group)
    if n_groups < 2:
        raise ValueError(f"errors need at least 2 independent paths; got {n_groups}; give more of them")
    n_blocks = min(_N_BLOCKS, n_groups)
    edges = np.minimum(np.arange(n_blocks + 1) * n_groups // n_blocks * paths.group, paths.n_units)
    sums = np.zeros((n_blocks, len(rows), len(_SUBSETS)))
    centre, scale = _location(paths)
    for b in range(n_blocks):
        for z in _chunks(paths, int(edges[b]), int(edges[b + 1])):
            z = (z - centre) / scale
            for r, row in enumerate(rows):
                span = paths.n_times - int(row.max()) if stationary else 1
                columns = [z[:, k : k + span] for k in row]
                products: dict[Subset, Floats] = {}
                for i, subset in enumerate(_SUBSETS):
                    rest = products.get(subset[:-1])
                    last = columns[subset[-1]]
                    products[subset] = last if rest is None else rest * last
                    sums[b, r, i] += products[subset].sum() / span
    sizes = np.diff(edges)

    def evaluate(s: Mapping[str, Floats]) -> Floats:
        means = s["products"] / s["paths"][:, None, None]
        cumulant = _cumulant(lambda subset: means[:, :, _SUBSETS.index(subset)])
        return (scale**4 * cumulant).reshape(-1, *given.shape[:-1])

    estimate: Estimate = jackknife(evaluate, {"products": sums, "paths": sizes}, sizes)
    return estimate


@dataclass(frozen=True)
class Clustering:
    """Outcome of ``clustering``.

    Attributes
    ----------
    verdict : str
        "clusters", as far as can be told, or "does not cluster" (p_value below level): correlations do not decay
        within the paths.
    p_value : float
        One-sided, and corrected for the number of observables: how likely so much correlation over a long time is where
        it at least halves between the two distances.
    level : float
        The p-value below which the verdict is "does not cluster".
    observable : str
        The one with the smallest p-value.
    near, far : Estimate
        Its connected correlation at about half of the largest distance and at the largest, over its variance where that
        is known; errors are statistical. Equal for a plateau.
    """

    verdict: str
    p_value: float
    level: float
    observable: str
    near: Estimate
    far: Estimate

    def __str__(self) -> str:
        return (
            f"{self.verdict} (p = {self.p_value:.2g}): connected correlation of {self.observable} {self.near} at half "
            f"the distance, {self.far} at the whole"
        )


def clustering(
    source: Correlators | Theory | ArrayLike,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    channel: int | str = 0,
    n_paths: int = 20_000,
    level: float = 1e-3,
    rng: Rng = None,
    key: int | None = None,
    precision: str = "float32",
    n_threads: int = 0,
) -> Clustering:
    r"""Test whether correlations decay: whether there is one vacuum, or a mixture of sectors.

    With :math:`G_c` the connected correlation of an observable at a distance L and at half of it, the hypothesis is
    :math:`G_c(L) \le G_c(L/2)/2`, which holds if the slowest relaxation time is shorter than 0.7 L. A plateau, as that
    of theories with different means mixed path by path, makes them equal. Sectors that mix more slowly than paths are
    long cannot be told from sectors that never do.

    For paths the observables are x, averaged over the first, the middle and the last quarter of each path, and two
    bounded ones, z^2/(1 + z^2) and d^2/(1 + d^2), which see sectors that differ in spread or in noise and rate of decay
    (z is x and d the step of x from one time to the next, standardised by median and width). The test is a one-sided
    t-test over independent paths, corrected for skewness (Hall) and for three observables (Bonferroni). For a run it is
    x at its largest lag (or between its first, middle and last time), and the t-test is that of the jackknife.

    Parameters
    ----------
    source : Correlators, Theory or array_like
        A run with lags or the two-time function; or a theory, of which paths are drawn; or paths, shape (n_paths,
        n_times[, channels]). Successive paths may be correlated: blocks are made as in ``reflection_positivity``.
    n_times, dt : int, float
        Time grid for a theory.
    channel : int or str
    n_paths : int, default 20000
        Paths drawn of a theory; of paths given, at most so many are used.
    level : float, default 0.001
        p-value below which the verdict is "does not cluster".
    rng, key, precision, n_threads
        As for ``sample_paths``.

    Returns
    -------
    Clustering

    Raises
    ------
    TypeError, ValueError
        If the arguments do not fit, paths are fewer than 30 or shorter than 8 times, the channel is constant, or the
        run has no lags long enough.

    Examples
    --------
    >>> import nnqm
    >>> clustering(nnqm.harmonic_oscillator(), 64, 0.2, n_paths=2000, rng=1).verdict
    'clusters'
    """
    if not 0 < float(level) < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}; 0.001 is the default")
    if isinstance(source, Correlators):
        found = [_of_run(source, channel)]
    else:
        paths = _paths(source, n_times, dt, channel, n_paths, rng, key, precision, n_threads)
        if paths.n_units // paths.group < FEWEST_BLOCKS:
            raise ValueError(
                f"sectors differ between paths, and the test needs at least {FEWEST_BLOCKS} independent ones; got "
                f"{paths.n_units}; pieces of one trajectory do not count"
            )
        if paths.n_times < 8:
            raise ValueError(f"n_times must be at least 8 for correlations over a distance; got {paths.n_times}")
        found = _of_paths(paths)
    p_value, observable, near, far = min(
        ((_p_value(near, far, samples), name, near, far) for name, near, far, samples in found), key=lambda f: f[0]
    )
    p_value = min(1.0, len(found) * p_value)
    return Clustering(
        "does not cluster" if p_value < level else "clusters", p_value, float(level), observable, near, far
    )


# Name, correlation at half the distance and at the whole, and independent samples of the excess where there are any.
_Found: TypeAlias = "tuple[str, Estimate, Estimate, Floats | None]"


def _p_value(near: Estimate, far: Estimate, samples: Floats | None) -> float:
    from scipy.special import stdtr

    if samples is not None:
        return float(stdtr(len(samples) - 1, corrected_t(-samples)))
    excess = far.map(lambda f, n: f - _KEPT * n, near)
    return float(stdtr(excess.n_blocks - 1, -float(excess.value) / float(excess.error)))


def _of_run(run: Correlators, channel: int | str) -> _Found:
    if "lags" in run.sums and max(run.lags, default=0) >= 2:
        largest = max(run.lags)
        half = min((k for k in run.lags if k > 0), key=lambda k: abs(k - largest / 2))
        if 0.4 * largest <= half <= 0.6 * largest:
            connected = run.connected(channel)
            variance = connected[run.lags.index(0)] if 0 in run.lags else None
            near, far = (connected[run.lags.index(k)] for k in (half, largest))
            return run.channels[run.observables.index(channel)], _over(near, variance), _over(far, variance), None
    if "two_time" in run.sums and run.two_time == run.observables.index(channel) and run.n_times >= 3:
        return _of_two_times(run)
    raise ValueError(
        f"clustering needs a lag and its half (within a fifth), or the two-time function; this run has lags "
        f"{list(run.lags)}; simulate with more lags, or give paths"
    )


def _of_two_times(run: Correlators) -> _Found:
    span = run.times[-1] - run.times[0]
    middle = int(np.argmin(np.abs(run.times - run.times[0] - span / 2)))
    if not 0.4 * span <= run.times[middle] - run.times[0] <= 0.6 * span:
        raise ValueError("times must have one near the middle; add it, or use a uniform grid")
    n, scale = run.n_times, run.observables.scale[run.two_time or 0]

    def between(s: Mapping[str, Floats], i: int, j: int) -> Floats:
        # Of the standardised channel, packed by rows of the lower triangle.
        mean = s["time_sums"] / s["paths"][:, None]
        packed = s["two_time"][:, j * (j + 1) // 2 + i] / s["paths"]
        return np.asarray(scale**2 * (packed - mean[:, i] * mean[:, j]))

    def evaluate(s: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        variance = (between(s, 0, 0) + between(s, n - 1, n - 1)) / 2
        near = (between(s, 0, middle) + between(s, middle, n - 1)) / 2
        return near / variance, between(s, 0, n - 1) / variance

    near, far = run.estimate(evaluate, "two_time", "time_sums")
    return run.channels[run.two_time or 0], near, far, None


def _over(estimate: Estimate, variance: Estimate | None) -> Estimate:
    return estimate if variance is None else estimate.map(lambda g, v: g / v, variance)


def _of_paths(paths: Units) -> list[_Found]:
    """Name, correlations and samples of the excess of each observable."""
    n = paths.n_times
    quarter = n // 4
    centre, scale = _location(paths)
    steps = np.diff(_first(paths), axis=1)
    width = float(np.median(np.abs(steps))) or float(steps.std())
    windows = [slice(0, quarter), slice((n - quarter) // 2, (n - quarter) // 2 + quarter), slice(n - quarter, n)]
    averages = np.empty((3, 3, paths.n_units))
    spreads = np.zeros((3, 2))
    done = 0
    for x in _chunks(paths, 0, paths.n_units):
        z = (x - centre) / scale
        # One value for each time, so that all share the windows.
        d = np.diff(x, axis=1, append=x[:, -2:-1]) / width
        bounded = [u**2 / (1 + u**2) for u in (z, d)]
        for o, values in enumerate((z, *bounded)):
            spreads[o] += values.sum(), (values**2).sum()
            for w, window in enumerate(windows):
                averages[o, w, done : done + len(x)] = values[:, window].mean(axis=1)
        done += len(x)
    found: list[_Found] = []
    for name, (early, middle, late), (first, second) in zip(
        ("x", "z^2/(1 + z^2)", "d^2/(1 + d^2)"), averages, spreads, strict=True
    ):
        variance = second / (paths.n_units * n) - (first / (paths.n_units * n)) ** 2
        if not variance > 0:
            continue
        # Means of their own, so that they may drift in time.
        early, middle, late = (v - v.mean() for v in (early, middle, late))
        near, far = (early + late) * middle / 2 / variance, early * late / variance
        samples = far - _KEPT * near
        length = block_length(samples, paths.group)
        blocks = [merged(v, length) for v in (near, far, samples)]
        found.append((name, _mean(blocks[0]), _mean(blocks[1]), blocks[2]))
    return found


def _mean(samples: Floats) -> Estimate:
    n = len(samples)
    return Estimate(samples.mean(), (samples.sum() - samples) / (n - 1), np.full(n, n))


def _paths(
    source: Theory | ArrayLike,
    n_times: int | None,
    dt: float | None,
    channel: int | str,
    n_paths: int,
    rng: Rng,
    key: int | None,
    precision: str,
    n_threads: int,
) -> Units:
    wanted = integer("n_paths", n_paths, 1)
    if isinstance(source, Theory):
        return theory_units(source, wanted, n_times, dt, channel, rng, key, precision, n_threads)
    if n_times is not None or dt is not None:
        raise ValueError("n_times and dt are for a theory; given paths have their own; leave them out")
    return path_units(source, wanted, 1.0, channel, False)


def _location(paths: Units) -> tuple[float, float]:
    """Median and half the width of the central 68% of the first paths."""
    x = _first(paths)
    low, median, high = np.quantile(x, [0.16, 0.5, 0.84])
    width = (high - low) / 2 if high > low else x.std()
    if not width > 1e-12 * np.abs(x).max():
        raise ValueError("the channel is constant, so that nothing fluctuates; choose one that moves")
    return float(median), float(width)


def _first(paths: Units) -> Floats:
    return paths.read(0, min(paths.n_units, max(1, _CHUNK // paths.n_times)))


def _chunks(paths: Units, first: int, last: int) -> Iterator[Floats]:
    at_once = max(1, _CHUNK // paths.n_times)
    for begin in range(first, last, at_once):
        yield paths.read(begin, min(begin + at_once, last))
