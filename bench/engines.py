"""Runs on workers: cost of the engine, strong scaling, sizes of messages, and a plan for 1e12 paths on 1,000 nodes.

One worker process against this process with one thread gives the cost of the engine; two against one give the scaling.
Runs are interleaved and medians of wall time are compared. All runs must have the same bits. ``--toy``: small runs.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

# Idle threads of OpenBLAS occupy cores that the workers need.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import nnqm
from nnqm.runs import engines
from nnqm.runs.crew import local_workers

N_TIMES, DT = 256, 0.2
THEORIES = ("oscillator", "deep-tanh", "anharmonic")
# The plan: nodes, cores of each, paths.
NODES, CORES, PATHS = 1000, 64, 10**12


class Recorded(Executor):
    """The workers of another executor, with the sizes of messages and the seconds of tasks."""

    def __init__(self, pool: Executor, workers: int) -> None:
        self.pool, self.num_workers = pool, workers
        self.sent: list[int] = []
        self.received: list[int] = []
        self.seconds: list[float] = []

    def submit(self, function, /, *arguments):
        self.sent.append(len(pickle.dumps((function, arguments))))
        future = self.pool.submit(function, *arguments)
        future.add_done_callback(self._note)
        return future

    def _note(self, future) -> None:
        result = future.result()
        if isinstance(result, tuple):
            self.received.append(len(pickle.dumps(result)))
            self.seconds.append(result[1])


def simulated(name: str, n_paths: int, **settings) -> nnqm.Correlators:
    return nnqm.simulate(nnqm.builtin_theory(name), n_paths, N_TIMES, DT, rng=1, n_threads=1, **settings)


def timed(work: Callable[[], nnqm.Correlators]) -> tuple[float, nnqm.Correlators]:
    start = time.perf_counter()
    run = work()
    return time.perf_counter() - start, run


def race(name: str, n_paths: int, repeats: int) -> tuple[list[float], list[float], list[float]]:
    """Wall seconds of this process, of one worker and of two, interleaved."""
    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    with local_workers(1) as one, local_workers(2) as two:
        for pool in (one, two):
            simulated(name, 64 * 128, executor=pool)
        for _ in range(repeats):
            runs = []
            for k, pool in enumerate((None, one, two)):
                seconds, run = timed(lambda pool=pool: simulated(name, n_paths, executor=pool))
                found[k].append(seconds)
                runs.append(run)
            if not runs[0] == runs[1] == runs[2]:
                raise SystemExit("the bits differ")
    return found


def messages(name: str, n_paths: int) -> dict[str, float]:
    """Bytes and seconds of the tasks of a run on two workers, and the time of taking in the sums of a block."""
    with local_workers(2) as pool:
        simulated(name, 64 * 128, executor=pool)
        recorded = Recorded(pool, 2)
        run = simulated(name, n_paths, executor=recorded)
    theory = len(pickle.dumps(replace(run, sums={})))
    parts = [simulated(name, 64 * 128, blocks=range(b, b + 1)) for b in range(128)]
    merging, whole = timed(lambda: nnqm.merge(parts))
    if whole != simulated(name, 64 * 128):
        raise SystemExit("merged bits differ")
    return {
        "tasks": len(recorded.seconds),
        "seconds": statistics.median(recorded.seconds),
        "theory": theory,
        "sums": len(pickle.dumps({n: a[:1] for n, a in run.sums.items()})),
        "sent": statistics.median(recorded.sent),
        "received": statistics.median(recorded.received),
        "merge": merging / 128,
        "per_second": n_paths / sum(recorded.seconds),
    }


def plan(name: str, m: dict[str, float]) -> list[str]:
    """Lines of the plan for many nodes, from measured numbers."""
    workers = NODES * CORES
    hours = PATHS / m["per_second"] / workers / 3600
    blocks = 2 * workers
    tasks_per_second = workers / engines.TASK
    return [
        f"- {name}: {m['per_second']:,.0f} paths per second and core, so that {PATHS:.0e} paths take {hours:.2g} hours "
        f"on {NODES:,} nodes of {CORES} cores.",
        f"  - One executor for all: {blocks:,} blocks (n_blocks), tasks of {engines.TASK:g} s, {tasks_per_second:,.0f} "
        f"results a second of {m['sums'] / 1e3:.3g} kB each way: {2 * tasks_per_second * m['sums'] / 1e9:.3g} GB/s at "
        "one process, which is too much: use job arrays.",
        f"  - A job array of {NODES:,} jobs, each with --blocks of its own on its {CORES} cores: {CORES * 2} blocks a "
        f"job, {2 * CORES * NODES:,} in all, files of {2 * CORES * m['sums'] / 1e6:.3g} MB, "
        f"{blocks * m['sums'] / 1e9:.3g} GB together; merging takes {blocks * m['merge']:.3g} s.",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small runs")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    repeats, scale = (1, 64 * 256) if arguments.toy else (arguments.repeats, 1 << 19)
    info = nnqm.build_info()
    print(
        f"nnqm {nnqm.__version__}, level {info['level']}, {os.cpu_count()} processors, {N_TIMES} times, {scale:,} paths"
    )
    names = THEORIES[:1] if arguments.toy else THEORIES
    print("| theory | here, 1 thread (s) | 1 worker | 2 workers | cost of the engine | 2 workers against 1 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name in names:
        here, one, two = race(name, scale, repeats)
        cost = statistics.median(b / a for a, b in zip(here, one, strict=True)) - 1
        gain = statistics.median(a / b for a, b in zip(one, two, strict=True))
        seconds = [statistics.median(s) for s in (here, one, two)]
        print(
            f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} | {seconds[2]:.2f} | {cost:+.1%} | {gain:.2f} |",
            flush=True,
        )
    print(
        "\n| theory | tasks | seconds of a task | theory (kB), once | sums of a block (kB) | message out, back (kB) |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    plans = []
    for name in names:
        m = messages(name, scale)
        print(
            f"| {name} | {m['tasks']} | {m['seconds']:.2f} | {m['theory'] / 1e3:.1f} | {m['sums'] / 1e3:.1f} | "
            f"{m['sent'] / 1e3:.1f}, {m['received'] / 1e3:.1f} |",
            flush=True,
        )
        plans += plan(name, m)
    print("\nPlan, from these numbers:\n")
    print("\n".join(plans))
    with ThreadPoolExecutor(2) as pool:
        if simulated("oscillator", 64 * 128, executor=pool) != simulated("oscillator", 64 * 128):
            raise SystemExit("the bits of threads differ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
