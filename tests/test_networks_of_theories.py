"""Karhunen-Loeve networks as theories: sampled against exact functions, universality, splitting, and the axioms."""

import json
import pickle

import numpy as np
import pytest

import nnqm
from harness import (
    accept,
    assert_below,
    assert_consistent,
    assert_each_consistent,
    assert_inconsistent,
    assert_mean_zero,
    refute,
)
from nnqm import CosineNetwork, Density, KarhunenLoeveProcess, Kernel, Theory, TimeNetwork, as_network, karhunen_loeve
from nnqm.time_networks.kernels import network_kernel

OU = Kernel.ornstein_uhlenbeck(1.0)


def expansion(n=6, **options):
    return karhunen_loeve(OU, (1.0, 3.0), n, **options)


def skewed_rows():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(200, 4))
    return np.column_stack([z[:, 0], z[:, 0] ** 2 + 0.5 * z[:, 1], np.exp(0.5 * z[:, 2]), z[:, 3] * z[:, 0]])


def processes():
    moving = expansion(mean=np.cos)
    return {
        "gaussian": KarhunenLoeveProcess(moving),
        "laplace": KarhunenLoeveProcess(moving, "laplace"),
        "student": KarhunenLoeveProcess(moving, Density("student-t", nu=9)),
        "joint": KarhunenLoeveProcess(expansion(4, mean=0.3), rows=skewed_rows()),
        "independent": KarhunenLoeveProcess(expansion(4, mean=0.3), rows=skewed_rows(), independent=True),
        "split": nnqm.split_network(OU, 2.0, 20, "uniform").sources[0],
    }


# ---- exact functions


def test_functions_of_joint_rows_are_averages_over_them():
    process = processes()["joint"]
    t = np.array([1.1, 1.5, 2.0, 2.9])
    x = process.expansion.mean(t) + skewed_rows() @ process.expansion.basis(t)
    centred = x - x.mean(axis=0)
    np.testing.assert_allclose(process.mean_at(t), x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(process.two_point(t[:, None], t), x.T @ x / 200, rtol=1e-12)
    np.testing.assert_allclose(process.four_point(t), x.prod(axis=1).mean(), rtol=1e-12)
    covariance = centred.T @ centred / 200
    pairs = sum(covariance[i, j] * covariance[k, n] for i, j, k, n in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)))
    np.testing.assert_allclose(process.connected_four_point(t), centred.prod(axis=1).mean() - pairs, rtol=1e-10)


