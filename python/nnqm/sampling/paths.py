"""Paths held in memory: paths of a theory, and a network applied to paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, Rng, choice, floats, integer, key_of
from .._memory import need_memory
from ..errors import InputError, InputTypeError
from ..theories.network import use_table
from ..theories.networks import Network, RandomNetwork
from ..theories.theory import Theory
from .arrays import float_type, need_finite_values, real_array
from .run_settings import SampleSettings, need_known, path_range, time_grid
from .stable_training import need_stable_training

__all__ = ["apply", "sample_paths"]


# Numbers in an array, beyond any that a run can have.
_MOST = 2**53
# Values of the inputs of a network that are drawn at once.
_CHUNK = 1 << 22


def sample_paths(
    theory: Theory,
    paths: int | range,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    times: ArrayLike | None = None,
    rng: Rng = None,
    key: int | None = None,
    **settings: Unpack[SampleSettings],
) -> NDArray[Any]:
    """Paths of a theory, the very ones that ``simulate`` uses for the same rng.

    Parameters
    ----------
    theory : Theory
        A theory of any kind.
    paths : int or range
        Number of paths, the first ones, or a range of path indices with step 1.
    n_times, dt : int, float
        A uniform grid, as for ``simulate``.
    times : array_like, optional
        A strictly increasing grid instead, shape (n_times,).
    rng : int, SeedSequence, Generator or None
        As for ``simulate``.
    key : int, optional
        The key of a run (``run.keys``) instead of an rng.
    **settings
        channels : str or sequence of str, names of channels (``theory.channels``); by default the outputs x of the
        theory. ``channels=theory.channels`` adds the inputs y of the network. precision : {"float32", "float64"}, of
        the paths, float32 by default. n_threads : int, as for ``simulate``. out : ndarray, where to write, C-contiguous
        and of the shape and precision of the paths: sampling into the same memory again saves the system from clearing
        new memory each time.

    Returns
    -------
    ndarray
        Shape (paths, n_times, channels), of the precision asked for. It is ``out`` if that is given.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit, the paths are too many for an array, or an output is not finite (which path and
        time).

    See Also
    --------
    Paths : paths of a theory that are drawn when they are read.

    Examples
    --------
    >>> theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network.random((2, 8, 1), rng=1))
    >>> nnqm.sample_paths(theory, 100, 16, 0.1, rng=1).shape
    (100, 16, 1)
    >>> nnqm.sample_paths(theory, 100, 16, 0.1, rng=1, channels=("y1", "x")).shape
    (100, 16, 2)
    """
    need_known(sample_paths, settings, SampleSettings)
    precision, n_threads = settings.get("precision", "float32"), settings.get("n_threads", 0)
    if not isinstance(theory, Theory):
        raise InputTypeError(f"theory must be a Theory; got {theory!r}")
    grid = time_grid(n_times, dt, times, theory)
    chosen = path_range(paths)
    choice("precision", precision, ("float32", "float64"))
    names = _channel_names(theory, settings.get("channels"))
    most = max(theory.n_inputs, len(names))
    if len(chosen) * len(grid) * most > _MOST:
        raise InputError(
            f"paths must fit into an array; got {len(chosen)} paths of {len(grid)} times and {most} channels; "
            "ask for ranges of paths, or for the sums that simulate makes"
        )
    given = settings.get("out")
    if given is None:
        # Beside the result, one tile of all channels.
        size = (
            np.dtype(precision).itemsize * len(grid) * (len(chosen) * len(names) + _core.tile_paths * theory.n_inputs)
        )
        got = f"{len(chosen)} paths of {len(grid)} times and {len(names)} channels"
        need_memory(size, "the paths", "ask for ranges of paths, or for the sums that simulate makes", got)
    array = _place(given, (len(chosen), len(grid), len(names)), precision)
    draw_channels(theory, names, array, chosen.start, times=grid, key=key_of(rng, key), n_threads=n_threads)
    return array


def draw_channels(
    theory: Theory,
    names: tuple[str, ...],
    out: NDArray[Any],
    first: int,
    *,
    times: Floats,
    key: int,
    n_threads: int,
    futures: int = 1,
) -> None:
    """Write channels of the paths from ``first`` on, as many as ``out`` (paths, n_times, channels) holds.

    Paths i with the same i // futures share their state at the first time.
    """
    integer("n_threads", n_threads, 0, 4096)
    compiled, inputs = theory._compiled(times), theory.channels[: theory.n_inputs]

    def draw(begin: int, target: NDArray[Any]) -> None:
        paths = (first + begin, first + begin + len(target))
        _core.sample(
            theory=compiled, key=key, times=times, paths=paths, n_threads=n_threads, out=target, futures=futures
        )

    if names == inputs:
        draw(0, out)
        return
    # Whole tiles, which the core computes together.
    at_once = max(1, _CHUNK // (len(times) * theory.n_inputs) // _core.tile_paths) * _core.tile_paths
    columns = [theory.channels.index(name) for name in names]
    for begin in range(0, len(out), at_once):
        values = np.empty((min(at_once, len(out) - begin), len(times), theory.n_inputs), out.dtype)
        draw(begin, values)
        part = out[begin : begin + len(values)]
        if theory.network is None or max(columns) < theory.n_inputs:
            part[...] = values[:, :, columns]
            continue
        x = _outputs(theory.network, values, key=key, first_path=first + begin, times=times, n_threads=n_threads)
        _need_finite_outputs(x, values, theory.network, key, first + begin)
        part[...] = x if names == theory.outputs else np.concatenate([values, x], axis=2)[:, :, columns]


def _channel_names(theory: Theory, channels: Sequence[str] | str | None) -> tuple[str, ...]:
    """Checked names of channels; the outputs by default."""
    if channels is None:
        return theory.outputs
    names = (channels,) if isinstance(channels, str) else tuple(channels) if isinstance(channels, Iterable) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise InputTypeError(f"channels must be names; got {channels!r}; choose from {', '.join(theory.channels)}")
    if not names:
        raise InputError(f"channels must have at least one name; choose from {', '.join(theory.channels)}")
    return tuple(choice("channels", name, theory.channels) for name in names)


def _place(out: NDArray[Any] | None, shape: tuple[int, ...], precision: str) -> NDArray[Any]:
    """The array to write into, made where none is given."""
    if out is None:
        return np.empty(shape, precision)
    if not isinstance(out, np.ndarray):
        raise InputTypeError(
            f"out must be an array of NumPy; got {type(out).__name__}; give its view, np.from_dlpack(out)"
        )
    if out.shape != shape or out.dtype != precision:
        raise InputError(
            f"out must have shape {shape} and dtype {precision}; got shape {out.shape} and dtype {out.dtype}"
        )
    if not out.flags.carray:
        raise InputError("out must be writable, aligned and C-contiguous; give an array made by np.empty")
    return out


def apply(
    network: Network | RandomNetwork | None,
    paths: ArrayLike,
    *,
    rng: Rng = None,
    key: int | None = None,
    first_path: int = 0,
    times: ArrayLike | None = None,
    compiled: bool | None = None,
    n_threads: int = 0,
) -> NDArray[Any]:
    """Outputs of a network along paths, with the bits of the fused route.

    Parameters
    ----------
    network : Network, RandomNetwork or None
        None is the identity.
    paths : array_like
        Shape (n_paths, n_times, D); float32 stays float32, all else is computed in float64; any layout, CPU
        arrays of other libraries included.
    rng, key, first_path
        Random weights are drawn from them: the same as for ``sample_paths``, and the index of the first path.
    times : array_like, optional
        Of the paths, shape (n_times,); for a network that is split at t = 0.
    compiled : bool, optional
        As for ``simulate``: the bits are the same as in a run whose ``compiled`` is the same.
    n_threads : int
        0 uses what the OpenMP environment offers.

    Returns
    -------
    ndarray
        Shape (n_paths, n_times, C).

    Raises
    ------
    InputError
        If the shape does not fit, or an output is not finite (which path and time).
    """
    array = real_array(paths)
    if array.ndim != 3:
        raise InputError(f"paths must have axes (path, time, channel); got shape {array.shape}")
    if array.size == 0:
        raise InputError(f"paths must have axes that are not empty; got shape {array.shape}; give at least one path")
    if network is None:
        return array
    if array.shape[2] != network.n_inputs:
        raise InputError(f"paths have {array.shape[2]} channels, but the network takes {network.n_inputs} inputs")
    native: NDArray[Any] = array.astype(float_type(array.dtype), copy=False)
    integer("n_threads", n_threads, 0, 4096)
    random = isinstance(network, RandomNetwork)
    tabulated = use_table(network, native.dtype.name, compiled)
    if random and rng is None and key is None:
        raise InputError("random weights need the rng or key of the paths; for the keys of a run give key=run.keys[0]")
    if isinstance(network, RandomNetwork) and network.shared is not None and times is None:
        raise InputError("a network that is split at t = 0 needs the times of the paths; give times")
    run_key = key_of(rng, key) if random else 0
    out = _outputs(
        network,
        native,
        key=run_key,
        first_path=integer("first_path", first_path, 0, _MOST),
        times=() if times is None else floats("times", times, 1),
        n_threads=n_threads,
        tabulated=tabulated,
    )
    _need_finite_outputs(out, native, network, run_key, first_path)
    return out


def _outputs(
    network: Network | RandomNetwork,
    inputs: NDArray[Any],
    *,
    key: int,
    first_path: int,
    times: Sequence[float] | Floats,
    n_threads: int,
    tabulated: bool | None = None,
) -> NDArray[Any]:
    """Outputs of a network along paths, by a table where a run would take one."""
    if tabulated is None:
        tabulated = use_table(network, inputs.dtype.name, None)
    leading = inputs.shape[:2]
    need_memory(
        inputs.dtype.itemsize * prod(leading) * network.n_outputs,
        "the outputs of the network",
        "give fewer paths at once; the indices of the others are their first_path",
        f"{leading[0]} paths of {leading[1]} times and {network.n_outputs} outputs",
    )
    return np.asarray(
        _core.apply(
            network=network._compiled(inputs.dtype.name if tabulated else None),
            key=key,
            times=times,
            first_path=first_path,
            inputs=inputs,
            n_threads=n_threads,
        )
    )


def _need_finite_outputs(
    out: NDArray[Any], inputs: NDArray[Any], network: Network | RandomNetwork, key: int, first_path: int
) -> None:
    if np.isfinite(out).all():
        return
    path, step = np.argwhere(~np.isfinite(out))[0][:2]
    need_finite_values(inputs[path], first_path + int(path), "paths")
    need_stable_training(network, key, out.dtype.name, paths=range(first_path + int(path), first_path + int(path) + 1))
    raise InputError(
        f"the network overflows: its output on path {first_path + path} at time step {step} is not finite in "
        f"{out.dtype}; use float64 paths or smaller weights"
    )
