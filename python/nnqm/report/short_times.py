"""Rows of the report about the limit dt -> 0: commutator, momentum, uncertainty, roughness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
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
from ..quantum.measures import SpectralMeasure, TwoPointFunction
from ..runs.simulation import simulate
from ..sampling.correlators import Correlators
from ..sampling.measure import Measure
from ..spectra.levels import Spectrum
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .exact_values import Estimated
from .table import Group, Row, judged_row, known_or_none, rows_or_reason, unmeasured_row, value_and_error

__all__: list[str] = []

# Systematic error, relative to the value, above which a sum over levels is not shown.
_LARGE = 0.2

# Runs at smaller dt for limits that do not converge at the run's own dt: factors, paths and times.
_FINER, _FINE_PATHS, _FINE_TIMES = (4, 16), 200_000, 256


def commutator_rows(
    run: Correlators, name: str, exact: TwoPointFunction | Estimated | None, details: dict[str, Any]
) -> list[Row]:
    dt, rows = run.dt, []
    at_lags = commutator_at_lags(run, name)
    first = run.increment_lags.index(1)
    bracket = square = spread = None
    finite: dict[str, Any] = dict.fromkeys(("commutator", "roughness", "square", "fourth", "fourth limit"))
    if exact is not None:
        bracket, square, spread = (
            known_or_none(v) for v in (exact.commutator, exact.momentum_squared, exact.uncertainty)
        )
        finite |= {"commutator": exact.commutator_at(dt), "square": exact.momentum_squared_at(dt)}
        # Paths that return after two steps have no exponent.
        with np.errstate(divide="ignore", invalid="ignore"):
            finite["roughness"] = exact.roughness_exponent(dt)
    if isinstance(exact, SpectralMeasure) and exact.quartic is not None:
        finite |= {"fourth": exact.commutator_spread_at(dt), "fourth limit": exact.commutator_spread}
    rough = None if bracket is None else 0.5
    row = judged_row(f"[x,p]/(i hbar) at dt = {dt:.4g}", at_lags[first], finite["commutator"], Group.COMMUTATOR)
    rows.append(replace(row, limit=value_and_error(bracket)[0]))
    found: Spectrum | None = details.get("spectrum")
    limits = _Limits(run, name, details)
    rows.append(limits.row("[x,p]/(i hbar), dt -> 0", commutator, bracket))
    if found is not None:
        rows += _sum_rows("[x,p]/(i hbar), from levels", found.commutator, bracket)
    if run.theory is None or run.theory.network is not None:
        # The commutator of x = f(y) is an operator, the commutator of a coordinate a number.
        quantity = f"spread of [x,p] at dt = {dt:.4g}"
        made = rows_or_reason(
            quantity,
            Group.COMMUTATOR,
            lambda: [judged_row(quantity, commutator_spread(run, name), finite["fourth"], Group.COMMUTATOR)],
        )
        rows += [replace(row, limit=finite["fourth limit"]) for row in made]
    row = limits.row("<p^2>, dt -> 0", momentum_squared, square)
    rows.append(row)
    if row.estimate is None:
        # There is no limit, or it is not resolved; the value at this dt is known all the same.
        at_dt = momentum_squared_at_lags(run, name)[0]
        rows.append(judged_row(f"<p^2> at dt = {dt:.4g}", at_dt, finite["square"], Group.COMMUTATOR))
    if found is not None:
        rows += _sum_rows("<p^2>, from levels", found.momentum_squared, square)
    rows.append(limits.row("dx dp, dt -> 0", uncertainty, spread))
    quantity = "roughness exponent H"
    made = rows_or_reason(
        quantity,
        Group.COMMUTATOR,
        lambda: [judged_row(quantity, roughness_exponent(run, name), finite["roughness"], Group.COMMUTATOR)],
    )
    return rows + [replace(row, limit=rough) for row in made]


def _sum_rows(quantity: str, estimate: Estimate | None, exact: Any) -> list[Row]:
    if estimate is None:
        return []
    exact = None if value_and_error(exact)[0] == np.inf else exact
    value, rest = abs(float(estimate.value)), float(estimate.systematic)
    # A sum without any term has no value and no error.
    share = rest / value if value > 0 else np.inf
    if share > _LARGE:
        reason = f"{min(share, 1):.0%} lie in unresolved levels"
        row = unmeasured_row(quantity, exact, Verdict.NOT_RESOLVED, reason)
    else:
        row = judged_row(quantity, estimate, exact, Group.COMMUTATOR)
    return [replace(row, of_levels=True)]


class _Limits:
    """Limits dt -> 0, from the run where they converge and from short finer runs of its theory where they do not."""

    def __init__(self, run: Correlators, name: str, details: dict[str, Any]) -> None:
        self._run, self._name, self._details = run, name, details
        self._finer: dict[int, Correlators] = {}

    def row(self, quantity: str, estimator: Callable[[Correlators, str], Extrapolation], exact: Any) -> Row:
        found, used = estimator(self._run, self._name), self._run
        for factor in _FINER:
            if found.verdict is not Verdict.NOT_CONVERGED or self._run.theory is None or not self._run.keys:
                break
            try:
                used = self._fine(factor)
            except InputError:  # a chain has its own step, and the grid of a Hamiltonian a finest
                break
            found = estimator(used, self._name)
        self._details[estimator.__name__] = found
        if found.verdict is Verdict.NOT_CONVERGED:
            return unmeasured_row(quantity, exact, Verdict.NOT_RESOLVED, "still moves with dt, use a smaller one")
        if found.estimate is None:
            return unmeasured_row(quantity, exact, found.verdict)
        if found.verdict is Verdict.CONVERGED and float(found.estimate.total_error) > abs(float(found.estimate.value)):
            return unmeasured_row(quantity, exact, Verdict.NOT_RESOLVED, "lost in noise at this dt, use a larger one")
        row = judged_row(quantity, found.estimate, exact, Group.COMMUTATOR)
        remarks = (f"from dt = {used.dt:.3g}",) if used is not self._run else ()
        if row.verdict is None:
            return replace(row, verdict=found.verdict, remarks=remarks)
        return replace(row, remarks=(found.verdict, *remarks))

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
                measure=Measure(observables=run.observables, lags=(), observable_lags=(), increment_lags=range(1, 13)),
            )
        return self._finer[factor]
