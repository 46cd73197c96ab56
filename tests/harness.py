"""The statistical harness: one threshold for every comparison of a measured with an exact number.

A correct package fails any of its statistical tests with a probability of at most ``FAMILY_WISE``, shared equally
among at most ``ASSERTIONS`` assertions, which ``conftest.py`` counts. Seeds are fixed, so that a failure repeats.
"""

from collections import Counter

import numpy as np
from scipy import stats

FAMILY_WISE = 1e-2
ASSERTIONS = 1500
THRESHOLD = FAMILY_WISE / ASSERTIONS
# Largest p-value at which a negative control counts as refuted.
REFUTED = 1e-6
# Total errors within which a level must lie for a claim of it not to be false, and those that cover one nearly always.
CLAIM, COVERED = 3.0, 2.0
# Largest ratio of the true error of a numerical result to the error that it states, which is no standard deviation.
HONEST = 5.0

counted: Counter[str] = Counter()


def accept(p, message):
    """The hypothesis with these p-values is not refuted; each of them is counted."""
    p = np.atleast_1d(p)
    counted["accepted"] += p.size
    assert np.all(p > THRESHOLD), f"{message}: p = {p.min():.2g} <= {THRESHOLD:.2g}"


def refute(p, message):
    """The hypothesis with this p-value is refuted: a negative control."""
    counted["refuted"] += 1
    assert p < REFUTED, f"{message}: p = {p:.2g} >= {REFUTED:.2g}"


def p_value(estimate, expected):
    """Two-sided p-value of an estimate: Student's t for a scalar, Hotelling's test for a vector.

    Systematic errors count in quadrature. Hotelling's test knows none, so that a vector that has some is judged by
    its worst component, times the number of components.
    """
    expected = np.asarray(expected, dtype=float)
    if estimate.value.ndim == 0 or np.any(estimate.systematic > 0):
        pull = np.atleast_1d(np.abs(estimate.pull(expected)))
        worst = 2 * stats.t.sf(pull, estimate.n_blocks - 1).min()
        return min(1.0, float(worst) * pull.size)
    return estimate.consistency(expected)


def assert_consistent(estimate, expected, *, expected_error=0.0):
    """The estimate agrees with the expected value, which may have an independent error of its own."""
    estimate = widened(estimate, expected_error)
    accept(p_value(estimate, expected), f"measured {estimate}, expected {np.asarray(expected)}")


def assert_inconsistent(estimate, wrong, *, expected_error=0.0):
    """Negative control: the estimate is precise enough to refute a wrong value."""
    estimate = widened(estimate, expected_error)
    refute(p_value(estimate, wrong), f"measured {estimate} does not refute {np.asarray(wrong)}")


def widened(estimate, error):
    """The estimate with an error of what it is compared with added in quadrature."""
    if not np.any(np.asarray(error) > 0):
        return estimate
    return estimate.with_systematic(np.hypot(estimate.systematic, error))


def assert_each_consistent(estimate, expected):
    """Every entry agrees with its exact value: for vectors of more entries than Hotelling's test can take."""
    pull = np.abs(estimate.pull(np.asarray(expected, dtype=float))).ravel()
    accept(2 * stats.t.sf(pull, estimate.n_blocks - 1), f"the largest of {pull.size} pulls is {pull.max():.2f}")


def assert_below(estimate, bound):
    """The estimate lies significantly below a number."""
    refute(stats.t.sf(-float(estimate.pull(bound)), estimate.n_blocks - 1), f"measured {estimate}, not below {bound}")


def assert_above(estimate, bound):
    """The estimate lies significantly above a number."""
    refute(stats.t.sf(float(estimate.pull(bound)), estimate.n_blocks - 1), f"measured {estimate}, not above {bound}")


def assert_mean_zero(samples):
    """Independent samples, shape (n, ...), have mean zero: a t-test for each entry."""
    accept(
        stats.ttest_1samp(samples, 0.0).pvalue.ravel(), f"means {np.mean(samples, axis=0)} of {len(samples)} samples"
    )


def assert_pulls_are_standard(pulls, *, errors_are_bounds=False):
    """Pulls of independent seeds, shape (n,), have mean 0 and variance 1, or less where errors are bounds."""
    pulls = np.asarray(pulls, dtype=float)
    squares, n = float(np.sum(pulls**2)), len(pulls)
    assert pulls.std() > 0.5, f"errors are too large: pulls have a standard deviation of {pulls.std():.2f}"
    accept(stats.chi2.sf(squares, n), f"pulls are too wide: their squares add up to {squares:.1f} for {n}")
    if not errors_are_bounds:
        accept(stats.chi2.cdf(squares, n), f"pulls are too narrow: their squares add up to {squares:.1f} for {n}")
    mean = float(pulls.mean()) * np.sqrt(n)
    accept(2 * stats.norm.sf(abs(mean)), f"the mean of {n} pulls is {mean:.1f} of its errors off")


def assert_uniform(p_values):
    """p-values are uniform, by a Kolmogorov-Smirnov test."""
    p = stats.kstest(p_values, "uniform").pvalue
    accept(p, "p-values are not uniform by Kolmogorov and Smirnov")


def assert_not_uniform(p_values):
    """Negative control: p-values are far from uniform."""
    p = stats.kstest(p_values, "uniform").pvalue
    refute(p, "p-values look uniform by Kolmogorov and Smirnov")


def assert_rate_at_most(events, trials, rate):
    """So many events in so many trials do not refute a rate of at most ``rate``."""
    p = stats.binomtest(events, trials, rate, alternative="greater").pvalue
    accept(p, f"{events} events in {trials} trials at a rate of {rate:g}")


def nearest_pull(estimate, levels):
    """Distance of a gap from the nearest of some levels, in total errors; infinite without levels."""
    return min((abs(float(estimate.pull(level))) for level in levels), default=np.inf)


def is_false_claim(gaps, levels):
    """More gaps are claimed than there are levels, or one that lies near no level."""
    return len(gaps) > len(levels) or any(nearest_pull(gap, levels) > CLAIM for gap in gaps)


def assert_covered(gap, levels):
    """A level lies where the total error of a gap says."""
    assert nearest_pull(gap, levels) < COVERED, (
        f"{gap} is {nearest_pull(gap, levels):.1f} errors from the next of {levels}"
    )


def assert_error_is_honest(value, exact, error, rounding=0.0):
    """A numerical result lies within a few of the errors that it states, and its rounding, of the exact one."""
    off = np.abs(np.asarray(value) - exact)
    assert np.all(off <= HONEST * np.asarray(error) + rounding), f"off by {off}, stated {error}"
