"""A scan holds the physics of each theory, at its place, with its error and origin."""

import warnings

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

import nnqm
from harness import assert_error_is_honest
from nnqm import Network, OrnsteinUhlenbeck, RandomNetwork, Theory, Times, Trajectory, scan, training_dynamics
from nnqm.errors import InputError, InputTypeError
from nnqm.plot import scan as draw


def sine(scale, phase=0.0):
    return Theory(OrnsteinUhlenbeck(1.0), Network([[[scale]], [[1.0]]], [[phase], [0.0]], "sin"))


@pytest.mark.slow
def test_a_grid_of_scales_and_phases_has_closed_forms():
    scales, phases = [0.5, 1.0, 2.0, 3.0], [0.0, 0.7]
    found = scan({"scale": scales, "phase": phases}, sine, n_levels=3, positivity=False)
    assert dict(found.sizes) == {"scale": 4, "phase": 2, "level": 3}
    a = np.array(scales)[:, None, None] / np.sqrt(2)
    n, b = np.arange(1, 4), np.array(phases)[:, None]
    exact = np.exp(-(a**2)) * a ** (2 * n) / np.array([1, 2, 6]) * np.sin(b + n * np.pi / 2) ** 2
    assert_error_is_honest(found.weight.values, exact, found.weight_error.values, 1e-15)
    bracket = np.array(scales)[:, None] ** 2 * (1 + np.exp(-(np.array(scales)[:, None] ** 2)) * np.cos(2 * b[:, 0])) / 2
    assert_error_is_honest(found.commutator.values, bracket, found.commutator_error.values, 1e-13)
    assert (found.gap.values == n).all()
    for name in ("gap", "weight", "kurtosis", "variance", "commutator", "uncertainty"):
        assert (found[f"{name}_origin"] == "exact").all()
    assert (found.failure == "").all()
    assert (found.positivity == "positive by construction").all()
    # x = sin(scale y) is odd, and sees odd levels only.
    assert (found.seen.sel(phase=0.0).values == [True, False, True]).all()
    assert found.seen.sel(phase=0.7).values.all()


@pytest.mark.slow
def test_labelled_theories_have_the_numbers_of_training_dynamics():
    theories = {"deep": sine(1.0), "ensemble": random_theory(8), "of t": Theory(Times(), RandomNetwork((1, 8, 1)))}
    found = scan(theories, n_levels=2, rng=1, n_paths=512, n_draws=30, positivity=False)
    assert list(found.theory.values) == list(theories)
    assert list(found.weight_origin.sel(level=1).values) == ["exact", "averaged", "absent"]
    assert list(found.commutator_origin.values) == ["exact", "averaged", "measured"]
    along = training_dynamics(Trajectory([0], [theories["deep"]]), n_levels=2, positivity=False)
    np.testing.assert_array_equal(found.weight.sel(theory="deep"), along["weight"].values[0])


def random_theory(width, activation="tanh"):
    network = RandomNetwork((1, width, 1), activation, weight_std=1.5, bias_std=0.5, group=8)
    return Theory(OrnsteinUhlenbeck(1.0), network)


@pytest.mark.slow
def test_numbers_do_not_depend_on_the_other_theories():
    settings = {"rng": 3, "n_paths": 1664, "n_draws": 20, "n_levels": 2}
    grid = scan({"width": [2, 4]}, random_theory, **settings)
    alone = scan({"width": [4]}, random_theory, **settings)
    assert grid.sel(width=[4]).identical(alone)
    assert not scan({"width": [4]}, random_theory, **{**settings, "rng": 4}).identical(alone)
    labelled = scan({"a": random_theory(4), "b": random_theory(4)}, **settings)
    assert labelled.p_value[0] != labelled.p_value[1]
    threads = scan({"width": [2, 4]}, random_theory, n_threads=1, **settings)
    assert threads.identical(grid)


