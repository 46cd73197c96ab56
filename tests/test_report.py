"""The table that everything prints."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_pulls_are_standard
from nnqm.report.table import Group
from nnqm.statistics.estimate import format_value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oscillator", "deep-tanh", "three-inputs"])
def test_every_row_of_the_built_in_theories_agrees_with_the_exact_value(name):
    report = nnqm.analyse(nnqm.simulate(nnqm.builtin_theory(name), 30_000, 128, 0.2, rng=21))
    compared = [row for row in report if row.pull is not None]
    assert len(compared) >= 12
    for row in compared:
        assert_consistent(row.estimate, row.exact)
        assert nnqm.Verdict.DEVIATES not in (row.verdict, row.caveat)
    joint = next(row for row in report if "jointly" in row.quantity)
    assert joint.verdict == "ok"
    assert report.details["positivity"].verdict == "consistent"


def _mixed():
    wells = nnqm.builtin_theory("double-well").sources[0]
    network = nnqm.Network.random((2, 5, 1), rng=1, bias_std=0.5)
    return nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), wells], network), 0.1


def _kinked():
    wells = nnqm.builtin_theory("double-well").sources[0]
    return nnqm.Theory(wells, nnqm.Network.random((1, 5, 5, 1), "relu", rng=1, bias_std=0.5)), 0.1


def _alternating():
    steps = [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]
    return nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0, 2.0], steps, 1.0)), 1.0


@pytest.mark.slow
@pytest.mark.parametrize("make", [_mixed, _kinked, _alternating])
def test_the_exact_column_knows_other_inputs(make):
    theory, dt = make()
    report = nnqm.analyse(nnqm.simulate(theory, 12_000, 64, dt, rng=22))
    compared = [row for row in report if row.pull is not None and row.group != "levels"]
    assert {"shape", "two-point", "commutator"} <= {row.group for row in compared}
    assert len(compared) >= 8
    for row in compared:
        assert_consistent(row.estimate, row.exact)
    levels = [row for row in report if row.pull is not None and row.group == "levels"]
    for row in levels:
        assert_consistent(row.estimate, row.exact)
        assert row.cells[-1] == "resolved"
    at_dt = report[f"[x,p]/(i hbar) at dt = {dt:g}"]
    if make is _alternating:
        # Without reflection positivity there are no levels, and without a process in between no limit.
        assert not levels
        assert at_dt.limit is None
        assert report[f"<p^2> at dt = {dt:g}"].exact is not None
    else:
        # Two inputs share the neurons: too few for the slow level of the wells, as the report says.
        assert levels if make is _kinked else report["gap 1"].cells[-1] == "not resolved: basis-limited"
        assert at_dt.limit == report["[x,p]/(i hbar), dt -> 0"].exact
        assert report[f"spread of [x,p] at dt = {dt:g}"].limit > 1


@pytest.mark.slow
def test_random_weights_are_compared_with_averages_over_other_draws():
    theory = nnqm.builtin_theory("random-tanh")
    report = nnqm.analyse(nnqm.simulate(theory, 16_000, 64, 0.2, rng=23))
    rows = {row.quantity: row for row in report}
    for quantity in ("<x>", "variance of x", "excess kurtosis", "G_c(0.2)", "G_c(1)", "plateau of G",
                     "G(0.2), plateau included", "[x,p]/(i hbar) at dt = 0.2", "roughness exponent H"):  # fmt: skip
        row = rows[quantity]
        assert row.exact_error > 0
        assert_consistent(row.estimate, row.exact, expected_error=row.exact_error)
        assert row.cells[2].endswith(")")
    assert rows["plateau of G"].exact > 20 * rows["plateau of G"].exact_error
    assert any("averages over 4000 other draws" in note for note in report.notes)
    # One path for each draw: no connected function, and the rest stands.
    alone = nnqm.RandomNetwork((1, 8, 1), "tanh", bias_std=0.5)
    single = nnqm.analyse(nnqm.simulate(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), alone), 8000, 32, 0.2, rng=1))
    assert not any(row.quantity.startswith("G_c") for row in single)
    row = single["G(1), plateau included"]
    assert_consistent(row.estimate, row.exact, expected_error=row.exact_error)


def test_the_error_of_an_exact_value_counts():
    estimate = nnqm.Estimate(1.0, [0.9, 1.1, 1.05, 0.95], [4.0] * 4)
    error = float(estimate.error)
    row = nnqm.results.Row("q", estimate, 0.5, None, Group.SHAPE, exact_error=error)
    assert row.pull == pytest.approx(0.5 / (np.sqrt(2) * error))
    assert row.cells[2] == format_value(0.5, error)
    assert nnqm.results.Row("q", estimate, 0.5, None, Group.SHAPE).cells[2] == "0.5"


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.2),
        nnqm.ThermalProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1]), beta=3.2),
    ],
)
@pytest.mark.parametrize("network", [None, nnqm.Network.random((1, 4, 1), rng=1)])
def test_thermal_theories_are_compared_with_their_traces(source, network):
    report = nnqm.analyse(nnqm.simulate(nnqm.Theory(source, network), 12_000, 16, 0.2, rng=24))
    compared = [row for row in report if row.pull is not None]
    assert {"G_c(1)", "[x,p]/(i hbar) at dt = 0.2", "roughness exponent H"} <= {row.quantity for row in compared}
    for row in compared:
        assert_consistent(row.estimate, row.exact)
    assert next(row for row in report if "jointly" in row.quantity).verdict == "ok"
    assert not any(row.group == "levels" for row in report)


@pytest.mark.slow
@pytest.mark.parametrize(("widths", "activation"), [((4, 3, 1), "tanh"), ((2, 4, 4, 1), "relu")])
def test_what_no_quadrature_reaches_has_exact_values_with_errors(widths, activation):
    network = nnqm.Network.random(widths, activation, rng=1, bias_std=0.5)
    run = nnqm.simulate(nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0] * widths[0]), network), 8000, 32, 0.2, rng=25)
    report = nnqm.analyse(run)
    assert report.notes[0].startswith("exact values by quasi-Monte Carlo, with errors: ")
    for quantity in ("<x>", "variance of x", "G_c(1)", "[x,p]/(i hbar) at dt = 0.2", "roughness exponent H",
                     "[x,p]/(i hbar), dt -> 0"):  # fmt: skip
        row = report[quantity]
        assert 0 < row.exact_error < float(row.estimate.total_error)
        assert_consistent(row.estimate, row.exact, expected_error=row.exact_error)


@pytest.mark.slow
def test_where_nothing_exact_is_known_a_note_says_why():
    wells = nnqm.builtin_theory("double-well").sources[0]
    network = nnqm.Network.random((2, 3, 1), "relu", rng=1, bias_std=0.5)
    run = nnqm.simulate(nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), wells], network), 4000, 16, 0.2, rng=1)
    report = nnqm.analyse(run)
    assert "no exact values: the sum over states reaches a relative error of" in report.notes[0]
    assert all(row.exact is None for row in report if row.group != "levels")


@pytest.mark.slow
def test_the_finite_dt_columns_are_exact_for_the_estimator_printed():
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 32, 0.2, rng=1))
    assert report["[x,p]/(i hbar) at dt = 0.2"].exact == pytest.approx(-np.expm1(-0.2) / 0.2)
    assert report["[x,p]/(i hbar) at dt = 0.2"].limit == pytest.approx(1)
    assert report["roughness exponent H"].exact == pytest.approx(np.log2(1 + np.exp(-0.2)) / 2)
    assert report["roughness exponent H"].limit == 0.5
    assert report["[x,p]/(i hbar), dt -> 0"].exact == pytest.approx(1)


@pytest.mark.slow
def test_oscillator_energies_need_its_own_sigma():
    def notes(theory):
        run = nnqm.simulate(theory, 4000, 32, 0.2, rng=1)
        return " ".join(nnqm.analyse(run).notes)

    assert "E_0 = 0.5" in notes(nnqm.harmonic_oscillator())
    assert "E_0" not in notes(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0, 2.0)))


@pytest.mark.slow
def test_the_table_lines_up_and_finds_its_rows():
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 4000, 64, 0.2, rng=1))
    text = str(report)
    assert text.splitlines()[1].startswith("quantity")
    assert str(report["gap 1"].estimate) in text
    with pytest.raises(KeyError, match="gap 99"):
        report["gap 99"]


@pytest.mark.slow
def test_smooth_paths_violate_positivity_and_have_no_commutator():
    t = 0.2 * np.arange(64)
    covariance = np.exp(-((t[:, None] - t) ** 2) / 2) + 1e-10 * np.eye(64)
    paths = np.random.default_rng(3).normal(size=(4000, 64)) @ np.linalg.cholesky(covariance).T
    report = nnqm.analyse(nnqm.accumulate(paths, 0.2), paths=paths)
    assert report.details["positivity"].verdict == "violated"
    row = report["[x,p]/(i hbar), dt -> 0"]
    assert row.verdict is nnqm.Verdict.SMOOTH
    assert all(r.exact is None for r in report)


@pytest.mark.slow
def test_paths_of_a_theory_are_judged_by_it():
    theory = nnqm.harmonic_oscillator()
    paths = nnqm.sample_paths(theory, 4000, 64, 0.2, rng=8)
    report = nnqm.analyse(nnqm.accumulate(paths, 0.2, theory=theory), paths=paths)
    assert_consistent(report["gap 1"].estimate, 1.0)
    assert report["gap 1"].exact == 1.0


@pytest.mark.slow
def test_pulls_over_seeds_are_of_unit_size():
    theory = nnqm.harmonic_oscillator()
    pulls = []
    for seed in range(40):
        run = nnqm.simulate(theory, 8192, 32, 0.2, rng=seed, measure=nnqm.Measure(observable_lags=(1, 2)))
        pulls.append([float(run.connected()[0].pull(0.5)), float(nnqm.spectrum(run, 1).gaps[0].pull(1.0))])
    for column in np.transpose(pulls):
        assert_pulls_are_standard(column)
        # Errors too small by a factor of two would be seen.
        with pytest.raises(AssertionError, match="too wide"):
            assert_pulls_are_standard(2 * column)


@pytest.mark.slow
def test_what_does_not_converge_has_no_value():
    # A step of the seed process is many times the width of the neuron: no polynomial in dt sees it.
    steep = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[50.0]], [[1.0]]]))
    report = nnqm.analyse(nnqm.simulate(steep, 8192, 64, 0.2, rng=1))
    for quantity in ("[x,p]/(i hbar), dt -> 0", "<p^2>, dt -> 0"):
        assert report[quantity].estimate is None
        assert report[quantity].cells[-1].startswith("not resolved: still moves with dt")
    assert "lie in unresolved levels" in report["[x,p]/(i hbar), from levels"].reason


@pytest.mark.slow
def test_levels_of_smooth_paths_are_not_reported():
    phase = np.random.default_rng(2).uniform(0, 2 * np.pi, (2000, 1))
    run = nnqm.accumulate(np.sin(0.3 * np.arange(64) + phase), 0.2)
    assert nnqm.gevp(run)[0][0] is not None  # the eigenvalue problem alone does not know
    levels = [row for row in nnqm.analyse(run) if row.group == "levels"]
    assert levels
    assert all(row.estimate is None and "need reflection positivity" in row.reason for row in levels)


@pytest.mark.slow
def test_levels_are_numbered_by_the_exact_ones():
    # Paths much shorter than the first relaxation time: the first level looks like a plateau, and is not skipped.
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 5000, 64, 1e-4, rng=1))
    assert report["gap 1"].cells[-1] == "not resolved: no decay within the paths, longer ones are needed"
    assert not any(row.quantity == "gap 2" for row in report)
    # Of paths of unknown origin it may be a superselection sector.
    y = nnqm.sample_paths(nnqm.harmonic_oscillator(), 4000, 64, 0.2, rng=6, precision="float64")
    sectors = y + np.random.default_rng(5).choice([-3.0, 3.0], size=(4000, 1, 1))
    report = nnqm.analyse(nnqm.accumulate(sectors, 0.2))
    assert report["non-decaying part"].verdict == "plateau"
    assert_consistent(report["gap 1"].estimate, 1.0)


@pytest.mark.parametrize("n_times", [1, 2, 3])
def test_short_paths_have_short_tables(n_times):
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 4000, n_times, 0.2, rng=1))
    assert_consistent(report["variance of x"].estimate, 0.5)
    assert any("uniform grid" in note for note in report.notes) == (n_times == 1)


@pytest.mark.slow
def test_constant_and_tiny_channels_print_well():
    def table(weight, bias):
        network = nnqm.Network([[[1.0]], [[weight]]], [[0.0], [bias]])
        return nnqm.analyse(nnqm.simulate(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network), 4000, 32, 0.2, rng=1))

    constant = table(0.0, 2.0)
    assert [row.quantity for row in constant] == ["<x>", "variance of x"]
    assert constant.notes[-1] == "x is constant: nothing moves"
    tiny = table(1e-8, 0.0)["variance of x"]
    assert tiny.cells[1].endswith("e-17")
    assert tiny.cells[2] == f"{tiny.exact:.6g}" != "0"


def test_too_few_paths_for_the_positivity_test_do_not_stop_the_report():
    paths = nnqm.sample_paths(nnqm.harmonic_oscillator(), 40, 32, 0.2, rng=1)
    report = nnqm.analyse(nnqm.accumulate(paths, 0.2), paths=paths)
    assert report["reflection positivity"].cells[-1].startswith("not tested: ")
    assert report["variance of x"].estimate is not None


@pytest.mark.slow
def test_too_few_blocks_for_verdicts_on_levels_leave_the_other_rows():
    report = nnqm.analyse(nnqm.simulate(nnqm.harmonic_oscillator(), 256, 64, 0.2, rng=1))
    assert report["gap 1"].cells[-1] == "not resolved: few blocks"
    assert report["variance of x"].estimate is not None
    assert any("verdicts on levels need the errors of at least 8 blocks; got 4" in note for note in report.notes)


@pytest.mark.slow
def test_what_is_not_stationary_has_its_two_time_function():
    expansion = nnqm.karhunen_loeve(nnqm.Kernel.matern(1.5), (0.0, 4.0), 12)
    theory = nnqm.Theory(nnqm.KarhunenLoeveProcess(expansion))
    report = nnqm.analyse(nnqm.simulate(theory, 4000, 9, 0.5, rng=1))
    rows = [row for row in report.rows if row.group == "two-point"]
    assert [row.quantity for row in rows][:2] == ["<x(0) x(0)>", "<x(0) x(2)>"]
    for row in rows:
        assert_consistent(row.estimate, row.exact)
    # A smooth kernel violates positivity, and the report says by what.
    assert report.rows[-1].verdict == "violated"
    assert any("violated by F =" in note for note in report.notes)
    split = nnqm.RandomNetwork((1, 4, 1), bias_std=0.5, shared=[True, False])
    run = nnqm.simulate(nnqm.Theory(nnqm.Times(reflected=True), split), 4096, 7, 0.3, rng=1)
    rows = nnqm.analyse(run).rows
    assert next(row.quantity for row in rows) == "<x(-0.9) x(-0.9)>"
    assert rows[-1].verdict == "consistent"


@pytest.mark.slow
def test_sectors_of_given_paths_are_told():
    x = nnqm.sample_paths(nnqm.harmonic_oscillator(), 8000, 64, 0.2, rng=1)[:, :, 0]
    sectors = np.random.default_rng(1).choice([-1.0, 1.0], size=(8000, 1))
    for paths, clustering in ((x, True), (x + sectors, False)):
        rows = nnqm.analyse(nnqm.accumulate(paths, 0.2)).rows
        assert any(row.verdict is nnqm.Verdict.DOES_NOT_CLUSTER for row in rows) != clustering


# ---- rows that cannot be had, and what a session shows

OSCILLATOR = nnqm.harmonic_oscillator()


@pytest.mark.slow
def test_points_that_are_functions_of_each_other_leave_the_joint_test_out():
    report = nnqm.analyse(nnqm.simulate(OSCILLATOR, 12_800, 32, 1e-8, rng=1), positivity=False)
    row = report["G_c jointly at 12 lags"]
    assert row.verdict is nnqm.Verdict.NOT_TESTED
    assert "covariance is singular" in row.reason
    assert report["variance of x"].verdict is nnqm.Verdict.OK
    assert_consistent(report["[x,p]/(i hbar) at dt = 1e-08"].estimate, 1.0)


@pytest.mark.parametrize("dt", [1e-15, 1e-4, 1e3, 1e8])
def test_any_time_step_has_a_report(dt):
    report = nnqm.analyse(nnqm.simulate(OSCILLATOR, 2560, 16, dt, rng=1), positivity=False)
    assert_consistent(report["variance of x"].estimate, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("n_times", [1, 2, 3, 4])
def test_few_times_have_a_report(n_times):
    assert_consistent(nnqm.analyse(nnqm.simulate(OSCILLATOR, 2560, n_times, 0.2, rng=1))["variance of x"].estimate, 0.5)


def awkward():
    rng = np.random.default_rng(1)
    steps = np.arange(32)
    signs = rng.choice([-1.0, 1.0], size=(1000, 1))
    one, spike = np.zeros((2, 1000, 32))
    one[5] += 1
    spike[5, 3] += 1
    yield "constant", np.full((1000, 32), 3.0), "variance of x"
    yield "each path constant", np.repeat(rng.normal(size=(1000, 1)), 32, axis=1), "roughness exponent H"
    yield "signs", np.repeat(signs, 32, axis=1), "roughness exponent H"
    yield "all paths equal and linear", np.repeat(1.0 * steps[None], 1000, axis=0), "roughness exponent H"
    yield "alternating", signs * (-1.0) ** steps, "roughness exponent H"
    yield "one path differs", one, "roughness exponent H"
    yield "one point differs", spike, "roughness exponent H"
    yield "random phases", np.sin(0.2 * steps + rng.uniform(0, 7, (1000, 1))), "roughness exponent H"
    yield "heavy tails", rng.standard_cauchy((1000, 32)), "roughness exponent H"


@pytest.mark.slow
@pytest.mark.parametrize(("paths", "row"), [pytest.param(*case[1:], id=case[0]) for case in awkward()])
def test_awkward_paths_have_a_report(paths, row):
    report = nnqm.analyse(nnqm.accumulate(paths, 0.1), paths=paths)
    assert report[row].quantity == row
    for row in report:
        if row.verdict in (nnqm.Verdict.CONSISTENT, nnqm.Verdict.VIOLATED):
            assert "nan" not in row.cells[-1]


@pytest.mark.slow
def test_paths_that_alternate_exactly_violate_positivity_without_doubt():
    paths = np.random.default_rng(1).choice([-1.0, 1.0], size=(1000, 1)) * (-1.0) ** np.arange(32)
    found = nnqm.reflection_positivity(paths)
    assert (found.verdict, found.p_value) == ("violated", 0.0)
    # The same paths without the alternation are constant in time, and positive without doubt.
    found = nnqm.reflection_positivity(paths * (-1.0) ** np.arange(32))
    assert found.verdict == "consistent"


@pytest.mark.slow
def test_positivity_can_be_left_out_and_progress_is_told():
    run = nnqm.simulate(OSCILLATOR, 2560, 16, 0.2, rng=1)
    told = []
    report = nnqm.analyse(run, progress=lambda done, wanted: told.append((done, wanted)))
    assert told == [(i, 6) for i in range(1, 7)]
    assert "positivity" in report.details
    told.clear()
    quick = nnqm.analyse(run, positivity=False, progress=lambda done, wanted: told.append((done, wanted)))
    assert told == [(i, 5) for i in range(1, 6)]
    assert "positivity" not in quick.details
    assert [row.cells for row in quick] == [row.cells for row in report][:-1]


def test_an_array_is_not_a_run():
    with pytest.raises(TypeError, match=r"run must be a run .*got ndarray; .*nnqm.accumulate\(paths, dt\)"):
        nnqm.analyse(np.zeros((100, 32)))


@pytest.mark.slow
def test_sessions_and_notebooks_show_the_table():
    run = nnqm.simulate(OSCILLATOR, 2560, 16, 0.2, rng=1)
    report = nnqm.analyse(run)
    assert repr(report) == str(report)
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + len(report.rows) + len({row.group for row in report})
    assert "&lt;x&gt;" in html
    assert "<x>" not in html
    for row in report:
        assert str(row.cells[1]) in html
    assert len(repr(run)) < 500
    shown = [
        nnqm.spectrum(run, 2),
        run.connected(),
        nnqm.kallen_lehmann(nnqm.builtin_theory("three-inputs")),
        report.details["positivity"],
        run.observables,
        nnqm.check(OSCILLATOR),
        report.rows[0],
    ]
    for value in shown:
        assert len(repr(value)) < 1000, type(value)
    assert "0.99" in repr(shown[0]) or "1.0" in repr(shown[0])
