"""Correlators at long times from many futures of each present."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, Rng, choice, integer, random_key
from .._memory import need_memory
from .._signals import HeldSignals
from ..errors import InputError, InputTypeError
from ..progress import Progress, ProgressBar
from ..sampling.correlators import Correlators
from ..sampling.measure import Measure, measure_or_default, resolve
from ..sampling.observables import Observables, default_observables
from ..sampling.path_functions import labels_of, values_of
from ..sampling.paths import draw_channels
from ..sampling.run_settings import (
    DEFAULT_BLOCKS,
    TwoLevelSettings,
    build_facts,
    check_scale,
    empty_sums,
    need_known,
    time_grid,
)
from ..statistics.matrices import product
from ..theories.source import Source
from ..theories.theory import Theory
from .simulation import Interrupted, need_moments

__all__ = ["simulate_two_level"]

# Bundles of futures whose products are taken. The number of pairs within a bundle, which are left out, is a part 1/16.
_BUNDLES = 16
# Key of the pilot that chooses the weights of splits, and its pairs of presents.
_PILOT_KEY, _PILOT_PAIRS = 2604, 16
# Values drawn at once, and sums of bundles held at once.
_CHUNK, _HELD = 1 << 20, 1 << 20
# Fewest terms of a product of matrices whose bits do not depend on the addresses of the matrices.
_SHORT = 32
# Functions times times of a future beyond which matrices between all of them take too much memory.
_MOST_ROWS = 4096
# Lags of the two-point functions by default, and presents of a block.
_DEFAULT_LAGS, _PRESENTS_OF_BLOCK = 49, 8
# Sources of the core that are reversible Markov processes, random waves for fixed momenta if they are reversible.
_MARKOV = (_core.OrnsteinUhlenbeck, _core.Chain, _core.Modes)


def simulate_two_level(
    theory: Theory,
    n_presents: int,
    futures: int,
    n_times: int,
    dt: float,
    *,
    rng: Rng = None,
    measure: Measure | None = None,
    **settings: Unpack[TwoLevelSettings],
) -> Correlators:
    r"""Correlators at long times of a reversible Markov theory, from several futures of each present.

    Given the present, futures are independent, and by reversibility each of them may be read as a past. For paths
    :math:`x_1 \ldots x_n` from one present, and functions F of the channels at one time,

    .. math::

        C_{ij}(s + t) = E\,\frac{1}{n(n-1)} \sum_{p \ne q} F_i(x_p(s))\, F_j(x_q(t))

    so that n paths make n(n - 1) products: where noise dominates, the error falls like 1/n rather than
    :math:`n^{-1/2}` (two-level sampling: Luscher and Weisz, JHEP 09 (2001) 010; Ce, Giusti and Schaefer, Phys. Rev. D
    93, 094507 (2016)). Lags reach 2 (n_times - 1) steps. A lag is averaged over its splits s + t with the weights
    1/(B(s) B(t)), B(s) the variance between presents of the mean of the futures, from a pilot whose key is fixed: the
    estimate stays unbiased.

    Parameters
    ----------
    theory : Theory
        Stationary, with open paths; its sources must be reversible and Markov, for fixed random parameters:
        Ornstein-Uhlenbeck processes, ground states of Hamiltonians, Markov chains, boxes, reflection-positive nets. If
        there are random parameters, the paths that share them must hold two presents or more: group at least 2 futures.
    n_presents : int
        Independent presents; with random parameters a multiple of group / futures.
    futures : int
        Paths from each present, at least 2, a divisor of 64 or a multiple of it. At a lag L the error for equal work
        falls like the root of futures up to about exp(gap L)/3, beyond which more presents are better.
    n_times : int
        Times of each future, the present included, at least 2.
    dt : float
        Time step, unit time.
    rng : int, SeedSequence, Generator or None
        As for ``simulate``.
    measure : Measure, optional
        Lags, from 0 to 2 (n_times - 1), all or 49 evenly spaced ones by default; observable lags for ``gevp`` and
        ``spectrum``, none by default; and observables, by default the functions themselves. There are no increments and
        no two-time function.
    **settings : TwoLevelSettings
        functions : callable, as for ``simulate_functions``, called with the channels at one time, shape
        (points, 1, channels), and returning shape (points, 1, K); the outputs by default. names, of the functions.
        precision and n_threads as for ``simulate``; bits do not depend on threads. n_blocks, of at least two presents;
        128 by default, or as many as there are eights of presents, with random parameters draws of them. progress :
        callable, bool or None, as for ``simulate``.

    Returns
    -------
    Correlators
        For ``two_point``, ``connected``, ``effective_energy``, ``gevp``, ``OneCorrelator`` and so on. Its ``times`` are
        the 2 n_times - 1 times of a past and a future together. Errors are statistical, from blocks of independent
        presents, or of draws of the random parameters. Connected functions subtract products of different presents
        with the same random parameters, without bias. At lags shorter than a correlation time ``simulate`` is more
        accurate for equal work. The run cannot be extended, only merged with others. Time and memory beyond sampling
        grow like the square of n_times times the number of functions.

    Raises
    ------
    InputError, InputTypeError
        Before any work if an argument is not valid or a source is not reversible and Markov; later if a function
        returns another shape or values that are not finite.
    Interrupted
        On Ctrl-C, with the finished blocks in its ``partial``.

    Examples
    --------
    >>> run = simulate_two_level(nnqm.harmonic_oscillator(), 256, 256, 17, 0.5, rng=1)
    >>> late = run.connected()[-1]  # at t = 16/omega, where the function is 6e-8
    >>> run.lags[-1], bool(abs(late.pull(np.exp(-16) / 2)) < 4)
    (32, True)
    """
    need_known(simulate_two_level, settings, TwoLevelSettings, Measure)
    draws = _draws_of(theory, futures, n_times, dt, settings)
    presents = integer("n_presents", n_presents, 2, 2**53 // (draws.futures * draws.n_times))
    per_draw = theory.group // draws.futures if theory.sectors else 1
    if presents % per_draw:
        raise InputError(
            f"n_presents must be a multiple of the {per_draw} presents that share their random parameters; got "
            f"{presents}; use {-(-presents // per_draw) * per_draw}"
        )
    bounds = _bounds(settings.get("n_blocks"), presents, per_draw)
    grid = time_grid(2 * draws.n_times - 1, dt, None)
    asked = _asked(measure, len(grid), settings)
    key, bar = random_key(rng), ProgressBar("simulate_two_level", "paths/s", settings.get("progress"))
    if asked.observables is not None:
        draws = _evaluated(draws, asked.observables, asked.observables.size - 1)
    pilot = _Pilot(draws)
    chosen = asked.observables or _of_functions(theory, pilot, settings)
    run = Correlators(
        theory=None,
        times=grid,
        n_paths=presents * draws.futures,
        n_blocks=len(bounds) - 1,
        first_block=0,
        keys=(key,),
        precision=draws.precision,
        hbar=theory.hbar,
        mass=theory.mass,
        # Within these paths connected functions subtract.
        group=max(draws.futures, theory.group),
        notes=(f"two levels: {draws.futures} futures of each of {presents} presents",),
        **resolve(asked, chosen, grid, theory),
        **build_facts(),
    )
    check_scale(run)
    size = chosen.size - 1 if run.observable_lags else len(chosen.channels)
    if draws.n_times * size > _MOST_ROWS:
        raise InputError(
            f"n_times times the number of functions must be at most {_MOST_ROWS}; got {draws.n_times} times {size}; "
            "use fewer functions or a larger dt, or leave observable_lags out"
        )
    run = replace(run, sums=empty_sums(run, len(bounds) - 1))
    if asked.observables is None:
        draws = replace(draws, key=key, shift=chosen.shift, scale=chosen.scale, width=size)
    else:
        draws = _evaluated(replace(draws, key=key), chosen, size)
    with bar as progress:
        _fill(run, draws, size, pilot.weights, bounds, per_draw if theory.sectors else None, progress)
    return run


# ---- what is asked for


def _draws_of(theory: Theory, futures: int, n_times: int, dt: float, settings: TwoLevelSettings) -> _Draws:
    """The draws of the pilot, with everything checked."""
    if not isinstance(theory, Theory):
        raise InputTypeError(f"theory must be a Theory; got {theory!r}")
    functions = settings.get("functions")
    if functions is not None and not callable(functions):
        raise InputTypeError(
            f"functions must be callable; got {functions!r}; give one function that returns all of them"
        )
    n = integer("futures", futures, 2)
    if 64 % n and n % 64:
        near = 64 * max(1, round(n / 64)) if n > 32 else 1 << (n - 1).bit_length()
        raise InputError(f"futures must be a divisor of 64 or a multiple of it; got {n}; use {near}")
    if theory.period is not None:
        raise InputError(
            f"futures need open paths, but these close after {theory.period:g}: the end of a closed path depends on "
            "its start; use open paths, or simulate"
        )
    if not theory.stationary:
        raise InputError("futures need a stationary theory; use simulate, which sums the two-time function")
    times = time_grid(integer("n_times", n_times, 2), dt, None, theory)
    for source in theory.sources:
        _need_reversible(source, times)
    if theory.sectors and (theory.group % n or theory.group < 2 * n):
        raise InputError(
            f"paths that share random parameters must come from two presents or more: group must be a multiple of "
            f"futures={n}, at least {2 * n}; got group={theory.group}; use group={2 * n}"
        )
    need_moments(theory)
    return _Draws(
        theory=theory,
        times=times,
        futures=n,
        precision=choice("precision", settings.get("precision", "float32"), ("float32", "float64")),
        n_threads=integer("n_threads", settings.get("n_threads", 0), 0, 4096),
        names=theory.outputs if functions is None else theory.channels,
        evaluate=(lambda paths: paths) if functions is None else _at_one_time(functions),
    )


def _need_reversible(source: Source, times: Floats) -> None:
    """Raise unless a source is a reversible Markov process for fixed random parameters."""
    reason = "it is not known to be one"
    if source.n_components > 1 and source.ground_state_of is None:
        reason = "each of its grids is a theory of its own"
    elif all(
        isinstance(part, _MARKOV) or (isinstance(part, _core.RandomWaves) and source.positive_because)
        for part in source.compiled(times)
    ):
        return
    raise InputError(
        "sources must be reversible Markov processes: oscillators, ground states, chains, boxes or reflection-positive "
        f"nets; got {source!r}: {reason}; use simulate"
    )


def _bounds(n_blocks: int | None, presents: int, per_draw: int) -> list[int]:
    """Where blocks begin and end: whole draws, and at least two presents in each."""
    units = presents // per_draw
    most, usual = (units, units) if per_draw > 1 else (units // 2, units // _PRESENTS_OF_BLOCK)
    blocks = max(2, min(DEFAULT_BLOCKS, usual)) if n_blocks is None else integer("n_blocks", n_blocks, 1)
    if blocks > most:
        what = f"draws of {per_draw} presents" if per_draw > 1 else "pairs of presents"
        raise InputError(f"n_blocks={blocks} needs at least as many {what}; got {most}; use more presents")
    return [units * b // blocks * per_draw for b in range(blocks + 1)]


def _asked(measure: Measure | None, n_lags: int, settings: TwoLevelSettings) -> Measure:
    """The measure with the defaults of two levels."""
    asked = measure_or_default(measure)
    for name in ("increment_lags", "two_time"):
        if getattr(asked, name):
            raise InputError(f"two levels have no {name}: products are of different paths; leave them to simulate")
    if asked.observables is not None and (settings.get("functions") or settings.get("names")):
        raise InputError("observables of the measure replace functions and their names; give one or the other")
    lags = np.unique(np.linspace(0, n_lags - 1, min(n_lags, _DEFAULT_LAGS)).round().astype(int))
    return replace(
        asked,
        lags=lags.tolist() if asked.lags is None else asked.lags,
        observable_lags=() if asked.observable_lags is None else asked.observable_lags,
        increment_lags=(),
    )


def _of_functions(theory: Theory, pilot: _Pilot, settings: TwoLevelSettings) -> Observables:
    """The functions themselves, standardised by the pilot."""
    names = settings.get("names") or (None if settings.get("functions") else theory.outputs)
    labels = labels_of(names, len(pilot.mean))
    return default_observables((pilot.mean, pilot.std, labels), order=1, neurons=0)


# ---- presents and their futures

Evaluate: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"


def _at_one_time(functions: Callable[[NDArray[Any]], ArrayLike]) -> Evaluate:
    """Functions of one time: of several times of a future the same function of a past would be another one."""

    def evaluate(paths: NDArray[Any]) -> NDArray[Any]:
        return values_of(functions, paths.reshape(-1, 1, paths.shape[-1])).reshape(*paths.shape[:2], -1)

    return evaluate


def _evaluated(draws: _Draws, observables: Observables, size: int) -> _Draws:
    """The same draws with the first observables after the constant as functions."""
    channels = draws.theory.channels
    if max(observables.columns) >= len(channels):
        raise InputError(
            f"observables measure channel {max(observables.columns)}, but the theory has {len(channels)}; make them "
            "with default_observables(theory)"
        )

    def evaluate(paths: NDArray[Any]) -> NDArray[Any]:
        points = paths.reshape(-1, paths.shape[-1]).astype(np.float64)
        return observables.evaluate(points)[:, 1 : 1 + size].reshape(*paths.shape[:2], -1)

    names = tuple(channels[column] for column in observables.columns)
    return replace(draws, names=names, evaluate=evaluate, width=size)


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """Presents with their futures, and K functions (values - shift)/scale of the channels ``names`` at one time.

    ``width`` is K where it is known.
    """

    theory: Theory
    times: Floats
    futures: int
    precision: str
    n_threads: int
    names: tuple[str, ...]
    evaluate: Evaluate
    width: int = 1
    key: int = _PILOT_KEY
    shift: Floats | float = 0.0
    scale: Floats | float = 1.0

    @property
    def n_times(self) -> int:
        """Times of a future."""
        return len(self.times)

    @property
    def bundles(self) -> int:
        """Bundles of the futures of a present."""
        return min(self.futures, _BUNDLES)

    def read(self, first: int, stop: int) -> tuple[Floats, Floats]:
        """Means over the futures of each bundle, and the first future of each, (presents, bundles, n_times, K)."""
        n, g = self.futures // self.bundles, self.bundles
        at_once = max(1, _CHUNK // (n * self.n_times * max(self.width, len(self.names))))
        parts = [self._bundles(i, min(i + at_once, stop * g), n) for i in range(first * g, stop * g, at_once)]
        means, singles = (
            (np.concatenate(values).reshape(stop - first, g, self.n_times, -1) - self.shift) / self.scale
            for values in zip(*parts, strict=True)
        )
        if not np.isfinite(means).all():
            present, _, step, k = np.argwhere(~np.isfinite(means))[0]
            raise InputError(
                f"functions must be finite; function {k} is not, at time step {step} of a future of present "
                f"{first + present}; leave it out"
            )
        return means, singles

    def _bundles(self, first: int, stop: int, n: int) -> tuple[Floats, Floats]:
        size = np.dtype(self.precision).itemsize * (stop - first) * n * self.n_times * len(self.names)
        need_memory(size, "the futures", "use fewer futures, times or channels", f"{self.futures} futures of a present")
        paths = np.empty(((stop - first) * n, self.n_times, len(self.names)), self.precision)
        draw_channels(
            self.theory,
            self.names,
            paths,
            first * n,
            times=self.times,
            key=self.key,
            n_threads=self.n_threads,
            futures=self.futures,
        )
        values = self.evaluate(paths)
        values = values.reshape(stop - first, n, self.n_times, values.shape[-1])
        return values.mean(axis=1, dtype=np.float64), values[:, 0].astype(np.float64)


class _Pilot:
    """Weights of the splits of a lag, and the location of functions, from pairs of presents.

    ``weights`` (n_times, n_times) add up to 1 over s + t = lag. They are 1/(B(s) B(t)), B(s) the variance of the mean
    of futures, averaged over functions: of Gaussian means the variance of a product is B(s) B(t) + C(s + t)^2. They are
    the same for all pairs of functions, so that what is linear in a mean cancels in connected functions.
    """

    def __init__(self, draws: _Draws) -> None:
        step = max(2, draws.theory.group // draws.futures)
        at_once = _PILOT_PAIRS if step == 2 else 1
        reads = [draws.read(i * step, i * step + 2 * at_once) for i in range(0, _PILOT_PAIRS, at_once)]
        found, alone = (np.concatenate(values) for values in zip(*reads, strict=True))
        singles = alone.reshape(-1, alone.shape[-1])
        self.mean, self.std = singles.mean(axis=0), singles.std(axis=0)
        moving = self.std > 1e-12 * np.abs(self.mean)
        self.std[~moving] = 1.0
        means = found.mean(axis=1).reshape(_PILOT_PAIRS, 2, draws.n_times, -1)[..., moving] / self.std[moving]
        # Differences within a pair have the same random parameters. No mean of futures is known better than this.
        spread = np.maximum(np.mean((means[:, 0] - means[:, 1]) ** 2, axis=0) / 2, 0.1 / draws.futures)
        variance = np.mean(spread[:, None] * spread[None], axis=-1) if moving.any() else np.ones((draws.n_times,) * 2)
        self.weights = np.zeros_like(variance)
        for lag in range(2 * draws.n_times - 1):
            s = _splits(lag, draws.n_times)
            inverse = 1 / variance[s, lag - s]
            self.weights[s, lag - s] = inverse / inverse.sum()


def _splits(lag: int, n_times: int) -> NDArray[np.int64]:
    """The first parts s of a lag s + t."""
    return np.arange(max(0, lag - n_times + 1), min(lag, n_times - 1) + 1)


# ---- sums


class _Reader:
    """``_Draws.read`` of the presents of a run, some blocks at a time."""

    def __init__(self, draws: _Draws, size: int, presents: int) -> None:
        self.draws, self.presents, self.first = draws, presents, 0
        self.at_once = max(1, _HELD // (draws.bundles * draws.n_times * size))
        self.held: tuple[Floats, ...] = ()

    def read(self, first: int, stop: int) -> tuple[Floats, ...]:
        """Presents first .. stop - 1 in the order of their numbers, ``at_once`` of them at most."""
        end = self.first + len(self.held[0]) if self.held else 0
        if stop > end:
            new = self.draws.read(end, min(first + self.at_once, self.presents))
            left = tuple(values[first - self.first :] for values in self.held)
            self.first, self.held = first, tuple(map(np.concatenate, zip(left, new, strict=True))) if left else new
        return tuple(values[first - self.first : stop - self.first] for values in self.held)


class _Totals:
    """Sums over the presents of one block of products of functions at times s and t of their futures.

    ``pairs`` are of different futures of a present, ``distinct`` of the means of different presents of a unit, and
    ``same`` of one future of each bundle, all (rows, rows) with a row for each time and function and one for each
    present; ``means`` (rows,). ``powers`` (4, K) are sums over times of the future of each bundle.
    """

    def __init__(self, reader: _Reader, size: int) -> None:
        self.reader, self.presents, self.shape = reader, 0, (reader.draws.n_times, size)
        rows = reader.draws.n_times * size
        self.pairs, self.distinct, self.same = np.zeros((3, rows, rows))
        self.means, self.powers = np.zeros(rows), np.zeros((4, size))

    def add(self, first: int, stop: int, unit: int, tell: Callable[[int], None]) -> None:
        """Presents first .. stop - 1, whole units."""
        units_at_once = max(1, _HELD // (len(self.means) * unit))
        for begin, end in _ranges(first, stop, unit * units_at_once):
            of_units = np.zeros(((end - begin) // unit, len(self.means)))
            for a, b in _ranges(begin, end, self.reader.at_once):
                means = self._add_presents(a, b)
                np.add.at(of_units, (np.arange(a, b) - begin) // unit, means)
                self.distinct -= _squared(means) / (unit - 1)
                self.means += means.sum(axis=0)
                tell(b - a)
            self.distinct += _squared(of_units) / (unit - 1)
        self.presents += stop - first

    def _add_presents(self, first: int, stop: int) -> Floats:
        """Adds products of one present, and returns the means over futures, (presents, rows)."""
        found, single = self.reader.read(first, stop)
        g, rows = found.shape[1], len(self.means)
        bundles, of_presents = found.reshape(-1, rows), found.sum(axis=1).reshape(-1, rows)
        self.pairs += (_squared(of_presents) - _squared(bundles)) / (g * (g - 1))
        self.same += _squared(single.reshape(-1, rows)) / g
        power = np.ones_like(single)
        for sums in self.powers:
            power *= single
            sums += power.sum(axis=(0, 1, 2)) / g
        return np.asarray(of_presents / g)

    def at_lags(self, weights: Floats) -> Floats:
        """The matrices of ``Correlators`` for the constant and the functions, (2 n_times - 1, 3, 1 + K, 1 + K).

        Averages over splits s + t of F(s) F(t), F(s) F(s) + F(t) F(t), and F(s) F(t) of different presents.
        """
        n, k = self.shape
        s, t = np.divmod(np.argsort(np.add.outer(np.arange(n), np.arange(n)).ravel(), kind="stable"), n)
        starts = np.flatnonzero(np.diff(s + t, prepend=-1))
        sums = np.empty((len(starts), 3, 1 + k, 1 + k))

        def averages(values: Floats) -> Floats:
            return np.add.reduceat(weights[s, t].reshape(-1, *(1,) * (values.ndim - 1)) * values, starts, axis=0)

        means = self.means.reshape(n, k)
        sums[:, :, 0, 0] = self.presents
        sums[:, :, 1:, 0] = averages(means[s])[:, None]
        sums[:, :, 0, 1:] = averages(means[t])[:, None]
        for place, products in ((0, self.pairs), (2, self.distinct)):
            sums[:, place, 1:, 1:] = averages(products.reshape(n, k, n, k)[s, :, t])
        at_times = self.same.reshape(n, k, n, k)[np.arange(n), :, np.arange(n)]
        sums[:, 1, 1:, 1:] = averages(at_times[s] + at_times[t])
        sums[:, 1, 0] += sums[:, 1, :, 0]
        sums[:, 1, :, 0] = sums[:, 1, 0]
        return sums


def _squared(rows: Floats) -> Floats:
    """The matrix A^T A; zeros fill up short sums, whose order would depend on where they stand in memory."""
    if len(rows) < _SHORT:
        rows = np.concatenate([rows, np.zeros((_SHORT - len(rows), rows.shape[1]))])
    return product(rows.T, rows)


def _ranges(first: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, stop, length):
        yield begin, min(begin + length, stop)


def _fill(
    run: Correlators,
    draws: _Draws,
    size: int,
    weights: Floats,
    bounds: list[int],
    per_draw: int | None,
    progress: Progress,
) -> None:
    """Fill the sums of a run block by block; the unit of connected functions is a draw, or else the block."""
    done, n, reader = 0, 1 + len(run.observables.channels), _Reader(draws, size, bounds[-1])

    def tell(presents: int) -> None:
        nonlocal done
        done += presents
        progress(done * draws.futures, run.n_paths)

    try:
        for b, (first, stop) in enumerate(pairwise(bounds)):
            totals = _Totals(reader, size)
            totals.add(first, stop, per_draw or stop - first, tell)
            sums = totals.at_lags(weights)
            # Ctrl-C between two arrays would leave a block that has products and no paths.
            with HeldSignals():
                run.sums["lags"][b] = sums[list(run.lags), :, :n, :n]
                if run.observable_lags:
                    run.sums["observable_lags"][b] = sums[list(run.observable_lags)]
                # As if over all times of all paths of the run.
                run.sums["moments"][b] = totals.powers[:, : n - 1].T * (draws.futures * run.n_times / draws.n_times)
                run.sums["paths"][b] = (stop - first) * draws.futures
    except KeyboardInterrupt:
        held = int(run.sums["paths"].sum())
        raise Interrupted(run if held else None, f"{held} paths") from None
