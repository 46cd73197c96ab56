"""Densities, and kernels of networks in time: closed forms, double integrals, networks drawn one by one in NumPy."""

import json
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

import harness
import nnqm
from nnqm import CosineNetwork, Density, Kernel, TimeNetwork, jackknife

DENSITIES = [
    *(Density(name) for name in ("gaussian", "uniform", "laplace", "rademacher", "cauchy")),
    *(Density("student-t", nu) for nu in (0.7, 1.0, 2.0, 3.0, 4.0, 7.5, 200.0)),
]
TIMES = st.floats(-3.0, 3.0)


# ---- densities


@pytest.mark.slow
@pytest.mark.parametrize("density", DENSITIES, ids=str)
def test_draws_have_the_moments_and_the_characteristic_function(density):
    x = density.sample((64, 4000), rng=1)
    assert x.shape == (64, 4000)
    sizes = np.full(64, 4000)
    t = np.array([0.3, 1.0, 2.5])
    cosines = {f"{a}": np.cos(a * x).sum(axis=1) / 4000 for a in t}
    found = jackknife(lambda s: np.stack([s[k] for k in cosines], axis=-1) / 64, cosines, sizes)
    # Delete-one totals hold 63 of the 64 blocks.
    found = nnqm.Estimate(found.value, found.replicas * 64 / 63, found.weights)
    if density.name == "rademacher":  # a cosine of which is the same for both signs
        np.testing.assert_allclose(found.value, density.characteristic(t), rtol=1e-12)
        assert set(np.unique(x)) == {-1.0, 1.0}
    else:
        harness.assert_consistent(found, density.characteristic(t))
        harness.assert_inconsistent(found, density.characteristic(t * 1.1))
    if density.moment_exists(8) and density.name != "rademacher":
        sums = {"n": np.full(64, 4000.0), "2": (x**2).sum(axis=1), "4": (x**4).sum(axis=1)}
        ratio = jackknife(lambda s: np.stack([s["2"] / s["n"], s["4"] / s["n"]], axis=-1), sums, sizes)
        harness.assert_consistent(ratio, [1.0, 3 + density.kurtosis])


@pytest.mark.slow
@pytest.mark.parametrize("nu", [0.7, 1.0, 1.9, 2.0, 5.0, 20.0, 100.0])
def test_the_characteristic_function_of_students_t(nu):
    density = Density("student-t", nu)
    for t in (1e-8, 1e-3, 0.5, 2.0, 6.0):
        with mp.workdps(40):
            z = mp.sqrt(nu) * mp.mpf(density.scale) * t
            expected = mp.besselk(nu / 2, z) * z ** (nu / 2) / (mp.gamma(nu / 2) * mp.mpf(2) ** (nu / 2 - 1))
        assert float(density.characteristic(t)) == pytest.approx(float(expected), abs=4e-15 if nu >= 2 else 1e-13)
    assert float(density.characteristic(0.0)) == 1.0
    # What is missing from 1 is of the order of z^nu.
    np.testing.assert_allclose(density.characteristic([1e-300, 1e-306, 5e-324]), 1, atol=1e-13)
    # No power of z or gamma function overflows.
    assert Density("student-t", 1e5).characteristic(1.0) == pytest.approx(np.exp(-0.5), abs=1e-5)


def test_moments_and_scales():
    assert Density("student-t", 3.0).variance_factor == 1.0
    assert Density("student-t", 3.0).kurtosis == np.inf
    assert Density("student-t", 2.0).variance_factor == np.inf
    assert Density("student-t", 2.0).scale == 1.0
    assert Density("student-t", 10).kurtosis == 1.0
    assert Density("cauchy").variance_factor == np.inf
    assert [Density(n).kurtosis for n in ("gaussian", "uniform", "laplace", "rademacher")] == [0.0, -1.2, 3.0, -2.0]
    assert not Density("student-t", 4.0).moment_exists(4)
    assert Density("student-t", 4.001).moment_exists(4)


@pytest.mark.parametrize("density", DENSITIES, ids=str)
def test_densities_survive_json_and_pickle(density):
    assert Density.from_dict(json.loads(json.dumps(density.to_dict()))) == density
    assert pickle.loads(pickle.dumps(density)) == density


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gausian",), "did you mean 'gaussian'"),
        (("student-t",), "nu must be given for student-t"),
        (("student-t", -1.0), "nu must be positive; got nu=-1"),
        (("laplace", 3.0), "nu belongs to student-t only; got nu=3.0 with laplace"),
    ],
)
def test_wrong_densities(arguments, message):
    with pytest.raises(ValueError, match=message):
        Density(*arguments)


