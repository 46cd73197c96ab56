"""What is summed is one object: defaults, checks, and keywords that do not exist."""

import dataclasses
import pickle

import numpy as np
import pytest

import nnqm

OSCILLATOR = nnqm.harmonic_oscillator()


def test_without_a_measure_everything_is_the_default():
    run = nnqm.simulate(OSCILLATOR, 640, 40, 0.1, rng=1)
    assert nnqm.simulate(OSCILLATOR, 640, 40, 0.1, rng=1, measure=nnqm.Measure()) == run
    assert run.observables == nnqm.default_observables(OSCILLATOR)
    assert (run.lags[0], run.lags[-1], len(run.lags)) == (0, 20, 16)
    assert run.observable_lags == (1, 2, 3)
    assert run.increment_lags == tuple(range(1, 13))
    assert run.two_time is None
    # Written out, the defaults are the same run.
    written = nnqm.Measure(
        observables=run.observables,
        lags=run.lags,
        observable_lags=run.observable_lags,
        increment_lags=run.increment_lags,
    )
    assert nnqm.simulate(OSCILLATOR, 640, 40, 0.1, rng=1, measure=written) == run


def test_defaults_follow_the_theory_and_the_grid():
    split = nnqm.Theory(nnqm.Times(), nnqm.RandomNetwork((1, 4, 1)))
    run = nnqm.simulate(split, 640, 9, 0.1, rng=1)
    assert (run.lags, run.observable_lags, run.increment_lags, run.two_time) == ((), (), (), 0)
    closed = nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=2.0))
    run = nnqm.simulate(closed, 640, 16, rng=1, measure=nnqm.Measure(lags=(3,)))
    assert (run.lags, run.observable_lags) == ((3, 13), ())
    uneven = nnqm.simulate(OSCILLATOR, 640, times=[0.0, 0.1, 0.5], rng=1)
    assert (uneven.lags, uneven.observable_lags, uneven.increment_lags, uneven.two_time) == ((), (), (), None)


def test_one_measure_serves_any_number_of_runs():
    measure = nnqm.Measure(lags=(k for k in (5, 0, 2)), observable_lags=np.array([1]), increment_lags=[1], two_time="x")
    assert (measure.lags, measure.observable_lags) == ((0, 2, 5), (1,))
    runs = [nnqm.simulate(OSCILLATOR, 640, 12, 0.1, rng=seed, measure=measure) for seed in (1, 2)]
    assert nnqm.merge(runs).lags == (0, 2, 5)
    paths = nnqm.sample_paths(OSCILLATOR, 640, 12, 0.1, rng=1)
    added = nnqm.accumulate(paths, 0.1, theory=OSCILLATOR, measure=measure)
    assert (added.lags, added.two_time) == (runs[0].lags, runs[0].two_time)
    own = nnqm.simulate_functions(
        OSCILLATOR, lambda x: np.concatenate([x, x**2], axis=2), 640, 12, 0.1, rng=1, measure=nnqm.Measure(lags=(0, 3))
    )
    assert (own.lags, own.increment_lags) == ((0, 3), ())
    assert pickle.loads(pickle.dumps(measure)) == measure


def test_a_measure_cannot_be_changed():
    measure = nnqm.Measure(lags=(0, 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        measure.lags = (0,)
    assert dataclasses.replace(measure, two_time=True).lags == (0, 1)
    with pytest.raises(TypeError):
        nnqm.Measure(None, (0, 1))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"lags": [0, -1]}, ValueError, r"lags\[1\] must be at least 0; got -1"),
        ({"increment_lags": (0,)}, ValueError, r"increment_lags\[0\] must be at least 1; got 0"),
        ({"observable_lags": (1, 1)}, ValueError, r"observable_lags must be distinct; got \[1, 1\]"),
        ({"lags": 3}, TypeError, "lags must be a sequence of integers; got 3"),
        ({"two_time": 0.5}, TypeError, "two_time must be an integer; got 0.5"),
        ({"observables": ["x"]}, TypeError, "observables must be Observables; .* default_observables makes them"),
    ],
)
def test_bad_sums_are_named_when_they_are_written(arguments, kind, message):
    with pytest.raises(kind, match=message):
        nnqm.Measure(**arguments)


PATHS = np.random.default_rng(1).normal(size=(64, 20))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nnqm.simulate(OSCILLATOR, 64, 8, 0.1, lags=(0, 1)),
            r"simulate has no argument 'lags'; did you mean measure=nnqm.Measure\(lags=...\)\?",
        ),
        (lambda: nnqm.simulate(OSCILLATOR, 64, 8, 0.1, n_thread=1), "'n_thread'; did you mean n_threads"),
        (lambda: nnqm.simulate(OSCILLATOR, 64, 8, 0.1, qqq=1), "'qqq'; it takes theory, n_paths, .* until"),
        (lambda: nnqm.accumulate(PATHS, two_times=True), r"did you mean measure=nnqm.Measure\(two_time=...\)"),
        (lambda: nnqm.accumulate(PATHS, h_bar=2.0), "accumulate has no argument 'h_bar'; did you mean hbar"),
        (
            lambda: nnqm.simulate_functions(OSCILLATOR, lambda x: x, 64, 8, 0.1, name=["a"]),
            "simulate_functions has no argument 'name'; did you mean names",
        ),
        (lambda: nnqm.sample_paths(OSCILLATOR, 64, 8, 0.1, threads=1), "sample_paths .* did you mean n_threads"),
        (lambda: nnqm.Paths(OSCILLATOR, 64, 8, 0.1, presision="float64"), "Paths .* did you mean precision"),
        (lambda: nnqm.accumulate(nnqm.Paths(OSCILLATOR, 64, 8, 0.1)), "simulate adds up the paths of a theory"),
        (lambda: nnqm.simulate(OSCILLATOR, 64, 8, 0.1, measure=(0, 1)), r"measure must be a Measure; got \(0, 1\)"),
        (lambda: nnqm.accumulate(PATHS, measure={"lags": (0,)}), "measure must be a Measure"),
    ],
)
def test_unknown_keywords_are_named_with_the_nearest(call, message):
    with pytest.raises(nnqm.errors.InputTypeError, match=message):
        call()


def test_functions_are_their_own_observables():
    measure = nnqm.Measure(observables=nnqm.default_observables(OSCILLATOR))
    with pytest.raises(nnqm.errors.InputError, match="observables of the measure are the functions themselves"):
        nnqm.simulate_functions(OSCILLATOR, lambda x: x, 640, 8, 0.1, measure=measure)
    random = nnqm.builtin_theory("random-tanh")
    with pytest.raises(nnqm.errors.InputError, match="simulate_functions needs fixed weights"):
        nnqm.simulate_functions(random, lambda x: x, 640, 8, 0.1, rng=1)