@pytest.mark.slow
def test_coordinates_are_numbers_or_texts():
    def build(widths, scale, activation):
        network = Network.random(widths, activation, rng=1, weight_std=scale)
        return Theory(OrnsteinUhlenbeck(1.0), network)

    axes = {"widths": [(1, 2, 1), (1, 2, 2, 1)], "scale": np.array([0.5, 1.0]), "activation": ("tanh", "erf")}
    found = scan(axes, build, n_levels=1, positivity=False)
    assert found.kurtosis.dims == ("widths", "scale", "activation")
    assert list(found.widths.values) == ["1-2-1", "1-2-2-1"]
    assert found.scale.dtype == np.float64
    expected = nnqm.kallen_lehmann(build((1, 2, 2, 1), 0.5, "erf"))
    one = found.sel(widths="1-2-2-1", scale=0.5, activation="erf")
    assert float(one.kurtosis) == expected.kurtosis
    assert float(one.commutator) == expected.commutator


@pytest.mark.slow
def test_a_file_gives_the_dataset_back(tmp_path):
    with pytest.warns(RuntimeWarning):
        found = scan({"scale": [1.0, -2.0]}, fragile, rng=1, n_levels=2, n_paths=512)
    found.to_netcdf(tmp_path / "scan.nc", engine="h5netcdf")
    assert xarray.load_dataset(tmp_path / "scan.nc", engine="h5netcdf").identical(found)
    assert found.attrs["key"].isdecimal()
    assert found.weight.attrs["units"] == "[x]^2"


# ---- failures


def fragile(scale):
    if scale == 0:
        raise ZeroDivisionError("scale")
    if scale < 0:
        raise InputError(f"scale must not be negative; got {scale:g}")
    return 7 if scale > 100 else sine(scale)


