r"""Reflection positivity of the two-point function, decided by sample splitting.

For a functional F of the path at times t >= 0 and the reflection Theta about t = 0, a quantum theory has

.. math:: \langle F(\Theta X)\, F(X) \rangle \ge 0

(Osterwalder and Schrader, Commun. Math. Phys. 31, 83 (1973)). The lowest eigenvalue of a noisy matrix of such
averages is always negative, so that it decides nothing; a direction found on one half of the data and tested
on the other does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import Floats, choice, integer, positive
from .estimate import Estimate
from .planning import Rng, random_key
from .stages import (
    INDEPENDENT,
    apply,
    autocorrelation_time,
    real_array,
    sample_paths,
    three_axes,
)
from .theory import Theory

__all__ = ["PositivityResult", "Witness", "reflection_positivity"]

# Fewer independent units do not carry the t-test (half of them do the search).
_FEWEST = 200
# Bytes of paths (in float64) handled at once; about three arrays of this size live at a time.
_CHUNK = 16 << 20
_RIDGE = 1e-3
# A long trajectory's autocorrelation time is measured on so many of its first steps.
_TAU_STEPS = 1_000_000
_CANDIDATES = 4
# Units whose matrices are held at once where only one functional of them is wanted.
_BATCH = 8192


@dataclass(frozen=True)
class Witness:
    """The linear functional F(X) = sum_i c_i (x(t_i) - mean) that came out most negative.

    Attributes
    ----------
    coefficients : ndarray
        c_i, shape (n,), of unit length, the largest positive.
    times : ndarray
        t_i after the reflection time, shape (n,), in the unit of dt.
    reflection : str
        What the reflection is about.
    """

    coefficients: Floats
    times: Floats
    reflection: str

    def __str__(self) -> str:
        least = 0.02 * np.abs(self.coefficients).max()
        shown = [(c, t) for c, t in zip(self.coefficients, self.times, strict=True) if abs(c) >= least]
        terms = [f"{'-' if c < 0 else '+'} {abs(c):.2f} x({t:.4g})" for c, t in shown]
        return f"{' '.join(terms)}, reflected about {self.reflection}"


@dataclass(frozen=True)
class PositivityResult:
    """Outcome of ``reflection_positivity``.

    Attributes
    ----------
    verdict : str
        "consistent" or "violated" (p_value below level).
    p_value : float
        One-sided: how likely so negative a value is for a reflection-positive theory.
    level : float
        The p-value below which the verdict is "violated".
    value : Estimate
        <F(Theta X) F(X)> of the witness F, scaled to <F(X)^2> = 1, from the half of the data that did not
        choose F; the error is statistical, over independent units.
    witness : Witness
        The functional F.
    minimum_eigenvalue : float
        Lowest eigenvalue of the whitened matrix on the half that chose F. Biased low: negative whatever the
        theory.
    shift : int
        0 for reflection about a point of the grid, 1 for reflection half-way between two.
    heavy_tails : bool
        Whether a single unit makes up so much of the variance that the p-value is not to be relied on.
    n_units : int
        Independent units used, both halves together.
    """

    verdict: str
    p_value: float
    level: float
    value: Estimate
    witness: Witness
    minimum_eigenvalue: float
    shift: int
    heavy_tails: bool
    n_units: int

    def __str__(self) -> str:
        text = {
            "consistent": "consistent with two-point reflection positivity",
            "violated": "two-point reflection positivity is violated",
        }[self.verdict]
        tails = "; heavy tails: p is not reliable" if self.heavy_tails else ""
        return f"{text} (p = {self.p_value:.2g}, value {self.value}, F = {self.witness}{tails})"


def reflection_positivity(
    source: Theory | ArrayLike,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    channel: int | str = 0,
    offsets: Sequence[int] | None = None,
    stationary: bool = True,
    n_paths: int = 20_000,
    level: float = 1e-3,
    rng: Rng = None,
    key: int | None = None,
    precision: str = "float32",
    n_threads: int = 0,
) -> PositivityResult:
    r"""Test whether the two-point function of paths is reflection positive.

    For the functionals F_i = x(t_i) - mean the matrix M_ij = <F_i(Theta X) F_j(X)> must be positive. It is
    G(t_i + t_j) for stationary paths and reflection about a time of the grid, G(t_i + t_j + dt) about one
    half-way between; both are looked at, since either alone may be positive. On the first half of the units
    features are scaled to unit second moment and whitened (ridge 1e-3); of the four lowest eigenvectors of M
    and either reflection the one with the most negative t-statistic is kept. On the second half a one-sided
    t-test over units decides on it alone. False alarms are therefore at most as frequent as the p-value says.
    The mean (one number per time, from the first half, over all paths) only defines F: nothing is subtracted
    path by path.

    "consistent" is no proof: only two-point functions are seen (linear functionals), at these times, with
    this noise.

    Parameters
    ----------
    source : Theory or array_like
        A theory, of which paths are drawn; or paths, shape (n_paths, n_times[, channels]), each of them an
        independent unit. One long trajectory, (n_times,), or fewer than 200 are cut into pieces of at least
        20 autocorrelation times.
    n_times, dt : int, float
        Time grid for a theory; for paths dt only labels times (1 by default).
    channel : int or str
        Which output of the theory, or which channel of the paths.
    offsets : sequence of int, optional
        Times t_i in steps, not negative. Default: 0 to 3 and four widening ones up to an eighth of the
        paths (at least 8).
    stationary : bool, default True
        Average over all reflection times within a path. False reflects about the middle of the grid only:
        about its central point if n_times is odd, half-way between the central two if it is even.
    n_paths : int, default 20000
        Paths drawn of a theory; of paths given, at most so many (the first ones) are used.
    level : float, default 0.001
        p-value below which the verdict is "violated".
    rng, key, precision, n_threads
        As for ``sample_paths``.

    Returns
    -------
    PositivityResult

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit, a value is not finite, or there are fewer than 200 independent units.

    Examples
    --------
    >>> import nnqm
    >>> result = reflection_positivity(nnqm.harmonic_oscillator(), 64, 0.2, n_paths=2000, rng=1)
    >>> result.verdict
    'consistent'
    """
    if not 0 < float(level) < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}; 0.001 is the default")
    wanted = integer("n_paths", n_paths, 1)
    if isinstance(source, Theory):
        if key is not None and rng is not None:
            raise ValueError("give either rng or key, not both")
        chosen_key = random_key(rng) if key is None else key
        paths = _theory_paths(source, wanted, n_times, dt, channel, chosen_key, precision, n_threads)
    else:
        if n_times is not None:
            raise ValueError("n_times is for a theory; given paths have their own; leave it out")
        paths = _user_paths(source, wanted, channel, stationary)
    step = 1.0 if dt is None else positive("dt", dt)
    if paths.n_units < _FEWEST:
        raise ValueError(
            f"reflection positivity needs at least {_FEWEST} independent paths; got {paths.n_units}; "
            "give more of them, or one long trajectory to be cut"
        )
    times = _offsets(offsets, paths.n_times, stationary)
    half = paths.n_units // 2
    centre = _centre(paths, half, stationary)

    best: tuple[float, int, Floats, float] | None = None
    for shift in _shifts(paths.n_times, stationary):
        products, second = _products(paths, range(half), times, shift, stationary, centre)
        directions, lowest = _directions(products.mean(axis=0), second)
        for vector in directions:
            statistic = _t_statistic(_values(products, vector))
            if best is None or statistic < best[0]:
                best = (statistic, shift, vector, lowest)
        del products
    assert best is not None
    _, shift, vector, lowest = best

    rest = range(half, paths.n_units)
    parts = [rest[i : i + _BATCH] for i in range(0, len(rest), _BATCH)]
    samples = np.concatenate(
        [_values(_products(paths, part, times, shift, stationary, centre)[0], vector) for part in parts]
    )
    if not isinstance(source, Theory):
        _check_independent(samples)
    from scipy.special import stdtr

    p_value = float(stdtr(len(samples) - 1, _t_statistic(samples)))
    middle = "t=0" if stationary else f"t={(paths.n_times - 1) / 2 * step:.4g}"
    return PositivityResult(
        verdict="violated" if p_value < level else "consistent",
        p_value=p_value,
        level=float(level),
        value=_mean(samples),
        witness=Witness(_unit(vector), (np.asarray(times) + shift / 2) * step, middle),
        minimum_eigenvalue=lowest,
        shift=shift,
        heavy_tails=_heavy_tails(samples),
        n_units=paths.n_units,
    )


@dataclass(frozen=True)
class _Paths:
    """Independent units of one channel; ``read(first, last)`` gives float64 of shape (last - first, n_times)."""

    n_units: int
    n_times: int
    read: Callable[[int, int], Floats]

    def chunks(self, units: range) -> Iterator[Floats]:
        size = max(1, _CHUNK // (8 * self.n_times))
        for first in range(units.start, units.stop, size):
            yield self.read(first, min(first + size, units.stop))


def _theory_paths(
    theory: Theory,
    n_paths: int,
    n_times: int | None,
    dt: float | None,
    channel: int | str,
    key: int,
    precision: str,
    n_threads: int,
) -> _Paths:
    if isinstance(channel, str):
        name = choice("channel", channel, theory.channels)
    else:
        name = theory.outputs[integer("channel", channel, 0, theory.n_outputs - 1)]
    is_output = name in theory.outputs
    column = (theory.outputs if is_output else theory.channels).index(name)
    if n_times is None or dt is None:
        raise ValueError("the time grid of the theory is missing: give n_times and dt")

    def read(first: int, last: int) -> Floats:
        y = sample_paths(theory, range(first, last), n_times, dt, key=key, precision=precision, n_threads=n_threads)
        x = apply(theory.network, y, n_threads=n_threads) if is_output else y
        return x[:, :, column].astype(np.float64)

    return _Paths(n_paths, integer("n_times", n_times, 1), read)


def _user_paths(source: ArrayLike, n_paths: int, channel: int | str, stationary: bool) -> _Paths:
    array = three_axes(real_array(source))
    if isinstance(channel, str):
        raise TypeError(f"channel of given paths must be its position; got {channel!r}")
    column = integer("channel", channel, 0, array.shape[2] - 1)
    given, length = array.shape[:2]
    per_path = 1
    if given < _FEWEST and stationary:
        tau = max(_longest_tau(_finite(array, path, slice(_TAU_STEPS), column)) for path in range(given))
        shortest = max(int(np.ceil(INDEPENDENT * tau)), 2)
        # As few pieces as the test can do with: what a pair of times needs is lost at each cut.
        per_path = max(1, min(length // shortest, -(-5 * _FEWEST // given)))
        if given * per_path < _FEWEST:
            raise ValueError(
                f"reflection positivity needs at least {_FEWEST} independent units; got {given} paths of "
                f"{length} steps with an autocorrelation time of {tau:.3g} steps, which make "
                f"{given * per_path} pieces of {INDEPENDENT:g} such times; give longer paths or more of them"
            )
    steps = length // per_path
    n_units = given * per_path if per_path > 1 else min(given, n_paths)

    def read(first: int, last: int) -> Floats:
        pieces = np.empty((last - first, steps))
        for row, unit in enumerate(range(first, last)):
            path, piece = divmod(unit, per_path)
            pieces[row] = _finite(array, path, slice(piece * steps, (piece + 1) * steps), column)
        return pieces

    return _Paths(n_units, steps, read)


def _finite(array: NDArray[Any], path: int, where: slice, column: int) -> Floats:
    x = array[path, where, column].astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise ValueError(
            f"paths must be finite; path {path} at time step {(where.start or 0) + bad[0]}, channel {column} is "
            f"{x[bad[0]]}; remove it"
        )
    return np.asarray(x)


def _longest_tau(x: Floats) -> float:
    return float(max(autocorrelation_time(x), autocorrelation_time((x - x.mean()) ** 2)))


def _shifts(n_times: int, stationary: bool) -> tuple[int, ...]:
    if stationary:
        return (0, 1)
    return (0,) if n_times % 2 else (1,)


def _offsets(offsets: Sequence[int] | None, n_times: int, stationary: bool) -> tuple[int, ...]:
    shift = _shifts(n_times, stationary)[-1]
    largest = (n_times - 1 - shift) // 2
    if largest < 0:
        raise ValueError(f"n_times must be at least 2 for reflections; got {n_times}; use longer paths")
    if offsets is None:
        wide = np.geomspace(4, max(8, n_times // 8), 4).round().astype(int)
        chosen = [k for k in (0, 1, 2, 3, *wide.tolist()) if k <= largest]
        return tuple(dict.fromkeys(chosen))
    given = tuple(integer(f"offsets[{i}]", k, 0) for i, k in enumerate(offsets))
    if not given or len(set(given)) != len(given):
        raise ValueError(f"offsets must be distinct, at least one; got {list(given)}")
    if max(given) > largest:
        raise ValueError(
            f"offsets must be at most {largest} for n_times={n_times}; got {max(given)}; "
            "use smaller offsets or longer paths"
        )
    return tuple(sorted(given))


def _centre(paths: _Paths, half: int, stationary: bool) -> Floats:
    """What is subtracted at each time, shape (n_times,): even under the reflection, so that F stays one functional."""
    mean = sum((x.sum(axis=0) for x in paths.chunks(range(half))), np.zeros(paths.n_times)) / half
    return np.full(paths.n_times, mean.mean()) if stationary else (mean + mean[::-1]) / 2


def _products(
    paths: _Paths, units: range, offsets: tuple[int, ...], shift: int, stationary: bool, centre: Floats
) -> tuple[Floats, Floats]:
    """F_i(Theta X) F_j(X) averaged over the reflections of each unit, (units, n, n), and <F_i F_j>, (n, n)."""
    n, n_times, reach = len(offsets), paths.n_times, max(offsets)
    points = slice(reach, n_times - reach - shift)
    if not stationary:
        middle = (n_times - 1) // 2
        points = slice(middle, middle + 1)
    count = points.stop - points.start
    products = np.empty((len(units), n, n))
    second = np.zeros((n, n))
    done = 0
    for chunk in paths.chunks(units):
        x = chunk - centre
        past = [x[:, points.start - k : points.stop - k] for k in offsets]
        future = [x[:, points.start + shift + k : points.stop + shift + k] for k in offsets]
        for i in range(n):
            for j in range(n):
                products[done : done + len(x), i, j] = np.einsum("pr,pr->p", past[i], future[j]) / count
                if j <= i:
                    same = sum(float(np.einsum("pr,pr->", side[i], side[j])) for side in (past, future))
                    second[i, j] += same / (2 * count * len(units))
        done += len(x)
    return products, second + np.tril(second, -1).T


def _directions(matrix: Floats, second: Floats) -> tuple[Floats, float]:
    """Lowest eigenvectors of the whitened matrix as functionals with <F^2> = 1, and the lowest eigenvalue."""
    size = np.diag(second)
    if not size.min() > 0:
        raise ValueError("the channel is constant, so that there is nothing to test; choose one that moves")
    scale = 1 / np.sqrt(size)
    spectrum, basis = np.linalg.eigh(scale[:, None] * second * scale)
    white = scale[:, None] * basis / np.sqrt(np.maximum(spectrum, 0) + _RIDGE)
    values, vectors = np.linalg.eigh(white.T @ (matrix + matrix.T) @ white / 2)
    found = (white @ vectors[:, :_CANDIDATES]).T
    norms = np.sqrt(np.einsum("vi,ij,vj->v", found, second, found))
    return found / norms[:, None], float(values[0])


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / (np.sign(vector[np.argmax(np.abs(vector))]) * np.linalg.norm(vector)))


def _values(products: Floats, vector: Floats) -> Floats:
    return products.reshape(len(products), -1) @ np.outer(vector, vector).ravel()


def _mean(samples: Floats) -> Estimate:
    n = len(samples)
    return Estimate(samples.mean(), (samples.sum() - samples) / (n - 1), np.full(n, n))


def _t_statistic(samples: Floats) -> float:
    error = float(samples.std(ddof=1)) / np.sqrt(len(samples))
    return float(samples.mean()) / max(float(error), float(np.finfo(float).tiny))


def _heavy_tails(samples: Floats) -> bool:
    """Whether one unit makes up a tenth of the variance, or a third where units are few."""
    squares = (samples - samples.mean()) ** 2
    return bool(squares.max() > max(0.1, 1 / 3 - len(samples) / 3000) * squares.sum())


def _check_independent(samples: Floats) -> None:
    x = samples - samples.mean()
    neighbours = float(x[1:] @ x[:-1]) / max(float(x @ x), float(np.finfo(float).tiny))
    # The integrated time alone is too noisy with a hundred units: neighbours must be correlated beyond doubt as well.
    if neighbours < 5 / np.sqrt(len(x)):
        return
    tau = autocorrelation_time(samples)
    if tau > 1:
        raise ValueError(
            f"successive paths must be independent; their autocorrelation time is {tau:.3g} paths; "
            f"give every {int(np.ceil(INDEPENDENT * tau))}th path"
        )
