"""Laws of momenta: radial integrals, and tables of quantiles from which the core draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gamma, pi

import numpy as np

from .. import _core
from .._arguments import Floats
from ..errors import InputError
from ..statistics.rules import legendre_rule
from .regulator import Regulator

__all__ = ["MomentumLaw"]

# Panels per factor of 2 of the momentum, and nodes per panel.
_PANELS, _NODES = 2, 16
# The octaves that panels cover below the smallest and above the largest scale; powers of k beyond are integrated
# exactly.
_REACH = 40
# Cells of a table of quantiles: octaves of the probability on both sides, cells per octave, terms per cell.
_OCTAVES, _CELLS, _TERMS = 60, 4, 12
# Logarithm of the largest momentum: its square is a double.
_MOST_LOG = 350.0


@dataclass(frozen=True)
class MomentumLaw:
    r"""The law of momenta in n dimensions with density proportional to :math:`f(k)\,(k^2 + m^2)^{-p}`.

    Attributes
    ----------
    n : int
        Number of components, at least 1.
    mass : float
        m, not negative.
    power : float
        p.
    regulator : Regulator
        f; its magnitude of k is the one of these n components.
    """

    n: int
    mass: float
    power: float
    regulator: Regulator

    def need_integral(self, what: str) -> None:
        """Raise InputError if the integral of the density diverges; the message names the power.

        Parameters
        ----------
        what : str
            The quantity that needs the integral, for the message.
        """
        if self.regulator.kind == "none" and 2 * self.power <= self.n:
            raise InputError(
                f"{what} diverges at large momenta: the integrand falls like k^{self.n - 1 - 2 * self.power:g} in "
                f"{self.n} dimension{'s' if self.n > 1 else ''} and must fall faster than 1/k",
                "use a regulator",
            )
        if self.mass == 0 and self.regulator.lower == 0 and 2 * self.power >= self.n:
            raise InputError(
                f"{what} diverges at small momenta: the integrand rises like k^{self.n - 1 - 2 * self.power:g} in "
                f"{self.n} dimension{'s' if self.n > 1 else ''}, and the mass is 0",
                "use a positive mass, or a hard regulator with lower > 0",
            )

    def integral(self) -> float:
        r"""The integral :math:`\int d^nk/(2\pi)^n f(k) (k^2 + m^2)^{-p}`.

        Returns
        -------
        float
            Relative error about 1e-14.
        """
        return float(_panels(self).total * 2 * pi ** (self.n / 2) / gamma(self.n / 2) / (2 * pi) ** self.n)

    def quantiles(self) -> _core.Quantiles:
        r"""Table of the quantile function of \|k\|.

        Returns
        -------
        _core.Quantiles
            Relative error of a quantile below 1e-11 if the logarithm of the ratio of the cutoff to the mass is below
            30.

        Raises
        ------
        InputError
            If the density falls so slowly that some quantiles exceed double precision.
        """
        return _quantiles(self)

    def quantile_table(self) -> Floats:
        """The coefficients of ``quantiles``, shape (2 sides, octaves, cells, terms): see Quantiles in nnqm.hpp.

        Returns
        -------
        ndarray
        """
        return _table(self)


@dataclass(frozen=True)
class _Panels:
    """Panels in ln k with the integrals of k^(n-1) f (k^2 + m^2)^-p below and above their edges."""

    edges: Floats
    below: Floats
    above: Floats
    total: float


def _density(law: MomentumLaw, log_k: Floats) -> Floats:
    """k^n f (k^2 + m^2)^-p, the density in ln k up to a constant."""
    k = np.exp(log_k)
    scale = max(law.mass, 1e-300)
    log_energy = np.logaddexp(2 * log_k, 2 * np.log(scale)) if law.mass > 0 else 2 * log_k
    inside = np.ones_like(k) if law.regulator.kind == "hard" else law.regulator(k)
    return np.asarray(inside * np.exp(law.n * log_k - law.power * log_energy))


@lru_cache(maxsize=64)
def _panels(law: MomentumLaw) -> _Panels:
    reach, cutoff, mass = _REACH * np.log(2.0), law.regulator.cutoff, law.mass
    scales = [s for s in (mass, law.regulator.lower, cutoff) if 0 < s < np.inf]
    low, high = np.log(min(scales, default=1.0)) - reach, np.log(max(scales, default=1.0)) + reach
    if law.regulator.lower > 0:
        low = np.log(law.regulator.lower)
    if law.regulator.kind == "hard":
        high = np.log(cutoff)
    elif law.regulator.kind == "gaussian":
        high = np.log(13.5 * cutoff)
    edges = np.linspace(low, high, max(8, int(np.ceil(_PANELS * (high - low) / np.log(2.0)))) + 1)
    nodes, weights = legendre_rule(_NODES)
    half = np.diff(edges)[:, None] / 2
    parts = (_density(law, edges[:-1, None] + half * (1 + nodes)) * half * weights).sum(axis=1)
    # Beyond the panels the density in ln k is a power of k.
    rise = law.n if mass > 0 else law.n - 2 * law.power
    head = 0.0 if law.regulator.lower > 0 else float(_density(law, edges[0])) / rise
    tail = float(_density(law, edges[-1])) / (2 * law.power - law.n) if law.regulator.kind == "none" else 0.0
    below = head + np.concatenate([[0.0], np.cumsum(parts)])
    above = tail + np.concatenate([np.cumsum(parts[::-1])[::-1], [0.0]])
    return _Panels(edges, below, above, float(below[-1] + tail))


def _log_quantiles(law: MomentumLaw, u: Floats, upper: bool) -> Floats:
    """Logarithm of k with probability u below it or, if ``upper``, above it; u in (0, 1/2]."""
    panels = _panels(law)
    wanted = u * panels.total
    at_edges = panels.above if upper else panels.below
    inner = at_edges[::-1] if upper else at_edges
    place = np.clip(np.searchsorted(inner, wanted) - 1, 0, len(inner) - 2)
    index = len(inner) - 2 - place if upper else place
    start, width = panels.edges[index], panels.edges[index + 1] - panels.edges[index]
    nodes, weights = legendre_rule(_NODES)
    low, high = np.zeros_like(u), np.ones_like(u)
    x = np.full_like(u, 0.5)
    for _ in range(60):
        # The probability between the nearer edge and the point, by the rule of the panel.
        inside = start[:, None] + (width * x)[:, None] * (1 + nodes) / 2
        part = (_density(law, inside) * weights).sum(axis=1) * width * x / 2
        value = at_edges[index] - part if upper else at_edges[index] + part
        excess = (wanted - value) if upper else (value - wanted)
        low, high = np.where(excess < 0, x, low), np.where(excess < 0, high, x)
        slope = _density(law, start + width * x) * width
        step = np.where(slope > 0, x - excess / np.where(slope > 0, slope, 1.0), -1.0)
        x = np.where((step > low) & (step < high), step, (low + high) / 2)
    found = start + width * x
    # Outside the panels the density in ln k is a power, so its integral is one too.
    beyond = wanted < inner[0]
    edge = panels.edges[-1] if upper else panels.edges[0]
    rise = law.n - 2 * law.power if upper or law.mass == 0 else law.n
    with np.errstate(divide="ignore"):
        outside = edge + np.log(wanted / inner[0]) / rise if inner[0] > 0 else np.full_like(u, edge)
    return np.where(beyond, outside, found)


@lru_cache(maxsize=16)
def _quantiles(law: MomentumLaw) -> _core.Quantiles:
    return _core.Quantiles(_table(law))


def _table(law: MomentumLaw) -> Floats:
    nodes = np.cos(pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    inverse = np.linalg.inv(np.vander(nodes, increasing=True))
    # Cells of the octave e: probabilities 2^-(e+2) (1 + (c + (1 + x)/2)/cells), e = 0 next to 1/2. The last octave
    # reaches down to 0, and its cells are linear in the probability.
    cell = (np.arange(_CELLS)[:, None] + (1 + nodes) / 2) / _CELLS
    octave = np.arange(_OCTAVES)[:, None, None]
    u = np.where(octave < _OCTAVES - 1, 0.5 ** (octave + 2.0) * (1 + cell), 0.5 ** (octave + 1.0) * cell)
    logs = np.stack([_log_quantiles(law, u.ravel(), upper).reshape(u.shape) for upper in (False, True)])
    if logs.max() > _MOST_LOG:
        raise InputError(
            f"the momenta have no cutoff, and their density falls like k^{law.n - 1 - 2 * law.power:g}, so slowly that "
            f"some exceed 10^{_MOST_LOG / np.log(10):.0f}",
            "use a regulator",
        )
    # einsum without BLAS, so that the table is the same for every BLAS.
    return np.asarray(np.einsum("hecn,kn->heck", np.exp(logs), inverse))
