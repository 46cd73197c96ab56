"""Training of random networks by gradient descent: its data and its rule."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats, integer, positive
from ..errors import InputError
from .immutable import Immutable

__all__ = ["GradientDescent"]

_LAYERS, _PARAMETRISATIONS = ("all", "last"), ("ntk", "standard")
# Most steps of a training, beyond any use.
_MOST_STEPS = 2**40


class GradientDescent(Immutable):
    r"""Full-batch gradient descent of the weights of a ``RandomNetwork``, each draw by itself.

    .. math:: L(\theta) = \frac12 \sum_i w_i\, |f_\theta(t_i) - x_i|^2

    With ``parametrisation="ntk"`` the descent is in the draws u and v of :math:`W = (s/\sqrt n)\, u`,
    :math:`b = r\, v`, as in the theory of the neural tangent kernel
    (Jacot, Gabriel and Hongler, Adv. Neural Inf. Process. Syst. 31, 8571 (2018)):

    .. math:: W \to W - \eta\, \frac{s^2}{n}\, \frac{\partial L}{\partial W}, \qquad
              b \to b - \eta\, r^2\, \frac{\partial L}{\partial b}

    Weights and biases with a standard deviation of 0 are then not trained. With ``parametrisation="standard"`` the
    descent is in W and b themselves, :math:`W \to W - \eta\, \partial L/\partial W`.

    Parameters
    ----------
    points : array_like
        Inputs t_i of the network, shape (P, D), or (P,) if D = 1; in the units of the inputs.
    targets : array_like
        Outputs x_i, shape (P, C), or (P,) if C = 1.
    rate : float
        Rate eta, positive. The descent is stable near its start if eta is below 2 over the largest eigenvalue of the
        tangent kernel at the points, which ``stable_rates`` computes.
    steps : int
        Number of steps, not negative; with 0 the weights stay as they are drawn.
    weights : array_like, optional
        Weights w_i of the data, shape (P,), not negative; 1 by default. Inverse variances of measured targets.
    layers : {"all", "last"}
        Whether all layers are trained or only the last one.
    parametrisation : {"ntk", "standard"}
        Parameters in which the descent moves.

    Raises
    ------
    InputError, InputTypeError
        If a shape does not fit, a number is not finite, the rate is not positive, or steps or a weight is negative.

    Examples
    --------
    >>> training = GradientDescent([-1.0, 0.0, 1.0], [0.5, 0.0, -0.5], rate=0.1, steps=100)
    >>> training
    GradientDescent(3 points, rate=0.1, steps=100)
    >>> training.at(10).steps
    10
    """

    __slots__ = ("layers", "parametrisation", "points", "rate", "steps", "targets", "weights")

    _contents = ("points", "targets", "rate", "steps", "weights", "layers", "parametrisation")

    points: Floats
    targets: Floats
    rate: float
    steps: int
    weights: Floats
    layers: Literal["all", "last"]
    parametrisation: Literal["ntk", "standard"]

    def __init__(
        self,
        points: ArrayLike,
        targets: ArrayLike,
        rate: float,
        steps: int,
        *,
        weights: ArrayLike | None = None,
        layers: Literal["all", "last"] = "all",
        parametrisation: Literal["ntk", "standard"] = "ntk",
    ) -> None:
        inputs, outputs = _columns("points", points), _columns("targets", targets)
        if len(outputs) != len(inputs):
            raise InputError(f"targets must have one row per point, {len(inputs)}; got {len(outputs)}")
        data_weights = np.ones(len(inputs)) if weights is None else floats("weights", weights, 1)
        if data_weights.shape != (len(inputs),):
            raise InputError(f"weights must have shape ({len(inputs)},), one per point; got {data_weights.shape}")
        if data_weights.min() < 0:
            raise InputError(f"weights must not be negative; got {data_weights.min():g}; they are inverse variances")
        self._set(
            points=inputs,
            targets=outputs,
            rate=positive("rate", rate),
            steps=integer("steps", steps, 0, _MOST_STEPS),
            weights=data_weights,
            layers=choice("layers", layers, _LAYERS),
            parametrisation=choice("parametrisation", parametrisation, _PARAMETRISATIONS),
        )

    def at(self, steps: int) -> GradientDescent:
        """The same descent with another number of steps.

        Parameters
        ----------
        steps : int
            Not negative.

        Returns
        -------
        GradientDescent
        """
        return GradientDescent(**{**self.contents(), "steps": steps})

    def need_fit(self, n_inputs: int, n_outputs: int) -> None:
        """Raise an error if the data do not fit a network.

        Parameters
        ----------
        n_inputs, n_outputs : int
            Numbers D and C of the network.

        Raises
        ------
        InputError
            If points or targets have another number of columns.
        """
        for name, array, n in (("points", self.points, n_inputs), ("targets", self.targets, n_outputs)):
            if array.shape[1] != n:
                raise InputError(
                    f"{name} of the training must have shape ({len(array)}, {n}) for this network; got {array.shape}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``from_dict``.

        Returns
        -------
        dict
        """
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in self.contents().items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GradientDescent:
        """The training that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        GradientDescent
        """
        return cls(**data)

    def __repr__(self) -> str:
        more = ", weighted" if np.any(self.weights != 1) else ""
        more += ", layers='last'" if self.layers == "last" else ""
        more += ", parametrisation='standard'" if self.parametrisation == "standard" else ""
        return f"GradientDescent({len(self.points)} points, rate={self.rate:g}, steps={self.steps}{more})"


def descent_factors(
    training: GradientDescent,
    widths: tuple[int, ...],
    weight_std: tuple[float, ...],
    bias_std: tuple[float, ...],
    shared: tuple[bool, ...] | None,
) -> Floats:
    """Steps along minus the gradient at a rate of 1, for each parameter of a random network, shape (P,)."""
    factors = []
    last = len(widths) - 2
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        fixed = (training.layers == "last" and i < last) or (shared is not None and shared[i])
        w, b = (weight_std[i] / np.sqrt(inputs), bias_std[i]) if training.parametrisation == "ntk" else (1.0, 1.0)
        factors.append(np.full(inputs * outputs, 0.0 if fixed else w**2))
        factors.append(np.full(outputs, 0.0 if fixed or (shared is not None and i == last) else b**2))
    return np.concatenate(factors)


def _columns(name: str, value: ArrayLike) -> Floats:
    array = floats(name, value)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} must have shape (P, n) or (P,) with at least one entry; got {array.shape}")
    return array
