"""Rows and notes of the report about levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..sampling.correlators import Correlators
from ..spectra.levels import Level, Spectrum
from ..verdict import Verdict
from .exact_values import known_gaps
from .table import DEVIATION, Group, Row

__all__: list[str] = []

# Reasons in the table, where a verdict on a level does not speak for itself.
_REASONS = {
    Verdict.ABOVE_UNRESOLVED: "unresolved",
    Verdict.PLATEAU: "no decay within the paths, longer ones are needed",
}


def level_rows(run: Correlators, found: Spectrum) -> list[Row]:
    energies, multiplicities = known_gaps(run.theory, max((level.until for level in found.levels), default=0))
    rows: list[Row] = []
    # Without exact levels to count by, what does not decay is no level but a sector or a mean.
    plateaus = [level for level in found.levels if level.number == 0]
    if plateaus:
        weight = plateaus[0].weight
        reason = "superselection or a mean"
        rows.append(
            Row("non-decaying part", weight, None, Verdict.PLATEAU, Group.LEVELS, reason=reason, of_levels=True)
        )
    for level in found.levels[len(plateaus) :]:
        members = multiplicities[level.number - 1] if level.until == level.number else level.multiplicity
        times = f" (x{members})" if members > 1 and not level.at_least else ""
        row = Row(level.name + times, level.gap, None, Verdict.RESOLVED, Group.LEVELS, of_levels=True)
        if level.at_least:
            row = replace(row, caveat=Verdict.UPPER_BOUND)
        else:
            row = replace(row, exact=_mean_of_members(level, energies, multiplicities))
        if not level.resolved or level.gap is None:
            rows.append(_unresolved(row, _REASONS.get(level.verdict, level.verdict)))
            break
        if level.multiplicity > 1 or times:
            row = replace(row, remarks=(f"{level.multiplicity} seen",))
        if not level.at_least and row.pull is not None and abs(row.pull) > DEVIATION:
            # Functions of x give upper bounds of gaps, which are not sharp where x shows too little of the inputs.
            row = replace(row, caveat=Verdict.UPPER_BOUND if row.pull > 0 else Verdict.DEVIATES)
        rows.append(row)
    return rows


def _mean_of_members(level: Level, energies: list[float | None], multiplicities: tuple[int, ...]) -> float | None:
    """Mean of the exact gaps in a multiplet, which may consist of several levels."""
    numbers = range(level.number - 1, level.until)
    known = [e for n in numbers if (e := energies[n]) is not None]
    if len(known) < len(numbers):
        return None
    return float(np.average(known, weights=[multiplicities[n] for n in numbers]))


def _unresolved(row: Row, reason: str) -> Row:
    return replace(row, estimate=None, verdict=Verdict.NOT_RESOLVED, remarks=(), caveat=None, reason=reason)


def without_levels(rows: list[Row]) -> list[Row]:
    """The rows with numbers of levels taken out, where paths have none."""
    return [_unresolved(r, "levels need reflection positivity") if r.of_levels else r for r in rows]


def level_notes(run: Correlators, found: Spectrum) -> list[str]:
    theory = run.theory
    if theory is None:
        return []
    notes = []
    edge = min(s.continuum for s in theory.sources)
    if np.isfinite(edge):
        notes.append(
            f"the continuum begins {edge:.6g} above the ground state: gaps from there on are those of the box that "
            "paths are confined to"
        )
    if theory.network is not None or theory.n_inputs != 1 or not found.gaps:
        return notes
    known = theory.sources[0].ground_energy(theory.hbar, theory.mass)
    if known is None:
        return notes
    ground, of_what = known
    numbers = found.numbers
    whole = numbers == tuple(range(1, len(numbers) + 1))
    names = "E_1, E_2, ..." if whole else ", ".join(f"E_{n}" for n in numbers)
    listed = ", ".join(str(e) for e in found.absolute_energies(ground)[1:])
    return [*notes, f"{of_what} = {ground:.8g}, {names} = {listed}"]