def test_theories_that_fail_are_named_and_the_others_remain():
    with pytest.warns(RuntimeWarning, match=r"3 of 5 theories fail; scale=0.0: .*; scale=-1.0: .*; scale=200.0: "):
        found = scan({"scale": [1.0, 0.0, -1.0, 200.0, 2.0]}, fragile, n_levels=2, positivity=False)
    assert list(found.failure.values) == [
        "",
        "ZeroDivisionError: scale",
        "scale must not be negative; got -1",
        "build must return a Theory; got 7",
        "",
    ]
    assert list(np.isfinite(found.kurtosis.values)) == [True, False, False, False, True]
    assert list(found.kurtosis_origin.values) == ["exact", "unresolved", "unresolved", "unresolved", "exact"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = scan({"scale": [2.0]}, fragile, n_levels=2, positivity=False)
    np.testing.assert_array_equal(found.weight.sel(scale=2.0), alone.weight.sel(scale=2.0))


def test_a_scan_of_failures_only_is_an_error():
    with pytest.raises(InputError, match=r"all theories fail; scale=-1.0: scale must not be negative; got -1 \(and 1"):
        scan({"scale": [-1.0, -2.0]}, fragile, positivity=False)


def test_an_interrupt_keeps_the_finished_theories():
    def stop(done, total):
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(nnqm.Interrupted, match="holds 2 of 3 theories") as stopped:
        scan({"scale": [1.0, 2.0, 3.0]}, sine, positivity=False, progress=stop)
    partial = stopped.value.partial
    assert list(partial.failure.values) == ["", "", "interrupted"]
    assert list(np.isfinite(partial.commutator.values)) == [True, True, False]

    def at_once(scale):
        raise KeyboardInterrupt

    with pytest.raises(nnqm.Interrupted) as stopped:
        scan({"scale": [1.0]}, at_once, positivity=False)
    assert stopped.value.partial is None


ONE = {"a": sine(1.0)}
WRONG = {
    "list": ([sine(1.0)], {}, InputTypeError, "theories must map labels to theories"),
    "empty": ({}, {}, InputTypeError, "got none"),
    "no theory": ({"a": 3}, {}, InputTypeError, r"theories\['a'\] must be a Theory; got 3; for a grid"),
    "labels": ({1: sine(1.0), "1": sine(1.0)}, {}, InputError, "theories must be distinct; '1' is there twice"),
    "build": (ONE, {"build": 3}, InputTypeError, "build must be a function"),
    "text": ({"scale": "tanh"}, {"build": sine}, InputTypeError, r"theories\['scale'\] must be a sequence"),
    "number": ({"scale": 1.0}, {"build": sine}, InputTypeError, r"theories\['scale'\] must be a sequence"),
    "no value": ({"scale": []}, {"build": sine}, InputError, r"at least one value"),
    "twice": ({"scale": [1, 2, 1]}, {"build": sine}, InputError, r"must be distinct; '1' is there twice"),
    "taken": ({"level": [1]}, {"build": sine}, InputError, "not of a result; got 'level'"),
    "result": ({"weight": [1]}, {"build": sine}, InputError, "not of a result; got 'weight'"),
    "no name": ({"a b": [1]}, {"build": sine}, InputError, "must be names of arguments of build"),
    "levels": (ONE, {"n_levels": 0}, InputError, "n_levels must be at least 1"),
    "setting": (ONE, {"n_draw": 3}, InputTypeError, "no argument 'n_draw'; did you mean n_draws"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_are_named(what):
    theories, options, kind, message = WRONG[what]
    with pytest.raises(kind, match=message):
        scan(theories, **{"positivity": False, **options})


# ---- the figure


def panel(found, quantity):
    return draw(found, Figure().subplots(), quantity=quantity)


@pytest.mark.slow
def test_the_figure_of_one_dimension_draws_levels():
    found = scan({"scale": [0.5, 1.0, 8.0]}, sine, n_levels=3, rng=1, n_paths=512)
    weights, gaps, p = (panel(found, quantity) for quantity in ("weight", "gap", "positivity"))
    assert weights.get_legend().get_title().get_text() == "$n$"
    assert [t.get_text() for t in weights.get_legend().get_texts()] == ["1", "2", "3"]
    np.testing.assert_array_equal(weights.containers[2].lines[0].get_ydata(), found.weight.sel(level=3))
    np.testing.assert_array_equal(gaps.containers[0].lines[0].get_ydata(), [1, 1, 1])
    np.testing.assert_array_equal(p.containers[0].lines[0].get_ydata(), found.p_value)
    assert weights.get_xscale() == "log"
    assert [t.get_text() for t in weights.get_xticklabels()] == ["0.5", "1", "8"]


@pytest.mark.slow
def test_the_figure_of_two_dimensions_draws_lines():
    def build(width, activation):
        network = Network.random((1, width, 1), activation, rng=width, bias_std=1.0)
        return Theory(OrnsteinUhlenbeck(1.0), network)

    found = scan({"width": [2, 4], "activation": ["tanh", "relu"]}, build, n_levels=2, positivity=False)
    weights, kurtosis, uncertainty = (panel(found, quantity) for quantity in ("weight", "kurtosis", "uncertainty"))
    np.testing.assert_array_equal(
        weights.containers[1].lines[0].get_ydata(), found.weight.sel(activation="relu", level=1)
    )
    assert weights.get_ylabel().startswith(r"$|\langle 0|x|1\rangle")
    texts = [t.get_text() for t in uncertainty.get_legend().get_texts()]
    assert texts == ["tanh", "relu (infinite)"]
    assert uncertainty.get_legend().get_title().get_text() == "activation"
    # Labels on the axis: values side by side, without a line.
    swapped = panel(found.transpose("activation", "width", "level"), "kurtosis")
    assert [t.get_text() for t in swapped.get_xticklabels()] == ["tanh", "relu"]
    line = swapped.containers[0].lines[0]
    assert line.get_linestyle() == "None"
    np.testing.assert_array_equal(line.get_ydata(), found.kurtosis.sel(width=2))
    assert not np.array_equal(line.get_xdata(), swapped.containers[1].lines[0].get_xdata())
    assert kurtosis.get_xlabel() == "width"


def test_faults_of_the_figure_are_named():
    found = scan({"a": sine(1.0)}, n_levels=2, positivity=False)
    with pytest.raises(InputTypeError, match=r"dataset must be a dataset of nnqm.scan; got int"):
        draw(3)
    with pytest.raises(InputError, match="must have a dimension of theories"):
        draw(found.isel(theory=0))
    with pytest.raises(InputError, match="quantity 'level' is unknown"):
        draw(found, quantity="level")
    ax = panel(found, "positivity")
    assert [t.get_text() for t in ax.texts] == ["no value of the positivity is known"]
