"""The one table of a run's physics, which README, command line and notebooks print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..estimators.four_points import clustering
from ..estimators.roughness import (
    Extrapolation,
    commutator,
    commutator_at_lags,
    commutator_spread,
    momentum_squared,
    momentum_squared_at_lags,
    roughness_exponent,
    uncertainty,
)
from ..exact.spectral_measures import (
    QuasiMonteCarlo,
    WeightAverage,
    average_over_weights,
    kallen_lehmann,
    level_energies,
    quasi_monte_carlo,
    thermal_measure,
)
from ..positivity.reflection import PositivityResult, reflection_positivity
from ..quantum.measures import SpectralMeasure, TwoPointFunction
from ..sampling.correlators import Correlators
from ..sampling.simulation import simulate
from ..spectra.verdicts import Spectrum, SpectrumError, spectrum
from ..statistics.estimate import Estimate, format_value
from ..theories.ground_state import GroundStateProcess
from ..theories.linear_processes import KarhunenLoeveProcess, SplittingProcess
from ..theories.networks import RandomNetwork
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.theory import Theory

__all__ = ["Report", "Row", "analyse"]


@dataclass(frozen=True)
class Row:
    """One quantity: what was measured, what is exact, and what to make of it.

    Attributes
    ----------
    quantity : str
        Name, such as "gap 1" or "commutator (dt -> 0)".
    estimate : Estimate or None
        A scalar; None where nothing could be measured.
    exact : float or None
        Exact value of the estimator as it stands (its finite dt and lags), if known.
    exact_error : float
        Error of the exact value where it is an average over draws of random weights or quasi-random points, else 0.
    limit : float or None
        Exact value for dt -> 0 of an estimator that depends on dt, if known; not what is measured here.
    verdict : str
        One or a few words: "ok", "resolved", "not resolved (noise)", "consistent", "violated", ...
    group : str
        Part of the table: "two-point", "levels", "commutator", "shape", "positivity".
    """

    quantity: str
    estimate: Estimate | None
    exact: float | None
    verdict: str
    group: str
    limit: float | None = None
    exact_error: float = 0.0

    @property
    def pull(self) -> float | None:
        """(measured - exact) / total error, that of both, if they are known and the error is not zero."""
        if self.estimate is None or self.exact is None or not float(self.estimate.total_error) > 0:
            return None
        error = float(np.hypot(self.estimate.total_error, self.exact_error))
        return float(self.estimate.value - self.exact) / error

    @property
    def cells(self) -> tuple[str, str, str, str, str, str]:
        """One text for each of ``HEADINGS``; empty where there is nothing to say."""
        return (
            self.quantity,
            "" if self.estimate is None else str(self.estimate),
            self._exact_text(),
            "" if self.limit is None else f"{self.limit:.6g}",
            "" if self.pull is None else f"{self.pull:+.1f}",
            self.verdict,
        )

    def _exact_text(self) -> str:
        if self.exact is None:
            return ""
        if self.exact_error > 0:
            return format_value(self.exact, self.exact_error)
        return f"{0 if self._is_zero(self.exact) else self.exact:.6g}"

    def _is_zero(self, exact: float) -> bool:
        # A zero comes out of a quadrature as some 1e-17.
        return self.estimate is not None and abs(exact) < 1e-9 * float(self.estimate.total_error)


HEADINGS = ("quantity", "measured(error)", "exact", "dt -> 0", "pull", "verdict")


@dataclass(frozen=True)
class Report:
    """Rows of a run's physics; ``print(report)`` shows the table.

    Attributes
    ----------
    title : str
        What was measured: theory, paths, grid, precision, key.
    rows : tuple of Row
    notes : tuple of str
        What a reader must know to read the numbers right.
    details : dict
        The objects behind the rows, by name: "spectrum", "commutator", "positivity", ...
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    details: dict[str, Any]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, quantity: str) -> Row:
        for row in self.rows:
            if row.quantity == quantity:
                return row
        raise KeyError(f"{quantity!r} is not in the report; it has {', '.join(r.quantity for r in self.rows)}")

    def __str__(self) -> str:
        table = [HEADINGS, *(row.cells for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
        lines = [self.title]
        for line in table:
            text = [line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in (1, 2, 3, 4)), line[5]]
            lines.append("  ".join(text).rstrip())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


# What the table says of verdicts on levels that do not speak for themselves.
_REASONS = {"above unresolved": "unresolved", "plateau": "no decay within the paths, longer ones are needed"}
# How the title calls sources.
_KINDS = {
    "OrnsteinUhlenbeck": "OU",
    "ThermalOrnsteinUhlenbeck": "thermal OU",
    "MarkovChain": "Markov-chain",
    "GroundStateProcess": "ground-state",
    "ThermalProcess": "thermal",
    "Times": "time",
    "KarhunenLoeveProcess": "Karhunen-Loeve",
    "SplittingProcess": "splitting",
}
# Variance over mean square below which a channel does not move, to the rounding of float32.
_CONSTANT = 1e-13
# Systematic error, as a part of the value, above which a sum over levels says nothing.
_LARGE = 0.2
# A pull beyond this is called a deviation: about one in two thousand by chance.
_DEVIATION = 3.5
# Longest witness that is printed as a note.
_LONG_FORMULA = 160
# Units of the positivity test: enough for its power, few enough to be drawn in a second.
_POSITIVITY_PATHS = 20_000
# Runs at smaller dt for limits that do not converge at that of the run: factors, paths and times.
_FINER, _FINE_PATHS, _FINE_TIMES = (4, 16), 200_000, 256
_NOT_CONVERGED = "not converged"
# Lags whose two-point functions are shown, in steps.
_SHOWN_LAGS = (1, 5, 10)
# Points for each scrambling of quasi-Monte Carlo.
_QUASI_POINTS = 2**13
# Draws of random weights that exact answers are averaged over, by number of inputs, and their key, not that of a run.
_DRAWS, _DRAWS_KEY = {1: 4000, 2: 200, 3: 40}, 0x6E6E716D


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
        What the run has no sums for is left out. Errors are those of each estimator; see its documentation.
    """
    column = run.observables.index(channel)
    name = run.channels[column]
    rows: list[Row] = []
    notes = list(run.notes)
    exact = _exact(run, name, notes)
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
            rows += _level_rows(run, found)
            notes += _level_notes(run, found)
            if not found.gaps:
                rows += _clustering_rows(run, name)
    if "increments" in run.sums and set(run.increment_lags) >= {1, 2}:
        of_increments = _commutator_rows(run, name, exact, details)
        # Stationary and differentiable paths that are reflection positive do not move at all.
        if any(row.verdict.startswith("none (smooth)") for row in of_increments):
            rows, of_increments = _without_levels(rows), _without_levels(of_increments)
        rows += of_increments
    try:
        positivity = _positivity(run, name, paths)
    except ValueError as error:  # too few independent units: the other rows stand
        rows.append(Row("reflection positivity", None, None, f"not tested: {error}", "positivity"))
        positivity = None
    if positivity is not None:
        details["positivity"] = positivity
        if positivity.verdict == "violated":
            formula = str(positivity.witness)
            long = len(formula) > _LONG_FORMULA
            notes.append(
                "reflection positivity is violated by F = "
                + (f"{formula[:_LONG_FORMULA]} ... (details['positivity'].witness)" if long else formula)
            )
            rows = _without_levels(rows)
        verdict = f"{positivity.verdict}, p = {positivity.p_value:.2g}"
        rows.append(Row("<F(reflected) F>, worst F found", positivity.value, None, verdict, "positivity"))
    return Report(_title(run, name), tuple(rows), tuple(notes), details)


class _Estimated:
    """Values that are exact but for an error of their own, with the names of a ``TwoPointFunction``."""

    momentum_squared = uncertainty = float("nan")
    commutator_spread = quartic = None

    def __init__(self, theory: Theory, average: WeightAverage | QuasiMonteCarlo) -> None:
        self.average = average
        self.mean, self.moments = average.mean, average.moments
        self.kurtosis = self.moments.map(lambda m: m[..., 2] / m[..., 0] ** 2 - 3)
        self.commutator = average.commutator if isinstance(average, QuasiMonteCarlo) else float("nan")
        self._factor = theory.mass, theory.hbar

    def connected(self, time: float) -> Estimate:
        return self.average.connected[self._at(time)]

    def two_point(self, time: float) -> Estimate:
        return self.average.two_point[self._at(time)]

    def _at(self, time: float) -> int:
        return int(np.argmin(np.abs(self.average.times - time)))

    def commutator_at(self, dt: float) -> Estimate:
        i, (mass, hbar) = self._at(dt), self._factor
        return self.average.connected.map(lambda g: 2 * mass / (hbar * dt) * (g[..., 0] - g[..., i]))

    def momentum_squared_at(self, dt: float) -> Estimate:
        i, j, (mass, _) = self._at(dt), self._at(2 * dt), self._factor
        return self.average.connected.map(lambda g: (mass / dt) ** 2 * (g[..., 0] - 2 * g[..., i] + g[..., j]))

    def roughness_exponent(self, dt: float) -> Estimate:
        i, j = self._at(dt), self._at(2 * dt)
        return self.average.connected.map(lambda g: np.log2((g[..., 0] - g[..., j]) / (g[..., 0] - g[..., i])) / 2)


def _exact(run: Correlators, name: str, notes: list[str]) -> TwoPointFunction | _Estimated | None:
    theory = run.theory
    if theory is None or not theory.stationary:
        return None
    needed = [0.0] + ([k * run.dt for k in (1, 2, *_SHOWN_LAGS)] if run.uniform else [])
    try:
        if theory.period is not None:
            return thermal_measure(theory, name)
        if isinstance(theory.network, RandomNetwork) and name in theory.outputs:
            draws = theory.network.draw(range(_DRAWS[min(theory.n_inputs, 3)]), _DRAWS_KEY)
            average = average_over_weights(theory, draws, needed, output=theory.outputs.index(name))
            notes.append(f"exact values are averages over {average.n_draws} other draws of the weights, with errors")
            return _Estimated(theory, average)
        return kallen_lehmann(theory, name)
    except ValueError as error:
        reason = error
    try:
        found = quasi_monte_carlo(theory, needed, name, n_points=_QUASI_POINTS)
    except ValueError:
        notes.append(f"no exact values: {reason}")
        return None
    notes.append(f"exact values by quasi-Monte Carlo, with errors: {reason}")
    return _Estimated(theory, found)


def _known_gaps(theory: Theory | None, n: int) -> tuple[list[float | None], tuple[int, ...]]:
    """Exact gaps and multiplicities of the lowest n levels, None where they are not known."""
    values: list[float | None] = []
    multiplicities: tuple[int, ...] = ()
    if theory is not None and n:
        with suppress(ValueError):
            energies, multiplicities = level_energies(theory, n)
            values = [float(e) for e in energies]
    missing = n - len(values)
    return values + [None] * missing, multiplicities + (1,) * missing


def _known(value: Any) -> Any:
    """What is not defined, such as a limit of a chain that alternates, is not known."""
    return None if value is None or (not isinstance(value, Estimate) and np.isnan(value)) else value


def _split(exact: Any) -> tuple[float | None, float]:
    """Value and error of a number, an ``Estimate`` or None."""
    if isinstance(exact, Estimate):
        return float(exact.value), float(exact.total_error)
    known = _known(exact)
    return (None if known is None else float(known)), 0.0


def _unmeasured(quantity: str, exact: Any, verdict: str) -> Row:
    value, error = _split(exact)
    return Row(quantity, None, value, verdict, "commutator", exact_error=error)


def _judged(quantity: str, estimate: Estimate, exact: Any, group: str, plain: str = "") -> Row:
    """A row with a number, an ``Estimate`` or None as the exact value."""
    value, error = _split(exact)
    row = Row(quantity, estimate, value, plain, group, exact_error=error)
    if row.pull is None:
        return row
    return replace(row, verdict=plain or ("ok" if abs(row.pull) < _DEVIATION else "deviates"))


def _shape_rows(run: Correlators, name: str, exact: TwoPointFunction | _Estimated | None) -> list[Row]:
    mean, moments = run.mean(name), run.moments(name)
    rows = [_judged(f"<{name}>", mean, None if exact is None else exact.mean, "shape")]
    rows.append(_judged(f"variance of {name}", moments[0], None if exact is None else exact.moments[0], "shape"))
    if float(moments.value[0]) > _CONSTANT * float(mean.value) ** 2:
        kurtosis = None if exact is None else exact.kurtosis
        rows.append(_judged("excess kurtosis", run.kurtosis(name), kurtosis, "shape"))
    return rows


def _two_point_rows(run: Correlators, name: str, exact: TwoPointFunction | _Estimated | None) -> list[Row]:
    sectors = run.theory is not None and run.theory.sectors
    # What one path for each draw of the weights cannot say: its mean at given weights.
    connected = None if sectors and run.group == 1 else run.connected(name)
    whole = run.two_point(name) if sectors else None
    lags = np.asarray(run.lags)
    shown = [int(np.argmin(np.abs(lags - k))) for k in _SHOWN_LAGS if k < run.n_times]
    rows = []
    for i in dict.fromkeys(i for i in shown if lags[i] > 0):
        t = float(lags[i] * run.dt)
        if whole is not None:
            value = None if exact is None else exact.two_point(t)
            rows.append(_judged(f"G({t:.4g}), plateau included", whole[i], value, "two-point"))
        if connected is not None:
            value = None if exact is None else exact.connected(t)
            rows.append(_judged(f"G_c({t:.4g})", connected[i], value, "two-point"))
    if whole is not None and connected is not None:
        plateau = whole.map(lambda a, b: a[..., -1] - b[..., -1], connected)
        known = (
            exact.average.plateau
            if isinstance(exact, _Estimated) and isinstance(exact.average, WeightAverage)
            else None
        )
        rows.append(_judged("plateau of G", plateau, known, "two-point"))
    if not isinstance(exact, TwoPointFunction) or connected is None:
        return rows
    # The joint test sees correlations between lags; n_blocks/10 of them at most. On a circle t and beta - t are one.
    different = lags if run.period is None else lags[lags <= run.n_times // 2]
    most = min(12, run.block_paths.size // 10, len(different))
    chosen = np.unique(np.linspace(0, len(different) - 1, most).astype(int))
    if chosen.size:
        p_value = connected[chosen].consistency(exact.connected(lags[chosen] * run.dt))
        verdict = f"{'ok' if p_value > 1e-3 else 'deviates'}, p = {p_value:.2g}"
        rows.append(Row(f"G_c jointly at {chosen.size} lags", None, None, verdict, "two-point"))
    return rows


def _two_time_rows(run: Correlators) -> list[Row]:
    """Of what is not stationary: the two-point function between the first, the middle and the last time."""
    function, times = run.two_time_function(), run.times
    name = run.channels[run.two_time or 0]
    theory, process = run.theory, None
    if theory is not None and theory.network is None and len(theory.sources) == 1:
        first = theory.sources[0]
        process = first if isinstance(first, (KarhunenLoeveProcess, SplittingProcess)) else None
    chosen = sorted({0, run.n_times // 2, run.n_times - 1})
    rows = []
    for i, j in [(i, j) for i in chosen for j in chosen if j >= i]:
        exact = None if process is None else float(process.two_point(times[i], times[j]))
        quantity = f"<{name}({times[i]:.4g}) {name}({times[j]:.4g})>"
        rows.append(_judged(quantity, function[i, j], exact, "two-point"))
    return rows


def _level_rows(run: Correlators, found: Spectrum) -> list[Row]:
    energies, multiplicities = _known_gaps(run.theory, len(found.levels))
    rows: list[Row] = []
    # Without exact levels to count by, what does not decay is no level but a sector or a mean.
    plateaus = 0 if energies[0] is not None else sum(level.verdict == "plateau" for level in found.levels)
    if plateaus:
        weight = found.levels[0].weight
        rows.append(Row("non-decaying part", weight, None, "plateau: superselection or a mean", "levels"))
    for n, level in enumerate(found.levels[plateaus:]):
        times = f" (x{multiplicities[n]})" if multiplicities[n] > 1 else ""
        if not level.resolved or level.gap is None:
            reason = _REASONS.get(level.verdict, level.verdict)
            rows.append(Row(f"gap {n + 1}{times}", None, energies[n], f"not resolved: {reason}", "levels"))
            break
        members = f"resolved, {level.multiplicity} seen" if level.multiplicity > 1 or times else "resolved"
        row = Row(f"gap {n + 1}{times}", level.gap, energies[n], members, "levels")
        if row.pull is not None and abs(row.pull) > _DEVIATION:
            # Functions of x give upper bounds of gaps, which are not sharp where x shows too little of the inputs.
            row = replace(row, verdict=f"{members}, {'an upper bound only' if row.pull > 0 else 'deviates'}")
        rows.append(row)
    return rows


def _clustering_rows(run: Correlators, name: str) -> list[Row]:
    """What does not decay, where no level says how fast it decays."""
    if "lags" not in run.sums or (run.theory is not None and run.theory.sectors):
        return []
    try:
        found = clustering(run, channel=name)
    except ValueError:  # no lags long enough
        return []
    if found.verdict == "clusters":
        return []
    verdict = f"{found.verdict}, p = {found.p_value:.2g}: sectors, or slower than the paths are long"
    return [Row("connected correlation at the largest lag", found.far, None, verdict, "two-point")]


def _without_levels(rows: list[Row]) -> list[Row]:
    """The rows with numbers of levels taken out, where paths have none."""
    return [_meaningless(r) if r.group == "levels" or r.quantity.endswith("from levels") else r for r in rows]


def _meaningless(row: Row) -> Row:
    return replace(row, estimate=None, verdict="not resolved: levels need reflection positivity")


def _level_notes(run: Correlators, found: Spectrum) -> list[str]:
    theory = run.theory
    if theory is None:
        return []
    notes = []
    wells = [s.hamiltonian for s in theory.sources if isinstance(s, GroundStateProcess)]
    edge = min((h.threshold - h.energies(1)[0] for h in wells), default=np.inf)
    if np.isfinite(edge):
        notes.append(
            f"the continuum begins {edge:.6g} above the ground state: gaps from there on are those of the box that "
            "paths are confined to"
        )
    if theory.network is not None or theory.n_inputs != 1 or not found.gaps:
        return notes
    process = theory.sources[0]
    if isinstance(process, GroundStateProcess):
        ground, of_what = float(process.hamiltonian.energies(1)[0]), "with the E_0 of the Hamiltonian"
    elif isinstance(process, OrnsteinUhlenbeck) and np.isclose(
        process.sigma[0] ** 2, theory.hbar / theory.mass, rtol=1e-12
    ):
        ground, of_what = theory.hbar * process.omega[0] / 2, "this is the harmonic oscillator: with its E_0"
    else:
        return notes
    listed = ", ".join(str(e) for e in found.absolute_energies(ground)[1:])
    return [*notes, f"{of_what} = {ground:.8g}, E_1, E_2, ... = {listed}"]


def _commutator_rows(
    run: Correlators, name: str, exact: TwoPointFunction | _Estimated | None, details: dict[str, Any]
) -> list[Row]:
    dt, rows = run.dt, []
    at_lags = commutator_at_lags(run, name)
    first = run.increment_lags.index(1)
    bracket = square = spread = None
    finite: dict[str, Any] = dict.fromkeys(("commutator", "roughness", "square", "fourth", "fourth limit"))
    if exact is not None:
        bracket, square, spread = (_known(v) for v in (exact.commutator, exact.momentum_squared, exact.uncertainty))
        finite |= {
            "commutator": exact.commutator_at(dt),
            "roughness": exact.roughness_exponent(dt),
            "square": exact.momentum_squared_at(dt),
        }
    if isinstance(exact, SpectralMeasure) and exact.quartic is not None:
        finite |= {"fourth": exact.commutator_spread_at(dt), "fourth limit": exact.commutator_spread}
    rough = None if bracket is None else 0.5
    row = _judged(f"[x,p]/(i hbar) at dt = {dt:.4g}", at_lags[first], finite["commutator"], "commutator")
    rows.append(replace(row, limit=_split(bracket)[0]))
    found: Spectrum | None = details.get("spectrum")
    limits = _Limits(run, name)
    rows.append(limits.row("[x,p]/(i hbar), dt -> 0", commutator, bracket))
    if found is not None:
        rows += _sum_rows("[x,p]/(i hbar), from levels", found.commutator, bracket)
    if run.theory is None or run.theory.network is not None:
        # Of x = f(y) the commutator is an operator; of a coordinate a number.
        row = _judged(f"spread of [x,p] at dt = {dt:.4g}", commutator_spread(run, name), finite["fourth"], "commutator")
        rows.append(replace(row, limit=finite["fourth limit"]))
    row = limits.row("<p^2>, dt -> 0", momentum_squared, square)
    rows.append(row)
    if row.estimate is None:
        # There is no limit, or it is not seen; what stands at this dt is known all the same.
        at_dt = momentum_squared_at_lags(run, name)[0]
        rows.append(_judged(f"<p^2> at dt = {dt:.4g}", at_dt, finite["square"], "commutator"))
    if found is not None:
        rows += _sum_rows("<p^2>, from levels", found.momentum_squared, square)
    rows.append(limits.row("dx dp, dt -> 0", uncertainty, spread))
    row = _judged("roughness exponent H", roughness_exponent(run, name), finite["roughness"], "commutator")
    rows.append(replace(row, limit=rough))
    return rows


def _sum_rows(quantity: str, estimate: Estimate | None, exact: Any) -> list[Row]:
    if estimate is None:
        return []
    exact = None if _split(exact)[0] == np.inf else exact
    share = float(estimate.systematic) / max(abs(float(estimate.value)), 1e-300)
    if share > _LARGE:
        return [_unmeasured(quantity, exact, f"not resolved: {min(share, 1):.0%} lie in unresolved levels")]
    return [_judged(quantity, estimate, exact, "commutator")]


class _Limits:
    """Limits dt -> 0, from the run where they converge and from short finer runs of its theory where they do not."""

    def __init__(self, run: Correlators, name: str) -> None:
        self._run, self._name = run, name
        self._finer: dict[int, Correlators] = {}

    def row(self, quantity: str, estimator: Callable[[Correlators, str], Extrapolation], exact: Any) -> Row:
        found, used = estimator(self._run, self._name), self._run
        for factor in _FINER:
            if found.verdict != _NOT_CONVERGED or self._run.theory is None or not self._run.keys:
                break
            try:
                used = self._fine(factor)
            except ValueError:  # a chain has its own step, and the grid of a Hamiltonian a finest
                break
            found = estimator(used, self._name)
        if found.verdict == _NOT_CONVERGED:
            return _unmeasured(quantity, exact, "not resolved: still moves with dt, use a smaller one")
        if found.estimate is None:
            return _unmeasured(quantity, exact, found.verdict)
        row = _judged(quantity, found.estimate, exact, "commutator")
        where = f"from dt = {used.dt:.3g}" if used is not self._run else ""
        return replace(row, verdict=", ".join(dict.fromkeys(v for v in (row.verdict, found.verdict, where) if v)))

    def _fine(self, factor: int) -> Correlators:
        if factor not in self._finer:
            run = self._run
            assert run.theory is not None
            self._finer[factor] = simulate(
                run.theory,
                int(min(run.block_paths.sum(), _FINE_PATHS)),
                _FINE_TIMES,
                run.dt / factor,
                rng=np.random.SeedSequence([run.keys[0], factor]),
                precision=run.precision,
                observables=run.observables,
                lags=(),
                observable_lags=(),
                increment_lags=range(1, 13),
            )
        return self._finer[factor]


def _positivity(run: Correlators, name: str, paths: ArrayLike | None) -> PositivityResult | None:
    if not run.uniform or run.n_times < 4:
        return None
    if run.theory is None or not run.keys:
        if paths is None:
            return None
        return reflection_positivity(paths, dt=run.dt, channel=run.observables.columns[run.channels.index(name)])
    if name not in run.theory.outputs:
        return None
    return reflection_positivity(
        run.theory, run.n_times, run.dt, channel=name, n_paths=_POSITIVITY_PATHS, key=run.keys[0]
    )


def _title(run: Correlators, name: str) -> str:
    if run.theory is None:
        what = f"{name} of given paths"
    else:
        network = "no network" if run.theory.network is None else repr(run.theory.network)
        network += " compiled to a table" if run.compiled else ""
        kinds = [type(s).__name__ for s in run.theory.sources for _ in range(s.n_inputs)]
        inputs = ", ".join(f"{kinds.count(k)} {_KINDS[k]}" for k in dict.fromkeys(kinds))
        what = f"{name} of {inputs} input{'s' * (len(kinds) > 1)}, {network}"
    held = int(run.block_paths.sum())
    seed = f", key {', '.join(map(str, run.keys))}" if run.keys else ""
    grid = f"{held:,} paths x {run.n_times} times" + (f", dt = {run.dt:.4g}" if run.uniform else "")
    return f"{what}: {grid}, {run.precision}, {len(run.block_paths)} blocks{seed}"
