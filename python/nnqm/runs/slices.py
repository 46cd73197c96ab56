"""The slices of work that bring the blocks of a run forward, and their execution in this process."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._signals import HeldSignals
from ..sampling.correlators import Correlators
from ..sampling.run_settings import TILE, measure_of
from ..theories.networks import RandomNetwork

__all__: list[str] = []

# Seconds of one call to the core, between which Ctrl-C is heard and progress is told.
SLICE = 0.2


def units_left(run: Correlators, sums: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Units of tiles that the blocks held have and shall have; blocks that must begin again are emptied.

    Paths that share weights stay in one block: a tile, or as many as a group takes, is the unit that is dealt out.
    """
    unit = max(TILE, run.group)
    index = run.first_block + np.arange(len(sums["paths"]))
    wanted = np.maximum(0, -(-(-(-run.n_paths // unit) - index) // run.n_blocks))
    # A block whose last tile was cut short is done again: its sums cannot be undone.
    begun = np.flatnonzero((sums["paths"] % unit != 0) & (sums["paths"] < paths_wanted(run, index)))
    if begun.size:
        with HeldSignals():
            for name, array in sums.items():
                array[begun] = -1 if name == "first_bad" else 0
    return -(-sums["paths"] // unit), wanted


def in_process(run: Correlators, sums: dict[str, NDArray[Any]], n_threads: int) -> Generator[None, None, None]:
    """Add to the sums of the blocks held until they have run.n_paths, slice by slice on the threads of this process."""
    assert run.theory is not None
    theory, measure = run.theory._compiled(run.times, run.precision if run.compiled else None), measure_of(run)
    done, wanted = units_left(run, sums)
    threads = n_threads or _core.build_info()["max_threads"]
    per_second = 0.0
    for where, tile, last in open_slices(done, wanted):
        blocks = where.stop - where.start
        rounds, part = last - tile, blocks
        # Tiles for one slice of time: whole rounds while they are short, some blocks of one round otherwise.
        tiles = max(threads, first_tiles(run) * TILE // max(TILE, run.group))
        affordable = max(1, int(per_second * SLICE)) if per_second else tiles
        rounds = max(1, min(rounds, affordable // blocks))
        if rounds == 1:
            part = max(1, min(blocks, affordable))
            # No thread waits for the last of a slice while there are others.
            part -= part % threads if threads < part < blocks else 0
        stop = where.start + part
        start = time.perf_counter()
        _core.advance(
            theory=theory,
            measure=measure,
            key=run.keys[0],
            times=run.times,
            n_paths=run.n_paths,
            n_blocks=run.n_blocks,
            precision=run.precision,
            n_threads=n_threads,
            blocks=(run.first_block + where.start, run.first_block + stop),
            rounds=(tile, tile + rounds),
            first_block=run.first_block,
            sums=sums,
        )
        per_second = part * rounds / max(time.perf_counter() - start, 1e-6)
        done[where.start : stop] += rounds
        yield


def open_slices(done: NDArray[np.int64], wanted: NDArray[np.int64]) -> Iterator[tuple[slice, int, int]]:
    """Adjacent blocks that stand at the same unit of tiles, and the units they lack; fewest first."""
    while True:
        open_blocks = np.flatnonzero(done < wanted)
        if open_blocks.size == 0:
            return
        tile = done[open_blocks].min()
        begin = int(open_blocks[done[open_blocks] == tile][0])
        end = begin
        while end < len(done) and done[end] == tile and wanted[end] > tile:
            end += 1
        ahead = done[done > tile]
        limit = min(int(wanted[begin:end].min()), int(ahead.min()) if ahead.size else 2**62)
        yield slice(begin, end), int(tile), limit


def first_tiles(run: Correlators) -> int:
    """Tiles of the first slice, before the speed is known, which then holds all of a short run."""
    assert run.theory is not None
    # In multiplications of a matrix product, at some 1e10 a second on any processor: an activation takes
    # about 25 of them, a look-up in a table 40, a draw up to 200.
    widths = () if run.theory.network is None else run.theory.network.widths
    forward = 40.0 if run.compiled else sum((a + 25) * b for a, b in pairwise(widths))
    if isinstance(run.theory.network, RandomNetwork):
        forward += 200 * sum((a + 1) * b for a, b in pairwise(widths)) / run.n_times
        if (training := run.theory.network.training) is not None:
            # Values, deltas and gradients at all points, for each network once.
            steps = 3 * training.steps * len(training.points) / (run.group * run.n_times)
            forward += steps * sum((a + 25) * b for a, b in pairwise(widths))
    products = 2 * len(run.observable_lags) * run.observables.size**2
    sources = sum(s.work for s in run.theory.sources)
    pairs = 0 if run.two_time is None else run.n_times
    tiles = max(1, int(1e10 * SLICE / (TILE * run.n_times * (50 + sources + forward + products + pairs))))
    # The cost of other processes depends on how they are sampled.
    return tiles if run.theory.all_oscillators else min(16, tiles)


def paths_wanted(run: Correlators, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Paths of each block once the run is complete."""
    unit = max(TILE, run.group)
    full, rest = divmod(run.n_paths, unit)
    whole = np.maximum(0, -(-(full - index) // run.n_blocks)) * unit
    return whole + np.where(full % run.n_blocks == index, rest, 0)
