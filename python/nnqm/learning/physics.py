"""The physics of one theory as numbers with errors: levels, weights, kurtosis, commutator, uncertainty, positivity.

A number is exact if the package has an exact answer, an average over draws of random weights if the answer is exact
for each draw, and otherwise measured on paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats, integer, random_key
from ..errors import InputError
from ..estimators.roughness import Extrapolation, commutator, uncertainty
from ..exact.energies import level_energies
from ..exact.quasi_monte_carlo import quasi_monte_carlo
from ..exact.random_weights import average_over_weights
from ..exact.short_times import average_of_short_times
from ..exact.spectral_measures import kallen_lehmann
from ..exact.thermal_measures import thermal_measure
from ..positivity.reflection import reflection_positivity
from ..progress import Showing
from ..quantum.measures import SpectralMeasure, TwoPointFunction
from ..representation import short_repr
from ..runs.crew import Workers
from ..runs.simulation import simulate
from ..sampling.accumulator import accumulate
from ..sampling.correlators import Correlators, is_uniform
from ..sampling.drawn_networks import draw_weights
from ..sampling.measure import Measure
from ..sampling.path_source import Paths
from ..sampling.paths import sample_paths
from ..sampling.run_settings import PathSettings
from ..spectra.correlator_matrix import spectrum
from ..spectra.levels import SpectrumError
from ..statistics.estimate import Estimate, format_value
from ..statistics.moments import excess_kurtosis
from ..theories.network import Network
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from ..verdict import Verdict

__all__ = ["Origin", "Physics", "PhysicsSettings", "Quantity"]

# Names of the quantities of a theory, and of the quantities of each of its levels.
NUMBERS, OF_LEVELS = ("variance", "kurtosis", "commutator", "uncertainty"), ("gap", "weight")
# Numbers of draws of random weights, by number of inputs.
_DRAWS = {1: 1000, 2: 200, 3: 40}
# Default numbers of times of the paths.
_TIMES, _TIMES_AROUND = 64, 33
# Steps of the short paths at the end of the grid of a theory that is not stationary, and their part of a step.
_SHORT_STEPS, _SHORT = 12, 1 / 64
# Factors of the smaller steps of limits that do not converge, and the sums of their runs.
_FINER, _SHORT_RUN = (4, 16), Measure(lags=(), observable_lags=())
# Largest relative distance of the energy of a state from its level.
_SAME_LEVEL = 1e-6
# Largest weight that is only rounding, as a fraction of the variance.
_NO_WEIGHT = 1e-28
# Purposes of the random numbers of a theory.
_OF_TEST, _OF_POINTS, _OF_RUN = 1, 2, 3
# Verdicts on limits dt -> 0 that mean an infinite value, and that there is no value.
_INFINITE = (Verdict.DIVERGES_KINKED, Verdict.DIVERGES_FRACTIONAL)
_NO_VALUE = (Verdict.NEGATIVE, Verdict.FRACTIONAL)


class PhysicsSettings(PathSettings, total=False):
    """How ``training_dynamics`` and ``scan`` compute; ``PathSettings`` has the others.

    Attributes
    ----------
    n_paths : int
        Number of paths of each measurement and of each test of positivity, 20000 by default.
    n_draws : int
        Number of draws of random weights, over which exact answers are averaged; by default 1000, 200 and 40 for one,
        two and three inputs.
    positivity : bool
        Whether reflection positivity is tested on paths, which takes most of the time; True by default.
    progress : callable, bool or None
        Called with (theories done, all theories); or whether a bar is shown, see ``simulate``.
    """

    n_paths: int
    n_draws: int
    positivity: bool
    progress: Showing


class ScanSettings(PhysicsSettings, total=False):
    """Settings of ``scan``; ``PhysicsSettings`` has the others.

    Attributes
    ----------
    executor : concurrent.futures.Executor or callable
        Workers that do one theory each, or a function that makes them, as for ``simulate``; the numbers are the same.
    """

    executor: Workers | None


class Origin(StrEnum):
    """Origin of a number: a string, equal to its text."""

    EXACT = "exact"  # the error is numerical
    AVERAGED = "averaged"  # exact for each draw of the weights, or each point of the ground state; statistical error
    MEASURED = "measured"  # from paths; statistical and systematic error in quadrature
    UNRESOLVED = "unresolved"  # it exists, but no value may be used
    ABSENT = "absent"  # the theory does not have the quantity


@short_repr
@dataclass(frozen=True)
class Quantity:
    """A number with its error and origin.

    Attributes
    ----------
    value, error : float
        NaN if there is no value. A value may be infinite, with the error 0.
    origin : Origin
    reason : str
        Why there is no value, or a verdict on the value.
    """

    value: float
    error: float
    origin: Origin
    reason: str = ""

    def __str__(self) -> str:
        if self.origin is Origin.ABSENT:
            return "-"
        if self.origin is Origin.UNRESOLVED:
            return str(self.origin)
        if self.origin is Origin.EXACT or not np.isfinite(self.value) or self.value == 0:
            return f"{self.value:.5g}"
        return format_value(self.value, self.error)


# Quantities by name: one entry each, or one for each level.
Numbers: TypeAlias = dict[str, tuple[Quantity, ...]]


@short_repr
@dataclass(frozen=True, kw_only=True)
class Physics:
    """Numbers of one channel of a theory.

    Attributes
    ----------
    numbers : dict of str to tuple of Quantity
        "variance", "kurtosis" (excess), "commutator" ([x, p]/(i hbar), dt -> 0), "uncertainty" (dx dp): one each.
        "gap" and "weight" (|<0|x|n>|^2, summed over the states of a level): one for each level.
    verdict : Verdict
        On reflection positivity: "positive by construction", or the verdict of the test.
    p_value : float
        p-value of reflection positivity by the test on paths; NaN without a test.
    norm : Quantity
        <F(reflected) F> of the functional F of the test, for <F^2> = 1.
    reason : str
        Reason for positivity by construction, or why no test was possible.
    """

    numbers: Numbers = field(repr=False)
    verdict: Verdict
    p_value: float
    norm: Quantity
    reason: str = ""


def _unresolved(reason: str) -> Quantity:
    return Quantity(math.nan, math.nan, Origin.UNRESOLVED, reason)


def _absent(reason: str) -> Quantity:
    return Quantity(math.nan, math.nan, Origin.ABSENT, reason)


def _exact(value: float, error: float) -> Quantity:
    return Quantity(value, 0.0 if math.isinf(value) else error, Origin.EXACT)


def _with_error(estimate: Estimate, origin: Origin, reason: str = "") -> Quantity:
    value, error = float(estimate.value), float(estimate.total_error)
    if not (math.isfinite(value) and math.isfinite(error)):
        return _unresolved("neither value nor error is finite")
    return Quantity(value, error, origin, reason)


def _kurtosis_of(moments: Estimate) -> Estimate:
    with np.errstate(divide="ignore", invalid="ignore"):
        return moments.map_replicas(lambda m: excess_kurtosis(m[..., 0], m[..., 2]))


def _of_function(known: TwoPointFunction, error: float) -> Numbers:
    """Quantities of an exact two-point function; ``error`` is the relative error of its moments and limits."""
    variance = float(known.moments[0])
    kurtosis = _exact(known.kurtosis, error * (3 + 2 * abs(known.kurtosis + 3)))
    if not variance > 0:
        kurtosis = _absent("the channel does not move")
    found: Numbers = {"variance": (_exact(variance, error * variance),), "kurtosis": (kurtosis,)}
    for name, limit in (("commutator", known.commutator), ("uncertainty", known.uncertainty)):
        if not math.isnan(limit):
            found[name] = (_exact(limit, error * abs(limit)),)
    return found


def _weights_of(measure: SpectralMeasure, gaps: Sequence[Quantity]) -> tuple[Quantity, ...]:
    """Weights of the levels of given gaps: sums over the states of each."""
    # The last entry stands for all states beyond the highest polynomial and is no state.
    listed = slice(0, -1 if measure.tail > 0 else None)
    energies, weights = measure.energies[listed], measure.weights[listed]
    if measure.signs is not None:
        energies, weights = energies[measure.signs[listed] > 0], weights[measure.signs[listed] > 0]
    error = measure.error * float(measure.moments[0])
    found = []
    for gap in gaps:
        if gap.origin is not Origin.EXACT:
            found.append(gap)
            continue
        same = np.abs(energies - gap.value) <= _SAME_LEVEL * gap.value
        weight = float(weights[same].sum())
        found.append(_exact(weight if weight > _NO_WEIGHT * float(measure.moments[0]) else 0.0, error))
    return tuple(found)


def _of_limit(limit: Extrapolation) -> Quantity:
    """A limit dt -> 0 on paths."""
    if limit.verdict in _INFINITE:
        return Quantity(math.inf, 0.0, Origin.MEASURED, limit.verdict)
    if limit.verdict in _NO_VALUE:
        return _absent(limit.verdict)
    if limit.estimate is None or limit.verdict is Verdict.NOT_CONVERGED:
        return _unresolved(limit.verdict)
    if limit.verdict is Verdict.SMOOTH:
        # The estimate is the remaining dependence on dt: the commutator of differentiable paths is zero.
        bound = abs(float(limit.estimate.value)) + float(limit.estimate.total_error)
        return Quantity(0.0, bound, Origin.MEASURED, limit.verdict)
    return _with_error(limit.estimate, Origin.MEASURED, limit.verdict)


def failed(reason: str, n_levels: int) -> Physics:
    """The physics of a theory that could not be computed."""
    lost = _unresolved(reason)
    numbers = dict.fromkeys(NUMBERS, (lost,)) | dict.fromkeys(OF_LEVELS, (lost,) * n_levels)
    return Physics(numbers=numbers, verdict=Verdict.NOT_TESTED, p_value=math.nan, norm=lost, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Checked settings, the same for all theories of a study; ``key`` is the root of all random numbers."""

    channel: int | str
    n_levels: int
    times: Floats | None
    key: int
    n_paths: int
    n_draws: int | None
    positivity: bool
    precision: str
    n_threads: int

    @classmethod
    def of(
        cls, channel: int | str, n_levels: int, times: ArrayLike | None, rng: Any, settings: Mapping[str, Any]
    ) -> Plan:
        """The plan of arguments of a public function."""
        grid = None if times is None else floats("times", times, 1)
        if grid is not None and not (len(grid) >= 4 and np.all(np.diff(grid) > 0) and is_uniform(grid)):
            raise InputError(f"times must be a uniform, increasing grid of at least 4 times; got {len(grid)} times")
        draws = settings.get("n_draws")
        return cls(
            channel=channel,
            n_levels=integer("n_levels", n_levels, 1, 1000),
            times=grid,
            key=random_key(rng),
            n_paths=integer("n_paths", settings.get("n_paths", 20_000), 200),
            n_draws=None if draws is None else integer("n_draws", draws, 2),
            positivity=bool(settings.get("positivity", True)),
            precision=choice("precision", settings.get("precision", "float32"), ("float32", "float64")),
            n_threads=integer("n_threads", settings.get("n_threads", 0), 0, 4096),
        )

    def physics(self, theory: Theory, number: int) -> Physics:
        """The physics of one theory of a study; ``number`` chooses its random numbers."""
        return _Subject(self, theory, theory.channel_name(self.channel), number).physics()


