"""Energy levels from correlators: generalised eigenvalue problem, effective energies, spectral sums."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, erfc, inf, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, integer
from ..sampling.correlators import Correlators, normalised_lags, vacuum
from ..statistics.estimate import Estimate

__all__ = ["Advice", "Level", "Spectrum", "SpectrumError", "effective_energy", "gevp", "spectrum"]

Indices = NDArray[np.int64]

# Eigendirections of C(0) below this fraction of the largest, or below so many times the rounding that is seen in it,
# are left out. Single precision reaches to what the double well needs: observables are centred, running sums short.
_FLOOR, _ROUNDING = {"float32": 1e-8, "float64": 1e-9}, 4.0
# Only what lies above this fraction can be a state: below, rounding can look like one.
_SURE = {"float32": 1e-6, "float64": 1e-9}
# Each direction kept must have more than this part of its square in each half of the blocks.
_IN_HALVES = 0.05
# An observable whose variance is a smaller part of its mean square is a saturated neuron: it moves in rare events
# only, whose statistics no error bar covers.
_SATURATED = 1e-3
# At t0 > 0 a direction of C(t0) must stand this many errors above zero.
_SIGNIFICANT = 5.0
# A level is noise when lambda is fewer errors than this above zero, or its relative error is larger than the second, or
# a state found on one half of the blocks has a smaller part than the third of its lambda on the other half: the largest
# eigenvalue of a matrix of noise is many errors above zero, but not on fresh data.
_LAMBDA_ERRORS, _RELATIVE_ERROR, _SURVIVES = 5.0, 0.1, 0.5
# A state whose norm has a larger relative error lives in rare events, as high powers of x do, and no error bar of so
# few of them is right.
_RARE = 0.05
# t0 is raised when a level then moves down by so many errors of the difference. Two, with five levels looked at, would
# raise it by chance in one run of ten, and always where the noise points downwards. What has moved stands still when
# its next step is below two, and these are below so many errors of the level.
_DROP_ERRORS, _STILL_ERRORS, _SEEN = 3.0, 2.0, 4.0
# What decays by a smaller part than this along a whole path cannot be told from what does not decay.
_PLATEAU = 0.01
# A level still moves with the basis when more observables are estimated to lower it by so many errors.
_BASIS_ERRORS = 1.0
# A state is a mixture of several when the variance of its decay stands so many errors above zero.
_MIXED_ERRORS = 4.0
# Errors of fewer blocks are too uncertain for a verdict.
_MIN_BLOCKS = 8
# Chance at which paths that are stationary and reversible are taken for others.
_FALSE_ALARM = 1e-6
# The error of an error, and levels that are a little higher than expected, are paid for by so many times more paths.
_MARGIN = 1.5


class SpectrumError(ValueError):
    """Levels cannot be had; ``partial`` is the Spectrum that could be computed, none of it resolved, or None."""

    def __init__(self, message: str, partial: Spectrum | None = None) -> None:
        super().__init__(message)
        self.partial = partial


@dataclass(frozen=True)
class Level:
    """One level above the ground state, or a multiplet of levels that cannot be told apart.

    Attributes
    ----------
    gap : Estimate or None
        E_n - E_0 in energy units; None where there is no positive eigenvalue. The error is statistical.
    weight : Estimate or None
        Spectral weight |<0|x|n>|^2 of the channel, summed over the multiplet; None for outputs of networks with random
        weights, of which every draw has weights of its own.
    multiplicity : int
        Members closer to each other than 3 errors of their difference; ``gap`` is their mean.
    verdict : str
        "resolved"; or "noise", "basis-limited" (still moves with the basis or with t0), "plateau" (no decay),
        "above unresolved"; or, of all levels of paths that have none, "not stationary", "irreversible", "slower tail"
        (the two-point function decays more slowly than the lowest level), "few blocks".
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
class Advice:
    """What would resolve the lowest level asked for that is not resolved; ``print`` shows it as a sentence.

    Attributes
    ----------
    level : int
        Its number, 1 for the first above the ground state; a multiplet counts once.
    verdict : str
        Why it is not resolved, as in ``Level``.
    remedy : str
        What to do, in words.
    n_paths : int or None
        Paths, in total, with which it is expected to be resolved; None where more paths are not what is missing. An
        estimate from the errors of this run, right within a factor of two or so.
    dt : float or None
        A time step that suits the level better, where that of the run does not.
    """

    level: int
    verdict: str
    remedy: str
    n_paths: int | None = None
    dt: float | None = None

    def __str__(self) -> str:
        return f"level {self.level} is not resolved ({self.verdict}): {self.remedy}"


