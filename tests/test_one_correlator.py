"""One correlator: exact on exact sums of exponentials, calibrated on noisy ones, silent where it cannot know."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats
from scipy.optimize import curve_fit

import nnqm
from harness import (
    assert_consistent,
    assert_covered,
    assert_inconsistent,
    assert_pulls_are_standard,
    assert_rate_at_most,
    assert_uniform,
    is_false_claim,
    p_value,
)
from nnqm.spectra.positive_sums import Shape
from nnqm.testing import correlators

METHODS = ("plateau", "exponentials", "rayleigh_ritz")
TIMES = 0.2 * np.arange(20)
CORRELATED = np.exp(-np.abs(np.subtract.outer(np.arange(20), np.arange(20))) / 5)


def decay(gaps, weights, times=TIMES, constant=0.0):
    return np.exp(-np.multiply.outer(np.asarray(times), gaps)) @ np.asarray(weights, dtype=float) + constant


def known(gaps, weights, error, times=TIMES, **options):
    """Exact values with a given covariance."""
    n = len(times)
    covariance = error**2 * CORRELATED[:n, :n] if n <= 20 else error**2 * np.eye(n)
    return nnqm.OneCorrelator(decay(gaps, weights, times), times, covariance=covariance, **options)


def sampled(gaps, weights, error, seed, constant=0.0, n_blocks=200):
    """A correlator as a mean over blocks, with correlated noise."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_blocks, 20)) @ np.linalg.cholesky(CORRELATED).T
    blocks = decay(gaps, weights, constant=constant) + error * np.sqrt(n_blocks) * noise
    sums = {"g": blocks, "n": np.ones(n_blocks)}
    return nnqm.jackknife(lambda s: s["g"] / s["n"][:, None], sums, np.ones(n_blocks))


@pytest.mark.parametrize("method", METHODS)
def test_one_exponential_is_found_exactly(method):
    found = getattr(known([1.3], [0.7], 1e-5, hbar=1.0), method)()
    assert len(found.gaps) == 1
    assert float(found.gaps[0].value) == pytest.approx(1.3, abs=1e-9)
    if method != "plateau":
        assert float(found.levels[0].weight.value) == pytest.approx(0.7, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_energies_are_in_units_of_hbar(method):
    one, other = known([1.3], [0.7], 1e-5), known([1.3], [0.7], 1e-5, hbar=3.0)
    a, b = (getattr(c, method)().gaps[0] for c in (one, other))
    assert float(b.value) == pytest.approx(3 * float(a.value), rel=1e-9)
    assert float(b.error) == pytest.approx(3 * float(a.error), rel=1e-6)
    assert float(b.systematic) == pytest.approx(3 * float(a.systematic), rel=1e-6)


def test_two_exponentials_are_those_of_the_matrix_pencil():
    # With five points in equal steps the eigenvalues solve lambda^2 - p lambda + q = 0 by Prony's recurrence.
    times = 0.5 + 0.4 * np.arange(5)
    g = decay([0.6, 2.0], [0.3, 0.7], times)
    p, q = np.linalg.solve([[g[1], -g[0]], [g[2], -g[1]]], [g[2], g[3]])
    roots = np.sort(np.roots([1, -p, q]))[::-1]
    found = known([0.6, 2.0], [0.3, 0.7], 1e-8, times).rayleigh_ritz()
    np.testing.assert_allclose([float(e.value) for e in found.gaps], -np.log(roots) / 0.4, rtol=1e-7)
    np.testing.assert_allclose([float(level.weight.value) for level in found.levels], [0.3, 0.7], rtol=1e-6)


def test_three_exponentials_and_their_weights_from_exact_values():
    gaps, weights = [0.5, 1.5, 4.0], [0.2, 0.5, 0.3]
    found = known(gaps, weights, 1e-9).exponentials(4)
    assert len(found.levels) == 3
    np.testing.assert_allclose([float(level.gap.value) for level in found.levels], gaps, rtol=1e-5)
    np.testing.assert_allclose([float(level.weight.value) for level in found.levels], weights, rtol=1e-4)
    assert float(found.gaps[0].systematic) < 0.01


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(correlators(noisy=False))
def test_a_level_lies_within_the_bounds(measured):
    gaps = measured.gaps
    found = nnqm.OneCorrelator(measured.exact, measured.times, covariance=measured.covariance).rayleigh_ritz()
    for level in found.levels:
        if level.gap is None:
            continue
        ritz = np.exp(-0.2 * float(level.gap.value))
        bound = 0.2 * ritz * float(level.gap.systematic)
        nearest = np.abs(np.exp(-0.2 * np.array(gaps)) - ritz).min()
        assert nearest <= bound * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("error", [1e-5, 3e-4])
@pytest.mark.parametrize("method", METHODS)
def test_two_near_levels_are_not_sold_as_one(method, error):
    # Precise enough for a fit without the second error to be many errors off, unless it sees both.
    found = getattr(known([1.0, 1.15], [0.5, 0.5], error), method)()
    lowest = found.levels[0].gap
    if len(found.gaps) < 2:
        assert_inconsistent(lowest.with_systematic(0.0), 1.0)
    assert_covered(lowest, (1.0, 1.15))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_errors_are_those_of_many_repetitions(method):
    p_values = []
    for seed in range(70):
        found = getattr(nnqm.OneCorrelator(sampled([1.0], [1.0], 3e-4, seed), TIMES), method)()
        gap = found.levels[0].gap
        p_values.append(p_value(gap.with_systematic(0.0), 1.0))
    assert_uniform(p_values)


def test_wrong_levels_are_refuted():
    for method in METHODS:
        gap = getattr(nnqm.OneCorrelator(sampled([1.0], [1.0], 3e-4, 7), TIMES), method)().levels[0].gap
        assert_consistent(gap, 1.0)
        assert_inconsistent(gap.with_systematic(0.0), 1.03)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_claimed_falsely(method):
    kinds = {"noise": ([], [], 0.0), "near": ([1.0, 1.15], [0.5, 0.5], 0.0), "plateau": ([1.0], [1.0], 0.3)}
    for gaps, weights, constant in kinds.values():
        false = 0
        for seed in range(12):
            error = 10 ** np.random.default_rng(seed).uniform(-4, -2)
            run = nnqm.OneCorrelator(sampled(gaps, weights, error, seed, constant), TIMES)
            found = getattr(run, method)().gaps
            false += is_false_claim(found, gaps)
        assert_rate_at_most(false, 12, 0.05)


@pytest.mark.parametrize("method", METHODS)
def test_one_level_is_resolved_as_long_as_nothing_can_hide_behind_it(method):
    assert getattr(known([1.0], [1.0], 1.5e-2), method)().levels[0].verdict == "resolved"
    assert getattr(known([1.0], [1.0], 4e-2), method)().levels[0].verdict != "resolved"


def test_noise_has_no_level():
    for method in METHODS:
        found = getattr(nnqm.OneCorrelator(sampled([], [], 1e-3, 1), TIMES), method)()
        assert [level.verdict for level in found.levels] == ["noise"]
        assert "gap 1 and those above are not resolved" in found.note


def test_a_constant_is_a_plateau_below_the_level():
    found = nnqm.OneCorrelator(sampled([1.0], [1.0], 1e-4, 3, constant=0.5), TIMES).exponentials()
    assert [level.verdict for level in found.levels][:2] == ["plateau", "resolved"]
    assert_consistent(found.gaps[0], 1.0)


def test_a_given_covariance_is_that_of_the_replicas():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(20, 30))
    covariance = 1e-6 * factor @ factor.T
    correlator = nnqm.OneCorrelator(decay([1.0], [1.0]), TIMES, covariance=covariance)
    assert correlator.n_samples is None
    np.testing.assert_allclose(correlator.values.error, np.sqrt(np.diag(covariance)), rtol=1e-10)
    np.testing.assert_allclose(correlator.values.covariance(), covariance, atol=1e-10 * covariance.max())


