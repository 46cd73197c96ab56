"""Exact observables on grids of the inputs: choice of the grid, values, errors and derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..exact.output_expansion import KINKED, RULES
from ..exact.resolution import hidden_by_grid
from ..theories.networks import Network
from ..theories.theory import Theory
from .grid_sums import Bars, Channel, beside, close, cutoff, evaluate, pull_back
from .input_grids import Grid, Rule, kinked_grid, kinked_state_grid, oscillator_grid, state_grid
from .observables import Gaps, Moments, NPoint, Observable, SpectralWeights, TwoPoint
from .parameters import Gradient

__all__ = ["GridObservables", "relative_change"]

# Spacing of the nodes and half-width, in standard deviations, and highest polynomial, tried in turn, by number of
# inputs.
RULES_OF_INPUTS: dict[int, tuple[Rule, ...]] = {
    1: (
        (0.4, 8.5, 47),
        (0.28, 8.5, 79),
        (0.2, 8.5, 127),
        (0.14, 8.5, 159),
        (0.1, 8.5, 199),
        (0.05, 8.5, 255),
        (0.025, 8.5, 319),
        (0.0125, 8.5, 399),
    ),
    2: (
        (0.45, 7.5, 31),
        (0.37, 7.5, 39),
        (0.3, 7.8, 47),
        (0.22, 8.2, 63),
        (0.15, 8.5, 79),
        (0.1, 8.5, 95),
        (0.05, 8.5, 127),
    ),
    3: ((0.6, 7.0, 23), (0.5, 7.3, 25), (0.42, 7.5, 29), (0.36, 7.6, 33), (0.3, 7.8, 39), (0.25, 8.0, 47)),
}
# Half-width for n-point functions, high moments and weights of single states, which may be small against the variance:
# outer nodes contribute to them; by number of inputs.
WIDE = {1: 12.0, 2: 9.5, 3: 9.5}
_LOW_MOMENT = 4
# Highest polynomials for one input with kinks, tried in turn.
_KINKED_ORDERS = (199, 399, 799)
# Fraction of E x^2 below which the variance is rounding.
_CONSTANT = 1e-13
# Largest relative change of mean and variance when every second node is left out, at which the rule is fine enough:
# for functions that are analytic in a strip the error of the rule is the square of this change. By number of inputs.
_CHANGE = {1: 1e-6, 2: 3e-6, 3: 3e-5}
# Spacing of the nodes, in units of the scale of the steepest neuron of the first layer, above which no rule is tried.
_RESOLVED = 0.7
# Largest relative contribution of states beyond the highest polynomial to two-point functions.
_BEYOND = 1e-9
# Relative change of E x^2 with a finer basis of a Hamiltonian at which the basis is fine enough.
_SAME = 1e-10
# Factors by which the basis of a Hamiltonian is refined: tried in turn for smooth networks, for networks with kinks,
# and for error estimates.
_STATES, _FINER_STATES, _OTHER_STATES = (1.0, 1.3, 1.7, 2.2, 3.0), 3.0, 1.15
# Number of nodes times weights below which one thread does all work.
_SMALL_WORK = 5_000_000
# Smallest relative error that is reported.
_ROUNDING = 1e-13
# Largest product of the numbers of nodes and polynomials for one input with kinks.
_MOST_PRODUCTS = 20_000_000


class GridObservables:
    """Observables of a theory on one grid of its inputs.

    Parameters
    ----------
    theory : Theory
    observables : sequence of Observable

    Attributes
    ----------
    values : list of ndarray
    """

    def __init__(self, theory: Theory, observables: Sequence[Observable]) -> None:
        self._theory, self._observables = theory, observables
        self._columns, self._which = _columns(theory, observables)
        self._channels = _evaluated(theory, observables, self._columns)
        self.values = [evaluate(self._channels[k], what) for what, k in zip(observables, self._which, strict=True)]

    def errors(self) -> list[float]:
        """Relative error of each observable: the change with another grid, and a bound on features between nodes."""
        other = _other_grid(self._theory, self._channels[0].grid, self._observables)
        rough = _channels(self._theory, other, self._columns)
        out = []
        for what, k, found in zip(self._observables, self._which, self.values, strict=True):
            change = relative_change(found, evaluate(rough[k], what))
            out.append(max(change, _hidden(self._channels[k], what)) if change else 0.0)
        return out

    def pullback(self, cotangents: Sequence[Floats], wanted: Sequence[str]) -> Gradient:
        """Derivatives of the sum of all products of cotangents and values, by name."""
        inputs = [name for name in wanted if name != "network"]
        bars = Bars(self._channels[0].grid, len(self._channels))
        direct: dict[str, Floats] = {}
        for what, k, g in zip(self._observables, self._which, cotangents, strict=True):
            if not g.any():
                continue
            for name, part in pull_back(self._channels[k], what, k, g, bars, bool(inputs)).items():
                direct[name] = direct[name] + part if name in direct else part
        close(self._channels, bars)
        out: Gradient = {}
        weights = self._of_network(bars)
        if "network" in wanted:
            out["network"] = weights
        if inputs:
            out |= self._of_inputs(bars, direct, inputs)
        return out

    def _of_network(self, bars: Bars) -> Floats:
        """Derivatives in the weights; adds derivatives with respect to the nodes to ``bars``."""
        network = self._theory.network
        for k, channel in enumerate(self._channels):
            values = bars.values[k]
            if channel.direct and values is not None:
                bars.nodes[:, channel.column] += values
        if not isinstance(network, Network):
            return np.zeros(0)
        m, outputs, dimension = len(bars.nodes), network.n_outputs, bars.nodes.shape[1]
        u = np.zeros((m, outputs))
        first = second = sides = None
        for k, channel in enumerate(self._channels):
            if channel.direct:
                continue
            c = channel.column
            if (bar := bars.values[k]) is not None:
                u[:, c] += bar
            if (bar := bars.slopes[k]) is not None:
                first = np.zeros((m, outputs, dimension)) if first is None else first
                first[:, c] += bar
            if (bar := bars.curvatures[k]) is not None:
                second = np.zeros((m, outputs, dimension)) if second is None else second
                second[:, c] += bar
            if (bar := bars.sides[k]) is not None:
                sides = np.zeros((2, bar.shape[1], outputs)) if sides is None else sides
                sides[..., c] += bar
        # Threads cost more than they gain on few nodes.
        n_threads = 1 if m * network.parameters.size < _SMALL_WORK else 0
        gradient, by_node = network.pullback(bars.grid.nodes, u, first, second, n_threads=n_threads)
        bars.nodes += by_node
        if sides is not None:
            points = beside(bars.grid)
            part, by_point = network.pullback(points, sides)
            gradient = gradient + part
            bars.axes[0].stretch += float((by_point * points).sum())
        return gradient

    def _of_inputs(self, bars: Bars, direct: dict[str, Floats], names: list[str]) -> Gradient:
        for moved, stretch in zip(bars.axes, (bars.nodes * bars.grid.nodes).sum(axis=0), strict=True):
            moved.stretch += float(stretch)
        parts: dict[str, list[Floats]] = {name: [] for name in names}
        for axis, bar in zip(bars.grid.axes, bars.axes, strict=True):
            for name, values in axis.back(bar).items():
                if name in parts:
                    parts[name].append(values)
        out = {name: np.concatenate(found) for name, found in parts.items()}
        return {name: out[name] + direct[name] if name in direct else out[name] for name in names}


def relative_change(values: Floats, others: Floats) -> float:
    """Largest change relative to the largest value, at least the rounding; 0 if values are all 0 or infinite."""
    scale = float(np.abs(values).max())
    if not np.isfinite(scale) or scale == 0:
        return 0.0
    return max(float(np.abs(values - others).max()) / scale, _ROUNDING)


# Position among the inputs or the outputs of a channel, and whether it is an input.
_Column: TypeAlias = tuple[int, bool]


def _columns(theory: Theory, observables: Sequence[Observable]) -> tuple[list[_Column], tuple[int, ...]]:
    """The channels that observables use, and the channel of each."""
    found: dict[_Column, int] = {}
    which = []
    for what in observables:
        channel = 0 if isinstance(what, Gaps) else what.channel
        column, direct = channel, theory.network is None
        if not isinstance(channel, int) or channel >= theory.n_outputs:
            name = theory.channel_name(channel)
            direct = direct or name not in theory.outputs
            column = theory.channels.index(name) if direct else theory.outputs.index(name)
        assert isinstance(column, int)
        which.append(found.setdefault((column, direct), len(found)))
    return list(found), tuple(which)


def _channels(theory: Theory, grid: Grid, columns: Sequence[_Column]) -> list[Channel]:
    outputs = grid.nodes
    if isinstance(theory.network, Network) and not all(direct for _, direct in columns):
        outputs = theory.network(grid.nodes)
    values = [np.ascontiguousarray((grid.nodes if direct else outputs)[:, column]) for column, direct in columns]
    return [Channel(theory, grid, *column, one) for column, one in zip(columns, values, strict=True)]


def _order(theory: Theory, observables: Sequence[Observable]) -> int:
    """Highest polynomial that is asked for."""
    states = max((what.highest for what in observables if isinstance(what, SpectralWeights)), default=0)
    if any(isinstance(what, Gaps) for what in observables):
        states = max(states, *(what.n for what in observables if isinstance(what, Gaps)))
    return states


def _sees_outer_nodes(what: Observable) -> bool:
    """Whether nodes beyond eight standard deviations contribute to an observable."""
    if isinstance(what, Moments):
        return max(what.orders) > _LOW_MOMENT
    return isinstance(what, NPoint | SpectralWeights)


def _earliest(observables: Sequence[Observable]) -> float:
    """Shortest lag other than 0 of all two-point and n-point functions."""
    lags = [np.inf]
    for what in observables:
        if isinstance(what, TwoPoint):
            lags.append(what.times[what.times > 0].min(initial=np.inf))
        elif isinstance(what, NPoint):
            steps = np.diff(np.sort(what.times, axis=1), axis=1)
            lags.append(steps[steps > 0].min(initial=np.inf))
    return float(min(lags))


def _kinked(theory: Theory) -> bool:
    """Whether a network with kinks acts on a single input, so that the grid can end at them."""
    network = theory.network
    return theory.n_inputs == 1 and isinstance(network, Network) and bool(KINKED & set(network.activations))


def _evaluated(theory: Theory, observables: Sequence[Observable], columns: Sequence[_Column]) -> list[Channel]:
    """Channels on the coarsest grid that resolves the network."""
    network = theory.network
    lag, least = _earliest(observables), _order(theory, observables)
    if not theory.all_oscillators:
        return _on_states(theory, columns, lag, least)
    if _kinked(theory) and isinstance(network, Network):
        for order in _KINKED_ORDERS:
            grid = kinked_grid(theory, network, max(order, least))
            channels = _channels(theory, grid, columns)
            if not any(_missing(channel, lag) for channel in channels) or grid.axes[0].rows.size > _MOST_PRODUCTS:
                break
        return channels
    rules, accepted = RULES_OF_INPUTS[theory.n_inputs], _CHANGE[theory.n_inputs]
    wide = WIDE[theory.n_inputs] if any(_sees_outer_nodes(what) for what in observables) else 0.0
    at = _first_rule(theory, rules)
    while True:
        spacing, width, order = rules[at]
        rule = spacing, max(width, wide), max(order, least)
        grid, thinning = oscillator_grid(theory, rule)
        channels = _channels(theory, grid, columns)
        change = max(_change(channel, thinning) for channel in channels)
        if at == len(rules) - 1 or (change <= accepted and not any(_missing(channel, lag) for channel in channels)):
            return channels
        # The logarithm of the change is inversely proportional to the spacing.
        needed = rule[0] * min(np.log(max(change, 1e-300)) / np.log(accepted), 1.0)
        at += 1
        while at < len(rules) - 1 and rules[at][0] > needed:
            at += 1


def _first_rule(theory: Theory, rules: Sequence[Rule]) -> int:
    """Number of the coarsest rule that may resolve the first layer of a network."""
    if not isinstance(theory.network, Network):
        return 0
    squares = theory.network.weights[0] ** 2 @ (np.array(theory.sigma) ** 2 / (2 * np.array(theory.omega)))
    widest = _RESOLVED / max(float(squares.max()) ** 0.5, 1e-300)
    return next((i for i, (spacing, *_) in enumerate(rules) if spacing <= widest), len(rules) - 1)


def _on_states(theory: Theory, columns: Sequence[_Column], lag: float, least: int) -> list[Channel]:
    """Channels on grids of Hamiltonians, some of the inputs perhaps oscillators."""
    network = theory.network
    for i, source in enumerate(theory.sources):
        if source.oscillators is None and source.ground_state_of is None:
            raise InputError(
                f"sources[{i}] must be OrnsteinUhlenbeck or a ground-state process to be differentiated; got {source!r}"
            )
    if _kinked(theory) and isinstance(network, Network):
        return _channels(theory, kinked_state_grid(theory, network, _FINER_STATES), columns)
    rules, square = RULES_OF_INPUTS[theory.n_inputs], np.full(1, np.inf)
    for (spacing, width, order), finer in zip(rules, _STATES, strict=False):
        grid = state_grid(theory, (spacing, width, max(order, least)), finer)
        channels = _channels(theory, grid, columns)
        before, square = square, np.array([channel.square for channel in channels])
        changed = np.abs(square - before) > _SAME * square
        if not (changed.any() or any(_missing(channel, lag) for channel in channels)):
            break
    return channels


def _change(channel: Channel, thinning: Floats) -> float:
    """Largest change of averages of g, g^2, g y and g^2 y when every second node is left out, in standard deviations.

    g is the deviation from the mean. The error of one average alone may vanish by chance, by its phase.
    """
    if channel.variance <= _CONSTANT * channel.square:
        return 0.0
    g = (channel.values - channel.mean) / channel.variance**0.5
    return float(max(np.abs(g @ thinning).max(), np.abs((g * g) @ thinning).max()))


def _missing(channel: Channel, lag: float) -> bool:
    """Whether states beyond the modes of the grid contribute to two-point functions at a lag."""
    if not np.isfinite(lag):
        return False
    edge, _ = cutoff(channel.grid)
    return bool(channel.tail * np.exp(-edge * lag / channel.theory.hbar) > _BEYOND * channel.variance)


def _other_grid(theory: Theory, grid: Grid, observables: Sequence[Observable]) -> Grid:
    """Another grid of the same kind, for error estimates."""
    least, network = _order(theory, observables), theory.network
    order = max(int(0.8 * (len(grid.axes[-1].rows) - 1)), least)
    if _kinked(theory) and isinstance(network, Network):
        if theory.all_oscillators:
            return kinked_grid(theory, network, order, RULES[1])
        return kinked_state_grid(theory, network, 0.75 * _FINER_STATES, RULES[1])
    # One rule serves all oscillators.
    for axis in grid.axes:
        if axis.fixed:
            order = max(int(0.8 * (len(axis.rows) - 1)), least)
            spacing, width = float(axis.points[1] - axis.points[0]) / axis.spread, float(axis.points[-1]) / axis.spread
            break
    else:
        spacing, width = RULES_OF_INPUTS[1][0][:2]
    rule = (1.3 * spacing, min(0.95 * width, width - 0.5), order)
    return oscillator_grid(theory, rule)[0] if theory.all_oscillators else state_grid(theory, rule, _OTHER_STATES)


def _hidden(channel: Channel, what: Observable) -> float:
    """Relative error by features of the network that are narrower than the distance of the nodes."""
    network = channel.theory.network
    if channel.direct or isinstance(what, Gaps) or not isinstance(network, Network) or channel.grid.kinks.size:
        return 0.0
    axes = channel.grid.axes
    points, laws = [a.points for a in axes], [a.projection[0] for a in axes]
    hidden = hidden_by_grid(network, channel.column, points, laws, [False] * len(axes))
    return hidden.relative(channel.variance)
