"""Errors about input: ``InputError`` and ``InputTypeError``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["InputError", "InputTypeError", "OneLine", "located"]

# Longest message, in characters: a name in a damaged file can have millions.
_LONGEST = 2000


# Folder of this package, whose lines are of no use to somebody who has given a wrong argument.
_PACKAGE = os.path.dirname(__file__)


class OneLine(BaseException):
    """An exception of which IPython and Jupyter show one line; ``%tb`` then shows the whole traceback."""

    def _render_traceback_(self) -> list[str]:
        """Called by IPython in place of its own rendering."""
        import traceback

        shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if getattr(self, "_told", False):
            parts = (type(self), self, self.__traceback__)
            return list(
                shell.InteractiveTB.structured_traceback(*parts) if shell else traceback.format_exception(*parts)
            )
        self._told = True
        if shell is not None:
            # %debug would start at the error before this one.
            shell.InteractiveTB.tb = self.__traceback__
        hints = [place] if (place := self._place(shell)) else []
        if getattr(self, "partial", None) is not None:
            hints.append("sys.last_value.partial has it")
        hints.append("%tb shows the traceback")
        plain = str(getattr(shell, "colors", "nocolor")).lower() == "nocolor"
        name = type(self).__name__ if plain else f"\x1b[0;31m{type(self).__name__}\x1b[0m"
        return [f"{name}: {self} ({'; '.join(hints)})"]

    def _place(self, shell: Any) -> str:
        """The line of the caller that called this package."""
        import traceback

        lines = traceback.extract_tb(self.__traceback__)
        inside = next((i for i, line in enumerate(lines) if line.filename.startswith(_PACKAGE)), len(lines))
        if not inside:
            return ""
        line = lines[inside - 1]
        name = getattr(getattr(shell, "compile", None), "format_code_name", lambda name: None)(line.filename)
        return f"{' '.join(name) if name else os.path.basename(line.filename)}, line {line.lineno}"


class InputError(OneLine, ValueError):
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
        self.reason = one_line(reason)
        self.remedy = one_line(remedy)
        super().__init__(f"{self.reason}; {self.remedy}" if remedy else self.reason)


class InputTypeError(OneLine, TypeError):
    """An argument or a file entry of an invalid type; the message names a remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@contextmanager
def located(place: str) -> Iterator[None]:
    """Prefix the messages of input errors with a place, for example the name of a file."""
    try:
        yield
    except InputTypeError as error:
        raise InputTypeError(f"{place}: {error}") from None
    except InputError as error:
        raise InputError(f"{place}: {error.reason}", error.remedy) from None


def one_line(text: str) -> str:
    """Text on one line, cut if it is very long; control characters, as a file can contain, are escaped.

    A terminal would obey them: they clear the screen, change its title or reverse the direction of the text.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    words = " ".join(text.split())
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def reason_of(error: BaseException) -> str:
    """Text of an error on one line, or its type if it has none."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(text) or type(error).__name__
