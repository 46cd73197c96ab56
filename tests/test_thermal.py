"""Closed paths: oscillators and Hamiltonians at finite temperature, sampled and exact."""

import pickle

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent
from nnqm import Theory, ThermalOrnsteinUhlenbeck, ThermalProcess

QUARTIC = nnqm.Hamiltonian([0, 0, 0.5, 0, 1])
WELLS = nnqm.Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1])
BETA = 3.0


@pytest.mark.slow
def test_closed_oscillators_have_the_covariance_of_their_modes():
    # Independently: sum over Matsubara frequencies of sigma^2/(beta (omega^2 + w_n^2)) cos(w_n t).
    source = ThermalOrnsteinUhlenbeck([1.0, 2.5], [1.0, 0.7], beta=BETA)
    t = np.array([0.0, 0.4, 1.5, 2.9, 3.0, -0.4])
    n = np.arange(-200_000, 200_001)
    w = 2 * np.pi * n / BETA
    for i, (omega, sigma) in enumerate(zip(source.omega, source.sigma, strict=True)):
        modes = (sigma**2 / (BETA * (omega**2 + w**2))) @ np.cos(np.outer(w, t))
        np.testing.assert_allclose(source.covariance(t)[i], modes, atol=2e-6)
    np.testing.assert_allclose(source.covariance([0.0])[:, 0], source.variance)


@pytest.mark.slow
@pytest.mark.parametrize("n_times", [12, 13])
def test_the_basis_of_the_grid_is_exact(n_times):
    source = ThermalOrnsteinUhlenbeck(1.3, 0.8, beta=BETA)
    theory = Theory(source)
    # Far more paths than modes give the covariance; the exact one follows from paths by no shortcut of ours.
    y = nnqm.sample_paths(theory, 200_000, n_times, rng=1, precision="float64")[:, :, 0]
    run = nnqm.accumulate(
        y, BETA / n_times, measure=nnqm.Measure(two_time=True, lags=(0,), observable_lags=(), increment_lags=())
    )
    times = run.times
    exact = source.covariance(times)[0][np.abs(np.subtract.outer(np.arange(n_times), np.arange(n_times)))]
    assert_consistent(run.two_time_function()[0][:12], exact[0][:12])
    assert_consistent(run.two_time_function()[5][:12], exact[5][:12])


