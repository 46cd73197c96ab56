"""The pages: every block of code runs, output that is shown is printed, and every link leads somewhere."""

import contextlib
import doctest
import io
import math
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xarray

import nnqm
from interpreter import HANGS
from nnqm import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# Files that a build of the site writes into docs/.
BUILT = (DOCS / "gallery", DOCS / "project", DOCS / "reference" / "commands.md")
WRITTEN = [p for p in sorted(DOCS.rglob("*.md")) if not any(p.is_relative_to(built) for built in BUILT)]
PAGES = {p.relative_to(ROOT).as_posix(): p for p in [ROOT / "README.md", *WRITTEN, DOCS / "llms.txt"]}

# What a page takes for granted: objects that its reader has.
GIVEN = {
    "README.md": """
import nnqm
paths = nnqm.sample_paths(nnqm.harmonic_oscillator(), 4096, 64, 0.1, rng=2)
""",
    "docs/one-correlator.md": """
import numpy as np, nnqm
run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 32, 0.2, rng=1)
estimate = run.connected()[:10]
times = 0.2 * np.array(run.lags[:10])
values, covariance = estimate.value, estimate.covariance()
samples = values + np.random.default_rng(1).normal(size=(200, 10)) @ np.linalg.cholesky(200 * covariance).T
gvars, corr = estimate, run  # tests/test_one_correlator.py has objects of their kinds
""",
    "docs/saved-files.md": """
import nnqm
nnqm.save(nnqm.simulate(nnqm.harmonic_oscillator(), 4096, 16, 0.2, rng=1), "oscillator.nc")
""",
    # The class of the page is the one of examples/test_my_process.py: two classes cannot have one kind.
    "docs/testing-your-theory.md": "__name__ = 'test_my_process'",
    "docs/theory-file.md": "import nnqm",
}
# Commands that are run by .ci/run and not here.
ELSEWHERE = ("cmake ", "cc ", "pip install ", "python3 -m venv ", "python -m bench", "python -m pytest")
# Larger numbers of paths are reduced.
MANY = 50_000


class Block(NamedTuple):
    """A block of code: its language, its text, and whether it follows the last one without a word between them."""

    language: str
    text: str
    adjacent: bool


def blocks(text):
    """The fenced blocks of a page."""
    found, end = [], 0
    for match in re.finditer(r"^```([\w+-]*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found.append(Block(match[1], match[2], not text[end : match.start()].strip() and end > 0))
        end = match.end()
    return found


def blocks_of(page):
    return blocks(PAGES[page].read_text(encoding="utf-8"))


def reduced(code):
    """Code with fewer paths: numbers above MANY by the logarithm, which keeps their order."""

    def fewer(match):
        n = int(match[0].replace("_", ""))
        return f"{n if n <= MANY else int(20_000 * (1 + math.log10(n / 20_000))):_}"

    return re.sub(r"(?<![\w.])\d{1,3}(?:_\d{3})+\b", fewer, code)


def executed(block, scope, page, full=False):
    """Execute a block of Python, or of its examples; returns what it prints."""
    code = block.text if full else reduced(block.text)
    if ">>> " in code:
        test = doctest.DocTestParser().get_doctest(code, scope, page, None, 0)
        assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
        scope.update(test.globs)
        return ""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), scope)
    return printed.getvalue()


def rows(text):
    """The first column of a table."""
    return [re.split(r"  |: ", line)[0] for line in text.strip().splitlines()]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)


def pages_with(*languages):
    return [page for page in PAGES if any(b.language in languages for b in blocks_of(page))]


def test_blocks_have_a_known_language():
    known = {"", "python", "text", "sh", "console", "toml", "cpp", "c", "cmake", "fortran", "julia"}
    for page in PAGES:
        assert {b.language for b in blocks_of(page)} <= known, page


