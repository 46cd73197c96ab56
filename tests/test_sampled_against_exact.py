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


@pytest.mark.parametrize("name", THEORIES)
def test_sampled_against_exact(name):
    theory, dt, n_paths = THEORIES[name]()
    # About one unit of time apart at most, so that every lag has something to say.
    lags = np.unique(np.linspace(0, min(24, 3 / dt), N_LAGS).astype(int))
    run = nnqm.simulate(theory, n_paths, N_TIMES, dt, rng=101, lags=[int(k) for k in lags])
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
