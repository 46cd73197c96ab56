"""Karhunen-Loeve decompositions against closed forms, the integral equation itself, enumeration, and runs."""

import itertools
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

import harness
import nnqm
from nnqm import Density, Estimate, Kernel, karhunen_loeve
from nnqm.time_networks.decompose import SpectralKernel

OU = [(1.0, 10.0), (0.1, 1.0), (5.0, 3.0), (0.3, 40.0), (0.02, 1.0)]


def plain(kernel):
    """The same kernel as a function, which the general solver decomposes."""
    return lambda s, t: kernel(s, t)


def fractional(hurst):
    return lambda s, t: (s ** (2 * hurst) + t ** (2 * hurst) - np.abs(s - t) ** (2 * hurst)) / 2


CLOSED = [
    (Kernel.wiener(1.3), (0.0, 2.5)),
    (Kernel.brownian_bridge(1.7, 0.6), (0.0, 1.7)),
    *((Kernel.ornstein_uhlenbeck(omega, 1.2), (-1.0, T - 1.0)) for omega, T in OU),
    (Kernel.ornstein_uhlenbeck(1.3, 0.7, beta=3.0), (1.0, 4.0)),
    (Kernel.ornstein_uhlenbeck(0.2, beta=1.0), (0.0, 1.0)),
]
OWN = [
    (Kernel.matern(1.5), (0.0, 3.0)),
    (Kernel.matern(2.5, 0.5), (-1.0, 1.0)),
    (Kernel.squared_exponential(0.7), (0.0, 3.0)),
    (Kernel.rational_quadratic(1.0, 0.5), (0.0, 3.0)),
    (Kernel.root_exponential(), (0.0, 3.0)),
    (fractional(0.75), (0.0, 1.0)),
    (lambda s, t: 1.5 * np.exp(-np.abs(s - t)) + np.cos(3 * s) * np.cos(3 * t), (0.0, 2.0)),
]


# ---- closed forms


@pytest.mark.parametrize(("omega", "duration"), OU)
def test_the_closed_form_of_ornstein_uhlenbeck(omega, duration):
    kl = karhunen_loeve(Kernel.ornstein_uhlenbeck(omega, 1.2), (0.0, duration), 40)
    assert kl.method == "closed form"
    for k in (1, 2, 3, 10, 39, 40):
        with mp.workdps(30):
            c, low, high = mp.mpf(omega) * duration, (k - 1) * mp.pi, k * mp.pi
            # Even: w sin(wT/2) = omega cos(wT/2); odd: omega sin(wT/2) = -w cos(wT/2).
            if k % 2:
                root = mp.findroot(lambda x, c=c: x * mp.sin(x / 2) - c * mp.cos(x / 2), (low, high), solver="anderson")
            else:
                root = mp.findroot(lambda x, c=c: c * mp.sin(x / 2) + x * mp.cos(x / 2), (low, high), solver="anderson")
            assert low < root < high
            expected = mp.mpf(1.2) ** 2 / (mp.mpf(omega) ** 2 + (root / duration) ** 2)
        assert kl.eigenvalues[k - 1] == pytest.approx(float(expected), rel=1e-13)


def test_the_closed_forms_of_wiener_bridge_and_thermal():
    k = np.arange(1, 31)
    wiener = karhunen_loeve(Kernel.wiener(), (0.0, 3.0), 30)
    np.testing.assert_allclose(wiener.eigenvalues, 9 / ((k - 0.5) * np.pi) ** 2, rtol=1e-14)
    bridge = karhunen_loeve(Kernel.brownian_bridge(3.0), (0.0, 3.0), 30)
    np.testing.assert_allclose(bridge.eigenvalues, 9 / (k * np.pi) ** 2, rtol=1e-14)
    thermal = karhunen_loeve(Kernel.ornstein_uhlenbeck(2.0, 3.0, beta=1.5), (0.0, 1.5), 5)
    w = 2 * np.pi / 1.5 * np.array([0, 1, 1, 2, 2])
    np.testing.assert_allclose(thermal.eigenvalues, 9 / (4 + w**2), rtol=1e-14)


