"""Chains of data: autocorrelation times, the Chapman-Kolmogorov equation, closed paths, and rows of the report."""

import json

import numpy as np
import pytest
import xarray
from scipy.signal import lfilter
from typer.testing import CliRunner

import nnqm
from harness import (
    assert_consistent,
    assert_each_consistent,
    assert_inconsistent,
    assert_pulls_are_standard,
    assert_rate_at_most,
    refute,
)
from nnqm.cli import app
from nnqm.errors import InputError, InputTypeError
from nnqm.statistics.autocorrelation import ChainTimes

OBSERVED = nnqm.default_observables(([0.0], [1.0], ["x"]), order=1, neurons=0)
SUMS = nnqm.Measure(observables=OBSERVED, lags=(0, 1), observable_lags=(), increment_lags=())


def chain(n, rho, rng, shape=()):
    """Stationary Gaussian chains of unit variance along the first axis, correlation rho^k."""
    x = np.random.default_rng(rng).normal(size=(n, *shape))
    x[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], x, axis=0)


def tau_of(rho):
    return 0.5 + rho / (1 - rho)


# ---- autocorrelation times


def plain_time(replicas):
    """Wolff's equations 31 to 35 and his automatic window, and the error of Madras and Sokal, number by number."""
    n = sum(len(x) for x in replicas)
    mean = sum(float(x.sum()) for x in replicas) / n

    def gamma(t):
        pairs = [(x[i] - mean) * (x[i + t] - mean) for x in replicas for i in range(len(x) - t)]
        return sum(pairs) / len(pairs)

    tau, window = 0.5, 0
    while True:
        window += 1
        tau += gamma(window) / gamma(0)
        long = 1.5 / np.log((2 * tau + 1) / (2 * tau - 1)) if tau > 0.5 else 1e-10
        if np.exp(-window / long) - long / np.sqrt(window * n) < 0:
            break
    tau *= 1 + (2 * window + 1) / n
    return tau, np.sqrt(4 / n * max(window + 0.5 - tau, 0.5)) * tau


@pytest.mark.parametrize("lengths", [(300,), (120, 80, 203), (40, 40, 40, 41, 500)])
def test_the_time_of_replicas_is_wolffs(lengths):
    replicas = [chain(n, 0.6, [n, i]) + 2 for i, n in enumerate(lengths)]
    found = nnqm.autocorrelation_time(replicas if len(lengths) > 1 else replicas[0])
    np.testing.assert_allclose([found.value, found.error], plain_time(replicas), rtol=1e-10)
    again = nnqm.autocorrelation_time([list(x) for x in replicas])
    assert float(again.value) == pytest.approx(float(found.value), rel=1e-12)


@pytest.mark.slow
def test_replicas_of_an_ar1_process():
    pulls = []
    for seed in range(60):
        replicas = [chain(n, 0.8, [seed, n]) for n in (500, 1500, 3000)]
        pulls.append(float(nnqm.autocorrelation_time(replicas).pull(tau_of(0.8))))
    assert_pulls_are_standard(pulls, errors_are_bounds=True)
    # Offsets between replicas are slow changes: each about its own mean would not see them.
    apart = [chain(1000, 0.5, [1, k]) + 3 * k for k in range(3)]
    assert float(nnqm.autocorrelation_time(apart).value) > 20


def test_bad_replicas():
    good = np.zeros(10)
    for bad, message in (
        ([good, np.zeros((2, 3))], r"series\[1\] must have 1 axes"),
        ([good, [1.0, 2.0]], r"series\[1\] must have at least 4 entries"),
        ([[0.0, np.nan, 0.0, 0.0], good], r"series\[0\] must be finite"),
        ([], "series must have at least 4"),
    ):
        with pytest.raises(InputError, match=message):
            nnqm.autocorrelation_time(bad)
    with pytest.raises(InputTypeError, match=r"series\[0\] must be real numbers"):
        nnqm.autocorrelation_time([np.array(["a", "b"]), good])


