"""Propagators of free fields in any dimension and with any regulator, and their powers, each with its error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import gamma, lgamma, log, pi
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer, scale
from ..errors import InputError
from ..representation import short_repr
from ..statistics.rules import legendre_rule
from .momenta import MomentumLaw
from .regulator import Regulator

__all__ = ["ExactValue", "propagator"]

# Step of the trapezoid rule in the logarithm of Schwinger's parameter.
_STEP = 1 / 20
# Smallest power of the integrand of Schwinger's parameter, whose integral is slow near the power 0.
_SMALLEST_POWER = 0.05
# Exponent beyond which an integrand is negligible.
_NEGLIGIBLE = 45.0
# Nodes per panel of the rule that is used, and of the coarser rule that gives the error.
_NODES = (32, 24)
# Largest product of momentum and distance that is integrated along the real axis.
_MOST_PHASE = 16.0
# Nodes per panel along the rotated contour, and edges of panels of the exponential exp(-y).
_CONTOUR_NODES = (20, 16)
_CONTOUR = np.array([0.0, 1.0, 3.0, 7.0, 15.0, 30.0, 50.0])
# Octaves that panels cover below the smallest scale if the mass is 0; the power of k below is integrated exactly.
_OCTAVES = 60
# Rounding of one evaluation, relative.
_ROUNDING = 2e-15
# Numbers of an array of intermediate values.
_CHUNK = 1 << 20


@short_repr
class ExactValue(NamedTuple):
    """An exact value and the error of its numerical evaluation.

    Attributes
    ----------
    value : ndarray
        Shape S.
    error : ndarray
        Shape S. Changes on a coarser rule of quadrature, which exceed the error of the rule, and rounding. It covers
        no physics: a regulator is a part of the definition of the value.
    """

    value: Floats
    error: Floats


def propagator(
    dimension: int,
    mass: float,
    times: ArrayLike,
    displacements: ArrayLike,
    *,
    regulator: Regulator | None = None,
    power: float = 1.0,
) -> ExactValue:
    r"""The propagator of a free field in d dimensions, or another power of it.

    .. math:: \int \frac{d^dk}{(2\pi)^d}\, f(k)\, (k^2 + m^2)^{-p}\, e^{i k \cdot x}

    Without a regulator this is :math:`2^{1-p} (2\pi)^{-d/2} (m/r)^{d/2-p} K_{d/2-p}(mr)/\Gamma(p)`. With a Gaussian
    regulator the integral over Schwinger's parameter s is positive and smooth,

    .. math:: \frac{1}{\Gamma(p)} \int_0^\infty ds\, s^{p-1} e^{-m^2 s} (4\pi u)^{-d/2} e^{-r^2/4u}, \qquad
              u = s + \frac{1}{2\Lambda^2}

    (Zinn-Justin, Quantum Field Theory and Critical Phenomena (2002), sec. 9.1; a regulator of spatial momenta leaves s
    in place of u for the time). A hard cutoff is integrated along the real axis at short distances. At long distances
    the integral beyond the cutoff, along a contour on which its integrand decays, is subtracted from the propagator
    without a cutoff.

    Parameters
    ----------
    dimension : int
        d, time included, at least 1.
    mass : float
        m, unit of momentum, not negative.
    times : array_like
        Unit of length.
    displacements : array_like
        Unit of length; the last axis has d - 1 components, its other axes broadcast with the times.
    regulator : Regulator, optional
        f; by default none.
    power : float, default 1
        p. It may be negative with a regulator of all components; with a regulator of spatial momenta it is above 1/2,
        without a regulator it is positive.

    Returns
    -------
    ExactValue
        The common shape. The error is about 1e-14, relative to the value with a Gaussian regulator or none, and
        relative to the largest part of the integral with a hard cutoff.

    Raises
    ------
    InputError
        If the integral diverges (the message names the power), for example because two points coincide.

    Examples
    --------
    >>> propagator(2, 1.0, [0.5, 1.0, 3.0], [0.0]).value.round(8)
    array([0.14712586, 0.06700812, 0.00552896])
    """
    d, rest = integer("dimension", dimension, 1), float(floats("mass", mass, 0))
    rest = scale("mass", rest) if rest else 0.0
    p, f = float(floats("power", power, 0)), Regulator() if regulator is None else regulator
    t, x = _distances(d, times, displacements)
    shape = t.shape
    need_finite(d, rest, p, f, "the propagator" if p == 1 else f"the integral of (k^2 + m^2)^{-p:g}", np.hypot(t, x))
    pairs, back = np.unique(t.ravel() + 1j * x.ravel(), return_inverse=True)
    t, x = np.ascontiguousarray(pairs.real), np.ascontiguousarray(pairs.imag)
    value, error = np.empty_like(t), np.empty_like(t)
    if f.kind == "none":
        value[:] = _free(d, rest, p, np.hypot(t, x))
        error[:] = np.abs(value) * _ROUNDING * (1 + rest * np.hypot(t, x))
    elif f.kind == "gaussian":
        value[:], error[:] = _schwinger(d, rest, p, f, t, x)
    elif f.spatial:
        value[:], error[:] = _hard(d, rest, p, f, t, x)
    else:
        value[:], error[:] = _hard(d, rest, p, f, np.zeros_like(t), np.hypot(t, x))
    return ExactValue(value[back].reshape(shape), error[back].reshape(shape))


def average_wave(n: int, z: Floats) -> Floats:
    """Average of a plane wave exp(ik.x) over the directions of k in n dimensions, z = k x.

    Parameters
    ----------
    n : int
        At least 1.
    z : ndarray
        Any shape.

    Returns
    -------
    ndarray
        Shape of z: cos z, J_0(z), sin(z)/z, ...
    """
    from scipy.special import hyp0f1, j0

    if n == 1:
        return np.asarray(np.cos(z))
    if n == 2:
        return np.asarray(j0(z))
    return np.asarray(np.sinc(z / pi) if n == 3 else hyp0f1(n / 2, -(z**2) / 4))


def _distances(d: int, times: ArrayLike, displacements: ArrayLike) -> tuple[Floats, Floats]:
    """Distances in time and in space, of one shape."""
    t, x = np.abs(floats("times", times)), floats("displacements", displacements)
    if x.ndim == 0 or x.shape[-1] != d - 1:
        raise InputError(
            f"displacements must have {d - 1} component{'s' if d != 2 else ''} along the last axis, because the field "
            f"has {d} dimensions; got shape {x.shape}"
        )
    # The largest component is taken out, so that squares do not overflow.
    largest = np.abs(x).max(axis=-1, initial=0.0)
    unit = np.where(largest > 0, largest, 1.0)
    size = largest * np.sqrt(((x / unit[..., None]) ** 2).sum(axis=-1)) if x.shape[-1] > 1 else largest
    try:
        both = np.broadcast_arrays(t, size)
    except ValueError:
        raise InputError(
            f"times must broadcast with displacements[..., 0]; got shapes {t.shape} and {x.shape}"
        ) from None
    return np.array(both[0]), np.array(both[1])


def need_finite(d: int, mass: float, power: float, regulator: Regulator, what: str, r: ArrayLike = 0.0) -> None:
    """Raise InputError if the integral of ``propagator`` diverges at one of the distances; the message names the power.

    Parameters
    ----------
    d, mass, power, regulator
        As in ``propagator``.
    what : str
        The quantity that needs the integral, for the message.
    r : array_like, default 0
        Distances. Without a regulator an integral may diverge at the distance 0 alone.

    Raises
    ------
    InputError
        If the integral diverges.
    """
    if regulator.spatial and regulator.kind != "none":
        if power <= 0.5:
            raise InputError(
                f"{what} diverges at large frequencies: the integrand falls like k^{-2 * power:g} and must fall faster "
                "than 1/k",
                "use a regulator of all components",
            )
        MomentumLaw(d - 1, mass, power - 0.5, regulator).need_integral(what)
        return
    law = MomentumLaw(d, mass, power, regulator)
    at_zero = np.argwhere(np.asarray(r) == 0)
    if regulator.kind != "none" or power <= 0:
        law.need_integral(what)
        return
    # Small momenta matter at every distance, large ones at the distance 0.
    MomentumLaw(d, mass, power, Regulator("hard", 1.0)).need_integral(what)
    if at_zero.size or (np.ndim(r) == 0 and r == 0):
        place = f" at position {tuple(map(int, at_zero[0]))}" if np.ndim(r) else ""
        law.need_integral(f"{what} at coinciding points{place}" if np.ndim(r) else what)


def _free(d: int, mass: float, power: float, r: Floats) -> Floats:
    """The integral without a regulator; for powers at which it diverges its analytic continuation in the power."""
    from scipy.special import kv, rgamma

    order = d / 2 - power
    found = np.empty_like(r)
    massive = mass > 0
    if massive:
        with np.errstate(all="ignore"):
            found = (mass / r) ** order * kv(order, mass * r)
        found *= 2 ** (1 - power) * (2 * pi) ** (-d / 2) * rgamma(power)
    # Closer than this the mass does not matter, and K would overflow.
    near = ~np.isfinite(found) | (r == 0) if massive else np.ones(r.shape, dtype=bool)
    if near.any():
        if order < 0:
            found[near] = (4 * pi) ** (-d / 2) * gamma(-order) * rgamma(power) * mass ** (2 * order)
        else:
            found[near] = r[near] ** (-2 * order) * gamma(order) * rgamma(power) * 4**-power * pi ** (-d / 2)
    return found


def _schwinger(d: int, mass: float, power: float, regulator: Regulator, t: Floats, x: Floats) -> tuple[Floats, Floats]:
    """The integral with a Gaussian regulator, by the trapezoid rule in a function of Schwinger's parameter."""
    shift = 0.5 / regulator.cutoff**2
    if not regulator.spatial:
        t, x = np.zeros_like(t), np.hypot(t, x)
    # If the power is not positive, whole powers of k^2 + m^2 act on the heat kernel.
    lifts = max(0, int(np.ceil(_SMALLEST_POWER - power)))
    if power <= 0 and power == int(power):
        heat, size = _heat(d, mass, -int(power), shift, x)
        return heat, _ROUNDING * (1 + x**2 / shift) * size
    value, error = np.empty_like(t), np.empty_like(t)
    for at in (np.flatnonzero(t == 0), np.flatnonzero(t > 0)):
        rule = partial(_trapezoid, d, mass, power + lifts, lifts, regulator.spatial, shift)
        value[at], error[at] = _in_parts(rule, 4000, t[at], x[at])
    return value, error


