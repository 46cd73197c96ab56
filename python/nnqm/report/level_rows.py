"""Rows and notes of the report about levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..sampling.correlators import Correlators
from ..spectra.levels import Spectrum
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
    energies, multiplicities = known_gaps(run.theory, len(found.levels))
    rows: list[Row] = []
    # Without exact levels to count by, what does not decay is no level but a sector or a mean.
    plateaus = 0 if energies[0] is not None else sum(level.verdict is Verdict.PLATEAU for level in found.levels)
    if plateaus:
        weight = found.levels[0].weight
        reason = "superselection or a mean"
        rows.append(
            Row("non-decaying part", weight, None, Verdict.PLATEAU, Group.LEVELS, reason=reason, of_levels=True)
        )
    for n, level in enumerate(found.levels[plateaus:]):
        times = f" (x{multiplicities[n]})" if multiplicities[n] > 1 else ""
        row = Row(f"gap {n + 1}{times}", level.gap, energies[n], Verdict.RESOLVED, Group.LEVELS, of_levels=True)
        if not level.resolved or level.gap is None:
            rows.append(_unresolved(row, _REASONS.get(level.verdict, level.verdict)))
            break
        if level.multiplicity > 1 or times:
            row = replace(row, remarks=(f"{level.multiplicity} seen",))
        if row.pull is not None and abs(row.pull) > DEVIATION:
            # Functions of x give upper bounds of gaps, which are not sharp where x shows too little of the inputs.
            row = replace(row, caveat=Verdict.UPPER_BOUND if row.pull > 0 else Verdict.DEVIATES)
        rows.append(row)
    return rows


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
    listed = ", ".join(str(e) for e in found.absolute_energies(ground)[1:])
    return [*notes, f"{of_what} = {ground:.8g}, E_1, E_2, ... = {listed}"]
