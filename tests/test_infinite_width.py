"""Exact answers of trained ensembles: kernels, linear models, infinite width, and levels along the training."""

import math

import numpy as np
import pytest
from scipy import stats

import harness
import nnqm
from nnqm.errors import InputError, InputTypeError
from nnqm.learning.infinite_width import InfiniteWidth, LinearModel
from nnqm.learning.spectral_flow import SpectralFlow
from nnqm.statistics.estimate import jackknife
from nnqm.theories.training import GradientDescent
from nnqm.time_networks.gaussian_averages import average, slope_average

POINTS, TARGETS = np.array([[-1.0], [-0.3], [0.4], [1.2]]), np.array([[0.5], [-0.2], [0.1], [0.8]])
TIMES = np.array([-1.4, -0.6, 0.0, 0.7, 1.3])
ACTIVATIONS = ("identity", "tanh", "relu", "sin", "cos", "erf", "gelu", "sigmoid", "softplus")


def trained(network, steps=5, rate=0.2, points=POINTS, targets=TARGETS, **settings):
    return network.with_training(GradientDescent(points, targets, rate, steps, **settings))


def erf_network(width=16, **settings):
    return nnqm.RandomNetwork((1, width, 1), "erf", weight_std=[1.5, 1.0], bias_std=[0.5, 0.0], **settings)


def rates(network, parametrisation, layers):
    """Rate of each parameter, relative to the learning rate: by hand, in the order of Network.parameters."""
    parts, last = [], len(network.activations) - 1
    for i, (n, m) in enumerate(zip(network.widths[:-1], network.widths[1:], strict=True)):
        s, r = network.weight_std[i], network.bias_std[i]
        of_w, of_b = (s * s / n, r * r) if parametrisation == "ntk" else (1.0, 1.0)
        on = 1.0 if layers == "all" or i == last else 0.0
        parts += [np.full(n * m, on * of_w), np.full(m, on * of_b)]
    return np.concatenate(parts)


def descend(draw, network, steps):
    """Brute force: gradient descent of one draw by its pullback."""
    training = network.training
    r = training.rate * rates(network, training.parametrisation, training.layers)
    weights = np.ones(len(training.points)) if training.weights is None else np.asarray(training.weights)
    for _ in range(steps):
        residual = (draw(training.points) - training.targets) * weights[:, None]
        draw = draw.with_parameters(draw.parameters - r * draw.pullback(training.points, residual)[0])
    return draw


# Averages over Gaussian pre-activations


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_averages_of_neurons_are_double_integrals(activation):
    variances, rho = (0.7, 1.9), 0.6
    both = rho * math.sqrt(variances[0] * variances[1])
    z = np.linspace(-9, 9, 601)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    u = math.sqrt(variances[0]) * z
    v = math.sqrt(variances[1]) * (rho * z[:, None] + math.sqrt(1 - rho**2) * z)
    neuron = nnqm.Network([[[1.0]]], activation=[activation])
    arguments = (*map(np.array, variances), np.array(both))
    # The trapezoid rule is not accurate for kinks.
    expected = (weight * neuron(u[:, None])[:, 0]) @ (neuron(v[..., None])[..., 0] @ weight)
    assert average(activation, *arguments) == pytest.approx(expected, abs=2e-4 if activation == "relu" else 1e-10)
    # Slopes: the derivative with respect to the covariance.
    h = 1e-4
    up, down = (average(activation, *arguments[:2], np.array(both + step)) for step in (h, -h))
    assert slope_average(activation, *arguments) == pytest.approx((up - down) / (2 * h), rel=1e-7)


