"""The base class of fields: seed processes with one input per point of space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, floats
from .._memory import need_memory
from ..errors import InputError
from ..quantum.measures import TwoPointFunction
from ..theories.networks import Network
from ..theories.source import Source

if TYPE_CHECKING:
    from .hermite_series import HermiteSeries

__all__ = ["Field"]


class Field(Source):
    """A free Euclidean field phi(t, x) at chosen points of space: input s of a network is the field at ``points[s]``.

    The time t is one of the ``dimension`` directions. A network of the inputs is an interacting field.
    """

    __slots__ = ()

    dimension: int
    mass: float
    points: tuple[tuple[float, ...], ...]

    @abstractmethod
    def propagator(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Exact two-point function E phi(t, x) phi(0, 0).

        Parameters
        ----------
        times : array_like
            t, unit time.
        displacements : array_like
            x, the last axis has the ``dimension - 1`` components; its other axes broadcast with the times.

        Returns
        -------
        ndarray
            The common shape, unit of the field squared.
        """

    @property
    def n_inputs(self) -> int:
        """Number of points of space S."""
        return len(self.points)

    @property
    def input_points(self) -> tuple[tuple[float, ...], ...]:
        """The points."""
        return self.points

    @property
    def positions(self) -> Floats:
        """The points, shape (S, dimension - 1)."""
        return np.array(self.points, dtype=np.float64).reshape(len(self.points), self.dimension - 1)

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def known_covariance(self) -> Callable[[Floats, Floats], Floats]:
        """Exact covariance at one point of space, the same for all points."""
        here = np.zeros(self.dimension - 1)
        return lambda s, t: self.propagator(np.asarray(t) - np.asarray(s), here)

    @property
    def basis(self) -> tuple[int, int, int] | None:
        """Three powers of the field at each of several points: default observables that are alike at all points."""
        return None if self.n_inputs == 1 else (3, 0, 0)

    @property
    def independent_inputs(self) -> bool:
        """False."""
        return False

    @property
    def variance(self) -> Floats:
        """E phi^2, shape (S,)."""
        return np.full(self.n_inputs, float(self.propagator(0.0, np.zeros(self.dimension - 1))))

    def lag_covariance(self, times: ArrayLike) -> Floats:
        """Exact covariance of the inputs at a distance of time.

        Parameters
        ----------
        times : array_like
            Shape (T,), unit time.

        Returns
        -------
        ndarray
            Shape (T, S, S).
        """
        at = self.positions
        return self.propagator(floats("times", times, 1)[:, None, None], at[:, None] - at[None])

    # Exact answers for functions of the field at one point.

    def series_average(
        self, series: HermiteSeries, times: ArrayLike, displacements: ArrayLike
    ) -> tuple[Floats, Floats]:
        r"""Connected two-point function of a function of the field, :math:`\sum_n c_n^2\, E \rho^n`.

        The correlation :math:`\rho` is the propagator over the variance of a Gaussian field, and fluctuates with the
        random parameters of a network that is Gaussian for fixed parameters.

        Parameters
        ----------
        series : HermiteSeries
        times, displacements : array_like
            As for ``propagator``.

        Returns
        -------
        values, errors : ndarray
            The common shape; the errors are of the average over random parameters.

        Raises
        ------
        InputError
            If the field is not Gaussian for fixed parameters, so that the series does not exist.
        """
        if not self.gaussian:
            raise InputError(
                f"the exact two-point function of a network needs a field that is Gaussian for fixed parameters; got "
                f"{self!r}",
                "sample the theory",
            )
        values = series.of_correlation(self.propagator(times, displacements) / self.variance[0])
        return values, np.zeros_like(values)

    def _series_at(self, series: HermiteSeries, point: Floats, times: ArrayLike) -> Floats:
        return self.series_average(series, times, point)[0]

    @property
    def fourth_moment(self) -> float:
        """E phi^4, that of a Gaussian variable by default; NaN if it is not known or does not exist."""
        return 3 * float(self.variance[0]) ** 2

    @property
    def short_times(self) -> tuple[float, float, float] | None:
        r"""Averages of :math:`-\dot\rho`, :math:`\ddot\rho` and :math:`\dot\rho^2` at t = 0 at one point, or None.

        Units 1/time, 1/time^2 and 1/time^2; None where they are not known.
        """
        return None

    def two_point_of(self, column: int, network: Network | None, hbar: float, mass: float) -> TwoPointFunction | None:
        """Exact two-point function in time of a function of the field at one point.

        Parameters
        ----------
        column : int
            Number of the point.
        network : Network or None
            The function, one input and one output; None for the field itself.
        hbar, mass : float
            Constants of the theory, of which only commutator and <p^2> depend.

        Returns
        -------
        TwoPointFunction

        Raises
        ------
        InputError
            For a network of a field that is not Gaussian for fixed parameters, or that is too steep.
        """
        from .hermite_series import HermiteSeries, SeriesTwoPoint

        here = np.zeros(self.dimension - 1)
        series, error = HermiteSeries.of(network, float(self.variance[column])), 0.0
        moments = series.moments
        function: Callable[[ArrayLike], Floats] = partial(self.propagator, displacements=here)
        if network is None:
            moments = np.array([moments[0], 0.0, self.fourth_moment])
        else:
            function = partial(self._series_at, series, here)
            # Raises an error where the series does not exist.
            _, errors = self.series_average(series, np.array([self.natural_step]), here)
            error = series.error + float(errors.max()) / max(float(moments[0]), np.finfo(float).tiny)
        commutator = square = float("nan")
        if self.short_times is not None:
            rate, curvature, rate_squared = self.short_times
            commutator = 2 * mass / hbar * series.slope * rate
            square = mass**2 * (series.slope * (curvature - rate_squared) + series.curvature * rate_squared)
        return SeriesTwoPoint(
            mean=series.mean,
            moments=moments,
            commutator=commutator,
            momentum_squared=square,
            hbar=hbar,
            mass=mass,
            error=error,
            _function=function,
        )


# Most dimensions of spacetime, beyond any use: volumes of spheres leave the range of float64 soon after.
MOST_DIMENSIONS = 100


def points_of(points: ArrayLike | None, dimension: int) -> tuple[tuple[float, ...], ...]:
    """Points of space as tuples; the origin by default. In two dimensions a point may be one number."""
    space = dimension - 1
    if points is None:
        return ((0.0,) * space,)
    array = floats("points", points)
    if array.ndim == 1 and space == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != space or len(array) == 0:
        raise InputError(
            f"points must have shape (S, {space}), one row per point of space of a field in {dimension} dimensions; "
            f"got shape {array.shape}"
        )
    return tuple(tuple(map(float, row)) for row in array)


def need_wave_memory(field: Field, width: int, copies: int) -> None:
    """Raise InputError if the matrices of random waves, on every thread, exceed the memory of the machine."""
    threads = int(_core.build_info()["max_threads"])
    need_memory(
        8.0 * threads * width * (field.n_inputs * copies + 5 * 64),
        f"random waves of {width} neurons at {field.n_inputs} points",
        "use fewer points or a smaller width, or OMP_NUM_THREADS=1",
        f"{threads} threads",
    )
