"""Hamiltonians made to order: ground-state networks with given gaps, or of a given potential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, choice, integer, positive
from .._memory import need_memory
from ..errors import InputError, InputTypeError
from ..quantum.darboux import DarbouxPotential, checked_gaps
from ..quantum.hamiltonian import Hamiltonian
from ..quantum.sinc_basis import SincBasis
from ..statistics.blas import one_blas_thread
from ..theories.ground_state_network import GroundStateNetwork, NetworkState
from ..theories.networks import Network

__all__ = ["Design", "adjusted", "ground_state_network", "hamiltonian_with_gaps"]

Found = TypeVar("Found")

# Smooth activations of the hidden layers, and those that grow, which can confine alone.
_SMOOTH = ("tanh", "erf", "sigmoid", "softplus", "gelu", "sin", "cos")
_GROWING = ("softplus", "gelu")

# Starts of a design; hidden layers drawn for each start; steps of the fit of a potential and of the fit of gaps.
_STARTS, _DRAWS, _POTENTIAL_STEPS, _GAP_STEPS = 5, 12, 40, 60

# Largest relative deviation of gaps on the grid of a fit, so that the certified gaps decide.
_REACHED = 1e-11

# Decay exponent of waves at the ends of the grid of a fit, and its points per half of the shortest wavelength; these
# grow until the gaps no longer change, in at most this number of rounds.
_ACTION, _RATIO, _ROUNDS = 24.0, 3.0, 5

# Points per half of the shortest wavelength of the target of a fit of V.
_SAMPLING = 6.0

# Weight of the tails and of W'' in the linear start, its ridge, and its smallest confinement.
_TAILS, _CURVATURE, _RIDGE, _LEAST_CONFINEMENT = 0.1, 0.3, 0.05, 0.05

# Largest half-width and number of points of a grid, and largest V on it, in units of the mean distance of levels.
_FURTHEST, _MOST_POINTS, _HIGHEST = 1e4, 800, 1e12


@dataclass(frozen=True, kw_only=True)
class Design:
    """A ground-state network made to order.

    Attributes
    ----------
    source : GroundStateNetwork
        The best one found.
    wanted : ndarray
        Gaps asked for, energy units, shape (n,).
    gaps : ndarray
        Gaps of the Hamiltonian of the source, shape (n,); short if fewer levels are bound.
    errors : ndarray
        Numerical errors of these gaps, from the certificate of ``Hamiltonian.level_errors``.
    tolerance : float
        Largest relative deviation of a gap that counts as reached.
    steps : int
        Number of steps of all fits.
    """

    source: GroundStateNetwork
    wanted: Floats
    gaps: Floats
    errors: Floats
    tolerance: float
    steps: int

    @property
    def deviation(self) -> float:
        """Largest relative deviation of a gap, its numerical error included; infinite if a level is not bound."""
        if len(self.gaps) < len(self.wanted):
            return np.inf
        return float(np.max((np.abs(self.gaps - self.wanted) + self.errors) / self.wanted))

    @property
    def converged(self) -> bool:
        """Whether all gaps are reached within the tolerance."""
        return self.deviation <= self.tolerance

    def __str__(self) -> str:
        lines = ["gap  wanted            reached(error)"]
        for n, wanted in enumerate(self.wanted, start=1):
            found = f"{self.gaps[n - 1]:.10g}({self.errors[n - 1]:.0e})" if n <= len(self.gaps) else "not bound"
            lines.append(f"{n:<4d} {wanted:<16.10g}  {found}")
        state = "converged" if self.converged else "not converged"
        return "\n".join([*lines, f"{state}: largest deviation {self.deviation:.1e}, tolerance {self.tolerance:.1e}"])


@one_blas_thread
def hamiltonian_with_gaps(
    gaps: ArrayLike,
    *,
    hidden: Sequence[int] | None = None,
    activation: str = "tanh",
    skew: Sequence[float] | None = None,
    mass: float = 1.0,
    hbar: float = 1.0,
    tolerance: float = 1e-7,
    rng: int = 0,
) -> Design:
    r"""A ground-state network whose Hamiltonian has given gaps.

    The fit starts from W of the potential in closed form with these gaps, ``DarbouxPotential``, above which the levels
    of an oscillator follow. Levenberg-Marquardt steps of least norm then change the parameters until the gaps are
    right, with the gradient of Hellmann and Feynman:

    .. math:: \frac{\partial (E_n - E_0)}{\partial \theta} =
              \int dx\, (\psi_n^2 - \psi_0^2)\, \frac{\partial V}{\partial \theta}

    Finitely many gaps do not determine the potential; ``skew`` leads to others with the same gaps.

    Parameters
    ----------
    gaps : array_like
        E_1 - E_0, E_2 - E_0, ..., increasing, at most 24, energy units.
    hidden : sequence of int, optional
        Widths of the hidden layers. By default one layer, wider at each new start.
    activation : str, default "tanh"
        tanh, erf, sigmoid, softplus, gelu, sin or cos.
    skew : sequence of float, optional
        See ``DarbouxPotential``; with it the potential is not even.
    mass, hbar : float, default 1
        Positive.
    tolerance : float, default 1e-7
        Largest relative deviation of a gap, at least 1e-9.
    rng : int, default 0
        Seed of the hidden layers; the result is a function of it.

    Returns
    -------
    Design
        The best one found; see its ``converged``. Levels and errors are from ``Hamiltonian``, not from the grid of the
        fit.

    Raises
    ------
    InputError
        If gaps do not increase, are not positive, too many or nearly degenerate, or an argument is out of range.

    Examples
    --------
    >>> design = hamiltonian_with_gaps([1, 2.5, 3.5])
    >>> design.converged
    True
    >>> design.gaps.round(6)
    array([1. , 2.5, 3.5])
    """
    wanted = checked_gaps(gaps)
    layers, tolerance = _checked(hidden, activation, tolerance, 1e-9), positive("tolerance", tolerance)
    seed = integer("rng", rng, 0)
    count = len(wanted)
    unit = wanted[-1] / count
    scales = positive("mass", mass), positive("hbar", hbar)
    darboux = DarbouxPotential(wanted / unit, skew=skew)
    target = _of_darboux(darboux, count, even=skew is None or not np.any(darboux.skew))
    best: NetworkState | None = None
    steps, least = 0, np.inf
    for start in range(_STARTS):
        widths = layers or _widths(count, start)
        begun, used = _fitted(target, widths, activation, np.random.default_rng([seed, start]))
        steps += used
        if begun is None:
            continue
        state, used, off = _with_gaps(begun, wanted / unit, tolerance)
        steps += used
        if best is None or off < least:
            best, least = state, off
        if off < tolerance:
            break
    source = _source(_found(best, widths, activation), _scaled(unit, *scales))
    return _certified(source, wanted, tolerance, steps)


@one_blas_thread
def adjusted(source: GroundStateNetwork, gaps: ArrayLike, *, tolerance: float = 1e-7) -> Design:
    """The ground-state network nearest to another one whose Hamiltonian has given gaps.

    Steps of least norm, as in ``hamiltonian_with_gaps``, from the parameters of the source.

    Parameters
    ----------
    source : GroundStateNetwork
        Its gaps should not be far away; otherwise the steps may end in a local minimum.
    gaps : array_like
        E_1 - E_0, E_2 - E_0, ..., increasing, at most 24, energy units.
    tolerance : float, default 1e-7
        Largest relative deviation of a gap, at least 1e-9.

    Returns
    -------
    Design

    Raises
    ------
    InputError, InputTypeError
        If gaps do not increase, are not positive, too many or nearly degenerate, or an argument is out of range.
    """
    if not isinstance(source, GroundStateNetwork):
        raise InputTypeError(f"source must be a GroundStateNetwork; got {source!r}")
    wanted = checked_gaps(gaps)
    _checked(None, "tanh", tolerance, 1e-9)
    unit = wanted[-1] / len(wanted)
    length = source.hbar / np.sqrt(source.mass * unit)
    network, kappa = _stretched(source.network, length), source.confinement * length**2
    state, steps, _ = _with_gaps(NetworkState(network, kappa, source.even), wanted / unit, tolerance)
    found = _source(state, _scaled(unit, source.mass, source.hbar))
    return _certified(found, wanted, tolerance, steps)


@one_blas_thread
def ground_state_network(
    hamiltonian: Hamiltonian,
    *,
    levels: int = 4,
    hidden: Sequence[int] | None = None,
    activation: str = "tanh",
    tolerance: float = 1e-4,
    rng: int = 0,
) -> Design:
    r"""The ground-state network of a given potential.

    Least squares of V, weighted with the mean density of the lowest levels, so that the shifts of these levels are
    small to first order:

    .. math:: \sum_{n=0}^{N} \int dx\, \psi_n^2\, (V_\theta - V + E_0)^2 \to \min

    Parameters
    ----------
    hamiltonian : Hamiltonian
        Of a smooth potential; its mass and hbar are kept.
    levels : int, default 4
        Number of gaps N that are to be right; fewer if the potential has fewer bound levels.
    hidden : sequence of int, optional
        Widths of the hidden layers. By default one layer, wider at each new start.
    activation : str, default "tanh"
        tanh, erf, sigmoid, softplus, gelu, sin or cos. For a potential with a continuum softplus or gelu: other
        networks are confined by a quadratic term, which only looks like the potential where the levels are.
    tolerance : float, default 1e-4
        Largest relative deviation of a gap at which starts end, at least 1e-9. ``adjusted`` makes gaps exact.
    rng : int, default 0
        Seed of the hidden layers; the result is a function of it.

    Returns
    -------
    Design
        Its ``wanted`` are the gaps of the Hamiltonian.

    Raises
    ------
    InputError, InputTypeError
        If an argument is out of range, or the Hamiltonian has no second level.
    """
    if not isinstance(hamiltonian, Hamiltonian):
        raise InputTypeError(f"hamiltonian must be a Hamiltonian; got {hamiltonian!r}; nnqm.Hamiltonian makes one")
    layers = _checked(hidden, activation, tolerance, 1e-9)
    seed, count = integer("rng", rng, 0), integer("levels", levels, 1, 24)
    bound = hamiltonian.n_bound
    count = count if bound is None else min(count, bound - 1)
    if count < 1:
        raise InputError("hamiltonian must have at least two bound levels; it has one; make it deeper")
    wanted = hamiltonian.gaps(count)
    unit = float(wanted[-1]) / count
    target = _of_hamiltonian(hamiltonian, count, unit, activation)
    best: Design | None = None
    steps = 0
    for start in range(_STARTS):
        widths = layers or _widths(count, start)
        state, used = _fitted(target, widths, activation, np.random.default_rng([seed, start]))
        steps += used
        if state is None:
            continue
        source = _source(state, _scaled(unit, hamiltonian.mass, hamiltonian.hbar))
        found = _certified(source, wanted, tolerance, steps)
        if best is None or found.deviation < best.deviation:
            best = found
        if best.converged:
            break
    return _found(best, widths, activation)


def _widths(count: int, start: int) -> tuple[int, ...]:
    """One hidden layer for a number of gaps, wider at each start."""
    return (count + 5 + start * (count // 2 + 1),)


def _found(best: Found | None, widths: tuple[int, ...], activation: str) -> Found:
    if best is None:
        raise InputError(
            f"hidden={widths} and activation={activation!r} gave no normalisable state; use wider layers or tanh"
        )
    return best


# ---- units: energies in mean distances of levels, hbar = mass = 1


@dataclass(frozen=True, kw_only=True)
class _Scales:
    unit: float
    mass: float
    hbar: float

    @property
    def length(self) -> float:
        return float(self.hbar / np.sqrt(self.mass * self.unit))


def _scaled(unit: float, mass: float, hbar: float) -> _Scales:
    return _Scales(unit=float(unit), mass=mass, hbar=hbar)


def _stretched(network: Network, factor: float) -> Network:
    """The network f(factor x)."""
    weights = (network.weights[0] * factor, *network.weights[1:])
    return Network(weights, network.biases, network.activations)


def _source(state: NetworkState, scales: _Scales) -> GroundStateNetwork:
    return GroundStateNetwork(
        _stretched(state.network, 1 / scales.length),
        confinement=state.confinement / scales.length**2,
        even=state.even,
        mass=scales.mass,
        hbar=scales.hbar,
    )


def _checked(hidden: Sequence[int] | None, activation: str, tolerance: float, least: float) -> tuple[int, ...]:
    """Widths of the hidden layers, empty by default; the other arguments are checked."""
    choice("activation", activation, _SMOOTH)
    if positive("tolerance", tolerance) < least:
        raise InputError(f"tolerance must be at least {least:g}, the accuracy of levels; got {tolerance:g}")
    if hidden is None:
        return ()
    widths = tuple(integer(f"hidden[{i}]", w, 1) for i, w in enumerate(hidden))
    if not widths:
        raise InputError("hidden must have at least one layer; got none")
    return widths


# ---- fit of a potential


@dataclass(frozen=True, kw_only=True)
class _Target:
    """V - E_0, W' and W'' at points (Q,) with weights, the mean density of the levels; half of them if V is even."""

    x: Floats
    v: Floats
    first: Floats
    second: Floats
    weights: Floats
    # Where W' and W'' are known.
    known: NDArray[np.bool_]
    even: bool
    confined: bool

    @property
    def reach(self) -> tuple[float, float]:
        """Interval of the levels."""
        inside = self.x[self.weights > 1e-3 * self.weights.max()]
        return float(inside[0]), float(inside[-1])


