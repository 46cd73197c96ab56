"""Functions of position as operators: diagonal on the points of a basis, or integrals if the points miss a feature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from ..errors import InputError
from ..statistics.rules import legendre_rule
from .dvr import Basis
from .functions import Function, values_of
from .pieces import resolve

__all__ = ["Multiplication", "Operator", "act", "multiplication"]

Operator = str | Function

# Error of a function on the points that is rounding, as a part of the norm of its product with low states.
_ROUNDING = 1e-10

# Number of low states, and Gauss-Legendre nodes of a panel.
_STATES, _NODES = 8, 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiplication:
    """A function of position as an operator on a basis.

    Attributes
    ----------
    function : callable
        Vectorised f(x).
    values : ndarray
        f(x_i), shape (N,).
    matrix : ndarray or None
        Integrals of chi_i f chi_j, shape (N, N), for a function with jumps, kinks or structure between the points;
        None if the values serve.
    """

    function: Callable[[Floats], Floats]
    values: Floats
    matrix: Floats | None = None

    def times(self, other: Multiplication, basis: Basis) -> Multiplication:
        """The product of two functions as one operator."""

        def product(x: Floats) -> Floats:
            return self.function(x) * other.function(x)

        return multiplication(product, basis)

    def __matmul__(self, vectors: NDArray[Any]) -> NDArray[Any]:
        if self.matrix is not None:
            return np.asarray(self.matrix @ vectors)
        return np.asarray((self.values if vectors.ndim == 1 else self.values[:, None]) * vectors)


def multiplication(function: Function | None, basis: Basis) -> Multiplication:
    """A function f(x), or x itself if it is None, as an operator on a basis.

    Raises
    ------
    InputError, InputTypeError
        If f is no function with finite real values, or has structure on more scales than panels resolve.
    """
    values = values_of(function, basis.points)

    def called(x: Floats) -> Floats:
        return values_of(function, x)

    if function is None:
        return Multiplication(function=called, values=values)
    law = basis.vectors[:, 0] ** 2
    mean = float(law @ values)
    scale = float(np.sqrt(law @ (values - mean) ** 2)) or float(np.ptp(values)) or 1.0
    low, high = basis.ends
    inner = float(np.interp(0.5, np.cumsum(law), basis.points))
    try:
        pieces = resolve(called, (low, high), mean, scale, np.array([inner]))
    except InputError as reason:
        raise InputError(f"observable is too rough: {reason}") from None
    own = basis.panels()
    edges = np.unique(np.concatenate([own, (own[1:] + own[:-1]) / 2, pieces.edges]))
    edges = edges[(edges >= low) & (edges <= high)]
    edges = edges[np.append(True, np.diff(edges) > 1e-14 * (high - low))]
    z, weights = legendre_rule(_NODES)
    widths = np.diff(edges)
    x = (edges[:-1, None] + widths[:, None] * ((z + 1) / 2)).ravel()
    w = (widths[:, None] / 2 * weights).ravel()
    f = called(x)
    matrix, low_states = np.zeros((len(values),) * 2), basis.vectors[:, :_STATES]
    rows = max(1, 2**22 // len(values))
    parts = [(basis.amplitudes(x[i : i + rows]), (w * f)[i : i + rows]) for i in range(0, len(x), rows)]
    exact = sum(a.T @ (g[:, None] * (a @ low_states)) for a, g in parts)
    error = np.linalg.norm(exact - values[:, None] * low_states, axis=0)
    if np.all(error <= _ROUNDING * np.maximum(np.linalg.norm(exact, axis=0), 1e-300)):
        return Multiplication(function=called, values=values)
    for a, g in parts:
        matrix += a.T @ (g[:, None] * a)
    return Multiplication(function=called, values=values, matrix=matrix)


def act(operator: Operator, basis: Basis, vectors: NDArray[Any]) -> NDArray[Any]:
    """Apply an operator to columns of coefficients."""
    if callable(operator):
        return multiplication(operator, basis) @ vectors
    name = choice("operator", operator, ["x", "p", "p^2", "H"])
    if name == "x":
        return np.asarray(basis.points[:, None] * vectors)
    if name == "p":
        return np.asarray(-1j * basis.hbar * (basis.derivative @ vectors))
    return np.asarray((basis.matrix if name == "H" else 2 * basis.mass * basis.kinetic) @ vectors)