@pytest.mark.parametrize(("kernel", "interval"), CLOSED, ids=str)
def test_the_general_solver_reaches_the_closed_forms(kernel, interval):
    exact = karhunen_loeve(kernel, interval, 40)
    found = karhunen_loeve(plain(kernel), interval, 40)
    assert (exact.method, found.method) == ("closed form", "panels")
    off = np.abs(found.eigenvalues - exact.eigenvalues)
    assert np.all(off <= found.errors)
    assert off.max() <= 1e-13 * exact.eigenvalues[0]
    rounding = 1e-14 * exact.eigenvalues[0]
    np.testing.assert_allclose(found.eigenvalues, exact.eigenvalues, rtol=1e-10, atol=rounding)
    assert found.trace == pytest.approx(exact.trace, rel=1e-13)
    # The same signs, and the same functions where eigenvalues are equal.
    t = np.linspace(*interval, 301)
    np.testing.assert_allclose(found(t), exact(t), atol=1e-8 * np.abs(exact(t)).max())


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "interval"), [*CLOSED, *OWN])
def test_eigenfunctions_are_orthonormal_and_solve_the_integral_equation(kernel, interval):
    kl = karhunen_loeve(kernel, interval, 8)
    a, b = interval
    x, w = np.polynomial.legendre.leggauss(400)
    t, w = a + (b - a) * (1 + x) / 2, w * (b - a) / 2
    e = kl(t)
    # The rule sees singularities at the ends: no more than this.
    np.testing.assert_allclose(e.T @ (w[:, None] * e), np.eye(len(kl)), atol=1e-6)
    for s in (a, a + 0.37 * (b - a), b):
        for k in (0, 1, len(kl) - 1):

            def integrand(u, s=s, k=k):
                return float(kernel(np.array(s), np.array(u)) * kl(u)[k])

            value = sum(
                integrate.quad(integrand, low, high, limit=400, epsabs=1e-12, epsrel=1e-12)[0]
                for low, high in ((a, s), (s, b))
                if high > low
            )
            scale = kl.eigenvalues[0] * np.abs(e).max()
            assert value == pytest.approx(kl.eigenvalues[k] * float(kl(s)[k]), abs=1e-8 * scale)


@pytest.mark.slow
def test_several_hundred_modes():
    kernel, interval = Kernel.ornstein_uhlenbeck(1.0), (0.0, 10.0)
    exact, found = (karhunen_loeve(k, interval, 200) for k in (kernel, plain(kernel)))
    np.testing.assert_allclose(found.eigenvalues, exact.eigenvalues, rtol=1e-10)


def test_signs_and_degenerate_pairs_are_fixed():
    thermal = plain(Kernel.ornstein_uhlenbeck(1.0, beta=2.0))
    first, second = karhunen_loeve(thermal, (0.0, 2.0), 5), karhunen_loeve(thermal, (0.0, 2.0), 12)
    t = np.linspace(0, 2, 50)
    np.testing.assert_allclose(first(t), second(t)[:, :5], atol=1e-9)
    # cos, then sin
    np.testing.assert_allclose(first(t)[:, 1], np.cos(np.pi * t), atol=1e-9)
    np.testing.assert_allclose(first(t)[:, 2], np.sin(np.pi * t), atol=1e-9)
    matern = karhunen_loeve(Kernel.matern(1.5), (0.0, 3.0), 10)
    assert np.all(matern(0.0) > 0)


# ---- truncation and errors


