"""The statistical harness is itself tested: it must accept the truth and refuse what is wrong."""

import numpy as np
import pytest
from scipy import stats

import harness
from harness import (
    THRESHOLD,
    assert_above,
    assert_below,
    assert_consistent,
    assert_covered,
    assert_each_consistent,
    assert_error_is_honest,
    assert_inconsistent,
    assert_mean_zero,
    assert_not_uniform,
    assert_pulls_are_standard,
    assert_rate_at_most,
    assert_uniform,
    is_false_claim,
    p_value,
)
from nnqm import jackknife

SEEDS = 200


def correlated_blocks(seed, n_blocks, n_points, correlation):
    """Block means of a correlator whose neighbouring points are correlated; the true mean is zero."""
    distance = np.abs(np.subtract.outer(np.arange(n_points), np.arange(n_points)))
    factor = np.linalg.cholesky(correlation**distance)
    return np.random.default_rng([seed, 31]).normal(size=(n_blocks, n_points)) @ factor.T


def mean_of(blocks, sizes=None):
    """Jackknife estimate of the mean; sizes are the numbers of paths in each block."""
    sizes = np.full(len(blocks), 8) if sizes is None else sizes
    sums = {"x": blocks * np.asarray(sizes)[:, None], "n": np.asarray(sizes)}
    return jackknife(lambda s: s["x"] / s["n"][:, None], sums, sizes)


@pytest.mark.parametrize(("n_blocks", "n_points"), [(40, 4), (128, 12), (128, 1)])
def test_joint_p_values_are_uniform(n_blocks, n_points):
    estimates = [mean_of(correlated_blocks(s, n_blocks, n_points, 0.9)) for s in range(SEEDS)]
    assert_uniform([p_value(e, np.zeros(n_points)) for e in estimates])


@pytest.mark.slow
def test_scalar_p_values_are_uniform_with_few_blocks_which_normal_ones_are_not():
    estimates = [mean_of(correlated_blocks(s, 4, 1, 0.0))[0] for s in range(1000)]
    assert_uniform([p_value(e, 0.0) for e in estimates])
    assert_not_uniform([2 * stats.norm.sf(abs(float(e.pull(0.0)))) for e in estimates])


def test_chi_squared_in_place_of_hotelling_is_refused():
    hotelling, chi_squared = [], []
    n, k = 40, 30
    for seed in range(SEEDS):
        blocks = correlated_blocks(seed, n, k, 0.9)
        mean = blocks.mean(axis=0)
        statistic = mean @ np.linalg.solve(np.cov(blocks.T) / n, mean)
        hotelling.append(stats.f.sf(statistic * (n - k) / (k * (n - 1)), k, n - k))
        chi_squared.append(stats.chi2.sf(statistic, k))
    assert_uniform(hotelling)
    assert_not_uniform(chi_squared)
    assert np.mean(np.array(chi_squared) < 0.01) > 0.9


@pytest.mark.slow
def test_a_two_sigma_shift_of_one_lag_is_caught_jointly_though_not_alone():
    caught = alone = 0
    for seed in range(SEEDS):
        estimate = mean_of(correlated_blocks(seed, 128, 12, 0.97))
        expected = np.zeros(12)
        expected[5] = 2 * estimate.error[5]
        caught += p_value(estimate, expected) < THRESHOLD
        alone += p_value(estimate[5], expected[5]) < THRESHOLD
    assert caught > 0.95 * SEEDS
    assert alone == 0


def test_blocks_of_unequal_size_are_weighted_right():
    sizes = np.array([4] * 32 + [64] * 32)
    p = []
    for seed in range(SEEDS):
        # The variance of a block mean falls with its size.
        blocks = correlated_blocks(seed, 64, 3, 0.8) / np.sqrt(sizes)[:, None]
        p.append(p_value(mean_of(blocks, sizes)[0], 0.0))
    assert_uniform(p)


