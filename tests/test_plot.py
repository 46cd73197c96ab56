"""The figure of a run holds the numbers of its report."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent
from interpreter import answer
from nnqm.plot import figure, save_figure
from nnqm.report.analyse import analyse


@pytest.fixture(scope="module")
def oscillator():
    run = nnqm.simulate(nnqm.builtin_theory("oscillator"), 8192, 64, 0.2, rng=1)
    return run, analyse(run)


def panels(run, report):
    return figure(run, report).axes


def points(axes):
    """Measured points and half the lengths of their bars."""
    (container,) = axes.containers
    line, _, (bars,) = container.lines
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    return *line.get_data(), np.array(lengths)


def exact_curve(axes):
    (line,) = [line for line in axes.lines if line.get_label() == "exact"]
    return line.get_data()


@pytest.mark.slow
def test_two_point_function_is_drawn_up_to_the_noise_with_the_exact_curve(oscillator):
    run, report = oscillator
    axes = panels(run, report)[0]
    times, values, errors = points(axes)
    estimate = run.connected()
    n = len(times)
    assert 5 < n <= len(run.lags)
    assert np.array_equal(times, 0.2 * np.array(run.lags[:n]))
    assert np.array_equal(values, estimate.value[:n])
    assert errors == pytest.approx(estimate.error[:n])
    assert (values > 2 * estimate.error[:n]).all()
    assert n == len(run.lags) or estimate.value[n] <= 2 * estimate.error[n]
    t, exact = exact_curve(axes)
    assert exact == pytest.approx(0.5 * np.exp(-t))
    assert axes.get_yscale() == "log"


def test_levels_stand_beside_their_exact_values(oscillator):
    run, report = oscillator
    axes = panels(run, report)[1]
    rows = [row for row in report.rows if row.group == "levels" and row.estimate is not None]
    _, values, errors = points(axes)
    assert values.tolist() == [float(row.estimate.value) for row in rows]
    assert errors == pytest.approx([float(row.estimate.total_error) for row in rows])
    drawn = [c.get_segments()[0][0, 1] for c in axes.collections if len(c.get_segments()) == 1]
    exact = [row.exact for row in report.rows if row.group == "levels" and row.exact is not None]
    assert set(exact) <= set(drawn)


def test_commutator_is_drawn_against_lag_with_its_exact_curve(oscillator):
    run, report = oscillator
    axes = panels(run, report)[2]
    lags, values, errors = points(axes)
    assert np.array_equal(lags, 0.2 * np.array(run.increment_lags))
    exact = -np.expm1(-lags) / lags
    estimate = nnqm.commutator_at_lags(run)
    np.testing.assert_allclose(values, estimate.value, rtol=1e-12)
    np.testing.assert_allclose(errors, estimate.total_error, rtol=1e-9)
    assert_consistent(estimate[:12], exact[:12])
    t, curve = exact_curve(axes)
    assert curve == pytest.approx(-np.expm1(-t) / t)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oscillator", "deep-tanh"])
def test_sample_paths_are_those_of_the_run(name):
    theory = nnqm.builtin_theory(name)
    run = nnqm.simulate(theory, 8192, 32, 0.1, rng=2)
    axes = panels(run, analyse(run))[3]
    drawn = np.array([line.get_ydata() for line in axes.lines])
    paths = nnqm.sample_paths(theory, len(drawn), 32, 0.1, rng=2)
    assert len(drawn) >= 3
    assert np.array_equal(drawn, paths[..., 0])


def test_paths_from_elsewhere_are_drawn_without_what_is_unknown():
    paths = nnqm.sample_paths(nnqm.builtin_theory("oscillator"), 8192, 16, 0.2, rng=2)
    run = nnqm.accumulate(paths, 0.2)
    axes = panels(run, analyse(run, paths=paths))
    assert len(axes) == 4
    assert not axes[3].lines
    assert not [line for line in axes[0].lines if line.get_label() == "exact"]


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_saved_figures_replace_the_old_ones_whole(oscillator, tmp_path, suffix, start):
    path = tmp_path / f"figure{suffix}"
    path.write_text("old")
    assert save_figure(*oscillator, path) == path
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_save_leaves_the_old_figure(oscillator, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def broken(*_, **__):
        raise KeyboardInterrupt

    path = tmp_path / "figure.png"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(KeyboardInterrupt):
        save_figure(*oscillator, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("figure.doc", "must end in one of"), ("figure", "must end in one of"), ("no/a.png", "no does")],
)
def test_what_cannot_be_written_is_said(oscillator, tmp_path, name, expected):
    with pytest.raises(ValueError, match=expected):
        save_figure(*oscillator, tmp_path / name)


@pytest.mark.slow
def test_pyplot_is_left_alone_and_matplotlib_loaded_on_use():
    script = (
        "import sys, nnqm, nnqm.plot\nfrom nnqm.report.analyse import analyse\n"
        "assert 'matplotlib' not in sys.modules\n"
        "run = nnqm.simulate(nnqm.builtin_theory('oscillator'), 8192, 16, 0.2, rng=1)\n"
        "nnqm.plot.figure(run, analyse(run))\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    assert answer(script) == ""
