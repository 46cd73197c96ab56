"""Checks of the axioms of Euclidean quantum mechanics for a theory or a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._arguments import Floats, Rng, floats, integer, random_key
from .errors import InputError, InputTypeError
from .estimators.markov import residual_products, smallest_p
from .exact.output_expansion import zeros_of_layers
from .positivity.certificate import positivity_certificate
from .positivity.reflection import PositivityResult, reflection_positivity
from .progress import ProgressBar, Showing
from .quantum.measures import SpectralMeasure, ThermalMeasure
from .representation import card, short_repr
from .runs.simulation import simulate
from .sampling.path_source import Paths
from .statistics.blas import one_blas_thread
from .statistics.estimate import Estimate
from .statistics.plain import plain
from .theories.networks import Network, RandomNetwork
from .theories.source import Source
from .theories.theory import Theory
from .time_networks.decompose import SpectralKernel, exact_kernel
from .time_networks.kernels import CosineNetwork, Kernel, TimeNetwork
from .verdict import Verdict

__all__ = ["Properties", "Property", "check"]

# Number of times on which a kernel is evaluated.
_TIMES = 33
# Half-width of the range of inputs on which a network must be monotonic, in standard deviations.
_WIDTH = 8.0
# Shortest and longest distance of increments: 2^-20 and 2^-6 of the interval; smallest increment above rounding, as a
# fraction of the variance.
_SHORTEST, _LONGEST, _ABOVE_ROUNDING = 20, 6, 1e-10
# Smallest fitted power of the distance for increments of smooth paths, exactly 2.
_SMOOTH = 1.99
# Largest error of the propagator of a field, as a fraction of its variance.
_PROPAGATOR = 1e-9
# Largest deviation of a stationary or Markov kernel, as a fraction of its largest value.
_LACK = 1e-8
# p-value below which a property tested on paths is violated.
_LEVEL = 1e-3
# Number of blocks of a test on paths.
_BLOCKS = 128
# Smallest number of paths, or of draws of weights, of the comparison of pairs of times.
_FEWEST = 4096


@short_repr
@dataclass(frozen=True)
class Property:
    """One property of a theory or a kernel, as ``check`` found it.

    Attributes
    ----------
    name : str
        "mean-square continuity", "finite two-point function", "stationarity", "Markov property" or "reflection
        positivity".
    verdict : Verdict
        "holds" or "fails" if this is known, or proved within rounding; "consistent" if neither a grid nor a test on
        paths contradicts the property; "violated" if a test on paths contradicts it, at p < 0.001; else "unknown".
    reason : str
        The fact or the test that decided.
    """

    name: str
    verdict: Verdict
    reason: str


@short_repr
@dataclass(frozen=True)
class Properties:
    """Result of ``check``; ``print`` shows it as a table, and ``properties[name]`` is one row.

    Attributes
    ----------
    title : str
        The process and the interval of time.
    rows : tuple of Property
        The five properties in the order of ``Property.name``.
    """

    title: str
    rows: tuple[Property, ...]

    def __iter__(self) -> Iterator[Property]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Property:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is not among the properties; they are {', '.join(r.name for r in self.rows)}")

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        rows = [(row.name, row.verdict, row.reason) for row in self.rows]
        return card(f"Properties {self.title}", headings=("property", "verdict", "reason"), rows=rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: "title" and "rows" with the keys "name", "verdict" (its name) and "reason".

        Returns
        -------
        dict
        """
        found: dict[str, Any] = plain({"title": self.title, "rows": [vars(row) for row in self.rows]})
        return found

    def __str__(self) -> str:
        wide, wider = max(len(r.name) for r in self.rows), max(len(r.verdict) for r in self.rows)
        return "\n".join([self.title, *(f"{r.name:{wide}}  {r.verdict:{wider}}  {r.reason}" for r in self.rows)])


