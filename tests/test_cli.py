"""The command line: what it prints and writes, what it says of bad input, and how it stops."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray

import nnqm
import nnqm.plot
from interpreter import answer, python
from nnqm import cli
from nnqm.report.analyse import analyse
from nnqm.report.table import HEADINGS, Group, Report, Row
from nnqm.runs import slices
from nnqm.sampling.correlators import merge_named
from nnqm.statistics.estimate import Estimate
from nnqm.verdict import Verdict

SMALL = ("--paths", "8192", "--times", "16")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def command(capsys):
    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


def wobbly(value):
    """An estimate whose error is about a tenth."""
    return Estimate(value, value + 0.01 * np.array([1, -1, 2, -2, 1, -1]), np.full(6, 6.0))


REPORT = Report(
    "a theory [with brackets]",
    (
        Row("gap 1", wobbly(1.0), 1.02, Verdict.RESOLVED, Group.LEVELS),
        Row("gap 2, which has a rather long name", None, 2.0, Verdict.NOT_RESOLVED, Group.LEVELS, reason="noise"),
        Row("commutator", wobbly(123.456789), 123.0, Verdict.DEVIATES, Group.COMMUTATOR),
    ),
    ("the first note [1]", "the second"),
    {},
)


@pytest.fixture
def quick(monkeypatch):
    """The report is not what is tested."""
    monkeypatch.setattr(cli.results, "analyse", lambda run, **options: REPORT)


@pytest.mark.slow
def test_run_prints_the_report_and_writes_data_and_figure(command, tmp_path):
    code, out, _ = command("run", "oscillator", *SMALL)
    assert code == 0
    run = nnqm.simulate(nnqm.builtin_theory("oscillator"), 8192, 16, 0.2, rng=1)
    assert nnqm.load("oscillator.nc") == run
    report = analyse(run)
    assert len(report.rows) > 5
    for row in report.rows:
        assert any(all(cell in line for cell in row.cells) for line in out.splitlines()), row
    assert Path("oscillator.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir(tmp_path)) == ["oscillator.nc", "oscillator.png"]


@pytest.mark.slow
def test_options_win_over_the_file_and_the_file_over_defaults(command, quick):
    Path("mine.toml").write_text(
        '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 2.0\n[run]\npaths = 500\ntimes = 9\nseed = 4\n'
    )
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(2.0))
    assert command("run", "mine.toml", "--no-figure")[0] == 0
    assert nnqm.load("mine.nc") == nnqm.simulate(theory, 500, 9, 0.1, rng=4)
    options = ("--paths", 300, "--times", 5, "--dt", 0.3, "--seed", 8, "--threads", 1, "--precision", "float64")
    assert command("run", "mine.toml", "--no-figure", *options)[0] == 0
    assert nnqm.load("mine.nc") == nnqm.simulate(theory, 300, 5, 0.3, rng=8, precision="float64")
    assert command("run", "mine.toml", "-o", "other.nc", "--figure", "other.svg")[0] == 0
    assert nnqm.load("other.nc") == nnqm.simulate(theory, 500, 9, 0.1, rng=4)
    assert "<svg" in Path("other.svg").read_text()


@pytest.mark.slow
def test_table_is_whole_when_it_is_not_on_a_terminal(command, quick):
    _, out, err = command("run", "oscillator", *SMALL, "--no-figure")
    assert "\x1b" not in out + err
    assert "a theory [with brackets]" in out
    lines = out.splitlines()
    for row in REPORT.rows:
        assert any(all(cell in line for cell in row.cells) for line in lines)
    assert all(heading in next(line for line in lines if "quantity" in line) for heading in HEADINGS)
    groups = [line.strip() for line in lines if line.strip() in ("levels", "commutator")]
    assert groups[:2] == ["levels", "commutator"]
    assert "note: the first note [1]" in lines
    assert err == "wrote oscillator.nc\n"


@pytest.mark.slow
@pytest.mark.parametrize("width", [30, 40, 60, 80, 100])
def test_nothing_is_cut_on_a_narrow_terminal(width, command, quick, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = command("run", "oscillator", *SMALL, "--no-figure")
    assert "\x1b" in out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert max(map(len, plain.splitlines())) <= width
    for row in REPORT.rows:
        for cell in row.cells:
            for word in cell.split():
                assert word in plain
    if width < 50:
        assert f"measured {REPORT.rows[0].cells[1]}, exact 1.02," in " ".join(plain.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "colour"),
    [
        ({"verdict": Verdict.RESOLVED}, "32"),
        ({"verdict": Verdict.OK, "remarks": ("operator",)}, "32"),
        ({"verdict": Verdict.CONSISTENT}, "32"),
        ({"verdict": Verdict.RESOLVED, "caveat": Verdict.DEVIATES}, "1;31"),
        ({"verdict": Verdict.RESOLVED, "caveat": Verdict.UPPER_BOUND}, None),
        ({"verdict": Verdict.DEVIATES}, "1;31"),
        ({"verdict": Verdict.VIOLATED}, "1;31"),
        ({"verdict": Verdict.NOT_RESOLVED, "reason": "noise"}, None),
    ],
)
def test_only_sound_rows_are_green(others, colour, command, monkeypatch):
    row = Row("q", wobbly(1.0), 1.02, group=Group.LEVELS, **others)
    monkeypatch.setattr(cli.results, "analyse", lambda run, **options: Report("", (row,), (), {}))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = command("run", "oscillator", *SMALL, "--no-figure")
    # Yellow cannot be read on white: text without a colour is readable on any background.
    assert (f"\x1b[{colour}m{row.cells[-1]}" in out) == (colour is not None)
    assert row.cells[-1] in out
    monkeypatch.setenv("NO_COLOR", "1")
    _, out, _ = command("run", "oscillator", *SMALL, "--no-figure")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", out)


@pytest.mark.slow
def test_without_matplotlib_one_line_says_how_to_get_the_figure(command, quick, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = command("run", "oscillator", *SMALL)
    assert code == 0
    assert "gap 1" in out
    assert [line for line in err.splitlines() if "pip install 'nnqm[plot]'" in line]
    assert not Path("oscillator.png").exists()
    assert Path("oscillator.nc").exists()


BAD_RUNS = {
    "theory": (("oscilator",), "did you mean 'oscillator'"),
    "theory that no file can have as a name": (("x" * 300,), "is neither a file nor a built-in name"),
    "paths": (("oscillator", "--paths", "100"), "--paths must be at least 128; got 100"),
    "paths a word": (("oscillator", "--paths", "many"), "'--paths'"),
    "times": (("oscillator", "--times", "1"), "--times must be at least 2"),
    "dt": (("oscillator", "--dt", "-0.1"), "--dt must be positive; got --dt=-0.1"),
    "dt nan": (("oscillator", "--dt", "nan"), "must be finite"),
    "seed": (("oscillator", "--seed", "-1"), "--seed must be at least 0"),
    "threads": (("oscillator", "--threads", "-1"), "--threads must be at least 0"),
    "precision": (("oscillator", "--precision", "float23"), "did you mean 'float32'"),
    "output folder": (("oscillator", "-o", "no/where.nc"), "folder no does not exist"),
    "output is a folder": (("oscillator", "-o", "."), "is a folder"),
    "figure folder": (("oscillator", "--figure", "no/where.png"), "folder no does not exist"),
    "figure format": (("oscillator", "--figure", "figure.doc"), "must end in one of"),
    "figure twice": (("oscillator", "--figure", "a.png", "--no-figure"), "exclude each other"),
    "figure is the output": (("oscillator", "-o", "a.png", "--figure", "./a.png"), "is also --figure"),
    "option": (("oscillator", "--path", "3"), ". See nnqm --help."),
    "no theory": ((), "Missing argument 'THEORY'"),
}


@pytest.mark.parametrize("case", BAD_RUNS, ids=str)
def test_bad_input_is_one_line_and_exit_code_2_before_the_run(case, command, monkeypatch, tmp_path):
    arguments, expected = BAD_RUNS[case]
    if case != "dt nan":
        monkeypatch.setattr(cli.running, "simulate", lambda *_, **__: pytest.fail("the run was begun"))
    code, out, err = command("run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("nnqm: ")
    assert err.count("\n") == 1
    assert expected in err
    assert os.listdir(tmp_path) == []


def test_an_unknown_key_is_one_line_and_exit_code_2(command):
    Path("wrong.toml").write_text('[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 1.0\nsigm = 2.0\n')
    code, out, err = command("run", "wrong.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "wrong.toml: key source[0].sigm is unknown" in err
    assert "did you mean 'sigma'" in err


def test_the_theory_file_is_not_overwritten(command):
    text = '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 1.0\n'
    Path("mine.toml").write_text(text)
    code, _, err = command("run", "mine.toml", "-o", "mine.toml", "--no-figure")
    assert (code, err.count("\n")) == (2, 1)
    assert Path("mine.toml").read_text() == text


def test_an_overflowing_network_is_one_line(command):
    Path("big.toml").write_text(
        '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 1.0\n[network]\nweights = [[[1e39]], [[1e-39]]]\n'
        'activation = "identity"\n'
    )
    code, _, err = command("run", "big.toml", *SMALL)
    assert (code, err.count("\n")) == (2, 1)
    assert "overflows" in err


@pytest.mark.slow
@pytest.mark.parametrize("where", ["simulate", "core", "analyse", "figure"])
def test_an_internal_error_is_not_taken_for_bad_input(where, command, monkeypatch, capsys):
    def broken(*_, **__):
        raise ValueError("operands do not fit")

    target = {
        "simulate": (cli.running, "simulate"),
        "core": (nnqm.runs.simulation._core, "advance"),
        "analyse": (cli.results, "analyse"),
        "figure": (nnqm.plot, "save_overview"),
    }[where]
    if where == "figure":
        monkeypatch.setattr(cli.results, "analyse", lambda run, **options: REPORT)
    monkeypatch.setattr(*target, broken)
    with pytest.raises(ValueError, match="operands do not fit"):
        cli.main(["run", "oscillator", *SMALL])


@pytest.mark.slow
def test_an_internal_error_shows_its_traceback():
    script = (
        "import nnqm.cli as cli\n"
        "def broken(*_, **__):\n    raise TypeError('a fault of nnqm')\n"
        "cli.results.analyse = broken\n"
        "cli.main(['run', 'oscillator', '--paths', '256', '--times', '4', '--no-figure'])\n"
    )
    done = python(script)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "TypeError: a fault of nnqm" in done.stderr


CTRL_C = """
import os, signal, sys, threading, time
import nnqm.cli as cli
# Whoever runs the tests may have told children to ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
told, sent, enough = [], [], threading.Event()
def interrupt():
    enough.wait()
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
def tell(done, wanted):
    told.append(done)
    if len(told) == 4:
        enough.set()
