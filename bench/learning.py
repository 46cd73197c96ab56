"""Races of learning: gradients of exact observables, and training of ensembles, against tuned peers.

``python bench/learning.py`` or ``python -m bench --cases learning``. Each peer runs in its own process with its best
layout, chunk and number of library threads; runs are interleaved, medians are compared, and all answers are checked.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import nnqm
from nnqm.theories.state_modes import hermite_functions, trapezoid
from peers.process import Worker, installed, tuned_settings

WORKER = Path(__file__).parent / "peers" / "learning_worker.py"
TIMES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
# Derivatives of the loss with respect to the two-point function at the lags.
COTANGENTS = (1.0, -0.7, 0.4, 0.9, -0.3, 0.6)
# Accuracy below which rounding decides.
ROUNDING = 1e-12
POINTS = np.linspace(-1.5, 1.5, 16)
TARGETS = np.sin(2 * POINTS)
RATE, STEPS = 0.01, 50
CHUNKS = (32, 64, 128, 256, 1024)


class Peers:
    """The worker processes of the peers: with one library thread, and with the threads of the race, for gradients."""

    def __init__(self, names: list[str], threads: int) -> None:
        one = tuned_settings()
        many = one | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        many["XLA_FLAGS"] = one["XLA_FLAGS"].replace("multi_thread_eigen=false", "multi_thread_eigen=true")
        self.names, self.threads = names, threads
        self.workers = {
            (name, kind): Worker(WORKER, name, settings)
            for name in names
            for kind, settings in (("one", one), ("many", many))
        }

    def layouts(self, name: str, kind: str) -> list[str]:
        found: list[str] = self.workers[name, "one"].ready["layouts"][kind]
        return found

    def run(self, name: str, kind: str, job: dict[str, Any]) -> dict[str, Any]:
        return self.workers[name, kind].run(job)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.process.kill()


# Gradients of the exact two-point function


def theory_of(widths: tuple[int, ...]) -> nnqm.Theory:
    omega = np.sqrt([1.0, 2.0, 3.0])[: widths[0]]
    network = nnqm.Network.random(widths, "tanh", rng=1, weight_std=1.0, bias_std=0.5)
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, 1.0), network)


def rule(theory: nnqm.Theory, name: str, n: int, width: float, orders: int, smallest: float) -> dict[str, Any]:
    """The product rule of n nodes per input, without nodes of negligible weight, in terms of the workers."""
    dimension = theory.n_inputs
    if name == "gauss":
        z, weights = np.polynomial.hermite_e.hermegauss(n)
        weights = weights / math.sqrt(2 * math.pi)
    else:
        z, weights = trapezoid(width, n)
    functions = np.sqrt(weights) * hermite_functions(z, weights, orders)
    weight = np.ones(1)
    for _ in range(dimension):
        weight = np.multiply.outer(weight, weights).reshape(-1)
    kept = np.flatnonzero(weight > smallest)
    index = np.stack(np.unravel_index(kept, (n,) * dimension), axis=1)
    spread = np.array(theory.sigma) / np.sqrt(2 * np.array(theory.omega))
    shape = (n,) * dimension
    return {
        "points": z[index] * spread,
        "kept": kept,
        "shape": shape,
        "functions": functions,
        "node_weights": weight[kept],
    }


def by_rule(theory: nnqm.Theory, rule: dict[str, Any]) -> tuple[float, np.ndarray]:
    """Value and gradient of the loss by a rule."""
    network = theory.network
    assert isinstance(network, nnqm.Network)
    h, shape, times = rule["functions"], rule["shape"], np.array(TIMES)
    decay = [np.exp(-np.outer(times, w * np.arange(len(h)))) for w in theory.omega]
    letters = "abc"[: len(shape)]
    # Lag 0 is E f^2, without an expansion.
    at_zero = np.array(COTANGENTS) @ (times == 0)
    decays = np.einsum(",".join(["k", *(f"k{x}" for x in letters)]) + "->" + letters, np.array(COTANGENTS), *decay)
    decays -= at_zero
    values, f = np.zeros(np.prod(shape)), network(rule["points"])[:, 0]
    values[rule["kept"]] = f
    c = values.reshape(shape)
    for _ in shape:
        c = np.tensordot(c, h, ([0], [1]))
    g = 2 * decays * c
    for _ in shape:
        g = np.tensordot(g, h, ([0], [0]))
    square = at_zero * rule["node_weights"] * f
    cotangent = g.reshape(-1)[rule["kept"]] + 2 * square
    gradient = np.zeros(network.parameters.size)
    for first in range(0, cotangent.size, 20_000):
        here = slice(first, first + 20_000)
        gradient += network.pullback(rule["points"][here], cotangent[here, None])[0]
    return float((decays * c**2).sum() + square @ f), gradient


def distance(found: tuple[float, np.ndarray], reference: tuple[float, np.ndarray]) -> float:
    """Largest error of value and gradient, relative to the value and to the largest component."""
    value = abs(found[0] / reference[0] - 1)
    return float(max(value, np.abs(found[1] - reference[1]).max() / np.abs(reference[1]).max()))


def smallest_rule(
    theory: nnqm.Theory, reference: tuple[float, np.ndarray], accuracy: float
) -> tuple[str, dict[str, Any]]:
    """The rule of the fewest nodes with this accuracy, among Gauss-Hermite and trapezoid rules."""
    best: tuple[int, str, dict[str, Any]] | None = None
    many = theory.n_inputs > 1
    families = [("gauss", 0.0, part) for part in (1.0,)]
    families += [
        ("trapezoid", w, part) for w in ((5.0, 6.5, 8.0) if many else (5.0, 6.0, 7.0, 8.0, 9.0)) for part in (0.3, 0.6)
    ]
    for name, width, part in families:
        for n in (8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 96, 112, 128, 160, 192, 256):
            # The nodes left out have together less weight than the accuracy.
            smallest = 0.1 * accuracy / n**theory.n_inputs
            candidate = rule(theory, name, n, width, int(part * n) - (part == 1), smallest)
            if (best is not None and len(candidate["kept"]) >= best[0]) or len(candidate["kept"]) > 300_000:
                break
            if distance(by_rule(theory, candidate), reference) <= accuracy:
                best = len(candidate["kept"]), f"{name} {n}", candidate
                break
    if best is None:
        sys.exit(f"no rule of the peers reaches {accuracy:.1e} for {theory.network!r}")
    return f"{best[1]}: {best[0]} nodes", best[2]


def ours_gradient(theory: nnqm.Theory) -> Callable[[], tuple[float, np.ndarray]]:
    from nnqm.learning.differentiate import differentiate
    from nnqm.learning.observables import TwoPoint

    # The peers sum over all states, the vacuum included.
    observables = [TwoPoint(TIMES, connected=False)]
    cotangents = [np.array(COTANGENTS)]

    def once() -> tuple[float, np.ndarray]:
        found = differentiate(theory, observables)
        return float(found.values[0] @ cotangents[0]), found.pullback(cotangents)["network"]

    return once


def timed(call: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), answer


def gradient_job(theory: nnqm.Theory, rule: dict[str, Any], threads: int, repeat: int) -> dict[str, Any]:
    network = theory.network
    assert isinstance(network, nnqm.Network)
    return {
        "kind": "gradient",
        "weights": [w.tolist() for w in network.weights],
        "biases": [b.tolist() for b in network.biases],
        "omega": list(theory.omega),
        "times": TIMES,
        "cotangents": COTANGENTS,
        "threads": threads,
        "repeat": repeat,
        **{name: np.asarray(value).tolist() for name, value in rule.items()},
    }


def best_gradient(peers: Peers, name: str, job: dict[str, Any]) -> tuple[str, str]:
    """The fastest kind of worker and layout of a peer."""
    trial = {}
    for kind, layout in product(("one", "many"), peers.layouts(name, "gradient")):
        threads = 1 if kind == "one" else peers.threads
        answer = peers.run(name, kind, {**job, "layout": layout, "threads": threads})
        if "seconds" in answer:
            trial[kind, layout] = answer["seconds"]
    return min(trial, key=trial.__getitem__)


def race_gradients(peers: Peers, toy: bool, repeat: int, chosen: str) -> None:
    sizes = [(1, 8, 8, 1), (2, 8, 8, 1)] if toy else [(1, 64, 64, 1), (3, 32, 32, 1)]
    sizes = [w for w in sizes if chosen in f"learning: gradient {'-'.join(map(str, w))}"]
    if not sizes:
        return
    print("\nOne gradient of the exact two-point function with respect to all weights, float64, microseconds\n")
    head = ["case", "accuracy", "nnqm", *peers.names, "ratio", "rule of the peers"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for widths in sizes:
        theory = theory_of(widths)
        fine = ("trapezoid", 1200, 13.0, 300, 0.0) if widths[0] == 1 else ("gauss", 64, 0.0, 63, 1e-20)
        reference = by_rule(theory, rule(theory, *fine))
        ours = ours_gradient(theory)
        accuracy = max(distance(ours(), reference), ROUNDING)
        if accuracy > 1e-4:
            sys.exit(f"gradient {widths}: the answer of nnqm is wrong by {accuracy:.1e}")
        # Users of the peers who need less choose fewer nodes.
        for required in (accuracy, 1e-6):
            name, best = smallest_rule(theory, reference, required)
            many = 3 if toy else (200 if widths[0] == 1 else 10)
            job = gradient_job(theory, best, peers.threads, many)
            how = {n: best_gradient(peers, n, job) for n in peers.names}
            times: dict[str, list[float]] = {n: [] for n in ("nnqm", *peers.names)}
            for _ in range(repeat):
                times["nnqm"].append(timed(ours, many)[0])
                for n in peers.names:
                    kind, layout = how[n]
                    threads = 1 if kind == "one" else peers.threads
                    answer = peers.run(n, kind, {**job, "layout": layout, "threads": threads})
                    off = distance((answer["value"], np.array(answer["gradient"])), reference)
                    if off > 1.1 * required + ROUNDING:
                        sys.exit(f"gradient {widths}: the answer of {n} is wrong by {off:.1e}")
                    times[n].append(answer["seconds"])
            median = {n: 1e6 * statistics.median(t) for n, t in times.items()}
            fastest = min(peers.names, key=median.__getitem__)
            row = ["-".join(map(str, widths)), f"{required:.0e}", f"{median['nnqm']:.0f}"]
            row += [f"{median[n]:.0f} ({how[n][1]}, {how[n][0]})" for n in peers.names]
            row += [f"{median[fastest] / median['nnqm']:.2f} ({fastest})", name]
            print("| " + " | ".join(row) + " |", flush=True)


# Training of ensembles


def random_network(widths: tuple[int, ...]) -> nnqm.RandomNetwork:
    return nnqm.RandomNetwork(widths, "tanh", weight_std=1.5, bias_std=0.5)


def trained(widths: tuple[int, ...], steps: int) -> nnqm.Theory:
    from nnqm.theories.training import GradientDescent

    training = GradientDescent(POINTS[:, None], TARGETS[:, None], RATE, steps)
    return nnqm.Theory(nnqm.Times(), random_network(widths).with_training(training))


def ours_training(job: dict[str, Any], seed: int) -> dict[str, Any]:
    theory, n, threads = trained(tuple(job["widths"]), job["steps"]), job["n"], job["threads"]
    clock = time.process_time if job["cpu"] else time.perf_counter
    start = clock()
    x = nnqm.sample_paths(theory, n, times=POINTS, rng=seed, n_threads=threads)[..., 0].astype(np.float64)
    mean = x.mean(axis=0)
    covariance = x.T @ x / n - np.outer(mean, mean)
    return {"seconds": clock() - start, "mean": mean, "covariance": covariance}


def training_job(widths: tuple[int, ...], n: int, threads: int, cpu: bool) -> dict[str, Any]:
    layers = len(widths) - 1
    return {
        "kind": "train",
        "widths": widths,
        "n": n,
        "threads": threads,
        "cpu": cpu,
        "weight_std": [1.5] * layers,
        "bias_std": [0.5] * layers,
        "points": POINTS.tolist(),
        "targets": TARGETS.tolist(),
        "rate": RATE,
        "steps": STEPS,
    }


def check_networks(peers: Peers, job: dict[str, Any], layouts: dict[str, list[str]]) -> None:
    """The same first weights give the same trained networks, one by one."""
    widths, n = tuple(job["widths"]), 8
    drawn = random_network(widths).draw(range(n), 1)
    initial = [
        (np.stack([d.weights[i] for d in drawn]).tolist(), np.stack([d.biases[i] for d in drawn]).tolist())
        for i in range(len(widths) - 1)
    ]
    ours = nnqm.sample_paths(trained(widths, STEPS), n, times=POINTS, key=1)[..., 0]
    for name, kinds in layouts.items():
        for layout in list(kinds):
            answer = peers.run(name, "one", {**job, "initial": initial, "layout": layout})
            if "failed" in answer:
                print(f"{name}, {layout}: {answer['failed']}", file=sys.stderr)
                kinds.remove(layout)
            elif not np.abs(np.array(answer["outputs"]) - ours).max() < 1e-3:
                sys.exit(f"training {widths}: {name} ({layout}) and nnqm train the same networks differently")


def agree(found: dict[str, Any], other: dict[str, Any], n: int) -> bool:
    """Mean and covariance of n networks each agree within errors of Gaussian ensembles, seven of them."""
    variance = np.diag(np.asarray(other["covariance"]))
    mean = np.abs(np.asarray(found["mean"]) - other["mean"]) / np.sqrt(2 * variance / n)
    # Wide margins, because trained ensembles have heavy tails.
    spread = np.abs(np.asarray(found["covariance"]) - other["covariance"]) / np.sqrt(np.outer(variance, variance))
    return bool(mean.max() < 7 and spread.max() < 7 * math.sqrt(20 / n))


def race_training(peers: Peers, toy: bool, repeat: int, chosen: str, cpu: bool) -> None:
    n = 1024 if toy else 20_480
    sizes = [w for w in ((1, 32, 32, 1), (1, 64, 1)) if chosen in f"learning: training {'-'.join(map(str, w))}"]
    if not sizes:
        return
    print(
        f"\nTraining {n} own networks on 16 points for {STEPS} steps, float32, {'processor ' if cpu else ''}seconds\n"
    )
    head = ["case", "nnqm", *peers.names, "ratio"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for widths in sizes:
        job = training_job(widths, n, peers.threads, cpu)
        layouts = {name: list(peers.layouts(name, "train")) for name in peers.names}
        check_networks(peers, job, layouts)
        how = {}
        for name in peers.names:
            trial = {}
            for layout, chunk in product(layouts[name], CHUNKS[:2] if toy else CHUNKS):
                # A tenth of the networks is enough to choose.
                few = max(n // 10 // chunk // peers.threads, 1) * chunk * peers.threads
                answer = peers.run(name, "one", {**job, "n": few, "layout": layout, "chunk": chunk, "seed": 1})
                if "seconds" in answer:
                    trial[layout, chunk] = answer["seconds"] / few
            if not trial:
                sys.exit(f"training {widths}: no layout of {name} runs: {answer['failed']}")
            how[name] = min(trial, key=trial.__getitem__)
        times: dict[str, list[float]] = {name: [] for name in ("nnqm", *peers.names)}
        for i in range(repeat):
            ours = ours_training(job, i + 1)
            times["nnqm"].append(ours["seconds"])
            for name in peers.names:
                layout, chunk = how[name]
                answer = peers.run(name, "one", {**job, "layout": layout, "chunk": chunk, "seed": i + 1})
                if not agree(ours, answer, n):
                    sys.exit(f"training {widths}: the ensembles of nnqm and {name} differ")
                times[name].append(answer["seconds"])
        median = {name: statistics.median(t) for name, t in times.items()}
        fastest = min(peers.names, key=median.__getitem__)
        row = ["-".join(map(str, widths)), f"{median['nnqm']:.3f}"]
        row += [f"{median[name]:.3f} ({how[name][0]}, {how[name][1]})" for name in peers.names]
        row += [f"{median[fastest] / median['nnqm']:.2f} ({fastest})"]
        print("| " + " | ".join(row) + " |", flush=True)


# Memory and a whole fit


def memory(toy: bool) -> None:
    """Peak memory of a process that trains ensembles of two sizes and measures their correlators."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); import learning as b, nnqm; t = b.trained((1, 32, 32, 1), 5); "
        "nnqm.simulate(t, int(sys.argv[1]), times=b.POINTS, rng=1, n_threads=2, measure=nnqm.Measure(two_time=True)); "
        # Peak since the program was loaded; getrusage includes the process from which it was forked.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    print("\nPeak memory of a process that trains this many networks 1-32-32-1, MiB:", end=" ")
    peak = []
    for size in (2_048, 8_192) if toy else (20_480, 204_800):
        done = subprocess.run(
            [sys.executable, "-c", program, str(size), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=True,
        )
        peak.append(int(done.stdout) / 1024)
        print(f"{size}: {peak[-1]:.0f}", end="  ", flush=True)
    print()
    if peak[1] > 1.1 * peak[0] + 8:
        sys.exit("memory grows with the number of networks")


def whole_fit(repeat: int) -> None:
    """A fit of four spectral weights with four hidden units on one OU input."""
    from nnqm.learning.fit import Target, fit
    from nnqm.learning.observables import SpectralWeights

    weights = np.array([0.5, 0.25, 0.15, 0.1])
    start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 4, 1), "tanh", rng=1, bias_std=0.5))
    target = Target(SpectralWeights(4), weights, errors=np.full(4, 1e-6))
    seconds, found = timed(lambda: fit(start, [target], rng=1), repeat)
    off = float(np.abs(nnqm.kallen_lehmann(found.theory).weights[:4] - weights).max())
    print(f"Fit of four spectral weights with four hidden units: {seconds:.3f} s, largest deviation {off:.1e}")
    if off > 1e-6:
        sys.exit("the fit of spectral weights misses 1e-6")


