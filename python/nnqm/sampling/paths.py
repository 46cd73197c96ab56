"""The stages of the pipeline on paths held in memory: sample, apply a network, add up (anybody's paths)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, array_of, choice, floats, integer, positive
from ..theories.networks import Network, RandomNetwork, use_table
from ..theories.theory import Theory
from .correlators import Correlators
from .observables import Observables, default_observables
from .run_settings import (
    DEFAULT_BLOCKS,
    TILE,
    Rng,
    build_facts,
    check_scale,
    empty_sums,
    measure_of,
    plan_sums,
    random_key,
    time_grid,
)

__all__ = ["accumulate", "apply", "draw_weights", "sample_paths"]

# A block of a Markov chain or trajectory must be this many autocorrelation times long to count as independent.
INDEPENDENT = 20.0
# Paths, and numbers in an array, beyond any that a run can have.
_MOST = 2**53
# Longer paths of a user are cut along time, so that a tile of them stays small.
_LONG = 16384


def sample_paths(
    theory: Theory,
    paths: int | range,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    times: ArrayLike | None = None,
    rng: Rng = None,
    key: int | None = None,
    precision: str = "float32",
    n_threads: int = 0,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Paths of the seed processes, the very ones that ``simulate`` uses for the same rng.

    Parameters
    ----------
    theory : Theory
    paths : int or range
        The first so many paths, or a range of path indices with step 1.
    n_times, dt, times, rng, precision, n_threads
        As for ``simulate``.
    key : int, optional
        The key of a run (``run.keys``) instead of an rng.
    out : ndarray, optional
        Where to write, C-contiguous and of that shape and precision: what is sampled again and again into the same
        memory saves the system from clearing new memory each time.

    Returns
    -------
    ndarray
        Shape (paths, n_times, D), of the precision asked for: inputs y of the network; ``apply`` gives x. It is
        ``out`` if that is given.
    """
    if not isinstance(theory, Theory):
        raise TypeError(f"theory must be a Theory; got {theory!r}")
    grid = time_grid(n_times, dt, times, theory)
    chosen = _path_range(paths)
    choice("precision", precision, ("float32", "float64"))
    if len(chosen) * len(grid) * theory.n_inputs > _MOST:
        raise ValueError(
            f"paths must fit into an array; got {len(chosen)} paths of {len(grid)} times and {theory.n_inputs} inputs; "
            "ask for ranges of paths, or for the sums that simulate makes"
        )
    array = _place(out, (len(chosen), len(grid), theory.n_inputs), precision)
    _core.sample(
        theory=theory._compiled(grid),
        key=_key_of(rng, key),
        times=grid,
        paths=(chosen.start, chosen.stop),
        n_threads=integer("n_threads", n_threads, 0, 4096),
        out=array,
    )
    return array


def _place(out: NDArray[Any] | None, shape: tuple[int, ...], precision: str) -> NDArray[Any]:
    """The array to write into, made where none is given."""
    if out is None:
        return np.empty(shape, precision)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array of NumPy; got {type(out).__name__}; give its view, np.from_dlpack(out)")
    if out.shape != shape or out.dtype != precision:
        raise ValueError(
            f"out must have shape {shape} and dtype {precision}; got shape {out.shape} and dtype {out.dtype}"
        )
    if not out.flags.carray:
        raise ValueError("out must be writable, aligned and C-contiguous; give an array made by np.empty")
    return out


def _path_range(paths: int | range) -> range:
    chosen = paths if isinstance(paths, range) else range(integer("paths", paths, 1))
    if chosen.step != 1 or not 0 <= chosen.start < chosen.stop:
        raise ValueError(f"paths must be a number or a non-empty range of step 1 from 0 on; got {chosen}")
    if chosen.stop > _MOST:
        raise ValueError(f"paths must be among the first 2**53; got {chosen}; use smaller numbers")
    return chosen


def _key_of(rng: Rng, key: int | None) -> int:
    if key is not None and rng is not None:
        raise ValueError("give either rng or key, not both")
    return random_key(rng) if key is None else integer("key", key, 0, 2**64 - 1)


