"""Short texts of objects, and their HTML in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any, TypeVar

import numpy as np

__all__: list[str] = []

_Class = TypeVar("_Class", bound=type)

# Longest representations of an entry and of the whole, in characters; longest array that is written out.
_ENTRY, _WHOLE, _ARRAY = 90, 380, 6

# Longest text of a cell of HTML, in characters, and of one on a single line; rows of a table.
_CELL, _SHORT, _ROWS = 300, 32, 12

# Marks of verdicts by their tone. Colours of medium brightness are readable on white and on black; the mark alone tells
# the tone too.
_MARKS = {"good": ("#2a9d5c", "&#10003;"), "bad": ("#e0533d", "&#10007;"), "open": ("#c98a1b", "&#9675;")}


def short_repr(cls: _Class) -> _Class:
    """Decorator of a dataclass or a named tuple: short texts of all its fields, and a table of them in notebooks.

    If the class has a text of its own, it is the representation too.
    """
    setattr(cls, "__repr__", _represented)  # noqa: B010  (assignment to a method is an error of types)
    if not hasattr(cls, "_repr_html_"):
        setattr(cls, "_repr_html_", _html_of_fields)  # noqa: B010
    return cls


class Marked(str):
    """A text with the mark of a verdict."""

    __slots__ = ("tone",)

    tone: str

    def __new__(cls, text: str, tone: str) -> Marked:
        """Text, and its tone as of ``Verdict.tone``; no mark if it is empty."""
        made = super().__new__(cls, text)
        made.tone = tone
        return made


def short_text(value: Any, longest: int = _ENTRY) -> str:
    """Text of a value on one line of at most so many characters; long arrays are named by their shapes."""
    if isinstance(value, np.ndarray):
        if value.size > _ARRAY:
            return f"array of shape {value.shape}"
        with np.printoptions(precision=6):
            return _cut(" ".join(repr(value).split()), longest)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        exact = repr(value)
        return exact if len(exact) <= 8 else f"{value:.6g}"
    many = isinstance(value, (tuple, list, dict))
    if many and len(value) > longest:
        return f"{len(value)} entries"
    text = " ".join(repr(value).split())
    return f"{len(value)} entries" if many and len(text) > longest else _cut(text, longest)


def card(
    title: str,
    facts: Mapping[str, Any] | None = None,
    *,
    headings: Sequence[str] = (),
    rows: Iterable[Sequence[Any] | str] = (),
    notes: Iterable[str] = (),
    most: int = _ROWS,
) -> str:
    """HTML of one object: a title, facts, a table and notes.

    It has no colours other than the marks of verdicts, so that it can be read in light and dark notebooks.

    Parameters
    ----------
    title : str
        The first word, the name of a class, stands out.
    facts : mapping
        Names and values.
    headings : sequence of str
        Headings of the table.
    rows : iterable
        Each row has one cell for each heading, or is a str, the heading of the rows that follow. A ``Verdict`` gets a
        mark, None is an empty cell, and ``short_text`` writes objects without a text of their own.
    notes : iterable of str
        Lines below.
    most : int
        Rows that are shown, and notes.
    """
    name, space, rest = _cut(title, 2 * _CELL).partition(" ")
    parts = [f"<p><b>{escape(name)}</b>{space}{escape(rest)}</p>"]
    if facts:
        pairs = [f"<th {_LEFT}>{escape(name)}</th><td {_LEFT}>{_cell(fact)}</td>" for name, fact in facts.items()]
        parts.append("<table><tbody>" + "".join(f"<tr>{pair}</tr>" for pair in pairs) + "</tbody></table>")
    if headings:
        parts.append(_table(headings, list(rows), most))
    told = list(notes)
    parts += [f'<p style="opacity: 0.75">{escape(_cut(note, 2 * _CELL))}</p>' for note in told[:most]]
    if len(told) > most:
        parts.append(f'<p style="opacity: 0.75">and {len(told) - most} more</p>')
    return f'<div class="nnqm">{"".join(parts)}</div>'


_LEFT, _RIGHT = 'style="text-align: left"', 'style="text-align: right"'
_HEAD = "white-space: nowrap; "


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any] | str], most: int) -> str:
    shown = rows if len(rows) <= most else rows[: most - 1]
    cells = [None if isinstance(row, str) else [_cell(cell) for cell in row] for row in shown]
    full = [row for row in cells if row is not None]
    sides = [_RIGHT if _is_numeric(row[i] for row in full) else _LEFT for i in range(len(headings))]
    lines = [
        "".join(
            f"<th {side.replace('text', _HEAD + 'text')}>{escape(text)}</th>"
            for text, side in zip(headings, sides, strict=True)
        )
    ]
    for row, given in zip(cells, shown, strict=True):
        if row is None:
            lines.append(f'<th colspan="{len(headings)}" {_LEFT}>{escape(_cut(str(given), _CELL))}</th>')
        else:
            lines.append("".join(f"<td {side}>{cell}</td>" for cell, side in zip(row, sides, strict=True)))
    if len(shown) < len(rows):
        left = len(rows) - len(shown)
        lines.append(f'<td colspan="{len(headings)}" style="text-align: left; opacity: 0.75">and {left} more rows</td>')
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        text = "yes" if value else "no"
    elif isinstance(value, (float, np.floating)):
        text = f"{value:.6g}"
    elif isinstance(value, tuple) and all(isinstance(entry, str) for entry in value):
        text = ", ".join(value)
    else:
        own = str(value) if _has_text(value) else ""
        text = own if own and "\n" not in own else short_text(value, _CELL)
    mark = _MARKS.get(getattr(value, "tone", ""))
    written = escape(_cut(text, _CELL))
    if mark is None:
        return written
    shown = f'<span style="color: {mark[0]}">{mark[1]}</span> {written}'
    return f'<span style="white-space: nowrap">{shown}</span>' if len(text) <= _SHORT else shown


def _is_numeric(column: Iterable[str]) -> bool:
    filled = [cell for cell in column if cell not in ("", "-")]
    return bool(filled) and all(cell.lstrip("+-")[:1].isdigit() or cell in ("nan", "inf") for cell in filled)


def _represented(value: Any) -> str:
    if _has_text(value):
        text = str(value)
        return text if "\n" in text else f"{type(value).__name__}({text})"
    entries = (f"{name}={short_text(entry)}" for name, entry in _fields(value))
    return f"{type(value).__name__}({_cut(', '.join(entries), _WHOLE)})"


def _html_of_fields(value: Any) -> str:
    text = str(value) if _has_text(value) else ""
    title = type(value).__name__
    facts = {name.replace("_", " "): fact for name, fact in _fields(value) if fact is not None}
    return card(title if "\n" in text or not text else f"{title} {text}", facts)


def _has_text(value: Any) -> bool:
    own: Any = type(value).__str__
    return own not in (object.__str__, tuple.__str__)


def _fields(value: Any) -> Iterable[tuple[str, Any]]:
    names = getattr(value, "_fields", None) or [f.name for f in fields(value) if f.repr]
    return ((name, getattr(value, name)) for name in names if not name.startswith("_"))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."
