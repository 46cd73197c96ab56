"""The physics along a training has the closed forms that it should have, and says what it does not resolve."""

import math

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from scipy import stats

import nnqm
from harness import accept, assert_error_is_honest
from interpreter import answer
from nnqm import Network, OrnsteinUhlenbeck, RandomNetwork, Theory, Times, Trajectory, training_dynamics
from nnqm.errors import InputError, InputTypeError
from nnqm.exact.short_times import average_of_short_times
from nnqm.learning import SpectralWeights
from nnqm.plot import training as draw

OMEGA, SIGMA, HBAR, MASS = 1.4, 0.9, 0.7, 1.3
SPREAD = SIGMA / np.sqrt(2 * OMEGA)
N = np.arange(1, 41)
# Blocks of the jackknife
BLOCKS = 128


def sine(scale, phase=0.0):
    """x = sin(scale y + phase)."""
    return Network([[[scale]], [[1.0]]], [[phase], [0.0]], "sin")


def theory_of(network):
    return Theory(OrnsteinUhlenbeck(OMEGA, SIGMA), network, hbar=HBAR, mass=MASS)


def trajectory_of(networks, steps=None, **options):
    return Trajectory(range(len(networks)) if steps is None else steps, [theory_of(n) for n in networks], **options)


def sine_weights(scale, phase, n=N):
    """|<0|x|n>|^2 of x = sin(scale y + phase)."""
    a = scale * SPREAD
    logarithms = -(a**2) + 2 * n * np.log(a) - np.array([math.lgamma(k + 1) for k in n])
    return np.exp(logarithms) * np.sin(phase + n * np.pi / 2) ** 2


# ---- exact values


@pytest.fixture(scope="module")
def sines():
    scales, phase = (0.3, 0.8, 1.7), 0.4
    networks = [sine(scale, phase) for scale in scales]
    found = training_dynamics(trajectory_of(networks, [0, 10, 100]), n_levels=40, positivity=False)
    return scales, phase, found


def test_weights_flow_and_levels_do_not(sines):
    scales, phase, found = sines
    gaps, weights = found["gap"], found["weight"]
    assert weights.values.shape == (3, 40)
    for i, scale in enumerate(scales):
        np.testing.assert_allclose(gaps.values[i], HBAR * OMEGA * N, rtol=1e-13)
        assert_error_is_honest(weights.values[i], sine_weights(scale, phase), weights.errors[i], 1e-15)
    assert (gaps.origins == "exact").all()
    assert (weights.origins == "exact").all()
    assert np.ptp(weights.values[:, 0]) > 0.1


def test_commutator_uncertainty_and_kurtosis_have_their_closed_forms(sines):
    scales, phase, found = sines
    for i, scale in enumerate(scales):
        q = (scale * SPREAD) ** 2

        def harmonic(k, q=q, phase=phase):
            """<cos(k (w y + b))>."""
            return np.exp(-(k**2) * q / 2) * np.cos(k * phase)

        mean = np.exp(-q / 2) * np.sin(phase)
        second = (1 - harmonic(2)) / 2
        third = (3 * mean - np.exp(-9 * q / 2) * np.sin(3 * phase)) / 4
        fourth = (3 - 4 * harmonic(2) + harmonic(4)) / 8
        variance = second - mean**2
        centred = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        bracket = MASS / HBAR * (SIGMA * scale) ** 2 * (1 + harmonic(2)) / 2
        square = (MASS * OMEGA) ** 2 * (N**2 @ sine_weights(scale, phase))
        for name, exact in (
            ("variance", variance),
            ("kurtosis", centred / variance**2 - 3),
            ("commutator", bracket),
            ("uncertainty", np.sqrt(variance * square)),
        ):
            series = found[name]
            assert series.origins[i] == "exact"
            assert_error_is_honest(series.values[i], exact, series.errors[i], 1e-13)
            assert series.errors[i] < 1e-5


