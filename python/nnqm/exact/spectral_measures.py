"""Exact spectral measures: networks with fixed weights on oscillators, Hamiltonians and Markov chains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._arguments import Floats, positive
from ..errors import InputError
from ..quantum.hamiltonian import Hamiltonian
from ..quantum.measures import SpectralMeasure
from ..statistics.blas import one_blas_thread
from ..statistics.moments import central_moments
from ..theories.networks import Network
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.state_modes import Modes, density
from ..theories.theory import Theory
from . import output_expansion, relu_layers, state_grids
from .inputs import MOST_POINTS, average_over_grids, input_spreads, locate_channel, need_units
from .output_expansion import fixed_network
from .resolution import hidden_by_modes

__all__ = [
    "kallen_lehmann",
]

# Largest error of the quadrature, as a fraction of the tolerance.
_SAFETY = 1e-2

# Factors by which the grid of a Hamiltonian is refined for kinked networks, tried in turn.
_FINER_STATES = (3.0, 4.0, 8.0, 14.0)
# Largest number of states of a refined grid.
_MOST_GRID_STATES = 1500
# Half-width of the grid of a Hamiltonian in the variable of the panels.
_HALF_WIDTH = 7.0

# Highest degree of single states for one layer of kinks, by number of inputs; higher degrees are summed.
_STATES_OF_DEGREE = {2: 200, 3: 60}
# Highest degree, and largest number of pairs of neurons times degrees.
_MOST_DEGREES, _MOST_PRODUCTS = 16_000, 5_000_000

# Placeholder rule for inputs without oscillators, which need none.
_NO_RULE = (1.0, 2, 0)

# Relative spread of values below which a channel is constant.
_CONSTANT = 1e-13


@one_blas_thread
def kallen_lehmann(theory: Theory, channel: int | str = 0, *, tolerance: float = 1e-5) -> SpectralMeasure:
    r"""Exact spectral measure of a channel of a theory with fixed weights.

    On Ornstein-Uhlenbeck inputs, with :math:`h_n = He_n/\sqrt{n!}` and standard normal z, the coefficients are
    :math:`c_\alpha = E_z[f(s z)\, h_\alpha(z)]` at energies :math:`\hbar\,\alpha\cdot\omega` (Mehler's formula).
    One input is integrated on panels that are split at kinks and refined around saturated neurons, with up to 16,000
    states. Two and three inputs are integrated by the trapezoid rule, which is not accurate for kinks; for one hidden
    layer of relu neurons the coefficients have a closed form. For Hamiltonians and Markov chains among the inputs,
    their own states replace h_n: the sum is over products of states, at sums of gaps.

    Parameters
    ----------
    theory : Theory
        With at most three inputs.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.
    tolerance : float, default 1e-5
        Largest acceptable fraction of the variance in states beyond the highest polynomial, and relative error of
        <p^2>. By quadrature for oscillators, the relative errors of weights, moments and commutator must be 100 times
        smaller.

    Returns
    -------
    SpectralMeasure

    Raises
    ------
    InputError
        With more than three inputs or inputs without known states, or if the tolerance is not reached (kinks in several
        inputs, a nearly discontinuous network of saturated neurons); the message gives the error reached.

    Notes
    -----
    For Markov chains the sum over states is complete for every network. Limits dt -> 0 refer to the process in
    continuous time with the same eigenvalues, which exists only if no eigenvalue with weight is negative.

    Examples
    --------
    >>> relu = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="relu"))
    >>> measure = kallen_lehmann(relu)
    >>> measure.weights[:4].round(10)  # of |<0|x|n>|^2; n = 3 is empty
    array([0.125     , 0.03978874, 0.        , 0.00331573])
    >>> measure.momentum_squared
    inf
    """
    output, direct = locate_channel(theory, channel)
    positive("tolerance", tolerance)
    if not theory.all_oscillators:
        return _measure_of_states(theory, output, direct, tolerance)
    if direct is not None:
        return _oscillator(theory, direct)
    if theory.n_inputs > 1 and fixed_network(theory).activations == ("relu", "identity"):
        return _one_layer_of_kinks(theory, output, tolerance)
    accuracy = _SAFETY * tolerance
    found = output_expansion.expand(theory, output, input_spreads(theory), accuracy=accuracy, share=tolerance)
    reached = max(found.error, found.generator_error, found.share)
    if found.error > accuracy or reached > tolerance:
        raise InputError(
            f"the quadrature reaches a relative error of {reached:.1e} only "
            f"({found.share:.1e} of the variance lies beyond the highest polynomial, {found.order}), "
            f"not tolerance={tolerance:g}, for {theory.network!r}; saturated neurons and kinks in several inputs limit "
            "its accuracy: use quasi_monte_carlo or a larger tolerance, or sample the theory"
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
        energies=energies,
        weights=np.append(c[:, 0] ** 2, found.beyond),
        mean=found.mean,
        moments=found.moments,
        commutator=theory.mass / theory.hbar * found.gradient,
        momentum_squared=theory.mass**2 * found.generator,
        hbar=theory.hbar,
        mass=theory.mass,
        error=reached,
        tail=found.beyond,
        commutator_spread=found.gradient_squared / found.gradient**2 if found.gradient > 0 else None,
        quartic=np.stack([energies, np.append(fourth, limit - fourth.sum())]),
    )


def _one_layer_of_kinks(theory: Theory, output: int, tolerance: float) -> SpectralMeasure:
    """One hidden layer of relu neurons on two or three oscillators, with coefficients in closed form."""
    network = fixed_network(theory)
    omega, sigma = np.array(theory.omega), np.array(theory.sigma)
    weights, v = network.weights[0], network.weights[1][output]
    a, b = weights * input_spreads(theory), network.biases[0]
    scale = np.linalg.norm(a, axis=1)
    # A neuron without input is a constant.
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
    raw, squared, errors = relu_layers.moments(a, b, v, weights * sigma)
    moments = np.array(central_moments(*raw))
    overlap = np.clip(direction @ direction.T, -1, 1)
    gradient = float(v @ (relu_layers.orthants(b / scale, overlap) * ((weights * sigma) @ (weights * sigma).T)) @ v)
    # States of low degree are listed one by one.
    top = _STATES_OF_DEGREE[theory.n_inputs]
    alpha = relu_layers.multi_indices(theory.n_inputs, top)
    factorial = np.append(0.0, np.cumsum(np.log(np.arange(1.0, top + 1))))
    degree = alpha.sum(axis=1).astype(int)
    root = np.exp((factorial[degree] - factorial[alpha.astype(int)].sum(axis=1)) / 2)
    amplitude = np.zeros(len(alpha))
    for one, coefficients in zip(direction, c, strict=True):
        amplitude += coefficients[degree] * root * np.prod(one**alpha, axis=1)
    # States of each higher degree n are combined at their mean energy: the relative spread of their energies falls as
    # 1/sqrt(n) and contributes only at lags of order 1/n.
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
        raise InputError(
            f"the closed form of {theory.network!r} reaches a relative error of {reached:.1e} only, not "
            f"tolerance={tolerance:g}; use a larger tolerance, or sample the theory instead"
        )
    energies = theory.hbar * np.concatenate([alpha @ omega, centres, [omega.min() * (most + 1)]])
    order = np.argsort(energies[:-1], kind="stable")
    kept = np.append(order, len(order))
    return SpectralMeasure(
        energies=energies[kept],
        weights=np.concatenate([amplitude**2, sums, [beyond]])[kept],
        mean=mean + constant,
        moments=moments,
        commutator=theory.mass / theory.hbar * gradient,
        momentum_squared=np.inf,
        hbar=theory.hbar,
        mass=theory.mass,
        error=reached,
        tail=beyond,
        commutator_spread=squared / gradient**2 if errors[4] < 100 * tolerance else None,
    )


def _measure_of_states(theory: Theory, output: int, direct: int | None, tolerance: float) -> SpectralMeasure:
    """The measure by states of every input on a product of grids."""
    if direct is not None:
        # A channel that is an input depends on this input only.
        first = np.cumsum([0, *(s.n_inputs for s in theory.sources)])
        position = int(np.searchsorted(first, direct, side="right")) - 1
        source, column = theory.sources[position], direct - int(first[position])
        if source.oscillators is not None:
            omega, sigma = source.oscillators
            alone = OrnsteinUhlenbeck(omega[column], sigma[column])
            return _oscillator(Theory(alone, hbar=theory.hbar, mass=theory.mass), 0)
        theory = Theory(source, hbar=theory.hbar, mass=theory.mass)
    reached, measure = np.inf, None
    hamiltonian = theory.sources[0].ground_state_of if theory.n_inputs == 1 else None
    if hamiltonian is not None and theory.network is not None:
        reached, measure = _one_hamiltonian(theory, hamiltonian, output, tolerance)
    else:
        for rule in output_expansion.RULES_OF_INPUTS[theory.n_inputs]:
            levels = list(state_grids.grids(theory, rule, output_expansion.coarser(rule)))
            if max(np.prod([m.points.size for m in inputs]) for pair in levels for inputs in pair) > MOST_POINTS:
                break
            fine, coarse = (_product_measure(theory, output, [pair[k] for pair in levels]) for k in (0, 1))
            if hamiltonian is not None:
                # The sum over states converges slowly at walls; for x itself it is known.
                square = hamiltonian.eigenstate(0).expectation("p^2") * (theory.mass / hamiltonian.mass) ** 2
                fine, coarse = (replace(one, momentum_squared=square) for one in (fine, coarse))
            reached, measure = _distance(fine, coarse), fine
            if theory.network is not None:
                reached = max(reached, _hidden(theory, output, [pair[0] for pair in levels], fine))
            if reached <= _SAFETY * tolerance:
                break
    if measure is None:
        raise InputError(
            f"the product of the grids of {theory.n_inputs} inputs has more than {MOST_POINTS} points; "
            "sample the theory"
        )
    if reached > tolerance:
        raise InputError(
            f"the sum over states reaches a relative error of {reached:.1e} only, not tolerance={tolerance:g}, for "
            f"{theory.network!r} on {theory.sources}; kinks and saturated neurons limit its accuracy: use a "
            "larger tolerance, or sample the theory instead"
        )
    return replace(measure, error=max(reached, output_expansion.ROUNDING))


def _product_measure(theory: Theory, output: int, inputs_of_grids: list[list[Modes]]) -> SpectralMeasure:
    """The measure on products of modes, averaged over shifted grids."""
    values = []
    for inputs in inputs_of_grids:
        grid = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1)
        values.append(grid[..., output] if theory.network is None else fixed_network(theory)(grid)[..., output])
    laws = [[m.law for m in inputs] for inputs in inputs_of_grids]
    share = 1 / len(values)
    mean = share * sum(average_over_grids(f, law) for f, law in zip(values, laws, strict=True))
    energies, coefficients, signs = [], [], []
    moments = np.zeros(3)
    for f, law, inputs in zip(values, laws, inputs_of_grids, strict=True):
        centred = f - mean
        moments += [share * average_over_grids(centred**k, law) for k in (2, 3, 4)]
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
        # Means that differ between grids contribute a part that does not decay; with one grid there is none.
        keep = 0 if len(values) > 1 else 1
        energies.append(e.ravel()[keep:])
        coefficients.append(np.sqrt(share) * np.stack(found, axis=1)[keep:])
        signs.append(s.ravel()[keep:])
    if not moments[0] > (_CONSTANT * mean) ** 2:
        moments, coefficients = np.zeros(3), [np.zeros_like(c) for c in coefficients]
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


def _hidden(theory: Theory, output: int, inputs_of_grids: list[list[Modes]], measure: SpectralMeasure) -> float:
    """Largest relative error by features of the network that the grids step over."""
    network, variance = fixed_network(theory), float(measure.moments[0])
    found = [hidden_by_modes(network, output, inputs) for inputs in inputs_of_grids]
    if all(h.powers[1] <= (_CONSTANT * measure.mean) ** 2 for h in found):
        return 0.0
    return max(h.relative(variance) for h in found)


def _distance(fine: SpectralMeasure, coarse: SpectralMeasure) -> float:
    """Largest relative difference of mean, moments, limits and two-point function."""
    scale = fine.moments[0]
    need_units(float(scale))
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
        # Infinities, and NaN for a chain with negative eigenvalues, are not errors of the grid.
        if np.isfinite(a) and np.isfinite(b) and a != b:
            parts.append(abs(a - b) / max(abs(b), 1e-300))
    return float(max(parts))


def _one_hamiltonian(
    theory: Theory, hamiltonian: Hamiltonian, output: int, tolerance: float
) -> tuple[float, SpectralMeasure]:
    """Relative error and measure of a network on the ground-state process of one Hamiltonian."""
    network = fixed_network(theory)
    if not output_expansion.KINKED & set(network.activations):
        levels = next(state_grids.grids(theory, _NO_RULE, _NO_RULE))
        fine, coarse = (_product_measure(theory, output, [inputs]) for inputs in levels)
        reached = max(_distance(fine, coarse), _hidden(theory, output, [levels[0]], fine))
        if reached <= _SAFETY * tolerance:
            return reached, fine
    # The grid does not resolve kinks: panels are split at them, and states are interpolated to their nodes.
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
    basis = hamiltonian.bases.eigenbasis(finer, None)
    points, gaps = basis.points, basis.energies - basis.energies[0]
    # Panels are in a standard normal variable; 7 standard deviations are half of the grid.
    centre, unit = (points[0] + points[-1]) / 2, (points[-1] - points[0]) / 2 / _HALF_WIDTH
    shifted = Network(
        [unit * network.weights[0], *network.weights[1:]],
        [network.biases[0] + centre * network.weights[0][:, 0], *network.biases[1:]],
        network.activations,
    )

    def evaluate(z: Floats) -> Floats:
        return np.asarray(shifted(z)[..., output : output + 1])

    kinks, probes = output_expansion.zeros_of_layers(shifted, 1.0)
    panels = output_expansion.adapt(evaluate, kinks, probes)
    joints = (basis.joints - centre) / unit
    panels = replace(panels, edges=np.union1d(panels.edges, joints)).split(basis.spacing / unit)
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
    z, weights = z[inside], unit * weights[inside] / density(z[inside])
    amplitudes = basis.interpolate(basis.vectors, centre + unit * z)
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
    # States beyond the grid have at least its largest kinetic energy.
    beyond = max(variance - float(measure.weights.sum()), 0.0)
    cutoff = basis.cutoff
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
    # L f = (hbar/2m) (f'' + 2 (ln psi_0)' f') and [x, p]/(i hbar) = f'^2, with derivatives in the coordinate.
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


def _oscillator(theory: Theory, column: int) -> SpectralMeasure:
    rate, sigma = theory.omega[column], theory.sigma[column]
    variance = sigma**2 / (2 * rate)
    need_units(variance)
    energy = theory.hbar * rate
    return SpectralMeasure(
        energies=np.array([energy]),
        weights=np.array([variance]),
        mean=0.0,
        moments=np.array([variance, 0.0, 3 * variance**2]),
        commutator=theory.mass / theory.hbar * sigma**2,
        momentum_squared=theory.mass**2 * rate**2 * variance,
        hbar=theory.hbar,
        mass=theory.mass,
        error=0.0,
        commutator_spread=1.0,
        quartic=np.array([[energy, 2 * energy], [24 * variance**2, -12 * variance**2]]),
    )
