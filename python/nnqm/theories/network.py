"""Feed-forward networks with fixed weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, choice, floats, generator_of, integer, positive
from ..errors import InputError, InputTypeError
from ..representation import card
from .gradients import derivatives, points_of, pullback
from .immutable import Immutable

__all__ = ["Network"]

ACTIVATIONS = tuple(_core.activations())


def _layer_shape(i: int, weights: Floats, biases: Floats, inputs: int | None) -> None:
    if weights.size == 0:
        raise InputError(f"weights[{i}] is empty (shape {weights.shape}); a layer needs inputs and outputs")
    if inputs is not None and weights.shape[1] != inputs:
        raise InputError(
            f"weights[{i}] takes {weights.shape[1]} inputs, but layer {i - 1} has {inputs} outputs; "
            "weights have shape (outputs, inputs)"
        )
    if biases.shape != weights.shape[:1]:
        raise InputError(
            f"biases[{i}] must have shape ({weights.shape[0]},), one per output of the layer; got {biases.shape}"
        )


class Network(Immutable):
    r"""A multi-layer perceptron with fixed weights, x = f(y).

    .. math:: h^{(0)} = y, \quad h^{(l+1)} = a_l(W^{(l)} h^{(l)} + b^{(l)})

    The input is the physical y, not y divided by its standard deviation.

    Parameters
    ----------
    weights : sequence of array_like
        One matrix per layer, shape (outputs, inputs), float64.
    biases : sequence of array_like, optional
        One vector per layer, shape (outputs,); zero by default.
    activation : str or sequence of str, default "tanh"
        Activation of the hidden layers, the last layer being linear; or one name per layer. Available:
        identity, tanh, relu, sin, cos, erf, gelu (exact, x Phi(x)), sigmoid, softplus.

    Raises
    ------
    InputError
        If the inputs of a layer do not match the outputs of the layer before, a weight is not finite, or an activation
        is unknown.

    Examples
    --------
    >>> net = Network([[[1.0], [2.0]], [[0.5, -0.5]]], activation="tanh")
    >>> net.widths
    (1, 2, 1)
    >>> net([[0.5]]).round(4)
    array([[-0.1497]])
    """

    __slots__ = ("_plain", "activations", "biases", "weights")

    _plain: _core.Network

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    activations: tuple[str, ...]

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike] | None = None,
        activation: str | Sequence[str] = "tanh",
    ) -> None:
        matrices = [floats(f"weights[{i}]", w, 2) for i, w in enumerate(weights)]
        if not matrices:
            raise InputError("weights must have at least one layer; got none")
        if biases is None:
            vectors = [np.zeros(w.shape[0]) for w in matrices]
        else:
            vectors = [floats(f"biases[{i}]", b, 1) for i, b in enumerate(biases)]
        if len(vectors) != len(matrices):
            raise InputError(f"biases must have one vector per layer, {len(matrices)}; got {len(vectors)}")
        inputs: int | None = None
        for i, (w, b) in enumerate(zip(matrices, vectors, strict=True)):
            _layer_shape(i, w, b, inputs)
            inputs = w.shape[0]
        if not isinstance(activation, (str, list, tuple)):
            raise InputTypeError(f"activation must be a name or a list of names, one per layer; got {activation!r}")
        if isinstance(activation, str):
            names = [activation] * (len(matrices) - 1) + ["identity"]
            choice("activation", activation, ACTIVATIONS)
        else:
            names = [choice(f"activation[{i}]", a, ACTIVATIONS) for i, a in enumerate(activation)]
        if len(names) != len(matrices):
            raise InputError(f"activation must be one name or one per layer, {len(matrices)}; got {len(names)}")
        self._set(weights=tuple(matrices), biases=tuple(vectors), activations=tuple(names))

    @classmethod
    def _of(cls, weights: tuple[Floats, ...], biases: tuple[Floats, ...], activations: tuple[str, ...]) -> Network:
        """A network of layers that are known to be right, without the checks, for thousands of draws."""
        network = cls.__new__(cls)
        network._set(weights=weights, biases=biases, activations=activations)
        return network

    def contents(self) -> dict[str, Any]:
        """Arguments of the class that make this network again.

        Returns
        -------
        dict
        """
        return {"weights": self.weights, "biases": self.biases, "activation": self.activations}

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
        r"""A network with fixed weights, drawn once: W ~ N(0, weight_std^2/fan-in), b ~ N(0, bias_std^2).

        Parameters
        ----------
        widths : sequence of int
            Numbers of inputs, hidden neurons and outputs, e.g. (1, 16, 16, 1).
        activation : str, default "tanh"
            Activation of the hidden layers.
        rng : int, SeedSequence or Generator
            Source of the weights; required, because the weights define the theory.
        weight_std, bias_std : float, default 1 and 0
            Standard deviations; ``weight_std`` must be positive, ``bias_std`` not negative.

        Returns
        -------
        Network

        Raises
        ------
        InputError
            If there are fewer than two widths, a width is below 1, or a standard deviation is out of range.
        """
        sizes = [integer(f"widths[{i}]", w, 1) for i, w in enumerate(widths)]
        if len(sizes) < 2:
            raise InputError(f"widths must have at least the inputs and the outputs; got {sizes}")
        positive("weight_std", weight_std)
        if float(floats("bias_std", bias_std, 0)) < 0:
            raise InputError(f"bias_std must not be negative; got {bias_std}")
        generator = generator_of(rng)
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
        """Values f(y) of the network.

        Parameters
        ----------
        y : array_like
            Points, shape (..., D).

        Returns
        -------
        ndarray
            Shape (..., C); float32 for float32 input, float64 otherwise.

        Raises
        ------
        InputError, InputTypeError
            If y does not have D entries along its last axis, or is not real.
        """
        array = points_of(y, self.n_inputs)
        if array.size == 0:
            return np.empty((*array.shape[:-1], self.n_outputs), array.dtype)
        flat = array.reshape(-1, 1, self.n_inputs)
        out = _core.apply(network=self._compiled(), key=0, times=(), first_path=0, inputs=flat, n_threads=1)
        return np.asarray(out).reshape(*array.shape[:-1], self.n_outputs)

    @property
    def parameters(self) -> Floats:
        """All weights and biases, shape (P,): layer after layer, the rows of the weights, then the biases."""
        parts = [part for w, b in zip(self.weights, self.biases, strict=True) for part in (w.ravel(), b)]
        return np.concatenate(parts)

    def with_parameters(self, parameters: ArrayLike) -> Network:
        """The network of the same layers with other weights and biases.

        Parameters
        ----------
        parameters : array_like
            Shape (P,), in the order of ``parameters``, finite.

        Returns
        -------
        Network

        Raises
        ------
        InputError
            If the number of parameters is another one, or one is not finite.
        """
        vector = floats("parameters", parameters, 1)
        sizes = [part.size for w, b in zip(self.weights, self.biases, strict=True) for part in (w, b)]
        if vector.size != sum(sizes):
            raise InputError(f"parameters must have shape ({sum(sizes)},) for {self!r}; got {vector.shape}")
        parts = np.split(vector, np.cumsum(sizes)[:-1])
        weights = tuple(part.reshape(w.shape) for part, w in zip(parts[::2], self.weights, strict=True))
        return Network._of(weights, tuple(parts[1::2]), self.activations)

    def derivatives(self, y: ArrayLike, *, n_threads: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        r"""Values of the network and its first and second derivatives with respect to each input.

        Parameters
        ----------
        y : array_like
            Points, shape (..., D).
        n_threads : int, default 0
            0 uses what the OpenMP environment offers. The results do not depend on it.

        Returns
        -------
        values : ndarray
            f(y), shape (..., C); float32 for float32 y, float64 otherwise.
        first : ndarray
            :math:`\partial f_c/\partial y_i`, shape (..., C, D).
        second : ndarray
            :math:`\partial^2 f_c/\partial y_i^2`, shape (..., C, D). The derivatives of relu at its kink are 0.

        Raises
        ------
        InputError, InputTypeError
            If y does not have D entries along its last axis, or is not real.

        Examples
        --------
        >>> values, first, second = Network([[[2.0]], [[1.0]]], activation="sin").derivatives([[0.0], [0.5]])
        >>> first.ravel().round(6)  # 2 cos(2 y)
        array([2.      , 1.080605])
        """
        array = points_of(y, self.n_inputs)
        return derivatives(self._compiled(), self.n_outputs, array, n_threads)

    def pullback(
        self,
        y: ArrayLike,
        values: ArrayLike,
        first: ArrayLike | None = None,
        second: ArrayLike | None = None,
        *,
        n_threads: int = 0,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        r"""Gradient of a weighted sum of values and derivatives of the network (vector-Jacobian product).

        .. math:: S = \sum_q \sum_c \Bigl( u_{qc} f_c(y_q) + \sum_i v_{qci} \frac{\partial f_c}{\partial y_i}(y_q)
                  + \sum_i w_{qci} \frac{\partial^2 f_c}{\partial y_i^2}(y_q) \Bigr)

        The derivatives are exact, by the chain rule through the layers in reverse (Rumelhart, Hinton and Williams,
        Nature 323, 533 (1986)).

        Parameters
        ----------
        y : array_like
            Points, shape (..., D).
        values : array_like
            u, shape (..., C).
        first, second : array_like, optional
            v and w, shape (..., C, D); zero by default, which saves their cost.
        n_threads : int, default 0
            0 uses what the OpenMP environment offers. The results do not depend on it.

        Returns
        -------
        parameters : ndarray
            Derivatives of S with respect to ``parameters``, shape (P,); float32 for float32 y, float64 otherwise.
        inputs : ndarray
            Derivatives of S with respect to y, shape (..., D).

        Raises
        ------
        InputError, InputTypeError
            If a shape does not fit, or an array is not real.

        Examples
        --------
        >>> gradient, by_point = Network([[[2.0]], [[1.0]]], activation="sin").pullback([[0.5]], [[1.0]])
        >>> gradient.round(4)  # of sin(2 y): in the weight and bias of each layer
        array([0.2702, 0.5403, 0.8415, 1.    ])
        """
        array = points_of(y, self.n_inputs)
        run = {"key": 0, "first_path": 0, "n_threads": n_threads}
        given = values, first, second
        gradient, inputs = pullback(self._compiled(), self.n_outputs, array, given, (array[..., 0].size, 1), **run)
        return gradient[0], inputs

    def _compiled(self, table: str | None = None) -> _core.Network:
        """The network of the core; its table of polynomials for the precision ``table``, if there is one."""
        try:
            plain = self._plain
        except AttributeError:
            plain = _core.Network(list(zip(self.weights, self.biases, self.activations, strict=True)))
            self._set(_plain=plain)
        return plain if table is None else _table(self, table) or plain

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of the class; floats survive the round trip through JSON bit for bit.

        Returns
        -------
        dict
        """
        return {
            "weights": [w.tolist() for w in self.weights],
            "biases": [b.tolist() for b in self.biases],
            "activation": list(self.activations),
        }

    def _repr_html_(self) -> str:
        """The architecture in a notebook."""
        from hashlib import sha256

        facts = {
            "widths": "-".join(map(str, self.widths)),
            "activations": ", ".join(self.activations),
            "parameters": f"{len(self.parameters):,}",
            "hash of the parameters": sha256(self.parameters.tobytes()).hexdigest()[:12],
        }
        rows = [
            (f"{i}", " x ".join(map(str, w.shape)), np.abs(w).max(initial=0.0), np.abs(b).max(initial=0.0), activation)
            for i, (w, b, activation) in enumerate(zip(self.weights, self.biases, self.activations, strict=True), 1)
        ]
        headings = ("layer", "weights", "largest weight", "largest bias", "activation")
        return card("Network", facts, headings=headings, rows=rows)

    def __repr__(self) -> str:
        kinds = dict.fromkeys(self.activations[:-1]) or dict.fromkeys(self.activations)
        return f"Network({'-'.join(map(str, self.widths))}, {'/'.join(kinds)})"


@lru_cache(maxsize=64)
def _table(network: Network, precision: str) -> _core.Network | None:
    return network._compiled().tabulated(precision)


def use_table(network: object, precision: str, compiled: bool | None) -> bool:
    """Whether a network is evaluated by its table: as ``compiled`` demands, or, if None, whenever a table exists."""
    exists = compiled is not False and isinstance(network, Network) and _table(network, precision) is not None
    if compiled and not exists:
        raise InputError(
            f"compiled=True needs a network that a table of polynomials represents in {precision}: one input, fixed "
            f"weights, no kinks (relu), no steps much narrower than 1; got {network!r}; leave compiled out"
        )
    return exists


def is_bounded(activation: str) -> bool:
    """Whether the values of an activation are bounded."""
    far = Network([[[1.0]]], activation=[activation])(np.array([[-1e7], [1e7]]))
    return bool(np.abs(far).max() < 10)
