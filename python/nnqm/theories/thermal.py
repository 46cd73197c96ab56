"""Seed processes at finite temperature: paths that close after one period of Euclidean time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arguments import Floats, integer, positive, positives
from ..errors import InputError, InputTypeError
from ..quantum.hamiltonian import Hamiltonian
from ..quantum.oscillator import narrowing, thermal_covariance
from .sources import OrnsteinUhlenbeck, Source, alias_tables

__all__ = ["ThermalOrnsteinUhlenbeck", "ThermalProcess"]

# Weights of the core's tables: integers below 2^31.
_LARGEST = 2.0**31 - 1
# States further out than this part of the largest thermal density are left out.
_TAIL = 1e-20
_MAX_BYTES = 1 << 30


class ThermalOrnsteinUhlenbeck(Source):
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
    ValueError
        If a number is not finite and positive, or the lengths of omega and sigma differ.

    Examples
    --------
    >>> float(ThermalOrnsteinUhlenbeck(1.0, beta=2.0).variance[0].round(6))  # coth(1)/2
    0.656518
    """

    __slots__ = ("beta", "omega", "sigma")

    omega: tuple[float, ...]
    sigma: tuple[float, ...]
    beta: float

    def __init__(self, omega: ArrayLike, sigma: ArrayLike = 1.0, *, beta: float) -> None:
        open_path = OrnsteinUhlenbeck(omega, sigma)
        object.__setattr__(self, "omega", open_path.omega)
        object.__setattr__(self, "sigma", open_path.sigma)
        object.__setattr__(self, "beta", positive("beta", beta))

    @property
    def n_inputs(self) -> int:
        """Number of independent input channels D."""
        return len(self.omega)

    @property
    def mean(self) -> Floats:
        """Means, zero, shape (D,)."""
        return np.zeros(self.n_inputs)

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

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``Theory.from_dict`` understands."""
        return {
            "kind": "thermal-ornstein-uhlenbeck",
            "omega": list(self.omega),
            "sigma": list(self.sigma),
            "beta": self.beta,
        }

    def _compiled(self, times: Floats) -> list[_core.Linear]:
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

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"ThermalOrnsteinUhlenbeck is immutable; make a new one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ThermalOrnsteinUhlenbeck):
            return NotImplemented
        return (self.omega, self.sigma, self.beta) == (other.omega, other.sigma, other.beta)

    def __hash__(self) -> int:
        return hash((self.omega, self.sigma, self.beta))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_thermal_process, (self.omega, self.sigma, self.beta))

    def __repr__(self) -> str:
        return f"ThermalOrnsteinUhlenbeck(omega={self.omega}, sigma={self.sigma}, beta={self.beta:g})"


def _thermal_process(omega: tuple[float, ...], sigma: tuple[float, ...], beta: float) -> ThermalOrnsteinUhlenbeck:
    return ThermalOrnsteinUhlenbeck(positives("omega", omega), sigma, beta=beta)


class ThermalProcess(Source):
    r"""Closed paths of a Hamiltonian at temperature hbar/(k beta), one network input.

    Correlators are :math:`\mathrm{Tr}\,[e^{-(\beta - t)H/\hbar} f e^{-tH/\hbar} f]/\mathrm{Tr}\,e^{-\beta H/\hbar}`.
    The first point is drawn from the diagonal of the kernel of a whole period and each further one from the kernel of
    a step times that of what remains: a bridge on a grid.

    Parameters
    ----------
    hamiltonian : Hamiltonian
        Confining: all of the spectrum that matters at this temperature is discrete.
    beta : float
        Period, the Euclidean time hbar/kT, unit time.
    n_grids : int, default 4
        Shifted grids between which paths are divided, as for ``GroundStateProcess``.

    Raises
    ------
    TypeError, ValueError
        If it is no Hamiltonian, the trace does not exist, or (by ``simulate``) the grid of times is so fine that the
        tables of the kernels would take more than 1 GB.

    Examples
    --------
    >>> hot = ThermalProcess(Hamiltonian([0, 0, 0.5]), beta=2.0)
    >>> float(hot.variance[0].round(6))
    0.656518
    """

    __slots__ = ("_tables", "beta", "hamiltonian", "n_grids")

    hamiltonian: Hamiltonian
    beta: float
    n_grids: int
    _tables: dict[int, _core.PeriodicChain]

    def __init__(self, hamiltonian: Hamiltonian, beta: float, n_grids: int = 4) -> None:
        if not isinstance(hamiltonian, Hamiltonian):
            raise InputTypeError(f"hamiltonian must be a Hamiltonian; got {hamiltonian!r}")
        object.__setattr__(self, "hamiltonian", hamiltonian)
        object.__setattr__(self, "beta", positive("beta", beta))
        object.__setattr__(self, "n_grids", integer("n_grids", n_grids, 1, 64))
        object.__setattr__(self, "_tables", {})
        hamiltonian.partition_function(self.beta)  # raises where there is none

    @property
    def n_inputs(self) -> int:
        """Number of input channels, one."""
        return 1

    @property
    def mean(self) -> Floats:
        """Thermal expectation of x, shape (1,)."""
        return np.array([self.hamiltonian.n_point([(0.0, None)], beta=self.beta)])

    @property
    def variance(self) -> Floats:
        """Thermal variance of x, shape (1,)."""
        return np.atleast_1d(self.hamiltonian.connected(0.0, beta=self.beta))

    @property
    def natural_step(self) -> float:
        """The largest part of the period below the time of 0.4 over the second gap."""
        open_step = 0.4 * self.hamiltonian.hbar / float(self.hamiltonian.gaps(2)[-1])
        return self.beta / float(np.ceil(max(4.0, self.beta / open_step)))

    @property
    def period(self) -> float:
        """The period beta."""
        return self.beta

    @property
    def constants(self) -> tuple[float, float]:
        """The Hamiltonian's hbar and mass."""
        return self.hamiltonian.hbar, self.hamiltonian.mass

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``Theory.from_dict`` understands."""
        return {
            "kind": "thermal",
            "hamiltonian": self.hamiltonian.to_dict(),
            "beta": self.beta,
            "n_grids": self.n_grids,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ThermalProcess:
        """The process that ``to_dict`` described."""
        return cls(Hamiltonian.from_dict(data["hamiltonian"]), data["beta"], data["n_grids"])

    def _compiled(self, times: Floats) -> list[_core.PeriodicChain]:
        steps = len(times)
        if steps not in self._tables:
            self._tables[steps] = self._chain(steps)
        return [self._tables[steps]]

    def _chain(self, steps: int) -> _core.PeriodicChain:
        h, dt = self.hamiltonian, self.beta / steps
        reference = h.bases.thermal(self.beta)
        law = (reference.vectors**2) @ np.exp(-(reference.energies - reference.energies[0]) * (self.beta / h.hbar))
        kept = np.flatnonzero(law > _TAIL * law.max())
        interval = (
            max(reference.points[kept[0]] - reference.spacing, reference.points[0]),
            min(reference.points[kept[-1]] + reference.spacing, reference.points[-1]),
        )
        spacing = min(reference.spacing, 0.3 * np.sqrt(h.hbar * dt / h.mass))
        size = int((interval[1] - interval[0]) / spacing) + 3
        if 4 * self.n_grids * steps * size**2 > _MAX_BYTES:
            raise InputError(
                f"dt={dt:g} is too fine: {steps} steps on {size} states and {self.n_grids} grids need tables of more "
                "than 1 GB; use fewer times or n_grids=1"
            )
        parts = []
        for offset in (np.arange(self.n_grids) + 0.5) / self.n_grids - 0.5:
            basis = h.bases.grid(interval, spacing, float(offset))
            rates = (basis.energies - basis.energies[0]) / h.hbar
            parts.append((basis.points, _powers(basis.vectors, rates, dt, steps)))
        states = max(len(points) for points, _ in parts)
        values = np.zeros((self.n_grids, states))
        starts = np.zeros((self.n_grids, states))
        forth = np.zeros((self.n_grids, states, states), dtype=np.uint32)
        back = np.zeros((self.n_grids, steps - 1, states, states), dtype=np.uint32)
        for g, (points, powers) in enumerate(parts):
            n = len(points)
            values[g, :n] = points
            starts[g, :n] = np.diagonal(powers[steps]) / np.trace(powers[steps])
            forth[g, :n, :n] = _integers(powers[1])
            for t in range(1, steps):
                back[g, t - 1, :n, :n] = _integers(powers[steps - t])
        threshold, alias = alias_tables(starts)
        return _core.PeriodicChain(
            dt=dt, values=values, start_threshold=threshold, start_alias=alias, step_weights=forth, remaining=back
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"ThermalProcess is immutable; make a new one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ThermalProcess):
            return NotImplemented
        mine, theirs = ((p.hamiltonian, p.beta, p.n_grids) for p in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.hamiltonian, self.beta, self.n_grids))

    def __reduce__(self) -> tuple[Any, ...]:
        return (ThermalProcess, (self.hamiltonian, self.beta, self.n_grids))

    def __repr__(self) -> str:
        return f"ThermalProcess({self.hamiltonian!r}, beta={self.beta:g})"


def _powers(vectors: Floats, rates: Floats, dt: float, steps: int) -> dict[int, Floats]:
    """Kernels of 1 .. steps steps; negative entries are rounding."""
    kernels = {}
    for k in range(1, steps + 1):
        kernel = (vectors * np.exp(-rates * (k * dt))) @ vectors.T
        kernels[k] = np.clip((kernel + kernel.T) / 2, 0, None)
    return kernels


def _integers(kernel: Floats) -> Any:
    """Rows in units of 2^-31 of their largest entry; common factors of a row of weights do not matter."""
    return np.round(kernel * (_LARGEST / kernel.max(axis=1, keepdims=True))).astype(np.uint32)