# ---- standard kernels


def test_standard_kernels_at_a_point():
    s, t = 0.4, 1.7
    d = mp.mpf(t) - mp.mpf(s)
    z = mp.sqrt(mp.mpf("2.6")) * d / 2
    expected = {
        Kernel.wiener(2.0): 4 * s,
        Kernel.brownian_bridge(3.0, 2.0): 4 * (s - s * t / 3),
        Kernel.ornstein_uhlenbeck(0.7, 2.0): 4 / 1.4 * mp.exp(-0.7 * d),
        Kernel.squared_exponential(2.0, 3.0): 3 * mp.exp(-(d**2) / 8),
        Kernel.matern(0.5, 2.0, 3.0): 3 * mp.exp(-d / 2),
        Kernel.matern(1.5, 2.0, 3.0): 3 * (1 + mp.sqrt(3) * d / 2) * mp.exp(-mp.sqrt(3) * d / 2),
        Kernel.matern(1.3, 2.0, 3.0): 3 * mp.mpf(2) ** -0.3 / mp.gamma(1.3) * z**1.3 * mp.besselk(1.3, z),
        Kernel.rational_quadratic(1.5, 2.0, 3.0): 3 * (1 + d**2 / 12) ** -1.5,
        Kernel.root_exponential(2.0, 3.0): 3 * mp.exp(-mp.sqrt(d / 2)),
    }
    for kernel, value in expected.items():
        assert float(kernel(s, t)) == pytest.approx(float(value), rel=1e-14), kernel
        assert float(kernel(t, s)) == float(kernel(s, t))


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_closed_matern_kernels_are_the_general_one(nu):
    d = np.linspace(0, 5, 40)
    np.testing.assert_allclose(Kernel.matern(nu)(0.0, d), Kernel.matern(nu * (1 + 1e-13))(0.0, d), rtol=1e-11)


def test_the_thermal_kernel_is_a_sum_over_images():
    omega, sigma, beta = 0.8, 1.3, 2.2
    t = np.linspace(-4, 4, 33)
    images = sum(np.exp(-omega * np.abs(t + n * beta)) for n in range(-60, 61)) * sigma**2 / (2 * omega)
    np.testing.assert_allclose(Kernel.ornstein_uhlenbeck(omega, sigma, beta=beta)(0.0, t), images, rtol=1e-13)
    cold = Kernel.ornstein_uhlenbeck(omega, sigma, beta=2000.0)(0.0, t)
    np.testing.assert_allclose(cold, Kernel.ornstein_uhlenbeck(omega, sigma)(0.0, t), rtol=1e-14)


KERNELS = [
    Kernel.ornstein_uhlenbeck(1.0),
    Kernel.ornstein_uhlenbeck(1.0, beta=2.0),
    Kernel.squared_exponential(0.5),
    Kernel.matern(0.8),
    Kernel.rational_quadratic(0.7),
    Kernel.root_exponential(),
    CosineNetwork(Density("student-t", 3), width=2),
    *(TimeNetwork(a, depth=d, bias_std=0.5) for a in ("tanh", "erf", "relu", "sin", "cos", "gelu") for d in (1, 3)),
]


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@settings(max_examples=15, deadline=None)
@given(times=st.lists(TIMES, min_size=2, max_size=6, unique=True))
def test_kernels_are_symmetric_and_positive(kernel, times):
    t = np.array(times)
    matrix = kernel(t[:, None], t)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12, atol=1e-13)
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2)[0] > -1e-9 * matrix.max()


