"""The spectrum: exact on exact correlators, right on sampled ones, silent on noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnqm
from harness import assert_consistent, assert_inconsistent


@pytest.fixture(scope="module")
def oscillator():
    return nnqm.simulate(nnqm.harmonic_oscillator(2.0, mass=0.5, hbar=3.0), 60_000, 128, 0.1, rng=11)


def exact_correlators(gaps, dt=0.2, n_lags=3, mixing_seed=0, relative_noise=1e-9, faint=1.0):
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
        measure=nnqm.Measure(
            observables=nnqm.default_observables(nnqm.harmonic_oscillator(), order=seen, neurons=0),
            observable_lags=range(1, n_lags + 1),
            lags=(),
        ),
    )
    rng = np.random.default_rng(mixing_seed)
    mixing = np.eye(seen + 1, n + 1)
    mixing[1:, 1:] += 0.3 * rng.normal(size=(seen, n))
    mixing[1:, 0] = rng.normal(size=seen)
    if faint < 1:  # the first state, in the last observable, at the size of rounding
        mixing[:, 1] = 0
        mixing[1, 1] = faint
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_energies_have_no_ground_state_energy(oscillator):
    spectrum = nnqm.spectrum(oscillator, 2)
    assert float(spectrum.energies[0].value) == 0
    with pytest.raises(ValueError, match="ground_energy is needed: paths determine gaps only"):
        spectrum.absolute_energies()
    assert_consistent(spectrum.absolute_energies(3.0)[1], 9.0)


@pytest.mark.slow
def test_deep_tanh_levels_and_weights():
    theory = nnqm.builtin_theory("deep-tanh")
    run = nnqm.simulate(theory, 40_000, 128, 0.2, rng=3)
    spectrum, exact = nnqm.spectrum(run, 3), nnqm.kallen_lehmann(theory)
    for n in range(3):
        assert_consistent(spectrum.gaps[n], n + 1.0)
        assert_consistent(spectrum.levels[n].weight, exact.weights[n])
    assert_inconsistent(spectrum.levels[0].weight, 1.05 * exact.weights[0])


@pytest.mark.slow
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


@pytest.mark.slow
def test_unresolvable_levels_are_not_reported():
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 3000, 32, 0.2, rng=2)
    spectrum = nnqm.spectrum(run, 10)
    assert 1 <= len(spectrum.gaps) < 10
    verdicts = [level.verdict for level in spectrum.levels]
    assert verdicts == sorted(verdicts, key=lambda v: v != "resolved")
    for n, gap in enumerate(spectrum.gaps, start=1):
        assert_consistent(gap, float(n))


@pytest.mark.slow
def test_a_constant_sector_is_a_plateau():
    rng = np.random.default_rng(5)
    theory = nnqm.harmonic_oscillator()
    paths = nnqm.sample_paths(theory, 4000, 64, 0.2, rng=6, precision="float64")
    shifted = paths + rng.choice([-3.0, 3.0], size=(4000, 1, 1))
    assert nnqm.spectrum(nnqm.accumulate(shifted, 0.2), 3).levels[0].verdict == "plateau"


@pytest.mark.slow
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
    bare = nnqm.simulate(nnqm.harmonic_oscillator(), 640, 16, 0.2, rng=1, measure=nnqm.Measure(observable_lags=()))
    with pytest.raises(ValueError, match="holds no observable_lags"):
        nnqm.spectrum(bare)


@pytest.mark.slow
def test_small_directions_are_kept_where_the_double_well_needs_them():
    theory = nnqm.builtin_theory("double-well")
    run = nnqm.simulate(theory, 100_000, 128, 0.1, rng=12)
    exact = theory.sources[0].hamiltonian.gaps(5)
    # A floor of 1e-6 puts the fifth gap several errors too high.
    for gap, value in zip(nnqm.gevp(run)[0][:5], exact, strict=True):
        assert_consistent(gap, value)
    # The fifth would still fall with more neurons, by about half its error.
    found = nnqm.spectrum(run, 10)
    assert 3 <= len(found.gaps) <= 4
    assert found.advice.verdict == "basis-limited"


@pytest.mark.slow
def test_rounding_is_no_state():
    # Five values: four levels above the ground state, and thirteen directions of float32 rounding.
    step = 0.25 * (np.eye(5, k=1) + np.eye(5, k=-1)) + np.diag([0.75, 0.5, 0.5, 0.5, 0.75])
    chain = nnqm.MarkovChain([-2.0, -1.0, 0.0, 1.0, 2.0], step, dt=1.0)
    run = nnqm.simulate(nnqm.Theory(chain), 100_000, 64, 1.0, rng=7)
    found = nnqm.spectrum(run, 10)
    exact = -np.log(np.linalg.eigvalsh(step)[::-1][1:])
    assert found.basis_size == len(found.gaps) == 4
    for gap, value in zip(found.gaps, exact, strict=True):
        assert_consistent(gap, value)
    assert "have 4 states only" in str(found.advice)


def flipping_sign(n_paths, rng, noise=0.5):
    """A sign that flips with gap 1, seen through white noise, at steps of 0.2."""
    flips = rng.random((n_paths, 64)) < (1 - np.exp(-0.2)) / 2
    flips[:, 0] = rng.random(n_paths) < 0.5
    return (-1.0) ** np.cumsum(flips, axis=1) + noise * rng.normal(size=flips.shape)


@pytest.mark.slow
def test_t0_is_raised_until_levels_stand_still():
    run = nnqm.accumulate(flipping_sign(4000, np.random.default_rng(3)), 0.2)
    found = nnqm.spectrum(run, 3)
    assert found.t0 >= 1
    assert_consistent(found.gaps[0], 1.0)
    assert len(found.gaps) == 1
    assert_inconsistent(nnqm.gevp(run, 0)[0][0], 1.0)
    # Two lags leave no second t0 to see it stand still.
    short = nnqm.spectrum(
        nnqm.accumulate(
            flipping_sign(4000, np.random.default_rng(3)), 0.2, measure=nnqm.Measure(observable_lags=(1, 2))
        )
    )
    assert short.levels[0].verdict == "basis-limited"
    assert "more observable_lags" in str(short.advice)


@pytest.mark.slow
def test_polynomials_alone_are_limited_in_the_double_well():
    theory = nnqm.builtin_theory("double-well")
    powers = nnqm.default_observables(theory, neurons=0)
    found = nnqm.spectrum(nnqm.simulate(theory, 20_000, 128, 0.1, rng=1, measure=nnqm.Measure(observables=powers)), 3)
    assert found.gaps == ()
    assert found.advice.verdict == "basis-limited"
    assert "neurons=16" in str(found.advice)
    assert found.advice.n_paths is None


def test_covariance_of_levels(oscillator):
    found = nnqm.spectrum(oscillator, 3)
    covariance = found.joint.covariance()
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [float(g.error) for g in found.gaps], rtol=1e-12)
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    assert found.joint.consistency([6.0, 12.0, 18.0]) > 1e-6
    assert found.joint.consistency([6.2, 12.0, 18.0]) < 1e-6


@pytest.mark.slow
def test_advice_on_paths_is_followed():
    theory = nnqm.harmonic_oscillator()
    small = nnqm.spectrum(nnqm.simulate(theory, 2000, 64, 0.2, rng=5), 8)
    advice = small.advice
    assert advice.level == len(small.gaps) + 1
    assert f"about {advice.n_paths:,} paths would resolve it, now there are 2,000" in str(advice)
    assert str(advice) in str(small)
    assert len(nnqm.spectrum(nnqm.simulate(theory, advice.n_paths, 64, 0.2, rng=6), 8).gaps) >= advice.level


@pytest.mark.slow
def test_advice_on_the_time_step():
    found = nnqm.spectrum(nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 2.0, rng=5), 4)
    assert 0 < len(found.gaps) < 4
    assert 0 < found.advice.dt < 0.5
    assert f"dt = {found.advice.dt:g}" in str(found.advice)
    assert nnqm.spectrum(nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.2, rng=5), 2).advice is None


@pytest.mark.slow
def test_drift_within_paths_and_between_them_is_noticed():
    theory = nnqm.harmonic_oscillator()
    paths = nnqm.sample_paths(theory, 2000, 64, 0.2, rng=8, precision="float64")
    start = 3 * np.exp(-0.2 * np.arange(64))[:, None]
    slope = np.linspace(-0.1, 0.1, 2000)[:, None, None]
    # In chunks of one block each nobody looks at the paths as a series.
    runs = nnqm.accumulate(paths + start, 0.2), nnqm.accumulate(iter(np.split(paths + slope, 100)), 0.2, n_blocks=1)
    for run in runs:
        found = nnqm.spectrum(run, 3)
        assert found.levels[0].verdict == "not stationary"
        assert found.gaps == ()
        assert "drift" in str(found.advice)
        with pytest.raises(nnqm.results.SpectrumError, match="no level is resolved") as stopped:
            _ = found.joint
        assert stopped.value.partial is found
    assert nnqm.spectrum(nnqm.accumulate(paths, 0.2), 3).gaps


@pytest.mark.slow
def test_paths_that_turn_are_irreversible():
    rng = np.random.default_rng(9)
    turn = 0.9 * np.exp(0.5j)
    z = np.empty((2000, 64), complex)
    normal = rng.normal(size=(64, 2000, 2)) @ [1, 1j]
    z[:, 0] = normal[0]
    for t in range(1, 64):
        z[:, t] = turn * z[:, t - 1] + np.sqrt(1 - 0.81) * normal[t]
    found = nnqm.spectrum(nnqm.accumulate(np.stack([z.real, z.imag], axis=2), 0.2), 3)
    assert found.levels[0].verdict == "irreversible"
    with pytest.raises(TypeError, match="paths must be real numbers; got dtype complex128"):
        nnqm.accumulate(z, 0.2)


@pytest.mark.slow
def test_periodic_paths_have_a_slower_tail():
    n, dt = 32, 0.2
    # An oscillator of period beta = 6.4, mode by mode.
    frequency = 2 * np.sin(np.pi * np.arange(n) / n) / dt
    modes = np.fft.fft(np.random.default_rng(10).normal(size=(8000, n))) / np.sqrt(dt * (1 + frequency**2))
    found = nnqm.spectrum(nnqm.accumulate(np.fft.ifft(modes).real, dt), 2)
    assert found.levels[0].verdict == "slower tail"
    assert "periodic" in str(found.advice)


def test_few_blocks_give_an_error_that_carries_the_levels():
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.2, rng=1, n_blocks=4)
    with pytest.raises(
        nnqm.results.SpectrumError, match="at least 8 blocks; got 4; use more or longer paths"
    ) as stopped:
        nnqm.spectrum(run, 2)
    partial = stopped.value.partial
    assert partial.gaps == ()
    assert {level.verdict for level in partial.levels} == {"few blocks"}
    assert float(partial.levels[0].gap.value) == pytest.approx(1.0, abs=0.02)


def test_constant_paths_have_no_spectrum():
    with pytest.raises(nnqm.results.SpectrumError, match="all observables are constant"):
        nnqm.spectrum(nnqm.accumulate(np.ones((500, 32)), 0.2))


@pytest.mark.slow
def test_neurons_of_a_network_are_observables():
    theory = nnqm.builtin_theory("deep-tanh")
    chosen = nnqm.default_observables(theory, order=4, neurons=theory.network)
    y = np.linspace(-2, 2, 9)[:, None]
    hidden = nnqm.Network(theory.network.weights[:1], theory.network.biases[:1], ["tanh"])
    z = (y - chosen.shift[1]) / chosen.scale[1]
    np.testing.assert_allclose(np.tanh(z * chosen.weights[:, 1] + chosen.biases), hidden(y), atol=1e-4)
    found = nnqm.spectrum(nnqm.simulate(theory, 20_000, 64, 0.2, rng=1, measure=nnqm.Measure(observables=chosen)), 2)
    for n, gap in enumerate(found.gaps, start=1):
        assert_consistent(gap, float(n))
    assert len(found.gaps) == 2
    with pytest.raises(ValueError, match="a network on the 1 channels observed; got one of 3 inputs"):
        nnqm.default_observables(theory, neurons=nnqm.builtin_theory("three-inputs").network)
    with pytest.raises(ValueError, match="must be a network with a hidden layer"):
        nnqm.default_observables(theory, neurons=nnqm.Network([[[1.0]]]))


@pytest.mark.slow
def test_functions_of_ones_own_span_what_they_span():
    theory = nnqm.harmonic_oscillator()
    own = nnqm.simulate_functions(
        theory,
        lambda x: np.concatenate([x, x**2 - 1, x**3], axis=2),
        6400,
        64,
        0.2,
        names=["x", "square", "cube"],
        rng=2,
        precision="float64",
    )
    polynomials = nnqm.default_observables(theory, order=3, neurons=0)
    run = nnqm.simulate(
        theory, 6400, 64, 0.2, rng=2, precision="float64", measure=nnqm.Measure(observables=polynomials)
    )
    for mine, its in zip(nnqm.gevp(own)[0], nnqm.gevp(run)[0], strict=True):
        assert float(mine.value) == pytest.approx(float(its.value), rel=1e-9)
        assert float(mine.error) == pytest.approx(float(its.error), rel=0.5)
    assert own.keys == run.keys
    assert own.channels == ("x", "square", "cube")
    assert_consistent(own.connected("x")[0], 0.5)
    # The highest level of a small basis is an upper bound, and nothing is there to compare it with.
    assert nnqm.spectrum(own, 3).advice.verdict == "basis-limited"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :, 0], r"functions must return shape \(paths, n_times, K\) = \(64, 16, K\); got \(64, 16\)"),
        (lambda x: x * 1j, "functions must return real numbers; got dtype complex64; take"),
        (lambda x: x / 0, "paths must be finite"),
        ("x**2", "functions must be callable; got 'x\\*\\*2'; give one function"),
    ],
)
def test_functions_that_are_none_are_named(function, message):
    with np.errstate(divide="ignore"), pytest.raises((TypeError, ValueError), match=message):
        nnqm.simulate_functions(nnqm.harmonic_oscillator(), function, 640, 16, 0.2, rng=1)
    with pytest.raises(ValueError, match="names must be 1 different strings"):
        nnqm.simulate_functions(nnqm.harmonic_oscillator(), lambda x: x, 640, 16, 0.2, rng=1, names=["a", "b"])


@pytest.fixture(scope="module")
def few_paths():
    return nnqm.sample_paths(nnqm.harmonic_oscillator(), 1000, 32, 0.2, rng=4, precision="float64")


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.sampled_from([-1, 1]), st.floats(0.1, 10), st.floats(0.1, 10))
def test_units_and_signs_only_rescale(few_paths, factor, shift, sign, hbar, dt):
    # Neurons are not symmetric under x -> -x; polynomials are.
    mean, std = np.array([shift]), np.array([factor])
    chosen = nnqm.default_observables((mean, std, ["x"]), neurons=0)
    usual = nnqm.default_observables(([0.0], [1.0], ["x"]), neurons=0)
    before = nnqm.gevp(nnqm.accumulate(few_paths, 0.2, measure=nnqm.Measure(observables=usual)))
    after = nnqm.gevp(
        nnqm.accumulate(sign * factor * few_paths + shift, dt, hbar=hbar, measure=nnqm.Measure(observables=chosen))
    )
    for n in range(2):
        assert float(after[0][n].value) == pytest.approx(float(before[0][n].value) * hbar * 0.2 / dt, rel=1e-6)
        assert float(after[1][n].value) == pytest.approx(float(before[1][n].value) * factor**2, rel=1e-5, abs=1e-12)


def test_a_direction_of_rounding_size_is_a_state_in_double_precision_only():
    run, _ = exact_correlators([0.3, 1.1, 1.9], faint=3e-4)
    for precision, lowest in (("float64", 0.3), ("float32", 1.1)):
        gaps = nnqm.gevp(replace(run, precision=precision))[0]
        assert float(gaps[0].value) == pytest.approx(lowest, rel=1e-3)


@pytest.mark.slow
def test_the_largest_eigenvalue_of_noise_does_not_persist():
    # It stands many errors above zero and decays like a level; on other blocks it is gone.
    names = [f"x{i}" for i in range(40)]
    linear = nnqm.default_observables((np.zeros(40), np.ones(40), names), order=1, neurons=0)
    run = nnqm.accumulate(
        np.random.default_rng(1).normal(size=(2000, 64, 40)), 0.2, measure=nnqm.Measure(observables=linear)
    )
    top = nnqm.gevp(run)[0][0]
    assert float(top.error) < 0.1 * float(top.value)
    found = nnqm.spectrum(run, 3)
    assert found.gaps == ()
    assert found.advice.n_paths is None
    assert "no state found on one half of the blocks persists on the other" in str(found.advice)


@pytest.mark.slow
def test_levels_of_rare_events_are_not_resolved():
    # The sixth wave function of the oscillator lives where 2000 short paths are a few times.
    theory = nnqm.harmonic_oscillator()
    resolved = [len(nnqm.spectrum(nnqm.simulate(theory, 2000, 64, 0.2, rng=s), 8).gaps) for s in range(8)]
    assert max(resolved) <= 4
    assert min(resolved) >= 2
    # A run of which a direction moves in one half of the blocks only.
    assert nnqm.spectrum(nnqm.simulate(theory, 2000, 64, 0.2, rng=70_001), 8).gaps


@pytest.mark.slow
def test_mixtures_of_levels_are_not_resolved():
    # Four inputs without products: level 2 has ten members, of which the basis holds four; its other states mix levels
    # 2 and 3.
    network = nnqm.Network.random((4, 5, 1), "tanh", rng=1)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0] * 4), network)
    powers = nnqm.Measure(observables=nnqm.default_observables(theory, neurons=16, products=0))
    found = nnqm.spectrum(nnqm.simulate(theory, 20_000, 64, 0.1, rng=1, measure=powers), 5)
    assert [level.multiplicity for level in found.levels[:2]] == [4, 4]
    for level, exact in zip(found.levels[:2], (1.0, 2.0), strict=True):
        assert level.resolved
        assert_consistent(level.gap, exact)
    assert found.levels[2].verdict == "basis-limited"
    assert 2.2 < float(found.levels[2].gap.value) < 2.9


@pytest.mark.slow
def test_lag_zero_is_no_step():
    theory = nnqm.harmonic_oscillator()
    with_zero, without = (
        nnqm.simulate(theory, 6400, 64, 0.2, rng=1, measure=nnqm.Measure(observable_lags=lags))
        for lags in ((0, 1, 2), (1, 2))
    )
    assert nnqm.spectrum(with_zero, 2).gaps[0].value == nnqm.spectrum(without, 2).gaps[0].value
    with pytest.raises(
        ValueError, match=r"levels need an observable lag above 0; got \[0\]; use measure=Measure\(observable_lags="
    ):
        nnqm.spectrum(nnqm.simulate(theory, 6400, 64, 0.2, rng=1, measure=nnqm.Measure(observable_lags=(0,))))


@pytest.mark.slow
def test_rounding_of_single_precision_is_smaller_than_what_the_double_well_needs():
    # States of a chain are few, so that rounding has a direction and does not average out. The third gap needs
    # directions of 1e-8 and 3e-8 of the largest, which count as such above four times the rounding that is seen.
    theory = nnqm.builtin_theory("double-well")
    run = nnqm.simulate(
        theory, 20_000, 128, 0.1, rng=1, measure=nnqm.Measure(lags=(), observable_lags=(1,), increment_lags=())
    )
    squares = run.sums["observable_lags"].sum(axis=0)[0, 1]
    squares /= squares[0, 0]
    connected = (squares - np.outer(squares[0], squares[0]))[1:, 1:]
    scale = 1 / np.sqrt(np.diag(connected))
    values = np.linalg.eigvalsh(connected * scale[:, None] * scale)
    assert values[0] > -5e-9 * values[-1]
