r"""Quality of a fit: chi^2, degrees of freedom and p-values of each target and of all together.

The residuals r are whitened, J is their Jacobian at the minimum, and

.. math:: H = J (J^T J + \tau^{-2})^{-1} J^T, \qquad \tau = 10,

is the matrix of influences of the data on the fit, for parameters that move by up to :math:`\tau` (weights of a
network and logarithms of rates): :math:`\mathrm{tr}\,H` counts the parameters that the data determine (MacKay, Neural
Comput. 4, 415 (1992)). A network often has more parameters than there are data; directions without an influence on the
data cost no degree of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arguments import Floats
from ..representation import short_repr
from .targets import Target

__all__ = ["TargetQuality"]


# p-value below which a misfit is resolved.
_MISFIT = 1e-4


@short_repr
@dataclass(frozen=True, kw_only=True)
class TargetQuality:
    """How well a fitted theory describes a target.

    Attributes
    ----------
    target : Target
    fitted : ndarray
        Values of the fitted theory, shape (k,).
    chi_squared : float or None
        Squared deviations from measured values in their inverse covariance, the unbiased one if it is estimated; None
        for exact numbers.
    degrees_of_freedom : float or None
        Values of the target less the parameters that they determine; not an integer in general. None for exact numbers.
    p_value : float or None
        Probability of a chi^2 at least as large if the theory is true and linear in its parameters within errors, with
        the noise of an estimated covariance (Hotelling). None for exact numbers and without degrees of freedom.
    residual : float
        Largest deviation from the target, in the unit of the observable.
    numerical_error : float
        Numerical error of the fitted values relative to the largest of them. It is not part of chi^2.
    """

    target: Target
    fitted: Floats
    chi_squared: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    residual: float
    numerical_error: float

    @property
    def describes(self) -> bool:
        """Whether the theory describes the target: p >= 1e-4, or all deviations within the tolerance.

        False for exact numbers without a tolerance.
        """
        if self.p_value is not None:
            return self.p_value >= _MISFIT
        if self.target.tolerance is None:
            return self.chi_squared is not None
        return bool(np.all(np.abs(self.fitted - self.target.values) <= self.target.tolerance))

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Label, number of values, quality, and largest deviation as texts."""
        if self.chi_squared is None:
            quality = "exact values"
        else:
            quality = f"chi^2 {self.chi_squared:.3g}/{self.degrees_of_freedom:.3g}"
            quality += "" if self.p_value is None else f", p = {self.p_value:.2g}"
        return self.target.label, str(self.target.size), quality, f"{self.residual:.2g}"

    def __str__(self) -> str:
        label, size, quality, residual = self.cells
        return f"{label}: {size} values, {quality}, largest deviation {residual}"


@dataclass(frozen=True, kw_only=True)
class Goodness:
    """Quality of all targets, of the whole, and the covariance of the parameters."""

    targets: tuple[TargetQuality, ...]
    chi_squared: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    covariance: Floats | None


# Distance by which weights and logarithms move in a fit.
_WIDTH = 10.0

# Degrees of freedom below which there is no test.
_NO_FREEDOM = 0.05

# Largest number of parameters with a covariance, which is a matrix.
_MOST_PARAMETERS = 1000


