"""The Kallen-Lehmann measure of a two-point function, and the exact values of the package's estimators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, integer, positive
from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..statistics.moments import excess_kurtosis
from ..statistics.rules import extrapolation_weights

__all__ = ["SpectralMeasure", "ThermalMeasure", "TwoPointFunction", "whole_steps"]


def whole_steps(times: ArrayLike, step: float) -> NDArray[np.int64]:
    """Times of any shape as whole numbers of steps of a chain.

    Raises
    ------
    InputError
        If a time is no multiple of the step.
    """
    ratio = np.abs(np.asarray(times, dtype=np.float64)) / step
    steps = np.round(ratio)
    if np.any(np.abs(ratio - steps) > 1e-6 * np.maximum(ratio, 1)):
        raise InputError(
            f"times must be multiples of the chain's dt={step:g}; got "
            f"{(ratio * step).flat[int(np.argmax(np.abs(ratio - steps)))]:g}; between its steps a chain has no values"
        )
    return steps.astype(np.int64)


class TwoPointFunction(Drawn, ABC, picture="correlator"):
    """A two-point function of a stationary channel, and the exact values of the package's estimators.

    Attributes
    ----------
    mean : float
        Expectation value of x.
    moments : ndarray
        Central moments 2, 3, 4 of x, shape (3,).
    commutator : float
        [x, p]/(i hbar) for dt -> 0; NaN where it is not known or does not exist.
    momentum_squared : float
        <p^2> for dt -> 0; infinite for networks with kinks, NaN where it is not known or does not exist.
    hbar, mass : float
    """

    mean: float
    moments: Floats
    commutator: float
    momentum_squared: float
    hbar: float
    mass: float

    @abstractmethod
    def connected(self, times: ArrayLike) -> Floats:
        """Connected two-point function at times of any shape.

        Parameters
        ----------
        times : array_like
            Times of any shape, unit time.

        Returns
        -------
        ndarray
            Shape of ``times``, unit [x]^2.
        """

    def two_point(self, times: ArrayLike) -> Floats:
        """Two-point function <x(0) x(t)> at times of any shape.

        Parameters
        ----------
        times : array_like
            Times of any shape, unit time.

        Returns
        -------
        ndarray
            Shape of ``times``, unit [x]^2.
        """
        return np.asarray(self.mean**2 + self.connected(times))

    def quadratic_variation(self, times: ArrayLike) -> Floats:
        """<(x(t) - x(0))^2> at times of any shape.

        Parameters
        ----------
        times : array_like
            Times of any shape, unit time.

        Returns
        -------
        ndarray
            Shape of ``times``, unit [x]^2.
        """
        return np.asarray(2 * (self.moments[0] - self.connected(times)))

    def commutator_at(self, lags: ArrayLike) -> Floats:
        r"""Commutator at finite lag, :math:`m V(l)/(\hbar l)`, for lags l > 0 of any shape, unit time.

        Parameters
        ----------
        lags : array_like
            Lags of any shape, positive, unit time.

        Returns
        -------
        ndarray
            Shape of ``lags``, without unit.
        """
        lags = np.asarray(lags, dtype=np.float64)
        return np.asarray(self.mass / self.hbar * self.quadratic_variation(lags) / lags)

    def momentum_squared_at(self, lags: ArrayLike) -> Floats:
        r"""<p^2> at finite lag, :math:`m^2 (V(l) - V(2l)/2)/l^2`, for lags l > 0 of any shape, unit time.

        Parameters
        ----------
        lags : array_like
            Lags of any shape, positive, unit time.

        Returns
        -------
        ndarray
            Shape of ``lags``.
        """
        lags = np.asarray(lags, dtype=np.float64)
        change = self.quadratic_variation(lags) - self.quadratic_variation(2 * lags) / 2
        return np.asarray((self.mass / lags) ** 2 * change)

    def roughness_exponent(self, dt: float) -> float:
        """Roughness exponent log2(V(2 dt)/V(dt))/2 at a time step.

        Parameters
        ----------
        dt : float
            Time step, positive, unit time.

        Returns
        -------
        float
        """
        first, second = self.quadratic_variation([dt, 2 * dt])
        # Paths that stay where they start have no exponent: NaN.
        return float(np.log2(second / first) / 2) if first > 0 else float("nan")

    @property
    def uncertainty(self) -> float:
        """Dx dp, at least (hbar/2) times the commutator (Robertson); infinite for networks with kinks."""
        return float(np.sqrt(self.moments[0] * self.momentum_squared))

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis of x; 0 if x is constant."""
        return float(excess_kurtosis(self.moments[0], self.moments[2])) if self.moments[0] > 0 else 0.0


