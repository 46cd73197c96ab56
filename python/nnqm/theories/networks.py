"""Feed-forward networks with fixed weights and with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, Rng, choice, floats, integer, key_of, positive
from ..errors import InputError, InputTypeError
from .densities import Density
from .gradients import derivatives, points_of, pullback
from .immutable import Immutable

__all__ = ["Network", "RandomNetwork"]

_ACTIVATIONS = tuple(_core.activations())


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

    __slots__ = ("activations", "biases", "weights")

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
            choice("activation", activation, _ACTIVATIONS)
        else:
            names = [choice(f"activation[{i}]", a, _ACTIVATIONS) for i, a in enumerate(activation)]
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
        plain = _core.Network(list(zip(self.weights, self.biases, self.activations, strict=True)))
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

    def __repr__(self) -> str:
        kinds = dict.fromkeys(self.activations[:-1]) or dict.fromkeys(self.activations)
        return f"Network({'-'.join(map(str, self.widths))}, {'/'.join(kinds)})"


@lru_cache(maxsize=64)
def _table(network: Network, precision: str) -> _core.Network | None:
    return network._compiled().tabulated(precision)


def use_table(network: Network | RandomNetwork | None, precision: str, compiled: bool | None) -> bool:
    """Whether a network is evaluated by its table: as ``compiled`` demands, or, if None, whenever a table exists."""
    exists = compiled is not False and isinstance(network, Network) and _table(network, precision) is not None
    if compiled and not exists:
        raise InputError(
            f"compiled=True needs a network that a table of polynomials represents in {precision}: one input, fixed "
            f"weights, no kinks (relu), no steps much narrower than 1; got {network!r}; leave compiled out"
        )
    return exists


class RandomNetwork(Immutable):
    r"""A multi-layer perceptron whose weights theta are drawn from a density: a theory is an ensemble of them.

    .. math:: W^{(l)}_{ij} = \frac{s_l}{\sqrt{n_l}}\, u_{ij}, \qquad b^{(l)}_i = r_l\, v_i

    Here u and v are independent draws from the densities, n_l is the fan-in, and s_l, r_l are standard deviations (for
    densities without a variance, half-widths). Every path, or every group of paths, has its own theta. Draws are a pure
    function of the key of the run and the number of the group; ``draw_weights`` returns them.

    With random seed processes, theta labels superselection sectors: the two-point function has a plateau
    :math:`E_\theta[c_0(\theta)^2]`, which connected functions subtract for each theta. This subtraction needs at least
    two paths per theta; the time average of a single path would be a biased substitute.

    Parameters
    ----------
    widths : sequence of int
        Numbers of inputs, hidden neurons and outputs, e.g. (1, 16, 16, 1).
    activation : str or sequence of str, default "tanh"
        Activation of the hidden layers, the last layer being linear; or one name per layer.
    weights, biases : Density, str or sequence of them, default "gaussian"
        Densities of all layers, or one per layer; a name stands for ``Density(name)``.
    weight_std, bias_std : float or sequence of float, default 1 and 0
        s_l and r_l of all layers, or one per layer; not negative.
    group : int, default 1
        Number of successive paths that share theta: a divisor or a multiple of 64.
    shared : sequence of bool, optional
        Parameter splitting, for the single input of ``Times(reflected=True)``: True for each layer whose weights are
        the same for t > 0 and t < 0. All other layers are drawn separately for the two sides. The output is
        :math:`W h(|t|) - W h(0) + b`; the biases b of the last layer are always shared. Reflection positivity holds by
        construction, because the two sides are independent given the shared weights
        (Ferko and Halverson, arXiv:2504.05462).

    Raises
    ------
    InputError, InputTypeError
        If a width is below 1, an activation or a density is unknown, a list does not have one entry per layer, or the
        group is neither a divisor nor a multiple of 64.

    Examples
    --------
    >>> net = RandomNetwork((1, 16, 1), "tanh", weight_std=1.5, group=8)
    >>> net
    RandomNetwork(1-16-1, tanh, gaussian, group=8)
    """

    __slots__ = ("activations", "bias_std", "biases", "group", "shared", "weight_std", "weights", "widths")

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    weights: tuple[Density, ...]
    biases: tuple[Density, ...]
    weight_std: tuple[float, ...]
    bias_std: tuple[float, ...]
    group: int
    shared: tuple[bool, ...] | None

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Sequence[str] = "tanh",
        *,
        weights: Density | str | Sequence[Density | str] = "gaussian",
        biases: Density | str | Sequence[Density | str] = "gaussian",
        weight_std: float | Sequence[float] = 1.0,
        bias_std: float | Sequence[float] = 0.0,
        group: int = 1,
        shared: Sequence[bool] | None = None,
    ) -> None:
        sizes = tuple(integer(f"widths[{i}]", w, 1, 1 << 20) for i, w in enumerate(widths))
        if len(sizes) < 2:
            raise InputError(f"widths must have at least the inputs and the outputs; got {list(sizes)}")
        n = len(sizes) - 1
        if isinstance(activation, str):
            names = (choice("activation", activation, _ACTIVATIONS),) * (n - 1) + ("identity",)
        else:
            names = tuple(choice(f"activation[{i}]", a, _ACTIVATIONS) for i, a in enumerate(activation))
        if len(names) != n:
            raise InputError(f"activation must be one name or one per layer, {n}; got {len(names)}")
        members = integer("group", group, 1)
        if 64 % members and members % 64:
            below, above = 1 << (members.bit_length() - 1), -(-members // 64) * 64
            near = f"{min(below, 64)} or {min(2 * below, 64)}" if members < 64 else f"{above - 64} or {above}"
            raise InputError(f"group must be a divisor of 64 or a multiple of it; got {members}; use {near}")
        split = None
        if shared is not None:
            split = tuple(bool(s) for s in shared)
            if len(split) != n or sizes[0] != 1 or n < 2 or members != 1 or names[-1] != "identity":
                raise InputError(
                    f"shared needs one entry per layer, {n}, one input, a hidden layer, a linear last layer and "
                    f"group=1; got {len(split)} entries, {sizes[0]} inputs, {n - 1} hidden layers, last layer "
                    f"{names[-1]}, group={members}"
                )
        self._set(
            widths=sizes,
            activations=names,
            weights=_per_layer("weights", weights, n),
            biases=_per_layer("biases", biases, n),
            weight_std=_spreads("weight_std", weight_std, n),
            bias_std=_spreads("bias_std", bias_std, n),
            group=members,
            shared=split,
        )

    def contents(self) -> dict[str, Any]:
        """Arguments of the class that make this network again.

        Returns
        -------
        dict
        """
        names = ("widths", "weights", "biases", "weight_std", "bias_std", "group", "shared")
        return {"activation": self.activations, **{name: getattr(self, name) for name in names}}

    @property
    def n_inputs(self) -> int:
        """Number of inputs D."""
        return self.widths[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return self.widths[-1]

    def need_moment(self, order: int, what: str) -> None:
        """Raise an error if the outputs lack a moment.

        Parameters
        ----------
        order : int
            Order of the moment.
        what : str
            Result that needs the moment, for the message.

        Raises
        ------
        InputError
            If the outputs have no moment of this order; the message names the layer.
        """
        for i in reversed(range(len(self.activations))):
            for kind, densities, spreads in (
                ("weights", self.weights, self.weight_std),
                ("biases", self.biases, self.bias_std),
            ):
                if spreads[i] > 0 and not densities[i].moment_exists(order):
                    raise InputError(
                        f"{what} needs moments of order {order} of the outputs, but {kind}[{i}] ({densities[i]}) have "
                        "none and no bounded activation follows",
                        "use another density there, or tanh, sin or erf after it",
                    )
            # The output of a bounded activation has all moments for any input.
            if i > 0 and is_bounded(self.activations[i - 1]):
                return

    def draw(self, groups: range, key: int, *, negative: bool = False) -> list[Network]:
        """The networks of given groups of paths in a run; see ``draw_weights``.

        Parameters
        ----------
        groups : range
            Numbers of the groups, with step 1.
        key : int
            Key of the run.
        negative : bool, default False
            For split weights, whether to return the weights of t < 0.

        Returns
        -------
        list of Network
            One per group.
        """
        drawn = _core.draw(network=self._compiled(), key=key, negative=negative, groups=(groups.start, groups.stop))
        networks = []
        for row in np.asarray(drawn)[:, 0]:
            weights, biases, at = [], [], 0
            for inputs, outputs in pairwise(self.widths):
                weights.append(row[at : at + inputs * outputs].reshape(outputs, inputs))
                at += inputs * outputs
                biases.append(row[at : at + outputs])
                at += outputs
            networks.append(Network._of(tuple(weights), tuple(biases), self.activations))
        return networks

    def pullback(
        self,
        y: ArrayLike,
        values: ArrayLike,
        first: ArrayLike | None = None,
        second: ArrayLike | None = None,
        *,
        rng: Rng = None,
        key: int | None = None,
        first_path: int = 0,
        n_threads: int = 0,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        r"""Gradients for each group of paths, with respect to its own weights; see ``Network.pullback``.

        The sum S of a group is over all points of its paths. A row of the gradient is the pullback of the group's
        network in ``draw_weights``, to rounding.

        Parameters
        ----------
        y : array_like
            Inputs, shape (path, time, D).
        values : array_like
            u, shape (path, time, C).
        first, second : array_like, optional
            v and w, shape (path, time, C, D); zero by default.
        rng, key, first_path
            As for ``apply``: the rng or key of the paths, one of which is required, and the index of the first path.
        n_threads : int, default 0
            0 uses what the OpenMP environment offers. The results do not depend on it.

        Returns
        -------
        parameters : ndarray
            Shape (groups, P), in the order of ``Network.parameters``, with a row for each group of the paths: path i
            has row ``i // group - first_path // group``. float32 for float32 y, float64 otherwise.
        inputs : ndarray
            Derivatives of S with respect to y, shape (path, time, D).

        Raises
        ------
        InputError, InputTypeError
            If a shape does not fit, an array is not real, the weights are split at t = 0, or there is neither rng nor
            key.

        Examples
        --------
        >>> net = RandomNetwork((1, 4, 1))
        >>> gradient, by_point = net.pullback(np.ones((3, 5, 1)), np.ones((3, 5, 1)), rng=1)
        >>> gradient.shape, by_point.shape
        ((3, 13), (3, 5, 1))
        """
        if self.shared is not None:
            raise InputError(
                "gradients of a network that is split at t = 0 are not available; take those of the networks that "
                "draw_weights returns for each side"
            )
        if rng is None and key is None:
            raise InputError(
                "random weights need the rng or key of the paths; for the keys of a run give key=run.keys[0]"
            )
        array = points_of(y, self.n_inputs)
        if array.ndim != 3 or array.size == 0:
            raise InputError(f"y must have axes (path, time, input) that are not empty; got shape {array.shape}")
        run = {"first_path": integer("first_path", first_path, 0, 2**48), "n_threads": n_threads}
        given, leading = (values, first, second), (array.shape[0], array.shape[1])
        return pullback(self._compiled(), self.n_outputs, array, given, leading, key=key_of(rng, key), **run)

    def _compiled(self, table: str | None = None) -> _core.Network:
        """The network of the core; random weights have no table."""
        layers, drawn = [], []
        for i, (inputs, outputs) in enumerate(pairwise(self.widths)):
            layers.append((np.zeros((outputs, inputs)), np.zeros(outputs), self.activations[i]))
            scale = np.full((outputs, inputs), self.weight_std[i] / np.sqrt(inputs))
            spread = np.full(outputs, self.bias_std[i])
            of_weights, of_biases = self.weights[i].core_name, self.biases[i].core_name
            drawn.append((*of_weights, scale, *of_biases, spread, True if self.shared is None else self.shared[i]))
        return _core.Network(layers).drawn(drawn, self.group, self.shared is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``from_dict``.

        Returns
        -------
        dict
        """
        return {
            "widths": list(self.widths),
            "activation": list(self.activations),
            "weights": [d.to_dict() for d in self.weights],
            "biases": [d.to_dict() for d in self.biases],
            "weight_std": list(self.weight_std),
            "bias_std": list(self.bias_std),
            "group": self.group,
            "shared": None if self.shared is None else list(self.shared),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RandomNetwork:
        """The network that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        RandomNetwork
        """
        densities = {k: [Density.from_dict(d) for d in data[k]] for k in ("weights", "biases")}
        return cls(**{**data, **densities})

    def __repr__(self) -> str:
        kinds = "/".join(dict.fromkeys(self.activations[:-1] or self.activations))
        densities = "/".join(dict.fromkeys(map(str, self.weights)))
        more = f", group={self.group}" if self.group > 1 else ""
        more += ", split" if self.shared is not None else ""
        return f"RandomNetwork({'-'.join(map(str, self.widths))}, {kinds}, {densities}{more})"


def _per_layer(name: str, given: Density | str | Sequence[Density | str], n: int) -> tuple[Density, ...]:
    entries = [given] * n if isinstance(given, (Density, str)) else list(given)
    if len(entries) != n:
        raise InputError(f"{name} must be one density or one per layer, {n}; got {len(entries)}")
    for entry in entries:
        if not isinstance(entry, (Density, str)):
            raise InputTypeError(f"{name} must be densities or their names; got {entry!r}")
    return tuple(e if isinstance(e, Density) else Density(e) for e in entries)


def _spreads(name: str, given: float | Sequence[float], n: int) -> tuple[float, ...]:
    array = np.atleast_1d(floats(name, given))
    if array.ndim != 1 or len(array) not in (1, n):
        raise InputError(f"{name} must be one number or one per layer, {n}; got shape {array.shape}")
    if array.min() < 0:
        raise InputError(f"{name} must not be negative; got {array.min():g}")
    return tuple(float(x) for x in np.broadcast_to(array, n))


def is_bounded(activation: str) -> bool:
    """Whether the values of an activation are bounded."""
    far = Network([[[1.0]]], activation=[activation])(np.array([[-1e7], [1e7]]))
    return bool(np.abs(far).max() < 10)
