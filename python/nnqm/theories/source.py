"""The base of all seed processes: three required members, and others whose defaults mean "unknown"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import get_annotations
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from .. import _core
from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError, located
from ..quantum.hamiltonian import Hamiltonian
from .state_modes import Levels, Modes, Rule, ThermalModes
from .table import Table

__all__ = ["REVERSIBLE", "Source", "Transition", "source_from_dict", "sources_by_kind"]

Compiled: TypeAlias = "_core.OrnsteinUhlenbeck | _core.Chain | _core.PeriodicChain | _core.Linear | _core.Times"

# Why reversible Markov processes, and those made of them, are reflection positive by construction.
REVERSIBLE = "functions at one time of reversible Markov processes"

_SOURCES: dict[str, type[Source]] = {}


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Values, law and transition probabilities over some time, on each of G grids.

    Attributes
    ----------
    values, law : ndarray
        Shape (G, S).
    probabilities : ndarray
        Shape (G, S, S).
    """

    values: Floats
    law: Floats
    probabilities: Floats


class Source(ABC):
    r"""A seed process that fills one or more inputs of a network.

    A process of your own is a subclass with three members: ``variance``, ``natural_step`` and ``compiled``. As a frozen
    dataclass with a ``kind`` it can be saved, loaded and written in a theory file. All other members have defaults that
    say "unknown"; each that you define lets the package know more: exact answers, properties, levels.

    Attributes
    ----------
    kind : str
        Name in saved files and theory files; importing the class makes it known there.

    Raises
    ------
    InputTypeError
        By the class statement, if a field has the name of a member of ``Source``, or another class has the kind.

    Examples
    --------
    The random telegraph process, which flips its sign at a rate:

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Telegraph(Source):
    ...     rate: float = 1.0
    ...     variance = property(lambda self: np.ones(1))
    ...     natural_step = property(lambda self: 0.1 / self.rate)
    ...
    ...     def compiled(self, times):
    ...         dt = times[1] - times[0]
    ...         stay = (1 + np.exp(-2 * self.rate * dt)) / 2
    ...         return nnqm.MarkovChain([-1.0, 1.0], [[stay, 1 - stay], [1 - stay, stay]], dt).compiled(times)
    >>> run = nnqm.simulate(nnqm.Theory(Telegraph(rate=2.0)), 6400, 16, 0.1, rng=1)
    >>> print(run.moments().value[0].round(4))
    1.0
    """

    __slots__ = ()

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in get_annotations(cls):
            if name in vars(Source) and name not in cls.__dict__:
                raise InputTypeError(f"{cls.__name__}.{name} hides Source.{name}; give the field another name")
        kind = cls.__dict__.get("kind", "")
        if not kind:
            return
        other = _SOURCES.get(kind, cls)
        if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputTypeError(
                f"{cls.__name__}.kind must be another name than {kind!r}, which is that of "
                f"{other.__module__}.{other.__qualname__}"
            )
        _SOURCES[kind] = cls

    @property
    @abstractmethod
    def variance(self) -> Floats:
        """Stationary variances, shape (n_inputs,)."""

    @property
    @abstractmethod
    def natural_step(self) -> float:
        """A time step that resolves several levels."""

    @abstractmethod
    def compiled(self, times: Floats) -> Sequence[Compiled]:
        """The core's description on a grid of times; ``compiled`` of another source makes one."""

    # The law of the process.

    @property
    def n_inputs(self) -> int:
        """Number of input channels, one by default."""
        return 1

    @property
    def mean(self) -> Floats:
        """Stationary means, shape (n_inputs,), zero by default."""
        return np.zeros(self.n_inputs)

    @property
    def stationary(self) -> bool:
        """Whether its law does not change with time; most processes' does not."""
        return True

    @property
    def period(self) -> float | None:
        """The period of Euclidean time after which paths close, None for open paths."""
        return None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Times at which it exists, None for all."""
        return None

    @property
    def step(self) -> float | None:
        """Its own time step, None where time is continuous."""
        return None

    @property
    def constants(self) -> tuple[float, float] | None:
        """Hbar and mass, if the process was made with definite ones."""
        return None

    @property
    def continuous(self) -> bool:
        """Whether it is known to be mean-square continuous."""
        return False

    @property
    def gaussian(self) -> bool:
        """Whether all joint laws are known to be normal."""
        return False

    @property
    def markov(self) -> bool:
        """Whether past and future are known to be independent given the present."""
        return False

    @property
    def positive_because(self) -> str:
        """Why it is reflection positive by construction; empty where that is unknown."""
        return ""

    @property
    def known_covariance(self) -> Callable[[Floats, Floats], Floats] | None:
        """Exact covariance of the input at times s and t that broadcast, unit [y]^2; None where it is unknown."""
        return None

    def mean_at(self, times: Floats) -> Floats:
        """Mean of the input at times of any shape, for what has a ``known_covariance``."""
        return np.full(np.shape(times), self.mean[0])

    def need_moment(self, order: int, what: str) -> None:  # noqa: B027  # unknown is no reason to refuse
        """Raise InputError if values are known to have no moment of this order, which ``what`` needs."""

    # Members that make exact answers possible.

    @property
    def oscillators(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Rates omega and strengths sigma of the inputs, if they are independent Ornstein-Uhlenbeck processes."""
        return None

    @property
    def ground_state_of(self) -> Hamiltonian | None:
        """The Hamiltonian whose ground-state process it is; None for others."""
        return None

    def opened(self) -> Source:
        """The process of open paths whose thermal one this is; itself by default."""
        return self

    @property
    def n_components(self) -> int:
        """Number of processes among which paths are dealt out in turn, path i having number i mod n_components."""
        return 1

    @property
    def has_states(self) -> bool:
        """Whether ``states`` knows orthonormal modes."""
        return type(self).states is not Source.states

    def states(self, fine: Rule, coarse: Rule, hbar: float, component: int = 0) -> tuple[list[Modes], list[Modes]]:
        """Orthonormal modes of every input by a fine and a coarse rule, whose difference shows the error.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Half-width in standard deviations, nodes and highest polynomial for inputs with Hermite functions.
        hbar : float
        component : int
            Below ``n_components``.

        Raises
        ------
        InputError
            If no modes are known.
        """
        raise InputError(
            f"the exact side knows Ornstein-Uhlenbeck, ground-state and Markov-chain sources; got {self!r}; "
            "sample the theory"
        )

    def thermal_states(
        self, fine: Rule, coarse: Rule, hbar: float, beta: float, component: int = 0
    ) -> tuple[list[ThermalModes], list[ThermalModes]]:
        """Modes of every input at finite temperature; see ``states``."""
        found = self.states(fine, coarse, hbar, component)
        first, second = ([ThermalModes(modes=m, beta=beta) for m in level] for level in found)
        return first, second

    def levels(self, n_levels: int, hbar: float) -> list[Levels] | None:
        """The lowest gaps of every input, at most ``n_levels`` and the 0 before them; None where unknown."""
        return None

    @property
    def continuum(self) -> float:
        """Gap from which on energies are continuous, infinite by default."""
        return np.inf

    def ground_energy(self, hbar: float, mass: float) -> tuple[float, str] | None:
        """E_0 and a phrase that says where it is from, if the input is the coordinate of a known Hamiltonian."""
        return None

    def transition(self, lag: float) -> Transition | None:
        """Transition probabilities over a lag between finitely many values; None where unknown."""
        return None

    # Names, files.

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return self.kind or type(self).__name__

    def contents(self) -> dict[str, Any]:
        """Arguments by which the class makes this process again; by default the fields of a dataclass.

        Raises
        ------
        InputTypeError
            If the class is no dataclass.
        """
        return {name: getattr(self, name) for name in _field_names(type(self))}

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``Theory.from_dict`` understands.

        Raises
        ------
        InputTypeError
            If the class has no kind of its own, or does not know its contents.
        """
        if not vars(type(self)).get("kind"):
            raise InputTypeError(
                f"{type(self).__name__} must have a kind of its own to be saved; give its class one: kind = 'mine'"
            )
        return {"kind": self.kind, **{name: _plain(value) for name, value in self.contents().items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described."""
        return cls(**{name: value for name, value in data.items() if name != "kind"})

    @classmethod
    def table_keys(cls) -> tuple[str, ...]:
        """Keys in a theory file beside kind: the fields of a dataclass; none if it cannot be written there."""
        return _field_names(cls) if is_dataclass(cls) else ()

    @classmethod
    def from_table(cls, table: Table) -> Source:
        """The process of a ``[[source]]`` of a theory file: by default the fields of a dataclass by name."""
        given = {}
        for field in fields(cls):  # type: ignore[arg-type]  # table_keys is empty for what is no dataclass
            if field.name in table or (field.init and field.default is field.default_factory is MISSING):
                given[field.name] = table.field(field.name, field.type)
        with located(table.place):
            return cls(**given)


def _field_names(cls: type[Any]) -> tuple[str, ...]:
    if not is_dataclass(cls):
        raise InputTypeError(f"{cls.__name__} must be a dataclass, or define contents, to be saved")
    return tuple(field.name for field in fields(cls) if field.init)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def sources_by_kind() -> dict[str, type[Source]]:
    """All seed processes that have a kind and were imported."""
    return dict(_SOURCES)


def source_from_dict(data: Mapping[str, Any]) -> Source:
    """The process that ``to_dict`` described, of any kind.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    return _SOURCES[known_kind("source kind", data["kind"], _SOURCES)].from_dict(data)


def known_kind(name: str, kind: Any, kinds: Mapping[str, Any]) -> str:
    """A kind of source; the message for an unknown one says how to make it known."""
    try:
        return choice(name, kind, kinds)
    except InputError as error:
        raise InputError(f"{error}; if it is a process of your own, import the module that defines it first") from None
