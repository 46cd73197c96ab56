"""The physics of many theories as one dataset: from architectures to quantum systems."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product, starmap
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Rng
from ..errors import InputError, InputTypeError
from ..progress import ProgressBar
from ..runs.crew import crew_of
from ..runs.simulation import Interrupted
from ..sampling.run_settings import need_known
from ..statistics.blas import one_blas_thread
from ..theories.theory import Theory
from .physics import NUMBERS, OF_LEVELS, Physics, Plan, ScanSettings, failed
from .tables import dataset_of

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["scan"]

# Names that the dataset has in any case.
_TAKEN = ("level", *NUMBERS, *OF_LEVELS, "seen", "p_value", "positivity", "reason", "failure")

# A point of the grid by its coordinates, as a text; and the function without arguments that makes its theory.
_Point: TypeAlias = tuple[str, Callable[[], Any]]


@one_blas_thread
def scan(
    theories: Mapping[str, Any],
    build: Callable[..., Theory] | None = None,
    channel: int | str = 0,
    *,
    n_levels: int = 5,
    times: ArrayLike | None = None,
    rng: Rng = None,
    **settings: Unpack[ScanSettings],
) -> Dataset:
    """The physics of many theories: levels, spectral weights, kurtosis, commutator, uncertainty and positivity.

    Each number is exact, an average of exact answers over draws of the weights, or measured on paths, as in
    ``training_dynamics``; its error and its origin stand beside it.

    Parameters
    ----------
    theories : mapping
        Without ``build``: labels to theories, along the dimension ``theory``. With ``build``: names of coordinates to
        their values; the theories are ``build(**point)`` at all points of the grid.
    build : callable, optional
        Makes a theory from one value of each coordinate, given as keyword arguments.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.
    n_levels : int, default 5
        Number of levels above the ground state.
    times : array_like, optional
        Uniform grid of the paths, as for ``training_dynamics``.
    rng : int, SeedSequence, Generator or None
        Randomness of everything, by NumPy's conventions. The random numbers of a theory depend on its label or
        coordinates, so that its numbers are the same in any scan of the same rng.
    **settings : ScanSettings
        n_paths : int, paths of each measurement and of each test, 20000 by default. n_draws : int, draws of random
        weights. positivity : bool, whether reflection positivity is tested on paths. precision, n_threads as for
        ``simulate``. progress : callable, called with (theories done, all theories), bool or None, as for ``simulate``.
        executor : workers, as for ``simulate``; each theory is one task.

    Returns
    -------
    xarray.Dataset
        Over the given dimensions, and ``level`` for the quantities of levels: ``gap`` and ``weight`` at each level,
        ``variance``, ``kurtosis``, ``commutator`` and ``uncertainty``; for each of them the error (``gap_error``) and
        the origin (``gap_origin``: "exact", "averaged", "measured", "unresolved" or "absent"); ``seen``, whether the
        weight of a level exceeds zero by three errors; ``p_value`` and ``positivity``, the verdict on reflection
        positivity; ``reason``; and ``failure``, the message of a theory that failed, otherwise empty. Coordinates that
        are neither numbers nor texts are stored as texts. ``to_netcdf`` saves it.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit, before work starts; or if all theories fail.
    Interrupted
        On Ctrl-C; its ``partial`` is a dataset with the theories that are finished, and "interrupted" as the
        ``failure`` of the others; None if no theory is finished.

    Notes
    -----
    Theories that fail are named in a ``RuntimeWarning``, and the dataset has all others.

    Examples
    --------
    >>> def build(scale):
    ...     network = nnqm.Network([[[scale]], [[1.0]]], activation="sin")
    ...     return nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    >>> found = scan({"scale": [0.5, 1.0, 2.0]}, build, n_levels=3, positivity=False)
    >>> found.weight.sel(scale=1.0).values.round(4)
    array([0.3033, 0.    , 0.0126])
    >>> found.seen.sel(scale=1.0).values
    array([ True, False,  True])
    """
    need_known(scan, settings, ScanSettings)
    coordinates, points = _points(theories, build)
    plan = Plan.of(channel, n_levels, times, rng, settings)
    bar, crew = ProgressBar("scan", "theories/s", settings.get("progress")), crew_of(settings.get("executor"))
    if crew is not None:
        plan = replace(plan, n_threads=plan.n_threads or crew.threads)
    call, items = partial(_one, plan), [(label, make) for label, make in points]
    ended = enumerate(starmap(call, items)) if crew is None else crew.as_completed(call, items)
    # A theory that is not reached was interrupted.
    found, failures = [failed("interrupted", plan.n_levels)] * len(points), ["interrupted"] * len(points)
    done = 0
    try:
        with bar as tell:
            for i, (physics, failure) in ended:
                found[i], failures[i] = physics, failure
                done += 1
                tell(done, len(points))
    except KeyboardInterrupt:
        partial_result = _dataset(plan, coordinates, found, failures) if done else None
        raise Interrupted(partial_result, f"{done} of {len(points)} theories") from None
    lost = [f"{label}: {failure}" for (label, _), failure in zip(points, failures, strict=True) if failure]
    if len(lost) == len(points):
        raise InputError(f"all theories fail; {lost[0]}" + (f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""))
    if lost:
        warnings.warn(f"{len(lost)} of {len(points)} theories fail; {'; '.join(lost)}", RuntimeWarning, stacklevel=2)
    return _dataset(plan, coordinates, found, failures)


def _points(theories: Any, build: Callable[..., Theory] | None) -> tuple[dict[str, NDArray[Any]], list[_Point]]:
    """Coordinates of the dataset, and label and maker of each theory in the order of the grid."""
    if not isinstance(theories, Mapping) or not theories:
        raise InputTypeError(
            f"theories must map labels to theories, or with build names of coordinates to their values; got "
            f"{type(theories).__name__ if theories or not isinstance(theories, Mapping) else 'none'}"
        )
    if build is None:
        for label, theory in theories.items():
            if not isinstance(theory, Theory):
                raise InputTypeError(
                    f"theories[{label!r}] must be a Theory; got {theory!r}; for a grid of coordinates also give build"
                )
        labels = [str(label) for label in theories]
        _need_distinct("theories", labels)
        named = {str(label): theory for label, theory in theories.items()}
        return {"theory": np.array(labels)}, [(label, partial(_given, t)) for label, t in named.items()]
    if not callable(build):
        raise InputTypeError(f"build must be a function that makes a theory; got {build!r}")
    axes: dict[str, list[Any]] = {}
    for name, values in theories.items():
        if not isinstance(name, str) or not name.isidentifier() or name in _TAKEN:
            raise InputError(
                f"names of coordinates must be names of arguments of build, and not of a result; got {name!r}; the "
                f"results are {', '.join(_TAKEN)}"
            )
        if isinstance(values, (str, Theory)) or not isinstance(values, Iterable):
            raise InputTypeError(f"theories[{name!r}] must be a sequence of values of the coordinate; got {values!r}")
        axes[name] = list(values)
        if not axes[name]:
            raise InputError(f"theories[{name!r}] must have at least one value; got none")
    coordinates = {name: _coordinate(name, values) for name, values in axes.items()}
    points: list[_Point] = []
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        label = ", ".join(f"{name}={_text(value)}" for name, value in point.items())
        points.append((label, partial(build, **point)))
    return coordinates, points


def _given(theory: Theory) -> Theory:
    return theory


def _text(value: Any) -> str:
    """Text of the value of a coordinate; widths of layers as 1-16-1."""
    if isinstance(value, (tuple, list)):
        return "-".join(map(str, value))
    return str(value)


def _coordinate(name: str, values: list[Any]) -> NDArray[Any]:
    """Values of a coordinate as numbers if all of them are, otherwise as texts."""
    numbers = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    texts = [_text(v) for v in values]
    _need_distinct(f"theories[{name!r}]", texts)
    return np.array(values) if numbers else np.array(texts)


def _need_distinct(name: str, labels: list[str]) -> None:
    for i, label in enumerate(labels):
        if label in labels[:i]:
            raise InputError(f"{name} must be distinct; {label!r} is there twice")


def _one(plan: Plan, label: str, make: Callable[[], Any]) -> tuple[Physics, str]:
    """The physics of one theory, or the message of its failure."""
    try:
        theory = make()
        if not isinstance(theory, Theory):
            raise InputTypeError(f"build must return a Theory; got {theory!r}")
        return plan.physics(theory, zlib.crc32(label.encode())), ""
    except Exception as error:  # build is code of the user, and one failure must not lose the other theories
        message = str(error) or type(error).__name__
        expected = isinstance(error, (InputError, InputTypeError))
        text = message if expected else f"{type(error).__name__}: {message}"
        return failed(text, plan.n_levels), text


def _dataset(plan: Plan, coordinates: dict[str, NDArray[Any]], found: list[Physics], failures: list[str]) -> Dataset:
    shape = tuple(len(values) for values in coordinates.values())
    dataset = dataset_of(found, coordinates, shape, plan.key)
    dataset["failure"] = (tuple(coordinates), np.array(failures).reshape(shape), {"long_name": "message of a failure"})
    return dataset
