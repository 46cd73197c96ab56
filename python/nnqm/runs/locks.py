"""Locks on files, kept by the operating system, so that they end with the process however that ends."""

from __future__ import annotations

import errno
import os
import socket
import sys
import warnings
import weakref
from contextlib import suppress
from pathlib import Path

from ..errors import InputError, reason_of

__all__: list[str] = []

# Errors of a file system that has no locks, for example an NFS mount without them.
_NO_LOCKS = {getattr(errno, name, None) for name in ("ENOSYS", "ENOLCK", "EOPNOTSUPP", "ENOTSUP", "EINVAL")}

# Byte that is locked on Windows, beyond the text, which stays readable.
_BYTE = 1 << 20


class Lock:
    """The right to write a file, held through a hidden lock file beside it.

    The lock is advisory (``flock`` on POSIX, ``msvcrt.locking`` on Windows). On NFS it reaches as far as the mount
    does: over all hosts by default on Linux, within one host with the option ``local_lock``. A file system without
    locks gives a warning.

    Raises
    ------
    InputError
        If another process holds the lock, or the lock file cannot be made.
    """

    def __init__(self, target: Path) -> None:
        self._name = target.parent / f".{target.name}.lock"
        self._handle: int | None = None
        try:
            while self._handle is None:
                self._handle = self._taken(target)
        except OSError as error:
            raise InputError(f"{target} cannot be locked: {reason_of(error)}", "choose another place") from None
        _HELD.add(self)

    def _taken(self, target: Path) -> int | None:
        """The locked file, None if the file was removed in the meantime by a process that ended."""
        handle = os.open(self._name, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        kept = False
        try:
            _lock(handle)
            with suppress(FileNotFoundError):
                kept = os.path.samestat(os.fstat(handle), os.stat(self._name))
            if kept:
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle if kept else None
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace")
            raise InputError(
                f"{target} is written by {holder if holder and holder.isprintable() else 'another process'}",
                "wait until it ends, or choose another name",
            ) from None
        finally:
            if not kept:
                os.close(handle)

    def release(self) -> None:
        """Remove the lock file and end the lock."""
        if self._handle is not None:
            with suppress(OSError):
                os.unlink(self._name)
            self.drop()
            # Windows removes no open file.
            if sys.platform == "win32":
                with suppress(OSError):
                    os.unlink(self._name)

    def drop(self) -> None:
        """Close the lock file, which stays; the lock ends once no process has it open."""
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _drop_all() -> None:
    for lock in list(_HELD):
        lock.drop()


if hasattr(os, "register_at_fork"):
    # A child that outlives this process must not keep its locks.
    os.register_at_fork(after_in_child=_drop_all)


def _lock(handle: int) -> None:
    """Lock an open file, or raise BlockingIOError if another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, _BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise BlockingIOError from None
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            "the file system has no locks: two processes that write one checkpoint are not told of each other",
            RuntimeWarning,
            stacklevel=2,
        )