kept_simulate, kept_analyse = cli.running.simulate, cli.results.analyse
def simulate(*arguments, progress, **others):
    return kept_simulate(*arguments, progress=tell, **others)
def analyse(*arguments, **others):
    print("stopped", told[-1], time.process_time() - sent[0])
    return kept_analyse(*arguments, **others)
cli.running.simulate, cli.results.analyse = simulate, analyse
threading.Thread(target=interrupt).start()
cli.main(["run", "oscillator", "--paths", "100000000000", "--times", "32", "--threads", "1", "--no-figure"])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_keeps_what_was_done():
    done = python(CTRL_C)
    assert done.returncode == 130, done.stderr
    told, took = re.search(r"^stopped (\d+) (\S+)$", done.stdout, re.MULTILINE).groups()
    # A slice of the run takes 0.2 s, and writing little. Seconds of the processor: a busy machine takes longer.
    assert 0 <= float(took) < 1.5
    held = int(re.search(r"interrupted: oscillator.nc.part holds (\d+) of 100000000000 paths", done.stderr)[1])
    partial = nnqm.load("oscillator.nc.part")
    assert partial.block_paths.sum() == held >= int(told)
    assert "gap 1" in done.stdout


def stopping(monkeypatch, number, slice_number=2):
    """Let a signal arrive in a slice of the next run."""
    monkeypatch.setattr(slices, "SLICE", 1e-9)
    kept, told = cli.running.simulate, []

    def simulate(*arguments, progress, **others):
        def tell(done, wanted):
            told.append(done)
            if len(told) == slice_number:
                signal.raise_signal(number)

        return kept(*arguments, progress=tell, **others)

    monkeypatch.setattr(cli.running, "simulate", simulate)


