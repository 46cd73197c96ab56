"""Correlators of given functions of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Rng
from ..errors import InputError, InputTypeError
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from .accumulator import accumulate
from .correlators import Correlators
from .measure import Measure, measure_or_default
from .observables import default_observables
from .path_source import Paths
from .run_settings import TILE, FunctionSettings, choose_blocks, need_known

__all__ = ["simulate_functions"]


def simulate_functions(
    theory: Theory,
    functions: Callable[[NDArray[Any]], ArrayLike],
    n_paths: int,
    n_times: int,
    dt: float,
    *,
    rng: Rng = None,
    measure: Measure | None = None,
    **settings: Unpack[FunctionSettings],
) -> Correlators:
    """Sample a theory and add up correlators of functions of one's own, for ``spectrum`` and everything else.

    Paths are drawn, mapped and summed block by block, so that memory holds one block only. The observables are the
    functions themselves and a constant: no polynomials or neurons are added.

    Parameters
    ----------
    theory : Theory
        Stationary.
    functions : callable
        Takes paths, shape (paths, n_times, channels) with the channels of ``theory.channels`` (inputs y, then outputs
        x), and returns the functions at each time, real, shape (paths, n_times, K), K at least 1. A function of
        several times may look at the whole path, as long as it is the same function at every time.
    n_paths, n_times, dt : int, int, float
        Number of paths and uniform grid, as for ``simulate``.
    rng : int, SeedSequence, Generator or None
        As for ``simulate``.
    measure : Measure, optional
        Lags of the sums, without increments by default. Its observables must be left out: they are the functions.
    **settings : FunctionSettings
        names : sequence of str, of the functions; x1, x2, ... by default. precision, n_threads and n_blocks as for
        ``simulate``.

    Returns
    -------
    Correlators
        Its channels are the functions. The first one is the channel whose spectral weights ``spectrum`` gives
        by default. Errors come from blocks of independent paths. The key is recorded; the functions are not, so that
        the run cannot be extended, only merged with others.

    Raises
    ------
    InputError, InputTypeError
        If an argument is not valid; if the functions return another shape, complex numbers or values that are not
        finite (from the first block on).

    Examples
    --------
    >>> import nnqm
    >>> run = simulate_functions(
    ...     nnqm.harmonic_oscillator(), lambda x: np.concatenate([x, x**3], axis=2), 20_000, 64, 0.2, rng=1
    ... )
    >>> bool(abs(nnqm.spectrum(run, 1).gaps[0].pull(1.0)) < 3)
    True
    """
    need_known(simulate_functions, settings, FunctionSettings, Measure)
    asked = measure_or_default(measure)
    if not isinstance(theory, Theory):
        raise InputTypeError(f"theory must be a Theory; got {theory!r}")
    if not callable(functions):
        raise InputTypeError(
            f"functions must be callable; got {functions!r}; give one function that returns all of them"
        )
    if asked.observables is not None:
        raise InputError("observables of the measure are the functions themselves; leave them out")
    if isinstance(theory.network, RandomNetwork):
        raise InputError(
            f"simulate_functions needs fixed weights, and the network draws them: {theory.network!r}; fix the weights, "
            "or use accumulate(..., group=) on paths of sample_paths"
        )
    names, precision = settings.get("names"), settings.get("precision", "float32")
    n_threads = settings.get("n_threads", 0)
    paths = Paths(theory, n_paths, n_times, dt, rng=rng, precision=precision, n_threads=n_threads)
    blocks = choose_blocks(settings.get("n_blocks"), -(-paths.n_paths // TILE), f"tiles of {TILE} paths")
    bounds = [paths.n_paths * b // blocks for b in range(blocks + 1)]

    def values(first: int, stop: int) -> NDArray[Any]:
        return values_of(functions, paths.read_channels(first, stop)).astype(precision, copy=False)

    chunks = (values(first, stop) for first, stop in pairwise(bounds))
    start = next(chunks)
    size = start.shape[2]
    labels = labels_of(names, size)
    flat = start.reshape(-1, size).astype(np.float64)
    mean, std = np.zeros(size), np.ones(size)
    if np.isfinite(flat).all():  # accumulate says where they are not
        mean, std = flat.mean(axis=0), flat.std(axis=0)
        std[~(std > 1e-12 * np.abs(mean))] = 1.0

    def all_chunks() -> Iterator[NDArray[Any]]:
        yield start
        yield from chunks

    increments = () if asked.increment_lags is None else asked.increment_lags
    observables = default_observables((mean, std, labels), order=1, neurons=0)
    run = accumulate(
        all_chunks(),
        dt,
        hbar=theory.hbar,
        mass=theory.mass,
        n_threads=n_threads,
        n_blocks=1,
        independent=True,
        measure=replace(asked, observables=observables, increment_lags=increments),
    )
    return replace(run, keys=(paths.key,))


def values_of(functions: Callable[[NDArray[Any]], ArrayLike], paths: NDArray[Any]) -> NDArray[Any]:
    """Values of functions of paths (paths, n_times, channels), checked, shape (paths, n_times, K)."""
    found = np.asarray(functions(paths))
    if found.dtype.kind not in "fiub":
        raise InputTypeError(
            f"functions must return real numbers; got dtype {found.dtype}; take real and imaginary parts"
        )
    if found.ndim != 3 or found.shape[:2] != paths.shape[:2] or found.shape[2] == 0:
        raise InputError(
            f"functions must return shape (paths, n_times, K) = ({paths.shape[0]}, {paths.shape[1]}, K); "
            f"got {found.shape}"
        )
    return found


def labels_of(names: Sequence[str] | None, size: int) -> tuple[str, ...]:
    """Names of functions, checked; x1, x2, ... by default."""
    labels = tuple(f"x{i + 1}" for i in range(size)) if names is None else tuple(names)
    if len(labels) != size or len(set(labels)) != size:
        raise InputError(f"names must be {size} different strings, one per function; got {labels}")
    return labels