def test_the_plateau_uses_the_full_covariance():
    # One window only: generalised least squares by hand.
    times = np.arange(4) * 0.3
    covariance = 1e-8 * CORRELATED[:4, :4]
    values = decay([0.8], [1.0], times) * (1 + 1e-4 * np.array([1.0, -0.5, 0.3, 0.4]))
    correlator = nnqm.OneCorrelator(values, times, covariance=covariance)
    to_energy = np.zeros((3, 4))
    for k in range(3):
        to_energy[k, k], to_energy[k, k + 1] = 1 / values[k] / 0.3, -1 / values[k + 1] / 0.3
    inverse = np.linalg.inv(to_energy @ covariance @ to_energy.T)
    energy = -np.diff(np.log(values)) / 0.3
    expected = np.ones(3) @ inverse @ energy / inverse.sum()
    gap = correlator.plateau().levels[0].gap
    assert float(gap.value) == pytest.approx(expected, rel=1e-6)
    assert float(gap.error) == pytest.approx(1 / np.sqrt(inverse.sum()), rel=1e-3)


def by_hand(times, values, covariance, extra=False):
    """Least squares of one exponential by another program: parameters, their covariance, chi^2."""

    def model(t, a, e, v=0.0):
        return a * np.exp(-e * t) * (1 + v * t**2 / 2)

    start = [values[0], 1.0, 0.0][: 3 if extra else 2]
    found, errors = curve_fit(
        model, times, values, start, sigma=covariance, absolute_sigma=True, xtol=1e-13, ftol=1e-13
    )
    rest = values - model(times, *found)
    return found, errors, rest @ np.linalg.solve(covariance, rest)


def test_plateaus_are_averaged_by_information():
    # Every window fitted by hand; the error is that of the average with its probabilities, by finite differences.
    times, covariance = TIMES[:8], (2e-4) ** 2 * CORRELATED[:8, :8]
    values = decay([1.0, 6.0], [0.996, 0.004], times)

    def average(g):
        fits = [by_hand(times[k:], g[k:], covariance[k:, k:]) for k in range(5)]
        information = np.array([chi_squared + 4 + 4 * k for k, (_, _, chi_squared) in enumerate(fits)])
        chance = np.exp(-information / 2) / np.exp(-information / 2).sum()
        return chance @ [found[1] for found, _, _ in fits], chance

    expected, chance = average(values)
    assert np.sort(chance)[-2] > 0.1
    step = 1e-6
    slope = [(average(values + d)[0] - average(values - d)[0]) / (2 * step) for d in step * np.eye(8)]
    gap = nnqm.OneCorrelator(values, times, covariance=covariance).plateau().levels[0].gap
    assert float(gap.value) == pytest.approx(expected, rel=1e-6)
    assert float(gap.error) == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=1e-3)


