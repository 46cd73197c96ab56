"""Pairs of points of space that symmetry makes equal, and functions of the field that share the symmetry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..theories.networks import Network
from .field import Field
from .networks import need_sites, same_function
from .periodic_box import PeriodicBox

__all__ = ["PairClasses", "is_even", "momenta_of_classes", "momentum_classes", "pair_classes", "point_group"]

Indices = NDArray[np.int64]

# Configurations at which the symmetry of a network is tested, their key, and the largest relative difference.
_PROBES, _PROBE_KEY, _EQUAL = 4, 15, 1e-9

# Relative difference below which two distances are equal.
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class PairClasses:
    """Classes of ordered pairs of points of space that have the same two-point function.

    Attributes
    ----------
    labels : ndarray
        Class of the pair (a, b), shape (S, S).
    displacements : ndarray
        A displacement of each class, shape (C, d - 1), by ascending distance.
    distances : ndarray
        Shape (C,).
    pairs : ndarray
        Number of ordered pairs of each class, shape (C,).
    """

    labels: Indices
    displacements: Floats
    distances: Floats
    pairs: Indices

    @classmethod
    def of(cls, labels: Indices, displacements: Floats) -> PairClasses:
        """Classes from labels of any order and the displacements of all pairs, shape (S, S, d - 1)."""
        flat, all_displacements = labels.ravel(), displacements.reshape(labels.size, -1)
        distance = np.sqrt((all_displacements**2).sum(axis=1))
        # The displacement of a class is its largest in the order of tuples: components are positive if possible.
        order = np.lexsort((*all_displacements.T[::-1], flat)) if all_displacements.shape[1] else np.argsort(flat)
        last = order[np.flatnonzero(np.diff(flat[order], append=-1))]
        rank = np.argsort(np.round(distance[last] / max(distance.max(), 1e-300), 12), kind="stable")
        new = np.empty(len(last), dtype=np.int64)
        new[rank] = np.arange(len(last))
        known = np.unique(flat)
        relabelled = new[np.searchsorted(known, labels)]
        chosen = last[rank]
        return cls(relabelled, all_displacements[chosen], distance[chosen], np.bincount(relabelled.ravel()))


def pair_classes(field: Field, network: Network | None, function: int) -> PairClasses:
    """Classes of pairs of points for function number ``function`` at the points; the field itself without a network.

    In a box these are displacements that translations and those reflections and exchanges of axes connect under which
    the network is covariant; elsewhere distances, for a network that is the same function at every point.

    Raises
    ------
    InputError
        If the functions at the points are not one function that is moved.
    """
    if isinstance(field, PeriodicBox):
        turns = _turns(field)
        group = point_group(field, network, function)
        # A displacement and its opposite are equal, because paths look the same backwards in time.
        # A displacement and its opposite are equal, because paths look the same backwards in time.
        orbit = _orbits(field, group)
        whole = np.stack(np.unravel_index(turns, field.sites), axis=-1)
        sites = np.array(field.sites)
        nearest = np.where(2 * whole <= sites, whole, whole - sites) * field.spacing
        return PairClasses.of(orbit[turns], nearest)
    if network is not None:
        need_sites(network, field.n_inputs)
        if same_function(network, field.n_inputs, function) is None:
            raise InputError(
                "correlators by distance need the same function of the field at every point; this network mixes points",
                "use pointwise to make the network, or a PeriodicBox with a convolution",
            )
    at = field.positions
    between = at[None] - at[:, None]
    distance = np.sqrt((between**2).sum(axis=-1))
    values = np.sort(distance.ravel())
    step = np.diff(values, prepend=-1.0) > _SAME * max(float(values[-1]), 1e-300)
    return PairClasses.of(np.searchsorted(values[step], distance * (1 + _SAME), side="right"), between)


def _turns(box: PeriodicBox) -> Indices:
    """Displacement from site a to site b of a box as the number of a site, shape (S, S)."""
    at = np.stack(np.unravel_index(np.arange(box.n_inputs), box.sites))
    return np.asarray(np.ravel_multi_index(tuple(at[:, None, :] - at[:, :, None]), box.sites, mode="wrap"))


def _image(box: PeriodicBox, axes: tuple[int, ...] | range, signs: tuple[int, ...]) -> Indices:
    """The site to which an exchange of axes and reflections move each site, shape (S,)."""
    at = np.stack(np.unravel_index(np.arange(box.n_inputs), box.sites))
    moved = tuple(sign * at[axis] for axis, sign in zip(axes, signs, strict=True))
    return np.asarray(np.ravel_multi_index(moved, box.sites, mode="wrap"))


def _inversion(box: PeriodicBox) -> Indices:
    """The site to which the reflection of all axes moves each site, shape (S,)."""
    return _image(box, range(len(box.sites)), (-1,) * len(box.sites))


def is_even(box: PeriodicBox, group: list[Indices]) -> bool:
    """Whether the reflection of all axes is in a point group."""
    return any(np.array_equal(image, _inversion(box)) for image in group)


def _generators(box: PeriodicBox) -> Iterator[Indices]:
    """Images of the sites under reflections of all and of single axes, and exchanges of axes of equal length."""
    space = len(box.sites)
    yield _inversion(box)
    for i in range(space if space > 1 else 0):
        yield _image(box, range(space), tuple(-1 if j == i else 1 for j in range(space)))
    for axes in permutations(range(space)):
        moved = [i for i in range(space) if axes[i] != i]
        if len(moved) == 2 and box.sites[moved[0]] == box.sites[moved[1]]:
            yield _image(box, axes, (1,) * space)


def point_group(box: PeriodicBox, network: Network | None, function: int) -> list[Indices]:
    """Reflections and exchanges of axes that move a function of the field along; images of the sites, shape (S,) each.

    Raises
    ------
    InputError
        If translations of the box do not move it along.
    """
    everything = list(_generators(box))
    if network is None:
        return everything
    need_sites(network, box.n_inputs)
    if same_function(network, box.n_inputs, function) is not None:
        return everything
    size = np.sqrt(box.variance[0])
    probes = np.random.default_rng(_PROBE_KEY).normal(size=(_PROBES, box.n_inputs)) * size

    def values(y: Floats) -> Floats:
        return network(y).reshape(_PROBES, box.n_inputs, -1)[..., function]

    plain = values(probes)
    # Rounding is relative to the largest value of the probes.
    allowed = _EQUAL * float(np.abs(plain).max())

    def covariant(image: Indices) -> bool:
        moved = np.empty_like(probes)
        moved[:, image] = probes
        expected = np.empty_like(plain)
        expected[:, image] = plain
        return bool(np.abs(values(moved) - expected).max() <= allowed)

    at = np.stack(np.unravel_index(np.arange(box.n_inputs), box.sites))
    for i in range(len(box.sites)):
        step = np.eye(len(box.sites), dtype=np.int64)[i][:, None]
        if not covariant(np.ravel_multi_index(tuple(at + step), box.sites, mode="wrap")):
            raise InputError(
                f"outputs of the network at the sites must be one function that translations move along; output "
                f"{function} of each site is not moved along axis {i}",
                "make the network with pointwise or convolution",
            )
    return [image for image in everything if covariant(image)]


def _orbits(box: PeriodicBox, group: list[Indices]) -> Indices:
    """The lowest site to which the group and the reflection of all axes together move each site, shape (S,)."""
    orbit = np.arange(box.n_inputs)
    images = [*group, _inversion(box)]
    while True:
        before = orbit
        for image in images:
            orbit = np.minimum(orbit, orbit[image])
        if np.array_equal(orbit, before):
            return orbit


def momentum_classes(box: PeriodicBox, group: list[Indices]) -> Indices:
    """Class of each mode: momenta that the group and q -> -q connect, numbered by ascending frequency, shape (S,)."""
    # Momenta move as displacements do, because the group consists of reflections and exchanges of equal axes.
    orbit = _orbits(box, group)
    first, labels = np.unique(orbit, return_inverse=True)
    rank = np.argsort(np.round(box.rates[first], 12), kind="stable")
    new = np.empty(len(first), dtype=np.int64)
    new[rank] = np.arange(len(first))
    return new[labels.ravel()]


def momenta_of_classes(box: PeriodicBox, labels: Indices, wanted: Indices) -> Floats:
    """The largest momentum of each class that is wanted, in the order of tuples, shape (Q, d - 1)."""
    return np.array([max(map(tuple, box.momenta[labels == label])) for label in wanted]).reshape(len(wanted), -1)
