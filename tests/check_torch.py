"""Gradients and networks against PyTorch. Run by hand, in an environment of its own: see CONTRIBUTING.md.

PyTorch is not among the requirements of the tests, because its wheels are gigabytes. Without it this program says so
and ends without an error.
"""

import pickle
import sys
import tempfile
from itertools import product

import numpy as np
import pytest

import nnqm
from nnqm import interop
from nnqm.errors import InputError, InputTypeError
from nnqm.learning.differentiate import differentiate
from nnqm.learning.frameworks import torch_observable
from nnqm.learning.observables import Commutator, Moments, NPoint, SpectralWeights, TwoPoint

ACTIVATIONS = ("identity", "tanh", "relu", "sin", "cos", "erf", "gelu", "sigmoid", "softplus")


def of_torch(torch, network, y, u, v, w):
    """Gradient of sum u f + v f' + w f'' by automatic differentiation, in weights and biases and in y."""
    functions = {"identity": lambda z: z, "softplus": torch.nn.functional.softplus, "gelu": torch.nn.functional.gelu}
    layers = [
        (torch.tensor(m, requires_grad=True), torch.tensor(b, requires_grad=True))
        for m, b in zip(network.weights, network.biases, strict=True)
    ]
    points = torch.tensor(y, requires_grad=True)

    def f(one):
        h = one
        for (m, b), name in zip(layers, network.activations, strict=True):
            h = functions.get(name, getattr(torch, name, None))(m @ h + b)
        return h

    total = torch.zeros((), dtype=torch.float64)
    for q in range(len(y)):
        total = total + torch.tensor(u[q]) @ f(points[q])
        for i, c in product(range(y.shape[1]), range(u.shape[1])):

            def along(t, i=i, c=c, q=q):
                step = torch.zeros(y.shape[1], dtype=torch.float64)
                step[i] = 1.0
                return f(points[q] + t * step)[c]

            zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
            (first,) = torch.autograd.grad(along(zero), zero, create_graph=True)
            total = total + v[q, c, i] * first
            # An affine function has no second derivative in PyTorch.
            if first.requires_grad:
                (second,) = torch.autograd.grad(first, zero, create_graph=True, allow_unused=True)
                total = total + (0.0 if second is None else w[q, c, i] * second)
    tensors = [part for pair in layers for part in pair]
    found = torch.autograd.grad(total, [*tensors, points], allow_unused=True)
    arrays = [np.zeros(t.shape) if g is None else g.numpy() for g, t in zip(found, [*tensors, points], strict=True)]
    return np.concatenate([a.ravel() for a in arrays[:-1]]), arrays[-1]


def check_networks(torch):
    worst = 0.0
    for activation, depth, inputs in product(ACTIVATIONS, range(1, 5), range(1, 4)):
        rng = np.random.default_rng([depth, inputs])
        widths = (inputs, *[3] * depth, 2)
        network = nnqm.Network.random(widths, activation, rng=rng, bias_std=0.5)
        y, u = rng.normal(size=(3, inputs)), rng.normal(size=(3, 2))
        v, w = rng.normal(size=(2, 3, 2, inputs))
        for ours, theirs in zip(network.pullback(y, u, v, w), of_torch(torch, network, y, u, v, w), strict=True):
            error = np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())
            worst = max(worst, error)
            assert error < 1e-12, (activation, depth, inputs, error)
    print(f"networks: {len(ACTIVATIONS)} activations, depths 1 to 4, 1 to 3 inputs: largest error {worst:.1e}")


def check_observables(torch):
    inputs = nnqm.OrnsteinUhlenbeck([1.0, 1.7], [1.0, 0.8])
    for activation in ("tanh", "relu", "gelu"):
        network = nnqm.Network.random((2, 3, 1), activation, rng=2, bias_std=0.5)
        layers = [
            (torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True))
            for w, b in zip(network.weights, network.biases, strict=True)
        ]
        omega = torch.tensor([1.1, 1.6], dtype=torch.float64, requires_grad=True)
        observables = [TwoPoint([0.0, 0.5]), SpectralWeights([[1, 0], [1, 1]]), Moments([1, 2])]
        if activation != "relu":
            observables += [Commutator(), NPoint([[0.0, 0.3, 0.5]])]
        for observable in observables:
            exact = torch_observable(nnqm.Theory(inputs, network), observable)

            def flat(*tensors, exact=exact):
                return exact(list(zip(tensors[:-1:2], tensors[1:-1:2], strict=True)), omega=tensors[-1])

            tensors = [part for pair in layers for part in pair]
            assert torch.autograd.gradcheck(flat, (*tensors, omega), eps=1e-5, atol=1e-7, rtol=1e-6)
        value = exact(layers, omega=omega)
        # The second term alone would have a second derivative.
        (first,) = torch.autograd.grad(value.sum() + (omega**3).sum(), omega, create_graph=True)
        with pytest.raises(InputError, match="second derivatives"):
            torch.autograd.grad(first.sum(), omega)
    single = [(w.detach().float(), b.detach().float()) for w, b in layers]
    assert exact(single).dtype == torch.float32
    print("observables: gradcheck passes for layers and omega; second derivatives are refused")


