"""Seed processes: Ornstein-Uhlenbeck processes, open and closed, and the Euclidean time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, positives, scale
from .._memory import need_memory
from ..errors import InputError, located
from ..quantum.oscillator import narrowing, thermal_covariance
from ..representation import short_repr
from .immutable import Immutable
from .source import REVERSIBLE, Source
from .state_modes import Levels, Modes, Rule, ThermalModes, oscillator, trapezoid
from .table import Table

__all__ = ["OrnsteinUhlenbeck", "ThermalOrnsteinUhlenbeck", "Times"]


@short_repr
@dataclass(frozen=True, init=False)
class OrnsteinUhlenbeck(Source):
    r"""Independent stationary Ornstein-Uhlenbeck processes, one per network input.

    .. math:: dy_i = -\omega_i y_i\,dt + \sigma_i\,dW_i, \qquad
              \langle y_i(0) y_i(t)\rangle = \frac{\sigma_i^2}{2\omega_i} e^{-\omega_i |t|}

    Paths start from the stationary density, and every step is exact for any time step
    (Gillespie, Phys. Rev. E 54, 2084 (1996)).

    Parameters
    ----------
    omega : float or sequence of float
        Relaxation rates, shape (D,), unit 1/time, positive.
    sigma : float or sequence of float, default 1
        Noise strengths, shape (D,) or a number used for every input, unit [y]/sqrt(time), positive.

    Raises
    ------
    InputError
        If a rate or a strength is not finite and positive, a rate or a standard deviation is not from 1e-50 to 1e50, or
        the lengths differ.

    Examples
    --------
    >>> OrnsteinUhlenbeck(omega=[1.0, 2.0]).variance
    array([0.5 , 0.25])
    """

    kind = "ornstein-uhlenbeck"

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
            raise InputError(
                f"omega and sigma must have the same length; got {len(rates)} and {len(strengths)}; "
                "give one entry per input"
            )
        for i, (rate, strength) in enumerate(zip(rates, strengths, strict=True)):
            scale(f"omega[{i}]", rate)
            # The spread, without powers that may overflow
            scale(f"sigma[{i}]/sqrt(2 omega[{i}])", strength / np.sqrt(2 * rate))
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

    def learnable(self) -> dict[str, Floats]:
        """Rates "omega" and strengths "sigma", shape (D,) each."""
        return {"omega": np.array(self.omega), "sigma": np.array(self.sigma)}

    def with_learnable(self, values: Mapping[str, Floats]) -> OrnsteinUhlenbeck:
        """The process with other rates or strengths."""
        return OrnsteinUhlenbeck(values.get("omega", self.omega), values.get("sigma", self.sigma))

    @property
    def natural_step(self) -> float:
        """0.2 over the largest rate."""
        return 0.2 / max(self.omega)

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def gaussian(self) -> bool:
        """True."""
        return True

    @property
    def markov(self) -> bool:
        """True."""
        return True

    @property
    def positive_because(self) -> str:
        """Reason: the process is reversible and Markov."""
        return REVERSIBLE

    @property
    def oscillators(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Rates omega and strengths sigma."""
        return self.omega, self.sigma

    def states(self, fine: Rule, coarse: Rule, hbar: float, component: int = 0) -> tuple[list[Modes], list[Modes]]:
        """Hermite functions by the trapezoid rule.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Half-width in standard deviations, number of nodes and highest polynomial of a quadrature.
        hbar : float
        component : int, default 0
            Number of the grid, below ``n_components``.

        Returns
        -------
        fine, coarse : list of Modes
            One entry per input.
        """
        inputs = list(zip(self.omega, np.sqrt(self.variance), strict=True))
        first, second = (
            [oscillator(w, float(s), trapezoid(width, nodes), order, hbar) for w, s in inputs]
            for width, nodes, order in (fine, coarse)
        )
        return first, second

    def thermal_states(
        self, fine: Rule, coarse: Rule, hbar: float, beta: float, component: int = 0
    ) -> tuple[list[ThermalModes], list[ThermalModes]]:
        """Hermite functions at the thermal width by the trapezoid rule.

        Parameters
        ----------
        fine, coarse : (float, int, int)
            Half-width in standard deviations, number of nodes and highest polynomial of a quadrature.
        hbar : float
        beta : float
            Period, unit time.
        component : int, default 0
            Number of the grid, below ``n_components``.

        Returns
        -------
        fine, coarse : list of ThermalModes
            One entry per input.
        """

        def level(rule: Rule) -> list[ThermalModes]:
            found, nodes = [], trapezoid(*rule[:2])
            for w, variance in zip(self.omega, self.variance, strict=True):
                spread = float(np.sqrt(variance / narrowing(w, beta)))
                modes = oscillator(w, spread, nodes, rule[2], hbar)
                found.append(ThermalModes(modes=modes, beta=beta, rate=float(w)))
            return found

        return level(fine), level(coarse)

    def levels(self, n_levels: int, hbar: float) -> list[Levels]:
        """Multiples of hbar omega.

        Parameters
        ----------
        n_levels : int
            Largest number of gaps per input, the 0 of the ground state not counted.
        hbar : float

        Returns
        -------
        list of Levels
            One entry per input.
        """
        numbers, signs = np.arange(n_levels + 1), np.ones(n_levels + 1)
        return [Levels(energies=np.asarray(hbar * rate * numbers), signs=signs) for rate in self.omega]

    def ground_energy(self, hbar: float, mass: float) -> tuple[float, str] | None:
        """E_0 = hbar omega/2 if the process is the harmonic oscillator, sigma^2 = hbar/mass; None otherwise.

        Parameters
        ----------
        hbar, mass : float
            Constants of the theory.

        Returns
        -------
        (float, str) or None
            E_0 in energy units, and its origin as a phrase for the report.
        """
        if len(self.omega) == 1 and np.isclose(self.sigma[0] ** 2, hbar / mass, rtol=1e-12):
            return hbar * self.omega[0] / 2, "this is the harmonic oscillator: with its E_0"
        return None

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "OU"

    @classmethod
    def table_keys(cls) -> tuple[str, ...]:
        """Keys in a theory file; the key beta selects the thermal process.

        Returns
        -------
        tuple of str
        """
        return "omega", "sigma", "beta"

    @classmethod
    def from_table(cls, table: Table) -> Source:
        """The process of a ``[[source]]`` table of a theory file; the thermal process if the table has beta.

        Parameters
        ----------
        table : Table
            Keys and values of the source.

        Returns
        -------
        OrnsteinUhlenbeck or ThermalOrnsteinUhlenbeck

        Raises
        ------
        InputError, InputTypeError
            If a key is missing or a value is not valid; the message names the key.
        """
        beta = table.number("beta")
        omega, sigma = table.rates("omega", "write omega = 1.0"), table.rates("sigma", "", default=1.0)
        with located(table.place):
            return cls(omega, sigma) if beta is None else ThermalOrnsteinUhlenbeck(omega, sigma, beta=beta)

    def compiled(self, times: Floats) -> list[_core.OrnsteinUhlenbeck]:
        """The process in terms of the core, the same for every grid.

        Parameters
        ----------
        times : ndarray
            Not used.

        Returns
        -------
        list
            Sources of the core.
        """
        return [_core.OrnsteinUhlenbeck(np.asarray(self.omega), np.asarray(self.sigma))]


