"""A theory: seed processes, a network, and the constants hbar and mass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _core
from .._arguments import Floats, choice, integer, scale
from ..errors import InputError, InputTypeError
from .networks import Network, RandomNetwork
from .source import Source, source_from_dict
from .sources import Times

__all__ = ["Theory"]

# Sources that networks with shared layers need.
_REFLECTED = (Times(reflected=True),)


@dataclass(frozen=True, init=False)
class Theory:
    r"""A Euclidean-time quantum theory: x(t) = f(y(t)) with seed processes y and a network f.

    Parameters
    ----------
    sources : source or sequence of sources
        Seed processes; their channels are the inputs of the network, in order.
    network : Network or RandomNetwork, optional
        Without a network, x = y.
    hbar : float, optional
        By default the value of a Hamiltonian among the sources, or 1. Correlators decay as
        :math:`\exp(-(E_n - E_0) t / \hbar)`.
    mass : float, optional
        Factor m in :math:`p = i m\,dx/dt`; it does not change the paths. By default the value of a Hamiltonian among
        the sources, or 1.

    Raises
    ------
    InputError, InputTypeError
        If the numbers of inputs of the network and of the sources differ, the periods of the sources differ, or a
        constant is not from 1e-50 to 1e50 or contradicts a Hamiltonian.

    Notes
    -----
    Every Euclidean quantum mechanics can be written in this form (Ferko and Halverson, arXiv:2504.05462).

    Examples
    --------
    >>> Theory(nnqm.OrnsteinUhlenbeck(omega=2.0)).channels
    ('x',)
    """

    sources: tuple[Source, ...]
    network: Network | RandomNetwork | None
    hbar: float
    mass: float

    def __init__(
        self,
        sources: Source | Sequence[Source],
        network: Network | RandomNetwork | None = None,
        *,
        hbar: float | None = None,
        mass: float | None = None,
    ) -> None:
        listed = tuple(sources) if isinstance(sources, Iterable) else (sources,)
        if not listed:
            raise InputError("sources must have at least one entry; got none")
        for i, source in enumerate(listed):
            if not isinstance(source, Source):
                raise InputTypeError(f"sources[{i}] must be a source, for example OrnsteinUhlenbeck; got {source!r}")
        if network is not None:
            if not isinstance(network, (Network, RandomNetwork)):
                raise InputTypeError(f"network must be a Network, a RandomNetwork or None; got {network!r}")
            n_inputs = sum(s.n_inputs for s in listed)
            if network.n_inputs != n_inputs:
                raise InputError(
                    f"network takes {network.n_inputs} inputs, but the sources give {n_inputs}; "
                    "make the first width equal to the number of inputs; a matrix of weights has one column per input"
                )
            if isinstance(network, RandomNetwork) and network.shared is not None and listed != _REFLECTED:
                raise InputError(
                    f"a network with shared layers splits its parameters at t = 0 and takes Times(reflected=True); "
                    f"got {listed[0]!r}"
                )
        groups = {s.shared_by for s in listed if s.sectors}
        if isinstance(network, RandomNetwork):
            groups.add(network.group)
        if len(groups) > 1:
            raise InputError(
                f"all random parameters of a theory must have the same group; got groups {sorted(groups)}",
                "give the sources and the network one group",
            )
        if len({s.period for s in listed}) > 1:
            raise InputError(
                f"sources must all have the same period, or all be open; got periods {[s.period for s in listed]}"
            )
        object.__setattr__(self, "sources", listed)
        object.__setattr__(self, "network", network)
        known = [s.constants for s in listed if s.constants is not None]
        for i, (name, given) in enumerate((("hbar", hbar), ("mass", mass))):
            of_sources = sorted({constants[i] for constants in known})
            if len(of_sources) > 1 or (of_sources and given is not None and given != of_sources[0]):
                raise InputError(
                    f"{name} must equal the value of the Hamiltonians of the sources; got "
                    f"{', '.join(f'{v:g}' for v in of_sources)} there and {name}={given}; "
                    "leave it out or make them equal"
                )
            value = of_sources[0] if of_sources else 1.0 if given is None else given
            object.__setattr__(self, name, scale(name, value))

    @property
    def n_inputs(self) -> int:
        """Number of input channels D."""
        return sum(s.n_inputs for s in self.sources)

    @property
    def n_outputs(self) -> int:
        """Number of outputs C; without a network it is the number of inputs."""
        return self.n_inputs if self.network is None else self.network.n_outputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: "x", or "x1", "x2", ..."""
        return _names("x", self.n_outputs)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all channels of a path: inputs y, then outputs x; without a network only the outputs."""
        return self.outputs if self.network is None else _names("y", self.n_inputs) + self.outputs

    @property
    def stationary(self) -> bool:
        """Whether the law of a path is the same at all times, so that averages over time at a fixed lag are valid."""
        return all(s.stationary for s in self.sources)

    @property
    def period(self) -> float | None:
        """Period beta of closed (thermal) paths, unit time; None for open paths."""
        return self.sources[0].period

    @property
    def group(self) -> int:
        """Number of successive paths that share random parameters; 1 without random parameters."""
        own = self.network.group if isinstance(self.network, RandomNetwork) else 1
        return max(own, *(s.shared_by for s in self.sources))

    @property
    def sectors(self) -> bool:
        """Whether random parameters label superselection sectors."""
        return self.stationary and (
            isinstance(self.network, RandomNetwork) or any(source.sectors for source in self.sources)
        )

    @property
    def of_field(self) -> bool:
        """Whether inputs are a field at points of space."""
        return any(source.input_points is not None for source in self.sources)

    @property
    def positive_because(self) -> str:
        """Reason why the theory is reflection positive by construction; empty if none is known."""
        if isinstance(self.network, RandomNetwork) and self.network.shared is not None:
            return "parameters are split at t = 0, and x(0) depends on the shared ones only"
        reasons = [s.positive_because for s in self.sources]
        # Independent processes need the same reflection time; for stationary ones any time serves.
        if not all(reasons) or (len(reasons) > 1 and not self.stationary):
            return ""
        draws = isinstance(self.network, RandomNetwork) and self.stationary
        return "; ".join(dict.fromkeys(reasons)) + (", for every draw of the weights" if draws else "")

    @property
    def all_oscillators(self) -> bool:
        """Whether all inputs are Ornstein-Uhlenbeck processes."""
        return all(s.oscillators is not None for s in self.sources)

    @property
    def omega(self) -> tuple[float, ...]:
        """Rates of the inputs, length D, unit 1/time; raises InputError unless all are Ornstein-Uhlenbeck processes."""
        return tuple(w for rates, _ in self._oscillators("omega") for w in rates)

    @property
    def sigma(self) -> tuple[float, ...]:
        """Noise strengths of the inputs, length D; raises InputError unless all are Ornstein-Uhlenbeck processes."""
        return tuple(w for _, strengths in self._oscillators("sigma") for w in strengths)

    def _oscillators(self, name: str) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        known = [s.oscillators for s in self.sources]
        found = [pair for pair in known if pair is not None]
        if len(found) < len(known):
            raise InputError(f"{name} exists for Ornstein-Uhlenbeck sources only; got {self.sources}")
        return found

    def channel_name(self, channel: int | str = 0) -> str:
        """Name of a channel.

        Parameters
        ----------
        channel : int or str, default 0
            Position among the outputs, or the name of any channel.

        Returns
        -------
        str

        Raises
        ------
        InputError, InputTypeError
            If the theory has no channel of this name or position.

        Examples
        --------
        >>> Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0])).channel_name(1)
        'x2'
        """
        if isinstance(channel, str):
            return choice("channel", channel, self.channels)
        return self.outputs[integer("channel", channel, 0, self.n_outputs - 1)]

    def first_time(self, duration: float) -> float:
        """Default start of a grid of times: 0, or the start of the interval of the sources.

        A theory on the reflected time has a grid centred on 0.

        Parameters
        ----------
        duration : float
            Length of the grid, unit time.

        Returns
        -------
        float
            Unit time.
        """
        if self.sources == _REFLECTED:
            return -duration / 2
        return max((s.interval[0] for s in self.sources if s.interval is not None), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``from_dict``.

        Returns
        -------
        dict
        """
        data: dict[str, Any] = {
            "hbar": self.hbar,
            "mass": self.mass,
            "source": [s.to_dict() for s in self.sources],
        }
        if self.network is not None:
            name = "network" if isinstance(self.network, Network) else "random_network"
            data[name] = self.network.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Theory:
        """The theory that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        Theory
        """
        sources = [source_from_dict(entry) for entry in data["source"]]
        network: Network | RandomNetwork | None = None
        if "random_network" in data:
            network = RandomNetwork.from_dict(data["random_network"])
        elif "network" in data:
            network = Network(**data["network"])
        return cls(sources, network, hbar=data["hbar"], mass=data["mass"])

    def _compiled(self, times: Floats, table: str | None = None) -> _core.Theory:
        return _core.Theory(
            sources=[compiled for s in self.sources for compiled in s.compiled(times)],
            network=_core.Network([]) if self.network is None else self.network._compiled(table),
        )


def _names(letter: str, n: int) -> tuple[str, ...]:
    return (letter,) if n == 1 else tuple(f"{letter}{i + 1}" for i in range(n))
