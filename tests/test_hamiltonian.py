"""Hamiltonians against closed forms, high precision, sum rules and brute force."""

import copy
import json
import math
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnqm.quantum.chain import GroundStateChain
from nnqm.quantum.hamiltonian import Hamiltonian
from nnqm.quantum.pieces import resolve
from nnqm.quantum.states import State

OSCILLATOR = Hamiltonian([0, 0, 0.5])
QUARTIC = Hamiltonian([0, 0, 0.5, 0, 1])
WELL = Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1])

# Levels of p^2/2 + V by diagonalisation with 40 digits in 64 oscillator functions of each parity (mpmath.eigsy); 50
# functions give the same digits.
ANHARMONIC = {
    0.01: [0.507256204524602840953, 1.535648278296803462902, 2.590845796190702665765, 3.671094942225798018617],
    1: [0.8037706512342737693541, 2.737892268008434260956, 5.179291687639390959023, 7.942403984390965046715],
    100: [3.131384164937544273165, 11.18725425101183659813, 21.90689814900934613685, 34.18252411217784530941],
}
# V = lambda (x^2 - a^2)^2 by the same method: coefficients, levels, splitting of the lowest two.
DOUBLE_WELLS = [
    (
        [5.0625, 0, -4.5, 0, 1],
        [1.970589956442282885096, 2.012412210536882453519, 4.908061911928318477694],
        0.0418222540945996,
    ),
    (
        [3.2, 0, -3.2, 0, 0.8],
        [1.566746689103637538435, 1.702690146268942522993, 3.814246152877214386731],
        0.135943457165305,
    ),
    (
        [16, 0, -8, 0, 1],
        [2.762405927138259315889, 2.762421822287943871355, 7.988904028948196089307],
        1.58951496845555e-5,
    ),
    (
        [39.0625, 0, -12.5, 0, 1],
        [3.494453661646253006525, 3.494453661662659138462, 10.31018646832228123355],
        1.6406131936584e-11,
    ),
]


def poeschl_teller(strength, *, mass=1.0, hbar=1.0, width=1.0):
    depth = hbar**2 * strength * (strength + 1) / (2 * mass * width**2)
    return Hamiltonian(lambda x: -depth / np.cosh(x / width) ** 2, mass, hbar)


# ---- levels


@pytest.mark.slow
def test_the_oscillator():
    n = np.arange(60)
    # Rounding of a symmetric eigensolver is a part of the norm of the matrix, as large for the lowest levels as for
    # the highest.
    errors = OSCILLATOR.level_errors(60)
    assert np.all(np.abs(OSCILLATOR.energies(60) - (n + 0.5)) <= errors)
    assert np.all(errors <= 1e-13 * 59.5)
    other = Hamiltonian([0.7, -1.2, 3 * 4 / 2], mass=3, hbar=0.2)  # omega = 2
    shift = 0.7 - 1.2**2 / (4 * 6)
    np.testing.assert_allclose(other.energies(20) - shift, 0.2 * 2 * (n[:20] + 0.5), rtol=1e-12)
    np.testing.assert_allclose(other.gaps(5), 0.4 * n[1:6], rtol=1e-12)


@pytest.mark.parametrize("strength", ANHARMONIC)
def test_anharmonic_oscillators_agree_with_high_precision(strength):
    h = Hamiltonian([0, 0, 0.5, 0, strength])
    np.testing.assert_allclose(h.energies(4), ANHARMONIC[strength], rtol=2e-13)
    assert np.all(np.abs(h.energies(4) - ANHARMONIC[strength]) <= h.level_errors(4))
    assert np.all(h.level_errors(16) <= 1e-11 * h.energies(16))


@pytest.mark.slow
def test_the_values_of_the_literature():
    # Banerjee, Proc. R. Soc. A 364, 265 (1978), for p^2 + x^2 + x^4 and p^2 + x^4.
    assert Hamiltonian([0, 0, 1, 0, 1], mass=0.5).energies(1)[0] == pytest.approx(1.392351641530291856, rel=1e-13)
    assert Hamiltonian(lambda x: x**4, mass=0.5).energies(1)[0] == pytest.approx(1.060362090484182899, rel=1e-13)


@pytest.mark.slow
def test_an_independent_diagonalisation_of_an_asymmetric_potential():
    coefficients = [0.3, -0.4, 0.6, 0.35, 0.2, 0, 0.05]
    size, omega = 40, mpmath.mpf(2)
    with mpmath.workdps(25):
        x = mpmath.zeros(size + 8)
        for i in range(size + 7):
            x[i, i + 1] = x[i + 1, i] = mpmath.sqrt((i + 1) / (2 * omega))
        power, h = mpmath.eye(size + 8), mpmath.zeros(size + 8)
        for k, c in enumerate(coefficients):
            h += (mpmath.mpf(c) - (omega**2 / 2 if k == 2 else 0)) * power
            power = power * x
        for i in range(size + 8):
            h[i, i] += omega * (i + mpmath.mpf(1) / 2)
        reference = sorted(mpmath.eigsy(h[:size, :size], eigvals_only=True))[:2]
    np.testing.assert_allclose(Hamiltonian(coefficients).energies(2), [float(e) for e in reference], rtol=1e-10)


