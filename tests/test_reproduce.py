"""nnqm reproduce: records, resuming, failures, and equal numbers in page, tables and API."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from interpreter import HANGS
from nnqm import Estimate
from nnqm.cli import main
from nnqm.errors import InputError
from nnqm.reproduce import Files, Panel, Record, Reproduction, claims, papers, registry, reproduce
from nnqm.reproduce.record import THRESHOLD, Curve, Number, by_test, compared, computed, refuted
from nnqm.reproduce.reproduction import Outcome
from nnqm.verdict import Verdict

CHEAP = ("oscillator-schroedinger", "optimal-alpha", "linear-models")


class Cells(HTMLParser):
    """Text of all cells of a page."""

    def __init__(self, text):
        super().__init__()
        self.cells = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag in ("td", "th"):
            self._open = True
            self.cells.append("")

    def handle_endtag(self, tag):
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data):
        if self._open:
            self.cells[-1] += data


def estimate(value, error):
    """A number with 100 blocks and a given error."""
    rng = np.random.default_rng(1)
    blocks = rng.normal(size=100)
    blocks = (blocks - blocks.mean()) / blocks.std() * error * 10
    replicas = value + (blocks.sum() - blocks) / 99
    return Estimate(value, replicas, np.full(100, 100.0))


@pytest.fixture
def counting(monkeypatch):
    """Two claims of our own, one of which counts its calls."""
    claims()
    calls = []
    known = dict(registry._claims)
    monkeypatch.setattr(registry, "_claims", known)
    known.clear()

    @registry.claim("counts", "2504.05462", "here", "It counts.")
    def counts(effort):
        calls.append(effort)
        return Record("none", (computed("one", effort.size(1, 2), effort.size(1, 2), 0.0),), "none")

    @registry.claim("breaks", "2504.05462", "here", "It breaks.")
    def breaks(effort):
        raise ZeroDivisionError("no reason")

    return calls


def run(*arguments):
    """Exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *map(str, arguments)])
    return ended.value.code


