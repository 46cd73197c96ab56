"""Checks and statistics of the inputs of a theory, used by all exact functions."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..theories.theory import Theory

__all__: list[str] = []

# Largest number of inputs on a product of grids.
_MOST_INPUTS = 3

# Smallest variance, whose square is in the range of float64.
_SMALLEST_VARIANCE = 1e-140

# Largest number of points of a product of grids.
MOST_POINTS = 3_000_000


def average_over_grids(values: Floats, laws: list[Floats]) -> float:
    """Average of values on a product of grids, with the probabilities of each grid."""
    for law in laws:
        values = np.tensordot(law, values, axes=(0, 0))
    return float(values)


def open_form(theory: Theory) -> Theory:
    """The theory with open paths: at zero temperature."""
    return Theory([s.opened() for s in theory.sources], theory.network, hbar=theory.hbar, mass=theory.mass)


def need_states(theory: Theory) -> None:
    """Raise InputError unless the modes of all inputs are known."""
    known = [source.has_states for source in theory.sources]
    _need(theory, known, "OrnsteinUhlenbeck or GroundStateProcess or MarkovChain")


def need_oscillators(theory: Theory) -> None:
    """Raise InputError unless all inputs are Ornstein-Uhlenbeck processes."""
    _need(theory, [source.oscillators is not None for source in theory.sources], "OrnsteinUhlenbeck")


def _need(theory: Theory, known: list[bool], kinds: str) -> None:
    if not all(known):
        i = known.index(False)
        source = theory.sources[i]
        closed = "use thermal_measure for closed paths" if source.period is not None else "sample the theory"
        raise InputError(f"sources[{i}] must be {kinds}; got {source!r}; {closed}")


def need_units(variance: float) -> None:
    """Raise InputError unless the square of a variance is in the range of float64; 0 is."""
    if not (variance <= 0 or _SMALLEST_VARIANCE <= variance <= 1 / _SMALLEST_VARIANCE):
        raise InputError(
            f"the variance of the channel must be from {_SMALLEST_VARIANCE:g} to {1 / _SMALLEST_VARIANCE:g}; got "
            f"{variance:.2g}; use other units"
        )


def need_few_inputs(theory: Theory) -> None:
    """Raise InputError if the theory has more than three inputs."""
    if theory.n_inputs > _MOST_INPUTS:
        raise InputError(
            f"exact measures are for at most {_MOST_INPUTS} inputs; got {theory.n_inputs}; "
            "use quasi_monte_carlo, or sample the theory"
        )


def locate_channel(theory: Theory, channel: int | str) -> tuple[int, int | None]:
    """Position among the outputs of the network, and position among the inputs if the channel is an input."""
    need_states(theory)
    column = theory.channels.index(theory.channel_name(channel))
    if theory.network is None or column < theory.n_inputs:
        return 0, column
    need_few_inputs(theory)
    return column - theory.n_inputs, None


def input_spreads(theory: Theory) -> Floats:
    """Standard deviations of the inputs, shape (D,)."""
    return np.asarray(np.array(theory.sigma) / np.sqrt(2 * np.array(theory.omega)))
