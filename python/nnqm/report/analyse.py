"""The one table of a run's physics, which README, command line and notebooks print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import integer
from ..errors import InputError, InputTypeError
from ..estimators.clustering import clustering
from ..exact.random_weights import WeightAverage
from ..positivity.reflection import PositivityResult, reflection_positivity
from ..progress import ProgressBar, Showing
from ..quantum.measures import TwoPointFunction
from ..sampling.correlators import Correlators
from ..sampling.path_source import Paths
from ..spectra.correlator_matrix import spectrum
from ..spectra.levels import Spectrum, SpectrumError
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..theories.source import Source
from ..verdict import Verdict
from .exact_values import SHOWN_LAGS, Estimated, exact_column
from .level_rows import level_notes, level_rows, without_levels
from .short_times import commutator_rows
from .table import Group, Report, Row, judged_row, rows_or_reason

__all__ = ["analyse"]

# Variance in units of the standardisation below which a channel does not move; the rounding of float32.
_CONSTANT = 1e-13

# p-value below which the two-point function deviates at several lags together.
_JOINT_LEVEL = 1e-3

# Distance in errors from the autocorrelation time of independent paths, within which it may be theirs.
_INDEPENDENT = 2.5

# Longest witness that is printed as a note, in characters.
_LONG_FORMULA = 160

# Units of the positivity test: enough for its power, few enough to be drawn in a second.
_POSITIVITY_PATHS = 20_000


@one_blas_thread
def analyse(
    run: Correlators,
    *,
    channel: int | str = 0,
    paths: ArrayLike | None = None,
    n_levels: int = 5,
    positivity: bool = True,
    progress: Showing = None,
) -> Report:
    """All the physics of a run in one table.

    Parameters
    ----------
    run : Correlators
        From ``simulate``, ``accumulate`` or ``load``.
    channel : int or str
        The channel whose physics is wanted; the first output by default.
    paths : array_like, optional
        The paths of a run made by ``accumulate``, shape (n_paths, n_times, channels), for the tests of reflection
        positivity and of the Markov property (``chapman_kolmogorov``); a run of a theory draws its own for the first,
        the first ones of its key, and ``check`` answers for the second.
    n_levels : int, default 5
        Levels asked for.
    positivity : bool, default True
        Whether these tests are made, which take about half of the time.
    progress : callable, bool or None
        Called with (parts done, all parts) of the analysis; or whether a bar is shown, see ``simulate``.

    Returns
    -------
    Report
        Rows without sums in the run are left out. A row that cannot be computed has a reason in place of a number. Each
        estimator documents what its error covers.

    Raises
    ------
    InputError, InputTypeError
        If the run is no run, the channel does not exist, or there are fewer than two blocks, which errors need.
    """
    if not isinstance(run, Correlators):
        raise InputTypeError(
            f"run must be a run of simulate, accumulate or load; got {type(run).__name__}; "
            "for an array of paths use nnqm.analyse(nnqm.accumulate(paths, dt), paths=paths)"
        )
    wanted = integer("n_levels", n_levels, 1)
    found = _Analysis(run, run.channels[run.observables.index(channel)], list(run.notes))
    parts: list[Callable[[], bool]] = [found.exact_values, found.shape, found.two_point]
    parts += [lambda: found.levels(wanted), found.short_times]
    if positivity:
        parts.append(lambda: found.positivity(paths))
    if run.chain is not None or paths is not None:
        parts.append(lambda: found.chain(paths if positivity else None))
    with ProgressBar("analyse", given=progress) as tell:
        for done, part in enumerate(parts, start=1):
            if not part():
                break
            tell(done, len(parts))
    return Report(_title(run, found.name), tuple(found.rows), tuple(found.notes), found.details)


@dataclass
class _Analysis:
    """Rows, notes and details of a report. Each part adds to them and returns whether further parts make sense."""

    run: Correlators
    name: str
    notes: list[str]
    exact: TwoPointFunction | Estimated | None = None
    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def exact_values(self) -> bool:
        self.details["channel"] = self.name
        self.exact = exact_column(self.run, self.name, self.notes)
        if self.exact is not None:
            self.details["exact"] = self.exact
        return True

    def shape(self) -> bool:
        if "moments" in self.run.sums:
            self.rows += _shape_rows(self.run, self.name, self.exact)
            if len(self.rows) == 2:
                self.notes.append(f"{self.name} is constant: nothing moves")
                return False
        if not self.run.uniform:
            self.notes.append("lags, levels and limits need a uniform grid of at least two times")
        return self.run.uniform

    def two_point(self) -> bool:
        run, name = self.run, self.name
        if "lags" in run.sums:
            self.rows += rows_or_reason(
                "two-point function", Group.TWO_POINT, lambda: _two_point_rows(run, name, self.exact)
            )
        elif "two_time" in run.sums and run.two_time == run.observables.index(name):
            self.rows += rows_or_reason("two-time function", Group.TWO_POINT, lambda: _two_time_rows(run))
        return True

    def levels(self, n_levels: int) -> bool:
        if "observable_lags" in self.run.sums and len(self.run.observable_lags) > 1:
            self.rows += rows_or_reason("levels", Group.LEVELS, lambda: self._level_rows(n_levels))
        elif self.run.closed_after is not None and len(self.run.lags) > 1:
            self.rows += rows_or_reason("gap 1, from a cosh", Group.LEVELS, lambda: [self._closed_row()])
        return True

    def _closed_row(self) -> Row:
        """The only level of closed paths: correlations rise again behind half of the period."""
        from ..spectra.one_correlator import OneCorrelator

        found = OneCorrelator(self.run, channel=self.name).plateau()
        self.details["plateau"] = found
        level = found.levels[0]
        row = Row("gap 1, from a cosh", level.gap, None, level.verdict, Group.LEVELS, of_levels=True)
        if level.resolved:
            return row
        return replace(row, estimate=None, verdict=Verdict.NOT_RESOLVED, reason=level.verdict)

    def _level_rows(self, n_levels: int) -> list[Row]:
        run, name = self.run, self.name
        try:
            found: Spectrum | None = spectrum(run, n_levels, channel=name)
        except SpectrumError as error:  # what could be computed has no resolved level
            found = error.partial
            self.notes.append(str(error))
        if found is None:
            return []
        self.details["spectrum"] = found
        rows = level_rows(run, found)
        self.notes += level_notes(run, found)
        if not found.gaps:
            rows += _clustering_rows(run, name)
        return rows

    def short_times(self) -> bool:
        run, name = self.run, self.name
        if "increments" in run.sums and set(run.increment_lags) >= {1, 2}:
            of_increments = rows_or_reason(
                "[x,p]/(i hbar)", Group.COMMUTATOR, lambda: commutator_rows(run, name, self.exact, self.details)
            )
            # Stationary and differentiable paths that are reflection positive do not move at all.
            if any(row.verdict is Verdict.SMOOTH for row in of_increments):
                self.rows, of_increments = without_levels(self.rows), without_levels(of_increments)
            self.rows += of_increments
        return True

    def positivity(self, paths: ArrayLike | None) -> bool:
        # Without enough independent units the other rows remain.
        self.rows += rows_or_reason(
            "reflection positivity", Group.POSITIVITY, lambda: self._positivity_rows(paths), Verdict.NOT_TESTED
        )
        return True

    def _positivity_rows(self, paths: ArrayLike | None) -> list[Row]:
        found = _positivity(self.run, self.name, paths)
        if found is None:
            return []
        self.details["positivity"] = found
        if found.verdict is Verdict.VIOLATED:
            formula = str(found.witness)
            long = len(formula) > _LONG_FORMULA
            self.notes.append(
                "reflection positivity is violated by F = "
                + (f"{formula[:_LONG_FORMULA]} ... (details['positivity'].witness)" if long else formula)
            )
            self.rows = without_levels(self.rows)
        row = Row("<F(reflected) F>, worst F found", found.value, None, found.verdict, Group.POSITIVITY)
        return [replace(row, remarks=(_p_text(found.p_value),))]

    def chain(self, paths: ArrayLike | None) -> bool:
        self.rows += _autocorrelation_rows(self.run, self.name)
        if paths is not None and not self.run.keys and self.run.n_times > 2:
            self.rows += rows_or_reason(
                "Chapman-Kolmogorov", Group.CHAIN, lambda: [self._markov_row(paths)], Verdict.NOT_TESTED
            )
        return True

    def _markov_row(self, paths: ArrayLike) -> Row:
        from ..estimators.markov import chapman_kolmogorov

        run = self.run
        if run.period is not None:
            raise InputError(
                f"the paths close after {run.period:g}: past and future meet on the other side of the circle"
            )
        found = chapman_kolmogorov(paths, run.dt, channel=run.observables.columns[run.channels.index(self.name)])
        self.details["chapman_kolmogorov"] = found
        if found.verdict is Verdict.VIOLATED:
            self.notes.append(f"{self.name} is not a Markov process: {found}")
        row = Row("Chapman-Kolmogorov, largest deviation", found.deviation, None, found.verdict, Group.CHAIN)
        return replace(row, remarks=(_p_text(found.p_value),))


def _shape_rows(run: Correlators, name: str, exact: TwoPointFunction | Estimated | None) -> list[Row]:
    mean, moments = run.mean(name), run.moments(name)
    rows = [judged_row(f"<{name}>", mean, None if exact is None else exact.mean, Group.SHAPE)]
    rows.append(judged_row(f"variance of {name}", moments[0], None if exact is None else exact.moments[0], Group.SHAPE))
    o, c = run.observables, run.observables.index(name)
    if float(moments.value[0]) > _CONSTANT * (o.scale[c] ** 2 + (float(mean.value) - o.shift[c]) ** 2):
        kurtosis = None if exact is None else exact.kurtosis
        rows.append(judged_row("excess kurtosis", run.kurtosis(name), kurtosis, Group.SHAPE))
    return rows


def _two_point_rows(run: Correlators, name: str, exact: TwoPointFunction | Estimated | None) -> list[Row]:
    sectors = run.theory is not None and run.theory.sectors
    # One path per draw of the weights has no unbiased mean at fixed weights.
    connected = None if sectors and run.group == 1 else run.connected(name)
    whole = run.two_point(name) if sectors else None
    lags = np.asarray(run.lags)
    shown = [int(np.argmin(np.abs(lags - k))) for k in SHOWN_LAGS if k < run.n_times]
    rows = []
    for i in dict.fromkeys(i for i in shown if lags[i] > 0):
        t = float(lags[i] * run.dt)
        if whole is not None:
            value = None if exact is None else exact.two_point(t)
            rows.append(judged_row(f"G({t:.4g}), plateau included", whole[i], value, Group.TWO_POINT))
        if connected is not None:
            value = None if exact is None else exact.connected(t)
            rows.append(judged_row(f"G_c({t:.4g})", connected[i], value, Group.TWO_POINT))
    if whole is not None and connected is not None:
        plateau = whole.map_replicas(lambda a, b: a[..., -1] - b[..., -1], connected)
        known: Any = None
        if isinstance(exact, Estimated):
            known = exact.average.plateau if isinstance(exact.average, WeightAverage) else None
        elif exact is not None:
            known = exact.mean**2
        rows.append(judged_row("plateau of G", plateau, known, Group.TWO_POINT))
    if not isinstance(exact, TwoPointFunction) or connected is None:
        return rows
    # The joint test uses correlations between at most n_blocks/10 lags. On a circle t and beta - t are the same lag.
    different = lags if run.period is None else lags[lags <= run.n_times // 2]
    most = min(12, run.block_paths.size // 10, len(different))
    chosen = np.unique(np.linspace(0, len(different) - 1, most).astype(int))
    if chosen.size:
        rows += rows_or_reason(
            f"G_c jointly at {chosen.size} lags",
            Group.TWO_POINT,
            lambda: [_joint_row(connected[chosen], exact.connected(lags[chosen] * run.dt))],
            Verdict.NOT_TESTED,
        )
    return rows


def _joint_row(estimate: Estimate, expected: ArrayLike) -> Row:
    p_value = estimate.consistency(expected)
    verdict = Verdict.OK if p_value > _JOINT_LEVEL else Verdict.DEVIATES
    quantity = f"G_c jointly at {len(estimate)} lags"
    return Row(quantity, None, None, verdict, Group.TWO_POINT, remarks=(_p_text(p_value),))


def _autocorrelation_rows(run: Correlators, name: str) -> list[Row]:
    """Row about the autocorrelation time of given paths, in paths or in steps along them."""
    if run.chain is None:
        return []
    i, in_paths = run.channels.index(name), run.chain.unit == "paths"
    time, error = run.chain.times[i], run.chain.errors[i]
    # Two replicas at one error to each side have just this error.
    estimate = Estimate(time, [time - error, time + error], [2.0, 2.0])
    quantity = "autocorrelation time of successive paths" if in_paths else "autocorrelation time along paths (steps)"
    independent = abs(time - 0.5) <= _INDEPENDENT * error
    return [
        Row(
            quantity,
            estimate,
            None,
            Verdict.CONSISTENT if independent else Verdict.RESOLVED,
            Group.CHAIN,
            reason=f"independent {'paths' if in_paths else 'values'} have 1/2" if independent else "",
        )
    ]


def _p_text(p_value: float) -> str:
    return f"p = {p_value:.2g}"


def _two_time_rows(run: Correlators) -> list[Row]:
    """Two-point function between the first, middle and last time of a run that is not stationary."""
    function, times = run.two_time_function(), run.times
    name = run.channels[run.two_time or 0]
    theory, process = run.theory, None
    if theory is not None and theory.network is None and len(theory.sources) == 1:
        process = theory.sources[0]
    chosen = sorted({0, run.n_times // 2, run.n_times - 1})
    rows = []
    for i, j in [(i, j) for i in chosen for j in chosen if j >= i]:
        exact = None if process is None else _known_two_point(process, times[i], times[j])
        quantity = f"<{name}({times[i]:.4g}) {name}({times[j]:.4g})>"
        rows.append(judged_row(quantity, function[i, j], exact, Group.TWO_POINT))
    return rows


def _known_two_point(process: Source, s: Any, t: Any) -> float | None:
    if process.known_covariance is None:
        return None
    return float(process.known_covariance(s, t) + process.mean_at(s) * process.mean_at(t))


def _clustering_rows(run: Correlators, name: str) -> list[Row]:
    """Row about a correlation that does not decay, if no level gives its rate."""
    if "lags" not in run.sums or (run.theory is not None and run.theory.sectors):
        return []
    try:
        found = clustering(run, channel=name)
    except InputError:  # no lags long enough
        return []
    if found.verdict is Verdict.CLUSTERS:
        return []
    return [
        Row(
            "connected correlation at the largest lag",
            found.far,
            None,
            found.verdict,
            Group.TWO_POINT,
            remarks=(_p_text(found.p_value),),
            reason="sectors, or slower than the paths are long",
        )
    ]


def _positivity(run: Correlators, name: str, paths: ArrayLike | None) -> PositivityResult | None:
    if not run.uniform or run.n_times < 4:
        return None
    if run.theory is None or not run.keys:
        if paths is None:
            return None
        if run.closed_after is not None:
            run.need_open("the test reflects half of an open path")
        if "squared_weights" in run.sums:
            raise InputError("the test takes paths of equal weight, and these have weights")
        return reflection_positivity(paths, dt=run.dt, channel=run.observables.columns[run.channels.index(name)])
    if name not in run.theory.outputs:
        return None
    drawn = Paths(run.theory, _POSITIVITY_PATHS, run.n_times, run.dt, key=run.keys[0])
    # A field is judged by all of its points.
    return reflection_positivity(drawn, channel=None if run.theory.of_field else name)


def _title(run: Correlators, name: str) -> str:
    if run.theory is None:
        what = f"{name} of given paths"
    else:
        network = "no network" if run.theory.network is None else repr(run.theory.network)
        network += " compiled to a table" if run.compiled else ""
        kinds = [s.label for s in run.theory.sources for _ in range(s.n_inputs)]
        inputs = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))
        what = f"{name} of {inputs} input{'s' * (len(kinds) > 1)}, {network}"
    held = int(run.block_paths.sum())
    seed = f", key {', '.join(map(str, run.keys))}" if run.keys else ""
    grid = f"{held:,} paths x {run.n_times} times" + (f", dt = {run.dt:.4g}" if run.uniform else "")
    return f"{what}: {grid}, {run.precision}, {len(run.block_paths)} blocks{seed}"
