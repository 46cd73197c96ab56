"""The Chapman-Kolmogorov equation on paths: a test whether past and future are independent, given the present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer
from ..errors import InputError
from ..representation import short_repr
from ..sampling.independent_paths import FEWEST, block_length, independent_units, merged
from ..sampling.path_source import PathReader, Paths, location_of, need_uniform
from ..statistics.estimate import Estimate, jackknife
from ..statistics.moments import central_part
from ..verdict import Verdict

__all__ = ["ChapmanKolmogorov", "chapman_kolmogorov"]

# Triples with neighbouring presents that share one straight-line fit of past and future; fewest cells, as long as each
# has the smallest number of triples.
_CELL, _CELLS, _SMALLEST_CELL = 64, 32, 8
# Reach of bounded values, in half-widths of the central 68%.
_REACH = 4.0
# Largest number of triples for each lag.
_TRIPLES = 1 << 19
# Number of default lags, and the autocorrelation at which they end.
_LAGS, _CORRELATED = 4, 0.1
# Largest number of sets.
_MOST_SETS = 16
# Fixed key of the order of equal presents.
_TIES = 1


@short_repr
@dataclass(frozen=True, kw_only=True)
class ChapmanKolmogorov:
    """Result of ``chapman_kolmogorov``.

    Attributes
    ----------
    verdict : Verdict
        "violated" if p_value is below level, else "consistent".
    p_value : float
        Probability of an equal or larger statistic for a Markov process; corrected for the number of lags and
        functions.
    level : float
        p-value below which the verdict is "violated".
    lags : tuple of int
        Lags t in steps.
    times : ndarray
        Lags in units of time, shape (n_lags,).
    p_values : ndarray
        p-value of each lag, corrected for the number of functions, shape (n_lags,).
    edges : ndarray
        Inner edges of the sets, ascending, unit of x, shape (n_sets - 1,).
    observed : Estimate
        P(x(2t) in set j | x(0) in set i), shape (n_lags, n_sets, n_sets).
    predicted : Estimate
        The same probabilities from the transitions 0 to t and t to 2t of a Markov process.
    deviation : Estimate
        observed - predicted, at the lag and the sets where it is largest in units of its error; selected, so that its
        own error does not make a test.
    where : tuple of int
        Its lag in steps, and the sets i and j.
    n_units : int
        Paths, or pieces of trajectories.
    n_blocks : int
        Independent blocks of them.
    """

    verdict: Verdict
    p_value: float
    level: float
    lags: tuple[int, ...]
    times: Floats
    p_values: Floats
    edges: Floats
    observed: Estimate
    predicted: Estimate
    deviation: Estimate
    where: tuple[int, int, int]
    n_units: int
    n_blocks: int

    def __str__(self) -> str:
        lag, i, j = self.where
        time = float(self.times[self.lags.index(lag)])
        return (
            f"{self.verdict} (p = {self.p_value:.2g}): P(x({2 * time:.4g}) in set {j} | x(0) in set {i}) differs from "
            f"the Markov prediction by {self.deviation}, the largest deviation in units of its error"
        )


def chapman_kolmogorov(
    paths: Paths | ArrayLike,
    dt: float = 1.0,
    *,
    channel: int | str = 0,
    lags: Sequence[int] | None = None,
    sets: int | ArrayLike = 3,
    level: float = 1e-3,
    n_paths: int = 20_000,
) -> ChapmanKolmogorov:
    r"""Test the Chapman-Kolmogorov equation, and so the Markov property, of one channel of stationary paths.

    .. math:: P(x_{2t} \in j \mid x_0 \in i) = \int dx_t\, p(x_t \mid x_0 \in i)\, P(x_{2t} \in j \mid x_t)

    This is the test of Prinz et al., J. Chem. Phys. 134, 174105 (2011), without bins for x_t, which make any process
    look non-Markov. Past and future must be independent, given the present. The residuals of functions of x_0 and of
    x_{2t} after regression on x_t must then be uncorrelated (Shah and Peters, Ann. Stat. 48, 1514 (2020)). The
    regression is a straight line in each cell of 64 triples with neighbouring values of x_t (fewer if there are fewer
    than 2048), so that its bias falls as 1/N even if probabilities jump.

    The functions are z and z^2 of standardised x, clipped at 4, at both times, and each product is averaged with the
    weights 1 and z_t^2. The smallest p-value of Student's t-tests over independent blocks is multiplied by the number
    of products and lags. The p-value is therefore an upper bound of the rate of false alarms. Indicator functions of
    the sets give the table of probabilities.

    Coordinates of a Hamiltonian p^2/2m + V(x) are Markov. A function of hidden inputs, such as a network of them, is
    in general not, and neither are some of the coordinates, noisy values, or averages over time.

    The verdict "consistent" is no proof: the test covers these functions, at these lags, with this noise. Paths must be
    stationary; pooled times of a process that changes with time are not Markov. Closed (thermal) paths are not, because
    past and future meet on the other side of the circle.

    Parameters
    ----------
    paths : Paths or array_like
        Paths of a theory on a uniform grid; or given paths, shape (n_paths, n_times[, channels]), or one long
        trajectory, shape (n_times,). Fewer than 200 given paths are cut into pieces of at least 20 autocorrelation
        times. Successive paths may be correlated, as configurations of a Markov chain are; they are grouped into blocks
        of at least 20 of their autocorrelation times.
    dt : float, default 1
        Time step of given paths; it only labels times.
    channel : int or str, default 0
        For a theory, the position among the outputs or the name of a channel. For given paths, the position.
    lags : sequence of int, optional
        Lags t in steps, each at most (n_times - 1)/2. By default up to four powers of two, from one step to the largest
        with an autocorrelation above 0.1.
    sets : int or array_like, default 3
        Number of sets of equal probability, 2 to 16; or their inner edges, ascending.
    level : float, default 0.001
        p-value below which the verdict is "violated".
    n_paths : int, default 20000
        Largest number of given paths to use; the first ones are used. Of all of them together about half a million
        triples are used for each lag.

    Returns
    -------
    ChapmanKolmogorov
        Verdict, p-value, and the probabilities. Their errors are statistical.

    Raises
    ------
    InputError
        If an argument has a wrong value, a value of the paths is not finite, the channel is constant, there are fewer
        than 200 units, or paths of a theory close.
    InputTypeError
        If an argument has a wrong type.

    See Also
    --------
    check : properties of a theory, by construction where they are known.

    Examples
    --------
    >>> paths = nnqm.Paths(nnqm.harmonic_oscillator(), 4000, 32, 0.2, rng=1)
    >>> chapman_kolmogorov(paths).verdict
    'consistent'
    >>> x = paths.read()
    >>> chapman_kolmogorov((x[:, 1:] + x[:, :-1]) / 2, 0.2).verdict  # averages over time
    'violated'
    """
    if not 0 < float(level) < 1:
        raise InputError(f"level must lie between 0 and 1; got {level}; 0.001 is the default")
    need_uniform(paths)
    if isinstance(paths, Paths) and paths.theory.period is not None:
        raise InputError(
            f"the paths close after {paths.theory.period:g}: past and future meet on the other side of the circle; use "
            "open paths"
        )
    units = independent_units(paths, channel, dt=dt, most=integer("n_paths", n_paths, 1), cut=True)
    if units.n_units // units.group < FEWEST:
        raise InputError(
            f"the Markov test needs at least {FEWEST} independent paths; got {units.n_units // units.group}",
            "give more paths, or one long trajectory, which is cut into pieces",
        )
    centre, width = location_of(units)
    beginning = np.clip((units.beginning() - centre) / width, -_REACH, _REACH)
    chosen = _lags(beginning, lags)
    edges = _edges(units.beginning(), sets)
    triples, averages = _gathered(units, chosen, centre, width)
    found = [_of_lag(*three, edges) for three in triples]
    # Units that are correlated show it in these averages, whose tails are light.
    length = max(block_length(v, units.group) for v in averages.T)
    p_values = np.array([smallest_p(f.products, length, f.cell) for f in found])
    p_value = min(1.0, len(chosen) * float(p_values.min()))
    observed, predicted = _probabilities(found, length)
    deviation = observed.map_replicas(np.subtract, predicted)
    with np.errstate(divide="ignore", invalid="ignore"):
        pulls = np.where(deviation.error > 0, np.abs(deviation.value) / deviation.error, 0.0)
    k, i, j = (int(v) for v in np.unravel_index(int(np.argmax(pulls)), pulls.shape))
    return ChapmanKolmogorov(
        verdict=Verdict.VIOLATED if p_value < level else Verdict.CONSISTENT,
        p_value=p_value,
        level=float(level),
        lags=chosen,
        times=units.step * np.array(chosen, dtype=np.float64),
        p_values=p_values,
        edges=edges,
        observed=observed,
        predicted=predicted,
        deviation=deviation[k, i, j],
        where=(chosen[k], i, j),
        n_units=units.n_units,
        n_blocks=observed.n_blocks,
    )


def _lags(z: Floats, given: Sequence[int] | None) -> tuple[int, ...]:
    """Lags in steps, as given or by the decay of correlations of some paths."""
    most = (z.shape[1] - 1) // 2
    if most < 1:
        raise InputError(f"paths must have at least 3 times, for a past, a present and a future; got {z.shape[1]}")
    if given is not None:
        asked = tuple(integer("lags", lag, 1, most) for lag in given)
        if not asked or len(set(asked)) < len(asked):
            raise InputError(f"lags must be different, and at least one; got {list(given)}; leave repeated ones out")
        return tuple(sorted(asked))
    z = z - z.mean()
    powers = [1]
    while 2 * powers[-1] <= most:
        lag = 2 * powers[-1]
        if float(np.mean(z[:, lag:] * z[:, :-lag])) < _CORRELATED * float(np.mean(z * z)):
            break
        powers.append(lag)
    kept = np.unique(np.linspace(0, len(powers) - 1, _LAGS).round().astype(int))
    return tuple(powers[k] for k in kept)


def _edges(x: Floats, sets: int | ArrayLike) -> Floats:
    """Inner edges of sets, each of which is visited by some paths."""
    if np.ndim(sets) == 0:
        n = integer("sets", sets, 2, _MOST_SETS)
        edges = np.unique(np.quantile(x, np.arange(1, n) / n))
        return edges[edges > x.min()] if edges[-1] > x.min() else np.array([np.min(x[x > x.min()])])
    edges = floats("sets", sets, 1)
    if not 1 <= edges.size < _MOST_SETS or np.any(np.diff(edges) <= 0):
        raise InputError(f"sets must be a number or 1 to {_MOST_SETS - 1} increasing inner edges; got {edges.tolist()}")
    visits = np.bincount(np.searchsorted(edges, x.ravel(), side="right"), minlength=edges.size + 1)
    if visits.min() < FEWEST:
        raise InputError(f"each set must be visited {FEWEST} times or more; got {visits.tolist()}; move the edges")
    return edges


@dataclass(frozen=True)
class _Lag:
    """Averages over the triples of each unit: products of residuals, of indicators of sets, of their residuals."""

    cell: int  # triples of a cell
    products: Floats  # (n_units, n_products)
    joint: Floats  # (n_units, n_sets, n_sets)
    excess: Floats  # (n_units, n_sets, n_sets)


def _gathered(
    units: PathReader, lags: Sequence[int], centre: float, width: float
) -> tuple[list[tuple[Floats, Floats, Floats]], Floats]:
    """Past, present and future for each lag, (n_units, n_triples) each, and averages of z and z^2 over each unit."""
    most = max(1, _TRIPLES // units.n_units)
    starts = []
    for lag in lags:
        last = units.n_times - 2 * lag - 1
        starts.append(np.unique(np.linspace(0, last, min(most, last + 1)).astype(int)))
    parts: list[list[list[Floats]]] = [[[], [], []] for _ in lags]
    averages = []
    for x in units.chunks(0, units.n_units):
        z = np.clip((x - centre) / width, -_REACH, _REACH)
        averages.append(np.stack([z.mean(axis=1), (z * z).mean(axis=1)], axis=1))
        for lag, first, three in zip(lags, starts, parts, strict=True):
            for k in range(3):
                three[k].append(x[:, first + k * lag])
    triples = [(np.concatenate(a), np.concatenate(b), np.concatenate(c)) for a, b, c in parts]
    return triples, np.concatenate(averages)


def _of_lag(past: Floats, present: Floats, future: Floats, edges: Floats) -> _Lag:
    shape = present.shape
    past, present, future = past.ravel(), present.ravel(), future.ravel()

    def of_units(values: Floats) -> Floats:
        return np.asarray(values.reshape(*shape, *values.shape[1:]).mean(axis=1))

    cells = _Cells(present)
    products = of_units(_residual_products(cells, past, future))
    sets = [np.searchsorted(edges, side, side="right") for side in (past, future)]
    members = [[s == k for k in range(len(edges) + 1)] for s in sets]
    joint = np.stack([[of_units(f & g) for g in members[1]] for f in members[0]])
    residuals = [[cells.unexplained(m.astype(np.float64)) for m in side] for side in members]
    excess = np.stack([[of_units(f * g) for g in residuals[1]] for f in residuals[0]])
    return _Lag(cells.size, products, np.moveaxis(joint, 2, 0), np.moveaxis(excess, 2, 0))


class _Cells:
    """Cells of triples with neighbouring values of the present, for regressions on it.

    Straight lines in cells of a fixed number of triples have a bias that falls with the number of all triples faster
    than the statistical error, for any dependence on the present.
    """

    def __init__(self, present: Floats) -> None:
        n = len(present)
        self.present = present
        # Equal values are put in random order: neighbours in time have correlated residuals.
        shuffled = np.random.default_rng(_TIES).permutation(n)
        self._order = shuffled[np.argsort(present[shuffled], kind="stable")]
        self.size = max(_SMALLEST_CELL, min(_CELL, n // _CELLS))
        count = max(1, n // self.size)
        self._first = np.arange(count) * n // count
        self._sizes = np.diff(np.append(self._first, n))
        self._centred = self._without_mean(present[self._order])
        self._square = np.add.reduceat(self._centred**2, self._first)
        self._square[self._square <= (1e-12 * np.abs(present).max()) ** 2] = np.inf

    def _without_mean(self, values: Floats) -> Floats:
        means = np.add.reduceat(values, self._first) / self._sizes
        return np.asarray(values - np.repeat(means, self._sizes))

    def unexplained(self, values: Floats) -> Floats:
        """Residuals of values after a straight-line fit in the present in each cell."""
        y = self._without_mean(values[self._order])
        slope = np.add.reduceat(self._centred * y, self._first) / self._square
        residual = np.empty_like(y)
        residual[self._order] = y - self._centred * np.repeat(slope, self._sizes)
        return residual


def _bounded(x: Floats) -> Floats:
    """Values standardised by median and width of the central 68%, both robust against heavy tails; clipped to 4."""
    middle = central_part(x)
    width = middle.half_width if middle.half_width > 0 else 1.0
    return np.asarray(np.clip((x - middle.median) / width, -_REACH, _REACH))


def _residual_products(cells: _Cells, past: Floats, future: Floats) -> Floats:
    """Products of the residuals of past and future, with weights, shape (n, 8); their means are 0 for Markov paths.

    The second weight detects correlations that cancel between large and small values of the present.
    """
    sides = []
    for side in (past, future):
        z = _bounded(side)
        sides.append([cells.unexplained(z), cells.unexplained(z * z)])
    z = _bounded(cells.present)
    weights = (np.ones(len(z)), z * z - np.mean(z * z))
    return np.stack([f * g * w for f in sides[0] for g in sides[1] for w in weights], axis=1)


def residual_products(past: Floats, present: Floats, future: Floats) -> tuple[Floats, int]:
    """Products of what is left of functions of past and future after regression on the present, shape (n, 8).

    With them the number of triples of a cell of the regression.
    """
    cells = _Cells(present)
    return _residual_products(cells, past, future), cells.size


def smallest_p(products: Floats, length: int, cell: int) -> float:
    """Smallest two-sided p-value that a mean is 0, times the number of products, from units (n_units, n_products).

    ``length`` is the number of units of an independent block, ``cell`` the number of triples of a cell.
    """
    from scipy.special import stdtr

    samples = np.stack([merged(p, length) for p in products.T], axis=1)
    n, n_products = samples.shape
    spread = samples.std(axis=0, ddof=1)
    # Fits that blocks share correlate them by this much.
    shared = np.sqrt(1 - 2 / cell)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, samples.mean(axis=0) / spread * np.sqrt(n) * shared, 0.0)
    smallest = 2 * float(np.min(stdtr(n - 1, -np.abs(t))))
    return float(min(1.0, n_products * smallest))


def _probabilities(found: list[_Lag], length: int) -> tuple[Estimate, Estimate]:
    """Probabilities of the sets after two lags, given the set at first, observed and predicted."""
    n = len(found[0].joint) // length
    joint, excess = (np.stack([getattr(f, name) for f in found], axis=1) for name in ("joint", "excess"))
    sums = {
        name: values[: n * length].reshape(n, length, *values.shape[1:]).sum(axis=1)
        for name, values in (("joint", joint), ("excess", excess))
    }

    def evaluate(s: Any) -> tuple[Floats, Floats]:
        start = np.maximum(s["joint"].sum(axis=-1, keepdims=True), np.finfo(float).tiny)
        return s["joint"] / start, (s["joint"] - s["excess"]) / start

    observed, predicted = jackknife(evaluate, sums, np.full(n, length))
    return observed, predicted
