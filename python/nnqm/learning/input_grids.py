"""Grids of the inputs of a theory with the derivatives of everything on them in the parameters of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..exact.inputs import MOST_POINTS
from ..exact.output_expansion import RULES, Panels, adapt, widest_panel, zeros_of_layers
from ..quantum.dvr import Basis
from ..quantum.hamiltonian import Hamiltonian
from ..theories.networks import Network
from ..theories.source import Source
from ..theories.state_modes import density, hermite_functions, trapezoid
from ..theories.theory import Theory

__all__ = [
    "Axis",
    "AxisBars",
    "Grid",
    "Integers",
    "Rule",
    "contract",
    "kinked_grid",
    "kinked_state_grid",
    "oscillator_grid",
    "rule_nodes",
    "state_grid",
]

# Relative difference of levels below which their states are not told apart.
_DEGENERATE = 1e-13
# Half-width of the grid of a Hamiltonian in the variable of its panels.
_HALF_WIDTH = 7.0

# Number of lists of times whose decay factors are kept.
_KEPT = 8

# Spacing of the nodes and half-width, in standard deviations, and highest polynomial.
Rule: TypeAlias = tuple[float, float, int]
# Positions in an array.
Integers: TypeAlias = NDArray[np.intp]


@dataclass
class AxisBars:
    """Derivatives of a number with respect to what an input has on its grid; None for 0.

    Attributes
    ----------
    energies : ndarray
        Shape (N,).
    cutoff : float
    stretch : float
        With respect to the logarithm of a common factor of all points.
    rows, projection : ndarray or None
        Shape (N, Q).
    """

    energies: Floats
    cutoff: float = 0.0
    stretch: float = 0.0
    rows: Floats | None = None
    projection: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One input on its grid.

    Attributes
    ----------
    points : ndarray
        Values of the input, shape (Q,).
    rows : ndarray
        Orthonormal modes times the root of the weights, shape (N, Q); the first row is that of the vacuum.
    projection : ndarray
        ``rows`` times their first row, shape (N, Q): coefficients of a function from its values.
    energies : ndarray
        E_n - E_0, energy units, shape (N,).
    cutoff : float
        Lower bound of the energies of all further modes; infinite if there are none.
    fixed : bool
        Whether the rows do not depend on the parameters of the input.
    strength : float
        sigma of the generator, (sigma^2/2) d^2 + ...: root of hbar/m for a Hamiltonian.
    spread : float
        Standard deviation.
    density : callable
        Stationary density at values of the input, shape (K,).
    back : callable
        From ``AxisBars`` to derivatives with respect to the parameters of the input, by name.
    """

    points: Floats
    rows: Floats
    projection: Floats
    energies: Floats
    cutoff: float
    fixed: bool
    strength: float
    spread: float
    density: Callable[[Floats], Floats]
    back: Callable[[AxisBars], dict[str, Floats]]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The product of the grids of all inputs, without nodes of negligible weight.

    Attributes
    ----------
    axes : list of Axis
    nodes, weights : ndarray
        Values of the inputs, shape (M, D), and probabilities, shape (M,).
    inside : ndarray or None
        Positions of the nodes in the product of the grids, shape (M,); None if all are there.
    kinks : ndarray
        Values of a single input at which a network has kinks, shape (K,).
    """

    axes: list[Axis]
    nodes: Floats
    weights: Floats
    inside: Integers | None
    kinks: Floats = field(default_factory=lambda: np.zeros(0))
    _decays: dict[bytes, list[Floats]] = field(default_factory=dict)

    def decays(self, times: Floats, hbar: float) -> list[Floats]:
        """Decay factors of the modes of every input at times, shape (T, N_i) each; kept for the pullback."""
        key = times.tobytes()
        if key not in self._decays:
            if len(self._decays) >= _KEPT:
                self._decays.clear()
            scaled = times[:, None] * (-1 / hbar)
            self._decays[key] = [np.exp(scaled * axis.energies) for axis in self.axes]
        return self._decays[key]

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of points of the inputs."""
        return tuple(len(axis.points) for axis in self.axes)

    @property
    def fixed(self) -> bool:
        """Whether no modes depend on parameters."""
        return all(axis.fixed for axis in self.axes)

    def spread(self, values: Floats) -> Floats:
        """Values at the nodes, shape (M,), on the product of the grids, 0 at other points."""
        if self.inside is None:
            return values.reshape(self.shape)
        out = np.zeros(int(np.prod(self.shape)))
        out[self.inside] = values
        return out.reshape(self.shape)

    def gathered(self, values: Floats) -> Floats:
        """Values at the nodes, shape (M,), from values on the product of the grids."""
        flat = values.reshape(-1)
        return flat if self.inside is None else np.asarray(flat[self.inside])


