"""Interval and spacing of a basis by refinement until the levels converge; each basis is computed once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .._arguments import Floats, positive
from ..errors import InputError
from .potential import Potential
from .sinc_basis import EPS, Basis

__all__ = ["FINE", "Bases", "need_distinct"]

# Relative accuracy of levels by default.
FINE = 1e-10

# Largest number of grid points of a dense eigenvalue problem, which takes seconds on one core.
_MAX_POINTS = 2500

# Smallest number of levels that a basis carries; larger bases carry 2, 4, ... times this number.
_LEVELS = 16

# Largest number of trials of an interval and a spacing.
_TRIALS = 24

# Exponent x at which 1 + e^{-x} is 1 in double precision.
_NEGLIGIBLE = 37.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Bases:
    """Bases for the states of p^2/2m + V; each is computed once and kept.

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
    # Keys: the number of levels that a basis carries; (number of points, factor) for the finer bases.
    _kept: dict[int, Basis] = field(default_factory=dict)
    _finer: dict[tuple[int, float], Basis] = field(default_factory=dict)

    @cached_property
    def unit(self) -> float:
        """sqrt(2m)/hbar: wave number per root of energy."""
        return float(np.sqrt(2 * self.mass) / self.hbar)

    @property
    def threshold(self) -> float:
        """Energy at which the continuum begins; inf if there is none."""
        return self.potential.survey.threshold

    @cached_property
    def n_bound(self) -> int | None:
        """Number of levels below the threshold; None for infinitely many."""
        survey, unit = self.potential.survey, self.unit
        if not np.isfinite(survey.threshold):
            return None
        depth = survey.threshold - survey.lowest
        if depth <= 0:
            return 0
        interval = survey.interval(survey.threshold - 1e-5 * depth, 15.0, unit)
        a, b = survey.interval(survey.threshold - 0.1 * depth, 15.0, unit)
        bound: int | None = None
        for ratio in (2.5, 4.0):
            spacing = np.pi / (ratio * unit * np.sqrt(depth))
            # The box is as wide as the number of points allows; a narrower one loses only weakly bound levels.
            room = max(1200 * spacing - (b - a), 0.0) / 2
            basis = self.grid((max(interval[0], a - room), min(interval[1], b + room)), spacing)
            if len(basis.points) > _MAX_POINTS:
                break
            before, bound = bound, int(np.sum(basis.lowest(len(basis.points)) < survey.threshold - 1e-9 * depth))
            if before == bound:
                break
        return int(survey.phase(survey.threshold, unit) + 0.5) if bound is None else bound

    def grid(self, interval: tuple[float, float], spacing: float, offset: float = 0.0) -> Basis:
        """A basis on an interval, shifted by ``offset`` spacings."""
        a, b = interval
        survey = self.potential.survey
        size = 2 * max(int(np.ceil((b - a) / spacing / 2)), 4)
        if survey.limited:
            # The outermost points lie half a spacing inside the ends, beyond which V is not known.
            spacing = min(spacing, (b - a) / (size + 2 * abs(offset)))
        points = (a + b) / 2 + spacing * (np.arange(size) - (size - 1) / 2 + offset)
        v = self.potential(points)
        even = survey.even and offset == 0
        if even:
            v[: size // 2] = v[: size // 2 - 1 : -1]
        wall = np.isinf(v)
        if wall.any():
            # An infinite wall is replaced by one that is higher than the energy of any wave of the basis.
            v[wall] = max(v[~wall].max(initial=0.0), 1e4 * self.hbar**2 / (self.mass * spacing**2))
        return Basis(points=np.asarray(points), spacing=spacing, potential=v, hbar=self.hbar, mass=self.mass, even=even)

    def carrying(self, count: int) -> Basis:
        """A basis that carries at least the lowest ``count`` levels.

        Raises
        ------
        InputError
            If fewer levels are bound, or the tolerance is not reached.
        """
        self._need_bound(count)
        for kept in sorted(self._kept):
            if kept >= count:
                return self._kept[kept]
        wanted = _LEVELS
        while wanted < count:
            wanted *= 2
        if self.n_bound is not None:
            wanted = min(wanted, self.n_bound)
        try:
            return self._keep(wanted)
        except InputError:
            if wanted == count:
                raise
        return self._keep(count)

    def thermal(self, beta: float) -> Basis:
        """A basis for traces of exp(-beta H/hbar).

        Raises
        ------
        InputError
            If there is a continuum, where Z diverges, or if too many levels contribute.
        """
        positive("beta", beta)
        survey = self.potential.survey
        if np.isfinite(self.threshold) and not survey.limited:
            raise InputError(
                f"thermal functions need a potential that grows on both sides; here the continuum begins at "
                f"{self.threshold:g} and Z diverges; use ground-state functions, or domain for a box"
            )
        top = self.carrying(1).energies[0] + _NEGLIGIBLE * self.hbar / beta
        if top > self.threshold:
            raise InputError(
                f"beta={beta:g} excites levels up to {top:g}, but the table or domain ends at V={self.threshold:g}; "
                "widen it, or use a larger beta"
            )
        count = int(survey.phase(top, self.unit)) + 2
        if count > _MAX_POINTS // 4:
            raise InputError(f"beta={beta:g} excites {count} levels, too many to solve for; use a larger beta")
        return self.carrying(count)

    def ground(self, beta: float | None = None) -> Basis:
        """The basis of the lowest levels, or with beta the basis of thermal traces."""
        return self.carrying(1) if beta is None else self.thermal(beta)

    def finer(self, basis: Basis, by: float) -> Basis:
        """A basis on the same interval whose spacing is divided by ``by``."""
        interval = (float(basis.points[0] - basis.spacing / 2), float(basis.points[-1] + basis.spacing / 2))
        return self.grid(interval, basis.spacing / by)

    def eigenbasis(self, by: float, beta: float | None) -> Basis:
        """The basis of ``ground`` with its spacing divided by ``by``, computed once.

        Raises
        ------
        InputError
            If the ground state is not resolved from the next state.
        """
        basis = self.ground(beta)
        need_distinct(basis, 0)
        if positive("finer", by) == 1:
            return basis
        key = (len(basis.points), float(by))
        if key not in self._finer:
            self._finer[key] = self.finer(basis, by)
        return self._finer[key]

    @cached_property
    def samples(self) -> Floats:
        """A table (x, V) of the potential on the interval of the lowest levels, shape (2, k)."""
        basis = self.carrying(1)
        scale = basis.energies[len(basis.errors) - 1] - self.potential.survey.lowest
        return self.potential.samples(basis.points[0] - basis.spacing, basis.points[-1] + basis.spacing, scale)

    def _need_bound(self, count: int) -> None:
        bound = self.n_bound
        if bound is None or count <= bound:
            return
        limited = self.potential.survey.limited
        where = "the lower end of the table or domain" if limited else "the continuum threshold"
        if bound == 0:
            raise InputError(
                f"potential has no bound state: none is found below {where}, {self.threshold:g}; make it deeper"
            )
        raise InputError(
            f"level n={count - 1} lies at or above {where}, {self.threshold:g}; {bound} levels are bound, "
            f"n=0 to {bound - 1}"
        )

    def _keep(self, count: int) -> Basis:
        self._kept[count] = basis = self._converged(count)
        return basis

    def _converged(self, count: int) -> Basis:
        """A basis whose lowest levels no longer change when the interval grows and the spacing shrinks."""
        survey = self.potential.survey
        previous: Floats | None = None
        best: tuple[float, Basis] | None = None
        history: list[float] = []
        trial = _Trial(self, count)
        for _ in range(_TRIALS):
            basis = trial.basis()
            if len(basis.points) > _MAX_POINTS:
                break
            if len(basis.points) < count + 2:
                trial.refine()
                continue
            levels = basis.lowest(count)
            if previous is not None:
                height = np.maximum(levels - survey.lowest, 1e-300)
                errors = self._errors(basis, levels, previous)
                reached = float((errors / height).max())
                if best is None or reached < best[0]:
                    best = (reached, replace(basis, errors=errors))
                if np.all(np.abs(levels - previous) <= 3 * basis.rounding + 1e-14 * height):
                    break
                if reached <= self.tolerance > FINE:
                    break
                history.append(reached)
                # A finer grid does not reduce the error from the ends of a table.
                if len(history) > 4 and survey.limited and reached > 0.5 * history[-4]:
                    break
            previous = levels
            trial.enlarge(float(levels[-1]))
        if best is None or best[0] > self.tolerance:
            raise self._failure(count, len(basis.points), None if best is None else best[0])
        return best[1]

    def _errors(self, basis: Basis, levels: Floats, previous: Floats) -> Floats:
        # If convergence is of first order only, the remaining error is four times the last change.
        errors = 4 * np.abs(levels - previous) + basis.rounding
        if self.potential.survey.limited:
            # Probability at the outermost points, where the wave is cut off.
            count = len(levels)
            edge = np.maximum(basis.vectors[0, :count] ** 2, basis.vectors[-1, :count] ** 2)
            errors = errors + 6 * basis.kinetic[0, 0] * edge
        return np.asarray(errors)

    def _failure(self, count: int, size: int, reached: float | None) -> InputError:
        """The exception for ``count`` levels after a last trial of ``size`` points."""
        if reached is None and size > _MAX_POINTS:
            return InputError(
                f"{count} levels need a grid of {size} points, more than {_MAX_POINTS}; ask for fewer levels, or give "
                "domain where the potential extends over very different scales"
            )
        got = "no result" if reached is None else f"{reached:.1e}"
        hint, survey = "", self.potential.survey
        if survey.limited:
            hint = (
                f"; waves must vanish at the ends of [{survey.x[0]:g}, {survey.x[-1]:g}]: a wider "
                f"{self.potential.place} may help"
            )
        return InputError(
            f"tolerance={self.tolerance:g} is not reached for {count} levels: {got} with at most {_MAX_POINTS} "
            f"points; kinks, steps, coarse tables and weakly bound levels need a larger tolerance{hint}"
        )


class _Trial:
    """Interval and spacing of the next trial basis for a number of levels."""

    def __init__(self, bases: Bases, count: int) -> None:
        survey = bases.potential.survey
        self._bases, self._survey, self._unit = bases, survey, bases.unit
        self._lowest, self._bound = survey.lowest, bool(np.isfinite(survey.threshold))
        # Largest energy of the waves, and grid points per half of the shortest wavelength.
        self._energy, self._ratio = survey.energy(count, bases.unit), 2.0
        if self._bound:
            # A wave at the threshold itself extends to infinity.
            self._energy = min(self._energy, survey.threshold - 0.02 * (survey.threshold - self._lowest))
        self._room = survey.threshold - self._energy
        # A wave is cut off where it has fallen by exp(-action).
        self._open = self._bound and not survey.limited
        self._action = 11.0 if self._open else 30.0

    def basis(self) -> Basis:
        """The trial basis."""
        spacing = _short(np.pi / (self._ratio * self._unit * np.sqrt(self._energy - self._lowest)))
        return self._bases.grid(self._survey.interval(self._energy, self._action, self._unit), spacing)

    def refine(self) -> None:
        """Make the spacing smaller."""
        self._ratio *= 1.25

    def enlarge(self, level: float) -> None:
        """Fit the interval to the highest level found, widen it, and make the spacing smaller."""
        threshold = self._survey.threshold
        self._energy = max(level, self._lowest * (1 + EPS))
        if self._bound:
            # For a level that seems unbound the box still grows step by step.
            if self._energy > threshold - self._room / 4:
                self._room /= 4
                self._energy = threshold - self._room
                return
            self._room = threshold - self._energy
        self._action = min(self._action + 1.5, 20.0 if self._open else 44.0)
        self.refine()


def _short(x: float) -> float:
    """The nearest number of 24 bits: a grid that follows from eigenvalues must not depend on the rounding of a BLAS."""
    fraction, exponent = np.frexp(x)
    return float(np.ldexp(np.round(fraction * 2.0**24), int(exponent) - 24))


def need_distinct(basis: Basis, n: int) -> None:
    """Require that level n differs from its neighbours or has the other parity; else its vector is not determined."""
    if basis.even:
        return
    e = basis.energies
    for m in (n - 1, n + 1):
        if 0 <= m < len(e) and abs(e[m] - e[n]) < 1e3 * basis.rounding:
            raise InputError(
                f"levels {min(m, n)} and {max(m, n)} differ by {abs(e[m] - e[n]):.1e}, less than double precision "
                "resolves: the wells are disconnected and the states of both levels are not determined; lower or "
                "narrow the barrier"
            )
