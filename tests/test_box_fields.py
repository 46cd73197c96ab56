"""Networks of fields: builders, exact columns, correlators by distance and momentum, dispersion and thresholds."""

from dataclasses import replace
from itertools import combinations_with_replacement, product
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnqm
from harness import assert_consistent, assert_each_consistent, assert_inconsistent
from nnqm import fields
from nnqm.errors import InputError, InputTypeError

TANH = nnqm.Network([[[2.0], [0.5]], [[0.7, 1.0]]], [[0.2, -0.1], [0.3]])
RELU = nnqm.Network([[[1.0]], [[1.0]]], [[-0.2], [0.0]], activation="relu")


def hermite_neurons(order, spread, terms=5, step=0.45):
    """Weights a, v of neurons sin(a y) or cos(a y) with one Hermite coefficient up to the order 2 ``terms``.

    The coefficient m of sin(a z) or cos(a z) has the magnitude exp(-a^2/2) a^m/sqrt(m!) and the sign of i^m.
    """
    a = step * np.arange(1, terms + 1)
    orders = [m for m in range(1, 3 * terms) if (m - order) % 2 == 0][:terms]
    rows = [np.exp(-(a**2) / 2) * a**m / np.sqrt(factorial(m)) * (-1) ** (m // 2) for m in orders]
    return a / spread, np.linalg.solve(rows, [float(m == order) for m in orders])


def hermite_network(order, spread):
    """A network of one input that is He_order/sqrt(order!), but for a constant and high orders."""
    a, v = hermite_neurons(order, spread)
    return nnqm.Network([a[:, None], v[None]], activation="sin" if order % 2 else "cos")


# ---- builders


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 99))
def test_a_pointwise_network_is_the_same_function_at_every_point(n, widths, seed):
    network = nnqm.Network.random((1, *widths), rng=seed, bias_std=1.0)
    made = fields.pointwise(network, n)
    y = np.random.default_rng(seed).normal(size=(6, n))
    expected = np.stack([network(y[:, s : s + 1]) for s in range(n)], axis=1).reshape(6, -1)
    np.testing.assert_allclose(made(y), expected, rtol=1e-13, atol=1e-13)
    for output in range(made.n_outputs):
        column, part = fields.single_point(made, output)
        assert column == output // widths[-1]
        np.testing.assert_allclose(part(y[:, column : column + 1])[:, 0], made(y)[:, output], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sites", [(5,), (3, 4)])
def test_a_convolution_is_the_sum_over_moved_sites(sites):
    rng = np.random.default_rng(1)
    box = fields.PeriodicBox(1.0, sites)
    extents = (3, 2)[: len(sites)]
    kernels = [rng.normal(size=(2, 1, *extents)), rng.normal(size=(3, 2, *extents))]
    biases = [rng.normal(size=2), rng.normal(size=3)]
    made = fields.convolution(box, kernels, biases)
    values = rng.normal(size=(1, *sites))
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        found = np.zeros((kernel.shape[0], *sites)) + bias.reshape(-1, *[1] * len(sites))
        for place in np.ndindex(extents):
            r = [p - e // 2 for p, e in zip(place, extents, strict=True)]
            moved = np.roll(values, [-x for x in r], axis=range(1, 1 + len(sites)))
            found += np.einsum("oi,i...->o...", kernel[(slice(None), slice(None), *place)], moved)
        if i == 0:
            first = values
            found = np.tanh(found)
        values = found
    np.testing.assert_allclose(made(first.reshape(1, -1)), np.moveaxis(values, 0, -1).reshape(1, -1), rtol=1e-12)


@pytest.mark.parametrize("last", ["identity", "tanh"])
def test_a_projection_multiplies_by_the_modes(last):
    box = fields.PeriodicBox(1.0, (3, 4), spacing=0.5)
    kernel = np.random.default_rng(2).normal(size=(2, 1, 3, 3))
    network = fields.convolution(box, [kernel], activation=[last])
    q = box.momenta[[0, 5, 2]]
    made = fields.momentum_projection(box, network, q)
    y = np.random.default_rng(3).normal(size=(4, 12))
    at_sites = network(y).reshape(4, 12, 2)
    out = made(y).reshape(4, 2, -1)
    assert out.shape[-1] == 1 + 2 + 1
    x = box.positions
    cell = box.spacing**2
    modes = [np.ones(12) / np.sqrt(12)]
    modes += [f(x @ q[1]) * np.sqrt(2 / 12) for f in (np.cos, np.sin)]
    modes += [np.cos(x @ q[2]) / np.sqrt(12)]
    expected = np.sqrt(cell) * np.einsum("ms,psj->pjm", modes, at_sites)
    # The sign of the sine is a convention.
    np.testing.assert_allclose(out**2, expected**2, rtol=1e-11, atol=1e-13)


BOX = fields.PeriodicBox(1.0, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fields.pointwise(nnqm.Network([[[1.0, 2.0]]]), 3), "must take 1 input"),
        (lambda: fields.pointwise(nnqm.Network.random((1, 256, 256, 1), rng=1), 512), "GiB"),
        (lambda: fields.convolution(BOX, []), "at least one layer"),
        (lambda: fields.convolution(BOX, [np.ones((1, 1, 7))]), "at most as long as the box"),
        (lambda: fields.convolution(BOX, [np.ones((1, 1, 3, 3))]), "one length per axis"),
        (lambda: fields.convolution(BOX, [np.ones((2, 1, 3)), np.ones((1, 1, 3))]), "layer 0 has 2 outputs"),
        (lambda: fields.convolution(BOX, [np.ones((2, 2, 3))]), "the field is one input"),
        (lambda: fields.momentum_projection(BOX, TANH), "there are 6 sites"),
        (lambda: fields.momentum_projection(BOX, nnqm.Network([np.ones((4, 6))])), "same number of outputs"),
        (lambda: fields.momentum_projection(BOX, momenta=[0.5]), "take rows of box.momenta"),
        (lambda: fields.momentum_projection(BOX, momenta=[np.pi / 3, -np.pi / 3]), "q and -q count as one"),
        (lambda: nnqm.Theory(BOX, TANH), "network takes 1 inputs, but the sources give 6"),
        (lambda: fields.particle_levels(BOX, 0.3, 4.0), "momenta of the box"),
        (lambda: fields.thresholds(fields.PeriodicBox(1.0, (4, 4)), 2, np.zeros((2, 3))), r"shape \(Q, 2\)"),
        (lambda: fields.PointwiseField(BOX).by_momentum([0.0], np.zeros((1, 2))), r"shape \(Q, 1\)"),
        (lambda: fields.particle_levels(fields.PeriodicBox(0.1, (16, 16)), [0.0, 0.0], 9.0), "sets of momenta"),
        (lambda: fields.PointwiseField(BOX, fields.pointwise(TANH, 6)), "single_point"),
    ],
)
def test_bad_networks_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_wrong_types_are_refused():
    for make in (
        lambda: fields.pointwise("tanh", 3),
        lambda: fields.convolution(nnqm.OrnsteinUhlenbeck(1.0), [np.ones((1, 1, 3))]),
        lambda: fields.PointwiseField(nnqm.OrnsteinUhlenbeck(1.0)),
        lambda: fields.correlator_by_distance("run"),
    ):
        with pytest.raises(InputTypeError):
            make()


