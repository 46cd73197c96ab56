"""Fields of neurons: exact n-point functions of one neuron and of networks, and sums over distinct neurons."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import special, stats

import nnqm
from harness import (
    assert_consistent,
    assert_error_is_honest,
    assert_inconsistent,
    assert_pulls_are_standard,
    assert_uniform,
)
from nnqm import fields
from nnqm.errors import InputError, InputTypeError
from nnqm.statistics.partitions import pairings, set_partitions
from nnqm.time_networks.neuron_products import plane_product, product_average, relu_plane_product

FUNCTIONS = {
    "tanh": np.tanh,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "identity": lambda z: z,
    "gelu": lambda z: z * special.ndtr(z),
    "sigmoid": special.expit,
    "softplus": lambda z: np.logaddexp(0, z),
}
QUADRUPLE = [-0.7, 0.1, 0.5, 1.2]


def by_gauss_hermite(function, c, nodes):
    """E[a(c_1 z) ... a(c_n z)] by a tensor product of Gauss-Hermite rules; c has shape (n, K)."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[x] * c.shape[1], indexing="ij"), axis=-1)
    weight = np.ones(())
    for _ in range(c.shape[1]):
        weight = np.multiply.outer(weight, w / w.sum())
    return float((function(grid @ c.T).prod(axis=-1) * weight).sum())


@pytest.mark.parametrize(
    ("activation", "n", "directions"),
    [(a, n, 2) for a in FUNCTIONS for n in (3, 4, 6)] + [(a, 4, 3) for a in ("tanh", "erf", "sin", "cos", "identity")],
)
def test_products_of_neurons_are_gauss_hermite_sums(activation, n, directions):
    c = 0.35 * np.random.default_rng(n).normal(size=(2, n, directions))
    found = product_average(activation, c)
    nodes = 110 if directions == 2 else 60
    expected = [by_gauss_hermite(FUNCTIONS[activation], one, nodes) for one in c]
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=1e-11)
    assert 0 <= found.error < 1e-10
    # Negative control: another sign of one coefficient.
    c[:, 0] *= -1
    if activation not in ("cos",) and n % 2 == 0:
        assert np.all(np.abs(product_average(activation, c).value - expected) > 1e-6)


@pytest.mark.slow
def test_signs_and_quadrature_agree_for_erf_networks():
    c = np.random.default_rng(1).normal(size=(3, 6, 2))
    found = product_average("erf", c)
    np.testing.assert_allclose(found.value, plane_product("erf", c), rtol=0, atol=1e-13)
    # Saturated neurons are signs, which the quadrature refuses: in the plane the average is an angle.
    steep = 1e5 * np.array([[[1.0, 0.0], [1.0, 1.0], [0.3, 1.0], [-1.0, 0.8]]])
    with pytest.raises(InputError, match="saturated"):
        plane_product("erf", steep)
    angle = np.linspace(0, 2 * np.pi, 1_000_001)[:-1]
    signs = np.sign(steep[0] @ np.stack([np.cos(angle), np.sin(angle)])).prod(axis=0).mean()
    moderate = product_average("erf", steep / 1e4)
    assert abs(float(moderate.value[0]) - signs) < 0.2
    assert_error_is_honest(moderate.value[0], product_average("erf", steep / 1e4).value[0], moderate.error, 1e-12)


