"""Eigenstates and products of dense matrices by the core; the bits depend neither on NumPy's BLAS nor on threads.

Stacks of matrices are shared among threads, one matrix each. ``numpy.linalg`` and ``@`` would leave the order of the
sums to the BLAS, and its threads cost more than they save for the small matrices of an analysis.
"""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arguments import Floats

__all__ = ["eigenstates", "eigenvalues", "generalised_eigenstates", "product"]


def eigenvalues(matrices: Floats) -> Floats:
    """Eigenvalues, ascending, of symmetric matrices.

    Parameters
    ----------
    matrices : ndarray
        Shape (..., k, k); the lower triangle is read.

    Returns
    -------
    ndarray
        Shape (..., k).
    """
    values, _ = _core.symmetric_eigenstates(matrices=_stack(matrices), vectors=False, n_threads=0)
    return values.reshape(matrices.shape[:-1])


def eigenstates(matrices: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, ascending, and orthonormal eigenvectors of symmetric matrices.

    Parameters
    ----------
    matrices : ndarray
        Shape (..., k, k); the lower triangle is read.

    Returns
    -------
    values, vectors : ndarray
        Shapes (..., k) and (..., k, k), a column per eigenvector.
    """
    values, rows = _core.symmetric_eigenstates(matrices=_stack(matrices), vectors=True, n_threads=0)
    return values.reshape(matrices.shape[:-1]), np.swapaxes(rows.reshape(matrices.shape), -1, -2)


def generalised_eigenstates(metrics: Floats, matrices: Floats) -> tuple[Floats, Floats]:
    """Solutions of matrix v = lambda metric v, the states v normalised in the metric.

    Parameters
    ----------
    metrics, matrices : ndarray
        Symmetric, shape (..., k, k); the lower triangles are read.

    Returns
    -------
    values, states : ndarray
        Eigenvalues, ascending, shape (..., k), and a column per state, shape (..., k, k).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a metric is not positive definite.
    """
    try:
        values, rows = _core.generalised_eigenstates(metrics=_stack(metrics), matrices=_stack(matrices), n_threads=0)
    except ValueError as error:
        raise np.linalg.LinAlgError(str(error)) from None
    return values.reshape(matrices.shape[:-1]), np.swapaxes(rows.reshape(matrices.shape), -1, -2)


def product(a: Floats, b: Floats) -> Floats:
    """Products a @ b of stacks of matrices whose leading axes are equal, or of which one has no leading axes.

    Parameters
    ----------
    a, b : ndarray
        Shapes (..., i, j) and (..., j, k).

    Returns
    -------
    ndarray
        Shape (..., i, k).
    """
    leading = a.shape[:-2] or b.shape[:-2]
    if a.size == 0 or b.size == 0:
        return np.zeros((*leading, a.shape[-2], b.shape[-1]))
    turned = np.swapaxes(b, -1, -2)
    # A transposed view is not copied.
    transposed = turned.flags.c_contiguous and not b.flags.c_contiguous
    made = _core.products(a=_stack(a), b=_stack(turned if transposed else b), transposed_b=transposed, n_threads=0)
    return made.reshape(*leading, a.shape[-2], b.shape[-1])


def _stack(matrices: Floats) -> Floats:
    """The matrices on one leading axis."""
    return matrices.reshape(-1, *matrices.shape[-2:])
