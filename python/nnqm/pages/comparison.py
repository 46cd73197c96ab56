"""Runs side by side: the same quantities, with pulls between independent runs."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import integer
from ..errors import InputError, InputTypeError
from ..progress import ProgressBar, Showing
from ..report.analyse import analyse
from ..report.table import DEVIATION, Group, Report, Row
from ..representation import short_repr
from ..runs.checkpoints import blocks_of
from ..sampling.correlators import Correlators
from ..spectra.levels import Spectrum
from ..statistics.plain import plain
from ..verdict import Verdict
from .facts import settings_of
from .page import FIGURE_SIZE, Cell, Page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Compared", "Comparison", "compare", "compare_page"]

# Columns of a table of runs have letters.
_MOST = len(string.ascii_uppercase)

# Exact values that agree to this fraction are the same.
_SAME = 1e-9

# Beginning of the names of spectral weights.
_WEIGHT = "weight of"

# Row whose value depends on dt although its name does not say so.
_ROUGHNESS = "roughness exponent H"


@short_repr
@dataclass(frozen=True)
class Compared:
    """One quantity of several runs.

    Attributes
    ----------
    quantity : str
        Name, such as "gap 1".
    group : Group
        Part of the table.
    rows : tuple of (Row or None)
        The row of each run, None where the run has no such quantity.
    pulls : tuple of (float or None)
        (value - value of the first run) / combined error, statistical and systematic errors of both in quadrature. None
        for the first run, without a number, and for runs that share random numbers with the first one.
    """

    quantity: str
    group: Group
    rows: tuple[Row | None, ...]
    pulls: tuple[float | None, ...]

    @property
    def exact(self) -> float | None:
        """The exact value, if all runs with a number have the same."""
        values = [row.exact for row in self.rows if row is not None and row.estimate is not None]
        known = [value for value in values if value is not None]
        same = bool(known) and len(known) == len(values) and np.ptp(known) <= _SAME * np.abs(known).max()
        return known[0] if same else None


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; ``print`` shows the table.

    Attributes
    ----------
    names : tuple of str
        Names of the runs, for example of their files.
    runs : tuple of Correlators
    reports : tuple of Report
    rows : tuple of Compared
        All quantities with a number in at least one run.
    notes : tuple of str
        Which runs share random numbers, differ in constants, or deviate.
    """

    names: tuple[str, ...]
    runs: tuple[Correlators, ...]
    reports: tuple[Report, ...]
    rows: tuple[Compared, ...]
    notes: tuple[str, ...]

    def __iter__(self) -> Iterator[Compared]:
        return iter(self.rows)

    def __getitem__(self, quantity: str) -> Compared:
        for row in self.rows:
            if row.quantity == quantity:
                return row
        raise KeyError(f"{quantity!r} is not compared; the rows are {', '.join(r.quantity for r in self.rows)}")

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of the table: the quantity, a letter for each run, the exact value, pulls against the first run."""
        letters = string.ascii_uppercase[: len(self.runs)]
        return ("quantity", *letters, "exact", *(f"{letter} - {letters[0]}" for letter in letters[1:]))

    def cells(self, row: Compared) -> tuple[str, ...]:
        """One text for each of ``headings``: values with errors or verdicts, and pulls in units of the errors.

        Parameters
        ----------
        row : Compared
            One of ``rows``.

        Returns
        -------
        tuple of str
        """
        exact = "" if row.exact is None else f"{row.exact:.6g}"
        pulls = ("" if pull is None else f"{pull:+.1f}" for pull in row.pulls[1:])
        return (row.quantity, *(_cell(one) for one in row.rows), exact, *pulls)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; docs/command-line.md documents the keys.

        Returns
        -------
        dict
        """
        described = zip(self.names, self.runs, self.reports, strict=True)
        found: dict[str, Any] = plain(
            {
                "runs": [
                    {"name": name, "run": settings_of(run), "title": report.title, "notes": report.notes}
                    | {"shares_random_numbers": i > 0 and shares_random_numbers(self.runs[0], run)}
                    for i, (name, run, report) in enumerate(described)
                ],
                "rows": [
                    {
                        "quantity": row.quantity,
                        "group": row.group,
                        "exact": row.exact,
                        "values": [None if one is None else one.to_dict() for one in row.rows],
                        "pulls": row.pulls,
                    }
                    for row in self.rows
                ],
                "notes": self.notes,
            }
        )
        return found

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        letters = string.ascii_uppercase
        lines = [
            f"{letters[i]}  {name}: {report.title}"
            for i, (name, report) in enumerate(zip(self.names, self.reports, strict=True))
        ]
        table = [self.headings, *(self.cells(row) for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(self.headings))]
        for line in table:
            cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def compare(
    runs: Mapping[str, Correlators],
    *,
    channel: int | str = 0,
    n_levels: int = 5,
    progress: Showing = None,
) -> Comparison:
    r"""The physics of several runs side by side: moments, two-point function, levels, weights, commutator, uncertainty.

    The pull of a run against the first one is :math:`(b - a)/\sqrt{\sigma_a^2 + \sigma_b^2}` with the total errors of
    both, statistical and systematic. It holds for independent runs. Runs that share random numbers have correlated
    errors and get no pull: these errors do not add in quadrature.

    Parameters
    ----------
    runs : mapping of str to Correlators
        At least two runs of ``simulate``, ``accumulate`` or ``load`` by their names; the first one is the reference.
    channel : int or str
        The channel whose physics is compared; the first output by default.
    n_levels : int, default 5
        Levels asked for.
    progress : callable, bool or None
        Called with (runs done, all runs); None shows a bar in a terminal or a notebook, False none.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError, InputTypeError
        If there are fewer than two runs or more than 26, a name is no text, a value is no run, or a run has no such
        channel.

    Examples
    --------
    >>> theory = nnqm.harmonic_oscillator()
    >>> runs = {f"seed {s}": nnqm.simulate(theory, 2000, 32, 0.2, rng=s) for s in (1, 2)}
    >>> abs(compare(runs)["variance of x"].pulls[1]) < 4
    True
    """
    if not isinstance(runs, Mapping):
        raise InputTypeError(f"runs must be a mapping of names to runs; got {type(runs).__name__}; write {{'a': run}}")
    if not 2 <= len(runs) <= _MOST:
        raise InputError(f"runs must have 2 to {_MOST} entries; got {len(runs)}")
    for name, run in runs.items():
        if not isinstance(name, str):
            raise InputTypeError(f"runs must have texts as names; got {name!r}; write {{{str(name)!r}: run}}")
        if not isinstance(run, Correlators):
            raise InputTypeError(f"runs[{name!r}] must be a run of simulate, accumulate or load; got {run!r}")
    wanted = integer("n_levels", n_levels, 1)
    reports = []
    with ProgressBar("comparison", given=progress) as tell:
        for done, run in enumerate(runs.values(), start=1):
            reports.append(analyse(run, channel=channel, n_levels=wanted, positivity=False))
            tell(done, len(runs))
    given = tuple(runs.values())
    independent = [not shares_random_numbers(given[0], run) for run in given]
    rows = tuple(_compared(given, reports, independent))
    return Comparison(tuple(runs), given, tuple(reports), rows, tuple(_notes(tuple(runs), given, independent, rows)))