def test_truncation_is_the_tail_of_the_trace():
    kernel = Kernel.ornstein_uhlenbeck(1.5)
    many, few = karhunen_loeve(kernel, (0.0, 4.0), 1000), karhunen_loeve(kernel, (0.0, 4.0), 50)
    assert few.truncation_error == pytest.approx(2 * 1.5 * 4.0 / (np.pi**2 * 50), rel=0.05)
    assert few.truncation_error - many.truncation_error == pytest.approx(many.eigenvalues[50:].sum() / few.trace)
    t = np.linspace(0, 4, 2000)
    lost = np.trapezoid(kernel(t, t) - few.connected(t, t), t) / few.trace
    assert lost == pytest.approx(few.truncation_error, rel=1e-3)
    again = many.truncated(50)
    np.testing.assert_array_equal(again.eigenvalues, few.eigenvalues)
    np.testing.assert_array_equal(again(t), few(t))


@pytest.mark.slow
def test_smooth_kernels_end_in_noise_that_is_counted():
    kl = karhunen_loeve(Kernel.squared_exponential(), (0.0, 3.0), 60)
    assert 10 < len(kl) < 25
    assert len(kl) + kl.n_noise == 60
    assert kl.truncation_error < 1e-13
    assert "more asked for are noise" in str(kl)
    rank = karhunen_loeve(nnqm.TimeNetwork("identity", bias_std=0.5), (-1.0, 1.0), 10)
    assert (len(rank), rank.n_noise) == (2, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "interval"),
    [(fractional(0.2), (0.0, 1.0)), (Kernel.root_exponential(), (0.0, 3.0))],
    ids=["H=0.2", "root"],
)
def test_errors_of_rough_kernels_are_honest(kernel, interval):
    rough = karhunen_loeve(kernel, interval, 12, tolerance=1e-3)
    fine = karhunen_loeve(kernel, interval, 12, tolerance=1e-7)
    off = np.abs(rough.eigenvalues - fine.eigenvalues)
    assert np.all(off <= rough.errors + fine.errors)
    # The two differ, or nothing is compared.
    assert off.max() > 10 * fine.errors.max()


# ---- tables


@pytest.mark.slow
@pytest.mark.parametrize("n", [33, 65, 257])
@pytest.mark.parametrize(("kernel", "interval"), [CLOSED[0], CLOSED[1], CLOSED[2], OWN[0], OWN[2], OWN[4]], ids=str)
def test_tables_have_honest_errors(kernel, interval, n):
    exact = karhunen_loeve(kernel, interval, 60)
    t = np.linspace(*interval, n)
    found = karhunen_loeve((t, kernel(t[:, None], t)), n_modes=40)
    assert found.method == "table"
    assert found.interval == interval
    most = min(len(found), len(exact))
    assert most >= 6
    assert np.all(np.abs(found.eigenvalues - exact.eigenvalues[:most])[:most] <= found.errors[:most])
    assert len(found) + found.n_noise == 40
    np.testing.assert_allclose(found(t)[:, 0], exact(t)[:, 0], atol=0.02)


def test_tables_of_kinked_kernels_converge_with_the_fourth_power():
    kernel, exact = Kernel.wiener(), karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 3)
    errors = []
    for n in (21, 41, 81):
        t = np.linspace(0, 1, n)
        errors.append(np.abs(karhunen_loeve((t, kernel(t[:, None], t)), n_modes=3).eigenvalues - exact.eigenvalues))
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(rates > 3.7)


@pytest.mark.slow
def test_tables_on_uneven_grids():
    kernel = Kernel.ornstein_uhlenbeck(1.0)
    exact = karhunen_loeve(kernel, (0.0, 5.0), 40)
    alternating = np.cumsum([0.0, *[1.0, 2.4] * 60])
    for t in (5 * np.linspace(0, 1, 120) ** 1.3, 5 * alternating / alternating[-1]):
        found = karhunen_loeve((t, kernel(t[:, None], t)), n_modes=40)
        assert len(found) > 15
        off = np.abs(found.eigenvalues - exact.eigenvalues[: len(found)])
        assert np.all(off <= found.errors)


# ---- kernels and theories that are refused


