r"""Levels of a theory from one visible function of its state.

Where only x = f(y) is visible, x is not a Markov process, and correlators of functions of x at one time no longer have
the levels of the theory as their variational limit. Functionals of several times have them, if the metric is that of
Osterwalder and Schrader:

.. math:: M_{ij}(\tau) = \langle F_i(x_0, x_{-d}, x_{-2d})\, F_j(x_\tau, x_{\tau+d}, x_{\tau+2d})\rangle
          = \langle F_i| e^{-H\tau/\hbar} |F_j\rangle ,

a positive matrix for every reflection-positive process, with the vacuum subtracted. At tau = 0 both sides share x_0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, integer
from ..errors import InputError
from ..progress import Progress, ProgressBar, Showing
from ..sampling.accumulator import accumulate
from ..sampling.arrays import is_array, need_finite_paths
from ..sampling.correlators import Correlators
from ..sampling.measure import Measure
from ..sampling.observables import Observables, default_observables
from ..sampling.path_source import PathReader, Paths, need_levels, need_uniform, readers_of
from ..sampling.run_settings import choose_blocks, need_known
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..statistics.matrices import generalised_eigenstates, product
from ..verdict import Verdict
from .gevp import (
    Directions,
    Solution,
    between,
    estimate_of,
    stack_of,
    weights_at_zero,
)
from .levels import (
    LARGEST_RELATIVE_ERROR,
    Advice,
    Level,
    Spectrum,
    SpectrumError,
    does_not_decay,
    on_ladder,
    slowest_gap,
    told_apart,
)

__all__ = ["hidden_spectrum"]

# Times of a functional; more add little to what noise lets through.
_WINDOW = 3

# Hermite polynomials of each time, and neurons on all of them (each with its mirror image). Higher polynomials of an x
# with heavy tails are noise that hides what lower ones show.
_ORDER, _NEURONS = 3, 14

# Multiples of the delay at which M(tau) is measured, so that t0 can be raised: to each t0 belongs the next one.
_LAGS = (0, 1, 2, 3, 5, 8)

_SHORTEST = 2 * (_WINDOW - 1) + _LAGS[-1] + 1

# Autocorrelation of x at the delay, at most, as a part of its variance.
_DELAY_CORRELATION = 0.85

# Smallest eigenvalue of the second moments that is no rounding, as a part of the largest.
_DIRECTION_FLOOR = {"float32": 1e-5, "float64": 1e-9}

# Distance of an eigenvalue of M(0) from the largest that noise makes, in errors. A random symmetric matrix of size F
# whose elements have error s has eigenvalues up to 2 s sqrt(F), and directions are chosen by the same data.
_NOISE_ERRORS = 3.0

# Distance of a direction of M(0) from zero, in errors. Lambda along it is then good to one part in 15, and its
# admixture to other directions is harmless.
_DIRECTION_ERRORS = 15.0

# Slope of a straight line through a level and all later ones, in errors, beyond which the level still falls with t0.
_FALL_ERRORS = 2.0

# Steps of t0 after the stop of a level at which it is read off; the rest of its movement is then well below its error.
_READ_OFF = (2, 3)

# Largest difference of M(d) from its transpose in reversible paths, in errors; 900 elements never reach it by chance.
_REVERSIBLE_ERRORS = 8.0

# Paths, and their length in natural steps, of the pilot run that decides on the delay.
_PILOT_KEY, _PILOT_PATHS, _PILOT_TIMES = 5462, 2048, 64

# Bytes of paths handled at once.
_CHUNK = 8 << 20


class HiddenSettings(TypedDict, total=False):
    """Settings of ``hidden_spectrum``.

    Attributes
    ----------
    n_blocks : int
        Independent blocks for the jackknife, of each chunk where there are several; see ``accumulate``.
    hbar, mass : float
        For given paths, 1 by default; a theory has its own.
    progress : callable, bool or None
        Called with (parts done, all parts), 0 parts if their number is not known; or whether a bar is shown, see
        ``simulate``.
    """

    n_blocks: int | None
    hbar: float
    mass: float
    progress: Showing


@one_blas_thread
def hidden_spectrum(
    paths: Paths | ArrayLike | Iterable[ArrayLike],
    *,
    dt: float = 1.0,
    n_levels: int = 3,
    channel: int | str = 0,
    delay: int | None = None,
    **settings: Unpack[HiddenSettings],
) -> Spectrum:
    r"""Levels above the ground state from paths of one visible channel, each with a verdict.

    Functionals are Hermite polynomials of x at three times in steps of ``delay``, and bounded neurons on the three.
    Whitened by their second moments, the matrix M(0) has the eigenvalue 1 for functions of x_0, and less for
    functions that depend on more; directions that noise could produce are left out, and the rest is held fixed. Then

    .. math:: M(t_0 + \tau)\, v = \lambda M(t_0)\, v, \qquad E = -\hbar\ln(\lambda)/\tau

    is solved at t0 = 0, and in the span of its n lowest states for level n at t0 = 1, 2, 3 and 5 delays, each with the
    next longer of these times. There levels are upper bounds of gaps that fall with t0, and noise has little to choose
    from: among more states it finds combinations that decay too slowly. Each level is followed until it falls no
    more: until a straight line through all later values has a slope of less than two errors. It is *resolved* if it
    can be followed three steps further with errors below 10%, and all levels below it are resolved; it is
    "basis-limited" if noise stops it earlier. The result is the mean of its values two and three steps after the
    stop, among the lowest n and n + 1 states. The statistical error comes from the jackknife over blocks, the
    systematic one the error of that mean if the values were independent.

    Levels whose states do not show in functionals of x have no sign here, so that every level is "at least the n-th"
    (``Level.at_least``), and of equal levels one may show only one.
    A fall that is slow against the noise goes unseen: where several inputs are hidden behind one x, levels are dense
    and gaps may come out some errors too large.

    Parameters
    ----------
    paths : Paths, array_like, or iterable of array_like
        Paths of a theory, on a uniform grid; or stationary paths, shape (n_paths, n_times[, channels]) or (n_times,);
        or chunks of such paths, each one of several (a multiple of ``n_blocks``) independent blocks.
    dt : float
        Time step of given paths; paths of a theory have their own.
    n_levels : int, default 3
        Levels asked for.
    channel : int or str
        The visible channel: its position among the outputs or its name in a theory, its position in given paths.
    delay : int, optional
        Steps between the times of a functional. Default: the first lag at which x keeps less than 85% of its
        variance, in a pilot run of the theory or the first paths given.
    **settings : HiddenSettings
        n_blocks : int, independent blocks for the jackknife, of each chunk where there are several; see ``accumulate``.
        hbar, mass : float, for given paths, 1 by default; a theory has its own. progress : callable, called with (parts
        done, all parts), bool or None, as for ``simulate``.

    Returns
    -------
    Spectrum
        ``t0`` belongs to the lowest level, ``basis_size`` the number of directions kept at t0 = 0.

    Raises
    ------
    InputError, InputTypeError
        If arguments do not fit, x is constant or not finite, or paths are shorter than 13 delays.

    Notes
    -----
    Transfer matrices of reflected functionals: Osterwalder and Seiler, Ann. Phys. 110, 440 (1978). The eigenvalue
    problem: Luescher and Wolff, Nucl. Phys. B 339, 222 (1990).

    Examples
    --------
    >>> network = nnqm.Network([[[2.0], [1.0]], [[1.0, 0.5]]], activation="sin")
    >>> theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)  # not monotonic: y cannot be read off x
    >>> found = hidden_spectrum(nnqm.Paths(theory, 20_000, 128, 0.2, rng=1), n_levels=1)
    >>> bool(abs(found.gaps[0].pull(1.0)) < 3)
    True
    """
    need_known(hidden_spectrum, settings, HiddenSettings)
    integer("n_levels", n_levels, 1, 1000)
    n_blocks, hbar, mass = settings.get("n_blocks"), settings.get("hbar", 1.0), settings.get("mass", 1.0)
    bar = ProgressBar("hidden_spectrum", given=settings.get("progress"))
    need_uniform(paths)
    readers = readers_of(paths, channel, dt)
    visible = next(readers, None)
    if visible is None:
        raise InputError("paths must have at least one chunk; got none")
    name, n_threads = "x", 0
    if isinstance(paths, Paths):
        need_levels(paths.theory)
        hbar, mass, n_threads = paths.theory.hbar, paths.theory.mass, paths.n_threads
        name = paths.theory.channel_name(channel)
        first = Paths(
            paths.theory,
            _PILOT_PATHS,
            times=paths.times[:_PILOT_TIMES],
            key=_PILOT_KEY,
            precision=paths.precision,
            n_threads=n_threads,
        ).read(channel=channel)
    else:
        first = visible.native(0, visible.n_units)
    observables, step = _functionals(first, delay, name, visible.column)
    span = (_WINDOW - 1) * step
    if visible.n_times < _SHORTEST * step:
        raise InputError(
            f"paths must be at least {_SHORTEST} delays long, {_SHORTEST * step} steps; got {visible.n_times} with "
            f"delay={step}; use longer paths or a smaller delay"
        )
    windows: Any
    per_chunk: int | None
    n_chunks = len(paths) if isinstance(paths, Sized) else None
    if isinstance(paths, Paths):
        blocks = choose_blocks(n_blocks, visible.n_units, "paths")
        windows, per_chunk = _drawn(visible, blocks, step)
        n_chunks = blocks // per_chunk
    elif is_array(paths):
        windows, per_chunk, n_chunks = _windows(first, step), n_blocks, 1
    else:
        chunks = (r.native(0, r.n_units) for r in chain([visible], readers))
        windows, per_chunk = (_windows(x, step) for x in chunks), n_blocks or 1
    with bar as tell:
        run = accumulate(
            windows if is_array(windows) else _told(windows, tell, n_chunks),
            visible.step,
            hbar=hbar,
            mass=mass,
            measure=Measure(
                observables=observables,
                lags=(),
                observable_lags=[span + k * step for k in _LAGS],
                increment_lags=(),
            ),
            n_blocks=per_chunk,
            n_threads=n_threads,
            independent=isinstance(paths, Paths),
        )
        if n_chunks is not None:
            tell(n_chunks, n_chunks + 1)
        return _levels(_matrices(run), run, step, n_levels)


def _told(windows: Iterable[NDArray[Any]], tell: Progress, n_chunks: int | None) -> Iterator[NDArray[Any]]:
    """Windows of paths, each of which is told when it has been taken; the levels are one more part."""
    for done, chunk in enumerate(windows, start=1):
        yield chunk
        tell(done, 0 if n_chunks is None else n_chunks + 1)


def _windows(x: NDArray[Any], step: int) -> NDArray[Any]:
    """(x_t, x_{t+d}, x_{t+2d}) as a view, shape (n_paths, n_times - 2 d, 3)."""
    return np.lib.stride_tricks.sliding_window_view(x, (_WINDOW - 1) * step + 1, axis=1)[:, :, ::step]


def _drawn(visible: PathReader, blocks: int, step: int) -> tuple[Iterator[NDArray[Any]], int]:
    """Windows of paths of a theory, in chunks of equally many blocks, and the number of blocks of a chunk."""
    n_paths = visible.n_units
    edges = [n_paths * b // blocks for b in range(blocks + 1)]
    together = max(1, min(_CHUNK // (8 * visible.n_times * max(1, n_paths // blocks)), blocks))
    while blocks % together:
        together -= 1
    return (_windows(visible.native(edges[b], edges[b + together]), step) for b in range(0, blocks, together)), together


def _functionals(pilot: NDArray[Any], delay: int | None, name: str, column: int = 0) -> tuple[Observables, int]:
    """The functionals of a window, closed under its reversal, and the delay in steps."""
    stride = max(1, pilot.size >> 20)
    sample = pilot[:: min(stride, max(1, len(pilot) // 64)), : 1 << 14].astype(np.float64)
    mean, spread = sample.mean(), sample.std()
    if not (np.isfinite(mean) and np.isfinite(spread)):
        need_finite_paths(pilot, column=column)
    if not spread > 1e-12 * abs(mean):
        raise InputError("the visible channel is constant, so that there is no spectrum; choose one that moves")
    if delay is None:
        most = max(1, pilot.shape[1] // _SHORTEST)
        centred = sample - mean
        step = most
        for k in range(1, most):
            if float(np.mean(centred[:, k:] * centred[:, :-k])) < _DELAY_CORRELATION * spread**2:
                step = k
                break
    else:
        step = integer("delay", delay, 1)
    names = [f"{name}(t)", *(f"{name}(t+{k * step})" for k in range(1, _WINDOW))]
    half = default_observables(
        (np.full(_WINDOW, mean), np.full(_WINDOW, spread), names), order=_ORDER, neurons=_NEURONS, products=0
    )
    both = replace(
        half,
        weights=np.concatenate([half.weights, half.weights[:, ::-1]]),
        biases=np.tile(half.biases, 2),
        centres=np.tile(half.centres, 2),
    )
    return both, step


def _mirror(observables: Observables) -> NDArray[np.int64]:
    """Position of each functional after reversal of the window."""
    higher = _ORDER - 1
    first = 1 + _WINDOW
    neurons = first + _WINDOW * higher
    half = len(observables.biases) // 2
    where = [0, *range(_WINDOW, 0, -1)]
    for w in reversed(range(_WINDOW)):
        where += range(first + w * higher, first + (w + 1) * higher)
    return np.array([*where, *range(neurons + half, neurons + 2 * half), *range(neurons, neurons + half)])


@dataclass(frozen=True)
class _Matrices:
    """Transfer matrices of the functionals, with replicas on the first axis."""

    metric: Floats  # (R, n_lags, F, F): M(0), M(d), M(2 d), ...
    second: Floats  # (F, F): second moments of the functionals, without replicas
    odd: Floats  # (R, F (F - 1)/2): what time reversal changes in M(d)
    sizes: Floats  # (R,)


def _matrices(run: Correlators) -> _Matrices:
    """M(tau) from sums over windows: a past functional is the mirror image of one that starts 2 d earlier."""
    mirror = _mirror(run.observables)

    upper = np.triu_indices(run.observables.size - 1, 1)

    def connected(s: dict[str, Floats]) -> tuple[Floats, Floats]:
        sums = s["observable_lags"][..., 0, :, :]
        product = (sums / sums[..., :1, :1])[..., mirror, :]
        mean = (product[..., 0, :] + product[..., :, 0]) / 2
        matrix = (product + np.swapaxes(product, -1, -2)) / 2 - mean[..., :, None] * mean[..., None, :]
        odd = (product - np.swapaxes(product, -1, -2))[:, 1]
        return np.asarray(matrix[..., 1:, 1:]), np.asarray(odd[:, 1:, 1:][:, upper[0], upper[1]])

    estimate, odd = run.estimate(connected, "observable_lags")
    total = run.sums["observable_lags"][:, 0].sum(axis=0)
    square = total[1] / total[1, 0, 0]
    square = (square + square[mirror][:, mirror]) / 2
    second = (square - np.outer(square[0], square[0]))[1:, 1:]
    return _Matrices(stack_of(estimate), second, stack_of(odd), estimate.weights)


def _basis(matrices: _Matrices, floor: float) -> Floats:
    """Directions of the functionals that M(0) shows above noise, normalised in it, shape (F, k)."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrices.second), np.finfo(float).tiny))
    moments = Directions.of((matrices.second * scale[:, None] * scale)[None], matrices.sizes)
    white = moments.whitened(moments.above(floor), scale=scale)
    seen = Directions.of(between(white, matrices.metric[:, 0]), matrices.sizes)
    noise = float(np.median(seen.errors))
    kept = seen.values > (2 * np.sqrt(len(seen.values)) + _NOISE_ERRORS) * noise
    return seen.whitened(kept & seen.significant(_DIRECTION_ERRORS), basis=white)


