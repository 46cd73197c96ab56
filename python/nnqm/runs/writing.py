"""Writing of files: permission is checked first, and a file is replaced only by a complete one."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, InputTypeError

__all__ = ["beside", "check_writable", "move_onto", "remove_leftovers", "replacing"]

# Bytes copied to a device or a pipe at once.
_CHUNK = 1 << 20


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path of a file, after a check that it can be written.

    Raises
    ------
    InputError
        If the path is a folder, a socket or a block device, its folder does not exist, or the file cannot be written.
    InputTypeError
        If it is not a path.
    """
    try:
        given = Path(path)
    except TypeError:
        raise InputTypeError(f"output must be a path; got {type(path).__name__}; give the name of a file") from None
    try:
        target, kind = _followed(given)
        if kind is None or stat.S_ISREG(kind.st_mode):
            if not target.parent.is_dir():
                raise InputError(f"output folder {target.parent} does not exist; create it first")
            if kind is not None and not os.access(target, os.W_OK):
                raise InputError(f"output {given} is read-only; choose another name, or allow writing")
            _remove(_new_file(target, kind))
        elif not os.access(target, os.W_OK):
            raise InputError(f"output {given} cannot be written: Permission denied; choose another place")
    except (OSError, ValueError) as error:
        raise _fault(given, error) from None
    return given


def beside(target: Path, ending: str) -> Path | None:
    """The file that stands for an output until that is complete, in its folder; None for a device or a pipe."""
    resolved, kind = _followed(target)
    return resolved.with_name(resolved.name + ending) if kind is None or stat.S_ISREG(kind.st_mode) else None


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote ``target`` under its lock."""
    for name in target.parent.glob(f".nnqm-{_mark(target)}*"):
        _remove(str(name))


def _mark(target: Path) -> str:
    return f"{zlib.crc32(os.fsencode(target.name)):08x}-"


@contextmanager
def replacing(target: Path, *, locked: bool = False) -> Iterator[str]:
    """Name of a temporary file whose content becomes that of ``target``; it is removed if writing fails.

    The name tells ``remove_leftovers`` the target if the process holds the lock of the target.

    A regular file is replaced by the complete new one, which keeps the mode and, if the system allows it, the owner.
    A symbolic link stays and the file to which it points is replaced. The content is copied into a character device or
    a pipe, because a replacement would destroy the device.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    name = ""
    try:
        resolved, kind = _followed(target)
        regular = kind is None or stat.S_ISREG(kind.st_mode)
        name = _new_file(resolved, kind, _mark(target) if locked else "") if regular else _scratch_file(target.suffix)
        yield name
        if regular:
            _settle(name)
            _like(name, kind)
            # After a loss of power the folder must not name a file whose content never reached the disk.
            _sync(name)
            os.replace(name, resolved)
            with suppress(OSError):
                _sync(resolved.parent)
        else:
            _copy(name, resolved)
            _remove(name)
    except InputError:
        _remove(name)
        raise
    except OSError as error:
        _remove(name)
        raise _fault(target, error) from None
    except BaseException:
        _remove(name)
        raise


def move_onto(source: Path, target: Path) -> None:
    """Let a complete file of the same folder replace ``target``, with the mode and the owner that ``replacing`` keeps.

    Raises
    ------
    InputError
        If it cannot.
    """
    try:
        resolved, kind = _followed(target)
        _like(str(source), kind)
        os.replace(source, resolved)
    except OSError as error:
        raise _fault(target, error) from None


def _followed(path: Path) -> tuple[Path, os.stat_result | None]:
    """The file that a path or a chain of links leads to, and its status, None if it does not exist yet."""
    try:
        kind = os.stat(path)
    except FileNotFoundError:
        return Path(os.path.realpath(path)) if path.is_symlink() else path, None
    if stat.S_ISDIR(kind.st_mode):
        raise InputError(f"output {path} is a folder; give a file name")
    if stat.S_ISSOCK(kind.st_mode) or stat.S_ISBLK(kind.st_mode):
        what = "socket" if stat.S_ISSOCK(kind.st_mode) else "block device"
        raise InputError(f"output {path} is a {what}; give the name of a regular file")
    if stat.S_ISREG(kind.st_mode) and path.is_symlink():
        return Path(os.path.realpath(path)), kind
    return path, kind


def _new_file(target: Path, replaced: os.stat_result | None, mark: str = "") -> str:
    """A new empty file beside ``target``. The mask of the process decides who can read it, as for any new file."""
    name = target.parent / f".nnqm-{mark}{os.urandom(8).hex()}{target.suffix[:16]}"
    # A file that replaces a private one is private from the beginning.
    mode = 0o666 if replaced is None else 0o600
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode))
    return str(name)


def _scratch_file(suffix: str) -> str:
    import tempfile

    handle, name = tempfile.mkstemp(prefix="nnqm-", suffix=suffix)
    os.close(handle)
    return name


def _settle(name: str) -> None:
    """Wait until the content is on the disk: after a loss of power the new name must not lead to an empty file."""
    handle = os.open(name, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _like(name: str, replaced: os.stat_result | None) -> None:
    """Give a file the owner and the mode of the file that it replaces."""
    if replaced is None:
        return
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(name, replaced.st_uid, replaced.st_gid)
    os.chmod(name, stat.S_IMODE(replaced.st_mode))


def _sync(path: str | Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a file that its owner cannot read, or a folder under Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems, for example of a network, cannot do it; a full disk is an error.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EBADF):
            raise
    finally:
        os.close(handle)


def _copy(name: str, special: Path) -> None:
    """Write the content of a file into a device or a pipe."""
    try:
        # Without O_NONBLOCK the call would wait for a reader for ever.
        handle = os.open(special, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if stat.S_ISFIFO(os.stat(special).st_mode):
            raise InputError(f"output {special} is a pipe that no program reads; start the reader first") from None
        raise error
    with open(name, "rb") as source, open(handle, "wb", buffering=0) as sink:
        os.set_blocking(handle, True)
        while part := source.read(_CHUNK):
            rest = memoryview(part)
            while rest:
                rest = rest[sink.write(rest) :]


def _remove(name: str) -> None:
    if name:
        with suppress(OSError):
            os.unlink(name)


def _fault(path: Path, error: BaseException) -> InputError:
    if isinstance(error, InputError):
        return error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = " ".join(text.split()) or type(error).__name__
    return InputError(f"output {path} cannot be written: {reason}; choose another place")
