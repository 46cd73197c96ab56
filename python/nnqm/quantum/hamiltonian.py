"""Any Hamiltonian p^2/2m + V(x): levels, wave functions, states as vectors, Euclidean functions, ground-state chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, choice, floats, integer, positive
from ..errors import InputError, InputTypeError
from .chain import GroundStateChain
from .measures import SpectralMeasure
from .sinc_basis import (
    EPS,
    OCTAVES,
    PER_OCTAVE,
    Basis,
    Function,
    Operator,
    Survey,
    act,
    evaluate,
    mirrored,
    short,
    side_limit,
    values_of,
)
from .states import State

__all__ = ["Hamiltonian", "State"]

# Grid points of a dense eigenvalue problem, at most; seconds on one core.
_MAX_POINTS = 2500

_MAX_STATES = 4000

# Where psi_0^2 has fallen so low a chain ends, and a barrier cuts double precision in two.
_TAIL, _BARRIER = 1e-20, 1e-14

# Relative accuracy asked of levels unless the user wants less.
_FINE = 1e-10

# A basis carries so many levels, or twice, four times, ... as many.
_LEVELS = 16

# What e^{-x} is nothing beside one.
_NOTHING = 37.0


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Hamiltonian:
    r"""A particle on the line, :math:`H = p^2/2m + V(x)`, solved to a given accuracy.

    Eigenstates come from the sinc discrete variable representation (Colbert and Miller, J. Chem. Phys. 96, 1982
    (1992)): on a grid of spacing h

    .. math:: H_{ij} = \frac{\hbar^2}{2 m h^2} \left\{ \begin{matrix} \pi^2/3 & i = j \\
              2 (-1)^{i-j}/(i-j)^2 & i \ne j \end{matrix} \right\} + V(x_i)\,\delta_{ij} .

    The interval and the spacing are enlarged and refined until the levels agree to rounding or to the tolerance.

    Parameters
    ----------
    potential : callable, sequence of float, or pair of sequences
        V(x) for an array x; or coefficients of a polynomial, the constant first; or a table (x, V) with x ascending,
        interpolated by a quintic spline and unknown outside.
    mass, hbar : float, default 1
        Positive.
    domain : (float, float), optional
        Where a callable or polynomial is looked at; wave functions must vanish at its ends. By default the whole line
        is searched, in steps of 0.7% of the distance from the lowest point found: narrow wells elsewhere need it.
    tolerance : float, default 1e-10
        Accuracy of the levels, relative to their height above the minimum of V. With the default refinement goes on
        to rounding; with a larger one it stops when that is reached.

    Raises
    ------
    ValueError
        If the potential is not bounded below, has no bound state, or gives NaN.
    TypeError
        If it is neither a vectorised function nor numbers.

    Notes
    -----
    Levels reach 1e-13 of the largest energy on the grid where V is smooth. With kinks or steps convergence is slow;
    what the tolerance does not allow is refused, with what was reached.

    Examples
    --------
    >>> anharmonic = Hamiltonian([0, 0, 0.5, 0, 1])
    >>> print(anharmonic.energies(3).round(10))
    [0.80377065 2.73789227 5.17929169]
    >>> anharmonic.eigenstate(0).expectation("x") < 1e-12
    True
    """

    mass: float
    hbar: float
    domain: tuple[float, float] | None
    tolerance: float

    def __init__(
        self,
        potential: Function | ArrayLike,
        mass: float = 1.0,
        hbar: float = 1.0,
        *,
        domain: tuple[float, float] | None = None,
        tolerance: float = _FINE,
    ) -> None:
        put = object.__setattr__
        put(self, "mass", positive("mass", mass))
        put(self, "hbar", positive("hbar", hbar))
        put(self, "tolerance", positive("tolerance", tolerance))
        if domain is not None:
            ends = floats("domain", domain, 1)
            if len(ends) != 2 or ends[0] >= ends[1]:
                raise InputError(f"domain must be two ascending numbers; got {domain!r}")
            put(self, "domain", (float(ends[0]), float(ends[1])))
        else:
            put(self, "domain", None)
        put(self, "_coefficients", None)
        put(self, "_table", None)
        put(self, "_sampled", False)
        put(self, "_bases", {})
        if callable(potential):
            put(self, "_function", potential)
        else:
            self._from_numbers(potential)
        put(self, "_survey", self._look())

    _coefficients: Floats | None
    _table: Floats | None
    # The table came from a callable.
    _sampled: bool
    _bases: dict[Any, Any]
    _function: Function
    _survey: Survey

    def _from_numbers(self, potential: ArrayLike) -> None:
        put = object.__setattr__
        try:
            numbers = floats("potential", potential)
        except TypeError:
            raise InputTypeError(
                "potential must be a function of an array, coefficients of a polynomial, or a table (x, V) of two "
                f"equally long sequences; got {potential!r}"
            ) from None
        if numbers.ndim == 1:
            coefficients = np.trim_zeros(numbers, "b")
            degree = len(coefficients) - 1
            if degree < 2 or degree % 2 or coefficients[-1] < 0:
                leading = coefficients[-1] if len(coefficients) else 0.0
                raise InputError(
                    "potential must have even degree of at least 2 and a positive leading coefficient, else it is "
                    f"unbounded below or binds nothing; got degree {max(degree, 0)} with leading coefficient "
                    f"{leading:g}; coefficients are ascending, the constant first"
                )
            put(self, "_coefficients", coefficients)
            put(self, "_function", lambda x: np.polynomial.polynomial.polyval(x, coefficients))
            return
        if numbers.ndim != 2 or numbers.shape[0] != 2:
            raise InputError(
                f"potential must be coefficients (one axis) or a table of shape (2, k); got shape {numbers.shape}"
            )
        x, v = numbers
        if len(x) < 8:
            raise InputError(f"potential as a table must have at least 8 points; got {len(x)}")
        steps = np.flatnonzero(np.diff(x) <= 0)
        if len(steps):
            i = int(steps[0])
            raise InputError(
                f"potential as a table must have strictly ascending x; x[{i}]={x[i]:g} >= x[{i + 1}]={x[i + 1]:g}; "
                "sort it"
            )
        if self.domain is not None:
            raise InputError("domain must be None for a table, whose ends are its domain; cut the table instead")
        from scipy.interpolate import make_interp_spline

        spline = make_interp_spline(x, v, k=5)
        put(self, "_table", numbers)
        put(self, "_function", lambda y: spline(y))

    def potential(self, x: ArrayLike) -> Floats:
        """V(x) at points of any shape, energy units.

        Raises
        ------
        ValueError
            Outside the table or domain, or if the function gives NaN.
        """
        points = floats("x", x)
        survey = self._survey
        low, high = survey.x[0], survey.x[-1]
        if survey.limited and points.size and (points.min() < low or points.max() > high):
            what = "table" if self._table is not None else "domain"
            raise InputError(
                f"x must lie in the {what} [{low:g}, {high:g}]; got {points.min():g} to {points.max():g}; extend it"
            )
        return evaluate("potential", self._function, points, infinite=True)

    def __repr__(self) -> str:
        if self._coefficients is not None:
            what = f"polynomial {self._coefficients.tolist()}"
        elif self._table is not None:
            x = self._table[0]
            origin = ", sampled from a function" if self._sampled else ""
            what = f"table of {len(x)} points on [{x[0]:g}, {x[-1]:g}]{origin}"
        else:
            what = f"function {getattr(self._function, '__name__', self._function)!r}"
        inside = "" if self.domain is None else f", domain={self.domain}"
        return f"Hamiltonian({what}, mass={self.mass:g}, hbar={self.hbar:g}{inside})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hamiltonian):
            return NotImplemented
        if self._is_function or other._is_function:
            same = self._function is other._function
            return same and self._constants() == other._constants()
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.mass, self.hbar, self.domain, self.tolerance))

    @property
    def _is_function(self) -> bool:
        return self._coefficients is None and self._table is None

    def _constants(self) -> dict[str, Any]:
        domain = None if self.domain is None else list(self.domain)
        return {"mass": self.mass, "hbar": self.hbar, "domain": domain, "tolerance": self.tolerance}

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands.

        A function is saved as a table, fine enough for its spline to give V to 1e-12 of the energies between the
        points, or of 4097 points; it comes back as that table and says so. Levels above those of this basis, and
        wider wave packets, may then find the table too narrow.
        """
        if self._coefficients is not None:
            return {"kind": "polynomial", "coefficients": self._coefficients.tolist(), **self._constants()}
        table = self._table if self._table is not None else self._sample()
        return {
            "kind": "table",
            "x": table[0].tolist(),
            "values": table[1].tolist(),
            "sampled": self._sampled or self._is_function,
            **self._constants(),
            "domain": None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Hamiltonian:
        """The Hamiltonian that ``to_dict`` described."""
        constants = {key: data[key] for key in ("mass", "hbar", "domain", "tolerance")}
        if choice("potential kind", data["kind"], ["polynomial", "table"]) == "polynomial":
            return cls(data["coefficients"], **constants)
        new = cls((data["x"], data["values"]), **constants)
        object.__setattr__(new, "_sampled", bool(data["sampled"]))
        return new

    def _sample(self) -> Floats:
        from scipy.interpolate import make_interp_spline

        if "table" not in self._bases:
            basis = self._basis(1)
            a, b = basis.points[0] - basis.spacing, basis.points[-1] + basis.spacing
            if self._survey.limited:
                a, b = max(a, self._survey.x[0]), min(b, self._survey.x[-1])
            scale = basis.energies[len(basis.errors) - 1] - self._survey.lowest
            size = 257
            while True:
                x = np.linspace(a, b, size)
                v = self.potential(x)
                if not np.isfinite(v).all():
                    raise InputError("potential is infinite inside its domain, and no table can hold that; cap it")
                middle = (x[1:] + x[:-1]) / 2
                exact = self.potential(middle)
                error = np.abs(make_interp_spline(x, v, k=5)(middle) - exact) / (np.abs(exact) + scale)
                if size >= 4097 or error.max() < 1e-12:
                    break
                size = 2 * size - 1
            self._bases["table"] = np.stack([x, v])
        table: Floats = self._bases["table"]
        return table

    # ---- the potential as a whole, and bases

    def _look(self) -> Survey:
        if self._table is not None or self.domain is not None:
            a, b = (self._table[0][0], self._table[0][-1]) if self._table is not None else self.domain or (0.0, 0.0)
            x = np.linspace(a, b, 20_001)
            self._probe(x[5_000:15_001:2_500])
            v = evaluate("potential", self._function, x, infinite=True)
            even = bool(a == -b and mirrored(v))
            return Survey(x, v, (float(v[0]), float(v[-1])), True, even)
        self._probe(np.array([-1.0, -0.5, 0.25, 1.0]))
        offsets = 2.0 ** np.arange(OCTAVES[0], OCTAVES[1], 1 / PER_OCTAVE)
        centre = 0.0
        x, v = self._from(centre, offsets)
        even = mirrored(v)
        for _ in range(2):
            i = int(np.argmin(v))
            low, high = x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)]
            for _ in range(12):
                fine = np.linspace(low, high, 33)
                with np.errstate(all="ignore"):
                    j = int(np.argmin(np.nan_to_num(np.asarray(self._function(fine), dtype=np.float64), nan=np.inf)))
                low, high = fine[max(j - 1, 0)], fine[min(j + 1, 32)]
            centre = float(fine[j])
            x, v = self._from(centre, offsets)
        lowest = float(v[len(offsets)])
        sides = (
            side_limit(v[: len(offsets)][::-1], lowest, "left"),
            side_limit(v[len(offsets) + 1 :], lowest, "right"),
        )
        survey = Survey(x, v, sides, False, even)
        if survey.threshold - survey.lowest <= 1e-12 * (1e-280 + abs(survey.lowest)):
            raise InputError(
                f"potential has no bound state: far away it is {survey.threshold:g}, not above its lowest value "
                f"{survey.lowest:g}; it must have a well or grow, or give domain where its well is"
            )
        return survey

    def _from(self, centre: float, offsets: Floats) -> tuple[Floats, Floats]:
        """V on both sides of a centre; beyond an overflow it is infinite."""
        x = np.concatenate([centre - offsets[::-1], [centre], centre + offsets])
        with np.errstate(all="ignore"):
            v = np.asarray(self._function(x), dtype=np.float64).copy()
        n = len(offsets)
        for side in (v[n::-1], v[n:]):
            if np.isnan(side).any():
                bad = int(np.argmax(np.isnan(side)))
                # inf - inf, far up a wall.
                if bad > 0 and side[bad - 1] > 1e100:
                    side[bad:] = np.inf
        if (v[np.abs(x - centre) < 2.0**20] == -np.inf).any():
            raise InputError(
                f"potential must be bounded below; potential({x[int(np.argmin(v))]:g}) is -inf; cut the singularity off"
            )
        if np.isnan(v).any():
            at = x[int(np.argmax(np.isnan(v)))]
            raise InputError(
                f"potential must be a number everywhere; potential({at:g}) is nan; correct it, or give domain "
                "between whose ends it is defined"
            )
        return x, v

    def _probe(self, x: Floats) -> None:
        """A function is called with arrays and gives for each point what it would give alone."""
        if not self._is_function:
            return
        v = evaluate("potential", self._function, x, infinite=True)
        alone = evaluate("potential", self._function, x[1:].copy(), infinite=True)
        finite = np.isfinite(alone)
        if not np.allclose(v[1:][finite], alone[finite], rtol=1e-9, atol=0):
            raise InputError(
                "potential must be a function of each point alone; got values that depend on the other points"
            )

    @property
    def _unit(self) -> float:
        return float(np.sqrt(2 * self.mass) / self.hbar)

    @property
    def threshold(self) -> float:
        """Energy at which the continuum begins; inf if V grows on both sides. For a table V at its lower end."""
        return self._survey.threshold

    @property
    def n_bound(self) -> int | None:
        """Number of levels below ``threshold``; None if there are infinitely many."""
        return self._bound()

    def _grid(self, interval: tuple[float, float], spacing: float, offset: float = 0.0) -> Basis:
        a, b = interval
        size = 2 * max(int(np.ceil((b - a) / spacing / 2)), 4)
        if self._survey.limited:
            # The last points stand half a spacing from the ends, where V is known.
            spacing = min(spacing, (b - a) / (size + 2 * abs(offset)))
        points = (a + b) / 2 + spacing * (np.arange(size) - (size - 1) / 2 + offset)
        v = self.potential(points)
        even = self._survey.even and offset == 0
        if even:
            v[: size // 2] = v[: size // 2 - 1 : -1]
        wall = np.isinf(v)
        if wall.any():
            # A wall higher than anything a wave of the basis has.
            v[wall] = max(v[~wall].max(initial=0.0), 1e4 * self.hbar**2 / (self.mass * spacing**2))
        return Basis(np.asarray(points), spacing, v, self.hbar, self.mass, even)

    def _converge(self, count: int) -> Basis:
        """A basis whose lowest levels have ceased to change when the interval grows and the spacing shrinks."""
        survey, unit = self._survey, self._unit
        lowest, bound = survey.lowest, np.isfinite(survey.threshold)
        energy = survey.energy(count, unit)
        if bound:
            # At the threshold itself a wave never ends.
            energy = min(energy, survey.threshold - 0.02 * (survey.threshold - lowest))
        room = survey.threshold - energy
        ratio, action = 2.0, 11.0 if bound and not survey.limited else 30.0
        previous: Floats | None = None
        best: tuple[float, Basis] | None = None
        history: list[float] = []
        for _ in range(24):
            spacing = short(np.pi / (ratio * unit * np.sqrt(energy - lowest)))
            basis = self._grid(survey.interval(energy, action, unit), spacing)
            size = len(basis.points)
            if size > _MAX_POINTS:
                break
            if size >= count + 2:
                levels = basis.lowest(count)
                if previous is not None:
                    height = np.maximum(levels - lowest, 1e-300)
                    # Where convergence is of first order only, four times the last change are still to come.
                    errors = 4 * np.abs(levels - previous) + basis.rounding
                    if survey.limited:
                        # What a wave still has at the ends, where it is cut off.
                        edge = np.maximum(basis.vectors[0, :count] ** 2, basis.vectors[-1, :count] ** 2)
                        errors = errors + 6 * basis.kinetic[0, 0] * edge
                    reached = float((errors / height).max())
                    if best is None or reached < best[0]:
                        best = (reached, replace(basis, errors=errors))
                    if np.all(np.abs(levels - previous) <= 3 * basis.rounding + 1e-14 * height):
                        break
                    if reached <= self.tolerance > _FINE:
                        break
                    history.append(reached)
                    # A cut at the ends of a table does not heal, however fine the grid.
                    if len(history) > 4 and survey.limited and reached > 0.5 * history[-4]:
                        break
                previous = levels
                energy = max(float(levels[-1]), lowest * (1 + EPS))
                if bound:
                    # The box of a level that seems unbound still grows step by step.
                    if energy > survey.threshold - room / 4:
                        room /= 4
                        energy = survey.threshold - room
                        continue
                    room = survey.threshold - energy
                action = min(action + 1.5, 44.0 if not bound or survey.limited else 20.0)
            ratio *= 1.25
        if best is None and not history and size > _MAX_POINTS:
            raise InputError(
                f"{count} levels need a grid of {size} points, more than {_MAX_POINTS}; ask for fewer levels, or give "
                "domain where the potential extends over very different scales"
            )
        if best is None or best[0] > self.tolerance:
            got = "no result" if best is None else f"{best[0]:.1e}"
            hint = ""
            if survey.limited:
                hint = (
                    f"; waves must vanish at the ends of [{survey.x[0]:g}, {survey.x[-1]:g}]: a wider "
                    f"{'table' if self._table is not None else 'domain'} may help"
                )
            raise InputError(
                f"tolerance={self.tolerance:g} is not reached for {count} levels: {got} with at most {_MAX_POINTS} "
                f"points; kinks, steps, coarse tables and hardly bound levels need a larger tolerance{hint}"
            )
        return best[1]

    def _bound(self) -> int | None:
        """Number of levels below the threshold; None for infinitely many."""
        survey, unit = self._survey, self._unit
        if not np.isfinite(survey.threshold):
            return None
        if "bound" not in self._bases:
            depth = survey.threshold - survey.lowest
            if depth <= 0:
                self._bases["bound"] = 0
                return 0
            interval, spacing = survey.interval(survey.threshold - 1e-5 * depth, 15.0, unit), 0.0
            a, b = survey.interval(survey.threshold - 0.1 * depth, 15.0, unit)
            for ratio in (2.5, 4.0):
                spacing = np.pi / (ratio * unit * np.sqrt(depth))
                # A box as wide as the points allow; too narrow a one hides the weakly bound only.
                room = max(1200 * spacing - (b - a), 0.0) / 2
                box = (max(interval[0], a - room), min(interval[1], b + room))
                basis = self._grid(box, spacing)
                if len(basis.points) > _MAX_POINTS:
                    break
                found = int(np.sum(basis.lowest(len(basis.points)) < survey.threshold - 1e-9 * depth))
                if self._bases.get("bound") == found:
                    break
                self._bases["bound"] = found
            self._bases.setdefault("bound", int(survey.phase(survey.threshold, unit) + 0.5))
        bound: int = self._bases["bound"]
        return bound

    def _basis(self, count: int) -> Basis:
        """A basis with at least so many levels."""
        bound = self._bound()
        if bound is not None and count > bound:
            where = "the lower end of the table or domain" if self._survey.limited else "the continuum threshold"
            if bound == 0:
                raise InputError(
                    f"potential has no bound state: none is found below {where}, {self.threshold:g}; make it deeper"
                )
            raise InputError(
                f"level n={count - 1} lies at or above {where}, {self.threshold:g}; {bound} levels are bound, "
                f"n=0 to {bound - 1}"
            )
        for key in sorted(k for k in self._bases if isinstance(k, int)):
            if key >= count:
                found: Basis = self._bases[key]
                return found
        wanted = _LEVELS
        while wanted < count:
            wanted *= 2
        for n in (wanted if bound is None else min(wanted, bound), count):
            try:
                self._bases[n] = basis = self._converge(n)
            except InputError:
                if n == count:
                    raise
            else:
                return basis
        raise AssertionError("unreachable")

    def _distinct(self, basis: Basis, n: int) -> None:
        """An eigenvector is known if its level stands clear of its neighbours or they have the other parity."""
        if basis.even:
            return
        e = basis.energies
        for m in (n - 1, n + 1):
            if 0 <= m < len(e) and abs(e[m] - e[n]) < 1e3 * basis.rounding:
                raise InputError(
                    f"levels {min(m, n)} and {max(m, n)} differ by {abs(e[m] - e[n]):.1e}, less than double precision "
                    "tells apart: the wells are disconnected and the states of either level are not known; lower or "
                    "narrow the barrier"
                )

    # ---- the differential equation

    def energies(self, n: int) -> Floats:
        """Levels E_0 to E_{n-1}, absolute, energy units, shape (n,).

        Raises
        ------
        ValueError
            If fewer levels are bound (the threshold and their number are given), or the tolerance is not reached.

        Examples
        --------
        >>> print(Hamiltonian([0, 0, 0.5]).energies(3).round(12))
        [0.5 1.5 2.5]
        """
        integer("n", n, 1)
        return self._basis(n).energies[:n].copy()

    def level_errors(self, n: int) -> Floats:
        """Errors reached for the levels of ``energies(n)``: four times the last change, and rounding, shape (n,)."""
        integer("n", n, 1)
        return self._basis(n).errors[:n].copy()

    def gaps(self, n: int) -> Floats:
        """E_1 - E_0 to E_n - E_0, energy units, shape (n,)."""
        integer("n", n, 1)
        e = self.energies(n + 1)
        return np.asarray(e[1:] - e[0])

    @property
    def grid(self) -> Floats:
        """Positions of the basis that carries the lowest levels, shape (N,)."""
        return self._basis(1).points.copy()

    def wave_function(self, n: int, x: ArrayLike) -> Floats:
        """psi_n(x), normalised, unit 1/sqrt(length); its outermost lobe to the right is positive.

        Parameters
        ----------
        n : int
            From 0.
        x : array_like
            Positions of any shape.
        """
        return np.asarray(self.eigenstate(n)(x))

    def density(self, n: int, x: ArrayLike) -> Floats:
        """|psi_n(x)|^2, unit 1/length; for n = 0 the density of ground-state paths."""
        return np.asarray(self.wave_function(n, x) ** 2)

    # ---- linear algebra

    def eigenstate(self, n: int) -> State:
        """The normalised eigenstate |n>, n from 0; its outermost lobe to the right is positive.

        Raises
        ------
        ValueError
            If the level is not bound or not told apart from its neighbours.
        """
        integer("n", n, 0)
        basis = self._basis(n + 1)
        self._distinct(basis, n)
        return State(self, basis.vectors[:, n].copy(), basis)

    def state(self, values: Function | ArrayLike) -> State:
        """A state from its wave function, not normalised.

        Parameters
        ----------
        values : callable or array_like
            psi(x), real or complex, for an array x; or its values on ``grid``, shape (N,).

        Raises
        ------
        ValueError
            If the bases up to 128 levels do not hold the function to 1e-8 of its norm: it is too sharp or too wide.
        """
        if not callable(values):
            basis = self._basis(1)
            given = np.asarray(values)
            if given.shape != basis.points.shape or given.dtype.kind not in "fciu" or not np.isfinite(given).all():
                raise InputError(
                    f"values must be {len(basis.points)} finite numbers, one for each point of grid; "
                    f"got shape {given.shape} of {given.dtype}"
                )
            return State(self, given * np.sqrt(basis.spacing), basis)
        count, missing, bound = 1, np.inf, self._bound()
        while count <= 128 and (bound is None or count <= bound):
            basis = self._basis(count)
            x = basis.points
            psi = evaluate("values", values, x, kinds="fciub")
            coefficients = psi * np.sqrt(basis.spacing)
            # Between the points, and as far again beyond the ends.
            finer = np.concatenate([x + basis.spacing / 2, x[0] - (x[-1] - x)[:-1], x[-1] + (x - x[0])[1:]])
            exact = evaluate("values", values, finer, kinds="fciub")
            rest = basis.interpolate(coefficients, finer) - exact
            norm = np.sqrt(basis.spacing * np.sum(np.abs(exact) ** 2))
            if norm == 0 and not coefficients.any():
                raise InputError("values must not vanish on the whole grid; got zero everywhere")
            missing = float(np.sqrt(basis.spacing * np.sum(np.abs(rest) ** 2)) / max(norm, 1e-300))
            if missing < 1e-8:
                return State(self, coefficients, basis)
            count = 2 * max(len(basis.errors), count)
        raise InputError(
            f"values must be a wave function that the basis holds; {missing:.1e} of its norm is missing on "
            f"[{x[0]:g}, {x[-1]:g}] with spacing {basis.spacing:.2g}; make it smoother or narrower"
        )

    def matrix(self, operator: Operator, n: int) -> NDArray[Any]:
        """Matrix elements <j|A|k> between the lowest n eigenstates, shape (n, n); complex for "p".

        Parameters
        ----------
        operator : {"x", "p", "p^2", "H"} or callable
            A callable is a function f(x) of position.
        n : int
        """
        integer("n", n, 1)
        basis = self._basis(n)
        vectors = basis.vectors[:, :n]
        return np.asarray(vectors.T @ act(operator, basis, vectors))

    def commutator(self, n: int) -> Floats:
        r"""<j|[x, p]|k>/(i hbar) between the lowest n eigenstates, shape (n, n).

        The unit matrix up to truncation: no finite matrices satisfy [x, p] = i hbar (their commutator has trace
        zero); on the grid it fails in states of high momentum only.
        """
        integer("n", n, 1)
        basis = self._basis(n)
        vectors, x = basis.vectors[:, :n], basis.points[:, None]
        return np.asarray(vectors.T @ (basis.derivative @ (x * vectors) - x * (basis.derivative @ vectors)))

    # ---- Euclidean functions

    def spectral_weights(self, n: int, observable: Function | None = None) -> Floats:
        """Kallen-Lehmann weights |<0|f|k>|^2 of the levels k = 0 to n - 1, shape (n,); k = 0 is the mean squared.

        Parameters
        ----------
        n : int
        observable : callable, optional
            f(x); x by default.
        """
        integer("n", n, 1)
        basis = self._basis(n)
        self._distinct(basis, 0)
        f = values_of(observable, basis.points)
        return np.asarray((basis.vectors[:, :n].T @ (f * basis.vectors[:, 0])) ** 2)

    def n_point(self, points: Iterable[tuple[float, Function | None]], *, beta: float | None = None) -> float:
        r"""Euclidean function of any number of observables at any times.

        .. math:: \langle 0|f_1\, e^{-(H-E_0)(t_2-t_1)/\hbar} f_2 \cdots f_k|0\rangle \quad\text{or}\quad
                  \frac1Z \operatorname{Tr} e^{-H(\beta-t_k+t_1)/\hbar} f_1\, e^{-H(t_2-t_1)/\hbar} f_2 \cdots f_k

        Parameters
        ----------
        points : iterable of (time, function)
            In any order; a function f(x) of position, None for x.
        beta : float, optional
            Euclidean period hbar/kT; the ground state without it.

        Raises
        ------
        ValueError
            If times span more than beta, or with beta and a continuum (the trace diverges).

        Examples
        --------
        >>> oscillator = Hamiltonian([0, 0, 0.5])
        >>> round(oscillator.n_point([(0, None), (0, None), (1, None), (1, None)]), 10)
        0.3176676416
        """
        listed = [(float(floats(f"points[{i}] time", t, 0)), f) for i, (t, f) in enumerate(points)]
        if not listed:
            raise InputError("points must have at least one (time, function); got none")
        listed.sort(key=lambda p: p[0])
        basis = self._basis(1) if beta is None else self._thermal_basis(beta)
        u, decay = basis.vectors, (basis.energies - basis.energies[0]) / self.hbar
        if beta is None:
            self._distinct(basis, 0)
            state = u[:, 0] * values_of(listed[-1][1], basis.points)
            for (t, f), (later, _) in zip(listed[-2::-1], listed[:0:-1], strict=True):
                state = u @ (np.exp(-decay * (later - t)) * (u.T @ state)) * values_of(f, basis.points)
            return float(u[:, 0] @ state)
        span = listed[-1][0] - listed[0][0]
        if span > beta * (1 + 1e-12):
            raise InputError(f"points must span at most beta={beta:g}; got {span:g}; wrap their times")
        product = np.diag(np.exp(-decay * max(beta - span, 0.0)))
        previous = listed[0][0]
        for t, f in listed:
            product = product * np.exp(-decay * (t - previous)) @ (u.T * values_of(f, basis.points) @ u)
            previous = t
        return float(np.trace(product) / np.sum(np.exp(-decay * beta)))

    def two_point(self, times: ArrayLike, observable: Function | None = None, *, beta: float | None = None) -> Floats:
        r"""<f(x(0)) f(x(t))> in the ground state, or with beta in thermal equilibrium.

        .. math:: G(t) = \sum_n |\langle 0|f|n\rangle|^2 e^{-(E_n-E_0)|t|/\hbar}, \qquad
                  G_\beta(t) = \frac1Z \sum_{mn} |\langle m|f|n\rangle|^2 e^{-E_m(\beta-|t|)/\hbar - E_n |t|/\hbar}

        Parameters
        ----------
        times : array_like
            Lags of any shape, |t| <= beta.
        observable : callable, optional
            f(x); x by default.
        beta : float, optional
            Euclidean period hbar/kT.

        Returns
        -------
        ndarray
            Shape of ``times``, unit of f squared. The error is that of the levels, and of the rectangle rule on the
            grid if f has kinks.
        """
        return self._correlation(times, observable, beta)[0]

    def connected(self, times: ArrayLike, observable: Function | None = None, *, beta: float | None = None) -> Floats:
        """``two_point`` less the square of the mean of f."""
        total, mean = self._correlation(times, observable, beta)
        return np.asarray(total - mean**2)

    def _correlation(self, times: ArrayLike, observable: Function | None, beta: float | None) -> tuple[Floats, float]:
        t = np.abs(floats("times", times))
        basis = self._basis(1) if beta is None else self._thermal_basis(beta)
        u, decay = basis.vectors, (basis.energies - basis.energies[0]) / self.hbar
        f = values_of(observable, basis.points)
        if beta is None:
            self._distinct(basis, 0)
            elements = u.T @ (f * u[:, 0])
            return np.asarray(np.exp(-np.multiply.outer(t, decay)) @ elements**2), float(elements[0])
        if t.size and t.max() > beta * (1 + 1e-12):
            raise InputError(f"times must be at most beta={beta:g}; got {t.max():g}; wrap them")
        squares = u.T @ (f[:, None] * u)
        law = np.exp(-decay * beta)
        mean = float(np.diag(squares) @ law / law.sum())
        ahead = np.exp(-np.multiply.outer(t, decay))
        behind = np.exp(-np.multiply.outer(np.maximum(beta - t, 0), decay))
        return np.asarray(np.sum(ahead * (behind @ squares**2), axis=-1) / law.sum()), mean

    def partition_function(self, beta: float) -> float:
        """Z = sum_n exp(-E_n beta/hbar), beta a Euclidean time.

        Raises
        ------
        ValueError
            With a continuum, where Z diverges, or if too many levels count.
        """
        basis = self._thermal_basis(beta)
        return float(np.sum(np.exp(-basis.energies * (beta / self.hbar))))

    def _thermal_basis(self, beta: float) -> Basis:
        positive("beta", beta)
        if np.isfinite(self.threshold) and not self._survey.limited:
            raise InputError(
                f"thermal functions need a potential that grows on both sides; here the continuum begins at "
                f"{self.threshold:g} and Z diverges; use ground-state functions, or domain for a box"
            )
        top = self.energies(1)[0] + _NOTHING * self.hbar / beta
        if top > self.threshold:
            raise InputError(
                f"beta={beta:g} excites levels up to {top:g}, but the table or domain ends at V={self.threshold:g}; "
                "widen it, or use a larger beta"
            )
        count = int(self._survey.phase(top, self._unit)) + 2
        if count > _MAX_POINTS // 4:
            raise InputError(f"beta={beta:g} excites {count} levels, too many to solve for; use a larger beta")
        return self._basis(count)

    # ---- for the exact column and the sampler

    def eigenbasis(self, finer: float = 1.0, *, beta: float | None = None) -> tuple[Floats, Floats, Floats]:
        """All states of a grid: what sums over states are made of.

        Parameters
        ----------
        finer : float, default 1
            By what the spacing of the basis that carries the lowest levels is divided; the change tells the error.
        beta : float, optional
            Euclidean period hbar/kT whose thermal traces the basis shall carry; the ground state's without it.

        Returns
        -------
        points, vectors, gaps : ndarray
            Positions x_i, shape (N,); sqrt(spacing) psi_n(x_i), shape (N, N), a column per state; E_n - E_0, energy
            units, shape (N,).

        Raises
        ------
        ValueError
            If the ground state is not told apart from the next, or with beta and a continuum.
        """
        basis = self._basis(1) if beta is None else self._thermal_basis(beta)
        self._distinct(basis, 0)
        if positive("finer", finer) != 1:
            key = ("finer", len(basis.points), float(finer))
            if key not in self._bases:
                a, b = basis.points[0] - basis.spacing / 2, basis.points[-1] + basis.spacing / 2
                self._bases[key] = self._grid((float(a), float(b)), basis.spacing / finer)
            basis = self._bases[key]
        return basis.points.copy(), basis.vectors.copy(), np.maximum(basis.energies - basis.energies[0], 0.0)

    def spectral_measure(self, observable: Function | None = None, *, tolerance: float = 1e-6) -> SpectralMeasure:
        r"""The two-point function of f(x) in the ground state as a sum over states.

        Parameters
        ----------
        observable : callable, optional
            f(x); x by default.
        tolerance : float, default 1e-6
            Largest relative error accepted.

        Returns
        -------
        SpectralMeasure
            Its commutator is (2m/hbar^2) sum eps c^2 (1 for f = x: the Thomas-Reiche-Kuhn sum rule), its
            ``momentum_squared`` (m/hbar)^2 sum eps^2 c^2. Above the continuum threshold the states are those of the
            box. ``error`` is the largest relative change of mean, moments, sums and G at twelve lags when the grid is
            made 1.3 times finer.

        Raises
        ------
        ValueError
            If the error exceeds the tolerance; kinked observables have a slowly or not at all converging <p^2>.
        """
        positive("tolerance", tolerance)
        basis = self._basis(1)
        self._distinct(basis, 0)
        interval = (float(basis.points[0] - basis.spacing / 2), float(basis.points[-1] + basis.spacing / 2))
        finer = self._grid(interval, basis.spacing / 1.3)
        coarse, fine = (self._measure(b, observable) for b in (basis, finer))
        scale = fine.moments[0]
        if scale <= 1e-24 * fine.mean**2:
            raise InputError("observable must vary in the ground state; got a constant")
        lags = self.hbar / fine.energies[0] * np.geomspace(0.01, 5, 12)
        error = max(
            abs(fine.mean - coarse.mean) / np.sqrt(scale),
            abs(fine.moments[0] / coarse.moments[0] - 1),
            abs(fine.moments[1] - coarse.moments[1]) / scale**1.5,
            abs(fine.moments[2] / coarse.moments[2] - 1),
            abs(fine.commutator / coarse.commutator - 1),
            abs(fine.momentum_squared / coarse.momentum_squared - 1),
            float(np.abs(fine.connected(lags) / coarse.connected(lags) - 1).max()),
        )
        if error > tolerance:
            raise InputError(
                f"the measure of observable reaches a relative error of {error:.1e} only, tolerance={tolerance:g}; "
                "kinks and steps do that: use a smooth observable or a larger tolerance"
            )
        return replace(fine, error=float(error))

    def _measure(self, basis: Basis, observable: Function | None) -> SpectralMeasure:
        law = basis.vectors[:, 0] ** 2
        f = values_of(observable, basis.points)
        mean = float(law @ f)
        f = f - mean
        powers = f[:, None] ** np.array([1, 2, 3])
        return SpectralMeasure.of_states(
            np.maximum(basis.energies[1:] - basis.energies[0], 0.0),
            basis.vectors[:, 1:].T @ (powers * basis.vectors[:, :1]),
            mean,
            np.array([law @ f**power for power in (2, 3, 4)]),
            hbar=self.hbar,
            mass=self.mass,
        )

    def transition_matrix(self, dt: float, *, offset: float = 0.0) -> GroundStateChain:
        """The ground-state process in steps of dt as a reversible chain on a grid.

        Parameters
        ----------
        dt : float
            Euclidean time of a step.
        offset : float, default 0
            Shift of the grid in spacings, between -0.5 and 0.5; averaging over random ones removes what kinked
            observables see of the grid.

        Returns
        -------
        GroundStateChain
            Every state between the first and the last with psi_0^2 above 1e-20 of its maximum: no path comes further,
            but the gaps of excited levels, which reach further out, need the states.

        Raises
        ------
        ValueError
            If wells are disconnected at double precision, or dt is too fine (more than 4000 states) or too coarse
            (nothing of the first gap is left after a step).

        Examples
        --------
        >>> chain = Hamiltonian([0, 0, 0.5]).transition_matrix(0.2)
        >>> chain.gap_error < 1e-9
        True
        """
        positive("dt", dt)
        if not abs(float(floats("offset", offset, 0))) <= 0.5:
            raise InputError(f"offset must be between -0.5 and 0.5 spacings; got {offset}")
        bound = self._bound()
        count = 6 if bound is None else max(1, min(6, bound))
        # Hardly bound levels may need more points than there can be; the gaps below them still serve as a check.
        while True:
            try:
                reference = self._basis(count)
                break
            except InputError:
                if count == 1:
                    raise
                count -= 1
        gaps = reference.energies[1:count] - reference.energies[0]
        threshold = self.threshold - reference.energies[0]
        first = float(gaps[0]) if count > 1 else threshold
        if first * dt / self.hbar > 25:
            raise InputError(
                f"dt={dt:g} is too coarse: after a step exp(-gap dt/hbar) = {np.exp(-first * dt / self.hbar):.0e} is "
                f"left of the first excitation; use dt below {25 * self.hbar / first:.2g}"
            )
        spacing = min(reference.spacing, 0.3 * np.sqrt(self.hbar * dt / self.mass))
        law = reference.vectors[:, 0] ** 2
        visible = np.flatnonzero(law > 1e-24 * law.max())
        # A wider interval than is kept, because psi_0 is forced to zero at its ends.
        extra = 2 * reference.spacing
        interval = (
            max(reference.points[visible[0]] - extra, reference.points[0]),
            min(reference.points[visible[-1]] + extra, reference.points[-1]),
        )
        if self._survey.even:
            interval = (-interval[1], interval[1])
        size = (interval[1] - interval[0]) / spacing
        if size > _MAX_STATES:
            least = dt * (size / _MAX_STATES) ** 2
            raise InputError(
                f"dt={dt:g} is too fine: it needs {size:.0f} states, more than {_MAX_STATES}; use dt of at least "
                f"{least:.2g}"
            )
        basis = self._grid(interval, spacing, offset)
        self._connected(basis, reference)
        energies, vectors = basis.energies, basis.vectors
        psi = vectors[:, 0]
        kept = np.flatnonzero(psi**2 > _TAIL * np.max(psi**2))
        inside = slice(int(kept[0]), int(kept[-1]) + 1)
        kernel = (vectors[inside] * np.exp(-(energies - energies[0]) * (dt / self.hbar))) @ vectors[inside].T
        # Feynman and Kac: K is not negative and below the kernel of a free particle in the lowest potential. The rest
        # is rounding, and what the ends of the grid leave in the tails of the sinc functions.
        spread = self.hbar * dt / self.mass
        x = basis.points[inside]
        free = np.exp(
            -((x[:, None] - x) ** 2) / (2 * spread) - (self._survey.lowest - energies[0]) * (dt / self.hbar)
        ) * (basis.spacing / np.sqrt(2 * np.pi * spread))
        kernel = np.clip((kernel + kernel.T) / 2, 0, 1.0001 * free)
        psi = psi[inside]
        image = kernel @ psi
        transitions = kernel * psi / image[:, None]
        stationary = psi * image / (psi @ image)
        root = np.sqrt(psi / image)
        eigenvalues = np.linalg.eigvalsh(root[:, None] * kernel * root)[::-1][1:count]
        beyond = (reference.points < basis.points[inside][0]) | (reference.points > basis.points[inside][-1])
        seen = np.exp(-gaps * (dt / self.hbar)) > 1e-4
        seen &= np.sum(reference.vectors[beyond, 1:count] ** 2, axis=0) < 1e-9
        deviation = np.abs(-self.hbar * np.log(np.maximum(eigenvalues, 1e-300)) / dt - gaps)[seen]
        return GroundStateChain(
            basis.points[inside].copy(),
            stationary,
            transitions,
            float(dt),
            float(basis.spacing),
            float(deviation.max(initial=0.0)),
            float(threshold),
        )

    def _connected(self, basis: Basis, reference: Basis) -> None:
        """Refuse wells between which the ground state vanishes at double precision."""
        for one in (reference, basis):
            law = one.vectors[:, 0] ** 2
            kept = np.flatnonzero(law > _BARRIER * law.max())
            hole = law[kept[0] : kept[-1] + 1]
            if hole.min() <= _BARRIER * law.max():
                at = one.points[kept[0] + int(np.argmin(hole))]
                raise InputError(
                    f"the wells are disconnected at double precision: psi_0^2 at x={at:.3g} is "
                    f"{hole.min() / law.max():.0e} of its maximum, and no path crosses; lower or narrow the barrier"
                )
        self._distinct(reference, 0)
        self._distinct(basis, 0)
