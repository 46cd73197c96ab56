"""Anybody's paths: layouts, types, memory, Markov chains, long trajectories, and what is wrong with them."""

import dataclasses
import os
import re

import numpy as np
import pytest
from scipy.signal import lfilter

import nnqm
from harness import assert_consistent
from interpreter import answer

SUMS = nnqm.Measure(lags=(0, 1, 3), observable_lags=(1,), increment_lags=(1, 2), two_time=True)


def ou(n_paths, n_times, rho, rng):
    """Stationary Gaussian chains of unit variance, <x(0) x(k)> = rho^k, shape (n_paths, n_times)."""
    noise = np.random.default_rng(rng).normal(size=(n_paths, n_times))
    noise[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


@pytest.fixture(scope="module")
def paths():
    return ou(300, 12, 0.8, 1)[:, :, None] * [1.0, 2.0] + [0.0, 0.5]


def every_layout(array):
    padded = np.zeros((array.shape[0] * 2, array.shape[1] + 3, array.shape[2] * 3), array.dtype)
    strided = padded[::2, 1:-2, 1::3]
    strided[...] = array
    yield "strided", strided
    yield "Fortran order", np.asfortranarray(array)
    yield "reversed", np.ascontiguousarray(array[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    yield "transposed", np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0)
    yield "other byte order", array.astype(array.dtype.newbyteorder())
    yield "nested lists", array.tolist()
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read only", read_only


@pytest.mark.slow
def test_layouts_do_not_matter(paths, tmp_path):
    reference = nnqm.accumulate(paths, 0.1, measure=SUMS)
    assert reference.precision == "float64"
    assert reference.block_paths.sum() == 300
    for name, layout in every_layout(paths):
        assert nnqm.accumulate(layout, 0.1, n_threads=3, measure=SUMS) == reference, name
    np.save(tmp_path / "paths.npy", paths)
    mapped = np.load(tmp_path / "paths.npy", mmap_mode="r")
    assert nnqm.accumulate(mapped, 0.1, measure=SUMS) == reference


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int64", "float16", "longdouble", ">f4", ">i4", "bool"])
def test_other_types_are_summed_in_float64(dtype, paths):
    values = np.abs(paths * 10).astype(dtype)
    expected = nnqm.accumulate(values.astype(np.float64), 0.1, measure=SUMS)
    assert nnqm.accumulate(values, 0.1, measure=SUMS) == expected


@pytest.mark.slow
def test_float32_stays_float32(paths):
    single = paths.astype(np.float32)
    run = nnqm.accumulate(single, 0.1, measure=SUMS)
    assert run.precision == "float32"
    for name, layout in every_layout(single):
        if name not in ("nested lists", "other byte order"):
            assert nnqm.accumulate(layout, 0.1, measure=SUMS) == run, name
    double = nnqm.accumulate(single.astype(float), 0.1, measure=SUMS)
    np.testing.assert_allclose(run.two_point().value, double.two_point().value, rtol=1e-5)


def test_sums_are_those_of_numpy(paths):
    run = nnqm.accumulate(paths, 0.1, names=["a", "b"], n_blocks=7, measure=nnqm.Measure(lags=(0, 1, 3), two_time="b"))
    a, b = paths[:, :, 0], paths[:, :, 1]
    for k, lag in enumerate(run.lags):
        end = paths.shape[1] - lag
        np.testing.assert_allclose(run.two_point("a").value[k], np.mean(a[:, :end] * a[:, lag:]), rtol=1e-12)
        both = np.mean(a[:, :end] * b[:, lag:] + b[:, :end] * a[:, lag:]) / 2
        np.testing.assert_allclose(run.two_point("a", "b").value[k], both, rtol=1e-12)
        mean = (b[:, :end].mean() + b[:, lag:].mean()) / 2
        connected = np.mean(b[:, :end] * b[:, lag:]) - mean**2
        np.testing.assert_allclose(run.connected("b").value[k], connected, rtol=1e-10)
    np.testing.assert_allclose(run.mean("b").value, b.mean(), rtol=1e-12)
    central = [np.mean((b - b.mean()) ** n) for n in (2, 3, 4)]
    np.testing.assert_allclose(run.moments("b").value, central, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.two_time_function().value, b.T @ b / len(b), rtol=1e-12)
    # Blocks hold adjacent paths.
    np.testing.assert_array_equal(run.block_paths, np.diff([300 * i // 7 for i in range(8)]))
    means = np.array([part.mean() for part in np.split(b, np.cumsum(run.block_paths)[:-1])])
    scale, shift = run.observables.scale[1], run.observables.shift[1]
    by_block = shift + scale * run.sums["moments"][:, 1, 0] / (run.block_paths * 12)
    np.testing.assert_allclose(by_block, means, rtol=1e-10)


@pytest.mark.slow
def test_chunks_that_are_whole_blocks_give_the_bits_of_the_whole(paths):
    observables = nnqm.accumulate(paths, 0.1, measure=SUMS).observables
    whole = nnqm.accumulate(paths, 0.1, n_blocks=10, measure=dataclasses.replace(SUMS, observables=observables))
    chunks = (paths[first : first + 30] for first in range(0, 300, 30))
    assert nnqm.accumulate(chunks, 0.1, n_blocks=1, measure=dataclasses.replace(SUMS, observables=observables)) == whole
    larger = (paths[first : first + 150] for first in (0, 150))
    assert nnqm.accumulate(larger, 0.1, n_blocks=5, measure=dataclasses.replace(SUMS, observables=observables)) == whole
    measure = dataclasses.replace(SUMS, observables=observables)
    parts = [
        nnqm.accumulate(paths[first : first + 150], 0.1, n_blocks=5, measure=measure, independent=True)
        for first in (0, 150)
    ]
    assert nnqm.merge(parts) == nnqm.accumulate(paths, 0.1, n_blocks=10, measure=measure, independent=True)


@pytest.mark.slow
def test_shapes_with_fewer_axes(paths):
    one = paths[:, :, 0]
    assert nnqm.accumulate(one, 0.1, measure=SUMS) == nnqm.accumulate(one[:, :, None], 0.1, measure=SUMS)
    long = ou(1, 30_000, 0.5, 2)
    assert nnqm.accumulate(long[0], 0.1) == nnqm.accumulate(long[:, :, None], 0.1)


def test_paths_of_a_theory_have_its_channels_and_constants():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(2.0, 0.5), hbar=2.0, mass=3.0)
    y = nnqm.sample_paths(theory, 5000, 10, 0.1, rng=1)
    run = nnqm.accumulate(y, 0.1, theory=theory, measure=SUMS)
    assert (run.theory, run.hbar, run.mass, run.keys) == (theory, 2.0, 3.0, ())
    exact = 0.0625 * np.exp(-2 * 0.1 * np.array(run.lags))
    assert_consistent(run.two_point(), exact)


# ---- correlated paths and long trajectories


@pytest.mark.slow
def test_the_autocorrelation_time_of_a_gaussian_chain():
    for rho in (0.0, 0.5, 0.9, 0.99):
        x = ou(1, 400_000, rho, 3)[0]
        # 1/2 + sum rho^k
        found = nnqm.autocorrelation_time(x)
        assert abs(found.pull(0.5 + rho / (1 - rho))) < 4
        assert float(found.error) < 0.15 * float(found.value)


def test_many_independent_paths_keep_128_blocks():
    run = nnqm.accumulate(ou(5000, 16, 0.9, 4), 0.1, measure=nnqm.Measure(lags=(0, 1, 5), observable_lags=()))
    assert run.n_blocks == 128
    (note,) = run.notes
    assert re.fullmatch(
        r"autocorrelation time of successive paths: 0.5\d*\(\d+\) paths, as independent ones have", note
    )
    assert_consistent(run.two_point(), 0.9 ** np.array(run.lags))


@pytest.mark.slow
def test_a_markov_chain_of_paths_gets_fewer_blocks_and_says_so():
    # Successive paths share 98% of their mean.
    slow = ou(1, 8000, 0.98, 5)[0]
    x = slow[:, None] + 0.1 * np.random.default_rng(6).normal(size=(8000, 8))
    run = nnqm.accumulate(x, 0.1, measure=nnqm.Measure(lags=(0, 1), observable_lags=()))
    tau = 0.5 + 0.98 / 0.02
    # Blocks of at least four times: their scatter is too small by the factor of the Gamma method.
    assert 8 <= run.n_blocks <= 8000 / (4 * tau)
    assert "Gamma method" in run.notes[0]
    assert any("autocorrelation time" in note and "paths" in note for note in run.notes)
    assert_consistent(run.mean(), 0.0)
    with pytest.raises(ValueError, match=r"n_blocks.*autocorrelation time.*use n_blocks=\d+ or fewer"):
        nnqm.accumulate(x, 0.1, n_blocks=64)
    with pytest.raises(ValueError, match=r"autocorrelation time.*more or longer paths"):
        nnqm.accumulate(x[:1000], 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_paths", [1, 3, 10])
def test_long_trajectories_are_cut_along_time(n_paths, dtype):
    rho = 0.95
    n_times = 400_000 // n_paths
    x = (0.3 + ou(n_paths, n_times, rho, 7)).astype(dtype)
    run = nnqm.accumulate(x, 0.05, measure=nnqm.Measure(lags=(0, 1, 2, 5, 10, 20)))
    assert run.n_blocks == 128 // n_paths * n_paths
    assert f"{128 // n_paths} x" in run.notes[1]
    assert run.dt == pytest.approx(0.05)
    # The pieces cover each trajectory but for a remainder.
    used = run.block_paths.sum() * run.n_times
    assert 0.98 * x.size < used <= x.size
    assert_consistent(run.mean(), 0.3)
    assert_consistent(run.connected(), rho ** np.array(run.lags))
    assert_consistent(run.moments()[:2], [1.0, 0.0])
    error = float(run.mean().error)
    assert error == pytest.approx(np.sqrt(2 * (0.5 + rho / (1 - rho)) / x.size), rel=0.3)


@pytest.mark.slow
def test_a_trajectory_is_cut_in_order():
    # A ramp of blocks: the mean of block b is b.
    x = np.repeat(np.arange(16.0), 2000) + np.random.default_rng(8).normal(size=32_000) * 1e-3
    observables = nnqm.default_observables(([0.0], [1.0], ["x"]))
    both = np.stack([x, 100 + x])
    run = nnqm.accumulate(both, 1.0, n_blocks=2, measure=nnqm.Measure(observables=observables))
    np.testing.assert_allclose(run.sums["moments"][:, 0, 0] / (run.block_paths * run.n_times), [7.5, 107.5], atol=0.01)
    noise = np.random.default_rng(9).normal(size=32_000)
    run = nnqm.accumulate(noise, 1.0, n_blocks=16, measure=nnqm.Measure(observables=observables, lags=(0, 3)))
    by_hand = noise[: 16 * (len(noise) // 16)].reshape(16, -1)
    if by_hand.shape[1] == run.block_paths[0] * run.n_times:
        means = run.sums["moments"][:, 0, 0] / (run.block_paths * run.n_times)
        np.testing.assert_allclose(means, by_hand.mean(axis=1), atol=1e-12)
    else:
        pytest.fail(f"blocks of {run.block_paths[0]} x {run.n_times} steps")


@pytest.mark.slow
def test_a_slow_trajectory_gets_fewer_blocks_and_says_so():
    x = ou(1, 100_000, 0.99, 10)[0]
    run = nnqm.accumulate(x, 1.0, measure=nnqm.Measure(lags=(0, 1), observable_lags=()))
    tau = 0.5 + 0.99 / 0.01
    assert 8 <= run.n_blocks <= 100_000 / (20 * tau) * 1.4
    assert "autocorrelation time" in run.notes[0]
    assert "time steps" in run.notes[0]
    assert_consistent(run.mean(), 0.0)
    with pytest.raises(ValueError, match=r"n_blocks.*autocorrelation time.*use n_blocks=\d+ or fewer"):
        nnqm.accumulate(x, 1.0, n_blocks=100)
    with pytest.raises(ValueError, match=r"autocorrelation time.*more or longer paths"):
        nnqm.accumulate(x[:2000], 1.0)


@pytest.mark.slow
def test_a_slow_square_is_seen():
    # A process whose sign is white noise but whose size is slow: its values alone would pass.
    size = np.exp(ou(1, 100_000, 0.995, 11)[0])
    x = size * np.random.default_rng(12).choice([-1.0, 1.0], size.size)
    assert float(nnqm.autocorrelation_time(x).value) < 1
    run = nnqm.accumulate(x, 1.0, measure=nnqm.Measure(lags=(0, 1), observable_lags=()))
    assert run.n_blocks < 60


@pytest.mark.slow
def test_independent_trajectories_are_blocks_however_short():
    # Ten chains of 50 autocorrelation times: two blocks each; of 10: one each.
    for n_times, n_blocks in [(5000, (10, 40)), (1000, (10, 10))]:
        run = nnqm.accumulate(ou(10, n_times, 0.99, 13), 1.0, measure=nnqm.Measure(lags=(0, 1), observable_lags=()))
        assert n_blocks[0] <= run.n_blocks <= n_blocks[1]
        assert run.n_blocks % 10 == 0
        assert_consistent(run.mean(), 0.0)


def test_long_paths_of_many_are_cut_too():
    x = ou(20, 20_000, 0.9, 14)
    run = nnqm.accumulate(x, 1.0, measure=nnqm.Measure(lags=(0, 1), observable_lags=()))
    assert run.n_blocks == 20
    assert run.n_times < 20_000
    assert run.connected().value[1] == pytest.approx(0.9, abs=0.02)


# ---- memory

MEMORY = """
import sys
import numpy as np
import nnqm

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

def fill(array):
    rng = np.random.default_rng(1)
    for begin in range(0, len(array), 4096):
        part = array[begin : begin + 4096]
        part[...] = 100 * rng.random(part.shape, dtype=np.float32)

kind, dtype, shape = sys.argv[1], sys.argv[2], tuple(map(int, sys.argv[3].split("x")))
if kind == "C":
    paths = np.empty(shape, dtype)
elif kind == "F":
    paths = np.empty(shape, dtype, order="F")
elif kind == "strided":
    paths = np.empty((*shape, 2), dtype)[..., 1]
else:
    paths = np.lib.format.open_memmap(sys.argv[4], "w+", dtype, shape)
if len(shape) == 1:
    fill(paths.reshape(-1, 1))
else:
    fill(paths)
if kind == "mapped":
    paths.flush()
    del paths
    paths = np.load(sys.argv[4], mmap_mode="r")
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")
before = status("VmHWM")
measure = nnqm.Measure(lags=(0, 1), observable_lags=(1,), increment_lags=(1,))
run = nnqm.accumulate(paths, 0.1, n_threads=2, measure=measure)
# Pages of a mapped file count once they have been read.
print(status("VmHWM") - before - (paths.nbytes / 2**20 if kind == "mapped" else 0), run.n_blocks)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="measures memory by Linux's /proc")
@pytest.mark.parametrize(
    ("kind", "dtype", "shape"),
    [
        ("C", "float64", "8000x3000"),
        ("C", "float32", "3000000x8"),
        ("C", "int16", "4000000x8"),
        ("F", "float64", "20000x1000"),
        ("strided", "float32", "20000x1000"),
        ("mapped", "float64", "20000x1000"),
        ("C", "int16", "40000000"),
        ("C", "float64", "15000000"),
        ("C", "float16", "100x200000"),
    ],
)
def test_memory_above_the_input_stays_below_100_megabytes(kind, dtype, shape, tmp_path):
    above, blocks = answer(MEMORY, kind, dtype, shape, tmp_path / "paths.npy").split()
    assert float(above) < 100
    assert int(blocks) >= 100


# ---- bad input


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("path", "step", "channel"), [(0, 0, 0), (299, 11, 1), (130, 5, 1)])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_a_value_that_is_not_finite_is_named_by_path_and_time(value, path, step, channel, precision, paths):
    spoilt = paths.astype(precision)
    spoilt[path, step, channel] = value
    message = re.escape(f"path {path} at time step {step}, channel {channel} is {value}")
    with pytest.raises(ValueError, match=message):
        nnqm.accumulate(spoilt, 0.1)
    # Where the standardisation does not look at it either.
    observables = nnqm.accumulate(paths, 0.1).observables
    with pytest.raises(ValueError, match=message):
        nnqm.accumulate(spoilt, 0.1, measure=nnqm.Measure(observables=observables))
    with pytest.raises(ValueError, match=message):
        nnqm.accumulate(np.split(spoilt, 3).__iter__(), 0.1, n_blocks=4, measure=nnqm.Measure(observables=observables))


@pytest.mark.parametrize(("n_paths", "n_times"), [(1, 100_000), (3, 30_000), (20, 20_000)])
@pytest.mark.parametrize("where", [0.0, 0.37, 0.98])
def test_a_value_that_is_not_finite_in_a_trajectory(n_paths, n_times, where):
    x = ou(n_paths, n_times, 0.5, 15)
    path, step = n_paths - 1, int(where * n_times)
    x[path, step] = np.nan
    with pytest.raises(ValueError, match=f"path {path} at time step {step}, channel 0 is nan"):
        nnqm.accumulate(x, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("n_blocks", [2, 128])
def test_what_is_converted_piece_by_piece_is_none_the_worse(n_blocks):
    # Larger than what is converted at once, and so is each of two blocks.
    single = np.random.default_rng(16).normal(size=(50_000, 100)).astype(np.float16)
    measure = nnqm.Measure(lags=(0, 1), observable_lags=(), increment_lags=())
    run = nnqm.accumulate(single.astype(np.float64), 0.1, n_blocks=n_blocks, measure=measure)
    assert nnqm.accumulate(single, 0.1, n_blocks=n_blocks, measure=measure) == run
    single[44_444, 7] = np.nan
    with pytest.raises(ValueError, match="path 44444 at time step 7, channel 0 is nan"):
        nnqm.accumulate(
            single, 0.1, n_blocks=n_blocks, measure=dataclasses.replace(measure, observables=run.observables)
        )


def test_the_first_of_several_bad_values_is_named(paths):
    spoilt = paths.copy()
    spoilt[250, 3, 0] = spoilt[40, 7, 1] = spoilt[40, 9, 0] = np.nan
    with pytest.raises(ValueError, match="path 40 at time step 7, channel 1"):
        nnqm.accumulate(spoilt, 0.1)


def unequal():
    yield np.zeros((10, 6))
    yield np.zeros((10, 5))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "paths must be real.*complex128.*real part", lambda p: nnqm.accumulate(p + 1j)),
        (TypeError, "paths must be real.*dtype", lambda p: nnqm.accumulate(np.array(["a", "b"]))),
        (TypeError, "paths must be real.*dtype object", lambda p: nnqm.accumulate(np.array([None, 1.0]))),
        (ValueError, r"paths must have shape.*got \(2, 2, 2, 2\)", lambda p: nnqm.accumulate(np.zeros((2, 2, 2, 2)))),
        (ValueError, r"paths must have shape.*got \(0, 5, 1\)", lambda p: nnqm.accumulate(np.zeros((0, 5)))),
        (ValueError, r"paths must have shape.*got \(\)", lambda p: nnqm.accumulate(np.float64(1))),
        (ValueError, "dt must be positive.*-0.1", lambda p: nnqm.accumulate(p, -0.1)),
        (ValueError, "dt must be finite", lambda p: nnqm.accumulate(p, np.nan)),
        (ValueError, "mass must be positive", lambda p: nnqm.accumulate(p, 0.1, mass=0)),
        (ValueError, "hbar must be positive", lambda p: nnqm.accumulate(p, 0.1, hbar=-1)),
        (ValueError, "n_blocks must be at least 1", lambda p: nnqm.accumulate(p, 0.1, n_blocks=0)),
        (TypeError, "n_blocks must be an integer", lambda p: nnqm.accumulate(p, 0.1, n_blocks=2.5)),
        (ValueError, "n_threads must be at least 0", lambda p: nnqm.accumulate(p, 0.1, n_threads=-1)),
        (ValueError, "at least 2 blocks.*more paths", lambda p: nnqm.accumulate(p, 0.1, n_blocks=1)),
        (
            ValueError,
            "lags must be below n_times; got lag 12",
            lambda p: nnqm.accumulate(p, 0.1, measure=nnqm.Measure(lags=(0, 12))),
        ),
        (
            ValueError,
            r"lags\[0\] must be at least 0",
            lambda p: nnqm.accumulate(p, 0.1, measure=nnqm.Measure(lags=(-1,))),
        ),
        (ValueError, "lags must be distinct", lambda p: nnqm.accumulate(p, 0.1, measure=nnqm.Measure(lags=(1, 1)))),
        (
            ValueError,
            r"increment_lags\[0\] must be at least 1",
            lambda p: nnqm.accumulate(p, 0.1, measure=nnqm.Measure(increment_lags=(0,))),
        ),
        (ValueError, "names must be 2 different strings", lambda p: nnqm.accumulate(p, 0.1, names=["a"])),
        (ValueError, "names must be 2 different strings", lambda p: nnqm.accumulate(p, 0.1, names=["a", "a"])),
        (
            ValueError,
            "channel 'y' is unknown; choose from x1, x2",
            lambda p: nnqm.accumulate(p, 0.1, measure=nnqm.Measure(two_time="y")),
        ),
        (ValueError, "channel must be at most 1", lambda p: nnqm.accumulate(p, 0.1, measure=nnqm.Measure(two_time=2))),
        (
            ValueError,
            "paths have 2 channels, but the theory has 1",
            lambda p: nnqm.accumulate(p, 0.1, theory=nnqm.harmonic_oscillator()),
        ),
        (
            ValueError,
            "paths have 1 channels, but the observables need 2",
            lambda p: nnqm.accumulate(
                p[:, :, 0], 0.1, measure=nnqm.Measure(observables=nnqm.accumulate(p, 0.1).observables)
            ),
        ),
        (ValueError, "paths must have at least one chunk", lambda p: nnqm.accumulate(iter([]), 0.1)),
        (
            ValueError,
            "chunks must have equal n_times and channels; got \\(5, 1\\) in piece 1 after \\(6, 1\\)",
            lambda p: nnqm.accumulate(unequal(), 0.1, measure=SUMS),
        ),
        (
            ValueError,
            r"lags must be below .*got lag 99.*longer paths",
            lambda p: nnqm.accumulate(
                np.random.default_rng(0).normal(size=(1, 3000)), 0.1, measure=nnqm.Measure(lags=(99,))
            ),
        ),
    ],
)
def test_bad_input_is_named(error, message, call, paths):
    with pytest.raises(error, match=message):
        call(paths)


def test_a_constant_channel_is_no_error():
    run = nnqm.accumulate(np.full((200, 8), 3.0), 0.1)
    assert float(run.mean().value) == 3.0
    assert np.all(run.two_point().value == 9.0)
    with np.errstate(invalid="ignore"):
        assert np.all(run.connected().value == 0.0)