def table(n=20, **changes):
    t = np.linspace(0, 1, n)
    values = np.exp(-np.abs(t[:, None] - t))
    for where, value in changes.items():
        values[tuple(map(int, where.strip("_").split("_")))] = value
    return t, values


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: karhunen_loeve(Kernel.wiener(), (1.0, 1.0)),
            r"interval must be \(a, b\) with a < b; got \(1.0, 1.0\)",
        ),
        (lambda: karhunen_loeve(Kernel.wiener(), (0.0, np.inf)), r"interval\[1\]=inf"),
        (lambda: karhunen_loeve(Kernel.wiener()), "interval must be given"),
        (lambda: karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 0), "n_modes must be at least 1"),
        (lambda: karhunen_loeve(lambda s, t: 1 - np.abs(s - t), (0.0, 3.0)), r"positive semidefinite; .* -0.4952"),
        (lambda: karhunen_loeve(lambda s, t: np.exp(-(np.abs(s - t) ** 3)), (0.0, 3.0)), "semidefinite; .* -0.06"),
        (lambda: karhunen_loeve(lambda s, t: (1 + s) * np.exp(-np.abs(s - t)), (0.0, 1.0)), r"symmetric; K\(.*\) = "),
        (lambda: karhunen_loeve(lambda s, t: 1.0, (0.0, 1.0)), "shape that s and t broadcast to"),
        (lambda: karhunen_loeve(lambda s, t: np.where(s == t, np.nan, 1.0), (0.0, 1.0)), "kernel must be finite; K"),
        (lambda: karhunen_loeve(lambda s, t: -np.exp(s + t), (0.0, 1.0)), r"semidefinite; .* eigenvalue -3.1945"),
        (lambda: karhunen_loeve(lambda s, t: 0.0 * s * t, (0.0, 1.0)), "no mode above its errors"),
        (lambda: karhunen_loeve(lambda s, t: 1.0 * (s == t), (0.0, 1.0)), "not mean-square continuous"),
        pytest.param(
            lambda: karhunen_loeve(fractional(0.05), (0.0, 1.0), 5, tolerance=1e-14),
            "converges slowly",
            marks=pytest.mark.slow,
        ),
        (
            lambda: karhunen_loeve(Kernel.matern(1.5), (0.0, 1.0), breaks=[2.0]),
            r"breaks must lie inside .* got \[2.0\]",
        ),
        (lambda: karhunen_loeve(Kernel.brownian_bridge(1.0), (0.0, 2.0)), r"s must lie in \[0, 1\]"),
        (
            lambda: karhunen_loeve(table(), (0.0, 2.0)),
            r"interval must be the range of the table, \(0, 1\); got \(0.0, 2.0\)",
        ),
        (lambda: karhunen_loeve((np.linspace(0, 1, 19), table()[1])), r"shape \(19, 19\).* got \(20, 20\)"),
        (lambda: karhunen_loeve((np.zeros(20), table()[1])), r"times\[1\]=0 <= times\[0\]=0"),
        (lambda: karhunen_loeve((np.arange(5.0), np.eye(5))), "at least 8 entries"),
        (lambda: karhunen_loeve((np.arange(20.0) ** 3, table()[1])), r"got 1 and 7 at times\[1\]=1; interpolate"),
        (lambda: karhunen_loeve(table(_3_7=0.1)), "symmetric; K"),
        (lambda: karhunen_loeve(table(_3_3=0.1)), "table must be positive semidefinite; it has the eigenvalue -"),
        (lambda: karhunen_loeve(table(_3_3=np.nan)), r"table must be finite; table\[3, 3\]=nan"),
        (lambda: karhunen_loeve(nnqm.harmonic_oscillator(), (0.0, 1.0), mean=1.0), "mean is given by the theory"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_kernel():
    with pytest.raises(TypeError, match="kernel must be a function"):
        karhunen_loeve(3.0, (0.0, 1.0))
    with pytest.raises(TypeError, match="real numbers; got dtype complex128"):
        karhunen_loeve(lambda s, t: np.exp(1j * (s - t)), (0.0, 1.0))


def test_a_rounded_table_is_accepted_at_its_precision():
    t = np.linspace(0, 1, 40)
    rounded = np.exp(-((t[:, None] - t) ** 2)).round(6)
    with pytest.raises(ValueError, match="use a larger tolerance for a table that is rounded"):
        karhunen_loeve((t, rounded))
    kl = karhunen_loeve((t, rounded), tolerance=1e-4)
    assert 2 < len(kl) < 8
    exact = karhunen_loeve(lambda s, u: np.exp(-((s - u) ** 2)), (0.0, 1.0), 10)
    assert np.all(np.abs(kl.eigenvalues - exact.eigenvalues[: len(kl)]) <= kl.errors)


def test_kinks_off_the_diagonal_are_given_as_breaks():
    # relu neurons without bias: K = s t for s t > 0 and 0 otherwise, of rank 2.
    kernel = nnqm.TimeNetwork("relu", bias_std=0.0)
    kl = karhunen_loeve(kernel, (-1.0, 2.0), 6, breaks=[0.0])
    np.testing.assert_allclose(kl.eigenvalues, [8 / 6, 1 / 6], rtol=1e-12)
    np.testing.assert_allclose(kl([-0.5, 1.0])[:, 0], [0.0, np.sqrt(3 / 8)], atol=1e-9)


# ---- theories and runs


def test_sums_of_exponentials_are_interpolated_to_rounding():
    measure = nnqm.kallen_lehmann(nnqm.builtin_theory("deep-tanh"))
    kernel = SpectralKernel.of(measure, 7.0)
    d = np.concatenate([[0.0, 7.0], 7 * 10 ** np.random.default_rng(1).uniform(-15, 0, 500)])
    np.testing.assert_allclose(kernel(np.zeros_like(d), d), measure.connected(d), rtol=1e-13, atol=1e-14)


@pytest.mark.slow
def test_theories_with_other_sources():
    flip = nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.9, 0.1], [0.1, 0.9]], dt=1.0))
    exact = karhunen_loeve(Kernel.ornstein_uhlenbeck(-np.log(0.8), np.sqrt(-2 * np.log(0.8))), (0.0, 5.0), 10)
    np.testing.assert_allclose(karhunen_loeve(flip, (0.0, 5.0), 10).eigenvalues, exact.eigenvalues, rtol=1e-10)
    alternating = nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.1, 0.9], [0.9, 0.1]], dt=1.0))
    with pytest.raises(ValueError, match="at multiples of dt=1 only; give a table"):
        karhunen_loeve(alternating, (0.0, 5.0), 10)
    hamiltonian = nnqm.Hamiltonian([0, 0, 0.5, 0, 1])
    kl = karhunen_loeve(nnqm.Theory(nnqm.GroundStateProcess(hamiltonian)), (0.0, 5.0), 60)
    assert kl.connected(2.0, 2.7) == pytest.approx(float(hamiltonian.two_point(0.7)), abs=0.01)


