"""Calibration of the verdict on clustering: false alarms of single theories, power on mixtures of two theories.

p-values of ``clustering`` below 5% and 1% on new paths with 48 times, dt = 0.2. All seeds are counted. ``--toy``: one
of each, a few seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

import nnqm

DT, N_TIMES = 0.2, 48
Make = Callable[[np.random.Generator, int], np.ndarray]


def ornstein_uhlenbeck(rng: np.random.Generator, n: int, omega: np.ndarray | float = 1.0) -> np.ndarray:
    rho = np.exp(-np.asarray(omega) * DT)
    x = rng.normal(size=(n, N_TIMES))
    for t in range(1, N_TIMES):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * x[:, t]
    return x


def sampled(name: str) -> Make:
    theory = nnqm.builtin_theory(name)

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        key = int(rng.integers(2**63))
        return nnqm.sample_paths(theory, n, N_TIMES, DT, key=key)[:, :, 0]

    return make


SINGLE: tuple[tuple[str, Make], ...] = (
    ("OU", ornstein_uhlenbeck),
    ("OU, omega = 0.35", lambda rng, n: ornstein_uhlenbeck(rng, n, 0.35)),
    ("OU^3", lambda rng, n: ornstein_uhlenbeck(rng, n) ** 3),
    ("deep tanh", sampled("deep-tanh")),
    ("x^4 oscillator", sampled("anharmonic")),
)
MIXTURES: tuple[tuple[str, Make], ...] = (
    ("means +-0.5", lambda rng, n: ornstein_uhlenbeck(rng, n) + rng.choice([-0.5, 0.5], size=(n, 1))),
    ("3% at mean 3", lambda rng, n: ornstein_uhlenbeck(rng, n) + 3.0 * (rng.uniform(size=(n, 1)) < 0.03)),
    ("spreads 0.7, 1.3", lambda rng, n: ornstein_uhlenbeck(rng, n) * rng.choice([0.7, 1.3], size=(n, 1))),
    ("omega 0.5, 2", lambda rng, n: ornstein_uhlenbeck(rng, n, rng.choice([0.5, 2.0], size=n))),
    ("random tanh", sampled("random-tanh")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--repetitions", type=int, default=1500)
    parser.add_argument("--paths", type=int, default=2000)
    arguments = parser.parse_args()
    single, mixtures, repetitions, n_paths = SINGLE, MIXTURES, arguments.repetitions, arguments.paths
    if arguments.toy:
        single, mixtures, repetitions, n_paths = SINGLE[:1], MIXTURES[:1], 50, 1000
    good = True
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: {n_paths} paths x {N_TIMES} times")
    print("process                  below 5%          below 1%   does not cluster  seconds")
    for kind, systems, n in (("single", single, repetitions), ("mixture", mixtures, max(2, repetitions // 15))):
        for name, make in systems:
            start = time.perf_counter()
            results = [nnqm.clustering(make(np.random.default_rng([seed, 3]), n_paths)) for seed in range(n)]
            p = np.array([r.p_value for r in results])
            mixed = sum(r.verdict == "does not cluster" for r in results)
            error = np.sqrt(0.05 * 0.95 / n)
            print(
                f"{name:20s}  {np.mean(p < 0.05):7.2%} +- {error:.2%}  {np.mean(p < 0.01):8.2%}  "
                f"{mixed:10d}/{n:<5d}  {time.perf_counter() - start:7.0f}",
                flush=True,
            )
            good = good and (np.mean(p < 0.05) < 0.05 + 5 * error if kind == "single" else mixed > 0.9 * n)
    if not good:
        print("false alarms too frequent, or a mixture missed")
    return 0 if good or not arguments.toy else 1


if __name__ == "__main__":
    sys.exit(main())