def test_kernels_compare_pickle_and_know_whether_they_are_stationary():
    assert Kernel.matern(1.5) == Kernel.matern(1.5) != Kernel.matern(2.5)
    assert pickle.loads(pickle.dumps(Kernel.matern(1.5))) == Kernel.matern(1.5)
    assert Kernel.matern(1.5).stationary
    assert not Kernel.wiener().stationary


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Kernel.matern(-1.0), "nu must be positive"),
        (lambda: Kernel.ornstein_uhlenbeck(0.0), "omega must be positive"),
        (lambda: Kernel.wiener()(-0.5, 1.0), r"s must lie in \[0, inf\] for the kernel wiener; got -0.5"),
        (
            lambda: Kernel.brownian_bridge(1.0)(0.5, 1.5),
            r"t must lie in \[0, 1\] for the kernel brownian-bridge; got 1.5",
        ),
        (lambda: CosineNetwork(Density("gaussian"), 0), "width must be at least 1"),
        (lambda: CosineNetwork(Density("gaussian"), 5, amplitudes=Density("cauchy")), "a variance; cauchy has none"),
        (
            lambda: CosineNetwork(Density("gaussian"), 5, amplitudes=Density("student-t", 3)).connected_four_point(
                [0] * 4
            ),
            r"a fourth moment; student-t with nu=3 has none; use nu > 4",
        ),
        (lambda: TimeNetwork("tahn"), "did you mean 'tanh'"),
        (lambda: TimeNetwork(depth=0), "depth must be at least 1"),
        (lambda: TimeNetwork(bias_std=-1.0), "bias_std must not be negative"),
        (lambda: TimeNetwork(output_weights=Density("student-t", 2)), "a variance; student-t with nu=2 has none"),
        (lambda: TimeNetwork().connected_four_point([0] * 4), "width must be given"),
        (lambda: TimeNetwork(depth=2, width=5).connected_four_point([0] * 4), "one hidden layer; got depth=2"),
        (lambda: TimeNetwork(width=5).connected_four_point([0] * 3), r"times must have shape \(..., 4\); got \(3,\)"),
        (
            lambda: TimeNetwork(width=5, output_weights=Density("student-t", 4)).connected_four_point([0] * 4),
            "a fourth moment; student-t with nu=4 has none",
        ),
        (lambda: TimeNetwork("tanh", weight_std=100.0)(2.0, 3.0), "saturated; use smaller weight_std"),
        (lambda: TimeNetwork("tanh", weight_std=100.0, width=1).connected_four_point([1, 2, 3, 4]), "saturated"),
    ],
)
def test_wrong_kernels(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- cosine networks


def test_momentum_densities_give_the_standard_kernels():
    d = np.linspace(0, 4, 17)

    def network(density, **options):
        return CosineNetwork(density, 3, **options)(0.5, 0.5 + d)

    np.testing.assert_allclose(network(Density("cauchy"), scale=0.7), 1.4 * Kernel.ornstein_uhlenbeck(0.7)(0, d))
    np.testing.assert_allclose(network(Density("gaussian"), scale=2.0), Kernel.squared_exponential(0.5)(0, d))
    np.testing.assert_allclose(
        network(Density("laplace"), variance=2.0), Kernel.rational_quadratic(1.0, 1.0, 2.0)(0, d)
    )
    student = Density("student-t", 5.0)
    np.testing.assert_allclose(network(student), Kernel.matern(2.5, 1 / student.scale)(0, d), rtol=1e-13)


def brute_force(draw, times, n_blocks=50, per_block=20000):
    """Connected four-point function of networks drawn one by one, with jackknife errors."""
    sums = {name: [] for name in ("n", "4", *(f"{i}{j}" for i in range(4) for j in range(i + 1, 4)))}
    for block in range(n_blocks):
        x = draw(np.random.default_rng(block), per_block, np.asarray(times))
        sums["n"].append(float(per_block))
        sums["4"].append(x.prod(axis=1).sum())
        for i in range(4):
            for j in range(i + 1, 4):
                sums[f"{i}{j}"].append((x[:, i] * x[:, j]).sum())

    def connected(s):
        pair = {k: v / s["n"] for k, v in s.items()}
        return pair["4"] - pair["01"] * pair["23"] - pair["02"] * pair["13"] - pair["03"] * pair["12"]

    arrays = {name: np.array(values) for name, values in sums.items()}
    return jackknife(connected, arrays, np.full(n_blocks, per_block))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("momenta", "amplitudes"), [("gaussian", "rademacher"), ("cauchy", "gaussian"), ("laplace", "uniform")]
)
def test_four_point_functions_of_cosine_networks(momenta, amplitudes):
    width, times = 2, [0.3, -0.5, 0.9, 0.1]
    network = CosineNetwork(Density(momenta), width, scale=1.2, variance=1.5, amplitudes=Density(amplitudes))

    def draw(rng, n, t):
        k = 1.2 * Density(momenta).sample((n, width, 1), rng)
        phase = rng.uniform(0, 2 * np.pi, (n, width, 1))
        a = Density(amplitudes).sample((n, width, 1), rng)
        return np.sqrt(2 * 1.5 / width) * np.sum(a * np.cos(k * t + phase), axis=1)

    found = brute_force(draw, times)
    harness.assert_consistent(found, network.connected_four_point(times))
    # Negative controls: another width, and the Gaussian process that has the same two-point function.
    harness.assert_inconsistent(found, network.connected_four_point(times) * width / 3)
    harness.assert_inconsistent(found, 0.0)


