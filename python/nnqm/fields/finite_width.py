"""Exact n-point functions of networks of independent neurons at finite width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import combinations, product
from math import comb, factorial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer
from ..errors import InputError, InputTypeError
from ..representation import short_repr
from ..statistics.partitions import Subset, pairings
from .cos_net import CosNet
from .field import Field
from .propagators import ExactValue, need_finite, propagator
from .reflection_positive_net import ReflectionPositiveNet

__all__ = ["NPointFunction", "moments_of_sum", "n_point"]

Moment: TypeAlias = "ArrayLike | ExactValue"

# Most points; the work grows like 3^n.
_MOST_POINTS = 10
# Rounding of a sum of products, relative to the sum of their sizes.
_ROUNDING = 1e-15
# Size of a complex step, which differentiates without cancellation.
_STEP = 1e-100


@short_repr
class NPointFunction(NamedTuple):
    """An n-point function at finite width, its connected part, and its value at infinite width.

    Attributes
    ----------
    value : ndarray
        E phi(x_1) ... phi(x_n), shape S.
    connected : ndarray
        The joint cumulant of the n values, shape S.
    wick : ndarray
        Value of the Gaussian field with the same mean and two-point function (Wick's theorem), shape S.
    error, connected_error, wick_error : ndarray
        Their numerical errors, shape S: errors of the neuron's moments to first order, and rounding.
    """

    value: Floats
    connected: Floats
    wick: Floats
    error: Floats
    connected_error: Floats
    wick_error: Floats

    @property
    def correction(self) -> Floats:
        """The value less its limit at infinite width."""
        return self.value - self.wick


def moments_of_sum(
    neuron_moments: Mapping[Subset, Moment] | Callable[[Subset], Moment], n: int, width: int
) -> NPointFunction:
    r"""Moments of a sum of N independent, identical neurons, from the moments of one neuron.

    The field is :math:`\phi = N^{-1/2} \sum_j h_j`.

    .. math:: E\,\phi_1 \cdots \phi_n
              = \sum_\pi \frac{N!}{(N - |\pi|)!} \prod_{B \in \pi} N^{-|B|/2}\, E \prod_{i \in B} h_i

    The sum is over partitions of the n points into blocks, one block per neuron. The connected part is
    :math:`\kappa_n[\phi] = N^{1-n/2} \kappa_n[h]`, where :math:`\kappa_n[h] = \sum_\pi (-1)^{|\pi| - 1} (|\pi| - 1)!
    \prod_B E \prod_{i \in B} h_i` (McCullagh, Tensor Methods in Statistics (1987), ch. 2).

    Parameters
    ----------
    neuron_moments : mapping or callable
        E of the product of h at the points of a subset, for every non-empty sorted subset of 0, ..., n - 1 such as
        (0, 2); 0.0 where it vanishes by symmetry. Arrays broadcast; an ``ExactValue`` carries an error.
    n : int
        Number of points, from 1 to 10.
    width : int
        Number N of neurons, at least 1.

    Returns
    -------
    NPointFunction
        The common shape of the moments.

    Raises
    ------
    InputError
        If n or the width is out of range, or a moment is missing or not finite.

    Examples
    --------
    >>> signs = {(0,): 0.0, (1,): 0.0, (0, 1): 1.0}  # a neuron that is +1 or -1
    >>> moments_of_sum(signs, 2, width=10).value
    array(1.)
    >>> fourth = moments_of_sum(lambda subset: 1.0 - len(subset) % 2, 4, width=10)
    >>> fourth.value.round(12), fourth.connected.round(12), fourth.wick
    (np.float64(2.8), np.float64(-0.2), array(3.))
    """
    n, width = integer("n", n, 1, _MOST_POINTS), integer("width", width, 1)
    moments: dict[int, Any] = {}
    sizes: dict[int, Any] = {}
    shape: tuple[int, ...] = ()
    for mask in range(1, 2**n):
        subset = tuple(i for i in range(n) if mask >> i & 1)
        if not callable(neuron_moments) and subset not in neuron_moments:
            raise InputError(f"neuron_moments must have every non-empty subset of {n} points; it lacks {subset}")
        given = neuron_moments(subset) if callable(neuron_moments) else neuron_moments[subset]
        value, error = given if isinstance(given, ExactValue) else (given, 0.0)
        found = floats(f"neuron_moments[{subset}]", value)
        shape = np.broadcast_shapes(shape, found.shape)
        if found.any() or np.any(error):
            moments[mask], sizes[mask] = found, np.abs(found) + 1j * _STEP * np.asarray(error)
    blocks = np.arange(1, n + 1)
    # N (N - 1) ... (N - j + 1) / N^(n/2) for j blocks.
    ways = np.cumprod(1 - (blocks - 1) / width) * float(width) ** (blocks - n / 2)
    signed = np.array([(-1.0) ** (j - 1) * factorial(j - 1) for j in blocks]) * float(width) ** (1 - n / 2)
    exact, large = _by_blocks(moments, n), _by_blocks(sizes, n)

    def full(x: Any) -> Floats:
        return np.array(np.broadcast_to(x, shape), dtype=np.float64)

    def combined(sums: list[Any], factors: Floats) -> Any:
        return sum(factor * part for factor, part in zip(factors, sums, strict=True))

    def error_of(size: Any) -> Floats:
        return full(np.imag(size) / _STEP + _ROUNDING * n * np.real(size))

    return NPointFunction(
        value=full(combined(exact, ways)),
        connected=full(combined(exact, signed)),
        wick=full(_gaussian(moments, n, width, -1.0)),
        error=error_of(combined(large, ways)),
        connected_error=error_of(combined(large, np.abs(signed))),
        wick_error=error_of(_gaussian(sizes, n, width, 1.0)),
    )


def _by_blocks(moments: Mapping[int, Any], n: int) -> list[Any]:
    """Sums over partitions of n points into 1, ..., n blocks of the products of the moments; sets are bit masks."""
    sums: dict[int, dict[int, Any]] = {0: {0: 1.0}}

    def partitions(points: int) -> dict[int, Any]:
        if points not in sums:
            found: dict[int, Any] = {}
            lowest = points & -points
            rest = subset = points ^ lowest
            while True:
                # The block of the lowest point has each subset of the other points in turn.
                moment = moments.get(lowest | subset)
                if moment is not None:
                    for blocks, product in partitions(rest ^ subset).items():
                        found[blocks + 1] = found.get(blocks + 1, 0.0) + moment * product
                if subset == 0:
                    break
                subset = (subset - 1) & rest
            sums[points] = found
        return sums[points]

    found = partitions(2**n - 1)
    return [found.get(blocks, 0.0) for blocks in range(1, n + 1)]


def _gaussian(moments: Mapping[int, Any], n: int, width: int, sign: float) -> Any:
    """Wick's theorem with the means and covariances of the sum; with the sign +1 the sum of the sizes of all terms."""
    means = {1 << i: moments[1 << i] for i in range(n) if 1 << i in moments}
    pairs = {1 << i | 1 << j: moments.get(1 << i | 1 << j, 0.0) for i, j in combinations(range(n), 2)}
    for i, j in combinations(means, 2):
        pairs[i | j] = pairs[i | j] + sign * means[i] * means[j]
    blocks = {mask: value for mask, value in pairs.items() if np.any(value)}
    return sum(_by_blocks(blocks | {i: mean * float(width) ** 0.5 for i, mean in means.items()}, n))


def n_point(field: Field, points: ArrayLike) -> NPointFunction:
    r"""Exact n-point function of a field at points of spacetime, at its finite width.

    The moments of one neuron are integrals over its momentum that ``propagator`` knows. For a cos-net

    .. math:: E\, h_1 \cdots h_n = \frac{\Omega_\alpha^{n/2 - 1}}{2^{n/2 - 1}} \sum_s
              \int \frac{d^dk}{(2\pi)^d}\, f(k)\, (k^2 + m^2)^{\alpha n/2 - \alpha - 1} e^{ik \cdot \sum_i s_i x_i}

    with a sum over signs s that add up to 0, where s and -s count once (n = 4: Zhang, arXiv:2604.27050). For a
    reflection-positive net they are Wick's theorem for fixed momenta, averaged over the momenta; with
    :math:`\Delta` its propagator,

    .. math:: E\, h_1 \cdots h_n = \left(\frac{\Delta(0)}{2}\right)^{n/2 - 1} \sum_{\rm pairings} \sum_s
              \Delta\Bigl(\sum_p |t_p|,\, \sum_p s_p x_p\Bigr)

    where p runs over the n/2 pairs, with distances :math:`(t_p, x_p)`, and the first sign is +. ``moments_of_sum``
    then gives the field.

    Parameters
    ----------
    field : CosNet, ReflectionPositiveNet or a Gaussian field
        Its own ``points`` do not matter.
    points : array_like
        Shape (..., n, d), the time first; n from 1 to 10. Points of one n-point function may coincide.

    Returns
    -------
    NPointFunction
        Shape (...), unit of the field to the power n. Odd n-point functions are zero.

    Raises
    ------
    InputError, InputTypeError
        If the points do not fit the dimension of the field, a moment of a neuron does not exist (the message names the
        power that diverges), or the field has no known n-point functions.

    Examples
    --------
    >>> cut = nnqm.fields.Regulator("gaussian", 100.0)
    >>> field = CosNet(2, mass=1.0, width=10, alpha=1.0, regulator=cut)
    >>> four = n_point(field, [[0.0, 0.0], [0.1, 0.0], [0.0, 0.2], [0.3, 0.1]])
    >>> float(four.value.round(8)), float(four.wick.round(8))
    (0.18880062, 0.20977846)
    """
    if not isinstance(field, Field):
        raise InputTypeError(f"field must be a field of nnqm.fields; got {field!r}")
    at = floats("points", points)
    if at.ndim < 2 or at.shape[-1] != field.dimension or at.shape[-2] == 0:
        raise InputError(
            f"points must have shape (..., n, {field.dimension}), the time first, for a field in {field.dimension} "
            f"dimensions; got shape {at.shape}"
        )
    n = at.shape[-2]
    if n > _MOST_POINTS:
        raise InputError(f"points must have at most {_MOST_POINTS} points per function; got {n}")
    if isinstance(field, CosNet):
        return moments_of_sum(_cos_net_moments(field, at), n, field.width)
    if isinstance(field, ReflectionPositiveNet):
        return moments_of_sum(_reflection_positive_moments(field, at), n, field.width)
    if not field.gaussian:
        raise InputTypeError(f"field must be a CosNet, a ReflectionPositiveNet or a Gaussian field; got {field!r}")

    def pairs(subset: Subset) -> Moment:
        if len(subset) != 2:
            return 0.0
        step = at[..., subset[0], :] - at[..., subset[1], :]
        return field.propagator(step[..., 0], step[..., 1:])

    found = moments_of_sum(pairs, n, 1)
    known = n <= 2
    return found._replace(
        value=found.wick,
        error=found.wick_error,
        connected=found.wick if known else np.zeros_like(found.wick),
        connected_error=found.wick_error if known else np.zeros_like(found.wick),
    )


def _cos_net_moments(field: CosNet, at: Floats) -> Callable[[Subset], Moment]:
    """Moments of a neuron of a cos-net at points (..., n, d)."""
    omega, alpha, d = field.omega, field.alpha, field.dimension
    for n in range(2, at.shape[-2] + 1, 2):
        what = f"the {n}-point function of one neuron with alpha={alpha:g}"
        need_finite(d, field.mass, 1 + alpha - alpha * n / 2, field.regulator, what)

    @cache
    def of_size(n: int) -> ExactValue:
        # All subsets and signs at once; the first sign is +, and points outside the subset have 0.
        rows = [
            [0.0 if i not in subset else 1.0 if i == subset[0] or i in others else -1.0 for i in range(at.shape[-2])]
            for subset in combinations(range(at.shape[-2]), n)
            for others in combinations(subset[1:], n // 2 - 1)
        ]
        steps = np.einsum("pn,...nd->...pd", np.array(rows), at)
        power = 1 + alpha - alpha * n / 2
        found = propagator(d, field.mass, steps[..., 0], steps[..., 1:], regulator=field.regulator, power=power)
        factor = (omega / 2) ** (n // 2 - 1)
        shape = (*at.shape[:-2], comb(at.shape[-2], n), -1)
        return ExactValue(*(factor * x.reshape(shape).sum(axis=-1) for x in found))

    def moment(subset: Subset) -> Moment:
        if len(subset) % 2:
            return 0.0
        place = list(combinations(range(at.shape[-2]), len(subset))).index(subset)
        return ExactValue(*(x[..., place] for x in of_size(len(subset))))

    return moment


def _reflection_positive_moments(field: ReflectionPositiveNet, at: Floats) -> Callable[[Subset], Moment]:
    """Moments of a neuron of a reflection-positive net at points (..., n, d)."""
    at_zero = float(field.variance[0])

    def moment(subset: Subset) -> Moment:
        if len(subset) % 2:
            return 0.0
        half = len(subset) // 2
        signs = np.array([[1.0, *rest] for rest in product((1.0, -1.0), repeat=half - 1)])
        pairs = np.array(subset)[np.array(list(pairings(2 * half)))]
        steps = at[..., pairs[..., 0], :] - at[..., pairs[..., 1], :]
        times = np.abs(steps[..., 0]).sum(axis=-1)
        found = propagator(
            field.dimension,
            field.mass,
            times[..., None],
            np.einsum("sp,...kpd->...ksd", signs, steps[..., 1:]),
            regulator=field.regulator,
        )
        factor = (at_zero / 2) ** (half - 1)
        return ExactValue(factor * found.value.sum(axis=(-2, -1)), factor * found.error.sum(axis=(-2, -1)))

    return moment
