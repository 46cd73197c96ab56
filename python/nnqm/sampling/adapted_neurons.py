"""Neurons for the wave functions of one Hamiltonian, where polynomials and random neurons cannot represent them."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats
from ..quantum.hamiltonian import Hamiltonian
from ..statistics.matrices import eigenstates, eigenvalues, product

__all__: list[str] = []

# Levels that the default observables must represent, and their largest relative error for that.
_LEVELS, _SUFFICIENT = 5, 1e-3

# Probability beyond the outermost neurons on each side: paths hardly go there.
_TAIL = 1e-6

# Places of steps along x, as many again along its distribution function, and widths as parts of the whole interval.
_PLACES, _WIDTHS = 48, (1 / 3, 1 / 6, 1 / 12, 1 / 24)

# Smallest part of its square that a step adds to the span, and the distance within which two steps are equally good:
# the first is taken, so that rounding does not decide.
_NEW_PART, _EQUAL = 1e-7, 1e-6

# Smallest direction, as a part of the largest, that single precision can use.
_FLOOR = 1e-8


def represents(hamiltonian: Hamiltonian, rows: Floats, states: Floats, gaps: Floats) -> bool:
    """Whether the lowest levels are variational limits of functions of x, rows of shape (F, n_points).

    ``states`` (n_points, N) and ``gaps`` (N,) are from ``Hamiltonian.eigenbasis()``.
    """
    n = _bound(hamiltonian, gaps)
    overlap = (rows * states[:, 0]) @ states[:, 1:]
    overlap /= np.sqrt(np.sum(overlap**2, axis=1, keepdims=True))
    values, vectors = eigenstates(product(overlap, overlap.T))
    kept = values > _FLOOR * values[-1]
    white = (vectors[:, kept] / np.sqrt(values[kept])).T @ overlap
    # At the time step at which paths are usually drawn.
    step = 0.4 / gaps[min(2, len(gaps) - 1)]
    found = -np.log(eigenvalues(product(white * np.exp(-step * gaps[1:]), white.T))[::-1][:n]) / step
    return len(found) == n and bool(np.all(found - gaps[1 : n + 1] < _SUFFICIENT * gaps[1 : n + 1]))


def _bound(hamiltonian: Hamiltonian, gaps: Floats) -> int:
    bound = hamiltonian.n_bound
    most = min(_LEVELS, len(gaps) - 1)
    return most if bound is None else min(most, bound - 1)


def adapted_neurons(
    hamiltonian: Hamiltonian, fixed: Floats, n_neurons: int, points: Floats, states: Floats, gaps: Floats
) -> tuple[Floats, Floats]:
    r"""Slopes and biases of steps tanh(a x + b) that, with fixed rows, represent the lowest wave functions best.

    In terms of the process, a state is the function :math:`\psi_n/\psi_0`. Steps are chosen one after another by
    orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad, Asilomar Conf. 27, 40 (1993)): the next step is the
    one along which most of what is left of the states lies.
    """
    ground = states[:, 0]
    below = np.cumsum(ground**2) - ground**2 / 2
    low, high = np.interp([_TAIL, 1 - _TAIL], below, points)
    along = np.linspace(_TAIL, 1 - _TAIL, _PLACES)
    places = np.concatenate([np.linspace(low, high, _PLACES), np.interp(along, below, points)])
    widths = (high - low) * np.repeat(_WIDTHS, len(places))
    places = np.tile(places, len(_WIDTHS))
    steps = np.tanh((points - places[:, None]) / widths[:, None]) * ground
    squares = np.sum(steps**2, axis=1)
    span = np.linalg.qr(np.vstack([np.ones(len(points)), fixed]).T * ground[:, None])[0].T
    rest = states[:, 1 : _bound(hamiltonian, gaps) + 1].T
    for _ in range(2):
        steps = steps - (steps @ span.T) @ span
        rest = rest - (rest @ span.T) @ span
    chosen: list[int] = []
    for _ in range(n_neurons):
        new = np.sum(steps**2, axis=1)
        usable = new > _NEW_PART * squares
        gain = np.where(usable, np.sum((steps @ rest.T) ** 2, axis=1) / np.where(usable, new, 1.0), 0.0)
        best = int(np.argmax(gain >= (1 - _EQUAL) * gain.max()))
        if not usable[best]:
            break
        chosen.append(best)
        direction = steps[best] / np.sqrt(new[best])
        for _ in range(2):
            steps = steps - np.outer(steps @ direction, direction)
        rest = rest - np.outer(rest @ direction, direction)
    return 1 / widths[chosen], -places[chosen] / widths[chosen]
