"""Figure of a run: two-point function, levels, commutator, paths."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..report.exact_values import Estimated
from ..report.table import Report
from ..runs.writing import check_writable, replacing
from ..sampling.correlators import Correlators
from ..sampling.path_source import Paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure", "save_figure"]

_MEASURED = "#1f4e79"
_EXACT = "#d1495b"
_PATHS = ("#1f4e79", "#66a182", "#edae49")
_MOST_POINTS = 400


def figure(run: Correlators, report: Report) -> Figure:
    """Draw the physics of a run in four panels.

    The connected two-point function, the levels and the commutator with their errors (statistical and systematic
    in quadrature) beside the exact values where these are known, and a few sample paths.

    Parameters
    ----------
    run : Correlators
    report : Report
        ``analyse(run)``.

    Returns
    -------
    matplotlib.figure.Figure
        Free of pyplot's state; ``savefig`` writes it.

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib; ``pip install 'nnqm[plot]'`` gets it.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 7.5), layout="constrained")
    grid = drawn.subplots(2, 2)
    _two_point(grid[0, 0], run, report)
    _levels(grid[0, 1], report)
    _commutator(grid[1, 0], run, report)
    _paths(grid[1, 1], run)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontweight("bold")
    if report.title:
        drawn.suptitle(report.title, fontsize=9, color="0.35", wrap=True)
    return drawn


def save_figure(run: Correlators, report: Report, path: str | os.PathLike[str]) -> Path:
    """Write ``figure(run, report)``, replacing the file only once the new one is whole.

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
    drawn = figure(run, report)
    # In memory first: on a full disk some writers of Matplotlib raise errors of other kinds.
    drawing = io.BytesIO()
    drawn.savefig(drawing, dpi=150, format=target.suffix.lower().removeprefix("."))
    with replacing(target) as name:
        Path(name).write_bytes(drawing.getbuffer())
    return target


def check_figure_file(path: str | os.PathLike[str]) -> Path:
    """Return the path if a figure can be written there; raises ValueError otherwise."""
    from matplotlib.backend_bases import FigureCanvasBase

    target = Path(path)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if target.suffix.lower().removeprefix(".") not in known:
        raise InputError(f"figure {target} must end in one of .{', .'.join(known)}; name it {target.stem}.png")
    return check_writable(target)


def _points(axes: Axes, x: Any, y: Any, error: Any) -> None:
    axes.errorbar(x, y, yerr=error, fmt="o", ms=4, lw=1.2, capsize=2, color=_MEASURED, label="measured", zorder=3)


def _exact(axes: Axes, report: Report, lags: Floats, *, commutator: bool = False, start: float = 0.0) -> None:
    """The exact two-point function, or commutator at finite lag: a curve, or points at the lags where it is known."""
    exact = report.details.get("exact")
    if isinstance(exact, Estimated):
        known = np.unique(exact.average.times[exact.average.times <= lags.max()])
        known = known[known > 0] if commutator else known
        found = [exact.commutator_at(t) if commutator else exact.connected(t) for t in known]
        error = [float(e.total_error) for e in found]
        axes.errorbar(
            known, [float(e.value) for e in found], yerr=error, fmt="D", ms=4, color=_EXACT, label="exact", zorder=2
        )
    elif exact is not None:
        fine = np.linspace(start, 1, _MOST_POINTS) * lags.max()
        # Chains have no values between steps, and thermal networks with kinks none at early times.
        for times, style in ((fine, "-"), (lags[lags > 0], "D")):
            with suppress(InputError):
                values = exact.commutator_at(times) if commutator else exact.connected(times)
                axes.plot(times, values, style, ms=4, color=_EXACT, lw=1.6, label="exact", zorder=2)
                return


def nothing(axes: Axes, why: str) -> None:
    """Empty axes with the reason why they are empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="0.5")


def _two_point(axes: Axes, run: Correlators, report: Report) -> None:
    axes.set_title(f"Connected two-point function of {run.channels[0]}")
    if "lags" not in run.sums or not run.lags:
        nothing(axes, "needs uniform times")
        return
    estimate = run.connected()
    times = np.array(run.lags) * run.dt
    value, error = estimate.value, estimate.total_error
    # On the logarithmic scale only what stands out of the noise means something: up to the first point that does not.
    lost = np.flatnonzero(~(value > 2 * error))
    n = int(lost[0]) if lost.size else len(value)
    if n >= 2:
        times, value, error = times[:n], value[:n], error[:n]
        axes.set_yscale("log")
        axes.set_ylim(value.min() / 2, value.max() * 2)
    _points(axes, times, value, error)
    _exact(axes, report, times)
    axes.set_xlabel(r"$\tau$")
    axes.set_ylabel(r"$G_c(\tau)$")
    axes.legend(frameon=False)


def _levels(axes: Axes, report: Report) -> None:
    rows = [row for row in report.rows if row.group == "levels"]
    axes.set_title("Levels")
    measured = [(i, row.estimate) for i, row in enumerate(rows) if row.estimate is not None]
    if not measured:
        nothing(axes, "no level was measured")
        return
    for i, row in enumerate(rows):
        if row.exact is not None:
            axes.hlines(row.exact, i - 0.32, i + 0.32, color=_EXACT, lw=2.2, label="exact" if i == 0 else "_", zorder=2)
    x = [i for i, _ in measured]
    _points(axes, x, [float(e.value) for _, e in measured], [float(e.total_error) for _, e in measured])
    axes.set_xticks(range(len(rows)), [row.quantity for row in rows], rotation=30 if len(rows) > 6 else 0)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(r"$E_n - E_0$")
    axes.legend(frameon=False, loc="upper left")


def _commutator(axes: Axes, run: Correlators, report: Report) -> None:
    from ..estimators.roughness import commutator_at_lags

    axes.set_title(r"Commutator $[x, p]/i\hbar$ at finite lag")
    if "increments" not in run.sums or not run.increment_lags:
        nothing(axes, "needs uniform times")
        return
    estimate = commutator_at_lags(run)
    lags = np.array(run.increment_lags) * run.dt
    _points(axes, lags, estimate.value, estimate.total_error)
    _exact(axes, report, lags, commutator=True, start=1e-3)
    axes.set_xlim(0, 1.03 * lags.max())
    axes.set_ylim(bottom=0)
    axes.set_xlabel(r"$\tau$")
    axes.set_ylabel(r"$m \langle [x(t+\tau) - x(t)]^2 \rangle / \hbar\tau$")
    axes.legend(frameon=False)


def _paths(axes: Axes, run: Correlators) -> None:
    axes.set_title("Sample paths")
    if run.theory is None or not run.keys:
        nothing(axes, "paths from elsewhere")
        return
    times: Floats = run.times[:_MOST_POINTS]
    paths = Paths(run.theory, len(_PATHS), times=run.times, key=run.keys[0], precision=run.precision, n_threads=1)
    for path, colour in zip(paths.read(), _PATHS, strict=True):
        axes.plot(times, path[:_MOST_POINTS], color=colour, lw=1.1)
    axes.set_xlim(times[0], times[-1] if len(times) > 1 else None)
    axes.set_xlabel(r"$t$")
    axes.set_ylabel(r"$x(t)$")