@pytest.mark.slow
def test_a_run_keeps_the_times_of_its_channels(tmp_path):
    x = np.stack([chain(2000, rho, k, (16,)) for k, rho in enumerate((0.0, 0.8))], axis=-1)
    observed = nnqm.default_observables(([0.0, 0.0], [1.0, 1.0], ["a", "b"]), order=1, neurons=0)
    sums = nnqm.Measure(observables=observed, lags=(0, 1), observable_lags=(), increment_lags=())
    run = nnqm.accumulate(x, 0.1, measure=sums)
    assert run.chain.unit == "paths"
    for k in range(2):
        expected = nnqm.autocorrelation_time(x[:, :, k].mean(axis=1))
        np.testing.assert_allclose(
            [run.chain.times[k], run.chain.errors[k]], [expected.value, expected.error], rtol=1e-10
        )
    nnqm.save(run, tmp_path / "run.nc")
    loaded = nnqm.load(tmp_path / "run.nc")
    assert loaded == run
    assert loaded.chain == run.chain
    for channel, verdict in (("a", "consistent"), ("b", "resolved")):
        row = nnqm.analyse(loaded, channel=channel)["autocorrelation time of successive paths"]
        assert (row.verdict, row.group) == (verdict, "chain")
        np.testing.assert_allclose(
            [row.estimate.value, row.estimate.error], np.array(run.chain[1:])[:, "ab".index(channel)]
        )
    # Chunks of the same paths have the same times.
    chunks = nnqm.accumulate(iter(np.array_split(x, 4)), 0.1, measure=sums)
    np.testing.assert_allclose(chunks.chain.times, run.chain.times, rtol=1e-9)
    assert nnqm.accumulate(x, 0.1, measure=sums, independent=True).chain is None
    assert nnqm.simulate(nnqm.harmonic_oscillator(), 256, 8, 0.2, rng=1).chain is None


@pytest.mark.slow
def test_times_along_trajectories_and_of_merged_runs():
    replicas = [chain(n, 0.9, n) for n in (4000, 6000)]
    run = nnqm.accumulate(replicas, 0.1, measure=SUMS)
    expected = nnqm.autocorrelation_time(replicas)
    assert run.chain == ("steps", (float(expected.value),), (pytest.approx(float(expected.error)),))
    row = nnqm.analyse(run)["autocorrelation time along paths (steps)"]
    assert abs(row.estimate.pull(tau_of(0.9))) < 4
    parts = [nnqm.accumulate(chain(n, 0.5, n, (8,)), 0.1, measure=SUMS) for n in (1000, 3000)]
    merged = nnqm.merge(parts)
    assert merged.chain.times[0] == pytest.approx(0.25 * parts[0].chain.times[0] + 0.75 * parts[1].chain.times[0])
    assert merged.chain.errors[0] == pytest.approx(
        np.hypot(0.25 * parts[0].chain.errors[0], 0.75 * parts[1].chain.errors[0])
    )
    assert ChainTimes.together([parts[0].chain, run.chain], [1, 1]) is None
    assert ChainTimes.together([parts[0].chain, None], [1, 1]) is None


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.99])
def test_times_of_trajectories_that_are_averaged_over_steps(rho):
    x = chain(600_000, rho, 1)
    run = nnqm.accumulate(x, 0.1, measure=SUMS)
    time = nnqm.Estimate(
        run.chain.times[0], [run.chain.times[0] + s * run.chain.errors[0] for s in (-1, 1)], [2.0, 2.0]
    )
    assert abs(time.pull(tau_of(rho))) < 4
    assert abs(time.pull(float(nnqm.autocorrelation_time(x).value))) < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad",
    [
        5,
        ["paths"],
        ["weeks", [1.0], [1.0]],
        ["paths", [1.0, 2.0], [1.0, 1.0]],
        ["paths", [-1.0], [0.0]],
        ["paths", ["a"], [0.1]],
        ["paths", [10**400], [0.1]],
    ],
)
def test_damaged_times_of_a_saved_run_are_refused(bad, tmp_path):
    run = nnqm.accumulate(chain(300, 0.0, 1, (8,)), 0.1, measure=SUMS)
    nnqm.save(run, tmp_path / "run.nc")
    data = xarray.load_dataset(tmp_path / "run.nc", engine="h5netcdf")
    told = json.loads(data.attrs["nnqm"])
    told["chain"] = bad
    data.attrs["nnqm"] = json.dumps(told)
    data.to_netcdf(tmp_path / "bad.nc", engine="h5netcdf")
    with pytest.raises(InputError):
        nnqm.load(tmp_path / "bad.nc")