def shares_random_numbers(a: Correlators, b: Correlators) -> bool:
    """Whether two runs were made of the same random numbers, so that their errors are correlated."""
    if not set(a.keys) & set(b.keys):
        return False
    parts_of_one = (a.keys, a.n_paths, a.n_blocks) == (b.keys, b.n_paths, b.n_blocks)
    there, here = blocks_of(a), blocks_of(b)
    return not parts_of_one or max(there.start, here.start) < min(there.stop, here.stop)


def compare_page(comparison: Comparison) -> Page:
    """The page of a comparison.

    Parameters
    ----------
    comparison : Comparison
        From ``compare``.

    Returns
    -------
    Page
    """
    page = Page("Comparison of runs", ", ".join(comparison.names))
    page.heading("Runs")
    letters = string.ascii_uppercase
    described = zip(letters, comparison.names, comparison.reports, strict=False)
    page.table(["", "run", "content"], [[letter, name, report.title] for letter, name, report in described])
    page.heading("Physics side by side")
    lines: list[Sequence[Cell] | str] = []
    group = None
    for row in comparison.rows:
        if row.group != group:
            group = row.group
            lines.append(str(group))
        first, *others = comparison.cells(row)
        values: list[Cell] = [
            cell if one is None or one.estimate is not None or one.verdict is None else one.verdict
            for cell, one in zip(others, row.rows, strict=False)
        ]
        lines.append([first, *values, *others[len(values) :]])
    pulls = "A column such as B - A has pulls: the difference of two runs in units of its combined error."
    page.table(comparison.headings, lines, caption=pulls)
    _draw(page, comparison)
    if comparison.notes:
        page.heading("Notes")
        page.points(comparison.notes)
    return page


def _draw(page: Page, comparison: Comparison) -> None:
    """Two-point functions and levels of all runs."""
    if find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    from ..plot.style import axes_of

    page.heading("Figures")
    figure = Figure(figsize=FIGURE_SIZE, layout="constrained")
    if _draw_correlators(axes_of(figure.add_subplot()), comparison):
        page.figure(
            figure,
            "Connected two-point functions as far as they exceed zero by two errors.",
            f"Two-point functions of the runs {', '.join(comparison.names)} against the lag, as in the table.",
        )
    gaps = [row for row in comparison.rows if row.group is Group.LEVELS and not row.quantity.startswith(_WEIGHT)]
    if gaps:
        figure = Figure(figsize=FIGURE_SIZE, layout="constrained")
        _draw_levels(axes_of(figure.add_subplot()), gaps, len(comparison.runs))
        page.figure(
            figure,
            "Levels of each run above its ground state, with errors; lines are exact levels that all runs share.",
            f"Levels: {'; '.join(', '.join(comparison.cells(row)) for row in gaps)}.",
        )