def test_the_sum_rule_and_the_uncertainty_relation_hold_at_each_step(sines):
    _, _, found = sines
    summed = 2 * MASS / HBAR**2 * (found["gap"].values * found["weight"].values).sum(axis=1)
    np.testing.assert_allclose(found["commutator"].values, summed, rtol=1e-9)
    assert (found["uncertainty"].values >= HBAR / 2 * found["commutator"].values).all()
    assert set(found.verdicts) == {nnqm.Verdict.POSITIVE_BY_CONSTRUCTION}
    assert np.isnan(found.p_values).all()


def test_degenerate_levels_are_summed():
    # x = sin(a y1) cos(b y2) + ... : the level 2 of two equal inputs has the states (2, 0), (1, 1) and (0, 2).
    theory = Theory(OrnsteinUhlenbeck([1.0, 1.0]), Network.random((2, 5, 1), rng=3, bias_std=1.0))
    found = training_dynamics(Trajectory([0], [theory]), n_levels=4, positivity=False)
    measure = nnqm.kallen_lehmann(theory)
    np.testing.assert_allclose(found["gap"].values[0], [1, 2, 3, 4])
    for n in range(1, 5):
        expected = measure.weights[:-1][np.abs(measure.energies[:-1] - n) < 1e-9].sum()
        assert found["weight"].values[0, n - 1] == pytest.approx(expected)


def test_chains_and_bound_states_have_only_the_levels_they_have():
    chain = nnqm.MarkovChain([-1.0, 1.0], [[0.9, 0.1], [0.2, 0.8]], dt=0.5)
    found = training_dynamics(Trajectory([0], [Theory(chain)]), n_levels=3, positivity=False)
    assert found["gap"].values[0, 0] == pytest.approx(-np.log(0.7) / 0.5)
    assert list(found["gap"].origins[0]) == ["exact", "absent", "absent"]
    assert list(found["weight"].origins[0]) == ["exact", "absent", "absent"]


# ---- averages over draws, and measurements


def pulled(quantity, exact):
    pull = abs(quantity.value - exact) / quantity.error
    accept(2 * stats.t.sf(pull, BLOCKS - 1), f"{quantity.value} +- {quantity.error}, exactly {exact}")


@pytest.mark.slow
def test_averages_over_draws_have_their_closed_forms():
    # x = v sin(w y): v ~ N(0, 0.8^2), w ~ N(0, 1.3^2), which can be integrated.
    network = RandomNetwork((1, 1, 1), "sin", weight_std=[1.3, 0.8], group=8)
    found = training_dynamics(Trajectory([0], [theory_of(network)]), n_levels=4, rng=2, positivity=False).physics[0]
    q = (1.3 * SPREAD) ** 2
    for n in (1, 2, 3, 4):
        weight = found.numbers["weight"][n - 1]
        assert weight.origin == "averaged"
        double_factorial = math.prod(range(1, 2 * n, 2))
        exact = 0.8**2 * (q / (1 + 2 * q)) ** n * double_factorial / math.factorial(n) / np.sqrt(1 + 2 * q)
        if n % 2:
            pulled(weight, exact)
        else:
            assert weight.value == 0
    (bracket,) = found.numbers["commutator"]
    assert bracket.origin == "averaged"
    pulled(bracket, MASS / HBAR * (SIGMA * 0.8 * 1.3) ** 2 * (1 + (1 + 4 * q) ** -1.5) / 2)
    (variance,) = found.numbers["variance"]
    pulled(variance, 0.8**2 * (1 - (1 + 4 * q) ** -0.5) / 2)
    (product,) = found.numbers["uncertainty"]
    # <p^2> = m^2 omega^2 sum n^2 c_n^2
    n = np.arange(1, 200, 2)
    logs = n * np.log(q / (1 + 2 * q)) + np.array(
        [math.lgamma(2 * k + 1) - k * math.log(2) - 2 * math.lgamma(k + 1) for k in n]
    )
    square = (MASS * OMEGA * 0.8) ** 2 * (n**2 @ np.exp(logs)) / np.sqrt(1 + 2 * q)
    pulled(product, np.sqrt(0.8**2 * (1 - (1 + 4 * q) ** -0.5) / 2 * square))


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [1, 2])
def test_short_times_of_draws_are_the_mean_of_their_exact_values(inputs):
    source = OrnsteinUhlenbeck([1.0, 1.7][:inputs], [0.9, 0.6][:inputs])
    draws = [Network.random((inputs, 4, 2), "erf", rng=i, bias_std=0.5) for i in range(4)]
    theories = [Theory(source, network, hbar=HBAR, mass=MASS) for network in draws]
    measures = [nnqm.kallen_lehmann(theory, 1) for theory in theories]
    bracket, square = average_of_short_times(theories[0], draws, 1, 2)
    for found, exact in (
        (bracket, [m.commutator for m in measures]),
        (square, [m.momentum_squared for m in measures]),
    ):
        assert float(found.value) == pytest.approx(np.mean(exact), rel=1e-7)
        # Two blocks of two draws
        assert float(found.error) == pytest.approx(abs(np.mean(exact[:2]) - np.mean(exact[2:])) / 2, rel=1e-6)
    with pytest.raises(InputError, match="needs smooth activations; got relu"):
        average_of_short_times(theories[0], [Network.random((inputs, 4, 2), "relu", rng=1)] * 2, 1, 2)


