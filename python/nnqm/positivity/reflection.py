r"""Reflection positivity of paths, tested by sample splitting.

For a functional F of the path at times t >= 0 and the reflection Theta about t = 0, every quantum theory satisfies

.. math:: \langle F(\Theta X)\, F(X) \rangle \ge 0

(Osterwalder and Schrader, Commun. Math. Phys. 31, 83 (1973)). The matrix of these averages is noisy, and its lowest
eigenvalue is always negative. It is therefore no test. The test uses a functional that is found on one half of the
data and evaluated on the other half. Nonlinear functionals are necessary: sqrt(2) cos(k t + b), with k drawn from
Cauchy's law, has the two-point function of an Ornstein-Uhlenbeck process but is not a quantum theory. Functionals of a
field need several points of space: phi(t1, x1) phi(t2, x2) - phi(t1, x2) phi(t2, x1) has a norm near zero for a free
field, so that small negative contributions of other fields show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, choice, integer
from ..display import Drawn
from ..errors import InputError, InputTypeError
from ..quantum.measures import TwoPointFunction
from ..representation import short_repr
from ..sampling.independent_paths import FEWEST, block_length, corrected_t, independent_units, merged
from ..sampling.path_source import PathReader, Paths, need_uniform
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..statistics.matrices import product
from ..statistics.moments import central_part
from ..verdict import Verdict
from .certificate import Witness, lowest_directions
from .functionals import Arguments, Family, Functional, chosen_families, family, label

__all__ = ["NothingFluctuates", "PositivityResult", "reflection_positivity"]

Result = TypeVar("Result")

# Size of the functionals of the units that are treated together, in bytes: they stay in cache.
_CHUNK = 1 << 20
# Number of lowest eigenvectors tried for each family.
_CANDIDATES = 4
# Numbers of terms of the shorter functionals that are tried as well.
_SHORT = (1, 2, 3, 5, 8)
# Smallest statistic of a shorter functional, as a fraction of the worst statistic; and the smaller fraction that
# suffices if the statistic is still beyond the third number, in standard errors.
_SHORTER, _SHORTER_YET, _OBVIOUS = 0.9, 0.4, 12.0
# Smallest expected number of units in which both F and its reflection are large.
_BOTH_LARGE = 5
# Number of values that determine a bound; target of the clipped kurtosis, as a fraction of the largest one allowed.
_BOUND_VALUES, _MARGIN = 8000, 0.8
# Number of units for the standardisation of paths; largest number of reflection points of a path.
_STANDARD_UNITS, _POINTS = 2000, 32
# Largest number of channels.
_CHANNELS = 16


class NothingFluctuates(InputError):
    """Paths whose functionals are the same for every path, so that no norm has an error."""


@short_repr
@dataclass(frozen=True)
class PositivityResult(Drawn, picture="reflection"):
    """Result of ``reflection_positivity``.

    Attributes
    ----------
    verdict : Verdict
        "consistent"; "violated" if p_value is below level; "undecided" if it is below level but F has heavy tails.
    p_value : float
        Probability of a value at least as negative in a reflection-positive theory (one-sided).
    level : float
        p-value below which the verdict is "violated".
    value : Estimate
        <F(Theta X) F(X)> of the witness F on the second half of the data. F is scaled to <F(X)^2> = 1 on the units of
        the first half on which it was chosen. The error is statistical, over independent blocks of units.
    witness : Witness
        The functional F, written out.
    functionals : tuple of str
        Families of functionals that were searched.
    channels : tuple of str
        Names of the channels that the functionals see; positions for given paths.
    minimum_eigenvalue : float
        Lowest eigenvalue of the whitened matrix of all functionals on the first half of the data. It is biased low and
        negative for every theory.
    whitened, shifted_whitened : ndarray or None
        Eigenvalues of this matrix, ascending, float64, for reflection about a point of the grid and about a point
        half-way between two; None if this reflection was not tested. They are as biased as the lowest one.
    shift : int
        0 for reflection about a point of the grid, 1 for reflection half-way between two points.
    heavy_tails : bool
        Whether F, clipped or not, is large in too few units for a reliable p-value: n_units/2 is below 5 times the
        squared kurtosis of F.
    n_units : int
        Number of units (paths, or pieces of trajectories) in both halves together.
    block_length : int
        Number of successive units that form one sample of the test.
    """

    verdict: Verdict
    p_value: float
    level: float
    value: Estimate
    witness: Witness
    functionals: tuple[str, ...]
    channels: tuple[str, ...]
    minimum_eigenvalue: float
    whitened: Floats | None = field(compare=False)
    shifted_whitened: Floats | None = field(compare=False)
    shift: int
    heavy_tails: bool
    n_units: int
    block_length: int

    def __str__(self) -> str:
        seen = "two-point" if self.functionals == ("linear",) else ", ".join(self.functionals)
        if len(self.channels) > 1:
            seen += f" of {len(self.channels)} channels"
        text = {
            Verdict.CONSISTENT: f"consistent with reflection positivity ({seen})",
            Verdict.VIOLATED: f"reflection positivity is violated ({seen})",
            Verdict.UNDECIDED: f"reflection positivity is undecided ({seen}; heavy tails: use bounded functionals)",
        }[self.verdict]
        consistent = self.verdict is Verdict.CONSISTENT
        tails = "; heavy tails: p is not reliable" if self.heavy_tails and consistent else ""
        # Without a violation, F is only the noise of the first half of the data.
        written = " for the worst F found" if consistent else f" for F = {self.witness}"
        return f"{text}: p = {self.p_value:.2g}, <F(reflected) F> = {self.value}{written}{tails}"


@one_blas_thread
def reflection_positivity(
    paths: Paths | ArrayLike,
    *,
    dt: float = 1.0,
    channel: int | str | Sequence[int | str] | None = None,
    functionals: Functional | Sequence[Functional] | None = None,
    offsets: Sequence[int] | None = None,
    about: float | str | None = None,
    level: float = 1e-3,
    n_paths: int = 20_000,
) -> PositivityResult:
    r"""Test whether paths are reflection positive, and find a functional that violates it.

    Exact spectral measures and kernels need no test; use ``positivity_certificate``.

    For functionals F_i of the path at times t >= 0 the matrix M_ij = <F_i(Theta X) F_j(X)> must be positive. The units
    (paths, or pieces of trajectories) are split into two halves:

    - On the first half the F_i are scaled to unit second moment and whitened (ridge 1e-3). The candidates are the four
      lowest eigenvectors of M, for each family and for all families together, and shorter combinations that are
      nearly as negative. The candidate with the most negative statistic is kept, with the coefficients rounded as they
      are printed. For several channels the candidates are found on one quarter of the data, and the statistics are
      those of the next quarter.
    - On the second half a one-sided t-test judges this candidate alone, with Hall's correction for the skewness of
      products (J. R. Stat. Soc. B 54, 221 (1992)). The p-value is therefore an upper bound of the rate of false alarms.

    Functionals with heavy tails are kept only if there are no others. They are then clipped, F in [-c, c]. A clipped
    functional is a functional as well, and its norm must be positive.

    The verdict "consistent" is no proof. The test covers only these functionals, at these times, with this noise. It
    covers only the symmetric part of M, which is all of M if the paths are statistically the same backwards in time.

    Parameters
    ----------
    paths : Paths or array_like
        Paths of a theory on a uniform grid; or given paths, shape (n_paths, n_times[, channels]). One long given
        trajectory, shape (n_times,), or fewer than 200 given paths are cut into pieces of at least 20 autocorrelation
        times. Successive paths may be correlated, as configurations of a Markov chain are. They are grouped into
        blocks of at least 20 of their autocorrelation times, and always into at most about 200 blocks. Paths of a
        theory that share random weights stay together.
    dt : float, default 1
        Time step of given paths; it only labels times.
    channel : int, str or sequence of int and str, optional
        For a theory, the position among the outputs or the name of a channel. For given paths, the position. A sequence
        of at most 16 channels, for example points of space, is tested with functionals of all of them. By default the
        first channel; all outputs for a theory of a field (``nnqm.fields``), or 16 that are evenly spread.
    functionals : str, callable or sequence of str and callable
        Families of functionals, by default all built-in ones. "linear": x at each offset, which tests only the
        two-point function. "cubic": monomials of degree 2 and 3 of x at three of the offsets. "neurons": 16 bounded
        functions tanh(a z(t_1) + b z(t_2) + c z(t_3) + d) of standardised paths z, with fixed random weights. Several
        channels have more arguments: two channels at three offsets, or three channels at two. "exchange", for several
        channels only: z_1(t_1) z_2(t_2) - z_2(t_1) z_1(t_2) for up to three channels and three offsets.
        A callable is one functional: it takes x at all offsets, float64 of shape (N, len(offsets)), and returns
        shape (N,). For several channels it takes shape (N, len(offsets), channels).
    offsets : sequence of int, optional
        Times t_i in steps, not negative. Default: 0 to 3, and four widening offsets up to an eighth of n_times (at
        least 8).
    about : float or "middle", optional
        The only reflection time: a whole or half index of the grid, or "middle". The middle is a point of the grid if
        n_times is odd, and half-way between two points if n_times is even. By default the test averages over
        reflection times within a path (at most 32 points of the grid and 32 half-way between points). For a theory
        that is not stationary the default is "middle".
    level : float, default 0.001
        p-value below which the verdict is "violated".
    n_paths : int, default 20000
        Largest number of given paths to use; the first ones are used.

    Returns
    -------
    PositivityResult
        Verdict, p-value, and the functional F with its value.

    Raises
    ------
    InputError
        If an argument has a wrong value, a value of the paths is not finite, all paths are equal, there are fewer than
        200 units, or the units are so correlated that the second half has fewer than 30 blocks.
    InputTypeError
        If an argument has a wrong type, or ``paths`` is an exact kernel or measure.

    See Also
    --------
    positivity_certificate : for exact two-point functions, kernels and spectral measures.

    Examples
    --------
    >>> import nnqm
    >>> result = reflection_positivity(nnqm.Paths(nnqm.harmonic_oscillator(), 2000, 64, 0.2, rng=1))
    >>> result.verdict
    'consistent'

    A field at two points of space:

    >>> field = nnqm.fields.ReflectionPositiveNet(2, mass=1.0, width=5, cutoff=50.0, points=[0.0, 0.5])
    >>> reflection_positivity(nnqm.Paths(nnqm.Theory(field), 4000, 24, 0.2, rng=1)).verdict
    'consistent'
    """
    if isinstance(paths, TwoPointFunction) or callable(paths):
        raise InputTypeError(
            f"paths must be Paths or an array; got {paths!r}, which is exact and needs no test; "
            "use positivity_certificate"
        )
    if not 0 < float(level) < 1:
        raise InputError(f"level must lie between 0 and 1; got {level}; 0.001 is the default")
    need_uniform(paths)
    if about is None and isinstance(paths, Paths) and not paths.theory.stationary:
        about = "middle"
    wanted = _wanted(paths, channel)
    units = independent_units(paths, wanted, dt=dt, most=integer("n_paths", n_paths, 1), cut=about is None)
    if units.n_units // units.group < FEWEST:
        shared = f" (in groups of {units.group} that share random parameters)" if units.group > 1 else ""
        raise InputError(
            f"reflection positivity needs at least {FEWEST} independent paths; got {units.n_units}{shared}",
            "give more paths, or one long trajectory, which is cut into pieces",
        )
    chosen = chosen_families(functionals, several=units.columns is not None)
    middle = _middle(units.n_times, about)
    times = _offsets(offsets, units.n_times, middle)
    half = units.n_units // (2 * units.group) * units.group
    channels, names = _names(paths, units)
    arguments = Arguments(len(times), *_standardisation(units, half, channels), names)
    families = tuple(family(f, i, arguments) for i, f in enumerate(chosen))

    views = [_View(units, times, shift, middle, arguments, families) for shift in _shifts(middle)]
    search, choice = _parts(units, half)
    searched = [_candidates(*_matrices(view, search), view) for view in views]
    # The limit on the kurtosis has a margin here, so that the second half, which decides on the tails, agrees.
    most = float(np.sqrt(half / (2 * _BOTH_LARGE)))
    found: list[_Candidate] = []
    for clipped in (False, True):
        for view, (rows, _, _) in zip(views, searched, strict=True):
            bounds = _bounds(view, range(min(half, _STANDARD_UNITS)), rows, most) if clipped else None
            found += _judged(view, choice, rows, bounds)
        light = [c for c in found if c.kurtosis <= most]
        if light:
            break
    usable = light or found
    if not usable:
        raise NothingFluctuates(
            "paths must fluctuate from path to path; all functionals are the same for every path, so that there is "
            "nothing to test; give random paths"
        )
    worst = min(c.statistic for c in usable)
    limit = worst * (_SHORTER if worst < 0 else 1 / _SHORTER)
    if _SHORTER_YET * worst < -_OBVIOUS:
        limit = _SHORTER_YET * worst
    # The candidate with the fewest terms among those nearly as negative as the worst.
    best = min((c for c in usable if c.statistic <= limit), key=lambda c: (np.count_nonzero(c.row), c.statistic))

    (samples,), _, (kurtosis,) = _samples(best.view, range(half, units.n_units), best.row[None], np.array([best.bound]))
    heavy = _heavy_tails(float(kurtosis), len(samples))
    samples = samples / best.norm
    block = block_length(samples, units.group)
    blocks = merged(samples, block)
    from scipy.special import stdtr

    p_value = float(stdtr(len(blocks) - 1, corrected_t(blocks)))
    alarm = Verdict.UNDECIDED if heavy else Verdict.VIOLATED
    return PositivityResult(
        verdict=Verdict.CONSISTENT if p_value >= level else alarm,
        p_value=p_value,
        level=float(level),
        value=Estimate(blocks.mean(), (blocks.sum() - blocks) / (len(blocks) - 1), np.full(len(blocks), len(blocks))),
        witness=_witness(best),
        functionals=tuple(f.name for f in families),
        channels=channels,
        minimum_eigenvalue=min(lowest for _, lowest, _ in searched),
        whitened=_eigenvalues_of(0, views, searched),
        shifted_whitened=_eigenvalues_of(1, views, searched),
        shift=best.view.shift,
        heavy_tails=heavy,
        n_units=units.n_units,
        block_length=block,
    )


def _eigenvalues_of(shift: int, views: list[_View], searched: list[tuple[Floats, float, Floats]]) -> Floats | None:
    """Eigenvalues for one kind of reflection, if it was tested."""
    return next((values for view, (_, _, values) in zip(views, searched, strict=True) if view.shift == shift), None)


@dataclass(frozen=True)
class _View:
    """One kind of reflection of the paths: offsets from it, in steps, and the functionals at these offsets."""

    paths: PathReader
    offsets: tuple[int, ...]
    shift: int
    middle: float | None
    arguments: Arguments
    families: tuple[Family, ...]

    def points(self) -> range:
        """Indices of the reflection points; for a point half-way between two times, of the earlier time."""
        if self.middle is not None:
            return range(int(self.middle), int(self.middle) + 1)
        reach = max(self.offsets)
        end = self.paths.n_times - reach - self.shift
        return range(reach, end, max(1, -(-(end - reach) // _POINTS)))

    def chunks(self, units: range) -> list[range]:
        """Units that are treated together."""
        at_once = max(1, _CHUNK // (16 * max(prod(self.paths.shape), self.size * len(self.points()))))
        return [units[first : first + at_once] for first in range(0, len(units), at_once)]

    def features(self, units: range, used: NDArray[np.bool_] | None = None) -> Floats:
        """Functionals of reflected and of plain paths, (2, size, units times points); zero unless ``used``, (size,)."""
        points = self.points()
        x = self.paths.read(units.start, units.stop).reshape(len(units), self.paths.n_times, -1)
        z = np.moveaxis((x - self.arguments.centre) / self.arguments.scale, 2, 0)
        count = len(units) * len(points)
        out = np.zeros((2, self.size, count))
        seen = np.empty((len(self.offsets), len(z), len(units), len(points)))
        for side, sign, shift in zip(out, (-1, 1), (0, self.shift), strict=True):
            for i, offset in enumerate(self.offsets):
                first = points.start + shift + sign * offset
                seen[i] = z[:, :, first : first + points.step * (len(points) - 1) + 1 : points.step]
            end = 0
            for some in self.families:
                begin, end = end, end + some.size
                if used is None or used[begin:end].any():
                    some.evaluate(seen.reshape(-1, count), side[begin:end])
        return out

    def over_chunks(self, units: range, work: Callable[[range], Result]) -> Iterator[Result]:
        """Results of work on each chunk, in order; in threads unless a functional is a function of the user."""
        chunks = self.chunks(units)
        if len(chunks) == 1 or any(some.own for some in self.families):
            yield from map(work, chunks)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_core.build_info()["max_threads"]) as pool:
            yield from pool.map(work, chunks)

    @property
    def size(self) -> int:
        """Number of functionals."""
        return sum(some.size for some in self.families)


def _middle(n_times: int, about: float | str | None) -> float | None:
    """Index of the only reflection time, or None to average over all."""
    if about is None:
        return None
    if isinstance(about, str):
        choice("about", about, ("middle",))
        return (n_times - 1) / 2
    middle = float(about)
    if (2 * middle) % 1 or not 0 <= middle <= n_times - 1:
        raise InputError(
            f"about must be a whole or half index of the time grid, from 0 to {n_times - 1}; got {about}; "
            "give it in steps, not in units of time"
        )
    return middle


def _shifts(middle: float | None) -> tuple[int, ...]:
    return (0, 1) if middle is None else (int(2 * middle) % 2,)


def _offsets(offsets: Sequence[int] | None, n_times: int, middle: float | None) -> tuple[int, ...]:
    largest = (n_times - 2) // 2 if middle is None else int(min(middle, n_times - 1 - middle))
    if largest < 0 or n_times < 2:
        raise InputError(f"n_times must be at least 2 for reflections; got {n_times}; use longer paths")
    if offsets is None:
        wide = np.geomspace(4, max(8, n_times // 8), 4).round().astype(int)
        chosen = [k for k in (0, 1, 2, 3, *wide.tolist()) if k <= largest]
        return tuple(dict.fromkeys(chosen))
    given = tuple(integer(f"offsets[{i}]", k, 0) for i, k in enumerate(offsets))
    if not given or len(set(given)) != len(given):
        raise InputError(f"offsets must be distinct and not empty; got {list(given)}; leave out repeated ones")
    if max(given) > largest:
        where = "" if middle is None else f" and reflection about index {middle:g}"
        raise InputError(
            f"offsets must be at most {largest} for n_times={n_times}{where}; got {max(given)}; "
            "use smaller offsets or longer paths"
        )
    return tuple(sorted(given))


def _parts(units: PathReader, half: int) -> tuple[range, range]:
    """Units on which candidates are searched, and units on which one of them is chosen.

    A large family fits the noise better than a small one. Families of several channels are so large that the choice
    needs other units than the search.
    """
    if units.columns is None:
        return range(half), range(half)
    quarter = half // (2 * units.group) * units.group
    return range(quarter), range(quarter, half)


def _wanted(paths: Any, channel: int | str | Sequence[int | str] | None) -> int | str | tuple[int | str, ...]:
    """One channel or several."""
    if channel is None:
        n = paths.theory.n_outputs if isinstance(paths, Paths) and paths.theory.of_field else 1
        if n == 1:
            return 0
        return tuple(sorted({int(i) for i in np.linspace(0, n - 1, min(n, _CHANNELS)).round()}))
    if not isinstance(channel, Iterable) or isinstance(channel, str):
        return channel
    several = tuple(channel)
    if len(several) > _CHANNELS:
        raise InputError(
            f"channel must name at most {_CHANNELS} channels; got {len(several)}, whose functionals are too many for "
            "the test",
            "choose some of them",
        )
    return several


def _names(paths: Any, units: PathReader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the channels, and their names in printed functionals: points of space where they are known."""
    columns = (units.column,) if units.columns is None else units.columns
    if not isinstance(paths, Paths):
        channels, points = tuple(str(c) for c in columns), {}
    else:
        theory = paths.theory
        channels = tuple(theory.channels[c] for c in columns)
        places = [at for s in theory.sources for at in (s.input_points or [()] * s.n_inputs)]
        # Without a network the outputs are the inputs.
        points = dict(zip(theory.channels, places, strict=False))
    if units.columns is None:
        return channels, ("",)
    at = [points.get(c, ()) for c in channels]
    if all(at) and len(set(at)) == len(at):
        return channels, tuple("".join(f", {x:.6g}" for x in point) for point in at)
    return channels, tuple(f"[{c}]" for c in channels)


