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
FAINT, FILLED = 0.55, 0.22
# Sizes of the text of legends and remarks, and of markers, in points.
SMALL, MARKER = 8.5, 4.5


def axes_of(ax: Axes | None) -> Axes:
    """The given axes, or the axes of a new figure of pyplot, which a notebook shows.

    Raises
    ------
    InputTypeError
        If the axes are none of matplotlib.
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
    text = textwrap.fill(why, 44)
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


def legend_above(ax: Axes, heading: str = "") -> None:
    """A legend above the axes, where it hides nothing."""
    _, labels = ax.get_legend_handles_labels()
    labels = [label for label in labels if label]
    if not labels:
        return
    # A row has room for about 60 characters, and a handle takes the room of 8.
    one_row = sum(len(label) + 8 for label in labels) <= 60
    columns = len(labels) if one_row else max(1, 60 // (max(map(len, labels)) + 8))
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "columnspacing": 1.0}
    legend(ax, heading, ncols=columns, handlelength=2.4, alignment="left", **place)


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