@dataclass(frozen=True)
class Spectrum:
    """Levels of a run; see ``spectrum``. ``print`` shows them as a table, with the advice.

    Attributes
    ----------
    levels : tuple of Level
        Those asked for, resolved ones first.
    t0 : int
        Time, in steps, of the metric of the eigenvalue problem.
    basis_size : int
        Eigendirections kept.
    commutator, momentum_squared : Estimate or None
        The sums (2m/hbar^2) sum gap |Z|^2 and (m/hbar)^2 sum gap^2 |Z|^2 of the channel, free of dt. The
        systematic error is what states that are not resolved contribute. None where there are no spectral weights.
    advice : Advice or None
        What would resolve the next level; None if all that were asked for are resolved.
    """

    levels: tuple[Level, ...]
    t0: int
    basis_size: int
    commutator: Estimate | None
    momentum_squared: Estimate | None
    advice: Advice | None = None

    @property
    def gaps(self) -> tuple[Estimate, ...]:
        """Resolved gaps E_n - E_0, n = 1, 2, ...; a multiplet counts once."""
        return tuple(level.gap for level in self.levels if level.resolved and level.gap is not None)

    @property
    def joint(self) -> Estimate:
        """Resolved gaps as one estimate, shape (k,), which knows their covariance: ``joint.covariance()``.

        Raises
        ------
        SpectrumError
            If no level is resolved.
        """
        gaps = self.gaps
        if not gaps:
            raise SpectrumError(f"no level is resolved, so that there is no covariance of levels; {self.advice}", self)
        return gaps[0].map(lambda *values: np.stack(values, axis=-1), *gaps[1:])

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

    def __str__(self) -> str:
        lines = []
        for n, level in enumerate(self.levels, start=1):
            times = f" (x{level.multiplicity})" if level.multiplicity > 1 else ""
            if level.resolved:
                weight = "" if level.weight is None else f", weight {level.weight}"
                lines.append(f"gap {n}{times} = {level.gap}{weight}")
        return "\n".join([*lines, *([str(self.advice)] if self.advice is not None else [])])


@dataclass(frozen=True)
class _Matrices:
    """Connected C(0) and C(lag) of every lag above 0, on its own windows, (R, n_lags, F-1, F-1): run, then replicas."""

    lags: tuple[int, ...]
    same: Floats
    moved: Floats
    halves: tuple[Floats, Floats]  # the same of the even and of the odd blocks, R = 2
    sizes: Floats
    usable: Indices
    floor: float
    sure: float

    @classmethod
    def of(cls, run: Correlators) -> _Matrices:
        run.need("observable_lags", "simulate with observable_lags=(1, 2, 3)")
        lags = tuple(lag for lag in run.observable_lags if lag > 0)
        if not lags:
            raise ValueError(
                f"levels need an observable lag above 0; got {list(run.observable_lags)}; use observable_lags=(1, 2, 3)"
            )
        # Lag 0, if it is there, is first.
        apart = slice(len(run.observable_lags) - len(lags), None)
        same, moved = run.estimate(lambda s: _connected(s["observable_lags"][:, apart]), "observable_lags")
        sums = run.sums["observable_lags"][run.block_paths > 0][:, apart]
        halves = _connected(np.stack([sums[::2].sum(axis=0), sums[1::2].sum(axis=0)]))
        total = sums[:, 0].sum(axis=0)
        level = total[1, 0, 1:] / (2 * total[0, 0, 0])
        neurons = len(run.observables.centres)
        level[len(level) - neurons :] += run.observables.centres
        variance = np.diag(same.value[0])
        usable = np.flatnonzero(variance > _SATURATED * (variance + level**2))
        usable = np.setdiff1d(usable, _without_levels(run))
        # Rounding is what makes eigenvalues of a matrix of squares negative.
        floor = _FLOOR[run.precision]
        if usable.size:
            values = np.linalg.eigvalsh(_unit(same.value[0][np.ix_(usable, usable)]))
            floor = max(floor, _ROUNDING * -values[0] / values[-1])
        stack = [np.concatenate([e.value[None], e.replicas]) for e in (same, moved)]
        sure = max(floor, _SURE[run.precision])
        return cls(lags, stack[0], stack[1], halves, same.weights, usable, floor, sure)


