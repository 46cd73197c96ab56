"""Energies of several free particles in a periodic box, with their multiplicities, by total momentum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer, positive
from ..errors import InputError
from ..representation import card, short_repr
from .networks import momentum_modes, momentum_rows
from .periodic_box import PeriodicBox

__all__ = ["ParticleLevels", "particle_levels", "thresholds"]

# Largest number of sets of momenta that are listed.
_MOST_STATES = 2_000_000

# Relative distance below which two energies are one level.
_SAME = 1e-10


@short_repr
@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleLevels:
    r"""Levels of n free particles in a box at a total momentum q, up to an energy; ascending for each n.

    Attributes
    ----------
    momentum : tuple of float
        q, one component per axis.
    n_particles : ndarray
        Number n of particles of each level, shape (K,).
    energies : ndarray
        :math:`\omega_{k_1} + \ldots + \omega_{k_n}`, shape (K,), unit of the mass.
    multiplicities : ndarray
        Number of sets :math:`\{k_1 \ldots k_n\}` whose sum is q up to a reciprocal lattice vector, shape (K,).
    phase_space : ndarray
        :math:`V \sum \prod_i (2\omega_{k_i} V s^2)^{-1}` over ordered n-tuples, s^2 the variance of the field at a
        point, shape (K,): the weight of the level in the Fourier transform at q of the power :math:`\rho^n` of the
        normalised propagator.
    """

    momentum: tuple[float, ...]
    n_particles: NDArray[np.int64]
    energies: Floats
    multiplicities: NDArray[np.int64]
    phase_space: Floats

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        rows = zip(self.n_particles, self.energies, self.multiplicities, self.phase_space, strict=True)
        headings = ("particles", "energy", "states", "phase space")
        return card(f"ParticleLevels at momentum {self.momentum}", headings=headings, rows=list(rows))

    def __str__(self) -> str:
        lines = [f"{'n':>2}  {'energy':>12}  states"]
        rows = zip(self.n_particles, self.energies, self.multiplicities, strict=True)
        return "\n".join([*lines, *(f"{n:2d}  {energy:12.8g}  {count:6d}" for n, energy, count in rows)])


def _grid_of(box: PeriodicBox) -> NDArray[np.int64]:
    """Whole numbers of the momenta of the modes along each axis, shape (S, axes)."""
    return np.stack(np.unravel_index(np.arange(box.n_inputs), box.sites), axis=-1).astype(np.int64)


def mode_of(box: PeriodicBox, momentum: ArrayLike) -> int:
    """Number of the mode of a momentum of the box, the one with the positive sign for q and -q."""
    return int(momentum_modes(box, np.atleast_2d(floats("momentum", momentum)))[0])


def particle_levels(
    box: PeriodicBox, momentum: ArrayLike, below: float, n_particles: int | Iterable[int] | None = None
) -> ParticleLevels:
    r"""Energies of n free particles in a box with a total momentum, and the number of states of each.

    .. math:: E = \omega_{k_1} + \ldots + \omega_{k_n}, \qquad k_1 + \ldots + k_n = q \pmod{2\pi/a}

    The levels of every network of the field are among these, because a network is a function of the free field; the
    network decides on the weights.

    Parameters
    ----------
    box : PeriodicBox
    momentum : array_like
        q, shape (d - 1,), or a number in two dimensions; a momentum of the box.
    below : float
        Largest energy listed, unit of the mass.
    n_particles : int or iterable of int, optional
        Numbers of particles; by default all that have levels below the energy.

    Returns
    -------
    ParticleLevels

    Raises
    ------
    InputError
        If q is no momentum of the box, or there are more than two million sets of momenta below the energy.

    Examples
    --------
    >>> from nnqm.fields import PeriodicBox
    >>> print(particle_levels(PeriodicBox(mass=1.0, sites=4), 0.0, below=3.5))
     n        energy  states
     1             1       1
     2             2       1
     2     3.4641016       1
     3             3       1
    """
    highest = positive("below", below)
    # A sum of equal frequencies may round to just above the bound.
    bound = highest * (1 + _SAME)
    if n_particles is None:
        numbers = list(range(1, int(bound / box.mass) + 1))
    elif isinstance(n_particles, Iterable):
        numbers = [integer(f"n_particles[{i}]", n, 1) for i, n in enumerate(n_particles)]
    else:
        numbers = [integer("n_particles", n_particles, 1)]
    target = mode_of(box, momentum)
    order = np.argsort(box.rates, kind="stable")
    rates, whole = box.rates[order], _grid_of(box)[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    wanted = _grid_of(box)[target]
    parts = []
    for n in numbers:
        sets = _sets(rates, n - 1, n, bound)
        # The last momentum follows from the total; sets are in ascending order of frequency.
        last = (wanted - whole[sets].sum(axis=1)) % np.array(box.sites)
        last = place[np.ravel_multi_index(tuple(last.T), box.sites)]
        full = np.concatenate([sets, last[:, None]], axis=1)
        ordered = np.ones(len(full), dtype=bool) if n == 1 else full[:, -1] >= full[:, -2]
        energy = rates[full].sum(axis=1)
        full, energy = full[ordered & (energy <= bound)], energy[ordered & (energy <= bound)]
        weight = _orders_of(full) * np.prod(1 / (2 * rates[full] * _volume(box) * box.variance[0]), axis=1)
        parts.append((n, *_grouped(energy, weight * _volume(box))))
    return ParticleLevels(
        momentum=tuple(box.momenta[target].tolist()),
        n_particles=np.concatenate([np.full(len(e), n, dtype=np.int64) for n, e, _, _ in parts] or [np.empty(0, int)]),
        energies=np.concatenate([e for _, e, _, _ in parts] or [np.empty(0)]),
        multiplicities=np.concatenate([m for _, _, m, _ in parts] or [np.empty(0, int)]),
        phase_space=np.concatenate([w for _, _, _, w in parts] or [np.empty(0)]),
    )


def _volume(box: PeriodicBox) -> float:
    return float(box.n_inputs * box.spacing ** len(box.sites))


def _sets(rates: Floats, length: int, n: int, bound: float) -> NDArray[np.int64]:
    """Ascending tuples of ``length`` out of n particles whose energy can be completed below the bound, (P, length)."""
    sets, energy = np.zeros((1, 0), dtype=np.int64), np.zeros(1)
    for i in range(length):
        first = sets[:, -1] if i else np.zeros(len(sets), dtype=np.int64)
        # All later frequencies are at least this one.
        stop = np.searchsorted(rates, (bound - energy) / (n - i), side="right")
        count = np.maximum(stop - first, 0)
        if count.sum() > _MOST_STATES:
            raise InputError(
                f"below must leave at most {_MOST_STATES:,} sets of momenta; got more than {int(count.sum()):,} for "
                f"{n} particles below {bound:.6g}",
                "list fewer particles, or levels below a smaller energy",
            )
        row = np.repeat(np.arange(len(sets)), count)
        added = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + first[row]
        sets, energy = np.concatenate([sets[row], added[:, None]], axis=1), energy[row] + rates[added]
    return sets


def _orders_of(sets: NDArray[np.int64]) -> Floats:
    """Number of different orders of each ascending tuple, shape (P,)."""
    n = sets.shape[1]
    repeated, run = np.ones(len(sets)), np.ones(len(sets))
    for i in range(1, n):
        run = np.where(sets[:, i] == sets[:, i - 1], run + 1, 1.0)
        repeated *= run
    return np.asarray(factorial(n) / repeated)


def _grouped(energy: Floats, weight: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Distinct energies, numbers of states and summed weights."""
    order = np.argsort(energy, kind="stable")
    energy, weight = energy[order], weight[order]
    if not energy.size:
        return energy, np.empty(0, dtype=np.int64), weight
    start = np.flatnonzero(np.diff(energy, prepend=-1.0) > _SAME * energy)
    return energy[start], np.diff(start, append=len(energy)), np.add.reduceat(weight, start)


