"""Certificates of positivity for exact kernels, against closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnqm
from nnqm.positivity.certificate import lowest_directions, positivity_certificate
from nnqm.testing import correlators

VIOLATING = {
    "squared exponential": lambda t: np.exp(-(t**2) / 2),
    "matern 3/2": lambda t: (1 + t) * np.exp(-t),
    "difference of exponentials": lambda t: 2 * np.exp(-t) - np.exp(-2 * t),
    "damped cosine": lambda t: np.exp(-t / 2) * np.cos(2 * t),
}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(correlators(weights=(0.01, 10.0), gaps=(0.05, 5.0), noisy=False), st.integers(2, 40))
def test_sums_of_decaying_exponentials_are_positive(known, n):
    found = positivity_certificate(lambda t: np.exp(-np.multiply.outer(t, known.gaps)) @ known.weights, n, 0.3)
    assert found.verdict == "positive on the grid"
    assert found.witness is None
    assert found.complete_monotonicity is None


@pytest.mark.parametrize("name", VIOLATING)
def test_violations_are_certified_and_the_witness_has_the_value_printed(name):
    kernel = VIOLATING[name]
    found = positivity_certificate(kernel, 16, 0.25)
    assert found.verdict == "violated"
    assert found.complete_monotonicity is not None
    t = np.array([float(term[2:-1]) for term in found.witness.terms])
    c = found.witness.coefficients
    exact = c @ kernel(np.add.outer(t, t)) @ c / (c @ kernel(np.abs(np.subtract.outer(t, t))) @ c)
    assert found.value == pytest.approx(exact, rel=1e-9)
    assert found.value < 0
    assert str(found).startswith("violated: ")


def test_a_growing_correlator_is_not_completely_monotone_though_its_matrices_are_positive():
    found = positivity_certificate(lambda t: np.cosh(1.5 - t), 16, 0.25)
    assert found.eigenvalues[0] > -1e-12
    assert found.verdict == "violated"
    assert found.witness is None
    assert found.complete_monotonicity == (1, 1.5)
    # Up to half the period no difference has the wrong sign.
    assert positivity_certificate(lambda t: np.cosh(1.5 - t), 7, 0.25).verdict == "positive on the grid"


def test_a_longer_memory_alternates_and_only_the_shifted_grid_sees_it():
    found = positivity_certificate((-0.5) ** np.arange(8))
    assert found.eigenvalues[0] > -1e-12
    assert found.shifted_eigenvalues[0] == pytest.approx(-0.5 * np.sum(0.25 ** np.arange(4)), rel=1e-12)
    assert found.verdict == "violated"
    assert found.value == pytest.approx(-0.5, abs=1e-3)
    assert found.witness.terms[0] == "x(0.5)"


def test_eigenvalues_are_those_of_the_matrices():
    kernel = VIOLATING["matern 3/2"]
    found = positivity_certificate(kernel, 10, 0.3)
    t = np.arange(5) * 0.3
    for shift, raw in ((0, found.eigenvalues), (0.3, found.shifted_eigenvalues)):
        np.testing.assert_allclose(raw, np.linalg.eigvalsh(kernel(np.add.outer(t, t) + shift)), atol=1e-14)
    assert found.whitened[0] < found.eigenvalues[0] < 0


def test_measures_are_positive_by_construction():
    measure = nnqm.kallen_lehmann(nnqm.builtin_theory("deep-tanh"))
    found = positivity_certificate(measure, 24, 0.2)
    assert found.verdict == "positive by construction"
    values = positivity_certificate(measure.connected(np.arange(24) * 0.2), dt=0.2, error=1e-7)
    assert values.verdict == "positive on the grid"
    np.testing.assert_allclose(values.eigenvalues, found.eigenvalues, atol=1e-12)


def test_closed_paths_are_positive_and_not_monotone():
    thermal = nnqm.thermal_measure(nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.0)))
    found = positivity_certificate(thermal, 13, 0.25)
    assert found.verdict == "positive on the grid"
    assert found.complete_monotonicity is None
    assert positivity_certificate(lambda t: np.cosh(1.5 - t), 13, 0.25, period=3.0).verdict == "positive on the grid"
    assert positivity_certificate(lambda t: np.cosh(1.5 - t), 13, 0.25).verdict == "violated"
    wrong = positivity_certificate(lambda t: np.cos(2 * np.pi * t / 3), 13, 0.25, period=3.0)
    assert wrong.verdict == "violated"
    with pytest.raises(ValueError, match="the grid must lie within the period, 3; got 16 times"):
        positivity_certificate(thermal, 16, 0.25)


@pytest.mark.parametrize("n", [8, 9])
def test_kernels_that_are_not_stationary(n):
    def splitting(s, t):
        # A common start and independent increments to both sides.
        return 1 + np.minimum(np.abs(s), np.abs(t)) * (s * t > 0)

    found = positivity_certificate(splitting, n, 0.5, stationary=False)
    assert found.verdict == "positive on the grid"
    assert (found.eigenvalues is None) == (n % 2 == 0)
    assert (found.shifted_eigenvalues is None) == (n % 2 == 1)
    grid = (np.arange(n) - (n - 1) / 2) * 0.5
    matrix = splitting(*np.meshgrid(grid, grid, indexing="ij"))
    assert positivity_certificate(matrix, dt=0.5).reason == found.reason
    # Brownian motion that started earlier is not symmetric about 0.
    brownian = positivity_certificate(lambda s, t: 3 + np.minimum(s, t), n, 0.5, stationary=False)
    assert brownian.verdict == "violated"
    assert "not symmetric" in brownian.reason
    smooth = positivity_certificate(lambda s, t: 1 + s * t, n, 0.5, stationary=False)
    assert smooth.verdict == "violated"
    assert smooth.value == pytest.approx(-1, abs=0.05)


def test_stationary_kernels_may_be_given_as_two_time_ones():
    kernel = VIOLATING["squared exponential"]
    one = positivity_certificate(kernel, 16, 0.3)
    two = positivity_certificate(lambda s, t: kernel(s - t), 16, 0.3, stationary=False)
    np.testing.assert_allclose(two.shifted_eigenvalues, one.shifted_eigenvalues, atol=1e-14)


def test_functions_say_by_their_arguments_whether_they_are_stationary():
    kernel = nnqm.Kernel.matern(1.5)
    np.testing.assert_array_equal(
        positivity_certificate(kernel, 9, 0.5).eigenvalues,
        positivity_certificate(lambda s, t: kernel(s, t), 9, 0.5, stationary=False).eigenvalues,
    )
    assert positivity_certificate(lambda t, tau=2.0: np.exp(-t / tau), 9).verdict == "positive on the grid"
    # Ufuncs have no signature.
    assert positivity_certificate(np.cosh, 9).shifted_eigenvalues is not None
    assert positivity_certificate(np.multiply, 8).eigenvalues is None


def test_errors_of_the_kernel_count():
    noisy = np.exp(-0.2 * np.arange(12)) + 1e-3 * np.random.default_rng(1).normal(size=12)
    assert positivity_certificate(noisy).verdict == "violated"
    assert positivity_certificate(noisy, error=4e-3).verdict == "positive on the grid"


def test_directions_have_unit_second_moment_in_spite_of_the_ridge():
    t = np.arange(6) * 0.1
    second, matrix = np.exp(-(np.subtract.outer(t, t) ** 2) / 2), np.exp(-(np.add.outer(t, t) ** 2) / 2)
    directions, values = lowest_directions(matrix, second, 4)
    np.testing.assert_allclose(np.einsum("vi,ij,vj->v", directions, second, directions), 1.0, rtol=1e-4)
    norms = np.einsum("vi,ij,vj->v", directions, matrix, directions)
    assert norms.min() <= values[0] < 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": np.zeros(8)}, "kernel is zero at all times"),
        ({"kernel": np.ones((3, 4))}, r"got shape \(3, 4\)"),
        ({"kernel": np.ones(1)}, "n_times at least 2"),
        ({"kernel": [1.0, np.nan, 0.1]}, r"kernel\[1\]=nan"),
        ({"kernel": np.ones(4), "n_times": 4}, "n_times is for measures and functions"),
        ({"kernel": np.ones(4), "dt": 0}, "dt must be positive"),
        ({"kernel": np.ones(4), "error": -1}, "error must be positive"),
        ({"kernel": np.exp, "n_times": 1}, "n_times must be at least 2"),
        ({"kernel": lambda t: 1.0}, "kernel must return one value for each time"),
        ({"kernel": [[1.0, 0.0], [0.5, 1.0]]}, "kernel must be symmetric"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        positivity_certificate(**arguments)
