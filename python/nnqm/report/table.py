"""The report as a table: rows, and how a measured value is judged beside an exact one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..statistics.estimate import Estimate, format_value
from ..statistics.plain import plain
from ..verdict import Verdict

__all__ = ["HEADINGS", "Group", "Report", "Row"]


class Group(StrEnum):
    """Parts of the table."""

    SHAPE = "shape"
    TWO_POINT = "two-point"
    LEVELS = "levels"
    COMMUTATOR = "commutator"
    POSITIVITY = "positivity"
    CHAIN = "chain"


# Verdicts of rows that need no attention.
_SOUND = (Verdict.OK, Verdict.RESOLVED, Verdict.CONSISTENT)


@short_repr
@dataclass(frozen=True)
class Row:
    """One quantity, measured and exact, with a verdict. The last cell reads "verdict, remarks, caveat: reason".

    Attributes
    ----------
    quantity : str
        Name, such as "gap 1" or "commutator (dt -> 0)".
    estimate : Estimate or None
        A scalar; None where nothing could be measured.
    exact : float or None
        Exact value of the estimator (at its finite dt and lags), if known.
    verdict : Verdict or None
        OK or DEVIATES where measured and exact value are compared, RESOLVED for a level; otherwise the verdict of the
        estimator, for example CONSISTENT or NOT_RESOLVED; None where there is no verdict.
    group : Group
        Part of the table.
    limit : float or None
        Exact value for dt -> 0 of an estimator that depends on dt, if known; not what is measured here.
    exact_error : float
        Error of the exact value where it is an average over draws of random weights or quasi-random points, else 0.
    remarks : tuple of str
        Further facts: a p-value, the kind of a limit, the time step of a finer run.
    caveat : Verdict or None
        DEVIATES or UPPER_BOUND of a resolved level that differs from the exact one.
    reason : str
        Why there is no number, or what a verdict means here.
    of_levels : bool
        Whether the number is a level or a sum over levels, and means nothing without reflection positivity.
    """

    quantity: str
    estimate: Estimate | None
    exact: float | None
    verdict: Verdict | None
    group: Group
    limit: float | None = None
    exact_error: float = 0.0
    remarks: tuple[str, ...] = ()
    caveat: Verdict | None = None
    reason: str = ""
    of_levels: bool = False

    @property
    def sound(self) -> bool:
        """Whether the verdict is OK, RESOLVED or CONSISTENT, without a caveat."""
        return self.verdict in _SOUND and self.caveat is None

    @property
    def pull(self) -> float | None:
        """(measured - exact) / total error of both, if they are known and the error is not zero."""
        if self.estimate is None or self.exact is None or not float(self.estimate.total_error) > 0:
            return None
        error = float(np.hypot(self.estimate.total_error, self.exact_error))
        return float(self.estimate.value - self.exact) / error

    @property
    def cells(self) -> tuple[str, str, str, str, str, str]:
        """One text for each of ``HEADINGS``; empty where there is nothing to say."""
        return (
            self.quantity,
            "" if self.estimate is None else str(self.estimate),
            self._exact_text(),
            "" if self.limit is None else f"{self.limit:.6g}",
            "" if self.pull is None else f"{self.pull:+.1f}",
            self._verdict_text(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; docs/command-line.md documents the keys.

        Returns
        -------
        dict
            Numbers with all their digits, None for what there is not, verdicts by their names.
        """
        no_estimate = {"value": None, "error": None, "systematic_error": None}
        row: dict[str, Any] = plain(
            {
                "quantity": self.quantity,
                "group": self.group,
                **(no_estimate if self.estimate is None else plain(self.estimate)),
                "exact": self.exact,
                "exact_error": None if self.exact is None else self.exact_error,
                "limit": self.limit,
                "pull": self.pull,
                "verdict": self.verdict,
                "remarks": self.remarks,
                "caveat": self.caveat,
                "reason": self.reason,
            }
        )
        return row

    def _verdict_text(self) -> str:
        words = (self.verdict, *self.remarks, self.caveat)
        text = ", ".join(word for word in words if word is not None)
        return f"{text}: {self.reason}" if self.reason else text

    def _exact_text(self) -> str:
        if self.exact is None:
            return ""
        if self.exact_error > 0:
            return format_value(self.exact, self.exact_error)
        return f"{0 if self._is_zero(self.exact) else self.exact:.6g}"

    def _is_zero(self, exact: float) -> bool:
        # A zero comes out of a quadrature as some 1e-17.
        return self.estimate is not None and abs(exact) < 1e-9 * float(self.estimate.total_error)