@pytest.mark.slow
def test_kinks_are_measured_and_their_uncertainty_is_infinite():
    # x = v max(w y, 0): [x, p]/(i hbar) = (m/hbar) sigma^2 <v^2 w^2>/2.
    network = RandomNetwork((1, 1, 1), "relu", weight_std=[1.3, 0.8], group=8)
    trajectory = Trajectory([0], [theory_of(network)])
    found = training_dynamics(trajectory, rng=1, n_paths=8000, positivity=False).physics[0]
    (bracket,), (product,) = found.numbers["commutator"], found.numbers["uncertainty"]
    assert (bracket.origin, product.origin) == ("measured", "measured")
    pulled(bracket, MASS / HBAR * (SIGMA * 1.3 * 0.8) ** 2 / 2)
    assert math.isinf(product.value)
    fixed = training_dynamics(trajectory_of([Network([[[1.0]], [[1.0]]], activation="relu")]), positivity=False)
    assert math.isinf(fixed["uncertainty"].values[0])
    assert fixed["uncertainty"].origins[0] == "exact"


def test_thermal_theories_have_limits_and_no_levels():
    theory = Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=2.0))
    found = training_dynamics(Trajectory([0], [theory]), n_levels=2, rng=1, n_paths=2000, positivity=False)
    assert set(found["weight"].origins[0]) == {"absent"}
    assert found["variance"].values[0] == pytest.approx(0.5 / np.tanh(1.0))
    assert "closed paths do not decay" in str(found)


@pytest.mark.slow
def test_many_inputs_are_averaged_over_points_and_levels_measured():
    # The mean of four equal oscillators is an oscillator.
    network = Network([np.full((1, 4), 0.5)], activation=["identity"])
    theory = Theory(OrnsteinUhlenbeck([1.0] * 4), network)
    run = training_dynamics(Trajectory([0], [theory]), n_levels=2, rng=1, n_paths=4000, positivity=False)
    found = run.physics[0]
    assert found.numbers["gap"][0].value == pytest.approx(1.0)
    assert found.numbers["commutator"][0].origin == "averaged"
    assert found.numbers["commutator"][0].value == pytest.approx(1.0)
    assert found.numbers["weight"][0].origin == "measured"
    pulled(found.numbers["weight"][0], 0.5)
    pulled(found.numbers["uncertainty"][0], 0.5)


# ---- networks of t, and positivity


def of_time(scale, **options):
    source = Times(reflected="shared" in options)
    return Theory(source, RandomNetwork((1, 16, 1), "tanh", weight_std=scale, bias_std=0.5, **options))