FEW = ("--paths", "640", "--times", "8", "--threads", "1", "--no-figure")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize(("number", "wanted"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_the_same_command_goes_on_after_a_signal(number, wanted, command, quick, monkeypatch):
    whole = nnqm.simulate(nnqm.builtin_theory("oscillator"), 640, 8, 0.2, rng=1)
    number = getattr(signal, number)
    handler = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        with monkeypatch.context() as patch:
            stopping(patch, number)
            code, out, err = command("run", "oscillator", *FEW)
    finally:
        signal.signal(number, handler)
    assert code == wanted
    # A batch queue leaves no time for a report.
    assert ("gap 1" in out) == (wanted == 130)
    assert err == (
        "interrupted: oscillator.nc.part holds 128 of 640 paths; the same command goes on from them, and so does "
        "nnqm extend oscillator.nc\n"
    )
    assert os.listdir() == ["oscillator.nc.part"]
    again = ("run", "oscillator", *FEW) if wanted == 143 else ("extend", "oscillator.nc")
    code, out, err = command(*again)
    assert code == 0
    assert "gap 1" in out
    assert err == "goes on from 128 paths of oscillator.nc.part; 640 are wanted\nwrote oscillator.nc\n"
    assert nnqm.load("oscillator.nc") == whole
    assert os.listdir() == ["oscillator.nc"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_an_unfinished_run_of_other_settings_is_not_replaced(command, quick, monkeypatch):
    assert command("run", "oscillator", *FEW, "--dt", "0.3")[0] == 0
    old = nnqm.load("oscillator.nc")
    with monkeypatch.context() as patch:
        stopping(patch, signal.SIGTERM)
        assert command("run", "oscillator", *FEW)[0] == 143
    # Complete results stay until others are complete.
    assert nnqm.load("oscillator.nc") == old
    code, _, err = command("run", "oscillator", *FEW, "--dt", "0.3", "--seed", "7")
    assert code == 2
    assert "checkpoint oscillator.nc.part is of a run with other settings: dt is 0.2 in the file and 0.3 here" in err
    assert err.count("\n") == 1
    # The interrupted run is what extend completes.
    code, _, err = command("extend", "oscillator.nc")
    assert (code, err.splitlines()[0]) == (0, "goes on from 128 paths of oscillator.nc.part; 640 are wanted")
    assert nnqm.load("oscillator.nc") == nnqm.simulate(nnqm.builtin_theory("oscillator"), 640, 8, 0.2, rng=1)
    assert os.listdir() == ["oscillator.nc"]


@pytest.mark.slow
def test_finished_results_are_not_computed_again(command, quick, monkeypatch):
    theory = nnqm.builtin_theory("oscillator")
    many = ("--times", "8", "--no-figure", "--threads", "1")
    command("run", "oscillator", *many, "--paths", "8192")
    with monkeypatch.context() as patch:
        patch.setattr(slices, "_core", None)
        code, out, err = command("run", "oscillator", *many, "--paths", "8192")
        assert (code, err) == (0, "oscillator.nc holds all 8192 paths\nwrote oscillator.nc\n")
        assert "gap 1" in out
        assert command("extend", "oscillator.nc", "--threads", "1")[2].startswith(
            "oscillator.nc holds all 8192 paths\n"
        )
    code, _, err = command("run", "oscillator", *many, "--paths", "9000")
    assert err.startswith("goes on from 8192 paths of oscillator.nc; 9000 are wanted\n")
    assert nnqm.load("oscillator.nc") == nnqm.simulate(theory, 9000, 8, 0.2, rng=1)
    code, _, err = command("extend", "oscillator.nc", "--paths", "9999", "--threads", "1")
    assert err.startswith("goes on from 9000 paths of oscillator.nc; 9999 are wanted\n")
    assert nnqm.load("oscillator.nc") == nnqm.simulate(theory, 9999, 8, 0.2, rng=1)
    # Fewer paths, and other settings, are new results.
    for changed in (("--paths", "8192"), ("--paths", "9000", "--n-blocks", "16")):
        code, _, err = command("run", "oscillator", *many, *changed)
        assert (code, err) == (0, "wrote oscillator.nc\n")
    assert nnqm.load("oscillator.nc").n_blocks == 16


@pytest.mark.slow
def test_extend_says_what_is_wrong(command):
    assert command("extend", "none.nc")[2] == "nnqm: file none.nc does not exist; give the path of a saved run\n"
    run = nnqm.simulate(nnqm.builtin_theory("oscillator"), 640, 8, 0.2, rng=1)
    nnqm.save(run, "a.nc")
    nnqm.save(nnqm.merge([run, nnqm.simulate(run.theory, 640, 8, 0.2, rng=2)]), "b.nc")
    assert "--paths must be" in command("extend", "a.nc", "--paths", "100")[2]
    assert "only a run of one seed can be extended" in command("extend", "b.nc", "--paths", "2000")[2]
    Path("c.nc").write_text("nothing")
    assert "file c.nc cannot be read as NetCDF" in command("extend", "c.nc")[2]


@pytest.mark.slow
def test_parts_of_a_run_merge_to_the_whole(command, quick):
    whole = nnqm.simulate(nnqm.builtin_theory("oscillator"), 640, 8, 0.2, rng=1, n_blocks=5)
    options = ("--paths", "640", "--times", "8", "--n-blocks", "5")
    for blocks in ("0:1", "3:5", "1:3"):
        code, _, err = command("run", "oscillator", *options, "--blocks", blocks)
        assert code == 0
        assert ("errors need two blocks" in err) == (blocks == "0:1")
    assert sorted(os.listdir()) == ["oscillator.0-1.nc", "oscillator.1-3.nc", "oscillator.3-5.nc"]
    code, out, err = command("merge", *sorted(os.listdir(), reverse=True), "-o", "all.nc")
    assert (code, err) == (0, "wrote all.nc\n")
    assert "gap 1" in out
    assert nnqm.load("all.nc") == whole
    assert "gap 1" in command("merge", "oscillator.1-3.nc", "oscillator.3-5.nc", "-o", "some.nc")[1]
    err = command("merge", "oscillator.1-3.nc", "oscillator.3-5.nc", "-o", "some.nc")[2]
    assert "some.nc holds the blocks 1:5 of 0:5; the others are missing" in err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"blocks": range(1, 4)}, "adjacent block ranges; block 1 is in a.nc and in b.nc"),
        ({"blocks": range(3, 4)}, "block 2 is missing"),
        ({"blocks": range(2, 4), "n_paths": 700}, "n_paths 700 of b.nc and 640 of a.nc"),
        ({"blocks": range(2, 4), "dt": 0.1}, "a.nc differs from b.nc in times; only equal runs merge"),
        ({"blocks": range(2, 4), "level": "sse9"}, "a.nc was made at instruction-set level .* and b.nc at sse9"),
        ({"n_blocks": None, "key": 1}, "b.nc and a.nc share a seed"),
    ],
)
def test_files_that_do_not_merge_are_named(changed, message):
    theory = nnqm.builtin_theory("oscillator")

    def part(blocks=range(2), n_paths=640, dt=0.2, level=None, key=0, n_blocks=5):
        run = nnqm.simulate(theory, n_paths, 8, dt, rng=1, n_blocks=n_blocks, blocks=blocks)
        run = nnqm.merge([run, nnqm.simulate(theory, n_paths, 8, dt, rng=2)]) if key else run
        return run if level is None else replace(run, level=level)

    with pytest.raises(nnqm.errors.InputError, match=message):
        merge_named({"b.nc": part(**changed), "a.nc": part()})


