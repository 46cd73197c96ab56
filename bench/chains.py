"""Errors of autocorrelated data against exact values, seed by seed.

AR(1): x(t+1) = r x(t) + noise with autocorrelation times of 1 to 100 steps, as one long trajectory, as five replicas of
unequal lengths, and as a chain of paths that move along the chain. Lattice: Metropolis updates of the periodic
path of H = p^2/2 + x^4 on 32 sites, against the exact values of the same lattice from its transfer matrix.

A pull is (measured - exact)/error. For each quantity the table has the root mean square of the pulls of all seeds, and
the fractions below 1 and 2 (for a Gaussian 0.68 and 0.95). Exits with status 1 if a root mean square is above 1.1 or
below 0.75 by more than 3.5 of its own errors, or if a chain is refused. ``--toy``: 8 seeds, times of 1 and 10.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

# Matrices are small, and threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.signal import lfilter

import nnqm

DT = 0.1
TIMES = (1, 3, 10, 30, 100)
# Length of the data in autocorrelation times.
LENGTH = 2000
# Autocorrelation between successive times of the paths of a chain.
ALONG = 0.8
# Sites and step of the lattice, configurations of a chain, sweeps before the first one, and sweeps between two.
SITES, STEP, CONFIGURATIONS, THERMAL, BETWEEN = 32, 0.25, 2000, 1000, 2
HIGHEST, LOWEST, CERTAIN = 1.1, 0.75, 3.5


def chain(n: int, rho: float, rng: np.random.Generator, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Stationary Gaussian chains of unit variance along the first axis, correlation rho^k."""
    noise = rng.normal(size=(n, *shape))
    noise[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=0)