def _of_darboux(darboux: DarbouxPotential, count: int, *, even: bool) -> _Target:
    reach = np.sqrt(2.0 * count + 2) + 5.0
    size = 2 * int(np.ceil(reach * _SAMPLING * np.sqrt(2.0 * count + 12) / np.pi))
    points = 2 * reach / size * (np.arange(size) - (size - 1) / 2)
    basis = _basis(points, darboux(points), even=even)
    first, second = darboux.exponent(points)[1:]
    return _target(basis, (first, second, np.ones(len(points), dtype=bool)), count, confined=True)


def _of_hamiltonian(hamiltonian: Hamiltonian, count: int, unit: float, activation: str) -> _Target:
    scales = _scaled(unit, hamiltonian.mass, hamiltonian.hbar)
    grid = hamiltonian.bases.carrying(count + 1)
    a, b = grid.points[0] / scales.length, grid.points[-1] / scales.length
    even = bool(grid.even)
    ground = float(hamiltonian.energies(1)[0])
    known = (grid.potential - ground) / unit
    top = count + 1.0 - float(np.min(known[np.isfinite(known)]))
    size = 2 * int(np.ceil((b - a) * _SAMPLING * np.sqrt(2 * top + 4) / np.pi / 2))
    points = (a + b) / 2 + (b - a) / size * (np.arange(size) - (size - 1) / 2)
    v = (hamiltonian.potential(points * scales.length) - ground) / unit
    if not np.isfinite(v).all():
        raise InputError("hamiltonian must have a smooth potential; it is infinite at places where levels are")
    psi = hamiltonian.wave_function(0, points * scales.length)
    basis = _basis(points, v, even=even)
    # Where psi_0 is rounding, so are its derivatives; there the weights vanish.
    known = np.abs(psi) > 1e-7 * np.abs(psi).max()
    first = np.where(known, -(basis.derivative @ psi) / np.where(known, psi, 1.0), 0.0)
    confined = not np.isfinite(hamiltonian.threshold) or activation not in _GROWING
    return _target(basis, (first, first**2 - 2 * v, known), count, confined=confined)


