r"""Exact mean and covariance of trained ensembles: networks of infinite width, and models linear in what is trained.

Full-batch descent of the loss L = (1/2) sum_i w_i (f(t_i) - x_i)^2 moves the outputs of a model that is linear in its
trained parameters by

.. math:: f_{s+1}(t) = f_s(t) - \eta\, \Theta(t, T)\, W (f_s(T) - x), \qquad
          \Theta(t, t') = \sum_p r_p \frac{\partial f(t)}{\partial p} \frac{\partial f(t')}{\partial p},

with the rate :math:`\eta r_p` of parameter p, W = diag(w) and the points T. Wide networks in the tangent-kernel
parametrisation are linear in all of their parameters, to order 1/width (Jacot, Gabriel and Hongler, NeurIPS 2018; Lee
et al., NeurIPS 2019, arXiv:1902.06720). The solution is

.. math:: f_s(t) = f_0(t) - B_s(t)\,(f_0(T) - x), \qquad B_s(t) = \Theta(t, T)\, W A_s, \qquad
          A_s = \frac{1 - (1 - \eta\, \Theta_{TT} W)^s}{\Theta_{TT} W},

so that outputs that start with mean zero and the covariance K have

.. math:: \mathrm{mean}_s(t) = B_s(t)\, x, \qquad
          \mathrm{Cov}_s = K - B_s K(T, \cdot) - K(\cdot, T) B_s^T + B_s K(T, T) B_s^T .
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer
from ..errors import InputError, InputTypeError
from ..statistics.matrices import eigenstates, product
from ..theories.networks import Network, RandomNetwork
from ..time_networks.gaussian_averages import average, slope_average

if TYPE_CHECKING:
    from ..theories.training import GradientDescent

__all__ = ["InfiniteWidth", "LinearModel", "TrainedProcess"]

# Eigenvalues of the tangent kernel below this fraction of the largest, times their number, are rounding errors.
_ROUNDING = 4 * float(np.finfo(float).eps)


class TrainedProcess(ABC):
    r"""Outputs of an ensemble of models that are linear in their trained parameters, along their training.

    Points are arrays of shape (N, D); for one input also (N,). Outputs are independent of each other and have the same
    covariance. The classes ``InfiniteWidth`` and ``LinearModel`` define the kernels.

    Attributes
    ----------
    network : RandomNetwork
        The ensemble.
    """

    def __init__(self, network: RandomNetwork) -> None:
        if not isinstance(network, RandomNetwork):
            raise InputTypeError(f"network must be a RandomNetwork; got {network!r}")
        what = f"the exact answer of {network!r}"
        if network.shared is not None:
            raise InputError(f"{what} is not known for split weights (shared); leave shared out, or sample the theory")
        if network.activations[-1] != "identity":
            raise InputError(f"{what} needs a linear last layer; got {network.activations[-1]}; or sample the theory")
        for i in range(len(network.activations)):
            for kind, density, spread in (
                ("weights", network.weights[i], network.weight_std[i]),
                ("biases", network.biases[i], network.bias_std[i]),
            ):
                if spread > 0 and not density.moment_exists(2):
                    raise InputError(f"{what} needs a variance of all draws, but {kind}[{i}] ({density}) have none")
        self.network = network
        self._training: GradientDescent | None = network.training
        self._modes: tuple[Floats, Floats] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network!r})"

    def prior(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """Covariance of an output before training, E[f(s) f(t)], for weights of mean zero.

        Parameters
        ----------
        s, t : array_like
            Points, shapes (N, D) and (M, D).

        Returns
        -------
        ndarray
            Shape (N, M), unit [x]^2.

        Raises
        ------
        InputError, InputTypeError
            If the points do not fit, or an average over saturated neurons does not converge.
        """
        return self._prior(self._points("s", s), self._points("t", t))

    def tangent_kernel(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """The tangent kernel Theta(s, t) of an output: of all layers, if there is no training.

        Parameters
        ----------
        s, t : array_like
            Points, shapes (N, D) and (M, D).

        Returns
        -------
        ndarray
            Shape (N, M), unit [x]^2; in the parametrisation "standard" the unit is the square of the unit of a feature.

        Raises
        ------
        InputError, InputTypeError
            As for ``prior``.
        """
        return self._tangent_kernel(self._points("s", s), self._points("t", t))

    @abstractmethod
    def _prior(self, first: Floats, second: Floats) -> Floats:
        """The prior covariance at checked points (N, D) and (M, D)."""

    @abstractmethod
    def _tangent_kernel(self, first: Floats, second: Floats) -> Floats:
        """The tangent kernel at checked points (N, D) and (M, D)."""

    @property
    def stable_rate(self) -> float:
        r"""The rate :math:`2/\lambda_{max}` above which descent diverges, :math:`\lambda_{max}` of Theta_TT W."""
        largest = float(self._descent_modes()[0].max(initial=0.0))
        return 2 / largest if largest > 0 else np.inf

    def mean(self, t: ArrayLike, steps: float | None = None) -> Floats:
        """Mean of the outputs over the ensemble.

        Parameters
        ----------
        t : array_like
            Points, shape (N, D).
        steps : int, optional
            Number of steps; the number of the training by default. ``math.inf`` is the limit of many steps.

        Returns
        -------
        ndarray
            Shape (N, C), unit [x].

        Raises
        ------
        InputError, InputTypeError
            If the points do not fit, the number of steps is negative, or the limit does not exist because the rate is
            too large.
        """
        points = self._points("t", t)
        if self._training is None:
            self._steps(steps)
            return np.zeros((len(points), self.network.n_outputs))
        return product(self.response(points, steps), self._training.targets)

    def response(self, t: ArrayLike, steps: float | None = None) -> Floats:
        """The matrix B_s(t), derivatives of trained outputs with respect to targets.

        Each network of the ensemble obeys f_s(t) = f_0(t) - B_s(t) (f_0(T) - x).

        Parameters
        ----------
        t : array_like
            Points, shape (N, D).
        steps : int, optional
            As for ``mean``.

        Returns
        -------
        ndarray
            Shape (N, P), without unit; P is the number of points of the training, 0 without training.

        Raises
        ------
        InputError, InputTypeError
            As for ``mean``.
        """
        points, number = self._points("t", t), self._steps(steps)
        if self._training is None:
            return np.zeros((len(points), 0))
        values, vectors = self._descent_modes()
        root = self._roots()
        # In the modes of W^(1/2) Theta_TT W^(1/2) nothing is divided by small eigenvalues.
        gain = _gain(values, self._training.rate, number)
        inner = product(vectors * gain, vectors.T) * np.outer(root, root)
        return product(self.tangent_kernel(points, self._training.points), inner)

    def covariance(self, s: ArrayLike, t: ArrayLike | None = None, steps: float | None = None) -> Floats:
        """Covariance of an output over the ensemble at two sets of points.

        Parameters
        ----------
        s : array_like
            Points, shape (N, D).
        t : array_like, optional
            Points, shape (M, D); s by default.
        steps : int, optional
            As for ``mean``.

        Returns
        -------
        ndarray
            Shape (N, M), unit [x]^2, the same for all outputs.

        Raises
        ------
        InputError, InputTypeError
            As for ``mean``.
        """
        first = self._points("s", s)
        second = first if t is None else self._points("t", t)
        before = self.prior(first, second)
        if self._training is None:
            self._steps(steps)
            return before
        data = self._training.points
        left = self.response(first, steps)
        right = left if t is None else self.response(second, steps)
        from_data, to_data = self.prior(data, second), self.prior(first, data)
        return (
            before
            - product(left, from_data)
            - product(to_data, right.T)
            + product(product(left, self.prior(data, data)), right.T)
        )

    def __call__(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """Two-point function E[x(s) x(t)] of the first output of one input, after the steps of the training.

        A kernel for ``karhunen_loeve``, ``positivity_certificate`` and ``check``. It includes the mean.

        Parameters
        ----------
        s, t : array_like
            Times that broadcast.

        Returns
        -------
        ndarray
            The shape to which s and t broadcast, unit [x]^2.

        Raises
        ------
        InputError
            If the network has more than one input.
        """
        if self.network.n_inputs != 1:
            raise InputError(f"a kernel K(s, t) needs a network of one input; got {self.network.n_inputs} inputs")
        first, second = np.broadcast_arrays(floats("s", s), floats("t", t))
        times, at = np.unique(np.concatenate([first.ravel(), second.ravel()]), return_inverse=True)
        mean = self.mean(times)[:, 0]
        whole = self.covariance(times) + np.outer(mean, mean)
        return np.asarray(whole[at[: first.size], at[first.size :]].reshape(first.shape))

    def _points(self, name: str, points: ArrayLike) -> Floats:
        array = floats(name, points)
        inputs = self.network.n_inputs
        if array.ndim == 1 and inputs == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != inputs:
            raise InputError(f"{name} must have shape (N, {inputs}), points of {inputs} inputs; got {array.shape}")
        return array

    def _steps(self, steps: float | None) -> float:
        if steps is None:
            return 0 if self._training is None else self._training.steps
        if steps != np.inf:
            return integer("steps", steps, 0)
        if self._training is not None and self._training.rate >= self.stable_rate:
            raise InputError(
                f"steps=inf needs a rate below the largest stable one, {self.stable_rate:.4g}; got "
                f"{self._training.rate:g}"
            )
        return np.inf

    def _roots(self) -> Floats:
        """Square roots of the weights of the data, shape (P,)."""
        assert self._training is not None
        return np.sqrt(self._training.weights)

    def _descent_modes(self) -> tuple[Floats, Floats]:
        """Eigenvalues and eigenvectors of W^(1/2) Theta_TT W^(1/2)."""
        if self._modes is None:
            if self._training is None:
                return np.zeros(0), np.zeros((0, 0))
            root = self._roots()
            matrix = self.tangent_kernel(self._training.points, self._training.points) * np.outer(root, root)
            values, vectors = eigenstates((matrix + matrix.T) / 2)
            values[values < _ROUNDING * len(values) * values.max(initial=0.0)] = 0.0
            self._modes = values, vectors
        return self._modes


def _gain(values: Floats, rate: float, steps: float) -> Floats:
    """(1 - (1 - rate l)^steps)/l for eigenvalues l >= 0; rate steps at l = 0."""
    positive = values > 0
    safe = np.where(positive, values, 1.0)
    if np.isinf(steps):
        # The data do not see modes of eigenvalue zero.
        return np.where(positive, 1 / safe, 0.0)
    left = rate * safe
    slow = left < 1
    learnt = np.where(slow, -np.expm1(steps * np.log1p(-np.where(slow, left, 0.0))), 1 - (1 - left) ** steps)
    return np.where(positive, learnt / safe, rate * steps)


class InfiniteWidth(TrainedProcess):
    r"""The limit of infinite width of an ensemble of random networks, at every step of its training.

    Pre-activations are Gaussian, with covariances and tangent kernels

    .. math:: \Sigma^{(1)} = \Theta^{(1)} = \frac{s_1^2}{D}\, t \cdot t' + r_1^2, \qquad
              \Sigma^{(l+1)} = s^2 E[a(u) a(v)] + r^2, \qquad
              \Theta^{(l+1)} = \Sigma^{(l+1)} + s^2 E[a'(u) a'(v)]\, \Theta^{(l)}, \qquad
              (u, v) \sim N(0, \Sigma^{(l)}),

    with the standard deviations s, r of weights and biases of the layer (Jacot, Gabriel and Hongler, NeurIPS 2018; Lee
    et al., NeurIPS 2019). The averages have closed forms for erf (Williams 1998), relu (Cho and Saul 2009), sin, cos
    and identity, and are sums to 1e-11 for all other activations. If only the last layer is trained, Theta is the prior
    covariance. Widths of hidden layers do not enter. Means and covariances of networks of finite width differ by
    O(1/width).

    Parameters
    ----------
    network : RandomNetwork
        With or without training; any depth, number of inputs and outputs. Weights and biases of hidden layers act in
        the limit only by their variance, except where few draws add up: weights of the first layer and biases of hidden
        layers must be Gaussian.

    Raises
    ------
    InputError, InputTypeError
        If the weights are split, the last layer is not linear, a density has no variance or must be Gaussian, or the
        training is not in the tangent-kernel parametrisation, for which alone the limit exists.

    Examples
    --------
    >>> network = nnqm.RandomNetwork((1, 64, 1), "erf", weight_std=1.5, bias_std=0.5)
    >>> model = InfiniteWidth(network.with_training(nnqm.GradientDescent([[-1.0], [1.0]], [[0.5], [0.8]], 0.2, 50)))
    >>> model.mean([-1.0, 0.0, 1.0])[:, 0].round(4)
    array([0.5   , 0.5456, 0.8   ])
    """

    def __init__(self, network: RandomNetwork) -> None:
        super().__init__(network)
        hidden = len(network.activations) - 1
        for i in range(hidden):
            for kind, density, spread in (
                ("weights", network.weights[i], network.weight_std[i] if i == 0 else 0.0),
                ("biases", network.biases[i], network.bias_std[i]),
            ):
                if spread > 0 and density.name != "gaussian":
                    raise InputError(
                        f"infinite width needs Gaussian {kind}[{i}], because single draws act on each neuron; got "
                        f"{density}; use gaussian there, or sample the theory"
                    )
        if self._training is not None and self._training.parametrisation != "ntk" and hidden:
            raise InputError(
                "infinite width needs the training in parametrisation='ntk'; got "
                f"{self._training.parametrisation!r}, whose tangent kernel grows with the width"
            )

    def _prior(self, first: Floats, second: Floats) -> Floats:
        return self._kernels(first, second, slopes=False)[0]

    def _tangent_kernel(self, first: Floats, second: Floats) -> Floats:
        if self._training is not None and self._training.parametrisation == "standard":
            return product(first, second.T) + 1
        last_only = self._training is not None and self._training.layers == "last"
        covariance, tangent = self._kernels(first, second, slopes=not last_only)
        return covariance if last_only else tangent

    def _kernels(self, first: Floats, second: Floats, slopes: bool) -> tuple[Floats, Floats]:
        """Covariance and tangent kernel of an output."""
        w = np.square(self.network.weight_std)
        b = np.square(self.network.bias_std)
        scale = w[0] / self.network.n_inputs
        own, other = (scale * np.sum(x**2, axis=1) + b[0] for x in (first, second))
        both = scale * product(first, second.T) + b[0]
        tangent = both
        for i, name in enumerate(self.network.activations[:-1], start=1):
            column, row = own[:, None], other[None, :]
            if slopes:
                tangent = w[i] * slope_average(name, column, row, both) * tangent
            both = w[i] * average(name, column, row, both) + b[i]
            own, other = (w[i] * average(name, x, x, x) + b[i] for x in (own, other))
            tangent = both + tangent
        return both, tangent


class LinearModel(TrainedProcess):
    r"""Exact mean and covariance of an ensemble that is linear in its trained parameters, at every width and step.

    The outputs are f(t) = a . phi(t), with features phi of drawn hidden layers, which are not trained, and random
    weights a of the last layer, biases included. Mean and covariance are over the weights of the last layer, given the
    hidden layers. Without hidden layers the features are the inputs, and the answer is that of the whole ensemble.

    Parameters
    ----------
    network : RandomNetwork
        Of one layer; or with hidden layers and a training of the last layer, or no training. Without training the
        tangent kernel is the one of the last layer.
    hidden : Network, optional
        One draw of the network, whose hidden layers define the features; required if there are hidden layers. Draws of
        a run come from ``network.draw`` or ``draw_weights``; the weights of their last layer are not used.

    Raises
    ------
    InputError, InputTypeError
        If hidden layers are trained, the draw is missing or has other layers, or as for ``InfiniteWidth``.

    Examples
    --------
    >>> line = nnqm.RandomNetwork((1, 1), bias_std=1.0)
    >>> model = LinearModel(line.with_training(nnqm.GradientDescent([[-1.0], [1.0]], [[0.0], [2.0]], 0.1, 10)))
    >>> model.mean([0.0, 1.0])[:, 0].round(4)  # approaches 1 + t
    array([0.8926, 1.7853])
    """

    def __init__(self, network: RandomNetwork, hidden: Network | None = None) -> None:
        super().__init__(network)
        layers = len(network.activations)
        if layers > 1 and self._training is not None and self._training.layers != "last":
            raise InputError(
                f"a linear model trains the last layer only; got layers={self._training.layers!r}; "
                "use layers='last', or InfiniteWidth for wide networks"
            )
        if layers > 1 and not isinstance(hidden, Network):
            raise InputTypeError(
                f"hidden must be a draw of {network!r}, a Network whose hidden layers are the features; got {hidden!r}"
            )
        if hidden is not None and (hidden.widths, hidden.activations) != (network.widths, network.activations):
            raise InputError(f"hidden must have the layers of {network!r}; got {hidden!r}")
        self._hidden: Network | None = None
        if layers > 1:
            assert hidden is not None
            self._hidden = Network(hidden.weights[:-1], hidden.biases[:-1], hidden.activations[:-1])

    def _prior(self, first: Floats, second: Floats) -> Floats:
        return self._of_features(first, second, self.network.weight_std[-1] ** 2, self.network.bias_std[-1] ** 2)

    def _tangent_kernel(self, first: Floats, second: Floats) -> Floats:
        if self._training is not None and self._training.parametrisation == "standard":
            return self._of_features(first, second, self.network.widths[-2], 1.0)
        return self._prior(first, second)

    def _of_features(self, first: Floats, second: Floats, of_weights: float, of_biases: float) -> Floats:
        one, other = self._features(first), self._features(second)
        return np.asarray(of_weights / one.shape[1] * product(one, other.T) + of_biases)

    def _features(self, points: Floats) -> Floats:
        return points if self._hidden is None else np.asarray(self._hidden(points))
