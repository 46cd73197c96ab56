"""The exact spectral measure against closed forms, high-precision quadrature and sum rules."""

import math

import mpmath
import numpy as np
import pytest

import nnqm
from nnqm.exact import level_energies


def sine_theory(weights, bias, value, omega, sigma):
    network = nnqm.Network([[weights], [[value]]], [[bias], [0.0]], "sin")
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), network)


def test_one_sine_neuron_has_the_closed_form_coefficients():
    w, b, v, omega, sigma = 1.3, 0.4, 2.0, 0.7, 1.1
    a = w * sigma / math.sqrt(2 * omega)
    measure = nnqm.kallen_lehmann(sine_theory([w], b, v, omega, sigma))
    n = np.arange(1, 15)
    factorial = np.array([math.factorial(k) for k in n], dtype=float)
    c = v * math.exp(-(a**2) / 2) * a**n / np.sqrt(factorial) * np.sin(b + n * math.pi / 2)
    np.testing.assert_allclose(measure.energies[:14], n * omega, rtol=1e-14)
    np.testing.assert_allclose(measure.weights[:14], c**2, atol=1e-14)
    assert measure.mean == pytest.approx(v * math.exp(-(a**2) / 2) * math.sin(b), rel=1e-13)
    # E (f')^2 of a sine: (1 + e^{-2 a^2} cos 2b) / 2
    slope = v**2 * w**2 * (1 + math.exp(-2 * a**2) * math.cos(2 * b)) / 2
    assert measure.commutator == pytest.approx(sigma**2 * slope, rel=1e-10)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_sine_of_several_inputs_has_the_closed_form_two_point_function(dimension):
    omega, sigma = np.array([1.0, 1.7, 0.6])[:dimension], np.array([0.8, 1.2, 0.7])[:dimension]
    w, b, v = np.array([0.9, -0.7, 0.5])[:dimension], 0.3, 1.5
    measure = nnqm.kallen_lehmann(sine_theory(list(w), b, v, omega, sigma))
    square = w**2 * sigma**2 / (2 * omega)
    t = np.array([0.0, 0.3, 1.0, 4.0])
    # <sin(u + b) sin(u' + b)> of jointly Gaussian u, u'
    total, overlap = square.sum(), np.exp(-np.outer(t, omega)) @ square
    g = v**2 / 2 * (np.exp(overlap - total) - np.exp(-overlap - total) * math.cos(2 * b))
    np.testing.assert_allclose(measure.two_point(t), g, atol=1e-10)
    assert measure.commutator == pytest.approx(
        (w**2 * sigma**2).sum() * v**2 / 2 * (1 + math.exp(-2 * total) * math.cos(2 * b)), rel=1e-9
    )


def test_deep_tanh_agrees_with_high_precision_quadrature():
    theory = nnqm.builtin_theory("deep-tanh")
    network = theory.network
    assert network is not None
    layers = [
        (mpmath.matrix(w.tolist()), mpmath.matrix(b.tolist()))
        for w, b in zip(network.weights, network.biases, strict=True)
    ]

    def f(z):
        h = mpmath.matrix([z * mpmath.sqrt(0.5)])
        for i, (w, b) in enumerate(layers):
            h = w * h + b
            if i + 1 < len(layers):
                h = h.apply(mpmath.tanh)
        return h[0]

    with mpmath.workdps(20):

        def mean(g):
            return mpmath.quad(lambda z: g(z) * mpmath.npdf(z), [-9, -3, 0, 3, 9], maxdegree=7)

        first = mean(f)
        second = mean(lambda z: (f(z) - first) ** 2)
        fourth = mean(lambda z: (f(z) - first) ** 4)
        c = [mean(lambda z, n=n: f(z) * mpmath.hermite(n, z / mpmath.sqrt(2)) / mpmath.sqrt(2) ** n) for n in (1, 2, 5)]
    measure = nnqm.kallen_lehmann(theory)
    assert measure.mean == pytest.approx(float(first), rel=1e-12)
    assert measure.moments[0] == pytest.approx(float(second), rel=1e-12)
    assert measure.moments[2] == pytest.approx(float(fourth), rel=1e-12)
    weights = [float(x) ** 2 / math.factorial(n) for x, n in zip(c, (1, 2, 5), strict=True)]
    np.testing.assert_allclose(measure.weights[[0, 1, 4]], weights, rtol=1e-10)


@pytest.mark.parametrize(
    ("widths", "tolerance"), [((1, 6, 1), 1e-7), ((2, 5, 1), 1e-3), ((3, 4, 1), 1e-2), ((1, 5, 4, 2), 1e-6)]
)
def test_sum_rules(widths, tolerance):
    rng = np.random.default_rng(sum(widths))
    omega, sigma = rng.uniform(0.5, 2, widths[0]), rng.uniform(0.5, 1.5, widths[0])
    network = nnqm.Network.random(widths, "gelu", rng=rng, weight_std=0.8, bias_std=0.3)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), network, hbar=0.7, mass=1.9)
    measure = nnqm.kallen_lehmann(theory, theory.outputs[-1])
    assert measure.weights.min() >= 0
    assert measure.weights.sum() == pytest.approx(measure.moments[0], rel=1e-12)
    summed = 2 * 1.9 / 0.7**2 * measure.energies @ measure.weights
    assert summed == pytest.approx(measure.commutator, rel=tolerance)
    squared = (1.9 / 0.7) ** 2 * measure.energies**2 @ measure.weights
    assert squared == pytest.approx(measure.momentum_squared, rel=30 * tolerance)
    # Robertson's inequality
    assert math.sqrt(measure.moments[0] * measure.momentum_squared) >= 0.35 * measure.commutator


def test_the_oscillator_saturates_the_uncertainty_relation():
    measure = nnqm.kallen_lehmann(nnqm.harmonic_oscillator(2.0, mass=3.0, hbar=0.5))
    assert measure.energies == pytest.approx([1.0])
    assert measure.commutator == pytest.approx(1)
    assert math.sqrt(measure.moments[0] * measure.momentum_squared) == pytest.approx(0.25)
    assert measure.quadratic_variation(1e-9) == pytest.approx(0.5 / 3 * 1e-9, rel=1e-8)


def test_energies_are_the_sums_of_frequencies():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.5]), hbar=2.0)
    sums = sorted(a + 1.5 * b for a in range(12) for b in range(12))[1:]
    values, counts = level_energies(theory, 7)
    np.testing.assert_allclose(values, 2 * np.unique(sums)[:7])
    assert counts == tuple(sums.count(v) for v in np.unique(sums)[:7])


def test_what_the_quadrature_cannot_do_is_refused():
    kinked = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="relu"))
    with pytest.raises(ValueError, match=r"relative error of .* only"):
        nnqm.kallen_lehmann(kinked)
    wide = nnqm.Network.random((4, 2, 1), rng=1)
    with pytest.raises(ValueError, match="at most 3 inputs; got 4"):
        nnqm.kallen_lehmann(nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0] * 4), wide))
    with pytest.raises(ValueError, match="channel 'z' is unknown"):
        nnqm.kallen_lehmann(kinked, "z")
