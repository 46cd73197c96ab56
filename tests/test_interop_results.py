"""Results as tables of pandas and datasets of xarray, and paths to and from ArviZ."""

import sys
import warnings

import numpy as np
import pytest
import xarray

import nnqm
from nnqm import interop
from nnqm.errors import InputError, InputTypeError
from nnqm.interop import chains

RUN = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)


@pytest.fixture(scope="module")
def report():
    return nnqm.analyse(RUN)


@pytest.mark.slow
def test_reports(report):
    found, table = interop.to_xarray(report), interop.to_pandas(report)
    assert found.attrs["title"] == report.title
    assert found.attrs["notes"].splitlines() == list(report.notes)
    assert list(table.index) == [row.quantity for row in report]
    for row, (_, line) in zip(report, table.iterrows(), strict=True):
        if row.estimate is None:
            assert np.isnan(line.measured)
            assert np.isnan(line.measured_error)
        else:
            assert line.measured == row.estimate.value
            assert line.measured_error == row.estimate.error
            assert line.measured_systematic == row.estimate.systematic
        assert line.verdict == str(row.verdict or "")
        assert (line.exact == row.exact) if row.exact is not None else np.isnan(line.exact)
        assert (line.pull == row.pull) if row.pull is not None else np.isnan(line.pull)
        assert line.group == row.group
    assert table.measured.isna().any()
    assert (table.measured_systematic > 0).any()
    rows = interop.to_xarray(report.rows)
    xarray.testing.assert_equal(rows, found)


def test_levels(report):
    spectrum = report.details["spectrum"]
    table = interop.to_pandas(spectrum)
    assert table.index.name == "level"
    assert list(table.number) == [level.number for level in spectrum.levels]
    assert list(table.gap[table.verdict == "resolved"]) == [float(gap.value) for gap in spectrum.gaps]
    assert list(table.gap_error[table.verdict == "resolved"]) == [float(gap.error) for gap in spectrum.gaps]
    assert interop.to_xarray(spectrum).attrs["advice"] == str(spectrum.advice or "")
    xarray.testing.assert_equal(interop.to_xarray(spectrum.levels), interop.to_xarray(spectrum))
    of_one = interop.to_pandas(nnqm.OneCorrelator(RUN).plateau())
    assert set(of_one.alternating) == {False}
    unresolved = nnqm.results.Level(None, None, 1, nnqm.Verdict.NOISE)
    assert np.isnan(interop.to_pandas([unresolved]).gap[1])


def test_correlators():
    found = interop.to_xarray(RUN)
    connected = RUN.connected()
    np.testing.assert_array_equal(found.connected.sel(channel="x"), connected.value)
    np.testing.assert_array_equal(found.connected_error.sel(channel="x"), connected.error)
    np.testing.assert_array_equal(found.lag, np.array(RUN.lags) * RUN.dt)
    matrix = found.connected_covariance.sel(channel="x").values
    np.testing.assert_allclose(matrix, connected.covariance(), rtol=1e-12)
    assert found.kurtosis_error.item() == RUN.kurtosis().error
    assert found.n_paths == RUN.n_paths
    table = interop.to_pandas(RUN)
    assert table.index.names == ["channel", "lag"]
    assert len(table) == len(RUN.lags)
    assert not [name for name in table.columns if "covariance" in name]
    weights = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 4, 1)))
    assert "connected" not in interop.to_xarray(nnqm.simulate(weights, 4096, 8, 0.2, rng=1))
    moments = nnqm.simulate(nnqm.harmonic_oscillator(), 4096, 8, 0.2, rng=1, measure=nnqm.Measure(lags=()))
    assert "lag" not in interop.to_xarray(moments).dims


