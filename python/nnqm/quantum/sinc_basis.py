"""A basis of sinc functions on a grid: matrices of the Hamiltonian, its levels and states, operators on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from .functions import Function, values_of

__all__ = ["EPS", "Basis", "Operator", "act"]

Operator = str | Function

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """Sinc functions on a grid: c_i = sqrt(spacing) psi(x_i) (Colbert and Miller, J. Chem. Phys. 96, 1982 (1992))."""

    points: Floats
    spacing: float
    potential: Floats
    hbar: float
    mass: float
    even: bool
    # Errors of the lowest levels, up to the number that the basis carries to the tolerance.
    errors: Floats = field(default_factory=lambda: np.zeros(0))

    @cached_property
    def kinetic(self) -> Floats:
        """p^2/2m, shape (N, N)."""
        i = np.arange(len(self.points))
        row = np.full(len(i), np.pi**2 / 3)
        row[1:] = 2 * (-1.0) ** i[1:] / i[1:] ** 2
        row *= self.hbar**2 / (2 * self.mass * self.spacing**2)
        return np.asarray(row[np.abs(i[:, None] - i)])

    @cached_property
    def derivative(self) -> Floats:
        """d/dx, shape (N, N)."""
        i = np.arange(len(self.points))
        difference = i[:, None] - i
        with np.errstate(divide="ignore"):
            matrix = (-1.0) ** difference / difference / self.spacing
        np.fill_diagonal(matrix, 0)
        return np.asarray(matrix)

    @cached_property
    def matrix(self) -> Floats:
        """The Hamiltonian, shape (N, N)."""
        return np.asarray(self.kinetic + np.diag(self.potential))

    @property
    def rounding(self) -> float:
        """Rounding error of an eigenvalue."""
        return float(EPS * (np.abs(self.potential).max() + 3 * self.kinetic[0, 0]))

    def _sectors(self) -> list[Floats]:
        if not self.even:
            return [self.matrix]
        half = len(self.points) // 2
        straight, crossed = self.matrix[:half, :half], self.matrix[:half, : half - 1 : -1]
        return [np.asarray(straight + crossed), np.asarray(straight - crossed)]

    def lowest(self, count: int) -> Floats:
        """The lowest levels, without their vectors, shape (count,)."""
        return self._merge([np.linalg.eigvalsh(m) for m in self._sectors()])[:count]

    @staticmethod
    def _merge(parts: Sequence[NDArray[Any]]) -> Floats:
        # Even and odd levels alternate, even if their splitting is below rounding.
        return parts[0] if len(parts) == 1 else np.asarray(np.stack(parts, axis=-1).reshape(*parts[0].shape[:-1], -1))

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        solved = [np.linalg.eigh(m) for m in self._sectors()]
        energies = self._merge([np.asarray(e) for e, _ in solved])
        vectors = solved[0][1]
        if self.even:
            mirrored = [np.concatenate([u, sign * u[::-1]]) for (_, u), sign in zip(solved, (1, -1), strict=True)]
            vectors = self._merge(mirrored) / np.sqrt(2)
        # The rightmost lobe is positive.
        large = np.abs(vectors) > 1e-3 * np.abs(vectors).max(axis=0)
        last = len(vectors) - 1 - np.argmax(large[::-1], axis=0)
        return energies, vectors * np.sign(vectors[last, np.arange(vectors.shape[1])])

    @property
    def energies(self) -> Floats:
        """All levels of the grid, ascending, shape (N,)."""
        return self._solved[0]

    @property
    def vectors(self) -> Floats:
        """Coefficients of the levels, a column per level, shape (N, N)."""
        return self._solved[1]

    def interpolate(self, coefficients: NDArray[Any], x: Floats) -> NDArray[Any]:
        """Sum of sinc functions at points of any shape; zero beyond the grid."""
        flat = x.ravel()
        out = np.empty(flat.shape, dtype=coefficients.dtype)
        rows = max(1, 2**21 // len(self.points))
        for start in range(0, len(flat), rows):
            part = flat[start : start + rows]
            out[start : start + rows] = np.sinc((part[:, None] - self.points) / self.spacing) @ coefficients
        beyond = (flat < self.points[0] - self.spacing) | (flat > self.points[-1] + self.spacing)
        out[beyond] = 0
        return np.asarray(out.reshape(x.shape) / np.sqrt(self.spacing))


def act(operator: Operator, basis: Basis, vectors: NDArray[Any]) -> NDArray[Any]:
    """Apply an operator to columns of coefficients."""
    if callable(operator):
        return np.asarray(values_of(operator, basis.points)[:, None] * vectors)
    name = choice("operator", operator, ["x", "p", "p^2", "H"])
    if name == "x":
        return np.asarray(basis.points[:, None] * vectors)
    if name == "p":
        return np.asarray(-1j * basis.hbar * (basis.derivative @ vectors))
    return np.asarray((basis.matrix if name == "H" else 2 * basis.mass * basis.kinetic) @ vectors)
