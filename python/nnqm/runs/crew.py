"""Calls on the workers of an executor: lost calls are repeated, and results come in the order of their completion."""

from __future__ import annotations

import pickle
import queue
import time
import warnings
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any, TypeAlias

from .. import _core
from ..errors import InputError, InputTypeError

__all__ = ["Crew", "WorkersLost"]

# An executor, or a function that makes one.
Workers: TypeAlias = "Executor | Callable[[], Executor]"

# Times that one call is tried.
_TRIES = 3
# Executors that a function makes one after the other without a result between them.
_EXECUTORS = 5
# Seconds between looks at the keyboard while no result comes.
_PATIENCE = 0.1
# Seconds without a result after which a pool with a dead worker is ended.
_STUCK = 5.0
# Seconds for which the size of a cluster is believed.
_ASKED = 5.0
# Calls in flight where the number of workers is not known.
_UNKNOWN = 64

_REMEDY = (
    "give for example concurrent.futures.ProcessPoolExecutor(4), client.get_executor() of Dask, or "
    "mpi4py.futures.MPIPoolExecutor()"
)


class WorkersLost(Exception):
    """No worker is left, or a call failed on several; the text says why."""


def need_workers(executor: Any) -> None:
    """Raise unless an argument is an executor, or a function that makes one.

    Raises
    ------
    InputTypeError
        If it is neither.
    """
    if hasattr(executor, "get_executor"):
        raise InputTypeError(f"executor must be an executor; got a client, {executor!r}; use its get_executor()")
    if isinstance(executor, type) or not (hasattr(executor, "submit") or callable(executor)):
        raise InputTypeError(
            f"executor must be a concurrent.futures.Executor, or a function that makes one; got {executor!r}; {_REMEDY}"
        )


