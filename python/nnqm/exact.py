"""What is known without sampling: networks with fixed weights on Ornstein-Uhlenbeck processes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import quadrature
from ._checks import Floats, choice, floats, integer, positive
from .estimate import Estimate, jackknife
from .sources import OrnsteinUhlenbeck
from .spectral import SpectralMeasure
from .theory import Theory

__all__ = ["QuasiMonteCarlo", "kallen_lehmann", "n_point", "quasi_monte_carlo", "thermal_two_point"]

_MOST_INPUTS = 3
# Error of the quadrature that is allowed, as a part of what states beyond the highest polynomial may weigh.
_SAFETY = 1e-2
# exp(-37) is below the rounding of a sum: no polynomial beyond this over omega dt matters; and the most taken.
_FORGOTTEN, _MOST_ORDERS = 37.0, {1: 1000, 2: 160, 3: 72}
# Distance of the differences from which quasi-Monte Carlo takes derivatives, in standard deviations.
_STEP = 1e-6


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


def kallen_lehmann(theory: Theory, channel: str | None = None, *, tolerance: float = 1e-5) -> SpectralMeasure:
    r"""Exact spectral measure of a channel of a theory with fixed weights.

    With :math:`h_n = He_n/\sqrt{n!}` and standard normal z, the coefficients are
    :math:`c_\alpha = E_z[f(s z)\, h_\alpha(z)]` at energies :math:`\hbar\,\alpha\cdot\omega` (Mehler's formula).
    One input is integrated on panels that are split at kinks and refined around saturated neurons, with up to 16,000
    states; two and three inputs by the trapezoid rule, which kinks defeat.

    Parameters
    ----------
    theory : Theory
        With at most three inputs.
    channel : str, optional
        Name of a channel; the first output by default.
    tolerance : float, default 1e-5
        Largest acceptable part of the variance in states beyond the highest polynomial, and error of <p^2>; weights,
        moments and commutator must be better by a factor of 100.

    Returns
    -------
    SpectralMeasure

    Raises
    ------
    ValueError
        With more than three inputs, or if the tolerance is not reached (kinks in several inputs, neurons so saturated
        that the network is nearly discontinuous); the message says what was reached.

    Examples
    --------
    >>> relu = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="relu"))
    >>> measure = kallen_lehmann(relu)
    >>> measure.weights[:4].round(10)  # of |<0|x|n>|^2; n = 3 is empty
    array([0.125     , 0.03978874, 0.        , 0.00331573])
    >>> measure.momentum_squared
    inf
    """
    output, direct = _output(theory, channel)
    positive("tolerance", tolerance)
    if direct is not None:
        return _oscillator(theory, direct)
    accuracy = _SAFETY * tolerance
    found = quadrature.expand(theory, output, _spreads(theory), accuracy=accuracy, share=tolerance)
    reached = max(found.error, found.generator_error, found.share)
    if found.error > accuracy or reached > tolerance:
        raise ValueError(
            f"the quadrature reaches a relative error of {reached:.1e} only "
            f"({found.share:.1e} of the variance lies beyond the highest polynomial, {found.order}), "
            f"not tolerance={tolerance:g}, for {theory.network!r}; saturated networks and kinks in several inputs need "
            "more than it offers: use a larger tolerance, or sample the theory instead"
        )
    energies: Floats = np.zeros(found.coefficients.shape[:-1])
    for axis, rate in enumerate(theory.omega):
        steps = np.arange(energies.shape[axis]).reshape([-1 if i == axis else 1 for i in range(energies.ndim)])
        energies = energies + theory.hbar * rate * steps
    cutoff = theory.hbar * min(theory.omega) * (found.order + 1)
    energies, c = energies.ravel()[1:], found.coefficients.reshape(-1, 3)[1:]
    ascending = np.argsort(energies, kind="stable")
    energies, c = energies[ascending], c[ascending]
    fourth = 8 * c[:, 0] * c[:, 2] - 6 * c[:, 1] ** 2
    energies = np.append(energies, cutoff)
    variance = found.moments[0]
    # All of <(x(t) - x(0))^4> at infinite t: the states beyond have what the others leave.
    limit = 2 * found.moments[2] + 6 * variance**2
    return SpectralMeasure(
        energies,
        np.append(c[:, 0] ** 2, found.beyond),
        found.mean,
        found.moments,
        theory.mass / theory.hbar * found.gradient,
        theory.mass**2 * found.generator,
        theory.hbar,
        theory.mass,
        reached,
        found.beyond,
        found.gradient_squared / found.gradient**2 if found.gradient > 0 else None,
        np.stack([energies, np.append(fourth, limit - fourth.sum())]),
    )


def n_point(
    theory: Theory,
    times: ArrayLike,
    channels: Sequence[str] | None = None,
    *,
    functions: Sequence[Callable[[Floats], ArrayLike]] | None = None,
    tolerance: float = 1e-8,
) -> Floats:
    r"""Exact Euclidean n-point functions at any times.

    .. math:: \langle f_1(t_1) \cdots f_n(t_n)\rangle
              = E\, f_1 P_{t_2 - t_1} f_2 \cdots P_{t_n - t_{n-1}} f_n, \qquad
              P_t = H^T e^{-n \omega t} H W

    for ordered times: multiply by f at the nodes of the quadrature, propagate in Hermite functions, and so on.

    Parameters
    ----------
    theory : Theory
        With at most three inputs.
    times : array_like
        Shape (..., n), unit time, in any order.
    channels : sequence of str, optional
        One channel per time; the first output everywhere by default.
    functions : sequence of callable, optional
        One per time, instead of channels: each takes all channels of the theory, shape (..., channels), and returns
        shape (...).
    tolerance : float, default 1e-8
        Largest acceptable error, relative to the product of the root mean squares of the functions.

    Returns
    -------
    ndarray
        Shape (...).

    Raises
    ------
    ValueError
        With more than three inputs, or if the tolerance is not reached (times closer than 0.04/omega with kinks, kinks
        in several inputs); the message says what was reached.

    Examples
    --------
    >>> float(n_point(nnqm.harmonic_oscillator(), [0.0, 0.0, 0.0, 0.0]).round(12))  # 3 (1/2)^2
    0.75
    """
    _need_known(theory)
    _need_few_inputs(theory)
    t = floats("times", times)
    if t.ndim == 0 or t.shape[-1] == 0:
        raise ValueError(f"times must have at least one entry along their last axis; got shape {t.shape}")
    n = t.shape[-1]
    for name, given in (("channels", channels), ("functions", functions)):
        if given is not None and len(given) != n:
            raise ValueError(f"{name} must have one entry per time, {n}; got {len(given)}")
    if channels is not None and functions is not None:
        raise ValueError("channels and functions exclude each other; give one of them")
    wanted: list[Any] = [theory.outputs[0]] * n if channels is None else list(channels)
    if functions is not None:
        wanted = list(functions)
    else:
        for name in wanted:
            choice("channel", name, theory.channels)
    distinct = list(dict.fromkeys(wanted))
    which = [distinct.index(w) for w in wanted]
    spread = _spreads(theory)

    def evaluate(z: Floats) -> Floats:
        y = z * spread
        values = y if theory.network is None else np.concatenate([y, theory.network(y)], axis=-1)
        columns = [values[..., theory.channels.index(w)] if isinstance(w, str) else w(values) for w in distinct]
        return np.stack([np.broadcast_to(np.asarray(c, dtype=np.float64), z.shape[:-1]) for c in columns], axis=-1)

    steps = np.diff(np.sort(t, axis=-1), axis=-1)
    slowest = steps[steps > 0].min(initial=np.inf) * min(theory.omega)
    order = int(np.clip(np.ceil(_FORGOTTEN / slowest), 40, _MOST_ORDERS[theory.n_inputs]))
    results, scale = [], 1.0
    axes = _axes(theory, evaluate, order)
    for degree, rules in zip((order, int(0.7 * order)), axes, strict=True):
        grid = np.stack(np.meshgrid(*(z for z, _ in rules), indexing="ij"), axis=-1)
        values = np.moveaxis(evaluate(grid), -1, 0)
        basis = [quadrature.hermite_functions(z, w, degree) for z, w in rules]
        vacuum = np.ones(())
        for rows in basis:
            vacuum = np.multiply.outer(vacuum, rows[0])
        results.append(_propagated(theory, t.reshape(-1, n), which, values, basis, vacuum))
        scale = float(np.prod([np.sqrt(((values[i] * vacuum) ** 2).sum()) for i in which]))
    error = float(np.abs(results[0] - results[1]).max(initial=0)) + quadrature.ROUNDING * scale
    if error > tolerance * scale:
        raise ValueError(
            f"the {n}-point function reaches an error of {error / scale:.1e} (relative to the root mean squares) only, "
            f"not tolerance={tolerance:g}; use times further apart, a larger tolerance, or sample the theory"
        )
    return np.asarray(results[0].reshape(t.shape[:-1]))


def _axes(theory: Theory, evaluate: quadrature.Function, order: int) -> list[list[tuple[Floats, Floats]]]:
    """Fine and coarse rules (z, weights) of each input."""
    if theory.n_inputs == 1:
        kinks = probes = np.zeros(0)
        if theory.network is not None:
            kinks, probes = quadrature.zeros_of_layers(theory.network, float(_spreads(theory)[0]))
        panels = quadrature.adapt(evaluate, kinks, probes)
        return [[panels.nodes(n, quadrature.widest_panel(order))] for n in quadrature.RULES]
    width, nodes = {2: (11.0, 320), 3: (9.5, 112)}[theory.n_inputs]
    rules = [quadrature.trapezoid(width, nodes), quadrature.trapezoid(0.85 * width, int(0.7 * nodes))]
    return [[rule] * theory.n_inputs for rule in rules]


def _propagated(
    theory: Theory, times: Floats, which: list[int], values: Floats, basis: list[Floats], vacuum: Floats
) -> Floats:
    """n-point functions at each row of times from values (M, nodes...) and Hermite functions of each input."""
    out = np.empty(len(times))
    for b, row in enumerate(times):
        order = np.argsort(row, kind="stable")
        state = vacuum * values[which[order[0]]]
        for earlier, later in pairwise(order):
            dt = row[later] - row[earlier]
            if dt > 0:
                for rows, rate in zip(basis, theory.omega, strict=True):
                    # The first axis goes last each time, so that their order is restored in the end.
                    decay = np.exp(-rate * dt * np.arange(len(rows)))
                    state = np.tensordot(np.tensordot(state, rows, axes=(0, 1)) * decay, rows, axes=(-1, 0))
            state = state * values[which[later]]
        out[b] = (state * vacuum).sum()
    return out


def thermal_two_point(
    theory: Theory,
    beta: float,
    times: ArrayLike,
    channel: str | None = None,
    *,
    connected: bool = False,
    tolerance: float = 1e-7,
) -> Floats:
    r"""Exact two-point function at finite temperature, periodic in Euclidean time.

    .. math:: G(t) = \sum_\alpha c_\alpha(s_\beta)^2 \prod_i
              \left[\frac{\cosh \omega_i(\beta/2 - t)}{\cosh(\omega_i\beta/2)}\right]^{\alpha_i}, \qquad
              s_{\beta,i}^2 = \frac{\sigma_i^2}{2\omega_i} \coth\frac{\omega_i\beta}{2}

    Thermal inputs are Gaussian, so that Mehler's formula holds at every pair of times, with coefficients at the
    thermal width. (A cosh in place of each exponential of the ground-state sum would be wrong.)

    Parameters
    ----------
    theory : Theory
        With at most three inputs.
    beta : float
        Period, the Euclidean time hbar/kT, unit time.
    times : array_like
        Of any shape, unit time; taken modulo beta.
    channel : str, optional
        Name of a channel; the first output by default.
    connected : bool, default False
        Whether the squared thermal mean is subtracted.
    tolerance : float, default 1e-7
        Largest acceptable error, relative to the thermal variance.

    Returns
    -------
    ndarray
        Of the shape of ``times``.

    Raises
    ------
    ValueError
        As for ``kallen_lehmann``.

    Examples
    --------
    >>> thermal_two_point(nnqm.harmonic_oscillator(), 2.0, [0.0, 1.0]).round(6)  # coth(1)/2, 1/(2 sinh 1)
    array([0.656518, 0.425459])
    """
    output, direct = _output(theory, channel)
    period = positive("beta", beta)
    positive("tolerance", tolerance)
    t = np.mod(floats("times", times), period)
    omega = np.array(theory.omega)
    spread = _spreads(theory) / np.sqrt(np.tanh(omega * period / 2))
    ratio = (np.exp(-np.multiply.outer(omega, t)) + np.exp(-np.multiply.outer(omega, period - t))) / (
        1 + np.exp(-omega * period)
    ).reshape(-1, *([1] * t.ndim))
    if direct is not None:
        return np.asarray(spread[direct] ** 2 * ratio[direct])
    # The tail matters at early times only, and is judged below.
    found = quadrature.expand(theory, output, spread, accuracy=tolerance, share=1e-5)
    sums = np.empty(t.size)
    flat = ratio.reshape(len(omega), -1)
    for i in range(t.size):
        total = found.coefficients[..., 0] ** 2
        for r in flat[:, i]:
            total = np.tensordot(r ** np.arange(total.shape[0]), total, axes=(0, 0))
        sums[i] = total
    rest = found.beyond * flat.max(axis=0, initial=0) ** (found.order + 1)
    # All of it at t = 0, where it is no error.
    moving = flat.min(axis=0, initial=1) < 1
    error = max(found.error * found.moments[0], float(rest[moving].max(initial=0)))
    if error > tolerance * found.moments[0]:
        raise ValueError(
            f"the thermal two-point function reaches a relative error of {error / found.moments[0]:.1e} only, "
            f"not tolerance={tolerance:g}, for {theory.network!r}; use later times or a larger tolerance"
        )
    return np.asarray((sums + rest).reshape(t.shape) + (0.0 if connected else found.mean**2))


@dataclass(frozen=True)
class QuasiMonteCarlo:
    """Averages over the ground state by quasi-Monte Carlo: approximate, each with its error.

    Attributes
    ----------
    times : ndarray
        Shape (k,), unit time.
    mean : Estimate
        Expectation value of x.
    moments : Estimate
        Central moments 2, 3, 4 of x, shape (3,).
    two_point, connected : Estimate
        <x(0) x(t)> with and without the squared mean, shape (k,).
    commutator : Estimate
        (m/hbar) sum_i sigma_i^2 E(d_i f)^2.
    n_points : int
        Points of all replicates together.

    Errors are those of independently scrambled replicates and cover the integration, there being nothing else.
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
        """Largest error of mean, variance and two-point function, relative to the spread of x; of the commutator."""
        variance = max(float(self.moments.value[0]), 1e-300)
        parts = [
            float(self.mean.error) / variance**0.5,
            float(self.moments.error[0]) / variance,
            float(self.connected.error.max(initial=0)) / variance,
            float(self.commutator.error) / max(float(self.commutator.value), 1e-300),
        ]
        return float(max(parts))


