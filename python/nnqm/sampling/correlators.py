"""Block sums of a run: what every estimator is a function of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._arguments import Floats
from ..display import Drawn
from ..errors import InputError
from ..representation import short_repr
from ..statistics.autocorrelation import ChainTimes
from ..statistics.estimate import Estimate, SymmetricEstimate, jackknife
from ..statistics.moments import central_moments, excess_kurtosis
from ..theories.theory import Theory
from .observables import Observables

__all__ = [
    "Correlators",
    "merge",
]


@short_repr
@dataclass(frozen=True, eq=False, kw_only=True)
class Correlators(Drawn, picture="correlator"):
    """Sums over independent blocks of paths, with all that is needed to make, extend and merge them.

    Made by ``simulate``, ``accumulate``, ``simulate_two_level`` and ``load``; estimators such as ``two_point`` are
    functions of it.

    Attributes
    ----------
    theory : Theory or None
        None for paths from elsewhere.
    observables : Observables
        Functions of the channels whose products are summed.
    times : ndarray
        Time grid, shape (n_times,).
    n_paths : int
        Paths of the whole run; those held here are ``block_paths.sum()``.
    n_blocks : int
        Blocks of the whole run; those held here begin at ``first_block``.
    keys : tuple of int
        Random-number keys; several after merging runs of different seeds, none for paths from elsewhere.
    lags, observable_lags, increment_lags : tuple of int
        Lags in steps of the sums of the same names.
    two_time : int or None
        Position of the channel whose two-time function is held.
    precision : str
        Of the paths, "float32" or "float64"; sums are float64.
    level : str
        Instruction-set level that computed them.
    version : str
        Of the package that computed them.
    hbar, mass : float
        Of the theory, or as given for paths from elsewhere.
    notes : tuple of str
        Remarks on how paths from elsewhere were cut and checked.
    group : int
        Successive paths that share random weights: units of the blocks, within which connected functions subtract. Of
        two levels, the futures of a present or of a draw of random parameters.
    compiled : bool
        Whether the network was evaluated by a table of polynomials, see ``simulate``.
    closed_after : float or None
        The period that was declared for paths from elsewhere; see ``period``.
    replicas : tuple of (str, int)
        Names of independent replicas and the number of blocks of each, in the order of the blocks; see ``replica``.
    chain : ChainTimes or None
        Autocorrelation times of the channels of given paths, if they were looked at; see ``ChainTimes``.
    sums : dict of ndarray
        Arrays with a leading block axis, as the core documents them, and "paths" (n_blocks,), "first_bad". With weights
        "paths" has sums of weights, "counted" the numbers of paths and "squared_weights" sums of squares.
    """

    theory: Theory | None
    observables: Observables
    times: Floats
    n_paths: int
    n_blocks: int
    first_block: int
    keys: tuple[int, ...]
    lags: tuple[int, ...]
    observable_lags: tuple[int, ...]
    increment_lags: tuple[int, ...]
    two_time: int | None
    precision: str
    level: str
    version: str
    hbar: float
    mass: float
    notes: tuple[str, ...] = ()
    group: int = 1
    compiled: bool = False
    random_map_version: int = _core.random_map_version
    closed_after: float | None = None
    replicas: tuple[tuple[str, int], ...] = ()
    chain: ChainTimes | None = None
    sums: dict[str, NDArray[Any]] = field(repr=False, default_factory=dict)

    @property
    def block_paths(self) -> NDArray[np.int64]:
        """Paths summed in each block held, shape (blocks,)."""
        return counted(self.sums)

    @property
    def effective_sample_size(self) -> float:
        r"""Paths that weighted ones are worth, :math:`(\sum w)^2 / \sum w^2`; without weights the paths held.

        It is the number of independent paths of equal weight whose average has the same error (Kish, Survey Sampling,
        1965). Autocorrelation of successive paths is not in it.
        """
        if "squared_weights" not in self.sums:
            return float(self.block_paths.sum())
        return float(self.sums["paths"].sum() ** 2 / self.sums["squared_weights"].sum())

    def replica(self, name: str) -> Correlators:
        """The blocks of one replica, of which every estimator is a function too.

        Parameters
        ----------
        name : str
            One of ``replicas``.

        Returns
        -------
        Correlators

        Raises
        ------
        InputError
            If the run has no replica of this name.
        """
        first = 0
        for known, blocks in self.replicas:
            if known == name:
                sums = {n: a[first : first + blocks] for n, a in self.sums.items()}
                return replace(
                    self, sums=sums, n_paths=int(counted(sums).sum()), n_blocks=blocks, replicas=(), chain=None
                )
            first += blocks
        known = ", ".join(n for n, _ in self.replicas) or "none"
        raise InputError(f"name must be one of the replicas of the run, {known}; got {name!r}")

    @property
    def n_times(self) -> int:
        """Length of the time grid."""
        return len(self.times)

    @property
    def uniform(self) -> bool:
        """Whether the time grid is uniform, which lag averages need."""
        return is_uniform(self.times)

    @property
    def dt(self) -> float:
        """Time step of a uniform grid."""
        if not self.uniform:
            raise InputError("times are not uniform, so that there is no dt; give n_times and dt, or use two_time")
        return float((self.times[-1] - self.times[0]) / (self.n_times - 1))

    @property
    def period(self) -> float | None:
        """The period of closed (thermal) paths, None for open ones."""
        return self.closed_after if self.theory is None or self.theory.period is None else self.theory.period

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels measured; the outputs come first."""
        return self.observables.channels

    def estimate(self, function: Any, *names: str) -> Any:
        """Jackknife of a function of the named sums and of "paths"; see ``jackknife``.

        Parameters
        ----------
        function : callable
            Takes a mapping of the sums, as for ``jackknife``.
        *names : str
            Names of the sums.

        Returns
        -------
        Estimate, or a dict or tuple of Estimate
            As the function returns.
        """
        return jackknife(function, {n: self.sums[n] for n in (*names, "paths")}, self.block_paths)

    def need(self, name: str, remedy: str) -> None:
        """Raise if a sum was not asked for.

        Parameters
        ----------
        name : str
            Name of the sum.
        remedy : str
            How to get it, for the message.

        Raises
        ------
        InputError
            If the run has no such sum.
        """
        if name not in self.sums and name == "observable_lags":
            self.need_open("levels need exponential decay")
        if name not in self.sums:
            raise InputError(f"this run holds no {name}; {remedy}")

    def need_open(self, reason: str) -> None:
        """Raise for closed paths.

        Parameters
        ----------
        reason : str
            Why open paths are needed, for the message.

        Raises
        ------
        InputError
            If the run has a period.
        """
        if self.period is not None:
            raise InputError(
                f"{reason}, but the paths close after {self.period:g}; nnqm.OneCorrelator(run).plateau() fits the cosh "
                "of one level"
            )

    def mean(self, channel: int | str = 0) -> Estimate:
        """Average of a channel over paths and times; the error is statistical.

        Parameters
        ----------
        channel : int or str
            Position or name of a channel of the run.

        Returns
        -------
        Estimate
            A number, unit [x].
        """
        return self._moments(channel, lambda m, shift, scale: shift + scale * m[..., 0])

    def moments(self, channel: int | str = 0) -> Estimate:
        """Central moments 2, 3, 4 of a channel over paths and times, shape (3,); the error is statistical.

        Parameters
        ----------
        channel : int or str
            Position or name of a channel of the run.

        Returns
        -------
        Estimate
            Shape (3,), units [x]^2, [x]^3, [x]^4.
        """

        def central(m: Floats, _: float, scale: float) -> Floats:
            second, third, fourth = central_moments(*np.moveaxis(m, -1, 0))
            return np.stack([scale**2 * second, scale**3 * third, scale**4 * fourth], axis=-1)

        return self._moments(channel, central)

    def kurtosis(self, channel: int | str = 0) -> Estimate:
        """Excess kurtosis of a channel at one time, zero for a Gaussian; the error is statistical.

        Parameters
        ----------
        channel : int or str
            Position or name of a channel of the run.

        Returns
        -------
        Estimate
            A number.
        """
        return self.moments(channel).map_replicas(lambda m: excess_kurtosis(m[..., 0], m[..., 2]))

    def _moments(self, channel: int | str, function: Callable[[Floats, float, float], Floats]) -> Estimate:
        self.need("moments", "averages over time need a stationary theory; use two_time_function()")
        c = self.observables.index(channel)
        shift, scale = self.observables.shift[c], self.observables.scale[c]

        def evaluate(s: Mapping[str, Floats]) -> Floats:
            return function(s["moments"][:, c] / (s["paths"] * self.n_times)[:, None], shift, scale)

        estimate: Estimate = self.estimate(evaluate, "moments")
        return estimate

    def two_point(self, channel: int | str = 0, other: int | str | None = None) -> Estimate:
        r"""Two-point function :math:`\langle x(t)\, x'(t+\tau)\rangle` at the lags of the run.

        Averaged over all windows of the paths (of closed paths also those across the end) and symmetrised in time.
        The error is statistical; with random weights its unit is a draw of them.

        Parameters
        ----------
        channel, other : int or str
            Channels x and x'; other defaults to the same channel.

        Returns
        -------
        Estimate
            Shape (n_lags,), at times ``lags * dt``.
        """
        return self._lagged(channel, other, connected=False)

    def connected(self, channel: int | str = 0, other: int | str | None = None) -> Estimate:
        """Two-point function less the product of the means over the same windows; see ``two_point``.

        With random weights the product is that of distinct paths with the same weights, which is unbiased for each draw
        of them; this needs groups of two or more paths (``RandomNetwork(..., group=8)``) and is a ValueError otherwise.

        Parameters
        ----------
        channel, other : int or str
            Channels x and x'; other defaults to the same channel.

        Returns
        -------
        Estimate
            Shape (n_lags,), at times ``lags * dt``.

        Raises
        ------
        InputError
            If the run has no lags, or random weights with one path for each draw.
        """
        if self.group == 1 and self.theory is not None and self.theory.sectors:
            raise InputError(
                "connected functions need two or more paths for each draw of the weights, and this theory has group=1: "
                "one path's own average is biased; use group=8, or average_over_weights, which needs no paths"
            )
        return self._lagged(channel, other, connected=True)

    def _lagged(self, channel: int | str, other: int | str | None, *, connected: bool) -> Estimate:
        self.need("lags", "simulate with measure=Measure(lags=(0, 1, 2, ...))")
        a = self.observables.index(channel)
        b = a if other is None else self.observables.index(other)
        shift, scale = self.observables.shift, self.observables.scale

        # Windows of a closed path that cross its end are windows of the lag that completes the turn.
        turns, rest = np.arange(len(self.lags)), np.zeros(len(self.lags))
        if self.period is not None:
            where = {lag: i for i, lag in enumerate(self.lags)}
            turns = np.array([where.get((self.n_times - lag) % self.n_times, i) for lag, i in where.items()])
            rest = np.where(turns == np.arange(len(turns)), 0.0, np.asarray(self.lags) / self.n_times)

        def evaluate(s: Mapping[str, Floats]) -> Floats:
            own = values(s)
            return np.asarray(own + rest * (own[..., turns] - own))

        def values(s: Mapping[str, Floats]) -> Floats:
            product, _ = normalised_lags(s["lags"])
            ma, mb = product[..., 0, 1 + a], product[..., 0, 1 + b]
            za, zb = product[..., 1 + a, 0], product[..., 1 + b, 0]
            # Means over both windows, so that the estimator is the same under time reversal.
            ma, mb = (ma + za) / 2, (mb + zb) / 2
            zz = (product[..., 1 + a, 1 + b] + product[..., 1 + b, 1 + a]) / 2
            apart = vacuum(s["lags"])[..., 1 + a, 1 + b] if self.group > 1 else ma * mb
            fluctuation = scale[a] * scale[b] * (zz - (apart if connected else ma * mb))
            if connected:
                return np.asarray(fluctuation)
            return np.asarray(fluctuation + (shift[a] + scale[a] * ma) * (shift[b] + scale[b] * mb))

        estimate: Estimate = self.estimate(evaluate, "lags")
        return estimate

    def two_time_function(self) -> Estimate:
        r""":math:`\langle x(t) x(s)\rangle` on the whole grid, shape (n_times, n_times); the error is statistical.

        Returns
        -------
        Estimate
            Shape (n_times, n_times), unit [x]^2.
        """
        self.need("two_time", "simulate with measure=Measure(two_time=True)")
        c = 0 if self.two_time is None else self.two_time
        shift, scale = self.observables.shift[c], self.observables.scale[c]

        def rows(begin: int, end: int) -> Estimate:
            pairs = slice(begin * (begin + 1) // 2, end * (end + 1) // 2)
            sums = {n: self.sums[n] for n in ("two_time", "time_sums", "paths")}
            sums["two_time"] = sums["two_time"][:, pairs]

            def evaluate(s: Mapping[str, Floats]) -> Floats:
                n = s["paths"]
                offsets = shift * (shift / 2 + (scale / n)[:, None] * s["time_sums"])
                _core.two_time_functions(packed=s["two_time"], factors=scale**2 / n, offsets=offsets, rows=(begin, end))
                return s["two_time"]

            estimate: Estimate = jackknife(evaluate, sums, self.block_paths)
            return estimate

        return SymmetricEstimate(rows, self.n_times, len(self.block_paths))

    def _metadata(self) -> dict[str, Any]:
        skipped = {"theory", "observables", "times", "sums"}
        data = {k: v for k, v in vars(self).items() if k not in skipped and (k not in ("replicas", "chain") or v)}
        data["theory"] = None if self.theory is None else self.theory.to_dict()
        data["observables"] = self.observables.to_dict()
        return data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Correlators):
            return NotImplemented
        return (
            json.dumps(self._metadata()) == json.dumps(other._metadata())
            and np.array_equal(self.times, other.times)
            and self.sums.keys() == other.sums.keys()
            and all(np.array_equal(v, other.sums[k]) for k, v in self.sums.items())
        )

    def __hash__(self) -> int:
        return hash((self.keys, self.n_paths, self.n_blocks, self.first_block))


