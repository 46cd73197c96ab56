"""Levels on panels: panels follow the pieces of V and the local wave number, and shrink until the levels converge."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from ..errors import InputError
from ..statistics.rules import legendre_rule
from .dvr import EPS
from .panel_basis import Elements, PanelBasis, panel_basis
from .pieces import NODES, Pieces
from .problem import Problem, Window

__all__ = ["bound_levels", "covering", "finer", "solved_on_panels"]

# Largest number of points of a basis on panels; a solution takes about a second.
_MOST_POINTS = 1400

# Largest number of trials, and of the sum of the cubes of their numbers of points, a time of few seconds.
_TRIALS, _WORK = 40, 1.5e9

# Phase of a wave from the middle of a panel to its end, for few levels and for many.
_PHASE, _MANY, _LONG_PHASE = 4.0, 40, 9.0

# Accuracy of a wave in a panel at the lowest order, and the lowest and the highest order.
_WAVE, _ORDERS = 1e-8, (4, 40)

# Relative accuracy beyond which refinement ends, and the decay exponent of waves at the ends.
_ENOUGH, _ACTION = 1e-12, 27.0

# Phase of a wave in narrow panels, and the product of this phase and of the relative change of V that is negligible.
_NARROW, _NEGLIGIBLE = 1e-2, 1e-9


def solved_on_panels(problem: Problem, count: int) -> PanelBasis:
    """A basis on panels that carries the lowest ``count`` levels to the tolerance.

    Raises
    ------
    InputError
        If the tolerance is not reached.
    """
    window = Window(problem, count)
    previous: Floats | None = None
    best: tuple[float, PanelBasis] | None = None
    size, extra, work, allowed = 0, 0, 0.0, problem.tolerance
    for _ in range(_TRIALS):
        elements, pieces = _panels(problem, window, count, extra)
        size = elements.size
        work += float(size) ** 3 / (4 if problem.survey.even else 1)
        if size > _MOST_POINTS or work > _WORK:
            break
        if size < count + 4:
            extra += 4
            continue
        basis = panel_basis(elements, problem.evaluate, problem.hbar, problem.mass, even=_even(problem, elements))
        levels = basis.energies[:count]
        if previous is not None:
            height = _height(problem, basis, count)
            noise = _noise(basis, pieces, count)
            basis = replace_errors(basis, np.zeros(count))
            errors = 4 * np.abs(levels - previous) + basis.rounding + noise + _cut(problem, basis, count)
            reached = float((errors / height).max())
            allowed = max(problem.tolerance, min(1e-6, 20 * float(((noise + basis.rounding) / height).max())))
            if best is None or reached < best[0]:
                best = (reached, replace_errors(basis, errors))
            elif best[0] <= allowed:
                break
            if reached <= max(_ENOUGH, 0.0 if allowed <= 1e-10 else allowed):
                break
            if np.all(np.abs(levels - previous) <= basis.rounding + noise):
                break
        if window.enlarge(float(levels[-1])):
            previous = levels
            extra += 4
        else:
            previous = None
    if best is None or best[0] > allowed:
        raise _failure(problem, count, size, None if best is None else best[0])
    return best[1]


def replace_errors(basis: PanelBasis, errors: Floats) -> PanelBasis:
    """The same basis with errors of its levels; what is solved is kept."""
    new = replace(basis, errors=errors)
    for name in ("kinetic", "matrix", "_solved"):
        if name in basis.__dict__:
            new.__dict__[name] = basis.__dict__[name]
    return new


def bound_levels(problem: Problem) -> int | None:
    r"""Number of levels below the threshold of the continuum; None if there are infinitely many.

    Where V equals the threshold, a wave of this energy is straight. A level below the threshold exists for each
    negative eigenvalue of H - threshold on the interval beyond which V is constant, with waves of zero slope at its
    ends, because the eigenvalues grow with the slope.
    """
    survey, unit = problem.survey, problem.unit
    threshold = survey.threshold
    depth = threshold - survey.lowest
    if depth <= 0:
        return 0
    phase = survey.phase(threshold, unit)
    inner = survey.interval(threshold - 0.5 * depth, 0.0, unit)
    centre, width = (inner[0] + inner[1]) / 2, inner[1] - inner[0]
    distance = np.abs(survey.x - centre)
    # A tail that falls faster than 1/x^2 binds a finite number of levels.
    tail = unit**2 * np.maximum(threshold - survey.v, 0) * distance**2
    far = distance > 1e6 * width
    if not survey.limited and far.any() and tail[far & (distance < 1e9 * width)].max(initial=0.0) > 0.3:
        return None
    if phase > 250:
        return int(phase + 0.5)
    seen = np.flatnonzero(tail > 1e-11)
    ends, free = [], []
    for side in (0, 1):
        at = survey.x[max(seen[0] - 1, 0)] if side == 0 else survey.x[min(seen[-1] + 1, len(survey.x) - 1)]
        at = float(np.clip(at, centre - 1e5 * width, centre + 1e5 * width))
        closed = survey.sides[side] > threshold + 1e-12 * depth
        ends.append(survey.interval(threshold - 1e-9 * depth, 30.0, unit)[side] if closed else at)
        free.append(not closed)
    interval = (-max(-ends[0], ends[1]), max(-ends[0], ends[1])) if survey.even else (ends[0], ends[1])
    pieces = problem.pieces(_half(problem, interval), threshold, depth)
    before: int | None = None
    for extra in (2, 8):
        elements = _elements(problem, pieces, (threshold, survey.lowest), _PHASE, extra)
        elements = replace(_mirrored(elements) if survey.even else elements, free=(free[0], free[1]))
        if elements.size > _MOST_POINTS:
            return int(phase + 0.5)
        basis = panel_basis(elements, problem.evaluate, problem.hbar, problem.mass, even=_even(problem, elements))
        found = int(np.sum(basis.energies < threshold - 1e-9 * depth))
        if found == before:
            break
        before = found
    return found


def finer(problem: Problem, basis: PanelBasis, by: float) -> PanelBasis:
    """The basis on the same panels with orders multiplied by ``by``."""
    elements = replace(basis.elements, orders=np.ceil(basis.elements.orders * by).astype(np.int64))
    return panel_basis(elements, problem.evaluate, problem.hbar, problem.mass, even=basis.even)


def covering(
    problem: Problem, basis: PanelBasis, interval: tuple[float, float], spacing: float, offset: float
) -> Elements:
    """Panels that cover an interval, with points at most ``spacing`` apart.

    Edges that are no breaks move by ``offset`` spacings.
    """
    old = basis.elements
    kept = (old.right > interval[0]) & (old.left < interval[1])
    first, last = int(np.argmax(kept)), len(kept) - int(np.argmax(kept[::-1]))
    left, right, orders = [], [], []
    for e in range(first, last):
        width, order = old.right[e] - old.left[e], int(old.orders[e])
        # The largest distance of Lobatto nodes is about pi/2 of their mean distance.
        needed = max(order, int(np.ceil(np.pi / 2 * width / spacing)))
        parts = -(-needed // 24) if needed > max(order, 24) else 1
        edges = np.linspace(old.left[e], old.right[e], parts + 1)
        left += list(edges[:-1])
        right += list(edges[1:])
        orders += [-(-needed // parts)] * parts
    lefts, rights = np.array(left), np.array(right)
    for e in range(1, len(lefts)):
        if rights[e - 1] == lefts[e] and lefts[e] not in old.breaks:
            least = min(rights[e] - lefts[e], rights[e - 1] - lefts[e - 1])
            lefts[e] = rights[e - 1] = lefts[e] + offset * min(spacing, 0.25 * least)
    return Elements(left=lefts, right=rights, orders=np.array(orders, dtype=np.int64), breaks=old.breaks)


def _even(problem: Problem, elements: Elements) -> bool:
    return problem.survey.even and bool(np.array_equal(elements.left, -elements.right[::-1]))


def _half(problem: Problem, interval: tuple[float, float]) -> tuple[float, float]:
    return (0.0, interval[1]) if problem.survey.even else interval


def _panels(problem: Problem, window: Window, count: int, extra: int) -> tuple[Elements, Pieces]:
    scale = max(_scale(problem), 1e-12 * (window.energy - window.lowest))
    interval = problem.survey.interval(window.energy, _ACTION + extra / 4, problem.unit)
    pieces = problem.pieces(_half(problem, interval), window.energy, scale)
    bottom = problem.survey.energy(0.5, problem.unit)
    phase = _PHASE if count < _MANY else _LONG_PHASE
    elements = _elements(problem, pieces, (window.energy, min(bottom, window.energy)), phase, extra)
    return (_mirrored(elements) if problem.survey.even else elements), pieces


def _scale(problem: Problem) -> float:
    """A distance of low levels."""
    return problem.survey.energy(1.5, problem.unit) - problem.survey.energy(0.5, problem.unit)


def _mirrored(elements: Elements) -> Elements:
    return Elements(
        left=np.concatenate([-elements.right[::-1], elements.left]),
        right=np.concatenate([-elements.left[::-1], elements.right]),
        orders=np.concatenate([elements.orders[::-1], elements.orders]),
        # The middle stays an edge: V may have a kink there.
        breaks=np.concatenate([-elements.breaks[::-1], [0.0], elements.breaks]),
    )


def _elements(problem: Problem, pieces: Pieces, energies: tuple[float, float], phase: float, extra: int) -> Elements:
    """Panels in which waves between two energies have at most a phase, with orders for these waves and for V."""
    walls = [x for x, wall in zip(pieces.edges[[0, -1]], problem.survey.walls, strict=True) if wall]
    left, right = _coarse(pieces, problem.unit, energies[0] - problem.bottom, walls)
    for _ in range(60):
        wave = _phases(problem, left, right, energies)
        long = wave > phase
        if not long.any():
            break
        middle = (left[long] + right[long]) / 2
        ends = right[long]
        right[long] = middle
        left, right = np.concatenate([left, middle]), np.concatenate([right, ends])
        order = np.argsort(left, kind="stable")
        left, right = left[order], right[order]
        if len(left) > _MOST_POINTS:
            break
    if not len(left):
        raise InputError("no interval holds the lowest states to double precision; use other units, or give domain")
    wave = _phases(problem, left, right, energies)
    orders = np.maximum(_orders(wave), _degrees(problem, pieces, left, right, energies) + 2) + extra
    return Elements(left=left, right=right, orders=np.clip(orders, *_ORDERS).astype(np.int64), breaks=pieces.breaks)


def _coarse(pieces: Pieces, unit: float, depth: float, walls: list[float]) -> tuple[Floats, Floats]:
    """Ends of the finite panels; narrow ones are joined if there is no break between them and V hardly changes."""
    edges = pieces.edges
    wave = unit * np.sqrt(max(depth, 1e-300))
    lows, highs = pieces.values.min(axis=1), pieces.values.max(axis=1)
    left: list[float] = []
    right: list[float] = []
    low = high = 0.0
    for k in np.flatnonzero(pieces.finite):
        a, b = float(edges[k]), float(edges[k + 1])
        if right and right[-1] == a and a not in pieces.breaks:
            new_low, new_high = min(low, float(lows[k])), max(high, float(highs[k]))
            width = min(b - a, a - left[-1])
            effect = (new_high - new_low) * width * wave
            for wall in walls:
                # A wave is small near a wall.
                effect *= min(1.0, (wave * max(abs(left[-1] - wall), abs(b - wall))) ** 2)
            if width * wave < _NARROW and effect < _NEGLIGIBLE * depth:
                right[-1], low, high = b, new_low, new_high
                continue
        left.append(a)
        right.append(b)
        low, high = float(lows[k]), float(highs[k])
    return np.array(left), np.array(right)


def _phases(problem: Problem, left: Floats, right: Floats, energies: tuple[float, float]) -> Floats:
    """Phase, or decay exponent, of waves from the middle of panels to their ends, where they are not negligible."""
    z = np.array([0.003, 0.06, 0.25, 0.5, 0.75, 0.94, 0.997])
    x = left[:, None] + (right - left)[:, None] * z
    v = problem.evaluate(x.ravel()).reshape(x.shape)
    steepest = np.zeros(len(left))
    for share in (0.0, 0.03, 0.1, 0.3, 1.0):
        energy = energies[0] - share * (energies[0] - energies[1])
        a, b = problem.survey.interval(energy, _ACTION + 8, problem.unit)
        steepness = np.abs(v - energy).max(axis=1)
        steepest = np.where((right > a) & (left < b), np.maximum(steepest, steepness), steepest)
    return np.asarray(problem.unit * np.sqrt(steepest) * (right - left) / 2)


def _orders(phases: Floats) -> NDArray[np.int64]:
    """Orders at which polynomials represent waves of given phases: the remainder of the Taylor series."""
    order = np.arange(1, _ORDERS[1] + 1)
    with np.errstate(over="ignore"):  # far too low an order
        remainder = (math.e * phases[:, None] / (2 * order)) ** order
    fits = (remainder < _WAVE) & (2 * order > math.e * phases[:, None])
    return np.where(fits.any(axis=1), order[np.argmax(fits, axis=1)], _ORDERS[1])


def _degrees(
    problem: Problem, pieces: Pieces, left: Floats, right: Floats, energies: tuple[float, float]
) -> NDArray[np.int64]:
    """Degrees of the polynomials that V is in panels."""
    z, weights = legendre_rule(NODES)
    x = left[:, None] + (right - left)[:, None] * ((z + 1) / 2)
    v = problem.evaluate(x.ravel()).reshape(x.shape)
    legendre = np.polynomial.legendre.legvander(z, NODES - 1)
    shares = np.abs((v * weights) @ legendre) * (np.arange(NODES) + 0.5)
    size = abs(energies[0] - energies[1]) + np.abs(v - energies[0]).max(axis=1)
    panel = np.clip(np.searchsorted(pieces.edges, (left + right) / 2) - 1, 0, len(pieces.noise) - 1)
    least = 1e-10 * size * np.minimum(1.0, (right - left).max() / (right - left)) + 4 * pieces.noise[panel]
    seen = shares > least[:, None]
    return np.where(seen.any(axis=1), NODES - 1 - np.argmax(seen[:, ::-1], axis=1), 0)


def _height(problem: Problem, basis: PanelBasis, count: int) -> Floats:
    """Heights of levels above the lowest V, or a thousand kinetic energies where V has a deep narrow hole."""
    vectors = basis.vectors[:, :count]
    kinetic = np.sum(vectors * (basis.kinetic @ vectors), axis=0)
    height = np.maximum(basis.energies[:count] - problem.bottom, 1e-300)
    return np.asarray(np.minimum(height, 2e3 * np.maximum(kinetic, 1e-300)))


def _noise(basis: PanelBasis, pieces: Pieces, count: int) -> Floats:
    """Effect of the rounding of V on levels."""
    x = np.abs(basis.points) if pieces.edges[0] == 0 and basis.even else basis.points
    panel = np.clip(np.searchsorted(pieces.edges, x) - 1, 0, len(pieces.noise) - 1)
    own = np.minimum(pieces.noise[panel], np.abs(basis.potential)) + EPS * np.abs(basis.potential)
    return np.asarray(own @ basis.vectors[:, :count] ** 2)


def _cut(problem: Problem, basis: PanelBasis, count: int) -> Floats:
    """Effect on levels of the ends of a table, where waves are cut off although V is not known to be a wall."""
    survey = problem.survey
    if not survey.limited or all(survey.walls):
        return np.zeros(count)
    low, high = basis.ends
    step = 1e-5 * (high - low)
    slopes = basis.interpolate(basis.vectors[:, :count], np.array([low + step, high - step])) / step
    slopes[np.isinf(survey.sides)] = 0
    # A wall that moves by a distance d changes a level by (hbar psi')^2 d/2m.
    return np.asarray(np.max(slopes**2, axis=0) / problem.unit**2 * (high - low) / 20)


def _failure(problem: Problem, count: int, size: int, reached: float | None) -> InputError:
    if reached is None and size > _MOST_POINTS:
        return InputError(
            f"{count} levels need a grid of {size} points, more than {_MOST_POINTS}; ask for fewer levels, or give "
            "domain where the potential extends over very different scales"
        )
    got, hint, survey = "no result" if reached is None else f"{reached:.1e}", "", problem.survey
    if survey.limited and not all(survey.walls):
        hint = (
            f"; waves must vanish at the ends of [{survey.x[0]:g}, {survey.x[-1]:g}]: a wider "
            f"{problem.potential.place} may help"
        )
    return InputError(
        f"tolerance={problem.tolerance:g} is not reached for {count} levels: {got} with at most {_MOST_POINTS} points; "
        f"narrow or singular features, coarse tables and weakly bound levels need a larger tolerance{hint}"
    )
