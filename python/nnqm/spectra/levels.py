"""Results of level searches: levels, spectra and advice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..statistics.estimate import Estimate
from ..verdict import Verdict

__all__ = ["Advice", "Level", "Spectrum", "SpectrumError"]

# Largest statistical error of a resolved gap, as a part of the gap.
LARGEST_RELATIVE_ERROR = 0.1

# Smallest decay along a whole path that is distinguishable from no decay, relative to the initial value.
_SMALLEST_DECAY = 0.01

# Smallest distance of two levels that count as two, in errors of their difference.
_SEPARATION = 3.0


class SpectrumError(InputError):
    """Levels cannot be had; ``partial`` is the Spectrum that could be computed, none of it resolved, or None."""

    def __init__(self, message: str, partial: Spectrum | None = None) -> None:
        super().__init__(message)
        self.partial = partial


@dataclass(frozen=True)
class Level:
    """One level above the ground state, or a multiplet of levels that are not distinguishable.

    Attributes
    ----------
    gap : Estimate or None
        E_n - E_0 in energy units; None where there is no positive eigenvalue. The error is statistical.
    weight : Estimate or None
        Spectral weight |<0|x|n>|^2 of the channel, summed over the multiplet; None for outputs of networks with random
        weights, because every draw has its own weights.
    multiplicity : int
        Members closer to each other than 3 errors of their difference; ``gap`` is their mean.
    verdict : Verdict
        "resolved"; or "noise", "basis-limited" (still moves with the basis or with t0), "plateau" (no decay),
        "above unresolved"; or, of all levels of paths that have none, "not stationary", "irreversible", "slower tail"
        (the two-point function decays more slowly than the lowest level), "few blocks"; "continuum" for what lies above
        the last bound state of a Hamiltonian.
    number, until : int
        Number of the level, 1 for the first above the ground state, and of the last level of the multiplet, which may
        consist of several; equal for a single level. Levels that are not resolved are counted. 0 for a part of paths
        without a theory that does not decay.
    at_least : bool
        Whether there may be further levels below that the observables do not see: then ``number`` is the smallest
        possible one, and ``gap`` an upper bound of it only.
    """

    gap: Estimate | None
    weight: Estimate | None
    multiplicity: int
    verdict: Verdict
    number: int = 0
    until: int = 0
    at_least: bool = False

    @property
    def resolved(self) -> bool:
        """Whether the number may be used as a level."""
        return self.verdict is Verdict.RESOLVED

    @property
    def name(self) -> str:
        """Name with the number, for example "gap 2", "gaps 2 to 3" or "level, at least the 2nd"."""
        if self.at_least:
            return f"level, at least the {_ordinal(self.number)}"
        return f"gap {self.number}" if self.until <= self.number else f"gaps {self.number} to {self.until}"


@dataclass(frozen=True)
class Advice:
    """A way to resolve the lowest requested level that is not resolved; ``print`` shows it as a sentence.

    Attributes
    ----------
    level : int
        Its number, 1 for the first above the ground state, as in ``Level``.
    verdict : Verdict
        Why it is not resolved, as in ``Level``.
    remedy : str
        The remedy in words.
    n_paths : int or None
        Paths, in total, with which it is expected to be resolved; None where more paths are not what is missing. An
        estimate from the errors of this run, right within a factor of two or so.
    dt : float or None
        A time step that suits the level better, if the run's own step does not.
    """

    level: int
    verdict: Verdict
    remedy: str
    n_paths: int | None = None
    dt: float | None = None

    def __str__(self) -> str:
        return f"level {self.level} is not resolved ({self.verdict}): {self.remedy}"


@short_repr
@dataclass(frozen=True)
class Spectrum(Drawn, picture="levels"):
    """Levels of a run; see ``spectrum``. ``print`` shows them as a table, with the advice.

    Attributes
    ----------
    levels : tuple of Level
        Those asked for, resolved ones first.
    t0 : int
        Time, in steps, of the metric of the eigenvalue problem.
    basis_size : int
        Eigendirections kept.
    commutator, momentum_squared : Estimate or None
        The sums (2m/hbar^2) sum gap |Z|^2 and (m/hbar)^2 sum gap^2 |Z|^2 of the channel, free of dt. The
        systematic error is what states that are not resolved contribute. None where there are no spectral weights.
    advice : Advice or None
        A way to resolve the next level; None if all requested levels are resolved.
    note : str
        Restriction on all levels, if there is one.
    """

    levels: tuple[Level, ...]
    t0: int
    basis_size: int
    commutator: Estimate | None
    momentum_squared: Estimate | None
    advice: Advice | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not any(level.number for level in self.levels):
            counted = tuple(replace(level, number=n, until=n) for n, level in enumerate(self.levels, start=1))
            object.__setattr__(self, "levels", counted)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the resolved levels, one for each of ``gaps``: a level that is not resolved keeps its number."""
        return tuple(level.number for level in self.levels if level.resolved and level.gap is not None)

    @property
    def gaps(self) -> tuple[Estimate, ...]:
        """Resolved gaps E_n - E_0, ascending; n is in ``numbers``. A multiplet counts once."""
        return tuple(level.gap for level in self.levels if level.resolved and level.gap is not None)

    @property
    def joint(self) -> Estimate:
        """Resolved gaps as one estimate, shape (k,), with their covariance: ``joint.covariance()``.

        Raises
        ------
        SpectrumError
            If no level is resolved.
        """
        gaps = self.gaps
        if not gaps:
            raise SpectrumError(f"no level is resolved, so that there is no covariance of levels; {self.advice}", self)
        return gaps[0].map_replicas(lambda *values: np.stack(values, axis=-1), *gaps[1:])

    @property
    def energies(self) -> tuple[Estimate, ...]:
        """E_0 = 0 and the resolved gaps, whose numbers are ``numbers``: paths give gaps only."""
        zero = self.gaps[0].map_replicas(np.zeros_like) if self.gaps else Estimate(0.0, [0.0, 0.0], [2.0, 2.0])
        return (zero, *self.gaps)

    def absolute_energies(self, ground_energy: float | None = None) -> tuple[Estimate, ...]:
        """E_0 + gaps, for a given ground-state energy, for example hbar omega/2 of the oscillator.

        Parameters
        ----------
        ground_energy : float
            E_0, energy units.

        Returns
        -------
        tuple of Estimate
            E_0, and E_0 + gap of every resolved level, energy units; the errors are those of the gaps.

        Raises
        ------
        InputError
            Without ``ground_energy``: no path contains it.
        """
        if ground_energy is None:
            raise InputError("ground_energy is needed: paths determine gaps only; take it from the Hamiltonian")
        return tuple(e.map_replicas(lambda v: v + ground_energy) for e in self.energies)

    def __str__(self) -> str:
        lines = []
        for level in self.levels:
            times = f" (x{level.multiplicity})" if level.multiplicity > 1 else ""
            if level.resolved:
                weight = "" if level.weight is None else f", weight {level.weight}"
                bound = f", {Verdict.UPPER_BOUND}" if level.at_least else ""
                lines.append(f"{level.name}{times} = {level.gap}{weight}{bound}")
        if lines and self.note:
            lines.append(self.note)
        return "\n".join([*lines, *([str(self.advice)] if self.advice is not None else [])])


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def ladder(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts on levels, lowest first: above one that decays and is not resolved the number of a level is unknown."""
    climbed: list[Verdict] = []
    for verdict in verdicts:
        blocked = climbed and climbed[-1] not in (Verdict.RESOLVED, Verdict.PLATEAU)
        climbed.append(Verdict.ABOVE_UNRESOLVED if blocked else verdict)
    return climbed


def on_ladder(levels: Iterable[Level]) -> list[Level]:
    """Levels, lowest first, with their verdicts on the ladder."""
    held = list(levels)
    verdicts = ladder(level.verdict for level in held)
    return [replace(level, verdict=verdict) for level, verdict in zip(held, verdicts, strict=True)]


def slowest_gap(hbar: float, duration: float) -> float:
    """Smallest gap, in energy units, that shows in paths of a duration."""
    return _SMALLEST_DECAY * hbar / duration


def does_not_decay(gap: Estimate, slowest: float) -> bool:
    """Whether a gap lies below the slowest that shows, by two errors."""
    return float(gap.value) + 2 * float(gap.error) < slowest


def told_apart(lower: Estimate, upper: Estimate) -> bool:
    """Whether two gaps differ by enough errors of their difference to be two levels."""
    step = upper.map_replicas(lambda a, b: a - b, lower)
    return not float(step.value) < _SEPARATION * float(step.error)
