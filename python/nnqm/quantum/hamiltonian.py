"""Any Hamiltonian p^2/2m + V(x): levels, wave functions, states as vectors, Euclidean functions, ground-state chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, integer, positive
from ..display import Drawn
from ..representation import card
from .basis import FINE, Bases, need_distinct
from .chain import GroundStateChain, ground_state_chain
from .functions import Function
from .measures import SpectralMeasure
from .observables import Operator, act
from .potential import Potential
from .states import State, coefficients_of
from .time_functions import correlation, n_point, partition_function, spectral_measure, spectral_weights

__all__ = ["Hamiltonian"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Hamiltonian(Drawn, picture="ground_state"):
    r"""A particle on the line, :math:`H = p^2/2m + V(x)`, solved to a given accuracy.

    Eigenstates of a smooth potential come from the sinc discrete variable representation (Colbert and Miller, J. Chem.
    Phys. 96, 1982 (1992)): on a grid of spacing h

    .. math:: H_{ij} = \frac{\hbar^2}{2 m h^2} \left\{ \begin{matrix} \pi^2/3 & i = j \\
              2 (-1)^{i-j}/(i-j)^2 & i \ne j \end{matrix} \right\} + V(x_i)\,\delta_{ij} .

    Jumps, kinks, walls and narrow features, which a survey of V finds, are solved with polynomials on panels that end
    there (Rescigno and McCurdy, Phys. Rev. A 62, 032706 (2000)). Both are refined until the levels converge.

    Parameters
    ----------
    potential : callable, sequence of float, or pair of sequences
        V(x) for an array x; or coefficients of a polynomial, the constant first; or a table (x, V) with x ascending,
        interpolated by a quintic spline and unknown outside.
    mass, hbar : float, default 1
        Positive.
    domain : (float, float), optional
        Interval of a callable or polynomial, with walls at its ends; an infinite end makes it a half-line. By default
        the whole line is searched from the lowest point; give a domain if there are narrow wells elsewhere.
    tolerance : float, default 1e-10
        Accuracy of the levels, relative to their height above the minimum of V. With the default value refinement
        continues down to rounding; with a larger value it stops at that accuracy.

    Raises
    ------
    InputError
        If the potential is not bounded below, has no bound state, or gives NaN.
    InputTypeError
        If the potential is neither a vectorised function nor numbers.

    Notes
    -----
    V is called at some 1e5 irregular points; features wider than 1e-5 of the interval are found. Levels that miss the
    tolerance or are not bound raise an ``InputError``; so do states that are not resolved from their neighbours.

    Examples
    --------
    >>> anharmonic = Hamiltonian([0, 0, 0.5, 0, 1])
    >>> print(anharmonic.energies(3).round(10))
    [0.80377065 2.73789227 5.17929169]
    """

    mass: float
    hbar: float
    domain: tuple[float, float] | None
    tolerance: float
    # The potential, and the grids on which it is solved.
    bases: Bases

    def __init__(
        self,
        potential: Function | ArrayLike,
        mass: float = 1.0,
        hbar: float = 1.0,
        *,
        domain: tuple[float, float] | None = None,
        tolerance: float = FINE,
    ) -> None:
        constants = positive("mass", mass), positive("hbar", hbar), positive("tolerance", tolerance)
        self._set(Potential.read(potential, domain), *constants)

    def _set(self, potential: Potential, mass: float, hbar: float, tolerance: float) -> None:
        bases = Bases(potential=potential, mass=mass, hbar=hbar, tolerance=tolerance)
        fields = {"mass": mass, "hbar": hbar, "domain": potential.domain, "tolerance": tolerance, "bases": bases}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def potential(self, x: ArrayLike) -> Floats:
        """V(x), energy units.

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        ndarray

        Raises
        ------
        InputError
            Outside the table or domain, or if the function gives NaN.
        """
        return self.bases.potential(x)

    def __repr__(self) -> str:
        inside = "" if self.domain is None else f", domain={self.domain}"
        return f"Hamiltonian({self.bases.potential!r}, mass={self.mass:g}, hbar={self.hbar:g}{inside})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hamiltonian):
            return NotImplemented
        mine, theirs = self.bases.potential, other.bases.potential
        if mine.is_function or theirs.is_function:
            return mine.function is theirs.function and self._constants() == other._constants()
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.mass, self.hbar, self.domain, self.tolerance))

    def _constants(self) -> dict[str, Any]:
        domain = None if self.domain is None else [end if np.isfinite(end) else None for end in self.domain]
        return {"mass": self.mass, "hbar": self.hbar, "domain": domain, "tolerance": self.tolerance}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``from_dict``.

        A function is saved on the interval of the lowest levels: as a table of up to 4097 points if its spline is right
        to 1e-12, else as polynomials on panels that end at jumps, kinks and walls; if neither is right, an
        ``InputError`` is raised. Levels of the copy agree within ``level_errors``; its points, and with them the
        paths of a seed, may differ.

        Returns
        -------
        dict
        """
        plain = self.bases.saved.to_dict() | self._constants()
        return plain | {"domain": None} if plain["kind"] == "table" else plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Hamiltonian:
        """The Hamiltonian described by ``to_dict``."""
        new = cls.__new__(cls)
        constants = (positive(name, data[name]) for name in ("mass", "hbar", "tolerance"))
        new._set(Potential.from_dict(data), *constants)
        return new

    @property
    def threshold(self) -> float:
        """Energy at which the continuum begins; inf if V grows on both sides; for a table, V at its lower end."""
        return self.bases.threshold

    @property
    def n_bound(self) -> int | None:
        """Number of levels below ``threshold``; None for infinitely many. Above 250 levels it is semiclassical."""
        return self.bases.n_bound

    def energies(self, n: int) -> Floats:
        """Levels E_0 to E_{n-1}, absolute, energy units, shape (n,).

        Parameters
        ----------
        n : int
            Number of levels, at least 1.

        Returns
        -------
        ndarray

        Raises
        ------
        InputError
            If fewer levels are bound (the threshold and their number are given), or the tolerance is not reached.

        Examples
        --------
        >>> print(Hamiltonian([0, 0, 0.5]).energies(3).round(12))
        [0.5 1.5 2.5]
        """
        integer("n", n, 1)
        return self.bases.carrying(n).energies[:n].copy()

    def level_errors(self, n: int) -> Floats:
        """Errors of ``energies(n)``, shape (n,): four times the last change, rounding of V and of the solution."""
        integer("n", n, 1)
        return self.bases.level_errors(n)

    def gaps(self, n: int) -> Floats:
        """E_1 - E_0 to E_n - E_0, energy units, shape (n,)."""
        integer("n", n, 1)
        e = self.energies(n + 1)
        return np.asarray(e[1:] - e[0])

    @property
    def grid(self) -> Floats:
        """Positions of the basis that carries the lowest levels, shape (N,)."""
        return self.bases.carrying(1).points.copy()

    def wave_function(self, n: int, x: ArrayLike) -> Floats:
        """psi_n(x), normalised, unit 1/sqrt(length); its rightmost lobe is positive.

        Parameters
        ----------
        n : int
            From 0.
        x : array_like
            Positions of any shape.

        Returns
        -------
        ndarray
            Shape of ``x``; zero beyond the grid.
        """
        return np.asarray(self.eigenstate(n)(x))

    def density(self, n: int, x: ArrayLike) -> Floats:
        """|psi_n(x)|^2, unit 1/length; for n = 0 the density of ground-state paths."""
        return np.asarray(self.wave_function(n, x) ** 2)

    def eigenstate(self, n: int) -> State:
        """The normalised eigenstate |n>; its rightmost lobe is positive.

        Parameters
        ----------
        n : int
            From 0.

        Returns
        -------
        State

        Raises
        ------
        InputError
            If the level is not bound, or not resolved from its neighbours.
        """
        integer("n", n, 0)
        basis = self.bases.carrying(n + 1)
        need_distinct(basis, n)
        return State(self, basis.vectors[:, n].copy(), basis)

    def state(self, values: Function | ArrayLike) -> State:
        """A state from its wave function, not normalised.

        Parameters
        ----------
        values : callable or array_like
            psi(x), real or complex, for an array x; or its values on ``grid``, shape (N,).

        Returns
        -------
        State

        Raises
        ------
        InputError
            If no basis of up to 128 levels represents the function to 1e-8 of its norm: it is too sharp or too wide.
        """
        return State(self, *coefficients_of(values, self.bases))

    def matrix(self, operator: Operator, n: int) -> NDArray[Any]:
        """Matrix elements <j|A|k> between the lowest n eigenstates, shape (n, n).

        Parameters
        ----------
        operator : {"x", "p", "p^2", "H"} or callable
            A callable is a function f(x) of position.
        n : int

        Returns
        -------
        ndarray
            float64, or complex128 for "p".
        """
        integer("n", n, 1)
        basis = self.bases.carrying(n)
        vectors = basis.vectors[:, :n]
        return np.asarray(vectors.T @ act(operator, basis, vectors))

    def commutator(self, n: int) -> Floats:
        r"""<j|[x, p]|k>/(i hbar) between the lowest n eigenstates, shape (n, n).

        The unit matrix up to truncation: finite matrices have a commutator of trace zero; states of high momentum fail.
        """
        integer("n", n, 1)
        basis = self.bases.carrying(n)
        vectors, x = basis.vectors[:, :n], basis.points[:, None]
        return np.asarray(vectors.T @ (basis.derivative @ (x * vectors) - x * (basis.derivative @ vectors)))

    def spectral_weights(self, n: int, observable: Function | None = None) -> Floats:
        """Kallen-Lehmann weights |<0|f|k>|^2 of the levels k = 0 to n - 1, shape (n,); k = 0 is the squared mean.

        Parameters
        ----------
        n : int
        observable : callable, optional
            f(x); x by default.

        Returns
        -------
        ndarray
            Unit of f squared.
        """
        integer("n", n, 1)
        return spectral_weights(self.bases, n, observable)

    def n_point(self, points: Iterable[tuple[float, Function | None]], *, beta: float | None = None) -> float:
        r"""Euclidean correlation function of any number of observables at any times.

        .. math:: \langle 0|f_1\, e^{-(H-E_0)(t_2-t_1)/\hbar} f_2 \cdots f_k|0\rangle \quad\text{or}\quad
                  \frac1Z \operatorname{Tr} e^{-H(\beta-t_k+t_1)/\hbar} f_1\, e^{-H(t_2-t_1)/\hbar} f_2 \cdots f_k

        Parameters
        ----------
        points : iterable of (time, function)
            Pairs in any order; a function f(x) of position, None for x.
        beta : float, optional
            Euclidean period hbar/kT; by default the average is in the ground state.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If the times span more than beta, or if beta is given and there is a continuum (the trace diverges).

        Examples
        --------
        >>> oscillator = Hamiltonian([0, 0, 0.5])
        >>> round(oscillator.n_point([(0, None), (0, None), (1, None), (1, None)]), 10)
        0.3176676416
        """
        return n_point(self.bases, points, beta)

    def two_point(self, times: ArrayLike, observable: Function | None = None, *, beta: float | None = None) -> Floats:
        r"""<f(x(0)) f(x(t))> in the ground state, or with beta in thermal equilibrium.

        .. math:: G(t) = \sum_n |\langle 0|f|n\rangle|^2 e^{-(E_n-E_0)|t|/\hbar}, \qquad
                  G_\beta(t) = \frac1Z \sum_{mn} |\langle m|f|n\rangle|^2 e^{-E_m(\beta-|t|)/\hbar - E_n |t|/\hbar}

        Parameters
        ----------
        times : array_like
            Lags of any shape, |t| <= beta.
        observable : callable, optional
            f(x); x by default.
        beta : float, optional
            Euclidean period hbar/kT.

        Returns
        -------
        ndarray
            Shape of ``times``, unit of f squared.

        Raises
        ------
        InputError
            If f has jumps or kinks and states beyond the basis matter at a time by more than 1e-6.
        """
        return correlation(self.bases, times, observable, beta)[0]

    def connected(self, times: ArrayLike, observable: Function | None = None, *, beta: float | None = None) -> Floats:
        """``two_point`` minus the square of the mean of f."""
        total, mean = correlation(self.bases, times, observable, beta)
        return np.asarray(total - mean**2)

    def partition_function(self, beta: float) -> float:
        """Z = sum_n exp(-E_n beta/hbar).

        Parameters
        ----------
        beta : float
            Euclidean period hbar/kT.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If there is a continuum, where Z diverges, or if too many levels contribute.
        """
        return partition_function(self.bases, beta)

    def eigenbasis(self, finer: float = 1.0, *, beta: float | None = None) -> tuple[Floats, Floats, Floats]:
        """All states of a grid, for sums over states.

        Parameters
        ----------
        finer : float, default 1
            Divisor of the spacing of the basis for the lowest levels; the change of a sum with it estimates its error.
        beta : float, optional
            Euclidean period hbar/kT of thermal traces; by default the basis is for the ground state.

        Returns
        -------
        points, vectors, gaps : ndarray
            Positions x_i, shape (N,); sqrt(w_i) psi_n(x_i), w_i the spacing of a grid, shape (N, N), a state a column;
            E_n - E_0, energy units, shape (N,).

        Raises
        ------
        InputError
            If the ground state is not resolved from the next state, or if beta is given and there is a continuum.
        """
        basis = self.bases.eigenbasis(finer, beta)
        return basis.points.copy(), basis.vectors.copy(), np.maximum(basis.energies - basis.energies[0], 0.0)

    def spectral_measure(self, observable: Function | None = None, *, tolerance: float = 1e-6) -> SpectralMeasure:
        r"""The two-point function of f(x) in the ground state as a sum over states.

        Parameters
        ----------
        observable : callable, optional
            f(x); x by default.
        tolerance : float, default 1e-6
            Largest relative error accepted.

        Returns
        -------
        SpectralMeasure
            Its commutator is (2m/hbar^2) sum eps c^2 (1 for f = x: the Thomas-Reiche-Kuhn sum rule), its
            ``momentum_squared`` (m/hbar)^2 sum eps^2 c^2. Above the continuum threshold the states are levels of the
            box. ``error`` is the largest relative change of mean, moments, sums and G at twelve lags when the grid is
            made 1.3 times finer.

        Raises
        ------
        InputError
            If the error exceeds the tolerance. If f has kinks, <p^2> converges slowly or not at all.
        """
        return spectral_measure(self.bases, observable, tolerance)

    def transition_matrix(self, dt: float, *, offset: float = 0.0) -> GroundStateChain:
        """The ground-state process in steps of dt as a reversible chain on a grid.

        Parameters
        ----------
        dt : float
            Euclidean time of a step.
        offset : float, default 0
            Shift of the grid in spacings, between -0.5 and 0.5. The average over random shifts removes the grid error
            of observables with kinks.

        Returns
        -------
        GroundStateChain
            All positions between the first and the last with psi_0^2 above 1e-20 of its maximum. Paths do not get so
            far, but excited levels extend further and their gaps depend on these positions.

        Raises
        ------
        InputError
            If wells are disconnected at double precision, or dt is too fine (more than 4000 states) or too coarse (a
            step reduces the first excitation to less than exp(-25)).

        Examples
        --------
        >>> chain = Hamiltonian([0, 0, 0.5]).transition_matrix(0.2)
        >>> chain.gap_error < 1e-9
        True
        """
        return ground_state_chain(self.bases, dt, offset)


def _in_notebook(hamiltonian: Hamiltonian) -> str:
    """Potential and constants of a Hamiltonian; levels are not computed for a look at it."""
    facts = {"potential V(x)": str(hamiltonian.bases.potential), "mass": hamiltonian.mass, "hbar": hamiltonian.hbar}
    facts["domain"] = "all x" if hamiltonian.domain is None else "[{:g}, {:g}]".format(*hamiltonian.domain)
    return card("Hamiltonian p^2/2m + V(x)", {**facts, "tolerance": hamiltonian.tolerance})


setattr(Hamiltonian, "_repr_html_", _in_notebook)  # noqa: B010  (assignment to a method is an error of types)
