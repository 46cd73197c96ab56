"""Exact answers for fields at finite width: propagators with every regulator, n-point and generating functionals."""

from functools import partial
from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfc, erfcx, gamma, kv

import harness
from nnqm import Density
from nnqm.errors import InputError, InputTypeError
from nnqm.fields import (
    CosNet,
    ExactValue,
    PeriodicBox,
    ReflectionPositiveNet,
    Regulator,
    generating_functional,
    moments_of_sum,
    n_point,
    propagator,
)
from nnqm.statistics.estimate import jackknife
from nnqm.statistics.rules import legendre_rule
from nnqm.time_networks.kernels import CosineNetwork

GAUSSIAN, HARD = Regulator("gaussian", 100.0), Regulator("hard", 50.0)


def at(d, distance):
    """A displacement in space of d dimensions of spacetime."""
    return np.concatenate([[distance], np.zeros(d - 2)]) if d > 1 else np.zeros(0)


def panels(edges, n=40):
    """Nodes and weights of Gauss-Legendre panels."""
    x, w = legendre_rule(n)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()


# Propagators.


def test_propagators_without_a_regulator():
    published = {
        2: [0.14712586, 0.06700812, 0.00552896],
        3: [0.09653235, 0.02927492, 0.00132064],
        4: [0.08391629, 0.01524649, 0.00033906],
    }
    r = np.array([0.5, 1.0, 3.0])
    for d, expected in published.items():
        value, error = propagator(d, 1.0, r, at(d, 0.0))
        np.testing.assert_allclose(value, expected, atol=5.1e-9)
        closed = (2 * np.pi) ** (-d / 2) * r ** (1 - d / 2) * kv(d / 2 - 1, r)
        np.testing.assert_allclose(value, closed, rtol=1e-14)
        assert np.all(error < 1e-13 * value)
    # One and three dimensions are elementary, and so are massless fields.
    np.testing.assert_allclose(propagator(1, 2.0, r, at(1, 0)).value, np.exp(-2 * r) / 4, rtol=1e-14)
    np.testing.assert_allclose(
        propagator(3, 2.0, 0.0, r[:, None] * [0.6, 0.8]).value, np.exp(-2 * r) / (4 * np.pi * r), rtol=1e-14
    )
    np.testing.assert_allclose(propagator(3, 0.0, r, at(3, 0)).value, 1 / (4 * np.pi * r), rtol=1e-14)
    np.testing.assert_allclose(propagator(4, 0.0, r, at(4, 0)).value, 1 / (4 * np.pi**2 * r**2), rtol=1e-14)


def test_normalisations():
    for alpha, omega in ((-1, 1591.549431), (0, 0.7422022238), (1, 0.07954036143)):
        field = CosNet(2, 1.0, 1, alpha=alpha, regulator=GAUSSIAN)
        assert field.omega == pytest.approx(omega, rel=5e-10)
        there = propagator(2, 1.0, 0.0, [0.0], regulator=GAUSSIAN, power=1 + alpha).value
        assert there == pytest.approx(field.omega, rel=1e-13)


def test_gaussian_regulator_in_one_dimension():
    # exp(a^2/2) [e^-mt erfc((a^2 - x)/(sqrt 2 a)) + e^mt erfc((a^2 + x)/(sqrt 2 a))]/4m with a = m/L, x = m t.
    t = np.array([0.0, 1e-6, 0.1, 1.0, 7.0, 40.0])
    for mass, cutoff in ((1.0, 10.0), (2.0, 0.5), (1e-3, 100.0)):
        a, x = mass / cutoff, mass * t
        up, down = (a**2 + x) / (2**0.5 * a), (a**2 - x) / (2**0.5 * a)
        early, narrow = erfcx(np.maximum(down, 0.0)), np.exp(-((x / a) ** 2) / 2)
        falling = np.where(down < 0, np.exp(a**2 / 2 - x) * erfc(down), narrow * early)
        closed = (falling + narrow * erfcx(up)) / (4 * mass)
        value, error = propagator(1, mass, t, at(1, 0.0), regulator=Regulator("gaussian", cutoff))
        np.testing.assert_allclose(value, closed, rtol=1e-13)
        assert np.all(error < 1e-12 * value)


def test_a_regulator_of_all_components_violates_positivity_at_two_points():
    # G(0) G(2t)/G(t)^2 - 1 in one dimension at late times: erfc(1/(sqrt 2 L)) - 1.
    for cutoff in (10.0, 100.0):
        g = propagator(1, 1.0, [0.0, 4.0, 8.0], at(1, 0.0), regulator=Regulator("gaussian", cutoff)).value
        assert g[0] * g[2] / g[1] ** 2 - 1 == pytest.approx(erfc(1 / (2**0.5 * cutoff)) - 1, rel=1e-10)
    for kind in ("gaussian", "hard"):
        g = propagator(2, 1.0, [0.0, 1.0, 2.0], [0.0], regulator=Regulator(kind, 10.0, spatial=True)).value
        assert g[0] * g[2] > g[1] ** 2