@pytest.mark.parametrize(("coefficients", "levels", "splitting"), DOUBLE_WELLS)
def test_double_wells(coefficients, levels, splitting):
    h = Hamiltonian(coefficients)
    np.testing.assert_allclose(h.energies(3), levels, rtol=1e-12)
    assert h.gaps(1)[0] == pytest.approx(splitting, rel=1e-6, abs=2e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "a"), [(12.0, 1.0), (7.0, 0.6), (40.0, 1.3)])
@pytest.mark.parametrize("expanded", [False, True])
def test_morse(depth, a, expanded):
    mass, hbar = 1.7, 0.8

    def potential(x):
        e = np.exp(-a * x)
        return depth * (e**2 - 2 * e) + depth if expanded else depth * (1 - e) ** 2

    h = Hamiltonian(potential, mass, hbar)
    lam = math.sqrt(2 * mass * depth) / (a * hbar)
    n = np.arange(math.ceil(lam - 0.5))
    exact = depth - (a * hbar) ** 2 / (2 * mass) * (lam - n - 0.5) ** 2
    assert h.threshold == pytest.approx(depth, rel=1e-12)
    np.testing.assert_allclose(h.energies(len(n) - 1), exact[:-1], rtol=1e-10)
    with pytest.raises(ValueError, match=rf"level n={len(n)} lies at or above .* {depth:g}; {len(n)} levels are bound"):
        h.energies(len(n) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1, 2.5, 3, 6])
def test_poeschl_teller(strength):
    mass, hbar, width = 0.6, 1.4, 2.0
    h = poeschl_teller(strength, mass=mass, hbar=hbar, width=width)
    n = np.arange(math.ceil(strength))
    exact = -(hbar**2) * (strength - n) ** 2 / (2 * mass * width**2)
    np.testing.assert_allclose(h.energies(len(n)), exact, rtol=1e-10)
    # An integer strength has a state at the threshold itself, which is not bound.
    with pytest.raises(ValueError, match=f"{len(n)} levels are bound, n=0 to {len(n) - 1}"):
        h.energies(len(n) + 1)


@pytest.mark.slow
def test_a_hardly_bound_level_is_less_exact():
    # The fifth Morse level is bound by 3e-4 of the depth.
    h = Hamiltonian(lambda x: 10.5 * (1 - np.exp(-x)) ** 2)
    exact = 10.5 - (math.sqrt(21) - np.arange(5) - 0.5) ** 2 / 2
    np.testing.assert_allclose(h.energies(4), exact[:4], rtol=1e-12)
    loose = Hamiltonian(lambda x: 10.5 * (1 - np.exp(-x)) ** 2, tolerance=1e-8)
    np.testing.assert_allclose(loose.energies(5), exact, rtol=1e-8)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.floats(-50, 50), st.floats(-2, 2), st.floats(0.2, 5), st.floats(0.2, 5))
def test_constants_shift_levels(constant, position, mass, hbar):
    h = Hamiltonian([0, 0.5, 0.5, 0.2, 0.3], mass, hbar)
    raised = Hamiltonian(lambda x: constant + 0.5 * x + 0.5 * x**2 + 0.2 * x**3 + 0.3 * x**4, mass, hbar)
    np.testing.assert_allclose(raised.energies(4), h.energies(4) + constant, atol=1e-10, rtol=0)
    moved = Hamiltonian(lambda x: np.polynomial.polynomial.polyval(x - position, [0, 0.5, 0.5, 0.2, 0.3]), mass, hbar)
    np.testing.assert_allclose(moved.energies(4), h.energies(4), rtol=1e-10)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.floats(-6, 6), st.floats(-1, 1), st.floats(-1, 1))
def test_the_pure_quartic_scales(exponent, log_mass, log_hbar):
    strength, mass, hbar = 10**exponent, 10**log_mass, 10**log_hbar
    scale = (strength * hbar**4 / (mass**2 * 4)) ** (1 / 3)
    # p^2 + x^4 at mass 1/2: hbar^2/2m = 1 there.
    unit = Hamiltonian([0, 0, 0, 0, 1], mass=0.5).energies(3)
    np.testing.assert_allclose(Hamiltonian([0, 0, 0, 0, strength], mass, hbar).energies(3), scale * unit, rtol=1e-10)


# ---- wave functions and vectors


def test_oscillator_wave_functions():
    x = np.linspace(-6, 6, 101).reshape(1, 101)
    for n in (0, 1, 2, 7):
        hermite = np.polynomial.hermite.hermval(x, np.eye(n + 1)[n])
        exact = hermite * np.exp(-(x**2) / 2) / math.sqrt(2**n * math.factorial(n) * math.sqrt(math.pi))
        np.testing.assert_allclose(OSCILLATOR.wave_function(n, x), exact, atol=1e-12)
        np.testing.assert_allclose(OSCILLATOR.density(n, x), exact**2, atol=1e-12)
    ground = OSCILLATOR.eigenstate(0)
    np.testing.assert_allclose(ground.values, ground(ground.grid), atol=1e-13)
    np.testing.assert_allclose(ground.values, math.pi**-0.25 * np.exp(-(ground.grid**2) / 2), atol=1e-12)
    assert OSCILLATOR.wave_function(0, 1e3) == 0