@one_blas_thread
def check(
    source: Theory | Kernel | CosineNetwork | TimeNetwork | Callable[[Floats, Floats], Any],
    interval: tuple[float, float] | None = None,
    *,
    n_paths: int = 20_000,
    rng: Rng = None,
    n_threads: int = 0,
    progress: Showing = None,
) -> Properties:
    r"""Check the axioms of Euclidean quantum mechanics for a theory or a kernel.

    A minimal quantum mechanics is a process that is mean-square continuous and has a finite two-point function (Ferko
    and Halverson, arXiv:2504.05462). Three further properties add structure. Energies need stationarity, a Hamiltonian
    in x alone needs the Markov property, and a Hilbert space with positive norms needs reflection positivity.

    Facts about the construction decide first, then an exact two-point function, and then a test on paths.

    The Markov property of a Gaussian process is the semigroup identity :math:`K(s,u) K(u,t) = K(s,t) K(u,u)`,
    s < u < t (Doob, Ann. Math. 43, 351 (1942)). The test on paths is a test of the independence of past and future,
    given the present, at one past and one future time; it is the one of ``chapman_kolmogorov``.

    Parameters
    ----------
    source : Theory, Kernel, CosineNetwork, TimeNetwork or callable
        A theory; its first output is checked. Reflection positivity of a field is checked for all points of space, or
        for the 16 that ``reflection_positivity`` chooses. Or a kernel, K(s, t) of two arrays of times, or a
        ``TimeNetwork`` without a width; the Gaussian process with this covariance is checked.
    interval : (float, float), optional
        Range of times (a, b), a < b. Functions need it; by default it follows from the time scales of the source.
        Processes that are not stationary are reflected about its middle.
    n_paths : int, default 20000
        Number of paths of a test, at least 1000.
    rng : int, SeedSequence, Generator or None
        Random numbers of the tests, as for ``simulate``.
    n_threads : int, default 0
        Number of threads, 0 for all. It does not change the result.
    progress : callable, bool or None
        Called with (properties done, all properties); or whether a bar is shown, see ``simulate``.

    Returns
    -------
    Properties
        Five properties, each with its verdict and reason.

    Raises
    ------
    InputError
        If the interval is missing or empty, or a kernel is not finite or has a wrong shape.
    InputTypeError
        If the source is none of these.

    Examples
    --------
    >>> print(check(nnqm.Kernel.matern(1.5)))  # doctest: +ELLIPSIS
    Gaussian process of the kernel matern on [0, 4]
    mean-square continuity     holds  <(x(t+h) - x(t))^2> falls as h^2.00, to ...
    finite two-point function  holds  the largest value is 1
    stationarity               holds  K(s, t) depends on t - s only
    Markov property            fails  K(s,u) K(u,t)/K(u,u) differs from K(s,t), by 0.13 of the variance
    reflection positivity      fails  stationary paths that are smooth and reflection positive do not move
    """
    paths, bar = integer("n_paths", n_paths, 1000), ProgressBar("check", given=progress)
    if isinstance(source, CosineNetwork) or (isinstance(source, TimeNetwork) and source.width is not None):
        source = source.theory()
    threads = integer("n_threads", n_threads, 0, 4096)
    subject = _Subject.of(source, interval, _Draws(paths, random_key(rng), threads))
    found: list[Property] = []
    with bar as tell:

        def add(row: Property) -> Property:
            found.append(row)
            tell(len(found), 5)
            return row

        finite = add(_finite(subject))
        continuous, stationary = add(_continuity(subject, finite)), add(_stationarity(subject, finite))
        markov = add(_markov(subject))
        settled = subject.gaussian and stationary.verdict is markov.verdict is Verdict.HOLDS
        positive = add(_positivity(subject, settled))
    return Properties(subject.title, (continuous, finite, stationary, markov, positive))


