"""Paths of a theory as one object: the values of the stages at every reading, for all that analyses paths."""

import pickle

import numpy as np
import pytest

import nnqm
from nnqm.errors import InputError, InputTypeError

CHAIN = nnqm.MarkovChain([-1.0, 0.5, 2.0], [[0.8, 0.2, 0.0], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]], dt=0.1)
SPLIT = nnqm.RandomNetwork((1, 8, 1), "tanh", shared=(False, True))
THEORIES = {
    "no network": nnqm.harmonic_oscillator(),
    "two inputs": nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network.random((2, 5, 2), rng=1)),
    "table": nnqm.builtin_theory("deep-tanh"),
    "groups": nnqm.builtin_theory("random-tanh"),
    "split": nnqm.Theory(nnqm.Times(reflected=True), SPLIT),
    "thermal": nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=2.4), nnqm.Network.random((1, 4, 1), rng=2)),
    "chain": nnqm.Theory(CHAIN),
    "wiener": nnqm.as_network(nnqm.Kernel.wiener(), 6, (1.0, 4.0)),
}


def paths_of(name, n_paths=200, **options):
    return nnqm.Paths(THEORIES[name], n_paths, 24, 0.1, key=7, **options)


def staged(paths):
    """All channels by the stages."""
    theory, options = paths.theory, {"key": paths.key, "times": paths.times}
    inputs = theory.channels[: theory.n_inputs]
    y = nnqm.sample_paths(theory, paths.n_paths, precision=paths.precision, channels=inputs, **options)
    return y if theory.network is None else np.concatenate([y, nnqm.apply(theory.network, y, **options)], axis=2)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", THEORIES)
def test_values_are_those_of_the_stages(name, precision):
    paths = paths_of(name, precision=precision)
    expected = staged(paths)
    assert expected.dtype == precision
    for k, channel in enumerate(paths.theory.channels):
        values = paths.read(channel=channel)
        assert values.dtype == precision
        np.testing.assert_array_equal(values, expected[:, :, k])
    np.testing.assert_array_equal(paths.read_channels(), expected)
    np.testing.assert_array_equal(paths.read(), paths.read(channel=paths.theory.outputs[0]))


