"""What is known without sampling: networks with fixed weights on oscillators, Hamiltonians and Markov chains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats, integer, positive
from ..quantum.hamiltonian import Hamiltonian
from ..quantum.measures import SpectralMeasure, ThermalMeasure
from ..statistics.estimate import Estimate, jackknife
from ..theories.ground_state import GroundStateProcess
from ..theories.networks import Network
from ..theories.sources import MarkovChain, OrnsteinUhlenbeck, Source
from ..theories.theory import Theory
from ..theories.thermal import ThermalOrnsteinUhlenbeck, ThermalProcess
from . import output_expansion, relu_layers, state_grids
from .output_expansion import fixed_network

__all__ = [
    "QuasiMonteCarlo",
    "WeightAverage",
    "average_over_weights",
    "kallen_lehmann",
    "level_energies",
    "n_point",
    "quasi_monte_carlo",
    "thermal_measure",
    "thermal_two_point",
]

_MOST_INPUTS = 3
_OPEN = (OrnsteinUhlenbeck, GroundStateProcess, MarkovChain)
# Error of the quadrature that is allowed, as a part of what states beyond the highest polynomial may weigh.
_SAFETY = 1e-2
# exp(-37) is below the rounding of a sum: no polynomial beyond this over omega dt matters; and the most taken.
_FORGOTTEN, _MOST_ORDERS = 37.0, {1: 1000, 2: 160, 3: 72}
# Points of a product of grids, and combinations of levels, at most.
_MOST_POINTS, _MOST_LEVELS = 3_000_000, 2_000_000
# A Hamiltonian's grid is refined so much for kinked networks, to so many states at most, and this is half of it in
# units of the panels.
_FINER_STATES, _MOST_GRID_STATES, _HALF_WIDTH = (3.0, 4.0, 8.0, 14.0), 1500, 7.0
# One layer of kinks: degrees whose states are listed one by one, highest degree, and products of neurons over degrees.
_STATES_OF_DEGREE, _MOST_DEGREES, _MOST_PRODUCTS = {2: 200, 3: 60}, 16_000, 5_000_000
# Where there are no oscillators.
_NO_RULE = (1.0, 2, 0)
# Averages over weights: rules by number of inputs, values of networks held at a time, blocks of draws.
_RULES_OF_DRAWS = {1: (11.0, 256, 160), 2: (9.5, 104, 56), 3: (8.0, 44, 24)}
_CHUNK, _BLOCKS_OF_DRAWS = 2_000_000, 128
# A relative spread of values below this is no motion.
_CONSTANT = 1e-13
# Distance of the differences from which quasi-Monte Carlo takes derivatives, in standard deviations.
_STEP = 1e-6


def level_energies(theory: Theory, n_levels: int) -> tuple[Floats, tuple[int, ...]]:
    """Lowest gaps of a theory, sums of those of its independent inputs, and their multiplicities.

    Parameters
    ----------
    theory : Theory
    n_levels : int
        Distinct ones wanted.

    Returns
    -------
    energies : ndarray
        Ascending, energy units, shape (k,), k <= n_levels: fewer where a chain has no more, and below the lowest
        continuum threshold of a Hamiltonian only. States that alternate in sign (negative eigenvalues of a chain)
        are no levels.
    multiplicities : tuple of int

    Raises
    ------
    ValueError
        For chains on several grids, whose levels differ from grid to grid.
    """
    integer("n_levels", n_levels, 1, 10_000)
    ladders, ceiling = [], np.inf
    for source in theory.sources:
        if isinstance(source, OrnsteinUhlenbeck):
            ladders += [(theory.hbar * rate * np.arange(n_levels + 1), np.ones(n_levels + 1)) for rate in source.omega]
        elif isinstance(source, GroundStateProcess):
            gaps, top = _bound_gaps(source.hamiltonian, n_levels)
            ladders.append((np.append(0.0, gaps), np.ones(len(gaps) + 1)))
            ceiling = min(ceiling, top)
        elif isinstance(source, MarkovChain) and len(source.values) == 1:
            found = state_grids.chain_modes(source, 0, theory.hbar)
            ladders.append((found.energies, np.ones(len(found.energies)) if found.signs is None else found.signs))
        else:
            raise ValueError(f"levels are known for oscillators, Hamiltonians and chains on one grid; got {source!r}")
    # Levels above the n-th of one input are not among the lowest n.
    positive_ones = [energies[(signs > 0) & (energies > 0)] for energies, signs in ladders]
    limit = min((np.sort(e)[n_levels - 1] for e in positive_ones if len(e) >= n_levels), default=np.inf) * (1 + 1e-9)
    sums, sign = np.zeros(1), np.ones(1)
    for energies, signs in ladders:
        sums, sign = np.add.outer(sums, energies).ravel(), np.multiply.outer(sign, signs).ravel()
        kept = sums <= limit
        sums, sign = sums[kept], sign[kept]
        if sums.size > _MOST_LEVELS:
            raise ValueError(f"more than {_MOST_LEVELS} combinations of levels; ask for fewer than {n_levels}")
    sums = np.sort(sums[(sign > 0) & (sums > 0) & (sums < ceiling)])
    if not sums.size:
        return sums, ()
    first = np.concatenate([[True], np.diff(sums) > 1e-9 * sums[1:]])
    counts = np.diff([*np.flatnonzero(first), len(sums)])
    return sums[first][:n_levels], tuple(int(c) for c in counts[:n_levels])


def _bound_gaps(hamiltonian: Hamiltonian, n: int) -> tuple[Floats, float]:
    """The lowest gaps, at most n, and the gap from which on there may be others."""
    bound = hamiltonian.n_bound
    found = n if bound is None else min(n, bound - 1)
    ceiling = np.inf if bound is None or found == n else hamiltonian.threshold - hamiltonian.energies(1)[0]
    while found:
        try:
            gaps = hamiltonian.gaps(found)
        except ValueError:  # kinked or hardly bound: not to the tolerance
            found -= 1
            continue
        return gaps, ceiling if found == n or np.isfinite(ceiling) else float(gaps[-1]) * (1 + 1e-9)
    return np.zeros(0), min(ceiling, hamiltonian.threshold - hamiltonian.energies(1)[0])


def kallen_lehmann(theory: Theory, channel: str | None = None, *, tolerance: float = 1e-5) -> SpectralMeasure:
    r"""Exact spectral measure of a channel of a theory with fixed weights.

    On Ornstein-Uhlenbeck inputs, with :math:`h_n = He_n/\sqrt{n!}` and standard normal z, the coefficients are
    :math:`c_\alpha = E_z[f(s z)\, h_\alpha(z)]` at energies :math:`\hbar\,\alpha\cdot\omega` (Mehler's formula).
    One input is integrated on panels that are split at kinks and refined around saturated neurons, with up to 16,000
    states; two and three inputs by the trapezoid rule, which kinks defeat; for one hidden layer of relu neurons the
    coefficients have a closed form. Hamiltonians and Markov chains among the inputs bring their own states in place of
    h_n: products of states, at sums of gaps.

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

    Notes
    -----
    Markov chains are summed over their states, whatever the network. Their limits dt -> 0 are those of the process in
    continuous time that has the same eigenvalues, which exists only if none of those seen is negative.

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
    if not _all_oscillators(theory):
        return _measure_of_states(theory, output, direct, tolerance)
    if direct is not None:
        return _oscillator(theory, direct)
    if theory.n_inputs > 1 and fixed_network(theory).activations == ("relu", "identity"):
        return _one_layer_of_kinks(theory, output, tolerance)
    accuracy = _SAFETY * tolerance
    found = output_expansion.expand(theory, output, _spreads(theory), accuracy=accuracy, share=tolerance)
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


def _all_oscillators(theory: Theory) -> bool:
    return all(isinstance(source, OrnsteinUhlenbeck) for source in theory.sources)


def _one_layer_of_kinks(theory: Theory, output: int, tolerance: float) -> SpectralMeasure:
    """One hidden layer of relu neurons on two or three oscillators, without any grid for its coefficients."""
    network = fixed_network(theory)
    omega, sigma = np.array(theory.omega), np.array(theory.sigma)
    weights, v = network.weights[0], network.weights[1][output]
    a, b = weights * _spreads(theory), network.biases[0]
    scale = np.linalg.norm(a, axis=1)
    # A neuron that sees nothing is a constant.
    seen = (scale > 0) & (v != 0)
    constant = float(network.biases[1][output] + np.maximum(b[~seen], 0) @ v[~seen])
    weights, a, b, v, scale = weights[seen], a[seen], b[seen], v[seen], scale[seen]
    if not v.size:
        nothing = np.zeros((0, 3))
        return SpectralMeasure.of_states(
            nothing[:, 0], nothing, constant, np.zeros(3), hbar=theory.hbar, mass=theory.mass
        )
    direction = a / scale[:, None]
    most = int(np.clip(_MOST_PRODUCTS / v.size**2, 1000, _MOST_DEGREES))
    c = v[:, None] * relu_layers.relu_coefficients(scale, b, most)
    mean = float(c[:, 0].sum())
    (first, second, third, fourth), squared, errors = relu_layers.moments(a, b, v, weights * sigma)
    moments = np.array(
        [
            second - first**2,
            third - 3 * first * second + 2 * first**3,
            fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4,
        ]
    )
    overlap = np.clip(direction @ direction.T, -1, 1)
    gradient = float(v @ (relu_layers.orthants(b / scale, overlap) * ((weights * sigma) @ (weights * sigma).T)) @ v)
    # States of low degree one by one.
    top = _STATES_OF_DEGREE[theory.n_inputs]
    alpha = relu_layers.multi_indices(theory.n_inputs, top)
    factorial = np.append(0.0, np.cumsum(np.log(np.arange(1.0, top + 1))))
    degree = alpha.sum(axis=1).astype(int)
    root = np.exp((factorial[degree] - factorial[alpha.astype(int)].sum(axis=1)) / 2)
    amplitude = np.zeros(len(alpha))
    for one, coefficients in zip(direction, c, strict=True):
        amplitude += coefficients[degree] * root * np.prod(one**alpha, axis=1)
    # Those of a higher degree together, at their mean energy, whose spread falls as 1/sqrt(n) and matters at lags only
    # that are as short as 1/n.
    later = np.arange(top + 1, most + 1)
    sums, centres, spreads = np.zeros((3, later.size))
    frequency, square = direction * omega @ direction.T, direction * omega**2 @ direction.T
    power = overlap ** (top - 1)
    for i, n in enumerate(later):
        pair = np.outer(c[:, n], c[:, n])
        below, power = power, power * overlap
        sums[i] = (pair * power * overlap).sum()
        centres[i] = n * (pair * power * frequency).sum()
        spreads[i] = (pair * n * ((n - 1) * below * frequency**2 + power * square)).sum()
    some = sums > 1e-25 * moments[0]
    later, sums = later[some], sums[some]
    centres, spreads = centres[some] / sums, np.maximum(spreads[some] / sums - (centres[some] / sums) ** 2, 0.0)
    beyond = max(float(moments[0] - (amplitude**2).sum() - sums.sum()), 0.0)
    lags = np.geomspace(0.01, 10, 60) / (omega.min() * top)
    blurred = np.exp(-np.outer(lags, centres)) * lags[:, None] ** 2 / 2 @ (sums * spreads)
    reached = max(
        output_expansion.ROUNDING, float(errors[:4].max()), float(blurred.max()) / moments[0], beyond / moments[0]
    )
    if reached > tolerance:
        raise ValueError(
            f"the closed form of {theory.network!r} reaches a relative error of {reached:.1e} only, not "
            f"tolerance={tolerance:g}; use a larger tolerance, or sample the theory instead"
        )
    energies = theory.hbar * np.concatenate([alpha @ omega, centres, [omega.min() * (most + 1)]])
    order = np.argsort(energies[:-1], kind="stable")
    kept = np.append(order, len(order))
    return SpectralMeasure(
        energies[kept],
        np.concatenate([amplitude**2, sums, [beyond]])[kept],
        mean + constant,
        moments,
        theory.mass / theory.hbar * gradient,
        np.inf,
        theory.hbar,
        theory.mass,
        reached,
        beyond,
        squared / gradient**2 if errors[4] < 100 * tolerance else None,
    )


def _measure_of_states(theory: Theory, output: int, direct: int | None, tolerance: float) -> SpectralMeasure:
    """By states of every input on a product of grids."""
    if direct is not None:
        # A channel that is an input sees that input alone; the identity of one input stands for it.
        first = np.cumsum([0, *(s.n_inputs for s in theory.sources)])
        position = int(np.searchsorted(first, direct, side="right")) - 1
        source, column = theory.sources[position], direct - int(first[position])
        if isinstance(source, OrnsteinUhlenbeck):
            alone = OrnsteinUhlenbeck(source.omega[column], source.sigma[column])
            return _oscillator(Theory(alone, hbar=theory.hbar, mass=theory.mass), 0)
        theory = Theory(source, hbar=theory.hbar, mass=theory.mass)
    reached, measure = np.inf, None
    only = theory.sources[0] if theory.n_inputs == 1 else None
    if isinstance(only, GroundStateProcess) and theory.network is not None:
        reached, measure = _one_hamiltonian(theory, only.hamiltonian, output, tolerance)
    else:
        for rule in output_expansion.RULES_OF_INPUTS[theory.n_inputs]:
            levels = list(state_grids.grids(theory, rule, output_expansion.coarser(rule)))
            if max(np.prod([m.points.size for m in inputs]) for pair in levels for inputs in pair) > _MOST_POINTS:
                break
            fine, coarse = (_product_measure(theory, output, [pair[k] for pair in levels]) for k in (0, 1))
            reached, measure = _distance(fine, coarse), fine
            if reached <= _SAFETY * tolerance:
                break
    if measure is None:
        raise ValueError(
            f"the product of the grids of {theory.n_inputs} inputs has more than {_MOST_POINTS} points; "
            "sample the theory"
        )
    if reached > tolerance:
        raise ValueError(
            f"the sum over states reaches a relative error of {reached:.1e} only, not tolerance={tolerance:g}, for "
            f"{theory.network!r} on {theory.sources}; kinks and saturated neurons need more than it offers: use a "
            "larger tolerance, or sample the theory instead"
        )
    return replace(measure, error=max(reached, output_expansion.ROUNDING))


def _product_measure(theory: Theory, output: int, inputs_of_grids: list[list[state_grids.Modes]]) -> SpectralMeasure:
    """The average over shifted grids of measures on products of modes."""
    values = []
    for inputs in inputs_of_grids:
        grid = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1)
        values.append(grid[..., output] if theory.network is None else fixed_network(theory)(grid)[..., output])
    laws = [[m.law for m in inputs] for inputs in inputs_of_grids]
    share = 1 / len(values)
    mean = share * sum(_average(f, law) for f, law in zip(values, laws, strict=True))
    energies, coefficients, signs = [], [], []
    moments = np.zeros(3)
    for f, law, inputs in zip(values, laws, inputs_of_grids, strict=True):
        centred = f - mean
        moments += [share * _average(centred**k, law) for k in (2, 3, 4)]
        found = []
        for k in (1, 2, 3):
            c = centred**k
            for m in inputs:
                c = np.tensordot(c, m.rows * m.rows[0], axes=(0, 1))
            found.append(c.ravel())
        e, s = np.zeros(()), np.ones(())
        for m in inputs:
            e = np.add.outer(e, m.energies)
            s = np.multiply.outer(s, np.ones(m.energies.size) if m.signs is None else m.signs)
        # Means that differ between grids are a part that does not decay; the average of all is none.
        keep = 0 if len(values) > 1 else 1
        energies.append(e.ravel()[keep:])
        coefficients.append(np.sqrt(share) * np.stack(found, axis=1)[keep:])
        signs.append(s.ravel()[keep:])
    if not moments[0] > (_CONSTANT * mean) ** 2:
        moments = np.zeros(3)
    steps = [m.step for m in inputs_of_grids[0] if m.step is not None]
    return SpectralMeasure.of_states(
        np.concatenate(energies),
        np.concatenate(coefficients),
        float(mean),
        moments,
        hbar=theory.hbar,
        mass=theory.mass,
        signs=np.concatenate(signs) if steps else None,
        step=steps[0] if steps else None,
    )


