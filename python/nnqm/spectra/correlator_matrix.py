"""Energy levels from the correlators of many observables, each level with a verdict."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, erfc, inf, sqrt

import numpy as np

from .._arguments import Floats, integer
from ..sampling.correlators import Correlators, normalised_lags
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..verdict import Verdict
from .gevp import (
    LAMBDA_ERRORS,
    LARGEST_NORM_ERROR,
    PERSISTENCE,
    CheckedSolution,
    Indices,
    Matrices,
    solve,
    without_levels,
)
from .levels import (
    LARGEST_RELATIVE_ERROR,
    Advice,
    Level,
    Spectrum,
    SpectrumError,
    does_not_decay,
    ladder,
    slowest_gap,
    told_apart,
)
from .numbering import beyond_bound_states, numbered
from .rare_events import expected_norm_errors, one_block_decides, standard_normal

__all__ = ["spectrum"]

# Fall of a level from one t0 to the next for which t0 is raised, in errors of the difference. With two errors and five
# levels, chance would raise t0 in one run of ten, always where the noise points downwards.
_DROP_ERRORS = 3.0

# Largest next step of a level that has stopped falling, in errors of the difference, if that many errors of the
# difference are less than the second number, in errors of the level.
_STILL_ERRORS, _STILL_PRECISION = 2.0, 4.0

# Fall of a level that more observables are estimated to bring, beyond which it is limited by the basis, in its errors.
_BASIS_ERRORS = 1.0

# Levels that decide on t0, so that the first levels do not depend on how many are asked for.
_DECIDING_LEVELS = 3

# Distance below a level that is not resolved, in errors, within which a level may belong to it.
_CLOSE = 4.0

# Smallest probability with which equal levels are as far apart as the members of a multiplet.
_MULTIPLET_CHANCE = 1e-3

# Variance of the decay of a state beyond which it is a mixture of levels, in errors.
_MIXED_ERRORS = 4.0

# Fewest blocks whose errors are certain enough for a verdict.
_MIN_BLOCKS = 8

# Probability of an alarm for paths that are stationary and reversible.
_FALSE_ALARM_CHANCE = 1e-6

# Paths advised over paths estimated, for the error of an error and for levels that are a little higher than expected.
_SAFETY_FACTOR = 1.5


@one_blas_thread
def spectrum(run: Correlators, n_levels: int = 5, *, channel: int | str = 0) -> Spectrum:
    r"""Levels above the ground state, each with a verdict; noise is not reported as a level.

    The eigenvalue problem of ``gevp`` is solved at t0 = 0; t0 is raised one lag as long as one of the first three
    levels, resolved at both, moves down by more than three jackknife errors of the difference and by more than half its
    own error. A level is *resolved* if

    - its eigenvalue exceeds zero by 5 errors, its relative error is below 10%, and the error of its norm below 5%: it
      does not live in rare events, in which high powers of x do. For theories of one input this error is the one that
      the stationary density leads one to expect, since events that did not happen leave no error in a run; otherwise
      it is measured, and no single block may decide on the error of the gap;
    - the state found on one half of the blocks has at least half of its eigenvalue on the other: it is no noise;
    - it has stopped moving with t0, and more observables, by the trend from a quarter to a half to all of the neurons
      (and from lower polynomials to all, where there are products or no neurons), would lower it by less than an
      error, and its decay between all pairs of lags is exponential, or the difference too small to matter: it is
      neither limited by the basis nor a mixture of levels;
    - it is one of the bound states, and below the continuum, where the theory has one;
    - all levels below it are resolved, or do not decay at all;
    - the paths are stationary and look the same backwards in time, and nothing decays more slowly at long times.

    States that no observable is made for are skipped without a sign. Where these are known to lie higher (the default
    observables of a theory whose inputs are seen), a level has its number; otherwise it is "at least the n-th" and an
    upper bound, ``Level.at_least``. Levels closer than three errors of their difference are one multiplet, unless their
    scatter excludes that all are equal.

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
        If fewer levels are resolved, its ``advice`` names a way to resolve the next one.

    Raises
    ------
    SpectrumError
        A ValueError: if all observables are constant, or there are too few blocks for a verdict; in the latter case
        its ``partial`` is the spectrum with the verdict "few blocks".
    InputError
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
    matrices = Matrices.of(run)
    lags = matrices.lags
    column = run.observables.index(channel)
    position = -1
    if matrices.usable.size == 0:
        raise SpectrumError("all observables are constant; there is no spectrum; check the paths")
    expected = expected_norm_errors(run, len(matrices.usable))
    best = _judged(expected, solve(matrices, position, matrices.usable, column))
    if best is None:
        raise SpectrumError(
            f"no observable moves in both halves of the {len(matrices.sizes)} blocks; there are too few paths for a "
            "spectrum; use more"
        )
    gaps = best.gaps
    moved: set[int] = set()
    later: list[Estimate | None] = []
    while position + 2 < len(lags):
        trial = _judged(expected, solve(matrices, position + 1, matrices.usable, column))
        later = [] if trial is None else trial.gaps
        if trial is None:
            break
        moving = {
            n
            for n, (a, b) in enumerate(zip(gaps, later, strict=False))
            if not best.is_noise(n, a)
            and best.measured_norm_errors[n] <= LARGEST_NORM_ERROR
            and trial.persists(n)
            and _moves_down(a, b)
        }
        if not any(n < _DECIDING_LEVELS for n in moving):
            moved |= moving
            break
        position, best, gaps, moved, later = position + 1, trial, later, moving, []
    still = {n for n, (a, b) in enumerate(zip(gaps, later, strict=False)) if _stands_still(a, b)}
    limited = (moved - still) | _basis_limited(matrices, run, position, column, gaps) | _mixed(best, gaps)
    verdicts = _verdicts(run, best, gaps, limited, beyond_bound_states(run, gaps))
    trouble = _trouble(run, matrices.usable, gaps[0] if verdicts[0] is Verdict.RESOLVED else None, column)
    if trouble is not None:
        verdicts = [trouble if v is Verdict.RESOLVED else v for v in verdicts]
    elif expected is None:
        rare = [
            v is Verdict.RESOLVED and g is not None and one_block_decides(g)
            for v, g in zip(verdicts, gaps, strict=True)
        ]
        verdicts = ladder(Verdict.NOISE if r else v for v, r in zip(verdicts, rare, strict=True))
    weights = None if column in without_levels(run) else run.observables.scale[column] ** 2 * best.weights
    levels = numbered(run, _multiplets(best, gaps, weights, verdicts))
    found = Spectrum(
        levels[:n_levels],
        0 if position < 0 else lags[position],
        best.n_directions,
        _spectral_sum(best, weights, verdicts, 1, 2 * run.mass / run.hbar**2),
        _spectral_sum(best, weights, verdicts, 2, (run.mass / run.hbar) ** 2),
        _advise(run, best, gaps, levels, n_levels),
        _OF_ONE_CHANNEL if run.theory is None else "",
    )
    if trouble is Verdict.FEW_BLOCKS:
        raise SpectrumError(
            f"verdicts on levels need the errors of at least {_MIN_BLOCKS} blocks; got {len(best.sizes)}; "
            "use more or longer paths; what could be computed is the error's partial",
            found,
        )
    return found


