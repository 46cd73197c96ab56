"""Quasi-Monte Carlo averages over the ground state, for any number of inputs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, generator_of, integer
from ..errors import InputError
from ..representation import short_repr
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate, jackknife
from ..statistics.moments import central_moments
from ..theories.theory import Theory
from .inputs import input_spreads, need_oscillators, need_units
from .output_expansion import fixed_network
from .resolution import RareFeatures, steepest

__all__ = ["QuasiMonteCarlo", "quasi_monte_carlo"]

# Step of the differences for derivatives, in standard deviations, and largest change of an argument of a neuron.
_STEP, _MOVED = 1e-6, 1e-3


@short_repr
@dataclass(frozen=True, kw_only=True)
class QuasiMonteCarlo:
    """Quasi-Monte Carlo averages over the ground state, with errors.

    Attributes
    ----------
    times : ndarray
        Shape (k,), unit time.
    mean : Estimate
        Expectation value of x.
    moments : Estimate
        Central moments 2, 3, 4 of x, shape (3,).
    two_point, connected : Estimate
        <x(0) x(t)> and <x(0) x(t)> - <x>^2, shape (k,).
    commutator : Estimate
        (m/hbar) sum_i sigma_i^2 E(d_i f)^2.
    n_points : int
        Number of points in all replicates.

    Statistical errors are jackknife errors over independently scrambled replicates. Systematic errors are bounds on the
    effect of features of saturated neurons that are so narrow that fewer than 100 points meet them; they are zero for
    smooth networks. Together they cover the integration, the only relevant source of error.
    """

    times: Floats
    mean: Estimate
    moments: Estimate
    two_point: Estimate
    connected: Estimate
    commutator: Estimate
    n_points: int

    @property
    def error(self) -> float:
        """Largest relative error; errors of mean, variance and two-point function are in units of the spread of x."""
        variance = float(self.moments.value[0])
        slope = float(self.commutator.value)
        parts = [
            (float(np.max(estimate.error + estimate.systematic, initial=0)), unit)
            for estimate, unit in (
                (self.mean, max(variance, 0.0) ** 0.5),
                (self.moments[0], variance),
                (self.connected, variance),
                (self.commutator, slope),
            )
        ]
        return float(max(0.0 if part == 0 else part / unit if unit > 0 else np.inf for part, unit in parts))


@one_blas_thread
def quasi_monte_carlo(
    theory: Theory,
    times: ArrayLike = (),
    channel: int | str = 0,
    *,
    n_points: int = 2**14,
    n_replicates: int = 16,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 1,
) -> QuasiMonteCarlo:
    r"""Averages of a theory with any number of inputs, by scrambled Sobol points.

    Two-point functions are averages over Gaussian pairs :math:`(y_0, \rho y_0 + s\sqrt{1 - \rho^2}\,\xi)`, so that
    points have 2D dimensions. The error falls nearly as 1/n_points for smooth networks with few inputs, and never more
    slowly than the error of Monte Carlo.

    Parameters
    ----------
    theory : Theory
    times : array_like
        Lags of the two-point function, shape (k,), unit time.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.
    n_points : int, default 16384
        Points per replicate, a power of two.
    n_replicates : int, default 16
        Number of independent scramblings (Owen, J. Complexity 14, 466 (1998)), at least 2; errors come from them.
    rng : int, SeedSequence, Generator or None, default 1
        Randomness of the scramblings; fixed by default, so that calls are reproducible.

    Returns
    -------
    QuasiMonteCarlo

    Raises
    ------
    InputError
        If ``n_points`` is not a power of two, an input is no Ornstein-Uhlenbeck process, or the weights are random.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    need_oscillators(theory)
    column = theory.channels.index(theory.channel_name(channel))
    size, replicates = integer("n_points", n_points, 2, 2**24), integer("n_replicates", n_replicates, 2, 4096)
    if size & (size - 1):
        raise InputError(f"n_points must be a power of two; got {size}; use {2 ** (size.bit_length())}")
    t = np.abs(np.atleast_1d(floats("times", times)))
    if t.ndim != 1:
        raise InputError(f"times must be one-dimensional; got shape {t.shape}")
    spread, omega, sigma = input_spreads(theory), np.array(theory.omega), np.array(theory.sigma)
    n_inputs = theory.n_inputs
    network = None if theory.network is None else fixed_network(theory)

    def evaluate(y: Floats) -> Floats:
        if network is None or column < n_inputs:
            return np.asarray(y[..., column])
        return np.asarray(network(y)[..., column - n_inputs], dtype=np.float64)

    of_network = network is not None and column >= n_inputs
    rare = RareFeatures(network, column - n_inputs, spread, size * replicates) if network and of_network else None
    step = min(_STEP, _MOVED / steepest(network, spread)) if network and of_network else _STEP
    generator = generator_of(rng)
    # The keyword has another name in older versions of SciPy.
    keyword = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"
    powers = np.empty((replicates, 4))
    products, gradients = np.empty((replicates, t.size)), np.empty(replicates)
    centre = float(evaluate(np.zeros((1, n_inputs)))[0])
    for r in range(replicates):
        points = qmc.Sobol(2 * n_inputs if t.size else n_inputs, **{keyword: generator}).random_base2(
            size.bit_length() - 1
        )
        # Points are lower corners of cells of a fine grid; a shift avoids 0.
        normal = ndtri(points + 2.0**-32)
        y = normal[:, :n_inputs] * spread
        x = evaluate(y) - centre
        if rare is not None:
            rare.meet(y)
        powers[r] = [(x**k).sum() for k in (1, 2, 3, 4)]
        for i, lag in enumerate(t):
            decay = np.exp(-omega * lag)
            noise = spread * np.sqrt(-np.expm1(-2 * omega * lag)) * normal[:, n_inputs:]
            products[r, i] = x @ (evaluate(decay * y + noise) - centre)
        gradients[r] = 0
        for axis in range(n_inputs):
            move = np.zeros(n_inputs)
            move[axis] = step * spread[axis]
            slope = (evaluate(y + move) - evaluate(y - move)) / (2 * move[axis])
            gradients[r] += sigma[axis] ** 2 * (slope @ slope)

    def averages(s: Any) -> dict[str, Floats]:
        n = s["size"][:, None]
        raw = (s["powers"] / n).T
        first = raw[0]
        pairs = s["products"] / n
        mean = first + centre
        return {
            "mean": mean,
            "moments": np.stack(central_moments(*raw), axis=1),
            "connected": pairs - first[:, None] ** 2,
            "two_point": pairs + (2 * centre * first + centre**2)[:, None],
            "commutator": theory.mass / theory.hbar * s["gradients"] / s["size"],
        }

    sizes = np.full(replicates, float(size))
    sums = {"size": sizes, "powers": powers, "products": products, "gradients": gradients}
    found = jackknife(averages, sums, sizes)
    need_units(float(found["moments"].value[0]))
    if rare is not None:
        found = _with_hidden(found, rare, theory.mass / theory.hbar * 2 * max(theory.omega))
    return QuasiMonteCarlo(times=t, n_points=size * replicates, **found)


def _with_hidden(found: dict[str, Estimate], rare: RareFeatures, factor: float) -> dict[str, Estimate]:
    """Estimates with systematic errors for the features that the points may have missed."""
    hidden, slopes = rare.hidden()
    errors = hidden.errors(float(found["moments"].value[0]))
    second = errors[1]
    systematic = {
        "mean": errors[0],
        "moments": errors[1:],
        "connected": second,
        "two_point": second + 2 * abs(float(found["mean"].value)) * errors[0],
        "commutator": factor * slopes,
    }
    return {name: estimate.with_systematic(systematic[name]) for name, estimate in found.items()}
