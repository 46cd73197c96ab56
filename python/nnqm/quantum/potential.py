"""The potential of a Hamiltonian as it was given: a function, a polynomial or a table."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats
from ..errors import InputError, InputTypeError
from .functions import Function, evaluate
from .pieces import Pieces
from .survey import Survey, survey_between, survey_of_half_line, survey_of_line

__all__ = ["Potential"]

# Number of points of a table that replaces a function: the first trial, and the largest.
_FEWEST_SAMPLES, _MOST_SAMPLES = 257, 4097

# Accuracy of the spline through that table, relative to V and to the levels; smooth functions reach it or rounding.
_ACCURACY_OF_SAMPLES = 1e-12

# Smallest number of points of a table given by a user.
_FEWEST_POINTS_OF_TABLE = 8


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Potential:
    """V(x), the data that it was made from, and its survey.

    Attributes
    ----------
    function : callable
        V(x) for an array x.
    survey : Survey
        Values of V from the bottom outwards.
    domain : (float, float) or None
        Interval on which a function or polynomial is used; None for the whole line and for tables.
    coefficients : ndarray or None
        Coefficients of a polynomial, the constant first.
    table : ndarray or None
        x and V of a table, shape (2, k).
    sampled : bool
        Whether the table was made from a function.
    pieces : Pieces or None
        Polynomials on panels, made from a function with breaks or narrow features.
    """

    function: Function
    survey: Survey
    domain: tuple[float, float] | None = None
    coefficients: Floats | None = None
    table: Floats | None = None
    sampled: bool = False
    pieces: Pieces | None = None

    @classmethod
    def read(cls, given: Function | ArrayLike, domain: tuple[float, float] | None = None) -> Potential:
        """A potential from a function, coefficients or a table.

        Parameters
        ----------
        given, domain
            See ``potential`` and ``domain`` of ``Hamiltonian``.

        Raises
        ------
        InputError
            If the potential is not bounded below, has no bound state, or gives NaN.
        InputTypeError
            If it is neither a vectorised function nor numbers.
        """
        ends = None if domain is None else _ends(domain)
        if callable(given):
            _probe(given, ends)
            return cls(function=given, survey=_survey(given, ends), domain=ends)
        try:
            numbers = floats("potential", given)
        except TypeError:
            raise InputTypeError(
                "potential must be a function of an array, coefficients of a polynomial, or a table (x, V) of two "
                f"equally long sequences; got {given!r}"
            ) from None
        if numbers.ndim == 1:
            coefficients = _polynomial(numbers, ends)
            function = partial(np.polynomial.polynomial.polyval, c=coefficients)
            return cls(function=function, survey=_survey(function, ends), domain=ends, coefficients=coefficients)
        if numbers.ndim != 2 or numbers.shape[0] != 2:
            raise InputError(
                f"potential must be coefficients (one axis) or a table of shape (2, k); got shape {numbers.shape}"
            )
        _check_table(numbers[0])
        if ends is not None:
            raise InputError("domain must be None for a table, whose ends are its domain; cut the table instead")
        spline = _spline(*numbers)
        survey = survey_between(spline, numbers[0][0], numbers[0][-1], walls=(False, False))
        return cls(function=spline, survey=survey, table=numbers)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Potential:
        """The potential described by ``to_dict``, with its domain."""
        kind = choice("potential kind", data["kind"], ["polynomial", "table", "pieces"])
        if kind == "polynomial":
            return cls.read(data["coefficients"], data["domain"])
        if kind == "pieces":
            ends = None if data["domain"] is None else _ends(data["domain"])
            below, above = data["walls"]
            return cls.of_pieces(
                Pieces.from_dict(data), ends, even=bool(data["even"]), walls=(bool(below), bool(above))
            )
        return replace(cls.read((data["x"], data["values"]), data["domain"]), sampled=bool(data["sampled"]))

    @classmethod
    def of_pieces(
        cls, pieces: Pieces, domain: tuple[float, float] | None, *, even: bool, walls: tuple[bool, bool]
    ) -> Potential:
        """A potential known between the ends of pieces; each end may be a wall, at which waves vanish."""
        function = partial(_of_distance, pieces) if even else pieces
        a, b = float(pieces.edges[0]), float(pieces.edges[-1])
        survey = replace(survey_between(function, a, b, walls=walls), even=False)
        # Without the nodes, narrow wells might be missed.
        survey = survey.with_points(pieces.nodes.ravel(), pieces.values.ravel())
        return cls(function=function, survey=replace(survey, even=even), domain=domain, pieces=pieces)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``from_dict``, without the domain, of a polynomial, a table or pieces."""
        if self.coefficients is not None:
            return {"kind": "polynomial", "coefficients": self.coefficients.tolist()}
        if self.pieces is not None:
            survey = self.survey
            return {"kind": "pieces", "even": survey.even, "walls": list(survey.walls)} | self.pieces.to_dict()
        assert self.table is not None
        x, values = self.table.tolist()
        return {"kind": "table", "x": x, "values": values, "sampled": self.sampled}

    def __getstate__(self) -> dict[str, Any]:
        if self.is_function:
            try:
                pickle.dumps(self.function)
            except (pickle.PicklingError, AttributeError, TypeError):
                raise InputTypeError(
                    "potential must be a named function of a module, coefficients or a table to be pickled; got "
                    f"{self.function!r}; or pickle the copy Hamiltonian.from_dict(h.to_dict())"
                ) from None
        return self.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> Potential:
        return self

    @property
    def is_function(self) -> bool:
        """Whether V is neither a polynomial nor a table nor pieces."""
        return self.coefficients is None and self.table is None and self.pieces is None

    @property
    def ends(self) -> tuple[float, float]:
        """Interval on which V is known."""
        if self.table is not None:
            return float(self.table[0][0]), float(self.table[0][-1])
        if self.pieces is not None:
            return float(self.pieces.edges[0]), float(self.pieces.edges[-1])
        return (-np.inf, np.inf) if self.domain is None else self.domain

    @property
    def place(self) -> str:
        """Name of the argument that limits V."""
        return "domain" if self.table is None and self.pieces is None else "table"

    def __call__(self, x: ArrayLike) -> Floats:
        """V at points of any shape.

        Raises
        ------
        InputError
            Outside the table or domain, or if the function gives NaN.
        """
        points = floats("x", x)
        low, high = self.ends
        if points.size and (points.min() < low or points.max() > high):
            raise InputError(
                f"x must lie in the {self.place} [{low:g}, {high:g}]; got {points.min():g} to {points.max():g}; "
                "extend it"
            )
        return evaluate("potential", self.function, points, infinite=True)

    def interpolation_error(self, x: Floats) -> Floats:
        """Difference from the spline through every second point of a table, at points (k,); 0 for short tables."""
        if self.table is None or self.table.shape[1] < 2 * _FEWEST_POINTS_OF_TABLE:
            return np.zeros(len(x))
        half = self.table[:, ::2]
        if self.table.shape[1] % 2 == 0:
            half = np.concatenate([half, self.table[:, -1:]], axis=1)
        return np.asarray(np.abs(_spline(*half)(x) - self.function(x)))

    def __repr__(self) -> str:
        if self.coefficients is not None:
            held = self.coefficients.tolist()
            return f"polynomial {held}" if len(held) <= 12 else f"polynomial of degree {len(held) - 1}"
        if self.table is not None:
            x = self.table[0]
            origin = ", sampled from a function" if self.sampled else ""
            return f"table of {len(x)} points on [{x[0]:g}, {x[-1]:g}]{origin}"
        if self.pieces is not None:
            low, high = self.ends
            return f"table of {len(self.pieces.values)} panels on [{low:g}, {high:g}], sampled from a function"
        return f"function {getattr(self.function, '__name__', self.function)!r}"

    def samples(self, a: float, b: float, scale: float, nodes: Floats) -> Floats | None:
        """A table between a and b, refined until its spline is accurate or it has the largest number of points.

        Parameters
        ----------
        a, b : float
            Ends of the table, in the domain.
        scale : float
            Energy that is added to abs(V) in the relative error of the spline.
        nodes : ndarray
            Points that show all of V, shape (k,).

        Returns
        -------
        ndarray or None
            x and V, shape (2, k); None if its spline differs from V at the nodes or V is infinite.
        """
        known = self(nodes)
        size = _FEWEST_SAMPLES
        while True:
            x = np.linspace(a, b, size)
            v = self(x)
            if not np.isfinite(v).all():
                return None
            middle = (x[1:] + x[:-1]) / 2
            exact = self(middle)
            spline = _spline(x, v)
            error = np.abs(spline(middle) - exact) / (np.abs(exact) + scale)
            if size >= _MOST_SAMPLES or error.max() < _ACCURACY_OF_SAMPLES:
                missed = np.abs(spline(nodes) - known) / (np.abs(known) + scale)
                return np.stack([x, v]) if missed.max() <= _ACCURACY_OF_SAMPLES else None
            size = 2 * size - 1


