"""Networks against plain NumPy, as immutable values, and what is wrong with a wrong one."""

import copy
import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import erf, expit, log_ndtr

import nnqm

REFERENCE = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sin": np.sin,
    "cos": np.cos,
    "erf": erf,
    "gelu": lambda x: x * np.exp(log_ndtr(x)),
    "sigmoid": expit,
    "softplus": lambda x: np.logaddexp(0, x),
}
# Of a result of order one: a few units in the last place, times the layers.
TOLERANCE = {"float32": 1e-6, "float64": 3e-15}


def in_numpy(network, y):
    h = np.asarray(y, dtype=np.float64)
    for w, b, name in zip(network.weights, network.biases, network.activations, strict=True):
        h = REFERENCE[name](h @ w.T + b)
    return h


def test_every_activation_has_a_reference():
    assert set(nnqm._core.activations()) == set(REFERENCE)
    assert all(name in nnqm.Network.__doc__ for name in REFERENCE)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_activations_are_those_of_numpy(name, precision):
    network = nnqm.Network([[[1.0]]], activation=[name])
    y = np.concatenate([np.linspace(-30, 30, 4001), [0.0, 1e-3, -1e-3, 80.0, -80.0]]).astype(precision)
    x = network(y[:, None])[:, 0]
    assert x.dtype == precision
    expected = REFERENCE[name](y.astype(np.float64))
    error = np.abs(x - expected) / np.maximum(np.abs(expected), 1.0)
    assert error.max() < TOLERANCE[precision]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_random_networks_are_those_of_numpy(precision):
    rng = np.random.default_rng(1)
    for _ in range(60):
        widths = rng.integers(1, 40, size=rng.integers(2, 6))
        weights = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(widths)]
        biases = [rng.normal(size=o) for o in widths[1:]]
        network = nnqm.Network(weights, biases, rng.choice(sorted(REFERENCE), size=len(weights)).tolist())
        y = rng.normal(size=(3, 7, widths[0])).astype(precision)
        x = network(y)
        assert x.shape == (3, 7, widths[-1])
        expected = in_numpy(network, y)
        error = np.abs(x - expected) / np.maximum(np.abs(expected), 1.0)
        assert error.max() < 20 * TOLERANCE[precision], network


def test_the_last_layer_is_linear_unless_said():
    weights = [[[2.0]], [[3.0]]]
    assert nnqm.Network(weights).activations == ("tanh", "identity")
    assert nnqm.Network(weights)([[0.5]])[0, 0] == pytest.approx(3 * np.tanh(1.0))
    assert nnqm.Network(weights, activation=["sin", "cos"])([[0.5]])[0, 0] == pytest.approx(np.cos(3 * np.sin(1.0)))


