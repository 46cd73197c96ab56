"""Two levels: many futures of each present, against plain sums over the same paths and against exact functions."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_pulls_are_standard, assert_uniform, p_value
from nnqm import _core, fields
from nnqm.runs import two_level

OU = nnqm.OrnsteinUhlenbeck(1.0)
OSCILLATOR = nnqm.Theory(OU)
NETWORK = nnqm.Network.random((2, 8, 1), rng=3, weight_std=1.2, bias_std=0.5)
DEEP = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.5]), NETWORK)
QUARTIC = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0, 0, 1.0])))
CHAIN = nnqm.MarkovChain([0.0, 1.0, 5.0], [[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]], 0.5)


def net(group=8, width=5, points=(0.0,)):
    return fields.ReflectionPositiveNet(2, 1.0, width, 10.0, points=points, group=group)


def futures_of(theory, key, presents, futures, n_times, dt):
    """Inputs of all futures, shape (presents, futures, n_times, D)."""
    times = np.arange(n_times) * dt
    out = np.empty((presents * futures, n_times, theory.n_inputs), "float32")
    compiled = theory._compiled(times)
    _core.sample(theory=compiled, key=key, times=times, paths=(0, len(out)), n_threads=1, out=out, futures=futures)
    return out.reshape(presents, futures, n_times, -1).astype(float)


@pytest.mark.parametrize("futures", [2, 8, 16])
def test_sums_are_products_of_distinct_futures(futures):
    run = nnqm.simulate_two_level(OSCILLATOR, 32, futures, 5, 0.3, rng=1, n_blocks=4)
    x = futures_of(OSCILLATOR, run.keys[0], 32, futures, 5, 0.3)[..., 0]
    # The longest lag has one split, and the second longest two equal ones.
    pairs = [(p, q) for p in range(futures) for q in range(futures) if p != q]
    for lag, s, t in ((8, 4, 4), (7, 3, 4), (0, 0, 0)):
        products = np.mean([x[:, p, s] * x[:, q, t] for p, q in pairs], axis=0)
        assert run.two_point().value[lag] == pytest.approx(products.mean(), rel=1e-9)
        means = x.mean(axis=1)
        apart = np.mean(
            [means[8 * b + i, s] * means[8 * b + j, t] for b in range(4) for i in range(8) for j in range(8) if i != j]
        )
        assert run.connected().value[lag] == pytest.approx(products.mean() - apart, rel=1e-9)


def test_of_many_futures_bundles_are_distinct():
    run = nnqm.simulate_two_level(OSCILLATOR, 16, 64, 4, 0.3, rng=1)
    x = futures_of(OSCILLATOR, run.keys[0], 16, 64, 4, 0.3)[..., 0].reshape(16, 16, 4, 4).mean(axis=2)
    apart = [x[:, p, 3] * x[:, q, 3] for p in range(16) for q in range(16) if p != q]
    assert run.two_point().value[6] == pytest.approx(np.mean(apart), rel=1e-9)


def test_every_lag_is_an_average_over_splits():
    pilot = two_level._Pilot(two_level._draws_of(DEEP, 64, 9, 0.4, {}))
    for lag in range(17):
        s = two_level._splits(lag, 9)
        weights = pilot.weights[s, lag - s]
        assert weights.sum() == pytest.approx(1)
        assert (weights > 0).all()
        np.testing.assert_allclose(weights, weights[::-1], rtol=1e-12)
    # Near the present all futures agree, so that a split there has few independent products.
    assert pilot.weights[0, 8] < 0.2 * pilot.weights[4, 4]


EXACT = {
    "two inputs, deep": (DEEP, 0.4, lambda t: nnqm.kallen_lehmann(DEEP).connected(t)),
    "x^4": (QUARTIC, 0.3, lambda t: nnqm.kallen_lehmann(QUARTIC).connected(t)),
    "chain": (nnqm.Theory(CHAIN), 0.5, lambda t: nnqm.kallen_lehmann(nnqm.Theory(CHAIN)).connected(t)),
    "net of 5": (nnqm.Theory(net(64)), 0.4, lambda t: net().propagator(t, np.zeros((1, 1)))),
    "box": (
        nnqm.Theory(fields.PeriodicBox(1.0, 4)),
        0.4,
        lambda t: fields.PeriodicBox(1.0, 4).propagator(t, np.zeros((1, 1))),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_correlators_agree_with_exact_ones(name):
    theory, dt, exact = EXACT[name]
    run = nnqm.simulate_two_level(theory, 4096, 32, 13, dt, rng=7)
    kept = [1, 4, 8, 12, 16, 20, 24]
    times = np.array(kept) * dt
    assert_consistent(run.connected()[kept], exact(times))
    mean = 0.0 if name in ("net of 5", "box", "x^4") else nnqm.kallen_lehmann(theory).mean
    assert_consistent(run.two_point()[kept], exact(times) + mean**2)


def test_products_of_a_future_with_itself_would_be_wrong():
    """Negative control: with p = q included the function at late times is off by 1/futures of the variance."""
    x = futures_of(OSCILLATOR, 5, 256, 16, 9, 0.5)[..., 0]
    biased = x.mean(axis=1)[:, -1] ** 2
    assert biased.mean() > np.exp(-8) / 2 + 5 * biased.std() / 16


@pytest.mark.slow
def test_connected_functions_subtract_per_draw_of_the_weights():
    network = nnqm.RandomNetwork((1, 1), "identity", weight_std=1.0, bias_std=2.0, group=64)
    theory = nnqm.Theory(OU, network)
    run = nnqm.simulate_two_level(theory, 2048, 16, 9, 0.5, rng=2)
    kept = [2, 8, 16]
    # x = w y + b with E w^2 = 1: the plateau is E b^2 = 4.
    expected = np.exp(-0.5 * np.array(kept)) / 2
    assert_consistent(run.connected()[kept], expected)
    assert_consistent(run.two_point()[kept], expected + 4)
    assert run.n_blocks == 128
    assert run.group == 64


@pytest.mark.slow
def test_functions_have_all_pairs_of_correlators():
    run = nnqm.simulate_two_level(
        OSCILLATOR,
        1024,
        64,
        9,
        0.25,
        rng=3,
        functions=lambda x: np.concatenate([x, x**3, x**2], axis=2),
        names=("x", "cube", "square"),
        measure=nnqm.Measure(observable_lags=(0, 2, 4, 6)),
    )
    t = 0.25 * np.array([2, 6, 12])
    at = [run.lags.index(k) for k in (2, 6, 12)]
    decay = np.exp(-t) / 2
    # y^3 = (He_3 + 3 He_1)/sqrt(8) in the unit normal sqrt(2) y.
    assert_consistent(run.connected("x", "cube")[at], 1.5 * decay)
    assert_consistent(run.connected("cube")[at], (9 * 2 * decay + 6 * (2 * decay) ** 3) / 8)
    assert_consistent(run.connected("square")[at], 2 * decay**2)
    gaps, _ = nnqm.gevp(run, 2)
    assert abs(gaps[0].pull(1.0)) < 4
    assert abs(gaps[1].pull(2.0)) < 4
    assert abs(gaps[0].value - 1) < 0.2


@pytest.mark.slow
def test_a_network_on_random_momenta_agrees_with_plain_sums():
    network = nnqm.Network.random((2, 6, 1), rng=5, weight_std=1.5, bias_std=0.5)
    two = nnqm.simulate_two_level(nnqm.Theory(net(64, 3, (0.0, 0.7)), network), 8192, 16, 6, 0.3, rng=1)
    measure = nnqm.Measure(lags=(2, 5, 8), observable_lags=(), increment_lags=())
    plain = nnqm.simulate(nnqm.Theory(net(8, 3, (0.0, 0.7)), network), 131_072, 16, 0.3, rng=2, measure=measure)
    for found, other in ((two.connected(), plain.connected()), (two.two_point(), plain.two_point())):
        assert_consistent(found[[2, 5, 8]], other.value, expected_error=other.error)


@pytest.mark.slow
def test_double_precision_and_units():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(2.0), hbar=3.0)
    options = {"rng": 1, "measure": nnqm.Measure(lags=(2, 4))}
    single, double = (
        nnqm.simulate_two_level(theory, 64, 64, 4, 0.3, precision=p, **options) for p in ("float32", "float64")
    )
    np.testing.assert_allclose(double.connected().value, single.connected().value, rtol=1e-5)
    assert not np.array_equal(double.connected().value, single.connected().value)
    assert abs(nnqm.effective_energy(double)[1][0].pull(6.0)) < 4


@pytest.mark.slow
def test_names_of_functions():
    powers = lambda x: np.concatenate([x, x**2], axis=2)  # noqa: E731
    assert nnqm.simulate_two_level(OSCILLATOR, 16, 8, 3, 0.3, rng=1, functions=powers).channels == ("x1", "x2")
    assert nnqm.simulate_two_level(DEEP, 16, 8, 3, 0.3, rng=1).channels == ("x",)
    assert nnqm.simulate_two_level(OSCILLATOR, 16, 8, 3, 0.3, rng=1, names=["q"]).channels == ("q",)


@pytest.mark.slow
def test_observables_of_a_measure_and_their_levels():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.5]), NETWORK)
    measure = nnqm.Measure(
        observables=nnqm.default_observables(theory, order=2, products=1), lags=(0, 4, 8), observable_lags=(2, 4)
    )
    run = nnqm.simulate_two_level(theory, 512, 64, 7, 0.25, rng=3, measure=measure)
    assert run.channels == ("x", "y1", "y2")
    assert run.sums["observable_lags"].shape[-1] == run.observables.size
    decay = np.exp(-np.array([1.0, 2.0]))
    assert_consistent(run.connected("y1")[1:], decay / 2)
    levels = nnqm.spectrum(run, 2).levels
    assert all(level.verdict in nnqm.Verdict for level in levels)
    found, _ = nnqm.gevp(run)
    assert abs(found[0].pull(1.0)) < 4
    assert abs(found[1].pull(1.5)) < 4


@pytest.mark.slow
def test_long_times_give_the_gap():
    run = nnqm.simulate_two_level(OSCILLATOR, 512, 1024, 17, 0.5, rng=3)
    times, energy = nnqm.effective_energy(run)
    late = int(np.searchsorted(times, 8.0))
    assert abs(energy[late].pull(1.0)) < 4
    assert energy.error[late] < 0.3
    found = nnqm.OneCorrelator(run.connected()[2:20], 0.5 * np.array(run.lags[2:20]))
    assert abs(found.rayleigh_ritz().gaps[0].pull(1.0)) < 4


@pytest.mark.slow
@pytest.mark.parametrize("theory", [OSCILLATOR, nnqm.Theory(net(64, 5))], ids=["oscillator", "net"])
def test_errors_are_calibrated(theory):
    measure = nnqm.Measure(lags=(2, 8, 16))
    times = 0.4 * np.array([2, 8, 16])
    exact = np.exp(-times) / 2 if theory is OSCILLATOR else theory.sources[0].propagator(times, np.zeros((1, 1)))
    runs = [nnqm.simulate_two_level(theory, 512, 32, 9, 0.4, rng=seed, measure=measure) for seed in range(40)]
    assert_uniform([p_value(run.connected(), exact) for run in runs])
    assert_pulls_are_standard([float(run.connected()[2].pull(exact[2])) for run in runs])


@pytest.mark.slow
def test_late_times_are_ten_times_more_accurate_for_equal_work():
    lags = nnqm.Measure(lags=(40,), observable_lags=(), increment_lags=())
    two = nnqm.simulate_two_level(OSCILLATOR, 256, 4096, 33, 0.25, rng=1, measure=nnqm.Measure(lags=(40,)))
    points = (256 + 32) * 4096 * 33
    plain = nnqm.simulate(OSCILLATOR, points // 256, 256, 0.25, rng=1, measure=lags)
    assert float(two.connected().error[0]) < float(plain.connected().error[0]) / 10
    assert_consistent(two.connected()[0], np.exp(-10) / 2)


@pytest.mark.slow
def test_bits_do_not_depend_on_threads_and_runs_merge():
    theory = nnqm.Theory(net(256, 3, (0.0, 0.5)), nnqm.Network.random((2, 4, 1), rng=1))
    one, two = (nnqm.simulate_two_level(theory, 32, 64, 5, 0.3, rng=4, n_threads=n) for n in (1, 2))
    assert one == two
    other = nnqm.simulate_two_level(theory, 64, 64, 5, 0.3, rng=5)
    both = nnqm.merge([one, other])
    assert both.n_paths == 96 * 64
    assert both.n_blocks == 8 + 16
    with pytest.raises(nnqm.errors.InputError, match="only a run of one seed can be extended"):
        nnqm.extend(one, 10_000)


@pytest.mark.slow
def test_runs_are_saved(tmp_path):
    run = nnqm.simulate_two_level(OSCILLATOR, 32, 8, 5, 0.3, rng=4, functions=lambda x: x**2, names=["square"])
    nnqm.save(run, tmp_path / "two.nc")
    assert nnqm.load(tmp_path / "two.nc") == run
    assert run.notes == ("two levels: 8 futures of each of 32 presents",)
    assert run.moments().value[0] == pytest.approx(0.5, rel=0.5)


def test_progress_and_interruption():
    told = []
    nnqm.simulate_two_level(OSCILLATOR, 64, 8, 5, 0.3, rng=4, progress=lambda done, wanted: told.append((done, wanted)))
    assert told[-1] == (512, 512)
    assert sorted(told) == told

    def stop(done, _):
        if done > 256:
            raise KeyboardInterrupt

    with pytest.raises(nnqm.Interrupted, match="256 paths") as stopped:
        nnqm.simulate_two_level(OSCILLATOR, 64, 8, 5, 0.3, rng=4, progress=stop)
    whole = nnqm.simulate_two_level(OSCILLATOR, 64, 8, 5, 0.3, rng=4)
    partial = stopped.value.partial
    np.testing.assert_array_equal(partial.sums["lags"][:4], whole.sums["lags"][:4])
    assert np.isfinite(partial.connected().error).all()


@pytest.mark.parametrize(
    ("theory", "options", "message"),
    [
        (nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=4.0)), {}, "futures need open paths"),
        (nnqm.Theory(nnqm.Times()), {}, "stationary"),
        (nnqm.Theory(fields.CosNet(2, 1.0, 5, regulator=fields.Regulator("gaussian", 10.0))), {}, "reversible Markov"),
        (
            nnqm.Theory(nnqm.MarkovChain([[0.0, 1.0], [0.0, 2.0]], [[[0.5, 0.5]] * 2] * 2, 0.3)),
            {},
            "each of its grids",
        ),
        (OSCILLATOR, {"futures": 1}, "futures must be"),
        (OSCILLATOR, {"futures": 48}, "use 64"),
        (OSCILLATOR, {"futures": 100}, "use 128"),
        (nnqm.Theory(net(8)), {}, "group must be a multiple of futures=8, at least 16; got group=8; use group=16"),
        (nnqm.Theory(OU, nnqm.RandomNetwork((1, 2, 1))), {}, "use group=16"),
        (nnqm.Theory(net(32)), {"n_presents": 6}, "multiple of the 4 presents"),
        (OSCILLATOR, {"n_presents": 1}, "n_presents must be"),
        (OSCILLATOR, {"n_times": 1}, "n_times must be"),
        (nnqm.Theory(CHAIN), {}, "0.5"),
        (OSCILLATOR, {"dt": -1.0}, "dt must be"),
        (OSCILLATOR, {"n_blocks": 20}, "n_blocks=20 needs"),
        (OSCILLATOR, {"n_threads": -1}, "n_threads"),
        (OSCILLATOR, {"precision": "float16"}, "precision"),
        (OSCILLATOR, {"measure": nnqm.Measure(lags=(9,))}, "lags must be"),
        (OSCILLATOR, {"measure": nnqm.Measure(increment_lags=(1,))}, "two levels have no increment_lags"),
        (OSCILLATOR, {"measure": nnqm.Measure(two_time=True)}, "two levels have no two_time"),
        (OSCILLATOR, {"functions": 3}, "functions must be callable"),
        (OSCILLATOR, {"functions": lambda x: x[:, :, 0]}, "functions must return shape"),
        (OSCILLATOR, {"functions": lambda x: x * 1j}, "functions must return real"),
        (OSCILLATOR, {"functions": lambda x: x / 0 * x}, "functions must be finite"),
        (OSCILLATOR, {"names": ("a", "b")}, "names must be 1 different strings"),
        (OSCILLATOR, {"function": abs}, "did you mean functions"),
        (OU, {}, "theory must be a Theory"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input(theory, options, message):
    given = {"n_presents": 32, "futures": 8, "n_times": 5, "dt": 0.3, "rng": 1} | options
    with pytest.raises((nnqm.errors.InputError, nnqm.errors.InputTypeError), match=message):
        nnqm.simulate_two_level(theory, **given)