def _of_distance(pieces: Pieces, x: Floats) -> Floats:
    """Pieces of an even function, with the same bits on both sides."""
    return pieces(np.abs(x))


def _ends(domain: tuple[float | None, float | None]) -> tuple[float, float]:
    """Ends of a domain; None stands for infinity."""
    try:
        low, high = domain
        ends = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    except (TypeError, ValueError):
        ends = (np.nan, np.nan)
    if not ends[0] < ends[1]:
        raise InputError(f"domain must be two ascending numbers; got {domain!r}")
    return ends


def _survey(function: Function, ends: tuple[float, float] | None) -> Survey:
    """Survey of V on its domain, whose finite ends are walls."""
    if ends is None or np.isinf(ends).all():
        return survey_of_line(function)
    if np.isinf(ends[1]):
        return survey_of_half_line(function, ends[0], 1)
    if np.isinf(ends[0]):
        return survey_of_half_line(function, ends[1], -1)
    return survey_between(function, *ends, walls=(True, True))


def _spline(x: Floats, v: Floats) -> Function:
    from scipy.interpolate import make_interp_spline

    spline: Function = make_interp_spline(x, v, k=5)
    return spline


def _polynomial(numbers: Floats, ends: tuple[float, float] | None) -> Floats:
    """Coefficients without trailing zeros; raises unless the polynomial has bound states on the line."""
    coefficients = np.trim_zeros(numbers, "b")
    degree = len(coefficients) - 1
    if ends is None and (degree < 2 or degree % 2 or coefficients[-1] < 0):
        leading = coefficients[-1] if len(coefficients) else 0.0
        raise InputError(
            "potential must have even degree of at least 2 and a positive leading coefficient, else it is "
            f"unbounded below or binds nothing; got degree {max(degree, 0)} with leading coefficient "
            f"{leading:g}; coefficients are ascending, the constant first"
        )
    return coefficients if len(coefficients) else np.zeros(1)


