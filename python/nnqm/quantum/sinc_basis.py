"""A basis of sinc functions on an equidistant grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..statistics.matrices import eigenstates
from .dvr import EPS, Basis

__all__ = ["SincBasis"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SincBasis(Basis):
    """Sinc functions on a grid: c_i = sqrt(spacing) psi(x_i) (Colbert and Miller, J. Chem. Phys. 96, 1982 (1992))."""

    step: float

    @property
    def spacing(self) -> float:
        """Distance of the points."""
        return self.step

    @property
    def ends(self) -> tuple[float, float]:
        """One spacing beyond the outermost points."""
        return float(self.points[0] - self.step), float(self.points[-1] + self.step)

    @cached_property
    def kinetic(self) -> Floats:
        """p^2/2m, shape (N, N)."""
        i = np.arange(len(self.points))
        row = np.full(len(i), np.pi**2 / 3)
        row[1:] = 2 * (-1.0) ** i[1:] / i[1:] ** 2
        row *= self.hbar**2 / (2 * self.mass * self.step**2)
        return np.asarray(row[np.abs(i[:, None] - i)])

    @cached_property
    def derivative(self) -> Floats:
        """d/dx, shape (N, N)."""
        i = np.arange(len(self.points))
        difference = i[:, None] - i
        with np.errstate(divide="ignore"):
            matrix = (-1.0) ** difference / difference / self.step
        np.fill_diagonal(matrix, 0)
        return np.asarray(matrix)

    @property
    def rounding(self) -> float:
        """Rounding error of a level."""
        return float(EPS * (np.abs(self.potential).max() + 3 * self.kinetic[0, 0]))

    @property
    def cutoff(self) -> float:
        """Kinetic energy of the shortest wave of the grid."""
        return float((np.pi * self.hbar / self.step) ** 2 / (2 * self.mass))

    def amplitudes(self, x: Floats) -> Floats:
        """chi_i(x) at points (k,), shape (k, N)."""
        return np.asarray(np.sinc((x[:, None] - self.points) / self.step) / np.sqrt(self.step))

    def _sum(self, x: Floats, coefficients: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.sinc((x[:, None] - self.points) / self.step) @ coefficients / np.sqrt(self.step))

    def panels(self) -> Floats:
        """Edges two spacings apart."""
        return np.append(self.points[::2] - self.step / 2, self.points[-1] + self.step / 2)

    def _solve(self, matrix: Floats) -> tuple[Floats, Floats]:
        return eigenstates(matrix)
