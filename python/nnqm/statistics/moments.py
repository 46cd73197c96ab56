"""Moments of a distribution: central moments from raw moments, kurtosis, robust location and scale."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from .._arguments import Floats

__all__ = ["CentralPart", "central_moments", "central_part", "excess_kurtosis"]

# Numbers or arrays; the result has the type of the arguments.
Number = TypeVar("Number", float, Floats)


def central_moments(m1: Number, m2: Number, m3: Number, m4: Number) -> tuple[Number, Number, Number]:
    r"""Central moments 2, 3, 4 from the raw moments 1 to 4, numbers or arrays of one shape.

    .. math:: \mu_2 = m_2 - m_1^2, \quad \mu_3 = m_3 - 3 m_1 m_2 + 2 m_1^3, \quad
              \mu_4 = m_4 - 4 m_1 m_3 + 6 m_1^2 m_2 - 3 m_1^4

    Digits are lost if the mean is large compared with the spread: subtract a value near the mean first.

    Parameters
    ----------
    m1, m2, m3, m4 : float or ndarray
        <x>, <x^2>, <x^3>, <x^4>.

    Returns
    -------
    tuple
        <(x - m1)^k> for k = 2, 3, 4.
    """
    return m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3, m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4


def excess_kurtosis(second: Number, fourth: Number) -> Number:
    """Excess kurtosis from the central moments 2 and 4; zero for a Gaussian, NaN for a constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return fourth / second**2 - 3


class CentralPart(NamedTuple):
    """Quantiles 16%, 50% and 84%: the central 68% of values, one standard deviation to each side for a Gaussian."""

    low: float
    median: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width; one standard deviation of a Gaussian."""
        return (self.high - self.low) / 2


def central_part(x: Floats) -> CentralPart:
    """Quantiles of the central 68% of values of any shape, robust against heavy tails."""
    return CentralPart(*np.quantile(x, [0.16, 0.5, 0.84]))
