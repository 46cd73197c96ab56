"""States of a Hamiltonian as vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from .basis import Bases
from .dvr import Basis
from .functions import Function, evaluate, values_of
from .observables import Operator, act, multiplication

__all__ = ["State", "coefficients_of"]

# Largest number of levels of a basis tried for a wave function, and the fraction of its norm that may be missing.
_MOST_LEVELS, _MISSING = 128, 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class State:
    r"""A vector in the Hilbert space of a Hamiltonian, real or complex, not necessarily normalised.

    States can be added, subtracted, and multiplied by numbers. A call returns the wave function

    .. math:: \psi(x) = \sum_i c_i \chi_i(x), \qquad
              \chi_i(x) = h^{-1/2} \operatorname{sinc}\frac{x - x_i}{h} \;\text{on a grid of spacing } h .

    States come from ``Hamiltonian.eigenstate`` and ``Hamiltonian.state``.

    Attributes
    ----------
    hamiltonian : Hamiltonian
    coefficients : ndarray
        c_i = sqrt(w_i) psi(x_i) in the orthonormal basis, w_i the weights of the points, shape (N,).

    Examples
    --------
    >>> oscillator = nnqm.Hamiltonian([0, 0, 0.5])
    >>> ground, first = oscillator.eigenstate(0), oscillator.eigenstate(1)
    >>> both = (ground + first) / np.sqrt(2)
    >>> round(both.expectation("x"), 10), round(both.evolve(np.pi).expectation("x"), 10)
    (0.7071067812, -0.7071067812)
    """

    # A Hamiltonian; its module imports this one.
    hamiltonian: Any
    coefficients: NDArray[Any]
    _basis: Basis

    def __repr__(self) -> str:
        return f"State(norm={self.norm():.6g}, {len(self.coefficients)} points, {self.hamiltonian!r})"

    @property
    def grid(self) -> Floats:
        """Positions x_i, shape (N,)."""
        return self._basis.points.copy()

    @property
    def values(self) -> NDArray[Any]:
        """psi(x_i) on the grid, shape (N,)."""
        return np.asarray(self.coefficients / np.sqrt(self._basis.weights))

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """psi(x) at points of any shape, unit 1/sqrt(length) if normalised.

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        ndarray
            Shape of ``x``.
        """
        return self._basis.interpolate(self.coefficients, floats("x", x))

    def _new(self, coefficients: NDArray[Any]) -> State:
        return State(self.hamiltonian, coefficients, self._basis)

    def _together(self, other: State) -> tuple[NDArray[Any], NDArray[Any], Basis]:
        """Coefficients of both states in the basis that carries more levels."""
        if not isinstance(other, State):
            raise InputTypeError(f"other must be a State; got {other!r}")
        if other.hamiltonian != self.hamiltonian:
            raise InputError("states must belong to one Hamiltonian; got two that differ")
        if self._basis is other._basis:
            return self.coefficients, other.coefficients, self._basis
        basis = max(self._basis, other._basis, key=lambda b: len(b.errors))
        return self._in(basis), other._in(basis), basis

    def _in(self, basis: Basis) -> NDArray[Any]:
        if basis is self._basis:
            return self.coefficients
        return np.asarray(self._basis.interpolate(self.coefficients, basis.points) * np.sqrt(basis.weights))

    def __add__(self, other: State) -> State:
        if not isinstance(other, State):
            return NotImplemented
        a, b, basis = self._together(other)
        return State(self.hamiltonian, a + b, basis)

    def __neg__(self) -> State:
        return self._new(-self.coefficients)

    def __sub__(self, other: State) -> State:
        return self + -other if isinstance(other, State) else NotImplemented

    def __mul__(self, factor: complex) -> State:
        if not isinstance(factor, int | float | complex | np.number) or not np.isfinite(factor):
            raise InputTypeError(
                f"a state is multiplied by finite numbers; got {factor!r}; use apply for functions of x"
            )
        return self._new(self.coefficients * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: complex) -> State:
        return self * (1 / divisor)

    # A NumPy scalar on the left uses the multiplication of the state.
    __array_ufunc__ = None

    def inner(self, other: State) -> complex:
        """<self|other>, antilinear in the first state; a float if both are real.

        Parameters
        ----------
        other : State
            Another state of the same Hamiltonian.

        Returns
        -------
        complex or float

        Raises
        ------
        InputError
            If the states belong to different Hamiltonians.
        """
        a, b, _ = self._together(other)
        value = np.vdot(a, b)
        return complex(value) if np.iscomplexobj(value) else float(value)

    def norm(self) -> float:
        """sqrt(<psi|psi>).

        Returns
        -------
        float
        """
        return float(np.linalg.norm(self.coefficients))

    def normalised(self) -> State:
        """The state divided by its norm.

        Returns
        -------
        State
            Of norm 1.

        Raises
        ------
        InputError
            If the norm is zero.
        """
        norm = self.norm()
        if norm == 0:
            raise InputError("a state of norm 0 cannot be normalised")
        return self / norm

    def apply(self, operator: Operator) -> State:
        """A|psi>.

        Parameters
        ----------
        operator : {"x", "p", "p^2", "H"} or callable
            p = -i hbar d/dx; a callable is a real function f(x) of position.

        Returns
        -------
        State
            A new state, in general not normalised.

        Raises
        ------
        InputError
            If the operator is unknown, or the function is not finite on the grid, or the product has jumps or kinks.
        """
        if not callable(operator):
            return self._new(act(operator, self._basis, self.coefficients[:, None])[:, 0])
        f = multiplication(operator, self._basis)
        product = self._new(f @ self.coefficients)
        if f.matrix is not None:
            square = self.expectation(lambda x: f.function(x) ** 2) * self.norm() ** 2
            missing = square - product.norm() ** 2
            if missing > _MISSING * square:
                raise InputError(
                    f"operator makes a function with jumps or kinks, of which the basis misses {missing / square:.1e} "
                    "of the norm; use expectation, element or uncertainty, or a smoother function"
                )
        return product

    def element(self, operator: Operator, other: State) -> complex:
        """<self|A|other> for the operators of ``apply``; a float if the states and the operator are real.

        Parameters
        ----------
        operator : {"x", "p", "p^2", "H"} or callable
            As for ``apply``.
        other : State
            Another state of the same Hamiltonian.

        Returns
        -------
        complex or float

        Raises
        ------
        InputError
            If the operator is unknown, or the states belong to different Hamiltonians.
        """
        a, b, basis = self._together(other)
        value = np.vdot(a, act(operator, basis, b[:, None])[:, 0])
        return complex(value) if np.iscomplexobj(value) else float(value)

    def expectation(self, operator: Operator) -> float:
        """<psi|A|psi>/<psi|psi> of a Hermitian operator of ``apply``.

        Parameters
        ----------
        operator : {"x", "p", "p^2", "H"} or callable
            As for ``apply``.

        Returns
        -------
        float
        """
        return float(self.element(operator, self).real / self.norm() ** 2)

    def uncertainty(self, operator: Operator) -> float:
        """Standard deviation sqrt(<A^2> - <A>^2), as the norm of (A - <A>)|psi>.

        Parameters
        ----------
        operator : {"x", "p", "p^2", "H"} or callable
            As for ``apply``.

        Returns
        -------
        float
            Unit of the operator.
        """
        if callable(operator) and multiplication(operator, self._basis).matrix is not None:
            mean = self.expectation(operator)
            return float(np.sqrt(self.expectation(lambda x: (values_of(operator, x) - mean) ** 2)))
        rest = self.apply(operator) - self * self.expectation(operator)
        return rest.norm() / self.norm()

    def evolve(self, time: float) -> State:
        """exp(-i H t/hbar)|psi>: real time.

        Parameters
        ----------
        time : float
            t of any sign, unit time.

        Returns
        -------
        State
        """
        t = float(floats("time", time, 0))
        return self._function_of_energy(lambda e: np.exp(-1j * e * (t / self._basis.hbar)))

    def evolve_euclidean(self, time: float) -> State:
        """exp(-H t/hbar)|psi>: Euclidean time, t >= 0.

        Parameters
        ----------
        time : float
            t >= 0, unit time.

        Returns
        -------
        State

        Raises
        ------
        InputError
            If t < 0, where high levels would dominate.
        """
        t = float(floats("time", time, 0))
        if t < 0:
            raise InputError(f"time must not be negative; got {t:g}")
        return self._function_of_energy(lambda e: np.exp(-e * (t / self._basis.hbar)))

    def _function_of_energy(self, g: Callable[[Floats], NDArray[Any]]) -> State:
        u = self._basis.vectors
        return self._new(u @ (g(self._basis.energies) * (u.T @ self.coefficients)))


def coefficients_of(values: Function | ArrayLike, bases: Bases) -> tuple[NDArray[Any], Basis]:
    """Coefficients of a wave function, shape (N,), in the first basis that represents it; see ``Hamiltonian.state``."""
    if not callable(values):
        basis = bases.carrying(1)
        given = np.asarray(values)
        if given.shape != basis.points.shape or given.dtype.kind not in "fciu" or not np.isfinite(given).all():
            raise InputError(
                f"values must be {len(basis.points)} finite numbers, one for each point of grid; "
                f"got shape {given.shape} of {given.dtype}"
            )
        return given * np.sqrt(basis.weights), basis
    count, bound = 1, bases.n_bound
    while True:
        basis = bases.carrying(count)
        coefficients, missing = _projected(values, basis, bases.potential.ends)
        if missing < _MISSING:
            return coefficients, basis
        count = 2 * max(len(basis.errors), count)
        if count > _MOST_LEVELS or (bound is not None and count > bound):
            break
    raise InputError(
        f"values must be a wave function that the basis represents; {missing:.1e} of its norm is missing on "
        f"[{basis.points[0]:g}, {basis.points[-1]:g}] with spacing {basis.spacing:.2g}; make it smoother or narrower"
    )


def _projected(values: Function, basis: Basis, known: tuple[float, float]) -> tuple[NDArray[Any], float]:
    """Coefficients of a function from its values on the grid, and the part of its norm that they miss."""
    x = basis.points
    psi = evaluate("values", values, x, kinds="fciub")
    coefficients = psi * np.sqrt(basis.weights)
    # Midpoints, and points beyond both ends over the length of the grid.
    beyond = (x[0] - (x[-1] - x)[:-1], x[-1] + (x - x[0])[1:])
    finer = np.concatenate([(x[1:] + x[:-1]) / 2, *beyond])
    weights = np.concatenate([np.diff(x), np.diff(x), np.diff(x)])
    inside = (finer >= known[0]) & (finer <= known[1])
    finer, weights = finer[inside], weights[inside]
    exact = evaluate("values", values, finer, kinds="fciub")
    rest = basis.interpolate(coefficients, finer) - exact
    norm = np.sqrt(np.sum(weights * np.abs(exact) ** 2))
    if norm == 0 and not coefficients.any():
        raise InputError("values must not vanish on the whole grid; got zero everywhere")
    return coefficients, float(np.sqrt(np.sum(weights * np.abs(rest) ** 2)) / max(norm, 1e-300))