@pytest.mark.parametrize("h", [OSCILLATOR, QUARTIC, WELL, Hamiltonian([0, 1, 0.5, 0.2, 0.3], 2.0, 0.5)])
def test_eigenstates_are_orthonormal_and_the_equation_holds(h):
    states = [h.eigenstate(n) for n in range(10)]
    gram = np.array([[a.inner(b) for a in states] for b in states])
    np.testing.assert_allclose(gram, np.eye(10), atol=1e-12)
    for n, state in enumerate(states):
        assert state.expectation("H") == pytest.approx(h.energies(10)[n], rel=1e-12)
        assert state.uncertainty("H") < 1e-10
        # -hbar^2 psi''/2m + V psi = E psi, by differences of fourth order.
        x, d = np.linspace(-1.5, 1.5, 31), 2e-3
        psi = [state(x + k * d) for k in (-2, -1, 0, 1, 2)]
        second = (-psi[0] + 16 * psi[1] - 30 * psi[2] + 16 * psi[3] - psi[4]) / (12 * d**2)
        left = -(h.hbar**2) / (2 * h.mass) * second + h.potential(x) * psi[2]
        np.testing.assert_allclose(left, h.energies(10)[n] * psi[2], atol=3e-7)
    # Levels beyond the first basis live on a finer grid.
    assert h.eigenstate(20).inner(states[3]) == pytest.approx(0, abs=1e-11)
    mixed = h.eigenstate(20) + states[3]
    assert mixed.norm() == pytest.approx(math.sqrt(2), rel=1e-12)


@pytest.mark.slow
def test_virial_theorem():
    for n in range(6):
        state = Hamiltonian([0, 0, 0.5, 0.3, 0.9], mass=1.3, hbar=0.7).eigenstate(n)
        # <p^2/m> = <x V'>
        forced = state.expectation(lambda x: x**2 + 0.9 * x**2 * x + 3.6 * x**4)
        assert state.expectation("p^2") / 1.3 == pytest.approx(forced, rel=1e-11)
        # p^2 as the square of p, and Ehrenfest: <V'> = 0, <p> = 0.
        assert state.apply("p").norm() ** 2 == pytest.approx(state.expectation("p^2"), rel=1e-12)
        assert state.expectation("p") == pytest.approx(0, abs=1e-12)
        assert state.expectation(lambda x: x + 0.9 * x**2 + 3.6 * x**3) == pytest.approx(0, abs=1e-11)


@pytest.mark.slow
def test_sum_rules_and_completeness():
    mass, hbar, count = 1.3, 0.7, 16
    h = Hamiltonian([0, 0.2, 0.5, 0, 0.9], mass, hbar)
    x, e = h.matrix("x", count), h.energies(count)
    eps = e[None, :] - e[:, None]
    for n in range(4):
        # Thomas-Reiche-Kuhn
        assert 2 * mass / hbar**2 * eps[n] @ x[n] ** 2 == pytest.approx(1, rel=1e-9)
        assert x[n] @ x[n] == pytest.approx(h.eigenstate(n).expectation(lambda x: x**2), rel=1e-9)
    # <j|p|k> = i m (E_j - E_k)/hbar <j|x|k>
    p = h.matrix("p", 5)
    np.testing.assert_allclose(p, -1j * mass / hbar * (eps * x)[:5, :5], atol=1e-11)
    np.testing.assert_allclose(h.commutator(8), np.eye(8), atol=1e-11)
    np.testing.assert_allclose(h.matrix("H", 5), np.diag(e[:5]), atol=1e-11)
    np.testing.assert_allclose(h.spectral_weights(6), x[0, :6] ** 2, atol=1e-13)
    cube = h.eigenstate(0).element(lambda x: x**3, h.eigenstate(2))
    np.testing.assert_allclose(h.spectral_weights(3, lambda x: x**3)[2], cube**2, rtol=1e-12)


def test_uncertainty():
    for n in range(5):
        state = OSCILLATOR.eigenstate(n)
        assert state.uncertainty("x") * state.uncertainty("p") == pytest.approx(n + 0.5, rel=1e-12)
    for h in (QUARTIC, WELL):
        assert h.eigenstate(0).uncertainty("x") * h.eigenstate(0).uncertainty("p") > 0.5 + 1e-3


