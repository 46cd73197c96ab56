"""The exact side against closed forms, high-precision quadrature, sum rules, brute force and sampling."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy import stats

import nnqm
from harness import assert_consistent, assert_error_is_honest, assert_inconsistent
from nnqm.exact.energies import level_energies
from nnqm.exact.n_points import n_point
from nnqm.exact.output_expansion import Moments, adapt, zeros_of_layers
from nnqm.exact.quasi_monte_carlo import quasi_monte_carlo
from nnqm.exact.random_weights import average_over_weights
from nnqm.exact.relu_layers import orthants
from nnqm.exact.spectral_measures import kallen_lehmann
from nnqm.exact.thermal_measures import thermal_measure


def on_ou(network, omega=1.0, sigma=1.0, **constants):
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), network, **constants)


def one_neuron(activation, weights, bias, value, omega, sigma):
    return on_ou(nnqm.Network([[weights], [[value]]], [[bias], [0.0]], activation), omega, sigma)


def sine_theory(weights, bias, value, omega, sigma):
    return one_neuron("sin", weights, bias, value, omega, sigma)


# ---- closed forms


def test_one_sine_neuron_has_the_closed_form_coefficients():
    w, b, v, omega, sigma = 1.3, 0.4, 2.0, 0.7, 1.1
    a = w * sigma / math.sqrt(2 * omega)
    measure = kallen_lehmann(sine_theory([w], b, v, omega, sigma))
    n = np.arange(1, 15)
    factorial = np.array([math.factorial(k) for k in n], dtype=float)
    c = v * math.exp(-(a**2) / 2) * a**n / np.sqrt(factorial) * np.sin(b + n * math.pi / 2)
    np.testing.assert_allclose(measure.energies[:14], n * omega, rtol=1e-14)
    np.testing.assert_allclose(measure.weights[:14], c**2, atol=1e-14)
    assert measure.mean == pytest.approx(v * math.exp(-(a**2) / 2) * math.sin(b), rel=1e-13)
    # E (f')^2 of a sine: (1 + e^{-2 a^2} cos 2b) / 2, and E (f')^4 likewise
    second = (1 + math.exp(-2 * a**2) * math.cos(2 * b)) / 2
    fourth = (3 + 4 * math.exp(-2 * a**2) * math.cos(2 * b) + math.exp(-8 * a**2) * math.cos(4 * b)) / 8
    assert measure.commutator == pytest.approx(sigma**2 * v**2 * w**2 * second, rel=1e-12)
    assert measure.commutator_spread == pytest.approx(fourth / second**2, rel=1e-11)


def sum_of_squares(measure):
    return measure.energies**2 @ measure.weights


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3])
def test_a_sine_of_several_inputs_has_the_closed_form_two_point_function(dimension):
    omega, sigma = np.array([1.0, 1.7, 0.6])[:dimension], np.array([0.8, 1.2, 0.7])[:dimension]
    w, b, v = np.array([0.9, -0.7, 0.5])[:dimension], 0.3, 1.5
    measure = kallen_lehmann(sine_theory(list(w), b, v, omega, sigma))
    square = w**2 * sigma**2 / (2 * omega)
    # sum_i sigma_i^2 (d_i f)^2 = r cos(u)^2 with u of variance q
    r, q = v**2 * (w**2 * sigma**2).sum(), square.sum()
    second = (1 + math.exp(-2 * q) * math.cos(2 * b)) / 2
    fourth = (3 + 4 * math.exp(-2 * q) * math.cos(2 * b) + math.exp(-8 * q) * math.cos(4 * b)) / 8
    assert measure.commutator == pytest.approx(r * second, rel=1e-10)
    assert measure.commutator_spread == pytest.approx(fourth / second**2, rel=1e-8)
    assert measure.momentum_squared == pytest.approx(sum_of_squares(measure), rel=1e-9)
    t = np.array([0.0, 0.3, 1.0, 4.0])
    # <sin(u + b) sin(u' + b)> of jointly Gaussian u, u'
    total, overlap = square.sum(), np.exp(-np.outer(t, omega)) @ square
    g = v**2 / 2 * (np.exp(overlap - total) - np.exp(-overlap - total) * math.cos(2 * b))
    np.testing.assert_allclose(measure.two_point(t), g, atol=1e-10)
    assert measure.commutator == pytest.approx(
        (w**2 * sigma**2).sum() * v**2 / 2 * (1 + math.exp(-2 * total) * math.cos(2 * b)), rel=1e-9
    )


def relu_coefficients(a, b, v, order):
    """c_n of v relu(a z + b)."""
    u, z = b / abs(a), -b / a
    phi, cumulative = math.exp(-(u**2) / 2) / math.sqrt(2 * math.pi), math.erfc(-u / math.sqrt(2)) / 2
    h = np.zeros(order)
    h[0], h[1] = 1, z
    for n in range(1, order - 1):
        h[n + 1] = (z * h[n] - math.sqrt(n) * h[n - 1]) / math.sqrt(n + 1)
    n = np.arange(2, order + 1)
    return v * np.array(
        [abs(a) * (u * cumulative + phi), a * cumulative, *(abs(a) * phi * h[n - 2] / np.sqrt(n * (n - 1)))]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("w", "b"), [(1.3, 0.4), (-0.8, -1.1), (1.0, 0.0)])
def test_one_relu_neuron_has_the_closed_form_coefficients(w, b):
    v, omega, sigma = 2.0, 0.7, 1.1
    a = w * sigma / math.sqrt(2 * omega)
    measure = kallen_lehmann(one_neuron("relu", [w], b, v, omega, sigma))
    order = measure.energies.size - 1
    c = relu_coefficients(a, b, v, order)
    np.testing.assert_allclose(measure.weights[:-1], c[1:] ** 2, atol=1e-13)
    assert measure.mean == pytest.approx(c[0], rel=1e-13)
    # E f'^2 = Phi(u) times the squared slope
    share = math.erfc(-b / abs(a) / math.sqrt(2)) / 2
    assert measure.commutator == pytest.approx((sigma * v * w) ** 2 * share, rel=1e-12)
    assert measure.commutator_spread == pytest.approx(1 / share, rel=1e-12)
    assert measure.momentum_squared == math.inf
    assert measure.uncertainty == math.inf
    # What lies beyond is told: weights fall as n^(-5/2), so that the rest is c^2 n/1.5 with c^2 averaged over n.
    mean_weight = (c[-2000:] ** 2 * np.arange(order - 1999, order + 1) ** 2.5).mean()
    assert measure.tail == pytest.approx(mean_weight / 1.5 / order**1.5, rel=0.05)
    assert measure.energies[-1] == pytest.approx(omega * (order + 1))
    assert measure.weights[-1] == measure.tail <= measure.error * measure.moments[0] * (1 + 1e-12)


@pytest.mark.slow
def test_the_tail_of_a_kinked_network_bounds_the_error_at_every_time():
    w, b = 1.0, 0.2
    measure = kallen_lehmann(one_neuron("relu", [w], b, 1.0, 1.0, 1.0))
    c = relu_coefficients(w / math.sqrt(2), b, 1.0, 400_000)
    for t in (1e-4, 1e-3, 1e-2, 0.1, 1.0):
        true = (c[1:] ** 2) @ np.exp(-t * np.arange(1, c.size))
        excess = float(measure.connected(t)) - true
        # The truth lacks 1e-9 itself.
        assert -1e-9 < excess < measure.tail * math.exp(-measure.energies[-1] * t) + 1e-13
        assert abs(excess) < measure.error * measure.moments[0]


# ---- high precision

HIGH_PRECISION = {
    "identity": lambda x: x,
    "tanh": mpmath.tanh,
    "sin": mpmath.sin,
    "relu": lambda x: x if x > 0 else mpmath.mpf(0),
    "gelu": lambda x: x * mpmath.ncdf(x),
}
NETWORKS = {
    "tanh": ((1, 3, 1), "tanh", 1.5),
    "deep tanh": ((1, 3, 2, 1), "tanh", 1.5),
    "deep gelu": ((1, 3, 2, 1), "gelu", 1.2),
    "deep sin": ((1, 3, 2, 1), "sin", 1.3),
    "deep relu": ((1, 4, 3, 1), "relu", 1.2),
    "tanh then relu": ((1, 3, 2, 1), ["tanh", "relu", "identity"], 1.3),
    "saturated": ((1, 2, 1), "tanh", 20.0),
}


def named_network(name):
    widths, activation, size = NETWORKS[name]
    drawn = nnqm.Network.random(widths, rng=len(name), weight_std=size, bias_std=0.5)
    return nnqm.Network(drawn.weights, drawn.biases, activation)


def precise(network, spread, orders):
    """Mean, central moments, squared coefficients, E f'^2, E f'^4 and E (f'' - z f')^2 far beyond double precision."""
    layers = [
        ([[mpmath.mpf(x) for x in row] for row in w.tolist()], [mpmath.mpf(x) for x in b.tolist()], HIGH_PRECISION[a])
        for w, b, a in zip(network.weights, network.biases, network.activations, strict=True)
    ]

    def f(z):
        h = [z * spread]
        for w, b, function in layers:
            h = [function(mpmath.fdot(row, h) + c) for row, c in zip(w, b, strict=True)]
        return h[0]

    with mpmath.workdps(34):
        kinks, centres = zeros_of_layers(network, spread)
        # Panels end at kinks, and around zeros of smooth neurons they are narrow.
        centres = np.unique(np.round(centres / 0.05)) * 0.05
        edges = np.unique(np.concatenate([np.linspace(-9.5, 9.5, 13), kinks, centres]))
        edges = edges[np.abs(edges) <= 9.5]
        rule = mpmath.calculus.quadrature.GaussLegendre(mpmath.mp)
        nodes = [x for a, b in itertools.pairwise(edges.tolist()) for x in rule.get_nodes(a, b, 5, 120)]
        weight = [w * mpmath.npdf(z) for z, w in nodes]
        h = mpmath.mpf(10) ** -10
        values = [(f(z - h), f(z), f(z + h)) for z, _ in nodes]
        first = [(c - a) / (2 * h) for a, _, c in values]
        second = [(c - 2 * b + a) / h**2 for a, b, c in values]

        def average(numbers):
            return mpmath.fdot(weight, numbers)

        mean = average([b for _, b, _ in values])
        return {
            "mean": mean,
            "moments": [average([(b - mean) ** k for _, b, _ in values]) for k in (2, 3, 4)],
            "weights": [
                average([v[1] * mpmath.hermite(n, z / mpmath.sqrt(2)) for v, (z, _) in zip(values, nodes, strict=True)])
                ** 2
                / (mpmath.mpf(2) ** n * mpmath.factorial(n))
                for n in orders
            ],
            "slope": average([x**2 for x in first]),
            "spread": average([x**4 for x in first]),
            "generator": average([(b - z * a) ** 2 for a, b, (z, _) in zip(first, second, nodes, strict=True)]),
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree_with_high_precision_quadrature_within_the_error_reported(name):
    network, omega, sigma, hbar, mass = named_network(name), 0.8, 1.3, 0.7, 1.9
    measure = kallen_lehmann(on_ou(network, omega, sigma, hbar=hbar, mass=mass))
    orders = [1, 2, 5, 40]
    exact = precise(network, sigma / math.sqrt(2 * omega), orders)
    variance = float(exact["moments"][0])
    # The error includes what lies beyond the highest polynomial, which these numbers do not see.
    error = measure.error if measure.tail < 1e-12 * variance else 1e-9
    assert error <= 1e-8
    assert abs(measure.mean - exact["mean"]) < error * math.sqrt(variance)
    for k, moment in enumerate(exact["moments"]):
        assert abs(measure.moments[k] - moment) < error * variance ** (k / 2 + 1)
    for n, weight in zip(orders, exact["weights"], strict=True):
        assert abs(measure.weights[n - 1] - weight) < error * variance
        assert measure.energies[n - 1] == pytest.approx(hbar * omega * n)
    slope = 2 * omega * exact["slope"]
    assert abs(measure.commutator / (mass / hbar) - slope) < error * slope
    assert measure.commutator_spread == pytest.approx(float(exact["spread"] / exact["slope"] ** 2), rel=1e-9)
    if "relu" in name:
        assert measure.momentum_squared == math.inf
    else:
        squared = (mass * omega) ** 2 * exact["generator"]
        assert abs(measure.momentum_squared - squared) < max(error, 1e-12) * squared


def test_the_kinks_of_a_deep_relu_network_are_all_found():
    network = nnqm.Network.random((1, 12, 12, 12, 1), "relu", rng=3, weight_std=1.5, bias_std=0.7)
    kinks, _ = zeros_of_layers(network, 0.7)
    edges = np.concatenate([[-14], kinks, [14]])
    inner = edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0.01, 0.99, 5)
    f = network(0.7 * inner[..., None])[..., 0]
    # Linear between them ...
    assert np.abs(np.diff(f, 2, axis=1)).max() < 1e-12
    # ... and without one of those that matter not.
    slopes = (f[:, -1] - f[:, 0]) / (0.98 * np.diff(edges))
    assert kinks.size > 12
    assert np.count_nonzero(np.abs(np.diff(slopes)) > 1e-8) > 12


def test_a_kink_that_nobody_announces_is_closed_in_on():
    def function(z):
        return np.abs(z - 0.3)

    moments = Moments.of(function, adapt(function, np.empty(0), np.empty(0)), 24)
    assert moments.generator == math.inf
    assert moments.central[0] + moments.mean**2 == pytest.approx(1.09, rel=1e-12)
    assert moments.slope == pytest.approx(1, rel=1e-9)


def test_relu_networks_that_are_straight_have_finite_momentum():
    # relu(u) - relu(-u) = u
    network = nnqm.Network([[[1.0], [-1.0]], [[2.0, -2.0]]], [[0.3, -0.3], [1.0]], "relu")
    measure = kallen_lehmann(on_ou(network))
    assert measure.momentum_squared == pytest.approx(4 * 0.5, rel=1e-9)
    assert measure.mean == pytest.approx(1.6)
    assert measure.weights[0] == pytest.approx(2)


@pytest.mark.slow
def test_narrow_features_of_saturated_neurons_are_seen():
    # A bump of width 1e-4 between two steps, of which no panel's nodes need know.
    scale, left, right = 1e6, 0.3217, 0.3218
    network = nnqm.Network([[[scale], [scale]], [[0.5, -0.5]]], [[-scale * left, -scale * right], [0.0]])
    measure = kallen_lehmann(on_ou(network, 0.5), tolerance=1.0)  # s = 1
    probability = (math.erf(right / math.sqrt(2)) - math.erf(left / math.sqrt(2))) / 2
    assert measure.mean == pytest.approx(probability, rel=1e-9)
    # The integral of (sech^2/2)^2 is 1/3 at each edge, and that of its derivative's square 4/15.
    edge = 2 * scale * math.exp(-((left + right) ** 2) / 8) / math.sqrt(2 * math.pi)
    assert measure.commutator == pytest.approx(edge / 3, rel=1e-6)
    assert measure.momentum_squared == pytest.approx(edge * scale**2 / 4 * 4 / 15, rel=1e-6)
    with pytest.raises(ValueError, match=r"relative error of .* only .*tolerance=1e-05.*larger tolerance"):
        kallen_lehmann(on_ou(network, 0.5))


def test_a_constant_network_has_no_motion():
    network = nnqm.Network([[[1.0]], [[0.0]]], [[0.0], [3.0]], "relu")
    measure = kallen_lehmann(on_ou(network))
    assert measure.mean == pytest.approx(3.0, rel=4e-16)
    assert (measure.commutator, measure.momentum_squared, measure.kurtosis) == (0.0, 0.0, 0.0)
    assert not measure.weights.any()


# ---- sum rules


@pytest.mark.parametrize(
    ("widths", "tolerance"), [((1, 6, 1), 1e-7), ((2, 5, 1), 1e-3), ((3, 4, 1), 1e-2), ((1, 5, 4, 2), 1e-6)]
)
def test_sum_rules(widths, tolerance):
    rng = np.random.default_rng(sum(widths))
    omega, sigma = rng.uniform(0.5, 2, widths[0]), rng.uniform(0.5, 1.5, widths[0])
    network = nnqm.Network.random(widths, "gelu", rng=rng, weight_std=0.8, bias_std=0.3)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), network, hbar=0.7, mass=1.9)
    measure = kallen_lehmann(theory, theory.outputs[-1])
    assert measure.weights.min() >= 0
    # The first state that is not listed: the next polynomial of the slowest input.
    listed = round(measure.energies.size ** (1 / widths[0]))
    assert measure.energies[-1] == pytest.approx(0.7 * omega.min() * listed)
    assert measure.weights.sum() == pytest.approx(measure.moments[0], rel=1e-12)
    summed = 2 * 1.9 / 0.7**2 * measure.energies @ measure.weights
    assert summed == pytest.approx(measure.commutator, rel=tolerance)
    squared = (1.9 / 0.7) ** 2 * measure.energies**2 @ measure.weights
    assert squared == pytest.approx(measure.momentum_squared, rel=30 * tolerance)
    # Robertson's inequality
    assert measure.uncertainty >= 0.35 * measure.commutator