# ---- levels of particles


@pytest.mark.parametrize(("sites", "n", "q"), [((5,), 3, 1), ((5,), 4, 0), ((3, 4), 3, 5), ((2, 3), 1, 4)])
def test_levels_of_particles_are_all_sets_of_momenta(sites, n, q):
    box = fields.PeriodicBox(0.7, sites, spacing=0.8)
    total = box.momenta[q]
    energies = []
    for chosen in combinations_with_replacement(range(box.n_inputs), n):
        turns = (box.momenta[list(chosen)].sum(axis=0) - total) * 0.8 / (2 * np.pi)
        if np.allclose(turns, np.round(turns), atol=1e-9):
            energies.append(box.rates[list(chosen)].sum())
    bound = np.sort(energies)[2 * len(energies) // 3] + 1e-6
    found = fields.particle_levels(box, total, bound, n)
    expected = np.sort([e for e in energies if e <= bound])
    np.testing.assert_allclose(np.repeat(found.energies, found.multiplicities), expected, rtol=1e-12)
    assert fields.thresholds(box, n, [total])[0] == pytest.approx(min(energies), rel=1e-13)
    assert fields.thresholds(box, n)[0] == pytest.approx(n * 0.7, rel=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_phase_space_adds_up_to_the_power_of_the_propagator(n):
    box = fields.PeriodicBox(1.0, (2, 3), spacing=0.6, dispersion="continuum")
    rho = box.propagator(0.4, box.positions) / box.variance[0]
    for q in box.momenta:
        levels = fields.particle_levels(box, q, 100.0, n)
        expected = 0.36 * (np.cos(box.positions @ q) * rho**n).sum()
        assert (levels.phase_space * np.exp(-0.4 * levels.energies)).sum() == pytest.approx(expected, rel=1e-12)


# ---- exact columns


def as_oscillators(box, network):
    """The theory of a box with one Ornstein-Uhlenbeck input per mode and the modes as the first layer."""
    first = box.modes / np.sqrt(box.spacing ** len(box.sites))
    inputs = nnqm.OrnsteinUhlenbeck(box.rates.tolist(), [1.0] * box.n_inputs)
    layers = [first, *network.weights], [np.zeros(len(first)), *network.biases]
    return nnqm.Theory(inputs, nnqm.Network(*layers, ["identity", *network.activations]))


@pytest.mark.slow
def test_exact_functions_by_momentum_are_those_of_the_modes():
    box = fields.PeriodicBox(1.0, 3, spacing=0.8)
    exact = fields.PointwiseField(box, TANH)
    theory = as_oscillators(box, fields.momentum_projection(box, fields.pointwise(TANH, 3)))
    times = np.array([0.0, 0.3, 1.1])
    for column, q in enumerate(box.momenta[:2]):
        expected = nnqm.kallen_lehmann(theory, column, tolerance=1e-3).connected(times)
        np.testing.assert_allclose(exact.by_momentum(times, [q])[0], expected, rtol=1e-7)
    theory = as_oscillators(box, fields.pointwise(TANH, 3))
    expected = nnqm.kallen_lehmann(theory, 1, tolerance=1e-3)
    np.testing.assert_allclose(exact.two_point(times, [0.0]), expected.two_point(times), rtol=1e-7)
    at_a_point = box.two_point_of(1, TANH, 1.0, 1.0)
    for name in ("mean", "moments", "commutator", "momentum_squared", "kurtosis"):
        np.testing.assert_allclose(getattr(at_a_point, name), getattr(expected, name), rtol=1e-6, err_msg=name)


def test_weights_of_levels_add_up_to_the_function_by_momentum():
    box = fields.PeriodicBox(1.0, 5)
    exact = fields.PointwiseField(box, TANH)
    for q in box.momenta[:3]:
        levels, weights = exact.levels(q, 9.0)
        assert (weights >= 0).all()
        t = 2.0
        assert (weights * np.exp(-levels.energies * t)).sum() == pytest.approx(exact.by_momentum([t], [q])[0, 0], 1e-7)
    # An odd function has no levels of even numbers of particles.
    levels, weights = fields.PointwiseField(box, nnqm.Network([[[1.3]], [[1.0]]])).levels(0.0, 5.0)
    assert weights[levels.n_particles % 2 == 0].max() < 1e-25 < weights[levels.n_particles == 3].min()


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "width"), [(1, 2), (2, 1), (2, 3), (3, 2)])
def test_functions_of_a_reflection_positive_net_are_averages_over_momenta(dimension, width):
    cutoff = 6.0
    net = fields.ReflectionPositiveNet(dimension, 1.0, width, cutoff)
    exact = fields.PointwiseField(net, nnqm.Network([[[1.5]], [[1.0]]], [[0.3], [0.0]], activation="cos"))
    rng = np.random.default_rng(5)
    n, space = 60_000, dimension - 1
    # Momenta in the ball by rejection, uniform ones kept with probability 1/omega.
    k = rng.normal(size=(8 * n * width, max(space, 1)))
    size = cutoff * rng.random(len(k)) ** (1 / max(space, 1))
    omega = np.sqrt(1 + size**2)
    kept = rng.random(len(k)) < 1 / omega
    along = (k[:, 0] / np.sqrt((k**2).sum(axis=1)) * size)[kept]
    omega = omega[kept]
    if space == 0:
        along, omega = np.zeros_like(along), np.ones_like(omega)
    m = len(omega) // width * width
    along, omega = along[:m].reshape(-1, width), omega[:m].reshape(-1, width)
    for t, r in ((0.3, 0.0), (0.1, 0.7), (1.0, 1.5)):
        rho = (np.exp(-omega * t) * np.cos(along * (r if space else 0.0))).mean(axis=1)
        values = exact.series.of_correlation(rho)
        place = np.zeros(space)
        place[:1] = r
        blocks = np.array_split(values, 64)
        sums = {"x": np.array([b.sum() for b in blocks]), "n": np.array([float(len(b)) for b in blocks])}
        found = nnqm.jackknife(lambda s: s["x"] / s["n"], sums, sums["n"])
        expected = float(exact.connected(t, place))
        if space:
            assert_consistent(found, expected)
        else:
            assert float(found.value) == pytest.approx(expected, rel=1e-10)
        assert float(exact.error(t, place)) < 1e-9


