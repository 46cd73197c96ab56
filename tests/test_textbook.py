"""Potentials with jumps, kinks, walls and narrow features against closed forms and a finite-element code."""

import itertools
import math
import pickle

import mpmath
import numpy as np
import pytest
from scipy import sparse, special
from scipy.optimize import brentq
from scipy.sparse.linalg import eigsh

import nnqm
from nnqm.quantum.hamiltonian import Hamiltonian
from nnqm.quantum.pieces import resolve

AIRY, AIRY_PRIME = -special.ai_zeros(4)[0], -special.ai_zeros(4)[1]
# Unit of energy of a linear potential of slope one: (hbar^2/2m)^(1/3).
LINEAR = 2 ** (-1 / 3)
BARRIER = Hamiltonian(lambda x: x**2 / 2 + (np.abs(x) < 0.1))


def square_well(depth, half_width=1.0):
    """Levels of -depth for abs(x) < half_width: z tan z and -z cot z equal sqrt(R^2 - z^2)."""
    radius, levels, k = math.sqrt(2 * depth) * half_width, [], 0
    while k * math.pi / 2 < radius:
        low, high = k * math.pi / 2 + 1e-12, min((k + 1) * math.pi / 2 - 1e-12, radius)

        def match(z, k=k):
            side = z * math.tan(z) if k % 2 == 0 else -z / math.tan(z)
            return side - math.sqrt(max(radius**2 - z * z, 0))

        if match(low) * match(high) < 0:
            levels.append(brentq(match, low, high, xtol=1e-15) ** 2 / 2 / half_width**2 - depth)
        k += 1
    return np.array(levels)


def cylinder_slope(nu, gamma, rgamma):
    """sqrt(2) D_nu'(0)/D_nu(0) of parabolic cylinder functions."""
    return -2 * rgamma(-nu / 2) * gamma((1 - nu) / 2)


def step_in_an_oscillator(height, count):
    """Levels of x^2/2 + height for x > 0: parabolic cylinder functions match at zero."""

    def mismatch(energy, gamma=mpmath.gamma, rgamma=mpmath.rgamma):
        return cylinder_slope(energy - height - 0.5, gamma, rgamma) + cylinder_slope(energy - 0.5, gamma, rgamma)

    grid = np.linspace(0.51, 0.5 + height + count, 4000) + 1e-7
    values = mismatch(grid, special.gamma, special.rgamma)
    # Poles change the sign through infinity.
    turns = np.flatnonzero((values[1:] * values[:-1] < 0) & (np.abs(values[1:] - values[:-1]) < 1))
    with mpmath.workdps(25):
        ends = [(mpmath.mpf(float(grid[k])), mpmath.mpf(float(grid[k + 1]))) for k in turns[:count]]
        return np.array([float(mpmath.findroot(mismatch, pair, solver="anderson")) for pair in ends])


