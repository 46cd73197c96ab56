"""Figures of a training and of a scan over theories."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError
from ..learning.dynamics import TrainingDynamics
from ..learning.physics import Origin

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
# Largest number of levels that are drawn.
_LEVELS = 5


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
        What is drawn: also "uncertainty", "variance" and "gap". Levels are drawn for the first training that has them.

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
        if panel == "positivity":
            _p_values(drawn, named)
        elif panel in ("weight", "gap"):
            _levels_of_training(drawn, named, panel)
        else:
            for i, (name, one) in enumerate(named.items()):
                series = one[panel]
                _line(drawn, one.steps, series.values, series.errors, series.origins, i, name)
        _style(drawn, panel)
        _step_axis(drawn, named)
        _legend(drawn)
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
        axes.plot(steps[below], shown[below], ls="", marker=r"$\downarrow$", ms=11, color=_COLOURS[i % 7])
    axes.axhline(_VIOLATED, color="0.45", lw=1, ls=":", zorder=1)
    axes.annotate(
        f"violated below {_VIOLATED:g}", (0.99, _VIOLATED), xycoords=("axes fraction", "data"), xytext=(0, -3),
        textcoords="offset points", ha="right", va="top", color="0.35", fontsize=8,
    )  # fmt: skip
    axes.set_ylim(min(lowest / 30, 1e-5), 3)


def _levels_of_training(axes: Axes, named: Mapping[str, TrainingDynamics], panel: str) -> None:
    for name, one in named.items():
        series = one[panel]
        if not np.isfinite(series.values).any():
            continue
        for n in range(min(one.n_levels, _LEVELS)):
            values, errors, origins = series.values[:, n], series.errors[:, n], series.origins[:, n]
            _line(axes, one.steps, values, errors, origins, n, f"$n={n + 1}$")
        if name:
            axes.set_title(name, fontsize=9)
        if panel == "weight":
            _log_weights(axes, series.values)
        return
    _nothing(axes, "no levels")


def _log_weights(axes: Axes, weights: Floats) -> None:
    """A logarithmic scale of weights, which may be zero."""
    largest = float(np.nanmax(weights, initial=0.0))
    if largest > 0:
        shown = weights[np.isfinite(weights) & (weights > _LOWEST_WEIGHT * largest)]
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(float(shown.min()) / 2, largest * 2)


def _line(axes: Axes, x: Any, values: Floats, errors: Floats, origins: NDArray[Any], number: int, label: str) -> None:
    """One quantity with its errors; averages and measurements have open markers."""
    known = np.isfinite(values)
    if not known.any():
        return
    colour, marker = _COLOURS[number % 7], _MARKERS[number % 7]
    filled = bool(np.all(origins[known] == Origin.EXACT))
    axes.errorbar(
        np.asarray(x)[known],
        values[known],
        yerr=errors[known],
        ls=_LINES[number % 7],
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
        What is drawn: also "variance", "gap" and "positivity".

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
        place = _scan_axis(drawn, dataset, dimensions[0])
        for i, (label, values, errors, origins) in enumerate(lines):
            _line(drawn, place(dataset[dimensions[0]].values), values, errors, origins, i, label)
        if not lines:
            _nothing(drawn, "no values")
        elif panel == "positivity":
            drawn.set_yscale("log")
            drawn.axhline(_VIOLATED, color="0.45", lw=1, ls=":", zorder=1)
        elif panel == "weight":
            _log_weights(drawn, np.array([values for _, values, _, _ in lines]))
        _style(drawn, panel)
        _legend(drawn)
    return found


def _lines_of_scan(dataset: Dataset, dimensions: list[str], name: str) -> list[tuple[str, Floats, Floats, Any]]:
    """Label, values, errors and origins of each line that has a value."""
    of_levels = "level" in dataset[name].dims
    part = dataset
    rest = dimensions[1:]
    prefix = ""
    if of_levels and rest:
        seen = dataset["seen"].any(dim=dimensions).values
        first = int(np.argmax(seen)) if seen.any() else 0
        part, prefix = dataset.isel(level=first), f"n={int(dataset['level'].values[first])}: "
    others = ["level"] if of_levels and not rest else rest
    sizes = [part.sizes[d] for d in others]
    lines = []
    for place in np.ndindex(*sizes):
        one = part.isel(dict(zip(others, place, strict=True)))
        values = np.asarray(one[name].values, dtype=np.float64)
        if not np.isfinite(values).any() or ("level" in others and place[0] >= _LEVELS):
            continue
        texts = [f"{'n' if d == 'level' else d}={one[d].values.item()}" for d in others]
        none = np.zeros(values.shape)
        errors = one[f"{name}_error"].values if f"{name}_error" in one else none
        origins = one[f"{name}_origin"].values if f"{name}_origin" in one else np.full(values.shape, "measured")
        lines.append((prefix + ", ".join(texts), values, errors, origins))
    return lines


def _scan_axis(axes: Axes, dataset: Dataset, dimension: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The horizontal axis; returns the function from coordinates to places on it."""
    values = dataset[dimension].values
    axes.set_xlabel(dimension.replace("_", " "))
    if values.dtype.kind in "iuf":
        if values.min() > 0 and values.max() > 10 * values.min():
            axes.set_xscale("log")
        return lambda x: x
    axes.set_xticks(range(len(values)), labels=[str(v) for v in values], rotation=30 if len(values) > 3 else 0)
    axes.set_xlim(-0.5, len(values) - 0.5)
    return lambda x: np.arange(len(x))


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


def _style(axes: Axes, panel: str) -> None:
    axes.set_ylabel(_LABELS[panel])
    axes.spines[["top", "right"]].set_visible(False)
    if panel in ("kurtosis",):
        axes.axhline(0, color="0.8", lw=0.8, zorder=0)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        axes.legend(handles, labels, frameon=False, fontsize=8)


def _nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="0.5")
