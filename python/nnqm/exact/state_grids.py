"""Modes of all inputs of a theory, on each of the shifted grids that paths use in turn.

Inputs are independent: joint grids and modes are products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..errors import InputError
from ..theories.source import Source
from ..theories.state_modes import Modes, Rule, ThermalModes
from ..theories.theory import Theory

__all__ = ["grids", "thermal_grids"]

# Largest number of combinations of shifted grids in an average.
_MOST_GRIDS = 64

Of = TypeVar("Of", Modes, ThermalModes)


def grids(theory: Theory, fine: Rule, coarse: Rule) -> Iterator[tuple[list[Modes], list[Modes]]]:
    """Fine and coarse modes of every input, for each combination of shifted grids.

    Parameters
    ----------
    theory : Theory
    fine, coarse : (float, int, int)
        Half-width, nodes and highest polynomial for Ornstein-Uhlenbeck inputs. Hamiltonians have their own factor of
        refinement, and chains a single grid.

    Yields
    ------
    fine, coarse : list of Modes
        One entry per input.
    """
    return _grids(theory, lambda source, component: source.states(fine, coarse, theory.hbar, component))


def thermal_grids(
    theory: Theory, beta: float, fine: Rule, coarse: Rule
) -> Iterator[tuple[list[ThermalModes], list[ThermalModes]]]:
    """Fine and coarse thermal modes of every input; see ``grids``."""
    return _grids(theory, lambda source, component: source.thermal_states(fine, coarse, theory.hbar, beta, component))


def _grids(
    theory: Theory, states: Callable[[Source, int], tuple[list[Of], list[Of]]]
) -> Iterator[tuple[list[Of], list[Of]]]:
    known: dict[Any, tuple[list[Of], list[Of]]] = {}
    for grid in range(_count_grids(theory)):
        levels: tuple[list[Of], list[Of]] = ([], [])
        for i, source in enumerate(theory.sources):
            # Path i is on grid i mod G of every source.
            component = grid % source.n_components
            if (i, component) not in known:
                known[i, component] = states(source, component)
            for level, inputs in zip(levels, known[i, component], strict=True):
                level.extend(inputs)
        yield levels


def _count_grids(theory: Theory) -> int:
    count = math.lcm(*(s.n_components for s in theory.sources))
    if count > _MOST_GRIDS:
        raise InputError(
            f"exact functions need at most {_MOST_GRIDS} combinations of grids; got {count}; sample the theory"
        )
    return count