@pytest.mark.parametrize(
    "field", [fields.PeriodicBox(1.0, (2, 3), 0.7), *(fields.ReflectionPositiveNet(d, 1.0, 2, 6.0) for d in (1, 2, 3))]
)
def test_limits_of_short_times_are_the_derivatives(field):
    exact = field.two_point_of(0, TANH, 1.3, 0.7)
    h = 1e-4
    # Errors linear in the lag are extrapolated away.
    commutator = 2 * exact.commutator_at(h) - exact.commutator_at(2 * h)
    square = 2 * exact.momentum_squared_at(h) - exact.momentum_squared_at(2 * h)
    assert exact.commutator == pytest.approx(float(commutator), rel=1e-5)
    assert exact.momentum_squared == pytest.approx(float(square), rel=1e-4)


@pytest.mark.parametrize(
    "field",
    [fields.CosNet(2, 1.0, 4, regulator=fields.Regulator("hard", 3.0)), fields.ReflectionPositiveNet(3, 1.0, 4, 3.0)],
)
def test_fields_themselves_have_their_propagators(field):
    at = np.zeros((2, field.dimension - 1))
    at[1, 0] = 0.7
    found = fields.PointwiseField(field).two_point(np.array([[0.2], [1.0]]), at)
    np.testing.assert_allclose(found, field.propagator(np.array([[0.2], [1.0]]), at), rtol=1e-14)
    if field.sectors:
        # The mean of the correlation of one neuron is the normalised propagator.
        linear = field.series_average(fields.PointwiseField(field).series, np.array([[0.2], [1.0]]), at)
        np.testing.assert_allclose(linear[0], found, rtol=1e-9)


