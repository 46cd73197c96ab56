"""Feed-forward networks with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, Rng, choice, floats, integer, key_of
from .._memory import need_memory
from ..errors import InputError, InputTypeError
from ..representation import card
from .densities import Density
from .gradients import points_of, pullback
from .immutable import Immutable
from .network import ACTIVATIONS, Network, is_bounded
from .training import GradientDescent, descent_factors

__all__ = ["Network", "RandomNetwork"]

# Largest random networks of the core.
_MOST_LAYERS, _MOST_PARAMETERS = 32768, 2**32


class EnsembleSettings(TypedDict, total=False):
    """How the paths of a theory use random weights.

    Attributes
    ----------
    group : int
        Number of successive paths that share their weights, 1 by default.
    shared : sequence of bool or None
        Layers that both sides of t = 0 share, in a split network.
    training : GradientDescent or None
        Training of each draw of the weights.
    """

    group: int
    shared: Sequence[bool] | None
    training: GradientDescent | None


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
    **settings : EnsembleSettings
        group : int, default 1. Number of successive paths that share theta: a divisor or a multiple of 64.

        shared : sequence of bool. Parameter splitting, for the single input of ``Times(reflected=True)``: True for each
        layer whose weights are the same for t > 0 and t < 0. All other layers are drawn separately for the two sides.
        The output is :math:`W h(|t|) - W h(0) + b`; the biases b of the last layer are always shared. Reflection
        positivity holds by construction, because the two sides are independent given the shared weights
        (Ferko and Halverson, arXiv:2504.05462).

        training : GradientDescent. Trains each draw of the weights, so that the theory is an ensemble of trained
        networks. Trained weights are a pure function of the draw, in the precision of the run. With ``shared`` the
        points are values of \|t\|: each side learns all of them with the layers that are its own, and the shared
        layers keep their draws, because the two sides would otherwise depend on each other and reflection positivity
        would be lost.

    Raises
    ------
    InputError, InputTypeError
        If a width is below 1, an activation or a density is unknown, a list does not have one entry per layer, the
        group is neither a divisor nor a multiple of 64, or the training does not fit or changes no weight.

    Examples
    --------
    >>> net = RandomNetwork((1, 16, 1), "tanh", weight_std=1.5, group=8)
    >>> net
    RandomNetwork(1-16-1, tanh, gaussian, group=8)
    >>> net.with_training(nnqm.GradientDescent([-1.0, 1.0], [0.5, -0.5], rate=0.1, steps=50))
    RandomNetwork(1-16-1, tanh, gaussian, group=8, 50 steps on 2 points)
    """

    __slots__ = ("activations", "bias_std", "biases", "group", "shared", "training", "weight_std", "weights", "widths")

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    weights: tuple[Density, ...]
    biases: tuple[Density, ...]
    weight_std: tuple[float, ...]
    bias_std: tuple[float, ...]
    group: int
    shared: tuple[bool, ...] | None
    training: GradientDescent | None

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Sequence[str] = "tanh",
        *,
        weights: Density | str | Sequence[Density | str] = "gaussian",
        biases: Density | str | Sequence[Density | str] = "gaussian",
        weight_std: float | Sequence[float] = 1.0,
        bias_std: float | Sequence[float] = 0.0,
        **settings: Unpack[EnsembleSettings],
    ) -> None:
        for name in settings:
            if name not in EnsembleSettings.__annotations__:
                raise InputTypeError(f"RandomNetwork has no argument {name!r}")
        shared, training = settings.get("shared"), settings.get("training")
        sizes = tuple(integer(f"widths[{i}]", w, 1, 1 << 20) for i, w in enumerate(widths))
        if len(sizes) < 2:
            raise InputError(f"widths must have at least the inputs and the outputs; got {list(sizes)}")
        n = len(sizes) - 1
        if n > _MOST_LAYERS or sum((a + 1) * b for a, b in pairwise(sizes)) > _MOST_PARAMETERS:
            raise InputError(
                f"widths must give at most {_MOST_LAYERS} layers and 2^32 weights and biases; got {n} layers and "
                f"{sum((a + 1) * b for a, b in pairwise(sizes))}; use fewer or narrower layers"
            )
        if isinstance(activation, str):
            names = (choice("activation", activation, ACTIVATIONS),) * (n - 1) + ("identity",)
        else:
            names = tuple(choice(f"activation[{i}]", a, ACTIVATIONS) for i, a in enumerate(activation))
        if len(names) != n:
            raise InputError(f"activation must be one name or one per layer, {n}; got {len(names)}")
        members = integer("group", settings.get("group", 1), 1)
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
            training=training,
        )
        if training is not None:
            self._need_training()

    def _need_training(self) -> None:
        """Raise an error if the training does not fit."""
        if not isinstance(self.training, GradientDescent):
            raise InputTypeError(f"training must be a GradientDescent or None; got {self.training!r}")
        self.training.need_fit(self.n_inputs, self.n_outputs)
        if self.shared is not None and self.training.points.min() < 0:
            raise InputError(
                f"points of the training of a split network are values of |t|, which both sides learn; got "
                f"{self.training.points.min():g}; give points that are not negative"
            )
        factors = descent_factors(self.training, self.widths, self.weight_std, self.bias_std, self.shared)
        if not factors.any():
            remedy = "leave a layer unshared" if self.shared is not None else "use weight_std > 0"
            raise InputError(f"the training changes no weight of {self!r}", remedy)

    def contents(self) -> dict[str, Any]:
        """Arguments of the class that make this network again.

        Returns
        -------
        dict
        """
        names = ("widths", "weights", "biases", "weight_std", "bias_std", "group", "shared", "training")
        return {"activation": self.activations, **{name: getattr(self, name) for name in names}}

    def with_training(self, training: GradientDescent | None) -> RandomNetwork:
        """The same random network with another training.

        Parameters
        ----------
        training : GradientDescent or None
            None leaves the weights as they are drawn.

        Returns
        -------
        RandomNetwork
        """
        return RandomNetwork(**{**self.contents(), "training": training})

    @property
    def is_trained(self) -> bool:
        """Whether the weights are trained by at least one step."""
        return self.training is not None and self.training.steps > 0

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

        Notes
        -----
        After a bounded activation the trained output is linear in the drawn weights of the last layer, and every factor
        of it is bounded. Otherwise each step multiplies draws, so that a training needs all moments.
        """
        grows = self.is_trained and len(self.widths) > 2 and not is_bounded(self.activations[-2])
        for i in reversed(range(len(self.activations))):
            for kind, densities, spreads in (
                ("weights", self.weights, self.weight_std),
                ("biases", self.biases, self.bias_std),
            ):
                if spreads[i] > 0 and not densities[i].moment_exists(np.inf if grows else order):
                    needed = f"moments of order {order} of the outputs"
                    needed += ", and a training with unbounded activations all moments of the weights" if grows else ""
                    raise InputError(
                        f"{what} needs {needed}, but {kind}[{i}] ({densities[i]}) have none and no bounded activation "
                        "follows",
                        "use another density there, or tanh, sin or erf after it",
                    )
            # The output of a bounded activation has all moments for any input.
            if i > 0 and is_bounded(self.activations[i - 1]):
                return

    def draw(
        self,
        groups: range,
        key: int,
        *,
        negative: bool = False,
        precision: str = "float64",
        n_threads: int = 0,
    ) -> list[Network]:
        """The networks of given groups of paths in a run; see ``draw_weights``.

        Parameters
        ----------
        groups : range
            Numbers of the groups, with step 1.
        key : int
            Key of the run.
        negative : bool, default False
            For split weights, whether to return the weights of t < 0.
        precision : {"float64", "float32"}
            Precision of the draws and of their training.
        n_threads : int, default 0
            Number of threads; 0 means all. The weights do not depend on it.

        Returns
        -------
        list of Network
            One per group. The weights of a network whose training diverges are NaN.
        """
        drawn = self.draw_parameters(groups, key, negative, precision, n_threads)
        layers: list[tuple[Floats, Floats]] = []
        at = 0
        for inputs, outputs in pairwise(self.widths):
            weights = drawn[:, at : at + inputs * outputs].reshape(-1, outputs, inputs)
            at += inputs * outputs
            layers.append((weights, drawn[:, at : at + outputs]))
            at += outputs
        of_layers = zip(*(zip(w, b, strict=True) for w, b in layers), strict=True)
        return [Network._of(tuple(w for w, _ in n), tuple(b for _, b in n), self.activations) for n in of_layers]

    def draw_parameters(
        self, groups: range, key: int, negative: bool = False, precision: str = "float64", n_threads: int = 0
    ) -> Floats:
        """The ``parameters`` of the networks of ``draw``, shape (groups, P), read-only."""
        size = sum((a + 1) * b for a, b in pairwise(self.widths))
        bytes_each = 8.0 if precision == "float64" else 12.0  # and a copy in float64
        need_memory(
            bytes_each * len(groups) * size,
            "the weights",
            "draw fewer networks at once",
            f"{len(groups)} networks of {size} weights and biases",
        )
        drawn = _core.draw(
            network=self._compiled(),
            key=key,
            negative=negative,
            groups=(groups.start, groups.stop),
            precision=precision,
            n_threads=n_threads,
        )
        parameters = np.asarray(drawn, dtype=np.float64)[:, 0]
        parameters.flags.writeable = False
        return parameters

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
        # Layers and scales, and their copies in the core.
        need_memory(
            32.0 * sum(a * b for a, b in pairwise(self.widths)),
            "the layers of a network",
            "use smaller widths",
            f"widths {'-'.join(map(str, self.widths))}",
        )
        layers, drawn = [], []
        for i, (inputs, outputs) in enumerate(pairwise(self.widths)):
            layers.append((np.zeros((outputs, inputs)), np.zeros(outputs), self.activations[i]))
            scale = np.full((outputs, inputs), self.weight_std[i] / np.sqrt(inputs))
            spread = np.full(outputs, self.bias_std[i])
            of_weights, of_biases = self.weights[i].core_name, self.biases[i].core_name
            drawn.append((*of_weights, scale, *of_biases, spread, True if self.shared is None else self.shared[i]))
        network = _core.Network(layers).drawn(drawn, self.group, self.shared is not None)
        if self.training is None:
            return network
        return network.trained(
            points=self.training.points,
            targets=self.training.targets,
            weights=self.training.weights,
            rate=self.training.rate,
            steps=self.training.steps,
            last_layer=self.training.layers == "last",
            unit_draws=self.training.parametrisation == "ntk",
        )

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
            # Networks without a training keep the form that they had before trainings existed.
            **({} if self.training is None else {"training": self.training.to_dict()}),
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
        parts: dict[str, Any] = {k: [Density.from_dict(d) for d in data[k]] for k in ("weights", "biases")}
        if "training" in data:
            parts["training"] = GradientDescent.from_dict(data["training"])
        return cls(**{**data, **parts})

    def _repr_html_(self) -> str:
        """Widths and densities of all layers in a notebook."""
        facts: dict[str, Any] = {
            "widths": "-".join(map(str, self.widths)),
            "parameters": f"{sum((n + 1) * m for n, m in pairwise(self.widths)):,}",
            "paths that share their weights": self.group,
        }
        facts |= {"training": self.training} if self.training is not None else {}
        columns = (self.weights, self.weight_std, self.biases, self.bias_std, self.activations)
        rows = [
            (f"{i}", str(weights), spread, str(biases), other, activation)
            for i, (weights, spread, biases, other, activation) in enumerate(zip(*columns, strict=True), 1)
        ]
        headings = ("layer", "weights", "weight_std", "biases", "bias_std", "activation")
        return card("RandomNetwork", facts, headings=headings, rows=rows)

    def __repr__(self) -> str:
        kinds = "/".join(dict.fromkeys(self.activations[:-1] or self.activations))
        densities = "/".join(dict.fromkeys(map(str, self.weights)))
        more = f", group={self.group}" if self.group > 1 else ""
        more += ", split" if self.shared is not None else ""
        if self.training is not None:
            more += f", {self.training.steps} steps on {len(self.training.points)} points"
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
