"""A basis of polynomials on panels of different widths, for potentials with jumps, kinks and narrow features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..statistics.matrices import generalised_eigenstates, product
from .dvr import EPS, Basis

__all__ = ["Elements", "PanelBasis", "panel_basis"]


@cache
def _lobatto(order: int) -> tuple[Floats, Floats, Floats]:
    """Gauss-Lobatto-Legendre nodes and weights (order + 1,), and the derivative of their polynomials at the nodes."""
    legendre = np.polynomial.legendre.Legendre.basis(order)
    slope, curvature = legendre.deriv(), legendre.deriv(2)
    # Newton's method from the formula of Parter (J. Sci. Comput. 14, 347 (1999)).
    k = np.arange(1, (order + 1) // 2) + 0.25
    guess = np.cos(np.pi * k / order - 3 / (8 * np.pi * order * k))
    inner = np.concatenate([-guess, np.zeros(1 - order % 2), guess[::-1]])
    for _ in range(6):
        inner = inner - slope(inner) / curvature(inner)
    z = np.concatenate([[-1.0], (inner - inner[::-1]) / 2, [1.0]])
    value = legendre(z)
    difference = z[:, None] - z
    np.fill_diagonal(difference, 1)
    derivative = value[:, None] / value / difference
    np.fill_diagonal(derivative, 0)
    np.fill_diagonal(derivative, -derivative.sum(axis=1))
    return z, 2 / (order * (order + 1) * value**2), derivative


@dataclass(frozen=True, kw_only=True)
class Elements:
    """Panels of a basis: their ends, shape (E,), and the orders of their polynomials, shape (E,).

    ``free`` tells for the lower and the upper end of all panels whether the wave has zero slope there (a natural
    boundary condition) instead of a zero. A wave also vanishes where neighbouring panels do not touch.
    """

    left: Floats
    right: Floats
    orders: NDArray[np.int64]
    # Edges at which V or a derivative jumps.
    breaks: Floats = field(default_factory=lambda: np.zeros(0))
    free: tuple[bool, bool] = (False, False)

    @cached_property
    def _touching(self) -> NDArray[np.bool_]:
        """Whether a panel begins where the one before it ends, shape (E,)."""
        return np.append(False, self.left[1:] == self.right[:-1])

    @cached_property
    def numbers(self) -> list[NDArray[np.int64]]:
        """Number of the basis function at each node of each panel; -1 where the wave vanishes."""
        full, size, dead = [], 0, []
        last = len(self.left) - 1
        for e, order in enumerate(self.orders):
            if not self._touching[e]:
                size += 1
                if e > 0 or not self.free[0]:
                    dead.append(size - 1)
            full.append(size - 1 + np.arange(order + 1))
            size += int(order)
            if not (self.free[1] if e == last else self._touching[e + 1]):
                dead.append(size - 1)
        alive = np.ones(size, dtype=bool)
        alive[dead] = False
        number = np.where(alive, np.cumsum(alive) - 1, -1)
        return [number[part] for part in full]

    @cached_property
    def size(self) -> int:
        """Number of basis functions."""
        return int(max(part.max() for part in self.numbers)) + 1

    def nodes(self, e: int) -> Floats:
        """Nodes of a panel, both ends included."""
        x = self.left[e] + (self.right[e] - self.left[e]) * ((_lobatto(int(self.orders[e]))[0] + 1) / 2)
        x[0], x[-1] = self.left[e], self.right[e]
        return np.asarray(x)


@dataclass(frozen=True, kw_only=True, eq=False)
class PanelBasis(Basis):
    r"""Polynomials through the Gauss-Lobatto-Legendre nodes of panels, continuous between panels.

    .. math:: \chi_i(x) = L_i(x)/\sqrt{w_i}, \qquad
              T_{ij} = \frac{\hbar^2}{2m} \int \chi_i'(x)\, \chi_j'(x)\, dx

    (Rescigno and McCurdy, Phys. Rev. A 62, 032706 (2000).) A node between two panels has the sum of both weights, and V
    is averaged with them, so that it may jump there.
    """

    elements: Elements

    @property
    def spacing(self) -> float:
        """Largest distance of neighbouring points."""
        return float(np.diff(self.points).max())

    @property
    def ends(self) -> tuple[float, float]:
        """Outermost ends of the panels."""
        return float(self.elements.left[0]), float(self.elements.right[-1])

    @property
    def cutoff(self) -> float:
        """Kinetic energy up to which every panel has enough nodes."""
        wave = self.elements.orders / (self.elements.right - self.elements.left)
        return float((self.hbar * wave.min()) ** 2 / (2 * self.mass))

    def _assembled(self, block: Callable[[Floats, Floats], Floats], scales: Floats) -> Floats:
        """Sum over panels of a matrix of their polynomials, from the weights and the derivative, times a scale."""
        out = np.zeros((len(self.points),) * 2)
        root = np.sqrt(self.weights)
        for e, number in enumerate(self.elements.numbers):
            _, weights, derivative = _lobatto(int(self.elements.orders[e]))
            used = number >= 0
            own = number[used]
            part = block(weights, derivative)[np.ix_(used, used)] * scales[e]
            out[np.ix_(own, own)] += part / root[own] / root[own][:, None]
        return out

    @cached_property
    def kinetic(self) -> Floats:
        """p^2/2m, shape (N, N)."""
        scales = self.hbar**2 / self.mass / (self.elements.right - self.elements.left)
        return self._assembled(lambda weights, d: product(d.T, weights[:, None] * d), scales)

    @cached_property
    def derivative(self) -> Floats:
        """d/dx, shape (N, N)."""
        matrix = self._assembled(lambda weights, d: np.asarray(weights[:, None] * d), np.ones(len(self.elements.left)))
        return np.asarray((matrix - matrix.T) / 2)

    @cached_property
    def rounding(self) -> float:
        """Rounding error of the lowest levels."""
        count = max(len(self.errors), 1)
        some = self.vectors[:, :count]
        # The vectors have the rounding of the kinetic matrix, large in narrow panels; levels feel its square.
        error = 2 * EPS * float((np.diag(self.kinetic) @ some**2).max())
        height = float(self.energies[count - 1] - self.potential.min())
        gap = max(float(self.energies[1] - self.energies[0]), 1e-3 * height)
        bottom = float(self.potential.min())
        sizes = float(((self.potential - bottom) @ some**2).max()) + height
        return 16 * EPS * sizes + 2 * EPS * abs(bottom) + min(error**2 / gap, error)

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        """Levels and vectors; low levels are expectation values, which have no rounding from narrow panels.

        The slope in a panel is taken from differences, so that a constant has none.
        """
        energies, vectors = Basis._solved.func(self)  # type: ignore[attr-defined]
        count = max(len(energies) // 3, 1)
        waves = vectors[:, :count] / np.sqrt(self.weights)[:, None]
        bottom = self.potential.min()
        total = product((self.potential - bottom)[None], vectors[:, :count] ** 2)[0]
        for e, number in enumerate(self.elements.numbers):
            _, weights, derivative = _lobatto(int(self.elements.orders[e]))
            values = np.where(number[:, None] >= 0, waves[number], 0.0)
            slopes = product(derivative, values - values[:1])
            scale = self.hbar**2 / self.mass / (self.elements.right[e] - self.elements.left[e])
            total = total + scale * product(weights[None], slopes**2)[0]
        refined = energies.copy()
        refined[:count] = bottom + total / np.sum(vectors[:, :count] ** 2, axis=0)
        return np.maximum.accumulate(refined), vectors

    def amplitudes(self, x: Floats) -> Floats:
        """chi_i(x) at points (k,), shape (k, N)."""
        out = np.zeros((len(x), len(self.points)))
        root = np.sqrt(self.weights)
        panel = np.clip(np.searchsorted(self.elements.left, x, side="right") - 1, 0, len(self.elements.left) - 1)
        for e in np.unique(panel):
            a, b = self.elements.left[e], self.elements.right[e]
            rows = np.flatnonzero((panel == e) & (x >= a) & (x <= b))
            number = self.elements.numbers[e]
            used = number >= 0
            values = cardinal(int(self.elements.orders[e]), 2 * (x[rows] - a) / (b - a) - 1)
            out[np.ix_(rows, number[used])] = values[:, used] / root[number[used]]
        return out

    @property
    def joints(self) -> Floats:
        """Ends of the panels."""
        return self.panels()

    def panels(self) -> Floats:
        """Ends of the panels."""
        return np.unique(np.concatenate([self.elements.left, self.elements.right]))

    def _solve(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Levels from the inverse of the Hamiltonian, whose largest eigenvalues are the lowest levels.

        A direct solution would have the rounding of the largest kinetic energy, that of the narrowest panel.
        """
        height = matrix.diagonal().min() - self.potential.min()
        below = float(self.potential.min()) - max(1e-3 * float(height), 64 * EPS * abs(float(self.potential.min())))
        unit = np.eye(len(matrix))
        for _ in range(6):
            try:
                values, vectors = generalised_eigenstates(matrix - below * unit, unit)
            except np.linalg.LinAlgError:
                raise InputError(
                    "potential has features so narrow that the levels are lost in rounding: the narrowest panel is "
                    f"{float((self.elements.right - self.elements.left).min()):.1g} wide; leave them out"
                ) from None
            values, vectors = values[::-1], _orthonormal(vectors[:, ::-1])
            values = np.maximum(values, EPS**2 * values[0])
            energies = below + 1 / values
            gap = energies[min(1, len(energies) - 1)] - energies[0]
            if energies[0] - below <= 30 * gap or energies[0] - below <= 1e-6 * abs(below):
                break
            below = float(energies[0] - max(5 * gap, 1e-4 * (energies[0] - below)))
        return energies, vectors


