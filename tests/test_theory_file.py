"""Theory files: what they mean, and what is said of those that mean nothing."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import nnqm
from nnqm.errors import InputError, InputTypeError
from nnqm.files.theory_file import load_theory_file

EXAMPLES = Path(__file__).parents[1] / "examples"
SOURCE = '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 1.0\n'


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "theory.toml"
        path.write_text(text)
        return path

    return write


def message(path):
    with pytest.raises((ValueError, TypeError)) as caught:
        load_theory_file(path)
    assert type(caught.value) in (InputError, InputTypeError)
    assert isinstance(caught.value, InputError | InputTypeError)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "name", ["oscillator", "deep-tanh", "three-inputs", "random-tanh", "anharmonic", "double-well"]
)
def test_builtin_names_are_the_builtin_theories(name):
    file = load_theory_file(name)
    assert file.name == name
    assert file.theory == load_theory_file(name).theory == nnqm.builtin_theory(name)


def test_inline_weights_are_the_network(written):
    path = written(
        "hbar = 2.0\nmass = 3\n"
        '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = [1, 2.5]\nsigma = 0.5\n'
        '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 4.0\n'
        "[network]\nweights = [[[1.0, 2, 0], [0.5, 0.1, -1]], [[1.0, 3.0]]]\nbiases = [[0.0, 0.1], [2]]\n"
        'activation = ["sin", "tanh"]\n'
    )
    network = nnqm.Network([[[1, 2, 0], [0.5, 0.1, -1]], [[1, 3]]], [[0, 0.1], [2]], ["sin", "tanh"])
    sources = [nnqm.OrnsteinUhlenbeck([1, 2.5], [0.5, 0.5]), nnqm.OrnsteinUhlenbeck(4.0)]
    assert load_theory_file(path).theory == nnqm.Theory(sources, network, hbar=2, mass=3)


def test_weights_file_is_found_beside_the_theory(written, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {
        "weights_0": rng.normal(size=(4, 1)),
        "weights_1": rng.normal(size=(1, 4)),
        "biases_0": rng.normal(size=4),
    }
    np.savez(tmp_path / "net.npz", **arrays, biases_1=np.zeros(1))
    path = written(SOURCE + '[network]\nweights_file = "net.npz"\nactivation = "gelu"\n')
    monkeypatch.chdir("/")
    expected = nnqm.Network([arrays["weights_0"], arrays["weights_1"]], [arrays["biases_0"], [0]], "gelu")
    assert load_theory_file(path).theory.network == expected


def test_density_with_a_seed_is_the_random_network(written):
    path = written(
        SOURCE + '[network]\nwidths = [1, 5, 1]\ndensity = "normal"\nseed = 11\nweight_std = 2\nbias_std = 0.5\n'
    )
    expected = nnqm.Network.random((1, 5, 1), "tanh", rng=11, weight_std=2, bias_std=0.5)
    assert load_theory_file(path).theory.network == expected
    assert load_theory_file(path).theory.network != nnqm.Network.random(
        (1, 5, 1), "tanh", rng=12, weight_std=2, bias_std=0.5
    )


def test_run_settings_are_arguments_of_simulate(written):
    path = written(SOURCE + '[run]\npaths = 500\ntimes = 7\ndt = 0.5\nseed = 9\nthreads = 1\nprecision = "float64"\n')
    file = load_theory_file(path)
    expected = nnqm.simulate(file.theory, 500, 7, 0.5, rng=9, n_threads=1, precision="float64")
    assert nnqm.simulate(file.theory, **file.run) == expected


def test_step_follows_the_fastest_rate_unless_the_file_says_otherwise(written):
    path = written('[[source]]\nkind = "ornstein-uhlenbeck"\nomega = [1.0, 4.0]\n')
    assert load_theory_file(path).run == {
        "n_paths": 200_000, "n_times": 256, "dt": 0.05, "rng": 1, "n_threads": 0, "precision": "float32",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.stem)
def test_examples_load_and_run(path):
    file = load_theory_file(path)
    run = nnqm.simulate(file.theory, **{**file.run, "n_paths": 256, "n_times": 16})
    assert np.isfinite(run.two_point().value).all()


NETWORK = SOURCE + "[network]\n"
RANDOM = SOURCE + "[random_network]\n"
BAD = {
    "not TOML": ("hbar = = 1\n", "not valid TOML.*line 1"),
    "nested": ("a = " + "[" * 100_000, "not valid TOML"),
    "no source": ("hbar = 1.0\n", "source is missing"),
    "source is a table": (SOURCE.replace("[[source]]", "[source]"), r"write \[\[source\]\]"),
    "source is a number": ("source = 3\n", "source must be an array of tables; got 3"),
    "unknown key": ("hbarr = 1.0\n" + SOURCE, "hbarr is unknown.*did you mean 'hbar'"),
    "key in the wrong table": (SOURCE + "hbar = 1.0\n", r"source\[0\].hbar is unknown.*belongs to the top"),
    "unknown source key": (SOURCE + "omeega = 2\n", "omeega is unknown.*did you mean 'omega'"),
    "unknown network key": (NETWORK + "weigths = []\n", "network.weigths is unknown.*did you mean 'weights'"),
    "unknown run key": (SOURCE + "[run]\npath = 3\n", "run.path is unknown.*did you mean 'paths'"),
    "run is a number": ("run = 3\n" + SOURCE, "run must be a table; got 3"),
    "kind missing": ("[[source]]\nomega = 1.0\n", r"source\[0\].kind is missing"),
    "kind unknown": (SOURCE.replace("uhlenbeck", "ulenbeck"), "did you mean 'ornstein-uhlenbeck'"),
    "omega missing": ('[[source]]\nkind = "ornstein-uhlenbeck"\n', r"source\[0\].omega is missing"),
    "omega negative": (SOURCE.replace("1.0", "-1.0"), r"source\[0\].omega must be positive.*-1"),
    "omega zero in a list": (SOURCE.replace("1.0", "[1, 0]"), r"source\[0\].omega\[1\]=0"),
    "omega nan": (SOURCE.replace("1.0", "nan"), r"source\[0\].omega must be finite"),
    "omega a string": (SOURCE.replace("1.0", '"1.0"'), r"source\[0\].omega must be a number; got '1.0'"),
    "omega a boolean": (SOURCE.replace("1.0", "true"), r"source\[0\].omega must be a number; got True"),
    "omega too large": (SOURCE.replace("1.0", "1" + "0" * 400), r"source\[0\].omega must be a double-precision"),
    "lengths differ": (SOURCE.replace("1.0", "[1, 2]") + "sigma = [1, 2, 3]\n", r"source\[0\].*same length"),
    "mass": ("mass = 0\n" + SOURCE, "mass must be positive; got mass=0"),
    "hbar": ("hbar = nan\n" + SOURCE, "hbar must be finite; got nan"),
    "network empty": (NETWORK, "exactly one of weights, weights_file and widths"),
    "two forms": (NETWORK + "weights = [[[1.0]]]\nwidths = [1, 1]\n", "got weights and widths; keep one"),
    "seed with weights": (NETWORK + "weights = [[[1.0]]]\nseed = 1\n", "network.seed goes with network.widths"),
    "weights not nested": (NETWORK + "weights = [1.0]\n", r"network.weights\[0\] must be an array of rows"),
    "ragged": (NETWORK + "weights = [[[1.0], [1.0, 2.0]]]\n", r"network.weights\[0\].*row 1 has 2 entries"),
    "do not chain": (NETWORK + "weights = [[[1.0], [2.0]], [[1.0]]]\n", r"weights\[1\] takes 1 inputs"),
    "weight not finite": (NETWORK + "weights = [[[inf]]]\n", r"network.weights\[0\]\[0\]\[0\] must be finite"),
    "inputs": (NETWORK + "weights = [[[1.0, 2.0]]]\n", "network takes 2 inputs, but the sources give 1"),
    "biases": (NETWORK + "weights = [[[1.0]]]\nbiases = [[1.0, 2.0]]\n", r"biases\[0\] must have shape \(1,\)"),
    "activation": (NETWORK + 'weights = [[[1.0]]]\nactivation = "tahn"\n', "did you mean 'tanh'"),
    "activations": (NETWORK + 'weights = [[[1.0]]]\nactivation = ["tanh", "sin"]\n', "one per layer, 1; got 2"),
    "activation a number": (NETWORK + "weights = [[[1.0]]]\nactivation = 3\n", "activation must be a string; got 3"),
    "density missing": (NETWORK + "widths = [1, 1]\nseed = 1\n", "density is missing"),
    "density unknown": (NETWORK + 'widths = [1, 1]\ndensity = "norml"\nseed = 1\n', "did you mean 'normal'"),
    "seed missing": (NETWORK + 'widths = [1, 1]\ndensity = "normal"\n', "seed is missing; the weights define"),
    "seed negative": (NETWORK + 'widths = [1, 1]\ndensity = "normal"\nseed = -1\n', "seed must be at least 0"),
    "widths": (NETWORK + 'widths = [1, 0, 1]\ndensity = "normal"\nseed = 1\n', r"widths\[1\] must be at least 1"),
    "widths huge": (NETWORK + 'widths = [1, 10000000, 1000, 1]\ndensity = "normal"\nseed = 1\n', "at most 16777216"),
    "file missing": (NETWORK + 'weights_file = "no.npz"\n', "weights_file: file .*no.npz does not exist"),
    "two networks": (NETWORK + "weights = [[[1.0]]]\n[random_network]\nwidths = [1, 1]\n", "keep one"),
    "random widths": (RANDOM, "random_network.widths is missing"),
    "random density": (RANDOM + 'widths = [1, 4, 1]\nweights = "laplas"\n', "did you mean 'laplace'"),
    "random nu": (RANDOM + 'widths = [1, 4, 1]\nweights = "student-t"\n', "random_network: nu must be given"),
    "random table": (RANDOM + "widths = [1, 4, 1]\nbiases = { nu = 3.0 }\n", "biases.name is missing"),
    "random number": (RANDOM + "widths = [1, 4, 1]\nweight_std = true\n", "weight_std must be a number; got True"),
    "random group": (RANDOM + "widths = [1, 4, 1]\ngroup = 10\n", "group must be a divisor of 64"),
    "random shared": (RANDOM + "widths = [1, 4, 1]\nshared = [1, 0]\n", r"shared\[0\] must be true or false; got 1"),
    "beta": (SOURCE + "beta = 0.0\n", r"source\[0\].beta must be positive"),
    "reflected": ('[[source]]\nkind = "times"\nreflected = 1\n', "reflected must be true or false; got 1"),
    "paths": (SOURCE + "[run]\npaths = 1e5\n", "run.paths must be an integer; got 100000.0"),
    "dt": (SOURCE + "[run]\ndt = 0\n", "run.dt must be positive"),
    "precision": (SOURCE + '[run]\nprecision = "float16"\n', "run.precision 'float16' is unknown"),
    "text without quotes": (
        SOURCE.replace('"', ""),
        "the line is 'kind = ornstein-uhlenbeck'; texts need",
    ),
    "fraction": (SOURCE.replace("1.0", "1/2"), "the line is 'omega = 1/2'.*fractions are not evaluated"),
    "colon": (SOURCE.replace("omega =", "omega:"), "the line is 'omega: 1.0'; write key = value"),
    "key twice": (SOURCE + "omega = 2.0\n", r"the line is 'omega = 2.0'; .*its own \[\[source\]\]"),
    "key of the paper": (SOURCE.replace("omega", "theta"), "known are kind, omega, sigma, beta; did you mean 'omega'"),
    "kind in short": (SOURCE.replace("ornstein-uhlenbeck", "OU"), "did you mean 'ornstein-uhlenbeck'"),
    "kind is a theory": (SOURCE.replace("ornstein-uhlenbeck", "double-well"), "nnqm run double-well needs no file"),
    "capital letters": (NETWORK + 'weights = [[[1.0]]]\nactivation = "ReLU"\n', "did you mean 'relu'"),
    "normal": (RANDOM + 'widths = [1, 4, 1]\nweights = "normal"\n', "did you mean 'gaussian'"),
    "layers": (NETWORK + "layers = [1, 4, 1]\n", "did you mean 'widths'"),
    "whole number as a float": (SOURCE + "[run]\npaths = 1e6\n", "write it as 1000000$"),
    "weights without rows": (NETWORK + "weights = [[1.5], [-0.5]]\n", r"network.weights\[0\] is a matrix of rows"),
    "potential in words": (
        '[[source]]\nkind = "ground-state"\npotential = "x^2/2 + x^4"\n',
        r"x\^2/2 \+ x\^4 is potential = \[0.0, 0.0, 0.5, 0.0, 1.0\]",
    ),
}


@pytest.mark.slow
def test_random_networks_closed_paths_and_networks_in_time(written):
    text = (
        '[[source]]\nkind = "times"\nreflected = true\n[random_network]\nwidths = [1, 6, 1]\nactivation = "erf"\n'
        'weights = [{ name = "student-t", nu = 5.0 }, "uniform"]\nweight_std = [1.0, 0.5]\nbias_std = 0.3\n'
        "shared = [true, false]\n[run]\ntimes = 9\ndt = 0.25\npaths = 256\n"
    )
    file = load_theory_file(written(text))
    densities = [nnqm.Density("student-t", 5), "uniform"]
    network = nnqm.RandomNetwork(
        (1, 6, 1), "erf", weights=densities, weight_std=[1.0, 0.5], bias_std=0.3, shared=[True, False]
    )
    assert file.theory == nnqm.Theory(nnqm.Times(reflected=True), network)
    np.testing.assert_allclose(nnqm.simulate(file.theory, **file.run).times, np.arange(-4, 5) * 0.25)
    closed = load_theory_file(written(SOURCE + "beta = 3.0\n[run]\npaths = 256\n"))
    assert closed.theory == nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.0))
    assert closed.run["n_times"] * closed.run["dt"] == pytest.approx(3.0)
    assert nnqm.simulate(closed.theory, **closed.run).n_times == closed.run["n_times"]
    well = load_theory_file(written('[[source]]\nkind = "ground-state"\npotential = [0, 0, 0.5]\nbeta = 2.0\n')).theory
    assert well == nnqm.Theory(nnqm.ThermalProcess(nnqm.Hamiltonian([0, 0, 0.5]), 2.0))
    grouped = load_theory_file(written(SOURCE + "[random_network]\nwidths = [1, 4, 1]\ngroup = 384\n"))
    assert grouped.run["n_paths"] % 384 == 0


@pytest.mark.parametrize("case", BAD, ids=str)
def test_what_is_wrong_is_said(case, written):
    text, expected = BAD[case]
    assert re.search(expected, message(written(text)))


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"neither a file nor a built-in name.*did you mean 'oscillator'"):
        load_theory_file("oscilator")


def test_folder_and_binary_file_are_not_theories(tmp_path):
    assert "cannot be read" in message(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in message(tmp_path / "binary.toml")


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("kind", ["pickle", "object array", "single array", "zip of pickles", "text"])
def test_weights_are_never_unpickled(kind, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.npz"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "object array":
        np.savez(path, weights_0=np.array([Bomb()], dtype=object))
    elif kind == "single array":
        with path.open("wb") as stream:
            np.save(stream, np.ones((1, 1)))
    elif kind == "zip of pickles":
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights_0.npy", pickle.dumps(Bomb()))
    else:
        path.write_text("weights")
    assert "network.weights_file" in message(written(NETWORK + 'weights_file = "net.npz"\n'))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"weights_1": [[1.0]]}, "'weights_1' is unknown"),
        ({"weights_0": [[1.0]], "bias_0": [1.0]}, "'bias_0' is unknown"),
        ({"weights_0": [[1.0]], "weights_1": [[1.0]], "biases_1": [1.0]}, "'biases_0' is missing"),
        ({"weights_0": [["1.0"]]}, "must contain real numbers"),
        ({"weights_0": [1.0]}, "weights_0 must have 2 axes"),
        ({"weights_0": [[np.nan]]}, "weights_0 must be finite"),
        ({}, "contains no arrays"),
    ],
)
def test_arrays_of_a_weights_file_are_checked(arrays, expected, written, tmp_path):
    np.savez(tmp_path / "net.npz", **{k: np.array(v) for k, v in arrays.items()})
    assert expected in message(written(NETWORK + 'weights_file = "net.npz"\n'))


def test_an_internal_error_is_not_taken_for_bad_input(written, monkeypatch):
    def broken(*_, **__):
        return np.zeros(2) + np.zeros(3)

    monkeypatch.setattr("nnqm.files.theory_file.Theory", broken)
    with pytest.raises(ValueError, match="broadcast") as caught:
        load_theory_file(written(SOURCE))
    assert not isinstance(caught.value, InputError)
    assert "theory.toml" not in str(caught.value)


def test_an_error_of_numpy_inside_the_package_is_not_its_own():
    with pytest.raises(ValueError, match="replicas") as own:
        nnqm.Estimate(1.0, [1.0], [1.0, 1.0])
    assert isinstance(own.value, InputError)
    with pytest.raises(ValueError, match="could not convert") as numpys:
        nnqm.Estimate("one", [1.0], [1.0, 1.0])
    assert not isinstance(numpys.value, InputError)
