"""The one reader of paths: the paths of a theory, drawn when they are read, or a given array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, Rng, choice, integer, key_of, positive
from ..display import Drawn
from ..errors import InputError, InputTypeError
from ..statistics.moments import central_part
from ..theories.immutable import Immutable
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from .arrays import is_array, need_finite_paths, path_array
from .correlators import is_uniform
from .paths import sample_paths
from .run_settings import PathSettings, need_known, time_grid

__all__ = ["Paths"]

# Values of paths read at once.
_CHUNK = 1 << 21
# Values of a theory's paths that are held, rather than drawn again at each reading.
_HELD = 1 << 25
# Number of paths beyond any that a run can have.
_MOST = 2**53


class Paths(Drawn, Immutable, picture="paths"):
    """Paths of a theory on a grid of times, drawn when they are read and the same at every reading.

    Functions that analyse paths take it in place of an array: ``reflection_positivity``, ``hidden_spectrum``,
    ``clustering``, ``connected_four_point``, ``binned_effective_levels``, ``as_network``. Memory holds the part that is
    being read. The paths are the ones that ``simulate`` sums for the same rng or key.

    Parameters
    ----------
    theory : Theory
        A theory of any kind.
    n_paths : int
        Number of paths.
    n_times, dt : int, float
        A uniform grid, as for ``simulate``.
    times : array_like, optional
        A strictly increasing grid instead, shape (n_times,).
    rng : int, SeedSequence, Generator or None
        By NumPy's conventions; None draws fresh entropy, once.
    key : int, optional
        The key of a run (``run.keys``) instead of an rng.
    **settings : PathSettings
        precision : {"float32", "float64"}, of paths and networks, float32 by default. n_threads : int, as for
        ``simulate``.

    Attributes
    ----------
    theory : Theory
    n_paths : int
    times : ndarray
        Grid, shape (n_times,), float64, units of time.
    key : int
    precision : str
    n_threads : int

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.

    See Also
    --------
    sample_paths : paths as one array.
    simulate : sums over paths, which are never stored.

    Examples
    --------
    >>> paths = nnqm.Paths(nnqm.harmonic_oscillator(), 2000, 64, 0.2, rng=1)
    >>> paths.read(0, 10).shape
    (10, 64)
    >>> nnqm.clustering(paths).verdict
    'clusters'
    """

    __slots__ = ("key", "n_paths", "n_threads", "precision", "theory", "times")
    _contents = ("theory", "n_paths", "times", "key", "precision", "n_threads")

    theory: Theory
    n_paths: int
    times: Floats
    key: int
    precision: str
    n_threads: int

    def __init__(
        self,
        theory: Theory,
        n_paths: int,
        n_times: int | None = None,
        dt: float | None = None,
        *,
        times: ArrayLike | None = None,
        rng: Rng = None,
        key: int | None = None,
        **settings: Unpack[PathSettings],
    ) -> None:
        need_known(Paths.__init__, settings, PathSettings)
        if not isinstance(theory, Theory):
            raise InputTypeError(f"theory must be a Theory; got {theory!r}; arrays of paths are taken as they are")
        self._set(
            theory=theory,
            n_paths=integer("n_paths", n_paths, 1, _MOST),
            times=time_grid(n_times, dt, times, theory),
            key=key_of(rng, key),
            precision=choice("precision", settings.get("precision", "float32"), ("float32", "float64")),
            n_threads=integer("n_threads", settings.get("n_threads", 0), 0, 4096),
        )

    def __repr__(self) -> str:
        a, b = self.times[0], self.times[-1]
        return (
            f"Paths({self.theory!r}, {self.n_paths} paths of {self.n_times} times on [{a:g}, {b:g}], "
            f"{self.precision}, key {self.key})"
        )

    @property
    def n_times(self) -> int:
        """Length of the time grid."""
        return len(self.times)

    def read(
        self, first: int = 0, last: int | None = None, channel: int | str | Sequence[int | str] = 0
    ) -> NDArray[Any]:
        """Values of one channel, or of several, along the paths first .. last - 1.

        Parameters
        ----------
        first, last : int
            By default all paths.
        channel : int, str or sequence of int and str
            Position among the outputs of the theory, or the name of any channel; or several of them.

        Returns
        -------
        ndarray
            Shape (last - first, n_times), of the precision of the paths: for each path the same bits, whichever others
            are read with it. For several channels shape (last - first, n_times, channels).

        Raises
        ------
        InputError, InputTypeError
            If the paths or the channel do not exist, or a value is not finite.
        """
        chosen = self._range(first, last)
        if isinstance(channel, Sequence) and not isinstance(channel, str):
            return self._sampled(chosen, tuple(self.theory.channel_name(c) for c in _distinct(channel)))
        return np.ascontiguousarray(self._sampled(chosen, (self.theory.channel_name(channel),))[:, :, 0])

    def read_channels(self, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Values of all channels along the paths first .. last - 1, in the order of ``theory.channels``.

        Parameters
        ----------
        first, last : int
            By default all paths.

        Returns
        -------
        ndarray
            Shape (last - first, n_times, channels): inputs y, then outputs x; without a network the outputs only.

        Raises
        ------
        InputError, InputTypeError
            If the paths do not exist, or a value is not finite.
        """
        return self._sampled(self._range(first, last), self.theory.channels)

    def _range(self, first: int, last: int | None) -> range:
        stop = self.n_paths if last is None else integer("last", last, 0)
        chosen = range(integer("first", first, 0), stop)
        if not chosen or stop > self.n_paths:
            raise InputError(f"first and last must enclose some of the {self.n_paths} paths; got {first} and {last}")
        return chosen

    def _sampled(self, chosen: range, channels: tuple[str, ...]) -> NDArray[Any]:
        return sample_paths(
            self.theory,
            chosen,
            times=self.times,
            key=self.key,
            channels=channels,
            precision=self.precision,
            n_threads=self.n_threads,
        )


