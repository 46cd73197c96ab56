"""Seed processes on finitely many values: reversible Markov chains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, floats, positive
from ..errors import InputError
from ..quantum.measures import whole_steps
from .immutable import Immutable
from .source import REVERSIBLE, Source, Transition
from .state_modes import Levels, Modes, Rule, ThermalModes

__all__ = ["MarkovChain", "alias_tables"]

# Magnitude below which eigenvalues are rounding errors; they are replaced by this positive number.
_NOISE = 1e-14
# Twice the magnitude above which a negative eigenvalue exceeds rounding errors.
_NEGATIVE = 1e-8
# Largest number of states for which the eigenvalue problem is solved.
_MOST_STATES = 3000


class MarkovChain(Immutable, Source):
    r"""A stationary, reversible Markov chain on finitely many values, one network input.

    The chain is a quantum mechanics in discrete time: a reversible Markov chain without negative eigenvalues is
    reflection positive. Its gaps are :math:`-\hbar \ln(\lambda_n)/dt`, lambda_n the eigenvalues of the transition
    matrix.

    Parameters
    ----------
    values : array_like
        Value of each state, shape (S,), or (G, S) for G grids of the same process; path i uses grid i mod G.
    transitions : array_like
        Probabilities P[i, j] of a step from i to j, shape (S, S) or (G, S, S); rows sum to 1.
    dt : float
        Duration of one step, unit time; runs must have this dt.
    law : array_like, optional
        Stationary probabilities, shape (S,) or (G, S); computed from the transitions by default.

    Raises
    ------
    InputError
        If rows do not sum to 1 within 1e-9, or the chain does not satisfy detailed balance, law_i P_ij = law_j P_ji.

    Examples
    --------
    >>> flip = MarkovChain([-1.0, 1.0], [[0.9, 0.1], [0.1, 0.9]], dt=1.0)
    >>> flip.variance
    array([1.])
    """

    __slots__ = ("_aliases", "dt", "law", "transitions", "values")

    kind = "markov-chain"
    _contents = ("values", "transitions", "law", "dt")

    values: Floats
    transitions: Floats
    law: Floats
    dt: float
    _aliases: list[NDArray[np.uint32]] | None

    def __init__(self, values: ArrayLike, transitions: ArrayLike, dt: float, *, law: ArrayLike | None = None) -> None:
        v, p = floats("values", values), floats("transitions", transitions)
        v, p = (v[None] if v.ndim == 1 else v), (p[None] if p.ndim == 2 else p)
        if v.ndim != 2 or v.size == 0 or p.shape != (*v.shape, v.shape[1]):
            raise InputError(
                f"transitions must have shape (S, S), or (G, S, S), for values of shape (S,) or (G, S); got "
                f"{p.shape} for {v.shape}"
            )
        if v.shape[1] > 65536:
            raise InputError(f"values must have at most 65536 states; got {v.shape[1]}")
        if p.min() < 0 or np.abs(p.sum(axis=2) - 1).max() > 1e-9:
            raise InputError(
                f"transitions must be probabilities with rows that sum to 1 to 1e-9; the smallest entry is "
                f"{p.min():g} and the worst sum {p.sum(axis=2).ravel()[np.abs(p.sum(axis=2) - 1).argmax()]:.12g}; "
                "divide each row by its sum"
            )
        q = _stationary_law(p) if law is None else floats("law", law).reshape(-1, v.shape[1])
        if q.shape != v.shape or q.min() < 0 or np.abs(q.sum(axis=1) - 1).max() > 1e-9:
            raise InputError(f"law must be probabilities of shape {v.shape} that sum to 1; got shape {q.shape}")
        flow = q[:, :, None] * p
        lack = np.abs(flow - flow.transpose(0, 2, 1)).max()
        if lack > 1e-9:
            raise InputError(
                f"the chain must be reversible, law_i P_ij = law_j P_ji; they differ by {lack:.2g}; "
                "an irreversible chain is no quantum mechanics"
            )
        self._set(values=v, transitions=p, law=q, dt=positive("dt", dt), _aliases=None)

    @property
    def mean(self) -> Floats:
        """Stationary mean, over all grids, shape (1,)."""
        return np.array([np.mean(np.sum(self.law * self.values, axis=1))])

    @property
    def variance(self) -> Floats:
        """Stationary variance, over all grids, shape (1,)."""
        return np.array([np.mean(np.sum(self.law * self.values**2, axis=1))]) - self.mean**2

    @property
    def natural_step(self) -> float:
        """The step of the chain."""
        return self.dt

    @property
    def step(self) -> float:
        """The step of the chain."""
        return self.dt

    @property
    def markov(self) -> bool:
        """Whether there is only one grid: on several grids, every path stays on its own."""
        return self.n_components == 1

    @property
    def positive_because(self) -> str:
        """Reason: the chain is reversible and Markov; empty if its transition matrix has a negative eigenvalue."""
        for p, law in zip(self.transitions, self.law, strict=True):
            root = np.sqrt(np.maximum(law, 0))
            safe = np.where(root > 0, root, 1.0)
            if np.linalg.eigvalsh(root[:, None] * p / safe + (root[:, None] * p / safe).T)[0] < -_NEGATIVE:
                return ""
        return REVERSIBLE

    @property
    def n_components(self) -> int:
        """Number of grids G."""
        return len(self.values)

    def states(self, fine: Rule, coarse: Rule, hbar: float, component: int = 0) -> tuple[list[Modes], list[Modes]]:
        """Eigenvectors of the symmetric matrix with entries sqrt(P_ij P_ji) on one grid; the chain needs no rule.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Not used.
        hbar : float
        component : int, default 0
            Number of the grid, below ``n_components``.

        Returns
        -------
        fine, coarse : list of Modes
            The same modes twice, one entry each.

        Raises
        ------
        InputError
            With more than 3000 states.
        """
        modes = self._modes(component, hbar)
        return [modes], [modes]

    def _modes(self, grid: int, hbar: float) -> Modes:
        values, law, transitions = self.values[grid], self.law[grid], self.transitions[grid]
        if values.size > _MOST_STATES:
            raise InputError(
                f"exact functions of a chain need at most {_MOST_STATES} states; got {values.size}; sample it instead"
            )
        root = np.sqrt(law)
        inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        symmetric = root[:, None] * transitions * inverse
        # The known vacuum is projected out: in a chain of several classes it would mix with others of eigenvalue 1.
        eigenvalues, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2 - np.outer(root, root))
        vacuum = int(np.argmax(np.abs(root @ vectors)))
        order = [i for i in np.argsort(-eigenvalues, kind="stable") if i != vacuum]
        value = np.minimum(np.concatenate([[1.0], eigenvalues[order]]), 1.0)
        value = np.where(np.abs(value) < _NOISE, _NOISE, np.maximum(value, -1.0))
        return Modes(
            points=values,
            rows=np.concatenate([root[None], vectors[:, order].T]),
            energies=np.maximum(-hbar / self.dt * np.log(np.abs(value)), 0.0),
            hbar=hbar,
            signs=np.sign(value) if (value < 0).any() else None,
            step=self.dt,
        )

    def thermal_states(
        self, fine: Rule, coarse: Rule, hbar: float, beta: float, component: int = 0
    ) -> tuple[list[ThermalModes], list[ThermalModes]]:
        """Modes of one grid at finite temperature.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Not used.
        hbar : float
        beta : float
            Period, unit time, a multiple of the step.
        component : int, default 0
            Number of the grid, below ``n_components``.

        Returns
        -------
        fine, coarse : list of ThermalModes
            The same modes twice, one entry each.

        Raises
        ------
        InputError
            If beta is not a multiple of the step, or with more than 3000 states.
        """
        whole_steps(np.asarray(beta), self.dt)
        return super().thermal_states(fine, coarse, hbar, beta, component)

    def levels(self, n_levels: int, hbar: float) -> list[Levels] | None:
        """Gaps from the eigenvalues of the transition matrix.

        Parameters
        ----------
        n_levels : int
            Largest number of gaps per input, the 0 of the ground state not counted.
        hbar : float

        Returns
        -------
        list of Levels or None
            One entry; None for several grids, because their levels differ.

        Raises
        ------
        InputError
            With more than 3000 states.
        """
        if self.n_components > 1:
            return None
        modes = self._modes(0, hbar)
        signs = np.ones(len(modes.energies)) if modes.signs is None else modes.signs
        return [Levels(energies=modes.energies, signs=signs)]

    def transition(self, lag: float) -> Transition:
        """Transition probabilities over a lag: powers of the transition matrices.

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
            If the lag is not a multiple of the step of the chain.
        """
        power = round(lag / self.dt)
        if power < 1 or abs(power * self.dt - lag) > 1e-9 * lag:
            raise InputError(f"lag must be a multiple of the chain's step, {self.dt:g}; got {lag:g}")
        powers = np.array([np.linalg.matrix_power(p, power) for p in self.transitions])
        return Transition(values=self.values, law=self.law, probabilities=powers)

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "Markov-chain"

    def compiled(self, times: Floats) -> list[_core.Chain]:
        """The chain in terms of the core.

        Parameters
        ----------
        times : ndarray
            Uniform grid with the step of the chain, shape (n_times,), unit time.

        Returns
        -------
        list
            Sources of the core.

        Raises
        ------
        InputError
            If the grid has another step.
        """
        dt = float(times[1] - times[0]) if len(times) > 1 else self.dt
        if abs(dt - self.dt) > 1e-9 * self.dt:
            raise InputError(f"dt must equal the step of the chain, {self.dt:g}; got {dt:g}; use dt={self.dt:g}")
        tables = self._aliases
        if tables is None:
            rows = alias_tables(self.transitions.reshape(-1, self.values.shape[1]))
            tables = [*alias_tables(self.law), *rows]
            object.__setattr__(self, "_aliases", tables)
        start_threshold, start_alias, threshold, alias = tables
        chain = _core.Chain(
            dt=self.dt,
            values=self.values,
            start_threshold=start_threshold,
            start_alias=start_alias,
            threshold=threshold,
            alias=alias,
        )
        return [chain]

    def __repr__(self) -> str:
        grids, states = self.values.shape
        return f"MarkovChain({states} states{f' on {grids} grids' if grids > 1 else ''}, dt={self.dt:g})"


def _stationary_law(transitions: Floats) -> Floats:
    states = transitions.shape[1]
    laws = []
    for p in transitions:
        # pi (P - 1) = 0, and the entries of pi sum to 1.
        system = np.vstack([(p - np.eye(states)).T, np.ones(states)])
        solution = np.linalg.lstsq(system, np.append(np.zeros(states), 1.0), rcond=None)[0]
        laws.append(np.clip(solution, 0, None) / np.clip(solution, 0, None).sum())
    return np.array(laws)


def alias_tables(rows: Floats) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Thresholds and aliases, shape (n, S) each, of rows of probabilities, shape (n, S)."""
    tables = [_alias_table(row) for row in rows]
    return np.stack([t[0] for t in tables]), np.stack([t[1] for t in tables])


def _alias_table(probabilities: Floats) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Thresholds and aliases of Walker's method (Vose, IEEE Trans. Softw. Eng. 17, 972 (1991)), in units of 2^-32."""
    n = len(probabilities)
    share = probabilities * (n / probabilities.sum())
    alias = np.arange(n, dtype=np.uint32)
    small = [i for i in range(n) if share[i] < 1]
    large = [i for i in range(n) if share[i] >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        share[high] -= 1 - share[low]
        if share[high] < 1:
            small.append(large.pop())
    # Rounding may leave shares, each equal to 1. Their alias is the state itself, so that 2^32 - 1 serves as 2^32.
    share[small + large] = 1
    return np.minimum(np.round(np.clip(share, 0, 1) * 2.0**32), 2.0**32 - 1).astype(np.uint32), alias