# ---- Chapman-Kolmogorov


def double_well(n, n_times, rng):
    """Metastable Langevin paths in a deep double well, Markov by construction."""
    rng = np.random.default_rng(rng)
    x = np.sign(rng.normal(size=n)) + 0.2 * rng.normal(size=n)
    out = np.empty((n, n_times))
    for k in range(n_times):
        for _ in range(4):
            x = x - 0.04 * 5 * x * (x * x - 1) + np.sqrt(0.04) * 0.6 * rng.normal(size=n)
        out[:, k] = x
    return out


def jumps(matrix, n, n_times, rng):
    """States of a stationary Markov chain."""
    rng = np.random.default_rng(rng)
    law = np.linalg.matrix_power(matrix, 200)[0]
    state = rng.choice(len(law), n, p=law)
    states = [state]
    for _ in range(n_times - 1):
        state = (np.cumsum(matrix[state], axis=1) < rng.random(n)[:, None]).sum(axis=1)
        states.append(state)
    return np.stack(states, axis=1)


CYCLE = np.array([[0.8, 0.15, 0.05], [0.05, 0.75, 0.2], [0.3, 0.1, 0.6]])

MARKOV = {
    "OU": lambda seed: chain(16, 0.8, seed, (400,)).T,
    "one trajectory": lambda seed: chain(12_000, 0.5, seed),
    "double well": lambda seed: double_well(400, 16, seed),
    "heavy tails": lambda seed: np.exp(2 * chain(16, 0.8, seed, (400,)).T),
    "irreversible chain of states": lambda seed: jumps(CYCLE, 400, 16, seed).astype(float),
    "chain of paths": lambda seed: chain(4800, 0.4, [seed, 1], (1,)) + chain(8, 0.8, seed, (4800,)).T,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [k for k in MARKOV if k != "chain of paths"])
def test_false_alarms_are_rare(name):
    p = np.array([nnqm.chapman_kolmogorov(MARKOV[name](seed)).p_value for seed in range(30)])
    assert_rate_at_most(np.count_nonzero(p < 0.05), len(p), 0.05)
    assert_rate_at_most(np.count_nonzero(p < 0.01), len(p), 0.01)


def two_inputs(seed):
    return np.tanh(chain(16, 0.9, [seed, 1], (4000,)).T + chain(16, 0.4, [seed, 2], (4000,)).T)


def noisy(seed):
    x = chain(16, 0.8, seed, (2000,)).T
    return x + 0.3 * np.random.default_rng([seed, 9]).normal(size=x.shape)


def volatile(seed):
    """Uncorrelated steps whose size is a hidden chain."""
    size = np.exp(0.8 * chain(16, 0.9, [seed, 3], (2000,)).T)
    return size * np.random.default_rng([seed, 4]).normal(size=size.shape)


@pytest.mark.parametrize("process", [two_inputs, noisy, volatile])
def test_processes_that_are_not_markov_are_seen(process):
    found = nnqm.chapman_kolmogorov(process(1))
    refute(found.p_value, "a process that is not Markov")
    assert found.verdict == "violated"
    assert found.p_value <= found.p_values.min() * len(found.lags) + 1e-300


def test_probabilities_are_those_of_the_matrix():
    # All states are seen: T(2t) = T(t)^2.
    x = jumps(CYCLE, 20_000, 6, 1)
    found = nnqm.chapman_kolmogorov(x, 0.1, lags=[1, 2], sets=[0.5, 1.5])
    for k, lag in enumerate(found.lags):
        exact = np.linalg.matrix_power(CYCLE, 2 * lag)
        # Rows add up to one, so that the last column tells nothing new.
        assert_each_consistent(found.observed[k], exact)
        assert_each_consistent(found.predicted[k], exact)
        np.testing.assert_allclose(found.observed[k].value.sum(axis=-1), 1)
        np.testing.assert_allclose(found.predicted[k].value.sum(axis=-1), 1)
    np.testing.assert_allclose(found.times, [0.1, 0.2])
    assert found.verdict == "consistent"


