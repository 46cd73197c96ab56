"""The ground-state network: V of W = -ln psi_0, its derivatives, its process, its files."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import nnqm
from harness import assert_consistent, assert_inconsistent
from nnqm import GroundStateNetwork, Network
from nnqm.learning.differentiate import differentiate
from nnqm.learning.observables import Gaps, TwoPoint

SMOOTH = ("tanh", "erf", "sigmoid", "softplus", "gelu", "sin", "cos")
X = np.linspace(-2.5, 2.5, 11)
FLAT = Network([[[0.0]], [[0.0]]])


def drawn(activation, *hidden, rng=1):
    return Network.random((1, *hidden, 1), activation, rng=rng, weight_std=1.2, bias_std=0.7)


@pytest.fixture(scope="module")
def process():
    return GroundStateNetwork(drawn("tanh", 4), confinement=1.2, even=True)


def poeschl_teller(number):
    """W = l ln cosh x = l (softplus(2x) - x), with x = softplus(x) - softplus(-x)."""
    layers = [[[2.0], [1.0], [-1.0]], [[number, -number, number]]]
    return GroundStateNetwork(Network(layers, activation="softplus"))


def test_a_network_that_is_zero_is_the_oscillator():
    mass, hbar, omega = 2.0, 0.5, 3.0
    process = GroundStateNetwork(FLAT, confinement=mass * omega / hbar, mass=mass, hbar=hbar)
    np.testing.assert_allclose(process.potential(X), mass * omega**2 * X**2 / 2 - hbar * omega / 2, rtol=1e-14)
    np.testing.assert_allclose(process.hamiltonian.gaps(3), hbar * omega * np.arange(1, 4), rtol=1e-11)
    assert process.variance[0] == pytest.approx(hbar / (2 * mass * omega), rel=1e-11)
    assert nnqm.Theory(process).hbar == hbar


@pytest.mark.slow
@pytest.mark.parametrize("number", [1.0, 3.0])
def test_softplus_is_the_poeschl_teller_well(number):
    well = poeschl_teller(number)
    # V = l^2/2 - l (l + 1)/(2 cosh^2 x); levels (l^2 - (l - n)^2)/2.
    expected = number**2 / 2 - number * (number + 1) / (2 * np.cosh(X) ** 2)
    np.testing.assert_allclose(well.potential(X), expected, atol=1e-13)
    n = np.arange(1, int(number))
    assert well.hamiltonian.n_bound == int(number)
    if n.size:
        np.testing.assert_allclose(well.hamiltonian.gaps(len(n)), (number**2 - (number - n) ** 2) / 2, rtol=1e-10)
    assert well.continuum == pytest.approx(number**2 / 2, rel=1e-10)
    psi = well.ground_state(X)
    np.testing.assert_allclose(psi / psi[5], 1 / np.cosh(X) ** number, rtol=1e-11)
    np.testing.assert_allclose(psi, well.hamiltonian.wave_function(0, X), atol=1e-9)


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("even", [False, True])
def test_psi_0_solves_the_schroedinger_equation(activation, even):
    mass, hbar = 0.7, 1.3
    process = GroundStateNetwork(drawn(activation, 5, 3), confinement=0.8, even=even, mass=mass, hbar=hbar)

    def state(x):
        return np.exp(-process.exponent(x)[0])

    step = 1e-3
    # Fourth-order differences of psi_0 itself.
    around = [state(X + k * step) for k in (-2, -1, 0, 1, 2)]
    second = (-around[0] + 16 * around[1] - 30 * around[2] + 16 * around[3] - around[4]) / (12 * step**2)
    np.testing.assert_allclose(process.potential(X), hbar**2 / (2 * mass) * second / around[2], rtol=2e-8, atol=2e-8)
    if even:
        assert np.array_equal(process.potential(X), process.potential(-X))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    activation=st.sampled_from(SMOOTH),
    hidden=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    even=st.booleans(),
    confinement=st.sampled_from([0.5, 2.0]),
    seed=st.integers(0, 1000),
)
def test_the_pullback_of_v_agrees_with_finite_differences(activation, hidden, even, confinement, seed):
    process = GroundStateNetwork(
        drawn(activation, *hidden, rng=seed), confinement=confinement, even=even, mass=0.5, hbar=1.5
    )
    cotangent = np.random.default_rng(seed).normal(size=X.size)
    found = process.potential_pullback(X, cotangent)["state"]
    vector = process.learnable()["state"]
    assert found.shape == vector.shape
    direction = np.random.default_rng(seed + 1).normal(size=vector.size)
    direction /= np.linalg.norm(direction)
    sums = [
        cotangent @ process.with_learnable({"state": vector + k * 1e-3 * direction}).potential(X)
        for k in (-2, -1, 1, 2)
    ]
    expected = (sums[0] - 8 * sums[1] + 8 * sums[2] - sums[3]) / 12e-3
    scale = np.linalg.norm(found) + np.abs(sums[0])
    assert abs(found @ direction - expected) < 1e-7 * scale


@pytest.mark.slow
def test_gaps_have_the_gradient_of_hellmann_and_feynman(process):
    theory = nnqm.Theory(process)
    found = differentiate(theory, [Gaps(3), TwoPoint([0.0, 0.7])])
    vector = process.learnable()["state"]
    direction = np.random.default_rng(3).normal(size=vector.size)
    direction /= np.linalg.norm(direction)
    sides = [process.with_learnable({"state": vector + k * 1e-3 * direction}) for k in (-2, -1, 1, 2)]
    values = [np.append(s.hamiltonian.gaps(3), s.hamiltonian.connected([0.0, 0.7])) for s in sides]
    expected = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
    jacobian = found.jacobian()["state"]
    np.testing.assert_allclose(jacobian @ direction, expected, rtol=1e-7, atol=1e-8)


def test_the_ground_state_energy_stays_zero(process):
    assert abs(process.hamiltonian.energies(1)[0]) < 1e-11
    # dE_0 = integral of psi_0^2 dV = 0 for every parameter.
    points, vectors, _ = process.hamiltonian.eigenbasis()
    gradient = process.potential_pullback(points, vectors[:, 0] ** 2)["state"]
    first = process.potential_pullback(points, vectors[:, 1] ** 2)["state"]
    assert np.abs(gradient).max() < 1e-11
    assert np.abs(first).max() > 1e-2


@pytest.mark.slow
def test_paths_have_the_exact_correlators(process):
    theory = nnqm.Theory(process)
    dt = process.natural_step
    lags = [0, 1, 2, 4, 8]
    run = nnqm.simulate(theory, 20_000, 32, dt, rng=2, measure=nnqm.Measure(lags=lags))
    assert_consistent(run.connected(), process.hamiltonian.connected(dt * np.array(lags)))
    wrong = GroundStateNetwork(process.network, confinement=1.5, even=True)
    assert_inconsistent(run.connected(), wrong.hamiltonian.connected(dt * np.array(lags)))
    properties = nnqm.check(theory)
    assert "reversible" in str(properties)
    assert process.ground_energy(1.0, 1.0)[0] == 0.0


@pytest.mark.slow
def test_files_keep_the_network_and_the_bits(process, tmp_path):
    theory = nnqm.Theory(process)
    assert nnqm.Theory.from_dict(theory.to_dict()) == theory
    assert pickle.loads(pickle.dumps(theory)) == theory
    assert hash(nnqm.Theory.from_dict(theory.to_dict())) == hash(theory)
    run = nnqm.simulate(theory, 2048, 8, 0.2, rng=4)
    again = nnqm.load(nnqm.save(run, tmp_path / "run.nc"))
    assert again == run
    assert again.theory == theory
    assert nnqm.extend(again, 4096) == nnqm.extend(run, 4096)
    other = process.with_learnable({"state": process.learnable()["state"] * 1.01})
    assert nnqm.Theory(other) != theory


@pytest.mark.slow
def test_a_theory_file_has_the_network(tmp_path):
    path = tmp_path / "well.toml"
    path.write_text(
        "mass = 0.5\n[[source]]\n"
        'kind = "ground-state-network"\nweights = [[[2.0]], [[2.0]]]\nactivation = "softplus"\neven = true\n'
    )
    source = nnqm.load_theory_file(path).theory.sources[0]
    assert source == GroundStateNetwork(Network([[[2.0]], [[2.0]]], activation="softplus"), even=True, mass=0.5)
    path.write_text('[[source]]\nkind = "ground-state-network"\nconfinement = 1.0\n')
    with pytest.raises(ValueError, match=r"source\[0\].weights is missing; write one matrix per layer"):
        nnqm.load_theory_file(path)
    path.write_text('[[source]]\nkind = "ground-state-network"\nweights = [[[1.0]], [[1.0]]]\n')
    with pytest.raises(ValueError, match=r"source\[0\]: network must grow on both sides"):
        nnqm.load_theory_file(path)
    path.write_text('[[source]]\nkind = "ground-state-network"\nweights = 3\n')
    with pytest.raises(TypeError, match="weights must be an array with one entry per layer"):
        nnqm.load_theory_file(path)


def growing(*signs):
    """softplus(x) and softplus(-x) with signs of the output."""
    return Network([[[1.0], [-1.0]], [list(signs)]], activation="softplus")


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (drawn("relu", 3), {"confinement": 1.0}, "must not contain relu"),
        (drawn("tanh", 3), {}, "must grow on both sides: its slope for x to infinity is 0"),
        (growing(1.0, -1.0), {}, "its slope for x to minus infinity is 1"),
        (growing(-1.0, -1.0), {"even": True}, "its slope for x to infinity is -1"),
        (Network([[[1.0]], [[1.0]]], activation="softplus"), {}, "slope for x to minus infinity is"),
        (drawn("sin", 3), {}, "oscillates for x to infinity"),
        (Network.random((2, 3, 1), "tanh", rng=1), {"confinement": 1.0}, "one input and one output.*got 2 and 1"),
        (FLAT, {"confinement": -1.0}, "confinement must not be negative; got -1"),
        (FLAT, {"confinement": 1.0, "mass": 0.0}, "mass must be positive"),
        (FLAT, {"confinement": np.nan}, "confinement must be finite"),
    ],
)
def test_states_that_are_none_are_refused(network, options, message):
    with pytest.raises(nnqm.errors.InputError, match=message):
        GroundStateNetwork(network, **options)


def test_other_objects_are_refused(process):
    with pytest.raises(TypeError, match="network must be a Network with fixed weights"):
        GroundStateNetwork(nnqm.RandomNetwork((1, 4, 1)), confinement=1.0)
    with pytest.raises(TypeError, match="even must be True or False"):
        GroundStateNetwork(FLAT, confinement=1.0, even="yes")
    with pytest.raises(ValueError, match=r"state must have shape \(14,\)"):
        process.with_learnable({"state": np.zeros(13)})
    with pytest.raises(ValueError, match="cotangent must have the shape of x"):
        process.potential_pullback(X, np.ones(3))
    with pytest.raises(ValueError, match="must grow on both sides"):
        poeschl_teller(2.0).with_learnable({"state": np.zeros(10)})


def test_limits_of_deep_networks_are_exact():
    # Confinement by two layers: softplus of growing neurons, and an identity layer.
    hidden = [[[1.0], [-1.0]], [[1.0, 1.0], [-1.0, -1.0]], [[2.0, 1.0]]]
    GroundStateNetwork(Network(hidden, activation="softplus"))
    with pytest.raises(ValueError, match="slope for x to infinity is 0"):
        GroundStateNetwork(Network([hidden[0], [[-1.0, -1.0]], [[1.0]]], activation="softplus"))
    # tanh of a neuron that grows does not oscillate and does not grow; one side alone does not confine.
    mixed = Network([[[1.0]], [[1.0]], [[1.0]]], activation=["softplus", "sin", "identity"])
    with pytest.raises(ValueError, match="oscillates"):
        GroundStateNetwork(mixed)
    GroundStateNetwork(mixed, confinement=1.0)


@pytest.mark.slow
def test_a_measured_correlator_is_fitted():
    true = nnqm.builtin_theory("anharmonic")
    lags = [0, 1, 2, 4, 8]
    run = nnqm.simulate(true, 20_000, 32, 0.15, rng=5, measure=nnqm.Measure(lags=lags))
    measured = run.connected()
    whiten = np.linalg.inv(np.linalg.cholesky(measured.covariance()))
    observable = TwoPoint(0.15 * np.array(lags))
    process = GroundStateNetwork(drawn("tanh", 2), confinement=2.5, even=True)

    def compared(process):
        found = differentiate(nnqm.Theory(process), [observable])
        off = whiten @ (found.values[0] - measured.value)
        return float(off @ off), off, whiten @ found.jacobian()["state"]

    # Levenberg-Marquardt steps with the exact gradient and the covariance of the measurement.
    first, off, jacobian = compared(process)
    chi2, damping = first, 1e-2
    for _ in range(5):
        gram = jacobian @ jacobian.T
        step = jacobian.T @ np.linalg.solve(gram + damping * np.trace(gram) * np.eye(len(off)), off)
        trial = process.with_learnable({"state": process.learnable()["state"] - step})
        found = compared(trial)
        if found[0] < chi2:
            process, (chi2, off, jacobian), damping = trial, found, damping / 10
        else:
            damping *= 10
    assert first > 1e3
    assert chi2 < stats.chi2.ppf(0.99, len(lags))
    # The correlator of x determines the gap that it decays with.
    assert process.hamiltonian.gaps(1)[0] == pytest.approx(1.934121617, rel=0.03)