def test_functions_of_independent_columns_are_those_of_every_combination():
    rows = skewed_rows()[:7, :3]
    process = KarhunenLoeveProcess(expansion(3, mean=0.3), rows=rows, independent=True)
    t = np.array([1.1, 1.5, 2.0, 2.9])
    every = np.stack(np.meshgrid(*rows.T, indexing="ij"), axis=-1).reshape(-1, 3)
    x = process.expansion.mean(t) + every @ process.expansion.basis(t)
    np.testing.assert_allclose(process.two_point(t[:, None], t), x.T @ x / len(x), rtol=1e-12)
    np.testing.assert_allclose(process.four_point(t), x.prod(axis=1).mean(), rtol=1e-11)
    np.testing.assert_allclose(process.four_point([2.0] * 4), (x[:, 2] ** 4).mean(), rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", processes())
def test_sampled_processes_have_their_exact_functions(name):
    process = processes()[name]
    run = nnqm.simulate(Theory(process), 40_000, 9, (process.interval[1] - process.interval[0]) / 8, rng=1)
    assert run.times[0] == process.interval[0]
    function = run.two_time_function()
    first, second = [0, 0, 0, 2, 4, 7], [0, 3, 8, 5, 4, 8]
    exact = process.two_point(run.times[first], run.times[second])
    assert_consistent(function[first, second], exact)
    assert_inconsistent(function[first, second], exact * 1.1)
    np.testing.assert_allclose(
        process.variance[0] * np.ptp(process.interval),
        process._average(lambda t: process.connected(t, t)) * np.ptp(process.interval),
        rtol=1e-12,
    )


@pytest.mark.parametrize("name", ["laplace", "independent", "split"])
def test_sampled_processes_have_their_exact_four_point_function(name):
    process = processes()[name]
    a, b = process.interval
    times = np.linspace(a, b, 5)
    x = nnqm.sample_paths(Theory(process), 100_000, times=times, rng=2, precision="float64")[:, :, 0]
    product = x[:, [0, 1, 3, 3]].prod(axis=1)
    blocks = product.reshape(100, -1).sum(axis=1)
    measured = nnqm.jackknife(lambda s: s["p"] / s["n"], {"p": blocks, "n": np.full(100, 1000.0)}, np.full(100, 1000.0))
    assert_consistent(measured, process.four_point(times[[0, 1, 3, 3]]))


def test_the_average_variance_is_the_sum_of_eigenvalues():
    process = processes()["laplace"]
    assert process.variance[0] == pytest.approx(process.expansion.eigenvalues.sum() / 2, rel=1e-10)
    assert process.mean[0] == pytest.approx((np.sin(3) - np.sin(1)) / 2, rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", processes())
def test_processes_survive_json_pickle_and_a_file(name, tmp_path):
    theory = Theory(processes()[name])
    assert Theory.from_dict(json.loads(json.dumps(theory.to_dict()))) == theory
    again = pickle.loads(pickle.dumps(theory))
    assert again == theory
    assert hash(again) == hash(theory)
    run = nnqm.simulate(theory, 256, 5, 0.2, rng=1, n_blocks=2)
    assert nnqm.load(nnqm.save(run, tmp_path / "run.nc")) == run
    others = [p for other, p in processes().items() if other != name]
    assert all(theory != Theory(p) for p in others)


def test_bits_do_not_depend_on_threads_and_lower_ones_are_single():
    theory = Theory(processes()["joint"])
    one = nnqm.simulate(theory, 2000, 9, 0.25, rng=1, n_threads=1)
    assert nnqm.simulate(theory, 2000, 9, 0.25, rng=1, n_threads=3) == one


# ---- the truncated commutator


def test_the_commutator_of_sampled_networks_is_the_truncated_one():
    full = karhunen_loeve(OU, (0.0, 4.0), 40)
    n, spacing = 40, 4.0 / 160
    x = nnqm.sample_paths(Theory(KarhunenLoeveProcess(full)), 8000, 161, spacing, rng=3, precision="float64")[:, :, 0]
    for steps in (1, 4, 16):
        # T/K = 0.1 is four steps.
        lag = steps * spacing
        each = ((x[:, steps:] - x[:, :-steps]) ** 2).mean(axis=1) / lag
        blocks = each.reshape(80, -1).sum(axis=1)
        measured = nnqm.jackknife(lambda s: s["x"] / s["n"], {"x": blocks, "n": np.full(80, 100.0)}, np.full(80, 100.0))
        times = spacing * np.arange(161 - steps)
        exact = full.quadratic_variation(times, lag).mean() / lag
        assert_consistent(measured, exact)
        assert exact == pytest.approx(float(full.commutator_at(lag)), rel=0.02)
        whole = -np.expm1(-lag) / lag
        assert_inconsistent(measured, whole)
        if steps == 16:
            assert whole - exact == pytest.approx(2 * 4.0 / (np.pi**2 * n * lag), rel=0.15)


# ---- universality


@pytest.fixture(scope="module", params=["anharmonic", "deep-tanh"])
def round_trip(request):
    theory = nnqm.builtin_theory(request.param)
    paths = nnqm.Paths(theory, 16_000, 161, 0.025, rng=3, precision="float64")
    network = as_network(paths, 40, rows=16_000)
    return nnqm.kallen_lehmann(theory), network.sources[0]


@pytest.mark.slow
def test_a_network_has_the_two_point_function_of_its_theory(round_trip):
    measure, process = round_trip
    known = process.expansion
    assert 0.02 < known.truncation_error < 0.08
    for lag in (0.4, 0.8, 1.6):
        t = np.linspace(0, 4 - lag, 301)
        # What is left out has no long-range correlations; averaged over time it is gone.
        assert known.connected(t, t + lag).mean() == pytest.approx(
            float(measure.connected(lag)), abs=4e-3 * measure.moments[0]
        )
    # Sampled: the rows have the statistical error of 16000 paths.
    run = nnqm.simulate(Theory(process), 16_000, 9, 0.5, rng=5)
    found = run.two_time_function()[[0, 1, 3], [0, 3, 4]]
    assert_consistent(found, process.two_point(run.times[[0, 1, 3]], run.times[[0, 3, 4]]))
    rows = process.rows
    assert_mean_zero(rows)
    assert np.abs(rows.T @ rows / len(rows) - np.eye(rows.shape[1])).max() < 0.09


@pytest.mark.slow
def test_a_network_has_the_lowest_gap_of_its_theory(round_trip):
    measure, process = round_trip
    x = nnqm.sample_paths(Theory(process), 16_000, 17, 0.25, rng=4, precision="float64")
    times, energy = nnqm.effective_energy(nnqm.accumulate(x, 0.25))
    exact = np.log(measure.connected(times - 0.125) / measure.connected(times + 0.125)) / 0.25
    # Above T/K.
    assert_consistent(energy[1:4], exact[1:4], expected_error=0.004 * exact[1:4])
    # Negative control: below it the network is smoother than its theory.
    assert_below(energy[0], exact[0])


@pytest.mark.slow
def test_joint_rows_have_the_kurtosis_and_independent_ones_a_smaller_one(round_trip):
    measure, process = round_trip
    t = np.array([1.0, 2.0, 3.0])
    joint = process.kurtosis(t)
    np.testing.assert_allclose(joint, measure.kurtosis, atol=0.15)
    apart = KarhunenLoeveProcess(process.expansion, rows=process.rows, independent=True)
    rows, modes = process.rows - process.rows.mean(axis=0), process.modes(t)
    kappa = np.mean(rows**4, axis=0) - 3 * np.mean(rows**2, axis=0) ** 2
    formula = np.sum(kappa * modes**4, axis=-1) / np.sum(rows.var(axis=0) * modes**2, axis=-1) ** 2
    np.testing.assert_allclose(apart.kurtosis(t), formula, rtol=1e-10)
    assert np.all(np.abs(apart.kurtosis(t)) < np.abs(joint) / 3)
    x = nnqm.sample_paths(Theory(apart), 50_000, times=t, rng=6, precision="float64")[:, :, 0]
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(np.mean(z**4, axis=0) - 3, formula, atol=0.12)


@pytest.mark.slow
def test_paths_and_theories_without_an_exact_kernel_have_networks():
    theory = nnqm.builtin_theory("deep-tanh")
    times = np.linspace(0, 3, 97)
    x = nnqm.sample_paths(theory, 4000, times=times, rng=9)[:, :, 0]
    process = as_network(x, 12, times=times + 2.0, rows=4000).sources[0]
    assert process.interval == pytest.approx((2.0, 5.0))
    exact = karhunen_loeve(theory, (2.0, 5.0), 12)
    assert_each_consistent(process.expansion.estimates, exact.eigenvalues[: len(process.expansion)])
    np.testing.assert_allclose(process.connected(2.5, 3.5), nnqm.kallen_lehmann(theory).connected(1.0), atol=0.1)
    random = as_network(nnqm.Paths(nnqm.builtin_theory("random-tanh"), 4096, 33, 1 / 32, rng=1), 6, (1.0, 2.0))
    assert random.sources[0].expansion.method == "measured"
    assert random.sources[0].interval == pytest.approx((1.0, 2.0))


def test_networks_of_networks_are_the_same():
    process = processes()["gaussian"]
    again = as_network(Theory(process, hbar=2.0), 6, (1.0, 3.0))
    assert again.hbar == 2.0
    t = np.linspace(1, 3, 5)
    np.testing.assert_allclose(again.sources[0].two_point(t[:, None], t), process.two_point(t[:, None], t), atol=1e-9)
    cosine = CosineNetwork(Density("gaussian"), 8)
    np.testing.assert_allclose(
        as_network(cosine.theory(), 12, (0.0, 2.0)).sources[0].connected(0.3, 1.4), cosine(0.3, 1.4), atol=1e-8
    )
    thermal = Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.0))
    closed = karhunen_loeve(Kernel.ornstein_uhlenbeck(1.0, beta=3.0), (0.0, 3.0), 5)
    np.testing.assert_allclose(karhunen_loeve(thermal, (0.0, 3.0), 5).eigenvalues, closed.eigenvalues, rtol=1e-8)


