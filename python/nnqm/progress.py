"""Progress of long work: one bar in a terminal or a notebook, which vanishes at the end, and nothing elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from html import escape
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from .errors import InputTypeError

__all__ = ["Progress", "ProgressBar", "Showing"]

# A function of (done, wanted), and the values of a parameter ``progress``.
Progress: TypeAlias = Callable[[int, int], None]
Showing: TypeAlias = Progress | bool | None

# Seconds of work before a bar appears by itself, between two drawings, and between two lines of text in a file.
_PATIENCE, _REDRAW, _LINES = 1.0, 0.2, 10.0

# Whether work around this one tells its progress already.
_occupied: ContextVar[bool] = ContextVar("nnqm_progress", default=False)


class _Screen(Protocol):
    """Place where a bar is drawn."""

    interval: float

    def draw(self, done: int, wanted: int, rest: str) -> None:
        """Draw the bar, with the text beside it."""

    def end(self) -> None:
        """Remove the bar."""


class ProgressBar:
    """Context manager around long work, which tells its progress to the function that it gets.

    Work inside the work shows no bar of its own. A bar that cannot be drawn does not end the work.

    Parameters
    ----------
    what : str
        Name of the work.
    unit : str
        Unit of its speed; empty for parts of unequal length, for which neither speed nor time is told.
    given : callable, bool or None
        Argument ``progress`` of the user. A function is called instead. None shows a bar in a terminal and a notebook
        after one second of work, in the main thread of the main process. True shows it from the start, and writes a
        line every ten seconds where standard error is neither. False shows nothing.
    """

    def __init__(self, what: str, unit: str = "", given: Showing = None) -> None:
        if not (given is None or isinstance(given, bool) or callable(given)):
            raise InputTypeError(
                f"progress must be a function of (done, wanted), True, False or None; got {given!r}; "
                "None shows a bar in terminals and notebooks"
            )
        self._what, self._unit, self._given = what, unit, given
        self._screen: _Screen | None = None
        self._shown = False
        self._token: Token[bool] | None = None
        self._origin: tuple[float, int] | None = None
        self._next = 0.0

    def __enter__(self) -> Progress:
        alone = not _occupied.get()
        self._token = _occupied.set(True)
        if self._given is not None and not isinstance(self._given, bool):
            return self._given
        self._shown = alone and (self._given is True or (self._given is None and _watched()))
        if not self._shown:
            return _ignored
        self._next = time.monotonic() + (0.0 if self._given else _PATIENCE)
        return self._tell

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _occupied.reset(self._token)
        if self._screen is not None:
            self._attempt(self._screen.end)

    def _tell(self, done: int, wanted: int) -> None:
        now = time.monotonic()
        if self._origin is None:
            self._origin = (now, done)
        if now < self._next or not self._shown:
            return
        self._attempt(lambda: self._draw(done, wanted, now))
        self._next = now + (_REDRAW if self._screen is None else self._screen.interval)

    def _draw(self, done: int, wanted: int, now: float) -> None:
        assert self._origin is not None
        if self._screen is None:
            self._screen = _screen(self._what)
        seconds, steps = now - self._origin[0], done - self._origin[1]
        if wanted <= 0:
            words = [f"{done:,} done"]
        else:
            words = [f"{100 * done / wanted:3.0f}%" if self._unit else f"{done:,} of {wanted:,}"]
        if self._unit and seconds > 0 and steps > 0:
            rate = steps / seconds
            words.append(f"{rate:,.{0 if rate >= 10 else 2}f} {self._unit}")
            if wanted > 0:
                words.append(f"{_duration((wanted - done) / rate)} left")
        self._screen.draw(done, wanted, "  ".join(words))

    def _attempt(self, draw: Callable[[], None]) -> None:
        # A terminal that is gone must not end the work of hours.
        try:
            draw()
        except Exception:
            self._shown = False


def _ignored(done: int, wanted: int) -> None:
    """Progress that nobody watches."""


def _watched() -> bool:
    """Whether somebody sees a bar: not in other threads, in worker processes and in pipes."""
    processes = sys.modules.get("multiprocessing.process")
    if threading.current_thread() is not threading.main_thread() or (processes and processes.parent_process()):
        return False
    return _in_notebook() or _terminal()


def _terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is no standard error, or it is closed
        return False


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process; IPython is never imported for the question."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def _screen(what: str) -> _Screen:
    if _in_notebook():
        return _Notebook(what)
    return _Terminal(what) if _terminal() else _Lines(what)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{hours}{whole % 3600 // 60:02d}:{whole % 60:02d}"


class _Terminal:
    """A bar of rich on standard error."""

    interval = _REDRAW

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True, highlight=False)
        if console.is_dumb_terminal:
            raise OSError("the terminal cannot move its cursor")
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[rest]}"))
        # The work draws the bar itself, not a thread, so that Ctrl-C never interrupts half a drawing. Lines that are
        # printed meanwhile stand above it, unless they go to a file.
        self._bar = Bar(
            *columns, console=console, transient=True, auto_refresh=False, redirect_stdout=sys.stdout.isatty()
        )
        self._task = self._bar.add_task(what, total=None, rest="")
        self._bar.start()

    def draw(self, done: int, wanted: int, rest: str) -> None:
        self._bar.update(self._task, completed=done, total=wanted or None, rest=rest, refresh=True)

    def end(self) -> None:
        self._bar.stop()


class _Notebook:
    """A bar in the output of a cell. That of rich needs ipywidgets; this one is plain HTML."""

    interval = _REDRAW

    def __init__(self, what: str) -> None:
        self._what = what
        self._handle: Any = None

    def draw(self, done: int, wanted: int, rest: str) -> None:
        state = f' value="{done}" max="{wanted}"' if wanted > 0 else ""
        self._show(
            f'<div style="font-size: 90%">{escape(self._what)} '
            f'<progress{state} style="width: 16em; vertical-align: middle"></progress> {escape(rest)}</div>'
        )

    def end(self) -> None:
        self._show("")

    def _show(self, html: str) -> None:
        display = import_module("IPython.display").display
        # The text is empty, because programs that show no HTML cannot remove it either.
        data = {"text/html": html, "text/plain": ""}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class _Lines:
    """A line of text now and then, for the log of a batch job."""

    interval = _LINES

    def __init__(self, what: str) -> None:
        self._what = what

    def draw(self, done: int, wanted: int, rest: str) -> None:
        print(f"{self._what}: {rest.strip()}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Lines stay."""