# ---- perceptrons


def double_integral(function):
    """Average over two standard normals, by nested adaptive quadrature."""

    def integrand(z2, z1):
        return function(z1, z2) * np.exp(-(z1**2 + z2**2) / 2) / (2 * np.pi)

    return integrate.dblquad(integrand, -9, 9, -9, 9, epsabs=1e-10, epsrel=1e-10)[0]


NUMPY = {
    "tanh": np.tanh,
    "erf": special.erf,
    "relu": lambda z: np.maximum(z, 0),
    "sin": np.sin,
    "cos": np.cos,
    "gelu": lambda z: z * special.ndtr(z),
    "sigmoid": special.expit,
    "softplus": lambda z: np.logaddexp(0, z),
    "identity": lambda z: z,
}


@pytest.mark.parametrize("activation", NUMPY)
def test_kernels_of_one_layer_are_double_integrals(activation):
    assert set(NUMPY) == set(nnqm._core.activations())
    w, b, s, t = 1.2, 0.6, 0.7, -0.4
    phi = NUMPY[activation]
    expected = b**2 + w**2 * double_integral(lambda y, z: phi(w * y * s + b * z) * phi(w * y * t + b * z))
    network = TimeNetwork(activation, weight_std=w, bias_std=b)
    # scipy's rule sees the kink of relu, not its place.
    assert float(network(s, t)) == pytest.approx(expected, abs=1e-7 if activation == "relu" else 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("activation", NUMPY)
def test_four_point_functions_of_one_layer_are_double_integrals(activation):
    w, b, times = 1.2, 0.6, (0.7, -0.4, 1.1, 0.2)
    phi = NUMPY[activation]
    network = TimeNetwork(activation, weight_std=w, bias_std=b, width=7, output_weights=Density("laplace"))
    c = (network(np.array(times)[:, None], np.array(times)) - b**2) / w**2
    four = double_integral(lambda y, z: np.prod([phi(w * y * t + b * z) for t in times], axis=0))
    expected = w**4 / 7 * (6 * four - c[0, 1] * c[2, 3] - c[0, 2] * c[1, 3] - c[0, 3] * c[1, 2])
    assert float(network.connected_four_point(times)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "density"), [("tanh", "gaussian"), ("relu", "uniform"), ("sin", "laplace")])
def test_four_point_functions_of_drawn_networks(activation, density):
    width, w, b, times = 2, 1.5, 0.7, [1.0, 0.8, 1.2, 0.9]
    network = TimeNetwork(activation, 1, w, b, width, Density(density))

    def draw(rng, n, t):
        hidden = NUMPY[activation](w * rng.normal(size=(n, width, 1)) * t + b * rng.normal(size=(n, width, 1)))
        v = Density(density).sample((n, width, 1), rng) * w / np.sqrt(width)
        # Without the output bias, which is Gaussian and adds noise only.
        return np.sum(v * hidden, axis=1)

    found = brute_force(draw, times)
    harness.assert_consistent(found, network.connected_four_point(times))
    harness.assert_inconsistent(found, network.connected_four_point(times) * width / (width + 1))


@pytest.mark.slow
def test_wide_deep_networks_have_the_kernel_of_the_limit():
    # The difference falls as 1/width; 2000 networks of width 128 see 1 in 40.
    network, t = TimeNetwork("tanh", depth=2, weight_std=1.5, bias_std=0.3), np.array([-0.8, 0.3, 1.1])
    rng, width, n = np.random.default_rng(1), 128, 2000
    x = np.empty((n, 3))
    for i in range(n):
        h = np.tanh(1.5 * rng.normal(size=(width, 1)) * t + 0.3 * rng.normal(size=(width, 1)))
        h = np.tanh(1.5 / np.sqrt(128) * rng.normal(size=(width, width)) @ h + 0.3 * rng.normal(size=(width, 1)))
        x[i] = 1.5 / np.sqrt(128) * rng.normal(size=width) @ h + 0.3 * rng.normal()
    expected = network(t[:, None], t)
    np.testing.assert_allclose(x.T @ x / n, expected, atol=0.12 * expected.max())
    assert not np.allclose(x.T @ x / n, TimeNetwork("tanh", 1, 1.5, 0.3)(t[:, None], t), atol=0.12 * expected.max())


