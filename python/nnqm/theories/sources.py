"""Seed processes: what feeds the inputs of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, floats, positive, positives
from ..errors import InputError

__all__ = ["MarkovChain", "OrnsteinUhlenbeck", "Source", "Times", "alias_tables"]

Compiled: TypeAlias = "_core.OrnsteinUhlenbeck | _core.Chain | _core.PeriodicChain | _core.Linear | _core.Times"


class Source(ABC):
    """A seed process that fills one or more inputs of a network."""

    __slots__ = ()

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """Number of input channels."""

    @property
    @abstractmethod
    def mean(self) -> Floats:
        """Stationary means, shape (n_inputs,)."""

    @property
    @abstractmethod
    def variance(self) -> Floats:
        """Stationary variances, shape (n_inputs,)."""

    @property
    @abstractmethod
    def natural_step(self) -> float:
        """A time step that resolves several levels."""

    @property
    def stationary(self) -> bool:
        """Whether its law does not change with time; most processes' does not."""
        return True

    @property
    def period(self) -> float | None:
        """The period of Euclidean time after which paths close, None for open paths."""
        return None

    @property
    def constants(self) -> tuple[float, float] | None:
        """Hbar and mass, if the process was made with definite ones."""
        return None

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``Theory.from_dict`` understands."""

    @abstractmethod
    def _compiled(self, times: Floats) -> Sequence[Compiled]:
        """The core's description on a grid of times."""


@dataclass(frozen=True, init=False)
class OrnsteinUhlenbeck(Source):
    r"""Independent stationary Ornstein-Uhlenbeck processes, one per network input.

    .. math:: dy_i = -\omega_i y_i\,dt + \sigma_i\,dW_i, \qquad
              \langle y_i(0) y_i(t)\rangle = \frac{\sigma_i^2}{2\omega_i} e^{-\omega_i |t|}

    Paths start from the stationary density and are stepped exactly, whatever the time step
    (Gillespie, Phys. Rev. E 54, 2084 (1996)).

    Parameters
    ----------
    omega : float or sequence of float
        Relaxation rates, shape (D,), unit 1/time, positive.
    sigma : float or sequence of float, default 1
        Noise strengths, shape (D,) or a number used for every input, unit [y]/sqrt(time), positive.

    Raises
    ------
    ValueError
        If a rate or a strength is not finite and positive, or the lengths differ.

    Examples
    --------
    >>> OrnsteinUhlenbeck(omega=[1.0, 2.0]).variance
    array([0.5 , 0.25])
    """

    omega: tuple[float, ...]
    sigma: tuple[float, ...]

    def __init__(self, omega: ArrayLike, sigma: ArrayLike = 1.0) -> None:
        rates = positives("omega", omega)
        strengths = positives("sigma", sigma)
        if len(strengths) == 1:
            strengths = strengths * len(rates)
        if len(rates) == 1 and len(strengths) > 1:
            rates = rates * len(strengths)
        if len(rates) != len(strengths):
            raise InputError(
                f"omega and sigma must have the same length; got {len(rates)} and {len(strengths)}; "
                "give one entry per input"
            )
        object.__setattr__(self, "omega", rates)
        object.__setattr__(self, "sigma", strengths)

    @property
    def n_inputs(self) -> int:
        """Number of independent input channels D."""
        return len(self.omega)

    @property
    def mean(self) -> Floats:
        """Stationary means, zero, shape (D,)."""
        return np.zeros(self.n_inputs)

    @property
    def variance(self) -> Floats:
        """Stationary variances sigma^2/(2 omega), shape (D,)."""
        return np.asarray(np.asarray(self.sigma) ** 2 / (2 * np.asarray(self.omega)))

    @property
    def natural_step(self) -> float:
        """0.2 over the largest rate."""
        return 0.2 / max(self.omega)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands."""
        return {"kind": "ornstein-uhlenbeck", "omega": list(self.omega), "sigma": list(self.sigma)}

    def _compiled(self, times: Floats) -> list[_core.OrnsteinUhlenbeck]:
        return [_core.OrnsteinUhlenbeck(np.asarray(self.omega), np.asarray(self.sigma))]


@dataclass(frozen=True)
class Times(Source):
    r"""The Euclidean time itself as the input: networks in time, whose weights are all that is random.

    Parameters
    ----------
    reflected : bool, default False
        Whether the input is :math:`|t|` instead of t, as parameter splitting needs.

    Examples
    --------
    >>> Times().stationary
    False
    """

    reflected: bool = False

    @property
    def n_inputs(self) -> int:
        """Number of input channels, one."""
        return 1

    @property
    def mean(self) -> Floats:
        """Zero, shape (1,): the time has no distribution of its own."""
        return np.zeros(1)

    @property
    def variance(self) -> Floats:
        """One, shape (1,): the time has no distribution of its own."""
        return np.ones(1)

    @property
    def natural_step(self) -> float:
        """0.1 in units of time."""
        return 0.1

    @property
    def stationary(self) -> bool:
        """False: every time is another input."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``Theory.from_dict`` understands."""
        return {"kind": "times", "reflected": self.reflected}

    def _compiled(self, times: Floats) -> list[_core.Times]:
        return [_core.Times(self.reflected)]