def test_the_oscillator_saturates_the_uncertainty_relation():
    measure = kallen_lehmann(nnqm.harmonic_oscillator(2.0, mass=3.0, hbar=0.5))
    assert measure.energies == pytest.approx([1.0])
    assert measure.commutator == pytest.approx(1)
    assert measure.uncertainty == pytest.approx(0.25)
    assert measure.quadratic_variation(1e-9) == pytest.approx(0.5 / 3 * 1e-9, rel=1e-8)
    np.testing.assert_allclose(measure.commutator_spread_at([1e-3, 0.1, 1.0, 10.0]), 1, rtol=1e-9)
    np.testing.assert_allclose(measure.effective_energy([0.0, 0.5, 2.0, 700.0]), 1.0, rtol=1e-12)


def test_energies_are_the_sums_of_frequencies():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.5]), hbar=2.0)
    sums = sorted(a + 1.5 * b for a in range(12) for b in range(12))[1:]
    values, counts = level_energies(theory, 7)
    np.testing.assert_allclose(values, 2 * np.unique(sums)[:7])
    assert counts == tuple(sums.count(v) for v in np.unique(sums)[:7])


# ---- estimators at finite lag

DT, LAGS = 0.15, (1, 2, 3, 4, 5, 6, 7, 8)


@pytest.fixture(scope="module", params=["deep tanh", "deep relu"])
def sampled(request):
    theory = on_ou(named_network(request.param), 0.8, 1.3, hbar=0.7, mass=1.9)
    run = nnqm.simulate(
        theory, 100_000, 32, DT, rng=5, precision="float64", measure=nnqm.Measure(observables=None, increment_lags=LAGS)
    )
    return run, kallen_lehmann(theory)


