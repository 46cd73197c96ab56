"""The page of a reproduction: claims with their numbers, verdicts and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..pages.page import Cell, Page
from ..plot.style import COLOURS, LINES, MARKERS, legend
from ..runs.writing import replacing
from ..verdict import Verdict
from .record import FAMILY_WISE, REFUTED, THRESHOLD, Curve, Number, Panel
from .reproduction import Files, Outcome, Reproduction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drawn", "page_of", "write_reproduction"]

_HEADINGS = ("quantity", "measured(error)", "exact", "published", "verdict", "remark")


def write_reproduction(found: Reproduction, files: Files) -> None:
    """Write the page and both tables of a reproduction; existing ones are replaced once the new ones are complete.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    table = json.dumps(found.to_dict(), indent=1, allow_nan=False)
    for file, text in ((files.table, table + "\n"), (files.sheet, found.to_csv())):
        with replacing(file) as name:
            Path(name).write_text(text, encoding="utf-8")
    page_of(found).write(files.page)


def page_of(found: Reproduction) -> Page:
    """The page of a reproduction."""
    sizes = "small sizes (--quick)" if found.quick else "full sizes"
    page = Page("Publications reproduced", f"{len(found.outcomes)} claims, {sizes}, seed {found.seed}")
    page.heading("Summary")
    done = sum(o.reproduced for o in found.outcomes)
    page.text(f"{done} of {len(found.outcomes)} claims are reproduced.")
    rows: list[list[Cell] | str] = []
    paper = None
    for outcome in found.outcomes:
        if outcome.claim.paper != paper:
            paper = outcome.claim.paper
            rows.append(f"{paper.authors}, {paper.title}, arXiv:{paper.arxiv}")
        rows.append([outcome.claim.name, outcome.verdict, outcome.claim.statement, f"{outcome.seconds:.1f}"])
    page.table(("claim", "verdict", "statement", "seconds"), rows)
    page.text(
        "holds: all numbers are exact, or refute what the claim says to be wrong. consistent: sampled numbers "
        "agree with the "
        "exact ones. deviates: a number contradicts the claim. not resolved: no number decides. not tested: the "
        "computation failed."
    )
    page.text(
        "Errors of sampled numbers are jackknife errors over independent blocks; a second bracket is a "
        "systematic error. "
        f"A sampled number deviates if its p-value is below {THRESHOLD:.0e}. The page has {found.n_tests} tests, "
        "so that a "
        f"correct package shows a false deviation with a probability of at most {found.chance:.2g} (at most "
        f"{FAMILY_WISE:g} by design). Hypotheses that a claim says to be wrong count as refuted below p = "
        f"{REFUTED:.0e}. "
        f'The verdict of a row names the result of its test: "violated" is what a negative claim expects.'
    )
    for outcome in found.outcomes:
        _add(page, outcome)
    return page


def _add(page: Page, outcome: Outcome) -> None:
    """The part of one claim."""
    claim = outcome.claim
    page.heading(claim.name)
    page.text(claim.statement)
    page.text(f"Source: arXiv:{claim.paper.arxiv}, {claim.source}.")
    record = outcome.record
    if record is None:
        page.table(("verdict", "reason"), [[Verdict.NOT_TESTED, outcome.failure]])
        return
    page.text(f"Setting: {record.setting}.")
    used = [i for i, column in enumerate(zip(*map(_cells, record.numbers), strict=True)) if i == 0 or any(column)]
    cells = [[_cells(number)[i] for i in used] for number in record.numbers]
    page.table([_HEADINGS[i] for i in used], cells, caption=f"Errors: {record.error}.")
    if record.panels:
        try:
            figure = drawn(record.panels)
        except ModuleNotFoundError:
            page.text("There is no figure without matplotlib: pip install 'nnqm[plot]'.")
        else:
            names = "; ".join(f"{panel.title}: {panel.ylabel} against {panel.xlabel}" for panel in record.panels)
            page.figure(figure, record.caption, f"{names}. {record.caption}")
    page.points(record.notes)


def _cells(number: Number) -> tuple[Cell, ...]:
    told: list[str] = [number.verdict]
    if number.p_value is not None:
        # The parts of a p-value stay on one line.
        told.append(f" p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{number.p_value:.2g}")
    if number.sound is False:
        told.append(" contradicts the claim")
    elif number.sound and number.verdict is Verdict.VIOLATED:
        told.append(", as claimed")
    return (
        number.quantity,
        number.measured_text,
        number.exact_text,
        number.published_text,
        told,
        number.remark,
    )


def drawn(panels: tuple[Panel, ...]) -> Figure:
    """The figure of a record, its panels side by side.

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.6, 4.2 * len(panels)), 4.0), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        _draw(ax, panel)
    return figure


def _draw(ax: Axes, panel: Panel) -> None:
    """One panel. A curve without a name has the colour of the named one before it."""
    number = -1
    for curve in panel.curves:
        number += bool(curve.label) or number < 0
        _draw_curve(ax, curve, number)
    ax.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
    if "x" in panel.log:
        ax.set_xscale("log")
    if "y" in panel.log:
        ax.set_yscale("log")
    elif "s" in panel.log:
        ax.set_yscale("symlog", linthresh=2)
    if panel.limits is not None:
        ax.set_ylim(*panel.limits)
    ax.spines[["top", "right"]].set_visible(False)
    legend(ax)


def _draw_curve(ax: Axes, curve: Curve, number: int) -> None:
    colour, label = COLOURS[number % len(COLOURS)], curve.label or None
    marker = MARKERS[number % len(MARKERS)]
    if curve.style in ("points", "crosses"):
        shape = "x" if curve.style == "crosses" else marker
        ax.errorbar(
            curve.x, curve.y, yerr=curve.error, ls="none", marker=shape, ms=4.5, color=colour, label=label, capsize=2
        )
        return
    line = {"dashed": LINES[1], "dotted": LINES[3]}.get(curve.style, LINES[0])
    ax.plot(curve.x, curve.y, ls=line, lw=1.2, color=colour, label=label)
