"""The transfer matrix in the Krylov space of one observable, with directions of noise left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._arguments import Floats
from ..statistics.estimate import Estimate
from ..statistics.matrices import generalised_eigenstates, product
from .decay_levels import Judge
from .gevp import Directions, between, estimate_of, expectation, stack_of
from .levels import Level
from .positive_sums import SINGULAR, bound_of_levels

__all__: list[str] = []


@dataclass(frozen=True, eq=False, repr=False)
class Krylov:
    """Matrices <i|T^n|j> = G(t_0 + (i + j + n) tau), n = 0, 1, 2, in units of the errors of the first one's diagonal.

    ``hankel`` have shape (R, k, k): the correlator, then its replicas.
    """

    hankel: tuple[Floats, Floats, Floats]
    scale: float  # of the first row
    sizes: Floats
    significant: float  # errors beyond which a direction or a weight counts
    directions: Floats  # (k, d), strongest first

    @classmethod
    def of(cls, values: Estimate, significant: float) -> Krylov:
        """The matrices of a correlator of 2k + 1 values in equal steps, k at least 1."""
        size = (len(values) - 1) // 2
        stack, index = stack_of(values), np.add.outer(np.arange(size), np.arange(size))
        # In units of the errors, so that late times of mostly noise do not weigh as much as early ones.
        scale = 1 / np.sqrt(values.error[2 * np.arange(size)])
        first, second, third = (stack[:, index + n] * scale[:, None] * scale for n in range(3))
        metric = Directions.of(first, values.weights)
        directions = metric.whitened(metric.significant(significant) & metric.above(SINGULAR))[:, ::-1]
        return cls((first, second, third), float(scale[0]), values.weights, significant, directions)

    def states(self, kept: int) -> list[State | None]:
        """Ritz values in a space of directions, largest first; None for those that noise can make."""
        basis = self.directions[:, :kept]
        metric, moved, twice = (between(basis, h) for h in self.hankel)
        try:
            ritz, states = generalised_eigenstates(metric, moved)
        except np.linalg.LinAlgError:
            return [None] * kept
        ritz, states = ritz[:, ::-1], states[:, :, ::-1]
        residual = expectation(states, twice) - ritz**2
        overlap = product(product(self.hankel[0][:, :1], basis), states)[:, 0] / self.scale
        found: list[State | None] = []
        for k in range(ritz.shape[1]):
            value, bound, seen = (estimate_of(s[:, k], self.sizes) for s in (ritz, residual, overlap**2))
            visible = seen.value > self.significant * seen.error
            positive = ritz[:, k].min() > 0 and value.value < 1 + 3 * value.error
            # A negative eigenvalue is claimed only where no fast level of a positive one can look like it.
            negative = (
                ritz[:, k].max() < 0
                and value.value < -self.significant * value.error
                and value.value > -1 - 3 * value.error
            )
            found.append(State(value, bound, seen) if visible and (positive or negative) else None)
        return found

    def filtered(self) -> list[State]:
        """States of the largest space in which noise makes none of them."""
        states: list[State] = []
        for kept in range(self.directions.shape[1], 0, -1):
            found = self.states(kept)
            states = [state for state in found if state is not None]
            if len(states) == kept:
                break
        return states


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """A Ritz value, its squared residual, and its weight in the correlator at the first time."""

    value: Estimate
    bound: Estimate
    seen: Estimate

    @property
    def alternates(self) -> bool:
        return bool(self.value.value < 0)

    def level(self, judge: Judge, unit: float, factor: float, steps: float) -> Level:
        """The level; ``unit`` is hbar over the step, the weight is multiplied by ``factor`` and moved by ``steps``."""
        size = abs(float(self.value.value))
        spread = unit * bound_of_levels(float(self.bound.value), float(self.bound.error)) / size
        gap = self.value.map_replicas(lambda v: -unit * np.log(np.abs(v))).with_systematic(spread)
        weight = self.seen.map_replicas(lambda w, v: factor * w * np.abs(v) ** -steps, self.value)
        return judge.level(gap, weight, True)
