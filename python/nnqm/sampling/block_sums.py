"""Block sums of paths that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, integer, positive
from ..errors import InputError, InputTypeError
from ..statistics.autocorrelation import INDEPENDENT, autocorrelation_time
from ..theories.theory import Theory
from .arrays import float_type, is_array, need_finite_values, real_array, three_axes
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

# Longer paths of a user are cut along time, so that a tile of them stays small.
_LONG = 16384


def accumulate(
    paths: ArrayLike | Iterable[ArrayLike],
    dt: float = 1.0,
    *,
    names: Sequence[str] | None = None,
    theory: Theory | None = None,
    measure: Measure | None = None,
    **settings: Unpack[AccumulateSettings],
) -> Correlators:
    """Sums over given paths, as ``simulate`` makes them of its own.

    Blocks hold adjacent paths, because successive paths may be a Markov chain. Fewer paths than blocks are long
    trajectories and are cut along time, each into pieces of equal length (pairs across a cut are left out).
    Blocks must be at least 20 autocorrelation times long: with ``n_blocks=None`` their number is lowered until they
    are; notes of the result say so.

    Parameters
    ----------
    paths : array_like, or iterable of array_like
        Shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,); any real dtype and memory layout,
        memory maps and CPU arrays of other libraries included. Or an iterable of chunks of paths, each of which
        is one or more whole blocks.
    dt : float
        Time step.
    names : sequence of str, optional
        Names of the channels.
    theory : Theory, optional
        The theory that made them, whose channels they must be; for exact values beside the measured ones.
    measure : Measure, optional
        Observables and lags of the sums. Observables are standardised by the theory by default, or by the mean and
        standard deviation of the paths (of the first chunk); pass the observables of another run to merge with it.
    **settings : AccumulateSettings
        n_threads : int, as for ``simulate``.

        n_blocks : int, independent blocks for the errors, of each chunk where there are several; see above.

        group : int, successive paths that share random parameters, a divisor of 64 or a multiple of it; by default
        the group of the theory, or 1.

        hbar, mass : float, for energies and momenta, 1 by default; taken from the theory if there is one.

    Returns
    -------
    Correlators

    Raises
    ------
    InputError, InputTypeError
        If the shape or type does not fit, a value is not finite (which path and time), or the paths are too few
        or too strongly correlated for two independent blocks.
    """
    need_known(accumulate, settings, AccumulateSettings, Measure)
    asked = measure_or_default(measure)
    n_threads, n_blocks, group = settings.get("n_threads", 0), settings.get("n_blocks"), settings.get("group")
    hbar, mass = settings.get("hbar", 1.0), settings.get("mass", 1.0)
    if theory is not None:
        hbar, mass = theory.hbar, theory.mass
    members = (1 if theory is None else theory.group) if group is None else integer("group", group, 1)
    if 64 % members and members % 64:
        raise InputError(f"group must be a divisor of 64 or a multiple of it; got {members}")
    positive("dt", dt)
    positive("hbar", hbar)
    positive("mass", mass)
    integer("n_threads", n_threads, 0, 4096)
    if isinstance(paths, Paths | Theory):
        raise InputTypeError(f"paths must be given paths; got {paths!r}; simulate adds up the paths of a theory")
    chunked = isinstance(paths, Iterable) and not is_array(paths)
    given: Any = paths
    chunks: Iterator[Any] = iter(given if chunked else [given])
    run: Correlators | None = None
    collected: list[dict[str, NDArray[Any]]] = []
    notes: list[str] = []
    n_paths = n_steps = 0
    for chunk in chunks:
        array = three_axes(real_array(chunk))
        if run is not None and array.shape[1] != n_steps:
            raise InputError(f"chunks must have equal n_times; got {array.shape[1]} after {n_steps}")
        n_steps = array.shape[1]
        steps, n, parts, chunk_notes = _cut(array, members, n_blocks, chunked, longest_lag(asked))
        if run is None:
            grid = np.arange(steps, dtype=np.float64) * float(dt)
            chosen = _user_observables(array, names, theory) if asked.observables is None else asked.observables
            run = Correlators(
                theory=theory,
                times=grid,
                n_paths=0,
                n_blocks=0,
                first_block=0,
                keys=(),
                precision=np.dtype(float_type(array.dtype)).name,
                hbar=float(hbar),
                mass=float(mass),
                group=members,
                **resolve(asked, chosen, grid, theory),
                **build_facts(),
            )
            check_scale(run)
        elif steps != run.n_times:
            raise InputError(
                f"chunks must be cut alike; got pieces of {steps} steps after {run.n_times}; choose n_blocks"
            )
        if array.shape[2] <= max(run.observables.columns):
            raise InputError(
                f"paths have {array.shape[2]} channels, but the observables need {max(run.observables.columns) + 1}"
            )
        sums = empty_sums(run, n)
        for part in parts:
            _accumulate_part(part, run, n_threads, sums, n_paths)
        n_paths += array.shape[0]
        collected.append(sums)
        notes += chunk_notes
    if run is None:
        raise InputError("paths must have at least one chunk; got none")
    joined = {name: np.concatenate([s[name] for s in collected]) for name in collected[0]}
    if len(joined["paths"]) < 2:
        raise InputError("errors need at least 2 blocks; got 1; give more paths, or longer ones")
    return replace(run, sums=joined, n_paths=n_paths, n_blocks=len(joined["paths"]), notes=tuple(dict.fromkeys(notes)))


def _user_observables(array: NDArray[Any], names: Sequence[str] | None, theory: Theory | None) -> Observables:
    n_channels = array.shape[2]
    if theory is not None:
        if n_channels != len(theory.channels):
            raise InputError(
                f"paths have {n_channels} channels, but the theory has {len(theory.channels)} "
                f"({', '.join(theory.channels)})"
            )
        return default_observables(theory)
    numbered = tuple(f"x{i + 1}" for i in range(n_channels)) if n_channels > 1 else ("x",)
    labels = numbered if names is None else tuple(names)
    if len(labels) != n_channels or len(set(labels)) != n_channels:
        raise InputError(f"names must be {n_channels} different strings, one per channel; got {labels}")
    # A strided subset is enough for a standardisation, and does not copy what may be larger than memory.
    stride = max(1, array.size >> 20)
    sample = array[:: min(stride, array.shape[0]), :: max(1, stride // array.shape[0])].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        mean, std = sample.mean(axis=(0, 1)), sample.std(axis=(0, 1))
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        for path in range(array.shape[0]):
            need_finite_values(array[path], path, "paths")
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    return default_observables((mean, std, labels))


@dataclass
class _Part:
    """Pieces of paths and the blocks they go to: pieces offsets[i] .. offsets[i + 1] - 1 to block first_block + i."""

    pieces: NDArray[Any]
    first_block: int
    offsets: list[int]
    first_path: int
    whole_paths: bool


def _cut(
    array: NDArray[Any], group: int, n_blocks: int | None, chunked: bool, largest: int
) -> tuple[int, int, Iterator[_Part], list[str]]:
    """Steps per piece, number of blocks, the parts to be summed, and notes; ``largest`` is the longest lag wanted."""
    n_paths, n_times, _ = array.shape
    asked = DEFAULT_BLOCKS if n_blocks is None else integer("n_blocks", n_blocks, 1)
    notes: list[str] = []
    per_path = 1
    by_path = chunked or group > 1 or n_paths >= (asked if n_blocks is not None else 16)
    if group > 1 and (n_paths % group or n_times > _LONG):
        raise InputError(
            f"paths must be whole groups of {group} that share parameters, of at most {_LONG} times; got {n_paths} "
            f"paths of {n_times} times; leave out the last {n_paths % group} paths, or cut them along time"
        )
    if by_path:
        blocks = min(asked, n_paths // group)
        if n_paths >= 64 and group == 1 and not chunked:
            tau = max(map(autocorrelation_time, _path_series(array)), default=0.5)
            blocks, notes = _safe_blocks(blocks, n_paths, tau, n_blocks is None, "paths")
        if n_times <= _LONG:
            offsets = [n_paths // group * b // blocks * group for b in range(blocks + 1)]
            return n_times, blocks, iter([_Part(array, 0, offsets, 0, True)]), notes
        tau = 0.0
    else:
        tau = max(_trajectory_tau(array, path) for path in range(n_paths))
        per_path, notes = _safe_blocks(max(1, asked // n_paths), n_times, tau, n_blocks is None, "time steps", n_paths)
        blocks = per_path * n_paths
    # Pieces much longer than the largest lag lose little at the cuts, and short ones fill the lanes of a tile.
    length = n_times // per_path
    pieces = max(1, length // max(1024, 16 * (largest + 1), int(32 * tau)))
    steps = length // pieces
    if largest >= steps:
        raise InputError(f"lags must be below the block length of {steps} steps; got lag {largest}; use longer paths")
    used = per_path * pieces * steps
    left = f"; the last {n_times - used} steps are not used" if used < n_times else ""
    if per_path * pieces > 1:
        notes.append(f"each path was cut along time into {per_path} x {pieces} pieces of {steps} steps{left}")

    def parts() -> Iterator[_Part]:
        for path in range(n_paths):
            cut = array[path, :used].reshape(per_path * pieces, steps, array.shape[2])
            first = path * blocks // n_paths if by_path else path * per_path
            yield _Part(cut, first, [pieces * b for b in range(per_path + 1)], path, False)

    return steps, blocks, parts(), notes


def _trajectory_tau(array: NDArray[Any], path: int) -> float:
    """Longest autocorrelation time of the channels of one long path and of their squares, in steps."""
    _, n_times, n_channels = array.shape
    # Averages over a few steps leave tau what it is, as long as it is longer than they are, and are small.
    width = max(1, n_times >> 18)
    n_bins = n_times // width
    first, second = np.empty((n_bins, n_channels)), np.empty((n_bins, n_channels))
    origin = array[path, 0].astype(np.float64)
    at_once = max(1, (1 << 20) // (width * n_channels))
    for begin in range(0, n_bins, at_once):
        end = min(n_bins, begin + at_once)
        values = array[path, begin * width : end * width].astype(np.float64)
        need_finite_values(values, path, "paths", begin * width)
        distance = (values - origin).reshape(end - begin, width, n_channels)
        first[begin:end] = distance.mean(axis=1)
        second[begin:end] = (distance**2).mean(axis=1)
    mean = first.mean(axis=0)
    second += mean * (mean - 2 * first)
    return float(width * max(autocorrelation_time(v) for v in (*first.T, *second.T)))


def _path_series(array: NDArray[Any]) -> list[Floats]:
    """Averages over time of each channel and of its square, path after path, of the first quarter million paths."""
    n_paths, n_times, n_channels = array.shape
    n = min(n_paths, 1 << 18)
    step = max(1, n_times // 16)
    first, second = np.empty((n, n_channels)), np.empty((n, n_channels))
    at_once = max(1, (1 << 20) // (16 * n_channels))
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, n, at_once):
            values = array[begin : min(n, begin + at_once), ::step].astype(np.float64)
            first[begin : begin + at_once] = values.mean(axis=1)
            second[begin : begin + at_once] = (values**2).mean(axis=1)
    return [s for s in (*first.T, *second.T) if np.isfinite(s).all()]


def _safe_blocks(
    blocks: int, length: int, tau: float, automatic: bool, unit: str, chains: int = 1
) -> tuple[int, list[str]]:
    """Fewer blocks of a chain if they are shorter than 20 autocorrelation times; a whole chain of several is one."""
    if tau <= 1.0 or length / blocks >= INDEPENDENT * tau or (chains > 1 and blocks == 1):
        return blocks, []
    fewer = max(int(length / (INDEPENDENT * tau)), 1 if chains > 1 else 0)
    told = f"the autocorrelation time is {tau:.3g} {unit}"
    if not automatic:
        remedy = f"use n_blocks={fewer * chains} or fewer" if fewer * chains > 1 else "give more or longer paths"
        raise InputError(
            f"n_blocks gives blocks of {length // blocks} {unit}, but {told}, and a block must be "
            f"{INDEPENDENT:g} times as long; {remedy}"
        )
    if fewer * chains < 8:
        raise InputError(
            f"{told}: the paths hold {fewer * chains} independent blocks, and errors need at least 8; "
            "give more or longer paths, or choose n_blocks yourself"
        )
    return fewer, [f"{told}: {fewer * chains} blocks instead of {blocks * chains}"]


def _accumulate_part(
    part: _Part, run: Correlators, n_threads: int, sums: dict[str, NDArray[Any]], paths_before: int
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