def _without_levels(run: Correlators) -> list[int]:
    """Outputs of networks with random weights, where the inputs are seen: every draw has an x of its own.

    Averaged over draws, x has no overlap with functions of the inputs, and would be taken for another state.
    """
    o = run.observables
    if run.theory is None or not run.theory.sectors or max(o.orders) == 1:
        return []
    return [i for i, name in enumerate(o.channels) if name in run.theory.outputs and o.orders[i] == 1]


def _connected(sums: Floats) -> tuple[Floats, Floats]:
    product, square = normalised_lags(sums)
    empty = vacuum(sums)
    moved = (product + np.swapaxes(product, -1, -2)) / 2 - empty
    return (square - empty)[..., 1:, 1:], moved[..., 1:, 1:]


def _unit(matrix: Floats) -> Floats:
    scale = 1 / np.sqrt(np.diag(matrix))
    return np.asarray(matrix * scale[:, None] * scale)


@dataclass(frozen=True)
class _Solution:
    """Eigenvalues of one GEVP and overlaps of the channel, with replicas on the first axis; largest first."""

    eigenvalues: Floats  # (R, k)
    weights: Floats  # (R, k)
    variance: Floats  # (R, k): of the decay over a lag among the levels of which each state is made; NaN if unknown
    crossed: Floats  # (k,): states found on one half of the blocks, their eigenvalues on the other
    rarity: Floats  # (k,): relative error of the norm of each state
    directions: int
    tau: int
    sizes: Floats

    def eigenvalue(self, n: int) -> Estimate:
        return self.estimate(self.eigenvalues[:, n])

    def estimate(self, values: Floats) -> Estimate:
        return Estimate(values[0], values[1:], self.sizes)


