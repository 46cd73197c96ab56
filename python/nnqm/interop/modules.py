"""Networks to and from modules of PyTorch and Equinox and parameter trees of Flax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, array_of, choice, floats
from ..errors import InputError, InputTypeError, located
from ..learning.checkpoints import network_of
from ..learning.frameworks import imported
from ..theories.networks import Network
from . import torch_modules
from .activations import need_known, refused

__all__ = ["from_equinox", "from_flax", "from_torch", "to_equinox", "to_flax", "to_torch"]

_PRECISIONS = ("float32", "float64")


def layers_of(network: Network, dtype: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Weights, shape (outputs, inputs), and biases of the layers in a precision."""
    if not isinstance(network, Network):
        raise InputTypeError(
            f"network must be a Network; got {type(network).__name__}; of a theory take theory.network, of random "
            "weights one draw, nnqm.draw_weights"
        )
    kind = choice("dtype", dtype, _PRECISIONS)
    found = []
    for i, (weights, biases) in enumerate(zip(network.weights, network.biases, strict=True)):
        with np.errstate(over="ignore"):
            layer = weights.astype(kind), biases.astype(kind)
        if not all(np.isfinite(part).all() for part in layer):
            raise InputError(f"layer {i} of the network has numbers that float32 does not have; give dtype='float64'")
        found.append(layer)
    return found


class Layers:
    """Layers of a network that arrive one after the other: linear maps, and activations after them."""

    def __init__(self) -> None:
        self._weights: list[Floats] = []
        self._biases: list[Floats] = []
        self._activations: list[str] = []

    def linear(self, label: str, weights: Any, biases: Any, *, transposed: bool = False) -> None:
        """Add a linear map with weights (outputs, inputs), or (inputs, outputs) if transposed."""
        matrix = floats(f"the weights of {label}", _plain(label, weights), 2)
        matrix = np.ascontiguousarray(matrix.T) if transposed else matrix
        none = np.zeros(len(matrix))
        vector = none if biases is None else _row(label, biases)
        self._weights.append(matrix)
        self._biases.append(vector)
        self._activations.append("identity")

    def bias(self, label: str, values: Any) -> None:
        """Add numbers to the outputs of the last linear map."""
        vector = _row(label, values)
        if not self._weights or self._activations[-1] != "identity" or len(vector) != len(self._weights[-1]):
            raise refused(label, "it is no vector of biases directly after a linear map")
        if np.any(self._biases[-1]):
            raise refused(label, "the linear map in front of it has biases already")
        self._biases[-1] = vector

    def activation(self, label: str, name: str) -> None:
        """Add an activation after the last linear map."""
        if name == "identity":
            return
        if not self._weights:
            raise InputError(f"{label} stands before the first linear layer", "put a Linear layer in front of it")
        if self._activations[-1] != "identity":
            raise InputError(
                f"{label} follows the activation {self._activations[-1]}", "put a Linear layer between them"
            )
        self._activations[-1] = name

    def network(self) -> Network:
        """The network of all layers."""
        if not self._weights:
            raise InputError("there is no linear layer; a network has at least one")
        return Network(self._weights, self._biases, self._activations)


def _row(label: str, biases: Any) -> Floats:
    """Biases, one for each neuron; axes of length 1 in front of them have no meaning."""
    found = floats(f"the biases of {label}", _plain(label, biases))
    if found.ndim and found.shape[-1] != found.size:
        raise refused(label, f"its biases have shape {found.shape}, which is no row")
    return found.reshape(-1)


def _plain(label: str, tensor: Any) -> Any:
    """A tensor that NumPy can read, without its gradients, in float32 or float64."""
    array = array_of(label, tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)
    if array.dtype not in (np.float32, np.float64):
        raise InputTypeError(f"{label} must be of float32 or float64; got {array.dtype}; convert it to float64 first")
    return array


# ---- PyTorch

# Activations as modules of torch.nn, and their arguments; others are functions of torch.
_OF_TORCH: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "sigmoid": ("Sigmoid", {}),
    "gelu": ("GELU", {"approximate": "none"}),
    # Above its threshold PyTorch takes the identity, which is exact in float64 from 37 on.
    "softplus": ("Softplus", {"beta": 1, "threshold": 40}),
}