@dataclass(frozen=True)
class _Subject:
    """One channel of a theory, with the paths that its quantities need, drawn once."""

    plan: Plan
    theory: Theory
    name: str
    number: int

    def physics(self) -> Physics:
        numbers = self._known()
        missing = [name for name in NUMBERS if name not in numbers]
        if missing:
            numbers |= self._measured(missing)
        if "weight" not in numbers:
            numbers |= self._measured_levels(numbers.get("gap"))
        found = Physics(numbers=numbers, **self._positivity())
        (variance,) = numbers["variance"]
        if variance.origin is Origin.UNRESOLVED and math.isnan(found.p_value):
            # There are no paths, for example because a training diverges.
            found = replace(found, verdict=Verdict.NOT_TESTED, reason=variance.reason)
        return found

    def _seed(self, purpose: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.plan.key, self.number, purpose])

    @property
    def _of_network(self) -> bool:
        return self.name in self.theory.outputs

    # ---- exact answers

    def _known(self) -> Numbers:
        """Quantities with an exact answer, or an average of exact answers."""
        theory = self.theory
        if not theory.stationary:
            none = (_absent("the theory is not stationary, so that it has no levels"),) * self.plan.n_levels
            return dict.fromkeys(OF_LEVELS, none)
        if theory.period is not None:
            none = (_absent("closed paths do not decay with levels"),) * self.plan.n_levels
            with suppress(InputError):
                return dict.fromkeys(OF_LEVELS, none) | _of_function(thermal_measure(theory, self.name), 1e-5)
            return dict.fromkeys(OF_LEVELS, none)
        found: Numbers = {}
        with suppress(InputError):
            found["gap"] = self._gaps()
        if isinstance(theory.network, RandomNetwork) and self._of_network:
            draws = self._draws(theory.network.group)
            with suppress(InputError):
                found |= self._averaged(draws)
            return found
        with suppress(InputError):
            measure = kallen_lehmann(theory, self.name)
            found |= _of_function(measure, measure.error)
            if "gap" in found:
                found["weight"] = _weights_of(measure, found["gap"])
            return found
        with suppress(InputError):
            found |= self._by_points()
        return found

    def _gaps(self) -> tuple[Quantity, ...]:
        energies, _ = level_energies(self.theory, self.plan.n_levels)
        gaps = [_exact(float(e), 0.0) for e in energies]
        return (*gaps, *[_absent("there is no further level")] * (self.plan.n_levels - len(gaps)))

    def _draws(self, group: int) -> list[Network]:
        """Draws of the weights, the same for all theories of a study; an error if a training diverges."""
        count = self.plan.n_draws or _DRAWS[min(self.theory.n_inputs, 3)]
        rng = np.random.SeedSequence([self.plan.key])
        return draw_weights(self.theory, count * group, rng=rng, n_threads=self.plan.n_threads)

    def _averaged(self, draws: list[Network]) -> Numbers:
        """Averages over draws of the weights."""
        theory, column = self.theory, self.theory.outputs.index(self.name)
        average = average_over_weights(theory, draws, channel=self.name, n_levels=self.plan.n_levels)
        seen = average.weights.value > _NO_WEIGHT * float(average.moments[0].value)
        weights = [
            _with_error(w if s else 0.0 * w, Origin.AVERAGED) for w, s in zip(average.weights, seen, strict=True)
        ]
        found = {
            "variance": (_with_error(average.moments[0], Origin.AVERAGED),),
            "kurtosis": (_with_error(_kurtosis_of(average.moments), Origin.AVERAGED),),
            "weight": (*weights, *[_absent("there is no further level")] * (self.plan.n_levels - len(weights))),
        }
        with suppress(InputError):
            bracket, square = average_of_short_times(theory, draws, column, average.moments.n_blocks)
            found["commutator"] = (_with_error(bracket, Origin.AVERAGED),)
            product = average.moments[0].map(lambda v, p: np.sqrt(max(v, 0.0) * p), square)
            found["uncertainty"] = (_with_error(product, Origin.AVERAGED),)
        return found

    def _by_points(self) -> Numbers:
        """Averages over the ground state by quasi-Monte Carlo, for many inputs."""
        points = quasi_monte_carlo(self.theory, (), self.name, rng=self._seed(_OF_POINTS))
        return {
            "variance": (_with_error(points.moments[0], Origin.AVERAGED),),
            "kurtosis": (_with_error(_kurtosis_of(points.moments), Origin.AVERAGED),),
            "commutator": (_with_error(points.commutator, Origin.AVERAGED),),
        }

    # ---- measurements

    @cached_property
    def _grid(self) -> Floats:
        """Times of the paths: natural steps by default; if the theory is not stationary, its interval or around 0."""
        theory = self.theory
        if self.plan.times is not None:
            return self.plan.times
        step = min(s.natural_step for s in theory.sources)
        if theory.period is not None:
            count = max(16, math.ceil(theory.period / step - 1e-9))
            return np.asarray(np.arange(count) * (theory.period / count))
        if theory.stationary:
            return np.asarray(np.arange(_TIMES) * step)
        for source in theory.sources:
            if source.interval is not None:
                return np.linspace(*source.interval, _TIMES_AROUND)
        return np.asarray((np.arange(_TIMES_AROUND) - (_TIMES_AROUND - 1) / 2) * step)

    @property
    def _n_paths(self) -> int:
        """Number of paths, in whole groups that share their weights."""
        return -(-self.plan.n_paths // self.theory.group) * self.theory.group

    @cached_property
    def _run(self) -> Correlators:
        """Sums over paths; of a theory that is not stationary, over short paths at the end of the grid."""
        theory, plan = self.theory, self.plan
        if theory.stationary:
            return self._simulated(self._grid, _OF_RUN)
        step = (self._grid[1] - self._grid[0]) * _SHORT
        x = sample_paths(
            theory,
            self._n_paths,
            times=self._grid[-1] - step * np.arange(_SHORT_STEPS, -1, -1),
            rng=self._seed(_OF_RUN),
            channels=(self.name,),
            precision="float64",
            n_threads=plan.n_threads,
        )
        return accumulate(
            x, step, names=(self.name,), independent=True, group=theory.group, hbar=theory.hbar, mass=theory.mass
        )

    def _simulated(self, times: Floats, purpose: int, measure: Measure | None = None) -> Correlators:
        return simulate(
            self.theory,
            self._n_paths,
            times=times,
            rng=self._seed(purpose),
            measure=measure,
            precision=self.plan.precision,
            n_threads=self.plan.n_threads,
        )

    def _limit(self, estimator: Callable[[Correlators, str], Extrapolation]) -> Quantity:
        """A limit dt -> 0, from a run with a smaller step if it does not converge."""
        found = estimator(self._run, self.name)
        for factor in _FINER:
            if found.verdict is not Verdict.NOT_CONVERGED or not self.theory.stationary:
                break
            with suppress(InputError):  # a chain has its own step, and closed paths have their period
                finer = self._simulated(
                    self._grid[0] + (self._grid - self._grid[0]) / factor, _OF_RUN + factor, _SHORT_RUN
                )
                found = estimator(finer, self.name)
        return _of_limit(found)

    def _measured(self, names: Sequence[str]) -> Numbers:
        """Quantities from paths."""
        measure: dict[str, Callable[[], Quantity]] = {
            "variance": lambda: _with_error(self._run.moments(self.name)[0], Origin.MEASURED),
            "kurtosis": lambda: _with_error(self._run.kurtosis(self.name), Origin.MEASURED),
            "commutator": lambda: self._limit(commutator),
            "uncertainty": lambda: self._limit(uncertainty),
        }
        found: Numbers = {}
        for name in names:
            try:
                with np.errstate(divide="ignore", invalid="ignore"):
                    found[name] = (measure[name](),)
            except InputError as error:
                found[name] = (_unresolved(error.reason),)
        return found

    def _measured_levels(self, gaps: tuple[Quantity, ...] | None) -> Numbers:
        """Weights, and gaps where they are not known exactly, of the levels that paths resolve."""
        count = self.plan.n_levels
        lost = [_unresolved(Verdict.NOISE)] * count
        found = {"gap": list(lost), "weight": list(lost)}
        try:
            levels = spectrum(self._run, count, channel=self.name).levels
        except SpectrumError as error:
            levels = () if error.partial is None else error.partial.levels
            found = {name: [_unresolved(error.reason)] * count for name in OF_LEVELS}
        except InputError as error:
            levels, found = (), {name: [_unresolved(error.reason)] * count for name in OF_LEVELS}
        for level in levels:
            usable = level.resolved and not level.at_least and level.number == level.until
            reason = level.verdict if not level.resolved else level.name
            for n in range(max(level.number, 1), min(level.until, count) + 1):
                for name, estimate in (("gap", level.gap), ("weight", level.weight)):
                    if usable and estimate is not None:
                        found[name][n - 1] = _with_error(estimate, Origin.MEASURED)
                    else:
                        found[name][n - 1] = _unresolved(reason)
        return {"gap": gaps or tuple(found["gap"]), "weight": tuple(found["weight"])}

    def _positivity(self) -> dict[str, Any]:
        """Verdict, p-value, norm and reason."""
        theory, plan = self.theory, self.plan
        because = theory.positive_because
        verdict = Verdict.POSITIVE_BY_CONSTRUCTION if because else Verdict.NOT_TESTED
        untested = {"verdict": verdict, "p_value": math.nan, "norm": _absent(Verdict.NOT_TESTED), "reason": because}
        if not plan.positivity:
            return untested
        # One path for each draw of the weights: paths of one group are no independent units.
        stride = 1 if theory.stationary else theory.group
        paths = Paths(
            theory,
            self._n_paths * stride,
            times=self._grid,
            rng=self._seed(_OF_TEST),
            precision=plan.precision,
            n_threads=plan.n_threads,
        )
        try:
            if stride == 1:
                result = reflection_positivity(paths, channel=self.name)
            else:
                dt = float(self._grid[1] - self._grid[0])
                given = paths.read(channel=self.name)[::stride]
                result = reflection_positivity(given, dt=dt, about="middle", n_paths=len(given))
        except InputError as error:
            return untested | {"reason": because or error.reason}
        return {
            "verdict": verdict if because else result.verdict,
            "p_value": result.p_value,
            "norm": _with_error(result.value, Origin.MEASURED),
            "reason": because,
        }
