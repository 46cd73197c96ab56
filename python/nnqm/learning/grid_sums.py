"""Exact observables as sums over a grid of the inputs, and the derivatives of these sums."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..exact.output_expansion import KINKED
from ..theories.networks import Network
from ..theories.theory import Theory
from .input_grids import AxisBars, Grid, Integers, contract
from .observables import (
    Commutator,
    Moments,
    MomentumSquared,
    NPoint,
    Observable,
    SpectralWeights,
    TwoPoint,
)

__all__ = ["Bars", "Channel", "beside", "close", "cutoff", "evaluate", "pull_back"]


# Message for derivatives of <p^2> of networks with kinks.
KINKED_MOMENTUM = (
    "<p^2> of a network with kinks (relu) is infinite and has no derivatives; give a cotangent of 0, or use a smooth "
    "activation"
)
# Distance of points on either side of a kink, in standard deviations, at which one-sided derivatives are taken.
_BESIDE = 1e-9


class Bars:
    """Derivatives of a number with respect to everything on a grid."""

    def __init__(self, grid: Grid, n_channels: int) -> None:
        self.grid = grid
        self.values: list[Floats | None] = [None] * n_channels
        self.slopes: list[Floats | None] = [None] * n_channels
        self.curvatures: list[Floats | None] = [None] * n_channels
        self.coefficients: list[Floats | None] = [None] * n_channels
        # With respect to the function on either side of each kink, shape (2, K).
        self.sides: list[Floats | None] = [None] * n_channels
        self.nodes: Floats = np.zeros(grid.nodes.shape)
        self.weights: Floats | None = None
        self.axes = [AxisBars(np.zeros(len(a.energies))) for a in grid.axes]

    @staticmethod
    def add(slots: list[Floats | None], channel: int, bar: Floats) -> None:
        """Add to the derivatives of one channel."""
        before = slots[channel]
        slots[channel] = bar if before is None else before + bar

    def of_weights(self, bar: Floats) -> None:
        """Add derivatives with respect to the weights of the nodes, unless they are fixed."""
        if not self.grid.fixed:
            self.weights = bar if self.weights is None else self.weights + bar

    def of_rows(self, i: int, bar: Floats) -> None:
        """Add derivatives with respect to the rows of an input."""
        before = self.axes[i].rows
        self.axes[i].rows = bar if before is None else before + bar

    def of_projection(self, i: int, bar: Floats) -> None:
        """Add derivatives with respect to the projection of an input."""
        before = self.axes[i].projection
        self.axes[i].projection = bar if before is None else before + bar


class Channel:
    """One channel of a theory on a grid.

    Parameters
    ----------
    theory : Theory
    grid : Grid
    column : int
        Position among the outputs of the network; with ``direct``, among the inputs.
    direct : bool
        Whether the channel is an input.
    values : ndarray
        Values at the nodes, shape (M,).
    """

    def __init__(self, theory: Theory, grid: Grid, column: int, direct: bool, values: Floats) -> None:
        self.theory, self.grid, self.column, self.direct, self.values = theory, grid, column, direct, values

    @cached_property
    def mean(self) -> float:
        """E f."""
        return float(self.grid.weights @ self.values)

    @cached_property
    def square(self) -> float:
        """E f^2."""
        return float(self.grid.weights @ (self.values * self.values))

    @property
    def variance(self) -> float:
        """E f^2 - (E f)^2."""
        return self.square - self.mean**2

    @cached_property
    def coefficients(self) -> Floats:
        """C = <0|f|n>, shape (N_1, ..., N_D)."""
        return contract(self.grid.spread(self.values), [a.projection for a in self.grid.axes])

    @cached_property
    def weights(self) -> Floats:
        """Squares of the coefficients."""
        return np.asarray(self.coefficients**2)

    @cached_property
    def tail(self) -> float:
        """Part of E f^2 beyond all modes of the grid."""
        return self.square - float(self.weights.sum())

    @property
    def kinked(self) -> bool:
        """Whether the function has kinks."""
        network = self.theory.network
        return not self.direct and isinstance(network, Network) and bool(KINKED & set(network.activations))

    @cached_property
    def derivatives(self) -> tuple[Floats, Floats]:
        """First and second derivatives with respect to each input at the nodes, shape (M, D) each."""
        if self.direct:
            first = np.zeros(self.grid.nodes.shape)
            first[:, self.column] = 1.0
            return first, np.zeros_like(first)
        assert isinstance(self.theory.network, Network)
        _, first, second = self.theory.network.derivatives(self.grid.nodes)
        return first[:, self.column], second[:, self.column]

    @cached_property
    def beside(self) -> Floats:
        """Derivatives on either side of each kink, shape (2, K)."""
        assert isinstance(self.theory.network, Network)
        return np.asarray(self.theory.network.derivatives(beside(self.grid))[1][:, :, self.column, 0])


def beside(grid: Grid) -> Floats:
    """Points on either side of each kink of a single input, shape (2, K, 1)."""
    step = _BESIDE * grid.axes[0].spread
    return np.asarray(grid.kinks + step * np.array([[-1.0], [1.0]]))[..., None]


def _summed(weights: Floats, factors: list[Floats], but: int = -1) -> Floats:
    """Sums of weights (N_1, ..., N_D) times factors (T, N_i) over all axes, or all but one: (T,) or (T, N_i)."""
    if but >= 0:
        weights = np.moveaxis(weights, but, -1)
        factors = [f for i, f in enumerate(factors) if i != but]
        if not factors:
            return np.broadcast_to(weights, (1, *weights.shape))
    n_times = len(factors[0])
    out = factors[0] @ weights.reshape(len(weights), -1)
    for f in factors[1:]:
        out = (f[:, None, :] @ out.reshape(n_times, f.shape[1], -1))[:, 0]
    return out if but >= 0 else np.asarray(out.reshape(n_times))


def _spread_out(bar: Floats, factors: list[Floats]) -> Floats:
    """sum_t bar_t times the outer product of the factors of all axes at t, shape (N_1, ..., N_D)."""
    if len(factors) == 1:
        return np.asarray(bar @ factors[0])
    outer = factors[-1]
    for f in factors[-2:0:-1]:
        outer = (f[:, :, None] * outer[:, None, :]).reshape(len(bar), -1)
    first = factors[0] * bar[:, None]
    return np.asarray((first.T @ outer).reshape([f.shape[1] for f in factors]))


def cutoff(grid: Grid) -> tuple[float, int]:
    """Lower bound of the energies beyond the modes of the grid, and the input that it belongs to."""
    bounds = [axis.cutoff for axis in grid.axes]
    lowest = int(np.argmin(bounds))
    return bounds[lowest], lowest


def total_energies(grid: Grid) -> Floats:
    """Sums of the energies of all inputs, shape (N_1, ..., N_D)."""
    total = np.zeros(())
    for axis in grid.axes:
        total = np.add.outer(total, axis.energies)
    return total


# Each pair of functions below is an observable and its derivatives.


def _two_point(channel: Channel, what: TwoPoint) -> Floats:
    grid, hbar = channel.grid, channel.theory.hbar
    out = _summed(channel.weights, grid.decays(what.times, hbar))
    edge, _ = cutoff(grid)
    if np.isfinite(edge):
        out = out + channel.tail * np.exp(what.times * (-edge / hbar))
    return out - channel.weights.flat[0] if what.connected else out


def _back_two_point(channel: Channel, what: TwoPoint, k: int, g: Floats, bars: Bars, energies: bool) -> None:
    grid, hbar = channel.grid, channel.theory.hbar
    factors = grid.decays(what.times, hbar)
    by_weight = _spread_out(g, factors)
    edge, lowest = cutoff(grid)
    if np.isfinite(edge):
        beyond = np.exp(what.times * (-edge / hbar))
        share = float(g @ beyond)
        _back_square(channel, k, share, bars)
        by_weight = by_weight - share
        bars.axes[lowest].cutoff -= channel.tail / hbar * float(g @ (beyond * what.times))
    if what.connected:
        by_weight.flat[0] -= g.sum()
    Bars.add(bars.coefficients, k, 2 * channel.coefficients * by_weight)
    if energies:
        slope = (g * what.times / hbar)[:, None]
        for i, factor in enumerate(factors):
            bars.axes[i].energies -= (slope * factor * _summed(channel.weights, factors, i)).sum(axis=0)


def _back_square(channel: Channel, k: int, bar: float, bars: Bars) -> None:
    Bars.add(bars.values, k, (2 * bar) * channel.grid.weights * channel.values)
    bars.of_weights(bar * channel.values**2)


def _states(what: SpectralWeights, dimension: int) -> tuple[Integers, ...]:
    if isinstance(what.states, int):
        if dimension != 1:
            raise InputError(
                f"states must be a matrix of the numbers of the states of {dimension} inputs, shape (K, {dimension}); "
                f"got {what.states}"
            )
        return (np.arange(1, what.states + 1),)
    if len(what.states[0]) != dimension:
        raise InputError(
            f"states must have one column per input, {dimension}; got {len(what.states[0])} in {what.states[0]}"
        )
    return tuple(np.array(what.states).T)


def _moments(channel: Channel, what: Moments) -> Floats:
    centred, w = channel.values - channel.mean, channel.grid.weights
    return np.array([channel.mean if n == 1 else w @ centred**n for n in what.orders])


def _back_moments(channel: Channel, what: Moments, k: int, g: Floats, bars: Bars) -> None:
    centred, w = channel.values - channel.mean, channel.grid.weights
    by_value, by_mean = np.zeros_like(centred), 0.0
    by_weight = np.zeros_like(centred)
    for n, one in zip(what.orders, g, strict=True):
        if n == 1:
            by_mean += one
            continue
        slope = n * centred ** (n - 1)
        by_value += one * slope
        by_mean -= one * float(w @ slope)
        by_weight += one * centred**n
    Bars.add(bars.values, k, w * (by_value + by_mean))
    bars.of_weights(by_weight + by_mean * channel.values)


def _chains(what: NPoint) -> list[tuple[Floats, list[float]]]:
    """For each row of times, the times in order and the steps between them."""
    ordered = np.sort(what.times, axis=1)
    return [(row, [float(b - a) for a, b in pairwise(row)]) for row in ordered]


def _propagated(grid: Grid, state: Floats, step: float, hbar: float) -> Floats:
    """A function times the vacuum, on the product of the grids, after a time."""
    for axis in grid.axes:
        rest = state.shape[1:]
        modes = (state.reshape(state.shape[0], -1).T @ axis.rows.T) * np.exp(axis.energies * (-step / hbar))
        state = (modes @ axis.rows).reshape(*rest, axis.rows.shape[1])
    return state


def _vacuum(grid: Grid) -> Floats:
    out = np.ones(())
    for axis in grid.axes:
        out = np.multiply.outer(out, axis.rows[0])
    return out


def _n_point(channel: Channel, what: NPoint) -> Floats:
    grid, hbar = channel.grid, channel.theory.hbar
    vacuum, f = _vacuum(grid), grid.spread(channel.values)
    start, out = vacuum * f, []
    for _, steps in _chains(what):
        state = start
        for step in steps:
            state = (_propagated(grid, state, step, hbar) if step > 0 else state) * f
        out.append(float((state * vacuum).sum()))
    return np.array(out)


def _back_n_point(channel: Channel, what: NPoint, k: int, g: Floats, bars: Bars) -> None:
    grid, hbar = channel.grid, channel.theory.hbar
    vacuum, f = _vacuum(grid), grid.spread(channel.values)
    by_value, by_vacuum = np.zeros_like(f), np.zeros_like(f)
    for one, (_, steps) in zip(g, _chains(what), strict=True):
        # The states before each multiplication by f, from the earliest time on.
        before = [vacuum]
        for step in steps:
            state = before[-1] * f
            before.append(_propagated(grid, state, step, hbar) if step > 0 else state)
        bar = one * vacuum
        by_vacuum += one * before[-1] * f
        for i in range(len(before) - 1, -1, -1):
            by_value += bar * before[i]
            bar = bar * f
            if i and steps[i - 1] > 0:
                bar = _back_propagated(grid, before[i - 1] * f, bar, steps[i - 1], hbar, bars)
        by_vacuum += bar
    Bars.add(bars.values, k, grid.gathered(by_value).copy())
    if not grid.fixed:
        for i, axis in enumerate(grid.axes):
            rows = np.zeros_like(axis.rows)
            rows[0] = _onto(by_vacuum, [a.rows[0] for a in grid.axes], i)
            bars.of_rows(i, rows)


def _onto(values: Floats, vectors: list[Floats], i: int) -> Floats:
    """Contraction of values (Q_1, ..., Q_D) with vectors of all axes but one."""
    for j in range(len(vectors) - 1, -1, -1):
        if j != i:
            values = np.tensordot(values, vectors[j], axes=(j, 0))
    return values


def _back_propagated(grid: Grid, state: Floats, bar: Floats, step: float, hbar: float, bars: Bars) -> Floats:
    """Derivatives with respect to the state before a propagation."""
    stages, decay = [], [np.exp(axis.energies * (-step / hbar)) for axis in grid.axes]
    for axis, factor in zip(grid.axes, decay, strict=True):
        stages.append(state)
        rest = state.shape[1:]
        modes = (state.reshape(state.shape[0], -1).T @ axis.rows.T) * factor
        state = (modes @ axis.rows).reshape(*rest, axis.rows.shape[1])
    for i in range(len(grid.axes) - 1, -1, -1):
        rows, factor = grid.axes[i].rows, decay[i][:, None]
        flat, back = stages[i].reshape(rows.shape[1], -1), bar.reshape(-1, rows.shape[1]).T
        modes, back_modes = rows @ flat, rows @ back
        bars.axes[i].energies -= (step / hbar) * decay[i] * (modes * back_modes).sum(axis=1)
        if not grid.axes[i].fixed:
            bars.of_rows(i, (factor * back_modes) @ flat.T + (factor * modes) @ back.T)
        bar = (rows.T @ (factor * back_modes)).reshape(stages[i].shape)
    return bar


def _strengths(grid: Grid) -> Floats:
    return np.array([axis.strength for axis in grid.axes])


def _commutator(channel: Channel) -> Floats:
    theory, grid = channel.theory, channel.grid
    first, _ = channel.derivatives
    return np.array([theory.mass / theory.hbar * float(grid.weights @ (first**2 @ _strengths(grid) ** 2))])


def _back_commutator(channel: Channel, k: int, g: Floats, bars: Bars) -> dict[str, Floats]:
    theory, grid = channel.theory, channel.grid
    scale, strengths = theory.mass / theory.hbar * float(g[0]), _strengths(grid)
    first, _ = channel.derivatives
    Bars.add(bars.slopes, k, (2 * scale) * grid.weights[:, None] * first * strengths**2)
    bars.of_weights(scale * (first**2 @ strengths**2))
    if grid.kinks.size and not channel.direct:
        # The integral of the squared slope changes where a kink moves, by the difference of the squares; the motion
        # follows from the values of the function on either side.
        left, right = channel.beside
        at_kinks = scale * strengths[0] ** 2 * (left + right) * grid.axes[0].density(grid.kinks)
        Bars.add(bars.sides, k, at_kinks * np.array([[-1.0], [1.0]]))
    squares = 2 * scale * strengths * (grid.weights @ first**2)
    return {"sigma": squares[[i for i, axis in enumerate(grid.axes) if axis.fixed]]}


def _generator(channel: Channel) -> Floats:
    """L f at the nodes, L = sum_i (sigma_i^2/2) d_i^2 - omega_i y_i d_i."""
    theory = channel.theory
    first, second = channel.derivatives
    drift = channel.grid.nodes * np.array(theory.omega)
    return np.asarray(second @ (np.array(theory.sigma) ** 2 / 2) - (drift * first).sum(axis=1))


def _momentum_squared(channel: Channel) -> Floats:
    theory, grid = channel.theory, channel.grid
    if channel.kinked:
        return np.array([np.inf])
    if not theory.all_oscillators:
        total = float((total_energies(grid) ** 2 * channel.weights).sum())
        return np.array([(theory.mass / theory.hbar) ** 2 * total])
    return np.array([theory.mass**2 * float(grid.weights @ _generator(channel) ** 2)])


def _back_momentum_squared(channel: Channel, k: int, g: Floats, bars: Bars) -> dict[str, Floats]:
    theory, grid = channel.theory, channel.grid
    if channel.kinked:
        if g[0] == 0:
            return {}
        raise InputError(KINKED_MOMENTUM)
    if not theory.all_oscillators:
        _back_energy_sum(channel, k, (theory.mass / theory.hbar) ** 2 * float(g[0]), 2, bars)
        return {}
    rates, strengths = np.array(theory.omega), np.array(theory.sigma)
    first, second = channel.derivatives
    by_generator = (2 * theory.mass**2 * float(g[0])) * grid.weights * _generator(channel)
    outer = by_generator[:, None]
    Bars.add(bars.slopes, k, -outer * grid.nodes * rates)
    Bars.add(bars.curvatures, k, outer * (strengths**2 / 2))
    bars.nodes -= outer * first * rates
    return {"sigma": strengths * (by_generator @ second), "omega": -(by_generator @ (grid.nodes * first))}


def _back_energy_sum(channel: Channel, k: int, bar: float, power: int, bars: Bars) -> None:
    """Derivatives of bar times sum_n energy_n^power c_n^2."""
    energies = total_energies(channel.grid)
    Bars.add(bars.coefficients, k, (2 * bar) * channel.coefficients * energies**power)
    by_energy = (power * bar) * channel.weights * energies ** (power - 1)
    for i in range(by_energy.ndim):
        bars.axes[i].energies += by_energy.sum(axis=tuple(j for j in range(by_energy.ndim) if j != i))


def _lowest(grid: Grid, n: int) -> tuple[Floats, tuple[Integers, ...]]:
    """The lowest n gaps, and the numbers of the states of every input."""
    energies = total_energies(grid)
    order = np.argsort(energies, axis=None, kind="stable")[1 : n + 1]
    return energies.ravel()[order], np.unravel_index(order, energies.shape)


def evaluate(channel: Channel, what: Observable) -> Floats:
    """Values of an observable, shape (size,).

    Parameters
    ----------
    channel : Channel
    what : Observable

    Returns
    -------
    ndarray
    """
    if isinstance(what, TwoPoint):
        return _two_point(channel, what)
    if isinstance(what, SpectralWeights):
        return np.asarray(channel.weights[_states(what, len(channel.grid.axes))])
    if isinstance(what, Moments):
        return _moments(channel, what)
    if isinstance(what, NPoint):
        return _n_point(channel, what)
    if isinstance(what, Commutator):
        return _commutator(channel)
    if isinstance(what, MomentumSquared):
        return _momentum_squared(channel)
    return _lowest(channel.grid, what.n)[0]


def pull_back(channel: Channel, what: Observable, k: int, g: Floats, bars: Bars, energies: bool) -> dict[str, Floats]:
    """Add the derivatives of g times the values of an observable.

    Parameters
    ----------
    channel : Channel
        Channel number k of ``bars``.
    what : Observable
    k : int
    g : ndarray
        Shape (size,).
    bars : Bars
        Derivatives with respect to what is on the grid; changed.
    energies : bool
        Whether derivatives with respect to energies are needed.

    Returns
    -------
    dict
        Derivatives that do not pass through the grid, by name.
    """
    if isinstance(what, TwoPoint):
        _back_two_point(channel, what, k, g, bars, energies)
    elif isinstance(what, SpectralWeights):
        at = _states(what, len(channel.grid.axes))
        bar = np.zeros_like(channel.coefficients)
        np.add.at(bar, at, 2 * g * channel.coefficients[at])
        Bars.add(bars.coefficients, k, bar)
    elif isinstance(what, Moments):
        _back_moments(channel, what, k, g, bars)
    elif isinstance(what, NPoint):
        _back_n_point(channel, what, k, g, bars)
    elif isinstance(what, Commutator):
        return _back_commutator(channel, k, g, bars)
    elif isinstance(what, MomentumSquared):
        return _back_momentum_squared(channel, k, g, bars)
    else:
        _, at = _lowest(channel.grid, what.n)
        for axis, numbers in zip(bars.axes, at, strict=True):
            np.add.at(axis.energies, numbers, g)
    return {}


def close(channels: list[Channel], bars: Bars) -> None:
    """Turn derivatives with respect to coefficients and weights into those with respect to values and modes.

    Parameters
    ----------
    channels : list of Channel
    bars : Bars
        Changed.
    """
    grid = bars.grid
    projections = [axis.projection for axis in grid.axes]
    for k, channel in enumerate(channels):
        bar = bars.coefficients[k]
        if bar is None:
            continue
        Bars.add(bars.values, k, grid.gathered(contract(bar, [p.T for p in projections])))
        for i, axis in enumerate(grid.axes):
            if axis.fixed:
                continue
            # All axes but this one are multiplied; then the sum over them is a product of matrices.
            others = [np.eye(len(p)) if j == i else p.T for j, p in enumerate(projections)]
            part = np.moveaxis(contract(bar, others), i, 0).reshape(len(axis.energies), -1)
            values = np.moveaxis(grid.spread(channel.values), i, 0).reshape(len(axis.points), -1)
            bars.of_projection(i, part @ values.T)
    if bars.weights is not None:
        total = grid.spread(bars.weights)
        for i, axis in enumerate(grid.axes):
            if not axis.fixed:
                first = np.zeros_like(axis.projection)
                first[0] = _onto(total, [p[0] for p in projections], i)
                bars.of_projection(i, first)
