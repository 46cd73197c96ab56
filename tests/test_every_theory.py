"""Every built-in theory and every example runs from the command line to its figure, and theories travel in pickles."""

import copy
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import nnqm
from nnqm import cli
from nnqm.exact.thermal_measures import thermal_measure
from nnqm.plot import correlator, save_overview
from nnqm.report.analyse import analyse
from nnqm.theories.builtin import BUILTIN_THEORIES

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_to_figure(theory, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", str(theory), "--paths", "2048", "--times", "24", "--figure", "a.png", "-o", "a.nc"])
    assert stop.value.code == 0
    assert (folder / "a.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILTIN_THEORIES)
def test_built_in_theories_run_to_their_figure(name, tmp_path, monkeypatch):
    run_to_figure(name, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.stem)
def test_theory_files_run_to_their_figure(path, tmp_path, monkeypatch):
    run_to_figure(path, tmp_path, monkeypatch)


OTHERS = {
    "random weights of two inputs": lambda: nnqm.Theory(
        nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.RandomNetwork((2, 6, 1), "relu", group=4)
    ),
    "random weights of four inputs": lambda: nnqm.Theory(
        nnqm.OrnsteinUhlenbeck([1.0] * 4), nnqm.RandomNetwork((4, 6, 1), "tanh", group=4)
    ),
    "times": lambda: nnqm.Theory(nnqm.Times(), nnqm.RandomNetwork((1, 8, 1), "tanh", bias_std=1.0)),
    "four inputs": lambda: nnqm.Theory(
        nnqm.OrnsteinUhlenbeck([1.0, 2.0, 3.0, 4.0]), nnqm.Network.random((4, 6, 1), rng=1)
    ),
    "two layers of kinks": lambda: nnqm.Theory(
        nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network.random((2, 6, 6, 1), "relu", rng=1, bias_std=0.5)
    ),
    "an alternating chain": lambda: nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.1, 0.9], [0.9, 0.1]], 0.2)),
    "a chain that stays": lambda: nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], np.eye(2), 0.2, law=[0.5, 0.5])),
    "a constant": lambda: nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[0.0]], [[1.0]]], [[0.3], [1.0]])),
    "a path without randomness": lambda: nnqm.Theory(nnqm.Times(), nnqm.Network([[[1.0]], [[1.0]]])),
    "thermal kinks": lambda: nnqm.Theory(
        nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.2), nnqm.Network([[[1.0]], [[1.0]]], activation="relu")
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_theories_have_a_report_a_figure_and_checks(name, tmp_path):
    theory = OTHERS[name]()
    run = nnqm.simulate(theory, 2048, 16, 0.2, rng=1)
    save_overview(run, analyse(run), tmp_path / "a.png")
    assert "stationarity" in str(nnqm.check(theory, n_paths=2048, rng=1))


@pytest.mark.slow
@pytest.mark.parametrize("n_times", [2, 16])
def test_steps_too_small_to_move_leave_the_joint_test_out(n_times):
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 2048, n_times, 1e-8, rng=1)
    assert "oscillator" in str(analyse(run)) or analyse(run).rows


@pytest.mark.slow
def test_the_figure_draws_what_is_known_of_random_weights():
    run = nnqm.simulate(OTHERS["random weights of two inputs"](), 2048, 16, 0.2, rng=1)
    report = analyse(run)
    axes = correlator(run, Figure().subplots(), exact=report.details["exact"])
    exact = next(c for c in axes.containers if c.get_label() == "exact")
    times, values = exact.lines[0].get_data()
    average = report.details["exact"].average
    assert set(times) <= set(average.times)
    for t, value in zip(times, values, strict=True):
        assert value == float(average.connected.value[list(average.times).index(t)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ground_state", "hamiltonian"])
def test_example_programs_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def test_theories_and_measures_travel_in_pickles():
    theories = [make() for make in OTHERS.values()]
    theories += [BUILTIN_THEORIES[name]() for name in ("oscillator", "deep-tanh", "three-inputs", "random-tanh")]
    basis = nnqm.karhunen_loeve(lambda s, t: np.exp(-np.abs(s - t)), (0.0, 2.0), 8)
    theories.append(nnqm.Theory(nnqm.KarhunenLoeveProcess(basis)))
    for theory in theories:
        for again in (pickle.loads(pickle.dumps(theory)), copy.deepcopy(theory)):
            assert again == theory
            assert hash(again) == hash(theory)
    measure = thermal_measure(nnqm.harmonic_oscillator(), beta=2.0)
    assert pickle.loads(pickle.dumps(measure)).connected(0.5) == measure.connected(0.5)
