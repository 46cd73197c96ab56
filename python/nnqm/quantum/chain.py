"""The ground-state process of a Hamiltonian as a Markov chain on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._arguments import Floats

__all__ = ["GroundStateChain"]


@dataclass(frozen=True)
class GroundStateChain:
    r"""The ground-state process of a Hamiltonian on a grid of positions: a reversible Markov chain.

    .. math:: P_{ij} = \frac{K_{ij} \psi_j}{(K\psi)_i}, \qquad \pi_i \propto \psi_i (K\psi)_i, \qquad
              K = e^{-(H - E_0) dt/\hbar}

    Its correlation functions at multiples of dt are the Euclidean ones of the Hamiltonian (Doob's transform).

    Attributes
    ----------
    values : ndarray
        Positions, equidistant and ascending, shape (S,).
    law : ndarray
        Stationary probabilities, shape (S,).
    transitions : ndarray
        P, rows sum to one, shape (S, S).
    dt : float
        Euclidean time of a step.
    spacing : float
        Distance of the positions.
    gap_error : float
        Largest difference between -hbar ln(eigenvalue of P)/dt and E_n - E_0, energy units, for the bound n <= 5
        that a step leaves visible (eigenvalue above 1e-4) and that lie within the positions to 1e-9: hardly bound
        states reach far beyond where ground-state paths ever come.
    threshold : float
        Energy above E_0 where the continuum begins, of which a finite grid shows discrete levels; inf without one.
    """

    values: Floats
    law: Floats
    transitions: Floats
    dt: float
    spacing: float
    gap_error: float
    threshold: float = np.inf
