"""Pictures of a training and of a scan over theories."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError
from ..learning.dynamics import TrainingDynamics
from ..learning.physics import Origin
from .style import FAINT, SMALL, axes_of, ink, legend, legend_on_top, nothing, plain, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import Dataset

__all__ = ["scan", "training"]

# Labels of the ax. x is measured in a unit of its own.
_LABELS = {
    "positivity": "p-value of reflection positivity  [1]",
    "weight": r"$|\langle 0|x|n\rangle|^2$  [$x^2$]",
    "kurtosis": "excess kurtosis of $x$  [1]",
    "commutator": r"$[x, p]/i\hbar$  [1]",
    "uncertainty": r"$\Delta x\,\Delta p$  [action]",
    "variance": r"variance of $x$  [$x^2$]",
    "gap": r"$E_n - E_0$  [energy]",
    "loss": "loss  [unit of the training]",
}
# Quantities of levels.
_OF_LEVELS = ("weight", "gap")
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


def training(
    dynamics: TrainingDynamics | Mapping[str, TrainingDynamics], ax: Axes | None = None, *, quantity: str = "weight"
) -> Axes:
    r"""Draw one quantity of the theories along one or several trainings against the training step.

    The axis of steps is linear up to the first step after 0 and logarithmic beyond. Exact values have filled markers;
    measured values and averages have open markers and errors. Values that are not resolved are left out. p-values below
    1e-30 are drawn there as arrows.

    Parameters
    ----------
    dynamics : TrainingDynamics or mapping of str to TrainingDynamics
        One training, or several by their names.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    quantity : str, default "weight"
        "weight" or "gap" of the lowest levels, of the first training that has them; "kurtosis", "variance",
        "commutator", "uncertainty"; "positivity", the p-value of the test on paths; or "loss".

    Returns
    -------
    matplotlib Axes
        Weights in units of x^2, gaps of hbar/time, the variance of x^2, the uncertainty of the action.

    Raises
    ------
    InputError, InputTypeError
        If there is nothing to draw, or the quantity is unknown.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="sin"))
    >>> networks = [start.network.with_parameters([w, 0.0, 1.0, 0.0]) for w in (1.0, 2.0)]
    >>> along = nnqm.Trajectory.of_checkpoints(start, networks, [0, 100])
    >>> found = nnqm.training_dynamics(along, n_levels=3, positivity=False)
    >>> nnqm.plot.training(found, quantity="kurtosis").get_xlabel()
    'training step'
    """
    named = dynamics if isinstance(dynamics, Mapping) else {"": dynamics}
    for name, one in named.items():
        if not isinstance(one, TrainingDynamics):
            raise InputTypeError(
                f"dynamics must be TrainingDynamics; got {type(one).__name__}{f' for {name!r}' if name else ''}; "
                "nnqm.training_dynamics makes one"
            )
    if not any(one.steps for one in named.values()):
        raise InputError("dynamics must have at least one step; got none")
    named = {plain(str(name)): one for name, one in named.items()}
    wanted, ax = choice("quantity", quantity, _LABELS), axes_of(ax)
    ax.set_ylabel(_LABELS[wanted])
    if wanted == "positivity":
        _p_values(ax, named)
    elif wanted in _OF_LEVELS:
        _levels_of_training(ax, named, wanted)
    elif wanted == "loss":
        _losses(ax, named)
    else:
        for i, (name, one) in enumerate(named.items()):
            found = one[wanted]
            _line(ax, one.steps, _Line(name, found.values, found.errors, found.origins), i)
    if not ax.lines and not ax.texts:
        return nothing(ax, f"no value of the {wanted} is known")
    if ax.lines:
        _step_axis(ax, named)
    _finish(ax, wanted, "$n$" if wanted in _OF_LEVELS else "")
    return ax


def _losses(ax: Axes, named: Mapping[str, TrainingDynamics]) -> None:
    for i, (name, one) in enumerate(named.items()):
        if one.losses is not None:
            ax.plot(one.steps, one.losses, label=name, **series(i, ax=ax))
    values = np.concatenate([line.get_ydata() for line in ax.lines]) if ax.lines else np.empty(0)
    if values.size and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")


def _step_axis(ax: Axes, named: Mapping[str, TrainingDynamics]) -> None:
    """Steps on a scale that is linear up to the first step after 0 and logarithmic beyond."""
    steps = np.unique([step for one in named.values() for step in one.steps])
    after = steps[steps > 0]
    ax.set_xlabel("training step")
    if len(after) > 1 and after[-1] > 10 * after[0]:
        ax.set_xscale("symlog", linthresh=after[0], linscale=0.4)
        ticks = [0.0] if steps[0] == 0 else []
        decades = 10.0 ** np.arange(math.ceil(math.log10(after[0])), math.floor(math.log10(after[-1])) + 1)
        ax.set_xticks([*ticks, *decades], labels=[*(["0"] * len(ticks)), *(f"{d:g}" for d in decades)])
        ax.set_xlim(-0.15 * after[0] if steps[0] == 0 else 0.8 * after[0], 1.3 * after[-1])


def _p_values(ax: Axes, named: Mapping[str, TrainingDynamics]) -> None:
    ax.set_yscale("log")
    lowest = 1.0
    for i, (name, one) in enumerate(named.items()):
        p = one.p_values
        known = np.isfinite(p)
        if not known.any():
            continue
        steps, shown = np.array(one.steps)[known], np.maximum(p[known], _LOWEST_P)
        lowest = min(lowest, float(shown.min()))
        style = series(i, ax=ax)
        ax.plot(steps, shown, label=name, **style)
        below = p[known] < _LOWEST_P
        if below.any():
            # An arrow of half a decade, downwards
            ax.errorbar(steps[below], shown[below], yerr=0.98 * shown[below], uplims=True, ls="", color=style["color"])
    if not ax.lines:
        nothing(ax, "no test of reflection positivity")
        return
    _mark_violation(ax)
    ax.set_ylim(min(lowest / 300, 1e-5), 3)


def _mark_violation(ax: Axes) -> None:
    ax.axhline(_VIOLATED, color=ink(ax), alpha=FAINT, lw=1, ls=":", zorder=1)
    ax.annotate(
        f"violated below {_VIOLATED:g}", (0.99, _VIOLATED), xycoords=("axes fraction", "data"), xytext=(0, -3),
        textcoords="offset points", ha="right", va="top", color=ink(ax), alpha=0.8, fontsize=SMALL,
    )  # fmt: skip


def _levels_of_training(ax: Axes, named: Mapping[str, TrainingDynamics], panel: str) -> None:
    for name, one in named.items():
        series = one[panel]
        if not np.isfinite(series.values).any():
            continue
        for n in range(min(one.n_levels, _LEVELS)):
            line = _Line(str(n + 1), series.values[:, n], series.errors[:, n], series.origins[:, n])
            _line(ax, one.steps, line, n)
        ax.set_ylabel(f"{_LABELS[panel]}, {name}" if name else _LABELS[panel])
        if panel == "weight":
            _log_weights(ax, series.values)
        return
    ax.set_ylabel(_LABELS[panel])
    nothing(ax, "no training here has levels; choose another quantity")


def _log_weights(ax: Axes, weights: Floats) -> None:
    """A logarithmic scale of weights, which may be zero, if they differ by more than a factor of 10."""
    largest = float(np.nanmax(weights, initial=0.0))
    shown = weights[np.isfinite(weights) & (weights > _LOWEST_WEIGHT * largest)]
    if not shown.size or shown.min() > 0.1 * largest:
        ax.set_ylim(bottom=0)
    else:
        ax.set_yscale("log", nonpositive="mask")
        ax.set_ylim(float(shown.min()) / 2, largest * 2)


def _line(ax: Axes, x: Any, line: _Line, number: int, *, connected: bool = True) -> None:
    """One quantity with its errors; averages and measurements have open markers."""
    label, values, errors, origins = line
    known = np.isfinite(values)
    if not known.any() and not np.isinf(values).any():
        return
    filled = bool(np.all(origins[known] == Origin.EXACT))
    style = series(number, filled=filled, connected=connected, ax=ax)
    at = np.asarray(x)[known]
    ax.errorbar(at, values[known], yerr=errors[known], elinewidth=1, capsize=2, label=label, **style)


def scan(dataset: Dataset, ax: Axes | None = None, *, quantity: str = "weight") -> Axes:
    """Draw one quantity of the theories of a scan.

    The horizontal axis is the first dimension: numbers on a linear or, over more than a factor of 10, logarithmic
    scale, labels at equal distances. Each combination of the other dimensions is one line. Weights and gaps are the
    ones of the levels, for one line, or of the first level that any theory sees, for several.

    Parameters
    ----------
    dataset : xarray.Dataset
        Result of ``nnqm.scan``, or a part of it: ``dataset.sel(activation="tanh")``.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    quantity : str, default "weight"
        "weight", "gap", "kurtosis", "variance", "commutator", "uncertainty" or "positivity".

    Returns
    -------
    matplotlib Axes
        Units as in ``training``.

    Raises
    ------
    InputError, InputTypeError
        If the dataset is no scan, or the quantity is unknown.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> theories = {name: nnqm.builtin_theory(name) for name in ("oscillator", "deep-tanh")}
    >>> found = nnqm.scan(theories, n_levels=2, positivity=False)
    >>> nnqm.plot.scan(found, quantity="kurtosis").get_xlabel()
    'theory'
    """
    if not hasattr(dataset, "data_vars") or "weight_origin" not in dataset:
        raise InputTypeError(f"dataset must be a dataset of nnqm.scan; got {type(dataset).__name__}")
    dimensions = [str(d) for d in dataset["kurtosis"].dims]
    if not dimensions:
        raise InputError("dataset must have a dimension of theories; got a single theory; select a range instead")
    wanted = choice("quantity", quantity, [name for name in _LABELS if name != "loss"])
    ax, lines = axes_of(ax), _lines_of_scan(dataset, dimensions, "p_value" if wanted == "positivity" else wanted)
    ax.set_ylabel(_LABELS[wanted])
    if not any(np.isfinite(line.values).any() for line in lines):
        return nothing(ax, f"no value of the {wanted} is known")
    numbers = _scan_axis(ax, dataset, dimensions[0])
    for i, line in enumerate(lines):
        # Labels have no order: their values stand side by side, without a line.
        x = dataset[dimensions[0]].values if numbers else _side_by_side(line.values.size, i, len(lines))
        _line(ax, x, line, i, connected=numbers)
    if wanted == "positivity":
        ax.set_yscale("log")
        _mark_violation(ax)
    elif wanted == "weight":
        _log_weights(ax, np.array([line.values for line in lines]))
    heading = ""
    if len(dimensions) == 2:
        heading = plain(dimensions[1].replace("_", " "))
    elif wanted in _OF_LEVELS and len(dimensions) == 1:
        heading = "$n$"
    if wanted in _OF_LEVELS and len(dimensions) > 1:
        n = int(dataset["level"].values[_lowest_seen(dataset, dimensions)])
        ax.set_ylabel(_LABELS[wanted].replace("|n\\rangle", f"|{n}\\rangle").replace("E_n", f"E_{n}"))
    _finish(ax, wanted, heading)
    return ax


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
        if np.isinf(values).any():
            text = f"{text} (infinite)" if text else "infinite where missing"
        errors = one[f"{name}_error"].values if f"{name}_error" in one else np.zeros(values.shape)
        origins = one[f"{name}_origin"].values if f"{name}_origin" in one else np.full(values.shape, Origin.MEASURED)
        lines.append(_Line(plain(text), values, errors, origins))
    return lines


def _lowest_seen(dataset: Dataset, dimensions: list[str]) -> int:
    """Position of the lowest level that any theory sees."""
    seen = dataset["seen"].any(dim=dimensions).values
    return int(np.argmax(seen)) if seen.any() else 0


def _scan_axis(ax: Axes, dataset: Dataset, dimension: str) -> bool:
    """The horizontal axis; returns whether its values are numbers."""
    values = dataset[dimension].values
    ax.set_xlabel(plain(dimension.replace("_", " ")))
    if values.dtype.kind in "iuf":
        if values.min() > 0 and values.max() > 10 * values.min():
            ax.set_xscale("log")
        if len(values) <= _MOST_TICKS:
            ax.set_xticks(values, labels=[f"{v:g}" for v in values])
            ax.set_xticks([], minor=True)
        return True
    ax.set_xticks(
        range(len(values)),
        labels=[plain(str(v)) for v in values],
        rotation=30 if len(values) > 3 else 0,
        ha="right" if len(values) > 3 else "center",
    )
    ax.set_xlim(-0.5, len(values) - 0.5)
    return False


def _side_by_side(count: int, number: int, lines: int) -> Floats:
    """Places of the values of one of several lines at labels 0, 1, ..., count - 1."""
    return np.asarray(np.arange(count) + (number - (lines - 1) / 2) * min(0.1, 0.6 / lines))


def _finish(ax: Axes, quantity: str, heading: str = "") -> None:
    """Line of a Gaussian, and a legend above what is drawn."""
    if quantity == "kurtosis":
        ax.axhline(0, color=ink(ax), alpha=FAINT, lw=0.8, zorder=0)
    # Above 1 there are no p-values, and thus no room.
    if quantity == "positivity":
        legend(ax, heading)
    else:
        legend_on_top(ax, heading)
