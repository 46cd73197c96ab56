"""Energies by spatial momentum from runs of fields in a box, each with a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, integer
from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..sampling.correlators import Correlators
from ..sampling.observables import Observables
from ..spectra.correlator_matrix import spectrum
from ..spectra.levels import Spectrum, SpectrumError
from ..statistics.estimate import Estimate
from ..statistics.matrices import product
from ..theories.networks import Network
from ..verdict import Verdict
from .correlators import box_of, projected_outputs
from .energies import mode_of, thresholds
from .networks import momentum_modes
from .periodic_box import PeriodicBox
from .symmetry import is_even, momenta_of_classes, momentum_classes, point_group

__all__ = ["Dispersion", "dispersion", "momentum_run"]

# Variance of a projected function, relative to the one at a site, below which it is rounding of sums that cancel.
_CANCELLED = {"float32": 1e-8, "float64": 1e-14}


@short_repr
@dataclass(frozen=True, kw_only=True, eq=False)
class Dispersion(Drawn, picture="dispersion"):
    """Energies by momentum; ``print`` shows a table.

    Attributes
    ----------
    box : PeriodicBox
    momenta : ndarray
        A momentum of each class, shape (Q, d - 1), by ascending frequency of the free field.
    members : ndarray
        Number of momenta that were averaged, shape (Q,).
    spectra : tuple of Spectrum
        Levels at each momentum, each with a verdict, as ``spectrum`` gives them.
    upper_bounds : bool
        Whether there may be lower levels that none of the functions shows. False if the field itself is among the
        functions: the state of one particle is the lowest at every momentum.
    """

    box: PeriodicBox
    momenta: Floats
    members: NDArray[np.int64]
    spectra: tuple[Spectrum, ...]
    upper_bounds: bool

    @property
    def energies(self) -> tuple[Estimate | None, ...]:
        """Lowest level at each momentum, length Q; None where it is not resolved. Statistical errors."""
        return tuple(found.gaps[0] if found.gaps else None for found in self.spectra)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Verdict on the lowest level at each momentum, length Q."""
        return tuple(found.levels[0].verdict if found.levels else Verdict.NOISE for found in self.spectra)

    def thresholds(self, n_particles: int) -> Floats:
        """Lowest energy of n free particles at each momentum; see ``thresholds``.

        Parameters
        ----------
        n_particles : int
            n, at least 1; the dispersion of the free field for 1.

        Returns
        -------
        ndarray
            Shape (Q,), unit of the mass.
        """
        return thresholds(self.box, n_particles, self.momenta)

    def __str__(self) -> str:
        lines = ["momentum            members  lowest level    verdict       omega(q)  two particles"]
        rows = zip(
            self.momenta,
            self.members,
            self.energies,
            self.verdicts,
            self.thresholds(1),
            self.thresholds(2),
            strict=True,
        )
        for q, count, energy, verdict, one, two in rows:
            name = ", ".join(f"{k:.4f}" for k in q)
            value = "" if energy is None else str(energy)
            lines.append(f"{name:<20}{count:>7}  {value:<14}  {verdict:<12}  {one:8.5f}  {two:8.5f}")
        if self.upper_bounds:
            lines.append("levels are upper bounds: states that the functions do not show are skipped")
        return "\n".join(lines)


