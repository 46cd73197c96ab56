"""Calibration of the errors and verdicts of levels: many seeds against exact levels.

Three parts: pulls of resolved levels, their coverage, and how often each level is resolved; how often a level is
resolved that does not exist; whether the number of paths suggested by ``Spectrum.advice`` resolves the level. All seeds
are counted, and no seed is repeated. ``--results FOLDER`` stores results, so that a run can be stopped, continued and
printed again. ``--toy``: a few seeds of each part.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nnqm
from peers.seeds import rows

TANH = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 3, 3, 1), rng=1, weight_std=1.5, bias_std=0.5))
N_TIMES = 256
# Smallest distance of a false level from the exact level, in errors; resolved levels beyond the last are false too.
FALSE = 4.0


@dataclass(frozen=True)
class System:
    """One theory and number of paths; ``hidden`` uses x alone. Theories of one process have different first seeds."""

    theory: nnqm.Theory
    n_paths: int
    dt: float
    n_levels: int
    seeds: int
    hidden: bool = False
    first_seed: int = 10_000

    def measure(self, seed: int) -> nnqm.results.Spectrum:
        if self.hidden:
            return nnqm.hidden_spectrum(
                nnqm.Paths(self.theory, self.n_paths, N_TIMES, self.dt, rng=self.first_seed + seed),
                n_levels=self.n_levels,
            )
        run = nnqm.simulate(
            self.theory,
            self.n_paths,
            N_TIMES,
            self.dt,
            rng=self.first_seed + seed,
            measure=nnqm.Measure(increment_lags=()),
        )
        return nnqm.spectrum(run, self.n_levels)

    def exact(self) -> list[float]:
        process = self.theory.sources[0]
        if isinstance(process, nnqm.GroundStateProcess):
            return [float(e) for e in process.hamiltonian.gaps(self.n_levels)]
        return [float(n) for n in range(1, self.n_levels + 1)]


SYSTEMS = {
    "double-well": System(nnqm.builtin_theory("double-well"), 100_000, 0.1, 3, 400),
    "oscillator": System(nnqm.harmonic_oscillator(), 100_000, 0.2, 4, 400),
    "anharmonic": System(nnqm.builtin_theory("anharmonic"), 100_000, 0.2, 5, 400),
    "tanh-1-3-3-1": System(TANH, 100_000, 0.2, 3, 400, first_seed=20_000),
    "oscillator-1e6": System(nnqm.harmonic_oscillator(), 1_000_000, 0.2, 5, 120, first_seed=40_000),
    "hidden-1-3-3-1": System(TANH, 100_000, 0.2, 2, 400, hidden=True, first_seed=90_000),
}


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, 64))


def one_level(rng: np.random.Generator, n: int) -> np.ndarray:
    """A sign that flips, plus noise."""
    flips = rng.random((n, 64)) < (1 - np.exp(-0.2)) / 2
    flips[:, 0] = rng.random(n) < 0.5
    return (-1.0) ** np.cumsum(flips, axis=1) + 0.5 * rng.normal(size=(n, 64))


def two_near_levels(rng: np.random.Generator, n: int) -> np.ndarray:
    pair = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.05]))
    return nnqm.sample_paths(pair, n, 64, 0.2, rng=rng)


def plateau(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two sectors that never mix."""
    paths = nnqm.sample_paths(nnqm.harmonic_oscillator(), n, 64, 0.2, rng=rng)
    return paths + rng.choice(np.float32([-2, 2]), size=(n, 1, 1))


# Functions that draw paths, and the exact levels.
CORRELATORS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], list[float]]] = {
    "pure noise": (noise, []),
    "one level": (one_level, [1.0]),
    "two near levels": (two_near_levels, sorted(a + 1.05 * b for a in range(9) for b in range(9) if a + b)),
    "plateau": (plateau, [float(n) for n in range(1, 20) for _ in range(2)]),
}


def judged(found: nnqm.results.Spectrum, exact: list[float]) -> list[dict[str, Any]]:
    """Each resolved level with the mean of the exact levels of its members."""
    entries, first = [], 0
    for level in (level for level in found.levels if level.resolved):
        members = exact[first : first + level.multiplicity]
        entry = {"first": first, "members": level.multiplicity, "value": float(level.gap.value)}
        entry["error"] = float(level.gap.total_error)
        entry["exact"] = float(np.mean(members)) if len(members) == level.multiplicity else None
        entries.append(entry)
        first += level.multiplicity
    return entries


def calibrate(system: System, seed: int) -> dict[str, Any]:
    found = system.measure(seed)
    # Eight levels more than are compared: a multiplet may contain further levels.
    exact = System(system.theory, 0, system.dt, system.n_levels + 8, 0).exact() if not system.hidden else system.exact()
    return {"seed": seed, "t0": found.t0, "levels": judged(found, exact)}


def false_resolution(kind: str, seed: int) -> dict[str, Any]:
    draw, exact = CORRELATORS[kind]
    paths = draw(np.random.default_rng([50_000, list(CORRELATORS).index(kind), seed]), 2000)
    entries = judged(nnqm.spectrum(nnqm.accumulate(paths, 0.2)), exact)
    wrong = [e for e in entries if e["exact"] is None or abs(e["value"] - e["exact"]) > FALSE * e["error"]]
    return {"seed": seed, "resolved": sum(e["members"] for e in entries), "false": bool(wrong), "levels": entries}