# ---- splitting


@pytest.mark.slow
def test_splitting_a_markov_kernel_gives_it_back():
    process = nnqm.split_network(OU, 2.0, 150).sources[0]
    s, t = np.array([-1.0, -0.5, 0.5, 1.0, -0.7]), np.array([0.5, -1.0, 1.5, -2.0, 0.7])
    np.testing.assert_allclose(process.connected(s, t), OU(s, t), atol=2e-3)
    # Across t = 0 there is no truncation; at t = 0 itself only what is shared.
    np.testing.assert_allclose(
        process.connected(s[[0, 3, 4]], t[[0, 3, 4]]), OU(s[[0, 3, 4]], t[[0, 3, 4]]), rtol=1e-10
    )
    assert np.count_nonzero(process.modes(0.0)) == 1


@pytest.mark.slow
def test_split_networks_are_positive_and_others_of_the_same_kernel_are_not():
    kernel = Kernel.matern(1.5)
    split = nnqm.split_network(kernel, 2.0, 20, "laplace")
    found = nnqm.reflection_positivity(nnqm.Paths(split, 4000, 33, 0.125, rng=1))
    assert found.verdict == "consistent"
    whole = Theory(KarhunenLoeveProcess(karhunen_loeve(kernel, (-2.0, 2.0), 20), "laplace"))
    assert nnqm.reflection_positivity(nnqm.Paths(whole, 4000, 33, 0.125, rng=1)).verdict == "violated"