@dataclass(frozen=True)
class _Draws:
    """Settings of the paths of a test."""

    n_paths: int
    key: int
    n_threads: int

    def whole_groups(self, theory: Theory) -> int:
        """Number of paths, rounded up so that all paths of each draw of the weights are included."""
        return -(-self.n_paths // theory.group) * theory.group


def _zero(t: Floats) -> Floats:
    return np.zeros(t.shape)


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A theory or a kernel: its covariance and mean, if they are known, and the settings of its paths."""

    title: str
    interval: tuple[float, float]
    covariance: Callable[[Floats, Floats], Floats] | None
    draws: _Draws
    mean: Callable[[Floats], Floats] = _zero
    gaussian: bool = False
    theory: Theory | None = None
    period: float | None = None

    @property
    def of_field(self) -> bool:
        """Whether the theory is the one of a field at points of space."""
        return self.theory is not None and self.theory.of_field

    @classmethod
    def of(cls, source: Any, interval: Any, draws: _Draws) -> _Subject:
        where = _interval(source, interval)
        span = f"[{where[0]:g}, {where[1]:g}]"
        if not isinstance(source, Theory):
            name = f"the kernel {source.name}" if isinstance(source, Kernel) else "a kernel"
            name = str(source) if isinstance(source, TimeNetwork) else name
            return cls(
                title=f"Gaussian process of {name} on {span}",
                interval=where,
                covariance=_checked(source),
                draws=draws,
                gaussian=True,
                period=dict(source.parameters).get("beta") if isinstance(source, Kernel) else None,
            )
        title = " on ".join(str(part) for part in (source.network, *source.sources) if part is not None)
        unknown = cls(
            title=f"{title}, times {span}",
            interval=where,
            covariance=None,
            draws=draws,
            theory=source,
            period=source.period,
        )
        try:
            known = exact_kernel(source)
            if isinstance(known, SpectralMeasure):
                # Tabulated, because the measure can have thousands of exponentials; InputError for a chain with
                # negative eigenvalues.
                spectral = SpectralKernel.of(known, where[1] - where[0])
            elif isinstance(known, ThermalMeasure):
                # InputError where its tolerance is not reached at early times
                known.connected((where[1] - where[0]) * 0.5 ** np.arange(_LONGEST, _SHORTEST + 1))
        except InputError:
            return unknown
        gaussian = source.network is None and source.sources[0].gaussian
        covariance: Callable[[Floats, Floats], Floats]
        mean: Callable[[Floats], Floats] = _zero
        if isinstance(known, Source):
            assert known.known_covariance is not None
            covariance, mean = known.known_covariance, known.mean_at
        elif isinstance(known, SpectralMeasure):
            covariance = spectral
        elif isinstance(known, ThermalMeasure):
            measure = known
            covariance = lambda s, t: measure.connected(t - s)  # noqa: E731
        else:
            covariance = known
        return replace(unknown, covariance=covariance, mean=mean, gaussian=gaussian)

    def grid(self) -> Floats:
        a, b = self.interval
        return np.linspace(a, b, _TIMES)

    def table(self) -> Floats:
        """Covariance between all times of the grid."""
        assert self.covariance is not None
        t = self.grid()
        return self.covariance(t[:, None], t[None, :])

    def increments(self) -> tuple[Floats, Floats]:
        """Distances h, and the largest <(x(t+h) - x(t))^2> over t, relative to the largest variance."""
        assert self.covariance is not None
        a, b = self.interval
        h = np.asarray((b - a) * 0.5 ** np.arange(_LONGEST, _SHORTEST + 1), dtype=np.float64)
        # Irrational fractions of the interval, so that the times do not coincide with a period of the kernel.
        t = (a + (b - a) * (np.sqrt(2) * np.arange(1, 33) % 1) * (1 - 2.0**-_LONGEST))[:, None]
        k = self.covariance
        jumps = (k(t, t) + k(t + h, t + h) - 2 * k(t, t + h)).max(axis=0)
        return h, jumps / max(float(np.abs(k(t, t)).max()), np.finfo(float).tiny)


def _interval(source: Any, given: Any) -> tuple[float, float]:
    if given is not None:
        pair = floats("interval", given)
        if pair.shape != (2,) or not pair[1] > pair[0]:
            raise InputError(f"interval must be (a, b) with a < b; got {given}; give two increasing times")
        return float(pair[0]), float(pair[1])
    if isinstance(source, Kernel):
        p = dict(source.parameters)
        scale = p["length"] if "length" in p else p.get("duration", 1.0) / 4
        return 0.0, p.get("beta", 4 / p["omega"] if "omega" in p else 4 * scale)
    if isinstance(source, Theory):
        for process in source.sources:
            if process.interval is not None:
                return process.interval
        step = min(s.natural_step for s in source.sources)
        if source.period is not None:
            return 0.0, source.period
        return (0.0, step * (_TIMES - 1)) if source.stationary else (-step * (_TIMES - 1) / 2, step * (_TIMES - 1) / 2)
    if isinstance(source, TimeNetwork):
        return -2.0, 2.0
    if not callable(source):
        raise InputTypeError(
            f"source must be a theory, a Kernel or a function K(s, t); got {source!r}; write a kernel as a function"
        )
    raise InputError("interval must be given for a function: interval=(0.0, 10.0)")


def _checked(kernel: Callable[[Floats, Floats], Any]) -> Callable[[Floats, Floats], Floats]:
    def covariance(s: Floats, t: Floats) -> Floats:
        values = floats("kernel", kernel(s, t))
        if values.shape != np.broadcast_shapes(s.shape, t.shape):
            raise InputError(
                f"kernel must return an array of the shape that s and t broadcast to, "
                f"{np.broadcast_shapes(s.shape, t.shape)}; got {values.shape}; use NumPy functions"
            )
        return values

    return covariance


def _finite(subject: _Subject) -> Property:
    name = "finite two-point function"
    theory = subject.theory
    if theory is not None and isinstance(theory.network, RandomNetwork):
        try:
            theory.network.need_moment(2, "the two-point function")
        except InputError as error:
            return Property(name, Verdict.FAILS, error.reason)
    if subject.covariance is not None:
        largest = float(np.abs(subject.table()).max())
        return Property(name, Verdict.HOLDS, f"the largest value is {largest:.4g}")
    return Property(name, Verdict.HOLDS, "all densities have the moments that it needs")


def _continuity(subject: _Subject, finite: Property) -> Property:
    name = "mean-square continuity"
    theory = subject.theory
    if theory is not None and any(s.step is not None for s in theory.sources):
        return Property(name, Verdict.UNKNOWN, "time is discrete: a chain has no values between its steps")
    if finite.verdict is Verdict.FAILS:
        return Property(name, Verdict.FAILS, "it needs a finite two-point function")
    if subject.covariance is None:
        if theory is not None and not all(s.continuous for s in theory.sources):
            return Property(name, Verdict.UNKNOWN, "neither the seed process nor its two-point function says")
        return Property(name, Verdict.HOLDS, "seed processes and activations are continuous")
    h, jumps = subject.increments()
    power = _power(h, jumps)
    if power is None:
        return Property(name, Verdict.HOLDS, "paths do not move")
    text = f"<(x(t+h) - x(t))^2> falls as h^{power:.2f}, to {jumps[-1]:.1g} of the variance at h = {h[-1]:.1g}"
    if power < 0.01:
        text = f"<(x(t+h) - x(t))^2> is {jumps[-1]:.2g} of the variance at h = {h[-1]:.1g}, and does not fall with h"
        return Property(name, Verdict.FAILS, text)
    return Property(name, Verdict.HOLDS, text)


def _power(h: Floats, jumps: Floats) -> float | None:
    """Power of the decrease of increments at the three shortest distances above rounding; None for fewer than three."""
    seen = np.flatnonzero(jumps > _ABOVE_ROUNDING)
    if seen.size < 3:
        return None
    last = seen[-3:]
    return float(np.polyfit(np.log(h[last]), np.log(jumps[last]), 1)[0])


def _stationarity(subject: _Subject, finite: Property) -> Property:
    name = "stationarity"
    theory = subject.theory
    if theory is not None and theory.stationary:
        return Property(name, Verdict.HOLDS, "all seed processes are, and the network does not see the time")
    if subject.covariance is not None:
        table, mean = subject.table(), subject.mean(subject.grid())
        lags = np.abs(np.subtract.outer(np.arange(_TIMES), np.arange(_TIMES)))
        averages = np.bincount(lags.ravel(), table.ravel()) / np.bincount(lags.ravel())
        lack = np.abs(table - averages[lags]).max() / np.abs(table).max()
        drift = np.ptp(mean) / np.sqrt(np.abs(table).max())
        if max(lack, drift) > _LACK:
            what = f"K(t, t + h) varies with t by {lack:.2g} of the variance"
            if drift > _LACK:
                what = f"the mean moves by {drift:.2g} standard deviations"
            return Property(name, Verdict.FAILS, what)
        if subject.gaussian:
            return Property(name, Verdict.HOLDS, "K(s, t) depends on t - s only")
        if theory is not None and isinstance(theory.network, RandomNetwork) and theory.network.activations[0] == "cos":
            return Property(name, Verdict.HOLDS, "phases are uniform: a shift of time is a shift of phase")
        return Property(name, Verdict.CONSISTENT, "the two-point function depends on t - s only")
    if finite.verdict is Verdict.FAILS or theory is None:
        return Property(name, Verdict.UNKNOWN, "there is no two-point function to compare")
    try:
        function = _sampled(subject, theory)
    except InputError as error:
        return Property(name, Verdict.UNKNOWN, f"it cannot be tested: {error.reason}")
    # Six pairs of times, and six pairs with the same distances at other times.
    first, second = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 2, 4, 1, 3])
    shifted = np.array([4, 8, 4, 4, 7, 5])
    difference = function[first, second].map_replicas(lambda x, y: x - y, function[first + shifted, second + shifted])
    if not difference.error.any():
        if np.any(difference.value != 0):
            return Property(name, Verdict.FAILS, "paths do not fluctuate, and x changes with time")
        return Property(name, Verdict.CONSISTENT, "paths do not fluctuate, and x is the same at all times compared")
    try:
        p = difference.consistency(np.zeros(len(first)))
    except InputError as error:
        return Property(name, Verdict.UNKNOWN, f"it cannot be tested: {error.reason}")
    return _tested(name, p, "<x(t) x(t + h)> at six pairs of times")


def _sampled(subject: _Subject, theory: Theory) -> Estimate:
    """Two-time function at thirteen times of the interval, from sampled paths."""
    a, b = subject.interval
    draws = subject.draws
    # The covariance of six pairs of times needs sixty blocks, of at least 64 paths or draws each.
    n, times = max(draws.whole_groups(theory), _FEWEST * theory.group), np.linspace(a, b, 13)
    return simulate(theory, n, times=times, rng=draws.key, n_threads=draws.n_threads).two_time_function()


def _tested(name: str, p: float, what: str) -> Property:
    verdict = Verdict.VIOLATED if p < _LEVEL else Verdict.CONSISTENT
    return Property(name, verdict, f"test on paths, {what}: p = {p:.2g}")


def _markov(subject: _Subject) -> Property:
    name = "Markov property"
    theory = subject.theory
    if subject.period is not None:
        return Property(name, Verdict.FAILS, "paths close: past and future meet on the other side of the circle")
    if theory is not None:
        known = _markov_by_construction(theory)
        if known:
            return Property(name, Verdict.HOLDS, known)
    if subject.gaussian:
        table = subject.table()
        variance = np.diag(table)
        worst = 0.0
        for u in np.flatnonzero(variance > _LACK * variance.max()):
            lack = np.abs(np.outer(table[:u, u], table[u, u + 1 :]) / variance[u] - table[:u, u + 1 :])
            worst = max(worst, float(lack.max(initial=0.0)) / float(variance.max()))
        if worst > _LACK:
            text = f"K(s,u) K(u,t)/K(u,u) differs from K(s,t), by {worst:.2g} of the variance"
            return Property(name, Verdict.FAILS, text)
        return Property(name, Verdict.HOLDS, f"Gaussian, and K(s,u) K(u,t) = K(s,t) K(u,u) on {_TIMES} times")
    assert theory is not None
    try:
        p = _conditional_independence(subject, theory)
    except InputError as error:
        return Property(name, Verdict.UNKNOWN, f"it cannot be tested: {error.reason}")
    where = " at one point of space" if subject.of_field else ""
    return _tested(name, p, f"past and future given the present{where}")


def _markov_by_construction(theory: Theory) -> str:
    """Reason why a theory is Markov by construction, or an empty text."""
    source = theory.sources[0]
    if len(theory.sources) > 1 or not source.markov:
        return ""
    if source.input_points is not None and theory.network is None:
        return "the field at all points of space together is"
    if theory.n_inputs > 1:
        return ""
    if theory.network is None:
        return "the seed process is"
    if not isinstance(theory.network, Network):
        return ""
    spread = float(np.sqrt(source.variance[0]))
    z = np.linspace(-_WIDTH, _WIDTH, 4001)
    y = source.mean + spread * z
    steps = np.diff(theory.network(y[:, None])[:, 0])
    # The network as a function of y - <y>: steep neurons turn between the points of a grid.
    weights, biases = theory.network.weights, theory.network.biases
    centred = Network(weights, [biases[0] + weights[0] @ source.mean, *biases[1:]], theory.network.activations)
    turns = np.concatenate(zeros_of_layers(centred, spread))
    finer = theory.network((source.mean + spread * np.union1d(z, turns[np.abs(turns) <= _WIDTH]))[:, None])[:, 0]
    back = np.diff(finer) * np.sign(finer[-1] - finer[0]) < -1e-12 * np.ptp(finer)
    if not back.any() and (np.all(steps > 0) or np.all(steps < 0)):
        return f"the seed process is, and the network is monotonic over {_WIDTH:g} standard deviations"
    return ""


def _conditional_independence(subject: _Subject, theory: Theory) -> float:
    """p-value of the hypothesis that past and future are independent, given the present."""
    a, b = subject.interval
    if theory.stationary:
        times = 3 * min(s.natural_step for s in theory.sources) * np.arange(3)
        for source in theory.sources:
            if source.step is not None:
                times = source.step * np.arange(3)
    else:
        times = a + (b - a) * np.array([0.3, 0.6, 0.8])
    draws, n = subject.draws, subject.draws.whole_groups(theory)
    paths = Paths(theory, n, times=times, key=draws.key, precision="float64", n_threads=draws.n_threads)
    past, present, future = paths.read().T
    length = max(1, n // (_BLOCKS * theory.group)) * theory.group
    products, cell = residual_products(past, present, future)
    return smallest_p(products, length, cell)


def _positivity(subject: _Subject, settled: bool) -> Property:
    name = "reflection positivity"
    theory = subject.theory
    if settled:
        return Property(name, Verdict.HOLDS, "a Gaussian process that is stationary, hence reversible, and Markov")
    if theory is not None:
        known = theory.positive_because
        if known:
            return Property(name, Verdict.HOLDS, f"by construction: {known}")
    if subject.covariance is not None:
        found = _by_two_points(subject)
        if found is not None:
            return Property(name, *found)
    assert theory is not None
    try:
        result = _tested_on_paths(subject, theory)
    except InputError as error:
        return Property(name, Verdict.UNKNOWN, f"it cannot be tested: {error.reason}")
    verdict = Verdict.UNKNOWN if result.verdict is Verdict.UNDECIDED else result.verdict
    text = f"test on paths ({', '.join(result.functionals)}): p = {result.p_value:.2g}"
    if verdict is not Verdict.CONSISTENT:
        text += f", <F(reflected) F> = {result.value}"
    if verdict is Verdict.VIOLATED and subject.of_field:
        text += f" for F = {result.witness}"
    return Property(name, verdict, text)


def _tested_on_paths(subject: _Subject, theory: Theory) -> PositivityResult:
    draws, (a, b) = subject.draws, subject.interval
    step = (b - a) / (_TIMES - 1)
    if theory.stationary:
        n = draws.whole_groups(theory)
        dt = step if theory.period is None else None
        paths = Paths(theory, n, _TIMES, dt, key=draws.key, n_threads=draws.n_threads)
        return reflection_positivity(paths, level=_LEVEL)
    # Reflected about the middle of the interval, which need not be on the grid of a theory; one path for each draw.
    n = draws.n_paths * theory.group
    paths = Paths(theory, n, times=subject.grid(), key=draws.key, n_threads=draws.n_threads)
    given = paths.read()[:: theory.group]
    return reflection_positivity(given, dt=step, about="middle", level=_LEVEL, n_paths=draws.n_paths)


def _by_two_points(subject: _Subject) -> tuple[Verdict, str] | None:
    """Verdict and reason, or None if the two-point function does not decide; for a Gaussian process it always does."""
    assert subject.covariance is not None
    k, (a, b) = subject.covariance, subject.interval
    step = (b - a) / (_TIMES - 1)
    table = subject.table()
    lags = np.abs(np.subtract.outer(np.arange(_TIMES), np.arange(_TIMES)))
    if (
        np.abs(table - table[0][lags]).max() <= _LACK * np.abs(table).max()
        and np.ptp(subject.mean(subject.grid())) == 0
    ):
        power = _power(*subject.increments())
        if power is not None and power > _SMOOTH and subject.period is None:
            return Verdict.FAILS, "stationary paths that are smooth and reflection positive do not move"
        error = _PROPAGATOR * float(np.abs(table).max()) if subject.of_field else None
        certificate = positivity_certificate(
            lambda t: k(np.full(t.shape, a), a + t), _TIMES, step, period=subject.period, error=error
        )
    else:
        # The grid omits the ends and the middle of the interval, where a bridge and a network without biases are
        # constant.
        middle = (a + b) / 2
        certificate = positivity_certificate(lambda s, t: k(middle + s, middle + t), _TIMES - 3, step, stationary=False)
    if certificate.verdict is Verdict.VIOLATED:
        return Verdict.FAILS, f"two-point function: {certificate.reason}"
    if subject.gaussian:
        return Verdict.CONSISTENT, f"Gaussian, and the two-point function is {certificate.verdict}"
    return None
