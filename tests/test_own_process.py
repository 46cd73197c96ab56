"""Extension as CONTRIBUTING.md describes it: a process, observables and an estimator defined outside the package."""

import pickle
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent
from nnqm.cli import main
from nnqm.errors import InputError, InputTypeError
from nnqm.theories.state_modes import Levels

CONTRIBUTING = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
HEADER = "from dataclasses import dataclass\n\nimport numpy as np\n\nimport nnqm\n\n\n"


def recipe(title):
    """Python code of a section of CONTRIBUTING.md."""
    section = CONTRIBUTING.split(f"## {title}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


# ---- a process: one class, three members


@dataclass(frozen=True)
class Telegraph(nnqm.Source):
    """Random telegraph process: +height or -height, with flips at a rate."""

    kind = "telegraph"

    rate: float
    height: float = 1.0

    @property
    def variance(self):
        return np.array([self.height**2])

    @property
    def natural_step(self):
        return 0.1 / self.rate

    def compiled(self, times):
        dt = times[1] - times[0] if len(times) > 1 else self.natural_step
        flip = -np.expm1(-2 * self.rate * dt) / 2
        chain = nnqm.MarkovChain([-self.height, self.height], [[1 - flip, flip], [flip, 1 - flip]], dt)
        return chain.compiled(times)


class Known(Telegraph):
    """The same, which says more of itself."""

    kind = "telegraph-known"
    continuous = markov = True
    positive_because = "a reversible Markov process"
    label = "random-telegraph"

    def levels(self, n_levels, hbar):
        return [Levels(energies=np.array([0.0, 2 * hbar * self.rate]), signs=np.ones(2))]


THEORY = nnqm.Theory(Telegraph(rate=0.7, height=1.5))


@pytest.fixture(scope="module")
def run():
    return nnqm.simulate(THEORY, 40_000, 64, 0.1, rng=1)


@pytest.mark.slow
def test_an_own_process_has_its_exact_variance_and_correlator(run):
    assert_consistent(run.mean(), 0.0)
    lags = [run.lags.index(k) for k in (1, 2, 5, 10)]
    exact = 1.5**2 * np.exp(-2 * 0.7 * 0.1 * np.array([1, 2, 5, 10]))
    assert_consistent(run.two_point()[lags], exact)
    assert_inconsistent(run.two_point()[lags], 1.02 * exact)
    through = nnqm.Theory([Telegraph(0.7, 1.5), nnqm.OrnsteinUhlenbeck(1.0)], nnqm.Network([[[1.0, 2.0]]]))
    both = nnqm.simulate(through, 40_000, 64, 0.1, rng=2)
    variance = 1.5**2 + 4 * 0.5
    assert_consistent(both.moments()[0], variance)
    assert_inconsistent(both.moments()[0], 1.05 * variance)


@pytest.mark.slow
def test_a_report_on_an_own_process(run):
    report = nnqm.analyse(run)
    assert str(report).startswith("x of 1 telegraph input, no network: 40,000 paths")
    assert any(note.startswith("no exact values: sources[0] must be OrnsteinUhlenbeck") for note in report.notes)
    gap = report.details["spectrum"].gaps[0]
    assert_consistent(gap, 1.4)
    known = nnqm.analyse(nnqm.simulate(nnqm.Theory(Known(0.7, 1.5)), 40_000, 64, 0.1, rng=1))
    assert str(known).startswith("x of 1 random-telegraph input")
    (row,) = (row for row in known if row.quantity == "gap 1")
    assert row.exact == pytest.approx(1.4)
    assert all(row.exact is None for row in report if row.quantity == "gap 1")


@pytest.mark.slow
def test_properties_of_an_own_process_are_tested_or_known():
    found = nnqm.check(THEORY, n_paths=10_000, rng=3)
    assert [(row.name, row.verdict) for row in found] == [
        ("mean-square continuity", "unknown"),
        ("finite two-point function", "holds"),
        ("stationarity", "holds"),
        ("Markov property", "consistent"),
        ("reflection positivity", "consistent"),
    ]
    told = nnqm.check(nnqm.Theory(Known(0.7)), n_paths=10_000, rng=3)
    assert all(row.verdict == "holds" for row in told)
    assert told["reflection positivity"].reason == "by construction: a reversible Markov process"


@pytest.mark.slow
def test_an_own_process_is_saved_loaded_and_pickled(run, tmp_path):
    again = nnqm.load(nnqm.save(run, tmp_path / "own.nc"))
    assert again == run
    assert again.theory == THEORY
    assert nnqm.Theory.from_dict(THEORY.to_dict()) == THEORY
    assert THEORY.to_dict()["source"] == [{"kind": "telegraph", "rate": 0.7, "height": 1.5}]
    assert pickle.loads(pickle.dumps(THEORY)) == THEORY
    assert nnqm.extend(again, 41_000) == nnqm.simulate(THEORY, 41_000, 64, 0.1, rng=1, n_blocks=128)


FILE = '[[source]]\nkind = "telegraph"\nrate = 0.7\n'


@pytest.mark.slow
def test_an_own_process_in_a_theory_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.toml"
    path.write_text(FILE + "height = 1.5\n\n[run]\npaths = 6400\ntimes = 16\n")
    file = nnqm.load_theory_file(path)
    assert file.theory == THEORY
    assert file.run["dt"] == pytest.approx(0.1 / 0.7)
    with pytest.raises(SystemExit) as stop:
        main(["run", str(path), "--no-figure"])
    assert not stop.value.code
    assert "x of 1 telegraph input" in capsys.readouterr().out
    assert nnqm.load("own.nc").theory == THEORY


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (FILE.replace("rate", "rates"), InputError, r"key source\[0\].rates is unknown.*did you mean 'rate'"),
        ('[[source]]\nkind = "telegraph"\n', InputError, r"key source\[0\].rate is missing; write rate = "),
        (FILE.replace("0.7", '"0.7"'), InputTypeError, r"source\[0\].rate must be a number"),
        (FILE + "beta = 1.0\n", InputError, r"beta does not belong to a source of kind 'telegraph'"),
        (FILE.replace("telegraph", "telegraf"), InputError, r"import the module that defines it"),
    ],
)
def test_faults_of_a_file_of_an_own_process_are_named(tmp_path, text, error, message):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        nnqm.load_theory_file(path)


