"""Settings of a run before it starts: keywords, random-number key, time grid, blocks and empty sums."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, floats, integer, positive
from .._memory import need_memory
from ..errors import InputError, InputTypeError
from ..progress import Showing
from ..theories.theory import Theory
from .correlators import Correlators

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["AccumulateSettings", "FunctionSettings", "PathSettings", "RunSettings", "TwoLevelSettings", "WorkSettings"]

DEFAULT_BLOCKS = 128
TILE = _core.tile_paths

# Number of paths beyond any that a run can have.
_MOST_PATHS = 2**53


class PathSettings(TypedDict, total=False):
    """How paths are drawn.

    Attributes
    ----------
    precision : {"float32", "float64"}
        Type of paths and networks, float32 by default; sums are float64 either way.
    n_threads : int
        0, the default, uses as many as the OpenMP environment offers. They do not change the bits.
    """

    precision: str
    n_threads: int


class SampleSettings(PathSettings, total=False):
    """How and where ``sample_paths`` draws paths.

    Attributes
    ----------
    channels : str or sequence of str
        Names of channels; the outputs of the theory by default.
    out : ndarray
        Memory to write to, of the shape and precision of the paths.
    """

    channels: Sequence[str] | str | None
    out: NDArray[Any] | None


class FunctionSettings(PathSettings, total=False):
    """Settings of ``simulate_functions``; ``PathSettings`` has the others.

    Attributes
    ----------
    names : sequence of str
        Names of the functions; x1, x2, ... by default.
    n_blocks : int
        Independent blocks for the errors; 128, or the number of tiles of 64 paths if that is smaller.
    """

    names: Sequence[str] | None
    n_blocks: int | None


class TwoLevelSettings(FunctionSettings, total=False):
    """Settings of ``simulate_two_level``; ``FunctionSettings`` has the others.

    Attributes
    ----------
    functions : callable
        Functions of the channels at one time; the outputs of the theory by default.
    progress : callable, bool or None
        As for ``simulate``; a function is called after every part of the work.
    """

    functions: Callable[[NDArray[Any]], ArrayLike] | None
    progress: Showing


class WorkSettings(TypedDict, total=False):
    """How a run is advanced, which does not change its bits.

    Attributes
    ----------
    n_threads : int
        0, the default, uses as many as the OpenMP environment offers; of each worker if there are workers.
    progress : callable, bool or None
        Called with (paths done, paths wanted) about five times a second; or whether a bar is shown, see ``simulate``.
    executor : Executor or callable
        Workers that do the work, or a function that makes them, see ``simulate``.
    checkpoint : path-like
        File that keeps the sums while the run works; the same call goes on from it, see ``simulate``.
    """

    n_threads: int
    progress: Showing
    executor: Executor | Callable[[], Executor] | None
    checkpoint: str | os.PathLike[str] | None


class RunSettings(WorkSettings, total=False):
    """How ``simulate`` runs; ``WorkSettings`` has the others.

    Attributes
    ----------
    precision : {"float32", "float64"}
        Type of paths and networks, float32 by default; sums are float64 either way.
    compiled : bool
        Whether the network is evaluated by a table; by default wherever that is as good, see ``simulate``.
    n_blocks : int
        Independent blocks for the errors; 128, or the number of tiles of 64 paths if that is smaller.
    blocks : range
        Compute only these blocks of the run; ``merge`` puts the parts of several workers together.
    until : (function, float)
        Stop once ``function(run).error`` (largest entry) is at most the number; tested whenever the number of
        paths has doubled, so that the outcome does not depend on speed. ``n_paths`` is the limit.
    """

    precision: str
    compiled: bool | None
    n_blocks: int | None
    blocks: range | None
    until: tuple[Callable[[Correlators], Any], float] | None


class AccumulateSettings(TypedDict, total=False):
    """How ``accumulate`` treats given paths.

    Attributes
    ----------
    n_threads : int
        As for ``simulate``.
    n_blocks : int
        Independent blocks for the errors, of each chunk where there are several; at most 128 by default.
    axes : sequence of str
        The axes of arrays in their order, each one of path, time, channel.
    period : float or bool
        Period of closed paths: the number of times times dt, or True. Lags then wrap.
    independent : bool
        Whether the paths are known to be independent, so that no chain is looked for; False by default.
    group : int
        Successive paths that share random parameters, a divisor of 64 or a multiple of it; by default the group of the
        theory, or 1.
    hbar, mass : float
        For energies and momenta, 1 by default; taken from the theory if there is one.
    """

    n_threads: int
    n_blocks: int | None
    axes: Sequence[str] | None
    period: float | bool | None
    independent: bool
    group: int | None
    hbar: float
    mass: float


def need_known(
    function: Callable[..., Any], given: Mapping[str, Any], record: type, within: type | None = None
) -> None:
    """Raise if a keyword of a function is not among the settings of its record; the message names the nearest one.

    ``within`` is the class of the argument ``measure``, whose own keywords are easily taken for the function's.
    """
    unknown = [name for name in given if name not in record.__annotations__]
    if not unknown:
        return
    import inspect

    (name, *_), own = unknown, [p for p in inspect.signature(function).parameters if p not in ("self", "settings")]
    known = {n: n for n in (*own, *record.__annotations__)}
    if within is not None:
        known |= {n: f"measure=nnqm.{within.__name__}({n}=...)" for n in within.__annotations__}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    called = function.__qualname__.removesuffix(".__init__")
    hint = f"; did you mean {known[near[0]]}?" if near else f"; it takes {', '.join(known)}"
    raise InputTypeError(f"{called} has no argument {name!r}{hint}")


def path_range(paths: int | range) -> range:
    """Indices of paths, from their number or a range of step 1."""
    chosen = paths if isinstance(paths, range) else range(integer("paths", paths, 1))
    if chosen.step != 1 or not 0 <= chosen.start < chosen.stop:
        raise InputError(f"paths must be a number or a non-empty range of step 1 from 0 on; got {chosen}")
    if chosen.stop > _MOST_PATHS:
        raise InputError(f"paths must be among the first 2**53; got {chosen}; use smaller numbers")
    return chosen


def time_grid(n_times: int | None, dt: float | None, times: ArrayLike | None, theory: Theory | None = None) -> Floats:
    """The grid of times, checked.

    From 0 or the start of an interval, on one turn where paths close, around 0 where the input is |t|.
    """
    period = None if theory is None else theory.period
    if period is not None and n_times is not None and dt is None and times is None:
        dt = period / integer("n_times", n_times, 1, 2**33)
    grid = _time_grid(n_times, dt, times)
    if times is None and theory is not None:
        grid += theory.first_time(float(grid[-1]))
    if period is not None:
        steps = np.diff(grid, append=grid[0] + period)
        if np.abs(steps - period / len(grid)).max() > 1e-9 * period:
            raise InputError(
                f"times must divide the period {period:g} of the theory equally; got {len(grid)} times and dt = "
                f"{steps[0]:g}; use dt = {period / len(grid):.6g}, or leave dt out"
            )
    return grid


def _time_grid(n_times: int | None, dt: float | None, times: ArrayLike | None) -> Floats:
    if times is None:
        if n_times is None or dt is None:
            raise InputError("the time grid is missing: give n_times and dt, or times")
        n, step = integer("n_times", n_times, 1, 2**33), positive("dt", dt)
        need_memory(32 * n, "the grid of times", "use fewer times", f"n_times={n}")
        grid = np.arange(n) * step
        return floats("times", grid)
    if n_times is not None or dt is not None:
        raise InputError("give either times or n_times and dt, not both")
    grid = floats("times", times, 1)
    if grid.size == 0:
        raise InputError("times must have at least one entry; got none")
    for i in np.flatnonzero(np.diff(grid) <= 0)[:1]:
        raise InputError(
            f"times must be strictly increasing; times[{i + 1}]={grid[i + 1]:g} <= times[{i}]={grid[i]:g}; sort them"
        )
    return grid


def choose_blocks(n_blocks: int | None, n_units: int, what: str) -> int:
    if n_blocks is None:
        return min(DEFAULT_BLOCKS, n_units)
    blocks = integer("n_blocks", n_blocks, 1)
    if blocks > n_units:
        raise InputError(
            f"n_blocks={blocks} needs at least as many {what}; got {n_units}; use fewer blocks or more paths"
        )
    return blocks


def measure_of(run: Correlators) -> _core.Measure:
    o = run.observables
    return _core.Measure(
        channels=list(o.columns),
        shift=o.shift,
        scale=o.scale,
        orders=list(o.orders),
        neurons=[(o.weights, o.biases, o.activation)] if len(o.biases) else [],
        centres=o.centres,
        products=list(o.products),
        lags=list(run.lags),
        observable_lags=list(run.observable_lags),
        increment_lags=list(run.increment_lags),
        group=run.group,
        moments=run.theory is None or run.theory.stationary,
        two_time=-1 if run.two_time is None else run.two_time,
    )


def empty_sums(run: Correlators, n_blocks: int) -> dict[str, NDArray[Any]]:
    shapes = measure_of(run).shapes(run.n_times)
    need_memory_of_sums(run, n_blocks, {name: 8 * n_blocks * prod(shape) for name, shape in shapes})
    # Written at once: threads that meet new memory at the same time wait for each other in the system.
    sums: dict[str, NDArray[Any]] = {name: np.full((n_blocks, *shape), 0.0) for name, shape in shapes}
    sums["paths"] = np.zeros(n_blocks, dtype=np.int64)
    sums["first_bad"] = np.full(n_blocks, -1, dtype=np.int64)
    return sums


def need_memory_of_sums(run: Correlators, n_blocks: int, needed: Mapping[str, int]) -> None:
    """Raise InputError if the sums of a run, in bytes by name, are larger than the memory of the machine."""
    largest = max(needed, key=lambda name: needed[name])
    need_memory(
        sum(needed.values()),
        f"the sums of this run, {largest} most of it,",
        "use fewer times, or no two_time"
        if largest == "two_time"
        else "use fewer lags in Measure, fewer blocks, or observables of order 1 without neurons and products",
        f"{len(run.channels)} channels, {run.observables.size} observables and {n_blocks} blocks",
    )


def check_scale(run: Correlators) -> None:
    """Raise if the standardised channels cannot be had in the precision of the run."""
    o = run.observables
    for name, shift, scale in zip(o.channels, o.shift, o.scale, strict=True):
        if not scale > 0:
            raise InputError(
                f"channel {name} must move; got standard deviation {scale:g} at every time; give a theory whose inputs "
                "have a spread"
            )
        if run.precision == "float32" and not (1e-38 < scale < 1e38 and abs(shift) < 1e38):
            raise InputError(
                f"channel {name} has mean {shift:g} and standard deviation {scale:g}, which float32 cannot hold; "
                "use float64 or other units"
            )


def build_facts() -> dict[str, Any]:
    info = _core.build_info()
    return {"version": info["version"], "level": info["level"]}
