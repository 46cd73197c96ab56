"""Where code lives: the order of the wings, private names, sizes of files and functions."""

import ast

import pytest

import house

MODULES = house.modules()
ROOT = house.SOURCE.parent.parent
LONGEST_PYTHON, LONGEST_CPP = 700, 600


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
