"""The physics of a run in one figure, and files of figures."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, InputTypeError
from ..report.analyse import analyse
from ..report.table import Report
from ..runs.writing import check_writable, replacing
from ..sampling.correlators import Correlators
from .correlators import commutator, correlator
from .positions import paths
from .spectra import levels
from .style import SMALL, ink, need, need_matplotlib, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["check_figure_file", "overview", "save_overview"]

_SIZE = (11.0, 7.5)


def overview(
    run: Correlators, report: Report | None = None, figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """Draw the physics of a run in four panels: two-point function, levels, commutator, sample paths.

    The panels are ``correlator``, ``levels``, ``commutator`` and ``paths``, with the exact values of the report.

    Parameters
    ----------
    run : Correlators
    report : Report, optional
        Result of ``analyse(run)``, which is called by default; the channel is the one of the report.
    figure : matplotlib Figure or SubFigure, optional
        An empty figure to draw on; a new figure of pyplot by default.

    Returns
    -------
    matplotlib Figure or SubFigure

    Raises
    ------
    InputTypeError
        If an argument has a wrong type.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 4000, 32, 0.2, rng=1)
    >>> report = nnqm.analyse(run, n_levels=2, positivity=False)
    >>> len(nnqm.plot.overview(run, report).axes)
    4
    """
    need("run", run, Correlators, "give a run of simulate, accumulate or load")
    if report is not None:
        need("report", report, Report, "give nnqm.analyse(run)")
    need_matplotlib()
    from matplotlib.figure import FigureBase

    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=_SIZE, layout="constrained")
    elif not isinstance(figure, FigureBase):
        raise InputTypeError(f"figure must be a Figure of matplotlib, or None; got {type(figure).__name__}")
    report = analyse(run) if report is None else report
    name, exact = report.details.get("channel", run.channels[0]), report.details.get("exact", False)
    ((first, second), (third, fourth)) = figure.subplots(2, 2)
    correlator(run, first, channel=name, exact=exact).set_title(f"Connected two-point function of {plain(name)}")
    levels(report, second).set_title("Levels")
    commutator(run, third, channel=name, exact=exact).set_title(r"Commutator $[x, p]/i\hbar$ at finite lag")
    paths(run, fourth, channel=name).set_title("Sample paths")
    for ax in (first, second, third, fourth):
        ax.title.set_fontweight("bold")
    if report.title:
        # Letters that fit into the width of the figure.
        letters = int(72 * figure.bbox.width / figure.dpi / (0.62 * SMALL))
        figure.suptitle(textwrap.fill(plain(report.title), letters), fontsize=SMALL + 0.5, color=ink(first), alpha=0.8)
    return figure


def save_overview(run: Correlators, report: Report, path: str | os.PathLike[str]) -> Path:
    """Write ``overview(run, report)``, replacing the file only once the new one is whole.

    Parameters
    ----------
    run : Correlators
    report : Report
    path : path-like
        Its ending chooses the format: .png, .pdf, .svg.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If no file can be written there, or the format is unknown.
    """
    target = check_figure_file(path)
    from matplotlib.figure import Figure

    drawn = Figure(figsize=_SIZE, layout="constrained")
    overview(run, report, drawn)
    # In memory first: on a full disk some writers of Matplotlib raise errors of other kinds.
    drawing = io.BytesIO()
    drawn.savefig(drawing, dpi=150, format=target.suffix.lower().removeprefix("."))
    with replacing(target) as name:
        Path(name).write_bytes(drawing.getbuffer())
    return target


def check_figure_file(path: str | os.PathLike[str]) -> Path:
    """Return the path if a figure can be written there.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If no file can be written there, or the format is unknown.
    """
    need_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    target = Path(path)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if target.suffix.lower().removeprefix(".") not in known:
        raise InputError(f"figure {target} must end in one of .{', .'.join(known)}; name it {target.stem}.png")
    return check_writable(target)