def counted(sums: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Numbers of paths of block sums, with or without weights."""
    return sums["counted" if "counted" in sums else "paths"]


def is_uniform(times: Floats) -> bool:
    """Whether a time grid has equal steps, to the rounding of its entries."""
    if len(times) < 2:
        return False
    steps = np.diff(times)
    tolerance = 1e-9 * steps.mean() + 4 * np.finfo(float).eps * np.abs(times).max()
    return bool(np.all(np.abs(steps - steps.mean()) <= tolerance))


def normalised_lags(sums: Floats) -> tuple[Floats, Floats]:
    """Averages <A B^T>, (<A A^T> + <B B^T>)/2 from lag sums (..., parts, F, F); the count is the constant's entry."""
    count = sums[..., 0, :1, :1]
    return sums[..., 0, :, :] / count, sums[..., 1, :, :] / (2 * count)


def vacuum(sums: Floats) -> Floats:
    """Products of the means over both windows from lag sums (..., parts, F, F), at fixed weights if shared."""
    if sums.shape[-3] == 3:
        distinct = sums[..., 2, :, :]
        return np.asarray((distinct + np.swapaxes(distinct, -1, -2)) / (2 * distinct[..., :1, :1]))
    mean = normalised_lags(sums)[1][..., 0, :]
    return np.asarray(mean[..., :, None] * mean[..., None, :])


def same_draws(run: Correlators, other: Correlators | None = None) -> bool:
    """Whether two runs, or a run and this nnqm, draw the same random numbers for the same key.

    Version 2 of the random-number map added kinds of draws to version 1 and changed none.
    """
    version = _core.random_map_version if other is None else other.random_map_version
    return run.random_map_version == version or {run.random_map_version, version} == {1, 2}


def merge(runs: Iterable[Correlators]) -> Correlators:
    """Put runs together, block after block.

    Parts of one run (disjoint block ranges, one key) give the bits of the whole run. Runs of different seeds, and
    different batches of paths from elsewhere, are appended: their blocks stay what they were.

    Parameters
    ----------
    runs : iterable of Correlators
        Of one theory, grid, precision and choice of observables and lags.

    Returns
    -------
    Correlators

    Raises
    ------
    InputError
        If they differ in one of these, or share paths.
    """
    listed = list(runs)
    if not listed:
        raise InputError("runs must have at least one entry; got none")
    return merge_named({f"runs[{i}]": run for i, run in enumerate(listed)})


def merge_named(runs: Mapping[str, Correlators]) -> Correlators:
    """``merge`` of runs whose names are used in messages."""
    (first_name, first), *others = runs.items()
    same = [
        *("theory", "observables", "lags", "observable_lags", "increment_lags", "two_time", "precision"),
        *("group", "compiled", "hbar", "mass", "closed_after"),
    ]
    for name, part in others:
        differs = [n for n in same if getattr(part, n) != getattr(first, n)]
        if not same_draws(part, first):
            differs.append("random_map_version")
        if not np.array_equal(part.times, first.times):
            differs.append("times")
        if part.sums.keys() != first.sums.keys():
            differs.append("sums")
        if differs:
            raise InputError(f"{name} differs from {first_name} in {', '.join(differs)}; only equal runs merge")
    keys = [p.keys for p in runs.values()]
    if len(set(keys)) == 1 and len(keys[0]) == 1:
        return _one_run(dict(sorted(runs.items(), key=lambda item: item[1].first_block)))
    owner: dict[int, str] = {}
    for name, part in runs.items():
        for key in part.keys:
            if key in owner:
                raise InputError(
                    f"{owner[key]} and {name} share a seed: their paths are the same; use another rng for each"
                )
        owner |= dict.fromkeys(part.keys, name)
    return replace(
        first,
        sums=_joined(runs),
        keys=tuple(k for ks in keys for k in ks),
        n_paths=sum(int(p.block_paths.sum()) if p.keys else p.n_paths for p in runs.values()),
        n_blocks=sum(len(p.block_paths) for p in runs.values()),
        first_block=0,
        notes=tuple(dict.fromkeys(n for p in runs.values() for n in p.notes)),
        replicas=tuple(r for p in runs.values() for r in p.replicas) if all(p.replicas for p in runs.values()) else (),
        chain=ChainTimes.together([p.chain for p in runs.values()], [p.n_paths for p in runs.values()]),
    )


def _one_run(parts: Mapping[str, Correlators]) -> Correlators:
    """Parts of one run, sorted by their blocks, put together."""
    (first_name, first), *others = parts.items()
    before, end = first_name, first.first_block + len(first.block_paths)
    for name, part in others:
        if part.n_blocks != first.n_blocks or part.n_paths != first.n_paths:
            raise InputError(
                "runs of one seed must be parts of the same run; "
                f"got n_paths {part.n_paths} of {name} and {first.n_paths} of {first_name}, "
                f"n_blocks {part.n_blocks} and {first.n_blocks}"
            )
        if part.level != first.level:
            raise InputError(
                f"{first_name} was made at instruction-set level {first.level} and {name} at {part.level}: they are "
                "not the bits of one run; make both with the same NNQM_LEVEL in the environment"
            )
        if part.first_block != end:
            gap = part.first_block > end
            what = f"{end} is missing" if gap else f"{part.first_block} is in {before} and in {name}"
            raise InputError(
                f"runs of one seed must hold adjacent block ranges; block {what}; "
                "use another rng for an independent run"
            )
        before, end = name, end + len(part.block_paths)
    return replace(first, sums=_joined(parts))


def _joined(runs: Mapping[str, Correlators]) -> dict[str, NDArray[Any]]:
    first = next(iter(runs.values()))
    return {n: np.concatenate([p.sums[n] for p in runs.values()]) for n in first.sums}