@pytest.mark.slow
def test_theories_stand_for_their_exact_kernels():
    theory = nnqm.builtin_theory("deep-tanh")
    measure = nnqm.kallen_lehmann(theory)
    kl = karhunen_loeve(theory, (0.0, 4.0), 30)
    assert float(kl.mean(1.0)) == measure.mean
    # What the measure does not know, the norm of an operator bounds for every eigenvalue.
    assert kl.errors.min() >= measure.error * measure.moments[0] * 4.0 > 0
    t = np.linspace(0, 4, 41)
    off = measure.connected(t[:, None] - t) - kl.connected(t[:, None], t)
    # Positive semidefinite, so that its largest entry is on the diagonal; near the ends it is twice the average.
    assert np.abs(off).max() == np.diag(off).max()
    assert np.diag(off).mean() == pytest.approx(kl.truncation_error * measure.moments[0], rel=0.2)
    assert np.abs(off).max() < 4 * kl.truncation_error * measure.moments[0]
    np.testing.assert_allclose(kl.two_point(0.0, t) - kl.connected(0.0, t), measure.mean**2)
    oscillator = karhunen_loeve(nnqm.harmonic_oscillator(2.0), (0.0, 3.0), 20)
    exact = karhunen_loeve(Kernel.ornstein_uhlenbeck(2.0), (0.0, 3.0), 20)
    np.testing.assert_allclose(oscillator.eigenvalues, exact.eigenvalues, rtol=1e-11)


