"""Sums over paths that were made elsewhere: all at once, or piece by piece as they come."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, integer, positive
from .._signals import HeldSignals
from ..errors import InputError, InputTypeError, located
from ..statistics.autocorrelation import slowest
from ..theories.theory import Theory
from .arrays import GivenPaths, GivenSource, agreed_step, is_array, is_labelled, need_finite_paths, read_given
from .block_sums import PathSums, Sums
from .blocks import (
    LOOKED_AT,
    MANY,
    Cut,
    cut_batch,
    cut_longer,
    cut_trajectories,
    joined,
    path_series,
    piece_length,
    plan,
    scattered,
    times_along,
    times_of_paths,
)
from .correlators import Correlators
from .measure import Measure, longest_lag, measure_or_default
from .path_source import Paths
from .replicas import compared, need_independent, plan_replicas
from .run_settings import DEFAULT_BLOCKS, AccumulateSettings, need_known
from .weights import few_enough, need_worth, path_weights, weighted_series, with_weights, worth

__all__ = ["Accumulator", "accumulate"]

# Pieces that are looked at before the standardisation is chosen: their number, and their bytes.
_FIRST_CHUNKS, _FIRST_BYTES = 16, 1 << 25
# Blocks of pieces that are kept apart until their number is known, of all replicas together, and fewest of one.
_MOST_BLOCKS, _FEWEST_KEPT = 8 * DEFAULT_BLOCKS, 32


@dataclass
class _Chain:
    """Sums and series of the chain of one replica so far."""

    collected: list[Sums] = field(default_factory=list)
    series: list[Floats] = field(default_factory=list)
    weights: list[Floats] = field(default_factory=list)
    n_paths: int = 0

    def sums(self) -> Sums:
        """Sums of all blocks, in their order."""
        return {name: np.concatenate([s[name] for s in self.collected]) for name in self.collected[0]}

    def seen(self) -> Floats:
        """Series of the first paths, of weighted ones those of their contributions."""
        series = np.concatenate(self.series)
        return weighted_series(series, np.concatenate(self.weights)) if self.weights else series


class Accumulator:
    r"""Sums over paths that arrive in pieces, as ``accumulate`` makes them of paths that are there.

    A running simulation feeds it. It has two ways, and one accumulator takes one of them:

    - ``add``: a piece is some whole paths, the next ones of a chain of paths. Blocks never cross a piece.
    - ``extend``: a piece is the next stretch of time of one running trajectory, or of several. They are cut into pieces
      of one length, as by ``accumulate``, wherever the stretches end: no pair of times is lost at a seam.

    The memory it takes does not grow with the number of pieces: it holds block sums, the autocorrelation series of the
    first 65,536 paths, and at most 32 MB of values. ``run`` can be called at any time and changes nothing. Pieces are
    standardised by the first ones (up to 16 pieces or 32 MB), as the chunks of an iterator are by ``accumulate``.

    The result of ``add`` has the bits of ``accumulate`` of an iterator of the same pieces, and of one array if blocks
    begin and end at the same paths and the observables are equal. The result of ``extend`` has the bits of
    ``accumulate`` of the list of whole trajectories as long as they take less than 32 MB.

    An accumulator can be pickled, to go on after a break. Results of several accumulators with equal observables
    (``measure``) go together by ``merge``.

    Parameters
    ----------
    dt : float, optional
        Time step; by default the step of the coordinate of times of the pieces, or 1.
    names : sequence of str, optional
        Names of the channels.
    theory : Theory, optional
        The theory that made the paths; see ``accumulate``.
    measure : Measure, optional
        Observables and lags of the sums.
    **settings : AccumulateSettings
        As for ``accumulate``; ``n_blocks`` counts the blocks of each piece.

    Raises
    ------
    InputError, InputTypeError
        If a setting has another type or range.

    See Also
    --------
    accumulate : for paths that are there.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> accumulator = Accumulator(0.1, names=["x"])
    >>> for _ in range(20):
    ...     accumulator.add(rng.normal(size=(50, 32)))
    >>> accumulator.n_paths, accumulator.run().n_blocks
    (1000, 128)
    """

    def __init__(
        self,
        dt: float | None = None,
        *,
        names: Sequence[str] | None = None,
        theory: Theory | None = None,
        measure: Measure | None = None,
        **settings: Unpack[AccumulateSettings],
    ) -> None:
        need_known(type(self).__init__, settings, AccumulateSettings, Measure)
        asked = measure_or_default(measure)
        if theory is not None:
            settings["hbar"], settings["mass"] = theory.hbar, theory.mass
            settings["group"] = settings.get("group") or theory.group
        group = integer("group", settings.get("group") or 1, 1)
        if 64 % group and group % 64:
            raise InputError(f"group must be a divisor of 64 or a multiple of it; got {group}")
        if dt is not None:
            positive("dt", dt)
        self._axes = settings.get("axes")
        self._dt = dt
        self._of_pieces: float | None = None  # time step of the containers of the pieces
        self._sums = PathSums(1.0 if dt is None else float(dt), names, theory, asked, settings)
        self._first: list[tuple[NDArray[Any], Floats | None, str | None]] = []
        self._first_bytes, self._most_held = 0, _FIRST_BYTES
        self._chains: dict[str | None, _Chain] = {}
        self._stretches: dict[tuple[str | None, int], list[NDArray[Any]]] = {}
        self._run: Correlators | None = None
        self._shape: tuple[int, int] | None = None  # times and channels of the first piece
        self._weighted: bool | None = None
        self._all_given = False
        self._n_pieces = 0
        self._notes: dict[str, None] = {}

    @property
    def n_paths(self) -> int:
        """Paths so far; of trajectories their number."""
        if self._stretches:
            return len(self._stretches)
        return sum(c.n_paths for c in self._chains.values()) + sum(len(p) for p, _, _ in self._first)

    def __len__(self) -> int:
        """The same as ``n_paths``."""
        return self.n_paths

    def __repr__(self) -> str:
        kind = "trajectories" if self._stretches else "paths"
        return f"Accumulator({self.n_paths} {kind} in {self._n_pieces} pieces)"

    def add(self, paths: Any, weights: ArrayLike | None = None, replica: str | None = None) -> None:
        """Add the next whole paths of a chain.

        Parameters
        ----------
        paths : array_like, or list of array_like
            As for ``accumulate``, shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,) for one path.
            Longer paths than the first ones are cut along time.
        weights : array_like, optional
            One number of at least 0 for each path, shape (n_paths,); for all pieces or for none.
        replica : str, optional
            Name of the independent chain that the paths belong to; blocks and autocorrelation do not cross replicas.

        Raises
        ------
        InputError, InputTypeError
            If a piece does not fit the ones before; it is not added then, and all others are kept (of a list of arrays
            the ones before it).
        """
        name = _replica_name(replica)
        if self._stretches:
            raise InputError(
                "add takes whole paths, but this accumulator holds trajectories; use extend, or another one"
            )
        if isinstance(paths, Paths | Theory):
            raise InputTypeError(f"paths must be given paths; got {paths!r}; simulate adds up the paths of a theory")
        given = read_given(paths, self._axes)
        weights = given.weights if weights is None else weights
        batches = list(given.batches)
        before = self._weighted, self._of_pieces, self._sums.dt, self._sums.names
        try:
            with located(given.source) if given.source else nullcontext():
                of_batches = path_weights(weights, [len(b) for b in batches])
                self._agree(given, weights is not None)
                for batch, own in zip(batches, of_batches, strict=True):
                    # Ctrl-C comes before a piece or after it: none is summed up in part, or forgotten.
                    with HeldSignals():
                        self._take(batch, own, name)
        except (InputError, InputTypeError):
            if self._n_pieces == 0:
                self._weighted, self._of_pieces, self._sums.dt, self._sums.names = before
            raise

    def extend(self, stretch: Any, replica: str | None = None) -> None:
        """Continue a trajectory, or several, by their next stretch of time.

        Parameters
        ----------
        stretch : array_like
            Shape (n_times,), or (n_trajectories, n_times) or (n_trajectories, n_times, channels); the trajectories are
            the same ones in the same order each time.
        replica : str, optional
            Name of the trajectories, if there are others.

        Raises
        ------
        InputError, InputTypeError
            If a stretch does not fit the ones before.
        """
        name = _replica_name(replica)
        if (self._first or self._chains) and not self._stretches:
            raise InputError("extend takes trajectories, but this accumulator holds whole paths; use add")
        if self._sums.group > 1 or self._sums.period:
            raise InputError("extend takes open trajectories without groups; leave period and group out, or use add")
        given = read_given(stretch, self._axes, ask=False)
        rows = [row for batch in given.batches for row in batch]
        known = [key for key in self._stretches if key[0] == name]
        if known and len(known) != len(rows):
            raise InputError(
                f"stretch must continue {len(known)} trajectories; got {len(rows)}; use replica for others"
            )
        channels = {r.shape[1] for held in self._stretches.values() for r in held[:1]} | {r.shape[1] for r in rows}
        if len(channels) > 1:
            raise InputError(f"stretches must have equal channels; got {' and '.join(map(str, sorted(channels)))}")
        for i, row in enumerate(rows):
            for column in range(row.shape[1]):
                need_finite_paths(row[None, :, column], i, 0, column)
        self._agree(given, False)
        with HeldSignals():
            for i, row in enumerate(rows):
                self._stretches.setdefault((name, i), []).append(row.copy())
                self._first_bytes += row.nbytes
            self._n_pieces += 1
            if self._run is not None or self._first_bytes > self._most_held:
                self._emit()

    def run(self) -> Correlators:
        """The sums so far, as ``accumulate`` returns them.

        Returns
        -------
        Correlators

        Raises
        ------
        InputError
            If nothing was added, or the paths are too few or too strongly correlated for an error. More can be added
            then.
        """
        if self._n_pieces == 0:
            raise InputError("there are no paths yet; add some before run")
        if self._stretches and self._run is None:
            rows = [np.concatenate(held) for held in self._stretches.values()]
            named = any(name is not None for name, _ in self._stretches)
            return self._trajectories(rows, [str(name) for name, _ in self._stretches] if named else None)
        if self._run is None:
            # The first pieces are summed up in a copy, because more of them may come.
            other = copy.copy(self)
            other._chains, other._notes = {}, dict(self._notes)
            other._begin()
            return other._finished()
        return self._finished()

    # ---- pieces

    def _agree(self, given: GivenPaths, weighted: bool) -> None:
        """Check the time step, the names and the weights of a piece against the ones before."""
        where = f"piece {self._n_pieces}"
        agreed_step(self._dt, given.dt)
        if given.dt is not None and self._of_pieces is not None and abs(given.dt - self._of_pieces) > 1e-4 * given.dt:
            raise InputError(f"pieces must have the same dt; got {given.dt:.6g} in {where} after {self._of_pieces:.6g}")
        known = self._sums.names
        if given.names is not None and known is not None and self._dt is None and tuple(known) != given.names:
            raise InputError(f"pieces must have the same channels; got {given.names} in {where} after {tuple(known)}")
        if self._weighted is not None and weighted != self._weighted:
            raise InputError(f"weights must be given for all pieces or for none; {where} differs from the ones before")
        if weighted and self._sums.group > 1:
            raise InputError(f"weights need paths without groups; got group={self._sums.group}; use group=1")
        self._weighted = weighted
        if given.dt is not None and self._of_pieces is None:
            self._of_pieces = given.dt
            if self._dt is None:
                self._sums.dt = given.dt
        if self._sums.names is None and self._n_pieces == 0:
            self._sums.names = given.names

    def _take(self, batch: NDArray[Any], weights: Floats | None, replica: str | None) -> None:
        """Sum up a piece, or keep it among the first ones."""
        if self._shape is not None:
            self._need_alike(batch)
        if self._run is not None:
            self._process(batch, weights, replica)
            self._n_pieces += 1
            return
        # A piece that cannot be summed up must not stay among the first ones.
        for begin in range(0, len(batch), 4096):
            part = batch[begin : begin + 4096]
            for column in range(batch.shape[2]):
                need_finite_paths(part[:, :, column], self.n_paths + begin, 0, column)
        self._shape = self._shape or (batch.shape[1], batch.shape[2])
        large = not self._first and batch.nbytes > _FIRST_BYTES // 4
        # The caller may use the memory again.
        self._first.append((batch if large else batch.copy(), weights, replica))
        self._first_bytes += batch.nbytes
        self._n_pieces += 1
        if large or len(self._first) >= _FIRST_CHUNKS or self._first_bytes >= _FIRST_BYTES:
            self._begin()

    def _need_alike(self, batch: NDArray[Any]) -> None:
        """Raise for a piece whose paths cannot be cut as the first ones are."""
        assert self._shape is not None
        n_times, n_channels = self._shape
        where = f"piece {self._n_pieces}"
        if batch.shape[2] != n_channels:
            raise InputError(
                f"chunks must have equal n_times and channels; got {batch.shape[1:]} in {where} after {self._shape}"
            )
        if batch.shape[1] == n_times:
            return
        steps = 1 if self._run is None else self._run.n_times
        two_time = self._sums.asked.two_time or (self._sums.theory is not None and not self._sums.theory.stationary)
        if batch.shape[1] < steps or self._sums.group > 1 or self._sums.period or two_time:
            raise InputError(
                f"chunks must have equal n_times and channels; got {batch.shape[1:]} in {where} after {self._shape}; "
                "longer paths are cut along time if they are open, without groups and two_time, to the length of the "
                "shortest of the first 16 pieces; cut them to the shortest"
            )

    def _begin(self) -> None:
        """Choose grid and observables by the first pieces, and sum them up."""
        batch, weights, _ = min(self._first, key=lambda piece: piece[0].shape[1])
        self._shape = batch.shape[1:]
        cut = self._cut(batch, weights, self._sums.n_blocks)
        self._run = self._sums.begin(cut.steps, [b for b, _, _ in self._first])
        first, self._first = self._first, []
        for held, weights, replica in first:
            self._process(held, weights, replica)

    def _cut(self, batch: NDArray[Any], weights: Floats | None, n_blocks: int | None) -> Cut:
        largest, group = longest_lag(self._sums.asked), self._sums.group
        return cut_batch(batch, n_blocks, largest, chunk=True, independent=True, group=group, weights=weights)

    def _process(self, batch: NDArray[Any], weights: Floats | None, replica: str | None) -> None:
        """Sum up a piece and look at the order of its paths."""
        run, of = self._run, self._chains.get(replica) or _Chain()
        assert run is not None
        wanted = self._sums.n_blocks
        if wanted is None and of.n_paths > _MOST_BLOCKS:
            # About as many paths as in the blocks so far: a block of a few paths costs as much as one of a tile.
            wanted = max(1, 2 * DEFAULT_BLOCKS * len(batch) // of.n_paths)
        cut = self._cut(batch, weights, wanted)
        if cut.steps != run.n_times:
            cut = cut_longer(batch, run.n_times, min(len(batch), wanted or DEFAULT_BLOCKS), weights)
        sums = self._sums.sums(run, cut, of.n_paths, weighted=weights is not None)
        if not self._sums.independent and of.n_paths < LOOKED_AT:
            origin = np.zeros(batch.shape[2])
            origin[list(run.observables.columns)] = run.observables.shift
            n_times = run.n_times if self._shape is None else self._shape[0]
            of.series.append(path_series(batch[:LOOKED_AT, :n_times], self._sums.group, origin))
            if weights is not None:
                of.weights.append(weights[:LOOKED_AT])
        of.collected.append(sums)
        of.n_paths += len(batch)
        self._chains[replica] = of
        self._notes |= dict.fromkeys(cut.notes)
        if run.precision == "float32" and batch.dtype != np.float32:
            self._notes["pieces of other types than float32, the type of the first ones, were summed in it"] = None
        most = max(_FEWEST_KEPT, _MOST_BLOCKS // len(self._chains))
        if self._sums.n_blocks is None and sum(len(s["paths"]) for s in of.collected) > most:
            of.collected = [joined(of.sums(), most // 4)]

    def _emit(self) -> None:
        """Sum up what whole pieces of the trajectories have come; the rest waits for the next stretches."""
        if self._run is None:
            rows = [np.concatenate(held) for held in self._stretches.values()]
            steps = piece_length(longest_lag(self._sums.asked), times_along(rows)[0])
            if max(map(len, rows)) < 2 * steps:
                self._most_held *= 2
                return
            self._run = self._sums.begin(steps, [row[None] for row in rows])
        steps = self._run.n_times
        alone = Counter(name for name, _ in self._stretches)
        names = {(n, i): n if alone[n] == 1 and n else f"{n or 'trajectory'} {i}" for n, i in self._stretches}
        for key, held in self._stretches.items():
            row = np.concatenate(held)
            n = len(row) // steps
            if n:
                pieces = row[: n * steps].reshape(n, steps, row.shape[1])
                self._process(pieces, None, names[key])
            # A copy, so that the memory of the pieces is free.
            self._stretches[key] = [row[n * steps :].copy()]

    # ---- results

    def _finished(self) -> Correlators:
        """The run of all pieces that are summed up."""
        run = self._run
        assert run is not None
        named = list(self._chains) != [None]
        sums = [of.sums() for of in self._chains.values()]
        if self._sums.n_blocks is None:
            total = sum(of.n_paths for of in self._chains.values())
            shares = [of.n_paths / total for of in self._chains.values()]
            sums = [joined(s, max(1, round(DEFAULT_BLOCKS * part))) for s, part in zip(sums, shares, strict=True)]
        notes = dict(self._notes)
        if self._stretches:
            lost = sum(len(row) for held in self._stretches.values() for row in held)
            notes[f"trajectories were cut into pieces of {run.n_times} steps; {lost} steps wait for the next"] = None
        size, time = 0.0, 0.5
        if self._weighted:
            squares = sum(float(s["squared_weights"].sum()) for s in sums)
            if squares == 0:
                raise InputError("weights must not be 0 for all paths; give some of them a positive weight")
            size = sum(float(s["paths"].sum()) for s in sums) ** 2 / squares
            if self._sums.n_blocks is None:
                sums = [joined(s, few_enough(len(s["paths"]), size * len(s["paths"]) / _blocks(sums))) for s in sums]
        if not self._all_given:
            self._sums.need_standardised(run, _together(sums))
        if not self._sums.independent:
            sums, told, time = self._planned(sums)
            notes |= dict.fromkeys(told)
        if self._weighted:
            notes = {need_worth(size, time, self.n_paths): None, **notes}
        replicas = [(str(name), len(s["paths"])) for name, s in zip(self._chains, sums, strict=True)] if named else []
        if self._stretches and all(name is None for name, _ in self._stretches):
            replicas = []
        if len(replicas) > 1:
            notes[compared(run, sums, [name for name, _ in replicas])] = None
        n_paths = len(self._stretches) or self.n_paths
        times = None
        if not self._sums.independent and not self._stretches:
            series = [np.concatenate(of.series) for of in self._chains.values()]
            times = times_of_paths(series, max(run.observables.columns) + 1, self._sums.group)
        return self._sums.done(run, _together(sums), n_paths, list(notes), replicas, times)

    def _planned(self, sums: list[Sums]) -> tuple[list[Sums], list[str], float]:
        """Block sums with blocks and errors as the autocorrelation of successive paths asks for."""
        chains, automatic = list(self._chains.values()), self._sums.n_blocks is None
        units = [of.n_paths // self._sums.group for of in chains]
        seen = [of.seen() for of in chains]
        found = [slowest(s) for s in seen]
        used = min(_blocks(sums), sum(units))
        if len(chains) == 1:
            blocks, factor, told = plan(found[0], units[0], used, automatic)
            return [scattered(joined(sums[0], blocks), factor)], told, found[0].time
        counts, factors, told = plan_replicas(found, units, used, automatic)
        time = max(f.time for f in found)
        if not self._stretches:
            need_independent(seen, [str(name) for name in self._chains], time)
        planned = [scattered(joined(s, n), f) for s, n, f in zip(sums, counts, factors, strict=True)]
        return planned, told, time

    # ---- all paths at once

    def _of_list(self, given: GivenPaths, weights: Any) -> Correlators:
        """The sums of batches that are there, or of trajectories."""
        held = list(given.batches)
        weights = given.weights if weights is None else weights
        of_batches = path_weights(weights, [len(b) for b in held])
        self._agree(given, weights is not None)
        n_paths = sum(map(len, held))
        if len(set(given.lengths)) > 1 and max(map(len, held)) < MANY:
            joint = None if weights is None else np.concatenate([w for w in of_batches if w is not None])
            return self._trajectories([path for b in held for path in b], None, joint)
        if len(held) > 1 and n_paths < MANY and weights is None:
            held = [np.concatenate(held)]
        if len(held) == 1:
            return self._whole(held[0], of_batches[0])
        return self._of_batches([(b, w, None) for b, w in zip(held, of_batches, strict=True)])

    def _of_batches(self, pieces: list[tuple[NDArray[Any], Floats | None, str | None]]) -> Correlators:
        """The sums of pieces that are all there, by which the observables are standardised."""
        self._shape = pieces[0][0].shape[1:]
        for self._n_pieces, (batch, _, _) in enumerate(pieces):
            self._need_alike(batch)
        self._n_pieces, self._first, self._all_given = len(pieces), pieces, True
        self._begin()
        return self._finished()

    def _whole(self, array: NDArray[Any], weights: Floats | None) -> Correlators:
        if self._sums.period and len(array) < MANY:
            self._sums.begin(0, [array])
        cut = cut_batch(
            array,
            self._sums.n_blocks,
            longest_lag(self._sums.asked),
            chunk=False,
            independent=self._sums.independent,
            group=self._sums.group,
            weights=weights,
        )
        notes = [] if weights is None else [need_worth(worth(weights), cut.time, len(array))]
        run = self._sums.begin(cut.steps, [array])
        sums = scattered(self._sums.sums(run, cut, 0, weighted=weights is not None), cut.factor)
        return self._sums.done(run, sums, len(array), [*notes, *cut.notes], chain=cut.chain)

    def _trajectories(
        self, rows: list[NDArray[Any]], names: Sequence[str] | None, weights: Floats | None = None
    ) -> Correlators:
        """The sums of trajectories, cut along time, of replicas if they have names."""
        lengths = {len(r) for r in rows}
        if (self._sums.group > 1 or self._sums.period) and len(lengths) > 1:
            raise InputError(
                f"paths must have equal lengths where they close or have groups; got between {min(lengths)} and "
                f"{max(lengths)} times; cut them to the shortest, [p[..., :{min(lengths)}] for p in paths]"
            )
        if len({r.shape[1] for r in rows}) > 1:
            raise InputError(
                f"chunks must have equal n_times and channels; got shapes {', '.join(str(r.shape) for r in rows[:5])}"
            )
        notes = [] if weights is None else [need_worth(worth(weights), 0.5, len(rows))]
        largest, n_blocks = longest_lag(self._sums.asked), self._sums.n_blocks
        batches = [row[None] for row in rows]
        if len(lengths) == 1 and len(rows) < MANY and weights is None:
            batches = [np.stack(rows)]
            cut = cut_batch(batches[0], n_blocks, largest, chunk=False, independent=self._sums.independent)
        else:
            cut = cut_trajectories(rows, n_blocks, largest, weights, apart=names is not None)
        run = self._sums.begin(cut.steps, batches)
        sums = scattered(self._sums.sums(run, cut, 0, weighted=weights is not None), cut.factor)
        replicas: dict[str, int] = {}
        if names is not None and cut.blocks_of:
            for name, blocks in zip(names, cut.blocks_of, strict=True):
                replicas[name] = replicas.get(name, 0) + blocks
            ends = np.cumsum(list(replicas.values()))[:-1]
            parts = [{n: np.split(a, ends)[i] for n, a in sums.items()} for i in range(len(replicas))]
            if len(replicas) > 1:
                notes.append(compared(run, parts, list(replicas)))
        return self._sums.done(run, sums, len(rows), [*notes, *cut.notes], list(replicas.items()), cut.chain)

    def _of_replicas(self, paths: Mapping[str, Any], weights: Any) -> Correlators:
        """The sums of independent chains with names."""
        if not paths:
            raise InputError("paths must have at least one replica; got an empty mapping")
        if weights is not None and (not isinstance(weights, Mapping) or set(weights) != set(paths)):
            raise InputError(f"weights must be a mapping with the names of the replicas, {', '.join(map(str, paths))}")
        if not all(is_array(value) for value in paths.values()):
            for name, value in paths.items():
                own = None if weights is None else weights[name]
                if is_array(value):
                    self.add(value, own, str(name))
                else:
                    for part, of_part in with_weights(value, own):
                        self.add(part, of_part, str(name))
            return self.run()
        pieces: list[tuple[NDArray[Any], Floats | None, str | None]] = []
        weighted = False
        for name, value in paths.items():
            given = read_given(value, self._axes)
            batches = list(given.batches)
            own = given.weights if weights is None else weights[name]
            of_batches = path_weights(own, [len(b) for b in batches])
            self._agree(given, own is not None)
            weighted = weighted or own is not None
            pieces += [(b, w, str(name)) for b, w in zip(batches, of_batches, strict=True)]
        counts = [sum(len(b) for b, _, own in pieces if own == str(name)) for name in paths]
        if max(counts) < MANY and self._sums.group == 1 and not weighted:
            rows = [(path, str(name)) for batch, _, name in pieces for path in batch]
            return self._trajectories([path for path, _ in rows], [name for _, name in rows])
        if min(counts) == 1:
            single = str(list(paths)[counts.index(1)])
            raise InputError(f"replicas must be chains of some paths; got one path in {single!r}; leave it out")
        return self._of_batches(pieces)


def accumulate(
    paths: ArrayLike | Iterable[ArrayLike] | Mapping[str, Any] | GivenSource,
    dt: float | None = None,
    *,
    names: Sequence[str] | None = None,
    theory: Theory | None = None,
    measure: Measure | None = None,
    weights: Any = None,
    **settings: Unpack[AccumulateSettings],
) -> Correlators:
    r"""Sums over given paths, as ``simulate`` makes them of its own.

    Blocks hold adjacent paths, because successive paths may be a Markov chain. Fewer than 16 paths are long
    trajectories and are cut along time, each into pieces of equal length (pairs across a cut are left out).

    The autocorrelation of successive paths, or along the time of trajectories, is always looked at, and notes of the
    result give its time tau. Blocks are at least 20 tau long where there are 25 of them. Otherwise they are shorter,
    at least 4 tau, and their scatter is enlarged to the error by the Gamma method (Wolff, Comput. Phys. Commun. 156,
    143 (2004)), as it is for fewer than 256 paths in any case. Fewer than about 30 tau are refused.

    Blocks of replicas and autocorrelation do not cross from one to another. A note compares their means and mean
    squares: Q is the p-value of an analysis of variance (F test), and ``run.replica(name)`` is a run of one of them.

    Parameters
    ----------
    paths : array_like, list or iterable of array_like
        Shape (n_paths, n_times, channels), (n_paths, n_times) or (n_times,); any real dtype and memory layout,
        memory maps and CPU arrays of other libraries included. A list or tuple of arrays is a list of batches of paths,
        or of trajectories of any lengths. An array of xarray is read by the names of its axes (time; path, sample,
        config, replica, ...; channel) and its coordinate of times, a table of pandas by an index of times, or of paths
        and times, and columns of channels. ``PathFiles`` are files or a folder. Any other iterable is read once, chunk
        by chunk. A mapping holds independent replicas by name, each of them one of these.
    dt : float, optional
        Time step; by default the step of the coordinate of times, or 1.
    names : sequence of str, optional
        Names of the channels.
    theory : Theory, optional
        The theory that made them, whose channels they must be; for exact values beside the measured ones.
    measure : Measure, optional
        Observables and lags of the sums. Observables are standardised by the theory by default, or by the mean and
        standard deviation of the paths (of the first chunks); pass the observables of another run to merge with it.
    weights : array_like, or list, iterable or mapping of array_like, optional
        One number of at least 0 for each path, for example of reweighting to another action: averages are
        :math:`\sum_i w_i f_i / \sum_i w_i`, errors those of the ratio. One array for all paths, or one for each batch,
        chunk or replica. The note of the result has the effective sample size.
    **settings : AccumulateSettings
        n_threads : int, as for ``simulate``.

        n_blocks : int, independent blocks for the errors, of each chunk where there are several; see above.

        axes : sequence of str, the axes of arrays in their order, each one of path, time, channel.

        period : float or True, of paths that close, the number of times times dt (True); lags then wrap.

        independent : bool, whether the paths are known to be independent, so that no chain is looked for.

        group : int, successive paths that share random parameters, a divisor of 64 or a multiple of it; by default
        the group of the theory, or 1.

        hbar, mass : float, for energies and momenta, 1 by default; taken from the theory if there is one.

    Returns
    -------
    Correlators

    Raises
    ------
    InputError, InputTypeError
        If the shape, axes or type do not fit, times are not uniform, a value is not finite (which path and time), or
        the paths are too few or too strongly correlated for an error.

    Examples
    --------
    >>> chain = np.random.default_rng(1).normal(size=(1000, 32))
    >>> run = accumulate([chain[:400], chain[400:]], 0.1)
    >>> run.n_paths, run.n_blocks
    (1000, 128)
    """
    need_known(accumulate, settings, AccumulateSettings, Measure)
    sums = Accumulator(dt, names=names, theory=theory, measure=measure, **settings)
    if isinstance(paths, Paths | Theory):
        raise InputTypeError(f"paths must be given paths; got {paths!r}; simulate adds up the paths of a theory")
    if isinstance(paths, GivenSource):
        paths = paths.given()
    if isinstance(paths, Mapping) and not is_labelled(paths):
        return sums._of_replicas(paths, weights)
    if is_array(paths):
        return sums._of_list(read_given(paths, settings.get("axes")), weights)
    if not isinstance(paths, Iterable):
        raise InputTypeError(f"paths must be an array or an iterable of arrays; got {type(paths).__name__}")
    for part, own in with_weights(paths, weights):
        sums.add(part, own)
    if len(sums) == 0:
        raise InputError("paths must have at least one chunk; got none")
    return sums.run()


def _replica_name(name: str | None) -> str | None:
    if name is not None and (not isinstance(name, str) or not name):
        raise InputTypeError(f"replica must be a name; got {name!r}")
    return name


def _blocks(sums: Sequence[Sums]) -> int:
    return sum(len(s["paths"]) for s in sums)


def _together(sums: Sequence[Sums]) -> Sums:
    return {name: np.concatenate([s[name] for s in sums]) for name in sums[0]}
