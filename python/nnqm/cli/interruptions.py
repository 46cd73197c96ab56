"""How a command ends when a signal stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__: list[str] = []

# Sent by batch queues at a time limit, by a terminal that closes, and at a limit of processor time.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name)]

_received: list[int] = []


@contextmanager
def ending_signals() -> Iterator[None]:
    """Treat signals that end the program like Ctrl-C, so that files are complete or unchanged."""
    _received.clear()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in _ENDING if signal.getsignal(n) == signal.SIG_DFL}
    try:
        for number in before:
            signal.signal(number, _end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ended_by() -> int | None:
    """The signal that ended the command, None if there was none or Ctrl-C."""
    return _received[0] if _received else None


def exit_code() -> int:
    """The code of a command that a signal ended, by the convention of shells."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def _end(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    # Queues repeat the signal, and the first one is still at work.
    if len(_received) == 1:
        raise KeyboardInterrupt
