"""Two-point reflection positivity: the verdict is right, its false alarms are as rare as the p-value says."""

import doctest
import sys

import numpy as np
import pytest
from scipy import stats

import nnqm
from harness import THRESHOLD, assert_consistent, assert_rate_at_most
from nnqm.reflection import _directions, reflection_positivity

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


def cosines(rng, n_paths=2000, n_times=32):
    k, phase = rng.normal(size=(n_paths, 1)), rng.uniform(0, 2 * np.pi, size=(n_paths, 1))
    return np.sqrt(2) * np.cos(k * np.arange(n_times) * DT + phase)


POSITIVE = {
    "ornstein-uhlenbeck": lambda rng: autoregressive(rng, np.exp(-DT)),
    "mixture of rates": lambda rng: autoregressive(rng, np.exp(-DT * rng.choice([0.5, 2.0], size=2000))),
    "sum": lambda rng: autoregressive(rng, np.exp(-DT / 2)) + autoregressive(rng, np.exp(-2 * DT)),
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


@pytest.mark.parametrize("name", POSITIVE)
def test_false_alarms_are_as_rare_as_the_p_value_says(name):
    p = np.array(
        [reflection_positivity(POSITIVE[name](np.random.default_rng([s, 1])), dt=DT).p_value for s in range(60)]
    )
    assert_rate_at_most(np.count_nonzero(p < 0.05), p.size, 0.05)
    assert p.min() > THRESHOLD
    # Not so rare either that the test could not see anything: the boundary is reached.
    assert p.min() < 0.5


@pytest.mark.parametrize("name", VIOLATING)
def test_violations_are_found(name):
    for seed in range(3):
        result = reflection_positivity(VIOLATING[name](np.random.default_rng([seed, 2])), dt=DT)
        assert result.verdict == "violated"
        assert result.p_value < THRESHOLD
        assert result.value.value < -0.1
        assert result.minimum_eigenvalue < 0


@pytest.mark.parametrize("length", [0.5, 1.0, 2.0])
def test_the_value_is_scaled_to_the_second_moment_of_the_witness(length):
    def kernel(t):
        return np.exp(-((t / length) ** 2) / 2)

    result = reflection_positivity(gaussian(np.random.default_rng(1), kernel), dt=DT)
    c, t = result.witness.coefficients, result.witness.times
    exact = c @ kernel(np.add.outer(t, t)) @ c / (c @ kernel(np.subtract.outer(t, t)) @ c)
    # The second moment was taken on the other half of the data.
    assert float(result.value.value) == pytest.approx(exact, rel=0.12)
    assert -1.2 < float(result.value.value) < -0.8


def test_directions_have_unit_second_moment_in_spite_of_the_ridge():
    t = np.arange(6) * 0.1
    second, matrix = np.exp(-(np.subtract.outer(t, t) ** 2) / 2), np.exp(-(np.add.outer(t, t) ** 2) / 2)
    directions, lowest = _directions(matrix, second)
    np.testing.assert_allclose(np.einsum("vi,ij,vj->v", directions, second, directions), 1.0, rtol=1e-4)
    values = np.einsum("vi,ij,vj->v", directions, matrix, directions)
    assert values.min() <= lowest < 0


def test_alternating_paths_are_positive_about_points_but_not_between_them():
    x = autoregressive(np.random.default_rng(4), -0.5)
    result = reflection_positivity(x, dt=DT)
    assert result.shift == 1
    # G(dt) = -1/2 is the whole of it: F = x at half a step from the reflection.
    assert_consistent(reflection_positivity(x, dt=DT, offsets=[0]).value, -0.5)
    assert reflection_positivity(x[:, :31], stationary=False).verdict == "consistent"
    assert reflection_positivity(x, stationary=False).verdict == "violated"


def test_theories_are_consistent_and_the_value_is_what_the_witness_has():
    theory = nnqm.builtin_theory("deep-tanh")
    result = reflection_positivity(theory, 64, DT, n_paths=4000, rng=1)
    assert result.verdict == "consistent"
    assert result.n_units == 4000
    witness = result.witness
    lags = np.add.outer(witness.times, witness.times)
    distance = np.abs(np.subtract.outer(witness.times, witness.times))
    measure = nnqm.kallen_lehmann(theory, "x")
    c = witness.coefficients
    exact = c @ measure.connected(lags) @ c / (c @ measure.connected(distance) @ c)
    assert exact > 0
    assert_consistent(result.value, exact)


def test_the_lowest_eigenvalue_is_no_test():
    results = [reflection_positivity(POSITIVE["ornstein-uhlenbeck"](np.random.default_rng(s)), dt=DT) for s in range(5)]
    assert all(r.minimum_eigenvalue < 0 for r in results)
    assert all(r.verdict == "consistent" for r in results)


def test_the_mean_is_no_part_of_the_functional():
    x = gaussian(np.random.default_rng(3), lambda t: np.exp(-(t**2) / 2))
    assert reflection_positivity(100.0 + x, dt=DT).verdict == "violated"
    assert reflection_positivity(100.0 + autoregressive(np.random.default_rng(3), 0.8), dt=DT).verdict == "consistent"


def test_values_do_not_depend_on_units_or_the_size_of_chunks(monkeypatch):
    x = VIOLATING["matern 3/2"](np.random.default_rng(6))
    one = reflection_positivity(x, dt=DT)
    other = reflection_positivity(1e6 * x, dt=10 * DT)
    np.testing.assert_allclose(other.value.value, one.value.value, rtol=1e-9)
    np.testing.assert_allclose(other.witness.times, 10 * one.witness.times)
    monkeypatch.setattr(sys.modules["nnqm.reflection"], "_CHUNK", 32 * 8 * 100)
    np.testing.assert_allclose(reflection_positivity(x, dt=DT).value.value, one.value.value, rtol=1e-9)


def test_a_theory_and_its_paths_give_the_same():
    theory = nnqm.builtin_theory("deep-tanh")
    y = nnqm.sample_paths(theory, 1000, 32, DT, key=9)
    x = nnqm.apply(theory.network, y)
    drawn = reflection_positivity(theory, 32, DT, n_paths=1000, key=9)
    given = reflection_positivity(np.concatenate([y, x], axis=2), dt=DT, channel=1)
    assert drawn.p_value == given.p_value
    assert str(drawn) == str(given)
    assert reflection_positivity(theory, 32, DT, n_paths=1000, key=9, channel="y").p_value != drawn.p_value


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


def test_heavy_tails_are_flagged():
    x = autoregressive(np.random.default_rng(5), 0.8)
    assert not reflection_positivity(x).heavy_tails
    x *= np.random.default_rng(6).standard_cauchy(size=(2000, 1))
    assert reflection_positivity(x).heavy_tails
    assert "heavy tails" in str(reflection_positivity(x))


def test_the_witness_is_printed():
    result = reflection_positivity(autoregressive(np.random.default_rng(4), -0.5), dt=0.5, offsets=[0, 3])
    assert str(result.witness).startswith("+ 1.00 x(0.25)")
    assert str(result.witness).endswith("reflected about t=0")
    assert str(result).startswith("two-point reflection positivity is violated (p = ")
    centred = reflection_positivity(np.random.default_rng(1).normal(size=(500, 11)), dt=0.5, stationary=False)
    assert str(centred.witness).endswith("reflected about t=2.5")


def test_the_error_of_the_value_is_that_of_the_test():
    result = reflection_positivity(autoregressive(np.random.default_rng(4), -0.5), dt=DT)
    assert result.value.n_blocks == 1000
    statistic = float(result.value.value / result.value.error)
    assert statistic < -30
    assert np.log(result.p_value) == pytest.approx(stats.t.logcdf(statistic, 999), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": np.zeros((199, 1))}, "needs at least 200 independent"),
        ({"source": np.zeros((300, 1))}, "n_times must be at least 2"),
        ({"source": np.ones((300, 8))}, "channel is constant"),
        ({"source": np.zeros((300, 8)), "offsets": [4]}, "offsets must be at most 3 for n_times=8; got 4"),
        ({"source": np.zeros((300, 8)), "offsets": [1, 1]}, "offsets must be distinct"),
        ({"source": np.zeros((300, 8)), "level": 2}, "level must lie between 0 and 1; got 2"),
        ({"source": np.zeros((300, 8)), "channel": 1}, "channel must be at most 0; got 1"),
        ({"source": np.zeros((300, 8)), "n_times": 8}, "n_times is for a theory"),
        ({"source": nnqm.harmonic_oscillator()}, "time grid of the theory is missing"),
        ({"source": nnqm.harmonic_oscillator(), "n_times": 8, "dt": 0.1, "rng": 1, "key": 2}, "rng or key, not both"),
        ({"source": nnqm.harmonic_oscillator(), "n_times": 8, "dt": 0.1, "n_paths": 100}, "at least 200 independent"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        reflection_positivity(**arguments)


def test_bad_values_and_correlated_paths_are_named():
    x = autoregressive(np.random.default_rng(4), 0.5)
    x[7, 3] = np.nan
    with pytest.raises(ValueError, match="path 7 at time step 3, channel 0 is nan"):
        reflection_positivity(x)
    with pytest.raises(TypeError, match="channel of given paths must be its position; got 'x'"):
        reflection_positivity(x, channel="x")
    chain = np.repeat(autoregressive(np.random.default_rng(4), 0.5), 10, axis=0)
    with pytest.raises(ValueError, match="successive paths must be independent"):
        reflection_positivity(chain)


def test_examples():
    assert doctest.testmod(sys.modules["nnqm.reflection"]).failed == 0
