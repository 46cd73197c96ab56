"""The base class of seed processes: three required members, and optional ones whose default means "unknown"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from inspect import get_annotations
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from .. import _core
from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError, located
from ..quantum.hamiltonian import Hamiltonian
from ..quantum.measures import TwoPointFunction
from ..representation import card
from .network import Network
from .state_modes import Levels, Modes, Rule, ThermalModes
from .table import Table

__all__ = ["REVERSIBLE", "Source", "Transition", "kinds_in", "source_from_dict", "sources_by_kind"]

Compiled: TypeAlias = (
    "_core.OrnsteinUhlenbeck | _core.Chain | _core.PeriodicChain | _core.Linear | _core.Modes | _core.RandomWaves "
    "| _core.Times"
)

# Reason why reversible Markov processes, and processes made from them, are reflection positive by construction.
REVERSIBLE = "functions at one time of reversible Markov processes"

_SOURCES: dict[str, type[Source]] = {}
# Modules with further kinds, which are imported when all kinds are asked for or a kind is not known.
_LATER: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Transition probabilities over a lag between finitely many values, on each of G grids.

    Attributes
    ----------
    values, law : ndarray
        Values and their stationary probabilities, shape (G, S).
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
    mean "unknown". Each one that you define enables more answers: exact functions, properties, levels.

    Attributes
    ----------
    kind : str
        Name in saved files and theory files; importing the class registers it.

    Raises
    ------
    InputTypeError
        From the class statement, if a field has the name of a member of ``Source`` or another class has the same kind.

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
                f"{cls.__name__}.kind must be unique; got {kind!r}, the kind of "
                f"{other.__module__}.{other.__qualname__}; choose another name"
            )
        _SOURCES[kind] = cls

    @property
    @abstractmethod
    def variance(self) -> Floats:
        """Stationary variances, shape (n_inputs,)."""

    @property
    @abstractmethod
    def natural_step(self) -> float:
        """Time step that resolves several levels."""

    @abstractmethod
    def compiled(self, times: Floats) -> Sequence[Compiled]:
        """The process in terms of the core, on a grid of times; usually ``compiled`` of another source.

        Parameters
        ----------
        times : ndarray
            Uniform grid, shape (n_times,), unit time.

        Returns
        -------
        sequence
            Sources of the core.
        """

    # The law of the process.

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_inputs} input{'s' * (self.n_inputs > 1)})"

    def _repr_html_(self) -> str:
        """The process in a notebook: parameters and what is known of it."""
        names = {"stationary": self.stationary, "Markov": self.markov, "Gaussian": self.gaussian}
        facts: dict[str, Any] = {"inputs": self.n_inputs}
        facts |= {name: "yes" if holds else "not known" for name, holds in names.items()}
        facts["stationary"] = "yes" if self.stationary else "no"
        if self.ground_state_of is None:
            # Those of the ground state of a Hamiltonian would be computed, which can take seconds.
            facts |= {"variance": np.asarray(self.variance), "natural time step": self.natural_step}
        facts |= {"period": self.period} if self.period is not None else {}
        facts |= {"reflection positive": self.positive_because} if self.positive_because else {}
        return card(repr(self).replace("(", " (", 1), facts)

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
        """Whether the law of the process is the same at all times; True by default."""
        return True

    @property
    def period(self) -> float | None:
        """Period of closed (thermal) paths in Euclidean time; None for open paths."""
        return None

    @property
    def input_points(self) -> tuple[tuple[float, ...], ...] | None:
        """Point of space of each input of a field; None for other processes."""
        return None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of times on which the process exists; None for all times."""
        return None

    @property
    def step(self) -> float | None:
        """Time step of a process in discrete time; None in continuous time."""
        return None

    @property
    def constants(self) -> tuple[float, float] | None:
        """Values of hbar and mass that belong to the process; None if it has none of its own."""
        return None

    @property
    def continuous(self) -> bool:
        """Whether the process is known to be mean-square continuous."""
        return False

    @property
    def gaussian(self) -> bool:
        """Whether all joint laws of the process are known to be normal."""
        return False

    @property
    def markov(self) -> bool:
        """Whether past and future are known to be independent given the present."""
        return False

    @property
    def positive_because(self) -> str:
        """Reason why the process is reflection positive by construction; empty if none is known."""
        return ""

    @property
    def shared_by(self) -> int:
        """Number of successive paths that share the random parameters of the process; 1 by default."""
        return 1

    @property
    def sectors(self) -> bool:
        """Whether random parameters of the process label superselection sectors; False by default."""
        return False

    @property
    def work(self) -> float:
        """Multiplications per path and time in the core beyond a few per input, for the first slice of a run."""
        return 0.0

    @property
    def known_covariance(self) -> Callable[[Floats, Floats], Floats] | None:
        """Exact covariance of the input at times s and t that broadcast, unit [y]^2; None if it is unknown."""
        return None

    def mean_at(self, times: Floats) -> Floats:
        """Mean of the input at given times, for a process with a ``known_covariance``.

        Parameters
        ----------
        times : ndarray
            Any shape, unit time.

        Returns
        -------
        ndarray
            Shape of the times, unit [y].
        """
        return np.full(np.shape(times), self.mean[0])

    def need_moment(self, order: int, what: str) -> None:  # noqa: B027  # by default nothing is known to be missing
        """Raise an error if the values are known to lack a moment.

        Parameters
        ----------
        order : int
            Order of the moment.
        what : str
            Result that needs the moment, for the message.

        Raises
        ------
        InputError
            If the moment is known not to exist.
        """

    # Members for exact answers.

    @property
    def oscillators(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Rates omega and strengths sigma of independent Ornstein-Uhlenbeck inputs; None for other processes."""
        return None

    @property
    def ground_state_of(self) -> Hamiltonian | None:
        """Hamiltonian of a ground-state process; None for other processes."""
        return None

    def learnable(self) -> dict[str, Floats]:
        """Parameters of the process in which exact observables can be differentiated; none by default.

        Returns
        -------
        dict
            From names ("omega", "sigma", "potential", ...) to float64 arrays of one axis.
        """
        return {}

    def with_learnable(self, values: Mapping[str, Floats]) -> Source:
        """The same process with other values of learnable parameters.

        Parameters
        ----------
        values : mapping
            Any of the entries of ``learnable``, in the same shapes.

        Returns
        -------
        Source

        Raises
        ------
        InputError
            If a value is out of the range of the process.
        """
        return self

    def potential_pullback(self, x: Floats, cotangent: Floats) -> dict[str, Floats]:
        """Derivatives of sum_q cotangent_q V(x_q) in the learnable parameters, for a ground-state process.

        Parameters
        ----------
        x : ndarray
            Positions, shape (Q,).
        cotangent : ndarray
            Shape (Q,).

        Returns
        -------
        dict
            By the names of ``learnable``; none by default.
        """
        return {}

    def opened(self) -> Source:
        """The process with open paths, for a thermal process; the process itself by default.

        Returns
        -------
        Source
        """
        return self

    @property
    def n_components(self) -> int:
        """Number of processes that paths use in turn: path i uses number i mod n_components."""
        return 1

    @property
    def basis(self) -> tuple[int, int, int] | None:
        """Highest polynomial, neurons and products of the default observables; None for the usual ones."""
        return None

    @property
    def has_states(self) -> bool:
        """Whether ``states`` is defined."""
        return type(self).states is not Source.states

    def states(self, fine: Rule, coarse: Rule, hbar: float, component: int = 0) -> tuple[list[Modes], list[Modes]]:
        """Orthonormal modes of every input by a fine and a coarse rule; their difference estimates the error.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Half-width in standard deviations, number of nodes and highest polynomial of a quadrature.
        hbar : float
        component : int, default 0
            Number of the grid, below ``n_components``.

        Returns
        -------
        fine, coarse : list of Modes
            One entry per input.

        Raises
        ------
        InputError
            If no modes are known.
        """
        raise InputError(
            f"exact answers need Ornstein-Uhlenbeck, ground-state or Markov-chain sources; got {self!r}; "
            "sample the theory"
        )

    def thermal_states(
        self, fine: Rule, coarse: Rule, hbar: float, beta: float, component: int = 0
    ) -> tuple[list[ThermalModes], list[ThermalModes]]:
        """Modes of every input at finite temperature, by a fine and a coarse rule; see ``states``.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Half-width in standard deviations, number of nodes and highest polynomial of a quadrature.
        hbar : float
        beta : float
            Period, unit time.
        component : int, default 0
            Number of the grid, below ``n_components``.

        Returns
        -------
        fine, coarse : list of ThermalModes
            One entry per input.

        Raises
        ------
        InputError
            If no modes are known.
        """
        found = self.states(fine, coarse, hbar, component)
        first, second = ([ThermalModes(modes=m, beta=beta) for m in level] for level in found)
        return first, second

    def levels(self, n_levels: int, hbar: float) -> list[Levels] | None:
        """The lowest gaps of every input, preceded by the 0 of the ground state.

        Parameters
        ----------
        n_levels : int
            Largest number of gaps per input, the 0 of the ground state not counted.
        hbar : float

        Returns
        -------
        list of Levels or None
            One entry per input, or per independent mode of inputs that are not independent; None if the levels are
            unknown.
        """
        return None

    @property
    def independent_inputs(self) -> bool:
        """Whether the inputs are independent of each other, so that each has levels of its own; True by default."""
        return True

    @property
    def continuum(self) -> float:
        """Gap at which the continuum begins, energy units; infinite by default."""
        return np.inf

    def ground_energy(self, hbar: float, mass: float) -> tuple[float, str] | None:
        """E_0, if the input is the coordinate of a known Hamiltonian; None otherwise.

        Parameters
        ----------
        hbar, mass : float
            Constants of the theory.

        Returns
        -------
        (float, str) or None
            E_0 in energy units, and its origin as a phrase for the report.
        """
        return None

    def transition(self, lag: float) -> Transition | None:
        """Transition probabilities over a lag between finitely many values.

        Parameters
        ----------
        lag : float
            Unit time.

        Returns
        -------
        Transition or None
            None if they are unknown.
        """
        return None

    def two_point_of(self, column: int, network: Network | None, hbar: float, mass: float) -> TwoPointFunction | None:
        """Exact two-point function of a function of one input, by another way than the states of the process.

        Parameters
        ----------
        column : int
            Number of the input.
        network : Network or None
            The function, one input and one output; None for the input itself.
        hbar, mass : float
            Constants of the theory.

        Returns
        -------
        TwoPointFunction or None
            None if there is no other way.

        Raises
        ------
        InputError
            If there is one, but not for this function.
        """
        return None

    # Names and files.

    @property
    def label(self) -> str:
        """Name in the title of a report."""
        return self.kind or type(self).__name__

    def contents(self) -> dict[str, Any]:
        """Arguments of the class that make this process again; by default the fields of a dataclass.

        Returns
        -------
        dict

        Raises
        ------
        InputTypeError
            If the class is not a dataclass.
        """
        return {name: getattr(self, name) for name in _field_names(type(self))}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``Theory.from_dict``.

        Returns
        -------
        dict

        Raises
        ------
        InputTypeError
            If the class has no kind of its own, or neither is a dataclass nor defines ``contents``.
        """
        if not vars(type(self)).get("kind"):
            raise InputTypeError(
                f"{type(self).__name__} must have a kind of its own to be saved; give its class one: kind = 'mine'"
            )
        return {"kind": self.kind, **{name: _plain(value) for name, value in self.contents().items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        Source
        """
        return cls(**{name: value for name, value in data.items() if name != "kind"})

    @classmethod
    def table_keys(cls) -> tuple[str, ...]:
        """Keys in a theory file beside kind: the fields of a dataclass; none for other classes.

        Returns
        -------
        tuple of str
        """
        return _field_names(cls) if is_dataclass(cls) else ()

    @classmethod
    def from_table(cls, table: Table) -> Source:
        """The process of a ``[[source]]`` table of a theory file; by default keys are the fields of a dataclass.

        Parameters
        ----------
        table : Table
            Keys and values of the source.

        Returns
        -------
        Source

        Raises
        ------
        InputError, InputTypeError
            If a key is missing or a value is not valid; the message names the key.
        """
        given = {}
        for field in fields(cls):  # type: ignore[arg-type]  # table_keys is empty unless the class is a dataclass
            if field.name in table or (field.init and field.default is field.default_factory is MISSING):
                given[field.name] = table.field(field.name, field.type)
        with located(table.place):
            return cls(**given)


def _field_names(cls: type[Any]) -> tuple[str, ...]:
    if not is_dataclass(cls):
        raise InputTypeError(f"{cls.__name__} must be a dataclass to be saved; make it one, or define contents")
    return tuple(field.name for field in fields(cls) if field.init)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def sources_by_kind() -> dict[str, type[Source]]:
    """All imported classes of seed processes, by kind."""
    while _LATER:
        import_module(_LATER.pop())
    return dict(_SOURCES)


def kinds_in(module: str) -> None:
    """Name a module that defines further kinds of processes; it is imported when one of them is needed."""
    _LATER.append(module)


def source_from_dict(data: Mapping[str, Any]) -> Source:
    """The process, of any kind, that ``to_dict`` described.

    Parameters
    ----------
    data : mapping
        Output of ``Source.to_dict``.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    kinds = _SOURCES if data["kind"] in _SOURCES else sources_by_kind()
    return kinds[known_kind("source kind", data["kind"], kinds)].from_dict(data)


def known_kind(name: str, kind: Any, kinds: Mapping[str, Any]) -> str:
    """The kind, checked; the message for an unknown kind names the remedy."""
    try:
        return choice(name, kind, kinds)
    except InputError as error:
        raise InputError(f"{error}; if it is a process of your own, import the module that defines it first") from None