SLOW_PAGES = (
    "first-hour",
    "index",
    "positivity",
    "theory-file",
    "random-weights",
    "kkl",
    "designed-hamiltonians",
    "training-dynamics",
    "trained-ensembles",
    "scan",
    "interoperability",
    "two-level",
    "coming-from/deeptime",
    "coming-from/jax",
    "coming-from/pyerrors",
)
SLOW = ("README.md", "docs/llms.txt", *(f"docs/{page}.md" for page in SLOW_PAGES))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.slow] if p in SLOW else []) for p in pages_with("python")]
)
def test_python_runs(page):
    scope = {}
    exec(GIVEN.get(page, ""), scope)
    printed, last = "", None
    for block in blocks_of(page):
        if block.language == "python":
            printed, last = executed(block, scope, page), block
        elif block.language == "text" and block.adjacent and last is not None:
            # Of fewer paths than in the page only the rows are the same, and so are those of another instruction set.
            if reduced(last.text) == last.text and nnqm.build_info()["level"] == "v4":
                assert printed.split() == block.text.split()
            else:
                assert rows(printed)[1:] == rows(block.text)[1:]
        if block.language != "python":
            last = None


def exact_column(text):
    """The numbers of the column headed exact, which is aligned to the right, by row."""
    lines = text.strip().splitlines()
    end = lines[1].index("exact") + len("exact")
    table = [line for line in lines[2:] if not line.startswith("note")]
    return {line.split("  ")[0]: line[:end].split()[-1] if line[end - 1 : end].strip() else "" for line in table}


def first_screen():
    python = next(b for b in blocks_of("README.md") if b.language == "python")
    text = next(b for b in blocks_of("README.md") if b.language == "text")
    return python, text.text


@pytest.mark.slow
def test_the_first_screen_has_the_exact_values():
    code, shown = first_screen()
    assert len(code.text.strip().splitlines()) <= 10
    printed = executed(code, {}, "README.md")
    expected = exact_column(shown)
    assert len([value for value in expected.values() if value]) > 15
    assert exact_column(printed) == expected


@pytest.mark.slow
def test_the_first_screen_is_what_its_lines_print():
    code, shown = first_screen()
    printed = executed(code, {}, "README.md", full=True)
    if nnqm.build_info()["level"] == "v4":
        assert printed.strip() == shown.strip()
    else:
        # Bits of another instruction set differ, and with them last digits.
        assert rows(printed)[1:] == rows(shown)[1:]


# ---- the command line


def commands(page):
    """The lines of the shell in a page, one command each."""
    for block in blocks_of(page):
        if block.language in ("", "sh", "console"):
            for line in block.text.replace("\\\n", " ").splitlines():
                if block.language == "console" and not line.startswith("$ "):
                    continue
                yield from (part.strip() for part in line.removeprefix("$ ").split("&&") if part.strip())


def is_ours(command):
    return Path(shlex.split(command)[0]).name == "nnqm"


def small(words):
    """A command of nnqm at a small size, without a picture."""
    least = {"run": {"--paths": "8192", "--times": "16"}, "check": {"--paths": "1000"}}.get(words[0], {})
    words = list(words)
    if words[0] == "reproduce" and "--list" not in words:
        words.insert(1, "optimal-alpha")
    for option, value in least.items():
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return words + (["--no-figure"] if words[0] == "run" and "--no-figure" not in words else [])


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in pages_with("", "sh", "console") if any(map(is_ours, commands(p)))])
def test_commands_run(page, capsys):
    rng = np.random.default_rng(1)
    np.save("chain.npy", rng.normal(size=(2000, 24)).cumsum(axis=1) * 0.2)
    np.savez("run.npz", positions=rng.normal(size=(2000, 24, 2)), other=np.zeros(3))
    nnqm.save(nnqm.simulate(nnqm.harmonic_oscillator(), 4096, 16, 0.2, rng=1), "oscillator.nc")
    np.savetxt("trajectory.dat", np.stack([0.1 * np.arange(3000), rng.normal(size=3000)], axis=1))
    lattice = xarray.DataArray(
        rng.normal(size=(16, 2000)), dims=("time", "config"), coords={"time": 0.5 * np.arange(16)}
    )
    lattice.to_netcdf("lattice.nc", engine="h5netcdf")
    for command in filter(is_ours, commands(page)):
        with pytest.raises(SystemExit) as stop:
            cli.main(small(shlex.split(command)[1:]))
        out, err = capsys.readouterr()
        assert stop.value.code in (0, None), f"{command}: {err}"
        assert out.strip() or "wrote" in err, command


def test_other_commands_are_run_elsewhere():
    for page in PAGES:
        for command in commands(page):
            program = re.sub(r"^\S*/(?=pip|python)", "", command)
            assert is_ours(command) or program.startswith(ELSEWHERE), f"{page}: {command}"


# ---- other languages