def test_a_wide_net_tends_to_the_gaussian_field():
    # Negative control of the average over momenta: at width 1 it is another number.
    near, wide = (fields.ReflectionPositiveNet(2, 1.0, n, 5.0) for n in (1, 30_000))
    place = 1.0, [1.0]
    rho = float(wide.series_average(fields.PointwiseField(wide).series, *place)[0]) / wide.variance[0]
    series = fields.PointwiseField(wide, hermite_network(2, float(np.sqrt(wide.variance[0])))).series
    gaussian = float(series.of_correlation(rho))
    assert float(wide.series_average(series, *place)[0]) == pytest.approx(gaussian, rel=1e-4)
    assert abs(float(near.series_average(series, *place)[0]) / gaussian - 1) > 0.5


def test_a_cos_net_has_no_exact_column_for_networks():
    net = fields.CosNet(2, 1.0, 8, regulator=fields.Regulator("gaussian", 5.0), points=[0.0, 1.0])
    with pytest.raises(InputError, match="Gaussian for fixed parameters"):
        fields.PointwiseField(net, TANH).connected(1.0, [0.0])
    with pytest.raises(InputError, match="needs a PeriodicBox"):
        fields.PointwiseField(net).by_momentum([1.0])


# ---- sampled against exact

LAGS = (0, 2, 4, 8)
MEASURE = nnqm.Measure(lags=LAGS, observable_lags=(), increment_lags=())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "relu", "He_3"])
def test_two_point_functions_of_networks_in_a_box_agree_with_mehler(name):
    box = fields.PeriodicBox(1.0, 5, spacing=0.8)
    spread = float(np.sqrt(box.variance[0]))
    network = {"tanh": TANH, "relu": RELU, "He_3": hermite_network(3, spread)}[name]
    exact = fields.PointwiseField(box, network)
    if name == "He_3":
        # The network is He_3/sqrt(6) of the standardised field to the orders that the neurons remove.
        np.testing.assert_allclose(exact.series.weights[1:9], [0, 0, 1, 0, 0, 0, 0, 0], atol=1e-9)
    run = nnqm.simulate(nnqm.Theory(box, fields.pointwise(network, 5)), 60_000, 24, 0.15, rng=15, measure=MEASURE)
    by_distance = fields.correlator_by_distance(run)
    expected = exact.connected(by_distance.times, by_distance.displacements[:, None])
    assert_consistent(by_distance.values.reshape(-1), expected.ravel())
    by_momentum = fields.correlator_by_momentum(run)
    of_q = exact.by_momentum(by_momentum.times, by_momentum.momenta)
    assert_consistent(by_momentum.values.reshape(-1), of_q.ravel())
    whole = fields.correlator_by_distance(run, connected=False)
    assert_consistent(whole.values.reshape(-1), (expected + exact.series.mean**2).ravel())
    # Negative control: the function of a free field with the same variance at a point.
    wrong = exact.series.moments[0] * box.propagator(by_distance.times, by_distance.displacements[:, None])
    assert_inconsistent(by_distance.values.reshape(-1), (wrong / box.variance[0]).ravel())


