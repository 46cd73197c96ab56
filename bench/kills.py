"""Runs that are killed: files, continuations and exit codes after kill -9, SIGTERM and Ctrl-C at random moments.

Each trial runs ``nnqm run`` without its report, or ``simulate`` with a checkpoint, in a process of its own (a fork),
which a signal stops at a random moment between its beginning and its end. Then the file is read, the same call goes on,
and its result is compared bit for bit with that of an undisturbed run. The first table has checkpoints after 0.1 s, so
that kills meet the writing of files. Then a second process aims at the file of a running one. The second table has the
default interval of a minute and kills runs after one to two minutes. The script fails if a file cannot be read, more
work is lost than the interval, a continuation differs, a temporary file stays after SIGTERM or Ctrl-C, or an exit code
is wrong.

``--toy``: a few trials of short runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Each trial has one thread.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

import nnqm
from nnqm import cli
from nnqm.report.table import Report
from nnqm.runs import checkpoints, slices

N_TIMES, DT, SEED = 32, 0.2, 5
SHORT = 0.1
# Seconds between the end of an interval and the end of the next writing, on a busy machine.
SLACK = 5.0


@dataclass
class Job:
    """One way to run; ``file`` is where an unfinished run is, ``result`` where the finished one is."""

    name: str
    n_paths: int
    codes: dict[int, int]

    @property
    def file(self) -> Path:
        return Path("three-inputs.nc.part" if self.name == "nnqm run" else "run.nc")

    @property
    def result(self) -> Path:
        return Path("three-inputs.nc" if self.name == "nnqm run" else "run.nc")

    def work(self) -> None:
        if self.name == "nnqm run":
            options = {"--paths": self.n_paths, "--times": N_TIMES, "--dt": DT, "--seed": SEED, "--threads": 1}
            words = [str(word) for option in options.items() for word in option]
            cli.main(["run", "three-inputs", *words, "--no-figure", "--no-positivity"])
        simulated(self.n_paths, checkpoint=self.file)


def simulated(n_paths: int, **settings: object) -> nnqm.Correlators:
    return nnqm.simulate(nnqm.builtin_theory("three-inputs"), n_paths, N_TIMES, DT, rng=SEED, n_threads=1, **settings)


def started(job: Job) -> int:
    """Identifier of a process that does the work in the current folder."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open("log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        # Whoever runs the bench may ignore the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.results.analyse = lambda run, **options: Report("", (), (), {})
        job.work()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@dataclass
class Tally:
    """Counts of trials of one signal."""

    trials: int = 0
    stopped: int = 0
    kept: int = 0
    corrupted: int = 0
    differing: int = 0
    wrong_codes: int = 0
    leftovers: int = 0
    oldest: float = 0.0

    def failed(self, interval: float) -> bool:
        lost = self.oldest > interval + SLACK
        return bool(self.corrupted or self.differing or self.wrong_codes or self.leftovers or lost)


def trial(job: Job, number: int, moment: float, whole: nnqm.Correlators, tally: Tally, go_on: bool = True) -> None:
    """Stop one run at a moment, check its file, and go on to the end."""
    start = time.time()
    child = started(job)
    time.sleep(moment)
    os.kill(child, number)
    stop, code = time.time(), ended(child)
    tally.trials += 1
    tally.stopped += code != 0
    expected = job.codes[number]
    tally.wrong_codes += code not in (0, expected)
    found = sorted(os.listdir())
    if number != signal.SIGKILL:
        tally.leftovers += any(name.startswith(".") and "lock" not in name for name in found)
    with contextlib.suppress(FileNotFoundError):
        begun = start
        for file in {job.file, job.result}:
            if file.exists():
                tally.corrupted += not readable(file)
                tally.kept += code != 0
                begun = max(begun, file.stat().st_mtime)
        if number == signal.SIGKILL and code != 0:
            tally.oldest = max(tally.oldest, stop - begun)
    if go_on:
        left = set(os.listdir())
        again = ended(started(job))
        tally.wrong_codes += again != 0
        tally.differing += again != 0 or nnqm.load(job.result) != whole
        if strange := set(os.listdir()) - {"log", job.result.name}:
            tally.leftovers += 1
            print(f"left: {sorted(strange)}, of {sorted(left)}")