def races(names: list[str], *, toy: bool, threads: int, repeat: int, chosen: str, cpu: bool = False) -> None:
    """Run the races whose names contain ``chosen`` and print their tables."""
    peers = Peers(names, threads)
    try:
        race_gradients(peers, toy, repeat, chosen)
        race_training(peers, toy, repeat, chosen, cpu)
    finally:
        peers.close()
    if chosen in "learning: memory":
        memory(toy)
    if chosen in "learning: fit":
        whole_fit(repeat)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small jobs, once; against NumPy unless peers are given")
    parser.add_argument("--peers", help="comma-separated subset of numpy, torch, jax")
    parser.add_argument("--cases", default="learning", help='part of a name, for example "learning: training 1-64-1"')
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor seconds of the training, on a shared machine")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    chosen = installed(arguments.peers or ("numpy" if arguments.toy else "numpy,torch,jax"))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"nnqm {nnqm.__version__}, level {nnqm.build_info()['level']}, {arguments.threads} threads, load {load}")
    print("peers:", ", ".join(f"{n} {__import__(n).__version__}" for n in chosen))
    settings = {"toy": arguments.toy, "threads": arguments.threads, "cpu": arguments.cpu}
    races(chosen, repeat=1 if arguments.toy else arguments.repeat, chosen=arguments.cases, **settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