def test_the_error_of_a_fit_knows_that_its_covariance_is_estimated():
    n = 60
    correlator = nnqm.OneCorrelator(sampled([1.0], [1.0], 1e-3, 5, n_blocks=n), TIMES)
    found = correlator.exponentials(1)
    chosen = np.searchsorted(TIMES, found.times)
    # Means with a block left out differ from the mean by as much as the block does, over n - 1.
    covariance = np.cov(correlator.values.replicas[:, chosen].T) * (n - 1) ** 2 / n
    parameters, errors, chi_squared = by_hand(found.times, correlator.values.value[chosen], covariance)
    gap = found.levels[0].gap
    assert float(gap.value) == pytest.approx(parameters[1], rel=1e-6)
    wider = (n - 1 + chi_squared) / (n - 1 - (len(chosen) - 2))
    assert float(gap.error) == pytest.approx(np.sqrt(errors[1, 1] * wider), rel=1e-4)


@pytest.mark.parametrize("gaps", [[1.0, 1.4], [1.0]])
def test_the_spread_is_what_a_second_order_term_is_below(gaps):
    values, covariance = decay(gaps, [1 / len(gaps)] * len(gaps)), (1e-2) ** 2 * CORRELATED
    gap = nnqm.OneCorrelator(values, TIMES, covariance=covariance).exponentials(1).levels[0].gap
    chosen = np.searchsorted(TIMES, nnqm.OneCorrelator(values, TIMES, covariance=covariance).exponentials(1).times)
    found, errors, _ = by_hand(TIMES[chosen], values[chosen], covariance[np.ix_(chosen, chosen)], extra=True)
    below = max(found[2], 0) + stats.norm.ppf(0.68) * np.sqrt(errors[2, 2])
    # The term moves the energy it is added to, which changes its own size in the next order.
    assert float(gap.systematic) == pytest.approx(np.sqrt(below), rel=0.1)


@pytest.mark.parametrize("odd", [False, True])
def test_slopes_of_the_periodic_shape(odd):
    shape, step = Shape(np.linspace(0.1, 3.9, 9) if odd else np.linspace(0, 8, 9), 4.0, odd), 1e-4
    for energy in (0.3, 2.0, 500.0):
        e = np.array([energy - step, energy, energy + step])
        for order in (0, 1):
            low, _, high = shape(e, order).T
            np.testing.assert_allclose(shape(e[1:2], order + 1)[:, 0], (high - low) / (2 * step), rtol=1e-5, atol=1e-8)


def test_the_effective_energy_of_two_levels_lies_between_them_and_falls():
    times, energy = known([1.0, 2.0], [0.5, 0.5], 1e-6).effective_energy()
    g = decay([1.0, 2.0], [0.5, 0.5])
    np.testing.assert_allclose(energy.value, -np.diff(np.log(g)) / 0.2, rtol=1e-12)
    np.testing.assert_allclose(times, TIMES[:-1] + 0.1)
    assert np.all(np.diff(energy.value) < 0)


@pytest.mark.slow
def test_a_run_knows_its_times_and_hbar():
    theory = nnqm.harmonic_oscillator(2.0, mass=0.5, hbar=3.0)
    run = nnqm.simulate(theory, 60_000, 128, 0.05, rng=11)
    correlator = nnqm.OneCorrelator(run)
    for method in METHODS:
        gap = getattr(correlator, method)().levels[0].gap
        assert_consistent(gap.with_systematic(0.0), 6.0)
        assert_inconsistent(gap.with_systematic(0.0), 6.4)


@pytest.mark.slow
def test_a_periodic_correlator_has_one_level():
    period = 8.0
    times = 0.4 * np.arange(21)
    values = np.cosh(1.2 * (period / 2 - times)) / np.sinh(1.2 * period / 2)
    covariance = 1e-10 * np.exp(-np.abs(np.subtract.outer(times, times)))
    correlator = nnqm.OneCorrelator(values, times, covariance=covariance, period=period)
    assert float(correlator.plateau().gaps[0].value) == pytest.approx(1.2, abs=1e-6)
    assert float(correlator.exponentials().gaps[0].value) == pytest.approx(1.2, abs=1e-6)
    with pytest.raises(ValueError, match="needs a decay; with a period use exponentials or plateau"):
        correlator.rayleigh_ritz()
    with pytest.raises(nnqm.results.DecayError, match=r"must decay; it rises by .* as a periodic one does") as caught:
        nnqm.OneCorrelator(values, times, covariance=covariance)
    # What could be computed comes along.
    assert len(caught.value.times) == len(caught.value.effective_energy) > 0


def test_levels_above_an_unresolved_one_are_not_resolved():
    found = known([1.0, 1.6, 2.4, 3.5], [0.25] * 4, 1e-6).rayleigh_ritz(6)
    verdicts = [level.verdict for level in found.levels]
    first = verdicts.index(next(v for v in verdicts if v != "resolved"))
    assert set(verdicts[first + 1 :]) <= {"above unresolved"}
    assert str(found).count("gap ") >= len(verdicts)


# ---- terms that alternate

STEPS = np.arange(16.0)
# Energies and weights of the terms, and of those that alternate.
ALTERNATING = {
    "small": ([0.5], [1.0], [0.8], [0.02]),
    "negative": ([1.0], [1.0], [1.646], [-0.47]),
    "equal": ([0.5], [1.0], [0.5], [-1.0]),
    "dominant": ([0.5], [1.0], [0.4], [3.0]),
}


def staggered(kind, times=STEPS):
    gaps, weights, others, other_weights = ALTERNATING[kind]
    return decay(gaps, weights, times) + (-1.0) ** times * decay(others, other_weights, times)


