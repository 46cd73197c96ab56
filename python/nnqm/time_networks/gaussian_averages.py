r"""Averages of products of neurons over correlated Gaussian pre-activations, the steps of infinite-width recursions.

The average E[a(u) a(v)] has a closed form for erf (Williams, Neural Comput. 10, 1203 (1998)), relu (Cho and Saul, NIPS
2009), sin, cos and identity. For other activations it is a sum over Hermite polynomials, by Mehler's formula, to 1e-11
of the largest value. The average E[a'(u) a'(v)] of slopes is its derivative with respect to the covariance of u and v
(Price, IRE Trans. Inf. Theory 4, 69 (1958)).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..theories.networks import Network
from ..theories.state_modes import hermite_functions, trapezoid

__all__ = ["average", "slope_average"]

# Half-width in standard deviations, and accuracy relative to the largest value.
_WIDTH, _CONVERGED = 12.0, 1e-11
# Nodes and highest Hermite polynomial, tried in turn until the accuracy is reached.
_ORDERS = ((320, 100), (320, 200), (640, 500), (1000, 1500), (2000, 4000))
# Largest number of variances in one piece of an expansion.
_PIECE = 2**12


def average(activation: str, first: Floats, second: Floats, both: Floats) -> Floats:
    """E[a(u) a(v)] for Gaussian u, v of mean zero.

    Parameters
    ----------
    activation : str
        See ``Network``.
    first, second, both : ndarray
        Variances of u and of v, and their covariance, arrays that broadcast.

    Returns
    -------
    ndarray
        The shape of ``both``.

    Raises
    ------
    InputError
        If the average does not converge: for large variances neurons saturate, and the activation is nearly
        discontinuous.
    """
    if activation in _AVERAGES:
        return np.asarray(_AVERAGES[activation](first, second, both))
    neuron = Network([[[1.0]]], activation=[activation])
    return _expanded(lambda z: neuron(z[..., None])[..., 0], activation, first, second, both)


def slope_average(activation: str, first: Floats, second: Floats, both: Floats) -> Floats:
    """E[a'(u) a'(v)] for Gaussian u, v of mean zero.

    Parameters
    ----------
    activation : str
        See ``Network``.
    first, second, both : ndarray
        Variances of u and of v, and their covariance, arrays that broadcast.

    Returns
    -------
    ndarray
        The shape of ``both``.

    Raises
    ------
    InputError
        If the average does not converge, see ``average``.
    """
    if activation in _SLOPES:
        return np.asarray(_SLOPES[activation](first, second, both))
    neuron = Network([[[1.0]]], activation=[activation])
    return _expanded(
        lambda z: neuron.derivatives(z[..., None])[1][..., 0, 0], f"slopes of {activation}", first, second, both
    )


def _expanded(function: Callable[[Floats], Floats], name: str, first: Floats, second: Floats, both: Floats) -> Floats:
    if max(first.size, second.size) > _PIECE:
        flat = [x.ravel() for x in np.broadcast_arrays(first, second, both)]
        parts = [_expanded(function, name, *(x[i : i + _PIECE] for x in flat)) for i in range(0, both.size, _PIECE)]
        return np.concatenate(parts).reshape(both.shape)
    size = np.sqrt(first * second)
    rho = np.clip(both / np.where(size > 0, size, 1.0), -1, 1)
    for nodes, order in _ORDERS:
        (c, lost), (d, lost_too) = (_hermite(function, x, nodes, order) for x in (first, second))
        # The rest of the sum is at most the geometric mean of both losses (Cauchy-Schwarz).
        if max(lost, lost_too) > _CONVERGED:
            continue
        total = np.zeros(rho.shape)
        for n in range(order, -1, -1):
            total *= rho
            total += c[n] * d[n]
        return total
    raise InputError(
        f"the average over {name} neurons has an error of {max(lost, lost_too):.1g} with {order} "
        "polynomials: they are saturated; use smaller weight_std or times, or erf, which has a closed form"
    )


def _hermite(function: Callable[[Floats], Floats], variance: Floats, nodes: int, order: int) -> tuple[Floats, float]:
    """Coefficients c_n = E[a(sigma z) h_n(z)], shape (n, ...), and the fraction of E[a^2] that they miss.

    E[a(u) a(v)] is the sum of c_n d_n rho^n (Mehler's formula).
    """
    z, weights = trapezoid(_WIDTH, nodes)
    values = function(z[:, None] * np.sqrt(variance.ravel()))
    c = (np.sqrt(weights) * hermite_functions(z, weights, order)) @ values
    whole = weights @ values**2
    lost = np.abs(whole - np.sum(c**2, axis=0)).max(initial=0.0) / whole.max(initial=np.finfo(float).tiny)
    return np.asarray(c.reshape(order + 1, *variance.shape)), float(lost)


def _erf_average(first: Floats, second: Floats, both: Floats) -> Floats:
    return np.asarray(2 / np.pi * np.arcsin(2 * both / np.sqrt((1 + 2 * first) * (1 + 2 * second))))


def _erf_slopes(first: Floats, second: Floats, both: Floats) -> Floats:
    return np.asarray(4 / np.pi / np.sqrt((1 + 2 * first) * (1 + 2 * second) - 4 * both**2))


def _angle(first: Floats, second: Floats, both: Floats) -> tuple[Floats, Floats]:
    size = np.sqrt(first * second)
    return size, np.arccos(np.clip(both / np.where(size > 0, size, 1.0), -1, 1))


def _relu_average(first: Floats, second: Floats, both: Floats) -> Floats:
    size, angle = _angle(first, second, both)
    return np.asarray(size / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)))


def _relu_slopes(first: Floats, second: Floats, both: Floats) -> Floats:
    size, angle = _angle(first, second, both)
    # The slope at 0 is 0.
    return np.where(size > 0, (np.pi - angle) / (2 * np.pi), 0.0)


def _wave_average(sign: float) -> Callable[[Floats, Floats, Floats], Floats]:
    def average(first: Floats, second: Floats, both: Floats) -> Floats:
        apart, together = np.exp(both - (first + second) / 2), np.exp(-both - (first + second) / 2)
        return np.asarray((apart + sign * together) / 2)

    return average


_AVERAGES: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "identity": lambda first, second, both: both,
    "erf": _erf_average,
    "relu": _relu_average,
    "sin": _wave_average(-1.0),
    "cos": _wave_average(1.0),
}
_SLOPES: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "identity": lambda first, second, both: np.ones_like(both),
    "erf": _erf_slopes,
    "relu": _relu_slopes,
    # The slope of sin is cos, and the one of cos is -sin.
    "sin": _AVERAGES["cos"],
    "cos": _AVERAGES["sin"],
}
