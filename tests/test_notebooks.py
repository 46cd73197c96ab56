"""Manners in notebooks and terminals: progress bars that vanish, nothing of them in pipes, errors in one line."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import nnqm
from interpreter import HANGS, answer
from nnqm import progress
from nnqm.errors import InputError, InputTypeError
from nnqm.learning import TwoPoint

OSCILLATOR = nnqm.harmonic_oscillator()


def run(n=2048, **options):
    return nnqm.simulate(OSCILLATOR, n, 32, 0.2, rng=1, n_threads=1, **options)


@pytest.fixture(scope="module")
def finished():
    return run()


def sine(scale=1.0):
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[scale]], [[1.0]]], activation="sin"))


# Long work, called with (a finished run, progress).
WORK = {
    "simulate": lambda given, tell: run(progress=tell),
    "extend": lambda given, tell: nnqm.extend(given, 4096, n_threads=1, progress=tell),
    "analyse": lambda given, tell: nnqm.analyse(given, positivity=False, progress=tell),
    "check": lambda given, tell: nnqm.check(OSCILLATOR, progress=tell),
    "hidden_spectrum": lambda given, tell: nnqm.hidden_spectrum(
        nnqm.Paths(OSCILLATOR, 1024, 32, 0.2, rng=1), n_levels=1, progress=tell
    ),
    "fit": lambda given, tell: nnqm.fit(
        sine(), nnqm.Target(TwoPoint([0.0, 1.0]), [0.4, 0.1]), steps=4, method="adam", progress=tell
    ),
    "scan": lambda given, tell: nnqm.scan(
        {"scale": [0.5, 1.0]}, sine, n_levels=2, positivity=False, rng=1, progress=tell
    ),
    "training_dynamics": lambda given, tell: nnqm.training_dynamics(
        nnqm.Trajectory([0, 1], [sine(), sine(2.0)]), n_levels=2, positivity=False, rng=1, progress=tell
    ),
    "simulate_two_level": lambda given, tell: nnqm.simulate_two_level(OSCILLATOR, 64, 8, 5, 0.3, rng=4, progress=tell),
}


class Screen:
    """A place that remembers what is drawn."""

    interval = 0.0

    def __init__(self, what, made):
        self.what, self.drawn, self.ended = what, [], 0
        made.append(self)

    def draw(self, done, wanted, rest):
        assert not self.ended
        self.drawn.append((done, wanted, rest))

    def end(self):
        self.ended += 1


@pytest.fixture
def screens(monkeypatch):
    """The bars of an impatient user who looks at a terminal."""
    made = []
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_terminal", lambda: True)
    monkeypatch.setattr(progress, "_screen", lambda what: Screen(what, made))
    monkeypatch.setattr(nnqm.runs.slices, "SLICE", 1e-9)
    monkeypatch.setattr("nnqm.learning.optimisers._PROGRESS", 0.0)
    return made


@pytest.mark.parametrize("name", WORK)
def test_long_work_shows_one_bar_that_vanishes(name, screens, finished):
    shown = WORK[name](finished, None)
    assert [screen.what for screen in screens] == [name], "work inside the work has no bar of its own"
    (screen,) = screens
    assert screen.ended == 1
    assert screen.drawn
    done, wanted = np.array([state[:2] for state in screen.drawn]).T
    assert (np.diff(done) >= 0).all()
    assert (done <= wanted).all()
    # Neither a bar nor a function changes the result, and False draws nothing.
    silent = WORK[name](finished, False)
    assert len(screens) == 1
    assert repr(silent) == repr(shown)
    if name in ("simulate", "extend", "simulate_two_level"):
        assert silent == shown


@pytest.mark.parametrize("name", WORK)
def test_a_wrong_progress_is_refused(name, finished):
    with pytest.raises(InputTypeError, match="progress must be a function of"):
        WORK[name](finished, "auto")


def test_work_inside_the_work_has_no_bar(screens):
    nnqm.scan({"scale": [1.0]}, lambda scale: run(progress=True).theory, positivity=False)
    assert [
        screen.what for screen in screens
    ] == []  # the only theory is the last one, and its bar would vanish at once
    nnqm.scan({"scale": [1.0, 2.0]}, lambda scale: run(progress=True).theory, positivity=False)
    assert [screen.what for screen in screens] == ["scan"]


def test_a_function_is_called_and_takes_the_place_of_the_bar(screens, finished):
    told = []
    nnqm.scan(
        {"scale": [1.0]}, lambda scale: run(progress=True).theory, positivity=False, progress=lambda *s: told.append(s)
    )
    assert told == [(1, 1)]
    assert not screens


def test_a_bar_appears_after_a_second_of_work(screens, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 1.0)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.ProgressBar("work", "paths/s") as tell:
        for now[0], done in ((100.5, 1000), (100.9, 1500), (102.5, 3000)):
            tell(done, 10_000)
    with progress.ProgressBar("work", "paths/s") as tell:
        now[0] += 2
        tell(10_000, 10_000)  # it would vanish at once
    (screen,) = screens
    assert screen.drawn == [(3000, 10_000, " 30%  1,000 paths/s  00:07 left")]


def test_parts_of_unequal_length_have_no_speed(screens):
    for unit, wanted, text in (("", 6, "2 of 6"), ("", 0, "2 done"), ("chunks/s", 0, "2 done  ")):
        with progress.ProgressBar("work", unit, True) as tell:
            tell(1, wanted)
            time.sleep(1e-3)
            tell(2, wanted)
        assert screens[-1].drawn[-1][2].startswith(text)
        assert "left" not in screens[-1].drawn[-1][2]


def test_nothing_is_shown_in_threads_and_workers(screens, monkeypatch):
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    monkeypatch.setattr("multiprocessing.process.parent_process", lambda: "parent")
    run()
    assert not screens
    run(progress=True)
    assert len(screens) == 1


def test_a_bar_that_cannot_be_drawn_does_not_end_the_work(screens, monkeypatch, finished):
    def broken(*state):
        raise OSError("the terminal is gone")

    monkeypatch.setattr(Screen, "draw", broken)
    monkeypatch.setattr(Screen, "end", broken)
    assert run() == finished


def test_work_after_interrupted_work_has_a_bar(screens):
    with pytest.raises(nnqm.Interrupted):
        run(progress=lambda done, wanted: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(InputError):
        run(0)
    run()
    assert [screen.ended for screen in screens] == [1]


def test_a_log_gets_lines_if_it_is_asked_for(monkeypatch, capsys):
    now = iter(range(100, 10_000, 3))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    with progress.ProgressBar("work", "paths/s", True) as tell:
        for done in range(1, 9):
            tell(done * 1000, 9000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["work: 11%", "work: 56%  333 paths/s  00:12 left"]


# Small work that would show its bar at once.
IMPATIENT = """
import sys
import nnqm, nnqm.progress
nnqm.progress._PATIENCE = nnqm.progress._Terminal.interval = 0.0
nnqm.runs.slices.SLICE = 1e-9
run = nnqm.simulate(nnqm.harmonic_oscillator(), 4096, 32, 0.2, rng=1, n_threads=1)
nnqm.extend(run, 8192)
print(nnqm.analyse(run, positivity=False)["gap 1"].verdict)
print("rich" in sys.modules)
"""


@pytest.mark.slow
def test_nothing_of_a_bar_is_in_a_pipe():
    # Neither is the library loaded that would draw it, even where colours are asked for.
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT],
        capture_output=True,
        timeout=HANGS,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert done.stderr == b""
    assert done.stdout.split() == [b"resolved", b"False"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_bar_appears_and_vanishes_in_a_terminal():
    here, there = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        stdout=subprocess.PIPE,
        stderr=there,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(there)
    drawn = b""
    while True:
        try:
            part = os.read(here, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        drawn += part
    out = child.communicate(timeout=HANGS)[0]
    os.close(here)
    assert child.returncode == 0
    # The output is another file, into which nothing of the bar goes.
    assert out.split() == [b"resolved", b"True"]
    text = drawn.decode()
    for name in ("simulate", "extend", "analyse"):
        assert name in text
    assert "paths/s" in text
    # The last thing that is written: the cursor is there again, and its line is empty.
    assert text.endswith("\x1b[2K")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 3


def test_a_terminal_that_cannot_move_its_cursor_gets_nothing(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "_terminal", lambda: True)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with progress.ProgressBar("work") as tell:
        tell(1, 3)
        tell(2, 3)
    assert capsys.readouterr().err == ""


IPYTHON = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance(colors="nocolor")
shell.kernel = object()  # as that of Jupyter
def cell(code):
    with capture_output() as found:
        shell.run_cell(code)
    return found
cell("import nnqm, nnqm.progress; theory = nnqm.harmonic_oscillator()")
cell("nnqm.progress._PATIENCE = 0.0; nnqm.runs.slices.SLICE = 1e-9")
codes = [
    "def mine(n):\\n    return nnqm.simulate(theory, n, 8, 0.2)\\nmine(-3)",
    "%tb",
    "nnqm.Network('x')",
    "def stop(*now): raise KeyboardInterrupt\\nnnqm.simulate(theory, 64_000, 8, 0.2, progress=stop)",
    "import sys; print(type(sys.last_value.partial).__name__)",
]
cell("1/0")
texts = [cell(codes[0]).stdout]
debugged = shell.InteractiveTB.tb is sys.last_value.__traceback__
texts += [cell(code).stdout for code in codes[1:]]
bar = cell("run = nnqm.simulate(theory, 4096, 8, 0.2, rng=1, n_threads=1)")
shown, _ = shell.display_formatter.format(shell.user_ns["run"])
print(json.dumps([texts, [output.data for output in bar.outputs], bar.stderr, sorted(shown), debugged]))
"""


