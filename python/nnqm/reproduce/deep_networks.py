"""Claims: deeper networks and other activations are other, non-Gaussian quantum systems."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..estimators.four_points import connected_four_point
from ..exact.n_points import n_point
from ..exact.spectral_measures import kallen_lehmann
from ..runs.simulation import simulate
from ..sampling.measure import Measure
from ..sampling.path_source import Paths
from ..spectra.correlator_matrix import spectrum
from ..theories.networks import Network
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.theory import Theory
from .record import Curve, Number, Panel, Record, compared, computed, jointly, undecided
from .registry import Effort, claim

__all__: list[str] = []

_PAPER = "2504.05462"


def _networks() -> dict[str, Network]:
    """Fixed random networks of one input, by architecture."""
    settings = {"weight_std": 1.5, "bias_std": 0.5}
    return {
        "1-8-1 tanh": Network.random((1, 8, 1), "tanh", rng=1, **settings),
        "1-8-8-1 tanh": Network.random((1, 8, 8, 1), "tanh", rng=2, **settings),
        "1-8-8-8-1 tanh": Network.random((1, 8, 8, 8, 1), "tanh", rng=3, **settings),
        "1-8-1 sin": Network.random((1, 8, 1), "sin", rng=4, **settings),
        "1-8-1 relu": Network.random((1, 8, 1), "relu", rng=5, **settings),
        "1-8-1 gelu": Network.random((1, 8, 1), "gelu", rng=6, **settings),
    }


@claim(
    "non-gaussian",
    _PAPER,
    "deep NN-QM: interacting, non-Gaussian systems",
    "Networks of the oscillator's process are non-Gaussian quantum systems, and depth and activation decide "
    "which ones.",
)
def non_gaussian(effort: Effort) -> Record:
    n_paths = effort.size(400_000, 50_000)
    times = (0.0, 0.2, 0.6, 1.0)
    steps = [round(t / 0.2) for t in times]
    numbers: list[Number] = []
    curves = []
    for i, (name, network) in enumerate(_networks().items()):
        theory = Theory(OrnsteinUhlenbeck(1.0), network)
        exact = kallen_lehmann(theory)
        run = simulate(
            theory,
            n_paths,
            32,
            0.2,
            rng=effort.rng(i),
            n_threads=effort.n_threads,
            measure=Measure(lags=range(0, 26, 5), observable_lags=[], increment_lags=[]),
        )
        numbers.append(compared(f"{name}: excess kurtosis", run.kurtosis(), exact.kurtosis))
        lags = np.array(run.lags) * 0.2
        numbers.append(jointly(f"{name}: G_c at {len(lags)} lags", run.connected(), exact.connected(lags)))
        drawn = Paths(theory, n_paths // 4, 16, 0.2, rng=effort.rng(100 + i), n_threads=effort.n_threads)
        found = connected_four_point(drawn, steps)
        numbers.append(
            compared(f"{name}: connected <x x x x> at t = 0, 0.2, 0.6, 1", found, _four_point(theory, times))
        )
        shown = exact.weights[:8] / float(exact.moments[0])
        curves.append(Curve.of(name, np.arange(1, len(shown) + 1), np.maximum(shown, 1e-6), "points"))
    return Record(
        f"one Ornstein-Uhlenbeck input, omega = 1; fixed random weights; {n_paths:,} paths x 32 times, dt = 0.2",
        tuple(numbers),
        "statistical, jackknife over 128 blocks",
        (
            Panel(
                "Spectral weights of the levels n omega",
                "level n",
                "|<0|x|n>|^2 / variance",
                tuple(curves),
                "y",
                (1e-6, 2),
            ),
        ),
        "The same levels with other weights: each architecture is another system. A Gaussian one has the level 1 only.",
        ("A Gaussian process has excess kurtosis 0 and no connected four-point function.",),
    )


@claim(
    "deep-levels",
    _PAPER,
    "deep NN-QM: energy eigenvalues",
    "The levels of a deep NN-QM are sums of the frequencies of its inputs; the network decides the spectral weights.",
)
def deep_levels(effort: Effort) -> Record:
    n_paths = effort.size(200_000, 30_000)
    numbers: list[Number] = []
    for i, (name, network) in enumerate(_networks().items()):
        if "relu" in name or "gelu" in name:
            continue
        theory = Theory(OrnsteinUhlenbeck(1.0), network)
        exact = kallen_lehmann(theory)
        total = float(np.sum(exact.weights))
        numbers.append(
            computed(
                f"{name}: sum of the spectral weights less the variance",
                total - float(exact.moments[0]),
                0.0,
                max(exact.error, 1e-12) * float(exact.moments[0]),
            )
        )
        gaps = np.array([b - a for a, b in pairwise([0.0, *exact.energies[:6]])])
        numbers.append(
            computed(f"{name}: largest deviation of six levels from n omega", abs(gaps - 1).max(), 0.0, 1e-12)
        )
        run = simulate(
            theory,
            n_paths,
            64,
            0.2,
            rng=effort.rng(i),
            n_threads=effort.n_threads,
            measure=Measure(lags=[0], increment_lags=[]),
        )
        for n, level in enumerate(spectrum(run, 3).levels, start=1):
            if level.resolved and level.gap is not None:
                numbers.append(compared(f"{name}: gap {n}, measured", level.gap, float(n)))
            else:
                numbers.append(undecided(f"{name}: gap {n}, measured", str(level.verdict)))
            if n == 1 and level.resolved and level.weight is not None:
                numbers.append(compared(f"{name}: |<0|x|1>|^2, measured", level.weight, float(exact.weights[0])))
    return Record(
        f"one Ornstein-Uhlenbeck input, omega = 1; {n_paths:,} paths x 64 times, dt = 0.2, inputs and output seen",
        tuple(numbers),
        "exact rows: numerical; measured rows: first bracket statistical, second bracket systematic (t0, truncation)",
    )


def _four_point(theory: Theory, times: tuple[float, ...]) -> float:
    """Connected four-point function, exact: fourth cumulant of x at four times."""
    mean = kallen_lehmann(theory).mean

    def centred(*chosen: float) -> float:
        return float(n_point(theory, chosen, functions=[lambda c: c[..., -1] - mean] * len(chosen)))

    a, b, c, d = times
    pairs = ((a, b, c, d), (a, c, b, d), (a, d, b, c))
    return centred(a, b, c, d) - sum(centred(p, q) * centred(r, s) for p, q, r, s in pairs)
