r"""Averages of products of any number of neurons over Gaussian weights and biases.

The pre-activations of one neuron at n points are :math:`u_i = c_i \cdot z` with K standard normals z, one for each
weight and one for the bias. The average :math:`E[a(u_1) \cdots a(u_n)]` is a finite sum for sin, cos and identity. For
erf it is an integral over one path of correlation matrices for n = 4, and nested ones above (Plackett, Biometrika 41,
351 (1954)), in any number of directions. For relu it is an integral over the directions of z in up to three
dimensions, and reduces to orthants above. For other activations it is a trapezoid rule over z.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import combinations, product
from math import factorial, gamma, pi
from typing import NamedTuple

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..statistics.partitions import pairings
from ..statistics.rules import legendre_rule
from ..theories.networks import Network
from ..theories.state_modes import trapezoid

__all__ = ["ProductAverage", "plane_product", "product_average", "relu_plane_product"]

# Trapezoid rules by number of directions: half-width in standard deviations, and nodes per direction, tried in turn.
_PLANE = (12.0, (48, 96, 192, 384))
_RULES = {1: _PLANE, 2: _PLANE, 3: (9.0, (36, 72, 144)), 4: (9.0, (48, 72, 100))}
# Accuracy relative to the largest value, in up to two and in more directions.
_CONVERGED, _CONVERGED_IN_SPACE = 1e-11, 1e-9
# Rounding relative to the average size of a product.
_ROUNDING = 4e-16
# Largest number of relus in more than three directions, and squared sine of the angle below which two are parallel.
_MOST_ORTHANTS, _PARALLEL = 6, 1e-20
# Largest number of values of an activation in memory.
_CHUNK = 2**21
# Nodes between zeros of a relu in the plane; the integrand is a trigonometric polynomial there.
_ANGLES = 24
# Nodes per panel of the polar angle on the sphere, and nodes along a path of correlation matrices, tried in turn.
_POLAR, _PATH = (20, 30, 44), (12, 18, 27, 40, 60)


class ProductAverage(NamedTuple):
    """Averages of products of neurons.

    Attributes
    ----------
    value : ndarray
        Shape (m,).
    error : float
        Largest absolute error of the quadrature, estimated from the change in its last refinement; rounding is not
        included. Zero for finite sums.
    """

    value: Floats
    error: float


def product_average(activation: str, c: Floats) -> ProductAverage:
    """E[a(c_1 z) ... a(c_n z)] for standard normals z.

    Parameters
    ----------
    activation : str
        See ``Network``.
    c : ndarray
        Shape (m, n, K): m products of n neurons in K directions.

    Returns
    -------
    ProductAverage

    Raises
    ------
    InputError
        If the average does not converge because neurons are saturated, or there are too many directions: more than
        three for eight relus, and more than four for activations without a closed form.
    """
    n, directions = c.shape[1:]
    if activation == "identity":
        covariance = np.einsum("mik,mjk->mij", c, c)
        if n % 2:
            return ProductAverage(np.zeros(len(c)), 0.0)
        terms = (np.prod([covariance[:, i, j] for i, j in pairing], axis=0) for pairing in pairings(n))
        return ProductAverage(np.asarray(sum(terms)), 0.0)
    if activation in ("sin", "cos"):
        return ProductAverage(_waves(activation, c), 0.0)
    # Eight signs take three nested integrals for each pair.
    if activation == "erf" and (n < 8 or directions > 2):
        return _erf(c)
    if activation == "relu" and directions == 3:
        return _refined(lambda nodes: (_relu_sphere(c, nodes), 0.0), _POLAR, activation)
    most = 3 if activation == "relu" else max(_RULES)
    if directions > most and (activation != "relu" or n > _MOST_ORTHANTS):
        raise InputError(
            f"an average over {n} {activation} neurons in {directions} directions of weights and bias is not known: at "
            f"most {most} directions are integrated",
            "use erf, sin or cos, fewer inputs, or sample the network",
        )
    if activation == "relu" and directions > 2:
        return _refined(lambda nodes: (_relu_orthants(c, nodes), 0.0), _PATH, activation, _CONVERGED_IN_SPACE)
    if activation == "relu":
        return ProductAverage(relu_plane_product(np.concatenate([c, np.zeros_like(c)], axis=2)[:, :, :2]), 0.0)
    return _trapezoid(activation, c)


def _waves(activation: str, c: Floats) -> Floats:
    """Products of sines or cosines, sums over the signs of the exponents."""
    n = c.shape[1]
    if activation == "sin" and n % 2:
        return np.zeros(len(c))
    total = np.zeros(len(c))
    for signs in product((1, -1), repeat=n):
        together = (np.array(signs)[:, None] * c).sum(axis=1)
        total += np.exp(-(together**2).sum(axis=1) / 2) * (np.prod(signs) if activation == "sin" else 1)
    return np.asarray(total / 2**n * (-1 if activation == "sin" and n % 4 == 2 else 1))


def _refined(
    rule: Callable[[int], tuple[Floats, Floats | float]],
    orders: tuple[int, ...],
    activation: str,
    accuracy: float = _CONVERGED,
) -> ProductAverage:
    """Values of a rule whose number of nodes rises until they no longer change; it also returns averages of sizes."""
    (value, size), change = rule(orders[0]), np.inf
    for nodes in orders[1:]:
        before, (value, size) = value, rule(nodes)
        change = float(np.abs(value - before).max(initial=0.0))
        # Products of both signs may cancel to rounding.
        if change <= max(accuracy * np.abs(value).max(initial=0.0), _ROUNDING * np.max(size, initial=0.0)):
            return ProductAverage(value, change)
    raise InputError(
        f"the average over {activation} neurons has an error of {change:.1g} with {orders[-1]} nodes in each "
        "direction: they are saturated; use smaller weight_std or times, or erf, which has a closed form"
    )


def _erf(c: Floats) -> ProductAverage:
    # erf(u) is the average of sign(u + xi/sqrt 2) over standard normals xi.
    covariance = np.einsum("mik,mjk->mij", c, c) + np.eye(c.shape[1]) / 2
    spread = np.sqrt(np.einsum("mii->mi", covariance))
    ratio = covariance / (spread[:, :, None] * spread[:, None, :])
    if c.shape[1] < 4 or c.shape[1] % 2:
        return ProductAverage(_signs(ratio, 0), 0.0)
    return _refined(lambda nodes: (_signs(ratio, nodes), 1.0), _PATH, "erf")


def _signs(ratio: Floats, nodes: int) -> Floats:
    """E[sign(s_1) ... sign(s_n)] for Gaussian s of correlation matrices (m, n, n).

    The correlations grow as t from 0 to 1. The derivative of the average with respect to the one of s_i and s_j is
    4 times their density at 0 times the average of the other signs given s_i = s_j = 0.
    """
    m, n = ratio.shape[:2]
    if n % 2:
        return np.zeros(m)
    if n == 0:
        return np.ones(m)
    if n == 2:
        return np.asarray(2 / pi * np.arcsin(ratio[:, 0, 1]))
    x, weights = legendre_rule(nodes)
    # Nearly singular matrices make the integrand steep at t = 1, where the nodes are dense.
    s = (1 + x) / 2
    t, weights = 1 - s**2, weights * s
    total = np.zeros(m)
    for i, j in combinations(range(n), 2):
        rest = [k for k in range(n) if k not in (i, j)]
        rho = ratio[:, i, j, None] * t
        a, b = (t[None, :, None] * ratio[:, None, rest, k] for k in (i, j))
        given = t[None, :, None, None] * ratio[:, None][:, :, rest][..., rest]
        given = given + (1 - t)[None, :, None, None] * np.eye(n - 2)
        ab = a[..., :, None] * b[..., None, :]
        explained = a[..., :, None] * a[..., None, :] + b[..., :, None] * b[..., None, :]
        explained = explained - rho[..., None, None] * (ab + np.swapaxes(ab, -1, -2))
        given = given - explained / (1 - rho**2)[..., None, None]
        spread = np.sqrt(np.einsum("mtii->mti", given))
        given = given / (spread[..., :, None] * spread[..., None, :])
        others = _signs(given.reshape(-1, n - 2, n - 2), nodes).reshape(m, -1)
        total += ratio[:, i, j] * ((2 / pi / np.sqrt(1 - rho**2) * others) @ weights)
    return total


def relu_plane_product(c: Floats) -> Floats:
    """E[relu(c_1 z) ... relu(c_n z)] for two standard normals z, exact to rounding; c has shape (m, n, 2), n even."""
    # In polar coordinates each pre-activation is r (c_1 cos + c_2 sin), and E r^n = 2^(n/2) (n/2)!. Between the zeros
    # of the factors the angular part is a trigonometric polynomial.
    half = c.shape[1] // 2
    return np.asarray(2**half * factorial(half) / (2 * np.pi) * _relu_circle(c[:, :, 0], c[:, :, 1], None))


def _relu_circle(c1: Floats, c2: Floats, c0: Floats | None) -> Floats:
    """Integrals of the product of relu(c_0 + c_1 cos + c_2 sin) over the angle; coefficients have shape (m, n)."""
    zeros = np.arctan2(-c1, c2)
    if c0 is None:
        edges = np.concatenate([zeros % (2 * np.pi), (zeros + np.pi) % (2 * np.pi)], axis=1)
    else:
        # c_1 cos + c_2 sin is size times the sine of the angle from the first zero.
        size = np.hypot(c1, c2)
        shift = np.arcsin(np.clip(-c0 / np.where(size > 0, size, 1.0), -1, 1))
        edges = np.concatenate([(zeros + shift) % (2 * np.pi), (zeros + np.pi - shift) % (2 * np.pi)], axis=1)
    edges = np.sort(edges, axis=1)
    edges = np.concatenate([edges, edges[:, :1] + 2 * np.pi], axis=1)
    x, weights = legendre_rule(_ANGLES)
    half = np.diff(edges)[..., None] / 2
    angle = edges[:, :-1, None] + half * (1 + x)
    h = c1[:, :, None, None] * np.cos(angle)[:, None] + c2[:, :, None, None] * np.sin(angle)[:, None]
    if c0 is not None:
        h = h + c0[:, :, None, None]
    return np.asarray(np.sum(half * weights * np.maximum(h, 0).prod(axis=1), axis=(1, 2)))


def _relu_sphere(c: Floats, nodes: int) -> Floats:
    """E[relu(c_1 z) ... relu(c_n z)] for three standard normals z, shape (m,)."""
    n = c.shape[1]
    x, weights = legendre_rule(nodes)
    # Nodes dense at both ends, where the integrand behaves as powers of the square root of the distance.
    u, weights = x * (15 - 10 * x**2 + 3 * x**4) / 8, weights * 15 / 8 * (1 - x**2) ** 2
    radial = 2 ** (n / 2) * gamma((n + 3) / 2) / gamma(1.5)
    out = np.empty(len(c))
    for row, one in enumerate(c):
        edges = np.unique(np.concatenate([[0.0, pi], _polar_edges(one)]))
        half = np.diff(edges)[:, None] / 2
        angle = (edges[:-1, None] + half * (1 + u)).ravel()
        c1, c2, c0 = (np.multiply.outer(f(angle), one[:, k]) for f, k in ((np.sin, 0), (np.sin, 1), (np.cos, 2)))
        circle = _relu_circle(c1, c2, c0) * np.sin(angle)
        out[row] = radial / (4 * pi) * float(((half * weights).ravel() * circle).sum())
    return out


def _polar_edges(c: Floats) -> Floats:
    """Polar angles at which the pattern of zeros of n relus on the sphere changes; c has shape (n, 3)."""
    # The zeros of one factor are a great circle; its smallest polar angle is the angle of its normal from the equator.
    tilt = np.arctan2(np.abs(c[:, 2]), np.hypot(c[:, 0], c[:, 1]))
    found = [tilt, pi - tilt]
    for i, j in combinations(range(len(c)), 2):
        both = np.cross(c[i], c[j])
        if np.any(both):
            angle = np.arctan2(np.hypot(both[0], both[1]), both[2])
            found += [np.atleast_1d(angle), np.atleast_1d(pi - angle)]
    return np.concatenate(found)


def _relu_orthants(c: Floats, nodes: int) -> Floats:
    """E[relu(c_1 z) ... relu(c_n z)] in any number of directions, shape (m,)."""
    return np.array([_orthant_moment(list(one), [1] * len(one), nodes) for one in c])


def _orthant_moment(vectors: list[Floats], powers: list[int], nodes: int) -> float:
    """E of the product of (v_i z)^p_i over the orthant where all v_i z are positive.

    Integration by parts lowers a power: E[u_i F] is the sum over j of Cov(u_i, u_j) E[dF/du_j] (Stein, Ann. Stat. 9,
    1135 (1981)), and the derivative of a step leaves the other factors given u_j = 0.
    """
    vectors, powers = list(vectors), list(powers)
    squares = [float((v**2).sum()) for v in vectors]
    for i, j in combinations(range(len(vectors)), 2):
        both = float((vectors[i] * vectors[j]).sum())
        apart = vectors[j] - (both / squares[i]) * vectors[i] if squares[i] > 0 else vectors[i]
        if float((apart**2).sum()) <= _PARALLEL * squares[j]:
            # Parallel factors are one factor; opposite ones are never positive together.
            if both <= 0:
                return 0.0
            scale = float((squares[j] / squares[i]) ** (powers[j] / 2))
            powers[i] += powers.pop(j)
            vectors.pop(j)
            return scale * _orthant_moment(vectors, powers, nodes)
    if not any(powers):
        return _orthant(vectors, nodes)
    first = max(range(len(powers)), key=lambda k: powers[k])
    powers[first] -= 1
    total = 0.0
    for j, v in enumerate(vectors):
        covariance = float((vectors[first] * v).sum())
        if powers[j] > 0:
            lower = [p - (k == j) for k, p in enumerate(powers)]
            total += covariance * powers[j] * _orthant_moment(vectors, lower, nodes)
        else:
            others = [
                (w - (w * v).sum() / squares[j] * v, p)
                for k, (w, p) in enumerate(zip(vectors, powers, strict=True))
                if k != j
            ]
            given = _orthant_moment([w for w, _ in others], [p for _, p in others], nodes)
            total += covariance / np.sqrt(2 * pi * squares[j]) * given
    return float(total)


def _orthant(vectors: list[Floats], nodes: int) -> float:
    """Probability that all v_i z are positive: each step is half of one plus a sign."""
    n = len(vectors)
    if n < 2:
        return float(0.5**n)
    c = np.array(vectors)
    c = c / np.sqrt((c**2).sum(axis=1))[:, None]
    ratio = np.clip(np.einsum("ik,jk->ij", c, c), -1, 1)
    total = 1.0
    for size in range(2, n + 1, 2):
        chosen = np.array(list(combinations(range(n), size)))
        total += float(_signs(ratio[chosen[:, :, None], chosen[:, None, :]], nodes).sum())
    return float(total / 2**n)


def plane_product(activation: str, c: Floats) -> Floats:
    """E[a(c_1 z) ... a(c_n z)] for two standard normals z, by the trapezoid rule; see ``product_average``.

    Parameters
    ----------
    activation : str
        See ``Network``.
    c : ndarray
        Shape (m, n, 2).

    Returns
    -------
    ndarray
        Shape (m,).

    Raises
    ------
    InputError
        If the average does not converge because neurons are saturated.
    """
    return _trapezoid(activation, c).value


def _trapezoid(activation: str, c: Floats) -> ProductAverage:
    size, n, directions = c.shape
    neuron = Network([[[1.0]]], activation=[activation])
    width, orders = _RULES[directions]

    def rule(nodes: int) -> tuple[Floats, Floats]:
        z, weights = trapezoid(width, nodes)
        plane = min(directions, 2)
        grid = [g.ravel() for g in np.meshgrid(*[z] * plane)]
        weight = reduce(np.multiply.outer, [weights] * plane).ravel()
        out, sizes = np.zeros(size), np.zeros(size)
        for index in product(range(nodes), repeat=directions - plane):
            beyond = [z[i] for i in index]
            inside = sum(g**2 for g in grid) < width**2 - sum(b**2 for b in beyond)
            at = [g[inside] for g in grid]
            if at[0].size == 0:
                continue
            step = max(_CHUNK // (n * at[0].size), 1)
            for start in range(0, size, step):
                here = c[start : start + step, :, :, None]
                h = sum(here[:, :, k] * at[k] for k in range(1, plane)) if plane > 1 else 0.0
                h = here[:, :, 0] * at[0] + h
                for k, b in enumerate(beyond):
                    h = h + here[:, :, plane + k] * b
                values = np.asarray(neuron(h[..., None])[..., 0].prod(axis=1))
                factor = float(np.prod([weights[i] for i in index]))
                out[start : start + step] += (values @ weight[inside]) * factor
                sizes[start : start + step] += (np.abs(values) @ weight[inside]) * factor
        return out, sizes

    return _refined(rule, orders, activation, _CONVERGED if directions < 3 else _CONVERGED_IN_SPACE)
