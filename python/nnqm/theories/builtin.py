"""Built-in theories, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._arguments import choice, floats, positive
from ..quantum.hamiltonian import Hamiltonian
from .ground_state import GroundStateProcess
from .networks import Network, RandomNetwork
from .sources import OrnsteinUhlenbeck
from .theory import Theory

__all__ = ["builtin_theory", "harmonic_oscillator"]


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
    # A monotonic and an oscillating part, so that odd and even levels have weight.
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


def _random_tanh() -> Theory:
    # Eight paths per draw of the weights suffice for connected functions and allow many draws.
    return Theory(OrnsteinUhlenbeck(1.0), RandomNetwork((1, 16, 1), "tanh", weight_std=1.5, bias_std=0.5, group=8))


def _from_potential(coefficients: list[float]) -> Theory:
    return Theory(GroundStateProcess(Hamiltonian(coefficients)))


def _anharmonic() -> Theory:
    return _from_potential([0.0, 0.0, 0.5, 0.0, 1.0])


def _double_well() -> Theory:
    # (x^2 - a^2)^2, a = 1.5
    return _from_potential([1.5**4, 0.0, -2 * 1.5**2, 0.0, 1.0])


BUILTIN_THEORIES: dict[str, Callable[[], Theory]] = {
    "anharmonic": _anharmonic,
    "double-well": _double_well,
    "oscillator": harmonic_oscillator,
    "deep-tanh": _deep_tanh,
    "three-inputs": _three_inputs,
    "random-tanh": _random_tanh,
}


def builtin_theory(name: str) -> Theory:
    """A built-in theory.

    Parameters
    ----------
    name : {"oscillator", "deep-tanh", "three-inputs", "random-tanh", "anharmonic", "double-well"}
        In this order: the harmonic oscillator (no network, omega = mass = hbar = 1); a fixed 1-4-3-1 tanh network on
        one Ornstein-Uhlenbeck process; a fixed 3-8-1 tanh network on three equal processes; a 1-16-1 tanh network with
        Gaussian random weights on one process, eight paths per draw; the ground-state processes of
        V = x^2/2 + x^4 and of V = (x^2 - 1.5^2)^2, mass = hbar = 1.

    Returns
    -------
    Theory

    Raises
    ------
    InputError
        If the name is unknown; the message suggests the nearest one.
    """
    return BUILTIN_THEORIES[choice("theory", name, BUILTIN_THEORIES)]()
