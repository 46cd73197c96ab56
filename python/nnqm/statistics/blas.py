"""NumPy's and SciPy's BLAS on one thread while an analysis runs.

The matrices of an analysis are small: threads of a BLAS cost more than they save, most of all on machines with many or
busy cores. The number of threads belongs to the whole process, so that other Python threads are limited as well until
the last analysis ends; it is then what it was before the first.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ContextDecorator
from typing import Any

__all__ = ["one_blas_thread"]


class _OneBlasThread(ContextDecorator):
    """Context and decorator; nested and simultaneous uses count as one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own = threading.local()
        self._inside = 0
        self._limits: list[Any] = []
        self._controller: Any = None
        self._seen: tuple[bool, ...] = ()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def __enter__(self) -> None:
        with self._lock:
            new = self._search()
            if self._controller is not None and (new or not self._inside):
                self._limits.append(self._controller.limit(limits=1, user_api="blas"))
            self._inside += 1
        self._own.depth = getattr(self._own, "depth", 0) + 1

    def __exit__(self, *_: object) -> None:
        self._own.depth -= 1
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()

    def _search(self) -> bool:
        """Look for libraries again after an import that may have loaded one; the search takes milliseconds."""
        loaded = tuple(name in sys.modules for name in _WITH_BLAS)
        if loaded == self._seen:
            return False
        self._seen = loaded
        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:  # it costs time only
            return False
        self._controller = ThreadpoolController()
        return True

    def _restore(self) -> None:
        if not self._limits:
            return
        self._release()
        while self._limits:
            self._limits.pop().restore_original_limits()
        self._release()

    def _release(self) -> None:
        """Let any thread set the number of threads; threadpoolctl reserves this for the first one that did."""
        for library in self._controller.lib_controllers:
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)

    def _after_fork(self) -> None:
        """Only the thread that forked is left, and another one may have held the lock."""
        self._lock = threading.Lock()
        self._inside = getattr(self._own, "depth", 0)
        if self._inside == 0:
            self._restore()


# Modules that bring a BLAS of their own.
_WITH_BLAS = ("numpy.linalg", "scipy.linalg.blas", "scipy.linalg", "torch", "jax", "sklearn")

one_blas_thread = _OneBlasThread()
