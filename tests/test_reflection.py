"""Reflection positivity: the verdict is right, false alarms are as rare as the p-value says, the witness is true."""

import dataclasses
import re
import sys

import numpy as np
import pytest

import nnqm
from harness import accept, assert_consistent, assert_rate_at_most, refute
from nnqm.positivity.functionals import Arguments
from nnqm.positivity.reflection import _heavy_tails, _matrices, _View, reflection_positivity
from nnqm.sampling.independent_paths import block_length, corrected_t
from nnqm.sampling.path_source import PathReader

DT = 0.2


def autoregressive(rng, rho, n_paths=2000, n_times=32):
    """Stationary AR(1) of unit variance, which for rho = exp(-omega dt) is an Ornstein-Uhlenbeck process."""
    x = rng.normal(size=(n_paths, n_times))
    for t in range(1, n_times):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * x[:, t]
    return x


def gaussian(rng, kernel, n_paths=2000, n_times=32):
    lags = np.abs(np.subtract.outer(np.arange(n_times), np.arange(n_times))) * DT
    return rng.normal(size=(n_paths, n_times)) @ np.linalg.cholesky(kernel(lags) + 1e-9 * np.eye(n_times)).T


def damped_oscillation(rng, n_paths=2000, n_times=32, start=150):
    """AR(2) with complex roots 0.9 exp(+-0.5 i)."""
    x = rng.normal(size=(n_paths, n_times + start))
    for t in range(2, n_times + start):
        x[:, t] += 1.8 * np.cos(0.5) * x[:, t - 1] - 0.81 * x[:, t - 2]
    return x[:, start:]


def cosines(rng, n_paths=2000, n_times=32, k=None):
    k = rng.normal(size=(n_paths, 1)) if k is None else k
    phase = rng.uniform(0, 2 * np.pi, size=(n_paths, 1))
    return np.sqrt(2) * np.cos(k * np.arange(n_times) * DT + phase)


def cauchy_cosines(rng, n_paths=4000):
    """Has exactly the two-point function exp(-t)."""
    return cosines(rng, n_paths, k=rng.standard_cauchy(size=(n_paths, 1)))


