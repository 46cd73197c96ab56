"""Exact or independently estimated values beside the measured ones of a run."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from ..errors import InputError
from ..exact.energies import level_energies
from ..exact.quasi_monte_carlo import QuasiMonteCarlo, quasi_monte_carlo
from ..exact.random_weights import WeightAverage, average_over_weights
from ..exact.spectral_measures import kallen_lehmann
from ..exact.thermal_measures import thermal_measure
from ..quantum.measures import TwoPointFunction
from ..sampling.correlators import Correlators
from ..sampling.drawn_networks import draw_weights
from ..statistics.estimate import Estimate
from ..statistics.moments import excess_kurtosis
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory

__all__: list[str] = []

# Lags whose two-point functions are shown, in steps.
SHOWN_LAGS = (1, 5, 10)

# Points for each scrambling of quasi-Monte Carlo.
_QUASI_POINTS = 2**13

# Draws of random weights over which exact answers are averaged, by number of inputs, and their key, which no run has.
_DRAWS, _DRAWS_KEY = {1: 4000, 2: 200, 3: 40}, 0x6E6E716D


class Estimated:
    """Values that are exact but for an error of their own, with the names of a ``TwoPointFunction``."""

    momentum_squared = uncertainty = float("nan")
    commutator_spread = quartic = None

    def __init__(self, theory: Theory, average: WeightAverage | QuasiMonteCarlo) -> None:
        self.average = average
        self.mean, self.moments = average.mean, average.moments
        self.kurtosis = self.moments.map_replicas(lambda m: excess_kurtosis(m[..., 0], m[..., 2]))
        self.commutator = average.commutator if isinstance(average, QuasiMonteCarlo) else float("nan")
        self._factor = theory.mass, theory.hbar

    def connected(self, time: float) -> Estimate:
        return self.average.connected[self._at(time)]

    def two_point(self, time: float) -> Estimate:
        return self.average.two_point[self._at(time)]

    def _at(self, time: float) -> int:
        return int(np.argmin(np.abs(self.average.times - time)))

    def commutator_at(self, dt: float) -> Estimate:
        i, (mass, hbar) = self._at(dt), self._factor
        return self.average.connected.map_replicas(lambda g: 2 * mass / (hbar * dt) * (g[..., 0] - g[..., i]))

    def momentum_squared_at(self, dt: float) -> Estimate:
        i, j, (mass, _) = self._at(dt), self._at(2 * dt), self._factor
        return self.average.connected.map_replicas(lambda g: (mass / dt) ** 2 * (g[..., 0] - 2 * g[..., i] + g[..., j]))

    def roughness_exponent(self, dt: float) -> Estimate:
        i, j = self._at(dt), self._at(2 * dt)
        return self.average.connected.map_replicas(
            lambda g: np.log2((g[..., 0] - g[..., j]) / (g[..., 0] - g[..., i])) / 2
        )


def exact_column(run: Correlators, name: str, notes: list[str]) -> TwoPointFunction | Estimated | None:
    theory = run.theory
    if theory is None or not theory.stationary:
        return None
    needed = [0.0] + ([k * run.dt for k in (1, 2, *SHOWN_LAGS)] if run.uniform else [])
    try:
        if theory.period is not None:
            return thermal_measure(theory, name)
        if isinstance(theory.network, RandomNetwork) and name in theory.outputs:
            draws = draw_weights(theory, _DRAWS[min(theory.n_inputs, 3)] * theory.group, key=_DRAWS_KEY)
            average = average_over_weights(theory, draws, needed, channel=name)
            notes.append(f"exact values are averages over {average.n_draws} other draws of the weights, with errors")
            return Estimated(theory, average)
        from ..fields.networks import two_point_at_a_point

        at_a_point = two_point_at_a_point(theory, name)
        return kallen_lehmann(theory, name) if at_a_point is None else at_a_point
    except InputError as error:
        reason = error
    try:
        found = quasi_monte_carlo(theory, needed, name, n_points=_QUASI_POINTS)
    except InputError:
        notes.append(f"no exact values: {reason}")
        return None
    notes.append(f"exact values by quasi-Monte Carlo, with errors: {reason}")
    return Estimated(theory, found)


def known_gaps(theory: Theory | None, n: int) -> tuple[list[float | None], tuple[int, ...]]:
    """Exact gaps and multiplicities of the lowest n levels, None where they are not known."""
    values: list[float | None] = []
    multiplicities: tuple[int, ...] = ()
    if theory is not None and n:
        with suppress(ValueError):
            energies, multiplicities = level_energies(theory, n)
            values = [float(e) for e in energies]
    missing = n - len(values)
    return values + [None] * missing, multiplicities + (1,) * missing