@pytest.mark.slow
def test_estimators_measure_their_exact_values(sampled):
    run, measure = sampled
    lags = DT * np.array(LAGS)
    pairs = [
        (nnqm.quadratic_variation(run), measure.quadratic_variation(lags)),
        (nnqm.commutator_at_lags(run), measure.commutator_at(lags)),
        (nnqm.momentum_squared_at_lags(run), measure.momentum_squared_at(lags[:4])),
        (nnqm.commutator_spread(run), measure.commutator_spread_at(DT)),
        (nnqm.roughness_exponent(run), measure.roughness_exponent(DT)),
        (run.kurtosis(), measure.kurtosis),
    ]
    for estimate, exact in pairs:
        assert_consistent(estimate, exact)
        assert_inconsistent(estimate, 1.3 * np.asarray(exact))
    times, energy = nnqm.effective_energy(run)
    edges = DT * np.array(run.lags[: times.size + 1])
    assert_consistent(energy[:6], measure.effective_energy(edges)[:6])


@pytest.mark.slow
def test_extrapolations_have_their_exact_values(sampled):
    run, measure = sampled
    for found, exact in (
        (nnqm.commutator(run), measure.commutator_extrapolated),
        (nnqm.momentum_squared(run), measure.momentum_squared_extrapolated),
        (nnqm.uncertainty(run), measure.uncertainty_extrapolated),
    ):
        if found.estimate is not None:
            # Without the systematic error: at these lags the value is known, not only its limit.
            assert_consistent(found.estimate.with_systematic(0.0), exact(DT, found.n_lags))


def test_extrapolation_weights_are_signed_binomials():
    measure = kallen_lehmann(nnqm.builtin_theory("deep-tanh"))
    k = np.arange(1, 6)
    weights = np.array([(-1) ** (j + 1) * math.comb(5, j) for j in k])
    assert measure.commutator_extrapolated(0.1, 5) == pytest.approx(weights @ measure.commutator_at(0.1 * k), rel=1e-12)
    assert measure.commutator_extrapolated(0.01, 5) == pytest.approx(measure.commutator, rel=1e-5)
    assert measure.momentum_squared_extrapolated(0.002, 5) == pytest.approx(measure.momentum_squared, rel=1e-5)


def test_limits_at_small_lags_are_those_of_the_derivatives():
    measure = kallen_lehmann(nnqm.builtin_theory("deep-tanh"))
    assert measure.commutator_at(1e-6) == pytest.approx(measure.commutator, rel=1e-5)
    assert measure.momentum_squared_at(1e-6) == pytest.approx(measure.momentum_squared, rel=1e-4)
    assert measure.commutator_spread_at(1e-4) == pytest.approx(measure.commutator_spread, rel=1e-3)
    assert measure.roughness_exponent(1e-6) == pytest.approx(0.5, abs=1e-5)


def test_without_quartic_coefficients_there_is_no_spread():
    measure = nnqm.results.SpectralMeasure(
        energies=np.ones(1),
        weights=np.ones(1),
        mean=0.0,
        moments=np.array([1.0, 0, 3]),
        commutator=2.0,
        momentum_squared=1.0,
        hbar=1.0,
        mass=1.0,
        error=0.0,
    )
    with pytest.raises(ValueError, match="quartic is None"):
        measure.commutator_spread_at(0.1)


# ---- n-point functions


