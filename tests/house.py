"""The import graph of the package: rooms (modules), floors and arrows. Run it to print the counts."""

import ast
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent.parent / "python" / "nnqm"

# From the ground up. A file may import its own wing and the wings in rows above its own.
WINGS = [
    ["_core"],
    ["errors", "representation", "display", "verdict"],
    ["_memory", "_signals", "progress"],
    ["_arguments"],
    ["statistics"],
    ["quantum"],
    ["theories"],
    ["sampling"],
    ["runs"],
    ["exact"],
    ["time_networks"],
    ["positivity", "estimators"],
    ["spectra"],
    ["fields"],
    ["learning"],
    ["properties", "files"],
    ["report"],
    ["results", "plot", "interop"],
    ["pages"],
    ["reproduce"],
    ["testing", "cli"],
]
FLOOR = {wing: i for i, row in enumerate(WINGS) for wing in row}


class Arrow(NamedTuple):
    """One import: ``names`` are taken from the module ``target`` by the module ``origin``."""

    origin: str
    target: str
    names: tuple[str, ...]


def modules(source=SOURCE):
    """Dotted names of all modules below the package, without those of wings themselves."""
    files = (p for p in sorted(source.rglob("*.py")) if p.name != "__init__.py")
    return [".".join(p.relative_to(source).with_suffix("").parts) for p in files]


def arrows_of(module, text):
    """Imports of other modules of the package by the text of a module, those inside functions included."""
    folder = module.split(".")[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - node.level + 1]
            names = tuple(alias.name for alias in node.names)
            if node.module:
                yield Arrow(module, ".".join([*base, node.module]), names)
            else:
                yield from (Arrow(module, ".".join([*base, name]), ()) for name in names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nnqm":
            yield Arrow(module, node.module.partition(".")[2], tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "nnqm":
                    yield Arrow(module, alias.name.partition(".")[2], ())


def arrows(source=SOURCE):
    """All imports between modules of the package."""
    found = []
    for module in modules(source):
        text = (source / (module.replace(".", "/") + ".py")).read_text()
        found += arrows_of(module, text)
    return found


def wing(module):
    """The wing of a module, or the module itself if it stands beside the wings."""
    return module.partition(".")[0]


def floors(graph):
    """Number of levels of a graph without cycles, given as {room: set of rooms it imports}; raises on a cycle."""
    height, path = {}, []

    def climb(room):
        if room in path:
            raise ValueError(f"cycle {' -> '.join([*path[path.index(room) :], room])}")
        if room not in height:
            path.append(room)
            height[room] = 1 + max((climb(other) for other in graph.get(room, ())), default=0)
            path.pop()
        return height[room]

    return max(climb(room) for room in graph)


def graph(pairs):
    """The graph {room: set of rooms it imports} of pairs (room, imported room), without loops."""
    rooms = {}
    for origin, target in pairs:
        rooms.setdefault(origin, set())
        rooms.setdefault(target, set())
        if origin != target:
            rooms[origin].add(target)
    return rooms


if __name__ == "__main__":
    for title, name in (("modules", str), ("wings", wing)):
        rooms = graph((name(a.origin), name(a.target)) for a in arrows())
        print(f"{title}: {len(rooms)} rooms, {floors(rooms)} floors, {sum(map(len, rooms.values()))} arrows")
