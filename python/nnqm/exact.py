"""What is known without sampling: the Kallen-Lehmann measure of a network on Ornstein-Uhlenbeck processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._checks import Floats, choice, integer
from .theory import Theory

__all__ = ["SpectralMeasure", "kallen_lehmann"]

# Half-width of the quadrature in standard deviations, nodes per input and highest polynomial per input, by number of
# inputs. The trapezoid rule converges geometrically for activations that are analytic around the real line.
_RULES = {1: (12.0, 320, 200), 2: (10.0, 160, 80), 3: (9.0, 80, 48)}
# Beyond this relative error nothing is called exact.
_TOLERANCE = 1e-7
# What states beyond the highest polynomial may weigh: their energies are known from below only.
_TAIL = 1e-5


@dataclass(frozen=True)
class SpectralMeasure:
    r"""The exact two-point function of a theory as a sum over states.

    .. math:: G(t) = \mu^2 + \sum_\alpha c_\alpha^2 e^{-\epsilon_\alpha |t|}

    (Mehler's formula.) Energies and weights are exact up to ``error``.

    Attributes
    ----------
    energies : ndarray
        E - E_0 > 0 in energy units, ascending, shape (k,); equal ones are listed separately. The weight of all
        states beyond the highest polynomial stands at the end, at the lowest energy that it can have.
    weights : ndarray
        |<0|x|n>|^2, shape (k,).
    mean : float
        Expectation value of x.
    moments : ndarray
        Central moments 2, 3, 4 of x, shape (3,).
    commutator : float
        [x, p]/(i hbar) averaged over the ground state, (2 m/hbar^2) sum eps c^2 = (m/hbar) sum_i sigma_i^2 E(d_i f)^2.
    momentum_squared : float
        <p^2> = (m/hbar)^2 sum eps^2 c^2 = m^2 E(L f)^2 with the generator L of the seed processes.
    hbar, mass : float
    error : float
        Relative error reached: the change when the quadrature is coarsened, and what the last weight can do to G.
    """

    energies: Floats
    weights: Floats
    mean: float
    moments: Floats
    commutator: float
    momentum_squared: float
    hbar: float
    mass: float
    error: float

    def connected(self, times: ArrayLike) -> Floats:
        """Connected two-point function at times of any shape."""
        t = np.abs(np.asarray(times, dtype=np.float64))
        return np.asarray(np.exp(-np.multiply.outer(t, self.energies / self.hbar)) @ self.weights)

    def two_point(self, times: ArrayLike) -> Floats:
        """Two-point function <x(0) x(t)> at times of any shape."""
        return np.asarray(self.mean**2 + self.connected(times))

    def quadratic_variation(self, times: ArrayLike) -> Floats:
        """<(x(t) - x(0))^2>, without the cancellation of 2 G(0) - 2 G(t)."""
        t = np.abs(np.asarray(times, dtype=np.float64))
        return np.asarray(-2 * np.expm1(-np.multiply.outer(t, self.energies / self.hbar)) @ self.weights)

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis of x."""
        return float(self.moments[2] / self.moments[0] ** 2 - 3)


def level_energies(theory: Theory, n_levels: int) -> tuple[Floats, tuple[int, ...]]:
    """Lowest gaps alpha.omega of a theory on Ornstein-Uhlenbeck processes, energy units, and their multiplicities.

    Parameters
    ----------
    theory : Theory
    n_levels : int
        Distinct ones wanted.
    """
    integer("n_levels", n_levels, 1, 10_000)
    omega = np.array(theory.omega)
    # Every level below n_levels * min(omega) and no higher one is needed: that many multiples of the lowest exist.
    limit = n_levels * omega.min() * (1 + 1e-9)
    sums = np.zeros(1)
    for rate in omega:
        steps = rate * np.arange(int(limit / rate) + 1)
        sums = np.add.outer(sums, steps).ravel()
        sums = sums[sums <= limit]
    sums = np.sort(sums[sums > 0])
    first = np.concatenate([[True], np.diff(sums) > 1e-9 * sums[1:]])
    counts = np.diff([*np.flatnonzero(first), len(sums)])
    return theory.hbar * sums[first][:n_levels], tuple(int(c) for c in counts[:n_levels])


def kallen_lehmann(theory: Theory, channel: str | None = None) -> SpectralMeasure:
    r"""Exact spectral measure of a channel of a theory with fixed weights.

    With :math:`h_n = He_n/\sqrt{n!}` and standard normal z, the coefficients are
    :math:`c_\alpha = E_z[f(s z)\, h_\alpha(z)]` at energies :math:`\hbar\,\alpha\cdot\omega` (Mehler's formula), by the
    trapezoid rule in z.

    Parameters
    ----------
    theory : Theory
        With at most three inputs.
    channel : str, optional
        Name of a channel; the first output by default.

    Returns
    -------
    SpectralMeasure

    Raises
    ------
    ValueError
        With more than three inputs, or if the quadrature does not reach a relative error of 1e-7 (a kinked or
        saturated network); the message says what was reached.
    """
    name = choice("channel", theory.outputs[0] if channel is None else channel, theory.channels)
    n_inputs = theory.n_inputs
    column = theory.channels.index(name)
    if theory.network is None or column < n_inputs:
        rate, sigma = theory.omega[column], theory.sigma[column]
        variance = sigma**2 / (2 * rate)
        return SpectralMeasure(
            theory.hbar * np.array([rate]),
            np.array([variance]),
            0.0,
            np.array([variance, 0.0, 3 * variance**2]),
            theory.mass / theory.hbar * sigma**2,
            theory.mass**2 * rate**2 * variance,
            theory.hbar,
            theory.mass,
            0.0,
        )
    if n_inputs not in _RULES:
        raise ValueError(
            f"exact measures are for at most {max(_RULES)} inputs; got {n_inputs}; sample the theory instead"
        )
    width, nodes, order = _RULES[n_inputs]
    output = column - n_inputs
    coefficients, mean, moments = _coefficients(theory, output, width, nodes, order)
    coarse, _, coarse_moments = _coefficients(theory, output, width * 0.85, int(nodes * 0.7), order)
    weights, variance = coefficients**2, moments[0]
    gradient, generator = _derivatives(theory, output, width * 0.85, int(nodes * 0.7), 0.01)
    check = _derivatives(theory, output, width * 0.85, int(nodes * 0.7), 0.02)
    energies = np.zeros(weights.shape)
    for axis, rate in enumerate(theory.omega):
        shape = [1] * n_inputs
        shape[axis] = -1
        energies = energies + theory.hbar * rate * np.arange(weights.shape[axis]).reshape(shape)
    energies, weights = energies.ravel()[1:], weights.ravel()[1:]
    beyond, cutoff = max(variance - weights.sum(), 0.0), theory.hbar * min(theory.omega) * (order + 1)
    scale = max(variance, 1e-300)
    error = max(
        np.abs(weights - coarse.ravel()[1:] ** 2).max() / scale,
        abs(variance - coarse_moments[0]) / scale,
        abs(gradient - check[0]) / max(gradient, 1e-300),
        abs(generator - check[1]) / max(generator, 1e-300),
    )
    if error > _TOLERANCE or beyond > _TAIL * scale:
        raise ValueError(
            f"the quadrature reaches a relative error of {max(error, beyond / scale):.1e} only, "
            f"for {theory.network!r}; "
            "kinked and saturated networks need more than it offers: sample the theory instead"
        )
    ascending = np.argsort(energies, kind="stable")
    return SpectralMeasure(
        np.append(energies[ascending], max(cutoff, energies.max())),
        np.append(weights[ascending], beyond),
        mean,
        moments,
        theory.mass / theory.hbar * gradient,
        theory.mass**2 * generator,
        theory.hbar,
        theory.mass,
        float(max(error, beyond / scale)),
    )


def _grid(theory: Theory, width: float, nodes: int) -> tuple[Floats, Floats, Floats]:
    """Points y of the tensor grid (nodes, ..., D), and z and weights of one axis."""
    z, step = np.linspace(-width, width, nodes, retstep=True)
    density = step * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    spread = np.sqrt(np.concatenate([s.variance for s in theory.sources]))
    return np.stack(np.meshgrid(*(s * z for s in spread), indexing="ij"), axis=-1), z, density


def _mean(density: Floats, values: Floats) -> float:
    for _ in range(values.ndim):
        values = density @ values
    return float(values)


def _derivatives(theory: Theory, output: int, width: float, nodes: int, step: float) -> tuple[float, float]:
    r"""sum_i sigma_i^2 E(d_i f)^2 and E(L f)^2, L = sum_i (sigma_i^2/2) d_i^2 - omega_i y_i d_i.

    Derivatives are central differences of sixth order with a step in standard deviations of the inputs.
    """
    assert theory.network is not None
    grid, _, density = _grid(theory, width, nodes)
    centre = theory.network(grid)[..., output]
    gradient, generator = np.zeros(centre.shape), np.zeros(centre.shape)
    for axis, (rate, sigma) in enumerate(zip(theory.omega, theory.sigma, strict=True)):
        h = step * sigma / np.sqrt(2 * rate)
        first, second = np.zeros(centre.shape), -49 / 18 * centre
        for k, (odd, even) in enumerate(((3 / 4, 3 / 2), (-3 / 20, -3 / 20), (1 / 60, 1 / 90)), start=1):
            move = np.zeros(theory.n_inputs)
            move[axis] = k * h
            up, down = theory.network(grid + move)[..., output], theory.network(grid - move)[..., output]
            first += odd * (up - down)
            second += even * (up + down)
        first, second = first / h, second / h**2
        gradient += sigma**2 * first**2
        generator += sigma**2 / 2 * second - rate * grid[..., axis] * first
    return _mean(density, gradient), _mean(density, generator**2)


def _coefficients(theory: Theory, output: int, width: float, nodes: int, order: int) -> tuple[Floats, float, Floats]:
    """c_alpha with every alpha_i <= order (that of the mean set to zero), the mean and central moments 2, 3, 4."""
    assert theory.network is not None
    grid, z, density = _grid(theory, width, nodes)
    f = theory.network(grid)[..., output]
    # The projection carries half the density in the polynomials, so that neither over- nor underflows.
    hermite = np.empty((order + 1, nodes))
    hermite[0] = density
    hermite[1] = z * density
    for n in range(1, order):
        hermite[n + 1] = (z * hermite[n] - np.sqrt(n) * hermite[n - 1]) / np.sqrt(n + 1)
    mean = _mean(density, f)
    centred = f - mean
    moments = np.array([_mean(density, centred**power) for power in (2, 3, 4)])
    coefficients = centred
    for _ in range(theory.n_inputs):
        # Each pass projects the first axis and puts the result last, so that the order of the inputs is kept.
        coefficients = np.tensordot(coefficients, hermite, axes=(0, 1))
    coefficients[(0,) * theory.n_inputs] = 0
    return coefficients, mean, moments
