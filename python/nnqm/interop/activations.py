"""Activations of other packages, recognised by their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..theories.network import ACTIVATIONS, Network

__all__: list[str] = []

# Points at which functions are compared, exact in float32: dense where activations bend, and some far out.
_POINTS = np.concatenate([np.arange(-620, 636, 11) / 64, [-41.25, -23.5, 0.0, 22.75, 40.5]])
# Largest difference, relative to the larger of 1 and the value: the softplus of PyTorch is the identity above 20.
_DIFFERENCE = {"float64": 1e-8, "float32": 4e-6}

# Parts of names of functions that nnqm does not have, and the remedies.
_REMEDIES = {
    "gelu": "nnqm has the exact gelu, x Phi(x): train with approximate='none' (PyTorch, ONNX), approximate=False (JAX)",
    "softplus": "nnqm has log(1 + exp(x)), beta = 1: with beta multiply the weights and biases before it by beta, and "
    "divide the weights after it by beta",
    "dropout": "it is the identity in evaluation: leave it out",
    "batchnorm": "multiply the weights and biases of the layer before it by its scale in evaluation, and leave it out",
    "layernorm": "it mixes neurons: train without it",
    "softmax": "it mixes neurons: take the network in front of it",
    "conv": "write it as a matrix of one Linear layer",
    "flatten": "the input of a network has one axis: leave it out",
}


def need_known(function: Callable[[Floats], Any], label: str, precision: str = "float64") -> str:
    """Name of the activation that a function of arrays is, by its values; an error if it is none."""
    try:
        values = np.asarray(function(_POINTS), dtype=np.float64)
    except Exception as error:
        raise refused(label, f"it cannot be evaluated: {error}") from None
    if values.shape == _POINTS.shape:
        for name in ACTIVATIONS:
            expected = values_of(name, _POINTS)
            if np.all(np.abs(values - expected) <= _DIFFERENCE[precision] * np.maximum(1.0, np.abs(expected))):
                return name
    raise refused(label, f"it is none of the activations {', '.join(ACTIVATIONS)}")


def values_of(name: str, points: Floats) -> Floats:
    """Values of an activation of nnqm at points, shape (n,)."""
    return np.asarray(Network([[[1.0]]], activation=[name])(points[:, None])[:, 0])


def refused(label: str, reason: str) -> InputError:
    """The error about a layer or function that a network of nnqm cannot have."""
    plain = label.lower().replace("_", "")
    known = [remedy for part, remedy in _REMEDIES.items() if part in plain]
    general = "a network of nnqm has linear layers and activations that act on each neuron"
    return InputError(f"{label} cannot be represented: {reason}", known[0] if known else general)