def wick(covariance):
    """Gaussian n-point function: the sum over pairings."""
    n = len(covariance)
    if n == 0:
        return 1.0
    if n % 2:
        return 0.0
    total = 0.0
    for j in range(1, n):
        rest = [i for i in range(1, n) if i != j]
        total += covariance[0, j] * wick(covariance[np.ix_(rest, rest)])
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_n_point_functions_of_the_seed_obey_wick(n):
    omega, sigma = 0.8, 1.2
    t = np.random.default_rng(n).uniform(0, 3, (3, n))
    found = n_point(on_ou(None, omega, sigma), t)
    for row, value in zip(t, found, strict=True):
        covariance = sigma**2 / (2 * omega) * np.exp(-omega * np.abs(row[:, None] - row))
        assert value == pytest.approx(wick(covariance), rel=1e-12, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_n_point_functions_of_sines_have_closed_forms(dimension):
    omega, sigma = np.array([1.0, 1.7, 0.6])[:dimension], np.array([0.8, 1.2, 0.7])[:dimension]
    w, b, v = np.array([0.9, -0.7, 0.5])[:dimension], 0.3, 1.5
    theory = sine_theory(list(w), b, v, omega, sigma)
    t = np.array([0.5, 0.0, 1.1, 0.7])
    decay = np.exp(-omega * np.abs(t[:, None] - t)[..., None])
    covariance = decay @ (w**2 * sigma**2 / (2 * omega))
    total = 0.0
    for signs in itertools.product([1, -1], repeat=4):
        e = np.array(signs)
        total += np.prod(e) * math.exp(-e @ covariance @ e / 2) * math.cos(b * e.sum())
    assert n_point(theory, t) == pytest.approx(v**4 * total / 16, rel=1e-12)


@pytest.mark.slow
def test_two_point_functions_and_mixed_channels():
    theory = on_ou(named_network("deep relu"), 0.8, 1.3)
    measure = kallen_lehmann(theory)
    t = np.array([[0.0, 0.0], [0.0, 0.1], [1.0, 0.4], [0.0, 3.0]])
    np.testing.assert_allclose(n_point(theory, t), measure.two_point(t[:, 1] - t[:, 0]), rtol=1e-11)
    assert n_point(theory, [2.0]) == pytest.approx(measure.mean, rel=1e-12)
    # <y(0) x(t)> = s c_1 e^(-omega t), and c_1 = s E f'.
    mixed = n_point(theory, [0.0, 0.7], ["y", "x"])
    assert abs(mixed) == pytest.approx(math.sqrt(1.3**2 / 1.6 * measure.weights[0]) * math.exp(-0.56), rel=1e-11)
    # Functions see all channels, the inputs first.
    by_function = n_point(theory, [0.0, 0.7], functions=[lambda c: c[..., 0], lambda c: c[..., 1]])
    assert by_function == mixed
    # A positive part has a kink that nobody announces; <max(y, 0)^2> is half the variance.
    assert n_point(theory, [0.0], functions=[lambda c: np.maximum(c[..., 0], 0) ** 2]) == pytest.approx(
        1.3**2 / 3.2, rel=1e-12
    )


@pytest.mark.slow
def test_a_four_point_function_is_what_paths_have():
    theory = on_ou(named_network("deep tanh"), 0.8, 1.3)
    x = nnqm.sample_paths(theory, 64 * 4000, 7, 0.25, rng=2, precision="float64")[:, :, 0]
    product = (x[:, 0] * x[:, 1] * x[:, 3] * x[:, 6]).reshape(64, -1).sum(axis=1)
    estimate = nnqm.jackknife(lambda s: s["p"] / s["n"], {"p": product, "n": np.full(64, 4000.0)}, np.full(64, 4000))
    exact = float(n_point(theory, [0.0, 0.25, 0.75, 1.5]))
    assert_consistent(estimate, exact)
    # Negative control: the product of two-point functions is something else.
    two = kallen_lehmann(theory).two_point
    assert_inconsistent(estimate, float(two(0.25) * two(0.75)))


def test_bad_times_are_refused():
    theory = nnqm.builtin_theory("deep-tanh")
    with pytest.raises(ValueError, match="at least one entry"):
        n_point(theory, [])
    with pytest.raises(ValueError, match="channel must have one entry per time, 2; got 1"):
        n_point(theory, [0.0, 1.0], ["x"])
    with pytest.raises(ValueError, match="exclude each other"):
        n_point(theory, [0.0], ["x"], functions=[lambda c: c[..., 0]])
    with pytest.raises(ValueError, match="channel 'z' is unknown"):
        n_point(theory, [0.0], ["z"])
    relu = on_ou(named_network("deep relu"))
    with pytest.raises(ValueError, match=r"error of the .*-point function is .*, above tolerance=1e-12"):
        n_point(relu, [0.0, 1e-4, 2e-4, 3e-4], tolerance=1e-12)


# ---- temperature


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deep tanh", "deep relu"])
def test_thermal_functions_agree_with_direct_integration(name):
    network, omega, sigma, beta = named_network(name), 0.8, 1.3, 2.5
    spread = math.sqrt(sigma**2 / (2 * omega) / math.tanh(omega * beta / 2))
    z, step = np.linspace(-8, 8, 1001, retstep=True)
    density = step * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    f = network(spread * z[:, None])[:, 0]
    times = [0.3, 2.2]
    brute = []
    for t in times:
        ratio = math.cosh(omega * (beta / 2 - t)) / math.cosh(omega * beta / 2)
        later = spread * (ratio * z[:, None] + math.sqrt(1 - ratio**2) * z)
        brute.append((density * f) @ (network(later[..., None])[..., 0] @ density))
    tolerance = 1e-11 if "tanh" in name else 1e-4
    np.testing.assert_allclose(
        thermal_measure(on_ou(network, omega, sigma), beta=beta).two_point(times), brute, rtol=tolerance
    )


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_thermal_sines_have_the_closed_form(dimension):
    omega, sigma = np.array([1.0, 1.7, 0.6])[:dimension], np.array([0.8, 1.2, 0.7])[:dimension]
    w, b, v, beta = np.array([0.9, -0.7, 0.5])[:dimension], 0.3, 1.5, 1.5
    theory = sine_theory(list(w), b, v, omega, sigma)
    t = np.array([[0.0, 0.1], [0.75, 1.4]])
    square = w**2 * sigma**2 / (2 * omega) / np.tanh(omega * beta / 2)
    ratio = np.cosh(np.multiply.outer(beta / 2 - t, omega)) / np.cosh(omega * beta / 2)
    total, overlap = square.sum(), ratio @ square
    g = v**2 / 2 * (np.exp(overlap - total) - np.exp(-overlap - total) * math.cos(2 * b))
    np.testing.assert_allclose(thermal_measure(theory, beta=beta).two_point(t), g, rtol=1e-12)
    mean = v * math.exp(-total / 2) * math.sin(b)
    np.testing.assert_allclose(thermal_measure(theory, beta=beta).connected(t), g - mean**2, rtol=1e-11)
    np.testing.assert_allclose(thermal_measure(theory, beta=beta).two_point(t + beta), g, rtol=1e-12)


@pytest.mark.slow
def test_thermal_functions_are_what_periodic_paths_have():
    network, omega, sigma, beta, n = named_network("deep tanh"), 0.8, 1.3, 2.0, 8
    lags = beta / n * np.arange(n)
    covariance = sigma**2 * np.cosh(omega * (beta / 2 - lags)) / (2 * omega * math.sinh(omega * beta / 2))
    circulant = covariance[np.abs(np.arange(n)[:, None] - np.arange(n))]
    rng = np.random.default_rng(8)
    paths = rng.normal(size=(256_000, n)) @ np.linalg.cholesky(circulant).T
    x = network(paths[..., None])[..., 0]
    sums = {"p": (x[:, 0, None] * x).reshape(128, -1, n).sum(axis=1), "n": np.full(128, 2000.0)}
    estimate = nnqm.jackknife(lambda s: s["p"] / s["n"][:, None], sums, np.full(128, 2000))
    theory = on_ou(network, omega, sigma)
    # sigma^2/(2 omega) coth is the convention of the seed: G(0) = s^2 coth(omega beta/2).
    assert covariance[0] == pytest.approx(sigma**2 / (2 * omega) / math.tanh(omega * beta / 2))
    assert_consistent(estimate, thermal_measure(theory, beta=beta).two_point(lags))
    # A cosh in place of each exponential of the ground state is wrong.
    measure = kallen_lehmann(theory)
    e, c = measure.energies[:100], measure.weights[:100]
    wrong = measure.mean**2 + (np.cosh(np.multiply.outer(beta / 2 - lags, e)) / np.sinh(e * beta / 2)) @ c
    assert_inconsistent(estimate, wrong)


@pytest.mark.slow
def test_thermal_measures_of_closed_theories():
    network = nnqm.Network.random((1, 5, 1), rng=4, bias_std=0.5)
    beta, t = 1.7, np.array([0.0, 0.3, 0.85, 1.4])
    spring = nnqm.Hamiltonian([0, 0, 0.5 * 1.3 * 0.8**2], mass=1.3, hbar=0.7)
    for net in (None, network):
        gaussian = nnqm.Theory(
            nnqm.ThermalOrnsteinUhlenbeck(0.8, math.sqrt(0.7 / 1.3), beta=beta), net, hbar=0.7, mass=1.3
        )
        traced = nnqm.Theory(nnqm.ThermalProcess(spring, beta), net)
        a, b = thermal_measure(gaussian), thermal_measure(traced)
        np.testing.assert_allclose(a.connected(t), b.connected(t), rtol=1e-9)
        np.testing.assert_allclose(a.connected(t), a.connected(beta - t), rtol=1e-12)
        np.testing.assert_allclose(a.moments, b.moments, rtol=1e-9, atol=1e-12)
        assert a.mean == pytest.approx(b.mean, abs=1e-11)
        assert a.kurtosis == pytest.approx(b.kurtosis, abs=1e-9)
        assert a.commutator == pytest.approx(float(a.commutator_at(1e-5)), rel=1e-3)
        start, one, two = a.two_point([0.0, 0.2, 0.4])
        for measure in (a, b):
            # -m^2 <(x_2 - x_1)(x_1 - x_0)>/dt^2
            assert float(measure.momentum_squared_at(0.2)) == pytest.approx(
                -(1.3**2) * (2 * one - two - start) / 0.04, rel=1e-7
            )
    # The coordinate itself: <p^2>/2m is half of the thermal energy.
    measure = thermal_measure(nnqm.harmonic_oscillator(0.8, mass=1.3, hbar=0.7), beta=beta)
    energy = 0.7 * 0.8 / 2 / math.tanh(0.8 * beta / 2)
    assert measure.momentum_squared == pytest.approx(1.3 * energy)
    assert measure.commutator == pytest.approx(1)
    with pytest.raises(ValueError, match="beta must be given for an open theory"):
        thermal_measure(nnqm.harmonic_oscillator())
    with pytest.raises(ValueError, match=r"the period of a closed one; got beta=1.0 for period 1.7"):
        thermal_measure(gaussian, beta=1.0)
    with pytest.raises(ValueError, match="use thermal_measure for closed paths"):
        kallen_lehmann(gaussian)


def test_low_temperature_is_the_ground_state():
    theory = nnqm.builtin_theory("deep-tanh")
    t = np.array([0.0, 0.4, 3.0])
    np.testing.assert_allclose(
        thermal_measure(theory, beta=60.0).two_point(t), kallen_lehmann(theory).two_point(t), rtol=1e-12
    )
    with pytest.raises(ValueError, match="beta must be positive"):
        thermal_measure(theory, beta=-1.0).two_point(t)


@pytest.mark.slow
def test_thermal_functions_lack_nothing_at_equal_times():
    network, beta = nnqm.Network([[[1.0]], [[1.0]]], [[0.2], [0.0]], "relu"), 2.5
    theory = on_ou(network, 0.8, 1.3)
    # A seed of larger noise has the thermal width in its ground state.
    wide = on_ou(network, 0.8, 1.3 / math.sqrt(math.tanh(0.4 * beta)))
    variance = thermal_measure(theory, beta=beta).connected(0.0)
    assert variance == pytest.approx(kallen_lehmann(wide).moments[0], rel=1e-12)
    with pytest.raises(ValueError, match=r"reaches a relative error of .* only, not tolerance=1e-09"):
        thermal_measure(theory, beta=beta, tolerance=1e-9).two_point(1e-5)


# ---- Markov chains, Hamiltonians, and inputs of different kinds


def chain(n, dt=0.3, *, alternating=False, rng=1, grids=1):
    """A random reversible chain; without its diagonal it has negative eigenvalues."""
    generator = np.random.default_rng(rng)
    flow = generator.random((grids, n, n))
    flow += flow.transpose(0, 2, 1)
    if alternating:
        flow *= 1 - 0.95 * np.eye(n)
    return nnqm.MarkovChain(generator.normal(size=(grids, n)), flow / flow.sum(2, keepdims=True), dt)


def joint_density(sources, power):
    """Values (S, D) and joint probabilities (S, S) of chains at two times, by brute force."""
    values = np.stack([g.ravel() for g in np.meshgrid(*(s.values[0] for s in sources), indexing="ij")], axis=-1)
    law, transitions = np.ones(1), np.ones((1, 1))
    for s in sources:
        law, transitions = np.kron(law, s.law[0]), np.kron(transitions, s.transitions[0])
    return values, law[:, None] * np.linalg.matrix_power(transitions, power)


def test_chains_with_negative_eigenvalues_agree_with_brute_force():
    sources = [chain(4), chain(3, alternating=True, rng=2)]
    network = nnqm.Network.random((2, 4, 1), "relu", rng=1, bias_std=1.0)
    theory = nnqm.Theory(sources, network, hbar=0.7, mass=1.3)
    measure = kallen_lehmann(theory)
    assert measure.signs.min() == -1
    for k in range(5):
        values, joint = joint_density(sources, k)
        f = network(values)[:, 0]
        assert f @ joint @ f == pytest.approx(float(measure.two_point(0.3 * k)), rel=1e-12)
        step = np.abs(f[:, None] - f)
        assert (joint * step**2).sum() == pytest.approx(float(measure.quadratic_variation(0.3 * k)), abs=1e-14)
        if k:
            spread = (joint * step**4).sum() / 3 / (joint * step**2).sum() ** 2
            assert spread == pytest.approx(float(measure.commutator_spread_at(0.3 * k)), rel=1e-11)
    _, one = joint_density(sources, 1)
    _, two = joint_density(sources, 2)
    square = -(1.3**2) * np.einsum("ij,jk,ijk->", one, one / one.sum(1, keepdims=True), _increments(f)) / 0.09
    assert square == pytest.approx(float(measure.momentum_squared_at(0.3)), rel=1e-11)
    four = np.sum((f @ one) * f * f * (two / two.sum(1, keepdims=True) @ f))
    assert n_point(theory, [0.0, 0.3, 0.9, 0.3]) == pytest.approx(four, rel=1e-11)
    # There is no limit of small steps, and no value between them.
    assert math.isnan(measure.commutator)
    assert math.isnan(measure.momentum_squared)
    for call in (lambda: measure.connected(0.1), lambda: n_point(theory, [0.0, 0.1])):
        with pytest.raises(ValueError, match=r"multiples of the chain's dt=0.3; got 0.1"):
            call()


def _increments(f):
    first = f[None, :, None] - f[:, None, None]
    return first * (f[None, None, :] - f[None, :, None])


def test_a_chain_without_negative_eigenvalues_has_limits():
    # exp(-H dt) of a generator, so that its eigenvalues are positive.
    generator = np.array([[-1.0, 1.0], [1.0, -1.0]])
    steps = np.eye(2) + generator * (1 - math.exp(-2 * 0.1)) / 2
    measure = kallen_lehmann(nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], steps, 0.1), hbar=0.5, mass=3.0))
    np.testing.assert_allclose(measure.energies, [1.0])
    np.testing.assert_allclose(measure.weights, [1.0])
    assert measure.signs is None
    assert float(measure.connected(0.05)) == pytest.approx(math.exp(-0.1))
    assert measure.commutator == pytest.approx(2 * 3.0 / 0.25)
    assert measure.kurtosis == pytest.approx(-2)


