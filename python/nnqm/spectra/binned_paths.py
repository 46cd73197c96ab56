r"""Effective levels of a binned one-step transition matrix: an estimator of the literature, and its exact value.

The range of x is cut into bins, transitions between them after one lag are counted, and the eigenvalues of the matrix
of transition probabilities are read as exp(-E lag/hbar). For a Markov process and infinitely many bins these are
gaps. With finitely many, or where x = f(y) is not Markov, they are numbers of the estimator: larger than gaps by an
amount that depends on bins and lag, without a limit in the number of paths that would tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer, positive
from ..errors import InputError
from ..representation import short_repr
from ..sampling.observables import default_observables
from ..sampling.path_source import PathReader, Paths, need_levels, need_uniform, reader_of
from ..sampling.run_settings import DEFAULT_BLOCKS, choose_blocks
from ..statistics.autocorrelation import INDEPENDENT, windowed_time
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate, jackknife
from ..statistics.matrices import eigenvalues
from ..theories.networks import Network
from ..theories.source import Transition
from ..theories.theory import Theory

__all__ = ["EffectiveLevels", "ExactEffectiveLevels", "binned_effective_levels", "exact_effective_levels"]

# Reach of the default edges from the mean, in standard deviations; the outermost bins are open.
_REACH = 3.0
# Fewest visits of a bin per block; a rarer bin is joined to a neighbour: one visit alone makes an eigenvalue.
_VISITS_PER_BLOCK = 4
# Smallest eigenvalue that is shown as a level: in its errors, and in units of the largest eigenvalue of independent
# pairs, 2 (n_bins/2 n_pairs)^(1/2).
_SIGNIFICANT, _NOISE = 5.0, 1.5
_MOST_BINS = 512
# Bytes of paths handled at once.
_CHUNK = 16 << 20
# Reach of the exact side in standard deviations; nodes of the smooth average per width; points per standard deviation
# along the first input and along the others, by the number of inputs.
_WIDTH = 7.0
_NODES_PER_WIDTH = 2.0
_FINE = {1: (2000, 0), 2: (300, 60), 3: (20, 10)}
# Fineness of the coarser calculation whose difference is the error.
_COARSER = 0.6


# Block, and values (paths, times).
_Part: TypeAlias = "tuple[int, NDArray[Any]]"


@short_repr
@dataclass(frozen=True)
class EffectiveLevels:
    """Outcome of ``binned_effective_levels``; these are not energies.

    Attributes
    ----------
    levels : tuple of (Estimate or None)
        -hbar ln(lambda_n)/lag, n = 1, 2, ..., energy units; None where lambda_n is no more than noise makes.
    edges : ndarray
        Inner edges of the bins used, ascending, unit of x; the outermost bins are open.
    lag : float
        Unit time.
    """

    levels: tuple[Estimate | None, ...]
    edges: Floats
    lag: float


@short_repr
@dataclass(frozen=True)
class ExactEffectiveLevels:
    """Outcome of ``exact_effective_levels``.

    Attributes
    ----------
    levels : ndarray
        Values of ``binned_effective_levels`` without noise, shape (n,), energy units; infinite where the
        eigenvalue is not positive.
    error : ndarray
        Of the quadrature, shape (n,): the change when it is coarsened.
    probabilities : ndarray
        P(x(0) in bin i, x(lag) in bin j), shape (n_bins, n_bins).
    """

    levels: Floats
    error: Floats
    probabilities: Floats


@one_blas_thread
def binned_effective_levels(
    paths: Paths | ArrayLike,
    *,
    dt: float = 1.0,
    n_levels: int = 9,
    lag: int = 1,
    bins: int | ArrayLike = 50,
    channel: int | str = 0,
    n_blocks: int | None = None,
    hbar: float = 1.0,
) -> EffectiveLevels:
    r"""Effective levels from a histogram of pairs of values one lag apart. They are not energies.

    .. math:: P_{ij} \propto N_{ij} + N_{ji}, \qquad E^{\mathrm{eff}}_n = -\hbar \ln(\lambda_n)/\mathrm{lag}

    with the eigenvalues 1 = lambda_0 > lambda_1 > ... of the reversible transition matrix P. The errors are
    statistical (jackknife over blocks) and say nothing of the distance to the gaps: bins bring a systematic shift
    upwards even for a Markov process, and for a function of hidden inputs there is another that no number of bins
    removes. Eigenvalues of noise are of the order of (number of bins/number of pairs)^(1/2), so that there
    is a ceiling to what comes out, whatever the theory; levels near it are biased downwards.
    ``exact_effective_levels`` is the value without noise; ``spectrum`` and ``hidden_spectrum`` measure gaps.

    Parameters
    ----------
    paths : Paths or array_like
        Paths of a theory, on a uniform grid; or given paths, shape (n_paths, n_times[, channels]) or (n_times,).
    dt : float
        Time step of given paths; paths of a theory have their own.
    n_levels : int, default 9
        Effective levels wanted, without the ground state.
    lag : int, default 1
        In steps.
    bins : int or array_like, default 50
        Number of bins of equal width within 3 standard deviations of the mean, the outermost two open; or the inner
        edges, ascending, shape (n_bins - 1,). Bins with fewer than 4 visits per block are joined to a neighbour.
    channel : int or str
        Position among the outputs or name of a channel of a theory, position in given paths.
    n_blocks : int, optional
        Independent blocks; see ``accumulate``.
    hbar : float
        For given paths; a theory has its own.

    Returns
    -------
    EffectiveLevels

    Raises
    ------
    InputError, InputTypeError
        If arguments do not fit, a value is not finite, or paths are not longer than the lag.

    Examples
    --------
    >>> theory = nnqm.harmonic_oscillator()
    >>> found = binned_effective_levels(nnqm.Paths(theory, 4000, 64, 0.2, rng=1), bins=8, n_levels=2)
    >>> exact = exact_effective_levels(theory, found.edges, found.lag, n_levels=2)
    >>> exact.levels.round(4)  # not 1 and 2
    array([1.4002, 2.788 ])
    >>> bool(abs(found.levels[1].pull(exact.levels[1])) < 3)
    True
    """
    wanted, step = integer("n_levels", n_levels, 1, _MOST_BINS), integer("lag", lag, 1)
    inner = _inner_edges(bins)
    need_uniform(paths)
    visible = reader_of(paths, channel, dt)
    parts: Iterator[_Part]
    if isinstance(paths, Paths):
        need_levels(paths.theory)
        hbar, steps = paths.theory.hbar, visible.n_times
        observables = default_observables(paths.theory, neurons=0)
        place = observables.channels.index(paths.theory.channel_name(channel))
        mean, spread = float(observables.shift[place]), float(observables.scale[place])
        blocks = choose_blocks(n_blocks, visible.n_units, "paths")
        parts = _drawn(visible, blocks)
    else:
        x = visible.native(0, visible.n_units)
        pieces = _stretches(x, visible, n_blocks)
        stride = max(1, x.size >> 20)
        sample = np.asarray(x[:, ::stride], dtype=np.float64)
        mean, spread = float(sample.mean()), float(sample.std())
        steps, blocks = pieces[0][2].shape[1], len(pieces)
        parts = _given(pieces, visible)
    if step >= steps:
        raise InputError(f"lag must be below n_times; got lag={step} with {steps} times; use longer paths")
    positive("hbar", hbar)
    if inner is None:
        inner = _equal_bins(int(np.asarray(bins)), mean, spread)
    counts, n_paths = _counted(parts, inner, step, blocks)
    counts, inner = _without_rare(counts, inner)

    def eigenvalues(s: Any) -> Floats:
        return _eigenvalues(s["counts"])

    lambdas = jackknife(eigenvalues, {"counts": counts}, n_paths)
    time = step * visible.step
    floor = _NOISE * np.sqrt(2 * len(counts[0]) / counts.sum())
    levels: list[Estimate | None] = []
    for n in range(1, min(wanted, len(inner)) + 1):
        value = lambdas[n]
        sure = value.value > max(_SIGNIFICANT * float(value.error), floor) and value.replicas.min() > 0
        levels.append(value.map_replicas(lambda v: -hbar * np.log(v) / time) if sure else None)
    return EffectiveLevels(tuple(levels), inner, time)


def _stretches(x: NDArray[Any], visible: PathReader, n_blocks: int | None) -> list[tuple[int, int, NDArray[Any]]]:
    """Blocks of paths (n_paths, n_times), each at least 20 autocorrelation times long; few paths are cut along time.

    Each with its first path and its first time step.
    """
    n_paths, n_times = x.shape
    many = n_paths >= 16
    # Of paths their means, which a Markov chain of configurations correlates; of a long path its first million steps.
    series = x.mean(axis=1, dtype=np.float64)[None] if many else x[:, :1_000_000].astype(np.float64)
    if not np.isfinite(series).all():
        visible.need_finite(x, 0)
    tau = max(windowed_time(s) for s in series)
    unit = INDEPENDENT * tau if tau > 1 else 1.0
    most = int((n_paths if many else n_times) / unit) * (1 if many else n_paths)
    blocks = min(DEFAULT_BLOCKS, most) if n_blocks is None else integer("n_blocks", n_blocks, 2)
    if blocks > most or blocks < 8:
        raise InputError(
            f"errors need at least 8 blocks of {INDEPENDENT:g} autocorrelation times; the time is {tau:.3g} "
            f"{'paths' if many else 'steps'}, which makes {most} blocks, and n_blocks={n_blocks}; give more or longer "
            "paths, or fewer blocks"
        )
    if many:
        bounds = [n_paths * b // blocks for b in range(blocks + 1)]
        return [(first, 0, x[first:last]) for first, last in pairwise(bounds)]
    per_path = max(1, blocks // n_paths)
    steps = n_times // per_path
    return [(i, b * steps, x[i : i + 1, b * steps : (b + 1) * steps]) for i in range(n_paths) for b in range(per_path)]


def _inner_edges(bins: int | ArrayLike) -> Floats | None:
    """The inner edges if bins are given by them, None if by their number."""
    if np.ndim(bins) == 0:
        integer("bins", bins, 2, _MOST_BINS)
        return None
    return _checked_edges("bins", bins)


def _checked_edges(name: str, edges: ArrayLike) -> Floats:
    inner = floats(name, edges, 1)
    if not 1 <= inner.size < _MOST_BINS:
        raise InputError(f"{name} must have 1 to {_MOST_BINS - 1} entries; got {inner.size}")
    for i in np.flatnonzero(np.diff(inner) <= 0)[:1]:
        raise InputError(
            f"{name} must be strictly increasing; {name}[{i + 1}]={inner[i + 1]:g} <= {name}[{i}]={inner[i]:g}; "
            "sort them"
        )
    return inner


def _equal_bins(n_bins: int, mean: float, spread: float) -> Floats:
    """Inner edges of bins of equal width."""
    if not spread > 1e-12 * abs(mean):
        raise InputError("the channel is constant, so that there is nothing to bin; choose one that moves")
    return np.linspace(mean - _REACH * spread, mean + _REACH * spread, n_bins - 1)


def _drawn(visible: PathReader, blocks: int) -> Iterator[_Part]:
    at_once = max(1, _CHUNK // (8 * visible.n_times))
    edges = [visible.n_units * b // blocks for b in range(blocks + 1)]
    for b in range(blocks):
        for first in range(edges[b], edges[b + 1], at_once):
            yield b, visible.native(first, min(first + at_once, edges[b + 1]))


def _given(pieces: list[tuple[int, int, NDArray[Any]]], visible: PathReader) -> Iterator[_Part]:
    for block, (first_path, first_step, x) in enumerate(pieces):
        visible.need_finite(x, first_path, first_step)
        yield block, x


def _counted(
    parts: Iterable[_Part], edges: Floats, lag: int, n_blocks: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of bins in each block, shape (n_blocks, n_bins, n_bins), and paths in each block."""
    n = len(edges) + 1
    counts = np.zeros((n_blocks, n * n), dtype=np.int64)
    paths = np.zeros(n_blocks, dtype=np.int64)
    for block, x in parts:
        where = np.searchsorted(edges, x)
        counts[block] += np.bincount((where[:, :-lag] * n + where[:, lag:]).ravel(), minlength=n * n)
        paths[block] += len(x)
    return counts.reshape(n_blocks, n, n), paths


