"""Commutator and momentum of theories with random weights, by quadrature for each draw of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..statistics.estimate import Estimate, jackknife
from ..theories.networks import Network
from ..theories.theory import Theory
from . import output_expansion, state_grids
from .inputs import need_few_inputs, need_oscillators

__all__ = ["average_of_short_times"]

# Half-width and nodes of the quadrature, by number of inputs; it needs no polynomials.
_RULES = {1: (9.5, 384, 1), 2: (8.0, 88, 1), 3: (7.0, 40, 1)}


def average_of_short_times(
    theory: Theory, networks: Sequence[Network], column: int, n_blocks: int
) -> tuple[Estimate, Estimate]:
    r"""Averages over draws of the weights of the commutator and of <p^2>, exact at given weights.

    .. math:: \frac{[x, p]}{i\hbar} = \frac{m}{\hbar} \sum_i \sigma_i^2 E(\partial_i f)^2, \qquad
              \langle p^2\rangle = m^2 E\Bigl(\sum_i \frac{\sigma_i^2}{2} \partial_i^2 f - \omega_i y_i \partial_i f
              \Bigr)^2

    Parameters
    ----------
    theory : Theory
        One to three Ornstein-Uhlenbeck inputs; its network is not used.
    networks : sequence of Network
        Independent draws of the weights, at least two.
    column : int
        Position of the output.
    n_blocks : int
        Number of blocks of adjacent draws for the statistical error.

    Returns
    -------
    commutator, momentum_squared : Estimate
        Numbers. The statistical error is a jackknife error over blocks of draws; the systematic error is the change
        with a coarser quadrature.

    Raises
    ------
    InputError
        If an input is no Ornstein-Uhlenbeck process, there are more than three, or a network has kinks.

    Notes
    -----
    Nelson, Quantum Fluctuations (1985): the generator of the process takes the place of d/dt.
    """
    need_oscillators(theory)
    need_few_inputs(theory)
    kinked = output_expansion.KINKED & {a for network in networks for a in network.activations}
    if kinked:
        raise InputError(f"the quadrature needs smooth activations; got {', '.join(kinked)}; sample the theory")
    rule = _RULES[theory.n_inputs]
    block = np.arange(len(networks)) * n_blocks // len(networks)
    sizes = np.bincount(block).astype(np.float64)
    omega, sigma = np.array(theory.omega), np.array(theory.sigma)
    (levels,) = state_grids.grids(theory, rule, output_expansion.coarser(rule))
    found = []
    for inputs in levels:
        y = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1).reshape(-1, theory.n_inputs)
        law = np.ones(1)
        for m in inputs:
            law = np.multiply.outer(law, m.law).ravel()
        values = np.empty((len(networks), 2))
        for row, network in zip(values, networks, strict=True):
            _, first, second = network.derivatives(y)
            slope = first[:, column]
            generator = second[:, column] @ (sigma**2 / 2) - (slope * y) @ omega
            row[:] = law @ (slope**2 @ sigma**2), law @ generator**2
        values *= theory.mass / theory.hbar, theory.mass**2
        sums = {"values": np.stack([values[block == b].sum(axis=0) for b in range(n_blocks)]), "n": sizes}
        found.append(jackknife(_mean, sums, sizes))
    fine, coarse = found
    both = fine.with_systematic(np.abs(fine.value - coarse.value))
    return both[0], both[1]


def _mean(sums: Mapping[str, Floats]) -> Floats:
    return np.asarray(sums["values"] / sums["n"][:, None])
