"""The ground-state process of a Hamiltonian whose ground state is a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, positive, scale
from ..errors import InputError, InputTypeError, located
from ..quantum.hamiltonian import Hamiltonian
from .ground_state import GroundStateProcess
from .immutable import Immutable
from .networks import Network
from .table import Table

__all__ = ["GroundStateNetwork", "NetworkState"]

# Activations that tend to constants, that grow on one side, and that oscillate for ever.
_SATURATING = frozenset({"tanh", "erf", "sigmoid"})
_ONE_SIDED = frozenset({"gelu", "softplus"})
_OSCILLATING = frozenset({"sin", "cos"})

# Number of points below which threads cost more than they save.
_FEW = 4096

# Weakest confinement, in units of the square of the largest weight of an input.
_WEAKEST = 1e-16


class NetworkState(Immutable):
    r"""The exponent W = -ln psi_0 of a ground state as a network f, and the potential of which it is the ground state.

    .. math:: W(x) = \tfrac12 \kappa x^2 + f(x), \qquad V(x) = \frac{\hbar^2}{2m}\bigl(W'(x)^2 - W''(x)\bigr)

    Parameters
    ----------
    network : Network
    confinement : float
        kappa, unit 1/length^2; zero leaves the term out.
    even : bool
        Whether f(x) is replaced by (f(x) + f(-x))/2.
    unit : float, default 1/2
        hbar^2/2m.
    """

    __slots__ = ("confinement", "even", "network", "unit")

    _contents = ("network", "confinement", "even", "unit")

    network: Network
    confinement: float
    even: bool
    unit: float

    def __init__(self, network: Network, confinement: float, even: bool, unit: float = 0.5) -> None:
        self._set(network=network, confinement=confinement, even=even, unit=unit)

    @property
    def vector(self) -> Floats:
        """Weights and biases of f, shape (P,), and with confinement its logarithm."""
        extra = [np.log(self.confinement)] if self.confinement > 0 else []
        return np.append(self.network.parameters, extra)

    def at(self, vector: Floats) -> NetworkState:
        """The state with another ``vector``."""
        size = self.network.parameters.size
        expected = size + (self.confinement > 0)
        if vector.size != expected:
            raise InputError(f"state must have shape ({expected},) for {self.network!r}; got {vector.shape}")
        kappa = float(np.exp(vector[size])) if self.confinement > 0 else 0.0
        return NetworkState(self.network.with_parameters(vector[:size]), kappa, self.even, self.unit)

    def need_normalisable(self) -> None:
        """Require that psi_0 is normalisable: without confinement f must grow on both sides.

        Raises
        ------
        InputError
            If it is not; the message names the side.
        """
        if self.confinement > 0:
            return
        right, left = _outer_slope(self.network, 1.0), _outer_slope(self.network, -1.0)
        if self.even and right is not None and left is not None:
            right = (right - left) / 2
            left = -right
        remedy = "give confinement > 0, or a network that grows on both sides, for example of softplus"
        for slope, side, sign in ((right, "infinity", 1), (left, "minus infinity", -1)):
            if slope is None:
                raise InputError(
                    f"network oscillates for x to {side}, and psi_0 = exp(-W) is not normalisable; {remedy}"
                )
            if not sign * slope > 0:
                raise InputError(
                    f"network must grow on both sides: its slope for x to {side} is {slope:g}, and psi_0 = exp(-W) is "
                    f"not normalisable; {remedy}"
                )

    def exponent(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """W and its first two derivatives at points of any shape."""
        kappa = self.confinement
        threads = _threads(x)
        w, first, second = (d.reshape(x.shape) for d in self.network.derivatives(x[..., None], n_threads=threads))
        if self.even:
            # Sums of the same two numbers have the same bits in either order: W is even exactly.
            others = self.network.derivatives(-x[..., None], n_threads=threads)
            mirrored, its_first, its_second = (d.reshape(x.shape) for d in others)
            w, first, second = (w + mirrored) / 2, (first - its_first) / 2, (second + its_second) / 2
        return w + kappa * x**2 / 2, first + kappa * x, second + kappa

    def potential(self, x: Floats) -> Floats:
        """V at points of any shape."""
        _, first, second = self.exponent(x)
        return np.asarray(self.unit * (first**2 - second))

    def pullback(self, x: Floats, cotangent: Floats) -> Floats:
        """Derivatives of sum_q cotangent_q V(x_q), points (Q,), with respect to ``vector``."""
        weights = self.unit * cotangent
        slope = self.exponent(x)[1]
        # dV = hbar^2/2m (2 W' dW' - dW'')
        first, second = 2 * weights * slope, -weights
        where = x
        if self.even:
            # f enters as (f(x) + f(-x))/2, and its slope at -x with the opposite sign.
            where = np.concatenate([x, -x])
            first, second = np.concatenate([first, -first]) / 2, np.concatenate([second, second]) / 2
        column = where[:, None], np.zeros((where.size, 1)), first[:, None, None], second[:, None, None]
        gradient = self.network.pullback(*column, n_threads=_threads(where))[0]
        if self.confinement > 0:
            by_kappa = float(np.sum(weights * (2 * slope * x - 1)))
            gradient = np.append(gradient, self.confinement * by_kappa)
        return gradient


class GroundStateNetwork(GroundStateProcess):
    r"""The ground-state process of a Hamiltonian whose ground state psi_0 = exp(-W) is given by a network f.

    .. math:: W(x) = \tfrac12 \kappa x^2 + f(x), \qquad
              V(x) - E_0 = \frac{\hbar^2}{2m}\bigl(W'(x)^2 - W''(x)\bigr)

    The potential follows from the Schroedinger equation of psi_0 (Witten, Nucl. Phys. B 188, 513 (1981)); E_0 = 0.
    The process is reflection positive, reversible and Markov for all weights. It is a ``GroundStateProcess`` of this
    Hamiltonian, with the same exact answers and paths.

    Parameters
    ----------
    network : Network
        f, one input x and one output; all activations but relu, whose W'' is a sum of delta functions.
    confinement : float, default 0
        kappa, not negative, unit 1/length^2. Networks grow at most linearly, so that with kappa > 0 the state is
        normalisable for all weights and V grows as kappa^2 x^2. With kappa = 0 the network must confine, and V tends
        to constants.
    even : bool, default False
        Whether f(x) is replaced by (f(x) + f(-x))/2, so that V is even.
    mass, hbar : float, default 1
        Positive.
    n_grids : int, default 4
        Number of shifted grids of the paths, see ``GroundStateProcess``.

    Raises
    ------
    InputError, InputTypeError
        If the network does not have one input and one output or contains relu, or psi_0 is not normalisable.

    Notes
    -----
    Without confinement the slope of f must be positive for x to infinity and negative for x to minus infinity. Both
    limits are exact: they follow from the weights and the activations, layer by layer.

    Examples
    --------
    W = 2 ln cosh x = 2 softplus(2x) - 2x, up to a constant, is the ground state of the Poeschl-Teller well
    -3/cosh(x)^2, whose bound levels lie at -2 and -1/2:

    >>> f = Network([[[2.0]], [[2.0]]], activation="softplus")
    >>> well = GroundStateNetwork(f, even=True)
    >>> well.hamiltonian.gaps(1).round(10)
    array([1.5])
    """

    __slots__ = ("confinement", "even", "hbar", "mass", "network")

    kind = "ground-state-network"
    _contents = ("network", "confinement", "even", "mass", "hbar", "n_grids")

    network: Network
    confinement: float
    even: bool
    mass: float
    hbar: float

    def __init__(
        self,
        network: Network,
        *,
        confinement: float = 0.0,
        even: bool = False,
        mass: float = 1.0,
        hbar: float = 1.0,
        n_grids: int = 4,
    ) -> None:
        _check_network(network)
        kappa = float(floats("confinement", confinement, 0))
        if kappa < 0:
            raise InputError(f"confinement must not be negative; got {kappa:g}; psi_0 would grow as exp(|kappa| x^2/2)")
        if kappa > 0:
            scale("confinement", kappa)
        weakest = _WEAKEST * float(np.abs(network.weights[0]).max()) ** 2
        if 0 < kappa < weakest:
            raise InputError(
                f"confinement must be 0 or at least {weakest:.3g}, because no grid resolves the network in a wider "
                f"well; got {kappa:.3g}"
            )
        if not isinstance(even, bool | np.bool_):
            raise InputTypeError(f"even must be True or False; got {even!r}")
        constants = positive("mass", mass), positive("hbar", hbar)
        self._set(network=network, confinement=kappa, even=bool(even), mass=constants[0], hbar=constants[1])
        self.state.need_normalisable()
        super().__init__(Hamiltonian(self.state.potential, *constants), n_grids)

    @property
    def state(self) -> NetworkState:
        """The exponent W as a function of its parameters."""
        return NetworkState(self.network, self.confinement, self.even, self.hbar**2 / (2 * self.mass))

    def exponent(self, x: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """W = -ln psi_0, up to a constant, and its first and second derivative.

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        w, first, second : ndarray
            Shape of ``x``.
        """
        return self.state.exponent(floats("x", x))

    def potential(self, x: ArrayLike) -> Floats:
        """V(x) with E_0 = 0, energy units.

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        ndarray
            Shape of ``x``.
        """
        return self.state.potential(floats("x", x))

    def ground_state(self, x: ArrayLike) -> Floats:
        """psi_0(x) = exp(-W), normalised, unit 1/sqrt(length).

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        ndarray
            Shape of ``x``.
        """
        basis = self.hamiltonian.bases.carrying(1)
        known = self.exponent(basis.points)[0]
        lowest = known.min()
        norm = float(np.sum(basis.weights * np.exp(-2 * (known - lowest))))
        return np.asarray(np.exp(lowest - self.exponent(x)[0]) / np.sqrt(norm))

    def ground_energy(self, hbar: float, mass: float) -> tuple[float, str]:
        """E_0, which is 0.

        Parameters
        ----------
        hbar, mass : float
            Not used: the process has its own.

        Returns
        -------
        (float, str)
            E_0 in energy units, and its origin as a phrase for the report.
        """
        return 0.0, "with the E_0 of the network"

    def learnable(self) -> dict[str, Floats]:
        """The parameters of W as "state", shape (P,) or (P + 1,).

        Returns
        -------
        dict
            "state": the P weights and biases in the order of ``Network.parameters``; with confinement its logarithm
            follows.
        """
        return {"state": self.state.vector}

    def with_learnable(self, values: Mapping[str, Floats]) -> GroundStateNetwork:
        """The process with another "state".

        Parameters
        ----------
        values : mapping
            Any of the entries of ``learnable``, in the same shapes.

        Returns
        -------
        GroundStateNetwork

        Raises
        ------
        InputError
            If the number of parameters is another one, or without confinement psi_0 would not be normalisable.
        """
        if "state" not in values:
            return self
        state = self.state.at(floats("state", values["state"], 1))
        return GroundStateNetwork(**self.contents() | {"network": state.network, "confinement": state.confinement})

    def potential_pullback(self, x: ArrayLike, cotangent: ArrayLike) -> dict[str, Floats]:
        r"""Gradient of a weighted sum of values of V.

        .. math:: S = \sum_q u_q V(x_q), \qquad
                  dV = \frac{\hbar^2}{2m}\bigl(2 W'\, dW' - dW''\bigr)

        Parameters
        ----------
        x : array_like
            Positions, shape (Q,).
        cotangent : array_like
            u, shape (Q,).

        Returns
        -------
        dict
            "state": derivatives of S with respect to the entries of ``learnable``.

        Raises
        ------
        InputError
            If the shapes differ.
        """
        points = floats("x", x, 1)
        weights = floats("cotangent", cotangent, 1)
        if weights.shape != points.shape:
            raise InputError(f"cotangent must have the shape of x, {points.shape}; got {weights.shape}")
        return {"state": self.state.pullback(points, weights)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The process that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        GroundStateNetwork
        """
        given = {name: data[name] for name in cls._contents}
        return cls(**given | {"network": Network(**data["network"])})

    @classmethod
    def table_keys(cls) -> tuple[str, ...]:
        """Keys in a theory file.

        Returns
        -------
        tuple of str
        """
        return "weights", "biases", "activation", "confinement", "even"

    @classmethod
    def from_table(cls, table: Table) -> GroundStateNetwork:
        """The process of a ``[[source]]`` table of a theory file.

        Parameters
        ----------
        table : Table
            Keys and values of the source.

        Returns
        -------
        GroundStateNetwork

        Raises
        ------
        InputError, InputTypeError
            If a key is missing or a value is not valid; the message names the key.
        """
        weights = table.value("weights", "write one matrix per layer: weights = [[[1.0], [2.0]], [[0.5, -0.5]]]")
        with located(table.place):
            for key in ("weights", "biases"):
                if key in table and not isinstance(table.data[key], list):
                    raise InputTypeError(f"{key} must be an array with one entry per layer; got {table.data[key]!r}")
            network = Network(weights, table.data.get("biases"), table.data.get("activation", "tanh"))
            given: dict[str, Any] = {key: table.data[key] for key in ("confinement", "even") if key in table}
            return cls(network, **given | dict(table.constants))

    def __repr__(self) -> str:
        form = f"confinement={self.confinement:g}" + (", even=True" if self.even else "")
        return f"GroundStateNetwork({self.network!r}, {form}, mass={self.mass:g}, hbar={self.hbar:g})"


def _threads(x: Floats) -> int:
    """Number of threads: all of them (0) only for many points."""
    return 1 if x.size < _FEW else 0


def _check_network(network: Network) -> None:
    if not isinstance(network, Network):
        raise InputTypeError(f"network must be a Network with fixed weights; got {network!r}; nnqm.Network makes one")
    if (network.n_inputs, network.n_outputs) != (1, 1):
        raise InputError(
            f"network must have one input and one output, x and W(x); got {network.n_inputs} and {network.n_outputs}"
        )
    if "relu" in network.activations:
        raise InputError(
            "network must not contain relu, whose second derivative is a sum of delta functions in V; got "
            f"{network!r}; use softplus, gelu or tanh"
        )


def _outer_slope(network: Network, direction: float) -> float | None:
    """Limit of f'(x) for x to infinity (direction 1) or minus infinity (-1); None if f oscillates."""
    # Neurons of the layers so far, as functions of x direction: they grow with these slopes.
    slopes = np.array([direction])
    for weights, name in zip(network.weights, network.activations, strict=True):
        slopes = weights @ slopes
        if name in _OSCILLATING and np.any(slopes != 0):
            return None
        if name in _SATURATING or name in _OSCILLATING:
            slopes = np.zeros_like(slopes)
        elif name in _ONE_SIDED:
            slopes = np.maximum(slopes, 0.0)
    return float(direction * slopes[0])
