"""Reading of files that other programs wrote: sizes are checked before memory is taken, and nothing is evaluated."""

from __future__ import annotations

import io
import mmap
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._memory import need_memory
from ..errors import InputError, reason_of

if TYPE_CHECKING:
    import zipfile

__all__ = ["need_room", "need_sound_hdf5", "open_array", "read_arrays", "unreadable"]

# Compressed numbers are rarely 10 times smaller; deflate makes zeros 1032 times smaller.
_MOST_COMPRESSED = 256
# Bytes that any file may unpack to.
_ALWAYS = 2**28
# Bytes of the place of a text in HDF5: four of its length, an address, an index.
_HEAP_ENTRY = 16
# Bytes of a file whose stores of texts are walked through.
_WALKED = 2**24
# Bytes of a text in memory, at least.
_TEXT = 128
# Bytes read to find the header of an array, more than NumPy accepts.
_HEADER = 2**16
_CHUNK = 2**20


@contextmanager
def unreadable(path: Path, kind: str, remedy: str) -> Iterator[None]:
    """Make one input error of any error of a parser: each has many of its own for damaged files."""
    try:
        yield
    except InputError as error:
        raise InputError(f"file {path} cannot be read as {kind}: {error.reason}", error.remedy or remedy) from None
    except Exception as error:
        raise InputError(f"file {path} cannot be read as {kind}: {reason_of(error)}", remedy) from None


def need_room(name: str, unpacked: int, packed: int) -> None:
    """Raise InputError if data would not fit into memory, or unpack to more than a file of numbers can contain.

    Parameters
    ----------
    name : str
        Name of the data, for the message.
    unpacked, packed : int
        Bytes in memory and in the file.
    """
    need_memory(unpacked, name, "give a part of it")
    _need_plausible(name, unpacked, packed)


def _need_plausible(name: str, unpacked: int, packed: int) -> None:
    if unpacked > max(_ALWAYS, _MOST_COMPRESSED * packed):
        raise InputError(
            f"{name} would unpack from {packed} bytes to {unpacked / 2**30:.3g} GiB, more than numbers do",
            "write it without compression if it is meant so",
        )


def open_array(path: Path) -> NDArray[Any]:
    """The array of an .npy file, mapped into memory and read-only.

    Raises
    ------
    InputError
        If the file contains no array of numbers, or fewer bytes than its header says.
    """
    with unreadable(path, ".npy", "write numbers, numpy.save(file, array.astype(float))"):
        with path.open("rb") as file:
            shape, order, dtype, offset = _header(file.read(_HEADER))
        needed, held = offset + prod(shape) * dtype.itemsize, path.stat().st_size
        if needed > held:
            raise InputError(f"its header says {needed} bytes, shape {shape} of {dtype}, but it has {held}")
        if 0 in shape:
            return np.empty(shape, dtype, order)
        return np.memmap(path, dtype, "r", offset, shape, order)