def _check_table(x: Floats) -> None:
    if len(x) < _FEWEST_POINTS_OF_TABLE:
        raise InputError(f"potential as a table must have at least {_FEWEST_POINTS_OF_TABLE} points; got {len(x)}")
    steps = np.flatnonzero(np.diff(x) <= 0)
    if len(steps):
        i = int(steps[0])
        raise InputError(
            f"potential as a table must have strictly ascending x; x[{i}]={x[i]:g} >= x[{i + 1}]={x[i + 1]:g}; sort it"
        )


def _probe(function: Function, ends: tuple[float, float] | None) -> None:
    """Require that a function has the same values for an array and for a part of it."""
    x = np.array([-1.0, -0.5, 0.25, 1.0])
    if ends is not None and np.isfinite(ends).all():
        x = np.linspace(*ends, 20_001)[5_000:15_001:2_500]
    elif ends is not None and np.isfinite(ends).any():
        x = ends[0] + np.array([0.25, 0.5, 1.0, 2.0]) if np.isfinite(ends[0]) else ends[1] - np.array([2, 1, 0.5, 0.25])
    v = evaluate("potential", function, x, infinite=True)
    alone = evaluate("potential", function, x[1:].copy(), infinite=True)
    finite = np.isfinite(alone)
    if not np.allclose(v[1:][finite], alone[finite], rtol=1e-9, atol=0):
        raise InputError("potential must be a function of each point alone; got values that depend on the other points")