HEADINGS = ("quantity", "measured(error)", "exact", "dt -> 0", "pull", "verdict")


@dataclass(frozen=True)
class Report(Drawn, picture="levels"):
    """Rows of a run's physics; ``print(report)`` shows the table, and so does a notebook.

    Attributes
    ----------
    title : str
        The subject of the report: theory, paths, grid, precision, key.
    rows : tuple of Row
    notes : tuple of str
        Facts that a reader needs to interpret the numbers.
    details : dict
        The name of the channel, "channel", and the objects behind the rows, by name: "exact", "spectrum", "plateau",
        "commutator", "momentum_squared", "uncertainty", "positivity", "chapman_kolmogorov".
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    details: dict[str, Any]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, quantity: str) -> Row:
        for row in self.rows:
            if row.quantity == quantity:
                return row
        raise KeyError(f"{quantity!r} is not in the report; it has {', '.join(r.quantity for r in self.rows)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: "title", "rows" (see ``Row.to_dict``) and "notes".

        Returns
        -------
        dict
        """
        return {"title": self.title, "rows": [row.to_dict() for row in self.rows], "notes": list(self.notes)}

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        from html import escape

        def line(cells: Sequence[str], tag: str) -> str:
            sides = ["left", *["right"] * (len(cells) - 2), "left"]
            styled = zip(cells, sides, strict=True)
            return "".join(f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in styled)

        rows, group = [], None
        for row in self.rows:
            if row.group != group:
                group = row.group
                rows.append(f'<th colspan="{len(HEADINGS)}" style="text-align: left">{escape(group)}</th>')
            rows.append(line(row.cells, "td"))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        notes = "".join(f"<p>note: {escape(note)}</p>" for note in self.notes)
        return (
            f"<div><p><b>{escape(self.title)}</b></p><table><thead><tr>{line(HEADINGS, 'th')}</tr></thead>"
            f"<tbody>{body}</tbody></table>{notes}</div>"
        )

    def __str__(self) -> str:
        table = [HEADINGS, *(row.cells for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
        lines = [self.title]
        for line in table:
            text = [line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in (1, 2, 3, 4)), line[5]]
            lines.append("  ".join(text).rstrip())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


# Pull beyond which a value deviates, in errors: about one in two thousand by chance.
DEVIATION = 3.5


def known_or_none(value: Any) -> Any:
    """The value, or None if it is not defined (for example a limit of a chain that alternates)."""
    return None if value is None or (not isinstance(value, Estimate) and np.isnan(value)) else value


def value_and_error(exact: Any) -> tuple[float | None, float]:
    """Value and error of a number, an ``Estimate`` or None."""
    if isinstance(exact, Estimate):
        return float(exact.value), float(exact.total_error)
    known = known_or_none(exact)
    return (None if known is None else float(known)), 0.0


def unmeasured_row(quantity: str, exact: Any, verdict: Verdict, reason: str = "") -> Row:
    """A row of a limit dt -> 0 without a number."""
    value, error = value_and_error(exact)
    return Row(quantity, None, value, verdict, Group.COMMUTATOR, exact_error=error, reason=reason)


def judged_row(quantity: str, estimate: Estimate, exact: Any, group: Group) -> Row:
    """A row with a number, an ``Estimate`` or None as the exact value."""
    value, error = value_and_error(exact)
    row = Row(quantity, estimate, value, None, group, exact_error=error)
    if row.pull is None:
        return row
    return replace(row, verdict=Verdict.OK if abs(row.pull) < DEVIATION else Verdict.DEVIATES)


def rows_or_reason(
    quantity: str, group: Group, make: Callable[[], list[Row]], verdict: Verdict = Verdict.NOT_RESOLVED
) -> list[Row]:
    """The rows that a function makes, or one row with the reason why the input does not allow them."""
    try:
        return make()
    except InputError as error:
        return [Row(quantity, None, None, verdict, group, reason=error.reason)]
