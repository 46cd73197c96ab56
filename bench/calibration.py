"""Are the errors of levels right? Pulls of gaps against exact ones over many seeds, and how often each is resolved.

For every system: mean and standard deviation of the pulls, coverage of the 68% and 95% intervals, and the fraction of
seeds in which the level was resolved. Every seed counts; none is drawn again. ``--toy``: one system, twelve seeds.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import nnqm

# Name, time step, levels asked for.
SYSTEMS = (("oscillator", 0.2, 5), ("anharmonic", 0.2, 5), ("double-well", 0.1, 2), ("deep-tanh", 0.2, 4))


def exact_gaps(theory: nnqm.Theory, n: int) -> np.ndarray:
    process = theory.sources[0]
    if isinstance(process, nnqm.GroundStateProcess):
        return np.asarray(process.hamiltonian.gaps(n))
    return np.arange(1.0, n + 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--paths", type=int, default=100_000)
    arguments = parser.parse_args()
    systems, seeds, paths = (SYSTEMS[:1], 12, 20_000) if arguments.toy else (SYSTEMS, arguments.seeds, arguments.paths)
    worst = 0.0
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: {paths} paths x 256 times, {seeds} seeds")
    print("system        level  resolved   mean pull  sd of pulls  within 1 error  within 2 errors")
    for name, dt, n in systems:
        theory = nnqm.builtin_theory(name)
        exact = exact_gaps(theory, n)
        pulls = np.full((seeds, n), np.nan)
        start = time.perf_counter()
        for seed in range(seeds):
            run = nnqm.simulate(theory, paths, 256, dt, rng=10_000 + seed, lags=(), increment_lags=())
            for i, gap in enumerate(nnqm.spectrum(run, n).gaps):
                pulls[seed, i] = float(gap.pull(exact[i]))
        for i in range(n):
            seen = pulls[np.isfinite(pulls[:, i]), i]
            one, two = np.mean(np.abs(seen) < 1), np.mean(np.abs(seen) < 1.96)
            print(
                f"{name:12s}  {i + 1:5d}  {len(seen) / seeds:7.1%}  {seen.mean():+9.2f}  {seen.std(ddof=1):11.2f}  "
                f"{one:14.1%}  {two:15.1%}"
            )
            worst = max(
                worst, abs(seen.mean()) * np.sqrt(len(seen)), abs(seen.std(ddof=1) - 1) * np.sqrt(2 * len(seen))
            )
        print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)
    # A sanity bound only: what matters is the table. Six errors of a mean, or of a standard deviation, are no chance.
    if arguments.toy and worst > 6:
        print(f"pulls are not normal: {worst:.1f} errors off")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
