"""The base of immutable objects that hold arrays: equality, hash and pickling from their contents."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np

__all__ = ["Immutable"]

# Number of leading entries of an array that enter a hash, a limit because arrays may be large.
_HASHED = 64

Kind = TypeVar("Kind", bound="Immutable")


class Immutable:
    """An immutable object that is defined by the arguments of its class; other attributes are caches.

    A subclass lists these arguments, which are also attributes, in ``_contents`` and sets them once with ``_set``.
    """

    __slots__ = ()

    _contents: ClassVar[tuple[str, ...]] = ()

    def contents(self) -> dict[str, Any]:
        """Arguments of the class that make this object again."""
        return {name: getattr(self, name) for name in self._contents}

    def _set(self, **values: Any) -> None:
        """Set attributes in the constructor; arrays become read-only."""
        for name, value in values.items():
            for array in value if isinstance(value, tuple) else (value,):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one instead of setting {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Immutable) or type(other) is not type(self):
            return NotImplemented
        mine, theirs = self.contents(), other.contents()
        return all(_equal(value, theirs[name]) for name, value in mine.items())

    def __hash__(self) -> int:
        return hash(tuple(_hashable(value) for value in self.contents().values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_made_again, (type(self), self.contents()))


def _made_again(kind: type[Kind], contents: dict[str, Any]) -> Kind:
    return kind(**contents)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def _hashable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_hashable(entry) for entry in value)
    if isinstance(value, np.ndarray):
        # Adding zero turns -0.0 into 0.0: equal numbers need equal hashes.
        return value.shape, (value.ravel()[:_HASHED] + 0.0).tobytes()
    return value
