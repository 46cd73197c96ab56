"""Exact generating functionals of fields at finite width: averages of exponentials of the field."""

from __future__ import annotations

from collections.abc import Callable
from math import e, gamma, log, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..statistics.rules import legendre_rule
from .cos_net import CosNet
from .field import Field
from .neuron_moments import NeuronLaw
from .propagators import ExactValue, average_wave, propagator
from .reflection_positive_net import ReflectionPositiveNet

__all__ = ["generating_functional"]

# Part of the sum over orders of Bessel functions that is left out, times the width.
_TRUNCATION = 1e-18
# Most terms of this sum, and most values of terms at momenta.
_MOST_TERMS, _MOST_VALUES = 200_000, 100_000_000
# Terms beyond which an integral over directions in two dimensions takes less time.
_FEW_TERMS = 500
# Orders up to which Bessel functions are evaluated one by one.
_DIRECT_ORDERS = 12
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
    rest are propagators. Otherwise an integral over the magnitude of k is left, or in two dimensions over k. For fixed
    momenta a reflection-positive net is Gaussian; its average over momenta is an integral over one or two components.

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
    if isinstance(field, CosNet):
        change, off = _cosines(field, at, j)
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


def _orders(largest: Floats, width: int) -> NDArray[np.int64] | None:
    """Orders of Bessel functions that add up to 0 and matter at arguments up to ``largest``, shape (terms, P).

    One of n and -n is kept, and n = 0 is left out. None if there are too many.
    """
    from scipy.special import gammaln

    tolerance = _TRUNCATION / width
    found, weights = np.zeros((1, 0), dtype=np.int64), np.ones(1)
    for z in largest:
        # |J_n(z)| <= (z/2)^n/n!, and it is below 1.
        n = np.arange(int(e * z) + 40)
        bound = np.exp(np.minimum(0.0, n * log(max(z / 2, 1e-300)) - gammaln(n + 1.0)))
        n, bound = n[bound > tolerance], bound[bound > tolerance]
        n, bound = np.concatenate([-n[:0:-1], n]), np.concatenate([bound[:0:-1], bound])
        if weights.size * n.size > 20 * _MOST_TERMS:
            return None
        size = weights[:, None] * bound
        first, second = np.nonzero(size > tolerance)
        found = np.concatenate([found[first], n[second][:, None]], axis=1)
        weights = size[first, second]
    ahead = found[np.arange(len(found)), np.argmax(found != 0, axis=1)] > 0
    found = found[(found.sum(axis=1) == 0) & ahead]
    return found if len(found) <= _MOST_TERMS else None


def _too_many(largest: Floats) -> InputError:
    return InputError(
        f"charges must be small enough for {_MOST_TERMS} terms; the arguments of the Bessel functions of the "
        f"{largest.size} points go up to {largest.max():.3g}",
        "use fewer points, smaller charges or a larger width, or sample the field",
    )


def _bessel_less_one(z: Floats) -> Floats:
    """J_0(z) - 1 without cancellation."""
    from scipy.special import jv

    quarter, term = np.minimum(z**2, 1.0) / 4, np.ones_like(z)
    total = np.zeros_like(z)
    for i in range(1, 12):
        term = -term * quarter / i**2
        total = total + term
    return np.asarray(np.where(np.abs(z) < 1, total, jv(0, z) - 1))


def _bessel_table(z: Floats, most: int) -> Floats:
    """J_n(z) for n = -most ... most, along a last axis."""
    from scipy.special import jv

    if most <= _DIRECT_ORDERS:
        return np.asarray(jv(np.arange(-most, most + 1), z[..., None]))
    # Fourier coefficients of exp(i z sin t), to an absolute error of rounding.
    count = 2 * (most + int(np.abs(z).max(initial=0.0)) + 40)
    waves = np.exp(1j * z[..., None] * np.sin(2 * np.pi * np.arange(count) / count))
    return np.asarray((np.fft.fft(waves).real / count)[..., np.arange(-most, most + 1)])


