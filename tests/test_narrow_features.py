"""Features narrower than the nodes of a quadrature are seen or refused, and never answered without them."""

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import multivariate_normal

import nnqm
from nnqm.errors import InputError
from nnqm.exact.n_points import n_point
from nnqm.exact.quasi_monte_carlo import quasi_monte_carlo
from nnqm.exact.random_weights import average_over_weights
from nnqm.exact.spectral_measures import kallen_lehmann
from nnqm.exact.thermal_measures import thermal_measure

# Standard deviation 1
RATE = 0.5


def ridge(direction, steep, left, right, activation="erf", height=0.5):
    """A bump of a given height between two hyperplanes of saturated neurons."""
    direction = np.asarray(direction) / np.linalg.norm(direction)
    network = nnqm.Network(
        [steep * np.stack([direction, direction]), [[height, -height]]],
        [[-steep * left, -steep * right], [0.0]],
        activation,
    )
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck([RATE] * direction.size), network)


def ridge_variance(left, right):
    """Variance of the indicator of a strip."""
    p = ndtr(right) - ndtr(left)
    return p * (1 - p)


DIRECTIONS = [[1.0, 0.0], [0.3, -0.8], [1.0, 1.0], [0.2, 0.5, -0.7], [0.0, 0.0, 1.0]]


@pytest.mark.slow
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("steep", "width"), [(300.0, 0.03), (3e3, 2e-3), (1e6, 1e-4)])
def test_strips_of_several_inputs_are_refused_and_pointed_to_quasi_monte_carlo(direction, steep, width):
    theory = ridge(direction, steep, 0.7, 0.7 + width)
    for call in (lambda: kallen_lehmann(theory, tolerance=0.05), lambda: thermal_measure(theory, beta=20.0)):
        with pytest.raises(InputError, match="relative error"):
            call()
    with pytest.raises(InputError, match="quasi_monte_carlo"):
        kallen_lehmann(theory)
    with pytest.raises(InputError, match="smooth networks"):
        n_point(theory, [0.0, 1.0], tolerance=1e-3)


@pytest.mark.parametrize("direction", [*DIRECTIONS, [0.3, 0.1, -0.2, 0.4, 0.5]])
@pytest.mark.parametrize(
    ("steep", "left", "width"),
    [(3e4, 0.7, 1e-3), (1e8, 0.7, 1e-3), (1e8, -0.2, 1e-6), (1e9, 2.5, 3e-8), (1e4, 4.0, 0.1)],
)
def test_the_error_of_quasi_monte_carlo_covers_strips_that_no_point_meets(direction, steep, left, width):
    found = quasi_monte_carlo(ridge(direction, steep, left, left + width), n_points=2**12)
    value, error = float(found.moments.value[0]), 6 * float(found.moments.error[0]) + float(found.moments.systematic[0])
    assert abs(value - ridge_variance(left, left + width)) <= error
    # No claim of an exact constant
    assert found.error > 0


@pytest.mark.slow
def test_smooth_networks_have_no_systematic_error():
    network = nnqm.Network.random((5, 8, 6, 1), "tanh", rng=2, weight_std=1.5, bias_std=0.5)
    found = quasi_monte_carlo(nnqm.Theory(nnqm.OrnsteinUhlenbeck([RATE] * 5), network), [0.5], n_points=2**10)
    for estimate in (found.mean, found.moments, found.connected, found.two_point, found.commutator):
        assert not estimate.systematic.any()
    for widths in ((2, 8, 1), (3, 6, 1)):
        network = nnqm.Network.random(widths, "tanh", rng=2, weight_std=0.7)
        theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([RATE] * widths[0]), network)
        assert kallen_lehmann(theory, tolerance=1e-3).error < 1e-3


