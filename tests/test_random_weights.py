"""Networks whose weights are drawn: the draws, the bits, and what shared weights make of connected functions."""

import pickle

import numpy as np
import pytest
from scipy import stats

import nnqm
from harness import accept, assert_consistent, assert_inconsistent
from nnqm import Density, RandomNetwork, Theory

OU = nnqm.OrnsteinUhlenbeck(1.0)
LAWS = {
    "gaussian": stats.norm(),
    "uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)),
    "laplace": stats.laplace(scale=np.sqrt(0.5)),
    "student-t": stats.t(5, scale=np.sqrt(3 / 5)),
    "cauchy": stats.cauchy(),
    "half a degree": stats.t(0.5),
}


def of_law(name):
    if name in ("student-t", "half a degree"):
        return Density("student-t", 5 if name == "student-t" else 0.5)
    return Density(name)


def network(group=1, **options):
    return RandomNetwork(
        (1, 5, 3, 1), ["tanh", "relu", "identity"], weight_std=[1.5, 0.8, 1.2], bias_std=0.4, group=group, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_draws_have_the_law_of_their_density(name):
    theory = Theory(
        OU,
        RandomNetwork((1, 3, 1), weights=of_law(name), weight_std=[2.0, 0.5], biases=of_law(name), bias_std=[0.7, 0]),
    )
    drawn = nnqm.draw_weights(theory, 4000, rng=5)
    first = np.array([n.weights[0].ravel() for n in drawn]) / 2.0
    last = np.array([n.weights[1].ravel() for n in drawn]) / (0.5 / np.sqrt(3))
    bias = np.array([n.biases[0] for n in drawn]) / 0.7
    for values in (first, last, bias):
        accept(stats.kstest(values.ravel(), LAWS[name].cdf).pvalue, f"draws do not follow {name}")
    assert not any(n.biases[1].any() for n in drawn)
    # Independent from neuron to neuron, from layer to layer and from path to path, in sign and in size.
    columns = np.concatenate([first, last, bias], axis=1)
    uniform = LAWS[name].cdf(columns)
    for view in (uniform, np.abs(uniform - 0.5)):
        correlation = np.corrcoef(view.T) - np.eye(view.shape[1])
        assert np.abs(correlation).max() < 5.5 / np.sqrt(len(view))
        assert abs(np.corrcoef(view[1:, 0], view[:-1, 0])[0, 1]) < 5.5 / np.sqrt(len(view))


def test_rademacher_draws_are_signs():
    theory = Theory(OU, RandomNetwork((1, 4, 1), weights="rademacher", weight_std=[1.0, 2.0]))
    drawn = nnqm.draw_weights(theory, 2000, rng=5)
    signs = np.array([n.weights[1].ravel() for n in drawn])
    assert set(signs.ravel()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("group", [1, 8, 64, 256])
def test_paths_use_the_weights_that_are_shown(group, precision):
    theory = Theory(OU, network(group))
    paths = range(37, 37 + 600)
    y = nnqm.sample_paths(theory, paths, 11, 0.2, rng=3, precision=precision, channels="y")
    x = nnqm.apply(theory.network, y, rng=3, first_path=37)
    drawn = nnqm.draw_weights(theory, paths, rng=3)
    assert len(drawn) == (636 // group) - (37 // group) + 1
    for i in (0, 1, 100, 599):
        mine = drawn[(37 + i) // group - 37 // group]
        tolerance = 1e-12 if precision == "float64" else 2e-5
        np.testing.assert_allclose(x[i], mine(y[i].astype(float)), rtol=tolerance, atol=tolerance)
    # A part of the paths has the bits of the whole, however many threads there are.
    part = nnqm.apply(theory.network, y[100:230], rng=3, first_path=137, n_threads=3)
    assert np.array_equal(part, x[100:230])


@pytest.mark.parametrize("group", [1, 4, 128])
def test_runs_do_not_depend_on_threads_cuts_or_workers(group):
    theory = Theory(OU, network(group))
    one = nnqm.simulate(theory, 1280, 9, 0.2, rng=1, n_threads=1, n_blocks=5)
    assert nnqm.simulate(theory, 1280, 9, 0.2, rng=1, n_threads=3, n_blocks=5) == one
    parts = [nnqm.simulate(theory, 1280, 9, 0.2, rng=1, n_blocks=5, blocks=b) for b in (range(2), range(2, 5))]
    assert nnqm.merge(parts) == one
    begun = nnqm.simulate(theory, 640, 9, 0.2, rng=1, n_blocks=5)
    assert nnqm.extend(begun, 1280) == one
    # Blocks hold whole groups.
    assert np.all(one.block_paths % group == 0)


@pytest.mark.slow
@pytest.mark.parametrize("group", [2, 64, 128])
def test_group_sums_are_those_of_distinct_paths(group):
    theory = Theory(OU, network(group))
    n, n_times, lags = 512, 8, (0, 2, 7)
    run = nnqm.simulate(
        theory,
        n,
        n_times,
        0.2,
        rng=1,
        precision="float64",
        n_blocks=2,
        measure=nnqm.Measure(lags=lags, observable_lags=(1,)),
    )
    both = nnqm.sample_paths(theory, n, n_times, 0.2, rng=1, precision="float64", channels=theory.channels)
    x = both[:, :, 1]
    grouped = x.reshape(-1, group, n_times)
    same, distinct = np.zeros(3), np.zeros(3)
    for i, lag in enumerate(lags):
        a, b = grouped[:, :, : n_times - lag], grouped[:, :, lag:]
        same[i] = np.mean(a * b)
        sums = a.sum(axis=2), b.sum(axis=2)
        pairs = np.einsum("gp,gq->", *sums) - np.einsum("gp,gp->", *sums)
        distinct[i] = pairs / (len(grouped) * group * (group - 1) * (n_times - lag) ** 2)
    np.testing.assert_allclose(run.connected("x").value, same - distinct, rtol=1e-10)
    np.testing.assert_allclose(run.two_point("x").value, same, rtol=1e-10)
    # Anybody's paths, in the same groups.
    given = nnqm.accumulate(
        both,
        0.2,
        theory=theory,
        n_blocks=2,
        measure=nnqm.Measure(lags=lags, observable_lags=(1,), observables=run.observables),
    )
    assert given.group == group
    np.testing.assert_allclose(given.connected("x").value, same - distinct, rtol=1e-10)
    bare = nnqm.accumulate(x, 0.2, n_blocks=2, group=group, measure=nnqm.Measure(lags=lags, observable_lags=(1,)))
    np.testing.assert_allclose(bare.connected().value, same - distinct, rtol=1e-8)


@pytest.mark.slow
def test_connected_functions_have_no_plateau_and_the_biased_ones_do():
    theory = nnqm.builtin_theory("random-tanh")
    run = nnqm.simulate(theory, 2**16, 64, 0.2, rng=7, measure=nnqm.Measure(lags=(0, 1, 5, 50)))
    draws = nnqm.draw_weights(theory, 4000 * theory.group, rng=3)
    exact = nnqm.average_over_weights(theory, draws, np.array(run.lags) * run.dt)
    # Both have errors of their own: the draws of the weights.
    difference = run.connected("x").value - exact.connected.value
    error = np.hypot(run.connected("x").error, exact.connected.error)
    assert np.abs(difference / error).max() < 5
    # At lag 50 nothing but the plateau is left of the whole function, a hundred times its error.
    assert_consistent(run.connected("x")[3], float(exact.connected.value[3]))
    assert run.two_point("x")[3].value > 20 * run.two_point("x")[3].error


@pytest.mark.slow
@pytest.mark.parametrize("group", [1, 8])
def test_levels_are_those_of_the_inputs(group):
    # Every draw has an x of its own, which averaged over draws would be taken for another state.
    run = nnqm.simulate(Theory(OU, network(group)), 2**15, 64, 0.2, rng=6)
    found = nnqm.spectrum(run, 3)
    for n, level in enumerate(found.levels, start=1):
        assert level.resolved
        assert level.weight is None
        assert_consistent(level.gap, float(n))
    assert found.commutator is None
    assert "weight" not in str(found)
    # Where x alone is seen, it is what there is to decompose.
    seen = nnqm.default_observables(run.theory, observe=["x"])
    alone = nnqm.spectrum(nnqm.simulate(run.theory, 2**13, 32, 0.2, rng=6, measure=nnqm.Measure(observables=seen)), 3)
    assert alone.levels[0].weight is not None


@pytest.mark.slow
def test_the_ensemble_mean_is_not_what_connected_functions_subtract():
    # Negative control: with an odd network the mean over the ensemble vanishes, while each draw has its own.
    theory = Theory(OU, network(8))
    run = nnqm.simulate(theory, 2**15, 32, 0.3, rng=2, measure=nnqm.Measure(lags=(0, 1, 30)))
    together = nnqm.simulate(Theory(OU, network(1)), 2**15, 32, 0.3, rng=2, measure=nnqm.Measure(lags=(0, 1, 30)))
    assert_inconsistent(run.connected("x")[1], float(together.two_point("x").value[1]))


SPLIT = RandomNetwork((1, 6, 4, 2), weight_std=[1.5, 1.0, 0.8], bias_std=[0.5, 0.3, 0.7], shared=[True, False, False])


@pytest.mark.slow
def test_a_split_network_shares_its_start_and_what_it_says_it_shares():
    theory = Theory(nnqm.Times(reflected=True), SPLIT)
    times = np.linspace(-1.2, 1.2, 13)
    y = nnqm.sample_paths(theory, 150, times=times, rng=4, precision="float64", channels="y")
    np.testing.assert_array_equal(y[3, :, 0], np.abs(times))
    x = nnqm.apply(theory.network, y, rng=4, times=times)
    right, left = (nnqm.draw_weights(theory, 150, rng=4, negative=n) for n in (False, True))
    for i in (0, 64, 149):
        assert np.array_equal(right[i].weights[0], left[i].weights[0])
        assert not np.any(right[i].weights[1] == left[i].weights[1])
        assert np.array_equal(right[i].biases[2], left[i].biases[2])
        np.testing.assert_allclose(x[i, 6], right[i].biases[2], atol=1e-14)
        for k, t in enumerate(times):
            net = left[i] if t < 0 else right[i]
            expected = net([[abs(t)]])[0] - net([[0.0]])[0] + net.biases[2]
            np.testing.assert_allclose(x[i, k], expected, atol=1e-13)
    run = nnqm.simulate(theory, 640, times=times, rng=4, precision="float64", n_blocks=2)
    first = nnqm.sample_paths(theory, 640, times=times, rng=4, precision="float64")[:, :, 0]
    matrix = np.einsum("pt,ps->ts", first, first) / 640
    np.testing.assert_allclose(run.two_time_function().value, matrix, rtol=1e-10)


def test_networks_in_time_have_their_exact_kernel():
    # sqrt(2) cos(k t + b) with k from Cauchy's density: the two-point function of Ornstein and Uhlenbeck.
    cosine = RandomNetwork(
        (1, 1, 1),
        ["cos", "identity"],
        weights=["cauchy", "rademacher"],
        weight_std=[1.0, np.sqrt(2)],
        biases="uniform",
        bias_std=[np.pi / np.sqrt(3), 0],
    )
    run = nnqm.simulate(Theory(nnqm.Times(), cosine), 50_000, 6, 0.3, rng=1)
    function, times = run.two_time_function(), run.times
    assert_consistent(function[0], np.exp(-times))
    assert_consistent(function[3], np.exp(-np.abs(times - times[3])))
    assert_inconsistent(function[0], np.exp(-1.1 * times))
    assert run.sums.keys() == {"two_time", "time_sums", "paths", "first_bad"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "theory", [Theory(OU, network(8)), Theory(nnqm.Times(True), SPLIT), Theory(nnqm.Times(), network())]
)
def test_theories_with_random_weights_survive_a_file(theory, tmp_path):
    run = nnqm.simulate(theory, 256, 5, 0.2, rng=1, n_blocks=2)
    assert nnqm.load(nnqm.save(run, tmp_path / "run.nc")) == run
    assert Theory.from_dict(theory.to_dict()) == theory
    assert pickle.loads(pickle.dumps(theory.network)) == theory.network
    assert hash(theory.network) == hash(RandomNetwork.from_dict(theory.network.to_dict()))


def short_run(*args, **options):
    return nnqm.simulate(Theory(OU, RandomNetwork((1, 4, 1), *args, **options)), 640, 5, 0.2)


def grouped(n):
    return nnqm.simulate(Theory(OU, network(n)), 256, 5, 0.2, rng=1, n_blocks=2)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("group must be a divisor of 64 or a multiple of it; got 10; use 8 or 16", lambda: network(10)),
        ("group must be a divisor of 64 or a multiple of it; got 100; use 64 or 128", lambda: network(100)),
        (
            "n_paths must be a multiple of the 8 paths that share their weights; got 1001; use 1008",
            lambda: nnqm.simulate(Theory(OU, network(8)), 1001, 5, 0.2, rng=1),
        ),
        ("n_paths must be a multiple of the 8", lambda: nnqm.extend(grouped(8), 257)),
        ("connected functions need two or more paths for each draw.*group=8", lambda: grouped(1).connected("x")),
        ("weight_std must not be negative; got -1", lambda: RandomNetwork((1, 4, 1), weight_std=-1)),
        (
            r"weight_std must be one number or one per layer, 2; got shape \(3,\)",
            lambda: RandomNetwork((1, 4, 1), weight_std=[1, 2, 3]),
        ),
        (
            "weights must be one density or one per layer, 2; got 1",
            lambda: RandomNetwork((1, 4, 1), weights=["gaussian"]),
        ),
        ("density 'gausian' is unknown.*did you mean 'gaussian'", lambda: RandomNetwork((1, 4, 1), weights="gausian")),
        ("shared needs one entry per layer, 2, one input", lambda: RandomNetwork((2, 4, 1), shared=[True, False])),
        ("splits its parameters at t = 0 and takes Times", lambda: Theory(nnqm.Times(), SPLIT)),
        (
            "needs moments of order 2 of the outputs, but weights.0. .cauchy. have none",
            lambda: nnqm.simulate(
                Theory(OU, RandomNetwork((1, 4, 1), "relu", weights=["cauchy", "gaussian"])), 640, 5, 0.2
            ),
        ),
        (
            "needs moments of order 2 of the outputs, but weights.1. .cauchy. have none",
            lambda: nnqm.simulate(Theory(OU, RandomNetwork((1, 4, 1), "tanh", weights="cauchy")), 640, 5, 0.2),
        ),
        (
            "the error of the two-point function needs moments of order 4.*student-t with nu=3",
            lambda: nnqm.simulate(Theory(OU, RandomNetwork((1, 4, 1), weights=Density("student-t", 3))), 640, 5, 0.2),
        ),
        (
            "lags are averages over time, but the theory is not stationary",
            lambda: nnqm.simulate(Theory(nnqm.Times(), network()), 640, 5, 0.2, measure=nnqm.Measure(lags=(1,))),
        ),
        ("theory must have random weights", lambda: nnqm.draw_weights(nnqm.harmonic_oscillator(), 3)),
        ("random weights need the rng or key of the paths", lambda: nnqm.apply(network(), np.zeros((3, 4, 1)))),
        ("needs the times of the paths", lambda: nnqm.apply(SPLIT, np.zeros((3, 4, 1)), rng=1)),
        ("paths must be whole groups of 8", lambda: nnqm.accumulate(np.zeros((20, 5)), group=8)),
        ("group must be a divisor of 64", lambda: nnqm.accumulate(np.zeros((20, 5)), group=10)),
    ],
)
def test_bad_input_is_named_and_comes_with_a_remedy(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def test_bounded_activations_cut_the_chain_of_moments():
    # Cauchy weights are all right below a bounded activation.
    run = nnqm.simulate(
        Theory(OU, RandomNetwork((1, 8, 1), "tanh", weights=["cauchy", "gaussian"])), 640, 5, 0.2, rng=1
    )
    assert np.isfinite(run.two_point("x").value).all()