TEXTBOOK = {
    "box": ([0.0], np.arange(1, 9) ** 2 * math.pi**2 / 8, {"domain": (-1, 1)}),
    "walls": (lambda x: np.where(np.abs(x - 0.3) < 1, 0, np.inf), np.arange(1, 5) ** 2 * math.pi**2 / 8, {}),
    "half oscillator": ([0, 0, 0.5], [1.5, 3.5, 5.5, 7.5], {"domain": (0, np.inf)}),
    "oscillator to the left": ([0, 0, 0.5], [1.5, 3.5, 5.5], {"domain": (None, 0)}),
    "floor": ([0, 1.0], AIRY * LINEAR, {"domain": (0, np.inf)}),
    "absolute value": (np.abs, np.sort(np.concatenate([AIRY[:2], AIRY_PRIME[:2]])) * LINEAR, {}),
    "square well": (lambda x: np.where(np.abs(x) < 1, -50.0, 0.0), square_well(50.0), {}),
    "integers": (lambda x: np.where(np.abs(x) < 1, -50, 0), square_well(50.0), {}),
    "aside": (lambda x: np.where(np.abs(x - 3.3) < 0.5, -10.0, 0.0), square_well(10.0, 0.5), {}),
    "loose": (lambda x: np.where(np.abs(x) < 0.5, -10.0, 0.0), square_well(10.0, 0.5), {"tolerance": 0.03}),
    "weak well": (lambda x: -0.01 * (np.abs(x) < 1), square_well(0.01), {}),
    "deep well": (lambda x: -1000.0 * (np.abs(x) < 1), square_well(1000.0), {}),
    "step": (lambda x: x**2 / 2 + 1.5 * (x > 0), step_in_an_oscillator(1.5, 4), {}),
    "capped": (lambda x: np.minimum(x**2 / 2, 50), np.arange(4) + 0.5, {}),
    "high cap": (lambda x: np.minimum(x**2 / 2, 1e6), np.arange(4) + 0.5, {}),
    "raised": (lambda x: 1e8 + x**2 / 2, 1e8 + np.arange(4) + 0.5, {}),
    "raised polynomial": ([1e6, 0, 0.5], 1e6 + np.arange(4) + 0.5, {}),
    "far away": (lambda x: (x + 1e6) ** 2 / 2, np.arange(4) + 0.5, {}),
    "soft Coulomb": (lambda x: -1 / np.sqrt(1 + x * x), [-0.6697771382138], {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_levels(name):
    potential, exact, options = TEXTBOOK[name]
    h = Hamiltonian(potential, **options)
    errors = h.level_errors(len(exact))
    assert np.all(np.abs(h.energies(len(exact)) - exact) <= errors + 2e-13 * np.abs(exact))
    assert np.all(errors <= 1e-8 * np.maximum(1, np.abs(exact)))


@pytest.mark.slow
def test_units_do_not_matter():
    hbar, mass, length = 1.0546e-34, 9.1e-31, 1e-10
    unit = hbar**2 / (2 * mass * length**2)
    h = Hamiltonian(lambda x: np.where(np.abs(x) < length, -100 * unit, 0.0), mass, hbar)
    np.testing.assert_allclose(h.energies(3) / unit, 2 * square_well(50.0)[:3], rtol=1e-10)


@pytest.mark.slow
def test_a_narrow_barrier_becomes_a_delta_function():
    # Levels of x^2/2 + delta(x): the even solutions have slope psi'(0+)/psi(0) = 1.
    def mismatch(energy):
        return cylinder_slope(energy - mpmath.mpf(1) / 2, mpmath.gamma, mpmath.rgamma) - 1

    exact = float(mpmath.findroot(mismatch, (0.8, 0.95), solver="anderson"))
    width = 1e-5
    h = Hamiltonian(lambda x: x**2 / 2 + (np.abs(x) < width / 2) / width)
    assert h.energies(2) == pytest.approx([exact, 1.5], abs=2 * width)
    assert abs(h.energies(1)[0] - exact) > h.level_errors(1)[0]


def finite_elements(potential, breaks, count):
    """Levels on (-9, 9) with polynomials of order six on elements that end at known breaks."""
    order = 6
    z, w = np.polynomial.legendre.leggauss(12)
    nodes = np.linalg.inv(np.vander(np.linspace(-1, 1, order + 1), increasing=True))
    values = np.vander(z, order + 1, increasing=True) @ nodes
    slopes = np.stack([k * z ** max(k - 1, 0) for k in range(order + 1)], axis=1) @ nodes
    ends = np.unique([-9.0, *breaks, 9.0])
    edges = np.concatenate(
        [np.linspace(a, b, math.ceil((b - a) / 0.06) + 1)[:-1] for a, b in itertools.pairwise(ends)] + [[9.0]]
    )
    h = np.diff(edges)
    x = edges[:-1, None] + h[:, None] * (z + 1) / 2
    energy = np.einsum("q,qi,qj->ij", w, slopes, slopes) / h[:, None, None]
    energy = energy + np.einsum("eq,q,qi,qj->eij", potential(x), w, values, values) * h[:, None, None] / 2
    overlap = np.einsum("q,qi,qj->ij", w, values, values) * h[:, None, None] / 2
    index = np.arange(len(h))[:, None] * order + np.arange(order + 1)
    rows, columns = np.repeat(index, order + 1, axis=1).ravel(), np.tile(index, (1, order + 1)).ravel()
    matrices = [sparse.csc_matrix((m.ravel(), (rows, columns)))[1:-1, 1:-1] for m in (energy, overlap)]
    return np.sort(eigsh(matrices[0], count, matrices[1], sigma=-400.0, which="LM", return_eigenvectors=False))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_random_features_on_an_oscillator(seed):
    rng = np.random.default_rng(seed)
    centre, height = rng.uniform(-3, 3, 3), rng.choice([-1, 1], 3) * 10 ** rng.uniform(-1, 1.2, 3)
    width = 10 ** rng.uniform(np.log10(0.005), np.log10(0.4), 3)
    edges = np.stack([centre - width / 2, centre + width / 2])

    def rectangles(x):
        return x**2 / 2 + sum(height[k] * ((x > edges[0, k]) & (x < edges[1, k])) for k in range(2))

    def mixed(x):
        bump = height[2] * np.exp(-(((x - centre[2]) / width[2]) ** 2) / 2)
        return rectangles(x) + bump + 0.7 * np.abs(x - centre[0])

    for potential in (rectangles, mixed):
        breaks = np.concatenate([edges.ravel(), centre, centre[2] + width[2] * np.arange(-8, 9)])
        exact = finite_elements(potential, breaks[np.abs(breaks) < 9], 3)
        h = Hamiltonian(potential)
        # The reference is right to 1e-10.
        assert np.all(np.abs(h.energies(3) - exact) <= h.level_errors(3) + 2e-10)
        assert h.level_errors(3).max() < 1e-9


@pytest.mark.slow
def test_a_feature_far_from_the_bottom():
    # A deep narrow well on the slope of an oscillator holds the ground state.
    def potential(x):
        return x**2 / 2 - 300.0 * (np.abs(x - 7.003) < 0.05)

    exact = finite_elements(potential, [6.953, 7.053], 2)
    assert exact[0] < -20
    np.testing.assert_allclose(Hamiltonian(potential).energies(2), exact, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("potential", "count"),
    [
        (lambda x: -1e-4 * (np.abs(x) < 1), 1),
        (lambda x: -1e-3 * np.exp(-(x**2)), 1),
        (lambda x: -50.0 * (np.abs(x) < 1), 7),
        (lambda x: -6 / np.cosh(x) ** 2, 3),
        (lambda x: np.where((np.abs(x) > 1) & (np.abs(x) < 2), -20.0, 0.0), 5),
        (lambda x: np.minimum(x**2 / 2, 50), 50),
        (lambda x: -1 / np.sqrt(1 + x * x), None),
    ],
)
def test_the_number_of_bound_levels(potential, count):
    h = Hamiltonian(potential)
    assert h.n_bound == count
    assert np.all(h.energies(2 if count is None or count > 1 else 1) < h.threshold)


@pytest.mark.slow
def test_the_error_of_a_table_with_a_kink():
    x = np.linspace(-8, 8, 161)
    h = Hamiltonian((x, np.abs(x)))
    off = abs(h.energies(1)[0] - AIRY_PRIME[0] * LINEAR)
    assert 1e-5 < off < h.level_errors(1)[0] < 0.1
    smooth = Hamiltonian((x, x**2 / 2))
    assert smooth.level_errors(1)[0] < 1e-11


@pytest.mark.slow
def test_weak_wells_bind():
    # E = -(int V)^2/2 to leading order.
    h = Hamiltonian(lambda x: -1e-3 * np.exp(-(x**2)))
    assert h.energies(1)[0] == pytest.approx(-math.pi * 1e-6 / 2, rel=4e-3)


@pytest.mark.slow
def test_wells_at_several_places():
    wells = Hamiltonian(lambda x: np.where((np.abs(x) > 4) & (np.abs(x) < 6), -20.0, 0.0))
    single = square_well(20.0)
    pairs = wells.energies(4)
    np.testing.assert_allclose(pairs, np.repeat(single[:2], 2), atol=1e-9)
    assert np.all(np.diff(pairs) >= 0)
    # Mirrored wells have states of definite parity, however small the splitting.
    assert wells.eigenstate(0).expectation("x") == pytest.approx(0, abs=1e-10)
    for a in (3.0, 4.0, 6.0):
        deep = Hamiltonian([a**4, 0, -2 * a**2, 0, 1.0])
        assert np.all(deep.gaps(3) >= 0)
        assert deep.gaps(1)[0] <= deep.level_errors(2).sum() + 1e-6


@pytest.mark.slow
def test_states_on_panels():
    ground = BARRIER.eigenstate(0)
    assert ground.expectation("H") == pytest.approx(BARRIER.energies(1)[0], rel=1e-12)
    assert ground.norm() == pytest.approx(1, rel=1e-13)
    assert ground.element("H", BARRIER.eigenstate(2)) == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(BARRIER.commutator(4), np.eye(4), atol=1e-9)
    x, e = BARRIER.matrix("x", 12), BARRIER.energies(12)
    # Thomas-Reiche-Kuhn
    assert 2 * (e - e[0]) @ x[0] ** 2 == pytest.approx(1, rel=1e-3)
    np.testing.assert_allclose(BARRIER.matrix("p", 3), 1j * ((e[:, None] - e) * x)[:3, :3], atol=1e-8)
    measure = BARRIER.spectral_measure()
    t = [0.0, 0.3, 2.0]
    np.testing.assert_allclose(measure.two_point(t), BARRIER.two_point(t), rtol=1e-9)
    assert measure.commutator == pytest.approx(1, rel=1e-9)
    packet = BARRIER.state(lambda x: np.exp(-((x - 1) ** 2)))
    assert packet.evolve(0.7).norm() == pytest.approx(packet.norm(), rel=1e-11)
    box = Hamiltonian([0.0], domain=(0, 2))
    y = np.linspace(0, 2, 9)
    np.testing.assert_allclose(np.abs(box.wave_function(2, y)), np.abs(np.sin(1.5 * np.pi * y)), atol=1e-9)
    beta = 0.3
    z = np.sum(np.exp(-beta * np.arange(1, 200) ** 2 * np.pi**2 / 8))
    assert box.partition_function(beta) == pytest.approx(z, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 0.25])
@pytest.mark.parametrize(
    ("potential", "options"),
    [(lambda x: x**2 / 2 + (np.abs(x) < 0.1), {}), (np.abs, {"tolerance": 1e-3}), ([0.0], {"domain": (0, 4)})],
)
def test_chains_on_panels(potential, options, offset):
    h = Hamiltonian(potential, **options)
    chain = h.transition_matrix(0.3, offset=offset)
    assert chain.gap_error < 1e-6
    assert chain.transitions.min() >= 0
    flow = chain.law[:, None] * chain.transitions
    np.testing.assert_allclose(flow, flow.T, atol=1e-16)
    one = chain.law @ (chain.values * (chain.transitions @ chain.values))
    assert one == pytest.approx(float(h.two_point(0.3)), rel=1e-6)


# ---- observables


@pytest.mark.slow
def test_observables_with_jumps_and_kinks():
    oscillator = Hamiltonian([0, 0, 0.5])
    ground, first = oscillator.eigenstate(0), oscillator.eigenstate(1)
    above = special.erfc(0.3) / 2
    assert ground.expectation(lambda x: x > 0.3) == pytest.approx(above, abs=1e-13)
    assert ground.uncertainty(lambda x: x > 0.3) == pytest.approx(math.sqrt(above * (1 - above)), rel=1e-10)
    assert ground.expectation(lambda x: (x > 0).astype(int)) == pytest.approx(0.5, abs=1e-13)
    assert ground.expectation(np.abs) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)
    assert ground.element(np.sign, first) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-12)
    spike = ground.expectation(lambda x: np.abs(x - 0.2) < 1e-3)
    assert spike == pytest.approx((special.erf(0.201) - special.erf(0.199)) / 2, rel=1e-10)
    # The law of the arcsine of a Gaussian process.
    t = np.array([0.0, 0.5, 1.0, 3.0])
    arcsine = 2 / np.pi * np.arcsin(np.exp(-t))
    np.testing.assert_allclose(oscillator.two_point(t, np.sign), arcsine, atol=1e-10)
    for k in (0, 2):
        pair = [(0, np.sign), (float(t[k]), np.sign)]
        assert oscillator.n_point(pair) == pytest.approx(arcsine[k], abs=1e-10)
    with pytest.raises(ValueError, match=r"reaches a relative error of .* only at these times"):
        oscillator.two_point(0.01, np.sign)
    with pytest.raises(ValueError, match=r"reaches a relative error of .* only at these times"):
        oscillator.n_point([(0, np.sign), (0.01, np.sign)])
    with pytest.raises(ValueError, match="operator makes a function with jumps"):
        ground.apply(np.sign)
    with pytest.raises(ValueError, match="observable is too rough"):
        ground.expectation(lambda x: np.sin(1e7 * x))