@pytest.mark.slow
def test_networks_of_t_have_no_levels_and_no_commutator():
    found = training_dynamics(Trajectory([0, 1], [of_time(1.0), of_time(2.0)]), rng=1, n_paths=1000)
    assert set(found["weight"].origins.ravel()) == {"absent"}
    assert set(found["uncertainty"].origins) == {"absent"}
    assert (found["commutator"].values == 0).all()
    assert (found["commutator"].errors < 1e-6).all()
    assert found.verdicts == ("violated", "violated")
    assert (found.p_values < 1e-6).all()
    assert (np.array([p.norm.value for p in found.physics]) < 0).all()


@pytest.mark.slow
def test_positivity_is_known_by_construction_and_tested_all_the_same():
    split = of_time(1.5, shared=[True, False])
    deep = theory_of(Network.random((1, 6, 1), rng=1))
    for theory in (split, deep):
        found = training_dynamics(Trajectory([0], [theory]), rng=3, n_paths=1000)
        assert found.verdicts == ("positive by construction",)
        accept(found.p_values, "positivity of a theory that is positive by construction")


# ---- trainings


POINTS = np.array([0.3, 0.6, 0.9])
SIDES = {"plain": {}, "split": {"shared": [True, False]}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SIDES)
def test_trained_networks_of_t_keep_their_verdict_at_every_step(kind):
    descent = nnqm.GradientDescent(POINTS, np.sin(2 * POINTS), rate=0.1, steps=0)
    theory = of_time(1.5, training=descent, **SIDES[kind])
    steps = [0, 1, 10, 100]
    times = np.linspace(-1.2, 1.2, 9)
    along = Trajectory.of_ensemble(theory, steps)
    assert [t.network.training.steps for t in along.theories] == steps
    assert all(t.network.training.at(0) == descent for t in along.theories)
    found = training_dynamics(along, times=times, rng=2, n_paths=1000)
    if kind == "plain":
        assert found.verdicts == ("violated",) * 4
        assert (found.p_values < 1e-6).all()
    else:
        assert found.verdicts == ("positive by construction",) * 4
        accept(found.p_values, "positivity of a split network along its training")
    # The training is real: the spread of x at a point of the data falls.
    spread = [nnqm.sample_paths(t, 512, times=[0.0, 0.6], rng=1)[:, 1, 0].std() for t in along.theories]
    assert spread[-1] < 0.2 * spread[0]


@pytest.mark.slow
def test_a_trained_deep_network_keeps_levels_and_positivity_while_weights_move():
    start = Theory(OrnsteinUhlenbeck(1.0), Network.random((1, 4, 1), rng=1, bias_std=0.5))
    target = nnqm.Target(SpectralWeights(2), [0.5, 0.25], tolerance=0.01)
    fitted = nnqm.fit(start, target, method="gradient-descent", rate=3e-5, steps=40)
    found = training_dynamics(fitted.trajectory.thinned(4), n_levels=3, rng=1, n_paths=1000)
    assert found.losses[-1] < found.losses[0]
    np.testing.assert_allclose(found["gap"].values, np.tile([1.0, 2.0, 3.0], (4, 1)))
    weights = found["weight"].values
    assert abs(weights[-1, 0] - 0.5) < 0.1 * abs(weights[0, 0] - 0.5)
    assert (weights >= 0).all()
    assert set(found.verdicts) == {nnqm.Verdict.POSITIVE_BY_CONSTRUCTION}
    accept(found.p_values, "positivity of a deep NN-QM along its training")


