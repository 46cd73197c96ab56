"""One eigenvalue problem: the potential, its constants, and what is known of V where the waves are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from .dvr import EPS
from .functions import evaluate
from .pieces import Pieces, resolve
from .potential import Potential
from .survey import Survey

__all__ = ["FINE", "Problem", "Window"]

# Relative accuracy of levels by default.
FINE = 1e-10

# Number of levels whose interval is searched for narrow wells, and of irregular points of the search.
_LEVELS, _POINTS = 16, 200_000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Problem:
    """Levels of p^2/2m + V are sought.

    Attributes
    ----------
    potential : Potential
    mass, hbar : float
    tolerance : float
        Accuracy of levels relative to their height above the minimum of V.
    """

    potential: Potential
    mass: float
    hbar: float
    tolerance: float
    _pieces: dict[tuple[float, float], Pieces] = field(default_factory=dict)

    @cached_property
    def unit(self) -> float:
        """sqrt(2m)/hbar: wave number per root of energy."""
        return float(np.sqrt(2 * self.mass) / self.hbar)

    @cached_property
    def survey(self) -> Survey:
        """The survey of the potential, with the wells and the asymmetries that only a dense search finds."""
        survey = self.potential.survey
        if survey.threshold <= survey.lowest:
            return survey
        for _ in range(4):
            energy = survey.energy(_LEVELS, self.unit)
            if np.isfinite(survey.threshold):
                energy = min(energy, survey.threshold - 0.02 * (survey.threshold - survey.lowest))
            a, b = survey.interval(energy, 44.0, self.unit)
            low = survey.x[0] if survey.limited or survey.walls[0] else -np.inf
            high = survey.x[-1] if survey.limited or survey.walls[1] else np.inf
            ends = max(a - (b - a), low), min(b + (b - a), high)
            cells = np.random.default_rng(7).uniform(0.01, 0.99, _POINTS)
            x = ends[0] + (ends[1] - ends[0]) * ((np.arange(_POINTS) + cells) / _POINTS)
            v = self.evaluate(x)
            if survey.even:
                mirrored = self.evaluate(-x) if not survey.limited or low == -high else v
                known = np.isfinite(v) & np.isfinite(mirrored)
                scale = np.abs(v[known]) + np.abs(energy - survey.lowest)
                even = np.array_equal(np.isfinite(v), np.isfinite(mirrored))
                even &= bool(np.all(np.abs(v[known] - mirrored[known]) <= 64 * EPS * scale))
                survey = replace(survey, even=even)
            believed = np.interp(x, survey.x, np.minimum(survey.v, 1e300))
            new = (v < energy) & (believed - v > 1e-2 * (energy - survey.lowest))
            if not new.any():
                return survey
            # With their neighbours, at which V may be higher again.
            new = np.convolve(new, np.ones(5), mode="same") > 0
            survey = survey.with_points(x[new], v[new])
        return survey

    @cached_property
    def bottom(self) -> float:
        """Lowest V, or an energy far below all levels if V has a deep hole too narrow for them."""
        survey = self.survey
        lowest, top = survey.lowest, min(survey.threshold, survey.lowest + 1e290)
        if survey.threshold <= lowest or survey.phase(top, self.unit) <= 2:
            return lowest
        ground, first = survey.energy(0.5, self.unit), survey.energy(1.5, self.unit)
        return max(lowest, ground - 1e3 * (first - ground))

    @property
    def threshold(self) -> float:
        """Energy at which the continuum begins; inf if there is none."""
        return self.survey.threshold

    def evaluate(self, x: Floats) -> Floats:
        """V at points (k,), inside the ends; infinite far up a wall, where the function may be inf - inf."""
        low, high = self._overflow
        inside = (x > low) & (x < high)
        if inside.all():
            return evaluate("potential", self.potential.function, x, infinite=True)
        out = np.full(x.shape, np.inf)
        out[inside] = evaluate("potential", self.potential.function, x[inside], infinite=True)
        return out

    @cached_property
    def _overflow(self) -> tuple[float, float]:
        """Points beyond which V overflows on both sides."""
        survey = self.potential.survey
        finite = np.flatnonzero(survey.v < 1e100)
        low = survey.x[finite[0] - 1] if finite[0] > 0 else -np.inf
        high = survey.x[finite[-1] + 1] if finite[-1] + 1 < len(survey.x) else np.inf
        return float(low), float(high)

    def pieces(self, ends: tuple[float, float], energy: float, scale: float) -> Pieces:
        """V as polynomials on panels between two ends, computed once.

        Parameters
        ----------
        ends : (float, float)
        energy, scale : float
            See ``reference`` and ``scale`` of ``resolve``.

        Raises
        ------
        InputError
            If V has structure on too many scales.
        """
        if ends not in self._pieces and self.potential.pieces is not None:
            self._pieces[ends] = self.potential.pieces.between(*ends)
        if ends not in self._pieces:
            survey = self.survey
            places = np.array([survey.x[int(np.argmin(survey.v))], 0.0])
            try:
                self._pieces[ends] = resolve(self.evaluate, ends, energy, scale, places)
            except InputError as error:
                raise InputError(f"potential is too rough: {error}") from None
        return self._pieces[ends]


class Window:
    """Interval of the waves of a number of levels, fitted to the levels that are found."""

    def __init__(self, problem: Problem, count: int) -> None:
        survey = problem.survey
        self._survey, self._unit = survey, problem.unit
        self.lowest, self._bound = problem.bottom, bool(np.isfinite(survey.threshold))
        # Largest energy of the waves.
        self.energy = survey.energy(count, problem.unit)
        if self._bound:
            # A wave at the threshold itself extends to infinity.
            self.energy = min(self.energy, survey.threshold - 0.02 * (survey.threshold - self.lowest))
        self._room = survey.threshold - self.energy
        # A wave is cut off where it has fallen by exp(-action).
        self._open = self._bound and not survey.limited
        self._action = 11.0 if self._open else 30.0

    def interval(self) -> tuple[float, float]:
        """Ends of the interval."""
        return self._survey.interval(self.energy, self._action, self._unit)

    def enlarge(self, level: float) -> bool:
        """Fit the interval to the highest level found and widen it; False if the energy was too low for the level."""
        threshold = self._survey.threshold
        self.energy = max(level, self.lowest * (1 + EPS))
        if self._bound:
            # For a level that seems unbound the box still grows step by step.
            if self.energy > threshold - self._room / 4:
                self._room /= 4
                self.energy = threshold - self._room
                return False
            self._room = threshold - self.energy
        self._action = min(self._action + 1.5, 20.0 if self._open else 44.0)
        return True
