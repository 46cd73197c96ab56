"""Pages of results, runs side by side, plain data for JSON, and the commands that print them."""

import json
import os
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import nnqm
from interpreter import answer
from nnqm import _core, cli
from nnqm.cli import completion, listing
from nnqm.files.tables import KERNEL_NAMES, RUN_KEYS, keys_of_sources
from nnqm.pages import Page, compare, compare_page, report_page
from nnqm.pages.comparison import shares_random_numbers
from nnqm.pages.facts import command_of, settings_of
from nnqm.report.table import Group, Report, Row
from nnqm.statistics.estimate import Estimate
from nnqm.statistics.plain import plain
from nnqm.theories.builtin import BUILTIN_THEORIES
from nnqm.verdict import Verdict

HOSTILE = '<script>alert("x")</script> & <b>'
VOID = {"meta", "link", "br", "hr", "img"}
DOCS = Path(__file__).parent.parent / "docs"


class Reader(HTMLParser):
    """Reads a page: its tags must nest; collects identities, references and texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.cells = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        self.links += [given[key] for key in ("href", "src") if key in given]
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and {"td", "th"} & set(self.open):
            self.cells[-1] += data


def drawing(colour="#777777"):
    figure = Figure(figsize=(4, 3))
    ax = figure.add_subplot()
    ax.plot([1, 2, 3], [1, 4, 2], "o-", mfc="white", color="#0072B2", label="a < b")
    ax.axhline(2, color=colour)
    ax.legend()
    return figure


@pytest.fixture(scope="module")
def runs():
    theory = nnqm.harmonic_oscillator()
    return [nnqm.simulate(theory, 4096, 32, 0.2, rng=seed) for seed in (1, 2)]


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def quick(monkeypatch):
    """The report is not what is tested."""
    monkeypatch.setattr(cli.results, "analyse", lambda run, **options: Report("", (), (), {}))


@pytest.fixture
def without_matplotlib(monkeypatch):
    """Figures are not what is tested."""
    for module in ("report", "comparison"):
        monkeypatch.setattr(f"nnqm.pages.{module}.find_spec", lambda name: None)


# ---- pages


def test_a_page_escapes_all_text_and_needs_nothing_from_elsewhere():
    page = Page(HOSTILE, HOSTILE)
    for _ in range(4):
        page.heading(HOSTILE)
    page.text(HOSTILE)
    page.points([HOSTILE])
    page.code(HOSTILE)
    page.table([HOSTILE, "b"], [HOSTILE, [HOSTILE, [Verdict.OK, HOSTILE]]], caption=HOSTILE)
    page.figure(drawing(), HOSTILE, HOSTILE)
    page.figure(drawing(), "", '" onload="x')
    text = page.html()
    read = Reader(text)
    assert not [tag for tag, _ in read.tags if tag in ("script", "b", "img", "iframe")]
    assert not [name for _, given in read.tags for name in given if name.startswith("on")]
    assert len(read.ids) == len(set(read.ids))
    # References stay inside the page.
    assert all(link.startswith("#") or link == "data:," for link in read.links)
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert "default-src 'none'" in text
    assert text == page.html()


def test_only_numbers_of_the_arxiv_become_links():
    page = Page("A page")
    page.text("Ferko and Halverson, arXiv:2504.05462, and hep-th/9901001, arXiv:hep-th/9901001 <https://example.org>.")
    links = Reader(page.html()).links
    assert links == ["data:,", "https://arxiv.org/abs/2504.05462", "https://arxiv.org/abs/hep-th/9901001"]


def test_columns_of_numbers_are_flush_right_and_verdicts_have_badges():
    page = Page("A page")
    rows = [
        ["a", "0.5(1)", "1", "-1.3", Verdict.OK],
        "group",
        ["b", "1.00(4)(6)e-07", "", "+0.4", [Verdict.VIOLATED, ", p = 0.1"]],
        ["c", Verdict.NOISE, "not resolved", "", Verdict.NOT_RESOLVED],
    ]
    page.table(["q", "value", "words", "pull", "verdict"], rows)
    read = Reader(page.html())
    heads = [given for tag, given in read.tags if tag == "th" and given.get("scope") == "col"]
    assert [given.get("class") for given in heads] == [None, "number", None, "number", None]
    badges = [given["class"] for tag, given in read.tags if tag == "span"]
    assert badges == ["badge good", "badge bad", "badge open", "badge open"]
    assert "violated, p = 0.1" in read.cells
    with pytest.raises(ValueError, match="5 cells, one for each heading; got 1"):
        page.table(["q", "value", "words", "pull", "verdict"], [["a"]])


@pytest.mark.slow
def test_a_figure_follows_the_colours_of_the_page_and_is_not_changed():
    figure = drawing()
    before = figure.get_facecolor(), figure.axes[0].get_facecolor()
    pages = []
    for _ in range(2):
        page = Page("A page")
        page.figure(figure, "one", "first")
        page.figure(figure, "two", "second")
        pages.append(page.html())
    assert pages[0] == pages[1]
    assert (figure.get_facecolor(), figure.axes[0].get_facecolor()) == before
    svg = re.findall(r"<svg.*?</svg>", pages[0], re.DOTALL)
    assert len(svg) == 2
    for one in svg:
        # Colours stand in the palette of the drawing only.
        head, body = one.split(">", 1)
        assert "#" not in re.sub(r'(href="|url\()#', "", body)
        assert "var(--night), #0072b2)" in head
        assert "currentColor 53%" in head
        assert "var(--paper)" in head
    assert 'aria-label="first"' in svg[0]


def test_colours_of_figures_stand_out_from_light_and_dark_paper():
    # Blue and yellow of Okabe and Ito, whose yellow is too light on white, and a pale background.
    figure = Figure(figsize=(4, 3))
    ax = figure.add_subplot()
    for colour in ("#0072B2", "#F0E442"):
        ax.plot([1, 2], [1, 2], color=colour)
    ax.axvspan(1, 2, color="#e8f0ff")
    page = Page("A page")
    page.figure(figure, "", "lines")
    pairs = re.findall(r"color-mix\(in srgb, #(\w{6}) var\(--night\), #(\w{6})\)", page.html())

    def contrast(first, second):
        def luminance(colour):
            parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)])
            linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
            return float(linear @ [0.2126, 0.7152, 0.0722])

        low, high = sorted((luminance(first), luminance(second)))
        return (high + 0.05) / (low + 0.05)

    assert contrast("ffffff", "000000") == pytest.approx(21)
    assert len(pairs) == 3
    assert all(contrast(dark, "14171a") > 5 for dark, _ in pairs)
    assert sum(contrast(light, "ffffff") > 3 for _, light in pairs) == 2
    assert "e8f0ff" in {light for _, light in pairs}
    style = (Path(nnqm.pages.__file__).parent / "style.css").read_text()
    assert "--paper: #14171a" in style


def test_a_page_replaces_its_file_once_it_is_complete(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    assert Page("first").write(target) == target
    with pytest.raises(nnqm.errors.InputError, match="does not exist"):
        Page("x").write(tmp_path / "none" / "page.html")
    page = Page("second")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(nnqm.errors.InputError, match="No space left"):
            page.write(target)
    assert "<h1>first</h1>" in target.read_text()
    assert list(tmp_path.iterdir()) == [target]
    page.write(target)
    assert "<h1>second</h1>" in target.read_text()


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (lambda page: Page(3), "title must be a text; got 3; convert it"),
        (lambda page: Page("a", None), "subtitle must be a text; got None"),
        (lambda page: page.heading(3), "text must be a text; got 3"),
        (lambda page: page.text(3), "paragraph must be a text; got 3"),
        (lambda page: page.points([3]), "texts must be a text; got 3"),
        (lambda page: page.code(3), "text must be a text; got 3"),
        (lambda page: page.table(["a", "b"], [["x", 1.5]]), "a cell must be a text; got 1.5"),
        (lambda page: page.table(["a", 2], [["x", "y"]]), "a heading must be a text; got 2"),
        (lambda page: page.table(["a", "b"], [["x"]]), "a row must have 2 cells, one for each heading; got 1"),
        (lambda page: page.table(["a"], [["x"]], caption=3), "caption must be a text; got 3"),
        (lambda page: page.figure(None, "a", "b"), "figure must be a Figure of Matplotlib; got NoneType"),
        (lambda page: page.figure(Figure(), None, "b"), "caption must be a text; got None"),
    ],
)
def test_what_is_no_text_is_named_and_the_page_left_alone(add, expected):
    page = Page("title")
    before = page.html()
    with pytest.raises((nnqm.errors.InputError, nnqm.errors.InputTypeError), match=expected):
        add(page)
    assert page.html() == before


def test_names_of_files_that_are_no_text_are_written(tmp_path):
    # Python has lone surrogates for bytes of a name that are not UTF-8.
    assert "<h1>b?</h1>" in Page(os.fsdecode(b"b\xff")).write(tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_the_page_of_a_run_has_every_row_note_and_setting(runs):
    report = nnqm.analyse(runs[0], positivity=False)
    page = report_page(runs[0], report, name="my run")
    read = Reader(page.html())
    assert [tag for tag, _ in read.tags].count("svg") == 6
    for row in report.rows:
        assert row.quantity in read.cells
        assert all(cell in read.cells for cell in row.cells if cell), row
    assert str(runs[0].keys[0]) in read.cells
    assert "It is the built-in theory oscillator." in page.html()
    assert all(given.get("aria-label") for tag, given in read.tags if tag == "svg")


def test_the_page_of_given_paths_has_no_exact_columns(runs, without_matplotlib):
    x = nnqm.sample_paths(nnqm.harmonic_oscillator(), 400, 8, 0.2, rng=1)
    run = nnqm.accumulate(x, 0.2)
    report = Report("title", nnqm.analyse(run, positivity=False).rows[:2], ("a < b",), {})
    text = report_page(run, report).html()
    assert "pip install &#x27;nnqm[plot]&#x27; gets matplotlib" in text
    assert "<svg" not in text
    assert "exact</th>" not in text
    assert "a &lt; b" in text
    with pytest.raises(nnqm.errors.InputTypeError, match="run must be a run of simulate"):
        report_page(report)
    with pytest.raises(nnqm.errors.InputTypeError, match=r"report must be what nnqm\.analyse returns"):
        report_page(run, run)


# ---- provenance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_paths", "settings"),
    [
        ("oscillator", 512, {}),
        ("random-tanh", 512, {"precision": "float64", "n_blocks": 4}),
        ("deep-tanh", 640, {"n_blocks": 5, "blocks": range(1, 3)}),
    ],
)
def test_the_command_of_a_run_gives_its_bits(command, quick, name, n_paths, settings):
    run = nnqm.simulate(nnqm.builtin_theory(name), n_paths, 8, 0.3, rng=7, **settings)
    told = command_of(run)
    assert told.startswith(f"nnqm run {name} ")
    assert command(*shlex.split(told)[1:], "-o", "again.nc", "--no-figure", "--no-positivity")[0] == 0
    assert nnqm.load("again.nc") == run


def test_a_run_that_no_command_gives_has_none(runs):
    theory = nnqm.harmonic_oscillator()
    assert command_of(nnqm.simulate(theory, 256, 4, 0.2, rng=10**9)) is None
    assert command_of(nnqm.simulate(theory, 256, 4, 0.2, rng=1, measure=nnqm.Measure(two_time=True))) is None
    assert command_of(nnqm.simulate(theory, 256, times=[0.0, 0.1, 0.5], rng=1)) is None
    assert command_of(nnqm.simulate(nnqm.harmonic_oscillator(2.0), 256, 4, 0.2, rng=1)) is None
    assert command_of(nnqm.merge(runs)) is None


# ---- comparison


@pytest.mark.slow
def test_pulls_are_differences_in_units_of_the_combined_error(runs):
    found = compare({"a": runs[0], "b": runs[1]})
    a, b = (run.moments()[0] for run in runs)
    expected = float(b.value - a.value) / np.hypot(float(a.total_error), float(b.total_error))
    row = found["variance of x"]
    assert row.pulls[0] is None
    assert row.pulls[1] == pytest.approx(expected, rel=1e-12)
    assert row.exact == pytest.approx(0.5)
    levels = [nnqm.spectrum(run, 5) for run in runs]
    assert found["weight of gap 1"].rows[1].estimate.value == levels[1].levels[0].weight.value
    assert [row.group for row in found] == sorted((row.group for row in found), key=list(Group).index)
    assert not found.notes
    assert all(cell in str(found) for row in found for cell in found.cells(row))


def test_systematic_errors_are_in_the_pull_and_large_pulls_in_a_note(runs, monkeypatch):
    def reported(run, **_):
        # Statistical error 3 and systematic error 4 of both: combined sqrt(50).
        value = 0.0 if run is runs[0] else 50.0
        replicas = value + 3 * np.array([1.0, -1.0])
        row = Row("<p^2>, dt -> 0", Estimate(value, replicas, [2.0, 2.0], 4.0), None, None, Group.COMMUTATOR)
        return Report("t", (row,), (), {})

    monkeypatch.setattr("nnqm.pages.comparison.analyse", reported)
    found = compare({"a": runs[0], "b": runs[1]})
    assert found.rows[0].pulls[1] == pytest.approx(50 / np.sqrt(50))
    assert found.notes == ("b differs from a by more than 3.5 errors in 1 of 1 quantities",)


def test_runs_of_one_key_have_correlated_errors_and_no_pull(runs):
    theory = nnqm.harmonic_oscillator()
    longer = nnqm.simulate(theory, 8192, 32, 0.2, rng=1)
    parts = [nnqm.simulate(theory, 512, 8, 0.2, rng=1, n_blocks=8, blocks=range(i, i + 4)) for i in (0, 2, 4)]
    assert shares_random_numbers(runs[0], runs[0])
    assert shares_random_numbers(runs[0], longer)
    assert not shares_random_numbers(*runs)
    assert shares_random_numbers(parts[0], parts[1])
    assert not shares_random_numbers(parts[0], parts[2])
    assert shares_random_numbers(runs[1], nnqm.merge([runs[1], nnqm.simulate(theory, 4096, 32, 0.2, rng=3)]))
    found = compare({"a": runs[0], "b": runs[1], "c": longer}, n_levels=1)
    assert all(row.pulls[2] is None for row in found)
    assert any(row.pulls[1] is not None for row in found)
    assert "their errors are correlated" in found.notes[0]
    assert [one["shares_random_numbers"] for one in found.to_dict()["runs"]] == [False, False, True]


@pytest.mark.slow
def test_an_exact_value_stands_where_it_is_that_of_all_runs(runs):
    other = nnqm.simulate(nnqm.harmonic_oscillator(2.0), 4096, 32, 0.2, rng=5)
    given = nnqm.accumulate(nnqm.sample_paths(nnqm.harmonic_oscillator(), 400, 8, 0.2, rng=9), 0.2)
    found = compare({"a": runs[0], "b": other, "c": given}, n_levels=1)
    assert found["<x>"].exact is None  # none of the given paths is known
    found = compare({"a": runs[0], "b": other}, n_levels=1)
    assert found["<x>"].exact == 0
    assert found["variance of x"].exact is None
    page = Reader(compare_page(found).html())
    assert "variance of x" in page.cells
    assert [tag for tag, _ in page.tags].count("svg") == 2
    assert any("differs from a" in note for note in found.notes)


def test_what_cannot_be_compared_is_said(runs):
    with pytest.raises(nnqm.errors.InputTypeError, match="must be a mapping of names to runs; got list"):
        compare(runs)
    with pytest.raises(nnqm.errors.InputError, match="2 to 26 entries; got 1"):
        compare({"a": runs[0]})
    with pytest.raises(nnqm.errors.InputTypeError, match=r"runs\['b'\] must be a run"):
        compare({"a": runs[0], "b": 3})
    with pytest.raises(nnqm.errors.InputTypeError, match=r"texts as names; got 1; write {'1': run}"):
        compare({1: runs[0], 2: runs[1]})
    with pytest.raises(KeyError, match="'mass' is not compared; the rows are <x>"):
        compare(dict(zip("ab", runs, strict=True)), n_levels=1)["mass"]


# ---- JSON


def test_plain_data_keeps_all_digits_and_has_no_nan():
    estimate = Estimate([1 / 3, np.nan], [[0.3, 1.0], [0.4, 1.0]], [2.0, 2.0], 0.1)
    data = plain(
        {"a": estimate, "b": [np.float64("inf"), np.int64(3), np.bool_(True)], "v": Verdict.OK, "g": Group.SHAPE}
    )
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text)["a"]["value"] == [1 / 3, None]
    assert data["a"]["systematic_error"] == [0.1, 0.1]
    assert data["b"] == [None, 3, True]
    assert (data["v"], data["g"]) == ("OK", "shape")
    with pytest.raises(TypeError, match="a object is no plain data"):
        plain(object())


def test_a_row_without_a_number_has_null(runs):
    row = Row("gap 3", None, 3.0, Verdict.NOT_RESOLVED, Group.LEVELS, reason="noise").to_dict()
    assert row["value"] is row["error"] is row["pull"] is row["limit"] is row["caveat"] is None
    assert (row["exact"], row["exact_error"], row["verdict"], row["reason"]) == (3.0, 0.0, "NOT_RESOLVED", "noise")


def strict(text):
    """JSON without the tokens that are none of JSON."""

    def refuse(token):
        raise AssertionError(token)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.slow
def test_run_and_analyse_print_the_report_as_json(command):
    arguments = ("--paths", 2048, "--times", 16, "--no-figure", "--no-positivity", "--json")
    code, out, err = command("run", "oscillator", *arguments)
    assert code == 0
    data = strict(out)
    assert "wrote oscillator.nc" in err
    run = nnqm.load("oscillator.nc")
    report = nnqm.analyse(run, positivity=False)
    assert data["rows"] == report.to_dict()["rows"]
    assert data["run"] == settings_of(run)
    assert (data["file"], data["nnqm"]) == ("oscillator.nc", _core.build_info()["version"])
    variance = next(row for row in data["rows"] if row["quantity"] == "variance of x")
    assert variance["value"] == float(run.moments().value[0])
    assert variance["error"] == float(run.moments().error[0])
    code, again, _ = command("analyse", "oscillator.nc", "--no-positivity", "--json")
    assert strict(again) == data | {"file": None}
    code, longer, _ = command("extend", "oscillator.nc", "--paths", 4096, "--no-positivity", "--json")
    assert strict(longer)["run"]["n_paths"] == 4096
    page = (DOCS / "command-line.md").read_text()
    for keys in (data, data["run"], data["rows"][0]):
        assert not [key for key in keys if f"`{key}`" not in page]


@pytest.mark.slow
def test_results_without_errors_are_told_in_json(command):
    arguments = ("--paths", 256, "--times", 8, "--n-blocks", 4, "--blocks", "0:1", "--json")
    code, out, _ = command("run", "oscillator", *arguments)
    data = strict(out)
    assert code == 0
    assert data["rows"] == []
    assert data["notes"] == ["errors need two blocks, so that there is no report"]


def test_the_other_tables_as_json(command):
    page = (DOCS / "command-line.md").read_text()
    code, out, _ = command("check", "oscillator", "--json")
    checked = strict(out)
    assert code == 0
    assert [row["verdict"] for row in checked["rows"]] == ["HOLDS"] * 5
    informed = strict(command("info", "--json")[1])
    assert informed["instruction_set"] == _core.build_info()["level"]
    listed = strict(command("list", "--json")[1])
    assert {source["name"]: tuple(source["keys"]) for source in listed["sources"]} == keys_of_sources()
    for keys in (checked, checked["rows"][0], informed, listed, listed["sources"][0]):
        assert not [key for key in keys if f"`{key}`" not in page]


# ---- commands


@pytest.mark.slow
def test_compare_and_report_write_pages(command, without_matplotlib, runs):
    for name, run in zip("ab", runs, strict=True):
        nnqm.save(run, f"{name}.nc")
    code, out, err = command("compare", "a.nc", "b.nc", "-o", "both.html")
    assert code == 0
    assert "B - A" in out
    assert "wrote both.html" in err
    assert "variance of x" in Path("both.html").read_text()
    code, out, _ = command("compare", "a.nc", "b.nc", "--json")
    data = strict(out)
    assert [one["name"] for one in data["runs"]] == ["a.nc", "b.nc"]
    page = (DOCS / "command-line.md").read_text()
    for keys in (data, data["runs"][0], data["rows"][0]):
        assert not [key for key in keys if f"`{key}`" not in page]
    code, out, err = command("report", "a.nc", "b.nc", "--no-positivity")
    assert (code, out) == (0, "")
    assert err.splitlines() == ["wrote a.html", "wrote b.html"]
    for name in "ab":
        assert f"<h1>{name}</h1>" in Path(f"{name}.html").read_text()


@pytest.mark.slow
def test_bad_input_of_the_new_commands_is_one_line(command, runs):
    nnqm.save(runs[0], "a.nc")
    for arguments, expected in [
        (("compare", "a.nc"), "needs two files; got a.nc"),
        (("compare", "a.nc", "a.nc"), "a.nc is given twice"),
        (("compare", "a.nc", "b.nc"), "b.nc"),
        (("compare", "a.nc", "b.nc", "-o", "a.nc"), "the output a.nc is also"),
        (("report", "b.nc"), "b.nc"),
        (("report", "a.nc", "-o", "a.nc"), "the output a.nc is also RESULT.nc"),
        (("report", "a.nc", "b.nc", "-o", "x.html"), "--output is for the page of one file; got 2 files"),
        (("report", "a.nc", "a.nc"), "two pages would be a.html"),
        (("report", "."), "file . is not a regular file"),
        (("report", "/"), "file / is not a regular file"),
        (("extend", "."), "output . is a folder"),
        (("report", "a.nc", "b.nc"), "file b.nc does not exist"),
        (("report", "a.nc", "-o", "none/a.html"), "folder none does not exist"),
        (("list", "theory"), "PART 'theory' is unknown; choose from activations"),
        (("list", "theory"), "did you mean 'theories'"),
    ]:
        code, out, err = command(*arguments)
        assert (code, out) == (2, ""), arguments
        assert expected in err
        assert len(err.strip().splitlines()) == 1
    assert not list(Path().glob("*.html"))


def test_the_list_names_all_that_theory_files_know(command):
    assert set(listing.THEORIES) == set(BUILTIN_THEORIES)
    assert set(listing.KERNELS) == {name.replace("_", "-") for name in KERNEL_NAMES}
    assert set(listing.ACTIVATIONS) == set(_core.activations())
    assert set(listing.RUN_SETTINGS) == set(RUN_KEYS)
    with pytest.raises(nnqm.errors.InputError) as unknown:
        nnqm.Density("x")
    known = re.search("choose from (.*)", str(unknown.value))[1].split(", ")
    assert set(listing.DENSITIES) == set(known)
    code, out, _ = command("list")
    assert code == 0
    for names in (BUILTIN_THEORIES, keys_of_sources(), _core.activations(), known):
        assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in names)
    assert "softplus" not in command("list", "theories")[1]


def test_the_formulas_of_the_listed_activations_are_right():
    z = np.linspace(-2, 2, 9)
    formulas = {
        "z": z, "tanh z": np.tanh(z), "max(z, 0)": np.maximum(z, 0), "sin z": np.sin(z), "cos z": np.cos(z),
        "1/(1 + exp(-z))": 1 / (1 + np.exp(-z)), "log(1 + exp z)": np.log(1 + np.exp(z)),
    }  # fmt: skip
    checked = 0
    for name, text in listing.ACTIVATIONS.items():
        if text in formulas:
            found = nnqm.Network([[[1.0]]], activation=[name])(z[:, None])[:, 0]
            np.testing.assert_allclose(found, formulas[text], atol=1e-6)
            checked += 1
    assert checked == len(formulas)


def test_a_shell_is_offered_theories_files_and_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one.toml", "onwards.nc", ".hidden.toml", "notes.txt"):
        Path(name).touch()
    Path("old").mkdir()
    (Path("old") / "two.toml").touch()
    assert completion.theories("o") == ["oscillator", "old/", "one.toml"]
    assert completion.theories("old/t") == ["old/two.toml"]
    assert completion.results("") == ["old/", "onwards.nc"]
    assert completion.theories("none/x") == []
    assert completion.precisions("float6") == ["float64"]


@pytest.mark.slow
def test_a_shell_asks_the_program(tmp_path):
    code = "from nnqm.cli import main; main([])"
    offered = answer(code, _NNQM_COMPLETE="complete_bash", COMP_WORDS="nnqm check osc", COMP_CWORD="2")
    assert offered == "oscillator"