@short_repr
@dataclass(frozen=True, kw_only=True)
class ThermalMeasure(TwoPointFunction):
    """The exact two-point function of a theory at finite temperature, periodic in Euclidean time.

    Attributes
    ----------
    beta : float
        Period, the Euclidean time hbar/kT, unit time.
    mean, moments, commutator, momentum_squared, hbar, mass
        As in ``TwoPointFunction``, in thermal equilibrium.
    tolerance : float
        Largest relative error of the two-point function accepted.
    """

    beta: float
    mean: float
    moments: Floats
    commutator: float
    momentum_squared: float
    hbar: float
    mass: float
    tolerance: float
    # Times (k,) in a period to the connected function and its largest error.
    _function: Callable[[Floats], tuple[Floats, float]]

    def connected(self, times: ArrayLike) -> Floats:
        """Connected two-point function at times of any shape, taken modulo beta.

        Parameters
        ----------
        times : array_like
            Times of any shape, unit time.

        Returns
        -------
        ndarray
            Shape of ``times``, unit [x]^2.

        Raises
        ------
        InputError
            If the tolerance is not reached at one of them; the message gives the error.
        """
        t = np.mod(np.asarray(times, dtype=np.float64), self.beta)
        values, error = self._function(t.ravel())
        if error > self.tolerance * self.moments[0]:
            raise InputError(
                f"the thermal two-point function reaches a relative error of {error / self.moments[0]:.1e} only, not "
                f"tolerance={self.tolerance:g}; use smooth networks, later times or a larger tolerance"
            )
        return np.asarray(values.reshape(t.shape))