def read_arrays(path: Path, choose: Callable[[list[str]], list[str]] = list) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file.

    Parameters
    ----------
    path : Path
    choose : callable
        Selects names of arrays from all names in the file; all by default.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    InputError
        If the file is no .npz file, is damaged, encrypted or compressed by an unknown method, or if a chosen array has
        no numbers or would take more memory than it may.
    """
    import zipfile

    fault = partial(unreadable, path, ".npz", "write numbers, numpy.savez(file, name=array.astype(float))")
    with fault(), path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise InputError("it contains a single array")
    with fault():
        archive = zipfile.ZipFile(path)
    with archive:
        members: dict[str, zipfile.ZipInfo] = {}
        with fault():
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in members:
                    raise InputError(f"it contains the array {name!r} twice")
                members[name] = member
        chosen = choose(list(members))
        with fault():
            need_room("it", sum(members[name].file_size for name in chosen), path.stat().st_size)
            return {name: _member(archive, name, members[name]) for name in chosen}


def _member(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array of an .npz file; no more is unpacked than its header says."""
    import zipfile

    if not member.filename.endswith(".npy"):
        raise InputError(f"{name!r} is not an array")
    if member.flag_bits & 1:
        raise InputError(f"the array {name!r} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"the array {name!r} is compressed by method {member.compress_type}, which NumPy does not use")
    with archive.open(member) as stream:
        start = stream.read(_HEADER)
        shape, order, dtype, offset = _header(start, f"of the array {name!r} ")
        needed = offset + prod(shape) * dtype.itemsize
        if needed != member.file_size:
            raise InputError(
                f"the header of the array {name!r} says {needed} bytes, shape {shape} of {dtype}, but it has "
                f"{member.file_size}"
            )
        memory_of = np.empty(needed - offset, np.uint8)
        memory_of[: len(start) - offset] = np.frombuffer(start, np.uint8, offset=offset)
        done = len(start) - offset
        while part := stream.read(_CHUNK):
            memory_of[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        if done != memory_of.size:
            raise InputError(f"the array {name!r} ends after {done} of {memory_of.size} bytes")
    return np.ndarray(shape, dtype, memory_of, order=order)


def _header(start: bytes, whose: str = "") -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any], int]:
    """Shape, order, type and position of the data of an array in the format of NumPy, by its first bytes."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    stream = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise InputError(f"its format {version[0]}.{version[1]} is not that of numbers")
        with warnings.catch_warnings():
            # The header is a literal of Python, whose parser warns about odd numbers and escapes.
            warnings.simplefilter("ignore")
            shape, fortran, dtype = readers[version](stream)
    except InputError:
        raise
    except Exception as error:
        reason = reason_of(error).split(":")[0]
        raise InputError(f"the header {whose}is not valid ({reason})") from None
    if dtype.hasobject or not dtype.itemsize:
        raise InputError(f"the header {whose}says {'Python objects' if dtype.hasobject else 'no numbers'}")
    if any(isinstance(n, bool) or not 0 <= n < 2**62 for n in shape) or prod(max(n, 1) for n in shape) >= 2**62:
        raise InputError(f"the header {whose}has the shape {shape}, which no array has")
    return shape, "F" if fortran else "C", dtype, stream.tell()


def need_sound_hdf5(path: Path) -> None:
    """Raise InputError if a NetCDF or HDF5 file refers to other files, or to more data than it can contain.

    Only the top group is looked at, which is what xarray reads. Links, external storage and virtual datasets are
    refused: a file from elsewhere would choose which other files are read.
    """
    import h5py

    size = path.stat().st_size
    _need_sound_texts(path, size)
    with h5py.File(path, "r") as file:
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{name!r} is a link, which could lead to another file", "store the data itself")
            item = file[name]
            if isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    raise InputError(f"{name!r} is stored in another file", "store the data itself")
                # HDF5 unpacks whole chunks, which may be larger than the data.
                numbers = max(prod(item.shape or ()), prod(item.chunks or ()))
                each = _TEXT if item.dtype.hasobject else item.dtype.itemsize
                _need_plausible(repr(name), numbers * each, size)
                if h5py.check_string_dtype(item.dtype) and _lengths_of_texts(path, item).max(initial=0) > size:
                    raise InputError(f"{name!r} has a text that is larger than the file")


def _need_sound_store(content: mmap.mmap, place: int, end: int) -> None:
    """Raise InputError if the parts of a store of texts leave it: HDF5 would walk on without an end."""
    while place + 16 <= end:
        number, _, _, length = struct.unpack_from("<HHIQ", content, place)
        # Number 0 is free space up to the end, its own head included.
        place += length if number == 0 else 16 + (length + 7) // 8 * 8
        if place > end or (number == 0 and place < end):
            raise InputError("a store of texts in it is damaged")


def _lengths_of_texts(path: Path, item: Any) -> NDArray[Any]:
    """Lengths of the texts of a dataset, which HDF5 takes for memory unseen; empty where they are not in one place."""
    place, count = item.id.get_offset(), prod(item.shape or ())
    if place is None or not item.dtype.hasobject:
        return np.empty(0, np.uint32)
    with path.open("rb") as file:
        file.seek(place)
        entries = file.read(count * _HEAP_ENTRY)
    return np.frombuffer(entries[: len(entries) // _HEAP_ENTRY * _HEAP_ENTRY], "<u4")[:: _HEAP_ENTRY // 4]


def _need_sound_texts(path: Path, size: int) -> None:
    """Raise InputError if a store of texts is larger than the file: HDF5 takes its memory before it reads it."""
    if not 0 < size <= _ALWAYS:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = -1
        while (place := content.find(b"GCOL\x01\0\0\0", place + 1)) >= 0:
            end = place + int.from_bytes(content[place + 8 : place + 16], "little")
            if end > size:
                raise InputError("a store of texts in it is larger than the file")
            if size <= _WALKED:
                _need_sound_store(content, place + 16, end)
