"""Derivatives of networks and their pullbacks: shapes and precisions before and after the call of the core."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import array_of, integer
from ..errors import InputError

Arrays = NDArray[Any]
# Weights of values, first and second derivatives in a sum.
Cotangents = tuple[ArrayLike, ArrayLike | None, ArrayLike | None]


def points_of(y: ArrayLike, n_inputs: int) -> Arrays:
    """Inputs of a network, shape (..., D), float32 or float64."""
    array = array_of("y", y)
    array = array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
    if array.ndim == 0 or array.shape[-1] != n_inputs:
        raise InputError(f"y must have shape (..., {n_inputs}); got {array.shape}")
    return array


def derivatives(network: _core.Network, n_outputs: int, y: Arrays, n_threads: int) -> tuple[Arrays, Arrays, Arrays]:
    """Values (..., C), first and second derivatives (..., C, D) at the points y."""
    integer("n_threads", n_threads, 0, 4096)
    n_inputs = y.shape[-1]
    shape = (*y.shape[:-1], n_outputs)
    full = (*shape, n_inputs)
    if y.size == 0:
        return np.empty(shape, y.dtype), np.empty(full, y.dtype), np.empty(full, y.dtype)
    flat = y.reshape(-1, 1, n_inputs)
    values, first, second = _core.differentiate(network=network, inputs=flat, n_threads=n_threads)
    return values.reshape(shape), first.reshape(full), second.reshape(full)


def pullback(
    network: _core.Network, n_outputs: int, y: Arrays, cotangents: Cotangents, leading: tuple[int, int], **run: int
) -> tuple[Arrays, Arrays]:
    """Gradients (groups, P) in the parameters, and in y; ``leading`` is the number of paths and times of y."""
    integer("n_threads", run["n_threads"], 0, 4096)
    n_inputs = y.shape[-1]
    last = (n_outputs,), (n_outputs, n_inputs), (n_outputs, n_inputs)
    given = []
    for name, weights, shape in zip(("values", "first", "second"), cotangents, last, strict=True):
        array = None if weights is None else array_of(name, weights).astype(y.dtype, copy=False)
        if array is not None and array.shape != (*y.shape[:-1], *shape):
            raise InputError(
                f"{name} must have shape {(*y.shape[:-1], *shape)} for y of shape {y.shape}; got {array.shape}"
            )
        given.append(None if array is None or y.size == 0 else array.reshape(*leading, -1))
    if y.size == 0:
        return np.zeros((1, network.parameters), y.dtype), np.empty(y.shape, y.dtype)
    u, v, w = given
    assert u is not None
    inputs = y.reshape(*leading, n_inputs)
    parameters, gradient = _core.pullback(network=network, inputs=inputs, values=u, first=v, second=w, **run)
    return parameters[:, 0], gradient.reshape(y.shape)