def brute_force(d, mass, power, regulator, t, x):
    """The propagator by adaptive quadrature of 25 digits in the magnitude of the momentum."""
    mass, power, t, x = (mp.mpf(v) for v in (mass, power, t, x))
    n = d - regulator.spatial
    if not regulator.spatial:
        t, x = mp.mpf(0), mp.hypot(t, x)
    order = power - mp.mpf(1) / 2

    def integrand(k):
        w = mp.sqrt(k * k + mass * mass)
        factor = mp.exp(-((k / regulator.cutoff) ** 2) / 2) if regulator.kind == "gaussian" else mp.mpf(1)
        if not regulator.spatial:
            factor *= w ** (-2 * power)
        elif t == 0:
            factor *= w ** (1 - 2 * power) * mp.gamma(order) / (2 * mp.sqrt(mp.pi) * mp.gamma(power))
        else:
            bessel = (w * t) ** order * mp.besselk(order, w * t)
            factor *= w ** (1 - 2 * power) * 2 ** (1 - power) / mp.gamma(power) / mp.sqrt(2 * mp.pi) * bessel
        return factor * k ** (n - 1) * mp.hyp0f1(mp.mpf(n) / 2, -((k * x) ** 2) / 4)

    end = mp.mpf(regulator.cutoff) * (12 if regulator.kind == "gaussian" else 1)
    start = mp.mpf(regulator.lower)
    turns = int(x * end / 6)
    inner = [end * i / (turns + 1) for i in range(1, turns + 1)] + [mass * 10**i for i in (-1, 0, 1)]
    edges = [start, *sorted({k for k in inner if start < k < end}), end]
    sphere = 2 * mp.pi ** (mp.mpf(n) / 2) / mp.gamma(mp.mpf(n) / 2) / (2 * mp.pi) ** n
    return float(sphere * mp.quad(integrand, edges))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("d", "mass", "power", "regulator", "t", "x"),
    [
        (2, 1, 2, Regulator("gaussian", 10.0), 0.3, 0.8),
        (4, 1, 1, Regulator("gaussian", 3.0), 0.0, 2.0),
        (3, 1, -0.5, Regulator("gaussian", 3.0), 0.4, 0.2),
        (2, 1, -2, Regulator("gaussian", 3.0), 0.4, 0.2),
        (3, 1, 1, Regulator("gaussian", 10.0, spatial=True), 0.3, 0.1),
        (3, 1, 1.5, Regulator("gaussian", 10.0, spatial=True), 0.0, 0.1),
        (2, 1, 1, Regulator("hard", 20.0), 0.0, 0.0),
        (2, 1, 1, Regulator("hard", 20.0), 0.5, 0.0),
        (2, 1, 1, Regulator("hard", 20.0), 1.0, 0.5),
        (1, 1, 2, Regulator("hard", 10.0), 5.0, 0.0),
        (3, 1, -0.5, Regulator("hard", 10.0), 3.0, 1.0),
        (5, 1, 0.5, Regulator("hard", 10.0), 0.1, 1.0),
        (3, 0, 1, Regulator("hard", 10.0), 1.0, 3.0),
        (2, 0, 1, Regulator("hard", 50.0, lower=1.0), 0.0, 0.2),
        (2, 0, 1, Regulator("hard", 50.0, lower=1.0), 1.0, 0.2),
        (2, 1, 1, Regulator("hard", 50.0, spatial=True), 0.5, 0.0),
        (2, 1, 1, Regulator("hard", 50.0, spatial=True), 0.1, 0.8),
        (3, 1, 2, Regulator("hard", 20.0, spatial=True), 0.01, 1.2),
        (4, 1, 0.75, Regulator("hard", 20.0, spatial=True), 0.0, 1.2),
        (4, 0, 1, Regulator("hard", 20.0, spatial=True), 0.5, 0.5),
        (3, 0.01, 1, Regulator("hard", 20.0, lower=0.5, spatial=True), 0.1, 1.0),
    ],
)
def test_propagators_are_those_of_adaptive_quadrature(d, mass, power, regulator, t, x):
    with mp.workdps(20):
        exact = brute_force(d, mass, power, regulator, t, x)
    value, error = propagator(d, mass, t, at(d, x), regulator=regulator, power=power)
    assert abs(value - exact) <= error + 1e-15 * abs(exact)
    assert error < 1e-10 * abs(value)


