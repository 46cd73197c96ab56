"""Paths to and from ArviZ: chains and draws of functions of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import integer, positive
from ..errors import InputError, InputTypeError, located
from ..learning.frameworks import imported
from ..sampling.arrays import path_array, read_given
from ..sampling.path_source import Paths

if TYPE_CHECKING:
    import xarray

__all__ = ["from_arviz", "to_arviz"]

# Names of the axes of ArviZ.
_CHAIN, _DRAW = "chain", "draw"


def to_arviz(paths: Any, dt: float | None = None, *, names: Sequence[str] | None = None, n_chains: int = 1) -> Any:
    """Paths as the posterior group of ArviZ: each path is a draw, and each channel a variable.

    Parameters
    ----------
    paths : Paths, array_like, or mapping of array_like
        As for ``accumulate``: shape (n_paths, n_times, channels) or (n_paths, n_times), labelled arrays included. A
        mapping holds independent chains by name, of equal shapes.
    dt : float, optional
        Time step; by default the step of ``Paths`` or of the coordinate of times, or 1.
    names : sequence of str, optional
        Names of the channels; by default those of the theory or of the labels, or x, or x0, x1, ...
    n_chains : int, default 1
        Number of chains into which one array of paths is cut; the number of paths must be a multiple of it. ArviZ
        compares chains (r_hat), for which paths of a theory, which are independent, may be cut at will.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        InferenceData before version 1 of ArviZ; DataTree from version 1 on, and without ArviZ.
        Its group "posterior" has dimensions chain, draw and time.

    Raises
    ------
    InputError, InputTypeError
        If shapes do not fit, or the paths are no multiple of the chains.

    Notes
    -----
    For functions of paths with errors, such as levels, ArviZ has no place but draws: give it bootstrap samples,
    ``arviz.from_dict`` of ``to_bootstrap``.

    Examples
    --------
    >>> paths = nnqm.Paths(nnqm.harmonic_oscillator(), 400, 16, 0.2, rng=1)
    >>> data = to_arviz(paths, n_chains=4)
    >>> dict(data.posterior.x.sizes)
    {'chain': 4, 'draw': 100, 'time': 16}
    """
    import xarray

    if dt is not None:
        positive("dt", dt)
    chains, times, known = _chains(paths, n_chains)
    if times is None or dt is not None:
        times = np.arange(chains.shape[2]) * (1.0 if dt is None else float(dt))
    n = chains.shape[3]
    dims = (_CHAIN, _DRAW, "time")
    chosen = _listed(names if names is not None else known or (["x"] if n == 1 else [f"x{i}" for i in range(n)]))
    if len(chosen) != n or len(set(chosen)) != n:
        raise InputError(f"names must be {n} different ones, one for each channel; got {chosen}")
    if taken := set(chosen) & set(dims):
        raise InputError(f"names must differ from {', '.join(dims)}; got {taken.pop()!r}; give other names")
    variables = {name: (dims, chains[..., i]) for i, name in enumerate(chosen)}
    coords = {_CHAIN: np.arange(len(chains)), _DRAW: np.arange(chains.shape[1]), "time": times}
    posterior = xarray.Dataset(variables, coords=coords)
    if _major() == 0:
        return imported("arviz", "pip install arviz").InferenceData(posterior=posterior)
    if not hasattr(xarray, "DataTree"):
        raise ImportError("this function needs xarray.DataTree; install it: pip install --upgrade xarray")
    return xarray.DataTree.from_dict({"/posterior": posterior})


def _listed(names: Any) -> list[str]:
    chosen = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [names]
    for name in chosen:
        if not isinstance(name, str):
            raise InputTypeError(f"names must be texts; got {name!r}")
    return chosen


def _major() -> int | None:
    """Major version of the ArviZ that is installed, None if there is none."""
    try:
        return int(metadata.version("arviz").split(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _chains(paths: Any, n_chains: int) -> tuple[NDArray[Any], Any, tuple[str, ...] | None]:
    """Values, shape (chain, draw, time, channel), and times and names where the paths have them."""
    if isinstance(paths, Paths):
        names = paths.theory.channels
        return _cut(paths.read_channels(), n_chains), paths.times, names
    if isinstance(paths, Mapping):
        if n_chains not in (1, len(paths)):
            raise InputError(f"n_chains must be left out: the mapping has {len(paths)} chains; got {n_chains}")
        arrays, found = [], []
        for name, chain in paths.items():
            with located(f"paths[{name!r}]"):
                found.append(read_given(chain, ask=False))
                arrays.append(path_array(chain))
        if not arrays or len({a.shape for a in arrays}) > 1:
            raise InputError(
                f"chains must have equal shapes; got {[a.shape for a in arrays]}; cut them to the shortest chain"
            )
        values, first = np.stack(arrays), found[0]
    else:
        values, first = _cut(path_array(paths), n_chains), read_given(paths, ask=False)
    times = None if first.dt is None else np.arange(values.shape[2]) * first.dt
    return values, times, first.names


def _cut(paths: NDArray[Any], n_chains: int) -> NDArray[Any]:
    count = integer("n_chains", n_chains, 1)
    if len(paths) % count:
        raise InputError(
            f"n_chains must divide the number of paths, {len(paths)}; got {count}; leave {len(paths) % count} paths out"
        )
    return paths.reshape(count, len(paths) // count, *paths.shape[1:])


def from_arviz(
    data: Any, names: str | Sequence[str], *, time: str | None = None, group: str = "posterior"
) -> dict[str, xarray.DataArray]:
    """Variables of ArviZ as paths for ``accumulate``: chains become independent replicas.

    Parameters
    ----------
    data : arviz.InferenceData, xarray.DataTree, or xarray.Dataset
        A dataset is the group itself.
    names : str or sequence of str
        Names of the variables that become channels.
    time : str, optional
        Dimension that is Euclidean time; by default the only one beside chain and draw. Each draw is a path then. With
        "draw" each chain is one trajectory, for variables without a dimension of time: a chain of a sampler of
        Langevin type, for example. The step is the one of the coordinate; give ``accumulate`` a dt for draws.
    group : str, default "posterior"
        Name of the group.

    Returns
    -------
    dict of DataArray
        For each chain, "chain 0" and so on, an array with dimensions path, time and channel. ``accumulate`` looks for
        autocorrelation along the draws, and compares the chains.

    Raises
    ------
    InputError, InputTypeError
        If a group, a variable or a dimension does not exist or does not fit; the message has the names that do.

    Examples
    --------
    >>> data = to_arviz(nnqm.Paths(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1), n_chains=4)
    >>> run = nnqm.accumulate(from_arviz(data, "x"))
    >>> [name for name, _ in run.replicas], run.dt
    (['chain 0', 'chain 1', 'chain 2', 'chain 3'], 0.2)
    """
    dataset = _group(data, group)
    chosen = _listed(names)
    if not chosen:
        raise InputError("names must have at least one variable; got none")
    for name in chosen:
        if name not in dataset.data_vars:
            raise InputError(f"{group} has no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}")
    kept = dataset[chosen]
    if _CHAIN not in kept.dims or _DRAW not in kept.dims:
        raise InputError(f"variables must have dimensions chain and draw; got {', '.join(map(str, kept.dims))}")
    others = [str(d) for d in kept.dims if d not in (_CHAIN, _DRAW)]
    if time is None and len(others) == 1:
        time = others[0]
    if time is None or (time != _DRAW and time not in others) or len(others) - (time != _DRAW) > 0:
        raise InputError(
            f"time must name the dimension of Euclidean time; {', '.join(chosen)} have {', '.join(others) or 'none'} "
            "beside chain and draw; give time='draw' if each chain is a trajectory, and select one entry of other ones"
        )
    for name in chosen:
        if set(kept[name].dims) != set(kept.dims):
            raise InputError(
                f"variables must have the same dimensions; {name!r} has {', '.join(map(str, kept[name].dims))}"
            )
    array = kept.to_array("channel")
    if time == _DRAW:
        array = array.expand_dims("path").rename({_DRAW: "time"})
    else:
        array = array.rename({_DRAW: "path"} | ({} if time == "time" else {time: "time"}))
    array = array.transpose(_CHAIN, "path", "time", "channel")
    labels = (
        [str(label) for label in kept[_CHAIN].values] if _CHAIN in kept.coords else list(map(str, range(len(array))))
    )
    return {f"chain {label}": array.isel({_CHAIN: i}, drop=True) for i, label in enumerate(labels)}


def _group(data: Any, group: str) -> Any:
    """The dataset of a group."""
    library, kind = type(data).__module__.split(".")[0], type(data).__name__
    if library == "xarray" and kind == "Dataset":
        return data
    if kind == "InferenceData":
        known = list(data.groups())
    elif library == "xarray" and kind == "DataTree":
        known = list(data.children)
    else:
        raise InputTypeError(f"data must be an InferenceData of ArviZ, a DataTree or a Dataset of xarray; got {kind}")
    if group not in known:
        raise InputError(f"data has no group {group!r}; it has {', '.join(map(str, known)) or 'none'}")
    found = data[group]
    return found.to_dataset() if kind == "DataTree" else found
