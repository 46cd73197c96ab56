"""Paths in several files: one after another, chunk by chunk, in little memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError, located
from ..sampling.arrays import GivenPaths, GivenSource, need_finite_paths, path_axis, read_given
from ..sampling.blocks import MANY
from ..sampling.correlators import Correlators
from .path_file import read_path_file

__all__ = ["PathFiles"]

# Endings of files of paths in a folder.
_ENDINGS = (".npy", ".npz", ".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".txt", ".dat", ".csv", ".tsv")
# Bytes of a chunk: of large arrays, and of small ones that are put together.
_LARGE, _SMALL = 1 << 25, 1 << 22
# Files of NetCDF beyond this size are read in parts.
_IN_PARTS = 1 << 26

_Names: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"


@dataclass(frozen=True)
class _Known:
    """Shape, time step and names of a file, known before its paths are summed up."""

    path: Path
    counts: tuple[int, ...]
    shapes: frozenset[tuple[int, int]]
    dt: float | None
    names: tuple[str, ...] | None


class PathFiles(GivenSource):
    """Paths in several files or in a folder, which ``accumulate`` reads chunk by chunk.

    The files are successive parts of one chain of paths, in the order that is given, or in natural order (conf_2 before
    conf_10) in a folder. Files that hold fewer than 16 paths in all, or a few trajectories each of unequal lengths, are
    independent trajectories, as in a list of arrays. With ``replicas`` each file is an independent chain.

    Files .npy are mapped, not read; NetCDF files above 64 MB are read in parts. All files are looked at when the object
    is made, so that a bad one is named before the work begins.

    Parameters
    ----------
    files : path-like, or sequence of path-like
        Files of paths (.npy, .npz, NetCDF or text), or one folder of them; other files of the folder are left out.
    array : str, optional
        Name of the array in files with several. With * or ? it is a pattern, and the arrays of an .npz file whose names
        match are successive parts, in natural order.
    axes : sequence of str, optional
        The axes of arrays in their order, each one of path, time, channel.
    weights : array_like or str, optional
        One number of at least 0 for each path, of all files in their order; or the name of an array of weights that
        each file (.npz, NetCDF) contains beside its paths.
    replicas : bool, default False
        Whether each file is an independent chain, with the name of the file.

    Attributes
    ----------
    files : tuple of Path
    n_paths : int
        Paths of all files.
    dt : float or None
        Time step, where the files contain it.

    Raises
    ------
    InputError, InputTypeError
        If no file fits, one cannot be read, or they differ in channels or time step; the message names the file.

    See Also
    --------
    accumulate : takes it in place of an array.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> rng = np.random.default_rng(1)
    >>> for i in range(12):
    ...     np.save(folder / f"conf_{i}.npy", rng.normal(size=(50, 32)))
    >>> files = PathFiles(folder)
    >>> files.n_paths, nnqm.accumulate(files, 0.1).n_blocks
    (600, 128)
    """

    def __init__(
        self,
        files: _Names,
        *,
        array: str | None = None,
        axes: Sequence[str] | None = None,
        weights: ArrayLike | str | None = None,
        replicas: bool = False,
    ) -> None:
        self.files = _listed(files)
        self._array, self._axes, self._replicas = array, axes, bool(replicas)
        self._known = [self._look_at(path) for path in self.files]
        first = self._known[0]
        for known in self._known[1:]:
            if {s[1] for s in known.shapes} != {s[1] for s in first.shapes}:
                raise InputError(
                    f"files must have equal channels; got {_channels(known)} in {known.path} and {_channels(first)} in "
                    f"{first.path}"
                )
        self.n_paths = sum(sum(k.counts) for k in self._known)
        self.dt = self._agreed_dt()
        self._weights: Floats | str | None = weights if isinstance(weights, str) else None
        if weights is not None and not isinstance(weights, str):
            self._weights = floats("weights", weights, 1)
            if len(self._weights) != self.n_paths:
                raise InputError(
                    f"weights must have one entry for each of {self.n_paths} paths in {len(self.files)} files; got "
                    f"{len(self._weights)}"
                )

    def __repr__(self) -> str:
        return f"PathFiles({self.n_paths} paths in {len(self.files)} files from {self.files[0]})"

    def given(self) -> Any:
        """The paths as ``accumulate`` takes them: trajectories, chunks, or a mapping of replicas.

        Returns
        -------
        GivenPaths, iterator of GivenPaths, or dict
        """
        if self._replicas:
            names = [k.path.stem for k in self._known]
            if len(set(names)) < len(names):
                names = [str(k.path) for k in self._known]
            return {name: self._source([known]) for name, known in zip(names, self._known, strict=True)}
        return self._source(self._known)

    def first(self) -> NDArray[Any]:
        """Paths of the first chunk, shape (path, time, channel); trajectories are cut to the shortest.

        Returns
        -------
        ndarray
        """
        found = self._source(self._known)
        if isinstance(found, GivenPaths):
            batches = list(found.batches)
            shortest = min(b.shape[1] for b in batches)
            return batches[0] if len(batches) == 1 else np.concatenate([b[:, :shortest] for b in batches])
        return next(iter(next(found).batches))

    # ---- one file

    def _read(self, path: Path) -> Iterator[GivenPaths]:
        """The arrays of a file, one after another."""
        if self._array is not None and _is_pattern(self._array):
            for name in _matching(path, self._array):
                yield self._read_one(path, name)
        else:
            yield self._read_one(path, self._array)

    def _read_one(self, path: Path, array: str | None) -> GivenPaths:
        found = read_path_file(path, array, self._axes)
        if isinstance(found, Correlators):
            raise InputError(f"file {path} contains results of nnqm, not paths; analyse it alone, or merge such files")
        with located(f"file {path}"):
            given = read_given(found.paths)
        return GivenPaths(given.batches, True, given.dt if found.dt is None else found.dt, given.names)

    def _look_at(self, path: Path) -> _Known:
        with self._in_parts(path) as opened:
            if opened is not None:
                values, axis = opened
                with located(f"file {path}"):
                    given = read_given(values.isel({axis: slice(0, 1)}).load())
                (batch,) = given.batches
                shape = frozenset([(batch.shape[1], batch.shape[2])])
                return _Known(path, (values.sizes[axis],), shape, given.dt, given.names)
        counts: list[int] = []
        shapes: set[tuple[int, int]] = set()
        for given in self._read(path):
            for batch in given.batches:
                counts.append(len(batch))
                shapes.add((batch.shape[1], batch.shape[2]))
        return _Known(path, tuple(counts), frozenset(shapes), given.dt, given.names)

    def _in_parts(self, path: Path) -> AbstractContextManager[tuple[Any, str] | None]:
        return nullcontext() if self._axes is not None else _opened(path, self._array)

    def _agreed_dt(self) -> float | None:
        found = [(k.dt, k.path) for k in self._known if k.dt is not None]
        for dt, path in found[1:]:
            if abs(dt - found[0][0]) > 1e-4 * dt:
                raise InputError(
                    f"files must have the same dt; got {dt:.6g} in {path} and {found[0][0]:.6g} in {found[0][1]}"
                )
        return found[0][0] if found else None

    # ---- several files

    def _source(self, known: Sequence[_Known]) -> GivenPaths | Iterator[GivenPaths]:
        """Trajectories, which are all held (mapped where they can be), or chunks of many paths."""
        counts = [n for k in known for n in k.counts]
        lengths = {s[0] for k in known for s in k.shapes}
        if sum(counts) < MANY or (len(lengths) > 1 and max(counts) < MANY):
            return self._trajectories(known)
        return self._chunks(known)

    def _trajectories(self, known: Sequence[_Known]) -> GivenPaths:
        batches: list[NDArray[Any]] = []
        weights: list[Floats] = []
        for one in known:
            for given in self._read(one.path):
                with located(f"file {one.path}"):
                    for batch in given.batches:
                        _need_finite(batch)
                        batches.append(batch)
            if self._weights is not None:
                weights.append(self._weights_of(one))
        names = next((k.names for k in known if k.names is not None), None)
        joint = np.concatenate(weights) if weights else None
        return GivenPaths(batches, True, self.dt, names, joint)

    def _chunks(self, known: Sequence[_Known]) -> Iterator[GivenPaths]:
        """Chunks of large arrays, and small arrays of successive files together."""
        held: list[NDArray[Any]] = []
        of_held: list[Floats] = []
        names = next((k.names for k in known if k.names is not None), None)

        def together() -> GivenPaths:
            batch, weights = np.concatenate(held), np.concatenate(of_held) if of_held else None
            held.clear()
            of_held.clear()
            return GivenPaths([batch], True, self.dt, names, weights)

        for one in known:
            weights = None if self._weights is None else self._weights_of(one)
            done = 0
            for batch in self._batches(one):
                own = None if weights is None else weights[done : done + len(batch)]
                done += len(batch)
                if held and (batch.shape[1:] != held[0].shape[1:] or batch.dtype != held[0].dtype):
                    yield together()
                if batch.nbytes >= _SMALL:
                    if held:
                        yield together()
                    yield GivenPaths([batch], True, self.dt, names, own, f"file {one.path}")
                    continue
                with located(f"file {one.path}"):
                    _need_finite(batch)
                held.append(np.array(batch))
                if own is not None:
                    of_held.append(own)
                if sum(b.nbytes for b in held) >= _SMALL:
                    yield together()
        if held:
            yield together()

    def _batches(self, known: _Known) -> Iterator[NDArray[Any]]:
        """The paths of a file, not too many at a time."""
        with self._in_parts(known.path) as opened:
            if opened is not None:
                values, axis = opened
                n_paths = values.sizes[axis]
                at_once = max(64, _LARGE * n_paths // max(1, values.nbytes))
                for begin in range(0, n_paths, at_once):
                    with located(f"file {known.path}"):
                        part = read_given(values.isel({axis: slice(begin, begin + at_once)}).load())
                    yield from part.batches
                return
        for given in self._read(known.path):
            for batch in given.batches:
                at_once = max(64, _LARGE // max(1, batch[0].nbytes))
                for begin in range(0, len(batch), at_once):
                    yield batch[begin : begin + at_once]

    def _weights_of(self, known: _Known) -> Floats:
        n = sum(known.counts)
        if isinstance(self._weights, str):
            found = read_path_file(known.path, self._weights)
            assert not isinstance(found, Correlators)
            with located(f"file {known.path}"):
                own = floats("weights", found.paths, 1)
                if len(own) != n:
                    raise InputError(f"weights must have one entry for each of {n} paths; got {len(own)}")
            return own
        assert self._weights is not None
        first = sum(sum(k.counts) for k in self._known[: self._known.index(known)])
        return self._weights[first : first + n]


def in_parts(path: Path, array: str | None = None) -> bool:
    """Whether one file is read in parts: a large NetCDF file of paths, or arrays that match a pattern."""
    if _is_pattern(array):
        return True
    with _opened(path, array) as opened:
        return opened is not None


def _is_pattern(array: str | None) -> bool:
    return array is not None and re.search(r"[*?]", array) is not None


def _listed(files: _Names) -> tuple[Path, ...]:
    """The files of a folder in natural order, or files as they are listed."""
    try:
        if isinstance(files, (str, os.PathLike)):
            folder = Path(files)
            if not folder.is_dir():
                return (folder,)
            found = [p for p in folder.iterdir() if p.suffix.lower() in _ENDINGS and not p.name.startswith(".")]
            chosen = sorted((p for p in found if p.is_file()), key=natural_order)
            if not chosen:
                raise InputError(f"folder {folder} holds no files of paths ({', '.join(_ENDINGS)})")
            return tuple(chosen)
        listed = tuple(Path(f) for f in files)
    except TypeError:
        raise InputTypeError(f"files must be names of files, or of a folder; got {files!r}") from None
    except OSError as error:
        raise InputError(f"folder {files} cannot be read: {error.strerror}") from None
    if not listed:
        raise InputError("files must have at least one entry; got none")
    double = [p for i, p in enumerate(listed) if p in listed[:i]]
    if double:
        raise InputError(f"files must be different; got {double[0]} twice")
    return tuple(chain.from_iterable(_listed(p) if p.is_dir() else (p,) for p in listed))


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """A key for sorting by name in which numbers count: conf_2 before conf_10."""
    words = re.split(r"(\d+)", str(path))
    return [(0, int(w)) if w.isdecimal() else (1, w) for w in words]


def _matching(path: Path, pattern: str) -> list[str]:
    """Names of the arrays of an .npz file that match a pattern, in natural order."""
    from fnmatch import fnmatchcase
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as held:
            names = [n.removesuffix(".npy") for n in held.namelist()]
    except (OSError, BadZipFile):
        raise InputError(
            f"--array with a pattern is for .npz files; {path} is none; give the name of an array"
        ) from None
    chosen = sorted((n for n in names if fnmatchcase(n, pattern)), key=lambda n: natural_order(Path(n)))
    if not chosen:
        raise InputError(f"file {path} holds no array that matches {pattern!r}; got {', '.join(names[:8]) or 'none'}")
    return chosen


def _need_finite(batch: NDArray[Any]) -> None:
    if batch.dtype.kind == "f":
        for column in range(batch.shape[2]):
            need_finite_paths(batch[:, :, column], 0, 0, column)


def _channels(known: _Known) -> str:
    return " and ".join(str(c) for c in sorted({s[1] for s in known.shapes}))


# ---- NetCDF in parts


@contextmanager
def _opened(path: Path, array: str | None) -> Iterator[tuple[Any, str] | None]:
    """The array of a large NetCDF file, not read, and the name of its axis of paths; None for all other files."""
    dataset = None
    try:
        if path.stat().st_size > _IN_PARTS and path.suffix.lower() not in (".npy", ".npz"):
            import xarray

            dataset = xarray.open_dataset(path, engine="h5netcdf", decode_times=False)
    except Exception:
        # It is another file, or the reader of whole files says what is wrong.
        dataset = None
    if dataset is None:
        yield None
        return
    with dataset:
        names = [n for n in dataset.data_vars if array is None or str(n) == array]
        axis = path_axis(dataset[names[0]]) if len(names) == 1 and "nnqm" not in dataset.attrs else None
        yield None if axis is None else (dataset[names[0]], axis)