def _standardisation(paths: PathReader, half: int, channels: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Median and half the width of the central 68% of each channel, robust against heavy tails, rounded as printed."""
    read = paths.read(0, min(half, _STANDARD_UNITS)).reshape(-1, paths.n_times, len(channels))
    found = []
    for i, name in enumerate(channels):
        x = read[:, :, i]
        low, median, high = middle = central_part(x)
        width = middle.half_width
        if not width > 1e-12 * max(abs(low), abs(high)):
            median, width = x.mean(), x.std()
        if not width > 1e-12 * abs(median):
            which = f"channel {name}" if len(channels) > 1 else "the channel"
            raise NothingFluctuates(f"{which} is constant, so that there is nothing to test", "choose one that moves")
        digits = 3 - int(np.floor(np.log10(width)))
        found.append((round(float(median), digits), round(float(width), digits)))
    centre, scale = np.array(found).T
    return centre, scale


def _matrices(view: _View, units: range) -> tuple[Floats, Floats, Floats]:
    """<F_i(Theta X) F_j(X)> and <F_i F_j> of centred functionals, (n, n), and the subtracted means, (n,)."""
    n = view.size

    def sums(chunk: range) -> tuple[Floats, Floats]:
        past, future = view.features(chunk)
        total, difference = past + future, past - future
        means = np.stack([past.sum(axis=1), future.sum(axis=1)])
        return np.stack([product(total, total.T), product(difference, difference.T)]), means

    products, means = np.zeros((2, n, n)), np.zeros((2, n))
    for of_products, of_means in view.over_chunks(units, sums):
        products += of_products
        means += of_means
    count = len(units) * len(view.points())
    products /= 4 * count
    past_mean, future_mean = means / count
    # The same number for both sides, so that one functional F acts on the paths and on their reflections.
    centre = (past_mean + future_mean) / 2
    mixed = np.outer(centre, centre)
    return products[0] - products[1] - mixed, products[0] + products[1] - mixed, centre


def _candidates(matrix: Floats, second: Floats, centre: Floats, view: _View) -> tuple[Floats, float, Floats]:
    """Coefficients and constants of candidates, (m, n + 1), rounded as printed; lowest eigenvalue; all eigenvalues.

    The candidates are the lowest eigenvectors of each family and of all families together, and the lowest eigenvectors
    of subsets with few terms.
    """
    groups = np.split(np.arange(view.size), np.cumsum([some.size for some in view.families])[:-1])
    if len(groups) > 1:
        groups.append(np.arange(view.size))
    # A functional that does not fluctuate, such as the square of a spin, adds nothing to the constant.
    moves = np.diag(second) > 1e-12 * (np.diag(second) + centre**2)
    found: list[Floats] = []
    lowest = np.inf
    for group in groups:
        used = group[moves[group]]
        if not used.size:
            continue
        vectors, values = lowest_directions(matrix[np.ix_(used, used)], second[np.ix_(used, used)], _CANDIDATES)
        lowest = min(lowest, float(values[0]))
        wanted = [(used, v) for v in vectors]
        v = vectors[0]
        while len(used) > 1:
            # Remove the terms with the smallest contributions and solve again for the rest.
            contributions = np.abs(v) * np.sqrt(np.diag(second)[used])
            fewer = max(len(used) - max(1, len(used) // 4), max((k for k in _SHORT if k < len(used)), default=1))
            used = used[np.sort(np.argsort(contributions)[len(used) - fewer :])]
            (v,), _ = lowest_directions(matrix[np.ix_(used, used)], second[np.ix_(used, used)], 1)
            if len(used) in _SHORT:
                wanted.append((used, v))
        for where, vector in wanted:
            row = np.zeros(view.size + 1)
            row[where] = _printable(vector, np.sqrt(np.diag(second)[where]))
            constant = -float(row[:-1] @ centre)
            # A smaller constant is rounding, or negligible.
            if constant**2 > 1e-8 * float(row[:-1] @ second @ row[:-1]):
                row[-1] = _significant(constant, 4)
            found.append(row)
    if not found:
        raise NothingFluctuates("no functional fluctuates, so that there is nothing to test", "use other functionals")
    return np.array(found), lowest, values


def _printable(vector: Floats, sizes: Floats) -> Floats:
    """Coefficients without negligible ones, scaled to a largest one of 1, and rounded to three significant digits."""
    kept = np.where(np.abs(vector) * sizes > 2e-3 * np.max(np.abs(vector) * sizes), vector, 0.0)
    kept = kept / kept[np.argmax(np.abs(kept))]
    return np.array([_significant(float(c), 3) for c in kept])


def _significant(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


@dataclass(frozen=True)
class _Candidate:
    """A functional clipped to [-bound, bound], with its norm, statistic and kurtosis on the first half of the units."""

    view: _View
    row: Floats
    bound: float
    norm: float
    statistic: float
    kurtosis: float


def _judged(view: _View, units: range, rows: Floats, bounds: Floats | None) -> list[_Candidate]:
    used = np.full(len(rows), np.inf) if bounds is None else bounds
    return [
        _Candidate(view, row, float(bound), float(norm), corrected_t(sample), float(kurtosis))
        for row, bound, sample, norm, kurtosis in zip(rows, used, *_samples(view, units, rows, used), strict=True)
        if norm > 0
    ]


def _functionals(view: _View, units: range, rows: Floats) -> Floats:
    """Values of m functionals F of reflected and of plain paths, (2, m, units times points)."""
    coefficients, constants = rows[:, :-1], rows[:, -1:]
    return product(coefficients, view.features(units, used=np.any(coefficients, axis=0))) + constants


def _samples(view: _View, units: range, rows: Floats, bounds: Floats) -> tuple[Floats, Floats, Floats]:
    """F(Theta X) F(X) averaged over the reflections of each unit, (m, units); <F^2> and the kurtosis of F, (m,)."""
    limits = bounds[:, None]

    def of_chunk(chunk: range) -> tuple[Floats, Floats]:
        sides = _functionals(view, chunk, rows)
        if np.isfinite(bounds).any():
            np.clip(sides, -limits, limits, out=sides)
        means = (sides[0] * sides[1]).reshape(len(rows), len(chunk), -1).mean(axis=2)
        sides *= sides
        second = sides.sum(axis=(0, 2))
        sides *= sides
        return means, np.stack([second, sides.sum(axis=(0, 2))])

    samples, moments = [], np.zeros((2, len(rows)))
    for means, of_chunk_moments in view.over_chunks(units, of_chunk):
        samples.append(means)
        moments += of_chunk_moments
    second, fourth = moments / (2 * len(units) * len(view.points()))
    return np.concatenate(samples, axis=1), second, fourth / np.maximum(second**2, np.finfo(float).tiny)


def _bounds(view: _View, units: range, rows: Floats, most: float) -> Floats:
    """Bounds that clip the functionals to a kurtosis of at most ``most``, (m,), rounded as printed."""
    parts = [np.concatenate(list(_functionals(view, chunk, rows)), axis=1) for chunk in view.chunks(units)]
    bounds = np.empty(len(rows))
    for i, values in enumerate(np.concatenate(parts, axis=1)):
        # The kurtosis grows with the level, so that the search ends at the first level that exceeds the target.
        sizes = np.sort(np.abs(values[:: max(1, len(values) // _BOUND_VALUES)]))
        levels = np.geomspace(max(float(sizes[len(sizes) // 2]), 1e-9 * float(sizes[-1])), float(sizes[-1]), 64)
        bounds[i] = levels[0]
        for level in levels:
            squares = np.minimum(sizes, level) ** 2
            if np.mean(squares**2) > _MARGIN * most * np.mean(squares) ** 2:
                break
            bounds[i] = level
    return np.array([_significant(float(b), 3) for b in bounds])


def _heavy_tails(kurtosis: float, n_units: int) -> bool:
    """Whether F is so rarely large that F and its reflection are large together in too few of the units.

    If F is large with probability p, its kurtosis is 1/p, and both are large in n p^2 units. Without these units the
    positive contributions to the mean are missing, and the remaining ones appear significantly negative.
    """
    return n_units < _BOTH_LARGE * kurtosis**2


def _witness(found: _Candidate) -> Witness:
    view, row = found.view, found.row
    step, arguments = view.paths.step, view.arguments
    written = arguments.written([(k + view.shift / 2) * step for k in view.offsets])
    terms = [term for some in view.families for term in some.write(written)]
    used = np.flatnonzero(row[:-1])
    # Rounded in steps, so that the time 0 is exactly 0.
    about = 0.0 if view.middle is None else round(view.paths.start / step + view.middle, 9) * step
    definitions = []
    for i, name in enumerate(arguments.names):
        seen = written[i :: len(arguments.names)]
        if name and not any(argument in terms[j] for j in used for argument in seen):
            continue
        z, x = (label("z", name, "t"), label("x", name, "t")) if name else ("z", "x")
        centre, scale = float(arguments.centre[i]), float(arguments.scale[i])
        shifted = f"({x} {'-' if centre > 0 else '+'} {abs(centre):.12g})" if centre else x
        definitions.append(f"{z} = {shifted}/{scale:.12g}")
    return Witness(
        row[used],
        tuple(terms[i] for i in used),
        float(row[-1]),
        ", ".join(definitions),
        f"t = {about:.4g}",
        found.bound,
    )