@pytest.mark.parametrize(("d", "power", "spatial"), [(2, 0.99, False), (3, 1.49, False), (3, 1.45, True)])
def test_small_momenta_of_massless_fields(d, power, spatial):
    # Powers near the divergence: most of the integral lies at momenta below any grid.
    regulator = Regulator("hard", 7.0, spatial=spatial)
    n, p = (d - 1, power - 0.5) if spatial else (d, power)
    expected = 2 * np.pi ** (n / 2) / gamma(n / 2) / (2 * np.pi) ** n * 7 ** (n - 2 * p) / (n - 2 * p)
    if spatial:
        expected *= gamma(p) / (2 * np.pi**0.5 * gamma(power))
    for distance in (0.0, 1e-9):
        found = propagator(d, 0.0, distance, at(d, 0.0), regulator=regulator, power=power).value
        assert found == pytest.approx(expected, rel=1e-13 if distance == 0 else 1e-6)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    d=st.integers(1, 6),
    mass=st.floats(0.3, 3.0),
    power=st.floats(-2.0, 3.0),
    cutoff=st.floats(2.0, 40.0),
    kind=st.sampled_from(["gaussian", "hard"]),
    spatial=st.booleans(),
    t=st.floats(0.0, 3.0),
    x=st.floats(0.0, 3.0),
)
def test_powers_are_derivatives_with_respect_to_the_mass(d, mass, power, cutoff, kind, spatial, t, x):
    # d I_p/d(m^2) = -p I_(p + 1).
    spatial = spatial and d > 1
    power = max(power, 0.6) if spatial else power
    integral = partial(
        propagator, d, times=t, displacements=at(d, x), regulator=Regulator(kind, cutoff, spatial=spatial)
    )
    step = 0.02 * mass**2
    near = [integral((mass**2 + i * step) ** 0.5, power=power) for i in (-3, -2, -1, 1, 2, 3)]
    weights = np.array([-1, 9, -45, 45, -9, 1]) / (60 * step)
    slope, rounding = weights @ [f.value for f in near], np.abs(weights) @ [f.error for f in near]
    scale = power * integral(mass, power=power + 1, times=0.0, displacements=at(d, 0.0)).value
    expected = -power * integral(mass, power=power + 1).value
    assert abs(slope - expected) < 1e-7 * abs(scale) + rounding + 1e-300


@pytest.mark.parametrize(("d", "spatial"), [(1, False), (2, False), (3, False), (2, True), (3, True), (4, True)])
def test_short_and_long_distances_of_a_hard_cutoff_join(d, spatial):
    # The method changes where cutoff times distance is 16; a polynomial fits the integrals on both sides.
    regulator = Regulator("hard", 8.0, spatial=spatial)
    x = np.linspace(1.97, 2.03, 20)
    t, steps = (0.1, x[:, None] * at(d, 1.0)) if spatial else (x, at(d, 0.0))
    values = propagator(d, 1.0, t, steps, regulator=regulator).value
    rest = values - np.polynomial.Polynomial.fit(x, values, 9)(x)
    assert np.abs(rest).max() < 2e-14 * propagator(d, 1.0, 0.0, at(d, 0.0), regulator=regulator).value


def test_shapes_and_repeated_distances():
    field = CosNet(3, 1.0, 4, regulator=GAUSSIAN, points=[[0, 0], [0.3, 0], [0, 0.3]])
    g = field.lag_covariance([0.0, 0.2])
    assert g.shape == (2, 3, 3)
    assert g[1, 0, 1] == g[1, 0, 2] == g[1, 2, 0]
    assert g[0, 1, 1] == pytest.approx(field.variance[0], rel=1e-13)
    assert propagator(1, 1.0, np.zeros((4, 5)), at(1, 0.0), regulator=GAUSSIAN).value.shape == (4, 5)
    assert propagator(2, 1.0, [], [0.0], regulator=HARD).value.shape == (0,)
    rp = ReflectionPositiveNet(2, 1.0, 4, 50.0)
    np.testing.assert_array_equal(
        rp.propagator([0.3, 1.0], [0.2]),
        propagator(2, 1.0, [0.3, 1.0], [0.2], regulator=Regulator("hard", 50.0, spatial=True)).value,
    )
    np.testing.assert_allclose(ReflectionPositiveNet(1, 2.0, 4, 50.0).propagator(0.3, at(1, 0.0)), np.exp(-0.6) / 4)


def four_points(*settings, points=(), **others):
    """The four-point function of a cos-net at coinciding points, or at given ones."""
    field = CosNet(*settings, **others)
    return n_point(field, points or np.zeros((4, field.dimension)))


def vertices(field, charges):
    """The generating functional at points off a line."""
    d = field.dimension
    return generating_functional(field, np.eye(len(charges), d) if d > 2 else np.zeros((len(charges), d)), charges)


