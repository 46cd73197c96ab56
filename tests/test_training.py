"""Trained random networks: against a plain trainer in NumPy, their bits, their files, and descents that diverge."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import erf, expit

import nnqm
from nnqm import _core
from nnqm.cli import main
from nnqm.errors import InputError, InputTypeError

POINTS = np.array([-1.0, -0.3, 0.4, 1.2, 0.7])
TARGETS = np.array([0.5, -0.2, 0.1, 0.8, 0.3])


def normal_density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def normal_probability(z):
    return (1 + erf(z / np.sqrt(2))) / 2


# Values and slopes, written out independently of the core.
PLAIN = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda z: -np.sin(z)),
    "erf": (erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z)),
    "gelu": (lambda z: z * normal_probability(z), lambda z: normal_probability(z) + z * normal_density(z)),
    "sigmoid": (expit, lambda z: expit(z) * (1 - expit(z))),
    "softplus": (lambda z: np.logaddexp(0, z), expit),
}


def trained_plainly(network, start):
    """Parameters of one network after the training of the random network, by plain loops over steps and layers."""
    training, last = network.training, len(network.widths) - 2
    weights, biases = [w.copy() for w in start.weights], [b.copy() for b in start.biases]
    shared = network.shared or (False,) * (last + 1)
    split = network.shared is not None

    def run(y):
        values, sums = [y], []
        for w, b, name in zip(weights, biases, network.activations, strict=True):
            sums.append(values[-1] @ w.T + b)
            values.append(PLAIN[name][0](sums[-1]))
        return values, sums

    def gradients(y, pull):
        values, sums = run(y)
        found, delta = [], pull
        for i in range(last, -1, -1):
            delta = delta * PLAIN[network.activations[i]][1](sums[i])
            found.insert(0, (delta.T @ values[i], delta.sum(axis=0)))
            delta = delta @ weights[i]
        return found

    for _ in range(training.steps):
        zero = np.zeros((1, network.n_inputs))
        f = run(training.points)[0][-1]
        if split:
            f = f - run(zero)[0][-1] + biases[-1]
        pull = training.weights[:, None] * (f - training.targets)
        found = gradients(training.points, pull)
        if split:
            found = [
                (w - w0, b - b0)
                for (w, b), (w0, b0) in zip(found, gradients(zero, pull.sum(axis=0)[None]), strict=True)
            ]
        for i, (w, b) in enumerate(found):
            if (training.layers == "last" and i < last) or (split and shared[i]):
                continue
            ntk = training.parametrisation == "ntk"
            weights[i] -= training.rate * w * (network.weight_std[i] ** 2 / network.widths[i] if ntk else 1)
            if not (split and i == last):
                biases[i] -= training.rate * b * (network.bias_std[i] ** 2 if ntk else 1)
    return np.concatenate([part.ravel() for pair in zip(weights, biases, strict=True) for part in pair])


def parameters(network, n, key=7, **settings):
    return np.stack([net.parameters for net in network.draw(range(n), key, **settings)])


def assert_trained(network, n=3, **settings):
    starts = network.with_training(None).draw(range(n), 7, **settings)
    expected = np.stack([trained_plainly(network, start) for start in starts])
    np.testing.assert_allclose(parameters(network, n, **settings), expected, rtol=1e-12, atol=1e-12)
    if network.training.steps:
        assert np.abs(expected - np.stack([s.parameters for s in starts])).max() > 1e-3
    single = parameters(network, n, precision="float32", **settings)
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-4)


def descent(steps=7, rate=0.1, points=POINTS, targets=TARGETS, **options):
    return nnqm.GradientDescent(points, targets, rate, steps, **options)


def ensemble(training=None, widths=(1, 6, 1), activation="tanh", **options):
    spreads = {"weight_std": 1.5, "bias_std": 0.5, **options}
    return nnqm.RandomNetwork(widths, activation, training=training, **spreads)


@pytest.mark.parametrize("activation", sorted(PLAIN))
@pytest.mark.parametrize("parametrisation", ["ntk", "standard"])
def test_every_activation_is_trained_as_a_plain_loop_does(activation, parametrisation):
    rate = 0.01 if parametrisation == "ntk" else 0.002
    for widths in ((1, 5, 1), (1, 6, 9, 1)):
        assert_trained(ensemble(descent(rate=rate, parametrisation=parametrisation), widths, activation))


@pytest.mark.parametrize("widths", [(1, 1), (1, 4, 1), (2, 8, 3), (3, 5, 4, 2), (1, 3, 5, 7, 1), (1, 33, 1)])
@pytest.mark.parametrize("layers", ["all", "last"])
@pytest.mark.parametrize("n_points", [1, 4, 16, 18])
def test_shapes_and_data_weights(widths, layers, n_points):
    rng = np.random.default_rng(3)
    points, targets = rng.normal(size=(n_points, widths[0])), rng.normal(size=(n_points, widths[-1]))
    weights = rng.uniform(0, 0.3, n_points) + 0.1
    for steps in (0, 1, 7):
        training = descent(steps, 0.1, points, targets, weights=weights, layers=layers)
        assert_trained(ensemble(training, widths, "erf"), n=9)


def test_layers_without_spread_are_trained_in_the_standard_parametrisation_only():
    ntk = ensemble(descent(), (1, 5, 1), weight_std=[0.0, 1.0], bias_std=[1.0, 0.0])
    assert_trained(ntk)
    assert not parameters(ntk, 2)[:, :5].any()
    standard = ntk.with_training(descent(parametrisation="standard"))
    assert_trained(standard)
    assert parameters(standard, 2)[:, :5].any()


def test_an_activation_of_the_last_layer_is_trained():
    assert_trained(ensemble(descent(), (1, 5, 1), ["tanh", "tanh"]))
    assert_trained(ensemble(descent(), (1, 5, 1), ["sin", "sigmoid"]))


@pytest.mark.parametrize("density", ["uniform", "laplace", "rademacher", "cauchy"])
def test_every_density_is_trained(density):
    assert_trained(ensemble(descent(), weights=density))


# ---- Split networks.


def split(shared=(True, False, False), points=(0.0, 0.5, 1.0, 1.5), targets=(0.1, 0.5, 0.2, 0.4), **options):
    training = descent(20, 0.1, points, targets, **options)
    return ensemble(training, (1, 6, 5, 1), shared=shared)


@pytest.mark.parametrize("shared", [(True, False, False), (False, True, False), (False, False, True)])
def test_each_side_of_a_split_network_is_trained_by_itself(shared):
    network = split(shared)
    for negative in (False, True):
        assert_trained(network, negative=negative)
    drawn = network.with_training(None)
    at = np.cumsum([0, 12, 35, 6])
    for negative in (False, True):
        for i, is_shared in enumerate(shared):
            before, after = (parameters(n, 2, negative=negative)[:, at[i] : at[i + 1]] for n in (drawn, network))
            assert np.array_equal(before, after) == is_shared
    # The biases of the last layer are shared by both sides.
    assert np.array_equal(parameters(network, 2)[:, -1], parameters(drawn, 2)[:, -1])


def test_a_trained_split_network_passes_through_its_shared_value_and_learns():
    theory = nnqm.Theory(nnqm.Times(reflected=True), split())
    times = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    paths = nnqm.sample_paths(theory, 200, times=times, rng=1, precision="float64")[:, :, 0]
    ends = np.array([n.biases[-1][0] for n in nnqm.draw_weights(theory, 200, rng=1)])
    np.testing.assert_allclose(paths[:, 2], ends, rtol=0, atol=1e-14)
    untrained = nnqm.Theory(theory.sources, theory.network.with_training(None))
    before = nnqm.sample_paths(untrained, 200, times=times, rng=1, precision="float64")[:, :, 0]
    aim = np.array([0.2, 0.5, 0.1, 0.5, 0.2])
    assert ((paths - aim) ** 2).mean() < 0.5 * ((before - aim) ** 2).mean()


# ---- Bits.


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bits_do_not_depend_on_threads_ranges_or_groups(precision):
    training = descent()
    single = ensemble(training, (1, 6, 5, 1))
    whole = parameters(single, 150, precision=precision, n_threads=1)
    assert np.array_equal(whole, parameters(single, 150, precision=precision, n_threads=2))
    for start, stop in ((1, 4), (37, 120), (149, 150)):
        part = np.stack([n.parameters for n in single.draw(range(start, stop), 7, precision=precision)])
        assert np.array_equal(part, whole[start:stop])
    y = np.linspace(-2, 2, 5).astype(precision)[None, :, None]
    outputs = {}
    for group in (1, 2, 8, 32, 64, 192):
        network = ensemble(training, (1, 6, 5, 1), group=group)
        x = nnqm.apply(network, np.repeat(y, 3 * group, axis=0), key=7)
        assert np.array_equal(x, nnqm.apply(network, np.repeat(y, 3 * group, axis=0), key=7, n_threads=1))
        outputs[group] = x[::group]
        assert np.array_equal(x, np.repeat(outputs[group], group, axis=0))
        assert np.array_equal(outputs[group], outputs[1])
        one = nnqm.apply(network, np.repeat(y, 2, axis=0), key=7, first_path=2 * group - 1)
        assert np.array_equal(one, outputs[1][1:3])
    for network, x in zip(single.draw(range(3), 7, precision=precision), outputs[1], strict=True):
        np.testing.assert_allclose(network(y[0]), x, rtol=0, atol=1e-5 if precision == "float32" else 1e-13)


@pytest.mark.parametrize("split_at_zero", [False, True])
def test_no_steps_are_the_untrained_run(split_at_zero):
    network = split() if split_at_zero else ensemble(descent(), group=8)
    source = nnqm.Times(reflected=True) if split_at_zero else nnqm.OrnsteinUhlenbeck(1.0)
    drawn, at_start, after = (
        nnqm.simulate(nnqm.Theory(source, n), 640, 8, 0.3, rng=2)
        for n in (network.with_training(None), network.with_training(network.training.at(0)), network)
    )
    for name, array in drawn.sums.items():
        assert np.array_equal(array, at_start.sums[name])
    assert any(not np.array_equal(array, after.sums[name]) for name, array in drawn.sums.items())


@pytest.fixture(scope="module")
def trained_run():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), ensemble(descent(), group=8))
    return nnqm.simulate(theory, 1280, 16, 0.2, rng=5, n_blocks=4, n_threads=1)


def same_sums(a, b):
    return all(np.array_equal(array, b.sums[name]) for name, array in a.sums.items())


@pytest.mark.slow
def test_extended_merged_and_threaded_runs_have_the_same_bits(trained_run):
    theory, settings = trained_run.theory, {"rng": 5, "n_blocks": 4}
    assert same_sums(trained_run, nnqm.simulate(theory, 1280, 16, 0.2, n_threads=2, **settings))
    short = nnqm.simulate(theory, 512, 16, 0.2, **settings)
    assert same_sums(trained_run, nnqm.extend(short, 1280))
    parts = [nnqm.simulate(theory, 1280, 16, 0.2, blocks=range(b, b + 2), **settings) for b in (0, 2)]
    assert same_sums(trained_run, nnqm.merge(parts))


@pytest.mark.slow
def test_saved_runs_contain_the_training(trained_run, tmp_path):
    nnqm.save(trained_run, tmp_path / "run.nc")
    again = nnqm.load(tmp_path / "run.nc")
    assert again.theory == trained_run.theory
    assert again.theory.network.training == descent()
    assert same_sums(nnqm.extend(again, 1600), nnqm.extend(trained_run, 1600))


THEORY_FILE = """
[[source]]
kind = "ornstein-uhlenbeck"
omega = 1.0

