r"""The position of a harmonic oscillator in thermal equilibrium: closed forms of Euclidean functions of period beta.

.. math:: \langle x(0) x(t)\rangle = \frac{\sigma^2}{2\omega} \frac{\cosh\omega(\beta/2 - t)}{\sinh(\omega\beta/2)},
          \qquad 0 \le t \le \beta
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["narrowing", "thermal_covariance", "thermal_ratio"]


def thermal_covariance(t: Any, omega: Any, sigma: Any, beta: float) -> Any:
    """<x(0) x(t)> for 0 <= t <= beta; numbers or arrays that broadcast."""
    return sigma**2 / (2 * omega) * _waves(t, omega, beta) / -np.expm1(-omega * beta)


def thermal_ratio(t: Any, omega: Any, beta: float) -> Any:
    """<x(0) x(t)>/<x^2> for 0 <= t <= beta; numbers or arrays that broadcast."""
    return _waves(t, omega, beta) / (1 + np.exp(-omega * beta))


def narrowing(omega: Any, beta: float) -> Any:
    """Ratio tanh(omega beta/2) of the variances in the ground state and at temperature hbar/(k beta)."""
    return np.tanh(omega * beta / 2)


def _waves(t: Any, omega: Any, beta: float) -> Any:
    # The cosh is written with decaying exponentials, which do not overflow.
    return np.exp(-omega * t) + np.exp(-omega * (beta - t))