@pytest.mark.parametrize("name", THEORIES)
def test_every_reading_in_any_pieces_has_the_same_bits(name):
    paths = paths_of(name, rng=None, n_threads=1)
    whole = paths.read()
    np.testing.assert_array_equal(paths.read(), whole)
    for size in (1, 7, 64, 199):
        pieces = [paths.read(i, min(i + size, 200)) for i in range(0, 200, size)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(paths_of(name, n_threads=2).read(), whole)
    np.testing.assert_array_equal(paths_of(name, n_paths=1000).read(50, 200), whole[50:])
    assert not np.array_equal(nnqm.Paths(paths.theory, 200, times=paths.times, key=8).read(), whole) or name == "chain"


def test_fresh_entropy_is_drawn_once():
    paths = nnqm.Paths(THEORIES["no network"], 10, 8, 0.1)
    np.testing.assert_array_equal(paths.read(), paths.read())
    assert not np.array_equal(paths.read(), nnqm.Paths(THEORIES["no network"], 10, 8, 0.1).read())


def test_they_are_the_paths_of_a_run():
    theory = THEORIES["two inputs"]
    run = nnqm.simulate(theory, 128, 24, 0.1, rng=3)
    paths = nnqm.Paths(theory, 128, 24, 0.1, rng=3)
    assert paths.key == run.keys[0]
    mean = paths.read(channel="x2").astype(np.float64).mean()
    np.testing.assert_allclose(run.mean("x2").value, mean, rtol=1e-6)
    np.testing.assert_array_equal(paths.times, run.times)


def test_grids():
    assert len(nnqm.Paths(THEORIES["thermal"], 10, 24).times) == 24
    assert nnqm.Paths(THEORIES["wiener"], 10, 4, 0.5).times[0] == 1.0
    assert nnqm.Paths(THEORIES["split"], 10, 5, 0.5).times[0] == -1.0
    uneven = nnqm.Paths(THEORIES["no network"], 10, times=[0.0, 0.1, 0.7], rng=1)
    assert uneven.n_times == 3
    with pytest.raises(ValueError, match="read-only"):
        uneven.times[0] = 1.0


def test_they_do_not_change():
    paths = paths_of("table")
    for change in (lambda: setattr(paths, "key", 1), lambda: delattr(paths, "key")):
        with pytest.raises(AttributeError, match="immutable"):
            change()
    again = pickle.loads(pickle.dumps(paths))
    np.testing.assert_array_equal(again.read(), paths.read())
    assert repr(paths).endswith("200 paths of 24 times on [0, 2.3], float32, key 7)")


@pytest.mark.slow
def test_functions_of_paths_see_the_array_that_is_read():
    theory = THEORIES["table"]
    paths = nnqm.Paths(theory, 3000, 40, 0.1, rng=4)
    array = paths.read()
    for function in (
        lambda p: nnqm.reflection_positivity(p, dt=0.1).value,
        lambda p: nnqm.clustering(p).far,
        lambda p: nnqm.connected_four_point(p, [0, 1, 2, 3]),
    ):
        drawn, given = function(paths), function(array)
        np.testing.assert_array_equal(drawn.value, given.value)
        np.testing.assert_array_equal(drawn.replicas, given.replicas)
    # Blocks of a theory's paths are known to be independent, and the functionals come from a pilot run.
    levels = [nnqm.hidden_spectrum(p, dt=0.1, delay=1, n_levels=1).levels[0].gap for p in (paths, array)]
    assert abs(float(levels[0].value - levels[1].value)) < float(levels[1].error)
    edges = [-0.5, 0.0, 0.5]
    counts = [nnqm.binned_effective_levels(p, dt=0.1, bins=edges, n_blocks=16).levels[0] for p in (paths, array)]
    assert float(counts[0].value) == float(counts[1].value)


@pytest.mark.slow
def test_the_middle_is_the_default_of_what_is_not_stationary():
    paths = nnqm.Paths(THEORIES["split"], 2000, 25, 0.1, rng=1)
    default = nnqm.reflection_positivity(paths)
    assert default.witness.reflection == "t = 0"
    for about in ("middle", 12):
        assert nnqm.reflection_positivity(paths, about=about).p_value == default.p_value
    assert nnqm.reflection_positivity(paths, about=11.5).witness.reflection == "t = -0.05"
    # Of given paths nobody knows, so that all times are averaged over.
    given = nnqm.reflection_positivity(paths.read(), dt=0.1)
    assert given.witness.reflection == "t = 0"
    assert given.p_value != default.p_value


@pytest.mark.slow
def test_a_network_of_paths_is_the_network_of_the_theory_on_their_grid():
    theory = nnqm.builtin_theory("anharmonic")
    usual = nnqm.as_network(theory, 6, (0.0, 2.0), rows=50, rng=1).sources[0]
    paths = nnqm.Paths(theory, 50, times=np.linspace(0.0, 2.0, 49), rng=1, precision="float64")
    for interval in (None, (0.0, 2.0)):
        np.testing.assert_array_equal(nnqm.as_network(paths, 6, interval, rows=50).sources[0].rows, usual.rows)
    later = nnqm.as_network(paths, 6, (3.0, 5.0), rows=50).sources[0]
    assert later.interval == (3.0, 5.0)
    np.testing.assert_allclose(np.abs(later.rows), np.abs(usual.rows), rtol=1e-6)


ANALYSES = {
    "reflection_positivity": nnqm.reflection_positivity,
    "hidden_spectrum": nnqm.hidden_spectrum,
    "clustering": nnqm.clustering,
    "connected_four_point": lambda p, **options: nnqm.connected_four_point(p, [0, 1, 2, 3], **options),
    "binned_effective_levels": nnqm.binned_effective_levels,
}


@pytest.mark.parametrize("name", ANALYSES)
def test_every_function_says_the_same_of_bad_paths(name):
    analyse, theory = ANALYSES[name], THEORIES["no network"]
    with pytest.raises(InputTypeError, match=r"paths must be paths, .* use nnqm.Paths\(theory, n_paths, n_times, dt\)"):
        analyse(theory)
    uneven = nnqm.Paths(theory, 300, times=[0.0, 0.1, 0.3, *range(1, 30)], rng=1)
    with pytest.raises(InputError, match="paths must be on a uniform grid"):
        analyse(uneven)
    paths = nnqm.Paths(theory, 300, 40, 0.1, rng=1)
    with pytest.raises(InputError, match="channel 'z' is unknown; choose from x"):
        analyse(paths, channel="z")
    with pytest.raises(InputError, match="channel must be at most 0; got 1"):
        analyse(paths, channel=1)
    array = paths.read()
    with pytest.raises(InputTypeError, match="channel of given paths must be its position; got 'x'"):
        analyse(array, channel="x")
    with pytest.raises(InputError, match="channel must be at most 0; got 1"):
        analyse(array, channel=1)
    array[17, 3] = np.nan
    with pytest.raises(InputError, match="paths must be finite; path 17 at time step 3, channel 0 is nan; remove it"):
        analyse(array)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda t: nnqm.Paths("oscillator", 10, 8, 0.1), TypeError, "theory must be a Theory; got 'oscillator'"),
        (lambda t: nnqm.Paths(t, 0, 8, 0.1), ValueError, "n_paths must be at least 1; got 0"),
        (lambda t: nnqm.Paths(t, 10), ValueError, "the time grid is missing: give n_times and dt, or times"),
        (lambda t: nnqm.Paths(t, 10, 8, 0.1, rng=1, key=1), ValueError, "give either rng or key, not both"),
        (lambda t: nnqm.Paths(t, 10, 8, 0.1, key=-1), ValueError, "key must be at least 0; got -1"),
        (lambda t: nnqm.Paths(t, 10, 8, 0.1, precision="half"), ValueError, "precision 'half' is unknown"),
        (lambda t: nnqm.Paths(t, 10, 8, 0.1, n_threads=-1), ValueError, "n_threads must be at least 0; got -1"),
        (lambda t: nnqm.Paths(t, 10, 8, 0.1).read(5, 11), ValueError, "some of the 10 paths; got 5 and 11"),
        (lambda t: nnqm.Paths(t, 10, 8, 0.1).read(5, 5), ValueError, "some of the 10 paths; got 5 and 5"),
    ],
)
def test_bad_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call(THEORIES["no network"])