def judge(
    targets: Sequence[Target],
    values: Sequence[Floats],
    errors: Sequence[float],
    residual: Floats,
    jacobian: Floats | None,
) -> Goodness:
    """The quality of a fit; ``jacobian`` is needed where a target has a covariance."""
    ends = np.cumsum([t.size for t in targets])
    parts = [slice(int(end) - t.size, int(end)) for t, end in zip(targets, ends, strict=True)]
    influence = np.zeros((len(residual), 0))
    if jacobian is not None:
        left, singular, _ = np.linalg.svd(jacobian, full_matrices=False)
        influence = left * (singular / np.hypot(singular, 1 / _WIDTH))
    rows, moments = [], []
    for target, value, error, part in zip(targets, values, errors, parts, strict=True):
        chi = freedom = p = None
        if target.covariance is not None:
            free = np.eye(target.size) - influence[part] @ influence[part].T
            chi = float(residual[part] @ residual[part])
            freedom, spread = float(np.trace(free)), 2 * float(np.sum(free**2))
            p = _p_value(chi, freedom, spread, target)
            moments.append(_moments(chi, freedom, spread, target))
        rows.append(
            TargetQuality(
                target=target,
                fitted=value,
                chi_squared=chi,
                degrees_of_freedom=freedom,
                p_value=p,
                residual=float(np.abs(value - target.values).max()),
                numerical_error=float(error),
            )
        )
    measured = [row for row in rows if row.chi_squared is not None]
    if not measured:
        return Goodness(targets=tuple(rows), chi_squared=None, degrees_of_freedom=None, p_value=None, covariance=None)
    if len(measured) == 1:
        whole = (measured[0].chi_squared, measured[0].degrees_of_freedom, measured[0].p_value)
    else:
        chi, freedom = (sum(m[i] for m in moments) for i in range(2))
        # Residuals of different targets are correlated through the fit.
        both = np.concatenate([influence[p] for t, p in zip(targets, parts, strict=True) if t.covariance is not None])
        shared = 2 * float(np.sum((np.eye(len(both)) - both @ both.T) ** 2)) - sum(
            2 * float(np.sum((np.eye(t.size) - influence[p] @ influence[p].T) ** 2))
            for t, p in zip(targets, parts, strict=True)
            if t.covariance is not None
        )
        whole = (chi, freedom, _scaled_chi_squared(chi, freedom, sum(m[2] for m in moments) + shared))
    assert jacobian is not None
    few = jacobian.shape[1] <= _MOST_PARAMETERS
    covariance = _parameter_covariance(targets, parts, rows, jacobian) if few else None
    return Goodness(
        targets=tuple(rows),
        chi_squared=whole[0],
        degrees_of_freedom=whole[1],
        p_value=whole[2],
        covariance=covariance,
    )


def _p_value(chi: float, freedom: float, spread: float, target: Target) -> float | None:
    """p-value of one target; with an estimated covariance by Hotelling's distribution."""
    if freedom < _NO_FREEDOM:
        return None
    if target.n_samples is None:
        return _scaled_chi_squared(chi, freedom, spread)
    from scipy.special import fdtrc

    # A whitened residual of a covariance from n - 1 = nu degrees of freedom, in q dimensions.
    nu, statistic = target.n_samples - 1, chi / target.hartlap
    return float(fdtrc(freedom, nu - freedom + 1, statistic * (nu - freedom + 1) / (freedom * nu)))


def _scaled_chi_squared(chi: float, mean: float, variance: float) -> float | None:
    """p-value by the multiple of a chi-squared distribution with this mean and variance (Satterthwaite 1946)."""
    from scipy.special import chdtrc

    if mean < _NO_FREEDOM:
        return None
    scale = variance / (2 * mean)
    return float(chdtrc(mean / scale, chi / scale))


def _moments(chi: float, freedom: float, spread: float, target: Target) -> tuple[float, float, float]:
    """A chi^2 with its expectation and variance; with an estimated covariance in the scale of a known one."""
    if target.n_samples is None:
        return chi, freedom, spread
    nu = target.n_samples - 1
    return chi / target.hartlap * (nu - freedom - 1) / nu, freedom, spread * (nu - 1) / (nu - freedom - 3)


def _parameter_covariance(
    targets: Sequence[Target], parts: Sequence[slice], rows: Sequence[TargetQuality], jacobian: Floats
) -> Floats:
    """Covariance of the free parameters, shape (P, P); zero in directions that the data do not determine."""
    scaled = jacobian.copy()
    for target, part, row in zip(targets, parts, rows, strict=True):
        if target.n_samples is not None and row.chi_squared is not None and row.degrees_of_freedom is not None:
            nu, statistic = target.n_samples - 1, row.chi_squared / target.hartlap
            # Of a covariance from nu degrees of freedom, given the chi^2 of the fit (Rao 1967).
            factor = target.hartlap * (nu + statistic) / (nu - row.degrees_of_freedom)
            scaled[part] /= np.sqrt(factor)
    _, singular, right = np.linalg.svd(scaled, full_matrices=False)
    known = singular > 1 / _WIDTH
    half = right[known] / singular[known, None]
    return np.asarray(half.T @ half)