def _orthonormal(vectors: Floats) -> Floats:
    """Columns that are orthogonal up to rounding, normalised and freed from the columns before them."""
    vectors = vectors / np.sqrt(np.sum(vectors**2, axis=0))
    overlaps = product(vectors.T, vectors)
    return product(vectors, np.eye(len(overlaps)) - np.triu(overlaps, 1))


def cardinal(order: int, z: Floats) -> Floats:
    """Polynomials that are one at one Lobatto node and zero at the others, at points z (k,), shape (k, order + 1)."""
    nodes, weights, _ = _lobatto(order)
    difference = z[:, None] - nodes
    exact = difference == 0
    difference[exact] = 1
    # Barycentric weights of Lobatto nodes.
    terms = (-1.0) ** np.arange(order + 1) * np.sqrt(weights) / difference
    hit = exact.any(axis=1)
    terms[hit] = exact[hit]
    return np.asarray(terms / terms.sum(axis=1, keepdims=True))


def panel_basis(
    elements: Elements, function: Callable[[Floats], Floats], hbar: float, mass: float, *, even: bool
) -> PanelBasis:
    """A basis on panels for a potential; at the ends of a panel V is the limit from inside."""
    numbers = elements.numbers
    points, weights, potential = np.zeros((3, elements.size))
    nodes = [elements.nodes(e) for e in range(len(numbers))]
    inside = []
    for x in nodes:
        y = x.copy()
        # The limits at the ends; the distance is negligible where V is smooth.
        y[0], y[-1] = x[0] + 1e-10 * (x[-1] - x[0]), x[-1] - 1e-10 * (x[-1] - x[0])
        inside.append(y)
    values = np.split(function(np.concatenate(inside)), np.cumsum([len(x) for x in inside])[:-1])
    for e, number in enumerate(numbers):
        used = number >= 0
        own = number[used]
        weight = _lobatto(int(elements.orders[e]))[1][used] * ((elements.right[e] - elements.left[e]) / 2)
        points[own] = nodes[e][used]
        weights[own] += weight
        potential[own] += weight * values[e][used]
    potential /= weights
    if even:
        points = (points - points[::-1]) / 2
        potential = (potential + potential[::-1]) / 2
        weights = (weights + weights[::-1]) / 2
    return PanelBasis(
        points=points, weights=weights, potential=potential, hbar=hbar, mass=mass, even=even, elements=elements
    )