def noise_of(values, error):
    """Covariance of neighbours with correlation 0.9; errors follow the larger of a value and its neighbour."""
    size = error * np.maximum(np.abs(values), np.append(np.abs(values[1:]), 0))
    times = np.arange(len(values))
    return np.outer(size, size) * 0.9 ** np.abs(times[:, None] - times)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ALTERNATING)
def test_terms_that_alternate_are_levels_of_their_own(kind, method):
    gaps, weights, others, other_weights = ALTERNATING[kind]
    values = staggered(kind)
    found = getattr(nnqm.OneCorrelator(values, STEPS, covariance=noise_of(values, 1e-4)), method)()
    assert len(found.levels) == len(found.alternating) == 1
    level, other = found.levels[0], found.alternating[0]
    assert float(level.gap.value) == pytest.approx(gaps[0], abs=1e-6)
    assert float(other.gap.value) == pytest.approx(others[0], abs=1e-6)
    assert found.gaps == (level.gap,)
    if method != "plateau":
        assert float(level.weight.value) == pytest.approx(weights[0], abs=1e-6)
        assert float(other.weight.value) == pytest.approx(other_weights[0], abs=1e-6)
    assert "alternating gap 1: " in str(found)
    assert "negative eigenvalues of the transfer matrix" in found.note


def test_weights_of_terms_that_alternate_count_from_time_zero():
    values = staggered("negative", STEPS + 1)
    correlator = nnqm.OneCorrelator(values, STEPS + 1, covariance=noise_of(values, 1e-5))
    for method in ("exponentials", "rayleigh_ritz"):
        assert float(getattr(correlator, method)().alternating[0].weight.value) == pytest.approx(-0.47, abs=1e-5)


@pytest.mark.slow
def test_effective_energies_beside_a_term_that_alternates():
    values = staggered("negative")
    times, energy = nnqm.OneCorrelator(values, STEPS, covariance=noise_of(values, 1e-6)).effective_energy()
    np.testing.assert_allclose(energy.value[:8], 1.0, rtol=1e-6)
    np.testing.assert_allclose(times[:3], [1.5, 2.5, 3.5])
    # In a period: (G(t+1) + G(t-1)) takes the place of a shift.
    period, t = 32.0, np.arange(32.0)
    values = decay([0.3], [1.0], t) + decay([0.3], [1.0], period - t)
    values += 0.5 * (-1) ** t * (decay([0.5], [1.0], t) + decay([0.5], [1.0], period - t))
    correlator = nnqm.OneCorrelator(values, t, covariance=noise_of(values, 1e-4), period=period)
    np.testing.assert_allclose(correlator.effective_energy()[1].value, 0.3, rtol=1e-8)
    for method in ("plateau", "exponentials"):
        found = getattr(correlator, method)()
        assert float(found.gaps[0].value) == pytest.approx(0.3, abs=1e-6)
        assert float(found.alternating[0].gap.value) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_correlator_that_only_alternates_has_no_other_level(method):
    values = (-1) ** STEPS * np.exp(-0.4 * STEPS)
    found = getattr(nnqm.OneCorrelator(values, STEPS, covariance=noise_of(values, 1e-3)), method)()
    assert found.gaps == ()
    assert [level.verdict for level in found.alternating] == ["resolved"]
    assert float(found.alternating[0].gap.value) == pytest.approx(0.4, abs=1e-6)
    assert "no level is seen beside the terms that alternate" in found.note


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_errors_of_terms_that_alternate(method):
    values = staggered("equal")
    covariance = noise_of(values, 5e-3)
    pulls = []
    for seed in range(40):
        drawn = np.random.default_rng(seed).multivariate_normal(values, covariance)
        found = getattr(nnqm.OneCorrelator(drawn, STEPS, covariance=covariance), method)()
        for level in (found.levels[0], found.alternating[0]):
            pulls.append(float(level.gap.with_systematic(0.0).pull(0.5)))
    assert_pulls_are_standard(pulls[::2])
    assert_pulls_are_standard(pulls[1::2])


@pytest.mark.slow
def test_positive_sums_do_not_alternate():
    for seed in range(20):
        for gaps, weights in (([1.0], [1.0]), ([1.0, 2.5], [0.5, 0.5]), ([1.0], [0.0])):
            correlator = nnqm.OneCorrelator(sampled(gaps, weights, 1e-3, seed), TIMES)
            assert all(getattr(correlator, method)().alternating == () for method in METHODS)


@pytest.mark.slow
def test_a_chain_that_alternates():
    # Eigenvalues 1, 0.7 and -0.7: found as levels of either kind, at -ln 0.7.
    p = np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    run = nnqm.simulate(nnqm.Theory(nnqm.MarkovChain([0.0, 1.0, 5.0], p, dt=1.0)), 50_000, 24, 1.0, rng=1)
    for method in METHODS:
        found = getattr(nnqm.OneCorrelator(run), method)()
        assert found.levels[0].resolved
        for level in (found.levels[0], found.alternating[0]):
            assert_consistent(level.gap.with_systematic(0.0), -np.log(0.7))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_sum_with_negative_weights_is_not_resolved(method):
    values = decay([0.4, 0.9], [1.0, -0.5], STEPS)
    found = getattr(nnqm.OneCorrelator(values, STEPS, covariance=noise_of(values, 1e-3)), method)()
    assert found.gaps == ()
    assert "is no sum of positive terms" in found.note


# ---- periods

PERIOD = 24.0
LATTICE = np.arange(PERIOD)


