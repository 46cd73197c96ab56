"""The generalised eigenvalue problem of correlator matrices, with replicas for its errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..sampling.correlators import Correlators, normalised_lags, vacuum
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..statistics.matrices import eigenstates, eigenvalues, generalised_eigenstates, product
from .levels import LARGEST_RELATIVE_ERROR

__all__ = ["effective_energy", "gevp"]

Indices = NDArray[np.int64]

# Smallest eigenvalue of C(0) that is kept, as a part of the largest, and in units of the rounding that is seen in C(0).
# Single precision reaches to what the double well needs: observables are centred, running sums short.
_DIRECTION_FLOOR, _ROUNDING_MARGIN = {"float32": 1e-8, "float64": 1e-9}, 4.0

# Smallest eigenvalue of C(0) of a direction that can be a state, as a part of the largest. Smaller ones correct states,
# but rounding can look like one.
_STATE_FLOOR = {"float32": 1e-6, "float64": 1e-9}

# Smallest part of its square that a direction has in each half of the blocks.
_HALF_SHARE = 0.05

# Variance over mean square below which an observable is a saturated neuron: it moves in rare events only, whose
# statistics no error bar covers.
_SATURATION = 1e-3

# Distance of a direction of C(t0), t0 > 0, from zero, in errors.
_DIRECTION_ERRORS = 5.0

# Smallest lambda of a level, in errors.
LAMBDA_ERRORS = 5.0

# Smallest part of its lambda that a state found on one half of the blocks keeps on the other. The largest eigenvalue of
# a matrix of noise is many errors above zero, but not on fresh data.
PERSISTENCE = 0.5

# Largest relative error of the norm of a state. Beyond it the state lives in rare events, as high powers of x do, and
# their number is too small for an error bar.
LARGEST_NORM_ERROR = 0.05


def stack_of(estimate: Estimate) -> Floats:
    """Value and replicas on the first axis."""
    return np.concatenate([estimate.value[None], estimate.replicas])


def estimate_of(stack: Floats, sizes: Floats) -> Estimate:
    """The estimate of a stack of value and replicas."""
    return Estimate(stack[0], stack[1:], sizes)


def expectation(vectors: Floats, matrices: Floats) -> Floats:
    """<v_k|M|v_k> for vectors ([R,] F, k) and matrices (R, F, F), shape (R, k)."""
    return np.asarray(np.sum(vectors * product(matrices, vectors), axis=-2))


def between(vectors: Floats, matrices: Floats) -> Floats:
    """Matrix elements between vectors (F, k) of symmetric matrices ([R,] F, F), shape ([R,] k, k)."""
    return product(vectors.T, product(matrices, vectors))


@dataclass(frozen=True)
class Directions:
    """Eigendirections of a metric (R, F, F), taken from the run itself (R = 0), ascending."""

    metric: Floats
    sizes: Floats
    values: Floats  # (F,)
    vectors: Floats  # (F, F)

    @classmethod
    def of(cls, metric: Floats, sizes: Floats) -> Directions:
        return cls(metric, sizes, *eigenstates(metric[0]))

    @cached_property
    def errors(self) -> Floats:
        """Statistical errors of the eigenvalues along fixed directions, shape (F,)."""
        return estimate_of(expectation(self.vectors, self.metric), self.sizes).error

    def above(self, floor: float) -> NDArray[np.bool_]:
        """Directions whose eigenvalue is more than a part of the largest."""
        return np.asarray(self.values > floor * self.values.max())

    def significant(self, errors: float) -> NDArray[np.bool_]:
        """Directions whose eigenvalue exceeds this number of its errors."""
        return np.asarray(self.values > errors * self.errors)

    def whitened(self, kept: NDArray[np.bool_], scale: Floats | None = None, basis: Floats | None = None) -> Floats:
        """Directions normalised in the metric, shape (F, k).

        ``scale``, shape (F,), are the units in which the metric is given; ``basis``, shape (G, F), the vectors between
        which it is taken.
        """
        chosen = self.vectors[:, kept]
        if scale is not None:
            chosen = scale[:, None] * chosen
        if basis is not None:
            chosen = product(basis, chosen)
        return np.asarray(chosen / np.sqrt(self.values[kept]))


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Eigenvalues of one problem and spectral weights of the channel, replicas on the first axis, lowest gap first."""

    eigenvalues: Floats  # (R, k)
    weights: Floats  # (R, k), in units of the standardised channel squared
    time: float  # from t0 to the later time, unit time
    hbar: float
    sizes: Floats

    @property
    def unit(self) -> float:
        """Energy at which a state decays to 1/e."""
        return self.hbar / self.time

    def estimate(self, values: Floats) -> Estimate:
        return estimate_of(values, self.sizes)

    def eigenvalue(self, n: int) -> Estimate:
        return self.estimate(self.eigenvalues[:, n])

    def energies(self, eigenvalues: Floats) -> Floats:
        """-hbar ln(lambda)/time."""
        return np.asarray(-self.hbar * np.log(eigenvalues) / self.time)

    def gap(self, n: int) -> Estimate | None:
        """Gap of a state; None unless its lambda is positive beyond doubt and in every replica."""
        value = self.eigenvalue(n)
        if value.replicas.min(initial=1.0) <= 0 or value.value <= max(0.0, LAMBDA_ERRORS * float(value.error)):
            return None
        return value.map_replicas(self.energies)

    @property
    def gaps(self) -> list[Estimate | None]:
        return [self.gap(n) for n in range(self.eigenvalues.shape[1])]

    def terms(self, weights: Floats, power: int, factor: float) -> tuple[Floats, NDArray[np.bool_]]:
        """Terms factor gap^power weight of a spectral sum, shape (R, j), and the j states of k that have a gap."""
        usable = np.asarray((self.eigenvalues > 0).all(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = self.energies(self.eigenvalues)
        return (factor * np.where(usable, gap, 0) ** power * weights)[:, usable], usable


def weights_at_zero(squares: Floats, eigenvalues: Floats, steps: float) -> Floats:
    """|<0|O|n>|^2 from the squares of <v_n|C(t0)|O>; ``steps`` is t0 over the time between the two matrices."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(eigenvalues > 0, squares * np.abs(eigenvalues) ** -steps, 0)


@dataclass(frozen=True, kw_only=True)
class CheckedSolution(Solution):
    """A solution in many observables, with numbers that tell levels from noise, rare events and mixtures."""

    variances: tuple[Floats, ...]  # (R, k), in units of ``unit`` squared: of the energies that each state mixes
    crossed: Floats  # (k,): states found on one half of the blocks, their eigenvalues on the other
    measured_norm_errors: Floats  # (k,): relative error of the norm of each state
    expected_norm_errors: Floats | None = None  # (k,): in any run of this size, where that is known
    n_directions: int
    tau: int  # steps from t0 to the later time

    @property
    def norm_errors(self) -> Floats:
        """Relative errors of the norms of the states, shape (k,), those of any run of this size where known."""
        return self.measured_norm_errors if self.expected_norm_errors is None else self.expected_norm_errors

    def persists(self, n: int) -> bool:
        """Whether the state found on one half of the blocks is there on the other."""
        return bool(self.crossed[n] > PERSISTENCE * self.eigenvalues[0, n])

    def is_noise(self, n: int, gap: Estimate | None) -> bool:
        """Whether a state is noise or lives in rare events."""
        if gap is None or not float(gap.error) <= LARGEST_RELATIVE_ERROR * abs(float(gap.value)):
            return True
        return bool(self.norm_errors[n] > LARGEST_NORM_ERROR) or not self.persists(n)


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """Connected C(0) and C(lag) of every lag above 0, on its own windows, (R, n_lags, F-1, F-1): run, then replicas."""

    lags: tuple[int, ...]
    same: Floats
    moved: Floats
    halves: tuple[Floats, Floats]  # the same of the even and of the odd blocks, R = 2
    sizes: Floats
    usable: Indices
    direction_floor: float
    state_floor: float
    hbar: float
    dt: float

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
        neurons = run.observables.neurons
        level[neurons.start - 1 : neurons.stop - 1] += run.observables.centres
        variance = np.diag(same.value[0])
        usable = np.flatnonzero(variance > _SATURATION * (variance + level**2))
        usable = np.setdiff1d(usable, without_levels(run))
        # Rounding is what makes eigenvalues of a matrix of squares negative.
        floor = _DIRECTION_FLOOR[run.precision]
        if usable.size:
            values = eigenvalues(_unit(same.value[0][np.ix_(usable, usable)]))
            floor = max(floor, _ROUNDING_MARGIN * -values[0] / values[-1])
        return cls(
            lags=lags,
            same=stack_of(same),
            moved=stack_of(moved),
            halves=halves,
            sizes=same.weights,
            usable=usable,
            direction_floor=floor,
            state_floor=max(floor, _STATE_FLOOR[run.precision]),
            hbar=run.hbar,
            dt=run.dt,
        )


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


def solve(matrices: Matrices, position: int, keep: Indices, channel: int) -> CheckedSolution | None:
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
    directions = Directions.of(metric, matrices.sizes)
    good = directions.above(matrices.direction_floor)
    if position >= 0:
        good &= directions.significant(_DIRECTION_ERRORS)
    whitened = directions.whitened(good)
    # A motion in one half of the blocks alone is a rare event; smaller directions contain more rare events.
    while good.any() and eigenvalues(between(whitened, half_metric)).min() < _HALF_SHARE:
        good[np.argmax(good)] = False
        whitened = directions.whitened(good)
    if not good.any():
        return None
    states = eigenstates(between(whitened, later[0]))[1]
    # A direction near the floor may correct a state, but not be one.
    real = np.sum(states[directions.above(matrices.state_floor)[good]] ** 2, axis=0) > 0.5
    if not real.any():
        return None
    # Directions are the same in all replicas: the error covers the levels, not the choice of directions.
    basis = product(whitened, states[:, real])[:, ::-1]

    def project(metric: Floats, later: Floats) -> tuple[Floats, Floats]:
        """Eigenvalues (R, k), largest first, and states in the basis (R, k, k), normalised in the metric."""
        found, states = generalised_eigenstates(between(basis, metric), between(basis, later))
        return found[:, ::-1], states[:, :, ::-1]

    try:
        decays, states = project(metric, later)
        _, half_states = project(half_metric, half_later)
    except np.linalg.LinAlgError:  # a block has most of the paths, or t0 is too large
        return None
    norms = expectation(basis, metric)
    norm_errors = estimate_of(norms, matrices.sizes).error / norms[0]
    other = product(basis, half_states[::-1])
    crossed = expectation(other, half_later) / expectation(other, half_metric)
    fixed = product(basis, states[0])
    functions = np.zeros((matrices.same.shape[-1], fixed.shape[1]))
    functions[keep] = scale[:, None] * fixed
    weights = np.zeros_like(decays)  # as they are of a channel that is constant
    row = np.flatnonzero(keep == channel)
    if row.size:
        # <0|O|n>^2 = (C(t0) v)^2 lambda^(-t0/tau) with v normalised in the metric.
        weights = product(product(metric[:, row], basis), states)[:, 0] ** 2 / scale[row] ** 2
        if position >= 0:
            weights = weights_at_zero(weights, decays, lags[position] / tau)
    return CheckedSolution(
        eigenvalues=decays,
        weights=weights,
        time=tau * matrices.dt,
        hbar=matrices.hbar,
        sizes=matrices.sizes,
        variances=_variances(matrices, position, functions),
        crossed=crossed.mean(axis=0),
        measured_norm_errors=norm_errors,
        n_directions=int(good.sum()),
        tau=tau,
    )


def _variances(matrices: Matrices, position: int, functions: Floats) -> tuple[Floats, ...]:
    """Variances of the energies in states, each from a pair of times after t0, in units of hbar over the first.

    The decay of a state v that is not one level but a mixture is slower later: for times a < b the difference of
    <v|T^b|v> and <v|T^a|v>^(b/a) is b (b - a)/2 times the variance of the energy, to the lowest order in it. States are
    fixed in the replicas, as the basis is.
    """
    start = 0 if position < 0 else matrices.lags[position]
    metric = matrices.same[:, 0] if position < 0 else matrices.moved[:, position]
    norm = expectation(functions, metric)
    times = [lag - start for lag in matrices.lags[position + 1 :]]
    decays = [expectation(functions, matrices.moved[:, position + 1 + i]) / norm for i in range(len(times))]
    found = []
    for j, b in enumerate(times):
        for i, a in enumerate(times[:j]):
            with np.errstate(divide="ignore", invalid="ignore"):
                once = np.where(decays[i] > 0, decays[i], np.nan) ** (b / a)
                found.append((decays[j] - once) / once * 2 * (times[0] ** 2 / (b * (b - a))))
    return tuple(found)


@one_blas_thread
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
    InputError
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
    return solution.gaps, weights


@one_blas_thread
def effective_energy(run: Correlators, channel: int | str = 0) -> tuple[Floats, Estimate]:
    r"""Effective energy (effective mass) of one channel between successive lags.

    .. math:: E_{\mathrm{eff}} = -\hbar\,\frac{\ln G(\tau_{k+1}) - \ln G(\tau_k)}{\tau_{k+1} - \tau_k}

    of the connected two-point function, up to the first lag at which the function does not exceed zero by 3 errors. It
    tends to the first gap from above; it is not a level. The error is statistical.

    Parameters
    ----------
    run : Correlators
        With lags.
    channel : int or str
        Position or name of a channel of the run.

    Returns
    -------
    times : ndarray
        Midpoints of the lags, shape (k,), unit time.
    energy : Estimate
        Shape (k,), energy units.

    Raises
    ------
    InputError
        If fewer than two lags are significant, or the paths close.
    """
    run.need_open("effective energies are those of a decay")
    connected = run.connected(channel)
    significant = (connected.value > 3 * connected.error) & (connected.replicas > 0).all(axis=0)
    stop = len(run.lags) if significant.all() else int(np.argmin(significant))
    if stop < 2:
        raise InputError(
            f"effective energies need two lags at which the two-point function is significant; got {stop}; "
            "use more paths or smaller lags"
        )
    tau = np.asarray(run.lags[:stop]) * run.dt
    energy = connected[:stop].map_replicas(lambda g: -run.hbar * np.diff(np.log(g), axis=-1) / np.diff(tau))
    return (tau[1:] + tau[:-1]) / 2, energy
