"""What one correlator is claimed to hold, and does not: false resolution over many synthetic correlators.

Five kinds: pure noise, one level (1), two near levels (1 and 1.15), two levels (1 and 2.5), a level on a plateau. A
claim is false if no level lies within three total errors of it, or if more levels are claimed than there are. Errors
of the correlators are drawn log-uniformly between 1e-4 and 3e-2 of G(0), alike at all lags and correlated over five
of them, in 128 blocks. Beside it how often the lowest gap is resolved, and its pulls, in statistical errors.
``--toy``: twenty of each kind.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

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
    return any(min(abs(float(g.pull(e))) for e in gaps) > 3 for g in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--number", type=int, default=1000)
    arguments = parser.parse_args()
    number = 20 if arguments.toy else arguments.number
    print(f"nnqm {nnqm.__version__}: {number} correlators of each kind, {len(TIMES)} times, {BLOCKS} blocks")
    print("kind             method          false   lowest gap resolved   second   pull of the lowest: mean, sd")
    worst = 0.0
    start = time.perf_counter()
    for kind, (gaps, _, _) in KINDS.items():
        for method in METHODS:
            wrong = first = second = 0
            pulls = []
            for seed in range(number):
                found = getattr(nnqm.OneCorrelator(synthetic(kind, seed), TIMES), method)().gaps
                wrong += is_false(found, gaps)
                first += len(found) > 0
                second += len(found) > 1
                if found and gaps:
                    pulls.append(float((found[0].value - gaps[0]) / found[0].error))
            worst = max(worst, wrong / number)
            rates = f"{wrong / number:6.1%} {first / number:21.1%} {second / number:8.1%}"
            spread = f"{np.mean(pulls):+6.2f} {np.std(pulls):6.2f}" if len(pulls) > 1 else ""
            print(f"{kind:16s} {method:14s} {rates}   {spread}", flush=True)
    print(f"worst: {worst:.1%} ({time.perf_counter() - start:.0f} s)")
    if worst > (0.2 if arguments.toy else 0.05):
        print("false resolution above 5%")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
