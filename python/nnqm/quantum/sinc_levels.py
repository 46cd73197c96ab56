"""Levels on an equidistant grid, where V is smooth: the interval grows and the spacing shrinks until they converge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..statistics.rules import legendre_rule
from .pieces import NODES, Pieces
from .problem import FINE, Problem, Window
from .sinc_basis import SincBasis

__all__ = ["grid", "solved_on_a_grid"]

# Largest number of grid points.
_MAX_POINTS = 1200

# Largest number of trials of an interval and a spacing.
_TRIALS = 24

# Errors of the potential between the points, in rounding errors and relative to the height, that are rounding.
_SEEN, _RELATIVE = 1e3, 3e-13


def grid(problem: Problem, interval: tuple[float, float], spacing: float, offset: float = 0.0) -> SincBasis:
    """A basis on an interval, shifted by ``offset`` spacings."""
    a, b = interval
    survey = problem.survey
    size = 2 * max(int(np.ceil((b - a) / spacing / 2)), 4)
    if survey.limited:
        # The outermost points lie half a spacing inside the ends, beyond which V is not known.
        spacing = min(spacing, (b - a) / (size + 2 * abs(offset)))
    points = np.asarray((a + b) / 2 + spacing * (np.arange(size) - (size - 1) / 2 + offset), dtype=np.float64)
    v = problem.evaluate(points)
    even = survey.even and offset == 0
    if even:
        v[: size // 2] = v[: size // 2 - 1 : -1]
    return SincBasis(
        points=points,
        weights=np.full(size, spacing),
        step=spacing,
        potential=v,
        hbar=problem.hbar,
        mass=problem.mass,
        even=even,
    )


def solved_on_a_grid(problem: Problem, count: int) -> SincBasis | None:
    """A basis whose lowest levels no longer change, and whose points show all of V; None if there is none.

    The potential between the points must be what the grid believes: the states, interpolated, are applied to V
    at the nodes of its pieces.
    """
    survey = problem.survey
    window = Window(problem, count)
    a, b = survey.interval(window.energy, 44.0, problem.unit)
    if (survey.walls[0] and a <= survey.x[0]) or (survey.walls[1] and b >= survey.x[-1]):
        return None
    scale = max(
        survey.energy(1.5, problem.unit) - survey.energy(0.5, problem.unit), 1e-12 * (window.energy - survey.lowest)
    )
    if not _smooth(problem.pieces((a, b), window.energy, scale)):
        return None
    found = _converged(problem, count, window)
    if found is None:
        return None
    ends = (float(found.points[0]), float(found.points[-1]))
    pieces = problem.pieces(ends, window.energy, scale)
    if not _smooth(pieces):
        return None
    return _certified(problem, found, pieces)


def _smooth(pieces: Pieces) -> bool:
    return len(pieces.breaks) == 0 and bool(pieces.finite.all())


def _certified(problem: Problem, basis: SincBasis, pieces: Pieces) -> SincBasis | None:
    """The basis with the errors of its potential between the points added; None if they exceed the tolerance."""
    count = len(basis.errors)
    z, weights = legendre_rule(NODES)
    spacing = 1.5 * basis.spacing
    parts = np.maximum(np.ceil(pieces.widths / spacing), 1).astype(int)
    edges = np.concatenate(
        [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(pieces.edges[:-1], pieces.edges[1:], parts, strict=True)]
        + [pieces.edges[-1:]]
    )
    widths = np.diff(edges)
    x = (edges[:-1, None] + widths[:, None] * ((z + 1) / 2)).ravel()
    w = (widths[:, None] / 2 * weights).ravel()
    vectors = basis.vectors[:, :count]
    both = np.concatenate([vectors, basis.potential[:, None] * vectors], axis=1)
    values = basis.interpolate(both, x)
    psi, believed = values[:, :count], values[:, count:]
    defect = problem.evaluate(x)[:, None] * psi - believed
    first = np.abs(np.sum(w[:, None] * psi * defect, axis=0))
    second = np.sum(w[:, None] * defect**2, axis=0)
    height = np.maximum(basis.energies[:count] - problem.survey.lowest, 1e-300)
    gap = max(float(np.diff(basis.energies[: max(count, 2)]).max()), 1e-300)
    missed = 2 * (first + second / gap)
    missed[missed < np.maximum(_SEEN * basis.rounding, _RELATIVE * height)] = 0
    if float(((missed + basis.errors) / height).max()) > problem.tolerance:
        return None
    return basis if not missed.any() else replace(basis, errors=basis.errors + missed)


def _converged(problem: Problem, count: int, window: Window) -> SincBasis | None:
    """A basis whose lowest levels no longer change when the interval grows and the spacing shrinks, if there is one."""
    survey = problem.survey
    previous: Floats | None = None
    best: tuple[float, SincBasis] | None = None
    history: list[float] = []
    # Grid points per half of the shortest wavelength.
    ratio = 2.0
    for _ in range(_TRIALS):
        if not window.energy > window.lowest:
            raise InputError(
                f"the potential differs from its minimum {survey.lowest:g} by less than the rounding where its lowest "
                "states live; subtract a constant from it"
            )
        spacing = _short(np.pi / (ratio * problem.unit * np.sqrt(window.energy - window.lowest)))
        a, b = window.interval()
        if (b - a) / spacing > _MAX_POINTS:
            break
        basis = grid(problem, (a, b), spacing)
        if len(basis.points) < count + 2:
            ratio *= 1.25
            continue
        levels = basis.lowest(count)
        if previous is not None:
            height = np.maximum(levels - survey.lowest, 1e-300)
            errors = _errors(problem, basis, levels, previous)
            reached = float((errors / height).max())
            if best is None or reached < best[0]:
                best = (reached, replace(basis, errors=errors))
            if np.all(np.abs(levels - previous) <= 3 * basis.rounding + 1e-14 * height):
                break
            if reached <= problem.tolerance > FINE:
                break
            history.append(reached)
            # A finer grid does not reduce the error from the ends of a table.
            if len(history) > 4 and survey.limited and reached > 0.5 * history[-4]:
                break
        previous = levels
        if window.enlarge(float(levels[-1])):
            ratio *= 1.25
    if best is None or best[0] > problem.tolerance:
        return None
    return best[1]


def _errors(problem: Problem, basis: SincBasis, levels: Floats, previous: Floats) -> Floats:
    # If convergence is of first order only, the remaining error is four times the last change. The rounding of the
    # eigensolver is a few times that of the largest number.
    errors = 4 * (np.abs(levels - previous) + basis.rounding)
    if problem.survey.limited:
        # Probability at the outermost points, where the wave is cut off.
        count = len(levels)
        edge = np.maximum(basis.vectors[0, :count] ** 2, basis.vectors[-1, :count] ** 2)
        errors = errors + 6 * basis.kinetic[0, 0] * edge
    return np.asarray(errors)


def _short(x: float) -> float:
    """The nearest number of 24 bits: a grid that follows from eigenvalues must not depend on the rounding of a BLAS."""
    fraction, exponent = np.frexp(x)
    return float(np.ldexp(np.round(fraction * 2.0**24), int(exponent) - 24))
