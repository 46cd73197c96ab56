"""Hamiltonians made to order: closed forms, ground-state networks with given gaps, their sampled paths."""

import mpmath as mp
import numpy as np
import pytest
from scipy import integrate

import nnqm
from harness import assert_consistent, assert_error_is_honest, assert_inconsistent
from nnqm.learning.inverse_design import adjusted, ground_state_network, hamiltonian_with_gaps
from nnqm.quantum.darboux import DarbouxPotential

# Gaps of x^2/2 + x^4, mass = hbar = 1 (Banerjee, Proc. R. Soc. London A 364, 265 (1978), in these units).
QUARTIC = [1.93412161720, 4.37552103558, 7.13863333357, 10.15981244085, 13.39936844876]
WANTED = {"list": [1, 2.5, 3.5, 5, 7], "quartic": QUARTIC, "primes": [2, 3, 5, 7, 11]}

_DESIGNS = {}


def design(name):
    """A design, made once for all tests."""
    if name not in _DESIGNS:
        _DESIGNS[name] = hamiltonian_with_gaps(WANTED[name])
    return _DESIGNS[name]


# ---- closed forms


def test_one_level_above_the_ground_state_is_the_poeschl_teller_well():
    # kappa = 1 and 2: -3/cosh^2, bound levels -2 and -1/2, so that the continuum is 1/2 above the gap 3/2.
    well = DarbouxPotential([1.5], background="free", above=0.5)
    x = np.linspace(-4, 4, 17)
    np.testing.assert_allclose(well(x), 2 - 3 / np.cosh(x) ** 2, atol=1e-14)
    w, first, second = well.exponent(x)
    np.testing.assert_allclose(w - w[8], 2 * np.log(np.cosh(x)), atol=1e-13)
    np.testing.assert_allclose(first, 2 * np.tanh(x), atol=1e-13)
    np.testing.assert_allclose(second, 2 / np.cosh(x) ** 2, atol=1e-13)


