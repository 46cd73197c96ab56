"""Several files and folders of paths, by the package and by the command line."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray
from scipy.signal import lfilter

import nnqm
from nnqm import cli
from nnqm.cli import main
from nnqm.errors import InputError, InputTypeError
from nnqm.files import path_files
from nnqm.report.table import Report

PLAIN = nnqm.Measure(lags=(0, 1, 2, 5), observable_lags=(), increment_lags=(1,))


def ou(n_paths, n_times, rho, rng):
    """Stationary Gaussian chains of unit variance, <x(0) x(k)> = rho^k, shape (n_paths, n_times)."""
    noise = np.random.default_rng(rng).normal(size=(n_paths, n_times))
    noise[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


X = ou(480, 24, 0.8, 1)


def write_npy(name, x):
    np.save(f"{name}.npy", x)


def write_npz(name, x):
    np.savez(f"{name}.npz", q=x)


def write_netcdf(name, x):
    data = xarray.DataArray(x, dims=("path", "time"), coords={"time": 0.1 * np.arange(x.shape[1])}, name="q")
    data.to_netcdf(f"{name}.nc", engine="h5netcdf")


def write_text(name, x):
    np.savetxt(f"{name}.txt", x)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    return Path("data")


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_npy, write_npz, write_netcdf, write_text])
def test_a_folder_is_read_in_natural_order(write, folder):
    parts = np.split(X, 12)
    for i in np.random.default_rng(2).permutation(12):
        write(folder / f"conf_{i}", parts[i])
    (folder / "README.md").write_text("no paths")
    (folder / ".hidden.npy").write_text("no paths")
    files = nnqm.PathFiles(folder)
    assert [p.stem for p in files.files] == [f"conf_{i}" for i in range(12)]
    assert files.n_paths == 480
    assert (files.dt is not None) == (write is write_netcdf)
    run = nnqm.accumulate(files, 0.1, measure=PLAIN)
    np.testing.assert_allclose(run.sums["lags"], nnqm.accumulate([X], 0.1, measure=PLAIN).sums["lags"], rtol=1e-12)
    np.testing.assert_allclose(files.first()[:, :, 0], X, rtol=1e-15)


@pytest.mark.slow
def test_large_arrays_come_in_parts_and_small_ones_together(folder, monkeypatch):
    for i, part in enumerate(np.split(X, 4)):
        write_netcdf(folder / f"a{i}", part)
        write_npy(folder / f"b{i}", part)
    chunks = [len(b) for given in nnqm.PathFiles(folder).given() for b in given.batches]
    assert chunks == [960]
    monkeypatch.setattr(path_files, "_IN_PARTS", 1)
    monkeypatch.setattr(path_files, "_LARGE", 64 * X[0].nbytes)
    monkeypatch.setattr(path_files, "_SMALL", 1)
    files = nnqm.PathFiles(folder, axes=None)
    chunks = [len(b) for given in files.given() for b in given.batches]
    assert chunks == [64, 56] * 8
    run = nnqm.accumulate(files, measure=PLAIN)
    assert run.n_paths == 960
    np.testing.assert_allclose(run.mean().value, X.mean(), rtol=1e-10)


@pytest.mark.slow
def test_a_few_trajectories_and_unequal_ones(folder):
    rows = [ou(1, n, 0.9, n)[0] for n in (20_000, 15_000, 9000)]
    for i, row in enumerate(rows):
        np.save(folder / f"run{i}.npy", row)
    run = nnqm.accumulate(nnqm.PathFiles(folder), 0.1, measure=PLAIN)
    assert run == nnqm.accumulate(rows, 0.1, measure=PLAIN)
    many = [ou(1, 300 + i, 0.5, i)[0] for i in range(40)]
    names = []
    for i, row in enumerate(many):
        names.append(f"t{i}.txt")
        np.savetxt(names[-1], row)
    run = nnqm.accumulate(nnqm.PathFiles(names), 0.1, measure=PLAIN)
    assert run == nnqm.accumulate([np.loadtxt(name) for name in names], 0.1, measure=PLAIN)


def test_each_file_may_be_a_replica(folder):
    for name, part in zip(("cold", "hot"), np.split(X, 2), strict=True):
        write_npy(folder / name, part)
    run = nnqm.accumulate(nnqm.PathFiles(folder, replicas=True), 0.1, measure=PLAIN)
    assert run.replicas == (("cold", 64), ("hot", 64))
    np.testing.assert_allclose(run.replica("hot").mean().value, X[240:].mean(), rtol=1e-9, atol=1e-12)


def test_weights_beside_the_paths_and_in_a_file(folder):
    w = np.random.default_rng(3).uniform(0.2, 2, 480)
    for i in range(4):
        part = slice(120 * i, 120 * i + 120)
        np.savez(folder / f"c{i}.npz", q=X[part], w=w[part])
    expected = nnqm.accumulate(X, 0.1, weights=w, measure=PLAIN)
    beside = nnqm.accumulate(nnqm.PathFiles(folder, array="q", weights="w"), 0.1, measure=PLAIN)
    given = nnqm.accumulate(nnqm.PathFiles(folder, array="q", weights=w), 0.1, measure=PLAIN)
    assert beside == given
    np.testing.assert_allclose(given.two_point().value, expected.two_point().value, rtol=1e-12)
    assert given.effective_sample_size == pytest.approx(expected.effective_sample_size)


def test_arrays_of_an_npz_may_be_the_configurations():
    np.savez("all.npz", times=np.arange(3), **{f"conf_{i}": X[20 * i : 20 * i + 20] for i in range(24)})
    run = nnqm.accumulate(nnqm.PathFiles("all.npz", array="conf_*"), 0.1, measure=PLAIN)
    np.testing.assert_allclose(run.sums["lags"], nnqm.accumulate([X], 0.1, measure=PLAIN).sums["lags"], rtol=1e-12)


def bad_value(folder):
    parts = np.split(X.copy(), 12)
    parts[7][3, 5] = np.nan
    for i, part in enumerate(parts):
        write_npy(folder / f"c{i}", part)


def mixed(folder, second, write=write_npy):
    write_npy(folder / "a", X)
    write(folder / "b", second)


def two_steps(folder):
    write_netcdf(folder / "a", X)
    values = xarray.DataArray(X, dims=("path", "time"), coords={"time": 0.2 * np.arange(24)})
    values.to_netcdf(folder / "b.nc", engine="h5netcdf")


def results(folder):
    write_npy(folder / "a", X)
    nnqm.save(nnqm.accumulate(X, 0.1, measure=PLAIN), folder / "b.nc")


BAD = {
    "none": (lambda d: None, "folder data holds no files of paths"),
    "a value": (bad_value, "c7.npy: paths must be finite; path 3 at time step 5"),
    "channels": (lambda d: mixed(d, np.ones((4, 24, 2))), "equal channels; got 2 in data/b.npy and 1 in data/a.npy"),
    "complex": (lambda d: mixed(d, 1j * X), "file data/b.npy: paths must be real"),
    "steps": (two_steps, "same dt; got 0.2 in data/b.nc and 0.1 in data/a.nc"),
    "damaged": (lambda d: mixed(d, X) or (d / "b.npy").write_bytes(b"\x93NUMPY"), "file data/b.npy cannot be read"),
    "results": (results, "file data/b.nc contains results of nnqm"),
    "several arrays": (lambda d: np.savez(d / "a.npz", x=X, y=X), "choose one"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named(name, folder):
    write, message = BAD[name]
    write(folder)
    with pytest.raises((InputError, InputTypeError), match=re.escape(message)):
        nnqm.accumulate(nnqm.PathFiles(folder), 0.1, measure=PLAIN)


def test_bad_arguments_are_refused(folder):
    write_npy(folder / "a", X)
    for files, options, message in [
        (["data/a.npy", "data/a.npy"], {}, "different; got data/a.npy twice"),
        ([], {}, "at least one entry"),
        (3, {}, "names of files"),
        ("no.npy", {}, "no.npy does not exist"),
        ("data", {"weights": np.ones(3)}, "each of 480 paths in 1 files; got 3"),
        ("data", {"array": "c*"}, "with a pattern is for .npz files"),
    ]:
        with pytest.raises((InputError, InputTypeError), match=re.escape(message)):
            nnqm.PathFiles(files, **options)
    with pytest.raises(InputTypeError, match=r"nnqm\.PathFiles of its name"):
        nnqm.accumulate("data/a.npy")


# ---- the command line


@pytest.fixture
def command(capsys, monkeypatch):
    """The command with a report of its notes only, which takes no time."""
    monkeypatch.setattr(cli.results, "analyse", lambda run, **options: Report("", (), run.notes, {}))

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.mark.slow
def test_the_command_takes_folders_files_weights_and_replicas(folder, command):
    w = np.random.default_rng(4).uniform(0.5, 2, 480)
    names = []
    for i, part in enumerate(np.split(X, 12)):
        write_npy(folder / f"c{i}", part)
        names.append(f"data/c{i}.npy")
    np.savetxt("weights.txt", w)
    options = ("--dt", 0.1, "--no-positivity", "-o", "out.nc")
    for arguments in (["data"], sorted(names)):
        code, out, _ = command("analyse", *arguments, *options)
        assert code == 0
        assert nnqm.load("out.nc") == nnqm.accumulate([X], 0.1)
    code, out, _ = command("analyse", "data", "--weights", "weights.txt", *options)
    assert code == 0
    assert "effective sample size" in out
    assert nnqm.load("out.nc") == nnqm.accumulate(nnqm.PathFiles("data", weights=w), 0.1)
    code, out, _ = command("analyse", *names[:3], "--replicas", *options)
    assert (code, "3 independent replicas (c0, c1, c2)" in out) == (0, True)


@pytest.mark.slow
def test_the_command_reads_one_large_file_in_parts(command, monkeypatch):
    write_netcdf("large", X)
    np.savez("all.npz", **{f"conf_{i}": part for i, part in enumerate(np.split(X, 24))})
    monkeypatch.setattr(path_files, "_IN_PARTS", 1)
    monkeypatch.setattr(path_files, "_LARGE", 64 * X[0].nbytes)
    for arguments in (["large.nc"], ["all.npz", "--array", "conf_*", "--dt", 0.1]):
        assert command("analyse", *arguments, "--no-positivity", "-o", "out.nc")[0] == 0
        run = nnqm.load("out.nc")
        assert run.n_paths == 480
        np.testing.assert_allclose(run.mean().value, X.mean(), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data",), "--dt is missing"),
        (("data/a.npy", "data/no.npy", "--dt", 0.1), "file data/no.npy does not exist"),
        (("data/a.npy", "--weights", "w", "--dt", 0.1), "leave it out"),
        (("data", "-o", "data/a.npy", "--dt", 0.1), "PATHS"),
        (("saved.nc", "--replicas"), "contains results"),
        (("empty",), "holds no files of paths"),
    ],
)
def test_bad_arguments_of_the_command_are_one_line(arguments, message, folder, command):
    write_npy(folder / "a", X)
    Path("empty").mkdir()
    nnqm.save(nnqm.accumulate(X, 0.1, measure=PLAIN), "saved.nc")
    code, out, err = command("analyse", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
