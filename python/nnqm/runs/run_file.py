"""Saving and loading of runs as NetCDF files, bit for bit."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress
from dataclasses import MISSING, fields
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import nearest_hint
from ..errors import InputError, InputTypeError, located, reason_of
from ..sampling.correlators import Correlators
from ..sampling.observables import Observables
from ..sampling.run_settings import measure_of
from ..statistics.autocorrelation import ChainTimes
from ..theories.table import brief
from ..theories.theory import Theory
from .reading import need_room, need_sound_hdf5, unreadable
from .writing import check_writable, replacing

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["load", "save"]

# Format 2 is format 1 with a digest, which a file of format 2 must have.
_FORMAT = 2

# Largest chunk of a variable in bytes; each has a checksum of its own.
_CHUNK = 2**22

# Attribute of the digest.
_DIGEST = "nnqm_sha256"

# Remedy for a file whose content cannot be that of ``save``.
_DAMAGED = "the file was changed or damaged: save the run again with nnqm.save"

_CHANGED = "the file was changed or damaged: use a copy of it, or run again with the same seed"

# Types of the entries of a run in JSON, and least values of the numbers.
_TYPES: dict[str, Any] = {
    "n_paths": int,
    "n_blocks": int,
    "first_block": int,
    "two_time": (int, type(None)),
    "precision": str,
    "level": str,
    "version": str,
    "hbar": (int, float),
    "mass": (int, float),
    "group": int,
    "compiled": bool,
    "random_map_version": int,
}
_LEAST = {"n_paths": 1, "two_time": 0, "n_blocks": 1, "first_block": 0, "group": 1, "random_map_version": 1}


def save(run: Correlators, path: str | os.PathLike[str]) -> Path:
    """Save a run as a NetCDF file.

    An existing file is replaced only after the new file is complete and on the disk. ``load`` returns the same run bit
    for bit; other programs can read the file with ``xarray.open_dataset``. The file contains a checksum of each
    variable, which HDF5 verifies whenever it is read, and one digest of everything, which ``load`` verifies.

    Parameters
    ----------
    run : Correlators
    path : path-like
        Name of the file, usually with the suffix .nc.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    target = check_writable(path)
    with replacing(target) as name:
        write_run(run, name)
    return target