@pytest.mark.slow
def test_projected_networks_have_the_function_by_momentum():
    box = fields.PeriodicBox(1.0, 5, spacing=0.8)
    momenta = box.momenta[[0, 2]]
    theory = nnqm.Theory(box, fields.momentum_projection(box, fields.pointwise(TANH, 5), momenta))
    run = nnqm.simulate(theory, 60_000, 24, 0.15, rng=3, measure=MEASURE)
    found = fields.correlator_by_momentum(run, projected=momenta)
    assert found.members.tolist() == [1, 2]
    exact = fields.PointwiseField(box, TANH)
    assert_consistent(found.values.reshape(-1), exact.by_momentum(found.times, found.momenta).ravel())
    whole = fields.correlator_by_momentum(run, projected=momenta, connected=False)
    assert_consistent(whole.values[0] - found.values[0], 5 * 0.8 * exact.series.mean**2 * np.ones(4))


@pytest.mark.slow
def test_a_field_in_two_dimensions_of_space_by_distance_and_momentum():
    box = fields.PeriodicBox(1.2, (3, 3), spacing=0.7)
    run = nnqm.simulate(nnqm.Theory(box), 60_000, 16, 0.2, rng=4, measure=MEASURE)
    found = fields.correlator_by_distance(run, "phi")
    assert found.pairs.tolist() == [9, 36, 36]
    assert_consistent(found.values.reshape(-1), box.propagator(found.times, found.displacements[:, None]).ravel())
    of_q = fields.correlator_by_momentum(run)
    assert of_q.members.tolist() == [1, 4, 4]
    omega = fields.thresholds(box, 1, of_q.momenta)[:, None]
    assert_consistent(of_q.values.reshape(-1), (np.exp(-omega * of_q.times) / (2 * omega)).ravel())


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 5])
def test_functions_of_a_reflection_positive_net_by_distance(width):
    net = fields.ReflectionPositiveNet(2, 1.0, width, 8.0, points=[0.0, 0.4, 0.8], group=8)
    square = hermite_network(2, float(np.sqrt(net.variance[0])))
    run = nnqm.simulate(nnqm.Theory(net, fields.pointwise(square, 3)), 120_000, 16, 0.2, rng=9, measure=MEASURE)
    exact = fields.PointwiseField(net, square)
    found = fields.correlator_by_distance(run)
    np.testing.assert_allclose(found.distances, [0.0, 0.4, 0.8], atol=1e-12)
    assert found.pairs.tolist() == [3, 4, 2]
    assert_consistent(found.values.reshape(-1), exact.connected(found.times, found.displacements[:, None]).ravel())
    # Negative control: the average of the correlation in place of the average of its powers.
    linear = net.series_average(fields.PointwiseField(net).series, found.times, found.displacements[:, None])[0]
    gaussian = exact.series.of_correlation(linear / net.variance[0])
    assert_inconsistent(found.values.reshape(-1), gaussian.ravel())


def test_a_class_average_is_the_average_of_its_pairs():
    box = fields.PeriodicBox(1.0, 4)
    run = nnqm.simulate(nnqm.Theory(box, fields.pointwise(TANH, 4)), 640, 12, 0.2, rng=1, measure=MEASURE)
    found = fields.correlator_by_distance(run, connected=False)
    pairs = [(a, b) for a, b in product(range(4), repeat=2) if (b - a) % 4 in (1, 3)]
    mean = sum(run.two_point(f"x{a + 1}", f"x{b + 1}").value for a, b in pairs) / len(pairs)
    np.testing.assert_allclose(found.values.value[1], mean, rtol=1e-12)
    np.testing.assert_allclose(found.values[0].value, sum(run.two_point(f"x{a}").value for a in range(1, 5)) / 4)
    of_q = fields.correlator_by_momentum(run, connected=False)
    np.testing.assert_allclose(of_q.values.value[0], found.values.value.T @ [1, 2, 1], rtol=1e-12)


@pytest.mark.slow
def test_connected_class_averages_subtract_per_draw_of_the_momenta():
    net = fields.ReflectionPositiveNet(2, 1.0, 2, 5.0, points=[0.0, 1.0], group=8)
    run = nnqm.simulate(nnqm.Theory(net, fields.pointwise(RELU, 2)), 640, 12, 0.2, rng=1, measure=MEASURE)
    found = fields.correlator_by_distance(run)
    pairs = [[("x1", "x1"), ("x2", "x2")], [("x1", "x2"), ("x2", "x1")]]
    for values, members in zip(found.values, pairs, strict=True):
        mean = sum(run.connected(a, b).value for a, b in members) / 2
        np.testing.assert_allclose(values.value, mean, rtol=1e-9, atol=1e-12)


