"""Calibration of the verdict on reflection positivity: false alarms where it holds, power where it fails.

False alarms: p-values of ``reflection_positivity`` below 5% and 1% on new paths of reflection-positive processes.
Power: verdicts "violated" (p below 0.1%) on processes that are not reflection positive. The first line of that table
is a control: linear functionals on a process that only nonlinear functionals distinguish from an oscillator. All seeds
are counted, and no seed is repeated. ``--toy``: one system each, a few seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

import nnqm

DT, N_TIMES = 0.2, 32
ALL = ("linear", "cubic", "neurons")
Make = Callable[[np.random.Generator, int], np.ndarray]


def ornstein_uhlenbeck(rng: np.random.Generator, n: int, omega: np.ndarray | float = 1.0) -> np.ndarray:
    rho = np.exp(-np.asarray(omega) * DT)
    x = rng.normal(size=(n, N_TIMES))
    for t in range(1, N_TIMES):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * x[:, t]
    return x


def deep_tanh(rng: np.random.Generator, n: int) -> np.ndarray:
    theory = nnqm.builtin_theory("deep-tanh")
    return nnqm.sample_paths(theory, n, N_TIMES, DT, rng=rng)[:, :, 0]


def splitting(rng: np.random.Generator, n: int) -> np.ndarray:
    """x(t) = g(theta_0) + h(|t|; theta_0, theta_sgn(t)) - h(0; ...), h a tanh network of time."""
    t = np.arange(N_TIMES // 2 + 1) * DT
    theta = rng.normal(size=(n, 6, 1))

    def side() -> np.ndarray:
        w, b, v = rng.normal(size=(3, n, 6, 1))
        h = ((v + theta / 2) * np.tanh(w * t + b + theta)).sum(axis=1)
        return h - h[:, :1]

    common = theta[:, 0]
    return np.concatenate([common + side()[:, :0:-1], common + side()], axis=1)


def gaussian(kernel: Callable[[np.ndarray], np.ndarray]) -> Make:
    lags = np.abs(np.subtract.outer(np.arange(N_TIMES), np.arange(N_TIMES))) * DT
    values, vectors = np.linalg.eigh(kernel(lags))
    root = vectors * np.sqrt(np.maximum(values, 0))
    return lambda rng, n: rng.normal(size=(n, N_TIMES)) @ root.T


def cosines(rng: np.random.Generator, n: int, k: np.ndarray | None = None) -> np.ndarray:
    k = rng.normal(size=(n, 1)) if k is None else k
    return np.sqrt(2) * np.cos(k * np.arange(N_TIMES) * DT + rng.uniform(0, 2 * np.pi, size=(n, 1)))


def damped_oscillation(rng: np.random.Generator, n: int) -> np.ndarray:
    """Stationary AR(2) process with roots 0.9 exp(+-0.5 i)."""
    start = 100
    x = rng.normal(size=(n, start + N_TIMES))
    for t in range(2, start + N_TIMES):
        x[:, t] += 1.8 * np.cos(0.5) * x[:, t - 1] - 0.81 * x[:, t - 2]
    return x[:, start:]


def alternating(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=(n, N_TIMES))
    for t in range(1, N_TIMES):
        x[:, t] = -0.5 * x[:, t - 1] + np.sqrt(0.75) * x[:, t]
    return x


def network_of_time(activation: Callable[[np.ndarray], np.ndarray]) -> Make:
    """A random network of t with 8 hidden units, reflected about t = 0."""

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        t = (np.arange(N_TIMES + 1) - N_TIMES // 2) * DT
        w, b, v = rng.normal(size=(3, n, 8, 1))
        return (v * activation(w * t + b)).sum(axis=1)

    return make


def karhunen_loeve(modes: int = 6) -> Make:
    """The leading modes of an Ornstein-Uhlenbeck process on a finite interval."""
    t = np.arange(N_TIMES + 1) * DT
    values, vectors = np.linalg.eigh(np.exp(-np.abs(np.subtract.outer(t, t))))
    root = vectors[:, -modes:] * np.sqrt(values[-modes:])
    return lambda rng, n: rng.normal(size=(n, modes)) @ root.T


# Name, functionals, process, time of the reflection (None averages over times).
POSITIVE: tuple[tuple[str, tuple[str, ...], Make, str | None], ...] = (
    ("OU", ("linear",), ornstein_uhlenbeck, None),
    ("OU", ALL, ornstein_uhlenbeck, None),
    ("OU^3", ("linear",), lambda rng, n: ornstein_uhlenbeck(rng, n) ** 3, None),
    ("OU^3", ALL, lambda rng, n: ornstein_uhlenbeck(rng, n) ** 3, None),
    ("omega mixture", ALL, lambda rng, n: ornstein_uhlenbeck(rng, n, rng.choice([0.5, 2.0], size=n)), None),
    ("deep tanh", ALL, deep_tanh, None),
    ("splitting", ALL, splitting, "middle"),
)
VIOLATING: tuple[tuple[str, tuple[str, ...], Make, str | None], ...] = (
    ("Cauchy cosines", ("linear",), lambda rng, n: cosines(rng, n, rng.standard_cauchy(size=(n, 1))), None),
    ("Cauchy cosines", ("linear", "cubic"), lambda rng, n: cosines(rng, n, rng.standard_cauchy(size=(n, 1))), None),
    ("Cauchy cosines", ALL, lambda rng, n: cosines(rng, n, rng.standard_cauchy(size=(n, 1))), None),
    ("cosines", ALL, cosines, None),
    ("Matern 3/2", ALL, gaussian(lambda t: (1 + np.sqrt(3) * t) * np.exp(-np.sqrt(3) * t)), None),
    ("squared exponential", ALL, gaussian(lambda t: np.exp(-(t**2) / 2)), None),
    ("2 e^-t - e^-2t", ALL, gaussian(lambda t: 2 * np.exp(-t) - np.exp(-2 * t)), None),
    ("AR(2), complex roots", ALL, damped_oscillation, None),
    ("AR(1), rho = -0.5", ALL, alternating, None),
    ("tanh network of t", ALL, network_of_time(np.tanh), "middle"),
    ("relu network of t", ALL, network_of_time(lambda u: np.maximum(u, 0)), "middle"),
    ("KKL, 6 modes", ALL, karhunen_loeve(), "middle"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--repetitions", type=int, default=1500)
    parser.add_argument("--paths", type=int, default=2000)
    parser.add_argument("--violating-repetitions", type=int, default=100)
    arguments = parser.parse_args()
    positive, violating = POSITIVE, VIOLATING
    repetitions, n_paths = arguments.repetitions, arguments.paths
    violating_repetitions, violating_paths = arguments.violating_repetitions, 20_000
    if arguments.toy:
        positive, violating = POSITIVE[:1], VIOLATING[1:2]
        repetitions, n_paths, violating_repetitions, violating_paths = 20, 1000, 2, 4000

    good = True
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: false alarms, {n_paths} paths x {N_TIMES} times")
    print("process               functionals             below 5%          below 1%   heavy tails  violated   seconds")
    for name, functionals, make, about in positive:
        start = time.perf_counter()
        results = [
            nnqm.reflection_positivity(
                make(np.random.default_rng([seed, 1]), n_paths), dt=DT, functionals=functionals, about=about
            )
            for seed in range(repetitions)
        ]
        p = np.array([r.p_value for r in results])
        rate, rare = np.mean(p < 0.05), np.mean(p < 0.01)
        heavy = np.mean([r.heavy_tails for r in results])
        false = sum(r.verdict == "violated" for r in results)
        error = np.sqrt(0.05 * 0.95 / repetitions)
        print(
            f"{name:20s}  {', '.join(functionals):22s}  {rate:6.2%} +- {error:.2%}  {rare:8.2%}  {heavy:10.0%}  "
            f"{false:5d}/{repetitions}  {time.perf_counter() - start:8.0f}",
            flush=True,
        )
        good = good and rate < 0.05 + 5 * error
    print(f"power, {violating_paths} paths x {N_TIMES} times, p < 0.1%")
    print("process               functionals             violated  largest p     value of the last  seconds")
    for name, functionals, make, about in violating:
        start = time.perf_counter()
        results = [
            nnqm.reflection_positivity(
                make(np.random.default_rng([seed, 2]), violating_paths),
                dt=DT,
                functionals=functionals,
                about=about,
            )
            for seed in range(violating_repetitions)
        ]
        found = sum(r.verdict == "violated" for r in results)
        worst = max(r.p_value for r in results)
        print(
            f"{name:20s}  {', '.join(functionals):22s}  {found:4d}/{violating_repetitions:<4d} {worst:9.1g}  "
            f"{results[-1].value!s:>19s}  {time.perf_counter() - start:7.0f}",
            flush=True,
        )
        if found:
            print(f"    F = {next(r.witness for r in results if r.verdict == 'violated')}", flush=True)
        good = good and (found == violating_repetitions or functionals == ("linear",))
    if not good:
        print("false alarms too frequent, or a violation missed")
    return 0 if good or not arguments.toy else 1


if __name__ == "__main__":
    sys.exit(main())
