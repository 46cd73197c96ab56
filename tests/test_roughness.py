"""Commutator, momentum, uncertainty and roughness against exact values, and what has none."""

import doctest

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent, assert_pulls_are_standard
from nnqm.estimators.roughness import (
    commutator,
    commutator_at_lags,
    commutator_spread,
    momentum_squared,
    momentum_squared_at_lags,
    quadratic_variation,
    roughness_exponent,
    uncertainty,
)

FEW = range(1, 13)


def run_of(theory, n_paths=50_000, n_times=64, dt=0.2, seed=1, **options):
    sums = {"lags": [0], "observable_lags": [], "increment_lags": FEW}
    sums |= {name: options.pop(name) for name in tuple(options) if name in nnqm.Measure.__annotations__}
    return nnqm.simulate(theory, n_paths, n_times, dt, rng=seed, measure=nnqm.Measure(**sums), **options)


def stationary_average(function):
    """Average over the standard normal, by the trapezoid rule."""
    z = np.linspace(-12, 12, 20_001)
    return np.sum(function(z) * np.exp(-(z**2) / 2)) * (z[1] - z[0]) / np.sqrt(2 * np.pi)


def smooth_paths(n_paths=4000, n_times=64, dt=0.1, seed=3):
    rng = np.random.default_rng(seed)
    k, phase = rng.normal(size=(n_paths, 1)), rng.uniform(0, 2 * np.pi, size=(n_paths, 1))
    return np.sqrt(2) * np.cos(k * np.arange(n_times) * dt + phase)


@pytest.fixture(scope="module")
def general():
    """An oscillator with no constant equal to 1."""
    return run_of(nnqm.harmonic_oscillator(1.3, mass=0.7, hbar=1.6), n_paths=100_000)


@pytest.fixture(scope="module")
def standard():
    return run_of(nnqm.harmonic_oscillator(), n_paths=400_000)


@pytest.fixture(scope="module")
def tanh():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[2.0]], [[1.0]]], activation="tanh"))
    return run_of(theory, n_paths=400_000, dt=0.05)


def exact_variation(theory, times):
    y = theory.sources[0]
    return 2 * y.variance[0] * (1 - np.exp(-y.omega[0] * times))


def lag_times(run):
    return np.array(run.increment_lags) * run.dt


def test_sums_of_increments_are_those_of_the_paths():
    paths = np.random.default_rng(5).normal(size=(64, 40, 2)).cumsum(axis=1)
    run = nnqm.accumulate(
        paths, 0.3, mass=2.0, hbar=0.5, n_blocks=8, measure=nnqm.Measure(increment_lags=[1, 2, 3, 4, 6])
    )
    for channel in (0, 1):
        steps = [paths[:, k:, channel] - paths[:, :-k, channel] for k in run.increment_lags]
        second = np.array([np.mean(d**2) for d in steps])
        np.testing.assert_allclose(quadratic_variation(run, channel).value, second, rtol=1e-12)
        np.testing.assert_allclose(
            commutator_at_lags(run, channel).value, 2.0 / 0.5 * second / lag_times(run), rtol=1e-12
        )
        fourth = np.mean(steps[0] ** 4)
        np.testing.assert_allclose(commutator_spread(run, channel).value, fourth / (3 * second[0] ** 2), rtol=1e-12)
    # The product of successive increments over the same windows differs from V(l) - V(2l)/2 only at the ends.
    product = -(2.0**2) * (second[1] / 2 - second[0]) / 0.3**2
    np.testing.assert_allclose(momentum_squared_at_lags(run, 1).value[0], product, rtol=1e-12)


def test_quadratic_variation_is_exact_at_finite_dt(general):
    exact = exact_variation(general.theory, lag_times(general))
    assert_consistent(quadratic_variation(general), exact)
    assert_inconsistent(quadratic_variation(general), 1.01 * exact)


def test_commutator_at_lags_is_exact_at_finite_dt(general):
    a = 1.3 * lag_times(general)
    assert_consistent(commutator_at_lags(general), (1 - np.exp(-a)) / a)
    assert_inconsistent(commutator_at_lags(general), np.ones(a.size))