def test_connected_functions_do_not_depend_on_the_standardisation():
    box = fields.PeriodicBox(1.0, 4)
    theory = nnqm.Theory(box, fields.pointwise(RELU, 4))
    usual = nnqm.default_observables(theory, order=1, neurons=0, products=0)
    moved = replace(usual, shift=usual.shift + 0.2 + 0.1 * np.arange(8), scale=usual.scale * np.arange(1.0, 9.0))
    found = []
    for observables in (usual, moved):
        measure = replace(MEASURE, observables=observables)
        run = nnqm.simulate(theory, 640, 12, 0.2, rng=1, measure=measure, precision="float64")
        found.append(fields.correlator_by_distance(run))
        whole = fields.correlator_by_distance(run, connected=False)
        np.testing.assert_allclose(whole.values.value[0], sum(run.two_point(f"x{a}").value for a in range(1, 5)) / 4)
    np.testing.assert_allclose(found[0].values.value, found[1].values.value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[0].values.error, found[1].values.error, rtol=1e-9)


def test_only_symmetries_of_the_network_are_averaged_over():
    box = fields.PeriodicBox(1.0, (3, 3))
    even = np.array([[0.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 0.0]])
    uneven = np.array([[0.0, 1.0, 0.0], [0.0, 3.0, 2.0], [0.0, 1.0, 0.0]])
    counts = []
    for kernel in (even, uneven):
        theory = nnqm.Theory(box, fields.convolution(box, [kernel[None, None], np.ones((1, 1, 1, 1))]))
        run = nnqm.simulate(theory, 640, 9, 0.2, rng=1, measure=MEASURE)
        counts.append(fields.correlator_by_distance(run).pairs.tolist())
    # A reflection of the first axis remains.
    assert counts == [[9, 36, 36], [9, 18, 18, 36]]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nnqm.Network.random((6, 6), rng=1), "translations move along"),
        (nnqm.Network.random((6, 4), rng=1), "same number of outputs at each"),
    ],
)
def test_networks_that_translations_do_not_move_are_refused(network, message):
    run = nnqm.simulate(nnqm.Theory(BOX, network), 64, 9, 0.2, rng=1, measure=MEASURE)
    with pytest.raises(InputError, match=message):
        fields.correlator_by_distance(run)


def test_networks_that_mix_points_have_no_distances():
    net = fields.ReflectionPositiveNet(2, 1.0, 4, 5.0, points=[0.0, 1.0])
    run = nnqm.simulate(nnqm.Theory(net, nnqm.Network.random((2, 2), rng=1)), 64, 9, 0.2, rng=1, measure=MEASURE)
    with pytest.raises(InputError, match="mixes points"):
        fields.correlator_by_distance(run)
    with pytest.raises(InputError, match="need a PeriodicBox"):
        fields.correlator_by_momentum(run, "phi")
    alone = fields.ReflectionPositiveNet(2, 1.0, 4, 5.0, points=[0.0, 1.0], group=1)
    run = nnqm.simulate(nnqm.Theory(alone, fields.pointwise(TANH, 2)), 64, 9, 0.2, rng=1, measure=MEASURE)
    with pytest.raises(InputError, match="group=1"):
        fields.correlator_by_distance(run)


@pytest.mark.slow
def test_exact_values_stand_beside_the_sampled_ones():
    measure = nnqm.Measure(observable_lags=(), increment_lags=(1,))
    run = nnqm.simulate(nnqm.Theory(BOX, fields.pointwise(TANH, 6)), 20_000, 24, 0.1, rng=6, measure=measure)
    report = nnqm.analyse(run, n_levels=1, positivity=False)
    exact = fields.PointwiseField(BOX, TANH)
    assert_consistent(nnqm.commutator_at_lags(run)[0], report.details["exact"].commutator_at(0.1))
    assert report["G_c(0.5)"].exact == pytest.approx(float(exact.connected(0.5, [0.0])), rel=1e-12)
    assert report["<x1>"].exact == exact.series.mean
    assert {row.verdict for row in report if row.exact is not None and row.estimate} == {nnqm.Verdict.OK}
    net = fields.ReflectionPositiveNet(2, 1.0, 3, 4.0, points=[0.0, 1.0])
    run = nnqm.simulate(nnqm.Theory(net, fields.pointwise(TANH, 2)), 20_000, 24, 0.1, rng=6, measure=measure)
    report = nnqm.analyse(run, n_levels=1, positivity=False)
    exact = fields.PointwiseField(net, TANH)
    assert report["G_c(0.5)"].exact == pytest.approx(float(exact.connected(0.5, [0.0])), rel=1e-12)
    assert report["plateau of G"].exact == pytest.approx(exact.series.mean**2, rel=1e-12)
    assert nnqm.Verdict.DEVIATES not in {row.verdict for row in report}