[random_network]
widths = [1, 6, 1]
weight_std = 1.5
bias_std = 0.5
group = 8

[random_network.training]
points = [-1.0, -0.3, 0.4, 1.2, 0.7]
targets = [[0.5], [-0.2], [0.1], [0.8], [0.3]]
rate = 0.1
steps = 7

[run]
paths = 256
times = 8
dt = 0.2
seed = 5
"""


@pytest.mark.slow
def test_a_theory_file_and_the_command_line_give_the_same_bits(trained_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "trained.toml"
    path.write_text(THEORY_FILE)
    file = nnqm.load_theory_file(path)
    assert file.theory == trained_run.theory
    with pytest.raises(SystemExit) as done:
        main(["run", str(path), "--no-figure", "--output", str(tmp_path / "run.nc")])
    assert done.value.code == 0
    assert "7 steps on 5 points" in capsys.readouterr().out
    expected = nnqm.simulate(file.theory, **file.run)
    assert same_sums(nnqm.load(tmp_path / "run.nc"), expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rate = 0.1", "key training.rate is missing"),
        ("points = [-1.0, -0.3, 0.4, 1.2, 0.7]", "key training.points is missing"),
    ],
)
def test_a_theory_file_names_missing_keys_of_the_training(line, message, tmp_path):
    path = tmp_path / "trained.toml"
    path.write_text(THEORY_FILE.replace(line, ""))
    with pytest.raises(InputError, match=message):
        nnqm.load_theory_file(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rate = 0.1", "rate = -0.1", "training: rate must be positive"),
        ("steps = 7", "steps = -1", "training.steps must be at least 0"),
        ("steps = 7", "steps = 7\nstep = 2", "key training.step is unknown"),
        ("steps = 7", 'steps = 7\nlayers = "first"', "training.layers"),
        ("[0.5], ", "", "targets must have one row per point, 5; got 4"),
    ],
)
def test_a_theory_file_names_wrong_keys_of_the_training(old, new, message, tmp_path):
    path = tmp_path / "trained.toml"
    path.write_text(THEORY_FILE.replace(old, new))
    with pytest.raises(InputError, match=message):
        nnqm.load_theory_file(path)


def test_dictionaries_and_pickles_survive():
    for training in (descent(), descent(weights=np.arange(5.0), layers="last", parametrisation="standard")):
        network = ensemble(training)
        assert nnqm.RandomNetwork.from_dict(network.to_dict()) == network
        assert pickle.loads(pickle.dumps(network)) == network
        assert hash(network) == hash(nnqm.RandomNetwork.from_dict(network.to_dict()))
        assert network != ensemble()
        assert network.with_training(None) == ensemble()
        assert network.with_training(training.at(8)) != network
    assert "training" not in ensemble().to_dict()


# ---- Estimators.


def test_the_average_over_weights_is_over_trained_networks():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), ensemble(descent(), group=8))
    draws = nnqm.draw_weights(theory, 8 * 40, rng=3)
    average = nnqm.average_over_weights(theory, draws, [0.0])
    y = np.linspace(-8, 8, 2001) * np.sqrt(0.5)
    law = np.exp(-(y**2))
    law /= law.sum()
    x = np.stack([network(y[:, None])[:, 0] for network in draws])
    np.testing.assert_allclose(average.two_point.value[0], (x**2 @ law).mean(), rtol=1e-6)
    start = theory.network.with_training(None).draw(range(1), 3)[0]
    assert not np.array_equal(start.parameters, draws[0].parameters)


@pytest.mark.slow
def test_the_kernel_of_untrained_networks_is_not_taken_for_trained_ones():
    source = nnqm.Times()
    prior, trained = (nnqm.check(nnqm.Theory(source, ensemble(t, (1, 8, 1), "erf"))) for t in (None, descent()))
    assert str(prior) != str(trained)


def test_training_with_unbounded_activations_needs_all_moments():
    student = nnqm.Density("student-t", 9.0)
    ensemble(weights=student, activation="relu").need_moment(4, "this")
    ensemble(descent(), weights=student).need_moment(4, "this")
    with pytest.raises(InputError, match="all moments of the weights"):
        ensemble(descent(), weights=student, activation="relu").need_moment(4, "this")
    ensemble(descent(0), weights=student, activation="relu").need_moment(4, "this")


# ---- Divergence.


def eigenvalue_rate(network, key=7, group=0):
    """2 over the largest eigenvalue of the weighted tangent kernel, from finite differences."""
    start = network.with_training(None).draw(range(group, group + 1), key)[0]
    flat, columns = start.parameters, []
    factors, at = np.zeros(flat.size), 0
    for i, (a, b) in enumerate(pairwise(network.widths)):
        if network.training.layers == "all" or i + 2 == len(network.widths):
            factors[at : at + a * b] = network.weight_std[i] ** 2 / a
            factors[at + a * b : at + a * b + b] = network.bias_std[i] ** 2
        at += a * b + b
    for k in range(flat.size):
        step = 1e-5 * np.eye(flat.size)[k]
        f = [start.with_parameters(flat + s)(network.training.points).ravel() for s in (step, -step)]
        columns.append((f[0] - f[1]) / 2e-5)
    j = np.stack(columns, axis=1) * np.repeat(np.sqrt(network.training.weights), network.n_outputs)[:, None]
    return 2 / np.linalg.eigvalsh(j * factors @ j.T)[-1]


@pytest.mark.parametrize("layers", ["all", "last"])
def test_the_largest_stable_rate_is_that_of_the_tangent_kernel(layers):
    rng = np.random.default_rng(5)
    training = descent(
        5, 0.1, rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), weights=[1.0, 2.0, 0.0, 0.5], layers=layers
    )
    network = ensemble(training, (2, 7, 2))
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), network)
    rates = nnqm.stable_rates(theory, 3, key=7)
    np.testing.assert_allclose(rates, [eigenvalue_rate(network, group=g) for g in range(3)], rtol=1e-6)


def test_a_linear_descent_diverges_just_above_its_largest_rate():
    network = ensemble(descent(2000, 1.0, layers="last"))
    theory = nnqm.Theory(nnqm.Times(), network)
    largest = nnqm.stable_rates(theory, 1, key=7)[0]
    stable, unstable = (
        nnqm.Theory(nnqm.Times(), ensemble(descent(2000, f * largest, layers="last"))) for f in (0.999, 1.01)
    )
    nnqm.draw_weights(stable, 1, key=7)
    with pytest.raises(InputError, match="the training of network 0 diverges at step"):
        nnqm.draw_weights(unstable, 1, key=7)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_divergence_names_network_step_and_rate(precision):
    # Half of the networks are stable at this rate.
    times = np.linspace(-1, 1, 4)
    network = ensemble(descent(60, 0.6, layers="last"), (1, 8, 1), "erf")
    theory = nnqm.Theory(nnqm.Times(), network)
    rates = nnqm.stable_rates(theory, 40, key=7)
    drawn = network.draw(range(40), 7, precision=precision)
    bad = np.array([not np.isfinite(n.parameters).all() for n in drawn])
    assert 0 < bad.sum() < 40
    assert np.all(rates[bad] < 0.6)
    assert np.all(np.isnan(np.stack([n.parameters for n, b in zip(drawn, bad, strict=True) if b])))
    first = int(np.flatnonzero(bad)[0])
    only, step = range(first, first + 1), 1
    while np.isfinite(
        network.with_training(network.training.at(step)).draw_parameters(only, 7, False, precision)
    ).all():
        step += 1
    message = (
        f"the training of network {first} diverges at step {step} of 60 in {precision}: rate=0.6, and the largest "
        f"stable rate of this network at its start is {rates[first]:.3g}; use a smaller rate, below"
    )
    with pytest.raises(InputError, match=message):
        nnqm.draw_weights(theory, 40, key=7, precision=precision)
    with pytest.raises(InputError, match=message):
        nnqm.sample_paths(theory, 40, times=times, key=7, precision=precision)
    with pytest.raises(InputError, match=message):
        nnqm.apply(network, np.zeros((40, 2, 1), precision), key=7)
    # Networks before the first that diverges are not concerned.
    if first:
        nnqm.draw_weights(theory, first, key=7, precision=precision)


def test_divergence_is_found_before_paths_are_summed_and_in_later_paths(monkeypatch):
    theory = nnqm.Theory(nnqm.Times(), ensemble(descent(60, 5.0), (1, 8, 1), "erf"))
    with monkeypatch.context() as patch:
        patch.setattr(_core, "advance", None)
        with pytest.raises(InputError, match="the training of network 0 diverges"):
            nnqm.simulate(theory, 6400, times=np.linspace(-1, 1, 4), rng=1)
    # One of several networks diverges, and not the first one.
    network = ensemble(descent(60, 0.5, layers="last"), (1, 8, 1), "erf")
    theory, times = nnqm.Theory(nnqm.Times(), network), np.linspace(-1, 1, 4)
    for rng in range(20):
        key = nnqm.simulate(nnqm.Theory(nnqm.Times(), network.with_training(None)), 64, times=times, rng=rng).keys[0]
        good = np.isfinite(parameters(network, 64, key, precision="float32")).all(axis=1)
        first = int(np.argmin(good))
        if first and not good.all():
            break
    run = nnqm.simulate(theory, first, times=times, rng=rng)
    with pytest.raises(InputError, match=f"the training of network {first} diverges"):
        nnqm.extend(run, 64)


# ---- Bad input.


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0.0], [1.0], 0.0, 1), {}, "rate must be positive"),
        (([0.0], [1.0], np.nan, 1), {}, "rate must be finite"),
        (([0.0], [1.0], 0.1, -1), {}, "steps must be at least 0"),
        (([0.0, 1.0], [1.0], 0.1, 1), {}, "targets must have one row per point, 2; got 1"),
        (([0.0, np.inf], [1.0, 1.0], 0.1, 1), {}, "points must be finite"),
        (([], [], 0.1, 1), {}, "at least one entry"),
        (([0.0], [1.0], 0.1, 1), {"weights": [-1.0]}, "weights must not be negative"),
        (([0.0], [1.0], 0.1, 1), {"weights": [1.0, 1.0]}, r"weights must have shape \(1,\)"),
        (([0.0], [1.0], 0.1, 1), {"layers": "first"}, "layers"),
        (([0.0], [1.0], 0.1, 1), {"parametrisation": "mean-field"}, "parametrisation"),
    ],
)
def test_bad_descents_are_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        nnqm.GradientDescent(*arguments, **options)


def test_descents_that_do_not_fit_the_network_are_refused():
    with pytest.raises(InputError, match=r"points of the training must have shape \(5, 2\)"):
        ensemble(descent(), (2, 4, 1))
    with pytest.raises(InputError, match=r"targets of the training must have shape \(5, 3\)"):
        ensemble(descent(), (1, 4, 3))
    with pytest.raises(InputTypeError, match="training must be a GradientDescent or None"):
        ensemble("gradient-descent")
    with pytest.raises(InputError, match="changes no weight"):
        ensemble(descent(), weight_std=0.0, bias_std=0.0)
    with pytest.raises(InputError, match=r"changes no weight .* leave a layer unshared"):
        split((True, True, True))
    with pytest.raises(InputError, match=r"values of \|t\|"):
        split(points=(-1.0, 0.0, 1.0, 2.0))
    with pytest.raises(InputError, match="with_training"):
        nnqm.stable_rates(nnqm.Theory(nnqm.Times(), ensemble()), 2, rng=1)
    with pytest.raises(AttributeError, match="immutable"):
        descent().rate = 1.0
