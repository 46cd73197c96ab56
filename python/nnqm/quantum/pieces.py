"""Adaptive survey of a function on an interval: panels on which it is a polynomial, cut at its jumps and kinks.

A panel is accepted if the polynomial through its nodes predicts the function at many irregular points; otherwise it is
halved, and the halves are sampled as densely again. At a jump or a kink the panels shrink to rounding; the place
becomes a break, and the panels on both sides are merged again as far as one polynomial serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, floats
from ..errors import InputError
from ..statistics.rules import legendre_rule
from .dvr import EPS

__all__ = ["NODES", "Pieces", "interpolation", "resolve"]

# Nodes of the polynomial of a panel.
NODES = 12

# Irregular points at which the polynomial of a panel is compared with the function: in coarse panels and in fine ones,
# which are as narrow as the distance of the points in coarse panels.
_CHECKS, _FEW_CHECKS, _FINE = 640, 48, 10

# Distance of the outermost of these points from the ends of a panel of width 2.
_AT_ENDS = 2.0**-44

# Equal parts of the interval in which the survey begins, and halvings towards its centre.
_PARTS, _OCTAVES = 128, 24

# Accuracy of a polynomial relative to the size of the function: at each point, and as an integral over a panel relative
# to the interval, when panels are halved and when they are merged.
_AT_A_POINT, _INTEGRAL, _MERGED = 1e-13, 1e-17, 1e-15

# Scatter over the shortest distances, relative to the size of the function, that is no rounding.
_ROUGH = 1e-3

# Halvings of a panel beyond which its neighbourhood is a break.
_DEEP = 10

# Largest number of panels that are halved at once, and of all panels.
_MOST_AT_ONCE, _MOST = 2000, 6000


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A function as polynomials on panels.

    Attributes
    ----------
    edges : ndarray
        Ends of the panels, ascending, shape (P + 1,).
    nodes, values : ndarray
        Gauss-Legendre nodes of the panels and the function there, shape (P, 12); the values are inf in panels where
        the function is infinite.
    errors : ndarray
        Largest deviation of the function from the polynomial, shape (P,).
    noise : ndarray
        Rounding of the function, shape (P,).
    breaks : ndarray
        Edges at which the function or a derivative jumps.
    """

    edges: Floats
    nodes: Floats
    values: Floats
    errors: Floats
    noise: Floats
    breaks: Floats

    @property
    def widths(self) -> Floats:
        """Widths of the panels, shape (P,)."""
        return np.diff(self.edges)

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Whether the function is finite in a panel, shape (P,)."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def __call__(self, x: Floats) -> Floats:
        """The polynomials at points of any shape between the outermost edges; an inner edge belongs to its right."""
        points = np.ravel(x)
        panel = np.clip(np.searchsorted(self.edges, points, side="right") - 1, 0, len(self.values) - 1)
        z = 2 * (points - self.edges[panel]) / self.widths[panel] - 1
        finite = self.finite
        values = np.where(finite[:, None], self.values, 0.0)
        inside = np.sum(interpolation(z) * values[panel], axis=1)
        return np.where(finite[panel], inside, np.inf).reshape(np.shape(x))

    def between(self, a: float, b: float) -> Pieces:
        """The same polynomials from a to b, inside the outermost edges; an edge very near to a or b replaces it."""
        least = 1e-12 * (b - a)
        near = [self.edges[np.abs(self.edges - end) <= least] for end in (a, b)]
        a, b = (float(close[0]) if len(close) else end for close, end in zip(near, (a, b), strict=True))
        inner = self.edges[(self.edges > a + least) & (self.edges < b - least)]
        edges = np.concatenate([[a], inner, [b]])
        panel = np.clip(np.searchsorted(self.edges, (edges[1:] + edges[:-1]) / 2) - 1, 0, len(self.values) - 1)
        whole = (edges[:-1] == self.edges[panel]) & (edges[1:] == self.edges[panel + 1])
        nodes = nodes_of(edges)
        return Pieces(
            edges=edges,
            nodes=nodes,
            values=np.where(whole[:, None], self.values[panel], self(nodes)),
            errors=self.errors[panel],
            noise=self.noise[panel],
            breaks=self.breaks[np.isin(self.breaks, inner)],
        )

    def mirrored(self, *, smooth: bool) -> Pieces:
        """An even function from these pieces of its right half; without ``smooth`` it has a break at 0."""
        middle = [] if smooth else [0.0]
        return Pieces(
            edges=np.concatenate([-self.edges[:0:-1], self.edges]),
            nodes=np.concatenate([-self.nodes[::-1, ::-1], self.nodes]),
            values=np.concatenate([self.values[::-1, ::-1], self.values]),
            errors=np.concatenate([self.errors[::-1], self.errors]),
            noise=np.concatenate([self.noise[::-1], self.noise]),
            breaks=np.concatenate([-self.breaks[::-1], middle, self.breaks]),
        )

    def retaken(self, function: Callable[[Floats], Floats], size: Callable[[Floats], Floats]) -> Pieces | None:
        """Pieces with values of the function at the nodes of the present edges; None if they do not reproduce it.

        The deviation at 48 irregular points of each panel and near its ends may be ten times the accuracy of the
        survey, relative to ``size`` of the values.
        """
        nodes, finite = nodes_of(self.edges), self.finite
        values = np.where(finite[:, None], function(nodes.ravel()).reshape(nodes.shape), np.inf)
        new = replace(self, nodes=nodes, values=values)
        length = self.edges[-1] - self.edges[0]
        part = (_checks(_FEW_CHECKS)[0] + 1) / 2 * np.ones((len(values), 1))
        # A break is known to rounding only.
        part[:, 0] = np.clip(np.maximum(1e-6, 1e-12 * length / self.widths), 0, 0.5)
        part[:, -1] = 1 - part[:, 0]
        x = self.edges[:-1, None] + self.widths[:, None] * part
        exact = function(x.ravel()).reshape(x.shape)[finite]
        if not (np.isfinite(exact).all() and np.isfinite(values[finite]).all()):
            return None
        deviation = np.abs(new(x[finite]) - exact) - 8 * self.noise[finite, None] - 8 * EPS * np.abs(exact)
        relative = (deviation / size(exact)).max(axis=1)
        fits = (relative <= 10 * _AT_A_POINT) | (relative * self.widths[finite] <= 10 * _MERGED * length)
        return new if fits.all() else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``from_dict``; None stands for an infinite panel."""
        finite = self.finite
        values = [row.tolist() if known else None for row, known in zip(self.values, finite, strict=True)]
        plain = {name: getattr(self, name).tolist() for name in ("edges", "noise", "breaks")}
        return plain | {"values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pieces:
        """The pieces described by ``to_dict``."""
        edges, noise, breaks = (floats(name, data[name]) for name in ("edges", "noise", "breaks"))
        values = np.array([[np.inf] * NODES if row is None else row for row in data["values"]], dtype=np.float64)
        return cls(
            edges=edges, nodes=nodes_of(edges), values=values, errors=np.zeros(len(noise)), noise=noise, breaks=breaks
        )


def nodes_of(edges: Floats) -> Floats:
    """Gauss-Legendre nodes of panels, shape (P, 12)."""
    return np.asarray(edges[:-1, None] + np.diff(edges)[:, None] * ((_rule()[0] + 1) / 2))


@cache
def _rule() -> tuple[Floats, Floats, Floats]:
    """Gauss-Legendre nodes and weights, and barycentric weights of the nodes."""
    z, weights = legendre_rule(NODES)
    return z, weights, np.asarray((-1.0) ** np.arange(NODES) * np.sqrt((1 - z**2) * weights), dtype=np.float64)


@cache
def _checks(number: int) -> tuple[Floats, Floats]:
    """Irregular points in (-1, 1), one in each of equal cells, and the interpolation to them."""
    jitter = np.random.default_rng(number).uniform(0.02, 0.98, number)
    z = (np.arange(number) + jitter) * (2 / number) - 1
    # Without points at the ends, a jump there would be outside both panels.
    z = np.concatenate([[-1 + _AT_ENDS], z, [1 - _AT_ENDS]])
    return z, interpolation(z)


def interpolation(z: Floats) -> Floats:
    """Matrix from values at the nodes to values at points z (k,) in [-1, 1], shape (k, 12)."""
    nodes, _, barycentric = _rule()
    difference = z[:, None] - nodes
    exact = difference == 0
    difference[exact] = 1
    terms = barycentric / difference
    hit = exact.any(axis=1)
    terms[hit] = exact[hit]
    return np.asarray(terms / terms.sum(axis=1, keepdims=True))


def resolve(
    function: Callable[[Floats], Floats],
    ends: tuple[float, float],
    reference: float,
    scale: float,
    places: Floats | None = None,
) -> Pieces:
    """Panels on which a function is a polynomial to rounding.

    Parameters
    ----------
    function : callable
        Finite or +inf at all points between the ends; it is not called at the ends.
    ends : (float, float)
    reference, scale : float
        The error is relative to ``scale + abs(function - reference)``. A function beyond 1e24 scales is infinite.
    places : ndarray, optional
        Points around which the survey begins with fine panels.

    Returns
    -------
    Pieces

    Raises
    ------
    InputError
        If the function has structure on more scales than 6000 panels resolve.

    Notes
    -----
    The function is called at 80 000 to 200 000 irregular points at first. Features wider than 1e-5 of the interval
    are found, and narrower ones near ``places`` or with the probability that a point hits them.
    """
    survey = _Survey(function, ends, reference, scale)
    return survey.merged(survey.halved(_seeds(ends, places)))


def _seeds(ends: tuple[float, float], places: Floats | None) -> Floats:
    a, b = ends
    edges = [np.linspace(a, b, _PARTS + 1)]
    for place in np.unique(np.clip([] if places is None else places, a, b)):
        steps = (b - a) * 2.0 ** -np.arange(3, 3 + _OCTAVES)
        edges += [place - steps, place + steps]
    every = np.unique(np.concatenate(edges))
    every = every[(every >= a) & (every <= b)]
    least = max(1e-9 * (b - a), 64 * EPS * max(abs(a), abs(b)))
    kept = [a]
    for x in every[1:]:
        if x - kept[-1] > least:
            kept.append(float(x))
    kept[-1] = b
    return np.array(kept)


class _Leaves(NamedTuple):
    """Panels after all halvings: ends, rounding and relative misfit of the function, number of halvings."""

    left: Floats
    right: Floats
    noise: Floats
    misfit: Floats
    depth: NDArray[np.int64]


class _Survey:
    """Panels of one function."""

    def __init__(
        self, function: Callable[[Floats], Floats], ends: tuple[float, float], reference: float, scale: float
    ) -> None:
        self._function, self._reference, self._scale = function, reference, scale
        self._length = ends[1] - ends[0]
        self._least = 4 * EPS * max(abs(ends[0]), abs(ends[1]))

    def _values(self, x: Floats) -> Floats:
        values = self._function(x.ravel()).reshape(x.shape)
        return np.where(values > self._reference + 1e24 * self._scale, np.inf, values)

    def _size(self, values: Floats) -> Floats:
        return np.asarray(self._scale + np.abs(values - self._reference))

    def _nodes(self, left: Floats, right: Floats) -> Floats:
        return np.asarray(left[:, None] + (right - left)[:, None] * ((_rule()[0] + 1) / 2))

    def _noise(self, left: Floats, right: Floats) -> Floats:
        """Rounding of the function, from its scatter about a cubic over short distances."""
        i = np.arange(12) - 5.5
        q = np.linalg.qr(i[:, None] ** np.arange(4))[0]
        place, noise = (left + right) / 2 + 0.0137 * (right - left), np.zeros(len(left))
        for part in (1e-7, 1e-4):
            step = np.maximum(part * (right - left), 8 * EPS * np.maximum(np.abs(left), np.abs(right)))
            values = self._values(place[:, None] + step[:, None] * i)
            values = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, 0.0)
            with np.errstate(over="ignore", invalid="ignore"):
                values -= values[:, 5:6].copy()
                scatter = np.nan_to_num(np.abs(values - values @ q @ q.T).max(axis=1))
            # A jump among the points is not noise: neighbours decide.
            padded = np.pad(scatter, 3, mode="edge")
            near = np.lib.stride_tricks.sliding_window_view(padded, 7)
            noise = np.maximum(noise, np.minimum(np.median(near, axis=1), scatter))
        return np.asarray(noise)

    def halved(self, seeds: Floats) -> _Leaves:
        """Panels after all halvings."""
        left, right = seeds[:-1], seeds[1:]
        noise = self._noise(left, right)
        centre = self._values((left + right) / 2)
        rough = noise > _ROUGH * self._size(np.where(np.isfinite(centre), centre, np.inf))
        if rough.any():
            raise InputError(
                "the function has structure on a scale too small to resolve, or is random, for example near "
                f"{left[int(np.argmax(rough))]:.6g}; make it smoother"
            )
        done: list[_Leaves] = []
        for depth in range(200):
            misfit, accepted = self._accepted(left, right, noise, depth)
            some = np.flatnonzero(accepted)
            done.append(_Leaves(left[some], right[some], noise[some], misfit[some], np.full(len(some), depth)))
            left, right, noise = left[~accepted], right[~accepted], noise[~accepted]
            if not len(left):
                break
            if len(left) > _MOST_AT_ONCE or sum(len(part.left) for part in done) > _MOST:
                at = (left + right)[len(left) // 2] / 2
                raise InputError(
                    f"the function has structure on a scale below {float((right - left).min()):.1g} over the interval "
                    f"[{seeds[0]:g}, {seeds[-1]:g}], for example near {at:.6g}, which {_MOST} panels do not resolve; "
                    "make it smoother, or give a narrower domain"
                )
            middle = (left + right) / 2
            left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
            noise = np.concatenate([noise, noise])
        parts = [np.concatenate(part) for part in zip(*done, strict=True)]
        order = np.argsort(parts[0], kind="stable")
        return _Leaves(*(part[order] for part in parts))

    def _accepted(self, left: Floats, right: Floats, noise: Floats, depth: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Relative error of the polynomials, and whether the panels need not be halved."""
        misfit, out = np.empty(len(left)), np.empty(len(left), dtype=bool)
        z, matrix = _checks(_CHECKS if depth < _FINE else _FEW_CHECKS)
        rows = max(1, 400_000 // len(z))
        for start in range(0, len(left), rows):
            some = slice(start, start + rows)
            a, b = left[some], right[some]
            values = self._values(self._nodes(a, b))
            checks = self._values(a[:, None] + (b - a)[:, None] * ((z + 1) / 2))
            walls = np.isinf(checks).all(axis=1) & np.isinf(values).all(axis=1)
            with np.errstate(invalid="ignore", over="ignore"):
                deviation = np.abs(values @ matrix.T - checks)
                rounding = 8 * noise[some, None] + 8 * EPS * np.abs(checks)
                relative = (deviation - rounding) / self._size(checks)
                relative = np.where(np.isnan(relative), np.inf, relative).max(axis=1)
            # Infinite errors end at a wall, found to rounding.
            small = relative * (b - a) <= _INTEGRAL * self._length
            narrow = (b - a) <= np.maximum(4 * EPS * np.maximum(np.abs(a), np.abs(b)), 1e-18 * self._length)
            misfit[some] = np.where(walls, 0.0, relative)
            out[some] = walls | (relative <= _AT_A_POINT) | small | narrow
        return misfit, out

    def merged(self, leaves: _Leaves) -> Pieces:
        """Breaks at clusters of narrow panels, and wide panels between them."""
        edges, breaks, noise = self._cut(leaves)
        nodes = self._nodes(edges[:-1], edges[1:])
        values = self._values(nodes)
        errors = np.zeros(len(values))
        idle = 0
        for attempt in range(400):
            # Two passes without a merger, over odd and over even pairs.
            if idle == 2:
                break
            idle += 1
            width = np.diff(edges)
            pairs = np.arange(attempt % 2, len(edges) - 2, 2)
            larger, smaller = np.maximum(width[pairs], width[pairs + 1]), np.minimum(width[pairs], width[pairs + 1])
            modest = (larger <= self._length / 8) | (smaller < 0.1 * larger)
            pairs = pairs[~np.isin(edges[pairs + 1], breaks) & modest]
            if not len(pairs):
                continue
            a, b = edges[pairs], edges[pairs + 2]
            new_nodes = self._nodes(a, b)
            new = self._values(new_nodes)
            old = np.concatenate([nodes[pairs], nodes[pairs + 1]], axis=1)
            known = np.concatenate([values[pairs], values[pairs + 1]], axis=1)
            z = 2 * (old - a[:, None]) / (b - a)[:, None] - 1
            with np.errstate(invalid="ignore", over="ignore"):
                predicted = np.einsum("pqn,pn->pq", interpolation(z.ravel()).reshape(*z.shape, NODES), new)
                deviation = np.abs(predicted - known)
                rounding = 8 * np.maximum(noise[pairs], noise[pairs + 1])[:, None] + 8 * EPS * np.abs(known)
                relative = (deviation - rounding) / self._size(known)
                relative = np.where(np.isnan(relative), np.inf, relative).max(axis=1)
            walls = np.isinf(new).all(axis=1) & np.isinf(known).all(axis=1)
            fits = walls | (relative <= _AT_A_POINT) | (relative * (b - a) <= _MERGED * self._length)
            if not fits.any():
                continue
            idle, at = 0, pairs[fits]
            nodes[at], values[at] = new_nodes[fits], new[fits]
            errors[at] = np.where(
                walls[fits],
                0,
                np.maximum(np.nan_to_num(deviation[fits]).max(axis=1), np.maximum(errors[at], errors[at + 1])),
            )
            noise[at] = np.maximum(noise[at], noise[at + 1])
            keep = np.ones(len(values), dtype=bool)
            keep[at + 1] = False
            nodes, values, errors, noise = nodes[keep], values[keep], errors[keep], noise[keep]
            edges = np.delete(edges, at + 1)
        return self._without_slivers(
            Pieces(edges=edges, nodes=nodes, values=values, errors=errors, noise=noise, breaks=breaks)
        )

    def _cut(self, leaves: _Leaves) -> tuple[Floats, Floats, Floats]:
        """Edges, breaks among them, and noise; the panel that contains the singular point of a break is left out."""
        width, size = leaves.right - leaves.left, len(leaves.left)
        fine = (leaves.depth > 3) & (width < self._length / _PARTS * 2.0**-_DEEP)
        covered, centres = ~(fine | (leaves.depth >= _DEEP)), np.zeros(size, dtype=bool)
        for i in np.argsort(width, kind="stable"):
            if covered[i]:
                continue
            # The panels grow on both sides of a singular point, up to a size that is smooth.
            low = high = int(i)
            while low > 0 and width[low] <= 64 * width[i] and not centres[low]:
                low -= 1
            while high < size - 1 and width[high] <= 64 * width[i] and not centres[high]:
                high += 1
            covered[low + 1 : high] = True
            covered[i] = True
            if centres[low] or centres[high]:
                continue
            near = np.arange(low, high + 1)
            worst = int(near[np.argmax(leaves.misfit[near])])
            centres[worst if leaves.misfit[worst] >= 10 * _AT_A_POINT else i] = True
        edges, breaks, kept = [float(leaves.left[0])], [], []
        for i in range(size):
            singular = leaves.misfit[i] >= 10 * _AT_A_POINT
            if centres[i] and singular and 0 < i < size - 1:
                edges[-1] = float((leaves.left[i] + leaves.right[i]) / 2)
                breaks.append(edges[-1])
                continue
            if centres[i]:
                # A singular point may be an end of the panel, or inside it without effect.
                breaks += [edge for edge in (edges[-1], float(leaves.right[i])) if edge not in breaks]
            edges.append(float(leaves.right[i]))
            kept.append(float(leaves.noise[i]))
        ends = leaves.left[0], leaves.right[-1]
        breaks = [edge for edge in breaks if edge not in ends]
        return np.array(edges), np.array(breaks), np.array(kept)

    def _without_slivers(self, pieces: Pieces) -> Pieces:
        """Pieces without panels too narrow for any effect; their places are breaks."""
        size = np.where(pieces.finite, np.abs(np.nan_to_num(pieces.values)).max(axis=1), np.inf)
        effect = self._size(size) * pieces.widths
        slivers = (pieces.widths < 1e-12 * self._length) & (
            (effect < 1e-12 * self._scale * self._length) | ~pieces.finite | (pieces.widths <= 2 * self._least)
        )
        keep = np.flatnonzero(~slivers)
        if len(keep) == len(slivers):
            return pieces
        left, right = pieces.edges[:-1][keep], pieces.edges[1:][keep]
        inner = (left[1:] + right[:-1]) / 2
        gaps = left[1:] > right[:-1]
        for place in pieces.breaks:
            inner[(right[:-1] <= place) & (place <= left[1:]) & gaps] = place
        breaks = pieces.breaks[~np.isin(pieces.breaks, np.concatenate([left[1:][gaps], right[:-1][gaps]]))]
        return Pieces(
            edges=np.concatenate([pieces.edges[:1], inner, pieces.edges[-1:]]),
            nodes=pieces.nodes[keep],
            values=pieces.values[keep],
            errors=pieces.errors[keep],
            noise=pieces.noise[keep],
            breaks=np.unique(np.concatenate([breaks, inner[gaps]])),
        )