def periodic(times=LATTICE, gap=0.4, sign=1.0, constant=0.0, period=PERIOD):
    return decay([gap], [1.0], times) + sign * decay([gap], [1.0], period - times) + constant


@pytest.mark.slow
@pytest.mark.parametrize("method", ["plateau", "exponentials"])
@pytest.mark.parametrize("constant", [0.01, -0.05])
def test_a_constant_in_a_period(method, constant):
    values = periodic(constant=constant)
    covariance = noise_of(np.abs(values) + 0.01, 1e-4)
    found = getattr(nnqm.OneCorrelator(values, LATTICE, covariance=covariance, period=PERIOD), method)()
    assert float(found.gaps[0].value) == pytest.approx(0.4, abs=1e-6)
    assert "a constant is fitted" in found.note


@pytest.mark.slow
@pytest.mark.parametrize("method", ["plateau", "exponentials"])
def test_an_antiperiodic_correlator(method):
    values = periodic(sign=-1.0)
    covariance = noise_of(values, 1e-4) + 1e-14 * np.eye(len(values))
    correlator = nnqm.OneCorrelator(values, LATTICE, covariance=covariance, period=PERIOD)
    assert correlator.antiperiodic
    assert float(getattr(correlator, method)().gaps[0].value) == pytest.approx(0.4, abs=1e-6)
    np.testing.assert_allclose(correlator.effective_energy()[1].value, 0.4, rtol=1e-9)
    half = slice(0, 12)
    options = {"covariance": covariance[half, half], "period": PERIOD}
    told = nnqm.OneCorrelator(values[half], LATTICE[half], antiperiodic=True, **options)
    assert float(getattr(told, method)().gaps[0].value) == pytest.approx(0.4, abs=1e-6)
    # Of half the range nothing tells it, but no cosh describes it.
    assert getattr(nnqm.OneCorrelator(values[half], LATTICE[half], **options), method)().gaps == ()


def test_two_levels_in_a_period_of_odd_length():
    times = np.arange(31.0)
    values = periodic(times, 0.3, period=31.0) + periodic(times, 0.9, period=31.0)
    found = nnqm.OneCorrelator(values, times, covariance=noise_of(values, 1e-5), period=31.0).exponentials()
    np.testing.assert_allclose([float(gap.value) for gap in found.gaps], [0.3, 0.9], rtol=1e-5)


def test_mirror_images_are_averaged():
    rng = np.random.default_rng(4)
    values = periodic() * (1 + 1e-3 * rng.normal(size=24))
    covariance = 1e-6 * np.diag(periodic()) ** 2
    correlator = nnqm.OneCorrelator(values, LATTICE, covariance=covariance, period=PERIOD)
    np.testing.assert_array_equal(correlator.times, np.arange(13.0))
    mean = (values[1:12] + values[:12:-1]) / 2
    np.testing.assert_allclose(correlator.values.value, [values[0], *mean, values[12]])
    np.testing.assert_allclose(correlator.values.error[1:12], 1e-3 * periodic()[1:12] / np.sqrt(2), rtol=1e-9)
    # Both sides may be the same numbers: then the errors stay.
    fold = np.array([[float(min(i, 24 - i) == j) for j in range(13)] for i in range(24)])
    same = nnqm.OneCorrelator(periodic(), LATTICE, covariance=fold @ covariance[:13, :13] @ fold.T, period=PERIOD)
    np.testing.assert_allclose(same.values.error, 1e-3 * periodic()[:13], rtol=1e-9)


def test_a_period_that_is_not_one_is_refused():
    covariance = noise_of(periodic(), 1e-3)
    with pytest.raises(
        ValueError, match=r"symmetric about half the period 25; got values that differ by .* times 2 and"
    ):
        nnqm.OneCorrelator(periodic(), LATTICE, covariance=covariance, period=25.0)
    with pytest.raises(ValueError, match=r"times must not exceed the period; got times\[23\]=23 > 20"):
        nnqm.OneCorrelator(periodic(), LATTICE, covariance=covariance, period=20.0)
    with pytest.raises(ValueError, match="antisymmetric about half the period 24"):
        nnqm.OneCorrelator(periodic(), LATTICE, covariance=covariance, period=PERIOD, antiperiodic=True)
    with pytest.raises(ValueError, match="antiperiodic needs a period"):
        nnqm.OneCorrelator(periodic(), LATTICE, covariance=covariance, antiperiodic=True)
    with pytest.raises(TypeError, match="antiperiodic must be True, False or None; got 'yes'"):
        nnqm.OneCorrelator(periodic(), LATTICE, covariance=covariance, period=PERIOD, antiperiodic="yes")


# ---- units


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_nothing_depends_on_units(method):
    values = decay([1.0, 3.0], [0.8, 0.2])
    covariance = noise_of(values, 1e-3)
    values = np.random.default_rng(3).multivariate_normal(values, covariance)

    def gap(scale, unit):
        correlator = nnqm.OneCorrelator(values * scale, TIMES * unit, covariance=covariance * scale * scale)
        found = getattr(correlator, method)().levels[0].gap
        return np.array([float(found.value), float(found.error), float(found.systematic)]) * unit

    reference = gap(1.0, 1.0)
    assert np.all(reference > 0)
    for scale in (1e-150, 1e-16, 3.0, 1e100):
        np.testing.assert_allclose(gap(scale, 1.0), reference, rtol=1e-6)
    for unit in (1e-15, 0.7, 1e15):
        np.testing.assert_allclose(gap(1.0, unit), reference, rtol=1e-6)