def _average(values: Floats, laws: list[Floats]) -> float:
    for law in laws:
        values = np.tensordot(law, values, axes=(0, 0))
    return float(values)


def _distance(fine: SpectralMeasure, coarse: SpectralMeasure) -> float:
    """Largest relative difference of mean, moments, limits and two-point function."""
    scale = fine.moments[0]
    if scale == 0 or coarse.moments[0] == 0:
        return 0.0 if scale == coarse.moments[0] else np.inf
    lowest = fine.energies[fine.energies > 0].min(initial=np.inf)
    lags = fine.hbar / lowest * np.geomspace(0.01, 5, 12) if fine.step is None else fine.step * np.arange(1.0, 13)
    parts = [
        abs(fine.mean - coarse.mean) / np.sqrt(scale),
        float((np.abs(fine.moments - coarse.moments) / scale ** (np.arange(2, 5) / 2)).max()),
        float(np.abs(fine.connected(lags) - coarse.connected(lags)).max()) / scale,
    ]
    for a, b in ((fine.commutator, coarse.commutator), (fine.momentum_squared, coarse.momentum_squared)):
        # What is infinite, or NaN for a chain with negative eigenvalues, is no matter of the grid.
        if np.isfinite(a) and np.isfinite(b):
            parts.append(abs(a / b - 1))
    return float(max(parts))