def _solve(matrices: _Matrices, position: int, keep: Indices, channel: int) -> _Solution | None:
    """GEVP between t0 (position -1: zero; else lags[position]) and the lag after it, on the observables ``keep``."""
    if keep.size == 0:
        return None
    lags = matrices.lags
    scale = 1 / np.sqrt(np.diag(matrices.same[0, 0])[keep])

    def pair(same: Floats, moved: Floats) -> tuple[Floats, Floats]:
        chosen = (same[:, 0] if position < 0 else moved[:, position], moved[:, position + 1])
        metric, later = (m[:, keep][:, :, keep] * scale[:, None] * scale for m in chosen)
        return metric, later

    metric, later = pair(matrices.same, matrices.moved)
    half_metric, half_later = pair(*matrices.halves)
    tau = lags[position + 1] - (0 if position < 0 else lags[position])
    values, vectors = np.linalg.eigh(metric[0])
    good = values > matrices.floor * values.max()
    if position >= 0:
        along = np.einsum("ik,rij,jk->rk", vectors, metric, vectors, optimize=True)
        good &= values > _SIGNIFICANT * Estimate(along[0], along[1:], matrices.sizes).error
    whitened = vectors / np.sqrt(np.where(good, values, 1.0))
    # What moves in one half of the blocks alone is a rare event; smaller directions hold more of them.
    while good.any() and np.linalg.eigvalsh(whitened[:, good].T @ half_metric @ whitened[:, good]).min() < _IN_HALVES:
        good[np.argmax(good)] = False
    if not good.any():
        return None
    whitened = whitened[:, good]
    states = np.linalg.eigh(whitened.T @ later[0] @ whitened)[1]
    # A direction near the floor may correct a state, but not be one.
    real = np.sum(states[(values > matrices.sure * values.max())[good]] ** 2, axis=0) > 0.5
    if not real.any():
        return None
    # Held fixed in the replicas: the jackknife sees the statistics of the levels, not of the choice of directions.
    basis = (whitened @ states[:, real])[:, ::-1]

    def project(metric: Floats, later: Floats) -> tuple[Floats, Floats]:
        """Eigenvalues (R, k), largest first, and states in the basis (R, k, k), normalised in the metric."""
        root = np.linalg.inv(np.linalg.cholesky(basis.T @ metric @ basis))
        found, states = np.linalg.eigh(root @ (basis.T @ later @ basis) @ np.swapaxes(root, -1, -2))
        return found[:, ::-1], (np.swapaxes(root, -1, -2) @ states)[:, :, ::-1]

    try:
        eigenvalues, states = project(metric, later)
        _, half_states = project(half_metric, half_later)
    except np.linalg.LinAlgError:  # a block has most of the paths, or t0 is too large
        return None
    norms = np.einsum("ik,rij,jk->rk", basis, metric, basis, optimize=True)
    rarity = Estimate(norms[0], norms[1:], matrices.sizes).error / norms[0]
    other = basis @ half_states[::-1]
    crossed = np.einsum("rik,rij,rjk->rk", other, half_later, other, optimize=True)
    crossed /= np.einsum("rik,rij,rjk->rk", other, half_metric, other, optimize=True)
    # A state v that is not one level but a mixture: <v|T^2|v> exceeds <v|T|v>^2. Fixed in the replicas, as the basis.
    variance = np.full_like(eigenvalues, np.nan)
    twice = 2 * tau + (0 if position < 0 else lags[position])
    if twice in lags:
        fixed = basis @ states[0]
        further = matrices.moved[:, lags.index(twice)][:, keep][:, :, keep] * scale[:, None] * scale
        norm, once, again = (
            np.einsum("ik,rij,jk->rk", fixed, m, fixed, optimize=True) for m in (metric, later, further)
        )
        variance = again / norm - (once / norm) ** 2
    weights = np.zeros_like(eigenvalues)  # as they are of a channel that is constant
    row = np.flatnonzero(keep == channel)
    if row.size:
        # <0|O|n>^2 = (C(t0) v)^2 lambda^(-t0/tau) with v normalised in the metric.
        weights = (metric[:, row] @ basis @ states)[:, 0] ** 2 / scale[row] ** 2
        if position >= 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                weights = np.where(eigenvalues > 0, weights * np.abs(eigenvalues) ** (-lags[position] / tau), 0)
    return _Solution(eigenvalues, weights, variance, crossed.mean(axis=0), rarity, int(good.sum()), tau, matrices.sizes)


def _gaps(solution: _Solution, run: Correlators) -> list[Estimate | None]:
    """-hbar ln(lambda)/tau of each state; None unless lambda is positive in every replica."""
    gaps: list[Estimate | None] = []
    for n in range(solution.eigenvalues.shape[1]):
        value = solution.eigenvalue(n)
        if value.value <= 0 or value.replicas.min(initial=1.0) <= 0 or value.value <= _LAMBDA_ERRORS * value.error:
            gaps.append(None)
            continue
        gaps.append(value.map(lambda v: -run.hbar * np.log(v) / (solution.tau * run.dt)))
    return gaps


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
    matrices = _Matrices.of(run)
    lags = matrices.lags
    if t0 != 0 and t0 not in lags[:-1]:
        raise ValueError(f"t0 must be 0 or one of {list(lags[:-1])}; got {t0}; simulate with more observable_lags")
    column = run.observables.index(channel)
    solution = _solve(matrices, -1 if t0 == 0 else lags.index(t0), matrices.usable, column)
    if solution is None:
        raise ValueError(f"C(t0) at t0={t0} has no significant direction; use a smaller t0 or more paths")
    scale = run.observables.scale[column] ** 2
    weights = [solution.estimate(scale * solution.weights[:, n]) for n in range(solution.weights.shape[1])]
    return _gaps(solution, run), weights


