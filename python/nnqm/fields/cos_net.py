"""The cos-net: a sum of plane waves with random momenta and phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, floats, integer, scale
from ..errors import InputError, InputTypeError, located
from ..representation import short_repr
from .field import MOST_DIMENSIONS, Field, need_wave_memory, points_of
from .momenta import MomentumLaw
from .regulator import Regulator

__all__ = ["CosNet"]

_NO_REGULATOR = Regulator()


@short_repr
@dataclass(frozen=True, init=False)
class CosNet(Field):
    r"""A free scalar field in d dimensions as a network of N cosines with random momenta; exact two-point function.

    .. math::

        \phi(x) = N^{-1/2} \sum_{j=1}^N \sqrt{2\Omega_\alpha}\,(k_j^2 + m^2)^{\alpha/2} \cos(k_j \cdot x + b_j), \qquad
        p(k) = \frac{f(k)}{(2\pi)^d\, \Omega_\alpha\, (k^2 + m^2)^{\alpha + 1}}

    Here x has the time and d - 1 components of space, the phases b are uniform, f is the regulator and
    :math:`\Omega_\alpha` normalises the density p. The two-point function is the propagator
    :math:`\int d^dk/(2\pi)^d\, f(k)\, e^{ik\cdot x}/(k^2 + m^2)` at every width N and every :math:`\alpha`
    (Zhang, arXiv:2604.27050). A cos-net is not reflection positive, because it is smooth in time.

    Parameters
    ----------
    dimension : int
        Number d of dimensions of Euclidean spacetime, at least 1.
    mass : float
        m, unit of momentum, not negative.
    width : int
        Number N of neurons, at least 1.
    alpha : float, default 0
        :math:`\alpha`.
    regulator : Regulator, optional
        By default none.
    points : array_like, optional
        Points of space, shape (S, d - 1); in two dimensions also (S,). The origin by default.

    Raises
    ------
    InputError, InputTypeError
        If the dimension or the width is below 1, a point has another number of components, or the regulator leaves the
        integral of the propagator or of the density of momenta divergent; the message names the power.

    Examples
    --------
    >>> CosNet(2, mass=1.0, width=50, regulator=Regulator("gaussian", 100.0), points=[0.0, 0.5]).n_inputs
    2
    """

    kind = "cos-net"

    dimension: int
    mass: float
    width: int
    alpha: float = 0.0
    regulator: Regulator = _NO_REGULATOR
    points: tuple[tuple[float, ...], ...] = ()

    def __init__(
        self,
        dimension: int,
        mass: float,
        width: int,
        alpha: float = 0.0,
        regulator: Regulator | Mapping[str, Any] | None = None,
        points: ArrayLike | None = None,
    ) -> None:
        if isinstance(regulator, Mapping):
            with located("regulator"):
                regulator = Regulator.from_dict(regulator)
        elif regulator is None:
            regulator = Regulator()
        if not isinstance(regulator, Regulator):
            raise InputTypeError(f"regulator must be a Regulator or None; got {regulator!r}")
        power = float(floats("alpha", alpha, 0))
        rest = 0.0 if float(floats("mass", mass, 0)) == 0 else scale("mass", mass)
        for name, value in (
            ("dimension", integer("dimension", dimension, 1, MOST_DIMENSIONS)),
            ("mass", rest),
            ("width", integer("width", width, 1)),
            ("alpha", power),
            ("regulator", regulator),
            ("points", points_of(points, dimension)),
        ):
            object.__setattr__(self, name, value)
        if regulator.spatial and dimension == 1:
            raise InputError("a spatial regulator needs a dimension of at least 2; got 1", "use Regulator()")
        if regulator.spatial and power <= -0.5:
            raise InputError(
                f"the density of momenta diverges at large frequencies: it falls like k^{-2 * power - 2:g} and must "
                f"fall faster than 1/k; got alpha={power:g} and a spatial regulator",
                "use alpha > -1/2, or a regulator of all components",
            )
        self.law(1.0).need_integral("the propagator at one point")
        self.law(1.0 + power).need_integral("the density of momenta")

    def law(self, power: float) -> MomentumLaw:
        """The law of momenta with density proportional to f (k^2 + m^2)^-power.

        Parameters
        ----------
        power : float
            With a spatial regulator, above 1/2; the law is then the one of spatial momenta, after integration over
            frequencies.

        Returns
        -------
        MomentumLaw
        """
        if self.regulator.spatial:
            return MomentumLaw(self.dimension - 1, self.mass, power - 0.5, self.regulator)
        return MomentumLaw(self.dimension, self.mass, power, self.regulator)

    def momentum_integral(self, power: float) -> float:
        r"""The integral :math:`\int d^dk/(2\pi)^d f(k) (k^2 + m^2)^{-power}`.

        Parameters
        ----------
        power : float
            The propagator at one point has power 1, :math:`\Omega_\alpha` has :math:`1 + \alpha`.

        Returns
        -------
        float
        """
        found = self.law(power).integral()
        if self.regulator.spatial:
            from math import gamma, pi

            # The integral over the frequency of (k_t^2 + omega^2)^-p, divided by 2 pi omega^(1 - 2p).
            found *= gamma(power - 0.5) / (2 * pi**0.5 * gamma(power))
        return found

    @property
    def omega(self) -> float:
        r"""Normalisation :math:`\Omega_\alpha` of the density of momenta."""
        return self.momentum_integral(1 + self.alpha)

    @property
    def variance(self) -> Floats:
        """E phi^2, shape (S,)."""
        return np.full(self.n_inputs, self.momentum_integral(1.0))

    def propagator(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Exact two-point function, at every width; see ``Field.propagator``, and ``propagator`` for the error."""
        from .propagators import propagator

        return propagator(self.dimension, self.mass, times, displacements, regulator=self.regulator).value

    @property
    def fourth_moment(self) -> float:
        r"""E phi^4 at this width: a cosine has :math:`E h^4 = \frac32 \Omega_\alpha \int f (k^2 + m^2)^{\alpha - 1}`.

        NaN if the integral diverges.
        """
        power = 1 - self.alpha
        try:
            self.law(power).need_integral("the fourth moment")
        except InputError:
            return float("nan")
        if self.regulator.spatial and power <= 0.5:
            return float("nan")
        of_neuron = 1.5 * self.omega * self.momentum_integral(power)
        gaussian = super().fourth_moment
        return float(gaussian + (of_neuron - gaussian) / self.width)

    def need_moment(self, order: int, what: str) -> None:
        """Raise InputError if the moment of this order of the amplitude of a neuron diverges."""
        power = 1 + self.alpha - order * self.alpha / 2
        where = f"{what} needs E phi^{order}, which"
        self.law(power).need_integral(where)
        if self.regulator.spatial and power <= 0.5:
            raise InputError(
                f"{where} diverges at large frequencies: the integrand falls like k^{-2 * power:g} and must fall "
                "faster than 1/k",
                "use a regulator of all components, or a smaller alpha",
            )

    @property
    def natural_step(self) -> float:
        """0.2 over the mass, or over the cutoff if the mass is 0."""
        return 0.2 / (self.mass or self.regulator.cutoff)

    @property
    def work(self) -> float:
        """Multiplications per path and time."""
        return self.width * (60.0 + 2 * self.n_inputs)

    def compiled(self, times: Floats) -> Sequence[_core.RandomWaves]:
        """Plane waves with momenta drawn for each path.

        Raises
        ------
        InputError
            If their matrices would take more than the memory of the machine.
        """
        need_wave_memory(self, self.width, 64)
        ratio = MomentumLaw(1, 1.0, 1.0 + self.alpha, Regulator()).quantiles() if self.regulator.spatial else None
        return [
            _core.RandomWaves(
                points=self.positions,
                neurons=self.width,
                oscillators=False,
                radius=self.law(1.0 + self.alpha).quantiles(),
                ratio=ratio,
                mass=self.mass,
                amplitude=np.sqrt(2 * self.omega / self.width),
                power=self.alpha / 2,
                group=1,
            )
        ]
