"""Every theory is a network in time: of any theory or any paths, the Karhunen-Loeve network that has their physics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, Rng, floats, integer
from ..errors import InputError, InputTypeError
from ..quantum.measures import SpectralMeasure
from ..runs.simulation import simulate
from ..sampling.accumulator import accumulate
from ..sampling.arrays import path_array
from ..sampling.correlators import Correlators
from ..sampling.measure import Measure
from ..sampling.path_source import PathReader, Paths, need_uniform, reader_of
from ..statistics.blas import one_blas_thread
from ..theories.densities import Density
from ..theories.linear_processes import KarhunenLoeveProcess, SplittingProcess
from ..theories.mode_sums import KarhunenLoeve
from ..theories.theory import Theory
from .decompose import exact_kernel, karhunen_loeve
from .kernels import CosineNetwork, Kernel, TimeNetwork
from .tables import TableRule

__all__ = ["as_network", "split_network"]

# Points of the grid per mode, by default and at least, and the most by default: each block holds a table of pairs.
_PER_MODE, _FEWEST_PER_MODE, _MOST_TIMES = 8, 4, 257
# Fewest points of a grid, paths by default, and the part of an interval below which a shift is rounding.
_FEWEST_TIMES, _DEFAULT_PATHS, _EQUAL = 8, 100_000, 1e-9
# Values of paths that are held at once.
_CHUNK = 2**24


@one_blas_thread
def as_network(
    source: Any,
    n_modes: int = 64,
    interval: tuple[float, float] | None = None,
    *,
    density: Density | str = "gaussian",
    rows: int = 0,
    independent: bool = False,
    times: ArrayLike | None = None,
    rng: Rng = None,
) -> Theory:
    r"""The Karhunen-Loeve network of any theory, kernel or paths: a theory with the same mean and two-point function.

    .. math:: x(t) = m(t) + \sum_{k \le K} \theta_k \sqrt{\lambda_k}\, e_k(t), \qquad
              \theta_k = \frac{1}{\sqrt{\lambda_k}} \int (x(t) - m(t))\, e_k(t)\, dt

    (Ferko and Halverson, arXiv:2504.05462). With ``rows`` the theta_k of sampled paths are kept as joint rows, from
    which the network draws: then it has all correlation functions of these paths, up to the modes left out. With a
    density, or with independent columns, it has the same two-point function only.

    Parameters
    ----------
    source : Theory, Paths, Correlators, array_like, or what ``karhunen_loeve`` takes
        A theory: by its exact two-point function where that is known, otherwise by sampling 100,000 paths (of its first
        output) on 8 times for each mode, at most 257. ``Paths`` of a theory, where another uniform grid or number of
        paths is wanted. A run with its two-time function. Given paths, shape (n_paths, n_times), with their ``times``.
        Or a kernel.
    n_modes : int, default 64
        K. Modes that are not distinguished from zero are left out.
    interval : (float, float), optional
        Needed for theories and kernels; the grid of ``Paths`` by default. A stationary theory starts at its beginning.
    density : Density or str, default "gaussian"
        Of each theta_k, where there are no rows.
    rows : int, default 0
        Joint rows of theta, from as many paths: drawn of the theory, or the first ones of the paths.
    independent : bool, default False
        Draw each theta_k from a row of its own.
    times : array_like, optional
        Of given paths, shape (n_times,).
    rng : int, SeedSequence, Generator or None
        For a theory, as for ``simulate``; ``Paths`` have their own key.

    Returns
    -------
    Theory
        Its only source is a ``KarhunenLoeveProcess``, whose ``expansion`` has the eigenvalues with their errors and the
        ``truncation_error``: the part of the variance, averaged over time, that is left out. Moments of rows have the
        statistical error of the paths, and the error of the grid: mode k has a relative error of its variance
        of about (w_k dt)^2/12, w_k = pi k over the interval, where paths are rough.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit, or the grid has fewer than four times per mode and rows are asked for.

    Examples
    --------
    >>> network = as_network(nnqm.builtin_theory("anharmonic"), 16, (0.0, 4.0))
    >>> process = network.sources[0]
    >>> print(process, f"{process.expansion.truncation_error:.3f}")
    KarhunenLoeveProcess(16 modes on [0, 4], gaussian) 0.100
    """
    wanted, n = integer("rows", rows, 0), integer("n_modes", n_modes, 1)
    if independent and not wanted:
        raise InputError("independent=True draws from the columns of rows; ask for rows=10000, or leave it out")
    hbar, mass = (source.hbar, source.mass) if isinstance(source, Correlators) else (1.0, 1.0)
    reader: PathReader | None = None
    grid = np.empty(0)
    if isinstance(source, Theory | Paths):
        drawn = source if isinstance(source, Paths) else _default_paths(source, n, interval, rng)
        hbar, mass = drawn.theory.hbar, drawn.theory.mass
        expansion, grid = _of_theory(drawn, n, interval)
        if isinstance(source, Theory):
            # As many rows as are asked for, however many paths the two-point function is measured from.
            drawn = Paths(source, max(1, wanted), times=drawn.times, key=drawn.key, precision=drawn.precision)
        reader = reader_of(drawn, 0)
    elif isinstance(source, Correlators | Kernel | SpectralMeasure | CosineNetwork | TimeNetwork | tuple) or callable(
        source
    ):
        if wanted:
            raise InputError(f"rows need paths; got {type(source).__name__}; give a theory or paths with their times")
        expansion = karhunen_loeve(source, interval, n)
    else:
        paths = path_array(source)
        if paths.shape[2] != 1:
            raise InputError(f"paths must have one channel; got {paths.shape[2]}; choose one")
        if times is None:
            raise InputError("times of the paths are missing; give times, shape (n_times,)")
        grid = floats("times", times, 1)
        if grid.shape != paths.shape[1:2]:
            raise InputError(f"times must have one entry per time of the paths, {paths.shape[1]}; got {grid.shape}")
        measure = Measure(two_time=True, lags=(), observable_lags=(), increment_lags=())
        run = accumulate(paths, 1.0, measure=measure)
        if run.n_times != len(grid):
            raise InputError(f"paths must be at least 16 independent ones, which are not cut; got {len(paths)}")
        expansion = karhunen_loeve(replace(run, times=grid), interval, n)
        reader = reader_of(paths, 0)
    if not wanted:
        return Theory(KarhunenLoeveProcess(expansion, density), hbar=hbar, mass=mass)
    assert reader is not None
    theta = _projected(reader, wanted, grid, expansion)
    return Theory(KarhunenLoeveProcess(expansion, density, rows=theta, independent=independent), hbar=hbar, mass=mass)


def _checked_interval(interval: Any) -> tuple[float, float]:
    if interval is None or np.shape(interval) != (2,) or not interval[1] > interval[0]:
        raise InputError(f"interval must be (a, b) with a < b for a theory; got {interval}")
    return float(interval[0]), float(interval[1])


def _default_paths(theory: Theory, n_modes: int, interval: Any, rng: Rng) -> Paths:
    """Paths of a theory on the default grid of an interval."""
    a, b = _checked_interval(interval)
    grid = np.linspace(a, b, min(_PER_MODE * n_modes + 1, _MOST_TIMES))
    # Any piece of a stationary theory serves, and its own grid may have to begin at 0.
    own = grid - a if theory.stationary else grid
    return Paths(theory, _DEFAULT_PATHS, times=own, rng=rng, precision="float64")


def _of_theory(paths: Paths, n_modes: int, interval: tuple[float, float] | None) -> tuple[KarhunenLoeve, Floats]:
    """Expansion of a theory, and the grid of its paths, which an interval may shift if the theory is stationary."""
    theory, grid = paths.theory, paths.times
    if theory.n_outputs > 1:
        raise InputError(f"theory must have one output; got {theory.n_outputs}; give a network with one")
    need_uniform(paths)
    if paths.n_times < _FEWEST_TIMES:
        raise InputError(f"n_times must be at least {_FEWEST_TIMES}; got {paths.n_times}; use a finer grid")
    if interval is not None:
        a, b = _checked_interval(interval)
        shift = a - float(grid[0])
        if abs(float(grid[-1]) + shift - b) > _EQUAL * (b - a) or (
            abs(shift) > _EQUAL * (b - a) and not theory.stationary
        ):
            raise InputError(
                f"interval must be the interval of the paths, [{grid[0]:g}, {grid[-1]:g}], which may be shifted if the "
                f"theory is stationary; got {interval}; leave it out"
            )
        grid = np.linspace(a, b, paths.n_times)
    try:
        known = exact_kernel(theory)
    except InputError:
        known = None
    if known is not None:
        return karhunen_loeve(theory, (float(grid[0]), float(grid[-1])), n_modes), grid
    # Paths with another key than the rows, which may be far fewer.
    run = simulate(
        theory,
        paths.n_paths,
        times=paths.times,
        rng=paths.key,
        measure=Measure(two_time=theory.outputs[0]),
        n_threads=paths.n_threads,
    )
    return karhunen_loeve(replace(run, times=grid), None, n_modes), grid


def _projected(paths: PathReader, rows: int, times: Floats, expansion: KarhunenLoeve) -> Floats:
    """Weights theta of the first paths, shape (rows, K), by the quadrature of tables."""
    if rows > paths.n_units:
        raise InputError(f"rows must be at most the number of paths, {paths.n_units}; got {rows}")
    if len(times) < _FEWEST_PER_MODE * len(expansion):
        raise InputError(
            f"rows need at least {_FEWEST_PER_MODE} times per mode, {_FEWEST_PER_MODE * len(expansion)}; got "
            f"{len(times)}; use fewer modes or a finer grid"
        )
    weighted = (TableRule.of(times).outer * expansion(times).T).T / np.sqrt(expansion.eigenvalues)
    mean = expansion.mean(times)
    at_once = max(1, _CHUNK // len(times))
    parts = [(paths.read(i, min(i + at_once, rows)) - mean) @ weighted for i in range(0, rows, at_once)]
    return np.concatenate(parts)


@one_blas_thread
def split_network(kernel: Any, duration: float, n_modes: int = 64, density: Density | str = "gaussian") -> Theory:
    r"""A reflection-positive network in \|t\| of a kernel: what x(0) says is shared, the rest is split at t = 0.

    .. math:: K(s, t) = \frac{K(s, 0) K(0, t)}{K(0, 0)} + \Big[K(s, t) - \frac{K(s, 0) K(0, t)}{K(0, 0)}\Big]

    The first part is one mode that both sides share; the modes of the second vanish at t = 0 and have weights
    theta^+ and theta^- of each side's own. On each side the two-point function is K; across t = 0 it is the first part,
    which is K itself for Gaussian Markov processes, for example Ornstein and Uhlenbeck's.

    Parameters
    ----------
    kernel : Kernel or callable
        K(s, t) on [0, duration].
    duration : float
        T; the theory exists on [-T, T].
    n_modes : int, default 64
        Of the split part.
    density : Density or str, default "gaussian"
        Of all weights.

    Returns
    -------
    Theory
        Its only source is a ``SplittingProcess``, generally not stationary.

    Raises
    ------
    InputError, InputTypeError
        As ``karhunen_loeve``; or if K(0, 0) vanishes.

    Examples
    --------
    >>> theory = split_network(nnqm.Kernel.ornstein_uhlenbeck(1.0), 2.0, 100)
    >>> float(theory.sources[0].connected(-0.5, 1.0).round(6))  # exp(-1.5)/2
    0.111565
    """
    if not callable(kernel):
        raise InputTypeError(f"kernel must be a Kernel or a function K(s, t); got {kernel!r}")
    zero = np.zeros(())
    start = float(kernel(zero, zero))
    if not start > 0:
        raise InputError(f"kernel must be positive at s = t = 0, where the sides meet; got K(0, 0) = {start:g}")

    def shared(s: Floats, t: Floats) -> Floats:
        return np.asarray(kernel(s, 0 * s) * kernel(0 * t, t) / start)

    one = karhunen_loeve(shared, (0.0, duration), 1)
    rest = karhunen_loeve(lambda s, t: kernel(s, t) - shared(s, t), (0.0, duration), n_modes)
    return Theory(SplittingProcess(one, rest, density))
