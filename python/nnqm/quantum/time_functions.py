"""Euclidean functions of a Hamiltonian: correlations in the ground state and in thermal equilibrium."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, positive
from ..errors import InputError
from .basis import Bases, need_distinct
from .functions import Function, values_of
from .measures import SpectralMeasure
from .dvr import Basis

__all__ = ["correlation", "n_point", "partition_function", "spectral_measure", "spectral_weights"]

# Ratio of the spacings of the two grids whose difference is the error of a spectral measure.
_FINER = 1.3

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
    if beta is None:
        need_distinct(basis, 0)
        state = u[:, 0] * values_of(listed[-1][1], basis.points)
        for (t, f), (later, _) in zip(listed[-2::-1], listed[:0:-1], strict=True):
            state = u @ (np.exp(-decay * (later - t)) * (u.T @ state)) * values_of(f, basis.points)
        return float(u[:, 0] @ state)
    span = listed[-1][0] - listed[0][0]
    if span > beta * (1 + 1e-12):
        raise InputError(f"points must span at most beta={beta:g}; got {span:g}; wrap their times")
    product = np.diag(np.exp(-decay * max(beta - span, 0.0)))
    previous = listed[0][0]
    for t, f in listed:
        product = product * np.exp(-decay * (t - previous)) @ (u.T * values_of(f, basis.points) @ u)
        previous = t
    return float(np.trace(product) / np.sum(np.exp(-decay * beta)))


def correlation(
    bases: Bases, times: ArrayLike, observable: Function | None, beta: float | None
) -> tuple[Floats, float]:
    """<f(x(0)) f(x(t))> at times of any shape, and the mean of f; see ``Hamiltonian.two_point``."""
    t = np.abs(floats("times", times))
    basis = bases.ground(beta)
    u, decay = basis.vectors, _rates(basis)
    f = values_of(observable, basis.points)
    if beta is None:
        need_distinct(basis, 0)
        elements = u.T @ (f * u[:, 0])
        return np.asarray(np.exp(-np.multiply.outer(t, decay)) @ elements**2), float(elements[0])
    if t.size and t.max() > beta * (1 + 1e-12):
        raise InputError(f"times must be at most beta={beta:g}; got {t.max():g}; wrap them")
    squares = u.T @ (f[:, None] * u)
    law = np.exp(-decay * beta)
    mean = float(np.diag(squares) @ law / law.sum())
    ahead = np.exp(-np.multiply.outer(t, decay))
    behind = np.exp(-np.multiply.outer(np.maximum(beta - t, 0), decay))
    return np.asarray(np.sum(ahead * (behind @ squares**2), axis=-1) / law.sum()), mean


def partition_function(bases: Bases, beta: float) -> float:
    """Z = sum_n exp(-E_n beta/hbar)."""
    return float(np.sum(np.exp(-bases.thermal(beta).energies * (beta / bases.hbar))))


def spectral_weights(bases: Bases, n: int, observable: Function | None) -> Floats:
    """|<0|f|k>|^2 of the levels k = 0 to n - 1, shape (n,)."""
    basis = bases.carrying(n)
    need_distinct(basis, 0)
    f = values_of(observable, basis.points)
    return np.asarray((basis.vectors[:, :n].T @ (f * basis.vectors[:, 0])) ** 2)


def spectral_measure(bases: Bases, observable: Function | None, tolerance: float) -> SpectralMeasure:
    """The two-point function of f(x) in the ground state as a sum over states; see ``Hamiltonian.spectral_measure``."""
    positive("tolerance", tolerance)
    basis = bases.carrying(1)
    need_distinct(basis, 0)
    coarse, fine = (_measure(b, observable) for b in (basis, bases.finer(basis, _FINER)))
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
