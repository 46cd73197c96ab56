"""Exact observables as functions of PyTorch tensors and JAX arrays, with exact gradients.

Both frameworks are optional: they are imported when a function of this module is called.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from .._arguments import Floats
from ..errors import InputError, InputTypeError
from ..theories.networks import Network
from ..theories.theory import Theory
from .differentiate import Differentiated, differentiate
from .observables import Observable
from .parameters import learnable

__all__ = ["jax_observable", "torch_observable"]

# Number of evaluations that are kept for their pullbacks.
_KEPT = 8

_ONE_DERIVATIVE = "second derivatives of exact observables do not exist; use first derivatives, or differences of them"

# Layers as pairs of weights and biases, and further parameters by name.
Function = Callable[..., Any]


class _Exact:
    """An observable as a function of arrays: weights and biases in turn, then parameters of the inputs by name."""

    def __init__(self, theory: Theory, observable: Observable) -> None:
        self.size = differentiate(theory, [observable]).values[0].size
        self._theory, self._observable = theory, observable
        self._kept: OrderedDict[tuple[Any, ...], Differentiated] = OrderedDict()

    def arguments(self, layers: Any, inputs: dict[str, Any]) -> tuple[list[Any], tuple[str, ...]]:
        """The arrays of a call, and the names of those that are not weights or biases."""
        known = learnable(self._theory)
        for name in inputs:
            if name not in known or name == "network":
                names = ", ".join(n for n in known if n != "network") or "none"
                raise InputError(f"{name} is no learnable parameter of the inputs of this theory, which has {names}")
        arrays: list[Any] = []
        if layers is not None:
            network = self._theory.network
            if not isinstance(network, Network):
                raise InputError(f"layers need a theory with a network; got {network!r}; leave layers out")
            count = len(network.weights)
            try:
                pairs = [(weights, biases) for weights, biases in layers]
            except (TypeError, ValueError):
                raise InputTypeError(
                    f"layers must be a list of pairs (weights, biases), one per layer; got {type(layers).__name__}"
                ) from None
            if len(pairs) != count:
                raise InputError(f"layers must have one pair (weights, biases) per layer, {count}; got {len(pairs)}")
            arrays = [array for pair in pairs for array in pair]
        if not arrays and not inputs:
            raise InputError("layers or parameters of the inputs must be given; got none")
        return [*arrays, *inputs.values()], tuple(inputs)

    def at(self, arrays: Sequence[Floats], names: tuple[str, ...]) -> Differentiated:
        """The observable at given arrays."""
        key = (names, *((a.shape, a.tobytes()) for a in arrays))
        if key in self._kept:
            return self._kept[key]
        theory = self._theory
        network, sources = theory.network, list(theory.sources)
        n_arrays = len(arrays) - len(names)
        if n_arrays:
            assert isinstance(network, Network)
            network = Network(arrays[:n_arrays:2], arrays[1:n_arrays:2], network.activations)
        first = dict.fromkeys(names, 0)
        given = dict(zip(names, arrays[n_arrays:], strict=True))
        for i, source in enumerate(sources):
            own = {}
            for name, old in source.learnable().items():
                if name in given:
                    own[name] = np.atleast_1d(given[name])[first[name] : first[name] + old.size]
                    first[name] += old.size
            sources[i] = source.with_learnable(own) if own else source
        for name, array in given.items():
            if np.size(array) != first[name]:
                raise InputError(f"{name} must have {first[name]} entries; got shape {np.shape(array)}")
        changed = Theory(sources, network, hbar=theory.hbar, mass=theory.mass)
        found = differentiate(changed, [self._observable])
        self._kept[key] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def values(self, arrays: Sequence[Floats], names: tuple[str, ...]) -> Floats:
        """Values of the observable, shape (size,)."""
        return self.at(arrays, names).values[0]

    def pullback(self, arrays: Sequence[Floats], names: tuple[str, ...], cotangent: Floats) -> list[Floats]:
        """Derivatives of the product of the cotangent and the values, in the shapes of the arrays."""
        n_arrays = len(arrays) - len(names)
        wanted = (("network",) if n_arrays else ()) + names
        gradient = self.at(arrays, names).pullback([cotangent], wanted)
        flat = np.concatenate([gradient[name] for name in wanted])
        parts = np.split(flat, np.cumsum([a.size for a in arrays])[:-1])
        return [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]


def imported(name: str, install: str) -> Any:
    """An optional package; the message of its absence has the command that installs it."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"this function needs the package {name}; install it: {install}") from None


