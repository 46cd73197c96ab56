"""Results of level searches in one correlator: levels, verdicts and remedies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._arguments import Floats
from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .levels import LARGEST_RELATIVE_ERROR, Level, on_ladder

__all__ = ["DecayError", "DecayLevels"]

# Largest total error of a resolved gap, statistical error and spread together, as a part of the gap.
_LARGEST_TOTAL_ERROR = 0.2

# Fewest independent samples for a verdict: with fewer the error is known to no better than a sixth.
FEWEST_SAMPLES = 20


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


@short_repr
@dataclass(frozen=True)
class DecayLevels(Drawn, picture="levels"):
    """Levels found in one correlator; see ``OneCorrelator``.

    Attributes
    ----------
    method : str
    levels : tuple of Level
        Lowest first. The statistical error of a gap comes from the data; its systematic error is the distance within
        which a level of the theory lies: a bound that holds in 68% of cases, not a shift to be expected. ``weight`` is
        |Z|^2 at t = 0. Verdicts: "resolved"; "noise" (no signal, or a statistical error above 10%); "basis-limited"
        (levels that hide behind it may lie 20% away, no fit describes the data, or the correlator is no positive sum);
        "plateau" (no decay); "few blocks" (fewer than 20 independent samples); "above unresolved".
    times : ndarray
        Times of the correlator that were used, unit time.
    p_value : float or None
        p-value of the fit; None if there is no fit.
    note : str
        Which gaps are not resolved, and what would help.
    alternating : tuple of Level
        Levels of negative eigenvalues of the transfer matrix, lowest first: terms w (-1)^k e^(-E t/hbar) with k the
        number of steps. ``gap`` is E, ``weight`` is w, which has either sign. Empty unless the correlator alternates.
    """

    method: str
    levels: tuple[Level, ...]
    times: Floats
    p_value: float | None
    note: str
    alternating: tuple[Level, ...] = ()

    @property
    def gaps(self) -> tuple[Estimate, ...]:
        """Resolved gaps in energy units, lowest first; not those that alternate."""
        return tuple(level.gap for level in self.levels if level.resolved and level.gap is not None)

    def __str__(self) -> str:
        rows = [f"{self.method}, {len(self.times)} points"]
        if self.p_value is not None:
            rows[0] += f", p = {self.p_value:.2g}"
        for name, levels in (("gap", self.levels), ("alternating gap", self.alternating)):
            for n, level in enumerate(levels, start=1):
                rows.append(f"{name} {n}: {'none' if level.gap is None else level.gap}  {level.verdict}")
        return "\n".join([*rows, self.note])


_REMEDIES = {
    Verdict.NOISE: "the signal is lost in noise: more samples or earlier times",
    Verdict.BASIS_LIMITED: "levels near each other cannot be told apart: more samples",
    Verdict.PLATEAU: "there is no decay: subtract the mean, sector by sector if there are several",
    Verdict.FEW_BLOCKS: "too few samples for a covariance and a verdict",
}


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Verdicts on gaps of one correlator.

    ``duration`` is that of the points, divided by hbar. ``faults`` are facts on the correlator for which nothing is
    resolved; ``remarks`` are further sentences of the note.
    """

    duration: float
    n_samples: int | None
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def level(self, gap: Estimate, weight: Estimate | None, good_fit: bool) -> Level:
        """A level with its verdict; without a number if the data do not determine even its size."""
        verdict = self._verdict(gap, good_fit)
        if verdict is Verdict.NOISE and not float(gap.error) < abs(float(gap.value)):
            return Level(None, None, 1, verdict)
        return Level(gap, weight, 1, verdict)

    def _verdict(self, gap: Estimate, good_fit: bool) -> Verdict:
        value, error, total = float(gap.value), float(gap.error), float(gap.total_error)
        if self.n_samples is not None and self.n_samples < FEWEST_SAMPLES:
            return Verdict.FEW_BLOCKS
        # No decay is a small gap, not one of which nothing is known.
        if value < 3 * error and value + 3 * error > 0 and (value + 3 * error) * self.duration < 1:
            return Verdict.PLATEAU
        if not 0 < error <= LARGEST_RELATIVE_ERROR * value:
            return Verdict.NOISE
        if not good_fit or self.faults or total > _LARGEST_TOTAL_ERROR * value:
            return Verdict.BASIS_LIMITED
        return Verdict.RESOLVED

    def result(
        self,
        method: str,
        levels: Iterable[Level],
        alternating: Iterable[Level],
        *,
        times: Floats,
        p_value: float | None = None,
        reason: str | None = None,
    ) -> DecayLevels:
        """Levels with a note: what is not resolved, why, and what would help."""
        kept, flipped = on_ladder(levels), on_ladder(alternating)
        kept = kept or [Level(None, None, 1, Verdict.NOISE)]
        if flipped and all(level.gap is None for level in kept):
            reason = "no level is seen beside the terms that alternate"
        resolved = sum(level.resolved for level in kept)
        parts = [f"gap {resolved + 1} and those above are not resolved"]
        failed = [_REMEDIES[level.verdict] for level in kept if level.verdict in _REMEDIES]
        if reason is not None:
            parts.append(reason)
        elif self.faults:
            parts += self.faults
        elif failed:
            parts.append(failed[0])
        if flipped:
            parts.append(
                "the correlator alternates in sign from step to step: alternating gaps belong to negative eigenvalues "
                "of the transfer matrix"
            )
        parts += self.remarks
        parts.append("correlators of many observables (spectrum) resolve more than one correlator can")
        return DecayLevels(method, tuple(kept), times, p_value, "; ".join(parts), tuple(flipped))
