"""Numbers of levels, and the reasons why a level may have no certain number, or cannot be one."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from ..errors import InputError
from ..exact.energies import level_energies
from ..sampling.correlators import Correlators
from ..sampling.product_basis import ladders, lowest_missing
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .levels import Level

__all__: list[str] = []

# Distance below a state that the observables do not see, in errors, within which a level may be above it.
_ERRORS = 3.0

# Fewest neurons that see every state of a single input.
_FEWEST_NEURONS = 4


def lowest_unseen(run: Correlators) -> float:
    """Gap of the lowest state that no observable is made for: infinite if none is missing, 0 if nothing is known.

    The lowest states of a theory are products of functions of its inputs: a product is seen where the product of
    polynomials with its quantum numbers is an observable.
    """
    theory, o = run.theory, run.observables
    if theory is None:
        # Functions of one x show what x shows.
        return inf if sum(k > 1 for k in o.orders) <= 1 and len(o.channels) == 1 else 0.0
    if not theory.stationary:
        return 0.0
    inputs = theory.channels[: theory.n_inputs]
    if not set(inputs) <= set(o.channels):
        return 0.0
    places = [o.channels.index(name) for name in inputs]
    if len(inputs) == 1 and theory.sources[0].markov and o.orders[places[0]] > 1 and len(o.biases) >= _FEWEST_NEURONS:
        return inf
    try:
        steps = ladders(theory, max(o.orders) + 1)
    except InputError:  # a level is not known to the tolerance of its Hamiltonian
        steps = None
    if steps is None:
        return 0.0
    if not all(source.independent_inputs for source in theory.sources):
        # Linear functions of all inputs see every mode once; which products of modes are seen is not known.
        return lowest_missing(steps, {tuple(int(i == j) for j in range(len(steps))) for i in range(len(steps))})
    known = {tuple(p[i] for i in places) for p in o.powers if p is not None and sum(p[i] for i in places) == sum(p)}
    return lowest_missing(steps, known)


def beyond_bound_states(run: Correlators, gaps: list[Estimate | None]) -> set[int]:
    """States that cannot be bound: at or above the continuum of the theory, or more than its bound states."""
    edge = inf if run.theory is None else min(s.continuum for s in run.theory.sources)
    if not np.isfinite(edge):
        return set()
    assert run.theory is not None
    try:
        n_bound = int(sum(level_energies(run.theory, len(gaps) or 1)[1]))
    except InputError:
        n_bound = len(gaps)
    return {n for n, gap in enumerate(gaps) if n >= n_bound or (gap is not None and float(gap.value) >= edge)}


def numbered(run: Correlators, levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Levels with their numbers: of distinct levels of the theory where these are known, otherwise of those seen.

    Where levels are not known, a part that does not decay has the number 0: it is a sector or a mean.
    """
    limit = lowest_unseen(run)
    multiplicities: tuple[int, ...] = ()
    if run.theory is not None:
        try:
            multiplicities = level_energies(run.theory, sum(level.multiplicity for level in levels))[1]
        except InputError:
            multiplicities = ()
    # To each state the number of its level.
    numbers = np.repeat(np.arange(1, len(multiplicities) + 1), multiplicities)
    found: list[Level] = []
    first = count = 0
    for level in levels:
        counts = bool(multiplicities) or level.verdict is not Verdict.PLATEAU
        count += counts
        at_least = level.gap is not None and float(level.gap.value) + _ERRORS * float(level.gap.error) >= limit
        last = first + level.multiplicity - 1
        number = until = count if counts else 0
        if not at_least and last < len(numbers):
            number, until = int(numbers[first]), int(numbers[last])
            count = until
        found.append(replace(level, number=number, until=until, at_least=at_least))
        first = last + 1
    return tuple(found)