def test_equal_gaps_on_an_oscillator_are_the_oscillator():
    mass, hbar = 0.3, 2.0
    potential = DarbouxPotential([1.5, 3.0, 4.5, 6.0], mass=mass, hbar=hbar)
    x = np.linspace(-6, 6, 13)
    omega = 1.5 / hbar
    np.testing.assert_allclose(potential(x), mass * omega**2 * x**2 / 2 - 0.75, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(potential.exponent(x)[1], mass * omega * x / hbar, rtol=1e-10, atol=1e-10)
    # Beyond the table of the chain.
    far = np.array([-80.0, 90.0])
    np.testing.assert_allclose(potential(far), mass * omega**2 * far**2 / 2 - 0.75, rtol=1e-10)


@pytest.mark.slow
def test_chains_on_an_oscillator_go_on_smoothly_beyond_their_table():
    potential = DarbouxPotential([1.0, 2.5, 3.5, 5.0], above=0.8, skew=[0, 0.4, -0.2, 0.3, 0.1])
    # The table ends at 16 + 2 sqrt(5) lengths of the oscillator.
    end = (16 + 2 * np.sqrt(5)) / np.sqrt(0.8)
    for side in (1.0, -1.0):
        x = side * (end + np.array([-0.2, -0.1, 0.0, 0.1, 0.2]))
        for values in (potential(x), *potential.exponent(x)[:2]):
            # Fourth differences across the end; the first term that is left out of V is of order 1/x^6.
            assert abs(np.array([1, -4, 6, -4, 1]) @ values) < 1e-8 * np.abs(values).max()
    w, first, second = potential.exponent(np.array([30.0, 30.001, 30.002]))
    assert (w[2] - w[0]) / 0.002 == pytest.approx(first[1], rel=1e-9)
    # W'' is the difference of W'^2 and 2 V, two series of which the terms of order 1/x^4 are left out.
    assert (first[2] - first[0]) / 0.002 == pytest.approx(second[1], rel=1e-3)


def test_a_free_background_gives_the_wronskian_of_crum():
    gaps = [1, 2.5, 3.5, 5]
    potential = DarbouxPotential(gaps, background="free", above=1.0)
    kappa = [mp.sqrt(2 * (1 + mp.mpf(gaps[-1]) - g)) for g in reversed([0, *gaps])]

    def log_wronskian(x):
        entries = [
            [k**i * (mp.cosh(k * x) if (i + j) % 2 == 0 else mp.sinh(k * x)) for j, k in enumerate(kappa)]
            for i in range(len(kappa))
        ]
        return mp.log(abs(mp.det(mp.matrix(entries))))

    x = [0.0, 0.3, 1.1, 2.7, 6.0]
    with mp.workdps(40):
        expected = [float(kappa[-1] ** 2 / 2 - mp.diff(log_wronskian, mp.mpf(point), 2)) for point in x]
    np.testing.assert_allclose(potential(x), expected, atol=1e-12)
    # In the tail the digits of a number much smaller than V itself.
    with mp.workdps(60):
        tail = float(-mp.diff(log_wronskian, mp.mpf(5), 2))
    assert potential(5.0) - float(kappa[-1] ** 2 / 2) == pytest.approx(tail, abs=3e-15)


@pytest.mark.slow
def test_levels_of_a_closed_form_are_the_prescribed_ones():
    h = DarbouxPotential(WANTED["primes"]).hamiltonian
    assert_error_is_honest(h.gaps(5), WANTED["primes"], h.level_errors(6)[1:] + h.level_errors(1))
    # The oscillator begins one mean distance above.
    np.testing.assert_allclose(h.gaps(8)[5:], [13.2, 15.4, 17.6], rtol=1e-9)
    h = DarbouxPotential([1.0, 2.2], background="free", above=0.5).hamiltonian
    assert_error_is_honest(h.gaps(2), [1.0, 2.2], h.level_errors(3)[1:] + h.level_errors(1))
    assert h.n_bound == 3
    assert h.threshold == pytest.approx(2.7, rel=1e-12)


@pytest.mark.slow
def test_isospectral_potentials_have_equal_gaps():
    gaps = [1.0, 2.2]
    even = DarbouxPotential(gaps)
    x = np.linspace(-3, 3, 13)
    moved = DarbouxPotential(gaps, skew=[0.5, -0.3, 0.2])
    assert np.abs(moved(x) - even(x)).max() > 0.1
    assert_error_is_honest(moved.hamiltonian.gaps(2), gaps, moved.hamiltonian.level_errors(3)[1:], rounding=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("background", ["free", "oscillator"])
def test_the_last_skew_is_the_family_of_abraham_and_moses(background):
    # V + (hbar^2/m) times minus the second derivative of ln(lambda + I), I the integral of psi_0^2 from the left.
    even, s = DarbouxPotential([1.0, 2.2], background=background), 0.6
    moved = DarbouxPotential([1.0, 2.2], background=background, skew=[0, 0, s])

    def density(x):
        return np.exp(-2 * even.exponent(x)[0])

    norm = integrate.quad(density, -20, 20, epsabs=0, epsrel=1e-12, limit=200)[0]
    for x in (-1.3, 0.2, 1.7):
        rho, slope = float(density(x)) / norm, float(even.exponent(x)[1])
        below = 0.5 + integrate.quad(density, 0, x, epsabs=0, epsrel=1e-12)[0] / norm
        total = (1 - s) / (2 * s) + below
        # rho' = -2 W' rho
        change = -(-2 * slope * rho / total - (rho / total) ** 2)
        assert float(moved(x)) == pytest.approx(float(even(x)) + change, abs=1e-9)


# ---- designs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["primes", *(pytest.param(n, marks=pytest.mark.slow) for n in ("list", "quartic"))])
def test_gaps_to_order(name):
    found = design(name)
    assert found.converged
    assert "largest deviation" in str(found)
    # With the certificate of the Hamiltonian.
    np.testing.assert_allclose(found.source.hamiltonian.gaps(5), WANTED[name], rtol=1e-7)
    assert np.all(found.errors < 1e-9)
    assert found.source.even


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTED)
def test_paths_give_the_gaps_back(name):
    source, wanted = design(name).source, WANTED[name]
    run = nnqm.simulate(nnqm.Theory(source), 20_000, 64, source.natural_step, rng=3)
    spectrum = nnqm.spectrum(run, 5)
    assert len(spectrum.gaps) >= 4
    for gap, exact in zip(spectrum.gaps, wanted, strict=False):
        assert_consistent(gap, exact)
    assert_inconsistent(spectrum.gaps[0], wanted[0] * 1.1)


@pytest.mark.slow
def test_a_random_list_of_gaps():
    gaps = np.cumsum(np.random.default_rng(1).exponential(size=8) + 0.05)
    found = hamiltonian_with_gaps(gaps, rng=1)
    assert found.converged, str(found)


@pytest.mark.slow
def test_units_and_seeds():
    found = hamiltonian_with_gaps([1e-21, 2.5e-21], mass=1e-27, hbar=1.05e-34, rng=2)
    assert found.converged
    assert (found.source.mass, found.source.hbar) == (1e-27, 1.05e-34)
    assert hamiltonian_with_gaps([1.0], rng=2).source == hamiltonian_with_gaps([1.0], rng=2).source


@pytest.mark.slow
def test_other_networks_and_other_potentials():
    gaps = [1, 2.2, 3]
    for options in ({"hidden": (6, 4), "activation": "gelu"}, {"skew": [0.2, -0.3, 0.1, 0.4]}):
        found = hamiltonian_with_gaps(gaps, **options)
        assert found.converged, str(found)
        assert found.source.even != ("skew" in options)


@pytest.mark.slow
def test_a_network_that_is_too_small_says_so():
    found = hamiltonian_with_gaps([1, 1.1, 2.9, 3, 5], hidden=(1,))
    assert not found.converged
    assert len(found.gaps) == 5
    assert found.deviation > 1e-2
    assert "not converged" in str(found)
    np.testing.assert_allclose(found.gaps, found.source.hamiltonian.gaps(5))


@pytest.mark.slow
def test_a_source_is_adjusted():
    start = nnqm.GroundStateNetwork(
        nnqm.Network.random((1, 6, 1), "tanh", rng=1, bias_std=1.0), confinement=0.6, even=True, mass=2.0, hbar=0.5
    )
    wanted = start.hamiltonian.gaps(3) * [1.0, 1.05, 0.98]
    found = adjusted(start, wanted)
    assert found.converged
    assert found.source.network.widths == (1, 6, 1)
    assert found.source.mass == 2.0
    # The way is short.
    old, new = (process.learnable()["state"] for process in (start, found.source))
    assert np.linalg.norm(new - old) < 0.3 * np.linalg.norm(old)


@pytest.mark.slow
def test_the_network_of_a_potential():
    quartic = nnqm.Hamiltonian([0, 0, 0.5, 0, 1])
    found = ground_state_network(quartic, levels=3)
    assert found.converged
    x = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(found.source.potential(x), quartic.potential(x) - quartic.energies(1)[0], atol=2e-3)
    np.testing.assert_allclose(found.source.ground_state(x), quartic.wave_function(0, x), atol=1e-4)
    exact = adjusted(found.source, quartic.gaps(4))
    assert exact.converged


@pytest.mark.slow
def test_the_network_of_a_well_with_a_continuum():
    well = nnqm.Hamiltonian(lambda x: -6 / np.cosh(x) ** 2)
    found = ground_state_network(well, activation="softplus")
    assert found.source.confinement == 0
    np.testing.assert_allclose(found.gaps, [2.5, 4.0], rtol=1e-3)
    assert found.source.continuum == pytest.approx(4.5, rel=0.05)


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        ([1, 3, 2], r"gaps must increase; gaps\[2\]=2 <= gaps\[1\]=3"),
        ([1, 1], "gaps must increase"),
        ([0, 1], r"gaps must be positive; got gaps\[0\]=0"),
        ([-1, 1], "gaps must be positive"),
        ([], "gaps must be a sequence"),
        ([[1, 2]], "gaps must be a sequence"),
        (np.arange(1, 40), "gaps must be at most 24; got 39"),
        ([1, 1 + 1e-9, 2], "level 2 lies 1e-09 above level 1"),
        ([1e-9, 1], "level 1 lies 1e-09 above level 0"),
        ([1, np.inf], "gaps must be finite"),
    ],
)
def test_gaps_that_are_none_are_refused(gaps, message):
    for function in (hamiltonian_with_gaps, DarbouxPotential):
        with pytest.raises(nnqm.errors.InputError, match=message):
            function(gaps)


