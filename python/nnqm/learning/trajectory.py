"""A sequence of theories along a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .._arguments import integer
from ..errors import InputError, InputTypeError
from ..theories.theory import Theory

__all__ = ["Trajectory"]


@dataclass(frozen=True)
class Trajectory:
    """Theories along a training, at increasing numbers of steps.

    Parameters
    ----------
    steps : sequence of int
        Numbers of training steps, increasing, not negative.
    theories : sequence of Theory
        One theory per entry of ``steps``.
    losses : sequence of float, optional
        Loss at each entry of ``steps``.

    Raises
    ------
    InputError, InputTypeError
        If the lengths differ, the steps do not increase, or an entry is no theory.
    """

    steps: tuple[int, ...]
    theories: tuple[Theory, ...]
    losses: tuple[float, ...] | None = None

    def __init__(self, steps: Sequence[int], theories: Sequence[Theory], losses: Sequence[float] | None = None) -> None:
        numbers = tuple(integer(f"steps[{i}]", s, 0) for i, s in enumerate(steps))
        listed = tuple(theories)
        for i, theory in enumerate(listed):
            if not isinstance(theory, Theory):
                raise InputTypeError(f"theories[{i}] must be a Theory; got {theory!r}")
        if not numbers or len(numbers) != len(listed) or (losses is not None and len(losses) != len(listed)):
            raise InputError(
                f"steps, theories and losses must have the same length, at least 1; got {len(numbers)}, {len(listed)} "
                f"and {'none' if losses is None else len(losses)}"
            )
        for i, (before, after) in enumerate(pairwise(numbers)):
            if after <= before:
                raise InputError(f"steps must increase; steps[{i + 1}]={after} <= steps[{i}]={before}")
        object.__setattr__(self, "steps", numbers)
        object.__setattr__(self, "theories", listed)
        object.__setattr__(self, "losses", None if losses is None else tuple(float(x) for x in losses))
