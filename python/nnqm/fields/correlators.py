"""Correlators of space and time from runs, averaged over what symmetry makes equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, integer
from ..display import Drawn
from ..errors import InputError, InputTypeError
from ..representation import short_repr
from ..sampling.correlators import Correlators
from ..statistics.estimate import Estimate, jackknife
from ..theories.networks import Network
from .field import Field
from .networks import momentum_modes
from .periodic_box import PeriodicBox
from .symmetry import PairClasses, momenta_of_classes, momentum_classes, pair_classes, point_group

__all__ = ["DistanceCorrelator", "MomentumCorrelator", "correlator_by_distance", "correlator_by_momentum"]


@short_repr
@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceCorrelator(Drawn, picture="propagator"):
    """A two-point function by distance in space and lag in time.

    Attributes
    ----------
    distances : ndarray
        Shape (C,), ascending, unit of length.
    displacements : ndarray
        A displacement of each class, shape (C, d - 1).
    pairs : ndarray
        Number of ordered pairs of points that are averaged, shape (C,).
    times : ndarray
        Lags, shape (L,), unit time.
    values : Estimate
        Shape (C, L), unit [x]^2; statistical errors of the average over pairs, with all correlations.
    connected : bool
    """

    distances: Floats
    displacements: Floats
    pairs: NDArray[np.int64]
    times: Floats
    values: Estimate
    connected: bool


@short_repr
@dataclass(frozen=True, kw_only=True, eq=False)
class MomentumCorrelator:
    """A two-point function by spatial momentum and lag in time.

    Attributes
    ----------
    momenta : ndarray
        A momentum of each class, shape (Q, d - 1), by ascending frequency of the free field.
    members : ndarray
        Number of momenta that are averaged, shape (Q,).
    times : ndarray
        Lags, shape (L,), unit time.
    values : Estimate
        Shape (Q, L), unit [x]^2 times the unit of volume; statistical errors, with all correlations.
    connected : bool
    """

    momenta: Floats
    members: NDArray[np.int64]
    times: Floats
    values: Estimate
    connected: bool


@dataclass(frozen=True, eq=False)
class SiteFunction:
    """A function of the field at every point of space, among the channels of a run.

    ``number`` is None for the field itself, and otherwise the number of the output at each point; ``channels`` are
    positions among the channels of the run, shape (S,).
    """

    field: Field
    network: Network | None
    number: int | None
    channels: NDArray[np.int64]

    @property
    def moved_network(self) -> tuple[Network | None, int]:
        """The network whose symmetry the function has, and its output; no network for the field itself."""
        return (None, 0) if self.number is None else (self.network, self.number)


def field_of(run: Correlators) -> tuple[Field, Network | None]:
    """The field of a run, and its network."""
    if not isinstance(run, Correlators):
        raise InputTypeError(f"run must be a run of simulate; got {run!r}")
    theory = run.theory
    sources = () if theory is None else theory.sources
    if theory is None or len(sources) != 1 or not isinstance(sources[0], Field):
        got = "paths without a theory" if theory is None else f"sources {sources}"
        raise InputError(f"run must be of a theory with one field as its source; got {got}")
    if theory.network is not None and not isinstance(theory.network, Network):
        raise InputError(
            f"correlators by distance need fixed weights, the same function at every point; got {theory.network!r}",
            "use pointwise or convolution on a network with fixed weights",
        )
    return sources[0], theory.network


def site_function(run: Correlators, function: int | str) -> SiteFunction:
    """A function of the field at all points: "phi", or the number of the output at each point."""
    field, network = field_of(run)
    assert run.theory is not None
    points = np.arange(field.n_inputs)
    if function == "phi" or network is None:
        if network is None and function not in ("phi", 0):
            raise InputError(f"function must be 'phi' for a field without a network; got {function!r}")
        names = [run.theory.channels[s] for s in points]
        found = SiteFunction(field, network, None, _positions(run, names))
    else:
        if isinstance(function, str):
            raise InputError(f"function must be 'phi', or the number of an output at each point; got {function!r}")
        if network.n_outputs % field.n_inputs:
            raise InputError(
                f"the network must have the same number of outputs at each of {field.n_inputs} points; got "
                f"{network.n_outputs} outputs",
                "use pointwise or convolution; dispersion reads networks of momentum_projection",
            )
        per_point = network.n_outputs // field.n_inputs
        number = integer("function", function, 0, per_point - 1)
        names = [run.theory.outputs[s * per_point + number] for s in points]
        found = SiteFunction(field, network, number, _positions(run, names))
    return found


def _positions(run: Correlators, names: list[str]) -> NDArray[np.int64]:
    missing = [name for name in names if name not in run.channels]
    if missing:
        raise InputError(
            f"this run must hold the channels of all points; it has no {missing[0]}; simulate with the default channels"
        )
    return np.array([run.channels.index(name) for name in names])


def correlator_by_distance(run: Correlators, function: int | str = 0, *, connected: bool = True) -> DistanceCorrelator:
    r"""Two-point function of a function of the field by distance in space, at all lags of a run.

    In a box, averaged over translations, over r and -r, and over those reflections and exchanges of axes under which
    the network is covariant (which is tested). For other fields, averaged over all pairs of points at equal distance;
    the network must then be the same function at every point (``pointwise``).

    Connected functions subtract the product of the means; where momenta or weights are drawn for each group of paths,
    the product of distinct paths of one draw, which is unbiased.

    Parameters
    ----------
    run : Correlators
        A run of a theory with one field as its source, with the channels of all points and with lags.
    function : int or str, default 0
        Number of the output at each point, or "phi" for the field itself.
    connected : bool, default True
        Whether the product of the means is subtracted.

    Returns
    -------
    DistanceCorrelator
        The errors are statistical.

    Raises
    ------
    InputError, InputTypeError
        If the run is of no field, lacks lags or channels, the function is not the same at all points, or a connected
        function needs groups of two or more paths.

    Examples
    --------
    >>> import nnqm
    >>> box = nnqm.fields.PeriodicBox(mass=1.0, sites=6)
    >>> measure = nnqm.Measure(lags=range(4), observable_lags=())
    >>> run = nnqm.simulate(nnqm.Theory(box), 1000, 16, 0.2, rng=1, measure=measure)
    >>> correlator_by_distance(run).values.shape
    (4, 4)
    """
    of_sites = site_function(run, function)
    classes = pair_classes(of_sites.field, *of_sites.moved_network)
    return DistanceCorrelator(
        distances=classes.distances,
        displacements=classes.displacements,
        pairs=classes.pairs,
        times=_lag_times(run),
        values=_average(run, of_sites.channels, classes, connected),
        connected=connected,
    )


def _lag_times(run: Correlators) -> Floats:
    return np.zeros(1) if run.n_times == 1 else np.asarray(run.lags, dtype=np.float64) * run.dt


def _average(run: Correlators, channels: NDArray[np.int64], classes: PairClasses, connected: bool) -> Estimate:
    """Two-point functions averaged over the pairs of each class, shape (C, L)."""
    run.need("lags", "simulate with measure=Measure(lags=(0, 1, 2, ...))")
    if connected and run.theory is not None and run.theory.sectors and run.group == 1:
        raise InputError(
            "connected functions need two or more paths for each draw of the parameters, and this theory has group=1",
            "use group=8",
        )
    size = run.observables.scale[channels]
    # By symmetry the means at all points are equal; what is left of the shifts is small.
    centre = float(run.observables.shift[channels].mean())
    offset = run.observables.shift[channels] - centre
    order = np.argsort(classes.labels.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(classes.pairs)[:-1]])
    rows = 1 + channels

    def reduced(sums: Floats) -> Floats:
        """Sums (..., F, F) over pairs of windows as class averages, the mean over points and the count, (..., C + 2).

        Products are of offset + size z, so that all points have the same origin.
        """
        count, before, after = sums[..., 0, 0], sums[..., rows, 0] * size, sums[..., 0, rows] * size
        products = sums[..., rows[:, None], rows] * size[:, None] * size
        products += offset[:, None] * after[..., None, :] + before[..., :, None] * offset
        products += offset[:, None] * offset * count[..., None, None]
        flat = products.reshape(*products.shape[:-2], -1)[..., order]
        averages = np.add.reduceat(flat, starts, axis=-1) / classes.pairs
        mean = ((before + after) / 2).mean(axis=-1) + offset.mean() * count
        return np.concatenate([averages, mean[..., None], count[..., None]], axis=-1)

    # Block by block, so that memory holds no second copy of all sums.
    parts = [0, 2] if run.group > 1 else [0]
    small = {"pairs": np.stack([reduced(block[:, parts]) for block in run.sums["lags"]])}

    def evaluate(s: Mapping[str, Floats]) -> Floats:
        values = s["pairs"] / s["pairs"][..., -1:]
        square, mean = values[..., 0, :-2], values[..., 0, -2:-1]
        if not connected:
            found = square + 2 * centre * mean + centre**2
        else:
            found = square - (values[..., 1, :-2] if run.group > 1 else mean**2)
        return np.asarray(np.swapaxes(found, -1, -2))

    estimate: Estimate = jackknife(evaluate, small, run.block_paths)
    return estimate


def correlator_by_momentum(
    run: Correlators, function: int | str = 0, *, connected: bool = True, projected: ArrayLike | None = None
) -> MomentumCorrelator:
    r"""Two-point function of a function of the field in a box by spatial momentum, at all lags of a run.

    .. math:: G(t, q) = a^{d-1} \sum_r e^{-iq\cdot r} \langle x(t, r)\, x(0, 0) \rangle

    averaged over q, -q and equivalent axes; for the free field it is :math:`e^{-\omega_q t}/2\omega_q`.

    Parameters
    ----------
    run, function, connected
        As for ``correlator_by_distance``; the field must be a ``PeriodicBox``.
    projected : array_like, optional
        The momenta, if the network was made by ``momentum_projection``, as they were given there; the average is then
        over cosines and sines.

    Returns
    -------
    MomentumCorrelator
        The errors are statistical.

    Raises
    ------
    InputError, InputTypeError
        If the field is no box, and as for ``correlator_by_distance``.

    Examples
    --------
    >>> import nnqm
    >>> box = nnqm.fields.PeriodicBox(mass=1.0, sites=6)
    >>> measure = nnqm.Measure(lags=range(4), observable_lags=())
    >>> run = nnqm.simulate(nnqm.Theory(box), 1000, 16, 0.2, rng=1, measure=measure)
    >>> correlator_by_momentum(run).members
    array([1, 2, 2, 1])
    """
    box, _ = box_of(run)
    if projected is not None:
        return _of_projected(run, function, connected, projected)
    of_sites = site_function(run, function)
    space = correlator_by_distance(run, function, connected=connected)
    labels = momentum_classes(box, point_group(box, *of_sites.moved_network))
    members = np.bincount(labels)
    momenta = momenta_of_classes(box, labels, np.arange(len(members)))
    # The average of cos(q r) over a class of displacements: over a class of momenta it is the same.
    classes = pair_classes(box, *of_sites.moved_network)
    phases = np.cos((box.positions - box.positions[0]) @ momenta.T)
    transform = np.zeros((len(members), len(space.distances)))
    np.add.at(transform.T, classes.labels[0], phases * box.spacing ** len(box.sites))
    values = space.values.map_replicas(lambda g: np.einsum("qc,rcl->rql", transform, g))
    return MomentumCorrelator(momenta=momenta, members=members, times=space.times, values=values, connected=connected)


def box_of(run: Correlators) -> tuple[PeriodicBox, Network | None]:
    """The box of a run, and its network."""
    box, network = field_of(run)
    if not isinstance(box, PeriodicBox):
        raise InputError(f"momenta need a PeriodicBox, where they are discrete; got {box!r}")
    return box, network


def projected_outputs(
    run: Correlators, box: PeriodicBox, network: Network | None, projected: ArrayLike
) -> tuple[NDArray[np.int64], list[list[str]]]:
    """Modes of a network of ``momentum_projection``, and the names of the outputs of each function on these modes."""
    modes = momentum_modes(box, projected)
    if network is None or network.n_outputs % len(modes):
        raise InputError(
            f"projected must be the momenta of a network of momentum_projection; they have {len(modes)} modes, and "
            f"the theory has {0 if network is None else network.n_outputs} outputs"
        )
    assert run.theory is not None
    names, n = run.theory.outputs, len(modes)
    return modes, [list(names[j : j + n]) for j in range(0, len(names), n)]


def _of_projected(run: Correlators, function: int | str, connected: bool, projected: ArrayLike) -> MomentumCorrelator:
    box, network = box_of(run)
    modes, names = projected_outputs(run, box, network, projected)
    number = integer("function", function, 0, len(names) - 1)
    # Equivalent axes are a symmetry of the function that was projected, which is not known here.
    labels = momentum_classes(box, [])
    wanted = np.unique(labels[modes])
    values = []
    for label in wanted:
        channels = [names[number][m] for m in np.flatnonzero(labels[modes] == label)]
        found = [run.connected(name) if connected else run.two_point(name) for name in channels]
        values.append(found[0].map_replicas(lambda *g: np.mean(g, axis=0), *found[1:]))
    return MomentumCorrelator(
        momenta=momenta_of_classes(box, labels, wanted),
        members=np.array([int((labels[modes] == label).sum()) for label in wanted]),
        times=_lag_times(run),
        values=values[0].map_replicas(lambda *g: np.stack(g, axis=1), *values[1:]),
        connected=connected,
    )
