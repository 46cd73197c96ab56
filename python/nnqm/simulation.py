"""Sampling: the fused route from a theory to block sums, and its stages for paths that one holds in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._checks import Floats, choice, floats, integer, lag_list, positive
from .correlators import Correlators, is_uniform
from .networks import Network
from .observables import Observables, default_observables
from .theory import Theory

__all__ = ["Interrupted", "accumulate", "apply", "extend", "sample_paths", "simulate"]

DEFAULT_BLOCKS = 128
_TILE = _core.tile_paths
# Seconds of one call to the core, between which Ctrl-C is heard and progress is told.
_SLICE = 0.2
# A block of a Markov chain or trajectory must be this many autocorrelation times long to count as independent.
_INDEPENDENT = 20.0
# Longer paths of a user are cut along time, so that a tile of them stays small.
_LONG = 16384

# A string, because numpy.random takes a while to load.
Rng: TypeAlias = "int | np.random.SeedSequence | np.random.Generator | None"
Progress = Callable[[int, int], None]


class Interrupted(KeyboardInterrupt):
    """A run stopped by Ctrl-C; ``partial`` holds what was completed, or None if nothing was.

    ``extend(stopped.partial, n_paths)`` goes on from there and gives the bits of a run that was never stopped.
    """

    def __init__(self, partial: Correlators | None) -> None:
        held = 0 if partial is None else int(partial.block_paths.sum())
        super().__init__(f"interrupted; the partial result holds {held} paths")
        self.partial = partial


def _key(rng: Rng) -> int:
    """64-bit key from NumPy's conventions for random-number arguments."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    if isinstance(rng, np.random.SeedSequence):
        sequence = rng
    elif rng is None:
        sequence = np.random.SeedSequence()
    else:
        sequence = np.random.SeedSequence(integer("rng", rng, 0, 2**128))
    return int(sequence.generate_state(1, np.uint64)[0])


def _grid(n_times: int | None, dt: float | None, times: ArrayLike | None) -> Floats:
    if times is None:
        if n_times is None or dt is None:
            raise ValueError("the time grid is missing: give n_times and dt, or times")
        grid = np.arange(integer("n_times", n_times, 1, 2**33)) * positive("dt", dt)
        return floats("times", grid)
    if n_times is not None or dt is not None:
        raise ValueError("give either times or n_times and dt, not both")
    grid = floats("times", times, 1)
    if grid.size == 0:
        raise ValueError("times must have at least one entry; got none")
    for i in np.flatnonzero(np.diff(grid) <= 0)[:1]:
        raise ValueError(
            f"times must be strictly increasing; times[{i + 1}]={grid[i + 1]:g} <= times[{i}]={grid[i]:g}; sort them"
        )
    return grid


