"""Weights of given paths, for example of configurations that are reweighted to another action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from .arrays import is_array

__all__: list[str] = []

# Largest and smallest size of the largest weight, so that float32 holds the sums.
_LARGE = 1e30
# Fewest blocks of weighted paths, where there are as many.
_FEWEST_BLOCKS = 8
# Fewest paths that weighted ones must be worth for an error, in autocorrelation times if these are longer than a path,
# and fewest of each block.
_WORTH, _WORTH_OF_BLOCK = 30.0, 2.0


def path_weights(weights: Any, counts: Sequence[int]) -> list[Floats] | list[None]:
    """Weights of the paths of each batch, checked: one array for all, or a list of one array for each."""
    if weights is None:
        return [None] * len(counts)
    if isinstance(weights, (list, tuple)) and len(weights) == len(counts) and all(np.ndim(w) == 1 for w in weights):
        weights = np.concatenate([floats("weights", w, 1) for w in weights])
    w = floats("weights", weights, 1)
    if len(w) != sum(counts):
        raise InputError(f"weights must have one entry for each of {sum(counts)} paths; got {len(w)}")
    for i in np.flatnonzero(w < 0)[:1]:
        raise InputError(f"weights must be at least 0; path {i} has {w[i]:g}; signs have no error here")
    largest = float(w.max(initial=0.0))
    if largest > _LARGE or 0 < largest < 1 / _LARGE:
        raise InputError(f"weights must be of a size near 1; the largest is {largest:g}; divide them by a number")
    return np.split(w, np.cumsum(counts)[:-1])


def with_weights(parts: Iterable[Any], weights: Any) -> Iterator[tuple[Any, Any]]:
    """Chunks of an iterator and the weights of each."""
    if weights is None:
        yield from zip(parts, repeat(None))
        return
    if is_array(weights) and not isinstance(weights, (list, tuple)):
        raise InputTypeError(
            "weights of an iterator of chunks must be an iterable too, of one array for each chunk; got "
            f"{type(weights).__name__}"
        )
    of_parts = iter(weights)
    for i, part in enumerate(parts):
        own = next(of_parts, None)
        if own is None:
            raise InputError(f"weights must have an entry for each chunk of paths; got {i}")
        yield part, own
    if next(of_parts, None) is not None:
        raise InputError("weights must have an entry for each chunk of paths; got more of them")


def weighted_series(series: Floats, weights: Floats) -> Floats:
    """Contributions of the paths to the error of weighted averages of some series, shape (N, F)."""
    w = weights[: len(series), None]
    if not w.any():
        return np.zeros_like(series)
    w = w / w.mean()
    return np.asarray(w * (series - (w * series).sum(axis=0) / w.sum()))


def worth(weights: Floats) -> float:
    """Effective sample size of weights: independent paths of equal weight with the same error of an average."""
    if not weights.any():
        raise InputError("weights must not be 0 for all paths; give some of them a positive weight")
    w = weights / weights.max()
    return float(w.sum() ** 2 / (w**2).sum())


def few_enough(blocks: int, size: float) -> int:
    """Blocks that are worth some paths each, of all paths with an effective sample size."""
    return max(1, min(blocks, max(_FEWEST_BLOCKS, int(size / _WORTH_OF_BLOCK))))


def need_worth(size: float, time: float, n_paths: int) -> str:
    """A note on the effective sample size of n paths; too small ones have no error and are refused."""
    told = f"weights: {n_paths} paths are worth {size:.1f} (effective sample size)"
    if size < _WORTH * max(1.0, time):
        raise InputError(
            f"{told}, and an error needs {_WORTH * max(1.0, time):.3g}; give more paths, or weights that differ less"
        )
    return told if time <= 1 else f"{told}, or {size / (2 * time):.1f} with their autocorrelation"
