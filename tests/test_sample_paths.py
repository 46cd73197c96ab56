"""The stages give the bits of the fused route, and a path is the same wherever and however it is computed."""

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnqm
from nnqm.testing import networks

TILE = nnqm._core.tile_paths


def staged(theory, run, n_threads):
    """The sums of a run, made from arrays: one chunk of paths per block, which holds tiles b, b + n_blocks, ..."""
    y = nnqm.sample_paths(
        theory,
        run.n_paths,
        times=run.times,
        key=run.keys[0],
        channels=theory.channels[: theory.n_inputs],
        precision=run.precision,
        n_threads=n_threads,
    )
    paths = y
    if theory.network is not None:
        paths = np.concatenate([y, nnqm.apply(theory.network, y, n_threads=n_threads)], axis=2)
    assert paths.dtype == run.precision
    tiles = [paths[first : first + TILE] for first in range(0, run.n_paths, TILE)]
    blocks = (np.concatenate(tiles[b :: run.n_blocks]) for b in range(run.n_blocks))
    return nnqm.accumulate(
        blocks,
        run.dt,
        theory=theory,
        n_blocks=1,
        n_threads=n_threads,
        measure=nnqm.Measure(
            observables=run.observables,
            lags=run.lags,
            observable_lags=run.observable_lags,
            increment_lags=run.increment_lags,
            two_time=False if run.two_time is None else run.two_time,
        ),
    )


@st.composite
def theories(draw):
    positive = st.floats(0.05, 20.0)
    groups = draw(st.sampled_from([(1,), (2,), (1, 1), (3,), (2, 1), (4,), (1, 2, 1)]))
    sources = [
        nnqm.OrnsteinUhlenbeck([draw(positive) for _ in range(n)], [draw(positive) for _ in range(n)]) for n in groups
    ]
    network = draw(networks(n_inputs=sum(groups), max_width=9)) if draw(st.booleans()) else None
    return nnqm.Theory(sources, network)


