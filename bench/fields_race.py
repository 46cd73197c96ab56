"""Race of fields: sampling a reflection-positive net of 50 neurons at 32 points of space and 64 times.

``python bench/fields_race.py``. Each peer runs in its own process with its best layout, generator and chunk; runs are
interleaved, medians are compared. The two-point functions of all competitors are checked against the exact propagator.
The momenta are shared by groups of 8 paths. The last line is the peak memory for two numbers of paths.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import nnqm
from nnqm import fields
from peers.process import Worker, installed, tuned_settings

WORKER = Path(__file__).parent / "peers" / "fields_worker.py"
N_TIMES, DT, CUTOFF, SPACING, GROUP = 64, 0.1, 50.0, 0.25, 8
# (lag, point, point) of the two-point functions that are checked.
PAIRS = [(0, 0, 0), (0, 3, 5), (2, 1, 1), (3, 0, 4), (10, 6, 2)]
CHUNKS = (2, 4, 8, 16, 32, 64)


def field_of(width: int, points: int) -> fields.ReflectionPositiveNet:
    return fields.ReflectionPositiveNet(2, 1.0, width, CUTOFF, SPACING * np.arange(points), GROUP)


def job_of(field: fields.ReflectionPositiveNet, threads: int, cpu: bool) -> dict[str, Any]:
    return {
        "width": field.width,
        "points": field.positions[:, 0].tolist(),
        "cutoff": CUTOFF,
        "amplitude": float(np.sqrt(field.variance[0] / field.width)),
        "group": GROUP,
        "n_times": N_TIMES,
        "dt": DT,
        "threads": threads,
        "cpu": cpu,
        "pairs": PAIRS,
    }


def ours(field: fields.ReflectionPositiveNet, n_paths: int, seed: int, threads: int, cpu: bool) -> float:
    """Seconds of nnqm, in parts that reuse one array."""
    theory, part = nnqm.Theory(field), min(n_paths, 4096)
    out = np.empty((part, N_TIMES, field.n_inputs), np.float32)
    clock = time.process_time if cpu else time.perf_counter
    start = clock()
    for first in range(0, n_paths, part):
        paths = range(first, first + part)
        nnqm.sample_paths(theory, paths, N_TIMES, DT, rng=seed, n_threads=threads, out=out)
    return clock() - start


def check(name: str, field: fields.ReflectionPositiveNet, mean: Any, error: Any) -> None:
    """End the program if a two-point function is more than five errors off."""
    at = field.positions
    exact = [float(field.propagator(DT * lag, at[b] - at[a])) for lag, a, b in PAIRS]
    pull = np.abs(np.array(mean) - exact) / np.array(error)
    if not pull.max() < 5:
        sys.exit(f"the two-point function of {name} is off by {pull.max():.1f} errors")


def check_ours(field: fields.ReflectionPositiveNet, n_groups: int) -> None:
    phi = nnqm.sample_paths(nnqm.Theory(field), n_groups * GROUP, N_TIMES, DT, rng=7).astype(float)
    rows = np.stack([(phi[:, : N_TIMES - n, a] * phi[:, n:, b]).mean(axis=1) for n, a, b in PAIRS], axis=1)
    rows = rows.reshape(n_groups, GROUP, -1).mean(axis=1)
    check("nnqm", field, rows.mean(axis=0), rows.std(axis=0, ddof=1) / n_groups**0.5)


def race(names: list[str], toy: bool, threads: int, repeat: int, cpu: bool) -> None:
    field = field_of(5 if toy else 50, 8 if toy else 32)
    n_paths = 2048 if toy else 32_768
    check_ours(field, 256 if toy else 2048)
    job = job_of(field, threads, cpu)
    workers = {name: Worker(WORKER, name, tuned_settings()) for name in names}
    try:
        how = {}
        for name, worker in workers.items():
            checked = {**job, "check": True, "seed": 3, "chunk": 64, "chunks": 4 if toy else 32}
            for layout in worker.ready["layouts"]:
                answer = worker.run({**checked, "layout": layout})
                if "failed" not in answer:
                    check(f"{name}, {layout}", field, answer["mean"], answer["error"])
            trial = {}
            for layout, chunk in product(worker.ready["layouts"], CHUNKS[:2] if toy else CHUNKS):
                few = max(1, n_paths // (8 * GROUP * chunk))
                answer = worker.run({**job, "layout": layout, "chunk": chunk, "chunks": few, "seed": 1})
                if "seconds" in answer:
                    trial[layout, chunk] = answer["seconds"] / (few * chunk)
            if not trial:
                sys.exit(f"no layout of {name} runs: {answer['failed']}")
            how[name] = min(trial, key=trial.__getitem__)
        times: dict[str, list[float]] = {name: [] for name in ("nnqm", *names)}
        for i in range(repeat):
            times["nnqm"].append(ours(field, n_paths, i + 1, threads, cpu))
            for name, worker in workers.items():
                layout, chunk = how[name]
                of_run = {"layout": layout, "chunk": chunk, "chunks": n_paths // (GROUP * chunk), "seed": i + 1}
                times[name].append(worker.run({**job, **of_run})["seconds"])
    finally:
        for worker in workers.values():
            worker.process.kill()
    median = {name: statistics.median(t) for name, t in times.items()}
    fastest = min(names, key=median.__getitem__)
    print(f"\n{n_paths} paths of {field.width} neurons at {field.n_inputs} points of space and {N_TIMES} times")
    head = ["nnqm", *names, "fastest peer / nnqm"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    row = [f"{median['nnqm']:.3f}", *(f"{median[n]:.3f} ({how[n][0]}, {how[n][1]})" for n in names)]
    print("| " + " | ".join([*row, f"{median[fastest] / median['nnqm']:.2f} ({fastest})"]) + " |", flush=True)


def memory(toy: bool) -> None:
    """Peak memory of a process that samples fields and measures one point of them."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); import fields_race as b, nnqm; "
        "t = nnqm.Theory(b.field_of(50, 32)); "
        "few = nnqm.Measure(observables=nnqm.default_observables(t, observe=['x1']), lags=(0, 1)); "
        "nnqm.simulate(t, int(sys.argv[1]), 16, 0.1, rng=1, n_threads=2, measure=few); "
        # Peak since the program was loaded; getrusage includes the process from which it was forked.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    print("peak memory of a process that samples this many paths, MiB:", end=" ")
    peak = []
    for size in (6_400, 64_000) if toy else (64_000, 1_280_000):
        command = [sys.executable, "-c", program, str(size), str(Path(__file__).parent)]
        peak.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024)
        print(f"{size}: {peak[-1]:.0f}", end="  ", flush=True)
    print()
    if peak[1] > 1.1 * peak[0] + 8:
        sys.exit("memory grows with the number of paths")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small jobs, once; against NumPy unless peers are given")
    parser.add_argument("--peers", help="comma-separated subset of numpy, torch, jax")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor seconds, on a machine that is shared")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    chosen = installed(arguments.peers or ("numpy" if arguments.toy else "numpy,torch,jax"))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    clock = "processor" if arguments.cpu else "wall"
    print(f"nnqm {nnqm.__version__}, level {nnqm.build_info()['level']}, {arguments.threads} threads, {clock} seconds,")
    print(f"load {load}; peers:", ", ".join(f"{n} {__import__(n).__version__}" for n in chosen))
    race(chosen, arguments.toy, arguments.threads, 1 if arguments.toy else arguments.repeat, arguments.cpu)
    memory(arguments.toy)
    return 0


if __name__ == "__main__":
    sys.exit(main())
