"""Spectral weights of a deep NN-QM of infinite width while it learns: which energy levels are learnt first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats, integer, positive
from ..errors import InputError, InputTypeError
from ..exact.inputs import input_spreads, need_oscillators
from ..statistics.matrices import eigenstates, product
from ..theories.networks import Network, RandomNetwork
from ..theories.state_modes import hermite_functions, trapezoid
from ..theories.theory import Theory
from .infinite_width import InfiniteWidth

__all__ = ["SpectralFlow"]

# Half-width and nodes per input of trapezoid rules, tried in turn, by number of inputs.
_RULES: dict[int, tuple[tuple[float, int], ...]] = {
    1: ((9.0, 48), (9.0, 96), (10.0, 192), (10.0, 384), (10.0, 768)),
    2: ((5.5, 14), (6.0, 20), (6.5, 28), (7.0, 36)),
}
# Nodes of smaller weight are left out, by number of inputs.
_NEGLIGIBLE = {1: 1e-20, 2: 1e-15}
# Highest level of one input and of two.
_MOST_LEVELS = {1: 60, 2: 12}


class SpectralFlow:
    r"""Coefficients of a network of infinite width in the energy levels of its inputs, along its training.

    The network x = f(y) on Ornstein-Uhlenbeck inputs learns a function g by gradient flow of the loss
    :math:`\tfrac12 E (f(y) - g(y))^2` over the stationary density of y. In the basis of the levels,
    :math:`c_n = E[f(s z)\, h_n(z)]`, it obeys

    .. math:: \frac{dc}{d\tau} = -K (c - c_g), \qquad
              K_{nm} = E_{z,z'}[h_n(z)\, \Theta(s z, s z')\, h_m(z')],

    with the tangent kernel Theta (Jacot, Gabriel and Hongler, NeurIPS 2018). Networks start with random weights, so
    that the c_n are Gaussian at all times, with a mean, which goes from 0 to the coefficients of g, and a variance. The
    expected spectral weight of a level is :math:`E\,c_n^2 = (E c_n)^2 + \mathrm{Var}\,c_n`. Levels keep their
    energies. The eigenvalues of K fall with the degree of their eigenvectors, so that low levels are learnt first.

    Parameters
    ----------
    theory : Theory
        One or two Ornstein-Uhlenbeck inputs and a ``RandomNetwork`` of one output, without training, see
        ``InfiniteWidth``; hidden widths do not enter.
    target : Network, callable or array_like
        g: a network; a function of points (Q, D) that returns (Q,); or, for one input, its coefficients from n = 0.
    levels : int, default 8
        Highest level n of one input; for two inputs the highest sum of both.
    rate : float, optional
        Learning rate of descent in steps of finite size; times are then numbers of steps. By default gradient flow.
    layers : {"all", "last"}, default "all"
        Trained layers.
    tolerance : float, default 1e-6
        Largest acceptable ``error``.

    Attributes
    ----------
    states : ndarray
        Multi-indices of the levels, int, shape (K, D), ascending in energy.
    energies : ndarray
        Their energies above the ground state, unit of energy, shape (K,).
    kernel : ndarray
        The matrix K, shape (K, K), unit [x]^2.
    target_coefficients : ndarray
        c_g, shape (K,), unit [x].
    error : float
        Error of the quadrature: the relative change of ``kernel``, of the covariance before training and of
        ``target_coefficients`` with the last refinement.

    Raises
    ------
    InputError, InputTypeError
        If the theory is another one, the target does not fit, the rate diverges, or the tolerance is not reached
        (targets with kinks, kernels of relu on fine scales, saturated neurons); the message gives the error.

    Examples
    --------
    >>> network = nnqm.RandomNetwork((1, 64, 1), "erf", weight_std=1.5, bias_std=0.5)
    >>> theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    >>> flow = SpectralFlow(theory, [0.0, 0.6, 0.0, 0.6], levels=3)
    >>> flow.mean([0.0, 10.0, 100.0])[:, [1, 3]].round(2)  # level 3 is learnt after level 1
    array([[0.  , 0.  ],
           [0.51, 0.12],
           [0.58, 0.42]])
    """

    states: Any
    energies: Floats
    kernel: Floats
    target_coefficients: Floats
    error: float

    def __init__(
        self,
        theory: Theory,
        target: Network | Callable[[Floats], ArrayLike] | ArrayLike,
        *,
        levels: int = 8,
        rate: float | None = None,
        layers: str = "all",
        tolerance: float = 1e-6,
    ) -> None:
        network = _network_of(theory)
        dimension = theory.n_inputs
        highest = integer("levels", levels, 1, _MOST_LEVELS[dimension])
        model = InfiniteWidth(network)
        choice("layers", layers, ("all", "last"))
        positive("tolerance", tolerance)
        self._rate = None if rate is None else positive("rate", rate)
        grid = np.indices((highest + 1,) * dimension).reshape(dimension, -1).T
        grid = grid[grid.sum(axis=1) <= highest]
        energies = theory.hbar * grid @ np.array(theory.omega)
        order = np.lexsort((*grid.T[::-1], np.round(energies, 12)))
        self.states, self.energies = grid[order], energies[order]
        spreads = input_spreads(theory)
        function = _function(target, dimension)
        before: list[Floats] | None = None
        for rule in _RULES[dimension]:
            nodes = _Nodes(rule, self.states, spreads)
            prior = nodes.scaled(model.prior(nodes.points, nodes.points))
            tangent = nodes.scaled(model.tangent_kernel(nodes.points, nodes.points)) if layers == "all" else prior
            values = function(nodes, highest)
            here = [nodes.project(tangent), nodes.project(prior), product(nodes.rows, values[:, None])[:, 0]]
            self.error = np.inf if before is None else max(map(_change, here, before))
            before = here
            if self.error <= tolerance:
                break
        else:
            raise InputError(
                f"levels to n = {highest} reach a relative error of {self.error:.1e}, not tolerance={tolerance:g}; "
                "kinks of the target or of relu and saturated neurons limit it; use fewer levels or a larger tolerance"
            )
        self.kernel, _, self.target_coefficients = here
        self._values, vectors = eigenstates((tangent + tangent.T) / 2)
        self._values = np.maximum(self._values, 0.0)
        if self._rate is not None and self._rate * self._values[-1] >= 2:
            raise InputError(
                f"rate must be below {2 / self._values[-1]:.4g}, above which descent diverges; got {self._rate:g}"
            )
        self._modes = product(nodes.rows, vectors)
        self._aim = product(vectors.T, values[:, None])[:, 0]
        self._start = product(product(vectors.T, prior), vectors)

    def __repr__(self) -> str:
        how = "gradient flow" if self._rate is None else f"rate {self._rate:g}"
        return f"SpectralFlow({len(self.energies)} levels up to {self.energies[-1]:g}, {how}, error {self.error:.1g})"

    def mean(self, times: ArrayLike) -> Floats:
        """Means of the coefficients over the ensemble.

        Parameters
        ----------
        times : array_like
            Training times tau, shape (T,), not negative, unit 1/[x]^2; numbers of steps if there is a rate.

        Returns
        -------
        ndarray
            Shape (T, K), unit [x].

        Raises
        ------
        InputError
            If a time is negative, or is not whole where it counts steps.
        """
        return product((1 - self._decays(times)) * self._aim, self._modes.T)

    def variance(self, times: ArrayLike) -> Floats:
        """Variances of the coefficients over the ensemble.

        Parameters
        ----------
        times : array_like
            As for ``mean``.

        Returns
        -------
        ndarray
            Shape (T, K), unit [x]^2.

        Raises
        ------
        InputError
            As for ``mean``.
        """
        found = []
        for decay in self._decays(times):
            left = self._modes * decay
            found.append(np.sum(product(left, self._start) * left, axis=1))
        return np.array(found)

    def weights(self, times: ArrayLike) -> Floats:
        """Expected spectral weights E c_n^2 of the levels; the one of the state 0 is the mean square of <x>.

        Parameters
        ----------
        times : array_like
            As for ``mean``.

        Returns
        -------
        ndarray
            Shape (T, K), unit [x]^2.

        Raises
        ------
        InputError
            As for ``mean``.
        """
        return np.asarray(self.mean(times) ** 2 + self.variance(times))

    def _decays(self, times: ArrayLike) -> Floats:
        """Factors of the modes of the descent, shape (T, Q)."""
        array = floats("times", times, 1)
        if array.size and array.min() < 0:
            raise InputError(f"times must not be negative; got {array.min():g}")
        if self._rate is None:
            return np.exp(-np.outer(array, self._values))
        if np.any(array != np.round(array)):
            raise InputError("times must be numbers of steps, whole, because a rate is given")
        return np.asarray((1 - self._rate * self._values) ** array[:, None])


class _Nodes:
    """Points of a product rule in one or two inputs, and the levels on them."""

    def __init__(self, rule: tuple[float, int], states: Any, spreads: Floats) -> None:
        z, weights = trapezoid(*rule)
        dimension = len(spreads)
        weight = np.ones(1)
        for _ in range(dimension):
            weight = np.multiply.outer(weight, weights).ravel()
        kept = np.flatnonzero(weight > _NEGLIGIBLE[dimension])
        index = np.unravel_index(kept, (len(z),) * dimension)
        self.z = np.stack([z[i] for i in index], axis=1)
        self.points = self.z * spreads
        self.root = np.sqrt(weight[kept])
        # h_n sqrt(weight) of one input; the products have orthonormal rows.
        one = hermite_functions(z, weights, int(states.max()))
        self.rows = np.ones((len(states), len(kept)))
        for axis, i in enumerate(index):
            self.rows *= one[states[:, axis]][:, i]

    def scaled(self, kernel: Floats) -> Floats:
        """A kernel at the points times the roots of both weights."""
        return np.asarray(kernel * np.outer(self.root, self.root))

    def project(self, matrix: Floats) -> Floats:
        """Elements of a scaled kernel between levels."""
        return product(product(self.rows, matrix), self.rows.T)


def _network_of(theory: Theory) -> RandomNetwork:
    if not isinstance(theory, Theory):
        raise InputTypeError(f"theory must be a Theory; got {theory!r}")
    network = theory.network
    if not isinstance(network, RandomNetwork) or network.n_outputs != 1:
        raise InputError(f"theory must have a RandomNetwork of one output; got {network!r}")
    if network.training is not None:
        raise InputError(
            f"theory must have an untrained network, because the target is the argument; got {network!r}; "
            "use network.with_training(None)"
        )
    need_oscillators(theory)
    if theory.n_inputs not in _RULES:
        raise InputError(f"theory must have one or two inputs; got {theory.n_inputs}")
    return network


def _function(
    target: Network | Callable[[Floats], ArrayLike] | ArrayLike, dimension: int
) -> Callable[[_Nodes, int], Floats]:
    """Values of the target at nodes times the roots of their weights."""
    if callable(target):
        if isinstance(target, Network) and (target.n_inputs, target.n_outputs) != (dimension, 1):
            raise InputError(f"target must have {dimension} inputs and one output; got {target!r}")

        def at(nodes: _Nodes, highest: int) -> Floats:
            values = floats("target(points)", target(nodes.points))
            if values.size != len(nodes.points):
                raise InputError(f"target must return shape ({len(nodes.points)},); got {values.shape}")
            return values.ravel() * nodes.root

        return at
    coefficients = floats("target", target, 1)
    if dimension > 1:
        raise InputError("target must be a network or a function for two inputs; got coefficients")

    def expanded(nodes: _Nodes, highest: int) -> Floats:
        if coefficients.size > highest + 1:
            raise InputError(f"target must have at most {highest + 1} coefficients; got {coefficients.size}")
        return np.asarray(product(coefficients[None, :], nodes.rows[: coefficients.size])[0])

    return expanded


def _change(here: Floats, before: Floats) -> float:
    size = np.abs(here).max()
    return float(np.abs(here - before).max() / size) if size > 0 else 0.0