@pytest.mark.slow
def test_ipython_shows_errors_in_one_line_and_a_bar_that_vanishes():
    pytest.importorskip("IPython")
    import json

    (wrong, traceback, of_type, stopped, partial), bar, errors, shown, debugged = json.loads(answer(IPYTHON))
    (line,) = wrong.splitlines()
    assert line.startswith("InputError: n_paths must be at least 1; got -3 (")
    # The line of the user that called the package, not the last one of the cell.
    assert ", line 2; %tb shows the traceback)" in line
    assert debugged, "%debug starts at another error"
    assert "Traceback (most recent call last)" in traceback
    assert "simulation.py" in traceback
    assert of_type.startswith("Input")
    assert len(of_type.splitlines()) == 1
    assert "sys.last_value.partial has it" in stopped
    assert len(stopped.splitlines()) == 1
    assert partial == "Correlators\n"
    assert "<progress" in bar[0]["text/html"]
    assert bar[-1] == {"text/html": "", "text/plain": ""}
    assert errors == ""
    assert shown == ["text/html", "text/plain"]


def test_errors_in_plain_python_keep_their_traceback():
    with pytest.raises(InputError) as found:
        run(0)
    error = found.value
    assert error.__traceback__ is not None
    first, second = error._render_traceback_(), error._render_traceback_()
    assert len(first) == 1
    assert first[0].startswith("InputError: n_paths must be at least 1; got 0 (")
    assert "Traceback (most recent call last)" in second[0]
