"""The fused route: physics, bits, and its stages."""

import numpy as np
import pytest

import nnqm


def test_oscillator_two_point_function_is_exact_within_errors():
    theory = nnqm.harmonic_oscillator()
    run = nnqm.simulate(theory, 20_000, n_times=64, dt=0.2, rng=1, lags=[0, 1, 2, 4, 8, 16])
    estimate = run.connected()
    assert estimate.consistency(0.5 * np.exp(-0.2 * np.array(run.lags))) > 1e-3


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bits_do_not_depend_on_the_number_of_threads(precision):
    theory = nnqm.builtin_theory("deep-tanh")
    runs = [
        nnqm.simulate(theory, 9000, 17, 0.1, rng=5, precision=precision, n_threads=n, two_time=True)
        for n in (1, 2, 3, 7)
    ]
    assert all(run == runs[0] for run in runs)