def spectrum(run: Correlators, n_levels: int = 5, *, channel: int | str = 0) -> Spectrum:
    r"""Levels above the ground state, each with a verdict; noise is not reported as a level.

    The eigenvalue problem of ``gevp`` is solved at t0 = 0; t0 is raised one lag as long as a level resolved at both
    moves down by more than three jackknife errors of the difference and by more than half its own error. A level is
    *resolved* if

    - its eigenvalue stands 5 errors above zero, its relative error is below 10%, and that of its norm below 5%: it
      does not live in rare events, in which high powers of x do;
    - the state found on one half of the blocks has at least half of its eigenvalue on the other: it is no noise;
    - it has stopped moving with t0, and more observables, by the trend from a quarter to a half to all of the neurons
      (without neurons: as the last observables, by order, are added), would lower it by less than an error, and its
      decay over two lags is the square of that over one, or the difference too small to matter: it is neither limited
      by the basis nor a mixture of levels;
    - all levels below it are resolved, or do not decay at all;
    - the paths are stationary and look the same backwards in time, and nothing decays more slowly at long times.

    Errors are statistical; with a constant among the observables levels are upper bounds of gaps, and what the
    truncation of the basis adds is kept below the error by the verdict "basis-limited". Errors of different levels
    are correlated: ``Spectrum.joint`` has their covariance.

    Parameters
    ----------
    run : Correlators
        With sums of observable lags (the default of ``simulate`` and ``accumulate``). Which observables they are of is
        chosen there: ``default_observables`` (Hermite polynomials, which span powers, and random neurons or those of a
        network) or functions of one's own, ``simulate_functions``.
    n_levels : int, default 5
        Levels asked for; multiplets count once.
    channel : int or str
        Whose spectral weights are wanted.

    Returns
    -------
    Spectrum
        If fewer levels are resolved, its ``advice`` says what would resolve the next.

    Raises
    ------
    SpectrumError
        A ValueError: if all observables are constant, or there are too few blocks for a verdict; in the latter case
        its ``partial`` is the spectrum with the verdict "few blocks".
    ValueError
        If the run has no observable lags above 0.

    Examples
    --------
    >>> import nnqm
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.2, rng=1)
    >>> found = spectrum(run, 2)
    >>> len(found.gaps), found.joint.covariance().shape
    (2, (2, 2))
    """
    integer("n_levels", n_levels, 1, 1000)
    matrices = _Matrices.of(run)
    lags = matrices.lags
    column = run.observables.index(channel)
    position = -1
    if matrices.usable.size == 0:
        raise SpectrumError("all observables are constant; there is no spectrum; check the paths")
    best = _solve(matrices, position, matrices.usable, column)
    if best is None:
        raise SpectrumError(
            f"no observable moves in both halves of the {len(matrices.sizes)} blocks; there are too few paths for a "
            "spectrum; use more"
        )
    gaps = _gaps(best, run)
    moved: set[int] = set()
    later: list[Estimate | None] = []
    while position + 2 < len(lags):
        trial = _solve(matrices, position + 1, matrices.usable, column)
        later = [] if trial is None else _gaps(trial, run)
        if trial is None:
            break
        moving = {
            n
            for n, (a, b) in enumerate(zip(gaps[:n_levels], later, strict=False))
            if not _noise(best, n, a) and _survives(trial, n) and _moves_down(a, b)
        }
        if not moving:
            break
        position, best, gaps, moved, later = position + 1, trial, later, moving, []
    still = {n for n, (a, b) in enumerate(zip(gaps, later, strict=False)) if _stands_still(a, b)}
    limited = (moved - still) | _basis_limited(matrices, run, position, column, gaps) | _mixed(best, run, gaps)
    verdicts = _verdicts(run, best, gaps, limited)
    trouble = _trouble(run, matrices.usable, gaps[0] if verdicts[0] == "resolved" else None, column)
    if trouble is not None:
        verdicts = [trouble if v == "resolved" else v for v in verdicts]
    weights = None if column in _without_levels(run) else run.observables.scale[column] ** 2 * best.weights
    levels = _multiplets(best, gaps, weights, verdicts)
    found = Spectrum(
        levels[:n_levels],
        0 if position < 0 else lags[position],
        best.directions,
        _spectral_sum(best, run, weights, verdicts, 1, 2 * run.mass / run.hbar**2),
        _spectral_sum(best, run, weights, verdicts, 2, (run.mass / run.hbar) ** 2),
        _advise(run, best, gaps, levels, n_levels),
    )
    if trouble == "few blocks":
        raise SpectrumError(
            f"verdicts on levels need the errors of at least {_MIN_BLOCKS} blocks; got {len(best.sizes)}; "
            "use more or longer paths; what could be computed is the error's partial",
            found,
        )
    return found