def test_samples_of_any_size_have_errors():
    samples = np.random.default_rng(2).multivariate_normal(decay([1.0], [1.0]), 1e-6 * CORRELATED, size=100)
    gaps = [nnqm.OneCorrelator(scale * samples, TIMES).plateau().levels[0].gap for scale in (1.0, 1e-300, 1e200)]
    for gap in gaps[1:]:
        assert float(gap.error) == pytest.approx(float(gaps[0].error), rel=1e-6)


# ---- samples


def samples_of(n, times, seed, rho=0.0, error=1e-3):
    values = 0.3 * np.exp(-0.4 * times)
    covariance = np.outer(values, values) * 0.9 ** np.abs(np.subtract.outer(times, times)) * error**2 * n
    found = np.random.default_rng(seed).multivariate_normal(0 * times, covariance, size=n)
    for i in range(1, n if rho else 0):
        found[i] = rho * found[i - 1] + np.sqrt(1 - rho**2) * found[i]
    return values + found


@pytest.mark.slow
def test_samples_are_what_their_jackknife_is():
    samples = samples_of(300, STEPS, 5)
    estimate = nnqm.jackknife(lambda s: s["g"] / s["n"][:, None], {"g": samples, "n": np.ones(300)}, np.ones(300))
    wanted = nnqm.OneCorrelator(estimate, STEPS)
    for kind in (samples, list(samples), samples.tolist(), [estimate[i] for i in range(16)]):
        found = nnqm.OneCorrelator(kind, STEPS)
        assert found.n_samples == 300
        assert found.autocorrelation_time is None
        np.testing.assert_allclose(found.values.error, wanted.values.error, rtol=1e-9)
        for method in METHODS:
            a, b = (getattr(c, method)().levels[0].gap for c in (found, wanted))
            assert float(a.value) == pytest.approx(float(b.value), rel=1e-9)
    # The same with a covariance, if it is said from how many configurations.
    covariance = np.cov(samples.T) / 300
    told = nnqm.OneCorrelator(samples.mean(axis=0), STEPS, covariance=covariance, n_samples=300)
    one, two = (c.exponentials().levels[0].gap for c in (told, wanted))
    assert float(one.error) == pytest.approx(float(two.error), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 25, 40])
@pytest.mark.parametrize("method", METHODS)
def test_errors_with_few_samples(method, n):
    p_values = []
    for seed in range(60):
        gap = getattr(nnqm.OneCorrelator(samples_of(n, np.arange(24.0), seed), np.arange(24.0)), method)().levels[0].gap
        # Of n samples and a fit of four to six points.
        p_values.append(2 * stats.t.sf(abs(float(gap.with_systematic(0.0).pull(0.4))), n - 4))
    assert_uniform(p_values)


@pytest.mark.slow
def test_few_samples_are_not_noise():
    for n in range(2, 30):
        correlator = nnqm.OneCorrelator(samples_of(n, np.arange(48.0), n), np.arange(48.0))
        for method in METHODS:
            found = getattr(correlator, method)()
            verdict = found.levels[0].verdict
            assert verdict == ("few blocks" if n < 20 else "resolved")
            assert "lost in noise" not in found.note
            assert ("too few samples" in found.note) == (n < 20)
            assert f"the covariance comes from {n} samples" in found.note
        assert len(correlator.effective_energy()[1]) == 47


@pytest.mark.parametrize("n", [2, 3])
def test_few_points_are_not_noise(n):
    correlator = known([1.0], [1.0], 1e-4, TIMES[:n])
    found = correlator.plateau()
    assert found.levels[0].verdict == "basis-limited"
    assert float(found.levels[0].gap.value) == pytest.approx(1.0, abs=1e-9)
    assert f"too few points for a fit, {n} of at least 4" in found.note


@pytest.mark.slow
def test_samples_that_depend_on_each_other():
    # Autocorrelation rho^k: an integrated time of (1 + rho)/(2 (1 - rho)).
    pulls, times = [], []
    for seed in range(40):
        correlator = nnqm.OneCorrelator(samples_of(600, STEPS, seed, rho=0.8), STEPS)
        times.append(correlator.autocorrelation_time)
        assert correlator.n_samples == int(600 / (2 * times[-1]))
        pulls.append(float(correlator.exponentials().levels[0].gap.with_systematic(0.0).pull(0.4)))
    assert np.mean(times) == pytest.approx(4.5, rel=0.35)
    assert_pulls_are_standard(pulls)
    # Without it errors would be a third as large.
    assert np.std(pulls) * np.sqrt(2 * np.mean(times)) > 2
    found = nnqm.OneCorrelator(samples_of(40, STEPS, 1, rho=0.9), STEPS).plateau()
    assert found.levels[0].verdict == "few blocks"
    assert "samples depend on each other" in found.note


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_an_unconstrained_exponential_is_no_plateau(method):
    values = decay([0.3, 9.0], [0.25, 30.0], STEPS + 1)
    covariance = np.diag((2e-3 * values) ** 2)
    for seed in range(6):
        drawn = np.random.default_rng(seed).multivariate_normal(values, covariance)
        for level in getattr(nnqm.OneCorrelator(drawn, STEPS + 1, covariance=covariance), method)().levels:
            assert level.verdict != "plateau" or level.gap is None
    # No decay is one.
    flat = nnqm.OneCorrelator(np.ones(16), STEPS, covariance=noise_of(np.ones(16), 1e-3))
    assert getattr(flat, method)().levels[0].verdict == "plateau"


