"""The fused route: physics against independent quadrature, bits, cuts, interruptions and memory."""

import math
import os
import warnings

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_each_consistent, assert_inconsistent
from interpreter import answer
from nnqm.runs import slices

LAGS = (0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 40, 50)
EVERYTHING = nnqm.Measure(lags=(0, 1, 5), observable_lags=(0, 2), increment_lags=(1, 4), two_time=True)


def tanh_network(network, z):
    """A tanh network with a linear last layer, in plain NumPy: z (points,) -> (points,)."""
    h = z[:, None]
    for i, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        h = h @ w.T + b
        if i + 1 < len(network.weights):
            h = np.tanh(h)
    return h[:, 0]


def mehler(function, s, levels=60):
    """Coefficients c_n of function(s z) in the normalised Hermite polynomials, by the trapezoid rule."""
    z = np.linspace(-12, 12, 961)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    f = function(s * z)
    before, h, coefficients = np.zeros_like(z), np.ones_like(z), []
    for n in range(levels):
        coefficients.append(np.sum(weight * h * f))
        before, h = h, (z * h - math.sqrt(n) * before) / math.sqrt(n + 1)
    return np.array(coefficients)


# ---- physics


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("omega", "sigma"), [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (2.0, 2.0)])
def test_the_seed_process_has_its_two_point_function_and_is_gaussian(omega, sigma, precision):
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma))
    run = nnqm.simulate(theory, 20_000, 64, 0.1, rng=1, precision=precision, measure=nnqm.Measure(lags=LAGS))
    variance = sigma**2 / (2 * omega)
    exact = variance * np.exp(-omega * 0.1 * np.array(LAGS))
    assert_consistent(run.connected(), exact)
    assert_consistent(run.two_point(), exact)
    assert_inconsistent(run.two_point(), 1.05 * exact)
    assert_consistent(run.moments(), [variance, 0.0, 3 * variance**2])
    assert_consistent(run.kurtosis(), 0.0)
    assert_consistent(run.mean(), 0.0)


@pytest.mark.slow
def test_deep_tanh_has_the_two_point_function_and_moments_of_its_mehler_series():
    theory = nnqm.builtin_theory("deep-tanh")
    network = theory.network

    def f(y):
        return tanh_network(network, y)

    s = math.sqrt(0.5)
    c = mehler(f, s)
    run = nnqm.simulate(theory, 100_000, 64, 0.05, rng=2, measure=nnqm.Measure(lags=LAGS, observable_lags=()))
    exact = np.array([np.sum(c**2 * np.exp(-np.arange(c.size) * 0.05 * lag)) for lag in LAGS])
    assert_consistent(run.two_point("x"), exact)
    assert_consistent(run.connected("x"), exact - c[0] ** 2)
    # <x(t) y(t + tau)> = c_1 s exp(-tau)
    cross = c[1] * s * np.exp(-0.05 * np.array(LAGS))
    assert_consistent(run.two_point("x", "y"), cross)
    assert_consistent(run.mean("x"), c[0])
    z = np.linspace(-12, 12, 961)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    central = [np.sum(weight * (f(s * z) - c[0]) ** n) for n in (2, 3, 4)]
    assert_consistent(run.moments("x"), central)
    assert_consistent(run.kurtosis("x"), central[2] / central[0] ** 2 - 3)
    assert central[2] / central[0] ** 2 - 3 < -0.1, "the network is so linear that the kurtosis tests nothing"


@pytest.mark.slow
def test_three_inputs_are_independent():
    theory = nnqm.Theory([nnqm.OrnsteinUhlenbeck([1.0, 2.0], 1.0), nnqm.OrnsteinUhlenbeck(0.5)])
    run = nnqm.simulate(theory, 40_000, 32, 0.2, rng=3, measure=nnqm.Measure(lags=(0, 1, 4)))
    for a, omega in zip(run.channels, theory.omega, strict=True):
        exact = np.exp(-omega * 0.2 * np.array(run.lags)) / (2 * omega)
        assert_consistent(run.two_point(a), exact)
        for b in run.channels:
            if a != b:
                assert_consistent(run.two_point(a, b), np.zeros(3))


def test_the_two_time_function_on_an_uneven_grid():
    times = np.array([0.0, 0.1, 0.7, 0.75, 3.0])
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 60_000, times=times, rng=4, measure=nnqm.Measure(two_time=True))
    exact = 0.5 * np.exp(-np.abs(times[:, None] - times))
    estimate = run.two_time_function()
    np.testing.assert_array_equal(estimate.value, estimate.value.T)
    rows, columns = np.triu_indices(5)
    assert_each_consistent(estimate[rows, columns], exact[rows, columns])
    assert_consistent(estimate[rows[:12], columns[:12]], exact[rows[:12], columns[:12]])
    with pytest.raises(ValueError, match="holds no lags"):
        run.two_point()


