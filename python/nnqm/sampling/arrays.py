"""Paths in any form that other programs give, as arrays with axes (path, time, channel)."""

from __future__ import annotations

import array as standard
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, array_of, floats, positive
from ..errors import InputError, InputTypeError

__all__: list[str] = []

AXES = ("path", "time", "channel")
# Names of axes in the files of other programs.
_NAMES = {
    "time": "time times t tau step steps timestep time_step euclidean_time timeslice time_slice slice",
    "path": "path paths sample samples replica replicas replicate config configs configuration configurations conf cfg "
    "draw draws chain chains member members ensemble trajectory trajectories traj walker walkers realization "
    "realizations realisation realisations run runs gauge batch",
    "channel": "channel channels component components coordinate coordinates variable variables dimension dim space "
    "direction feature features input inputs field fields particle xyz",
}
_MEANING = {name: axis for axis, names in _NAMES.items() for name in names.split()}
# Rows that are at least this many times as many as the columns may be the times of one trajectory.
_TALL, _FEW_TIMES = 50, 6
# Fewest rows whose correlation is looked at.
_SOME_ROWS = 64
# Relative difference of two time steps, and distance of times from a uniform grid in steps, by the rounding of a file.
_ROUNDING, _ROUNDED = 1e-4, 2e-3


@dataclass(frozen=True)
class _Order:
    """Axes as a caller declares them: names in order, if any, and whether doubtful shapes are refused."""

    axes: tuple[str, ...] | None = None
    ask: bool = True


