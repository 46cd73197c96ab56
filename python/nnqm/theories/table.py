"""Checks of single values of a theory file; each message names the key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .._arguments import Floats, choice, floats, integer, positive, positives
from ..errors import InputError, InputTypeError

__all__ = ["Table"]


def brief(value: Any) -> str:
    """Text of a value for a message, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def required(table: Mapping[str, Any], key: str, place: str, remedy: str) -> Any:
    """Value of a required key."""
    if key not in table:
        raise InputError(f"key {place}{key} is missing; {remedy}")
    return table[key]


def real_number(key: str, value: Any) -> float:
    """A finite number."""
    # NumPy would accept "1.5" and true as numbers.
    if isinstance(value, bool) or not isinstance(value, int | float):
        remedy = "write it without quotes" if isinstance(value, str) else "write it as 1.0"
        raise InputTypeError(f"{key} must be a number; got {brief(value)}; {remedy}")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(f"{key} must be a double-precision number; got {brief(value)}") from None
    if not math.isfinite(number):
        raise InputError(f"{key} must be finite; got {number}")
    return number


def real_numbers(key: str, value: Any, remedy: str = "write it as [1.0, 2.0]") -> Floats:
    """An array of finite numbers."""
    if not isinstance(value, list):
        raise InputTypeError(f"{key} must be an array of numbers; got {brief(value)}; {remedy}")
    return floats(key, [real_number(f"{key}[{i}]", v) for i, v in enumerate(value)], 1)


def whole_number(key: str, value: Any, minimum: int, maximum: int = 2**62) -> int:
    """An integer between two bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        raise InputTypeError(f"{key} must be an integer; got {brief(value)}; write it as {int(value) if whole else 42}")
    return integer(key, value, minimum, maximum)


def truth(key: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputTypeError(f"{key} must be true or false; got {brief(value)}")
    return value


def text_choice(key: str, value: Any, options: Iterable[str]) -> str:
    """One of the known names."""
    if not isinstance(value, str):
        raise InputTypeError(f"{key} must be a string; got {brief(value)}; choose from {', '.join(sorted(options))}")
    return choice(key, value, options)


def filled_list(key: str, value: Any, of: str) -> list[Any]:
    """A list with at least one entry."""
    if not isinstance(value, list):
        raise InputTypeError(f"{key} must be an array of {of}; got {brief(value)}")
    if not value:
        raise InputError(f"{key} must have at least one entry; got []")
    return value


class Table:
    """One ``[[source]]`` table of a theory file; its keys have been checked against its kind.

    Attributes
    ----------
    data : Mapping
        Values by key.
    place : str
        Name of the table in messages, for example "source[0]".
    constants : Mapping
        Values of hbar and mass that the file gives.
    """

    def __init__(self, data: Mapping[str, Any], place: str, constants: Mapping[str, float]) -> None:
        self.data = data
        self.place = place
        self.constants = constants

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def value(self, key: str, remedy: str) -> Any:
        """Value of a required key."""
        return required(self.data, key, f"{self.place}.", remedy)

    def field(self, key: str, annotation: Any) -> Any:
        """Value for a field of a dataclass; numbers, integers and truth values are checked by the annotation."""
        name, value = f"{self.place}.{key}", self.value(key, f"write {key} = ...")
        of_type = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        if of_type == "float":
            return real_number(name, value)
        if of_type == "int":
            return whole_number(name, value, -(2**62))
        return truth(name, value) if of_type == "bool" else value

    def number(self, key: str) -> float | None:
        """A positive number; None if the key is missing."""
        name = f"{self.place}.{key}"
        return positive(name, real_number(name, self.data[key])) if key in self.data else None

    def numbers(self, key: str, remedy: str) -> Floats:
        """A required array of numbers."""
        return real_numbers(f"{self.place}.{key}", self.value(key, remedy), remedy)

    def rates(self, key: str, remedy: str, default: float | None = None) -> tuple[float, ...]:
        """One or several positive numbers; required unless there is a default."""
        name = f"{self.place}.{key}"
        value = self.value(key, remedy) if default is None else self.data.get(key, default)
        return positives(name, real_numbers(name, value) if isinstance(value, list) else real_number(name, value))
