"""The documentation site: its trees of contents, its links, its reference and its gallery, without building it."""

import ast
import importlib
import inspect
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from test_documentation import DOCS, ROOT, WRITTEN

sys.path.insert(0, str(DOCS / "_extensions"))
import api
import outside

GENERATED = ["gallery/index", "project/readme", "project/contributing", "project/changelog", "reference/commands"]
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*.py") if not p.name.startswith("test_"))


def toctrees():
    """The trees of contents in the configuration of the site."""
    tree = ast.parse((DOCS / "conf.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "toctrees"
    )
    return ast.literal_eval(value)


def below(page, pattern):
    """A pattern of a tree as one from docs/; as in Sphinx it starts at the folder of the page."""
    return (Path(page).parent / pattern).as_posix()


def test_every_page_is_in_one_tree_and_every_entry_is_a_page():
    names = [p.relative_to(DOCS).with_suffix("").as_posix() for p in WRITTEN] + GENERATED
    names += [f"reference/{module}" for module in api.public_modules()]
    assert set(toctrees()) <= set(names)
    entries = [below(page, e) for page, trees in toctrees().items() for tree in trees.values() for e in tree]
    for entry in entries:
        assert any(matches(name, entry) for name in names), entry
    for name in names:
        assert [e for e in entries if matches(name, e)] or name == "index", f"{name} is missing in docs/conf.py"


def matches(name, pattern):
    return fnmatch(name, pattern) and name.count("/") == pattern.count("/")


# ---- links


def test_links_out_of_the_documentation_are_resolved():
    text = "[a](../README.md#install) [b](../examples/kkl.py) [c](../bench) [d](../examples/embed.c) [e](exact.md)\n"
    text += "`[f](../x)` [g](https://a.b)\n```\n[h](../README.md)\n```\n"
    assert outside.resolved(text, "docs", "") == (
        "[a](project/readme.md#install) [b](gallery/kkl.rst) c [d](../examples/embed.c) [e](exact.md)\n"
        "`[f](../x)` [g](https://a.b)\n```\n[h](../README.md)\n```\n"
    )
    assert outside.resolved("[a](docs/exact.md) [b](LICENSE)", ".", "project") == "[a](../exact.md) [b](../../LICENSE)"
    assert outside.resolved("[a](../benchmarks.md)", "docs/benchmarks", "benchmarks") == "[a](../benchmarks.md)"


@pytest.mark.slow
def test_all_links_have_a_target_in_the_site():
    for page in WRITTEN:
        folder = page.parent.relative_to(DOCS).as_posix()
        mended = outside.resolved(page.read_text(encoding="utf-8"), f"docs/{folder}", folder)
        for target in re.findall(r"\]\(([^)\s]+)\)", mended):
            path = (page.parent / target.partition("#")[0]).resolve()
            if "://" in target or path.exists():
                continue
            assert path.relative_to(DOCS).with_suffix("").as_posix() in [*GENERATED, *map(gallery_page, EXAMPLES)], (
                target
            )


# ---- the reference


@pytest.mark.parametrize("name", api.public_modules())
def test_the_reference_has_every_public_name(name):
    module = importlib.import_module(name)
    listed = re.findall(r"^   (\w+)$", api.page_of(name), re.MULTILINE)
    public = [n for n in module.__all__ if not inspect.ismodule(getattr(module, n))]
    assert sorted(listed) == sorted(public)
    for public_name in public:
        assert (inspect.getdoc(getattr(module, public_name)) or "").strip(), public_name


def test_the_index_of_the_reference_has_every_module():
    text = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(nnqm[\w.]*)`", text, re.MULTILINE) == api.public_modules()


def test_pages_of_the_reference_have_names_of_their_own():
    renamed = api.same_but_for_case(api.public_modules())
    names = [
        renamed.get(f"{m}.{n}", f"{m}.{n}").lower()
        for m in api.public_modules()
        for n in importlib.import_module(m).__all__
    ]
    assert len(set(names)) == len(names)
    assert "nnqm.fields.dispersion" in renamed


def test_the_reference_has_every_command():
    text = api.commands()
    for command in ("run", "analyse", "check", "extend", "merge", "info"):
        assert f"`nnqm {command}`" in text
    assert "--paths" in text


def test_signs_of_docstrings_are_kept():
    lines = ["weight |<0|x|n>|^2 of ``|x|``", "", ".. math:: |x|", "", "    |y|", "", "shape (R, *S), :math:`|t|`"]
    api.keep_signs(None, "", "", None, None, lines)
    assert lines == [
        r"weight \|<0\|x\|n>\|^2 of ``|x|``",
        "",
        ".. math:: |x|",
        "",
        "    |y|",
        "",
        r"shape (R, \*S), :math:`|t|`",
    ]


# ---- the gallery


def gallery_page(path):
    return f"gallery/{path.stem}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_pages_of_the_gallery(path):
    text = path.read_text(encoding="utf-8")
    title, line, empty, *words = ast.get_docstring(ast.parse(text)).splitlines()
    assert set(line) == {"="}
    assert len(line) == len(title)
    assert not empty
    assert words
    assert re.search(r"^# %%\n# \w", text, re.MULTILINE)
    # A cell shows its figures when it ends, so that each figure is made in one cell.
    for cell in re.split(r"^# %%$", text, flags=re.MULTILINE):
        assert cell.count("plt.subplots(") == cell.count(".savefig(")
    assert f'savefig("{path.stem}.png"' in text