def test_kernels_of_one_layer_have_the_closed_form():
    rng = np.random.default_rng(1)
    s, t = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    network = nnqm.RandomNetwork((3, 8, 1), "erf", weight_std=[1.5, 0.8], bias_std=[0.5, 0.3])
    both = 0.25 + 0.75 * s @ t.T
    first, second = 0.25 + 0.75 * (s**2).sum(1)[:, None], 0.25 + 0.75 * (t**2).sum(1)
    whole = (1 + 2 * first) * (1 + 2 * second)
    prior = 0.64 * 2 / np.pi * np.arcsin(2 * both / np.sqrt(whole)) + 0.09
    model = InfiniteWidth(network)
    np.testing.assert_allclose(model.prior(s, t), prior, rtol=1e-14)
    slopes = 0.64 * 4 / np.pi / np.sqrt(whole - 4 * both**2)
    np.testing.assert_allclose(model.tangent_kernel(s, t), prior + both * slopes, rtol=1e-13)
    relu = InfiniteWidth(nnqm.RandomNetwork((3, 8, 1), "relu", weight_std=[1.5, 0.8], bias_std=[0.5, 0.3]))
    angle = np.arccos(both / np.sqrt(first * second))
    arc = np.sqrt(first * second) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    np.testing.assert_allclose(relu.prior(s, t), 0.64 * arc + 0.09, rtol=1e-13)
    expected = 0.64 * arc + 0.09 + 0.64 * both * (np.pi - angle) / (2 * np.pi)
    np.testing.assert_allclose(relu.tangent_kernel(s, t), expected, rtol=1e-13)
    # Only the last layer: the tangent kernel is the covariance.
    last = InfiniteWidth(trained(network, points=s, targets=s[:, :1], layers="last"))
    np.testing.assert_allclose(last.tangent_kernel(s, t), prior, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "activation", "draws"),
    [((2, 8, 1), "erf", 300), ((1, 300, 300, 1), "tanh", 60), ((2, 8, 1), "relu", 300)],
)
def test_tangent_kernel_is_the_average_over_draws(widths, activation, draws):
    # With one hidden layer at every width; with two, up to 1/width, far below the error.
    network = nnqm.RandomNetwork(widths, activation, weight_std=1.2, bias_std=0.4)
    points = np.random.default_rng(2).normal(size=(3, widths[0]))
    r, found = rates(network, "ntk", "all"), []
    for draw in network.draw(range(draws), 5):
        gradients = np.stack([draw.pullback(p[None], [[1.0]])[0] for p in points])
        found.append(((gradients * r) @ gradients.T)[np.triu_indices(3)])
    size = draws // 20
    sums = {"theta": np.array(found).reshape(20, size, -1).sum(axis=1)}
    estimate = jackknife(lambda s: s["theta"] / (np.array([20] + [19] * 20) * size)[:, None], sums, [size] * 20)
    exact = InfiniteWidth(network).tangent_kernel(points, points)[np.triu_indices(3)]
    harness.assert_each_consistent(estimate, exact)
    # Negative control: the covariance alone.
    wrong = InfiniteWidth(network).prior(points, points)[np.triu_indices(3)]
    harness.refute(estimate.consistency(wrong) if estimate.value.size <= 2 else _worst(estimate, wrong), "prior")


def _worst(estimate, wrong):
    return float(2 * stats.t.sf(np.abs(estimate.pull(wrong)).max(), estimate.n_blocks - 1) * wrong.size)


# Descent


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("steps", [0, 1, 10, 100])
def test_means_and_covariances_follow_the_linear_recursion(steps, weights):
    # A repeated point makes the kernel singular.
    points, targets = np.vstack([POINTS[:3], POINTS[:1]]), TARGETS
    model = InfiniteWidth(trained(erf_network(), steps, points=points, targets=targets, weights=weights))
    everywhere = np.vstack([points, TIMES[:, None]])
    kernel = model.tangent_kernel(everywhere, points) * (1.0 if weights is None else np.array(weights))
    move = np.eye(len(everywhere))
    move[:, :4] -= 0.2 * kernel
    power = np.linalg.matrix_power(move, steps)
    shift = np.zeros(len(everywhere))
    for _ in range(steps):
        shift = move @ shift + 0.2 * kernel @ targets[:, 0]
    np.testing.assert_allclose(model.mean(everywhere)[:, 0], shift, atol=1e-12)
    expected = power @ model.prior(everywhere, everywhere) @ power.T
    np.testing.assert_allclose(model.covariance(everywhere), expected, atol=1e-12)
    np.testing.assert_allclose(model.covariance(TIMES, points), expected[4:, :4], atol=1e-12)
    np.testing.assert_allclose(InfiniteWidth(erf_network()).covariance(TIMES), model.covariance(TIMES, steps=0))