def test_superpositions_and_real_time():
    # A displaced ground state goes to and fro without changing its shape.
    a, p0 = 1.3, 0.7
    packet = OSCILLATOR.state(lambda x: np.pi**-0.25 * np.exp(-((x - a) ** 2) / 2 + 1j * p0 * x))
    assert packet.norm() == pytest.approx(1, rel=1e-12)
    for t in (0.0, 0.4, 2.0, 11.0):
        later = packet.evolve(t)
        assert later.norm() == pytest.approx(1, rel=1e-12)
        assert later.expectation("x") == pytest.approx(a * math.cos(t) + p0 * math.sin(t), abs=1e-11)
        assert later.expectation("p") == pytest.approx(p0 * math.cos(t) - a * math.sin(t), abs=1e-11)
        assert later.uncertainty("x") == pytest.approx(math.sqrt(0.5), rel=1e-10)
        assert later.expectation("H") == pytest.approx(packet.expectation("H"), rel=1e-12)
    # <n|alpha> of a coherent state
    alpha = (a + 1j * p0) / math.sqrt(2)
    phase = np.exp(1j * a * p0 / 2)
    for n in range(5):
        exact = math.exp(-(abs(alpha) ** 2) / 2) * alpha**n / math.sqrt(math.factorial(n)) * phase
        assert OSCILLATOR.eigenstate(n).inner(packet) == pytest.approx(exact, abs=1e-12)
        assert packet.inner(OSCILLATOR.eigenstate(n)) == pytest.approx(exact.conjugate(), abs=1e-12)
    both = (2 * OSCILLATOR.eigenstate(0) - OSCILLATOR.eigenstate(1) * 1j).normalised()
    assert both.expectation("H") == pytest.approx((4 * 0.5 + 1.5) / 5, rel=1e-12)
    assert (np.float64(2) * both / 2 - both).norm() < 1e-15
    assert isinstance(both, State)


def test_euclidean_evolution_finds_the_ground_state():
    start = QUARTIC.state(lambda x: np.exp(-((x - 0.5) ** 2)))
    t = 12.0
    late = start.evolve_euclidean(t)
    assert abs(late.normalised().inner(QUARTIC.eigenstate(0))) == pytest.approx(1, rel=1e-12)
    overlap = QUARTIC.eigenstate(0).inner(start)
    assert late.norm() == pytest.approx(overlap * math.exp(-QUARTIC.energies(1)[0] * t), rel=1e-9)
    np.testing.assert_allclose(QUARTIC.state(start.values)(0.3), start(0.3), rtol=1e-13)


# ---- Euclidean functions


@pytest.mark.slow
def test_oscillator_correlators():
    mass, hbar, omega = 1.3, 0.6, 0.8
    h = Hamiltonian([0, 0, mass * omega**2 / 2], mass, hbar)
    s2, t = hbar / (2 * mass * omega), np.array([[0.0, 0.3], [1.0, -5.0]])
    g = s2 * np.exp(-omega * np.abs(t))
    np.testing.assert_allclose(h.two_point(t), g, rtol=1e-11)
    np.testing.assert_allclose(h.two_point(t, lambda x: x**2), s2**2 + 2 * g**2, rtol=1e-11)
    np.testing.assert_allclose(h.connected(t, lambda x: x**2), 2 * g**2, rtol=1e-9)
    beta = 3.0
    t = np.array([0.0, 0.4, 1.5, 2.9, -0.4])
    thermal = s2 * np.cosh(omega * (beta / 2 - np.abs(t))) / np.sinh(omega * beta / 2)
    np.testing.assert_allclose(h.two_point(t, beta=beta), thermal, rtol=1e-11)
    np.testing.assert_allclose(h.connected(t, lambda x: x**2, beta=beta), 2 * thermal**2, rtol=1e-9)
    # hbar divides both the energies and beta: Z = sum exp(-E beta/hbar)
    assert h.partition_function(beta) == pytest.approx(1 / (2 * math.sinh(omega * beta / 2)), rel=1e-11)


@pytest.mark.slow
def test_n_point_functions_are_sums_over_states():
    hbar, count = 0.7, 16
    h = Hamiltonian([0, 0.3, 0.5, 0, 0.4], 1.2, hbar)
    e = h.energies(count) - h.energies(1)
    matrices = [h.matrix("x", count), h.matrix(lambda x: x**2, count), h.matrix(np.tanh, count)]
    functions = [None, lambda x: x**2, np.tanh]
    times = [0.2, 1.0, 1.9]
    row = matrices[0][0]
    for k in (1, 2):
        row = row * np.exp(-e * (times[k] - times[k - 1]) / hbar) @ matrices[k]
    points = list(zip(times, functions, strict=True))
    assert h.n_point(points) == pytest.approx(row[0], rel=1e-9)
    assert h.n_point([points[1], points[2], points[0]]) == pytest.approx(row[0], rel=1e-9)
    assert h.n_point(points[:1]) == pytest.approx(h.eigenstate(0).expectation("x"), rel=1e-12)
    assert h.n_point(points, beta=60.0) == pytest.approx(row[0], rel=1e-9)
    beta = 2.5
    product = np.diag(np.exp(-e * (beta - 1.7) / hbar)) @ matrices[0]
    for k in (1, 2):
        product = product * np.exp(-e * (times[k] - times[k - 1]) / hbar) @ matrices[k]
    thermal = np.trace(product) / np.sum(np.exp(-e * beta / hbar))
    assert h.n_point(points, beta=beta) == pytest.approx(thermal, rel=1e-8)
    pair = h.n_point([(0.3, None), (1.0, None)], beta=beta)
    assert pair == pytest.approx(float(h.two_point(0.7, beta=beta)), rel=1e-12)


def test_wick_s_theorem_for_the_oscillator():
    t = [0.0, 0.5, 0.8, 2.0]
    g = 0.5 * np.exp(-np.abs(np.subtract.outer(t, t)))
    wick = g[0, 1] * g[2, 3] + g[0, 2] * g[1, 3] + g[0, 3] * g[1, 2]
    assert OSCILLATOR.n_point([(s, None) for s in t]) == pytest.approx(wick, rel=1e-12)