@pytest.mark.parametrize("angle", [0.2, 1.0, 2.5])
def test_products_of_steps_have_bivariate_normal_probabilities(angle):
    # Both neurons of the first layer are on in a wedge.
    first = 1e5 * np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    network = nnqm.Network([first, [[60.0, 60.0]], [[0.5]]], [[0.0, -3e4], [-60.0], [0.5]], "tanh")
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([RATE] * 2), network)
    wedge = multivariate_normal.cdf([0.0, -0.3], cov=[[1, math.cos(angle)], [math.cos(angle), 1]])
    found = quasi_monte_carlo(theory)
    assert abs(float(found.mean.value) - wedge) < 5 * float(found.mean.error) + float(found.mean.systematic)
    with pytest.raises(InputError, match="quasi_monte_carlo"):
        kallen_lehmann(theory, tolerance=0.05)


def test_averages_over_weights_include_what_their_grid_steps_over():
    source = nnqm.Theory(nnqm.OrnsteinUhlenbeck([RATE] * 2))
    draws = [ridge([1.0, 0.3], 1e4, 0.7 + 0.01 * k, 0.71 + 0.01 * k).network for k in range(6)]
    found = average_over_weights(source, draws)
    exact = np.mean([ndtr(0.71 + 0.01 * k) - ndtr(0.7 + 0.01 * k) for k in range(6)])
    assert abs(float(found.mean.value) - exact) < float(found.mean.error) + float(found.mean.systematic)
    assert float(found.moments.systematic[0]) > 1e-3


@pytest.mark.slow
def test_features_that_vanish_at_the_zeros_of_their_neurons_are_seen():
    # erf(2 a z) - erf(a z) is 0 at z = 0 and outside of a strip of width 1/a.
    steep = 1e6
    network = nnqm.Network([[[2 * steep], [steep]], [[1.0, -1.0]]], [[-2 * steep * 0.4, -steep * 0.4], [0.0]], "erf")
    measure = kallen_lehmann(nnqm.Theory(nnqm.OrnsteinUhlenbeck(RATE), network), tolerance=1.0)
    u = np.linspace(-8, 8, 200_001)
    from scipy.special import erf

    square = np.sum((erf(2 * u) - erf(u)) ** 2) * (u[1] - u[0])
    assert measure.moments[0] == pytest.approx(square / steep * math.exp(-0.08) / math.sqrt(2 * math.pi), rel=1e-5)


def test_a_jump_of_a_given_function_is_not_stepped_over():
    theory = nnqm.harmonic_oscillator(RATE)

    def strip(values):
        return (np.abs(values[..., 0] - 0.31) < 0.004).astype(float)

    probability = ndtr(0.314) - ndtr(0.306)
    try:
        found = float(n_point(theory, [0.0], functions=[strip], tolerance=1e-3))
    except InputError:
        return
    assert found == pytest.approx(probability, rel=1e-3)


def test_given_functions_may_work_in_place_and_must_return_numbers():
    theory = nnqm.harmonic_oscillator()

    def squared(values):
        values *= values
        return values[..., 0]

    expected = n_point(theory, [0.0, 0.5], functions=[lambda v: v[..., 0] ** 2, lambda v: v[..., 0]])
    assert n_point(theory, [0.0, 0.5], functions=[squared, lambda v: v[..., 0]]) == expected
    with pytest.raises(InputError, match="functions must take channels"):
        n_point(theory, [0.0], functions=[lambda _: np.zeros(3)])


@pytest.mark.parametrize(
    "arguments", [{"omega": 1e60}, {"omega": 1e-60}, {"omega": 1.0, "sigma": 1e60}, {"omega": 1.0, "sigma": 1e-60}]
)
def test_constants_beyond_the_range_of_powers_are_refused(arguments):
    with pytest.raises(InputError, match="use other units"):
        nnqm.OrnsteinUhlenbeck(**arguments)
    with pytest.raises(InputError, match="hbar must be from 1e-50 to 1e"):
        nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), hbar=1e-60)


@pytest.mark.parametrize("scale", [1e-80, 1e80, 1e200])
def test_outputs_beyond_the_range_of_moments_are_refused(scale):
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network([[[1.0, 1.0]], [[scale]]]))
    for call in (kallen_lehmann, quasi_monte_carlo, lambda t: thermal_measure(t, beta=1.0)):
        with pytest.raises(InputError, match="use other units"):
            call(theory)
