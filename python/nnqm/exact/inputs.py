"""Checks and statistics of the inputs of a theory, shared by all exact answers."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats, choice
from ..errors import InputError
from ..theories.ground_state import GroundStateProcess
from ..theories.sources import MarkovChain, OrnsteinUhlenbeck, Source
from ..theories.theory import Theory
from ..theories.thermal import ThermalOrnsteinUhlenbeck, ThermalProcess

__all__: list[str] = []

_MOST_INPUTS = 3

OPEN_SOURCES = (OrnsteinUhlenbeck, GroundStateProcess, MarkovChain)

# Points of a product of grids, at most.
MOST_POINTS = 3_000_000


def all_oscillators(theory: Theory) -> bool:
    return all(isinstance(source, OrnsteinUhlenbeck) for source in theory.sources)


def average_over_grids(values: Floats, laws: list[Floats]) -> float:
    for law in laws:
        values = np.tensordot(law, values, axes=(0, 0))
    return float(values)


def open_form(theory: Theory) -> Theory:
    """The open theory whose thermal one this is."""
    sources: list[Source] = []
    for source in theory.sources:
        if isinstance(source, ThermalOrnsteinUhlenbeck):
            sources.append(OrnsteinUhlenbeck(source.omega, source.sigma))
        elif isinstance(source, ThermalProcess):
            sources.append(GroundStateProcess(source.hamiltonian))
        else:
            sources.append(source)
    return Theory(sources, theory.network, hbar=theory.hbar, mass=theory.mass)


def need_known(theory: Theory, *kinds: type[Source]) -> None:
    for i, source in enumerate(theory.sources):
        if not isinstance(source, kinds):
            closed = "thermal_measure knows closed paths" if source.period is not None else "sample the theory"
            raise InputError(
                f"sources[{i}] must be {' or '.join(kind.__name__ for kind in kinds)}; got {source!r}; {closed}"
            )


def need_few_inputs(theory: Theory) -> None:
    if theory.n_inputs > _MOST_INPUTS:
        raise InputError(
            f"exact measures are for at most {_MOST_INPUTS} inputs; got {theory.n_inputs}; "
            "use quasi_monte_carlo, or sample the theory"
        )


def locate_channel(theory: Theory, channel: str | None) -> tuple[int, int | None]:
    """Position of an output of the network, and that of the input if the channel is one."""
    need_known(theory, *OPEN_SOURCES)
    name = choice("channel", theory.outputs[0] if channel is None else channel, theory.channels)
    column = theory.channels.index(name)
    if theory.network is None or column < theory.n_inputs:
        return 0, column
    need_few_inputs(theory)
    return column - theory.n_inputs, None


def input_spreads(theory: Theory) -> Floats:
    """Standard deviations of the inputs, shape (D,)."""
    return np.asarray(np.array(theory.sigma) / np.sqrt(2 * np.array(theory.omega)))
