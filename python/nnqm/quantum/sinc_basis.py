"""The potential of a Hamiltonian surveyed from its bottom outwards, and bases of sinc functions for its states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError

__all__ = [
    "EPS",
    "OCTAVES",
    "PER_OCTAVE",
    "Basis",
    "Function",
    "Operator",
    "Survey",
    "act",
    "evaluate",
    "mirrored",
    "short",
    "side_limit",
    "values_of",
]

Function = Callable[[Any], Any]
Operator = str | Function

EPS = float(np.finfo(np.float64).eps)
# Points per octave, and octaves of |x - bottom| looked at: from 2^-30 to 2^40 of the user's unit.
PER_OCTAVE, OCTAVES = 96, (-30, 40)


@dataclass(frozen=True)
class Survey:
    """V looked at from the bottom of the well outwards, in ascending order of x."""

    x: Floats
    v: Floats
    # Energies beyond which a particle escapes to the left and to the right; inf where V grows without end.
    sides: tuple[float, float]
    # The potential is known between the first and the last x only.
    limited: bool
    even: bool

    @property
    def lowest(self) -> float:
        """Lowest value of V found."""
        return float(self.v.min())

    @property
    def threshold(self) -> float:
        """Energy at which the continuum begins; inf without one."""
        return min(self.sides)

    def phase(self, energy: float, unit: float) -> float:
        """Semiclassical number of levels below an energy; unit = sqrt(2m)/hbar."""
        k = np.sqrt(np.maximum(energy - self.v, 0))
        return unit / np.pi * float(np.sum((k[1:] + k[:-1]) / 2 * np.diff(self.x)))

    def energy(self, count: float, unit: float) -> float:
        """Energy below which there are semiclassically ``count`` levels, at most the threshold."""
        depth = self.threshold - self.lowest
        low, high = -300.0, min(300.0, np.log10(depth))
        if self.phase(self.lowest + 10**high, unit) <= count:
            return float(self.lowest + 10**high)
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.phase(self.lowest + 10**middle, unit) < count else (low, middle)
        return float(self.lowest + 10**high)

    def interval(self, energy: float, action: float, unit: float) -> tuple[float, float]:
        """Where waves of an energy have fallen by exp(-action) beyond the outermost turning points."""
        inside = np.flatnonzero(self.v < energy)
        first, last = (inside[0], inside[-1]) if len(inside) else (int(np.argmin(self.v)),) * 2
        with np.errstate(invalid="ignore", over="ignore"):
            kappa = unit * np.sqrt(np.maximum(self.v - energy, 0))
            # In a step to an infinite wall the wave ends at the step.
            right = np.cumsum((kappa[last + 1 :] + kappa[last:-1]) / 2 * np.diff(self.x[last:]))
            left = np.cumsum(((kappa[:first] + kappa[1 : first + 1]) / 2 * np.diff(self.x[: first + 1]))[::-1])
        i, j = np.searchsorted(left, action), np.searchsorted(right, action)
        a, b = float(self.x[max(first - 1 - i, 0)]), float(self.x[min(last + 1 + j, len(self.x) - 1)])
        return (-max(-a, b), max(-a, b)) if self.even else (a, b)


@dataclass(frozen=True, eq=False)
class Basis:
    """Sinc functions on a grid: c_i = sqrt(spacing) psi(x_i) (Colbert and Miller, J. Chem. Phys. 96, 1982 (1992))."""

    points: Floats
    spacing: float
    potential: Floats
    hbar: float
    mass: float
    even: bool
    # Errors of the lowest levels, which the basis carries to the tolerance.
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
        """The lowest levels alone, shape (count,)."""
        return self._merge([np.linalg.eigvalsh(m) for m in self._sectors()])[:count]

    @staticmethod
    def _merge(parts: Sequence[NDArray[Any]]) -> Floats:
        # Even and odd levels alternate, whatever rounding makes of a splitting.
        return parts[0] if len(parts) == 1 else np.asarray(np.stack(parts, axis=-1).reshape(*parts[0].shape[:-1], -1))

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        solved = [np.linalg.eigh(m) for m in self._sectors()]
        energies = self._merge([np.asarray(e) for e, _ in solved])
        vectors = solved[0][1]
        if self.even:
            mirrored = [np.concatenate([u, sign * u[::-1]]) for (_, u), sign in zip(solved, (1, -1), strict=True)]
            vectors = self._merge(mirrored) / np.sqrt(2)
        # The outermost lobe to the right is positive.
        large = np.abs(vectors) > 1e-3 * np.abs(vectors).max(axis=0)
        last = len(vectors) - 1 - np.argmax(large[::-1], axis=0)
        return energies, vectors * np.sign(vectors[last, np.arange(vectors.shape[1])])

    @property
    def energies(self) -> Floats:
        """All levels of the grid, ascending, shape (N,)."""
        return self._solved[0]

    @property
    def vectors(self) -> Floats:
        """Their coefficients, a column per level, shape (N, N)."""
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


def short(x: float) -> float:
    """A number of 24 bits nearby: a grid that depends on eigenvalues must not depend on the rounding of a BLAS."""
    fraction, exponent = np.frexp(x)
    return float(np.ldexp(np.round(fraction * 2.0**24), int(exponent) - 24))


def mirrored(v: Floats) -> bool:
    """Values at -x and x are equal."""
    finite = np.isfinite(v)
    if not np.array_equal(finite, finite[::-1]):
        return False
    u, w = v[finite], v[::-1][finite]
    return bool(np.all(np.abs(u - w) <= 16 * EPS * np.abs(u)))


def side_limit(v: Floats, lowest: float, name: str) -> float:
    """Limit of V on a side from its values outwards, inf if it grows without end."""
    octaves = v[: len(v) // PER_OCTAVE * PER_OCTAVE].reshape(-1, PER_OCTAVE).min(axis=1)
    last, middle, first = (float(octaves[i]) for i in (-1, -6, -11))
    if last == np.inf:
        return np.inf
    # A logarithm gains as much from the middle to the last as before, and whatever tends to a limit much less.
    noise = 1e-4 * (abs(last) + abs(lowest))
    if last == -np.inf or (middle - last > noise and middle - last > 0.5 * (first - middle)):
        raise InputError(
            f"potential must be bounded below; it falls without end to the {name}, to {last:g} at distance "
            f"{2.0 ** OCTAVES[1]:.0e}; give domain if only a part is meant"
        )
    return np.inf if last - middle > noise and last - middle > 0.5 * (middle - first) else last + 0.0


def evaluate(name: str, function: Function, x: Floats, *, infinite: bool = False, kinds: str = "fiub") -> NDArray[Any]:
    """Values of a vectorised function, of the shape of x; +inf only if ``infinite``."""
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(function(x))
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"{name} must take an array and return one of the same shape; calling it raised {error!s}; use NumPy's "
            "functions, and np.where for cases"
        ) from None
    if values.shape != x.shape:
        raise InputError(
            f"{name} must return an array of the shape of its argument; got {values.shape} for {x.shape}; for a "
            "constant c write c + 0*x"
        )
    if values.dtype.kind not in kinds:
        raise InputTypeError(f"{name} must return real numbers; got {values.dtype}")
    values = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    bad = ~np.isfinite(values)
    if infinite:
        bad &= values != np.inf
    if bad.any():
        i = int(np.argmax(bad.ravel()))
        raise InputError(
            f"{name} must be a number{' or +inf' if infinite else ''} at every point; "
            f"{name}({x.ravel()[i]:g}) is {values.ravel()[i]}; correct it there"
        )
    return values


def values_of(function: Function | None, x: Floats) -> Floats:
    """An observable f(x) at points; x itself without one."""
    if function is None:
        return x
    if not callable(function):
        raise InputTypeError(f"observable must be a function of x or None for x itself; got {function!r}")
    return evaluate("observable", function, x)


def act(operator: Operator, basis: Basis, vectors: NDArray[Any]) -> NDArray[Any]:
    """An operator on columns of coefficients."""
    if callable(operator):
        return np.asarray(values_of(operator, basis.points)[:, None] * vectors)
    name = choice("operator", operator, ["x", "p", "p^2", "H"])
    if name == "x":
        return np.asarray(basis.points[:, None] * vectors)
    if name == "p":
        return np.asarray(-1j * basis.hbar * (basis.derivative @ vectors))
    return np.asarray((basis.matrix if name == "H" else 2 * basis.mass * basis.kinetic) @ vectors)
