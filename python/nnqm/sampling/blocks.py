"""Independent blocks of given paths: how many there can be, and errors where they are short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, integer
from ..errors import InputError
from ..statistics.autocorrelation import INDEPENDENT, ChainTimes, Slowness, scatter_factor, slowest, windowed_time
from ..statistics.estimate import format_value
from .arrays import doubles, need_finite_values
from .correlators import counted
from .run_settings import DEFAULT_BLOCKS
from .weights import few_enough, weighted_series, worth

__all__: list[str] = []

# Longer paths of a user are cut along time, so that a tile of them stays small.
LONG = 16384
# Fewer paths are long trajectories.
MANY = 16
# Enough blocks of 20 autocorrelation times; where there are fewer, shorter ones have errors by the Gamma method.
_ENOUGH = 25
# Shortest block in autocorrelation times, and fewest times of all paths together, for an error by the Gamma method.
_SHORTEST, FEWEST_TIMES = 4.0, 30.0
# Fewest blocks of long trajectories, one of them less where chance decides.
FEWEST_BLOCKS = 8
# Times of the shortest piece of a trajectory by default.
_SHORT = 8
# Paths below which chance hides a correlation that matters: their error is by the Gamma method in any case. Below the
# second number it hides more, and half an error is added to the autocorrelation time.
_FEW, VERY_FEW = 256, 32
# Autocorrelation times below which very few paths are refused, even where their order may be chance.
_LEAST = 9.0
# Significance, in standard deviations, of a correlation between a few trajectories.
_CERTAIN = 4.0
_STRETCHES = 6
# Largest size of values whose fourth powers are summed.
_LARGEST = 1e70
# Length below which a trajectory that is much shorter than the others would cut them into too small pieces.
_SHORTEST_PIECE = 64
# Paths of which parts are looked at too, and paths of chunks that are looked at.
LOOKED_AT = 1 << 16


@dataclass
class Part:
    """Pieces of paths and the blocks they go to: pieces offsets[i] .. offsets[i + 1] - 1 to block first_block + i.

    Each path has ``per_path`` successive pieces. ``weights`` has a number for each piece, None without weights.
    """

    pieces: NDArray[Any]
    first_block: int
    offsets: list[int]
    first_path: int
    per_path: int
    weights: Floats | None = None


@dataclass(frozen=True)
class Cut:
    """How paths are cut into blocks: steps of a piece, blocks, parts to be summed, notes, and the scatter's factor.

    ``blocks_of`` has the blocks of each path, and is empty if paths share blocks. ``time`` is the autocorrelation time
    of successive paths, ``chain`` has the times of the channels, where they were looked at.
    """

    steps: int
    blocks: int
    parts: Iterator[Part]
    notes: tuple[str, ...] = ()
    factor: float = 1.0
    blocks_of: tuple[int, ...] = ()
    time: float = 0.5
    chain: ChainTimes | None = None


def cut_batch(
    array: NDArray[Any],
    n_blocks: int | None,
    largest: int,
    *,
    chunk: bool,
    independent: bool,
    group: int = 1,
    weights: Floats | None = None,
) -> Cut:
    """How one batch is cut; a chunk's autocorrelation is not looked at. ``largest`` is the longest lag wanted."""
    n_paths, n_times, _ = array.shape
    asked = DEFAULT_BLOCKS if n_blocks is None else integer("n_blocks", n_blocks, 1)
    by_path = chunk or group > 1 or weights is not None or n_paths >= (asked if n_blocks is not None else MANY)
    if group > 1 and (n_paths % group or n_times > LONG):
        raise InputError(
            f"paths must be whole groups of {group} that share parameters, of at most {LONG} times; got {n_paths} "
            f"paths of {n_times} times; leave out the last {n_paths % group} paths, or cut them along time"
        )
    notes: list[str] = []
    factor, per_path, tau, time, times = 1.0, 1, 0.0, 0.5, None
    if by_path:
        blocks = min(asked, n_paths // group)
        if not chunk and not independent:
            seen = path_series(array, group)
            times = times_of_paths([seen], array.shape[2], group)
            found = slowest(seen if weights is None else weighted_series(seen, weights))
            blocks, factor, notes = plan(found, n_paths // group, blocks, n_blocks is None)
            time = found.time if found.correlated else 0.5
        if weights is not None and not chunk and n_blocks is None:
            blocks = few_enough(blocks, worth(weights))
        if n_times <= LONG:
            offsets = [n_paths // group * b // blocks * group for b in range(blocks + 1)]
            parts_of = iter([Part(array, 0, offsets, 0, 1, weights)])
            return Cut(n_times, blocks, parts_of, tuple(notes), factor, (), time, times)
    else:
        tau, times = times_along(list(array))
        found = slowest(path_series(array))
        if found.correlated and not independent:
            plan(found, n_paths, n_paths, automatic=True)
        wanted = asked // n_paths if n_blocks is not None else min(asked // n_paths, n_times // _SHORT)
        per_path, factor, notes = _pieces_of_chains([n_times] * n_paths, wanted, tau, n_blocks is None)
        blocks = per_path * n_paths
    # Pieces much longer than the largest lag lose little at the cuts, and short ones fill the lanes of a tile.
    length = n_times // per_path
    pieces = max(1, length // piece_length(largest, tau))
    steps = length // pieces
    if steps < 2 and not by_path:
        raise InputError(
            f"paths of {n_times} times hold no {per_path} blocks; got {n_paths} paths; give more or longer paths, or "
            "fewer blocks"
        )
    _need_room(largest, steps)
    used = per_path * pieces * steps
    left = f"; the last {n_times - used} steps are not used" if used < n_times else ""
    if per_path * pieces > 1:
        notes.append(f"each path was cut along time into {per_path} x {pieces} pieces of {steps} steps{left}")

    def parts() -> Iterator[Part]:
        for path in range(n_paths):
            cut = array[path, :used].reshape(per_path * pieces, steps, array.shape[2])
            first = path * blocks // n_paths if by_path else path * per_path
            own = None if weights is None else np.full(len(cut), weights[path])
            yield Part(cut, first, [pieces * b for b in range(per_path + 1)], path, len(cut), own)

    return Cut(steps, blocks, parts(), tuple(notes), factor, () if by_path else (per_path,) * n_paths, time, times)


def cut_trajectories(
    rows: Sequence[NDArray[Any]],
    n_blocks: int | None,
    largest: int,
    weights: Floats | None = None,
    *,
    apart: bool = False,
) -> Cut:
    """How trajectories (time, channel) of any lengths are cut: into pieces of one length, as long as the shortest.

    More trajectories than blocks share blocks, unless they must stay ``apart``.
    """
    lengths = [len(r) for r in rows]
    total, n, shortest = sum(lengths), len(rows), min(lengths)
    if largest >= shortest:
        raise InputError(
            f"paths must be longer than the largest lag, {largest} steps; got {shortest} times in trajectory "
            f"{lengths.index(shortest)}; leave it out, or use smaller lags"
        )
    if shortest < min(_SHORTEST_PIECE, total // (4 * n)):
        raise InputError(
            f"paths must not have very unequal lengths, because all are cut into pieces as long as the shortest; got "
            f"{shortest} times in trajectory {lengths.index(shortest)}, and {total // n} on average; leave it out"
        )
    tau, times = times_along(rows)
    asked = DEFAULT_BLOCKS if n_blocks is None else integer("n_blocks", n_blocks, 2)
    per_chain, factor, notes = _pieces_of_chains(lengths, max(1, asked // n), tau, n_blocks is None)
    length = max(1, total // (per_chain * n))
    steps = max(2, min(length, piece_length(largest, tau), shortest))
    if steps > shortest:
        raise InputError(f"paths must have at least 2 times; got {shortest} in trajectory {lengths.index(shortest)}")
    pieces = max(1, length // steps)
    counts = [max(1, n_times // (pieces * steps)) for n_times in lengths]
    blocks = asked if weights is None or n_blocks is not None else few_enough(asked, worth(weights))
    shared = n > blocks and not apart
    used = [min(n_times // steps, count * pieces) for n_times, count in zip(lengths, counts, strict=True)]
    notes.append(
        f"{n} paths of {min(lengths)} to {max(lengths)} times were cut along time into {sum(used)} pieces of {steps} "
        f"steps; {total - steps * sum(used)} steps at their ends are not used"
    )

    def parts() -> Iterator[Part]:
        first = 0
        for path, (row, own_blocks, held) in enumerate(zip(rows, counts, used, strict=True)):
            cut = row[: held * steps].reshape(held, steps, row.shape[1])
            own = None if weights is None else np.full(held, weights[path])
            if shared:
                yield Part(cut, path * blocks // n, [0, held], path, len(cut), own)
            else:
                yield Part(cut, first, [held * b // own_blocks for b in range(own_blocks + 1)], path, len(cut), own)
            first += own_blocks

    if shared:
        return Cut(steps, blocks, parts(), tuple(notes), factor, chain=times)
    return Cut(steps, sum(counts), parts(), tuple(notes), factor, tuple(counts), chain=times)


def cut_longer(batch: NDArray[Any], steps: int, blocks: int, weights: Floats | None) -> Cut:
    """How paths that are longer than the first ones are cut: into pieces of their length, of one path in one block."""
    n_paths, n_times, n_channels = batch.shape
    per_path = n_times // steps
    pieces = batch[:, : per_path * steps].reshape(n_paths * per_path, steps, n_channels)
    offsets = [n_paths * b // blocks * per_path for b in range(blocks + 1)]
    own = None if weights is None else np.repeat(weights, per_path)
    note = f"paths longer than {steps} times were cut along time into pieces of {steps} steps; the rest is not used"
    return Cut(steps, blocks, iter([Part(pieces, 0, offsets, 0, per_path, own)]), (note,))


def piece_length(largest: int, tau: float) -> int:
    """Steps of a piece of a trajectory: much longer than the largest lag, so that little is lost at the cuts."""
    return max(1024, 16 * (largest + 1), int(32 * tau))


def _need_room(largest: int, steps: int) -> None:
    if largest >= steps:
        raise InputError(f"lags must be below the block length of {steps} steps; got lag {largest}; use longer paths")


def plan(found: Slowness, n: int, blocks: int, automatic: bool) -> tuple[int, float, list[str]]:
    """Blocks of a chain of n paths, the factor of their scatter, and a note; refuses what has no error."""
    told = f"autocorrelation time of successive paths: {format_value(found.time, found.error)} paths"
    need = int(np.ceil(FEWEST_TIMES * (found.time + found.error)))
    # A time that 1/2 is within the error of says nothing of a chain, whatever the order of the paths.
    hopeless = FEWEST_BLOCKS <= n < min(VERY_FEW, _LEAST * found.time)
    if not hopeless and (not found.correlated or (n < need and found.time - found.error < 0.5)):
        few = n < _FEW and n == blocks
        upper = (1.0 if n < VERY_FEW else 0.5) * found.error if found.correlated or n < VERY_FEW else 0.0
        factor = scatter_factor(found.time + upper, n, blocks) if few else 1.0
        return blocks, factor, [f"{told}, as independent ones have"]
    if n < need:
        raise InputError(
            f"{told}, so that {n} paths hold too few independent ones for an error; give more or longer paths: of this "
            f"chain at least {need}"
        )
    most = _most_blocks(found.time, n)
    if blocks > most and not automatic:
        raise InputError(
            f"n_blocks gives blocks of {n // blocks} paths, but the autocorrelation time is {found.time:.3g} paths, "
            f"and a block must be {_SHORTEST:g} to {INDEPENDENT:g} times as long; use n_blocks={most} or fewer"
        )
    fewer = min(blocks, most)
    instead = f": {fewer} blocks instead of {blocks}" if fewer < blocks else ""
    factor = scatter_factor(found.time, n, fewer) if n < INDEPENDENT * found.time * fewer else 1.0
    return fewer, factor, [f"{told}{instead}{_enlarged(factor)}"]


def _enlarged(factor: float) -> str:
    return "" if factor == 1 else f"; errors are {np.sqrt(factor):.3g} times the scatter of the blocks (Gamma method)"


def _most_blocks(tau: float, length: int) -> int:
    """Blocks of 20 autocorrelation times, or fewer and shorter ones with errors by the Gamma method."""
    return max(int(length / (INDEPENDENT * tau)), min(_ENOUGH, int(length / (_SHORTEST * tau))))


def _pieces_of_chains(lengths: Sequence[int], blocks: int, tau: float, automatic: bool) -> tuple[int, float, list[str]]:
    """Blocks of each of some independent chains, the factor of their scatter, and a note."""
    n, total = len(lengths), sum(lengths)
    blocks = max(1, blocks)
    # Bias and error of a time with a window of five times: Wolff, and Madras and Sokal.
    tau *= 1 + (10 * tau + 1) * n / total
    error = tau * np.sqrt(18 * tau / total)
    told = f"the autocorrelation time is {format_value(tau, error)} time steps"
    if tau <= 1.0 or min(lengths) / blocks >= INDEPENDENT * tau or (n > 1 and blocks == 1):
        return blocks, 1.0, [told]
    need = int(np.ceil(FEWEST_TIMES * (tau + error)))
    fewer = int(min(lengths) / (INDEPENDENT * tau))
    if n == 1 or max(fewer, 1) * n < FEWEST_BLOCKS:
        fewer = max(fewer, min(_ENOUGH, int(total / (_SHORTEST * tau))) // n if total >= need else 0)
    fewer = max(fewer, 1 if n > 1 else 0)
    if not automatic and blocks > fewer:
        remedy = f"use n_blocks={fewer * n} or fewer" if fewer * n > 1 else "give more or longer paths"
        raise InputError(
            f"n_blocks gives blocks of {min(lengths) // blocks} time steps, but {told}, and a block must be "
            f"{_SHORTEST:g} to {INDEPENDENT:g} times as long; {remedy}"
        )
    fewer = min(blocks, fewer)
    if automatic and fewer * n < FEWEST_BLOCKS - 1:
        raise InputError(
            f"{told}: the paths of {total} time steps hold too few independent stretches for an error; give more or "
            f"longer paths, {max(need, int(FEWEST_BLOCKS * _SHORTEST * tau) + 1)} time steps at least"
        )
    whole = n > 1 and fewer == 1
    factor = 1.0 if whole or total >= INDEPENDENT * tau * fewer * n else scatter_factor(tau, total, fewer * n)
    return fewer, factor, [f"{told}: {fewer * n} blocks instead of {blocks * n}{_enlarged(factor)}"]


def times_of_paths(series: Sequence[Floats], n_channels: int, group: int) -> ChainTimes | None:
    """Autocorrelation times in paths, from the ``path_series`` of each replica; first there are means of channels."""
    if group > 1 or min(map(len, series)) < 4:
        return None
    return ChainTimes.of("paths", ([s[:, c] for s in series] for c in range(n_channels)))


def times_along(rows: Sequence[NDArray[Any]]) -> tuple[float, ChainTimes]:
    """Longest autocorrelation time of some trajectories, in steps, and the time of each channel.

    The trajectories must not be correlated at equal times.
    """
    # Averages over a few steps leave tau what it is, as long as it is longer than they are, and are small.
    width = max(1, max(map(len, rows)) >> 18)
    looked_at = [_trajectory_tau(row, path, width) for path, row in enumerate(rows)]
    tau = max(t for t, _, _ in looked_at)
    products, seen = [], []
    for first, second in pairwise(rows):
        n = min(len(first), len(second))
        stride = max(1, n >> 16)
        a, b = (r[:n:stride].astype(np.float64) for r in (first, second))
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        products.append(float(((a * b).sum(axis=0) / np.where(size > 0, size, 1.0)).max()))
        seen.append(n / max(2 * tau, float(stride)))
    found = np.array([*products, np.mean(products)] if products else [])
    chance = _CERTAIN / np.sqrt(np.array([*seen, sum(seen)] if products else []))
    if (found > np.minimum(chance, 1 - 1e-9)).any():
        raise InputError(
            f"successive paths are correlated at equal times (r = {found.max():.2g}): {len(rows)} configurations of a "
            f"chain hold no error; give independent trajectories, or at least {MANY} configurations and "
            f"{FEWEST_TIMES:g} times their autocorrelation time"
        )
    return tau, _times_of_channels([m for _, m, _ in looked_at], [s for _, _, s in looked_at], width)


def _times_of_channels(means: Sequence[Floats], squares: Sequence[Floats], width: int) -> ChainTimes:
    """Autocorrelation times of channels in steps, from means over ``width`` steps, and squares about the own mean."""
    times = ChainTimes.of("steps", ([m[:, c] for m in means] for c in range(means[0].shape[1])))
    if width == 1:
        return times
    # The variance of an average over all is 2 tau/N variances, of single values as of means over a few steps.
    overall = np.average([m.mean(axis=0) for m in means], axis=0, weights=[len(m) for m in means])
    of_means = np.sum([((m - overall) ** 2).sum(axis=0) for m in means], axis=0)
    of_values = np.sum(
        [(s + (m.mean(axis=0) - overall) ** 2).sum(axis=0) for m, s in zip(means, squares, strict=True)], axis=0
    )
    factor = width * np.where(of_values > 0, of_means / np.where(of_values > 0, of_values, 1.0), 1.0)
    scaled = (factor * np.array([times.times, times.errors])).tolist()
    return ChainTimes("steps", tuple(scaled[0]), tuple(scaled[1]))


def _trajectory_tau(trajectory: NDArray[Any], path: int, width: int) -> tuple[float, Floats, Floats]:
    """Longest autocorrelation time of the channels of one long path (time, channel) and of their squares, in steps.

    With it the means over ``width`` steps of the channels and of their squared distances from the mean.
    """
    n_times, n_channels = trajectory.shape
    n_bins = n_times // width
    first, second = np.empty((n_bins, n_channels)), np.empty((n_bins, n_channels))
    origin = doubles(trajectory[0])
    at_once = max(1, (1 << 20) // (width * n_channels))
    for begin in range(0, n_bins, at_once):
        end = min(n_bins, begin + at_once)
        values = doubles(trajectory[begin * width : end * width])
        need_finite_values(values, path, "paths", begin * width)
        if np.abs(values).max() > _LARGEST:
            raise InputError(
                f"paths must be below {_LARGEST:g}, because their fourth powers are summed; path {path} has a value of "
                f"{np.abs(values).max():.3g}; use other units"
            )
        distance = (values - origin).reshape(end - begin, width, n_channels)
        first[begin:end] = distance.mean(axis=1)
        second[begin:end] = (distance**2).mean(axis=1)
    mean = first.mean(axis=0)
    second += mean * (mean - 2 * first)
    return float(width * max(windowed_time(v) for v in (*first.T, *second.T))), first + origin, second


def path_series(array: NDArray[Any], group: int = 1, origin: Floats | None = None) -> Floats:
    """Series of the first quarter million paths, or groups of them, in little memory, shape (N, F).

    For each channel they are averages over time of the value, of its square, and of the value in parts of the path. The
    square is of the distance from the mean, or from an origin.
    """
    n_paths, n_times, n_channels = array.shape
    n = min(n_paths, 1 << 18) // group * group
    step = max(1, n_times // 16)
    seen = len(range(0, n_times, step))
    # Few paths need many series to show a correlation, and many do not.
    parts = np.array_split(np.arange(seen), min(_STRETCHES, seen)) if n <= LOOKED_AT else []
    series = np.empty((n, 2 + len(parts), n_channels))
    start = doubles(array[0, 0]) if origin is None else origin[:n_channels]
    at_once = max(1, (1 << 20) // (16 * n_channels))
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, n, at_once):
            values = doubles(array[begin : min(n, begin + at_once), ::step]) - start
            rows = slice(begin, begin + len(values))
            series[rows, 0] = values.mean(axis=1)
            series[rows, 1] = (values**2).mean(axis=1)
            for k, part in enumerate(parts):
                series[rows, 2 + k] = values[:, part[0] : part[-1] + 1].mean(axis=1)
        if origin is None:
            mean = series[:, 0].mean(axis=0)
            series[:, 1] += mean * (mean - 2 * series[:, 0])
    flat = series.reshape(n // group, group, -1).mean(axis=1)
    return np.where(np.isfinite(flat), flat, 0.0)


def scattered(sums: dict[str, NDArray[Any]], factor: float) -> dict[str, NDArray[Any]]:
    """Block sums whose deviations from the average block are enlarged, so that their variance is; totals stay."""
    if factor == 1:
        return sums
    counts = counted(sums)
    share = counts / counts.sum()
    grown = dict(sums)
    for name, array in sums.items():
        if array.dtype.kind == "f":
            average = share.reshape(-1, *[1] * (array.ndim - 1)) * array.sum(axis=0)
            grown[name] = average + np.sqrt(factor) * (array - average)
    return grown


def joined(sums: dict[str, NDArray[Any]], blocks: int) -> dict[str, NDArray[Any]]:
    """Block sums with neighbours added up, to at most ``blocks`` blocks of nearly equal numbers of paths."""
    paths = counted(sums)
    if len(paths) <= blocks:
        return sums
    done = np.cumsum(paths) - paths / 2
    block = np.minimum((done * blocks / paths.sum()).astype(int), blocks - 1)
    first = np.flatnonzero(np.diff(block, prepend=-1))
    return {n: a[first] if n == "first_bad" else np.add.reduceat(a, first, axis=0) for n, a in sums.items()}
