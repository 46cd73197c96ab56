"""Signals that end a process, held back until its work is consistent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

__all__: list[str] = []

# Ctrl-C, the end of a time limit in batch queues, a closed terminal, a limit of processor time.
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name))

# Seconds after which another Ctrl-C is a wish not to wait; programs that start others may send two at once.
_PATIENCE = 1.0


class HeldSignals:
    """A context in which signals that would end the process wait for ``deliver`` or the end of the context.

    Each signal then has the effect that it would have had: its default action ends the process, a handler of the
    program is called, and an ignored one is still ignored. In threads other than the main one, and in children of a
    fork, nothing is held back.

    Attributes
    ----------
    hurried : bool
        Whether a second Ctrl-C did not wait, so that work was left in the middle.
    """

    def __init__(self) -> None:
        self.hurried = False
        self._process = os.getpid()
        self._arrived: list[int] = []
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> HeldSignals:
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in _ENDING}
            # None is a handler that was not set by Python and could not be restored.
            self._before = {n: handler for n, handler in before.items() if handler not in (None, signal.SIG_IGN)}
            for number in self._before:
                signal.signal(number, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        self.deliver()

    @property
    def waiting(self) -> bool:
        """Whether a signal has arrived."""
        return bool(self._arrived)

    @property
    def fatal(self) -> bool:
        """Whether a signal has arrived that ends the process at once when it is delivered."""
        return any(self._before[number] is signal.SIG_DFL for number in self._arrived)

    def deliver(self) -> None:
        """Let the signals that have arrived take effect; may raise what their handlers raise."""
        while self._arrived:
            self._act(self._arrived.pop(0))

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A child of a fork has no slices at whose end it could deliver the signal.
            self._act(number)
            return
        now = time.monotonic()
        if number == signal.SIGINT and number in self._arrived and now - self._first > _PATIENCE:
            self.hurried = True
            self._arrived.clear()
            self._act(number)
        elif number not in self._arrived:
            self._arrived.append(number)
            self._first = now

    def _act(self, number: int) -> None:
        handler = self._before[number]
        if callable(handler):
            handler(number, sys._getframe())
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