def write_run(run: Correlators, name: str) -> None:
    """Write a run to an existing file, which is not complete before the end."""
    import xarray

    feature, linear = list(run.observables.labels), list(run.observables.labels[: 1 + len(run.channels)])
    axes = {
        "lags": ("block", "lag", "part", "linear_a", "linear_b"),
        "observable_lags": ("block", "observable_lag", "part", "observable_a", "observable_b"),
        "increments": ("block", "channel", "increment_lag", "power"),
        "moments": ("block", "channel", "moment"),
        "time_sums": ("block", "time"),
        "two_time": ("block", "time_pair"),
        "paths": ("block",),
        "first_bad": ("block",),
        "counted": ("block",),
        "squared_weights": ("block",),
    }
    coords: dict[str, Any] = {
        "time": run.times,
        "lag": list(run.lags),
        "observable_lag": list(run.observable_lags),
        "increment_lag": list(run.increment_lags),
        "channel": list(run.channels),
        "linear_a": linear,
        "linear_b": linear,
        "observable_a": feature,
        "observable_b": feature,
    }
    used = {axis for name in run.sums for axis in axes[name]} | {"time"}
    dataset = xarray.Dataset(
        {f"sum_{name}": (axes[name], array) for name, array in run.sums.items()},
        coords={k: (k, v) for k, v in coords.items() if k in used},
        attrs={"nnqm_format": _FORMAT, "nnqm": json.dumps(run._metadata())},
    )
    dataset.attrs[_DIGEST] = _digest(dataset)
    for coordinate in dataset.coords.values():
        if coordinate.dtype.kind in "UO":
            # As characters: texts of any length live in a heap of HDF5 without checksums.
            coordinate.encoding["dtype"] = "S1"
    for variable in dataset.data_vars.values():
        if variable.size:
            variable.encoding |= {"fletcher32": True, "chunksizes": _chunks(variable.shape, variable.dtype.itemsize)}
    _write(dataset, name)


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...] | None:
    """Equal chunks of whole entries of the first axis, of a few MiB; None leaves it to HDF5 if one entry is larger."""
    entry = prod(shape[1:]) * itemsize
    if entry > _CHUNK:
        return None
    number = -(-shape[0] * entry // _CHUNK)
    return (-(-shape[0] // number), *shape[1:])


class _Patient(io.FileIO):
    """A file that keeps its first error for later: HDF5 can end the process after a write that failed."""

    fault: BaseException | None = None

    def write(self, data: Any, /) -> int:
        """Write everything, or nothing after an error."""
        with memoryview(data) as rest:
            size = done = rest.nbytes
            try:
                done = 0
                while self.fault is None and done < size:
                    done += super().write(rest[done:]) or 0
            except BaseException as error:
                self.fault = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length, unless there was an error."""
        try:
            if self.fault is None:
                return super().truncate(size)
        except BaseException as error:
            self.fault = error
        return self.tell() if size is None else size


def _write(dataset: Dataset, name: str) -> None:
    import h5netcdf
    import xarray

    with _Patient(name, "w+") as file:
        try:
            # HDF5 1.10 of 2016 added checksums of the structure, and small indices of chunks.
            with h5netcdf.File(file, "w", libver=("v110", "v110")) as content:
                dataset.dump_to_store(xarray.backends.H5NetCDFStore(content))
        finally:
            # The first error, not that of HDF5 about what it then missed.
            if file.fault is not None:
                raise file.fault


def _digest(dataset: Dataset) -> str:
    """SHA-256 of the metadata and of names, axes, shapes, types and little-endian values of all variables."""
    import hashlib

    found = hashlib.sha256()
    heads = {"nnqm_format": int(_scalar(dataset.attrs["nnqm_format"])), "nnqm": str(dataset.attrs["nnqm"])}
    found.update(json.dumps(heads).encode())
    for name, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0])):
        values = variable.values
        numbers = values.dtype.kind in "biuf"
        kind = values.dtype.newbyteorder("<").str if numbers else "text"
        found.update(json.dumps([str(name), list(variable.dims), list(values.shape), kind]).encode())
        if numbers:
            found.update(np.ascontiguousarray(values, dtype=kind).data)
        else:
            found.update(json.dumps([str(text) for text in values.ravel()]).encode())
    return found.hexdigest()


def load(path: str | os.PathLike[str]) -> Correlators:
    """Load a run from a file written by ``save``.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Correlators
        Equal to the saved run, bit for bit.

    Raises
    ------
    InputError
        If the file does not exist, was not written by ``save``, has a newer format, or its content was changed or
        damaged: another digest, missing or unknown entries, wrong shapes or types, numbers that are not finite. The
        message names the file.
    InputTypeError
        If the argument is not a path.
    """
    try:
        file = Path(path)
    except TypeError:
        raise InputTypeError(
            f"path must be the name of a file; got {type(path).__name__}; use nnqm.save first"
        ) from None
    dataset = _dataset(file)
    with located(f"file {file}"):
        return _run_of(dataset)


def _dataset(file: Path) -> Dataset:
    import xarray

    if not os.path.exists(file):
        raise InputError(f"file {file} does not exist; give the path of a saved run")
    if not os.path.isfile(file):
        raise InputError(f"file {file} is not a regular file; give the path of a saved run")
    with unreadable(file, "NetCDF", "give a file written by nnqm.save"):
        need_sound_hdf5(file)
        with xarray.open_dataset(file, engine="h5netcdf", decode_times=False) as dataset:
            need_room("it", dataset.nbytes, file.stat().st_size)
            return dataset.load()


def _run_of(dataset: Dataset) -> Correlators:
    """The run that a file contains, checked entry by entry."""
    attributes = dataset.attrs
    if "nnqm" not in attributes:
        raise InputError("the file is not a saved run: the attribute nnqm is missing", "use nnqm.save")
    if "nnqm_format" not in attributes:
        raise InputError("the attribute nnqm_format is missing", _DAMAGED)
    version = _scalar(attributes["nnqm_format"])
    if not isinstance(version, int) or version < 1:
        raise InputError(f"the attribute nnqm_format must be a positive integer; got {version!r}", _DAMAGED)
    if version > _FORMAT:
        raise InputError(
            f"the file has a newer format ({version}) than {_FORMAT}, the newest that can be read; upgrade nnqm"
        )
    if version > 1:
        if _DIGEST not in attributes:
            raise InputError(f"the attribute {_DIGEST} is missing", _DAMAGED)
        if str(attributes[_DIGEST]) != _digest(dataset):
            raise InputError("the content does not have the checksum with which it was saved", _CHANGED)
    try:
        data = json.loads(attributes["nnqm"])
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"the attribute nnqm is not valid JSON: {reason_of(error)}", _DAMAGED) from None
    if not isinstance(data, dict):
        raise InputError(f"the attribute nnqm must be a table; got {brief(data)}", _DAMAGED)
    data = _entries(data)
    if "time" not in dataset.variables:
        raise InputError("the coordinate time is missing", _DAMAGED)
    times = dataset["time"].values
    if times.ndim != 1 or times.dtype.kind != "f" or not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
        raise InputError("the coordinate time must have increasing finite numbers", _DAMAGED)
    sums = {}
    for name, variable in dataset.data_vars.items():
        if not str(name).startswith("sum_"):
            raise InputError(f"the variable {name} is unknown", "remove it, or save the run again with nnqm.save")
        sums[str(name).removeprefix("sum_")] = np.ascontiguousarray(variable.values)
    run = Correlators(times=times, sums=sums, **data)
    if run.chain is not None and len(run.chain.times) != len(run.channels):
        raise InputError(f"the entry 'chain' of the attribute nnqm must have {len(run.channels)} times", _DAMAGED)
    _check_sums(run)
    return run


def _scalar(value: Any) -> Any:
    """An attribute as a plain number where it is one."""
    array = np.asarray(value)
    return array.reshape(-1)[0].item() if array.size == 1 and array.dtype.kind in "iu" else value


def _entries(data: dict[str, Any]) -> dict[str, Any]:
    """The entries of a run beside its arrays, with the types that ``Correlators`` has."""
    known = {f.name: f for f in fields(Correlators) if f.name not in ("times", "sums")}
    for name, entry in known.items():
        if name not in data and entry.default is MISSING:
            raise InputError(f"the entry {name!r} of the attribute nnqm is missing", _DAMAGED)
    for name in data:
        if name not in known:
            raise InputError(
                f"the entry {name!r} of the attribute nnqm is unknown{nearest_hint(name, known)}", _DAMAGED
            )
    found = dict(data)
    for name in _TYPES:
        if name in data and not _valid(name, data[name]):
            raise InputError(
                f"the entry {name!r} of the attribute nnqm is not valid; got {brief(data[name])}", _DAMAGED
            )
    for name in ("keys", "lags", "observable_lags", "increment_lags", "notes"):
        values, kind = data.get(name, []), str if name == "notes" else int
        if not isinstance(values, list) or any(not isinstance(v, kind) or isinstance(v, bool) for v in values):
            raise InputError(f"the entry {name!r} of the attribute nnqm is not valid; got {brief(values)}", _DAMAGED)
        found[name] = tuple(values)
    if data.get("chain") is not None:
        found["chain"] = _chain_times(data["chain"])
    replicas = data.get("replicas", [])
    if not isinstance(replicas, list) or not all(map(_is_replica, replicas)):
        raise InputError(f"the entry 'replicas' of the attribute nnqm is not valid; got {brief(replicas)}", _DAMAGED)
    found["replicas"] = tuple((name, blocks) for name, blocks in replicas)
    if not all(map(str.isprintable, found["notes"])):
        raise InputError("the entry 'notes' of the attribute nnqm has control characters", _DAMAGED)
    for name, make in (("theory", Theory.from_dict), ("observables", Observables.from_dict)):
        if data[name] is None and name == "theory":
            continue
        try:
            found[name] = make(data[name])
        except (InputError, InputTypeError) as error:
            raise InputError(f"the entry {name!r} of the attribute nnqm is not valid: {error}") from None
        except Exception as error:  # a plain table of any content is given to classes that expect their own
            reason = f"{error} is missing" if isinstance(error, KeyError) else reason_of(error)
            raise InputError(f"the entry {name!r} of the attribute nnqm is not valid: {reason}", _DAMAGED) from None
    channels = found["observables"].channels
    if not all(isinstance(channel, str) and channel.isprintable() for channel in channels):
        raise InputError(f"names of channels must be printable text; got {brief(channels)}", _DAMAGED)
    return found


def _chain_times(value: Any) -> ChainTimes:
    """Autocorrelation times of given paths."""
    with suppress(TypeError, ValueError, OverflowError):
        unit, times, errors = value
        numbers = np.array([times, errors], dtype=np.float64)
        if unit in ("paths", "steps") and numbers.ndim == 2 and (numbers >= 0).all() and np.isfinite(numbers).all():
            return ChainTimes(unit, tuple(numbers[0].tolist()), tuple(numbers[1].tolist()))
    raise InputError(f"the entry 'chain' of the attribute nnqm is not valid; got {brief(value)}", _DAMAGED)


def _is_replica(value: Any) -> bool:
    """Whether an entry is a name and a number of blocks."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and value[0].isprintable()
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
        and value[1] > 0
    )


def _valid(name: str, value: Any) -> bool:
    """Whether an entry has its type, and a number its range."""
    kind = _TYPES[name]
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        return False
    if name == "precision":
        return value in ("float32", "float64")
    if name in ("hbar", "mass"):
        # Not float(value): an integer may be larger than any float.
        return bool(0 < value <= sys.float_info.max)
    return name not in _LEAST or value is None or bool(_LEAST[name] <= value < 2**63)


def _check_sums(run: Correlators) -> None:
    """Raise if the arrays of a run do not have the names, shapes, types and finite numbers of its sums."""
    if max((*run.lags, *run.observable_lags, *run.increment_lags), default=0) >= run.n_times:
        raise InputError(f"the coordinate time has {run.n_times} entries, and a lag is longer", _DAMAGED)
    try:
        expected = dict(measure_of(run).shapes(run.n_times))
    except Exception as error:  # the core and NumPy refuse in many ways what no observables are
        raise InputError(
            f"the lags, observables and times do not belong together: {reason_of(error)}", _DAMAGED
        ) from None
    weighted = "counted" in run.sums
    expected |= {"paths": [], "first_bad": []} | ({"counted": [], "squared_weights": []} if weighted else {})
    integers = ("counted" if weighted else "paths", "first_bad")
    if run.sums.keys() != expected.keys():
        missing, extra = sorted(expected.keys() - run.sums.keys()), sorted(run.sums.keys() - expected.keys())
        what = [f"sum_{n} is missing" for n in missing] + [f"sum_{n} is unknown" for n in extra]
        raise InputError(f"the variable {what[0]}", _DAMAGED)
    n_blocks = run.sums["paths"].size
    if run.sums["paths"].ndim != 1 or not 0 < n_blocks <= run.n_blocks - run.first_block:
        raise InputError(
            f"the variable sum_paths must have at most {run.n_blocks - run.first_block} blocks; "
            f"got shape {run.sums['paths'].shape}",
            _DAMAGED,
        )
    for name, array in run.sums.items():
        shape, kind = (n_blocks, *expected[name]), "i" if name in integers else "f"
        if array.shape != shape or array.dtype.kind != kind:
            wanted = f"shape {shape} and {'integers' if kind == 'i' else 'float64'}"
            raise InputError(
                f"the variable sum_{name} must have {wanted}; got {array.shape} and {array.dtype}", _DAMAGED
            )
        if kind == "f" and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise InputError(f"the variable sum_{name} must be finite; entry {where} is not", _DAMAGED)
    if run.replicas and sum(blocks for _, blocks in run.replicas) != n_blocks:
        raise InputError(f"the entry 'replicas' must have the {n_blocks} blocks of the sums", _DAMAGED)
    if weighted and not (run.sums["paths"].sum() > 0 and run.sums["squared_weights"].sum() > 0):
        raise InputError("the variables sum_paths and sum_squared_weights must have a positive sum", _DAMAGED)
    if run.block_paths.min() < 0 or (run.keys and run.block_paths.sum() > run.n_paths):
        raise InputError(f"the variable sum_paths must count at most {run.n_paths} paths", _DAMAGED)
