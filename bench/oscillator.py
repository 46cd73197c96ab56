"""The harmonic oscillator against its exact results, seed by seed.

For each seed: gaps 1 to 5 against n omega, commutator and uncertainty product, kurtosis and positivity, from
``simulate`` and ``analyse`` with 1e6 paths x 256 times (``--toy``: one seed, 1e5 paths). Exits with status 1 if a pull
is 3.5 or larger, or a systematic error exceeds ten times the statistical error. Gaps that deviate by more than 1% are
listed: with 1e6 paths the fifth gap has a statistical error of half a percent.
"""

from __future__ import annotations

import argparse
import sys
import time

import nnqm

LIMIT = 3.5
LEVELS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="one seed, 1e5 paths")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--paths", type=int, default=1_000_000)
    arguments = parser.parse_args()
    seeds, paths = (1, 100_000) if arguments.toy else (arguments.seeds, arguments.paths)
    theory = nnqm.harmonic_oscillator()
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: {paths} paths x 256 times, dt = 0.2, float32")
    wrong, wide = [], []
    for seed in range(1, seeds + 1):
        start = time.perf_counter()
        run = nnqm.simulate(theory, paths, n_times=256, dt=0.2, rng=seed)
        sampled = time.perf_counter() - start
        report = nnqm.analyse(run, n_levels=LEVELS)
        line = []
        for n in range(1, LEVELS + 1):
            row = report[f"gap {n}"]
            if row.estimate is None or row.pull is None:
                wrong.append(f"seed {seed}: gap {n} is {row.verdict}")
                continue
            deviation = float(row.estimate.value) / n - 1
            line.append(f"{row.estimate} [{row.pull:+.1f}]")
            if abs(row.pull) >= LIMIT:
                wrong.append(f"seed {seed}: gap {n} = {row.estimate}, pull {row.pull:+.2f}")
            if abs(deviation) > 0.01:
                wide.append(f"seed {seed}: gap {n} = {row.estimate} is {deviation:+.2%} off, pull {row.pull:+.2f}")
        for quantity in ("[x,p]/(i hbar), dt -> 0", "dx dp, dt -> 0", "excess kurtosis"):
            row = report[quantity]
            if row.estimate is None or row.pull is None or abs(row.pull) >= LIMIT:
                wrong.append(f"seed {seed}: {quantity} = {row.estimate}, {row.verdict}")
                continue
            line.append(f"{row.estimate} [{row.pull:+.1f}]")
            if float(row.estimate.systematic) > 10 * float(row.estimate.error):
                wrong.append(f"seed {seed}: {quantity} = {row.estimate}: systematic above ten times statistical")
        positivity = report.details["positivity"]
        if positivity.verdict != "consistent":
            wrong.append(f"seed {seed}: {positivity}")
        line.append(f"RP p = {positivity.p_value:.2g}")
        print(f"seed {seed:2d}: {'  '.join(line)}  ({sampled:.1f} s)", flush=True)
    print("\n".join(["more than 1% off:", *wide]) if wide else "every gap within 1%")
    print("\n".join(["WRONG:", *wrong]) if wrong else f"every pull below {LIMIT}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
