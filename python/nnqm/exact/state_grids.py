r"""Seed processes as orthonormal modes on a grid: what exact integration needs to know of an input.

At lag t a mode's amplitude is multiplied by its decay, so that the joint density of an input at two times is

.. math:: p(y_q, y_{q'}; t) = \sqrt{w_q w_{q'}} \sum_n \phi_n(y_q)\, \lambda_n(t)\, \phi_n(y_{q'}),
          \qquad \lambda_n(t) = (\pm 1)^{t/dt}\, e^{-\epsilon_n t/\hbar} .

Oscillators have Hermite functions, Hamiltonians their eigenstates, chains the eigenvectors of the symmetrised
transition matrix. Several inputs are independent: their grids and modes multiply.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..quantum.measures import whole_steps
from ..quantum.oscillator import narrowing, thermal_ratio
from ..theories.ground_state import GroundStateProcess
from ..theories.sources import MarkovChain, OrnsteinUhlenbeck, Source
from ..theories.theory import Theory
from . import output_expansion

__all__ = ["Modes", "ThermalModes", "chain_modes", "grids", "oscillator", "thermal_grids"]

# Half-width and nodes of the trapezoid rule of an oscillator, and its highest polynomial.
Rule = tuple[float, int, int]

# Eigenvalues of a chain below this are rounding: they count as this small and positive.
_NOISE = 1e-14
# States of a chain whose eigenvalue problem is solved, at most, and combinations of shifted grids averaged over.
_MOST_STATES, _MOST_GRIDS = 3000, 64
# By how much the grid of a Hamiltonian is refined to see the error of the coarser one.
_FINER = 1.3


@dataclass(frozen=True)
class Modes:
    """One input: points, and orthonormal functions on them whose amplitudes decay.

    Attributes
    ----------
    points : ndarray
        Values of the input, shape (Q,).
    rows : ndarray
        phi_n(y_q) times the root of the weight of the point, shape (N, Q); the first row is that root.
    energies : ndarray
        E_n - E_0, energy units, shape (N,), the first 0.
    hbar : float
    signs : ndarray or None
        +1 or -1 by which a mode is multiplied in every step of a chain, shape (N,).
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
    def law(self) -> Floats:
        """Probabilities of the points, shape (Q,)."""
        return np.asarray(self.rows[0] ** 2)

    def decay(self, time: float) -> Floats:
        """lambda_n(t), shape (N,)."""
        decay = np.exp(-self.energies * (time / self.hbar))
        if self.signs is None or self.step is None:
            return np.asarray(decay)
        return np.asarray(decay * self.signs ** whole_steps(np.asarray(time), self.step))

    def kernel(self, time: float) -> Floats:
        """Euclidean propagator between the points, roots of the weights included, shape (Q, Q)."""
        return np.asarray((self.rows.T * self.decay(time)) @ self.rows)


def chain_modes(chain: MarkovChain, grid: int, hbar: float) -> Modes:
    """Modes of one grid of a reversible chain: eigenvectors of the root of law_i P_ij P_ji.

    Raises
    ------
    ValueError
        With more than 3000 states.
    """
    values, law, transitions = chain.values[grid], chain.law[grid], chain.transitions[grid]
    if values.size > _MOST_STATES:
        raise InputError(
            f"exact functions of a chain need at most {_MOST_STATES} states; got {values.size}; sample it instead"
        )
    root = np.sqrt(law)
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    symmetric = root[:, None] * transitions * inverse
    # The vacuum is known; without it a chain of several classes would mix it with other vectors of eigenvalue 1.
    eigenvalues, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2 - np.outer(root, root))
    vacuum = int(np.argmax(np.abs(root @ vectors)))
    order = [i for i in np.argsort(-eigenvalues, kind="stable") if i != vacuum]
    value = np.minimum(np.concatenate([[1.0], eigenvalues[order]]), 1.0)
    value = np.where(np.abs(value) < _NOISE, _NOISE, np.maximum(value, -1.0))
    rows = np.concatenate([root[None], vectors[:, order].T])
    energies = np.maximum(-hbar / chain.dt * np.log(np.abs(value)), 0.0)
    signs = np.sign(value) if (value < 0).any() else None
    return Modes(values, rows, energies, hbar, signs, chain.dt)


def oscillator(rate: float, spread: float, rule: tuple[Floats, Floats], order: int, hbar: float) -> Modes:
    """Hermite functions up to an order of an Ornstein-Uhlenbeck input, by nodes z and weights of a quadrature."""
    z, weights = rule
    rows = output_expansion.hermite_functions(z, weights, order)
    return Modes(spread * z, rows, np.asarray(hbar * rate * np.arange(order + 1.0)), hbar)