SPATIAL = Regulator("hard", 9.0, spatial=True)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (
            r"coinciding points at position \(1,\) diverges at large momenta.*k\^-1",
            partial(propagator, 2, 1, [1, 0], [0]),
        ),
        (r"small momenta.*mass is 0", partial(propagator, 2, 0, 1.0, [0.0])),
        (r"displacements must have 1 component .*shape \(2,\)", partial(propagator, 2, 1, 1.0, [0.0, 1.0])),
        (r"broadcast.*\(3,\) and \(2, 1\)", partial(propagator, 2, 1, [1, 2, 3], [[0.0], [1.0]])),
        (r"large frequencies: .*k\^-1", partial(propagator, 2, 1, 1.0, [0.0], power=0.5, regulator=SPATIAL)),
        (r"k\^3 in 2 dimensions", partial(propagator, 2, 1, 1.0, [0.0], power=-1)),
        (r"dimension must be at least 1", partial(propagator, 0, 1, 1.0, [0.0])),
        (r"shape \(..., n, 2\).*got shape \(4,\)", partial(four_points, 2, 1, 1, regulator=HARD, points=[0.0] * 4)),
        (r"at most 10 points", partial(four_points, 2, 1, 1, regulator=HARD, points=[[0.0, 0.0]] * 11)),
        (
            r"4-point function of one neuron with alpha=1 .*k\^0 in 1 dimension ",
            partial(four_points, 1, 1, 1, alpha=1),
        ),
        (
            r"4-point function of one neuron with alpha=0.5 diverges at large frequencies: .*k\^-1",
            partial(four_points, 2, 1, 1, alpha=0.5, regulator=SPATIAL),
        ),
        (
            r"4-point function of one neuron with alpha=-1 diverges at small momenta: .*k\^-2 in 3",
            partial(four_points, 3, 0, 1, alpha=-1, regulator=HARD),
        ),
        (r"lacks \(1,\)", partial(moments_of_sum, {(0,): 0.0, (0, 1): 1.0}, 2, 3)),
        (r"width must be at least 1", partial(moments_of_sum, {(0,): 0.0}, 1, 0)),
        (
            r"charges must have shape \(..., 2\)",
            partial(generating_functional, CosNet(1, 1, 1), np.zeros((2, 1)), [1, 2, 3]),
        ),
        (r"needs a regulator of all components; got Regulator", partial(vertices, CosNet(1, 1, 1, alpha=0.5), [1, 2])),
        (r"line of space.* off it", partial(vertices, ReflectionPositiveNet(3, 1, 1, 5.0), [1, 2, 3])),
        (r"small enough for 200000 terms", partial(vertices, CosNet(1, 1, 1), [500.0] * 6)),
    ],
)
def test_bad_input_is_refused(message, call):
    with pytest.raises(InputError, match=message):
        call()


def test_other_objects_are_refused():
    for function in (n_point, partial(generating_functional, charges=[1.0])):
        with pytest.raises(InputTypeError, match=r"field must be a field of nnqm\.fields"):
            function(3, [[0.0]])


# Moments of sums.


VALUES = np.array([[0.3, -1.0, 2.0, 0.5], [1.2, 0.4, -0.7, 1.0], [-0.5, 0.9, 0.1, -2.0]])
PROBABILITIES = np.array([0.5, 0.2, 0.3])


def discrete_moment(subset):
    """Moments of a neuron with three states and a mean."""
    return PROBABILITIES @ np.prod(VALUES[:, list(subset)], axis=1)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_moments_of_sums_are_sums_over_all_states(width, n):
    states = list(product(range(3), repeat=width))
    weights = np.array([np.prod(PROBABILITIES[list(s)]) for s in states])
    phi = np.array([VALUES[list(s)].sum(axis=0) for s in states])[:, :n] / width**0.5
    found = moments_of_sum(discrete_moment, n, width)
    assert found.value == pytest.approx(weights @ phi.prod(axis=1), rel=1e-13)
    centred = phi - weights @ phi
    cumulant = weights @ centred.prod(axis=1) if n > 1 else weights @ phi[:, 0]
    if n == 4:
        pair = (weights[:, None] * centred).T @ centred
        cumulant -= sum(pair[i, j] * pair[k, m] for i, j, k, m in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)))
    assert found.connected == pytest.approx(cumulant, rel=1e-12)
    # The Gaussian value, by the formula for a Gaussian vector with a mean.
    mean, pair = weights @ phi, (weights[:, None] * centred).T @ centred
    gaussian = {1: lambda: mean[0], 2: lambda: mean[0] * mean[1] + pair[0, 1]}
    if n == 3:
        gaussian[3] = lambda: mean.prod() + mean[0] * pair[1, 2] + mean[1] * pair[0, 2] + mean[2] * pair[0, 1]
    if n in gaussian:
        assert found.wick == pytest.approx(gaussian[n](), rel=1e-13)
    assert found.correction == pytest.approx(found.value - found.wick)