@dataclass(frozen=True)
class _Problem:
    """Transfer matrices, and the units in which their eigenvalues are read."""

    matrices: _Matrices
    step: int  # delay, in steps
    dt: float
    hbar: float

    def solve(self, directions: Floats, position: int) -> tuple[Solution, Floats] | None:
        """Eigenvalue problem of one t0 and the next in the span of ``directions``, and its states, shapes ([R,] F, k).

        None if noise leaves the metric no longer positive there.
        """
        across = np.swapaxes(directions, -1, -2)
        metric, later = (
            product(across, product(self.matrices.metric[:, p], directions)) for p in (position, position + 1)
        )
        try:
            eigenvalues, vectors = generalised_eigenstates(metric, later)
        except np.linalg.LinAlgError:
            return None
        eigenvalues, states = eigenvalues[:, ::-1], product(directions, vectors)[:, :, ::-1]
        amplitude = product(self.matrices.metric[:, position, :1], states)[:, 0]  # of x_0
        delays = _LAGS[position + 1] - _LAGS[position]
        solution = Solution(
            eigenvalues=eigenvalues,
            weights=weights_at_zero(amplitude**2, eigenvalues, _LAGS[position] / delays),
            time=self.step * self.dt * delays,
            hbar=self.hbar,
            sizes=self.matrices.sizes,
        )
        return solution, states


