"""Independent units of a statistical test: paths of a theory, anybody's paths, pieces of a trajectory, and blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, choice, integer, positive
from ..errors import InputError, InputTypeError
from ..statistics.autocorrelation import INDEPENDENT, autocorrelation_time
from ..theories.theory import Theory
from .arrays import real_array, three_axes
from .paths import apply, sample_paths
from .run_settings import Rng, random_key, time_grid

__all__: list[str] = []

# Fewer independent units do not carry a test that splits them.
FEWEST = 200
# Of correlated ones, fewer blocks in the part that decides.
FEWEST_BLOCKS = 30
# A long trajectory's autocorrelation time is measured on so many of its first steps.
_TAU_STEPS = 1_000_000
# Values of a theory's paths that are held, rather than drawn again whenever they are looked at; and drawn at once.
_HELD, _AT_ONCE = 1 << 25, 1 << 21


@dataclass(frozen=True)
class Units:
    """Units of one channel; ``read(first, last)`` gives float64 of shape (last - first, n_times).

    ``group`` successive ones share random weights and are independent together only. ``start`` and ``step`` are those
    of the time grid.
    """

    n_units: int
    n_times: int
    read: Callable[[int, int], Floats]
    group: int = 1
    start: float = 0.0
    step: float = 1.0


def theory_units(
    theory: Theory,
    n_paths: int,
    n_times: int | None,
    dt: float | None,
    channel: int | str,
    rng: Rng,
    key: int | None,
    precision: str,
    n_threads: int,
) -> Units:
    """Paths of one channel of a theory."""
    if key is not None and rng is not None:
        raise InputError("give either rng or key, not both")
    chosen_key = random_key(rng) if key is None else key
    if isinstance(channel, str):
        name = choice("channel", channel, theory.channels)
    else:
        name = theory.outputs[integer("channel", channel, 0, theory.n_outputs - 1)]
    is_output = name in theory.outputs
    column = (theory.outputs if is_output else theory.channels).index(name)
    if n_times is None or (dt is None and theory.period is None):
        raise InputError("the time grid of the theory is missing: give n_times and dt")
    grid = time_grid(n_times, dt, None, theory)
    length = len(grid)

    def draw(first: int, last: int) -> NDArray[Any]:
        options: dict[str, Any] = {"key": chosen_key, "n_threads": n_threads}
        x = sample_paths(theory, range(first, last), times=grid, precision=precision, **options)
        if is_output:
            x = apply(theory.network, x, first_path=first, times=grid, **options)
        return np.ascontiguousarray(x[:, :, column])

    def units(read: Callable[[int, int], Floats]) -> Units:
        step = float(grid[1] - grid[0]) if length > 1 else 1.0
        return Units(n_paths, length, read, theory.group if is_output else 1, float(grid[0]), step)

    if n_paths * length > _HELD:
        return units(lambda first, last: draw(first, last).astype(np.float64))
    at_once = max(1, _AT_ONCE // length)
    held = np.concatenate([draw(i, min(i + at_once, n_paths)) for i in range(0, n_paths, at_once)])
    return units(lambda first, last: held[first:last].astype(np.float64))


def path_units(source: ArrayLike, n_paths: int, dt: float, channel: int | str, cut: bool) -> Units:
    """Anybody's paths, shape (n_paths, n_times[, channels]) or (n_times,); fewer than 200 may be cut into pieces."""
    array = three_axes(real_array(source))
    if isinstance(channel, str):
        raise InputTypeError(f"channel of given paths must be its position; got {channel!r}")
    column = integer("channel", channel, 0, array.shape[2] - 1)
    given, length = array.shape[:2]
    per_path = 1
    if given < FEWEST and cut:
        tau = max(_longest_tau(_finite(array, path, slice(_TAU_STEPS), column)) for path in range(given))
        shortest = max(int(np.ceil(INDEPENDENT * tau)), 2)
        # As few pieces as the test can do with: what a pair of times needs is lost at each cut.
        per_path = max(1, min(length // shortest, -(-5 * FEWEST // given)))
        if given * per_path < FEWEST:
            raise InputError(
                f"reflection positivity needs at least {FEWEST} independent units; got {given} paths of "
                f"{length} steps with an autocorrelation time of {tau:.3g} steps, which make "
                f"{given * per_path} pieces of {INDEPENDENT:g} such times; give longer paths or more of them"
            )
    steps = length // per_path
    n_units = given * per_path if per_path > 1 else min(given, n_paths)

    def read(first: int, last: int) -> Floats:
        if per_path == 1:
            whole = array[first:last, :, column].astype(np.float64)
            if not np.isfinite(whole).all():
                _finite(array, first + int(np.argwhere(~np.isfinite(whole))[0, 0]), slice(None), column)
            return np.asarray(whole)
        pieces = np.empty((last - first, steps))
        for row, unit in enumerate(range(first, last)):
            path, piece = divmod(unit, per_path)
            pieces[row] = _finite(array, path, slice(piece * steps, (piece + 1) * steps), column)
        return pieces

    return Units(n_units, steps, read, step=positive("dt", dt))


def _finite(array: NDArray[Any], path: int, where: slice, column: int) -> Floats:
    x = array[path, where, column].astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise InputError(
            f"paths must be finite; path {path} at time step {(where.start or 0) + bad[0]}, channel {column} is "
            f"{x[bad[0]]}; remove it"
        )
    return np.asarray(x)


def _longest_tau(x: Floats) -> float:
    return float(max(autocorrelation_time(x), autocorrelation_time((x - x.mean()) ** 2)))


def corrected_t(samples: Floats) -> float:
    r"""Student's t with Hall's correction for skewness.

    .. math:: t + \frac{\gamma}{\sqrt n}\Big(\frac{t^2}{3} + \frac16\Big) + \frac{\gamma^2 t^3}{27 n}

    Products of one functional and its reflection are skewed to the right, and so, without it, would t be to the left.
    """
    n = len(samples)
    deviations = samples - samples.mean()
    spread = max(float(np.sqrt(np.mean(deviations**2))), float(np.finfo(float).tiny))
    t = float(samples.mean()) / spread * np.sqrt(n - 1)
    skewness = float(np.mean((deviations / spread) ** 3)) / np.sqrt(n)
    return float(t + skewness * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / 27)


def block_length(samples: Floats, group: int = 1) -> int:
    """Units to a block, so that blocks are independent: whole groups of those that share random weights."""
    n = len(samples)
    length = max(1, n // FEWEST)
    x = samples - samples.mean()
    neighbours = float(x[1:] @ x[:-1]) / max(float(x @ x), float(np.finfo(float).tiny))
    # The integrated time alone is too noisy with a hundred units: neighbours must be correlated beyond doubt as well.
    if neighbours > 5 / np.sqrt(n):
        tau = autocorrelation_time(samples)
        length = max(length, int(np.ceil(INDEPENDENT * tau)))
        if n // length < FEWEST_BLOCKS:
            raise InputError(
                f"successive paths are correlated over {tau:.3g} paths, so that {n} of them make {n // length} "
                f"independent blocks, and the test needs {FEWEST_BLOCKS}; give at least "
                f"{2 * FEWEST_BLOCKS * length} paths"
            )
    return -(-length // group) * group


def merged(samples: Floats, length: int) -> Floats:
    """Averages over blocks of equal length; what is left over at the end is not used."""
    n = len(samples) // length
    return np.asarray(samples[: n * length].reshape(n, length).mean(axis=1))
