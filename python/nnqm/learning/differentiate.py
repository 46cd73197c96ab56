"""Exact observables of a theory and their derivatives in all of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..exact.inputs import need_few_inputs
from ..exact.output_expansion import fixed_network
from ..statistics.blas import one_blas_thread
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from .grid_observables import GridObservables
from .linear_networks import LinearObservables
from .observables import Observable
from .one_layer import OneLayer
from .parameters import Gradient, learnable

__all__ = ["Differentiated", "differentiate"]

# Methods of evaluation.
_Part: TypeAlias = GridObservables | OneLayer | LinearObservables


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
    # Every method with the positions of the observables that it evaluates.
    _parts: list[tuple[_Part, list[int]]]

    @cached_property
    def errors(self) -> list[float]:
        """Numerical error of each observable, relative to its largest value; computed at the first use.

        The error is the change with other nodes and another number of states, and on grids a bound on features of the
        network that are narrower than the distance of the nodes. It is 0 for closed forms and infinite values.
        """
        out = [0.0] * len(self.observables)
        for part, at in self._parts:
            for i, error in zip(at, part.errors(), strict=True):
                out[i] = error
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
        wanted = _names(self.theory, names)
        given = []
        for i, (what, cotangent) in enumerate(zip(self.observables, cotangents, strict=True)):
            g = np.asarray(cotangent, dtype=np.float64)
            if g.shape != (what.size,) or not np.isfinite(g).all():
                g = floats(f"cotangents[{i}]", cotangent, 1)
                raise InputError(f"cotangents[{i}] must have shape ({what.size},); got {g.shape}")
            given.append(g)
        return self._pull(given, wanted)

    def jacobian(self, names: Sequence[str] | None = None) -> Gradient:
        """Derivatives of all values.

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
        rows: list[Gradient] = [{}] * len(self.observables)
        for part, at in self._parts:
            for i, found in zip(at, _jacobians(part, [self.observables[i].size for i in at], wanted), strict=True):
                rows[i] = found
        return {name: np.concatenate([row[name] for row in rows]) for name in wanted}

    def _pull(self, cotangents: Sequence[Floats], wanted: list[str]) -> Gradient:
        out: Gradient = {}
        for part, at in self._parts:
            given = [cotangents[i] for i in at]
            if out and not any(g.any() for g in given):
                continue
            for name, values in part.pullback(given, wanted).items():
                out[name] = out[name] + values if name in out else values
        return out


@one_blas_thread
def differentiate(theory: Theory, observables: Sequence[Observable]) -> Differentiated:
    r"""Exact observables of a theory with their derivatives in weights and biases, rates, strengths and potentials.

    Observables are sums over a grid of the inputs. The coefficients of a channel in the states of the inputs,
    :math:`c_n = \sum_q w_q h_n(z_q) f(y_q)`, have the derivatives :math:`\partial c_n/\partial f(y_q) = w_q h_n(z_q)`,
    and the derivatives of f follow by the chain rule through the layers. Rates and strengths move the nodes and the
    energies. The sums are differentiated exactly, so that derivatives agree with finite differences to rounding.

    Parameters
    ----------
    theory : Theory
        With fixed weights. More than three inputs are possible for linear networks, and for the two-point function, the
        variance, the commutator, <p^2> and weights of networks with one hidden layer.
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
    if isinstance(theory.network, RandomNetwork):
        fixed_network(theory)  # raises InputError
    linear = [i for i, what in enumerate(listed) if LinearObservables.serves(theory, what)]
    ridges = [i for i, what in enumerate(listed) if i not in linear and OneLayer.serves(theory, what)]
    others = [i for i in range(len(listed)) if i not in linear and i not in ridges]
    parts: list[tuple[_Part, list[int]]] = []
    if linear:
        parts.append((LinearObservables(theory, [listed[i] for i in linear]), linear))
    if ridges:
        parts.append((OneLayer(theory, [listed[i] for i in ridges]), ridges))
    if others:
        need_few_inputs(theory)
        parts.append((GridObservables(theory, [listed[i] for i in others]), others))
    values = [np.zeros(0)] * len(listed)
    for part, at in parts:
        for i, found in zip(at, part.values, strict=True):
            values[i] = found
    return Differentiated(theory, listed, values, parts)


def _jacobians(part: _Part, sizes: Sequence[int], wanted: list[str]) -> list[Gradient]:
    """Derivatives of all values of each observable of a method, (size, P) by name."""
    if isinstance(part, LinearObservables):
        return part.jacobians(wanted)
    zeros, found = [np.zeros(size) for size in sizes], []
    for i, size in enumerate(sizes):
        rows = [part.pullback([*zeros[:i], unit, *zeros[i + 1 :]], wanted) for unit in np.eye(size)]
        found.append({name: np.array([row[name] for row in rows]) for name in wanted})
    return found


def _names(theory: Theory, names: Sequence[str] | None) -> list[str]:
    if names is None:
        return list(learnable(theory))
    known = learnable(theory)
    for name in names:
        if name not in known:
            raise InputError(f"names must be among {', '.join(known)}; got {name!r}")
    return list(names)