def _products(z: Floats, orders: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Products of Bessel functions at arguments (..., P): less 1 for the orders 0, and for ``orders``, (..., terms)."""
    none = np.zeros(z.shape[:-1])
    products = np.ones((*z.shape[:-1], len(orders)))
    for i in range(z.shape[-1]):
        one = _bessel_less_one(z[..., i])
        none = none + one + none * one
        most = int(np.abs(orders[:, i]).max(initial=0))
        table = _bessel_table(z[..., i], most)
        products *= table[..., orders[:, i] + most]
    return none, products


def _cosines(field: CosNet, at: Floats, j: Floats) -> tuple[Floats, Floats]:
    """The average over one neuron of a cos-net less 1, and its error."""
    f, alpha = field.regulator, field.alpha
    whole = f.kind != "none" and not f.spatial
    if alpha == 0:
        z = j * np.sqrt(2 * field.omega / field.width)
        largest = np.abs(z).max(axis=0)
        orders = _orders(largest, field.width)
        if orders is not None:
            return _constant_amplitude(field, at, z, orders)
        if not whole or field.dimension > 2:
            raise _too_many(largest)
    if not whole:
        raise InputError(
            f"the generating functional with alpha={alpha:g} needs a regulator of all components; got {f!r}",
            "use alpha = 0, or another regulator",
        )
    if field.mass == 0 and f.lower == 0 and alpha < 0:
        raise InputError(
            f"the amplitude of a neuron diverges like k^{alpha:g} at small momenta, and the mass is 0",
            "use a positive mass, or a hard regulator with lower > 0",
        )
    return _by_configuration(_over_directions if field.dimension == 1 else _radial, field, at, j)


def _constant_amplitude(field: CosNet, at: Floats, z: Floats, orders: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The average for alpha = 0, arguments z of the Bessel functions (..., P): a sum of propagators."""
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


def _amplitude(field: CosNet, k: Floats) -> Floats:
    """Amplitude of a neuron over the root of the width."""
    return np.asarray(np.sqrt(2 * field.omega / field.width) * (k**2 + field.mass**2) ** (field.alpha / 2))


def _end(field: CosNet) -> float:
    """Momentum beyond which nothing contributes."""
    return field.regulator.cutoff * (1.0 if field.regulator.kind == "hard" else _GAUSSIAN_END)


def _momenta(field: CosNet, edges: Floats, n: int) -> tuple[Floats, Floats]:
    """Magnitudes of the momentum (panels, n), and weights of averages over their law."""
    d, (nodes, weights) = field.dimension, legendre_rule(n)
    half = np.diff(edges)[:, None] / 2
    k = edges[:-1, None] + half * (1 + nodes)
    density = k ** (d - 1) * field.regulator(k) * (k**2 + field.mass**2) ** (-1 - field.alpha)
    sphere = 2 * pi ** (d / 2) / gamma(d / 2) / (2 * pi) ** d / field.omega
    return k, half * weights * density * sphere


def _over_directions(field: CosNet, at: Floats, j: Floats) -> tuple[float, float]:
    r"""The average in one and two dimensions: J_0(A |sum_i J_i e^(ik x_i)|) at momenta and directions."""
    charge, size = float(np.abs(j).sum()), float(np.sqrt(((at[:, None] - at) ** 2).sum(axis=-1)).max())

    def distance(k: float) -> float:
        # Powers of the squared argument that matter have so many times the bandwidth of the square.
        squared = (charge * float(_amplitude(field, np.array(k)))) ** 2 / 4
        power, term = 1, 1.0
        while term * squared > power**2 * _TRUNCATION:
            term *= squared / power**2
            power += 1
        return power * size

    edges = _edges(field, _end(field), distance, charge)
    angles = [2 * int(distance(k) * k / 2 + 16) if field.dimension == 2 else 1 for k in edges[1:]]
    many = sum(angles) * _NODES[0] * len(j)
    if many > _MOST_VALUES:
        raise InputError(
            f"the average over momenta must need at most {_MOST_VALUES:,} values; it needs {many:.2g}",
            "use smaller charges or distances or a smaller cutoff, or sample the field",
        )
    sums, terms, half = [], 0.0, 0.0
    for n in _NODES:
        total = 0.0
        for k, weight, count in zip(*_momenta(field, edges, n), angles, strict=True):
            # The trapezoid rule over half a turn; J_0 is even.
            angle = pi * np.arange(count) / count
            directions = np.stack([np.cos(angle), np.sin(angle)])[: field.dimension]
            phase = np.einsum("k,pd,da->pka", k, at, directions)
            wave = np.einsum("p,pka->ka", j, np.cos(phase)) ** 2 + np.einsum("p,pka->ka", j, np.sin(phase)) ** 2
            values = _bessel_less_one(_amplitude(field, k)[:, None] * np.sqrt(wave))
            total += float((weight * values.mean(axis=1)).sum())
            terms += float((weight * np.abs(values).mean(axis=1)).sum())
            half += abs(float((weight * (values.mean(axis=1) - values[:, ::2].mean(axis=1))).sum()))
        sums.append(total)
    return sums[0], abs(sums[0] - sums[1]) + half + _ROUNDING * terms


def _radial(field: CosNet, at: Floats, j: Floats) -> tuple[float, float]:
    """The average in any dimension: the sum over orders, integrated over the magnitude of the momentum."""
    end = _end(field)
    largest = np.abs(j) * _amplitude(field, np.array([field.regulator.lower, end])).max()
    orders = _orders(largest, field.width)
    if field.dimension == 2 and (orders is None or len(orders) > _FEW_TERMS):
        return _over_directions(field, at, j)
    if orders is None:
        raise _too_many(largest)
    distance = np.sqrt((np.einsum("tp,pd->td", orders.astype(float), at) ** 2).sum(axis=-1))
    longest = float(distance.max(initial=0.0))
    edges = _edges(field, end, lambda k: longest, float(np.abs(j).sum()))
    if len(edges) * _NODES[0] * max(1, len(orders)) > _MOST_VALUES:
        raise InputError(
            f"the average over momenta must need at most {_MOST_VALUES:,} values; it needs {len(orders)} terms at "
            f"{len(edges)} panels of momenta",
            "use fewer points, smaller charges or distances, or sample the field",
        )
    sums, size = [], 0.0
    for n in _NODES:
        k, weight = (a.ravel() for a in _momenta(field, edges, n))
        total, many = 0.0, max(1, _CHUNK // max(256, 4 * len(orders)))
        for i in range(0, k.size, many):
            part = slice(i, i + many)
            none, products = _products(_amplitude(field, k[part])[:, None] * j, orders)
            waves = average_wave(field.dimension, k[part, None] * distance)
            terms = weight[part] * (none + 2 * (products * waves).sum(axis=-1))
            total += float(terms.sum())
            size += float(np.abs(terms).sum() + (weight[part] * np.abs(products).sum(axis=-1)).sum())
        sums.append(total)
    return sums[0], abs(sums[0] - sums[1]) + _ROUNDING * size + len(orders) * _TRUNCATION / field.width


def _edges(field: CosNet, end: float, distance: Callable[[float], float], charge: float) -> Floats:
    """Panels of the momentum on which waves and Bessel functions have bounded phases."""
    mass, start = field.mass, field.regulator.lower
    base = min(end, mass) / 2 if mass > 0 else end * 0.5**_OCTAVES
    edges = [start]
    while edges[-1] < end:
        k = max(edges[-1], base)
        # Both ends of a panel of an octave bound the slope of the amplitude.
        q = np.array([k, 2 * k])
        slope = float((abs(field.alpha) * charge * _amplitude(field, q) * q / (q**2 + mass**2)).max())
        edges.append(edges[-1] + min(k, _PHASE / max(distance(k) + slope, 1e-300)))
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