def _levels(matrices: _Matrices, run: Correlators, step: int, n_levels: int) -> Spectrum:
    basis = _basis(matrices, _DIRECTION_FLOOR[run.precision])
    problem = _Problem(matrices, step, run.dt, run.hbar)
    solved = problem.solve(basis, 0) if basis.shape[1] else None
    if solved is None:
        raise SpectrumError("no functional of the visible channel stands above noise; use more or longer paths")
    first, states = solved
    slowest = slowest_gap(run.hbar, run.n_times * run.dt)

    def follow(n: int, size: int) -> list[tuple[Estimate, Estimate]]:
        """The n-th gap and its weight among the lowest ``size`` states, at one t0 after the other until it is noise."""
        found: list[tuple[Estimate, Estimate]] = []
        for position in range(len(_LAGS) - 1):
            solved = problem.solve(states[:, :, :size], position)
            if solved is None or n >= solved[0].eigenvalues.shape[1]:
                break
            solution, _ = solved
            gap = solution.gap(n)
            if gap is None:
                break
            precise = float(gap.error) <= LARGEST_RELATIVE_ERROR * abs(float(gap.value))
            if not (precise or does_not_decay(gap, slowest)):
                break
            found.append((gap, solution.estimate(run.observables.scale[0] ** 2 * solution.weights[:, n])))
        return found

    levels: list[Level] = []
    first_t0 = 0
    n_states = first.eigenvalues.shape[1]
    for n in range(min(n_levels, n_states)):
        usable, *wider = (follow(n, size) for size in range(n + 1, min(n + 2, n_states) + 1))
        if not usable:
            levels.append(Level(None, None, 1, Verdict.NOISE))
            continue
        stops = range(len(usable) - max(_READ_OFF))
        stop = next((p for p in stops if not _falls([e for e, _ in usable[p:]], p)), None)
        if stop is None:
            position, read_off = len(usable) - 1, usable[-1:]
        else:
            position = stop + _READ_OFF[0]
            read_off = [u[p] for u in (usable, *wider) for p in (stop + k for k in _READ_OFF) if p < len(u)]
        energy, weight = (_mean(estimates) for estimates in zip(*read_off, strict=True))
        if stop is not None:
            spread = np.std([float(e.value) for e, _ in read_off], ddof=1) / np.sqrt(len(read_off) - 1)
            energy = energy.with_systematic(float(spread))
        verdict = Verdict.BASIS_LIMITED if stop is None else Verdict.RESOLVED
        if does_not_decay(energy, slowest):
            verdict = Verdict.PLATEAU
        levels.append(Level(energy, weight, 1, verdict))
        if n == 0:
            first_t0 = _LAGS[position] * step
    if _irreversible(matrices):
        levels = [replace(e, verdict=Verdict.IRREVERSIBLE) if e.resolved else e for e in levels]
    merged = _merged(on_ladder(levels))
    # Levels whose states do not show in x are not there.
    levels = [replace(level, number=n, until=n, at_least=True) for n, level in enumerate(merged, start=1)]
    return Spectrum(
        tuple(levels),
        first_t0,
        basis.shape[1],
        _spectral_sum(first, run, levels, 1, 2 * run.mass / run.hbar**2),
        _spectral_sum(first, run, levels, 2, (run.mass / run.hbar) ** 2),
        _advise(levels, n_levels, int(run.block_paths.sum())),
    )


