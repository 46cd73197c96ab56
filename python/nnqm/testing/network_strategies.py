"""Hypothesis strategies for networks and theories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .._arguments import choice, integer
from ..errors import InputError
from ..theories.network import ACTIVATIONS
from ..theories.networks import Network, RandomNetwork
from ..theories.source import Source
from ..theories.theory import Theory
from .source_strategies import Bounds, bounded, sources

__all__ = ["networks", "random_networks", "theories"]

# Densities with all moments.
_DENSITIES = ("gaussian", "uniform", "laplace", "rademacher")


def _sizes(name: str, given: int | SearchStrategy[int], most: int) -> SearchStrategy[int]:
    if isinstance(given, SearchStrategy):
        return given
    return st.just(integer(name, given, 1)) if given else st.integers(1, most)


def _names(activations: Iterable[str] | None) -> list[str]:
    names = ACTIVATIONS if activations is None else [choice("activations", name, ACTIVATIONS) for name in activations]
    if not names:
        raise InputError(f"activations must have at least one name; choose from {', '.join(ACTIVATIONS)}")
    return list(names)


@st.composite
def networks(
    draw: Callable[..., Any],
    *,
    n_inputs: int | SearchStrategy[int] = 0,
    n_outputs: int | SearchStrategy[int] = 0,
    max_hidden: int = 3,
    max_width: int = 8,
    activations: Iterable[str] | None = None,
    last: Iterable[str] | None = None,
    weight_std: float = 1.0,
) -> Network:
    r"""Fixed networks of any depth, widths and activations.

    Weights are normal with standard deviation ``weight_std``/sqrt(fan-in), biases with half of ``weight_std``. They
    come from NumPy's generator with a drawn seed: a counterexample shrinks in its widths, activations and seed.

    Parameters
    ----------
    n_inputs, n_outputs : int or SearchStrategy, default 0
        Numbers of inputs and of outputs; 0 stands for 1 to 3.
    max_hidden : int, default 3
        Largest number of hidden layers; 0 allows affine networks only, up to the last activation.
    max_width : int, default 8
        Largest number of neurons of a hidden layer.
    activations : iterable of str, optional
        Names of the activations of hidden layers; all by default.
    last : iterable of str, optional
        Names of the activations of the last layer; by default those of the hidden layers.
    weight_std : float, default 1
        Scale of the weights.

    Returns
    -------
    SearchStrategy
        Strategy of ``Network``.

    Raises
    ------
    InputError, InputTypeError
        At the first draw, if a name is unknown or a size is not valid.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(networks(n_inputs=2, n_outputs=1, last=["identity"]), lambda net: len(net.activations) == 2)
    Network(2-1-1, identity)
    """
    hidden = draw(st.lists(st.integers(1, integer("max_width", max_width, 1)), max_size=max_hidden))
    widths = [draw(_sizes("n_inputs", n_inputs, 3)), *hidden, draw(_sizes("n_outputs", n_outputs, 3))]
    inner = _names(activations)
    final = inner if last is None else _names(last)
    names = [draw(st.sampled_from(inner)) for _ in hidden] + [draw(st.sampled_from(final))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = [weight_std * rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(widths)]
    biases = [0.5 * weight_std * rng.normal(size=o) for o in widths[1:]]
    return Network(weights, biases, names)


@st.composite
def random_networks(
    draw: Callable[..., Any],
    *,
    n_inputs: int | SearchStrategy[int] = 0,
    n_outputs: int | SearchStrategy[int] = 0,
    max_hidden: int = 2,
    max_width: int = 8,
    activations: Iterable[str] | None = None,
    groups: Iterable[int] = (1, 2, 8),
) -> RandomNetwork:
    """Networks whose weights are drawn from densities with all moments.

    Parameters
    ----------
    n_inputs, n_outputs : int or SearchStrategy, default 0
        Numbers of inputs and of outputs; 0 stands for 1 to 3.
    max_hidden : int, default 2
        Largest number of hidden layers.
    max_width : int, default 8
        Largest number of neurons of a hidden layer.
    activations : iterable of str, optional
        Names of the activations of hidden layers; all by default. The last layer is linear.
    groups : iterable of int, default (1, 2, 8)
        Numbers of successive paths that share their weights; divisors or multiples of 64.

    Returns
    -------
    SearchStrategy
        Strategy of ``RandomNetwork``.

    Raises
    ------
    InputError, InputTypeError
        At the first draw, if a name is unknown or a number is not valid.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(random_networks(n_inputs=1, n_outputs=1, activations=["tanh"]), lambda net: len(net.widths) == 3)
    RandomNetwork(1-1-1, tanh, gaussian)
    """
    hidden = draw(st.lists(st.integers(1, integer("max_width", max_width, 1)), max_size=max_hidden))
    widths = [draw(_sizes("n_inputs", n_inputs, 3)), *hidden, draw(_sizes("n_outputs", n_outputs, 3))]
    inner = _names(activations)
    density = st.sampled_from(_DENSITIES)
    return RandomNetwork(
        widths,
        [*(draw(st.sampled_from(inner)) for _ in hidden), "identity"],
        weights=draw(density),
        biases=draw(density),
        weight_std=draw(st.sampled_from([1.0, 0.5, 2.0])),
        bias_std=draw(st.sampled_from([0.5, 0.0, 1.0])),
        group=draw(st.sampled_from(list(groups))),
    )


@st.composite
def theories(
    draw: Callable[..., Any],
    source: SearchStrategy[Source] | None = None,
    network: SearchStrategy[Network | RandomNetwork | None] | None = None,
    *,
    positive: bool | None = None,
    stationary: bool | None = None,
    closed: bool | None = None,
    random_weights: bool | None = None,
    constants: Bounds = (0.5, 2.0),
) -> Theory:
    """Theories: one or two seed processes, with or without a network.

    Parameters
    ----------
    source : SearchStrategy, optional
        Seed processes, one of which each theory has; by default ``sources`` with the same flags, and in some theories
        an Ornstein-Uhlenbeck process beside it.
    network : SearchStrategy, optional
        Networks, or None for theories without one. They must take the inputs of the sources: give ``source`` a fixed
        number of inputs. By default networks of bounded activations that fit.
    positive, stationary, closed : bool, optional
        As for ``sources``; of networks with random weights the same is true for every draw of the weights.
    random_weights : bool, optional
        Whether the network is a ``RandomNetwork``; by default some are.
    constants : (float, float)
        Bounds of hbar and mass, where the source has none of its own.

    Returns
    -------
    SearchStrategy
        Strategy of ``Theory``.

    Raises
    ------
    InputError, InputTypeError
        At the first draw, if no source has the properties or a network does not fit.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, deadline=None, database=None)
    ... @given(theories(positive=True, stationary=True))
    ... def is_positive(theory):
    ...     assert theory.positive_because
    >>> is_positive()
    """
    one = source if source is not None else sources(positive=positive, stationary=stationary, closed=closed)
    listed = [draw(one)]
    first = listed[0]
    joins = source is None and first.stationary and first.period is None and first.input_points is None
    if joins and draw(st.integers(0, 3)) == 3:
        listed.append(draw(sources(kinds=["ornstein-uhlenbeck"], max_inputs=2)))
    known = first.constants
    hbar, mass = known if known is not None else (draw(bounded("constants", constants)) for _ in range(2))
    chosen = draw(network) if network is not None else draw(_fitting(listed, random_weights))
    return Theory(listed, chosen, hbar=hbar, mass=mass)


def _fitting(listed: list[Source], random_weights: bool | None) -> SearchStrategy[Network | RandomNetwork | None]:
    """Networks that take the inputs of given sources."""
    inputs = sum(source.n_inputs for source in listed)
    group = max(source.shared_by for source in listed)
    smooth = ("tanh", "sin", "erf")
    fixed = networks(n_inputs=inputs, max_hidden=2, activations=smooth)
    drawn = random_networks(
        n_inputs=inputs, max_hidden=1, activations=smooth, groups=(group,) if group > 1 else (1, 2, 8)
    )
    if random_weights is True:
        return drawn
    return st.one_of(st.none(), fixed) if random_weights is False else st.one_of(st.none(), fixed, drawn)
