"""Hypothesis strategies for data: grids of times, correlators and given paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from .._arguments import Floats, integer
from ..errors import InputError
from .source_strategies import Bounds, bounded

__all__ = ["KnownCorrelator", "UserPaths", "correlators", "grids", "user_paths"]

# Layouts of an array in memory that hold the same values.
_LAYOUTS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "read-only": lambda a: _locked(a.copy()),
}
# Types of numbers, other byte orders included; integers hold 16 times the values.
_DTYPES = ("<f8", "<f4", ">f8", ">f4", "<i4", "<i2", ">i8")
_UNITS = 16.0
# Number of steps between the bounds of energies: levels that nearly coincide are one level for any method.
_STEPS = 256


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@st.composite
def grids(
    draw: Callable[..., Any],
    *,
    min_size: int = 2,
    max_size: int = 32,
    uniform: bool | None = None,
    dt: Bounds = (0.05, 1.0),
    start: float | None = None,
) -> Floats:
    """Strictly increasing times.

    Parameters
    ----------
    min_size, max_size : int, default 2 and 32
        Bounds of the number of times.
    uniform : bool, optional
        Whether all steps are equal; by default some grids are uniform.
    dt : (float, float), default (0.05, 1)
        Bounds of the steps, unit time.
    start : float, optional
        First time; by default from -4 to 4, and often 0.

    Returns
    -------
    SearchStrategy
        Strategy of float64 arrays, shape (n_times,).

    Raises
    ------
    InputError, InputTypeError
        At the first draw, if bounds are not positive and ascending.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(grids(uniform=True, dt=(0.5, 0.5)), lambda t: len(t) > 3)
    array([0. , 0.5, 1. , 1.5])
    """
    least = integer("min_size", min_size, 1)
    n = draw(st.integers(least, integer("max_size", max_size, least)))
    first = draw(st.one_of(st.just(0.0), st.integers(-16, 16).map(lambda k: k / 4))) if start is None else start
    step = bounded("dt", dt)
    if uniform if uniform is not None else draw(st.booleans()):
        return np.asarray(first + draw(step) * np.arange(n))
    steps = draw(st.lists(step, min_size=n - 1, max_size=n - 1))
    return np.asarray(first + np.concatenate([[0.0], np.cumsum(steps)]))


@dataclass(frozen=True, eq=False, repr=False)
class KnownCorrelator:
    r"""A two-point function of a known spectral measure, with the noise of a measurement.

    .. math:: G(t) = \sum_n w_n e^{-E_n t}

    Attributes
    ----------
    times : ndarray
        Shape (n_times,), not negative, unit time.
    gaps : ndarray
        Energies E_n, ascending, shape (n_levels,), unit 1/time (hbar = 1).
    weights : ndarray
        Spectral weights w_n, shape (n_levels,), unit [x]^2.
    exact : ndarray
        G at the times, shape (n_times,).
    values : ndarray
        G with normal noise of the covariance, shape (n_times,); equal to ``exact`` without noise.
    covariance : ndarray
        Covariance matrix of the values, shape (n_times, n_times), positive definite.
    """

    times: Floats
    gaps: Floats
    weights: Floats
    exact: Floats
    values: Floats
    covariance: Floats

    def __repr__(self) -> str:
        error = float(np.sqrt(self.covariance[0, 0]))
        return (
            f"KnownCorrelator(gaps={self.gaps.tolist()}, weights={self.weights.tolist()}, {len(self.times)} times on "
            f"[{self.times[0]:g}, {self.times[-1]:g}], error {error:.2g})"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Hypothesis would print all numbers.
        printer.text(repr(self))


@st.composite
def correlators(
    draw: Callable[..., Any],
    grid: SearchStrategy[Floats] | None = None,
    *,
    max_levels: int = 4,
    gaps: Bounds = (0.3, 6.0),
    weights: Bounds = (0.05, 1.0),
    errors: Sequence[float] = (1e-4, 1e-6, 1e-8),
    positive: bool = True,
    noisy: bool = True,
) -> KnownCorrelator:
    r"""Two-point functions with a known spectral measure, and measurements of them with their covariance.

    The covariance of the values at times i and j is :math:`\sigma^2 e^{-|i-j|/5}`, sigma a fraction of G at the first
    time. The noise comes from NumPy's generator with a drawn seed.

    Parameters
    ----------
    grid : SearchStrategy, optional
        Times, not negative; by default 20 times in steps of 0.2.
    max_levels : int, default 4
        Largest number of levels.
    gaps, weights : (float, float)
        Bounds of the energies, which are at least 1/256 of this range apart, and of the sizes of the weights.
    errors : sequence of float, default (1e-4, 1e-6, 1e-8)
        Standard errors sigma, relative to the sum of the sizes of the weights.
    positive : bool, default True
        False makes the weight of the highest level negative, which violates reflection positivity. There are then at
        least two levels, and the negative weight is at most half of the others together, so that G(0) is positive.
    noisy : bool, default True
        Whether ``values`` have noise.

    Returns
    -------
    SearchStrategy
        Strategy of ``KnownCorrelator``.

    Raises
    ------
    InputError, InputTypeError
        At the first draw, if bounds are not positive and ascending, or a time is negative.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, deadline=None, database=None)
    ... @given(correlators(max_levels=1, noisy=False))
    ... def one_level(g):
    ...     found = nnqm.OneCorrelator(g.values, g.times, covariance=g.covariance).plateau()
    ...     assert abs(float(found.gaps[0].value) / g.gaps[0] - 1) < 1e-6
    >>> one_level()
    """
    times = np.asarray(0.2 * np.arange(20) if grid is None else draw(grid), dtype=np.float64)
    if times.min() < 0:
        raise InputError(f"grid must have times of at least 0; got {times.min():g}; use grids(start=0.0)")
    fewest = 1 if positive else 2
    n = draw(st.integers(fewest, integer("max_levels", max_levels, fewest)))
    bounded("gaps", gaps)
    steps = draw(st.lists(st.integers(0, _STEPS), min_size=n, max_size=n, unique=True))
    energies = gaps[0] + (gaps[1] - gaps[0]) * np.sort(steps) / _STEPS
    sizes = np.array(draw(st.lists(bounded("weights", weights), min_size=n, max_size=n)))
    signed = sizes.copy()
    if not positive:
        signed[-1] = -min(sizes[-1], sizes[:-1].sum() / 2)
    exact = np.exp(-np.multiply.outer(times, energies)) @ signed
    sigma = draw(st.sampled_from(list(errors))) * sizes.sum()
    order = np.arange(len(times))
    covariance = np.asarray(sigma**2 * np.exp(-np.abs(order[:, None] - order) / 5), dtype=np.float64)
    values = exact
    if noisy:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        values = exact + np.linalg.cholesky(covariance) @ rng.normal(size=len(times))
    return KnownCorrelator(times, energies, signed, exact, np.asarray(values), covariance)


@dataclass(frozen=True, eq=False, repr=False)
class UserPaths:
    """Paths as programs give them, and what they mean.

    Attributes
    ----------
    paths : array_like, list or mapping
        For ``nnqm.accumulate``: one array of any dtype and memory layout, a list of batches, nested lists of numbers,
        or a mapping of replicas by name.
    weights : array_like, list, mapping or None
        For ``nnqm.accumulate``, of the same structure; None without weights.
    settings : dict
        Further arguments of ``nnqm.accumulate`` that the form needs: ``axes``, where they are in another order.
    values : ndarray
        The same paths, shape (n_paths, n_times, channels), float64. Batches and replicas follow each other.
    value_weights : ndarray
        Weights of these paths, shape (n_paths,), float64; ones without weights.
    form : str
        Short description of the form.
    """

    paths: Any
    weights: Any
    values: Floats
    value_weights: Floats
    form: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        weighted = "" if self.weights is None else ", weighted"
        return f"UserPaths({self.form}{weighted}, values of shape {self.values.shape})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Hypothesis would print all numbers.
        printer.text(repr(self))


@st.composite
def user_paths(
    draw: Callable[..., Any],
    *,
    n_paths: tuple[int, int] = (48, 128),
    n_times: tuple[int, int] = (6, 24),
    max_channels: int = 2,
    weighted: bool | None = None,
    replicas: bool | None = None,
    dtypes: Sequence[str] = _DTYPES,
) -> UserPaths:
    """Given paths in every form that ``nnqm.accumulate`` takes from memory.

    Paths are independent, stationary and normal (autoregressive, of correlation 0.8 from time to time and variance 1).
    Integers hold 16 times these values, rounded.

    Parameters
    ----------
    n_paths, n_times : (int, int)
        Bounds of the number of paths, of each replica where there are several, and of times. At least 48 paths, so that
        weighted ones suffice for an error.
    max_channels : int, default 2
        Largest number of channels.
    weighted : bool, optional
        Whether paths have weights, some of them 0; by default some have.
    replicas : bool, optional
        Whether the paths are a mapping of two or three independent replicas; by default some are.
    dtypes : sequence of str
        Types of the numbers, as NumPy names them.

    Returns
    -------
    SearchStrategy
        Strategy of ``UserPaths``.

    Raises
    ------
    InputError, InputTypeError
        At the first draw, if a number is out of range.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, deadline=None, database=None)
    ... @given(user_paths())
    ... def mean_is_the_mean(x):
    ...     run = nnqm.accumulate(x.paths, 0.1, weights=x.weights, independent=True, **x.settings)
    ...     expected = np.average(x.values[:, :, 0].mean(axis=1), weights=x.value_weights)
    ...     assert abs(run.mean(0).value - expected) < 1e-5 * np.abs(x.values).max()
    >>> mean_is_the_mean()
    """
    fewest = integer("n_paths[0]", n_paths[0], 48)
    sizes = st.integers(fewest, integer("n_paths[1]", n_paths[1], fewest))
    shortest = integer("n_times[0]", n_times[0], 2)
    length = draw(st.integers(shortest, integer("n_times[1]", n_times[1], shortest)))
    channels = draw(st.integers(1, integer("max_channels", max_channels, 1)))
    dtype = draw(st.sampled_from(list(dtypes)))
    layout = draw(st.sampled_from(list(_LAYOUTS)))
    several = replicas if replicas is not None else draw(st.booleans())
    count = draw(st.integers(2, 3)) if several else 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = [_stationary_paths(rng, draw(sizes), length, channels, dtype) for _ in range(count)]
    has_weights = weighted if weighted is not None else draw(st.booleans())
    of_parts = [rng.uniform(0.5, 1.5, len(p)) * (rng.random(len(p)) > 0.1) for p in parts]
    values = np.concatenate(parts).astype(np.float64)
    value_weights = np.concatenate(of_parts) if has_weights else np.ones(len(values))
    flat = channels == 1 and draw(st.booleans())
    shaped = [p[:, :, 0] if flat else p for p in parts]
    laid = [_LAYOUTS[layout](p) for p in shaped]
    about = f"{dtype}, {layout}"
    if several:
        names = [f"r{i}" for i in range(count)]
        by_name = dict(zip(names, of_parts, strict=True)) if has_weights else None
        paths = dict(zip(names, laid, strict=True))
        return UserPaths(paths, by_name, values, value_weights, f"{count} replicas, {about}")
    weights: Any = of_parts[0] if has_weights else None
    settings: dict[str, Any] = {}
    (array,) = laid
    form = draw(st.sampled_from(["array", "batches", "numbers", "axes"]))
    given: Any = array
    if form == "batches":
        at = draw(st.integers(1, len(array) - 1))
        given = [array[:at], array[at:]]
        weights = None if weights is None else [weights[:at], weights[at:]]
    elif form == "numbers":
        given = array.tolist()
    elif form == "axes":
        given = np.moveaxis(array, 0, 1)
        settings = {"axes": ("time", "path") if flat else ("time", "path", "channel")}
    return UserPaths(given, weights, values, value_weights, f"{form}, {about}", settings)


def _stationary_paths(rng: np.random.Generator, n_paths: int, n_times: int, channels: int, dtype: str) -> NDArray[Any]:
    x = rng.normal(size=(n_paths, n_times, channels))
    for k in range(1, n_times):
        x[:, k] = 0.8 * x[:, k - 1] + 0.6 * x[:, k]
    return np.rint(_UNITS * x).astype(dtype) if np.dtype(dtype).kind == "i" else x.astype(dtype)