def torch_observable(theory: Theory, observable: Observable) -> Function:
    r"""An exact observable as a differentiable function of PyTorch tensors.

    The function takes the layers of a network, and parameters of the inputs by name. A loss made of it and of other
    functions of the same tensors has exact gradients by ``backward``. Values and gradients are computed in float64 on
    the CPU and returned in the dtype and on the device of the first tensor. Second derivatives do not exist and raise
    an error.

    Parameters
    ----------
    theory : Theory
        Its network gives the activations; its parameters are the values of arguments that are left out.
    observable : Observable
        For example ``TwoPoint([0, 0.5, 1])``.

    Returns
    -------
    callable
        ``function(layers=None, **inputs)``: layers are pairs (weights, biases) of tensors of shapes (outputs, inputs)
        and (outputs,), as in ``torch.nn.Linear``; inputs are tensors by the names of ``learnable``: omega, sigma,
        potential. It returns a tensor of shape (size,).

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    InputError, InputTypeError
        If the theory or the observable is refused by ``differentiate``; from the function, if layers or inputs do not
        fit the theory.
    """
    torch = imported("torch", "pip install torch --index-url https://download.pytorch.org/whl/cpu")
    exact = _Exact(theory, observable)

    def array(tensor: Any) -> Floats:
        return np.array(tensor.detach().cpu().numpy(), dtype=np.float64)

    def forward(ctx: Any, names: tuple[str, ...], *tensors: Any) -> Any:
        ctx.names = names
        ctx.save_for_backward(*tensors)
        values = exact.values([array(t) for t in tensors], names)
        return torch.as_tensor(values, dtype=tensors[0].dtype, device=tensors[0].device)

    def backward(ctx: Any, cotangent: Any) -> Any:
        return None, *pulled.apply(ctx.names, cotangent, *ctx.saved_tensors)

    def pull(_: Any, names: tuple[str, ...], cotangent: Any, *tensors: Any) -> Any:
        found = exact.pullback([array(t) for t in tensors], names, array(cotangent))
        return tuple(torch.as_tensor(g, dtype=t.dtype, device=t.device) for g, t in zip(found, tensors, strict=True))

    def second(*_: Any) -> Any:
        raise InputError(_ONE_DERIVATIVE)

    def node(name: str, forth: Function, back: Function) -> Any:
        return type(name, (torch.autograd.Function,), {"forward": staticmethod(forth), "backward": staticmethod(back)})

    value, pulled = node("ExactObservable", forward, backward), node("ExactPullback", pull, second)

    def function(layers: Any = None, **inputs: Any) -> Any:
        arrays, names = exact.arguments(layers, inputs)
        for i, tensor in enumerate(arrays):
            if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
                raise InputTypeError(f"argument {i} must be a tensor of floating-point numbers; got {tensor!r}")
        return value.apply(names, *arrays)

    return function


def jax_observable(theory: Theory, observable: Observable) -> Function:
    r"""An exact observable as a differentiable function of JAX arrays.

    The function works under ``jax.grad``, ``jax.vjp``, ``jax.jacrev`` and ``jax.jit``, and one call after another under
    ``jax.vmap``. Values and gradients are computed in float64 by a callback on the host and returned in the dtype of
    the first array, which is float32 unless ``jax_enable_x64`` is set. Second derivatives and forward mode do not exist
    and raise errors.

    Parameters
    ----------
    theory : Theory
        Its network gives the activations; its parameters are the values of arguments that are left out.
    observable : Observable
        For example ``TwoPoint([0, 0.5, 1])``.

    Returns
    -------
    callable
        ``function(layers=None, **inputs)``: layers are pairs (weights, biases) of arrays of shapes (outputs, inputs)
        and (outputs,); inputs are arrays by the names of ``learnable``: omega, sigma, potential. It returns an array of
        shape (size,).

    Raises
    ------
    ImportError
        If JAX is not installed.
    InputError, InputTypeError
        If the theory or the observable is refused by ``differentiate``; from the function, if layers or inputs do not
        fit the theory.
    """
    jax = imported("jax", "pip install jax")
    exact = _Exact(theory, observable)

    def host(arrays: Any) -> list[Floats]:
        return [np.array(a, dtype=np.float64) for a in arrays]

    def shapes(arrays: Any) -> Any:
        return tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)

    def called(names: tuple[str, ...]) -> Function:
        def back(given: Any, g: Any) -> Any:
            found = exact.pullback(host(given), names, np.array(g, dtype=np.float64))
            return tuple(part.astype(a.dtype) for part, a in zip(found, given, strict=True))

        def forth(given: Any) -> Any:
            return exact.values(host(given), names).astype(given[0].dtype)

        def pull(arrays: Any, cotangent: Any) -> Any:
            return jax.pure_callback(back, shapes(arrays), arrays, cotangent, vmap_method="sequential")

        def evaluate(arrays: Any) -> Any:
            out = jax.ShapeDtypeStruct((exact.size,), arrays[0].dtype)
            return jax.pure_callback(forth, out, arrays, vmap_method="sequential")

        def second(primals: Any, tangents: Any) -> Any:
            raise InputError(_ONE_DERIVATIVE)

        pulled, value = jax.custom_jvp(pull), jax.custom_vjp(evaluate)
        pulled.defjvp(second)
        value.defvjp(lambda arrays: (value(arrays), arrays), lambda arrays, g: (pulled(arrays, g),))
        return value  # type: ignore[no-any-return]

    known: dict[tuple[str, ...], Function] = {}

    def function(layers: Any = None, **inputs: Any) -> Any:
        arrays, names = exact.arguments(layers, inputs)
        arrays = [jax.numpy.asarray(a) for a in arrays]
        for i, a in enumerate(arrays):
            if not jax.numpy.issubdtype(a.dtype, jax.numpy.floating):
                raise InputTypeError(f"argument {i} must be an array of floating-point numbers; got dtype {a.dtype}")
        if names not in known:
            known[names] = called(names)
        return known[names](tuple(arrays))

    return function
