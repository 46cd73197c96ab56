"""Survey of a potential from its bottom outwards: lowest value, threshold of the continuum, extent of the waves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from .dvr import EPS
from .functions import Function, evaluate

__all__ = ["Survey", "survey_between", "survey_of_half_line", "survey_of_line"]

# Points per octave of |x - bottom|, and the octaves: from 2^-30 to 2^40 of the user's unit.
_PER_OCTAVE, _OCTAVES = 96, (-30, 40)

# Points of a survey between two ends.
_POINTS = 20_001

# Number of successively finer scans around the lowest value, and points of each scan.
_SCANS, _POINTS_OF_SCAN = 12, 33


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Values of V, dense at the bottom of the well and sparse far away, in ascending order of x."""

    x: Floats
    v: Floats
    # Energies beyond which a particle escapes to the left and to the right; inf where V grows without bound.
    sides: tuple[float, float]
    # Whether the potential is known between the first and the last x only.
    limited: bool
    even: bool
    # Whether the lower and the upper end are walls, at which waves vanish.
    walls: tuple[bool, bool] = (False, False)

    def with_points(self, x: Floats, v: Floats) -> Survey:
        """The survey with further values."""
        if self.even:
            x, v = np.concatenate([x, -x]), np.concatenate([v, v])
        every, first = np.unique(np.concatenate([self.x, x]), return_index=True)
        return replace(self, x=every, v=np.concatenate([self.v, v])[first])

    @property
    def lowest(self) -> float:
        """Lowest value of V found."""
        return float(self.v.min())

    @property
    def threshold(self) -> float:
        """Energy at which the continuum begins; inf if there is none."""
        return min(self.sides)

    def phase(self, energy: float, unit: float) -> float:
        """Semiclassical number of levels below an energy; unit = sqrt(2m)/hbar."""
        k = np.sqrt(np.maximum(energy - self.v, 0))
        return unit / np.pi * float(np.sum((k[1:] + k[:-1]) / 2 * np.diff(self.x)))

    def energy(self, count: float, unit: float) -> float:
        """Energy below which there are semiclassically ``count`` levels, at most the threshold."""
        depth = self.threshold - self.lowest
        low, high = -300.0, min(300.0, np.log10(depth))
        if self.phase(self.lowest + 10**high, unit) <= count:
            return float(self.lowest + 10**high)
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.phase(self.lowest + 10**middle, unit) < count else (low, middle)
        return float(self.lowest + 10**high)

    def interval(self, energy: float, action: float, unit: float) -> tuple[float, float]:
        """Interval at whose ends, beyond the outermost turning points, waves have fallen by exp(-action)."""
        inside = np.flatnonzero(self.v < energy)
        first, last = (inside[0], inside[-1]) if len(inside) else (int(np.argmin(self.v)),) * 2
        with np.errstate(invalid="ignore", over="ignore"):
            kappa = unit * np.sqrt(np.maximum(self.v - energy, 0))
            # At an infinite wall the wave ends.
            right = np.cumsum((kappa[last + 1 :] + kappa[last:-1]) / 2 * np.diff(self.x[last:]))
            left = np.cumsum(((kappa[:first] + kappa[1 : first + 1]) / 2 * np.diff(self.x[: first + 1]))[::-1])
        i, j = np.searchsorted(left, action), np.searchsorted(right, action)
        a, b = float(self.x[max(first - 1 - i, 0)]), float(self.x[min(last + 1 + j, len(self.x) - 1)])
        return (-max(-a, b), max(-a, b)) if self.even else (a, b)


def survey_between(function: Function, a: float, b: float, *, walls: tuple[bool, bool]) -> Survey:
    """Survey of V between two ends; each is a wall, at which waves vanish, or V is not known beyond it.

    Raises
    ------
    InputError
        If V is NaN or -inf inside the ends.
    """
    x = np.linspace(a, b, _POINTS)
    if any(walls):
        # V may be singular at a wall.
        inside = x.copy()
        with np.errstate(all="ignore"):
            singular = ~np.isfinite(np.array(function(x[[0, -1]].copy()), dtype=np.float64))
        _need_no_pole(function, tuple(end for end, wall in zip((a, b), walls, strict=True) if wall))
        if singular[0] and walls[0]:
            inside[0] += 1e-9 * (b - a)
        if singular[1] and walls[1]:
            inside[-1] -= 1e-9 * (b - a)
        v = evaluate("potential", function, inside, infinite=True)
    else:
        v = evaluate("potential", function, x, infinite=True)
    if np.isinf(v).all():
        raise InputError(f"potential is infinite on the whole domain [{a:g}, {b:g}]; give a domain where it is finite")
    even = bool(a == -b and _mirrored(v))
    sides = (np.inf if walls[0] else float(v[0]), np.inf if walls[1] else float(v[-1]))
    return Survey(x=x, v=v, sides=sides, limited=True, even=even, walls=walls)


