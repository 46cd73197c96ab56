"""The generalised eigenvalue problem of a correlator matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..sampling.correlators import Correlators, normalised_lags, vacuum
from ..statistics.estimate import Estimate

__all__ = ["effective_energy", "gevp"]

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
LAMBDA_ERRORS, RELATIVE_ERROR, SURVIVES = 5.0, 0.1, 0.5

# A state whose norm has a larger relative error lives in rare events, as high powers of x do, and no error bar of so
# few of them is right.
RARE = 0.05


@dataclass(frozen=True)
class Matrices:
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
    def of(cls, run: Correlators) -> Matrices:
        run.need("observable_lags", "simulate with measure=Measure(observable_lags=(1, 2, 3))")
        lags = tuple(lag for lag in run.observable_lags if lag > 0)
        if not lags:
            raise InputError(
                f"levels need an observable lag above 0; got {list(run.observable_lags)}; "
                "use measure=Measure(observable_lags=(1, 2, 3))"
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
        usable = np.setdiff1d(usable, without_levels(run))
        # Rounding is what makes eigenvalues of a matrix of squares negative.
        floor = _FLOOR[run.precision]
        if usable.size:
            values = np.linalg.eigvalsh(_unit(same.value[0][np.ix_(usable, usable)]))
            floor = max(floor, _ROUNDING * -values[0] / values[-1])
        stack = [np.concatenate([e.value[None], e.replicas]) for e in (same, moved)]
        sure = max(floor, _SURE[run.precision])
        return cls(lags, stack[0], stack[1], halves, same.weights, usable, floor, sure)


def without_levels(run: Correlators) -> list[int]:
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
class Solution:
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


def solve(matrices: Matrices, position: int, keep: Indices, channel: int) -> Solution | None:
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
    return Solution(eigenvalues, weights, variance, crossed.mean(axis=0), rarity, int(good.sum()), tau, matrices.sizes)


def gap_estimates(solution: Solution, run: Correlators) -> list[Estimate | None]:
    """-hbar ln(lambda)/tau of each state; None unless lambda is positive in every replica."""
    gaps: list[Estimate | None] = []
    for n in range(solution.eigenvalues.shape[1]):
        value = solution.eigenvalue(n)
        if value.value <= 0 or value.replicas.min(initial=1.0) <= 0 or value.value <= LAMBDA_ERRORS * value.error:
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
    matrices = Matrices.of(run)
    lags = matrices.lags
    if t0 != 0 and t0 not in lags[:-1]:
        raise InputError(f"t0 must be 0 or one of {list(lags[:-1])}; got {t0}; simulate with more observable_lags")
    column = run.observables.index(channel)
    solution = solve(matrices, -1 if t0 == 0 else lags.index(t0), matrices.usable, column)
    if solution is None:
        raise InputError(f"C(t0) at t0={t0} has no significant direction; use a smaller t0 or more paths")
    scale = run.observables.scale[column] ** 2
    weights = [solution.estimate(scale * solution.weights[:, n]) for n in range(solution.weights.shape[1])]
    return gap_estimates(solution, run), weights


def is_noise(solution: Solution, n: int, gap: Estimate | None) -> bool:
    if gap is None or not float(gap.error) <= RELATIVE_ERROR * abs(float(gap.value)):
        return True
    return bool(solution.rarity[n] > RARE) or not survives(solution, n)


def survives(solution: Solution, n: int) -> bool:
    return bool(solution.crossed[n] > SURVIVES * solution.eigenvalues[0, n])


def spectral_sum(
    solution: Solution, run: Correlators, weights: Floats | None, verdicts: list[str], power: int, factor: float
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
        raise InputError(
            f"effective energies need two lags at which the two-point function is significant; got {stop}; "
            "use more paths or smaller lags"
        )
    tau = np.asarray(run.lags[:stop]) * run.dt
    energy = connected[:stop].map(lambda g: -run.hbar * np.diff(np.log(g), axis=-1) / np.diff(tau))
    return (tau[1:] + tau[:-1]) / 2, energy