def test_errors_of_moments_are_propagated():
    def inexact(subset):
        return ExactValue(discrete_moment(subset), np.array(1e-6))

    exact, found = (moments_of_sum(m, 4, 3) for m in (discrete_moment, inexact))
    for seed in range(20):
        shifts = {
            s: sign
            for s, sign in zip([k for k in range(16)], np.random.default_rng(seed).choice([-1, 1], 16), strict=True)
        }
        moved = moments_of_sum(
            lambda s, shifts=shifts: discrete_moment(s) + 1e-6 * shifts[sum(1 << i for i in s)], 4, 3
        )
        for name in ("value", "connected", "wick"):
            off = abs(getattr(moved, name) - getattr(exact, name))
            error = found._asdict()["error" if name == "value" else f"{name}_error"]
            assert off <= error * 1.001
    assert found.error < 1e-4
    assert exact.error < 1e-13


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)), width=st.integers(1, 10**9))
def test_moments_are_symmetric_and_wide_sums_are_gaussian(order, width):
    def shuffled(subset):
        return discrete_moment(tuple(sorted(order[i] for i in subset))) if len(subset) % 2 == 0 else 0.0

    def even(subset):
        return discrete_moment(subset) if len(subset) % 2 == 0 else 0.0

    first, second = moments_of_sum(even, 4, width), moments_of_sum(shuffled, 4, width)
    np.testing.assert_allclose(first, second, rtol=1e-11, atol=1e-14)
    # Corrections are of the order 1/N: here the connected part alone.
    assert first.correction == pytest.approx(first.connected, abs=1e-14 * (1 + abs(first.wick)))
    assert first.connected * width == pytest.approx(moments_of_sum(even, 4, 1).connected, rel=1e-10)


# n-point functions of fields.

# Four points of arXiv:2604.27050 (d = 2, m = 1, Gaussian regulator of 100, 1e8 networks; scale 0.3, first
# configuration; repository nnft-alpha, MIT licence): alpha, N, mean, error.
POINTS = [[-0.18750931, -0.0697219], [0.24415402, 0.036772039], [0.17444962, 0.10940249], [-0.12065542, 0.10273874]]
PUBLISHED = [
    (-1, 30, 5.73591, 0.01427),
    (-1, 100, 1.84325, 0.002807),
    (0, 50, 0.182487, 0.0001073),
    (1, 30, 0.203718, 0.01548),
    (1, 100, 0.176428, 0.002666),
]


def test_published_four_point_functions():
    pulls = []
    for alpha, width, mean, error in PUBLISHED:
        found = n_point(CosNet(2, 1.0, width, alpha=alpha, regulator=GAUSSIAN), POINTS)
        pulls.append((mean - found.value) / error)
        assert found.wick == pytest.approx(0.18112943, rel=1e-7)
        assert found.error < 1e-10 * abs(found.value)
    assert np.sqrt(np.mean(np.square(pulls))) < 2.5, pulls


def test_four_point_function_is_the_published_formula():
    x = np.array(POINTS)
    for alpha in (-1.0, 0.0, 0.7, 1.0):
        field = CosNet(2, 1.0, 7, alpha=alpha, regulator=GAUSSIAN)
        wick, extra = 0.0, 0.0
        for i, j, k, m in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
            wick += field.propagator(*split(x[i] - x[j])) * field.propagator(*split(x[k] - x[m]))
            extra += propagator(2, 1.0, *split(x[i] + x[j] - x[k] - x[m]), regulator=GAUSSIAN, power=1 - alpha).value
        found = n_point(field, x)
        assert found.value == pytest.approx((1 - 1 / 7) * wick + field.omega / 14 * extra, rel=1e-12)
        assert found.connected == pytest.approx(found.correction, rel=1e-10)
    # Gaussian momenta weigh all directions alike: J is a Gaussian for alpha = 1.
    r = np.array([0.0, 0.003, 0.02])
    j = propagator(2, 1.0, r, [0.0], regulator=GAUSSIAN, power=0).value
    np.testing.assert_allclose(j, 100**2 / (2 * np.pi) * np.exp(-(100**2) * r**2 / 2), rtol=1e-13)


def split(point):
    """Time and displacement."""
    return point[0], point[1:]


@pytest.mark.parametrize("n", [2, 4, 6, 8])
@pytest.mark.parametrize("alpha", [-0.5, 0.0, 1.0])
def test_one_neuron_of_a_cos_net_is_an_integral_over_momentum_and_phase(n, alpha):
    times = np.linspace(-0.4, 0.5, n) ** 3 + np.linspace(0, 0.7, n)
    field = CosNet(1, 1.0, 1, alpha=alpha, regulator=Regulator("gaussian", 4.0))
    k, w = panels(np.linspace(-48.0, 48.0, 61))
    density = np.exp(-(k**2) / 32) / (2 * np.pi * field.omega * (k**2 + 1) ** (alpha + 1))
    phases = 2 * np.pi * np.arange(16) / 16
    h = (
        np.cos(k[:, None, None] * times + phases[:, None])
        * np.sqrt(2 * field.omega)
        * ((k**2 + 1) ** (alpha / 2))[:, None, None]
    )
    expected = (w * density) @ h.prod(axis=2).mean(axis=1)
    found = n_point(field, times[:, None])
    assert abs(found.value - expected) < found.error + 1e-12 * abs(expected)


