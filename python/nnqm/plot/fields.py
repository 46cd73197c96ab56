"""Pictures of fields: propagators by distance, energies by momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import Floats, integer
from ..errors import InputError
from ..fields.correlators import DistanceCorrelator, correlator_by_distance
from ..fields.dispersions import Dispersion
from ..fields.field import Field
from ..fields.periodic_box import PeriodicBox
from ..sampling.correlators import Correlators
from ..verdict import Verdict
from .style import (
    COLOURS,
    EXACT,
    FAINT,
    LINES,
    MARKERS,
    SMALL,
    axes_of,
    ink,
    legend,
    legend_on_top,
    need,
    nothing,
    points,
    reasons,
    remark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["dispersion", "propagator"]

# Errors by which a value exceeds zero on a logarithmic scale.
_ABOVE_ZERO = 2.0


def propagator(
    run: Correlators | DistanceCorrelator,
    ax: Axes | None = None,
    *,
    lags: Sequence[int] = (0,),
    function: int | str = 0,
    exact: bool | Field = True,
) -> Axes:
    """Draw the connected two-point function of a field against the distance in space, at some lags in time.

    On the logarithmic scale only values that exceed zero by two errors are drawn; a remark counts the others.

    Parameters
    ----------
    run : Correlators or DistanceCorrelator
        A run of a theory with one field as its source; or ``fields.correlator_by_distance(run)``, which knows no exact
        values.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    lags : sequence of int, default (0,)
        Positions among the lags of the run; at most six.
    function : int or str, default 0
        As for ``fields.correlator_by_distance``.
    exact : bool or Field, default True
        Exact values of the given field, or of the field of the run if the function is the field itself.

    Returns
    -------
    matplotlib Axes
        Distance in units of length; the function in units of x^2.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> box = nnqm.fields.PeriodicBox(mass=1.0, sites=8)
    >>> run = nnqm.simulate(nnqm.Theory(box), 2000, 8, 0.2, rng=1, measure=nnqm.Measure(lags=(0, 1)))
    >>> nnqm.plot.propagator(run).get_xlabel()
    'distance $r$  [length]'
    """
    need("run", run, (Correlators, DistanceCorrelator), "give a run of a field")
    need("exact", exact, (bool, Field), "give the field, True or False")
    found = run if isinstance(run, DistanceCorrelator) else correlator_by_distance(run, function)
    field = exact if isinstance(exact, Field) else _field_of(run, function) if exact else None
    chosen = [integer(f"lags[{i}]", k, 0, len(found.times) - 1) for i, k in enumerate(lags)]
    if not 1 <= len(chosen) <= len(COLOURS):
        raise InputError(f"lags must have 1 to {len(COLOURS)} entries; got {len(chosen)}; draw several pictures")
    ax, left_out = axes_of(ax), 0
    with reasons(ax):
        logarithmic = bool((found.values.value[:, chosen] > _ABOVE_ZERO * found.values.error[:, chosen]).any())
        for i, k in enumerate(chosen):
            colour, values = COLOURS[i], found.values[:, k]
            seen = values.value > _ABOVE_ZERO * values.error if logarithmic else np.ones(values.shape, dtype=bool)
            left_out += int((~seen).sum())
            label = rf"$\tau$ = {found.times[k]:.4g}" if len(chosen) > 1 else "measured"
            style: dict[str, Any] = {"color": colour, "marker": MARKERS[i], "label": label}
            points(ax, found.distances[seen], values[seen], **style)
            if field is not None:
                line: dict[str, Any] = {
                    "color": EXACT if len(chosen) == 1 else colour,
                    "ls": LINES[i],
                    "lw": 1.3,
                    "zorder": 2,
                }
                at, displacements = _curve(field, found)
                known = field.propagator(found.times[k], displacements)
                ax.plot(at, known, label="exact" if len(chosen) == 1 else None, **line)
        if logarithmic:
            lowest = found.values.value[:, chosen]
            ax.set_yscale("log")
            ax.set_ylim(bottom=float(lowest[lowest > _ABOVE_ZERO * found.values.error[:, chosen]].min()) / 3)
        if left_out:
            remark(ax, f"{left_out} value{'s' * (left_out > 1)} below {_ABOVE_ZERO:g} errors not drawn")
        ax.set_xlabel("distance $r$  [length]")
        ax.set_ylabel(
            r"$G_c(\tau, r)$  [$x^2$]" if len(chosen) > 1 else rf"$G_c({found.times[chosen[0]]:.4g}, r)$  [$x^2$]"
        )
        legend(ax, "lines: exact" if field is not None and len(chosen) > 1 else "")
    return ax


def _curve(field: Field, found: DistanceCorrelator) -> tuple[Floats, Floats]:
    """Distances and displacements of a curve; in a box the field exists at sites only."""
    if isinstance(field, PeriodicBox):
        return found.distances, found.displacements
    r = np.linspace(found.distances[0], found.distances[-1], 300)
    displacements = np.zeros((len(r), found.displacements.shape[-1]))
    displacements[:, 0] = r
    return r, displacements


def _field_of(run: Correlators | DistanceCorrelator, function: int | str) -> Field | None:
    """The field of a run, if the function is the field itself."""
    theory = run.theory if isinstance(run, Correlators) else None
    if theory is None or (theory.network is not None and function != "phi"):
        return None
    source = theory.sources[0]
    return source if isinstance(source, Field) else None


def dispersion(dispersion: Dispersion, ax: Axes | None = None, *, n_particles: int = 2) -> Axes:
    r"""Draw the lowest energies of a field in a box against the momentum, with the exact ones of the free field.

    A momentum whose level is not resolved has its verdict at the bottom. Where levels are upper bounds, a remark says
    so. In more than one dimension of space the axis is the magnitude of the momentum.

    Parameters
    ----------
    dispersion : Dispersion
        Result of ``fields.dispersion``.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    n_particles : int, default 2
        Thresholds of 1 to this number of free particles are drawn; the first one is the dispersion of one particle.

    Returns
    -------
    matplotlib Axes
        Momentum in units of 1/length; energy in units of the mass.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> box = nnqm.fields.PeriodicBox(mass=1.0, sites=4)
    >>> run = nnqm.simulate(nnqm.Theory(box), 4000, 32, 0.2, rng=1)
    >>> nnqm.plot.dispersion(nnqm.fields.dispersion(run)).get_xlabel()
    'momentum $|q|$  [1/length]'
    """
    need("dispersion", dispersion, Dispersion, "give nnqm.fields.dispersion(run)")
    count = integer("n_particles", n_particles, 0, len(LINES))
    ax = axes_of(ax)
    q = np.sqrt((dispersion.momenta**2).sum(axis=-1))
    order = np.argsort(q, kind="stable")
    one_dimension = dispersion.momenta.shape[-1] == 1
    for n in range(1, count + 1):
        bounds = dispersion.thresholds(n)[order]
        label = r"$\omega(q)$, exact" if n == 1 else f"{n} particles, exact"
        colour, style = (EXACT, LINES[0]) if n == 1 else (ink(ax), LINES[n - 1])
        mark = "none" if one_dimension else "_"
        ax.plot(q[order], bounds, ls=style if one_dimension else "none", marker=mark, ms=12, color=colour, lw=1.3,
                alpha=1 if n == 1 else FAINT + 0.2, label=label, zorder=2)  # fmt: skip
    name = "measured, upper bound" if dispersion.upper_bounds else "measured"
    for place, energy, verdict in zip(q, dispersion.energies, dispersion.verdicts, strict=True):
        if energy is not None:
            points(ax, [place], energy.reshape(1), label=name)
        elif verdict is not Verdict.RESOLVED:
            _write(ax, float(place), str(verdict))
    if not ax.lines and not ax.containers:
        return nothing(ax, "no level is resolved at any momentum")
    margin = 0.04 * max(float(np.ptp(q)), 1e-12)
    ax.set_xlim(float(q.min()) - margin, float(q.max()) + margin)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("momentum $|q|$  [1/length]")
    ax.set_ylabel("$E(q)$  [energy]")
    legend_on_top(ax)
    return ax


def _write(ax: Axes, place: float, text: str) -> None:
    ax.annotate(
        text, (place, 0.02), xycoords=("data", "axes fraction"), rotation=90, ha="center", va="bottom",
        fontsize=SMALL - 1, color=ink(ax), alpha=0.85,
    )  # fmt: skip
