"""Hypothesis strategies for potentials, Hamiltonians, kernels and seed processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .._arguments import choice, floats, integer
from ..errors import InputError
from ..fields.cos_net import CosNet
from ..fields.periodic_box import PeriodicBox
from ..fields.reflection_positive_net import ReflectionPositiveNet
from ..fields.regulator import Regulator
from ..quantum.hamiltonian import Hamiltonian
from ..theories.ground_state import GroundStateProcess, ThermalProcess
from ..theories.ground_state_network import GroundStateNetwork
from ..theories.linear_processes import KarhunenLoeveProcess, SplittingProcess
from ..theories.markov_chain import MarkovChain
from ..theories.networks import Network
from ..theories.source import Source
from ..theories.sources import OrnsteinUhlenbeck, ThermalOrnsteinUhlenbeck, Times
from ..time_networks.decompose import karhunen_loeve
from ..time_networks.emulate import split_network
from ..time_networks.kernels import Kernel

__all__ = ["bounded", "hamiltonians", "kernels", "potentials", "sources"]

Bounds: TypeAlias = tuple[float, float]

# Default range of rates, lengths and strengths: the levels that follow are of the order of 1.
USUAL: Bounds = (0.25, 4.0)
# Potentials that thermal processes use, each of which is solved once in a session.
_FEW = (
    (0.0, 0.0, 0.5),
    (0.0, 0.0, 0.5, 0.0, 1.0),
    (0.0, 0.5, 0.5),
    (0.0, 0.0, 0.0, 0.0, 0.5),
    (1.0, 0.0, -2.0, 0.0, 1.0),
)
# Lengths of the intervals of processes in finite time, whose expansions are computed once each.
_DURATIONS = (1.0, 2.0, 4.0)
# Densities of the weights of networks in time.
_DENSITIES = ("gaussian", "uniform", "laplace", "rademacher")


def bounded(name: str, bounds: Bounds) -> SearchStrategy[float]:
    """Positive numbers between two bounds.

    Parameters
    ----------
    name : str
        Name of the bounds, for messages.
    bounds : (float, float)
        Smallest and largest number, positive.

    Returns
    -------
    SearchStrategy

    Raises
    ------
    InputError
        If the bounds are not positive and ascending.
    """
    pair = floats(name, bounds)
    if pair.shape != (2,) or not 0 < pair[0] <= pair[1]:
        raise InputError(f"{name} must be (a, b) with 0 < a <= b; got {bounds}; {USUAL} is the usual range")
    return st.floats(float(pair[0]), float(pair[1]))


def _quarters(low: int, high: int) -> SearchStrategy[float]:
    return st.integers(low, high).map(lambda n: n / 4)


def potentials(*, degree: int = 6, wells: int = 2) -> SearchStrategy[list[float]]:
    r"""Potentials that bind, as coefficients of polynomials, the constant first.

    Single wells are :math:`V = c_0 + c_1 x + c_2 x^2 + c_3 x^3 + c_4 x^4 + c_6 x^6` with a convex even part. Double
    wells are :math:`V = b\,(x^2/a^2 - 1)^2 + c_1 x` with a barrier b of at most 3. Coefficients are multiples of 1/4
    for readable counterexamples, except in double wells.

    Parameters
    ----------
    degree : {2, 4, 6}
        Largest degree.
    wells : {1, 2}
        Largest number of wells; two need degree 4.

    Returns
    -------
    SearchStrategy
        Strategy of lists of float, for ``Hamiltonian``.

    Raises
    ------
    InputError, InputTypeError
        If the degree is not 2, 4 or 6, or the number of wells is neither 1 nor 2.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(potentials(wells=1), lambda c: len(c) == 5)
    [0.0, 0.0, 0.25, 0.0, 0.25]
    """
    if integer("degree", degree, 2, 6) % 2:
        raise InputError(f"degree must be 2, 4 or 6; got {degree}: an odd potential is not bounded below")
    integer("wells", wells, 1, 2)
    constant, slope, curvature = _quarters(-4, 4), _quarters(-4, 4), _quarters(1, 8)
    parts: list[SearchStrategy[list[float]]] = [st.tuples(constant, slope, curvature).map(list)]
    if degree >= 4:
        # |c_3| <= sqrt(c_2 c_4) keeps V'' = 2 c_2 + 6 c_3 x + 12 c_4 x^2 positive.
        parts.append(
            st.tuples(constant, slope, curvature, st.sampled_from([0.0, 0.5, -0.5]), _quarters(1, 8)).map(
                lambda c: [c[0], c[1], c[2], 2 * c[3] * float(np.sqrt(c[2] * c[4])), c[4]]
            )
        )
    if degree >= 6:
        parts.append(
            st.tuples(constant, slope, curvature, _quarters(0, 4), _quarters(1, 4)).map(
                lambda c: [c[0], c[1], c[2], 0.0, c[3], 0.0, c[4]]
            )
        )
    if wells == 2 and degree >= 4:
        parts.append(
            st.tuples(_quarters(1, 12), _quarters(3, 7), st.sampled_from([0.0, 0.25])).map(
                lambda c: [c[0], c[2], -2 * c[0] / c[1] ** 2, 0.0, c[0] / c[1] ** 4]
            )
        )
    return st.one_of(parts)


def hamiltonians(
    potential: SearchStrategy[Any] | None = None, *, mass: Bounds = (0.5, 2.0), hbar: Bounds = (0.5, 2.0)
) -> SearchStrategy[Hamiltonian]:
    """Hamiltonians p^2/2m + V(x) with bound states.

    Parameters
    ----------
    potential : SearchStrategy, optional
        Potentials that ``Hamiltonian`` takes; ``potentials()`` by default.
    mass, hbar : (float, float)
        Bounds of m and hbar, positive.

    Returns
    -------
    SearchStrategy
        Strategy of ``Hamiltonian``. A draw takes milliseconds, because levels are computed at their first use.

    Raises
    ------
    InputError
        If bounds are not positive and ascending.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(hamiltonians(mass=(1.0, 1.0), hbar=(1.0, 1.0)), lambda h: True).energies(2).round(6)
    array([0.353553, 1.06066 ])
    """
    of_potential = potentials() if potential is None else potential
    return st.builds(Hamiltonian, of_potential, bounded("mass", mass), bounded("hbar", hbar))


def kernels(
    *, positive: bool | None = None, stationary: bool | None = None, rates: Bounds = USUAL
) -> SearchStrategy[Kernel]:
    """Covariance kernels by name.

    Ornstein-Uhlenbeck kernels (open and thermal), root-exponential kernels and Matern kernels of nu <= 1/2 are
    reflection positive: they are completely monotone. Matern kernels of nu > 1, squared exponentials and rational
    quadratics are not, because their paths are smooth. The Wiener process and the Brownian bridge are not stationary,
    and are drawn only if ``positive`` is None.

    Parameters
    ----------
    positive : bool, optional
        True for reflection-positive kernels only, False for the others only; by default all.
    stationary : bool, optional
        Whether K depends on t - s only; by default both.
    rates : (float, float)
        Bounds of omega, sigma, lengths, variances and durations.

    Returns
    -------
    SearchStrategy
        Strategy of ``Kernel``.

    Raises
    ------
    InputError
        If no kernel has the properties, or bounds are not positive and ascending.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, deadline=None, database=None)
    ... @given(kernels(positive=True))
    ... def decreases(kernel):
    ...     assert kernel(0.0, 0.1) < kernel(0.0, 0.0)
    >>> decreases()
    """
    scale = bounded("rates", rates)
    parts: list[SearchStrategy[Kernel]] = []
    if stationary is not False and positive is not False:
        parts += [
            st.builds(Kernel.ornstein_uhlenbeck, scale, scale),
            st.builds(Kernel.ornstein_uhlenbeck, scale, scale, beta=scale),
            st.builds(Kernel.root_exponential, scale, scale),
            st.builds(Kernel.matern, st.floats(0.1, 0.5), scale, scale),
        ]
    if stationary is not False and positive is not True:
        parts += [
            st.builds(Kernel.squared_exponential, scale, scale),
            st.builds(Kernel.matern, st.sampled_from([1.5, 2.5]), scale, scale),
            st.builds(Kernel.matern, st.floats(1.125, 4.0), scale, scale),
            st.builds(Kernel.rational_quadratic, scale, scale, scale),
        ]
    if stationary is not True and positive is None:
        parts += [st.builds(Kernel.wiener, scale), st.builds(Kernel.brownian_bridge, scale, scale)]
    if not parts:
        raise InputError(f"no kernel has positive={positive} and stationary={stationary}; leave positive out")
    return st.one_of(parts)


# ---- seed processes


@st.composite
def _oscillators(draw: Callable[..., Any], rates: Bounds, most: int) -> OrnsteinUhlenbeck:
    n, scale = draw(st.integers(1, most)), bounded("rates", rates)
    omega, sigma = (draw(st.lists(scale, min_size=n, max_size=n)) for _ in range(2))
    return OrnsteinUhlenbeck(omega, sigma)


@st.composite
def _thermal_oscillators(draw: Callable[..., Any], rates: Bounds, most: int) -> ThermalOrnsteinUhlenbeck:
    n, scale = draw(st.integers(1, most)), bounded("rates", rates)
    omega, sigma = (draw(st.lists(scale, min_size=n, max_size=n)) for _ in range(2))
    return ThermalOrnsteinUhlenbeck(omega, sigma, beta=draw(scale))


@st.composite
def _chains(draw: Callable[..., Any], rates: Bounds, most: int, *, lazy: bool) -> MarkovChain:
    """Reversible chains of two to four states: transitions are a symmetric flow divided by its row sums.

    Without flow from a state to itself the trace is 0, so that an eigenvalue is negative; half the time at rest makes
    all of them positive.
    """
    n = draw(st.integers(2, 4))
    values = draw(st.lists(st.integers(-8, 8), min_size=n, max_size=n, unique=True))
    flow = np.zeros((n, n))
    upper = np.triu_indices(n, 1)
    flow[upper] = draw(st.lists(st.integers(1, 8), min_size=len(upper[0]), max_size=len(upper[0])))
    flow += flow.T
    steps = flow / flow.sum(axis=1, keepdims=True)
    if lazy:
        rest = draw(st.sampled_from([0.5, 0.75]))
        steps = rest * np.eye(n) + (1 - rest) * steps
    return MarkovChain(np.array(values) / 4, steps, draw(bounded("rates", rates)))


def _positive_chains(rates: Bounds, most: int) -> SearchStrategy[MarkovChain]:
    return _chains(rates, most, lazy=True)


def _alternating_chains(rates: Bounds, most: int) -> SearchStrategy[MarkovChain]:
    return _chains(rates, most, lazy=False)


def _ground_states(rates: Bounds, most: int) -> SearchStrategy[GroundStateProcess]:
    one = (1.0, 1.0)
    return st.builds(GroundStateProcess, hamiltonians(mass=one, hbar=one), n_grids=st.sampled_from([1, 4]))


@st.composite
def _ground_state_networks(draw: Callable[..., Any], rates: Bounds, most: int) -> GroundStateNetwork:
    width, quarter = draw(st.integers(1, 3)), _quarters(-4, 4)
    first, last, biases = (draw(st.lists(quarter, min_size=width, max_size=width)) for _ in range(3))
    network = Network([np.array(first)[:, None], np.array(last)[None]], [biases, [0.0]], "tanh")
    return GroundStateNetwork(network, confinement=draw(st.sampled_from([1.0, 2.0])), even=draw(st.booleans()))


@lru_cache
def _few_hamiltonians() -> list[Hamiltonian]:
    return [Hamiltonian(coefficients) for coefficients in _FEW]


def _thermal_processes(rates: Bounds, most: int) -> SearchStrategy[ThermalProcess]:
    few = st.deferred(lambda: st.sampled_from(_few_hamiltonians()))
    return st.builds(ThermalProcess, few, st.sampled_from([1.0, 2.0, 3.0]))


@lru_cache
def _expansion(kernel: Kernel, duration: float, n_modes: int) -> Any:
    return karhunen_loeve(kernel, (0.0, duration), n_modes)


def _expansions(rates: Bounds, most: int) -> SearchStrategy[KarhunenLoeveProcess]:
    scale = bounded("rates", rates)
    kernel = st.one_of(st.builds(Kernel.ornstein_uhlenbeck, scale, scale), st.builds(Kernel.wiener, scale))
    expansion = st.builds(_expansion, kernel, st.sampled_from(_DURATIONS), st.integers(1, 12))
    return st.builds(KarhunenLoeveProcess, expansion, st.sampled_from(_DENSITIES))


@lru_cache
def _split(omega: float, duration: float, density: str) -> Any:
    return split_network(Kernel.ornstein_uhlenbeck(omega), duration, 8, density).sources[0]


def _splittings(rates: Bounds, most: int) -> SearchStrategy[SplittingProcess]:
    return st.builds(_split, st.sampled_from([1.0, 0.5]), st.sampled_from(_DURATIONS), st.sampled_from(_DENSITIES))


def _times(rates: Bounds, most: int) -> SearchStrategy[Times]:
    return st.just(Times())


def _boxes(rates: Bounds, most: int) -> SearchStrategy[PeriodicBox]:
    scale = bounded("rates", rates)
    dispersion = st.sampled_from(["lattice", "continuum"])
    return st.builds(PeriodicBox, scale, st.integers(1, most), scale, dispersion)


def _points(most: int) -> SearchStrategy[list[float]]:
    return st.lists(_quarters(-8, 8), min_size=1, max_size=most, unique=True)


def _cos_nets(rates: Bounds, most: int) -> SearchStrategy[CosNet]:
    regulator = st.builds(Regulator, st.just("gaussian"), st.sampled_from([5.0, 20.0]))
    arguments = {"alpha": st.sampled_from([0.0, 0.5]), "regulator": regulator, "points": _points(most)}
    return st.builds(CosNet, st.just(2), bounded("rates", rates), st.integers(1, 8), **arguments)


def _positive_nets(rates: Bounds, most: int) -> SearchStrategy[ReflectionPositiveNet]:
    width, cutoff = st.integers(1, 8), st.sampled_from([5.0, 20.0])
    return st.builds(ReflectionPositiveNet, st.just(2), bounded("rates", rates), width, cutoff, points=_points(most))


@dataclass(frozen=True)
class _Kind:
    """A kind of processes, how to draw one with rates and inputs in bounds, and what each of them says of itself."""

    name: str
    draw: Callable[[Bounds, int], SearchStrategy[Source]]
    markov: bool
    positive: bool
    stationary: bool = True
    closed: bool = False


_KINDS: Sequence[_Kind] = (
    _Kind("ornstein-uhlenbeck", _oscillators, markov=True, positive=True),
    _Kind("markov-chain", _positive_chains, markov=True, positive=True),
    _Kind("markov-chain", _alternating_chains, markov=True, positive=False),
    _Kind("ground-state", _ground_states, markov=True, positive=True),
    _Kind("ground-state-network", _ground_state_networks, markov=True, positive=True),
    _Kind("thermal-ornstein-uhlenbeck", _thermal_oscillators, markov=False, positive=True, closed=True),
    _Kind("thermal", _thermal_processes, markov=False, positive=True, closed=True),
    _Kind("karhunen-loeve", _expansions, markov=False, positive=False, stationary=False),
    _Kind("splitting", _splittings, markov=False, positive=True, stationary=False),
    _Kind("times", _times, markov=False, positive=False, stationary=False),
    _Kind("periodic-box", _boxes, markov=True, positive=True),
    _Kind("cos-net", _cos_nets, markov=False, positive=False),
    _Kind("reflection-positive-net", _positive_nets, markov=False, positive=True),
)


def sources(
    *,
    kinds: Iterable[str] | None = None,
    markov: bool | None = None,
    positive: bool | None = None,
    stationary: bool | None = None,
    closed: bool | None = None,
    max_inputs: int = 3,
    rates: Bounds = USUAL,
) -> SearchStrategy[Source]:
    """Seed processes of every built-in kind.

    Flags select by what a process says of itself; None, the default, allows both.

    Parameters
    ----------
    kinds : iterable of str, optional
        Names of kinds (``Source.kind``), all by default: ornstein-uhlenbeck, markov-chain, ground-state,
        ground-state-network, thermal-ornstein-uhlenbeck, thermal, karhunen-loeve, splitting, times, and the fields
        periodic-box, cos-net and reflection-positive-net.
    markov : bool, optional
        Whether the process is Markov (``Source.markov``). Ground-state processes on several grids count as Markov.
    positive : bool, optional
        Whether the process is reflection positive by construction (``Source.positive_because``). Chains are drawn of
        both sorts: with a negative eigenvalue and without.
    stationary : bool, optional
        Whether the law is the same at all times.
    closed : bool, optional
        Whether paths close after a period.
    max_inputs : int, default 3
        Largest number of inputs of processes that can have several.
    rates : (float, float)
        Bounds of omega, sigma, masses, periods and time steps; potentials have levels of the order of 1.

    Returns
    -------
    SearchStrategy
        Strategy of ``Source``.

    Raises
    ------
    InputError, InputTypeError
        If a kind is unknown, no kind has the properties, or bounds are not positive and ascending.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(sources(positive=False, stationary=True), lambda s: True)
    MarkovChain(2 states, dt=1)
    """
    most = integer("max_inputs", max_inputs, 1)
    bounded("rates", rates)
    names = {kind.name for kind in _KINDS}
    wanted = names if kinds is None else {choice("kinds", name, names) for name in kinds}
    asked = {"markov": markov, "positive": positive, "stationary": stationary, "closed": closed}
    parts = [
        kind.draw(rates, most)
        for kind in _KINDS
        if kind.name in wanted and all(flag is None or flag == getattr(kind, name) for name, flag in asked.items())
    ]
    if not parts:
        flags = ", ".join(f"{name}={flag}" for name, flag in asked.items() if flag is not None)
        raise InputError(f"no source of {sorted(wanted)} has {flags}; leave some of them out")
    return st.one_of(parts)
