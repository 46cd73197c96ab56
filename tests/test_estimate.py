"""The jackknife against formulas, joint tests against their distribution, and what is printed."""

import pickle

import numpy as np
import pytest
from scipy import stats

import nnqm
from nnqm.statistics.estimate import Estimate, SymmetricEstimate, format_value, jackknife


def mean_of(samples):
    """Estimate of the mean of samples (n_blocks, k)."""
    ones = np.ones(len(samples))
    return jackknife(lambda s: s["x"] / s["n"][:, None], {"x": samples, "n": ones}, ones)


def test_the_error_of_a_mean_is_the_standard_error():
    x = np.random.default_rng(1).normal(size=(40, 3)) * [1.0, 10.0, 0.0]
    estimate = mean_of(x)
    np.testing.assert_allclose(estimate.value, x.mean(axis=0))
    np.testing.assert_allclose(estimate.error, x.std(axis=0, ddof=1) / np.sqrt(40))
    np.testing.assert_allclose(estimate.covariance(), np.cov(x.T) / 40, atol=1e-15)


def test_the_error_of_a_ratio_is_that_of_the_delta_method():
    rng = np.random.default_rng(2)
    a, b = rng.normal(5, 1, size=(2, 2000))
    b += 0.5 * (a - 5)
    n = np.ones(2000)
    estimate = jackknife(lambda s: s["a"] / s["b"], {"a": a, "b": b}, n)
    ratio = a.mean() / b.mean()
    expected = np.std((a - ratio * b) / b.mean(), ddof=1) / np.sqrt(2000)
    assert estimate.error == pytest.approx(expected, rel=0.01)
    assert estimate.value == pytest.approx(ratio)


def test_blocks_of_unequal_size_weigh_what_they_hold():
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 60, size=200)
    errors, values = [], []
    for _ in range(200):
        sums = np.array([rng.normal(size=n).sum() for n in sizes])
        estimate = jackknife(lambda s: s["x"] / s["n"], {"x": sums, "n": sizes}, sizes)
        errors.append(float(estimate.error))
        values.append(float(estimate.value))
    assert np.mean(errors) == pytest.approx(1 / np.sqrt(sizes.sum()), rel=0.05)
    assert np.std(np.array(values) / errors) == pytest.approx(1, abs=0.15)


def test_blocks_that_hold_nothing_are_left_out():
    x = np.random.default_rng(4).normal(size=10)
    sizes = np.ones(12)
    sizes[[3, 7]] = 0
    padded = np.zeros(12)
    padded[sizes > 0] = x
    all_of = jackknife(lambda s: s["x"] / s["n"], {"x": x, "n": np.ones(10)}, np.ones(10))
    with_holes = jackknife(lambda s: s["x"] / s["n"], {"x": padded, "n": sizes}, sizes)
    assert with_holes.n_blocks == 10
    assert with_holes.value == pytest.approx(all_of.value)
    assert with_holes.error == pytest.approx(all_of.error)
    with pytest.raises(ValueError, match="at least 2 blocks; got 1; use more paths"):
        jackknife(lambda s: s["x"], {"x": x[:3]}, [0, 5, 0])


def test_dicts_and_tuples_of_functions():
    sums = {"x": np.arange(6.0), "n": np.ones(6)}
    as_dict = jackknife(lambda s: {"m": s["x"] / s["n"], "twice": 2 * s["x"] / s["n"]}, sums, np.ones(6))
    as_tuple = jackknife(lambda s: (s["x"] / s["n"], 2 * s["x"] / s["n"]), sums, np.ones(6))
    assert as_dict["twice"].value == as_tuple[1].value == 5.0
    assert as_dict["m"].error == as_tuple[0].error
    assert as_tuple[1].error == pytest.approx(2 * as_tuple[0].error)


def test_joint_p_values_are_uniform_and_see_a_shift():
    rng = np.random.default_rng(5)
    mixing = rng.normal(size=(4, 4))
    right, wrong = [], []
    for _ in range(300):
        estimate = mean_of(rng.normal(size=(40, 4)) @ mixing)
        right.append(estimate.consistency(np.zeros(4)))
        shift = np.zeros(4)
        shift[2] = 4 * estimate.error[2]
        wrong.append(estimate.consistency(shift))
    assert stats.kstest(right, "uniform").pvalue > 1e-3
    assert np.mean(np.array(wrong) < 0.05) > 0.7


def test_too_many_points_for_the_blocks():
    with pytest.raises(ValueError, match=r"covariance of 5 points needs at least 50 blocks; got 49.*12 log-spaced"):
        mean_of(np.random.default_rng(6).normal(size=(49, 5))).covariance()
    with pytest.raises(ValueError, match="needs at least"):
        mean_of(np.random.default_rng(6).normal(size=(49, 5))).consistency(np.zeros(5))
    with pytest.raises(ValueError, match="one-dimensional"):
        mean_of(np.random.default_rng(6).normal(size=(49, 5)))[0].covariance()


def test_pulls_use_the_total_error():
    estimate = mean_of(np.random.default_rng(7).normal(size=(30, 2)))
    systematic = estimate.with_systematic([0.0, 4 * estimate.error[1]])
    np.testing.assert_allclose(systematic.total_error, estimate.error * [1, np.sqrt(17)])
    np.testing.assert_allclose(systematic.pull(0.1), (estimate.value - 0.1) / systematic.total_error)
    np.testing.assert_array_equal(systematic.systematic[0], 0)
    np.testing.assert_array_equal(estimate.systematic, 0)