@pytest.mark.slow
def test_merge_says_what_is_wrong(command):
    for name, blocks in {"a.nc": range(2), "b.nc": range(1, 5)}.items():
        run = nnqm.simulate(nnqm.builtin_theory("oscillator"), 640, 8, 0.2, rng=1, n_blocks=5, blocks=blocks)
        nnqm.save(run, name)
    code, out, err = command("merge", "b.nc", "a.nc", "-o", "c.nc")
    assert (code, out) == (2, "")
    assert "block 1 is in a.nc and in b.nc" in err
    assert command("merge", "a.nc", "a.nc", "-o", "c.nc")[2] == "nnqm: a.nc is given twice; name each file once\n"
    assert "file d.nc does not exist" in command("merge", "a.nc", "d.nc", "-o", "c.nc")[2]
    assert sorted(os.listdir()) == ["a.nc", "b.nc"]


@pytest.mark.parametrize("blocks", ["3", "3:3", "4:1", "a:b", "-1:2", "0:", "0:1:2"])
def test_blocks_are_a_range(blocks, command):
    err = command("run", "oscillator", *SMALL, f"--blocks={blocks}")[2]
    assert err == f"nnqm: --blocks must be A:B with A < B, for example 0:16; got {blocks}\n"
    assert "within 0..128" in command("run", "oscillator", *SMALL, "--blocks", "0:200")[2]