def run_of(theory, n_paths, seed, n_times=48, **options):
    return nnqm.simulate(
        theory,
        n_paths,
        n_times,
        0.1,
        rng=seed,
        measure=nnqm.Measure(two_time=True, lags=(), observable_lags=(), increment_lags=()),
        **options,
    )


def test_runs_are_decomposed_with_jackknife_errors():
    run = run_of(nnqm.harmonic_oscillator(), 40_000, 3)
    kl = karhunen_loeve(run, n_modes=40)
    exact = karhunen_loeve(Kernel.ornstein_uhlenbeck(1.0), (0.0, 4.7), 40)
    assert kl.method == "measured"
    assert kl.interval == pytest.approx((0.0, 4.7))
    assert kl.n_noise > 0
    assert len(kl) + kl.n_noise == 40
    harness.assert_consistent(kl.estimates[:8], exact.eigenvalues[:8])
    harness.assert_inconsistent(kl.estimates[:8], exact.eigenvalues[:8] * 1.1)
    harness.assert_each_consistent(kl.estimates, exact.eigenvalues[: len(kl)])
    # What is kept exceeds five times its error by definition: kl.n_noise counts the others.
    assert np.all(kl.eigenvalues > 5 * kl.errors)
    np.testing.assert_array_equal(kl.errors, kl.estimates.total_error)
    t = run.times
    np.testing.assert_allclose(kl(t)[:, 0], exact(t)[:, 0], atol=0.05)


@pytest.mark.slow
def test_errors_of_measured_eigenvalues_are_calibrated():
    exact = karhunen_loeve(Kernel.ornstein_uhlenbeck(1.0), (0.0, 2.3), 4).eigenvalues
    pulls = []
    for seed in range(60):
        kl = karhunen_loeve(run_of(nnqm.harmonic_oscillator(), 4096, 100 + seed, n_times=24, n_blocks=64), n_modes=4)
        pulls.append((kl.estimates.value[:2] - exact[:2]) / kl.estimates.error[:2])
    for column in np.transpose(pulls):
        harness.assert_pulls_are_standard(column)


@pytest.mark.slow
def test_the_mean_of_a_run_is_the_output_bias():
    theory = nnqm.builtin_theory("deep-tanh")
    run = run_of(theory, 20_000, 4)
    kl = karhunen_loeve(run, n_modes=5)
    exact = nnqm.kallen_lehmann(theory)
    np.testing.assert_allclose(kl.mean(run.times), exact.mean, atol=0.03)
    assert kl.trace == pytest.approx(exact.moments[0] * 4.7, rel=0.05)
    with pytest.raises(ValueError, match="mean is measured by the run"):
        karhunen_loeve(run, mean=0.0)
    with pytest.raises(ValueError, match="this run holds no two_time"):
        karhunen_loeve(nnqm.simulate(theory, 1000, 16, 0.1, rng=1))