def default_lags(n_times: int) -> tuple[int, ...]:
    """Lag 0 and about 24 log-spaced lags up to half the paths."""
    if n_times < 2:
        return (0,)
    spaced = np.geomspace(1, max(1, n_times // 2), 24).round().astype(int)
    return (0, *(int(k) for k in np.unique(spaced)))


def default_increment_lags(n_times: int) -> tuple[int, ...]:
    """Every lag to 12, which the extrapolation in dt uses, and some longer ones up to a quarter of the paths."""
    if n_times < 2:
        return ()
    spaced = np.geomspace(1, max(1, n_times // 4), 12).round().astype(int)
    return tuple(int(k) for k in np.unique([*range(1, min(13, n_times)), *spaced]))


def _blocks(n_blocks: int | None, n_units: int, what: str) -> int:
    if n_blocks is None:
        return min(DEFAULT_BLOCKS, n_units)
    blocks = integer("n_blocks", n_blocks, 1)
    if blocks > n_units:
        raise ValueError(
            f"n_blocks={blocks} needs at least as many {what}; got {n_units}; use fewer blocks or more paths"
        )
    return blocks


def _plan_sums(
    observables: Observables,
    times: Floats,
    lags: Iterable[int] | None,
    observable_lags: Iterable[int] | None,
    increment_lags: Iterable[int] | None,
    two_time: bool | int | str,
) -> dict[str, Any]:
    n = len(times)
    given = [tuple(v) if isinstance(v, Iterable) else v for v in (lags, observable_lags, increment_lags)]
    if not is_uniform(times):
        given = [() if v is None else v for v in given]
        if n > 1 and any(v != () for v in given):
            raise ValueError(
                "lag averages need uniform times; leave the lags out and use two_time, or give n_times and dt"
            )
    lags, observable_lags, increment_lags = given
    column = None if two_time is False else observables.index(0 if two_time is True else two_time)
    return {
        "lags": lag_list("lags", default_lags(n) if lags is None else lags, 0, n),
        "observable_lags": lag_list(
            "observable_lags",
            range(1, min(4, n)) if observable_lags is None else observable_lags,
            0,
            n,
        ),
        "increment_lags": lag_list(
            "increment_lags", default_increment_lags(n) if increment_lags is None else increment_lags, 1, n
        ),
        "two_time": column,
    }


def _measure(run: Correlators) -> _core.Measure:
    o = run.observables
    return _core.Measure(
        channels=list(o.columns),
        shift=o.shift,
        scale=o.scale,
        orders=list(o.orders),
        neurons=[(o.weights, o.biases, o.activation)] if len(o.biases) else [],
        lags=list(run.lags),
        observable_lags=list(run.observable_lags),
        increment_lags=list(run.increment_lags),
        moments=True,
        two_time=-1 if run.two_time is None else run.two_time,
    )


def _empty_sums(run: Correlators, n_blocks: int) -> dict[str, NDArray[Any]]:
    shapes = _measure(run).shapes(run.n_times)
    sums: dict[str, NDArray[Any]] = {name: np.zeros((n_blocks, *shape)) for name, shape in shapes}
    sums["paths"] = np.zeros(n_blocks, dtype=np.int64)
    sums["first_bad"] = np.full(n_blocks, -1, dtype=np.int64)
    return sums


def _check_scale(run: Correlators) -> None:
    """Raise if the standardised channels cannot be had in the precision of the run."""
    o = run.observables
    for name, shift, scale in zip(o.channels, o.shift, o.scale, strict=True):
        if run.precision == "float32" and not (1e-38 < scale < 1e38 and abs(shift) < 1e38):
            raise ValueError(
                f"channel {name} has mean {shift:g} and standard deviation {scale:g}, which float32 cannot hold; "
                "use float64 or other units"
            )


def _version() -> dict[str, Any]:
    info = _core.build_info()
    return {"version": info["version"], "level": info["level"]}


def simulate(
    theory: Theory,
    n_paths: int,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    times: ArrayLike | None = None,
    rng: Rng = None,
    precision: str = "float32",
    n_threads: int = 0,
    n_blocks: int | None = None,
    blocks: range | None = None,
    observables: Observables | None = None,
    lags: Iterable[int] | None = None,
    observable_lags: Iterable[int] | None = None,
    increment_lags: Iterable[int] | None = None,
    two_time: bool | int | str = False,
    until: tuple[Callable[[Correlators], Any], float] | None = None,
    progress: Progress | None = None,
) -> Correlators:
    """Sample a theory and add up what its physics follows from; paths are never stored.

    The same key gives the same bits for any number of threads and however the run was cut into calls.

    Parameters
    ----------
    theory : Theory
    n_paths : int
        Independent paths, each started from the stationary density.
    n_times, dt : int, float
        A uniform grid 0, dt, 2 dt, ...; dt in units of time.
    times : array_like, optional
        A strictly increasing grid instead, shape (n_times,); only two_time is defined on one that is not uniform.
    rng : int, SeedSequence, Generator or None
        By NumPy's conventions; None draws fresh entropy. The key is recorded.
    precision : {"float32", "float64"}
        Of paths and networks. Sums are float64 either way.
    n_threads : int
        0 uses what the OpenMP environment offers.
    n_blocks : int, optional
        Independent blocks for the errors; 128, or the number of tiles of 64 paths if that is smaller.
    blocks : range, optional
        Compute only these blocks of the run; ``merge`` puts the parts of several workers together.
    observables : Observables, optional
        Default: ``default_observables(theory)``.
    lags : iterable of int, optional
        Lags, in steps, of two-point functions; about 24 log-spaced ones by default.
    observable_lags : iterable of int, optional
        Lags of the correlator matrix of all observables; 1, 2, 3 by default, () for none.
    increment_lags : iterable of int, optional
        Lags of the squared increments.
    two_time : bool, int or str
        Also sum x(t) x(s) for all pairs of times, of the first output or the channel named.
    until : (function, float), optional
        Stop once ``function(run).error`` (largest entry) is at most the number; looked at whenever the number of
        paths has doubled, so that the outcome does not depend on speed. ``n_paths`` is the limit.
    progress : callable, optional
        Called with (paths done, paths wanted) about five times a second.

    Returns
    -------
    Correlators

    Raises
    ------
    TypeError, ValueError
        Before any work starts if an argument is not valid; afterwards if a path is not finite.
    Interrupted
        On Ctrl-C, with the completed part in its ``partial``.
    """
    if not isinstance(theory, Theory):
        raise TypeError(f"theory must be a Theory; got {theory!r}; load_theory and builtin_theory make one")
    grid = _grid(n_times, dt, times)
    paths = integer("n_paths", n_paths, 1, 2**53 // len(grid))
    choice("precision", precision, ("float32", "float64"))
    integer("n_threads", n_threads, 0, 4096)
    total = _blocks(n_blocks, -(-paths // _TILE), f"tiles of {_TILE} paths")
    held = range(total) if blocks is None else blocks
    if not isinstance(held, range):
        raise TypeError(f"blocks must be a range such as range(0, 64); got {held!r}")
    if held.step != 1 or not 0 <= held.start < held.stop <= total:
        raise ValueError(f"blocks must be a range within 0..{total}; got {held}")
    chosen = default_observables(theory) if observables is None else observables
    if max(chosen.columns) >= len(theory.channels):
        raise ValueError(
            f"observables measure channel {max(chosen.columns)}, but the theory has {len(theory.channels)}; "
            "make them with default_observables(theory)"
        )
    run = Correlators(
        theory=theory,
        observables=chosen,
        times=grid,
        n_paths=paths,
        n_blocks=total,
        first_block=held.start,
        keys=(_key(rng),),
        precision=precision,
        hbar=theory.hbar,
        mass=theory.mass,
        **_plan_sums(chosen, grid, lags, observable_lags, increment_lags, two_time),
        **_version(),
    )
    _check_scale(run)
    run = replace(run, sums=_empty_sums(run, len(held)))
    if until is None:
        return _advance(run, paths, n_threads, progress)
    if not (isinstance(until, tuple) and len(until) == 2 and callable(until[0])):
        raise TypeError(f"until must be a pair (function of a run, wanted error); got {until!r}")
    function, wanted = until[0], positive("until[1]", until[1])
    target = min(paths, total * _TILE * 2)
    while True:
        run = _advance(replace(run, n_paths=target), paths, n_threads, progress)
        if target == paths or float(np.max(function(run).error)) <= wanted:
            return run
        target = min(paths, 2 * target)


def extend(run: Correlators, n_paths: int, *, n_threads: int = 0, progress: Progress | None = None) -> Correlators:
    """Continue a run to more paths, or finish one that was interrupted.

    The result has the bits of one run of ``n_paths`` with the same number of blocks.

    Parameters
    ----------
    run : Correlators
        From ``simulate`` (one seed).
    n_paths : int
        Paths wanted in total, at least ``run.n_paths``.
    n_threads, progress
        As for ``simulate``.

    Returns
    -------
    Correlators

    Raises
    ------
    ValueError
        If the run cannot be continued: merged seeds, paths from elsewhere, another instruction set or version of
        the random-number map.
    """
    if run.theory is None or len(run.keys) != 1:
        raise ValueError("only a run of one seed can be extended; merge it with a run of another rng instead")
    if run.random_map_version != _core.random_map_version:
        raise ValueError(
            f"the run was made with version {run.random_map_version} of the random-number map, this nnqm has "
            f"{_core.random_map_version}; merge it with a run of another rng instead"
        )
    if run.level != _version()["level"]:
        raise ValueError(
            f"the run was made at instruction-set level {run.level}, this process uses {_version()['level']}; "
            f"set NNQM_LEVEL={run.level} for the same bits"
        )
    paths = integer("n_paths", n_paths, max(1, run.n_paths), 2**53 // run.n_times)
    integer("n_threads", n_threads, 0, 4096)
    return _advance(replace(run, n_paths=paths), paths, n_threads, progress)


def _slices(done: NDArray[np.int64], wanted: NDArray[np.int64]) -> Iterator[tuple[slice, int, int]]:
    """Adjacent blocks that stand at the same tile, and the tiles they lack; fewest tiles first."""
    while True:
        open_blocks = np.flatnonzero(done < wanted)
        if open_blocks.size == 0:
            return
        tile = done[open_blocks].min()
        begin = int(open_blocks[done[open_blocks] == tile][0])
        end = begin
        while end < len(done) and done[end] == tile and wanted[end] > tile:
            end += 1
        ahead = done[done > tile]
        limit = min(int(wanted[begin:end].min()), int(ahead.min()) if ahead.size else 2**62)
        yield slice(begin, end), int(tile), limit


def _first_tiles(run: Correlators) -> int:
    """Tiles of the first slice, before the speed is known: sixteen, or fewer of a costly theory."""
    assert run.theory is not None
    weights = 0 if run.theory.network is None else sum(w.size for w in run.theory.network.weights)
    products = 2 * len(run.observable_lags) * run.observables.size**2
    pairs = 0 if run.two_time is None else run.n_times
    multiplications = _TILE * run.n_times * (50 + weights + products + pairs)
    return max(1, min(16, int(2e9 / multiplications)))


def _advance(run: Correlators, limit: int, n_threads: int, progress: Progress | None) -> Correlators:
    """Bring every block held to run.n_paths; ``limit`` is what progress counts against."""
    assert run.theory is not None
    theory, measure = run.theory._compiled(), _measure(run)
    sums = {name: array.copy() for name, array in run.sums.items()}
    index = run.first_block + np.arange(len(sums["paths"]))
    n_tiles = -(-run.n_paths // _TILE)
    wanted = np.maximum(0, -(-(n_tiles - index) // run.n_blocks))
    # A block whose last tile was cut short is done again: its sums cannot be undone.
    for b in np.flatnonzero((sums["paths"] % _TILE != 0) & (sums["paths"] < _paths_wanted(run, index))):
        for name, array in sums.items():
            array[b] = -1 if name == "first_bad" else 0
    done = -(-sums["paths"] // _TILE)
    per_second = 0.0
    before = int(sums["paths"].sum())
    try:
        for where, tile, last in _slices(done, wanted):
            blocks = where.stop - where.start
            rounds, part = last - tile, blocks
            # Tiles for one slice of time: whole rounds while they are short, some blocks of one round otherwise.
            affordable = max(1, int(per_second * _SLICE)) if per_second else min(blocks, _first_tiles(run))
            rounds = max(1, min(rounds, affordable // blocks))
            if rounds == 1:
                part = max(1, min(blocks, affordable))
            stop = where.start + part
            start = time.perf_counter()
            _core.advance(
                theory=theory,
                measure=measure,
                key=run.keys[0],
                times=run.times,
                n_paths=run.n_paths,
                n_blocks=run.n_blocks,
                precision=run.precision,
                n_threads=n_threads,
                blocks=(run.first_block + where.start, run.first_block + stop),
                rounds=(tile, tile + rounds),
                first_block=run.first_block,
                sums=sums,
            )
            per_second = part * rounds / max(time.perf_counter() - start, 1e-6)
            done[where.start : stop] += rounds
            if progress is not None:
                progress(int(sums["paths"].sum()), limit)
            _check_finite(run, sums)
    except KeyboardInterrupt:
        partial = replace(run, sums=sums) if sums["paths"].sum() > before or before else None
        raise Interrupted(partial) from None
    return replace(run, sums=sums)


def _paths_wanted(run: Correlators, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Paths of each block once the run is complete."""
    full, rest = divmod(run.n_paths, _TILE)
    whole = np.maximum(0, -(-(full - index) // run.n_blocks)) * _TILE
    return whole + np.where(full % run.n_blocks == index, rest, 0)


def _check_finite(run: Correlators, sums: dict[str, NDArray[Any]]) -> None:
    bad = sums["first_bad"][sums["first_bad"] >= 0]
    if bad.size:
        linear = run.theory is None or run.theory.network is None
        what, smaller = ("the process", "sigma") if linear else ("the network", "weights")
        raise ValueError(
            f"{what} overflows: path {bad.min()} has a value that is not finite in {run.precision}; "
            f"use precision='float64' or smaller {smaller}"
        )


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

    Returns
    -------
    ndarray
        Shape (paths, n_times, D), of the precision asked for: inputs y of the network; ``apply`` gives x.
    """
    if not isinstance(theory, Theory):
        raise TypeError(f"theory must be a Theory; got {theory!r}")
    grid = _grid(n_times, dt, times)
    chosen = paths if isinstance(paths, range) else range(integer("paths", paths, 1))
    if chosen.step != 1 or chosen.start < 0 or len(chosen) == 0:
        raise ValueError(f"paths must be a number or a non-empty range of step 1 from 0 on; got {chosen}")
    choice("precision", precision, ("float32", "float64"))
    if key is not None and rng is not None:
        raise ValueError("give either rng or key, not both")
    return np.asarray(
        _core.sample(
            theory=theory._compiled(),
            key=_key(rng) if key is None else integer("key", key, 0, 2**64 - 1),
            times=grid,
            paths=(chosen.start, chosen.stop),
            precision=precision,
            n_threads=integer("n_threads", n_threads, 0, 4096),
        )
    )


def apply(network: Network | None, paths: ArrayLike, *, n_threads: int = 0) -> NDArray[Any]:
    """Outputs of a network along paths, with the bits of the fused route.

    Parameters
    ----------
    network : Network or None
        None is the identity.
    paths : array_like
        Shape (n_paths, n_times, D); float32 stays float32, all else is computed in float64; any layout.
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
    array = _real_array(paths)
    if array.ndim != 3:
        raise ValueError(f"paths must have axes (path, time, channel); got shape {array.shape}")
    if network is None:
        return array
    if array.shape[2] != network.n_inputs:
        raise ValueError(f"paths have {array.shape[2]} channels, but the network takes {network.n_inputs} inputs")
    native: NDArray[Any] = array.astype(_float_type(array.dtype), copy=False)
    integer("n_threads", n_threads, 0, 4096)
    out = np.asarray(_core.apply(layers=network._layers(), inputs=native, n_threads=n_threads))
    if not np.isfinite(out).all():
        path, step = np.argwhere(~np.isfinite(out))[0][:2]
        _check_user_values(native[path], int(path), "paths")
        raise ValueError(
            f"the network overflows: its output on path {path} at time step {step} is not finite in {out.dtype}; "
            "use float64 paths or smaller weights"
        )
    return out


def _real_array(paths: ArrayLike) -> NDArray[Any]:
    array = np.asarray(paths)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"paths must be real numbers; got dtype {array.dtype}; take the real part or a component first")
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
        memory maps included. Or an iterable of such chunks of paths, each of which is one or more whole blocks.
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
    # Looked at once for each chunk.
    lags, observable_lags, increment_lags = (
        tuple(v) if isinstance(v, Iterable) else v for v in (lags, observable_lags, increment_lags)
    )
    positive("dt", dt)
    positive("hbar", hbar)
    positive("mass", mass)
    integer("n_threads", n_threads, 0, 4096)
    whole = isinstance(paths, (np.ndarray, list, tuple)) or hasattr(paths, "__array__")
    chunked = isinstance(paths, Iterable) and not whole
    given: Any = paths
    chunks: Iterator[Any] = iter(given if chunked else [given])
    run: Correlators | None = None
    collected: list[dict[str, NDArray[Any]]] = []
    notes: list[str] = []
    n_paths = n_steps = 0
    for chunk in chunks:
        array = _three_axes(_real_array(chunk))
        if run is not None and array.shape[1] != n_steps:
            raise ValueError(f"chunks must have equal n_times; got {array.shape[1]} after {n_steps}")
        n_steps = array.shape[1]
        steps, n, parts, chunk_notes = _cut(array, n_blocks, chunked, lags, observable_lags, increment_lags)
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
                **_plan_sums(chosen, grid, lags, observable_lags, increment_lags, two_time),
                **_version(),
            )
            _check_scale(run)
        elif steps != run.n_times:
            raise ValueError(
                f"chunks must be cut alike; got pieces of {steps} steps after {run.n_times}; choose n_blocks"
            )
        if array.shape[2] <= max(run.observables.columns):
            raise ValueError(
                f"paths have {array.shape[2]} channels, but the observables need {max(run.observables.columns) + 1}"
            )
        sums = _empty_sums(run, n)
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


def _three_axes(array: NDArray[Any]) -> NDArray[Any]:
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
    array: NDArray[Any], n_blocks: int | None, chunked: bool, *lag_lists: Iterable[int] | None
) -> tuple[int, int, Iterator[_Part], list[str]]:
    """Steps per piece, number of blocks, the parts to be summed, and notes."""
    n_paths, n_times, _ = array.shape
    asked = DEFAULT_BLOCKS if n_blocks is None else integer("n_blocks", n_blocks, 1)
    notes: list[str] = []
    per_path = 1
    by_path = chunked or n_paths >= (asked if n_blocks is not None else 16)
    if by_path:
        blocks = min(asked, n_paths)
        if n_paths >= 64 and not chunked:
            tau = max(map(autocorrelation_time, _path_series(array)), default=0.5)
            blocks, notes = _safe_blocks(blocks, n_paths, tau, n_blocks is None, "paths")
        if n_times <= _LONG:
            offsets = [n_paths * b // blocks for b in range(blocks + 1)]
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
    if tau <= 1.0 or length / blocks >= _INDEPENDENT * tau or (chains > 1 and blocks == 1):
        return blocks, []
    fewer = max(int(length / (_INDEPENDENT * tau)), 1 if chains > 1 else 0)
    told = f"the autocorrelation time is {tau:.3g} {unit}"
    if not automatic:
        remedy = f"use n_blocks={fewer * chains} or fewer" if fewer * chains > 1 else "give more or longer paths"
        raise ValueError(
            f"n_blocks gives blocks of {length // blocks} {unit}, but {told}, and a block must be "
            f"{_INDEPENDENT:g} times as long; {remedy}"
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
    measure = _measure(run)
    wanted = np.dtype(run.precision)
    pieces, offsets = part.pieces, part.offsets
    n_blocks = len(offsets) - 1
    direct = pieces.dtype == wanted and pieces.dtype.isnative
    # What has another type is converted at most 16 MB at a time, in multiples of a tile.
    at_once = max(_TILE, (1 << 24) // (pieces[0].size * wanted.itemsize) // _TILE * _TILE)
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
