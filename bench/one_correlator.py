"""False resolution: levels claimed from one correlator that are not there, over many synthetic correlators.

Five kinds: pure noise, one level (1), two near levels (1 and 1.15), two levels (1 and 2.5), a level on a plateau. A
claim is false if no level lies within three total errors of it, or if more levels are claimed than exist. Errors of the
correlators are drawn log-uniformly between 1e-4 and 3e-2 of G(0). They are equal at all lags and correlated over five
lags, in 128 blocks. Further columns: how often the lowest gap is resolved, its pulls in statistical errors, and how
often a level lies within one and within two total errors of a resolved gap. For one level the mean of the pulls must be
below 1/3, their standard deviation between 0.85 and 1.2, and the fractions within 1 and 1.96 errors must agree with a
normal distribution within three binomial errors. ``--toy``: twenty of each kind.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray

import nnqm

TIMES = 0.2 * np.arange(24)
BLOCKS = 128
KINDS = {
    "noise": ([], [], 0.0),
    "one level": ([1.0], [1.0], 0.0),
    "two near levels": ([1.0, 1.15], [0.5, 0.5], 0.0),
    "two levels": ([1.0, 2.5], [0.5, 0.5], 0.0),
    "plateau": ([1.0], [1.0], 0.2),
}
METHODS = ("plateau", "exponentials", "rayleigh_ritz")
COLOUR = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(np.arange(24), np.arange(24))) / 5))


def synthetic(kind: str, seed: int) -> nnqm.Estimate:
    """A correlator of a kind, as a mean over blocks."""
    gaps, weights, constant = KINDS[kind]
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    error = 10 ** rng.uniform(-4, -1.5)
    truth = np.exp(-np.multiply.outer(TIMES, gaps)) @ np.array(weights) + constant
    blocks = truth + error * np.sqrt(BLOCKS) * rng.normal(size=(BLOCKS, len(TIMES))) @ COLOUR.T
    return nnqm.jackknife(lambda s: s["g"] / s["n"][:, None], {"g": blocks, "n": np.ones(BLOCKS)}, np.ones(BLOCKS))


def is_false(found: tuple[nnqm.Estimate, ...], gaps: list[float]) -> bool:
    if len(found) > len(gaps):
        return True
    return any(distance(g, gaps) > 3 for g in found)


def distance(gap: nnqm.Estimate, gaps: list[float]) -> float:
    """Distance of a gap from the nearest level, in total errors."""
    return min(abs(float(gap.pull(e))) for e in gaps)


def calibrated(pulls: NDArray[np.float64]) -> bool:
    shares = [(np.mean(np.abs(pulls) < reach), share) for reach, share in ((1.0, 0.6827), (1.96, 0.95))]
    near = all(abs(seen - p) < 3 * np.sqrt(p * (1 - p) / len(pulls)) for seen, p in shares)
    return bool(near and abs(pulls.mean()) < 1 / 3 and 0.85 < pulls.std() < 1.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--number", type=int, default=1000)
    arguments = parser.parse_args()
    number = 20 if arguments.toy else arguments.number
    print(f"nnqm {nnqm.__version__}: {number} correlators of each kind, {len(TIMES)} times, {BLOCKS} blocks")
    print(f"{'':33s}false   lowest gap resolved   second    pull of the lowest gap        level within")
    print(f"{'kind':16s} {'method':14s}{'':40s} mean     sd     <1  <1.96    1 total     2")
    worst, good = 0.0, True
    start = time.perf_counter()
    for kind, (gaps, _, _) in KINDS.items():
        for method in METHODS:
            wrong = first = second = 0
            lowest, near = [], []
            for seed in range(number):
                found = getattr(nnqm.OneCorrelator(synthetic(kind, seed), TIMES), method)().gaps
                wrong += is_false(found, gaps)
                first += len(found) > 0
                second += len(found) > 1
                if found and gaps:
                    lowest.append(float((found[0].value - gaps[0]) / found[0].error))
                    near += [distance(gap, gaps) for gap in found]
            worst = max(worst, wrong / number)
            rates = f"{wrong / number:6.1%} {first / number:21.1%} {second / number:8.1%}"
            spread = ""
            if len(lowest) > 1:
                pulls, apart = np.array(lowest), np.array(near)
                within = " ".join(f"{np.mean(np.abs(pulls) < reach):6.1%}" for reach in (1, 1.96))
                covered = " ".join(f"{np.mean(apart < reach):6.1%}" for reach in (1, 2))
                spread = f"{pulls.mean():+6.2f} {pulls.std():6.2f} {within}   {covered}"
                good &= kind != "one level" or calibrated(pulls)
            print(f"{kind:16s} {method:14s} {rates}   {spread}", flush=True)
    print(f"worst: {worst:.1%} ({time.perf_counter() - start:.0f} s)")
    if worst > (0.2 if arguments.toy else 0.05):
        print("false resolution above 5%")
        return 1
    if not (good or arguments.toy):
        print("pulls of one level outside the aim")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