def to_torch(network: Network, *, dtype: str = "float64") -> Any:
    """A network as ``torch.nn.Sequential``.

    Parameters
    ----------
    network : Network
        Fixed weights.
    dtype : {"float64", "float32"}
        Precision of the weights: float64 keeps their bits, float32 rounds them (not at all if they came from float32).

    Returns
    -------
    torch.nn.Sequential
        ``Linear`` layers and activations. For sin, cos and erf, which ``torch.nn`` does not have, it has modules of
        ``nnqm.interop``. Softplus has threshold=40, because the default of PyTorch, 20, is wrong by 2e-9 there.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    InputError, InputTypeError
        If this is no Network, or a weight is beyond float32.

    Examples
    --------
    >>> module = to_torch(nnqm.Network.random((1, 8, 1), rng=1))  # doctest: +SKIP
    """
    torch = imported("torch", torch_modules.INSTALL)
    parts: list[Any] = []
    for (weights, biases), name in zip(layers_of(network, dtype), network.activations, strict=True):
        linear = torch.nn.utils.skip_init(
            torch.nn.Linear, weights.shape[1], weights.shape[0], dtype=getattr(torch, dtype)
        )
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights))
            linear.bias.copy_(torch.from_numpy(biases))
        parts.append(linear)
        if name in _OF_TORCH:
            kind, options = _OF_TORCH[name]
            parts.append(getattr(torch.nn, kind)(**options))
        elif name != "identity":
            parts.append(torch_modules.Pointwise(name))
    return torch.nn.Sequential(*parts)


def from_torch(module: Any) -> Network:
    """A ``torch.nn.Sequential`` as a network.

    Parameters
    ----------
    module : torch.nn.Sequential or torch.nn.Linear
        ``Linear`` layers (without bias: biases are zero) and modules without parameters that are an activation of
        nnqm: any module whose values are those of an activation, a module of your own included. ``Sequential`` may be
        nested.

    Returns
    -------
    Network
        With the bits of the weights, of float32 or float64.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    InputError, InputTypeError
        If a part cannot be represented (dropout, normalisation, convolution, softmax, the tanh approximation of gelu,
        softplus with beta, leaky or parametric relu, elu, silu, ...); the message names it, with a remedy.

    Examples
    --------
    >>> network = from_torch(torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh()))  # doctest: +SKIP
    """
    torch = imported("torch", torch_modules.INSTALL)
    if not isinstance(module, torch.nn.Module):
        raise InputTypeError(f"module must be a torch.nn.Sequential; got {type(module).__name__}")
    layers = Layers()
    _add_torch(torch, layers, module, "")
    return layers.network()


def _add_torch(torch: Any, layers: Layers, module: Any, place: str) -> None:
    label = type(module).__name__ + (f" ({place})" if place else "")
    if type(module) is torch.nn.Sequential:
        for name, part in module.named_children():
            _add_torch(torch, layers, part, f"{place}.{name}" if place else name)
    elif type(module) is torch.nn.Linear:
        layers.linear(label, module.weight, module.bias)
    elif "dropout" in label.lower():
        raise refused(label, "it is random in training")
    elif any(True for _ in module.children()) or any(True for _ in module.parameters()):
        raise refused(label, "it is neither a Linear layer nor an activation without parameters")
    else:

        def values(points: Floats) -> Any:
            with torch.no_grad():
                return module(torch.from_numpy(points)).numpy()

        layers.activation(label, need_known(values, label))


# ---- Equinox


def _jax_functions() -> dict[str, Callable[[Any], Any]]:
    jax = imported("jax", "pip install jax")
    return {
        "tanh": jax.numpy.tanh,
        "relu": jax.nn.relu,
        "sin": jax.numpy.sin,
        "cos": jax.numpy.cos,
        "erf": jax.lax.erf,
        "gelu": partial(jax.nn.gelu, approximate=False),
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
    }


