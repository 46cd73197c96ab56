"""Seed processes that are random sums of modes: Karhunen-Loeve networks, also with parameters split at t = 0."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, floats
from .._memory import need_memory
from ..errors import InputError, InputTypeError
from ..statistics.rules import legendre_rule
from .densities import Density
from .immutable import Immutable
from .mode_sums import PAIRINGS, KarhunenLoeve, four_times, fourth_moment
from .source import Source

__all__ = ["KarhunenLoeveProcess", "LinearProcess", "SplittingProcess"]

# Largest number of values of x in memory at once.
_CHUNK = 2**21
# Fraction of the standard deviation below which a split mode counts as zero at t = 0.
_VANISHES = 1e-6
# Number of steps of the natural time grid.
_STEPS = 255


class LinearProcess(Immutable, Source):
    r"""A network in time with random output weights: x(t) = m(t) + sum_k theta_k b_k(t).

    The process has one channel, exists on an interval, and is generally not stationary.

    Attributes
    ----------
    density : Density
        Density of each theta_k.
    rows : ndarray or None
        Joint values of all theta_k in place of a density, shape (R, K); every path uses a random row.
    independent : bool
        Whether each theta_k comes from a random row of its own, so that the theta_k are independent.
    """

    __slots__ = ("density", "independent", "rows")

    density: Density
    rows: Floats | None
    independent: bool

    @property
    @abstractmethod
    def interval(self) -> tuple[float, float]:
        """Interval of times on which the process exists."""

    @abstractmethod
    def modes(self, times: ArrayLike) -> Floats:
        """Modes b_k(t).

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in the interval.

        Returns
        -------
        ndarray
            Shape (..., K), unit [x].
        """

    @abstractmethod
    def _offset(self, times: Floats) -> Floats:
        """Fixed part m(t)."""

    @property
    def stationary(self) -> bool:
        """False, because the process exists only on an interval."""
        return False

    @property
    def natural_step(self) -> float:
        """Time step of a grid of 256 points on the interval."""
        a, b = self.interval
        return (b - a) / _STEPS

    @property
    def mean(self) -> Floats:
        """Mean of x, averaged over the interval, shape (1,)."""
        return np.array([self._average(self.mean_at)])

    @property
    def variance(self) -> Floats:
        """Variance of x, averaged over the interval, shape (1,)."""
        return np.array([self._average(lambda t: self.connected(t, t))])

    def _average(self, function: Any) -> float:
        # The panels resolve the squares of all modes.
        (a, b), (x, w) = self.interval, legendre_rule(8)
        edges = np.linspace(a, b, 2 * self.modes(a).shape[-1] + 9)
        half = np.diff(edges)[:, None] / 2
        return float(np.sum(half * w * function(edges[:-1, None] + half * (1 + x))) / (b - a))

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def gaussian(self) -> bool:
        """Whether all theta_k are Gaussian."""
        return self.rows is None and self.density.name == "gaussian"

    @property
    def known_covariance(self) -> Callable[[Floats, Floats], Floats]:
        """Exact covariance, ``connected``."""
        return self.connected

    def mean_at(self, times: ArrayLike) -> Floats:
        """Mean of x at given times.

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in the interval.

        Returns
        -------
        ndarray
            Shape of the times, unit [x]. Exact for the process that is sampled.
        """
        t = floats("times", times)
        fixed = self._offset(t)
        return fixed if self.rows is None else np.asarray(fixed + self.modes(t) @ self.rows.mean(axis=0))

    def connected(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """Covariance of x(s) and x(t).

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            Broadcast shape of s and t, unit [x]^2. Exact for the process that is sampled.
        """
        left, right = self.modes(s), self.modes(t)
        if self.rows is not None:
            spread = self.rows.var(axis=0)
            left = (
                left * spread if self.independent else left @ np.cov(self.rows.T, bias=True).reshape(2 * spread.shape)
            )
        return np.asarray(np.sum(left * right, axis=-1))

    def two_point(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """Two-point function <x(s) x(t)>, mean included.

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            Broadcast shape of s and t, unit [x]^2. Exact for the process that is sampled.
        """
        return self.connected(s, t) + self.mean_at(s) * self.mean_at(t)

    def connected_four_point(self, times: ArrayLike) -> Floats:
        r"""Connected four-point function.

        .. math:: \sum_k \kappa_k\, b_k(t_1) b_k(t_2) b_k(t_3) b_k(t_4)

        This holds for independent theta_k with fourth cumulants kappa_k, because cumulants of independent variables
        add. For joint rows it is the average over the rows, less the three products of two-point functions.

        Parameters
        ----------
        times : array_like
            Shape (..., 4), unit time, in the interval.

        Returns
        -------
        ndarray
            Shape (...), unit [x]^4. Exact for the process that is sampled.

        Raises
        ------
        InputError
            If the density has no fourth moment, or times have another shape or lie outside the interval.
        """
        t = four_times(times)
        if self.rows is not None and not self.independent:
            total = self._over_rows(t, centred=True)
            pair = self.connected(t[..., :, None], t[..., None, :])
            return np.asarray(total - sum(pair[..., i, j] * pair[..., k, n] for i, j, k, n in PAIRINGS))
        return np.asarray(np.sum(self._cumulants(4) * self.modes(t).prod(axis=-2), axis=-1))

    def four_point(self, times: ArrayLike) -> Floats:
        """Four-point function <x(t1) x(t2) x(t3) x(t4)>, mean included.

        Parameters
        ----------
        times : array_like
            Shape (..., 4), unit time, in the interval.

        Returns
        -------
        ndarray
            Shape (...), unit [x]^4. Exact for the process that is sampled.

        Raises
        ------
        InputError
            If the density has no fourth moment, or times have another shape or lie outside the interval.
        """
        t = four_times(times)
        if self.rows is not None and not self.independent:
            return self._over_rows(t, centred=False)
        modes, third = self.modes(t), self._cumulants(3)
        others = [[j for j in range(4) if j != i] for i in range(4)]
        triple = np.stack([np.sum(third * modes[..., o, :].prod(axis=-2), axis=-1) for o in others], axis=-1)
        pair = self.connected(t[..., :, None], t[..., None, :])
        return fourth_moment(self.mean_at(t), pair, triple, self.connected_four_point(t))

    def kurtosis(self, times: ArrayLike) -> Floats:
        r"""Excess kurtosis of x(t): the connected four-point function over the squared variance.

        For independent theta_k with excess kurtosis kappa_k and variance 1 it is
        :math:`\sum_k \kappa_k b_k(t)^4 / (\sum_k b_k(t)^2)^2`.

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in the interval.

        Returns
        -------
        ndarray
            Shape of the times, dimensionless. Exact for the process that is sampled.

        Raises
        ------
        InputError
            If the density has no fourth moment.
        """
        t = floats("times", times)
        together = np.repeat(t[..., None], 4, axis=-1)
        return np.asarray(self.connected_four_point(together) / self.connected(t, t) ** 2)

    def need_moment(self, order: int, what: str) -> None:
        """Raise an error if the density lacks a moment.

        Parameters
        ----------
        order : int
            Order of the moment.
        what : str
            Result that needs the moment, for the message.

        Raises
        ------
        InputError
            If the moment is infinite.
        """
        if self.rows is None:
            self.density.need_moment(order, what)

    def _cumulants(self, order: int) -> Floats:
        """Third or fourth cumulants of independent theta_k, shape (K,) or ()."""
        if self.rows is None:
            if order == 3:
                return np.zeros(())
            self.density.need_moment(4, "a four-point function of a network with random weights")
            return np.asarray(self.density.kurtosis)
        deviations = self.rows - self.rows.mean(axis=0)
        moment = np.mean(deviations**order, axis=0)
        return np.asarray(moment if order == 3 else moment - 3 * np.mean(deviations**2, axis=0) ** 2)

    def _over_rows(self, t: Floats, *, centred: bool) -> Floats:
        """Average over the rows of the product of four values of x, with the means subtracted if ``centred``."""
        assert self.rows is not None
        modes = self.modes(t).reshape(-1, self.rows.shape[1])
        fixed = -modes @ self.rows.mean(axis=0) if centred else self._offset(t).ravel()
        total = np.zeros(len(modes) // 4)
        step = max(1, _CHUNK // len(modes))
        for first in range(0, len(self.rows), step):
            values = self.rows[first : first + step] @ modes.T + fixed
            total += values.reshape(len(values), -1, 4).prod(axis=2).sum(axis=0)
        return np.asarray(total / len(self.rows)).reshape(t.shape[:-1])

    def compiled(self, times: Floats) -> list[_core.Linear]:
        """Modes on the grid, in terms of the core.

        Parameters
        ----------
        times : ndarray
            Shape (n_times,), unit time, in the interval.

        Returns
        -------
        list
            One source of the core.
        """
        name, nu = self.density.core_name
        n_modes = self.modes(times[:1]).shape[1]
        size = 24.0 * n_modes * len(times)  # the modes in the order of times and of modes, and a copy in the core
        need_memory(size, "the modes", "use fewer times or modes", f"{n_modes} modes and {len(times)} times")
        linear = _core.Linear(
            mean=self._offset(times),
            basis=np.ascontiguousarray(self.modes(times).T),
            density=name,
            nu=nu,
            rows=np.empty(0) if self.rows is None else self.rows.ravel(),
            independent=self.independent,
        )
        return [linear]


class KarhunenLoeveProcess(LinearProcess):
    r"""A Karhunen-Loeve network as a seed process: neurons e_k, random output weights, output bias m(t).

    .. math:: x(t) = m(t) + \sum_k \theta_k \sqrt{\lambda_k}\, e_k(t)

    Every mean-square continuous process with a finite two-point function has this form with infinitely many modes
    (Ferko and Halverson, arXiv:2504.05462). Paths can be sampled on any grid of times in the interval.

    Parameters
    ----------
    expansion : KarhunenLoeve
        Result of ``karhunen_loeve``; its method ``truncated`` reduces the number of modes.
    density : Density or str, default "gaussian"
        Density of each theta_k, with a finite variance; the theta_k are independent.
    rows : array_like, optional
        Joint values of the theta_k in place of a density, shape (R, K); every path uses a random row. ``as_network``
        computes rows from paths.
    independent : bool, default False
        Draw each theta_k from a random row of its own: the marginals stay, the dependence goes.

    Raises
    ------
    InputError, InputTypeError
        If the first argument is no expansion, the density has no variance, or the rows do not have one column per mode.

    Examples
    --------
    >>> expansion = nnqm.karhunen_loeve(nnqm.Kernel.ornstein_uhlenbeck(1.0), (0.0, 2.0), 4)
    >>> network = KarhunenLoeveProcess(expansion, "laplace")
    >>> float(network.kurtosis(1.0).round(4)), nnqm.Theory(network).stationary
    (2.168, False)
    """

    __slots__ = ("expansion",)

    kind = "karhunen-loeve"
    _contents = ("expansion", "density", "rows", "independent")

    expansion: KarhunenLoeve

    def __init__(
        self,
        expansion: KarhunenLoeve,
        density: Density | str = "gaussian",
        *,
        rows: ArrayLike | None = None,
        independent: bool = False,
    ) -> None:
        if not isinstance(expansion, KarhunenLoeve):
            raise InputTypeError(f"expansion must be a KarhunenLoeve; got {expansion!r}; karhunen_loeve makes one")
        law = _with_variance(density)
        values = None
        if rows is not None:
            values = floats("rows", rows, 2)
            if law != Density("gaussian"):
                raise InputError(f"rows take the place of a density; got rows and {law}; leave one of them out")
            if len(values) < 2 or values.shape[1] != len(expansion):
                raise InputError(
                    f"rows must have shape (R, {len(expansion)}), one column per mode and at least two rows; got "
                    f"{values.shape}"
                )
        elif independent:
            raise InputError("independent=True draws from the columns of rows; give rows, or leave it out")
        self._set(expansion=expansion, density=law, rows=values, independent=bool(independent))

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the expansion."""
        return self.expansion.interval

    def modes(self, times: ArrayLike) -> Floats:
        """Modes sqrt(lambda_k) e_k(t).

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in the interval.

        Returns
        -------
        ndarray
            Shape (..., K), unit [x].

        Raises
        ------
        InputError
            If a time lies outside the interval.
        """
        return np.asarray(np.sqrt(self.expansion.eigenvalues) * self.expansion(times))

    def _offset(self, times: Floats) -> Floats:
        return self.expansion.mean(times)

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "Karhunen-Loeve"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        KarhunenLoeveProcess
        """
        expansion, density = KarhunenLoeve.from_dict(data["expansion"]), Density.from_dict(data["density"])
        return cls(expansion, density, rows=data["rows"], independent=data["independent"])

    def __repr__(self) -> str:
        a, b = self.interval
        law = str(self.density)
        if self.rows is not None:
            law = f"{len(self.rows)} {'independent columns' if self.independent else 'joint rows'}"
        return f"KarhunenLoeveProcess({len(self.expansion)} modes on [{a:g}, {b:g}], {law})"


def _with_variance(density: Density | str) -> Density:
    if not isinstance(density, Density | str):
        raise InputTypeError(f"density must be a Density or its name; got {density!r}")
    law = Density(density) if isinstance(density, str) else density
    law.need_moment(2, "a two-point function of a network with random weights")
    return law


class SplittingProcess(LinearProcess):
    r"""A Karhunen-Loeve network whose parameters are split at t = 0: reflection positive by construction.

    .. math:: x(t) = m(|t|) + \sum_k \theta_k \sqrt{\lambda_k}\, e_k(|t|)
              + \sum_k \theta^{\pm}_k \sqrt{\mu_k}\, (g_k(|t|) - g_k(0)), \qquad \pm = \mathrm{sgn}\, t

    Here theta^+ and theta^- are independent. Given theta, the two sides are independent and have the same law, so that
    :math:`\langle F(\Theta X) F(X)\rangle = E|E[F|\theta]|^2 \ge 0` for every functional F of t >= 0 and every density
    (Ferko and Halverson, arXiv:2504.05462). The process is generally not stationary.

    Parameters
    ----------
    shared : KarhunenLoeve
        Modes e_k on [0, T] with the same weights on both sides, and the mean m.
    split : KarhunenLoeve
        Modes g_k on [0, T] with independent weights on the two sides; they vanish at 0 and have no mean.
    density : Density or str, default "gaussian"
        Density of all weights, with a finite variance; the weights are independent.

    Raises
    ------
    InputError, InputTypeError
        If the intervals differ or do not begin at 0, a split mode does not vanish at 0 (x(0) would depend on theta^+
        and theta^-), or the density has no variance.

    Examples
    --------
    A shared x(0) with independent Brownian motion on each side:

    >>> start = nnqm.karhunen_loeve(lambda s, t: 0.5 + 0 * s * t, (0.0, 1.0), 1)
    >>> sides = nnqm.karhunen_loeve(nnqm.Kernel.wiener(), (0.0, 1.0), 200)
    >>> process = SplittingProcess(start, sides)
    >>> process.connected([-0.5, 0.5], [0.5, 0.5]).round(2)
    array([0.5, 1. ])
    """

    __slots__ = ("shared", "split")

    kind = "splitting"
    _contents = ("shared", "split", "density")

    shared: KarhunenLoeve
    split: KarhunenLoeve

    def __init__(self, shared: KarhunenLoeve, split: KarhunenLoeve, density: Density | str = "gaussian") -> None:
        for name, given in (("shared", shared), ("split", split)):
            if not isinstance(given, KarhunenLoeve):
                raise InputTypeError(f"{name} must be a KarhunenLoeve; got {given!r}; karhunen_loeve makes one")
        if shared.interval != split.interval or shared.interval[0] != 0:
            raise InputError(
                f"shared and split must be on one interval (0, T); got {shared.interval} and {split.interval}"
            )
        end = split.interval[1]
        size = np.sqrt(split.trace / end)
        at_zero = split.basis([0.0])[:, 0]
        worst = int(np.abs(at_zero).argmax())
        if abs(at_zero[worst]) > _VANISHES * size:
            raise InputError(
                f"split modes must vanish at t = 0, or x(0) depends on weights that are not shared; mode {worst} "
                f"is {at_zero[worst]:.3g} there, for a standard deviation of {size:.3g}; decompose "
                "K(s, t) - K(s, 0) K(0, t)/K(0, 0) instead of K, and share the rest"
            )
        drift = np.abs(split.mean(np.linspace(0, end, 33))).max()
        if drift > 0:
            raise InputError(f"split must have zero mean; got a mean of up to {drift:.3g}; give it to shared")
        self._set(shared=shared, split=split, density=_with_variance(density), rows=None, independent=False)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval (-T, T)."""
        return -self.shared.interval[1], self.shared.interval[1]

    def modes(self, times: ArrayLike) -> Floats:
        """Modes, in this order: shared, of t > 0, of t < 0.

        Parameters
        ----------
        times : array_like
            Any shape, unit time, in (-T, T).

        Returns
        -------
        ndarray
            Shape (..., K), unit [x].

        Raises
        ------
        InputError
            If a time lies outside the interval.
        """
        t = floats("times", times)
        both = np.sqrt(self.shared.eigenvalues) * self.shared(np.abs(t))
        sides = np.sqrt(self.split.eigenvalues) * (self.split(np.abs(t)) - self.split(0.0))
        return np.concatenate([both, sides * (t > 0)[..., None], sides * (t < 0)[..., None]], axis=-1)

    def _offset(self, times: Floats) -> Floats:
        return self.shared.mean(np.abs(times))

    @property
    def positive_because(self) -> str:
        """Reason: parameters are split."""
        return "weights are split at t = 0, and x(0) depends on the shared ones only"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        SplittingProcess
        """
        shared, split = (KarhunenLoeve.from_dict(data[name]) for name in ("shared", "split"))
        return cls(shared, split, Density.from_dict(data["density"]))

    def __repr__(self) -> str:
        a, b = self.interval
        return (
            f"SplittingProcess({len(self.shared)} shared and {len(self.split)} split modes on [{a:g}, {b:g}], "
            f"{self.density})"
        )