def trajectory(tau: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    return chain(LENGTH * tau, rho, rng)


def replicas(tau: int, rho: float, rng: np.random.Generator) -> list[np.ndarray]:
    return [chain(int(LENGTH * tau * share), rho, rng) for share in (0.1, 0.15, 0.2, 0.25, 0.3)]


def paths(tau: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    x = chain(16, ALONG, rng, (LENGTH * tau // 6,))
    x[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], x, axis=1).T.copy()


KINDS = {"trajectory": trajectory, "5 replicas": replicas, "chain of paths": paths}


def observed(lags: tuple[int, ...]) -> nnqm.Measure:
    observables = nnqm.default_observables(([0.0], [1.0], ["x"]), order=3, neurons=0)
    of_levels = (0, lags[1], 2 * lags[1])
    return nnqm.Measure(observables=observables, lags=lags, observable_lags=of_levels, increment_lags=())


def of_gaussian(kind: str, tau: int, seed: int) -> dict[str, float]:
    """Pulls of one seed."""
    rho = (2 * tau - 1) / (2 * tau + 1)
    x = KINDS[kind](tau, rho, np.random.default_rng([seed, tau, list(KINDS).index(kind)]))
    along = ALONG if kind == "chain of paths" else rho
    near = 1 if kind == "chain of paths" else max(1, tau // 2)
    run = nnqm.accumulate(x, DT, measure=observed((0, near, 2 * near)), n_threads=1)
    function = run.two_point()
    found = nnqm.spectrum(run, 1)
    assert run.chain is not None
    pulls = {
        "mean": float(run.mean().pull(0.0)),
        "variance": float(run.moments()[0].pull(1.0)),
        "G(1)": float(function[1].pull(along**near)),
        "G(2)": float(function[2].pull(along ** (2 * near))),
        "tau": (run.chain.times[0] - tau) / run.chain.errors[0],
    }
    if found.gaps:
        pulls["gap"] = float(found.gaps[0].pull(-np.log(along) / DT))
    return pulls


def metropolis(n_chains: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Configurations of independent chains, shape (n_chains, n, SITES): updates of even and odd sites in turn."""

    def action(x: np.ndarray, beside: np.ndarray) -> np.ndarray:
        return x * x / STEP - x * beside / STEP + STEP * x**4

    x = rng.normal(size=(n_chains, SITES)) * 0.5
    kept = np.empty((n_chains, n, SITES), dtype=np.float32)
    width = 1.2
    for sweep in range(-THERMAL, n * BETWEEN):
        for parity in (0, 1):
            own = x[:, parity::2]
            # Neighbours of even sites are the odd ones at the same place and the place before, of odd ones after.
            other = x[:, 1 - parity :: 2]
            beside = other + np.roll(other, 1 if parity == 0 else -1, axis=1)
            new = own + width * (rng.random(own.shape) * 2 - 1)
            accepted = rng.random(own.shape) < np.exp(np.minimum(0, action(own, beside) - action(new, beside)))
            x[:, parity::2] = np.where(accepted, new, own)
        if sweep >= 0 and sweep % BETWEEN == 0:
            kept[:, sweep // BETWEEN] = x
    return kept


def of_transfer_matrix(points: int, reach: float = 4.5) -> dict[str, float]:
    """Exact values of the lattice: traces of powers of exp(-(x - y)^2/2a - a (V(x) + V(y))/2) on a grid."""
    x = np.linspace(-reach, reach, points)
    v = STEP * x**4 / 2
    matrix = np.exp(-((x[:, None] - x) ** 2) / (2 * STEP) - v[:, None] - v)
    values, vectors = np.linalg.eigh(matrix)
    weights = (values / values[-1]) ** SITES
    position = vectors.T @ (x[:, None] * vectors)
    powers = {k: (values / values[-1]) ** k for k in (1, 4, 16)}
    exact = {
        f"G({k})": float(
            np.sum(powers[k][:, None] * position**2 * (values / values[-1]) ** (SITES - k)) / weights.sum()
        )
        for k in powers
    }
    exact["<x^2>"] = float(weights @ np.sum(vectors**2 * (x**2)[:, None], axis=0) / weights.sum())
    exact["gap"] = float(-np.log(values[-2] / values[-1]) / STEP)
    return exact


def of_lattice(x: np.ndarray, exact: dict[str, float], tau: float) -> dict[str, float]:
    """Pulls of one chain: averages over closed paths, and the gap from distances that the period does not reach."""
    observables = nnqm.default_observables(([0.0], [float(x.std())], ["x"]), order=3, neurons=0)
    measure = nnqm.Measure(observables=observables, lags=(0, 1, 4, 16, 28, 31), increment_lags=())
    run = nnqm.accumulate(x, STEP, period=True, measure=measure, n_threads=1)
    function = run.two_point()
    pulls = {"mean": float(run.mean().pull(0.0))}
    for i, name in enumerate(("<x^2>", "G(1)", "G(4)", "G(16)")):
        pulls[name] = float(function[i].pull(exact[name]))
    assert run.chain is not None
    pulls["tau"] = (run.chain.times[0] - tau) / run.chain.errors[0]
    measure = nnqm.Measure(observables=observables, lags=(0, 1), observable_lags=(0, 1, 2), increment_lags=())
    found = nnqm.spectrum(nnqm.accumulate(x, STEP, measure=measure, n_threads=1), 1)
    if found.gaps:
        pulls["gap"] = float(found.gaps[0].pull(exact["gap"]))
    return pulls


def line(name: str, found: list[dict[str, float]]) -> tuple[str, list[str]]:
    """A row of the table for each quantity, and the quantities whose errors are wrong."""
    rows, wrong = [], []
    for quantity in dict.fromkeys(q for p in found for q in p):
        pulls = np.array([p[quantity] for p in found if quantity in p])
        rms = float(np.sqrt(np.mean(pulls**2)))
        margin = CERTAIN / np.sqrt(2 * len(pulls))
        bad = rms > HIGHEST * (1 + margin) or rms < LOWEST * (1 - margin)
        # A gap may be not resolved in a part of the seeds.
        if bad or (quantity != "gap" and len(pulls) < len(found)):
            wrong.append(f"{name}: {quantity}: {rms:.2f} of {len(pulls)} seeds")
        rows.append(
            f"| {name} | {quantity} | {len(pulls)} | {pulls.mean():+.2f} | {rms:.2f} | {np.mean(abs(pulls) < 1):.2f} "
            f"| {np.mean(abs(pulls) < 2):.2f} |"
        )
    return "\n".join(rows), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="few seeds")
    parser.add_argument("--seeds", type=int, default=200)
    arguments = parser.parse_args()
    seeds, times = (8, (1, 10)) if arguments.toy else (arguments.seeds, TIMES)
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: {seeds} seeds\n")
    print("| data | quantity | seeds | mean pull | rms pull | below 1 | below 2 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    start, wrong = time.perf_counter(), []
    for kind in KINDS:
        for tau in times:
            found = [of_gaussian(kind, tau, seed) for seed in range(seeds)]
            text, bad = line(f"AR(1), {kind}, tau = {tau}", found)
            print(text, flush=True)
            wrong += bad
    exact, coarse = of_transfer_matrix(400), of_transfer_matrix(300)
    error = max(abs(exact[k] - coarse[k]) for k in exact)
    chains = metropolis(seeds, CONFIGURATIONS // (2 if arguments.toy else 1), np.random.default_rng(5))
    # The exact time is not known: all chains together have an error that is smaller by the root of their number.
    tau = nnqm.autocorrelation_time([c.mean(axis=1) for c in chains])
    text, bad = line("lattice x^4", [of_lattice(c, exact, float(tau.value)) for c in chains])
    print(text)
    print(f"\nlattice: exact values to {error:.1g}, autocorrelation time {tau} configurations")
    print(f"{time.perf_counter() - start:.0f} s")
    wrong += bad + ([f"transfer matrix: {error:.1g}"] if error > 1e-12 else [])
    print("\n".join(["WRONG:", *wrong]) if wrong else "every error is calibrated")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