@pytest.mark.slow
def test_an_ensemble_on_an_oscillator_is_averaged_over_its_trained_draws():
    data = np.array([-0.8, 0.1, 0.9])
    descent = nnqm.GradientDescent(data, np.tanh(data), rate=0.2, steps=0)
    network = RandomNetwork((1, 12, 1), "tanh", weight_std=1.5, bias_std=0.5, group=8, training=descent)
    theory = Theory(OrnsteinUhlenbeck(1.0), network)
    along = Trajectory.of_ensemble(theory, [0, 200])
    found = training_dynamics(along, n_levels=2, rng=1, n_draws=64, positivity=False)
    assert set(found["weight"].origins.ravel()) == {"averaged"}
    # Trained networks are all near tanh(y), whose first weight is known; the spread over draws falls.
    exact = nnqm.kallen_lehmann(Theory(OrnsteinUhlenbeck(1.0), Network([[[1.0]], [[1.0]]]))).weights[0]
    values, errors = found["weight"].values[:, 0], found["weight"].errors[:, 0]
    assert abs(values[1] - exact) < 0.1 * exact
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.slow
def test_the_kurtosis_of_a_network_of_t_is_that_of_its_last_time():
    # One neuron without biases: x(t) = v sin(w t) at t = 1.5.
    network = RandomNetwork((1, 1, 1), "sin", weight_std=[1.0, 1.0])
    times = np.linspace(-1.5, 1.5, 13)
    found = training_dynamics(
        Trajectory([0], [Theory(Times(), network)]), times=times, rng=1, n_paths=40_000, positivity=False
    )
    # <v^2> = 1, <v^4> = 3 and averages of powers of sin(w t) over w.
    second = (1 - np.exp(-2 * 1.5**2)) / 2
    fourth = 3 * (3 - 4 * np.exp(-2 * 1.5**2) + np.exp(-8 * 1.5**2)) / 8
    pulled(found.physics[0].numbers["kurtosis"][0], fourth / second**2 - 3)
    pulled(found.physics[0].numbers["variance"][0], second)


@pytest.mark.slow
def test_groups_of_networks_of_t_are_tested_on_one_path_each():
    theory = Theory(Times(), RandomNetwork((1, 8, 1), "tanh", group=4, bias_std=0.5))
    found = training_dynamics(Trajectory([0], [theory]), rng=1, n_paths=400)
    assert found.verdicts == ("violated",)


# ---- reproducibility, failures


@pytest.mark.slow
def test_a_number_depends_on_the_rng_and_its_step_only():
    theories = [of_time(1.0), theory_of(RandomNetwork((1, 4, 1), "tanh", group=8))]
    settings = {"rng": 5, "n_paths": 1664, "n_draws": 20}
    both = training_dynamics(Trajectory([3, 7], theories), n_threads=1, **settings)
    again = training_dynamics(Trajectory([3, 7], theories), n_threads=2, **settings)
    alone = training_dynamics(Trajectory([7], theories[1:]), **settings)
    other = training_dynamics(Trajectory([7], theories[1:]), **{**settings, "rng": 6})
    assert str(both.physics) == str(again.physics)
    for name in ("weight", "kurtosis", "commutator"):
        assert np.array_equal(both[name].values[1], alone[name].values[0])
        assert not np.array_equal(other[name].values, alone[name].values)
    assert both.p_values[1] == alone.p_values[0]
    # The same theory at two steps: other paths, the same draws.
    twice = training_dynamics(Trajectory([7, 8], [theories[1]] * 2), **settings)
    assert twice.p_values[0] != twice.p_values[1]
    assert np.array_equal(*twice["weight"].values)


@pytest.mark.slow
def test_a_step_that_fails_is_unresolved_and_the_others_remain():
    wild = Network([[[1e200]], [[1e200]]], activation=["identity", "identity"])
    found = training_dynamics(trajectory_of([sine(1.0), wild, sine(2.0)], losses=[3.0, 2.0, 1.0]), rng=1, n_paths=512)
    origins = found["kurtosis"].origins
    assert list(origins[[0, 2]]) == ["exact", "exact"]
    assert origins[1] == "unresolved"
    assert np.isnan(found["weight"].values[1]).all()
    assert "(steps 1)" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("source", [OrnsteinUhlenbeck(1.0), Times()])