def draw_weights(
    theory: Theory, paths: int | range, *, rng: Rng = None, key: int | None = None, negative: bool = False
) -> list[Network]:
    """The weights that paths of a theory with random weights draw.

    Parameters
    ----------
    theory : Theory
        With a ``RandomNetwork``.
    paths : int or range
        The first so many paths, or a range of path indices with step 1.
    rng, key
        As for ``sample_paths``: those of the run.
    negative : bool, default False
        Those for t < 0, which differ in a network that is split at t = 0.

    Returns
    -------
    list of Network
        One for each group of paths that share their weights: path i has entry ``i // group - first // group``. In
        float64; runs in float32 use the same numbers to rounding. A split network's output is W h(|t|) - W h(0) + b.

    Raises
    ------
    ValueError
        If the weights of the theory are fixed.
    """
    if not isinstance(theory, Theory) or not isinstance(theory.network, RandomNetwork):
        raise ValueError(f"theory must have random weights; got {theory!r}; RandomNetwork makes them")
    chosen = _path_range(paths)
    group = theory.network.group
    groups = range(chosen.start // group, (chosen.stop - 1) // group + 1)
    widths = theory.network.widths
    if len(groups) * sum((a + 1) * b for a, b in pairwise(widths)) > _MOST:
        raise ValueError(
            f"paths must draw weights that fit into an array; got {len(groups)} groups; ask for ranges of paths"
        )
    return theory.network.draw(groups, _key_of(rng, key), negative=negative)


def apply(
    network: Network | RandomNetwork | None,
    paths: ArrayLike,
    *,
    rng: Rng = None,
    key: int | None = None,
    first_path: int = 0,
    times: ArrayLike | None = None,
    compiled: bool | None = None,
    n_threads: int = 0,
) -> NDArray[Any]:
    """Outputs of a network along paths, with the bits of the fused route.

    Parameters
    ----------
    network : Network, RandomNetwork or None
        None is the identity.
    rng, key, first_path
        What random weights are drawn from: those of ``sample_paths`` and the index of the first path.
    times : array_like, optional
        Of the paths, shape (n_times,); for a network that is split at t = 0.
    compiled : bool, optional
        As for ``simulate``: the bits are those of a run whose ``compiled`` is the same.
    paths : array_like
        Shape (n_paths, n_times, D); float32 stays float32, all else is computed in float64; any layout, CPU
        arrays of other libraries included.
    n_threads : int
        0 uses what the OpenMP environment offers.

    Returns
    -------
    ndarray
        Shape (n_paths, n_times, C).

    Raises
    ------
    ValueError
        If the shape does not fit, or an output is not finite (which path and time).
    """
    array = real_array(paths)
    if array.ndim != 3:
        raise ValueError(f"paths must have axes (path, time, channel); got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"paths must have axes that are not empty; got shape {array.shape}; give at least one path")
    if network is None:
        return array
    if array.shape[2] != network.n_inputs:
        raise ValueError(f"paths have {array.shape[2]} channels, but the network takes {network.n_inputs} inputs")
    native: NDArray[Any] = array.astype(_float_type(array.dtype), copy=False)
    integer("n_threads", n_threads, 0, 4096)
    random = isinstance(network, RandomNetwork)
    tabulated = use_table(network, native.dtype.name, compiled)
    if random and rng is None and key is None:
        raise ValueError("random weights need the rng or key of the paths; for the keys of a run give key=run.keys[0]")
    if isinstance(network, RandomNetwork) and network.shared is not None and times is None:
        raise ValueError("a network that is split at t = 0 needs the times of the paths; give times")
    out = np.asarray(
        _core.apply(
            network=network._compiled(native.dtype.name if tabulated else None),
            key=_key_of(rng, key) if random else 0,
            times=() if times is None else floats("times", times, 1),
            first_path=integer("first_path", first_path, 0, _MOST),
            inputs=native,
            n_threads=n_threads,
        )
    )
    if not np.isfinite(out).all():
        path, step = np.argwhere(~np.isfinite(out))[0][:2]
        _check_user_values(native[path], int(path), "paths")
        raise ValueError(
            f"the network overflows: its output on path {path} at time step {step} is not finite in {out.dtype}; "
            "use float64 paths or smaller weights"
        )
    return out


def is_array(paths: Any) -> bool:
    """Whether paths come as one array rather than in chunks."""
    known = isinstance(paths, (np.ndarray, list, tuple))
    return known or hasattr(paths, "__array__") or hasattr(paths, "__dlpack__")


def real_array(paths: ArrayLike) -> NDArray[Any]:
    array = array_of("paths", paths)
    if array.dtype.kind == "O":
        raise TypeError("paths must be real numbers; got dtype object; convert them to float64 first")
    return array


def _float_type(dtype: np.dtype[Any]) -> type:
    return np.float32 if dtype == np.float32 else np.float64


def _check_user_values(values: NDArray[Any], path: int, name: str, first_step: int = 0) -> None:
    """Raise if one of the values (time, channel) of a path is not finite."""
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        step, channel = bad[0]
        raise ValueError(
            f"{name} must be finite; path {path} at time step {first_step + step}, channel {channel} is "
            f"{values[step, channel]}; remove it"
        )


def accumulate(
    paths: ArrayLike | Iterable[ArrayLike],
    dt: float = 1.0,
    *,
    names: Sequence[str] | None = None,
    theory: Theory | None = None,
    hbar: float = 1.0,
    mass: float = 1.0,
    n_threads: int = 0,
    n_blocks: int | None = None,
    observables: Observables | None = None,
    lags: Iterable[int] | None = None,
    observable_lags: Iterable[int] | None = None,
    increment_lags: Iterable[int] | None = None,
    two_time: bool | int | str = False,
    group: int | None = None,
) -> Correlators:
    """Add up anybody's paths as ``simulate`` adds up its own.

    Blocks hold adjacent paths, because successive paths may be a Markov chain. Fewer paths than blocks are long
    trajectories and are cut along time, each into pieces of equal length (pairs across a cut are left out).
    Blocks must be at least 20 autocorrelation times long: with ``n_blocks=None`` their number is lowered until they
    are; notes of the result say so.

    Parameters
    ----------
    paths : array_like, or iterable of array_like
        Shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,); any real dtype and memory layout,
        memory maps and CPU arrays of other libraries included. Or an iterable of such chunks of paths, each of which
        is one or more whole blocks.
    dt : float
        Time step.
    names : sequence of str, optional
        Names of the channels.
    theory : Theory, optional
        The theory that made them, whose channels they must be; for exact values beside the measured ones.
    hbar, mass : float
        For energies and momenta; taken from the theory if there is one.
    n_threads, n_blocks, lags, observable_lags, increment_lags, two_time
        As for ``simulate``.
    observables : Observables, optional
        Default: ``default_observables`` standardised by the theory, or by the mean and standard deviation of the
        paths (of the first chunk). Pass those of another run to merge with it.
    group : int, optional
        Successive paths that share random parameters, a divisor of 64 or a multiple of it; that of the theory, or 1.

    Returns
    -------
    Correlators

    Raises
    ------
    TypeError, ValueError
        If the shape or type does not fit, a value is not finite (which path and time), or the paths are too few
        or too strongly correlated for two independent blocks.
    """
    if theory is not None:
        hbar, mass = theory.hbar, theory.mass
    members = (1 if theory is None else theory.group) if group is None else integer("group", group, 1)
    if 64 % members and members % 64:
        raise ValueError(f"group must be a divisor of 64 or a multiple of it; got {members}")
    # Looked at once for each chunk.
    lags, observable_lags, increment_lags = (
        tuple(v) if isinstance(v, Iterable) else v for v in (lags, observable_lags, increment_lags)
    )
    positive("dt", dt)
    positive("hbar", hbar)
    positive("mass", mass)
    integer("n_threads", n_threads, 0, 4096)
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
            raise ValueError(f"chunks must have equal n_times; got {array.shape[1]} after {n_steps}")
        n_steps = array.shape[1]
        steps, n, parts, chunk_notes = _cut(array, members, n_blocks, chunked, lags, observable_lags, increment_lags)
        if run is None:
            grid = np.arange(steps, dtype=np.float64) * float(dt)
            chosen = _user_observables(array, names, theory) if observables is None else observables
            run = Correlators(
                theory=theory,
                observables=chosen,
                times=grid,
                n_paths=0,
                n_blocks=0,
                first_block=0,
                keys=(),
                precision=np.dtype(_float_type(array.dtype)).name,
                hbar=float(hbar),
                mass=float(mass),
                group=members,
                **plan_sums(theory, chosen, grid, lags, observable_lags, increment_lags, two_time),
                **build_facts(),
            )
            check_scale(run)
        elif steps != run.n_times:
            raise ValueError(
                f"chunks must be cut alike; got pieces of {steps} steps after {run.n_times}; choose n_blocks"
            )
        if array.shape[2] <= max(run.observables.columns):
            raise ValueError(
                f"paths have {array.shape[2]} channels, but the observables need {max(run.observables.columns) + 1}"
            )
        sums = empty_sums(run, n)
        for part in parts:
            _accumulate_part(part, run, n_threads, sums, n_paths)
        n_paths += array.shape[0]
        collected.append(sums)
        notes += chunk_notes
    if run is None:
        raise ValueError("paths must have at least one chunk; got none")
    joined = {name: np.concatenate([s[name] for s in collected]) for name in collected[0]}
    if len(joined["paths"]) < 2:
        raise ValueError("errors need at least 2 blocks; got 1; give more paths, or longer ones")
    return replace(run, sums=joined, n_paths=n_paths, n_blocks=len(joined["paths"]), notes=tuple(dict.fromkeys(notes)))


def three_axes(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 1:
        array = array[None, :, None]
    elif array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(
            f"paths must have shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,), none of them 0; "
            f"got {array.shape}"
        )
    return array


def _user_observables(array: NDArray[Any], names: Sequence[str] | None, theory: Theory | None) -> Observables:
    n_channels = array.shape[2]
    if theory is not None:
        if n_channels != len(theory.channels):
            raise ValueError(
                f"paths have {n_channels} channels, but the theory has {len(theory.channels)} "
                f"({', '.join(theory.channels)})"
            )
        return default_observables(theory)
    numbered = tuple(f"x{i + 1}" for i in range(n_channels)) if n_channels > 1 else ("x",)
    labels = numbered if names is None else tuple(names)
    if len(labels) != n_channels or len(set(labels)) != n_channels:
        raise ValueError(f"names must be {n_channels} different strings, one per channel; got {labels}")
    # A strided subset is enough for a standardisation, and does not copy what may be larger than memory.
    stride = max(1, array.size >> 20)
    sample = array[:: min(stride, array.shape[0]), :: max(1, stride // array.shape[0])].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        mean, std = sample.mean(axis=(0, 1)), sample.std(axis=(0, 1))
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        for path in range(array.shape[0]):
            _check_user_values(array[path], path, "paths")
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    return default_observables((mean, std, labels))


def autocorrelation_time(series: Floats) -> float:
    r"""Integrated autocorrelation time of a series in steps, 1/2 + sum of the autocorrelations.

    The window is cut self-consistently at five times the result (Sokal; Wolff, Comput. Phys. Commun. 156, 143 (2004)).
    """
    x = np.asarray(series, dtype=np.float64) - np.mean(series)
    n = len(x)
    if n < 2 or not np.any(x):
        return 0.5
    padded = 1 << (2 * n - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(x, padded)) ** 2)[:n]
    tau = 0.5 + np.cumsum(correlation[1:] / correlation[0])
    window = np.flatnonzero(np.arange(1, n) >= 5 * tau)
    return float(max(0.5, tau[window[0]] if window.size else tau.max()))


@dataclass
class _Part:
    """Pieces of paths and the blocks they go to: pieces offsets[i] .. offsets[i + 1] - 1 to block first_block + i."""

    pieces: NDArray[Any]
    first_block: int
    offsets: list[int]
    first_path: int
    whole_paths: bool


def _cut(
    array: NDArray[Any], group: int, n_blocks: int | None, chunked: bool, *lag_lists: Iterable[int] | None
) -> tuple[int, int, Iterator[_Part], list[str]]:
    """Steps per piece, number of blocks, the parts to be summed, and notes."""
    n_paths, n_times, _ = array.shape
    asked = DEFAULT_BLOCKS if n_blocks is None else integer("n_blocks", n_blocks, 1)
    notes: list[str] = []
    per_path = 1
    by_path = chunked or group > 1 or n_paths >= (asked if n_blocks is not None else 16)
    if group > 1 and (n_paths % group or n_times > _LONG):
        raise ValueError(
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
    largest = max((max(v, default=0) for v in (tuple(q) for q in lag_lists if q is not None)), default=0)
    length = n_times // per_path
    pieces = max(1, length // max(1024, 16 * (largest + 1), int(32 * tau)))
    steps = length // pieces
    if largest >= steps:
        raise ValueError(f"lags must be below the block length of {steps} steps; got lag {largest}; use longer paths")
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
        _check_user_values(values, path, "paths", begin * width)
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
        raise ValueError(
            f"n_blocks gives blocks of {length // blocks} {unit}, but {told}, and a block must be "
            f"{INDEPENDENT:g} times as long; {remedy}"
        )
    if fewer * chains < 8:
        raise ValueError(
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
    # What has another type is converted at most 16 MB at a time, in multiples of a tile.
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
        raise ValueError(
            f"paths must be finite in {run.precision}; path {path} at time step {time_step}, channel {channel} is "
            f"{pieces[piece, step, channel]}; remove it"
        )