def test_estimates():
    estimate = RUN.connected()[:3].with_systematic([0.0, 0.1, 0.2])
    table = interop.to_pandas(estimate)
    np.testing.assert_array_equal(table.systematic, [0.0, 0.1, 0.2])
    np.testing.assert_array_equal(table.error, estimate.error)
    np.testing.assert_allclose(interop.to_xarray(estimate).covariance, estimate.covariance())
    assert interop.to_pandas(RUN.kurtosis()).value.item() == RUN.kurtosis().value
    assert interop.to_xarray(RUN.two_point().reshape(3, 3)).value.shape == (3, 3)


def test_properties_trainings_and_scans():
    properties = nnqm.check(nnqm.harmonic_oscillator())
    assert interop.to_pandas(properties).verdict["stationarity"] == "holds"
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="sin"))
    trajectory = nnqm.Trajectory([0, 5], [theory, theory])
    dynamics = nnqm.training_dynamics(trajectory, n_levels=2, positivity=False)
    xarray.testing.assert_equal(interop.to_xarray(dynamics), dynamics.to_xarray())
    table = interop.to_pandas(dynamics)
    assert table.index.names == ["step", "level"]
    assert table.gap_origin.loc[5, 1] == "exact"
    scan = nnqm.scan({"sin": theory}, n_levels=2, positivity=False)
    assert interop.to_xarray(scan) is scan
    assert set(interop.to_pandas(scan).positivity) == {"positive by construction"}


def test_other_things_are_refused(monkeypatch):
    with pytest.raises(InputTypeError, match=r"one of Estimate, Report, Spectrum.*got float"):
        interop.to_pandas(1.0)
    with pytest.raises(InputTypeError, match="got list"):
        interop.to_xarray([])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        interop.to_pandas(RUN)


# ---- ArviZ


@pytest.fixture(params=[0, 1], ids=["InferenceData", "DataTree"])
def version(request, monkeypatch):
    """The two kinds of containers of ArviZ, of which the second is one of xarray."""
    if request.param == 0:
        with warnings.catch_warnings():
            # Version 0 announces version 1.
            warnings.simplefilter("ignore")
            arviz = pytest.importorskip("arviz")
        if not arviz.__version__.startswith("0."):
            pytest.skip("this ArviZ has no InferenceData")
    monkeypatch.setattr(chains, "_major", lambda: request.param)
    return request.param


@pytest.mark.slow
def test_chains_of_paths_and_back(version):
    paths = nnqm.Paths(nnqm.builtin_theory("deep-tanh"), 4096, 8, 0.2, rng=1)
    data = interop.to_arviz(paths, n_chains=4)
    assert type(data).__name__ == ("InferenceData", "DataTree")[version]
    posterior = data["posterior"]
    assert dict(posterior.x.sizes) == {"chain": 4, "draw": 1024, "time": 8}
    np.testing.assert_array_equal(posterior.x.values.reshape(4096, 8), paths.read())
    np.testing.assert_allclose(posterior.time, 0.2 * np.arange(8))
    back = interop.from_arviz(data, ["x", "y"])
    assert list(back) == [f"chain {i}" for i in range(4)]
    np.testing.assert_array_equal(back["chain 1"][:, :, 0], paths.read(1024, 2048))
    run = nnqm.accumulate(interop.from_arviz(data, "x"))
    arrays = {f"chain {i}": paths.read(1024 * i, 1024 * (i + 1)) for i in range(4)}
    expected = nnqm.accumulate(arrays, 0.2)
    assert run.replicas == expected.replicas
    np.testing.assert_array_equal(run.connected().value, expected.connected().value)
    np.testing.assert_array_equal(run.connected().error, expected.connected().error)
    assert run.dt == pytest.approx(0.2)


def test_the_arviz_that_is_installed_takes_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arviz = pytest.importorskip("arviz")
    paths = nnqm.Paths(nnqm.harmonic_oscillator(), 400, 4, 0.2, rng=1)
    summary = arviz.summary(interop.to_arviz(paths, n_chains=4), round_to="none")
    np.testing.assert_allclose(summary["mean"], paths.read().mean(axis=0), atol=1e-6)
    assert (summary["r_hat"].astype(float) < 1.1).all()


