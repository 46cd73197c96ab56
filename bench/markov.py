"""Rates of false alarms and power of the Chapman-Kolmogorov test, ``nnqm.chapman_kolmogorov``.

Markov processes must fall below p = 0.05 and p = 0.01 in at most 5% and 1% of the seeds; processes that are not Markov
must be found. Exits with status 1 if a rate exceeds its bound by more than 3.5 of its errors, or if less than 90% of
the last kind are found. ``--toy``: 4 seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.signal import lfilter

import nnqm

CERTAIN, POWER = 3.5, 0.9
CYCLE = np.array([[0.8, 0.15, 0.05], [0.05, 0.75, 0.2], [0.3, 0.1, 0.6]])
Generator = np.random.Generator


def gaussian(n: int, n_times: int, rho: float, rng: Generator) -> np.ndarray:
    """Stationary Gaussian paths of unit variance, correlation rho^k, shape (n, n_times)."""
    x = rng.normal(size=(n, n_times))
    x[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], x, axis=1)


def double_well(n: int, n_times: int, height: float, rng: Generator) -> np.ndarray:
    """Langevin paths in height (x^2 - 1)^2 at temperature 1."""
    x = np.sign(rng.normal(size=n)) + rng.normal(size=n) / np.sqrt(8 * height)
    out, dt = np.empty((n, n_times)), 0.04 / height
    for k in range(-10, n_times):
        for _ in range(5):
            x = x - 4 * height * x * (x * x - 1) * dt + np.sqrt(2 * dt) * rng.normal(size=n)
        if k >= 0:
            out[:, k] = x
    return out


def states(n: int, n_times: int, rng: Generator) -> np.ndarray:
    """An irreversible chain of three states."""
    state = rng.choice(3, n, p=np.linalg.matrix_power(CYCLE, 200)[0])
    kept = [state]
    for _ in range(n_times - 1):
        state = (np.cumsum(CYCLE[state], axis=1) < rng.random(n)[:, None]).sum(axis=1)
        kept.append(state)
    return np.stack(kept, axis=1).astype(float)


def chain_of_paths(rng: Generator) -> np.ndarray:
    x = gaussian(4000, 8, 0.8, rng)
    x[1:] *= 0.6
    return lfilter([1.0], [1.0, -0.8], x, axis=0)


def closed(rng: Generator) -> np.ndarray:
    """Thermal paths of the oscillator, beta = 3, without the declaration that they close."""
    theory = nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.0))
    return nnqm.sample_paths(theory, 4000, 12, 0.25, rng=int(rng.integers(1 << 30)), n_threads=1)[:, :, 0]


MARKOV: dict[str, Callable[[Generator], np.ndarray]] = {
    "oscillator, 500 x 16": lambda r: gaussian(500, 16, 0.8, r),
    "oscillator, 5000 x 16": lambda r: gaussian(5000, 16, 0.8, r),
    "oscillator, dt = 0.01": lambda r: gaussian(500, 128, 0.99, r),
    "oscillator, one trajectory": lambda r: gaussian(1, 30_000, 0.8, r)[0],
    "oscillator, chain of 4000": chain_of_paths,
    "double well, barrier 3": lambda r: double_well(500, 16, 3.0, r),
    "double well, barrier 8": lambda r: double_well(500, 16, 8.0, r),
    "exp(2 x) of an oscillator": lambda r: np.exp(2 * gaussian(500, 16, 0.8, r)),
    "three states, a cycle": lambda r: states(500, 16, r),
    "white noise": lambda r: r.normal(size=(500, 16)),
}
HIDDEN: dict[str, Callable[[Generator], np.ndarray]] = {
    "tanh of two, 2000 x 32": lambda r: np.tanh(gaussian(2000, 32, 0.82, r) + gaussian(2000, 32, 0.5, r)),
    "sum of two, 4000 x 32": lambda r: gaussian(4000, 32, 0.9, r) + gaussian(4000, 32, 0.4, r),
    "noise of 0.3, 1000 x 32": lambda r: gaussian(1000, 32, 0.8, r) + 0.3 * r.normal(size=(1000, 32)),
    "average of two times": lambda r: np.convolve(gaussian(1, 30_000, 0.8, r)[0], [0.5, 0.5], "valid"),
    "two of three states, 8000 x 16": lambda r: np.minimum(states(8000, 16, r), 1.0),
    "hidden size of steps": lambda r: np.exp(0.8 * gaussian(1000, 16, 0.9, r)) * r.normal(size=(1000, 16)),
    "closed, beta = 3, 4000 x 12": closed,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="4 seeds")
    parser.add_argument("--seeds", type=int, default=150)
    arguments = parser.parse_args()
    seeds = 4 if arguments.toy else arguments.seeds
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}\n")
    print("| process | Markov | seeds | p < 0.05 | p < 0.01 | violated |\n| --- | --- | --- | --- | --- | --- |")
    start, wrong = time.perf_counter(), []
    for kind, processes in ((True, MARKOV), (False, HIDDEN)):
        for k, (name, make) in enumerate(processes.items()):
            n = seeds if kind else max(1, seeds // 10)
            found = [nnqm.chapman_kolmogorov(make(np.random.default_rng([seed, k, kind]))) for seed in range(n)]
            p = np.array([f.p_value for f in found])
            rates = [float(np.mean(p < level)) for level in (0.05, 0.01, 0.001)]
            print(
                f"| {name} | {'yes' if kind else 'no'} | {n} | {rates[0]:.3f} | {rates[1]:.3f} | {rates[2]:.3f} |",
                flush=True,
            )
            if kind:
                bounds = ((0.05, rates[0]), (0.01, rates[1]))
                wrong += [f"{name}: {r} at {b}" for b, r in bounds if r > b + CERTAIN * np.sqrt(b * (1 - b) / n)]
            elif rates[2] < POWER:
                wrong.append(f"{name}: found in {rates[2]:.0%} only")
    print(f"\n{time.perf_counter() - start:.0f} s")
    print(
        "\n".join(["WRONG:", *wrong]) if wrong else "no more false alarms than stated, and every hidden state is seen"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