@pytest.mark.slow
def test_saturated_neurons_tend_to_the_arcsine_law():
    # tanh of a large argument is a sign, whose average is that of erf in the same limit.
    t = np.array([0.5, 1.0])
    sharp = TimeNetwork("tanh", weight_std=6.0, bias_std=0.0)(1.0, t) / 36
    np.testing.assert_allclose(sharp[1], double_integral(lambda z, _: np.tanh(6 * z) ** 2), rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(times=st.lists(TIMES, min_size=4, max_size=4), order=st.permutations(range(4)))
def test_four_point_functions_are_symmetric(times, order):
    t = np.array(times)
    for network in (
        CosineNetwork(Density("gaussian"), 2),
        TimeNetwork("relu", width=2, bias_std=0.5),
        TimeNetwork("sin", width=2),
    ):
        a, b = network.connected_four_point(t), network.connected_four_point(t[list(order)])
        assert float(a) == pytest.approx(float(b), rel=1e-9, abs=1e-12)


def test_four_point_functions_fall_with_the_width():
    t = [0.1, 0.2, 0.3, 0.4]
    for make in (lambda n: CosineNetwork(Density("gaussian"), n), lambda n: TimeNetwork("erf", width=n)):
        assert make(50).connected_four_point(t) * 50 == pytest.approx(float(make(1).connected_four_point(t)))


@pytest.mark.slow
def test_many_times_at_once_are_the_same_as_few():
    network = TimeNetwork("tanh", depth=2)
    t = np.linspace(-1, 1, 5000)
    np.testing.assert_allclose(network(t, 0.3)[::1000], network(t[::1000], 0.3), rtol=1e-13)
    assert network(np.empty(0), 1.0).shape == (0,)


# ---- the same networks, sampled by the core


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_sampled_perceptrons_have_these_kernels(activation):
    network = TimeNetwork(activation, 1, 1.4, 0.5)
    drawn = nnqm.RandomNetwork((1, 8, 1), activation, weight_std=1.4, bias_std=0.5)
    run = nnqm.simulate(
        nnqm.Theory(nnqm.Times(), drawn), 100_000, times=[-1.0, 0.3, 1.2], rng=3, measure=nnqm.Measure(two_time=True)
    )
    found = run.two_time_function()
    harness.assert_consistent(
        found[[0, 0, 1, 1, 2], [0, 2, 1, 2, 2]], network([-1, -1, 0.3, 0.3, 1.2], [-1, 1.2, 0.3, 1.2, 1.2])
    )
    harness.assert_inconsistent(found[0, 0], network(-1.0, -1.0) * 1.1)


def test_sampled_cosine_networks_have_these_kernels():
    student = Density("student-t", 3)
    network = CosineNetwork(student, 4, scale=0.8, variance=1.5)
    # Uniform phases of half-width pi are as good as those on [0, 2 pi).
    drawn = nnqm.RandomNetwork(
        (1, 4, 1),
        "cos",
        weights=[student, Density("rademacher")],
        biases=["uniform", "gaussian"],
        weight_std=[0.8, np.sqrt(2 * 1.5)],
        bias_std=[np.pi / np.sqrt(3), 0.0],
    )
    run = nnqm.simulate(
        nnqm.Theory(nnqm.Times(), drawn), 100_000, times=[-1.0, 0.3, 1.2], rng=3, measure=nnqm.Measure(two_time=True)
    )
    found = run.two_time_function()[[0, 0, 0, 1], [0, 1, 2, 2]]
    harness.assert_consistent(found, network([-1, -1, -1, 0.3], [-1, 0.3, 1.2, 1.2]))
    harness.assert_inconsistent(found, CosineNetwork(student, 4, variance=1.5)([-1, -1, -1, 0.3], [-1, 0.3, 1.2, 1.2]))
