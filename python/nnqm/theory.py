"""A theory: seed processes, a network, and the constants that turn paths into quantum mechanics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._checks import Floats, choice, floats, positive
from .ground_state import GroundStateProcess
from .hamiltonian import Hamiltonian
from .networks import Network
from .sources import MarkovChain, OrnsteinUhlenbeck, Source

__all__ = ["Theory", "builtin_theory", "harmonic_oscillator"]


@dataclass(frozen=True, init=False)
class Theory:
    r"""A Euclidean-time quantum theory: x(t) = f(y(t)) with seed processes y and a network f.

    Parameters
    ----------
    sources : source or sequence of sources
        Seed processes; their channels are the inputs of the network, in order.
    network : Network, optional
        Without one x = y.
    hbar : float, optional
        1, or that of a Hamiltonian among the sources, by default. Correlators decay as
        :math:`\exp(-(E_n - E_0) t / \hbar)`.
    mass : float, optional
        1, or that of a Hamiltonian among the sources, by default. The factor in :math:`p = i m\,dx/dt`; it does not
        change the paths.

    Raises
    ------
    TypeError, ValueError
        If the network does not take as many inputs as the sources give, or a constant is not positive.

    Notes
    -----
    Every Euclidean quantum mechanics is such a theory (Ferko and Halverson, arXiv:2504.05462).

    Examples
    --------
    >>> Theory(OrnsteinUhlenbeck(omega=2.0)).channels
    ('x',)
    """

    sources: tuple[Source, ...]
    network: Network | None
    hbar: float
    mass: float

    def __init__(
        self,
        sources: Source | Sequence[Source],
        network: Network | None = None,
        *,
        hbar: float | None = None,
        mass: float | None = None,
    ) -> None:
        listed = tuple(sources) if isinstance(sources, Iterable) else (sources,)
        if not listed:
            raise ValueError("sources must have at least one entry; got none")
        for i, source in enumerate(listed):
            if not isinstance(source, Source):
                raise TypeError(f"sources[{i}] must be a source such as OrnsteinUhlenbeck; got {source!r}")
        if network is not None:
            if not isinstance(network, Network):
                raise TypeError(f"network must be a Network or None; got {network!r}")
            n_inputs = sum(s.n_inputs for s in listed)
            if network.n_inputs != n_inputs:
                raise ValueError(
                    f"network takes {network.n_inputs} inputs, but the sources give {n_inputs}; "
                    "make the first width equal to the number of inputs"
                )
        object.__setattr__(self, "sources", listed)
        object.__setattr__(self, "network", network)
        known = [s.constants for s in listed if s.constants is not None]
        for i, (name, given) in enumerate((("hbar", hbar), ("mass", mass))):
            of_sources = sorted({constants[i] for constants in known})
            if len(of_sources) > 1 or (of_sources and given is not None and given != of_sources[0]):
                raise ValueError(
                    f"{name} must be that of the Hamiltonians of the sources; got "
                    f"{', '.join(f'{v:g}' for v in of_sources)} there and {name}={given}; "
                    "leave it out or make them equal"
                )
            value = of_sources[0] if of_sources else 1.0 if given is None else given
            object.__setattr__(self, name, positive(name, value))

    @property
    def n_inputs(self) -> int:
        """Number of input channels D."""
        return sum(s.n_inputs for s in self.sources)

    @property
    def n_outputs(self) -> int:
        """Number of outputs C; without a network the inputs are the outputs."""
        return self.n_inputs if self.network is None else self.network.n_outputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: "x", or "x1", "x2", ..."""
        return _names("x", self.n_outputs)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all channels of a path: inputs y, then outputs x; without a network the outputs only."""
        return self.outputs if self.network is None else _names("y", self.n_inputs) + self.outputs

    @property
    def omega(self) -> tuple[float, ...]:
        """Rates of the inputs, shape (D,), if all are Ornstein-Uhlenbeck processes."""
        return tuple(w for s in self._processes("omega") for w in s.omega)

    @property
    def sigma(self) -> tuple[float, ...]:
        """Noise strengths of the inputs, shape (D,), if all are Ornstein-Uhlenbeck processes."""
        return tuple(w for s in self._processes("sigma") for w in s.sigma)

    def _processes(self, name: str) -> list[OrnsteinUhlenbeck]:
        processes = [s for s in self.sources if isinstance(s, OrnsteinUhlenbeck)]
        if len(processes) < len(self.sources):
            raise ValueError(f"{name} exists for Ornstein-Uhlenbeck sources only; got {self.sources}")
        return processes

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands."""
        data: dict[str, Any] = {
            "hbar": self.hbar,
            "mass": self.mass,
            "source": [s.to_dict() for s in self.sources],
        }
        if self.network is not None:
            data["network"] = self.network.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Theory:
        """The theory that ``to_dict`` described."""
        sources: list[Source] = []
        for entry in data["source"]:
            kind = choice("source kind", entry["kind"], ["ornstein-uhlenbeck", "markov-chain", "ground-state"])
            if kind == "ground-state":
                sources.append(GroundStateProcess.from_dict(entry))
                continue
            if kind == "markov-chain":
                sources.append(MarkovChain(entry["values"], entry["transitions"], entry["dt"], law=entry["law"]))
            else:
                sources.append(OrnsteinUhlenbeck(entry["omega"], entry["sigma"]))
        network = Network(**data["network"]) if "network" in data else None
        return cls(sources, network, hbar=data["hbar"], mass=data["mass"])

    def _compiled(self, times: Floats) -> _core.Theory:
        dt = float(times[1] - times[0]) if len(times) > 1 else None
        return _core.Theory(
            sources=[s._compiled(dt) for s in self.sources],
            layers=[] if self.network is None else self.network._layers(),
        )


