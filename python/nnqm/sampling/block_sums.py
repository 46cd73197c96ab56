"""Block sums of paths that were made elsewhere, once it is known how they are cut into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._arguments import Floats, integer, positive
from ..errors import InputError
from ..statistics.autocorrelation import ChainTimes
from ..theories.theory import Theory
from .arrays import doubles, float_type, need_finite_values
from .blocks import FEWEST_BLOCKS, LONG, MANY, Cut, Part
from .correlators import Correlators
from .measure import Measure, resolve
from .observables import Observables, default_observables
from .run_settings import TILE, AccumulateSettings, build_facts, check_scale, empty_sums, measure_of

__all__: list[str] = []

# A first chunk with another mean or spread than the next ones, in their spread, does not standardise.
_MOVED, _SPREAD = 0.5, 1.5
# Mean and standard deviation of standardised paths beyond which the observables do not resolve them.
_FAR, _WIDE = 4.0, 5.0

Sums = dict[str, NDArray[Any]]


class PathSums:
    """Settings of the sums of given paths, and the sums of paths that are cut into pieces.

    Attributes
    ----------
    dt : float
    theory : Theory or None
    names : sequence of str or None
        Names of the channels.
    asked : Measure
    group, n_threads : int
    n_blocks : int or None
    independent : bool
    period : float, bool or None
        As given.
    """

    def __init__(
        self,
        dt: float,
        names: Sequence[str] | None,
        theory: Theory | None,
        asked: Measure,
        settings: AccumulateSettings,
    ) -> None:
        self.dt, self.names, self.theory, self.asked = dt, names, theory, asked
        self._hbar = positive("hbar", settings.get("hbar", 1.0))
        self._mass = positive("mass", settings.get("mass", 1.0))
        self.group = settings.get("group") or 1
        self.n_blocks = settings.get("n_blocks")
        self.n_threads = integer("n_threads", settings.get("n_threads", 0), 0, 4096)
        self.independent = bool(settings.get("independent", False))
        self.period = settings.get("period")

    def begin(self, steps: int, batches: Sequence[NDArray[Any]]) -> Correlators:
        """A run without sums, on the grid of pieces of some steps, with observables for the batches."""
        array, asked, theory = batches[0], self.asked, self.theory
        grid = np.arange(steps, dtype=np.float64) * float(self.dt)
        period = self._checked_period(array.shape[1])
        if period is not None and steps != array.shape[1]:
            raise InputError(
                f"paths with a period cannot be cut along time; got {len(array)} of {array.shape[1]} times; give at "
                f"least {MANY} paths, of at most {LONG} times, or leave the period out where it is much longer than "
                "what decays"
            )
        chosen = _user_observables(batches, self.names, theory) if asked.observables is None else asked.observables
        run = Correlators(
            theory=theory,
            times=grid,
            n_paths=0,
            n_blocks=0,
            first_block=0,
            keys=(),
            precision="float32" if all(float_type(b.dtype) is np.float32 for b in batches) else "float64",
            hbar=self._hbar,
            mass=self._mass,
            group=self.group,
            closed_after=period,
            **resolve(asked, chosen, grid, theory, period),
            **build_facts(),
        )
        check_scale(run)
        for batch in batches:
            if batch.shape[2] <= max(run.observables.columns):
                raise InputError(
                    f"paths have {batch.shape[2]} channels, but the observables need {max(run.observables.columns) + 1}"
                )
        return run

    def _checked_period(self, n_times: int) -> float | None:
        """The period of closed paths, which must be all their times."""
        if self.period is None or self.period is False:
            return None
        turn = n_times * self.dt
        period = turn if self.period is True else positive("period", self.period)
        if abs(period - turn) > 1e-6 * turn:
            raise InputError(
                f"period must be the number of times, {n_times}, times dt = {self.dt:g}: {turn:g}; got {period:g}; a "
                "closed path does not repeat its first time at its end"
            )
        of_theory = period if self.theory is None else self.theory.period
        if of_theory is None or abs(of_theory - period) > 1e-6 * period:
            known = "is open" if of_theory is None else f"has {of_theory:g}"
            raise InputError(f"period is {period:g}, but the theory {known}; leave the period out, or the theory")
        return period

    def sums(self, run: Correlators, cut: Cut, paths_before: int, *, weighted: bool) -> Sums:
        """Sums over the parts of a cut; of weighted ones "paths" has sums of weights, and "counted" their numbers."""
        sums = empty_sums(run, cut.blocks)
        of_weights, of_squares = np.zeros(cut.blocks), np.zeros(cut.blocks)
        for part in cut.parts:
            _accumulate_part(part, run, self.n_threads, sums, paths_before)
            if part.weights is not None:
                for block, (begin, end) in enumerate(pairwise(part.offsets), start=part.first_block):
                    w = part.weights[begin:end]
                    of_weights[block] += w.sum()
                    whole = part.per_path if len(w) % part.per_path == 0 else max(1, len(w))
                    of_squares[block] += (w.reshape(-1, whole).sum(axis=1) ** 2).sum()
        if weighted:
            sums |= {"counted": sums["paths"], "paths": of_weights, "squared_weights": of_squares}
        return sums

    def need_standardised(self, run: Correlators, sums: Sums) -> None:
        """Raise if the first chunks were no measure of all."""
        if self.asked.observables is not None or self.theory is not None or "moments" not in sums:
            return
        count = sums["paths"].sum() * run.n_times
        first, second = np.moveaxis(sums["moments"].sum(axis=0)[:, :2] / count, -1, 0)
        spread = np.sqrt(np.maximum(second - first**2, 0))
        o = run.observables
        for k, name in enumerate(o.channels):
            if abs(first[k]) > _FAR or (not 1 / _WIDE < spread[k] < _WIDE and spread[k] > 0):
                mean, std = o.shift + o.scale * first, o.scale * np.where(spread > 0, spread, 1.0)
                raise InputError(
                    f"the first chunks of channel {name} have mean {o.shift[k]:.6g} and standard deviation "
                    f"{o.scale[k]:.4g}, all have {mean[k]:.6g} and {std[k]:.4g}: leave out the chunks that are not "
                    "thermalised, or give measure=nnqm.Measure(observables=nnqm.default_observables("
                    f"({mean.tolist()}, {std.tolist()}, {list(o.channels)})))"
                )

    def done(
        self,
        run: Correlators,
        sums: Sums,
        n_paths: int,
        notes: Sequence[str],
        replicas: Sequence[tuple[str, int]] = (),
        chain: ChainTimes | None = None,
    ) -> Correlators:
        """The run with its sums, if there are enough blocks."""
        blocks = len(sums["paths"])
        if blocks < 2 or (self.n_blocks is None and blocks < FEWEST_BLOCKS - 1):
            fewest = FEWEST_BLOCKS if self.n_blocks is None else 2
            raise InputError(
                f"errors need at least {fewest} blocks; got {blocks}; give more paths, or longer ones, as an array or "
                "a list, which are cut along time"
            )
        return replace(
            run,
            sums=sums,
            n_paths=n_paths,
            n_blocks=blocks,
            notes=tuple(notes),
            replicas=tuple(replicas),
            chain=None if chain is None else chain.of_channels(run.observables.columns),
        )


def _user_observables(
    batches: Sequence[NDArray[Any]], names: Sequence[str] | None, theory: Theory | None
) -> Observables:
    n_channels = batches[0].shape[2]
    if theory is not None:
        if n_channels != len(theory.channels):
            raise InputError(
                f"paths have {n_channels} channels, but the theory has {len(theory.channels)} "
                f"({', '.join(theory.channels)})"
            )
        return default_observables(theory)
    labels = _labels(names, n_channels)
    alike = [b for b in batches if b.shape[2] == n_channels]
    samples = [_sample(b, sum(a.size for a in alike)) for b in alike]
    mean, std = _location(samples[:1])
    if len(samples) > 1:
        rest = _location(samples[len(samples) // 2 :])
        with np.errstate(divide="ignore", invalid="ignore"):
            same = (abs(mean - rest[0]) <= _MOVED * rest[1]) & (std <= _SPREAD * rest[1]) & (rest[1] <= _SPREAD * std)
        if not same.all():
            mean, std = rest
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        for array in batches:
            for path in range(array.shape[0]):
                need_finite_values(array[path], path, "paths")
    eps = float(np.finfo(batches[0].dtype if batches[0].dtype.kind == "f" else np.float64).eps)
    # A channel that moves by one rounding is constant.
    with np.errstate(over="ignore"):
        still = np.max([np.ptp(s, axis=0) for s in samples], axis=0) <= eps * np.abs(mean)
    _need_digits(eps, mean, np.where(still, 0.0, std), labels)
    std[still] = 1.0
    return default_observables((mean, std, labels))


def _labels(names: Sequence[str] | None, n_channels: int) -> tuple[str, ...]:
    """Names of the channels, checked."""
    numbered = tuple(f"x{i + 1}" for i in range(n_channels)) if n_channels > 1 else ("x",)
    labels = numbered if names is None else (names,) if isinstance(names, str) else tuple(names)
    if len(labels) != n_channels or len(set(labels)) != n_channels or not all(isinstance(n, str) for n in labels):
        raise InputError(f"names must be {n_channels} different strings, one per channel; got {labels}")
    if not all(map(str.isprintable, labels)):
        raise InputError(f"names must have no control characters; got {labels}; rename the channels")
    return labels


def _sample(array: NDArray[Any], size: int) -> Floats:
    """A strided subset, which is enough for a standardisation, and does not copy what may be larger than memory."""
    stride = max(1, size >> 20)
    values = doubles(array[:: min(stride, array.shape[0]), :: max(1, stride // array.shape[0])])
    return values.reshape(-1, array.shape[2])


def _location(samples: list[Floats]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each channel, of numbers of any size."""
    values = samples[0] if len(samples) == 1 else np.concatenate(samples)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        mean, std = values.mean(axis=0), values.std(axis=0)
        largest = np.abs(values).max(axis=0)
        for k in np.flatnonzero((largest > 1e150) | (largest < 1e-150) & (largest > 0)):
            unit = values[:, k] / largest[k]
            mean[k], std[k] = unit.mean() * largest[k], unit.std() * largest[k]
    return mean, std


