"""Where code lives: the order of the wings, private names, sizes of files and functions."""

import ast
import inspect
import sys
from pathlib import Path

import pytest

import house
import nnqm

MODULES = house.modules()
ROOT = house.SOURCE.parent.parent
LONGEST_PYTHON, LONGEST_CPP = 700, 600
LONGEST_FUNCTION, MOST_PARAMETERS = 80, 8


def text_of(module):
    return (house.SOURCE / (module.replace(".", "/") + ".py")).read_text()


def faults(module, text):
    """Imports that point upwards or sideways, or at a private name of another module."""
    found = []
    for arrow in house.arrows_of(module, text):
        above, below = house.wing(module), house.wing(arrow.target)
        if below not in house.FLOOR:
            found.append(f"{module} imports {arrow.target}, which stands in no wing")
        elif above != below and house.FLOOR[below] >= house.FLOOR[above]:
            found.append(f"{module} imports {arrow.target}, which does not stand below it")
        private = [name for name in arrow.names if name.startswith("_") and name != "_core"]
        if private:
            found.append(f"{module} imports {', '.join(private)} of {arrow.target}, private there")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_public_names_from_below(module):
    assert house.wing(module) in house.FLOOR, f"say on which floor {module} stands"
    assert not faults(module, text_of(module))


@pytest.mark.slow
def test_no_modules_import_each_other_in_a_circle():
    rooms = house.graph((a.origin, a.target) for a in house.arrows())
    assert house.floors(rooms) < len(rooms)


def test_wrong_imports_are_found():
    # Negative controls: upwards, sideways, private, inside a function, by the full name, and a circle.
    assert faults("sampling.paths", "from ..report.table import Row")
    assert faults("positivity.certificate", "from ..estimators.roughness import commutator")
    assert faults("sampling.paths", "from .arrays import _private")
    assert faults("sampling.paths", "def f():\n    from ..cli import main\n")
    assert faults("sampling.paths", "import nnqm.report.table")
    assert not faults("sampling.paths", "from ..theories.theory import Theory\nfrom .arrays import is_array")
    with pytest.raises(ValueError, match="cycle"):
        house.floors({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize(
    ("folder", "pattern", "longest"),
    [("python/nnqm", "*.py", LONGEST_PYTHON), ("cpp", "*.[ch]*", LONGEST_CPP)],
)
def test_files_stay_readable(folder, pattern, longest):
    lines = {p: len(p.read_text().splitlines()) for p in (ROOT / folder).rglob(pattern)}
    assert len(lines) > 10
    assert not {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > longest}


def test_hamiltonian_is_composed():
    tree = ast.parse(text_of("quantum.hamiltonian"))
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Hamiltonian")
    assert found.end_lineno - found.lineno < 450


def functions(tree):
    """All functions of a module, those inside classes and functions included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines_of_code(function):
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def parameters(function):
    """Names of the parameters; a group of keywords counts as one, self and cls do not count."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    names = [a.arg for a in [*named, arguments.vararg, arguments.kwarg] if a is not None]
    return [name for name in names if name not in ("self", "cls")]


def is_command(function):
    """Whether a function is a command of the command line, of which every option is a parameter."""
    return any("command(" in ast.unparse(decorator) for decorator in function.decorator_list)


def excesses(tree):
    """Functions that are too long or have too many parameters."""
    found = []
    for function in functions(tree):
        if lines_of_code(function) > LONGEST_FUNCTION:
            found.append(f"{function.name}: {lines_of_code(function)} lines")
        if len(parameters(function)) > MOST_PARAMETERS and not is_command(function):
            found.append(f"{function.name}: {len(parameters(function))} parameters")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short_and_take_few_parameters(module):
    assert not excesses(ast.parse(text_of(module)))


def test_excesses_are_found():
    assert excesses(ast.parse("def f(a, b, c, d, e, *f, g, h, **i): ..."))
    assert not excesses(ast.parse("class A:\n    def f(self, a, b, c, d, e, *f, g, **h): ..."))
    assert excesses(ast.parse("def f():\n    'Text.'\n" + "    x = 1\n" * 81))
    assert not excesses(ast.parse("def f():\n    'Text.'\n" + "    x = 1\n" * 80))


def string_comparisons(tree):
    """Comparisons of a verdict with a text, and tests of how one begins or ends."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and "verdict" in ast.unparse(node.left):
            if any(isinstance(c, ast.Constant) and isinstance(c.value, str) for c in node.comparators):
                yield ast.unparse(node)
        elif isinstance(node, ast.Attribute) and node.attr in ("startswith", "endswith", "split"):
            yield from [ast.unparse(node)] if "verdict" in ast.unparse(node.value) else []


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_decided_by_the_words_of_a_verdict(module):
    assert not list(string_comparisons(ast.parse(text_of(module))))


def test_comparisons_with_words_are_found():
    assert list(string_comparisons(ast.parse("if level.verdict == 'noise': pass")))
    assert list(string_comparisons(ast.parse("x = row.verdict.startswith('ok')")))
    assert not list(string_comparisons(ast.parse("if level.verdict is Verdict.NOISE: pass")))


def heavy_imports(tree):
    """Imports at the top of a module that `import nnqm` would load, other than numpy and the standard library."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        tops = {name.partition(".")[0] for name in names}
        yield from tops - set(sys.stdlib_module_names) - {"numpy"}


@pytest.mark.parametrize("module", [m for m in MODULES if house.wing(m) not in ("cli", "plot", "testing")])
def test_heavy_imports_stand_inside_functions(module):
    assert not list(heavy_imports(ast.parse(text_of(module))))


@pytest.mark.parametrize("package", [nnqm, nnqm.fields], ids=lambda p: p.__name__)
def test_no_module_hides_a_public_name(package):
    # The import of a module sets an attribute of its package, in place of a name that is imported at its first use.
    modules = {p.stem for p in Path(package.__file__).parent.iterdir() if not p.name.startswith("_")}
    assert {n for n in package.__all__ if n in modules and not inspect.ismodule(getattr(package, n))} == set()
