"""Messages and reports on a terminal."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Annotated, Any, TextIO

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from .. import _core
from ..errors import InputError, InputTypeError
from ..report.table import HEADINGS, Report, Row

__all__: list[str] = []


# Largest pull due to chance, in errors; among a dozen rows of one table a larger one occurs once in two hundred runs.
_LARGE_PULL = 3.5


# Columns of numbers in the table.
_NUMBERS = (1, 2, 3, 4)


# The option of every command that prints a table.
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, with all digits, in place of the table (docs/command-line.md).")
]


class BadInput(Exception):
    """Error in the user's input; the message is printed as one line."""


@contextmanager
def input_errors() -> Iterator[None]:
    """Convert input errors of the package to one printed line; other errors keep their traceback."""
    try:
        yield
    except (InputError, InputTypeError) as error:
        raise BadInput(str(error)) from error


def say(text: str, stream: TextIO | None = None) -> None:
    """Print text. A reader that has ended, as in ``nnqm run oscillator | head -1``, does not stop the command."""
    target = sys.stdout if stream is None else stream
    try:
        print(text, file=target, flush=True)
    except BrokenPipeError:
        silence(target)


def print_table(table: Table) -> None:
    """Print a table, as wide as its longest line where a file or a pipe has no width."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = Measurement.get(console, console.options.update(max_width=100_000), table).maximum
    with console.capture() as capture:
        console.print(table)
    say("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_json(data: Mapping[str, Any]) -> None:
    """Print plain data as one object of JSON, after the version of nnqm."""
    say(json.dumps({"nnqm": _core.build_info()["version"], **data}, indent=2, allow_nan=False))


def note(message: str) -> None:
    say(message, sys.stderr)


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings as notes, without the place in the code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = lambda message, *_: note(f"warning: {message}")
        yield


def silence(stream: TextIO) -> None:
    """Send further output nowhere: the interpreter writes the rest when it ends, and would fail again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def print_report(report: Report) -> None:
    console = Console(highlight=False, markup=False)
    table = _table(report)
    if not console.is_terminal:
        # A file or a pipe has no width; the table is as wide as its longest line.
        console.width = Measurement.get(console, console.options.update(max_width=100_000), table).maximum
    with console.capture() as capture:
        console.print(table)
    if not _whole(capture.get(), report):
        with console.capture() as capture:
            for line in _listed(report, console.width):
                console.print(line, soft_wrap=True)
    with console.capture() as above:
        if report.title:
            console.print(Text(report.title, style="bold"), soft_wrap=not console.is_terminal)
    with console.capture() as below:
        for note in report.notes:
            console.print(Text(f"note: {note}"), soft_wrap=not console.is_terminal)
    text = above.get() + capture.get() + below.get()
    say("\n".join(line.rstrip() for line in text.splitlines()))


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, heading in enumerate(HEADINGS):
        # In a narrow terminal text is broken between words; numbers are never broken.
        number = i in _NUMBERS
        table.add_column(heading, justify="right" if number else "left", no_wrap=number)
    group = None
    for row in report.rows:
        if row.group != group:
            if group is not None:
                table.add_section()
            table.add_row(Text(row.group, style="bold"))
            group = row.group
        first, *numbers, last = _cells(row)
        table.add_row(Text("  ") + first, *numbers, last)
    return table


def _cells(row: Row) -> list[Text]:
    """The cells of a row, coloured where the terminal has colours."""
    cells = [Text(cell) for cell in row.cells]
    if row.pull is not None and abs(row.pull) > _LARGE_PULL:
        cells[4].stylize("bold red")
    if row.sound:
        cells[5].stylize("green")
    elif row.tone == "bad":
        cells[5].stylize("bold red")
    return cells


def _whole(text: str, report: Report) -> bool:
    """Whether a table shows all words of a report, none of them cut."""
    plain = Text.from_ansi(text).plain
    return "\u2026" not in plain and all(
        word in plain for row in report.rows for cell in row.cells for word in cell.split()
    )


def _listed(report: Report, width: int) -> Iterator[Text]:
    """The rows one below the other, for a terminal too narrow for the table; no number is broken."""
    group = None
    for row in report.rows:
        if row.group != group:
            yield Text(row.group, style="bold")
            group = row.group
        quantity, *numbers, last = _cells(row)
        yield from _filled_lines(quantity.split(" "), 2, width)
        labelled = zip(("measured", "exact", "dt -> 0", "pull"), numbers, strict=True)
        parts = [Text(f"{label} ") + number for label, number in labelled if number.plain]
        for i, part in enumerate(parts, start=1):
            part.append("," if i < len(parts) else ":" if last.plain else "")
        yield from _filled_lines([*parts, *last.split(" ")], 4, width)


def _filled_lines(parts: Iterable[Text], indent: int, width: int) -> Iterator[Text]:
    """Lines of parts, of at most some width if the parts allow."""
    line = Text(" " * indent)
    for part in parts:
        if line.plain.strip() and len(line) + 1 + len(part) > width:
            yield line
            line = Text(" " * indent)
        if line.plain.strip():
            line.append(" ")
        line.append_text(part)
    if line.plain.strip():
        yield line