@pytest.mark.parametrize("page", pages_with("toml"))
def test_theory_files_are_read(page):
    for i, block in enumerate(b for b in blocks_of(page) if b.language == "toml"):
        path = Path(f"{i}.toml")
        path.write_text(block.text, encoding="utf-8")
        file = nnqm.load_theory_file(path)
        assert np.isfinite(nnqm.sample_paths(file.theory, 128, 4, 0.1, rng=1)).all()


def compiler(*names):
    """The first of some programs that is installed."""
    return next((found for name in names if name and (found := shutil.which(name))), None)


COMPILERS = {
    "cpp": (compiler(os.environ.get("CXX"), "c++", "g++", "clang++"), ["-std=c++17", "-Wall", "-Werror"], ".cpp"),
    "c": (compiler(os.environ.get("CC"), "cc", "gcc", "clang"), ["-std=c99", "-Wall", "-Werror"], ".c"),
    "fortran": (compiler("gfortran"), ["-std=f2008"], ".f90"),
}


@pytest.mark.slow
@pytest.mark.parametrize("language", [name for name, (program, *_) in COMPILERS.items() if program])
def test_other_languages_compile(language):
    program, options, ending = COMPILERS[language]
    texts = [b.text for page in PAGES for b in blocks_of(page) if b.language == language]
    if language == "c":
        texts += [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.c")]
    assert texts
    for text in texts:
        Path(f"page{ending}").write_text(text, encoding="utf-8")
        command = [program, *options, "-fsyntax-only", f"-I{ROOT / 'cpp' / 'include'}", f"page{ending}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANGS)
        assert done.returncode == 0, done.stderr
    # Negative control.
    Path(f"page{ending}").write_text(text.replace("nnqm_theory_create", "9").replace("nnqm::", "nnqm::No"))
    assert subprocess.run(command, capture_output=True, check=False, timeout=HANGS).returncode != 0


# ---- links


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def links(page):
    """Targets of the links of a page that are no addresses of the web."""
    text = without_code(page.read_text(encoding="utf-8"))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def anchors(page):
    """Names of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


EVERY_TEXT = [*PAGES.values(), *(p for p in ROOT.glob("*.md") if p.name != "README.md")]


@pytest.mark.parametrize("page", EVERY_TEXT, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def reachable(start):
    """Pages that a chain of links leads to."""
    found, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix not in (".md", ".txt") or not page.exists():
            continue
        found.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"]
    return found


@pytest.mark.slow
def test_links_lead_to_every_page():
    assert not {p.resolve() for p in PAGES.values()} - reachable((ROOT / "README.md").resolve())
    assert not {p.resolve() for p in WRITTEN} - reachable((DOCS / "index.md").resolve())


# ---- numbers that were measured


@pytest.mark.parametrize("page", ["docs/error-bars.md", "docs/speed.md"])
def test_measured_numbers_are_those_of_the_benchmarks(page):
    logs = "".join(p.read_text(encoding="utf-8") for name, p in PAGES.items() if name.startswith("docs/benchmarks"))
    known = set(re.findall(r"\d[\d,]*\.\d+", logs))
    prose = re.sub(r"^```.*?^```$", "", PAGES[page].read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall(r"(?<!-)\b\d[\d,]*\.\d+", prose.partition("\n## How to")[0])
    assert len(quoted) > 15
    assert set(quoted) - known - {"2.56"} == set()  # 2.56e8 points, an example


# ---- the tools above


def test_blocks_are_found_and_reduced():
    page = "A\n\n```python\nx = 1_000_000\n```\n\n```text\n5\n```\n\nB\n\n```toml\na = 1\n```\n"
    assert blocks(page) == [
        Block("python", "x = 1_000_000\n", False),
        Block("text", "5\n", True),
        Block("toml", "a = 1\n", False),
    ]
    assert reduced("a(20_000, 1_000_000, 10_000_000, 1000000, x1_000_000)") == (
        "a(20_000, 53_979, 73_979, 1000000, x1_000_000)"
    )
    with pytest.raises(AssertionError):
        executed(Block("python", ">>> 1 + 1\n3\n", False), {}, "page")
    with pytest.raises(NameError):
        executed(Block("python", "no_such_name\n", False), {}, "page")
    assert small(["run", "a.toml", "--paths", "1000000"]) == [
        "run", "a.toml", "--paths", "8192", "--times", "16", "--no-figure"
    ]  # fmt: skip