def to_equinox(network: Network, *, dtype: str = "float64") -> Any:
    """A network as ``equinox.nn.Sequential`` of ``Linear`` and ``Lambda`` layers.

    Parameters
    ----------
    network : Network
        Fixed weights.
    dtype : {"float64", "float32"}
        Precision of the weights: float64 keeps their bits and needs ``jax.config.update("jax_enable_x64", True)``.

    Returns
    -------
    equinox.nn.Sequential
        A function of one point, shape (D,) to (C,); ``jax.vmap`` of it takes many.

    Raises
    ------
    ImportError
        If Equinox is not installed.
    InputError, InputTypeError
        If this is no Network, a weight is beyond float32, or JAX is not set to float64 and dtype is "float64".

    Examples
    --------
    >>> import jax
    >>> network = nnqm.Network([[[2.0]], [[1.0]]], activation="sin")
    >>> to_equinox(network, dtype="float32")(jax.numpy.array([0.5])).round(4)
    Array([0.8415], dtype=float32)
    """
    equinox = imported("equinox", "pip install equinox")
    jax, functions = imported("jax", "pip install jax"), _jax_functions()
    parts: list[Any] = []
    for (weights, biases), name in zip(layers_of(network, dtype), network.activations, strict=True):
        arrays = jax.numpy.asarray(weights), jax.numpy.asarray(biases)
        if arrays[0].dtype != weights.dtype:
            raise InputError(
                "JAX is set to float32, which would round the weights",
                "call jax.config.update('jax_enable_x64', True) first, or give dtype='float32'",
            )
        # Of shapes alone, because initial weights would be drawn for nothing.
        outputs, inputs = weights.shape
        linear = equinox.filter_eval_shape(equinox.nn.Linear, inputs, outputs, key=jax.random.PRNGKey(0))
        parts.append(equinox.tree_at(lambda layer: (layer.weight, layer.bias), linear, arrays))
        if name != "identity":
            parts.append(equinox.nn.Lambda(functions[name]))
    return equinox.nn.Sequential(parts)


def from_equinox(module: Any) -> Network:
    """An ``equinox.nn.MLP``, ``Sequential`` or ``Linear`` as a network.

    Parameters
    ----------
    module : equinox.nn.MLP, equinox.nn.Sequential or equinox.nn.Linear
        ``Linear`` layers (without bias: biases are zero) and functions that are an activation of nnqm, by their values.

    Returns
    -------
    Network
        With the bits of the weights, of float32 or float64.

    Raises
    ------
    ImportError
        If Equinox is not installed.
    InputError, InputTypeError
        If a part cannot be represented (the default ``jax.nn.gelu`` is the tanh approximation; dropout, normalisation,
        softmax, silu, elu, ...); the message names it, with a remedy.

    Examples
    --------
    >>> import equinox, jax
    >>> mlp = equinox.nn.MLP(1, 1, width_size=8, depth=1, activation=jax.numpy.tanh, key=jax.random.PRNGKey(1))
    >>> from_equinox(mlp)
    Network(1-8-1, tanh)
    """
    equinox = imported("equinox", "pip install equinox")
    if not isinstance(module, equinox.Module):
        raise InputTypeError(f"module must be an equinox.nn.MLP or Sequential; got {type(module).__name__}")
    layers = Layers()
    _add_equinox(equinox, layers, module, "")
    return layers.network()


def _add_equinox(equinox: Any, layers: Layers, module: Any, place: str) -> None:
    kind = type(module).__name__
    label = kind + (f" ({place})" if place else "")
    if isinstance(module, equinox.nn.Sequential):
        for i, part in enumerate(module.layers):
            _add_equinox(equinox, layers, part, f"{place}.{i}" if place else str(i))
    elif isinstance(module, equinox.nn.MLP):
        last = len(module.layers) - 1
        for i, part in enumerate(module.layers):
            _add_equinox(equinox, layers, part, f"{place}.layers.{i}" if place else f"layers.{i}")
            function = module.final_activation if i == last else module.activation
            _add_function(layers, function, "final_activation" if i == last else "activation", each=True)
    elif isinstance(module, equinox.nn.Linear):
        layers.linear(label, module.weight, module.bias)
    elif isinstance(module, equinox.nn.Identity):
        return
    elif isinstance(module, equinox.nn.Lambda):
        _add_function(layers, module.fn, label, each=False)
    else:
        raise refused(label, "it is neither a Linear layer nor an activation without parameters")


