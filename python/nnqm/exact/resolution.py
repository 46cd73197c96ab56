r"""Features of a network that a tensor grid steps over.

Two rules that both miss a feature agree, so that their agreement is no evidence. The evidence is the network itself:
the argument of every neuron is known at the nodes of the grid. A neuron is resolved where its argument changes from
node to node by less than the width of its activation, or where the activation is a straight line within reach.
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

__all__ = ["Hidden", "RareFeatures", "hidden_by_grid", "hidden_by_modes", "largest_output", "steepest"]


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
# Number of random points in the curved part of an activation from which averages have a reliable spread, and the number
# of unseen ones that none of the points rules out.
_SEEN, _UNSEEN = 100, 10
# Largest distance of points from the origin that matters, in standard deviations.
_FAR = 5.0
# Largest number of arguments of neurons in memory at once.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Hidden:
    """Bounds on what averages may lack.

    Attributes
    ----------
    powers : ndarray
        Sum of probability times the k-th power of the largest deviation of x, k = 1 ... 4, shape (4,).
    coarsest : float
        Factor by which a grid would have to be finer to resolve all neurons.
    """

    powers: Floats
    coarsest: float = 0.0

    def errors(self, variance: float) -> Floats:
        """Largest errors of the mean and the central moments 2, 3, 4, shape (4,)."""
        spread = np.sqrt(max(variance, 0.0))
        # |(u + D)^k - u^k| <= sum_i binom(k, i) |u|^(k - i) D^i, with u of the size of the spread
        return np.array(
            [sum(comb(k, i) * spread ** (k - i) * self.powers[i - 1] for i in range(1, k + 1)) for k in range(1, 5)]
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


def largest_output(network: Network, inputs: Floats) -> float:
    """Bound on the size of all outputs at inputs up to given sizes."""
    size = inputs
    with np.errstate(over="ignore", invalid="ignore"):
        for weights, biases, name in zip(network.weights, network.biases, network.activations, strict=True):
            shape = SHAPES[name]
            size = np.minimum(shape.slope * (np.abs(weights) @ size + np.abs(biases)) + 1, shape.range)
    return float(size.max())


def steepest(network: Network, spread: Floats) -> float:
    """Bound on the change of any argument of a neuron when every input changes by its standard deviation."""
    change, most = spread, 0.0
    for weights, name in zip(network.weights, network.activations, strict=True):
        argument = np.abs(weights) @ change
        most = max(most, float(argument.max()) if name != "identity" else 0.0)
        change = SHAPES[name].slope * argument
    return max(most, 1e-300)


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
    parts = [_Survey(network, i, effects[i], bounds[i], complete) for i in suspects]
    most_neurons = max(part.n_neurons for part in parts)
    for start, stop, first, last in _slabs([len(p) for p in points], most_neurons):
        grid = np.stack(np.meshgrid(points[0][first:last], *points[1:], indexing="ij"), axis=-1)
        deviation = np.zeros(grid.shape[:-1])
        cap = np.zeros(grid.shape[:-1])
        for part in parts:
            one = part.deviation(grid)
            deviation += one
            np.maximum(cap, np.where(one > 0, part.bound, 0.0), out=cap)
        deviation = np.minimum(deviation, cap)[start - first : stop - first]
        law = laws[0][start:stop]
        for other in laws[1:]:
            law = np.multiply.outer(law, other)
        seen = deviation > 0
        power = np.ones(int(seen.sum()))
        for k in range(4):
            power = power * deviation[seen]
            powers[k] += law[seen] @ power
    return Hidden(powers, max(part.coarsest for part in parts))


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


class _Survey:
    """Arguments of the neurons of one layer that may be unresolved, node by node."""

    def __init__(
        self, network: Network, layer: int, effect: tuple[Floats, float], bounds: Floats, complete: Sequence[bool]
    ) -> None:
        slope, self.bound = effect
        self._shape, self._complete = SHAPES[network.activations[layer]], complete
        some = (bounds > self._shape.step) & (slope > 0)
        self._slope = slope[some]
        self.n_neurons = max(int(some.sum()), *network.widths[: layer + 1])
        names = [*network.activations[:layer], "identity"]
        weights = [*network.weights[:layer], network.weights[layer][some]]
        biases = [*network.biases[:layer], network.biases[layer][some]]
        self._arguments = Network(weights, biases, names) if some.any() else None
        # Arguments of the first layer are linear: their changes are the bounds.
        self._changes = bounds[some] if layer == 0 else None
        self.coarsest = 0.0

    def deviation(self, grid: Floats) -> Floats:
        """Bound on the deviation of the output near each node of a slab (nodes..., D) from its values at nodes."""
        shape = self._shape
        if self._arguments is None:
            return np.zeros(grid.shape[:-1])
        values = self._arguments(grid)
        if self._changes is not None:
            widest = reach = np.broadcast_to(self._changes, values.shape)
        else:
            widest, reach = self._neighbours(values)
        near = np.abs(values) <= shape.reach + reach
        near &= widest > shape.step
        if not near.any():
            return np.zeros(grid.shape[:-1])
        self.coarsest = max(self.coarsest, float(widest[near].max()) / shape.step if shape.step else np.inf)
        distance = np.where(near, np.minimum(_FROM_CHORD * shape.slope * reach, shape.range), 0.0)
        return np.asarray(distance @ self._slope)

    def _neighbours(self, values: Floats) -> tuple[Floats, Floats]:
        """Largest change of each argument to a neighbouring node, and the sum of the changes over the axes."""
        widest = reach = np.zeros(())
        for axis, whole in enumerate(self._complete):
            if whole or values.shape[axis] < 2:
                continue
            line = np.moveaxis(values, axis, 0)
            change = np.abs(line[1:] - line[:-1])
            largest = np.empty_like(line)
            largest[0], largest[-1] = change[0], change[-1]
            np.maximum(change[1:], change[:-1], out=largest[1:-1])
            largest = np.moveaxis(largest, 0, axis)
            widest, reach = np.maximum(widest, largest), reach + largest
        return np.broadcast_to(widest, values.shape), np.broadcast_to(reach, values.shape)


class RareFeatures:
    """Features of a network that random points of standard normal inputs may miss.

    The first layer is known: a neuron is curved in a strip between two hyperplanes, and two neurons differ between
    their hyperplanes; the probability of both is a closed form. Deeper neurons are judged by their arguments at the
    points.

    Parameters
    ----------
    network : Network
    output : int
    spread : ndarray
        Standard deviations of the inputs, shape (D,).
    n_points : int
        Number of points in all.
    """

    def __init__(self, network: Network, output: int, spread: Floats, n_points: int) -> None:
        self._network, self._spread, self._n_points = network, spread, n_points
        self._effects = output_ranges(network, output)
        deep = [i for i, name in enumerate(network.activations) if i > 0 and name != "identity"]
        self._smallest = {i: np.full((0, network.widths[i + 1]), np.inf) for i in deep}
        self._quantile = {i: np.zeros(network.widths[i + 1]) for i in deep}

    def meet(self, inputs: Floats) -> None:
        """Take note of the arguments of deeper neurons at points, inputs of shape (N, D)."""
        for i in self._smallest:
            values = np.abs(arguments(self._network, i)(inputs))
            together = np.concatenate([self._smallest[i], values])
            kept = min(_SEEN, len(together) - 1)
            self._smallest[i] = np.partition(together, kept, axis=0)[: kept + 1]
            self._quantile[i] = np.maximum(self._quantile[i], np.quantile(values, 0.01, axis=0))

    def hidden(self) -> tuple[Hidden, float]:
        """Bounds on averages of x, and on the average of the squared slope of x in units of the spreads."""
        powers, slopes = np.zeros(4), 0.0
        for chance, deviation, slope in [self._first(), *(self._deep(i) for i in self._smallest)]:
            powers += [chance @ deviation**k for k in range(1, 5)]
            slopes += float(chance @ slope**2)
        return Hidden(powers), slopes

    def _first(self) -> tuple[Floats, Floats, Floats]:
        """Probability, deviation and slope of the features of neurons of the first layer, shape (H,) each."""
        from scipy.special import ndtr

        name = self._network.activations[0]
        shape, (slope, bound) = SHAPES[name], self._effects[0]
        a = self._network.weights[0] * self._spread
        scale = np.linalg.norm(a, axis=1)
        some = (scale > 0) & (slope > 0) & np.isfinite(shape.reach) & (name != "identity")
        a, b, scale, slope = a[some], self._network.biases[0][some], scale[some], slope[some]
        direction, distance = a / scale[:, None], -b / scale
        strip = np.abs(ndtr(distance + shape.reach / scale) - ndtr(distance - shape.reach / scale))
        few = _SEEN / self._n_points
        rare = strip < few
        direction, distance, scale, slope, strip = (v[rare] for v in (direction, distance, scale, slope, strip))
        # Normals of either sign describe the same hyperplane: the nearer pair counts.
        angles, gaps = [], []
        for sign in (1.0, -1.0):
            angles.append(np.arccos(np.clip(sign * direction @ direction.T, -1, 1)))
            gaps.append(np.abs(ndtr(distance[:, None]) - ndtr(sign * distance)))
        near = np.argmin([angle + gap for angle, gap in zip(angles, gaps, strict=True)], axis=0)
        angle, gap = np.choose(near, angles), np.choose(near, gaps)
        between = angle / np.pi + gap
        partner = between < few
        apart = np.abs(distance[:, None] - np.where(near == 0, 1.0, -1.0) * distance) + _FAR * angle
        # Unbounded activations bend: between hyperplanes they deviate by their slope times the distance.
        change = slope * np.minimum(shape.range, shape.slope * scale * np.maximum(apart, 2 * shape.reach / scale))
        deviation = np.minimum((partner * change).sum(axis=1), bound)
        chance = np.maximum(strip, np.where(partner, between, 0.0).max(axis=1, initial=0.0))
        return chance, deviation, (partner * (slope * shape.slope * scale)).sum(axis=1)

    def _deep(self, layer: int) -> tuple[Floats, Floats, Floats]:
        """The same for neurons of a deeper layer, from the arguments at the points."""
        shape, (slope, bound) = SHAPES[self._network.activations[layer]], self._effects[layer]
        smallest = self._smallest[layer]
        closest, some = smallest.min(axis=0), smallest.max(axis=0)
        count = (smallest <= shape.reach).sum(axis=0)
        # Arguments that end far from the curved part, in units of the width of their own tail, do not reach it.
        reachable = closest - shape.reach <= 3 * (self._quantile[layer] - closest)
        rare = (count <= _SEEN) & (some > shape.reach) & reachable & (slope > 0)
        chance = np.where(rare, np.minimum(count + _UNSEEN, _SEEN) / self._n_points, 0.0)
        deviation = np.where(rare, slope * np.minimum(shape.range, _FROM_CHORD * shape.slope * some), 0.0)
        # The sum of the deviations of all rare neurons, which may have the same feature
        together = min(float(deviation.sum()), bound)
        change = self._spread
        for weights, name in zip(self._network.weights[: layer + 1], self._network.activations, strict=False):
            change = SHAPES[name].slope * (np.abs(weights) @ change)
        return chance, np.where(rare, together, 0.0), np.where(rare, slope * change, 0.0)
