"""Exact generating functionals of fields at finite width: averages of exponentials of the field."""

from __future__ import annotations

from math import gamma, lgamma, log, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..statistics.rules import legendre_rule
from .cos_net import CosNet
from .field import Field
from .neuron_moments import NeuronLaw
from .propagators import ExactValue, propagator
from .reflection_positive_net import ReflectionPositiveNet

__all__ = ["generating_functional"]

# Part of the sum over orders of Bessel functions that is left out, times the width.
_TRUNCATION = 1e-18
# Most terms of this sum, and most values of terms at momenta.
_MOST_TERMS, _MOST_VALUES = 200_000, 400_000_000
# Values of terms at momenta in memory.
_CHUNK = 1 << 20
# Nodes per panel of momenta, and of the coarser rule that gives the error; phase of the fastest wave on a panel.
_NODES, _PHASE = (24, 18), 8.0
# Momentum in units of a Gaussian cutoff beyond which nothing contributes.
_GAUSSIAN_END = 9.5
# Octaves of panels below the smallest scale if the mass is 0.
_OCTAVES = 60
# Rounding, relative to the sum of the sizes of all terms.
_ROUNDING = 2e-15


def generating_functional(field: Field, points: ArrayLike, charges: ArrayLike) -> ExactValue:
    r"""Exact generating functional of a field at points of spacetime, at its finite width N.

    .. math:: Z[J] = E\, \exp\Bigl(i \sum_i J_i\, \phi(x_i)\Bigr)
                   = \Bigl[E\, \exp\Bigl(i N^{-1/2} \sum_i J_i\, h(x_i)\Bigr)\Bigr]^N

    for independent neurons h. Two opposite charges give the two-point function of the vertex operator
    :math:`e^{i J \phi}`. The average over the phase b and the directions of the momentum k of a cosine neuron with
    amplitude A(k) is the Jacobi-Anger expansion

    .. math:: \sum_{n_1 + \dots + n_P = 0}\ \prod_i J_{n_i}\Bigl(\frac{J_i A(k)}{\sqrt N}\Bigr)\,
              \bigl\langle e^{i k \cdot \sum_i n_i x_i} \bigr\rangle

    (Watson, Theory of Bessel Functions (1944), sec. 2.22). For :math:`\alpha = 0` the amplitude is constant, and the
    rest are propagators. Otherwise one integral over \|k\| is left. For fixed momenta a reflection-positive net is
    Gaussian; its average over momenta is an integral over one or two components.

    Parameters
    ----------
    field : CosNet, ReflectionPositiveNet or a Gaussian field
        Its own ``points`` do not matter.
    points : array_like
        Shape (..., P, d), the time first.
    charges : array_like
        J, shape (..., P), unit one over the unit of the field; broadcasts with the points.

    Returns
    -------
    ExactValue
        Shape (...). Z is real, because the distribution of the field is even.

    Raises
    ------
    InputError, InputTypeError
        If shapes do not fit; the regulator is none or one of spatial momenta and :math:`\alpha \ne 0`; the points of a
        reflection-positive net do not lie on a line of space; or there are too many terms, because of large charges,
        many points or fast oscillations.

    Examples
    --------
    >>> from nnqm.fields import Regulator
    >>> field = CosNet(2, mass=0.0, width=4000, regulator=Regulator("hard", 100.0, lower=1.0))
    >>> charge = 1.414 * np.sqrt(2 * np.pi)
    >>> float(generating_functional(field, [[0.0, 0.0], [0.0, 0.0316]], [charge, -charge]).value.round(6))
    0.158124
    """
    if not isinstance(field, Field):
        raise InputTypeError(f"field must be a field of nnqm.fields; got {field!r}")
    at, j = floats("points", points), floats("charges", charges)
    if at.ndim < 2 or at.shape[-1] != field.dimension or at.shape[-2] == 0:
        raise InputError(
            f"points must have shape (..., P, {field.dimension}), the time first, for a field in {field.dimension} "
            f"dimensions; got shape {at.shape}"
        )
    try:
        j = np.array(np.broadcast_to(j, np.broadcast_shapes(j.shape, at.shape[:-1])))
        at = np.array(np.broadcast_to(at, (*j.shape, at.shape[-1])))
    except ValueError:
        raise InputError(f"charges must have shape (..., {at.shape[-2]}), one per point; got {j.shape}") from None
    shape, p = j.shape[:-1], j.shape[-1]
    at, j = at.reshape(-1, p, field.dimension), j.reshape(-1, p)
    if isinstance(field, CosNet) and field.alpha == 0:
        change, off = _constant_amplitude(field, at, j)
    elif isinstance(field, CosNet):
        change, off = _by_configuration(_radial, field, at, j)
    elif isinstance(field, ReflectionPositiveNet):
        change, off = _by_configuration(_conditional, field, at, j)
    elif field.gaussian:
        return _gaussian(field, at, j, shape)
    else:
        raise InputTypeError(f"field must be a CosNet, a ReflectionPositiveNet or a Gaussian field; got {field!r}")
    # The average over one neuron is 1 + change.
    width = field.width
    with np.errstate(divide="ignore", under="ignore"):
        size = np.exp(width * np.log1p(np.maximum(change, -1.0)))
        value = np.where(change > -1, size, (1 + change) ** width)
        error = width * np.exp((width - 1) * np.log(np.abs(1 + change) + off)) * off
    return ExactValue(value.reshape(shape), error.reshape(shape))