def _target(
    basis: SincBasis, exponent: tuple[Floats, Floats, NDArray[np.bool_]], count: int, *, confined: bool
) -> _Target:
    first, second, known = exponent
    weights = np.mean(basis.vectors[:, : count + 1] ** 2, axis=1)
    kept = (weights > 1e-14 * weights.max()) & ((basis.points > 0) | (not basis.even))
    return _Target(
        x=basis.points[kept],
        v=basis.potential[kept],
        first=first[kept],
        second=second[kept],
        known=known[kept],
        weights=weights[kept] / np.sum(weights[kept]),
        even=basis.even,
        confined=confined,
    )


def _fitted(
    target: _Target, hidden: tuple[int, ...], activation: str, generator: np.random.Generator
) -> tuple[NetworkState | None, int]:
    """The state whose potential is nearest to the target, from the best of some draws of hidden layers, and steps."""
    from scipy.optimize import least_squares

    root = np.sqrt(target.weights)
    best: tuple[float, NetworkState] | None = None
    for _ in range(_DRAWS):
        drawn = _solved_output(target, _hidden(target, hidden, generator), activation)
        if drawn is not None:
            off = float(np.sum(target.weights * (drawn.potential(target.x) - target.v) ** 2))
            if best is None or off < best[0]:
                best = off, drawn
    if best is None:
        return None, 0
    start = best[1]

    def residual(vector: Floats) -> Floats:
        return np.asarray(root * np.clip(start.at(vector).potential(target.x) - target.v, -1e6, 1e6))

    def jacobian(vector: Floats) -> Floats:
        state, one = start.at(vector), np.ones(1)
        rows = np.array([state.pullback(target.x[i : i + 1], one) for i in range(len(target.x))])
        return np.asarray(root[:, None] * rows)

    solution = least_squares(residual, start.vector, jacobian, x_scale="jac", max_nfev=_POTENTIAL_STEPS)
    return _normalisable(start.at(solution.x)), int(solution.nfev)