def splitting(rng, n_paths=2000, n_times=33):
    """x(t) = g(theta_0) + h(|t|; theta_0, theta_sgn(t)) - h(0): positive about t = 0, and not stationary."""
    t = np.arange(n_times // 2 + 1) * DT
    theta = rng.normal(size=(n_paths, 4, 1))

    def side():
        w, b, v = rng.normal(size=(3, n_paths, 4, 1))
        h = ((v + theta / 2) * np.tanh(w * t + b + theta)).sum(axis=1)
        return h - h[:, :1]

    common = theta[:, 0]
    return np.concatenate([common + side()[:, :0:-1], common + side()], axis=1)


POSITIVE = {
    "ornstein-uhlenbeck": lambda rng: autoregressive(rng, np.exp(-DT)),
    "mixture of rates": lambda rng: autoregressive(rng, np.exp(-DT * rng.choice([0.5, 2.0], size=2000))),
    "sum": lambda rng: autoregressive(rng, np.exp(-DT / 2)) + autoregressive(rng, np.exp(-2 * DT)),
    "cube": lambda rng: autoregressive(rng, np.exp(-DT)) ** 3,
    "white noise": lambda rng: rng.normal(size=(2000, 32)),
}
VIOLATING = {
    "squared exponential": lambda rng: gaussian(rng, lambda t: np.exp(-(t**2) / 2)),
    "matern 3/2": lambda rng: gaussian(rng, lambda t: (1 + np.sqrt(3) * t) * np.exp(-np.sqrt(3) * t)),
    "difference of exponentials": lambda rng: gaussian(rng, lambda t: 2 * np.exp(-t) - np.exp(-2 * t)),
    "ar(2), complex roots": damped_oscillation,
    "cosines": cosines,
    "ar(1), alternating": lambda rng: autoregressive(rng, -0.5),
}


def seen_by(witness, x, centre, dt):
    """F(Theta X) F(X) of each path, from what is printed of F, reflected about index ``centre`` of the grid."""
    formula, variable = re.fullmatch(r"(.*), z = (.*), reflected about t = .*", str(witness)).groups()
    code = re.sub(r" (?=[z(t]|tanh)", " ", formula).replace("^", "**")
    code = re.sub(r"(?<=[\d)]) (?=[zt])", " * ", code).replace("tanh", "np.tanh")

    def side(sign):
        def z(t):
            index = centre + sign * t / dt
            assert abs(index - round(index)) < 1e-6
            return eval(variable, {"x": x[:, round(index)]})

        return eval(code, {"z": z, "np": np})

    return side(-1) * side(1), (side(1) ** 2 + side(-1) ** 2) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", POSITIVE)
def test_false_alarms_are_as_rare_as_the_p_value_says(name):
    p = np.array(
        [
            reflection_positivity(POSITIVE[name](np.random.default_rng([s, 1])), dt=DT, functionals="linear").p_value
            for s in range(30)
        ]
    )
    assert_rate_at_most(np.count_nonzero(p < 0.05), p.size, 0.05)
    accept(p.min(), "a false alarm")
    # Not so rare either that the test could not see anything: the boundary is reached.
    assert p.min() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("make", [POSITIVE["ornstein-uhlenbeck"], POSITIVE["cube"], splitting])
def test_nonlinear_functionals_raise_no_false_alarms(make):
    about = "middle" if make is splitting else None
    results = [reflection_positivity(make(np.random.default_rng([s, 3])), dt=DT, about=about) for s in range(12)]
    p = np.array([r.p_value for r in results])
    assert_rate_at_most(np.count_nonzero(p < 0.05), p.size, 0.05)
    assert all(r.verdict == "consistent" for r in results)


@pytest.mark.slow
@pytest.mark.parametrize("name", VIOLATING)
def test_violations_are_found(name):
    for functionals in ("linear", ("linear", "cubic", "neurons")):
        result = reflection_positivity(VIOLATING[name](np.random.default_rng([1, 2])), dt=DT, functionals=functionals)
        assert result.verdict == "violated"
        refute(result.p_value, "a violation not seen")
        assert result.value.value < -0.05
        assert result.minimum_eigenvalue < 0


@pytest.mark.slow
def test_two_point_functions_are_not_enough():
    for seed in range(2):
        x = cauchy_cosines(np.random.default_rng([seed, 4]))
        assert reflection_positivity(x, dt=DT, functionals="linear").verdict == "consistent"
        for functionals in ("cubic", ("linear", "cubic", "neurons")):
            assert reflection_positivity(x, dt=DT, functionals=functionals).verdict == "violated"
    # Negative control: the process that it shares the two-point function with.
    y = autoregressive(np.random.default_rng(4), np.exp(-DT), 4000)
    assert reflection_positivity(y, dt=DT, functionals="cubic").verdict == "consistent"


def skewed(rng):
    """Its mean is far from its median, so that the constant in F matters."""
    x = autoregressive(rng, -0.5)
    return x + x**2 / 2


@pytest.mark.slow
@pytest.mark.parametrize("make", [VIOLATING["matern 3/2"], VIOLATING["ar(1), alternating"], cauchy_cosines, skewed])
def test_the_witness_printed_is_the_functional_tested(make):
    result = reflection_positivity(make(np.random.default_rng(6)), dt=DT)
    assert len(result.witness.terms) <= 8
    fresh = make(np.random.default_rng(7))
    products, norms = zip(
        *(seen_by(result.witness, fresh, c + result.shift / 2, DT) for c in range(8, 24, 2)), strict=True
    )
    value = np.mean(products) / np.mean(norms)
    assert value < 0
    error = np.std(np.mean(products, axis=0)) / np.sqrt(len(fresh))
    assert_consistent(result.value, value, expected_error=np.hypot(error, 0.02 * value))


def test_the_mean_of_a_functional_is_taken_off_it():
    result = reflection_positivity(skewed(np.random.default_rng(8)), dt=DT, functionals="linear", offsets=[0])
    # Of a + a^2/2, <a a'> = -1/2: covariance -1/2 + (1/4) 2 (1/4), variance 1 + (1/4) 2.
    assert_consistent(result.value, -0.25)
    assert result.witness.constant < -0.2


def test_matrices_are_averages_of_products_over_reflections_and_paths():
    x = autoregressive(np.random.default_rng(1), 0.5, 400, 9) + 0.3
    views = []
    original = _matrices

    def spy(view, units):
        views.append(original(view, units))
        return views[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["nnqm.positivity.reflection"], "_matrices", spy)
        result = reflection_positivity(x, functionals="linear", offsets=[0, 2])
    centre, scale = map(float, re.findall(r"x - ([\d.]+)\)/([\d.]+)", result.witness.variable)[0])
    z = (x[:200] - centre) / scale
    for shift, (matrix, second, means) in enumerate(views):
        points = range(2, 9 - 2 - shift)
        past = np.array([[z[:, r - k] for r in points] for k in (0, 2)])
        future = np.array([[z[:, r + shift + k] for r in points] for k in (0, 2)])
        mean = (past + future).mean(axis=(1, 2)) / 2
        np.testing.assert_allclose(means, mean, rtol=1e-12)
        past, future = past - mean[:, None, None], future - mean[:, None, None]
        expected = np.einsum("irp,jrp->ij", past, future) / past[0].size
        np.testing.assert_allclose(matrix, (expected + expected.T) / 2, rtol=1e-10, atol=1e-12)
        same = (np.einsum("irp,jrp->ij", past, past) + np.einsum("irp,jrp->ij", future, future)) / past[0].size / 2
        np.testing.assert_allclose(second, same, rtol=1e-10)


@pytest.mark.parametrize("length", [0.5, 1.0])
def test_the_value_has_the_exact_expectation_of_the_witness(length):
    def kernel(t):
        return np.exp(-((t / length) ** 2) / 2)

    result = reflection_positivity(gaussian(np.random.default_rng(1), kernel), dt=DT, functionals="linear")
    c = result.witness.coefficients
    t = np.array([float(term[2:-1]) for term in result.witness.terms])
    exact = c @ kernel(np.add.outer(t, t)) @ c / (c @ kernel(np.subtract.outer(t, t)) @ c)
    # The second moment was taken on the other half of the data.
    assert float(result.value.value) == pytest.approx(exact, rel=0.12)
    assert -1.2 < float(result.value.value) < -0.5


@pytest.mark.slow
def test_alternating_paths_are_positive_about_points_but_not_between_them():
    x = autoregressive(np.random.default_rng(4), -0.5)
    result = reflection_positivity(x, dt=DT)
    assert result.shift == 1
    # G(dt) = -1/2 is the whole of it: F = x at half a step from the reflection.
    assert_consistent(reflection_positivity(x, dt=DT, offsets=[0], functionals="linear").value, -0.5)
    assert reflection_positivity(x[:, :31], about="middle").verdict == "consistent"
    assert reflection_positivity(x, about="middle").verdict == "violated"
    assert reflection_positivity(x, about=10).verdict == "consistent"
    about = reflection_positivity(x, about=10.5, dt=DT)
    assert about.verdict == "violated"
    assert about.witness.reflection == "t = 2.1"


@pytest.mark.slow
def test_theories_are_consistent_and_the_value_is_what_the_witness_has():
    theory = nnqm.builtin_theory("deep-tanh")
    result = reflection_positivity(nnqm.Paths(theory, 4000, 64, DT, rng=1), functionals="linear")
    assert result.verdict == "consistent"
    assert result.n_units == 4000
    t = np.array([float(term[2:-1]) for term in result.witness.terms])
    measure = nnqm.kallen_lehmann(theory, "x")
    c = result.witness.coefficients
    exact = c @ measure.connected(np.add.outer(t, t)) @ c / (c @ measure.connected(np.subtract.outer(t, t)) @ c)
    assert exact > 0
    assert_consistent(result.value, exact)


@pytest.mark.slow
def test_the_lowest_eigenvalue_is_no_test():
    results = [reflection_positivity(POSITIVE["ornstein-uhlenbeck"](np.random.default_rng(s)), dt=DT) for s in range(5)]
    assert all(r.minimum_eigenvalue < 0 for r in results)
    assert all(r.verdict == "consistent" for r in results)


@pytest.mark.slow
def test_the_mean_is_no_part_of_the_functional():
    x = gaussian(np.random.default_rng(3), lambda t: np.exp(-(t**2) / 2))
    assert reflection_positivity(100.0 + x, dt=DT).verdict == "violated"
    assert reflection_positivity(100.0 + autoregressive(np.random.default_rng(3), 0.8), dt=DT).verdict == "consistent"


@pytest.mark.slow
def test_values_do_not_depend_on_units_or_the_size_of_chunks(monkeypatch):
    x = VIOLATING["matern 3/2"](np.random.default_rng(6))
    one = reflection_positivity(x, dt=DT)
    other = reflection_positivity(1e6 * x, dt=10 * DT)
    np.testing.assert_allclose(other.value.value, one.value.value, rtol=1e-9)
    np.testing.assert_array_equal(other.witness.coefficients, one.witness.coefficients)
    monkeypatch.setattr(sys.modules["nnqm.positivity.reflection"], "_CHUNK", 32 * 8 * 3000)
    np.testing.assert_allclose(reflection_positivity(x, dt=DT).value.value, one.value.value, rtol=1e-9)


@pytest.mark.slow
def test_a_theory_and_its_paths_give_the_same():
    theory = nnqm.builtin_theory("deep-tanh")
    paths = nnqm.sample_paths(theory, 1000, 32, DT, key=9, channels=theory.channels)
    drawn = reflection_positivity(nnqm.Paths(theory, 1000, 32, DT, key=9))
    given = reflection_positivity(paths, dt=DT, channel=1)
    assert drawn.p_value == given.p_value
    assert str(drawn) == str(given)
    assert reflection_positivity(nnqm.Paths(theory, 1000, 32, DT, key=9), channel="y").p_value != drawn.p_value


@pytest.mark.slow
def test_long_trajectories_are_cut():
    rng = np.random.default_rng(8)
    long = autoregressive(rng, np.exp(-DT), 1, 100_000)[0]
    result = reflection_positivity(long, dt=DT)
    assert result.verdict == "consistent"
    assert result.n_units >= 200
    smooth = np.convolve(long, np.ones(20) / 20, mode="valid")
    assert reflection_positivity(smooth, dt=DT).verdict == "violated"
    with pytest.raises(ValueError, match=r"at least 200 independent units; got 1 paths of 2000 steps"):
        reflection_positivity(long[:2000], dt=DT)


def markov_chain_of_paths(rng, n_paths, memory):
    """Successive paths of a chain, each of them an Ornstein-Uhlenbeck path."""
    x = autoregressive(rng, np.exp(-DT), n_paths, 24)
    for i in range(1, n_paths):
        x[i] = memory * x[i - 1] + np.sqrt(1 - memory**2) * x[i]
    return x


@pytest.mark.slow
def test_correlated_paths_are_put_together_in_blocks():
    p = []
    for seed in range(30):
        x = markov_chain_of_paths(np.random.default_rng([seed, 9]), 4000, 0.8)
        result = reflection_positivity(x, dt=DT, functionals="linear")
        # Products of Gaussians of correlation r^k between paths have correlation r^2k: (1 + r^2)/(1 - r^2)/2 = 2.3.
        assert 20 * 1.3 < result.block_length < 20 * 4
        p.append(result.p_value)
    assert_rate_at_most(np.count_nonzero(np.array(p) < 0.05), len(p), 0.05)
    violating = markov_chain_of_paths(np.random.default_rng(1), 4000, 0.8)
    violating[:, 1::2] *= -1
    assert reflection_positivity(violating, dt=DT).verdict == "violated"


@pytest.mark.slow
def test_independent_samples_make_many_blocks_and_correlated_ones_few():
    rng = np.random.default_rng(1)
    assert block_length(rng.normal(size=100)) == 1
    assert block_length(rng.normal(size=10_000)) == 50
    slow = autoregressive(rng, 0.9, 1, 20_000)[0]
    # tau = (1 + rho)/(1 - rho)/2 = 9.5
    assert 20 * 7 < block_length(slow) < 20 * 13
    with pytest.raises(ValueError, match=r"successive paths are correlated over .* the test needs 30; give at least"):
        block_length(slow[:2000])


@pytest.mark.slow
def test_the_statistic_is_corrected_for_skewness():
    # Of 40 exponentials less their mean a t-test at 5% rejects three times too often on the side of the short tail.
    rng = np.random.default_rng(1)
    samples = rng.exponential(size=(4000, 40)) - 1
    t = samples.mean(axis=1) / samples.std(axis=1, ddof=1) * np.sqrt(40)
    corrected = np.array([corrected_t(s) for s in samples])
    assert np.mean(t < -1.685) > 0.09
    assert 0.04 < np.mean(corrected < -1.685) < 0.065
    symmetric = np.array([-1.0, 0.0, 4.0, -4.0, 1.0, 0.0]) + 0.5
    assert corrected_t(symmetric) == pytest.approx(0.5 / symmetric.std(ddof=1) * np.sqrt(6), rel=1e-12)


@pytest.mark.slow
def test_heavy_tails_are_clipped():
    x = autoregressive(np.random.default_rng(5), 0.8)
    assert np.isinf(reflection_positivity(x).witness.bound)
    x *= np.random.default_rng(6).standard_cauchy(size=(2000, 1))
    result = reflection_positivity(x, functionals="linear")
    assert np.isfinite(result.witness.bound)
    assert result.verdict == "consistent"
    # What is clipped still tells a violation.
    wrong = (
        VIOLATING["matern 3/2"](np.random.default_rng(5)) * np.abs(np.random.default_rng(6).normal(size=(2000, 1))) ** 3
    )
    found = reflection_positivity(wrong, dt=DT, functionals="linear")
    assert found.verdict == "violated"
    assert "F = clip(" in str(found)
    assert not found.heavy_tails


@pytest.mark.slow
def test_what_is_rarely_large_raises_no_false_alarm():
    # Where both sides are large is missing from most samples of independent rare events, and the rest looks negative.
    p = []
    for seed in range(60):
        rare = np.random.default_rng(seed).uniform(size=(2000, 2)) < 0.02
        result = reflection_positivity(rare.astype(float), about="middle", functionals="linear")
        assert result.verdict == "consistent"
        p.append(result.p_value)
    assert_rate_at_most(np.count_nonzero(np.array(p) < 0.05), len(p), 0.05)


def test_a_functional_without_bound_may_leave_the_verdict_open():
    result = reflection_positivity(VIOLATING["matern 3/2"](np.random.default_rng(5)), dt=DT)
    heavy = dataclasses.replace(result, verdict="undecided", heavy_tails=True)
    assert str(heavy).startswith("reflection positivity is undecided (linear, cubic, neurons; heavy tails")
    assert _heavy_tails(46.2, 1000)
    assert not _heavy_tails(3.0, 1000)


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_ones_own_functionals():
    def sign_change(x):
        assert x.shape[1] == 2
        return np.sign(x[:, 0]) * np.sign(x[:, 1])

    x = cosines(np.random.default_rng(1))
    result = reflection_positivity(x, dt=DT, functionals=["linear", sign_change], offsets=[1, 7])
    assert result.functionals == ("linear", "sign_change")
    own = reflection_positivity(x, dt=DT, functionals=sign_change, offsets=[1, 7])
    assert own.witness.terms in (("sign_change(x(0.2), x(1.4))",), ("sign_change(x(0.3), x(1.5))",))
    assert str(reflection_positivity(x, functionals=lambda x: x[:, 0]).functionals) == "('f0',)"
    with pytest.raises(ValueError, match=r"functionals\[1\] \(sum\) must return shape \(\d+,\)"):
        reflection_positivity(x, functionals=["linear", np.sum])
    with pytest.raises(ValueError, match=r"functionals\[0\] \(f0\) must be finite; it is inf for x = \["):
        reflection_positivity(x, functionals=lambda x: 1 / (0 * x[:, 0]) ** 2)


@pytest.mark.slow
def test_spins_have_functionals_that_do_not_fluctuate():
    flip = nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.9, 0.1], [0.1, 0.9]], dt=1.0))
    assert reflection_positivity(nnqm.Paths(flip, 2000, 32, 1.0, rng=1)).verdict == "consistent"
    wrong = nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.3, 0.7], [0.7, 0.3]], dt=1.0))
    assert reflection_positivity(nnqm.Paths(wrong, 2000, 32, 1.0, rng=1)).verdict == "violated"