def test_maps_propagate_correlations():
    estimate = mean_of(np.random.default_rng(8).normal(3, 1, size=(400, 2)))
    difference = estimate[0].map(lambda a, b: a - b, estimate[0])
    assert difference.error == 0
    square = estimate.map(lambda m: m**2)
    np.testing.assert_allclose(square.error, 2 * estimate.value * estimate.error, rtol=0.02)
    with pytest.raises(ValueError, match="same blocks"):
        estimate.map(lambda a, b: a - b, mean_of(np.ones((300, 2))))


def test_indices_select_values_and_replicas():
    estimate = mean_of(np.random.default_rng(9).normal(size=(30, 6))).with_systematic(np.arange(6.0))
    part = estimate[1:5:2]
    np.testing.assert_array_equal(part.value, estimate.value[1:5:2])
    np.testing.assert_array_equal(part.error, estimate.error[1:5:2])
    np.testing.assert_array_equal(part.systematic, [1, 3])
    assert len(part) == 2
    assert float(estimate[4].value) == estimate.value[4]
    np.testing.assert_array_equal(estimate[[5, 0]].error, estimate.error[[5, 0]])


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"replicas must have shape .*\(3, 2\); got \(3,\)"):
        Estimate([1.0, 2.0], [1.0, 2.0, 3.0], [3, 3, 3])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.99812, 0.003), "0.9981(30)"),
        ((0.99812, 0.0049), "0.998(5)"),
        ((1.0, 0.0996), "1.00(10)"),
        ((2.5, 0.6455), "2.5(6)"),
        ((-1.23456, 0.0123), "-1.235(12)"),
        ((0.99812, 0.003, 0.001), "0.9981(30)(10)"),
        ((0.99812, 0.001, 0.003), "0.9981(10)(30)"),
        ((0.998, 0.004, 1e-7), "0.998(4)(1)"),
        ((1234.0, 250.0), "1234(250)"),
        ((0.5, 0.0), "0.5"),
        ((np.nan, 0.1), "unknown"),
        ((0.5, np.nan), "0.5(?)"),
    ],
)
def test_values_are_printed_with_their_errors(numbers, text):
    assert format_value(*numbers) == text


def test_estimates_print_themselves():
    estimate = mean_of(np.array([[1.0, 3.0], [2.0, 3.5], [3.0, 4.0], [4.0, 4.5]]))
    assert str(estimate[0]) == f"{estimate[0]}" == format_value(2.5, float(estimate[0].error))
    assert str(estimate) == f"[{estimate[0]}, {estimate[1]}]"
    assert repr(estimate[0]) == f"Estimate({estimate[0]})"
    assert f"{estimate[0]:>12}".endswith(str(estimate[0]))


def test_a_run_s_error_is_the_spread_of_runs():
    theory = nnqm.harmonic_oscillator()
    values, errors = [], []
    for seed in range(40):
        estimate = nnqm.simulate(
            theory, 4000, 8, 0.5, rng=seed, measure=nnqm.Measure(lags=(0, 2), observable_lags=())
        ).two_point()
        values.append(estimate.value)
        errors.append(estimate.error)
    np.testing.assert_allclose(np.std(values, axis=0, ddof=1), np.mean(errors, axis=0), rtol=0.4)


def test_a_covariance_that_cannot_be_inverted_is_said():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 1))
    dependent = jackknife(lambda s: s["x"], {"x": np.concatenate([x, 2 * x], axis=1)}, np.ones(40))
    with pytest.raises(ValueError, match="covariance is singular"):
        dependent.consistency([0.0, 0.0])
    constant = jackknife(lambda s: s["x"] / s["n"], {"x": np.ones((40, 1)), "n": np.ones((40, 1))}, np.ones(40))
    with pytest.raises(ValueError, match=r"points \[0\] do not fluctuate"):
        constant.consistency([1.0])


def test_a_bias_is_no_error():
    # Replicas of a biased estimator scatter about another value than its own.
    replicas = np.random.default_rng(1).normal(size=(16, 3))
    for value in ([0.0] * 3, [5.0, -2.0, 1e4]):
        found = Estimate(value, replicas, [16.0] * 16)
        np.testing.assert_allclose(found.error, np.sqrt(15) * replicas.std(axis=0), rtol=1e-11)


def test_a_matrix_made_by_rows_is_the_full_one():
    rng = np.random.default_rng(5)
    # The last has several parts.
    for size, n_blocks in ((1, 11), (7, 11), (8, 11), (70, 400)):
        rows, columns = np.tril_indices(size)
        stacked = rng.normal(size=(n_blocks + 1, len(rows)))
        weights = np.linspace(8, 15, n_blocks)
        full = np.empty((n_blocks + 1, size, size))
        full[:, rows, columns] = full[:, columns, rows] = stacked
        calls = []

        def some(begin, end, stacked=stacked, weights=weights, calls=calls):
            calls.append((begin, end))
            part = stacked[:, begin * (begin + 1) // 2 : end * (end + 1) // 2]
            return Estimate(part[0], part[1:], weights)

        packed = SymmetricEstimate(some, size, n_blocks)
        assert (len(calls) > 1) == (size == 70)
        plain = Estimate(full[0], full[1:], weights)
        for name in ("value", "error", "replicas", "systematic", "total_error", "weights"):
            assert np.array_equal(getattr(packed, name), getattr(plain, name)), name
        assert np.array_equal(packed[0].error, plain[0].error)
        assert np.array_equal(packed.map(np.exp).error, plain.map(np.exp).error)
        copy = pickle.loads(pickle.dumps(packed))
        assert np.array_equal(copy.replicas, plain.replicas)
        assert np.array_equal(copy.error, plain.error)
