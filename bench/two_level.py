"""Two levels against plain sums at late times: errors for equal work, and calibration of the errors.

First table: relative errors of the two-point function at omega t = 10 by ``simulate_two_level`` and ``simulate``, for
an equal number of sampled points (the pilot is counted) and for equal processor time, in rounds that take turns, one
thread each. The paths of ``simulate`` have the length that is best for it, 256 steps. Both ratios of the errors must be
at least 10.

Second table: the same number of points shared among different numbers of futures.

Third table: p-values of joint tests against exact functions over seeds, which must be uniform, and the variance of
pulls. ``--toy``: fewer points and seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

import nnqm

DT, N_TIMES, LATE, PLAIN_TIMES = 0.25, 33, 40, 256
# Presents that the pilot draws.
PILOT = 32
RATIO = 10.0


@dataclass
class Case:
    """A theory with its plain form (random momenta for few paths), and its exact function at lags."""

    name: str
    theory: nnqm.Theory
    plain: nnqm.Theory
    presents: int
    futures: int

    def exact(self, lags: np.ndarray) -> np.ndarray:
        source = self.theory.sources[0]
        if isinstance(source, nnqm.fields.ReflectionPositiveNet):
            return source.propagator(DT * lags, np.zeros((len(lags), 1)))
        return nnqm.kallen_lehmann(self.theory).connected(DT * lags)


def net(width: int, group: int) -> nnqm.Theory:
    return nnqm.Theory(nnqm.fields.ReflectionPositiveNet(2, 1.0, width, 50.0, group=group))


def cases(toy: bool) -> list[Case]:
    oscillator = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))
    network = nnqm.Network.random((1, 16, 1), "tanh", rng=1, weight_std=1.0, bias_std=0.5)
    deep = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    found = [
        Case("oscillator", oscillator, oscillator, 256 if toy else 1024, 8192),
        Case(f"net of {5 if toy else 50}", net(5 if toy else 50, 16384), net(5 if toy else 50, 8), 128, 8192),
    ]
    return found if toy else [*found, Case("tanh network", deep, deep, 1024, 8192)]


def two_level(case: Case, seed: int, presents: int, futures: int) -> Any:
    theory = case.theory
    if theory.sectors:
        theory = net(theory.sources[0].width, 2 * futures)
    lags = nnqm.Measure(lags=(LATE,))
    return nnqm.simulate_two_level(theory, presents, futures, N_TIMES, DT, rng=seed, measure=lags, n_threads=1)


def timed(job: Any) -> tuple[float, float]:
    """Squared error of the connected function, and processor seconds."""
    start = time.process_time()
    run = job()
    seconds = time.process_time() - start
    return float(run.connected().error[0]) ** 2, seconds


def race(case: Case, rounds: int) -> bool:
    points = (case.presents + PILOT) * case.futures * N_TIMES
    paths = points // PLAIN_TIMES // 64 * 64
    lags = nnqm.Measure(lags=(LATE,), observable_lags=(), increment_lags=())
    two, plain = [], []
    for seed in range(rounds):
        two.append(timed(lambda s=seed: two_level(case, s, case.presents, case.futures)))
        plain.append(
            timed(lambda s=seed: nnqm.simulate(case.plain, paths, PLAIN_TIMES, DT, rng=s, measure=lags, n_threads=1))
        )
    exact = abs(float(case.exact(np.array([LATE]))[0]))
    (ours, our_time), (theirs, their_time) = np.mean(two, axis=0), np.mean(plain, axis=0)
    ratio = np.sqrt(theirs / ours)
    # An error falls like the root of the time.
    at_equal_time = ratio * np.sqrt(their_time / our_time)
    print(
        f"{case.name:14s} {case.presents:6d} x {case.futures:5d} x {N_TIMES}  {np.sqrt(ours) / exact:8.2f} "
        f"{np.sqrt(theirs) / exact:8.2f}  {our_time:7.2f} {their_time:7.2f}  {ratio:6.1f} {at_equal_time:6.1f}",
        flush=True,
    )
    return bool(min(ratio, at_equal_time) >= RATIO)


def sharing(case: Case, points: int) -> None:
    print(f"\nfutures of one present, {case.name}, {points:.2g} points: relative error")
    exact = abs(float(case.exact(np.array([LATE]))[0]))
    for futures in (64, 256, 1024, 4096, 16384):
        presents = points // (futures * N_TIMES)
        if presents < 32:
            break
        run = two_level(case, 1, presents, futures)
        print(f"{futures:6d} x {presents:6d} presents: {float(run.connected().error[0]) / exact:6.2f}", flush=True)


def calibration(case: Case, seeds: int) -> bool:
    kept = np.array([4, 16, 28])
    theory = net(5, 128) if case.theory.sectors else case.theory
    small = Case(case.name, theory, theory, 512, 64)
    exact = small.exact(kept)
    lags = nnqm.Measure(lags=kept.tolist())
    p_values, pulls = [], []
    for seed in range(seeds):
        run = nnqm.simulate_two_level(theory, 512, 64, 17, DT, rng=seed, measure=lags, n_threads=1)
        found = run.connected()
        p_values.append(found.consistency(exact))
        pulls.append(found.pull(exact))
    uniform = stats.kstest(p_values, "uniform").pvalue
    variance = np.mean(np.square(pulls), axis=0)
    print(
        f"{case.name:14s} {seeds} seeds: p uniform with p = {uniform:.2f}; pulls^2 {np.round(variance, 2)}", flush=True
    )
    return bool(uniform > 1e-3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=200)
    arguments = parser.parse_args()
    rounds, seeds = (1, 20) if arguments.toy else (arguments.rounds, arguments.seeds)
    chosen = cases(arguments.toy)
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}, one thread, omega t = {LATE * DT:g}")
    print("                                   relative error          seconds     error: plain / two levels")
    print("theory         presents x futures  two lev.    plain   two lev.  plain   points   time")
    good = all([race(case, rounds) for case in chosen])
    sharing(chosen[0], 1 << 23 if arguments.toy else 1 << 27)
    print("\ncalibration")
    calibrated = all([calibration(case, seeds) for case in chosen])
    if not (good and calibrated):
        print("a ratio below 10" if calibrated else "p-values are not uniform")
    return 0 if good and calibrated else 1


if __name__ == "__main__":
    sys.exit(main())