# ---- networks in time


@pytest.mark.parametrize(
    "network", [CosineNetwork(Density("laplace"), 3, 0.8, 1.5), TimeNetwork("tanh", 1, 1.4, 0.5, width=3)], ids=str
)
def test_networks_in_time_are_sampled_with_their_kernels(network):
    theory = network.theory()
    assert network_kernel(theory)(0.3, 1.1) == pytest.approx(network(0.3, 1.1))
    run = nnqm.simulate(theory, 40_000, times=[-1.0, 0.3, 1.2], rng=3)
    first, second = [0, 0, 1, 1, 2], [0, 2, 1, 2, 2]
    exact = network(run.times[first], run.times[second])
    assert_consistent(run.two_time_function()[first, second], exact)
    assert_inconsistent(run.two_time_function()[first, second], exact * 1.1)


def test_connected_four_point_functions_fall_with_the_width():
    times = np.array([0.0, 0.4, 0.9, 1.3])
    for width in (1, 2, 8):
        network = CosineNetwork(Density("gaussian"), width)
        x = nnqm.sample_paths(network.theory(), 200_000, times=times, rng=5).astype(float).reshape(100, -1, 4)
        sums = {"four": x.prod(axis=2).sum(axis=1), "pairs": np.einsum("bpi,bpj->bij", x, x), "n": np.full(100, 2000.0)}

        def connected(s):
            pair = s["pairs"] / s["n"][:, None, None]
            products = sum(pair[:, i, j] * pair[:, k, n] for i, j, k, n in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)))
            return s["four"] / s["n"] - products

        found = nnqm.jackknife(connected, sums, sums["n"])
        assert_consistent(found, network.connected_four_point(times))
        if width == 1:
            assert_inconsistent(found, network.connected_four_point(times) / 2)


# ---- axioms


def verdicts(source, *args, **options):
    return {row.name: row.verdict for row in nnqm.check(source, *args, **{"rng": 1, "n_paths": 4000, **options})}


AXIOMS = (
    "mean-square continuity",
    "finite two-point function",
    "stationarity",
    "Markov property",
    "reflection positivity",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (OU, ("holds", "holds", "holds", "holds", "holds")),
        (Kernel.ornstein_uhlenbeck(1.0, beta=3.0), ("holds", "holds", "holds", "fails", "consistent")),
        (Kernel.wiener(), ("holds", "holds", "fails", "holds", "fails")),
        (Kernel.brownian_bridge(2.0), ("holds", "holds", "fails", "holds", "consistent")),
        (Kernel.matern(1.5), ("holds", "holds", "holds", "fails", "fails")),
        (Kernel.squared_exponential(), ("holds", "holds", "holds", "fails", "fails")),
        (Kernel.root_exponential(), ("holds", "holds", "holds", "fails", "consistent")),
        (nnqm.harmonic_oscillator(), ("holds", "holds", "holds", "holds", "holds")),
        (nnqm.builtin_theory("anharmonic"), ("holds", "holds", "holds", "holds", "holds")),
        (nnqm.builtin_theory("random-tanh"), ("holds", "holds", "holds", "violated", "holds")),
        (CosineNetwork(Density("gaussian"), 4), ("holds", "holds", "holds", "violated", "fails")),
        (CosineNetwork(Density("cauchy"), 1), ("holds", "holds", "holds", "violated", "violated")),
        (TimeNetwork("tanh", 1, 1.5, 1.0, 8), ("holds", "holds", "fails", "violated", "fails")),
        (TimeNetwork("tanh", 2, 1.5, 1.0, 8), ("holds", "holds", "violated", "violated", "violated")),
        (Theory(KarhunenLoeveProcess(expansion(20))), ("holds", "holds", "fails", "fails", "fails")),
        (nnqm.split_network(Kernel.matern(1.5), 2.0, 20), ("holds", "holds", "fails", "fails", "holds")),
    ],
    ids=str,
)
def test_the_axioms_of_known_processes(source, expected):
    assert verdicts(source) == dict(zip(AXIOMS, expected, strict=True))


