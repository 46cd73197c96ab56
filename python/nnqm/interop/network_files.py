"""Networks to and from safetensors files and ONNX models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError, InputTypeError, located
from ..learning.checkpoints import network_of
from ..learning.frameworks import imported
from ..runs.reading import unreadable
from ..runs.writing import check_writable, replacing
from ..theories.network import ACTIVATIONS
from ..theories.networks import Network
from .activations import refused
from .modules import Layers, layers_of

__all__ = ["from_onnx", "from_safetensors", "to_onnx", "to_safetensors"]

# Entry of the metadata of a file with the activations, a list in JSON.
_ACTIVATIONS = "nnqm.activations"

# ---- safetensors


def to_safetensors(network: Network, path: str | os.PathLike[str], *, dtype: str = "float64") -> None:
    """Write a network to a safetensors file.

    Parameters
    ----------
    network : Network
        Fixed weights.
    path : path-like
        Name of the file, with the ending .safetensors.
    dtype : {"float64", "float32"}
        Precision of the weights: float64 keeps their bits.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    InputError, InputTypeError
        If this is no Network, a weight is beyond float32, the name has another ending, or no file can be written
        there.

    Notes
    -----
    The names, "0.weight", "0.bias", "2.weight", ..., are those of the module that ``to_torch`` makes, whose
    ``load_state_dict`` takes them. The activations are in the metadata.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "network.safetensors")
    ...     to_safetensors(nnqm.Network.random((1, 8, 1), "sin", rng=1), file)
    ...     from_safetensors(file)
    Network(1-8-1, sin)
    """
    imported("safetensors", "pip install safetensors")
    from safetensors.numpy import save

    file = Path(path)
    if file.suffix.lower() != ".safetensors":
        raise InputError(f"path must end in .safetensors; got {file.name!r}")
    check_writable(file)
    arrays, place = {}, 0
    for (weights, biases), name in zip(layers_of(network, dtype), network.activations, strict=True):
        arrays[f"{place}.weight"], arrays[f"{place}.bias"] = np.ascontiguousarray(weights), biases
        place += 1 if name == "identity" else 2
    data = save(arrays, metadata={_ACTIVATIONS: json.dumps(network.activations)})
    with replacing(file) as target:
        Path(target).write_bytes(data)


def from_safetensors(path: str | os.PathLike[str], activation: str | Sequence[str] | None = None) -> Network:
    """Read a network from a safetensors file.

    Parameters
    ----------
    path : path-like
        A file with the tensors of linear layers, named as in a ``state_dict`` of PyTorch ("0.weight", "0.bias", ...) or
        in a parameter tree ("Dense_0.kernel", ...), the layers by their numbers.
    activation : str or sequence of str, optional
        Activation of the hidden layers, or one name per layer; needed for files that ``to_safetensors`` did not write.

    Returns
    -------
    Network
        With the bits of the weights, of float32 or float64.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    InputError, InputTypeError
        If the file cannot be read, has other tensors than weights and biases, or says nothing about activations.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "network.safetensors")
    ...     to_safetensors(nnqm.Network.random((1, 8, 1), rng=1), file, dtype="float32")
    ...     from_safetensors(file).widths
    (1, 8, 1)
    """
    imported("safetensors", "pip install safetensors")
    from safetensors import safe_open

    file = Path(path)
    if activation is None and file.suffix.lower() == ".safetensors" and file.is_file():
        with unreadable(file, "safetensors", "write the file again"), safe_open(file, framework="numpy") as opened:
            found = (opened.metadata() or {}).get(_ACTIVATIONS)
        if found is not None:
            activation = _names(found, file)
    with located(str(file)):
        return network_of(file, None, activation)


def _names(text: str, file: Path) -> list[str]:
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{file}: the metadata {_ACTIVATIONS} must be a list of names; give activation")
    return names


# ---- ONNX

_OF_ONNX = {
    "tanh": "Tanh",
    "relu": "Relu",
    "sin": "Sin",
    "cos": "Cos",
    "erf": "Erf",
    "gelu": "Gelu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
}
assert set(_OF_ONNX) == set(ACTIVATIONS) - {"identity"}
_OF_NAMES = {operator: name for name, operator in _OF_ONNX.items()}
# Names of the domain of the operators.
_DOMAINS = ("", "ai.onnx")
# Oldest version of the operators with all of them (Gelu), and oldest with all but Gelu in float64.
_WITH_GELU, _WITHOUT_GELU = 20, 13
# Version of the file format that has both.
_FORMAT = 9


def to_onnx(network: Network, *, dtype: str = "float64") -> Any:
    """A network as an ONNX model.

    Parameters
    ----------
    network : Network
        Fixed weights.
    dtype : {"float64", "float32"}
        Precision of the weights, the input and the output: float64 keeps the bits of the weights.

    Returns
    -------
    onnx.ModelProto
        Input "y", shape (points, D), output "x", shape (points, C). ``onnx.save`` writes it.

    Raises
    ------
    ImportError
        If onnx is not installed.
    InputError, InputTypeError
        If this is no Network, or a weight is beyond float32.

    Examples
    --------
    >>> model = to_onnx(nnqm.Network.random((1, 8, 1), rng=1))
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    """
    onnx = imported("onnx", "pip install onnx")
    from onnx import helper, numpy_helper

    layers = layers_of(network, dtype)
    nodes, tensors, last = [], [], "y"
    for i, ((weights, biases), name) in enumerate(zip(layers, network.activations, strict=True)):
        final = i == len(layers) - 1
        tensors += [
            numpy_helper.from_array(np.ascontiguousarray(weights), f"weights_{i}"),
            numpy_helper.from_array(biases, f"biases_{i}"),
        ]
        linear = "x" if final and name == "identity" else f"linear_{i}"
        nodes.append(helper.make_node("Gemm", [last, f"weights_{i}", f"biases_{i}"], [linear], transB=1))
        last = linear
        if name != "identity":
            options = {"approximate": "none"} if name == "gelu" else {}
            last = "x" if final else f"neurons_{i}"
            nodes.append(helper.make_node(_OF_ONNX[name], [linear], [last], **options))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("y", kind, ["points", network.n_inputs])],
        [helper.make_tensor_value_info("x", kind, ["points", network.n_outputs])],
        tensors,
    )
    version = _WITH_GELU if "gelu" in network.activations else _WITHOUT_GELU
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], producer_name="nnqm")
    model.ir_version = _FORMAT
    onnx.checker.check_model(model)
    return model


def from_onnx(model: Any) -> Network:
    """An ONNX model as a network.

    Parameters
    ----------
    model : onnx.ModelProto, or path-like
        A chain of linear maps (Gemm, or MatMul with an optional Add) and activations (Tanh, Relu, Sin, Cos, Erf, Gelu,
        Sigmoid, Softplus) with one input and one output.

    Returns
    -------
    Network
        With the bits of the weights, of float32 or float64.

    Raises
    ------
    ImportError
        If onnx is not installed.
    InputError, InputTypeError
        If the file cannot be read, or a node cannot be represented; the message names it, with a remedy.

    Examples
    --------
    >>> from_onnx(to_onnx(nnqm.Network.random((1, 8, 1), "cos", rng=1)))
    Network(1-8-1, cos)
    """
    onnx = imported("onnx", "pip install onnx")
    if isinstance(model, str | os.PathLike):
        file = Path(model)
        if not file.is_file():
            raise InputError(f"file {file} does not exist; check its name")
        with unreadable(file, "ONNX", "export it again"):
            model = onnx.load(file)
    if not isinstance(model, onnx.ModelProto):
        raise InputTypeError(f"model must be an onnx.ModelProto or a file; got {type(model).__name__}")
    return _Graph(model.graph).network()


class _Graph:
    """The graph of a model, followed from its input to its output."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._array: Callable[[Any], NDArray[Any]] = numpy_helper.to_array
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        inputs = [i.name for i in graph.input if i.name not in self._constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise InputError(
                f"the model must have one input and one output; got inputs {', '.join(inputs) or 'none'} and "
                f"{len(graph.output)} outputs"
            )
        self._start, self._end = inputs[0], graph.output[0].name
        self._nodes: dict[str, list[Any]] = {}
        for node in graph.node:
            if node.domain not in _DOMAINS:
                label = f"{node.op_type} ({node.name or node.domain})"
                raise refused(label, f"it is an operator of {node.domain}, not of ONNX")
            if node.op_type == "Constant":
                self._constants.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
                continue
            for name in node.input:
                self._nodes.setdefault(name, []).append(node)

    def network(self) -> Network:
        """The network of the chain of nodes."""
        layers = Layers()
        for i, (node, tensor) in enumerate(self._chain()):
            label = f"{node.op_type} ({node.name or f'node {i}'})"
            options = {a.name: a for a in node.attribute}
            self._add(layers, label, node, options, tensor)
        return layers.network()

    def _chain(self) -> Iterator[tuple[Any, str]]:
        """Nodes from the input to the output, each with the name of its input."""
        at, seen = self._start, set()
        while at != self._end:
            following = self._nodes.get(at, [])
            if len(following) != 1 or at in seen:
                kinds = ", ".join(node.op_type for node in following) or "nothing"
                raise InputError(
                    f"the model is no chain: {kinds} follows {at!r}",
                    "a network of nnqm has no branches; export activations as one node (Gelu and others)",
                )
            seen.add(at)
            yield following[0], at
            at = following[0].output[0]

    def _add(self, layers: Layers, label: str, node: Any, options: dict[str, Any], tensor: str) -> None:
        kind = node.op_type
        if kind == "Gemm":
            if node.input[0] != tensor or any(options[n].f != 1 for n in ("alpha", "beta") if n in options):
                raise refused(label, "the network must be its first input, and alpha and beta must be 1")
            if "transA" in options and options["transA"].i:
                raise refused(label, "it transposes the neurons")
            biases = self._value(label, node.input[2]) if len(node.input) > 2 and node.input[2] else None
            turned = "transB" in options and bool(options["transB"].i)
            layers.linear(label, self._value(label, node.input[1]), biases, transposed=not turned)
        elif kind == "MatMul" and node.input[0] == tensor:
            layers.linear(label, self._value(label, node.input[1]), None, transposed=True)
        elif kind == "Add":
            (other,) = [name for name in node.input if name != tensor] or [tensor]
            layers.bias(label, self._value(label, other))
        elif kind == "Gelu" and "approximate" in options and options["approximate"].s not in (b"", b"none"):
            raise refused(label, "it is the tanh approximation")
        elif kind in _OF_NAMES:
            layers.activation(label, _OF_NAMES[kind])
        elif kind != "Identity":
            raise refused(label, "it is neither a linear map nor an activation of nnqm")

    def _value(self, label: str, name: str) -> Floats:
        if name not in self._constants:
            raise refused(label, f"its weights {name!r} are no constants of the model")
        return np.asarray(self._array(self._constants[name]))
