"""Figures of a training and of a scan over theories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError
from ..learning.dynamics import TrainingDynamics
from ..learning.physics import Origin
from .run import nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import Dataset

__all__ = ["scan", "training_dynamics"]

# Colours that remain different for colour-blind readers (Okabe and Ito), and in grey by their order of brightness;
# every colour has a marker and a style of line of its own.
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
# Panels of the figure of a training, and of a scan.
_PANELS = ("positivity", "weight", "kurtosis", "commutator")
_QUANTITIES = ("weight", "kurtosis", "commutator", "uncertainty")
# Labels of the axes. x is measured in a unit of its own.
_LABELS = {
    "positivity": "p-value of reflection positivity",
    "weight": r"$|\langle 0|x|n\rangle|^2$  [$x^2$]",
    "kurtosis": "excess kurtosis of $x$",
    "commutator": r"$[x, p]/i\hbar$",
    "uncertainty": r"$\Delta x\,\Delta p$  [action]",
    "variance": r"variance of $x$  [$x^2$]",
    "gap": r"$E_n - E_0$  [energy]",
}
# Smallest p-value and smallest weight, relative to the largest, that are drawn.
_LOWEST_P, _LOWEST_WEIGHT = 1e-30, 1e-8
# p-value below which positivity is violated, as in reflection_positivity.
_VIOLATED = 1e-3
# Largest numbers of levels that are drawn, and of values of a coordinate that are all written on its axis.
_LEVELS, _MOST_TICKS = 5, 8


class _Line(NamedTuple):
    """One quantity along a training or a scan."""

    label: str
    values: Floats
    errors: Floats
    origins: NDArray[Any]


def training_dynamics(
    dynamics: TrainingDynamics | Mapping[str, TrainingDynamics],
    axes: Sequence[Axes] | None = None,
    *,
    panels: Sequence[str] = _PANELS,
) -> list[Axes]:
    """Draw the physics along one or several trainings against the training step.

    The axis of steps is linear up to the first step after 0 and logarithmic beyond. Measured values and averages have
    their errors; values that are not resolved are left out. p-values below 1e-30 are drawn there as arrows.

    Parameters
    ----------
    dynamics : TrainingDynamics or mapping of str to TrainingDynamics
        One training, or several by their names.
    axes : sequence of matplotlib Axes, optional
        Axes to draw on, one for each panel; a new figure by default.
    panels : sequence of str, default ("positivity", "weight", "kurtosis", "commutator")
        Names of the quantities: also "uncertainty", "variance" and "gap". Levels are drawn for the first training that
        has them.

    Returns
    -------
    list of matplotlib Axes
        One for each panel; ``axes[0].figure.savefig`` writes the figure.

    Raises
    ------
    InputError, InputTypeError
        If there is nothing to draw, a panel is unknown, or the number of axes is wrong.
    ModuleNotFoundError
        Without matplotlib; ``pip install 'nnqm[plot]'`` gets it.
    """
    named = dynamics if isinstance(dynamics, Mapping) else {"": dynamics}
    for name, one in named.items():
        if not isinstance(one, TrainingDynamics):
            raise InputTypeError(f"dynamics must be TrainingDynamics; got {one!r} for {name!r}")
    if not any(one.steps for one in named.values()):
        raise InputError("dynamics must have at least one step; got none")
    chosen = [choice("panels", panel, _LABELS) for panel in panels]
    found = _axes(axes, len(chosen))
    for panel, drawn in zip(chosen, found, strict=True):
        drawn.set_ylabel(_LABELS[panel])
        if panel == "positivity":
            _p_values(drawn, named)
        elif panel in ("weight", "gap"):
            _levels_of_training(drawn, named, panel)
        else:
            for i, (name, one) in enumerate(named.items()):
                series = one[panel]
                _line(drawn, one.steps, _Line(name, series.values, series.errors, series.origins), i)
        _step_axis(drawn, named)
        _finish(drawn, panel, "$n$" if panel in ("weight", "gap") else "")
    return found


def _step_axis(axes: Axes, named: Mapping[str, TrainingDynamics]) -> None:
    """Steps on a scale that is linear up to the first step after 0 and logarithmic beyond."""
    steps = np.unique([step for one in named.values() for step in one.steps])
    after = steps[steps > 0]
    axes.set_xlabel("training step")
    if len(after) > 1 and after[-1] > 10 * after[0]:
        axes.set_xscale("symlog", linthresh=after[0], linscale=0.4)
        ticks = [0.0] if steps[0] == 0 else []
        decades = 10.0 ** np.arange(math.ceil(math.log10(after[0])), math.floor(math.log10(after[-1])) + 1)
        axes.set_xticks([*ticks, *decades], labels=[*(["0"] * len(ticks)), *(f"{d:g}" for d in decades)])
        axes.set_xlim(-0.15 * after[0] if steps[0] == 0 else 0.8 * after[0], 1.3 * after[-1])


def _p_values(axes: Axes, named: Mapping[str, TrainingDynamics]) -> None:
    axes.set_yscale("log")
    lowest = 1.0
    for i, (name, one) in enumerate(named.items()):
        p = one.p_values
        known = np.isfinite(p)
        if not known.any():
            continue
        steps, shown = np.array(one.steps)[known], np.maximum(p[known], _LOWEST_P)
        lowest = min(lowest, float(shown.min()))
        axes.plot(steps, shown, ls=_LINES[i % 7], marker=_MARKERS[i % 7], ms=5, color=_COLOURS[i % 7], label=name)
        below = p[known] < _LOWEST_P
        if below.any():
            # An arrow of half a decade, downwards
            axes.errorbar(
                steps[below], shown[below], yerr=0.98 * shown[below], uplims=True, ls="", color=_COLOURS[i % 7]
            )
    axes.axhline(_VIOLATED, color="0.45", lw=1, ls=":", zorder=1)
    axes.annotate(
        f"violated below {_VIOLATED:g}", (0.99, _VIOLATED), xycoords=("axes fraction", "data"), xytext=(0, -3),
        textcoords="offset points", ha="right", va="top", color="0.35", fontsize=8,
    )  # fmt: skip
    axes.set_ylim(min(lowest / 300, 1e-5), 3)


def _levels_of_training(axes: Axes, named: Mapping[str, TrainingDynamics], panel: str) -> None:
    for name, one in named.items():
        series = one[panel]
        if not np.isfinite(series.values).any():
            continue
        for n in range(min(one.n_levels, _LEVELS)):
            line = _Line(str(n + 1), series.values[:, n], series.errors[:, n], series.origins[:, n])
            _line(axes, one.steps, line, n)
        axes.set_ylabel(f"{_LABELS[panel]}, {name}" if name else _LABELS[panel])
        if panel == "weight":
            _log_weights(axes, series.values)
        return
    axes.set_ylabel(_LABELS[panel])
    nothing(axes, "no levels")


def _log_weights(axes: Axes, weights: Floats) -> None:
    """A logarithmic scale of weights, which may be zero, if they differ by more than a factor of 10."""
    largest = float(np.nanmax(weights, initial=0.0))
    shown = weights[np.isfinite(weights) & (weights > _LOWEST_WEIGHT * largest)]
    if not shown.size or shown.min() > 0.1 * largest:
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(float(shown.min()) / 2, largest * 2)


def _line(axes: Axes, x: Any, line: _Line, number: int, *, connected: bool = True) -> None:
    """One quantity with its errors; averages and measurements have open markers."""
    label, values, errors, origins = line
    known = np.isfinite(values)
    if not known.any() and not np.isinf(values).any():
        return
    colour, marker = _COLOURS[number % 7], _MARKERS[number % 7]
    filled = bool(np.all(origins[known] == Origin.EXACT))
    axes.errorbar(
        np.asarray(x)[known],
        values[known],
        yerr=errors[known],
        ls=_LINES[number % 7] if connected else "",
        marker=marker,
        ms=5,
        mfc=colour if filled else "white",
        color=colour,
        lw=1.3,
        elinewidth=1,
        capsize=2,
        label=label,
    )


def scan(dataset: Dataset, axes: Sequence[Axes] | None = None, *, panels: Sequence[str] = _QUANTITIES) -> list[Axes]:
    """Draw the physics of the theories of a scan.

    The horizontal axis is the first dimension: numbers on a linear or, over more than a factor of 10, logarithmic
    scale, labels at equal distances. Each combination of the other dimensions is one line. Weights are those of the
    levels, for one line, or of the first level that any theory sees, for several.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of ``nnqm.scan``, or a part of it: ``dataset.sel(activation="tanh")``.
    axes : sequence of matplotlib Axes, optional
        Axes to draw on, one for each panel; a new figure by default.
    panels : sequence of str, default ("weight", "kurtosis", "commutator", "uncertainty")
        Name of the quantity: also "variance", "gap" and "positivity".

    Returns
    -------
    list of matplotlib Axes
        One for each panel; ``axes[0].figure.savefig`` writes the figure.

    Raises
    ------
    InputError, InputTypeError
        If the dataset is no scan, a panel is unknown, or the number of axes is wrong.
    ModuleNotFoundError
        Without matplotlib; ``pip install 'nnqm[plot]'`` gets it.
    """
    if not hasattr(dataset, "data_vars") or "weight_origin" not in dataset:
        raise InputTypeError(f"dataset must be a dataset of nnqm.scan; got {type(dataset).__name__}")
    dimensions = [str(d) for d in dataset["kurtosis"].dims]
    if not dimensions:
        raise InputError("dataset must have a dimension of theories; got a single theory; select a range instead")
    chosen = [choice("panels", panel, _LABELS) for panel in panels]
    found = _axes(axes, len(chosen))
    for panel, drawn in zip(chosen, found, strict=True):
        name = "p_value" if panel == "positivity" else panel
        lines = _lines_of_scan(dataset, dimensions, name)
        numbers = _scan_axis(drawn, dataset, dimensions[0])
        for i, line in enumerate(lines):
            # Labels have no order: their values stand side by side, without a line.
            x = dataset[dimensions[0]].values if numbers else _side_by_side(line.values.size, i, len(lines))
            _line(drawn, x, line, i, connected=numbers)
        if not any(np.isfinite(line.values).any() for line in lines):
            nothing(drawn, "no values")
        elif panel == "positivity":
            drawn.set_yscale("log")
            drawn.axhline(_VIOLATED, color="0.45", lw=1, ls=":", zorder=1)
        elif panel == "weight":
            _log_weights(drawn, np.array([line.values for line in lines]))
        label, heading = _LABELS[panel], ""
        if len(dimensions) == 2:
            heading = dimensions[1].replace("_", " ")
        elif panel in ("weight", "gap") and len(dimensions) == 1:
            heading = "$n$"
        if panel in ("weight", "gap") and len(dimensions) > 1:
            n = int(dataset["level"].values[_lowest_seen(dataset, dimensions)])
            label = label.replace("|n\\rangle", f"|{n}\\rangle").replace("E_n", f"E_{n}")
        drawn.set_ylabel(label)
        _finish(drawn, panel, heading)
    return found


def _lines_of_scan(dataset: Dataset, dimensions: list[str], name: str) -> list[_Line]:
    """One line for each level, or for each point of the other dimensions at the lowest level that is seen."""
    part, others = dataset, dimensions[1:]
    if "level" in dataset[name].dims and others:
        part = dataset.isel(level=_lowest_seen(dataset, dimensions))
    elif "level" in dataset[name].dims:
        part, others = dataset.isel(level=slice(_LEVELS)), ["level"]
    lines = []
    for place in np.ndindex(*(part.sizes[d] for d in others)):
        one = part.isel(dict(zip(others, place, strict=True)))
        texts = [str(one[d].values.item()) for d in others]
        text = texts[0] if len(others) == 1 else ", ".join(f"{d}={t}" for d, t in zip(others, texts, strict=True))
        values = np.asarray(one[name].values, dtype=np.float64)
        text += " (infinite)" if np.isinf(values).any() else ""
        errors = one[f"{name}_error"].values if f"{name}_error" in one else np.zeros(values.shape)
        origins = one[f"{name}_origin"].values if f"{name}_origin" in one else np.full(values.shape, Origin.MEASURED)
        lines.append(_Line(text, values, errors, origins))
    return lines


def _lowest_seen(dataset: Dataset, dimensions: list[str]) -> int:
    """Position of the lowest level that any theory sees."""
    seen = dataset["seen"].any(dim=dimensions).values
    return int(np.argmax(seen)) if seen.any() else 0


def _scan_axis(axes: Axes, dataset: Dataset, dimension: str) -> bool:
    """The horizontal axis; returns whether its values are numbers."""
    values = dataset[dimension].values
    axes.set_xlabel(dimension.replace("_", " "))
    if values.dtype.kind in "iuf":
        if values.min() > 0 and values.max() > 10 * values.min():
            axes.set_xscale("log")
        if len(values) <= _MOST_TICKS:
            axes.set_xticks(values, labels=[f"{v:g}" for v in values])
            axes.set_xticks([], minor=True)
        return True
    axes.set_xticks(range(len(values)), labels=[str(v) for v in values], rotation=30 if len(values) > 3 else 0)
    axes.set_xlim(-0.5, len(values) - 0.5)
    return False


def _side_by_side(count: int, number: int, lines: int) -> Floats:
    """Places of the values of one of several lines at labels 0, 1, ..., count - 1."""
    return np.asarray(np.arange(count) + (number - (lines - 1) / 2) * min(0.1, 0.6 / lines))


def _axes(given: Sequence[Axes] | None, count: int) -> list[Axes]:
    if count == 0:
        raise InputError("panels must have at least one entry; got none")
    if given is None:
        from matplotlib.figure import Figure

        columns = min(count, 2)
        rows = -(-count // columns)
        drawn = Figure(figsize=(4.6 * columns, 3.3 * rows), layout="constrained")
        grid = np.atleast_1d(drawn.subplots(rows, columns)).ravel()
        for unused in grid[count:]:
            unused.set_visible(False)
        return list(grid[:count])
    listed = list(np.ravel(np.asarray(given, dtype=object)))
    if len(listed) != count:
        raise InputError(f"axes must be one for each of the {count} panels; got {len(listed)}")
    return listed


def _finish(axes: Axes, panel: str, heading: str = "") -> None:
    """Frame, line of a Gaussian, and a legend above the panel, where it hides nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    if panel == "kurtosis":
        axes.axhline(0, color="0.8", lw=0.8, zorder=0)
    handles, labels = axes.get_legend_handles_labels()
    if not any(labels):
        return
    if heading:
        labels[0] = f"{heading} = {labels[0]}"
    # A row has room for about 60 characters, and a handle takes the room of 8.
    one_row = sum(len(label) + 8 for label in labels) <= 60
    columns = len(labels) if one_row else max(1, 60 // (max(map(len, labels)) + 8))
    axes.legend(
        handles,
        labels,
        frameon=False,
        fontsize=8,
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        columnspacing=1.0,
        handlelength=2.4,
    )
