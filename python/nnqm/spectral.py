"""The Kallen-Lehmann measure of a two-point function, and what the package's estimators measure of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._checks import Floats, integer, positive

__all__ = ["SpectralMeasure"]


@dataclass(frozen=True)
class SpectralMeasure:
    r"""The exact two-point function of a theory as a sum over states.

    .. math:: G(t) = \mu^2 + \sum_\alpha c_\alpha^2 e^{-\epsilon_\alpha |t|}

    (Mehler's formula.) Energies and weights are exact up to ``error``. The methods give the exact values of the
    package's estimators at finite lag: what they measure apart from noise.

    Attributes
    ----------
    energies : ndarray
        E - E_0 > 0 in energy units, ascending, shape (k,); equal ones are listed separately. The weight of all
        states beyond the highest polynomial stands at the end, at the lowest energy that it can have (for several
        inputs below that of other states).
    weights : ndarray
        |<0|x|n>|^2, shape (k,).
    mean : float
        Expectation value of x.
    moments : ndarray
        Central moments 2, 3, 4 of x, shape (3,).
    commutator : float
        [x, p]/(i hbar) averaged over the ground state, (2 m/hbar^2) sum eps c^2 = (m/hbar) sum_i sigma_i^2 E(d_i f)^2.
    momentum_squared : float
        <p^2> = (m/hbar)^2 sum eps^2 c^2 = m^2 E(L f)^2 with the generator L of the seed processes; infinite for
        networks with kinks.
    hbar, mass : float
    error : float
        Relative error reached: the change when the quadrature is coarsened, and what the last weight can do to G.
    tail : float
        The last weight if it stands for all states beyond the highest polynomial: G(t) is too large by ``tail``
        times exp(-energies[-1] t/hbar) at most, and exact at t = 0.
    commutator_spread : float or None
        <(Delta x)^4>/(3 <(Delta x)^2>^2) for dt -> 0: the mean square of the commutator over its squared mean.
    quartic : ndarray or None
        Energies and coefficients q, shape (2, k'), of <(x(t) - x(0))^4> = sum q (1 - exp(-eps t/hbar)).
    """

    energies: Floats
    weights: Floats
    mean: float
    moments: Floats
    commutator: float
    momentum_squared: float
    hbar: float
    mass: float
    error: float
    tail: float = 0.0
    commutator_spread: float | None = None
    quartic: Floats | None = None

    def connected(self, times: ArrayLike) -> Floats:
        """Connected two-point function at times of any shape."""
        return self._sum(times, lambda decay: np.exp(decay))

    def two_point(self, times: ArrayLike) -> Floats:
        """Two-point function <x(0) x(t)> at times of any shape."""
        return np.asarray(self.mean**2 + self.connected(times))

    def quadratic_variation(self, times: ArrayLike) -> Floats:
        """<(x(t) - x(0))^2>, without the cancellation of 2 G(0) - 2 G(t)."""
        return self._sum(times, lambda decay: -2 * np.expm1(decay))

    def commutator_at(self, lags: ArrayLike) -> Floats:
        r"""Commutator at finite lag, :math:`m V(l)/(\hbar l)`, for lags l > 0 of any shape, unit time."""
        lags = np.asarray(lags, dtype=np.float64)
        return np.asarray(self.mass / self.hbar * self.quadratic_variation(lags) / lags)

    def momentum_squared_at(self, lags: ArrayLike) -> Floats:
        r"""<p^2> at finite lag, :math:`m^2 (V(l) - V(2l)/2)/l^2 = (m/l)^2 \sum c^2 (1 - e^{-\epsilon l/\hbar})^2`."""
        lags = np.asarray(lags, dtype=np.float64)
        return np.asarray((self.mass / lags) ** 2 * self._sum(lags, lambda decay: np.expm1(decay) ** 2))

    def commutator_spread_at(self, lags: ArrayLike) -> Floats:
        r"""<(Delta x)^4>/(3 <(Delta x)^2>^2) at lags > 0 of any shape, unit time.

        .. math:: \langle \Delta x^4\rangle = 2\langle x^4\rangle - 8\langle x^3(0) x(t)\rangle
                  + 6\langle x^2(0) x^2(t)\rangle

        Raises
        ------
        ValueError
            If the measure holds no quartic coefficients.
        """
        if self.quartic is None:
            raise ValueError("quartic is None: this measure knows two-point functions only; use kallen_lehmann")
        lags = np.asarray(lags, dtype=np.float64)
        fourth = -np.expm1(-np.multiply.outer(lags, self.quartic[0] / self.hbar)) @ self.quartic[1]
        return np.asarray(fourth / (3 * self.quadratic_variation(lags) ** 2))

    def roughness_exponent(self, dt: float) -> float:
        """Roughness exponent log2(V(2 dt)/V(dt))/2 at a time step."""
        first, second = self.quadratic_variation([dt, 2 * dt])
        return float(np.log2(second / first) / 2)

    def effective_energy(self, times: ArrayLike) -> Floats:
        """Effective energies -hbar d ln G_c/dt between successive times (k,), shape (k - 1,), energy units."""
        t = np.asarray(times, dtype=np.float64)
        # Relative to the lowest state, so that logarithms of small numbers do not lose it.
        lowest = self.energies.min()
        decay = np.exp(-np.multiply.outer(np.abs(t), (self.energies - lowest) / self.hbar)) @ self.weights
        return np.asarray(lowest * np.diff(np.abs(t)) / np.diff(t) - self.hbar * np.diff(np.log(decay)) / np.diff(t))

    def commutator_extrapolated(self, dt: float, n_lags: int) -> float:
        r"""Commutator extrapolated from the lags dt, 2 dt, ..., n_lags dt.

        .. math:: \sum_{k=1}^K (-1)^{k+1} \binom{K}{k}\, C(k\,dt)

        for networks without kinks; with them the polynomial through the values is one in the root of dt.
        """
        return self._extrapolated(self.commutator_at, dt, n_lags)

    def momentum_squared_extrapolated(self, dt: float, n_lags: int) -> float:
        """<p^2> extrapolated like the commutator, from the lags dt, ..., n_lags dt (and their doubles)."""
        return self._extrapolated(self.momentum_squared_at, dt, n_lags)

    def uncertainty_extrapolated(self, dt: float, n_lags: int) -> float:
        """Uncertainty product from the extrapolated <p^2>, unit hbar."""
        return float(np.sqrt(self.moments[0] * self.momentum_squared_extrapolated(dt, n_lags)))

    @property
    def uncertainty(self) -> float:
        """Dx dp, at least (hbar/2) times the commutator (Robertson); infinite for networks with kinks."""
        return float(np.sqrt(self.moments[0] * self.momentum_squared))

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis of x; 0 if x is constant."""
        return float(self.moments[2] / self.moments[0] ** 2 - 3) if self.moments[0] > 0 else 0.0

    def _sum(self, times: ArrayLike, function: Callable[[Floats], Floats]) -> Floats:
        """Sum over states of weight times a function of -eps t/hbar."""
        t = np.abs(np.asarray(times, dtype=np.float64))
        return np.asarray(function(-np.multiply.outer(t, self.energies / self.hbar)) @ self.weights)

    def _extrapolated(self, function: Callable[[ArrayLike], Floats], dt: float, n_lags: int) -> float:
        step, most = positive("dt", dt), integer("n_lags", n_lags, 1, 30)
        nodes = np.arange(1.0, most + 1) ** (1.0 if np.isfinite(self.momentum_squared) else 0.5)
        ratio = nodes[None, :] / (nodes[None, :] - nodes[:, None] + np.eye(most))
        np.fill_diagonal(ratio, 1.0)
        return float(np.dot(ratio.prod(axis=1), function(step * np.arange(1, most + 1))))