@pytest.mark.slow
def test_numbers_are_equal_in_page_table_sheet_and_api(tmp_path, capsys):
    assert run(*CHEAP, "--quick", "-o", tmp_path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    found = reproduce(*CHEAP, quick=True, n_threads=1)
    assert [o.kept for o in found.outcomes] == [False] * len(CHEAP)
    assert found.reproduced
    table = json.loads((tmp_path / "reproduction.json").read_text())
    sheet = list(csv.DictReader(io.StringIO((tmp_path / "reproduction.csv").read_text())))
    cells = Cells((tmp_path / "reproduction.html").read_text()).cells
    numbers = [n for o in found.outcomes for n in o.record.numbers]
    listed = [n for c in table["claims"] for n in c["numbers"]]
    assert printed["claims"] == table["claims"]
    assert len(numbers) == len(listed) == len(sheet) > 19
    for number, entry, line in zip(numbers, listed, sheet, strict=True):
        assert (number.value, number.exact, number.p_value) == (entry["value"], entry["exact"], entry["p_value"])
        assert line["quantity"] == number.quantity
        for column in ("value", "error", "exact", "published", "p_value"):
            known = getattr(number, column)
            assert line[column] == ("" if known is None else repr(known))
        for text in (number.quantity, number.measured_text, number.exact_text, number.published_text):
            assert not text or text in cells
    assert found.n_tests == table["tests"] == sum(n["counted"] for n in listed)
    assert found.chance == pytest.approx(found.n_tests * THRESHOLD)


def test_a_finished_claim_is_kept_and_a_failure_is_not(counting, tmp_path, capsys):
    assert run("-o", tmp_path) == 1
    assert run("-o", tmp_path) == 1
    told = capsys.readouterr()
    assert len(counting) == 1
    assert "1 of 2 claims were computed before" in told.err
    assert "ZeroDivisionError: no reason" in told.out
    assert "ZeroDivisionError: no reason" in (tmp_path / "reproduction.html").read_text()
    table = json.loads((tmp_path / "reproduction.json").read_text())
    assert [c["verdict"] for c in table["claims"]] == ["holds", "not tested"]


def test_changed_settings_compute_again(counting, tmp_path):
    files = Files.of(tmp_path / "page.html")
    for settings in ({}, {"quick": True}, {"seed": 2}, {"n_threads": 1}, {}):
        reproduce("counts", files=files, **settings)
    assert [(e.quick, e.seed) for e in counting] == [(False, 1), (True, 1), (False, 2)]
    kept = min(files.shelf.glob("counts-*.json"))
    kept.write_text(kept.read_text()[:40])
    for settings in ({}, {"quick": True}, {"seed": 2}):
        reproduce("counts", files=files, **settings)
    assert len(counting) == 4  # only the damaged one


def test_another_version_computes_again(counting, tmp_path, monkeypatch):
    files = Files.of(tmp_path)
    reproduce("counts", files=files)
    monkeypatch.setattr(registry.Claim, "code", property(lambda self: "edited"))
    reproduce("counts", files=files)
    assert len(counting) == 2


def test_ctrl_c_keeps_finished_claims(counting, tmp_path, capsys):
    @registry.claim("stops", "2008.08601", "here", "It stops.")
    def stops(effort):
        raise KeyboardInterrupt

    assert run("-o", tmp_path) == 130
    assert "1 of 3 claims are kept" in capsys.readouterr().err
    assert len(list((tmp_path / "reproduction-claims").iterdir())) == 1
    assert not (tmp_path / "reproduction.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_in_the_middle_of_a_claim(tmp_path):
    names = ["oscillator-schroedinger", "figure-3"]
    code = f"from nnqm.cli import main; main(['reproduce', *{names}, '-o', '.', '--threads', '1'])"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    shelf = tmp_path / "reproduction-claims"
    until = time.monotonic() + HANGS
    while not (shelf.is_dir() and list(shelf.glob("oscillator-*.json"))) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=HANGS)
    assert process.returncode == 130, told
    assert "1 of 2 claims are kept" in told


def test_records_survive_json():
    curve = Curve.of("a", [1.0, 2.0], [math.inf, 0.1])
    record = Record(
        "s",
        (Number("q", Verdict.OK, True, 0.1 + 0.2, 1e-17, exact=1 / 3, counted=True),),
        "e",
        (Panel("t", "x", "y", (curve,), "y", (0, 1)),),
        "c",
        ("n",),
    )
    again = Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
    assert again.numbers == record.numbers
    assert again.panels[0].curves[0].x == curve.x
    assert math.isnan(again.panels[0].curves[0].y[0])
    assert again.verdict is Verdict.CONSISTENT


def test_verdicts():
    assert compared("q", estimate(1.0, 0.1), 1.1).sound
    wrong = compared("q", estimate(1.0, 0.1), 2.0)
    assert wrong.sound is False
    assert wrong.verdict is Verdict.DEVIATES
    assert wrong.p_value < THRESHOLD
    assert computed("q", 1.0, 1.1, 0.11).sound
    assert computed("q", 1.0, 1.1, 0.09).sound is False
    assert refuted("q", 1e-7).verdict is Verdict.VIOLATED
    assert refuted("q", 1e-3).sound is None
    assert by_test("q", 1e-9).sound is False
    undecided = Record("s", (refuted("q", 0.5),), "e")
    assert undecided.verdict is Verdict.NOT_RESOLVED
    assert Record("s", (wrong, refuted("q", 0.0)), "e").verdict is Verdict.DEVIATES
    one = claims("figure-1")[0]
    assert not Reproduction((Outcome(one, undecided),), True, 1).reproduced
    assert Reproduction((Outcome(one, Record("s", (refuted("q", 0.0),), "e")),), True, 1).reproduced


def test_names_of_papers_and_claims(capsys, tmp_path):
    assert {c.paper.arxiv for c in claims()} == {p.arxiv for p in papers()}
    assert claims("arXiv:2512.24420v3") == claims("vertex") == claims("vertex-operators")
    with pytest.raises(InputError, match=r"2504\.05462"):
        claims("1234.56789")
    assert run("1234.56789", "-o", tmp_path) == 2
    assert run("--list", "alpha") == 0
    assert "optimal-alpha" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert run("-o", tmp_path / "file") == 2
    assert run("-o", tmp_path / "none" / "page.html") == 2
    assert run("--seed", "-1", "-o", tmp_path) == 2


def test_a_name_is_registered_once(counting):
    with pytest.raises(InputError, match="there is a claim counts"):
        registry.claim("counts", "2504.05462", "here", "Again.")(lambda effort: None)


def test_claims_draw_different_random_numbers():
    effort = registry.Effort("a")
    assert len({effort.rng(), effort.rng(1), replace(effort, claim="b").rng(), replace(effort, seed=2).rng()}) == 4
    assert effort.rng() == replace(effort, n_threads=2, quick=True).rng()
