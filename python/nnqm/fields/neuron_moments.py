"""Averages of powers of the correlation of a reflection-positive net over its random momenta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..statistics.rules import legendre_rule

__all__ = ["NeuronLaw", "mean_powers"]

# Nodes of a panel, and of the coarser rule of the error estimate.
_FINE, _COARSE = 16, 12
# Phase of the fastest oscillation on a panel; 16 nodes then integrate it to rounding.
_PHASE = 8.0
# Panels towards the cutoff, each half as wide as the one before.
_TOWARDS_CUTOFF = 24
# Panels of the transverse momentum.
_TRANSVERSE = 4
# Nodes that are raised to all powers together, few enough for the cache.
_AT_ONCE = 1 << 14
# Powers after which nodes that do not contribute are left out, and the magnitude of their terms.
_LEFT_OUT, _NOTHING = 8, 1e-60
# Largest number of nodes times powers at one point of spacetime.
_MOST_PRODUCTS = 400_000_000


@dataclass(frozen=True)
class NeuronLaw:
    r"""The law of the spatial momentum of a neuron: density proportional to 1/omega for \|k\| below a cutoff.

    Attributes
    ----------
    space : int
        Number of components of k, 0 for a quantum mechanics.
    mass, cutoff : float
    """

    space: int
    mass: float
    cutoff: float

    def moments(self, time: float, distance: float, order: int) -> tuple[Floats, Floats]:
        r"""Moments :math:`E[e^{-p\omega t} \cos^p(k_1 r)]` of a neuron at one time and distance.

        The component :math:`k_1` along the displacement is integrated on panels that resolve its oscillations, the
        transverse momentum, on which the cosine does not depend, on few.

        Parameters
        ----------
        time, distance : float
            t and r, not negative.
        order : int
            Highest power p.

        Returns
        -------
        fine, coarse : ndarray
            For p = 0 ... order, shape (order + 1,), by two rules.

        Raises
        ------
        InputError
            If the oscillations need too many nodes.
        """
        if self.space == 0:
            exact = np.exp(-np.arange(order + 1) * self.mass * time)
            return exact, exact
        # Powers of the cosine have the harmonics up to p; harmonics above a few roots of p have no weight.
        bandwidth = distance * min(order, 8 * np.sqrt(order))
        rules = self.rules(bandwidth, time=time, values=order + 1)
        fine, coarse = (_powers(*rule, time, distance, order) for rule in rules)
        return fine, coarse

    def rules(self, bandwidth: float, *, time: float = 0.0, values: int = 1) -> list[tuple[Floats, Floats, Floats]]:
        r"""Two rules for averages over the law, the second one coarser.

        Parameters
        ----------
        bandwidth : float
            Largest distance r of waves :math:`\cos k_1 r`.
        time : float, default 0
            A factor exp(-omega t) of the waves, which need not be resolved where it is below rounding.
        values : int, default 1
            Number of values per node, which the limit of the work counts.

        Returns
        -------
        list of (energy, along, weight)
            omega, :math:`k_1`, and weights that add up to 1, each of shape (nodes,).

        Raises
        ------
        InputError
            If the waves need too many nodes.
        """
        if self.space == 0:
            return [(np.array([self.mass]), np.zeros(1), np.ones(1))] * 2
        panels = bandwidth * self._highest(time) / _PHASE
        if panels * _FINE * (_TRANSVERSE * _FINE if self.space > 1 else 1) * values > _MOST_PRODUCTS:
            raise InputError(
                f"the average over momenta must need at most {_MOST_PRODUCTS:,} values of neurons; waves of "
                f"distance {bandwidth:g} oscillate too often below the cutoff",
                "use smaller distances or a smaller cutoff, or sample the theory",
            )
        edges = self._edges(time, bandwidth)
        return [self._nodes(edges, n) for n in (_FINE, _COARSE)]

    def _highest(self, time: float) -> float:
        """Momentum beyond which exp(-omega t) is below 1e-17 exp(-m t), so that waves do not contribute to averages."""
        return min(self.cutoff, self.mass + 40 / max(time, 1e-300))

    def _edges(self, time: float, bandwidth: float) -> Floats:
        """Panels in the rapidity u of k_1 = m sinh u."""
        top = float(np.arcsinh(self.cutoff / self.mass))
        seen = float(np.arcsinh(self._highest(time) / self.mass))
        edges = [0.0]
        while edges[-1] < top:
            u = edges[-1]
            speed = bandwidth * self.mass * np.cosh(u + 0.25) if u < seen else 0.0
            edges.append(u + min(0.25, _PHASE / max(speed, 1e-300)))
        edges[-1] = top
        if self.space > 1:
            # The range of the transverse momentum ends like a root at the cutoff.
            last = top - edges[-2]
            edges[-1:] = [*(top - last * 0.5 ** np.arange(1.0, _TOWARDS_CUTOFF)), top]
        return np.array(edges)

    def _nodes(self, edges: Floats, n: int) -> tuple[Floats, Floats, Floats]:
        """omega, k_1 and weights, by n nodes per panel."""
        x, w = legendre_rule(n)
        half = np.diff(edges)[:, None] / 2
        u, weight = (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()
        along = self.mass * np.sinh(u)
        energy = self.mass * np.cosh(u)
        if self.space > 1:
            # k_perp = energy_1 sinh v: the measure k_perp^(n-2) dk_perp/omega is (energy_1 sinh v)^(n-2) dv.
            top = np.arcsinh(np.sqrt(np.maximum(self.cutoff**2 - along**2, 0.0)) / energy)
            parts = (np.arange(_TRANSVERSE)[:, None] + (1 + x) / 2).ravel() / _TRANSVERSE
            v = top[:, None] * parts
            measure = top[:, None] * np.tile(w, _TRANSVERSE) / (2 * _TRANSVERSE)
            # dk_1 = energy_1 du; a single transverse component has both signs, which the norm takes up.
            weight = (weight * energy)[:, None] * measure * (energy[:, None] * np.sinh(v)) ** (self.space - 2)
            energy = energy[:, None] * np.cosh(v)
            along = np.broadcast_to(along[:, None], energy.shape)
        return energy.ravel(), along.ravel(), weight.ravel() / weight.sum()


def _powers(energy: Floats, along: Floats, weight: Floats, time: float, distance: float, order: int) -> Floats:
    """Averages of the powers 0 ... order of exp(-omega t) cos(k_1 r)."""
    # Powers of the largest exponential are apart, so that none underflows.
    lowest = float(energy.min())
    factor = np.exp((lowest - energy) * time) * np.cos(along * distance)
    found = np.zeros(order + 1)
    for begin in range(0, len(weight), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        term, step = weight[part].copy(), factor[part]
        for p in range(order + 1):
            found[p] += term.sum()
            term *= step
            if p % _LEFT_OUT == 0:
                # Numbers near the end of the range of float64 are slow, and do not contribute.
                seen = np.abs(term) > _NOTHING
                term, step = term[seen], step[seen]
    return np.asarray(found * np.exp(-lowest * time * np.arange(order + 1)))


def mean_powers(moments: Floats, width: int) -> Floats:
    r"""Moments :math:`E[(N^{-1} \sum_j u_j)^p]` of the mean of N independent variables with given moments.

    Sums of a and b variables are joined by the binomial formula with weights
    :math:`\binom{p}{k} a^k b^{p-k}/(a+b)^p`, which add up to one: nothing overflows, and nothing cancels for u of one
    sign.

    Parameters
    ----------
    moments : ndarray
        Moments of one variable, p = 0 ... P, shape (P + 1,).
    width : int
        N, at least 1.

    Returns
    -------
    ndarray
        Shape (P + 1,).
    """
    count, found = 1, moments
    for bit in bin(width)[3:]:
        count, found = 2 * count, _joined(found, count, found, count)
        if bit == "1":
            count, found = count + 1, _joined(found, count, moments, 1)
    return found


def _joined(first: Floats, a: int, second: Floats, b: int) -> Floats:
    """Moments of the mean of a and b variables from the moments of both means."""
    found, share = np.empty_like(first), a / (a + b)
    weights = np.ones(1)
    for p in range(len(first)):
        found[p] = float((weights * first[: p + 1] * second[p::-1]).sum())
        weights = share * np.append(0.0, weights) + (1 - share) * np.append(weights, 0.0)
    return found