@pytest.mark.slow
def test_spectral_measures():
    mass, hbar = 1.3, 0.7
    for coefficients in ([0, 0, 0.5, 0, 1], [0, 0.4, 0.5, 0.2, 0.6]):
        h = Hamiltonian(coefficients, mass, hbar)
        measure = h.spectral_measure()
        ground = h.eigenstate(0)
        t = np.array([0, 0.2, 1, 4])
        np.testing.assert_allclose(measure.two_point(t), h.two_point(t), rtol=1e-10)
        assert measure.error < 1e-9
        assert measure.mean == pytest.approx(ground.expectation("x"), abs=1e-11)
        assert measure.commutator == pytest.approx(1, rel=1e-10)
        assert measure.momentum_squared == pytest.approx(ground.expectation("p^2"), rel=1e-10)
        for k, moment in zip((2, 3, 4), measure.moments, strict=True):
            exact = ground.expectation(lambda x, k=k, m=measure.mean: (x - m) ** k)
            assert moment == pytest.approx(exact, rel=1e-9, abs=1e-12)
        # Of x itself the commutator is a number; increments are not Gaussian.
        assert measure.commutator_spread == pytest.approx(1, rel=1e-7)
        t4 = [(1, 4, 0), (-4, 3, 1), (6, 2, 2), (-4, 1, 3), (1, 0, 4)]
        fourth = sum(c * h.n_point([(0, lambda x, a=a: x**a), (0.2, lambda x, b=b: x**b)]) for c, a, b in t4)
        second = float(measure.quadratic_variation(0.2))
        assert float(measure.commutator_spread_at(0.2)) == pytest.approx(fourth / (3 * second**2), rel=1e-8)
        # A function of x: [f, p]/(i hbar) = f'.
        curved = h.spectral_measure(np.tanh)
        slope = ground.expectation(lambda x: np.cosh(x) ** -4.0)
        assert curved.commutator == pytest.approx(slope, rel=1e-9)
    with pytest.raises(ValueError, match=r"reaches a relative error of .* only, tolerance=1e-06"):
        QUARTIC.spectral_measure(np.abs)
    with pytest.raises(ValueError, match="must vary"):
        QUARTIC.spectral_measure(lambda x: 2 + 0 * x)


@pytest.mark.slow
def test_functions_without_a_name_are_copied_but_not_pickled():
    h = Hamiltonian(lambda x: 5.0 * (x > 0.3), domain=(-1, 1))
    for again in (copy.copy(h), copy.deepcopy(h)):
        assert again == h
        assert again.energies(1) == h.energies(1)
    with pytest.raises(TypeError, match=r"a named function of a module, .* got <function .*lambda"):
        pickle.dumps(h)
    for one in (h, Hamiltonian(lambda x: 5.0 * (np.abs(x) < 0.3), domain=(-1, 1))):
        saved = Hamiltonian.from_dict(one.to_dict())
        again = pickle.loads(pickle.dumps(saved))
        assert again == saved
        assert again.energies(2).tolist() == saved.energies(2).tolist()
    named = pickle.loads(pickle.dumps(Hamiltonian(np.exp, domain=(-1, 1))))
    assert named.energies(1) == Hamiltonian(np.exp, domain=(-1, 1)).energies(1)


@pytest.mark.slow
def test_polynomials_and_tables_can_be_pickled():
    x = np.linspace(-7, 7, 201)
    for h in (QUARTIC, Hamiltonian((x, x**2 / 2), mass=2.0), Hamiltonian([0, 0, 0.5], domain=(-9, 9))):
        again = pickle.loads(pickle.dumps(h))
        assert again == h
        assert again is not h
        assert np.array_equal(again.energies(3), h.energies(3))


def test_without_bound_states_no_wave_function_is_taken():
    x = np.linspace(0, 1, 101)
    flat = Hamiltonian((x, 0 * x), tolerance=1e-2)
    assert flat.n_bound == 0
    with pytest.raises(ValueError, match="potential has no bound state"):
        flat.state(lambda x: np.exp(-((x - 0.5) ** 2)))


@pytest.mark.slow
def test_all_states_of_a_grid():
    points, vectors, gaps = QUARTIC.eigenbasis()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(points)), atol=1e-12)
    np.testing.assert_allclose(gaps[1:6], QUARTIC.gaps(5), rtol=1e-13)
    finer, psi, levels = QUARTIC.eigenbasis(2.0)
    assert 1.9 < len(finer) / len(points) < 2.1
    np.testing.assert_allclose(levels[1:6], QUARTIC.gaps(5), rtol=1e-10)
    np.testing.assert_allclose(psi[:, 3] / np.sqrt(finer[1] - finer[0]), QUARTIC.wave_function(3, finer), atol=1e-10)
    assert (QUARTIC.n_bound, poeschl_teller(3).n_bound) == (None, 3)
    with pytest.raises(ValueError, match="finer must be positive; got finer=0"):
        QUARTIC.eigenbasis(0)