class MarkovChain(Source):
    r"""A stationary, reversible Markov chain on finitely many values, one network input.

    Reversible and Markov implies reflection positive: the chain is a quantum mechanics in discrete time, with
    gaps :math:`-\hbar \ln(\lambda_n)/dt` from the eigenvalues of its transition matrix.

    Parameters
    ----------
    values : array_like
        Value of each state, shape (S,); or (G, S) for G grids of the same process, path i using grid i mod G.
    transitions : array_like
        Probabilities P[i, j] of a step from i to j, shape (S, S) or (G, S, S); rows sum to 1.
    dt : float
        Time of one step; runs must have this dt.
    law : array_like, optional
        Stationary probabilities, shape (S,) or (G, S); from the transitions by default.

    Raises
    ------
    ValueError
        If rows do not sum to 1 to 1e-9, or the chain is not reversible with its law (law_i P_ij = law_j P_ji).

    Examples
    --------
    >>> flip = MarkovChain([-1.0, 1.0], [[0.9, 0.1], [0.1, 0.9]], dt=1.0)
    >>> flip.variance
    array([1.])
    """

    __slots__ = ("_aliases", "dt", "law", "transitions", "values")

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
        for array in (v, p, q):
            array.flags.writeable = False
        object.__setattr__(self, "values", v)
        object.__setattr__(self, "transitions", p)
        object.__setattr__(self, "law", q)
        object.__setattr__(self, "dt", positive("dt", dt))
        object.__setattr__(self, "_aliases", None)

    @property
    def n_inputs(self) -> int:
        """Number of input channels, one."""
        return 1

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

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands."""
        return {
            "kind": "markov-chain",
            "values": self.values.tolist(),
            "transitions": self.transitions.tolist(),
            "law": self.law.tolist(),
            "dt": self.dt,
        }

    def _compiled(self, times: Floats) -> list[_core.Chain]:
        dt = float(times[1] - times[0]) if len(times) > 1 else self.dt
        if abs(dt - self.dt) > 1e-9 * self.dt:
            raise InputError(f"dt must be that of the chain, {self.dt:g}; got {dt:g}")
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

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"MarkovChain is immutable; make a new one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MarkovChain):
            return NotImplemented
        mine, theirs = ((c.values, c.transitions, c.law) for c in (self, other))
        return self.dt == other.dt and all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def __hash__(self) -> int:
        return hash((self.dt, self.values.shape, float(self.transitions.ravel()[0])))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_chain, (self.values, self.transitions, self.dt, self.law))

    def __repr__(self) -> str:
        grids, states = self.values.shape
        return f"MarkovChain({states} states{f' on {grids} grids' if grids > 1 else ''}, dt={self.dt:g})"


def _chain(values: Floats, transitions: Floats, dt: float, law: Floats) -> MarkovChain:
    return MarkovChain(values, transitions, dt, law=law)


def _stationary_law(transitions: Floats) -> Floats:
    states = transitions.shape[1]
    laws = []
    for p in transitions:
        # pi (P - 1) = 0 with the sum of pi as one more equation
        system = np.vstack([(p - np.eye(states)).T, np.ones(states)])
        solution = np.linalg.lstsq(system, np.append(np.zeros(states), 1.0), rcond=None)[0]
        laws.append(np.clip(solution, 0, None) / np.clip(solution, 0, None).sum())
    return np.array(laws)


def alias_tables(rows: Floats) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Thresholds and aliases, (n, S) each, of the rows of probabilities (n, S)."""
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
    # What rounding left over is whole; its alias is itself, so that the largest threshold is as good as 2^32.
    share[small + large] = 1
    return np.minimum(np.round(np.clip(share, 0, 1) * 2.0**32), 2.0**32 - 1).astype(np.uint32), alias
