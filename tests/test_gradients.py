"""Derivatives of networks and their pullbacks: finite differences, real JAX, plain NumPy, and drawn weights."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnqm
import plain_gradients
from nnqm import Network, RandomNetwork, _core
from nnqm.errors import InputError, InputTypeError
from nnqm.testing import networks

ACTIVATIONS = tuple(_core.activations())
SMOOTH = tuple(name for name in ACTIVATIONS if name != "relu")


def cases(names=ACTIVATIONS):
    """A network of depth 1 to 4 with 1 to 3 inputs, and a generator for its points."""
    return st.tuples(networks(activations=names, max_width=9), st.integers(0, 2**32).map(np.random.default_rng))


def cotangents(network, n, rng):
    outputs, inputs = network.n_outputs, network.n_inputs
    return rng.normal(size=(n, outputs)), rng.normal(size=(n, outputs, inputs)), rng.normal(size=(n, outputs, inputs))


def slope(f, x, i):
    """Central difference in x[i], of eighth order: small errors of truncation and of rounding, about 1e-13."""
    h, weights = 0.004, np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
    total = 0.0
    for k, weight in enumerate(weights, 1):
        for sign in (1, -1):
            moved = x.copy()
            moved[i] += sign * k * h
            total += sign * weight * f(moved)
    return total / h


def relative(got, right):
    return np.abs(got - right).max() / max(np.abs(right).max(), 1e-3)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(cases(SMOOTH), st.integers(0, 2))
def test_gradients_are_finite_differences(case, order):
    network, rng = case
    y = rng.normal(size=(3, network.n_inputs))
    weights = cotangents(network, 3, rng)[: order + 1]

    def total(vector, points):
        found = network.with_parameters(vector).derivatives(points.reshape(y.shape))
        return sum(float((w * d).sum()) for w, d in zip(weights, found, strict=False))

    gradient, by_point = network.pullback(y, *weights)
    x, points = network.parameters, y.ravel()
    right = [slope(lambda v: total(v, points), x, i) for i in range(len(x))]
    assert relative(gradient, np.array(right)) < 1e-7
    by_difference = [slope(lambda p: total(x, p), points, i) for i in range(len(points))]
    assert relative(by_point.ravel(), np.array(by_difference)) < 1e-7


@settings(max_examples=30, deadline=None)
@given(cases(SMOOTH))
def test_derivatives_are_finite_differences(case):
    network, rng = case
    y = rng.normal(size=(4, network.n_inputs))
    values, first, second = network.derivatives(y)
    assert relative(values, network(y)) < 1e-14
    for d in range(network.n_inputs):
        by_value = slope(lambda x: network(x.T), y.T.copy(), d)
        by_slope = slope(lambda x, d=d: network.derivatives(x.T)[1][:, :, d], y.T.copy(), d)
        assert relative(first[:, :, d], by_value) < 1e-7
        assert relative(second[:, :, d], by_slope) < 1e-7


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 200), st.booleans(), st.booleans())
def test_gradients_are_those_of_plain_numpy(case, n, has_first, has_second):
    network, rng = case
    y = rng.normal(size=(n, network.n_inputs))
    u, v, w = cotangents(network, n, rng)
    for got, right in zip(network.derivatives(y), plain_gradients.derivatives(network, y), strict=True):
        assert relative(got, right) < 1e-12
    got = network.pullback(y, u, v if has_first else None, w if has_second else None)
    for part, right in zip(got, plain_gradients.pullback(network, y, u, has_first * v, has_second * w), strict=True):
        assert relative(part, right) < 1e-12


def jax_function(network):
    """The network in JAX, a function of the parameters and one point."""
    import jax
    import jax.numpy as jnp

    functions = {
        "identity": lambda z: z,
        "tanh": jnp.tanh,
        "relu": jax.nn.relu,
        "sin": jnp.sin,
        "cos": jnp.cos,
        "erf": jax.scipy.special.erf,
        "gelu": lambda z: z * (1 + jax.scipy.special.erf(z / np.sqrt(2))) / 2,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
    }

    def f(parameters, h):
        at = 0
        for w, name in zip(network.weights, network.activations, strict=True):
            matrix = parameters[at : at + w.size].reshape(w.shape)
            at += w.size + len(w)
            h = functions[name](matrix @ h + parameters[at - len(w) : at])
        return h

    return f


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradients_of_values_are_those_of_jax(depth):
    import jax

    rng = np.random.default_rng(depth)
    widths = (*(1 + depth % 3, 5, 4, 3)[:depth], 2)
    names = [ACTIVATIONS[(2 * depth + i) % len(ACTIVATIONS)] for i in range(depth)]
    weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise(widths)]
    network = Network(weights, [rng.normal(size=b) * 0.5 for b in widths[1:]], names)
    y, u = rng.normal(size=(70, widths[0])), rng.normal(size=(70, 2))
    with jax.enable_x64(True):
        f = jax.vmap(jax_function(network), (None, 0))
        right = jax.jit(lambda x, points: jax.vjp(f, x, points)[1](u))(network.parameters, y)
    for got, expected in zip(network.pullback(y, u), right, strict=True):
        assert relative(got, np.asarray(expected)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_of_derivatives_are_those_of_jax(name):
    import jax

    n = 1 + ACTIVATIONS.index(name) % 3
    network, rng = Network.random((n, 4, 3, 2), name, rng=1, bias_std=0.5), np.random.default_rng(2)
    y = rng.normal(size=(7, n))
    weights = cotangents(network, 7, rng)
    with jax.enable_x64(True):
        f = jax_function(network)
        first = jax.jacfwd(f, 1)
        second = jax.jacfwd(first, 1)

        def total(parameters, point, u, v, w):
            bend = second(parameters, point)[:, np.arange(n), np.arange(n)]
            return (u * f(parameters, point)).sum() + (v * first(parameters, point)).sum() + (w * bend).sum()

        by_parameters, by_point = jax.jit(jax.vmap(jax.grad(total, (0, 1)), (None, 0, 0, 0, 0)))(
            network.parameters, y, *weights
        )
    gradient, inputs = network.pullback(y, *weights)
    assert relative(gradient, np.asarray(by_parameters).sum(axis=0)) < 1e-12
    assert relative(inputs, np.asarray(by_point)) < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000, 9000])
def test_bits_do_not_depend_on_threads(n, dtype):
    network, rng = Network.random((2, 40, 9, 1), "gelu", rng=3, bias_std=0.5), np.random.default_rng(4)
    y = rng.normal(size=(n, 2)).astype(dtype)
    given_weights = cotangents(network, n, rng)
    one = *network.derivatives(y, n_threads=1), *network.pullback(y, *given_weights, n_threads=1)
    for n_threads in (2, 3, 7):
        more = *network.derivatives(y, n_threads=n_threads), *network.pullback(y, *given_weights, n_threads=n_threads)
        assert all(a.dtype == dtype and np.array_equal(a, b) for a, b in zip(one, more, strict=True))


def test_float32_is_float64_to_rounding():
    network, rng = Network.random((3, 32, 32, 1), "tanh", rng=5, bias_std=0.5), np.random.default_rng(6)
    y = rng.normal(size=(20_000, 3)).astype(np.float32)
    weights = cotangents(network, len(y), rng)
    for single, double in zip(network.pullback(y, *weights), network.pullback(y.astype(float), *weights), strict=True):
        assert single.dtype == np.float32
        assert relative(single, double) < 2e-5


def test_kinks_of_relu():
    network = Network([[[1.0]], [[3.0]]], activation="relu")
    values, first, second = network.derivatives([[-1.0], [0.0], [2.0]])
    assert values.ravel().tolist() == [0, 0, 6]
    assert first.ravel().tolist() == [0, 0, 3]
    assert second.ravel().tolist() == [0, 0, 0]
    # At the kink only the last bias is felt.
    assert network.pullback([[0.0]], [[1.0]])[0].tolist() == [0, 0, 0, 1]
    assert network.pullback([[2.0]], [[1.0]])[0].tolist() == [6, 3, 2, 1]


def test_tails_keep_their_digits():
    """1 - tanh^2 rounds to 0 beyond 19; the derivative itself does not."""
    network = Network([[[1.0]]], activation=["tanh"])
    y = np.array([[5.0], [25.0], [-100.0], [300.0]])
    right = 1 / np.cosh(y) ** 2
    np.testing.assert_allclose(network.derivatives(y)[1][:, :, 0], right, rtol=1e-13)
    np.testing.assert_allclose(network.pullback(y[1:2], [[1.0]])[1], right[1:2], rtol=1e-13)


@pytest.mark.parametrize("group", [1, 4, 64, 128])
def test_drawn_networks_have_the_gradients_of_their_draws(group):
    network = RandomNetwork((2, 6, 5, 1), "sin", weight_std=1.2, bias_std=0.4, group=group)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), network)
    rng = np.random.default_rng(7)
    first_path, n_paths = 2 * group, max(6, 2 * group)
    y, u = rng.normal(size=(n_paths, 5, 2)), rng.normal(size=(n_paths, 5, 1))
    gradients, by_point = network.pullback(y, u, rng=11, first_path=first_path)
    fixed = nnqm.draw_weights(theory, range(first_path, first_path + n_paths), rng=11)
    assert gradients.shape == (len(fixed), fixed[0].parameters.size)
    for i, one in enumerate(fixed):
        members = slice(i * group, (i + 1) * group)
        gradient, inputs = one.pullback(y[members], u[members])
        assert relative(gradients[i], gradient) < 1e-13
        assert relative(by_point[members], inputs) < 1e-13
    for n_threads in (1, 2, 5):
        again = network.pullback(y, u, rng=11, first_path=first_path, n_threads=n_threads)
        assert np.array_equal(again[0], gradients)
        assert np.array_equal(again[1], by_point)


def test_paths_in_the_middle_of_a_group_have_its_row():
    network = RandomNetwork((1, 3, 1), group=4)
    y = np.linspace(-1, 1, 6)[:, None, None]
    gradients, _ = network.pullback(y, np.ones_like(y), key=5, first_path=2)
    whole, _ = network.pullback(
        np.repeat(y, 1, 1), np.ones_like(y) * (np.arange(6) < 2)[:, None, None], key=5, first_path=2
    )
    assert gradients.shape == (2, 10)
    assert np.array_equal(gradients[0], whole[0])


def test_no_points_and_many_axes():
    network = Network.random((2, 3, 2), rng=1)
    gradient, by_point = network.pullback(np.empty((0, 2)), np.empty((0, 2)))
    assert gradient.tolist() == [0] * 17
    assert by_point.shape == (0, 2)
    assert [d.shape for d in network.derivatives(np.empty((0, 2)))] == [(0, 2), (0, 2, 2), (0, 2, 2)]
    y, u = np.ones((2, 3, 2)), np.ones((2, 3, 2))
    assert [d.shape for d in network.derivatives(y)] == [(2, 3, 2), (2, 3, 2, 2), (2, 3, 2, 2)]
    assert network.pullback(y, u)[1].shape == (2, 3, 2)
    assert network.pullback(y[0, 0], u[0, 0])[1].shape == (2,)
    turned = np.asfortranarray(np.random.default_rng(1).normal(size=(40, 2)))[::-2]
    right = network.pullback(turned.copy(), np.ones((20, 2)))
    assert all(np.array_equal(a, b) for a, b in zip(network.pullback(turned, np.ones((20, 2))), right, strict=True))


def test_bad_arguments():
    network, own = Network.random((2, 3, 1), rng=1), RandomNetwork((2, 3, 1))
    y, u = np.ones((4, 2)), np.ones((4, 1))
    paths, weights = np.ones((4, 5, 2)), np.ones((4, 5, 1))
    with pytest.raises(InputError, match=r"y must have shape \(\.\.\., 2\)"):
        network.derivatives(np.ones((4, 3)))
    with pytest.raises(InputError, match="n_threads"):
        network.derivatives(y, n_threads=-1)
    with pytest.raises(InputError, match=r"values must have shape \(4, 1\)"):
        network.pullback(y, np.ones(4))
    with pytest.raises(InputError, match=r"first must have shape \(4, 1, 2\)"):
        network.pullback(y, u, np.ones((4, 2)))
    with pytest.raises(InputError, match="second must have shape"):
        network.pullback(y, u, second=np.ones((4, 1, 3)))
    with pytest.raises(InputTypeError, match="values must be real"):
        network.pullback(y, u * 1j)
    with pytest.raises(InputError, match="n_threads"):
        network.pullback(y, u, n_threads=5000)
    with pytest.raises(InputError, match="rng or key"):
        own.pullback(paths, weights)
    with pytest.raises(InputError, match="either rng or key"):
        own.pullback(paths, weights, rng=1, key=2)
    with pytest.raises(InputError, match="axes"):
        own.pullback(y, u, rng=1)
    with pytest.raises(InputError, match="first_path"):
        own.pullback(paths, weights, rng=1, first_path=-1)
    split = RandomNetwork((1, 3, 1), shared=[True, False])
    with pytest.raises(InputError, match="split at t = 0"):
        split.pullback(paths[..., :1], weights, rng=1)
