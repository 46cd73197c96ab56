"""A run on the workers of an executor: slices are computed there and put together here, block by block in order."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._signals import HeldSignals
from ..errors import InputError
from ..sampling.correlators import Correlators
from ..sampling.run_settings import TILE, build_facts, empty_sums, measure_of
from .crew import Crew, Workers, WorkersLost, warn_lost
from .slices import SLICE, first_tiles, in_process, units_left

__all__ = ["Engine"]

# Seconds of one task on a worker, long beside the cost of sending it, short beside the time of losing it.
TASK = 1.0
# A task is at most this part of the work that is left for its worker, so that all workers end together.
_SHARE = 4
# Runs that a worker keeps ready.
_KEPT = 4
# Seconds that the end waits after Ctrl-C for tasks that are nearly done.
_GRACE = 0.3

Sums = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Ready:
    """A run as a worker needs it, with what is made from it once."""

    run: Correlators
    theory: Any
    measure: Any

    @classmethod
    def of(cls, run: Correlators) -> _Ready:
        assert run.theory is not None
        table = run.precision if run.compiled else None
        return cls(run, run.theory._compiled(run.times, table), measure_of(run))


@dataclass(frozen=True)
class _Piece:
    """Some rounds of some blocks of a run of ``n_paths``: blocks first .. last - 1, rounds begin .. end - 1."""

    name: str
    first: int
    last: int
    begin: int
    end: int
    n_paths: int
    n_threads: int


@dataclass(frozen=True)
class _Refusal:
    """A worker that cannot give the same bits."""

    host: str
    version: str
    map_version: int
    level: str
    levels: tuple[str, ...]


# Runs of this process by name, for workers that are its threads or were forked from it; and runs that a worker has.
_own: dict[str, Correlators] = {}
_ready: dict[str, _Ready] = {}


def _task(
    piece: _Piece, facts: dict[str, Any], sums: Sums | None, sent: bytes | None
) -> tuple[Sums, float] | _Refusal | None:
    """On a worker: the sums of some blocks, brought forward, and seconds; None if the run has not been sent."""
    refusal = _refusal(facts)
    if refusal is not None:
        return refusal
    ready = _ready.get(piece.name)
    if ready is None:
        known = _own.get(piece.name) or (None if sent is None else pickle.loads(sent))
        if known is None:
            return None
        ready = _Ready.of(known)
        while len(_ready) >= _KEPT:
            _ready.pop(next(iter(_ready)), None)
        _ready[piece.name] = ready
    run = ready.run
    # The given ones may be the caller's, or read-only; a task that is repeated begins from the same.
    count = piece.last - piece.first
    held = empty_sums(run, count) if sums is None else {name: array.copy() for name, array in sums.items()}
    start = time.perf_counter()
    _core.advance(
        theory=ready.theory,
        measure=ready.measure,
        key=run.keys[0],
        times=run.times,
        n_paths=piece.n_paths,
        n_blocks=run.n_blocks,
        precision=run.precision,
        n_threads=piece.n_threads,
        blocks=(piece.first, piece.last),
        rounds=(piece.begin, piece.end),
        first_block=piece.first,
        sums=held,
    )
    return held, time.perf_counter() - start


def _refusal(facts: dict[str, Any]) -> _Refusal | None:
    """Facts of this process if its bits are others; a worker that has not computed yet takes the level of the run."""
    follows = "NNQM_LEVEL" not in os.environ and os.getpid() != facts["pid"]
    if follows:
        os.environ["NNQM_LEVEL"] = facts["level"]
    try:
        info = _core.build_info()
    except ValueError:
        if not follows:
            raise
        del os.environ["NNQM_LEVEL"]  # this processor does not have the level
        info = _core.build_info()
    found = (info["version"], _core.random_map_version, info["level"])
    if found == (facts["version"], facts["map_version"], facts["level"]):
        return None
    return _Refusal(socket.gethostname(), *found, tuple(info["levels"]))


class _Blocks:
    """The blocks of a run: their sums, their units of tiles, present and wanted, and which are being worked on."""

    def __init__(self, run: Correlators, sums: Sums) -> None:
        self.run, self.sums = run, sums
        self._done, self._wanted = units_left(run, sums)
        self._busy = np.zeros(len(self._done), dtype=bool)

    @property
    def left(self) -> int:
        """Units that are missing."""
        return int((self._wanted - self._done).sum())

    def next_piece(self, name: str, units: int, n_threads: int) -> _Piece | None:
        """The piece of about some units that is computed next, of the free blocks that have the fewest."""
        done, wanted = self._done, self._wanted
        free = np.flatnonzero((done < wanted) & ~self._busy)
        if free.size == 0:
            return None
        tile = int(done[free].min())
        begin = int(free[done[free] == tile][0])
        # Few blocks and many rounds: little is sent. Each thread needs a block of its own.
        most = begin + max(n_threads, units // int(wanted[begin] - tile))
        end = begin
        while end < min(most, len(done)) and not self._busy[end] and done[end] == tile and wanted[end] > tile:
            end += 1
        rounds = min(max(1, units // (end - begin)), int(wanted[begin:end].min()) - tile)
        self._busy[begin:end] = True
        first = self.run.first_block
        return _Piece(name, first + begin, first + end, tile, tile + rounds, self.run.n_paths, n_threads)

    def sums_of(self, piece: _Piece) -> Sums | None:
        """The sums of the blocks of a piece, which do not change while it is computed; None while they are empty."""
        return None if piece.begin == 0 else {name: array[self._where(piece)] for name, array in self.sums.items()}

    def take(self, piece: _Piece, found: Sums) -> None:
        """Put the sums of a finished piece in their place."""
        where = self._where(piece)
        # Ctrl-C between two arrays would leave blocks whose sums are of different numbers of paths.
        with HeldSignals():
            for name, array in self.sums.items():
                array[where] = found[name]
            self._done[where] = piece.end
            self._busy[where] = False

    def _where(self, piece: _Piece) -> slice:
        return slice(piece.first - self.run.first_block, piece.last - self.run.first_block)


class Engine:
    """Advances runs on the workers of an executor; the bits are the ones of this process alone.

    Each task brings adjacent blocks forward by some rounds of tiles, from the sums that they have. No two tasks work on
    one block at the same time, so that each block adds up its tiles in their order, wherever they are computed and
    however often a task is repeated.

    Parameters
    ----------
    executor : Executor or callable
        As for ``Crew``.
    n_threads : int
        Threads of each task; 0: cores divided by workers for pools on this machine, 1 for others.
    """

    def __init__(self, executor: Workers, n_threads: int) -> None:
        self._crew = Crew(executor)
        self._n_threads = n_threads or self._crew.threads
        self._name = os.urandom(8).hex()
        self._facts = {**build_facts(), "map_version": _core.random_map_version, "pid": os.getpid()}
        self._per_second = 0.0
        self._sent: bytes | None = None

    def stop(self) -> None:
        """Give up what has not begun."""
        self._crew.stop()
        _own.pop(self._name, None)
        _ready.pop(self._name, None)

    def advance(self, run: Correlators, sums: Sums) -> Generator[None, None, None]:
        """Add to the sums of the blocks held until they have run.n_paths; a step is one task.

        Raises
        ------
        InputError
            If a worker has another version or instruction set, or the theory cannot be sent to it.
        """
        _own[self._name] = replace(run, sums={})
        try:
            yield from self._tasks(_Blocks(run, sums))
        except WorkersLost as error:
            warn_lost(error, 4)
            yield from in_process(run, sums, 0)

    def _tasks(self, blocks: _Blocks) -> Generator[None, None, None]:
        try:
            while True:
                while self._crew.room > 0 and (piece := self._next(blocks)) is not None:
                    self._crew.call(piece, _task, piece, self._facts, blocks.sums_of(piece), None)
                if not self._crew.in_flight:
                    return
                # Signals and progress are not kept waiting for a task.
                ended = self._crew.next_result(patience=SLICE)
                if ended is None or self._received(blocks, *ended):
                    yield
        except KeyboardInterrupt:
            end = time.monotonic() + _GRACE
            with suppress(WorkersLost, InputError):
                while self._crew.in_flight and (left := end - time.monotonic()) > 0:
                    ended = self._crew.next_result(patience=left)
                    if ended is not None and isinstance(ended[1], tuple):
                        self._received(blocks, *ended)
            raise

    def _next(self, blocks: _Blocks) -> _Piece | None:
        run = blocks.run
        speed = self._per_second or TASK / SLICE * max(1, first_tiles(run) * TILE // max(TILE, run.group))
        workers = self._crew.workers or self._crew.in_flight + 1
        units = max(1, min(int(TASK * speed), blocks.left // (_SHARE * workers)))
        return blocks.next_piece(self._name, units, self._n_threads)

    def _received(self, blocks: _Blocks, piece: _Piece, result: Any) -> bool:
        """Take the result of a piece; whether it has sums."""
        if isinstance(result, _Refusal):
            raise InputError(_disagreement(self._facts, result))
        if result is None:
            self._crew.call(piece, _task, piece, self._facts, blocks.sums_of(piece), self._pickled(blocks.run))
            return False
        found, seconds = result
        blocks.take(piece, found)
        speed = (piece.last - piece.first) * (piece.end - piece.begin) / max(seconds, 1e-6)
        # Workers differ, and so do moments of one worker.
        self._per_second = speed if not self._per_second else 0.7 * self._per_second + 0.3 * speed
        return True

    def _pickled(self, run: Correlators) -> bytes:
        if self._sent is None:
            try:
                self._sent = pickle.dumps(replace(run, sums={}))
            except Exception as error:  # classes of users raise what they like
                raise InputError(
                    f"the theory cannot be sent to the workers of this executor: {error}",
                    "define its functions and classes in a module that the workers can import, or use a "
                    "ThreadPoolExecutor",
                ) from None
        return self._sent


def _disagreement(facts: dict[str, Any], other: _Refusal) -> str:
    """Message about a worker that cannot give the bits of this process."""
    if (other.version, other.map_version) != (facts["version"], facts["map_version"]):
        return (
            f"worker {other.host} has nnqm {other.version} with version {other.map_version} of the random-number map, "
            f"this process {facts['version']} with {facts['map_version']}; install the same version for the same bits"
        )
    both = [level for level in _core.build_info()["levels"] if level in other.levels]
    remedy = f"set NNQM_LEVEL={both[-1]} for this process" if both else "use machines of one kind"
    return (
        f"worker {other.host} computes at instruction-set level {other.level}, this process at {facts['level']}, and "
        f"the bits would differ; {remedy} and start the workers again: they take its level"
    )
