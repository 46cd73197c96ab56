"""One reader of paths: those of a theory, or an array, in chunks of one channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, choice, integer
from ..errors import InputError, InputTypeError
from ..statistics.moments import central_part
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from .arrays import is_array, real_array, three_axes
from .independent_paths import (
    Units,
    path_units,
    theory_units,
)
from .paths import apply, sample_paths
from .run_settings import Rng

__all__ = ["VisibleChannel", "channel_of"]

# Values of paths handled at once.
_CHUNK = 1 << 21


def paths_of(
    source: Theory | ArrayLike,
    n_times: int | None,
    dt: float | None,
    channel: int | str,
    n_paths: int,
    rng: Rng,
    key: int | None,
    precision: str,
    n_threads: int,
) -> Units:
    wanted = integer("n_paths", n_paths, 1)
    if isinstance(source, Theory):
        return theory_units(source, wanted, n_times, dt, channel, rng, key, precision, n_threads)
    if n_times is not None or dt is not None:
        raise InputError("n_times and dt are for a theory; given paths have their own; leave them out")
    return path_units(source, wanted, 1.0, channel, False)


def location_of(paths: Units) -> tuple[float, float]:
    """Median and half the width of the central 68% of the first paths."""
    x = first_paths(paths)
    middle = central_part(x)
    width = middle.half_width if middle.high > middle.low else x.std()
    if not width > 1e-12 * np.abs(x).max():
        raise InputError("the channel is constant, so that nothing fluctuates; choose one that moves")
    return float(middle.median), float(width)


def first_paths(paths: Units) -> Floats:
    return paths.read(0, min(paths.n_units, max(1, _CHUNK // paths.n_times)))


def chunks_of(paths: Units, first: int, last: int) -> Iterator[Floats]:
    at_once = max(1, _CHUNK // paths.n_times)
    for begin in range(first, last, at_once):
        yield paths.read(begin, min(begin + at_once, last))


@dataclass(frozen=True)
class VisibleChannel:
    """The visible channel of a theory."""

    theory: Theory
    channel: int | str
    precision: str
    n_threads: int

    def __post_init__(self) -> None:
        if isinstance(self.theory.network, RandomNetwork):
            raise InputError(
                f"the network has random weights, {self.theory.network!r}: each draw of them is a sector with levels "
                "of its own; fix the weights"
            )
        if self.theory.period is not None or not self.theory.stationary:
            raise InputError(
                "the theory must be stationary, on open paths; "
                f"{'periodic paths do not decay' if self.theory.period else 'it is not stationary'}; use other sources"
            )

    @property
    def name(self) -> str:
        """Name of the channel."""
        if isinstance(self.channel, str):
            return choice("channel", self.channel, self.theory.channels)
        return self.theory.outputs[integer("channel", self.channel, 0, self.theory.n_outputs - 1)]

    def paths(self, which: range, n_times: int, dt: float, key: int) -> NDArray[Any]:
        """Values of the channel, shape (paths, n_times)."""
        y = sample_paths(self.theory, which, n_times, dt, key=key, precision=self.precision, n_threads=self.n_threads)
        if self.name not in self.theory.outputs:
            return np.asarray(y[:, :, self.theory.channels.index(self.name)])
        x = apply(self.theory.network, y, n_threads=self.n_threads)
        return np.asarray(x[:, :, self.theory.outputs.index(self.name)])


def channel_of(source: Any, channel: int | str) -> Iterator[NDArray[Any]]:
    """The visible channel of each chunk, shape (n_paths, n_times)."""
    if isinstance(channel, str):
        raise InputTypeError(f"channel of given paths must be its position; got {channel!r}")
    for chunk in [source] if is_array(source) else source:
        array = three_axes(real_array(chunk))
        yield array[:, :, integer("channel", channel, 0, array.shape[2] - 1)]
