"""The table that everything prints."""

import numpy as np
import pytest
from scipy import stats

import nnqm
from harness import THRESHOLD, assert_consistent


@pytest.mark.parametrize("name", ["oscillator", "deep-tanh", "three-inputs"])
def test_every_row_of_the_built_in_theories_agrees_with_the_exact_value(name):
    report = nnqm.analyse(nnqm.simulate(nnqm.builtin_theory(name), 30_000, 128, 0.2, rng=21))
    compared = [row for row in report if row.pull is not None]
    assert len(compared) >= 12
    for row in compared:
        assert_consistent(row.estimate, row.exact)
        assert "deviates" not in row.verdict
    joint = next(row for row in report if "jointly" in row.quantity)
    assert joint.verdict.startswith("ok")
    assert report.details["positivity"].verdict == "consistent"


def test_the_finite_dt_columns_are_exact_for_the_estimator_printed():
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 32, 0.2, rng=1))
    assert report["[x,p]/(i hbar) at dt = 0.2"].exact == pytest.approx(-np.expm1(-0.2) / 0.2)
    assert report["roughness exponent H"].exact == pytest.approx(np.log2(1 + np.exp(-0.2)) / 2)
    assert report["[x,p]/(i hbar), dt -> 0"].exact == pytest.approx(1)


def test_oscillator_energies_need_its_own_sigma():
    def notes(theory):
        run = nnqm.simulate(theory, 4000, 32, 0.2, rng=1)
        return " ".join(nnqm.analyse(run).notes)

    assert "E_0 = 0.5" in notes(nnqm.harmonic_oscillator())
    assert "E_0" not in notes(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0, 2.0)))


def test_the_table_lines_up_and_finds_its_rows():
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 4000, 64, 0.2, rng=1))
    text = str(report)
    assert text.splitlines()[1].startswith("quantity")
    assert str(report["gap 1"].estimate) in text
    with pytest.raises(KeyError, match="gap 99"):
        report["gap 99"]


def test_smooth_paths_violate_positivity_and_have_no_commutator():
    t = 0.2 * np.arange(64)
    covariance = np.exp(-((t[:, None] - t) ** 2) / 2) + 1e-10 * np.eye(64)
    paths = np.random.default_rng(3).normal(size=(4000, 64)) @ np.linalg.cholesky(covariance).T
    report = nnqm.analyse(nnqm.accumulate(paths, 0.2), paths=paths)
    assert report.details["positivity"].verdict == "violated"
    row = report["[x,p]/(i hbar), dt -> 0"]
    assert row.verdict.startswith("none (smooth)")
    assert all(r.exact is None for r in report)


def test_paths_of_a_theory_are_judged_by_it():
    theory = nnqm.harmonic_oscillator()
    paths = nnqm.sample_paths(theory, 4000, 64, 0.2, rng=8)
    report = nnqm.analyse(nnqm.accumulate(paths, 0.2, theory=theory), paths=paths)
    assert_consistent(report["gap 1"].estimate, 1.0)
    assert report["gap 1"].exact == 1.0


def test_pulls_over_seeds_are_of_unit_size():
    theory = nnqm.harmonic_oscillator()
    pulls = []
    for seed in range(60):
        run = nnqm.simulate(theory, 8192, 32, 0.2, rng=seed, observable_lags=(1, 2))
        pulls.append([float(run.connected()[0].pull(0.5)), float(nnqm.spectrum(run, 1).gaps[0].pull(1.0))])
    for column in np.transpose(pulls):
        statistic = np.sum(column**2)
        assert THRESHOLD < stats.chi2.sf(statistic, 60) < 1 - THRESHOLD
    # Errors too small by a factor of two would be seen.
    assert stats.chi2.sf(4 * np.sum(np.square(pulls)[:, 0]), 60) < THRESHOLD
