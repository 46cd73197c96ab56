"""Paths for the test of a property, and p-values for averages over them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, Rng, choice, integer, positive, random_key
from ..errors import InputError, InputTypeError
from ..sampling.independent_paths import corrected_t
from ..sampling.paths import sample_paths
from ..statistics.estimate import Estimate, format_value, jackknife
from ..statistics.moments import central_part
from ..theories.theory import Theory

__all__ = ["PathsOfATest", "PropertySettings", "block_averages", "joint_p", "level", "written"]

# Default numbers of paths and times.
_PATHS, _TIMES = 16384, 32
# Number of blocks of a test; a tenth of it is the largest number of averages that are compared jointly.
BLOCKS = 128
# Smallest variance, relative to the largest, of a direction that is tested; its largest mean, in errors of the others.
_DEPENDENT, _EXACT = 1e-8, 0.1
# Longest description of a theory in a message, in characters.
_LONGEST = 600


class PropertySettings(TypedDict, total=False):
    """Paths on which a property is tested.

    Attributes
    ----------
    n_paths : int
        Number of paths, 16384 by default; rounded up to at least 128 groups that share random parameters.
    n_times : int
        Number of times, at least 4, 32 by default.
    dt : float
        Time step; by default the step of a chain, or the natural step of the fastest source. Closed paths and sources
        on an interval have all of it in equal steps.
    rng : int, SeedSequence, Generator or None
        Random numbers; by default a key that is a function of the theory and of the property, so that a failure
        repeats.
    """

    n_paths: int
    n_times: int
    dt: float
    rng: Rng


@dataclass(frozen=True)
class PathsOfATest:
    """A theory, a grid of times, a number of paths and a key.

    Attributes
    ----------
    theory : Theory
    n_paths : int
        A multiple of the number of paths that share random parameters.
    times : ndarray
        Uniform grid, shape (n_times,), unit time.
    key : int
    """

    theory: Theory
    n_paths: int
    times: Floats
    key: int

    @classmethod
    def of(cls, theory: Any, purpose: str, settings: PropertySettings) -> PathsOfATest:
        """The paths that test a property of a theory."""
        if not isinstance(theory, Theory):
            raise InputTypeError(f"theory must be a Theory; got {theory!r}; nnqm.Theory(source) makes one of a source")
        for name in settings:
            choice("setting", name, PropertySettings.__annotations__)
        least = integer("n_paths", settings.get("n_paths", _PATHS), 1000)
        groups = max(-(-least // theory.group), BLOCKS)
        rng = settings.get("rng")
        key = random_key(int.from_bytes(_digest(theory, purpose)[:8]) if rng is None else rng)
        return cls(theory, groups * theory.group, _grid(theory, settings), key)

    @property
    def dt(self) -> float:
        """Time step."""
        return float(self.times[1] - self.times[0])

    def read(self, channels: Sequence[str] | None = None) -> Floats:
        """Values of channels, by default the outputs, shape (n_paths, n_times, channels), float64."""
        names = self.theory.outputs if channels is None else tuple(channels)
        drawn = sample_paths(self.theory, self.n_paths, times=self.times, key=self.key, channels=names)
        return drawn.astype(np.float64)

    def bounded(self, channels: Sequence[str]) -> tuple[Floats, list[str]]:
        """Bounded functions u = tanh((x - a)/b) of channels, a and b their median and spread; and their texts."""
        x, texts = self.read(channels), []
        for c, name in enumerate(channels):
            middle = central_part(x[:, :, c])
            width = middle.half_width
            if not width > 1e-6 * max(abs(middle.low), abs(middle.high)):
                width = float(np.abs(x[:, :, c] - middle.median).max()) or 1.0
            x[:, :, c] = np.tanh((x[:, :, c] - middle.median) / width)
            texts.append(f"u = tanh(({name} - {middle.median:.4g})/{width:.4g})")
        return x, texts

    def __str__(self) -> str:
        a, b = self.times[0], self.times[-1]
        where = f"{self.n_paths} paths of {len(self.times)} times on [{a:.4g}, {b:.4g}], key {self.key}"
        return f"{where}; {written(self.theory)}"


def _digest(theory: Theory, purpose: str) -> bytes:
    return hashlib.sha256(f"{purpose}: {written(theory, None)}".encode()).digest()


def written(theory: Theory, longest: int | None = _LONGEST) -> str:
    """A theory as text that makes it again, cut if it is long; its repr if it cannot be saved."""
    try:
        text = f"theory = nnqm.Theory.from_dict({json.dumps(theory.to_dict(), default=repr, sort_keys=True)})"
    except (InputError, InputTypeError):
        # Addresses in memory change from run to run.
        text = "theory = " + re.sub(r" at 0x[0-9a-f]+", "", repr(theory))
    if longest is None or len(text) <= longest:
        return text
    return f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def _grid(theory: Theory, settings: PropertySettings) -> Floats:
    n = integer("n_times", settings.get("n_times", _TIMES), 4)
    given = positive("dt", settings["dt"]) if "dt" in settings else None
    if theory.period is not None:
        return np.asarray(theory.period / n * np.arange(n))
    intervals = [source.interval for source in theory.sources if source.interval is not None]
    if intervals and given is None:
        return np.linspace(max(a for a, _ in intervals), min(b for _, b in intervals), n)
    steps = [source.step for source in theory.sources if source.step is not None]
    dt = given or (steps[0] if steps else min(source.natural_step for source in theory.sources))
    return np.asarray(theory.first_time((n - 1) * dt) + dt * np.arange(n))


def level(significance: float) -> float:
    """The significance, checked."""
    number = positive("significance", significance)
    if number >= 0.1:
        raise InputError(f"significance must be below 0.1; got {number:g}; it is the probability of a false alarm")
    return number


def block_averages(features: NDArray[Any], group: int) -> Estimate:
    """Averages over paths of features, shape (n_paths, k); groups of successive paths stay together."""
    units = len(features) // group
    bounds = group * (units * np.arange(min(BLOCKS, units) + 1) // min(BLOCKS, units))
    sums = {"f": np.add.reduceat(features, bounds[:-1], axis=0), "n": np.diff(bounds).astype(np.float64)}
    found: Estimate = jackknife(lambda s: s["f"] / s["n"][:, None], sums, sums["n"])
    return found


def joint_p(difference: Estimate) -> float:
    """p-value of the hypothesis that all entries of a vector are zero, with their full covariance.

    It is Hotelling's test. Directions in which the vector does not fluctuate must be zero to rounding; p is 0 if they
    are not. Normal block averages are assumed, so that a small p-value has to survive Hall's correction for skewness
    along the direction of the difference.
    """
    error, value = difference.error, difference.value
    moves = error > 0
    size = float(np.max(np.abs(difference.replicas), initial=0.0))
    if np.any(np.abs(value[~moves]) > 1e-6 * max(size, 1e-300)):
        return 0.0
    if not moves.any():
        return 1.0
    kept = difference[np.flatnonzero(moves)]
    scale = 1 / error[moves]
    correlation = kept.covariance() * scale[:, None] * scale
    variances, directions = np.linalg.eigh(correlation)
    tested = variances > _DEPENDENT * len(variances)
    scaled = value[moves] * scale
    if np.any(np.abs(scaled @ directions[:, ~tested]) > _EXACT):
        return 0.0
    whitened = directions[:, tested] / np.sqrt(variances[tested])
    reduced = kept.map_replicas(lambda v: v * scale @ whitened)
    zero = np.zeros(reduced.shape)
    p = reduced.consistency(zero)
    # The statistic is the largest squared t of all directions, and this is where it is attained.
    weights = reduced.weights[:, None]
    along = (weights * reduced.value - (weights - 1) * reduced.replicas) @ reduced.value
    t = float(along.mean() / along.std()) * np.sqrt(len(along) - 1)
    factor = max(corrected_t(along), 0.0) / t if t > 0 else 1.0
    moved = (factor - 1) * reduced.value
    return max(p, Estimate(reduced.value + moved, reduced.replicas + moved, reduced.weights).consistency(zero))


def worst(difference: Estimate, texts: Sequence[str]) -> str:
    """The entry with the largest difference in its error, in words."""
    error = difference.error
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = np.nan_to_num(np.abs(difference.value) / error, nan=0.0, posinf=np.inf)
    i = int(np.argmax(pull))
    size = f"{pull[i]:.1f} errors" if np.isfinite(pull[i]) else "without fluctuations"
    return f"{texts[i]} differs from 0 by {format_value(float(difference.value[i]), float(error[i]))}, {size}"