class ThermalOrnsteinUhlenbeck(Immutable, Source):
    r"""Ornstein-Uhlenbeck processes on a circle: the harmonic oscillator at temperature hbar/(k beta).

    .. math:: \langle y_i(0) y_i(t)\rangle = \frac{\sigma_i^2}{2\omega_i}
              \frac{\cosh \omega_i(\beta/2 - |t|)}{\sinh(\omega_i\beta/2)}, \qquad 0 \le |t| \le \beta

    Paths are exact on a time grid that spans one period: sums of the Fourier modes of this covariance
    (Kapusta and Gale, Finite-Temperature Field Theory, sec. 2).

    Parameters
    ----------
    omega, sigma : float or sequence of float
        As for ``OrnsteinUhlenbeck``.
    beta : float
        Period, the Euclidean time hbar/kT, unit time.

    Raises
    ------
    InputError
        If a number is not finite and positive, or the lengths of omega and sigma differ.

    Examples
    --------
    >>> float(ThermalOrnsteinUhlenbeck(1.0, beta=2.0).variance[0].round(6))  # coth(1)/2
    0.656518
    """

    __slots__ = ("beta", "omega", "sigma")

    kind = "thermal-ornstein-uhlenbeck"
    _contents = ("omega", "sigma", "beta")

    omega: tuple[float, ...]
    sigma: tuple[float, ...]
    beta: float

    def __init__(self, omega: ArrayLike, sigma: ArrayLike = 1.0, *, beta: float) -> None:
        open_path = OrnsteinUhlenbeck(omega, sigma)
        self._set(omega=open_path.omega, sigma=open_path.sigma, beta=scale("beta", beta))

    @property
    def n_inputs(self) -> int:
        """Number of independent input channels D."""
        return len(self.omega)

    @property
    def variance(self) -> Floats:
        """Variances sigma^2 coth(omega beta/2)/(2 omega), shape (D,)."""
        omega, sigma = np.asarray(self.omega), np.asarray(self.sigma)
        return np.asarray(sigma**2 / (2 * omega) / narrowing(omega, self.beta))

    @property
    def natural_step(self) -> float:
        """Largest fraction 1/n of the period that does not exceed 0.2 over the largest rate, n >= 4."""
        return self.beta / float(np.ceil(max(4.0, self.beta * max(self.omega) / 0.2)))

    @property
    def period(self) -> float:
        """Period beta, unit time."""
        return self.beta

    def covariance(self, times: ArrayLike) -> Floats:
        """Periodic covariance of each input at time differences t.

        Parameters
        ----------
        times : array_like
            Shape (T,), unit time.

        Returns
        -------
        ndarray
            Shape (D, T), unit [y]^2.
        """
        t = np.mod(np.asarray(times, dtype=np.float64), self.beta)
        omega, sigma = np.asarray(self.omega)[:, None], np.asarray(self.sigma)[:, None]
        return np.asarray(thermal_covariance(t, omega, sigma, self.beta))

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def gaussian(self) -> bool:
        """True."""
        return True

    @property
    def positive_because(self) -> str:
        """Reason: the process is made from a reversible Markov process."""
        return REVERSIBLE

    def opened(self) -> OrnsteinUhlenbeck:
        """The process with open paths, at zero temperature.

        Returns
        -------
        OrnsteinUhlenbeck
        """
        return OrnsteinUhlenbeck(self.omega, self.sigma)

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "thermal OU"

    def compiled(self, times: Floats) -> list[_core.Linear]:
        """Fourier modes of the covariance on the grid, one source of the core per input.

        Parameters
        ----------
        times : ndarray
            Uniform grid that spans one period, shape (n_times,), unit time.

        Returns
        -------
        list
            Sources of the core.
        """
        n = len(times)
        # A list of modes, the array of them and its copy in the core.
        need_memory(24.0 * n**2, "the modes of a thermal process", "use fewer times", f"{n} times")
        # The covariance matrix on the grid is circulant: its eigenvectors are the Fourier modes.
        waves = np.fft.rfft(self.covariance(np.arange(n) * (self.beta / n)), axis=1).real
        angle = 2 * np.pi / n * np.arange(n)
        sources = []
        for spectrum in waves:
            basis = [np.full(n, np.sqrt(max(spectrum[0], 0.0) / n))]
            for k in range(1, len(spectrum)):
                size = np.sqrt(max(spectrum[k], 0.0) / n) * (1.0 if 2 * k == n else np.sqrt(2))
                basis.append(size * np.cos(k * angle))
                if 2 * k != n:
                    basis.append(size * np.sin(k * angle))
            sources.append(
                _core.Linear(
                    mean=np.zeros(n),
                    basis=np.array(basis),
                    density="gaussian",
                    nu=0.0,
                    rows=np.empty(0),
                    independent=False,
                )
            )
        return sources

    def __repr__(self) -> str:
        return f"ThermalOrnsteinUhlenbeck(omega={self.omega}, sigma={self.sigma}, beta={self.beta:g})"


@dataclass(frozen=True)
class Times(Source):
    r"""The Euclidean time as the input of a network in time: only the weights are random.

    Parameters
    ----------
    reflected : bool, default False
        Whether the input is :math:`|t|` instead of t, as parameter splitting needs.

    Examples
    --------
    >>> Times().stationary
    False
    """

    kind = "times"

    reflected: bool = False

    @property
    def variance(self) -> Floats:
        """The number 1, shape (1,), because the time is not random."""
        return np.ones(1)

    @property
    def natural_step(self) -> float:
        """The time step 0.1."""
        return 0.1

    @property
    def stationary(self) -> bool:
        """False: the input changes with time."""
        return False

    @property
    def continuous(self) -> bool:
        """True."""
        return True

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "time"

    def compiled(self, times: Floats) -> list[_core.Times]:
        """The time in terms of the core, the same for every grid.

        Parameters
        ----------
        times : ndarray
            Not used.

        Returns
        -------
        list
            Sources of the core.
        """
        return [_core.Times(self.reflected)]