def _hidden(
    target: _Target, widths: tuple[int, ...], generator: np.random.Generator
) -> tuple[list[Floats], list[Floats]]:
    """Hidden layers whose first neurons have their centres where the levels are."""
    low, high = target.reach
    low = 0.0 if target.even else low
    size = high - low
    centres = generator.uniform(low - 0.1 * size, high + 0.1 * size, widths[0])
    slopes = np.exp(0.5 * generator.normal(size=widths[0])) * widths[0] / (2 * size)
    if not target.even:
        slopes *= generator.choice([-1.0, 1.0], widths[0])
    size = 24.0 * sum(a * b for a, b in pairwise(widths))
    need_memory(size, "the hidden layers", "use smaller widths in hidden", f"hidden={list(widths)}")
    weights, biases = [slopes[:, None]], [-slopes * centres]
    for inputs, outputs in pairwise(widths):
        weights.append(generator.normal(size=(outputs, inputs)) / np.sqrt(inputs))
        biases.append(generator.normal(size=outputs))
    return weights, biases


def _solved_output(target: _Target, hidden: tuple[list[Floats], list[Floats]], activation: str) -> NetworkState | None:
    """The state whose output layer is the linear least-squares solution for W' and W''; None if it does not confine."""
    (weights, biases), x = hidden, target.x
    width = len(biases[-1])
    features = Network([*weights, np.eye(width)], [*biases, np.zeros(width)], activation)
    first, second = (d[..., 0] for d in features.derivatives(x[:, None])[1:])
    if target.even:
        its_first, its_second = (d[..., 0] for d in features.derivatives(-x[:, None])[1:])
        first, second = (first - its_first) / 2, (second + its_second) / 2
    root = np.sqrt(target.weights)
    # The tails count a little, so that the state has no wells there; the ridge keeps neurons from cancelling.
    root = (root + _TAILS * root.max()) * target.known
    ridge = _RIDGE * root.max()
    kappa = 0.0
    if target.confined:
        columns = np.column_stack([first, x]), np.column_stack([second, np.ones_like(x)])
        kappa = max(float(_ridge_solution(columns, target, root, ridge)[-1]), _LEAST_CONFINEMENT)
    output = _ridge_solution((first, second), target, root, ridge, kappa)
    network = Network([*weights, output[None]], [*biases, np.zeros(1)], activation)
    return _normalisable(NetworkState(network, kappa, target.even))