def thresholds(box: PeriodicBox, n_particles: int, momenta: ArrayLike | None = None) -> Floats:
    r"""Lowest energy of n free particles at total momenta.

    .. math:: E_n(q) = \min_k\, [\omega_k + E_{n-1}(q - k)]

    At q = 0 it is n m.

    Parameters
    ----------
    box : PeriodicBox
    n_particles : int
        n, at least 1.
    momenta : array_like, optional
        Momenta of the box, shape (Q, d - 1), or (Q,) in two dimensions; all by default.

    Returns
    -------
    ndarray
        Shape (Q,), unit of the mass; in the order of ``box.momenta`` by default.

    Raises
    ------
    InputError
        If a momentum is not one of the box.

    Examples
    --------
    >>> from nnqm.fields import PeriodicBox
    >>> thresholds(PeriodicBox(mass=1.0, sites=4), 2).round(4)
    array([2.    , 2.7321, 3.2361, 2.7321])
    """
    n = integer("n_particles", n_particles, 1, 1000)
    axes = tuple(range(len(box.sites)))
    one = box.rates.reshape(box.sites)
    lowest = one
    for _ in range(n - 1):
        more = np.full(box.sites, np.inf)
        for at in np.ndindex(box.sites):
            np.minimum(more, one[at] + np.roll(lowest, at, axes), out=more)
        lowest = more
    flat = lowest.ravel()
    if momenta is None:
        return flat
    return np.array([flat[mode_of(box, row)] for row in momentum_rows(box, momenta)])
