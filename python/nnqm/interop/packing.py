"""Several estimates as one vector, and objects of other packages as a flat list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, choice
from ..errors import InputError, InputTypeError
from ..statistics.estimate import Estimate

__all__: list[str] = []

# An estimate, or several ones of the same blocks.
Estimates: TypeAlias = "Estimate | Sequence[Estimate] | Mapping[str, Estimate]"
# Treatment of systematic errors.
Systematic: TypeAlias = Literal["refuse", "component", "leave out"]


def packed(estimates: Estimates) -> tuple[Estimate, Callable[[NDArray[Any]], Any]]:
    """All entries of estimates as one vector, and the function that gives the last axis of an array their structure."""
    if isinstance(estimates, Estimate):
        shape = estimates.shape
        return _vector([("estimates", estimates)]), lambda a: _shaped(a, shape)
    if isinstance(estimates, Mapping):
        names = list(estimates)
        named = [(f"estimates[{name!r}]", estimates[name]) for name in names]
    elif isinstance(estimates, list | tuple):
        names = []
        named = [(f"estimates[{i}]", e) for i, e in enumerate(estimates)]
    else:
        raise InputTypeError(
            f"estimates must be an Estimate, or a sequence or a mapping of them; got {type(estimates).__name__}; "
            "to_pandas and to_xarray take whole results"
        )
    joined = _vector(named)
    shapes = [e.shape for _, e in named]
    ends = np.cumsum([e.size for _, e in named])[:-1]

    def spread(array: NDArray[Any]) -> Any:
        parts = [_shaped(part, shape) for part, shape in zip(np.split(array, ends, axis=-1), shapes, strict=True)]
        return dict(zip(names, parts, strict=True)) if isinstance(estimates, Mapping) else parts

    return joined, spread


def _shaped(array: NDArray[Any], shape: tuple[int, ...]) -> Any:
    whole = array.reshape((*array.shape[:-1], *shape))
    return whole if whole.ndim else whole[()]


def _vector(named: Sequence[tuple[str, Any]]) -> Estimate:
    """The entries of estimates of the same blocks, shape (K,)."""
    if not named:
        raise InputError("estimates must have at least one entry; got none")
    for name, estimate in named:
        if not isinstance(estimate, Estimate):
            raise InputTypeError(f"{name} must be an Estimate; got {type(estimate).__name__}; leave it out")
        if estimate.n_blocks < 2:
            raise InputError(f"{name} has no error, because it has {estimate.n_blocks} block; use more blocks")
        if not (np.isfinite(estimate.value).all() and np.isfinite(estimate.replicas).all()):
            raise InputError(f"{name} must be finite; got entries that are unknown (NaN); leave them out")
        first_name, first = named[0]
        if not np.array_equal(estimate.weights, first.weights):
            raise InputError(
                f"estimates must come from the same blocks; got {first.n_blocks} of {first_name} and "
                f"{estimate.n_blocks} of {name}",
                "convert independent estimates in separate calls, which makes independent results",
            )
    return Estimate(
        np.concatenate([e.value.reshape(-1) for _, e in named]),
        np.concatenate([e.replicas.reshape(e.n_blocks, -1) for _, e in named], axis=1),
        named[0][1].weights,
        np.concatenate([e.systematic.reshape(-1) for _, e in named]),
    )


def components(vector: Estimate, systematic: Systematic, *, possible: bool = True) -> Floats:
    """Systematic errors that become components of their own, shape (K,); zero without any."""
    options = ("refuse", "component", "leave out") if possible else ("refuse", "leave out")
    chosen = choice("systematic", systematic, options)
    if chosen == "refuse" and np.any(vector.systematic > 0):
        remedy = "give systematic='component' for an independent component, or " if possible else "give "
        raise InputError(
            f"{np.count_nonzero(vector.systematic)} of {vector.size} values have a systematic error, up to "
            f"{vector.systematic.max():.2g}",
            f"{remedy}systematic='leave out' for the statistical errors only",
        )
    if chosen == "component" and not np.isfinite(vector.systematic).all():
        raise InputError(
            "systematic errors must be finite; got one that is not",
            "leave its value out, or give systematic='leave out'",
        )
    return np.array(vector.systematic) if chosen == "component" else np.zeros(vector.size)


def unpacked(values: Any, package: str) -> tuple[list[Any], Callable[[Estimate], Any]]:
    """Objects of a package as a flat list, and the function that gives a vector of estimates their structure."""
    if isinstance(values, Mapping):
        arrays = {name: np.asarray(value, dtype=object) for name, value in values.items()}
        ends = np.cumsum([0, *(a.size for a in arrays.values())])

        def named(vector: Estimate) -> dict[Any, Estimate]:
            parts = zip(arrays.items(), ends[:-1], ends[1:], strict=True)
            return {name: vector[begin:end].reshape(a.shape) for (name, a), begin, end in parts}

        entries, rebuild = [entry for a in arrays.values() for entry in a.ravel()], named
        shown = "values"
    else:
        array = np.asarray(values, dtype=object)
        entries, shown = list(array.ravel()), "values"

        def rebuild(vector: Estimate) -> Any:
            return vector.reshape(array.shape)

    if not entries:
        raise InputError(f"{shown} must have at least one entry; got none")
    for i, entry in enumerate(entries):
        if type(entry).__module__.split(".")[0] != package:
            raise InputTypeError(
                f"{shown} must be objects of {package}; entry {i} is a {type(entry).__name__}; leave out numbers "
                "without errors"
            )
    return entries, rebuild