def test_a_training_that_diverges_is_named_and_the_steps_before_remain(source):
    descent = nnqm.GradientDescent(POINTS, np.sin(POINTS), rate=50.0, steps=0)
    network = RandomNetwork((1, 8, 1), "tanh", weight_std=1.5, bias_std=0.5, training=descent)
    along = Trajectory.of_ensemble(Theory(source, network), [0, 1000])
    found = training_dynamics(along, n_levels=2, rng=1, n_paths=512, n_draws=16)
    assert np.isfinite(found["variance"].values[0])
    assert found["variance"].origins[1] == "unresolved"
    assert found.verdicts[1] == "not tested"
    assert "the training of network 0 diverges at step" in found.physics[1].reason
    assert "variance, kurtosis, commutator, uncertainty" in str(found)


def test_an_interrupt_keeps_the_finished_steps():
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    trajectory = trajectory_of([sine(s) for s in (0.5, 1.0, 1.5)], losses=[3.0, 2.0, 1.0])
    with pytest.raises(nnqm.Interrupted, match="holds 2 steps") as stopped:
        training_dynamics(trajectory, positivity=False, progress=stop)
    assert seen == [(1, 3), (2, 3)]
    assert stopped.value.partial.steps == (0, 1)
    assert stopped.value.partial.losses == (3.0, 2.0)


def test_an_interrupt_at_once_leaves_nothing(monkeypatch):
    from nnqm.learning import physics

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(physics, "kallen_lehmann", stop)
    with pytest.raises(nnqm.Interrupted) as stopped:
        training_dynamics(trajectory_of([sine(1.0)]), positivity=False)
    assert stopped.value.partial is None


