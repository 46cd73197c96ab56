"""The jackknife against formulas, joint tests against their distribution, and what is printed."""

import pickle

import numpy as np
import pytest
from scipy import stats

import nnqm
from nnqm.errors import InputError, InputTypeError
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    with pytest.raises(
        ValueError, match=r"covariance of 5 points needs at least 50 blocks; got 49; use at most 4 of the"
    ):
        mean_of(np.random.default_rng(6).normal(size=(49, 5))).covariance()
    with pytest.raises(ValueError, match="needs at least"):
        mean_of(np.random.default_rng(6).normal(size=(49, 5))).consistency(np.zeros(5))
    assert 0 < mean_of(np.random.default_rng(6).normal(size=(49, 5)))[:4].consistency(np.zeros(4)) < 1
    with pytest.raises(ValueError, match="got 9; use more blocks"):
        mean_of(np.random.default_rng(6).normal(size=(9, 5))).covariance()
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
    for combine in (estimate.map, estimate.map_replicas):
        with pytest.raises(ValueError, match="same blocks; got 400 and 300 blocks"):
            combine(lambda a, b: a - b, mean_of(np.ones((300, 2))))


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


@pytest.mark.slow
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


@pytest.mark.slow
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


# ---- an estimate is a number


def three(n_blocks=60, systematic=0.0):
    """Means of three correlated quantities near 1, 2 and 3."""
    rng = np.random.default_rng(11)
    return mean_of(
        rng.normal([1.0, 2.0, 3.0], 0.2, size=(n_blocks, 3)) + rng.normal(size=(n_blocks, 1)) / 9
    ).with_systematic(systematic)


def by_hand(function, *estimates):
    """The estimate of a function by its definition: the function of the values, and of each replica."""
    replicas = [function(*(e.replicas[b] for e in estimates)) for b in range(estimates[0].n_blocks)]
    return Estimate(function(*(e.value for e in estimates)), replicas, estimates[0].weights)


def same(found, expected):
    assert isinstance(found, Estimate)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-13)
    np.testing.assert_allclose(found.replicas, expected.replicas, rtol=1e-13)
    np.testing.assert_array_equal(found.weights, expected.weights)


ARRAY = np.array([[0.5, 1.5, 2.5], [3.0, 4.0, 5.0]])


@pytest.mark.parametrize(
    "function",
    [
        lambda v: v + 1,
        lambda v: 1 - v,
        lambda v: 2 * v,
        lambda v: v / v[0],
        lambda v: 1 / v,
        lambda v: v**2,
        lambda v: 2**v,
        lambda v: -v,
        lambda v: +abs(-v),
        lambda v: v * ARRAY,
        lambda v: ARRAY - v,
        lambda v: ARRAY @ v,
        lambda v: v @ v,
        lambda v: v[:, None] - v[None, :],
        lambda v: np.subtract([1.0, 2.0, 3.0], v),
        lambda v: np.float64(2) * v[1],
        np.exp,
        np.log,
        np.sqrt,
        lambda v: np.arctan2(v, 2),
        np.sum,
        np.mean,
        np.diff,
        lambda v: np.stack([v[0], v[2]]),
        lambda v: np.concatenate([v, np.ones(2)]),
        lambda v: np.where([True, False, True], v, 0.0),
        lambda v: np.interp(0.5, np.arange(3), v),
        lambda v: np.linalg.norm(v),
        lambda v: np.einsum("i,j->ij", v, v),
        lambda v: np.cumsum(v)[::-1],
        lambda v: np.add.reduce(v),
        lambda v: v.reshape(3, 1).T,
        lambda v: v.sum() / v.mean(),
        lambda v: np.max(v),
    ],
)
def test_arithmetic_is_the_definition(function):
    estimate = three()
    same(function(estimate), by_hand(function, estimate))
    same(estimate.map(function), by_hand(function, estimate))


def test_two_estimates_of_the_same_blocks():
    a, b = three()[:2], three()[1:]
    same(a / b, by_hand(lambda x, y: x / y, a, b))
    same(np.hypot(a, b[0]), by_hand(lambda x, y: np.hypot(x, y[0]), a, b))
    same(np.stack([a, b]), by_hand(lambda x, y: np.stack([x, y]), a, b))
    assert (a - a).error.tolist() == [0, 0]
    with pytest.raises(InputError, match="same blocks; got 60 and 50 blocks"):
        a + three(50)[:2]


def test_errors_of_products_are_those_of_first_order():
    e = three(4000)
    np.testing.assert_allclose((1 / e).error, e.error / e.value**2, rtol=0.01)
    np.testing.assert_allclose(np.log(e).error, e.error / e.value, rtol=0.01)
    np.testing.assert_allclose((2 * e).error, 2 * e.error, rtol=1e-9)


