"""Theories, their sources and observables; and the table of what simulate, sample_paths and apply refuse."""

import json
import math

import numpy as np
import pytest

import nnqm
from harness import assert_consistent

OU = nnqm.OrnsteinUhlenbeck
SMALL = nnqm.Network([[[1.0]]])


def test_channels_are_inputs_then_outputs():
    assert nnqm.Theory(OU(1.0)).channels == ("x",)
    assert nnqm.Theory(OU([1.0, 2.0])).channels == ("x1", "x2")
    assert nnqm.Theory(OU(1.0), SMALL).channels == ("y", "x")
    network = nnqm.Network.random((3, 2), rng=1)
    theory = nnqm.Theory([OU([1.0, 2.0]), OU(3.0, 0.5)], network)
    assert theory.channels == ("y1", "y2", "y3", "x1", "x2")
    assert theory.outputs == ("x1", "x2")
    assert (theory.omega, theory.sigma) == ((1.0, 2.0, 3.0), (1.0, 1.0, 0.5))
    assert (theory.n_inputs, theory.n_outputs) == (3, 2)


def test_one_number_serves_every_input():
    assert OU([1.0, 2.0], 3.0).sigma == (3.0, 3.0)
    assert OU(1.0, [3.0, 4.0]).omega == (1.0, 1.0)
    np.testing.assert_allclose(OU([1.0, 2.0], 3.0).variance, [4.5, 2.25])


def test_theories_are_immutable_values():
    theory = nnqm.builtin_theory("three-inputs")
    assert theory == nnqm.builtin_theory("three-inputs")
    assert hash(theory) == hash(nnqm.builtin_theory("three-inputs"))
    assert theory != nnqm.builtin_theory("deep-tanh")
    with pytest.raises(AttributeError):
        theory.mass = 2.0
    with pytest.raises(AttributeError):
        theory.sources[0].omega = (1.0,)
    assert nnqm.Theory.from_dict(json.loads(json.dumps(theory.to_dict()))) == theory


def test_the_harmonic_oscillator_has_its_ground_state_width():
    theory = nnqm.harmonic_oscillator(omega=2.0, mass=3.0, hbar=0.5)
    # <x^2> = hbar / (2 m omega)
    assert theory.sources[0].variance[0] == pytest.approx(0.5 / (2 * 3.0 * 2.0))
    assert (theory.hbar, theory.mass, theory.network) == (0.5, 3.0, None)
    assert nnqm.builtin_theory("oscillator") == nnqm.harmonic_oscillator()


def test_builtin_theories_are_what_they_are_said_to_be():
    deep = nnqm.builtin_theory("deep-tanh")
    assert deep.network.widths == (1, 4, 3, 1)
    assert deep.omega == (1.0,)
    three = nnqm.builtin_theory("three-inputs")
    assert three.network.widths == (3, 8, 1)
    assert three.omega == three.sigma == (1.0, 1.0, 1.0)


def test_default_observables_depend_on_the_theory_only():
    theory = nnqm.builtin_theory("deep-tanh")
    a, b = nnqm.default_observables(theory), nnqm.default_observables(theory)
    assert a == b
    assert hash(a) == hash(b)
    assert a != nnqm.default_observables(theory, order=5)
    assert a.channels == ("x", "y")
    assert a.orders == (1, 6)
    assert a.size == len(a.labels) == 1 + 2 + 5 + 16
    assert a.labels[:4] == ("1", "x", "y", "h2(y)")
    # Neurons see the inputs alone.
    assert not a.weights[:, 0].any()
    assert a.weights[:, 1].all()
    # Standardised by the stationary density.
    assert a.shift[1] == 0
    assert a.scale[1] == pytest.approx(math.sqrt(0.5), rel=1e-4)
    run = nnqm.simulate(theory, 20_000, 4, 0.5, rng=1)
    assert a.shift[0] == pytest.approx(float(run.mean("x").value), abs=0.02)
    assert a.scale[0] ** 2 == pytest.approx(float(run.moments("x")[0].value), rel=0.03)
    both = nnqm.default_observables(theory, observe=["x", "y"], order=2, neurons=3)
    assert (both.orders, both.size) == ((2, 2), 1 + 4 + 3 + 1)  # and x y
    assert both.weights.all()
    assert type(a).from_dict(json.loads(json.dumps(a.to_dict()))) == a


