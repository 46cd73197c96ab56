"""Exact observables of a theory and their derivatives in all of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..exact.inputs import need_few_inputs
from ..exact.output_expansion import KINKED, RULES, fixed_network
from ..exact.resolution import hidden_by_grid
from ..theories.networks import Network
from ..theories.theory import Theory
from .grid_sums import Bars, Channel, beside, close, cutoff, evaluate, pull_back
from .input_grids import Grid, Integers, Rule, kinked_grid, kinked_state_grid, oscillator_grid, state_grid
from .linear_networks import LinearChannel, is_linear
from .observables import Gaps, NPoint, Observable, SpectralWeights, TwoPoint
from .parameters import Gradient, learnable

__all__ = ["Differentiated", "differentiate"]

# Spacing of the nodes and half-width, in standard deviations, and highest polynomial, tried in turn, by number of
# inputs.
_RULES: dict[int, tuple[Rule, ...]] = {
    1: (
        (0.4, 10.0, 47),
        (0.28, 10.5, 79),
        (0.2, 11.0, 127),
        (0.14, 12.0, 159),
        (0.1, 12.0, 199),
        (0.05, 12.0, 255),
        (0.025, 12.0, 319),
        (0.0125, 12.0, 399),
    ),
    2: ((0.45, 8.5, 31), (0.32, 8.5, 47), (0.22, 8.5, 63), (0.15, 9.0, 79), (0.1, 9.0, 95), (0.05, 9.0, 127)),
    3: ((0.6, 8.0, 23), (0.45, 8.5, 27), (0.33, 8.5, 35), (0.25, 8.5, 47)),
}
# Highest polynomials for one input with kinks, tried in turn.
_KINKED_ORDERS = (199, 399, 799)
# Largest relative change of E x^2 when every second node is left out, at which the rule is fine enough: the error of a
# trapezoid rule is about the square of this change.
_CHANGE = 1e-5
# Largest relative contribution of states beyond the highest polynomial to two-point functions.
_BEYOND = 1e-10
# Factors by which the basis of a Hamiltonian is refined: tried in turn for smooth networks, for networks with kinks,
# and for error estimates.
_STATES, _FINER_STATES, _OTHER_STATES = (1.0, 1.3, 1.7, 2.2, 3.0), 3.0, 1.15
# Smallest relative error that is reported.
_ROUNDING = 1e-13
# Largest product of the numbers of nodes and polynomials for one input with kinks.
_MOST_PRODUCTS = 20_000_000


@dataclass(frozen=True, eq=False)
class Differentiated:
    """Values of exact observables of a theory, and their derivatives.

    Attributes
    ----------
    theory : Theory
    observables : tuple
    values : list of ndarray
        One array of shape (size,) per observable.
    """

    theory: Theory
    observables: tuple[Observable, ...]
    values: list[Floats]
    _channels: list[Channel]
    _which: tuple[int, ...]

    @cached_property
    def errors(self) -> list[float]:
        """Numerical error of each observable, relative to its largest value; computed at the first use.

        The error is the change with a coarser rule for all inputs, and a bound on features of the network that are
        narrower than the distance of the nodes.
        """
        grid = self._channels[0].grid
        coarse = _coarser(self.theory, grid, self.observables)
        rough = _channels(self.theory, coarse, self.observables)[0]
        out = []
        for what, k, found in zip(self.observables, self._which, self.values, strict=True):
            other = evaluate(rough[k], what)
            scale = float(np.abs(found).max())
            if not np.isfinite(scale) or scale == 0:
                out.append(0.0)
                continue
            out.append(max(float(np.abs(found - other).max()) / scale, _hidden(self._channels[k], what), _ROUNDING))
        return out

    def pullback(self, cotangents: Sequence[ArrayLike], names: Sequence[str] | None = None) -> Gradient:
        """Derivatives of a weighted sum of all values (vector-Jacobian product).

        Parameters
        ----------
        cotangents : sequence of array_like
            Weights of the values, one array of shape (size,) per observable, finite.
        names : sequence of str, optional
            Parameters in which to differentiate, among the keys of ``learnable``; by default all.

        Returns
        -------
        dict
            Derivatives by name, in the shapes of ``learnable(theory)``.

        Raises
        ------
        InputError
            If a shape does not fit, a name is unknown, or <p^2> is infinite.
        """
        if len(cotangents) != len(self.observables):
            raise InputError(
                f"cotangents must have one array per observable, {len(self.observables)}; got {len(cotangents)}"
            )
        arrays = []
        for i, (what, cotangent) in enumerate(zip(self.observables, cotangents, strict=True)):
            g = np.asarray(cotangent, dtype=np.float64)
            if g.shape != (what.size,):
                g = floats(f"cotangents[{i}]", cotangent, 1)
                raise InputError(f"cotangents[{i}] must have shape ({what.size},); got {g.shape}")
            arrays.append(g)
        return self._pull(arrays, _names(self.theory, names))

    def jacobian(self, names: Sequence[str] | None = None) -> Gradient:
        """Derivatives of all values, one pullback each.

        Parameters
        ----------
        names : sequence of str, optional
            As for ``pullback``.

        Returns
        -------
        dict
            Arrays of shape (K, P): a row per value, observable after observable, and a column per parameter of the
            name.

        Raises
        ------
        InputError
            As for ``pullback``.
        """
        wanted = _names(self.theory, names)
        zeros, rows = [np.zeros(what.size) for what in self.observables], []
        for i, what in enumerate(self.observables):
            for unit in np.eye(what.size):
                rows.append(self._pull([*zeros[:i], unit, *zeros[i + 1 :]], wanted))
        return {name: np.array([row[name] for row in rows]) for name in wanted}

    def _pull(self, cotangents: Sequence[Floats], wanted: list[str]) -> Gradient:
        """The pullback of checked cotangents."""
        inputs = [name for name in wanted if name != "network"]
        grid = self._channels[0].grid
        bars = Bars(grid, len(self._channels))
        direct: dict[str, Floats] = {}
        for what, k, g in zip(self.observables, self._which, cotangents, strict=True):
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
        network = self.theory.network
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
        gradient, by_node = network.pullback(bars.grid.nodes, u, first, second)
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


@dataclass(frozen=True, eq=False)
class _OfLinearNetwork(Differentiated):
    """Closed forms, one channel per observable."""

    _linear: list[LinearChannel]

    @cached_property
    def errors(self) -> list[float]:
        """Rounding."""
        return [_ROUNDING] * len(self.observables)

    def jacobian(self, names: Sequence[str] | None = None) -> Gradient:
        """Derivatives of all values, as for other networks, in one step."""
        wanted = _names(self.theory, names)
        parts = [c.pull_back(what, np.eye(what.size)) for c, what in zip(self._linear, self.observables, strict=True)]
        return {name: np.concatenate([part[name] for part in parts]) for name in wanted}

    def _pull(self, cotangents: Sequence[Floats], wanted: list[str]) -> Gradient:
        parts = [
            c.pull_back(what, g[None]) for c, what, g in zip(self._linear, self.observables, cotangents, strict=True)
        ]
        return {name: np.sum([part[name][0] for part in parts], axis=0) for name in wanted}


def differentiate(theory: Theory, observables: Sequence[Observable]) -> Differentiated:
    r"""Exact observables of a theory with their derivatives in weights and biases, rates, strengths and potentials.

    Observables are sums over a grid of the inputs. The coefficients of a channel in the states of the inputs,
    :math:`c_n = \sum_q w_q h_n(z_q) f(y_q)`, have the derivatives :math:`\partial c_n/\partial f(y_q) = w_q h_n(z_q)`,
    and those of f follow by the chain rule through the layers. Rates and strengths move the nodes and the energies. The
    derivatives are those of the sums, so that they agree with finite differences to rounding.

    Parameters
    ----------
    theory : Theory
        With fixed weights, and at most three inputs; any number of Ornstein-Uhlenbeck inputs of a linear network.
    observables : sequence
        ``TwoPoint``, ``SpectralWeights``, ``Moments``, ``NPoint``, ``Commutator``, ``MomentumSquared``, ``Gaps``.

    Returns
    -------
    Differentiated

    Raises
    ------
    InputError, InputTypeError
        If the theory has random weights, more than three inputs or inputs without known states, or a channel or a state
        does not exist.

    Examples
    --------
    >>> from nnqm.learning.differentiate import differentiate
    >>> from nnqm.learning.observables import TwoPoint
    >>> theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))
    >>> found = differentiate(theory, [TwoPoint([0.0, 1.0])])
    >>> found.values[0].round(6)  # exp(-t)/2
    array([0.5    , 0.18394])
    >>> found.pullback([[0.0, 1.0]])["sigma"].round(6)  # exp(-t)
    array([0.367879])
    """
    listed = tuple(observables)
    for i, what in enumerate(listed):
        if not isinstance(what, Observable):
            raise InputTypeError(f"observables[{i}] must be an observable, for example TwoPoint([0, 1]); got {what!r}")
    if not listed:
        raise InputError("observables must have at least one entry; got none")
    if theory.network is not None:
        fixed_network(theory)
    if is_linear(theory) and not any(isinstance(what, Gaps) for what in listed):
        linear = [LinearChannel(theory, what.channel) for what in listed if not isinstance(what, Gaps)]
        values = [channel.evaluate(what) for channel, what in zip(linear, listed, strict=True)]
        return _OfLinearNetwork(theory, listed, values, [], (), linear)
    need_few_inputs(theory)
    channels, which = _evaluated(theory, listed)
    values = [evaluate(channels[k], what) for what, k in zip(listed, which, strict=True)]
    return Differentiated(theory, listed, values, channels, which)


def _names(theory: Theory, names: Sequence[str] | None) -> list[str]:
    if names is None:
        return list(learnable(theory))
    known = learnable(theory)
    for name in names:
        if name not in known:
            raise InputError(f"names must be among {', '.join(known)}; got {name!r}")
    return list(names)


def _columns(theory: Theory, observables: Sequence[Observable]) -> tuple[list[tuple[int, bool]], tuple[int, ...]]:
    """The channels that observables use, as column and whether it is an input, and the channel of each."""
    found: dict[tuple[int, bool], int] = {}
    which = []
    for what in observables:
        column = theory.channels.index(theory.channel_name(0 if isinstance(what, Gaps) else what.channel))
        direct = theory.network is None or column < theory.n_inputs
        key = (column if direct else column - theory.n_inputs, direct)
        which.append(found.setdefault(key, len(found)))
    return list(found), tuple(which)


def _channels(theory: Theory, grid: Grid, observables: Sequence[Observable]) -> tuple[list[Channel], tuple[int, ...]]:
    columns, which = _columns(theory, observables)
    outputs = None
    if isinstance(theory.network, Network) and not all(direct for _, direct in columns):
        outputs = theory.network(grid.nodes)
    channels = []
    for column, direct in columns:
        source = grid.nodes if direct or outputs is None else outputs
        channels.append(Channel(theory, grid, column, direct, np.ascontiguousarray(source[:, column])))
    return channels, which


def _order(theory: Theory, observables: Sequence[Observable]) -> int:
    """Highest polynomial that is asked for."""
    states = max((what.highest for what in observables if isinstance(what, SpectralWeights)), default=0)
    if any(isinstance(what, Gaps) for what in observables):
        states = max(states, *(what.n for what in observables if isinstance(what, Gaps)))
    return states


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


def _evaluated(theory: Theory, observables: Sequence[Observable]) -> tuple[list[Channel], tuple[int, ...]]:
    """Channels on the coarsest grid that resolves the network."""
    network = theory.network
    lag, least = _earliest(observables), _order(theory, observables)
    if not theory.all_oscillators:
        return _on_states(theory, observables, lag, least)
    if _kinked(theory) and isinstance(network, Network):
        for order in _KINKED_ORDERS:
            grid = kinked_grid(theory, network, max(order, least))
            channels, which = _channels(theory, grid, observables)
            if not any(_missing(channel, lag) for channel in channels) or grid.axes[0].rows.size > _MOST_PRODUCTS:
                break
        return channels, which
    rules, at = _RULES[theory.n_inputs], 0
    while True:
        rule = rules[at]
        grid, half, half_weights = oscillator_grid(theory, rule if rule[2] >= least else (*rule[:2], least))
        channels, which = _channels(theory, grid, observables)
        change = max(_change(channel, half, half_weights) for channel in channels)
        if at == len(rules) - 1 or (change <= _CHANGE and not any(_missing(channel, lag) for channel in channels)):
            return channels, which
        # The logarithm of the change is inversely proportional to the spacing.
        needed = rule[0] * min(np.log(max(change, 1e-300)) / np.log(_CHANGE), 1.0)
        at += 1
        while at < len(rules) - 1 and rules[at][0] > needed:
            at += 1


def _on_states(
    theory: Theory, observables: Sequence[Observable], lag: float, least: int
) -> tuple[list[Channel], tuple[int, ...]]:
    """Channels on grids of Hamiltonians, some of the inputs perhaps oscillators."""
    network = theory.network
    for i, source in enumerate(theory.sources):
        if source.oscillators is None and source.ground_state_of is None:
            raise InputError(
                f"sources[{i}] must be OrnsteinUhlenbeck or a ground-state process to be differentiated; got {source!r}"
            )
    if _kinked(theory) and isinstance(network, Network):
        return _channels(theory, kinked_state_grid(theory, network, _FINER_STATES), observables)
    square = np.full(1, np.inf)
    for (spacing, width, order), finer in zip(_RULES[theory.n_inputs], _STATES, strict=False):
        grid = state_grid(theory, (spacing, width, max(order, least)), finer)
        channels, which = _channels(theory, grid, observables)
        before, square = square, np.array([channel.square for channel in channels])
        changed = np.abs(square - before) > _BEYOND * square
        if not (changed.any() or any(_missing(channel, lag) for channel in channels)):
            break
    return channels, which


def _change(channel: Channel, half: Integers, weights: Floats) -> float:
    """Relative change of E f^2 when every second node is left out."""
    values, square = channel.values[half], channel.square
    return abs(float(weights @ (values * values)) - square) / square if square > 0 else 0.0


def _missing(channel: Channel, lag: float) -> bool:
    """Whether states beyond the modes of the grid contribute to two-point functions at a lag."""
    if not np.isfinite(lag):
        return False
    edge, _ = cutoff(channel.grid)
    return bool(channel.tail * np.exp(-edge * lag / channel.theory.hbar) > _BEYOND * channel.square)


def _coarser(theory: Theory, grid: Grid, observables: Sequence[Observable]) -> Grid:
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
        spacing, width = _RULES[1][0][:2]
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
    return hidden.relative(channel.square - channel.mean**2)
