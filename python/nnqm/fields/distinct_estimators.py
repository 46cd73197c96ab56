r"""Unbiased estimators of n-point functions from networks of finite width: sums over distinct neurons.

A field :math:`\phi = N^{-1/2} \sum_j h_j` of N independent neurons of mean zero has the n-point functions

.. math:: G_n = \sum_\pi \frac{N (N - 1) \cdots (N - |\pi| + 1)}{N^{n/2}} \prod_{B \in \pi} E \prod_{i \in B} h(x_i)

summed over the partitions :math:`\pi` of the n points into blocks of at least two. At infinite width pairs are left
(Wick's theorem). A product of p averages over neurons has the unbiased estimator

.. math:: \frac{1}{N (N-1) \cdots (N - p + 1)} \sum_{j_1 \ne j_2 \ne \cdots \ne j_p} A^{(1)}_{j_1} \cdots A^{(p)}_{j_p}

over distinct neurons; for p = 2 the sum is :math:`\sum A \sum B - \sum A B`. These sums are polynomials of
:math:`S_T = \sum_j \prod_{i \in T} h_j(x_i)` over the subsets T of the points (inclusion and exclusion), so that their
cost grows as N. Hence networks of one width N estimate the n-point functions of every other width, and of infinite
width, without bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import comb, factorial, perm, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, Rng, array_of, floats, integer, key_of
from ..errors import InputError, InputTypeError
from ..statistics.estimate import Estimate, jackknife
from ..statistics.partitions import Subset, set_partitions
from ..theories.networks import RandomNetwork
from .neurons import NeuronField, drawn_neurons, inputs_of

__all__ = ["distinct_neurons", "estimated_n_point"]

# Largest number of jackknife blocks, of points of a function, and of values of neurons in memory.
_N_BLOCKS, _MOST_POINTS, _CHUNK = 128, 8, 2**21


def distinct_neurons(
    neurons: ArrayLike, rows: ArrayLike, *, width: int | Sequence[int] | None = None, bias_std: float = 0.0
) -> Estimate:
    r"""n-point functions of one width from neurons of networks of another width, without bias.

    Parameters
    ----------
    neurons : array_like
        h_j(x), shape (M, N, P): M independent networks of N independent neurons of one distribution with mean zero, at
        P points. The field is :math:`N^{-1/2} \sum_j h_j` plus the bias.
    rows : array_like
        Points of each function, shape (..., n), integers from 0 to P - 1; n is even and at most 8.
    width : int or sequence of int, optional
        Width of the networks whose n-point functions are wanted. By default infinite: the sum over pairings.
    bias_std : float, default 0
        Standard deviation of a Gaussian bias of the output, which is not in ``neurons``.

    Returns
    -------
    Estimate
        Shape (...), or (W, ...) for W widths. The expectation is exact at every N. The error is statistical: a
        jackknife over networks. It needs finite moments of the neurons: of order 4 for infinite width, and 2n for
        other widths. It is too small if these are so large that few networks dominate the sum.

    Raises
    ------
    InputError, InputTypeError
        If the networks have fewer neurons than the products have factors (n/2, or the width if it is smaller), there
        are fewer than two networks, n is odd or above 8, or a point is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> neurons = np.sqrt(2) * np.cos(rng.uniform(0, 2 * np.pi, (20_000, 2, 1)))  # amplitude 2^(1/2), random phases
    >>> print(distinct_neurons(neurons, [0, 0, 0, 0]))  # Gaussian: 3
    2.991(21)
    >>> print(distinct_neurons(neurons, [0, 0, 0, 0], width=2))  # 3 - 3/(2 N)
    2.244(13)
    """
    h = floats("neurons", neurons, 3)
    which = _rows(rows, h.shape[2])
    return _estimate([h], len(h), h.shape[1], which, width, bias_std)


def estimated_n_point(
    network: RandomNetwork | NeuronField,
    points: ArrayLike,
    n_networks: int,
    *,
    drawn_width: int | None = None,
    width: int | Sequence[int] | None = None,
    rng: Rng = None,
    key: int | None = None,
) -> Estimate:
    """n-point functions of a random network of one hidden layer, sampled at one width and exact for another.

    Parameters
    ----------
    network : RandomNetwork or NeuronField
        One hidden layer, one linear output, no training.
    points : array_like
        Inputs of the network, shape (..., n, D), or (..., n) for one input; n is even and at most 8.
    n_networks : int
        Number of networks M to draw, at least 2.
    drawn_width : int, optional
        Width N of the networks that are drawn; required for a ``NeuronField``, the network's own otherwise.
    width : int or sequence of int, optional
        Width of the networks whose n-point functions are wanted. By default infinite: the sum over pairings.
    rng, key
        As for ``draw_weights``: networks of a ``RandomNetwork`` are drawn for the groups 0 ... M - 1.

    Returns
    -------
    Estimate
        Shape (...), or (W, ...) for W widths; see ``distinct_neurons`` for the error.

    Raises
    ------
    InputError, InputTypeError
        As ``distinct_neurons`` and ``drawn_neurons``; also if the output has a bias that is not Gaussian.

    Examples
    --------
    >>> network = nnqm.RandomNetwork((1, 3, 1), "erf", bias_std=1.0)
    >>> print(estimated_n_point(network, [-0.5, 0.0, 0.5, 1.0], 20_000, rng=1))
    5.542(28)
    """
    if isinstance(network, NeuronField):
        if drawn_width is None:
            raise InputError("drawn_width must be given for a NeuronField; use a small number of neurons, such as 10")
        bias_std = network.bias_std[1]
        network_width = integer("drawn_width", drawn_width, 1)
    elif isinstance(network, RandomNetwork):
        if drawn_width is not None:
            raise InputError(f"drawn_width is for a NeuronField; the network has the widths {network.widths}")
        bias_std, network_width = network.bias_std[-1], network.widths[1]
        if bias_std > 0 and network.biases[-1].name != "gaussian":
            raise InputError(f"the bias of the output must be Gaussian; got {network.biases[-1]}; draw its neurons")
    else:
        raise InputTypeError(f"network must be a RandomNetwork or a NeuronField; got {network!r}")
    count, run_key = integer("n_networks", n_networks, 2), key_of(rng, key)
    at, n_inputs = inputs_of(points, network.n_inputs), network.n_inputs
    distinct, which = np.unique(at.reshape(-1, n_inputs), axis=0, return_inverse=True)
    which = _rows(which.reshape(at.shape[:-1]), len(distinct))
    if isinstance(network, RandomNetwork):
        n = which.shape[-1]
        network.need_moment(4 if width is None else 2 * n, f"the error of a {n}-point function")
    step = max(1, _CHUNK // (network_width * max(len(distinct), n_inputs + 2)))

    def chunks() -> Iterator[Floats]:
        for start in range(0, count, step):
            networks = range(start, min(start + step, count))
            yield drawn_neurons(network, distinct, networks, width=drawn_width, key=run_key)

    return _estimate(chunks(), count, network_width, which, width, bias_std)


def _rows(rows: ArrayLike, n_points: int) -> NDArray[np.int64]:
    which = array_of("rows", rows)
    if which.dtype.kind not in "iu":
        raise InputTypeError(f"rows must be integers, numbers of points; got dtype {which.dtype}")
    n = which.shape[-1] if which.ndim else 0
    if n % 2 or not 2 <= n <= _MOST_POINTS:
        raise InputError(f"rows must have 2, 4, 6 or {_MOST_POINTS} entries along their last axis; got {which.shape}")
    if which.size and not (which.min() >= 0 and which.max() < n_points):
        bad = int(which.min()) if which.min() < 0 else int(which.max())
        raise InputError(f"rows must be from 0 to {n_points - 1}, the points of the neurons; got {bad}")
    return which.astype(np.int64)


def _estimate(
    chunks: Iterable[Floats],
    count: int,
    drawn: int,
    rows: NDArray[np.int64],
    width: int | Sequence[int] | None,
    bias_std: float,
) -> Estimate:
    n = rows.shape[-1]
    several = isinstance(width, Sequence | np.ndarray)
    given = list(width) if isinstance(width, Sequence | np.ndarray) else [width]
    wanted = [None if w is None else integer("width", w, 1) for w in given]
    needed = max((n // 2 if w is None else min(n // 2, w) for w in wanted), default=1)
    if drawn < needed:
        raise InputError(
            f"networks must have at least {needed} neurons for unbiased {n}-point functions, which need sums over "
            f"{needed} distinct neurons; got {drawn}",
            "draw wider networks",
        )
    if count < 2:
        raise InputError(f"neurons must come from at least 2 networks, for errors; got {count}")
    spread = float(floats("bias_std", bias_std, 0))
    if spread < 0:
        raise InputError(f"bias_std must not be negative; got {spread:g}")
    terms = _terms(n, drawn, wanted, spread)
    subsets = sorted({block for partition in terms for block in partition})
    flat = rows.reshape(-1, n)
    n_blocks = min(_N_BLOCKS, count)
    sums, sizes, first = np.zeros((n_blocks, len(wanted), len(flat))), np.zeros(n_blocks), 0
    for h in chunks:
        # Equal shares of the networks, whose order does not matter.
        block = (np.arange(first, first + len(h)) * n_blocks) // count
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        first += len(h)
        np.add.at(sizes, block[starts], np.diff(np.append(starts, len(h))))
        for row, points in enumerate(flat):
            power = {t: np.prod([h[:, :, points[i]] for i in t], axis=0).sum(axis=1) for t in subsets}
            total = np.zeros((len(h), len(wanted)))
            for partition, factors in terms.items():
                total += prod((power[t] for t in partition), start=np.ones(len(h)))[:, None] * factors
            np.add.at(sums[:, :, row], block[starts], np.add.reduceat(total, starts))
    found: Estimate = jackknife(lambda s: s["total"] / s["size"][:, None, None], {"total": sums, "size": sizes}, sizes)
    return found.reshape((*((len(wanted),) if several else ()), *rows.shape[:-1]))


def _terms(n: int, drawn: int, widths: Sequence[int | None], bias_std: float) -> dict[tuple[Subset, ...], Floats]:
    """Coefficients, one for each width, of the products of S_T in the estimator, by the partition into subsets T."""
    terms: dict[tuple[Subset, ...], Floats] = {}
    orders = range(n, -1, -2) if bias_std > 0 else (n,)
    for order in orders:
        # The other points belong to the bias.
        bias = bias_std ** (n - order) * prod(range(n - order - 1, 0, -2))
        for points in combinations(range(n), order):
            for partition in set_partitions(points, 2):
                sizes = [len(t) for t in partition]
                factors = bias * np.array([_coefficient(sizes, drawn, width) for width in widths])
                if factors.any():
                    terms[tuple(partition)] = factors
    return terms


def _coefficient(sizes: list[int], drawn: int, width: int | None) -> float:
    """Coefficient of a product of S_T over subsets of these sizes.

    The wanted partition refines the given one. A subset that contains b of its blocks contributes
    (-1)^(b-1) (b-1)! by inclusion and exclusion.
    """
    n = sum(sizes)
    # Numbers of refinements by their number of blocks, with signs.
    counts = [1]
    for size in sizes:
        blocks = [0] + [
            (-1) ** (b - 1) * factorial(b - 1) * _splits(size, b, pairs=width is None) for b in range(1, size // 2 + 1)
        ]
        counts = [
            sum(counts[i] * blocks[k - i] for i in range(len(counts)) if 0 <= k - i < len(blocks))
            for k in range(len(counts) + len(blocks) - 1)
        ]
    if width is None:
        return counts[-1] / perm(drawn, n // 2) if len(counts) == n // 2 + 1 else 0.0
    of_blocks = (c * perm(width, k) / perm(drawn, k) for k, c in enumerate(counts) if c and k <= width)
    return float(sum(of_blocks) / width ** (n / 2))


def _splits(size: int, blocks: int, pairs: bool) -> int:
    """Number of partitions of a set into blocks of at least two, or of exactly two."""
    if size == 0 or blocks == 0:
        return int(size == blocks)
    largest = 2 if pairs else size
    return sum(comb(size - 1, k - 1) * _splits(size - k, blocks - 1, pairs) for k in range(2, largest + 1) if k <= size)
