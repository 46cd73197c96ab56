"""Checkpoints of other programs are read as the networks that they are."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import nnqm
from nnqm import Network, OrnsteinUhlenbeck, Theory, Trajectory
from nnqm.errors import InputError, InputTypeError
from nnqm.testing import networks

NET = Network.random((2, 3, 4, 1), "tanh", rng=1, bias_std=0.5)
THEORY = Theory(OrnsteinUhlenbeck([1.0, 1.4]), NET, hbar=0.7, mass=1.3)
OTHER = Network.random((2, 3, 4, 1), "tanh", rng=2, bias_std=0.5)
POINTS = np.random.default_rng(0).normal(size=(7, 2))


def state(network, form="{}.weight", bias="{}.bias", transposed=False):
    """A flat mapping of names to arrays."""
    found = {}
    for i, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        found[form.format(2 * i)] = w.T if transposed else w
        found[bias.format(2 * i)] = b
    return found


def flax(network):
    layers = zip(network.weights, network.biases, strict=True)
    return {"params": {f"Dense_{i}": {"kernel": w.T, "bias": b} for i, (w, b) in enumerate(layers)}}


def module(network):
    layers = [SimpleNamespace(weight=w, bias=b) for w, b in zip(network.weights, network.biases, strict=True)]
    return SimpleNamespace(layers=layers)


FORMS = {
    "network": lambda n: n,
    "pairs": lambda n: list(zip(n.weights, n.biases, strict=True)),
    "alternating": lambda n: [a for pair in zip(n.weights, n.biases, strict=True) for a in pair],
    "state_dict": state,
    "names before the numbers": lambda n: state(n, "net.layers.{}.weight", "net.layers.{}.bias"),
    "torch module": lambda n: SimpleNamespace(state_dict=lambda: state(n)),
    "flax": flax,
    "haiku": lambda n: state(n, "mlp/~/linear_{}.w", "mlp/~/linear_{}.b", transposed=True),
    "equinox": module,
}


def only(trajectory):
    (theory,) = trajectory.theories
    return theory.network


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_network_back(form):
    found = Trajectory.of_checkpoints(THEORY, [FORMS[form](NET), FORMS[form](OTHER)], [0, 50])
    assert found.steps == (0, 50)
    for theory, expected in zip(found.theories, (NET, OTHER), strict=True):
        assert theory.network == expected
        assert theory.sources == THEORY.sources
        assert (theory.hbar, theory.mass) == (0.7, 1.3)
        assert np.array_equal(theory.network(POINTS), expected(POINTS))


@settings(max_examples=30, deadline=None)
@given(networks(activations=["sin"], last=["identity"], max_width=5), st.sampled_from(sorted(FORMS)))
def test_networks_of_any_widths_survive(net, form):
    theory = Theory(OrnsteinUhlenbeck(np.arange(1.0, net.n_inputs + 1)), net)
    assert only(Trajectory.of_checkpoints(theory, [FORMS[form](net)])) == net


def test_layers_are_sorted_by_their_numbers_and_otherwise_taken_as_listed():
    deep = Network.random((1, *[2] * 11, 1), rng=3, bias_std=1.0)
    theory = Theory(OrnsteinUhlenbeck(1.0), deep)
    tree = flax(deep)["params"]
    # A tree that JAX has mapped over lists its keys in the order of texts.
    texts = {"params": {name: tree[name] for name in sorted(tree)}}
    assert list(texts["params"])[1] == "Dense_1"
    assert list(texts["params"])[2] == "Dense_10"
    assert only(Trajectory.of_checkpoints(theory, [texts])) == deep
    names = dict(zip(["lift", "hidden", "out"], zip(NET.weights, NET.biases, strict=True), strict=True))
    listed = {f"{k}.{part}": a for k, (w, b) in names.items() for part, a in (("weight", w), ("bias", b))}
    assert only(Trajectory.of_checkpoints(THEORY, [listed])) == NET


def test_missing_biases_are_zero():
    bare = {name: a for name, a in state(NET).items() if name.endswith("weight")}
    assert only(Trajectory.of_checkpoints(THEORY, [bare])) == Network(NET.weights)
    assert only(Trajectory.of_checkpoints(THEORY, [[(w, None) for w in NET.weights]])) == Network(NET.weights)


def test_activations_are_those_of_the_theory_or_given():
    mixed = Network(NET.weights, NET.biases, ["sin", "relu", "identity"])
    theory = Theory(THEORY.sources, mixed)
    assert only(Trajectory.of_checkpoints(theory, [state(NET)])) == mixed
    alone = Theory(THEORY.sources)
    assert only(Trajectory.of_checkpoints(alone, [state(NET)], activation=["sin", "relu", "identity"])) == mixed
    assert only(Trajectory.of_checkpoints(theory, [NET], activation="erf")).activations == ("erf", "erf", "identity")
    ensemble = Theory(THEORY.sources, nnqm.RandomNetwork((2, 3, 4, 1), "sin"))
    assert only(Trajectory.of_checkpoints(ensemble, [state(NET)])).activations == ("sin", "sin", "identity")
    with pytest.raises(InputError, match=r"checkpoints\[0\]: activation must be given"):
        Trajectory.of_checkpoints(alone, [state(NET)])


@pytest.mark.slow
def test_jax_arrays_are_read():
    tree = jax.tree_util.tree_map(jax.numpy.asarray, flax(NET))
    found = only(Trajectory.of_checkpoints(THEORY, [tree]))
    # JAX computes in float32 unless told otherwise.
    assert all(np.array_equal(a, b.astype(np.float32)) for a, b in zip(found.weights, NET.weights, strict=True))


class Tensor:
    """A tensor that records gradients: NumPy can read it only after ``detach``, as with PyTorch."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self.array

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