THEORIES = {
    "oscillator": (Theory(ThermalOrnsteinUhlenbeck(1.0, beta=BETA)), None),
    "deep tanh": (
        Theory(ThermalOrnsteinUhlenbeck(1.0, beta=BETA), nnqm.builtin_theory("deep-tanh").network),
        nnqm.builtin_theory("deep-tanh"),
    ),
    "x^4": (Theory(ThermalProcess(QUARTIC, BETA)), QUARTIC),
    "double well": (Theory(ThermalProcess(WELLS, 2.0)), WELLS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", THEORIES)
def test_closed_paths_have_the_exact_two_point_function(name):
    theory, exact = THEORIES[name]
    run = nnqm.simulate(theory, 60_000, 24, rng=3)
    assert run.dt == pytest.approx(theory.period / 24)
    channel = theory.outputs[0]
    half = [i for i, lag in enumerate(run.lags) if lag <= 12][:10]
    lags = np.array(run.lags)[half] * run.dt
    if exact is None:
        expected = theory.sources[0].covariance(lags)[0]
    elif isinstance(exact, nnqm.Hamiltonian):
        expected = exact.connected(lags, beta=theory.period)
    else:
        expected = nnqm.thermal_measure(exact, beta=theory.period).connected(lags)
    measured = run.connected(channel)
    assert_consistent(measured[half], expected)
    assert_inconsistent(measured[half], 1.05 * expected)
    # A whole turn less a lag is that lag, and both use all windows.
    index = {lag: i for i, lag in enumerate(run.lags)}
    for lag in (1, 3):
        np.testing.assert_allclose(measured.value[index[lag]], measured.value[index[24 - lag]], rtol=1e-12)


def test_windows_across_the_end_are_counted():
    run = nnqm.simulate(
        Theory(ThermalOrnsteinUhlenbeck(1.0, beta=BETA)),
        640,
        8,
        rng=3,
        precision="float64",
        measure=nnqm.Measure(lags=(2,)),
    )
    assert run.lags == (2, 6)
    y = nnqm.sample_paths(run.theory, 640, 8, key=run.keys[0], precision="float64")[:, :, 0]
    np.testing.assert_allclose(run.two_point().value, [np.mean(y * np.roll(y, 2, axis=1))] * 2, rtol=1e-12)


@pytest.mark.slow
def test_a_hamiltonian_at_temperature_agrees_with_the_oscillator():
    oscillator = nnqm.Hamiltonian([0, 0, 0.5])
    run = nnqm.simulate(Theory(ThermalProcess(oscillator, BETA)), 60_000, 16, rng=5)
    lags = np.array(run.lags[:9]) * run.dt
    assert_consistent(run.connected()[:9], ThermalOrnsteinUhlenbeck(1.0, beta=BETA).covariance(lags)[0])
    assert_consistent(run.kurtosis(), 0.0)


@pytest.mark.slow
def test_the_histogram_is_the_thermal_density():
    y = nnqm.sample_paths(Theory(ThermalProcess(WELLS, 2.0)), 100_000, 12, rng=2, precision="float64")[:, 7, 0]
    n = 25
    weights = np.exp(-2.0 * (WELLS.energies(n) - WELLS.energies(1)[0]))
    edges = np.linspace(-2.4, 2.4, 13)
    x = np.linspace(-2.4, 2.4, 4801)
    density = sum(w * WELLS.density(k, x) for k, w in enumerate(weights)) / weights.sum()
    mass = np.array([np.trapezoid(density[400 * i : 400 * i + 401], x[400 * i : 400 * i + 401]) for i in range(12)])
    counts = np.histogram(y, edges)[0]
    # Grid points near an edge fall to one side or the other: a per cent of a bin.
    np.testing.assert_allclose(counts / len(y), mass, atol=0.01 * mass.max() + 5 * np.sqrt(mass / len(y)).max())


@pytest.mark.slow
def test_bits_are_those_of_the_stages_and_survive_a_file(tmp_path):
    theory = THEORIES["x^4"][0]
    run = nnqm.simulate(theory, 640, 12, rng=1, n_threads=1, n_blocks=5)
    assert nnqm.simulate(theory, 640, 12, rng=1, n_threads=3, n_blocks=5) == run
    assert nnqm.load(nnqm.save(run, tmp_path / "run.nc")) == run
    closed = THEORIES["oscillator"][0]
    assert pickle.loads(pickle.dumps(closed.sources[0])) == closed.sources[0]
    for one in (theory, closed):
        assert Theory.from_dict(one.to_dict()) == one
    single, double = (
        nnqm.sample_paths(theory, 100, 12, rng=1, precision=p).astype("f4") for p in ("float32", "float64")
    )
    assert np.array_equal(single, double)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (
            "times must divide the period 3 of the theory equally; got 10 times and dt = 0.2; use dt = 0.3",
            lambda: nnqm.simulate(THEORIES["x^4"][0], 640, 10, 0.2),
        ),
        (
            "observable_lags serve levels, which need exponential decay",
            lambda: nnqm.simulate(THEORIES["x^4"][0], 640, 10, measure=nnqm.Measure(observable_lags=(1,))),
        ),
        ("beta must be positive; got beta=-1", lambda: ThermalOrnsteinUhlenbeck(1.0, beta=-1)),
        (
            "sources must all have the same period",
            lambda: Theory([nnqm.OrnsteinUhlenbeck(1.0), ThermalOrnsteinUhlenbeck(1.0, beta=1)]),
        ),
        ("is too fine: 4000 steps", lambda: nnqm.simulate(THEORIES["x^4"][0], 640, 4000)),
    ],
)
def test_bad_input_is_named_and_comes_with_a_remedy(message, call):
    with pytest.raises(ValueError, match=message):
        call()
