"""Replicas of given paths: independent chains whose blocks stay apart and whose averages are compared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..statistics.autocorrelation import Slowness, scatter_factor
from ..statistics.estimate import format_value
from .block_sums import Sums
from .blocks import FEWEST_BLOCKS, FEWEST_TIMES, VERY_FEW, plan
from .correlators import Correlators, counted

__all__: list[str] = []

# Significance, in standard deviations, of a correlation between replicas, of which several series are compared.
_UNRELATED = 6.0
# Blocks beyond the number of replicas for a comparison of their averages.
_TO_COMPARE = 4
# Probability of averages of replicas by chance, below which they differ.
_DIFFERENT = 1e-3


def plan_replicas(
    found: Sequence[Slowness], units: Sequence[int], blocks: int, automatic: bool
) -> tuple[list[int], list[float], list[str]]:
    """Blocks of independent chains of some paths each, the factor of the scatter of each, and a note.

    The autocorrelation time is the average over the chains, each of which is a block of its own at least.
    """
    share = np.array(units) / sum(units)
    time = float(share @ [f.time for f in found])
    error = float(np.sqrt(((share * [f.error for f in found]) ** 2).sum()))
    together = Slowness(time, error, any(f.correlated for f in found))
    if together.correlated and sum(units) < FEWEST_TIMES * (time + error) and len(units) >= FEWEST_BLOCKS:
        told = f"autocorrelation time of successive paths: {format_value(time, error)} paths: each replica is a block"
        return [1] * len(units), [1.0] * len(units), [told]
    wanted, factor, notes = plan(together, sum(units), min(blocks, sum(units)), automatic)
    counts = [max(1, min(n, round(wanted * s))) for n, s in zip(units, share, strict=True)]
    of_chain = [
        1.0 if factor == 1 or count == 1 else scatter_factor(time, n, count)
        for n, count in zip(units, counts, strict=True)
    ]
    return counts, of_chain, notes


def need_independent(series: Sequence[Floats], names: Sequence[str], time: float) -> None:
    """Raise if the paths of two successive replicas are correlated at equal places in their chains."""
    for (name, a), (other, b) in pairwise(zip(names, series, strict=True)):
        n = min(len(a), len(b))
        if n < VERY_FEW:
            continue
        a, b = a[:n] - a[:n].mean(axis=0), b[:n] - b[:n].mean(axis=0)
        size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        found = float(np.abs((a * b).sum(axis=0) / np.where(size > 0, size, 1.0)).max())
        if found > min(_UNRELATED * np.sqrt(2 * time / n), 1 - 1e-9):
            raise InputError(
                f"replicas must be independent; those named {name} and {other} are correlated (r = {found:.2g}); use "
                "other random numbers for each; channels of the same paths are "
                "numpy.stack(list(paths.values()), axis=-1) with names=list(paths)"
            )


def compared(run: Correlators, sums: Sequence[Sums], names: Sequence[str]) -> str:
    r"""A note on the averages of replicas: whether they differ by more than the scatter of their blocks.

    For the mean and the mean square of each channel it is the F test of an analysis of variance. Q is the smallest
    p-value times the number of tests.
    """
    from scipy.special import fdtrc

    listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    told = f"{len(names)} independent replicas ({listed})"
    blocks = sum(len(s["paths"]) for s in sums)
    if "moments" not in sums[0] or blocks - len(names) < _TO_COMPARE:
        return f"{told}: too few blocks for a comparison of their averages"
    sizes = [counted(s).astype(float) for s in sums]
    values = [s["moments"][:, :, :2].reshape(len(s["paths"]), -1) for s in sums]
    weights = [s["paths"] * run.n_times for s in sums]
    mean = sum(v.sum(axis=0) for v in values) / sum(w.sum() for w in weights)
    between, within = np.zeros(mean.shape), np.zeros(mean.shape)
    for value, weight, size in zip(values, weights, sizes, strict=True):
        # Deviations from the average of all, linear in the sums, per path.
        distance = (value - weight[:, None] * mean) / size[:, None]
        own = (size[:, None] * distance).sum(axis=0) / size.sum()
        between += size.sum() * own**2
        within += (size[:, None] * (distance - own) ** 2).sum(axis=0)
    degrees = len(names) - 1, blocks - len(names)
    moves = within > 0
    ratio = between[moves] / degrees[0] / (within[moves] / degrees[1])
    q = min(1.0, float(fdtrc(*degrees, ratio).min(initial=1.0)) * max(1, len(ratio)))
    if q < _DIFFERENT:
        return f"{told} differ beyond their errors, Q = {q:.2g}: errors do not cover this; see run.replica(name)"
    return f"{told} agree, Q = {q:.2g}"