@pytest.mark.slow
def test_other_arguments_are_checked():
    for options, message in (
        ({"activation": "relu"}, "activation 'relu' is unknown"),
        ({"hidden": ()}, "hidden must have at least one layer"),
        ({"hidden": (0,)}, r"hidden\[0\] must be at least 1"),
        ({"tolerance": 1e-12}, "tolerance must be at least 1e-09"),
        ({"skew": [0.1]}, "skew must be 3 numbers between -1 and 1"),
        ({"skew": [0, 0, 1.0]}, "skew must be 3 numbers"),
        ({"mass": -1.0}, "mass must be positive"),
        ({"rng": -1}, "rng must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            hamiltonian_with_gaps([1, 2], **options)
    with pytest.raises(TypeError, match="source must be a GroundStateNetwork"):
        adjusted(nnqm.Hamiltonian([0, 0, 0.5]), [1, 2])
    with pytest.raises(TypeError, match="hamiltonian must be a Hamiltonian"):
        ground_state_network([0, 0, 0.5])
    with pytest.raises(ValueError, match="at least two bound levels"):
        ground_state_network(nnqm.Hamiltonian(lambda x: -1 / np.cosh(x) ** 2))
    with pytest.raises(ValueError, match="background 'oscilator' is unknown"):
        DarbouxPotential([1, 2], background="oscilator")
