"""Integrated autocorrelation times, and the errors that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..errors import InputError
from .estimate import Estimate

__all__ = ["INDEPENDENT", "autocorrelation_time"]

# Smallest length of an independent block of a Markov chain or trajectory, in autocorrelation times.
INDEPENDENT = 20.0
# Wolff's ratio of the exponential to the integrated time, for the automatic window.
_RATIO = 1.5
# Probability that independent units are taken for correlated ones; larger for few units, which show less.
_FALSE_ALARM, _OF_FEW, _FEW = 0.001, 0.004, 32
# Units up to which scores of ranks are compared.
_SCORED = 1 << 16
# Distance, in errors, of a series that is slower than the average of all.
_SLOWER = 2.5


def autocorrelation_time(series: ArrayLike | Sequence[ArrayLike]) -> Estimate:
    r"""Integrated autocorrelation time of a series or of several replicas, in steps, by the Gamma method.

    .. math:: \tau = \frac12 + \sum_{t=1}^{W} \frac{\Gamma(t)}{\Gamma(0)}, \qquad
              \Gamma(t) = \frac{1}{\sum_r (N_r - t)} \sum_r \sum_{i=1}^{N_r - t} (x^r_i - \bar x)(x^r_{i+t} - \bar x),
              \qquad \delta\tau^2 = \frac4N \Big(W + \frac12 - \tau\Big) \tau^2

    with the mean over all N values, the window W of the automatic procedure (S = 1.5) and the correction of the bias of
    order W/N: Wolff, Comput. Phys. Commun. 156, 143 (2004); the error is that of Madras and Sokal, J. Stat. Phys. 50,
    109 (1988). The error of an average of the series is ``sqrt(2 tau / N)`` standard deviations. Independent numbers
    have 1/2.

    Parameters
    ----------
    series : array_like, or list of array_like
        One number of each configuration, in the order of the chain, shape (N,); N at least 4. Or a list of independent
        replicas of the chain, shapes (N_r,), of any lengths, each at least 4.

    Returns
    -------
    Estimate
        In steps of the series. Its error is statistical, for a series of 100 times its autocorrelation time or more
        (at 30 times, deviations are 1.4 errors). It covers no correlation that is longer than the series or replicas.

    Raises
    ------
    InputError, InputTypeError
        If the series has another shape, or is not finite.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=4000)
    >>> x = x[1:] + x[:-1]
    >>> tau = autocorrelation_time(x)
    >>> bool(abs(tau.pull(1.0)) < 3)
    True
    >>> bool(abs(autocorrelation_time([x[:3000], x[3000:]]).pull(tau.value)) < 1)
    True
    """
    given: dict[str, Any] = {"series": series}
    if isinstance(series, (list, tuple)) and len(series) > 0 and all(np.ndim(s) > 0 for s in series):
        given = {f"series[{i}]": s for i, s in enumerate(series)}
    replicas = [floats(name, s, 1) for name, s in given.items()]
    for name, x in zip(given, replicas, strict=True):
        if len(x) < 4:
            raise InputError(
                f"{name} must have at least 4 entries; got {len(x)}; give one number of each configuration"
            )
    time, error = time_of_replicas(replicas)
    # Two replicas at one error to each side have just this error.
    return Estimate(time, [time - error, time + error], [2.0, 2.0])


def time_of_replicas(replicas: Sequence[Floats]) -> tuple[float, float]:
    """Integrated time and its error of independent replicas (N_r,)."""
    if len(replicas) == 1:
        x = replicas[0]
        correlation = _normalised(x[:, None])[1]
        return _gamma_time(correlation[:, 0], [len(x)]) if correlation.size else (0.5, 0.0)
    lengths = [len(x) for x in replicas]
    z, own = _normalised(np.concatenate(replicas)[:, None])
    if not own.size:
        return 0.5, 0.0
    longest = max(lengths)
    products = np.zeros(longest)
    padded = 1 << (2 * longest - 1).bit_length()
    for part in np.split(z[:, 0], np.cumsum(lengths)[:-1]):
        products[: len(part)] += np.fft.irfft(np.abs(np.fft.rfft(part, padded)) ** 2)[: len(part)]
    return _gamma_time(products, lengths)


class ChainTimes(NamedTuple):
    """Autocorrelation times of given paths: of each channel, with errors, in "paths" or in "steps" along the paths.

    In paths they are times of the averages of a channel over each path, in steps of the channel along the path.
    """

    unit: str
    times: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def of(cls, unit: str, channels: Iterable[Sequence[Floats]]) -> ChainTimes:
        """The times of the replicas of each channel."""
        found = [time_of_replicas(replicas) for replicas in channels]
        return cls(unit, tuple(t for t, _ in found), tuple(e for _, e in found))

    def of_channels(self, columns: Sequence[int]) -> ChainTimes:
        """The times of some channels."""
        return ChainTimes(self.unit, tuple(self.times[c] for c in columns), tuple(self.errors[c] for c in columns))

    @classmethod
    def together(cls, parts: Sequence[ChainTimes | None], sizes: Sequence[int]) -> ChainTimes | None:
        """Averages over independent chains of some sizes; None where they are not alike."""
        known = [p for p in parts if p is not None]
        if len(known) < len(parts) or len({(p.unit, len(p.times)) for p in known}) != 1:
            return None
        share = np.asarray(sizes)[:, None] / sum(sizes)
        times = (share * [p.times for p in known]).sum(axis=0)
        errors = np.sqrt(((share * [p.errors for p in known]) ** 2).sum(axis=0))
        return cls(known[0].unit, tuple(times.tolist()), tuple(errors.tolist()))


class Slowness(NamedTuple):
    """Autocorrelation time of the slowest of several series, its error, and whether it is beyond chance."""

    time: float
    error: float
    correlated: bool


def slowest(series: Floats) -> Slowness:
    """The slowest of several series of the same units, shape (N, F).

    The average of all autocorrelation functions has small errors, so that a few units suffice. Single series replace it
    where they are slower beyond their errors. Units count as correlated if the order matters: sums of products of
    neighbours at 1, 2, 4, ... distances are compared with their distribution under permutations of the units, at a
    level of 0.1% (0.4% below 32 units) for all distances and series together.
    """
    from statistics import NormalDist

    raw, correlation = _normalised(series)
    n, n_series = correlation.shape
    if n < 4 or n_series == 0:
        return Slowness(0.5, 0.0, False)
    reaches = 1 << np.arange(max(1, (n // 8).bit_length()))
    reaches = reaches[reaches < n]
    normal = NormalDist()
    alarm = (_OF_FEW if n < _FEW else _FALSE_ALARM) / 2 / len(reaches)
    together, each = (normal.inv_cdf(1 - alarm / k) for k in (1, n_series))
    time, error = _gamma_time(correlation.mean(axis=1), [n])
    time = max(0.5, time)
    # Outliers do not decide among many units, whose scores would take memory.
    z, of_scores = _normalised(_scores(series)) if n <= _SCORED else (raw, correlation)
    found = Slowness(time, error, _largest_excess(z, of_scores, reaches) > together)
    for k in range(n_series):
        if _largest_excess(z[:, k : k + 1], of_scores[:, k : k + 1], reaches) > each:
            time, error = _gamma_time(correlation[:, k], [n])
            if not found.correlated or time - _SLOWER * error > found.time:
                found = Slowness(max(time, found.time), error, True)
    return found


def _scores(series: Floats) -> Floats:
    """Normal scores of the ranks of each series that moves: no outlier decides on the order of units."""
    from statistics import NormalDist

    n = len(series)
    quantile = NormalDist().inv_cdf
    of_ranks = np.array([quantile((rank + 0.5) / n) for rank in range(n)])
    scores = []
    for x in series.T:
        if np.ptp(x) > 1e-13 * np.abs(x).max(initial=0.0):
            _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
            # Equal numbers share the mean of their ranks.
            ranks = np.cumsum(counts) - (counts + 1) / 2
            scores.append(np.interp(ranks, np.arange(n), of_ranks)[group])
    return np.stack(scores, axis=1) if scores else np.zeros((n, 0))


def _normalised(series: Floats) -> tuple[Floats, Floats]:
    """Series that move, with mean 0 and sum of squares 1, and their autocorrelations at all lags, shape (N, F) each."""
    x = series - series.mean(axis=0)
    moves = np.ptp(series, axis=0) > 1e-13 * np.abs(series).max(axis=0, initial=0.0)
    x = x[:, moves]
    x /= np.abs(x).max(axis=0)
    x /= np.sqrt((x**2).sum(axis=0))
    n = len(x)
    padded = 1 << (2 * n - 1).bit_length()
    correlation = np.empty_like(x)
    for k, column in enumerate(x.T):
        correlation[:, k] = np.fft.irfft(np.abs(np.fft.rfft(column, padded)) ** 2)[:n]
    return x, correlation


def _largest_excess(z: Floats, correlation: Floats, reaches: Floats) -> float:
    """Largest sum of autocorrelations up to one of some lags, in standard deviations under permutations."""
    n, n_series = z.shape
    # Mean product of two different units, and its mean square.
    of_units = (z**2).sum(axis=1)
    square = (float(((z.T @ z) ** 2).sum()) - float((of_units**2).sum())) / (n * (n - 1))
    if square <= 0:
        return 0.0
    pairs = n - np.arange(1, n)
    excess = np.cumsum(correlation[1:].sum(axis=1) + n_series * pairs / (n * (n - 1)))
    deviation = np.sqrt(square * np.cumsum(pairs))
    where = reaches - 1
    return float((excess[where] / deviation[where]).max())


def _gamma_time(correlation: Floats, lengths: Sequence[int]) -> tuple[float, float]:
    """Integrated time and its error from sums of products at lags 0, 1, ... in replicas of some lengths."""
    n = sum(lengths)
    lags = np.arange(1, max(2, max(lengths) // 2 + 1))
    pairs = np.maximum(np.subtract.outer(np.asarray(lengths), lags), 0).sum(axis=0)
    rho = correlation[lags] / correlation[0] * (n / pairs)
    tau = 0.5 + np.cumsum(rho)
    with np.errstate(divide="ignore", invalid="ignore"):
        long = np.where(tau > 0.5, _RATIO / np.log((2 * tau + 1) / (2 * tau - 1)), 1e-10)
    falling = np.exp(-lags / long) - long / np.sqrt(lags * n)
    end = int(np.argmax(falling < 0)) if (falling < 0).any() else len(lags) - 1
    window = int(lags[end])
    time = float(max(0.0, tau[end] * (1 + (2 * window + 1) / n)))
    return time, float(np.sqrt(4 / n * max(window + 0.5 - time, 0.5)) * time)


def scatter_factor(time: float, n: int, blocks: int) -> float:
    r"""Variance of an average over n units by the Gamma method, divided by its expectation from the scatter of blocks.

    Blocks that are not much longer than the autocorrelation time scatter too little. Their expectation is that of a
    chain with the autocorrelation :math:`\rho(t) = r^t`, whose integrated time is ``time``.
    """
    r = (2 * time - 1) / (2 * time + 1)
    if r <= 0 or blocks < 2:
        return 1.0

    def variance(length: float) -> float:
        return float((1 + r) / (1 - r) - 2 * r * (1 - r**length) / (length * (1 - r) ** 2)) / length

    whole, block = variance(n), variance(n / blocks)
    return max(1.0, whole * (blocks - 1) / max(block - whole, 1e-300))


def windowed_time(series: Floats) -> float:
    r"""Integrated autocorrelation time of a long series in steps, with a window of five times the result.

    The rule is that of Madras and Sokal, J. Stat. Phys. 50, 109 (1988).
    """
    x = np.asarray(series, dtype=np.float64) - np.mean(series)
    n = len(x)
    if n < 2 or not np.any(x):
        return 0.5
    padded = 1 << (2 * n - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(x, padded)) ** 2)[:n]
    tau = 0.5 + np.cumsum(correlation[1:] / correlation[0])
    window = np.flatnonzero(np.arange(1, n) >= 5 * tau)
    return float(max(0.5, tau[window[0]] if window.size else tau.max()))