def test_points_of_any_shape_and_type():
    network = nnqm.Network.random((2, 5, 3), rng=1)
    y = np.random.default_rng(2).normal(size=(4, 6, 2))
    x = network(y)
    np.testing.assert_array_equal(network(y[1, 2]), x[1, 2])
    np.testing.assert_array_equal(network(y.tolist()), x)
    np.testing.assert_array_equal(network(np.asfortranarray(y)), x)
    assert network(np.empty((0, 2))).shape == (0, 3)
    assert network(np.ones((1, 2), dtype=np.int32)).dtype == np.float64
    assert network(np.ones((1, 2), dtype=np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match=r"y must have shape \(..., 2\); got \(4, 3\)"):
        network(np.ones((4, 3)))


def test_networks_are_immutable_values():
    weights = [np.array([[1.0], [2.0]]), np.array([[0.5, -0.5]])]
    network = nnqm.Network(weights)
    weights[0][0, 0] = 7.0
    assert network.weights[0][0, 0] == 1.0, "the network keeps the caller's array"
    with pytest.raises(ValueError, match="read-only"):
        network.weights[0][0, 0] = 3.0
    with pytest.raises(AttributeError, match="immutable"):
        network.weights = ()
    same = nnqm.Network([[[1.0], [2.0]], [[0.5, -0.5]]], [[-0.0, 0.0], [0.0]])
    assert network == same
    assert hash(network) == hash(same)
    for other in (
        nnqm.Network([[[1.0], [2.0]], [[0.5, -0.4]]]),
        nnqm.Network([[[1.0], [2.0]], [[0.5, -0.5]]], activation="sin"),
        nnqm.Network([[[1.0], [2.0]], [[0.5, -0.5]]], [[0.0, 0.0], [0.1]]),
    ):
        assert network != other
    assert network != "network"
    assert repr(network) == "Network(1-2-1, tanh)"
    assert (network.n_inputs, network.n_outputs, network.widths) == (1, 1, (1, 2, 1))


def test_networks_survive_copies_and_text():
    network = nnqm.Network.random((3, 4, 2), ["erf", "identity"], rng=1, bias_std=0.3)
    for twin in (
        pickle.loads(pickle.dumps(network)),
        copy.deepcopy(network),
        nnqm.Network(**json.loads(json.dumps(network.to_dict()))),
    ):
        assert twin == network
        assert [w.tobytes() for w in twin.weights] == [w.tobytes() for w in network.weights]


def test_random_weights_follow_their_density():
    network = nnqm.Network.random((50, 400, 300), rng=3, weight_std=2.0, bias_std=0.5)
    assert network.weights[0].std() == pytest.approx(2 / np.sqrt(50), rel=0.03)
    assert network.weights[1].std() == pytest.approx(2 / np.sqrt(400), rel=0.03)
    assert np.concatenate(network.biases).std() == pytest.approx(0.5, rel=0.1)
    assert nnqm.Network.random((2, 2), rng=1) == nnqm.Network.random((2, 2), rng=1)
    assert nnqm.Network.random((2, 2), rng=1) != nnqm.Network.random((2, 2), rng=2)
    with pytest.raises(TypeError, match="rng"):
        nnqm.Network.random((2, 2))


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "weights must have at least one layer; got none", {"weights": []}),
        (ValueError, r"weights\[0\] must have 2 axes; got 1 \(shape \(2,\)\)", {"weights": [[1.0, 2.0]]}),
        (ValueError, r"weights\[0\] is empty", {"weights": [np.zeros((0, 1))]}),
        (
            ValueError,
            r"weights\[1\] takes 3 inputs, but layer 0 has 2 outputs; weights have shape \(outputs, inputs\)",
            {"weights": [np.zeros((2, 1)), np.zeros((1, 3))]},
        ),
        (
            ValueError,
            r"biases\[0\] must have shape \(2,\), one per output of the layer; got \(3,\)",
            {"weights": [np.zeros((2, 1))], "biases": [np.zeros(3)]},
        ),
        (
            ValueError,
            "biases must have one vector per layer, 1; got 2",
            {"weights": [[[1.0]]], "biases": [[1.0], [1.0]]},
        ),
        (ValueError, r"weights\[0\] must be finite; weights\[0\]\[0, 1\]=nan", {"weights": [[[1.0, np.nan]]]}),
        (ValueError, r"biases\[0\] must be finite", {"weights": [[[1.0]]], "biases": [[np.inf]]}),
        (TypeError, r"weights\[0\] must be real numbers.*complex128", {"weights": [np.array([[1j]])]}),
        (TypeError, r"weights\[0\] must be real numbers", {"weights": [[["1.0"]]]}),
        (TypeError, r"weights\[0\] must be real numbers", {"weights": [[[1.0], [1.0, 2.0]]]}),
        (
            ValueError,
            r"activation 'tahn' is unknown; choose from .*softplus.*did you mean 'tanh'\?",
            {"weights": [[[1.0]]], "activation": "tahn"},
        ),
        (ValueError, r"activation\[0\] 'Relu' is unknown.*'relu'", {"weights": [[[1.0]]], "activation": ["Relu"]}),
        (ValueError, r"activation\[0\] 3 is unknown", {"weights": [[[1.0]]], "activation": [3]}),
        (
            ValueError,
            "activation must be one name or one per layer, 1; got 2",
            {"weights": [[[1.0]]], "activation": ["sin", "sin"]},
        ),
    ],
)
def test_a_wrong_network_is_refused(error, message, arguments):
    with pytest.raises(error, match=message):
        nnqm.Network(**arguments)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("widths must have at least the inputs and the outputs", {"widths": [3]}),
        (r"widths\[1\] must be at least 1; got 0", {"widths": [3, 0, 1]}),
        ("weight_std must be positive", {"widths": [1, 1], "weight_std": 0.0}),
        ("bias_std must not be negative", {"widths": [1, 1], "bias_std": -1.0}),
        ("activation 'gulu' is unknown.*'gelu'", {"widths": [1, 1], "activation": "gulu"}),
    ],
)
def test_wrong_random_weights_are_refused(message, arguments):
    with pytest.raises(ValueError, match=message):
        nnqm.Network.random(rng=1, **arguments)
