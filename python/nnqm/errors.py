"""Errors of this package. Every error about input is an ``InputError`` or an ``InputTypeError``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "InputTypeError", "located"]


class InputError(ValueError):
    """An argument, a file or data with a value that cannot be used; the message names a remedy.

    A ``ValueError`` of another class that leaves this package is a fault of the package, not of the input.

    Attributes
    ----------
    reason : str
        The message without the remedy, where that was given apart; else the whole message.
    remedy : str
        What to do instead, or empty.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class InputTypeError(TypeError):
    """An argument or a file entry of a type that cannot be used; the message names a remedy."""


@contextmanager
def located(place: str) -> Iterator[None]:
    """Put a place, such as the name of a file, before the messages of input errors."""
    try:
        yield
    except InputTypeError as error:
        raise InputTypeError(f"{place}: {error}") from None
    except InputError as error:
        raise InputError(f"{place}: {error.reason}", error.remedy) from None
