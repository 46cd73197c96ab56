"""Pictures of positions: paths, their density, wave functions in a potential, Karhunen-Loeve modes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, Rng, choice, integer
from ..errors import InputError, InputTypeError
from ..quantum.hamiltonian import Hamiltonian
from ..sampling.arrays import is_array
from ..sampling.correlators import Correlators
from ..sampling.path_source import PathReader, Paths, reader_of
from ..theories.ground_state import ThermalProcess
from ..theories.mode_sums import KarhunenLoeve
from ..theories.network import Network
from ..theories.source import Source
from ..theories.theory import Theory
from .style import (
    COLOURS,
    EXACT,
    FAINT,
    FILLED,
    LINES,
    MARKER,
    MARKERS,
    MEASURED,
    SMALL,
    apart,
    axes_of,
    ink,
    legend,
    legend_on_top,
    need,
    nothing,
    plain,
    reasons,
    series,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["density", "ground_state", "modes", "paths"]

# Times of a path that are drawn; natural steps of the paths of a theory.
_MOST_TIMES, _STEPS = 400, 200
# Points of a curve.
_FINE = 400
# Density at the ends of a picture, relative to the largest one.
_EDGE = 1e-4
# Samples per distinct value from which on values lie on a lattice.
_LATTICE = 20
# Boltzmann factor of the last state of a thermal density, and largest number of its states.
_COLD, _MOST_STATES = 1e-7, 60
# Half the width of a grid of an input, in standard deviations, and its number of points.
_WIDE, _MANY = 9.0, 100_001
# Height of a wave function, in distances of levels, and the least height, as a part of the energies shown.
_HEIGHT, _LEAST_HEIGHT = 0.75, 0.12


def paths(
    paths: Theory | Paths | Correlators | ArrayLike,
    ax: Axes | None = None,
    *,
    n_paths: int = 3,
    channel: int | str = 0,
    dt: float = 1.0,
    rng: Rng = 0,
) -> Axes:
    """Draw a few sample paths x(t).

    Parameters
    ----------
    paths : Theory, Paths, Correlators or array_like
        Paths of a theory, on 200 natural steps, on one period, or on the interval of its sources; given ``Paths``; the
        first paths of a run of a theory; or an array, shape (n_paths, n_times[, channels]).
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    n_paths : int, default 3
        Number of paths, the first ones.
    channel : int or str, default 0
        Position or name of the channel; the position in an array.
    dt : float, default 1
        Time step of an array.
    rng : int, SeedSequence, Generator or None, default 0
        Randomness of the paths of a theory.

    Returns
    -------
    matplotlib Axes
        At most 400 times, the first ones.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> len(nnqm.plot.paths(nnqm.builtin_theory("double-well"), n_paths=2).lines)
    2
    """
    count = integer("n_paths", n_paths, 1, 100)
    given: Any = Paths(paths, count, times=_grid(paths), rng=rng) if isinstance(paths, Theory) else paths
    if isinstance(given, Correlators):
        name = given.channels[given.observables.index(channel)]
        given, channel = _paths_of_run(given, count), name
        if given is None:
            return nothing(axes_of(ax), "a run of given paths holds sums over them, not the paths")
    reader = _reader(given, channel, dt)
    ax, shown = axes_of(ax), slice(0, _MOST_TIMES)
    times = given.times if isinstance(given, Paths) else reader.start + reader.step * np.arange(reader.n_times)
    for i, path in enumerate(reader.native(0, min(count, reader.n_units))):
        style: dict[str, Any] = {"ls": "-" if count <= len(COLOURS) else LINES[i // len(COLOURS) % len(LINES)]}
        ax.plot(times[shown], path[shown], color=COLOURS[i % len(COLOURS)], lw=1.0, **style)
    if len(times) > 1:
        ax.set_xlim(times[0], times[shown][-1])
    ax.set_xlabel(r"$t$  [time]")
    ax.set_ylabel(f"{plain(_name(given, channel))}(t)  [x]")
    return ax


def _name(given: Any, channel: int | str) -> str:
    return given.theory.channel_name(channel) if isinstance(given, Paths) else "x"


def _grid(theory: Theory) -> Floats:
    """One period, the interval of the sources, or natural steps."""
    step = min(source.natural_step for source in theory.sources)
    if theory.period is not None:
        count = max(64, math.ceil(theory.period / step))
        return np.asarray(theory.period / count * np.arange(count))
    ends = [source.interval for source in theory.sources if source.interval is not None]
    if ends:
        return np.linspace(*ends[0], _STEPS + 1)
    return np.asarray(theory.first_time(step * _STEPS) + step * np.arange(_STEPS + 1))


def _reader(given: Any, channel: int | str, dt: float) -> PathReader:
    if not isinstance(given, Paths) and not is_array(given) and not isinstance(given, (list, tuple)):
        raise InputTypeError(
            f"paths must be a Theory, Paths, a run or an array of paths; got {type(given).__name__}; use "
            "nnqm.Paths(theory, n_paths, n_times, dt)"
        )
    return reader_of(given, channel, dt)


def _paths_of_run(run: Correlators, count: int) -> Paths | None:
    """The first paths of a run of a theory, drawn again."""
    if run.theory is None or not run.keys:
        return None
    return Paths(run.theory, count, times=run.times, key=run.keys[0], precision=run.precision)


class _Histogram(NamedTuple):
    edges: Floats  # (B + 1,)
    density: Floats  # (B,)
    errors: Floats  # (B,)


def density(
    paths: Paths | Correlators | ArrayLike,
    ax: Axes | None = None,
    *,
    channel: int | str = 0,
    exact: Hamiltonian | bool = True,
    bins: int = 50,
    n_paths: int = 2000,
) -> Axes:
    r"""Draw the histogram of paths against the density of the ground state, :math:`|\psi_0(x)|^2`.

    Errors are the spread between independent paths, or between groups of paths that share random parameters. Paths of
    a ground-state process lie on a lattice of positions; then each bin has the same number of its points.

    Parameters
    ----------
    paths : Paths, Correlators or array_like
        Paths of a stationary theory; a run of a theory, whose first paths are drawn again; or an array of independent
        paths, shape (n_paths, n_times[, channels]).
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    channel : int or str, default 0
        Position or name of the channel; the position in an array.
    exact : Hamiltonian or bool, default True
        A Hamiltonian for its ground state; True for the density of the theory where it is known (a ground-state
        process, a thermal process, a Gaussian process, or one of them through a network with fixed weights); False for
        none.
    bins : int, default 50
        Number of bins, about.
    n_paths : int, default 2000
        Number of paths, the first ones.

    Returns
    -------
    matplotlib Axes
        Density in units of 1/x.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> paths = nnqm.Paths(nnqm.builtin_theory("double-well"), 500, 64, 0.2, rng=1)
    >>> nnqm.plot.density(paths).get_xlabel()
    'x  [x]'
    """
    count, wanted = integer("n_paths", n_paths, 2), integer("bins", bins, 2, 1000)
    if not isinstance(exact, (bool, Hamiltonian)):
        raise InputTypeError(f"exact must be a Hamiltonian, True or False; got {type(exact).__name__}")
    given: Any = paths
    if isinstance(given, Correlators):
        name = given.channels[given.observables.index(channel)]
        given, channel = _paths_of_run(given, min(count, given.n_paths)), name
        if given is None:
            return nothing(axes_of(ax), "a run of given paths holds sums over them, not the paths")
    reader, ax = _reader(given, channel, 1.0).first(count), axes_of(ax)
    if isinstance(given, Paths) and not given.theory.stationary:
        return nothing(ax, "the theory is not stationary: its density changes with the time")
    name = _name(given, channel)
    with reasons(ax):
        found = _histogram(reader, wanted)
        ax.stairs(found.density, found.edges, fill=True, color=MEASURED, alpha=FILLED)
        middle = (found.edges[1:] + found.edges[:-1]) / 2
        ax.errorbar(
            middle, found.density, yerr=found.errors, fmt="o", ms=MARKER - 1.5, lw=1, color=MEASURED, label="paths"
        )
        _exact_density(ax, given, name, exact, found.edges)
        ax.set_ylim(bottom=0)
        ax.set_xlabel(f"{plain(name)}  [x]")
        ax.set_ylabel("density  [1/x]")
        legend_on_top(ax)
    return ax


def _histogram(reader: PathReader, bins: int) -> _Histogram:
    """Density of the values, with errors from the spread between groups of paths that share parameters."""
    n_units = reader.n_units // reader.group
    if n_units < 2:
        raise InputError(f"errors need two independent paths; got {n_units}")
    x = reader.read(0, n_units * reader.group)
    edges = _edges(x, bins)
    place = np.searchsorted(edges, x, side="right").reshape(n_units, -1) - 1
    place = np.clip(place, 0, len(edges) - 2)
    flat = place + (len(edges) - 1) * np.arange(n_units)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n_units * (len(edges) - 1)).reshape(n_units, -1)
    shares = counts / place.shape[1] / np.diff(edges)
    return _Histogram(edges, shares.mean(axis=0), shares.std(axis=0, ddof=1) / np.sqrt(n_units))


def _edges(x: Floats, bins: int) -> Floats:
    """Edges of bins of equal width, or between points of a lattice, of which each bin has the same number."""
    values = np.unique(x)
    if len(values) < 2:
        raise InputError("all values are equal, so that there is no density")
    if len(values) * _LATTICE > x.size:
        return np.linspace(values[0], values[-1], bins + 1)
    each = max(1, round(len(values) / bins))
    inner = (values[1:] + values[:-1]) / 2
    ends = values[[0, -1]] + (values[[0, -1]] - values[[1, -2]]) / 2
    chosen = inner[each - 1 :: each]
    if len(values) % each == 0:
        return np.concatenate([ends[:1], chosen, ends[1:]])
    # The last points are too few for a bin of their own.
    return np.concatenate([ends[:1], chosen[:-1] if len(chosen) > 1 else chosen, ends[1:]])


def _exact_density(ax: Axes, given: Any, name: str, exact: Hamiltonian | bool, edges: Floats) -> None:
    margin = 0.05 * (edges[-1] - edges[0])
    x = np.linspace(edges[0] - margin, edges[-1] + margin, _FINE)
    if isinstance(exact, Hamiltonian):
        ax.plot(x, exact.density(0, x), color=EXACT, lw=1.7, label=r"$|\psi_0(x)|^2$")
    elif exact and isinstance(given, Paths):
        theory = given.theory
        source, place = _source_of(theory, name)
        if source is not None:
            found, label = _density_of_source(source, place, x)
            if found is not None:
                ax.plot(x, found, color=EXACT, lw=1.7, label=label)
        elif isinstance(theory.network, Network) and theory.n_inputs == 1:
            shares = _through(theory.network, theory.outputs.index(name), theory.sources[0], edges)
            if shares is not None:
                ax.stairs(shares, edges, color=EXACT, lw=1.5, label=r"$|\psi_0(y)|^2$ through the network")


def _source_of(theory: Theory, name: str) -> tuple[Source | None, int]:
    """The source of a channel and the place among its inputs; None for the output of a network."""
    if theory.network is not None and name in theory.outputs:
        return None, 0
    place = (theory.outputs if theory.network is None else theory.channels[: theory.n_inputs]).index(name)
    for source in theory.sources:
        if place < source.n_inputs:
            return source, place
        place -= source.n_inputs
    return None, 0


def _density_of_source(source: Source, place: int, x: Floats) -> tuple[Floats | None, str]:
    """The density of one input where it is known, and its name."""
    if source.ground_state_of is not None:
        return source.ground_state_of.density(0, x), r"$|\psi_0(x)|^2$"
    if isinstance(source, ThermalProcess):
        return _thermal_density(source.hamiltonian, source.beta, x), r"$\sum_n e^{-\beta E_n/\hbar}\,|\psi_n(x)|^2/Z$"
    if source.gaussian:
        variance = float(source.variance[place])
        label = r"thermal, normal" if source.period is not None else r"$|\psi_0(x)|^2$, normal"
        return np.exp(-((x - source.mean[place]) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance), label
    return None, ""


def _through(network: Network, output: int, source: Source, edges: Floats) -> Floats | None:
    """Mean density of f(y) in each bin, from the density of y on a fine grid."""
    spread = _WIDE * math.sqrt(float(source.variance[0]))
    y = source.mean[0] + np.linspace(-spread, spread, _MANY)
    law, _ = _density_of_source(source, 0, y)
    if law is None:
        return None
    weights = law * (y[1] - y[0])
    shares, _ = np.histogram(network(y[:, None])[:, output], edges, weights=weights)
    return np.asarray(shares / np.diff(edges))


def _thermal_density(hamiltonian: Hamiltonian, beta: float, x: Floats) -> Floats:
    n = 1
    while n < _MOST_STATES and hamiltonian.gaps(n)[-1] * beta < -math.log(_COLD) * hamiltonian.hbar:
        n = min(2 * n, _MOST_STATES)
    energies = hamiltonian.energies(n + 1)
    weights = np.exp(-(energies - energies[0]) * beta / hamiltonian.hbar)
    total = sum(w * hamiltonian.density(k, x) for k, w in enumerate(weights / weights.sum()))
    return np.asarray(total)


def ground_state(hamiltonian: Hamiltonian, ax: Axes | None = None, *, n_levels: int = 4) -> Axes:
    r"""Draw the potential, the lowest levels, and the densities :math:`|\psi_n(x)|^2` on top of them.

    Densities have one scale, which is not the scale of the axis.

    Parameters
    ----------
    hamiltonian : Hamiltonian
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    n_levels : int, default 4
        Number of levels, the ground state included; fewer if fewer are bound.

    Returns
    -------
    matplotlib Axes
        Position in units of x; energy in units of hbar/time, E_n absolute.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit, or the levels are not resolved.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> nnqm.plot.ground_state(nnqm.Hamiltonian([0, 0, 0.5, 0, 1]), n_levels=3).get_xlabel()
    'x  [x]'
    """
    need("hamiltonian", hamiltonian, Hamiltonian, "nnqm.Hamiltonian makes one; a process has .hamiltonian")
    n = integer("n_levels", n_levels, 1, 50)
    n = n if hamiltonian.n_bound is None else min(n, hamiltonian.n_bound)
    energies = hamiltonian.energies(n)
    densities: list[Floats | None] = []
    x = _range_of(hamiltonian, n)
    for k in range(n):
        try:
            densities.append(hamiltonian.density(k, x))
        except InputError:  # a level that is not resolved from its neighbour has no wave function of its own
            densities.append(None)
    ax = axes_of(ax)
    potential = _potential(hamiltonian, x)
    bottom = float(np.nanmin(potential))
    span = max(float(energies[-1]) - bottom, 1e-300)
    spacing = float(np.median(np.diff(energies))) if n > 1 else span
    height = _HEIGHT * max(spacing, _LEAST_HEIGHT * span)
    largest = max((float(d.max()) for d in densities if d is not None), default=1.0)
    top = float(energies[-1]) + 1.25 * height
    ax.plot(x, np.where(potential < top + span, potential, np.nan), color=ink(ax), lw=1.6, label="V(x)", zorder=3)
    for k, (energy, found) in enumerate(zip(energies, densities, strict=True)):
        colour = COLOURS[k % len(COLOURS)]
        ax.axhline(energy, color=colour, lw=0.9, ls=LINES[k % len(LINES)], alpha=0.8, zorder=1)
        if found is not None:
            curve = energy + height / largest * found
            ax.plot(x, curve, color=colour, lw=1.3, zorder=2)
            ax.fill_between(x, energy, curve, color=colour, alpha=FILLED, lw=0, zorder=1)
    for wall in hamiltonian.domain or ():
        if x[0] <= wall <= x[-1]:
            ax.axvline(wall, color=ink(ax), lw=1.6, zorder=3)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(bottom - 0.04 * (top - bottom), top)
    _write_energies(ax, energies, top - bottom)
    ax.set_xlabel("x  [x]")
    ax.set_ylabel(r"$V(x)$, $E_n$ and $|\psi_n(x)|^2$ above it  [energy]")
    return ax


def _range_of(hamiltonian: Hamiltonian, n: int) -> Floats:
    """Positions at which one of the states is not negligible."""
    grid = np.sort(hamiltonian.grid)
    wide = np.linspace(grid[0], grid[-1], 4 * _FINE)
    total = np.zeros(wide.shape)
    for k in {0, n - 1}:
        try:
            total = np.maximum(total, hamiltonian.density(k, wide))
        except InputError:
            total = np.maximum(total, hamiltonian.density(0, wide))
    seen = wide[total > _EDGE * total.max()]
    margin = 0.06 * (seen[-1] - seen[0])
    return np.linspace(seen[0] - margin, seen[-1] + margin, 2 * _FINE)


def _potential(hamiltonian: Hamiltonian, x: Floats) -> Floats:
    """V at positions, NaN where it is unknown or infinite."""
    inside = np.ones(x.shape, dtype=bool)
    if hamiltonian.domain is not None:
        inside = (x >= hamiltonian.domain[0]) & (x <= hamiltonian.domain[1])
    values = np.full(x.shape, np.nan)
    try:
        values[inside] = hamiltonian.potential(x[inside])
    except InputError:  # outside a table
        for i in np.flatnonzero(inside):
            try:
                values[i] = float(hamiltonian.potential(x[i]))
            except InputError:
                continue
    return np.where(np.isfinite(values), values, np.nan)


def _write_energies(ax: Axes, energies: Floats, height: float) -> None:
    """Values of the levels at the right, apart from each other."""
    places = apart(energies.tolist(), 0.05 * height)
    for k, (energy, place) in enumerate(zip(energies, places, strict=True)):
        ax.annotate(
            f"$E_{{{k}}}$ = {energy:.5g}", (1.0, energy), xycoords=("axes fraction", "data"), xytext=(1.015, place),
            textcoords=("axes fraction", "data"), fontsize=SMALL, va="center", ha="left", color=ink(ax),
            annotation_clip=False,
        )  # fmt: skip


def modes(expansion: KarhunenLoeve, ax: Axes | None = None, *, n_modes: int = 4, quantity: str = "functions") -> Axes:
    r"""Draw Karhunen-Loeve modes: the neurons :math:`e_k(t)` of the network, or the eigenvalues of the kernel.

    Parameters
    ----------
    expansion : KarhunenLoeve
        Result of ``karhunen_loeve``.
    ax : matplotlib Axes, optional
        Axes to draw on; a new figure of pyplot by default.
    n_modes : int, default 4
        Number of functions, from the largest eigenvalue on. All eigenvalues are drawn.
    quantity : {"functions", "eigenvalues"}
        Eigenvalues have their errors, on logarithmic scales.

    Returns
    -------
    matplotlib Axes
        Functions in units of 1/sqrt(time), eigenvalues in units of x^2 times time.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    >>> found = nnqm.karhunen_loeve(nnqm.Kernel.ornstein_uhlenbeck(1.0), (0.0, 2.0), 10)
    >>> nnqm.plot.modes(found, n_modes=3).get_xlim() == found.interval
    True
    """
    need("expansion", expansion, KarhunenLoeve, "nnqm.karhunen_loeve makes one")
    wanted = choice("quantity", quantity, ("functions", "eigenvalues"))
    count = integer("n_modes", n_modes, 1, 100)
    ax = axes_of(ax)
    if not len(expansion):
        return nothing(ax, "no mode is resolved: all eigenvalues are noise")
    if wanted == "eigenvalues":
        return _eigenvalues(expansion, ax)
    t = np.linspace(*expansion.interval, _FINE)
    values: NDArray[Any] = expansion(t)
    for k in range(min(count, len(expansion))):
        style = series(k, ax=ax) | {"ms": MARKER - 1}
        every = (10 * k % 45, 45)
        ax.plot(t, values[:, k], markevery=every, label=rf"{k + 1}: {expansion.eigenvalues[k]:.3g}", **style)
    ax.set_xlim(*expansion.interval)
    ax.axhline(0, color=ink(ax), lw=0.8, alpha=FAINT, zorder=0)
    ax.set_xlabel(r"$t$  [time]")
    ax.set_ylabel(r"$e_k(t)$  [1/$\sqrt{\mathrm{time}}$]")
    legend_on_top(ax, r"$k$: $\lambda_k$  [$x^2\,$time]")
    return ax


def _eigenvalues(expansion: KarhunenLoeve, ax: Axes) -> Axes:
    k, found = np.arange(1, len(expansion) + 1), expansion.estimates
    errors = expansion.errors if found is None else found.total_error
    label = f"{expansion.method}, {1 - expansion.truncation_error:.3%} of the variance"
    colour = EXACT if found is None else MEASURED
    style: dict[str, Any] = {"ms": MARKER - 0.5, "lw": 1, "color": colour, "label": label}
    ax.errorbar(k, expansion.eigenvalues, yerr=errors, fmt=MARKERS[0], **style)
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="mask")
    ax.set_ylim(float(expansion.eigenvalues.min()) / 3, float(expansion.eigenvalues.max()) * 3)
    ax.set_xlabel(r"$k$  [1]")
    ax.set_ylabel(r"$\lambda_k$  [$x^2\,$time]")
    legend(ax)
    return ax