def test_many_steps_interpolate_the_data():
    model = InfiniteWidth(trained(erf_network(), 10))
    np.testing.assert_allclose(model.mean(POINTS, math.inf), TARGETS, atol=1e-12)
    np.testing.assert_allclose(model.covariance(POINTS, steps=math.inf), 0, atol=1e-12)
    np.testing.assert_allclose(model.mean(TIMES, 10**7), model.mean(TIMES, math.inf), atol=1e-9)


def test_the_largest_stable_rate_is_found():
    stable = InfiniteWidth(trained(erf_network())).stable_rate
    for factor, bounded in ((0.99, True), (1.01, False)):
        model = InfiniteWidth(trained(erf_network(), 5000, rate=factor * stable))
        assert (np.abs(model.mean(TIMES)).max() < 10) == bounded
    with pytest.raises(InputError, match=r"below the largest stable one"):
        model.mean(TIMES, math.inf)


@pytest.mark.parametrize("parametrisation", ["ntk", "standard"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_last_layers_descend_as_linear_models(activation, parametrisation):
    network = nnqm.RandomNetwork((2, 5, 4, 2), activation, weight_std=[1.5, 1.0, 0.7], bias_std=[0.5, 0.0, 0.3])
    rng = np.random.default_rng(3)
    points, targets, t = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    settings = {"points": points, "targets": targets, "layers": "last", "parametrisation": parametrisation}
    network = trained(network, 20, 0.05, weights=[1.0, 0.5, 0.0, 2.0], **settings)
    draw = network.with_training(None).draw(range(1), 7)[0]
    model = LinearModel(network, draw)
    expected = descend(draw, network, 20)(t)
    np.testing.assert_allclose(draw(t) - model.response(t) @ (draw(points) - targets), expected, atol=1e-13)
    # Over the weights of the last layer, given the features.
    features = nnqm.Network(draw.weights[:-1], draw.biases[:-1], draw.activations[:-1])(t)
    np.testing.assert_allclose(model.covariance(t, steps=0), 0.49 / 4 * features @ features.T + 0.09, atol=1e-14)


def test_one_layer_is_a_linear_model():
    line = trained(
        nnqm.RandomNetwork((2, 1), weight_std=0.8, bias_std=0.6),
        points=[[0.0, 1.0], [1.0, -1.0]],
        targets=[[1.0], [0.3]],
    )
    for parametrisation in ("ntk", "standard"):
        settings = {
            "points": line.training.points,
            "targets": line.training.targets,
            "parametrisation": parametrisation,
        }
        network = trained(line, 30, 0.1, **settings)
        t = np.array([[0.3, 0.2], [2.0, -1.0]])
        draw = network.with_training(None).draw(range(1), 1)[0]
        for model in (LinearModel(network), InfiniteWidth(network)):
            expected = descend(draw, network, 30)(t)
            found = draw(t) - model.response(t) @ (draw(network.training.points) - network.training.targets)
            np.testing.assert_allclose(found, expected, atol=1e-13)


# Ensembles


STEPS = (0, 1, 10, 100)


def joint(theory, model, t, n=3200, key=3):
    """p-value of mean and covariance of an ensemble, all at once."""
    x = nnqm.sample_paths(theory, n, times=t, key=key, precision="float64")[..., 0]
    mean, covariance = model.mean(t)[:, 0], model.covariance(t)
    upper = np.triu_indices(len(t))
    deviations = x - mean
    rows = np.concatenate([deviations, (deviations[:, :, None] * deviations[:, None])[:, *upper]], axis=1)
    sums = {"x": rows.reshape(64, n // 64, -1).sum(axis=1)}
    counts = np.array([64] + [63] * 64) * (n // 64)
    estimate = jackknife(lambda s: s["x"] / counts[:, None], sums, [n // 64] * 64)
    return harness.p_value(estimate, np.concatenate([np.zeros(len(t)), covariance[upper]]))


@pytest.mark.parametrize("steps", STEPS)
def test_ensembles_of_lines_have_the_exact_mean_and_covariance(steps):
    network = trained(nnqm.RandomNetwork((1, 1), weight_std=0.9, bias_std=0.7), steps, 0.02)
    theory, t = nnqm.Theory(nnqm.Times(), network), np.array([-0.8, 0.9])
    harness.accept(joint(theory, LinearModel(network), t), f"lines after {steps} steps")
    if steps == 10:
        wrong = LinearModel(network.with_training(network.training.at(8)))
        harness.refute(joint(theory, wrong, t), "eight steps for ten")


@pytest.mark.slow
@pytest.mark.parametrize("steps", STEPS)
def test_ensembles_of_features_have_the_exact_mean_and_covariance(steps):
    network = trained(erf_network(6, group=1), steps, layers="last")
    t, n = np.array([-0.9, 0.2, 1.0]), 256
    x = nnqm.sample_paths(nnqm.Theory(nnqm.Times(), network), n, times=t, key=11, precision="float64")[..., 0]
    whitened = []
    for draw, values in zip(network.with_training(None).draw(range(n), 11), x, strict=True):
        model = LinearModel(network, draw)
        root = np.linalg.cholesky(model.covariance(t))
        whitened.append(np.linalg.solve(root, values - model.mean(t)[:, 0]))
    z = np.array(whitened)
    harness.assert_mean_zero(np.concatenate([z, z**2 - 1, z[:, :2] * z[:, 1:]], axis=1))


@pytest.mark.slow
def test_wide_networks_approach_infinite_width_as_one_over_the_width():
    # Each network is compared with its own linear model, whose mean is exact at every width: most noise cancels.
    steps, t, n = 5, np.array([-1.5, 0.9, 1.6]), 12_800
    scaled = []
    for width in (64, 256):
        untrained = erf_network(width)
        network = trained(untrained, steps)
        times = np.sort(np.concatenate([t, POINTS[:, 0]]))
        before, after = (
            nnqm.sample_paths(nnqm.Theory(nnqm.Times(), one), n * 64 // width, times=times, key=5, precision="float64")
            for one in (untrained, network)
        )
        at, data = np.searchsorted(times, t), np.searchsorted(times, POINTS[:, 0])
        model = InfiniteWidth(network)
        linear = before[:, at, 0] - (before[:, data, 0] - TARGETS[:, 0]) @ model.response(t).T
        scaled.append(width * (after[:, at, 0] - linear))
    (one, two), errors = (x.mean(axis=0) for x in scaled), [x.std(axis=0) / math.sqrt(len(x)) for x in scaled]
    # 1/width: the next order is 11/64 of the coefficient at the smaller width.
    pull = (two - one) / np.sqrt(errors[0] ** 2 + errors[1] ** 2 + (0.2 * one) ** 2)
    harness.accept(2 * stats.norm.sf(np.abs(pull)), "the deviations times the width")
    # Negative controls: there is a deviation, and it does not fall as the root of the width.
    harness.refute(2 * stats.norm.sf(np.abs(one / errors[0]).max()), "no deviation")
    slow = two / 2 - one
    harness.refute(2 * stats.norm.sf(np.abs(slow / np.hypot(errors[0], errors[1] / 2)).max()), "1/sqrt(width)")


def test_trained_networks_of_time_stay_smooth_and_violate_positivity():
    for steps in (0, 50):
        model = InfiniteWidth(trained(erf_network(), steps))
        times = np.linspace(-1, 1, 5)
        whole = model(times[:, None], times)
        mean = model.mean(times)[:, 0]
        np.testing.assert_allclose(whole, model.covariance(times) + np.outer(mean, mean), atol=1e-14)
        certificate = nnqm.positivity_certificate(model, 9, 0.2, stationary=False)
        assert certificate.verdict == nnqm.Verdict.VIOLATED


# Levels along the training


def flow_theory(activation="erf", widths=(1, 32, 1), omega=1.0, **settings):
    network = nnqm.RandomNetwork(widths, activation, **{"weight_std": 1.2, "bias_std": 0.5, **settings})
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), network)


def test_levels_of_a_line_have_closed_forms():
    # f = s u y + r v: K is diagonal, r^2 and s^2 <y^2> for the two lowest levels.
    theory = flow_theory(widths=(1, 1), omega=0.8, weight_std=1.3, bias_std=0.6)
    flow = SpectralFlow(theory, [0.4, 0.7, 0.2], levels=3)
    rates = np.array([0.36, 1.69 / 1.6, 0.0, 0.0])
    np.testing.assert_allclose(flow.kernel, np.diag(rates), atol=1e-10)
    np.testing.assert_allclose(flow.energies, 0.8 * np.arange(4))
    times = np.array([0.0, 0.7, 5.0])
    left = np.exp(-np.outer(times, rates))
    np.testing.assert_allclose(flow.mean(times), (1 - left) * [0.4, 0.7, 0.2, 0.0], atol=1e-10)
    np.testing.assert_allclose(flow.variance(times), rates * left**2, atol=1e-10)
    np.testing.assert_allclose(flow.weights(times), flow.mean(times) ** 2 + flow.variance(times))
    steps = SpectralFlow(theory, [0.4, 0.7, 0.2], levels=3, rate=0.3)
    left = (1 - 0.3 * rates) ** np.array([0, 1, 10])[:, None]
    np.testing.assert_allclose(steps.mean([0, 1, 10]), (1 - left) * [0.4, 0.7, 0.2, 0.0], atol=1e-10)


@pytest.mark.parametrize("layers", ["all", "last"])
def test_levels_follow_the_training_on_quadrature_points(layers):
    # The loss over the stationary density is a loss on Gauss-Hermite nodes with their weights.
    theory = flow_theory()
    z, w = np.polynomial.hermite_e.hermegauss(140)
    w = w / math.sqrt(2 * math.pi)
    y, aim = z * math.sqrt(0.5), np.sin(1.5 * z) + 0.3 * z**2

    def target(p):
        return np.sin(1.5 * p[:, 0] / math.sqrt(0.5)) + 0.6 * p[:, 0] ** 2

    flow = SpectralFlow(theory, target, levels=4, rate=0.5, layers=layers, tolerance=1e-9)
    model = InfiniteWidth(trained(theory.network, 1, 0.5, y[:, None], aim[:, None], weights=w, layers=layers))
    h = np.array([np.polynomial.hermite_e.hermeval(z, row) for row in np.eye(5)]) * w
    h /= np.sqrt([[math.factorial(n)] for n in range(5)])
    for k, steps in enumerate((0, 3, 40)):
        np.testing.assert_allclose(flow.mean([0, 3, 40])[k], h @ model.mean(y, steps)[:, 0], atol=1e-8)
        expected = np.diag(h @ model.covariance(y, steps=steps) @ h.T)
        np.testing.assert_allclose(flow.variance([0, 3, 40])[k], expected, atol=1e-8)
    np.testing.assert_allclose(flow.kernel, h @ model.tangent_kernel(y, y) @ h.T, atol=1e-8)


@pytest.mark.slow
def test_levels_of_wide_networks_follow_the_flow():
    theory = flow_theory(widths=(1, 256, 1))
    z, w = np.polynomial.hermite_e.hermegauss(20)
    w = w / math.sqrt(2 * math.pi)
    y, aim = z * math.sqrt(0.5), 0.6 * z + 0.4 * (z**3 - 3 * z) / math.sqrt(6)
    flow = SpectralFlow(theory, [0.0, 0.6, 0.0, 0.4], levels=3, rate=0.5)
    network = trained(theory.network, 12, 0.5, y[:, None], aim[:, None], weights=w)
    x = nnqm.sample_paths(nnqm.Theory(nnqm.Times(), network), 512, times=y, key=2, precision="float64")[..., 0]
    h = np.array([z, (z**3 - 3 * z) / math.sqrt(6)]) * w
    # Corrections of finite width are about 5/256 of the coefficients.
    c = x @ h.T
    np.testing.assert_allclose(c.mean(axis=0), flow.mean([12])[0, [1, 3]], atol=0.03)
    # The prior variances are 0.31 and 0.019.
    np.testing.assert_allclose(c.var(axis=0), flow.variance([12])[0, [1, 3]], atol=5e-4)


def test_two_inputs_learn_products_of_levels():
    omega = [1.0, math.sqrt(2)]
    theory = flow_theory(widths=(2, 1), omega=omega, weight_std=1.0, bias_std=0.5)
    flow = SpectralFlow(theory, lambda y: 0.3 + y[:, 0] * y[:, 1], levels=2)
    assert flow.states.tolist() == [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    spreads = np.sqrt(0.5 / np.array(omega))
    np.testing.assert_allclose(flow.energies, flow.states @ omega)
    np.testing.assert_allclose(flow.kernel, np.diag([0.25, *(0.5 * spreads**2), 0, 0, 0]), atol=1e-7)
    np.testing.assert_allclose(flow.target_coefficients, [0.3, 0, 0, 0, spreads.prod(), 0], atol=1e-7)


# Bad input


def test_what_has_no_exact_answer_is_refused_by_name():
    plain = erf_network()
    split = nnqm.RandomNetwork((1, 4, 1), "tanh", shared=[True, False])
    with pytest.raises(InputError, match="split weights"):
        InfiniteWidth(split)
    with pytest.raises(InputError, match="linear last layer; got tanh"):
        InfiniteWidth(nnqm.RandomNetwork((1, 4, 1), ["erf", "tanh"]))
    with pytest.raises(InputError, match=r"weights\[1\] \(cauchy\) have none"):
        InfiniteWidth(nnqm.RandomNetwork((1, 4, 1), "erf", weights=["gaussian", "cauchy"]))
    with pytest.raises(InputError, match=r"Gaussian weights\[0\].*uniform"):
        InfiniteWidth(nnqm.RandomNetwork((1, 4, 1), "erf", weights="uniform"))
    with pytest.raises(InputError, match=r"Gaussian biases\[0\].*laplace"):
        InfiniteWidth(nnqm.RandomNetwork((1, 4, 1), "erf", biases="laplace", bias_std=1.0))
    InfiniteWidth(nnqm.RandomNetwork((1, 4, 4, 1), "erf", weights=["gaussian", "uniform", "rademacher"]))
    with pytest.raises(InputError, match="grows with the width"):
        InfiniteWidth(trained(plain, parametrisation="standard"))
    with pytest.raises(InputTypeError, match="must be a RandomNetwork"):
        InfiniteWidth(nnqm.Network([[[1.0]]]))
    model = InfiniteWidth(trained(plain))
    with pytest.raises(InputError, match=r"shape \(N, 1\)"):
        model.mean(np.zeros((3, 2)))
    with pytest.raises(InputError, match="steps"):
        model.mean([0.0], -1)
    with pytest.raises(InputError, match="one input"):
        InfiniteWidth(nnqm.RandomNetwork((2, 4, 1), "erf"))(0.0, 1.0)


def test_what_is_no_linear_model_is_refused_by_name():
    draw = erf_network().draw(range(1), 1)[0]
    with pytest.raises(InputError, match="layers='last'"):
        LinearModel(trained(erf_network()), draw)
    with pytest.raises(InputTypeError, match="hidden must be a draw"):
        LinearModel(erf_network())
    with pytest.raises(InputError, match="hidden must have the layers"):
        LinearModel(erf_network(8), draw)


@pytest.mark.slow
def test_bad_flows_are_refused_by_name():
    theory = flow_theory()
    with pytest.raises(InputError, match="rate must be below"):
        SpectralFlow(theory, [0.0, 1.0], rate=50.0)
    with pytest.raises(InputError, match="relative error"):
        SpectralFlow(flow_theory("relu"), [0.0, 1.0], tolerance=1e-9)
    with pytest.raises(InputError, match="at most 3 coefficients"):
        SpectralFlow(theory, [0.0, 1.0, 0.0, 1.0], levels=2)
    with pytest.raises(InputError, match="one or two inputs; got 3"):
        SpectralFlow(flow_theory(widths=(3, 1), omega=[1.0, 2.0, 3.0]), lambda y: y[:, 0])
    with pytest.raises(InputError, match="untrained"):
        SpectralFlow(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), trained(theory.network)), [1.0])
    with pytest.raises(InputError, match=r"sources\[0\]"):
        SpectralFlow(nnqm.Theory(nnqm.Times(), theory.network), [1.0])
    with pytest.raises(InputError, match="whole"):
        SpectralFlow(theory, [0.0, 1.0], rate=0.1).mean([0.5])
    with pytest.raises(InputError, match="must not be negative"):
        SpectralFlow(theory, [0.0, 1.0]).mean([-1.0])
