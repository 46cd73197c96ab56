"""Seed processes: Ornstein-Uhlenbeck processes, open and closed, and the time itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, positive, positives
from ..errors import InputError, located
from ..quantum.oscillator import narrowing, thermal_covariance
from .immutable import Immutable
from .source import REVERSIBLE, Source
from .state_modes import Levels, Modes, Rule, ThermalModes, oscillator, trapezoid
from .table import Table

__all__ = ["OrnsteinUhlenbeck", "ThermalOrnsteinUhlenbeck", "Times"]


@dataclass(frozen=True, init=False)
class OrnsteinUhlenbeck(Source):
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
    InputError
        If a rate or a strength is not finite and positive, or the lengths differ.

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
        """It is reversible and Markov."""
        return REVERSIBLE

    @property
    def oscillators(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Omega and sigma."""
        return self.omega, self.sigma

    def states(self, fine: Rule, coarse: Rule, hbar: float, component: int = 0) -> tuple[list[Modes], list[Modes]]:
        """Hermite functions by the trapezoid rule; see ``Source.states``."""
        inputs = list(zip(self.omega, np.sqrt(self.variance), strict=True))
        first, second = (
            [oscillator(w, float(s), trapezoid(width, nodes), order, hbar) for w, s in inputs]
            for width, nodes, order in (fine, coarse)
        )
        return first, second

    def thermal_states(
        self, fine: Rule, coarse: Rule, hbar: float, beta: float, component: int = 0
    ) -> tuple[list[ThermalModes], list[ThermalModes]]:
        """Hermite functions at the thermal width; see ``Source.states``."""

        def level(rule: Rule) -> list[ThermalModes]:
            found, nodes = [], trapezoid(*rule[:2])
            for w, variance in zip(self.omega, self.variance, strict=True):
                spread = float(np.sqrt(variance / narrowing(w, beta)))
                modes = oscillator(w, spread, nodes, rule[2], hbar)
                found.append(ThermalModes(modes=modes, beta=beta, rate=float(w)))
            return found

        return level(fine), level(coarse)

    def levels(self, n_levels: int, hbar: float) -> list[Levels]:
        """Multiples of hbar omega."""
        numbers, signs = np.arange(n_levels + 1), np.ones(n_levels + 1)
        return [Levels(energies=np.asarray(hbar * rate * numbers), signs=signs) for rate in self.omega]

    def ground_energy(self, hbar: float, mass: float) -> tuple[float, str] | None:
        """Hbar omega/2 if sigma^2 is hbar/mass, as for the harmonic oscillator."""
        if len(self.omega) == 1 and np.isclose(self.sigma[0] ** 2, hbar / mass, rtol=1e-12):
            return hbar * self.omega[0] / 2, "this is the harmonic oscillator: with its E_0"
        return None

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "OU"

    @classmethod
    def table_keys(cls) -> tuple[str, ...]:
        """Keys in a theory file: beta makes the process a thermal one."""
        return "omega", "sigma", "beta"

    @classmethod
    def from_table(cls, table: Table) -> Source:
        """The process, or the thermal one, of a ``[[source]]`` of a theory file."""
        beta = table.number("beta")
        omega, sigma = table.rates("omega", "write omega = 1.0"), table.rates("sigma", "", default=1.0)
        with located(table.place):
            return cls(omega, sigma) if beta is None else ThermalOrnsteinUhlenbeck(omega, sigma, beta=beta)

    def compiled(self, times: Floats) -> list[_core.OrnsteinUhlenbeck]:
        """The core's description, the same on every grid."""
        return [_core.OrnsteinUhlenbeck(np.asarray(self.omega), np.asarray(self.sigma))]


class ThermalOrnsteinUhlenbeck(Immutable, Source):
    r"""Ornstein-Uhlenbeck processes on a circle: the harmonic oscillator at temperature hbar/(k beta).

    .. math:: \langle y_i(0) y_i(t)\rangle = \frac{\sigma_i^2}{2\omega_i}
              \frac{\cosh \omega_i(\beta/2 - |t|)}{\sinh(\omega_i\beta/2)}, \qquad 0 \le |t| \le \beta

    Sampled exactly on the time grid, which spans one period, from the Fourier modes of this covariance
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
        self._set(omega=open_path.omega, sigma=open_path.sigma, beta=positive("beta", beta))

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
        """The largest part of the period below 0.2 over the largest rate."""
        return self.beta / float(np.ceil(max(4.0, self.beta * max(self.omega) / 0.2)))

    @property
    def period(self) -> float:
        """The period beta."""
        return self.beta

    def covariance(self, times: ArrayLike) -> Floats:
        """Covariance of each input at times of shape (T,), unit time, shape (D, T); periodic."""
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
        """It is made of a reversible Markov process."""
        return REVERSIBLE

    def opened(self) -> OrnsteinUhlenbeck:
        """The process of open paths."""
        return OrnsteinUhlenbeck(self.omega, self.sigma)

    @property
    def label(self) -> str:
        """The name in the title of a report."""
        return "thermal OU"

    def compiled(self, times: Floats) -> list[_core.Linear]:
        """Fourier modes of the covariance on the grid."""
        n = len(times)
        # The covariance of the grid is circulant: its eigenvectors are the Fourier modes.
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
    r"""The Euclidean time itself as the input: networks in time, whose weights are all that is random.

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
        """One, shape (1,): the time has no distribution of its own."""
        return np.ones(1)

    @property
    def natural_step(self) -> float:
        """0.1 in units of time."""
        return 0.1

    @property
    def stationary(self) -> bool:
        """False: every time is another input."""
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
        """The core's description, the same on every grid."""
        return [_core.Times(self.reflected)]
