"""The ground-state process of a Hamiltonian as a Markov chain on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._arguments import Floats, floats, positive
from ..errors import InputError
from ..representation import short_repr
from ..statistics.matrices import eigenvalues, product
from .basis import Bases, need_distinct
from .dvr import Basis

__all__ = ["GroundStateChain", "ground_state_chain"]

# Largest number of positions of a chain.
_MAX_STATES = 4000

# Fractions of the maximum of psi_0^2: at the ends of a chain, and in a barrier that disconnects wells.
_TAIL, _BARRIER = 1e-20, 1e-14

# Largest decay exponent, gap dt/hbar, of the first excitation in a step.
_MOST_DECAY = 25

# Check of the gaps: number of levels, including the ground state; smallest eigenvalue of a step; largest probability of
# a level outside the positions.
_CHECKED, _VISIBLE, _OUTSIDE = 6, 1e-4, 1e-9


@short_repr
@dataclass(frozen=True, kw_only=True)
class GroundStateChain:
    r"""The ground-state process of a Hamiltonian on a grid of positions: a reversible Markov chain.

    .. math:: P_{ij} = \frac{K_{ij} \psi_j}{(K\psi)_i}, \qquad \pi_i \propto \psi_i (K\psi)_i, \qquad
              K = e^{-(H - E_0) dt/\hbar}

    At multiples of dt its correlation functions equal the Euclidean functions of the Hamiltonian (Doob's transform).

    Attributes
    ----------
    values : ndarray
        Positions, ascending, shape (S,); equidistant where the potential is smooth.
    law : ndarray
        Stationary probabilities, shape (S,).
    transitions : ndarray
        P, rows sum to one, shape (S, S).
    dt : float
        Euclidean time of a step.
    spacing : float
        Largest distance of neighbouring positions.
    gap_error : float
        Largest difference between -hbar ln(eigenvalue of P)/dt and E_n - E_0, energy units, over the bound levels
        n <= 5 whose eigenvalue exceeds 1e-4 and whose probability outside the positions is below 1e-9. Weakly bound
        states extend far beyond the positions of ground-state paths.
    threshold : float
        Energy above E_0 at which the continuum begins; inf if there is none. Above it a finite grid has discrete
        levels.
    """

    values: Floats
    law: Floats
    transitions: Floats
    dt: float
    spacing: float
    gap_error: float
    threshold: float = np.inf


def ground_state_chain(bases: Bases, dt: float, offset: float) -> GroundStateChain:
    """The ground-state process in steps of dt as a reversible chain; see ``Hamiltonian.transition_matrix``."""
    positive("dt", dt)
    if not abs(float(floats("offset", offset, 0))) <= 0.5:
        raise InputError(f"offset must be between -0.5 and 0.5 spacings; got {offset}")
    reference, count = _reference(bases)
    gaps = reference.energies[1:count] - reference.energies[0]
    threshold = bases.threshold - reference.energies[0]
    first = float(gaps[0]) if count > 1 else threshold
    if first * dt / bases.hbar > _MOST_DECAY:
        raise InputError(
            f"dt={dt:g} is too coarse: one step reduces the first excitation by the factor exp(-gap dt/hbar) = "
            f"{np.exp(-first * dt / bases.hbar):.0e}; use dt below {_MOST_DECAY * bases.hbar / first:.2g}"
        )
    basis = _grid(bases, reference, dt, offset)
    for one in (reference, basis):
        _need_one_piece(one)
    for one in (reference, basis):
        need_distinct(one, 0)
    psi = basis.vectors[:, 0]
    law = psi**2 / basis.weights
    kept = np.flatnonzero(law > _TAIL * np.max(law))
    inside = slice(int(kept[0]), int(kept[-1]) + 1)
    kernel = _kernel(basis, inside, dt, bases.survey.lowest)
    psi = psi[inside]
    image = product(kernel, psi[:, None])[:, 0]
    transitions = kernel * psi / image[:, None]
    stationary = psi * image / np.sum(psi * image)
    root = np.sqrt(psi / image)
    decays = eigenvalues(root[:, None] * kernel * root)[::-1][1:count]
    x = basis.points[inside]
    beyond = (reference.points < x[0]) | (reference.points > x[-1])
    seen = np.exp(-gaps * (dt / bases.hbar)) > _VISIBLE
    seen &= np.sum(reference.vectors[beyond, 1:count] ** 2, axis=0) < _OUTSIDE
    deviation = np.abs(-bases.hbar * np.log(np.maximum(decays, 1e-300)) / dt - gaps)[seen]
    return GroundStateChain(
        values=x.copy(),
        law=stationary,
        transitions=transitions,
        dt=float(dt),
        spacing=float(basis.spacing),
        gap_error=float(deviation.max(initial=0.0)),
        threshold=float(threshold),
    )


def _reference(bases: Bases) -> tuple[Basis, int]:
    """A basis that carries the levels whose gaps check a chain, and their number."""
    bound = bases.n_bound
    count = _CHECKED if bound is None else max(1, min(_CHECKED, bound))
    # Weakly bound levels may need more points than the limit; the gaps below them still serve as a check.
    while True:
        try:
            return bases.carrying(count), count
        except InputError:
            if count == 1:
                raise
            count -= 1


def _grid(bases: Bases, reference: Basis, dt: float, offset: float) -> Basis:
    """A grid that is fine enough for the kernel of a step and as wide as ground-state paths."""
    spacing = min(reference.spacing, 0.3 * np.sqrt(bases.hbar * dt / bases.mass))
    law = reference.vectors[:, 0] ** 2 / reference.weights
    visible = np.flatnonzero(law > 1e-24 * law.max())
    # The interval is wider than the part that is kept, because psi_0 is forced to zero at its ends.
    extra = 2 * reference.spacing
    interval = (
        max(reference.points[visible[0]] - extra, reference.points[0]),
        min(reference.points[visible[-1]] + extra, reference.points[-1]),
    )
    if bases.survey.even:
        interval = (-interval[1], interval[1])
    size = (interval[1] - interval[0]) / spacing
    if size > _MAX_STATES:
        least = dt * (size / _MAX_STATES) ** 2
        raise InputError(
            f"dt={dt:g} is too fine: it needs {size:.0f} states, more than {_MAX_STATES}; use dt of at least "
            f"{least:.2g}"
        )
    return bases.covering(reference, interval, spacing, offset)


def _kernel(basis: Basis, inside: slice, dt: float, lowest: float) -> Floats:
    """exp(-(H - E_0) dt/hbar) between points of a grid."""
    energies, vectors = basis.energies, basis.vectors
    kernel = product(vectors[inside] * np.exp(-(energies - energies[0]) * (dt / basis.hbar)), vectors[inside].T)
    # By the Feynman-Kac formula K lies between zero and the kernel of a free particle in the lowest potential.
    # Deviations come from rounding and from the tails of the sinc functions at the ends of the grid.
    spread = basis.hbar * dt / basis.mass
    x, weights = basis.points[inside], basis.weights[inside]
    free = np.exp(-((x[:, None] - x) ** 2) / (2 * spread) - (lowest - energies[0]) * (dt / basis.hbar)) * (
        np.sqrt(weights * weights[:, None]) / np.sqrt(2 * np.pi * spread)
    )
    return np.asarray(np.clip((kernel + kernel.T) / 2, 0, 1.0001 * free))


def _need_one_piece(basis: Basis) -> None:
    """Refuse wells between which the ground state vanishes at double precision."""
    law = basis.vectors[:, 0] ** 2 / basis.weights
    kept = np.flatnonzero(law > _BARRIER * law.max())
    hole = law[kept[0] : kept[-1] + 1]
    if hole.min() <= _BARRIER * law.max():
        at = basis.points[kept[0] + int(np.argmin(hole))]
        raise InputError(
            f"the wells are disconnected at double precision: psi_0^2 at x={at:.3g} is "
            f"{hole.min() / law.max():.0e} of its maximum, and no path crosses; lower or narrow the barrier"
        )
