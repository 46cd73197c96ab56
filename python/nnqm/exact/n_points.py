"""Exact n-point functions of networks on oscillators, Hamiltonians and chains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..errors import InputError
from ..statistics.blas import one_blas_thread
from ..theories.state_modes import Modes, oscillator
from ..theories.theory import Theory
from . import output_expansion, state_grids
from .inputs import MOST_POINTS, input_spreads, need_few_inputs, need_states
from .output_expansion import fixed_network
from .resolution import hidden_by_modes

__all__ = ["n_point"]

# Exponent beyond which a polynomial does not contribute: exp(-37) is below the rounding of a sum.
_FORGOTTEN = 37.0
# Highest polynomial per input, by number of inputs.
_MOST_ORDERS = {1: 1000, 2: 160, 3: 72}
# Points at which given functions of one input are compared with their interpolants, in standard deviations.
_SURVEY = np.linspace(-9.0, 9.0, 20_011)


@one_blas_thread
def n_point(
    theory: Theory,
    times: ArrayLike,
    channel: int | str | Sequence[int | str] = 0,
    *,
    functions: Sequence[Callable[[Floats], ArrayLike]] | None = None,
    tolerance: float = 1e-8,
) -> Floats:
    r"""Exact Euclidean n-point functions.

    .. math:: \langle f_1(t_1) \cdots f_n(t_n)\rangle
              = E\, f_1 P_{t_2 - t_1} f_2 \cdots P_{t_n - t_{n-1}} f_n, \qquad
              P_t = H^T e^{-n \omega t} H W

    For ordered times, the functions are multiplied at the nodes of a quadrature and propagated in Hermite functions, or
    in the states of a Hamiltonian or a chain.

    Parameters
    ----------
    theory : Theory
        With at most three inputs.
    times : array_like
        Shape (..., n), unit time, in any order.
    channel : int, str or sequence of them, default 0
        Position among the outputs, or the name of any channel; one for all times, or one per time.
    functions : sequence of callable, optional
        One function per time, in place of a channel. Each takes the values of all channels, shape (..., channels), and
        returns shape (...).
    tolerance : float, default 1e-8
        Largest acceptable error, relative to the product of the root mean squares of the functions.

    Returns
    -------
    ndarray
        Shape (...), unit of the product of the functions. The error is below the tolerance.

    Raises
    ------
    InputError
        With more than three inputs or inputs without known states, or if the tolerance is not reached (times closer
        than 0.04/omega with kinks, kinks in several inputs); the message gives the error reached.

    Examples
    --------
    >>> float(n_point(nnqm.harmonic_oscillator(), [0.0, 0.0, 0.0, 0.0]).round(12))  # 3 (1/2)^2
    0.75
    """
    need_states(theory)
    need_few_inputs(theory)
    t = floats("times", times)
    if t.ndim == 0 or t.shape[-1] == 0:
        raise InputError(f"times must have at least one entry along their last axis; got shape {t.shape}")
    n = t.shape[-1]
    given = [channel] * n if isinstance(channel, int | str | np.integer) else list(channel)
    for name, entries in (("channel", given), ("functions", functions)):
        if entries is not None and len(entries) != n:
            raise InputError(f"{name} must have one entry per time, {n}; got {len(entries)}")
    if functions is not None and given != [0] * n:
        raise InputError("channel and functions exclude each other; give one of them")
    wanted: list[Any] = [theory.channel_name(c) for c in given] if functions is None else list(functions)
    distinct = list(dict.fromkeys(wanted))
    which = [distinct.index(w) for w in wanted]
    network = None if theory.network is None else fixed_network(theory)

    def evaluate(y: Floats) -> Floats:
        values = y if network is None else np.concatenate([y, network(y)], axis=-1)
        columns = [
            values[..., theory.channels.index(w)] if isinstance(w, str) else _values_of(w, values) for w in distinct
        ]
        return np.stack(columns, axis=-1)

    panels = _on_panels(theory)
    steps = np.diff(np.sort(t, axis=-1), axis=-1)
    order = 40
    if rates := [rate for s in theory.sources if s.oscillators is not None for rate in s.oscillators[0]]:
        slowest = steps[steps > 0].min(initial=np.inf) * min(rates)
        order = int(np.clip(np.ceil(_FORGOTTEN / slowest), order, _MOST_ORDERS[theory.n_inputs]))
    results, scale, hidden = [], 1.0, 0.0
    axes = _axes(theory, evaluate, order, given=functions is not None)
    for fine, inputs_of_grids in zip((True, False), axes, strict=True):
        total, scale, share = np.zeros(t.size // n), 0.0, 1 / len(inputs_of_grids)
        for inputs in inputs_of_grids:
            if np.prod([m.points.size for m in inputs]) > MOST_POINTS:
                raise InputError(
                    f"the product of the grids of {theory.n_inputs} inputs has more than {MOST_POINTS} points; sample "
                    "the theory"
                )
            grid = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1)
            values = np.moveaxis(evaluate(grid), -1, 0)
            vacuum = np.ones(())
            for m in inputs:
                vacuum = np.multiply.outer(vacuum, m.rows[0])
            total += share * _propagated(t.reshape(-1, n), which, values, inputs, vacuum)
            squares = ((values * vacuum) ** 2).reshape(len(values), -1).sum(axis=1)
            scale += share * float(np.prod([np.sqrt(squares[i]) for i in which]))
            if fine and network is not None and not panels:
                hidden = max(hidden, sum(_hidden(theory, distinct[i], inputs, float(squares[i])) for i in which))
        results.append(total)
    if not np.isfinite(scale):
        raise InputError(f"functions must be finite on all inputs; got a root mean square of {scale}")
    # Functions that vanish at all nodes have no scale.
    change = float(np.abs(results[0] - results[1]).max(initial=0))
    reached = (change / scale + output_expansion.ROUNDING if scale else 0.0) + hidden
    if reached > tolerance:
        raise InputError(
            f"the error of the {n}-point function is {reached:.1e} (relative to the root mean squares), above "
            f"tolerance={tolerance:g}; use times further apart, smooth networks and functions, a larger tolerance, or "
            "sample the theory"
        )
    return np.asarray(results[0].reshape(t.shape[:-1]))


def _on_panels(theory: Theory) -> bool:
    """Whether the panels of one oscillator are adapted to the functions; other grids are fixed."""
    return theory.n_inputs == 1 and theory.all_oscillators


def _values_of(function: Callable[[Floats], ArrayLike], channels: Floats) -> Floats:
    """Values of a given function, shape (...), of channels (..., C)."""
    # The function may work in place.
    try:
        values = np.asarray(function(channels.copy()), dtype=np.float64)
        return np.broadcast_to(values, channels.shape[:-1])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"functions must take channels of shape (..., {channels.shape[-1]}) and return real numbers of shape "
            f"(...); got {error}"
        ) from error


def _hidden(theory: Theory, wanted: Any, inputs: list[Modes], square: float) -> float:
    """Relative error of one function by features of the network that the grids step over."""
    if wanted in theory.channels[: theory.n_inputs]:
        return 0.0
    # A given function may use every output, and its slope is not known: its deviation is that of the outputs.
    network = fixed_network(theory)
    outputs = [theory.outputs.index(wanted)] if isinstance(wanted, str) else range(network.n_outputs)
    return max(hidden_by_modes(network, output, inputs).relative(square) for output in outputs)


def _axes(theory: Theory, evaluate: output_expansion.Function, order: int, *, given: bool) -> list[list[list[Modes]]]:
    """Fine and coarse modes of each input, on each of the shifted grids that paths use in turn."""
    degrees = (order, int(0.7 * order))
    if _on_panels(theory):
        kinks = probes = np.zeros(0)
        spread = float(input_spreads(theory)[0])
        if theory.network is not None:
            kinks, probes = output_expansion.zeros_of_layers(fixed_network(theory), spread)
        if given:
            probes = np.union1d(probes, _SURVEY)

        def scaled(z: Floats) -> Floats:
            return evaluate(z * spread)

        panels = output_expansion.adapt(scaled, kinks, probes)
        rules = [panels.nodes(n, output_expansion.widest_panel(order)) for n in output_expansion.RULES]
        return [
            [[oscillator(theory.omega[0], spread, rule, degree, theory.hbar)]]
            for rule, degree in zip(rules, degrees, strict=True)
        ]
    width, nodes = {1: (12.0, 600), 2: (11.0, 320), 3: (9.5, 112)}[theory.n_inputs]
    levels = list(state_grids.grids(theory, (width, nodes, degrees[0]), (0.85 * width, int(0.7 * nodes), degrees[1])))
    return [[pair[k] for pair in levels] for k in (0, 1)]


def _propagated(times: Floats, which: list[int], values: Floats, inputs: list[Modes], vacuum: Floats) -> Floats:
    """n-point functions at each row of times from values (M, nodes...) on the grid of the inputs."""
    out = np.empty(len(times))
    for b, row in enumerate(times):
        order = np.argsort(row, kind="stable")
        state = vacuum * values[which[order[0]]]
        for earlier, later in pairwise(order):
            dt = row[later] - row[earlier]
            if dt > 0:
                for m in inputs:
                    # Each pass moves the first axis to the end, which restores the order of the axes.
                    state = np.tensordot(np.tensordot(state, m.rows, axes=(0, 1)) * m.decay(dt), m.rows, axes=(-1, 0))
            state = state * values[which[later]]
        out[b] = (state * vacuum).sum()
    return out
