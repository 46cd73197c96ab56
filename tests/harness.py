"""The statistical harness: one threshold for every comparison of a measured with an exact number.

A correct package fails any of its statistical tests with a probability of at most ``FAMILY_WISE``, shared equally
among at most ``ASSERTIONS`` assertions. Seeds are fixed, so that a failure repeats.
"""

import numpy as np
from scipy import stats

FAMILY_WISE = 1e-3
ASSERTIONS = 1000
THRESHOLD = FAMILY_WISE / ASSERTIONS


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


def assert_consistent(estimate, expected):
    """The estimate agrees with the exact value within its errors."""
    p = p_value(estimate, expected)
    assert p > THRESHOLD, f"measured {estimate}, expected {np.asarray(expected)}: p = {p:.2g} <= {THRESHOLD:.2g}"


def assert_inconsistent(estimate, wrong):
    """Negative control: the estimate is precise enough to refute a wrong value."""
    p = p_value(estimate, wrong)
    assert p < THRESHOLD, f"measured {estimate} does not refute {np.asarray(wrong)}: p = {p:.2g}"


def assert_uniform(p_values):
    """p-values are uniform, by a Kolmogorov-Smirnov test."""
    p = stats.kstest(p_values, "uniform").pvalue
    assert p > THRESHOLD, f"p-values are not uniform: Kolmogorov-Smirnov p = {p:.2g}"


def assert_not_uniform(p_values):
    """Negative control: p-values are far from uniform."""
    p = stats.kstest(p_values, "uniform").pvalue
    assert p < THRESHOLD, f"p-values look uniform: Kolmogorov-Smirnov p = {p:.2g}"


def assert_rate_at_most(events, trials, rate):
    """So many events in so many trials do not refute a rate of at most ``rate``."""
    p = stats.binomtest(events, trials, rate, alternative="greater").pvalue
    assert p > THRESHOLD, f"{events} events in {trials} trials at a rate of {rate:g}: p = {p:.2g}"
