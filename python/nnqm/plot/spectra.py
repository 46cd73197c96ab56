"""Pictures of spectra: levels with their verdicts, spectral measures, reflection positivity."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..positivity.certificate import PositivityCertificate
from ..positivity.reflection import PositivityResult
from ..quantum.measures import SpectralMeasure
from ..report.table import Group, Report
from ..spectra.decay_levels import DecayLevels
from ..spectra.levels import Spectrum
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .style import (
    EXACT,
    FAINT,
    FITTED,
    MARKER,
    MEASURED,
    SMALL,
    axes_of,
    ink,
    legend_on_top,
    need,
    nothing,
    plain,
    points,
    remark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["levels", "reflection", "spectral_measure"]

Positivity: TypeAlias = "PositivityResult | PositivityCertificate"

# Smallest weight that is drawn, relative to the largest; energies nearer than this, relative, are one level.
_LOWEST_WEIGHT, _EQUAL = 1e-9, 1e-9
# Levels of a measure that are drawn, by ascending energy; errors by which a measured weight exceeds zero.
_MOST_LINES, _ABOVE_ZERO = 40, 2.0
# Scale that is linear around zero: eigenvalues of the ridge are noise.
_LINEAR = 1e-3
# Characters of the formula of a witness, and of a line of it.
_LONGEST, _LINE = 220, 60


@dataclass(frozen=True)
class _Step:
    """One level of a diagram. ``verdict`` is the text below a level that is not sound."""

    name: str
    gap: Estimate | None
    exact: float | None
    sound: bool
    verdict: str


def levels(
    spectrum: Spectrum | DecayLevels | Report, ax: Axes | None = None, *, exact: ArrayLike | None = None
) -> Axes:
    r"""Draw the levels above the ground state, each with its error and verdict, beside the exact ones.

    A resolved level has a filled circle. All others have their verdict written: a bound or a deviating level has an
    open square, a level that is not resolved has an open triangle at its value, if it has one, or none.

    Parameters
    ----------
    spectrum : Spectrum, DecayLevels or Report
        Result of ``spectrum`` or ``hidden_spectrum``, of a method of ``OneCorrelator``, or of ``analyse``, which knows
        the exact levels.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    exact : array_like, optional
        Exact gaps E_n - E_0, n = 1, 2, ..., for example ``hamiltonian.gaps(5)``, shape (k,), energy units.

    Returns
    -------
    matplotlib Axes
        Energy in units of hbar/time.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8000, 64, 0.2, rng=1)
    >>> nnqm.plot.levels(nnqm.spectrum(run, 3), exact=[1.0, 2.0, 3.0]).get_ylabel()
    '$E_n - E_0$  [energy]'
    """
    need("spectrum", spectrum, (Spectrum, DecayLevels, Report), "give nnqm.spectrum(run) or nnqm.analyse(run)")
    known = None if exact is None else floats("exact", exact, 1)
    steps = _steps_of_report(spectrum, known) if isinstance(spectrum, Report) else _steps(spectrum, known)
    ax = axes_of(ax)
    if not steps:
        return nothing(ax, _why_none(spectrum))
    if all(step.gap is None and step.exact is None for step in steps):
        return nothing(ax, "\n".join(f"{step.name}: {step.verdict}" for step in steps))
    half, used = 0.32, [0.0]
    places = [(i, step.exact) for i, step in enumerate(steps) if step.exact is not None]
    used += [e for _, e in places]
    if places:
        at = np.array([i for i, _ in places])
        ax.hlines([e for _, e in places], at - half, at + half, color=EXACT, lw=2.2, label="exact", zorder=2)
    for i, step in enumerate(steps):
        if step.gap is not None:
            unresolved = not step.sound and step.exact is None
            marker = "o" if step.sound else "^" if unresolved else "s"
            face = MEASURED if step.sound else ax.get_facecolor()
            label = "measured" if step.sound else "not resolved" if unresolved else "measured, with a caveat"
            points(ax, [i], step.gap.reshape(1), marker=marker, mfc=face, label=label)
            used += [float(step.gap.value + sign * step.gap.total_error) for sign in (-1, 1)]
    low, high = min(used), max(used)
    ax.set_ylim(low - (0.08 * (high - low) if low < 0 else 0.0), high + 0.06 * (high - low))
    for i, step in enumerate(steps):
        if step.verdict:
            _write_verdict(ax, i, step, (low + high) / 2)
    wide = sum(len(step.name) + 3 for step in steps) > 50
    ax.set_xticks(range(len(steps)), [step.name for step in steps], rotation=25 if wide else 0)
    ax.set_xlim(-0.6, len(steps) - 0.4)
    ax.set_xlabel("number $n$ of the level  [1]")
    ax.set_ylabel(r"$E_n - E_0$  [energy]")
    legend_on_top(ax)
    return ax


def _why_none(spectrum: Spectrum | DecayLevels | Report) -> str:
    if isinstance(spectrum, Report):
        return "this report has no levels; they need open paths on a uniform grid of times"
    return "no level was found"


def _write_verdict(ax: Axes, i: int, step: _Step, middle: float) -> None:
    """The verdict below a high level, above a low one, or at the bottom without a level."""
    text = plain("\n".join(textwrap.wrap(step.verdict, 16)[:5]))
    ends = [] if step.exact is None else [step.exact]
    if step.gap is not None:
        ends += [float(step.gap.value + sign * step.gap.total_error) for sign in (-1, 1)]
    above = not ends or max(ends) < middle
    height = 0.0 if not ends else max(ends) if above else min(ends)
    ax.annotate(
        text, (i, height), xytext=(0, 6 if above else -6), textcoords="offset points", ha="center",
        va="bottom" if above else "top", fontsize=SMALL - 1, color=ink(ax), alpha=0.85,
    )  # fmt: skip


def _steps(spectrum: Spectrum | DecayLevels, exact: Floats | None) -> list[_Step]:
    steps = []
    for n, level in enumerate(spectrum.levels, start=1):
        first, last = level.number or n, level.until or level.number or n
        name = f"{'at least ' if level.at_least else ''}{first}" if last <= first else f"{first} to {last}"
        name += f" (x{level.multiplicity})" if level.multiplicity > 1 else ""
        value = None
        if exact is not None and last <= len(exact) and not level.at_least:
            value = float(np.mean(exact[first - 1 : last]))
        caveat = str(Verdict.UPPER_BOUND) if level.resolved and level.at_least else ""
        verdict = caveat if level.resolved else str(level.verdict)
        steps.append(_Step(name, level.gap, value, level.resolved and not caveat, verdict))
    return steps


def _steps_of_report(report: Report, exact: Floats | None) -> list[_Step]:
    rows = [row for row in report.rows if row.group == Group.LEVELS and row.verdict is not Verdict.PLATEAU]
    steps = []
    for n, row in enumerate(rows):
        value = row.exact if exact is None or n >= len(exact) else float(exact[n])
        name = row.quantity.removeprefix("gap ")
        verdict = "" if row.sound else ", ".join(str(t) for t in (row.caveat or row.verdict, row.reason) if t)
        steps.append(_Step(name, row.estimate, value, row.sound, verdict))
    return steps


def spectral_measure(
    measure: SpectralMeasure | Spectrum, ax: Axes | None = None, *, spectrum: Spectrum | None = None
) -> Axes:
    r"""Draw the Kallen-Lehmann measure: the weights of the states that x excites, at their energies.

    Weights of states of equal energy are added. The 40 lowest energies are drawn, and weights above 1e-9 of the sum; a
    remark gives the weight of all other states. The scale is logarithmic if the weights differ by more than a factor of
    30. A measured weight that does not exceed zero by two errors is an open triangle at this upper bound.

    Parameters
    ----------
    measure : SpectralMeasure or Spectrum
        Exact weights, of ``kallen_lehmann``; or the measured ones of resolved levels alone.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    spectrum : Spectrum, optional
        Measured levels beside the exact ones, of ``spectrum``.

    Returns
    -------
    matplotlib Axes
        Energy in units of hbar/time; weights in units of x^2.

    Raises
    ------
    InputTypeError
        If an argument has a wrong type.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> measure = nnqm.kallen_lehmann(nnqm.builtin_theory("deep-tanh"))
    >>> nnqm.plot.spectral_measure(measure).get_yscale()
    'log'
    """
    remedy = "use nnqm.kallen_lehmann(theory); nnqm.plot.correlator draws a function at finite temperature"
    need("measure", measure, (SpectralMeasure, Spectrum), remedy)
    if spectrum is not None:
        need("spectrum", spectrum, Spectrum, "give nnqm.spectrum(run)")
    ax, found = axes_of(ax), measure if isinstance(measure, Spectrum) else spectrum
    energies, shown = _stems(ax, measure) if isinstance(measure, SpectralMeasure) else (np.empty(0), np.empty(0))
    seen = [] if found is None else _measured_weights(found)
    logarithmic = _measured_points(ax, seen, shown)
    shown = np.concatenate([shown, [float(weight.value) for _, weight in seen]])
    energies = np.concatenate([energies, [float(gap.value) for gap, _ in seen]])
    if not shown.size:
        return nothing(ax, "x excites no state" if found is None else "no level with a weight is resolved")
    if logarithmic:
        shown = shown[shown > 0]
        ax.set_yscale("log")
        ax.set_ylim(shown.min() / 4, shown.max() * 3)
    else:
        ax.set_ylim(0, 1.08 * float(shown.max()))
    ax.set_xlim(-0.02 * energies.max(), 1.06 * energies.max())
    ax.set_xlabel(r"$E_n - E_0$  [energy]")
    ax.set_ylabel(r"$|\langle 0|x|n\rangle|^2$  [$x^2$]")
    legend_on_top(ax)
    return ax


def _measured_points(ax: Axes, seen: list[tuple[Estimate, Estimate]], exact: Floats) -> bool:
    """Draw measured weights or their upper bounds; returns whether the scale is logarithmic."""
    positive = [float(w.value) for _, w in seen if float(w.value) > _ABOVE_ZERO * float(w.total_error)]
    every = np.concatenate([exact, positive])
    every = every[every > 0]
    logarithmic = bool(every.size and (every.min() < every.max() / 30))
    for gap, weight in seen:
        at, error = [float(gap.value)], float(weight.total_error)
        if logarithmic and not float(weight.value) > _ABOVE_ZERO * error:
            bound = [max(float(weight.value), 0.0) + _ABOVE_ZERO * error]
            style: dict[str, Any] = {"ms": MARKER + 1, "color": MEASURED, "mfc": ax.get_facecolor(), "zorder": 3}
            ax.plot(at, bound, "v", label="measured, upper bound", **style)
        else:
            points(ax, at, weight.reshape(1), xerr=[float(gap.total_error)])
    return logarithmic


def _measured_weights(spectrum: Spectrum) -> list[tuple[Estimate, Estimate]]:
    """Gaps and weights of the resolved levels that have weights."""
    pairs = [(level.gap, level.weight) for level in spectrum.levels if level.resolved]
    return [(gap, weight) for gap, weight in pairs if gap is not None and weight is not None]


def _stems(ax: Axes, measure: SpectralMeasure) -> tuple[Floats, Floats]:
    """Lines from the axis to the weights; returns the energies and the weights drawn."""
    # The last entry may stand for all further states.
    stop = len(measure.energies) - (measure.tail > 0)
    energies, weights = measure.energies[:stop], measure.weights[:stop]
    signs = np.ones(stop) if measure.signs is None else measure.signs[:stop]
    total = float(measure.weights.sum())
    kept = weights > _LOWEST_WEIGHT * total
    states = [(sign, *_added(energies[kept & (signs == sign)], weights[kept & (signs == sign)])) for sign in (1, -1)]
    rest = total - sum(float(w.sum()) for _, _, w in states)
    others = f" (weight of all other states: {rest:.1e})" if rest > 1e-12 * total else ""
    for sign, e, w in states:
        if len(e):
            label = f"exact{others}" if sign > 0 else r"exact, times $(-1)^k$ at step $k$"
            ax.vlines(e, np.min(w) * 1e-3, w, color=EXACT, lw=1.4, zorder=2)
            ax.plot(e, w, "o" if sign > 0 else "v", ms=MARKER, color=EXACT, label=label, zorder=2)
    return np.concatenate([e for _, e, _ in states]), np.concatenate([w for _, _, w in states])


def _added(energies: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Energies that differ, the lowest ones, and the sums of their weights."""
    if not len(energies):
        return energies, weights
    new = np.concatenate([[True], np.diff(energies) > _EQUAL * np.abs(energies[1:])])
    first = np.flatnonzero(new)
    return energies[first][:_MOST_LINES], np.add.reduceat(weights, first)[:_MOST_LINES]


