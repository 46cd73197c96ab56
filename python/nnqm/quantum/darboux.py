"""Potentials with prescribed gaps in closed form: chains of Darboux transformations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats, positive
from ..errors import InputError
from .hamiltonian import Hamiltonian

__all__ = ["DarbouxPotential", "checked_gaps"]

# Largest number of gaps, and the smallest distance of neighbouring levels in mean distances: below it wells that
# belong together are disconnected at double precision.
_MOST_GAPS, _SMALLEST_SPACING = 24, 1e-6

# Distance up to which chains on an oscillator are integrated, its increase per root of the number of levels, and the
# step of their table, in units of the length of the oscillator; tolerance of the integration.
_FAR, _FURTHER, _STEP, _TOLERANCE = 16.0, 2.0, 1 / 256, 1e-13


def checked_gaps(gaps: ArrayLike) -> Floats:
    """Gaps as an increasing array of positive numbers, shape (n,)."""
    array = np.atleast_1d(floats("gaps", gaps))
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"gaps must be a sequence E_1 - E_0, E_2 - E_0, ...; got shape {array.shape}")
    if array.size > _MOST_GAPS:
        raise InputError(f"gaps must be at most {_MOST_GAPS}; got {array.size}; design the lowest ones")
    if array[0] <= 0:
        raise InputError(f"gaps must be positive; got gaps[0]={array[0]:g}; give E_n - E_0 for n = 1, 2, ...")
    for i, (before, after) in enumerate(pairwise(array)):
        if after <= before:
            raise InputError(f"gaps must increase; gaps[{i + 1}]={after:g} <= gaps[{i}]={before:g}")
    spacings = np.diff(array, prepend=0.0)
    mean = array[-1] / array.size
    if spacings.min() < _SMALLEST_SPACING * mean:
        i = int(np.argmin(spacings))
        raise InputError(
            f"gaps must not be nearly degenerate: level {i + 1} lies {spacings[i]:.2g} above level {i}, less than "
            f"{_SMALLEST_SPACING:g} of the mean distance {mean:.2g}; the wells would be disconnected; move one of them"
        )
    return array


class DarbouxPotential:
    r"""The potential whose lowest gaps are given numbers, in closed form.

    Levels are inserted one at a time below the levels of a solvable potential (Crum, Quart. J. Math. 6, 121 (1955)):

    .. math:: v_k = \frac{u_k'}{u_k}, \qquad V_{k+1} = V_k - \frac{\hbar^2}{m}\, v_k', \qquad
              u_j \to u_j' - v_k u_j ,

    where u_k solves the Schroedinger equation of V_k at the energy of the new level, has no zero, and grows on both
    sides. The new ground state is 1/u_k, so that W = ln u of the last step. On a free background these are the
    reflectionless potentials of Kay and Moses, J. Appl. Phys. 27, 1503 (1956).

    Parameters
    ----------
    gaps : array_like
        E_1 - E_0, E_2 - E_0, ..., increasing, shape (n,), n at most 24, energy units.
    background : {"oscillator", "free"}
        Whether the levels of a harmonic oscillator follow above the given ones, or a continuum.
    above : float, optional
        Distance from the highest given gap to the next level, and of the levels of the oscillator from one another; or
        the distance to the continuum. By default the mean distance of the given levels.
    skew : sequence of float, optional
        One number in (-1, 1) per level, n + 1 of them, the highest level first. They move parts of the potential and
        no level: all potentials with the same gaps and background are isospectral. Zeros, the default, are the even
        potential.
    mass, hbar : float, default 1
        Positive.

    Raises
    ------
    InputError
        If gaps do not increase, are not positive, too many or nearly degenerate, or a skew is out of range.

    Examples
    --------
    >>> primes = DarbouxPotential([2, 3, 5, 7, 11])
    >>> primes.hamiltonian.gaps(5).round(8)
    array([ 2.,  3.,  5.,  7., 11.])
    """

    def __init__(
        self,
        gaps: ArrayLike,
        *,
        background: str = "oscillator",
        above: float | None = None,
        skew: Sequence[float] | None = None,
        mass: float = 1.0,
        hbar: float = 1.0,
    ) -> None:
        self.gaps = checked_gaps(gaps)
        self.background = choice("background", background, ("oscillator", "free"))
        count = len(self.gaps) + 1
        self.above = float(self.gaps[-1]) / (count - 1) if above is None else positive("above", above)
        self.skew = np.zeros(count) if skew is None else floats("skew", skew, 1)
        if self.skew.shape != (count,) or not np.all(np.abs(self.skew) < 1):
            raise InputError(f"skew must be {count} numbers between -1 and 1, one per level; got {self.skew.tolist()}")
        self.mass, self.hbar = positive("mass", mass), positive("hbar", hbar)
        # In units of ``above`` and of this length, hbar = mass = 1 and the oscillator has omega = 1.
        self._length = self.hbar / np.sqrt(self.mass * self.above)
        # Energies of the new levels, the highest first; the background begins at 1/2 (oscillator) or 0 (free).
        below = (self.gaps[-1] - np.append(0.0, self.gaps)) / self.above
        self._energies = -below[::-1] - (0.5 if self.background == "oscillator" else 1.0)

    def __repr__(self) -> str:
        return f"DarbouxPotential({self.gaps.tolist()}, background={self.background!r}, above={self.above:g})"

    @cached_property
    def hamiltonian(self) -> Hamiltonian:
        """The Hamiltonian of the potential."""
        return Hamiltonian(self, self.mass, self.hbar)

    def __call__(self, x: ArrayLike) -> Floats:
        """V(x) with E_0 = 0, energy units.

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        ndarray
            Shape of ``x``.
        """
        points = floats("x", x)
        return np.asarray(self.above * self._solved(points.ravel() / self._length)[0].reshape(points.shape))

    def exponent(self, x: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """W = -ln psi_0, up to a constant, and its first and second derivative.

        Parameters
        ----------
        x : array_like
            Positions of any shape.

        Returns
        -------
        w, first, second : ndarray
            Shape of ``x``.
        """
        points = floats("x", x)
        v, slope, w = (part.reshape(points.shape) for part in self._solved(points.ravel() / self._length))
        # Riccati's equation: W'^2 - W'' = 2 (V - E_0).
        return w, slope / self._length, (slope**2 - 2 * v) / self._length**2

    def _solved(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """V - E_0, W' and W at points (k,), in units of the oscillator."""
        if self.background == "free":
            return self._on_a_line(x)
        out = np.empty((3, len(x)))
        for side, spline, here in zip((1.0, -1.0), self._tables, (x >= 0, x < 0), strict=True):
            y, end = np.abs(x[here]), float(spline.t[-1])
            v, slope, w = spline(np.minimum(y, end)).T
            # Beyond the table every seed grows as exp(x^2/2) x^power; the next terms of the series continue the table.
            powers = -0.5 - self._energies - np.arange(len(self._energies))
            limit, total, power = -len(powers) - self._energies[-1], np.sum(powers), powers[-1]
            outer, beyond = np.maximum(y, end), y > end
            v_next = v - (end**2 / 2 + limit + total / end**2)
            slope_next = slope - (end + power / end)
            v = np.where(beyond, outer**2 / 2 + limit + total / outer**2 + v_next * (end / outer) ** 4, v)
            slope = np.where(beyond, outer + power / outer + slope_next * (end / outer) ** 3, slope)
            w += (outer**2 - end**2) / 2 + power * np.log(outer / end)
            w += beyond * slope_next * end / 2 * (1 - (end / outer) ** 2)
            out[:, here] = v, side * slope, w
        return out[0], out[1], out[2]

    @cached_property
    def _tables(self) -> tuple[Any, Any]:
        """Splines of V - E_0, W' and W on an oscillator, as functions of x >= 0 and of -x >= 0.

        The ratios v_k of a chain obey Riccati's equations v_k' = 2 (V_k - E_k) - v_k^2, V_{k+1} = V_k - v_k', which
        attract solutions that grow. Products of parabolic cylinder functions would lose all digits to cancellation.
        """
        from scipy.integrate import solve_ivp
        from scipy.interpolate import make_interp_spline

        energies = self._energies
        end = _FAR + _FURTHER * np.sqrt(len(energies))
        grid = np.linspace(0, end, round(end / _STEP))

        def potentials(x: Any, v: Any) -> list[Any]:
            found = [x**2 / 2]
            for energy, ratio in zip(energies, v, strict=True):
                found.append(2 * energy + ratio**2 - found[-1])
            return found

        def right(x: float, state: Floats) -> list[float]:
            v = state[:-1]
            slopes = [2 * (p - e) - r**2 for p, e, r in zip(potentials(x, v), energies, v, strict=False)]
            return [*slopes, v[-1]]

        tables = []
        for side in (1.0, -1.0):
            start = np.append(_ratios_at_zero(energies, side * self.skew), 0.0)
            solved = solve_ivp(
                right, (0.0, end), start, t_eval=grid, method="DOP853", rtol=_TOLERANCE, atol=_TOLERANCE
            ).y
            columns = [potentials(grid, solved[:-1])[-1] - energies[-1], solved[-2], solved[-1]]
            tables.append(make_interp_spline(grid, np.transpose(columns), k=5))
            if not self.skew.any():
                break
        return tables[0], tables[-1]

    def _on_a_line(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """The same on the free background, by deviations of u'/u from its limit kappa, which keep all their digits.

        Seeds are cosh + skew sinh and sinh + skew cosh of kappa x in turn, times exp(-kappa |x|).
        """
        kappa = np.sqrt(-2 * self._energies)
        y, side = np.abs(x), np.where(x < 0, -1.0, 1.0)
        seeds = []
        for i, k in enumerate(kappa):
            decay = np.exp(-2 * k * y)
            a, b = (self.skew[i] * side, 1.0) if i % 2 else (1.0, self.skew[i] * side)
            seeds.append((a * (1 + decay) / 2 + b * (1 - decay) / 2, k * (b - a) * decay))
        v = np.zeros_like(x)
        for k, (u, off) in enumerate(seeds):
            deviation = off / u
            for j in range(k + 1, len(seeds)):
                old, its_off = seeds[j]
                rest = its_off - deviation * old
                new = (kappa[j] - kappa[k]) * old + rest
                seeds[j] = new, -(kappa[j] + kappa[k]) * rest - deviation * new
            v = deviation * (2 * kappa[k] + deviation) - v
        slope = side * (kappa[-1] + deviation)
        return v - self._energies[-1], slope, np.log(np.abs(u)) + kappa[-1] * y


def _ratios_at_zero(energies: Floats, skew: Floats) -> list[float]:
    """v_k(0) of a chain on an oscillator.

    Seeds are the even solution plus skew times the odd one, and the odd one plus skew times the even one, in turn, in
    the scale in which the difference of both decays (Abramowitz and Stegun 19.3).
    """
    from scipy.special import gammaln

    seeds = []
    for i, (e, s) in enumerate(zip(energies, skew, strict=True)):
        odd = 2 * np.exp(gammaln(0.75 - e / 2) - gammaln(0.25 - e / 2))
        seeds.append((s, odd) if i % 2 else (1.0, s * odd))
    ratios = []
    for k, (u, slope) in enumerate(seeds):
        ratios.append(float(slope / u))
        for j in range(k + 1, len(seeds)):
            old, its_slope = seeds[j]
            new = its_slope - ratios[k] * old
            seeds[j] = new, 2 * (energies[k] - energies[j]) * old - ratios[k] * new
    return ratios
