"""Arrays of a user's files, read without pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .tables import reason_of

__all__ = ["read_npz"]


def read_npz(
    path: Path, key: str, choose: Callable[[list[str]], list[str]] = list
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Arrays of an npz file, those that ``choose`` picks from their names, without unpickling.

    Errors name the key that named the file.
    """
    import zipfile

    remedy = "write it with numpy.savez, plain numbers only"
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{key} must be an .npz file; {path} holds one array; {remedy}")
        with loaded:
            arrays = {name: loaded[name] for name in choose(loaded.files)}
        for name, array in arrays.items():
            # NumPy hands out what is not an array as bytes.
            if not isinstance(array, np.ndarray):
                raise InputError(f"{key}: {name!r} in {path} is not an array; {remedy}")
        return arrays
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{key}: file {path} does not exist; paths are relative to the TOML file") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{key}: {path} cannot be read as .npz ({reason_of(error)}); {remedy}") from None