def reflection(result: Positivity, ax: Axes | None = None) -> Axes:
    r"""Draw the eigenvalues of the reflection matrix and the witness of the verdict.

    The matrix :math:`\langle F_i(\Theta X) F_j(X)\rangle` is whitened, for functionals of unit second moment. Of paths
    the eigenvalues are the ones on the first half of the data. They are noisy, and the lowest ones are negative for
    every theory: the verdict rests on the witness, whose value on the second half is the diamond with its error. Of an
    exact kernel the eigenvalues have no noise. The scale is linear up to 0.001 and logarithmic beyond.

    Parameters
    ----------
    result : PositivityResult or PositivityCertificate
        Result of ``reflection_positivity`` or ``positivity_certificate``.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.

    Returns
    -------
    matplotlib Axes
        Numbers without unit; the title has the verdict.

    Raises
    ------
    InputTypeError
        If the result is of another class.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> result = nnqm.positivity_certificate(nnqm.Kernel.matern(1.5), 9, 0.3)
    >>> nnqm.plot.reflection(result).get_title()
    'violated'
    """
    kinds = (PositivityResult, PositivityCertificate)
    need("result", result, kinds, "give nnqm.reflection_positivity(paths) or nnqm.positivity_certificate(kernel)")
    ax = axes_of(ax)
    from matplotlib.ticker import MaxNLocator

    probability = f", p = {result.p_value:.2g}" if isinstance(result, PositivityResult) else ""
    ax.set_title(f"{result.verdict}{probability}")
    several = [
        (result.whitened, "o", "reflection about a point"),
        (result.shifted_whitened, "s", "reflection half-way between points"),
    ]
    drawn = 0
    for (values, marker, label), colour in zip(several, (MEASURED, FITTED), strict=True):
        if values is not None and len(values):
            places = np.arange(1, len(values) + 1)
            ax.plot(places, values, marker, ms=MARKER - 0.5, color=colour, mfc=ax.get_facecolor(), label=label)
            drawn = max(drawn, len(values))
    value = _witness_value(result)
    if not drawn and value is None:
        return nothing(ax, result.reason if isinstance(result, PositivityCertificate) else "no eigenvalues")
    if value is not None:
        points(ax, [0], value, color=EXACT, marker="D", label=f"witness: {_number(result)}", zorder=4)
        _write_witness(ax, result)
    ax.axhline(0, color=ink(ax), lw=0.9, alpha=FAINT, zorder=0)
    ax.set_yscale("symlog", linthresh=_LINEAR)
    low, high = ax.dataLim.intervaly
    ax.set_ylim(min(3 * low, -_LINEAR / 2), max(3 * high, _LINEAR))
    ax.set_xlim(0.1 if value is None else -0.9, max(drawn, 1) + 0.9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(f"number of the eigenvalue{'' if value is None else ' (0: witness)'}  [1]")
    ax.set_ylabel(r"$\langle F(\Theta X)\,F(X)\rangle/\langle F^2\rangle$  [1]")
    legend_on_top(ax)
    return ax


def _witness_value(result: Positivity) -> Estimate | None:
    if isinstance(result, PositivityResult):
        return result.value.reshape(1)
    return None if result.value is None else Estimate([result.value], np.full((2, 1), result.value), [2.0, 2.0])


def _number(result: Positivity) -> str:
    return f"{result.value}" if isinstance(result, PositivityResult) else f"{result.value:.3g}"


def _write_witness(ax: Axes, result: Positivity) -> None:
    """The formula of a violation. Without a violation F is the noise of the first half of the data."""
    if result.verdict is Verdict.CONSISTENT or result.witness is None:
        return
    text = f"F = {result.witness}"
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
    remark(ax, plain("\n".join(textwrap.wrap(text, _LINE))), x=0.98, ha="right", fontsize=SMALL - 1)
