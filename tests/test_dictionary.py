"""Names of nnqm on the pages of theory and in the dictionary exist."""

import functools
import inspect
import re
from pathlib import Path

import pytest

import nnqm

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [DOCS / "dictionary.md", *sorted((DOCS / "theory").glob("*.md")), *sorted((DOCS / "coming-from").glob("*.md"))]


def member(owner, name):
    """An attribute of a module or class; fields of a dataclass and annotated attributes count."""
    if hasattr(owner, name):
        return getattr(owner, name)
    if inspect.isclass(owner) and any(name in getattr(base, "__annotations__", {}) for base in owner.__mro__):
        return None
    raise AttributeError(f"{owner} has no {name}")


def parameters(function):
    """Names of all arguments, with those of ``**settings``."""
    found = set()
    for name, parameter in inspect.signature(function).parameters.items():
        found.add(name)
        if parameter.kind is parameter.VAR_KEYWORD:
            settings = re.search(r"Unpack\[(\w+)\]", str(parameter.annotation))[1]
            table = getattr(inspect.getmodule(function), settings)
            found |= table.__required_keys__ | table.__optional_keys__
    return found


def resolve(text):
    """Check a name such as nnqm.simulate(dt=); raises AttributeError if a part of it does not exist."""
    name, _, argument = text.partition("(")
    found = functools.reduce(member, name.split(".")[1:], nnqm)
    for given in re.findall(r"(\w+)=", argument):
        if given not in parameters(found):
            raise AttributeError(f"{name} has no argument {given}")


def names(page):
    """Names in code spans that begin with nnqm."""
    return re.findall(r"`(nnqm\.[\w.]+(?:\(\w+=\))?)(?:\([^`]*\))?`", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_names_exist(page):
    for name in names(page):
        resolve(name)


def functions_of(page):
    """Code spans of the section "Functions" of a page of theory."""
    text = page.read_text(encoding="utf-8").partition("## Functions\n")[2].partition("\n## ")[0]
    return re.findall(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`", text)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.parent.name == "theory" and p.stem != "index"], ids=lambda p: p.stem
)
def test_functions_of_the_theory_exist(page):
    named = functions_of(page)
    assert len(named) > 2
    for name in named:
        owners = [
            nnqm,
            nnqm.results.Correlators,
            nnqm.results.KarhunenLoeve,
            nnqm.results.SpectralMeasure,
            nnqm.Estimate,
        ]
        for owner in owners:
            try:
                functools.reduce(member, re.sub(r"^(run|nnqm)[.]", "", name).split("."), owner)
                break
            except AttributeError:
                continue
        else:
            raise AssertionError(name)


def test_the_dictionary_has_many_names():
    assert len(set(names(DOCS / "dictionary.md"))) > 60


def test_names_that_do_not_exist_are_found():
    for wrong in ("nnqm.simulat", "nnqm.simulate(step=)", "nnqm.results.Level.mass", "nnqm.fields.Cosnet"):
        with pytest.raises(AttributeError):
            resolve(wrong)
    resolve("nnqm.simulate(n_threads=)")