_OF_ONE_CHANNEL = (
    "levels are counted among the states that these functions of the paths show, and are upper bounds of gaps"
)


def _judged(expected: Floats | None, solution: CheckedSolution | None) -> CheckedSolution | None:
    """The solution with the norm errors that the theory leads one to expect, where these are known."""
    if solution is None or expected is None:
        return solution
    return replace(solution, expected_norm_errors=expected[: len(solution.measured_norm_errors)])


def _spectral_sum(
    solution: CheckedSolution, weights: Floats | None, verdicts: list[Verdict], power: int, factor: float
) -> Estimate | None:
    """Sum of factor gap^power weight over all states; its systematic error is the part of those not resolved."""
    if weights is None:
        return None
    terms, usable = solution.terms(weights, power, factor)
    sure = np.array([v is Verdict.RESOLVED for v in verdicts])[usable]
    return solution.estimate(terms.sum(axis=1)).with_systematic(abs(float(terms[0, ~sure].sum())))


def _moves_down(now: Estimate | None, later: Estimate | None) -> bool:
    if now is None or later is None:
        return False
    drop = now.map_replicas(lambda a, b: a - b, later)
    return float(drop.value) > _DROP_ERRORS * float(drop.error) and float(drop.value) > 0.5 * float(now.error)


def _stands_still(now: Estimate | None, later: Estimate | None) -> bool:
    if now is None or later is None:
        return False
    drop = now.map_replicas(lambda a, b: a - b, later)
    return float(drop.value) < _STILL_ERRORS * float(drop.error) < _STILL_PRECISION * float(now.error)