class Crew:
    """The workers of an executor.

    Parameters
    ----------
    executor : Executor or callable
        An executor of the interface of ``concurrent.futures``, which the caller shuts down; or a function without
        arguments that makes one. The function is called again if all workers of an executor are lost, and executors
        that it made are shut down here.
    """

    def __init__(self, executor: Workers) -> None:
        self._make = None if hasattr(executor, "submit") else executor
        self._executor: Any = executor if self._make is None else self._made()
        self._finished: queue.SimpleQueue[tuple[Hashable, Future[Any]]] = queue.SimpleQueue()
        self._calls: dict[Hashable, tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = {}
        self._failures: dict[Hashable, int] = {}
        self._remade = 0
        self._dead_since: float | None = None
        self._threads_of_cluster, self._asked = 0, -_ASKED

    def _made(self) -> Any:
        assert callable(self._make)
        made = self._make()
        if not hasattr(made, "submit"):
            raise InputTypeError(f"executor must make a concurrent.futures.Executor; it made {made!r}; {_REMEDY}")
        return made

    @property
    def workers(self) -> int | None:
        """Number of workers; None if the executor does not tell."""
        for name in ("_max_workers", "num_workers"):
            found = getattr(self._executor, name, None)
            if isinstance(found, int) and found > 0:
                return found
        client: Any = getattr(self._executor, "_client", None)
        if not hasattr(client, "nthreads"):
            return None
        # A cluster of Dask grows and shrinks, and each question to its scheduler takes a while.
        if time.monotonic() > self._asked + _ASKED:
            self._threads_of_cluster, self._asked = sum(client.nthreads().values()), time.monotonic()
        return self._threads_of_cluster or None

    @property
    def threads(self) -> int:
        """Threads of each worker: workers times threads are not more than the cores."""
        # Only pools of the standard library, and others of its kind, are known to be on this machine.
        local = getattr(self._executor, "_max_workers", None)
        return max(1, _core.build_info()["max_threads"] // local) if isinstance(local, int) and local else 1

    @property
    def room(self) -> int:
        """Calls that can be begun now: each worker has one to go on with."""
        return 2 * (self.workers or _UNKNOWN // 2) - len(self._calls)

    @property
    def in_flight(self) -> int:
        """Calls whose results have not been handed over."""
        return len(self._calls)

    def call(self, tag: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        """Begin a call; its result comes from ``next_result`` with its tag.

        Raises
        ------
        WorkersLost
            If there are no workers any more.
        """
        try:
            future = self._executor.submit(function, *arguments)
        except (BrokenExecutor, RuntimeError) as error:
            self._replace(error)
            return self.call(tag, function, *arguments)
        self._calls[tag] = (future, function, arguments)
        future.add_done_callback(lambda done: self._finished.put((tag, done)))

    def next_result(self, patience: float | None = None) -> tuple[Any, Any] | None:
        """Tag and result of the next call that ends; None if ``patience`` seconds pass before.

        Raises
        ------
        WorkersLost
            If there are no workers any more, or a call failed several times.
        InputError, InputTypeError
            As the call raised it.
        """
        waited = 0.0
        while True:
            try:
                tag, future = self._finished.get(timeout=_PATIENCE)
            except queue.Empty:
                if self._is_stuck():
                    _end(self._executor)
                    self._replace(BrokenExecutor("a worker was killed, and the pool waits for its result"))
                waited += _PATIENCE
                if patience is not None and waited >= patience:
                    return None
                continue
            self._dead_since = None
            if tag not in self._calls or self._calls[tag][0] is not future:
                continue  # of an executor that was given up
            _, function, arguments = self._calls.pop(tag)
            try:
                result = future.result()
            except (InputError, InputTypeError):
                raise
            except BrokenExecutor as error:
                self._calls[tag] = (future, function, arguments)
                self._replace(error)
            except (Exception, CancelledError) as error:
                _need_pickles(function, arguments)
                self._failures[tag] = self._failures.get(tag, 0) + 1
                if self._failures[tag] >= _TRIES:
                    raise WorkersLost(f"a task failed {_TRIES} times, {type(error).__name__}: {error}") from error
                self.call(tag, function, *arguments)
            else:
                self._remade = 0
                return tag, result

    def as_completed(
        self, function: Callable[..., Any], items: Sequence[tuple[Any, ...]]
    ) -> Generator[tuple[int, Any], None, None]:
        """Position and result of ``function(*item)`` for all items, as they come; the crew is stopped at the end.

        If the workers are lost, this process does the rest, with a RuntimeWarning.
        """
        missing, waiting = dict(enumerate(items)), enumerate(items)
        try:
            while missing:
                while self.room > 0 and (item := next(waiting, None)) is not None:
                    self.call(item[0], function, *item[1])
                ended = self.next_result()
                assert ended is not None
                del missing[ended[0]]
                yield ended
        except WorkersLost as error:
            warn_lost(error, 4)
            for i, arguments in missing.items():
                yield i, function(*arguments)
        finally:
            self.stop()

    def _is_stuck(self) -> bool:
        """Whether a worker has been dead for some seconds, and no call has failed for it.

        A worker that is killed while it sends a result leaves a part of it, and a pool of the standard library waits
        for the rest without end. A call that is made while a pool breaks can be lost.
        """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing.connection import wait

        pool = self._executor
        workers = list((pool._processes or {}).values()) if isinstance(pool, ProcessPoolExecutor) else []
        # Their exit codes are left for the pool.
        if not wait([worker.sentinel for worker in workers], timeout=0):
            self._dead_since = None
            return False
        self._dead_since = self._dead_since or time.monotonic()
        return time.monotonic() > self._dead_since + _STUCK

    def _replace(self, error: BaseException) -> None:
        """Make a new executor and begin the calls of the old one again."""
        self._remade += 1
        if self._make is None or self._remade > _EXECUTORS:
            raise WorkersLost(f"{type(error).__name__}: {error}") from error
        self._executor.shutdown(wait=False)
        self._executor, self._dead_since = self._made(), None
        lost = {
            tag: call
            for tag, call in self._calls.items()
            if not call[0].done() or call[0].cancelled() or call[0].exception()
        }
        self._calls = {tag: call for tag, call in self._calls.items() if tag not in lost}
        for tag, (_, function, arguments) in lost.items():
            self.call(tag, function, *arguments)

    def stop(self) -> None:
        """Give up all calls that have not begun; an executor that was made here is shut down."""
        for future, _, _ in self._calls.values():
            future.cancel()
        self._calls.clear()
        if self._make is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def _end(pool: Any) -> None:
    """End a pool of processes that waits for the rest of a result: without a writer, its pipe is at its end."""
    for worker in list(pool._processes.values()):
        worker.kill()
    pool._result_queue._writer.close()
    # It fails its calls now, and none of them must be cancelled meanwhile.
    pool._executor_manager_thread.join(_STUCK)


def warn_lost(error: WorkersLost, level: int) -> None:
    """Warn that this process goes on alone; ``level`` is the ``stacklevel`` of the caller's caller."""
    warnings.warn(
        f"the executor lost its workers ({error}); this process does the rest", RuntimeWarning, stacklevel=level + 1
    )


def _need_pickles(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Raise if a call that failed cannot be sent to another process."""
    try:
        pickle.dumps((function, arguments))
    except Exception as error:  # classes of users raise what they like
        raise InputError(
            f"a task cannot be sent to the workers of this executor: {error}",
            "define functions and classes in a module that the workers can import, or use a ThreadPoolExecutor",
        ) from None


def crew_of(executor: Any) -> Crew | None:
    """The workers of an argument ``executor``, checked; None if this process does the work."""
    if executor is None:
        return None
    need_workers(executor)
    return Crew(executor)


def _begin_worker() -> None:
    """Prepare a worker process: Ctrl-C is for the process that reads the results, and the worker ends with it."""
    import multiprocessing
    import os
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    # A pool does not notice that its owner was killed.
    threading.Thread(target=watch, daemon=True).start()


def local_workers(n_workers: int) -> Executor:
    """Worker processes on this machine that end with this process."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # A forked child has one thread, and inherits locks; a new interpreter is sound everywhere.
    return ProcessPoolExecutor(n_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)