def follow_advice(seed: int) -> dict[str, Any]:
    """A small run of the oscillator, its advice, and a new run with the suggested number of paths."""
    theory = nnqm.harmonic_oscillator()
    advice = nnqm.spectrum(nnqm.simulate(theory, 2000, 64, 0.2, rng=70_000 + seed), 8).advice
    if advice is None or advice.n_paths is None:
        return {"seed": seed, "advised": None}
    run = nnqm.simulate(theory, min(advice.n_paths, 4_000_000), 64, 0.2, rng=80_000 + seed)
    resolved = len(nnqm.spectrum(run, 8).gaps)
    return {"seed": seed, "level": advice.level, "advised": advice.n_paths, "resolved": resolved >= advice.level}


def table(name: str, results: list[dict[str, Any]], n_levels: int) -> Iterator[str]:
    for n in range(n_levels):
        entries = [e for r in results for e in r["levels"] if e["first"] <= n < e["first"] + e["members"]]
        pulls = np.array([(e["value"] - e["exact"]) / e["error"] for e in entries if e["exact"] is not None])
        if len(pulls) < 2:
            yield f"{name:15s} {n + 1:5d}  {len(pulls) / len(results):7.1%}"
            continue
        one, two = np.mean(np.abs(pulls) < 1), np.mean(np.abs(pulls) < 1.96)
        outside = [
            word
            for word, bad in (
                ("power", len(pulls) < 0.9 * len(results)),
                ("mean", abs(pulls.mean()) > 1 / 3),
                ("sd", not 0.85 < pulls.std(ddof=1) < 1.2),
                ("68%", abs(one - 0.6827) > 3 * np.sqrt(0.6827 * 0.3173 / len(pulls))),
                ("95%", abs(two - 0.95) > 3 * np.sqrt(0.95 * 0.05 / len(pulls))),
            )
            if bad
        ]
        verdict = f"outside: {', '.join(outside)}" if outside else "ok"
        yield (
            f"{name:15s} {n + 1:5d}  {len(pulls) / len(results):7.1%}  {pulls.mean():+9.2f}  "
            f"{pulls.std(ddof=1):11.2f}  {one:14.1%}  {two:15.1%}  {np.abs(pulls).max():7.1f}  {verdict}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="worker processes, of one seed at a time")
    parser.add_argument("--results", type=Path, help="folder of results, one file of lines for each system")
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, help="instead of 400 for each system, 120 of a million paths")
    parser.add_argument("--correlators", type=int, default=1000, help="of each kind, for false resolution")
    parser.add_argument("--cases", type=int, default=50, help="pieces of advice to follow")
    arguments = parser.parse_args()
    if arguments.results is not None:
        arguments.results.mkdir(parents=True, exist_ok=True)
    systems = {
        name: SYSTEMS[name] for name in arguments.systems if hasattr(nnqm, "hidden_spectrum") or "hid" not in name
    }
    correlators, cases = arguments.correlators, arguments.cases
    if arguments.toy:
        systems = {"oscillator": System(nnqm.harmonic_oscillator(), 20_000, 0.2, 3, 12)}
        correlators, cases = 4, 2
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}, {N_TIMES} times, float32")
    print("system          level  resolved  mean pull  sd of pulls  within 1 error  within 1.96 err  largest")
    worst = 0.0
    for name, system in systems.items():
        start = time.perf_counter()
        seeds = system.seeds if arguments.seeds is None else min(arguments.seeds, system.seeds)
        results = rows(name, arguments.results, seeds, partial(calibrate, system), arguments.workers)
        for line in table(name, results, system.n_levels):
            print(line)
        every = [(e["value"] - e["exact"]) / e["error"] for r in results for e in r["levels"] if e["exact"] is not None]
        worst = max(worst, abs(np.mean(every)) * np.sqrt(len(results)))
        print(f"  ({system.n_paths} paths, {seeds} seeds, {time.perf_counter() - start:.0f} s)", flush=True)
    print("correlators      drawn  false  levels resolved")
    for kind in CORRELATORS:
        results = rows(kind, arguments.results, correlators, partial(false_resolution, kind), arguments.workers)
        rate = np.mean([r["false"] for r in results])
        print(f"{kind:15s} {len(results):6d} {rate:6.1%}  {np.mean([r['resolved'] for r in results]):.2f}", flush=True)
    results = rows("advice", arguments.results, cases, follow_advice, arguments.workers)
    given = [r for r in results if r["advised"] is not None]
    print(
        f"advice: {len(given)} of {len(results)} runs were told a number of paths, between "
        f"{min(r['advised'] for r in given):,} and {max(r['advised'] for r in given):,}; "
        f"{sum(r['resolved'] for r in given)} of these resolved the level"
    )
    # A coarse bound only, the table is the result: a mean is not six errors off by chance.
    if arguments.toy and worst > 6:
        print(f"pulls are not centred: {worst:.1f} errors off")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
