r"""Levels from one correlator, where that is all there is.

A sum of exponentials with positive weights,

.. math:: G(t) = \sum_n |Z_n|^2 e^{-E_n t/\hbar},

determines its lowest gap and little above: two levels that are near each other look like one between them, whatever the
method. So each number here has a second error beside the statistical one: how far the nearest level of the theory may
be from it. It is the spread of the energies that hide behind the number, found from the data like the number itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer, positive
from ..errors import InputError, InputTypeError
from ..sampling.correlators import Correlators, is_uniform
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .correlator_input import Given, fold, listed, read, unit_of
from .decay_fits import Mixture, Points, exponentials, plateaus
from .decay_levels import FEWEST_SAMPLES, DecayError, DecayLevels, Judge
from .levels import Level
from .positive_sums import POOR_FIT, SINGULAR, Shape, log_cosh, log_sinh
from .ritz import Krylov

__all__ = ["OneCorrelator"]

# Smallest value of a correlator, direction of its Hankel matrix or weight of a state that is used, in errors.
_SIGNIFICANT = 5.0

# Fall below zero, rise, or rise of the effective energy, that no sum of decays makes, in errors. Of a hundred points
# one in 1e6 does by chance. A smaller one is reason to look for terms that alternate.
_IMPOSSIBLE, _SUSPECT = 6.0, 3.0

# Smallest p-value of a sum with terms that alternate: one that is poor by chance must not make the correlator a fault.
_FITS = 1e-4

# Fall of chi^2 that terms that alternate must bring; the number of independent combinations of points, and the errors
# by which they must change these.
_ALTERNATION, _SEEN_AT, _SEEN = 25.0, 4, 3.0

# Most points of a fit. More gain nothing, and the covariance of neighbours comes ever closer to singular.
_MOST_POINTS = 24

# Fewest points of a fit, and of one with terms that alternate; most exponentials of a kind in the search for these.
_FEWEST, _FEWEST_ALTERNATING, _LEVELS = 4, 6, 3

# Samples per point of a fit with an estimated covariance; points taken with fewer samples, at most a fourth of them.
_SAMPLES_PER_POINT, _FEW_POINTS = 10, 6


class OneCorrelator:
    r"""One connected correlator at a list of times, and what levels it holds.

    Parameters
    ----------
    correlator : Correlators, Estimate, array_like, array of gvar or uncertainties, or pyerrors Corr or list of Obs
        A run, whose connected function of ``channel`` is taken; values at ``times``, shape (K,), real; or samples of
        them, shape (configuration, K), in the order in which they were made. The vacuum part (the squared mean) must
        have been subtracted, or shows as a plateau.
    times : array_like, optional
        Increasing, not negative, shape (K,), unit time. A run has its own; 0, 1, 2, ... for a Corr of pyerrors.
    covariance : array_like, optional
        Covariance of the values, shape (K, K), for a plain array; it counts as exactly known without ``n_samples``.
    channel : int or str
        Of a run.
    hbar : float, default 1
        A run has its own.
    period : float, optional
        The Euclidean time after which the correlator repeats itself, if it does. Each level then contributes
        cosh(E (period/2 - t)/hbar), and there may be a constant (a thermal state, or a mean that was subtracted).
        Values beyond half the period are averaged with their mirror images. Levels are differences of any two
        energies; for a Gaussian process there is one. Runs of thermal theories have their own.
    antiperiodic : bool, optional
        Whether the correlator changes its sign after a period: sinh(E (period/2 - t)/hbar). Seen from values on both
        sides of half the period if it is not given; False if there are none.
    n_samples : int, optional
        Independent configurations from which ``covariance``, or that of gvar objects, was estimated.

    Attributes
    ----------
    times : ndarray
    values : Estimate
        Shape (K,). If a covariance was given, the replicas are constructed to have this covariance.
    hbar : float
    period : float or None
    antiperiodic : bool
    n_samples : int or None
        Independent samples from which the covariance is estimated. Fits then take at most a tenth as many points, or
        six if that is more (four with fewer than 24 samples), and chi^2 is corrected for its noise. Below 20 samples
        nothing is resolved. None if the covariance is known.
    autocorrelation_time : float or None
        Time of samples or blocks that depend on each other beyond doubt, in samples: a mean over K values. The error
        of each value is multiplied by the root of twice its own time, and ``n_samples`` is divided by twice the mean.
        None if no dependence is seen.

    Raises
    ------
    InputError, InputTypeError
        If values are complex or not finite, times do not increase, the covariance does not fit or is missing, a
        point does not fluctuate, or a periodic correlator is not symmetric.
    DecayError
        If the covariance is singular (at which times), or the values are no decay: they are significantly
        negative, or rising as periodic ones do, and do not alternate from step to step.

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
    antiperiodic: bool
    n_samples: int | None
    autocorrelation_time: float | None

    def __init__(
        self,
        correlator: Any,
        times: ArrayLike | None = None,
        *,
        covariance: ArrayLike | None = None,
        channel: int | str = 0,
        hbar: float | None = None,
        period: float | None = None,
        antiperiodic: bool | None = None,
        n_samples: int | None = None,
    ) -> None:
        self.period = None if period is None else positive("period", period)
        if not isinstance(antiperiodic, bool | np.bool_ | None):
            raise InputTypeError(f"antiperiodic must be True, False or None; got {antiperiodic!r}")
        if isinstance(correlator, Correlators):
            own = {"times": times, "covariance": covariance, "hbar": hbar, "n_samples": n_samples}
            for name, given in own.items():
                if given is not None:
                    raise InputError(f"{name} of a run is its own; leave it out")
            found = _of_run(correlator, channel)
            self.hbar = correlator.hbar
            if self.period is None:
                self.period = correlator.period
        else:
            self.hbar = 1.0 if hbar is None else positive("hbar", hbar)
            known = None if n_samples is None else integer("n_samples", n_samples, 2)
            grid = None if times is None else floats("times", times, 1)
            found = read(correlator, covariance, known, grid)
        self.antiperiodic = False
        if self.period is None and antiperiodic is not None:
            raise InputError("antiperiodic needs a period; give it")
        if self.period is not None:
            found, self.antiperiodic = fold(found, self.period, antiperiodic)
        assert found.times is not None
        self.times, self.n_samples, self.autocorrelation_time = found.times, found.n_samples, found.tau
        # Powers of two: nothing below depends on the units of values and times, and no digit is lost.
        self._unit, self._data = found.unit, found.values
        self._signs: Floats | None = None
        self._faults: tuple[str, ...] = ()
        self._tick = unit_of(np.array([(self.times[-1] - self.times[0]) / self.hbar]))
        self.values = self._data.map_replicas(lambda g: g * found.unit)
        if self.n_samples is None:
            self._covariance(np.arange(len(self.times)))
        self._check_decay()

    def __repr__(self) -> str:
        a, b = self.times[0], self.times[-1]
        samples = "" if self.n_samples is None else f", {self.n_samples:g} samples"
        closed = "" if self.period is None else f", period {self.period:g}"
        return f"OneCorrelator({len(self.times)} times on [{a:g}, {b:g}]{samples}{closed})"

    # ---- whether it is a decay

    def _check_decay(self) -> None:
        """Look for terms that alternate; raise if values are significantly negative or rise again without them."""
        if self._violated(_SUSPECT) is None:
            return
        self._signs = self._alternation()
        if self._signs is not None:
            return
        fault = self._violated(_IMPOSSIBLE)
        if fault is None:
            return
        message, final = fault
        if final:
            raise self._error(message)
        chosen = self._chosen(None)
        if self.period is not None and not self._cannot_fit(chosen):
            found = exponentials(self._points(chosen, None), _LEVELS, cut=0)
            fit = found.best.fit
            if found.p_value > POOR_FIT and fit.constant > 0 > fit.sign:
                return
        self._faults = (message,)

    def _violated(self, errors: float) -> tuple[str, bool] | None:
        """What no positive sum of decays does, and whether nothing can be had from a correlator that does it."""
        values, error, t = self._data.value, self._data.error, self.times
        if self.n_samples is not None:
            from scipy.special import ndtr, stdtrit

            # As improbable as so many errors that are exactly known.
            errors = -float(stdtrit(self.n_samples - 1, ndtr(-errors)))
        below = np.flatnonzero(values < -errors * error)
        if below.size and not self._crosses_zero:
            return self._negative_message(int(below[0])), True
        fault = self._rise(errors)
        if fault is not None:
            return fault
        if self.antiperiodic:
            return None
        log = self._data[: self._positive_stop()].map_replicas(np.log)
        width = 1
        # Neighbours show what alternates; over larger distances a slow rise adds up.
        while 2 * width < len(log):
            near, far = t[: len(log)], t[2 * width : len(log)]
            left, right = near[width:-width] - near[: -2 * width], far - near[width:-width]
            bend = log.map_replicas(
                lambda g, w=width, a=left, b=right: (g[:, 2 * w :] - g[:, w:-w]) * a / b - (g[:, w:-w] - g[:, : -2 * w])
            )
            for i in np.flatnonzero(bend.value < -errors * bend.error)[:1]:
                return self._mixed_message(f"the effective energy rises at time {t[i + width]:g}"), False
            width *= 2
        return None

    def _rise(self, errors: float) -> tuple[str, bool] | None:
        """The first rise beyond doubt, as in ``_violated``; none that is left at the end is a decay."""
        values, t, found = self._data.value, self.times, None
        lowest, least = int(np.argmin(values)), 0
        for i in range(1, len(values)):
            rise = self._data[i].map_replicas(lambda a, b: a - b, self._data[least])
            if float(rise.value) > errors * float(rise.error):
                if self.period is None and least == lowest:
                    told = rise.map_replicas(lambda g: g * self._unit)
                    return (
                        f"the correlator must decay; it rises by {told} between times {t[least]:g} and {t[i]:g} as a "
                        "periodic one does; give its period, or only times below half of it"
                    ), True
                found = found or (self._mixed_message(f"it rises between times {t[least]:g} and {t[i]:g}"), False)
            if values[i] < values[least]:
                least = i
        return found

    def _mixed_message(self, seen: str) -> str:
        hint = "too large a mean was subtracted" if self.period is None else "it is antiperiodic: say so"
        return (
            f"{seen}: the correlator is no sum of positive terms (source and sink differ, terms alternate that too few "
            f"points or samples show, or {hint}), so that no spread of levels is known"
        )

    def _negative_message(self, i: int) -> str:
        advice = "use the connected function of one real observable with itself, or test reflection_positivity"
        if np.all(self._data.value < _SIGNIFICANT * self._data.error):
            advice = "multiply it by -1 if that is a convention of its sign"
        return (
            f"the correlator must not be negative: at time {self.times[i]:g} it is {self.values[i]}; a decay "
            f"with positive weights is positive; {advice}"
        )

    @cached_property
    def _crosses_zero(self) -> bool:
        """Whether it falls to below zero, as a decay does in a period if a constant is subtracted."""
        if self.period is None or self.antiperiodic:
            return False
        pull = self._data.value / self._data.error
        return bool(pull[0] > _IMPOSSIBLE and pull.min() < -_IMPOSSIBLE and np.argmin(pull) > len(pull) // 2)

    @cached_property
    def _steps(self) -> NDArray[np.int64] | None:
        """Times in steps, from zero if that is on their grid; None if they are on no grid of equal steps."""
        step = float(np.diff(self.times).min())
        first = self.times[0] / step
        offset = 0.0 if abs(first - np.rint(first)) < 1e-6 * max(first, 1.0) else self.times[0]
        steps = (self.times - offset) / step
        if np.any(np.abs(steps - np.rint(steps)) > 1e-6 * np.maximum(np.abs(steps), 1.0)):
            return None
        return np.asarray(np.rint(steps), dtype=np.int64)

    def _alternation(self) -> Floats | None:
        """Signs of terms that alternate, shape (K,), if they describe what a sum of decays does not; else None."""
        steps = self._steps
        if steps is None:
            return None
        pattern = np.where(steps % 2, -1.0, 1.0)
        chosen = self._chosen(pattern)
        for first in sorted({0, len(chosen) // 4, len(chosen) // 2}):
            if len(chosen) - first < _FEWEST_ALTERNATING:
                return None
            plain = self._points(chosen[first:], None)
            without = exponentials(plain, _LEVELS, cut=0).best.fit
            if plain.chi_factor * without.chi_squared < _ALTERNATION:
                return None
            fits = []
            for sign in (1.0, -1.0):
                points = replace(plain, shape=replace(plain.shape, signs=np.asarray(sign * pattern[chosen[first:]])))
                found = exponentials(points, _LEVELS, cut=0)
                fit, gain = found.best.fit, plain.chi_factor * (without.chi_squared - found.best.fit.chi_squared)
                # A fast term could stand for a fault of the first point, or of two.
                with np.errstate(under="ignore"):
                    seen = np.count_nonzero(np.abs(plain.white @ fit.alternating) > _SEEN) >= _SEEN_AT
                if seen and gain > _ALTERNATION:
                    fits.append((fit.chi_squared, sign, found.p_value))
            if not fits:
                return None
            _, sign, p_value = min(fits)
            if p_value > _FITS:
                return np.asarray(sign * pattern)
        return None

    def _error(self, message: str) -> DecayError:
        return DecayError(message, *self.effective_energy())

    # ---- points

    def _positive_stop(self) -> int:
        """Number of points before the first one that is not above zero beyond doubt, in each replica."""
        good = (self._data.value > _SIGNIFICANT * self._data.error) & (self._data.replicas > 0).all(axis=0)
        return len(good) if good.all() else int(np.argmin(good))

    def _significant(self, signs: Floats | None) -> int:
        """Number of points that are used: with terms that alternate, one of two neighbours may be near zero."""
        if signs is None:
            return len(self.times) if self._crosses_zero else self._positive_stop()
        seen = np.abs(self._data.value) > _SIGNIFICANT * self._data.error
        seen |= np.append(seen[1:], False)
        return len(seen) if seen.all() else int(np.argmin(seen))

    def _chosen(self, signs: Floats | None) -> NDArray[np.int64]:
        """Positions of the significant points that a fit takes, evenly spread if there are too many."""
        stop, most = self._significant(signs), _MOST_POINTS
        if self.n_samples is not None:
            few = max(_FEWEST, min(_FEW_POINTS, self.n_samples // 4))
            most = min(most, max(self.n_samples // _SAMPLES_PER_POINT, few))
        if signs is None or stop <= most:
            return np.unique(np.linspace(0, max(stop - 1, 0), min(stop, most)).round().astype(np.int64))
        # Pairs of neighbours, in which terms that alternate are seen.
        begin = np.linspace(0, stop - 2, max(most, _FEWEST_ALTERNATING) // 2).round().astype(np.int64)
        return np.unique(np.concatenate([begin, begin + 1]))

    def _covariance(self, points: Any) -> Floats:
        """Covariance of points of the correlator; raises if it cannot be inverted."""
        deviations = self._data[points].deviations()
        covariance = deviations.T @ deviations
        scale = 1 / np.sqrt(np.diag(covariance))
        eigenvalues, vectors = np.linalg.eigh(covariance * scale[:, None] * scale)
        null = eigenvalues < SINGULAR * len(scale)
        if null.any():
            # A time takes part in a dependence if it has a share in the null space that rounding cannot give it.
            guilty = np.asarray(points)[np.sqrt((vectors[:, null] ** 2).sum(axis=1)) > 0.05]
            raise self._error(
                f"the covariance is singular ({int(null.sum())} dependent combinations, at times "
                f"{listed(self.times[guilty])}); leave some of these times out, give more samples, or "
                "n_samples if the covariance is an estimate from few"
            )
        return np.asarray(covariance)

    def _points(self, chosen: NDArray[np.int64], signs: Floats | None) -> Points:
        scale = 1 / (self.hbar * self._tick)
        half = None if self.period is None else self.period / 2 * scale
        shape = Shape(self.times[chosen] * scale, half, self.antiperiodic, None if signs is None else signs[chosen])
        return Points(shape, self._data[chosen], self._covariance(chosen), self.n_samples)

    def _energy(self, estimate: Estimate) -> Estimate:
        """An energy of ``_points`` in the units of the user."""
        return estimate.map_replicas(lambda e: e / self._tick).with_systematic(estimate.systematic / self._tick)

    # ---- levels

    @one_blas_thread
    def effective_energy(self) -> tuple[Floats, Estimate]:
        r"""Effective energies between successive times, as long as the correlator is 5 errors above zero.

        .. math:: E_{\mathrm{eff}} = -\hbar\,\frac{\ln G(t_{k+1}) - \ln G(t_k)}{t_{k+1} - t_k}

        or, with a period, the solution of
        :math:`G(t_{k+1})/G(t_k) = \cosh(E (T/2 - t_{k+1})/\hbar)/\cosh(E (T/2 - t_k)/\hbar)`, sinh if it is
        antiperiodic. It tends to the lowest gap from above. If the correlator alternates from step to step, the energy
        is that of the term that does not, from four successive values in equal steps: the larger root of
        :math:`\lambda^2 - p \lambda + q` with :math:`G_{k+2} - p\,G_{k+1} + q\,G_k = 0` at k and k + 1 (six values and
        :math:`G_{k+1} + G_{k-1}` in place of a shift with a period). The error is statistical.

        Returns
        -------
        times : ndarray
            Midpoints, shape (k,), unit time; k may be 0.
        energy : Estimate
            Shape (k,), energy units.
        """
        if self._signs is not None:
            return self._of_recurrence()
        return self._effective(np.arange(self._positive_stop()))

    def _effective(self, points: Any) -> tuple[Floats, Estimate]:
        t, chosen = self.times[points], self._data[points]
        middle = (t[1:] + t[:-1]) / 2
        if self.period is None:
            return middle, chosen.map_replicas(lambda g: -self.hbar * np.diff(np.log(g), axis=-1) / np.diff(t))
        half, unit = self.period / 2, self._tick * self.hbar
        log_shape = log_sinh if self.antiperiodic else log_cosh

        def solve(g: Floats) -> Floats:
            # ln cosh(E a)/cosh(E b) = target with a < b falls in E from 0 on.
            target = np.diff(np.log(g), axis=-1)
            a, b = (half - t[1:]) / unit, (half - t[:-1]) / unit
            low, high = np.zeros_like(target), np.full_like(target, 1.0)
            for _ in range(60):
                high = np.where(log_shape(high * a) - log_shape(high * b) > target, 2 * high, high)
            for _ in range(80):
                mid = (low + high) / 2
                above = log_shape(mid * a) - log_shape(mid * b) > target
                low, high = np.where(above, mid, low), np.where(above, high, mid)
            return self.hbar * (low + high) / 2 / unit

        return middle, chosen.map_replicas(solve)

    def _of_recurrence(self) -> tuple[Floats, Estimate]:
        """Effective energies of the term that does not alternate, as long as they are real in each replica."""
        steps, stop = self._steps, self._significant(self._signs)
        assert steps is not None
        gaps = np.flatnonzero(np.diff(steps[:stop]) != 1)
        stop = int(gaps[0]) + 1 if gaps.size else stop
        t, periodic = self.times[:stop], self.period is not None
        width = 6 if periodic else 4
        middle = (t[: stop - width + 1] + t[width - 1 :]) / 2 if stop >= width else t[:0]
        unit = self.hbar / float(np.diff(self.times).min())

        def solve(g: Floats) -> Floats:
            if stop < width:
                return g[:, :0]
            once = g[:, 2:] + g[:, :-2] if periodic else g[:, 1:]
            twice = once[:, 2:] + once[:, :-2] if periodic else g[:, 2:]
            same, once = (g[:, 2:-2], once[:, 1:-1]) if periodic else (g[:, :-2], once[:, :-1])
            with np.errstate(all="ignore"):
                below = once[:, 1:] * same[:, :-1] - once[:, :-1] * same[:, 1:]
                p = (same[:, :-1] * twice[:, 1:] - twice[:, :-1] * same[:, 1:]) / below
                q = (once[:, :-1] * twice[:, 1:] - once[:, 1:] * twice[:, :-1]) / below
                root = p / 2 + np.sqrt(p**2 / 4 - q)
                return np.asarray(unit * (np.arccosh(root / 2) if periodic else -np.log(root)))

        found = self._data[:stop].map_replicas(solve)
        real = np.isfinite(found.value) & np.isfinite(found.replicas).all(axis=0)
        end = len(real) if real.all() else int(np.argmin(real))
        return middle[:end], found[:end]

    @one_blas_thread
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
        :math:`dE_{\mathrm{eff}}/dt = -\mathrm{Var}(E)/\hbar`. With a period each window is fitted with a constant, too;
        of a correlator that alternates with a term that does, without it, and with it alone.

        Returns
        -------
        DecayLevels
            With one level, and one that alternates if the correlator does.

        Raises
        ------
        DecayError
            If the covariance is singular.
        """
        method, chosen = "plateau of the effective energy", self._chosen(self._signs)
        if self._cannot_fit(chosen):
            return self._silent(method, chosen)
        judge = self._judge(chosen)
        levels: tuple[list[Level], list[Level]] = ([], [])
        best: Mixture | None = None
        for flip, found in enumerate(plateaus(self._points(chosen, self._signs))):
            if found is None:
                continue
            if found.share > 0.5:
                gap = self._energy(found.energy([int(np.argmax(w.fit.flips == bool(flip))) for w in found.windows]))
                levels[flip].append(judge.level(gap, None, found.p_value > POOR_FIT))
            else:
                levels[flip].append(Level(None, None, 1, Verdict.NOISE))
            best = found if best is None or found.share > 0.5 >= best.share else best
        if best is None:
            return judge.result(method, [Level(None, None, 1, Verdict.NOISE)], [], times=self.times[chosen])
        if best.best.fit.constant > 0:
            judge = replace(judge, remarks=(*judge.remarks, _CONSTANT))
        return judge.result(method, *levels, times=self.times[chosen[best.best.first :]], p_value=best.p_value)

    @one_blas_thread
    def exponentials(self, n_levels: int = 3) -> DecayLevels:
        r"""Levels from a fit of exponentials with positive weights.

        Non-negative least squares on a grid of energies, whitened by the full covariance, gives a sparse measure; its
        clusters start a continuous fit of as many exponentials, and a constant, as lower chi^2 by 16 (13) each. Early
        points are left out while the fit is poor (p < 1%). The statistical error is the error of the fit. The
        systematic error is the spread of energies that one exponential may represent. A second-order term
        :math:`\tfrac12 \mathrm{Var}(E)\,(t/\hbar)^2 e^{-E t/\hbar}` is fitted beside it; the spread is the root of
        the bound that Var(E) obeys with a probability of 68%. The statistical error includes the noise of an
        estimated covariance. With a period the terms are cosh or sinh, and the constant has either sign. If the
        correlator alternates, terms :math:`w (-1)^k e^{-E t/\hbar}` with w of one sign are added in the same way.

        Parameters
        ----------
        n_levels : int, default 3
            Exponentials tried at most, and as many that alternate.

        Returns
        -------
        DecayLevels

        Raises
        ------
        DecayError
            If the covariance is singular.
        """
        integer("n_levels", n_levels, 1, 8)
        method, chosen = "positive exponentials", self._chosen(self._signs)
        if self._cannot_fit(chosen):
            return self._silent(method, chosen)
        # Nothing is resolved with a fault: larger steps serve as well.
        found = exponentials(
            self._points(chosen, self._signs), n_levels, cut=max(1, len(chosen) // 6) if self._faults else 1
        )
        fit, everywhere = found.best.fit, len(found.windows)
        chosen = chosen[len(chosen) - len(found.points) :]
        judge = self._judge(chosen)
        levels: tuple[list[Level], list[Level]] = ([], [])
        if fit.constant > 0 and self.period is None:
            constant = found.weight([fit.n_parameters - 1]).map_replicas(lambda w: self._unit * w)
            levels[0].append(Level(None, constant, 1, Verdict.PLATEAU))
        elif fit.constant > 0:
            judge = replace(judge, remarks=(*judge.remarks, _CONSTANT))
        for j in map(int, np.argsort(fit.energies)):
            gap = self._energy(found.energy([j] * everywhere))
            factor = self._unit * (self._sign if fit.flips[j] else 1.0)
            weight = found.weight([j] * everywhere).map_replicas(lambda w, f=factor: f * w)
            levels[int(fit.flips[j])].append(judge.level(gap, weight, found.p_value > POOR_FIT))
        return judge.result(method, *levels, times=self.times[chosen], p_value=found.p_value)

    @one_blas_thread
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

        An eigenvalue in (-1, 0), 5 errors below zero, is a level that alternates. If its weight is negative at the
        first time, the first time is left out: all weights at the second time are then positive.

        Parameters
        ----------
        n_levels : int, default 3
            Levels shown at most, and as many that alternate.

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
        if self.period is not None:
            raise InputError("rayleigh_ritz needs a decay; with a period use exponentials or plateau, the cosh form")
        method = "filtered Rayleigh-Ritz"
        stop = self._significant(self._signs)
        # All weights are positive at a time at which the terms that alternate are.
        start = 0 if self._signs is None or self._signs[0] > 0 else 1
        if stop - start < 3:
            return self._silent(method, np.arange(stop))
        equal = start + 2
        while equal < stop and is_uniform(self.times[start : equal + 1]):
            equal += 1
        if equal - start < 3:
            raise self._error(
                f"rayleigh_ritz needs times in equal steps; got {listed(self.times[:stop])}, where the first three "
                "are not; use exponentials or plateau, or give other times"
            )
        size = min((equal - start - 1) // 2, _MOST_POINTS // 2)
        chosen = np.arange(start, start + 2 * size + 1)
        tau = float(self.times[start + 1] - self.times[start])
        states = Krylov.of(self._data[chosen], _SIGNIFICANT).filtered()
        judge = self._judge(chosen)
        levels: tuple[list[Level], list[Level]] = ([], [])
        # The largest eigenvalues come first: the lowest levels, and of those that alternate the highest.
        for state in sorted(states, key=lambda state: -abs(float(state.value.value))):
            sign = self._sign if state.alternates else 1.0
            steps = self.times[start] / tau
            level = state.level(judge, self.hbar / tau, sign * self._unit, steps)
            levels[int(state.alternates)].append(level)
        return judge.result(method, levels[0][:n_levels], levels[1][:n_levels], times=self.times[chosen])

    # ---- verdicts

    @property
    def _sign(self) -> float:
        """Sign of the weights of terms that alternate."""
        if self._signs is None or self._steps is None:
            return 1.0
        return float(self._signs[0] * (1 - 2 * (self._steps[0] % 2)))

    def _judge(self, chosen: NDArray[np.int64]) -> Judge:
        remarks = []
        if self.autocorrelation_time is not None:
            remarks.append(
                f"samples depend on each other over {self.autocorrelation_time:.1f} steps, which errors include: "
                f"they count as {self.n_samples}"
            )
        if self.n_samples is not None and self.n_samples < _SAMPLES_PER_POINT * _FEW_POINTS:
            remarks.append(
                f"the covariance comes from {self.n_samples} samples: fits take {len(chosen)} points at most, and "
                "errors include its noise"
            )
        duration = float(self.times[chosen[-1]] - self.times[chosen[0]]) / self.hbar if len(chosen) else 0.0
        return Judge(duration=duration, n_samples=self.n_samples, faults=self._faults, remarks=tuple(remarks))

    def _cannot_fit(self, chosen: NDArray[np.int64]) -> bool:
        return len(chosen) < _FEWEST or (self.n_samples is not None and self.n_samples < len(chosen) + 1)

    def _silent(self, method: str, chosen: NDArray[np.int64]) -> DecayLevels:
        """The result where there is nothing to fit, and why."""
        judge, n, reason = self._judge(chosen), len(self.times), None
        level = Level(None, None, 1, Verdict.NOISE)
        if self.n_samples is not None and self.n_samples < FEWEST_SAMPLES and len(chosen):
            level = replace(level, verdict=Verdict.FEW_BLOCKS)
            reason = f"too few samples for a covariance of {len(chosen)} points: {self.n_samples}; see effective_energy"
        elif len(chosen) == n < _FEWEST and self._signs is None:
            gap = self._effective(chosen)[1][-1].with_systematic(np.inf)
            level = judge.level(gap, None, True)
            reason = f"too few points for a fit, {n} of at least {_FEWEST}: the gap is an effective energy"
        return judge.result(method, [level], [], times=self.times[chosen], reason=reason)


_CONSTANT = "a constant is fitted beside the levels (a thermal state, or the error of the mean that was subtracted)"


def _of_run(run: Correlators, channel: int | str) -> Given:
    """The connected function of a run, whose blocks are independent."""
    values = run.connected(channel)
    unit = unit_of(values.value)
    scaled = values.map_replicas(lambda g: g / unit)
    return Given(scaled, unit, values.n_blocks, np.asarray(run.lags) * run.dt)