@pytest.mark.slow
def test_increments_are_those_of_the_process():
    run = nnqm.simulate(
        nnqm.harmonic_oscillator(), 30_000, 32, 0.1, rng=5, measure=nnqm.Measure(increment_lags=(1, 2, 8))
    )
    windows = run.n_times - np.array(run.increment_lags)
    scale = run.observables.scale[0]

    def average(s):
        return scale**2 * s["increments"][:, 0, :, 0] / (s["paths"][:, None] * windows)

    exact = 1 - np.exp(-0.1 * np.array(run.increment_lags))
    assert_consistent(run.estimate(average, "increments"), exact)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_paths"), [("oscillator", 1_000_000), ("deep-tanh", 200_000)])
def test_rounding_in_float32_is_far_below_the_error_bar(name, n_paths):
    theory = nnqm.builtin_theory(name)
    single, double = (
        nnqm.simulate(
            theory,
            n_paths,
            256,
            0.2,
            rng=6,
            precision=p,
            measure=nnqm.Measure(lags=LAGS, observable_lags=(), increment_lags=()),
        ).connected()
        for p in ("float32", "float64")
    )
    # The error bar of a million paths.
    bar = single.error * math.sqrt(n_paths / 1_000_000)
    assert not np.array_equal(single.value, double.value)
    assert np.abs(single.value - double.value).max() < 1e-4, "the paths are not the same ones"
    assert (np.abs(single.value - double.value) / bar).max() < 0.02


def test_both_precisions_sample_the_same_paths():
    theory = nnqm.builtin_theory("three-inputs")
    options = {"rng": 8, "channels": theory.channels}
    single, double = (nnqm.sample_paths(theory, 500, 50, 0.1, precision=p, **options) for p in ("float32", "float64"))
    np.testing.assert_allclose(single, double, rtol=0, atol=5e-6)


# ---- bits


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", ["deep-tanh", "three-inputs"])
def test_bits_do_not_depend_on_the_number_of_threads(name, precision, monkeypatch):
    theory = nnqm.builtin_theory(name)
    worked = []
    advance = slices._core.advance

    def spy(**arguments):
        worked.append(advance(**arguments))
        return worked[-1]

    class Core:
        def __getattr__(self, attribute):
            return spy if attribute == "advance" else getattr(nnqm._core, attribute)

    monkeypatch.setattr(slices, "_core", Core())
    runs = {}
    for n in (1, 2, 3, 7):
        worked.clear()
        # 141 tiles in 10 blocks, the last of 40 paths.
        runs[n] = nnqm.simulate(
            theory, 9000, 17, 0.1, rng=5, precision=precision, n_threads=n, n_blocks=10, measure=EVERYTHING
        )
        assert max(worked) == (n if nnqm.build_info()["openmp"] else 1)
    assert set(runs[1].sums) == {
        *("lags", "observable_lags", "increments", "moments", "two_time", "time_sums", "paths", "first_bad")
    }
    assert all(run == runs[1] for run in runs.values())
    other = nnqm.simulate(theory, 9000, 17, 0.1, rng=6, precision=precision, n_blocks=10, measure=EVERYTHING)
    assert other != runs[1]


def slow(monkeypatch):
    """Slices of one tile, so that a run is cut in as many places as there are."""
    monkeypatch.setattr(slices, "SLICE", 1e-9)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("first", "n_paths"), [(64 * 20, 64 * 40), (1000, 3001), (65, 2000), (700, 701)])
