"""Paths for the test of a property, and p-values for averages over them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from .._arguments import Floats, Rng, choice, integer, positive, random_key
from ..errors import InputError, InputTypeError
from ..sampling.independent_paths import corrected_t
from ..sampling.paths import sample_paths
from ..statistics.estimate import Estimate, format_value, jackknife
from ..statistics.moments import central_part
from ..theories.theory import Theory

__all__ = ["Difference", "PathsOfATest", "PropertySettings", "level", "written"]

# Default number of times; smallest number of paths.
_TIMES, _FEWEST = 32, 1000
# Number of blocks of a test; a tenth of it is the largest number of averages that are compared jointly.
BLOCKS = 128
# Errors of exact values, relative to the size of a function; rounding of bounded functions.
_INEXACT, _ROUNDING = 1e-5, 1e-9
# Largest average of a function whose error is below rounding, in its errors.
_STILL = 10.0
# Smallest variance of a direction that is tested, in units of the errors of the averages; largest mean of the others.
_DEPENDENT, _EXACT = 1e-4, 0.1
# Longest description of a theory in a message, in characters.
_LONGEST = 600


class PropertySettings(TypedDict, total=False):
    """Paths on which a property is tested.

    Attributes
    ----------
    n_paths : int
        Number of paths, at least 1000; each property has a default of its own. It is rounded up to at least 128 groups
        that share random parameters.
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
    def of(cls, theory: Any, purpose: str, settings: PropertySettings, n_paths: int) -> PathsOfATest:
        """The paths that test a property of a theory; ``n_paths`` is the default number."""
        if not isinstance(theory, Theory):
            raise InputTypeError(f"theory must be a Theory; got {theory!r}; nnqm.Theory(source) makes one of a source")
        for name in settings:
            choice("setting", name, PropertySettings.__annotations__)
        least = integer("n_paths", settings.get("n_paths", n_paths), _FEWEST)
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
        # In float32 a spread that is small beside the mean would be rounded.
        drawn = sample_paths(
            self.theory, self.n_paths, times=self.times, key=self.key, channels=names, precision="float64"
        )
        return np.asarray(drawn, dtype=np.float64)

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


@dataclass(frozen=True)
class Difference:
    """Averages that must be zero, each of them linear in the paths.

    Attributes
    ----------
    estimate : Estimate
        Averages over paths of functions of a path, less their expected values, shape (k,).
    rounding : ndarray
        Errors below it are rounding, shape (k,).
    words : tuple of str
        Name of each difference.
    """

    estimate: Estimate
    rounding: Floats
    words: tuple[str, ...]

    @classmethod
    def of(
        cls,
        functions: Sequence[Floats],
        words: Sequence[str],
        group: int,
        expected: Sequence[float] | None = None,
        powers: Sequence[int] = (),
        digits: float = 0.0,
    ) -> Difference:
        """Averages of functions, shape (n_paths,) each; groups of successive paths stay together.

        Values of the expected averages are part of the words where they are given. The functions are then homogeneous,
        of the given powers of x; the first one of power 2 gives the unit of x. ``digits`` is the rounding of
        x, if it is the difference of larger numbers.
        """
        features = np.stack(list(functions), axis=1)
        units = len(features) // group
        blocks = min(BLOCKS, units)
        bounds = group * (units * np.arange(blocks + 1) // blocks)
        sums = {"f": np.add.reduceat(features, bounds[:-1], axis=0), "n": np.diff(bounds).astype(np.float64)}
        found: Estimate = jackknife(lambda s: s["f"] / s["n"][:, None], sums, sums["n"])
        if expected is not None:
            values = np.array(expected)
            found = found.map_replicas(lambda v: v - values)
            words = [f"{word} less its exact value {v:.6g}" for word, v in zip(words, values, strict=True)]
        rounding = np.full(len(words), _ROUNDING)
        if expected is not None:
            # An average can be zero by symmetry, and then is no measure of its rounding.
            unit = np.sqrt(np.mean(np.abs(features[:, list(powers).index(2)])))
            size = np.sqrt(np.mean(features * features, axis=0))
            power = np.array(powers)
            rounding = _INEXACT * np.maximum(size, unit**power) + (unit + digits) ** power - unit**power
        return cls(found, rounding, tuple(words))

    def p_value(self) -> float:
        """p-value of the hypothesis that all averages are zero, with their full covariance.

        It is Hotelling's test. Averages, and directions, that do not fluctuate must be zero to rounding; p is 0 if they
        are not. Normal block averages are assumed, so that a small p-value has to survive Hall's correction for
        skewness along the direction of the difference.
        """
        error, value = self.estimate.error, self.estimate.value
        if not (np.isfinite(value).all() and np.isfinite(error).all()):
            return 0.0
        moves = error > self.rounding
        if np.any(np.abs(value[~moves]) > self.rounding[~moves] + _STILL * error[~moves]):
            return 0.0
        if not moves.any():
            return 1.0
        kept = self.estimate[np.flatnonzero(moves)]
        scale = 1 / error[moves]
        variances, directions = np.linalg.eigh(kept.covariance() * scale[:, None] * scale)
        tested = variances > _DEPENDENT
        if np.any(np.abs(value[moves] * scale @ directions[:, ~tested]) > _EXACT):
            return 0.0
        whitened = directions[:, tested] / np.sqrt(variances[tested])
        return _corrected_p(kept.map_replicas(lambda v: v * scale @ whitened))

    def worst(self) -> str:
        """The average that is farthest from zero, in its errors, in words."""
        error, size = self.estimate.error, np.abs(self.estimate.value)
        # Averages without fluctuations count by rounding.
        pull = size / np.maximum(error, self.rounding)
        i = int(np.argmax(pull))
        shown = format_value(float(self.estimate.value[i]), float(error[i]))
        return f"{self.words[i]} differs from 0 by {shown}, {size[i] / max(error[i], 1e-300):.3g} errors"


def _corrected_p(whitened: Estimate) -> float:
    """Larger p-value of Hotelling's test of independent averages, and of the same with a correction for skewness."""
    zero = np.zeros(whitened.shape)
    # The statistic is the largest squared t of all directions; it is attained along the vector itself.
    weights = whitened.weights[:, None]
    along = (weights * whitened.value - (weights - 1) * whitened.replicas) @ whitened.value
    t = float(along.mean() / along.std()) * np.sqrt(len(along) - 1)
    factor = max(corrected_t(along), 0.0) / t if t > 0 else 1.0
    moved = (factor - 1) * whitened.value
    corrected = Estimate(whitened.value + moved, whitened.replicas + moved, whitened.weights)
    return max(whitened.consistency(zero), corrected.consistency(zero))
