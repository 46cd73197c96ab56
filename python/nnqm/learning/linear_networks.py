r"""Exact observables of linear networks on any number of Ornstein-Uhlenbeck inputs, and their derivatives.

A linear function x = A y + b of independent inputs is a Gaussian process,

.. math:: \langle x(0) x(t)\rangle - b^2 = \sum_i q_i e^{-\omega_i |t|}, \qquad q_i = A_i^2 \sigma_i^2/(2\omega_i),

whose moments and n-point functions follow from its two-point function (Isserlis, Biometrika 12, 134 (1918)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..theories.networks import Network
from ..theories.theory import Theory
from .observables import (
    Commutator,
    Gaps,
    Moments,
    MomentumSquared,
    NPoint,
    Observable,
    SpectralWeights,
    TwoPoint,
)
from .parameters import Gradient

__all__ = ["LinearObservables"]

# Largest number of points of a function: the number of pairings grows as its factorial.
_MOST_POINTS = 10
# Relative error of closed forms.
_ROUNDING = 1e-13


class LinearObservables:
    """Observables of linear networks, or of theories without a network, on Ornstein-Uhlenbeck inputs.

    Parameters
    ----------
    theory : Theory
    observables : sequence of Observable
        All served.

    Attributes
    ----------
    values : list of ndarray
    """

    @staticmethod
    def serves(theory: Theory, what: Observable) -> bool:
        """Whether the network is linear or absent, and the observable is one of a channel."""
        network = theory.network
        linear = network is None or (isinstance(network, Network) and set(network.activations) == {"identity"})
        return linear and theory.all_oscillators and not isinstance(what, Gaps)

    def __init__(self, theory: Theory, observables: Sequence[Observable]) -> None:
        self._observables = observables
        self._channels = [_Channel(theory, what.channel) for what in observables if not isinstance(what, Gaps)]
        self.values = [c.evaluate(what) for c, what in zip(self._channels, observables, strict=True)]

    def errors(self) -> list[float]:
        """Relative numerical errors: the rounding of closed forms."""
        return [_ROUNDING] * len(self._observables)

    def pullback(self, cotangents: Sequence[Floats], names: Sequence[str]) -> Gradient:
        """Derivatives of a weighted sum of all values by name."""
        parts = [
            c.pull_back(what, g[None])
            for c, what, g in zip(self._channels, self._observables, cotangents, strict=True)
            if g.any()
        ] or [self._channels[0].pull_back(self._observables[0], np.zeros((1, self._observables[0].size)))]
        return {name: np.sum([part[name][0] for part in parts], axis=0) for name in names}

    def jacobians(self, names: Sequence[str]) -> list[Gradient]:
        """Derivatives of all values of each observable, (size, P) by name."""
        found = [
            c.pull_back(what, np.eye(what.size)) for c, what in zip(self._channels, self._observables, strict=True)
        ]
        return [{name: rows[name] for name in names} for rows in found]


@dataclass(frozen=True)
class _Bars:
    """Derivatives of R numbers with respect to the weights q and the rates, (R, D), and the mean, (R,)."""

    weights: Floats
    rates: Floats
    mean: Floats


class _Channel:
    """One channel of a linear theory: weights q_i of the inputs, and the mean.

    Parameters
    ----------
    theory : Theory
    channel : int or str
        Position among the outputs, or the name of any channel.
    """

    def __init__(self, theory: Theory, channel: int | str) -> None:
        self.theory = theory
        column = theory.channels.index(theory.channel_name(channel))
        self._column = column if theory.network is None else column - theory.n_inputs
        self._direct = theory.network is None or self._column < 0
        if self._direct:
            self._row, self._mean = np.eye(theory.n_inputs)[column], 0.0
        else:
            assert isinstance(theory.network, Network)
            row, mean = np.eye(theory.n_outputs)[self._column], 0.0
            for weights, biases in zip(reversed(theory.network.weights), reversed(theory.network.biases), strict=True):
                mean += float(row @ biases)
                row = row @ weights
            self._row, self._mean = row, mean
        self._rates, self._sigma = np.array(theory.omega), np.array(theory.sigma)
        self._spreads = self._sigma**2 / (2 * self._rates)
        self._q = self._row**2 * self._spreads

    def evaluate(self, what: Observable) -> Floats:
        """Values of an observable, shape (size,).

        Parameters
        ----------
        what : Observable
            Any but ``Gaps``.

        Returns
        -------
        ndarray

        Raises
        ------
        InputError
            If the observable has states of another number of inputs, or too many points.
        """
        q, w, m, hbar = self._q, self._rates, self.theory.mass, self.theory.hbar
        if isinstance(what, TwoPoint):
            return np.asarray(np.exp(-np.outer(what.times, w)) @ q + (0.0 if what.connected else self._mean**2))
        if isinstance(what, SpectralWeights):
            return np.array([self._mean**2 if i is None else 0.0 if i < 0 else q[i] for i in self._states(what)])
        if isinstance(what, Moments):
            total = float(q.sum())
            return np.array([self._mean if k == 1 else _normal_moment(k) * total ** (k // 2) for k in what.orders])
        if isinstance(what, Commutator):
            return np.array([2 * m / hbar * float(w @ q)])
        if isinstance(what, MomentumSquared):
            return np.array([m**2 * float(w**2 @ q)])
        assert isinstance(what, NPoint)
        return self._pairings(what)[0]

    def pull_back(self, what: Observable, cotangents: Floats) -> Gradient:
        """Derivatives of weighted sums of the values of an observable by name, in all learnable parameters.

        Parameters
        ----------
        what : Observable
            Any but ``Gaps``.
        cotangents : ndarray
            Weights of the values, one row per sum, shape (R, size).

        Returns
        -------
        dict
            Arrays of shape (R, P), P the number of parameters of the name.
        """
        bars = self._bars(what, cotangents)
        out: Gradient = {}
        if isinstance(self.theory.network, Network):
            rows = 2 * bars.weights * self._row * self._spreads
            out["network"] = np.concatenate([rows, bars.mean[:, None]], axis=1) @ self._of_network
        out["omega"] = bars.rates - bars.weights * self._q / self._rates
        out["sigma"] = 2 * bars.weights * self._q / self._sigma
        return out

    @cached_property
    def _of_network(self) -> Floats:
        """Derivatives of the entries of the row A and of the mean in the parameters of the network, (D + 1, P)."""
        network, d = self.theory.network, self.theory.n_inputs
        assert isinstance(network, Network)
        if self._direct:
            return np.zeros((d + 1, network.parameters.size))
        # The row A is f at the unit vectors less f at zero, the mean is f at zero.
        points, found = np.concatenate([np.eye(d), np.zeros((1, d))]), []
        for i in range(d + 1):
            u = np.zeros((d + 1, network.n_outputs))
            u[d, self._column] = -1.0
            u[i, self._column] = 1.0
            found.append(network.pullback(points, u)[0])
        return np.array(found)

    def _bars(self, what: Observable, g: Floats) -> _Bars:
        """Derivatives of sums with the weights g, shape (R, size)."""
        q, w, m, hbar = self._q, self._rates, self.theory.mass, self.theory.hbar
        zero, none = np.zeros((len(g), len(q))), np.zeros(len(g))
        if isinstance(what, TwoPoint):
            decays = np.exp(-np.outer(what.times, w))
            mean = none if what.connected else 2 * self._mean * g.sum(axis=1)
            return _Bars(g @ decays, -q * ((g * what.times) @ decays), mean)
        if isinstance(what, SpectralWeights):
            for j, i in enumerate(self._states(what)):
                if i is None:
                    none = none + 2 * self._mean * g[:, j]
                elif i >= 0:
                    zero[:, i] += g[:, j]
            return _Bars(zero, np.zeros_like(zero), none)
        if isinstance(what, Moments):
            total, slope = float(q.sum()), np.zeros(len(g))
            for j, k in enumerate(what.orders):
                if k == 1:
                    none = none + g[:, j]
                elif k % 2 == 0:
                    slope += g[:, j] * _normal_moment(k) * (k // 2) * total ** (k // 2 - 1)
            return _Bars(zero + slope[:, None], zero, none)
        if isinstance(what, Commutator):
            return _Bars(g * 2 * m / hbar * w, g * 2 * m / hbar * q, none)
        if isinstance(what, MomentumSquared):
            return _Bars(g * m**2 * w**2, g * 2 * m**2 * w * q, none)
        assert isinstance(what, NPoint)
        _, pairs, mean_slopes = self._pairings(what)
        lags = np.abs(what.times[:, :, None] - what.times[:, None, :])
        decays = pairs[..., None] * np.exp(-lags[..., None] * w)
        return _Bars(
            g @ decays.sum(axis=(1, 2)),
            -q * (g @ (lags[..., None] * decays).sum(axis=(1, 2))),
            g @ mean_slopes,
        )

    def _states(self, what: SpectralWeights) -> list[int | None]:
        """The input of each state with one quantum; None for the vacuum, -1 for states without weight."""
        d = self.theory.n_inputs
        if isinstance(what.states, int):
            if d != 1:
                raise InputError(f"states must be a matrix (K, {d}) for {d} inputs; got {what.states}")
            return [0, *[-1] * (what.states - 1)]
        if len(what.states[0]) != d:
            raise InputError(f"states must have {d} columns, one per input; got {len(what.states[0])}")
        found: list[int | None] = []
        for state in what.states:
            total = sum(state)
            found.append(None if total == 0 else state.index(1) if total == 1 else -1)
        return found

    def _pairings(self, what: NPoint) -> tuple[Floats, Floats, Floats]:
        """n-point functions (K,), and their derivatives in the covariances of pairs j < k (K, n, n) and in the mean."""
        n = what.times.shape[1]
        if n > _MOST_POINTS:
            raise InputError(f"n-point functions of linear networks have at most {_MOST_POINTS} times; got {n}")
        lags = np.abs(what.times[:, :, None] - what.times[:, None, :])
        covariance = np.exp(-lags[..., None] * self._rates) @ self._q
        known: dict[int, Floats] = {0: np.ones(len(lags))}

        def average(points: int) -> Floats:
            if points not in known:
                first = (points & -points).bit_length() - 1
                rest = points & (points - 1)
                total = self._mean * average(rest)
                for k in range(first + 1, n):
                    if rest >> k & 1:
                        total = total + covariance[:, first, k] * average(rest & ~(1 << k))
                known[points] = total
            return known[points]

        everything = (1 << n) - 1
        pairs, means = np.zeros(lags.shape), np.zeros(len(lags))
        for j in range(n):
            means += average(everything & ~(1 << j))
            for k in range(j + 1, n):
                pairs[:, j, k] = average(everything & ~(1 << j) & ~(1 << k))
        return average(everything), pairs, means


def _normal_moment(order: int) -> float:
    """Moment of a standard normal number: (k - 1)!! or 0."""
    return 0.0 if order % 2 else float(np.prod(np.arange(1, order, 2)))