def test_means_that_differ_between_grids_do_not_decay():
    source = chain(3, grids=4)
    measure = kallen_lehmann(nnqm.Theory(source))
    means = (source.law * source.values).sum(1)
    assert measure.mean == pytest.approx(means.mean())
    assert float(measure.connected(300.0)) == pytest.approx(means.var(), rel=1e-9)
    assert measure.moments[0] == pytest.approx(float(source.variance[0]))
    # Two sources of one path are on grids of one number.
    other = chain(2, grids=2, rng=5)
    network = nnqm.Network([[[1.0, 1.0]]], activation=["identity"])
    both = kallen_lehmann(nnqm.Theory([source, other], network))
    pairs = means + np.tile((other.law * other.values).sum(1), 2)
    assert float(both.connected(300.0)) == pytest.approx(pairs.var(), rel=1e-9)
    with pytest.raises(ValueError, match="chains on one grid"):
        level_energies(nnqm.Theory(source), 2)


def test_a_chain_of_two_classes_has_a_plateau():
    blocks = np.kron(np.eye(2), [[0.8, 0.2], [0.2, 0.8]])
    measure = kallen_lehmann(nnqm.Theory(nnqm.MarkovChain([0, 1, 4, 5], blocks, 1.0, law=[0.3, 0.3, 0.2, 0.2])))
    assert float(measure.connected(1000.0)) == pytest.approx(16 * 0.6 * 0.4)


WELLS = nnqm.builtin_theory("double-well").sources[0]
QUARTIC = nnqm.builtin_theory("anharmonic").sources[0]


