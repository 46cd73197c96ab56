r"""Closed form of relu networks with one hidden layer on several standard normal inputs.

A neuron :math:`\mathrm{relu}(a\cdot z + b)` is a function of one standard normal variable, :math:`\hat a\cdot z`, with
Hermite coefficients C_n. Its coefficients for several inputs are
:math:`c_\alpha = C_n \sqrt{n!/\alpha!} \prod_i \hat a_i^{\alpha_i}` with :math:`n = |\alpha|`, and

.. math:: \sum_{|\alpha| = n} c_\alpha(a) c_\alpha(a') = C_n C_n' (\hat a\cdot\hat a')^n .

Grids do not resolve the kinks, which are lines or planes.
"""

from __future__ import annotations

import numpy as np

from .._arguments import Floats
from ..statistics.rules import legendre_rule

__all__ = ["moments", "multi_indices", "orthants", "relu_coefficients"]

# Half-width of the outer integrals, in standard deviations.
_WIDTH = 9.0
# Number of panels of the outer variable, and of nodes per panel by the fine and the coarse rule.
_PANELS, _NODES, _FEWER = 18, 16, 11
# Number of nodes of the outermost of two variables, by the fine and the coarse rule.
_OUTER = (96, 64)
# Number of nodes of the integral over the correlation.
_ANGLES = 96
# Number of random frames, from which the best is chosen: kinks nearly parallel to the inner axis make the outer
# function steep.
_FRAMES = 200


