"""Block sums of paths that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, integer, positive
from ..errors import InputError, InputTypeError
from ..statistics.autocorrelation import slowest
from ..theories.theory import Theory
from .arrays import GivenPaths, agreed_step, doubles, float_type, need_finite_values, read_given
from .blocks import (
    FEWEST_BLOCKS,
    LONG,
    LOOKED_AT,
    MANY,
    Cut,
    Part,
    cut_batch,
    cut_replicas,
    joined,
    path_series,
    plan,
    scattered,
)
from .correlators import Correlators
from .measure import Measure, longest_lag, measure_or_default, resolve
from .observables import Observables, default_observables
from .path_source import Paths
from .run_settings import (
    DEFAULT_BLOCKS,
    TILE,
    AccumulateSettings,
    build_facts,
    check_scale,
    empty_sums,
    measure_of,
    need_known,
)

__all__ = ["accumulate"]

# Chunks that are looked at before the standardisation is chosen: their number, and their bytes.
_FIRST_CHUNKS, _FIRST_BYTES = 16, 1 << 25
# Blocks of chunks that are kept apart until their number is known.
_MOST_BLOCKS = 8 * DEFAULT_BLOCKS
# A first chunk with another mean or spread than the next ones, in their spread, does not standardise.
_MOVED, _SPREAD = 0.5, 1.5
# Mean and standard deviation of standardised paths beyond which the observables do not resolve them.
_FAR, _WIDE = 4.0, 5.0


def accumulate(
    paths: ArrayLike | Iterable[ArrayLike],
    dt: float | None = None,
    *,
    names: Sequence[str] | None = None,
    theory: Theory | None = None,
    measure: Measure | None = None,
    **settings: Unpack[AccumulateSettings],
) -> Correlators:
    r"""Sums over given paths, as ``simulate`` makes them of its own.

    Blocks hold adjacent paths, because successive paths may be a Markov chain. Fewer than 16 paths are long
    trajectories and are cut along time, each into pieces of equal length (pairs across a cut are left out).

    The autocorrelation of successive paths, or along the time of trajectories, is always looked at, and notes of the
    result give its time tau. Blocks are at least 20 tau long where there are 25 of them. Otherwise they are shorter,
    at least 4 tau, and their scatter is enlarged to the error by the Gamma method (Wolff, Comput. Phys. Commun. 156,
    143 (2004)), as it is for fewer than 256 paths in any case. Fewer than about 30 tau are refused.

    Parameters
    ----------
    paths : array_like, list or iterable of array_like
        Shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,); any real dtype and memory layout,
        memory maps and CPU arrays of other libraries included. A list or tuple of arrays is a list of batches of paths,
        or of trajectories of any lengths. An array of xarray is read by the names of its axes (time; path, sample,
        config, replica, ...; channel) and its coordinate of times. Any other iterable is read once, chunk by chunk.
    dt : float, optional
        Time step; by default the step of the coordinate of times, or 1.
    names : sequence of str, optional
        Names of the channels.
    theory : Theory, optional
        The theory that made them, whose channels they must be; for exact values beside the measured ones.
    measure : Measure, optional
        Observables and lags of the sums. Observables are standardised by the theory by default, or by the mean and
        standard deviation of the paths (of the first chunks); pass the observables of another run to merge with it.
    **settings : AccumulateSettings
        n_threads : int, as for ``simulate``.

        n_blocks : int, independent blocks for the errors, of each chunk where there are several; see above.

        axes : sequence of str, the axes of arrays in their order, each one of path, time, channel.

        period : float or True, of paths that close, the number of times times dt (True); lags then wrap.

        independent : bool, whether the paths are known to be independent, so that no chain is looked for.

        group : int, successive paths that share random parameters, a divisor of 64 or a multiple of it; by default
        the group of the theory, or 1.

        hbar, mass : float, for energies and momenta, 1 by default; taken from the theory if there is one.

    Returns
    -------
    Correlators

    Raises
    ------
    InputError, InputTypeError
        If the shape, axes or type do not fit, times are not uniform, a value is not finite (which path and time), or
        the paths are too few or too strongly correlated for an error.

    Examples
    --------
    >>> chain = np.random.default_rng(1).normal(size=(1000, 32))
    >>> run = accumulate([chain[:400], chain[400:]], 0.1)
    >>> run.n_paths, run.n_blocks
    (1000, 128)
    """
    need_known(accumulate, settings, AccumulateSettings, Measure)
    asked = measure_or_default(measure)
    if theory is not None:
        settings["hbar"], settings["mass"] = theory.hbar, theory.mass
        settings["group"] = settings.get("group") or theory.group
    group = integer("group", settings.get("group") or 1, 1)
    if 64 % group and group % 64:
        raise InputError(f"group must be a divisor of 64 or a multiple of it; got {group}")
    if dt is not None:
        positive("dt", dt)
    if isinstance(paths, Paths | Theory):
        raise InputTypeError(f"paths must be given paths; got {paths!r}; simulate adds up the paths of a theory")
    given = read_given(paths, settings.get("axes"))
    adder = _Adder(given, agreed_step(dt, given.dt), names or given.names, theory, asked, settings)
    return adder.run()


class _Adder:
    """Adds up batches of paths, the first of which decides on the grid."""

    def __init__(
        self,
        given: GivenPaths,
        dt: float,
        names: Sequence[str] | None,
        theory: Theory | None,
        asked: Measure,
        settings: AccumulateSettings,
    ) -> None:
        self._given, self._dt, self._names, self._theory, self._asked = given, dt, names, theory, asked
        self._hbar = positive("hbar", settings.get("hbar", 1.0))
        self._mass = positive("mass", settings.get("mass", 1.0))
        self._group = settings.get("group") or 1
        self._n_blocks = settings.get("n_blocks")
        self._n_threads = integer("n_threads", settings.get("n_threads", 0), 0, 4096)
        self._independent = bool(settings.get("independent", False))
        self._period = settings.get("period")

    def run(self) -> Correlators:
        batches, given = self._given.batches, self._given
        if not given.readable:
            return self._chunks(batches)
        held = list(batches)
        rows = [path for b in held for path in b] if sum(len(b) for b in held) < 4096 else []
        if len(set(given.lengths)) > 1:
            return self._replicas(rows, given.lengths)
        if len(held) > 1 and len(rows) < MANY and rows:
            held = [np.concatenate(held)]
        if len(held) > 1:
            return self._chunks(held)
        return self._whole(held[0])

    def _whole(self, array: NDArray[Any]) -> Correlators:
        if self._period and len(array) < MANY:
            self._begin(0, [array])
        cut = cut_batch(
            array, self._group, self._n_blocks, longest_lag(self._asked), chunk=False, independent=self._independent
        )
        run = self._begin(cut.steps, [array])
        return self._done(run, self._sums(run, cut, 0), len(array), cut.factor, cut.notes)

    def _replicas(self, rows: list[NDArray[Any]], lengths: tuple[int, ...]) -> Correlators:
        shortest, longest = min(lengths), max(lengths)
        if not rows or self._group > 1 or shortest < 64 or self._period is not None:
            raise InputError(
                f"paths must have equal lengths here; got between {shortest} and {longest} times; cut them to the "
                f"shortest, [p[..., :{shortest}] for p in paths], or analyse them one after the other"
            )
        cut = cut_replicas(rows, self._n_blocks, longest_lag(self._asked))
        run = self._begin(cut.steps, [row[None] for row in rows])
        return self._done(run, self._sums(run, cut, 0), len(rows), cut.factor, cut.notes)

    def _chunks(self, batches: Iterable[NDArray[Any]]) -> Correlators:
        """Chunk after chunk; blocks of successive chunks are put together once the autocorrelation is known."""
        iterator = iter(batches)
        first = list(iterator) if self._given.readable else _first_chunks(iterator)
        run: Correlators | None = None
        collected: list[dict[str, NDArray[Any]]] = []
        series: list[Floats] = []
        notes: tuple[str, ...] = ()
        n_paths, (_, n_steps, n_channels) = 0, first[0].shape
        for chunk in chain(first, iterator):
            if chunk.shape[1:] != (n_steps, n_channels):
                raise InputError(
                    f"chunks must have equal n_times and channels; got {chunk.shape[1:]} after "
                    f"{(n_steps, n_channels)}; give a list of trajectories of different lengths"
                )
            wanted = self._n_blocks
            if wanted is None and n_paths > _MOST_BLOCKS:
                # About as many paths as in the blocks so far: a block of a few paths costs as much as one of a tile.
                wanted = max(1, 2 * DEFAULT_BLOCKS * len(chunk) // n_paths)
            cut = cut_batch(chunk, self._group, wanted, longest_lag(self._asked), chunk=True, independent=True)
            if run is None:
                run = self._begin(cut.steps, first)
            elif cut.steps != run.n_times:
                raise InputError(
                    f"chunks must be cut alike; got pieces of {cut.steps} steps after {run.n_times}; choose n_blocks"
                )
            collected.append(self._sums(run, cut, n_paths))
            if not self._independent and n_paths < LOOKED_AT:
                origin = np.zeros(n_channels)
                origin[list(run.observables.columns)] = run.observables.shift
                series.append(path_series(chunk[:LOOKED_AT], self._group, origin))
            n_paths += len(chunk)
            notes = tuple(dict.fromkeys((*notes, *cut.notes)))
            if self._n_blocks is None and sum(len(s["paths"]) for s in collected) > _MOST_BLOCKS:
                collected = [joined(_concatenated(collected), 2 * DEFAULT_BLOCKS)]
        assert run is not None
        sums = _concatenated(collected)
        if not self._given.readable:
            self._need_standardised(run, sums)
        if self._n_blocks is None:
            sums = joined(sums, DEFAULT_BLOCKS)
        factor = 1.0
        if series:
            used, units = len(sums["paths"]), n_paths // self._group
            blocks, factor, told = plan(
                slowest(np.concatenate(series)), units, min(used, units), self._n_blocks is None
            )
            sums = joined(sums, blocks)
            notes = (*notes, *told)
        return self._done(run, sums, n_paths, factor, notes)

    def _begin(self, steps: int, batches: list[NDArray[Any]]) -> Correlators:
        """A run without sums, on the grid of pieces of some steps, with observables for the batches."""
        array, asked, theory = batches[0], self._asked, self._theory
        grid = np.arange(steps, dtype=np.float64) * float(self._dt)
        period = self._checked_period(array.shape[1])
        if period is not None and steps != array.shape[1]:
            raise InputError(
                f"paths with a period cannot be cut along time; got {len(array)} of {array.shape[1]} times; give at "
                f"least {MANY} paths, of at most {LONG} times, or leave the period out where it is much longer than "
                "what decays"
            )
        chosen = _user_observables(batches, self._names, theory) if asked.observables is None else asked.observables
        run = Correlators(
            theory=theory,
            times=grid,
            n_paths=0,
            n_blocks=0,
            first_block=0,
            keys=(),
            precision=np.dtype(float_type(array.dtype)).name,
            hbar=self._hbar,
            mass=self._mass,
            group=self._group,
            closed_after=period,
            **resolve(asked, chosen, grid, theory, period),
            **build_facts(),
        )
        check_scale(run)
        for batch in batches:
            if batch.shape[2] <= max(run.observables.columns):
                raise InputError(
                    f"paths have {batch.shape[2]} channels, but the observables need {max(run.observables.columns) + 1}"
                )
        return run

    def _checked_period(self, n_times: int) -> float | None:
        """The period of closed paths, which must be all their times."""
        if self._period is None or self._period is False:
            return None
        turn = n_times * self._dt
        period = turn if self._period is True else positive("period", self._period)
        if abs(period - turn) > 1e-6 * turn:
            raise InputError(
                f"period must be the number of times, {n_times}, times dt = {self._dt:g}: {turn:g}; got {period:g}; a "
                "closed path does not repeat its first time at its end"
            )
        of_theory = period if self._theory is None else self._theory.period
        if of_theory is None or abs(of_theory - period) > 1e-6 * period:
            known = "is open" if of_theory is None else f"has {of_theory:g}"
            raise InputError(f"period is {period:g}, but the theory {known}; leave the period out, or the theory")
        return period

    def _sums(self, run: Correlators, cut: Cut, paths_before: int) -> dict[str, NDArray[Any]]:
        sums = empty_sums(run, cut.blocks)
        for part in cut.parts:
            _accumulate_part(part, run, self._n_threads, sums, paths_before)
        return sums

    def _need_standardised(self, run: Correlators, sums: dict[str, NDArray[Any]]) -> None:
        """Raise if the first chunks were no measure of all."""
        if self._asked.observables is not None or self._theory is not None or "moments" not in sums:
            return
        count = sums["paths"].sum() * run.n_times
        first, second = np.moveaxis(sums["moments"].sum(axis=0)[:, :2] / count, -1, 0)
        spread = np.sqrt(np.maximum(second - first**2, 0))
        o = run.observables
        for k, name in enumerate(o.channels):
            if abs(first[k]) > _FAR or (not 1 / _WIDE < spread[k] < _WIDE and spread[k] > 0):
                mean, std = o.shift + o.scale * first, o.scale * np.where(spread > 0, spread, 1.0)
                raise InputError(
                    f"the first chunks of channel {name} have mean {o.shift[k]:.6g} and standard deviation "
                    f"{o.scale[k]:.4g}, all have {mean[k]:.6g} and {std[k]:.4g}: leave out the chunks that are not "
                    "thermalised, or give measure=nnqm.Measure(observables=nnqm.default_observables("
                    f"({mean.tolist()}, {std.tolist()}, {list(o.channels)})))"
                )

    def _done(
        self, run: Correlators, sums: dict[str, NDArray[Any]], n_paths: int, factor: float, notes: tuple[str, ...]
    ) -> Correlators:
        blocks = len(sums["paths"])
        if blocks < 2 or (self._n_blocks is None and blocks < FEWEST_BLOCKS - 1):
            fewest = FEWEST_BLOCKS if self._n_blocks is None else 2
            raise InputError(
                f"errors need at least {fewest} blocks; got {blocks}; give more paths, or longer ones, as an array or "
                "a list, which are cut along time"
            )
        return replace(
            run, sums=scattered(sums, factor), n_paths=n_paths, n_blocks=len(sums["paths"]), notes=tuple(notes)
        )


def _concatenated(collected: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([s[name] for s in collected]) for name in collected[0]}


def _first_chunks(chunks: Iterator[NDArray[Any]]) -> list[NDArray[Any]]:
    """The first chunks, copied where there are several, because an iterator may use its memory again."""
    held = [next(chunks)]
    if held[0].nbytes > _FIRST_BYTES // 4:
        return held
    held[0] = held[0].copy()
    while len(held) < _FIRST_CHUNKS and sum(c.nbytes for c in held) < _FIRST_BYTES:
        chunk = next(chunks, None)
        if chunk is None:
            break
        held.append(chunk.copy())
    return held


def _user_observables(batches: list[NDArray[Any]], names: Sequence[str] | None, theory: Theory | None) -> Observables:
    n_channels = batches[0].shape[2]
    if theory is not None:
        if n_channels != len(theory.channels):
            raise InputError(
                f"paths have {n_channels} channels, but the theory has {len(theory.channels)} "
                f"({', '.join(theory.channels)})"
            )
        return default_observables(theory)
    labels = _labels(names, n_channels)
    alike = [b for b in batches if b.shape[2] == n_channels]
    samples = [_sample(b, sum(a.size for a in alike)) for b in alike]
    mean, std = _location(samples[:1])
    if len(samples) > 1:
        rest = _location(samples[len(samples) // 2 :])
        with np.errstate(divide="ignore", invalid="ignore"):
            same = (abs(mean - rest[0]) <= _MOVED * rest[1]) & (std <= _SPREAD * rest[1]) & (rest[1] <= _SPREAD * std)
        if not same.all():
            mean, std = rest
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        for array in batches:
            for path in range(array.shape[0]):
                need_finite_values(array[path], path, "paths")
    eps = float(np.finfo(batches[0].dtype if batches[0].dtype.kind == "f" else np.float64).eps)
    # A channel that moves by one rounding is constant.
    with np.errstate(over="ignore"):
        still = np.max([np.ptp(s, axis=0) for s in samples], axis=0) <= eps * np.abs(mean)
    _need_digits(eps, mean, np.where(still, 0.0, std), labels)
    std[still] = 1.0
    return default_observables((mean, std, labels))


def _labels(names: Sequence[str] | None, n_channels: int) -> tuple[str, ...]:
    """Names of the channels, checked."""
    numbered = tuple(f"x{i + 1}" for i in range(n_channels)) if n_channels > 1 else ("x",)
    labels = numbered if names is None else (names,) if isinstance(names, str) else tuple(names)
    if len(labels) != n_channels or len(set(labels)) != n_channels or not all(isinstance(n, str) for n in labels):
        raise InputError(f"names must be {n_channels} different strings, one per channel; got {labels}")
    if not all(map(str.isprintable, labels)):
        raise InputError(f"names must have no control characters; got {labels}; rename the channels")
    return labels


def _sample(array: NDArray[Any], size: int) -> Floats:
    """A strided subset, which is enough for a standardisation, and does not copy what may be larger than memory."""
    stride = max(1, size >> 20)
    values = doubles(array[:: min(stride, array.shape[0]), :: max(1, stride // array.shape[0])])
    return values.reshape(-1, array.shape[2])


def _location(samples: list[Floats]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each channel, of numbers of any size."""
    values = samples[0] if len(samples) == 1 else np.concatenate(samples)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        mean, std = values.mean(axis=0), values.std(axis=0)
        largest = np.abs(values).max(axis=0)
        for k in np.flatnonzero((largest > 1e150) | (largest < 1e-150) & (largest > 0)):
            unit = values[:, k] / largest[k]
            mean[k], std[k] = unit.mean() * largest[k], unit.std() * largest[k]
    return mean, std


