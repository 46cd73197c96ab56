r"""Exact observables of one hidden layer on any number of oscillators, and their derivatives.

A neuron :math:`a(w\cdot y + b)` is a function of one standard normal variable, :math:`\hat a\cdot z`, with
:math:`a_i = w_i s_i` and Hermite coefficients C_n. Pairs of neurons have the correlation

.. math:: \rho_{jk}(t) = \sum_i \hat a_{ji} \hat a_{ki} e^{-\omega_i t}, \qquad
          G(t) = \sum_{jk} v_j v_k \sum_n C_{jn} C_{kn}\, \rho_{jk}(t)^n ,

so that no grid of several inputs is needed (Mehler's formula). Pairs of relu neurons have closed forms in place of the
sum over n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..exact.relu_layers import orthants
from ..theories.networks import Network
from ..theories.state_modes import density
from ..theories.theory import Theory
from .grid_observables import RULES_OF_INPUTS, WIDE, relative_change
from .grid_sums import KINKED_MOMENTUM
from .input_grids import Rule, rule_nodes
from .observables import Commutator, Gaps, Moments, MomentumSquared, NPoint, Observable, SpectralWeights, TwoPoint
from .parameters import Gradient

__all__ = ["OneLayer"]

# Largest number of neurons for which pairs of neurons are faster than a grid of two or three inputs.
_FEW_NEURONS = 64
# Largest fraction of E a^2 of a neuron beyond the highest polynomial, and largest relative change of E a^2 when every
# second node is left out.
_BEYOND, _CHANGE = 1e-11, 1e-5
# Relative size of coefficients that are left out.
_NEGLIGIBLE = 1e-15
# Size of the weights of a neuron, in standard deviations, below which it is linear.
_LINEAR = 1e-9
# Distance of correlations from 1 at which two neurons are functions of the same variable.
_SAME = 1e-13


def _cumulative(x: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


@dataclass
class _Bars:
    """Derivatives with respect to output weights v and bias, sizes r, biases b, directions and rates."""

    v: Floats
    r: Floats
    b: Floats
    direction: Floats
    omega: Floats
    offset: float = 0.0
    # With respect to the coefficients C, shape (H, N + 1), summed over channels.
    coefficients: Floats = field(default_factory=lambda: np.zeros(0))


class OneLayer:
    """Observables of the outputs of a network with one hidden layer on Ornstein-Uhlenbeck inputs.

    Parameters
    ----------
    theory : Theory
    observables : sequence of Observable
        All served.
    finer : int, default 0
        Number of rules of one variable that are skipped, for error estimates.

    Attributes
    ----------
    values : list of ndarray
    """

    @staticmethod
    def serves(theory: Theory, what: Observable) -> bool:
        """Whether an observable of a theory is a sum over pairs of neurons, and this is the better method."""
        network = theory.network
        if not isinstance(network, Network) or not theory.all_oscillators or theory.n_inputs < 2:
            return False
        if len(network.weights) != 2 or network.activations[1] != "identity":
            return False
        if not isinstance(what, TwoPoint | SpectralWeights | Moments | Commutator | MomentumSquared):
            return False
        if isinstance(what, Moments) and max(what.orders) > 2:
            return False
        if theory.channel_name(what.channel) not in theory.outputs:
            return False
        return theory.n_inputs > 3 or network.activations[0] == "relu" or network.widths[1] <= _FEW_NEURONS

    def __init__(self, theory: Theory, observables: Sequence[Observable], finer: int = 0) -> None:
        network = theory.network
        assert isinstance(network, Network)
        self._theory, self._network, self._observables = theory, network, observables
        self._omega = np.array(theory.omega)
        self._spreads = np.array(theory.sigma) / np.sqrt(2 * self._omega)
        a = network.weights[0] * self._spreads
        size = np.sqrt((a**2).sum(axis=1))
        self._linear = size < _LINEAR
        self._r, self._b = np.maximum(size, _LINEAR), network.biases[0]
        self._direction = a / self._r[:, None]
        self._relu = network.activations[0] == "relu"
        most = max((sum(n) for w in observables for n in self._states(w)), default=0)
        if self._relu:
            self._c, self._slopes = _relu_coefficients(self._r, self._b, most + 1)
        else:
            self._expand(most, finer)
        self._outputs = [theory.outputs.index(theory.channel_name(w.channel)) for w in observables]  # type: ignore[union-attr]
        self.values = [
            self._value(w, network.weights[1][c], c) for w, c in zip(observables, self._outputs, strict=True)
        ]

    def _states(self, what: Observable) -> tuple[tuple[int, ...], ...]:
        if not isinstance(what, SpectralWeights):
            return ()
        dimension = self._theory.n_inputs
        if isinstance(what.states, int) or len(what.states[0]) != dimension:
            raise InputError(
                f"states must be a matrix of the numbers of the states of {dimension} inputs, shape (K, {dimension}); "
                f"got {what.states}"
            )
        return what.states

    def _expand(self, order: int, finer: int) -> None:
        """Coefficients of all neurons by the trapezoid rule in one variable."""
        self._neurons = Network([self._r[:, None]], [self._b], [self._network.activations[0]])
        rules: Sequence[Rule] = RULES_OF_INPUTS[1]
        skipped = 0
        for rule in rules:
            found = rule_nodes(1, (rule[0], WIDE[1], max(rule[2], order)))
            values = self._neurons(found.nodes)
            square, change = found.weights @ values**2, found.thinning[:, 0] @ values**2
            self._c = np.ascontiguousarray((found.projection @ values).T)
            self._rule = found
            beyond = square - (self._c**2).sum(axis=1)
            if (beyond <= _BEYOND * square).all() and (np.abs(change) <= _CHANGE * square).all():
                if skipped >= finer:
                    break
                skipped += 1
        # Higher coefficients do not contribute.
        kept = np.flatnonzero(np.abs(self._c).max(axis=0) > _NEGLIGIBLE * np.abs(self._c).max())
        self._count = max(int(kept[-1]) + 1 if kept.size else 1, order + 1)
        self._c = self._c[:, : self._count]

    def errors(self) -> list[float]:
        """Relative error of each observable: the change with a finer rule; rounding for closed forms."""
        if self._relu:
            return [relative_change(found, found) for found in self.values]
        others = OneLayer(self._theory, self._observables, finer=1).values
        return [relative_change(found, other) for found, other in zip(self.values, others, strict=True)]

    # Correlations of pairs of neurons, shape (T, H, H), and sums with other factors per input.

    def _pairs(self, factors: Floats) -> Floats:
        """sum_i factor_i a_ji a_ki over the inputs, for factors of shape (T, D): (T, H, H)."""
        scaled = self._direction * factors[:, None, :]
        return np.asarray(scaled @ self._direction.T)

    def _correlations(self, times: Floats) -> Floats:
        rho = self._pairs(np.exp(-np.multiply.outer(times, self._omega)))
        if self._relu:
            rho = np.where(np.abs(rho) > 1 - _SAME, np.sign(rho), rho)
        return rho

    def _back_pairs(self, bar: Floats, factors: Floats, bars: _Bars) -> Floats:
        """Add derivatives with respect to the directions; returns those with respect to the factors, (T, D)."""
        inner = bar @ self._direction
        bars.direction += 2 * (inner * factors[:, None, :]).sum(axis=0)
        return np.asarray((inner * self._direction).sum(axis=1))

    # Values.

    def _mean(self, v: Floats, output: int) -> float:
        return float(v @ self._c[:, 0] + self._network.biases[1][output])

    def _value(self, what: Observable, v: Floats, output: int) -> Floats:
        theory = self._theory
        if isinstance(what, TwoPoint):
            connected = self._connected(what.times, v)
            return connected if what.connected else connected + self._mean(v, output) ** 2
        if isinstance(what, Moments):
            variance = float(self._connected(np.zeros(1), v)[0]) if 2 in what.orders else 0.0
            return np.array([self._mean(v, output) if n == 1 else variance for n in what.orders])
        if isinstance(what, SpectralWeights):
            return np.array([self._amplitude(n, v, output) ** 2 for n in self._states(what)])
        rho, first, second = (self._pairs(self._omega[None] ** p)[0] for p in range(3))
        if isinstance(what, MomentumSquared):
            if self._relu:
                return np.array([np.inf])
            return np.array([theory.mass**2 * self._by_energy(v, rho, first, second, None)])
        scale = 2 * theory.mass / theory.hbar
        if self._relu:
            outer = np.outer(v * self._r, v * self._r)
            return np.array([scale * float((outer * first * self._orthants(rho)).sum())])
        return np.array([scale * self._by_energy(v, rho, first, None, None)])

    def _orthants(self, rho: Floats) -> Floats:
        clipped = np.where(np.abs(rho) > 1 - _SAME, np.sign(rho), rho)
        return orthants(self._b / self._r, clipped)

    def _amplitude(self, state: tuple[int, ...], v: Floats, output: int) -> float:
        n = sum(state)
        if n == 0:
            return self._mean(v, output)
        return float((v * self._c[:, n]) @ self._product(state))

    def _product(self, state: tuple[int, ...]) -> Floats:
        """sqrt(n!/alpha!) prod_i a_i^alpha_i of the directions of all neurons, shape (H,)."""
        return np.asarray(_multinomial(state) * np.prod(self._direction ** np.array(state), axis=1))

    def _connected(self, times: Floats, v: Floats) -> Floats:
        rho = self._correlations(times)
        if self._relu:
            pair = np.stack([_relu_pair(self._b / self._r, one)[0] for one in rho])
            scaled = v * self._r
            return np.asarray(pair @ scaled @ scaled - (v @ self._c[:, 0]) ** 2)
        b = v[:, None] * self._c
        out, power = np.zeros(len(times)), rho.copy()
        for n in range(1, self._count):
            out += (power @ b[:, n]) @ b[:, n]
            power *= rho
        return out

    def _by_energy(
        self, v: Floats, rho: Floats, first: Floats, second: Floats | None, bars: tuple[Floats, list[Floats]] | None
    ) -> float:
        """Sums of c^2 times the energy over hbar, or with ``second`` times its square; adds derivatives to ``bars``.

        The derivatives are with respect to v C, shape (H, N + 1), and to the three matrices.
        """
        b, total = v[:, None] * self._c, 0.0
        below2, below = np.zeros_like(rho), np.ones_like(rho)
        below3 = np.zeros_like(rho)
        for n in range(1, self._count):
            kernel = n * below * (first if second is None else second)
            if second is not None:
                kernel += n * (n - 1) * below2 * first**2
            acted = kernel @ b[:, n]
            total += float(b[:, n] @ acted)
            if bars is not None:
                by_b, (by_rho, by_first, by_second) = bars[0], bars[1]
                by_b[:, n] += 2 * acted
                pair = np.outer(b[:, n], b[:, n])
                if second is None:
                    by_rho += n * (n - 1) * below2 * first * pair
                    by_first += n * below * pair
                else:
                    by_rho += n * (n - 1) * ((n - 2) * below3 * first**2 + below2 * second) * pair
                    by_first += 2 * n * (n - 1) * below2 * first * pair
                    by_second += n * below * pair
            below3, below2, below = below2, below, below * rho
        return total

    # Derivatives.

    def pullback(self, cotangents: Sequence[Floats], wanted: Sequence[str]) -> Gradient:
        """Derivatives of the sum of all products of cotangents and values, by name."""
        w1, w2 = self._network.weights
        total = _Bars(
            v=np.zeros_like(w2),
            r=np.zeros(len(w1)),
            b=np.zeros(len(w1)),
            direction=np.zeros_like(w1),
            omega=np.zeros(len(self._omega)),
            coefficients=np.zeros_like(self._c),
        )
        offsets = np.zeros(len(w2))
        for what, output, g in zip(self._observables, self._outputs, cotangents, strict=True):
            if g.any():
                total.offset = 0.0
                total.v[output] += self._back(what, w2[output], output, g, total)
                offsets[output] += total.offset
        self._back_coefficients(total)
        along = (total.direction * self._direction).sum(axis=1, keepdims=True)
        by_size = np.where(self._linear, 0.0, total.r)[:, None] * self._direction
        turned = np.where(self._linear[:, None], total.direction, total.direction - along * self._direction)
        by_a = by_size + turned / self._r[:, None]
        by_spread = (by_a * w1).sum(axis=0)
        found = {
            "network": np.concatenate([(by_a * self._spreads).ravel(), total.b, total.v.ravel(), offsets]),
            "omega": total.omega - by_spread * self._spreads / (2 * self._omega),
            "sigma": by_spread * self._spreads / np.array(self._theory.sigma),
        }
        return {name: found[name] for name in wanted}

    def _back_coefficients(self, bars: _Bars) -> None:
        bar = bars.coefficients
        if self._relu:
            n = np.arange(bar.shape[1])
            d = self._slopes
            below = np.concatenate([np.zeros((len(d), 1)), d[:, : len(n) - 1]], axis=1)
            bars.b += (bar * d[:, : len(n)]).sum(axis=1)
            bars.r += (bar * (np.sqrt(n + 1) * d[:, 1 : len(n) + 1] + np.sqrt(n) * below)).sum(axis=1)
            return
        cotangent = self._rule.projection[: self._count].T @ bar.T
        gradient, _ = self._neurons.pullback(self._rule.nodes, cotangent)
        bars.r += gradient[: len(self._r)]
        bars.b += gradient[len(self._r) :]

    def _back_mean(self, v: Floats, bar: float, bars: _Bars) -> Floats:
        bars.coefficients[:, 0] += bar * v
        bars.offset += bar
        return bar * self._c[:, 0]

    def _back(self, what: Observable, v: Floats, output: int, g: Floats, bars: _Bars) -> Floats:
        """Add the derivatives of one observable; returns those with respect to v."""
        if isinstance(what, TwoPoint):
            by_v = self._back_connected(what.times, v, g, bars)
            return by_v if what.connected else by_v + self._back_mean(v, 2 * self._mean(v, output) * g.sum(), bars)
        if isinstance(what, Moments):
            orders = np.array(what.orders)
            by_v = self._back_mean(v, float(g[orders == 1].sum()), bars)
            if 2 in what.orders:
                by_v = by_v + self._back_connected(np.zeros(1), v, g[orders == 2].sum(keepdims=True), bars)
            return by_v
        if isinstance(what, SpectralWeights):
            by_v = np.zeros_like(v)
            for state, one in zip(self._states(what), g, strict=True):
                by_v += self._back_amplitude(state, v, 2 * one * self._amplitude(state, v, output), bars)
            return by_v
        return self._back_energies(what, v, float(g[0]), bars)

    def _back_amplitude(self, state: tuple[int, ...], v: Floats, bar: float, bars: _Bars) -> Floats:
        n = sum(state)
        if n == 0:
            return self._back_mean(v, bar, bars)
        product, powers = self._product(state), np.array(state)
        bars.coefficients[:, n] += bar * v * product
        factors = self._direction**powers
        for i, power in enumerate(state):
            if power:
                others = np.prod(np.delete(factors, i, axis=1), axis=1)
                slope = _multinomial(state) * power * self._direction[:, i] ** (power - 1) * others
                bars.direction[:, i] += bar * v * self._c[:, n] * slope
        return np.asarray(bar * self._c[:, n] * product)

    def _back_connected(self, times: Floats, v: Floats, g: Floats, bars: _Bars) -> Floats:
        rho = self._correlations(times)
        if self._relu:
            by_v, by_rho = self._back_relu(rho, v, g, bars)
        else:
            b = v[:, None] * self._c
            by_b, by_rho = np.zeros_like(b), np.zeros_like(rho)
            below = np.ones_like(rho)
            for n in range(1, self._count):
                by_rho += below * np.outer(n * b[:, n], b[:, n])
                below = below * rho
                by_b[:, n] = 2 * (np.tensordot(g, below, 1) @ b[:, n])
            by_rho *= g[:, None, None]
            bars.coefficients += v[:, None] * by_b
            by_v = (by_b * self._c).sum(axis=1)
        factors = np.exp(-np.multiply.outer(times, self._omega))
        by_factor = self._back_pairs(by_rho, factors, bars)
        bars.omega -= (by_factor * factors * times[:, None]).sum(axis=0)
        return np.asarray(by_v)

    def _back_relu(self, rho: Floats, v: Floats, g: Floats, bars: _Bars) -> tuple[Floats, Floats]:
        """Add the derivatives of connected functions of relu neurons; returns those with respect to v and rho."""
        u, scaled = self._b / self._r, v * self._r
        by_scaled, by_u, by_rho = np.zeros_like(v), np.zeros_like(v), np.zeros_like(rho)
        for t, (one, bar) in enumerate(zip(rho, g, strict=True)):
            pair, slope, both = _relu_pair(u, one)
            by_scaled += 2 * bar * (pair @ scaled)
            by_u += 2 * bar * scaled * (slope @ scaled)
            by_rho[t] = bar * np.outer(scaled, scaled) * both
        bars.b += by_u / self._r
        bars.r += by_scaled * v - by_u * u / self._r
        mean = float(v @ self._c[:, 0])
        bars.coefficients[:, 0] -= 2 * g.sum() * mean * v
        return by_scaled * self._r - 2 * g.sum() * mean * self._c[:, 0], by_rho

    def _back_energies(self, what: Observable, v: Floats, g: float, bars: _Bars) -> Floats:
        theory, square = self._theory, isinstance(what, MomentumSquared)
        factors = np.stack([self._omega**p for p in range(3)])
        rho, first, second = self._pairs(factors)
        by_pairs = np.zeros((3, *rho.shape))
        scale = g * (theory.mass**2 if square else 2 * theory.mass / theory.hbar)
        if self._relu:
            if square:
                raise InputError(KINKED_MOMENTUM)
            u, scaled, both = self._b / self._r, v * self._r, self._orthants(rho)
            outer = scale * np.outer(scaled, scaled)
            edge, joint = _orthant_slopes(u, np.where(np.abs(rho) > 1 - _SAME, np.sign(rho), rho))
            by_scaled = 2 * scale * ((first * both) @ scaled)
            by_u = 2 * (outer * first * edge).sum(axis=1)
            by_pairs[0], by_pairs[1] = outer * first * joint, outer * both
            bars.b += by_u / self._r
            bars.r += by_scaled * v - by_u * u / self._r
            by_v = by_scaled * self._r
        else:
            by_b = np.zeros_like(self._c)
            self._by_energy(v, rho, first, second if square else None, (by_b, list(by_pairs)))
            by_pairs *= scale
            bars.coefficients += scale * v[:, None] * by_b
            by_v = scale * (by_b * self._c).sum(axis=1)
        by_factor = self._back_pairs(by_pairs, factors, bars)
        bars.omega += by_factor[1] + 2 * self._omega * by_factor[2]
        return np.asarray(by_v)


def _output(theory: Theory, what: Observable) -> int:
    assert not isinstance(what, NPoint | Gaps)
    return theory.outputs.index(theory.channel_name(what.channel))


def _multinomial(state: tuple[int, ...]) -> float:
    """sqrt(n!/alpha!)."""
    from scipy.special import gammaln

    alpha = np.array(state, dtype=np.float64)
    return float(np.exp((gammaln(alpha.sum() + 1) - gammaln(alpha + 1).sum()) / 2))


def _relu_coefficients(r: Floats, b: Floats, order: int) -> tuple[Floats, Floats]:
    """E[relu(r z + b) h_n] up to an order, and E[step(r z + b) h_n] up to the next one, (H, order + 1 or 2)."""
    u = b / r
    slopes = np.empty((len(r), order + 2))
    slopes[:, 0] = _cumulative(u)
    below, here = np.zeros_like(u), density(u)
    for n in range(1, order + 2):
        slopes[:, n] = here / np.sqrt(n)
        below, here = here, (-u * here - np.sqrt(n - 1.0) * below) / np.sqrt(n)
    values = np.empty((len(r), order + 1))
    values[:, 0] = r * (u * slopes[:, 0] + density(u))
    values[:, 1:] = r[:, None] * slopes[:, :order] / np.sqrt(np.arange(1, order + 1))
    return values, slopes


def _conditional(u: Floats, rho: Floats) -> tuple[Floats, Floats, Floats]:
    """For pairs of standard normal variables: v - rho u, the root of 1 - rho^2, and their quotient, (H, H) each."""
    distance = u - rho * u[:, None]
    root = np.sqrt(np.maximum((1 - rho) * (1 + rho), 0.0))
    return distance, root, distance / np.maximum(root, 1e-150)


def _relu_pair(u: Floats, rho: Floats) -> tuple[Floats, Floats, Floats]:
    r"""E relu(x_j + u_j) relu(x_k + u_k), its derivatives in u_j and in the correlation, shape (H, H) each.

    With :math:`w = (u_k - \rho u_j)/\sqrt{1-\rho^2}` and Stein's lemma
    :math:`E[x_j g] = E[\partial_j g] + \rho E[\partial_k g]`; the derivative in the correlation is the probability that
    both are positive (Price, IRE Trans. Inf. Theory 4, 69 (1958)).
    """
    both = orthants(u, rho)
    distance, root, w = _conditional(u, rho)
    inside = _cumulative(w)
    at = density(u)[:, None]
    # E[x_k; x_j > -u_j, x_k > -u_k], shape (j, k)
    second = at.T * inside.T + rho * at * inside
    slope = u * both + second
    pair = u[:, None] * slope + at * (distance * inside + root * density(w)) + rho * both
    return pair, slope, both


def _orthant_slopes(u: Floats, rho: Floats) -> tuple[Floats, Floats]:
    """Derivatives of the probabilities that both are positive in u_j and in the correlation, shape (H, H) each."""
    _, root, w = _conditional(u, rho)
    at = density(u)[:, None]
    # Neurons of the same variable stay so: the derivative in their correlation does not contribute.
    joint = np.divide(at * density(w), root, out=np.zeros_like(rho), where=root > 0)
    return at * _cumulative(w), joint