def test_momentum_squared_at_lags_is_exact_at_finite_dt(general):
    v = exact_variation(general.theory, np.array([1, 2, 3, 4, 5, 6]) * general.dt)
    w = exact_variation(general.theory, np.array([2, 4, 6, 8, 10, 12]) * general.dt)
    exact = 0.7**2 * (v - w / 2) / (np.arange(1, 7) * general.dt) ** 2
    assert_consistent(momentum_squared_at_lags(general), exact)
    assert_inconsistent(momentum_squared_at_lags(general), 1.02 * exact)


def test_roughness_exponent_is_exact_at_finite_dt(general):
    assert_consistent(roughness_exponent(general), np.log2(1 + np.exp(-1.3 * general.dt)) / 2)
    assert_inconsistent(roughness_exponent(general), 0.5)


def test_spread_of_a_gaussian_process_is_one(general):
    assert_consistent(commutator_spread(general), 1.0)


@pytest.mark.parametrize("name", ["general", "standard"])
def test_oscillator_is_canonical_and_of_least_uncertainty(name, request):
    run = request.getfixturevalue(name)
    theory = run.theory
    energy = theory.hbar * theory.omega[0] / 2
    c, p2, product = commutator(run), momentum_squared(run), uncertainty(run)
    assert c.verdict == "canonical"
    assert p2.verdict == product.verdict == "converged"
    assert_consistent(c.estimate, 1.0)
    # Virial theorem: <p^2>/2m is half of the ground-state energy.
    assert_consistent(p2.estimate, theory.mass * energy)
    assert_consistent(product.estimate, theory.hbar / 2)
    relative = float(p2.estimate.systematic / p2.estimate.value)
    assert float(product.estimate.systematic / product.estimate.value) == pytest.approx(relative / 2, rel=1e-9)
    for found in (c, p2, product):
        assert 0 < found.estimate.systematic < 10 * found.estimate.error
        assert found.estimate.total_error < 0.03 * found.estimate.value


def test_without_extrapolation_the_commutator_is_wrong(standard):
    one_step = commutator_at_lags(standard).map(lambda c: 2 * c[..., 0] - c[..., 1])
    assert_inconsistent(commutator_at_lags(standard)[0], 1.0)
    assert_inconsistent(one_step, 1.0)


@pytest.mark.slow
def test_errors_of_the_extrapolation_are_calibrated():
    runs = [run_of(nnqm.harmonic_oscillator(), n_paths=5000, seed=s) for s in range(150)]
    pulls = np.array(
        [[float(commutator(r).estimate.pull(1.0)), float(uncertainty(r).estimate.pull(0.5))] for r in runs]
    )
    # The systematic part is a bound, so that pulls are narrower than a normal distribution.
    for column in pulls.T:
        assert_pulls_are_standard(column, errors_are_bounds=True)


def test_the_number_of_lags_follows_the_noise():
    few = commutator(run_of(nnqm.harmonic_oscillator(), n_paths=2000))
    many = commutator(run_of(nnqm.harmonic_oscillator(), n_paths=400_000))
    assert few.n_lags < many.n_lags
    assert many.estimate.total_error < few.estimate.total_error / 5


def test_noise_of_another_strength_is_a_c_number_but_not_canonical():
    run = run_of(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0, 2.0)))
    found = commutator(run)
    assert found.verdict == "c-number"
    assert_consistent(found.estimate, 4.0)


@pytest.mark.slow
def test_commutator_of_a_network_is_an_operator(tanh):
    def slope(z):
        return 2 * (1 - np.tanh(2 * z / np.sqrt(2)) ** 2)

    second = stationary_average(lambda z: slope(z) ** 2)
    fourth = stationary_average(lambda z: slope(z) ** 4)
    found = commutator(tanh)
    assert found.verdict == "operator"
    assert_consistent(found.estimate, second)
    assert_inconsistent(found.estimate, 1.0)
    fine = run_of(tanh.theory, n_paths=20_000, dt=1e-4, precision="float64")
    assert_consistent(commutator_spread(fine), fourth / second**2)
    assert_inconsistent(commutator_spread(fine), 1.0)


def test_momentum_and_uncertainty_of_a_network(tanh):
    def generated(z):
        y = z / np.sqrt(2)
        f = np.tanh(2 * y)
        first, second = 2 * (1 - f**2), -2 * 2**2 * f * (1 - f**2)
        return second / 2 - y * first

    # <p^2> = m^2 <(L f)^2>, L the generator of the process.
    exact = stationary_average(lambda z: generated(z) ** 2)
    variance = stationary_average(lambda z: np.tanh(2 * z / np.sqrt(2)) ** 2)
    found = momentum_squared(tanh)
    assert found.verdict == "converged"
    assert_consistent(found.estimate, exact)
    product = uncertainty(tanh).estimate
    assert_consistent(product, np.sqrt(variance * exact))
    assert product.value > commutator(tanh).estimate.value / 2


