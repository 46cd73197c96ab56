"""Partitions of a set of points: cumulants and moments are sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TypeAlias

__all__ = ["Subset", "pairings", "set_partitions"]

Subset: TypeAlias = "tuple[int, ...]"


def set_partitions(items: Subset, smallest: int = 1) -> Iterator[list[Subset]]:
    """All partitions of the items into blocks of at least ``smallest`` items."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(smallest - 1, len(rest) + 1):
        for others in combinations(rest, size):
            left = tuple(i for i in rest if i not in others)
            for partition in set_partitions(left, smallest):
                yield [(first, *others), *partition]


def pairings(n: int) -> Iterator[list[Subset]]:
    """The (n - 1)!! partitions of 0 ... n - 1 into pairs, n even."""

    def of(items: Subset) -> Iterator[list[Subset]]:
        if not items:
            yield []
        for k in range(1, len(items)):
            for others in of(items[1:k] + items[k + 1 :]):
                yield [(items[0], items[k]), *others]

    return of(tuple(range(n)))
