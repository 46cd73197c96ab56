"""The free field on the sites of a periodic box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, choice, floats, integer, scale
from ..errors import InputError
from ..representation import short_repr
from ..theories.source import REVERSIBLE
from ..theories.state_modes import Levels
from .field import MOST_DIMENSIONS, Field

__all__ = ["PeriodicBox"]

# Largest number of sites: the matrix of the modes then takes half a gigabyte.
_MOST_SITES = 8192


@short_repr
@dataclass(frozen=True, init=False)
class PeriodicBox(Field):
    r"""The free scalar field on the sites of a periodic box, in continuous time; exact at every lattice spacing.

    .. math::

        \omega_k^2 = m^2 + \sum_i \left(\frac{2}{a} \sin\frac{k_i a}{2}\right)^2, \qquad
        E\,\phi(t, x)\,\phi(0, 0) = \frac{1}{V} \sum_k \frac{e^{ik\cdot x - \omega_k |t|}}{2\omega_k}

    V is the volume, and k runs over the momenta of the box. Each real mode is an Ornstein-Uhlenbeck process, so that
    the field is a reversible Markov process in time. In the limit :math:`a \to 0` the variance diverges, from two
    dimensions on: functions of the bare field then have no limit.

    Parameters
    ----------
    mass : float
        m, unit of momentum, positive.
    sites : int or sequence of int
        Number of sites along each axis of space; the dimension of spacetime is one larger than the number of axes.
    spacing : float, default 1
        Lattice spacing a, unit of length.
    dispersion : {"lattice", "continuum"}
        The formula above, or :math:`\omega_k^2 = m^2 + k^2` with :math:`|k_i| \le \pi/a`.

    Raises
    ------
    InputError
        If the mass is not positive, because the mode k = 0 then has no stationary state, if a number of sites is below
        1, or there are more than 8192 sites.

    Examples
    --------
    >>> box = PeriodicBox(mass=1.0, sites=8)
    >>> box.n_inputs, box.rates.min()
    (8, np.float64(1.0))
    """

    kind = "periodic-box"

    mass: float
    sites: tuple[int, ...]
    spacing: float = 1.0
    dispersion: str = "lattice"

    def __init__(
        self, mass: float, sites: int | Sequence[int], spacing: float = 1.0, dispersion: str = "lattice"
    ) -> None:
        listed = isinstance(sites, Sequence | np.ndarray) and not isinstance(sites, str)
        counts = tuple(sites) if listed else (sites,)  # type: ignore[arg-type]  # checked below, entry by entry
        if not counts:
            raise InputError("sites must have at least one axis of space; got none")
        if len(counts) >= MOST_DIMENSIONS // 2:
            raise InputError(f"sites must have fewer than {MOST_DIMENSIONS // 2} axes of space; got {len(counts)}")
        if float(floats("mass", mass, 0)) == 0:
            raise InputError(
                "mass must be positive; got 0: the frequency of the mode k = 0 would be 0, and this mode would have no "
                "stationary state"
            )
        for name, value in (
            ("mass", scale("mass", mass)),
            ("sites", tuple(integer(f"sites[{i}]" if listed else "sites", n, 1) for i, n in enumerate(counts))),
            ("spacing", scale("spacing", spacing)),
            ("dispersion", choice("dispersion", dispersion, ("lattice", "continuum"))),
        ):
            object.__setattr__(self, name, value)
        n = int(np.prod([float(count) for count in self.sites]))
        if n > _MOST_SITES:
            raise InputError(
                f"sites must be at most {_MOST_SITES} in total; got {n}, whose matrix of modes would take "
                f"{8 * n * n / 2**30:.3g} GiB",
                "use fewer sites per axis",
            )

    @property
    def dimension(self) -> int:  # type: ignore[override]  # follows from the sites
        """Number of dimensions of spacetime, one more than the number of axes."""
        return 1 + len(self.sites)

    @cached_property
    def points(self) -> tuple[tuple[float, ...], ...]:  # type: ignore[override]  # follows from the sites
        """The sites, the last axis varying fastest."""
        return tuple(tuple(self.spacing * i for i in at) for at in product(*(range(n) for n in self.sites)))

    @cached_property
    def momenta(self) -> Floats:
        """Momenta of the real modes, shape (S, dimension - 1), in (-pi/a, pi/a].

        The mode k is a cosine if k >= -k (compared entry by entry) and a sine otherwise.
        """
        axes = [np.where(np.arange(n) <= n // 2, np.arange(n), np.arange(n) - n) for n in self.sites]
        whole = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self.sites))
        return np.asarray(whole * 2 * np.pi / (self.spacing * np.array(self.sites)))

    @cached_property
    def rates(self) -> Floats:
        """Frequencies of the modes, shape (S,), in the order of ``momenta``."""
        if self.dispersion == "continuum":
            squares = self.momenta**2
        else:
            squares = (2 / self.spacing * np.sin(self.momenta * self.spacing / 2)) ** 2
        return np.asarray(np.sqrt(self.mass**2 + squares.sum(axis=1)))

    @cached_property
    def modes(self) -> Floats:
        """Orthonormal real modes at the sites, shape (S sites, S modes), in the order of ``momenta``."""
        n = self.n_inputs
        sites = np.array(list(product(*(range(count) for count in self.sites))))
        axes = [np.where(np.arange(c) <= c // 2, np.arange(c), np.arange(c) - c) for c in self.sites]
        whole = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self.sites))
        counts = np.array(self.sites)
        # Whole numbers of turns are removed before the angle is formed. The axes are added one by one, because arrays
        # of this size take most of the memory.
        turns = np.zeros((n, n))
        for axis, count in enumerate(self.sites):
            turns += np.outer(sites[:, axis], whole[:, axis]) % count / count
        opposite = (-whole) % counts == whole % counts
        alone = opposite.all(axis=1)
        mirrored = np.where(2 * whole == counts, whole, -whole)
        first = np.array([tuple(k) > tuple(o) for k, o in zip(whole, mirrored, strict=True)]) | alone
        turns *= 2 * np.pi
        size = np.where(alone, 1.0, np.sqrt(2.0)) / np.sqrt(n)
        return np.asarray(np.cos(turns, where=first, out=np.sin(turns)) * size)

    def propagator(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Exact two-point function; see ``Field.propagator``. Displacements are between sites of the box."""
        t, x = np.abs(floats("times", times)), floats("displacements", displacements)
        phase = np.cos(np.tensordot(x, self.momenta, axes=([-1], [1])))
        decay = np.exp(-t[..., None] * self.rates)
        return np.asarray((phase * decay / (2 * self.rates)).sum(axis=-1) / (self.n_inputs * self._cell))

    @property
    def _cell(self) -> float:
        """Volume per site."""
        return float(self.spacing ** len(self.sites))

    @property
    def natural_step(self) -> float:
        """0.2 over the mass."""
        return 0.2 / self.mass

    @property
    def gaussian(self) -> bool:
        """True."""
        return True

    @property
    def markov(self) -> bool:
        """True."""
        return True

    @property
    def positive_because(self) -> str:
        """Reason: the field is reversible and Markov in time."""
        return REVERSIBLE

    def levels(self, n_levels: int, hbar: float) -> list[Levels]:
        """Multiples of hbar omega of every mode.

        Parameters
        ----------
        n_levels : int
            Largest number of gaps per mode, the 0 of the ground state not counted.
        hbar : float

        Returns
        -------
        list of Levels
            One entry per mode, in the order of ``rates``.
        """
        steps = np.arange(n_levels + 1)
        return [Levels(energies=hbar * rate * steps, signs=np.ones(n_levels + 1)) for rate in self.rates]

    @property
    def short_times(self) -> tuple[float, float, float]:
        """Derivatives of the correlation at one point; see ``Field.short_times``."""
        share = 1 / self.rates / (1 / self.rates).sum()
        rate, curvature = float(share @ self.rates), float(share @ self.rates**2)
        return rate, curvature, rate**2

    @property
    def work(self) -> float:
        """Multiplications per path and time."""
        return self.n_inputs * (40.0 + self.n_inputs)

    def compiled(self, times: Floats) -> Sequence[_core.Modes]:
        """Independent oscillators and their modes at the sites."""
        matrix = self.modes / np.sqrt(2 * self.rates * self._cell)
        return [_core.Modes(omega=self.rates, matrix=matrix)]