def test_inputs_of_a_network_are_channels_too():
    run = run_of(nnqm.builtin_theory("deep-tanh"), n_paths=20_000, dt=0.1)
    assert commutator(run, "y").verdict == "canonical"
    assert commutator(run, "x").verdict == "operator"


@pytest.fixture(scope="module")
def kinked():
    network = nnqm.Network([[[1.0], [-1.0]], [[1.0, 1.0]]], activation="relu")
    return run_of(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network), n_paths=400_000, dt=0.05)


@pytest.mark.slow
def test_kinked_networks_are_extrapolated_in_the_root_of_dt(kinked):
    found = commutator(kinked)
    assert found.verdict == "operator (kinked)"
    # |y| has slope 1 nearly everywhere.
    assert_consistent(found.estimate, 1.0)
    # Powers of dt instead of its root would leave 5% or more.
    assert float(found.estimate.value) == pytest.approx(1.0, abs=0.03)
    assert momentum_squared(kinked).estimate is None
    assert momentum_squared(kinked).verdict == uncertainty(kinked).verdict == "diverges (kinked)"


@pytest.mark.slow
def test_kinks_of_paths_without_a_theory_are_found():
    theory = nnqm.harmonic_oscillator()
    paths = nnqm.sample_paths(theory, 50_000, 64, 0.05, rng=2)
    kinked = nnqm.accumulate(np.abs(paths), 0.05, measure=nnqm.Measure(increment_lags=FEW, observable_lags=[]))
    assert commutator(kinked).verdict == "operator (kinked)"
    assert_consistent(commutator(kinked).estimate, 1.0)
    assert (
        commutator(nnqm.accumulate(paths, 0.05, measure=nnqm.Measure(increment_lags=FEW, observable_lags=[]))).verdict
        == "canonical"
    )


def test_smooth_paths_have_no_commutator():
    run = nnqm.accumulate(smooth_paths(), 0.1, measure=nnqm.Measure(increment_lags=FEW))
    found = commutator(run)
    assert found.verdict == "none (smooth)"
    assert_consistent(found.estimate, 0.0, expected_error=1e-6)
    assert float(roughness_exponent(run).value) == pytest.approx(1.0, abs=0.02)
    squared = momentum_squared(run)
    assert squared.verdict == "negative (smooth)"
    # p = i m dx/dt, and <(dx/dt)^2> = <k^2> = 1.
    assert_consistent(squared.estimate, -1.0)
    assert uncertainty(run).estimate is None
    assert "unknown" in str(uncertainty(run))


def test_a_smooth_process_is_recognised_on_a_coarse_grid():
    run = nnqm.accumulate(smooth_paths(dt=0.8), 0.8, measure=nnqm.Measure(increment_lags=FEW))
    assert commutator(run).verdict == "none (smooth)"


def test_slow_convergence_is_said_and_covered_by_the_systematic_error():
    run = run_of(nnqm.builtin_theory("deep-tanh"), n_paths=100_000, n_times=128)
    theory = nnqm.kallen_lehmann(run.theory, "x")
    found = momentum_squared(run)
    assert found.verdict == uncertainty(run).verdict == "not converged"
    assert_consistent(found.estimate, theory.momentum_squared)
    assert_inconsistent(found.estimate.with_systematic(0.0), theory.momentum_squared)
    assert_consistent(commutator(run).estimate, theory.commutator)


def fractional(rng, power, dt, n_paths=4000, n_times=48):
    lags = np.abs(np.subtract.outer(np.arange(n_times), np.arange(n_times))) * dt
    return rng.normal(size=(n_paths, n_times)) @ np.linalg.cholesky(np.exp(-(lags**power))).T