def _need_digits(eps: float, mean: Floats, std: Floats, labels: Sequence[str]) -> None:
    """Raise for channels whose fluctuations the data type, of relative spacing eps, or float64 does not hold."""
    for name, m, s in zip(labels, mean, std, strict=True):
        if 0 < s < 50 * eps * abs(m):
            raise InputError(
                f"channel {name} has mean {m:g} and standard deviation {s:g}, but its type holds steps of "
                f"{eps * abs(m):.2g} there; subtract the mean before the paths are stored, or store them in float64"
            )
        if s > 0 and not 1e-36 < s < 1e36:
            raise InputError(
                f"channel {name} has standard deviation {s:g}, and float64 does not hold the error of its fourth "
                f"moment; divide the paths by {s:.0e}"
            )


def _accumulate_part(part: Part, run: Correlators, n_threads: int, sums: Sums, paths_before: int) -> None:
    measure = measure_of(run)
    wanted = np.dtype(run.precision)
    pieces, offsets = part.pieces, part.offsets
    n_blocks = len(offsets) - 1
    direct = pieces.dtype == wanted and pieces.dtype.isnative
    # Arrays of another type are converted at most 16 MB at a time, in multiples of a tile.
    unit = max(TILE, run.group)
    at_once = max(unit, (1 << 24) // (pieces[0].size * wanted.itemsize) // unit * unit)
    begin = 0
    while begin < n_blocks:
        end = n_blocks
        if not direct:
            end = begin + 1
            while end < n_blocks and offsets[end + 1] - offsets[begin] <= at_once:
                end += 1
        start, stop = offsets[begin], offsets[end]
        step = stop - start if direct or end > begin + 1 else at_once
        where = slice(part.first_block + begin, part.first_block + end)
        for first in range(start, stop, max(step, 1)):
            last = min(stop, first + step)
            chunk = pieces[first:last] if direct else pieces[first:last].astype(wanted)
            _core.accumulate(
                channels=chunk,
                measure=measure,
                offsets=[min(max(o, first), last) - first for o in offsets[begin : end + 1]],
                first_path=first,
                n_threads=n_threads,
                sums={name: array[where] for name, array in sums.items()},
                weights=None if part.weights is None else part.weights[first:last],
            )
            del chunk  # before the next one is made
        begin = end
    mine = sums["first_bad"][part.first_block : part.first_block + n_blocks]
    for piece in sorted(mine[mine >= 0])[:1]:
        found = np.argwhere(~np.isfinite(pieces[piece].astype(wanted)))
        step, channel = found[0]
        path = paths_before + part.first_path + piece // part.per_path
        time_step = piece % part.per_path * pieces.shape[1] + step
        raise InputError(
            f"paths must be finite in {run.precision}; path {path} at time step {time_step}, channel {channel} is "
            f"{pieces[piece, step, channel]}; remove it"
        )
