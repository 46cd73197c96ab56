"""Colours, markers and axes of all pictures.

The colours are the ones of Okabe and Ito (Color Universal Design, 2008), which colour-blind readers tell apart. Each
has a marker and a style of line of its own, for print in grey. Black is not among them: text, frames and open markers
take the colours of the axes, so that pictures follow ``plt.style.use("dark_background")``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import Floats
from ..errors import InputError, InputTypeError
from ..statistics.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__: list[str] = []

# What is measured, what is exact, and what follows from a fit or marks a region.
MEASURED, EXACT, FITTED = "#0072B2", "#D55E00", "#009E73"
# Series: colours with their markers and styles of lines.
COLOURS = (MEASURED, EXACT, FITTED, "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
# Opacity of lines of the grid and of remarks, and of filled regions.
FAINT, FILLED = 0.55, 0.28
# Sizes of the text of legends and remarks, and of markers, in points.
SMALL, MARKER = 8.5, 5.0


def axes_of(ax: Axes | None) -> Axes:
    """The given axes, or the axes of a new figure of pyplot, which a notebook shows.

    Raises
    ------
    InputTypeError
        If the axes are none of matplotlib.
    InputError
        If they are polar or have three dimensions.
    ModuleNotFoundError
        Without matplotlib.
    """
    need_matplotlib()
    from matplotlib.axes import Axes

    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(6.0, 4.0), layout="constrained").add_subplot()
    elif not isinstance(ax, Axes):
        raise InputTypeError(f"ax must be Axes of matplotlib, or None for a new figure; got {type(ax).__name__}")
    elif hasattr(ax, "zaxis") or not {"top", "right"} <= set(ax.spines):
        raise InputError(f"ax must have x and y at right angles; got {ax.name} axes; use figure.add_subplot()")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def need_matplotlib() -> None:
    """Raise ModuleNotFoundError with a remedy if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "pictures need matplotlib, which is not installed; pip install 'nnqm[plot]' gets it"
        ) from None


def need(name: str, value: Any, kinds: type | tuple[type, ...], remedy: str) -> None:
    """Raise InputTypeError unless a value is of one of the kinds."""
    if not isinstance(value, kinds):
        listed = kinds if isinstance(kinds, tuple) else (kinds,)
        wanted = " or ".join(kind.__name__ for kind in listed)
        raise InputTypeError(f"{name} must be {wanted}; got {type(value).__name__}; {remedy}")


def plain(name: str) -> str:
    """A name as text, in which nothing is a formula."""
    return name.replace("$", r"\$")


def ink(ax: Axes) -> Any:
    """Colour of the text of the axes."""
    return ax.xaxis.label.get_color()


def series(number: int, *, filled: bool = True, connected: bool = True, ax: Axes) -> dict[str, Any]:
    """Colour, marker and line of one of several series; open markers have the colour of the background."""
    colour = COLOURS[number % len(COLOURS)]
    return {
        "color": colour,
        "marker": MARKERS[number % len(MARKERS)],
        "ls": LINES[number % len(LINES)] if connected else "none",
        "ms": MARKER,
        "lw": 1.3,
        "mfc": colour if filled else ax.get_facecolor(),
    }


def points(ax: Axes, x: Any, estimate: Estimate, **style: Any) -> None:
    """Measured values with their total errors."""
    settings: dict[str, Any] = {
        "color": MEASURED,
        "marker": "o",
        "ms": MARKER,
        "label": "measured",
        "zorder": 3,
    } | style
    ax.errorbar(x, estimate.value, yerr=estimate.total_error, ls="none", lw=1.2, capsize=2, **settings)


def remark(ax: Axes, text: str, *, x: float = 0.02, y: float = 0.03, **style: Any) -> None:
    """A short remark inside the axes, by default at the lower left."""
    settings: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": SMALL, "alpha": 0.85} | style
    ax.text(x, y, text, transform=ax.transAxes, color=ink(ax), **settings)


def nothing(ax: Axes, why: str) -> Axes:
    """Empty axes with the reason why they are empty."""
    import textwrap

    ax.set_xticks([])
    ax.set_yticks([])
    text = plain(textwrap.fill(why, 44))
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=ink(ax), alpha=0.75)
    return ax


@contextmanager
def reasons(ax: Axes) -> Iterator[None]:
    """Write the reason into the axes if an estimator finds that the data do not allow it."""
    try:
        yield
    except InputError as error:
        nothing(ax, error.reason)


def legend(ax: Axes, heading: str = "", **style: Any) -> None:
    """A legend of what has a label, if anything has."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    first = dict(reversed(list(zip(labels, handles, strict=True))))
    names = [name for name in dict.fromkeys(labels) if name]
    if names:
        settings: dict[str, Any] = {
            "frameon": False,
            "fontsize": SMALL,
            "title": heading or None,
            "title_fontsize": SMALL,
        } | style
        ax.legend([first[name] for name in names], names, **settings)


def legend_on_top(ax: Axes, heading: str = "") -> None:
    """A legend inside the axes, above everything that is drawn, for which the vertical axis is extended.

    It needs no room outside the axes, where titles and neighbours are.
    """
    _, labels = ax.get_legend_handles_labels()
    names = [name for name in dict.fromkeys(labels) if name]
    if not names:
        return
    inches = ax.get_figure(root=True)
    assert inches is not None
    box = ax.get_window_extent().transformed(inches.dpi_scale_trans.inverted())
    # Widths in units of an average letter; a handle and the gaps take the room of 7 letters.
    room = 72 * box.width / (0.56 * SMALL)
    fitting = max(1, int(room / (max(map(len, names)) + 7)))
    rows = -(-len(names) // fitting)
    height = (rows + bool(heading) + 0.6) * 1.35 * SMALL / 72 / box.height
    _extend(ax, min(height, 0.6))
    place: dict[str, Any] = {"loc": "upper left", "ncols": -(-len(names) // rows), "alignment": "left"}
    legend(ax, heading, borderaxespad=0.3, columnspacing=1.2, handlelength=2.4, borderpad=0.2, **place)


def _extend(ax: Axes, part: float) -> None:
    """Raise the upper limit so that this part of the height is free."""
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    raised = scale.inverted().transform(np.array([low + (high - low) / (1 - part)]))
    ax.set_ylim(top=float(raised[0]))


def apart(places: Sequence[float], distance: float) -> Floats:
    """Places of labels near the given ones and at least a distance apart, in the same order."""
    at = np.asarray(places, dtype=np.float64)
    order = np.argsort(at, kind="stable")
    sorted_at = at[order]
    shift = distance * np.arange(len(at))
    # The nearest increasing sequence in the sense of least squares: averages over blocks that violate the order.
    blocks: list[tuple[float, int]] = []
    for value in sorted_at - shift:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            last, n = blocks.pop()
            mean, size = (mean * size + last * n) / (size + n), size + n
        blocks.append((mean, size))
    moved = np.concatenate([np.full(n, mean) for mean, n in blocks]) + shift if blocks else shift
    found = np.empty_like(at)
    found[order] = moved
    return found
