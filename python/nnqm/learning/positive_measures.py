"""The positive measure of rates whose integrals come nearest to given numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._arguments import Floats

__all__: list[str] = []

# Rates of the first grid, and of the grid on which the optimality of a measure is tested.
_FIRST, _FINE = 120, 4000

# Most refinements of the grid, and the largest gain of a further rate relative to the residual that is left.
_REFINEMENTS, _OPTIMAL = 40, 1e-7


def nearest_measure(
    kernel: Callable[[Floats], Floats], white: Floats, values: Floats, rates: tuple[float, float], enough: float
) -> tuple[float, Floats]:
    r"""Least squares over positive measures, :math:`\min_{\rho \ge 0} |W (\int a(E) d\rho(E) - v)|^2`.

    Non-negative least squares on a grid to which the rate of the largest gain is added until none is left, so that the
    grid does not matter.

    Parameters
    ----------
    kernel : callable
        The integrands a(E), from rates of shape (n,) to shape (K, n), unit 1/time.
    white : ndarray
        Whitening W, shape (K, K).
    values : ndarray
        Numbers v, shape (K,).
    rates : (float, float)
        Lowest and highest rate of the grid; 0 is added.
    enough : float
        A minimum below this is not refined.

    Returns
    -------
    squared : float
        The minimum.
    functional : ndarray
        Weights u, shape (K,), with :math:`u \cdot a(E) \le 0` for all rates and :math:`u \cdot v` the minimum, which
        proves that no positive measure has the integrals v (Farkas' lemma).
    """
    from scipy.optimize import nnls

    def columns(energies: Floats) -> Floats:
        # Unit length: a column of high rate stands for a small weight there.
        found = white @ kernel(energies)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=0), 1e-300))

    target = white @ values
    fine = np.concatenate([[0.0], np.geomspace(*rates, _FINE)])
    tested, basis = columns(fine), columns(np.concatenate([[0.0], np.geomspace(*rates, _FIRST)]))
    residual, squared = target, np.inf
    for _ in range(_REFINEMENTS):
        weights, _ = nnls(basis, target, maxiter=50 * basis.shape[1])
        residual = target - basis @ weights
        squared = float(residual @ residual)
        gain = residual @ tested
        best = int(gain.argmax())
        if squared <= enough or gain[best] <= _OPTIMAL * np.sqrt(squared):
            break
        around = fine[max(best - 1, 0) : best + 2]
        near = columns(np.linspace(around[0], around[-1], 33))
        top = near[:, [int((residual @ near).argmax())]]
        basis = np.concatenate([basis[:, weights > 0], top, tested[:, [best]]], axis=1)
    return squared, np.asarray(white.T @ residual)