@pytest.mark.slow
def test_inputs_of_three_kinds_have_the_two_point_function_of_their_product():
    sources = [nnqm.OrnsteinUhlenbeck(0.8, 1.1), QUARTIC, chain(5, alternating=True)]
    # cos(u + v + w) factorises into characteristic functions.
    network = nnqm.Network([[[0.9, 0.7, -0.6]], [[1.5]]], [[0.3], [0.0]], "cos")
    measure = kallen_lehmann(nnqm.Theory(sources, network))
    assert measure.error < 1e-9
    h = QUARTIC.hamiltonian
    values, law = sources[2].values[0], sources[2].law[0]
    for k in (0, 1, 4):
        t = 0.3 * k
        answer = 0.0
        for sign in (1, -1):  # cos a cos b = (cos(a + b) + cos(a - b))/2
            variance = 0.9**2 * 1.1**2 / 1.6 * (2 + 2 * sign * math.exp(-0.8 * t))
            joint = law[:, None] * np.linalg.matrix_power(sources[2].transitions[0], k)
            phases = np.exp(-0.6j * (values[:, None] + sign * values))
            quartic = sum(
                a * h.n_point([(0, f), (t, g)])
                for a, f, g in (
                    (1, lambda x: np.cos(0.7 * x), lambda x: np.cos(0.7 * x)),
                    (-sign, lambda x: np.sin(0.7 * x), lambda x: np.sin(0.7 * x)),
                )
            )
            constant = np.exp(1j * (0.3 + sign * 0.3))
            answer += 1.5**2 / 2 * (constant * math.exp(-variance / 2) * (joint * phases).sum() * quartic).real
        assert float(measure.two_point(t)) == pytest.approx(answer, rel=1e-9)


@pytest.mark.slow
def test_an_oscillator_as_hamiltonian_is_one_as_process():
    network = nnqm.Network.random((2, 6, 1), rng=3, bias_std=0.5)
    source = nnqm.OrnsteinUhlenbeck([1.0, 2.0])
    spring = nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 2.0]))
    pure = nnqm.Theory(source, network)
    mixed = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), spring], network)
    a, b = kallen_lehmann(pure), kallen_lehmann(mixed)
    t = np.array([0.0, 0.1, 1.0, 3.0])
    np.testing.assert_allclose(a.two_point(t), b.two_point(t), rtol=1e-9)
    np.testing.assert_allclose(a.moments, b.moments, rtol=1e-8)
    np.testing.assert_allclose(a.commutator_spread_at(0.2), b.commutator_spread_at(0.2), rtol=1e-7)
    assert a.commutator == pytest.approx(b.commutator, rel=1e-8)
    assert a.momentum_squared == pytest.approx(b.momentum_squared, rel=1e-7)
    times = [[0.0, 0.3, 0.5, 2.0]]
    np.testing.assert_allclose(n_point(pure, times), n_point(mixed, times), rtol=1e-8)
    np.testing.assert_allclose(
        thermal_measure(pure, beta=1.5).two_point(t), thermal_measure(mixed, beta=1.5).two_point(t), rtol=1e-7
    )
    for channel in ("y1", "y2"):
        np.testing.assert_allclose(
            kallen_lehmann(pure, channel).connected(t), kallen_lehmann(mixed, channel).connected(t), rtol=1e-10
        )
    for theory in (pure, mixed):
        energies, multiplicities = level_energies(theory, 4)
        np.testing.assert_allclose(energies, [1, 2, 3, 4], rtol=1e-12)
        assert multiplicities == (1, 2, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "slope"), [("relu", 1.0), ("tanh", 30.0), ("tanh", 1.0)])
def test_networks_on_a_hamiltonian_agree_with_direct_integration(activation, slope):
    from scipy import integrate

    h = QUARTIC.hamiltonian
    network = nnqm.Network([[[slope], [-0.5 * slope]], [[1.0, 0.4]]], [[-0.3 * slope, 0.2], [0.0]], activation)
    measure = kallen_lehmann(nnqm.Theory(QUARTIC, network))

    def average(function, state=0):
        edges = [-5.0, 0.0, 0.28, 0.3, 0.32, 0.4 / slope, 0.5, 5.0]
        parts = [
            integrate.quad(
                lambda y: function(y) * float(h.wave_function(0, y) * h.wave_function(state, y)),
                a,
                b,
                epsabs=1e-12,
                limit=200,
            )[0]
            for a, b in itertools.pairwise(sorted(edges))
        ]
        return sum(parts)

    def f(y):
        return float(network([[y]])[0, 0])

    def slope_at(y):
        return (f(y + 1e-6) - f(y - 1e-6)) / 2e-6

    mean = average(f)
    assert measure.mean == pytest.approx(mean, abs=1e-10)
    for k in (2, 3, 4):
        assert measure.moments[k - 2] == pytest.approx(average(lambda y, k=k: (f(y) - mean) ** k), rel=1e-8)
    assert measure.commutator == pytest.approx(average(lambda y: slope_at(y) ** 2), rel=1e-6)
    assert measure.commutator_spread * measure.commutator**2 == pytest.approx(
        average(lambda y: slope_at(y) ** 4), rel=1e-6
    )
    assert measure.weights.sum() == pytest.approx(measure.moments[0], rel=1e-12)
    assert measure.error < 1e-5
    assert (measure.momentum_squared == math.inf) == (activation != "tanh")
    if activation == "tanh":
        # m^2 E (L f)^2, L f = f''/2 + (ln psi_0)' f'
        w, b, v = network.weights[0][:, 0], network.biases[0], network.weights[1][0]

        def generator(y):
            u = np.tanh(w * y + b)
            first, second = v * w @ (1 - u**2), -2 * v * w**2 @ (u * (1 - u**2))
            low, high = h.wave_function(0, np.array([y - 1e-5, y + 1e-5]))
            return second / 2 + (high - low) / (1e-5 * (high + low)) * first if low > 1e-8 else 0.0

        assert measure.momentum_squared == pytest.approx(average(lambda y: generator(y) ** 2), rel=1e-5)
    # Small lags, on the way to the limit.
    assert float(measure.commutator_at(1e-5 / slope**2)) == pytest.approx(measure.commutator, rel=0.02)
    # The first excited state, integrated over.
    assert measure.weights[0] == pytest.approx(average(f, 1) ** 2, rel=1e-9)


def test_thermal_networks_on_a_hamiltonian_are_traces():
    network = nnqm.Network.random((1, 4, 1), rng=2, bias_std=0.5)
    theory = nnqm.Theory(WELLS, network)
    t = [0.0, 0.4, 1.1]
    exact = WELLS.hamiltonian.two_point(t, lambda x: network(x[:, None])[:, 0], beta=1.3)
    np.testing.assert_allclose(thermal_measure(theory, beta=1.3).two_point(t), exact, rtol=1e-9)
    sources = [chain(4), chain(3, alternating=True)]
    pair = nnqm.Theory(sources, nnqm.Network.random((2, 4, 1), "relu", rng=1))
    values, _ = joint_density(sources, 1)
    f = np.diag(pair.network(values)[:, 0])
    step = np.kron(sources[0].transitions[0], sources[1].transitions[0])
    powers = [np.linalg.matrix_power(step, k) for k in range(6)]
    brute = [np.trace(f @ powers[k] @ f @ powers[5 - k]) / np.trace(powers[5]) for k in (0, 1, 3)]
    np.testing.assert_allclose(thermal_measure(pair, beta=1.5).two_point([0.0, 0.3, 0.9]), brute, rtol=1e-10)
    mean = np.trace(f @ powers[5]) / np.trace(powers[5])
    assert thermal_measure(pair, beta=1.5).connected(0.3) == pytest.approx(brute[1] - mean**2)
    with pytest.raises(ValueError, match=r"multiples of the chain's dt=0.3; got 1"):
        thermal_measure(pair, beta=1.0).two_point(0.3)


