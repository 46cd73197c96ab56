r"""Connected four-point functions.

The connected four-point function is the joint cumulant of x at four times,

.. math:: \langle x_1 x_2 x_3 x_4\rangle_c = \sum_\pi (-1)^{|\pi| - 1} (|\pi| - 1)! \prod_{B \in \pi}
          \Big\langle \prod_{i \in B} x_i \Big\rangle

summed over the partitions pi of {1, 2, 3, 4}. It is zero for Gaussian processes. At equal times its ratio to the
squared variance is the excess kurtosis. In a theory with one vacuum it vanishes for distant times (clustering). A
mixture of theories has a plateau.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import factorial, prod

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, integer
from ..errors import InputError
from ..sampling.correlators import Correlators, normalised_lags
from ..sampling.independent_paths import independent_units
from ..sampling.path_source import Paths, location_of, need_uniform
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate, jackknife
from ..statistics.partitions import Subset, set_partitions

__all__ = ["connected_four_point", "pair_four_point"]

# Largest number of jackknife blocks.
_N_BLOCKS = 128

_FOUR = (0, 1, 2, 3)

_PARTITIONS = tuple(set_partitions(_FOUR))

_SUBSETS = tuple(s for size in range(1, 5) for s in combinations(_FOUR, size))


def _cumulant(moment: Callable[[Subset], Floats]) -> Floats:
    """Joint cumulant of four variables from the moments of their subsets."""
    terms = [
        (-1) ** (len(blocks) - 1) * factorial(len(blocks) - 1) * prod(moment(b) for b in blocks)
        for blocks in _PARTITIONS
    ]
    return np.asarray(sum(terms))


@one_blas_thread
def pair_four_point(run: Correlators, channel: int | str = 0, powers: tuple[int, int] = (2, 2)) -> Estimate:
    r"""Connected four-point function of two times, :math:`\langle x^a(0)\, x^b(t) \rangle_c` with a + b = 4.

    It is computed from the lag matrix of the Hermite polynomials of the channel and is symmetrised in time. The error
    is statistical (jackknife over blocks). Products of estimated moments have a bias of the order of the squared error.

    Parameters
    ----------
    run : Correlators
        A run with ``observable_lags`` and with polynomials of the channel up to the larger power. Outputs of a network
        need ``simulate(..., measure=Measure(observables=default_observables(theory, observe=["x"])))``.
    channel : int or str, default 0
        Position or name of the channel x.
    powers : tuple of int, default (2, 2)
        (2, 2), (1, 3) or (3, 1); the last two give the same result.

    Returns
    -------
    Estimate
        Shape (k,) at the lags ``run.observable_lags``, in units of x^4.

    Raises
    ------
    InputError
        If the run lacks these lags or polynomials, or ``powers`` is none of the three.

    Examples
    --------
    >>> import nnqm
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 16, 0.2, rng=1)
    >>> print(bool(np.all(np.abs(pair_four_point(run).pull(0.0)) < 4)))  # Gaussian
    True
    """
    if tuple(powers) not in ((2, 2), (1, 3), (3, 1)):
        raise InputError(f"powers must be (2, 2), (1, 3) or (3, 1); got {tuple(powers)}; choose one of them")
    first, second = sorted(powers)
    run.need("observable_lags", "simulate with measure=Measure(observable_lags=(1, 2, 3, ...))")
    o = run.observables
    c = o.index(channel)
    if o.orders[c] < second:
        raise InputError(
            f"observables must contain polynomials of {o.channels[c]} up to order {second}; got {o.orders[c]}; "
            f"simulate with measure=Measure(observables=default_observables(theory, observe=[{o.channels[c]!r}]))"
        )
    place = [0, 1 + c] + [o.labels.index(f"h{k}({o.channels[c]})") for k in range(2, second + 1)]
    # Coefficients of 1, z, z^2 and z^3 (rows) in normalised Hermite polynomials.
    convert = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, np.sqrt(2), 0], [0, 3, 0, np.sqrt(6)]])
    convert = convert[: second + 1, : second + 1]

    def evaluate(s: Mapping[str, Floats]) -> Floats:
        product, _ = normalised_lags(s["observable_lags"])
        of_powers = convert @ product[..., place, :][..., place] @ convert.T
        # Average with the same estimator backwards in time.
        of_powers = (of_powers + np.swapaxes(of_powers, -1, -2)) / 2

        def moment(subset: Subset) -> Floats:
            early = sum(i < first for i in subset)
            return np.asarray(of_powers[..., early, len(subset) - early])

        return np.asarray(o.scale[c] ** 4 * _cumulant(moment))

    estimate: Estimate = run.estimate(evaluate, "observable_lags")
    return estimate


@one_blas_thread
def connected_four_point(
    paths: Paths | ArrayLike,
    steps: ArrayLike,
    *,
    channel: int | str = 0,
    stationary: bool = True,
    n_paths: int = 100_000,
) -> Estimate:
    """Connected four-point function of any four times, computed from paths.

    The error is statistical: a jackknife over at most 128 blocks of successive paths. If successive paths are
    correlated, as in a Markov chain, a block must be much longer than these correlations. For a theory with random
    weights the result is the cumulant over paths and weights.

    Parameters
    ----------
    paths : Paths or array_like
        Paths of a theory, or given paths of shape (n_paths, n_times[, channels]).
    steps : array_like of int
        Times in steps of the grid, shape (..., 4), in any order. A repeated time stands for a power of x.
    channel : int or str, default 0
        For a theory, the position among the outputs or the name of a channel. For given paths, the position.
    stationary : bool, default True
        True: average over all translations of the four times within a path, on a uniform grid. False: steps are
        positions on the grid.
    n_paths : int, default 100000
        Largest number of given paths to use; the first ones are used.

    Returns
    -------
    Estimate
        Shape (...), in units of x^4.

    Raises
    ------
    InputError, InputTypeError
        If an argument has a wrong value or type, the steps exceed the paths, or there are fewer than 2 independent
        paths.

    See Also
    --------
    n_point : the exact n-point functions.

    Examples
    --------
    >>> import nnqm
    >>> paths = nnqm.Paths(nnqm.harmonic_oscillator(), 20_000, 16, 0.2, rng=1)
    >>> found = connected_four_point(paths, [0, 1, 3, 4])
    >>> print(bool(abs(found.pull(0.0)) < 4))  # Gaussian
    True
    """
    given = np.asarray(steps)
    if given.dtype.kind not in "iu" or given.ndim == 0 or given.shape[-1] != 4 or given.size == 0:
        raise InputError(
            f"steps must be integers of shape (..., 4); got shape {given.shape}, dtype {given.dtype}; "
            "give four times for each value"
        )
    if stationary:
        need_uniform(paths)
    units = independent_units(paths, channel, most=integer("n_paths", n_paths, 1))
    rows = given.reshape(-1, 4)
    if stationary:
        rows = rows - rows.min(axis=1, keepdims=True)
    if rows.min() < 0 or rows.max() >= units.n_times:
        raise InputError(
            f"steps must span less than the paths, {units.n_times} steps; got {given.reshape(-1, 4).tolist()}; "
            "use longer paths"
        )
    n_groups = -(-units.n_units // units.group)
    if n_groups < 2:
        raise InputError(f"errors need at least 2 independent paths; got {n_groups}; give more of them")
    n_blocks = min(_N_BLOCKS, n_groups)
    edges = np.minimum(np.arange(n_blocks + 1) * n_groups // n_blocks * units.group, units.n_units)
    sums = np.zeros((n_blocks, len(rows), len(_SUBSETS)))
    centre, scale = location_of(units)
    for b in range(n_blocks):
        for z in units.chunks(int(edges[b]), int(edges[b + 1])):
            z = (z - centre) / scale
            for r, row in enumerate(rows):
                span = units.n_times - int(row.max()) if stationary else 1
                columns = [z[:, k : k + span] for k in row]
                products: dict[Subset, Floats] = {}
                for i, subset in enumerate(_SUBSETS):
                    rest = products.get(subset[:-1])
                    last = columns[subset[-1]]
                    products[subset] = last if rest is None else rest * last
                    sums[b, r, i] += products[subset].sum() / span
    sizes = np.diff(edges)

    def evaluate(s: Mapping[str, Floats]) -> Floats:
        means = s["products"] / s["paths"][:, None, None]
        cumulant = _cumulant(lambda subset: means[:, :, _SUBSETS.index(subset)])
        return (scale**4 * cumulant).reshape(-1, *given.shape[:-1])

    estimate: Estimate = jackknife(evaluate, {"products": sums, "paths": sizes}, sizes)
    return estimate