def _names(letter: str, n: int) -> tuple[str, ...]:
    return (letter,) if n == 1 else tuple(f"{letter}{i + 1}" for i in range(n))


def harmonic_oscillator(omega: float = 1.0, *, mass: float = 1.0, hbar: float = 1.0) -> Theory:
    r"""The harmonic oscillator :math:`H = p^2/2m + m\omega^2 x^2/2` as a theory.

    Its ground-state process is the Ornstein-Uhlenbeck process with :math:`\sigma^2 = \hbar/m`
    (Nelson, Phys. Rev. 150, 1079 (1966)), so that E_n - E_0 = n hbar omega.

    Parameters
    ----------
    omega, mass, hbar : float
        Positive.

    Returns
    -------
    Theory
    """
    positive("mass", mass)
    positive("hbar", hbar)
    source = OrnsteinUhlenbeck(positive("omega", omega), np.sqrt(hbar / mass))
    return Theory(source, hbar=hbar, mass=mass)


def _deep_tanh() -> Theory:
    # A monotonic and a wiggling part, so that odd and even levels all have weight.
    hidden = floats("weights", [[1.2], [-0.7], [2.0], [0.4]])
    middle = floats("weights", [[0.9, -0.5, 0.3, 0.2], [0.4, 1.1, -0.8, 0.5], [-0.3, 0.6, 0.7, 1.0]])
    network = Network(
        [hidden, middle, [[1.0, -0.8, 0.6]]],
        [[0.1, -0.4, 0.6, 0.0], [0.0, 0.3, -0.2], [0.25]],
        "tanh",
    )
    return Theory(OrnsteinUhlenbeck(1.0), network)


def _three_inputs() -> Theory:
    network = Network.random((3, 8, 1), "tanh", rng=3, weight_std=1.5, bias_std=0.5)
    return Theory(OrnsteinUhlenbeck([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]), network)


def _from_potential(coefficients: list[float]) -> Theory:
    return Theory(GroundStateProcess(Hamiltonian(coefficients)))


def _anharmonic() -> Theory:
    return _from_potential([0.0, 0.0, 0.5, 0.0, 1.0])


def _double_well() -> Theory:
    # (x^2 - a^2)^2, a = 1.5
    return _from_potential([1.5**4, 0.0, -2 * 1.5**2, 0.0, 1.0])


_BUILTIN: dict[str, Callable[[], Theory]] = {
    "anharmonic": _anharmonic,
    "double-well": _double_well,
    "oscillator": harmonic_oscillator,
    "deep-tanh": _deep_tanh,
    "three-inputs": _three_inputs,
}


def builtin_theory(name: str) -> Theory:
    """A theory by name.

    Parameters
    ----------
    name : {"oscillator", "deep-tanh", "three-inputs", "anharmonic", "double-well"}
        The harmonic oscillator (identity network, omega = mass = hbar = 1); a fixed 1-4-3-1 tanh network on
        one Ornstein-Uhlenbeck process; a fixed 3-8-1 tanh network on three equal ones; the ground-state processes
        of V = x^2/2 + x^4 and of V = (x^2 - 1.5^2)^2, mass = hbar = 1.

    Returns
    -------
    Theory

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest.
    """
    return _BUILTIN[choice("theory", name, _BUILTIN)]()
