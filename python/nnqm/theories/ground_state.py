"""Any one-dimensional Hamiltonian as a seed process."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._arguments import Floats, integer
from ..errors import InputTypeError
from ..quantum.hamiltonian import Hamiltonian
from .sources import MarkovChain, Source

__all__ = ["GroundStateProcess"]


class GroundStateProcess(Source):
    r"""The ground-state process of a Hamiltonian, one network input.

    Stationary, reversible and Markov, with density :math:`|\psi_0|^2` at one time and exactly the Euclidean
    correlators :math:`\langle 0| f\, e^{-(H - E_0) t/\hbar} f |0\rangle` at multiples of the run's dt (Doob's transform
    of the kernel on a grid; see ``Hamiltonian.transition_matrix``).

    Parameters
    ----------
    hamiltonian : Hamiltonian
    n_grids : int, default 4
        Shifted grids between which paths are divided: smooth observables do not see the grid, and what kinked ones
        (relu) see of it averages out.

    Raises
    ------
    TypeError, ValueError
        If it is no Hamiltonian; by ``simulate`` if dt is too coarse or too fine for a grid, or wells are disconnected.

    Examples
    --------
    >>> quartic = GroundStateProcess(Hamiltonian([0, 0, 0.5, 0, 1]))
    >>> quartic.variance.round(6)
    array([0.25715])
    """

    __slots__ = ("_chains", "hamiltonian", "n_grids")

    hamiltonian: Hamiltonian
    n_grids: int
    _chains: dict[float, MarkovChain]

    def __init__(self, hamiltonian: Hamiltonian, n_grids: int = 4) -> None:
        if not isinstance(hamiltonian, Hamiltonian):
            raise InputTypeError(f"hamiltonian must be a Hamiltonian; got {hamiltonian!r}")
        object.__setattr__(self, "hamiltonian", hamiltonian)
        object.__setattr__(self, "n_grids", integer("n_grids", n_grids, 1, 64))
        object.__setattr__(self, "_chains", {})

    @property
    def n_inputs(self) -> int:
        """Number of input channels, one."""
        return 1

    @property
    def mean(self) -> Floats:
        """Ground-state expectation of x, shape (1,), to 12 digits of its spread."""
        unit = 10.0 ** np.floor(np.log10(self.variance) / 2 - 12)
        return np.asarray(unit * np.round(self.hamiltonian.eigenstate(0).expectation("x") / unit) + 0.0)

    @property
    def variance(self) -> Floats:
        """Ground-state variance of x, shape (1,), to 12 digits: observables of a run must not depend on the BLAS."""
        ground = self.hamiltonian.eigenstate(0)
        mean = ground.expectation("x")
        return np.array([float(f"{ground.expectation(lambda x: (x - mean) ** 2):.12g}")])

    @property
    def natural_step(self) -> float:
        """Time of 0.4 over the second gap, 0.2/omega for the oscillator: what resolves several levels.

        With fewer than three bound levels the continuum threshold stands for the second.
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
        """The Markov chain that stands for the process in steps of dt."""
        if dt not in self._chains:
            offsets = (np.arange(self.n_grids) + 0.5) / self.n_grids - 0.5
            parts = [self.hamiltonian.transition_matrix(dt, offset=float(o)) for o in offsets]
            states = max(len(p.values) for p in parts)
            values, law = np.zeros((2, self.n_grids, states))
            transitions = np.zeros((self.n_grids, states, states))
            for g, part in enumerate(parts):
                n = len(part.values)
                values[g, :n], law[g, :n], transitions[g, :n, :n] = part.values, part.law, part.transitions
                # Grids differ by a state at most; what is missing is never visited.
                transitions[g, range(n, states), range(n, states)] = 1
            self._chains[dt] = MarkovChain(values, transitions, dt, law=law)
        return self._chains[dt]

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands."""
        return {"kind": "ground-state", "hamiltonian": self.hamiltonian.to_dict(), "n_grids": self.n_grids}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GroundStateProcess:
        """The process that ``to_dict`` described."""
        return cls(Hamiltonian.from_dict(data["hamiltonian"]), data["n_grids"])

    def _compiled(self, times: Floats) -> list[_core.Chain]:
        step = float(times[1] - times[0]) if len(times) > 1 else self.natural_step
        return self.chain(step)._compiled(times)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"GroundStateProcess is immutable; make a new one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroundStateProcess):
            return NotImplemented
        return self.hamiltonian == other.hamiltonian and self.n_grids == other.n_grids

    def __hash__(self) -> int:
        return hash((self.hamiltonian, self.n_grids))

    def __reduce__(self) -> tuple[Any, ...]:
        return (GroundStateProcess, (self.hamiltonian, self.n_grids))

    def __repr__(self) -> str:
        return f"GroundStateProcess({self.hamiltonian!r})"
