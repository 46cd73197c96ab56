"""Energy levels from correlators: generalised eigenvalue problem, effective energies, spectral sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import Floats, integer
from .correlators import Correlators, normalised_lags
from .estimate import Estimate

__all__ = ["Level", "Spectrum", "effective_energy", "gevp", "spectrum"]

Indices = NDArray[np.int64]

# Eigendirections of C(0) below this fraction of the largest are rounding, by the precision of the observables.
_FLOOR = {"float32": 1e-6, "float64": 1e-9}
# An observable whose variance is a smaller part of its mean square is a saturated neuron: it moves in rare events
# only, whose statistics no error bar covers.
_SATURATED = 1e-3
# At t0 > 0 a direction of C(t0) must stand this many errors above zero.
_SIGNIFICANT = 5.0
# A level is noise when lambda is fewer errors than this above zero, or its relative error is larger than the second.
_LAMBDA_ERRORS, _RELATIVE_ERROR = 5.0, 0.1
# t0 is raised when a level then moves down by so many errors of the difference. Two, with five levels looked at, would
# raise it by chance in one run of ten, and always where the noise points downwards.
_DROP_ERRORS = 3.0
# What decays by a smaller part than this along a whole path cannot be told from what does not decay.
_PLATEAU = 0.01
# A level still moves with the basis when leaving out half of the neurons shifts it by this many errors.
_BASIS_ERRORS = 3.0


@dataclass(frozen=True)
class Level:
    """One level above the ground state, or a multiplet of levels that cannot be told apart.

    Attributes
    ----------
    gap : Estimate or None
        E_n - E_0 in energy units; None where there is no positive eigenvalue. The error is statistical.
    weight : Estimate or None
        Spectral weight |<0|x|n>|^2 of the channel, summed over the multiplet.
    multiplicity : int
        Members closer to each other than 3 errors of their difference; ``gap`` is their mean.
    verdict : str
        "resolved", "noise", "basis-limited" (moves with the basis), "plateau" (no decay), or "above unresolved".
    """

    gap: Estimate | None
    weight: Estimate | None
    multiplicity: int
    verdict: str

    @property
    def resolved(self) -> bool:
        """Whether the number may be used as a level."""
        return self.verdict == "resolved"


@dataclass(frozen=True)
class Spectrum:
    """Levels of a run; see ``spectrum``.

    Attributes
    ----------
    levels : tuple of Level
        Those asked for, resolved ones first.
    t0 : int
        Time, in steps, of the metric of the eigenvalue problem.
    basis_size : int
        Eigendirections kept.
    commutator, momentum_squared : Estimate
        The sums (2m/hbar^2) sum gap |Z|^2 and (m/hbar)^2 sum gap^2 |Z|^2 of the channel, free of dt. The
        systematic error is what states that are not resolved contribute.
    """

    levels: tuple[Level, ...]
    t0: int
    basis_size: int
    commutator: Estimate
    momentum_squared: Estimate

    @property
    def gaps(self) -> tuple[Estimate, ...]:
        """Resolved gaps E_n - E_0, n = 1, 2, ...; a multiplet counts once."""
        return tuple(level.gap for level in self.levels if level.resolved and level.gap is not None)

    @property
    def energies(self) -> tuple[Estimate, ...]:
        """Levels relative to E_0 = 0, the ground state first: paths give gaps only."""
        zero = self.gaps[0].map(np.zeros_like) if self.gaps else Estimate(0.0, [0.0, 0.0], [2.0, 2.0])
        return (zero, *self.gaps)

    def absolute_energies(self, ground_energy: float | None = None) -> tuple[Estimate, ...]:
        """E_0 + gaps, for a ground-state energy known from elsewhere, such as hbar omega/2 of the oscillator.

        Raises
        ------
        ValueError
            Without ``ground_energy``: no path contains it.
        """
        if ground_energy is None:
            raise ValueError("ground_energy is needed: paths determine gaps only; take it from the Hamiltonian")
        return tuple(e.map(lambda v: v + ground_energy) for e in self.energies)


@dataclass(frozen=True)
class _Solution:
    """Eigenvalues of one GEVP and overlaps of the channel, with replicas on the first axis; largest first."""

    eigenvalues: Floats  # (R, k)
    weights: Floats  # (R, k)
    tau: int
    sizes: Floats

    def eigenvalue(self, n: int) -> Estimate:
        return Estimate(self.eigenvalues[0, n], self.eigenvalues[1:, n], self.sizes)

    def estimate(self, values: Floats) -> Estimate:
        return Estimate(values[0], values[1:], self.sizes)


def _matrices(run: Correlators) -> tuple[Floats, Floats, Floats, Indices]:
    """Connected C(0) and C(tau) of every lag on its own windows, (R, n_lags, F-1, F-1), weights, usable observables."""
    run.need("observable_lags", "simulate with observable_lags=(1, 2, 3)")

    def connected(s: dict[str, Floats]) -> tuple[Floats, Floats]:
        product, square = normalised_lags(s["observable_lags"])
        mean = square[..., 0, :]
        vacuum = mean[..., :, None] * mean[..., None, :]
        moved = (product + np.swapaxes(product, -1, -2)) / 2 - vacuum
        return (square - vacuum)[..., 1:, 1:], moved[..., 1:, 1:]

    same, moved = run.estimate(connected, "observable_lags")
    stack = [np.concatenate([e.value[None], e.replicas]) for e in (same, moved)]
    total = run.sums["observable_lags"][:, 0].sum(axis=0)
    level = total[1, 0, 1:] / (2 * total[0, 0, 0])
    neurons = len(run.observables.centres)
    level[len(level) - neurons :] += run.observables.centres
    variance = np.diag(same.value[0])
    usable = np.flatnonzero(variance > _SATURATED * (variance + level**2))
    return stack[0], stack[1], same.weights, usable


def _solve(
    same: Floats,
    moved: Floats,
    sizes: Floats,
    lags: Sequence[int],
    position: int,
    floor: float,
    keep: Indices,
    channel: int,
) -> _Solution | None:
    """GEVP between t0 (position -1: zero; else lags[position]) and the lag after it, on the observables ``keep``."""
    metric = (same[:, 0] if position < 0 else moved[:, position])[:, keep][:, :, keep]
    later = moved[:, position + 1][:, keep][:, :, keep]
    tau = lags[position + 1] - (0 if position < 0 else lags[position])
    scale = 1 / np.sqrt(np.diag(same[0, 0])[keep])
    metric = metric * scale[:, None] * scale
    later = later * scale[:, None] * scale
    values, vectors = np.linalg.eigh(metric[0])
    good = values > floor * values.max()
    if position >= 0:
        along = np.einsum("ik,rij,jk->rk", vectors, metric, vectors)
        good &= values > _SIGNIFICANT * Estimate(along[0], along[1:], sizes).error
    if not good.any():
        return None
    # Held fixed in the replicas: the jackknife sees the statistics of the levels, not of the choice of directions.
    basis = vectors[:, good] / np.sqrt(values[good])
    projected = basis.T @ metric @ basis
    target = basis.T @ later @ basis
    try:
        root = np.linalg.inv(np.linalg.cholesky(projected))
    except np.linalg.LinAlgError:
        return None
    eigenvalues, states = np.linalg.eigh(root @ target @ np.swapaxes(root, -1, -2))
    eigenvalues, states = eigenvalues[:, ::-1], states[:, :, ::-1]
    # <0|O|n>^2 = (C(t0) v)^2 lambda^(-t0/tau) with v normalised in the metric.
    row = np.flatnonzero(keep == channel)
    if row.size == 0:  # the channel is constant
        return _Solution(eigenvalues, np.zeros_like(eigenvalues), tau, sizes)
    overlap = metric[:, row] @ basis @ np.swapaxes(root, -1, -2) @ states
    weights = (overlap[:, 0] / scale[row]) ** 2
    if position >= 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.where(eigenvalues > 0, weights * np.abs(eigenvalues) ** (-lags[position] / tau), 0)
    return _Solution(eigenvalues, weights, tau, sizes)


def _gaps(solution: _Solution, run: Correlators) -> list[Estimate | None]:
    """-hbar ln(lambda)/tau of each state; None unless lambda is positive in every replica."""
    gaps: list[Estimate | None] = []
    for n in range(solution.eigenvalues.shape[1]):
        value = solution.eigenvalue(n)
        if value.value <= 0 or value.replicas.min() <= 0 or value.value <= _LAMBDA_ERRORS * value.error:
            gaps.append(None)
            continue
        gaps.append(value.map(lambda v: -run.hbar * np.log(v) / (solution.tau * run.dt)))
    return gaps


def _noise(gap: Estimate | None) -> bool:
    return gap is None or not float(gap.error) <= _RELATIVE_ERROR * abs(float(gap.value))


def gevp(run: Correlators, t0: int = 0, *, channel: int | str = 0) -> tuple[list[Estimate | None], list[Estimate]]:
    r"""Gaps and spectral weights from the generalised eigenvalue problem at one t0, without any verdict.

    .. math:: C(t_0 + \tau) v_n = \lambda_n C(t_0) v_n, \qquad E_n - E_0 = -\hbar \ln(\lambda_n)/\tau

    with the connected, time-symmetrised correlators of all observables of the run
    (Luescher and Wolff, Nucl. Phys. B 339, 222 (1990); Blossier et al., JHEP 04 (2009) 094).

    Parameters
    ----------
    run : Correlators
    t0 : int
        0 or one of ``run.observable_lags`` but the last, in steps.
    channel : int or str
        Whose spectral weights are wanted.

    Returns
    -------
    gaps : list of Estimate or None
        In energy units, lowest first; None where lambda is not significantly positive. Statistical errors.
    weights : list of Estimate
        |<0|x|n>|^2 in units of the channel squared. Statistical errors.

    Raises
    ------
    ValueError
        If the run lacks the lags, or no direction of C(t0) is significant.
    """
    lags = run.observable_lags
    if t0 != 0 and t0 not in lags[:-1]:
        raise ValueError(f"t0 must be 0 or one of {list(lags[:-1])}; got {t0}; simulate with more observable_lags")
    same, moved, sizes, keep = _matrices(run)
    column = run.observables.index(channel)
    position = -1 if t0 == 0 else lags.index(t0)
    solution = _solve(same, moved, sizes, lags, position, _FLOOR[run.precision], keep, column)
    if solution is None:
        raise ValueError(f"C(t0) at t0={t0} has no significant direction; use a smaller t0 or more paths")
    scale = run.observables.scale[column] ** 2
    weights = [solution.estimate(scale * solution.weights[:, n]) for n in range(solution.weights.shape[1])]
    return _gaps(solution, run), weights


def spectrum(run: Correlators, n_levels: int = 5, *, channel: int | str = 0) -> Spectrum:
    r"""Levels above the ground state, each with a verdict; noise is not reported as a level.

    The eigenvalue problem of ``gevp`` is solved at t0 = 0; t0 is raised one lag as long as a level resolved at both
    moves down by more than three jackknife errors of the difference and by more than half its own error. One is
    *resolved* if its eigenvalue stands 5 errors above zero, its relative error is below 10%, leaving out half of the
    neurons moves it by less than 3 errors, and all levels below it are resolved. Errors are statistical; with a
    constant among the observables levels are upper bounds of gaps, and the truncation of the basis is what the
    verdict "basis-limited" is about.

    Parameters
    ----------
    run : Correlators
        With sums of observable lags (the default of ``simulate``).
    n_levels : int, default 5
        Levels asked for; multiplets count once.
    channel : int or str
        Whose spectral weights are wanted.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError
        If the run has no observable lags, or too few blocks for errors.

    Examples
    --------
    >>> import nnqm
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.2, rng=1)
    >>> len(spectrum(run, 2).gaps)
    2
    """
    integer("n_levels", n_levels, 1, 1000)
    lags = run.observable_lags
    same, moved, sizes, everything = _matrices(run)
    column = run.observables.index(channel)
    floor = _FLOOR[run.precision]
    neurons = len(run.observables.biases)
    smaller = everything[everything < run.observables.size - 1 - (neurons + 1) // 2]

    def solve(position: int, keep: Indices) -> _Solution | None:
        return _solve(same, moved, sizes, lags, position, floor, keep, column)

    position = -1
    best = solve(position, everything) if everything.size else None
    if best is None:
        raise ValueError("all observables are constant; there is no spectrum; check the paths")
    gaps = _gaps(best, run)
    while position + 2 < len(lags):
        trial = solve(position + 1, everything)
        if trial is None:
            break
        trial_gaps = _gaps(trial, run)
        if not any(_moves_down(a, b) for a, b in zip(gaps[:n_levels], trial_gaps, strict=False)):
            break
        position, best, gaps = position + 1, trial, trial_gaps
    reduced = solve(position, smaller) if neurons else None
    reduced_gaps = _gaps(reduced, run) if reduced is not None else gaps

    slowest = _PLATEAU * run.hbar / (run.n_times * run.dt)
    verdicts: list[str] = []
    for n, gap in enumerate(gaps):
        if verdicts and verdicts[-1] not in ("resolved", "plateau"):
            verdicts.append("above unresolved")
        elif gap is not None and float(gap.value) + 2 * float(gap.error) < slowest and "resolved" not in verdicts:
            verdicts.append("plateau")
        elif _noise(gap):
            verdicts.append("noise")
        elif neurons and _differs(gap, reduced_gaps[n] if n < len(reduced_gaps) else None):
            verdicts.append("basis-limited")
        else:
            verdicts.append("resolved")
    scale = run.observables.scale[column] ** 2
    weights = scale * best.weights
    return Spectrum(
        _multiplets(best, gaps, weights, verdicts)[:n_levels],
        0 if position < 0 else lags[position],
        best.eigenvalues.shape[1],
        _spectral_sum(best, run, weights, verdicts, 1, 2 * run.mass / run.hbar**2),
        _spectral_sum(best, run, weights, verdicts, 2, (run.mass / run.hbar) ** 2),
    )


def _moves_down(now: Estimate | None, later: Estimate | None) -> bool:
    if now is None or later is None or _noise(now) or _noise(later):
        return False
    drop = now.map(lambda a, b: a - b, later)
    return float(drop.value) > _DROP_ERRORS * float(drop.error) and float(drop.value) > 0.5 * float(now.error)


def _differs(gap: Estimate | None, reduced: Estimate | None) -> bool:
    if gap is None or reduced is None:
        return True
    shift = reduced.map(lambda a, b: a - b, gap)
    return abs(float(shift.value)) > _BASIS_ERRORS * float(gap.error)


def _multiplets(
    solution: _Solution, gaps: list[Estimate | None], weights: Floats, verdicts: list[str]
) -> tuple[Level, ...]:
    levels: list[Level] = []
    n = 0
    while n < len(gaps):
        gap, members = gaps[n], [n]
        if gap is not None and verdicts[n] == "resolved":
            while (m := members[-1] + 1) < len(gaps) and verdicts[m] == "resolved":
                following, last = gaps[m], gaps[members[-1]]
                assert following is not None
                assert last is not None
                step = following.map(lambda a, b: a - b, last)
                if float(step.value) >= 3 * float(step.error):
                    break
                members.append(m)
            rest = [g for g in (gaps[m] for m in members[1:]) if g is not None]
            gap = gap.map(lambda *v: np.mean(v, axis=0), *rest)
        weight = solution.estimate(weights[:, members].sum(axis=1))
        levels.append(Level(gap, weight, len(members), verdicts[n]))
        n = members[-1] + 1
    return tuple(levels)


def _spectral_sum(
    solution: _Solution, run: Correlators, weights: Floats, verdicts: list[str], power: int, factor: float
) -> Estimate:
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = -run.hbar * np.log(solution.eigenvalues) / (solution.tau * run.dt)
    usable = (solution.eigenvalues > 0).all(axis=0)
    terms = factor * np.where(usable, gap, 0) ** power * weights
    sure = np.array([v == "resolved" for v in verdicts]) & usable
    total = solution.estimate(terms[:, usable].sum(axis=1))
    return total.with_systematic(abs(float(terms[0, usable & ~sure].sum())))


def effective_energy(run: Correlators, channel: int | str = 0) -> tuple[Floats, Estimate]:
    r"""Effective energy (effective mass) of one channel between successive lags.

    .. math:: E_{\mathrm{eff}} = -\hbar\,\frac{\ln G(\tau_{k+1}) - \ln G(\tau_k)}{\tau_{k+1} - \tau_k}

    of the connected two-point function, up to the first lag at which it is not 3 errors above zero. It tends to the
    first gap from above; it is not a level. The error is statistical.

    Returns
    -------
    times : ndarray
        Midpoints of the lags, shape (k,), unit time.
    energy : Estimate
        Shape (k,), energy units.

    Raises
    ------
    ValueError
        If fewer than two lags are significant.
    """
    connected = run.connected(channel)
    significant = (connected.value > 3 * connected.error) & (connected.replicas > 0).all(axis=0)
    stop = len(run.lags) if significant.all() else int(np.argmin(significant))
    if stop < 2:
        raise ValueError(
            f"effective energies need two lags at which the two-point function is significant; got {stop}; "
            "use more paths or smaller lags"
        )
    tau = np.asarray(run.lags[:stop]) * run.dt
    energy = connected[:stop].map(lambda g: -run.hbar * np.diff(np.log(g), axis=-1) / np.diff(tau))
    return (tau[1:] + tau[:-1]) / 2, energy
