"""Seed processes on finitely many values: reversible Markov chains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, floats, positive
from ..errors import InputError
from ..quantum.measures import whole_steps
from ..statistics.matrices import eigenstates, eigenvalues, product
from .immutable import Immutable
from .source import REVERSIBLE, Source, Transition
from .state_modes import Levels, Modes, Rule, ThermalModes

__all__ = ["MarkovChain", "alias_tables"]

# Magnitude below which eigenvalues are rounding errors of 0.
_NOISE = 1e-14
# Fraction of the fastest decay below which decays are slow, and largest number of slow ones that are refined.
_SLOW, _MOST_SLOW = 1e-6, 20
# Smallest difference of values, whose fourth power is in the range of float64.
_SMALLEST = 1e-75
# Twice the magnitude above which a negative eigenvalue exceeds rounding errors.
_NEGATIVE = 1e-8
# Largest number of states for which the eigenvalue problem is solved.
_MOST_STATES = 3000


class MarkovChain(Immutable, Source):
    r"""A stationary, reversible Markov chain on finitely many values, one network input.

    The chain is a quantum mechanics in discrete time: a reversible Markov chain without negative eigenvalues is
    reflection positive. Its gaps are :math:`-\hbar \ln(\lambda_n)/dt`, lambda_n the eigenvalues of the transition
    matrix. States of negative eigenvalues alternate in sign from step to step, and with them the chain is reflection
    positive at even lags only.

    Parameters
    ----------
    values : array_like
        Value of each state, shape (S,), or (G, S) for G grids of the same process; path i uses grid i mod G.
    transitions : array_like
        Probabilities P[i, j] of a step from i to j, shape (S, S) or (G, S, S); rows sum to 1.
    dt : float
        Duration of one step, unit time; runs must have this dt.
    law : array_like, optional
        Stationary probabilities, shape (S,) or (G, S); computed from the transitions by default. A chain of several
        classes, which paths do not leave, has many and needs it. States of probability 0 are never visited.

    Raises
    ------
    InputError
        If rows do not sum to 1 within 1e-9, the stationary law is not unique and not given, the chain does not satisfy
        detailed balance, law_i P_ij = law_j P_ji, or values differ by more than 1e75 or less than 1e-75.

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
                "set entries below 0 to 0 and divide each row by its sum"
            )
        apart = np.ptp(v)
        if not (apart == 0 or _SMALLEST <= apart <= 1 / _SMALLEST) or not np.isfinite(np.ptp(v**4)):
            raise InputError(
                f"values must differ by {_SMALLEST:g} to {1 / _SMALLEST:g} or be equal; they range from {v.min():g} to "
                f"{v.max():g}; use other units"
            )
        q = _stationary_law(p) if law is None else np.atleast_2d(floats("law", law))
        if q.shape != v.shape or q.min() < 0 or np.abs(q.sum(axis=1) - 1).max() > 1e-9:
            raise InputError(f"law must be probabilities of shape {v.shape} that sum to 1; got shape {q.shape}")
        flow = q[:, :, None] * p
        off = flow * (1 - np.eye(v.shape[1]))
        lack = np.abs(off - off.transpose(0, 2, 1)).max()
        # Slow chains have small flows, all of which would be below a fixed tolerance.
        if lack > min(1e-9, 1e-5 * off.max()):
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
        return np.array([np.mean(np.sum(self.law * (self.values - self.mean) ** 2, axis=1))])

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
            if eigenvalues(root[:, None] * p / safe + (root[:, None] * p / safe).T)[0] < -_NEGATIVE:
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
        # States that are never visited have no norm.
        visited = law > 0
        values, root, transitions = values[visited], np.sqrt(law[visited]), transitions[np.ix_(visited, visited)]
        lost, vectors = _decay(root / np.linalg.norm(root), transitions)
        value = 1 - lost
        # A state of eigenvalue 0 is gone after one step.
        gone = np.abs(value) < _NOISE
        rate = np.where(lost < 0.5, -np.log1p(-np.minimum(lost, 0.5)), -np.log(np.maximum(np.abs(value), _NOISE)))
        signs = np.where(gone, 0.0, np.sign(value))
        return Modes(
            points=values,
            rows=np.concatenate([root[None], vectors.T]),
            energies=np.append(0.0, np.maximum(hbar / self.dt * rate, 0.0)),
            hbar=hbar,
            signs=np.append(1.0, signs) if (signs <= 0).any() else None,
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


def _decay(root: Floats, transitions: Floats) -> tuple[Floats, Floats]:
    """1 - lambda_n in ascending order, shape (S - 1,), and orthonormal eigenvectors (S, S - 1) without the vacuum.

    The eigenvalues of 1 - P are those of a quadratic form of differences, in which slow decays are not differences of
    numbers near 1.
    """
    symmetric = root[:, None] * transitions / root
    symmetric = (symmetric + symmetric.T) / 2
    np.fill_diagonal(symmetric, 0.0)
    form = np.diag((transitions * (1 - np.eye(root.size))).sum(axis=1)) - symmetric
    most = float(np.diag(form).max())
    # The known vacuum is moved above all others: in a chain of several classes it would mix with others of decay 0.
    lost, vectors = eigenstates(form + (3 * most if most else 1.0) * np.outer(root, root))
    lost, vectors = np.maximum(lost[:-1], 0.0), vectors[:, :-1]
    slow = int((lost < _SLOW * most).sum())
    if 0 < slow <= _MOST_SLOW:
        turned = np.sqrt(root / root[:, None])
        parts = [np.sqrt(symmetric / 2) * (v[:, None] * turned - v / turned) for v in vectors[:, :slow].T]
        lost[:slow], mixed = eigenstates(np.array([[float((a * b).sum()) for b in parts] for a in parts]))
        vectors[:, :slow] = product(vectors[:, :slow], mixed)
    lost[: _classes(symmetric > 0)[0] - 1] = 0.0
    return lost, vectors


def _classes(steps: NDArray[np.bool_]) -> tuple[int, NDArray[np.int32]]:
    """Number of classes of states that reach each other, and the class of each state, from possible steps (S, S)."""
    from scipy.sparse.csgraph import connected_components

    count, labels = connected_components(steps, directed=True, connection="strong")
    return int(count), labels


def _stationary_law(transitions: Floats) -> Floats:
    return np.array([_law_of_grid(p) for p in transitions])


def _law_of_grid(p: Floats) -> Floats:
    """Stationary probabilities without differences, so that small ones have all digits.

    Grassmann, Taksar and Heyman, Oper. Res. 33, 1107 (1985).
    """
    count, labels = _classes(p > 0)
    closed = [k for k in range(count) if not p[np.ix_(labels == k, labels != k)].any()]
    if len(closed) > 1:
        raise InputError(
            f"the stationary law must be unique; got a chain of {len(closed)} classes of states that paths do not "
            "leave; give law, or one chain per class"
        )
    members = np.flatnonzero(labels == closed[0])
    rest = p[np.ix_(members, members)]
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for n in range(len(members) - 1, 0, -1):
            rest[:n, n] /= rest[n, :n].sum()
            rest[:n, :n] += np.outer(rest[:n, n], rest[n, :n])
        found = np.ones(len(members))
        for n in range(1, len(members)):
            found[n] = found[:n] @ rest[:n, n]
        law = np.zeros(len(p))
        law[members] = found / found.sum()
    if not np.isfinite(law).all():
        raise InputError("the stationary law must be in the range of float64; got overflow; give law")
    return law


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
