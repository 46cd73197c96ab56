"""Lowest gaps of a theory, from the gaps of its independent inputs."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats, integer
from ..errors import InputError
from ..quantum.hamiltonian import Hamiltonian
from ..theories.ground_state import GroundStateProcess
from ..theories.sources import MarkovChain, OrnsteinUhlenbeck
from ..theories.theory import Theory
from . import state_grids

__all__ = ["level_energies"]


# Combinations of levels, at most.
_MOST_LEVELS = 2_000_000


def level_energies(theory: Theory, n_levels: int) -> tuple[Floats, tuple[int, ...]]:
    """Lowest gaps of a theory, sums of those of its independent inputs, and their multiplicities.

    Parameters
    ----------
    theory : Theory
    n_levels : int
        Distinct ones wanted.

    Returns
    -------
    energies : ndarray
        Ascending, energy units, shape (k,), k <= n_levels: fewer where a chain has no more, and below the lowest
        continuum threshold of a Hamiltonian only. States that alternate in sign (negative eigenvalues of a chain)
        are no levels.
    multiplicities : tuple of int

    Raises
    ------
    ValueError
        For chains on several grids, whose levels differ from grid to grid.
    """
    integer("n_levels", n_levels, 1, 10_000)
    ladders, ceiling = [], np.inf
    for source in theory.sources:
        if isinstance(source, OrnsteinUhlenbeck):
            ladders += [(theory.hbar * rate * np.arange(n_levels + 1), np.ones(n_levels + 1)) for rate in source.omega]
        elif isinstance(source, GroundStateProcess):
            gaps, top = _bound_gaps(source.hamiltonian, n_levels)
            ladders.append((np.append(0.0, gaps), np.ones(len(gaps) + 1)))
            ceiling = min(ceiling, top)
        elif isinstance(source, MarkovChain) and len(source.values) == 1:
            found = state_grids.chain_modes(source, 0, theory.hbar)
            ladders.append((found.energies, np.ones(len(found.energies)) if found.signs is None else found.signs))
        else:
            raise InputError(f"levels are known for oscillators, Hamiltonians and chains on one grid; got {source!r}")
    # Levels above the n-th of one input are not among the lowest n.
    positive_ones = [energies[(signs > 0) & (energies > 0)] for energies, signs in ladders]
    limit = min((np.sort(e)[n_levels - 1] for e in positive_ones if len(e) >= n_levels), default=np.inf) * (1 + 1e-9)
    sums, sign = np.zeros(1), np.ones(1)
    for energies, signs in ladders:
        sums, sign = np.add.outer(sums, energies).ravel(), np.multiply.outer(sign, signs).ravel()
        kept = sums <= limit
        sums, sign = sums[kept], sign[kept]
        if sums.size > _MOST_LEVELS:
            raise InputError(f"more than {_MOST_LEVELS} combinations of levels; ask for fewer than {n_levels}")
    sums = np.sort(sums[(sign > 0) & (sums > 0) & (sums < ceiling)])
    if not sums.size:
        return sums, ()
    first = np.concatenate([[True], np.diff(sums) > 1e-9 * sums[1:]])
    counts = np.diff([*np.flatnonzero(first), len(sums)])
    return sums[first][:n_levels], tuple(int(c) for c in counts[:n_levels])


def _bound_gaps(hamiltonian: Hamiltonian, n: int) -> tuple[Floats, float]:
    """The lowest gaps, at most n, and the gap from which on there may be others."""
    bound = hamiltonian.n_bound
    found = n if bound is None else min(n, bound - 1)
    ceiling = np.inf if bound is None or found == n else hamiltonian.threshold - hamiltonian.energies(1)[0]
    while found:
        try:
            gaps = hamiltonian.gaps(found)
        except InputError:  # kinked or hardly bound: not to the tolerance
            found -= 1
            continue
        return gaps, ceiling if found == n or np.isfinite(ceiling) else float(gaps[-1]) * (1 + 1e-9)
    return np.zeros(0), min(ceiling, hamiltonian.threshold - hamiltonian.energies(1)[0])