@pytest.mark.slow
def test_theories_that_are_not_stationary_are_reflected_about_zero():
    options = {"weight_std": 1.5, "bias_std": 1.0}
    network = nnqm.RandomNetwork((1, 8, 1), "tanh", shared=(False, True), **options)
    split = nnqm.Theory(nnqm.Times(reflected=True), network)
    result = reflection_positivity(nnqm.Paths(split, 4000, 33, DT, rng=1))
    assert result.verdict == "consistent"
    assert result.witness.reflection == "t = 0"
    plain = nnqm.Theory(nnqm.Times(), nnqm.RandomNetwork((1, 8, 1), "tanh", **options))
    assert reflection_positivity(nnqm.Paths(plain, 4000, 33, DT, rng=1)).verdict == "violated"
    paths = nnqm.Paths(split, 4000, 33, DT, rng=1)
    for about in ("middle", 16):
        assert reflection_positivity(paths, about=about).p_value == result.p_value


@pytest.mark.slow
def test_random_weights_and_closed_paths_are_positive():
    sectors = reflection_positivity(nnqm.Paths(nnqm.builtin_theory("random-tanh"), 4000, 32, DT, rng=1))
    assert sectors.verdict == "consistent"
    assert sectors.block_length % 8 == 0
    thermal = nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=4.0))
    assert reflection_positivity(nnqm.Paths(thermal, 4000, 32, rng=1)).verdict == "consistent"
    with pytest.raises(ValueError, match=r"got 800 \(in groups of 8 that share random parameters\)"):
        reflection_positivity(nnqm.Paths(nnqm.builtin_theory("random-tanh"), 800, 32, DT))