@pytest.mark.slow
def test_what_is_not_continuous_or_has_no_two_point_function():
    white = verdicts(lambda s, t: 1.0 * (s == t), (0.0, 1.0))
    assert white["mean-square continuity"] == "fails"
    wild = nnqm.RandomNetwork((1, 4, 1), "relu", weights="cauchy")
    found = nnqm.check(Theory(nnqm.Times(), wild), rng=1, n_paths=2000)
    assert found["finite two-point function"].verdict == "fails"
    assert found["mean-square continuity"].verdict == "fails"
    assert found["stationarity"].verdict == "unknown"
    flip = Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.3, 0.7], [0.7, 0.3]], dt=1.0))
    assert verdicts(flip)["mean-square continuity"] == "unknown"
    assert verdicts(flip)["Markov property"] == "holds"
    assert verdicts(flip)["reflection positivity"] == "violated"


@pytest.mark.slow
def test_the_test_of_the_markov_property_raises_no_false_alarms():
    # Monotonic, but by two inputs of which one has no weight, so that nothing is known by construction.
    network = nnqm.Network([[[1.5, 0.0]], [[1.0]]])
    theory = Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.0]), network)
    from nnqm.properties import _conditional_independence, _Draws, _Subject

    p = [_conditional_independence(_Subject.of(theory, None, _Draws(4000, seed, 0)), theory) for seed in range(40)]
    assert np.sum(np.array(p) < 0.01) <= 4
    assert np.mean(p) > 0.3
    # Many paths, so that curves within a bin of the present would show.
    accept(_conditional_independence(_Subject.of(theory, None, _Draws(400_000, 1, 0)), theory), "a Markov process")
    both = Theory(
        nnqm.OrnsteinUhlenbeck([0.2, 3.0], [0.63, 2.45]), nnqm.Network([[[1.0, 1.0]]], activation=["identity"])
    )
    refute(_conditional_independence(_Subject.of(both, None, _Draws(20_000, 1, 0)), both), "a sum of two, not Markov")


def test_the_table_and_its_rows():
    found = nnqm.check(OU)
    assert str(found).splitlines()[0] == "Gaussian process of the kernel ornstein-uhlenbeck on [0, 4]"
    assert [row.name for row in found] == list(AXIOMS)
    with pytest.raises(KeyError, match="'unitarity' is not among the properties"):
        found["unitarity"]


# ---- files and the command line

FILE = """
[[source]]
kind = "karhunen-loeve"
kernel = "matern"
nu = 1.5
interval = [0.0, 4.0]
modes = 12
density = { name = "student-t", nu = 6.0 }
"""


@pytest.mark.slow
def test_theory_files_name_kernels(tmp_path, capsys):
    path = tmp_path / "matern.toml"
    path.write_text(FILE)
    process = nnqm.load_theory_file(path).theory.sources[0]
    assert process == KarhunenLoeveProcess(karhunen_loeve(Kernel.matern(1.5), (0.0, 4.0), 12), Density("student-t", 6))
    from nnqm.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["check", str(path), "--paths", "2000"])
    assert stop.value.code == 0
    assert "reflection positivity      fails" in capsys.readouterr().out
    for change, message in (
        (
            ("nu = 1.5\n", "omega = 1.5\n"),
            "source.0..omega does not belong to the kernel 'matern'; it takes nu, length",
        ),
        (("nu = 1.5\n", ""), "key source.0..nu is missing; the kernel 'matern' needs it"),
        (('"matern"', '"matter"'), "did you mean 'matern'"),
        (("[0.0, 4.0]", "[4.0, 4.0]"), "interval must be .a, b. with a < b"),
        (("nu = 6.0", "nu = 2.0"), "needs a density with a variance; student-t with nu=2 has none"),
    ):
        assert change[0] in FILE
        path.write_text(FILE.replace(*change))
        with pytest.raises(ValueError, match=message):
            nnqm.load_theory_file(path)
        with pytest.raises(SystemExit) as stop:
            main(["check", str(path)])
        assert stop.value.code == 2


