"""Networks from checkpoints of other programs: PyTorch, JAX, safetensors and NumPy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._arguments import Floats, array_of, floats
from ..errors import InputError, InputTypeError, located
from ..runs.reading import need_room, read_arrays, unreadable
from ..theories.networks import Network, RandomNetwork
from ..theories.theory import Theory

__all__: list[str] = []

# Last parts of names of weights, with True for shape (inputs, outputs), and of biases.
_WEIGHTS = {"weight": False, "weights": False, "kernel": True, "w": True}
_BIASES = ("bias", "biases", "b")

_FORMATS = (
    "a Network, a sequence of (weights, biases), a mapping of names to arrays (a state_dict or a parameter tree), a "
    "module with layers, or a .safetensors or .npz file"
)


def theories_of_checkpoints(
    theory: Theory, checkpoints: Sequence[Any], activation: str | Sequence[str] | None = None
) -> list[Theory]:
    """The theory with the network of each checkpoint; all of them have the same layers."""
    found: list[Theory] = []
    like = theory.network
    for i, checkpoint in enumerate(checkpoints):
        with located(f"checkpoints[{i}]"):
            network = network_of(checkpoint, like, activation)
            reference = like if like is not None or not found else found[0].network
            if reference is not None and network.widths != reference.widths:
                whose = "checkpoints[0]" if like is None else "the network of the theory"
                expected = _joined(reference.widths)
                raise InputError(f"layers must have the widths of {whose}, {expected}; got {_joined(network.widths)}")
            found.append(Theory(theory.sources, network, hbar=theory.hbar, mass=theory.mass))
    return found


def _joined(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def network_of(
    checkpoint: Any, like: Network | RandomNetwork | None, activation: str | Sequence[str] | None
) -> Network:
    """The network of one checkpoint, with the activations that are given, or those of another network."""
    if isinstance(checkpoint, Network):
        if activation is None:
            return checkpoint
        return Network(checkpoint.weights, checkpoint.biases, activation)
    weights, biases = _layers(checkpoint)
    if like is not None and len(weights) != len(like.activations):
        raise InputError(
            f"the network of the theory, {_joined(like.widths)}, has {len(like.activations)} layers; got "
            f"{len(weights)}, {_joined([weights[0].shape[1], *(w.shape[0] for w in weights)])}",
            "give all layers, and no others",
        )
    chosen = activation if activation is not None or like is None else like.activations
    if chosen is None:
        raise InputError(
            "activation must be given: a checkpoint holds only weights and biases, and no other network is known"
        )
    return Network(weights, biases, chosen)


def _layers(checkpoint: Any) -> tuple[list[Floats], list[Floats]]:
    """Weights, shape (outputs, inputs), and biases of all layers."""
    if isinstance(checkpoint, (str, os.PathLike)):
        return _of_names(_read(Path(checkpoint)), ordered=False)
    if hasattr(checkpoint, "state_dict"):
        checkpoint = checkpoint.state_dict()
    if isinstance(checkpoint, Mapping):
        return _of_names(dict(_flat(checkpoint)), ordered=True)
    if hasattr(checkpoint, "layers"):
        checkpoint = [(layer.weight, layer.bias) for layer in checkpoint.layers if hasattr(layer, "weight")]
    if not isinstance(checkpoint, (list, tuple)):
        raise InputTypeError(f"a checkpoint must be {_FORMATS}; got {type(checkpoint).__name__}")
    return _of_pairs(checkpoint)


def _of_pairs(entries: Sequence[Any]) -> tuple[list[Floats], list[Floats]]:
    """Layers from pairs (W, b), b possibly None, or from arrays W, b, W, b, ..."""
    if entries and not any(isinstance(entry, (list, tuple)) and len(entry) == 2 for entry in entries):
        if len(entries) % 2:
            raise InputError(
                f"arrays must alternate between weights and biases; got {len(entries)} arrays",
                "give pairs (weights, None) for layers without biases",
            )
        entries = list(zip(entries[::2], entries[1::2], strict=True))
    weights, biases = [], []
    for i, entry in enumerate(entries):
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:
            raise InputTypeError(f"layer {i} must be a pair (weights, biases); got {type(entry).__name__}")
        weights.append(_array(f"weights[{i}]", entry[0], 2))
        none = np.zeros(weights[-1].shape[0])
        biases.append(none if entry[1] is None else _array(f"biases[{i}]", entry[1], 1))
    if not weights:
        raise InputError("a checkpoint must have at least one layer; got none")
    return weights, biases


def _of_names(arrays: Mapping[str, Any], *, ordered: bool) -> tuple[list[Floats], list[Floats]]:
    """Layers from arrays with names such as "0.weight" or "params.Dense_0.kernel"."""
    layers: dict[str, dict[str, Any]] = {}
    for name, value in arrays.items():
        layer, _, kind = name.rpartition(".")
        if kind not in _WEIGHTS and kind not in _BIASES:
            raise InputError(
                f"{name!r} is neither weights nor biases of a layer; names must end in "
                f"{', '.join([*_WEIGHTS, *_BIASES])}",
                "leave other parameters out; layers of a network are linear maps and activations",
            )
        part = "bias" if kind in _BIASES else kind
        if part in layers.setdefault(layer, {}):
            raise InputError(f"{name!r}: the layer {layer!r} has its biases twice; leave one of them out")
        layers[layer][part] = value
    weights, biases = [], []
    for layer in _in_order(list(layers), ordered=ordered):
        parts = layers[layer]
        kinds = [kind for kind in parts if kind != "bias"]
        if len(kinds) != 1:
            raise InputError(
                f"the layer {layer!r} must have weights, once; it has {', '.join(parts)}",
                "a checkpoint needs the weights of every layer",
            )
        name = f"{layer}.{kinds[0]}" if layer else kinds[0]
        matrix = _array(name, parts[kinds[0]], 2)
        weights.append(matrix.T if _WEIGHTS[kinds[0]] else matrix)
        none = np.zeros(weights[-1].shape[0])
        biases.append(_array(f"{layer}.bias", parts["bias"], 1) if parts.get("bias") is not None else none)
        if biases[-1].shape != weights[-1].shape[:1]:
            raise InputError(
                f"{name} has {weights[-1].shape[0]} outputs, but the biases of the layer have shape {biases[-1].shape}",
                "weights have shape (outputs, inputs), kernels (inputs, outputs)",
            )
    if not weights:
        raise InputError("a checkpoint must have at least one layer; got none")
    return weights, biases


def _in_order(layers: list[str], *, ordered: bool) -> list[str]:
    """Names of layers by their numbers, or, if they differ in more than numbers, as they are listed."""
    if len({re.sub(r"\d+", "#", layer) for layer in layers}) <= 1:
        return sorted(layers, key=lambda layer: [int(number) for number in re.findall(r"\d+", layer)])
    if not ordered:
        raise InputError(
            f"layers of a file must be numbered, because it does not keep their order; got {', '.join(layers)}",
            "read the file and give a list of (weights, biases)",
        )
    return layers


def _flat(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a nested mapping with dotted names."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _array(name: str, value: Any, ndim: int) -> Floats:
    """A tensor of weights as float64; a tensor that records gradients is read without them."""
    return floats(name, array_of(name, value.detach() if hasattr(value, "detach") else value), ndim)


def _read(path: Path) -> dict[str, Any]:
    """Arrays of a file, without unpickling."""
    kind = path.suffix.lower()
    if kind not in (".safetensors", ".npz"):
        raise InputError(
            f"file {path} must end in .safetensors or .npz",
            "of other files give what they hold, for example torch.load(file, weights_only=True)",
        )
    if not path.is_file():
        raise InputError(f"file {path} does not exist; check its name")
    if kind == ".npz":
        return dict(read_arrays(path))
    from safetensors.numpy import load_file

    with unreadable(path, "safetensors", "write weights in float32 or float64"):
        need_room("it", path.stat().st_size, path.stat().st_size)
        return dict(load_file(path))
