r"""The observables whose correlators are summed.

At one time the observable vector of a path is

.. math:: (1, z_1 \ldots z_n, h_2(z_1) \ldots, \mathrm{tanh}(W z + b) - c, h_1(z_1) h_1(z_2) \ldots),
    \qquad z_i = (x_i - \mu_i)/s_i,

with :math:`h_k = He_k/\sqrt{k!}` and c near the means of the neurons. All of it depends on the theory only,
never on the seed of a run, so that runs can be merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, choice, floats, integer
from ..errors import InputError, located
from ..quantum.hamiltonian import Hamiltonian
from ..representation import short_repr
from ..theories.networks import Network, RandomNetwork
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.theory import Theory
from .adapted_neurons import adapted_neurons, represents
from .product_basis import Powers, factors, ladders, lowest
from .stable_training import need_stable_training

__all__ = ["Observables", "default_observables"]

# Highest polynomials.
_ORDER, _ORDER_OF_OPEN_WELLS = 6, 3

# Neurons, or products where there are several channels; and states of several oscillators for each of them beside it.
_NEURONS, _STATES_OF_EACH = 16, 6

# Keys of draws that belong to the package, not to a run: neurons of the default observables, and pilot paths.
_NEURON_KEY = 20250408
_PILOT_KEY = 5462
_PILOT_PATHS = 16384
# Number of networks of the pilot if they are trained, which costs more than their outputs.
_TRAINED_NETWORKS = 1024


@short_repr
@dataclass(frozen=True, eq=False)
class Observables:
    """Which observables are correlated; see ``default_observables``.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels measured, n of them.
    columns : tuple of int
        Where each stands among the channels of a path.
    shift, scale : ndarray
        Standardisation of each channel, shape (n,); scale is positive.
    orders : tuple of int
        Highest normalised Hermite polynomial of each channel, at least 1.
    weights, biases : ndarray
        Neurons on the standardised channels, shapes (m, n) and (m,); m may be 0.
    centres : ndarray
        Constants taken off the neurons, near their means, shape (m,).
    activation : str
        Of the neurons.
    products : tuple of (int, int)
        Observables that are products, by the positions of their two factors in the vector, which stand before them.
    """

    channels: tuple[str, ...]
    columns: tuple[int, ...]
    shift: Floats
    scale: Floats
    orders: tuple[int, ...]
    weights: Floats
    biases: Floats
    centres: Floats
    activation: str = "tanh"
    products: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """Length F of the observable vector, the constant included."""
        return 1 + sum(self.orders) + len(self.biases) + len(self.products)

    @property
    def neurons(self) -> slice:
        """Where the neurons stand in the observable vector."""
        first = 1 + sum(self.orders)
        return slice(first, first + len(self.biases))

    @property
    def powers(self) -> tuple[tuple[int, ...] | None, ...]:
        """Degree in each channel of every observable, length F; None for neurons and products with neurons."""
        n = len(self.channels)
        unit = np.eye(n, dtype=int)
        found: list[tuple[int, ...] | None] = [(0,) * n, *(tuple(row.tolist()) for row in unit)]
        for c, order in enumerate(self.orders):
            found += [tuple((k * unit[c]).tolist()) for k in range(2, order + 1)]
        found += [None] * len(self.biases)
        for left, right in self.products:
            a, b = found[left], found[right]
            found.append(None if a is None or b is None else tuple(x + y for x, y in zip(a, b, strict=True)))
        return tuple(found)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each observable, length F."""
        names = ["1", *self.channels]
        for channel, order in zip(self.channels, self.orders, strict=True):
            names += [f"h{k}({channel})" for k in range(2, order + 1)]
        names += [f"{self.activation}{i + 1}" for i in range(len(self.biases))]
        for left, right in self.products:
            names.append(f"{names[left]} {names[right]}")
        return tuple(names)

    def evaluate(self, values: Floats) -> Floats:
        """The observable vector in double precision.

        Parameters
        ----------
        values : ndarray
            Channels, shape (N, n), in the order of ``channels``.

        Returns
        -------
        ndarray
            Shape (N, F).
        """
        z = (np.asarray(values) - self.shift) / self.scale
        columns = [np.ones(len(z)), *z.T]
        for c, order in enumerate(self.orders):
            before, last = columns[0], columns[1 + c]
            for k in range(2, order + 1):
                before, last = last, (z[:, c] * last - np.sqrt(k - 1) * before) / np.sqrt(k)
                columns.append(last)
        if len(self.biases):
            columns += [*(Network([self.weights], [self.biases], [self.activation])(z) - self.centres).T]
        for left, right in self.products:
            columns.append(columns[left] * columns[right])
        return np.stack(columns, axis=-1)

    def index(self, channel: int | str) -> int:
        """Position of a channel, given by name or position, among the measured ones.

        Parameters
        ----------
        channel : int or str
            Position or name.

        Returns
        -------
        int
        """
        if isinstance(channel, str):
            return self.channels.index(choice("channel", channel, self.channels))
        return integer("channel", channel, 0, len(self.channels) - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands.

        Returns
        -------
        dict
            Numbers, strings and lists only.
        """
        products = {"products": [list(pair) for pair in self.products]} if self.products else {}
        return {
            "channels": list(self.channels),
            "columns": list(self.columns),
            "shift": self.shift.tolist(),
            "scale": self.scale.tolist(),
            "orders": list(self.orders),
            "weights": self.weights.tolist(),
            "biases": self.biases.tolist(),
            "centres": self.centres.tolist(),
            "activation": self.activation,
            **products,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Observables:
        """The observables that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            As ``to_dict`` returned it.

        Returns
        -------
        Observables
        """
        n = len(data["channels"])
        return cls(
            tuple(data["channels"]),
            tuple(data["columns"]),
            np.asarray(data["shift"], dtype=np.float64),
            np.asarray(data["scale"], dtype=np.float64),
            tuple(data["orders"]),
            np.asarray(data["weights"], dtype=np.float64).reshape(-1, n),
            np.asarray(data["biases"], dtype=np.float64),
            np.asarray(data["centres"], dtype=np.float64),
            data["activation"],
            tuple((int(left), int(right)) for left, right in data.get("products", ())),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Observables) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.channels, self.columns, self.orders, self.shift.tobytes(), self.scale.tobytes()))


def default_observables(
    source: Theory | tuple[ArrayLike, ArrayLike, Sequence[str]],
    *,
    observe: Sequence[str] | None = None,
    order: int | None = None,
    neurons: int | Network | None = None,
    products: int | None = None,
) -> Observables:
    r"""A constant, Hermite polynomials of the standardised channels, their products, and neurons.

    Random neurons are tanh(a.z + b) with a, b ~ N(0, 2^2) (divided by the root of the number of channels they see),
    drawn from a fixed key. Polynomials alone, ``neurons=0``, span all powers up to the same order.

    For a Hamiltonian whose five lowest levels these functions would miss by more than a thousandth, neurons are steps
    tanh((x - q)/w) that represent its wave functions best, chosen one after another among places q that paths reach.

    Products of polynomials of different channels see states in which several inputs are excited. Those of the lowest
    states are taken, of Ornstein-Uhlenbeck inputs by their energies, otherwise by their total degree. Polynomials are
    the exact states of Ornstein-Uhlenbeck inputs, so that several of them have no neurons.

    Means and standard deviations are the exact stationary ones for channels of a theory without a
    network and come from a pilot of 16384 points with a fixed key otherwise.

    Parameters
    ----------
    source : Theory, or (mean, std, names) of the channels
        The standardisation follows from it.
    observe : sequence of str, optional
        Channels whose polynomials and neurons form the basis. Default: the inputs y of the theory, in which every
        state of the theory is visible, and all channels where there is no network; the outputs then enter linearly.
    order : int, optional
        Highest Hermite polynomial, and total degree of products. Default: 6; 3 for a Hamiltonian with a continuum,
        where higher powers live in rare events far out, and for a field at several points.
    neurons : int or Network, optional
        Number of neurons; or a network, for example the theory's own, on the channels observed: its first hidden
        layer. (Deeper ones are functions for ``simulate_functions``.) Default: 16; 19 for a Hamiltonian with a
        continuum; none for several Ornstein-Uhlenbeck inputs and for a field.
    products : int, optional
        Number of products of polynomials of different channels. Default: 16; for several Ornstein-Uhlenbeck inputs as
        many as the lowest 6 D + 16 states of D inputs need; none for a field, whose functions at all points are alike.

    Returns
    -------
    Observables

    Raises
    ------
    InputError, InputTypeError
        If a channel is unknown, a number out of range, or the network takes other inputs or has no hidden layer.

    Examples
    --------
    >>> network = Network([[[1.5], [0.5]], [[1.0, -1.0]]])
    >>> theory = Theory(OrnsteinUhlenbeck(1.0), network)
    >>> default_observables(theory, order=3, neurons=network).labels
    ('1', 'x', 'y', 'h2(y)', 'h3(y)', 'tanh1', 'tanh2')
    """
    if order is not None:
        integer("order", order, 1, 64)
    if neurons is not None and not isinstance(neurons, Network):
        integer("neurons", neurons, 0, 4096)
    if products is not None:
        integer("products", products, 0, 4096)
    if isinstance(source, Theory) and not source.stationary:
        return _of_outputs(source, observe)
    theory = source if isinstance(source, Theory) else None
    suggested = None if theory is None else next((s.basis for s in theory.sources if s.basis is not None), None)
    if suggested is not None:
        order = suggested[0] if order is None else order
        neurons = suggested[1] if neurons is None else neurons
        products = suggested[2] if products is None else products
    if isinstance(source, Theory):
        names: tuple[str, ...] = source.channels
        mean, std = _standardisation(source)
        seen = names[: source.n_inputs] if observe is None else tuple(observe)
        # Outputs first: what is measured comes before what explains it.
        n_hidden = 0 if source.network is None else source.n_inputs
        columns = tuple(range(n_hidden, len(names))) + tuple(range(n_hidden))
    else:
        mean, std = floats("mean", source[0], 1), floats("std", source[1], 1)
        names = tuple(source[2])
        seen = names if observe is None else tuple(observe)
        columns = tuple(range(len(names)))
    for name in seen:
        choice("observe", name, names)
    if not seen:
        raise InputError("observe must name at least one channel; got none")
    channels = tuple(names[c] for c in columns)
    visible = np.array([name in seen for name in channels])
    scale = _rounded(std[list(columns)])
    shift = _rounded_shift(mean[list(columns)], scale)
    # States of the theory can be counted where its inputs are what is seen.
    counted = theory if theory is not None and set(seen) == set(names[: theory.n_inputs]) else None
    hamiltonian = counted.sources[0].ground_state_of if counted is not None and counted.n_inputs == 1 else None
    open_well = hamiltonian is not None and np.isfinite(hamiltonian.threshold)
    if order is None:
        order = _ORDER_OF_OPEN_WELLS if open_well else _ORDER
    orders, wanted = _polynomials(counted, visible, order, products)
    plain = Observables(channels, columns, shift, scale, orders, np.empty((0, len(channels))), np.empty(0), np.empty(0))
    if neurons is None:
        neurons = 0 if len(seen) > 1 and _oscillators(counted) else _NEURONS + open_well * (_ORDER - order)
        neurons = max(0, neurons)
    if isinstance(neurons, Network):
        inner, biases = _first_layer(neurons, shift[visible], scale[visible])
        activation = neurons.activations[0]
    else:
        draws = 2 * _normals(_NEURON_KEY, neurons, len(seen) + 1)
        inner, biases, activation = draws[:, 1:] / np.sqrt(len(seen)), draws[:, 0], "tanh"
    chosen = _with_neurons(plain, visible, inner, biases, activation)
    if hamiltonian is not None and not isinstance(neurons, Network) and neurons:
        adapted = _adapted(hamiltonian, chosen)
        if adapted is not None:
            chosen = _with_neurons(plain, visible, *adapted, activation)
    return replace(chosen, products=factors(wanted, chosen.powers))


def _with_neurons(
    plain: Observables, visible: NDArray[np.bool_], inner: Floats, biases: Floats, activation: str
) -> Observables:
    # The means over standard normals are near enough to those over the standardised channels.
    centres = _means(Network([inner], [biases], [activation])) if len(biases) else np.empty(0)
    weights = np.zeros((len(biases), len(plain.channels)))
    weights[:, visible] = inner
    return replace(
        plain, weights=_rounded(weights), biases=_rounded(biases), centres=_rounded(centres), activation=activation
    )


def _oscillators(theory: Theory | None) -> bool:
    return theory is not None and all(isinstance(s, OrnsteinUhlenbeck) for s in theory.sources)


def _polynomials(
    theory: Theory | None, visible: NDArray[np.bool_], order: int, products: int | None
) -> tuple[tuple[int, ...], list[Powers]]:
    """Highest polynomial of each channel, and powers in the channels of the products that are wanted.

    ``theory`` is given if its inputs are what is visible.
    """
    n = int(visible.sum())
    orders = np.where(visible, order, 1)
    if n == 1 or products == 0:
        return tuple(orders.tolist()), []
    steps: Sequence[Sequence[float]] = [range(order + 1)] * n
    if theory is not None and _oscillators(theory):
        steps = ladders(theory, order) or steps
    if products is None and _oscillators(theory):
        wanted = lowest(steps, order, _STATES_OF_EACH * n + _NEURONS)
        orders[visible] = np.maximum(min(2, order), np.max(wanted, axis=0))
    else:
        number = _NEURONS if products is None else products
        # Powers of single channels are among the lowest states.
        states = lowest(steps, order, number + n * order)
        wanted = [powers for powers in states if sum(k > 0 for k in powers) > 1][:number]
    powers = np.zeros((len(wanted), len(visible)), dtype=int)
    if wanted:
        powers[:, visible] = wanted
    return tuple(orders.tolist()), [tuple(row) for row in powers.tolist()]


# Kept, because it is made from all states of a grid.
@lru_cache(maxsize=16)
def _adapted(hamiltonian: Hamiltonian, usual: Observables) -> tuple[Floats, Floats] | None:
    """Weights (m, 1) and biases of neurons on the standardised input; None if the usual ones are sufficient."""
    try:
        points, states, gaps = hamiltonian.eigenbasis()
    except InputError:  # wells too far apart for an eigenstate
        return None
    shift, scale = usual.shift[-1], usual.scale[-1]
    # Outputs of a network enter linearly, and add little to functions of its input.
    n, order = len(usual.channels), usual.orders[-1]
    channels = np.tile(usual.shift, (len(points), 1))
    channels[:, -1] = points
    rows = usual.evaluate(channels).T[n:]
    if represents(hamiltonian, rows, states, gaps):
        return None
    slopes, biases = adapted_neurons(hamiltonian, rows[:order], len(usual.biases), points, states, gaps)
    return (slopes * scale)[:, None], biases + slopes * shift


def _first_layer(network: Network, shift: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Weights and biases of the first hidden layer on the standardised channels."""
    if len(network.weights) < 2:
        raise InputError("neurons must be a network with a hidden layer; got one of a single layer; give a number")
    if network.n_inputs != len(shift):
        raise InputError(
            f"neurons must be a network on the {len(shift)} channels observed; got one of {network.n_inputs} inputs; "
            "choose the channels with observe"
        )
    inner, biases = network.weights[0], network.biases[0]
    return inner * scale, biases + inner @ shift


def _of_outputs(theory: Theory, observe: Sequence[str] | None) -> Observables:
    """The outputs as they are: what changes with time has no mean and no scale, and no correlator matrix."""
    channels = theory.outputs if observe is None else tuple(choice("observe", n, theory.outputs) for n in observe)
    n = len(channels)
    return Observables(
        channels,
        tuple(theory.channels.index(name) for name in channels),
        np.zeros(n),
        np.ones(n),
        (1,) * n,
        np.empty((0, n)),
        np.empty(0),
        np.empty(0),
    )


def _rounded(values: Floats) -> Floats:
    # To five digits, which all instruction sets agree on, so that runs from different machines can be merged.
    return np.array([float(f"{v:.5g}") for v in values.ravel()]).reshape(values.shape)


def _rounded_shift(mean: Floats, scale: Floats) -> Floats:
    """Means to five digits, or to more where five leave an offset that is seen in units of the scale."""
    shift = _rounded(mean)
    for k in np.flatnonzero(np.abs(shift - mean) > 1e-3 * scale):
        # A number of float32, in which paths are subtracted from it.
        shift[k] = (
            float(np.float32(mean[k])) if abs(float(np.float32(mean[k])) - mean[k]) <= 1e-3 * scale[k] else mean[k]
        )
    return shift


def _normals(key: int, n: int, columns: int) -> Floats:
    """Standard normals from the package's own random-number map, shape (n, columns)."""
    unit = Theory(OrnsteinUhlenbeck([0.5] * columns))
    return _stationary(unit, key, n)


def _stationary(theory: Theory, key: int, n: int) -> Floats:
    """Inputs of n paths at one time, shape (n, D)."""
    if n == 0:
        return np.empty((0, theory.n_inputs))
    grid, y = np.zeros(1), np.empty((n, 1, theory.n_inputs))
    _core.sample(theory=theory._compiled(grid), key=key, times=grid, paths=(0, n), n_threads=1, out=y)
    return y[:, 0]


@lru_cache(maxsize=64)
def _means(neurons: Network) -> Floats:
    """Means of neurons over standard normals, shape (m,)."""
    means: Floats = neurons(_normals(_PILOT_KEY, _PILOT_PATHS, neurons.n_inputs)).mean(axis=0)
    means.flags.writeable = False
    return means


def _standardisation(theory: Theory) -> tuple[Floats, Floats]:
    mean = np.concatenate([s.mean for s in theory.sources])
    std = np.sqrt(np.concatenate([s.variance for s in theory.sources]))
    if theory.network is None:
        return mean, std
    output_mean, output_std = _of_pilot(theory, theory.network)
    return np.concatenate([mean, output_mean]), np.concatenate([std, output_std])


# Kept, because for a large network the pilot can take longer than a short run.
@lru_cache(maxsize=16)
def _of_pilot(theory: Theory, network: Network | RandomNetwork) -> tuple[Floats, Floats]:
    """Means and standard deviations of the outputs of a network."""
    if isinstance(network, RandomNetwork):
        network.need_moment(2, "the standardisation of the outputs")
        n_paths = min(_PILOT_PATHS, _TRAINED_NETWORKS * network.group) if network.is_trained else _PILOT_PATHS
        y = _stationary(theory, _PILOT_KEY, n_paths)
        x = _core.apply(
            network=network._compiled(), key=_PILOT_KEY, times=(), first_path=0, inputs=y[:, None], n_threads=0
        )[:, 0]
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        if bad.size:
            with located("pilot of the observables"):
                need_stable_training(network, _PILOT_KEY, "float64", range(int(bad[0]), int(bad[0]) + 1))
    else:
        x = network(_stationary(theory, _PILOT_KEY, _PILOT_PATHS))
    if not np.isfinite(x).all():
        raise InputError(
            "the network overflows on typical inputs: its outputs are not finite; make the weights smaller"
        )
    spread = x.std(axis=0)
    # A constant output has no scale of its own; any positive number serves.
    spread[spread <= 1e-12 * np.abs(x).max(axis=0)] = 1.0
    mean = x.mean(axis=0)
    for array in (mean, spread):
        array.flags.writeable = False
    return mean, spread
