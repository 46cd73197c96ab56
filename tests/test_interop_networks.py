"""Networks to and from Equinox, Flax, safetensors and ONNX; PyTorch is in check_torch.py."""

import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnqm
from nnqm import interop
from nnqm.errors import InputError, InputTypeError
from nnqm.interop.activations import need_known, values_of
from nnqm.theories.network import ACTIVATIONS

jax = pytest.importorskip("jax")
equinox = pytest.importorskip("equinox")
onnx = pytest.importorskip("onnx")
Y = np.array([[-1.3, 0.4], [0.0, 2.5], [0.7, -0.2]])


@pytest.fixture
def double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@st.composite
def networks(draw):
    """Networks of all kinds, with every activation in any layer, the last one included."""
    widths = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
    weights = [[[draw(numbers) for _ in range(n)] for _ in range(m)] for n, m in pairwise(widths)]
    biases = [[draw(numbers) for _ in range(m)] for m in widths[1:]]
    network = nnqm.Network(weights, biases, [draw(st.sampled_from(ACTIVATIONS)) for _ in weights])
    # Numbers of float64 that float32 does not have, in half of the cases.
    return network.with_parameters(network.parameters / 3) if draw(st.booleans()) else network


def mixed(seed=1, activations=("tanh", "gelu", "softplus", "identity")):
    """Four layers on two inputs."""
    plain = nnqm.Network.random((2, *[3] * (len(activations) - 1), 2), rng=seed, bias_std=0.5)
    return nnqm.Network(plain.weights, plain.biases, activations)