def test_other_forms_of_paths():
    rng = np.random.default_rng(1)
    array = rng.normal(size=(6, 5, 2))
    data = interop.to_arviz({"a": array[:3], "b": array[3:]}, 0.5, names=["p", "q"])
    np.testing.assert_array_equal(data["posterior"].q.values, array[..., 1].reshape(2, 3, 5))
    np.testing.assert_array_equal(data["posterior"].time, 0.5 * np.arange(5))
    assert set(interop.to_arviz(array)["posterior"].data_vars) == {"x0", "x1"}
    labelled = xarray.DataArray(array[..., 0], dims=("path", "time"), coords={"time": 0.1 * np.arange(5)})
    np.testing.assert_allclose(interop.to_arviz(labelled)["posterior"].time, 0.1 * np.arange(5))
    with pytest.raises(InputError, match=r"divide the number of paths, 6; got 4; leave 2 paths out"):
        interop.to_arviz(array, n_chains=4)
    with pytest.raises(InputError, match="equal shapes"):
        interop.to_arviz({"a": array, "b": array[:2]})
    with pytest.raises(InputError, match="n_chains must be left out"):
        interop.to_arviz({"a": array, "b": array}, n_chains=3)
    with pytest.raises(InputError, match="names must be 2 different ones"):
        interop.to_arviz(array, names=["x", "x"])


@pytest.mark.slow
def test_parameters_that_move_along_a_chain():
    # Draws of a sampler as Euclidean times: each chain is one trajectory.
    rng = np.random.default_rng(2)
    posterior = xarray.Dataset({"theta": (("chain", "draw"), rng.normal(size=(4, 4000)))})
    found = interop.from_arviz(posterior, "theta", time="draw")
    assert dict(found["chain 0"].sizes) == {"path": 1, "time": 4000, "channel": 1}
    run = nnqm.accumulate(found, 0.1)
    assert len(run.replicas) == 4
    assert abs(float(run.mean().pull(0))) < 5


def test_faulty_containers_are_refused():
    rng = np.random.default_rng(2)
    dims = ("chain", "draw", "time", "site")
    data = xarray.Dataset({"x": (dims, rng.normal(size=(2, 3, 4, 5))), "a": (dims[:2], np.ones((2, 3)))})
    with pytest.raises(InputError, match="no variable 'y'; it has x, a"):
        interop.from_arviz(data, "y")
    with pytest.raises(InputError, match="x have time, site beside chain and draw"):
        interop.from_arviz(data, "x", time="time")
    with pytest.raises(InputError, match=r"a have none beside.*time='draw'"):
        interop.from_arviz(data, "a")
    with pytest.raises(InputError, match="same dimensions; 'a' has chain, draw"):
        interop.from_arviz(data.isel(site=0), ["x", "a"])
    with pytest.raises(InputError, match="dimensions chain and draw"):
        interop.from_arviz(data.isel(chain=0), "x")
    with pytest.raises(InputError, match="no group 'posterior'; it has prior"):
        interop.from_arviz(xarray.DataTree.from_dict({"/prior": data}), "x")
    with pytest.raises(InputTypeError, match="got dict"):
        interop.from_arviz({}, "x")
    with pytest.raises(InputError, match="at least one variable"):
        interop.from_arviz(data, [])
    with pytest.raises(InputTypeError, match="names must be texts; got 3"):
        interop.from_arviz(data, 3)
    with pytest.raises(InputTypeError, match="names must be texts; got 3"):
        interop.to_arviz(np.ones((4, 8)), names=[3])
    for name in ("chain", "draw", "time"):
        with pytest.raises(InputError, match=f"names must differ from chain, draw, time; got '{name}'"):
            interop.to_arviz(np.ones((4, 8)), names=[name])