@pytest.mark.parametrize(
    ("power", "commutes", "momentum"),
    [
        (0.6, "diverges (fractional)", "diverges (fractional)"),
        (1.3, "none (fractional)", "diverges (fractional)"),
        (1.0, "c-number", "converged"),
    ],
)
def test_fractional_exponents_have_no_commutator(power, commutes, momentum):
    # exp(-t^(2H)) has roughness exponent H; at H = 1/2 it is the Ornstein-Uhlenbeck process, of commutator 2.
    run = nnqm.accumulate(
        fractional(np.random.default_rng(1), power, 0.05), 0.05, measure=nnqm.Measure(increment_lags=FEW)
    )
    assert commutator(run).verdict == commutes
    assert momentum_squared(run).verdict == momentum
    assert (commutator(run).estimate is None) == (power != 1.0)
    if power == 1.0:
        assert_consistent(commutator(run).estimate, 2.0)


@pytest.mark.slow
def test_coarse_grids_and_kinks_are_not_taken_for_fractional_exponents():
    for dt in (0.01, 0.05, 0.2, 0.5, 1.0, 2.0):
        for seed in range(3):
            y = nnqm.sample_paths(nnqm.harmonic_oscillator(), 20_000, 48, dt, rng=seed)
            for x in (y, np.abs(y), np.tanh(2 * y)):
                run = nnqm.accumulate(x, dt, measure=nnqm.Measure(increment_lags=FEW, observable_lags=[], lags=[0]))
                assert "fractional" not in commutator(run).verdict, dt


def test_the_spread_of_the_commutator_and_the_variable_are_reported(tanh, standard, kinked):
    found = commutator(standard)
    assert found.variable == "dt"
    assert_consistent(found.spread, 1.0)
    assert "in powers of dt; canonical; spread 1.0" in str(found)

    def slope(z):
        return 2 * (1 - np.tanh(2 * z / np.sqrt(2)) ** 2)

    second = stationary_average(lambda z: slope(z) ** 2)
    fourth = stationary_average(lambda z: slope(z) ** 4)
    assert_consistent(commutator(tanh).spread, fourth / second**2)
    assert_inconsistent(commutator(tanh).spread, 1.0)
    assert commutator(kinked).variable == "sqrt(dt)"
    # |y| has slopes 1 and -1, so that its square does not fluctuate, away from the kink.
    assert_consistent(commutator(kinked).spread, 1.0)


def test_too_coarse_a_grid_has_no_limit():
    run = run_of(nnqm.harmonic_oscillator(), dt=4.0)
    for function in (commutator, momentum_squared, uncertainty):
        assert function(run).estimate is None
        assert function(run).verdict == "not converged"


def test_a_constant_channel_has_no_commutator():
    run = nnqm.accumulate(np.full((64, 20), 3.0), 0.1, measure=nnqm.Measure(increment_lags=FEW))
    assert commutator(run).verdict == "none (constant)"
    assert float(commutator(run).estimate.value) == 0.0
    assert float(uncertainty(run).estimate.value) == 0.0
    for function in (roughness_exponent, commutator_spread):
        with pytest.raises(ValueError, match="channel x is constant"):
            function(run)


def test_noise_in_the_momentum_is_said_not_to_be_resolved():
    run = run_of(nnqm.harmonic_oscillator(), n_paths=256, n_times=16, dt=0.002, n_blocks=4)
    found = uncertainty(run)
    assert found.estimate is None
    assert found.verdict == "not resolved (noise)"


@pytest.mark.parametrize(
    "function", [commutator, commutator_spread, momentum_squared, momentum_squared_at_lags, uncertainty]
)
def test_missing_lags_are_named(function):
    run = run_of(nnqm.harmonic_oscillator(), n_paths=256, increment_lags=[2, 3])
    with pytest.raises(ValueError, match=r"increment_lags must hold 1 and 2 .* got \[2, 3\]"):
        function(run)


@pytest.mark.parametrize("function", [quadratic_variation, commutator_at_lags])
def test_missing_increments_are_named(function):
    with pytest.raises(ValueError, match="holds no increments"):
        function(run_of(nnqm.harmonic_oscillator(), n_paths=256, increment_lags=[]))
    times = [0.0, 0.1, 0.3]
    with pytest.raises(ValueError, match="holds no increments"):
        function(
            nnqm.simulate(nnqm.harmonic_oscillator(), 256, times=times, rng=1, measure=nnqm.Measure(two_time=True))
        )


def test_two_lags_are_not_enough_to_converge():
    found = momentum_squared(run_of(nnqm.harmonic_oscillator(), increment_lags=[1, 2]))
    assert found.n_lags == 1
    assert found.verdict == "not converged"


def test_examples():
    import sys

    assert doctest.testmod(sys.modules["nnqm.estimators.roughness"]).failed == 0