@pytest.mark.slow
def test_eight_erf_neurons():
    c = 0.8 * np.random.default_rng(2).normal(size=(1, 8, 1))
    expected = by_gauss_hermite(special.erf, c[0], 300)
    assert product_average("erf", c).value[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n", [2, 4, 6, 8])
def test_products_of_relus_are_powers_and_independent_factors(n):
    # Equal neurons: E relu(s z)^n = s^n (n - 1)!!/2. Half of them along each of two axes: the product of two averages.
    equal = np.tile([[[0.6, 0.8]]], (1, n, 1))
    moment = np.prod(np.arange(n - 1, 0, -2))
    assert relu_plane_product(equal)[0] == pytest.approx(moment / 2, rel=1e-13)
    apart = np.array([[[1.0, 0.0]] * (n // 2) + [[0.0, 1.0]] * (n // 2)])
    half = special.gamma((n / 2 + 1) / 2) * 2 ** (n / 4) / (2 * np.sqrt(np.pi))
    assert relu_plane_product(apart)[0] == pytest.approx(half**2, rel=1e-13)


def test_relus_in_three_directions():
    # A rotated plane, three independent factors, and an octant cut by a fourth factor that is positive in it.
    turn = stats.special_ortho_group.rvs(3, random_state=1)
    plane = np.abs(np.random.default_rng(3).normal(size=(3, 4, 2)))
    flat = np.concatenate([plane, np.zeros((3, 4, 1))], axis=2) @ turn
    found = product_average("relu", flat)
    np.testing.assert_allclose(found.value, relu_plane_product(plane), rtol=1e-10)
    assert found.error < 1e-10
    axes = np.array([[*(np.eye(3) @ turn), turn.sum(axis=0)]])
    # E z_1 z_2 z_3 (z_1 + z_2 + z_3) over the octant.
    expected = 3 * 0.5 * (1 / np.sqrt(2 * np.pi)) ** 2
    assert product_average("relu", axes).value[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
def test_relus_in_any_number_of_directions():
    # Independent factors, turned; powers of them; and a rotated space, where the other rule applies.
    turn = stats.special_ortho_group.rvs(5, random_state=3)
    half = 1 / np.sqrt(2 * np.pi)
    assert product_average("relu", turn[None, :4]).value[0] == pytest.approx(half**4, rel=1e-12)
    repeated = np.array([[turn[0], 3 * turn[0], turn[1], turn[2]], [turn[0], -2 * turn[0], turn[1], turn[3]]])
    np.testing.assert_allclose(product_average("relu", repeated).value, [3 * 0.5 * half**2, 0.0], rtol=1e-12)
    # Squares of two, an arc-cosine kernel of order 2 (Cho and Saul, NIPS 2009).
    angle = 1.1
    other = np.cos(angle) * turn[0] + np.sin(angle) * turn[1]
    kernel = 3 * np.sin(angle) * np.cos(angle) + (np.pi - angle) * (1 + 2 * np.cos(angle) ** 2)
    squares = product_average("relu", np.array([[turn[0], turn[0], other, other]]))
    assert squares.value[0] == pytest.approx(kernel / (2 * np.pi), rel=1e-12)
    space = 0.3 + np.random.default_rng(8).normal(size=(3, 4, 3))
    wide = np.concatenate([space, np.zeros((3, 4, 2))], axis=2) @ turn
    found = product_average("relu", wide)
    np.testing.assert_allclose(found.value, product_average("relu", space).value, rtol=1e-9, atol=1e-15)
    assert found.error <= 1e-9 * found.value.max()
    # E z_1 z_2 z_3 z_4 (z_1 + z_2)^2 over an orthant: two cubes, and twice two squares.
    six = np.array([[*turn[:4], turn[0] + turn[1], turn[0] + turn[1]]])
    expected = 2 * (2 * half) * half**3 + 2 * 0.5**2 * half**2
    assert product_average("relu", six).value[0] == pytest.approx(expected, rel=1e-9)


def test_closed_form_of_the_gauss_network():
    field = fields.NeuronField("gauss", 2, weight_std=(0.6, 1.3), bias_std=(0.4, 0.2))
    points = np.random.default_rng(4).normal(size=(4, 2))
    c = np.column_stack([0.6 / np.sqrt(2) * points, np.full(4, 0.4)])
    x, w = np.polynomial.hermite_e.hermegauss(40)
    z = np.stack(np.meshgrid(x, x, x), axis=-1)
    weight = np.einsum("i,j,k->ijk", w, w, w) / w.sum() ** 3
    values = np.exp(z @ c.T - (c**2).sum(axis=1))
    expected = 3 * 1.3**4 * (values.prod(axis=-1) * weight).sum()
    assert float(field.neuron_moment(points).value) == pytest.approx(expected, rel=1e-12)
    # The kernel depends on the distance only (arXiv:2008.08601).
    kernel = 1.3**2 * np.exp(-(0.6**2) * ((points[0] - points[1]) ** 2).sum() / 4) + 0.2**2
    assert float(field.n_point(points[:2]).value) == pytest.approx(kernel, rel=1e-13)
    assert float(field.n_point(points[:2], width=3).value) == pytest.approx(kernel, rel=1e-13)


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "sin"])
def test_one_input_is_the_network_in_time(activation):
    time = nnqm.TimeNetwork(activation, weight_std=0.9, bias_std=0.4, width=6)
    field = fields.NeuronField(activation, weight_std=0.9, bias_std=0.4)
    four = field.n_point([QUADRUPLE, QUADRUPLE[::-1]], width=6)
    assert float(field.n_point(QUADRUPLE[:2], 6).value) == pytest.approx(float(time(*QUADRUPLE[:2])), rel=1e-11)
    np.testing.assert_allclose(four.connected, [time.connected_four_point(QUADRUPLE)] * 2, rtol=1e-9)
    pairs = [time(QUADRUPLE[a], QUADRUPLE[b]) * time(QUADRUPLE[c], QUADRUPLE[d]) for (a, b), (c, d) in pairings(4)]
    np.testing.assert_allclose(four.wick, sum(pairs), rtol=1e-10)
    np.testing.assert_allclose(field.n_point(QUADRUPLE).value, sum(pairs), rtol=1e-10)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu"])
def test_only_directions_that_the_points_span_matter(activation):
    # Four points of a plane, turned in five dimensions.
    points = np.random.default_rng(5).normal(size=(4, 5)) * [0.5, 0.5, 0.0, 0.0, 0.0]
    turn = stats.special_ortho_group.rvs(5, random_state=2)
    high = fields.NeuronField(activation, 5, weight_std=(np.sqrt(5), 1.0), bias_std=(0.5, 0.2))
    low = fields.NeuronField(activation, 2, weight_std=(np.sqrt(2), 1.0), bias_std=(0.5, 0.2))
    found = high.n_point(points @ turn, 3)
    np.testing.assert_allclose(found.value, low.n_point(points[:, :2], 3).value, rtol=1e-9)
    at_zero = fields.NeuronField(activation, 3).n_point(np.zeros((1, 4, 3)), 3)
    np.testing.assert_allclose(at_zero.value, 0.0, atol=1e-15)
    assert low.n_point(np.zeros((0, 4, 2)), 3).value.shape == (0,)
    # Products that vanish by symmetry are no failure of the quadrature.
    square = fields.NeuronField("tanh", 2).neuron_moment([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert abs(float(square.value)) < 1e-15


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["erf", "relu", "gelu"])
@pytest.mark.parametrize("width", [1, 5])
def test_sampled_networks_have_the_exact_four_point_functions(activation, width):
    field = fields.NeuronField(activation, weight_std=(0.8, 1.0), bias_std=(0.6, 0.5))
    rows = np.array([[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 3, 3], [0, 1, 1, 1]])
    x = nnqm.sample_paths(field.theory(width), 100_000, times=QUADRUPLE, rng=1)[..., 0].astype(float)
    products = x[:, rows].prod(axis=-1).reshape(100, 1000, len(rows)).sum(axis=1)
    counts = np.full(100, 1000.0)
    found = nnqm.jackknife(lambda s: s["x"] / s["n"][:, None], {"x": products, "n": counts}, counts)
    exact = field.n_point(np.array(QUADRUPLE)[rows], width)
    assert_consistent(found, exact.value)
    if width == 1:
        assert_inconsistent(found, exact.wick)


def test_drawn_neurons_add_up_to_the_network():
    network = nnqm.RandomNetwork((2, 7, 1), "gelu", weight_std=(0.8, 1.1), bias_std=(0.6, 0.5), group=4)
    points = np.random.default_rng(6).normal(size=(5, 2))
    neurons = fields.drawn_neurons(network, points, range(3, 9), key=11)
    theory = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0)] * 2, network)
    for h, drawn in zip(neurons, nnqm.draw_weights(theory, range(12, 36), key=11), strict=True):
        bias = drawn.biases[-1][0]
        np.testing.assert_allclose(h.sum(axis=0) / np.sqrt(7) + bias, drawn(points)[:, 0], rtol=1e-12, atol=1e-14)


def test_numbers_of_partitions():
    assert [len(list(pairings(n))) for n in (2, 4, 6, 8)] == [1, 3, 15, 105]
    # Bell numbers, and partitions without single items.
    assert [len(list(set_partitions(tuple(range(n))))) for n in range(6)] == [1, 1, 2, 5, 15, 52]
    assert [len(list(set_partitions(tuple(range(n)), 2))) for n in range(7)] == [1, 0, 1, 1, 4, 11, 41]


@pytest.mark.parametrize(("n", "drawn"), [(4, 2), (4, 5), (6, 3), (6, 4), (8, 4)])
def test_sums_over_distinct_neurons(n, drawn):
    h = np.random.default_rng(n + drawn).normal(size=(2, drawn, n))
    expected = np.zeros(2)
    for pairs in pairings(n):
        factors = [h[:, :, i] * h[:, :, j] for i, j in pairs]
        for neurons in permutations(range(drawn), n // 2):
            expected += np.prod([f[:, j] for f, j in zip(factors, neurons, strict=True)], axis=0)
    ways = np.prod([drawn - k for k in range(n // 2)])
    found = fields.distinct_neurons(h, range(n))
    assert float(found.value) == pytest.approx(expected.mean() / ways, rel=1e-10)


@pytest.mark.parametrize("n", [4, 6])
@pytest.mark.parametrize("bias_std", [0.0, 0.7])
def test_the_estimator_is_unbiased_at_every_width(n, bias_std):
    # Neurons with three equally likely values: the expectation is an average over all 3^N networks.
    rng = np.random.default_rng(7)
    values = rng.normal(size=(3, n))
    values -= values.mean(axis=0)
    moments = {
        tuple(np.flatnonzero(mask)): float(np.mean(np.prod(values[:, np.array(mask, bool)], axis=1)))
        for mask in product((0, 1), repeat=n)
    }

    def expected(width):
        # The bias is one more neuron, with a share in every other.
        def moment(points):
            if len(points) < 2:
                return 0.0
            total = 0.0
            for mask in product((0, 1), repeat=len(points)):
                rest = len(points) - sum(mask)
                if rest % 2 == 0:
                    inside = tuple(p for p, m in zip(points, mask, strict=True) if m)
                    total += moments[inside] * bias_std**rest * np.prod(np.arange(rest - 1, 0, -2))
            return total

        return fields.moments_of_sum(moment, n, width)

    for drawn in (n // 2, n // 2 + 1):
        networks = np.array([values[list(which)] for which in product(range(3), repeat=drawn)])
        infinite = fields.distinct_neurons(networks, range(n), bias_std=bias_std)
        assert float(infinite.value) == pytest.approx(float(expected(1).wick), abs=1e-12)
        widths = [1, 2, 3, 10]
        scan = fields.distinct_neurons(networks, range(n), width=widths, bias_std=bias_std)
        np.testing.assert_allclose(scan.value, [float(expected(w).value) for w in widths], rtol=1e-11, atol=1e-12)
    # Negative control: the average of products of outputs at the width drawn is not the Gaussian one.
    outputs = networks.sum(axis=1) / np.sqrt(drawn)
    assert abs(outputs.prod(axis=1).mean() - float(expected(1).wick)) > 1e-3


@pytest.mark.slow
def test_distinct_neurons_of_networks_estimate_other_widths():
    network = nnqm.RandomNetwork((1, 4, 1), "erf", weight_std=(1.4, 1.0), bias_std=(0.5, 0.3))
    field = fields.NeuronField("erf", weight_std=(1.4, 1.0), bias_std=(0.5, 0.3))
    points = [QUADRUPLE, [0.1, 0.1, 1.2, 1.2]]
    free = fields.estimated_n_point(network, points, 30_000, rng=1)
    exact = field.n_point(points, 2)
    assert_consistent(free, exact.wick)
    assert_inconsistent(free, exact.value)
    assert_consistent(fields.estimated_n_point(network, points, 30_000, rng=2, width=2), exact.value)
    six = [-0.9, -0.5, 0.1, 0.5, 0.8, 1.2]
    assert_consistent(fields.estimated_n_point(network, six, 30_000, rng=3), field.n_point(six).value)
    plane = fields.NeuronField("gauss", 2, weight_std=0.5, bias_std=(0.2, 0.4))
    corners = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    found = fields.estimated_n_point(plane, corners, 20_000, drawn_width=3, width=7, rng=4)
    assert_consistent(found, plane.n_point(corners, 7).value)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-1.0, 0.0])
def test_distinct_neurons_of_a_cos_net(alpha):
    # Networks of one neuron are draws of neurons. The published four-point functions are those of width 30.
    def cos_net(width, points=None):
        return fields.CosNet(2, 1.0, width, alpha, fields.Regulator("gaussian", 10.0), points=points)

    space = [0.0, 0.3, 0.6, 0.9]
    x = nnqm.sample_paths(nnqm.Theory(cos_net(1, space)), 240_000, times=[0.0], rng=1)[:, 0].reshape(-1, 4, 4)
    rows = [[0, 1, 2, 3], [0, 0, 2, 2], [0, 0, 0, 0]]
    points = np.stack([np.zeros((3, 4)), np.array(space)[rows]], axis=-1)
    exact = fields.n_point(cos_net(30), points)
    assert_consistent(fields.distinct_neurons(x, rows), exact.wick)
    found = fields.distinct_neurons(x, rows, width=30)
    assert_consistent(found, exact.value)
    if alpha < 0:
        assert_inconsistent(found, exact.wick)


@pytest.mark.slow
def test_errors_of_sums_over_distinct_neurons_are_calibrated():
    field = fields.NeuronField("erf", weight_std=1.2, bias_std=(0.5, 0.0))
    exact = field.n_point(QUADRUPLE, 2)
    neurons = fields.drawn_neurons(field, QUADRUPLE, 200 * 1280, width=3, rng=5).reshape(200, 1280, 3, 4)
    pulls, p = [], []
    for h in neurons:
        both = fields.distinct_neurons(h, range(4), width=[2, 10**12])
        pulls.append(float(both[0].pull(float(exact.value))))
        p.append(both.consistency([float(exact.value), float(exact.wick)]))
    assert_pulls_are_standard(pulls)
    assert_uniform(p)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fields.NeuronField("gaus"), "did you mean 'gauss'"),
        (lambda: fields.NeuronField("erf", 0), "n_inputs"),
        (lambda: fields.NeuronField("erf", bias_std=-1.0), "bias_std"),
        (lambda: fields.NeuronField("erf").n_point(np.zeros(9)), "n from 1 to 8"),
        (lambda: fields.NeuronField("erf", 2).n_point(np.zeros(4)), r"\(\.\.\., n, 2\)"),
        (lambda: fields.NeuronField("erf").n_point([0.0, 1.0], width=0), "width"),
        (lambda: fields.NeuronField("gelu", 6).n_point(np.eye(6), width=2), "sample the network"),
        (lambda: fields.NeuronField("relu", 8).n_point(np.eye(8), width=2), "sample the network"),
        (lambda: fields.NeuronField("tanh", weight_std=500.0).n_point(QUADRUPLE, width=2), "saturated"),
        (lambda: fields.NeuronField("gauss").network(3), "drawn_neurons"),
        (lambda: fields.NeuronField("erf", 2).theory(3), "one input"),
        (lambda: fields.distinct_neurons(np.zeros((9, 1, 4)), range(4)), "at least 2 neurons"),
        (lambda: fields.distinct_neurons(np.zeros((9, 2, 6)), range(6)), "at least 3 neurons"),
        (lambda: fields.distinct_neurons(np.zeros((1, 2, 4)), range(4)), "2 networks"),
        (lambda: fields.distinct_neurons(np.zeros((9, 2, 4)), [0, 1, 2]), "2, 4, 6 or 8"),
        (lambda: fields.distinct_neurons(np.zeros((9, 2, 4)), [0, 4]), "from 0 to 3"),
        (lambda: fields.distinct_neurons(np.zeros((9, 2, 4)), [0.0, 1.0]), "integers"),
        (lambda: fields.distinct_neurons(np.zeros((9, 2)), [0, 1]), "3 axes"),
        (lambda: fields.estimated_n_point(fields.NeuronField("erf"), [0.0, 1.0], 9, rng=1), "drawn_width"),
        (lambda: fields.estimated_n_point(nnqm.RandomNetwork((1, 2, 2, 1)), [0.0, 1.0], 9, rng=1), "one hidden layer"),
        (
            lambda: fields.estimated_n_point(
                nnqm.RandomNetwork((1, 2, 1), biases="uniform", bias_std=1.0), [0.0, 1.0], 9, rng=1
            ),
            "must be Gaussian",
        ),
        (
            lambda: fields.estimated_n_point(
                nnqm.RandomNetwork((1, 2, 1), weights=["gaussian", "cauchy"]), [0.0, 1.0], 9, rng=1
            ),
            "have none",
        ),
        (lambda: fields.drawn_neurons("erf", [0.0], 2, rng=1), "RandomNetwork or a NeuronField"),
        (lambda: fields.drawn_neurons(nnqm.RandomNetwork((2, 2, 1)), [0.0], 2, rng=1), r"\(P, 2\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((InputError, InputTypeError), match=message):
        call()