def grids(theory: Theory, fine: Rule, coarse: Rule) -> Iterator[tuple[list[Modes], list[Modes]]]:
    """Fine and coarse modes of every input; once, or for each of the shifted grids that paths are divided between.

    Parameters
    ----------
    theory : Theory
    fine, coarse : (float, int, int)
        Half-width, nodes and highest polynomial of Ornstein-Uhlenbeck inputs. Grids of Hamiltonians are refined by a
        factor of their own, and chains have but one.
    """
    fixed = [None if isinstance(s, MarkovChain) else _pair(s, theory.hbar, fine, coarse) for s in theory.sources]
    for grid in range(_count_grids(theory)):
        levels: tuple[list[Modes], list[Modes]] = ([], [])
        for source, known in zip(theory.sources, fixed, strict=True):
            if known is None:
                assert isinstance(source, MarkovChain)
                modes = chain_modes(source, grid % len(source.values), theory.hbar)
                known = ([modes], [modes])
            for level, inputs in zip(levels, known, strict=True):
                level.extend(inputs)
        yield levels


def _pair(source: Source, hbar: float, fine: Rule, coarse: Rule) -> tuple[list[Modes], list[Modes]]:
    if isinstance(source, OrnsteinUhlenbeck):
        inputs = list(zip(source.omega, np.sqrt(source.variance), strict=True))
        first, second = (
            [oscillator(w, float(s), output_expansion.trapezoid(width, nodes), order, hbar) for w, s in inputs]
            for width, nodes, order in (fine, coarse)
        )
        return first, second
    if isinstance(source, GroundStateProcess):
        h = source.hamiltonian
        return [_eigenstates(h.eigenbasis(_FINER), hbar)], [_eigenstates(h.eigenbasis(), hbar)]
    raise _unknown(source)


def _eigenstates(basis: tuple[Floats, Floats, Floats], hbar: float) -> Modes:
    points, vectors, gaps = basis
    return Modes(points, vectors.T, gaps, hbar)


@dataclass(frozen=True)
class ThermalModes:
    r"""One input at finite temperature, periodic in Euclidean time.

    .. math:: p(y_q, y_{q'}; t) = K_t(y_q, y_{q'})\, K_{\beta - t}(y_{q'}, y_q)/Z

    Attributes
    ----------
    modes : Modes
    beta : float
        Period, unit time.
    rate : float or None
        omega of an oscillator: its thermal process is Gaussian, so that the modes are those at the thermal width.
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


def thermal_grids(theory: Theory, beta: float, fine: Rule, coarse: Rule) -> Iterator[list[list[ThermalModes]]]:
    """Fine and coarse thermal modes of every input, like ``grids``."""
    for grid in range(_count_grids(theory)):
        levels: list[list[ThermalModes]] = [[], []]
        for source in theory.sources:
            for level, (rule, finer) in enumerate(((fine, _FINER), (coarse, 1.0))):
                if isinstance(source, OrnsteinUhlenbeck):
                    for w, variance in zip(source.omega, source.variance, strict=True):
                        spread = float(np.sqrt(variance / narrowing(w, beta)))
                        nodes = output_expansion.trapezoid(*rule[:2])
                        levels[level].append(
                            ThermalModes(oscillator(w, spread, nodes, rule[2], theory.hbar), beta, float(w))
                        )
                elif isinstance(source, MarkovChain):
                    whole_steps(np.asarray(beta), source.dt)
                    modes = chain_modes(source, grid % len(source.values), theory.hbar)
                    levels[level].append(ThermalModes(modes, beta))
                elif isinstance(source, GroundStateProcess):
                    basis = source.hamiltonian.eigenbasis(finer, beta=beta)
                    levels[level].append(ThermalModes(_eigenstates(basis, theory.hbar), beta))
                else:
                    raise _unknown(source)
        yield levels


def _count_grids(theory: Theory) -> int:
    # Path i is on grid i mod G of every source.
    count = math.lcm(*(len(s.values) for s in theory.sources if isinstance(s, MarkovChain)))
    if count > _MOST_GRIDS:
        raise InputError(f"exact functions average over at most {_MOST_GRIDS} combinations of grids; got {count}")
    return count


def _unknown(source: Source) -> InputError:
    return InputError(
        f"the exact side knows Ornstein-Uhlenbeck, ground-state and Markov-chain sources; got {source!r}; "
        "sample the theory"
    )
