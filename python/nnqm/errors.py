"""Errors about input: ``InputError`` and ``InputTypeError``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "InputTypeError", "located"]


class InputError(ValueError):
    """An argument, a file or data with an invalid value; the message names a remedy.

    A plain ``ValueError`` from this package is a fault of the package, not of the input.

    Attributes
    ----------
    reason : str
        The message without the remedy if the remedy was given separately, otherwise the whole message.
    remedy : str
        The remedy if it was given separately, otherwise empty.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class InputTypeError(TypeError):
    """An argument or a file entry of an invalid type; the message names a remedy."""


@contextmanager
def located(place: str) -> Iterator[None]:
    """Prefix the messages of input errors with a place, for example the name of a file."""
    try:
        yield
    except InputTypeError as error:
        raise InputTypeError(f"{place}: {error}") from None
    except InputError as error:
        raise InputError(f"{place}: {error.reason}", error.remedy) from None


def reason_of(error: BaseException) -> str:
    """Text of an error on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