@pytest.mark.slow
@pytest.mark.parametrize("n_filled", [0, 1, 100])
def test_a_run_stopped_early_reports_on_the_blocks_it_reached(n_filled, command, monkeypatch):
    run = nnqm.simulate(nnqm.builtin_theory("oscillator"), 8192, 16, 0.2, rng=1)
    sums = {name: array.copy() for name, array in run.sums.items()}
    for name, array in sums.items():
        array[n_filled:] = -1 if name == "first_bad" else 0
    partial = replace(run, sums=sums) if n_filled else None
    seen = []

    def stopped(*_, checkpoint, **__):
        if partial is not None:
            nnqm.save(partial, checkpoint)
        raise nnqm.Interrupted(partial)

    def spy(run, paths=None, **options):
        seen.append(run.block_paths)
        return REPORT

    monkeypatch.setattr(cli.running, "simulate", stopped)
    monkeypatch.setattr(cli.results, "analyse", spy)
    code, out, err = command("run", "oscillator", *SMALL)
    assert code == 130
    if n_filled == 0:
        assert "nothing is written" in err
        assert not os.listdir()
        return
    assert f"oscillator.nc.part holds {64 * n_filled} of 8192 paths; the same command goes on from them" in err
    assert nnqm.load("oscillator.nc.part") == partial
    assert [s.tolist() for s in seen] == ([] if n_filled == 1 else [[64] * n_filled])
    assert ("gap 1" in out) == (n_filled > 1)


