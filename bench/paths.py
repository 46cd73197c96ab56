"""Calibration of the errors of correlated paths from elsewhere: chains of configurations, and trajectories.

Configurations are oscillator paths (omega = 1) of 32 times, dt = 0.2, with autocorrelation rho^k from path to path.
Their time average is known to be 0, and the average square 1/2. Each number of configurations and each rho has a row
for an array, a list of chunks, a generator and four channels: the fraction that ``accumulate`` refuses, and standard
deviations of the pulls of both averages for the rest. Trajectories are cut along time. A row is "ok" if the standard
deviation of the pulls of the mean lies between 0.85 and 1.2 within its error, or at least 95% are refused. Independent
paths may be refused in less than 1%. ``--toy``: a few rows and seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

import nnqm

DT, N_TIMES = 0.2, 32
SUMS = {"lags": (0, 1), "observable_lags": (), "increment_lags": ()}
NUMBERS, RHOS = (16, 40, 63, 100, 250, 1000), (0.0, 0.3, 0.5, 0.8, 0.9, 0.95, 0.98)
LENGTHS = (100, 300, 1000, 10_000)


def configurations(n: int, rho: float, channels: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shape (n, n_times, channels)."""
    step = np.exp(-DT)
    x = np.sqrt(0.5) * rng.standard_normal((n, N_TIMES, channels))
    x[:, 1:] *= np.sqrt(1 - step**2)
    x = lfilter([1.0], [1.0, -step], x, axis=1)
    x[1:] *= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], x, axis=0))


FORMS: dict[str, tuple[int, Callable[[NDArray[np.float64]], object]]] = {
    "array": (1, lambda x: x),
    "list": (1, lambda x: np.array_split(x, 5)),
    "generator": (1, lambda x: iter(np.array_split(x, 5))),
    "4 channels": (4, lambda x: x),
}


def pulls(paths: object, channels: int) -> tuple[float, float] | None:
    """Pulls of the mean and of the variance, or None if the paths are refused."""
    names = [f"x{i + 1}" for i in range(channels)]
    measure = nnqm.Measure(
        observables=nnqm.default_observables((np.zeros(channels), np.ones(channels), names), order=1, neurons=0), **SUMS
    )
    try:
        run = nnqm.accumulate(paths, DT, measure=measure)
    except ValueError:
        return None
    return float(run.mean().pull(0.0)), float(run.two_point()[0].pull(0.5))


def row(name: str, work: Callable[[np.random.Generator], tuple[float, float] | None], seeds: int, free: bool) -> bool:
    """Print one row; whether it is as it should be."""
    found = [work(np.random.default_rng([seed, *name.encode()])) for seed in range(seeds)]
    kept = np.array([f for f in found if f is not None]).reshape(-1, 2)
    refused = 1 - len(kept) / seeds
    if len(kept) < 2:
        print(f"{name:44s} {refused:7.1%}", flush=True)
        return not free
    mean, square = kept.std(axis=0)
    chance = 3 / np.sqrt(2 * len(kept))
    good = (0.85 - chance < mean < 1.2 + chance) or refused >= 0.95
    good &= not free or refused < 0.01 + 2 / seeds
    print(f"{name:44s} {refused:7.1%}  {mean:6.2f}  {square:6.2f}  {'ok' if good else 'outside'}", flush=True)
    return bool(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--seeds", type=int, default=400)
    arguments = parser.parse_args()
    seeds = 40 if arguments.toy else arguments.seeds
    start = time.perf_counter()
    print(f"nnqm {nnqm.__version__}: {seeds} seeds; standard deviations of pulls")
    print(f"{'':44s} refused   mean   square")
    good = []
    for n in (40, 500) if arguments.toy else NUMBERS:
        for rho in (0.0, 0.9) if arguments.toy else RHOS:
            for form in FORMS:

                def of_chain(
                    rng: np.random.Generator, n: int = n, rho: float = rho, form: str = form
                ) -> tuple[float, float] | None:
                    channels, given = FORMS[form]
                    return pulls(given(configurations(n, rho, channels, rng)), channels)

                good.append(row(f"{n} configurations, rho = {rho}, {form}", of_chain, seeds, rho == 0))
    for n in (1000,) if arguments.toy else LENGTHS:
        for rho in (0.8,) if arguments.toy else (0.0, 0.5, 0.8, 0.95):

            def of_trajectory(rng: np.random.Generator, n: int = n, rho: float = rho) -> tuple[float, float] | None:
                x = np.sqrt(0.5) * rng.standard_normal(n)
                x[1:] *= np.sqrt(1 - rho**2)
                return pulls(lfilter([1.0], [1.0, -rho], x), 1)

            good.append(row(f"trajectory of {n} steps, rho = {rho}", of_trajectory, seeds, rho == 0))
    print(f"{sum(good)} of {len(good)} rows ok ({time.perf_counter() - start:.0f} s)")
    return 0 if not arguments.toy or all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
