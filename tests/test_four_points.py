"""Connected four-point functions against exact ones, and whether a mixture of theories is told from one theory."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent, assert_pulls_are_standard, assert_rate_at_most, refute
from nnqm.estimators.clustering import clustering
from nnqm.estimators.four_points import _cumulant, connected_four_point, pair_four_point

DT = 0.2
QUADRUPLES = np.array([[0, 0, 0, 0], [0, 0, 3, 3], [0, 1, 1, 4], [0, 2, 3, 7], [0, 0, 0, 5]])


def ornstein_uhlenbeck(rng, n_paths=3000, n_times=48, omega=1.0):
    rho = np.exp(-np.asarray(omega) * DT)
    x = rng.normal(size=(n_paths, n_times))
    for t in range(1, n_times):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * x[:, t]
    return x


def exact(theory, steps):
    """By the four terms that are left of the cumulant once the mean is subtracted."""
    mean = float(nnqm.n_point(theory, [0.0]))
    column = theory.channels.index(theory.outputs[0])

    def at(*times):
        return float(nnqm.n_point(theory, times, functions=[lambda c: c[..., column] - mean] * len(times)))

    out = []
    for a, b, c, d in np.asarray(steps) * DT:
        out.append(at(a, b, c, d) - at(a, b) * at(c, d) - at(a, c) * at(b, d) - at(a, d) * at(b, c))
    return np.array(out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deep-tanh", "anharmonic"])
def test_four_point_functions_are_the_exact_ones(name):
    theory = nnqm.builtin_theory(name)
    found = connected_four_point(nnqm.Paths(theory, 60_000, 16, DT, rng=1), QUADRUPLES)
    expected = exact(theory, QUADRUPLES)
    assert_consistent(found, expected)
    assert_inconsistent(found, 0.8 * expected)
    kurtosis = nnqm.simulate(theory, 2000, 16, DT, rng=2).kurtosis()
    variance = nnqm.simulate(theory, 2000, 16, DT, rng=2).moments()[0]
    assert abs(float(found.value[0]) - float(kurtosis.value * variance.value**2)) < 6 * float(
        kurtosis.error * variance.value**2
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deep-tanh", "anharmonic"])
@pytest.mark.parametrize(("powers", "row"), [((2, 2), (0, 0, 1, 1)), ((1, 3), (0, 1, 1, 1))])
def test_pairs_of_times_come_from_the_lag_matrix(name, powers, row):
    theory = nnqm.builtin_theory(name)
    observables = nnqm.default_observables(theory, observe=["x"], neurons=0, order=3)
    lags = (0, 1, 2, 5, 9)
    run = nnqm.simulate(
        theory, 100_000, 32, DT, rng=3, measure=nnqm.Measure(observables=observables, lags=(0,), observable_lags=lags)
    )
    found = pair_four_point(run, "x", powers)
    expected = exact(theory, np.multiply.outer(lags, row))
    assert_consistent(found, expected)
    assert_inconsistent(found, 0.8 * expected)
    np.testing.assert_allclose(pair_four_point(run, "x", powers[::-1]).value, found.value, rtol=1e-12)
    assert float(found.value[0]) == pytest.approx(
        float(run.kurtosis("x").value * run.moments("x").value[0] ** 2), rel=0.05
    )


def test_the_cumulant_of_known_distributions():
    # Of a Gaussian vector with a mean it vanishes; of an exponential variable it is 3!.
    rng = np.random.default_rng(1)
    root, mean = rng.normal(size=(4, 4)), rng.normal(size=4)
    cov = root @ root.T

    def gaussian(s):
        m, c = mean[list(s)], cov[np.ix_(s, s)]
        if len(s) == 1:
            return m[0]
        if len(s) == 2:
            return m[0] * m[1] + c[0, 1]
        if len(s) == 3:
            return m.prod() + sum(m[i] * c[j, k] for i, j, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1)))
        pairs = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))
        mixed = sum(c[i, j] * m[k] * m[q] + c[k, q] * m[i] * m[j] for i, j, k, q in pairs)
        return m.prod() + mixed + sum(c[i, j] * c[k, q] for i, j, k, q in pairs)

    assert abs(_cumulant(gaussian)) < 1e-12 * np.abs(cov).max() ** 2
    assert _cumulant(lambda s: [1, 2, 6, 24][len(s) - 1]) == 6


def test_paths_and_brute_force_agree():
    rng = np.random.default_rng(2)
    x = rng.exponential(size=(50, 7, 2))
    found = connected_four_point(x, [[1, 1, 2, 4]], channel=1)
    a, b, c, d = (x[:, k : k + 4, 1] for k in (0, 0, 1, 3))

    def m(*v):
        return np.prod(v, axis=0).mean()

    raw = m(a, b, c, d)
    raw -= m(a, b, c) * m(d) + m(a, b, d) * m(c) + m(a, c, d) * m(b) + m(b, c, d) * m(a)
    raw -= m(a, b) * m(c, d) + m(a, c) * m(b, d) + m(a, d) * m(b, c)
    raw += 2 * sum(
        m(p, q) * m(r) * m(s)
        for p, q, r, s in ((a, b, c, d), (a, c, b, d), (a, d, b, c), (b, c, a, d), (b, d, a, c), (c, d, a, b))
    )
    raw -= 6 * m(a) * m(b) * m(c) * m(d)
    assert float(found.value[0]) == pytest.approx(raw, rel=1e-10)
    fixed = connected_four_point(x, [1, 1, 2, 4], channel=1, stationary=False)
    assert fixed.value.shape == ()
    assert fixed.n_blocks == 50


def telegraph(rng, n_paths, n_times, r):
    """Stationary signs that flip so that <x(0) x(k)> = r^k: bounded, so that averages of products have no tails."""
    signs = np.where(rng.random((n_paths, n_times)) < (1 - r) / 2, -1.0, 1.0)
    signs[:, 0] = rng.choice([-1.0, 1.0], n_paths)
    return signs.cumprod(axis=1)


@pytest.mark.slow
def test_errors_of_the_four_point_function_are_calibrated():
    # <x_0 x_1 x_2 x_4> = r r^2, less the products of the three pairings.
    r = 0.8
    expected = r * r**2 - r * r**2 - r**2 * r**3 - r**4 * r
    pulls = [
        connected_four_point(telegraph(np.random.default_rng([s, 3]), 4000, 12, r), [0, 1, 2, 4]).pull(expected)
        for s in range(140)
    ]
    assert_pulls_are_standard(pulls)
    # Errors too small by a third would be seen.
    with pytest.raises(AssertionError, match="too wide"):
        assert_pulls_are_standard(1.5 * np.array(pulls))


def mixture(rng, n_paths=3000, spread=0.5, **options):
    return ornstein_uhlenbeck(rng, n_paths, **options) + spread * rng.choice([-1.0, 1.0], size=(n_paths, 1))


MIXTURES = {
    "means": lambda rng: mixture(rng),
    "rare sector": lambda rng: ornstein_uhlenbeck(rng) + 3.0 * (rng.uniform(size=(3000, 1)) < 0.03),
    "spreads": lambda rng: ornstein_uhlenbeck(rng) * rng.choice([0.7, 1.3], size=(3000, 1)),
    "rates": lambda rng: ornstein_uhlenbeck(rng, omega=rng.choice([0.5, 2.0], size=3000)),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_do_not_cluster(name):
    for seed in range(3):
        found = clustering(MIXTURES[name](np.random.default_rng([seed, 5])))
        assert found.verdict == "does not cluster"
        refute(found.p_value, "correlations that do not decay")
        assert float(found.far.value) > 0
    if name == "means":
        # A plateau of spread^2 over the variance 1 + spread^2.
        assert found.observable == "x"
        assert_consistent(found.far, 0.2)
        assert str(found).startswith("does not cluster (p = ")


@pytest.mark.slow
@pytest.mark.parametrize("cube", [False, True])
def test_theories_with_one_vacuum_cluster(cube):
    p = []
    for seed in range(80):
        x = ornstein_uhlenbeck(np.random.default_rng([seed, 6]), 1000)
        p.append(clustering(x**3 if cube else x).p_value)
    assert_rate_at_most(np.count_nonzero(np.array(p) < 0.05), len(p), 0.05)
    assert min(p) < 0.5


def test_a_drifting_mean_is_no_sector():
    x = ornstein_uhlenbeck(np.random.default_rng(7)) + np.linspace(0, 5, 48)
    assert clustering(x).verdict == "clusters"


@pytest.mark.slow
def test_slow_decay_is_no_plateau_as_long_as_paths_are_long_enough():
    slow = ornstein_uhlenbeck(np.random.default_rng(8), 20_000, omega=0.35)
    early, middle = slow[:, :12].mean(axis=1), slow[:, 18:30].mean(axis=1)
    # There is correlation over half the distance, far beyond the noise.
    assert np.corrcoef(early, middle)[0, 1] > 10 / np.sqrt(20_000)
    assert clustering(slow).verdict == "clusters"
    # Paths of less than a relaxation time know nothing of it.
    assert clustering(ornstein_uhlenbeck(np.random.default_rng(8), 20_000, omega=0.02)).verdict == "does not cluster"


@pytest.mark.slow
def test_runs_tell_a_plateau_from_decay():
    theory = nnqm.builtin_theory("deep-tanh")
    p = [
        clustering(nnqm.simulate(theory, 3000, 64, DT, rng=s, measure=nnqm.Measure(observable_lags=()))).p_value
        for s in range(40)
    ]
    assert_rate_at_most(np.count_nonzero(np.array(p) < 0.05), len(p), 0.05)
    mixed = nnqm.accumulate(mixture(np.random.default_rng(9)), DT)
    found = clustering(mixed)
    assert found.verdict == "does not cluster"
    assert_consistent(found.far, 0.2)


def test_two_times_are_enough():
    times = np.arange(0, 9.0)
    theory = nnqm.harmonic_oscillator()
    measure = nnqm.Measure(lags=(), observable_lags=(), increment_lags=(), two_time=True)
    run = nnqm.simulate(theory, 20_000, times=times, rng=1, measure=measure)
    found = clustering(run)
    assert found.verdict == "clusters"
    assert_consistent(found.near, np.exp(-4.0))
    # Means that drift are no correlation.
    paths = mixture(np.random.default_rng(9), n_times=9) + np.linspace(0, 3, 9)
    found = clustering(nnqm.accumulate(paths, 1.0, measure=measure))
    assert found.verdict == "does not cluster"
    assert_consistent(found.far, (0.25 + np.exp(-8 * DT)) / 1.25)


def test_a_theory_is_looked_at_by_its_paths():
    theory = nnqm.builtin_theory("deep-tanh")
    drawn = clustering(nnqm.Paths(theory, 1000, 48, DT, key=5))
    x = nnqm.sample_paths(theory, 1000, 48, DT, key=5)
    assert drawn.p_value == clustering(x).p_value


def test_random_weights_are_sectors():
    found = clustering(nnqm.Paths(nnqm.builtin_theory("random-tanh"), 4000, 48, DT, rng=1))
    assert found.verdict == "does not cluster"
    # Eight paths share each draw.
    assert found.far.n_blocks <= 4000 / 8
    four = connected_four_point(nnqm.Paths(nnqm.builtin_theory("random-tanh"), 2048, 8, DT, rng=1), [0, 0, 1, 1])
    assert four.n_blocks == 128
    assert np.ptp(four.weights) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: clustering(np.zeros((29, 20))),
            "at least 30 independent paths, because .*; got 29",
        ),
        (lambda: clustering(np.zeros((100, 7))), "n_times must be at least 8"),
        (lambda: clustering(np.ones((100, 9))), "the channel is constant"),
        (lambda: clustering(np.ones((100, 9)), level=0), "level must lie between 0 and 1"),
        (lambda: clustering(nnqm.Paths(nnqm.harmonic_oscillator(), 100)), "time grid is missing"),
        (
            lambda: clustering(
                nnqm.simulate(nnqm.harmonic_oscillator(), 256, 16, DT, rng=1, measure=nnqm.Measure(lags=(0, 1, 7)))
            ),
            r"needs a lag and its half .* this run has lags \[0, 1, 7\]",
        ),
        (lambda: connected_four_point(np.ones((10, 9)), [0, 1, 2]), r"steps must be integers of shape \(..., 4\)"),
        (lambda: connected_four_point(np.ones((10, 9)), [0, 1, 2, 9]), "steps must span less than the paths, 9 steps"),
        (
            lambda: connected_four_point(np.ones((1, 9)), [0, 1, 2, 3]),
            "errors need at least 2 independent paths; got 1",
        ),
        (lambda: connected_four_point(np.ones((9, 9)), [0, 1, 2, 3]), "the channel is constant"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_missing_polynomials_are_named():
    run = nnqm.simulate(nnqm.builtin_theory("deep-tanh"), 256, 16, DT, rng=1)
    with pytest.raises(
        ValueError, match=r"polynomials of x up to order 2; got 1; simulate with measure=Measure\(observables="
    ):
        pair_four_point(run)
    with pytest.raises(ValueError, match=r"powers must be \(2, 2\), \(1, 3\) or \(3, 1\); got \(4, 0\)"):
        pair_four_point(run, "y", (4, 0))
    bare = nnqm.simulate(nnqm.harmonic_oscillator(), 256, 16, DT, rng=1, measure=nnqm.Measure(observable_lags=()))
    with pytest.raises(ValueError, match="holds no observable_lags"):
        pair_four_point(bare)
