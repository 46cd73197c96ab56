"""Runs on disk and put together: bits, atomic replacement, and refusals."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import xarray

import nnqm
from harness import assert_consistent, assert_inconsistent
from nnqm.runs.writing import check_writable
from nnqm.sampling.correlators import is_uniform

THEORY = nnqm.Theory(
    [nnqm.OrnsteinUhlenbeck([1.0, 0.1 + 0.2]), nnqm.OrnsteinUhlenbeck(3.0, 1 / 3)],
    nnqm.Network.random((3, 5, 2), ["erf", "identity"], rng=1),
    hbar=0.7,
    mass=1.3,
)


def run_of(n_paths=1000, n_times=6, rng=1, theory=THEORY, **more):
    sums = {"lags": (0, 2), "observable_lags": (1,), "increment_lags": (1, 3), "two_time": "x2"}
    sums |= {name: more.pop(name) for name in tuple(more) if name in nnqm.Measure.__annotations__}
    return nnqm.simulate(theory, n_paths, n_times, 0.1, rng=rng, measure=nnqm.Measure(**sums), **more)


def user_run():
    x = np.random.default_rng(1).normal(size=(100, 8))
    return nnqm.accumulate(x, 0.1, names=["position"], hbar=2.0)


def runs():
    yield "a run with everything", run_of()
    yield "float64", run_of(precision="float64")
    yield "no sums over lags", run_of(lags=(), observable_lags=(), increment_lags=(), two_time=False)
    yield "uneven times", nnqm.simulate(THEORY, 300, times=[0, 0.1, np.pi], rng=2, measure=nnqm.Measure(two_time=True))
    yield "one time", nnqm.simulate(THEORY, 300, 1, 1.0, rng=2)
    yield "some blocks", run_of(blocks=range(2, 9))
    yield "several seeds", nnqm.merge([run_of(rng=1), run_of(rng=2)])
    yield "paths from elsewhere", user_run()
    yield "a trajectory", nnqm.accumulate(np.random.default_rng(2).normal(size=50_000), 0.1)
    yield "no neurons", run_of(observables=nnqm.default_observables(THEORY, neurons=0, order=1))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "run"), [pytest.param(*both, id=both[0]) for both in runs()])
def test_what_is_loaded_is_what_was_saved(name, run, tmp_path):
    path = tmp_path / "run.nc"
    assert nnqm.save(run, path) == path
    loaded = nnqm.load(path)
    assert loaded == run
    # Equality is not fooled: types and bits, zeros' signs included.
    for field, value in vars(run).items():
        if field not in ("sums", "times", "observables"):
            assert getattr(loaded, field) == value, field
            assert type(getattr(loaded, field)) is type(value), field
    assert loaded.times.tobytes() == run.times.tobytes()
    assert loaded.sums.keys() == run.sums.keys()
    for sum_name, array in run.sums.items():
        assert loaded.sums[sum_name].dtype == array.dtype
        assert loaded.sums[sum_name].tobytes() == array.tobytes(), sum_name
    for array_name in ("shift", "scale", "weights", "biases"):
        a, b = getattr(run.observables, array_name), getattr(loaded.observables, array_name)
        assert (a.shape, a.tobytes()) == (b.shape, b.tobytes()), array_name
    np.testing.assert_array_equal(loaded.mean().error, run.mean().error)
    assert os.listdir(tmp_path) == ["run.nc"]


@pytest.mark.slow
def test_a_loaded_run_goes_on(tmp_path):
    path = nnqm.save(run_of(700), tmp_path / "run.nc")
    assert nnqm.extend(nnqm.load(path), 1500) == run_of(1500, n_blocks=11)


@pytest.mark.slow
def test_a_network_of_any_size_is_saved(tmp_path):
    # Its weights are more text than an HDF5 attribute held in an object's header can be.
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 90, 90, 1), rng=1))
    run = run_of(128, theory=theory, two_time=False)
    assert nnqm.load(nnqm.save(run, tmp_path / "run.nc")) == run


@pytest.mark.slow
def test_plain_xarray_reads_a_run(tmp_path):
    run = run_of()
    with xarray.open_dataset(nnqm.save(run, tmp_path / "run.nc"), engine="h5netcdf") as data:
        assert data["sum_lags"].dims == ("block", "lag", "part", "linear_a", "linear_b")
        np.testing.assert_array_equal(data["time"], run.times)
        np.testing.assert_array_equal(data["lag"], run.lags)
        assert list(data["channel"].values) == list(run.channels)
        # A two-point function by name, from the file alone.
        total = data["sum_lags"].isel(part=0).sum("block")
        count = total.sel(linear_a="1", linear_b="1")
        product = (total.sel(linear_a="x1", linear_b="x1") / count).values
        meta = json.loads(data.attrs["nnqm"])
    o = meta["observables"]
    assert o["channels"][0] == "x1"
    z = (total.sel(linear_a="x1", linear_b="1") / count).values
    z2 = (total.sel(linear_a="1", linear_b="x1") / count).values
    shift, scale = o["shift"][0], o["scale"][0]
    mean = (z + z2) / 2
    np.testing.assert_allclose(
        shift**2 + 2 * shift * scale * mean + scale**2 * product, run.two_point("x1").value, rtol=1e-12
    )
    assert meta["theory"]["hbar"] == 0.7
    assert (meta["n_paths"], meta["precision"], meta["keys"]) == (1000, "float32", list(run.keys))
    assert meta["version"] == nnqm.__version__


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file(error, tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    old = run_of()
    nnqm.save(old, path)
    dump_to_store = xarray.Dataset.dump_to_store

    def broken(self, store, **options):
        dump_to_store(self, store, **options)
        raise error("no space left")

    monkeypatch.setattr(xarray.Dataset, "dump_to_store", broken)
    with pytest.raises(
        KeyboardInterrupt if error is KeyboardInterrupt else nnqm.errors.InputError, match="no space left"
    ):
        nnqm.save(run_of(rng=5), path)
    assert nnqm.load(path) == old
    assert os.listdir(tmp_path) == ["run.nc"]


@pytest.mark.slow
def test_a_saved_file_has_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    path = nnqm.save(user_run(), tmp_path / "run.nc")
    assert path.stat().st_mode == plain.stat().st_mode


def test_places_that_cannot_be_written_are_found_early(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give a file name"):
        check_writable(tmp_path)
    with pytest.raises(ValueError, match="does not exist; create it"):
        check_writable(tmp_path / "missing" / "run.nc")
    with pytest.raises(ValueError, match="does not exist; create it"):
        nnqm.save(user_run(), tmp_path / "missing" / "run.nc")
    if os.path.isdir("/proc/self"):
        with pytest.raises(ValueError, match=r"cannot be written.*choose another place"):
            check_writable("/proc/self/run.nc")
    assert check_writable(tmp_path / "run.nc") == tmp_path / "run.nc"
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_files_that_are_not_runs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        nnqm.load(tmp_path / "missing.nc")
    text = tmp_path / "text.nc"
    text.write_text("not a NetCDF file")
    with pytest.raises(ValueError, match="cannot be read as NetCDF"):
        nnqm.load(text)
    other = tmp_path / "other.nc"
    xarray.Dataset({"a": ("x", [1.0])}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(ValueError, match="not a saved run"):
        nnqm.load(other)
    newer = tmp_path / "newer.nc"
    dataset = xarray.load_dataset(nnqm.save(user_run(), newer), engine="h5netcdf")
    dataset.attrs["nnqm_format"] = 99
    dataset.to_netcdf(newer, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"newer format.*upgrade"):
        nnqm.load(newer)


# ---- merge and extend


def test_runs_of_different_seeds_are_appended():
    a, b = run_of(1000, rng=1), run_of(500, rng=2)
    both = nnqm.merge([a, b])
    assert both.keys == (*a.keys, *b.keys)
    assert both.n_paths == 1500
    assert both.n_blocks == len(both.block_paths) == a.n_blocks + b.n_blocks
    for name, array in both.sums.items():
        np.testing.assert_array_equal(array, np.concatenate([a.sums[name], b.sums[name]]))
    assert both.mean().value == pytest.approx((2 * a.mean().value + b.mean().value) / 3)
    third = run_of(200, rng=3)
    assert nnqm.merge([both, third]).n_paths == 1700
    # What a part holds is what counts.
    assert nnqm.merge([a, run_of(1000, rng=2, blocks=range(2))]).n_paths == 1128


def test_batches_of_paths_from_elsewhere_are_appended():
    first = user_run()
    x = np.random.default_rng(3).normal(size=(50, 8))
    second = nnqm.accumulate(x, 0.1, hbar=2.0, measure=nnqm.Measure(observables=first.observables))
    both = nnqm.merge([first, second])
    assert (both.n_paths, both.keys) == (150, ())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: run_of(theory=replaced()), r"runs\[1\] differs from runs\[0\] in theory"),
        (lambda: run_of(rng=2, precision="float64"), "precision"),
        (lambda: run_of(rng=2, lags=(0, 1)), "lags"),
        (lambda: run_of(rng=2, observable_lags=(2,)), "observable_lags"),
        (lambda: run_of(rng=2, increment_lags=(1,)), "increment_lags"),
        (lambda: run_of(rng=2, two_time="x1"), "two_time"),
        (lambda: run_of(rng=2, n_times=7), "times"),
        (lambda: run_of(rng=2, observables=nnqm.default_observables(THEORY, order=5)), "observables"),
        (lambda: replace(run_of(rng=2), random_map_version=0), "random_map_version"),
        (lambda: run_of(n_paths=900, blocks=range(5, 10)), "parts of the same run; got n_paths 900 of"),
        (lambda: run_of(n_blocks=8), "parts of the same run"),
        (run_of, r"block 0 is in runs\[0\] and in runs\[1\]; use another rng"),
        (lambda: nnqm.merge([run_of(rng=2), run_of(rng=1)]), "share a seed"),
    ],
)
def test_runs_that_do_not_belong_together_do_not_merge(other, message):
    with pytest.raises(ValueError, match=message):
        nnqm.merge([run_of(), other()])


def replaced():
    return nnqm.Theory(THEORY.sources, THEORY.network, hbar=THEORY.hbar, mass=2.0)


def test_gaps_between_parts_are_found():
    a, c = (run_of(blocks=blocks) for blocks in (range(0, 4), range(8, 16)))
    with pytest.raises(ValueError, match="block 4 is missing"):
        nnqm.merge([c, a])
    with pytest.raises(ValueError, match="at least one entry"):
        nnqm.merge([])


def test_runs_that_cannot_be_extended_say_why():
    run = run_of()
    with pytest.raises(ValueError, match=r"only a run of one seed.*rng"):
        nnqm.extend(nnqm.merge([run, run_of(rng=2)]), 5000)
    with pytest.raises(ValueError, match="only a run of one seed"):
        nnqm.extend(user_run(), 5000)
    with pytest.raises(ValueError, match="n_paths must be at least 1000; got 999"):
        nnqm.extend(run, 999)
    with pytest.raises(ValueError, match="version 0 of the random-number map"):
        nnqm.extend(replace(run, random_map_version=0), 5000)
    with pytest.raises(ValueError, match="NNQM_LEVEL=v0"):
        nnqm.extend(replace(run, level="v0"), 5000)
    assert nnqm.extend(run, 1000) == run


def test_runs_are_compared_by_all_they_hold():
    run = run_of()
    assert run == run_of()
    assert hash(run) == hash(run_of())
    assert run != run_of(rng=2)
    assert run != replace(run, mass=3.0)
    spoilt = {name: array.copy() for name, array in run.sums.items()}
    spoilt["moments"][3, 0, 2] = np.nextafter(spoilt["moments"][3, 0, 2], 1e300)
    assert run != replace(run, sums=spoilt)
    assert run != "a run"


def test_what_was_not_summed_is_asked_for_by_name():
    run = run_of(lags=(), two_time=False)
    with pytest.raises(ValueError, match=r"holds no lags; simulate with measure=Measure\(lags="):
        run.two_point()
    with pytest.raises(ValueError, match=r"holds no two_time; simulate with measure=Measure\(two_time="):
        run.two_time_function()
    with pytest.raises(ValueError, match=r"channel 'x3' is unknown.*did you mean '[xy]"):
        run.mean("x3")
    with pytest.raises(ValueError, match="channel must be at most 4"):
        run.mean(5)
    uneven = nnqm.simulate(THEORY, 300, times=[0, 0.1, 0.5], rng=2)
    with pytest.raises(ValueError, match=r"times are not uniform.*two_time"):
        _ = uneven.dt


def test_uniform_grids_are_recognised():
    assert is_uniform(np.arange(1000) * 0.1)
    assert is_uniform(1e6 + np.arange(100) * 1e-3)
    assert not is_uniform(np.array([0.0, 1.0, 2.0, 3.0 + 1e-6]))
    assert not is_uniform(np.array([0.0]))


@pytest.mark.slow
def test_the_two_time_function_of_a_channel_with_a_mean():
    theory = nnqm.builtin_theory("deep-tanh")
    times = np.array([0.0, 0.1, 0.4, 1.0])
    run = nnqm.simulate(theory, 40_000, times=times, rng=12, measure=nnqm.Measure(two_time=True))
    rows, columns = np.array([0, 1, 3, 3, 2]), np.array([0, 0, 1, 2, 2])
    measured = run.two_time_function()[rows, columns]
    exact = nnqm.kallen_lehmann(theory).two_point(times[rows] - times[columns])
    assert_consistent(measured, exact)
    assert_inconsistent(measured, exact - 2 * nnqm.kallen_lehmann(theory).mean ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "rounding"), [("float32", 1e-6), ("float64", 1e-13)])
def test_lag_sums_from_products_over_all_pairs_of_times(precision, rounding):
    theory = nnqm.harmonic_oscillator()
    measure = nnqm.Measure(lags=(0, 1, 4, 17, 38, 39), observable_lags=(), increment_lags=())
    of_lags = nnqm.simulate(theory, 500, 40, 0.2, rng=1, precision=precision, measure=measure)
    of_pairs = nnqm.simulate(theory, 500, 40, 0.2, rng=1, precision=precision, measure=replace(measure, two_time=True))
    direct, derived = of_lags.sums["lags"], of_pairs.sums["lags"]
    assert np.allclose(derived, direct, rtol=0, atol=rounding * np.abs(direct).max())
    # A run in two parts has the same bits, and given paths the same sums.
    start = nnqm.simulate(
        theory, 256, 40, 0.2, rng=1, precision=precision, n_blocks=2, measure=replace(measure, two_time=True)
    )
    whole = nnqm.simulate(
        theory, 500, 40, 0.2, rng=1, precision=precision, n_blocks=2, measure=replace(measure, two_time=True)
    )
    assert nnqm.extend(start, 500) == whole
    paths = nnqm.sample_paths(theory, 500, 40, 0.2, rng=1, precision=precision)
    given = nnqm.accumulate(
        iter([paths[:250], paths[250:]]), 0.2, theory=theory, n_blocks=4, measure=replace(measure, two_time=True)
    )
    totals = given.sums["lags"].sum(0), derived.sum(0)
    assert np.allclose(*totals, rtol=0, atol=rounding * np.abs(totals[1]).max())
