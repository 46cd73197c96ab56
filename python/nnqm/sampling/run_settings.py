"""What a run is made of before it starts: random-number key, time grid, blocks, lags and empty sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, floats, integer, lag_list, positive
from ..errors import InputError
from ..theories.networks import is_bounded
from ..theories.theory import Theory
from .correlators import Correlators, is_uniform
from .observables import Observables

__all__: list[str] = []

DEFAULT_BLOCKS = 128
TILE = _core.tile_paths

# A string, because numpy.random takes a while to load.
Rng: TypeAlias = "int | np.random.SeedSequence | np.random.Generator | None"


def random_key(rng: Rng) -> int:
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
        grid = np.arange(integer("n_times", n_times, 1, 2**33)) * positive("dt", dt)
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


def choose_blocks(n_blocks: int | None, n_units: int, what: str) -> int:
    if n_blocks is None:
        return min(DEFAULT_BLOCKS, n_units)
    blocks = integer("n_blocks", n_blocks, 1)
    if blocks > n_units:
        raise InputError(
            f"n_blocks={blocks} needs at least as many {what}; got {n_units}; use fewer blocks or more paths"
        )
    return blocks


def plan_sums(
    theory: Theory | None,
    observables: Observables,
    times: Floats,
    lags: Iterable[int] | None,
    observable_lags: Iterable[int] | None,
    increment_lags: Iterable[int] | None,
    two_time: bool | int | str,
) -> dict[str, Any]:
    n = len(times)
    given = [tuple(v) if isinstance(v, Iterable) else v for v in (lags, observable_lags, increment_lags)]
    if theory is not None:
        _need_fourth_moments(theory)
    if theory is not None and not theory.stationary:
        for name, value in zip(("lags", "observable_lags", "increment_lags"), given, strict=True):
            if value:
                raise InputError(
                    f"{name} are averages over time, but the theory is not stationary; leave them out and use two_time"
                )
        given = [(), (), ()]
        two_time = True if two_time is False else two_time
    elif theory is not None and theory.period is not None and n > 1:
        if given[1]:
            raise InputError(
                "observable_lags serve levels, which need exponential decay, but the paths close after "
                f"{theory.period:g}; leave them out, or take the levels from open paths"
            )
        given[1] = ()
        of_turn = default_lags(n) if given[0] is None else given[0]
        # With a lag goes the one that completes the turn.
        given[0] = tuple(sorted({lag for k in of_turn for lag in (k, (n - k) % n)}))
    if not is_uniform(times):
        given = [() if v is None else v for v in given]
        if n > 1 and any(v != () for v in given):
            raise InputError(
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


def _need_fourth_moments(theory: Theory) -> None:
    """Refuse processes of random weights without errors of their two-point function; networks check their own."""
    if theory.network is None or not any(is_bounded(a) for a in theory.network.activations):
        for source in theory.sources:
            source.need_moment(4, "the error of the two-point function")


def measure_of(run: Correlators) -> _core.Measure:
    o = run.observables
    return _core.Measure(
        channels=list(o.columns),
        shift=o.shift,
        scale=o.scale,
        orders=list(o.orders),
        neurons=[(o.weights, o.biases, o.activation)] if len(o.biases) else [],
        centres=o.centres,
        lags=list(run.lags),
        observable_lags=list(run.observable_lags),
        increment_lags=list(run.increment_lags),
        group=run.group,
        moments=run.theory is None or run.theory.stationary,
        two_time=-1 if run.two_time is None else run.two_time,
    )


def empty_sums(run: Correlators, n_blocks: int) -> dict[str, NDArray[Any]]:
    shapes = measure_of(run).shapes(run.n_times)
    # Written at once: threads that meet new memory at the same time wait for each other in the system.
    sums: dict[str, NDArray[Any]] = {name: np.full((n_blocks, *shape), 0.0) for name, shape in shapes}
    sums["paths"] = np.zeros(n_blocks, dtype=np.int64)
    sums["first_bad"] = np.full(n_blocks, -1, dtype=np.int64)
    return sums


def check_scale(run: Correlators) -> None:
    """Raise if the standardised channels cannot be had in the precision of the run."""
    o = run.observables
    for name, shift, scale in zip(o.channels, o.shift, o.scale, strict=True):
        if run.precision == "float32" and not (1e-38 < scale < 1e38 and abs(shift) < 1e38):
            raise InputError(
                f"channel {name} has mean {shift:g} and standard deviation {scale:g}, which float32 cannot hold; "
                "use float64 or other units"
            )


def build_facts() -> dict[str, Any]:
    info = _core.build_info()
    return {"version": info["version"], "level": info["level"]}