def simulated_elsewhere(n_paths=256, n_times=32):
    theory = nnqm.builtin_theory("oscillator")
    return nnqm.sample_paths(theory, n_paths, n_times, 0.2, rng=3, precision="float64")


@pytest.fixture
def seen(monkeypatch):
    """What the analysis was given."""
    calls = []

    def spy(run, paths=None, **options):
        calls.append((run, paths))
        return REPORT

    monkeypatch.setattr(cli.results, "analyse", spy)
    return calls


def write_npy(paths):
    np.save("paths.npy", paths)
    return ("paths.npy",)


def write_npz(paths):
    np.savez("paths.npz", paths)
    return ("paths.npz",)


def write_npz_of_several(paths):
    np.savez("paths.npz", q=paths, time=np.arange(3))
    return ("paths.npz", "--array", "q")


def write_netcdf(paths):
    xarray.Dataset({"q": (("path", "time", "channel"), paths)}).to_netcdf("paths.nc", engine="h5netcdf")
    return ("paths.nc",)


def write_netcdf_of_several(paths):
    data = xarray.Dataset({"q": (("path", "time", "channel"), paths), "p": ("time", paths[0, :, 0])})
    data.to_netcdf("paths.nc", engine="h5netcdf")
    return ("paths.nc", "--array", "q")


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_npy, write_npz, write_npz_of_several, write_netcdf, write_netcdf_of_several])
def test_paths_of_any_format_give_the_sums_of_accumulate(write, command, seen):
    paths = simulated_elsewhere()
    arguments = write(paths)
    options = ("--dt", 0.2, "--names", "q", "--hbar", 2, "--mass", 3, "--blocks", 16, "-o", "out.nc")
    code, out, err = command("analyse", *arguments, *options)
    assert (code, err) == (0, "wrote out.nc\n")
    assert "gap 1" in out
    expected = nnqm.accumulate(paths, 0.2, names=["q"], hbar=2, mass=3, n_blocks=16)
    assert seen[0][0] == expected == nnqm.load("out.nc")
    assert np.array_equal(seen[0][1], paths)


