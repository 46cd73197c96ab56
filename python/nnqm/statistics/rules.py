"""Weighted sums of values: Gauss-Legendre quadrature, Legendre coefficients, extrapolation to zero."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from .._arguments import Floats

__all__ = ["extrapolation_weights", "legendre_analysis", "legendre_rule"]

# Steps of Newton's method; four reach rounding.
_NEWTON_STEPS = 6


@lru_cache
def legendre_rule(n: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss-Legendre quadrature on [-1, 1], shapes (n,); exact to degree 2n - 1.

    Newton's method from an asymptotic formula; NumPy's rule has last bits that depend on its BLAS.
    """
    x = -np.cos(np.pi * (np.arange(1, n + 1) - 0.25) / (n + 0.5))
    for _ in range(_NEWTON_STEPS):
        value, slope = _legendre(n, x)
        x = x - value / slope
    x = (x - x[::-1]) / 2
    w = 1 / ((1 - x**2) * _legendre(n, x)[1] ** 2)
    w *= 2 / w.sum()
    for shared in (x, w):
        shared.setflags(write=False)
    return x, w


def _legendre(n: int, x: Floats) -> tuple[Floats, Floats]:
    """P_n and its derivative between -1 and 1."""
    before, value = np.zeros_like(x), np.ones_like(x)
    for k in range(n):
        before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
    return value, n * (before - x * value) / (1 - x**2)


@lru_cache
def legendre_analysis(n: int) -> Floats:
    r"""Matrix from values at the n nodes of ``legendre_rule`` to Legendre coefficients, shape (n, n).

    .. math:: c_k = (k + 1/2) \sum_j w_j P_k(x_j) f(x_j)

    Discrete orthogonality, exact for polynomials of degree n - 1.
    """
    x, w = legendre_rule(n)
    return np.asarray((legendre.legvander(x, n - 1) * w[:, None]).T * (np.arange(n) + 0.5)[:, None])


def extrapolation_weights(n: int, power: float = 1.0) -> Floats:
    r"""Weights that extrapolate values at 1, ..., n to zero, shape (n,).

    The weights evaluate the polynomial of degree n - 1 in k^power through all values (Lagrange's formula),

    .. math:: w_k = \prod_{j \ne k} \frac{j^p}{j^p - k^p} .

    For power 1 they are :math:`(-1)^{k+1} \binom{n}{k}`.
    """
    nodes = np.arange(1, n + 1) ** power
    ratio = nodes[None, :] / (nodes[None, :] - nodes[:, None] + np.eye(n))
    np.fill_diagonal(ratio, 1.0)
    return np.asarray(ratio.prod(axis=1))
