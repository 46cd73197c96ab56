r"""Fields made of neurons of one hidden layer: exact n-point functions at every width, and draws of single neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, Rng, choice, floats, integer, key_of
from ..errors import InputError, InputTypeError
from ..representation import short_repr
from ..statistics.partitions import Subset
from ..theories.network import ACTIVATIONS, Network
from ..theories.networks import RandomNetwork
from ..theories.sources import Times
from ..theories.theory import Theory
from ..time_networks.gaussian_averages import average
from ..time_networks.neuron_products import ProductAverage, product_average
from .finite_width import NPointFunction, moments_of_sum
from .propagators import ExactValue

__all__ = ["NeuronField", "drawn_neurons"]

# Largest number of points of a function; kernels without a closed form have this accuracy relative to their largest
# value.
_MOST_POINTS, _KERNEL = 8, 1e-11
# Number of neurons beyond which the rounding hides their corrections.
_INFINITE = 2**62
_CLOSED = ("erf", "relu", "sin", "cos", "identity")


@short_repr
@dataclass(frozen=True, init=False)
class NeuronField:
    r"""A field on R^D as a network of one hidden layer with Gaussian weights and biases, exact at every width.

    .. math:: \phi(x) = \frac{1}{\sqrt N} \sum_{j=1}^N v_j\, a(w_j \cdot x + b_j) + b, \qquad
              w \sim N(0, s_1^2/D),\ b_j \sim N(0, r_1^2),\ v \sim N(0, s_2^2),\ b \sim N(0, r_2^2)

    (Halverson, Maiti and Stoner, Mach. Learn. Sci. Tech. 2, 035002 (2021), arXiv:2008.08601). The activation "gauss" is
    the one of their Gauss-net, an exponential with normalised second moment, whose kernel depends on the distance only:

    .. math:: a = e^{w \cdot x + b - (r_1^2 + s_1^2 |x|^2/D)}, \qquad
              E\,a(x_1) \cdots a(x_n) = \exp\Big[\tfrac12 \Big|\sum_i c_i\Big|^2 - \sum_i |c_i|^2\Big], \qquad
              c_i = (s_1 x_i/\sqrt D,\ r_1)

    Moments of one neuron have closed forms for "gauss", sin, cos and identity. For erf (n >= 4) they are nested
    integrals over correlations for any D, for relu an integral over directions (any D for n <= 6), else a trapezoid
    rule over the weights; see ``nnqm.time_networks.neuron_products``. The two-point function is a closed form for erf
    (Williams, Neural Comput. 10, 1203 (1998)) and relu (Cho and Saul, NIPS 2009).

    Parameters
    ----------
    activation : str
        "gauss" or an activation of ``Network``.
    n_inputs : int, default 1
        D.
    weight_std, bias_std : float or sequence of float, default 1 and 0
        (s_1, s_2) and (r_1, r_2), or one number for both layers, as for ``RandomNetwork``.

    Raises
    ------
    InputError
        If the activation is unknown, or a number is out of range.

    Examples
    --------
    >>> field = NeuronField("erf", bias_std=1.0)
    >>> points = [-0.5, 0.0, 0.5, 1.0]
    >>> four = field.n_point(points, width=5)
    >>> float(four.value.round(6)), float(four.wick.round(6))  # width 5, and infinite width
    (5.582097, 5.515212)
    """

    activation: str
    n_inputs: int
    weight_std: tuple[float, float]
    bias_std: tuple[float, float]

    def __init__(
        self,
        activation: str,
        n_inputs: int = 1,
        *,
        weight_std: float | Sequence[float] = 1.0,
        bias_std: float | Sequence[float] = 0.0,
    ) -> None:
        object.__setattr__(self, "activation", choice("activation", activation, (*ACTIVATIONS, "gauss")))
        object.__setattr__(self, "n_inputs", integer("n_inputs", n_inputs, 1))
        # Checks of both spreads.
        layers = RandomNetwork((self.n_inputs, 1, 1), weight_std=weight_std, bias_std=bias_std)
        object.__setattr__(self, "weight_std", layers.weight_std)
        object.__setattr__(self, "bias_std", layers.bias_std)

    def neuron_moment(self, points: ArrayLike) -> ExactValue:
        r"""Moments :math:`E\, h(x_1) \cdots h(x_n)` of one neuron h = v a(w.x + b), the field at width 1 without bias.

        Parameters
        ----------
        points : array_like
            Shape (..., n, D), or (..., n) for D = 1; n is at most 8.

        Returns
        -------
        ExactValue
            Values of shape (...), and errors of the quadratures. For odd n the values are 0.

        Raises
        ------
        InputError
            If n is 0 or above 8, the quadrature does not converge because neurons are saturated, or the points and the
            bias span too many directions: more than four for activations without a closed form, and more than three
            for eight relus.
        """
        c = self._directions(points)
        shape, n = c.shape[:-2], c.shape[-2]
        if n % 2:
            return ExactValue(np.zeros(shape), np.zeros(shape))
        scale = self.weight_std[1] ** n * prod(range(n - 1, 0, -2))
        found = self._product(c.reshape(-1, n, c.shape[-1]))
        return ExactValue(scale * found.value.reshape(shape), np.full(shape, scale * found.error))

    def n_point(self, points: ArrayLike, width: int | None = None) -> NPointFunction:
        r"""n-point functions of the field, :math:`E\, \phi(x_1) \cdots \phi(x_n)`, with the bias of the output.

        Parameters
        ----------
        points : array_like
            Shape (..., n, D), or (..., n) for D = 1; n is at most 8.
        width : int, optional
            N; infinite by default, where the field is Gaussian.

        Returns
        -------
        NPointFunction
            Shape (...), with the connected function, the value at infinite width, and numerical errors.

        Raises
        ------
        InputError
            As ``neuron_moment``.
        """
        c = self._directions(points)
        shape, n = c.shape[:-2], c.shape[-2]
        count = _INFINITE if width is None else integer("width", width, 1)
        found = self._moments(c.reshape(-1, n, c.shape[-1]), n if width is not None else 2)

        def moment(points: Subset) -> ExactValue | float:
            if len(points) % 2 or len(points) > (n if width is not None else 2):
                return 0.0
            # The sum of N terms b/N^(1/2) has the law of the bias: each neuron has a share of it.
            value, error = np.zeros(shape), np.zeros(shape)
            for order in range(len(points), -1, -2):
                rest = len(points) - order
                bias = self.bias_std[1] ** rest * prod(range(rest - 1, 0, -2))
                if order == 0:
                    value = value + bias
                elif bias:
                    for part, uncertain in (found[free] for free in combinations(points, order)):
                        value, error = value + bias * part.reshape(shape), error + bias * uncertain
            return ExactValue(value, error)

        return moments_of_sum(moment, n, count)

    def network(self, width: int) -> RandomNetwork:
        """The field of a width as a random network.

        Parameters
        ----------
        width : int

        Returns
        -------
        RandomNetwork

        Raises
        ------
        InputError
            For "gauss", which is no activation of ``RandomNetwork``; ``drawn_neurons`` draws it.
        """
        if self.activation == "gauss":
            raise InputError("a RandomNetwork has no activation 'gauss'", "draw its neurons with drawn_neurons")
        return self._drawn(width)

    def theory(self, width: int) -> Theory:
        """The field of one input as a theory, to be sampled: a random network of ``Times``.

        Parameters
        ----------
        width : int

        Returns
        -------
        Theory

        Raises
        ------
        InputError
            If there is more than one input, or the activation is "gauss".
        """
        if self.n_inputs != 1:
            raise InputError(
                f"a theory in time has one input; got n_inputs={self.n_inputs}", "draw neurons with drawn_neurons"
            )
        return Theory(Times(), self.network(width))

    def _drawn(self, width: int) -> RandomNetwork:
        """The random network whose weights are drawn; without its activation for "gauss"."""
        activation = "identity" if self.activation == "gauss" else self.activation
        return RandomNetwork((self.n_inputs, width, 1), activation, weight_std=self.weight_std, bias_std=self.bias_std)

    def _activated(self, h: Floats, points: Floats) -> Floats:
        """Activations of pre-activations at points, shapes (..., P) and (P, D)."""
        if self.activation == "gauss":
            c = self._directions(points[:, None])[:, 0]
            return np.asarray(np.exp(h - (c**2).sum(axis=-1)))
        return Network([[[1.0]]], activation=[self.activation])(h[..., None])[..., 0]

    def _directions(self, points: ArrayLike) -> Floats:
        """Coefficients of standard normals in the pre-activations, shape (..., n, K)."""
        at = inputs_of(points, self.n_inputs)
        if not 1 <= at.shape[-2] <= _MOST_POINTS:
            raise InputError(
                f"points must have n from 1 to {_MOST_POINTS} along their last but one axis; got {at.shape}"
            )
        scaled = self.weight_std[0] / np.sqrt(self.n_inputs) * at
        if self.bias_std[0] == 0:
            return np.asarray(scaled)
        return np.concatenate([scaled, np.full((*at.shape[:-1], 1), self.bias_std[0])], axis=-1)

    def _product(self, c: Floats) -> ProductAverage:
        """E[a(u_1) ... a(u_n)], shape (m,), of coefficients (m, n, K)."""
        n = c.shape[1]
        squares = (c**2).sum(axis=2)
        if self.activation == "gauss":
            return ProductAverage(np.exp((c.sum(axis=1) ** 2).sum(axis=1) / 2 - squares.sum(axis=1)), 0.0)
        if n == 2:
            value = average(self.activation, squares[:, 0], squares[:, 1], (c[:, 0] * c[:, 1]).sum(axis=1))
            exact = self.activation in _CLOSED
            return ProductAverage(value, 0.0 if exact else _KERNEL * float(np.abs(value).max(initial=0.0)))
        return product_average(self.activation, _fewest(c))

    def _moments(self, c: Floats, largest: int) -> dict[Subset, ProductAverage]:
        """Moments of one neuron for all subsets of an even number of points, shape (m,)."""
        moments: dict[Subset, ProductAverage] = {}
        # Largest first: too many directions are refused before the work starts.
        for order in reversed(range(2, min(largest, c.shape[1]) + 1, 2)):
            subsets = list(combinations(range(c.shape[1]), order))
            scale = self.weight_std[1] ** order * prod(range(order - 1, 0, -2))
            found = self._product(np.stack([c[:, s] for s in subsets], axis=1).reshape(-1, order, c.shape[2]))
            values = scale * found.value.reshape(len(c), len(subsets))
            moments |= {s: ProductAverage(values[:, k], scale * found.error) for k, s in enumerate(subsets)}
        return moments


def inputs_of(points: ArrayLike, n_inputs: int) -> Floats:
    """Points of functions, shape (..., n, D); for one input also (..., n)."""
    at = floats("points", points)
    if n_inputs == 1 and at.ndim > 0 and (at.ndim == 1 or at.shape[-1] != 1):
        at = at[..., None]
    if at.ndim < 2 or at.shape[-1] != n_inputs:
        raise InputError(f"points must have shape (..., n, {n_inputs}); got {at.shape}")
    return at


def _fewest(c: Floats) -> Floats:
    """Coefficients of the same Gaussian variables in as few directions as they span; two are few."""
    if c.shape[2] <= 2:
        return c
    # A triangular factor of the covariance, row by row; dependent rows leave zeros.
    covariance = np.einsum("mik,mjk->mij", c, c)
    n = c.shape[1]
    root = np.zeros_like(covariance)
    for j in range(n):
        rest = covariance[:, j:, j] - np.einsum("mik,mk->mi", root[:, j:, :j], root[:, j, :j])
        # Rounding of the difference.
        pivot = np.where(rest[:, 0] > 1e-14 * covariance[:, j, j], rest[:, 0], np.inf)
        root[:, j:, j] = rest / np.sqrt(pivot)[:, None]
    spanned = np.any(root != 0, axis=(0, 1))
    # Points that are all zero need a direction, too.
    spanned[0] = True
    root = root[:, :, spanned]
    return root if root.shape[2] < c.shape[2] else c


def drawn_neurons(
    network: RandomNetwork | NeuronField,
    points: ArrayLike,
    networks: int | range,
    *,
    width: int | None = None,
    rng: Rng = None,
    key: int | None = None,
) -> Floats:
    r"""Values :math:`h_j(x) = \sqrt N\, v_j\, a(w_j \cdot x + b_j)` of the neurons of random networks.

    The network is :math:`N^{-1/2} \sum_j h_j` plus the bias of the output.

    Parameters
    ----------
    network : RandomNetwork or NeuronField
        One hidden layer, one linear output, no training.
    points : array_like
        Shape (P, D), or (P,) for one input.
    networks : int or range
        Number of networks, the first ones, or a range of their numbers with step 1.
    width : int, optional
        N; required for a ``NeuronField``, the network's own otherwise.
    rng, key
        As for ``draw_weights``, for the same groups of paths.

    Returns
    -------
    ndarray
        Shape (M, N, P), float64.

    Raises
    ------
    InputError, InputTypeError
        If the network has another form, or the points do not have its inputs.

    Examples
    --------
    >>> network = nnqm.RandomNetwork((1, 3, 1), "relu")
    >>> drawn_neurons(network, [0.2, 0.4], 1000, rng=1).shape
    (1000, 3, 2)
    """
    if isinstance(network, NeuronField):
        if width is None:
            raise InputError("width must be given for a NeuronField")
        field, draws = network, network._drawn(width)
    elif isinstance(network, RandomNetwork):
        if width is not None:
            raise InputError(f"width is for a NeuronField; the network has the widths {network.widths}")
        if len(network.widths) != 3 or network.n_outputs != 1 or network.activations[1] != "identity":
            raise InputError(f"network must have one hidden layer and one linear output; got {network!r}")
        if network.is_trained or network.shared is not None:
            raise InputError(f"network must be neither trained nor split; got {network!r}: its neurons are dependent")
        field, draws = NeuronField(network.activations[0], network.n_inputs), network
    else:
        raise InputTypeError(f"network must be a RandomNetwork or a NeuronField; got {network!r}")
    at = floats("points", points)
    if at.ndim == 1 and draws.n_inputs == 1:
        at = at[:, None]
    if at.ndim != 2 or at.shape[1] != draws.n_inputs:
        raise InputError(f"points must have shape (P, {draws.n_inputs}); got {at.shape}")
    groups = networks if isinstance(networks, range) else range(integer("networks", networks, 1))
    if groups.step != 1 or groups.start < 0 or len(groups) == 0:
        raise InputError(f"networks must be a number or a range with step 1; got {networks!r}")
    inputs, hidden = draws.widths[:2]
    parameters = draws.draw_parameters(groups, key_of(rng, key))
    first = parameters[:, : hidden * inputs].reshape(-1, hidden, inputs)
    bias, last = (parameters[:, hidden * (inputs + k) : hidden * (inputs + k + 1)] for k in (0, 1))
    h = sum(first[:, :, None, k] * at[:, k] for k in range(inputs)) + bias[:, :, None]
    return np.asarray(np.sqrt(hidden) * last[:, :, None] * field._activated(h, at))