def quasi_monte_carlo(
    theory: Theory,
    times: ArrayLike = (),
    channel: str | None = None,
    *,
    n_points: int = 2**14,
    n_replicates: int = 16,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 1,
) -> QuasiMonteCarlo:
    r"""Averages of a theory with any number of inputs, by scrambled Sobol points.

    Two-point functions take Gaussian pairs :math:`(y_0, \rho y_0 + s\sqrt{1 - \rho^2}\,\xi)`, so that the points fill
    2D dimensions. The error falls nearly as 1/n_points for smooth networks of few inputs, and never slower than that
    of Monte Carlo.

    Parameters
    ----------
    theory : Theory
    times : array_like
        Lags of the two-point function, shape (k,), unit time.
    channel : str, optional
        Name of a channel; the first output by default.
    n_points : int, default 16384
        Points per replicate, a power of two.
    n_replicates : int, default 16
        Independent scramblings (Owen, J. Complexity 14, 466 (1998)), from which errors come; at least 2.
    rng : int, SeedSequence, Generator or None, default 1
        Of the scramblings; fixed by default, so that calls repeat.

    Returns
    -------
    QuasiMonteCarlo

    Raises
    ------
    ValueError
        If ``n_points`` is not a power of two.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    _need_known(theory)
    name = choice("channel", theory.outputs[0] if channel is None else channel, theory.channels)
    column = theory.channels.index(name)
    size, replicates = integer("n_points", n_points, 2, 2**24), integer("n_replicates", n_replicates, 2, 4096)
    if size & (size - 1):
        raise ValueError(f"n_points must be a power of two; got {size}; use {2 ** (size.bit_length())}")
    t = np.abs(np.atleast_1d(floats("times", times)))
    if t.ndim != 1:
        raise ValueError(f"times must be one-dimensional; got shape {t.shape}")
    spread, omega, sigma = _spreads(theory), np.array(theory.omega), np.array(theory.sigma)
    n_inputs = theory.n_inputs

    def evaluate(y: Floats) -> Floats:
        if theory.network is None or column < n_inputs:
            return np.asarray(y[..., column])
        return np.asarray(theory.network(y)[..., column - n_inputs], dtype=np.float64)

    generator = np.random.default_rng(rng)
    # The keyword has another name in older versions of SciPy.
    keyword = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"
    powers = np.empty((replicates, 4))
    products, gradients = np.empty((replicates, t.size)), np.empty(replicates)
    centre = float(evaluate(np.zeros((1, n_inputs)))[0])
    for r in range(replicates):
        points = qmc.Sobol(2 * n_inputs if t.size else n_inputs, **{keyword: generator}).random_base2(
            size.bit_length() - 1
        )
        # Points lie on the lower corners of cells of a fine grid, where 0 is one.
        normal = ndtri(points + 2.0**-32)
        y = normal[:, :n_inputs] * spread
        x = evaluate(y) - centre
        powers[r] = [(x**k).sum() for k in (1, 2, 3, 4)]
        for i, lag in enumerate(t):
            decay = np.exp(-omega * lag)
            noise = spread * np.sqrt(-np.expm1(-2 * omega * lag)) * normal[:, n_inputs:]
            products[r, i] = x @ (evaluate(decay * y + noise) - centre)
        gradients[r] = 0
        for axis in range(n_inputs):
            move = np.zeros(n_inputs)
            move[axis] = _STEP * spread[axis]
            slope = (evaluate(y + move) - evaluate(y - move)) / (2 * move[axis])
            gradients[r] += sigma[axis] ** 2 * (slope @ slope)

    def averages(s: Any) -> dict[str, Floats]:
        n = s["size"][:, None]
        first, second, third, fourth = (s["powers"] / n).T
        pairs = s["products"] / n
        mean = first + centre
        return {
            "mean": mean,
            "moments": np.stack(
                [
                    second - first**2,
                    third - 3 * first * second + 2 * first**3,
                    fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4,
                ],
                axis=1,
            ),
            "connected": pairs - first[:, None] ** 2,
            "two_point": pairs + (2 * centre * first + centre**2)[:, None],
            "commutator": theory.mass / theory.hbar * s["gradients"] / s["size"],
        }

    sizes = np.full(replicates, float(size))
    sums = {"size": sizes, "powers": powers, "products": products, "gradients": gradients}
    found = jackknife(averages, sums, sizes)
    return QuasiMonteCarlo(times=t, n_points=size * replicates, **found)


def _need_known(theory: Theory) -> None:
    for i, source in enumerate(theory.sources):
        if not isinstance(source, OrnsteinUhlenbeck):
            raise ValueError(
                f"sources[{i}] must be an OrnsteinUhlenbeck process for Mehler's formula; got {source!r}; "
                "use its Hamiltonian, or sample the theory"
            )


def _need_few_inputs(theory: Theory) -> None:
    if theory.n_inputs > _MOST_INPUTS:
        raise ValueError(
            f"exact measures are for at most {_MOST_INPUTS} inputs; got {theory.n_inputs}; "
            "use quasi_monte_carlo, or sample the theory"
        )


def _output(theory: Theory, channel: str | None) -> tuple[int, int | None]:
    """Position of an output of the network, and that of the input if the channel is one."""
    _need_known(theory)
    name = choice("channel", theory.outputs[0] if channel is None else channel, theory.channels)
    column = theory.channels.index(name)
    if theory.network is None or column < theory.n_inputs:
        return 0, column
    _need_few_inputs(theory)
    return column - theory.n_inputs, None


def _spreads(theory: Theory) -> Floats:
    """Standard deviations of the inputs, shape (D,)."""
    return np.asarray(np.array(theory.sigma) / np.sqrt(2 * np.array(theory.omega)))


def _oscillator(theory: Theory, column: int) -> SpectralMeasure:
    rate, sigma = theory.omega[column], theory.sigma[column]
    variance = sigma**2 / (2 * rate)
    energy = theory.hbar * rate
    return SpectralMeasure(
        np.array([energy]),
        np.array([variance]),
        0.0,
        np.array([variance, 0.0, 3 * variance**2]),
        theory.mass / theory.hbar * sigma**2,
        theory.mass**2 * rate**2 * variance,
        theory.hbar,
        theory.mass,
        0.0,
        0.0,
        1.0,
        np.array([[energy, 2 * energy], [24 * variance**2, -12 * variance**2]]),
    )
