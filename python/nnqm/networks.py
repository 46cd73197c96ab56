"""Feed-forward networks with fixed weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._checks import Floats, choice, floats, integer, positive

__all__ = ["Network"]

_ACTIVATIONS = tuple(_core.activations())


def _layer_shape(i: int, weights: Floats, biases: Floats, inputs: int | None) -> None:
    if weights.size == 0:
        raise ValueError(f"weights[{i}] is empty (shape {weights.shape}); a layer needs inputs and outputs")
    if inputs is not None and weights.shape[1] != inputs:
        raise ValueError(
            f"weights[{i}] takes {weights.shape[1]} inputs, but layer {i - 1} has {inputs} outputs; "
            "weights have shape (outputs, inputs)"
        )
    if biases.shape != weights.shape[:1]:
        raise ValueError(
            f"biases[{i}] must have shape ({weights.shape[0]},), one per output of the layer; got {biases.shape}"
        )


class Network:
    r"""A multi-layer perceptron with fixed weights, x = f(y).

    .. math:: h^{(0)} = y, \quad h^{(l+1)} = a_l(W^{(l)} h^{(l)} + b^{(l)})

    Its input is the physical y, not y divided by its standard deviation.

    Parameters
    ----------
    weights : sequence of array_like
        One matrix per layer, shape (outputs, inputs), float64.
    biases : sequence of array_like, optional
        One vector per layer, shape (outputs,); zero by default.
    activation : str or sequence of str, default "tanh"
        Activation of the hidden layers, the last one being linear; or one name per layer. Known:
        identity, tanh, relu, sin, cos, erf, gelu (the exact one, x Phi(x)), sigmoid, softplus.

    Raises
    ------
    ValueError
        If widths do not chain, a weight is not finite or an activation is unknown.

    Examples
    --------
    >>> net = Network([[[1.0], [2.0]], [[0.5, -0.5]]], activation="tanh")
    >>> net.widths
    (1, 2, 1)
    >>> net([[0.5]]).round(4)
    array([[-0.1497]])
    """

    __slots__ = ("_hash", "activations", "biases", "weights")

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    activations: tuple[str, ...]
    _hash: int

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike] | None = None,
        activation: str | Sequence[str] = "tanh",
    ) -> None:
        matrices = [floats(f"weights[{i}]", w, 2) for i, w in enumerate(weights)]
        if not matrices:
            raise ValueError("weights must have at least one layer; got none")
        if biases is None:
            vectors = [np.zeros(w.shape[0]) for w in matrices]
        else:
            vectors = [floats(f"biases[{i}]", b, 1) for i, b in enumerate(biases)]
        if len(vectors) != len(matrices):
            raise ValueError(f"biases must have one vector per layer, {len(matrices)}; got {len(vectors)}")
        inputs: int | None = None
        for i, (w, b) in enumerate(zip(matrices, vectors, strict=True)):
            _layer_shape(i, w, b, inputs)
            inputs = w.shape[0]
        if not isinstance(activation, (str, list, tuple)):
            raise TypeError(f"activation must be a name or a list of names, one per layer; got {activation!r}")
        if isinstance(activation, str):
            names = [activation] * (len(matrices) - 1) + ["identity"]
            choice("activation", activation, _ACTIVATIONS)
        else:
            names = [choice(f"activation[{i}]", a, _ACTIVATIONS) for i, a in enumerate(activation)]
        if len(names) != len(matrices):
            raise ValueError(f"activation must be one name or one per layer, {len(matrices)}; got {len(names)}")
        for array in matrices + vectors:
            array.flags.writeable = False
        object.__setattr__(self, "weights", tuple(matrices))
        object.__setattr__(self, "biases", tuple(vectors))
        object.__setattr__(self, "activations", tuple(names))
        # Adding zero turns -0.0 into 0.0, which it equals.
        contents = tuple((a + 0.0).tobytes() for a in matrices + vectors) + tuple(names) + self.widths
        object.__setattr__(self, "_hash", hash(contents))

    @classmethod
    def random(
        cls,
        widths: Sequence[int],
        activation: str = "tanh",
        *,
        rng: int | np.random.SeedSequence | np.random.Generator,
        weight_std: float = 1.0,
        bias_std: float = 0.0,
    ) -> Network:
        r"""Fixed weights drawn once from a Gaussian, W ~ N(0, weight_std^2 / fan-in), b ~ N(0, bias_std^2).

        Parameters
        ----------
        widths : sequence of int
            Numbers of inputs, hidden neurons and outputs, e.g. (1, 16, 16, 1).
        activation : str, default "tanh"
            Activation of the hidden layers.
        rng : int, SeedSequence or Generator
            Where the weights come from; required, because the theory is the weights.
        weight_std, bias_std : float
            Standard deviations; bias_std may be 0.

        Returns
        -------
        Network
        """
        sizes = [integer(f"widths[{i}]", w, 1) for i, w in enumerate(widths)]
        if len(sizes) < 2:
            raise ValueError(f"widths must have at least the inputs and the outputs; got {sizes}")
        positive("weight_std", weight_std)
        if float(floats("bias_std", bias_std, 0)) < 0:
            raise ValueError(f"bias_std must not be negative; got {bias_std}")
        generator = np.random.default_rng(rng)
        weights, biases = [], []
        for inputs, outputs in pairwise(sizes):
            weights.append(generator.normal(size=(outputs, inputs)) * (weight_std / np.sqrt(inputs)))
            biases.append(generator.normal(size=outputs) * bias_std)
        return cls(weights, biases, activation)

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of inputs, hidden neurons and outputs."""
        return (self.weights[0].shape[1], *(w.shape[0] for w in self.weights))

    @property
    def n_inputs(self) -> int:
        """Number of inputs D."""
        return self.widths[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return self.widths[-1]

    def __call__(self, y: ArrayLike) -> NDArray[Any]:
        """Evaluate at points y of shape (..., D), giving (..., C); float32 stays float32, all else float64."""
        array = np.asarray(y)
        array = array if array.dtype == np.float32 else array.astype(np.float64)
        if array.ndim == 0 or array.shape[-1] != self.n_inputs:
            raise ValueError(f"y must have shape (..., {self.n_inputs}); got {array.shape}")
        if array.size == 0:
            return np.empty((*array.shape[:-1], self.n_outputs), array.dtype)
        flat = array.reshape(-1, 1, self.n_inputs)
        out = _core.apply(layers=self._layers(), inputs=flat, n_threads=1)
        return np.asarray(out).reshape(*array.shape[:-1], self.n_outputs)

    def _layers(self) -> list[tuple[Floats, Floats, str]]:
        return list(zip(self.weights, self.biases, self.activations, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands; floats survive the round trip through JSON bit for bit."""
        return {
            "weights": [w.tolist() for w in self.weights],
            "biases": [b.tolist() for b in self.biases],
            "activation": list(self.activations),
        }

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Network is immutable; make a new one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return (
            self.activations == other.activations
            and self.widths == other.widths
            and all(np.array_equal(a, b) for a, b in zip(self.weights, other.weights, strict=True))
            and all(np.array_equal(a, b) for a, b in zip(self.biases, other.biases, strict=True))
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return (Network, (self.weights, self.biases, self.activations))

    def __repr__(self) -> str:
        kinds = dict.fromkeys(self.activations[:-1]) or dict.fromkeys(self.activations)
        return f"Network({'-'.join(map(str, self.widths))}, {'/'.join(kinds)})"
