"""Errors of correlated paths: autocorrelation times, the factor of short blocks, calibration, refusals."""

import re

import numpy as np
import pytest
from scipy.signal import lfilter

import nnqm
from harness import assert_pulls_are_standard, assert_rate_at_most
from nnqm.errors import InputError
from nnqm.sampling.blocks import joined, scattered
from nnqm.statistics.autocorrelation import scatter_factor, slowest

OBSERVED = nnqm.default_observables(([0.0], [1.0], ["x"]), order=1, neurons=0)
SUMS = nnqm.Measure(observables=OBSERVED, lags=(0, 1), observable_lags=(), increment_lags=())


def chain(n, rho, rng, n_times=16, channels=1):
    """Configurations with autocorrelation rho^k, each a stationary Gaussian path, shape (n, n_times, channels)."""
    x = np.random.default_rng(rng).normal(size=(n, n_times, channels))
    x[:, 1:] *= np.sqrt(1 - 0.8**2)
    x = lfilter([1.0], [1.0, -0.8], x, axis=1)
    x[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], x, axis=0)


def tau_of(rho):
    return 0.5 + rho / (1 - rho)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_time_and_its_error(rho):
    pulls, n = [], 20_000
    for seed in range(40):
        x = lfilter([1.0], [1.0, -rho], np.random.default_rng([seed, 5]).normal(size=n + 200))[200:]
        pulls.append(float(nnqm.autocorrelation_time(x).pull(tau_of(rho))))
    # Madras and Sokal's error is of leading order in W/N.
    assert abs(np.mean(pulls)) < 0.7
    assert 0.6 < np.std(pulls) < 1.5


def test_special_series():
    assert float(nnqm.autocorrelation_time(np.ones(10)).value) == 0.5
    assert float(nnqm.autocorrelation_time((-1.0) ** np.arange(1000)).value) < 0.1
    for bad in (np.zeros((3, 4)), [1.0, 2.0], [0.0, np.nan] * 4):
        with pytest.raises(InputError, match="series"):
            nnqm.autocorrelation_time(bad)