def _mean(estimates: Iterable[Estimate]) -> Estimate:
    one, *others = estimates
    return one.map_replicas(lambda *values: sum(values) / len(values), *others)


def _falls(energies: list[Estimate], position: int) -> bool:
    """Whether energies of one t0 after the other, from ``position`` on, lie on a line that falls significantly."""
    joint = energies[0].map_replicas(lambda *values: np.stack(values, axis=-1), *energies[1:])
    lags = np.array(_LAGS[position : position + len(energies) + 1])
    design = np.stack([np.ones(len(energies)), -(lags[1:] + lags[:-1]) / 2])
    # Neighbours share their noise, so that differences are much more precise than values; few blocks cannot tell.
    enough = joint.n_blocks >= 10 * len(energies)
    weighted = design @ np.linalg.inv(joint.covariance() if enough else np.diag(joint.error**2))
    fit = np.linalg.solve(weighted @ design.T, weighted)
    slope = joint.map_replicas(lambda values: values @ fit[1])
    return float(slope.value) > _FALL_ERRORS * float(slope.error)


_REMEDIES = {
    Verdict.PLATEAU: "what does not decay within the paths is a sector of its own; use longer paths",
    Verdict.IRREVERSIBLE: "the paths differ from their time reversal; levels need others",
}


def _advise(levels: list[Level], n_levels: int, n_paths: int) -> Advice | None:
    resolved = sum(level.resolved for level in levels)
    if resolved and resolved == min(n_levels, len(levels)) == n_levels:
        return None
    failed = next((level for level in levels if not level.resolved), None)
    if failed is None:
        return Advice(resolved + 1, Verdict.NOISE, "no further direction stands above noise; use more paths")
    if failed.verdict in _REMEDIES:
        remedy = _REMEDIES[failed.verdict]
    elif failed.gap is None:
        remedy = f"its signal is lost in noise; use more than the {n_paths:,} paths there are"
    else:
        remedy = f"noise stops it before it has stopped falling; use more than the {n_paths:,} paths there are"
    return Advice(resolved + 1, failed.verdict, remedy)


