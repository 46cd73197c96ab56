"""One table: every kind of theory sampled, and compared with its exact answers jointly at many lags."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent

N_TIMES, N_LAGS = 64, 10


def deep(activation, widths=(1, 6, 5, 1), **options):
    return nnqm.Network.random(widths, activation, rng=11, weight_std=1.5, bias_std=0.5, **options)


def ground_state(coefficients, network=None):
    return nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian(coefficients), n_grids=16), network)


QUARTIC, WELLS = [0, 0, 0.5, 0, 1], [1.5**4, 0, -2 * 1.5**2, 0, 1]
OU = nnqm.OrnsteinUhlenbeck(1.0)
THREE = nnqm.OrnsteinUhlenbeck([0.5, 1.0, 1.7], [0.8, 1.0, 1.3])
STEPS = [[0.2, 0.7, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]

# Theory, dt and paths.
THEORIES = {
    "oscillator": lambda: (nnqm.harmonic_oscillator(1.3, mass=0.8, hbar=0.7), 0.2, 30_000),
    "deep tanh": lambda: (nnqm.Theory(OU, deep("tanh")), 0.2, 30_000),
    "deep relu": lambda: (nnqm.Theory(OU, deep("relu")), 0.2, 30_000),
    "three inputs": lambda: (nnqm.Theory(THREE, deep("tanh", (3, 6, 5, 1))), 0.15, 30_000),
    "relu of two inputs": lambda: (
        nnqm.Theory(nnqm.OrnsteinUhlenbeck([0.5, 1.3]), deep("relu", (2, 6, 1))),
        0.15,
        30_000,
    ),
    "x^4": lambda: (ground_state(QUARTIC), 0.15, 30_000),
    "deep relu on x^4": lambda: (ground_state(QUARTIC, deep("relu")), 0.15, 30_000),
    "double well": lambda: (ground_state(WELLS), 0.2, 30_000),
    "deep tanh on a double well and an oscillator": lambda: (
        nnqm.Theory([OU, nnqm.GroundStateProcess(nnqm.Hamiltonian(WELLS))], deep("tanh", (2, 6, 1))),
        0.2,
        30_000,
    ),
    "an alternating chain": lambda: (nnqm.Theory(nnqm.MarkovChain([-1, 1, 3], STEPS, 0.5), deep("relu")), 0.5, 30_000),
}


BETA = 3.2
CLOSED = {
    "thermal oscillator": nnqm.ThermalOrnsteinUhlenbeck(1.0, 1.2, beta=BETA),
    "thermal x^4": nnqm.ThermalProcess(nnqm.Hamiltonian(QUARTIC), BETA),
}


@pytest.mark.parametrize("network", [None, deep("tanh")], ids=["", "with deep tanh"])
@pytest.mark.parametrize("name", CLOSED)
def test_closed_paths_against_traces(name, network):
    theory = nnqm.Theory(CLOSED[name], network)
    lags = np.arange(9)  # t and beta - t are one
    run = nnqm.simulate(theory, 20_000, 16, BETA / 16, rng=102, measure=nnqm.Measure(lags=range(16)))
    exact = nnqm.thermal_measure(theory)
    connected = exact.connected(BETA / 16 * lags)
    assert_consistent(run.connected()[lags], connected)
    assert_consistent(run.mean(), exact.mean)
    assert_consistent(run.moments()[0], float(exact.moments[0]))
    assert_consistent(run.kurtosis(), exact.kurtosis)
    wrong = connected.copy()
    wrong[1] *= 1.05
    assert_inconsistent(run.connected()[lags], wrong)


def of_one_hidden_layer(function, times, weight_std, bias_std):
    """E of G_c(t) and of c_0^2 over Gaussian weights, on an oscillator with omega = sigma = 1, by quadrature.

    Output weights of mean zero leave the average over one neuron: its slope and offset by Gauss and Hermite.
    """
    u, p = np.polynomial.hermite_e.hermegauss(60)
    p = p / p.sum()
    z = np.linspace(-9, 9, 601)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    hermite = [np.ones_like(z), z]
    for n in range(1, 80):
        hermite.append((z * hermite[n] - np.sqrt(n) * hermite[n - 1]) / np.sqrt(n + 1))
    slope, offset = weight_std * u[:, None, None], bias_std * u[:, None]
    values = function(slope * z / np.sqrt(2) + offset)
    squares = np.einsum("abn,a,b->n", (values @ (density * np.array(hermite)).T) ** 2, p, p) * weight_std**2
    decay = np.exp(-np.outer(times, np.arange(len(squares))))
    return decay[:, 1:] @ squares[1:], squares[0] + bias_std**2


@pytest.mark.slow
def test_random_weights_for_each_path():
    network = nnqm.RandomNetwork((1, 16, 1), "tanh", weight_std=1.5, bias_std=0.5)
    theory = nnqm.Theory(OU, network)
    lags = [0, 1, 2, 4, 8, 12, 16, 24, 40]
    run = nnqm.simulate(theory, 30_000, N_TIMES, 0.2, rng=103, measure=nnqm.Measure(lags=lags))
    connected, plateau = of_one_hidden_layer(np.tanh, 0.2 * np.array(lags), 1.5, 0.5)
    assert_consistent(run.two_point(), connected + plateau)
    assert_consistent(run.mean(), 0.0)
    assert_consistent(run.moments()[0], connected[0] + plateau)
    assert_inconsistent(run.two_point(), connected + 0.9 * plateau)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_random_weights_for_groups_of_paths(activation):
    network = nnqm.RandomNetwork((1, 16, 1), activation, weight_std=1.2, bias_std=0.5, group=8)
    theory = nnqm.Theory(OU, network)
    lags = [0, 1, 2, 4, 8, 12, 16, 24]
    times = 0.2 * np.array(lags)
    run = nnqm.simulate(theory, 60_000, N_TIMES, 0.2, rng=104, measure=nnqm.Measure(lags=lags))
    function = {"tanh": np.tanh, "relu": lambda u: np.maximum(u, 0)}[activation]
    connected, plateau = of_one_hidden_layer(function, times, 1.2, 0.5)
    measured = run.two_point().map(lambda a, b: (a - b)[..., -1], run.connected())
    assert_consistent(run.connected(), connected)
    assert_consistent(measured, plateau)
    assert_consistent(run.moments()[0], connected[0] + plateau)
    assert_inconsistent(run.connected(), 1.2 * connected)
    assert_inconsistent(measured, 1.2 * plateau)
    # The exact answer averaged over the draws of the run has the same mean and a smaller error.
    average = nnqm.average_over_weights(theory, nnqm.draw_weights(theory, 60_000, key=run.keys[0])[:2000], times)
    for i in range(len(lags)):
        assert_consistent(average.connected[i], connected[i])
    assert_consistent(average.plateau, plateau)


@pytest.mark.slow
@pytest.mark.parametrize("name", THEORIES)
def test_sampled_against_exact(name):
    theory, dt, n_paths = THEORIES[name]()
    # About one unit of time apart at most, so that every lag has something to say.
    lags = np.unique(np.linspace(0, min(24, 3 / dt), N_LAGS).astype(int))
    run = nnqm.simulate(theory, n_paths, N_TIMES, dt, rng=101, measure=nnqm.Measure(lags=[int(k) for k in lags]))
    exact = nnqm.kallen_lehmann(theory)
    connected = exact.connected(dt * lags)
    assert_consistent(run.connected(), connected)
    assert_consistent(run.mean(), exact.mean)
    assert_consistent(run.moments()[0], float(exact.moments[0]))
    assert_consistent(run.kurtosis(), exact.kurtosis)
    # Five per cent at one lag is seen.
    wrong = connected.copy()
    wrong[1] *= 1.05
    assert_inconsistent(run.connected(), wrong)