# ---- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KarhunenLoeveProcess(OU), "expansion must be a KarhunenLoeve; got Kernel"),
        (lambda: KarhunenLoeveProcess(expansion(), "cauchy"), "needs a density with a variance; cauchy has none"),
        (
            lambda: KarhunenLoeveProcess(expansion(), rows=np.zeros((5, 4))),
            r"rows must have shape \(R, 6\), one column per mode and at least two rows; got \(5, 4\)",
        ),
        (
            lambda: KarhunenLoeveProcess(expansion(), "laplace", rows=np.ones((5, 6))),
            "rows take the place of a density",
        ),
        (lambda: KarhunenLoeveProcess(expansion(), independent=True), "draws from the columns of rows; give rows"),
        (
            lambda: nnqm.simulate(Theory(KarhunenLoeveProcess(expansion(), Density("student-t", 4))), 640, 5, 0.2),
            "the error of the two-point function needs a density with a fourth moment; student-t with nu=4 has none",
        ),
        (
            lambda: KarhunenLoeveProcess(expansion(), Density("student-t", 3)).connected_four_point([1.0] * 4),
            "needs a density with a fourth moment; student-t with nu=3 has none",
        ),
        (
            lambda: nnqm.simulate(Theory(KarhunenLoeveProcess(expansion())), 640, 30, 0.2),
            r"times must lie in the interval \[1, 3\]; got 3.2; decompose a longer one",
        ),
        (
            lambda: nnqm.SplittingProcess(*[karhunen_loeve(OU, (0.0, 2.0), 3)] * 2),
            "split modes must vanish at t = 0, or x.0. depends on weights that are not shared; mode 0 is 0",
        ),
        (
            lambda: nnqm.SplittingProcess(expansion(), karhunen_loeve(OU, (0.0, 2.0), 3)),
            r"must be on one interval \(0, T\); got \(1.0, 3.0\) and \(0.0, 2.0\)",
        ),
        (lambda: nnqm.split_network(Kernel.wiener(), 1.0), "kernel must be positive at s = t = 0.*got K.0, 0. = 0"),
        (
            lambda: as_network(nnqm.harmonic_oscillator(), 4),
            "interval must be .a, b. with a < b for a theory; got None",
        ),
        (lambda: as_network(OU, 4, (0.0, 1.0), rows=10), "rows need paths; got Kernel"),
        (lambda: as_network(np.zeros((100, 9)), 4), "times of the paths are missing"),
        (lambda: as_network(np.zeros((100, 9)), 4, times=np.arange(8.0)), "one entry per time of the paths, 9"),
        (
            lambda: as_network(nnqm.Paths(nnqm.harmonic_oscillator(), 100, 21, 0.05), 10, (0.0, 1.0), rows=100),
            "rows need at least 4 times per mode, 40; got 21",
        ),
        (lambda: as_network(nnqm.harmonic_oscillator(), 4, (0.0, 1.0), independent=True), "ask for rows"),
        (
            lambda: karhunen_loeve(OU, (0.0, 1.0), 3, mean=lambda t: np.ones(3)),
            "mean must return one value per time",
        ),
        (lambda: karhunen_loeve(OU, (0.0, 1.0), 3, mean=lambda t: np.sin(1e6 * t)), "mean is too rough"),
        (lambda: nnqm.check(OU, (1.0, 1.0)), "interval must be .a, b. with a < b"),
        (lambda: nnqm.check(lambda s, t: s * t), "interval must be given for a function"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_densities_without_a_fourth_moment_are_all_right_below_a_bounded_network():
    source = KarhunenLoeveProcess(expansion(), Density("student-t", 3))
    network = nnqm.Network([[[1.0]], [[1.0]]])
    assert nnqm.simulate(Theory(source, network), 640, 5, 0.2, rng=1, n_blocks=2).two_time_function().value.shape == (
        5,
        5,
    )
    assert nnqm.sample_paths(Theory(source), 10, 5, 0.2, rng=1).shape == (10, 5, 1)