@dataclass(frozen=True, kw_only=True)
class PathReader:
    """One channel of paths, whatever they are: units 0 .. n_units - 1, each a row of n_times values.

    ``group`` successive units share random parameters and are independent together only. ``start`` and ``step`` are
    those of the time grid; ``column`` is the channel's position in messages. ``native(first, last)`` gives units as
    they are stored or drawn, shape (last - first, n_times).

    For several channels ``columns`` has their positions, and units have a last axis for them.
    """

    native: Callable[[int, int], NDArray[Any]]
    n_units: int
    n_times: int
    group: int = 1
    start: float = 0.0
    step: float = 1.0
    column: int = 0
    columns: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one unit: (n_times,), or (n_times, channels) for several channels."""
        return (self.n_times,) if self.columns is None else (self.n_times, len(self.columns))

    def read(self, first: int, last: int) -> Floats:
        """Units first .. last - 1 as a new float64 array, finite, shape (last - first, *shape)."""
        x = self.native(first, last).astype(np.float64)
        self.need_finite(x, first)
        return x

    def need_finite(self, x: NDArray[Any], first_path: int, first_step: int = 0) -> None:
        """Raise if a value of some units (path, time) or (path, time, channel) is not finite."""
        if self.columns is None:
            need_finite_paths(x, first_path, first_step, self.column)
            return
        for i, column in enumerate(self.columns):
            need_finite_paths(x[:, :, i], first_path, first_step, column)

    def chunks(self, first: int, last: int) -> Iterator[Floats]:
        """``read`` of some units at a time."""
        at_once = max(1, _CHUNK // prod(self.shape))
        for begin in range(first, last, at_once):
            yield self.read(begin, min(begin + at_once, last))

    def beginning(self) -> Floats:
        """The first chunk."""
        return self.read(0, min(self.n_units, max(1, _CHUNK // prod(self.shape))))

    def first(self, most: int) -> PathReader:
        """A reader of the first units, ``most`` of them or fewer."""
        return replace(self, n_units=min(self.n_units, most))

    def held(self) -> PathReader:
        """The same, in memory if it takes little of it, for what is read several times."""
        if self.n_units * prod(self.shape) > _HELD:
            return self
        at_once = max(1, _CHUNK // prod(self.shape))
        parts = [self.native(i, min(i + at_once, self.n_units)) for i in range(0, self.n_units, at_once)]
        values = np.concatenate(parts)
        return replace(self, native=lambda first, last: values[first:last])


def reader_of(paths: Any, channel: int | str | Sequence[int | str], dt: float = 1.0) -> PathReader:
    """One channel, or several, of ``Paths`` (which have their own ``dt``) or of an array of paths.

    ``channel`` is the position among the outputs or the name of any channel of a theory, or the position in an array;
    or a sequence of them.
    """
    if isinstance(paths, Paths):
        return _reader_of_theory(paths, channel)
    if isinstance(paths, Theory):
        raise InputTypeError(
            f"paths must be paths, not a theory; got {paths!r}; use nnqm.Paths(theory, n_paths, n_times, dt)"
        )
    array = path_array(paths)

    def position(given: int | str) -> int:
        if isinstance(given, str):
            raise InputTypeError(f"channel of given paths must be its position; got {given!r}")
        return integer("channel", given, 0, array.shape[2] - 1)

    known: dict[str, Any] = {"n_units": array.shape[0], "n_times": array.shape[1], "step": positive("dt", dt)}
    if isinstance(channel, Sequence) and not isinstance(channel, str):
        columns = tuple(position(c) for c in _distinct(channel))
        return PathReader(native=lambda first, last: array[first:last][:, :, columns], columns=columns, **known)
    column = position(channel)
    return PathReader(native=lambda first, last: array[first:last, :, column], column=column, **known)


def _distinct(channels: Sequence[Any]) -> Sequence[Any]:
    if not channels or len(set(channels)) < len(channels):
        raise InputError(
            f"channel must name each channel once, and at least one; got {list(channels)}", "leave repeated ones out"
        )
    return channels


def _reader_of_theory(paths: Paths, channel: int | str | Sequence[int | str]) -> PathReader:
    theory, times = paths.theory, paths.times
    wanted: str | tuple[str, ...]
    if isinstance(channel, Sequence) and not isinstance(channel, str):
        names = wanted = tuple(_distinct([theory.channel_name(c) for c in channel]))
    else:
        wanted = theory.channel_name(channel)
        names = (wanted,)
    shared = max(source.shared_by for source in theory.sources)
    columns = tuple(theory.channels.index(name) for name in names)
    return PathReader(
        native=lambda first, last: paths.read(first, last, wanted),
        n_units=paths.n_paths,
        n_times=len(times),
        group=theory.group if set(names) & set(theory.outputs) else shared,
        start=float(times[0]),
        step=float(times[1] - times[0]) if len(times) > 1 else 1.0,
        column=columns[0],
        columns=None if isinstance(wanted, str) else columns,
    )


def readers_of(paths: Any, channel: int | str, dt: float = 1.0) -> Iterator[PathReader]:
    """``reader_of`` of one set of paths, or of each chunk of an iterable."""
    chunked = isinstance(paths, Iterable) and not is_array(paths)
    for chunk in paths if chunked else [paths]:
        yield reader_of(chunk, channel, dt)


def need_uniform(paths: Any) -> None:
    """Raise for ``Paths`` on a grid of several times that is not uniform."""
    if isinstance(paths, Paths) and paths.n_times > 1 and not is_uniform(paths.times):
        raise InputError("paths must be on a uniform grid, which averages over time need; give n_times and dt")


def need_levels(theory: Theory) -> None:
    """Raise for a theory whose correlators are not sums of one set of exponentials."""
    if isinstance(theory.network, RandomNetwork):
        raise InputError(
            f"the network has random weights, {theory.network!r}: each draw of them is a sector with levels "
            "of its own; fix the weights"
        )
    if theory.period is not None or not theory.stationary:
        raise InputError(
            "the theory must be stationary, on open paths; "
            f"{'periodic paths do not decay' if theory.period else 'it is not stationary'}; use other sources"
        )


def location_of(paths: PathReader) -> tuple[float, float]:
    """Median and half the width of the central 68% of the first paths."""
    x = paths.beginning()
    middle = central_part(x)
    width = middle.half_width if middle.high > middle.low else x.std()
    if not width > 1e-12 * np.abs(x).max():
        raise InputError("the channel is constant, so that nothing fluctuates; choose one that moves")
    return float(middle.median), float(width)