def contract(values: Floats, matrices: Sequence[Floats]) -> Floats:
    """Values (Q_1, ..., Q_D) multiplied along every axis by matrices (N_i, Q_i)."""
    if values.ndim == 1:
        return np.asarray(matrices[0] @ values)
    for matrix in matrices:
        # Each pass multiplies the first axis and appends the result, which keeps the order of the axes.
        rest = values.shape[1:]
        values = (values.reshape(values.shape[0], -1).T @ matrix.T).reshape(*rest, len(matrix))
    return values


@dataclass(frozen=True)
class _Nodes:
    """Nodes of a rule for standard normal inputs, the same in all of them."""

    z: Floats
    rows: Floats
    projection: Floats
    nodes: Floats
    weights: Floats
    inside: Integers | None
    # Weights of the rule of every second node less the weights of the rule, alone and times each input, (M, 1 + D).
    thinning: Floats


@lru_cache(maxsize=64)
def rule_nodes(dimension: int, rule: Rule) -> _Nodes:
    """Nodes of a rule for a number of standard normal inputs, computed once."""
    spacing, width, order = rule
    # An odd number of nodes: every second one is a rule of its own.
    n = 4 * int(np.ceil(width / spacing / 2)) + 1
    z, weights = trapezoid(spacing * (n - 1) / 2, n)
    rows = hermite_functions(z, weights, order)
    if dimension == 1:
        nodes = z[:, None].copy()
        thinning = _thinning(nodes, weights, np.arange(0, n, 2))
        return _Nodes(z, rows, rows * rows[0], nodes, weights, None, thinning)
    grid = np.stack(np.meshgrid(*[z] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    product = weights
    for _ in range(dimension - 1):
        product = np.multiply.outer(product, weights)
    inside = np.flatnonzero((grid**2).sum(axis=1) <= width**2)
    number = np.stack(np.unravel_index(inside, (n,) * dimension), axis=-1)
    half = np.flatnonzero((number % 2 == 0).all(axis=1))
    nodes, kept = grid[inside].copy(), product.ravel()[inside]
    return _Nodes(z, rows, rows * rows[0], nodes, kept, inside, _thinning(nodes, kept, half))


def _thinning(nodes: Floats, weights: Floats, half: Integers) -> Floats:
    change = -weights
    change[half] += 2 ** nodes.shape[1] * weights[half]
    return np.concatenate([change[:, None], change[:, None] * nodes], axis=1)


def _oscillator_axis(z: Floats, rows: Floats, projection: Floats, rate: float, strength: float, hbar: float) -> Axis:
    """An Ornstein-Uhlenbeck input at points z in standard deviations."""
    spread = strength / np.sqrt(2 * rate)
    numbers = np.arange(len(rows) + 1.0)

    def back(bars: AxisBars) -> dict[str, Floats]:
        by_rate = hbar * float(numbers[:-1] @ bars.energies + numbers[-1] * bars.cutoff)
        return {
            "omega": np.array([by_rate - bars.stretch / (2 * rate)]),
            "sigma": np.array([bars.stretch / strength]),
        }

    levels = hbar * rate * numbers
    return Axis(
        points=spread * z,
        rows=rows,
        projection=projection,
        energies=levels[:-1],
        cutoff=float(levels[-1]),
        fixed=True,
        strength=strength,
        spread=float(spread),
        density=lambda y: density(y / spread) / spread,
        back=back,
    )


def oscillator_grid(theory: Theory, rule: Rule) -> tuple[Grid, Floats]:
    """The trapezoid rule on Ornstein-Uhlenbeck inputs, and the change of its weights if every second node is left out.

    The change has shape (M, 1 + D): alone, and times each input in standard deviations.
    """
    grid = _oscillator_grid(theory.omega, theory.sigma, theory.hbar, rule)
    return grid, rule_nodes(theory.n_inputs, rule).thinning


# A fit of a network has the same grid at every step.
@lru_cache(maxsize=8)
def _oscillator_grid(omega: tuple[float, ...], sigma: tuple[float, ...], hbar: float, rule: Rule) -> Grid:
    found = rule_nodes(len(omega), rule)
    axes = [
        _oscillator_axis(found.z, found.rows, found.projection, rate, strength, hbar)
        for rate, strength in zip(omega, sigma, strict=True)
    ]
    nodes = found.nodes * [axis.spread for axis in axes]
    return Grid(axes=axes, nodes=nodes, weights=found.weights, inside=found.inside)


def kinked_grid(theory: Theory, network: Network, order: int, nodes: int = RULES[0]) -> Grid:
    """Panels that end at the kinks of a network on one Ornstein-Uhlenbeck input."""
    rate, strength = theory.omega[0], theory.sigma[0]
    spread = float(strength / np.sqrt(2 * rate))
    kinks, panels = _panels(network, spread)
    z, weights = panels.nodes(nodes, widest_panel(order))
    # The outermost panels have weights below the smallest numbers.
    seen = weights > 0
    z, weights = z[seen], weights[seen]
    rows = hermite_functions(z, weights, order)
    axis = _oscillator_axis(z, rows, rows * rows[0], rate, strength, theory.hbar)
    return Grid(axes=[axis], nodes=axis.points[:, None], weights=weights, inside=None, kinks=kinks * spread)


def _panels(network: Network, spread: float) -> tuple[Floats, Panels]:
    kinks, probes = zeros_of_layers(network, spread)
    panels = adapt(lambda z: network(z * spread), kinks, probes)
    return panels.kinks, panels


def _levels(energies: Floats, vectors: Floats, bar_gaps: Floats, bar_vectors: Floats | None) -> Floats:
    r"""Derivatives with respect to the diagonal of a symmetric matrix H with given eigenvalues and vectors.

    .. math:: \bar H = U \left[\mathrm{diag}(\bar E) + F \circ (U^T \bar U)\right] U^T, \qquad
              F_{nm} = \frac{1}{E_m - E_n}, \quad F_{nn} = 0

    The first term is the theorem of Hellmann and Feynman, the second is first-order perturbation theory of the states
    (Giles, Lecture Notes in Computational Science and Engineering 64, 35 (2008)).
    """
    bar_energies = bar_gaps.copy()
    bar_energies[0] -= bar_gaps.sum()
    inner = np.diag(bar_energies)
    if bar_vectors is not None:
        difference = energies - energies[:, None]
        # States of equal levels enter together, and their mixing changes nothing.
        apart = np.abs(difference) > _DEGENERATE * (energies[-1] - energies[0])
        inner += np.divide(vectors.T @ bar_vectors, difference, out=np.zeros_like(difference), where=apart)
    return np.asarray(((vectors @ inner) * vectors).sum(axis=1))


def _state_axis(source: Source, basis: Basis, points: Floats, weights: Floats | None, hamiltonian: Hamiltonian) -> Axis:
    """A ground-state process on the points of a basis, or on other points with weights of the unit of length."""
    energies, vectors = basis.energies, basis.vectors
    if weights is None:
        rows, onto = np.ascontiguousarray(vectors.T), None
    else:
        onto = basis.interpolate(np.eye(len(energies)), points) * np.sqrt(weights)[:, None]
        rows = np.ascontiguousarray((onto @ vectors).T)

    def back(bars: AxisBars) -> dict[str, Floats]:
        total = np.zeros_like(rows) if bars.rows is None else bars.rows.copy()
        if bars.projection is not None:
            total += bars.projection * rows[0]
            total[0] += (bars.projection * rows).sum(axis=0)
        bar_vectors = (total if onto is None else total @ onto).T
        by_potential = _levels(energies, vectors, bars.energies, bar_vectors)
        return source.potential_pullback(basis.points, by_potential)

    law = rows[0] ** 2
    mean = float(law @ points)
    return Axis(
        points=points,
        rows=rows,
        projection=rows * rows[0],
        energies=np.maximum(energies - energies[0], 0.0),
        cutoff=np.inf if weights is None else basis.cutoff,
        fixed=False,
        strength=float(np.sqrt(hamiltonian.hbar / hamiltonian.mass)),
        spread=float(np.sqrt(law @ (points - mean) ** 2)),
        density=lambda y: np.asarray(basis.interpolate(vectors[:, 0], y) ** 2),
        back=back,
    )


def state_grid(theory: Theory, rule: Rule, finer: float) -> Grid:
    """The product of the bases of Hamiltonians, with ``finer`` times as many points, and rules of oscillators."""
    axes = []
    for source in theory.sources:
        hamiltonian = source.ground_state_of
        if hamiltonian is not None:
            basis = hamiltonian.bases.eigenbasis(finer, None)
            axes.append(_state_axis(source, basis, basis.points, None, hamiltonian))
            continue
        assert source.oscillators is not None
        found = rule_nodes(1, rule)
        for rate, strength in zip(*source.oscillators, strict=True):
            axes.append(_oscillator_axis(found.z, found.rows, found.projection, rate, strength, theory.hbar))
    size = int(np.prod([len(axis.points) for axis in axes]))
    if size > MOST_POINTS:
        raise InputError(
            f"the product of the grids of {theory.n_inputs} inputs must have at most {MOST_POINTS} points; got {size}; "
            "use fewer inputs"
        )
    nodes = np.stack(np.meshgrid(*(axis.points for axis in axes), indexing="ij"), axis=-1).reshape(size, -1)
    weights = np.ones(())
    for axis in axes:
        weights = np.multiply.outer(weights, axis.projection[0])
    return Grid(axes=axes, nodes=nodes, weights=weights.ravel(), inside=None)


def kinked_state_grid(theory: Theory, network: Network, finer: float, nodes: int = RULES[0]) -> Grid:
    """Panels that end at the kinks of a network on one ground-state process, with states interpolated to them."""
    source = theory.sources[0]
    hamiltonian = source.ground_state_of
    assert hamiltonian is not None
    basis = hamiltonian.bases.eigenbasis(finer, None)
    centre, unit = (basis.points[0] + basis.points[-1]) / 2, (basis.points[-1] - basis.points[0]) / 2 / _HALF_WIDTH
    shifted = Network(
        [unit * network.weights[0], *network.weights[1:]],
        [network.biases[0] + centre * network.weights[0][:, 0], *network.biases[1:]],
        network.activations,
    )
    kinks, panels = _panels(shifted, 1.0)
    edges = np.union1d(panels.edges, (basis.joints - centre) / unit)
    z, weights = replace(panels, edges=edges).split(basis.spacing / unit).nodes(nodes)
    inside = np.abs(z) <= _HALF_WIDTH
    z, weights = z[inside], unit * weights[inside] / density(z[inside])
    axis = _state_axis(source, basis, centre + unit * z, weights, hamiltonian)
    return Grid(
        axes=[axis],
        nodes=axis.points[:, None],
        weights=axis.projection[0],
        inside=None,
        kinks=centre + unit * kinks[np.abs(kinks) < _HALF_WIDTH],
    )
