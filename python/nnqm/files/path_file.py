"""Files of paths from other programs: .npy, .npz, NetCDF and text; the content decides on the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._arguments import Floats, choice
from ..errors import InputError, reason_of
from ..runs.reading import need_room, need_sound_hdf5, open_array, read_arrays, unreadable
from ..runs.run_file import load
from ..sampling.arrays import read_given, uniform_step
from ..sampling.correlators import Correlators

__all__: list[str] = []

# First bytes of the formats.
_MAGIC = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz", b"PK\x05\x06": ".npz", b"\x89HDF": "NetCDF", b"CDF": "NetCDF"}
_COMMENTS = ("#", "%", "!")
# Rows of a table from which on an increasing first column is no accident.
_ROWS = 8


@dataclass(frozen=True)
class PathFile:
    """Paths of a file, in a form that ``accumulate`` takes, and their time step if the file contains it."""

    paths: Any
    dt: float | None = None


def read_path_file(path: Path, array: str | None = None, axes: Sequence[str] | None = None) -> PathFile | Correlators:
    """Paths of a file, or the run if it is a saved one.

    Parameters
    ----------
    path : Path
        A file of one array of NumPy, of several, of NetCDF, or a table of numbers in text.
    array : str, optional
        Name of the array, where there are several.
    axes : sequence of str, optional
        The axes of the array in their order, each one of path, time, channel.

    Returns
    -------
    PathFile or Correlators

    Raises
    ------
    InputError, InputTypeError
        If the file does not exist, cannot be read, or holds no array of numbers with clear axes.
    """
    if not path.is_file():
        fault = "is no regular file" if path.exists() else "does not exist"
        raise InputError(f"file {path} {fault}; give paths as .npy, .npz, NetCDF or text")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError(f"file {path} cannot be read: {reason_of(error)}; give another one") from None
    kind = next((k for magic, k in _MAGIC.items() if start.startswith(magic)), "text")
    if array is not None and kind in (".npy", "text"):
        raise InputError(f"--array is for files with several arrays; {path} has one; leave it out")
    if kind == "NetCDF":
        found = _read_netcdf(path, array, axes)
        if isinstance(found, Correlators):
            return found
    elif kind == ".npz":
        found = PathFile(read_arrays(path, lambda held: [_only(held, array, path)]).popitem()[1])
    elif kind == ".npy":
        found = PathFile(open_array(path))
    else:
        found = _read_text(path, axes)
    if axes is None:
        return found
    # Once in the order (path, time, channel), all who read the paths agree.
    (values,) = read_given(found.paths, axes).batches
    return PathFile(values, found.dt)


def _only(held: list[str], array: str | None, path: Path) -> str:
    """Name of the requested array, or of the only one in the file."""
    if not held:
        raise InputError(f"file {path} holds no arrays; write the paths with numpy.savez or xarray")
    if array is not None:
        return choice(f"--array of {path}:", array, held)
    if len(held) > 1:
        raise InputError(f"file {path} holds {', '.join(held)}; choose one with --array NAME")
    return held[0]


def _read_netcdf(path: Path, array: str | None, axes: Sequence[str] | None) -> PathFile | Correlators:
    import warnings

    import xarray

    with path.open("rb") as file:
        hdf5 = file.read(4) == b"\x89HDF"
    fault = partial(unreadable, path, "NetCDF", "write it with xarray")
    with fault():
        if hdf5:
            need_sound_hdf5(path)
    with fault(), warnings.catch_warnings():
        # A plain HDF5 file has no names of axes, which is no concern of the user.
        warnings.simplefilter("ignore")
        dataset = xarray.open_dataset(path, engine="h5netcdf" if hdf5 else None, decode_times=False)
    with dataset:
        if "nnqm" in dataset.attrs:
            dataset.close()
            return load(path)
        held = dataset[_only([str(name) for name in dataset.data_vars], array, path)]
        with fault():
            need_room(repr(held.name), held.nbytes, path.stat().st_size)
            held = held.load()
    return PathFile(held, read_given(held, axes).dt)


def _read_text(path: Path, axes: Sequence[str] | None) -> PathFile:
    """A table of numbers: rows are paths, one column is a trajectory, a first column of times is taken as them."""
    table = _table(path)
    if table.shape[1] == 1:
        return PathFile(table[:, 0])
    times = _times_of(table[:, 0], path) if len(table) >= _ROWS else None
    if times is None:
        return PathFile(table)
    length, step = times
    rest = table[:, 1:]
    if rest.shape[1] == 1:
        return PathFile(rest.reshape(-1, length), step)
    if axes is None or length < len(table):
        raise InputError(
            f"the first column of {path} contains times, and {rest.shape[1]} columns follow; give --axes time,channel "
            "if they are channels of one path, --axes time,path if each is a path"
        )
    return PathFile(rest, step)


def _table(path: Path) -> Floats:
    """The numbers of a text, shape (rows, columns)."""
    remedy = "give paths as .npy, .npz, NetCDF or text, with equally many numbers in each row, one row for each path"
    suffix = path.suffix.lower()
    known = suffix if suffix in (".npy", ".npz") else "NetCDF" if suffix in (".nc", ".nc4", ".h5", ".cdf") else "text"
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = enumerate(file)
            first = next(((i, s) for i, s in lines if s.strip() and not s.lstrip().startswith(_COMMENTS)), None)
            if first is None:
                raise InputError(f"file {path} cannot be read as {known}: it holds no numbers; {remedy}")
            delimiter = next((d for d in (",", ";", "\t") if d in first[1].strip()), None)
            skipped = 0 if _is_row(first[1], delimiter) else first[0] + 1
            if skipped and not any(s.strip() for _, s in lines):
                raise InputError(f"file {path} cannot be read as {known}: it holds no numbers; {remedy}")
        return np.loadtxt(
            path, delimiter=delimiter, comments=_COMMENTS, skiprows=skipped, ndmin=2, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = (
            "it is no text" if isinstance(error, UnicodeDecodeError) else reason_of(error).split(";")[0].rstrip(".")
        )
        raise InputError(f"file {path} cannot be read as {known}: {reason}; {remedy}") from None


def _is_row(line: str, delimiter: str | None) -> bool:
    try:
        return bool([float(word) for word in line.split(delimiter)])
    except ValueError:
        return False


def _times_of(column: Floats, path: Path) -> tuple[int, float | None] | None:
    """Number of times and their step if a column contains times, once or again for each path; else None.

    Times that are the numbers 0, 1, 2, ... only count; they have no step.
    """
    steps = np.diff(column)
    down = np.flatnonzero(steps <= 0)
    length = int(down[0]) + 1 if down.size else len(column)
    if length < 4 or len(column) % length or not np.isfinite(column).all():
        return None
    grid = column.reshape(-1, length)
    if np.abs(grid - grid[0]).max() > 1e-6 * abs(grid[0, -1] - grid[0, 0]):
        return None
    step = uniform_step(grid[0], f"the first column of {path}, which increases as times do,")
    counts = bool((column == np.round(column)).all()) and step == 1.0
    return length, None if counts else step