def _gaussian(field: Field, at: Floats, j: Floats, shape: tuple[int, ...]) -> ExactValue:
    """exp(-J G J/2)."""
    steps = at[:, :, None] - at[:, None]
    terms = field.propagator(steps[..., 0], steps[..., 1:]) * j[:, :, None] * j[:, None]
    value = np.exp(-terms.sum(axis=(1, 2)) / 2)
    return ExactValue(value.reshape(shape), (_ROUNDING * (1 + np.abs(terms).sum(axis=(1, 2))) * value).reshape(shape))


def _orders(largest: Floats, width: int) -> NDArray[np.int64]:
    """Orders of Bessel functions that add up to 0 and matter at arguments up to ``largest``, shape (terms, P).

    Of n and -n one is kept; n = 0 is left out.
    """
    tolerance = _TRUNCATION / width
    found, weights = np.zeros((1, 0)), np.ones(1)
    for z in largest:
        # |J_n(z)| <= (z/2)^n/n!, and it is below 1.
        n = np.arange(int(np.e * z) + 40)
        bound = np.minimum(1.0, np.exp(np.minimum(0.0, n * log(max(z / 2, 1e-300)) - np.vectorize(lgamma)(n + 1.0))))
        bound = np.where(n == 0, 1.0, bound)
        n, bound = np.concatenate([-n[:0:-1], n]), np.concatenate([bound[:0:-1], bound])
        size = weights[:, None] * bound
        first, second = np.nonzero(size > tolerance)
        if first.size > 40 * _MOST_TERMS:
            break
        found = np.concatenate([found[first], n[second][:, None]], axis=1)
        weights = size[first, second]
    ahead = found[np.arange(len(found)), np.argmax(found != 0, axis=1)] > 0
    found = found[(found.sum(axis=1) == 0) & ahead]
    if found.shape[1] < largest.size or len(found) > _MOST_TERMS:
        raise InputError(
            f"charges must be small enough for {_MOST_TERMS} terms; the arguments of the Bessel functions of the "
            f"{largest.size} points go up to {largest.max():.3g}",
            "use fewer points, smaller charges or a larger width, or sample the field",
        )
    return np.asarray(found, dtype=np.int64)


def _bessel_less_one(z: Floats) -> Floats:
    """J_0(z) - 1 without cancellation."""
    from scipy.special import jv

    quarter, term = np.minimum(z**2, 1.0) / 4, np.ones_like(z)
    total = np.zeros_like(z)
    for i in range(1, 12):
        term = -term * quarter / i**2
        total = total + term
    return np.asarray(np.where(np.abs(z) < 1, total, jv(0, z) - 1))


