"""Exact observables as functions of JAX arrays, in the real JAX."""

import subprocess
import sys

import numpy as np
import pytest

import nnqm
from nnqm.errors import InputError, InputTypeError
from nnqm.learning.differentiate import differentiate
from nnqm.learning.frameworks import jax_observable, torch_observable
from nnqm.learning.observables import Moments, SpectralWeights, TwoPoint

jax = pytest.importorskip("jax")
NETWORK = nnqm.Network.random((2, 4, 1), "tanh", rng=5, bias_std=0.5)
THEORY = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.7], [1.0, 0.8]), NETWORK)
TIMES = TwoPoint([0.0, 0.5, 1.5])
G = np.array([1.0, -2.0, 0.5])


@pytest.fixture
def double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def layers_of(network):
    return [(jax.numpy.asarray(w), jax.numpy.asarray(b)) for w, b in zip(network.weights, network.biases, strict=True)]


def flat(layers):
    return np.concatenate([np.ravel(part) for pair in layers for part in pair])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_in_layers_and_inputs(compiled):
    exact = jax_observable(THEORY, TIMES)
    omega, sigma = jax.numpy.array([1.1, 1.6]), jax.numpy.array([0.9, 0.8])

    def loss(layers, omega, sigma):
        # A loss of the user's own: nonlinear in the observable, and with a term of the weights.
        return (G @ jax.numpy.sin(exact(layers, omega=omega, sigma=sigma))) + (layers[0][0] ** 2).sum()

    gradient = jax.grad(loss, argnums=(0, 1, 2))
    found = (jax.jit(gradient) if compiled else gradient)(layers_of(NETWORK), omega, sigma)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.1, 1.6], [0.9, 0.8]), NETWORK)
    d = differentiate(theory, [TIMES])
    expected = d.pullback([G * np.cos(d.values[0])])
    expected["network"][: NETWORK.weights[0].size] += 2 * NETWORK.weights[0].ravel()
    np.testing.assert_allclose(flat(found[0]), expected["network"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found[1], expected["omega"], rtol=1e-12)
    np.testing.assert_allclose(found[2], expected["sigma"], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_vmap_runs_one_after_another():
    exact = jax_observable(THEORY, Moments([1, 2]))
    rates = jax.numpy.array([[1.0, 1.5], [2.0, 0.7], [1.0, 1.5]])
    together = jax.vmap(lambda omega: exact(omega=omega))(rates)
    alone = np.array([exact(omega=omega) for omega in rates])
    np.testing.assert_array_equal(together, alone)
    assert abs(alone[0] - alone[1]).max() > 1e-3
    gradients = jax.vmap(jax.grad(lambda omega: exact(omega=omega)[1]))(rates)
    np.testing.assert_array_equal(gradients[0], gradients[2])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_jacobian_and_finite_differences():
    exact = jax_observable(THEORY, SpectralWeights([[1, 0], [1, 2]]))
    jacobian = jax.jacrev(lambda sigma: exact(sigma=sigma))(jax.numpy.array([1.0, 0.8]))
    h = 1e-4
    for i, step in enumerate(h * np.eye(2)):
        up, down = (np.asarray(exact(sigma=jax.numpy.array([1.0, 0.8] + sign * step))) for sign in (1, -1))
        np.testing.assert_allclose(jacobian[:, i], (up - down) / (2 * h), rtol=1e-6)


def test_float32_is_computed_in_float64():
    exact = jax_observable(THEORY, TIMES)
    layers = [(np.float32(w), np.float32(b)) for w, b in layers_of(NETWORK)]
    found = exact(layers)
    assert found.dtype == np.float32
    rounded = nnqm.Network([w for w, _ in layers], [b for _, b in layers], NETWORK.activations)
    same = differentiate(nnqm.Theory(THEORY.sources, rounded), [TIMES]).values[0]
    np.testing.assert_array_equal(found, same.astype(np.float32))


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_second_derivatives_are_refused():
    exact = jax_observable(THEORY, Moments([2]))
    omega = jax.numpy.array([1.0, 1.7])
    with pytest.raises(InputError, match="second derivatives"):
        jax.jacrev(jax.grad(lambda w: exact(omega=w)[0]))(omega)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(lambda w: exact(omega=w)[0])(omega)


def test_arguments_are_checked():
    exact = jax_observable(THEORY, TIMES)
    with pytest.raises(InputError, match="potential is no learnable parameter"):
        exact(potential=np.ones(3))
    with pytest.raises(InputError, match="one pair"):
        exact(layers_of(NETWORK)[:1])
    with pytest.raises(InputTypeError, match="list of pairs"):
        exact(3.0)
    with pytest.raises(InputError, match="must be given"):
        exact()
    with pytest.raises(InputTypeError, match="floating-point"):
        exact(omega=np.array([1, 2]))
    with pytest.raises(InputError, match="layers need a theory with a network"):
        jax_observable(nnqm.harmonic_oscillator(), TIMES)(layers_of(NETWORK))


@pytest.mark.slow
def test_frameworks_are_imported_when_they_are_used():
    code = "import sys, nnqm.learning.frameworks; assert not {'jax', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_absent_framework_is_named(monkeypatch):
    for name, make in (("torch", torch_observable), ("jax", jax_observable)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=f"needs the package {name}; install it"):
            make(THEORY, TIMES)
