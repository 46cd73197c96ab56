r"""Reflection positivity of an exact two-point function, certified on a grid.

For stationary kernels the matrices :math:`G(t_i + t_j)` (reflection about a point of the grid) and
:math:`G(t_i + t_j + dt)` (reflection about a point half-way between two) must both be positive. If a continuous bounded
G satisfies this at all times, it is completely monotone, :math:`(-1)^k G^{(k)} \ge 0`. For a kernel K(s, t) that is
not stationary the matrix is :math:`K(-t_i, t_j)`. A two-point function decides only on functionals linear in x. For
nonlinear functionals use paths and ``reflection_positivity``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer, positive
from ..display import Drawn
from ..errors import InputError
from ..quantum.measures import SpectralMeasure, ThermalMeasure, TwoPointFunction
from ..representation import short_repr
from ..statistics.blas import one_blas_thread
from ..statistics.matrices import eigenstates, product
from ..verdict import Verdict

__all__ = ["PositivityCertificate", "Witness", "lowest_directions", "positivity_certificate"]

# Ridge: addition to the eigenvalues of correlation matrices before their inverse root.
_RIDGE = 1e-3
# Rounding error of kernels computed in float64, in units of the last place of their largest value.
_ROUNDING = 64


@short_repr
@dataclass(frozen=True)
class Witness:
    """A functional F of the path at times t >= 0, written out: F = sum_i c_i f_i + constant.

    Attributes
    ----------
    coefficients : ndarray
        c_i, shape (n,), with a largest one of 1. They have three significant digits, and the test used the rounded
        values.
    terms : tuple of str
        The n functionals f_i, for example "z(0.2)^2 z(0.6)". Times count from the reflection, in the unit of dt. Of
        several channels, "z[x2](0.2)" is the one of this name, and "z(0.2, 0.5)" the one at this point of space.
    constant : float
        Constant added to the sum.
    variable : str
        Definition of z, for example "z = (x - 0.25)/0.7"; one for each channel that F needs, where it may use several.
    reflection : str
        Time of the reflection, for example "t = 0".
    bound : float
        F is clipped to [-bound, bound], because its tails are heavy; infinite if F is not clipped.
    """

    coefficients: Floats
    terms: tuple[str, ...]
    constant: float
    variable: str
    reflection: str
    bound: float = np.inf

    def __str__(self) -> str:
        parts = [(c, f" {term}") for c, term in zip(self.coefficients, self.terms, strict=True)]
        if self.constant:
            parts.append((self.constant, ""))
        text = " ".join(f"{'-' if c < 0 else '+'} {abs(c):.4g}{term}" for c, term in parts)
        text = text.removeprefix("+ ")
        if np.isfinite(self.bound):
            text = f"clip({text}, -{self.bound:.3g}, {self.bound:.3g})"
        return ", ".join(part for part in (text, self.variable, f"reflected about {self.reflection}") if part)


@short_repr
@dataclass(frozen=True)
class PositivityCertificate(Drawn, picture="reflection"):
    """Result of ``positivity_certificate``.

    Attributes
    ----------
    verdict : Verdict
        "positive by construction"; "positive on the grid", which is no proof of positivity at all times; or
        "violated", which is a proof, within ``error``.
    reason : str
        The fact that decided.
    eigenvalues, shifted_eigenvalues : ndarray or None
        Eigenvalues of the matrix of the kernel for reflection about a point of the grid, and about a point half-way
        between two; ascending, float64, in the unit of the kernel. None if the grid does not have this reflection.
    whitened, shifted_whitened : ndarray or None
        The same for functionals of unit second moment (ridge 1e-3). ``reflection_positivity`` finds these values for
        linear functionals of paths without noise.
    complete_monotonicity : tuple of (int, float) or None
        Order k and time of the first difference (-1)^k Delta^k G that is negative beyond ``error``. None if no
        difference is, and for closed paths and kernels that are not stationary.
    witness : Witness or None
        The linear functional with the most negative norm; None if no functional has a negative norm.
    value : float or None
        <F(Theta X) F(X)> of the witness, scaled to <F(X)^2> = 1; None without a witness.
    error : float
        Largest error of a value of the kernel, in its unit.
    """

    verdict: Verdict
    reason: str
    eigenvalues: Floats | None
    shifted_eigenvalues: Floats | None
    whitened: Floats | None
    shifted_whitened: Floats | None
    complete_monotonicity: tuple[int, float] | None
    witness: Witness | None
    value: float | None
    error: float

    def __str__(self) -> str:
        found = "" if self.witness is None else f"; <F(reflected) F> = {self.value:.3g} for F = {self.witness}"
        return f"{self.verdict}: {self.reason}{found}"


@one_blas_thread
def positivity_certificate(
    kernel: TwoPointFunction | Callable[..., Any] | ArrayLike,
    n_times: int | None = None,
    dt: float = 1.0,
    *,
    stationary: bool | None = None,
    period: float | None = None,
    error: float | None = None,
) -> PositivityCertificate:
    r"""Decide whether an exact two-point function is reflection positive on a grid.

    Parameters
    ----------
    kernel : SpectralMeasure, ThermalMeasure, callable or array_like
        - A spectral measure, which is positive by construction if its weights and energies are not negative; or a
          ThermalMeasure, the two-point function of closed paths.
        - A function: G(t) of an array of times t >= 0; or K(s, t) of two arrays, if it is not stationary.
        - Values: G at 0, dt, 2 dt, ..., shape (n_times,); or K on a grid of equal steps symmetric about 0, shape
          (n_times, n_times). This grid contains 0 if n_times is odd.

        The kernel may include the mean of x, because a constant is positive.
    n_times : int, default 16
        Length of the grid, only for measures and functions. The certificate uses a stationary kernel up to
        (n_times - 1) dt, with n_times // 2 functionals.
    dt : float, default 1
        Time step.
    stationary : bool, optional
        False for a function K(s, t). By default the number of arguments of a function decides, and the shape of values.
    period : float, optional
        Period of closed (thermal) paths; for a ThermalMeasure it is beta. The grid must lie within the period, and
        functionals within half of it. Complete monotonicity is not required.
    error : float, optional
        Largest error of a value of the kernel, in its unit; 64 units in the last place by default. An eigenvalue of
        an n x n matrix counts as negative if it is below -n times this error (Weyl's inequality).

    Returns
    -------
    PositivityCertificate
        Verdict, reason, eigenvalues, and a functional of negative norm if there is one.

    Raises
    ------
    InputError, InputTypeError
        If the grid is too short or longer than the period, or the values are zero at all times, not finite, not real
        or of a wrong shape.

    Notes
    -----
    Osterwalder and Schrader, Commun. Math. Phys. 31, 83 (1973). On a grid the conditions are equal to the conditions of
    Hausdorff's moment problem (Widder, The Laplace Transform, chapter III).

    Examples
    --------
    >>> alternating = positivity_certificate(lambda t: (-0.5) ** t)
    >>> print(alternating.eigenvalues[0] > -1e-12, alternating.verdict, alternating.complete_monotonicity)
    True violated (0, 1.0)
    >>> positivity_certificate(lambda t: np.exp(-t)).verdict
    'positive on the grid'
    """
    step = positive("dt", dt)
    if isinstance(kernel, ThermalMeasure):
        period = kernel.beta
    values = _values(kernel, n_times, step, stationary)
    accuracy = _accuracy(kernel, values, error)
    is_stationary = values.ndim == 1
    if period is not None and (len(values) - 1) * step > positive("period", period) * (1 + 1e-9):
        raise InputError(
            f"the grid must lie within the period, {period:g}; got {len(values)} times with dt = {step:g}; "
            "use fewer times"
        )
    spectra: dict[int, tuple[Floats, Floats]] = {}
    worst: tuple[float, Floats, int] | None = None
    reasons = []
    index, cases = _reflections(values)
    for shift, (matrix, second) in cases.items():
        name = ("G(t_i + t_j)", "G(t_i + t_j + dt)")[shift] if is_stationary else "K(-t_i, t_j)"
        lack = float(np.abs(matrix - matrix.T).max())
        if lack > 2 * accuracy:
            reasons.append(f"{name} is not symmetric, by {lack:.3g}")
        even = (matrix + matrix.T) / 2
        raw, vectors = eigenstates(even)
        directions, whitened = lowest_directions(even, second, 1)
        spectra[shift] = (raw, whitened)
        if raw[0] < -len(even) * accuracy:
            reasons.append(f"the lowest eigenvalue of {name} is {raw[0]:.3g}")
        for found in (vectors[:, 0], directions[0]):
            value, v = _printed(found, even, second, accuracy)
            if value is not None and (worst is None or value < worst[0]):
                worst = (value, v, shift)
    monotone = _first_increase(values, accuracy, step) if is_stationary and period is None else None
    if monotone is not None:
        order, time = monotone
        reasons.append(f"the difference of order {order} at t = {time:.4g} has the wrong sign: not completely monotone")
    if not reasons:
        worst = None
    if reasons:
        verdict, reason = Verdict.VIOLATED, "; ".join(reasons)
    elif (
        isinstance(kernel, SpectralMeasure) and min(kernel.weights.min(initial=0), kernel.energies.min(initial=0)) >= 0
    ):
        verdict = Verdict.POSITIVE_BY_CONSTRUCTION
        reason = "weights and energies of the measure are not negative"
    else:
        lowest = min(float(raw[0]) for raw, _ in spectra.values())
        verdict = Verdict.POSITIVE_ON_GRID
        reason = f"the lowest eigenvalue is {lowest:.3g}, with an error of {len(index) * accuracy:.1g}"
    none = (None, None)
    return PositivityCertificate(
        verdict=verdict,
        reason=reason,
        eigenvalues=spectra.get(0, none)[0],
        shifted_eigenvalues=spectra.get(1, none)[0],
        whitened=spectra.get(0, none)[1],
        shifted_whitened=spectra.get(1, none)[1],
        complete_monotonicity=monotone,
        witness=None if worst is None else _linear_witness(worst[1], index, worst[2], step),
        value=None if worst is None else worst[0],
        error=accuracy,
    )


def _accuracy(kernel: Any, values: Floats, error: float | None) -> float:
    """Error of a value of the kernel."""
    largest = float(np.abs(values).max())
    if not largest > 0:
        raise InputError("kernel is zero at all times, so that there is nothing to certify; give one that is not")
    accuracy = _ROUNDING * float(np.finfo(float).eps) * largest if error is None else positive("error", error)
    if isinstance(kernel, SpectralMeasure):
        accuracy += kernel.error * float(kernel.moments[0])
    elif isinstance(kernel, ThermalMeasure):
        accuracy += kernel.tolerance * float(kernel.moments[0])
    return accuracy


def _reflections(values: Floats) -> tuple[NDArray[np.int64], dict[int, tuple[Floats, Floats]]]:
    """Times t_i in steps; matrices M and <x x>, key 0 for reflection about a time, key 1 half-way between two."""
    length = len(values)
    if values.ndim == 1:
        index = np.arange(length // 2)
        equal = values[np.abs(np.subtract.outer(index, index))]
        return index, {shift: (values[np.add.outer(index, index) + shift], equal) for shift in (0, 1)}
    future = np.arange(length // 2, length)
    past = length - 1 - future
    second = (values[np.ix_(future, future)] + values[np.ix_(past, past)]) / 2
    return future - length // 2, {1 - length % 2: (values[np.ix_(past, future)], second)}


def _printed(found: Floats, even: Floats, second: Floats, accuracy: float) -> tuple[float | None, Floats]:
    """Value of a functional, or None if it is not negative beyond the error, and its coefficients.

    The coefficients are rounded as printed, so that the printed functional has exactly this value.
    """
    v = np.round(found / found[np.argmax(np.abs(found))], 3)
    norm = float(v @ second @ v)
    negative = float(v @ even @ v) < -accuracy * np.abs(v).sum() ** 2 and norm > 0
    return (float(v @ even @ v) / norm if negative else None), v


def _linear_witness(v: Floats, index: NDArray[np.int64], shift: int, step: float) -> Witness:
    terms = tuple(f"x({(i + shift / 2) * step:.4g})" for i in index[v != 0])
    return Witness(v[v != 0], terms, 0.0, "x less its mean", "t = 0")


def lowest_directions(matrix: Floats, second: Floats, count: int) -> tuple[Floats, Floats]:
    """Lowest eigenvectors (count, n) of the whitened matrix as functionals with <F^2> = 1, and all its eigenvalues."""
    size = np.diag(second)
    if not size.min() > 0:
        raise InputError("the channel is constant, so that there is nothing to test", "choose a channel that moves")
    scale = 1 / np.sqrt(size)
    spectrum, basis = eigenstates(scale[:, None] * second * scale)
    white = scale[:, None] * basis / np.sqrt(np.maximum(spectrum, 0) + _RIDGE)
    values, vectors = eigenstates(product(white.T, product(matrix + matrix.T, white)) / 2)
    found = (white @ vectors[:, :count]).T
    # Combinations of dependent functionals can be zero up to rounding.
    squares = np.einsum("vi,ij,vj->v", found, second, found)
    norms = np.sqrt(np.maximum(squares, np.finfo(float).eps * (found**2 @ size)))
    return found / norms[:, None], np.asarray(values)


def _one_time(function: Callable[..., Any]) -> bool:
    """Whether a function takes one argument and is G(t), not K(s, t)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a ufunc, or compiled
        return getattr(function, "nin", 1) == 1
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(needed) < 2


def _values(kernel: Any, n_times: int | None, step: float, stationary: bool | None) -> Floats:
    """Values of the kernel, shape (n_times,) or (n_times, n_times)."""
    if isinstance(kernel, TwoPointFunction) or callable(kernel):
        n = integer("n_times", 16 if n_times is None else n_times, 2, 4096)
        if isinstance(kernel, TwoPointFunction):
            return kernel.connected(np.arange(n) * step)
        if stationary is None:
            stationary = _one_time(kernel)
        grid = (np.arange(n) - (0 if stationary else (n - 1) / 2)) * step
        arguments = (grid,) if stationary else tuple(np.meshgrid(grid, grid, indexing="ij"))
        values = floats("kernel", kernel(*arguments))
        if values.shape != arguments[0].shape:
            raise InputError(
                f"kernel must return one value for each time, shape {arguments[0].shape}; got {values.shape}; "
                "write it for arrays of times"
            )
        return values
    if n_times is not None:
        raise InputError(
            "n_times is for measures and functions; got it beside values, whose length is known; leave it out"
        )
    values = floats("kernel", kernel)
    if values.ndim not in (1, 2) or values.shape[0] != values.shape[-1] or values.shape[0] < 2:
        raise InputError(
            "kernel must be a measure, a function, values G(k dt) of shape (n_times,) or K of shape "
            f"(n_times, n_times), n_times at least 2; got shape {values.shape}"
        )
    if values.ndim == 2 and not np.allclose(values, values.T, rtol=1e-9, atol=1e-9 * np.abs(values).max()):
        raise InputError("kernel must be symmetric, K(s, t) = K(t, s); give a covariance on a grid symmetric about 0")
    return values


def _first_increase(values: Floats, error: float, step: float) -> tuple[int, float] | None:
    """Order k and time of the first difference of the wrong sign, beyond the error of a sum of 2^k values."""
    difference = values
    for order in range(len(values)):
        wrong = np.flatnonzero(difference < -error * 2.0**order)
        if wrong.size:
            return order, float(wrong[0] * step)
        difference = difference[:-1] - difference[1:]
    return None