def test_what_is_printed():
    result = reflection_positivity(
        autoregressive(np.random.default_rng(4), -0.5), dt=0.5, offsets=[0, 3], functionals="linear"
    )
    assert result.witness.terms[0] == "z(0.25)"
    assert str(result.witness).endswith("reflected about t = 0")
    assert str(result).startswith("reflection positivity is violated (two-point): p = ")
    assert "F = 1 z(0.25)" in str(result)
    fine = reflection_positivity(np.random.default_rng(1).normal(size=(500, 11)), dt=0.5, about="middle")
    assert str(fine).startswith("consistent with reflection positivity (linear, cubic, neurons): p = ")
    assert "F = " not in str(fine).replace("F> = ", "")
    assert fine.witness.reflection == "t = 2.5"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": np.zeros((199, 1))}, "needs at least 200 independent"),
        ({"paths": np.zeros((300, 1))}, "n_times must be at least 2"),
        ({"paths": np.ones((300, 8))}, "channel is constant"),
        ({"paths": np.zeros((300, 8)), "offsets": [4]}, "offsets must be at most 3 for n_times=8; got 4"),
        ({"paths": np.zeros((300, 8)), "offsets": [1, 1]}, "offsets must be distinct"),
        ({"paths": np.zeros((300, 8)), "level": 2}, "level must lie between 0 and 1; got 2"),
        ({"paths": np.zeros((300, 8)), "channel": 1}, "channel must be at most 0; got 1"),
        ({"paths": np.zeros((300, 8)), "about": "end"}, "about 'end' is unknown; choose from middle"),
        ({"paths": np.zeros((300, 8)), "about": 3.2}, "whole or half index .* got 3.2"),
        ({"paths": np.zeros((300, 8)), "about": 9}, "from 0 to 7; got 9"),
        (
            {"paths": np.zeros((300, 8)), "about": 1, "offsets": [2]},
            "at most 1 for n_times=8 and reflection about index 1; got 2",
        ),
        ({"paths": np.zeros((300, 8)), "functionals": "cubics"}, "did you mean 'cubic'"),
        ({"paths": np.zeros((300, 8)), "functionals": []}, "functionals must name at least one family"),
        ({"paths": nnqm.Paths(nnqm.harmonic_oscillator(), 100, 8, 0.1)}, "at least 200 independent"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        reflection_positivity(**arguments)


def test_bad_values_are_named():
    x = autoregressive(np.random.default_rng(4), 0.5)
    x[7, 3] = np.nan
    with pytest.raises(ValueError, match="path 7 at time step 3, channel 0 is nan"):
        reflection_positivity(x)
    with pytest.raises(TypeError, match="channel of given paths must be its position; got 'x'"):
        reflection_positivity(x, channel="x")


def test_exact_functions_and_theories_are_told_where_to_go():
    measure = nnqm.kallen_lehmann(nnqm.builtin_theory("deep-tanh"))
    for exact in (measure, lambda t: np.exp(-(t**2)), nnqm.Kernel.matern(1.5)):
        with pytest.raises(nnqm.errors.InputTypeError, match="is exact and needs no test; use positivity_certificate"):
            reflection_positivity(exact)
    with pytest.raises(nnqm.errors.InputTypeError, match=r"use nnqm.Paths\(theory, n_paths, n_times, dt\)"):
        reflection_positivity(nnqm.harmonic_oscillator())


def test_a_view_looks_at_few_points_of_long_paths():
    paths = PathReader(native=lambda first, last: np.zeros((1, 1000)), n_units=1, n_times=1000)
    points = _View(paths, (0, 5), 1, None, Arguments(2, np.zeros(1), np.ones(1), ("",)), ()).points()
    assert 16 <= len(points) <= 32
    assert points[0] == 5
    assert points[-1] + 1 + 5 <= 999
