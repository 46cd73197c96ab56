"""The one table of a run's physics, which README, command line and notebooks print."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..estimators.clustering import clustering
from ..exact.random_weights import WeightAverage
from ..positivity.reflection import PositivityResult, reflection_positivity
from ..quantum.measures import TwoPointFunction
from ..sampling.correlators import Correlators
from ..sampling.path_source import Paths
from ..spectra.correlator_matrix import spectrum
from ..spectra.levels import Spectrum, SpectrumError
from ..theories.source import Source
from ..verdict import Verdict
from .exact_values import SHOWN_LAGS, Estimated, exact_column
from .level_rows import level_notes, level_rows, without_levels
from .short_times import commutator_rows
from .table import Group, Report, Row, judged_row

__all__ = ["analyse"]

# Variance over mean square below which a channel does not move; the rounding of float32.
_CONSTANT = 1e-13

# p-value below which the two-point function deviates at several lags together.
_JOINT_LEVEL = 1e-3

# Longest witness that is printed as a note, in characters.
_LONG_FORMULA = 160

# Units of the positivity test: enough for its power, few enough to be drawn in a second.
_POSITIVITY_PATHS = 20_000


def analyse(run: Correlators, *, channel: int | str = 0, paths: ArrayLike | None = None, n_levels: int = 5) -> Report:
    """All the physics of a run in one table.

    Parameters
    ----------
    run : Correlators
        From ``simulate``, ``accumulate`` or ``load``.
    channel : int or str
        The channel whose physics is wanted; the first output by default.
    paths : array_like, optional
        The paths of a run made by ``accumulate``, shape (n_paths, n_times, channels), for the reflection-positivity
        test; a run of a theory draws its own, the first ones of its key.
    n_levels : int, default 5
        Levels asked for.

    Returns
    -------
    Report
        Rows without sums in the run are left out. Each estimator documents what its error covers.
    """
    column = run.observables.index(channel)
    name = run.channels[column]
    rows: list[Row] = []
    notes = list(run.notes)
    exact = exact_column(run, name, notes)
    details: dict[str, Any] = {}
    if exact is not None:
        details["exact"] = exact
    if "moments" in run.sums:
        rows += _shape_rows(run, name, exact)
        if len(rows) == 2:
            return Report(_title(run, name), tuple(rows), (*notes, f"{name} is constant: nothing moves"), details)
    if not run.uniform:
        notes.append("lags, levels and limits need a uniform grid of at least two times")
        return Report(_title(run, name), tuple(rows), tuple(notes), details)
    if "lags" in run.sums:
        rows += _two_point_rows(run, name, exact)
    elif "two_time" in run.sums and run.two_time == column:
        rows += _two_time_rows(run)
    if "observable_lags" in run.sums and len(run.observable_lags) > 1:
        try:
            found: Spectrum | None = spectrum(run, n_levels, channel=name)
        except SpectrumError as error:  # what could be computed has no resolved level
            found = error.partial
            notes.append(str(error))
        if found is not None:
            details["spectrum"] = found
            rows += level_rows(run, found)
            notes += level_notes(run, found)
            if not found.gaps:
                rows += _clustering_rows(run, name)
    if "increments" in run.sums and set(run.increment_lags) >= {1, 2}:
        try:
            of_increments = commutator_rows(run, name, exact, details)
        except InputError as error:  # paths that stay where they start
            notes.append(str(error))
            of_increments = []
        # Stationary and differentiable paths that are reflection positive do not move at all.
        if any(row.verdict is Verdict.SMOOTH for row in of_increments):
            rows, of_increments = without_levels(rows), without_levels(of_increments)
        rows += of_increments
    try:
        positivity = _positivity(run, name, paths)
    except InputError as error:  # too few independent units: the other rows remain
        rows.append(Row("reflection positivity", None, None, Verdict.NOT_TESTED, Group.POSITIVITY, reason=str(error)))
        positivity = None
    if positivity is not None:
        details["positivity"] = positivity
        if positivity.verdict is Verdict.VIOLATED:
            formula = str(positivity.witness)
            long = len(formula) > _LONG_FORMULA
            notes.append(
                "reflection positivity is violated by F = "
                + (f"{formula[:_LONG_FORMULA]} ... (details['positivity'].witness)" if long else formula)
            )
            rows = without_levels(rows)
        rows.append(
            Row(
                "<F(reflected) F>, worst F found",
                positivity.value,
                None,
                positivity.verdict,
                Group.POSITIVITY,
                remarks=(_p_text(positivity.p_value),),
            )
        )
    return Report(_title(run, name), tuple(rows), tuple(notes), details)


def _shape_rows(run: Correlators, name: str, exact: TwoPointFunction | Estimated | None) -> list[Row]:
    mean, moments = run.mean(name), run.moments(name)
    rows = [judged_row(f"<{name}>", mean, None if exact is None else exact.mean, Group.SHAPE)]
    rows.append(judged_row(f"variance of {name}", moments[0], None if exact is None else exact.moments[0], Group.SHAPE))
    if float(moments.value[0]) > _CONSTANT * float(mean.value) ** 2:
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
        plateau = whole.map(lambda a, b: a[..., -1] - b[..., -1], connected)
        known = (
            exact.average.plateau if isinstance(exact, Estimated) and isinstance(exact.average, WeightAverage) else None
        )
        rows.append(judged_row("plateau of G", plateau, known, Group.TWO_POINT))
    if not isinstance(exact, TwoPointFunction) or connected is None:
        return rows
    # The joint test uses correlations between at most n_blocks/10 lags. On a circle t and beta - t are the same lag.
    different = lags if run.period is None else lags[lags <= run.n_times // 2]
    most = min(12, run.block_paths.size // 10, len(different))
    chosen = np.unique(np.linspace(0, len(different) - 1, most).astype(int))
    if chosen.size:
        quantity = f"G_c jointly at {chosen.size} lags"
        try:
            p_value = connected[chosen].consistency(exact.connected(lags[chosen] * run.dt))
        except InputError as error:  # paths that hardly move in a step have the same values at all lags
            rows.append(Row(quantity, None, None, Verdict.NOT_TESTED, Group.TWO_POINT, reason=error.reason))
            return rows
        verdict = Verdict.OK if p_value > _JOINT_LEVEL else Verdict.DEVIATES
        rows.append(Row(quantity, None, None, verdict, Group.TWO_POINT, remarks=(_p_text(p_value),)))
    return rows


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
        return reflection_positivity(paths, dt=run.dt, channel=run.observables.columns[run.channels.index(name)])
    if name not in run.theory.outputs:
        return None
    drawn = Paths(run.theory, _POSITIVITY_PATHS, run.n_times, run.dt, key=run.keys[0])
    return reflection_positivity(drawn, channel=name)


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