def _add_function(layers: Layers, function: Any, label: str, *, each: bool) -> None:
    """Add a function of JAX, of each neuron or of the vector of neurons."""
    jax = imported("jax", "pip install jax")
    name = getattr(getattr(function, "func", function), "__name__", type(function).__name__)
    shown = f"{name} ({label})"
    if any(hasattr(leaf, "shape") for leaf in jax.tree_util.tree_leaves(function)):
        raise refused(shown, "it has parameters")
    # The functions of JAX itself need not be compiled and compared.
    for known, ours in _jax_functions().items():
        parts = (getattr(f, "func", f) for f in (function, ours))
        if len(set(parts)) == 1 and getattr(function, "keywords", {}) == getattr(ours, "keywords", {}):
            layers.activation(shown, known)
            return
    applied = jax.jit(jax.vmap(function) if each else function)
    precision = "float64" if jax.config.jax_enable_x64 else "float32"

    def values(points: Floats) -> Any:
        return applied(jax.numpy.asarray(points))

    layers.activation(shown, need_known(values, shown, precision))


# ---- Flax


def to_flax(network: Network, *, dtype: str = "float64") -> dict[str, Any]:
    """A network as a parameter tree of Flax.

    Parameters
    ----------
    network : Network
        Fixed weights.
    dtype : {"float64", "float32"}
        Precision of the weights: float64 keeps their bits. JAX rounds them where it is not set to float64.

    Returns
    -------
    dict
        ``{"params": {"Dense_0": {"kernel": ..., "bias": ...}, ...}}`` of NumPy arrays, kernels of shape (inputs,
        outputs), as modules with ``flax.linen.Dense`` in a compact method have it. Parameter trees have no activations:
        they are ``network.activations``.

    Raises
    ------
    InputError, InputTypeError
        If this is no Network, or a weight is beyond float32.

    Examples
    --------
    >>> tree = to_flax(nnqm.Network.random((1, 8, 1), rng=1))
    >>> tree["params"]["Dense_0"]["kernel"].shape
    (1, 8)
    """
    layers = layers_of(network, dtype)
    return {
        "params": {
            f"Dense_{i}": {"kernel": np.ascontiguousarray(weights.T), "bias": biases}
            for i, (weights, biases) in enumerate(layers)
        }
    }


def from_flax(parameters: Mapping[str, Any], activation: str | Sequence[str]) -> Network:
    """A parameter tree of Flax as a network.

    Parameters
    ----------
    parameters : mapping
        A nested mapping of arrays, of ``flax.linen`` (with or without "params"), ``flax.nnx`` (``to_pure_dict()`` of a
        state) or Haiku. Entries "kernel" or "w" have shape (inputs, outputs); a missing bias is zero. Layers whose
        names differ only in numbers are sorted by these numbers, others are taken in the order of the mapping.
    activation : str or sequence of str
        Activation of the hidden layers, or one name per layer, which the tree does not have. The default gelu of Flax
        is the tanh approximation, which nnqm does not have: train with ``approximate=False``.

    Returns
    -------
    Network
        With the bits of the weights, of float32 or float64.

    Raises
    ------
    InputError, InputTypeError
        If entries are neither weights nor biases (normalisation, for example), or shapes do not fit.

    Examples
    --------
    >>> network = nnqm.Network.random((1, 8, 1), "sin", rng=1)
    >>> from_flax(to_flax(network), "sin")
    Network(1-8-1, sin)
    """
    if not isinstance(parameters, Mapping):
        raise InputTypeError(f"parameters must be a nested mapping of arrays; got {type(parameters).__name__}")
    with located("parameters"):
        return network_of(parameters, None, activation)
