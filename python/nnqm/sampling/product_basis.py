"""Products of polynomials of several channels, lowest levels first, and the levels that a set of them lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from math import inf

from ..theories.theory import Theory

__all__: list[str] = []

Powers = tuple[int, ...]


def ladders(theory: Theory, n: int) -> list[list[float]] | None:
    """Gaps of the lowest n + 1 states of each input, the ground state first; None if they are not known.

    To five digits, so that rounding of an eigenvalue problem does not decide which state is lower.
    """
    found: list[list[float]] = []
    for source in theory.sources:
        levels = source.levels(n, theory.hbar)
        if levels is None:
            return None
        found += [[float(f"{e:.5g}") for e in level.energies] for level in levels]
    return found


def ascending(steps: Sequence[Sequence[float]], order: float = inf) -> Iterator[tuple[float, Powers]]:
    """Sums of one entry of each ladder, the lowest first, with the positions of the entries, in all at most order."""
    start = (0,) * len(steps)
    heap: list[tuple[float, int, Powers]] = [(0.0, 0, start)]
    while heap:
        _, degree, powers = heappop(heap)
        yield sum(ladder[k] for ladder, k in zip(steps, powers, strict=True)), powers
        last = max((i for i, k in enumerate(powers) if k), default=0)
        # Each set of positions has one way up: inputs are raised in turn.
        for i in range(last, len(steps)):
            raised = (*powers[:i], powers[i] + 1, *powers[i + 1 :])
            if raised[i] < len(steps[i]) and degree < order:
                energy = sum(ladder[k] for ladder, k in zip(steps, raised, strict=True))
                heappush(heap, (round(energy, 9), degree + 1, raised))


def lowest(steps: Sequence[Sequence[float]], order: int, most: int) -> list[Powers]:
    """Powers of the lowest states up to a total degree, the constant left out, at most ``most``."""
    return [powers for _, powers in islice(ascending(steps, order), 1, most + 1)]


def lowest_missing(steps: Sequence[Sequence[float]], present: Collection[Powers]) -> float:
    """Energy of the lowest state whose powers are not present; infinite if none is missing."""
    return next((energy for energy, powers in ascending(steps) if any(powers) and powers not in present), inf)


def factors(wanted: Sequence[Powers], known: Sequence[Powers | None]) -> tuple[tuple[int, int], ...]:
    """Each product of several channels as two earlier observables, by their positions.

    ``known`` are the powers of the observables that are there. A product is the one without its last channel times a
    polynomial of that channel.
    """
    place = {powers: i for i, powers in enumerate(known) if powers is not None}
    size, pairs = len(known), []
    for powers in sorted(wanted, key=lambda p: (sum(p), p)):
        if powers in place or sum(k > 0 for k in powers) < 2:
            continue
        last = max(i for i, k in enumerate(powers) if k)
        rest = (*powers[:last], 0, *powers[last + 1 :])
        alone = tuple(k if i == last else 0 for i, k in enumerate(powers))
        pairs.append((place[rest], place[alone]))
        place[powers] = size
        size += 1
    return tuple(pairs)