def _cumulative(x: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def _density(x: Floats) -> Floats:
    return np.asarray(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def relu_coefficients(scale: Floats, offset: Floats, order: int) -> Floats:
    """C_n = E[relu(scale z + offset) h_n(z)], n = 0 ... order, scale > 0, shape (H, order + 1)."""
    u = offset / scale
    out = np.empty((scale.size, order + 1))
    out[:, 0] = scale * (u * _cumulative(u) + _density(u))
    out[:, 1] = scale * _cumulative(u)
    # Hermite polynomials at -u times the root of the density do not overflow.
    root = np.sqrt(_density(u))
    below, here = np.zeros_like(u), root.copy()
    for n in range(2, order + 1):
        out[:, n] = scale * root * here / np.sqrt(n * (n - 1.0))
        below, here = here, (-u * here - np.sqrt(n - 2.0) * below) / np.sqrt(n - 1.0)
    return out


def orthants(u: Floats, correlation: Floats) -> Floats:
    r"""Probabilities P(x_j > -u_j, x_k > -u_k) of standard normal pairs with given correlations, shape (H, H).

    .. math:: \Phi(u_j)\Phi(u_k) + \frac{1}{2\pi} \int_0^{\arcsin\rho}
              \exp\left(-\frac{u_j^2 - 2 u_j u_k \sin\theta + u_k^2}{2\cos^2\theta}\right) d\theta

    (Drezner and Wesolowsky, J. Stat. Comput. Simul. 35, 101 (1990)).
    """
    x, w = legendre_rule(_ANGLES)
    # Near 1 the arc sine amplifies rounding: it loses half of the digits.
    rho = np.where(np.abs(correlation) > 1 - 1e-14, np.sign(correlation), correlation)
    end = np.arcsin(rho)[..., None]
    theta = end / 2 * (1 + x)
    j, k = u[:, None, None], u[None, :, None]
    # (u_j - u_k)^2 is a separate term, which avoids cancellation at correlations near 1.
    exponent = (j - k) ** 2 / (2 * np.maximum(np.cos(theta) ** 2, 1e-300)) + j * k / (1 + np.sin(theta))
    integral = (end[..., 0] / 2) * (np.exp(-exponent) @ w) / (2 * np.pi)
    return np.asarray(_cumulative(u)[:, None] * _cumulative(u) + integral)


def multi_indices(dimension: int, order: int) -> Floats:
    """All multi-indices alpha with 1 <= |alpha| <= order, shape (k, D)."""
    grid = np.stack(np.meshgrid(*[np.arange(order + 1)] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    total = grid.sum(axis=1)
    return np.asarray(grid[(total > 0) & (total <= order)], dtype=np.float64)


def moments(a: Floats, b: Floats, v: Floats, slopes: Floats) -> tuple[Floats, float, Floats]:
    r"""Averages of f = sum_j v_j relu(a_j z + b_j) over two or three standard normal variables z.

    The innermost integral is exact between kinks; panels of the next integral end at intersections of kinks.

    Parameters
    ----------
    a, b, v : ndarray
        Input weights, biases and output weights, shapes (H, D), (H,) and (H,).
    slopes : ndarray
        Derivatives of active neurons, shape (H, D'), in the squared gradient g = sum_i (sum_active v_j slopes_ji)^2.

    Returns
    -------
    powers : ndarray
        E f, E f^2, E f^3, E f^4, shape (4,).
    squared : float
        E g^2.
    errors : ndarray
        Relative changes of these five averages with a coarser rule for the outermost variable, shape (5,).
    """
    a = a @ _frame(a / np.linalg.norm(a, axis=1, keepdims=True))
    if a.shape[1] == 2:
        fine, coarse = (_plane(a, b, v, slopes, nodes) for nodes in (_NODES, _FEWER))
    else:
        fine, coarse = (_space(a, b, v, slopes, nodes) for nodes in _OUTER)
    sizes = np.append(fine[1] ** (np.arange(1, 5) / 2), max(fine[4], 1e-300))
    return fine[:4], float(fine[4]), np.abs(fine - coarse) / sizes


def _frame(directions: Floats) -> Floats:
    """Orthonormal columns; the first is as far as possible from a right angle with every direction."""
    dimension = directions.shape[1]
    candidates = np.random.default_rng(1).normal(size=(_FRAMES, dimension))
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    best = candidates[np.argmax(np.abs(candidates @ directions.T).min(axis=1))]
    frame, _ = np.linalg.qr(np.column_stack([best, np.eye(dimension)])[:, : dimension + 1])
    return np.asarray(frame[:, :dimension])


def _space(a: Floats, b: Floats, v: Floats, slopes: Floats, nodes: int) -> Floats:
    z, step = np.linspace(-_WIDTH, _WIDTH, nodes, retstep=True)
    weights = step * _density(z)
    planes = [_plane(a[:, :2], b + a[:, 2] * s, v, slopes, _FEWER) for s in z]
    return np.asarray(weights @ np.array(planes))


def _plane(a: Floats, b: Floats, v: Floats, slopes: Floats, nodes: int) -> Floats:
    """E f^k, k = 1 ... 4, and E g^2 over two variables, shape (5,)."""
    # In the first variable the kink of neuron j is at -(b_j + a_j2 y)/a_j1; kinks of j and k meet at y = ``meet``.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, start = a[:, 1] / a[:, 0], b / a[:, 0]
        meet = -(start[:, None] - start) / (ratio[:, None] - ratio)
    meet = meet[np.isfinite(meet) & (np.abs(meet) < _WIDTH)]
    edges = np.union1d(np.linspace(-_WIDTH, _WIDTH, _PANELS + 1), meet)
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-12])]
    x, w = legendre_rule(nodes)
    half = np.diff(edges)[:, None] / 2
    y = (edges[:-1, None] + half * (1 + x)).ravel()
    weights = (half * w).ravel() * _density(y)
    kinks = -(start + ratio * y[:, None])
    order = np.argsort(kinks, axis=1)
    sorted_kinks = np.take_along_axis(kinks, order, axis=1)
    rising = a[:, 0] > 0
    # From left to right: falling neurons are active at first, and each kink switches a neuron on or off.
    switch = np.where(rising, 1.0, -1.0)

    def pieces(values: Floats) -> Floats:
        """Sums over active neurons on each piece, shape (Y, H + 1), of terms of each neuron, shape (Y, H)."""
        first = np.where(rising, 0.0, values).sum(axis=1, keepdims=True)
        steps = np.take_along_axis(switch * values, order, axis=1)
        return np.asarray(np.concatenate([first, first + np.cumsum(steps, axis=1)], axis=1))

    shape = kinks.shape
    slope = pieces(np.broadcast_to(v * a[:, 0], shape))
    level = pieces(v * (b + a[:, 1] * y[:, None]))
    gradient = np.zeros((len(y), a.shape[0] + 1))
    for column in slopes.T:
        gradient += pieces(np.broadcast_to(v * column, shape)) ** 2
    # Moments of the density between successive kinks: integrals of t^m phi.
    cumulative, density = _cumulative(sorted_kinks), _density(sorted_kinks)
    ends = np.concatenate([np.zeros((len(y), 1)), cumulative, np.ones((len(y), 1))], axis=1)
    m = [np.diff(ends, axis=1)]
    powers = [density * sorted_kinks**k for k in range(4)]
    walls = [np.pad(p, ((0, 0), (1, 1))) for p in powers]
    m.append(-np.diff(walls[0], axis=1))
    for k in (2, 3, 4):
        m.append((k - 1) * m[k - 2] - np.diff(walls[k - 1], axis=1))
    out = []
    for k, binomials in enumerate(((1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 4, 6, 4, 1)), start=1):
        total = np.zeros_like(level)
        for i, binomial in enumerate(binomials):
            total += binomial * slope**i * level ** (k - i) * m[i]
        out.append(total.sum(axis=1))
    out.append((gradient**2 * m[0]).sum(axis=1))
    return np.array([weights @ values for values in out])