def _irreversible(matrices: _Matrices) -> bool:
    """Whether M(d) differs from its transpose, which it cannot for a reversible process, beyond doubt."""
    odd = estimate_of(matrices.odd, matrices.sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool(np.nanmax(np.abs(odd.value / odd.error)) > _REVERSIBLE_ERRORS)


def _merged(levels: list[Level]) -> list[Level]:
    """Merge resolved levels that are not distinguishable.

    A much less precise upper level is not merged: only noise makes it indistinguishable.
    """
    merged: list[Level] = []
    for n, level in enumerate(levels):
        last = merged[-1] if merged else None
        if last is None or not (last.resolved and level.resolved and _equal(last, level)):
            merged.append(level)
        elif _less_precise(last, level):
            return on_ladder([*merged, replace(level, verdict=Verdict.NOISE), *levels[n + 1 :]])
        else:
            merged[-1] = _joined(last, level)
    return merged


def _equal(lower: Level, upper: Level) -> bool:
    assert lower.gap is not None
    assert upper.gap is not None
    return not told_apart(lower.gap, upper.gap)


def _less_precise(lower: Level, upper: Level) -> bool:
    """Whether the upper of two levels is near the lower for its own noise only."""
    assert lower.gap is not None
    assert upper.gap is not None
    return float(upper.gap.error) > 3 * float(lower.gap.error)


def _joined(lower: Level, upper: Level) -> Level:
    assert lower.gap is not None
    assert lower.weight is not None
    assert upper.gap is not None
    assert upper.weight is not None
    n = lower.multiplicity
    mean = lower.gap.map_replicas(lambda a, b: (n * a + b) / (n + 1), upper.gap)
    return Level(mean, lower.weight.map_replicas(lambda a, b: a + b, upper.weight), n + 1, Verdict.RESOLVED)


def _spectral_sum(first: Solution, run: Correlators, levels: list[Level], power: int, factor: float) -> Estimate:
    """Sum of gap^power times weight: of resolved levels as they are, of other states at t0 = 0."""
    terms, _ = first.terms(first.weights, power, run.observables.scale[0] ** 2)
    sure = [level for level in levels if level.resolved]
    rest = first.estimate(terms[:, sum(level.multiplicity for level in sure) :].sum(axis=1))
    total = rest
    for level in sure:
        assert level.gap is not None
        assert level.weight is not None
        total = total.map_replicas(lambda sum_, e, w: sum_ + e**power * w, level.gap, level.weight)
    return total.map_replicas(lambda v: factor * v).with_systematic(factor * abs(float(rest.value)))
