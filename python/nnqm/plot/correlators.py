"""Pictures of correlators: the two-point function, its effective energies, the commutator."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .._arguments import Floats
from ..errors import InputError, InputTypeError
from ..estimators.roughness import commutator as extrapolated_commutator
from ..estimators.roughness import commutator_at_lags
from ..quantum.measures import SpectralMeasure, ThermalMeasure, TwoPointFunction
from ..report.exact_values import Estimated, exact_column
from ..sampling.correlators import Correlators
from ..spectra.gevp import effective_energy
from ..spectra.one_correlator import OneCorrelator
from ..statistics.estimate import Estimate
from ..theories.mode_sums import KarhunenLoeve
from .style import (
    EXACT,
    FAINT,
    FILLED,
    FITTED,
    MARKER,
    axes_of,
    ink,
    legend,
    legend_on_top,
    need,
    nothing,
    plain,
    points,
    reasons,
    remark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Exact", "commutator", "correlator", "effective_energies"]

# Exact values of a picture: given ones, those that nnqm knows of the theory (True), or none (False).
Exact: TypeAlias = "TwoPointFunction | Estimated | bool"

_NO_LAGS = "this run holds no {}, which need a stationary theory and a uniform grid of times"
_RUN = "give a run of simulate, accumulate or load"
# Points of a curve, and of the curve of an expansion; part of the largest lag from which commutators are drawn.
_FINE, _MODE_LAGS, _FIRST = 400, 60, 1e-3
# Largest relative error of an effective energy for which the axis has room.
_SHARP = 0.2
# Errors by which a value exceeds zero on a logarithmic scale.
_ABOVE_ZERO = 2.0


def correlator(
    run: Correlators | TwoPointFunction,
    ax: Axes | None = None,
    *,
    channel: int | str = 0,
    exact: Exact = True,
    log: bool = True,
) -> Axes:
    """Draw the connected two-point function, measured and exact, against the lag.

    On the logarithmic scale the measured values end at the first one that does not exceed zero by two errors; a remark
    says where. If fewer than two values do, the scale is linear and all values are drawn. Errors are total errors.

    Parameters
    ----------
    run : Correlators or TwoPointFunction
        A run; or an exact function alone, for example ``kallen_lehmann(theory)`` or ``thermal_measure(theory)``.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    channel : int or str, default 0
        Position or name of the channel x of a run.
    exact : TwoPointFunction or bool, default True
        Exact values beside the measured ones: the given ones, those that ``analyse`` knows of the theory, or none.
    log : bool, default True
        Whether the vertical scale may be logarithmic.

    Returns
    -------
    matplotlib Axes
        Lag in units of time; the function in units of x^2.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 32, 0.2, rng=1)
    >>> nnqm.plot.correlator(run).get_yscale()
    'log'
    """
    need("run", run, (Correlators, TwoPointFunction), _RUN)
    if isinstance(run, TwoPointFunction):
        return _exact_correlator(run, axes_of(ax), log)
    name = run.channels[run.observables.index(channel)]
    known, ax = exact_of(run, name, exact), axes_of(ax)
    if "lags" not in run.sums or not run.lags:
        return nothing(ax, _NO_LAGS.format("lags"))
    with reasons(ax):
        found, times = run.connected(name), np.array(run.lags) * run.dt
        lost = np.flatnonzero(~(found.value > _ABOVE_ZERO * found.total_error))
        n = int(lost[0]) if lost.size else len(times)
        if log and n >= 2:
            ax.set_yscale("log")
            if n < len(times):
                remark(ax, rf"lost in noise from $\tau$ = {times[n]:.4g}")
            found, times = found[:n], times[:n]
            lowest = found.value.min()
            ax.set_ylim(lowest / (6 if n < len(run.lags) else 2), found.value.max() * 2)
        else:
            ax.axhline(0, color=ink(ax), lw=0.8, alpha=FAINT, zorder=0)
        points(ax, times, found)
        _curve(ax, known, times)
        _label_correlator(ax, name)
        legend(ax)
    return ax


def _exact_correlator(function: TwoPointFunction, ax: Axes, log: bool) -> Axes:
    """The function of a measure alone: one period, or until it has decayed."""
    step, end = getattr(function, "step", None), _end_of(function)
    times = np.linspace(0, end, _FINE) if step is None else step * np.arange(max(2, round(end / step)))
    with reasons(ax):
        values = function.connected(times)
        if not values.max() > 0:
            return nothing(ax, "x does not fluctuate")
        if log and values.min() > 1e-12 * values.max():
            ax.set_yscale("log")
        ax.plot(times, values, "-" if step is None else "D", ms=MARKER, color=EXACT, lw=1.6, label="exact")
        _label_correlator(ax, "x")
        legend(ax)
    return ax


def _end_of(function: TwoPointFunction) -> float:
    """One period, or five times the longest time of decay."""
    if isinstance(function, ThermalMeasure):
        return function.beta
    energies = function.energies if isinstance(function, SpectralMeasure) else np.empty(0)
    return 5.0 * function.hbar / float(energies.min()) if energies.size and energies.min() > 0 else 1.0


def _label_correlator(ax: Axes, name: str) -> None:
    ax.set_xlabel(r"lag $\tau$  [time]")
    ax.set_ylabel(rf"$G_c(\tau)$ of {plain(name)}  [$x^2$]")


def exact_of(run: Correlators, name: str, exact: Exact) -> TwoPointFunction | Estimated | None:
    """The exact values that an argument ``exact`` means."""
    if isinstance(exact, bool):
        return exact_column(run, name, []) if exact and run.uniform else None
    if not isinstance(exact, (TwoPointFunction, Estimated)):
        raise InputTypeError(
            f"exact must be True, False or a TwoPointFunction; got {type(exact).__name__}; use "
            "nnqm.kallen_lehmann(theory)"
        )
    return exact


def _curve(ax: Axes, exact: TwoPointFunction | Estimated | None, lags: Floats, *, commutator: bool = False) -> None:
    """The exact two-point function, or commutator at finite lag: a curve, or points at the lags where it is known."""
    if isinstance(exact, Estimated):
        known = np.unique(exact.average.times[exact.average.times <= lags.max()])
        known = known[known > 0] if commutator else known
        found = [exact.commutator_at(t) if commutator else exact.connected(t) for t in known]
        error = [float(e.total_error) for e in found]
        values = [float(e.value) for e in found]
        ax.errorbar(known, values, yerr=error, fmt="D", ms=MARKER, color=EXACT, label="exact", zorder=2)
    elif exact is not None:
        fine = np.linspace(_FIRST if commutator else 0.0, 1, _FINE) * lags.max()
        # Chains have no values between steps, and thermal networks with kinks none at early times.
        for times, style in ((fine, "-"), (lags[lags > 0], "D")):
            with suppress(InputError):
                curve = exact.commutator_at(times) if commutator else exact.connected(times)
                ax.plot(times, curve, style, ms=MARKER, color=EXACT, lw=1.6, label="exact", zorder=2)
                return


def effective_energies(
    run: Correlators, ax: Axes | None = None, *, channel: int | str = 0, exact: Exact = True
) -> Axes:
    r"""Draw effective energies against the lag, with the plateau that ``OneCorrelator.plateau`` chooses.

    The energies are the ones of ``effective_energy``, for closed paths the ones of ``OneCorrelator.effective_energy``.
    They tend to the first gap that x sees from above. The line is the plateau, from the start of the most probable
    window on, with bands of its statistical (inner) and its total error (outer). A plateau that is not resolved has no
    band, and its verdict is written.

    Parameters
    ----------
    run : Correlators
        A run with lags.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    channel : int or str, default 0
        Position or name of the channel x.
    exact : TwoPointFunction or bool, default True
        Exact values of the same estimator: of the given function, of the one that ``analyse`` knows, or none.

    Returns
    -------
    matplotlib Axes
        Lag in units of time; energy in units of hbar/time.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 32, 0.2, rng=1)
    >>> nnqm.plot.effective_energies(run).get_ylabel()
    '$E_{\\mathrm{eff}}(\\tau)$ of x  [energy]'
    """
    need("run", run, Correlators, _RUN)
    name = run.channels[run.observables.index(channel)]
    known, ax = exact_of(run, name, exact), axes_of(ax)
    if "lags" not in run.sums or len(run.lags) < 2:
        return nothing(ax, _NO_LAGS.format("lags"))
    with reasons(ax):
        if run.period is None:
            times, energy = effective_energy(run, name)
        else:
            times, energy = OneCorrelator(run, channel=name).effective_energy()
        if not len(times):
            return nothing(ax, "no two values of the two-point function exceed zero by five errors")
        points(ax, times, energy)
        if isinstance(known, TwoPointFunction) and run.period is None:
            _exact_energies(ax, run, known, times)
        band = _plateau(ax, run, name)
        sharp = energy[energy.total_error < _SHARP * np.abs(energy.value)]
        shown = np.concatenate([sharp.value - sharp.total_error, sharp.value + sharp.total_error, band])
        if shown.size:
            margin = max(0.25 * float(np.ptp(shown)), 0.03 * float(np.abs(shown).max()))
            ax.set_ylim(float(shown.min()) - margin, float(shown.max()) + margin)
        ax.set_xlim(0, None)
        ax.set_xlabel(r"lag $\tau$  [time]")
        ax.set_ylabel(rf"$E_{{\mathrm{{eff}}}}(\tau)$ of {plain(name)}  [energy]")
        legend_on_top(ax)
    return ax


def _exact_energies(ax: Axes, run: Correlators, exact: TwoPointFunction, times: Floats) -> None:
    """The exact value of the estimator, which is a difference between two lags."""
    tau = np.asarray(run.lags[: len(times) + 1]) * run.dt
    with suppress(InputError), np.errstate(divide="ignore", invalid="ignore"):
        values = -run.hbar * np.diff(np.log(exact.connected(tau))) / np.diff(tau)
        ax.plot(times, values, "-", color=EXACT, lw=1.6, label="exact", zorder=2)


def _plateau(ax: Axes, run: Correlators, name: str) -> Floats:
    """Draw the plateau; returns the ends of its outer band, which may be none."""
    try:
        found = OneCorrelator(run, channel=name).plateau()
    except InputError as reason:
        remark(ax, f"no plateau: {plain(reason.reason[:70])}")
        return np.empty(0)
    level = found.levels[0]
    if not level.resolved or level.gap is None:
        remark(ax, f"no plateau is resolved: {level.verdict}")
        return np.empty(0)
    value, ends = float(level.gap.value), found.times[[0, -1]]
    for error in (float(level.gap.total_error), float(level.gap.error)):
        ax.fill_between(ends, value - error, value + error, color=FITTED, alpha=FILLED, lw=0, zorder=1)
    ax.plot(ends, [value, value], "--", color=FITTED, lw=1.4, label=f"plateau {level.gap}, {level.verdict}", zorder=1)
    return value + float(level.gap.total_error) * np.array([-1.0, 1.0])


def commutator(
    run: Correlators | TwoPointFunction | KarhunenLoeve,
    ax: Axes | None = None,
    *,
    channel: int | str = 0,
    exact: Exact = True,
) -> Axes:
    r"""Draw the commutator at finite lag epsilon and its limit epsilon -> 0.

    The points are ``commutator_at_lags``, :math:`m \langle [x(t + \epsilon) - x(t)]^2\rangle/\hbar\epsilon`. The dashed
    line is the polynomial through the first K of them, in the lag or its square root, with which ``commutator``
    extrapolates; the diamond at 0 is the limit with its total error, and its verdict is in the legend. A limit without
    a value is only written.

    Parameters
    ----------
    run : Correlators, TwoPointFunction or KarhunenLoeve
        A run with increment lags; an exact function alone, with its limit; or a Karhunen-Loeve expansion, whose
        commutator vanishes at lags below the length of its interval over the number of modes (hbar = mass = 1).
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    channel : int or str, default 0
        Position or name of the channel x.
    exact : TwoPointFunction or bool, default True
        Exact values of the same estimator: the given ones, those that ``analyse`` knows of the theory, or none.

    Returns
    -------
    matplotlib Axes
        Lag in units of time; the commutator in units of i hbar.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 32, 0.1, rng=1)
    >>> nnqm.plot.commutator(run).get_xlabel()
    'lag $\\epsilon$  [time]'
    """
    need("run", run, (Correlators, TwoPointFunction, KarhunenLoeve), _RUN)
    if not isinstance(run, Correlators):
        return _exact_commutator(run, axes_of(ax))
    name = run.channels[run.observables.index(channel)]
    known, ax = exact_of(run, name, exact), axes_of(ax)
    if "increments" not in run.sums or not run.increment_lags:
        return nothing(ax, _NO_LAGS.format("increments"))
    with reasons(ax):
        at_lags, lags = commutator_at_lags(run, name), np.array(run.increment_lags) * run.dt
        points(ax, lags, at_lags)
        _curve(ax, known, lags, commutator=True)
        _limit(ax, run, name, at_lags)
        ax.set_xlim(-0.03 * lags.max(), 1.03 * lags.max())
        ax.set_ylim(bottom=min(0.0, float(at_lags.value.min())))
        _label_commutator(ax, name)
    return ax


def _label_commutator(ax: Axes, name: str) -> None:
    ax.set_xlabel(r"lag $\epsilon$  [time]")
    ax.set_ylabel(rf"$[x, p]/i\hbar$ at $\epsilon$, of {plain(name)}  [1]")
    legend_on_top(ax)


def _exact_commutator(known: TwoPointFunction | KarhunenLoeve, ax: Axes) -> Axes:
    """The commutator of an exact function or of an expansion alone."""
    with reasons(ax):
        if isinstance(known, KarhunenLoeve):
            length = known.interval[1] - known.interval[0]
            lags = np.geomspace(0.01 * length / max(len(known), 1), 0.3 * length, _MODE_LAGS)
            ax.plot(lags, known.commutator_at(lags), color=EXACT, lw=1.6, label=f"{len(known)} modes")
            ax.axvline(length / max(len(known), 1), color=ink(ax), alpha=FAINT, ls=":", lw=1, label="length/modes")
            ax.set_xscale("log")
        else:
            step, end = getattr(known, "step", None), _end_of(known)
            steps = 1 if step is None else max(2, round(end / step))
            lags = np.linspace(0, end, _FINE) if step is None else step * np.arange(1, steps + 1)
            _curve(ax, known, lags, commutator=True)
            if np.isfinite(known.commutator):
                label = rf"$\epsilon \to 0$: {known.commutator:.5g}"
                ax.plot([0.0], [known.commutator], "D", ms=MARKER, color=EXACT, label=label, clip_on=False)
            ax.set_xlim(left=-0.03 * end)
        ax.set_ylim(bottom=0)
        _label_commutator(ax, "x")
    return ax


def _limit(ax: Axes, run: Correlators, name: str, at_lags: Estimate) -> None:
    """The limit, and the polynomial of the extrapolation."""
    try:
        found = extrapolated_commutator(run, name)
    except InputError as error:
        remark(ax, f"no limit: {plain(error.reason[:70])}")
        return
    if found.estimate is None:
        remark(ax, rf"$\epsilon \to 0$: {found.verdict}")
        return
    text = rf"$\epsilon \to 0$: {found.estimate}, {found.verdict}"
    points(ax, [0.0], found.estimate.reshape(1), color=FITTED, marker="D", label=text, clip_on=False, zorder=4)
    k = found.n_lags
    if k < 2 or not found.variable:
        return
    power = 0.5 if found.variable == "sqrt(dt)" else 1.0
    leading = [run.increment_lags.index(j) for j in range(1, k + 1)]
    fine = np.linspace(0, k, 100)
    curve = _through(np.arange(1.0, k + 1) ** power, at_lags.value[leading], fine**power)
    ax.plot(fine * run.dt, curve, "--", color=FITTED, lw=1.2, zorder=1)


def _through(nodes: Floats, values: Floats, at: Floats) -> Floats:
    """The polynomial through points, in Lagrange's form."""
    total = np.zeros_like(at)
    for i, value in enumerate(values):
        others = np.delete(nodes, i)
        total += value * np.prod((at[:, None] - others) / (nodes[i] - others), axis=1)
    return total