def test_lumped_states_deviate_as_computed():
    # States 1 and 2 look alike: P(x_2 | x_0) is that of the matrix, the prediction is that of the visible transitions.
    law = np.linalg.matrix_power(CYCLE, 200)[0]
    lump = np.array([[1, 0], [0, 1], [0, 1]])
    seen = (lump.T * law) @ CYCLE @ lump / (law @ lump)[:, None]
    twice = (lump.T * law) @ CYCLE @ CYCLE @ lump / (law @ lump)[:, None]
    # The prediction uses the transitions 0 to t given x_t, and t to 2t.
    found = nnqm.chapman_kolmogorov((jumps(CYCLE, 20_000, 8, 2) > 0) * 1.0, lags=[1], sets=2)
    assert_each_consistent(found.observed[0], twice)
    assert_each_consistent(found.predicted[0], seen @ seen)
    _, i, j = found.where
    assert_consistent(found.deviation, (twice - seen @ seen)[i, j])
    assert_inconsistent(found.deviation, 0.0)
    assert f"in set {j} | x(0) in set {i}" in str(found)


def test_chains_of_paths_have_larger_blocks():
    found = nnqm.chapman_kolmogorov(MARKOV["chain of paths"](1), lags=[1])
    assert found.n_units == 4800
    with pytest.raises(InputError, match="successive paths are correlated"):
        nnqm.chapman_kolmogorov(np.repeat(chain(16, 0.8, 1, (5,)).T, 100, axis=0), lags=[1])


@pytest.mark.slow
def test_theories_and_channels():
    theory = nnqm.harmonic_oscillator()
    found = nnqm.chapman_kolmogorov(nnqm.Paths(theory, 1000, 9, 0.2, rng=1), lags=(1, 4))
    assert (found.verdict, found.lags, found.n_units) == ("consistent", (1, 4), 1000)
    both = np.stack([two_inputs(1), chain(16, 0.8, 5, (4000,)).T], axis=-1)
    assert nnqm.chapman_kolmogorov(both, channel=0).verdict == "violated"
    assert nnqm.chapman_kolmogorov(both, channel=1).verdict == "consistent"
    thermal = nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.0))
    with pytest.raises(InputError, match="the paths close after 3"):
        nnqm.chapman_kolmogorov(nnqm.Paths(thermal, 1000, 8))


@pytest.mark.parametrize(
    ("paths", "settings", "message"),
    [
        (np.zeros((300, 8)), {}, "constant"),
        (chain(2, 0.5, 1, (300,)).T, {}, "at least 3 times"),
        (chain(8, 0.5, 1, (300,)).T, {"lags": [4]}, "lags"),
        (chain(8, 0.5, 1, (300,)).T, {"lags": [1, 1]}, "lags must be different"),
        (chain(8, 0.5, 1, (300,)).T, {"lags": []}, "at least one"),
        (chain(8, 0.5, 1, (300,)).T, {"sets": 1}, "sets"),
        (chain(8, 0.5, 1, (300,)).T, {"sets": [1.0, 0.0]}, "increasing"),
        (chain(8, 0.5, 1, (300,)).T, {"sets": [9.0]}, "visited"),
        (chain(8, 0.5, 1, (300,)).T, {"level": 2}, "level must lie"),
        (chain(8, 0.5, 1, (300,)).T, {"dt": 0.0}, "dt must be positive"),
        (chain(8, 0.5, 1, (300,)).T, {"channel": 1}, "channel"),
        (chain(300, 0.5, 1), {}, "at least 200 independent units"),
        (np.where(np.arange(2400).reshape(300, 8) == 77, np.nan, chain(8, 0.5, 1, (300,)).T), {}, "finite; path 9"),
    ],
)
def test_bad_input(paths, settings, message):
    with pytest.raises(InputError, match=message):
        nnqm.chapman_kolmogorov(paths, **settings)


