"""Clustering: a test whether correlations decay, or paths belong to different superselection sectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, integer
from .._memory import need_memory
from ..errors import InputError
from ..representation import short_repr
from ..sampling.correlators import Correlators
from ..sampling.independent_paths import FEWEST_BLOCKS, block_length, corrected_t, independent_units, merged
from ..sampling.path_source import PathReader, Paths, location_of, need_uniform
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..verdict import Verdict

__all__ = ["Clustering", "clustering"]

# Largest ratio of the correlation at the whole distance to the one at half of it, for decaying correlations.
_KEPT = 0.5


@short_repr
@dataclass(frozen=True)
class Clustering:
    """Result of ``clustering``.

    Attributes
    ----------
    verdict : Verdict
        "does not cluster" if p_value is below level: correlations do not decay within the paths. Otherwise "clusters":
        the data do not contradict a decay.
    p_value : float
        Probability of an equal or larger correlation at the largest distance, if the true correlation at least halves
        between the two distances. One-sided, and corrected for the number of observables.
    level : float
        p-value below which the verdict is "does not cluster".
    observable : str
        The observable with the smallest p-value.
    near, far : Estimate
        Connected correlation of this observable at about half of the largest distance, and at the largest distance;
        divided by the variance if that is known. The errors are statistical. The two values are equal for a plateau.
    """

    verdict: Verdict
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


@one_blas_thread
def clustering(
    paths: Correlators | Paths | ArrayLike,
    *,
    channel: int | str = 0,
    level: float = 1e-3,
    n_paths: int = 20_000,
) -> Clustering:
    r"""Test whether correlations decay: one vacuum, or a mixture of sectors.

    The hypothesis is :math:`G_c(L) \le G_c(L/2)/2` for the connected correlation :math:`G_c` of an observable at a
    distance L and at half of it. The hypothesis holds if the slowest relaxation time is shorter than 0.7 L. A mixture
    of theories with different means, one theory for each path, has a plateau: both correlations are equal. Sectors
    that mix more slowly than the length of a path are not distinguishable from sectors that never mix.

    For paths there are three observables, each averaged over the first, the middle and the last quarter of a path: x,
    and two bounded ones, z^2/(1 + z^2) and d^2/(1 + d^2). Here z is x, and d is the step of x from one time to the
    next, standardised by median and width. The bounded observables distinguish sectors that differ in spread, or in
    noise and rate of decay. The test is a one-sided t-test over independent paths, corrected for skewness (Hall) and
    for three observables (Bonferroni).

    For a run the observable is x, at the largest lag or between the first, middle and last time. The test is a
    one-sided t-test with jackknife errors.

    Parameters
    ----------
    paths : Correlators, Paths or array_like
        A run with lags or the two-time function; or paths of a theory on a uniform grid; or given paths, shape
        (n_paths, n_times[, channels]). Successive paths may be correlated; they form blocks as in
        ``reflection_positivity``.
    channel : int or str, default 0
        For a run, the position or name of a channel. For a theory, the position among the outputs or the name of a
        channel. For given paths, the position.
    level : float, default 0.001
        p-value below which the verdict is "does not cluster".
    n_paths : int, default 20000
        Largest number of given paths to use; the first ones are used.

    Returns
    -------
    Clustering
        Verdict, p-value and the two correlations, with statistical errors.

    Raises
    ------
    InputError
        If an argument has a wrong value, there are fewer than 30 paths or 8 times, the channel is constant, or the
        run has no suitable lags or closed paths.
    InputTypeError
        If an argument has a wrong type.

    Examples
    --------
    >>> import nnqm
    >>> clustering(nnqm.Paths(nnqm.harmonic_oscillator(), 2000, 64, 0.2, rng=1)).verdict
    'clusters'
    """
    if not 0 < float(level) < 1:
        raise InputError(f"level must lie between 0 and 1; got {level}; 0.001 is the default")
    if isinstance(paths, Correlators):
        paths.need_open("clustering is about large distances")
        found = [_of_run(paths, channel)]
    else:
        need_uniform(paths)
        units = independent_units(paths, channel, most=integer("n_paths", n_paths, 1))
        if units.n_units // units.group < FEWEST_BLOCKS:
            raise InputError(
                f"clustering needs at least {FEWEST_BLOCKS} independent paths, because sectors differ between paths; "
                f"got {units.n_units}; give more paths, pieces of one trajectory do not count"
            )
        if units.n_times < 8:
            raise InputError(f"n_times must be at least 8 for clustering; got {units.n_times}; use longer paths")
        found = _of_paths(units)
    p_value, observable, near, far = min(
        ((_p_value(near, far, samples), name, near, far) for name, near, far, samples in found), key=lambda f: f[0]
    )
    p_value = min(1.0, len(found) * p_value)
    verdict = Verdict.DOES_NOT_CLUSTER if p_value < level else Verdict.CLUSTERS
    return Clustering(verdict, p_value, float(level), observable, near, far)


# Name; correlation at half of the distance and at the whole; independent samples of G_c(L) - G_c(L/2)/2, or None.
_Found: TypeAlias = "tuple[str, Estimate, Estimate, Floats | None]"


def _p_value(near: Estimate, far: Estimate, samples: Floats | None) -> float:
    from scipy.special import stdtr

    if samples is not None:
        return float(stdtr(len(samples) - 1, corrected_t(-samples)))
    excess = far.map_replicas(lambda f, n: f - _KEPT * n, near)
    error = float(excess.error)
    if not error > 0:
        raise InputError(
            "the correlation does not fluctuate between blocks, so that no test is possible; use other paths"
        )
    return float(stdtr(excess.n_blocks - 1, -float(excess.value) / error))


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
    raise InputError(
        f"clustering needs a lag and its half (within a fifth), or the two-time function; this run has lags "
        f"{list(run.lags)}; simulate with more lags, or give paths"
    )


def _of_two_times(run: Correlators) -> _Found:
    span = run.times[-1] - run.times[0]
    middle = int(np.argmin(np.abs(run.times - run.times[0] - span / 2)))
    if not 0.4 * span <= run.times[middle] - run.times[0] <= 0.6 * span:
        raise InputError("times must contain one near the middle; got none; add it, or use a uniform grid")
    n, scale = run.n_times, run.observables.scale[run.two_time or 0]

    def between(s: Mapping[str, Floats], i: int, j: int) -> Floats:
        # The sums contain the standardised channel, packed by rows of the lower triangle.
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
    return estimate if variance is None else estimate.map_replicas(lambda g, v: g / v, variance)


def _of_paths(paths: PathReader) -> list[_Found]:
    """Name, correlations and samples of the excess of each observable."""
    n = paths.n_times
    quarter = n // 4
    centre, scale = location_of(paths)
    steps = np.diff(paths.beginning(), axis=1)
    width = float(np.median(np.abs(steps))) or float(steps.std())
    windows = [slice(0, quarter), slice((n - quarter) // 2, (n - quarter) // 2 + quarter), slice(n - quarter, n)]
    need_memory(72.0 * paths.n_units, "averages of the paths", "use a smaller n_paths", f"{paths.n_units} paths")
    averages = np.empty((3, 3, paths.n_units))
    spreads = np.zeros((3, 2))
    done = 0
    for x in paths.chunks(0, paths.n_units):
        z = (x - centre) / scale
        # The last step is repeated, so that d has one value for each time, as x has.
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
        # Each window has its own mean, because the mean may drift in time.
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