def test_tensors_that_record_gradients_are_read():
    assert only(Trajectory.of_checkpoints(THEORY, [{k: Tensor(a) for k, a in state(NET).items()}])) == NET


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_files_are_read(tmp_path, kind):
    path = tmp_path / f"step.{kind}"
    if kind == "npz":
        np.savez(path, **state(NET))
    else:
        save_file({k: np.ascontiguousarray(a) for k, a in state(NET).items()}, path)
    assert only(Trajectory.of_checkpoints(THEORY, [path])) == NET
    assert only(Trajectory.of_checkpoints(THEORY, [str(path)])) == NET
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=rf"checkpoints\[0\]: file .*step.{kind} cannot be read"):
        Trajectory.of_checkpoints(THEORY, [path])


def test_files_without_numbers_do_not_tell_the_order(tmp_path):
    path = tmp_path / "step.npz"
    np.savez(path, **{"lift.weight": NET.weights[0], "mid.weight": NET.weights[1], "out.weight": NET.weights[2]})
    with pytest.raises(InputError, match="must be numbered"):
        Trajectory.of_checkpoints(THEORY, [path])


def without(name):
    return {k: a for k, a in state(NET).items() if k != name}


def changed(name, array):
    return {**state(NET), name: array}


NAN = np.where(np.eye(3, 2) > 0, np.nan, 1.0)

WRONG = {
    "weights missing": (without("2.weight"), r"the layer '2' must have weights, once; it has bias"),
    "layer missing": ({k: a for k, a in state(NET).items() if k[0] != "2"}, r"2-3-4-1, has 3 layers; got 2"),
    "layer too many": (
        {**state(NET), "6.weight": np.eye(1)},
        r"the network of the theory, 2-3-4-1, has 3 layers; got 4, 2-3-4-1-1",
    ),
    "widths": (state(Network.random((2, 3, 5, 1), rng=1)), r"widths of the network of the theory, 2-3-4-1; got 2-3-5"),
    "transposed": (changed("2.weight", NET.weights[1].T), r"2.weight has 3 outputs, but the biases .* \(4,\)"),
    "not finite": (changed("0.weight", NAN), r"0.weight must be finite; 0.weight\[0, 0\]=nan"),
    "axes": (changed("0.weight", np.ones((2, 3, 1))), r"0.weight must have 2 axes; got 3"),
    "complex": (changed("0.weight", 1j * NET.weights[0]), r"0.weight must be real numbers; got dtype complex128"),
    "other parameters": (changed("1.running_mean", np.ones(3)), r"'1.running_mean' is neither weights nor biases"),
    "biases twice": (changed("0.b", np.ones(3)), r"'0.b': the layer '0' has its biases twice"),
    "weights twice": (changed("0.kernel", np.ones((2, 3))), r"must have weights, once; it has weight, bias, kernel"),
    "empty": ({}, "at least one layer; got none"),
    "no layers": ([], "at least one layer; got none"),
    "odd arrays": ([np.eye(2)], "alternate between weights and biases; got 1 arrays"),
    "file": ("no.npz", "file no.npz does not exist"),
    "pickle": ("model.pt", r"must end in .safetensors or .npz; of other files give what they hold, for example torch"),
    "number": (3.0, r"a checkpoint must be a Network, a sequence .*; got float"),
    "not a pair": ([(NET.weights[0], None), NET.weights[1]], r"layer 1 must be a pair"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_checkpoints_are_named(what):
    checkpoint, message = WRONG[what]
    with pytest.raises((InputError, InputTypeError), match=r"checkpoints\[1\]: .*" + message):
        Trajectory.of_checkpoints(THEORY, [NET, checkpoint])


def test_checkpoints_have_the_layers_of_the_first():
    alone = Theory(THEORY.sources)
    with pytest.raises(InputError, match=r"checkpoints\[1\]: .* widths of checkpoints\[0\], 2-3-4-1; got 2-2-1"):
        Trajectory.of_checkpoints(alone, [NET, Network.random((2, 2, 1), rng=1)], activation="tanh")
    with pytest.raises(InputError, match="network takes 2 inputs, but the sources give 1"):
        Trajectory.of_checkpoints(Theory(OrnsteinUhlenbeck(1.0)), [NET])


def test_steps_fit_the_checkpoints():
    assert Trajectory.of_checkpoints(THEORY, [NET, OTHER]).steps == (0, 1)
    with pytest.raises(InputError, match="same length"):
        Trajectory.of_checkpoints(THEORY, [NET, OTHER], [0])
    with pytest.raises(InputError, match="steps must increase"):
        Trajectory.of_checkpoints(THEORY, [NET, OTHER], [5, 5])
    with pytest.raises(InputError, match="at least 1"):
        Trajectory.of_checkpoints(THEORY, [])
    with pytest.raises(InputTypeError, match="theory must be a Theory"):
        Trajectory.of_checkpoints(NET, [NET])


def test_an_ensemble_without_training_has_no_trajectory():
    with pytest.raises(InputError, match="must have a network that is trained"):
        Trajectory.of_ensemble(Theory(OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 3, 1))), [0, 1])