def _noise(solution: _Solution, n: int, gap: Estimate | None) -> bool:
    if gap is None or not float(gap.error) <= _RELATIVE_ERROR * abs(float(gap.value)):
        return True
    return bool(solution.rarity[n] > _RARE) or not _survives(solution, n)


def _survives(solution: _Solution, n: int) -> bool:
    return bool(solution.crossed[n] > _SURVIVES * solution.eigenvalues[0, n])


def _moves_down(now: Estimate | None, later: Estimate | None) -> bool:
    if now is None or later is None:
        return False
    drop = now.map(lambda a, b: a - b, later)
    return float(drop.value) > _DROP_ERRORS * float(drop.error) and float(drop.value) > 0.5 * float(now.error)


def _stands_still(now: Estimate | None, later: Estimate | None) -> bool:
    if now is None or later is None:
        return False
    drop = now.map(lambda a, b: a - b, later)
    return float(drop.value) < _STILL_ERRORS * float(drop.error) < _SEEN * float(now.error)


def _smaller_bases(run: Correlators, usable: Indices) -> list[Indices]:
    """Two parts of the observables that grow towards all of them: fewer neurons, or else lower orders."""
    o = run.observables
    neurons = len(o.biases)
    if neurons >= 4:
        first = o.size - 1 - neurons
        return [usable[usable < first + part] for part in (neurons // 4, neurons // 2)]
    degrees = np.array([1] * len(o.orders) + [k for n in o.orders for k in range(2, n + 1)] + [inf] * neurons)
    ordered = usable[np.argsort(degrees[usable], kind="stable")]
    step = max(1, len(usable) // 6)
    return [np.sort(ordered[: len(ordered) - n * step]) for n in (2, 1)]


def _basis_limited(
    matrices: _Matrices, run: Correlators, position: int, column: int, gaps: list[Estimate | None]
) -> set[int]:
    """Levels that a larger basis would lower by more than their error, by the trend from smaller ones."""
    smaller = []
    for keep in _smaller_bases(run, matrices.usable):
        solution = _solve(matrices, position, keep, column)
        eigenvalues = np.empty(0) if solution is None else solution.eigenvalues[0]
        positive = eigenvalues[eigenvalues > 0]
        energies = -run.hbar * np.log(positive) / ((1 if solution is None else solution.tau) * run.dt)
        smaller.append([*energies, *[inf] * len(gaps)])
    limited = set()
    for n, gap in enumerate(gaps):
        if gap is None:
            continue
        last = smaller[1][n] - float(gap.value)
        before = smaller[0][n] - smaller[1][n]
        ratio = min(last / before, 0.8) if 0 < last < before < inf else 0.8
        # Drops that shrink by a ratio go on as a geometric series.
        if last > float(gap.error) and last * ratio / (1 - ratio) > _BASIS_ERRORS * float(gap.error):
            limited.add(n)
    return limited


def _mixed(solution: _Solution, run: Correlators, gaps: list[Estimate | None]) -> set[int]:
    """States that are mixtures of levels, and thereby too high by more than their errors.

    A part p of a level higher by D raises the mean by p D and makes a variance p D^2; D is at least the distance to the
    next state.
    """
    unit = run.hbar / (solution.tau * run.dt)
    mixed = set()
    for n, gap in enumerate(gaps):
        variance = solution.estimate(solution.variance[:, n])
        if gap is None or not float(variance.value) > _MIXED_ERRORS * float(variance.error):
            continue
        spread = float(variance.value) * (unit / float(solution.eigenvalues[0, n])) ** 2
        above = [float(g.value) - float(gap.value) for g in gaps[n + 1 :] if g is not None]
        distance = next((d for d in above if d > 3 * float(gap.error)), float(gap.value))
        if spread / distance > float(gap.error):
            mixed.add(n)
    return mixed


def _verdicts(run: Correlators, solution: _Solution, gaps: list[Estimate | None], limited: set[int]) -> list[str]:
    slowest = _PLATEAU * run.hbar / (run.n_times * run.dt)
    verdicts: list[str] = []
    for n, gap in enumerate(gaps):
        if verdicts and verdicts[-1] not in ("resolved", "plateau"):
            verdicts.append("above unresolved")
        elif gap is not None and float(gap.value) + 2 * float(gap.error) < slowest and "resolved" not in verdicts:
            verdicts.append("plateau")
        elif _noise(solution, n, gap):
            verdicts.append("noise")
        else:
            verdicts.append("basis-limited" if n in limited else "resolved")
    return verdicts


def _trouble(run: Correlators, usable: Indices, lowest: Estimate | None, column: int) -> str | None:
    """Why the paths have no levels, whatever the eigenvalue problem says; None if nothing speaks against it."""
    held = run.block_paths > 0
    n_blocks = int(held.sum())
    if n_blocks < _MIN_BLOCKS:
        return "few blocks"
    rows, columns = np.triu_indices(len(usable), 1)

    def asymmetry(s: dict[str, Floats]) -> tuple[Floats, Floats]:
        product, square = normalised_lags(s["observable_lags"][:, -1])
        # In units of the observables, so that rounding is known.
        size = np.sqrt(np.maximum(np.diagonal(square, axis1=1, axis2=2), np.finfo(float).tiny))
        product = product / (size[:, :, None] * size[:, None, :])
        inner = product[:, 1:, 1:][:, usable][:, :, usable]
        turned = inner - np.swapaxes(inner, 1, 2)
        return product[:, 0, 1 + usable] - product[:, 1 + usable, 0], turned[:, rows, columns]

    def alarm(t: Floats, freedom: int) -> bool:
        largest = float(np.nanmax(np.abs(t), initial=0.0))
        # Student's t as a standard normal, to three digits (Wallace, Ann. Math. Stat. 30, 1124 (1959)).
        z = (8 * freedom + 1) / (8 * freedom + 3) * sqrt(freedom * log1p(largest**2 / freedom))
        return t.size * erfc(z / sqrt(2)) < _FALSE_ALARM

    drift, turning = run.estimate(asymmetry, "observable_lags")
    # From block to block, where a chain that has not forgotten its start shows.
    last = run.sums["observable_lags"][held, -1, 1, 0]
    means = last[:, 1 + usable] / last[:, :1]
    index = np.arange(n_blocks) - (n_blocks - 1) / 2
    rounding = float(np.finfo(run.precision).eps)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = index @ means / (np.linalg.norm(index) * np.linalg.norm(means - means.mean(axis=0), axis=0))
        trend = r * np.sqrt((n_blocks - 2) / (1 - r**2))
        if alarm(drift.value / np.hypot(drift.error, rounding), n_blocks - 1) or alarm(trend, n_blocks - 2):
            return "not stationary"
        if alarm(turning.value / np.hypot(turning.error, rounding), n_blocks - 1):
            return "irreversible"
    one_vacuum = run.theory is None or not run.theory.sectors
    if lowest is not None and one_vacuum and "lags" in run.sums and len(run.lags) > 1:
        steps = np.diff(run.lags) * run.dt / run.hbar
        # A sum of decaying exponentials falls at least as fast as the slowest of them.
        excess = run.connected(column).map(lambda g, e: g[:, 1:] - g[:, :-1] * np.exp(-e[:, None] * steps), lowest)
        if np.any(excess.value > 5 * excess.error):
            return "slower tail"
    return None


_REMEDIES = {
    "nothing": "no state found on one half of the blocks persists on the other: nothing says how many paths would "
    "show one; use a smaller dt, if the paths have one, or many more paths",
    "plateau": "what does not decay within the paths is a sector of its own or a mean; use longer paths (n_times)",
    "not stationary": "the observables drift along the paths or from block to block; leave out the approach to "
    "equilibrium",
    "irreversible": "the paths differ from their time reversal, and levels need paths that do not",
    "slower tail": "at long times the two-point function decays more slowly than the lowest level; periodic paths need "
    "other methods, others need observables that see the slow level",
    "few blocks": f"verdicts need the errors of at least {_MIN_BLOCKS} blocks; use more or longer paths",
}


def _advise(
    run: Correlators, solution: _Solution, gaps: list[Estimate | None], levels: tuple[Level, ...], n_levels: int
) -> Advice | None:
    plateaus = sum(level.verdict == "plateau" for level in levels[:n_levels])
    resolved = [level for level in levels[:n_levels] if level.resolved]
    if len(resolved) + plateaus >= n_levels and resolved:
        return None
    level = len(resolved) + 1
    n = plateaus + sum(entry.multiplicity for entry in resolved)  # its position among the states
    verdict = "noise" if n >= len(gaps) else levels[len(resolved) + plateaus].verdict
    if plateaus and not resolved:
        return Advice(level, "plateau", _REMEDIES["plateau"])
    if verdict in _REMEDIES:
        return Advice(level, verdict, _REMEDIES[verdict])
    wider = (
        f"other observables, such as default_observables(..., order={max(run.observables.orders) + 2}, "
        f"neurons={max(16, 2 * len(run.observables.biases))})"
    )
    if n >= len(gaps):
        return Advice(level, "basis-limited", f"the observables have {len(gaps)} states only; use {wider}")
    if verdict == "basis-limited":
        return Advice(level, verdict, f"use {wider}, or more observable_lags, so that t0 can be raised further")
    if not resolved and solution.crossed[n] < 3 * float(solution.eigenvalue(n).error):
        return Advice(level, verdict, f"{_REMEDIES['nothing']}; or {wider}")
    unit = run.hbar / (solution.tau * run.dt)
    expected, error, rarity = _expected_level(solution, gaps, n, resolved, unit)
    decay = np.exp(-expected / unit)
    # The conditions on a resolved level, in terms of the error of lambda and that of the norm.
    factor = (error / min(decay / _LAMBDA_ERRORS, _RELATIVE_ERROR * decay * expected / unit)) ** 2
    factor = max(factor, (rarity / _RARE) ** 2)
    held = int(run.block_paths.sum())
    n_paths = ceil(held * max(2.0, _MARGIN * factor))
    digits = 10 ** max(0, len(str(n_paths)) - 2)
    n_paths = -(-n_paths // digits) * digits
    dt = None
    remedy = f"about {n_paths:,} paths would resolve it, now there are {held:,}"
    if expected > 1.5 * unit:
        dt = float(f"{run.hbar / (2 * expected * solution.tau):.1g}")
        remedy += f"; it decays to {decay:.1%} within one lag, dt = {dt:g} leaves more of it"
    return Advice(level, verdict, f"{remedy}; or {wider}", n_paths, dt)


def _expected_level(
    solution: _Solution, gaps: list[Estimate | None], n: int, resolved: list[Level], unit: float
) -> tuple[float, float, float]:
    """Energy of state n, errors of its eigenvalue and its norm: as seen, or as the levels below lead one to expect."""
    value = solution.eigenvalue(n)
    seen, error, rarity = float(value.value), float(value.error), float(solution.rarity[n])
    if not resolved:
        # The largest eigenvalue of noise is no measure of a level; what survives on other blocks is.
        return float(-unit * np.log(np.clip(solution.crossed[n], 1e-3, 0.99))), error, rarity
    known = [float(level.gap.value) for level in resolved if level.gap is not None]
    expected = known[-1] + (known[-1] - known[-2] if len(known) > 1 else known[-1])
    if 0 < _SURVIVES * seen < solution.crossed[n]:
        expected = max(float(-unit * np.log(seen)), known[-1])

    def continued(below: list[float]) -> float:
        growth = below[-1] / below[-2] if len(below) > 1 else 3.0
        return below[-1] * min(max(growth, 1.0), 5.0)

    errors = [float(solution.eigenvalue(m).error) for m in range(n)]
    return expected, max(error, continued(errors)), max(rarity, continued([float(r) for r in solution.rarity[:n]]))


def _multiplets(
    solution: _Solution, gaps: list[Estimate | None], weights: Floats | None, verdicts: list[str]
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
        weight = None if weights is None else solution.estimate(weights[:, members].sum(axis=1))
        levels.append(Level(gap, weight, len(members), verdicts[n]))
        n = members[-1] + 1
    return tuple(levels)


def _spectral_sum(
    solution: _Solution, run: Correlators, weights: Floats | None, verdicts: list[str], power: int, factor: float
) -> Estimate | None:
    if weights is None:
        return None
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
