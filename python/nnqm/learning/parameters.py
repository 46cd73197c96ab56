"""The parameters of a theory that are free in a fit, as one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .._arguments import Floats, floats
from ..errors import InputError
from ..theories.networks import Network
from ..theories.theory import Theory

__all__ = ["FreeParameters", "Gradient", "learnable"]

# Derivatives of a number with respect to the learnable parameters of a theory, by name. Parameters of the same name
# of several sources follow one another.
Gradient = dict[str, Floats]

# Positive parameters, which are free through their logarithms.
POSITIVE = frozenset({"omega", "sigma"})


def learnable(theory: Theory) -> dict[str, Floats]:
    """Parameters of a theory in which its exact observables can be differentiated.

    Parameters
    ----------
    theory : Theory

    Returns
    -------
    dict
        "network": weights and biases in the order of ``Network.parameters``; and the learnable parameters of the
        sources by name, one source after another.
    """
    found: dict[str, Floats] = {}
    if isinstance(theory.network, Network):
        found["network"] = theory.network.parameters
    for source in theory.sources:
        for name, values in source.learnable().items():
            found[name] = np.concatenate([found[name], values]) if name in found else values
    return found


class FreeParameters:
    """The free parameters of a theory as one vector without bounds: rates and strengths through their logarithms.

    Parameters
    ----------
    theory : Theory
    free : sequence of str, default ("network",)
        Names among the keys of ``learnable``.

    Attributes
    ----------
    start : ndarray
        The vector of the theory itself, shape (P,).

    Raises
    ------
    InputError
        If the theory has no learnable parameters of a name, or no name is given.
    """

    def __init__(self, theory: Theory, free: Sequence[str] = ("network",)) -> None:
        known = learnable(theory)
        names = (free,) if isinstance(free, str) else tuple(dict.fromkeys(free))
        for name in names:
            if name not in known:
                raise InputError(
                    f"free must be names of learnable parameters; got {name!r}; this theory has "
                    f"{', '.join(known) or 'none'}"
                )
        if not names:
            raise InputError(f"free must name at least one kind of parameters of {', '.join(known)}; got none")
        self._theory, self._names = theory, names
        self._values = {name: known[name] for name in names}
        parts = [np.log(v) if name in POSITIVE else v for name, v in self._values.items()]
        self._ends = np.cumsum([part.size for part in parts])
        self.start: Floats = np.concatenate(parts)

    def theory(self, vector: Floats) -> Theory:
        """The theory at a vector, shape (P,)."""
        parts = np.split(floats("vector", vector, 1), self._ends[:-1])
        values = {
            name: np.exp(part) if name in POSITIVE else part for name, part in zip(self._names, parts, strict=True)
        }
        network = self._theory.network
        if "network" in values:
            assert isinstance(network, Network)
            network = network.with_parameters(values["network"])
        sources, at = [], dict.fromkeys(values, 0)
        for source in self._theory.sources:
            own: dict[str, Floats] = {}
            for name, old in source.learnable().items():
                if name in values:
                    own[name] = values[name][at[name] : at[name] + old.size]
                    at[name] += old.size
            sources.append(source.with_learnable(own) if own else source)
        return Theory(sources, network, hbar=self._theory.hbar, mass=self._theory.mass)

    def gradient(self, vector: Floats, by_name: Mapping[str, Floats]) -> Floats:
        """Derivatives with respect to the vector, shape (..., P), from derivatives with respect to the parameters."""
        parts = np.split(vector, self._ends[:-1])
        return np.concatenate(
            [
                by_name[name] * np.exp(part) if name in POSITIVE else by_name[name]
                for name, part in zip(self._names, parts, strict=True)
            ],
            axis=-1,
        )