@pytest.mark.slow
def test_a_measure_over_a_continuum():
    h = poeschl_teller(3)
    measure = h.spectral_measure()
    # <0|x^2|0> of sech^3, by quadrature.
    x = np.linspace(-20, 20, 4001)
    law = np.cosh(x) ** -6.0
    assert measure.moments[0] == pytest.approx(float(x**2 @ law / law.sum()), rel=1e-9)
    assert measure.commutator == pytest.approx(1, rel=1e-8)
    wide = Hamiltonian(lambda x: -6 / np.cosh(x) ** 2, domain=(-45, 45)).spectral_measure()
    np.testing.assert_allclose(wide.connected([0.5, 2.0]), measure.connected([0.5, 2.0]), rtol=1e-8)


# ---- the chain


@pytest.mark.parametrize("dt", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("h", [QUARTIC, WELL, Hamiltonian([0, 0.4, 0.5, 0.2, 0.6], 1.3, 0.7)])
@pytest.mark.parametrize("offset", [0.0, 0.37])
def test_chains_are_reversible_with_the_right_gaps(h, dt, offset):
    chain = h.transition_matrix(dt, offset=offset)
    assert isinstance(chain, GroundStateChain)
    p, law = chain.transitions, chain.law
    assert p.min() >= 0
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-14)
    assert law.sum() == pytest.approx(1, rel=1e-14)
    flow = law[:, None] * p
    np.testing.assert_allclose(flow, flow.T, rtol=1e-10, atol=1e-200)
    assert chain.spacing <= 0.3 * math.sqrt(h.hbar * dt / h.mass) * (1 + 1e-12)
    assert chain.gap_error < 1e-11
    assert chain.threshold == np.inf
    # Gaps found here, from the matrix itself.
    found = np.sort(np.linalg.eigvals(p).real)[::-1][1:3]
    np.testing.assert_allclose(-h.hbar * np.log(found) / dt, h.gaps(2), rtol=1e-8)
    np.testing.assert_allclose(law / chain.spacing, h.density(0, chain.values), atol=1e-10)
    x = chain.values
    function, exact = x**2, h.two_point(dt * np.arange(4), lambda x: x**2)
    for k in range(4):
        assert law @ (x**2 * function) == pytest.approx(exact[k], rel=1e-9)
        function = p @ function


@pytest.mark.slow
def test_a_chain_over_a_continuum_says_so():
    h = poeschl_teller(3)
    chain = h.transition_matrix(0.1)
    assert chain.threshold == pytest.approx(4.5, rel=1e-9)
    assert chain.gap_error < 1e-10
    one = chain.law @ (chain.values * (chain.transitions @ chain.values))
    assert one == pytest.approx(float(h.two_point(0.1)), rel=1e-10)


def test_the_step_of_a_chain_is_neither_too_coarse_nor_too_fine():
    with pytest.raises(ValueError, match=r"dt=100 is too coarse.*use dt below 25"):
        OSCILLATOR.transition_matrix(100.0)
    with pytest.raises(ValueError, match=r"dt=1e-06 is too fine: it needs \d+ states, more than 4000; use dt of"):
        OSCILLATOR.transition_matrix(1e-6)
    with pytest.raises(ValueError, match="offset must be between"):
        OSCILLATOR.transition_matrix(0.1, offset=0.7)


def test_disconnected_wells_are_refused():
    deep = Hamiltonian([81, 0, -18, 0, 1])
    assert deep.gaps(1)[0] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="wells are disconnected at double precision: psi_0"):
        deep.transition_matrix(0.1)
    # Equal wells whose midpoint is not zero have no parity that would tell the states apart.
    aside = Hamiltonian(lambda x: ((x - 0.3) ** 2 - 9) ** 2)
    with pytest.raises(ValueError, match=r"levels 0 and 1 differ by .* disconnected"):
        aside.eigenstate(0)
    with pytest.raises(ValueError, match="disconnected"):
        aside.two_point(1.0)


# ---- tables, saving


@pytest.mark.slow
def test_a_table_is_as_good_as_its_points():
    x = np.linspace(-7, 7, 1401)
    table = Hamiltonian((x, x**2 / 2 + np.sin(x)))
    np.testing.assert_allclose(table.energies(3), Hamiltonian(lambda x: x**2 / 2 + np.sin(x)).energies(3), rtol=1e-10)
    with pytest.raises(ValueError, match=r"x must lie in the table \[-7, 7\]; got 0 to 8"):
        table.potential([0, 8.0])
    with pytest.raises(ValueError, match="at or above the lower end of the table"):
        table.energies(60)
    short = Hamiltonian((x[500:901], x[500:901] ** 2 / 2))
    with pytest.raises(ValueError, match="waves must vanish at the ends"):
        short.energies(1)