def dispersion(
    run: Correlators,
    *,
    functions: Sequence[str] | None = None,
    momenta: ArrayLike | None = None,
    projected: ArrayLike | None = None,
    n_levels: int = 1,
) -> Dispersion:
    r"""Energies at each spatial momentum from functions of the field that are projected on it, each with a verdict.

    All functions projected on one momentum make a correlator matrix, to which ``spectrum`` is applied with all its
    tests. Sums over q and -q, cosines and sines, and equivalent axes are added up first. The lowest level at q is
    the frequency :math:`\omega_q` of one particle, if one of the functions has a part linear in the field, and the
    threshold of two particles for even functions. Each level is an upper bound, sharper with more functions.

    Where a reflection does not move a function along (kernels that are not even in r), the cosine and the sine are not
    added up but are two functions each, and every level is a pair of states, of q and of -q.

    Parameters
    ----------
    run : Correlators
        A run of a theory with a ``PeriodicBox`` as its source, with observable lags. Functions at the sites are the
        field, its polynomials among the observables, and the outputs of a network made by ``pointwise`` or
        ``convolution``.
    functions : sequence of str, optional
        Which of them are used: "phi", "h2(phi)", "h3(phi)", ... and "x1", "x2", ... for the outputs at each site;
        by default all. A level is judged by the change when the last ones are left out: give at least three.
    momenta : array_like, optional
        Momenta of the box, shape (Q, d - 1), or (Q,) in two dimensions; all by default.
    projected : array_like, optional
        The momenta, if the network was made by ``momentum_projection``, as they were given there.
    n_levels : int, default 1
        Levels asked for at each momentum.

    Returns
    -------
    Dispersion
        The errors are statistical.

    Raises
    ------
    InputError, InputTypeError
        If the run is of no box or lacks observable lags, a function is not covariant under translations or not known,
        or a momentum is not one of the box.

    Notes
    -----
    Luescher and Wolff, Nucl. Phys. B 339, 222 (1990).

    Examples
    --------
    >>> import nnqm
    >>> box = nnqm.fields.PeriodicBox(mass=1.0, sites=4)
    >>> run = nnqm.simulate(nnqm.Theory(box), 4000, 32, 0.2, rng=1)
    >>> found = dispersion(run, momenta=[0.0])
    >>> found.verdicts[0] is nnqm.Verdict.RESOLVED, bool(abs(found.energies[0].pull(1.0)) < 4)
    (True, True)
    """
    integer("n_levels", n_levels, 1, 1000)
    box, copies = _copies(run, functions, projected)
    labels = copies.labels
    wanted = np.unique(labels[copies.modes])
    if momenta is not None:
        asked = labels[momentum_modes(box, momenta)]
        missing = np.setdiff1d(asked, wanted)
        if missing.size:
            raise InputError(
                f"momenta must be among the projected ones; got one of the class of "
                f"{box.momenta[labels == missing[0]][0].tolist()}"
            )
        wanted = np.unique(asked)
    spectra, members = [], []
    for label in wanted:
        columns = copies.modes[labels[copies.modes] == label]
        try:
            found = spectrum(copies.run(run, columns), n_levels)
        except SpectrumError as error:  # what could be computed has no resolved level
            if error.partial is None:
                raise
            found = error.partial
        spectra.append(found)
        members.append(len(columns))
    return Dispersion(
        box=box,
        momenta=momenta_of_classes(box, labels, wanted),
        members=np.array(members),
        spectra=tuple(spectra),
        upper_bounds="phi" not in copies.names,
    )


def momentum_run(
    run: Correlators,
    momentum: ArrayLike,
    *,
    functions: Sequence[str] | None = None,
    projected: ArrayLike | None = None,
) -> Correlators:
    """The run of functions of the field in a box projected on one momentum, for ``spectrum`` and ``gevp``.

    Sums over the cosine and the sine, q and -q and equivalent axes are added up, as if they were further paths of
    the same blocks. Where a reflection does not move the functions along, the cosine and the sine are channels of their
    own.

    Parameters
    ----------
    run : Correlators
        As for ``dispersion``.
    momentum : array_like
        q, shape (d - 1,), or a number in two dimensions.
    functions, projected
        As for ``dispersion``.

    Returns
    -------
    Correlators
        Its channels are the functions; without a theory, with observable lags only.

    Raises
    ------
    InputError, InputTypeError
        As for ``dispersion``.
    """
    box, copies = _copies(run, functions, projected)
    labels = copies.labels
    label = labels[mode_of(box, momentum)]
    columns = copies.modes[labels[copies.modes] == label]
    if not columns.size:
        raise InputError(f"momentum must be among the projected ones; got {momentum!r}")
    return copies.run(run, columns)