def _without_rare(counts: NDArray[np.int64], edges: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Bins with too few visits joined to the less visited neighbour."""
    while len(edges) > 1:
        total = counts.sum(axis=0)
        visits = total.sum(axis=0) + total.sum(axis=1)
        rare = int(np.argmin(visits))
        if visits[rare] >= _VISITS_PER_BLOCK * len(counts):
            break
        beside = [i for i in (rare - 1, rare + 1) if 0 <= i < len(visits)]
        low = min(rare, min(beside, key=lambda i: int(visits[i])))
        for axis in (1, 2):
            joined = np.take(counts, low, axis=axis) + np.take(counts, low + 1, axis=axis)
            counts = np.delete(counts, low + 1, axis=axis)
            if axis == 1:
                counts[:, low, :] = joined
            else:
                counts[:, :, low] = joined
        edges = np.delete(edges, low)
    return counts, edges


def _eigenvalues(pairs: Floats) -> Floats:
    """Eigenvalues of the reversible transition matrices of pair counts or probabilities (..., B, B), largest first."""
    flow = pairs + np.swapaxes(pairs, -1, -2)
    visits = flow.sum(axis=-1)
    root = 1 / np.sqrt(np.where(visits > 0, visits, 1.0))
    return eigenvalues(flow * root[..., :, None] * root[..., None, :])[..., ::-1]


@one_blas_thread
def exact_effective_levels(
    theory: Theory, edges: ArrayLike, lag: float, *, n_levels: int = 9, channel: int | str = 0
) -> ExactEffectiveLevels:
    r"""Effective levels without noise: the values of ``binned_effective_levels`` at these bins and this lag.

    For Ornstein-Uhlenbeck inputs both ends of a step are independent given its middle,

    .. math:: P(i, j) = E_z[U_i(z)\, U_j(z)], \qquad
              U_i(z) = P(x \in \mathrm{bin}\ i \mid z\ \text{half a lag before}),

    which is smooth in z and integrated by the trapezoid rule; U_i comes from intervals along the first input on
    which f is linear, and the trapezoid rule over the others. For a chain or a Hamiltonian the matrix of the chain is
    added up over states.

    Parameters
    ----------
    theory : Theory
        Up to three Ornstein-Uhlenbeck inputs, or one Markov chain or ground-state process.
    edges : array_like
        Inner edges, ascending, shape (n_bins - 1,).
    lag : float
        Time between the two values, unit time; for a chain a multiple of its step.
    n_levels : int, default 9
        Levels wanted.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Returns
    -------
    ExactEffectiveLevels

    Raises
    ------
    InputError
        With other sources, or more than three inputs.
    """
    wanted = integer("n_levels", n_levels, 1, _MOST_BINS)
    inner = _checked_edges("edges", edges)
    time = positive("lag", lag)
    need_levels(theory)
    visible = theory.channel_name(channel)
    if theory.all_oscillators:
        if theory.n_inputs > 3:
            raise InputError(
                f"exact bin probabilities need at most 3 inputs; got {theory.n_inputs}; sample the theory instead"
            )
        fine, coarse = (_gaussian(theory, visible, inner, time, finer) for finer in (1.0, _COARSER))
    elif len(theory.sources) == 1 and (step := theory.sources[0].transition(time)) is not None:
        fine = coarse = _of_steps(theory, visible, inner, step)
    else:
        raise InputError(
            "exact bin probabilities are known for Ornstein-Uhlenbeck inputs and for one chain or ground-state "
            f"process; got {theory.sources}; sample the theory instead"
        )
    results = []
    for pairs in (fine, coarse):
        values = _eigenvalues(pairs)[1 : wanted + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            results.append(np.where(values > 0, -theory.hbar * np.log(np.abs(values)) / time, np.inf))
    both = np.isfinite(results[0]) & np.isfinite(results[1])
    error = np.where(both, np.abs(np.subtract(*np.where(both, results, 0.0))), 0.0)
    return ExactEffectiveLevels(results[0], error, fine)


def _outputs(theory: Theory, name: str, y: Floats) -> Floats:
    """A channel at inputs y, shape (..., D)."""
    if theory.network is None or name not in theory.outputs:
        return np.asarray(y[..., theory.channels.index(name)])
    assert isinstance(theory.network, Network)
    return np.asarray(theory.network(y)[..., theory.outputs.index(name)])


def _of_steps(theory: Theory, name: str, edges: Floats, steps: Transition) -> Floats:
    n = len(edges) + 1
    pairs = np.zeros((n, n))
    for values, law, step in zip(steps.values, steps.law, steps.probabilities, strict=True):
        flow = law[:, None] * step
        where = np.searchsorted(edges, _outputs(theory, name, values[:, None]))
        np.add.at(pairs, np.ix_(where, where), flow / len(steps.values))
    return pairs


def _gaussian(theory: Theory, name: str, edges: Floats, time: float, finer: float) -> Floats:
    """Joint bin probabilities for Ornstein-Uhlenbeck inputs, shape (n_bins, n_bins)."""
    from scipy.special import ndtr

    d, n_bins = theory.n_inputs, len(edges) + 1
    spread = np.sqrt(np.concatenate([s.variance for s in theory.sources]))
    rho = np.exp(-np.array(theory.omega) * time / 2)
    width = np.sqrt(-np.expm1(-np.array(theory.omega) * time))
    along, across = (max(2, int(2 * _WIDTH * finer * k) | 1) for k in _FINE[d])
    # Nodes of the middle of the step, with weights, for each input.
    middles = []
    for k in range(d):
        n = int(np.ceil(2 * _WIDTH * _NODES_PER_WIDTH * rho[k] / width[k])) | 1
        z = np.linspace(-_WIDTH, _WIDTH, n)
        middles.append((z, np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()))
    # Cells along the first input, and how likely each is from each middle; the outermost are open.
    points = np.linspace(-_WIDTH, _WIDTH, along)
    below = ndtr((points[:, None] - rho[0] * middles[0][0]) / width[0])
    below[0], below[-1] = 0.0, 1.0
    cells = np.diff(below, axis=0)  # (along - 1, nodes of the first input)
    # Points of the other inputs, and how likely each is from each of their middles.
    others = []
    for k in range(1, d):
        fine = max(across, int(2 * _WIDTH * 3 / width[k]) | 1)
        z = np.linspace(-_WIDTH, _WIDTH, fine)
        chance = np.exp(-(((z - rho[k] * middles[k][0][:, None]) / width[k]) ** 2) / 2)
        others.append((z, chance / chance.sum(axis=1, keepdims=True)))
    lines = np.zeros((1, 0))
    for z, _ in others:
        lines = np.concatenate([np.repeat(lines, len(z), axis=0), np.tile(z, len(lines))[:, None]], axis=1)
    shares = _shares(theory, name, edges, points, lines, spread)
    pairs = np.zeros((n_bins, n_bins))
    for m, weight in enumerate(middles[0][1]):
        if weight < 1e-16:
            continue
        seen = np.asarray(shares @ cells[:, m]).reshape(*(len(z) for z, _ in others), n_bins)
        for _, chance in others:
            # The first axis goes last but one each time, so that the order of inputs is restored in the end.
            seen = np.moveaxis(np.tensordot(chance, seen, axes=(1, 0)), 0, -2)
        weights = np.ones(())
        for _, w in middles[1:]:
            weights = np.multiply.outer(weights, w)
        rows = seen.reshape(-1, n_bins)
        pairs += weight * (rows.T * weights.ravel()) @ rows
    return pairs


def _shares(theory: Theory, name: str, edges: Floats, points: Floats, lines: Floats, spread: Floats) -> Any:
    """Share of each bin in each cell of each line, as a sparse matrix (n_lines n_bins, n_cells).

    Between two points of a line x is taken as linear, and the probability as uniform.
    """
    from scipy.sparse import csr_matrix

    n_cells, n_bins = len(points) - 1, len(edges) + 1
    bounded = np.concatenate([[-np.inf], edges, [np.inf]])
    rows, columns, values = [], [], []
    at_once = max(1, (1 << 21) // len(points))
    for first in range(0, len(lines), at_once):
        chunk = lines[first : first + at_once]
        z = np.empty((len(chunk), len(points), 1 + lines.shape[1]))
        z[:, :, 0], z[:, :, 1:] = points, chunk[:, None, :]
        x = _outputs(theory, name, z * spread)
        low, high = np.minimum(x[:, :-1], x[:, 1:]).ravel(), np.maximum(x[:, :-1], x[:, 1:]).ravel()
        bottom, top = np.searchsorted(edges, low), np.searchsorted(edges, high)
        touched = top - bottom + 1
        cell = np.repeat(np.arange(low.size), touched)
        bin_ = bottom[cell] + np.arange(touched.sum()) - np.repeat(np.cumsum(touched) - touched, touched)
        length = high[cell] - low[cell]
        inside = np.minimum(high[cell], bounded[bin_ + 1]) - np.maximum(low[cell], bounded[bin_])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(length > 0, inside / length, 1.0 / touched[cell])
        rows.append((first + cell // n_cells) * n_bins + bin_)
        columns.append(cell % n_cells)
        values.append(share)
    index = (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix((np.concatenate(values), index), shape=(max(1, len(lines)) * n_bins, n_cells))