def test_functions_that_work_in_place_change_nothing():
    def potential(x):
        x *= x
        x /= 2
        return x

    def observable(x):
        x[x < 0] = 0
        return x

    h = Hamiltonian(potential)
    np.testing.assert_allclose(h.energies(3), [0.5, 1.5, 2.5], rtol=1e-12)
    ground = h.eigenstate(0)
    assert ground.expectation(observable) == pytest.approx(0.5 / math.sqrt(math.pi), rel=1e-12)
    assert ground.expectation("x") == pytest.approx(0, abs=1e-12)
    points = h.grid
    assert h.eigenstate(0).expectation(lambda x: x) == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(h.grid, points)


# ---- sampling


@pytest.mark.slow
def test_paths_over_a_barrier():
    process = nnqm.GroundStateProcess(BARRIER)
    exact = BARRIER.eigenstate(0).expectation(lambda x: x**2)
    assert process.variance[0] == pytest.approx(exact, rel=1e-11)
    chain = process.chain(0.2)
    np.testing.assert_allclose(np.sum(chain.law * chain.values**2, axis=1), exact, rtol=1e-8)


# ---- the survey


def test_pieces_end_at_jumps_and_kinks():
    pieces = resolve(lambda x: np.where(x < 1 / 3, np.sin(x), 2 + np.abs(x - 0.7)), (-4.0, 5.0), 0.0, 1.0)
    np.testing.assert_allclose(pieces.breaks, [1 / 3, 0.7], atol=1e-12)
    smooth = resolve(np.cos, (-4.0, 5.0), 0.0, 1.0)
    assert not len(smooth.breaks)
    walls = resolve(lambda x: np.where(np.abs(x) < 0.3, x, np.inf), (-1.0, 1.1), 0.0, 1.0)
    np.testing.assert_allclose(walls.breaks, [-0.3, 0.3])
    noisy = resolve(lambda x: 1e8 + x**2, (-4.0, 5.0), 1e8, 1.0)
    assert 1e-9 < noisy.noise.max() < 1e-7
    with pytest.raises(ValueError, match="structure on a scale"):
        resolve(lambda x: np.sin(1e8 * x), (-4.0, 5.0), 0.0, 1.0)


