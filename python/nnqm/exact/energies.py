"""Energy levels of a theory, from the gaps of its independent inputs."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats, integer
from ..errors import InputError
from ..theories.theory import Theory

__all__ = ["level_energies"]


# Largest number of combinations of levels.
_MOST_LEVELS = 2_000_000


def level_energies(theory: Theory, n_levels: int) -> tuple[Floats, tuple[int, ...]]:
    """Lowest gaps of a theory and their multiplicities: sums of gaps of its independent inputs, or modes of a box.

    Parameters
    ----------
    theory : Theory
    n_levels : int
        Number of distinct gaps, 1 to 10000.

    Returns
    -------
    energies : ndarray
        Ascending, energy units, shape (k,), k <= n_levels: k is smaller if a chain has fewer levels. Only gaps below
        the lowest continuum threshold of a Hamiltonian are listed. States that alternate in sign (negative eigenvalues
        of a chain) are not levels.
    multiplicities : tuple of int
        Number of states of each level, length k.

    Raises
    ------
    InputError
        If the levels of an input are unknown (for example a chain on several grids, whose levels differ), or there are
        too many combinations of levels.
    """
    integer("n_levels", n_levels, 1, 10_000)
    ladders: list[tuple[Floats, Floats]] = []
    ceiling = np.inf
    for source in theory.sources:
        found = source.levels(n_levels, theory.hbar)
        if found is None:
            raise InputError(
                f"sources must be oscillators, Hamiltonians or chains on one grid; got {source!r}; sample the theory"
            )
        ladders += [(levels.energies, levels.signs) for levels in found]
        ceiling = min(ceiling, *(levels.ceiling for levels in found))
    # Sums above the n-th level with one excited input are not among the lowest n.
    positive_ones = [energies[(signs > 0) & (energies > 0)] for energies, signs in ladders]
    single = np.sort(np.concatenate(positive_ones))
    single = single[np.diff(single, prepend=-1.0) > 1e-9 * single]
    limit = single[n_levels - 1] * (1 + 1e-9) if len(single) >= n_levels else np.inf
    sums, sign = np.zeros(1), np.ones(1)
    for energies, signs in ladders:
        sums, sign = np.add.outer(sums, energies).ravel(), np.multiply.outer(sign, signs).ravel()
        kept = sums <= limit
        sums, sign = sums[kept], sign[kept]
        if sums.size > _MOST_LEVELS:
            raise InputError(
                f"n_levels={n_levels} needs more than {_MOST_LEVELS} combinations of levels; use fewer levels"
            )
    sums = np.sort(sums[(sign > 0) & (sums > 0) & (sums < ceiling)])
    if not sums.size:
        return sums, ()
    first = np.concatenate([[True], np.diff(sums) > 1e-9 * sums[1:]])
    counts = np.diff([*np.flatnonzero(first), len(sums)])
    return sums[first][:n_levels], tuple(int(c) for c in counts[:n_levels])