@pytest.mark.parametrize("rho", [0.2, 0.7, 0.95])
@pytest.mark.parametrize(("n", "blocks"), [(40, 8), (120, 24), (300, 300)])
def test_the_factor_of_the_scatter_is_that_of_the_covariance_matrix(rho, n, blocks):
    covariance = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    to_blocks = np.kron(np.eye(blocks), np.full(n // blocks, blocks / n))
    of_blocks = to_blocks @ covariance @ to_blocks.T
    whole = covariance.mean()
    scatter = (np.trace(of_blocks) - blocks * of_blocks.mean()) / (blocks * (blocks - 1))
    assert scatter_factor(tau_of(rho), n, blocks) == pytest.approx(whole / scatter, rel=1e-10)


def test_scatter_is_enlarged_and_totals_stay():
    rng = np.random.default_rng(1)
    sums = {"x": rng.normal(size=(12, 3)), "paths": rng.integers(3, 6, 12), "first_bad": np.full(12, -1)}
    grown = scattered(sums, 2.25)
    np.testing.assert_allclose(grown["x"].sum(axis=0), sums["x"].sum(axis=0), rtol=1e-12)

    def mean(s):
        return s["x"] / s["paths"][:, None]

    before, after = (nnqm.jackknife(mean, s, sums["paths"]) for s in (sums, grown))
    np.testing.assert_allclose(after.value, before.value)
    np.testing.assert_allclose(after.error, 1.5 * before.error, rtol=0.02)
    fewer = joined(sums, 4)
    assert len(fewer["paths"]) == 4
    np.testing.assert_array_equal(fewer["paths"].sum(), sums["paths"].sum())
    np.testing.assert_allclose(fewer["x"].sum(axis=0), sums["x"].sum(axis=0))


def pulls_of(n, rho, seeds, given=lambda x: x, channels=1):
    observed = nnqm.default_observables(
        (np.zeros(channels), np.ones(channels), [f"x{k}" for k in range(channels)]), order=1, neurons=0
    )
    measure = nnqm.Measure(observables=observed, lags=(0, 1), observable_lags=(), increment_lags=())
    found = []
    for seed in range(seeds):
        try:
            run = nnqm.accumulate(given(chain(n, rho, [seed, n], channels=channels)), 0.1, measure=measure)
        except InputError:
            continue
        found.append([float(run.mean().pull(0.0)), float(run.two_point()[0].pull(1.0))])
    return np.array(found).reshape(-1, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "rho", "channels", "given"),
    [
        (40, 0.0, 1, lambda x: x),
        (40, 0.0, 4, lambda x: x),
        (300, 0.5, 1, lambda x: iter(np.array_split(x, 3))),
        (1000, 0.9, 1, lambda x: x),
        (1000, 0.9, 1, lambda x: np.array_split(x, 5)),
    ],
)
def test_errors_are_calibrated(n, rho, channels, given):
    pulls = pulls_of(n, rho, 60, given, channels)
    assert len(pulls) >= 58
    assert_pulls_are_standard(pulls[:, 0])
    assert_pulls_are_standard(pulls[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rho"), [(40, 0.9), (60, 0.95), (40, 0.8), (100, 0.9), (250, 0.97)])
def test_too_few_correlated_configurations_are_refused(n, rho):
    for given in (lambda x: x, lambda x: np.array_split(x, 4), lambda x: iter(np.array_split(x, 4))):
        assert len(pulls_of(n, rho, 10, given)) == 0


@pytest.mark.slow
def test_independent_paths_are_rarely_taken_for_a_chain():
    for channels in (1, 4):
        refused = sum(len(pulls_of(n, 0.0, 60, channels=channels)) < 60 for n in (20, 50))
        assert refused <= 1
    false = [slowest(np.random.default_rng(seed).normal(size=(30, 12))).correlated for seed in range(300)]
    assert_rate_at_most(np.count_nonzero(false), len(false), 0.01)


def test_a_slow_sign_is_seen():
    # The charge of each path keeps its sign for long, its size and all else are fresh.
    rng = np.random.default_rng(3)
    sign = np.cumprod(np.where(rng.random(2000) < 0.01, -1.0, 1.0))
    x = rng.normal(size=(2000, 16)) + 0.5 * sign[:, None]
    run = nnqm.accumulate(x, 0.1, measure=SUMS)
    assert run.n_blocks <= 25
    # Successive signs have the correlation 0.98^k.
    assert float(run.mean().error) > 0.5 * np.sqrt(2 * tau_of(0.98) / 2000) / 2


def test_the_number_of_the_message_passes():
    x = chain(1000, 0.8, 1)
    with pytest.raises(InputError, match=r"use n_blocks=\d+ or fewer") as raised:
        nnqm.accumulate(x, 0.1, measure=SUMS, n_blocks=500)
    most = int(re.search(r"n_blocks=(\d+) or", str(raised.value))[1])
    assert nnqm.accumulate(x, 0.1, measure=SUMS, n_blocks=most).n_blocks == most
    with pytest.raises(InputError, match=r"of this chain at least \d+") as raised:
        nnqm.accumulate(x[:60], 0.1, measure=SUMS)
    need = int(re.search(r"at least (\d+)", str(raised.value))[1])
    assert nnqm.accumulate(x[: 2 * need], 0.1, measure=SUMS).n_blocks >= 8
    assert nnqm.accumulate(x[:60], 0.1, measure=SUMS, independent=True).notes == ()


def test_notes_give_the_time_with_its_error():
    run = nnqm.accumulate(chain(1000, 0.9, 2), 0.1, measure=SUMS)
    note = next(n for n in nnqm.analyse(run).notes if "autocorrelation" in n)
    found = re.fullmatch(
        r"autocorrelation time of successive paths: ([\d.]+)\(([\d.]+)\) paths: 2\d blocks instead of 128; errors are "
        r"1\.\d+ times the scatter of the blocks \(Gamma method\)",
        note,
    )
    assert abs(float(found[1]) - 9.5) < 4
    trajectory = nnqm.accumulate(chain(1, 0.0, 3, n_times=50_000)[:, :, 0], 0.1, measure=SUMS)
    assert re.match(r"the autocorrelation time is 4\.\d+\(\d+\) time steps", trajectory.notes[0])


def test_configurations_in_a_few_trajectories_are_seen():
    for n, n_times in ((3, 4000), (12, 64)):
        with pytest.raises(InputError, match="correlated at equal times"):
            nnqm.accumulate(chain(n, 0.97, 1, n_times)[:, :, 0], 0.1, measure=SUMS)
    assert nnqm.accumulate(chain(12, 0.0, 1, 4000)[:, :, 0], 0.1, measure=SUMS).n_paths == 12