def _smaller_bases(run: Correlators, usable: Indices) -> list[list[Indices]]:
    """Pairs of parts of the observables that grow towards all of them: fewer neurons, and lower orders or products."""
    o = run.observables
    n_neurons, first = len(o.biases), o.neurons.start - 1
    pairs = []
    if n_neurons >= 4:
        left_out = (np.arange(first + part, first + n_neurons) for part in (n_neurons // 4, n_neurons // 2))
        pairs.append([np.setdiff1d(usable, gone) for gone in left_out])
    if n_neurons < 4 or o.products:
        # Products of polynomials alone are in the order of the states they are made for.
        last = 0 if n_neurons >= 4 else inf
        degrees = np.array([last if powers is None else sum(powers) for powers in o.powers[1:]])
        ordered = usable[np.argsort(degrees[usable], kind="stable")]
        step = max(1, len(usable) // 6)
        pairs.append([np.sort(ordered[: len(ordered) - n * step]) for n in (2, 1)])
    return pairs


def _basis_limited(
    matrices: Matrices, run: Correlators, position: int, column: int, gaps: list[Estimate | None]
) -> set[int]:
    """Levels that a larger basis would lower by more than their error, by the trend from smaller ones."""
    return set().union(
        *(_limited_by(matrices, run, position, column, gaps, pair) for pair in _smaller_bases(run, matrices.usable))
    )


def _limited_by(
    matrices: Matrices,
    run: Correlators,
    position: int,
    column: int,
    gaps: list[Estimate | None],
    bases: list[Indices],
) -> set[int]:
    smaller = []
    for keep in bases:
        solution = solve(matrices, position, keep, column)
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


def _mixed(solution: CheckedSolution, gaps: list[Estimate | None]) -> set[int]:
    """States that are mixtures of levels, and thereby too high by more than their errors.

    A part p of a level higher by D raises the mean by p D and makes a variance p D^2; D is at least the distance to the
    next state.
    """
    mixed = set()
    for n, gap in enumerate(gaps):
        if gap is None:
            continue
        above = [float(g.value) - float(gap.value) for g in gaps[n + 1 :] if g is not None]
        distance = next((d for d in above if d > 3 * float(gap.error)), float(gap.value))
        for variances in solution.variances:
            variance = solution.estimate(solution.unit**2 * variances[:, n])
            seen = float(variance.value) > _MIXED_ERRORS * float(variance.error)
            if seen and float(variance.value) / distance > float(gap.error):
                mixed.add(n)
    return mixed


def _verdicts(
    run: Correlators, solution: CheckedSolution, gaps: list[Estimate | None], limited: set[int], unbound: set[int]
) -> list[Verdict]:
    slowest = slowest_gap(run.hbar, run.n_times * run.dt)
    verdicts: list[Verdict] = []
    for n, gap in enumerate(gaps):
        if gap is not None and does_not_decay(gap, slowest) and Verdict.RESOLVED not in verdicts:
            verdicts.append(Verdict.PLATEAU)
        elif n in unbound:
            verdicts.append(Verdict.CONTINUUM)
        elif solution.is_noise(n, gap):
            verdicts.append(Verdict.NOISE)
        else:
            verdicts.append(Verdict.BASIS_LIMITED if n in limited else Verdict.RESOLVED)
    return ladder(verdicts)


def _trouble(run: Correlators, usable: Indices, lowest: Estimate | None, column: int) -> Verdict | None:
    """Reason why the paths have no levels, whatever the eigenvalue problem gives; None if there is none."""
    held = run.block_paths > 0
    n_blocks = int(held.sum())
    if n_blocks < _MIN_BLOCKS:
        return Verdict.FEW_BLOCKS
    rows, columns = np.triu_indices(len(usable), 1)

    def asymmetry(s: dict[str, Floats]) -> tuple[Floats, Floats]:
        product, square = normalised_lags(s["observable_lags"][:, -1])
        # In units of the observables, so that rounding is known.
        size = np.sqrt(np.maximum(np.diagonal(square, axis1=1, axis2=2), np.finfo(float).tiny))
        with np.errstate(over="ignore", invalid="ignore"):  # of observables that vanish at this lag
            product = product / (size[:, :, None] * size[:, None, :])
            inner = product[:, 1:, 1:][:, usable][:, :, usable]
            turned = inner - np.swapaxes(inner, 1, 2)
        return product[:, 0, 1 + usable] - product[:, 1 + usable, 0], turned[:, rows, columns]

    def alarm(t: Floats, freedom: int) -> bool:
        largest = float(np.nanmax(np.abs(t), initial=0.0))
        return t.size * erfc(standard_normal(largest, freedom) / sqrt(2)) < _FALSE_ALARM_CHANCE

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
            return Verdict.NOT_STATIONARY
        if alarm(turning.value / np.hypot(turning.error, rounding), n_blocks - 1):
            return Verdict.IRREVERSIBLE
    one_vacuum = run.theory is None or not run.theory.sectors
    if lowest is not None and one_vacuum and "lags" in run.sums and len(run.lags) > 1:
        steps = np.diff(run.lags) * run.dt / run.hbar
        # A sum of decaying exponentials falls at least as fast as the slowest of them.
        excess = run.connected(column).map_replicas(
            lambda g, e: g[:, 1:] - g[:, :-1] * np.exp(-e[:, None] * steps), lowest
        )
        if np.any(excess.value > 5 * excess.error):
            return Verdict.SLOWER_TAIL
    return None


# Factor in the number of paths beyond which more paths are no remedy.
_HOPELESS = 1e6

_RARE = "it lives where paths hardly ever go, so that no number of paths resolves it; take it from a Hamiltonian"

_NOTHING_PERSISTS = (
    "no state found on one half of the blocks persists on the other: nothing says how many paths would show one; use a "
    "smaller dt, if the paths have one, or many more paths"
)

_REMEDIES = {
    Verdict.PLATEAU: (
        "what does not decay within the paths is a sector of its own or a mean; use longer paths (n_times)"
    ),
    Verdict.NOT_STATIONARY: (
        "the observables drift along the paths or from block to block; leave out the approach to equilibrium"
    ),
    Verdict.IRREVERSIBLE: "the paths differ from their time reversal, and levels need paths that do not",
    Verdict.SLOWER_TAIL: (
        "at long times the two-point function decays more slowly than the lowest level; periodic paths need other "
        "methods, others need observables that see the slow level"
    ),
    Verdict.CONTINUUM: "the continuum begins there, and its states depend on the box that paths are confined to",
    Verdict.FEW_BLOCKS: f"verdicts need the errors of at least {_MIN_BLOCKS} blocks; use more or longer paths",
}


def _advise(
    run: Correlators, solution: CheckedSolution, gaps: list[Estimate | None], levels: tuple[Level, ...], n_levels: int
) -> Advice | None:
    plateaus = sum(level.verdict is Verdict.PLATEAU for level in levels[:n_levels])
    resolved = [level for level in levels[:n_levels] if level.resolved]
    if len(resolved) + plateaus >= n_levels and resolved:
        return None
    n = plateaus + sum(entry.multiplicity for entry in resolved)  # its position among the states
    place = len(resolved) + plateaus
    verdict = Verdict.NOISE if n >= len(gaps) else levels[place].verdict
    if plateaus and not resolved:
        place = 0
    level = levels[place].number if place < len(levels) else max(x.until for x in levels) + 1
    if plateaus and not resolved:
        return Advice(level, Verdict.PLATEAU, _REMEDIES[Verdict.PLATEAU])
    if verdict in _REMEDIES:
        return Advice(level, verdict, _REMEDIES[verdict])
    o = run.observables
    more = [f"order={max(o.orders) + 2}", f"neurons={max(16, 2 * len(o.biases))}"]
    if o.products:
        more = [f"neurons={2 * len(o.biases)}"] * bool(len(o.biases)) + [f"products={2 * len(o.products)}"]
    wider = f"other observables, such as default_observables(..., {', '.join(more)})"
    if n >= len(gaps):
        return Advice(level, Verdict.BASIS_LIMITED, f"the observables have {len(gaps)} states only; use {wider}")
    if verdict is Verdict.BASIS_LIMITED:
        return Advice(level, verdict, f"use {wider}, or more observable_lags, so that t0 can be raised further")
    if not resolved and solution.crossed[n] < 3 * float(solution.eigenvalue(n).error):
        return Advice(level, verdict, f"{_NOTHING_PERSISTS}; or {wider}")
    unit = solution.unit
    expected, error, norm_error = _expected_level(solution, n, resolved)
    decay = np.exp(-expected / unit)
    # The conditions on a resolved level, in terms of the errors of lambda and of the norm.
    factor = (error / min(decay / LAMBDA_ERRORS, LARGEST_RELATIVE_ERROR * decay * expected / unit)) ** 2
    factor = max(factor, (norm_error / LARGEST_NORM_ERROR) ** 2)
    held = int(run.block_paths.sum())
    if not factor < _HOPELESS:
        return Advice(level, Verdict.NOISE, _RARE)
    n_paths = ceil(held * max(2.0, _SAFETY_FACTOR * factor))
    digits = 10 ** max(0, len(str(n_paths)) - 2)
    n_paths = -(-n_paths // digits) * digits
    dt = None
    remedy = f"about {n_paths:,} paths would resolve it, now there are {held:,}"
    if expected > 1.5 * unit:
        dt = float(f"{run.hbar / (2 * expected * solution.tau):.1g}")
        remedy += f"; it decays to {decay:.1%} within one lag, dt = {dt:g} leaves more of it"
    return Advice(level, verdict, f"{remedy}; or {wider}", n_paths, dt)


def _expected_level(solution: CheckedSolution, n: int, resolved: list[Level]) -> tuple[float, float, float]:
    """Energy of state n, errors of its eigenvalue and its norm: as seen, or as the levels below lead one to expect."""
    value = solution.eigenvalue(n)
    seen, error, norm_error = float(value.value), float(value.error), float(solution.norm_errors[n])
    if not resolved:
        # The largest eigenvalue of noise is no measure of a level; what survives on other blocks is.
        return float(-solution.unit * np.log(np.clip(solution.crossed[n], 1e-3, 0.99))), error, norm_error
    known = [float(level.gap.value) for level in resolved if level.gap is not None]
    expected = known[-1] + (known[-1] - known[-2] if len(known) > 1 else known[-1])
    if 0 < PERSISTENCE * seen < solution.crossed[n]:
        expected = max(float(-solution.unit * np.log(seen)), known[-1])

    def continued(below: list[float]) -> float:
        growth = below[-1] / below[-2] if len(below) > 1 else 3.0
        return below[-1] * min(max(growth, 1.0), 5.0)

    errors = [float(solution.eigenvalue(m).error) for m in range(n)]
    norm_errors = [float(e) for e in solution.norm_errors[:n]]
    return expected, max(error, continued(errors)), max(norm_error, continued(norm_errors))


def _multiplets(
    solution: CheckedSolution, gaps: list[Estimate | None], weights: Floats | None, verdicts: list[Verdict]
) -> tuple[Level, ...]:
    verdicts = _with_neighbours(gaps, verdicts)
    levels: list[Level] = []
    for members in _groups(gaps, verdicts):
        first, *rest = [gaps[m] for m in members]
        if first is not None and rest:
            first = first.map_replicas(lambda *v: np.mean(v, axis=0), *(g for g in rest if g is not None))
        weight = None if weights is None else solution.estimate(weights[:, members].sum(axis=1))
        levels.append(Level(first, weight, len(members), verdicts[members[0]]))
    return tuple(levels)


def _with_neighbours(gaps: list[Estimate | None], verdicts: list[Verdict]) -> list[Verdict]:
    """Verdicts, where a level close below one that is not resolved is not resolved either: both may be one multiplet.

    The lowest eigenvalue of a multiplet lies below the level.
    """
    found = list(verdicts)
    for n in reversed(range(len(gaps) - 1)):
        lower, upper = gaps[n], gaps[n + 1]
        if lower is None or upper is None or found[n] is not Verdict.RESOLVED or found[n + 1] is Verdict.RESOLVED:
            continue
        if float(upper.value) - float(lower.value) < _CLOSE * float(lower.error):
            found[n] = found[n + 1]
    return found


def _groups(gaps: list[Estimate | None], verdicts: list[Verdict]) -> list[list[int]]:
    """States of each multiplet: neighbours that cannot be told apart, unless together they are not equal."""
    chains: list[list[int]] = []
    for n, (gap, verdict) in enumerate(zip(gaps, verdicts, strict=True)):
        last = gaps[n - 1] if n and verdict is verdicts[n - 1] is Verdict.RESOLVED else None
        if gap is None or last is None or told_apart(last, gap):
            chains.append([n])
        else:
            chains[-1].append(n)
    return [group for chain in chains for group in ([chain] if _equal(gaps, chain) else [[n] for n in chain])]


def _equal(gaps: list[Estimate | None], members: list[int]) -> bool:
    """Whether the scatter of eigenvalues is that of equal levels.

    Errors between k equal levels form a symmetric matrix with elements of variance e^2 on the diagonal and e^2/2 beside
    it. The squares of its eigenvalues, less their mean, sum to e^2 times a chi-squared of k (k + 1)/2 - 1.
    """
    if len(members) < 3:
        return True  # told apart by its only difference
    from scipy.special import gammaincc

    held = [g for g in (gaps[m] for m in members) if g is not None]
    values, errors = np.array([float(g.value) for g in held]), np.array([float(g.error) for g in held])
    scatter = float(np.sum((values - values.mean()) ** 2) / np.mean(errors**2))
    freedom = len(held) * (len(held) + 1) / 2 - 1
    return bool(gammaincc(freedom / 2, scatter / 2) > _MULTIPLET_CHANCE)