def check_loss(torch):
    """A loss with a term of the user's own."""
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 4, 1), "tanh", rng=1))
    exact = torch_observable(theory, SpectralWeights(2))
    layer = [
        (torch.tensor(w, requires_grad=True), torch.tensor(b))
        for w, b in zip(theory.network.weights, theory.network.biases, strict=True)
    ]
    loss = (exact(layer) ** 2).sum() + (layer[0][0] ** 2).sum()
    loss.backward()
    d = differentiate(theory, [SpectralWeights(2)])
    expected = d.pullback([2 * d.values[0]])["network"][:4] + 2 * theory.network.weights[0].ravel()
    np.testing.assert_allclose(layer[0][0].grad.numpy().ravel(), expected, rtol=1e-12)
    print("losses: exact observables and other terms add up")


def module_activations(torch):
    """Modules of PyTorch whose functions are activations of nnqm, one for each."""
    return {
        "identity": torch.nn.Identity(),
        "tanh": torch.nn.Tanh(),
        "relu": torch.nn.ReLU(),
        "sigmoid": torch.nn.Sigmoid(),
        "gelu": torch.nn.GELU(),
        "softplus": torch.nn.Softplus(),
    }


def check_modules(torch):
    """Networks to and from torch.nn.Sequential: bits, values, files, and what is refused."""
    y = np.random.default_rng(1).normal(size=(3, 2))
    for activation, dtype in product(ACTIVATIONS, ("float64", "float32")):
        network = nnqm.Network.random((2, 4, 3, 2), activation, rng=3, bias_std=0.5)
        module = interop.to_torch(network, dtype=dtype)
        values = module(torch.tensor(y, dtype=getattr(torch, dtype))).detach().numpy()
        accuracy = 1e-12 if dtype == "float64" else 2e-6
        np.testing.assert_allclose(values, network(y), rtol=accuracy, atol=accuracy)
        back = interop.from_torch(module)
        assert back.activations == network.activations
        for ours, theirs in zip(network.weights + network.biases, back.weights + back.biases, strict=True):
            np.testing.assert_array_equal(ours.astype(dtype), theirs)
        again = interop.to_torch(back, dtype=dtype).state_dict()
        assert all(torch.equal(part, again[name]) for name, part in module.state_dict().items())
        # Modules can be pickled, as torch.save needs it.
        copy = pickle.loads(pickle.dumps(module))
        np.testing.assert_array_equal(copy(torch.tensor(y, dtype=getattr(torch, dtype))).detach(), values)
    for name, part in module_activations(torch).items():
        linear = torch.nn.Linear(2, 3, bias=False)
        module = torch.nn.Sequential(torch.nn.Sequential(linear, part), torch.nn.Linear(3, 1))
        network = interop.from_torch(module)
        assert network.activations == (name, "identity")
        assert not network.biases[0].any()
        np.testing.assert_allclose(network(y), module(torch.tensor(y).float()).detach(), rtol=2e-6, atol=2e-6)
    print(f"modules: {len(ACTIVATIONS)} activations in float64 and float32: bits, values, pickles")


def check_files(torch):
    try:
        from safetensors.torch import load_file
    except ImportError:
        print("safetensors is not installed: its files are NOT compared with PyTorch")
        return
    y = np.random.default_rng(1).normal(size=(3, 2))
    network = nnqm.Network.random((2, 4, 1), "sin", rng=3, bias_std=0.5)
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/network.safetensors"
        interop.to_safetensors(network, file)
        module = interop.to_torch(nnqm.Network.random((2, 4, 1), "sin", rng=4))
        module.load_state_dict(load_file(file))
    np.testing.assert_allclose(module(torch.tensor(y)).detach(), network(y), rtol=1e-12)
    print("safetensors: a module of PyTorch loads the file of a network")


def check_refusals(torch):
    nn = torch.nn
    refused = {
        nn.Dropout(0.5): "leave it out",
        nn.BatchNorm1d(3): "leave it out",
        nn.LayerNorm(3, elementwise_affine=False): "mixes neurons",
        nn.Softmax(dim=-1): "network in front of it",
        nn.Conv1d(1, 1, 1): "matrix of one Linear",
        nn.GELU(approximate="tanh"): "approximate='none'",
        nn.Softplus(beta=2): "multiply the weights",
        nn.PReLU(): "neither a Linear layer",
        nn.ELU(): "none of the activations",
        nn.LeakyReLU(): "none of the activations",
        nn.SiLU(): "none of the activations",
        nn.Hardtanh(): "none of the activations",
        nn.Embedding(3, 3): "neither a Linear layer",
    }
    for part, message in refused.items():
        with pytest.raises(InputError, match=rf"{type(part).__name__} \(1\) cannot be represented.*{message}"):
            interop.from_torch(nn.Sequential(nn.Linear(2, 3), part, nn.Linear(3, 1)))
    with pytest.raises(InputError, match="before the first linear layer"):
        interop.from_torch(nn.Sequential(nn.Tanh(), nn.Linear(3, 1)))
    with pytest.raises(InputTypeError, match="float32 or float64; got float16"):
        interop.from_torch(nn.Sequential(nn.Linear(2, 3).half()))
    print(f"modules: {len(refused)} parts are refused by name, with a remedy")


def main():
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: gradients are NOT compared with it (see CONTRIBUTING.md)")
        return 0
    print(f"PyTorch {torch.__version__}")
    torch.set_num_threads(1)
    check_networks(torch)
    check_observables(torch)
    check_loss(torch)
    check_modules(torch)
    check_files(torch)
    check_refusals(torch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
