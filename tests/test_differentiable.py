"""Exact observables and their derivatives: finite differences, and independent exact answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import factorial

import nnqm
from nnqm.errors import InputError, InputTypeError
from nnqm.learning.differentiate import differentiate
from nnqm.learning.observables import (
    Commutator,
    Gaps,
    Moments,
    MomentumSquared,
    NPoint,
    SpectralWeights,
    TwoPoint,
)
from nnqm.learning.parameters import FreeParameters, learnable
from nnqm.testing import networks

SMOOTH = ("identity", "tanh", "sin", "cos", "erf", "gelu", "sigmoid", "softplus")
TIMES = np.array([0.0, 0.3, 1.0, 2.0])
# Fixed nodes make the sums analytic: the step of the differences of order h^4 balances h^4 and rounding.
STEP = 2e-3


def theory_of(widths, activation, seed=3):
    inputs = widths[0]
    source = nnqm.OrnsteinUhlenbeck([1.0, 1.7, 0.8, 1.3, 0.9][:inputs], [1.0, 0.7, 1.2, 0.9, 1.0][:inputs])
    network = nnqm.Network.random(widths, activation, rng=seed, weight_std=0.8, bias_std=0.5)
    return nnqm.Theory(source, network, hbar=1.3, mass=0.7)


def all_observables(inputs, *, kinks=False, n_points=True):
    none = [0] * (inputs - 1)
    states = 4 if inputs == 1 else [[1, *none], [*none, 2], [1] * inputs]
    found = [TwoPoint(TIMES), TwoPoint([0.5, 3.0], connected=False), SpectralWeights(states), Moments([1, 2])]
    found += [Commutator(), Gaps(3)]
    if n_points:
        found += [Moments([1, 3, 4]), NPoint([[0.0, 0.3, 0.3, 1.0], [1.0, 0.2, 0.0, 0.5]])]
    return found if kinks else [*found, MomentumSquared()]


def deviation(theory, observables, seed=0, factor=1.0):
    """Largest relative difference between derivatives along random directions and central differences, by name."""
    rng = np.random.default_rng(seed)
    found = differentiate(theory, observables)
    cotangents = [rng.normal(size=values.size) / max(1.0, np.abs(values).max()) for values in found.values]
    gradient = found.pullback(cotangents)
    out = {}
    for name in learnable(theory):
        free = FreeParameters(theory, (name,))
        slope = factor * free.gradient(free.start, gradient)
        direction = rng.normal(size=slope.size)
        direction /= np.linalg.norm(direction)

        def along(e, free=free, direction=direction):
            values = differentiate(free.theory(free.start + e * direction), observables).values
            return sum(float(g @ v) for g, v in zip(cotangents, values, strict=True))

        near, far = (along(k * STEP) - along(-k * STEP) for k in (1, 2))
        out[name] = abs((8 * near - far) / (12 * STEP) - slope @ direction) / max(1.0, np.abs(slope).max())
    return out


@pytest.mark.parametrize("activation", [*SMOOTH, "relu"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_derivatives_with_one_input(activation, depth):
    theory = theory_of((1, *[3] * depth, 1), activation)
    observables = all_observables(1, kinks=activation == "relu")
    if activation == "relu" and depth > 1:
        observables = [TwoPoint([0.5, 1.0]), Moments([1, 2, 3]), Commutator()]
    assert max(deviation(theory, observables).values()) < 1e-7


@pytest.mark.parametrize("activation", [*SMOOTH, "relu"])
@pytest.mark.parametrize("inputs", [2, 3, 5])
def test_derivatives_of_one_layer(activation, inputs):
    theory = theory_of((inputs, 4, 2), activation)
    observables = [w for w in all_observables(inputs, kinks=activation == "relu", n_points=False) if w != Gaps(3)]
    observables.append(TwoPoint(TIMES, channel=1))
    assert max(deviation(theory, observables).values()) < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "activation"),
    [((2, 3, 2), "tanh"), ((2, 3, 3, 1), "gelu"), ((2, 2, 2, 2, 1), "sin"), ((3, 2, 2, 1), "cos")],
)
def test_derivatives_on_grids(widths, activation):
    theory = theory_of(widths, activation)
    assert max(deviation(theory, all_observables(widths[0])).values()) < 1e-7


@pytest.mark.slow
def test_derivatives_at_short_times():
    """States beyond the highest polynomial contribute, at the energy of the first of them."""
    assert max(deviation(theory_of((1, 4, 1), "relu"), [TwoPoint([0.001, 0.003])]).values()) < 1e-7


def test_a_wrong_factor_is_seen():
    """Negative control."""
    found = deviation(theory_of((1, 3, 1), "tanh"), all_observables(1), factor=2.0)
    assert set(found) == {"network", "omega", "sigma"}
    assert min(found.values()) > 1e-2


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.data())
def test_derivatives_of_drawn_networks(data):
    inputs = data.draw(st.integers(1, 2))
    source = nnqm.OrnsteinUhlenbeck([data.draw(st.floats(0.5, 2.0)) for _ in range(inputs)])
    network = data.draw(networks(n_inputs=inputs, n_outputs=1, max_width=4, activations=SMOOTH, last=["identity"]))
    theory = nnqm.Theory(source, network)
    assert max(deviation(theory, [TwoPoint(TIMES), Moments([1, 2]), Commutator()]).values()) < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "activation"),
    [
        ((1, 4, 1), "tanh"),
        ((1, 5, 5, 1), "relu"),
        ((1, 3, 3, 1), "gelu"),
        ((2, 4, 1), "erf"),
        ((2, 4, 1), "relu"),
        ((2, 3, 3, 1), "sin"),
        ((3, 3, 1), "softplus"),
    ],
)
def test_values_are_those_of_the_spectral_measure(widths, activation):
    theory = theory_of(widths, activation)
    kinks = activation == "relu"
    found = differentiate(theory, [TwoPoint(TIMES), Moments([1, 2]), Commutator(), MomentumSquared()])
    measure = nnqm.kallen_lehmann(theory)
    variance = measure.moments[0]
    assert_allclose(found.values[0] / variance, measure.connected(TIMES) / variance, atol=1e-9)
    assert_allclose(found.values[1], [measure.mean, variance], rtol=1e-9, atol=1e-9)
    assert_allclose(found.values[2], measure.commutator, rtol=1e-8)
    assert_allclose(found.values[3], np.inf if kinks else measure.momentum_squared, rtol=1e-6)
    assert max(found.errors) < 1e-5
    if widths[0] == 1:
        weights = differentiate(theory, [SpectralWeights(4)]).values[0]
        assert_allclose(weights, measure.weights[:4], atol=1e-10 * variance)


def test_values_are_those_of_n_point_functions():
    for widths, activation in (((1, 4, 1), "tanh"), ((1, 3, 1), "relu"), ((2, 3, 1), "sin")):
        theory = theory_of(widths, activation)
        times = np.array([[0.0, 0.4, 0.4, 1.0], [1.0, 0.3, 0.0, 2.0]])
        found = differentiate(theory, [NPoint(times)])
        assert_allclose(found.values[0], nnqm.n_point(theory, times), rtol=1e-8)
        assert found.errors[0] < 1e-6


def test_one_neuron_has_the_weights_of_closed_forms():
    a, b, v = 1.3, 0.4, 0.7
    spread = 1 / np.sqrt(2)
    n = np.arange(1, 7)
    network = nnqm.Network([[[a]], [[v]]], [[b], [0.2]], "sin")
    found = differentiate(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network), [SpectralWeights(6)]).values[0]
    scale = a * spread
    c = v * np.exp(-(scale**2) / 2) * scale**n / np.sqrt(factorial(n)) * np.sin(b + n * np.pi / 2)
    assert_allclose(found, c**2, atol=1e-14)
    # The same neuron across two inputs: states of total number n have the weights in binomial proportions.
    network = nnqm.Network([[[0.6 * a, 0.8 * a]], [[v]]], [[b], [0.2]], "sin")
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.0]), network)
    found = differentiate(theory, [SpectralWeights([[k, 3 - k] for k in range(4)])]).values[0]
    share = [factorial(3) / factorial(k) / factorial(3 - k) * 0.36**k * 0.64 ** (3 - k) for k in range(4)]
    assert_allclose(found, c[2] ** 2 * np.array(share), atol=1e-14)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_one_layer_agrees_with_a_function_of_one_input(activation):
    """A network that ignores all inputs but one, on two and five inputs."""
    alone = theory_of((1, 4, 1), activation)
    what = [TwoPoint(TIMES), Moments([1, 2]), Commutator()]
    expected = differentiate(alone, what)
    g = [np.ones(w.size) for w in what]
    for inputs in (2, 5):
        first = np.zeros((4, inputs))
        first[:, :1] = alone.network.weights[0]
        network = nnqm.Network([first, alone.network.weights[1]], alone.network.biases, alone.network.activations)
        source = nnqm.OrnsteinUhlenbeck([1.0, 1.7, 0.8, 1.3, 0.9][:inputs])
        found = differentiate(nnqm.Theory(source, network, hbar=1.3, mass=0.7), what)
        for ours, theirs in zip(found.values, expected.values, strict=True):
            assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
        ours, theirs = found.pullback(g), expected.pullback(g)
        columns = ours["network"][: 4 * inputs].reshape(4, inputs)
        assert_allclose(columns[:, 0], theirs["network"][:4], rtol=1e-7, atol=1e-9)
        assert_allclose(ours["network"][4 * inputs :], theirs["network"][4:], rtol=1e-7, atol=1e-9)
        assert_allclose(ours["omega"][0], theirs["omega"][0], rtol=1e-7)


def test_a_neuron_without_weights_has_derivatives():
    """Its direction is not defined, but its derivatives are."""
    theory = theory_of((2, 3, 1), "tanh")
    vector = theory.network.parameters
    vector[:2] = 0
    still = nnqm.Theory(theory.sources, theory.network.with_parameters(vector))
    gradient = differentiate(still, [TwoPoint([0.5])]).pullback([[1.0]])["network"]
    for i in range(2):
        step = np.zeros_like(vector)
        step[i] = 1e-4
        up, down = (
            differentiate(
                nnqm.Theory(theory.sources, still.network.with_parameters(vector + s * step)), [TwoPoint([0.5])]
            )
            for s in (1, -1)
        )
        assert abs((up.values[0] - down.values[0])[0] / 2e-4 - gradient[i]) < 1e-7


@pytest.mark.slow
def test_reported_errors_cover_the_deviation():
    # A deep network of kinks that ignores its second input, and saturated neurons: the exact answer has one input.
    deep = theory_of((1, 4, 4, 1), "relu")
    first = np.hstack([deep.network.weights[0], np.zeros((4, 1))])
    network = nnqm.Network([first, *deep.network.weights[1:]], deep.network.biases, deep.network.activations)
    wide = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.3]), network, hbar=1.3, mass=0.7)
    what = [TwoPoint(TIMES), Moments([1, 2])]
    exact, found = differentiate(deep, what), differentiate(wide, what)
    for ours, theirs, error in zip(found.values, exact.values, found.errors, strict=True):
        assert 1e-10 < error < 0.1
        assert np.abs(ours - theirs).max() <= 3 * error * np.abs(ours).max()
    steep = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[300.0]], [[1.0]]], [[20.0], [0.0]]))
    found = differentiate(steep, [TwoPoint([0.5, 1.0])])
    measure = nnqm.kallen_lehmann(steep, tolerance=5e-3)
    off = np.abs(found.values[0] - measure.connected([0.5, 1.0])).max() / found.values[0].max()
    assert 1e-9 < off <= 3 * found.errors[0]


QUARTIC = nnqm.Hamiltonian([0.0, 0.3, 0.5, 0.2, 1.0], mass=0.7, hbar=1.3)


def small_steps(theory, observables):
    """Derivatives in the potential against differences, which a grid that changes with the potential makes noisy."""
    rng = np.random.default_rng(1)
    g = [rng.normal(size=what.size) for what in observables]
    gradient = differentiate(theory, observables).pullback(g)["potential"]
    start = theory.sources[0].learnable()["potential"]
    direction = rng.normal(size=start.size)

    def along(e):
        source = theory.sources[0].with_learnable({"potential": start + e * direction})
        changed = nnqm.Theory([source, *theory.sources[1:]], theory.network)
        return sum(float(a @ b) for a, b in zip(g, differentiate(changed, observables).values, strict=True))

    h = 4e-3
    numeric = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    return abs(numeric - gradient @ direction) / max(1.0, np.abs(gradient).max())


@pytest.mark.slow
def test_ground_state_process_alone():
    theory = nnqm.Theory(nnqm.GroundStateProcess(QUARTIC))
    times = np.array([[0.0, 0.3, 0.3, 1.0]])
    observables = [
        TwoPoint(TIMES),
        SpectralWeights(3),
        Moments([1, 2, 4]),
        Gaps(4),
        Commutator(),
        MomentumSquared(),
        NPoint(times),
    ]
    found = differentiate(theory, observables)
    assert_allclose(found.values[0], QUARTIC.connected(TIMES), rtol=1e-10)
    assert_allclose(found.values[1], QUARTIC.spectral_weights(4)[1:], atol=1e-12)
    assert_allclose(found.values[3], QUARTIC.gaps(4), rtol=1e-10)
    assert_allclose(found.values[4], 1.0, rtol=1e-10)
    assert_allclose(found.values[5], QUARTIC.eigenstate(0).expectation("p^2"), rtol=1e-10)
    assert_allclose(found.values[6], QUARTIC.n_point([(t, None) for t in times[0]]), rtol=1e-10)
    assert max(found.errors) < 1e-9
    assert small_steps(theory, observables) < 1e-7


def test_gaps_obey_hellmann_and_feynman():
    gradient = differentiate(nnqm.Theory(nnqm.GroundStateProcess(QUARTIC)), [Gaps(2)]).pullback([[0.0, 1.0]])
    expected = [
        QUARTIC.eigenstate(2).expectation(lambda x, k=k: x**k) - QUARTIC.eigenstate(0).expectation(lambda x, k=k: x**k)
        for k in range(5)
    ]
    assert_allclose(gradient["potential"], expected, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_network_on_a_ground_state_process(activation):
    network = nnqm.Network.random((1, 3, 1), activation, rng=3, bias_std=0.5)
    theory = nnqm.Theory(nnqm.GroundStateProcess(QUARTIC), network)
    observables = [TwoPoint(TIMES), Moments([1, 2]), Commutator()]
    if activation == "tanh":
        observables += [MomentumSquared(), SpectralWeights(2)]
    found = differentiate(theory, observables)
    measure = nnqm.kallen_lehmann(theory)
    assert_allclose(found.values[0], measure.connected(TIMES), rtol=1e-7, atol=1e-9)
    assert_allclose(found.values[1], [measure.mean, measure.moments[0]], rtol=1e-8)
    assert_allclose(found.values[2], measure.commutator, rtol=1e-7)
    assert small_steps(theory, observables) < 1e-7
    assert deviation_of_network(theory, observables) < 1e-7


def deviation_of_network(theory, observables):
    rng = np.random.default_rng(2)
    g = [rng.normal(size=what.size) for what in observables]
    gradient = differentiate(theory, observables).pullback(g, ["network"])
    assert set(gradient) == {"network"}
    start = theory.network.parameters
    direction = rng.normal(size=start.size)

    def along(e):
        changed = nnqm.Theory(theory.sources, theory.network.with_parameters(start + e * direction))
        return sum(float(a @ b) for a, b in zip(g, differentiate(changed, observables).values, strict=True))

    numeric = (8 * (along(1e-3) - along(-1e-3)) - (along(2e-3) - along(-2e-3))) / 12e-3
    return abs(numeric - gradient["network"] @ direction) / max(1.0, np.abs(gradient["network"]).max())


@pytest.mark.slow
def test_hamiltonian_beside_an_oscillator():
    network = nnqm.Network.random((2, 3, 1), "tanh", rng=3, weight_std=0.7, bias_std=0.5)
    sources = [nnqm.GroundStateProcess(nnqm.Hamiltonian([0.0, 0.3, 0.5, 0.2, 1.0])), nnqm.OrnsteinUhlenbeck(1.3)]
    theory = nnqm.Theory(sources, network)
    observables = [TwoPoint(TIMES), Gaps(3), Commutator(), NPoint([[0.0, 0.5, 1.0]])]
    found = differentiate(theory, observables)
    measure = nnqm.kallen_lehmann(theory)
    assert_allclose(found.values[0], measure.connected(TIMES), rtol=1e-8, atol=1e-10)
    assert_allclose(found.values[1], nnqm.level_energies(theory, 3)[0], rtol=1e-9)
    assert_allclose(found.values[2], measure.commutator, rtol=1e-8)
    assert small_steps(theory, observables) < 1e-7
    gradient = found.pullback([np.ones(w.size) for w in observables])
    assert {name: values.shape for name, values in gradient.items()} == {
        "network": theory.network.parameters.shape,
        "potential": (5,),
        "omega": (1,),
        "sigma": (1,),
    }


def test_observables_of_inputs():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0], [0.5, 1.5]), hbar=2.0)
    found = differentiate(theory, [TwoPoint([0.0, 0.7], channel=1), Gaps(3), Commutator(channel=1)])
    assert_allclose(found.values[0], 1.5**2 / 4 * np.exp([0, -1.4]), rtol=1e-12)
    assert_allclose(found.values[1], [2.0, 4.0, 4.0], rtol=1e-14)
    assert_allclose(found.values[2], 1.5**2 / 2.0, rtol=1e-12)
    gradient = found.pullback([[0.0, 1.0], np.zeros(3), [0.0]])
    assert_allclose(gradient["omega"], [0.0, -(1 / 2 + 0.7) * found.values[0][1]], atol=1e-14)
    assert_allclose(gradient["sigma"], [0.0, 2 / 1.5 * found.values[0][1]], atol=1e-14)


def test_bad_arguments_are_named():
    theory = theory_of((1, 3, 1), "tanh")
    wide = theory_of((5, 3, 3, 1), "tanh")
    with pytest.raises(InputError, match="at least one entry"):
        TwoPoint([])
    with pytest.raises(InputError, match=r"orders\[1\]"):
        Moments([1, 0])
    with pytest.raises(InputError, match="states must be"):
        SpectralWeights([[0.5]])
    with pytest.raises(InputError, match="times must have 2 axes"):
        NPoint([0.0, 1.0])
    with pytest.raises(InputTypeError, match=r"observables\[0\] must be an observable"):
        differentiate(theory, ["two-point"])
    with pytest.raises(InputError, match="at least one entry"):
        differentiate(theory, [])
    with pytest.raises(InputError, match="at most 3 inputs"):
        differentiate(wide, [TwoPoint([1.0])])
    with pytest.raises(InputError, match="one column per input"):
        differentiate(theory, [SpectralWeights([[1, 2]])])
    with pytest.raises(InputError, match="channel must be"):
        differentiate(theory, [TwoPoint([1.0], channel=3)])
    with pytest.raises(InputError, match="fixed weights"):
        differentiate(nnqm.Theory(theory.sources, nnqm.RandomNetwork((1, 4, 1))), [TwoPoint([1.0])])
    with pytest.raises(InputError, match=r"sources\[0\] must be"):
        differentiate(nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=2.0)), [TwoPoint([1.0])])
    found = differentiate(theory, [TwoPoint([1.0])])
    with pytest.raises(InputError, match="one array per observable"):
        found.pullback([])
    with pytest.raises(InputError, match=r"cotangents\[0\] must have shape \(1,\)"):
        found.pullback([[1.0, 2.0]])
    with pytest.raises(InputError, match="must be finite"):
        found.pullback([[np.nan]])
    with pytest.raises(InputError, match="names must be among"):
        found.pullback([[1.0]], ["potential"])
    for widths in ((1, 3, 1), (2, 3, 1)):
        kinked = differentiate(theory_of(widths, "relu"), [MomentumSquared()])
        assert kinked.values[0] == np.inf
        with pytest.raises(InputError, match="infinite"):
            kinked.pullback([[1.0]])
        assert not kinked.pullback([[0.0]])["network"].any()


def test_observables_are_values():
    assert TwoPoint([0.0, 1.0]) == TwoPoint(np.array([0, 1]))
    assert hash(TwoPoint([0.0, 1.0])) == hash(TwoPoint([0.0, -1.0]))
    assert TwoPoint([1.0]) != TwoPoint([1.0], connected=False)
    assert TwoPoint([1.0]) != NPoint([[1.0]])
    assert {Moments([1, 2]), Moments([1, 2]), Gaps(2)} == {Moments((1, 2)), Gaps(2)}
    with pytest.raises(ValueError, match="read-only"):
        TwoPoint([1.0]).times[0] = 2.0


@pytest.mark.parametrize(("omega", "w"), [([1.0], [10.0]), ([1.0, 1.0], [6.0, 5.0])])
def test_small_weights_of_single_states_keep_their_digits(omega, w):
    # c_n^2 = exp(-a^2) a^(2n)/n! sin^2(b + n pi/2) for sin(w y + b), a the size of w in standard deviations. Weights of
    # low states are 1e-8 of the variance and less.
    w = np.array(w)
    network = nnqm.Network([[w], [[1.0]]], [[0.3], [0.0]], activation="sin")
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), network)
    states = np.zeros((12, len(omega)), dtype=int)
    states[:, 0] = np.arange(1, 13)
    n, first = states[:, 0], w[0] / np.sqrt(2)
    squares = float((w**2).sum()) / 2
    factorial = np.cumprod(n.astype(float))
    exact = np.exp(-squares) * first ** (2 * n) / factorial * np.sin(0.3 + n * np.pi / 2) ** 2
    found = differentiate(theory, [SpectralWeights(states)])
    assert_allclose(found.values[0], exact, rtol=1e-9, atol=1e-12 * exact.max())
    assert found.errors[0] < 1e-8