@dataclass(frozen=True)
class GivenPaths:
    """Batches of paths, each with axes (path, time, channel), and what their container says about them.

    ``dt`` and ``names`` are None where the container is silent. ``readable`` is whether the batches can be read again,
    as a list can and a generator cannot. ``weights`` has a number for each path of all batches, and ``source`` says
    where the paths come from, for messages.
    """

    batches: Iterable[NDArray[Any]]
    readable: bool
    dt: float | None = None
    names: tuple[str, ...] | None = None
    weights: Floats | None = None
    source: str = ""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Numbers of times of the batches of a list."""
        return tuple(b.shape[1] for b in self.batches) if self.readable else ()


class GivenSource(ABC):
    """A place that paths come from, for example files."""

    @abstractmethod
    def given(self) -> Any:
        """The paths: ``GivenPaths``, an iterator of them, or a mapping of replicas with one of these for each."""


def read_given(paths: Any, axes: Sequence[str] | None = None, *, ask: bool = True) -> GivenPaths:
    """Paths in any form.

    An array, a list of numbers or labelled axes make one batch; a list or tuple of arrays has one batch for each, and
    trajectories of equal length are put together. Any other iterable is read once, chunk by chunk. ``axes`` names the
    axes of arrays. ``ask`` is whether two axes of many paths with few times, whose values may be either, are refused.
    """
    if isinstance(paths, GivenPaths):
        return paths
    order = _Order(None if axes is None else _checked_axes(axes), ask)
    if is_array(paths):
        found = _pieces(paths, order)
        dt = _agreed("dt", [p.dt for p in found])
        names = _agreed("names", [p.names for p in found])
        return GivenPaths(_together([b for p in found for b in p.batches]), True, dt, names)
    if not isinstance(paths, Iterable):
        raise InputTypeError(f"paths must be an array or an iterable of arrays; got {type(paths).__name__}")
    parts = iter(paths)
    first = next(parts, None)
    if first is None:
        raise InputError("paths must have at least one chunk; got none")
    start = _one(first, order)

    def rest() -> Iterator[NDArray[Any]]:
        yield from start.batches
        for part in parts:
            yield from _one(part, order).batches

    return GivenPaths(rest(), False, start.dt, start.names)


def path_array(paths: Any) -> NDArray[Any]:
    """The paths as one array with axes (path, time, channel); batches of a list are put together."""
    given = read_given(paths, ask=False)
    batches = list(given.batches)
    if len({b.shape[1:] for b in batches}) > 1:
        raise InputError(
            f"paths must have equal lengths and channels; got batches of shapes {[b.shape for b in batches]}; cut them "
            "to the shortest, or analyse them one after the other"
        )
    return batches[0] if len(batches) == 1 else np.concatenate(batches)


def is_array(paths: Any) -> bool:
    """Whether paths come as an array or a list, which can be read again, rather than in chunks of an iterator."""
    known = isinstance(paths, (list, tuple, Mapping, str, bytes, os.PathLike, memoryview, standard.array, GivenPaths))
    return known or hasattr(paths, "__array__") or hasattr(paths, "__dlpack__") or is_labelled(paths)


def _pieces(paths: Any, order: _Order) -> list[GivenPaths]:
    """An array, or each member of a list of arrays."""
    if isinstance(paths, np.ndarray) and paths.dtype.kind == "O" and paths.ndim and any(map(_has_axes, paths)):
        paths = list(paths)
    if isinstance(paths, (list, tuple)):
        if len(paths) == 0:
            raise InputError("paths must have at least one batch; got an empty list")
        if any(map(_has_axes, paths)) or _is_ragged(paths):
            return [_one(p, order, f"paths[{i}]") for i, p in enumerate(paths)]
    return [_one(paths, order)]


def _has_axes(value: Any) -> bool:
    """Whether a member of a list is an array of its own, not a number or a list of numbers."""
    if isinstance(value, (memoryview, standard.array, Mapping)) or is_labelled(value):
        return True
    return getattr(value, "shape", ()) != () or (hasattr(value, "__dlpack__") and getattr(value, "ndim", 1) > 0)


def _is_ragged(paths: Sequence[Any]) -> bool:
    """Whether nested lists of numbers are arrays of different shapes."""
    try:
        return all(isinstance(p, (list, tuple)) for p in paths) and len({np.shape(p) for p in paths}) > 1
    except ValueError:
        return False


def _one(value: Any, order: _Order, name: str = "paths") -> GivenPaths:
    """One array, with or without names of its axes; several batches where two of its axes are kinds of paths."""
    if isinstance(value, (str, bytes, os.PathLike)):
        raise InputTypeError(
            f"{name} must be numbers, not the name of a file; got {value!r}; load it, for example with numpy.load, or "
            "give nnqm.PathFiles of its name, which takes folders too"
        )
    if isinstance(value, Mapping) and not is_labelled(value):
        raise InputTypeError(
            f"{name} must be an array; got a {type(value).__name__} with entries {', '.join(map(str, value))}; for "
            f"channels give numpy.stack(list(paths.values()), axis=-1) with names=list(paths)"
        )
    if is_labelled(value):
        return _labelled(value, name) if order.axes is None else _one(getattr(value, "values", value), order, name)
    library = type(value).__module__.split(".")[0]
    if order.axes is None and library == "pandas" and hasattr(value, "index"):
        found = _of_frame(value, name)
        if found is not None:
            return found
    if library in ("pandas", "polars") and len(value.shape) == 2 and order.axes is None:
        raise InputTypeError(
            f"{name} must be an array; got a {type(value).__name__}, which does not say what its rows are; give "
            "frame.to_numpy() if rows are paths, frame.to_numpy().T if columns are paths, "
            "frame.to_numpy()[None] if columns are channels of one path; or an index with the name 'time' (pandas)"
        )
    array = real_array(value, name)
    return GivenPaths([_three_axes(array, order, name)], True)


def real_array(value: Any, name: str = "paths") -> NDArray[Any]:
    """Real numbers as an array, without a copy of memory that NumPy can read; objects become float64."""
    array = array_of(name, np.asarray(value) if isinstance(value, (memoryview, standard.array)) else value)
    if array.dtype.kind != "O":
        return array
    plain = all(v is not None and not isinstance(v, (str, bytes)) for v in array.ravel())
    try:
        if plain:
            return array.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise InputTypeError(
        f"{name} must be real numbers; got dtype object with entries that have no float; convert them to float64 first"
    )


def _checked_axes(axes: Sequence[str]) -> tuple[str, ...]:
    given = (axes,) if isinstance(axes, str) else tuple(axes)
    meant = tuple(_MEANING.get(str(a).lower(), "") for a in given)
    if "" in meant or len(set(meant)) != len(meant) or "time" not in meant:
        raise InputError(
            f"axes must name the axes in their order, each one of path, time, channel, with time among them; "
            f"got {given}; for example axes=('time', 'channel')"
        )
    return meant


def _three_axes(array: NDArray[Any], order: _Order, name: str) -> NDArray[Any]:
    """The paths with axes (path, time, channel)."""
    if order.axes is not None:
        if array.ndim != len(order.axes):
            raise InputError(f"axes must name all axes; got axes={order.axes} for {name} of shape {array.shape}")
        kept = [AXES.index(a) for a in order.axes]
        array = array.transpose(np.argsort(kept))
        for i in range(3):
            if i not in kept:
                array = np.expand_dims(array, i)
    elif array.ndim == 1:
        array = array[None, :, None]
    elif array.ndim == 2:
        _need_clear_rows(array, name, order.ask)
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"{name} must have shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,), none of them 0; "
            f"got {array.shape}"
        )
    return array


def _need_clear_rows(array: NDArray[Any], name: str, ask: bool) -> None:
    """Raise for two axes that may be by their shape, or are by their values, times and channels or times and paths."""
    rows, columns = array.shape
    tall = rows >= _TALL * columns and columns <= _FEW_TIMES
    if not (tall and ask) and not (rows >= _SOME_ROWS and _rows_are_times(array, tall)):
        return
    why = f"{columns} times" if tall else "times without correlation, but successive rows are correlated"
    raise InputError(
        f"{name} of shape {array.shape} would be {rows} paths of {why}; give axes=('time', 'channel'), or "
        f"{name}[None], for one path of {columns} channels; axes=('time', 'path'), or {name}.T, for {columns} paths; "
        f"axes=('path', 'time'), or {name}[:, :, None], if they are {rows} paths (--axes time,channel and so on)"
    )


def _rows_are_times(array: NDArray[Any], tall: bool) -> bool:
    """Whether values change slowly from row to row, and are few or uncorrelated along the rows."""
    x = doubles(array[:4096, :256])
    if not np.isfinite(x).all():
        return False
    x = x - x.mean(axis=0)
    size = np.abs(x).max()
    if size == 0:
        return False
    x /= size
    square = (x**2).mean()
    down = float((x[1:] * x[:-1]).mean() / square)
    if tall or down <= 0.5:
        return down > 0.5
    across = float((x[:, 1:] * x[:, :-1]).mean() / square)
    return bool(abs(across) < max(0.1, 4 / np.sqrt(x.size)))


def _together(batches: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Batches of one path each and equal shape as one batch."""
    if len(batches) > 1 and all(b.shape == (1, *batches[0].shape[1:]) for b in batches):
        return [np.concatenate(batches)]
    return batches


