"""Arrays from npz files, read without pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, reason_of

__all__ = ["read_npz"]


def read_npz(
    path: Path, key: str, choose: Callable[[list[str]], list[str]] = list
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Arrays of an npz file, read without unpickling.

    Parameters
    ----------
    path : Path
    key : str
        Key or argument that contains the name of the file, for messages.
    choose : callable
        Selects names of arrays from all names in the file; all by default.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    InputError
        If the file does not exist, is no npz file, or contains entries that are not arrays of numbers.
    """
    import zipfile

    remedy = "write it with numpy.savez, plain numbers only (paths.astype(float))"
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{key} must be an .npz file; {path} contains a single array; {remedy}")
        with loaded:
            arrays = {name: loaded[name] for name in choose(loaded.files)}
        for name, array in arrays.items():
            # NumPy returns entries that are not arrays as bytes.
            if not isinstance(array, np.ndarray):
                raise InputError(f"{key}: {name!r} in {path} is not an array; {remedy}")
        return arrays
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{key}: file {path} does not exist; paths are relative to the TOML file") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{key}: {path} cannot be read as .npz ({reason_of(error)}); {remedy}") from None
