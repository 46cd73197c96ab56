"""Discrete variable representations: what a basis of localised functions on points gives to levels, states and sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..statistics.matrices import eigenvalues

__all__ = ["EPS", "Basis"]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis(ABC):
    """Orthonormal functions chi_i, each localised at a point: psi(x_i) = c_i/sqrt(w_i), and V is diagonal.

    Attributes
    ----------
    points, weights : ndarray
        x_i, ascending, and the weights w_i of their quadrature, unit length, shape (N,).
    potential : ndarray
        V(x_i), shape (N,).
    hbar, mass : float
    even : bool
        Whether points and V are mirrored at zero.
    errors : ndarray
        Errors of the lowest levels, up to the number that the basis carries to the tolerance.
    """

    points: Floats
    weights: Floats
    potential: Floats
    hbar: float
    mass: float
    even: bool
    errors: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    @abstractmethod
    def kinetic(self) -> Floats:
        """p^2/2m, shape (N, N)."""

    @property
    @abstractmethod
    def derivative(self) -> Floats:
        """d/dx, antisymmetric, shape (N, N)."""

    @property
    @abstractmethod
    def spacing(self) -> float:
        """Largest distance of neighbouring points."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """Interval on which the functions of the basis represent a wave."""

    @property
    @abstractmethod
    def rounding(self) -> float:
        """Rounding error of a level."""

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """Kinetic energy beyond which the basis does not represent waves."""

    @abstractmethod
    def amplitudes(self, x: Floats) -> Floats:
        """chi_i(x) at points (k,), shape (k, N)."""

    @abstractmethod
    def panels(self) -> Floats:
        """Ascending edges between which the functions of the basis are polynomials or short waves, shape (P + 1,)."""

    @property
    def joints(self) -> Floats:
        """Points at which derivatives of the functions of the basis jump, shape (k,)."""
        return np.zeros(0)

    @abstractmethod
    def _solve(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Levels and vectors of a sector of the Hamiltonian."""

    @cached_property
    def matrix(self) -> Floats:
        """The Hamiltonian, shape (N, N)."""
        return np.asarray(self.kinetic + np.diag(self.potential))

    def _sectors(self) -> list[Floats]:
        """The Hamiltonian, or its even and its odd part; the latter has no function at zero."""
        if not np.isfinite(self.potential).all():
            x = self.points[np.flatnonzero(~np.isfinite(self.potential))[0]]
            raise InputError(
                f"the potential is beyond double precision at x = {x:g}, where its lowest states live; give domain, or "
                "a potential of lower degree"
            )
        if not self.even:
            return [self.matrix]
        half, central = divmod(len(self.points), 2)
        straight = self.matrix[: half + central, : half + central]
        crossed = self.matrix[: half + central, : half - 1 if half else None : -1]
        if not central:
            return [np.asarray(straight + crossed), np.asarray(straight - crossed)]
        even = straight + crossed
        even[half] /= np.sqrt(2)
        even[:, half] /= np.sqrt(2)
        return [even, np.asarray((straight - crossed)[:half, :half])]

    def lowest(self, count: int) -> Floats:
        """The lowest levels, without their vectors, shape (count,)."""
        parts = [eigenvalues(m) for m in self._sectors()]
        if len(parts) == 1:
            return parts[0][:count]
        levels = np.empty(len(self.points))
        levels[::2], levels[1::2] = parts
        return np.asarray(np.maximum.accumulate(levels)[:count])

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        solved = [self._solve(m) for m in self._sectors()]
        energies, vectors = solved[0]
        if self.even:
            size = len(self.points)
            half = size // 2
            energies, vectors = np.empty(size), np.zeros((size, size))
            # Even and odd levels alternate, even if their splitting is below rounding.
            for parity, (levels, u) in enumerate(solved):
                energies[parity::2] = levels
                vectors[:half, parity::2] = u[:half] / np.sqrt(2)
                vectors[size - half :, parity::2] = (1, -1)[parity] * u[half - 1 :: -1][:half] / np.sqrt(2)
                if len(u) > half:
                    vectors[half, parity::2] = u[half]
            energies = np.maximum.accumulate(energies)
        # The rightmost lobe is positive.
        large = np.abs(vectors) > 1e-3 * np.abs(vectors).max(axis=0)
        last = len(vectors) - 1 - np.argmax(large[::-1], axis=0)
        return energies, vectors * np.sign(vectors[last, np.arange(vectors.shape[1])])

    @property
    def energies(self) -> Floats:
        """All levels of the basis, ascending, shape (N,)."""
        return self._solved[0]

    @property
    def vectors(self) -> Floats:
        """Coefficients of the levels, a column per level, shape (N, N)."""
        return self._solved[1]

    def interpolate(self, coefficients: NDArray[Any], x: Floats) -> NDArray[Any]:
        """psi(x) of vectors (N,) or (N, m) at points of any shape; zero beyond the ends."""
        flat = x.ravel()
        out = np.zeros((len(flat), *coefficients.shape[1:]), dtype=coefficients.dtype)
        rows = max(1, 2**21 // len(self.points))
        inside = np.flatnonzero((flat >= self.ends[0]) & (flat <= self.ends[1]))
        for start in range(0, len(inside), rows):
            part = inside[start : start + rows]
            out[part] = self._sum(flat[part], coefficients)
        return np.asarray(out.reshape(x.shape + coefficients.shape[1:]))

    def _sum(self, x: Floats, coefficients: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.amplitudes(x) @ coefficients)
