"""Functions of position given by users, called with arrays and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError, InputTypeError

__all__ = ["Function", "evaluate", "values_of"]

Function = Callable[[Any], Any]


def evaluate(name: str, function: Function, x: Floats, *, infinite: bool = False, kinds: str = "fiub") -> NDArray[Any]:
    """Values of a vectorised function, shape of x; +inf is accepted only if ``infinite``.

    The function gets a copy of x, and its answer is copied: a function that works in place changes nothing else.
    """
    try:
        with np.errstate(all="ignore"):
            values = np.array(function(np.array(x)))
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise InputTypeError(
            f"{name} must take an array and return one of the same shape; calling it raised {error!s}; use NumPy's "
            "functions, and np.where for cases"
        ) from None
    if values.shape != x.shape:
        raise InputError(
            f"{name} must return an array of the shape of its argument; got {values.shape} for {x.shape}; for a "
            "constant c write c + 0*x"
        )
    if values.dtype.kind not in kinds:
        raise InputTypeError(f"{name} must return real numbers; got {values.dtype}")
    values = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    bad = ~np.isfinite(values)
    if infinite:
        bad &= values != np.inf
    if bad.any():
        i = int(np.argmax(bad.ravel()))
        raise InputError(
            f"{name} must be a number{' or +inf' if infinite else ''} at every point; "
            f"{name}({x.ravel()[i]:g}) is {values.ravel()[i]}; correct it there"
        )
    return values


def values_of(function: Function | None, x: Floats) -> Floats:
    """Values of an observable f(x) at points; x itself if it is None."""
    if function is None:
        return x
    if not callable(function):
        raise InputTypeError(f"observable must be a function of x or None for x itself; got {function!r}")
    return evaluate("observable", function, x)
