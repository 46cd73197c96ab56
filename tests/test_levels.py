"""The spectrum: exact on exact correlators, right on sampled ones, silent on noise."""

from dataclasses import replace

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent


@pytest.fixture(scope="module")
def oscillator():
    return nnqm.simulate(nnqm.harmonic_oscillator(2.0, mass=0.5, hbar=3.0), 60_000, 128, 0.1, rng=11)


def exact_correlators(gaps, dt=0.2, n_lags=3, mixing_seed=0, relative_noise=1e-9):
    """A run whose sums are those of states with the given gaps, seen through a random mixture of more observables."""
    n = len(gaps)
    seen = n + 3
    small = nnqm.simulate(
        nnqm.harmonic_oscillator(),
        640,
        32,
        dt,
        rng=1,
        precision="float64",
        n_blocks=10,
        observables=nnqm.default_observables(nnqm.harmonic_oscillator(), order=seen, neurons=0),
        observable_lags=range(1, n_lags + 1),
        lags=(),
    )
    rng = np.random.default_rng(mixing_seed)
    mixing = np.eye(seen + 1, n + 1)
    mixing[1:, 1:] += 0.3 * rng.normal(size=(seen, n))
    mixing[1:, 0] = rng.normal(size=seen)
    decay = np.array([0.0, *gaps])
    sums = {name: array.copy() for name, array in small.sums.items()}
    for b in range(10):
        for k, lag in enumerate(small.observable_lags):
            count = small.block_paths[b] * (32 - lag)
            # Noise of the states, so that what has no state stays empty.
            noise = 1 + relative_noise * rng.normal(size=(n + 1, n + 1))
            noise[0, :] = noise[:, 0] = 1
            moved = np.diag(np.exp(-decay * lag * dt)) * (noise + noise.T) / 2
            sums["observable_lags"][b, k, 0] = count * mixing @ moved @ mixing.T
            sums["observable_lags"][b, k, 1] = 2 * count * mixing @ mixing.T
    return replace(small, sums=sums), mixing[1, 1:] ** 2


@pytest.mark.parametrize("t0", [0, 1, 2])
def test_gevp_is_exact_on_exact_correlators(t0):
    gaps = [0.3, 1.1, 1.9, 4.0]
    run, weights = exact_correlators(gaps)
    found, strengths = nnqm.gevp(run, t0)
    assert len(found) == 4
    np.testing.assert_allclose([float(g.value) for g in found], gaps, rtol=1e-5)
    np.testing.assert_allclose([float(w.value) for w in strengths], 0.5 * weights, rtol=1e-4)
    spectrum = nnqm.spectrum(run, 4)
    np.testing.assert_allclose([float(g.value) for g in spectrum.gaps], gaps, rtol=1e-5)
    assert float(spectrum.commutator.value) == pytest.approx(2 * np.dot(gaps, 0.5 * weights), rel=1e-4)
    assert float(spectrum.momentum_squared.value) == pytest.approx(np.dot(np.square(gaps), 0.5 * weights), rel=1e-4)


def test_two_equal_levels_are_one_multiplet():
    run, _ = exact_correlators([0.5, 0.5, 2.0], relative_noise=1e-6)
    levels = nnqm.spectrum(run, 3).levels
    assert [level.multiplicity for level in levels] == [2, 1]


def test_oscillator_levels_in_energy_units(oscillator):
    spectrum = nnqm.spectrum(oscillator, 3)
    assert len(spectrum.gaps) == 3
    for n, gap in enumerate(spectrum.gaps, start=1):
        assert_consistent(gap, 6.0 * n)
    assert_inconsistent(spectrum.gaps[0], 6.3)
    # <0|x|1>^2 = hbar / (2 m omega), all of the commutator
    assert_consistent(spectrum.levels[0].weight, 1.5)
    assert_consistent(spectrum.commutator, 1.0)
    assert_consistent(spectrum.momentum_squared, 1.5)
    assert_inconsistent(spectrum.commutator, 2.0)


def test_energies_have_no_ground_state_energy(oscillator):
    spectrum = nnqm.spectrum(oscillator, 2)
    assert float(spectrum.energies[0].value) == 0
    with pytest.raises(ValueError, match="ground_energy is needed: paths determine gaps only"):
        spectrum.absolute_energies()
    assert_consistent(spectrum.absolute_energies(3.0)[1], 9.0)


def test_deep_tanh_levels_and_weights():
    theory = nnqm.builtin_theory("deep-tanh")
    run = nnqm.simulate(theory, 40_000, 128, 0.2, rng=3)
    spectrum, exact = nnqm.spectrum(run, 3), nnqm.kallen_lehmann(theory)
    for n in range(3):
        assert_consistent(spectrum.gaps[n], n + 1.0)
        assert_consistent(spectrum.levels[n].weight, exact.weights[n])
    assert_inconsistent(spectrum.levels[0].weight, 1.05 * exact.weights[0])


def test_three_equal_inputs_are_seen_as_a_triplet():
    run = nnqm.simulate(nnqm.builtin_theory("three-inputs"), 20_000, 64, 0.2, rng=4)
    first = nnqm.spectrum(run, 3).levels[0]
    assert first.multiplicity == 3
    assert_consistent(first.gap, 1.0)


def test_noise_has_no_levels():
    paths = np.random.default_rng(1).normal(size=(4000, 64))
    spectrum = nnqm.spectrum(nnqm.accumulate(paths, 0.2), 10)
    assert spectrum.gaps == ()
    assert spectrum.levels[0].verdict == "noise"


def test_unresolvable_levels_are_not_reported():
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 3000, 32, 0.2, rng=2)
    spectrum = nnqm.spectrum(run, 10)
    assert 1 <= len(spectrum.gaps) < 10
    verdicts = [level.verdict for level in spectrum.levels]
    assert verdicts == sorted(verdicts, key=lambda v: v != "resolved")
    for n, gap in enumerate(spectrum.gaps, start=1):
        assert_consistent(gap, float(n))


def test_a_constant_sector_is_a_plateau():
    rng = np.random.default_rng(5)
    theory = nnqm.harmonic_oscillator()
    paths = nnqm.sample_paths(theory, 4000, 64, 0.2, rng=6, precision="float64")
    shifted = paths + rng.choice([-3.0, 3.0], size=(4000, 1, 1))
    assert nnqm.spectrum(nnqm.accumulate(shifted, 0.2), 3).levels[0].verdict == "plateau"


def test_precision_does_not_matter_within_errors():
    gaps = [
        nnqm.spectrum(nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.2, rng=7, precision=p), 3).gaps
        for p in ("float32", "float64")
    ]
    for single, double in zip(*gaps, strict=True):
        assert abs(float(single.value - double.value)) < 0.1 * float(double.error)


def test_effective_energy_of_the_oscillator_is_its_gap(oscillator):
    times, energy = nnqm.effective_energy(oscillator)
    assert times[0] == pytest.approx(0.05)
    assert_consistent(energy[:8], np.full(8, 6.0))
    assert_inconsistent(energy[:8], np.full(8, 6.2))


def test_bad_input_is_named(oscillator):
    with pytest.raises(ValueError, match="t0 must be 0 or one of"):
        nnqm.gevp(oscillator, 7)
    with pytest.raises(ValueError, match="n_levels must be at least 1"):
        nnqm.spectrum(oscillator, 0)
    bare = nnqm.simulate(nnqm.harmonic_oscillator(), 640, 16, 0.2, rng=1, observable_lags=())
    with pytest.raises(ValueError, match="holds no observable_lags"):
        nnqm.spectrum(bare)