def test_a_network_with_a_constant_output_can_be_simulated():
    network = nnqm.Network([[[1.0], [0.0]]], [[0.0, 2.5]])
    run = nnqm.simulate(nnqm.Theory(OU(1.0), network), 200, 4, 0.1, rng=1)
    assert float(run.mean("x2").value) == 2.5
    assert float(run.moments("x2")[0].value) == 0.0


def tiny(**more):
    return nnqm.simulate(nnqm.harmonic_oscillator(), **({"n_paths": 256, "n_times": 4, "dt": 0.1, "rng": 1} | more))


def sampled(**more):
    return nnqm.sample_paths(nnqm.harmonic_oscillator(), **({"paths": 10, "n_times": 4, "dt": 0.1} | more))


HUGE = nnqm.Theory(OU(1.0), nnqm.Network([[[1.5e38]]]))
NAN_TIMES = [0.0, math.nan, 1.0]


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        # sources
        (ValueError, r"omega must be positive; got omega\[0\]=0", lambda: OU(0.0)),
        (ValueError, r"omega must be positive; got omega\[1\]=-1", lambda: OU([1.0, -1.0])),
        (ValueError, "omega must be finite; omega=nan", lambda: OU(math.nan)),
        (ValueError, r"sigma must be finite; sigma\[1\]=inf", lambda: OU(1.0, [1.0, math.inf])),
        (ValueError, "sigma must be positive", lambda: OU(1.0, -2.0)),
        (
            ValueError,
            "omega and sigma must have the same length; got 2 and 3.*one entry per input",
            lambda: OU([1, 2], [1, 2, 3]),
        ),
        (ValueError, r"omega must be a number or a one-dimensional sequence; got shape \(1, 2\)", lambda: OU([[1, 2]])),
        (ValueError, "omega must be a number or a one-dimensional", lambda: OU([])),
        (TypeError, "omega must be real numbers", lambda: OU("fast")),
        (TypeError, "omega must be real numbers", lambda: OU("1.0")),
        (TypeError, "omega must be real numbers", lambda: OU(1j)),
        # theories
        (ValueError, "sources must have at least one entry", lambda: nnqm.Theory([])),
        (TypeError, r"sources\[0\] must be a source, for example OrnsteinUhlenbeck; got 1.0", lambda: nnqm.Theory(1.0)),
        (TypeError, r"sources\[1\] must be a source", lambda: nnqm.Theory([OU(1.0), SMALL])),
        (
            TypeError,
            "network must be a Network, a Random.* or None; got 'tanh'",
            lambda: nnqm.Theory(OU(1.0), "tanh"),
        ),
        (
            ValueError,
            "network takes 1 inputs, but the sources give 2; make the first width",
            lambda: nnqm.Theory(OU([1, 2]), SMALL),
        ),
        (ValueError, "hbar must be positive; got hbar=0", lambda: nnqm.Theory(OU(1.0), hbar=0)),
        (ValueError, "mass must be finite", lambda: nnqm.Theory(OU(1.0), mass=math.nan)),
        (ValueError, "mass must be positive", lambda: nnqm.harmonic_oscillator(mass=-1.0)),
        (ValueError, "omega must be finite", lambda: nnqm.harmonic_oscillator(math.inf)),
        (
            ValueError,
            r"theory 'osillator' is unknown; choose from anharmonic, deep-tanh, .* did you mean 'oscillator'\?",
            lambda: nnqm.builtin_theory("osillator"),
        ),
        (
            ValueError,
            "source kind 'ornstein' is unknown",
            lambda: nnqm.Theory.from_dict({"source": [{"kind": "ornstein"}]}),
        ),
        # observables
        (ValueError, "order must be at least 1; got 0", lambda: nnqm.default_observables(HUGE, order=0)),
        (ValueError, "neurons must be at least 0", lambda: nnqm.default_observables(HUGE, neurons=-1)),
        (ValueError, "observe 'z' is unknown; choose from x, y", lambda: nnqm.default_observables(HUGE, observe=["z"])),
        (ValueError, "observe must name at least one channel", lambda: nnqm.default_observables(HUGE, observe=[])),
        # the time grid
        (ValueError, "time grid is missing: give n_times and dt, or times", lambda: tiny(dt=None)),
        (ValueError, "give either times or n_times and dt", lambda: tiny(times=[0, 1])),
        (ValueError, "n_times must be at least 1; got 0", lambda: tiny(n_times=0)),
        (TypeError, "n_times must be an integer; got 4.0", lambda: tiny(n_times=4.0)),
        (ValueError, "dt must be positive; got dt=-1", lambda: tiny(dt=-1)),
        (ValueError, "dt must be finite", lambda: tiny(dt=math.nan)),
        (
            ValueError,
            r"times must be strictly increasing; times\[2\]=0.5 <= times\[1\]=1; sort them",
            lambda: tiny(n_times=None, dt=None, times=[0, 1, 0.5]),
        ),
        (ValueError, "times must be strictly increasing", lambda: tiny(n_times=None, dt=None, times=[0, 1, 1])),
        (ValueError, r"times must be finite; times\[1\]=nan", lambda: tiny(n_times=None, dt=None, times=NAN_TIMES)),
        (ValueError, "times must have at least one entry", lambda: tiny(n_times=None, dt=None, times=[])),
        (ValueError, "times must have 1 axes; got 2", lambda: tiny(n_times=None, dt=None, times=[[0, 1]])),
        (
            ValueError,
            "lag averages need uniform times.*two_time",
            lambda: tiny(n_times=None, dt=None, times=[0, 1, 3], measure=nnqm.Measure(lags=[1])),
        ),
        (
            ValueError,
            "lag averages need uniform times",
            lambda: tiny(n_times=None, dt=None, times=[0, 1, 3], measure=nnqm.Measure(increment_lags=np.array([1]))),
        ),
        # simulate
        (
            TypeError,
            "theory must be a Theory; got 'oscillator'.*builtin_theory",
            lambda: nnqm.simulate("oscillator", 10, 4, 0.1),
        ),
        (ValueError, "n_paths must be at least 1; got 0", lambda: tiny(n_paths=0)),
        (TypeError, "n_paths must be an integer; got 1000000.0", lambda: tiny(n_paths=1e6)),
        (ValueError, "n_paths must be at most", lambda: tiny(n_paths=2**60)),
        (
            ValueError,
            "n_blocks=5 needs at least as many tiles of 64 paths; got 4; use fewer blocks or more paths",
            lambda: tiny(n_blocks=5),
        ),
        (ValueError, "n_blocks must be at least 1", lambda: tiny(n_blocks=0)),
        (ValueError, r"blocks must be a range within 0..4; got range\(2, 5\)", lambda: tiny(blocks=range(2, 5))),
        (ValueError, "blocks must be a range", lambda: tiny(blocks=range(0, 4, 2))),
        (ValueError, "blocks must be a range", lambda: tiny(blocks=range(0))),
        (TypeError, r"blocks must be a range such as range\(0, 64\); got 2", lambda: tiny(blocks=2)),
        (ValueError, "precision 'float16' is unknown; choose from float32, float64", lambda: tiny(precision="float16")),
        (ValueError, "n_threads must be at least 0; got -1", lambda: tiny(n_threads=-1)),
        (ValueError, "rng must be at least 0", lambda: tiny(rng=-1)),
        (TypeError, "rng must be an integer; got 1.5", lambda: tiny(rng=1.5)),
        (
            ValueError,
            "lags must be below n_times; got lag 4 with n_times=4; use smaller lags or longer paths",
            lambda: tiny(measure=nnqm.Measure(lags=[4])),
        ),
        (ValueError, r"lags\[1\] must be at least 0; got -1", lambda: tiny(measure=nnqm.Measure(lags=[0, -1]))),
        (ValueError, "observable_lags must be distinct", lambda: tiny(measure=nnqm.Measure(observable_lags=[1, 1]))),
        (ValueError, r"increment_lags\[0\] must be at least 1", lambda: tiny(measure=nnqm.Measure(increment_lags=[0]))),
        (TypeError, r"lags\[0\] must be an integer; got 0.5", lambda: tiny(measure=nnqm.Measure(lags=[0.5]))),
        (TypeError, "lags must be a sequence of integers; got 3", lambda: tiny(measure=nnqm.Measure(lags=3))),
        (ValueError, "channel 'y' is unknown; choose from x", lambda: tiny(measure=nnqm.Measure(two_time="y"))),
        (
            ValueError,
            "observables measure channel 1, but the theory has 1; make them with default_observables",
            lambda: tiny(measure=nnqm.Measure(observables=nnqm.default_observables(HUGE))),
        ),
        (ValueError, r"until\[1\] must be positive", lambda: tiny(until=(lambda r: r.mean(), 0.0))),
        (TypeError, r"until must be a pair \(function of a run, wanted error\); got 0.1", lambda: tiny(until=0.1)),
        (
            ValueError,
            "the network overflows on typical inputs.*smaller",
            lambda: nnqm.simulate(
                nnqm.Theory(OU(1.0), nnqm.Network([[[1.7e308]], [[1e10]]], activation="relu")), 64, 4, 0.1
            ),
        ),
        (
            ValueError,
            r"channel x has mean .* which float32 cannot hold; use float64 or other units",
            lambda: nnqm.simulate(nnqm.Theory(OU(1.0, 1e-40)), 64, 4, 0.1),
        ),
        # sample_paths and apply
        (ValueError, "paths must be at least 1; got 0", lambda: sampled(paths=0)),
        (
            ValueError,
            r"paths must be a number or a non-empty range of step 1 from 0 on; got range\(3, 3\)",
            lambda: sampled(paths=range(3, 3)),
        ),
        (ValueError, "paths must be a number or a non-empty range", lambda: sampled(paths=range(-1, 3))),
        (ValueError, "give either rng or key", lambda: sampled(rng=1, key=2)),
        (ValueError, "key must be at most", lambda: sampled(key=2**64)),
        (ValueError, "precision 'double' is unknown", lambda: sampled(precision="double")),
        (TypeError, "theory must be a Theory", lambda: nnqm.sample_paths(OU(1.0), 3, 4, 0.1)),
        (
            ValueError,
            r"paths must have axes \(path, time, channel\); got shape \(3, 4\)",
            lambda: nnqm.apply(SMALL, np.zeros((3, 4))),
        ),
        (
            ValueError,
            "paths have 2 channels, but the network takes 1 inputs",
            lambda: nnqm.apply(SMALL, np.zeros((3, 4, 2))),
        ),
        (
            TypeError,
            "paths must be real numbers; got dtype complex128; take the real part",
            lambda: nnqm.apply(SMALL, np.zeros((3, 4, 1)) * 1j),
        ),
        (
            ValueError,
            "paths must be finite; path 1 at time step 2, channel 0 is nan",
            lambda: nnqm.apply(SMALL, np.where(np.arange(12).reshape(3, 4, 1) == 6, math.nan, 0.0)),
        ),
        (
            ValueError,
            "network overflows: its output on path 2 at time step 1.*float32; use float64",
            lambda: nnqm.apply(HUGE.network, np.where(np.arange(12).reshape(3, 4, 1) == 9, 5.0, 0.0).astype("f4")),
        ),
    ],
)
def test_bad_input_is_named_and_comes_with_a_remedy(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_a_network_that_overflows_names_the_first_path():
    # Rarely: the pilot paths see a finite mean and width.
    network = nnqm.Network([[[1.0]], [[1.1e20]], [[1e19]]], [[-2.0], [0.0], [0.0]], "relu")
    theory = nnqm.Theory(OU(1.0), network)
    y = nnqm.sample_paths(theory, 4000, 8, 0.5, rng=1, channels="y")
    first = int(np.flatnonzero(y.max(axis=(1, 2)) - 2 > float(np.finfo(np.float32).max) / 1.1e39)[0])
    assert first > 0
    with pytest.raises(ValueError, match=rf"network overflows: path {first} has.*float32.*float64.*smaller weights"):
        nnqm.simulate(theory, 4000, 8, 0.5, rng=1)
    for paths in (4000, range(first - 1, first + 1)):
        with pytest.raises(ValueError, match=rf"network overflows: its output on path {first} .*float32"):
            nnqm.sample_paths(theory, paths, 8, 0.5, rng=1)
    run = nnqm.simulate(theory, 4000, 8, 0.5, rng=1, precision="float64")
    assert np.isfinite(run.two_point("x").value).all()


@pytest.mark.parametrize("n_times", [1, 2, 3])
def test_short_paths_have_the_lags_that_they_can(n_times):
    run = tiny(n_times=n_times)
    assert all(lag < n_times for lag in (*run.lags, *run.observable_lags, *run.increment_lags))
    assert tiny(n_times=n_times, measure=nnqm.Measure(lags=[0])).two_point().value.shape == (1,)
    assert tiny(n_times=n_times, measure=nnqm.Measure(lags=(k for k in [0]))).lags == (0,)


def test_a_channel_has_a_position_among_the_outputs_or_a_name():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network([np.eye(2)]))
    assert [theory.channel_name(c) for c in (0, 1, "x2", "y1")] == ["x1", "x2", "x2", "y1"]
    assert theory.channel_name() == "x1"
    for wrong, error, message in (
        (2, ValueError, "channel must be at most 1; got 2"),
        (-1, ValueError, "channel must be at least 0; got -1"),
        (0.5, TypeError, "channel must be an integer; got 0.5"),
        ("x3", ValueError, "channel 'x3' is unknown; choose from x1, x2, y1, y2"),
    ):
        with pytest.raises(error, match=message):
            theory.channel_name(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("channel", [1, "x2"])
def test_exact_answers_take_positions_and_names(channel):
    omega, lags = [1.0, 2.0], np.array([0.0, 0.3])
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), nnqm.Network([np.eye(2)]))
    expected = np.exp(-2 * lags) / 4
    np.testing.assert_allclose(nnqm.kallen_lehmann(theory, channel).connected(lags), expected)
    np.testing.assert_allclose(nnqm.n_point(theory, [[0.0, 0.0], [0.0, 0.3]], channel), expected)
    np.testing.assert_allclose(nnqm.n_point(theory, [[0.0, 0.0], [0.0, 0.3]], [channel, "y2"]), expected)
    np.testing.assert_allclose(nnqm.thermal_measure(theory, channel, beta=40.0).connected(lags), expected)
    assert_consistent(nnqm.quasi_monte_carlo(theory, lags, channel).connected[1], expected[1])
    found = nnqm.average_over_weights(theory, [theory.network] * 2, lags, channel)
    np.testing.assert_allclose(found.connected.value, expected)
    with pytest.raises(ValueError, match="channel 'y1' is unknown; choose from x1, x2"):
        nnqm.average_over_weights(theory, [theory.network] * 2, lags, "y1")