def _ridge_solution(
    columns: tuple[Floats, Floats], target: _Target, root: Floats, ridge: float, kappa: float = 0.0
) -> Floats:
    first, second = columns
    size = first.shape[1]
    rows = [root[:, None] * first, _CURVATURE * root[:, None] * second, ridge * np.eye(size)]
    right = [root * (target.first - kappa * target.x), _CURVATURE * root * (target.second - kappa), np.zeros(size)]
    return np.asarray(np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0])


def _normalisable(state: NetworkState) -> NetworkState | None:
    try:
        state.need_normalisable()
    except InputError:
        return None
    return state


# ---- fit of gaps


def _with_gaps(state: NetworkState, wanted: Floats, tolerance: float) -> tuple[NetworkState, int, float]:
    """The state with given gaps that is next to another one, the number of steps, and the largest deviation of a gap.

    The grid is refined until the gaps no longer change.
    """
    ratio, action, steps, off = _RATIO, _ACTION, 0, np.inf
    for _ in range(_ROUNDS):
        state, used, reached = _stepped(state, wanted, _points(state, float(wanted[-1]), ratio, action))
        steps += used
        ratio, action = 1.3 * ratio, action + 6
        finer = _deviations(state, wanted, _points(state, float(wanted[-1]), ratio, action))[0]
        off = float(np.abs(finer).max())
        if not reached or off < tolerance / 10:
            break
    return state, steps, off