WRONG = {
    "trajectory": ({"trajectory": [1]}, InputTypeError, r"must be a Trajectory; got list"),
    "channel": ({"channel": "z"}, InputError, "channel 'z' is unknown"),
    "levels": ({"n_levels": 0}, InputError, "n_levels must be at least 1"),
    "paths": ({"n_paths": 100}, InputError, "n_paths must be at least 200"),
    "draws": ({"n_draws": 1}, InputError, "n_draws must be at least 2"),
    "precision": ({"precision": "half"}, InputError, "precision 'half' is unknown"),
    "setting": ({"n_path": 300}, InputTypeError, "no argument 'n_path'; did you mean n_paths"),
    "few times": ({"times": [0.0, 1.0]}, InputError, "times must be a uniform"),
    "uneven times": ({"times": [0.0, 1.0, 1.5, 4.0, 5.0]}, InputError, "times must be a uniform"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_are_named(what):
    given, kind, message = WRONG[what]
    arguments = {"trajectory": trajectory_of([sine(1.0)]), "positivity": False, **given}
    with pytest.raises(kind, match=message):
        training_dynamics(**arguments)
    with pytest.raises(InputError, match="name 'spread' is unknown"):
        training_dynamics(trajectory_of([sine(1.0)]), positivity=False)["spread"]


# ---- table, dataset, figure


@pytest.fixture(scope="module")
def mixed():
    """A deep NN-QM and a network of t."""
    trajectory = Trajectory([0, 1, 30, 400], [*map(theory_of, map(sine, (0.5, 1.0, 1.5))), of_time(1.0)])
    return training_dynamics(trajectory, n_levels=3, rng=1, n_paths=512)


@pytest.mark.slow
def test_the_table_shows_every_step(mixed):
    lines = str(mixed).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["0", "1", "30", "400"]
    assert f"{sine_weights(0.5, 0.0)[0]:.5g}" in lines[1]
    assert lines[4].endswith("violated")
    assert "uncertainty: negative (smooth) (steps 400)" in lines[-1] + lines[-2]
    assert repr(mixed) == "TrainingDynamics(4 theories, steps 0 to 400, 3 levels)"


@pytest.mark.slow
def test_the_dataset_has_all_numbers_and_survives_a_file(mixed, tmp_path):
    dataset = mixed.to_xarray()
    assert dict(dataset.sizes) == {"step": 4, "level": 3}
    for name in ("variance", "kurtosis", "commutator", "uncertainty", "gap", "weight"):
        series = mixed[name]
        np.testing.assert_array_equal(dataset[name], series.values)
        np.testing.assert_array_equal(dataset[f"{name}_error"], series.errors)
        np.testing.assert_array_equal(dataset[f"{name}_origin"], series.origins)
    np.testing.assert_array_equal(dataset.p_value, mixed.p_values)
    assert list(dataset.positivity.values) == [str(v) for v in mixed.verdicts]
    assert list(dataset.seen.sel(step=0).values) == [True, False, True]
    dataset.to_netcdf(tmp_path / "along.nc", engine="h5netcdf")
    assert xarray.load_dataset(tmp_path / "along.nc", engine="h5netcdf").identical(dataset)
    losses = training_dynamics(trajectory_of([sine(1.0)], losses=[0.5]), positivity=False).to_xarray()
    assert losses.loss.values == [0.5]


@pytest.mark.slow
def test_the_figure_holds_the_numbers(mixed):
    axes = [
        draw({"one": mixed, "other": mixed}, ax, quantity=quantity)
        for ax, quantity in zip(
            Figure().subplots(1, 4), ("positivity", "weight", "kurtosis", "commutator"), strict=True
        )
    ]
    assert [a.get_xlabel() for a in axes] == ["training step"] * 4
    positivity, weights, kurtosis, commutator = axes
    drawn = [line for line in positivity.lines if line.get_label() == "one"]
    np.testing.assert_array_equal(drawn[0].get_xdata(), mixed.steps)
    np.testing.assert_array_equal(drawn[0].get_ydata(), np.maximum(mixed.p_values, 1e-30))
    # Levels of the first training only, at the steps that have them.
    assert len(weights.containers) == 3
    np.testing.assert_array_equal(weights.containers[0].lines[0].get_ydata(), mixed["weight"].values[:3, 0])
    assert weights.get_yscale() == "log"
    assert len(kurtosis.containers) == 2
    np.testing.assert_array_equal(commutator.containers[1].lines[0].get_ydata(), mixed["commutator"].values)
    assert kurtosis.get_xscale() == "symlog"
    assert [t.get_text() for t in kurtosis.get_xticklabels()] == ["0", "1", "10", "100"]


def test_the_figure_takes_given_axes_and_names_faults(mixed):
    given = Figure().subplots()
    assert mixed.plot(given, quantity="gap") is given
    assert given.get_ylabel().startswith("$E_n")
    with pytest.raises(InputError, match="quantity 'kurtoses' is unknown"):
        draw(mixed, quantity="kurtoses")
    with pytest.raises(InputTypeError, match="dynamics must be TrainingDynamics"):
        draw({"a": 3})


@pytest.mark.slow
def test_matplotlib_and_xarray_are_loaded_on_use():
    script = (
        "import sys, nnqm, nnqm.plot\n"
        "t = nnqm.Trajectory([0], [nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))])\n"
        "found = nnqm.training_dynamics(t, positivity=False)\n"
        "assert 'matplotlib' not in sys.modules and 'xarray' not in sys.modules\n"
        "from matplotlib.figure import Figure\n"
        "nnqm.plot.training(found, Figure().subplots())\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    assert answer(script) == ""


def test_a_thinned_trajectory_keeps_its_ends_and_equal_ratios():
    steps = [0, *range(1, 1001)]
    theory = theory_of(sine(1.0))
    along = Trajectory(steps, [theory] * len(steps), losses=steps)
    thin = along.thinned(7)
    assert thin.steps[0] == 0
    assert thin.steps[-1] == 1000
    assert len(thin.steps) == 7
    assert thin.losses == tuple(map(float, thin.steps))
    ratios = np.diff(np.log1p(thin.steps))
    assert ratios.max() < 1.3 * ratios.min()
    assert along.thinned(2000) is along
    assert len(Trajectory([0, 1, 1000], [theory] * 3).thinned(2).steps) == 2
    with pytest.raises(InputError, match="n must be at least 2"):
        along.thinned(1)
