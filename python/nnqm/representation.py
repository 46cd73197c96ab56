"""Short representations of results, which are what a session shows of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

__all__: list[str] = []

_Class = TypeVar("_Class", bound=type)

# Longest representations of an entry and of the whole, in characters; longest array that is written out.
_ENTRY, _WHOLE, _ARRAY = 90, 400, 6


def short_repr(cls: _Class) -> _Class:
    """Decorator of a dataclass: its representation is its text, or names all fields and shortens long ones."""
    setattr(cls, "__repr__", _represented)  # noqa: B010  (assignment to a method is an error of types)
    return cls


def _represented(value: Any) -> str:
    own: Any = type(value).__str__
    if own is not object.__str__:
        text = str(value)
        return text if "\n" in text else f"{type(value).__name__}({text})"
    entries = (f"{f.name}={_entry(getattr(value, f.name))}" for f in fields(value) if f.repr)
    return f"{type(value).__name__}({_cut(', '.join(entries), _WHOLE)})"


def _entry(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > _ARRAY:
        return f"array of shape {value.shape}"
    if isinstance(value, np.generic):
        value = value.item()
    text = " ".join(repr(value).split())
    if len(text) > _ENTRY and isinstance(value, (tuple, list, dict)):
        return f"{len(value)} entries"
    return _cut(text, _ENTRY)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."
