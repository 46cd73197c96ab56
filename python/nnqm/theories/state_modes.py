r"""Orthonormal modes of seed processes on grids.

The joint density of an input at two times, a lag t apart, is a sum over modes,

.. math:: p(y_q, y_{q'}; t) = \sqrt{w_q w_{q'}} \sum_n \phi_n(y_q)\, \lambda_n(t)\, \phi_n(y_{q'}),
          \qquad \lambda_n(t) = (\pm 1)^{t/dt}\, e^{-\epsilon_n t/\hbar} .

The modes are Hermite functions for oscillators, eigenstates for Hamiltonians, and eigenvectors of the symmetrised
transition matrix for chains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .._arguments import Floats
from ..quantum.measures import whole_steps
from ..quantum.oscillator import thermal_ratio

__all__ = ["Levels", "Modes", "Rule", "ThermalModes", "density", "hermite_functions", "oscillator", "trapezoid"]

# Half-width and number of nodes of the trapezoid rule of an oscillator, and its highest polynomial.
Rule: TypeAlias = tuple[float, int, int]


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Gaps of one input.

    Attributes
    ----------
    energies : ndarray
        E_n - E_0, energy units, ascending, shape (N,), the first 0.
    signs : ndarray
        Factor +1 or -1 of a state in every step of a chain, shape (N,).
    ceiling : float
        Gap above which other states may exist, energy units.
    """

    energies: Floats
    signs: Floats
    ceiling: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Modes:
    """One input: a grid of points and orthonormal modes on it.

    Attributes
    ----------
    points : ndarray
        Values of the input, shape (Q,).
    rows : ndarray
        phi_n(y_q) sqrt(w_q), w_q the weight of the point, shape (N, Q); the first row is sqrt(w_q).
    energies : ndarray
        E_n - E_0, energy units, shape (N,), the first 0.
    hbar : float
    signs : ndarray or None
        Factor +1 or -1 of a mode in every step of a chain, shape (N,).
    step : float or None
        Time step of the chain.
    """

    points: Floats
    rows: Floats
    energies: Floats
    hbar: float
    signs: Floats | None = None
    step: float | None = None

    @property
    def complete(self) -> bool:
        """Whether the points are all values of the input: those of a chain are."""
        return self.step is not None

    @property
    def law(self) -> Floats:
        """Probabilities of the points, shape (Q,)."""
        return np.asarray(self.rows[0] ** 2)

    def decay(self, time: float) -> Floats:
        """Decay factors lambda_n(t), shape (N,)."""
        decay = np.exp(-self.energies * (time / self.hbar))
        if self.signs is None or self.step is None:
            return np.asarray(decay)
        return np.asarray(decay * self.signs ** whole_steps(np.asarray(time), self.step))

    def kernel(self, time: float) -> Floats:
        """Euclidean propagator between the points times sqrt(w_q w_q'), shape (Q, Q)."""
        return np.asarray((self.rows.T * self.decay(time)) @ self.rows)


@dataclass(frozen=True, kw_only=True)
class ThermalModes:
    r"""One input at finite temperature, periodic in Euclidean time.

    .. math:: p(y_q, y_{q'}; t) = K_t(y_q, y_{q'})\, K_{\beta - t}(y_{q'}, y_q)/Z

    Attributes
    ----------
    modes : Modes
    beta : float
        Period, unit time.
    rate : float or None
        Rate omega of an oscillator, whose thermal process is Gaussian, so that the modes have the thermal width; None
        for other inputs.
    """

    modes: Modes
    beta: float
    rate: float | None = None

    def joint(self, time: float) -> Floats:
        """Joint probabilities of the points at two times, 0 <= t <= beta, shape (Q, Q)."""
        if self.rate is None:
            joint = self.modes.kernel(time) * self.modes.kernel(self.beta - time)
            return np.asarray(joint / joint.sum())
        if time in (0.0, self.beta):
            return np.diag(self.modes.law)
        ratio = thermal_ratio(time, self.rate, self.beta)
        rows = self.modes.rows
        return np.asarray((rows.T * ratio ** np.arange(len(rows))) @ rows * rows[0] * rows[0][:, None])


def oscillator(rate: float, spread: float, rule: tuple[Floats, Floats], order: int, hbar: float) -> Modes:
    """Hermite functions up to an order for an Ornstein-Uhlenbeck input, on the nodes and weights of a quadrature."""
    z, weights = rule
    return Modes(
        points=spread * z,
        rows=hermite_functions(z, weights, order),
        energies=np.asarray(hbar * rate * np.arange(order + 1.0)),
        hbar=hbar,
    )


def density(z: Floats) -> Floats:
    """Standard normal density."""
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def hermite_functions(z: Floats, weights: Floats, order: int) -> Floats:
    """Values h_n(z) sqrt(weight), shape (order + 1, Q): rows are orthonormal if the rule is exact."""
    rows = np.empty((order + 1, z.size))
    rows[0] = np.sqrt(weights)
    if order:
        rows[1] = z * rows[0]
    for n in range(1, order):
        rows[n + 1] = (z * rows[n] - np.sqrt(n) * rows[n - 1]) / np.sqrt(n + 1)
    return rows


def trapezoid(width: float, nodes: int) -> tuple[Floats, Floats]:
    """Points z and weights (density included) of the trapezoid rule on [-width, width]."""
    z, step = np.linspace(-width, width, nodes, retstep=True)
    return z, step * density(z)