@pytest.mark.slow
def test_levels_of_different_inputs_add():
    gaps = WELLS.hamiltonian.gaps(3)
    energies, multiplicities = level_energies(nnqm.Theory([WELLS, nnqm.OrnsteinUhlenbeck(1.0), WELLS]), 5)
    np.testing.assert_allclose(energies, [gaps[0], 2 * gaps[0], 1, 1 + gaps[0], 1 + 2 * gaps[0]], rtol=1e-9)
    assert multiplicities == (2, 1, 1, 2, 1)
    # Products of two alternating states do not alternate; alternating ones are no levels.
    flip = nnqm.MarkovChain([-1.0, 1.0], [[0.1, 0.9], [0.9, 0.1]], dt=1.0)
    energies, multiplicities = level_energies(nnqm.Theory([flip, flip]), 4)
    np.testing.assert_allclose(energies, [-2 * math.log(0.8)])
    assert multiplicities == (1,)
    energies, _ = level_energies(nnqm.Theory([flip, nnqm.OrnsteinUhlenbeck(1.0)]), 1)
    np.testing.assert_allclose(energies, [1.0])
    # Above the threshold of a Hamiltonian there are no levels; here two are bound, 1.5 apart, and it is 2 above E_0.
    well = nnqm.GroundStateProcess(nnqm.Hamiltonian(lambda x: -3 / np.cosh(x) ** 2))
    assert well.hamiltonian.n_bound == 2
    energies, _ = level_energies(nnqm.Theory(well), 4)
    np.testing.assert_allclose(energies, [1.5], rtol=1e-9)
    energies, multiplicities = level_energies(nnqm.Theory([well, nnqm.OrnsteinUhlenbeck(0.75)]), 9)
    np.testing.assert_allclose(energies, [0.75, 1.5], rtol=1e-9)
    assert multiplicities == (1, 2)


@pytest.mark.slow
def test_what_sums_over_states_cannot_do_is_refused():
    kinked = nnqm.Network.random((2, 5, 1), "relu", rng=1, bias_std=0.5)
    with pytest.raises(
        ValueError, match=r"the sum over states reaches a relative error of .* only, not tolerance=1e-05"
    ):
        kallen_lehmann(nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), WELLS], kinked))
    with pytest.raises(ValueError, match="thermal moments reach a relative error"):
        thermal_measure(nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), WELLS], kinked), beta=1.0).two_point(0.5)


# ---- one layer of kinks on several inputs


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3])
def test_kinks_along_one_direction_are_those_of_one_input(dimension):
    # Of equal inputs a neuron sees but the length of its weights; of others with weight zero it sees nothing.
    w, b, v = 1.3, 0.4, 2.0
    one = kallen_lehmann(one_neuron("relu", [w], b, v, 0.7, 1.1))
    turned = np.array([0.6, -0.8]) if dimension == 2 else np.array([0.48, 0.6, -0.64])
    equal = one_neuron("relu", list(w * turned), b, v, [0.7] * dimension, [1.1] * dimension)
    first = one_neuron("relu", [w] + [0.0] * (dimension - 1), b, v, [0.7] + [0.5] * (dimension - 1), 1.1)
    t = np.array([0.0, 0.001, 0.03, 0.5, 3.0])
    for theory in (equal, first):
        measure = kallen_lehmann(theory)
        np.testing.assert_allclose(measure.connected(t), one.connected(t), atol=2e-7 * one.moments[0])
        np.testing.assert_allclose(measure.connected(t[2:]), one.connected(t[2:]), rtol=1e-10)
        np.testing.assert_allclose(measure.moments, one.moments, rtol=1e-7)
        assert measure.mean == pytest.approx(one.mean, rel=1e-13)
        assert measure.commutator == pytest.approx(one.commutator, rel=1e-12)
        assert measure.commutator_spread == pytest.approx(one.commutator_spread, rel=1e-3)
        assert measure.momentum_squared == math.inf


def test_orthants_have_the_known_probabilities():
    rho = np.array([[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(orthants(np.zeros(2), rho), [[1 / 2, 1 / 3], [1 / 3, 1 / 2]], rtol=1e-14)
    u = np.array([0.3, -1.1])
    for r in (-0.9999, -0.4, 0.0, 0.95, 1.0):
        mean, covariance = np.zeros(2), [[1.0, r], [r, 1.0]]
        exact = stats.multivariate_normal(mean, covariance, allow_singular=True).cdf(u)
        assert orthants(u, np.array([[1.0, r], [r, 1.0]]))[0, 1] == pytest.approx(exact, abs=1e-7)


@pytest.mark.slow
def test_relu_layers_of_two_inputs_agree_with_a_fine_grid():
    network = nnqm.Network.random((2, 7, 2), "relu", rng=8, bias_std=0.7)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.7], [0.9, 1.2]), network, hbar=0.7, mass=1.4)
    spread = np.sqrt(theory.sources[0].variance)
    z = np.linspace(-8, 8, 1601)
    weights = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * 0.01
    grid = np.stack(np.meshgrid(*(s * z for s in spread), indexing="ij"), axis=-1)
    for output, name in enumerate(theory.outputs):
        measure = kallen_lehmann(theory, name)
        f = network(grid)[..., output]
        mean = weights @ f @ weights
        assert measure.mean == pytest.approx(mean, abs=1e-5)
        for k in (2, 3, 4):
            exact = weights @ (f - mean) ** k @ weights
            assert measure.moments[k - 2] == pytest.approx(exact, rel=1e-4, abs=1e-5)
        slopes = np.gradient(f, 0.01, axis=(0, 1))
        bracket = sum((s / u * d) ** 2 for s, u, d in zip(theory.sigma, spread, slopes, strict=True))
        assert measure.commutator == pytest.approx(1.4 / 0.7 * (weights @ bracket @ weights), rel=5e-3)
        assert_consistent(quasi_monte_carlo(theory, channel=name, n_points=2**12).commutator, measure.commutator)
        squared = weights @ bracket**2 @ weights / (weights @ bracket @ weights) ** 2
        assert measure.commutator_spread == pytest.approx(squared, rel=0.02)
        assert measure.weights.sum() == pytest.approx(measure.moments[0], rel=1e-12)
        # The lowest states by projection.
        for axis, rate in enumerate(theory.omega):
            state = weights * z
            c = state @ f @ weights if axis == 0 else weights @ f @ state
            found = measure.weights[np.argmin(np.abs(measure.energies - 0.7 * rate))]
            assert found == pytest.approx(c**2, rel=1e-4, abs=1e-8)
        # (2m/hbar^2) sum eps c^2 converges as one over the root of the highest degree.
        summed = 2 * 1.4 / 0.7**2 * measure.energies @ measure.weights
        assert summed == pytest.approx(measure.commutator, rel=0.03)


@pytest.mark.slow
def test_relu_layers_of_three_inputs_agree_with_quasi_monte_carlo():
    network = nnqm.Network.random((3, 4, 1), "relu", rng=3, bias_std=0.5)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.7, 0.6], [1.0, 0.8, 1.2]), network)
    measure = kallen_lehmann(theory)
    t = [0.0, 0.01, 0.1, 1.0]
    found = quasi_monte_carlo(theory, t)
    assert_consistent(found.mean, measure.mean)
    assert_consistent(found.commutator, measure.commutator)
    for i in range(3):
        assert_consistent(found.moments[i], measure.moments[i])
    for i, lag in enumerate(t):
        assert_consistent(found.connected[i], float(measure.connected(lag)))
    assert_inconsistent(found.connected[2], 1.002 * float(measure.connected(0.1)))
    constant = nnqm.Network([[[0.0, 0.0], [1.0, 0.0]], [[2.0, 0.0]]], [[0.5, 0.0], [1.0]], "relu")
    still = kallen_lehmann(on_ou(constant, [1.0, 1.0]))
    assert (still.mean, still.commutator, still.kurtosis) == (2.0, 0.0, 0.0)


# ---- random weights