def assert_same(found, network):
    assert found.activations == network.activations
    for ours, theirs in zip(network.weights + network.biases, found.weights + found.biases, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@settings(max_examples=30)
@given(network=networks())
def test_round_trips_keep_the_bits(network):
    assert_same(interop.from_flax(interop.to_flax(network), network.activations), network)
    assert_same(interop.from_onnx(interop.to_onnx(network)), network)
    narrow = interop.to_onnx(network, dtype="float32")
    rounded = interop.from_onnx(narrow)
    assert_same(rounded, network.with_parameters(network.parameters.astype(np.float32)))
    # Numbers that came from float32 go back without rounding.
    assert interop.to_onnx(rounded, dtype="float32") == narrow


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_onnx_computes_the_same(activation, dtype):
    from onnx.reference import ReferenceEvaluator

    network = mixed(2, (activation, activation))
    model = interop.to_onnx(network, dtype=dtype)
    (found,) = ReferenceEvaluator(model).run(None, {"y": Y.astype(dtype)})
    assert found.dtype == dtype
    # The reference computes erf in float32 for any input.
    accuracy = 1e-12 if dtype == "float64" and activation not in ("erf", "gelu") else 2e-6
    np.testing.assert_allclose(found, network(Y), rtol=accuracy, atol=accuracy)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_equinox_computes_the_same_and_keeps_the_bits():
    network = mixed(3, ACTIVATIONS)
    module = interop.to_equinox(network)
    np.testing.assert_allclose(jax.jit(jax.vmap(module))(Y), network(Y), rtol=1e-12, atol=1e-12)
    assert_same(interop.from_equinox(module), network)


@pytest.mark.slow
def test_equinox_in_single_precision():
    network = mixed(3, ACTIVATIONS)
    module = interop.to_equinox(network, dtype="float32")
    np.testing.assert_allclose(jax.jit(jax.vmap(module))(Y.astype(np.float32)), network(Y), rtol=4e-6, atol=4e-6)
    rounded = interop.from_equinox(module)
    assert_same(rounded, network.with_parameters(network.parameters.astype(np.float32)))
    assert_same(interop.from_equinox(interop.to_equinox(rounded, dtype="float32")), rounded)
    if not jax.config.jax_enable_x64:
        with pytest.raises(InputError, match=r"would round the weights.*jax_enable_x64"):
            interop.to_equinox(network)


def drawn(kind, *args, **options):
    """A module of Equinox with weights of NumPy: its own draws would have to be compiled."""
    rng = np.random.default_rng(1)
    shapes = equinox.filter_eval_shape(partial(kind, **options), *args, key=jax.random.PRNGKey(1))

    def fill(leaf):
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        return jax.numpy.asarray(rng.normal(size=leaf.shape).astype(leaf.dtype)) if is_shape else leaf

    return jax.tree_util.tree_map(fill, shapes)


@pytest.mark.slow
def test_perceptrons_of_equinox():
    def build(**options):
        return drawn(partial(equinox.nn.MLP, width_size=4, depth=2), 2, 2, **options)

    for activation, name in [
        (jax.numpy.tanh, "tanh"),
        (jax.nn.relu, "relu"),
        (partial(jax.nn.gelu, approximate=False), "gelu"),
        (lambda x: jax.numpy.sin(x), "sin"),
    ]:
        module = build(activation=activation, final_activation=jax.nn.sigmoid)
        network = interop.from_equinox(module)
        assert network.activations == (name, name, "sigmoid")
    np.testing.assert_allclose(network(Y), jax.jit(jax.vmap(module))(Y.astype(np.float32)), rtol=4e-6, atol=4e-6)
    without = interop.from_equinox(build(use_bias=False, use_final_bias=False))
    assert not any(b.any() for b in without.biases)
    np.testing.assert_array_equal(network.weights[0], np.asarray(module.layers[0].weight))


@pytest.mark.slow
def test_parts_of_equinox_that_have_no_place():
    linear = drawn(equinox.nn.Linear, 2, 2)

    def refused(*parts, match):
        with pytest.raises(InputError, match=match):
            interop.from_equinox(equinox.nn.Sequential(parts))

    refused(linear, equinox.nn.Dropout(0.5), match=r"Dropout \(1\) cannot be represented.*leave it out")
    refused(linear, equinox.nn.LayerNorm(2), match=r"LayerNorm \(1\).*mixes neurons")
    refused(drawn(equinox.nn.Conv1d, 1, 1, 1), match="Conv1d.*matrix of one Linear")
    refused(linear, equinox.nn.PReLU(), match="PReLU")
    refused(linear, equinox.nn.Lambda(jax.nn.gelu), match=r"gelu.*approximate=False \(JAX\)")
    refused(linear, equinox.nn.Lambda(jax.nn.silu), match="none of the activations identity, tanh")
    refused(linear, equinox.nn.Lambda(jax.nn.softmax), match=r"softmax.*network in front of it")
    refused(equinox.nn.Lambda(jax.nn.relu), linear, match="before the first linear layer")
    refused(linear, *[equinox.nn.Lambda(jax.numpy.tanh)] * 2, match="follows the activation tanh")
    refused(match="no linear layer")
    with pytest.raises(InputTypeError, match="got float"):
        interop.from_equinox(1.0)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@pytest.mark.parametrize(
    "function",
    [
        elu,
        lambda x: np.where(x > 0, x, 0.01 * x),
        lambda x: np.minimum(np.maximum(x, 0), 6),
        lambda x: np.clip(x, -1, 1),
        lambda x: np.log1p(np.exp(2 * x)) / 2,
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        lambda x: np.sin(1.01 * x),
        lambda x: np.tanh(x) + 1e-6,
        lambda x: np.where(np.abs(x) > 40.9, 0, x),
        lambda x: x[:3],
        lambda x: x @ 1,
    ],
)
def test_other_functions_are_no_activations(function):
    with pytest.raises(InputError, match="f cannot be represented"):
        need_known(function, "f")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_recognised(name):
    assert need_known(lambda x: values_of(name, x), "f") == name
    assert need_known(lambda x: values_of(name, x).astype(np.float32), "f", "float32") == name


# ---- Flax


def test_parameter_trees():
    network = mixed()
    tree = interop.to_flax(network)["params"]
    assert tree["Dense_0"]["kernel"].shape == (2, 3)
    names = {f"linear{i}": tree[f"Dense_{i}"] for i in (2, 0, 3, 1)}
    assert_same(interop.from_flax(names, network.activations), network)
    without = interop.from_flax({"Dense_0": {"kernel": np.ones((2, 1))}}, "tanh")
    np.testing.assert_array_equal(without.biases[0], [0.0])
    with pytest.raises(InputError, match=r"parameters: 'LayerNorm_0\.scale' is neither"):
        interop.from_flax({"LayerNorm_0": {"scale": np.ones(2)}}, "tanh")
    with pytest.raises(InputTypeError, match="nested mapping"):
        interop.from_flax([1.0], "tanh")


def test_flax_computes_the_same():
    linen = pytest.importorskip("flax.linen")

    class Perceptron(linen.Module):
        @linen.compact
        def __call__(self, y):
            for width in (4, 4):
                y = linen.gelu(linen.Dense(width)(y), approximate=False)
            return linen.Dense(2)(y)

    module = Perceptron()
    parameters = module.init(jax.random.PRNGKey(1), Y.astype(np.float32))
    network = interop.from_flax(parameters, "gelu")
    expected = module.apply(parameters, Y.astype(np.float32))
    np.testing.assert_allclose(network(Y), expected, rtol=4e-6, atol=4e-6)
    again = interop.to_flax(network, dtype="float32")
    np.testing.assert_array_equal(module.apply(again, Y.astype(np.float32)), expected)


# ---- safetensors


def test_safetensors(tmp_path):
    pytest.importorskip("safetensors")
    from safetensors.numpy import load_file, save_file

    network, file = mixed(), tmp_path / "network.safetensors"
    interop.to_safetensors(network, file)
    assert_same(interop.from_safetensors(file), network)
    assert sorted(load_file(file)) == sorted(f"{i}.{part}" for i in (0, 2, 4, 6) for part in ("weight", "bias"))
    interop.to_safetensors(mixed(1, ("identity", "sin")), file)
    assert sorted(load_file(file)) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    interop.to_safetensors(network, file, dtype="float32")
    assert load_file(file)["0.weight"].dtype == np.float32
    assert interop.from_safetensors(file, "tanh").activations == ("tanh",) * 3 + ("identity",)
    save_file({"0.weight": np.ones((1, 1))}, file)
    with pytest.raises(InputError, match="activation must be given"):
        interop.from_safetensors(file)
    save_file({"0.weight": np.ones((1, 1))}, file, metadata={"nnqm.activations": "tanh"})
    with pytest.raises(InputError, match="must be a list of names; give activation"):
        interop.from_safetensors(file)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        interop.from_safetensors(file)
    with pytest.raises(InputError, match="does not exist"):
        interop.from_safetensors(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        interop.to_safetensors(network, tmp_path / "network.bin")
    with pytest.raises(InputError, match=r"folder .*none does not exist; create it first"):
        interop.to_safetensors(network, tmp_path / "none" / "a.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        interop.to_safetensors(network, tmp_path / "folder.safetensors")


# ---- ONNX


def model_of(nodes, tensors, inputs=("y",), last="x"):
    from onnx import TensorProto, helper, numpy_helper

    def info(name):
        return helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)

    graph = helper.make_graph(
        nodes,
        "g",
        [info(name) for name in inputs],
        [info(last)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_other_forms_of_onnx(tmp_path):
    from onnx import helper, numpy_helper

    node = helper.make_node
    weights, bias = np.arange(6.0).reshape(2, 3), np.array([[1.0, -1.0, 0.5]])
    model = model_of(
        [
            node("Constant", [], ["w"], value=numpy_helper.from_array(weights)),
            node("Identity", ["y"], ["a"]),
            node("MatMul", ["a", "w"], ["b"]),
            node("Add", ["c", "b"], ["d"]),
            node("Tanh", ["d"], ["e"]),
            node("Gemm", ["e", "v"], ["x"]),
        ],
        {"c": bias, "v": np.ones((3, 1))},
    )
    network = interop.from_onnx(model)
    np.testing.assert_allclose(network(Y), np.tanh(Y @ weights + bias).sum(axis=1, keepdims=True), rtol=1e-14)
    onnx.save(model, tmp_path / "model.onnx")
    assert_same(interop.from_onnx(tmp_path / "model.onnx"), network)
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match="ONNX"):
        interop.from_onnx(tmp_path / "model.onnx")
    with pytest.raises(InputError, match="does not exist"):
        interop.from_onnx(tmp_path / "other.onnx")
    with pytest.raises(InputTypeError, match="ModelProto or a file"):
        interop.from_onnx(1.0)


def test_nodes_that_have_no_place():
    from onnx import helper

    node, w, b = helper.make_node, np.eye(2), np.ones(2)
    linear = node("Gemm", ["y", "w"], ["h"])

    def refused(nodes, match, tensors=(), **options):
        with pytest.raises(InputError, match=match):
            interop.from_onnx(model_of(nodes, {"w": w, **dict(tensors)}, **options))

    refused([linear, node("Softmax", ["h"], ["x"])], "Softmax.*network in front")
    refused([linear, node("Dropout", ["h"], ["x"])], "Dropout.*leave it out")
    refused([linear, node("LeakyRelu", ["h"], ["x"])], "LeakyRelu.*neither a linear map")
    refused([linear, node("Gelu", ["h"], ["x"], approximate="tanh")], "tanh approximation.*approximate='none'")
    refused([node("Gemm", ["y", "w"], ["x"], alpha=2.0)], "alpha and beta must be 1")
    refused([node("Gemm", ["w", "y"], ["x"])], "first input")
    refused([node("Gemm", ["y", "w"], ["x"], transA=1)], "transposes")
    refused([node("Gemm", ["y", "y"], ["x"])], "no chain|no constants")
    refused([linear, node("Mul", ["h", "h"], ["x"])], "no chain")
    refused([linear, node("Tanh", ["h"], ["a"]), node("Add", ["a", "b"], ["x"])], "directly after", {"b": b})
    refused([node("Gemm", ["y", "w", "b"], ["h"]), node("Add", ["h", "b"], ["x"])], "biases already", {"b": b})
    # A column would be added along the points.
    refused([node("Gemm", ["y", "w", "b"], ["x"])], r"shape \(2, 1\), which is no row", {"b": b[:, None]})
    refused([linear, node("Add", ["h", "b"], ["x"])], r"shape \(2, 1\), which is no row", {"b": b[:, None]})
    refused([linear, node("Tanh", ["h"], ["x"], domain="mine")], "Tanh.*an operator of mine, not of ONNX")
    refused([linear, node("Sigmoid", ["h"], ["s"]), node("Mul", ["h", "s"], ["x"])], "no chain: Sigmoid, Mul follows")
    refused([linear], "one input and one output", inputs=("y", "z"), last="h")
    with pytest.raises(InputTypeError, match="float32 or float64; got int64"):
        interop.from_onnx(model_of([linear], {"w": np.eye(2, dtype=np.int64)}, last="h"))


# ---- what every one of them refuses


def test_faulty_networks_are_refused(monkeypatch, tmp_path):
    with pytest.raises(InputTypeError, match=r"got RandomNetwork.*nnqm\.draw_weights"):
        interop.to_flax(nnqm.RandomNetwork((1, 4, 1), group=8))
    with pytest.raises(InputError, match="dtype 'float16' is unknown"):
        interop.to_flax(mixed(), dtype="float16")
    with pytest.raises(InputError, match="float32 does not have"):
        interop.to_onnx(nnqm.Network([[[1e39]]]), dtype="float32")
    for package, call in {
        "onnx": lambda: interop.to_onnx(mixed()),
        "equinox": lambda: interop.to_equinox(mixed()),
        "safetensors": lambda: interop.to_safetensors(mixed(), tmp_path / "a.safetensors"),
    }.items():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=f"pip install {package}"):
            call()