def _products(z: Floats, orders: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Products of Bessel functions at arguments (..., P): less 1 for the orders 0, and for ``orders``, (..., terms)."""
    from scipy.special import jv

    none = np.zeros(z.shape[:-1])
    products = np.ones((*z.shape[:-1], len(orders)))
    for i in range(z.shape[-1]):
        one = _bessel_less_one(z[..., i])
        none = none + one + none * one
        most = int(np.abs(orders[:, i]).max(initial=0))
        table = jv(np.arange(-most, most + 1), z[..., i, None])
        products *= table[..., orders[:, i] + most]
    return none, products


def _constant_amplitude(field: CosNet, at: Floats, j: Floats) -> tuple[Floats, Floats]:
    """The average over one neuron less 1, and its error, for alpha = 0: a sum of propagators."""
    z = j * np.sqrt(2 * field.omega / field.width)
    orders = _orders(np.abs(z).max(axis=0), field.width)
    none, products = _products(z, orders)
    steps = np.einsum("tp,cpd->ctd", orders.astype(float), at)
    waves = propagator(field.dimension, field.mass, steps[..., 0], steps[..., 1:], regulator=field.regulator)
    value = none + 2 * (products * waves.value).sum(axis=-1) / field.omega
    size = np.abs(none) + 2 * (np.abs(products) * np.abs(waves.value)).sum(axis=-1) / field.omega
    error = 2 * (np.abs(products) * waves.error).sum(axis=-1) / field.omega
    return value, error + _ROUNDING * size + len(orders) * _TRUNCATION / field.width


def _by_configuration(average, field, at: Floats, j: Floats) -> tuple[Floats, Floats]:  # type: ignore[no-untyped-def]
    """An average over one neuron, less 1, for one configuration of points and charges after another."""
    found = [average(field, x, charges) for x, charges in zip(at, j, strict=True)]
    return np.array([value for value, _ in found]), np.array([error for _, error in found])


def _radial(field: CosNet, at: Floats, j: Floats) -> tuple[float, float]:
    """The average over one neuron less 1, and its error: an integral over the magnitude of the momentum."""
    from scipy.special import hyp0f1

    f, d, alpha, mass = field.regulator, field.dimension, field.alpha, field.mass
    if f.kind == "none" or f.spatial:
        kind = "none" if f.kind == "none" else "spatial"
        raise InputError(
            f"the generating functional with alpha={alpha:g} needs a regulator of all components; got {kind}",
            "use alpha = 0, or another regulator",
        )
    if mass == 0 and f.lower == 0 and alpha < 0:
        raise InputError(
            f"the amplitude of a neuron diverges like k^{alpha:g} at small momenta, and the mass is 0",
            "use a positive mass, or a hard regulator with lower > 0",
        )
    end = f.cutoff if f.kind == "hard" else _GAUSSIAN_END * f.cutoff
    amplitude = np.sqrt(2 * field.omega / field.width)

    def arguments(k: Floats) -> Floats:
        return np.asarray(amplitude * (k**2 + mass**2)[..., None] ** (alpha / 2) * j)

    orders = _orders(np.abs(arguments(np.array([f.lower, end]))).max(axis=0), field.width)
    distance = np.sqrt((np.einsum("tp,pd->td", orders.astype(float), at) ** 2).sum(axis=-1))
    edges = _edges(field, end, float(distance.max(initial=0.0)), amplitude * float(np.abs(j).sum()))
    if len(edges) * _NODES[0] * max(1, len(orders)) > _MOST_VALUES:
        raise InputError(
            f"the average over momenta needs more than {_MOST_VALUES:,} values: {len(orders)} terms at {len(edges)} "
            "panels of momenta",
            "use fewer points, smaller charges or distances, or sample the field",
        )
    sphere = 2 * pi ** (d / 2) / gamma(d / 2) / (2 * pi) ** d / field.omega
    sums, size = [], 0.0
    for n in _NODES:
        nodes, weights = legendre_rule(n)
        half = np.diff(edges)[:, None] / 2
        k, weight = (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
        weight = weight * sphere * k ** (d - 1) * f(k) * (k**2 + mass**2) ** (-1 - alpha)
        total, many = 0.0, max(1, _CHUNK // max(1, len(orders)))
        for i in range(0, k.size, many):
            part = slice(i, i + many)
            none, products = _products(arguments(k[part]), orders)
            waves = hyp0f1(d / 2, -((k[part, None] * distance) ** 2) / 4)
            terms = weight[part] * (none + 2 * (products * waves).sum(axis=-1))
            total += float(terms.sum())
            size += float(np.abs(terms).sum() + (weight[part] * np.abs(products).sum(axis=-1)).sum())
        sums.append(total)
    return sums[0], abs(sums[0] - sums[1]) + _ROUNDING * size + len(orders) * _TRUNCATION / field.width


def _edges(field: CosNet, end: float, distance: float, amplitude: float) -> Floats:
    """Panels of the momentum on which waves and Bessel functions have bounded phases."""
    alpha, mass, start = field.alpha, field.mass, field.regulator.lower
    base = min(end, mass) / 2 if mass > 0 else end * 0.5**_OCTAVES
    edges = [start]
    while edges[-1] < end:
        k = max(edges[-1], base)
        # Both ends of a panel of an octave bound the slope of the amplitude.
        slope = max(abs(alpha) * amplitude * (q**2 + mass**2) ** (alpha / 2 - 1) * q for q in (k, 2 * k))
        edges.append(edges[-1] + min(k, _PHASE / max(distance + slope, 1e-300)))
    edges[-1] = end
    return np.array(edges)


def _conditional(field: ReflectionPositiveNet, at: Floats, j: Floats) -> tuple[float, float]:
    """The average over one neuron less 1, and its error: Gaussian for a fixed momentum."""
    position = _along_a_line(at[:, 1:])
    factors = np.outer(j, j) * float(field.variance[0]) / (2 * field.width)
    times, steps = np.abs(at[:, None, 0] - at[None, :, 0]), position[:, None] - position[None]
    # Powers of the exponent that matter, each with its harmonics.
    strength, power, term = float(np.abs(factors).sum()), 1, 1.0
    while term * strength / power > _TRUNCATION and power < 10_000:
        term *= strength / power
        power += 1
    law = NeuronLaw(field.dimension - 1, field.mass, field.cutoff)
    sums = []
    for energy, along, weight in law.rules(float(np.abs(steps).max()) * power):
        exponent = np.zeros_like(energy)
        for (a, b), factor in np.ndenumerate(factors):
            exponent -= factor * np.exp(-energy * times[a, b]) * np.cos(along * steps[a, b])
        sums.append(float((weight * np.expm1(exponent)).sum()))
    return sums[0], abs(sums[0] - sums[1]) + _ROUNDING * (1 + strength) * min(1.0, strength)


def _along_a_line(x: Floats) -> Floats:
    """Coordinates (P,) of points of space (P, d - 1) that lie on a line."""
    if x.shape[1] == 0:
        return np.zeros(len(x))
    steps = x - x[0]
    lengths = np.sqrt((steps**2).sum(axis=1))
    furthest = int(np.argmax(lengths))
    if lengths[furthest] == 0:
        return np.zeros(len(x))
    along = (steps * steps[furthest] / lengths[furthest]).sum(axis=1)
    across = np.sqrt(((steps - along[:, None] * steps[furthest] / lengths[furthest]) ** 2).sum(axis=1))
    if across.max() > 1e-13 * lengths[furthest]:
        raise InputError(
            f"points must lie on a line of space for a reflection-positive net; one is {across.max():g} off it",
            "use points on a line, or sample the field",
        )
    return np.asarray(along)
