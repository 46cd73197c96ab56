"""Public signatures and their docstrings: names, order, sections, numbers of parameters."""

import ast
import builtins
import enum
import importlib
import inspect
import re
import textwrap

import pytest

import nnqm

MOST_PARAMETERS = 8
# What a function is about stands before everything else.
FIRST = ("theory", "run")
SECTIONS = ("Parameters", "Returns", "Yields", "Raises", "Attributes", "Notes", "Examples", "References", "See Also")


def public_objects():
    """All functions, classes and public methods that users reach, by their dotted names."""
    scopes = [("nnqm", nnqm, nnqm.__all__)]
    for name in ("nnqm.interop", "nnqm.learning", "nnqm.pages", "nnqm.plot", "nnqm.results", "nnqm.testing"):
        module = importlib.import_module(name)
        scopes.append((name, module, module.__all__))
    seen, found = set(), {}
    for scope, module, names in scopes:
        for name in names:
            thing = getattr(module, name)
            if not callable(thing) or id(thing) in seen:
                continue
            seen.add(id(thing))
            found[f"{scope}.{name}"] = thing
            if not inspect.isclass(thing):
                continue
            for key, value in vars(thing).items():
                value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                if inspect.isfunction(value) and (not key.startswith("_") or key == "__call__"):
                    found[f"{scope}.{name}.{key}"] = value
    return found


OBJECTS = public_objects()
CLASSES = {name: thing for name, thing in OBJECTS.items() if inspect.isclass(thing)}
FUNCTIONS = {name: thing for name, thing in OBJECTS.items() if inspect.isfunction(thing)}


def sections(doc):
    """The parts of a numpydoc docstring: {heading: lines}, the text before the first one under the empty name."""
    lines = inspect.cleandoc(doc or "").splitlines()
    parts, heading = {"": []}, ""
    for i, line in enumerate(lines):
        underline = lines[i + 1] if i + 1 < len(lines) else ""
        if line in SECTIONS and underline == "-" * len(line):
            heading = line
            parts[heading] = []
        elif not (set(line) == {"-"} and lines[i - 1] == heading):
            parts[heading].append(line)
    return parts


def documented(doc, heading="Parameters"):
    """Names of a section in their order, without the stars of further arguments."""
    entries = [line.partition(" : ")[0] for line in sections(doc).get(heading, []) if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for entry in entries for name in entry.split(",")]


def parameters(function):
    """Parameters that a caller gives."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return []
    return [p for p in signature.parameters.values() if p.name not in ("self", "cls")]


def returns_something(function):
    annotation = inspect.signature(function).return_annotation
    return annotation not in (None, "None", "NoReturn", inspect.Signature.empty)


def raises_something(function):
    """Whether a raise statement of its own ends a function, which is not one of a function inside it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except OSError:  # a composite strategy is a function that Hypothesis writes
        return False
    nodes = list(tree.body[0].body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" not in ast.unparse(node):
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            nodes += ast.iter_child_nodes(node)
    return False


def summary(doc):
    """The first paragraph of a docstring."""
    return " ".join(sections(doc)[""]).partition("  ")[0].strip()


@pytest.mark.parametrize("name", OBJECTS)
def test_a_public_object_says_what_it_is(name):
    thing = OBJECTS[name]
    assert inspect.isroutine(thing) or "__doc__" in vars(thing), "the docstring is that of another class"
    text = inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0]
    # dataclass writes one of its own: the signature.
    assert text, "there is no docstring"
    assert not text.startswith(f"{name.rpartition('.')[2]}("), "the docstring is the signature"
    assert text.endswith("."), f"the summary is no sentence: {text!r}"


def constructor(thing):
    """Whether users make objects of a class, and not the package alone."""
    return not issubclass(thing, BaseException | enum.Enum) and "Parameters" in sections(thing.__doc__)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_documents_what_it_takes_or_holds(name):
    thing = CLASSES[name]
    if parameters(thing) and not issubclass(thing, BaseException | enum.Enum):
        assert {"Parameters", "Attributes"} & set(sections(thing.__doc__))