@short_repr
@dataclass(frozen=True, kw_only=True)
class SpectralMeasure(TwoPointFunction, picture="spectral_measure"):
    r"""The exact two-point function of a theory as a sum over states.

    .. math:: G(t) = \mu^2 + \sum_\alpha c_\alpha^2 e^{-\epsilon_\alpha |t|}

    (Mehler's formula.) Energies and weights are exact up to ``error``. The methods give the exact values of the
    package's estimators at finite lag, without noise.

    Attributes
    ----------
    energies : ndarray
        E - E_0 > 0 in energy units, ascending, shape (k,); equal energies are listed separately. The last entry stands
        for all states beyond the highest polynomial, at the lowest energy that they can have (for several inputs
        it can lie below other entries).
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
        Relative error reached: the change when the quadrature is made coarser, and the largest effect of the last
        weight on G.
    tail : float
        The last weight if it stands for all states beyond the highest polynomial: G(t) is too large by at most
        ``tail`` times exp(-energies[-1] t/hbar), and exact at t = 0.
    commutator_spread : float or None
        <(Delta x)^4>/(3 <(Delta x)^2>^2) for dt -> 0: the mean square of the commutator over its squared mean.
    quartic : ndarray or None
        Energies and coefficients q, shape (2, k'), of <(x(t) - x(0))^4> = sum q (1 - exp(-eps t/hbar)); if ``signs``
        is given, a third row contains the signs of these states.
    signs : ndarray or None
        For a Markov chain with negative eigenvalues -exp(-eps dt/hbar): -1 for these states, +1 for the others, shape
        (k,). Times must then be multiples of ``step``, and the limit dt -> 0 does not exist (commutator and <p^2> are
        NaN).
    step : float or None
        Time step of that chain.
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
    signs: Floats | None = None
    step: float | None = None

    @classmethod
    def of_states(
        cls,
        energies: Floats,
        coefficients: Floats,
        mean: float,
        moments: Floats,
        *,
        hbar: float,
        mass: float,
        signs: Floats | None = None,
        step: float | None = None,
    ) -> SpectralMeasure:
        r"""The measure of a complete set of states; all limits are sums over them.

        Parameters
        ----------
        energies : ndarray
            E - E_0 >= 0, energy units, shape (k,), in any order, without the vacuum.
        coefficients : ndarray
            <n|x - mean|0>, <n|(x - mean)^2|0> and <n|(x - mean)^3|0>, shape (k, 3).
        mean, moments
            See the attributes.
        hbar, mass : float
        signs, step
            See the attributes.

        Returns
        -------
        SpectralMeasure

        Notes
        -----
        With :math:`\langle \Delta x^4\rangle = \sum q_n (1 - e^{-\epsilon_n t/\hbar})`,
        :math:`q_n = 8 c^{(1)}_n c^{(3)}_n - 6 (c^{(2)}_n)^2`, the spread of the commutator is
        :math:`-\sum q \epsilon^2 / (24 (\sum c^2 \epsilon)^2)`.
        """
        order = np.argsort(energies, kind="stable")
        energies, c = energies[order], coefficients[order]
        sign = None if signs is None else signs[order]
        weights, fourth = c[:, 0] ** 2, 8 * c[:, 0] * c[:, 2] - 6 * c[:, 1] ** 2
        # Smaller values are rounding.
        some, many = weights > 1e-28 * moments[0], np.abs(fourth) > 1e-20 * moments[0] ** 2
        quartic = [energies[many], fourth[many]]
        if sign is not None and (sign[some] > 0).all() and (sign[many] > 0).all():
            sign = None
        scale = mass / hbar
        first, second = float(energies[some] @ weights[some]), float(energies[some] ** 2 @ weights[some])
        spread = -float(quartic[0] ** 2 @ quartic[1]) / (24 * first**2) if first**2 > 0 else None
        if sign is not None:
            # A negative eigenvalue has no real power between steps.
            first = second = float("nan")
            spread = None
        return cls(
            energies=energies[some],
            weights=weights[some],
            mean=mean,
            moments=moments,
            commutator=2 * scale / hbar * first,
            momentum_squared=scale**2 * second,
            hbar=hbar,
            mass=mass,
            error=0.0,
            commutator_spread=spread,
            quartic=np.stack(quartic if sign is None else [*quartic, sign[many]]),
            signs=None if sign is None else sign[some],
            step=None if sign is None else step,
        )

    def connected(self, times: ArrayLike) -> Floats:
        """Connected two-point function at times of any shape.

        Parameters
        ----------
        times : array_like
            Times of any shape, unit time.

        Returns
        -------
        ndarray
            Shape of ``times``, unit [x]^2.

        Raises
        ------
        InputError
            If a Markov chain has negative eigenvalues and a time is no multiple of its step.
        """
        return self._sum(times, lambda decay, sign: sign * np.exp(decay))

    def quadratic_variation(self, times: ArrayLike) -> Floats:
        """<(x(t) - x(0))^2>, without the cancellation of 2 G(0) - 2 G(t).

        Parameters
        ----------
        times : array_like
            Times of any shape, unit time.

        Returns
        -------
        ndarray
            Shape of ``times``, unit [x]^2.

        Raises
        ------
        InputError
            If a Markov chain has negative eigenvalues and a time is no multiple of its step.
        """
        return self._sum(times, lambda decay, sign: 1 - sign - sign * np.expm1(decay)) * 2

    def momentum_squared_at(self, lags: ArrayLike) -> Floats:
        r"""<p^2> at finite lag, :math:`m^2 (V(l) - V(2l)/2)/l^2 = (m/l)^2 \sum c^2 (1 - e^{-\epsilon l/\hbar})^2`.

        Parameters
        ----------
        lags : array_like
            Lags of any shape, positive, unit time.

        Returns
        -------
        ndarray
            Shape of ``lags``.

        Raises
        ------
        InputError
            If a Markov chain has negative eigenvalues and a time is no multiple of its step.
        """
        lags = np.asarray(lags, dtype=np.float64)
        return np.asarray(
            (self.mass / lags) ** 2 * self._sum(lags, lambda decay, sign: (1 - sign - sign * np.expm1(decay)) ** 2)
        )

    def commutator_spread_at(self, lags: ArrayLike) -> Floats:
        r"""<(Delta x)^4>/(3 <(Delta x)^2>^2) at lags > 0 of any shape, unit time.

        .. math:: \langle \Delta x^4\rangle = 2\langle x^4\rangle - 8\langle x^3(0) x(t)\rangle
                  + 6\langle x^2(0) x^2(t)\rangle

        Parameters
        ----------
        lags : array_like
            Lags of any shape, positive, unit time.

        Returns
        -------
        ndarray
            Shape of ``lags``, without unit.

        Raises
        ------
        InputError
            If the measure has no quartic coefficients.
        """
        if self.quartic is None:
            raise InputError("quartic is None: this measure contains two-point functions only; use kallen_lehmann")
        lags = np.asarray(lags, dtype=np.float64)
        sign = self._sign(lags, self.quartic[2] if len(self.quartic) > 2 else None)
        decay = np.expm1(-np.multiply.outer(lags, self.quartic[0] / self.hbar))
        fourth = (1 - sign - sign * decay) @ self.quartic[1]
        square = 3 * self.quadratic_variation(lags) ** 2
        return np.asarray(np.divide(fourth, square, out=np.full(np.shape(square), np.nan), where=square > 0))

    def effective_energy(self, times: ArrayLike) -> Floats:
        """Effective energies -hbar d ln G_c/dt between successive times (k,), shape (k - 1,), energy units.

        Parameters
        ----------
        times : array_like
            Increasing times, shape (k,), unit time.

        Returns
        -------
        ndarray
            Shape (k - 1,), energy units.

        Raises
        ------
        InputError
            If a Markov chain has negative eigenvalues and a time is no multiple of its step.
        """
        t = np.asarray(times, dtype=np.float64)
        # The decay of the lowest state is factored out, because G underflows at late times.
        lowest = self.energies.min()
        relative = np.exp(-np.multiply.outer(np.abs(t), (self.energies - lowest) / self.hbar))
        decay = (self._sign(t, self.signs) * relative) @ self.weights
        return np.asarray(lowest * np.diff(np.abs(t)) / np.diff(t) - self.hbar * np.diff(np.log(decay)) / np.diff(t))

    def commutator_extrapolated(self, dt: float, n_lags: int) -> float:
        r"""Commutator extrapolated from the lags dt, 2 dt, ..., n_lags dt.

        .. math:: \sum_{k=1}^K (-1)^{k+1} \binom{K}{k}\, C(k\,dt)

        for networks without kinks. With kinks the polynomial through the values is in the square root of dt.

        Parameters
        ----------
        dt : float
            Time step, positive, unit time.
        n_lags : int
            Number of lags, 1 to 30.

        Returns
        -------
        float
            Without unit.

        Raises
        ------
        InputError
            If dt is not positive or n_lags is out of range.
        """
        return self._extrapolated(self.commutator_at, dt, n_lags)

    def momentum_squared_extrapolated(self, dt: float, n_lags: int) -> float:
        """<p^2> extrapolated like the commutator, from the lags dt, ..., n_lags dt and twice these lags.

        Parameters
        ----------
        dt : float
            Time step, positive, unit time.
        n_lags : int
            Number of lags, 1 to 30.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If dt is not positive or n_lags is out of range.
        """
        return self._extrapolated(self.momentum_squared_at, dt, n_lags)

    def uncertainty_extrapolated(self, dt: float, n_lags: int) -> float:
        """Uncertainty product from the extrapolated <p^2>, unit of hbar.

        Parameters
        ----------
        dt : float
            Time step, positive, unit time.
        n_lags : int
            Number of lags, 1 to 30.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If dt is not positive or n_lags is out of range.
        """
        return float(np.sqrt(self.moments[0] * self.momentum_squared_extrapolated(dt, n_lags)))

    def _sum(self, times: ArrayLike, function: Callable[[Floats, Any], Floats]) -> Floats:
        """Sum over states of the weight times a function of -eps t/hbar and of the sign."""
        t = np.abs(np.asarray(times, dtype=np.float64))
        decay = -np.multiply.outer(t, self.energies / self.hbar)
        return np.asarray(function(decay, self._sign(t, self.signs)) @ self.weights)

    def _sign(self, times: Floats, signs: Floats | None) -> Any:
        """Sign of each state's decay at each time; 1 where no state alternates."""
        if signs is None or self.step is None:
            return 1.0
        return np.where(whole_steps(times, self.step)[..., None] % 2 == 1, signs, 1.0)

    def _extrapolated(self, function: Callable[[ArrayLike], Floats], dt: float, n_lags: int) -> float:
        step, most = positive("dt", dt), integer("n_lags", n_lags, 1, 30)
        weights = extrapolation_weights(most, 1.0 if np.isfinite(self.momentum_squared) else 0.5)
        return float(np.dot(weights, function(step * np.arange(1, most + 1))))
