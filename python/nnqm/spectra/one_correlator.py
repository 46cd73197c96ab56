r"""Levels from one correlator, where that is all there is.

A sum of exponentials with positive weights,

.. math:: G(t) = \sum_n |Z_n|^2 e^{-E_n t/\hbar},

determines its lowest gap and little above: two levels that are near each other look like one between them, whatever the
method. So each number here has a second error beside the statistical one: how far the nearest level of the theory may
be from it. It is the spread of the energies that hide behind the number, found from the data like the number itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer, positive
from ..errors import InputError, InputTypeError
from ..sampling.correlators import Correlators, is_uniform
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .gevp import Directions, estimate_of, generalised_eigenstates, stack_of
from .levels import LARGEST_RELATIVE_ERROR, Level, on_ladder
from .positive_sums import CUT_COST, POOR_FIT, SINGULAR, Fit, Shape, bound_of_levels, grow, log_cosh, rate_of, refine

__all__ = ["DecayError", "DecayLevels", "OneCorrelator"]

# Smallest value of a correlator, direction of its Hankel matrix or weight of a state that is used, in errors.
_SIGNIFICANT = 5.0

# Largest total error of a resolved gap, statistical error and spread together, as a part of the gap.
_LARGEST_TOTAL_ERROR = 0.2

# Fall below zero, or rise, that no sum of decays makes, in errors. Of a hundred points one in 1e6 does by chance.
_IMPOSSIBLE = 6.0

# Most points of a fit. More gain nothing, and the covariance of neighbours comes ever closer to singular.
_MOST_POINTS = 24

# Fewest blocks that are made for a given covariance; see _blocks_for.
_FEWEST_BLOCKS = 256


class DecayError(InputError):
    """A correlator that cannot be analysed as asked.

    Attributes
    ----------
    times : ndarray
        Midpoints of successive points, shape (k,), unit time; those at which there is an effective energy.
    effective_energy : Estimate
        The effective energies that could be computed, shape (k,), energy units; their errors need no covariance.
    """

    def __init__(self, message: str, times: Floats, effective_energy: Estimate) -> None:
        super().__init__(message)
        self.times = times
        self.effective_energy = effective_energy


@dataclass(frozen=True)
class DecayLevels:
    """Levels found in one correlator; see ``OneCorrelator``.

    Attributes
    ----------
    method : str
    levels : tuple of Level
        Lowest first. The statistical error of a gap comes from the data; its systematic error is the distance within
        which a level of the theory lies: a bound that holds in 68% of cases, not a shift to be expected. ``weight`` is
        |Z|^2 at t = 0. Verdicts: "resolved"; "noise" (no signal, or a statistical error above 10%); "basis-limited"
        (levels that hide behind it may lie 20% away, or no fit describes the data); "plateau" (no decay);
        "above unresolved".
    times : ndarray
        Those of the correlator that were used, unit time.
    p_value : float or None
        Of the fit; None if there is no fit.
    note : str
        Which gaps are not resolved, and what would help.
    """

    method: str
    levels: tuple[Level, ...]
    times: Floats
    p_value: float | None
    note: str

    @property
    def gaps(self) -> tuple[Estimate, ...]:
        """Resolved gaps in energy units, lowest first."""
        return tuple(level.gap for level in self.levels if level.resolved and level.gap is not None)

    def __str__(self) -> str:
        rows = [f"{self.method}, {len(self.times)} points"]
        if self.p_value is not None:
            rows[0] += f", p = {self.p_value:.2g}"
        for n, level in enumerate(self.levels, start=1):
            rows.append(f"gap {n}: {'none' if level.gap is None else level.gap}  {level.verdict}")
        return "\n".join([*rows, self.note])


class OneCorrelator:
    r"""One connected correlator at a list of times, and what levels it holds.

    Parameters
    ----------
    correlator : Correlators, Estimate, array_like, gvar array, or pyerrors Corr or list of Obs
        A run, whose connected function of ``channel`` is taken; or values at ``times``, shape (K,), real. The vacuum
        part (the squared mean) must have been subtracted, or shows as a plateau.
    times : array_like, optional
        Increasing, not negative, shape (K,), unit time. A run has its own; 0, 1, 2, ... for a Corr of pyerrors.
    covariance : array_like, optional
        Covariance of the values, shape (K, K), for a plain array; it counts as exactly known.
    channel : int or str
        Of a run.
    hbar : float, default 1
        A run has its own.
    period : float, optional
        The Euclidean time after which the correlator repeats itself, if it does; then there is one level, from
        cosh(E (period/2 - t)/hbar), which is exact for a Gaussian process. Runs of thermal theories have their own.

    Attributes
    ----------
    times : ndarray
    values : Estimate
        Shape (K,). If a covariance was given, the replicas are constructed to have this covariance.
    hbar : float
    period : float or None
    n_samples : int or None
        Blocks from which the covariance is estimated; fits then take at most a tenth as many points, and chi^2 is
        corrected for its noise. None if it is known.

    Raises
    ------
    InputError, InputTypeError
        If values are complex or not finite, times do not increase, the covariance does not fit or is missing, or a
        point does not fluctuate.
    DecayError
        If the covariance is singular (at which times), or the values do not decay: they are significantly
        negative, or rising as periodic ones do.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 128, 0.2, rng=1)
    >>> found = nnqm.OneCorrelator(run).rayleigh_ritz()
    >>> [level.verdict for level in found.levels], bool(abs(found.gaps[0].pull(1.0)) < 3)
    (['resolved'], True)
    """

    times: Floats
    values: Estimate
    hbar: float
    period: float | None
    n_samples: int | None

    def __init__(
        self,
        correlator: Any,
        times: ArrayLike | None = None,
        *,
        covariance: ArrayLike | None = None,
        channel: int | str = 0,
        hbar: float | None = None,
        period: float | None = None,
    ) -> None:
        self.period = None if period is None else positive("period", period)
        if isinstance(correlator, Correlators):
            for name, given in (("times", times), ("covariance", covariance), ("hbar", hbar)):
                if given is not None:
                    raise InputError(f"{name} of a run is its own; leave it out")
            self.values = correlator.connected(channel)
            self.times = np.asarray(correlator.lags) * correlator.dt
            self.hbar, self.n_samples = correlator.hbar, self.values.n_blocks
            if self.period is None:
                self.period = correlator.period
        else:
            self.hbar = 1.0 if hbar is None else positive("hbar", hbar)
            values, known, own_times = _parse(correlator, covariance)
            grid = own_times if times is None else floats("times", times, 1)
            if grid is None:
                raise InputError("times are missing: give the time of each value, shape (K,)")
            self.times = grid
            if isinstance(values, Estimate):
                self.values, self.n_samples = values, values.n_blocks
            else:
                assert known is not None
                _check_moves(self.times, np.diag(known))
                self.values, self.n_samples = _blocks_for(values, known), None
        _check_times(self.times, len(self.values))
        _check_moves(self.times, self.values.error)
        if self.n_samples is None:
            self._covariance(np.arange(len(self.times)))
        self._check_decay()

    def _check_decay(self) -> None:
        """Raise if values are significantly negative or rise again."""
        values, error = self.values.value, self.values.error
        for i in np.flatnonzero(values < -_IMPOSSIBLE * error)[:1]:
            raise self._error(
                f"the correlator must not be negative: at time {self.times[i]:g} it is {self.values[int(i)]}; a decay "
                "with positive weights is positive: use the connected function of one real observable with itself, "
                "or test reflection_positivity"
            )
        if self.period is not None:
            return
        lowest = int(np.argmin(values))
        for i in range(lowest + 1, len(values)):
            rise = self.values[i].map(lambda a, b: a - b, self.values[lowest])
            if float(rise.value) > _IMPOSSIBLE * float(rise.error):
                raise self._error(
                    f"the correlator must decay; it rises by {rise} between times {self.times[lowest]:g} and "
                    f"{self.times[i]:g} as a periodic one does; give its period, or only times below half of it"
                )

    def _error(self, message: str) -> DecayError:
        return DecayError(message, *self.effective_energy())

    @property
    def _half(self) -> float | None:
        return None if self.period is None else self.period / 2 / self.hbar

    def _significant(self) -> int:
        """Number of points before the first one that is not above zero beyond doubt, in each replica."""
        good = (self.values.value > _SIGNIFICANT * self.values.error) & (self.values.replicas > 0).all(axis=0)
        if self.period is not None:
            good &= self.times <= self.period / 2
        return len(good) if good.all() else int(np.argmin(good))

    def _chosen(self) -> NDArray[np.int64]:
        """Positions of the significant points that a fit takes, evenly spread if there are too many."""
        stop = self._significant()
        most = _MOST_POINTS if self.n_samples is None else min(_MOST_POINTS, self.n_samples // 10)
        return np.unique(np.linspace(0, max(stop - 1, 0), min(stop, most)).round().astype(np.int64))

    def _covariance(self, points: Any) -> Floats:
        """Covariance of points of the correlator; raises if it cannot be inverted."""
        deviations = self.values[points]._deviations()
        covariance = deviations.T @ deviations
        scale = 1 / np.sqrt(np.diag(covariance))
        eigenvalues, vectors = np.linalg.eigh(covariance * scale[:, None] * scale)
        null = eigenvalues < SINGULAR * len(scale)
        if null.any():
            # A time takes part in a dependence if it has a share in the null space that rounding cannot give it.
            guilty = np.asarray(points)[np.sqrt((vectors[:, null] ** 2).sum(axis=1)) > 0.05]
            raise self._error(
                f"the covariance is singular ({int(null.sum())} dependent combinations, at times "
                f"{_listed(self.times[guilty])}); leave some of these times out, or give more samples"
            )
        return np.asarray(covariance)

    def _chi_factor(self, n_points: int) -> float:
        """Factor that makes chi^2 from an estimated covariance unbiased.

        Hartlap, Simon and Schneider, Astron. Astrophys. 464, 399 (2007).
        """
        return 1.0 if self.n_samples is None else (self.n_samples - n_points - 2) / (self.n_samples - 1)

    def _p_value(self, fit: Fit) -> float:
        from scipy.special import chdtrc, fdtrc

        freedom = len(fit.residual) - fit.n_parameters
        if freedom < 1:
            return 1.0
        if self.n_samples is None:
            return float(chdtrc(freedom, fit.chi_squared))
        n = self.n_samples
        return float(fdtrc(freedom, n - freedom, fit.chi_squared * (n - freedom) / (freedom * (n - 1))))

    def _inflation(self, fit: Fit) -> float:
        r"""Variance of a fit parameter over what the estimated covariance gives.

        It is :math:`(\nu + \chi^2)/(\nu - q)` with q points more than parameters and a covariance of :math:`\nu`
        degrees of freedom: exact for Gaussian blocks, whatever chi^2 (C. R. Rao, Proc. 5th Berkeley Symp. 1, 355
        (1967)). The energy then has Student's distribution of :math:`\nu - q` degrees of freedom.
        """
        if self.n_samples is None:
            return 1.0
        freedom = self.n_samples - 1
        return (freedom + fit.chi_squared) / (freedom - len(fit.residual) + fit.n_parameters)

    def effective_energy(self) -> tuple[Floats, Estimate]:
        r"""Effective energies between successive times, as long as the correlator is 5 errors above zero.

        .. math:: E_{\mathrm{eff}} = -\hbar\,\frac{\ln G(t_{k+1}) - \ln G(t_k)}{t_{k+1} - t_k}

        or, with a period, the solution of
        :math:`G(t_{k+1})/G(t_k) = \cosh(E (T/2 - t_{k+1})/\hbar)/\cosh(E (T/2 - t_k)/\hbar)`. It tends to the lowest
        gap from above. The error is statistical.

        Returns
        -------
        times : ndarray
            Midpoints, shape (k,), unit time; k may be 0.
        energy : Estimate
            Shape (k,), energy units.
        """
        return self._effective(np.arange(self._significant()))

    def _effective(self, points: Any) -> tuple[Floats, Estimate]:
        t, chosen = self.times[points], self.values[points]
        middle = (t[1:] + t[:-1]) / 2
        if self.period is None:
            return middle, chosen.map(lambda g: -self.hbar * np.diff(np.log(g), axis=-1) / np.diff(t))
        half = self.period / 2

        def solve(g: Floats) -> Floats:
            # ln cosh(E a)/cosh(E b) = target with a < b falls in E from 0 on.
            target = np.diff(np.log(g), axis=-1)
            a, b = half - t[1:], half - t[:-1]
            low, high = np.zeros_like(target), np.full_like(target, 1.0)
            for _ in range(60):
                high = np.where(log_cosh(high * a) - log_cosh(high * b) > target, 2 * high, high)
            for _ in range(80):
                mid = (low + high) / 2
                above = log_cosh(mid * a) - log_cosh(mid * b) > target
                low, high = np.where(above, mid, low), np.where(above, high, mid)
            return self.hbar * (low + high) / 2

        return middle, chosen.map(solve)

    def plateau(self) -> DecayLevels:
        r"""Lowest gap from constant fits to effective energies, averaged over where the plateau begins.

        A constant effective energy from one point on is one exponential, or cosh, from there on. It is fitted to the
        correlator itself, with the full covariance: the covariance of the effective energies follows their noise, so
        that a fit to them would be biased. Each window counts with the probability

        .. math:: p \propto \exp[-(\chi^2 + 2 n_{\mathrm{parameters}} + 4 n_{\mathrm{cut}})/2],

        n_cut the points left out (Jay and Neil, Phys. Rev. D 103, 114502 (2021), where a point costs 2, with which late
        windows take too much part). The average is a smooth function of the data, and its statistical error is that
        function's, with the changes of the probabilities (Efron, J. Am. Stat. Assoc. 109, 991 (2014)) and with the
        noise of an estimated covariance. The systematic error is the spread of energies behind the plateau, as in
        ``exponentials``, averaged likewise: an effective energy falls as
        :math:`dE_{\mathrm{eff}}/dt = -\mathrm{Var}(E)/\hbar`.

        Returns
        -------
        DecayLevels
            With one level.

        Raises
        ------
        DecayError
            If the covariance is singular.
        """
        method = "plateau of the effective energy"
        points = self._chosen()
        if len(points) < 4:
            return self._silent(method, points)
        t, values, covariance = self.times[points] / self.hbar, self.values[points], self._covariance(points)
        fits, energies, information = [], [], []
        # Change of the energy and of the information of each fit with each value.
        rows, slopes = np.zeros((2, len(points) - 3, len(points)))
        for first in range(len(points) - 3):
            white = np.linalg.inv(np.linalg.cholesky(covariance[first:, first:]))
            start = [rate_of(t[first:], values.value[first:])]
            fit = refine(Shape(t[first:], self._half), values.value[first:], white, start, False)
            factor = self._chi_factor(len(t) - first)
            fits.append(fit)
            energies.append(fit.energies[0])
            information.append(factor * fit.chi_squared + 2 * fit.n_parameters + CUT_COST * first)
            rows[first, first:] = fit.rows[1] @ white
            slopes[first, first:] = 2 * factor * fit.residual @ white
        chance = np.exp(-(np.array(information) - min(information)) / 2)
        chance /= chance.sum()
        average = float(chance @ energies)
        row = chance @ rows - 0.5 * (chance * (np.array(energies) - average)) @ slopes
        inflation = float(chance @ [self._inflation(fit) for fit in fits])
        spread = np.sqrt(sum(p * fit.spread(0) ** 2 for p, fit in zip(chance, fits, strict=True) if p > 0))
        gap = self._linear(average, values, row, inflation).with_systematic(spread)
        best = int(np.argmax(chance))
        p_value = self._p_value(fits[best])
        return self._result(method, [Level(gap, None, 1, _verdict(gap, p_value > POOR_FIT))], points[best:], p_value)

    def exponentials(self, n_levels: int = 3) -> DecayLevels:
        r"""Levels from a fit of exponentials with positive weights.

        Non-negative least squares on a grid of energies, whitened by the full covariance, gives a sparse measure; its
        clusters start a continuous fit of as many exponentials, and a constant, as lower chi^2 by 16 (13) each. Early
        points are left out while the fit is poor (p < 1%). The statistical error is the error of the fit. The
        systematic error is the spread of energies that one exponential may represent. A second-order term
        :math:`\tfrac12 \mathrm{Var}(E)\,(t/\hbar)^2 e^{-E t/\hbar}` is fitted beside it; the spread is the root of
        the bound that Var(E) obeys with a probability of 68%. The statistical error includes the noise of an
        estimated covariance.

        Parameters
        ----------
        n_levels : int, default 3
            Exponentials tried at most.

        Returns
        -------
        DecayLevels

        Raises
        ------
        InputError
            For a periodic correlator.
        DecayError
            If the covariance is singular.
        """
        integer("n_levels", n_levels, 1, 8)
        self._need_decay("exponentials")
        method = "positive exponentials"
        points = self._chosen()
        while len(points) >= 4:
            shape, values = Shape(self.times[points] / self.hbar), self.values[points]
            white = np.linalg.inv(np.linalg.cholesky(self._covariance(points)))
            most = min(n_levels, (len(points) - 1) // 2)
            fit = grow(shape, values.value, white, most, self._chi_factor(len(points)))
            p_value = self._p_value(fit)
            if p_value > POOR_FIT or len(points) == 4:
                break
            points = points[1:]
        else:
            return self._silent(method, points)

        def parameter(i: int) -> Estimate:
            return self._linear(fit.parameters[i], values, fit.rows[i] @ white, self._inflation(fit))

        levels = []
        if fit.constant > 0:
            levels.append(Level(None, parameter(fit.n_parameters - 1), 1, Verdict.PLATEAU))
        for j in np.argsort(fit.energies):
            gap = parameter(len(fit.energies) + int(j)).with_systematic(fit.spread(int(j)))
            levels.append(Level(gap, parameter(int(j)), 1, _verdict(gap, p_value > POOR_FIT)))
        return self._result(method, levels, points, p_value)

    def _linear(self, value: float, values: Estimate, row: Floats, inflation: float) -> Estimate:
        """An estimate whose replicas follow the data linearly, with its variance multiplied by a factor."""
        return values.map(lambda g: value + np.sqrt(inflation) * ((g - values.value) @ row))

    def rayleigh_ritz(self, n_levels: int = 3) -> DecayLevels:
        r"""Levels from the transfer matrix in the space that the observable spans, filtered, with two-sided bounds.

        With :math:`|k\rangle = e^{-H k\tau/\hbar} O|0\rangle` the correlator holds the matrices
        :math:`\langle i|e^{-H n\tau/\hbar}|j\rangle = G(t_0 + (i + j + n)\tau)`, and

        .. math:: H_1 v = \lambda H_0 v, \qquad E = -\hbar\ln(\lambda)/\tau, \qquad
                  B = v^T H_2 v - \lambda^2, \quad v^T H_0 v = 1.

        In exact arithmetic this is the Lanczos method (Wagman, arXiv:2406.20009; Hackett and Wagman, arXiv:2407.21777);
        some eigenvalue of the transfer matrix lies within :math:`\sqrt B` of each lambda. Noise makes H_0 indefinite:
        eigendirections of it, in units of the errors of its diagonal, are kept where they exceed zero by 5 errors,
        which leaves a symmetric problem. The weakest are left out until all eigenvalues lie in (0, 1) and belong to
        states whose weight in the correlator is beyond doubt, which none of noise's own do (a filter of spurious ones,
        as in Abbott et al., arXiv:2503.17357). The directions are held fixed in the jackknife. The systematic error is
        :math:`\hbar\sqrt{B_{68}}/(\lambda\tau)`, B_68 what B is below with a probability of 68%. No covariance is
        inverted, so that all times in equal steps from the first on are used.

        Parameters
        ----------
        n_levels : int, default 3
            Levels shown at most.

        Returns
        -------
        DecayLevels

        Raises
        ------
        InputError
            For a periodic correlator.
        DecayError
            With fewer than three significant times in equal steps.
        """
        integer("n_levels", n_levels, 1, 64)
        self._need_decay("rayleigh_ritz")
        method = "filtered Rayleigh-Ritz"
        stop = self._significant()
        if stop < 3:
            return self._silent(method, np.arange(stop))
        equal = 2
        while equal < stop and is_uniform(self.times[: equal + 1]):
            equal += 1
        if equal < 3:
            raise self._error(
                f"rayleigh_ritz needs times in equal steps; got {_listed(self.times[:stop])}, where the first three "
                "are not; use exponentials or plateau, or give other times"
            )
        size = min((equal - 1) // 2, _MOST_POINTS // 2)
        points = np.arange(2 * size + 1)
        tau = float(self.times[1] - self.times[0])
        stack = stack_of(self.values)
        index = np.add.outer(np.arange(size), np.arange(size))
        # In units of the errors, so that late times of mostly noise do not weigh as much as early ones.
        scale = 1 / np.sqrt(self.values.error[2 * np.arange(size)])
        hankel = [stack[:, index + n] * scale[:, None] * scale for n in range(3)]
        metric = Directions.of(hankel[0], self.values.weights)
        directions = metric.whitened(metric.significant(_SIGNIFICANT) & metric.above(SINGULAR))[:, ::-1]
        levels: list[Level] = []
        for kept in range(directions.shape[1], 0, -1):
            found = self._ritz(hankel, directions[:, :kept], scale[0], tau)
            levels = [level for level in found if level is not None]
            if len(levels) == kept:
                break
        return self._result(method, levels[:n_levels], points, None)

    def _ritz(self, hankel: list[Floats], basis: Floats, scale: float, tau: float) -> list[Level | None]:
        """Ritz values in a space of directions, lowest energy first; None for those that the filter rejects."""
        metric, moved, twice = (basis.T @ h @ basis for h in hankel)
        try:
            ritz, across, states = generalised_eigenstates(metric, moved)
        except np.linalg.LinAlgError:
            return [None] * basis.shape[1]
        ritz, states = ritz[:, ::-1], states[:, :, ::-1]
        again = np.swapaxes(across, -1, -2) @ twice @ across
        residual = np.einsum("rik,rij,rjk->rk", states, again, states) - ritz**2
        overlap = (hankel[0][:, :1] @ basis @ across @ states)[:, 0] / scale
        levels: list[Level | None] = []
        for k in range(ritz.shape[1]):
            value, bound, seen = self._wrap(ritz[:, k]), self._wrap(residual[:, k]), self._wrap(overlap[:, k] ** 2)
            visible = seen.value > _SIGNIFICANT * seen.error
            if not (ritz[:, k].min() > 0 and value.value < 1 + 3 * value.error and visible):
                levels.append(None)
                continue
            gap = value.map(lambda v: -self.hbar * np.log(v) / tau)
            spread = self.hbar / tau * bound_of_levels(float(bound.value), float(bound.error)) / float(value.value)
            weight = seen.map(lambda w, v: w * v ** (-self.times[0] / tau), value)
            gap = gap.with_systematic(spread)
            levels.append(Level(gap, weight, 1, _verdict(gap, True)))
        return levels

    def _wrap(self, stack: Floats) -> Estimate:
        return estimate_of(stack, self.values.weights)

    def _need_decay(self, name: str) -> None:
        if self.period is not None:
            raise InputError(f"{name} needs a decay; with a period there is one level: use plateau, the cosh form")

    def _silent(self, method: str, points: Any) -> DecayLevels:
        return self._result(method, [Level(None, None, 1, Verdict.NOISE)], points, None)

    def _result(self, method: str, levels: Sequence[Level], points: Any, p_value: float | None) -> DecayLevels:
        kept = on_ladder(levels)
        resolved = sum(level.resolved for level in kept)
        note = f"gap {resolved + 1} and those above are not resolved"
        failed = [_REMEDIES[level.verdict] for level in kept if level.verdict in _REMEDIES]
        if failed:
            note += f"; {failed[0]}"
        note += "; correlators of many observables (spectrum) resolve more than one correlator can"
        return DecayLevels(method, tuple(kept), self.times[points], p_value, note)


_REMEDIES = {
    Verdict.NOISE: "the signal is lost in noise: more samples or earlier times",
    Verdict.BASIS_LIMITED: "levels near each other cannot be told apart: more samples",
    Verdict.PLATEAU: "there is no decay: subtract the mean, sector by sector if there are several",
}


def _verdict(gap: Estimate, good_fit: bool) -> Verdict:
    value, error, total = float(gap.value), float(gap.error), float(gap.total_error)
    if value < 3 * error and value + 3 * error > 0:
        return Verdict.PLATEAU
    if not error <= LARGEST_RELATIVE_ERROR * value:
        return Verdict.NOISE
    if not good_fit or total > _LARGEST_TOTAL_ERROR * value:
        return Verdict.BASIS_LIMITED
    return Verdict.RESOLVED


def _listed(times: Floats) -> str:
    return "[" + ", ".join(f"{t:.4g}" for t in times) + "]"


def _check_times(times: Floats, n: int) -> None:
    if len(times) != n:
        raise InputError(f"times must have one entry per value, {n}; got {len(times)}")
    if len(times) < 2:
        raise InputError(f"times must have at least 2 entries; got {len(times)}; give the correlator at more times")
    if times[0] < 0:
        raise InputError(f"times must not be negative; times[0]={times[0]:g}; fold the correlator first")
    for i in np.flatnonzero(np.diff(times) <= 0)[:1]:
        raise InputError(
            f"times must be strictly increasing; times[{i + 1}]={times[i + 1]:g} <= times[{i}]={times[i]:g}; sort them"
        )


def _check_moves(times: Floats, errors: Floats) -> None:
    still = np.flatnonzero(~(errors > 0))
    if still.size:
        raise InputError(
            f"the correlator does not fluctuate at times {_listed(times[still])}, so that it has no errors there; "
            "leave these times out"
        )


def _blocks_for(values: Floats, covariance: Floats) -> Estimate:
    """Replicas whose jackknife covariance is the one given: displacements along its eigenvectors, both ways."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    columns = vectors * np.sqrt(np.maximum(eigenvalues, 0))
    # Many small displacements rather than few large ones: functions of the values need only be linear over these.
    copies = -(-_FEWEST_BLOCKS // (2 * len(values)))
    n = 2 * copies * len(values)
    step = np.sqrt(n / (n - 1) / (2 * copies)) * columns.T
    return Estimate(values, values + np.tile(np.concatenate([step, -step]), (copies, 1)), np.full(n, float(n)))


def _parse(given: Any, covariance: ArrayLike | None) -> tuple[Any, Floats | None, Floats | None]:
    """(Estimate or values, covariance, times that come with it) of what a user has."""
    if isinstance(given, Estimate):
        if covariance is not None:
            raise InputError("covariance of an Estimate is its own; leave it out")
        if given.value.ndim != 1:
            raise InputError(f"correlator must have shape (K,); got {given.value.shape}")
        if given.n_blocks < 20:
            raise InputError(
                f"the covariance of 2 points needs at least 20 blocks; got {given.n_blocks}; use more blocks"
            )
        return given, None, None
    own_times = None
    content = getattr(given, "content", None)
    if content is not None and type(given).__module__.split(".")[0] == "pyerrors":
        present = [i for i, entry in enumerate(content) if entry is not None]
        wide = [i for i in present if np.size(content[i]) != 1]
        if wide:
            raise InputError("correlator is a matrix of correlators; give one element of it, corr.item(i, j)")
        own_times = np.array(present, dtype=np.float64)
        given = [np.ravel(content[i])[0] for i in present]
    kinds = {type(v).__module__.split(".")[0] for v in np.ravel(np.asarray(given, dtype=object))}
    if kinds & {"gvar", "pyerrors"}:
        if covariance is not None:
            raise InputError(f"covariance comes with the {kinds.pop()} objects; leave it out")
        entries = list(np.ravel(np.asarray(given, dtype=object)))
        if kinds == {"gvar"}:
            gvar = sys.modules["gvar"]
            return floats("correlator", gvar.mean(entries), 1), floats("covariance", gvar.evalcov(entries), 2), None
        if kinds == {"pyerrors"}:
            pyerrors = sys.modules["pyerrors"]
            for entry in entries:
                entry.gamma_method()
            values = floats("correlator", [entry.value for entry in entries], 1)
            return values, floats("covariance", pyerrors.covariance(entries), 2), own_times
        raise InputTypeError(f"correlator must hold objects of one kind; got {', '.join(sorted(kinds))}")
    if np.iscomplexobj(given):
        raise InputTypeError(
            f"correlator must be real; got dtype {np.asarray(given).dtype}; take the real part if the imaginary one "
            "is noise"
        )
    values = floats("correlator", given, 1)
    if covariance is None:
        raise InputError("covariance is missing: give the covariance of the values, shape (K, K), or an Estimate")
    matrix = floats("covariance", covariance, 2)
    if matrix.shape != (len(values), len(values)):
        raise InputError(f"covariance must have shape {(len(values), len(values))}; got {matrix.shape}")
    scale = np.sqrt(np.abs(np.outer(np.diag(matrix), np.diag(matrix))))
    if np.any(np.abs(matrix - matrix.T) > 1e-8 * scale) or np.any(np.abs(matrix) > (1 + 1e-8) * scale):
        raise InputError(
            "covariance must be symmetric, with no element above the product of two errors; got one that is not; "
            "errors belong squared on its diagonal"
        )
    return values, (matrix + matrix.T) / 2, None
