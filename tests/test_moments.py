"""Moments, robust location and scale, quadrature and extrapolation rules, closed forms of the thermal oscillator."""

from fractions import Fraction
from math import comb

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import legendre

from nnqm.quantum.oscillator import narrowing, thermal_covariance, thermal_ratio
from nnqm.statistics.moments import central_moments, central_part, excess_kurtosis
from nnqm.statistics.rules import extrapolation_weights, legendre_analysis, legendre_rule

RATIONALS = st.fractions(min_value=-5, max_value=5, max_denominator=20)


@pytest.mark.slow
@given(st.lists(st.tuples(RATIONALS, st.integers(1, 9)), min_size=1, max_size=6))
def test_central_moments_are_exact_for_rationals(law):
    total = sum(weight for _, weight in law)

    def average(power, about=Fraction(0)):
        return sum(weight * (x - about) ** power for x, weight in law) / total

    raw = [average(k) for k in (1, 2, 3, 4)]
    assert central_moments(*raw) == tuple(average(k, raw[0]) for k in (2, 3, 4))


def test_moments_of_arrays_are_elementwise():
    raw = np.array([[0.5, 2.0], [1.0, 5.0], [2.0, 14.0], [5.0, 42.0]])
    found = np.stack(central_moments(*raw), axis=1)
    assert np.array_equal(found, [central_moments(*column) for column in raw.T])


def test_kurtosis_of_known_laws():
    assert excess_kurtosis(1.0, 3.0) == 0
    # Warnings are errors in the tests.
    assert np.isnan(excess_kurtosis(np.zeros(2), np.zeros(2))).all()
    # A fair coin, a uniform number on [-1, 1], an exponential one.
    assert excess_kurtosis(Fraction(1), Fraction(1)) == -2
    assert excess_kurtosis(Fraction(1, 3), Fraction(1, 5)) == Fraction(-6, 5)
    assert excess_kurtosis(*central_moments(1, 2, 6, 24)[::2]) == 6


def test_the_central_part_is_one_standard_deviation_of_a_gaussian():
    from scipy.special import ndtr, ndtri

    x = 3 + 2 * ndtri((np.arange(100_001) + 0.5) / 100_001)
    middle = central_part(x)
    assert middle.median == pytest.approx(3, abs=1e-12)
    assert middle.half_width == pytest.approx(2 * ndtri(0.84), rel=1e-4)
    assert ndtr((middle.high - 3) / 2) == pytest.approx(0.84, abs=1e-4)


def test_the_central_part_does_not_see_outliers():
    x = np.linspace(-1, 1, 1001)
    wild = x.copy()
    wild[-100:] = 1e9
    assert central_part(wild) == central_part(x)
    assert wild.std() > 1e8


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_gauss_legendre_is_exact_below_degree_2n(n):
    x, w = legendre_rule(n)
    exact = [2 / (k + 1) if k % 2 == 0 else 0.0 for k in range(2 * n)]
    assert np.allclose([w @ x**k for k in range(2 * n)], exact, rtol=0, atol=1e-14)
    # The first monomial that it gets wrong, by the square of the monic Legendre polynomial.
    missed = 2 / (2 * n + 1) - w @ x ** (2 * n)
    monic = 2.0**n / comb(2 * n, n)
    assert missed == pytest.approx(monic**2 * 2 / (2 * n + 1), rel=1e-9, abs=2e-15)


def test_known_nodes():
    x, w = legendre_rule(3)
    assert np.allclose(x, [-np.sqrt(0.6), 0, np.sqrt(0.6)], rtol=0, atol=1e-15)
    assert np.allclose(w, [5 / 9, 8 / 9, 5 / 9], rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        x *= 2


@pytest.mark.parametrize("n", [1, 4, 24])
def test_analysis_inverts_synthesis(n):
    coefficients = np.cos(np.arange(n))
    values = legendre.legval(legendre_rule(n)[0], coefficients)
    assert np.allclose(legendre_analysis(n) @ values, coefficients, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 12])
def test_extrapolation_weights_are_alternating_binomials(n):
    expected = [(-1) ** (k + 1) * comb(n, k) for k in range(1, n + 1)]
    assert np.allclose(extrapolation_weights(n), expected, rtol=1e-13)


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_extrapolation_is_exact_for_polynomials(n, power):
    nodes = np.arange(1, n + 1) ** power
    weights = extrapolation_weights(n, power)
    found = [weights @ nodes**k for k in range(n)]
    assert np.allclose(found, [1.0] + [0.0] * (n - 1), rtol=0, atol=1e-9)
    assert abs(weights @ nodes**n) > 0.1


@pytest.mark.parametrize(("omega", "sigma", "beta"), [(1.0, 1.0, 2.0), (0.3, 2.0, 0.7), (50.0, 1.5, 40.0)])
def test_thermal_oscillator(omega, sigma, beta):
    t = np.linspace(0, beta, 9)
    w, b = mpmath.mpf(omega), mpmath.mpf(beta)
    exact = [float(sigma**2 / (2 * w) * mpmath.cosh(w * (b / 2 - mpmath.mpf(s))) / mpmath.sinh(w * b / 2)) for s in t]
    found = thermal_covariance(t, omega, sigma, beta)
    assert np.allclose(found, exact, rtol=1e-11, atol=0)
    assert np.allclose(thermal_ratio(t, omega, beta), found / found[0], rtol=1e-13, atol=0)
    assert sigma**2 / (2 * omega) / narrowing(omega, beta) == pytest.approx(found[0], rel=1e-14)