def survey_of_half_line(function: Function, wall: float, side: int) -> Survey:
    """Survey of V on the half-line above (side 1) or below (side -1) a wall, at which waves vanish.

    Raises
    ------
    InputError
        If V is not bounded below far away, is NaN somewhere, or has no bound state.
    """
    _need_no_pole(function, (wall,))
    offsets = 2.0 ** np.arange(_OCTAVES[0], _OCTAVES[1], 1 / _PER_OCTAVE)

    def outwards(distance: Floats) -> Floats:
        return evaluate("potential", function, wall + side * distance, infinite=True)

    distance, v = offsets, outwards(offsets)
    for _ in range(2):
        centre = distance[int(np.argmin(v))]
        near = np.concatenate([centre - offsets[offsets < centre], centre + offsets])
        distance, first = np.unique(np.concatenate([distance, near]), return_index=True)
        v = np.concatenate([v, outwards(near)])[first]
    lowest = float(v.min())
    limit = _side_limit(v[np.isin(distance, offsets)], lowest, "right" if side > 0 else "left")
    if limit - lowest <= 1e-12 * (1e-280 + abs(lowest)):
        raise InputError(
            f"potential has no bound state: far away it is {limit:g}, not above its lowest value {lowest:g}; it must "
            "have a well or grow"
        )
    x = np.concatenate([[wall], wall + side * distance])
    v = np.concatenate([v[:1], v])
    if side < 0:
        x, v = x[::-1], v[::-1]
    sides = (np.inf, limit) if side > 0 else (limit, np.inf)
    keep = np.append(True, np.diff(x) > 0)
    return Survey(x=x[keep], v=v[keep], sides=sides, limited=False, even=False, walls=(side > 0, side < 0))


def _need_no_pole(function: Function, walls: tuple[float, ...]) -> None:
    """Refuse a potential that is not bounded below at a wall."""
    with np.errstate(all="ignore"):
        values = np.array(function(np.array(walls)), dtype=np.float64)
    if (values == -np.inf).any():
        raise InputError(
            f"potential must be bounded below; potential({walls[int(np.argmin(values))]:g}) is -inf; cut the "
            "singularity off"
        )


def survey_of_line(function: Function) -> Survey:
    """Survey of V on the whole line, around its lowest point.

    Raises
    ------
    InputError
        If V is not bounded below, is NaN somewhere, or has no bound state.
    """
    offsets = 2.0 ** np.arange(_OCTAVES[0], _OCTAVES[1], 1 / _PER_OCTAVE)
    x, v = _both_sides(function, 0.0, offsets)
    even = _mirrored(v)
    for _ in range(2):
        x, v = _both_sides(function, _lowest_point(function, x, v), offsets)
    lowest = float(v[len(offsets)])
    sides = (
        _side_limit(v[: len(offsets)][::-1], lowest, "left"),
        _side_limit(v[len(offsets) + 1 :], lowest, "right"),
    )
    survey = Survey(x=x, v=v, sides=sides, limited=False, even=even)
    if survey.threshold - survey.lowest <= 1e-12 * (1e-280 + abs(survey.lowest)):
        raise InputError(
            f"potential has no bound state: far away it is {survey.threshold:g}, not above its lowest value "
            f"{survey.lowest:g}; it must have a well or grow, or give domain where its well is"
        )
    return survey


def _lowest_point(function: Function, x: Floats, v: Floats) -> float:
    """Position of the lowest V in the neighbourhood of the lowest of the known values."""
    i = int(np.argmin(v))
    low, high = x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)]
    for _ in range(_SCANS):
        fine = np.linspace(low, high, _POINTS_OF_SCAN)
        with np.errstate(all="ignore"):
            j = int(np.argmin(np.nan_to_num(np.array(function(fine.copy()), dtype=np.float64), nan=np.inf)))
        low, high = fine[max(j - 1, 0)], fine[min(j + 1, _POINTS_OF_SCAN - 1)]
    return float(fine[j])


def _both_sides(function: Function, centre: float, offsets: Floats) -> tuple[Floats, Floats]:
    """Positions on both sides of a centre, and V there; beyond an overflow V is infinite."""
    x = np.concatenate([centre - offsets[::-1], [centre], centre + offsets])
    with np.errstate(all="ignore"):
        v = np.array(function(x.copy()), dtype=np.float64)
    n = len(offsets)
    for side in (v[n::-1], v[n:]):
        if np.isnan(side).any():
            bad = int(np.argmax(np.isnan(side)))
            # NaN from inf - inf, far up a wall.
            if bad > 0 and side[bad - 1] > 1e100:
                side[bad:] = np.inf
    if (v[np.abs(x - centre) < 2.0**20] == -np.inf).any():
        raise InputError(
            f"potential must be bounded below; potential({x[int(np.argmin(v))]:g}) is -inf; cut the singularity off"
        )
    if np.isnan(v).any():
        at = x[int(np.argmax(np.isnan(v)))]
        raise InputError(
            f"potential must be a number everywhere; potential({at:g}) is nan; correct it, or give domain, an interval "
            "on which it is defined"
        )
    return x, v


def _mirrored(v: Floats) -> bool:
    """Whether the values at -x and x are equal."""
    finite = np.isfinite(v)
    if not np.array_equal(finite, finite[::-1]):
        return False
    u, w = v[finite], v[::-1][finite]
    return bool(np.all(np.abs(u - w) <= 16 * EPS * np.abs(u)))


def _side_limit(v: Floats, lowest: float, name: str) -> float:
    """Limit of V on one side, from values in outward order; inf if V grows without bound."""
    octaves = v[: len(v) // _PER_OCTAVE * _PER_OCTAVE].reshape(-1, _PER_OCTAVE).min(axis=1)
    last, middle, first = (float(octaves[i]) for i in (-1, -6, -11))
    if last == np.inf:
        return np.inf
    # A logarithm grows as much from the middle to the last octave as before; a function with a limit grows much less.
    noise = 1e-4 * (abs(last) + abs(lowest))
    if last == -np.inf or (middle - last > noise and middle - last > 0.5 * (first - middle)):
        raise InputError(
            f"potential must be bounded below; it falls without bound to the {name}, to {last:g} at distance "
            f"{2.0 ** _OCTAVES[1]:.0e}; give domain if only a part is meant"
        )
    return np.inf if last - middle > noise and last - middle > 0.5 * (middle - first) else last + 0.0
