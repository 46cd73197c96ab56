"""Calibration of errors of weighted paths, and of the comparison of replicas.

Paths are y + noise at 4 times, and successive y are a Markov chain of unit variance, rho^k. Weights exp(s y) shift the
mean of y to s. Pulls of the mean (exact: s) and of the connected function at lag 1 (exact: 1), and the fractions of Q
of five replicas below 10% and 1%. All seeds are counted. ``--toy``: one of each, a few seeds.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import nnqm

MEASURE = nnqm.Measure(lags=(0, 1), observable_lags=(), increment_lags=())
N_PATHS, N_REPLICAS = 4000, 5
# Exponents of the weights and correlation of successive paths.
WEIGHTS = ((0.0, 0.0), (0.2, 0.0), (0.4, 0.0), (0.7, 0.0), (1.0, 0.0), (0.3, 0.8), (0.5, 0.8))


def chain(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    y = rng.normal(size=n)
    for i in range(1, n):
        y[i] = rho * y[i - 1] + np.sqrt(1 - rho**2) * y[i]
    return y


def paths(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    return (y[:, None] + 0.3 * rng.normal(size=(len(y), 4)))[:, :, None]


def weighted(strength: float, rho: float, repetitions: int) -> bool:
    """Print the pulls of weighted averages, and return whether the mean's are standard within their error."""
    start, pulls, size = time.perf_counter(), [], 0.0
    for seed in range(repetitions):
        rng = np.random.default_rng([seed, 5])
        y = chain(rng, N_PATHS, rho)
        run = nnqm.accumulate(paths(rng, y), 0.1, weights=np.exp(strength * y), measure=MEASURE)
        connected = run.connected()
        pulls.append((float(run.mean().pull(strength)), float((connected.value[1] - 1) / connected.error[1])))
        size += run.effective_sample_size / repetitions
    found = np.array(pulls)
    spread, mean = found.std(axis=0), found.mean(axis=0)
    print(
        f"weights exp({strength:g} y), rho = {rho:g}   {size:7.0f}   {mean[0]:6.2f} {spread[0]:5.2f}   "
        f"{mean[1]:6.2f} {spread[1]:5.2f}   {time.perf_counter() - start:5.0f}",
        flush=True,
    )
    return bool(abs(spread[0] - 1) < 5 / np.sqrt(2 * repetitions) and abs(mean[0]) < 5 / np.sqrt(repetitions))


def replicas(rho: float, shift: float, repetitions: int) -> tuple[float, float]:
    """Print the fractions of small Q, one replica shifted by some of its errors, and the pulls of the mean."""
    start, q, pulls = time.perf_counter(), [], []
    n = N_PATHS // N_REPLICAS
    error = np.sqrt((1 + rho) / (1 - rho) / n)
    for seed in range(repetitions):
        rng = np.random.default_rng([seed, 6])
        given = {f"r{i}": paths(rng, chain(rng, n, rho) + shift * error * (i == 0)) for i in range(N_REPLICAS)}
        run = nnqm.accumulate(given, 0.1, measure=MEASURE)
        q.append(float(run.notes[-1].split("Q = ")[1].split(":")[0]))
        pulls.append(float(run.mean().pull(0.0)))
    found = np.array(q)
    print(
        f"{N_REPLICAS} replicas, rho = {rho:g}, one shifted by {shift:g} errors   {np.mean(found < 0.1):6.1%}   "
        f"{np.mean(found < 0.01):6.1%}   {np.std(pulls):5.2f}   {time.perf_counter() - start:5.0f}",
        flush=True,
    )
    return float(np.mean(found < 0.1)), float(np.std(pulls))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--repetitions", type=int, default=400)
    arguments = parser.parse_args()
    repetitions = 12 if arguments.toy else arguments.repetitions
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: {N_PATHS} paths, {repetitions} seeds")
    print("pulls                          N_eff    mean: mean, s.d.   connected: mean, s.d.   seconds")
    good = all([weighted(s, rho, repetitions) for s, rho in (WEIGHTS[2:3] if arguments.toy else WEIGHTS)])
    print("Q below                        10%   1%   s.d. of pulls   seconds")
    for rho in (0.8,) if arguments.toy else (0.0, 0.8):
        below, spread = replicas(rho, 0.0, repetitions)
        good = good and below < 0.1 + 5 * np.sqrt(0.09 / repetitions) and abs(spread - 1) < 5 / np.sqrt(2 * repetitions)
        seen, _ = replicas(rho, 8.0, repetitions)
        good = good and seen > 0.9
    if not good:
        print("errors or Q are not calibrated")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