def readable(file: Path) -> bool:
    try:
        return int(nnqm.load(file).block_paths.sum()) > 0
    except nnqm.errors.InputError as error:
        print(f"corrupted: {error}")
        return False


def table(jobs: list[Job], counts: dict[int, int], whole: nnqm.Correlators, rng: np.random.Generator) -> bool:
    """Trials with checkpoints after a short time; whether all is right."""
    checkpoints._INTERVAL, slices.SLICE = SHORT, SHORT / 4
    print("| run | signal | trials | stopped before the end | with a file | corrupted | continuations that differ "
          "| wrong exit codes | leftovers | oldest file (s) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    right = True
    for job in jobs:
        with folder():
            start = time.time()
            right &= ended(started(job)) == 0 and nnqm.load(job.result) == whole
            seconds = time.time() - start
        for number, count in counts.items():
            tally = Tally()
            for moment in rng.uniform(0.0, seconds, count):
                with folder():
                    trial(job, number, moment, whole, tally)
            print(f"| {job.name} | {signal.Signals(number).name} | {tally.trials} | {tally.stopped} | {tally.kept} "
                  f"| {tally.corrupted} | {tally.differing} | {tally.wrong_codes} | {tally.leftovers} "
                  f"| {tally.oldest:.2f} |", flush=True)  # fmt: skip
            right &= not tally.failed(SHORT)
    return right


def by_the_minute(jobs: list[Job], rng: np.random.Generator) -> bool:
    """Kill long runs with the default interval; whether their files are at most a minute old."""
    checkpoints._INTERVAL, slices.SLICE = 60.0, 0.2
    right = True
    print("\n| run | killed after (s) | age of the file (s) | paths in it |\n|---|---|---|---|")
    for job in jobs:
        for moment in rng.uniform(62.0, 120.0, 1):
            with folder():
                tally = Tally()
                long = Job(job.name, 10**12, job.codes)
                trial(long, signal.SIGKILL, moment, None, tally, go_on=False)
                held = int(nnqm.load(job.file).block_paths.sum()) if job.file.exists() else 0
                print(f"| {job.name} | {moment:.0f} | {tally.oldest:.1f} | {held} |", flush=True)
                right &= held > 0 and not tally.failed(60.0)
    return right


def second_process(jobs: list[Job]) -> bool:
    """Whether a second process on the same file is told, and the first one is not disturbed."""
    right = True
    for job in jobs:
        with folder():
            long = Job(job.name, 10**12, job.codes)
            child = started(long)
            until(lambda file=long.file: file.exists())
            code = ended(started(long))
            told = f"is written by process {child} on" in Path("log").read_text()
            os.kill(child, signal.SIGTERM)
            right &= told and code == (2 if job.name == "nnqm run" else 1)
            right &= ended(child) == job.codes[signal.SIGTERM] and readable(long.file)
            print(f"{job.name}: a second process {'is told' if told else 'IS NOT TOLD'}")
    return right


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


@contextlib.contextmanager
def folder():
    """An empty folder as the current one."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    toy = parser.parse_args().toy
    if not hasattr(os, "fork"):
        print("this system has no signals of POSIX")
        return
    n_paths = 10_000 if toy else 40_000
    terminated = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}
    jobs = [
        Job("nnqm run", n_paths, {**terminated, signal.SIGTERM: 143}),
        Job("simulate", n_paths, {**terminated, signal.SIGTERM: -signal.SIGTERM}),
    ]
    counts = {signal.SIGKILL: 1 if toy else 25, signal.SIGTERM: 0 if toy else 15, signal.SIGINT: 0 if toy else 15}
    rng = np.random.default_rng(1)
    whole = simulated(n_paths)
    with folder():
        # Modules that each process would import.
        nnqm.save(whole, "run.nc")
    right = table(jobs, counts, whole, rng)
    print()
    right &= second_process(jobs[:1] if toy else jobs)
    if not toy:
        right &= by_the_minute(jobs, rng)
    sys.exit(0 if right else "FAILED")


if __name__ == "__main__":
    main()
