"""Arrays of paths from elsewhere: layout, data type, finite values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of
from ..errors import InputError, InputTypeError

__all__ = ["is_array", "real_array", "three_axes"]


def is_array(paths: Any) -> bool:
    """Whether paths come as one array rather than in chunks."""
    known = isinstance(paths, (np.ndarray, list, tuple))
    return known or hasattr(paths, "__array__") or hasattr(paths, "__dlpack__")


def real_array(paths: ArrayLike) -> NDArray[Any]:
    """The paths as an array of real numbers, without a copy of memory that NumPy can read."""
    array = array_of("paths", paths)
    if array.dtype.kind == "O":
        raise InputTypeError("paths must be real numbers; got dtype object; convert them to float64 first")
    return array


def float_type(dtype: np.dtype[Any]) -> type:
    return np.float32 if dtype == np.float32 else np.float64


def need_finite_values(values: NDArray[Any], path: int, name: str, first_step: int = 0, first_channel: int = 0) -> None:
    """Raise if one of the values (time, channel) of a path is not finite."""
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        step, channel = bad[0]
        where = f"path {path} at time step {first_step + step}, channel {first_channel + channel}"
        raise InputError(f"{name} must be finite; {where} is {values[step, channel]}; remove it")


def need_finite_paths(x: NDArray[Any], first_path: int = 0, first_step: int = 0, column: int = 0) -> None:
    """Raise if a value of some paths of one channel (path, time) is not finite."""
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0, 0])
        need_finite_values(x[row][:, None], first_path + row, "paths", first_step, column)


def three_axes(array: NDArray[Any]) -> NDArray[Any]:
    """The paths with axes (path, time, channel)."""
    if array.ndim == 1:
        array = array[None, :, None]
    elif array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"paths must have shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,), none of them 0; "
            f"got {array.shape}"
        )
    return array