def sine_draws(dimension, n):
    rng = np.random.default_rng(dimension)
    w, v, b = rng.normal(size=(n, dimension)) * 0.8, rng.normal(size=n), rng.uniform(-3, 3, n)
    networks = [nnqm.Network([[w[i]], [[v[i]]]], [[b[i]], [0.0]], "sin") for i in range(n)]
    return w, v, b, networks


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_averages_over_weights_are_those_of_the_closed_forms(dimension):
    omega, sigma = np.array([1.0, 1.7, 0.6])[:dimension], np.array([0.8, 1.2, 0.7])[:dimension]
    w, v, b, networks = sine_draws(dimension, 200 if dimension == 1 else 24)
    t = np.array([0.0, 0.3, 2.0])
    found = average_over_weights(nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), hbar=0.5), iter(networks), t)
    square = w**2 * sigma**2 / (2 * omega)
    total = square.sum(axis=1)
    overlap = square @ np.exp(-np.outer(omega, t))
    g = (
        v[:, None] ** 2
        / 2
        * (np.exp(overlap - total[:, None]) - np.exp(-overlap - total[:, None]) * np.cos(2 * b)[:, None])
    )
    c0 = v * np.exp(-total / 2) * np.sin(b)
    np.testing.assert_allclose(found.two_point.value, g.mean(0), rtol=1e-8)
    np.testing.assert_allclose(found.connected.value, (g - c0[:, None] ** 2).mean(0), rtol=1e-7)
    assert found.plateau.value == pytest.approx((c0**2).mean(), rel=1e-9)
    assert found.mean.value == pytest.approx(c0.mean(), rel=1e-9)
    assert found.moments.value[0] == pytest.approx(g[:, 0].mean() - c0.mean() ** 2, rel=1e-8)
    # The lowest level: the slowest input, once.
    slow = int(np.argmin(omega))
    first = v * np.exp(-total / 2) * np.sqrt(square[:, slow]) * np.cos(b)
    assert found.weights.value[0] == pytest.approx((first**2).mean(), rel=1e-8)
    assert found.energies[0] == pytest.approx(0.5 * omega[slow])
    # Errors are those of independent draws.
    blocks = g[:, 1].reshape(found.mean.n_blocks, -1).mean(1) if len(v) % found.mean.n_blocks == 0 else g[:, 1]
    assert found.two_point.error[1] == pytest.approx(blocks.std(ddof=1) / np.sqrt(len(blocks)), rel=0.15)
    assert not found.connected.systematic.any()


def test_kinks_of_drawn_networks_are_in_the_systematic_error():
    rng = np.random.default_rng(4)
    w, b = rng.uniform(0.5, 1.5, 40) * rng.choice([-1, 1], 40), rng.normal(size=40)
    networks = [nnqm.Network([[[w[i]]], [[1.0]]], [[b[i]], [0.0]], "relu") for i in range(40)]
    found = average_over_weights(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0)), networks, [0.0, 0.5])
    c = np.array([relu_coefficients(a, shift, 1.0, 400) for a, shift in zip(w / math.sqrt(2), b, strict=True)])
    exact = (c[:, 1:] ** 2 @ np.exp(-np.outer(np.arange(1, 401), [0.0, 0.5]))).mean(0)
    stated = np.maximum(found.connected.systematic, 0.01 * found.connected.error)
    assert_error_is_honest(found.connected.value, exact, stated)
    assert found.plateau.value == pytest.approx((c[:, 0] ** 2).mean(), rel=1e-3)


def test_weights_are_averaged_over_other_inputs_too():
    networks = [nnqm.Network.random((2, 4, 1), rng=i, bias_std=0.5) for i in range(4)]
    sources = [WELLS, chain(4, alternating=True)]
    t = [0.0, 0.3, 1.2]
    found = average_over_weights(nnqm.Theory(sources), networks, t, n_levels=2)
    measures = [kallen_lehmann(nnqm.Theory(sources, network)) for network in networks]
    np.testing.assert_allclose(found.connected.value, np.mean([m.connected(t) for m in measures], axis=0), rtol=1e-8)
    assert found.plateau.value == pytest.approx(np.mean([m.mean**2 for m in measures]), rel=1e-8)
    assert found.weights.value[0] == pytest.approx(np.mean([m.weights[0] for m in measures]), rel=1e-8)


def test_bad_draws_are_refused():
    theory, network = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0)), nnqm.Network([[[1.0]]])
    wide = nnqm.Network([[[1.0, 1.0]]])
    for networks, error, message in (
        ([network], ValueError, "networks must have at least 2 entries; got 1"),
        ([network, 3], TypeError, r"networks\[1\] must be a Network; got 3"),
        ([network, wide], ValueError, r"networks\[1\] must take 1 inputs to 1 outputs"),
    ):
        with pytest.raises(error, match=message):
            average_over_weights(theory, networks)
    loose = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 4, 1)))
    for call in (
        kallen_lehmann,
        lambda x: n_point(x, [0.0]),
        lambda x: thermal_measure(x, beta=1.0),
        quasi_monte_carlo,
    ):
        with pytest.raises(ValueError, match=r"must have fixed weights; got RandomNetwork.* average_over_weights"):
            call(loose)
    with pytest.raises(ValueError, match="channel must be at most 0; got 1"):
        average_over_weights(theory, [network] * 2, channel=1)
    with pytest.raises(ValueError, match="times must be one-dimensional"):
        average_over_weights(theory, [network] * 2, [[1.0]])


# ---- many inputs


@pytest.mark.slow
def test_quasi_monte_carlo_agrees_with_the_exact_measure():
    omega, sigma = [1.0, 1.7, 0.6], [0.8, 1.2, 0.7]
    theory = sine_theory([0.9, -0.7, 0.5], 0.3, 1.5, omega, sigma)
    measure = kallen_lehmann(theory)
    found = quasi_monte_carlo(theory, [0.0, 0.3, 1.0, 4.0], n_points=2**12)
    assert_consistent(found.mean, measure.mean)
    assert_consistent(found.commutator, measure.commutator)
    for i in range(3):
        assert_consistent(found.moments[i], measure.moments[i])
    for i, t in enumerate(found.times):
        assert_consistent(found.two_point[i], measure.two_point(t))
        assert_consistent(found.connected[i], measure.connected(t))
    assert_inconsistent(found.commutator, 1.01 * measure.commutator)
    assert_inconsistent(found.connected[1], 1.01 * float(measure.connected(0.3)))
    # Plain Monte Carlo would be at about 1/sqrt(points).
    assert found.n_points == 2**16
    assert found.error < 0.2 / math.sqrt(found.n_points)


def test_six_inputs_have_the_closed_form_within_the_error():
    omega, sigma = np.linspace(0.6, 1.6, 6), np.linspace(1.2, 0.8, 6)
    w = np.array([0.5, -0.3, 0.4, 0.2, -0.6, 0.1])
    theory = sine_theory(list(w), 0.3, 1.5, omega, sigma)
    square = w**2 * sigma**2 / (2 * omega)
    found = quasi_monte_carlo(theory, [0.5], n_points=2**11)
    overlap, total = np.exp(-0.5 * omega) @ square, square.sum()
    g = 1.5**2 / 2 * (math.exp(overlap - total) - math.exp(-overlap - total) * math.cos(0.6))
    assert_consistent(found.two_point[0], g)
    slope = 1.5**2 / 2 * (w**2 @ sigma**2) * (1 + math.exp(-2 * total) * math.cos(0.6))
    assert_consistent(found.commutator, slope)
    # Equal calls give equal bits, other scramblings other ones.
    again = quasi_monte_carlo(theory, [0.5], n_points=2**11)
    for name in ("two_point", "connected", "mean", "moments", "commutator"):
        np.testing.assert_array_equal(getattr(found, name).replicas, getattr(again, name).replicas)
    assert found.error == again.error
    assert (
        quasi_monte_carlo(theory, n_points=2**8, rng=2).mean.value
        != quasi_monte_carlo(theory, n_points=2**8).mean.value
    )
    with pytest.raises(ValueError, match="power of two; got 1000; use 1024"):
        quasi_monte_carlo(theory, n_points=1000)


# ---- what is refused


def test_what_the_quadrature_cannot_do_is_refused():
    kinked = on_ou(nnqm.Network.random((2, 3, 3, 1), "relu", rng=1, bias_std=0.5), [1.0, 1.0])
    with pytest.raises(ValueError, match=r"relative error of .* only"):
        kallen_lehmann(kinked)
    wide = on_ou(nnqm.Network.random((4, 2, 1), rng=1), [1.0] * 4)
    for call in (kallen_lehmann, lambda t: thermal_measure(t, beta=1.0).two_point(0.5), lambda t: n_point(t, [0.0])):
        with pytest.raises(ValueError, match=r"at most 3 inputs; got 4; use quasi_monte_carlo"):
            call(wide)
    with pytest.raises(ValueError, match="channel 'z' is unknown"):
        kallen_lehmann(kinked, "z")
    with pytest.raises(ValueError, match="tolerance must be positive"):
        kallen_lehmann(kinked, tolerance=0.0)
