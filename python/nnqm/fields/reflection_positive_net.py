"""The reflection-positive net: plane waves of space with random momenta, whose amplitudes are oscillators in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, floats, integer, scale
from ..errors import InputError
from ..representation import short_repr
from ..theories.source import REVERSIBLE
from .field import MOST_DIMENSIONS, Field, need_wave_memory, points_of
from .momenta import MomentumLaw
from .regulator import Regulator

if TYPE_CHECKING:
    from .hermite_series import HermiteSeries

__all__ = ["ReflectionPositiveNet"]

# Rest of a series of powers of the correlation, as a part of the variance, and the highest power.
_SERIES_ERROR, _MOST_POWERS = 1e-12, 256


@short_repr
@dataclass(frozen=True, init=False)
class ReflectionPositiveNet(Field):
    r"""A free scalar field in d dimensions as a network that is reflection positive at every width.

    .. math::

        \phi(t, x) = \sqrt{\Delta(0)/N} \sum_{j=1}^N \left[y_j(t) \cos k_j \cdot x + z_j(t) \sin k_j \cdot x\right]

    The spatial momenta k are independent with density proportional to :math:`1/\omega_k` for \|k\| below the cutoff,
    :math:`\omega_k = (k^2 + m^2)^{1/2}`, and y, z are independent stationary Ornstein-Uhlenbeck processes of rate
    :math:`\omega_k` and variance 1. The two-point function is the free propagator with this cutoff at every width N.
    For fixed momenta the field is a reversible Markov process in time, so that functions of the field at one time, in
    particular networks of it, are reflection positive. The momenta label superselection sectors.

    Parameters
    ----------
    dimension : int
        Number d of dimensions of Euclidean spacetime, at least 1; for d = 1 the field is one oscillator per neuron.
    mass : float
        m, unit of momentum, positive.
    width : int
        Number N of neurons, from 1 to 32767.
    cutoff : float
        Largest spatial momentum.
    points : array_like, optional
        Points of space, shape (S, d - 1); in two dimensions also (S,). The origin by default.
    group : int, default 8
        Number of successive paths that share their momenta, a divisor or a multiple of 64. Connected functions of
        networks need at least two.

    Raises
    ------
    InputError
        If the dimension or the width is below 1, the mass or the cutoff is not positive, a point has another number of
        components, or the group is neither a divisor nor a multiple of 64.

    Examples
    --------
    >>> field = ReflectionPositiveNet(2, mass=1.0, width=50, cutoff=50.0, points=[0.0, 0.5])
    >>> field.markov, field.positive_because != ""
    (False, True)
    """

    kind = "reflection-positive-net"

    dimension: int
    mass: float
    width: int
    cutoff: float
    points: tuple[tuple[float, ...], ...] = ()
    group: int = 8

    def __init__(
        self,
        dimension: int,
        mass: float,
        width: int,
        cutoff: float,
        points: ArrayLike | None = None,
        group: int = 8,
    ) -> None:
        members = integer("group", group, 1)
        if 64 % members and members % 64:
            raise InputError(f"group must be a divisor of 64 or a multiple of it; got {members}; use 8")
        for name, value in (
            ("dimension", integer("dimension", dimension, 1, MOST_DIMENSIONS)),
            ("mass", scale("mass", mass)),
            ("width", integer("width", width, 1, 32767)),
            ("cutoff", scale("cutoff", cutoff)),
            ("points", points_of(points, dimension)),
            ("group", members),
        ):
            object.__setattr__(self, name, value)

    @property
    def regulator(self) -> Regulator:
        """A hard cutoff of the spatial momenta; none in one dimension."""
        return Regulator() if self.dimension == 1 else Regulator("hard", self.cutoff, spatial=True)

    @property
    def law(self) -> MomentumLaw | None:
        """The law of the spatial momenta; None in one dimension."""
        if self.dimension == 1:
            return None
        return MomentumLaw(self.dimension - 1, self.mass, 0.5, Regulator("hard", self.cutoff))

    @property
    def variance(self) -> Floats:
        """E phi^2, shape (S,)."""
        at_zero = 1 / (2 * self.mass) if self.law is None else self.law.integral() / 2
        return np.full(self.n_inputs, at_zero)

    def propagator(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Exact two-point function, at every width; see ``Field.propagator``, and ``propagator`` for the error."""
        from .propagators import propagator

        return propagator(self.dimension, self.mass, times, displacements, regulator=self.regulator).value

    def series_average(
        self, series: HermiteSeries, times: ArrayLike, displacements: ArrayLike
    ) -> tuple[Floats, Floats]:
        r"""Connected two-point function of a function of the field, :math:`\sum_n c_n^2\, E \rho^n`.

        For fixed momenta the correlation is the mean of exp(-omega t) cos(k x) over the neurons. The series ends where
        the rest, at most exp(-n m t) for each n, is below 1e-12 of the variance, or at the power 256.

        Parameters
        ----------
        series : HermiteSeries
        times, displacements : array_like
            As for ``propagator``.

        Returns
        -------
        values, errors : ndarray
            The common shape; the errors are of the quadrature and of the rest of the series.

        Raises
        ------
        InputError
            If the cosine turns too often below the cutoff.
        """
        from .neuron_moments import NeuronLaw, mean_powers

        t, x = np.abs(floats("times", times)), floats("displacements", displacements)
        distance = np.sqrt((x**2).sum(axis=-1))
        t, distance = np.broadcast_arrays(t, distance)
        values, errors = np.empty(t.shape), np.empty(t.shape)
        law = NeuronLaw(self.dimension - 1, self.mass, self.cutoff)
        for at in np.ndindex(t.shape):
            bound = float(np.exp(-self.mass * t[at]))
            order = series.order_for(bound, _SERIES_ERROR, _MOST_POWERS)
            if distance[at] == 0 and t[at] == 0:
                values[at], errors[at] = float(series.weights.sum()), 0.0
                continue
            powers = [mean_powers(m, self.width) for m in law.moments(float(t[at]), float(distance[at]), order)]
            fine, coarse = (float(series.weights[: order + 1] @ p[: len(series.weights)]) for p in powers)
            values[at], errors[at] = fine, abs(fine - coarse) + series.beyond(order, bound)
        return values, errors

    @property
    def short_times(self) -> tuple[float, float, float]:
        """Averages of derivatives of the correlation at one point; see ``Field.short_times``."""
        if self.law is None:
            return self.mass, self.mass**2, self.mass**2
        # The density is proportional to 1/omega: moments of omega are ratios of integrals.
        norm = self.law.integral()
        first, second = (replace(self.law, power=0.5 - p / 2).integral() / norm for p in (1, 2))
        return first, second, second / self.width + (1 - 1 / self.width) * first**2

    @property
    def natural_step(self) -> float:
        """0.2 over the mass."""
        return 0.2 / self.mass

    @property
    def shared_by(self) -> int:
        """The group."""
        return self.group

    @property
    def sectors(self) -> bool:
        """True: the momenta label superselection sectors."""
        return True

    @property
    def positive_because(self) -> str:
        """Reason: for fixed momenta the field is reversible and Markov."""
        return REVERSIBLE + ", for every draw of the momenta"

    @property
    def work(self) -> float:
        """Multiplications per path and time."""
        return self.width * (80.0 + 2 * self.n_inputs)

    def compiled(self, times: Floats) -> Sequence[_core.RandomWaves]:
        """Plane waves of space with momenta drawn for each group of paths.

        Raises
        ------
        InputError
            If their matrices would take more than the memory of the machine.
        """
        need_wave_memory(self, self.width, 64 if self.group < 8 else max(1, 64 // self.group))
        return [
            _core.RandomWaves(
                points=self.positions,
                neurons=self.width,
                oscillators=True,
                radius=None if self.law is None else self.law.quantiles(),
                ratio=None,
                mass=self.mass,
                amplitude=np.sqrt(self.variance[0] / self.width),
                power=0.0,
                group=self.group,
            )
        ]