def _deviations(state: NetworkState, wanted: Floats, points: Floats) -> tuple[Floats, SincBasis]:
    """Relative deviations of gaps on a grid, and the basis."""
    basis = _basis(points, state.potential(points), even=state.even)
    return (basis.energies[1 : len(wanted) + 1] - basis.energies[0]) / wanted - 1, basis


def _stepped(state: NetworkState, wanted: Floats, points: Floats) -> tuple[NetworkState, int, bool]:
    """Levenberg-Marquardt steps of least norm; the state, the number of steps, and whether gaps on a grid are right.

    There are more parameters than gaps, for which the solvers of SciPy take long steps along the solutions.
    """
    off, basis = _deviations(state, wanted, points)
    damping, used = 1e-3, 0
    while used < _GAP_STEPS and np.abs(off).max() > _REACHED:
        densities = basis.vectors[:, : len(wanted) + 1] ** 2
        jacobian = np.array([state.pullback(points, (d - densities[:, 0])) for d in densities.T[1:]]) / wanted[:, None]
        gram, vector = jacobian @ jacobian.T, state.vector
        for _ in range(12):
            used += 1
            matrix = gram + damping * np.mean(np.diag(gram)) * np.eye(len(wanted))
            trial = state.at(vector - jacobian.T @ np.linalg.solve(matrix, off))
            if _normalisable(trial) is not None and np.all(np.abs(trial.potential(points)) < _HIGHEST):
                new, its_basis = _deviations(trial, wanted, points)
                if np.linalg.norm(new) < np.linalg.norm(off):
                    state, off, basis, damping = trial, new, its_basis, max(damping / 10, 1e-14)
                    break
            damping = max(10 * damping, 1e-8)
        else:
            break
    return state, used, bool(np.abs(off).max() < 1e3 * _REACHED)


def _points(state: NetworkState, top: float, ratio: float, action: float) -> Floats:
    """Grid for levels up to a gap: waves have fallen by exp(-action) at its ends."""
    top += 1.5
    reach, unit = 2.0, np.linspace(-1.0, 1.0, 2001)
    while True:
        x = reach * unit
        v = state.potential(x)
        inside = np.flatnonzero(v < top)
        first, last = (inside[0], inside[-1]) if len(inside) else (len(x) // 2, len(x) // 2)
        fall = np.cumsum(np.sqrt(2 * np.maximum(v - top, 0))) * (x[1] - x[0])
        left, right = np.flatnonzero(fall[first] - fall[:first] > action), np.flatnonzero(fall - fall[last] > action)
        if (len(left) and len(right)) or reach > _FURTHEST:
            break
        reach *= 1.4
    a, b = float(x[left[-1]] if len(left) else x[0]), float(x[right[0]] if len(right) else x[-1])
    if state.even:
        b = max(-a, b)
        a = -b
    spacing = np.pi / (ratio * np.sqrt(2 * (top - min(float(v.min()), top - 1))))
    size = min(2 * int(np.ceil((b - a) / spacing / 2)), _MOST_POINTS)
    return np.asarray((a + b) / 2 + (b - a) / size * (np.arange(size) - (size - 1) / 2), dtype=np.float64)


def _basis(points: Floats, v: Floats, *, even: bool) -> SincBasis:
    step = float(points[1] - points[0])
    weights = np.full(len(points), step)
    return SincBasis(points=points, weights=weights, step=step, potential=v, hbar=1.0, mass=1.0, even=even)


def _certified(source: GroundStateNetwork, wanted: Floats, tolerance: float, steps: int) -> Design:
    """A design with the levels of ``Hamiltonian`` and their errors."""
    hamiltonian = source.hamiltonian
    bound = hamiltonian.n_bound
    count = len(wanted) if bound is None else min(len(wanted), bound - 1)
    gaps = errors = np.zeros(0)
    while count:
        try:
            gaps, its_errors = hamiltonian.gaps(count), hamiltonian.level_errors(count + 1)
        except InputError:  # A level misses the tolerance of the Hamiltonian.
            count -= 1
            continue
        errors = its_errors[1:] + its_errors[0]
        break
    return Design(source=source, wanted=wanted, gaps=gaps, errors=errors, tolerance=tolerance, steps=steps)
