"""Arithmetic and NumPy functions of values with replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputTypeError

__all__: list[str] = []

# Step of central differences, as a fraction of the systematic error.
STEP = 1e-3

# Elementwise functions whose derivatives need no differences: systematic errors from values and systematic errors.
_DERIVATIVES: dict[Any, Callable[..., Any]] = {
    np.add: lambda a, b, sa, sb: sa + sb,
    np.subtract: lambda a, b, sa, sb: sa + sb,
    np.multiply: lambda a, b, sa, sb: np.abs(b) * sa + np.abs(a) * sb,
    np.true_divide: lambda a, b, sa, sb: sa / np.abs(b) + np.abs(a) * sb / (b * b),
    np.negative: lambda a, sa: sa,
    np.positive: lambda a, sa: sa,
    np.absolute: lambda a, sa: sa,
}


# Functions that are constant between their jumps, so that an error would have no meaning.
_STEPS = {np.sign, np.floor, np.ceil, np.rint, np.trunc, np.fix, np.round, np.around, np.floor_divide, np.heaviside}

# The stubs of NumPy do not know that its functions accept estimates.
_UFUNC: Any = np


class Arithmetic:
    """Operators and NumPy's protocols of an ``Estimate``, whose only base it is."""

    __slots__ = ()

    value: Floats
    systematic: Floats

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The value, without errors."""
        return np.array(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _array_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: Any) -> Any:
        if not all(issubclass(t, (Arithmetic, np.ndarray)) for t in types):
            return NotImplemented
        return _array_function(function, args, options)

    def __add__(self, other: Any) -> Any:
        return _UFUNC.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return _UFUNC.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return _UFUNC.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _UFUNC.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return _UFUNC.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _UFUNC.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _UFUNC.true_divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _UFUNC.true_divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return _UFUNC.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return _UFUNC.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return _UFUNC.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _UFUNC.matmul(other, self)

    def __neg__(self) -> Any:
        return _UFUNC.negative(self)

    def __pos__(self) -> Any:
        return _UFUNC.positive(self)

    def __abs__(self) -> Any:
        return _UFUNC.abs(self)

    def __lt__(self, other: Any) -> Any:
        return _UFUNC.less(self, other)

    def __le__(self, other: Any) -> Any:
        return _UFUNC.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return _UFUNC.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return _UFUNC.greater_equal(self, other)

    def __eq__(self, other: object) -> Any:
        return _UFUNC.equal(self, other) if _comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return _UFUNC.not_equal(self, other) if _comparable(other) else NotImplemented

    def __hash__(self) -> int:
        # Equal objects have equal hashes; arrays have none, because their comparison is an array.
        return hash(self._number("hash"))

    def __bool__(self) -> bool:
        return bool(self._number("bool"))

    def __float__(self) -> float:
        return self._number("float")

    def __int__(self) -> int:
        return int(self._number("int"))

    def __round__(self, digits: int | None = None) -> float:
        return round(self._number("round"), digits)

    def _number(self, wanted: str) -> float:
        if self.value.ndim:
            remedy = "use any() or all() of a comparison" if wanted == "bool" else "use .value, or choose one entry"
            raise InputTypeError(f"{wanted} needs an estimate of one number; got shape {self.value.shape}; {remedy}")
        return float(self.value)


def _array_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A universal function of estimates, numbers and arrays."""
    if any(o is not None for o in options.get("out", ())):
        raise InputTypeError(f"numpy.{ufunc.__name__} of an estimate makes a new one; leave out= away")
    if method != "__call__" or ufunc.signature is not None or options:
        return _array_function(getattr(ufunc, method), inputs, options)
    used: list[Any] = [x for x in inputs if isinstance(x, Arithmetic)]
    plain = [x.value if isinstance(x, Arithmetic) else np.asarray(x) for x in inputs]
    result = ufunc(*plain)
    if isinstance(result, tuple) or np.asarray(result).dtype.kind != "f" or ufunc in _STEPS:
        return _array_function(ufunc, inputs, options)
    most = max(x.ndim for x in plain)

    def evaluate(*stacked: Floats) -> Any:
        # Axes of one behind the replicas, so that arrays are broadcast as without replicas.
        rest = (stack.reshape(len(stack), *(1,) * (most + 1 - stack.ndim), *stack.shape[1:]) for stack in stacked)
        return ufunc(*(next(rest) if isinstance(x, Arithmetic) else p for x, p in zip(inputs, plain, strict=True)))

    found = used[0].map_replicas(evaluate, *used[1:])
    widths = [x.systematic if isinstance(x, Arithmetic) else np.zeros(np.shape(x)) for x in inputs]
    return found.with_systematic(_elementwise(ufunc, plain, widths)) if any(w.any() for w in widths) else found


def _elementwise(ufunc: np.ufunc, values: list[Any], widths: list[Any]) -> Any:
    """Systematic error of an elementwise function."""
    if ufunc in _DERIVATIVES:
        return _DERIVATIVES[ufunc](*values, *widths)
    total: Any = 0.0
    for i, width in enumerate(widths):
        if width.any():
            sides = [ufunc(*(v + s * STEP * width if i == k else v for k, v in enumerate(values))) for s in (1, -1)]
            total = total + np.abs(sides[0] - sides[1]) / (2 * STEP)
    return total


def _array_function(function: Callable[..., Any], args: Any, options: Any) -> Any:
    """A function of NumPy with estimates anywhere among its arguments, replica by replica.

    A result that is not an array of floating-point numbers, for example of a comparison, and a step function such as
    ``numpy.sign`` belong to the values.
    """
    used: list[Any] = []
    _changed((args, options), used.append)
    if options.get("out") is not None:
        raise InputTypeError(f"numpy.{function.__name__} of an estimate makes a new one; leave out= away")

    def call(*arrays: Any) -> Any:
        rest = iter(arrays)
        filled = _changed((args, options), lambda _: _frozen(next(rest)))
        return function(*filled[0], **filled[1])

    result = call(*(e.value for e in used))
    parts = result if isinstance(result, (tuple, list)) else (result,)
    kinds = {
        np.asarray(part).dtype.kind for part in parts if isinstance(part, (np.ndarray, np.generic, float, complex))
    }
    if "c" in kinds:
        raise InputTypeError("an estimate has real values; got a complex result; map its real or imaginary part")
    if "f" not in kinds or function in _STEPS:
        return result
    first = used[0]
    if parts is not result:
        return first.map(call, *used[1:])
    return tuple(first.map(lambda *a, i=i: call(*a)[i], *used[1:]) for i in range(len(parts)))


def _changed(given: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with each estimate, also inside lists and tuples, changed."""
    if isinstance(given, Arithmetic):
        return change(given)
    if type(given) in (list, tuple):
        return type(given)([_changed(x, change) for x in given])
    if isinstance(given, Mapping):
        return {key: _changed(x, change) for key, x in given.items()}
    return given


def _frozen(array: Any) -> Floats:
    """A view that cannot be written, so that functions that change their arguments fail."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _comparable(other: object) -> bool:
    return isinstance(other, (Arithmetic, np.ndarray, np.generic, int, float, complex, list, tuple))