def short_method(name, thing):
    """Whether a method is described by a summary of at most four lines, which needs no sections."""
    depth = 3 if name.startswith("nnqm.results.") else 2
    text = inspect.cleandoc(thing.__doc__ or "")
    return name.count(".") == depth and set(sections(thing.__doc__)) == {""} and len(text.splitlines()) <= 4


@pytest.mark.parametrize("name", OBJECTS)
def test_documented_parameters_are_those_of_the_signature(name):
    thing = OBJECTS[name]
    if short_method(name, thing) or (inspect.isclass(thing) and not constructor(thing)):
        return
    expected = [p.name for p in parameters(thing)]
    settings = [p for p in parameters(thing) if p.kind is p.VAR_KEYWORD]
    told = documented(thing.__doc__)
    if settings and "Unpack" in str(settings[0].annotation):
        # Keywords of a TypedDict are documented there, or one by one.
        assert told[: len(expected) - 1] == expected[:-1]
    else:
        assert told == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_returns_and_raises_is_documented(name):
    function = FUNCTIONS[name]
    if short_method(name, function):
        return
    parts = sections(function.__doc__)
    missing = []
    if returns_something(function) and not {"Returns", "Yields"} & set(parts):
        missing.append("Returns")
    if raises_something(function) and "Raises" not in parts:
        missing.append("Raises")
    assert not missing
    # What is said to be raised is an error that there is.
    for error in documented(function.__doc__, "Raises"):
        assert any(hasattr(scope, error) for scope in (nnqm, nnqm.results, nnqm.errors, builtins)), error


@pytest.mark.parametrize("name", OBJECTS)
def test_signatures_are_short_and_in_one_order(name):
    thing = OBJECTS[name]
    if inspect.isclass(thing) and not constructor(thing):
        return
    given = parameters(thing)
    names = [p.name for p in given]
    if not inspect.isclass(thing):
        assert len(names) <= MOST_PARAMETERS, f"{len(names)} parameters"
    positional = [p.name for p in given if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    first = [n for n in positional if n in FIRST and name.count(".") == 1]
    assert not first or names.index(first[0]) == 0, f"{first[0]} is not the first of {names}"
    # Times (or lags) of what is asked for stand before the channel, which they are asked of.
    if (
        "channel" in names
        and "times" in names
        and given[names.index("times")].kind is not inspect.Parameter.KEYWORD_ONLY
    ):
        assert names.index("times") < names.index("channel"), names
    for p in given:
        if p.name == "channel":
            # One channel for each of several times is a sequence, and so are points of space; None is all points.
            kinds = ("int | str", "int | str | Sequence[int | str]", "int | str | Sequence[int | str] | None")
            assert str(p.annotation) in kinds, f"channel: {p.annotation}"
            default = None if str(p.annotation) == kinds[2] else 0
            assert p.default in (default, inspect.Parameter.empty), f"channel={p.default!r}"


# ---- the checks themselves


def wrong(theory, n_paths=1, *, channel=0) -> int:
    """Text.

    Parameters
    ----------
    n_paths, theory : int
        Two.
    *channel : int
        One.
    """
    if channel:
        raise ValueError("channel")
    return 1


def test_faults_are_found():
    assert documented(wrong.__doc__) == ["n_paths", "theory", "channel"]
    assert [p.name for p in parameters(wrong)] == ["theory", "n_paths", "channel"]
    assert returns_something(wrong)
    assert raises_something(wrong)
    assert "Raises" not in sections(wrong.__doc__)
    assert not raises_something(parameters)
    assert len(FUNCTIONS) > 100
    assert len(CLASSES) > 30
    assert {"nnqm.simulate", "nnqm.Theory", "nnqm.results.Correlators.two_point", "nnqm.Network.__call__"} <= set(
        OBJECTS
    )
    assert re.fullmatch(r"\S.*\.", summary(nnqm.simulate.__doc__))