def test_a_noisy_measured_table_is_not_refused_and_its_noise_is_noise():
    t = np.linspace(0, 1, 24)
    rng = np.random.default_rng(1)
    noise = 1e-3 * rng.normal(size=(65, 24, 24))
    replicas = np.exp(-((t[:, None] - t) ** 2)) + (noise + noise.transpose(0, 2, 1)) / 2
    value = replicas[1:].mean(axis=0)
    # Delete-one means of 64 independent tables.
    left_out = (64 * value - replicas[1:]) / 63
    kl = karhunen_loeve((t, Estimate(value, left_out, np.full(64, 64.0))), n_modes=24)
    exact = karhunen_loeve(lambda s, u: np.exp(-((s - u) ** 2)), (0.0, 1.0), 10)
    assert 2 <= len(kl) <= 4
    assert kl.n_noise == 24 - len(kl)
    harness.assert_each_consistent(kl.estimates, exact.eigenvalues[: len(kl)])


# ---- the truncated network


@pytest.mark.slow
def test_the_commutator_of_a_truncated_network():
    T, n = 6.0, 120
    kl = karhunen_loeve(Kernel.ornstein_uhlenbeck(1.0), (0.0, T), n)
    # Against the sum over modes on a fine grid.
    for lag in (0.02, 0.5, 2.0):
        t = np.linspace(0, T - lag, 20001)
        expected = np.trapezoid(kl.quadratic_variation(t, lag), t) / (lag * (T - lag))
        assert float(kl.commutator_at(lag)) == pytest.approx(expected, rel=1e-6)
    # Above T/K: the kernel's own value, less the predicted deficit.
    lags = np.array([0.5, 1.0])
    whole = -np.expm1(-lags) / lags
    assert kl.commutator_at(lags) == pytest.approx(whole - 2 * T / (np.pi**2 * n * lags), rel=0.004)
    assert kl.truncated(60).commutator_at(lags) == pytest.approx(whole - 4 * T / (np.pi**2 * n * lags), rel=0.01)
    # Far below: linear, as of any smooth path.
    small = kl.commutator_at([1e-3, 2e-3])
    assert small[1] / small[0] == pytest.approx(2, rel=0.01)
    assert small[1] < 0.1
    # hbar and mass
    np.testing.assert_allclose(kl.commutator_at(lags, hbar=2.0, mass=3.0), 1.5 * kl.commutator_at(lags))
    for bad in (0.0, 6.0):
        with pytest.raises(ValueError, match=f"between 0 and the length of the interval, 6; got {bad:g}"):
            kl.commutator_at(bad)


@pytest.mark.slow
def test_many_modes_have_the_commutator_of_the_kernel():
    kl = karhunen_loeve(Kernel.matern(1.5), (0.0, 3.0), 60)
    lags = np.array([0.2, 0.5])
    kernel = Kernel.matern(1.5)
    expected = 2 * (kernel(0, 0) - kernel(0, lags)) / lags
    np.testing.assert_allclose(kl.commutator_at(lags), expected, rtol=1e-3)


def test_four_point_functions_by_enumeration_of_signs():
    kl = karhunen_loeve(Kernel.ornstein_uhlenbeck(1.0), (0.0, 2.0), 6, mean=lambda t: 0.3 + 0.1 * t)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=6)))
    times = np.array([0.1, 0.7, 1.9, 1.2])
    x = kl.mean(times) + signs @ kl.basis(times)
    rademacher = Density("rademacher")
    assert float(kl.four_point(times, rademacher)) == pytest.approx(x.prod(axis=1).mean(), rel=1e-12)
    d = x - kl.mean(times)
    c = d.T @ d / len(d)
    connected = d.prod(axis=1).mean() - c[0, 1] * c[2, 3] - c[0, 2] * c[1, 3] - c[0, 3] * c[1, 2]
    assert float(kl.connected_four_point(times, rademacher)) == pytest.approx(connected, rel=1e-11)
    np.testing.assert_allclose(c, kl.connected(times[:, None], times), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(x.T @ x / len(x), kl.two_point(times[:, None], times), rtol=1e-12, atol=1e-14)
    # Cumulants add: other densities by their kurtosis.
    for density in (Density("uniform"), Density("student-t", 5), Density("gaussian")):
        expected = connected * density.kurtosis / -2
        assert float(kl.connected_four_point(times, density)) == pytest.approx(expected, rel=1e-11, abs=1e-300)


@pytest.mark.slow
def test_four_point_functions_of_drawn_weights():
    kl = karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 5)
    times, density = np.full(4, 0.8), Density("laplace")
    sums = {"n": np.full(64, 20000.0), "2": [], "4": []}
    for block in range(64):
        x = density.sample((20000, 5), block) @ kl.basis([0.8])[:, 0]
        sums["2"].append((x**2).sum())
        sums["4"].append((x**4).sum())
    sums = {k: np.array(v) for k, v in sums.items()}
    found = nnqm.jackknife(lambda s: s["4"] / s["n"] - 3 * (s["2"] / s["n"]) ** 2, sums, sums["n"])
    harness.assert_consistent(found, kl.connected_four_point(times, density))
    harness.assert_inconsistent(found, kl.connected_four_point(times, density) / 2)