def _in_parts(rule: Callable[..., tuple[Floats, Floats]], nodes: int, *arrays: Floats) -> tuple[Floats, Floats]:
    """Values and errors of a rule with so many nodes per entry, entries in parts that fit in memory."""
    many = max(1, _CHUNK // nodes)
    parts = [rule(*(a[i : i + many] for a in arrays)) for i in range(0, arrays[0].size, many)]
    if not parts:
        return np.empty(0), np.empty(0)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _trapezoid(
    d: int, mass: float, q: float, lifts: int, spatial: bool, shift: float, t: Floats, x: Floats
) -> tuple[Floats, Floats]:
    """Schwinger's integral and its error for times that are all 0 or all positive."""
    r = np.hypot(t, x)
    space, head = (d - 1, q - 0.5) if spatial else (d, q)
    unit = min(shift, mass**-2) if mass > 0 else shift
    # w is ln s at moderate s; the ends are stretched where the integrand falls only like a power of s.
    if t[0] > 0:
        low = float(2 * np.log(t.min()) - np.log(4 * (60 + mass * r.max() + x.max() ** 2 / (4 * shift)) * unit))
    else:
        low = -log(1 + _NEGLIGIBLE / head)
    top = np.log(np.maximum(shift, r**2) / unit) + 2
    if mass > 0:
        high = log((mass * r.max() + 60 + 4 * q) / (mass**2 * unit)) + 1
    else:
        high = float(top.max()) + log(1 + _NEGLIGIBLE / (d / 2 - q + lifts))
    w = _STEP * np.arange(int(low / _STEP) - 2, int(high / _STEP) + 3)
    stretch = np.zeros_like(w) if t[0] > 0 else np.exp(-w)
    beyond = np.exp(np.minimum(w - top[:, None], 300.0)) if mass == 0 else np.zeros((1, 1))
    log_s = np.minimum(log(unit) + w - stretch + beyond, 600.0)
    s = np.exp(log_s)
    with np.errstate(under="ignore", over="ignore", divide="ignore", invalid="ignore"):
        # t^2/4s, where both may be below the range of float64.
        lag = np.exp(2 * np.log(t[:, None]) - log_s) / 4
        exponent = head * log_s - mass**2 * s - space / 2 * np.log(4 * pi * (s + shift)) - lag
        exponent -= x[:, None] ** 2 / (4 * (s + shift)) + lgamma(q) + (log(4 * pi) / 2 if spatial else 0.0)
        parts = np.exp(exponent) * (1 + stretch + beyond) * _STEP
    if lifts:
        parts = parts * _lifted(d, mass, lifts, s + shift, x[:, None])
    value, coarse = parts.sum(axis=1), 2 * parts[:, ::2].sum(axis=1)
    rounding = _ROUNDING * (1 + mass * r) * np.abs(parts).sum(axis=1)
    return value, np.abs(value - coarse) + rounding


def _lifted(d: int, mass: float, lifts: int, u: Floats, x: Floats) -> Floats:
    """(m^2 - Laplacian)^lifts of the heat kernel in d dimensions after the time u, divided by the heat kernel."""
    from scipy.special import binom, eval_genlaguerre

    z = x**2 / (4 * u)
    terms = [
        binom(lifts, j) * mass ** (2 * (lifts - j)) * gamma(j + 1) * u**-j * eval_genlaguerre(j, d / 2 - 1, z)
        for j in range(lifts + 1)
    ]
    return np.asarray(sum(terms))


def _heat(d: int, mass: float, lifts: int, shift: float, x: Floats) -> tuple[Floats, Floats]:
    """The integral of (k^2 + m^2)^lifts with a Gaussian regulator in closed form, and the size of its terms."""
    kernel = np.exp(-(x**2) / (4 * shift)) * (4 * pi * shift) ** (-d / 2)
    factor = _lifted(d, mass, lifts, np.array(shift), x)
    return kernel * factor, kernel * (np.abs(factor) + (mass**2 + (1 + x**2 / shift) / shift) ** lifts)


class _Hard(NamedTuple):
    """A hard cutoff: n components of momentum are cut off; if ``spatial``, the frequency is integrated before."""

    n: int
    mass: float
    power: float
    lower: float
    cutoff: float
    spatial: bool

    def factor(self, k: NDArray[Any], t: Floats) -> NDArray[Any]:
        """The integrand without its plane wave, a function of the magnitude k."""
        squares = k**2 + self.mass**2
        if not self.spatial:
            return np.asarray(k ** (self.n - 1) * squares**-self.power)
        return np.asarray(k ** (self.n - 1) * _frequency_integral(self.power, np.sqrt(squares), t))


def _frequency_integral(power: float, omega: NDArray[Any], t: Floats) -> NDArray[Any]:
    r"""The integral of e^{ik t} (k^2 + omega^2)^-power over dk/2 pi, with e^{-omega t}/(2 omega) for the power 1."""
    from scipy.special import kv

    if power == 1:
        return np.asarray(np.exp(-omega * t) / (2 * omega))
    order = power - 0.5
    z = np.asarray(omega * t)
    at_zero = 2 ** (order - 1) * gamma(order)
    with np.errstate(all="ignore"):
        bessel = z**order * kv(order, z)
    bessel = np.where((np.abs(z) < 1e-200) | ~np.isfinite(bessel), at_zero, bessel)
    return np.asarray(bessel * omega ** (1 - 2 * power) * 2 ** (1 - power) / gamma(power) / (2 * pi) ** 0.5)


def _hard(d: int, mass: float, power: float, regulator: Regulator, t: Floats, x: Floats) -> tuple[Floats, Floats]:
    """The integral with a hard cutoff of the momenta with n components; t is 0 if n = d."""
    cut = _Hard(d - regulator.spatial, mass, power, regulator.lower, regulator.cutoff, regulator.spatial)
    axis = partial(_in_parts, partial(_along_axis, cut), 2048)
    contour = partial(_in_parts, partial(_contour, cut), 256)
    value, error = np.zeros_like(t), np.zeros_like(t)
    end = np.full_like(t, cut.cutoff)
    # Beyond this momentum exp(-omega t) is negligible, relative to its largest value.
    decays = _NEGLIGIBLE / np.maximum(t, 1e-300)
    with np.errstate(over="ignore"):  # the reach is then infinite, and the cutoff is smaller
        reach = cut.lower + mass + decays + np.sqrt(2 * mass * decays) if mass > 0 else cut.lower + decays
    end = np.minimum(end, reach)
    short = end * x <= _MOST_PHASE
    if short.any():
        value[short], error[short] = _along_axis(
            cut, np.full(int(short.sum()), cut.lower), end[short], t[short], x[short]
        )
    if not short.all():
        t, x = t[~short], x[~short]
        part, off = contour(np.full_like(t, cut.cutoff), t, x)
        if cut.lower == 0:
            whole = _free(d, mass, power, np.hypot(t, x))
            far = np.abs(whole) * _ROUNDING * (1 + mass * np.hypot(t, x))
        else:
            split = np.maximum(cut.lower, _MOST_PHASE / x)
            near, near_error = axis(np.full_like(t, cut.lower), split, t, x)
            beyond, beyond_error = contour(split, t, x)
            whole, far = near + beyond, near_error + beyond_error
        value[~short], error[~short] = whole - part, far + off
    return value, error


def _along_axis(cut: _Hard, start: Floats, end: Floats, t: Floats, x: Floats) -> tuple[Floats, Floats]:
    """The integral over momenta from ``start`` to ``end``, on panels that double in length."""
    if cut.mass > 0:
        scale = np.minimum(end, np.minimum(cut.mass, np.sqrt(cut.mass / np.maximum(t, 1e-200)))) / 2
    else:
        scale = np.maximum(end * 0.5**_OCTAVES, start)
    octaves = int(np.ceil(np.log2((end / scale).max()))) if t.size else 0
    edges = np.concatenate([np.zeros((t.size, 1)), scale[:, None] * 2.0 ** np.arange(octaves + 1)], axis=1)
    edges = np.clip(edges, start[:, None], end[:, None])
    sums = []
    for n in _NODES:
        nodes, weights = legendre_rule(n)
        half = np.diff(edges, axis=1)[..., None] / 2
        k = edges[:, :-1, None] + half * (1 + nodes)
        wave = average_wave(cut.n, k * x[:, None, None])
        terms = cut.factor(k, t[:, None, None]) * wave * half * weights
        if cut.mass == 0:
            terms[:, 0] = 0.0
        sums.append(terms.sum(axis=(1, 2)))
    total = sums[0]
    size = np.abs(terms).sum(axis=(1, 2))
    if cut.mass == 0 and cut.lower == 0:
        # Below the panels the integrand is a power of k.
        total = total + scale * cut.factor(scale, t) / (cut.n + cut.spatial - 2 * cut.power)
        sums[1] = sums[1] + (total - sums[0])
    sphere = 2 * pi ** (cut.n / 2) / gamma(cut.n / 2) / (2 * pi) ** cut.n
    return total * sphere, (np.abs(total - sums[1]) + _ROUNDING * size) * sphere


def _outgoing_wave(n: int, z: NDArray[Any]) -> NDArray[Any]:
    """z^(1 - n/2) H_(n/2 - 1)(z)/(2 pi)^(n/2), of which the real part at real z is the sum over directions."""
    from scipy.special import hankel1e

    if n in (1, 3):
        return np.asarray(np.exp(1j * z) * (1 / pi if n == 1 else -0.5j / (pi**2 * z)))
    return np.asarray((2 * pi) ** (-n / 2) * z ** (1 - n / 2) * hankel1e(n / 2 - 1, z) * np.exp(1j * z))


def _contour(cut: _Hard, start: Floats, t: Floats, x: Floats) -> tuple[Floats, Floats]:
    """The integral over momenta from ``start`` to infinity, along the ray on which plane wave and decay fall."""
    squares = t**2 + x**2
    ray = ((t + 1j * x) / squares)[:, None, None]
    t, x, start = (a[:, None, None] for a in (t, x, start))
    sums = []
    for n in _CONTOUR_NODES:
        nodes, weights = legendre_rule(n)
        half = np.diff(_CONTOUR)[:, None] / 2
        k = start + ray * (_CONTOUR[:-1, None] + half * (1 + nodes))
        z = k * x
        wave = _outgoing_wave(cut.n, z)
        sums.append(cut.factor(k, t) * wave * ray * half * weights)
    fine, coarse = (s.sum(axis=(1, 2)).real for s in sums)
    size = np.abs(sums[0]).sum(axis=(1, 2)) * (1 + (start * x)[:, 0, 0])
    return fine, np.abs(fine - coarse) + _ROUNDING * size