def test_npy_is_mapped_not_read(command, seen):
    write_npy(simulated_elsewhere())
    assert command("analyse", "paths.npy", "--dt", 0.2)[0] == 0
    assert isinstance(seen[0][1], np.memmap)


@pytest.mark.slow
def test_analysis_of_paths_is_that_of_the_package(command):
    paths = simulated_elsewhere(8192, 16)
    code, out, _ = command("analyse", *write_npy(paths), "--dt", 0.2, "--figure", "paths.pdf")
    assert code == 0
    for row in analyse(nnqm.accumulate(paths, 0.2), paths=paths):
        assert any(all(cell in line for cell in row.cells) for line in out.splitlines()), row
    assert Path("paths.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_saved_results_are_analysed_as_they_are(command, seen):
    run = nnqm.simulate(nnqm.builtin_theory("deep-tanh"), 256, 8, 0.1, rng=1)
    nnqm.save(run, "saved.nc")
    assert command("analyse", "saved.nc")[0] == 0
    assert seen == [(run, None)]
    code, _, err = command("analyse", "saved.nc", "--dt", 0.1)
    assert (code, err.count("\n")) == (2, 1)
    assert "--dt is for paths" in err


def with_nan(paths):
    paths[7, 3, 0] = np.nan
    return write_npy(paths)


def pickled(paths):
    np.save("paths.npy", np.array([{}], dtype=object), allow_pickle=True)
    return ("paths.npy",)


def text(paths):
    Path("paths.nc").write_text("not NetCDF")
    return ("paths.nc",)


BAD_PATHS = {
    "missing file": (lambda p: ("no.npy",), (), "file no.npy does not exist"),
    "one number": (lambda p: Path("a.txt").write_text("1") and ("a.txt",), (), "give more or longer paths"),
    "no numbers": (lambda p: Path("a.txt").write_text("one two") and ("a.txt",), (), "it holds no numbers"),
    "nan": (with_nan, (), "path 7 at time step 3"),
    "pickle": (pickled, (), "cannot be read as .npy"),
    "not NetCDF": (text, (), "cannot be read as NetCDF"),
    "array needed": (lambda p: write_npz_of_several(p)[:1], (), "choose one with --array"),
    "array unknown": (write_netcdf, ("--array", "qq"), "'qq' is unknown; choose from q; did you mean 'q'?"),
    "array of npy": (write_npy, ("--array", "q"), "leave it out"),
    "shape": (lambda p: write_npy(p[None]), (), "paths must have shape"),
    "complex": (lambda p: write_npy(1j * p), (), "paths must be real numbers"),
    "names": (write_npy, ("--names", "x,p"), "names must be 1 different strings"),
    "mass": (write_npy, ("--mass", "0"), "--mass must be positive"),
    "blocks": (write_npy, ("--blocks", "1"), "--blocks must be at least 2"),
    "output": (write_npy, ("-o", "no/where.nc"), "folder no does not exist"),
    "own input": (write_netcdf, ("-o", "paths.nc"), "is also PATHS"),
}


@pytest.mark.parametrize("case", BAD_PATHS, ids=str)
def test_bad_paths_are_one_line_and_exit_code_2(case, command, seen):
    write, options, expected = BAD_PATHS[case]
    code, out, err = command("analyse", *write(simulated_elsewhere()), "--dt", 0.2, *options)
    assert (code, out, err.count("\n"), seen) == (2, "", 1, [])
    assert expected in err


def test_paths_need_a_time_step(command):
    code, _, err = command("analyse", *write_npy(simulated_elsewhere()))
    assert (code, err.count("\n")) == (2, 1)
    assert "--dt is missing" in err


def test_info_and_version(command):
    code, out, _ = command("info")
    build = nnqm.build_info()
    assert code == 0
    for expected in (build["version"], build["compiler"], build["level"], "OpenMP", "threads", "map version"):
        assert expected in out
    assert command("--version") == (0, f"nnqm {nnqm.__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("run", "--help"), ("analyse", "-h"), ("info", "--help")])
def test_help(arguments, command):
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert "Usage: nnqm" in out


def test_an_unknown_command_is_one_line(command):
    code, _, err = command("rum")
    assert (code, err.count("\n")) == (2, 1)
    assert "rum" in err


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("name", ["run", "analyse", "check", "info"])
def test_help_shows_defaults_as_they_are_written(name, width, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = command(name, "--help")
    assert max(map(len, out.splitlines())) <= width
    text = " ".join(out.split())
    assert "--help" in text
    if name == "run":
        assert "override the [run] table" in text
        for default in ("THEORY.nc", "200000", "256", "float32", "THEORY.png"):
            assert f"[default: {default}]" in text
        assert "--no-positivity" in text
    if name == "analyse":
        assert "[default: at most 128]" in text
    _, out, _ = command("--help")
    assert "..." not in out.split("Commands:")[1]


@pytest.mark.slow
def test_positivity_can_be_left_out(command, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.results, "analyse", lambda run, **options: seen.append(options["positivity"]) or REPORT)
    command("run", "oscillator", *SMALL, "--no-figure", "--no-positivity")
    command("analyse", "oscillator.nc", "--no-positivity")
    command("analyse", "oscillator.nc")
    assert seen == [False, False, True]


@pytest.mark.slow
def test_ctrl_c_during_the_analysis_says_where_the_results_are(command, monkeypatch):
    def stopped(run, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.results, "analyse", stopped)
    code, out, err = command("run", "oscillator", *SMALL, "--no-figure")
    assert (code, out) == (130, "")
    assert err == "interrupted: oscillator.nc holds the results; nnqm analyse oscillator.nc prints them\n"
    assert nnqm.load("oscillator.nc").n_paths == 8192


@pytest.mark.slow
def test_a_report_is_printed_even_if_the_results_cannot_be_saved(command, quick, monkeypatch):
    def full(run, path):
        raise nnqm.errors.InputError(
            f"output {path} cannot be written: No space left on device", "choose another place"
        )

    monkeypatch.setattr(cli.results, "save", full)
    monkeypatch.setattr(cli.results, "move_onto", full)
    code, out, err = command("run", "oscillator", *SMALL, "--no-figure")
    assert code == 2
    assert REPORT.rows[0].cells[1] in out
    assert err == "nnqm: output oscillator.nc cannot be written: No space left on device; choose another place\n"


@pytest.mark.slow
def test_the_data_are_written_if_the_figure_fails(command, quick, monkeypatch):
    def full(run, report, path):
        raise nnqm.errors.InputError(
            f"output {path} cannot be written: No space left on device", "choose another place"
        )

    monkeypatch.setattr(nnqm.plot, "save_overview", full)
    code, out, err = command("run", "oscillator", *SMALL)
    assert code == 2
    assert REPORT.rows[0].cells[1] in out
    assert err.splitlines()[0] == "wrote oscillator.nc"
    assert err.count("\n") == 2
    assert nnqm.load("oscillator.nc").n_paths == 8192


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "info", "check oscillator", "run oscillator --paths 1024 --times 8 --no-figure"],
)
def test_a_reader_that_ends_early_leaves_no_traceback(arguments, tmp_path):
    script = "import sys\nfrom nnqm.cli import main\nmain(sys.argv[1:])\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert os.path.exists("oscillator.nc") == arguments.startswith("run")


@pytest.mark.slow
def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom nnqm.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'matplotlib', 'xarray', 'scipy', 'h5netcdf', 'pandas'} & set(sys.modules)))\n"
    )
    assert answer(script).splitlines()[-1] == "[]"


def test_the_installed_command_is_this_one():
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="console_scripts", name="nnqm")
    assert entry.load() is cli.main
