"""Effective levels of binned transition matrices: exact values against closed forms, counts against loops."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import nnqm
from harness import assert_consistent, assert_error_is_honest, assert_inconsistent
from nnqm.spectra import binned_paths


def linear(omega, sigma, weights):
    """x = a sum of Ornstein-Uhlenbeck inputs: Gaussian, but not Markov."""
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), nnqm.Network([[weights]], activation=["identity"]))


def correlation(theory, weights, lag):
    power = np.array(weights) ** 2 * np.concatenate([s.variance for s in theory.sources])
    return power.sum(), float(power @ np.exp(-np.array(theory.omega) * lag) / power.sum())


@pytest.mark.slow
@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.7], [0.4, 1.0, 0.5]])
def test_two_bins_have_the_arc_sine_for_an_eigenvalue(weights):
    theory = linear([1.0, 2.0, 0.5][: len(weights)], 1.0, weights)
    _, rho = correlation(theory, weights, 0.3)
    found = nnqm.exact_effective_levels(theory, [0.0], 0.3)
    tolerance = 1e-6 if len(weights) == 1 else 4e-3
    assert found.levels[0] == pytest.approx(-np.log(2 / np.pi * np.arcsin(rho)) / 0.3, rel=tolerance)
    assert_error_is_honest(found.levels[0], -np.log(2 / np.pi * np.arcsin(rho)) / 0.3, found.error[0], rounding=1e-9)
    # Negative control: the correlation at twice the time.
    assert found.levels[0] != pytest.approx(-np.log(2 / np.pi * np.arcsin(rho**2)) / 0.3, rel=0.1)


@pytest.mark.slow
def test_bins_of_a_gaussian_are_bivariate_normal_boxes():
    weights, edges, lag = [1.0, 0.7], np.array([-1.0, -0.3, 0.4, 1.1]), 0.4
    theory = linear([1.0, 2.0], [1.0, 1.5], weights)
    variance, rho = correlation(theory, weights, lag)
    box = multivariate_normal([0, 0], variance * np.array([[1, rho], [rho, 1]]))
    bounded = np.concatenate([[-12], edges, [12]])
    cumulative = np.array([[box.cdf([a, b]) for b in bounded] for a in bounded])
    expected = np.diff(np.diff(cumulative, axis=0), axis=1)
    found = nnqm.exact_effective_levels(theory, edges, lag)
    np.testing.assert_allclose(found.probabilities, expected, atol=2e-4)
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.slow
def test_a_monotonic_net_moves_the_edges_only():
    network = nnqm.Network([[[1.3]], [[2.0]]], [[0.2], [0.1]], "tanh")
    edges = np.array([-0.5, 0.0, 0.3, 0.8])
    through = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    before = np.sort((np.arctanh((edges - 0.1) / 2) - 0.2) / 1.3)
    a = nnqm.exact_effective_levels(through, network(before[:, None])[:, 0], 0.2)
    b = nnqm.exact_effective_levels(nnqm.harmonic_oscillator(), before, 0.2)
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)


def test_a_chain_is_added_up_over_its_states():
    values = np.array([-1.0, 0.2, 0.5, 2.0])
    law = np.array([0.1, 0.2, 0.3, 0.4])
    hop = np.minimum(1, law[None, :] / law[:, None]) / 4
    step = hop + np.diag(1 - hop.sum(axis=1))
    theory = nnqm.Theory(nnqm.MarkovChain(values, step, 0.5, law=law))
    found = nnqm.exact_effective_levels(theory, [0.0, 1.0], 1.5)
    three = law[:, None] * step @ step @ step
    groups = [[0], [1, 2], [3]]
    expected = [[sum(three[i, j] for i in a for j in b) for b in groups] for a in groups]
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"lag must be a multiple of the chain's step, 0.5; got 0.7"):
        nnqm.exact_effective_levels(theory, [0.0], 0.7)
    # One bin per state: the estimator is exact.
    fine = nnqm.exact_effective_levels(theory, [-0.4, 0.3, 1.0], 0.5)
    np.testing.assert_allclose(fine.levels, -np.log(np.sort(np.linalg.eigvals(step).real)[::-1][1:]) / 0.5, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oscillator", "deep-tanh", "double-well", "two inputs"])
def test_samples_agree_with_the_exact_value_and_not_with_gaps(name):
    if name == "two inputs":
        theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network.random((2, 8, 1), rng=3, weight_std=1.5))
    else:
        theory = nnqm.builtin_theory(name)
    found = nnqm.binned_effective_levels(nnqm.Paths(theory, 8000, 64, 0.2, rng=5), bins=12, n_levels=3)
    exact = nnqm.exact_effective_levels(theory, found.edges, found.lag, n_levels=3)
    for measured, value, error in zip(found.levels, exact.levels, exact.error, strict=True):
        assert_consistent(measured.with_systematic(error), value)
    if name != "double-well":
        # Energies they are not.
        assert_inconsistent(found.levels[1], 2.0)


def test_counts_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 9))
    edges = np.array([-0.5, 0.1, 0.9])
    counts, paths = binned_paths._counted([(0, x[:4]), (1, x[4:])], edges, 2, 2)
    expected = np.zeros((2, 4, 4), dtype=int)
    for p, path in enumerate(x):
        for t in range(7):
            expected[int(p >= 4), (path[t] > edges).sum(), (path[t + 2] > edges).sum()] += 1
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(paths, [4, 2])


def test_rare_bins_are_joined():
    counts = np.zeros((2, 4, 4), dtype=int)
    counts[:, :3, :3] = 50
    counts[0, 3, 3] = 3
    joined, edges = binned_paths._without_rare(counts, np.array([0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(edges, [0.0, 1.0])
    assert joined.sum() == counts.sum()
    assert joined[0, 2, 2] == 53


def test_the_largest_eigenvalue_is_one():
    pairs = np.random.default_rng(2).uniform(size=(3, 5, 5))
    values = binned_paths._eigenvalues(pairs)
    np.testing.assert_allclose(values[:, 0], 1.0)
    flow = pairs[0] + pairs[0].T
    plain = np.linalg.eigvals(flow / flow.sum(axis=1, keepdims=True)).real
    np.testing.assert_allclose(values[0], np.sort(plain)[::-1], atol=1e-12)


@pytest.mark.slow
def test_user_paths_and_one_trajectory():
    theory = nnqm.harmonic_oscillator()
    edges = np.linspace(-1.5, 1.5, 9)
    exact = nnqm.exact_effective_levels(theory, edges, 0.2, n_levels=2)
    for shape in ((4000, 64), (2, 80_000)):
        x = nnqm.sample_paths(theory, shape[0], shape[1], 0.2, rng=6)
        found = nnqm.binned_effective_levels(x, dt=0.2, bins=edges, n_levels=2)
        assert_consistent(found.levels[0], exact.levels[0])
        assert_consistent(found.levels[1], exact.levels[1])


def test_levels_lost_in_noise_are_none():
    x = np.random.default_rng(3).normal(size=(400, 20))
    found = nnqm.binned_effective_levels(x, n_levels=4, bins=8)
    assert set(found.levels) == {None}


def test_bad_input_is_named():
    theory = nnqm.harmonic_oscillator()
    with pytest.raises(TypeError, match=r"use nnqm.Paths\(theory, n_paths, n_times, dt\)"):
        nnqm.binned_effective_levels(theory)
    with pytest.raises(ValueError, match="lag must be below n_times; got lag=20 with 16 times"):
        nnqm.binned_effective_levels(nnqm.Paths(theory, 100_000, 16, 0.1), lag=20)
    with pytest.raises(ValueError, match=r"bins must be strictly increasing; bins\[1\]=0 <= bins\[0\]=1"):
        nnqm.binned_effective_levels(nnqm.Paths(theory, 100_000, 16, 0.1), bins=[1.0, 0.0])
    with pytest.raises(ValueError, match="the channel is constant"):
        nnqm.binned_effective_levels(np.ones((40, 20)))
    with pytest.raises(ValueError, match="errors need at least 8 blocks"):
        nnqm.binned_effective_levels(nnqm.sample_paths(theory, 1, 200, 0.05, rng=1))
    broken = np.random.default_rng(1).normal(size=(200, 20))
    broken[7, 3] = np.inf
    with pytest.raises(ValueError, match="paths must be finite; path 7 at time step 3, channel 0 is inf"):
        nnqm.binned_effective_levels(broken)
    four = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0] * 4), nnqm.Network.random((4, 2, 1), rng=1))
    with pytest.raises(ValueError, match="at most 3 inputs; got 4"):
        nnqm.exact_effective_levels(four, [0.0], 0.1)
