"""Functionals of paths for the test of reflection positivity: built-in families, and functions of the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice
from ..errors import InputError
from ..sampling.paths import sample_paths
from ..statistics.matrices import product
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.theory import Theory

__all__: list[str] = []

Functional: TypeAlias = "str | Callable[[Floats], ArrayLike]"

ONE_CHANNEL = ("linear", "cubic", "neurons")
BUILT_IN = (*ONE_CHANNEL, "exchange")
# Highest degree of monomials; numbers of times and of channels in a nonlinear functional, and largest number of pairs
# of them; number of neurons, key and scale of their random weights.
_DEGREE, _TIMES, _CHANNELS, _PAIRS = 3, 3, 3, 6
_NEURONS, _NEURON_KEY, _STEEPNESS = 16, 1973, 1.5


@dataclass(frozen=True)
class Arguments:
    """The arguments of functionals: standardised values z of C channels at k offsets, offset by offset.

    ``centre`` and ``scale`` of the channels have shape (C,). ``names`` are the coordinates of a channel in brackets,
    ``"[x2]"``, or its point of space, ``", 0.5"``; empty for a single channel.
    """

    n_offsets: int
    centre: Floats
    scale: Floats
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of arguments, k C."""
        return self.n_offsets * len(self.names)

    def written(self, times: Sequence[float]) -> list[str]:
        """The arguments at given times of the offsets, as they are printed."""
        return [label("z", name, time) for time in times for name in self.names]

    def few(self, most: int) -> list[list[int]]:
        """Positions of at most so many arguments of nonlinear functionals, a list for each offset.

        The offsets are the second, the last and one in between, or the second and the last, or for several channels all
        that there are; the channels are the first, the last and one in between.
        """
        k, channels = self.n_offsets, _spread(0, len(self.names), _CHANNELS)
        count = min(_TIMES, most // len(channels))
        times = _spread(0 if len(channels) > 1 and k <= count else min(1, k - 1), k, count)
        return [[i * len(self.names) + c for c in channels] for i in times]


def label(letter: str, name: str, time: float | str) -> str:
    """A variable of a channel at a time, as it is printed."""
    at = f"{time:.4g}" if isinstance(time, float) else time
    return f"{letter}{name}({at})" if name.startswith("[") else f"{letter}({at}{name})"


def _spread(first: int, end: int, most: int) -> list[int]:
    """At most so many of the numbers first .. end - 1, with both ends."""
    return sorted({int(i) for i in np.linspace(first, end - 1, most).round()})


@dataclass(frozen=True)
class Family:
    """Functionals f_i of the arguments, and their printed form.

    ``evaluate(z, out)`` writes the values at z, shape (arguments, N), into an array (size, N).
    """

    name: str
    size: int
    evaluate: Callable[[Floats, Floats], None]
    write: Callable[[list[str]], list[str]]
    own: bool = False  # whether it is a function of the user


def family(which: Functional, position: int, arguments: Arguments) -> Family:
    """A built-in family, or the family of one function of the user, which has a position among the families."""
    if callable(which):
        return _own_family(which, position, arguments)
    if which == "linear":
        return Family(which, arguments.size, lambda z, out: np.copyto(out, z), lambda written: written)
    if which == "exchange":
        return _exchange(arguments.few(_TIMES * _CHANNELS))
    few = [i for row in arguments.few(_PAIRS) for i in row]
    return _cubic(few) if which == "cubic" else _neurons(few)


def _cubic(few: list[int]) -> Family:
    monomials = [c for d in range(2, _DEGREE + 1) for c in combinations_with_replacement(few, d)]

    def powers(written: list[str], monomial: tuple[int, ...]) -> str:
        used = dict.fromkeys(monomial)
        return " ".join(written[i] + (f"^{monomial.count(i)}" if monomial.count(i) > 1 else "") for i in used)

    def multiply(z: Floats, out: Floats) -> None:
        rows = dict(zip(monomials, out, strict=True)) | {(i,): z[i] for i in few}
        for monomial in monomials:
            np.multiply(rows[monomial[:-1]], z[monomial[-1]], out=rows[monomial])

    return Family("cubic", len(monomials), multiply, lambda written: [powers(written, c) for c in monomials])


def _exchange(few: list[list[int]]) -> Family:
    pairs = [
        (early[a], late[b], early[b], late[a])
        for early, late in combinations(few, 2)
        for a, b in combinations(range(len(early)), 2)
    ]
    if not pairs:
        raise InputError(
            "the functionals 'exchange' need two channels and two offsets",
            "give several channels, or other functionals",
        )

    def subtract(z: Floats, out: Floats) -> None:
        for row, (a, b, c, d) in zip(out, pairs, strict=True):
            np.subtract(z[a] * z[b], z[c] * z[d], out=row)

    def write(written: list[str]) -> list[str]:
        return [f"({written[a]} {written[b]} - {written[c]} {written[d]})" for a, b, c, d in pairs]

    return Family("exchange", len(pairs), subtract, write)


def _neurons(few: list[int]) -> Family:
    inputs = max(_TIMES, len(few))
    normal = sample_paths(
        Theory(OrnsteinUhlenbeck([0.5] * (inputs + 1))), _NEURONS, times=[0.0], key=_NEURON_KEY, precision="float64"
    )[:, 0].astype(np.float64)
    # The same spread for any number of inputs. Two decimals, as printed.
    steepness = _STEEPNESS * np.sqrt(_TIMES / inputs)
    weights, biases = np.round(steepness * normal[:, : len(few)], 2), np.round(normal[:, -1:], 2)

    def neuron(written: list[str], a: Floats, b: float) -> str:
        terms = [f"{c:+.2f} {written[i]}" for c, i in zip(a, few, strict=True)]
        return f"tanh({' '.join(terms)} {b:+.2f})"

    def pass_through(z: Floats, out: Floats) -> None:
        np.tanh(product(weights, z[few]) + biases, out=out)

    return Family(
        "neurons",
        _NEURONS,
        pass_through,
        lambda written: [neuron(written, a, float(b[0])) for a, b in zip(weights, biases, strict=True)],
    )


def _own_family(function: Callable[[Floats], ArrayLike], position: int, arguments: Arguments) -> Family:
    given = getattr(function, "__name__", "")
    name = given if given.isidentifier() else f"f{position}"
    k, channels = arguments.n_offsets, len(arguments.names)

    def seen(z: Floats) -> Floats:
        """Values of x, shape (N, k), or (N, k, C) for several channels."""
        x = arguments.centre + arguments.scale * z.reshape(k, channels, -1).transpose(2, 0, 1)
        return np.ascontiguousarray(x if channels > 1 or arguments.names[0] else x[:, :, 0])

    def evaluate(z: Floats, out: Floats) -> None:
        x = seen(z)
        values = np.asarray(function(x), dtype=np.float64)
        if values.shape != x.shape[:1]:
            raise InputError(
                f"functionals[{position}] ({name}) must return shape {x.shape[:1]} for paths at the offsets, shape "
                f"{x.shape}; got {values.shape}; return one value for each row"
            )
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(
                f"functionals[{position}] ({name}) must be finite; it is {values[bad]} for x = "
                f"{seen(z)[bad].tolist()}; use a bounded function"
            )
        out[0] = values

    return Family(
        name,
        1,
        evaluate,
        lambda written: [f"{name}({', '.join(a.replace('z', 'x', 1) for a in written)})"],
        own=True,
    )


def chosen_families(functionals: Functional | Sequence[Functional] | None, *, several: bool) -> tuple[Functional, ...]:
    """The families that are asked for, checked; by default all that one channel, or several, can have."""
    if functionals is None:
        return BUILT_IN if several else ONE_CHANNEL
    chosen = (functionals,) if isinstance(functionals, str) or callable(functionals) else tuple(functionals)
    if not chosen:
        raise InputError(f"functionals must name at least one family; got none; choose from {', '.join(BUILT_IN)}")
    for i, functional in enumerate(chosen):
        if not callable(functional):
            choice(f"functionals[{i}]", functional, BUILT_IN)
    return chosen
