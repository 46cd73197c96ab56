"""Any one-dimensional Hamiltonian as a seed process, in its ground state or at finite temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from .. import _core
from .._arguments import Floats, integer, positive
from ..errors import InputError, InputTypeError, located
from ..quantum.hamiltonian import Hamiltonian
from .immutable import Immutable
from .markov_chain import MarkovChain, alias_tables
from .source import REVERSIBLE, Source, Transition
from .state_modes import Levels, Modes, Rule, ThermalModes
from .table import Table

__all__ = ["GroundStateProcess", "ThermalProcess"]

# Factor by which the grid of a Hamiltonian is refined to estimate the error of the coarser grid.
_FINER = 1.3
# Largest integer weight in tables of the core.
_LARGEST = 2.0**31 - 1
# Fraction of the largest thermal density below which outer states are left out.
_TAIL = 1e-20
# Largest size of the tables of the kernels, in bytes.
_MAX_BYTES = 1 << 30


class GroundStateProcess(Immutable, Source):
    r"""The ground-state process of a Hamiltonian, one network input.

    The process is stationary, reversible and Markov. Its density at one time is :math:`|\psi_0|^2`, and its Euclidean
    correlators :math:`\langle 0| f\, e^{-(H - E_0) t/\hbar} f |0\rangle` are exact at multiples of the run's dt (Doob's
    transform of the kernel on a grid; see ``Hamiltonian.transition_matrix``).

    Parameters
    ----------
    hamiltonian : Hamiltonian
    n_grids : int, default 4
        Number of shifted grids that paths use in turn, 1 to 64. Smooth observables do not depend on the grid; for
        observables with kinks (relu) the effect of the grid averages out.

    Raises
    ------
    InputError, InputTypeError
        If the argument is no Hamiltonian; from ``simulate`` if dt is too coarse or too fine for a grid, or wells are
        disconnected.

    Examples
    --------
    >>> quartic = GroundStateProcess(Hamiltonian([0, 0, 0.5, 0, 1]))
    >>> quartic.variance.round(6)
    array([0.25715])
    """

    __slots__ = ("_chains", "hamiltonian", "n_grids")

    kind = "ground-state"
    _contents: ClassVar[tuple[str, ...]] = ("hamiltonian", "n_grids")

    hamiltonian: Hamiltonian
    n_grids: int
    _chains: dict[float, MarkovChain]

    def __init__(self, hamiltonian: Hamiltonian, n_grids: int = 4) -> None:
        if not isinstance(hamiltonian, Hamiltonian):
            raise InputTypeError(f"hamiltonian must be a Hamiltonian; got {hamiltonian!r}; nnqm.Hamiltonian makes one")
        self._set(hamiltonian=hamiltonian, n_grids=integer("n_grids", n_grids, 1, 64), _chains={})

    @property
    def mean(self) -> Floats:
        """Ground-state expectation of x, shape (1,), to 12 digits of its spread."""
        unit = 10.0 ** np.floor(np.log10(self.variance) / 2 - 12)
        return np.asarray(unit * np.round(self.hamiltonian.eigenstate(0).expectation("x") / unit) + 0.0)

    @property
    def variance(self) -> Floats:
        """Ground-state variance of x, shape (1,), to 12 digits, so that runs do not depend on the BLAS library."""
        ground = self.hamiltonian.eigenstate(0)
        mean = ground.expectation("x")
        return np.array([float(f"{ground.expectation(lambda x: (x - mean) ** 2):.12g}")])

    @property
    def natural_step(self) -> float:
        """Time step 0.4 hbar over the second gap, which resolves several levels; 0.2/omega for the oscillator.

        With fewer than three bound levels, the threshold of the continuum replaces the second excited level.
        """
        h = self.hamiltonian
        bound = h.n_bound
        gap = h.gaps(2)[-1] if bound is None or bound > 2 else h.threshold - h.energies(1)[0]
        return float(0.4 * h.hbar / gap)

    @property
    def constants(self) -> tuple[float, float]:
        """The Hamiltonian's hbar and mass."""
        return self.hamiltonian.hbar, self.hamiltonian.mass

    def chain(self, dt: float) -> MarkovChain:
        """The Markov chain that equals the process at multiples of dt.

        Parameters
        ----------
        dt : float
            Time step, unit time.

        Returns
        -------
        MarkovChain
            On ``n_grids`` shifted grids.

        Raises
        ------
        InputError
            If dt is too coarse or too fine for a grid, or wells are disconnected.
        """
        if dt not in self._chains:
            offsets = (np.arange(self.n_grids) + 0.5) / self.n_grids - 0.5
            parts = [self.hamiltonian.transition_matrix(dt, offset=float(o)) for o in offsets]
            states = max(len(p.values) for p in parts)
            values, law = np.zeros((2, self.n_grids, states))
            transitions = np.zeros((self.n_grids, states, states))
            for g, part in enumerate(parts):
                n = len(part.values)
                values[g, :n], law[g, :n], transitions[g, :n, :n] = part.values, part.law, part.transitions
                # Grids differ by at most one state; a missing state is never visited.
                transitions[g, range(n, states), range(n, states)] = 1
            self._chains[dt] = MarkovChain(values, transitions, dt, law=law)
        return self._chains[dt]

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def markov(self) -> bool:
        """True."""
        return True

    @property
    def positive_because(self) -> str:
        """Reason: the process is reversible and Markov."""
        return REVERSIBLE

    @property
    def ground_state_of(self) -> Hamiltonian:
        """Hamiltonian of the process."""
        return self.hamiltonian

    def learnable(self) -> dict[str, Floats]:
        """Coefficients "potential" of a polynomial potential, the constant first; nothing for other potentials.

        Returns
        -------
        dict
        """
        coefficients = self.hamiltonian.bases.potential.coefficients
        return {} if coefficients is None else {"potential": coefficients.copy()}

    def with_learnable(self, values: Mapping[str, Floats]) -> GroundStateProcess:
        """The process of a potential with other coefficients.

        Parameters
        ----------
        values : mapping
            "potential": coefficients, the constant first.

        Returns
        -------
        GroundStateProcess

        Raises
        ------
        InputError
            If the potential is not bounded below.
        """
        if "potential" not in values:
            return self
        h = self.hamiltonian
        changed = Hamiltonian(values["potential"], h.mass, h.hbar, domain=h.domain, tolerance=h.tolerance)
        return GroundStateProcess(changed, self.n_grids)

    def potential_pullback(self, x: Floats, cotangent: Floats) -> dict[str, Floats]:
        """Derivatives of sum_q cotangent_q V(x_q) in the coefficients of a polynomial potential.

        Parameters
        ----------
        x : ndarray
            Positions, shape (Q,).
        cotangent : ndarray
            Shape (Q,).

        Returns
        -------
        dict
            "potential", shape (K,); nothing for other potentials.
        """
        return {name: cotangent @ np.vander(x, values.size, True) for name, values in self.learnable().items()}

    def states(self, fine: Rule, coarse: Rule, hbar: float, component: int = 0) -> tuple[list[Modes], list[Modes]]:
        """Eigenstates on a refined grid and on the grid of the Hamiltonian; their difference estimates the error.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Not used.
        hbar : float
        component : int, default 0
            Not used.

        Returns
        -------
        fine, coarse : list of Modes
            One entry per input.
        """
        h = self.hamiltonian
        return [_eigenstates(h.eigenbasis(_FINER), hbar)], [_eigenstates(h.eigenbasis(), hbar)]

    def thermal_states(
        self, fine: Rule, coarse: Rule, hbar: float, beta: float, component: int = 0
    ) -> tuple[list[ThermalModes], list[ThermalModes]]:
        """Eigenstates on two grids as wide as the thermal density; their difference estimates the error.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Not used.
        hbar : float
        beta : float
            Period, unit time.
        component : int, default 0
            Not used.

        Returns
        -------
        fine, coarse : list of ThermalModes
            One entry per input.
        """
        first, second = (
            [ThermalModes(modes=_eigenstates(self.hamiltonian.eigenbasis(finer, beta=beta), hbar), beta=beta)]
            for finer in (_FINER, 1.0)
        )
        return first, second

    def levels(self, n_levels: int, hbar: float) -> list[Levels]:
        """Gaps of the lowest bound states.

        Parameters
        ----------
        n_levels : int
            Largest number of gaps per input, the 0 of the ground state not counted.
        hbar : float

        Returns
        -------
        list of Levels
            One entry.
        """
        gaps, top = _bound_gaps(self.hamiltonian, n_levels)
        return [Levels(energies=np.append(0.0, gaps), signs=np.ones(len(gaps) + 1), ceiling=top)]

    @property
    def continuum(self) -> float:
        """Threshold of the continuum above E_0, energy units; infinite for a confining potential."""
        return self.hamiltonian.threshold - float(self.hamiltonian.energies(1)[0])

    def ground_energy(self, hbar: float, mass: float) -> tuple[float, str]:
        """E_0 of the Hamiltonian.

        Parameters
        ----------
        hbar, mass : float
            Not used: the Hamiltonian has its own.

        Returns
        -------
        (float, str)
            E_0 in energy units, and its origin as a phrase for the report.
        """
        return float(self.hamiltonian.energies(1)[0]), "with the E_0 of the Hamiltonian"

    def transition(self, lag: float) -> Transition:
        """Transition probabilities of the chain with the lag as its step.

        Parameters
        ----------
        lag : float
            Unit time.

        Returns
        -------
        Transition

        Raises
        ------
        InputError
            If the lag is too short or too long for a grid.
        """
        chain = self.chain(lag)
        return Transition(values=chain.values, law=chain.law, probabilities=chain.transitions)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        GroundStateProcess
        """
        return cls(Hamiltonian.from_dict(data["hamiltonian"]), data["n_grids"])

    @classmethod
    def table_keys(cls) -> tuple[str, ...]:
        """Keys in a theory file; the key beta selects the thermal process.

        Returns
        -------
        tuple of str
        """
        return "potential", "beta"

    @classmethod
    def from_table(cls, table: Table) -> Source:
        """The process of a ``[[source]]`` table of a theory file; the thermal process if the table has beta.

        Parameters
        ----------
        table : Table
            Keys and values of the source.

        Returns
        -------
        GroundStateProcess or ThermalProcess

        Raises
        ------
        InputError, InputTypeError
            If a key is missing or a value is not valid; the message names the key.
        """
        beta = table.number("beta")
        remedy = "write its coefficients, the constant first: x^2/2 + x^4 is potential = [0.0, 0.0, 0.5, 0.0, 1.0]"
        coefficients = table.numbers("potential", remedy)
        with located(table.place):
            hbar, mass = (table.constants.get(key, 1.0) for key in ("hbar", "mass"))
            hamiltonian = Hamiltonian(coefficients, mass, hbar)
            return cls(hamiltonian) if beta is None else ThermalProcess(hamiltonian, beta)

    def compiled(self, times: Floats) -> list[_core.Chain]:
        """The chain with the step of the grid, in terms of the core.

        Parameters
        ----------
        times : ndarray
            Uniform grid, shape (n_times,), unit time.

        Returns
        -------
        list
            Sources of the core.
        """
        step = float(times[1] - times[0]) if len(times) > 1 else self.natural_step
        return self.chain(step).compiled(times)

    def __repr__(self) -> str:
        return f"GroundStateProcess({self.hamiltonian!r})"


class ThermalProcess(Immutable, Source):
    r"""Closed paths of a Hamiltonian at temperature hbar/(k beta), one network input.

    Correlators are :math:`\mathrm{Tr}\,[e^{-(\beta - t)H/\hbar} f e^{-tH/\hbar} f]/\mathrm{Tr}\,e^{-\beta H/\hbar}`.
    Paths are bridges on a grid: the first point is drawn from the diagonal of the kernel of a whole period, each
    further point from the kernel of one step times the kernel of the remaining time.

    Parameters
    ----------
    hamiltonian : Hamiltonian
        Its spectrum must be discrete as far as it contributes at this temperature.
    beta : float
        Period, the Euclidean time hbar/kT, unit time.
    n_grids : int, default 4
        Number of shifted grids that paths use in turn, as for ``GroundStateProcess``.

    Raises
    ------
    InputError, InputTypeError
        If the argument is no Hamiltonian or the trace does not exist; from ``simulate`` if the grid of times is so fine
        that the tables of the kernels exceed 1 GB.

    Examples
    --------
    >>> hot = ThermalProcess(Hamiltonian([0, 0, 0.5]), beta=2.0)
    >>> float(hot.variance[0].round(6))
    0.656518
    """

    __slots__ = ("_tables", "beta", "hamiltonian", "n_grids")

    kind = "thermal"
    _contents = ("hamiltonian", "beta", "n_grids")

    hamiltonian: Hamiltonian
    beta: float
    n_grids: int
    _tables: dict[int, _core.PeriodicChain]

    def __init__(self, hamiltonian: Hamiltonian, beta: float, n_grids: int = 4) -> None:
        if not isinstance(hamiltonian, Hamiltonian):
            raise InputTypeError(f"hamiltonian must be a Hamiltonian; got {hamiltonian!r}; nnqm.Hamiltonian makes one")
        period, grids = positive("beta", beta), integer("n_grids", n_grids, 1, 64)
        self._set(hamiltonian=hamiltonian, beta=period, n_grids=grids, _tables={})
        hamiltonian.partition_function(self.beta)  # raises InputError if the trace does not exist

    @property
    def mean(self) -> Floats:
        """Thermal expectation of x, shape (1,)."""
        return np.array([self.hamiltonian.n_point([(0.0, None)], beta=self.beta)])

    @property
    def variance(self) -> Floats:
        """Thermal variance of x, shape (1,)."""
        return np.atleast_1d(self.hamiltonian.connected(0.0, beta=self.beta))

    @property
    def natural_step(self) -> float:
        """Largest fraction 1/n of the period that does not exceed 0.4 hbar over the second gap, n >= 4."""
        open_step = 0.4 * self.hamiltonian.hbar / float(self.hamiltonian.gaps(2)[-1])
        return self.beta / float(np.ceil(max(4.0, self.beta / open_step)))

    @property
    def period(self) -> float:
        """Period beta, unit time."""
        return self.beta

    @property
    def constants(self) -> tuple[float, float]:
        """The Hamiltonian's hbar and mass."""
        return self.hamiltonian.hbar, self.hamiltonian.mass

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def positive_because(self) -> str:
        """Reason: the process is made from a reversible Markov process."""
        return REVERSIBLE

    def opened(self) -> GroundStateProcess:
        """The process with open paths, at zero temperature.

        Returns
        -------
        GroundStateProcess
        """
        return GroundStateProcess(self.hamiltonian)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        ThermalProcess
        """
        return cls(Hamiltonian.from_dict(data["hamiltonian"]), data["beta"], data["n_grids"])

    def compiled(self, times: Floats) -> list[_core.PeriodicChain]:
        """Kernels of all multiples of the step up to the period, in terms of the core.

        Parameters
        ----------
        times : ndarray
            Uniform grid that spans one period, shape (n_times,), unit time.

        Returns
        -------
        list
            Sources of the core.

        Raises
        ------
        InputError
            If the tables of the kernels exceed 1 GB.
        """
        steps = len(times)
        if steps not in self._tables:
            self._tables[steps] = self._chain(steps)
        return [self._tables[steps]]

    def _chain(self, steps: int) -> _core.PeriodicChain:
        h, dt = self.hamiltonian, self.beta / steps
        reference = h.bases.thermal(self.beta)
        law = (reference.vectors**2) @ np.exp(-(reference.energies - reference.energies[0]) * (self.beta / h.hbar))
        law = law / reference.weights
        kept = np.flatnonzero(law > _TAIL * law.max())
        interval = (
            max(reference.points[kept[0]] - reference.spacing, reference.points[0]),
            min(reference.points[kept[-1]] + reference.spacing, reference.points[-1]),
        )
        spacing = min(reference.spacing, 0.3 * np.sqrt(h.hbar * dt / h.mass))
        size = int((interval[1] - interval[0]) / spacing) + 3
        if 4 * self.n_grids * steps * size**2 > _MAX_BYTES:
            raise InputError(
                f"dt={dt:g} is too fine: {steps} steps on {size} states and {self.n_grids} grids need tables of more "
                "than 1 GB; use fewer times or n_grids=1"
            )
        parts = []
        for offset in (np.arange(self.n_grids) + 0.5) / self.n_grids - 0.5:
            basis = h.bases.covering(reference, interval, spacing, float(offset))
            rates = (basis.energies - basis.energies[0]) / h.hbar
            parts.append((basis.points, _powers(basis.vectors, rates, dt, steps)))
        states = max(len(points) for points, _ in parts)
        values = np.zeros((self.n_grids, states))
        starts = np.zeros((self.n_grids, states))
        forth = np.zeros((self.n_grids, states, states), dtype=np.uint32)
        back = np.zeros((self.n_grids, steps - 1, states, states), dtype=np.uint32)
        for g, (points, powers) in enumerate(parts):
            n = len(points)
            values[g, :n] = points
            starts[g, :n] = np.diagonal(powers[steps]) / np.trace(powers[steps])
            forth[g, :n, :n] = _integers(powers[1])
            for t in range(1, steps):
                back[g, t - 1, :n, :n] = _integers(powers[steps - t])
        threshold, alias = alias_tables(starts)
        return _core.PeriodicChain(
            dt=dt, values=values, start_threshold=threshold, start_alias=alias, step_weights=forth, remaining=back
        )

    def __repr__(self) -> str:
        return f"ThermalProcess({self.hamiltonian!r}, beta={self.beta:g})"


def _powers(vectors: Floats, rates: Floats, dt: float, steps: int) -> dict[int, Floats]:
    """Kernels of 1 to ``steps`` steps; negative entries, which are rounding errors, are set to zero."""
    kernels = {}
    for k in range(1, steps + 1):
        kernel = (vectors * np.exp(-rates * (k * dt))) @ vectors.T
        kernels[k] = np.clip((kernel + kernel.T) / 2, 0, None)
    return kernels


def _integers(kernel: Floats) -> Any:
    """Rows scaled to integers with largest entry 2^31 - 1; only ratios of weights within a row matter."""
    return np.round(kernel * (_LARGEST / kernel.max(axis=1, keepdims=True))).astype(np.uint32)


def _eigenstates(basis: tuple[Floats, Floats, Floats], hbar: float) -> Modes:
    points, vectors, gaps = basis
    return Modes(points=points, rows=vectors.T, energies=gaps, hbar=hbar)


def _bound_gaps(hamiltonian: Hamiltonian, n: int) -> tuple[Floats, float]:
    """The lowest gaps, at most n, and the gap above which others may exist."""
    bound = hamiltonian.n_bound
    found = n if bound is None else min(n, bound - 1)
    ceiling = np.inf if bound is None or found == n else hamiltonian.threshold - hamiltonian.energies(1)[0]
    while found:
        try:
            gaps = hamiltonian.gaps(found)
        except InputError:  # kinks or a weakly bound state: the tolerance is not reached
            found -= 1
            continue
        return gaps, ceiling if found == n or np.isfinite(ceiling) else float(gaps[-1]) * (1 + 1e-9)
    return np.zeros(0), min(ceiling, hamiltonian.threshold - hamiltonian.energies(1)[0])
