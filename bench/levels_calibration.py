"""Calibration of numbered levels: random theories, and wells with a continuum, against exact levels.

Two parts. ``theories``: theories drawn at random (one to three Ornstein-Uhlenbeck inputs, plain or behind a network of
fixed or random weights, and Hamiltonians: polynomials, asymmetric double wells, wells with a continuum), one run of
each; every resolved level is compared with the exact level of its number. ``seeds``: fixed theories, many seeds each;
pulls of the resolved levels. Levels that are only "at least the n-th" have to lie above the n-th.

``--results FOLDER`` keeps results, so that a run can be stopped and continued. ``--toy``: a few of each part.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nnqm
from peers.seeds import rows

# Largest deviation of a resolved level, in errors.
FALSE = 5.0
# Exact levels that are computed; a theory has fewer if it has a continuum.
MOST = 60


def oscillators(rng: np.random.Generator) -> nnqm.Theory:
    omega = np.round(rng.uniform(0.4, 2.0, size=rng.integers(1, 4)), 3)
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega))


def networks(rng: np.random.Generator) -> nnqm.Theory:
    n = int(rng.integers(1, 4))
    omega = np.round(rng.uniform(0.4, 2.0, size=n), 3)
    widths = (n, int(rng.integers(2, 9)), 1)
    activation = str(rng.choice(["tanh", "gelu", "sin"]))
    network = nnqm.Network.random(widths, activation, rng=int(rng.integers(2**31)), weight_std=1.2, bias_std=0.5)
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), network)


def random_weights(rng: np.random.Generator) -> nnqm.Theory:
    n = int(rng.integers(1, 4))
    omega = np.round(rng.uniform(0.4, 2.0, size=n), 3)
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), nnqm.RandomNetwork((n, int(rng.integers(2, 9)), 1), "tanh"))


def ground_state(potential: Any) -> nnqm.Theory:
    return nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian(potential)))


def confined(rng: np.random.Generator) -> nnqm.Theory:
    c = rng.uniform(-1, 1, size=3)
    return ground_state([0.0, c[0], 2 * c[1], c[2], float(rng.uniform(0.2, 1.5))])


def double_well(rng: np.random.Generator) -> nnqm.Theory:
    tilt, half = rng.uniform(0, 0.5), rng.uniform(1.0, 2.0)
    return ground_state([half**2, tilt, -2 * half, 0.0, 1.0])


def with_continuum(rng: np.random.Generator) -> nnqm.Theory:
    depth, rate = float(rng.uniform(2, 15)), float(rng.uniform(0.4, 1.2))
    forms: list[Callable[[Any], Any]] = [
        lambda x: depth * (1 - np.exp(-rate * x)) ** 2,
        lambda x: -depth / np.cosh(rate * x) ** 2,
        lambda x: -depth * np.exp(-((rate * x) ** 2)),
    ]
    return ground_state(forms[int(rng.integers(3))])


KINDS = (oscillators, networks, random_weights, confined, double_well, with_continuum)


@dataclass(frozen=True)
class System:
    """A fixed theory, its paths and the number of levels asked for."""

    theory: nnqm.Theory
    n_levels: int
    n_paths: int = 50_000
    n_times: int = 64


SYSTEMS: dict[str, Callable[[], System]] = {
    "morse": lambda: System(ground_state(lambda x: 10 * (1 - np.exp(-x)) ** 2), 3),
    "wide-morse": lambda: System(ground_state(lambda x: 10 * (1 - np.exp(-x / 2)) ** 2), 5),
    "poeschl-teller": lambda: System(ground_state(lambda x: -10 / np.cosh(x) ** 2), 3),
    "shallow": lambda: System(ground_state(lambda x: -3 / np.cosh(x) ** 2), 2),
    "asymmetric": lambda: System(ground_state([0, 0.3, -2, 0, 1]), 5),
    "tilted-double": lambda: System(ground_state([4, 0.1, -4, 0, 1]), 5),
    "x^4": lambda: System(nnqm.builtin_theory("anharmonic"), 5),
    "oscillator": lambda: System(nnqm.harmonic_oscillator(), 4),
    "three-inputs": lambda: System(nnqm.Theory(nnqm.OrnsteinUhlenbeck([0.652, 0.52, 1.053])), 5),
}


def exact_levels(theory: nnqm.Theory) -> list[float]:
    """Exact distinct levels, one for each state, those of a continuum left out."""
    energies, multiplicities = nnqm.level_energies(theory, MOST)
    return [float(e) for e, m in zip(energies, multiplicities, strict=True) for _ in range(m)]


def step(theory: nnqm.Theory) -> float:
    return min(source.natural_step for source in theory.sources)


def compared(found: nnqm.results.Spectrum, exact: list[float]) -> list[dict[str, Any]]:
    """Each resolved level with the exact levels of its states: a level is counted by the states below it."""
    distinct = sorted(set(exact))
    entries, first = [], 0
    for level in found.levels:
        members = exact[first : first + level.multiplicity]
        first += level.multiplicity
        if not level.resolved:
            continue
        entry = {"value": float(level.gap.value), "error": float(level.gap.total_error), "name": level.name}
        if level.at_least:
            # States may have been skipped: no more can be said than that it does not lie below.
            lowest = distinct[level.number - 1] if level.number <= len(distinct) else None
            entry.update(bound=lowest)
        elif len(members) == level.multiplicity and distinct[level.number - 1] == members[0]:
            entry.update(exact=float(np.mean(members)), number=level.number)
        else:
            entry.update(exact=None, number=level.number)
        entries.append(entry)
    return entries


def pull(entry: dict[str, Any]) -> float:
    if "bound" in entry:
        return 0.0 if entry["bound"] is None else min(0.0, (entry["value"] - entry["bound"]) / entry["error"])
    return float("inf") if entry["exact"] is None else (entry["value"] - entry["exact"]) / entry["error"]


def measured(theory: nnqm.Theory, n_paths: int, n_times: int, seed: int, n_levels: int) -> nnqm.results.Spectrum:
    measure = nnqm.Measure(lags=(), increment_lags=())
    run = nnqm.simulate(theory, n_paths, n_times, step(theory), rng=seed, measure=measure)
    return nnqm.spectrum(run, n_levels)


def random_theory(seed: int, n_paths: int) -> dict[str, Any]:
    kind = KINDS[seed % len(KINDS)]
    rng = np.random.default_rng([20_251_128, seed])
    for attempt in range(20):
        try:
            theory = kind(rng)
            found = measured(theory, n_paths, 64, 1000 * attempt + seed, 6)
            return {"seed": seed, "kind": kind.__name__, "levels": compared(found, exact_levels(theory))}
        except nnqm.InputError as error:  # wells too far apart, or a single bound state
            reason = str(error)
    raise AssertionError(reason)


def of_system(name: str, seed: int) -> dict[str, Any]:
    # By its name: some potentials are local functions, which do not travel to workers.
    system = SYSTEMS[name]()
    found = measured(system.theory, system.n_paths, system.n_times, 300_000 + seed, system.n_levels)
    return {"seed": seed, "levels": compared(found, exact_levels(system.theory))}


def table_of_theories(results: list[dict[str, Any]]) -> int:
    print("kind             drawn  resolved  at least  mean pull  sd of pulls  largest")
    worst = 0
    for kind in KINDS:
        entries = [e for r in results if r["kind"] == kind.__name__ for e in r["levels"]]
        drawn = sum(r["kind"] == kind.__name__ for r in results)
        certain = np.array([pull(e) for e in entries if "bound" not in e])
        every = np.array([abs(pull(e)) for e in entries])
        worst += int((every > FALSE).sum())
        spread = f"{certain.mean():+9.2f}  {certain.std():11.2f}" if len(certain) > 1 else " " * 22
        print(
            f"{kind.__name__:15s} {drawn:6d}  {len(certain):8d}  {len(entries) - len(certain):8d}  {spread}  "
            f"{every.max(initial=0):7.1f}"
        )
    print(f"beyond {FALSE:g} errors: {worst}", flush=True)
    return worst


def table_of_seeds(name: str, results: list[dict[str, Any]], n_levels: int) -> int:
    worst = 0
    for n in range(1, n_levels + 1):
        pulls = np.array([pull(e) for r in results for e in r["levels"] if e.get("number") == n])
        worst += int((np.abs(pulls) > FALSE).sum())
        part = len(pulls) / len(results)
        if part < 0.1:
            print(f"{name:15s} {n:5d}  {part:7.1%}")
            continue
        centred = abs(pulls.mean()) < 1 / 3 and 0.85 < pulls.std(ddof=1) < 1.2
        print(
            f"{name:15s} {n:5d}  {part:7.1%}  {pulls.mean():+9.2f}  {pulls.std(ddof=1):11.2f}  "
            f"{np.abs(pulls).max():7.1f}  {'ok' if centred else 'outside'}"
        )
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="worker processes, of one seed at a time")
    parser.add_argument("--results", type=Path, help="folder of results, one file of lines for each part")
    parser.add_argument("--theories", type=int, default=200)
    parser.add_argument("--paths", type=int, default=50_000, help="of each random theory")
    parser.add_argument("--seeds", type=int, default=400, help="of each fixed theory")
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    arguments = parser.parse_args()
    if arguments.results is not None:
        arguments.results.mkdir(parents=True, exist_ok=True)
    theories, n_paths, seeds, names = arguments.theories, arguments.paths, arguments.seeds, arguments.systems
    if arguments.toy:
        theories, n_paths, seeds, names = 6, 5000, 3, ["wide-morse"]
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}, {n_paths} paths x 64 times, float32")
    start = time.perf_counter()
    drawn = rows("theories", arguments.results, theories, partial(random_theory, n_paths=n_paths), arguments.workers)
    worst = table_of_theories(drawn)
    print(f"  ({time.perf_counter() - start:.0f} s)")
    print("system          level  resolved  mean pull  sd of pulls  largest")
    for name in names:
        start, system = time.perf_counter(), SYSTEMS[name]()
        results = rows(name, arguments.results, seeds, partial(of_system, name), arguments.workers)
        worst += table_of_seeds(name, results, system.n_levels)
        print(f"  ({len(results)} seeds, {time.perf_counter() - start:.0f} s)", flush=True)
    if worst:
        print(f"{worst} resolved levels are more than {FALSE:g} errors off")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
