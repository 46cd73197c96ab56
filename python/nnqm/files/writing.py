"""Writing of files: permission is checked first, and a file is replaced only by a complete one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

__all__ = ["check_writable", "replacing"]


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path of a file, after a check that it can be written.

    Raises
    ------
    InputError
        If the path is a folder, its folder does not exist, or the file cannot be written.
    """
    import tempfile

    target = Path(path)
    folder = target.parent
    if target.is_dir():
        raise InputError(f"output {target} is a folder; give a file name")
    if not folder.is_dir():
        raise InputError(f"output folder {folder} does not exist; create it first")
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".nnqm-")
    except OSError as error:
        raise InputError(f"output {target} cannot be written: {error.strerror}; choose another place") from None
    os.close(handle)
    os.unlink(name)
    return target


@contextmanager
def replacing(target: Path) -> Iterator[str]:
    """Name of a temporary file, which replaces ``target`` after it is written, or is removed if writing fails."""
    import tempfile

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".nnqm-", suffix=target.suffix)
    os.close(handle)
    try:
        yield name
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