@pytest.mark.slow
def test_domains():
    for h in (Hamiltonian([0, 0, 0.5], domain=(0, np.inf)), Hamiltonian([0, 1.0], domain=(0, 30))):
        again = pickle.loads(pickle.dumps(h))
        assert again == h == Hamiltonian.from_dict(h.to_dict())
        assert again.n_bound is None
        with pytest.raises(ValueError, match="x must lie in the domain"):
            h.potential(-1.0)
    with pytest.raises(ValueError, match="domain must be two ascending numbers"):
        Hamiltonian([0, 0, 1], domain=(1, np.nan))
    with pytest.raises(ValueError, match="infinite on the whole domain"):
        Hamiltonian(lambda x: x + np.inf, domain=(0, 1))
    with pytest.raises(ValueError, match=r"potential\(0\) is -inf; cut the singularity off"):
        Hamiltonian(lambda x: -1 / x, domain=(0, np.inf))
    with pytest.raises(ValueError, match="falls without bound to the right"):
        Hamiltonian([0, -1.0], domain=(0, np.inf))
    with pytest.raises(ValueError, match="potential is too rough"):
        Hamiltonian(lambda x: x**2 / 2 + np.sin(1e8 * x)).energies(1)


@pytest.mark.slow
def test_exact_column_of_a_box():
    # |psi_0|^2 = (2/L) sin^2(pi x/L): the variance is L^2 (1/12 - 1/(2 pi^2)), <p^2> = (pi/L)^2.
    box = nnqm.Hamiltonian(lambda x: 0 * x, domain=(0, 2))
    measures = (box.spectral_measure(), nnqm.kallen_lehmann(nnqm.Theory(nnqm.GroundStateProcess(box))))
    for measure in measures:
        assert measure.mean == pytest.approx(1, abs=1e-12)
        assert measure.moments[0] == pytest.approx(4 * (1 / 12 - 1 / (2 * np.pi**2)), rel=1e-10)
        assert measure.momentum_squared == pytest.approx(np.pi**2 / 4, rel=1e-10)
        assert measure.commutator == pytest.approx(1, abs=1e-6)
