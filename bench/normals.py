"""A battery of tests of the normal random numbers of the core: one line and one p-value per test.

Seed processes with steps far longer than their memory return the normals themselves. The tests are: equiprobable bins
(chi-squared), the counts beyond 1 to 6 standard deviations (binomial), the first eight moments, correlations of z and
of z^2 between steps of one path (within a Box-Muller pair, within a block of Philox and across blocks), between
neighbouring and far paths and between channels, triples of successive draws in 512 cells, Kolmogorov and Smirnov's
distance, and Marsaglia's birthday spacings of the uniforms behind the normals, against NumPy's SFC64.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

import nnqm

CHUNK, STEPS, BINS = 1 << 14, 64, 1024
FAR = 1 << 13
SIGMAS = np.arange(1, 7)


def draws(first: int, key: int, precision: str) -> NDArray[np.floating]:
    """Normals of the paths first .. first + CHUNK - 1, shape (CHUNK, STEPS, 2)."""
    process = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.0], [2.0**0.5] * 2))
    return nnqm.sample_paths(process, range(first, first + CHUNK), STEPS, 100.0, key=key, precision=precision)


class Battery:
    """Sums of the tests over chunks, and their p-values."""

    def __init__(self) -> None:
        self.n = 0
        self.bins, self.cells = np.zeros(BINS), np.zeros(512)
        self.beyond = np.zeros((2, len(SIGMAS)))
        self.moments = np.zeros(8)
        self.products: dict[str, NDArray[np.float64]] = {}
        self.spacings = [0, 0]
        self.reference = np.random.Generator(np.random.SFC64(1))
        self.distance: list[float] = []

    def add(self, z: NDArray[np.floating]) -> None:
        """Add a chunk."""
        wide = z.astype(np.float64)
        flat = wide.ravel()
        self.n += flat.size
        uniform = special.ndtr(flat)
        self.bins += np.bincount((uniform * BINS).astype(np.int64), minlength=BINS)[:BINS]
        for k, sigma in enumerate(SIGMAS):
            self.beyond[:, k] += (flat > sigma).sum(), (flat < -sigma).sum()
        power = np.ones_like(flat)
        for k in range(8):
            power *= flat
            self.moments[k] += power.sum()
        pairs = {f"step lag {lag}": (wide[:, :-lag], wide[:, lag:]) for lag in (1, 2, 3, 4, 8)}
        pairs["within pairs"] = wide[:, 0::2], wide[:, 1::2]
        pairs["paths, lag 1"] = wide[:-1], wide[1:]
        pairs["paths, lag 64"] = wide[:-64], wide[64:]
        pairs[f"paths, lag {FAR}"] = wide[:-FAR], wide[FAR:]
        pairs["channels"] = wide[..., 0], wide[..., 1]
        for name, (a, b) in pairs.items():
            found = np.array([(a * b).sum(), ((a**2 - 1) * (b**2 - 1)).sum() / 2, a.size])
            self.products[name] = self.products.get(name, np.zeros(3)) + found
        eighth = (uniform.reshape(-1, 4)[:, :3] * 8).astype(np.int64)
        self.cells += np.bincount(eighth @ [64, 8, 1], minlength=512)
        self.distance.append(stats.kstest(uniform[: 1 << 16], "uniform").pvalue)
        # 512 birthdays in a year of 2^24 days. Marsaglia's mean of n^3/(4 m) equal spacings is 1% too high for so few
        # birthdays, which 10^9 numbers resolve: NumPy's generator is the reference.
        birthdays = (uniform[: 1 << 18] * (1 << 24)).astype(np.int64), self.reference.integers(1 << 24, size=1 << 18)
        for side, days in enumerate(birthdays):
            gaps = np.sort(np.diff(np.sort(days.reshape(-1, 512), axis=1), axis=1), axis=1)
            self.spacings[side] += int((np.diff(gaps, axis=1) == 0).sum())

    def results(self) -> dict[str, float]:
        """p-values by name."""
        p = {"equiprobable bins": stats.chisquare(self.bins).pvalue, "triples": stats.chisquare(self.cells).pvalue}
        for k, sigma in enumerate(SIGMAS):
            chance = special.ndtr(-float(sigma))
            for side, sign in zip(self.beyond[:, k], "+-", strict=True):
                p[f"beyond {sign}{sigma} sigma ({side:.0f}, {self.n * chance:.1f} expected)"] = stats.binomtest(
                    int(side), self.n, chance
                ).pvalue
        gaussian = np.array([0.0 if k % 2 else special.factorial2(k - 1) if k else 1.0 for k in range(17)])
        for k in range(1, 9):
            error = np.sqrt((gaussian[2 * k] - gaussian[k] ** 2) / self.n)
            p[f"moment {k}"] = 2 * stats.norm.sf(abs(self.moments[k - 1] / self.n - gaussian[k]) / error)
        for name, (linear, square, count) in self.products.items():
            p[f"{name}: z"] = 2 * stats.norm.sf(abs(linear) / np.sqrt(count))
            p[f"{name}: z^2"] = 2 * stats.norm.sf(abs(square) / np.sqrt(count))
        p["Kolmogorov-Smirnov"] = stats.kstest(self.distance, "uniform").pvalue
        ours, theirs = self.spacings
        p[f"birthday spacings ({ours}, {theirs} of NumPy)"] = stats.binomtest(ours, ours + theirs).pvalue
        return {name: min(1.0, float(value)) for name, value in p.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="fewer numbers")
    parser.add_argument("--chunks", type=int, default=512, help=f"of {2 * CHUNK * STEPS} numbers")
    arguments = parser.parse_args()
    chunks = 4 if arguments.toy else arguments.chunks
    worst = 1.0
    for precision in ("float32", "float64"):
        battery = Battery()
        for i in range(chunks):
            battery.add(draws(i * CHUNK, 2026, precision))
        results = battery.results()
        print(f"{precision}: {battery.n} numbers, level {nnqm.build_info()['level']}")
        for name, value in results.items():
            print(f"  {name:44s} p = {value:.3g}")
        worst = min(worst, min(results.values()) * len(results))
    print(f"smallest p-value times the number of tests: {worst:.3g}")
    return 0 if worst > 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
