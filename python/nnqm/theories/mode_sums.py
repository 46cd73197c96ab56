r"""A Karhunen-Loeve expansion: the modes of a covariance kernel from which a network in time is made.

.. math:: x(t) = m(t) + \sum_k \theta_k \sqrt{\lambda_k}\, e_k(t)

``karhunen_loeve`` computes the modes; this module evaluates them and their correlators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer, positive
from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..statistics.estimate import Estimate
from ..statistics.rules import legendre_analysis, legendre_rule
from .densities import Density

__all__ = ["PAIRINGS", "KarhunenLoeve", "Pieces", "Waves", "four_times", "fourth_moment"]

# The three pairings of four times.
PAIRINGS = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))
# Number of nodes of a panel of a function of time.
_NODES = 24
# Fraction of the largest value below which the last Legendre coefficients of a resolved panel lie.
_RESOLVED = 1e-14
# Fraction of the interval below which a panel is not halved further: it contains a kink or a jump.
_NARROWEST = 1e-11
# Largest number of panels.
_MOST_PANELS = 2000

_ESTIMATE = ("value", "replicas", "weights", "systematic")
_PIECES = ("edges", "coefficients")
_WAVES = ("frequency", "phase", "amplitude")


@dataclass(frozen=True, eq=False, repr=False)
class Waves:
    """Modes of the form amplitude * cos(frequency (t - start) - phase)."""

    start: float
    frequency: Floats
    phase: Floats
    amplitude: Floats

    def __call__(self, t: Floats) -> Floats:
        """Values at times of any shape, shape (..., K)."""
        angle = np.multiply.outer(t - self.start, self.frequency) - self.phase
        return np.asarray(self.amplitude * np.cos(angle))

    def take(self, n: int) -> Waves:
        """The first n modes."""
        return Waves(self.start, self.frequency[:n], self.phase[:n], self.amplitude[:n])

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"start": self.start} | {name: getattr(self, name).tolist() for name in _WAVES}


@dataclass(frozen=True, eq=False, repr=False)
class Pieces:
    """Piecewise polynomials: edges of the panels, shape (P + 1,), and Legendre coefficients, shape (P, p, K)."""

    edges: Floats
    coefficients: Floats

    def __call__(self, t: Floats) -> Floats:
        """Values at times of any shape, shape (..., K)."""
        flat = t.ravel()
        panel = np.clip(np.searchsorted(self.edges, flat, side="right") - 1, 0, len(self.edges) - 2)
        low, high = self.edges[panel], self.edges[panel + 1]
        out = np.empty((flat.size, self.coefficients.shape[2]))
        degree = self.coefficients.shape[1] - 1
        for i in np.unique(panel):
            here = panel == i
            xi = (2 * flat[here] - low[here] - high[here]) / (high[here] - low[here])
            out[here] = legendre.legvander(xi, degree) @ self.coefficients[i]
        return out.reshape(*t.shape, out.shape[1])

    def take(self, n: int) -> Pieces:
        """The first n modes."""
        return Pieces(self.edges, self.coefficients[..., :n])

    @classmethod
    def through(cls, name: str, function: Callable[[Floats], ArrayLike], a: float, b: float) -> Pieces:
        """Interpolation of a function of time to rounding; unresolved panels are halved."""
        x, _ = legendre_rule(_NODES)
        todo, done, largest = [(a, b)], [], 0.0
        while todo:
            low, high = todo.pop()
            t = low + (high - low) * (1 + x) / 2
            values = floats(name, function(t))
            if values.shape not in ((), t.shape):
                raise InputError(
                    f"{name} must return one value per time, shape {t.shape}; got {values.shape}; use NumPy functions"
                )
            values = np.broadcast_to(values, t.shape)
            largest = max(largest, float(np.abs(values).max()))
            c = legendre_analysis(_NODES) @ values
            if np.abs(c[-2:]).max() <= _RESOLVED * largest or high - low <= _NARROWEST * (b - a):
                done.append((low, high, c))
                continue
            middle = (low + high) / 2
            todo += [(low, middle), (middle, high)]
            if len(todo) + len(done) > _MOST_PANELS:
                raise InputError(
                    f"{name} is too rough: {_MOST_PANELS} panels of {_NODES} polynomials do not resolve it near "
                    f"t={middle:.6g}; give a smoother one"
                )
        done.sort(key=lambda piece: piece[0])
        return cls(np.array([a, *(high for _, high, _ in done)]), np.array([c for *_, c in done])[..., None])

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name).tolist() for name in _PIECES}


def _of_dict(data: Mapping[str, Any]) -> Waves | Pieces:
    if "edges" in data:
        return Pieces(*(np.array(data[name]) for name in _PIECES))
    return Waves(data["start"], *(np.array(data[name]) for name in _WAVES))


@short_repr
@dataclass(frozen=True, eq=False, kw_only=True)
class KarhunenLoeve(Drawn, picture="modes"):
    r"""Karhunen-Loeve modes of a covariance kernel on an interval: a one-layer network in time with neurons e_k.

    Eigenfunctions are orthonormal on the interval and positive in their first lobe from the left. Among modes of equal
    eigenvalue, the first is the one that does not vanish at the left end.

    Attributes
    ----------
    interval : (float, float)
        Unit time.
    eigenvalues : ndarray
        Descending, shape (K,), unit [x]^2 time. Only resolved modes are kept: see ``n_noise``.
    errors : ndarray
        Errors of the eigenvalues, shape (K,). They cover the eigenvalue problem (rounding, resolution of panels or of
        the grid of a table) and errors of the kernel; for measured kernels, statistical errors are added in quadrature.
    n_noise : int
        Number of requested modes that are left out because their eigenvalues do not exceed five times their errors, so
        that they cannot be distinguished from zero.
    trace : float
        Sum of all eigenvalues, the integral of K(t, t).
    method : {"closed form", "panels", "table", "measured"}
    estimates : Estimate or None
        Eigenvalues of a measured kernel, shape (K,). Statistical errors are jackknife errors; systematic errors cover
        the bias by which noise spreads eigenvalues and the error of the grid of the table.
    """

    interval: tuple[float, float]
    eigenvalues: Floats
    errors: Floats
    n_noise: int
    trace: float
    method: str
    estimates: Estimate | None
    _functions: Waves | Pieces = field(repr=False)
    _mean: float | Pieces = field(repr=False, default=0.0)

    def __len__(self) -> int:
        return len(self.eigenvalues)

    def __call__(self, times: ArrayLike) -> Floats:
        """Eigenfunctions e_k(t).

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in the interval.

        Returns
        -------
        ndarray
            Shape (..., K), unit 1/sqrt(time).

        Raises
        ------
        InputError
            If a time lies outside the interval.
        """
        t = floats("times", times)
        (a, b), slack = self.interval, 1e-9 * (self.interval[1] - self.interval[0])
        outside = t[(t < a - slack) | (t > b + slack)]
        if outside.size:
            raise InputError(
                f"times must lie in the interval [{a:g}, {b:g}]; got {outside[0]:g}; decompose a longer one"
            )
        return self._functions(t)

    def mean(self, times: ArrayLike) -> Floats:
        """Mean of x: the output bias of the network.

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in the interval.

        Returns
        -------
        ndarray
            Shape of the times, unit [x].
        """
        t = floats("times", times)
        if isinstance(self._mean, Pieces):
            return self._mean(t)[..., 0]
        return np.full(t.shape, self._mean)

    def basis(self, times: ArrayLike) -> Floats:
        """Rows sqrt(lambda_k) e_k(t), with which x = mean + theta @ basis.

        Parameters
        ----------
        times : array_like
            Shape (n_times,), unit time, in the interval.

        Returns
        -------
        ndarray
            Shape (K, n_times), unit [x].

        Raises
        ------
        InputError
            If a time lies outside the interval.
        """
        return np.ascontiguousarray((np.sqrt(self.eigenvalues) * self(np.atleast_1d(times))).T)

    @property
    def truncation_error(self) -> float:
        """Fraction of the trace in omitted modes: the relative, time-averaged error of the variance."""
        return max(float(self.trace - self.eigenvalues.sum()), 0.0) / self.trace

    def truncated(self, n_modes: int) -> KarhunenLoeve:
        """The expansion with the first modes only.

        Parameters
        ----------
        n_modes : int
            Number of modes to keep, at most the present number.

        Returns
        -------
        KarhunenLoeve

        Raises
        ------
        InputError
            If there are fewer modes.
        """
        n = integer("n_modes", n_modes, 1, len(self))
        estimates = None if self.estimates is None else self.estimates[:n]
        parts = (self.eigenvalues[:n], self.errors[:n])
        return replace(
            self,
            eigenvalues=parts[0],
            errors=parts[1],
            n_noise=0,
            estimates=estimates,
            _functions=self._functions.take(n),
        )

    def connected(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """Covariance of these modes, sum_k lambda_k e_k(s) e_k(t).

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            Broadcast shape of s and t, unit [x]^2. Exact for these modes.
        """
        return np.asarray(np.sum(self.eigenvalues * self(s) * self(t), axis=-1))

    def two_point(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """Two-point function <x(s) x(t)> of these modes, mean included.

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            Broadcast shape of s and t, unit [x]^2. Exact for these modes.
        """
        return self.connected(s, t) + self.mean(s) * self.mean(t)

    def connected_four_point(self, times: ArrayLike, density: Density) -> Floats:
        r"""Connected four-point function for independent theta_k.

        .. math:: \kappa \sum_k \lambda_k^2\, e_k(t_1) e_k(t_2) e_k(t_3) e_k(t_4)

        Here kappa is the excess kurtosis of the density; cumulants of independent variables add. The result is exact
        for these modes. More modes do not make the process Gaussian: the sum of lambda_k^2 converges, a few large
        eigenvalues dominate it, and the central limit theorem does not apply.

        Parameters
        ----------
        times : array_like
            Shape (..., 4), unit time.
        density : Density
            Density of each theta_k.

        Returns
        -------
        ndarray
            Shape (...), unit [x]^4.

        Raises
        ------
        InputError
            If the density has no fourth moment.

        Examples
        --------
        >>> kl = nnqm.karhunen_loeve(nnqm.Kernel.ornstein_uhlenbeck(1.0), (0.0, 2.0), 4)
        >>> float(kl.connected_four_point([1.0, 1.0, 1.0, 1.0], Density("uniform")).round(4))
        -0.1662
        """
        density.need_moment(4, "a four-point function of a network with random weights")
        t = four_times(times)
        return np.asarray(density.kurtosis * np.sum(self.eigenvalues**2 * self(t).prod(axis=-2), axis=-1))

    def four_point(self, times: ArrayLike, density: Density) -> Floats:
        """Four-point function <x(t1) x(t2) x(t3) x(t4)>, mean included; see ``connected_four_point``.

        Parameters
        ----------
        times : array_like
            Shape (..., 4), unit time, in the interval.
        density : Density
            Density of each theta_k.

        Returns
        -------
        ndarray
            Shape (...), unit [x]^4.

        Raises
        ------
        InputError
            If the density has no fourth moment, or times have another shape or lie outside the interval.
        """
        connected = self.connected_four_point(times, density)
        t = floats("times", times)
        return fourth_moment(self.mean(t), self.connected(t[..., :, None], t[..., None, :]), 0.0, connected)

    def quadratic_variation(self, times: ArrayLike, lag: float) -> Floats:
        """Mean square increment <(x(t + lag) - x(t))^2> of these modes, without the mean.

        Parameters
        ----------
        times : array_like
            Times t of any shape, unit time; t and t + lag in the interval.
        lag : float
            Unit time.

        Returns
        -------
        ndarray
            Shape of the times, unit [x]^2.

        Raises
        ------
        InputError
            If a time lies outside the interval.
        """
        t = floats("times", times)
        return np.asarray(np.sum(self.eigenvalues * (self(t + lag) - self(t)) ** 2, axis=-1))

    def commutator_at(self, lags: ArrayLike, *, hbar: float = 1.0, mass: float = 1.0) -> Floats:
        r"""Commutator [x, p]/(i hbar) at finite lag, averaged over the interval.

        .. math:: C_K(\epsilon) = \frac{m}{\hbar\epsilon} \frac{1}{T - \epsilon}
                  \int_a^{b - \epsilon} \sum_{k \le K} \lambda_k (e_k(t + \epsilon) - e_k(t))^2\, dt

        It shows at which lags the truncated network is quantum mechanics. A finite sum of smooth modes is smooth: for
        epsilon below about T/K the commutator vanishes linearly. At larger lags, for a kernel with a kink at s = t, the
        commutator is too small by 2 T/(pi^2 K epsilon) times its limit for epsilon -> 0 and all modes.

        Parameters
        ----------
        lags : array_like
            Any shape, unit time, positive and below the length T of the interval.
        hbar, mass : float
            As in ``Theory``.

        Returns
        -------
        ndarray
            Shape of the lags, dimensionless. Exact for these modes, up to the errors of the modes.

        Raises
        ------
        InputError
            If a lag is not between 0 and T, or a constant is not positive.
        """
        epsilon, (a, b) = floats("lags", lags), self.interval
        if epsilon.size and (epsilon.min() <= 0 or epsilon.max() >= b - a):
            bad = epsilon[(epsilon <= 0) | (epsilon >= b - a)][0]
            raise InputError(f"lags must lie between 0 and the length of the interval, {b - a:g}; got {bad:g}")
        factor = positive("mass", mass) / positive("hbar", hbar)
        x, w = legendre_rule(8)
        out = np.empty(epsilon.shape)
        for index, lag in np.ndenumerate(epsilon):
            # Squared modes have at most K + 1 oscillations; every half oscillation gets eight nodes.
            edges = np.linspace(a, b - lag, 2 * len(self) + 9)
            half = np.diff(edges) / 2
            t = edges[:-1, None] + half[:, None] * (1 + x)
            out[index] = factor / (lag * (b - lag - a)) * np.sum(half[:, None] * w * self.quadratic_variation(t, lag))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``from_dict``; floats survive the round trip through JSON bit for bit.

        Returns
        -------
        dict
        """
        found = self.estimates
        return {
            "interval": list(self.interval),
            "eigenvalues": self.eigenvalues.tolist(),
            "errors": self.errors.tolist(),
            "n_noise": self.n_noise,
            "trace": self.trace,
            "method": self.method,
            "estimates": None if found is None else {n: getattr(found, n).tolist() for n in _ESTIMATE},
            "functions": self._functions.to_dict(),
            "mean": self._mean.to_dict() if isinstance(self._mean, Pieces) else self._mean,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KarhunenLoeve:
        """The expansion that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        KarhunenLoeve
        """
        found, mean = data["estimates"], data["mean"]
        return cls(
            interval=(float(data["interval"][0]), float(data["interval"][1])),
            eigenvalues=np.array(data["eigenvalues"]),
            errors=np.array(data["errors"]),
            n_noise=data["n_noise"],
            trace=data["trace"],
            method=data["method"],
            estimates=None if found is None else Estimate(*(found[n] for n in _ESTIMATE)),
            _functions=_of_dict(data["functions"]),
            _mean=Pieces(*(np.array(mean[n]) for n in _PIECES)) if isinstance(mean, Mapping) else float(mean),
        )

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, KarhunenLoeve) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.interval, self.trace, self.eigenvalues.tobytes()))

    def __str__(self) -> str:
        a, b = self.interval
        line = (
            f"{len(self)} modes on [{a:g}, {b:g}] ({self.method}): {1 - self.truncation_error:.4%} of the variance, "
            f"errors up to {self.errors.max(initial=0.0):.1g}"
        )
        return line + (f"; {self.n_noise} more asked for are noise" if self.n_noise else "")


def four_times(times: ArrayLike) -> Floats:
    """Checked times of a four-point function, shape (..., 4)."""
    t = floats("times", times)
    if t.ndim == 0 or t.shape[-1] != 4:
        raise InputError(f"times must have shape (..., 4); got {t.shape}")
    return t


def fourth_moment(mean: Floats, pair: Floats, triple: Floats | float, quadruple: Floats) -> Floats:
    """Moment <x1 x2 x3 x4> from cumulants.

    Shapes of the cumulants: first (..., 4), second (..., 4, 4), third (..., 4), entry i without x_i, and fourth (...).
    """
    total = quadruple + np.sum(mean * triple, axis=-1) + mean.prod(axis=-1)
    for i, j, k, n in PAIRINGS:
        first, second = pair[..., i, j], pair[..., k, n]
        total = total + first * second + first * mean[..., k] * mean[..., n] + second * mean[..., i] * mean[..., j]
    return np.asarray(total)