@pytest.mark.slow
def test_the_report_has_a_row():
    for paths, verdict in ((MARKOV["OU"](1), "consistent"), (two_inputs(1), "violated")):
        report = nnqm.analyse(nnqm.accumulate(paths, 0.2, measure=SUMS), paths=paths)
        row = report["Chapman-Kolmogorov, largest deviation"]
        assert (row.verdict, row.group) == (verdict, "chain")
        assert report.details["chapman_kolmogorov"].p_value == pytest.approx(float(row.remarks[0][4:]), rel=0.1)
        assert any("not a Markov process" in note for note in report.notes) == (verdict == "violated")
    quick = nnqm.analyse(nnqm.accumulate(paths, 0.2, measure=SUMS), paths=paths, positivity=False)
    assert "chapman_kolmogorov" not in quick.details


# ---- closed paths

SITES, STEP = 12, 0.4


@pytest.fixture(scope="module")
def closed():
    """Independent closed paths of the x^4 oscillator on a lattice of times and places, and the exact <x(0) x(t)>."""
    places = np.linspace(-3, 3, 61)
    v = STEP * places**4 / 2
    matrix = np.exp(-((places[:, None] - places) ** 2) / (2 * STEP) - v[:, None] - v)
    powers = [np.linalg.matrix_power(matrix, k) for k in range(SITES + 1)]
    rng = np.random.default_rng(7)
    law = np.diag(powers[SITES])
    first = now = rng.choice(len(places), 6000, p=law / law.sum())
    path = [first]
    for k in range(1, SITES):
        chances = np.cumsum(matrix[now] * powers[SITES - k][:, first].T, axis=1)
        now = (chances < rng.random(len(now))[:, None] * chances[:, -1:]).sum(axis=1)
        path.append(now)
    x = np.diag(places)
    exact = [np.trace(x @ powers[k] @ x @ powers[SITES - k]) / law.sum() for k in range(SITES)]
    values = np.linalg.eigvalsh(matrix)
    return places[np.stack(path, axis=1)], np.array(exact), float(-np.log(values[-2] / values[-1]) / STEP)


@pytest.mark.slow
def test_sums_over_closed_paths_are_those_of_numpy_and_of_the_lattice(closed):
    x, exact, _ = closed
    run = nnqm.accumulate(x, STEP, period=True)
    function = run.two_point()
    for k, lag in enumerate(run.lags):
        np.testing.assert_allclose(function.value[k], np.mean(x * np.roll(x, -lag, axis=1)), rtol=1e-10)
    half = [i for i, lag in enumerate(run.lags) if lag <= SITES // 2]
    assert_consistent(function[half], exact[[run.lags[i] for i in half]])
    # Without the period the windows do not wrap, and have larger errors at the same expectation.
    opened = nnqm.accumulate(x, STEP, measure=nnqm.Measure(lags=run.lags[:7]))
    assert_consistent(opened.two_point(), exact[list(opened.lags)])
    assert float(opened.two_point().error[-2]) > float(function[half].error[-2])


@pytest.mark.slow
def test_the_report_of_closed_paths(closed, tmp_path):
    x, _, gap = closed
    report = nnqm.analyse(nnqm.accumulate(x, STEP, period=True), paths=x)
    row = report["gap 1, from a cosh"]
    assert (row.verdict, row.group) == ("resolved", "levels")
    assert abs(float(row.estimate.pull(gap))) < 2
    for name in ("reflection positivity", "Chapman-Kolmogorov"):
        assert report[name].verdict == "not tested"
        assert "the paths close after 4.8" in report[name].reason
    assert report["autocorrelation time of successive paths"].verdict == "consistent"
    # The command line prints the same table.
    np.save(tmp_path / "closed.npy", x)
    told = CliRunner().invoke(app, ["analyse", str(tmp_path / "closed.npy"), "--dt", str(STEP), "--periodic"])
    assert told.exit_code == 0
    for quantity in ("<x>", "variance of x", "gap 1, from a cosh", "autocorrelation time of successive paths"):
        line = next(line for line in told.output.splitlines() if line.strip().startswith(quantity + " "))
        assert str(report[quantity].estimate) in line