@dataclass(frozen=True, eq=False)
class _Copies:
    """Functions projected on modes as linear functions of the observables: ``rows`` has shape (K, modes, F).

    Where a reflection moves the functions along, the modes of equivalent momenta are copies of each other. Otherwise a
    function on the cosine and on the sine are two functions, because states of q are complex combinations of functions.
    """

    box: PeriodicBox
    names: tuple[str, ...]
    modes: NDArray[np.int64]
    rows: Floats
    group: list[NDArray[np.int64]]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each mode of the box, shape (S,)."""
        return momentum_classes(self.box, self.group if is_even(self.box, self.group) else [])

    def run(self, run: Correlators, columns: NDArray[np.int64]) -> Correlators:
        """The run of the functions, with the sums over copies added up."""
        at = [int(np.flatnonzero(self.modes == column)[0]) for column in columns]
        names, copies = list(self.names), [self.rows[:, m] for m in at]
        if len(at) > 1 and not is_even(self.box, self.group):
            names = [f"{name} on {mode}" for name in names for mode in ("one mode", "the other")]
            copies = [self.rows[:, at].reshape(len(names), -1)]
        sums = run.sums["observable_lags"]
        total = np.zeros((*sums.shape[:3], 1 + len(names), 1 + len(names)))
        unit = np.zeros(len(names))
        for rows in copies:
            transform = np.zeros((1 + len(rows), sums.shape[-1]))
            transform[0, 0], transform[1:] = 1.0, rows
            total += product(product(transform, sums), np.ascontiguousarray(transform.T))
            unit += (rows[:, 1:] ** 2).sum(axis=1) / len(copies)
        square = total[:, 0, 1].sum(axis=0) / (2 * total[:, 0, 0, 0, 0].sum())
        # Functions that cancel between the sites leave rounding.
        kept = np.flatnonzero(np.diag(square)[1:] - square[0, 1:] ** 2 > _CANCELLED[run.precision] * unit)
        if not kept.size:
            raise InputError(
                f"functions must have one that does not vanish at momentum {self.box.momenta[columns[0]].tolist()}; "
                f"got {', '.join(names)}"
            )
        n, nothing = len(kept), np.empty(0)
        places = np.concatenate([[0], 1 + kept])
        observables = Observables(
            tuple(names[k] for k in kept),
            tuple(range(n)),
            np.zeros(n),
            np.ones(n),
            (1,) * n,
            np.empty((0, n)),
            nothing,
            nothing,
        )
        held = {name: run.sums[name] for name in ("paths", "first_bad")}
        return replace(
            run,
            theory=None,
            observables=observables,
            lags=(),
            increment_lags=(),
            two_time=None,
            sums={"observable_lags": total[..., places[:, None], places], **held},
        )


def _copies(
    run: Correlators, functions: Sequence[str] | None, projected: ArrayLike | None
) -> tuple[PeriodicBox, _Copies]:
    field, network = box_of(run)
    run.need("observable_lags", "simulate with measure=Measure(observable_lags=(1, 2, 3))")
    if projected is None:
        return field, _of_sites(run, field, network, functions)
    modes, names = projected_outputs(run, field, network, projected)
    tables, n = {f"x{j + 1}": outputs for j, outputs in enumerate(names)}, len(modes)
    chosen = _chosen(tables, functions)
    # Constants are taken off by connected functions, so that shifts do not matter.
    rows = np.zeros((len(chosen), n, run.observables.size))
    for k, name in enumerate(chosen):
        for m, channel in enumerate(tables[name]):
            place = run.observables.index(channel)
            rows[k, m, 1 + place] = run.observables.scale[place]
    return field, _Copies(field, tuple(chosen), modes, rows, [])


def _of_sites(run: Correlators, box: PeriodicBox, network: Network | None, functions: Sequence[str] | None) -> _Copies:
    """All functions at the sites on all modes."""
    assert run.theory is not None
    n, o = box.n_inputs, run.observables
    tables = {"phi": list(run.theory.channels[:n])}
    per_site = 0 if network is None else network.n_outputs // n
    if network is not None and not network.n_outputs % n:
        tables |= {f"x{j + 1}": list(run.theory.outputs[j::per_site]) for j in range(per_site)}
    highest = min(o.orders[o.index(name)] for name in tables["phi"]) if set(tables["phi"]) <= set(o.channels) else 1
    tables |= {f"h{k}(phi)": [f"h{k}({name})" for name in tables["phi"]] for k in range(2, highest + 1)}
    places = {name: i for i, name in enumerate(o.labels)}
    tables = {name: labels for name, labels in tables.items() if set(labels) <= set(places)}
    chosen = _chosen(tables, functions)
    group = point_group(box, None, 0)
    rows = np.zeros((len(chosen), n, o.size))
    for k, name in enumerate(chosen):
        columns = np.array([places[label] for label in tables[name]])
        size, offset = np.ones(n), np.zeros(n)
        if name.startswith("x"):
            kept = {image.tobytes() for image in point_group(box, network, int(name[1:]) - 1)}
            group = [image for image in group if image.tobytes() in kept]
            # Each output has a standardisation of its own.
            size, shift = o.scale[columns - 1], o.shift[columns - 1]
            offset = shift - shift.mean()
        rows[k][:, columns] = box.modes.T * size
        rows[k][:, 0] = (box.modes.T * offset).sum(axis=1)
    return _Copies(box, tuple(chosen), np.arange(n), rows, group)


def _chosen(tables: dict[str, list[str]], functions: Sequence[str] | None) -> list[str]:
    if functions is None:
        return list(tables)
    if not len(functions):
        raise InputError("functions must have at least one entry; got none")
    for name in functions:
        if name not in tables:
            raise InputError(f"functions has no {name!r}; this run has {', '.join(tables)}")
    return list(functions)