def _one_hamiltonian(
    theory: Theory, hamiltonian: Hamiltonian, output: int, tolerance: float
) -> tuple[float, SpectralMeasure]:
    """A network on the ground-state process of one Hamiltonian, and the relative error reached."""
    network = fixed_network(theory)
    if not output_expansion.KINKED & set(network.activations):
        fine, coarse = (
            _product_measure(theory, output, [inputs]) for inputs in next(state_grids.grids(theory, _NO_RULE, _NO_RULE))
        )
        reached = _distance(fine, coarse)
        if reached <= _SAFETY * tolerance:
            return reached, fine
    # Narrower than the grid: panels split at the kinks, on which the states are known everywhere.
    size, rough = len(hamiltonian.grid), None
    for finer in _FINER_STATES:
        found = _on_panels(theory, hamiltonian, network, output, min(finer, _MOST_GRID_STATES / size))
        reached = np.inf if rough is None else max(found.error, _distance(found, rough))
        if reached <= tolerance:
            break
        rough = found
    return reached, found


def _on_panels(
    theory: Theory, hamiltonian: Hamiltonian, network: Network, output: int, finer: float
) -> SpectralMeasure:
    points, vectors, gaps = hamiltonian.eigenbasis(finer)
    spacing = points[1] - points[0]
    # The panels are those of a standard normal variable, 7 of whose standard deviations are half of the grid.
    centre, unit = (points[0] + points[-1]) / 2, (points[-1] - points[0]) / 2 / _HALF_WIDTH
    shifted = Network(
        [unit * network.weights[0], *network.weights[1:]],
        [network.biases[0] + centre * network.weights[0][:, 0], *network.biases[1:]],
        network.activations,
    )

    def evaluate(z: Floats) -> Floats:
        return np.asarray(shifted(z)[..., output : output + 1])

    kinks, probes = output_expansion.zeros_of_layers(shifted, 1.0)
    panels = output_expansion.adapt(evaluate, kinks, probes).split(spacing / unit)
    slope = hamiltonian.eigenstate(0).apply("p")
    highest = float(hamiltonian.density(0, points).max())

    def ground(z: Floats) -> tuple[Floats, Floats]:
        """Density of z, and the derivative of its logarithm where it is not zero to rounding."""
        y = centre + unit * z
        psi, derivative = hamiltonian.wave_function(0, y), -slope(y).imag / hamiltonian.hbar
        psi[np.abs(z) > _HALF_WIDTH] = 0
        seen = psi**2 > 1e-25 * highest
        return unit * psi**2, np.divide(2 * unit * derivative, psi, out=np.zeros_like(psi), where=seen)

    fine, coarse = (output_expansion.Moments.of(evaluate, panels, n, ground) for n in output_expansion.RULES)
    variance = float(fine.central[0])
    if variance <= (_CONSTANT * max(abs(fine.mean), 1e-300)) ** 2:
        nothing = np.zeros((0, 3))
        return SpectralMeasure.of_states(
            nothing[:, 0], nothing, fine.mean, np.zeros(3), hbar=theory.hbar, mass=theory.mass
        )
    z, weights = panels.nodes(output_expansion.RULES[0])
    inside = np.abs(z) <= _HALF_WIDTH
    z, weights = z[inside], unit * weights[inside] / output_expansion.density(z[inside])
    amplitudes = np.sinc((centre + unit * z[:, None] - points) / spacing) @ vectors / np.sqrt(spacing)
    centred = evaluate(z[:, None]) - fine.mean
    powers = centred ** np.array([1, 2, 3]) * (weights * amplitudes[:, 0])[:, None]
    measure = SpectralMeasure.of_states(
        gaps[1:],
        amplitudes[:, 1:].T @ powers,
        fine.mean,
        fine.central,
        hbar=theory.hbar,
        mass=theory.mass,
    )
    # States that the grid does not carry have at least its largest kinetic energy.
    beyond = max(variance - float(measure.weights.sum()), 0.0)
    cutoff = (np.pi * theory.hbar / spacing) ** 2 / (2 * theory.mass)
    errors = [
        abs(fine.mean - coarse.mean) / np.sqrt(variance),
        float((np.abs(fine.central - coarse.central) / variance ** (np.arange(2, 5) / 2)).max()),
        abs(fine.slope - coarse.slope) / fine.slope,
        beyond / variance,
    ]
    assert measure.quartic is not None
    # All of <(x(t) - x(0))^4> at infinite t: the states beyond have what the others leave.
    limit = 2 * float(fine.central[2]) + 6 * variance**2
    quartic = np.append(measure.quartic, [[cutoff], [limit - measure.quartic[1].sum()]], axis=1)
    # L f = (hbar/2m) (f'' + 2 (ln psi_0)' f') and [x, p]/(i hbar) = f'^2, in units of x.
    return replace(
        measure,
        energies=np.append(measure.energies, cutoff),
        weights=np.append(measure.weights, beyond),
        commutator=fine.slope / unit**2,
        momentum_squared=theory.hbar**2 / 4 * fine.generator / unit**4,
        commutator_spread=fine.slope_fourth / fine.slope**2,
        error=max(errors),
        tail=beyond,
        quartic=quartic,
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

    for ordered times: multiply by f at the nodes of the quadrature, propagate in Hermite functions (or in the states of
    a Hamiltonian or chain), and so on.

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
    _need_known(theory, *_OPEN)
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
    network = None if theory.network is None else fixed_network(theory)

    def evaluate(y: Floats) -> Floats:
        values = y if network is None else np.concatenate([y, network(y)], axis=-1)
        columns = [values[..., theory.channels.index(w)] if isinstance(w, str) else w(values) for w in distinct]
        return np.stack([np.broadcast_to(np.asarray(c, dtype=np.float64), y.shape[:-1]) for c in columns], axis=-1)

    steps = np.diff(np.sort(t, axis=-1), axis=-1)
    order = 40
    if rates := [rate for s in theory.sources if isinstance(s, OrnsteinUhlenbeck) for rate in s.omega]:
        slowest = steps[steps > 0].min(initial=np.inf) * min(rates)
        order = int(np.clip(np.ceil(_FORGOTTEN / slowest), order, _MOST_ORDERS[theory.n_inputs]))
    results, scale = [], 1.0
    for inputs_of_grids in _axes(theory, evaluate, order):
        total, scale, share = np.zeros(t.size // n), 0.0, 1 / len(inputs_of_grids)
        for inputs in inputs_of_grids:
            if np.prod([m.points.size for m in inputs]) > _MOST_POINTS:
                raise ValueError(
                    f"the product of the grids of {theory.n_inputs} inputs has more than {_MOST_POINTS} points; sample "
                    "the theory"
                )
            grid = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1)
            values = np.moveaxis(evaluate(grid), -1, 0)
            vacuum = np.ones(())
            for m in inputs:
                vacuum = np.multiply.outer(vacuum, m.rows[0])
            total += share * _propagated(t.reshape(-1, n), which, values, inputs, vacuum)
            scale += share * float(np.prod([np.sqrt(((values[i] * vacuum) ** 2).sum()) for i in which]))
        results.append(total)
    error = float(np.abs(results[0] - results[1]).max(initial=0)) + output_expansion.ROUNDING * scale
    if error > tolerance * scale:
        raise ValueError(
            f"the {n}-point function reaches an error of {error / scale:.1e} (relative to the root mean squares) only, "
            f"not tolerance={tolerance:g}; use times further apart, a larger tolerance, or sample the theory"
        )
    return np.asarray(results[0].reshape(t.shape[:-1]))


def _axes(theory: Theory, evaluate: output_expansion.Function, order: int) -> list[list[list[state_grids.Modes]]]:
    """Fine and coarse modes of each input, on each of the grids that paths are divided between."""
    degrees = (order, int(0.7 * order))
    if theory.n_inputs == 1 and _all_oscillators(theory):
        kinks = probes = np.zeros(0)
        spread = float(_spreads(theory)[0])
        if theory.network is not None:
            kinks, probes = output_expansion.zeros_of_layers(fixed_network(theory), spread)

        def scaled(z: Floats) -> Floats:
            return evaluate(z * spread)

        panels = output_expansion.adapt(scaled, kinks, probes)
        rules = [panels.nodes(n, output_expansion.widest_panel(order)) for n in output_expansion.RULES]
        return [
            [[state_grids.oscillator(theory.omega[0], spread, rule, degree, theory.hbar)]]
            for rule, degree in zip(rules, degrees, strict=True)
        ]
    width, nodes = {1: (12.0, 600), 2: (11.0, 320), 3: (9.5, 112)}[theory.n_inputs]
    levels = list(state_grids.grids(theory, (width, nodes, degrees[0]), (0.85 * width, int(0.7 * nodes), degrees[1])))
    return [[pair[k] for pair in levels] for k in (0, 1)]


def _propagated(
    times: Floats, which: list[int], values: Floats, inputs: list[state_grids.Modes], vacuum: Floats
) -> Floats:
    """n-point functions at each row of times from values (M, nodes...) on the grid of the inputs."""
    out = np.empty(len(times))
    for b, row in enumerate(times):
        order = np.argsort(row, kind="stable")
        state = vacuum * values[which[order[0]]]
        for earlier, later in pairwise(order):
            dt = row[later] - row[earlier]
            if dt > 0:
                for m in inputs:
                    # The first axis goes last each time, so that their order is restored in the end.
                    state = np.tensordot(np.tensordot(state, m.rows, axes=(0, 1)) * m.decay(dt), m.rows, axes=(-1, 0))
            state = state * values[which[later]]
        out[b] = (state * vacuum).sum()
    return out


def thermal_measure(
    theory: Theory, channel: str | None = None, *, beta: float | None = None, tolerance: float = 1e-7
) -> ThermalMeasure:
    r"""Exact two-point function and moments at finite temperature, periodic in Euclidean time.

    .. math:: G(t) = \sum_\alpha c_\alpha(s_\beta)^2 \prod_i
              \left[\frac{\cosh \omega_i(\beta/2 - t)}{\cosh(\omega_i\beta/2)}\right]^{\alpha_i}, \qquad
              s_{\beta,i}^2 = \frac{\sigma_i^2}{2\omega_i} \coth\frac{\omega_i\beta}{2}

    Thermal oscillators are Gaussian, so that Mehler's formula holds at every pair of times, with coefficients at the
    thermal width. (A cosh in place of each exponential of the ground-state sum would be wrong.) Hamiltonians and chains
    among the inputs have the joint density :math:`K_t(y, y') K_{\beta - t}(y', y)/Z` at two times.

    Parameters
    ----------
    theory : Theory
        With at most three inputs; closed, or open ones that are then heated.
    channel : str, optional
        Name of a channel; the first output by default.
    beta : float, optional
        Period, the Euclidean time hbar/kT, unit time; that of a closed theory by default.
    tolerance : float, default 1e-7
        Largest acceptable error, relative to the thermal variance.

    Returns
    -------
    ThermalMeasure

    Raises
    ------
    ValueError
        Without a period, or with two different ones; with more than three inputs, a chain that beta is no multiple of,
        or a Hamiltonian with a continuum; if the tolerance is not reached.

    Examples
    --------
    >>> hot = thermal_measure(nnqm.harmonic_oscillator(), beta=2.0)
    >>> hot.connected([0.0, 1.0, 2.0]).round(6)  # coth(1)/2, 1/(2 sinh 1) and coth(1)/2
    array([0.656518, 0.425459, 0.656518])
    """
    period = theory.period if beta is None else positive("beta", beta)
    if period is None or (theory.period is not None and period != theory.period):
        raise ValueError(
            f"beta must be given for an open theory, and be the period of a closed one; got beta={beta} for "
            f"period {theory.period}"
        )
    positive("tolerance", tolerance)
    opened = _opened(theory)
    output, direct = _output(opened, channel)
    if not _all_oscillators(opened):
        return _thermal_of_states(opened, output, direct, period, tolerance)
    omega = np.array(opened.omega)
    spread = _spreads(opened) / np.sqrt(np.tanh(omega * period / 2))
    constants = {"hbar": theory.hbar, "mass": theory.mass, "beta": period, "tolerance": tolerance}

    def ratios(t: Floats) -> Floats:
        waves = np.exp(-np.multiply.outer(omega, t)) + np.exp(-np.multiply.outer(omega, period - t))
        return np.asarray(waves / (1 + np.exp(-omega * period))[:, None])

    if direct is not None:
        square = float(spread[direct] ** 2)
        return ThermalMeasure(
            mean=0.0,
            moments=np.array([square, 0.0, 3 * square**2]),
            commutator=theory.mass / theory.hbar * opened.sigma[direct] ** 2,
            # Of H = p^2/2m + m omega^2 x^2/2 with hbar -> m sigma^2: both halves of the energy are equal.
            momentum_squared=theory.mass**2 * omega[direct] ** 2 * square,
            _function=lambda t: (square * ratios(t)[direct], 0.0),
            **constants,
        )
    # The tail matters at early times only, and is judged there.
    found = output_expansion.expand(opened, output, spread, accuracy=tolerance, share=1e-5)

    def connected(t: Floats) -> tuple[Floats, float]:
        ratio = ratios(t)
        sums = np.empty(t.size)
        for i in range(t.size):
            total = found.coefficients[..., 0] ** 2
            for r in ratio[:, i]:
                total = np.tensordot(r ** np.arange(total.shape[0]), total, axes=(0, 0))
            sums[i] = total
        rest = found.beyond * ratio.max(axis=0, initial=0) ** (found.order + 1)
        # All of it at t = 0, where it is no error.
        moving = ratio.min(axis=0, initial=1) < 1
        return sums + rest, max(found.error * float(found.moments[0]), float(rest[moving].max(initial=0)))

    return ThermalMeasure(
        mean=found.mean,
        moments=found.moments,
        commutator=theory.mass / theory.hbar * found.gradient,
        momentum_squared=np.nan,
        _function=connected,
        **constants,
    )


def thermal_two_point(
    theory: Theory,
    beta: float,
    times: ArrayLike,
    channel: str | None = None,
    *,
    connected: bool = False,
    tolerance: float = 1e-7,
) -> Floats:
    """Exact two-point function at finite temperature; see ``thermal_measure``.

    Parameters
    ----------
    theory, beta, channel, tolerance
        As for ``thermal_measure``.
    times : array_like
        Of any shape, unit time; taken modulo beta.
    connected : bool, default False
        Whether the squared thermal mean is subtracted.

    Returns
    -------
    ndarray
        Of the shape of ``times``.

    Raises
    ------
    ValueError
        As for ``thermal_measure``.

    Examples
    --------
    >>> thermal_two_point(nnqm.harmonic_oscillator(), 2.0, [0.0, 1.0]).round(6)  # coth(1)/2, 1/(2 sinh 1)
    array([0.656518, 0.425459])
    """
    t = floats("times", times)
    measure = thermal_measure(theory, channel, beta=beta, tolerance=tolerance)
    return measure.connected(t) if connected else measure.two_point(t)


def _opened(theory: Theory) -> Theory:
    """The open theory whose thermal one this is."""
    sources: list[Source] = []
    for source in theory.sources:
        if isinstance(source, ThermalOrnsteinUhlenbeck):
            sources.append(OrnsteinUhlenbeck(source.omega, source.sigma))
        elif isinstance(source, ThermalProcess):
            sources.append(GroundStateProcess(source.hamiltonian))
        else:
            sources.append(source)
    return Theory(sources, theory.network, hbar=theory.hbar, mass=theory.mass)


def _thermal_of_states(
    theory: Theory, output: int, direct: int | None, beta: float, tolerance: float
) -> ThermalMeasure:
    """Traces over states of every input on a product of grids."""
    rule = output_expansion.RULES_OF_INPUTS[theory.n_inputs][0]
    levels = list(state_grids.thermal_grids(theory, beta, rule, output_expansion.coarser(rule)))
    share = 1 / len(levels)
    # For each level of refinement, values, laws and inputs on each of the shifted grids.
    parts: list[list[tuple[Floats, list[state_grids.ThermalModes]]]] = [[], []]
    powers = np.zeros((2, 4))
    for pair in levels:
        for k, inputs in enumerate(pair):
            if np.prod([m.modes.points.size for m in inputs]) > _MOST_POINTS:
                raise ValueError(
                    f"the product of the grids of {theory.n_inputs} inputs has more than {_MOST_POINTS} points; "
                    "sample the theory"
                )
            grid = np.stack(np.meshgrid(*(m.modes.points for m in inputs), indexing="ij"), axis=-1)
            if direct is not None:
                f = grid[..., direct]
            else:
                f = np.asarray(fixed_network(theory)(grid)[..., output], dtype=np.float64)
            laws = [m.joint(0.0).sum(axis=1) for m in inputs]
            parts[k].append((f, inputs))
            powers[k] += [share * _average(f**n, laws) for n in (1, 2, 3, 4)]
    moments = [
        np.array([b - a**2, c - 3 * a * b + 2 * a**3, d - 4 * a * c + 6 * a**2 * b - 3 * a**4]) for a, b, c, d in powers
    ]
    scale = max(float(moments[0][0]), 1e-300)
    reached = max(
        abs(powers[0, 0] - powers[1, 0]) / np.sqrt(scale),
        float((np.abs(moments[0] - moments[1]) / scale ** (np.arange(2, 5) / 2)).max()),
    )
    if reached > tolerance:
        raise ValueError(
            f"thermal moments reach a relative error of {reached:.1e} only, not tolerance={tolerance:g}, for "
            f"{theory.network!r} on {theory.sources}; use smooth networks or a larger tolerance"
        )

    def connected(times: Floats) -> tuple[Floats, float]:
        totals = np.zeros((2, times.size))
        for total, of_level in zip(totals, parts, strict=True):
            for f, inputs in of_level:
                for i, t in enumerate(times):
                    state = f
                    for m in inputs:
                        state = np.tensordot(state, m.joint(float(t)), axes=(0, 0))
                    total[i] += share * float((f * state).sum())
        return totals[0] - powers[0, 0] ** 2, float(np.abs(totals[0] - totals[1]).max(initial=0))

    alone = direct is not None and theory.n_inputs == 1 and isinstance(theory.sources[0], GroundStateProcess)
    return ThermalMeasure(
        mean=float(powers[0, 0]),
        moments=moments[0],
        # Of a coordinate the commutator is a number.
        commutator=1.0 if alone else np.nan,
        momentum_squared=np.nan,
        hbar=theory.hbar,
        mass=theory.mass,
        beta=beta,
        tolerance=tolerance,
        _function=connected,
    )


@dataclass(frozen=True)
class WeightAverage:
    """Exact answers averaged over draws of a network's weights: no noise of paths, only that of the draws.

    Attributes
    ----------
    times : ndarray
        Shape (k,), unit time.
    mean : Estimate
        E[c_0], c_0 being the expectation value of x at given weights.
    moments : Estimate
        Central moments 2, 3, 4 of x over paths and weights, shape (3,).
    two_point : Estimate
        E[G(t)], shape (k,).
    connected : Estimate
        E[G(t) - c_0^2], the mean subtracted at given weights, shape (k,).
    plateau : Estimate
        E[c_0^2], what is left of ``two_point`` at late times: weights label superselection sectors.
    energies : ndarray
        Gaps of the lowest levels, energy units, shape (n,).
    weights : Estimate
        E of the sum of |<0|x|n>|^2 over the states of each level, shape (n,).
    n_draws : int

    Statistical errors are those of the draws, by jackknife over blocks of them; systematic ones are the change when
    the quadrature is coarsened, where it exceeds a hundredth of the statistical error.
    """

    times: Floats
    mean: Estimate
    moments: Estimate
    two_point: Estimate
    connected: Estimate
    plateau: Estimate
    energies: Floats
    weights: Estimate
    n_draws: int


def average_over_weights(
    theory: Theory,
    networks: Iterable[Network],
    times: ArrayLike = (),
    *,
    output: int = 0,
    n_levels: int = 8,
) -> WeightAverage:
    r"""Two-point function, moments and level weights of a theory with random weights, averaged exactly over paths.

    .. math:: E_\theta[G(t)] = E_\theta[c_0(\theta)^2] + \sum_\alpha E_\theta[c_\alpha(\theta)^2]\,
              e^{-\epsilon_\alpha t/\hbar}

    by the exact coefficients of each draw theta (Rao and Blackwell's way to a smaller variance: the average over paths
    at given weights is known).

    Parameters
    ----------
    theory : Theory
        Its sources, hbar and mass count; at most three inputs.
    networks : iterable of Network
        Independent draws of the weights, at least two.
    times : array_like
        Lags, shape (k,), unit time.
    output : int, default 0
        Which output of the networks.
    n_levels : int, default 8
        Levels whose weights are wanted.

    Returns
    -------
    WeightAverage

    Raises
    ------
    ValueError
        With more than three inputs, fewer than two networks, or networks of other inputs.

    Notes
    -----
    One input takes a thousand draws in about a second, two or three some ten times as long: grids are coarser than
    those of ``kallen_lehmann``, because the error of the draws dominates. What kinks and saturated neurons cost is in
    the systematic errors.

    Examples
    --------
    >>> source = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))
    >>> draws = [nnqm.Network([[[1.0]], [[v]]], [[0.5], [0.0]], "sin") for v in (1.0, -1.0, 2.0, -2.0)]
    >>> found = average_over_weights(source, draws, [0.0, 1.0])
    >>> float(found.plateau.value.round(10))  # 5/2 exp(-1/2) sin(1/2)^2
    0.3485259321
    """
    _need_known(theory, *_OPEN)
    _need_few_inputs(theory)
    draws = list(networks)
    if len(draws) < 2:
        raise ValueError(f"networks must be at least 2 draws; got {len(draws)}")
    for i, network in enumerate(draws):
        if not isinstance(network, Network):
            raise TypeError(f"networks[{i}] must be a Network; got {network!r}")
        if network.n_inputs != theory.n_inputs or network.n_outputs != draws[0].n_outputs:
            raise ValueError(
                f"networks[{i}] must take {theory.n_inputs} inputs to {draws[0].n_outputs} outputs; got {network!r}"
            )
    column = integer("output", output, 0, draws[0].n_outputs - 1)
    t = np.abs(np.atleast_1d(floats("times", times)))
    if t.ndim != 1:
        raise ValueError(f"times must be one-dimensional; got shape {t.shape}")
    levels, _ = level_energies(theory, n_levels)
    rule = _RULES_OF_DRAWS[theory.n_inputs]
    grids = list(state_grids.grids(theory, rule, output_expansion.coarser(rule)))
    n_blocks = min(len(draws), _BLOCKS_OF_DRAWS)
    block = np.arange(len(draws)) * n_blocks // len(draws)
    sizes = np.bincount(block).astype(np.float64)

    def averages(s: Any) -> dict[str, Floats]:
        first, second, third, fourth = (s["powers"] / s["size"][:, None]).T
        return {
            "mean": first,
            "moments": np.stack(
                [
                    second - first**2,
                    third - 3 * first * second + 2 * first**3,
                    fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4,
                ],
                axis=1,
            ),
            "plateau": s["plateau"] / s["size"],
            "connected": s["connected"] / s["size"][:, None],
            "two_point": (s["connected"] + s["plateau"][:, None]) / s["size"][:, None],
            "weights": s["weights"] / s["size"][:, None],
        }

    found = []
    for k in (0, 1):
        total: dict[str, Floats] = {}
        for pair in grids:
            parts = _of_draws(draws, column, pair[k], t, levels)
            for name, values in parts.items():
                total[name] = total.get(name, 0.0) + values / len(grids)
        sums = {
            name: np.stack([values[block == b].sum(axis=0) for b in range(n_blocks)]) for name, values in total.items()
        }
        found.append(jackknife(averages, {**sums, "size": sizes}, sizes))
    fine, coarse = found
    result = {}
    for name, estimate in fine.items():
        change = np.abs(estimate.value - coarse[name].value)
        # What nobody would see is not told.
        result[name] = estimate.with_systematic(np.where(change > 0.01 * estimate.error, change, 0.0))
    return WeightAverage(times=t, energies=levels, n_draws=len(draws), **result)


def _of_draws(
    draws: list[Network], column: int, inputs: list[state_grids.Modes], times: Floats, levels: Floats
) -> dict[str, Floats]:
    """Powers, squared mean, connected function and level weights of each draw on one product of grids."""
    grid = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1)
    energies: Floats = np.zeros(1)
    decay = np.ones((times.size, 1))
    for m in inputs:
        energies = np.add.outer(energies, m.energies).ravel()
        rates = np.stack([m.decay(float(s)) for s in times]) if times.size else np.ones((0, len(m.energies)))
        decay = (decay[:, :, None] * rates[:, None, :]).reshape(times.size, -1)
    # States beyond the highest of an input have at least that input's last energy.
    cutoff = min(float(m.energies[-1]) for m in inputs)
    rest = np.exp(-times * (cutoff / inputs[0].hbar))
    member = np.abs(energies[:, None] - levels) < 1e-9 * levels
    chunk = max(1, _CHUNK // grid[..., 0].size)
    out: dict[str, list[Floats]] = {name: [] for name in ("powers", "plateau", "connected", "weights")}
    for start in range(0, len(draws), chunk):
        x = np.stack([network(grid)[..., column] for network in draws[start : start + chunk]])
        c = x
        for m in inputs:
            # The axis of the first input that is left goes last, so that their order is restored in the end.
            c = np.tensordot(c, m.rows * m.rows[0], axes=(1, 1))
        squares = c.reshape(len(x), -1) ** 2
        powers = []
        square = x * x
        for mean in (x, square, square * x, square * square):
            for m in inputs:
                mean = np.tensordot(mean, m.law, axes=(1, 0))
            powers.append(mean)
        variance = powers[1] - powers[0] ** 2
        beyond = np.maximum(variance - squares[:, 1:].sum(axis=1), 0.0)
        out["powers"].append(np.stack(powers, axis=1))
        out["plateau"].append(powers[0] ** 2)
        out["connected"].append(squares[:, 1:] @ decay[:, 1:].T + np.multiply.outer(beyond, rest))
        out["weights"].append(squares @ member)
    return {name: np.concatenate(parts) for name, parts in out.items()}


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

    _need_known(theory, OrnsteinUhlenbeck)
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
    network = None if theory.network is None else fixed_network(theory)

    def evaluate(y: Floats) -> Floats:
        if network is None or column < n_inputs:
            return np.asarray(y[..., column])
        return np.asarray(network(y)[..., column - n_inputs], dtype=np.float64)

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


def _need_known(theory: Theory, *kinds: type[Source]) -> None:
    for i, source in enumerate(theory.sources):
        if not isinstance(source, kinds):
            closed = "thermal_measure knows closed paths" if source.period is not None else "sample the theory"
            raise ValueError(
                f"sources[{i}] must be {' or '.join(kind.__name__ for kind in kinds)}; got {source!r}; {closed}"
            )


def _need_few_inputs(theory: Theory) -> None:
    if theory.n_inputs > _MOST_INPUTS:
        raise ValueError(
            f"exact measures are for at most {_MOST_INPUTS} inputs; got {theory.n_inputs}; "
            "use quasi_monte_carlo, or sample the theory"
        )


def _output(theory: Theory, channel: str | None) -> tuple[int, int | None]:
    """Position of an output of the network, and that of the input if the channel is one."""
    _need_known(theory, *_OPEN)
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