def _draw_correlators(ax: Axes, comparison: Comparison) -> bool:
    """The connected two-point functions; returns whether any run has one."""
    from ..plot.style import legend, series

    for i, (run, report) in enumerate(zip(comparison.runs, comparison.reports, strict=True)):
        if not run.uniform or "lags" not in run.sums:
            continue
        with suppress(InputError):
            found, times = run.connected(report.details["channel"]), np.array(run.lags) * run.dt
            lost = np.flatnonzero(~(found.value > 2 * found.total_error))
            n = int(lost[0]) if lost.size else len(times)
            style = series(i, filled=i == 0, connected=False, ax=ax)
            ax.errorbar(
                times[:n], found.value[:n], found.total_error[:n], capsize=2, label=string.ascii_uppercase[i], **style
            )
    ax.set_yscale("log")
    ax.set_xlabel(r"lag $\tau$  [time]")
    ax.set_ylabel(r"$G_c(\tau)$  [$x^2$]")
    legend(ax)
    return bool(ax.containers)


def _draw_levels(ax: Axes, gaps: Sequence[Compared], n_runs: int) -> None:
    """The resolved levels, a column for each run."""
    from ..plot.style import EXACT, MARKER, MEASURED, legend

    for row in gaps:
        if row.exact is not None:
            ax.axhline(row.exact, color=EXACT, lw=1.4, label="exact", zorder=1)
        for i, one in enumerate(row.rows):
            if one is not None and one.estimate is not None:
                error = float(one.estimate.total_error)
                value = float(one.estimate.value)
                ax.errorbar(i, value, error, fmt="o", ms=MARKER, capsize=3, color=MEASURED, label="measured", zorder=2)
    ax.set_xticks(range(n_runs), string.ascii_uppercase[:n_runs])
    ax.set_xlim(-0.6, n_runs - 0.4)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(r"$E_n - E_0$  [energy]")
    legend(ax)


def _rows_of(run: Correlators, report: Report) -> dict[str, Row]:
    """The rows of a report by names that mean the same in all runs, and the weights of the levels."""
    found: dict[str, Row] = {}
    spectrum = report.details.get("spectrum")
    weights = {}
    if isinstance(spectrum, Spectrum):
        weights = {level.name: level.weight for level in spectrum.levels if level.resolved and level.number > 0}
    for row in report.rows:
        name = row.quantity
        if name == _ROUGHNESS:
            name = f"{name} at dt = {run.dt:.4g}"
        found[name] = replace(row, quantity=name)
    levels = [row for row in report.rows if row.group is Group.LEVELS]
    for row in levels:
        weight = next((w for known, w in weights.items() if row.quantity.split(" (x")[0] == known), None)
        if weight is not None and row.estimate is not None:
            name = f"{_WEIGHT} {row.quantity}"
            found[name] = Row(name, weight, None, Verdict.RESOLVED, Group.LEVELS, of_levels=True)
    return found


def _compared(
    runs: Sequence[Correlators], reports: Sequence[Report], independent: Sequence[bool]
) -> Iterator[Compared]:
    tables = [_rows_of(run, report) for run, report in zip(runs, reports, strict=True)]
    names = dict.fromkeys(name for table in tables for name in table)
    order = list(Group)

    def place(name: str) -> int:
        return order.index(next(table[name].group for table in tables if name in table))

    for name in sorted(names, key=place):
        rows = tuple(table.get(name) for table in tables)
        if all(row is None or row.estimate is None for row in rows):
            continue
        pulls = tuple(
            _pull(rows[0], row) if i > 0 and apart else None
            for i, (row, apart) in enumerate(zip(rows, independent, strict=True))
        )
        yield Compared(name, order[place(name)], rows, pulls)


def _pull(first: Row | None, other: Row | None) -> float | None:
    if first is None or other is None or first.estimate is None or other.estimate is None:
        return None
    error = float(np.hypot(first.estimate.total_error, other.estimate.total_error))
    return float(other.estimate.value - first.estimate.value) / error if error > 0 else None


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return str(row.verdict or "") if row.estimate is None else str(row.estimate)


def _notes(
    names: Sequence[str], runs: Sequence[Correlators], independent: Sequence[bool], rows: Sequence[Compared]
) -> Iterator[str]:
    shared = [name for name, apart in zip(names[1:], independent[1:], strict=True) if not apart]
    if shared:
        yield (
            f"{', '.join(shared)} and {names[0]} have the same key of random numbers: their errors are correlated, and "
            "there is no pull; compare runs of different seeds"
        )
    if any(not run.keys for run in runs[1:]) and not runs[0].keys:
        yield "paths from elsewhere are taken to be independent of each other"
    for constant in ("hbar", "mass"):
        values = [getattr(run, constant) for run in runs]
        if len(set(values)) > 1:
            yield f"{constant} differs: {', '.join(f'{value:g}' for value in values)}"
    for i, name in enumerate(names[1:], start=1):
        pulls = [row.pulls[i] for row in rows]
        known = [abs(pull) for pull in pulls if pull is not None]
        far = sum(pull > DEVIATION for pull in known)
        if far:
            where = f"{far} of {len(known)} quantities"
            yield f"{name} differs from {names[0]} by more than {DEVIATION:g} errors in {where}"