@st.composite
def runs(draw):
    theory = draw(theories())
    n_times = draw(st.integers(2, 40))
    n_paths = draw(st.integers(TILE + 1, 10 * TILE))
    lags = st.lists(st.integers(0, n_times - 1), unique=True, max_size=4)
    observables = nnqm.default_observables(theory, order=draw(st.integers(1, 6)), neurons=draw(st.integers(0, 5)))
    return theory, nnqm.simulate(
        theory,
        n_paths,
        n_times,
        draw(st.floats(1e-3, 3.0)),
        rng=draw(st.integers(0, 2**64)),
        precision=draw(st.sampled_from(["float32", "float64"])),
        n_threads=draw(st.integers(1, 3)),
        n_blocks=draw(st.integers(2, -(-n_paths // TILE))),
        measure=nnqm.Measure(
            observables=observables,
            lags=draw(lags),
            observable_lags=draw(lags),
            increment_lags=[k for k in draw(lags) if k > 0],
            two_time=draw(st.sampled_from([False, *range(len(theory.channels))])),
        ),
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(runs(), st.integers(1, 3))
def test_the_stages_give_the_bits_of_the_fused_route(drawn, n_threads):
    theory, run = drawn
    by_stages = staged(theory, run, n_threads)
    assert by_stages.sums.keys() == run.sums.keys()
    for name, array in run.sums.items():
        np.testing.assert_array_equal(by_stages.sums[name], array, err_msg=name)
    assert by_stages.n_paths == run.n_paths
    assert by_stages.observables == run.observables


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_path_does_not_depend_on_number_range_or_batch(precision):
    theory = nnqm.builtin_theory("three-inputs")
    inputs = ("y1", "y2", "y3")

    def sample(paths, **more):
        return nnqm.sample_paths(theory, paths, 11, 0.3, rng=7, precision=precision, channels=inputs, **more)

    y = sample(200)
    assert y.dtype == precision
    assert y.shape == (200, 11, 3)
    assert np.unique(y[:, 0]).size == y[:, 0].size, "paths are copies of each other"
    np.testing.assert_array_equal(sample(130), y[:130])
    np.testing.assert_array_equal(sample(200, n_threads=3), y)
    x = nnqm.apply(theory.network, y)
    for begin, end in [(0, 1), (1, 2), (63, 66), (64, 128), (5, 199)]:
        np.testing.assert_array_equal(sample(range(begin, end)), y[begin:end])
        np.testing.assert_array_equal(nnqm.apply(theory.network, y[begin:end]), x[begin:end])
    np.testing.assert_array_equal(nnqm.apply(theory.network, y[::-1])[::-1], x)
    np.testing.assert_array_equal(nnqm.apply(theory.network, np.asfortranarray(y), n_threads=3), x)


@pytest.mark.parametrize("channels", [("y1", "y2", "y3"), ("x", "y2", "y1")])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_paths_are_written_where_one_says(precision, channels):
    theory = nnqm.builtin_theory("three-inputs")
    options = {"rng": 7, "precision": precision, "channels": channels}
    out = np.full((70, 5, 3), np.nan, precision)
    assert nnqm.sample_paths(theory, 70, 5, 0.3, **options, out=out) is out
    np.testing.assert_array_equal(out, nnqm.sample_paths(theory, 70, 5, 0.3, **options))
    part = np.zeros((90, 5, 3), precision)
    nnqm.sample_paths(theory, range(10, 70), 5, 0.3, **options, out=part[20:80])
    np.testing.assert_array_equal(part[20:80], out[10:])
    assert not part[:20].any()
    assert not part[80:].any()


def test_places_that_do_not_fit_are_refused():
    theory = nnqm.builtin_theory("three-inputs")
    good = np.zeros((70, 5, 3), np.float32)
    frozen = good.copy()
    frozen.flags.writeable = False
    shifted = np.frombuffer(bytearray(good.nbytes + 1), np.uint8)[1:].view(np.float32).reshape(good.shape)
    for bad, message in [
        (good.tolist(), "out must be an array of NumPy; got list"),
        (good[:69], r"out must have shape \(70, 5, 3\) and dtype float32; got shape \(69, 5, 3\)"),
        (good.astype(np.float64), "got shape .* and dtype float64"),
        (np.asfortranarray(good), "C-contiguous"),
        (good[:, :, ::-1], "C-contiguous"),
        (frozen, "writable"),
        (shifted, "aligned"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            nnqm.sample_paths(theory, 70, 5, 0.3, rng=7, channels=("y1", "y2", "y3"), out=bad)
    assert not good.any()
    arguments = {"theory": theory._compiled(np.arange(5.0)), "key": 1, "times": np.arange(5.0), "paths": (0, 70)}
    for bad in (good[:69], frozen, shifted, np.asfortranarray(good), good.astype(">f4"), good.astype(int)):
        with pytest.raises((TypeError, ValueError), match="out "):
            nnqm._core.sample(**arguments, n_threads=1, out=bad)


def test_a_far_path_is_a_path_like_any_other():
    theory = nnqm.harmonic_oscillator()
    first = 2**40 + 13
    y = nnqm.sample_paths(theory, range(first, first + 100), 5, 0.1, rng=1)
    assert np.unique(y).size == y.size
    assert abs(y.std() - np.sqrt(0.5)) < 0.2
    # The high word of the index matters.
    assert not np.isin(y, nnqm.sample_paths(theory, range(13, 113), 5, 0.1, rng=1)).any()


def test_a_shorter_grid_is_the_beginning_of_a_longer_one():
    theory = nnqm.harmonic_oscillator()
    long = nnqm.sample_paths(theory, 10, times=[0, 0.25, 0.5, 0.75, 1.0], rng=1)
    np.testing.assert_array_equal(nnqm.sample_paths(theory, 10, 3, 0.25, rng=1), long[:, :3])


def test_random_number_arguments_follow_numpy():
    theory = nnqm.harmonic_oscillator()

    def sample(rng):
        return nnqm.sample_paths(theory, 3, 4, 0.1, rng=rng)

    np.testing.assert_array_equal(sample(5), sample(np.random.SeedSequence(5)))
    np.testing.assert_array_equal(sample(np.random.default_rng(5)), sample(np.random.default_rng(5)))
    generator = np.random.default_rng(5)
    assert not np.array_equal(sample(generator), sample(generator)), "a generator moves on"
    assert not np.array_equal(sample(None), sample(None)), "None is fresh entropy"
    assert not np.array_equal(sample(5), sample(6))
    run = nnqm.simulate(theory, 64, 4, 0.1, rng=5)
    np.testing.assert_array_equal(nnqm.sample_paths(theory, 3, 4, 0.1, key=run.keys[0]), sample(5))


def test_apply_without_a_network_is_the_identity():
    y = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.testing.assert_array_equal(nnqm.apply(None, y), y)


# ---- channels


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "theory",
    [
        nnqm.harmonic_oscillator(),
        nnqm.builtin_theory("three-inputs"),
        nnqm.builtin_theory("deep-tanh"),
        nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 4, 2), "tanh", group=8)),
    ],
    ids=["no network", "three inputs", "a table", "random weights"],
)
def test_paths_are_those_of_the_theory(theory, precision, monkeypatch):
    options = {"rng": 3, "precision": precision}
    inputs = theory.channels[: theory.n_inputs]
    y = nnqm.sample_paths(theory, 300, 7, 0.2, **options, channels=inputs)
    x = nnqm.sample_paths(theory, 300, 7, 0.2, **options)
    assert x.shape == (300, 7, theory.n_outputs)
    np.testing.assert_array_equal(x, nnqm.apply(theory.network, y, rng=3))
    everything = nnqm.sample_paths(theory, 300, 7, 0.2, **options, channels=theory.channels)
    np.testing.assert_array_equal(everything[:, :, -theory.n_outputs :], x)
    np.testing.assert_array_equal(everything[:, :, : theory.n_inputs], y)
    for name in theory.channels:
        one = nnqm.sample_paths(theory, 300, 7, 0.2, **options, channels=name)
        np.testing.assert_array_equal(one[:, :, 0], everything[:, :, theory.channels.index(name)])
    # Whatever part of the paths is drawn, and however many at once.
    monkeypatch.setattr(sys.modules["nnqm.sampling.paths"], "_CHUNK", 1)
    part = nnqm.sample_paths(theory, range(37, 250), 7, 0.2, **options, channels=theory.channels[::-1])
    np.testing.assert_array_equal(part, everything[37:250, :, ::-1])


def test_the_mean_of_paths_is_that_of_the_run():
    # The inputs have mean 0; negative control of paths that are the inputs in place of the outputs.
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], [[0.0], [5.0]]))
    x = nnqm.sample_paths(theory, 2000, 8, 0.2, rng=1)
    run = nnqm.simulate(theory, 2000, 8, 0.2, rng=1)
    assert float(run.mean()) == pytest.approx(x.mean(), rel=1e-5)
    assert float(run.mean()) > 4


@pytest.mark.parametrize(
    ("channels", "message"),
    [("z", "'z'"), (("x", "y9"), "'y9'"), ((), "at least one name"), (0, "must be names"), ((0,), "must be names")],
)
def test_channels_that_do_not_exist(channels, message):
    with pytest.raises((ValueError, TypeError), match=message):
        nnqm.sample_paths(nnqm.builtin_theory("three-inputs"), 10, 4, 0.1, rng=1, channels=channels)