@pytest.mark.slow
def test_saving():
    table = Hamiltonian((np.arange(9.0), (np.arange(9.0) - 4) ** 2))
    for h in (QUARTIC, Hamiltonian([0, 0, 1], domain=(-8, 8)), table):
        again = Hamiltonian.from_dict(json.loads(json.dumps(h.to_dict())))
        assert again == h
        assert repr(again) == repr(h)
        assert hash(again) == hash(h)
    function = Hamiltonian(lambda x: np.exp(x) - x + 0.1 * np.cos(3 * x), 1.4, 0.9)
    data = json.loads(json.dumps(function.to_dict()))
    again = Hamiltonian.from_dict(data)
    assert "table of" in repr(again)
    assert "sampled from a function" in repr(again)
    np.testing.assert_allclose(again.energies(6), function.energies(6), rtol=1e-10)
    assert again.to_dict() == data
    assert again != function
    chain, other = again.transition_matrix(0.1), function.transition_matrix(0.1)
    assert chain.gap_error < 1e-10
    assert other.law @ other.values == pytest.approx(chain.law @ chain.values, abs=1e-9)


# Jumps, kinks, walls and narrow features: function, domain, mass.
BROKEN = {
    "step": (lambda x: x**2 / 2 + (np.abs(x) < 0.1), None, 1.0),
    "jump aside": (lambda x: x**2 / 2 + 2.0 * (x > 0.3), None, 0.7),
    "half-line of values": (lambda x: np.where(x > 0, x, np.inf), None, 1.0),
    "wall above": (lambda x: np.where(x < 1, x**2, np.inf), None, 1.0),
    "two walls": (lambda x: np.where(np.abs(x) < 1, x**3, np.inf), None, 1.0),
    "staircase": (lambda x: np.floor(3 * np.abs(x)), None, 1.0),
    "kink": (np.abs, None, 2.0),
    "box": (lambda x: 0 * x, (0, 2), 1.0),
    "step in a box": (lambda x: 5.0 * (x > 1), (0, 2), 1.0),
    "wall in a box": (lambda x: np.where(x < 1, 0.0, np.inf), (0, 2), 1.0),
    "half-line": (lambda x: x**2 / 2, (None, 0.3), 1.0),
    "narrow": (lambda x: x**2 / 2 + 3 * np.exp(-(x**2) / 2 / 0.005**2), None, 1.0),
    "spike": (lambda x: x**2 / 2 + 1e3 * (np.abs(x - 0.2) < 1e-3), None, 1.0),
    "open well": (lambda x: np.where(x < 0, 5.0, np.where(x < 2, -3.0, 0.0)), None, 1.0),
    "smooth, too narrow for a table": (lambda x: x**2 / 2 + 3 * np.exp(-50 * x**2), None, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_functions_with_breaks_are_saved_on_panels(name):
    function, domain, mass = BROKEN[name]
    h = Hamiltonian(function, mass, domain=domain)
    data = json.loads(json.dumps(h.to_dict(), allow_nan=False))
    assert data["kind"] == "pieces"
    again = Hamiltonian.from_dict(data)
    assert again.to_dict() == data
    assert again == Hamiltonian.from_dict(data)
    assert again != h
    assert again.domain == h.domain
    assert "sampled from a function" in repr(again)
    n = 5 if h.n_bound is None else min(h.n_bound, 5)
    errors = h.level_errors(n) + again.level_errors(n)
    assert np.all(np.abs(again.energies(n) - h.energies(n)) <= errors)
    assert errors.max() < 1e-10
    x = np.linspace(*h.grid[[0, -1]], 300)[1:-1]
    for k in range(min(n, 3)):
        np.testing.assert_allclose(again.wave_function(k, x), h.wave_function(k, x), atol=1e-9)
    points = [(0, None), (0.3, None), (0.4, np.cos)]
    assert again.n_point(points) == pytest.approx(h.n_point(points), abs=1e-9)


@pytest.mark.slow
def test_panels_end_where_the_function_is_known():
    again = Hamiltonian.from_dict(Hamiltonian(np.abs).to_dict())
    np.testing.assert_allclose(again.potential([-3.3, 0, 1e-9, 2.7]), [3.3, 0, 1e-9, 2.7], rtol=1e-13, atol=1e-15)
    with pytest.raises(ValueError, match=r"x must lie in the table .* got 0 to 50"):
        again.potential([0, 50.0])
    with pytest.raises(ValueError, match="at or above the lower end of the table"):
        again.energies(90)
    box = Hamiltonian.from_dict(Hamiltonian(lambda x: 0 * x, domain=(0, 2)).to_dict())
    # Walls stay walls: levels are bound at any height.
    np.testing.assert_allclose(box.energies(40), (np.pi * np.arange(1, 41) / 2) ** 2 / 2, rtol=1e-11)


def test_panels_that_miss_the_function_are_not_saved():
    def size(v):
        return 1 + np.abs(v)

    pieces = resolve(np.abs, (-2.0, 2.0), 0.0, 1.0)
    assert pieces.retaken(np.abs, size) is not None
    for shift in (1e-3, 0.1):
        assert pieces.retaken(lambda x, shift=shift: np.abs(x - shift), size) is None
    assert pieces.retaken(lambda x: np.where(x < 1, x, np.inf), size) is None


def test_nothing_can_be_changed():
    with pytest.raises(AttributeError):
        QUARTIC.mass = 2.0
    e = QUARTIC.energies(3)
    e[:] = 0
    assert QUARTIC.energies(1)[0] > 0.8
    QUARTIC.eigenstate(0).coefficients[:] = 0
    assert QUARTIC.eigenstate(0).norm() == pytest.approx(1)
    QUARTIC.transition_matrix(0.1).values[:] = 0
    assert QUARTIC.transition_matrix(0.1).values.any()


# ---- bad input

BAD_POTENTIALS = [
    (lambda x: -(x**2), ValueError, "bounded below; it falls without bound to the left"),
    (lambda x: x, ValueError, "bounded below; it falls without bound to the left"),
    (lambda x: -np.log(1 + x**2), ValueError, "falls without bound"),
    (lambda x: -1 / np.abs(x), ValueError, r"potential\(0\) is -inf"),
    ([0, 0, 1, 1], ValueError, "even degree .* got degree 3 with leading coefficient 1"),
    ([0, 0, 1, 0, -1], ValueError, "got degree 4 with leading coefficient -1"),
    ([3.0], ValueError, "got degree 0"),
    (lambda x: 0 * x, ValueError, "no bound state: far away it is 0"),
    (lambda x: np.exp(-(x**2)), ValueError, "no bound state"),
    (lambda x: np.sqrt(x), ValueError, r"potential\(-1\) is nan"),
    (lambda x: np.where(np.abs(x) > 30, np.nan, x**2), ValueError, "potential.* is nan; .* give domain"),
    (lambda x: math.exp(x), TypeError, "must take an array"),
    (lambda x: x**2 if x > 0 else -x, TypeError, "must take an array"),
    (lambda x: 1.0, ValueError, r"shape of its argument; got \(\) for \(4,\)"),
    (lambda x: 1j * x, TypeError, "must return real numbers"),
    (lambda x: x**2 + x.sum(), ValueError, "each point alone"),
    ("x^2", TypeError, "potential must be a function"),
    ([[0, 1, 2], [1, 2, 3]], ValueError, "at least 8 points; got 3"),
    ([[0, 1, 2, 2, 4, 5, 6, 7], [0] * 8], ValueError, r"x\[2\]=2 >= x\[3\]=2"),
    ([[1, 2], [3, 4], [5, 6]], ValueError, r"shape \(2, k\); got shape \(3, 2\)"),
]


@pytest.mark.parametrize(("potential", "error", "message"), BAD_POTENTIALS)
def test_bad_potentials(potential, error, message):
    with pytest.raises(error, match=message):
        Hamiltonian(potential)


@pytest.mark.slow
def test_bad_arguments():
    for options, message in (
        ({"mass": 0}, "mass must be positive; got mass=0"),
        ({"hbar": -1}, "hbar must be positive"),
        ({"tolerance": 0}, "tolerance must be positive"),
        ({"domain": (1, 0)}, "domain must be two ascending numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            Hamiltonian([0, 0, 1], **options)
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        QUARTIC.energies(0)
    with pytest.raises(
        ValueError, match=r"5000 levels need a grid of \d+ points, more than 1400; ask for fewer levels"
    ):
        OSCILLATOR.energies(5000)
    for call in (lambda h: h.energies(3), lambda h: h.gaps(2), lambda h: h.eigenstate(2), lambda h: h.matrix("x", 3)):
        with pytest.raises(
            ValueError, match="level n=2 lies at or above the continuum threshold, 0; 2 levels are bound"
        ):
            call(poeschl_teller(2))
    with pytest.raises(ValueError, match="n must be at least 0"):
        QUARTIC.eigenstate(-1)
    with pytest.raises(ValueError, match=r"operator 'p\^3' is unknown; .*did you mean 'p\^2'"):
        QUARTIC.matrix("p^3", 2)
    with pytest.raises(TypeError, match="observable must be a function of x"):
        QUARTIC.two_point(1.0, "x")
    with pytest.raises(ValueError, match=r"observable\(.*\) is nan"):
        QUARTIC.two_point(1.0, np.sqrt)
    with pytest.raises(ValueError, match="points must have at least one"):
        QUARTIC.n_point([])
    with pytest.raises(ValueError, match="points must span at most beta=1; got 2"):
        QUARTIC.n_point([(0, None), (2, None)], beta=1.0)
    with pytest.raises(ValueError, match=r"times must be at most beta=1; got 1\.5"):
        QUARTIC.two_point(1.5, beta=1.0)
    with pytest.raises(ValueError, match=r"continuum begins at .* and Z diverges"):
        poeschl_teller(2).partition_function(1.0)
    with pytest.raises(ValueError, match=r"beta=1e-06 excites \d+ levels"):
        QUARTIC.partition_function(1e-6)
    with pytest.raises(ValueError, match="time must not be negative"):
        QUARTIC.eigenstate(0).evolve_euclidean(-1)
    with pytest.raises(ValueError, match="one Hamiltonian"):
        QUARTIC.eigenstate(0).inner(OSCILLATOR.eigenstate(0))
    with pytest.raises(TypeError, match="multiplied by finite numbers"):
        QUARTIC.eigenstate(0) * np.ones(3)
    with pytest.raises(ValueError, match=r"values must be \d+ finite numbers"):
        QUARTIC.state([1.0, 2.0])
    with pytest.raises(ValueError, match="is missing on"):
        QUARTIC.state(lambda x: np.exp(-np.abs(x)))
    with pytest.raises(ValueError, match="norm 0"):
        (QUARTIC.eigenstate(0) * 0).normalised()