@pytest.mark.parametrize("n", [2, 4, 6])
def test_one_neuron_of_a_reflection_positive_net_is_an_average_over_momenta(n):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 2)) * 0.4
    field = ReflectionPositiveNet(2, 1.0, 1, 8.0)
    u, w = panels(np.linspace(-np.arcsinh(8.0), np.arcsinh(8.0), 41))
    k, omega = np.sinh(u), np.cosh(u)
    steps = x[:, None] - x
    c = (
        field.variance[0]
        * np.exp(-omega[:, None, None] * np.abs(steps[..., 0]))
        * np.cos(k[:, None, None] * steps[..., 1])
    )

    def wick(left):
        if not left:
            return 1.0
        first, *rest = left
        return sum(c[:, first, i] * wick([j for j in rest if j != i]) for i in rest)

    expected = (w * wick(list(range(n)))).sum() / w.sum()
    assert n_point(field, x).value == pytest.approx(expected, rel=1e-12)


def test_bias_of_the_reflection_positive_net_grows_slowly():
    # N times the connected over the disconnected four-point function at (0, r, 2r, 3r) in time.
    field = ReflectionPositiveNet(2, 1.0, 10, 50.0)
    points = np.array([0.3, 1.0, 3.0])[:, None, None] * np.arange(4)[:, None] * np.array([1.0, 0.0])
    found = n_point(field, points)
    np.testing.assert_allclose(10 * found.connected / found.wick, [1.06, 2.06, 3.75], atol=5e-3)
    assert np.all(found.connected_error < 1e-12 * found.connected)


def test_the_cosine_network_in_time_is_a_cos_net():
    field = CosNet(1, 1.3, 7)
    network = CosineNetwork(Density("cauchy"), width=7, scale=1.3, variance=1 / 2.6)
    times = np.random.default_rng(2).normal(size=(20, 4))
    found = n_point(field, times[..., None])
    np.testing.assert_allclose(found.connected, network.connected_four_point(times), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(n_point(field, times[:, :2, None]).value, network(times[:, 0], times[:, 1]), rtol=1e-13)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 4), alpha=st.sampled_from([-1.0, 0.0, 0.3, 1.0]))
def test_symmetries_of_n_point_functions(seed, d, alpha):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, d)) * 0.3
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    images = np.stack([x, x[rng.permutation(4)], x + rng.normal(size=d), x @ rotation])
    found = n_point(CosNet(d, 1.0, 3, alpha=alpha, regulator=Regulator("gaussian", 5.0)), images)
    np.testing.assert_allclose(found.value, found.value[0], rtol=1e-9, atol=1e-13 * np.abs(found.value).max())
    # Rotations that mix time and space hold for two points of a reflection-positive net, not for four.
    if d > 1:
        net = ReflectionPositiveNet(d, 1.0, 3, 20.0)
        found = n_point(net, images[:3])
        np.testing.assert_allclose(found.value, found.value[0], rtol=1e-9)
    wide = n_point(CosNet(d, 1.0, 10**9, alpha=alpha, regulator=Regulator("gaussian", 5.0)), x)
    assert wide.value == pytest.approx(wide.wick, rel=1e-5)


def test_odd_functions_vanish_and_gaussian_fields_obey_wick():
    field = CosNet(2, 1.0, 3, regulator=HARD)
    assert n_point(field, np.zeros((5, 3, 2))).value.tolist() == [0.0] * 5
    box = PeriodicBox(1.0, 4)
    points = np.array([[0.0, 0.0], [0.3, 1.0], [0.5, 0.0], [0.9, 2.0]])
    found = n_point(box, points)
    g = box.propagator(points[:, None, 0] - points[None, :, 0], points[:, None, 1:] - points[None, :, 1:])
    assert found.value == pytest.approx(g[0, 1] * g[2, 3] + g[0, 2] * g[1, 3] + g[0, 3] * g[1, 2], rel=1e-13)
    assert found.connected == 0
    assert n_point(box, points[:2]).connected == pytest.approx(g[0, 1])
    z = generating_functional(box, points, [1.0, -0.5, 0.2, 0.3])
    j = np.array([1.0, -0.5, 0.2, 0.3])
    assert z.value == pytest.approx(np.exp(-j @ g @ j / 2), rel=1e-13)


def drawn_cos_nets(field, points, n_networks, seed):
    """The field at points (P, 2) of networks in two dimensions, (networks, P); momenta by inversion of their law."""
    rng = np.random.default_rng(seed)
    needed = n_networks * field.width
    edges = np.concatenate([[0.0], np.geomspace(1e-4, 10 * field.regulator.cutoff, 4000)])
    k, w = panels(edges, 4)
    density = w * k * field.regulator(k) * (k**2 + field.mass**2) ** (-1 - field.alpha)
    below = np.concatenate([[0.0], np.cumsum(density.reshape(-1, 4).sum(axis=1))])
    radius, angle = np.interp(rng.uniform(0, below[-1], needed), below, edges), rng.uniform(0, 2 * np.pi, needed)
    k = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    b = rng.uniform(0, 2 * np.pi, needed)
    amplitude = np.sqrt(2 * field.omega / field.width) * ((k**2).sum(axis=1) + field.mass**2) ** (field.alpha / 2)
    h = amplitude[:, None] * np.cos(k @ points.T + b[:, None])
    return h.reshape(n_networks, field.width, -1).sum(axis=1)