@pytest.mark.slow
def test_the_kurtosis_of_a_cos_net_is_exact():
    net = fields.CosNet(2, 1.0, 3, regulator=fields.Regulator("gaussian", 5.0), points=[0.0, 1.0])
    run = nnqm.simulate(nnqm.Theory(net), 40_000, 8, 0.2, rng=2)
    exact = net.two_point_of(0, None, 1.0, 1.0)
    assert_consistent(run.kurtosis(), exact.kurtosis)
    assert_consistent(run.connected()[[0, 2, 4]], exact.connected(np.array([0, 2, 4]) * 0.2))
    found = fields.correlator_by_distance(run)
    assert_consistent(found.values[:, 2], net.propagator(found.times[2], found.displacements))


# ---- dispersion


@pytest.mark.slow
def test_dispersion_of_a_deep_field_agrees_with_the_frequencies():
    box = fields.PeriodicBox(1.0, 6)
    deep = nnqm.Network.random((1, 6, 6, 3), rng=3, weight_std=1.5, bias_std=0.5)
    run = nnqm.simulate(nnqm.Theory(box, fields.pointwise(deep, 6)), 40_000, 24, 0.15, rng=8)
    found = fields.dispersion(run)
    assert found.members.tolist() == [1, 2, 2, 1]
    assert set(found.verdicts) == {nnqm.Verdict.RESOLVED}
    omega = np.sqrt(1 + (2 * np.sin(found.momenta[:, 0] / 2)) ** 2)
    np.testing.assert_allclose(found.thresholds(1), omega, rtol=1e-13)
    energies = found.energies
    joint = energies[0].map_replicas(lambda *e: np.stack(e, axis=-1), *energies[1:])
    assert_consistent(joint, omega)
    assert_inconsistent(joint, np.sqrt(1 + found.momenta[:, 0] ** 2))
    assert "resolved" in str(found)


@pytest.mark.slow
def test_functions_that_reflections_do_not_move_along_show_all_pairs():
    box = fields.PeriodicBox(1.0, 6)
    # cos(a (phi(x) + phi(x + r))): pairs of momenta k, q - k have complex amplitudes.
    split = np.zeros((8, 1, 6))
    for j, (a, r) in enumerate((a, r) for a in (0.4, 0.8) for r in range(4)):
        split[j, 0, 3] += a
        split[j, 0, (3 + r) % 6] += a
    theory = nnqm.Theory(box, fields.convolution(box, [split, np.eye(8)[:, :, None]], activation="cos"))
    observables = nnqm.default_observables(theory, order=1)
    measure = nnqm.Measure(observables=observables, lags=(), increment_lags=(), observable_lags=(1, 2, 3, 5))
    run = nnqm.simulate(theory, 20_000, 24, 0.1, rng=2, measure=measure)
    found = fields.dispersion(run, functions=[f"x{j}" for j in range(1, 9)])
    assert set(found.verdicts) == {nnqm.Verdict.RESOLVED}
    assert found.upper_bounds
    joint = found.energies[0].map_replicas(lambda *e: np.stack(e, axis=-1), *found.energies[1:])
    assert_consistent(joint, found.thresholds(2))
    assert found.spectra[1].levels[0].multiplicity == 2
    one = fields.momentum_run(run, np.pi / 3, functions=["x2"])
    assert one.channels == ("x2 on one mode", "x2 on the other")


def products_of(order, box, momenta):
    """Functions at every site that show states of ``order`` particles only, projected on momenta."""
    kernels = np.array([[1, 1, 1], [0, 1, 0], [1, 0, 1], [1, 3, 1]], dtype=float)
    covariance = box.lag_covariance([0.0])[0]
    first, second = [], []
    for j, kernel in enumerate(kernels):
        row = fields.convolution(box, [kernel[None, None]]).weights[0][0]
        a, v = hermite_neurons(order, np.sqrt(row @ covariance @ row))
        first += [kernel * x for x in a]
        second.append(np.concatenate([v if i == j else np.zeros_like(v) for i in range(len(kernels))]))
    layers = [np.array(first)[:, None], np.array(second)[:, :, None]]
    network = fields.convolution(box, layers, activation="sin" if order % 2 else "cos")
    return fields.momentum_projection(box, network, momenta)


