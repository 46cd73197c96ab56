"""Functions of a Gaussian variable as series of Hermite polynomials, and two-point functions made from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats
from ..exact.spectral_measures import kallen_lehmann
from ..quantum.measures import TwoPointFunction
from ..representation import short_repr
from ..theories.networks import Network
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.theory import Theory

__all__ = ["HermiteSeries", "SeriesTwoPoint"]


@short_repr
@dataclass(frozen=True, kw_only=True, eq=False)
class HermiteSeries:
    r"""The two-point function of x = f(phi) as a power series in the correlation rho of a Gaussian phi (Mehler).

    .. math:: \langle x x' \rangle = \sum_{n \ge 0} c_n^2\, \rho^n, \qquad c_n = E[f(s z)\, He_n(z)]/\sqrt{n!}

    Attributes
    ----------
    weights : ndarray
        c_n^2 for n = 0, 1, ...; the entry 0 is 0, because the mean is apart. Shape (order + 1,), unit [x]^2.
    mean : float
    moments : ndarray
        Central moments 2, 3, 4, shape (3,).
    slope, curvature : float
        The sums of n c_n^2 and n^2 c_n^2; the latter is infinite for networks with kinks.
    tail : float
        The part of the last weight that stands for all higher ones: the series is too large by at most
        ``tail * rho**order``.
    error : float
        Relative error of the weights and moments.
    """

    weights: Floats
    mean: float
    moments: Floats
    slope: float
    curvature: float
    tail: float = 0.0
    error: float = 0.0

    @classmethod
    def of(cls, network: Network | None, variance: float) -> HermiteSeries:
        """The series of a network of one input with a variance; of the input itself without a network.

        Parameters
        ----------
        network : Network or None
            One input, one output.
        variance : float
            Variance s^2 of the input, positive.

        Returns
        -------
        HermiteSeries

        Raises
        ------
        InputError
            If the network is too steep for a relative error of 1e-5; the message gives the error reached.
        """
        if network is None:
            moments = np.array([variance, 0.0, 3 * variance**2])
            weights = np.array([0.0, variance])
            return cls(weights=weights, mean=0.0, moments=moments, slope=variance, curvature=variance)
        # On an oscillator of rate 1 the state n lies at energy n.
        oscillator = OrnsteinUhlenbeck(1.0, float(np.sqrt(2 * variance)))
        measure = kallen_lehmann(Theory(oscillator, network))
        orders = np.round(measure.energies).astype(np.int64)
        weights = np.zeros(int(orders.max(initial=1)) + 1)
        np.add.at(weights, orders, measure.weights)
        return cls(
            weights=weights,
            mean=measure.mean,
            moments=measure.moments,
            slope=measure.commutator / 2,
            curvature=measure.momentum_squared,
            tail=measure.tail,
            error=measure.error,
        )

    def of_correlation(self, rho: ArrayLike) -> Floats:
        """The connected two-point function at correlations between -1 and 1.

        Parameters
        ----------
        rho : array_like
            Any shape.

        Returns
        -------
        ndarray
            Shape of rho, unit [x]^2.
        """
        rho = np.asarray(rho, dtype=np.float64)
        value = np.zeros_like(rho)
        for weight in self.weights[::-1]:
            value *= rho
            value += weight
        return value

    def order_for(self, rho: float, accuracy: float, highest: int) -> int:
        """Smallest order beyond which the terms are below a part of the variance, or ``highest``.

        Parameters
        ----------
        rho : float
            Largest magnitude of the correlation, between 0 and 1.
        accuracy : float
            Part of the variance.
        highest : int
            Largest order.

        Returns
        -------
        int
        """
        terms = self.weights * rho ** np.arange(len(self.weights))
        rest = terms.sum() - np.cumsum(terms)
        enough = np.flatnonzero(rest <= accuracy * self.moments[0])
        return int(min(enough[0] if enough.size else len(terms) - 1, highest))

    def beyond(self, order: int, rho: float) -> float:
        """Bound of the terms above an order at correlations of magnitude at most rho, unit [x]^2."""
        n = np.arange(order + 1, len(self.weights))
        return float((self.weights[order + 1 :] * rho**n).sum())


@short_repr
@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesTwoPoint(TwoPointFunction):
    """The exact two-point function of a function of the field at one point of space.

    Attributes
    ----------
    mean, moments, commutator, momentum_squared, hbar, mass
        As in ``TwoPointFunction``.
    error : float
        Relative error of the series.
    """

    mean: float
    moments: Floats
    commutator: float
    momentum_squared: float
    hbar: float
    mass: float
    error: float
    # Times of any shape to the connected function.
    _function: Callable[[Floats], Floats]

    def connected(self, times: ArrayLike) -> Floats:
        """Connected two-point function; see ``TwoPointFunction.connected``."""
        return self._function(np.abs(np.asarray(times, dtype=np.float64)))
