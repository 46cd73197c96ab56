"""Euclidean functions of a Hamiltonian: correlations in the ground state and in thermal equilibrium."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, positive
from .._memory import need_memory
from ..errors import InputError
from .basis import Bases, need_distinct
from .dvr import Basis
from .functions import Function, values_of
from .measures import SpectralMeasure
from .observables import Multiplication, multiplication

__all__ = ["correlation", "n_point", "partition_function", "spectral_measure", "spectral_weights"]

# Ratio of the spacings of the two grids whose difference is the error of a spectral measure.
_FINER = 1.3

# Relative accuracy of correlations of functions with jumps or kinks.
_ACCURACY = 1e-6

# Fraction of the squared mean below which a variance is rounding and the observable is a constant.
_CONSTANT = 1e-24


def n_point(bases: Bases, points: Iterable[tuple[float, Function | None]], beta: float | None) -> float:
    """Euclidean correlation function of any number of observables at any times; see ``Hamiltonian.n_point``."""
    listed = [(float(floats(f"points[{i}] time", t, 0)), f) for i, (t, f) in enumerate(points)]
    if not listed:
        raise InputError("points must have at least one (time, function); got none")
    listed.sort(key=lambda p: p[0])
    basis = bases.ground(beta)
    u, decay = basis.vectors, _rates(basis)
    times, factors = _factors(listed, basis)
    for k in range(1, len(times)):
        _need_late(basis, factors[k - 1 : k + 1], times[k] - times[k - 1])
    if beta is None:
        need_distinct(basis, 0)
        state = factors[-1] @ u[:, 0]
        for k in range(len(times) - 2, -1, -1):
            step = np.exp(-decay * (times[k + 1] - times[k]))
            state = factors[k] @ (u @ (step * (u.T @ state)))
        return float(u[:, 0] @ state)
    span = times[-1] - times[0]
    if span > beta * (1 + 1e-12):
        raise InputError(f"points must span at most beta={beta:g}; got {span:g}; wrap their times")
    if len(times) > 1:
        _need_late(basis, [factors[-1], factors[0]], beta - span)
    product = np.diag(np.exp(-decay * max(beta - span, 0.0)))
    previous = times[0]
    for t, f in zip(times, factors, strict=True):
        product = product * np.exp(-decay * (t - previous)) @ _elements(f, u)
        previous = t
    return float(np.trace(product) / np.sum(np.exp(-decay * beta)))


def _factors(listed: list[tuple[float, Function | None]], basis: Basis) -> tuple[list[float], list[Multiplication]]:
    """Times and operators; operators at one time become one if a function has jumps or kinks."""
    times: list[float] = []
    factors: list[Multiplication] = []
    for t, function in listed:
        f = multiplication(function, basis)
        if times and times[-1] == t and not (f.matrix is None and factors[-1].matrix is None):
            factors[-1] = factors[-1].times(f, basis)
            continue
        times.append(t)
        factors.append(f)
    return times, factors


def _elements(f: Multiplication, u: Floats) -> Floats:
    """Matrix of a function between all states."""
    return np.asarray(u.T * f.values @ u if f.matrix is None else u.T @ f.matrix @ u)


def _need_late(basis: Basis, factors: Sequence[Multiplication], time: float) -> None:
    """Refuse times at which states beyond the basis matter for functions with jumps or kinks."""
    rough = [f for f in factors if f.matrix is not None]
    if not rough:
        return
    count = _reliable(basis)
    error = 0.0
    for f in rough:
        one, square = f @ basis.vectors[:, 0], f.times(f, basis)
        whole = float(basis.vectors[:, 0] @ (square @ basis.vectors[:, 0]))
        seen = float(np.sum((basis.vectors[:, :count].T @ one) ** 2))
        error = max(error, max(whole - seen, 0.0) / max(whole, 1e-300))
    _need_small(error * float(np.exp(-_rates(basis)[count] * time)))


def _need_small(error: float) -> None:
    if error > _ACCURACY:
        raise InputError(
            f"the function of observables with jumps or kinks reaches a relative error of {error:.1e} only at these "
            f"times, more than {_ACCURACY:g}: states beyond the basis matter; use later or equal times, or smooth "
            "observables"
        )


def _reliable(basis: Basis) -> int:
    """Number of states that the basis represents well."""
    return max(len(basis.points) // 3, 1)


def correlation(
    bases: Bases, times: ArrayLike, observable: Function | None, beta: float | None
) -> tuple[Floats, float]:
    """<f(x(0)) f(x(t))> at times of any shape, and the mean of f; see ``Hamiltonian.two_point``."""
    t = np.abs(floats("times", times))
    basis = bases.ground(beta)
    u, decay = basis.vectors, _rates(basis)
    f = multiplication(observable, basis)
    if beta is None:
        need_distinct(basis, 0)
        elements = u.T @ (f @ u[:, 0])
        need_memory(
            24.0 * t.size * len(decay), "the decays of all states", "ask for fewer times at once", f"{t.size} times"
        )
        values, mean = np.exp(-np.multiply.outer(t, decay)) @ elements**2, float(elements[0])
        return _completed(basis, f, t, np.asarray(values), (u[:, :1], np.ones(1))), mean
    if t.size and t.max() > beta * (1 + 1e-12):
        raise InputError(f"times must be at most beta={beta:g}; got {t.max():g}; wrap them")
    squares = _elements(f, u)
    law = np.exp(-decay * beta)
    mean = float(np.diag(squares) @ law / law.sum())
    ahead = np.exp(-np.multiply.outer(t, decay))
    behind = np.exp(-np.multiply.outer(np.maximum(beta - t, 0), decay))
    values = np.asarray(np.sum(ahead * (behind @ squares**2), axis=-1) / law.sum())
    occupied = np.flatnonzero(law > 1e-12)
    near = np.minimum(t, np.maximum(beta - t, 0))
    return _completed(basis, f, near, values, (u[:, occupied], law[occupied] / law.sum())), mean


def _completed(basis: Basis, f: Multiplication, times: Floats, values: Floats, states: tuple[Floats, Floats]) -> Floats:
    """Values at time zero without a sum over states, and an error if others lack states, for jumps and kinks."""
    if f.matrix is None:
        return values
    u, law = states
    square = f.times(f, basis)
    whole = float(np.sum(u * (square @ u), axis=0) @ law)
    count = _reliable(basis)
    seen = float(np.sum((basis.vectors[:, :count].T @ (f @ u)) ** 2, axis=0) @ law)
    later = times > 0
    if later.any():
        lacking = max(whole - seen, 0.0) / max(whole, 1e-300)
        _need_small(lacking * float(np.exp(-_rates(basis)[count] * times[later].min())))
    return np.where(later, values, whole)


def partition_function(bases: Bases, beta: float) -> float:
    """Z = sum_n exp(-E_n beta/hbar)."""
    return float(np.sum(np.exp(-bases.thermal(beta).energies * (beta / bases.hbar))))


def spectral_weights(bases: Bases, n: int, observable: Function | None) -> Floats:
    """|<0|f|k>|^2 of the levels k = 0 to n - 1, shape (n,)."""
    basis = bases.carrying(n)
    need_distinct(basis, 0)
    f = multiplication(observable, basis)
    return np.asarray((basis.vectors[:, :n].T @ (f @ basis.vectors[:, 0])) ** 2)


def spectral_measure(bases: Bases, observable: Function | None, tolerance: float) -> SpectralMeasure:
    """The two-point function of f(x) in the ground state as a sum over states; see ``Hamiltonian.spectral_measure``."""
    positive("tolerance", tolerance)
    basis = bases.carrying(1)
    need_distinct(basis, 0)
    coarse, fine = (_measure(b, observable) for b in (basis, bases.finer(basis, _FINER)))
    if observable is None:
        # The sum over states converges slowly at walls; for x itself it is known.
        square = 2 * basis.mass * float(basis.vectors[:, 0] @ (basis.kinetic @ basis.vectors[:, 0]))
        coarse, fine = (replace(one, momentum_squared=square) for one in (coarse, fine))
    scale = fine.moments[0]
    if scale <= _CONSTANT * fine.mean**2:
        raise InputError("observable must vary in the ground state; got a constant")
    lags = bases.hbar / fine.energies[0] * np.geomspace(0.01, 5, 12)
    error = max(
        abs(fine.mean - coarse.mean) / np.sqrt(scale),
        abs(fine.moments[0] / coarse.moments[0] - 1),
        abs(fine.moments[1] - coarse.moments[1]) / scale**1.5,
        abs(fine.moments[2] / coarse.moments[2] - 1),
        abs(fine.commutator / coarse.commutator - 1),
        abs(fine.momentum_squared / coarse.momentum_squared - 1),
        float(np.abs(fine.connected(lags) / coarse.connected(lags) - 1).max()),
    )
    if error > tolerance:
        raise InputError(
            f"the measure of observable reaches a relative error of {error:.1e} only, tolerance={tolerance:g}; "
            "kinks and steps converge slowly: use a smooth observable or a larger tolerance"
        )
    return replace(fine, error=float(error))


def _measure(basis: Basis, observable: Function | None) -> SpectralMeasure:
    law = basis.vectors[:, 0] ** 2
    f = values_of(observable, basis.points)
    mean = float(law @ f)
    f = f - mean
    powers = f[:, None] ** np.array([1, 2, 3])
    return SpectralMeasure.of_states(
        np.maximum(basis.energies[1:] - basis.energies[0], 0.0),
        basis.vectors[:, 1:].T @ (powers * basis.vectors[:, :1]),
        mean,
        np.array([law @ f**power for power in (2, 3, 4)]),
        hbar=basis.hbar,
        mass=basis.mass,
    )


def _rates(basis: Basis) -> Floats:
    """(E_n - E_0)/hbar, shape (N,)."""
    return np.asarray((basis.energies - basis.energies[0]) / basis.hbar)