@pytest.mark.slow
@pytest.mark.parametrize("order", [2, 3])
def test_thresholds_of_two_and_three_particles_are_resolved(order):
    box = fields.PeriodicBox(1.0, 3)
    momenta = [0.0]
    theory = nnqm.Theory(box, products_of(order, box, momenta))
    measure = nnqm.Measure(lags=(), increment_lags=(), observable_lags=(1, 2, 3, 5))
    run = nnqm.simulate(theory, 60_000, 24, 0.1, rng=order, measure=measure)
    found = fields.dispersion(run, projected=momenta, n_levels=2)
    assert found.verdicts == (nnqm.Verdict.RESOLVED,)
    assert found.thresholds(order)[0] == pytest.approx(order)
    assert_consistent(found.energies[0], order)
    assert_inconsistent(found.energies[0], order - 1)
    levels = fields.particle_levels(box, 0.0, 7.0, order).energies
    gaps = found.spectra[0].gaps
    for gap in gaps:
        assert np.abs(gap.pull(levels)).min() < 4
    assert len(gaps) == 2 or order == 3


def test_bad_runs_have_no_dispersion():
    theory = nnqm.Theory(BOX, fields.momentum_projection(BOX, momenta=[0.0]))
    run = nnqm.simulate(theory, 640, 9, 0.2, rng=1)
    with pytest.raises(InputError, match="has no 'cosine'"):
        fields.dispersion(run, functions=["cosine"])
    with pytest.raises(InputError, match="among the projected ones"):
        fields.dispersion(run, projected=[0.0], momenta=[np.pi])
    with pytest.raises(InputError, match="momenta of a network of momentum_projection"):
        fields.dispersion(run, projected=[0.0, np.pi])
    with pytest.raises(InputError, match="no observable_lags"):
        fields.dispersion(nnqm.simulate(theory, 64, 9, 0.2, rng=1, measure=MEASURE))
    with pytest.raises(InputError, match="one field as its source"):
        fields.dispersion(nnqm.simulate(nnqm.harmonic_oscillator(), 64, 9, 0.2, rng=1))


def test_the_run_of_one_momentum_is_a_run_of_functions():
    run = nnqm.simulate(nnqm.Theory(BOX), 2000, 16, 0.2, rng=1)
    one = fields.momentum_run(run, np.pi / 3, functions=["phi", "h3(phi)"])
    assert one.channels == ("phi", "h3(phi)")
    gaps, weights = nnqm.gevp(one)
    box_weight = 1 / (2 * BOX.rates[1]) / BOX.variance[0]
    # In units of the standardised field at a point.
    assert_each_consistent(weights[0], box_weight)
    assert_each_consistent(gaps[0], BOX.rates[1])


def test_levels_of_a_box_are_those_of_all_momenta():
    energies, counts = nnqm.level_energies(nnqm.Theory(BOX), 8)
    found = [fields.particle_levels(BOX, q, energies[-1] + 1e-6) for q in BOX.momenta]
    expected = np.sort(np.concatenate([np.repeat(f.energies, f.multiplicities) for f in found]))
    np.testing.assert_allclose(np.repeat(energies, counts), expected, rtol=1e-12)


@pytest.mark.slow
def test_levels_below_two_particles_have_their_numbers():
    run = nnqm.simulate(nnqm.Theory(BOX), 20_000, 24, 0.1, rng=7)
    found = nnqm.spectrum(run, 3)
    assert [(level.name, level.multiplicity, level.at_least) for level in found.levels[:2]] == [
        ("gap 1", 1, False),
        ("gap 2", 2, False),
    ]
    assert_consistent(found.joint[:2], BOX.rates[:2])
    # From 2 m on there are states that powers of the field at single points do not show.
    assert found.levels[2].at_least


def test_default_observables_of_a_field_are_alike_at_all_points():
    labels = nnqm.default_observables(nnqm.Theory(BOX)).labels
    assert len(labels) == 1 + 3 * 6
    assert {f"h3(x{s})" for s in range(1, 7)} <= set(labels)
    assert nnqm.default_observables(nnqm.Theory(BOX), order=2, neurons=4, products=3).size == 1 + 2 * 6 + 4 + 3
    alone = fields.ReflectionPositiveNet(2, 1.0, 4, 5.0)
    assert nnqm.default_observables(nnqm.Theory(alone)).size == 1 + 6 + 16


def test_sums_that_memory_cannot_hold_are_refused(monkeypatch):
    monkeypatch.setattr("nnqm._memory.memory", lambda: (2.0**20, "the machine has"))
    monkeypatch.setattr("nnqm._memory._LITTLE", 0)
    with pytest.raises(InputError, match=r"the sums of this run, lags most of it, would take .* GiB"):
        nnqm.simulate(nnqm.Theory(fields.PeriodicBox(1.0, 64)), 640, 9, 0.2, rng=1, measure=MEASURE)
