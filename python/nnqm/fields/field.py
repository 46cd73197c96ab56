"""The base class of fields: seed processes with one input per point of space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..errors import InputError
from ..theories.source import Source

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