def averages(samples):
    """Estimates of the means of independent samples (M, ...)."""
    blocks = samples.reshape(50, -1, samples.shape[1])
    return jackknife(
        lambda s: s["x"] / s["n"][:, None], {"x": blocks.sum(axis=1), "n": np.full(50, blocks.shape[1])}, [1] * 50
    )


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "width"), [(-1.0, 3), (0.0, 2), (1.0, 5)])
def test_drawn_networks_have_these_functions(alpha, width):
    field = CosNet(2, 1.0, width, alpha=alpha, regulator=Regulator("gaussian", 3.0))
    points = np.array([[0.0, 0.0], [0.2, 0.1], [-0.1, 0.3], [0.4, -0.2], [0.1, 0.1], [-0.3, 0.0]])
    charges = np.array([1.0, -2.0, 0.5, 0.0, 0.3, 0.7])
    phi = drawn_cos_nets(field, points, 100_000, seed=int(10 + alpha))
    measured = averages(np.stack([phi[:, :2].prod(1), phi[:, :4].prod(1), phi.prod(1), np.cos(phi @ charges)], axis=1))
    exact = [float(n_point(field, points[:n]).value) for n in (2, 4, 6)]
    exact.append(float(generating_functional(field, points, charges).value))
    harness.assert_consistent(measured, exact)
    # Negative control: at infinite width the numbers are others.
    steps = points[:, None] - points
    variance = charges @ field.propagator(steps[..., 0], steps[..., 1:]) @ charges
    wide = [float(n_point(field, points[:n]).wick) for n in (2, 4, 6)]
    harness.assert_inconsistent(measured, [*wide, np.exp(-variance / 2)])


@pytest.mark.slow
def test_drawn_reflection_positive_nets_have_these_functions():
    field = ReflectionPositiveNet(2, 1.0, 2, 5.0)
    points = np.array([[0.0, 0.0], [0.2, 0.4], [0.5, -0.3], [0.9, 0.2]])
    charges = np.array([1.0, -2.0, 0.5, 0.7])
    rng, m = np.random.default_rng(4), 100_000
    k = np.sinh(rng.uniform(-np.arcsinh(5.0), np.arcsinh(5.0), size=(m, 2)))
    lags = np.diff(points[:, 0], prepend=0.0)
    omega = np.sqrt(k**2 + 1)[..., None]
    noise, states = rng.normal(size=(4, m, 2, 2)), []
    for lag, fresh in zip(lags, noise, strict=True):
        rho = np.exp(-omega * lag)
        states.append(rho * states[-1] + np.sqrt(1 - rho**2) * fresh if states else fresh)
    y = np.stack(states, axis=2)
    waves = k[..., None] * points[:, 1]
    h = y[..., 0] * np.cos(waves) + y[..., 1] * np.sin(waves)
    phi = np.sqrt(field.variance[0] / 2) * h.sum(axis=1)
    measured = averages(np.stack([phi[:, :2].prod(1), phi.prod(1), np.cos(phi @ charges)], axis=1))
    exact = [float(n_point(field, points[:n]).value) for n in (2, 4)]
    exact.append(float(generating_functional(field, points, charges).value))
    harness.assert_consistent(measured, exact)
    harness.assert_inconsistent(measured[1], n_point(field, points).wick)


# Generating functionals.


def test_published_vertex_operators():
    # exp(i a (phi(0) - phi(r))) of 1/k^2 on 1 <= |k| <= 100 in two dimensions, with a field in which the propagator is
    # 2 pi times ours (arXiv:2512.24420).
    for width, a, r, finite, wide in ((4000, 1.414, 0.0316, 0.158124, 0.158016), (10, 0.5, 0.1, 0.584035, 0.580332)):
        field = CosNet(2, 0.0, width, regulator=Regulator("hard", 100.0, lower=1.0))
        charge = a * np.sqrt(2 * np.pi)
        found = generating_functional(field, [[0.0, 0.0], [0.0, r]], [charge, -charge])
        assert found.value == pytest.approx(finite, abs=5.1e-7)
        assert found.error < 1e-12
        g = field.propagator([0.0, 0.0], [[0.0], [r]])
        assert np.exp(-(charge**2) * (g[0] - g[1])) == pytest.approx(wide, abs=5.1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-0.6, 0.0, 1.0])
