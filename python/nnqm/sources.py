"""Seed processes: what feeds the inputs of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._checks import Floats, positives

__all__ = ["OrnsteinUhlenbeck"]


@dataclass(frozen=True, init=False)
class OrnsteinUhlenbeck:
    r"""Independent stationary Ornstein-Uhlenbeck processes, one per network input.

    .. math:: dy_i = -\omega_i y_i\,dt + \sigma_i\,dW_i, \qquad
              \langle y_i(0) y_i(t)\rangle = \frac{\sigma_i^2}{2\omega_i} e^{-\omega_i |t|}

    Paths start from the stationary density and are stepped exactly, whatever the time step
    (Gillespie, Phys. Rev. E 54, 2084 (1996)).

    Parameters
    ----------
    omega : float or sequence of float
        Relaxation rates, shape (D,), unit 1/time, positive.
    sigma : float or sequence of float, default 1
        Noise strengths, shape (D,) or a number used for every input, unit [y]/sqrt(time), positive.

    Raises
    ------
    ValueError
        If a rate or a strength is not finite and positive, or the lengths differ.

    Examples
    --------
    >>> OrnsteinUhlenbeck(omega=[1.0, 2.0]).variance
    array([0.5 , 0.25])
    """

    omega: tuple[float, ...]
    sigma: tuple[float, ...]

    def __init__(self, omega: ArrayLike, sigma: ArrayLike = 1.0) -> None:
        rates = positives("omega", omega)
        strengths = positives("sigma", sigma)
        if len(strengths) == 1:
            strengths = strengths * len(rates)
        if len(rates) == 1 and len(strengths) > 1:
            rates = rates * len(strengths)
        if len(rates) != len(strengths):
            raise ValueError(
                f"omega and sigma must have the same length; got {len(rates)} and {len(strengths)}; "
                "give one entry per input"
            )
        object.__setattr__(self, "omega", rates)
        object.__setattr__(self, "sigma", strengths)

    @property
    def n_inputs(self) -> int:
        """Number of independent input channels D."""
        return len(self.omega)

    @property
    def variance(self) -> Floats:
        """Stationary variances sigma^2/(2 omega), shape (D,)."""
        return np.asarray(np.asarray(self.sigma) ** 2 / (2 * np.asarray(self.omega)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` understands."""
        return {"kind": "ornstein-uhlenbeck", "omega": list(self.omega), "sigma": list(self.sigma)}
