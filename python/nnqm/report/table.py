"""The report as a table: rows, and how a measured value is judged beside an exact one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..statistics.estimate import Estimate, format_value

__all__ = ["HEADINGS", "Report", "Row"]


@dataclass(frozen=True)
class Row:
    """One quantity: what was measured, what is exact, and what to make of it.

    Attributes
    ----------
    quantity : str
        Name, such as "gap 1" or "commutator (dt -> 0)".
    estimate : Estimate or None
        A scalar; None where nothing could be measured.
    exact : float or None
        Exact value of the estimator as it stands (its finite dt and lags), if known.
    exact_error : float
        Error of the exact value where it is an average over draws of random weights or quasi-random points, else 0.
    limit : float or None
        Exact value for dt -> 0 of an estimator that depends on dt, if known; not what is measured here.
    verdict : str
        One or a few words: "ok", "resolved", "not resolved (noise)", "consistent", "violated", ...
    group : str
        Part of the table: "two-point", "levels", "commutator", "shape", "positivity".
    """

    quantity: str
    estimate: Estimate | None
    exact: float | None
    verdict: str
    group: str
    limit: float | None = None
    exact_error: float = 0.0

    @property
    def pull(self) -> float | None:
        """(measured - exact) / total error, that of both, if they are known and the error is not zero."""
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
            self.verdict,
        )

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
class Report:
    """Rows of a run's physics; ``print(report)`` shows the table.

    Attributes
    ----------
    title : str
        What was measured: theory, paths, grid, precision, key.
    rows : tuple of Row
    notes : tuple of str
        What a reader must know to read the numbers right.
    details : dict
        The objects behind the rows, by name: "spectrum", "commutator", "positivity", ...
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

    def __str__(self) -> str:
        table = [HEADINGS, *(row.cells for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
        lines = [self.title]
        for line in table:
            text = [line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in (1, 2, 3, 4)), line[5]]
            lines.append("  ".join(text).rstrip())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


# A pull beyond this is called a deviation: about one in two thousand by chance.
DEVIATION = 3.5


def known_or_none(value: Any) -> Any:
    """What is not defined, such as a limit of a chain that alternates, is not known."""
    return None if value is None or (not isinstance(value, Estimate) and np.isnan(value)) else value


def value_and_error(exact: Any) -> tuple[float | None, float]:
    """Value and error of a number, an ``Estimate`` or None."""
    if isinstance(exact, Estimate):
        return float(exact.value), float(exact.total_error)
    known = known_or_none(exact)
    return (None if known is None else float(known)), 0.0


def unmeasured_row(quantity: str, exact: Any, verdict: str) -> Row:
    value, error = value_and_error(exact)
    return Row(quantity, None, value, verdict, "commutator", exact_error=error)


def judged_row(quantity: str, estimate: Estimate, exact: Any, group: str, plain: str = "") -> Row:
    """A row with a number, an ``Estimate`` or None as the exact value."""
    value, error = value_and_error(exact)
    row = Row(quantity, estimate, value, plain, group, exact_error=error)
    if row.pull is None:
        return row
    return replace(row, verdict=plain or ("ok" if abs(row.pull) < DEVIATION else "deviates"))