def test_assertions_accept_the_truth_and_refuse_what_is_wrong():
    estimate = mean_of(correlated_blocks(1, 128, 3, 0.5))
    assert_consistent(estimate, np.zeros(3))
    assert_consistent(estimate[0], 0.0)
    with pytest.raises(AssertionError, match="measured"):
        assert_consistent(estimate, np.ones(3))
    with pytest.raises(AssertionError, match="does not refute"):
        assert_inconsistent(estimate, np.zeros(3))
    with pytest.raises(AssertionError, match="not uniform"):
        assert_uniform(np.linspace(0, 0.5, 200))
    with pytest.raises(AssertionError, match="look uniform"):
        assert_not_uniform(np.linspace(0, 1, 200))
    with pytest.raises(AssertionError, match="40 events"):
        assert_rate_at_most(40, 200, 0.05)
    assert_rate_at_most(14, 200, 0.05)


def test_systematic_errors_count():
    estimate = mean_of(correlated_blocks(1, 128, 2, 0.5))
    assert_inconsistent(estimate, [0.0, 1.0])
    assert_consistent(estimate.with_systematic([0.0, 1.0]), [0.0, 1.0])
    assert_inconsistent(estimate.with_systematic([0.0, 1.0]), [1.0, 0.0])


def test_errors_of_what_is_compared_with_count():
    estimate = mean_of(correlated_blocks(1, 128, 1, 0.0))[0]
    off = 8 * float(estimate.error)
    assert_inconsistent(estimate, off)
    assert_consistent(estimate, off, expected_error=off)
    assert_inconsistent(estimate, off, expected_error=off / 100)


def test_each_entry_is_compared_and_counted():
    estimate = mean_of(correlated_blocks(2, 32, 40, 0.5))
    before = harness.counted["accepted"]
    assert_each_consistent(estimate, np.zeros(40))
    assert harness.counted["accepted"] == before + 40
    shifted = np.zeros(40)
    shifted[17] = 10 * estimate.error[17]
    with pytest.raises(AssertionError, match="the largest of 40 pulls"):
        assert_each_consistent(estimate, shifted)


def test_sides_are_told_apart():
    estimate = mean_of(correlated_blocks(3, 128, 1, 0.0))[0]
    assert_below(estimate, 1.0)
    assert_above(estimate, -1.0)
    for wrong in (lambda: assert_above(estimate, 1.0), lambda: assert_below(estimate, 0.0)):
        with pytest.raises(AssertionError, match="measured"):
            wrong()


def test_pulls_that_are_not_standard_are_refused():
    pulls = np.random.default_rng(4).normal(size=140)
    assert_pulls_are_standard(pulls)
    assert_pulls_are_standard(0.7 * pulls, errors_are_bounds=True)
    for wrong, words in ((1.5 * pulls, "too wide"), (0.7 * pulls, "too narrow"), (0.8 * pulls + 0.6, "the mean of")):
        with pytest.raises(AssertionError, match=words):
            assert_pulls_are_standard(wrong)
    with pytest.raises(AssertionError, match="too large"):
        assert_pulls_are_standard(0.4 * pulls, errors_are_bounds=True)
    samples = np.random.default_rng(5).normal(size=(500, 3))
    assert_mean_zero(samples)
    with pytest.raises(AssertionError, match="of 500 samples"):
        assert_mean_zero(samples + np.array([0.0, 0.0, 0.4]))


def test_claims_and_stated_errors_are_judged():
    gap = mean_of(1 + 0.1 * correlated_blocks(6, 128, 1, 0.0))[0]
    assert_covered(gap, [1.0, 2.0])
    assert not is_false_claim([gap], [1.0])
    assert is_false_claim([gap, gap], [1.0])
    assert is_false_claim([gap], [1.5])
    assert is_false_claim([gap], [])
    with pytest.raises(AssertionError, match="from the next"):
        assert_covered(gap, [1.5])
    assert_error_is_honest([1.0, 2.0], [1.04, 2.0], 0.01)
    with pytest.raises(AssertionError, match="off by"):
        assert_error_is_honest([1.0, 2.0], [1.06, 2.0], 0.01)
