"""Paths in any form: lists, named axes, doubtful shapes, offsets, closed paths, text files."""

import array
import re
from pathlib import Path

import numpy as np
import pytest
import xarray
from scipy.signal import lfilter

import nnqm
from harness import assert_consistent
from nnqm.errors import InputError, InputTypeError
from nnqm.files.path_file import read_path_file

DT = 0.2
TIMES = DT * np.arange(24)
PLAIN = nnqm.Measure(lags=(0, 1, 3), observable_lags=(), increment_lags=(1,))


def oscillator(n_paths, n_times, rng, dt=DT):
    """Stationary paths of variance 1/2, gaps 1, 2, 3, ..., shape (n_paths, n_times)."""
    noise = np.sqrt(0.5) * np.random.default_rng(rng).normal(size=(n_paths, n_times))
    noise[:, 1:] *= np.sqrt(1 - np.exp(-2 * dt))
    return lfilter([1.0], [1.0, -np.exp(-dt)], noise)


X = oscillator(300, 24, 1)
LONG = oscillator(3, 6000, 2)
WHOLE = nnqm.accumulate(X, DT, measure=PLAIN)


class Exporter:
    """An array behind DLPack alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


def labelled(values, dims, **coords):
    return xarray.DataArray(values, dims=dims, coords=coords)


SAME = {
    "tuple of batches": (X[:100], X[100:]),
    "list of batches": [X[:1], X[1:200], X[200:]],
    "list of batches with channels": [X[:100, :, None], X[100:, :, None]],
    "list of paths": list(X),
    "list of lists": X.tolist(),
    "memory views": [memoryview(row) for row in X],
    "memory view": memoryview(X),
    "objects": X.astype(object),
    "DLPack": [Exporter(X[:100].copy()), Exporter(X[100:].copy())],
    "time, path": labelled(X.T, ("time", "path")),
    "t, sample": labelled(X.T, ("t", "sample"), t=TIMES),
    "single times": labelled(X.T, ("tau", "cfg"), tau=(TIMES + 100).astype(np.float32)),
    "chain, draw": labelled(X.reshape(3, 100, 24), ("chain", "draw", "time")),
    "draw, chain": labelled(X.reshape(3, 100, 24).swapaxes(0, 1), ("draw", "chain", "time")),
    "one more axis": labelled(X[:, None, :], ("replica", "volume", "time")),
    "dataset": xarray.Dataset({"x": (("path", "time"), X)}),
    "no names": xarray.DataArray(X),
    "list of labelled": [labelled(X[:90].T, ("t", "path")), labelled(X[90:], ("path", "t"))],
}


@pytest.mark.parametrize("name", SAME)
def test_every_form_of_the_same_paths_has_the_same_values(name):
    run = nnqm.accumulate(SAME[name], DT, measure=PLAIN)
    assert (run.n_paths, run.n_times, run.channels) == (300, 24, ("x",))
    for quantity in ("moments", "two_point", "connected", "mean"):
        np.testing.assert_allclose(getattr(run, quantity)().value, getattr(WHOLE, quantity)().value, rtol=1e-9)


@pytest.mark.parametrize("order", [("time", "path"), ("t", "config")])
def test_axes_can_be_named(order):
    assert nnqm.accumulate(X.T, DT, axes=order, measure=PLAIN) == WHOLE
    assert nnqm.accumulate(X.T[:, None, :], DT, axes=("t", "channel", "path"), measure=PLAIN) == WHOLE


def test_a_step_comes_from_the_coordinate_of_times():
    assert nnqm.accumulate(labelled(X, ("path", "time"), time=TIMES + 3)).dt == pytest.approx(DT)
    rounded = labelled(X, ("path", "time"), time=np.round(np.arange(24) / 3, 3))
    assert nnqm.accumulate(rounded).dt == pytest.approx(1 / 3, rel=1e-3)


def test_channels_have_the_names_of_their_coordinate():
    both = labelled(np.stack([X, -X]), ("channel", "path", "time"), channel=["q", "p"])
    assert nnqm.accumulate(both, DT, measure=PLAIN).channels == ("q", "p")


def test_trajectories_of_different_lengths_are_cut_into_equal_pieces():
    rows = [LONG[0], LONG[1, :5000], LONG[2, :2400]]
    run = nnqm.accumulate(rows, DT, measure=PLAIN)
    steps = run.n_times
    counts = [len(row) // steps for row in rows]
    assert run.block_paths.sum() <= sum(counts)
    used = np.concatenate([row[: n * steps] for row, n in zip(rows, counts, strict=True)])
    if run.block_paths.sum() == sum(counts):
        np.testing.assert_allclose(run.mean().value, used.mean(), rtol=1e-10)
    assert_consistent(run.moments()[0], 0.5)
    assert run == nnqm.accumulate([row.tolist() for row in rows], DT, measure=PLAIN)


def uneven():
    return np.cumsum(np.random.default_rng(0).uniform(0.1, 0.3, 24))


REFUSED = {
    "two axes of one path": (np.stack(LONG[:2], axis=1), "axes=\\('time', 'channel'\\)"),
    "one column": (LONG[:1].T, "6000 paths of 1 times"),
    "columns of paths": (oscillator(12, 600, 4).T, "successive rows are correlated"),
    "very unequal trajectories": (
        [LONG[0], LONG[1, :20]],
        "20 times in trajectory 1, and 3010 on average; leave it out",
    ),
    "unknown names": (labelled(X, ("lat", "lon")), r"named lat, lon.*rename\(\{'lat': 'time'\}\)"),
    "no time": (labelled(X, ("chain", "draw")), "must be one 'time'"),
    "two times": (labelled(X, ("t", "time")), "must be one 'time'"),
    "uneven": (labelled(X, ("path", "time"), time=uneven()), "not uniform"),
    "descending": (labelled(X, ("path", "time"), time=TIMES[::-1]), "strictly increasing"),
    "double": (labelled(X, ("path", "time"), time=np.repeat(TIMES[:12], 2)), "strictly increasing"),
    "another step": (labelled(X, ("path", "time"), time=2 * TIMES), "dt must be the step of the times.* 0.4; got 0.2"),
    "dates": (labelled(X, ("path", "time"), time=np.arange(24).astype("M8[D]")), "times of paths must be numbers"),
    "several variables": (xarray.Dataset({"x": ("time", X[0]), "p": ("time", X[0])}), "to_dataarray"),
    "dict": ({"x": X, "p": X}, r"numpy.stack\(list\(paths.values\(\)\), axis=-1\) with names=list\(paths\)"),
    "name of a file": ("paths.npy", "load it"),
    "path of a file": (Path("paths.npy"), "load it"),
    "empty": ([], "at least one batch"),
    "masked": ([np.ma.masked_greater(X, 1.0), X], r"paths\[0\] must have no masked entries"),
    "objects": (np.array([["a", None]] * 20, dtype=object), "float64"),
    "other channels": ([X[:, :, None], np.stack([X, X], axis=2)], "equal n_times and channels"),
    "few chunks": ((row for row in LONG), "as an array or a list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_clear_is_refused_with_a_way(name):
    paths, message = REFUSED[name]
    with pytest.raises((InputError, InputTypeError), match=re.compile(message, re.DOTALL)):
        nnqm.accumulate(paths, DT, measure=PLAIN)


@pytest.mark.slow
def test_the_advice_of_a_doubtful_shape_can_be_followed():
    both = np.stack(LONG[:2], axis=1)
    one = nnqm.accumulate(both, DT, axes=("time", "channel"), measure=PLAIN)
    assert one == nnqm.accumulate(both[None], DT, measure=PLAIN)
    assert len(one.channels) == 2
    two = nnqm.accumulate(both, DT, axes=("time", "path"), measure=PLAIN)
    assert two == nnqm.accumulate(both.T, DT, measure=PLAIN)
    short = nnqm.Measure(lags=(0, 1), observable_lags=(), increment_lags=())
    fresh = np.random.default_rng(1).normal(size=(6000, 2))
    many = nnqm.accumulate(fresh, DT, axes=("path", "time"), measure=short)
    assert many == nnqm.accumulate(fresh[:, :, None], DT, measure=short)


@pytest.mark.parametrize("names", [[3], [None], ["a", "b"], [b"x"]])
def test_names_must_be_strings(names):
    with pytest.raises(InputError, match="names must be 1 different strings"):
        nnqm.accumulate(X, DT, names=names)


def test_a_trajectory_of_the_standard_library():
    assert nnqm.accumulate(array.array("d", LONG[0]), DT, measure=PLAIN) == nnqm.accumulate(LONG[0], DT, measure=PLAIN)


# ---- offsets and scales


@pytest.mark.slow
@pytest.mark.parametrize(("offset", "scale"), [(1234567.8, 1.0), (-1e9, 1.0), (50.0, 1.0), (0.0, 1e-12), (0.0, 1e30)])
def test_everything_but_the_mean_is_as_without_an_offset(offset, scale):
    moved = nnqm.accumulate(X * scale + offset, DT)
    plain = nnqm.accumulate(X, DT)
    assert float(moved.mean().value) == pytest.approx(offset + scale * float(plain.mean().value), rel=1e-12)
    precision = max(1e-6, 1e-14 * abs(offset))
    for found, expected, unit in (
        (moved.moments(), plain.moments(), scale ** np.array([2.0, 3.0, 4.0])),
        (moved.connected(), plain.connected(), scale**2),
        (nnqm.commutator_at_lags(moved), nnqm.commutator_at_lags(plain), scale**2),
    ):
        np.testing.assert_allclose(found.value / unit, expected.value, rtol=precision, atol=precision)
        np.testing.assert_allclose(found.error / unit, expected.error, rtol=1e-3)
    levels = [[float(g.value) for g in nnqm.spectrum(r, 3).gaps] for r in (moved, plain)]
    np.testing.assert_allclose(*levels, rtol=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((X + 1234567.8).astype(np.float32), "its type holds steps of .*; subtract the mean"),
        (X + 1e15, "its type holds steps of"),
        (X * 1e160, "float64 does not hold the error of its fourth moment; divide"),
        (X * 1e-160, "float64 does not hold the error of its fourth moment; divide"),
    ],
)
def test_what_the_type_cannot_hold_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        nnqm.accumulate(values, DT)


@pytest.mark.slow
def test_a_first_chunk_that_is_not_typical_does_not_set_the_scale():
    chunks = np.split(oscillator(4000, 24, 5) + 3.0, 20)
    plain = nnqm.accumulate(iter(chunks), DT, independent=True)
    cold = nnqm.accumulate(iter([np.full((200, 24), 9.0), *chunks[1:]]), DT, independent=True)
    np.testing.assert_allclose(cold.observables.scale, plain.observables.scale, rtol=0.1)
    big = np.zeros((50_000, 24))
    with pytest.raises(InputError, match=r"leave out the chunks.*default_observables\(\(\["):
        nnqm.accumulate(iter([big, *(c + 100 for c in chunks)]), DT, independent=True)
    same = np.empty((200, 24))

    def reused():
        for chunk in chunks:
            same[...] = chunk
            yield same

    assert nnqm.accumulate(reused(), DT, independent=True) == plain


# ---- closed paths

STEP, N = 0.5, 16


@pytest.fixture(scope="module")
def lattice():
    """S = sum of (dx)^2/(2a) + a x^2/2 on a circle, exact configurations, and the exact two-point function."""
    spectrum = 1 / ((2 - 2 * np.cos(2 * np.pi * np.arange(N) / N)) / STEP + STEP)
    noise = np.random.default_rng(1).normal(size=(20_000, N))
    return np.fft.ifft(np.fft.fft(noise, axis=1) * np.sqrt(spectrum), axis=1).real, np.fft.ifft(spectrum).real


@pytest.mark.slow
def test_lags_of_closed_paths_wrap(lattice, tmp_path):
    x, exact = lattice
    run = nnqm.accumulate(x, STEP, period=True)
    assert run == nnqm.accumulate(x, STEP, period=N * STEP)
    assert (run.period, run.observable_lags) == (8.0, ())
    two_point = run.two_point()
    np.testing.assert_allclose(two_point.value[1:], two_point.value[:0:-1], rtol=1e-9)
    for k, lag in enumerate(run.lags[:9]):
        np.testing.assert_allclose(two_point.value[k], np.mean(x * np.roll(x, -lag, axis=1)), rtol=1e-10)
    assert_consistent(run.connected()[:9], exact[:9])
    level = nnqm.OneCorrelator(run).plateau().levels[0].gap
    assert_consistent(level, 2 / STEP * np.arcsinh(STEP / 2))
    nnqm.save(run, tmp_path / "closed.nc")
    assert nnqm.load(tmp_path / "closed.nc") == run


@pytest.mark.slow
def test_what_needs_open_paths_says_so(lattice):
    x, _ = lattice
    run = nnqm.accumulate(x[:2000], STEP, period=True)
    for estimator in (nnqm.spectrum, nnqm.effective_energy, nnqm.clustering):
        with pytest.raises(InputError, match="the paths close after 8"):
            estimator(run)
    row = nnqm.analyse(run, paths=x)["reflection positivity"]
    assert "the paths close after 8" in row.reason
    for bad, message in ((7.5, "period must be the number of times, 16, times dt"), (-1, "period must be positive")):
        with pytest.raises(InputError, match=message):
            nnqm.accumulate(x, STEP, period=bad)
    with pytest.raises(InputError, match="cannot be cut along time"):
        nnqm.accumulate(x[:3], STEP, period=True)
    with pytest.raises(InputError, match="the theory is open"):
        nnqm.accumulate(x, STEP, period=True, theory=nnqm.harmonic_oscillator())


# ---- text


TEXTS = {
    "blanks": (lambda f: np.savetxt(f, X), None),
    "commas": (lambda f: np.savetxt(f, X, delimiter=", "), None),
    "header": (lambda f: np.savetxt(f, X, header="two\nlines"), None),
    "names": (lambda f: np.savetxt(f, X, delimiter=",", header=",".join(["a"] * 24), comments=""), None),
    "semicolons": (lambda f: np.savetxt(f, X, delimiter=";"), None),
    "times again": (lambda f: np.savetxt(f, np.stack([np.tile(TIMES, 300), X.ravel()], axis=1)), DT),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("suffix", [".dat", ".npy", ""])
def test_the_content_of_a_file_decides_on_its_format(name, suffix, tmp_path):
    write, step = TEXTS[name]
    write(tmp_path / f"paths{suffix}")
    found = read_path_file(tmp_path / f"paths{suffix}")
    np.testing.assert_allclose(found.paths, X)
    assert found.dt == (None if step is None else pytest.approx(step))


def test_a_first_column_of_times(tmp_path):
    file = tmp_path / "a.txt"
    np.savetxt(file, np.stack([DT * np.arange(6000), LONG[0]], axis=1), fmt="%.8g")
    found = read_path_file(file)
    assert found.dt == pytest.approx(DT)
    np.testing.assert_allclose(found.paths, LONG[:1], rtol=1e-6)
    np.savetxt(file, np.stack([np.arange(6000), LONG[0]], axis=1))
    assert read_path_file(file).dt is None
    np.savetxt(file, np.stack([DT * np.arange(6000), *LONG[:2]], axis=1))
    with pytest.raises(InputError, match="--axes time,channel"):
        read_path_file(file)
    assert read_path_file(file, axes=("time", "channel")).paths.shape == (1, 6000, 2)
    assert read_path_file(file, axes=("time", "path")).paths.shape == (2, 6000, 1)
    np.savetxt(file, np.stack([np.tile(uneven(), 2).reshape(2, -1).cumsum(axis=1).ravel()[:24], X[0]], axis=1))
    with pytest.raises(InputError, match="not uniform"):
        read_path_file(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n1 2\n", "number of columns changed"),
        ("hello world\nfoo bar\n", "could not convert"),
        ("# only\n# comments\n", "holds no numbers"),
        ("a,b\n", "holds no numbers"),
        ("0,1;0,2\n" * 30, "could not convert"),
    ],
)
def test_a_text_without_a_table_is_named(text, message, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_path_file(tmp_path / "a.txt")
