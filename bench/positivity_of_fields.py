"""Calibration of the verdict on reflection positivity for fields: p-values where it holds, power where it fails.

False alarms: p-values of ``reflection_positivity`` on new paths of fields that are positive by construction, and a test
of Kolmogorov and Smirnov against p-values smaller than uniform ones. Power: verdicts "violated" (p below 0.1%) on
cos-nets that have exactly the propagator of the reflection-positive net. The lines "linear" of that table are controls,
because this propagator is positive. All seeds are counted, and no seed is repeated. ``--toy``: one field each, a few
seeds.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from scipy.stats import kstest

import nnqm
from nnqm.fields import CosNet, PeriodicBox, ReflectionPositiveNet, Regulator

DT, N_TIMES, CUTOFF, POINTS, GROUP = 0.2, 32, 50.0, [0.0, 0.3, 1.0], 8


def rp_net(width: int) -> nnqm.Theory:
    return nnqm.Theory(ReflectionPositiveNet(2, 1.0, width, CUTOFF, points=POINTS, group=GROUP))


def cos_net(width: int) -> nnqm.Theory:
    return nnqm.Theory(CosNet(2, 1.0, width, regulator=Regulator("hard", CUTOFF, spatial=True), points=POINTS))


def deep_box() -> nnqm.Theory:
    network = nnqm.Network.random((4, 8, 8, 3), "tanh", rng=1, weight_std=1.5, bias_std=0.5)
    return nnqm.Theory(PeriodicBox(1.0, 4), network)


# Name, theory, reflection (None averages over times).
POSITIVE = (
    *((f"RP-net, N = {width}", rp_net(width), about) for width in (2, 5, 50) for about in (None, "middle")),
    ("deep net on a box", deep_box(), None),
)
# Width, families (None for all of them), number of paths.
VIOLATING = (
    (2, "linear", 10_000),
    (2, None, 10_000),
    (5, None, 10_000),
    (10, None, 10_000),
    (20, None, 20_000),
    (50, None, 40_000),
    (50, "exchange", 40_000),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--paths", type=int, default=4000)
    parser.add_argument("--violating-repetitions", type=int, default=20)
    arguments = parser.parse_args()
    positive, violating = POSITIVE, VIOLATING
    repetitions, n_paths, violating_repetitions = (
        arguments.repetitions,
        arguments.paths,
        arguments.violating_repetitions,
    )
    if arguments.toy:
        positive, violating = POSITIVE[:1], VIOLATING[1:2]
        repetitions, n_paths, violating_repetitions = 5, 1600, 1

    good = True
    print(
        f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: {len(POINTS)} points of space, {N_TIMES} times, "
        f"false alarms with {n_paths} paths"
    )
    print("field               about   below 5%          below 1%  mean p  too small?  heavy tails  violated   seconds")
    for name, theory, about in positive:
        start = time.perf_counter()
        results = [
            nnqm.reflection_positivity(nnqm.Paths(theory, n_paths, N_TIMES, DT, rng=seed), about=about)
            for seed in range(repetitions)
        ]
        p = np.array([r.p_value for r in results])
        error = np.sqrt(0.05 * 0.95 / repetitions)
        # The distribution of p-values lies above the uniform one if they are too small.
        small = kstest(p, "uniform", alternative="greater").pvalue
        print(
            f"{name:18s}  {about or 'all':6s}  {np.mean(p < 0.05):6.2%} +- {error:.2%}  {np.mean(p < 0.01):8.2%}  "
            f"{p.mean():6.2f}  p = {small:5.2f}  {np.mean([r.heavy_tails for r in results]):11.0%}  "
            f"{sum(r.verdict == 'violated' for r in results):4d}/{repetitions}  {time.perf_counter() - start:8.0f}",
            flush=True,
        )
        good = good and np.mean(p < 0.05) < 0.05 + 5 * error and small > 1e-4
    print("power, p < 0.1%")
    print("field                 functionals    paths  violated  largest p     value of the last  seconds")
    for width, functionals, paths in violating:
        start = time.perf_counter()
        results = [
            nnqm.reflection_positivity(
                nnqm.Paths(cos_net(width), paths, N_TIMES, DT, rng=1000 + seed), functionals=functionals
            )
            for seed in range(violating_repetitions)
        ]
        found = sum(r.verdict == "violated" for r in results)
        print(
            f"cos-net, N = {width:<6d}  {functionals or 'all':11s}  {paths:7d}  {found:4d}/{violating_repetitions:<4d}"
            f" {max(r.p_value for r in results):9.1g}  {results[-1].value!s:>19s}  {time.perf_counter() - start:7.0f}",
            flush=True,
        )
        if found:
            print(f"    F = {next(r.witness for r in results if r.verdict == 'violated')}", flush=True)
        good = good and (found == 0 if functionals == "linear" else found == violating_repetitions)
    if not good:
        print("false alarms too frequent, or a violation missed")
    return 0 if good or not arguments.toy else 1


if __name__ == "__main__":
    sys.exit(main())