def test_densities_without_a_fourth_moment_are_refused():
    kl = karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 5)
    for density in (Density("student-t", 4), Density("cauchy")):
        with pytest.raises(ValueError, match=f"fourth moment; {density} has none"):
            kl.connected_four_point([0.1] * 4, density)
    with pytest.raises(ValueError, match=r"times must have shape \(..., 4\)"):
        kl.four_point([0.1] * 3, Density("gaussian"))


def test_times_outside_the_interval_are_refused():
    kl = karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 5)
    assert kl([0.0, 1.0]).shape == (2, 5)
    assert kl(0.5).shape == (5,)
    assert kl.basis([0.1, 0.2]).shape == (5, 2)
    with pytest.raises(ValueError, match=r"times must lie in the interval \[0, 1\]; got 1.5"):
        kl([0.5, 1.5])


def test_decompositions_pickle():
    kl = karhunen_loeve(Kernel.matern(1.5), (0.0, 1.0), 5)
    again = pickle.loads(pickle.dumps(kl))
    np.testing.assert_array_equal(again([0.3, 0.9]), kl([0.3, 0.9]))


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.floats(0.1, 10.0),
    st.floats(0.1, 10.0),
    st.floats(-5.0, 5.0),
    st.sampled_from([Kernel.matern(1.5), Kernel.ornstein_uhlenbeck(1.0)]),
)
def test_units(scale, stretch, shift, kernel):
    """K -> scale K, t -> stretch t + shift changes eigenvalues by scale times stretch, functions by stretch^(-1/2)."""
    first = karhunen_loeve(kernel, (0.0, 2.0), 6)
    second = karhunen_loeve(
        lambda s, t: scale * kernel((s - shift) / stretch, (t - shift) / stretch), (shift, shift + 2 * stretch), 6
    )
    np.testing.assert_allclose(second.eigenvalues, scale * stretch * first.eigenvalues, rtol=1e-10)
    t = np.linspace(0, 2, 11)
    np.testing.assert_allclose(second(shift + stretch * t), first(t) / np.sqrt(stretch), atol=1e-7 / np.sqrt(stretch))


def test_a_mean_that_moves_is_no_mode():
    paths = nnqm.sample_paths(nnqm.harmonic_oscillator(), 8192, 24, 0.1, rng=1, precision="float64")
    t = 0.1 * np.arange(24)
    plain_run, moved_run = (
        nnqm.accumulate(p, 0.1, measure=nnqm.Measure(two_time=True, lags=(), observable_lags=(), increment_lags=()))
        for p in (paths, paths + (3 * t - 5)[:, None])
    )
    still, moved = karhunen_loeve(plain_run, n_modes=6), karhunen_loeve(moved_run, n_modes=6)
    np.testing.assert_allclose(moved.eigenvalues, still.eigenvalues, rtol=1e-9)
    np.testing.assert_allclose(moved.errors, still.errors, rtol=1e-6)
    np.testing.assert_allclose(moved.mean(t) - still.mean(t), 3 * t - 5, atol=1e-9)