# ---- bad input


@pytest.mark.slow
def test_bad_values_and_times_are_named():
    g, c = decay([1.0], [1.0]), 1e-6 * CORRELATED
    with pytest.raises(TypeError, match="correlator must be real; got dtype complex128; take the real part"):
        nnqm.OneCorrelator(g + 0j, TIMES, covariance=c)
    with pytest.raises(ValueError, match="covariance is missing"):
        nnqm.OneCorrelator(g, TIMES)
    with pytest.raises(ValueError, match="times are missing"):
        nnqm.OneCorrelator(g, covariance=c)
    with pytest.raises(ValueError, match=r"times must be strictly increasing; times\[1\]=0 <= times\[0\]=0"):
        nnqm.OneCorrelator(g, np.zeros(20), covariance=c)
    with pytest.raises(ValueError, match="times must have one entry per value, 20; got 19"):
        nnqm.OneCorrelator(g, TIMES[1:], covariance=c)
    with pytest.raises(ValueError, match="times must not be negative"):
        nnqm.OneCorrelator(g, TIMES - 1, covariance=c)
    with pytest.raises(ValueError, match=r"covariance must have shape \(20, 20\); got \(5, 5\)"):
        nnqm.OneCorrelator(g, TIMES, covariance=np.eye(5))
    with pytest.raises(ValueError, match="covariance must be symmetric"):
        nnqm.OneCorrelator(g, TIMES, covariance=c + np.triu(c, 3))
    with pytest.raises(ValueError, match=r"correlator must be finite; correlator\[3\]=nan"):
        nnqm.OneCorrelator(np.where(np.arange(20) == 3, np.nan, g), TIMES, covariance=c)
    with pytest.raises(nnqm.results.DecayError, match="the correlator must not be negative: at time 1 it is"):
        nnqm.OneCorrelator(np.where(np.arange(20) == 5, -0.1, g), TIMES, covariance=c)
    fixed = c.copy()
    fixed[4] = fixed[:, 4] = 0
    with pytest.raises(ValueError, match=r"does not fluctuate at times \[0.8\]"):
        nnqm.OneCorrelator(g, TIMES, covariance=fixed)
    with pytest.raises(ValueError, match="covariance comes with an Estimate"):
        nnqm.OneCorrelator(sampled([1.0], [1.0], 1e-3, 1), TIMES, covariance=c)


def test_what_is_no_correlator_is_named():
    g, c = decay([1.0], [1.0]), 1e-6 * CORRELATED
    samples = samples_of(30, STEPS, 1)
    negative = np.eye(3) + 0.9 * np.array([[0, 1, -1], [1, 0, 1], [-1, 1, 0]])
    with pytest.raises(ValueError, match="correlator must have at least 2 values; got none"):
        nnqm.OneCorrelator([], [], covariance=np.empty((0, 0)))
    with pytest.raises(ValueError, match="times must have at least 2 entries; got 1"):
        nnqm.OneCorrelator(g[:1], TIMES[:1], covariance=c[:1, :1])
    with pytest.raises(ValueError, match=r"give numpy.diag\(errors\*\*2\)"):
        nnqm.OneCorrelator(g, TIMES, covariance=1e-3 * g)
    with pytest.raises(ValueError, match=r"must not have negative eigenvalues; its correlation matrix has -0\.8"):
        nnqm.OneCorrelator(g[:3], TIMES[:3], covariance=1e-6 * negative)
    with pytest.raises(ValueError, match="covariance must have squared errors on its diagonal; got -1e-06"):
        nnqm.OneCorrelator(g, TIMES, covariance=-c)
    with pytest.raises(TypeError, match="covariance must be real"):
        nnqm.OneCorrelator(g, TIMES, covariance=c + 0j)
    with pytest.raises(ValueError, match=r"with K = 16 times; got \(16, 30\); transpose them"):
        nnqm.OneCorrelator(samples.T, STEPS)
    with pytest.raises(ValueError, match=r"at least 2 configurations; got .*nnqm\.jackknife"):
        nnqm.OneCorrelator(samples[:1], STEPS)
    with pytest.raises(ValueError, match="correlator must have one length for all samples"):
        nnqm.OneCorrelator([samples[0], samples[1][:5]], STEPS)
    with pytest.raises(TypeError, match="correlator must be real; got dtype complex128"):
        nnqm.OneCorrelator(list(samples + 0j), STEPS)
    with pytest.raises(ValueError, match=r"average over sources first, or make an Estimate with nnqm\.jackknife"):
        nnqm.OneCorrelator(samples[None], STEPS)
    with pytest.raises(ValueError, match="covariance comes with samples"):
        nnqm.OneCorrelator(samples, STEPS, covariance=np.eye(16))
    with pytest.raises(ValueError, match="n_samples must be at least 2; got 1"):
        nnqm.OneCorrelator(g, TIMES, covariance=c, n_samples=1)
    with pytest.raises(nnqm.results.DecayError, match="multiply it by -1 if that is a convention"):
        nnqm.OneCorrelator(-g, TIMES, covariance=c)


def test_a_singular_covariance_names_its_times():
    covariance = 1e-6 * CORRELATED
    mixing = np.eye(20)
    mixing[7] = 0.5 * mixing[3] + 0.5 * mixing[12]
    with pytest.raises(
        nnqm.results.DecayError, match=r"singular \(1 dependent combinations, at times \[0.6, 1.4, 2.4\]\)"
    ) as e:
        nnqm.OneCorrelator(decay([1.0], [1.0]), TIMES, covariance=mixing @ covariance @ mixing.T)
    np.testing.assert_allclose(e.value.effective_energy.value, 1.0, rtol=1e-9)


