r"""Features of a network that a tensor grid steps over.

Two rules that both miss a feature agree, so that their agreement is no evidence. The evidence is the network itself: the
argument of every neuron is known at the nodes of the grid. A neuron is resolved where its argument changes from node to
node by less than the width of its activation, or where the activation is a straight line within reach of the node.
Elsewhere the output may deviate from the values at the nodes: the bound on this deviation and the probability of these
cells bound the error of an average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import NamedTuple

import numpy as np

from .._arguments import Floats
from ..theories.networks import Network
from ..theories.state_modes import Modes

__all__ = ["Hidden", "hidden_by_grid", "hidden_by_modes"]


class Shape(NamedTuple):
    """An activation: the step of its argument that nodes resolve, half-width of its curved part, slope and range."""

    step: float
    reach: float
    slope: float
    range: float


# At the given step, two trapezoid rules of different spacing differ by a percent or so. Beyond ``reach`` the distance
# from a straight line is below 1e-3.
SHAPES = {
    "tanh": Shape(2.0, 4.0, 1.0, 2.0),
    "sigmoid": Shape(4.0, 8.0, 0.25, 1.0),
    "erf": Shape(1.5, 2.5, 1.13, 2.0),
    "sin": Shape(1.5, np.inf, 1.0, 2.0),
    "cos": Shape(1.5, np.inf, 1.0, 2.0),
    "gelu": Shape(2.0, 4.0, 1.13, np.inf),
    "softplus": Shape(4.0, 8.0, 1.0, np.inf),
    "relu": Shape(0.0, 0.0, 1.0, np.inf),
    "identity": Shape(np.inf, 0.0, 1.0, np.inf),
}
# Largest distance of an activation from its chord, as a fraction of the change of its argument times its slope.
_FROM_CHORD = 0.25
# Largest number of arguments of neurons in memory at once.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Hidden:
    """Bounds on what averages may lack.

    Attributes
    ----------
    powers : ndarray
        Sum of probability times the k-th power of the largest deviation of x, k = 1 ... 4, shape (4,).
    """

    powers: Floats

    def errors(self, variance: float) -> Floats:
        """Largest errors of the mean and the central moments 2, 3, 4, shape (4,)."""
        spread = np.sqrt(max(variance, 0.0))
        # |(u + D)^k - u^k| <= sum_i binom(k, i) |u|^(k - i) D^i, with u of the size of the spread
        return np.array(
            [
                sum(comb(k, i) * spread ** (k - i) * self.powers[i - 1] for i in range(1, k + 1))
                for k in range(1, 5)
            ]
        )

    def relative(self, variance: float) -> float:
        """Largest relative error of mean, moments and coefficients; infinite if only hidden parts vary."""
        if not self.powers.any():
            return 0.0
        if variance <= 0:
            return np.inf
        return float((self.errors(variance) / variance ** (np.arange(1, 5) / 2)).max())


def output_ranges(network: Network, output: int) -> list[tuple[Floats, float]]:
    """For each layer, the largest slope of an output with respect to every neuron, and a bound on all its changes."""
    slope = np.zeros(network.n_outputs)
    slope[output] = 1.0
    found: list[tuple[Floats, float]] = []
    bound = np.inf
    for weights, name in zip(reversed(network.weights), reversed(network.activations), strict=True):
        reach = np.zeros_like(slope)
        np.multiply(slope, SHAPES[name].range, out=reach, where=slope > 0)
        bound = min(bound, float(reach.sum()))
        found.append((slope, bound))
        slope = np.abs(weights).T @ (SHAPES[name].slope * slope)
    return found[::-1]


def sharpest(network: Network, steps: Floats) -> list[Floats]:
    """Bounds on the change of every argument over given steps of each input, by layer."""
    found = []
    change = np.asarray(steps, dtype=np.float64)
    for weights, name in zip(network.weights, network.activations, strict=True):
        argument = np.abs(weights) @ change
        found.append(argument)
        change = np.minimum(SHAPES[name].slope * argument, SHAPES[name].range)
    return found


def arguments(network: Network, layer: int) -> Network:
    """The network of the arguments of the activations of a layer."""
    names = [*network.activations[:layer], "identity"]
    return Network(network.weights[: layer + 1], network.biases[: layer + 1], names)


def hidden_by_grid(
    network: Network, output: int, points: Sequence[Floats], laws: Sequence[Floats], complete: Sequence[bool]
) -> Hidden:
    """Bounds on what a tensor grid hides of one output of a network.

    Parameters
    ----------
    network : Network
    output : int
    points, laws : sequence of ndarray
        Ascending points of each input and their probabilities, shape (Q_i,); laws need not be normalised.
    complete : sequence of bool
        Whether the points of an input are all its values (a chain), so that there is nothing between them.

    Returns
    -------
    Hidden
    """
    steps = [0.0 if whole else float(np.diff(p).max(initial=0.0)) for p, whole in zip(points, complete, strict=True)]
    shapes = [SHAPES[name] for name in network.activations]
    bounds = sharpest(network, np.array(steps))
    suspects = [i for i, (shape, most) in enumerate(zip(shapes, bounds, strict=True)) if (most > shape.step).any()]
    powers = np.zeros(4)
    if not suspects:
        return Hidden(powers)
    effects = output_ranges(network, output)
    most_neurons = max(network.widths)
    for start, stop, first, last in _slabs([len(p) for p in points], most_neurons):
        grid = np.stack(np.meshgrid(points[0][first:last], *points[1:], indexing="ij"), axis=-1)
        deviation = np.zeros(grid.shape[:-1])
        cap = np.zeros(grid.shape[:-1])
        for i in suspects:
            slope, bound = effects[i]
            part = _deviation(arguments(network, i)(grid), shapes[i], slope, complete)
            deviation += part
            cap = np.maximum(cap, np.where(part > 0, bound, 0.0))
        deviation = np.minimum(deviation, cap)[start - first : stop - first]
        law = laws[0][start:stop]
        for other in laws[1:]:
            law = np.multiply.outer(law, other)
        seen = deviation > 0
        power = np.ones(int(seen.sum()))
        for k in range(4):
            power = power * deviation[seen]
            powers[k] += law[seen] @ power
    return Hidden(powers)


def hidden_by_modes(network: Network, output: int, inputs: Sequence[Modes]) -> Hidden:
    """Bounds on what the product of the grids of modes hides of one output of a network; see ``hidden_by_grid``."""
    return hidden_by_grid(
        network, output, [m.points for m in inputs], [m.law for m in inputs], [m.complete for m in inputs]
    )


def _slabs(sizes: list[int], neurons: int) -> Iterator[tuple[int, int, int, int]]:
    """Parts of the first axis (start, stop), and the same with one neighbour on either side (first, last)."""
    per_slab = max(1, int(_CHUNK / (neurons * np.prod(sizes[1:]))))
    for start in range(0, sizes[0], per_slab):
        stop = min(start + per_slab, sizes[0])
        yield start, stop, max(start - 1, 0), min(stop + 1, sizes[0])


def _deviation(values: Floats, shape: Shape, slope: Floats, complete: Sequence[bool]) -> Floats:
    """Bound on the deviation of the output near each node from its values at nodes, from arguments (nodes..., H)."""
    widest, reach = np.zeros_like(values), np.zeros_like(values)
    for axis, whole in enumerate(complete):
        if whole or values.shape[axis] < 2:
            continue
        change = np.abs(np.diff(values, axis=axis))
        largest = np.zeros_like(values)
        ahead = [slice(None)] * values.ndim
        behind = ahead.copy()
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        largest[tuple(behind)] = change
        np.maximum(largest[tuple(ahead)], change, out=largest[tuple(ahead)])
        np.maximum(widest, largest, out=widest)
        reach += largest
    near = (widest > shape.step) & (np.abs(values) <= shape.reach + reach)
    distance = np.where(near, np.minimum(_FROM_CHORD * shape.slope * reach, shape.range), 0.0)
    return np.asarray(distance @ slope)
