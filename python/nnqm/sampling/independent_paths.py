"""Independent units of a statistical test: paths, pieces of a trajectory, and blocks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..statistics.autocorrelation import INDEPENDENT, windowed_time
from .path_source import PathReader, Paths, reader_of

__all__: list[str] = []

# Smallest number of independent units for a test that splits them.
FEWEST = 200
# Smallest number of blocks of correlated units in the part that decides.
FEWEST_BLOCKS = 30
# Number of first steps on which the autocorrelation time of a long trajectory is measured.
_TAU_STEPS = 1_000_000


def independent_units(
    paths: Any, channel: int | str | Sequence[int | str], *, dt: float = 1.0, most: int, cut: bool = False
) -> PathReader:
    """Units of one channel, or several, of ``Paths`` or of an array: paths, or pieces of them.

    Fewer than 200 paths are cut if they may be.

    The first ``most`` paths of an array are used, or all if they are cut.
    """
    reader = reader_of(paths, channel, dt)
    if isinstance(paths, Paths):
        return reader.held()
    if not cut or reader.n_units >= FEWEST:
        return reader.first(most)
    given, length = reader.n_units, reader.n_times

    def part(path: int, where: slice) -> Floats:
        x = reader.native(path, path + 1)[:, where].astype(np.float64)
        reader.need_finite(x, path, where.start)
        return np.asarray(x[0])

    beginnings = (part(path, slice(0, _TAU_STEPS)) for path in range(given))
    tau = max(_longest_tau(x) for beginning in beginnings for x in beginning.reshape(len(beginning), -1).T)
    shortest = max(int(np.ceil(INDEPENDENT * tau)), 2)
    # As few pieces as the test can do with: what a pair of times needs is lost at each cut.
    per_path = max(1, min(length // shortest, -(-5 * FEWEST // given)))
    if given * per_path < FEWEST:
        raise InputError(
            f"the test needs at least {FEWEST} independent units; got {given} paths of "
            f"{length} steps with an autocorrelation time of {tau:.3g} steps, which make "
            f"{given * per_path} pieces of {INDEPENDENT:g} such times; give longer paths or more of them"
        )
    if per_path == 1:
        return reader.first(most)
    steps = length // per_path

    def pieces(first: int, last: int) -> Floats:
        found = np.empty((last - first, steps, *reader.shape[1:]))
        for row, unit in enumerate(range(first, last)):
            path, piece = divmod(unit, per_path)
            found[row] = part(path, slice(piece * steps, (piece + 1) * steps))
        return found

    return replace(reader, native=pieces, n_units=given * per_path, n_times=steps)


def _longest_tau(x: Floats) -> float:
    return float(max(windowed_time(x), windowed_time((x - x.mean()) ** 2)))


def corrected_t(samples: Floats) -> float:
    r"""Student's t with Hall's correction for skewness.

    .. math:: t + \frac{\gamma}{\sqrt n}\Big(\frac{t^2}{3} + \frac16\Big) + \frac{\gamma^2 t^3}{27 n}

    Products of one functional and its reflection are skewed to the right, and so, without it, would t be to the left.
    """
    n = len(samples)
    mean = float(samples.mean())
    deviations = samples - mean
    spread = float(np.sqrt(np.mean(deviations**2)))
    if not spread > n * np.finfo(float).eps * abs(mean):
        # Samples that are equal to rounding leave no doubt about the sign of the mean.
        return float(np.copysign(np.inf, mean)) if mean else 0.0
    t = mean / spread * np.sqrt(n - 1)
    skewness = float(np.mean((deviations / spread) ** 3)) / np.sqrt(n)
    return float(t + skewness * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / 27)


def block_length(samples: Floats, group: int = 1) -> int:
    """Units to a block, so that blocks are independent: whole groups of units that share random weights."""
    n = len(samples)
    length = max(1, n // FEWEST)
    x = samples - samples.mean()
    neighbours = float(x[1:] @ x[:-1]) / max(float(x @ x), float(np.finfo(float).tiny))
    # The integrated time alone is too noisy with a hundred units: neighbours must be correlated beyond doubt as well.
    if neighbours > 5 / np.sqrt(n):
        tau = windowed_time(samples)
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
