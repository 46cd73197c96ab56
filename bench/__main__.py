"""Benchmarks against tuned NumPy, PyTorch and JAX, and scaling of the cost: ``python -m bench`` in the repository root.

A job computes C[T,T] and C[lag] with block errors from a seed (for the correlator matrix, its block sums). Each peer
runs in its own process on the same number of threads, with the chunk size that is fastest for it on this job. Runs
are interleaved and medians are compared. All results are checked, against exact values where they exist and against
nnqm otherwise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

# The same for all peers: idle threads of OpenBLAS occupy cores that the other processes need.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import nnqm
from learning import races
from peers.process import Worker, installed, tuned_settings

DT, N_TIMES = 0.2, 256
LAGS = (0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45)
WORKER = Path(__file__).parent / "peers" / "worker.py"


class Peer(Worker):
    """A worker process, and its fastest chunk size for each case."""

    def __init__(self, name: str) -> None:
        super().__init__(WORKER, name, tuned_settings())

    def tune(self, job: dict[str, Any]) -> int:
        per_block = job["n_paths"] // job["n_blocks"]
        sizes = [n for n in (64, 96, 200, 320, 500, 800) if per_block % n == 0] or [per_block]
        trial = {}
        for n in sizes:
            # JAX compiles in the first run.
            trial[n] = min(self.run({**job, "chunk": n})["seconds"] for _ in range(2 if self.name == "jax" else 1))
        return min(trial, key=trial.__getitem__)


class Case:
    """A job of the table: the run of nnqm, the job for the peers, and the check of the results."""

    clock = staticmethod(time.perf_counter)

    def __init__(
        self,
        name: str,
        kind: str,
        n_paths: int,
        widths: tuple[int, ...] = (),
        compiled: bool = False,
        lags: tuple[int, ...] = LAGS,
    ) -> None:
        self.name, self.kind, self.n_paths, self.widths, self.compiled = name, kind, n_paths, widths, compiled
        self.lags = (1, 2, 3) if kind == "matrix" else lags
        self.n_blocks = min(50 if kind == "matrix" else 32, n_paths // 128)
        process = nnqm.OrnsteinUhlenbeck(1.0)
        network: nnqm.Network | nnqm.RandomNetwork | None = None
        if kind == "network":
            network = nnqm.Network.random(widths, "tanh", rng=1, weight_std=1.0, bias_std=0.5)
        if kind == "own":
            network = nnqm.RandomNetwork(widths, "tanh", weight_std=1.0)
        self.theory = nnqm.Theory(process, network)
        self.network = network
        self.observables = nnqm.default_observables(self.theory)
        if network is not None:
            # Sums of the output alone, as for the peers.
            o = nnqm.default_observables(((0.0,), (1.0,), ("x",)), order=1, neurons=0)
            shift, scale = self.observables.shift[:1], self.observables.scale[:1]
            self.observables = replace(o, columns=(1,), shift=shift, scale=scale)
        self.store: dict[str, np.ndarray] = {}

    def job(self, seed: int, threads: int) -> dict[str, Any]:
        job: dict[str, Any] = {
            "kind": self.kind,
            "n_paths": self.n_paths,
            "n_times": N_TIMES,
            "n_blocks": self.n_blocks,
        }
        job |= {"dt": DT, "seed": seed, "threads": threads, "lags": self.lags, "widths": self.widths}
        job["cpu"] = self.clock is time.process_time
        if isinstance(self.network, nnqm.Network):
            job["weights"] = [w.tolist() for w in self.network.weights]
            job["biases"] = [b.tolist() for b in self.network.biases]
        if self.kind == "matrix":
            o = self.observables
            job |= {"orders": int(o.orders[0]), "neurons": np.ravel(o.weights).tolist()}
            job["neuron_biases"] = np.ravel(o.biases).tolist()
        return job

    def ours(self, seed: int, threads: int, precision: str = "float32") -> dict[str, Any]:
        start = self.clock()
        if self.kind == "ou":
            # Allocated once, as for the peers, so that page faults are not timed.
            if precision not in self.store:
                self.store[precision] = np.ones((self.n_paths, N_TIMES, 1), precision)
            y = self.store[precision]
            start = self.clock()
            nnqm.sample_paths(
                self.theory, self.n_paths, N_TIMES, DT, rng=seed, precision=precision, n_threads=threads, out=y
            )
            seconds = self.clock() - start
            y = y[..., 0].astype(np.float64)
            return {"seconds": seconds, "value": [(y**2).mean(), (y[:, 1:] * y[:, :-1]).mean()]}
        matrix = self.kind == "matrix"
        run = nnqm.simulate(
            self.theory,
            self.n_paths,
            N_TIMES,
            DT,
            rng=seed,
            precision=precision,
            n_threads=threads,
            n_blocks=self.n_blocks,
            compiled=self.compiled if self.kind == "network" else None,
            measure=nnqm.Measure(
                observables=self.observables,
                lags=() if matrix else self.lags,
                observable_lags=self.lags if matrix else (),
                increment_lags=(),
                two_time=not matrix,
            ),
        )
        if matrix:
            sums = run.sums["observable_lags"].sum(0)
            mean = sums[:, 1] / (2 * sums[:, 1, :1, :1])
            return {"seconds": self.clock() - start, "value": mean[0].diagonal()}
        # Random weights have a plateau that only groups subtract; as for the peers, the mean over all is subtracted.
        two_point, mean = run.two_point("x"), run.mean("x")
        full = run.two_time_function()
        assert full.error.shape == (N_TIMES, N_TIMES)
        value = two_point.value - mean.value**2
        return {"seconds": self.clock() - start, "value": value, "error": two_point.error}

    def check(self, who: str, answer: dict[str, Any], reference: dict[str, Any]) -> None:
        value = np.asarray(answer["value"])
        if self.kind in ("network", "own"):
            error = np.hypot(answer["error"], reference["error"])
            if isinstance(self.network, nnqm.Network):
                expected, error = (
                    nnqm.kallen_lehmann(self.theory).connected(np.array(self.lags) * DT),
                    np.asarray(answer["error"]),
                )
            else:
                expected = np.asarray(reference["value"])
            wrong = np.abs(value - expected).max() > 7 * error.max()
        elif self.kind == "ou":
            wrong = np.abs(value - 0.5 * np.exp(-DT * np.arange(2))).max() > 10 / np.sqrt(self.n_paths * N_TIMES * DT)
        else:
            # Only powers are compared, because nnqm centres the neurons and the peers do not.
            n = int(self.observables.orders[0]) + 1
            expected = np.asarray(reference["value"])[:n]
            wrong = np.abs(value[:n] / expected - 1).max() > 0.25
        if wrong:
            sys.exit(f"{self.name}: the answer of {who} is wrong: {value}")


def cases(toy: bool) -> list[Case]:
    size = 32 if toy else 1
    network = [
        Case("1-16-1 direct", "network", 102_400 // size, (1, 16, 1)),
        Case("1-16-1 compiled", "network", 102_400 // size, (1, 16, 1), True),
        Case("1-16-1 direct, all lags", "network", 102_400 // size, (1, 16, 1), lags=tuple(range(N_TIMES))),
        Case("1-64-64-1 direct", "network", 20_480 // size, (1, 64, 64, 1)),
        Case("1-64-64-1 compiled", "network", 20_480 // size, (1, 64, 64, 1), True),
        Case("1-128-128-128-1 direct", "network", 6_144 // (8 if toy else 1), (1, 128, 128, 128, 1)),
        Case("1-128-128-128-1 compiled", "network", 6_144 // (8 if toy else 1), (1, 128, 128, 128, 1), True),
    ]
    return [
        *network,
        Case("own weights 1-64-1", "own", 20_480 // size, (1, 64, 1)),
        Case("own weights 1-32-32-1", "own", 20_480 // size, (1, 32, 32, 1)),
        Case("OU paths, materialised", "ou", 102_400 // size),
        Case("correlator matrix, 3 lags", "matrix", 3_200 if toy else 100_000),
    ]


def race(todo: list[Case], peers: list[Peer], threads: int, repeat: int) -> None:
    limit = max(peer.run({"kind": "gemm"})["rate"] for peer in peers)
    print(f"\nLimit of one thread in practice (OpenBLAS sgemm): {2e-9 * limit:.0f} GFLOP/s float32")
    names = [p.name for p in peers]
    head = ["case", "N x T", "nnqm s", *(f"{n} s" for n in names), "ratio", "of limit", "1 thread", "float64"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for case in todo:
        chunk = {p.name: p.tune(case.job(1, threads)) for p in peers}
        times: dict[str, list[float]] = {n: [] for n in ("nnqm", "one", "double", *names)}
        for i in range(repeat):
            ours = case.ours(i + 1, threads)
            case.check("nnqm", ours, ours)
            times["nnqm"].append(ours["seconds"])
            for peer in peers:
                answer = peer.run({**case.job(i + 1, threads), "chunk": chunk[peer.name]})
                case.check(peer.name, answer, ours)
                times[peer.name].append(answer["seconds"])
            times["one"].append(case.ours(i + 1, 1)["seconds"])
            times["double"].append(case.ours(i + 1, threads, "float64")["seconds"])
        median = {n: statistics.median(t) for n, t in times.items()}
        best = min(names, key=median.__getitem__)
        products = sum(a * b for a, b in pairwise(case.widths)) * case.n_paths * N_TIMES
        share = f"{products / (median['nnqm'] * limit * threads):.0%}" if products and not case.compiled else ""
        row = [case.name, f"{case.n_paths} x {N_TIMES}", f"{median['nnqm']:.3f}"]
        row += [f"{median[n]:.3f} ({chunk[n]})" for n in names]
        row += [f"{median[best] / median['nnqm']:.2f} ({best})", share]
        row += [f"{median['one'] / median['nnqm']:.2f}x", f"{median['double'] / median['nnqm']:.2f}x"]
        print("| " + " | ".join(row) + " |", flush=True)


def seconds_of(job: Callable[[], Any], repeat: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        job()
        return time.perf_counter() - start

    return min(once() for _ in range(repeat))


def scaling(toy: bool, repeat: int) -> None:
    """Speed-up from one to two threads, cost against paths and times, memory against paths."""
    network = nnqm.Network.random((1, 64, 64, 1), "tanh", rng=1, weight_std=1.0, bias_std=0.5)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    options: dict[str, Any] = {
        "rng": 1,
        "measure": nnqm.Measure(lags=LAGS, observable_lags=(), increment_lags=()),
        "compiled": False,
    }

    def direct(threads: int) -> Any:
        return nnqm.simulate(theory, 640 if toy else 20_480, N_TIMES, DT, n_threads=threads, **options)

    with ThreadPoolExecutor(2) as pool:
        jobs: list[Callable[[], Any]] = [lambda: direct(1), lambda: direct(2), lambda: list(pool.map(direct, (1, 1)))]
        seconds = np.array([[seconds_of(job, 1) for job in jobs] for _ in range(repeat)])
    one, two, apart = np.median(seconds, axis=0)
    print(f"\n1-64-64-1 direct, 1 to 2 threads: {one / two:.2f} times the work in a given time; ", end="")
    print(f"two calls of one thread each, side by side: {2 * one / apart:.2f} times")
    # The number of points is the same for all numbers of times, so that the fixed cost of a call is the same.
    most = 64_000 if toy else 6_400_000
    grids = {
        "paths": [(n, N_TIMES) for n in (most // 1000, most // 100, most // 10, most)],
        "times": [(most // 10 // k, 64 * k) for k in (1, 10, 100, 1000)],
    }
    job = {**options, "compiled": True, "n_threads": 2}
    for what, sizes in grids.items():
        print(f"cost per point against {what} (1-64-64-1 compiled, lags, 2 threads), in units of the second:", end=" ")
        costs = [
            seconds_of(lambda p=paths, t=times: nnqm.simulate(theory, p, t, DT, **job), repeat) / (paths * times)
            for paths, times in (sizes[:2] if toy else sizes)
        ]
        print(", ".join(f"{p} x {t}: {c / costs[1]:.2f}" for (p, t), c in zip(sizes, costs, strict=False)))
    program = (
        "import sys, nnqm; t = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0)); "
        "nnqm.simulate(t, int(sys.argv[1]), 256, 0.2, rng=1, n_threads=2); "
        # Peak since the program was loaded; getrusage includes the process from which it was forked.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    print("peak memory of a process that samples this many paths, MiB:", end=" ")
    for size in (10_000, 100_000, 1_000_000)[: 2 if toy else None]:
        done = subprocess.run([sys.executable, "-c", program, str(size)], capture_output=True, text=True, check=True)
        print(f"{size}: {int(done.stdout) / 1024:.0f}", end="  ", flush=True)
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--toy", action="store_true", help="small jobs, once; against NumPy alone unless peers are given"
    )
    parser.add_argument("--peers", help="comma-separated subset of numpy, torch, jax")
    parser.add_argument(
        "--cases", default="", help="only the cases whose names contain this; learning: races of bench/learning.py"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cpu", action="store_true", help="processor seconds, for one thread on a machine that is shared"
    )
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    chosen = installed(arguments.peers or ("numpy" if arguments.toy else "numpy,torch,jax"))
    repeat = 1 if arguments.toy else arguments.repeat
    if arguments.cpu:
        Case.clock = staticmethod(time.process_time)
    run = (
        f"{arguments.threads} threads, {'processor' if arguments.cpu else 'wall'} seconds, float32, median of {repeat}"
    )
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    info = nnqm.build_info()
    print(f"nnqm {nnqm.__version__}, level {info['level']}, {run}, load {load}")
    print("peers:", ", ".join(f"{n} {__import__(n).__version__}" for n in chosen), "(chunk of paths in brackets)")
    if todo := [c for c in cases(arguments.toy) if arguments.cases in c.name]:
        peers = [Peer(name) for name in chosen]
        race(todo, peers, arguments.threads, repeat)
        for peer in peers:
            peer.process.kill()
    if not arguments.cases:
        scaling(arguments.toy, 1 if arguments.toy else 3)
    if arguments.cases.startswith("learning"):
        settings = {"toy": arguments.toy, "threads": arguments.threads, "cpu": arguments.cpu}
        races(chosen, repeat=repeat, chosen=arguments.cases, **settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