def test_few_blocks_mean_few_points():
    found = nnqm.OneCorrelator(sampled([1.0], [1.0], 1e-4, 5, n_blocks=60), TIMES).exponentials()
    assert len(found.times) <= 6
    assert_consistent(found.levels[0].gap, 1.0)


def test_the_transfer_matrix_needs_equal_steps():
    times = np.array([0.0, 0.1, 0.4, 0.9, 1.6, 2.5])
    correlator = known([1.0], [1.0], 1e-6, times)
    with pytest.raises(nnqm.results.DecayError, match=r"needs times in equal steps; got \[0, 0.1, 0.4"):
        correlator.rayleigh_ritz()
    assert float(correlator.exponentials().levels[0].gap.value) == pytest.approx(1.0, abs=1e-6)


# ---- objects of other packages


class StandIn:
    """What matters of an object of gvar or pyerrors."""

    def __init__(self, value):
        self.value = value

    def gamma_method(self):
        self.e_dvalue, self.e_content, self.e_tauint, self.shape = {}, {"A": ["A|r1"]}, {"A": 2.0}, {"A|r1": 1000}


def test_gvar_objects_bring_their_covariance(monkeypatch):
    kind = type("GVar", (StandIn,), {"__module__": "gvar._gvarcore"})
    module = types.ModuleType("gvar")
    module.mean = lambda g: np.array([v.value for v in g])
    module.evalcov = lambda g: 1e-8 * CORRELATED
    monkeypatch.setitem(sys.modules, "gvar", module)
    entries = np.array([kind(v) for v in decay([1.0], [1.0])], dtype=object)
    gap = nnqm.OneCorrelator(entries, TIMES).exponentials().gaps[0]
    same = known([1.0], [1.0], 1e-4).exponentials().gaps[0]
    assert float(gap.value) == pytest.approx(1.0, abs=1e-7)
    assert float(gap.error) == pytest.approx(float(same.error), rel=1e-6)
    assert nnqm.OneCorrelator(entries, TIMES, n_samples=50).n_samples == 50
    with pytest.raises(ValueError, match="covariance comes with the gvar objects"):
        nnqm.OneCorrelator(entries, TIMES, covariance=CORRELATED)
    with pytest.raises(TypeError, match="one kind; got builtins, gvar; a number without an error cannot be used"):
        nnqm.OneCorrelator([*entries[:5], 1.0], TIMES[:6])


def test_pyerrors_objects_bring_covariance_and_times(monkeypatch):
    kind = type("Obs", (StandIn,), {"__module__": "pyerrors.obs"})
    module = types.ModuleType("pyerrors")
    module.covariance = lambda obs: (
        1e-8 * CORRELATED[: len(obs), : len(obs)] if all(hasattr(o, "e_dvalue") for o in obs) else None
    )
    monkeypatch.setitem(sys.modules, "pyerrors", module)
    content = [None, *(np.array([kind(v)]) for v in decay([0.3], [1.0], np.arange(1, 15)))]
    corr = type("Corr", (), {"__module__": "pyerrors.correlators", "content": content})()
    correlator = nnqm.OneCorrelator(corr)
    np.testing.assert_array_equal(correlator.times, np.arange(1, 15))
    assert float(correlator.exponentials().levels[0].gap.value) == pytest.approx(0.3, abs=1e-7)
    # The objects themselves are left as they are; the configurations count, divided by twice their time.
    assert not any(hasattr(entry[0], "e_dvalue") for entry in content[1:])
    assert correlator.n_samples == 250
    np.testing.assert_array_equal(nnqm.OneCorrelator(corr, 0.5 * np.arange(15)).times, 0.5 * np.arange(1, 15))
    content[2] = np.array([[kind(1.0)] * 2] * 2)
    with pytest.raises(ValueError, match="matrix of correlators; give one element"):
        nnqm.OneCorrelator(corr)


def test_real_gvar_objects():
    gvar = pytest.importorskip("gvar")
    entries = gvar.gvar(decay([1.0], [1.0]), 1e-8 * CORRELATED)
    assert float(nnqm.OneCorrelator(entries, TIMES).exponentials().gaps[0].value) == pytest.approx(1.0, abs=1e-7)


def test_real_pyerrors_objects():
    pyerrors = pytest.importorskip("pyerrors")
    rng = np.random.default_rng(2)
    samples = decay([1.0], [1.0])[:10] + 1e-3 * rng.normal(size=(500, 10)) @ np.linalg.cholesky(CORRELATED[:10, :10]).T
    corr = pyerrors.Corr([pyerrors.Obs([s], ["ensemble"]) for s in samples.T])
    correlator = nnqm.OneCorrelator(corr, 0.2 * np.arange(10))
    assert_consistent(correlator.exponentials().levels[0].gap, 1.0)
    assert not any(hasattr(entry[0], "e_dvalue") for entry in corr.content)
    # The user's own analysis counts.
    corr.gamma_method(tau_exp=5)
    errors = [entry[0].dvalue for entry in corr.content]
    wider = nnqm.OneCorrelator(corr, 0.2 * np.arange(10))
    np.testing.assert_allclose(wider.values.error, errors, rtol=1e-9)
    assert [entry[0].dvalue for entry in corr.content] == errors
    assert wider.n_samples < correlator.n_samples <= 500