def test_generating_functional_is_an_integral_over_momenta_and_phases(alpha):
    field = CosNet(2, 1.0, 3, alpha=alpha, regulator=Regulator("gaussian", 3.0))
    points, charges = np.array([[0.0, 0.0], [0.3, 0.2], [-0.2, 0.5]]), np.array([1.0, -1.5, 0.8])
    k, w = panels(np.linspace(0.0, 33.0, 23), 20)
    angle = 2 * np.pi * np.arange(128) / 128
    vectors = k[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    wave = (charges * np.exp(1j * (vectors @ points.T))).sum(axis=-1)
    amplitude = np.sqrt(2 * field.omega / 3) * (k**2 + 1) ** (alpha / 2)
    phases = 2 * np.pi * np.arange(128) / 128
    values = np.cos(amplitude[:, None, None] * (wave[..., None] * np.exp(1j * phases)).real).mean(axis=(1, 2))
    density = k * np.exp(-(k**2) / 18) / (2 * np.pi * field.omega * (k**2 + 1) ** (alpha + 1))
    found = generating_functional(field, points, charges)
    assert found.value == pytest.approx(((w * density) @ values) ** 3, rel=1e-10)
    assert found.error < 1e-11


@pytest.mark.parametrize(
    "field",
    [
        CosNet(3, 1.0, 3, alpha=-1.0, regulator=Regulator("gaussian", 5.0)),
        CosNet(1, 1.0, 2),
        CosNet(1, 1.0, 3, alpha=0.5, regulator=Regulator("hard", 5.0)),
        CosNet(3, 1.0, 3, regulator=Regulator("hard", 5.0, spatial=True)),
        CosNet(2, 0.0, 3, alpha=0.5, regulator=Regulator("hard", 5.0, lower=0.5)),
        ReflectionPositiveNet(1, 1.0, 3, 5.0),
        ReflectionPositiveNet(2, 1.0, 3, 5.0),
        ReflectionPositiveNet(4, 1.0, 3, 5.0),
    ],
    ids=repr,
)
def test_generating_functional_generates_n_point_functions(field):
    # 1 - <(J phi)^2>/2 + <(J phi)^4>/24 - <(J phi)^6>/720 + O(J^8): the rest falls by 2^8 for half the charges.
    d, j = field.dimension, np.array([1.0, -0.7])
    points = np.zeros((2, d))
    points[1, :2] = [0.3, 0.4][:d]
    moments = {}
    for n in (2, 4, 6):
        which = np.array(list(product(range(2), repeat=n)))
        moments[n] = float((n_point(field, points[which]).value * j[which].prod(axis=1)).sum())
    sizes = np.array([0.4, 0.2]) / moments[2] ** 0.5
    z = generating_functional(field, points, sizes[:, None] * j)
    series = 1 - sizes**2 * moments[2] / 2 + sizes**4 * moments[4] / 24 - sizes**6 * moments[6] / 720
    rest = z.value - series
    assert rest[0] / rest[1] == pytest.approx(256, rel=0.1)
    assert np.all(z.error < 1e-12)
    assert np.all(rest > 0)


@pytest.mark.slow
def test_sums_over_orders_and_over_directions_agree(monkeypatch):
    field = CosNet(2, 1.0, 3, alpha=1.0, regulator=Regulator("gaussian", 5.0))
    points, charges = [[0.0, 0.0], [0.1, 0.2]], [1.3, -0.7]
    by_orders = generating_functional(field, points, charges)
    monkeypatch.setattr("nnqm.fields.generating_functionals._FEW_TERMS", -1)
    by_directions = generating_functional(field, points, charges)
    assert by_orders.value == pytest.approx(by_directions.value, rel=1e-13)
    # Two computations, with errors of their own.
    assert by_orders.error != by_directions.error


def test_limits_of_the_generating_functional():
    points = np.array([[0.0, 0.0], [0.1, 0.2]])
    j = np.array([0.8, -0.5])
    for make in (
        partial(CosNet, 2, 1.0, regulator=Regulator("gaussian", 10.0)),
        partial(ReflectionPositiveNet, 2, 1.0, cutoff=10.0),
    ):
        wide, narrow = make(width=30_000), make(width=10)
        steps = points[:, None] - points
        g = wide.propagator(steps[..., 0], steps[..., 1:])
        assert generating_functional(wide, points, j).value == pytest.approx(np.exp(-j @ g @ j / 2), rel=1e-4)
        # Opposite charges at one point cancel, and charges of one point add up.
        assert generating_functional(narrow, points[[0, 0]], [0.7, -0.7]).value == pytest.approx(1, abs=1e-14)
        twice = generating_functional(narrow, points[[0, 0]], [0.4, 0.5]).value
        assert twice == pytest.approx(generating_functional(narrow, points[:1], [0.9]).value, rel=1e-13)
    # Two charges that are not small: the average over one neuron is negative.
    field = CosNet(2, 1.0, 3, regulator=Regulator("gaussian", 10.0))
    assert generating_functional(field, points[:1], [6.0]).value < 0
