"""The bases of a Hamiltonian: a grid of sinc functions where V is smooth, else panels; each is computed once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .._arguments import Floats, positive
from ..errors import InputError
from .dvr import Basis
from .panel_basis import PanelBasis, panel_basis
from .panel_levels import bound_levels, covering, finer, solved_on_panels
from .potential import Potential
from .problem import FINE, Problem, Window
from .sinc_levels import grid, solved_on_a_grid

__all__ = ["FINE", "Bases", "need_distinct"]

# Largest number of levels of thermal traces.
_MOST_THERMAL = 625

# Smallest number of levels that a basis carries; larger bases carry 2, 4, ... times this number.
_LEVELS = 16

# Decay exponent of waves at the ends of a saved function, and the relative distance from 0 of a break at 0.
_ACTION, _AT_ZERO = 48.0, 1e-9

# Exponent x at which 1 + e^{-x} is 1 in double precision.
_NEGLIGIBLE = 37.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Bases(Problem):
    """Bases for the states of p^2/2m + V; each is computed once and kept."""

    # Keys: the number of levels that a basis carries; (number of points, factor) for the finer bases.
    _kept: dict[int, Basis] = field(default_factory=dict)
    _finer: dict[tuple[int, float], Basis] = field(default_factory=dict)

    @cached_property
    def n_bound(self) -> int | None:
        """Number of levels below the threshold; None for infinitely many."""
        if not np.isfinite(self.threshold):
            return None
        return bound_levels(self)

    def covering(self, basis: Basis, interval: tuple[float, float], spacing: float, offset: float = 0.0) -> Basis:
        """A basis of the kind of another one on an interval, with points at most ``spacing`` apart.

        Points are shifted by ``offset`` spacings; on panels the breaks of V stay.
        """
        if not isinstance(basis, PanelBasis):
            return grid(self, interval, spacing, offset)
        elements = covering(self, basis, interval, spacing, offset)
        return panel_basis(elements, self.evaluate, self.hbar, self.mass, even=False)

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
        elif np.isfinite(self.threshold):
            # Infinitely many levels below a threshold become ever wider.
            wanted = count
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
        survey = self.survey
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
        if count > _MOST_THERMAL:
            raise InputError(f"beta={beta:g} excites {count} levels, too many to solve for; use a larger beta")
        return self.carrying(count)

    def ground(self, beta: float | None = None) -> Basis:
        """The basis of the lowest levels, or with beta the basis of thermal traces."""
        return self.carrying(1) if beta is None else self.thermal(beta)

    def level_errors(self, count: int) -> Floats:
        """Errors of the lowest levels, shape (count,); for a given table with the error of its interpolation.

        The latter is the difference from the spline through every second point.
        """
        basis = self.carrying(count)
        errors = basis.errors[:count].copy()
        if self.potential.table is not None:
            missed = self.potential.interpolation_error(basis.points)
            errors += missed @ basis.vectors[:, :count] ** 2
        return errors

    def finer(self, basis: Basis, by: float) -> Basis:
        """A basis on the same interval with ``by`` times as many points."""
        if isinstance(basis, PanelBasis):
            return finer(self, basis, by)
        interval = (float(basis.points[0] - basis.spacing / 2), float(basis.points[-1] + basis.spacing / 2))
        return grid(self, interval, basis.spacing / by)

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
    def saved(self) -> Potential:
        """The potential as plain data can describe it: a function on the interval of the lowest levels only.

        It becomes a table or pieces. A table serves if its spline reproduces V at the nodes of the survey.

        Raises
        ------
        InputError
            If neither reproduces V.
        """
        if not self.potential.is_function:
            return self.potential
        basis = self.carrying(1)
        top = float(basis.energies[len(basis.errors) - 1])
        scale = top - self.survey.lowest
        if not isinstance(basis, PanelBasis):
            low, high = self.potential.ends
            a = max(float(basis.points[0] - basis.spacing), low)
            b = min(float(basis.points[-1] + basis.spacing), high)
            table = self.potential.samples(a, b, scale, self.pieces((a, b), top, scale).nodes.ravel())
            if table is not None:
                return replace(self.potential, table=table, sampled=True)
        return self._on_panels(max(top, Window(self, len(basis.errors)).energy), scale)

    def _on_panels(self, energy: float, scale: float) -> Potential:
        """V between the points where waves of an energy have vanished, on panels that end at its breaks."""
        survey, domain = self.survey, self.potential.domain
        a, b = survey.interval(energy, _ACTION, self.unit)
        pieces = self.pieces((a, b), energy, scale)
        # The panel beyond an infinite wall may be too narrow to be kept.
        infinite = np.isinf(survey.v[np.searchsorted(survey.x, [a, b]).clip(max=len(survey.x) - 1)])
        below, above = infinite | ((False, False) if domain is None else np.equal((a, b), domain))
        if survey.even:
            below = above = below or above
            smooth = not (np.abs(pieces.breaks) < _AT_ZERO * b).any()
            pieces = self.pieces((0.0, b), energy, scale).mirrored(smooth=smooth)
        found = pieces.retaken(self.evaluate, lambda v: np.asarray(scale + np.abs(v - energy)))
        if found is None:
            raise InputError(
                f"potential cannot be saved: neither a table nor polynomials on {len(pieces.values)} panels of "
                f"[{a:g}, {b:g}] reproduce {self.potential!r} to 1e-12; make it smoother, or give coefficients or a "
                "table (x, V) in place of the function"
            )
        return Potential.of_pieces(found, domain, even=survey.even, walls=(bool(below), bool(above)))

    def _need_bound(self, count: int) -> None:
        bound = self.n_bound
        if bound is None or count <= bound:
            return
        limited = self.survey.limited
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
        self._kept[count] = basis = self._solved(count)
        return basis

    def _solved(self, count: int) -> Basis:
        found = solved_on_a_grid(self, count)
        return solved_on_panels(self, count) if found is None else found


def need_distinct(basis: Basis, n: int) -> None:
    """Require that level n differs from its neighbours or has the other parity; else its vector is not determined."""
    if basis.even:
        return
    e, rounding = basis.energies, basis.rounding
    for m in (n - 1, n + 1):
        if 0 <= m < len(e) and abs(e[m] - e[n]) < 1e3 * rounding:
            raise InputError(
                f"levels {min(m, n)} and {max(m, n)} differ by {abs(e[m] - e[n]):.1e}, less than double precision "
                "resolves: the wells are disconnected and the states of both levels are not determined; lower or "
                "narrow the barrier"
            )