def test_functions_see_no_axis_of_replicas():
    e = three()
    shapes = []
    e.map(lambda v: shapes.append(v.shape) or v[0])
    assert shapes == [(3,)] * 61
    shapes = []
    e.map_replicas(lambda v: shapes.append(v.shape) or v[:, 0])
    assert shapes == [(61, 3)]
    same(e.map(lambda v: v[0]), e[0])
    # A function that works in place changes nothing but its own argument.
    value = e.value.copy()
    same(e.map(lambda v: np.multiply(v, 2, out=v)), 2 * e)
    np.testing.assert_array_equal(e.value, value)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda v: 1j * v, InputTypeError, "must return real numbers; got complex128"),
        (lambda v: "text", InputTypeError, "must return real numbers; got <U4"),
        (lambda v: None, InputTypeError, "must return real numbers; got NoneType"),
        (lambda v: [v[0], v], InputTypeError, "must return real numbers; got list"),
        (lambda v: v[v > v.mean() + 0.1], InputError, "arrays of one shape"),
    ],
)
def test_results_that_are_no_arrays_of_numbers(function, error, message):
    estimate = Estimate([1.0, 1.2], [[1.0, 1.3], [1.0, 1.0], [1.0, 1.1]], [3, 3, 3])
    with pytest.raises(error, match=message):
        estimate.map(function)


def test_a_function_of_replicas_must_keep_their_axis():
    for shape in ("sum", "mean"):
        with pytest.raises(InputError, match="an axis of 61 replicas in front"):
            three().map_replicas(lambda v, shape=shape: getattr(v, shape)())
    with pytest.raises(InputError, match="an axis of 5 replicas in front; got shape \\(\\)"):
        jackknife(lambda s: s["x"].mean(), {"x": np.ones((4, 2))}, np.ones(4))


def test_systematic_errors_are_propagated_to_first_order():
    s = np.array([0.01, 0.02, 0.0])
    e = three(systematic=s)
    v = e.value
    expected = [
        (e + 1, s),
        (3 - e, s),
        (-2 * e, 2 * s),
        (1 / e, s / v**2),
        (e * e, 2 * v * s),
        (e**2, 2 * v * s),
        (np.exp(e), np.exp(v) * s),
        (np.log(e), s / v),
        (e.sum(), 0.03),
        (np.diff(e), [0.03, 0.02]),
        (e.map(np.exp), np.exp(v) * s),
        (e[0] / e[1], s[0] / v[1] + v[0] * s[1] / v[1] ** 2),
        (np.stack([e, e]), [s, s]),
        (e.reshape(3, 1).T, [s]),
    ]
    for found, systematic in expected:
        np.testing.assert_allclose(found.systematic, systematic, rtol=1e-4, atol=1e-12)
    assert e.map_replicas(lambda r: 2 * r).systematic.tolist() == [0, 0, 0]


def test_comparisons_and_conversions_use_the_value():
    e = three()
    one = e[1]
    assert (e > 1.5).tolist() == [False, True, True]
    assert (e == e.value).all()
    assert (e != e + 1).all()
    assert 1 < one < 3
    assert one == float(one) == one.value
    assert hash(one) == hash(float(one))
    assert (one == None) is False  # noqa: E711
    assert (e == "text") is False
    assert bool(one)
    assert int(one) == 1 + (float(one) >= 2)
    assert round(one, 1) == round(float(one), 1)
    assert np.asarray(e).tolist() == e.value.tolist()
    assert np.isfinite(e).all()
    assert np.argmax(e) == 2
    assert np.sign(e - 2.5).tolist() == [-1, -1, 1]
    assert np.shape(e) == e.shape == (3,)
    assert (e.ndim, e.size, len(e)) == (1, 3, 3)
    assert [float(x) for x in e] == e.value.tolist()
    assert max(e) == e[2]
    assert f"{one:.3f}" == f"{float(one):.3f}"
    assert f"{e:.1e}" == "[" + ", ".join(f"{x:.1e}" for x in e.value) + "]"
    assert f"{one:>12}" == f"{one!s:>12}"
    for convert in (float, int, bool, hash, round):
        with pytest.raises(TypeError, match=r"needs an estimate of one number; got shape \(3,\)"):
            convert(e)
    for convert in (len, list):
        with pytest.raises(TypeError, match="one number"):
            convert(one)


def test_what_an_estimate_cannot_do_is_refused():
    e = three()
    with pytest.raises(InputTypeError, match="complex result"):
        e * 1j
    with pytest.raises(InputTypeError, match="complex result"):
        np.fft.rfft(e)
    for function in (np.add, np.hypot):
        with pytest.raises(InputTypeError, match="leave out= away"):
            function(e, 1, out=np.zeros(3))
    with pytest.raises(InputTypeError, match="leave out= away"):
        np.sum(e, out=np.zeros(()))
    with pytest.raises(ValueError, match="read-only"):
        np.copyto(e, 1.0)
    grown = e
    grown += 1
    assert grown is not e
    same(grown, e + 1)


def test_pulls_between_estimates():
    e = three()
    other = three(50)
    np.testing.assert_allclose(e.pull(other), (e.value - other.value) / np.hypot(e.error, other.error))
    shifted = e + 0.1 * e[0]
    np.testing.assert_allclose(e.pull(shifted), -e.value[0] / e.error[0] * np.ones(3))
    # The error of both counts in a joint test.
    assert e.consistency(1.1 * e) == pytest.approx((0.1 * e).consistency(np.zeros(3)), rel=1e-6)
    with pytest.raises(InputError, match="same blocks"):
        e.consistency(other)


def test_long_estimates_have_a_short_repr():
    long = mean_of(np.random.default_rng(1).normal(size=(20, 500)))
    assert len(repr(long)) < 100
    assert repr(long).endswith("...], shape (500,))")