def _need_digits(eps: float, mean: Floats, std: Floats, labels: Sequence[str]) -> None:
    """Raise for channels whose fluctuations the data type, of relative spacing eps, or float64 does not hold."""
    for name, m, s in zip(labels, mean, std, strict=True):
        if 0 < s < 50 * eps * abs(m):
            raise InputError(
                f"channel {name} has mean {m:g} and standard deviation {s:g}, but its type holds steps of "
                f"{eps * abs(m):.2g} there; subtract the mean before the paths are stored, or store them in float64"
            )
        if s > 0 and not 1e-36 < s < 1e36:
            raise InputError(
                f"channel {name} has standard deviation {s:g}, and float64 does not hold the error of its fourth "
                f"moment; divide the paths by {s:.0e}"
            )


def _accumulate_part(
    part: Part, run: Correlators, n_threads: int, sums: dict[str, NDArray[Any]], paths_before: int
) -> None:
    measure = measure_of(run)
    wanted = np.dtype(run.precision)
    pieces, offsets = part.pieces, part.offsets
    n_blocks = len(offsets) - 1
    direct = pieces.dtype == wanted and pieces.dtype.isnative
    # Arrays of another type are converted at most 16 MB at a time, in multiples of a tile.
    unit = max(TILE, run.group)
    at_once = max(unit, (1 << 24) // (pieces[0].size * wanted.itemsize) // unit * unit)
    begin = 0
    while begin < n_blocks:
        end = n_blocks
        if not direct:
            end = begin + 1
            while end < n_blocks and offsets[end + 1] - offsets[begin] <= at_once:
                end += 1
        start, stop = offsets[begin], offsets[end]
        step = stop - start if direct or end > begin + 1 else at_once
        where = slice(part.first_block + begin, part.first_block + end)
        for first in range(start, stop, max(step, 1)):
            last = min(stop, first + step)
            chunk = pieces[first:last] if direct else pieces[first:last].astype(wanted)
            _core.accumulate(
                channels=chunk,
                measure=measure,
                offsets=[min(max(o, first), last) - first for o in offsets[begin : end + 1]],
                first_path=first,
                n_threads=n_threads,
                sums={name: array[where] for name, array in sums.items()},
            )
            del chunk  # before the next one is made
        begin = end
    mine = sums["first_bad"][part.first_block : part.first_block + n_blocks]
    for piece in sorted(mine[mine >= 0])[:1]:
        found = np.argwhere(~np.isfinite(pieces[piece].astype(wanted)))
        step, channel = found[0]
        path = paths_before + part.first_path + (piece if part.whole_paths else 0)
        time_step = step if part.whole_paths else piece * pieces.shape[1] + step
        raise InputError(
            f"paths must be finite in {run.precision}; path {path} at time step {time_step}, channel {channel} is "
            f"{pieces[piece, step, channel]}; remove it"
        )
