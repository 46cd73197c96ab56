"""Writing of files: checked before any work, replaced only once the new file is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

__all__ = ["check_writable", "replacing"]


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a file can be written there; raises ValueError before any work is done otherwise."""
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
    """Name of a new file that takes the place of ``target`` once it is written, and is removed if writing fails."""
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