def _agreed(what: str, values: list[Any]) -> Any:
    known = [v for v in values if v is not None]
    for value in known[1:]:
        same = abs(value - known[0]) <= _ROUNDING * known[0] if what == "dt" else value == known[0]
        if not same:
            raise InputError(f"batches must have the same {what}; got {known[0]} and {value}")
    return known[0] if known else None


# ---- labelled axes (xarray)


def is_labelled(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "xarray" and hasattr(value, "dims")


def path_axis(value: Any) -> str | None:
    """Name of the only axis of paths of a labelled array that has an axis of times too, None if there is none."""
    meaning = [_MEANING.get(str(d).lower()) for d in value.dims]
    if meaning.count("path") != 1 or meaning.count("time") != 1 or None in meaning:
        return None
    return str(value.dims[meaning.index("path")])


def _labelled(value: Any, name: str) -> GivenPaths:
    """Paths with names of axes and coordinates."""
    if hasattr(value, "data_vars"):
        held = [str(v) for v in value.data_vars]
        if len(held) != 1:
            raise InputError(
                f"{name} is a Dataset with variables {', '.join(held) or 'none'}; choose one, dataset[{held[:1]}], or "
                "make them channels, dataset.to_dataarray('channel')"
            )
        value = value[held[0]]
    if not hasattr(value, "coords"):
        raise InputTypeError(f"{name} must be a DataArray; got {type(value).__name__}")
    dims = [str(d) for d in value.dims]
    if dims == [f"dim_{i}" for i in range(len(dims))] or all(d.startswith("phony_dim_") for d in dims):
        return _one(value.values, _Order(), name)
    value = value.squeeze([d for d in value.dims if str(d).lower() not in _MEANING and value.sizes[d] == 1], drop=True)
    meaning = [_MEANING.get(str(d).lower()) for d in value.dims]
    unknown = [str(d) for d, m in zip(value.dims, meaning, strict=True) if m is None]
    if unknown or meaning.count("time") != 1 or meaning.count("channel") > 1 or meaning.count("path") > 2:
        wanted = next((a for a in ("time", "path", "channel") if a not in meaning), "path")
        raise InputError(
            f"the axes of {name} are named {', '.join(dims)}, which must be one 'time', and 'path' and 'channel' if "
            f"there are some; rename them, for example .rename({{{(unknown or dims)[0]!r}: {wanted!r}}}), or give axes"
        )
    time = next(d for d, m in zip(value.dims, meaning, strict=True) if m == "time")
    channel = next((d for d, m in zip(value.dims, meaning, strict=True) if m == "channel"), None)
    step = _step_of(value, time, name)
    labels = None
    if channel is not None and channel in value.coords and value.coords[channel].dtype.kind in "USO":
        labels = tuple(str(v) for v in value.coords[channel].values)
    outer = [d for d, m in zip(value.dims, meaning, strict=True) if m == "path"]
    # The axis of chains comes first if there are two axes of paths: successive draws follow the time of a simulation.
    outer.sort(key=lambda d: not str(d).lower().startswith(("chain", "walker", "replica", "run", "ensemble")))
    ordered = value.transpose(*outer, time, *(() if channel is None else (channel,)))
    array = array_of(name, ordered.values)
    if channel is None:
        array = array[..., None]
    batches = list(array) if len(outer) == 2 else [array if outer else array[None]]
    return GivenPaths([_three_axes(real_array(b, name), _Order(), name) for b in batches], True, step, labels)


def _of_frame(frame: Any, name: str) -> GivenPaths | None:
    """Paths of a table of pandas whose index has times, or paths and times; None if it does not say so.

    Columns are channels with their names, or paths if the axis of columns has the name of one.
    """
    import xarray

    index, columns = frame.index, getattr(frame, "columns", None)
    meaning = [_MEANING.get(str(level).lower()) for level in index.names]
    if sorted(map(str, meaning)) == ["path", "time"]:
        # One batch for each path: they may have different lengths.
        level = index.names[meaning.index("path")]
        tables = [t.droplevel(level) for _, t in frame.groupby(level=level, sort=False)]
        parts = [_of_frame(t, name) for t in tables]
        batches = [b for part in parts if part is not None for b in part.batches]
        known = [part for part in parts if part is not None]
        return GivenPaths(
            _together(batches), True, _agreed("dt", [p.dt for p in known]), _agreed("names", [p.names for p in known])
        )
    if len(index.names) > 1:
        raise InputError(
            f"the levels of the index of {name} must be named 'path' and 'time'; got {', '.join(map(str, index.names))}"
        )
    counts = type(index).__name__ == "RangeIndex"
    if meaning[0] != "time" and (counts or index.dtype.kind not in "fmM"):
        return None
    across = "path" if columns is not None and _MEANING.get(str(columns.name).lower()) == "path" else "channel"
    axes = ("time",) if columns is None else ("time", across)
    # A range only counts the times; it is no coordinate of them.
    coords: dict[str, Any] = {} if counts else {"time": np.asarray(index)}
    if across == "channel" and columns is not None:
        coords["channel"] = [str(c) for c in columns]
    elif columns is None and frame.name is not None:
        return replace(
            _labelled(xarray.DataArray(frame.to_numpy(), dims=axes, coords=coords), name), names=(str(frame.name),)
        )
    return _labelled(xarray.DataArray(frame.to_numpy(), dims=axes, coords=coords), name)


def _step_of(value: Any, time: Any, name: str) -> float | None:
    """The time step by the coordinate of times, or by an attribute dt."""
    attribute = value.attrs.get("dt")
    if time not in value.coords:
        return None if attribute is None else positive("dt of the file", attribute)
    given = value.coords[time].values
    if given.dtype.kind in "mM":
        raise InputError(
            f"the times of {name} must be numbers; got {given.dtype}; divide them by their unit, for example "
            "(t - t[0]) / numpy.timedelta64(1, 's')"
        )
    times = floats(f"coordinate {time!r} of {name}", given, 1)
    return uniform_step(times, f"coordinate {time!r} of {name}", np.asarray(given).dtype)


def uniform_step(times: Floats, name: str, dtype: np.dtype[Any] | None = None) -> float | None:
    """The step of a uniform grid of times; None for a single time."""
    if len(times) < 2:
        return None
    steps = np.diff(times)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        raise InputError(
            f"{name} must be strictly increasing; got {times[i]:g} and then {times[i + 1]:g}; sort the paths along "
            "time, for example .sortby('time'), and drop what is double"
        )
    step = float((times[-1] - times[0]) / (len(times) - 1))
    single = dtype is not None and dtype.kind == "f" and dtype.itemsize < 8
    rounding = 4 * float(np.finfo(dtype if single else np.float64).eps) * float(np.abs(times).max())
    if float(np.abs(times - times[0] - step * np.arange(len(times))).max()) > _ROUNDED * step + rounding:
        raise InputError(
            f"{name} is not uniform: its steps are between {steps.min():g} and {steps.max():g}; averages over time "
            "need equal steps; interpolate the paths, or take a part with equal steps"
        )
    return step


def agreed_step(dt: float | None, of_file: float | None) -> float:
    """The time step given, or of the container of the paths, or 1."""
    if dt is None:
        return 1.0 if of_file is None else of_file
    step = positive("dt", dt)
    if of_file is not None and abs(step - of_file) > _ROUNDING * of_file:
        raise InputError(
            f"dt must be the step of the times of the paths, {of_file:.6g}; got {step:g}; leave it out, or drop the "
            "coordinate of times"
        )
    return step


# ---- values


def float_type(dtype: np.dtype[Any]) -> type:
    return np.float32 if dtype == np.float32 else np.float64


def doubles(array: NDArray[Any]) -> Floats:
    """A copy in float64; numbers that it does not have, of damaged files, become infinite or NaN without a warning."""
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(np.float64)


def need_finite_values(values: NDArray[Any], path: int, name: str, first_step: int = 0, first_channel: int = 0) -> None:
    """Raise if one of the values (time, channel) of a path is not finite."""
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        step, channel = bad[0]
        where = f"path {path} at time step {first_step + step}, channel {first_channel + channel}"
        raise InputError(f"{name} must be finite; {where} is {values[step, channel]}; remove it")


def need_finite_paths(x: NDArray[Any], first_path: int = 0, first_step: int = 0, column: int = 0) -> None:
    """Raise if a value of some paths of one channel (path, time) is not finite."""
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0, 0])
        need_finite_values(x[row][:, None], first_path + row, "paths", first_step, column)