def test_two_calls_give_the_bits_of_one(first, n_paths, precision):
    theory = nnqm.builtin_theory("deep-tanh")
    options = {"rng": 9, "precision": precision, "n_blocks": 2, "measure": EVERYTHING}
    whole = nnqm.simulate(theory, n_paths, 9, 0.1, **options)
    part = nnqm.simulate(theory, first, 9, 0.1, **options)
    before = {name: array.copy() for name, array in part.sums.items()}
    assert nnqm.extend(part, n_paths) == whole
    assert part.block_paths.sum() == first
    assert all(np.array_equal(before[name], array) for name, array in part.sums.items()), "the part was changed"
    assert nnqm.extend(nnqm.extend(part, (first + n_paths) // 2, n_threads=1), n_paths, n_threads=3) == whole


def test_workers_of_some_blocks_each_give_the_bits_of_one_call():
    theory = nnqm.builtin_theory("deep-tanh")
    options = {"rng": 10, "measure": EVERYTHING}
    whole = nnqm.simulate(theory, 5000, 9, 0.1, **options)
    assert whole.n_blocks == 79
    parts = [
        nnqm.simulate(theory, 5000, 9, 0.1, blocks=blocks, **options)
        for blocks in (range(40, 79), range(0, 3), range(3, 40))
    ]
    assert nnqm.merge(parts) == whole
    assert nnqm.merge(parts[:0:-1]).first_block == 0
    # A part is extended by its worker.
    longer = nnqm.simulate(theory, 7777, 9, 0.1, n_blocks=79, **options)
    assert nnqm.merge(nnqm.extend(part, 7777) for part in parts) == longer


class Stop:
    """Progress that presses Ctrl-C at its n-th call."""

    def __init__(self, n):
        self.n = n

    def __call__(self, done, wanted):
        assert 0 < done <= wanted
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("stops", [(1,), (7,), (8, 1, 3), (25,)])
def test_an_interrupted_run_goes_on_to_the_bits_of_one(stops, precision, monkeypatch):
    slow(monkeypatch)
    theory = nnqm.builtin_theory("deep-tanh")
    options = {"rng": 11, "precision": precision, "n_blocks": 8, "measure": EVERYTHING}
    whole = nnqm.simulate(theory, 2500, 9, 0.1, **options)

    def go_on(run, progress):
        if run is None:
            return nnqm.simulate(theory, 2500, 9, 0.1, progress=progress, **options)
        return nnqm.extend(run, 2500, progress=progress)

    held = 0
    run = None
    for n in stops:
        with pytest.raises(nnqm.Interrupted) as stopped:
            go_on(run, Stop(n))
        run = stopped.value.partial
        assert held < run.block_paths.sum() < 2500
        held = int(run.block_paths.sum())
        assert f"{held} paths" in str(stopped.value)
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert nnqm.extend(run, 2500) == whole
    assert nnqm.extend(run, 4000) == nnqm.simulate(theory, 4000, 9, 0.1, **options)


def test_what_an_interrupted_run_holds_can_be_analysed(monkeypatch):
    # Blocks that were not reached hold no paths and must not spoil the others.
    slow(monkeypatch)
    theory = nnqm.harmonic_oscillator()
    with pytest.raises(nnqm.Interrupted) as stopped:
        nnqm.simulate(
            theory, 64 * 64, 16, 0.2, rng=12, progress=Stop(20), n_threads=1, measure=nnqm.Measure(lags=(0, 1))
        )
    run = stopped.value.partial
    assert (run.block_paths == 0).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate = run.two_point()
    assert estimate.n_blocks == np.count_nonzero(run.block_paths)
    assert_each_consistent(estimate, 0.5 * np.exp(-0.2 * np.arange(2)))


def test_an_interruption_before_the_first_slice_leaves_nothing(monkeypatch):
    def advance(**_):
        raise KeyboardInterrupt

    class Core:
        def __getattr__(self, attribute):
            return advance if attribute == "advance" else getattr(nnqm._core, attribute)

    monkeypatch.setattr(slices, "_core", Core())
    with pytest.raises(nnqm.Interrupted) as stopped:
        nnqm.simulate(nnqm.harmonic_oscillator(), 1000, 4, 0.1, rng=1)
    assert stopped.value.partial is None


@pytest.mark.slow
@pytest.mark.parametrize("slice_seconds", [1e-9, 1e-3, 0.2, 10.0])
def test_until_does_not_depend_on_speed(slice_seconds, monkeypatch):
    monkeypatch.setattr(slices, "SLICE", slice_seconds)
    theory = nnqm.harmonic_oscillator()
    options = {"rng": 13, "n_blocks": 16, "measure": nnqm.Measure(lags=(0, 3))}
    limit = 20_001
    run = nnqm.simulate(theory, limit, 16, 0.2, until=(lambda r: r.two_point(), 0.0055), **options)
    assert run.n_paths == 8192
    assert np.max(run.two_point().error) <= 0.0055
    assert run == nnqm.simulate(theory, run.n_paths, 16, 0.2, **options)
    half = nnqm.simulate(theory, run.n_paths // 2, 16, 0.2, **options)
    assert np.max(half.two_point().error) > 0.0055
    assert nnqm.extend(run, limit) == nnqm.simulate(theory, limit, 16, 0.2, **options)


def test_until_stops_at_the_limit():
    theory = nnqm.harmonic_oscillator()
    run = nnqm.simulate(theory, 3000, 8, 0.2, rng=1, until=(lambda r: r.mean(), 1e-9))
    assert run == nnqm.simulate(theory, 3000, 8, 0.2, rng=1)


def test_progress_ends_at_the_number_of_paths(monkeypatch):
    slow(monkeypatch)
    calls = []
    nnqm.simulate(nnqm.harmonic_oscillator(), 2600, 4, 0.1, rng=1, progress=lambda *both: calls.append(both))
    assert calls[-1] == (2600, 2600)
    done = [d for d, _ in calls]
    assert done == sorted(done)
    assert len(calls) > 1


# A costly theory gets one tile for each thread, any other as many as leave no thread without one: here 2e9
# multiplications, of which 3 correlator matrices of 24 observables take 2 * 3 * 24^2 a point, and a table 40.
@pytest.mark.parametrize(
    ("widths", "n_threads", "compiled", "tiles"),
    [
        ((1, 200, 200, 1), 1, True, 17),
        ((1, 8, 1), 3, True, 15),
        ((1, 200, 200, 1), 1, False, 1),
        ((1, 200, 200, 1), 3, False, 3),
    ],
)
def test_the_first_slice_is_short_before_the_speed_is_known(widths, n_threads, compiled, tiles):
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random(widths, rng=1))
    with pytest.raises(nnqm.Interrupted) as stopped:
        nnqm.simulate(theory, 64 * 100, 512, 0.1, rng=1, n_threads=n_threads, compiled=compiled, progress=Stop(1))
    assert stopped.value.partial.block_paths.sum() == 64 * tiles


@pytest.mark.slow
def test_a_short_run_is_one_slice_unless_its_cost_is_unknown():
    hamiltonian = nnqm.Hamiltonian([0, 0, 0.5])
    for source, fewest, most in (
        (nnqm.OrnsteinUhlenbeck(1.0), 1, 1),
        (nnqm.ThermalProcess(hamiltonian, beta=1.6), 2, 100),
    ):
        calls = []
        options = {
            "measure": nnqm.Measure(observable_lags=()),
            "progress": lambda *both, calls=calls: calls.append(both),
        }
        nnqm.simulate(nnqm.Theory(source), 64 * 100, 16, 0.1, rng=1, n_blocks=50, **options)
        assert fewest <= len(calls) <= most
        assert calls[-1] == (6400, 6400)


def test_a_run_of_one_block_and_one_of_few_paths():
    theory = nnqm.harmonic_oscillator()
    run = nnqm.simulate(theory, 100, 4, 0.1, rng=1)
    assert (run.n_blocks, *run.block_paths) == (2, 64, 36)
    assert np.isfinite(run.mean().error)
    one = nnqm.simulate(theory, 5, 4, 0.1, rng=1)
    assert one.n_blocks == 1
    with pytest.raises(ValueError, match="at least 2 blocks"):
        one.mean()
    single = nnqm.simulate(theory, 1000, 1, 0.1, rng=1)
    assert_consistent(single.moments()[0], 0.5)


# ---- other processes


ENDLESS = """
import nnqm, os, signal, threading, time
# Shells start what runs in the background with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
theory = nnqm.builtin_theory("three-inputs")
started, sent = threading.Event(), []
def interrupt():
    started.wait()
    time.sleep(0.5)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    nnqm.simulate(theory, 10**9, 256, 0.1, rng=1, n_threads=1, progress=lambda done, wanted: started.set())
except nnqm.Interrupted as stopped:
    took = time.process_time() - sent[0]
    print(int(stopped.partial.block_paths.sum()), stopped.partial.n_paths, took, stopped.partial.mean().error)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_signal_stops_a_run_within_a_second():
    # A second of the processor, of one thread: on a busy machine it takes longer.
    held, wanted, took, error = answer(ENDLESS).split()
    assert 0 <= float(took) < 1.0
    assert 0 < int(held) < int(wanted) == 10**9
    assert float(error) > 0


# The peak of this process alone: what getrusage says may be inherited from the process that started it.
PEAK = """
import resource, sys
def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
"""

RUN = (
    PEAK
    + """
import nnqm
both = nnqm.Measure(two_time=True)
run = nnqm.simulate(nnqm.builtin_theory("oscillator"), int(sys.argv[1]), 4, 0.2, rng=1, n_threads=2, measure=both)
assert run.block_paths.sum() == int(sys.argv[1])
print(peak())
"""
)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="reads the peak memory of a POSIX process")
def test_memory_does_not_grow_with_the_number_of_paths():
    few, many = (float(answer(RUN, n)) for n in (100_000, 10_000_000))
    assert many - few < 20
    assert few > 10, "megabytes were expected"