def test_an_unknown_kind_in_a_saved_run_says_what_to_import():
    data = THEORY.to_dict()
    data["source"][0]["kind"] = "someone-elses"
    with pytest.raises(InputError, match=r"source kind 'someone-elses' is unknown.*import the module that defines it"):
        nnqm.Theory.from_dict(data)


def test_faults_of_an_own_class_are_named_by_the_class_statement():
    with pytest.raises(InputTypeError, match=r"Hiding\.period hides Source\.period; give the field another name"):

        class Hiding(nnqm.Source):
            period: float

    with pytest.raises(InputTypeError, match="kind must be unique; got 'ornstein-uhlenbeck'"):

        class Taken(nnqm.Source):
            kind = "ornstein-uhlenbeck"

    class Nameless(nnqm.Source):
        variance, natural_step = np.ones(1), 0.1
        compiled = nnqm.OrnsteinUhlenbeck(1.0).compiled

    nameless = nnqm.Theory(Nameless())
    assert nnqm.simulate(nameless, 640, 8, 0.1, rng=1).n_times == 8
    with pytest.raises(InputTypeError, match="Nameless must have a kind of its own to be saved"):
        nameless.to_dict()

    class Heir(Telegraph):
        pass

    with pytest.raises(InputTypeError, match="Heir must have a kind of its own to be saved"):
        Heir(1.0).to_dict()


@pytest.mark.slow
def test_the_recipe_of_a_process_runs_from_the_command_line(tmp_path):
    (tmp_path / "my_process.py").write_text(HEADER + recipe("Adding a process"))
    (tmp_path / "own.toml").write_text(FILE + "\n[run]\npaths = 6400\ntimes = 16\n")
    (command,) = re.findall(r"`python -c \"(.*)\" run own.toml`", CONTRIBUTING)
    done = subprocess.run(
        [sys.executable, "-c", command, "run", "own.toml", "--no-figure"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "x of 1 telegraph input" in done.stdout


# ---- observables: a function of paths


@pytest.mark.slow
def test_own_observables():
    theory = nnqm.harmonic_oscillator()
    run = nnqm.simulate_functions(
        theory, lambda x: np.concatenate([x, x**3], axis=2), 40_000, 64, 0.2, names=["x", "cube"], rng=4
    )
    assert_consistent(run.moments("cube")[0], 15 / 8)
    assert_inconsistent(run.moments("cube")[0], 1.1 * 15 / 8)
    for n, gap in enumerate(nnqm.spectrum(run, 2).gaps, start=1):
        assert_consistent(gap, 2.0 * n - 1)


# ---- an estimator: a function of the sums of a run


def test_an_own_estimator(run):
    namespace = {}
    exec(HEADER + recipe("Adding an estimator"), namespace)
    relative_increment = namespace["relative_increment"]
    exact = 2 * (1 - np.exp(-2 * 0.7 * 0.1))
    assert_consistent(relative_increment(run), exact)
    assert_inconsistent(relative_increment(run), 1.05 * exact)
