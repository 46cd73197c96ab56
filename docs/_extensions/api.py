"""Pages of the reference: every public name by topic, and every command of the command line."""

import importlib
import inspect
import re
from pathlib import Path

from outside import write

# Topics by the wing of the package that defines a name, in the order of a user's way.
TOPICS = {
    "theories": "Theories, processes and networks",
    "quantum": "Hamiltonians and states",
    "sampling": "Sampling and sums",
    "runs": "Runs",
    "report": "Reports",
    "estimators": "Estimators",
    "spectra": "Levels",
    "positivity": "Reflection positivity",
    "exact": "Exact answers",
    "time_networks": "Networks in time",
    "properties": "Axioms",
    "learning": "Learning",
    "fields": "Fields",
    "statistics": "Estimates and their errors",
    "verdict": "Estimates and their errors",
    "files": "Files",
}
OTHERS = "Others"
# Modules that users import, beside nnqm itself.
PUBLIC = ("fields", "learning", "results", "plot", "pages", "interop", "testing", "reproduce", "errors")


def public_modules():
    """Names of the modules that users import."""
    return ["nnqm", *(f"nnqm.{name}" for name in PUBLIC)]


def names_by_topic(module):
    """The public names of a module by topic, without modules: {topic: [name, ...]}."""
    found = {}
    for name in module.__all__:
        thing = getattr(module, name)
        if not inspect.ismodule(thing):
            found.setdefault(topic(thing), []).append(name)
    if len(found) == 1:
        (names,) = found.values()
        classes = [name for name in names if inspect.isclass(getattr(module, name))]
        others = [name for name in names if name not in classes]
        return {title: part for title, part in (("Classes", classes), ("Functions", others)) if part}
    order = [*dict.fromkeys(TOPICS.values()), OTHERS]
    return {title: found[title] for title in sorted(found, key=order.index)}


def topic(thing):
    """The topic of a public thing, by the wing that defines it."""
    parts = (getattr(thing, "__module__", None) or "").split(".")
    wing = parts[1] if parts[0] == "nnqm" and len(parts) > 1 else ""
    return TOPICS.get(wing, OTHERS)


def page_of(name):
    """The page of a public module: its text, and a table of its names for each topic."""
    module = importlib.import_module(name)
    lines = [name, "=" * len(name), "", f".. currentmodule:: {name}", "", inspect.getdoc(module) or "", ""]
    topics = names_by_topic(module)
    for title, names in topics.items():
        if len(topics) > 1:
            lines += [title, "-" * len(title), ""]
        lines += [".. autosummary::", "   :toctree: api", "   :nosignatures:", "", *(f"   {n}" for n in names), ""]
    return "\n".join(lines)


def commands():
    """The page of the command line, from the help of every command."""
    import typer
    import typer.cli
    from typer.main import get_command

    from nnqm.cli import app

    command = get_command(app)
    context = typer.Context(command, info_name="nnqm")
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="nnqm", title="Commands")
    return text.replace("docs/theory-file.md", "[theory files](../theory-file.md)")


def same_but_for_case(modules):
    """File names for the pages of functions named like classes, which some file systems could not tell apart."""
    taken, renamed = set(), {}
    for module in modules:
        for name in importlib.import_module(module).__all__:
            full = f"{module}.{name}"
            if full.lower() in taken:
                renamed[full] = f"{full}-function"
            taken.add(full.lower())
    return renamed


def write_pages(app, config):
    """Write all generated pages of the reference."""
    folder = Path(app.srcdir) / "reference"
    modules = public_modules()
    renamed = same_but_for_case(modules)
    pages = {f"{m}.{n}" for m in modules for n in importlib.import_module(m).__all__}
    keep = {*modules, *(renamed.get(page, page) for page in pages)}
    # Pages of an earlier build, of names that are gone.
    for path in [*folder.glob("*.rst"), *folder.glob("api/*.rst")]:
        if path.stem not in keep:
            path.unlink()
    for name in modules:
        write(folder / f"{name}.rst", page_of(name))
    write(folder / "commands.md", commands())
    config.autosummary_filename_map = renamed
    config.autosummary_generate = [str(folder / f"{name}.rst") for name in modules]


def keep_signs(app, what, name, thing, options, lines):
    """Keep the bars of |<0|x|n>| and the star of (R, *S), which are marks of reStructuredText, as they are."""
    formula = None
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and formula is not None and indent <= formula:
            formula = None
        if line.lstrip().startswith(".. math::"):
            formula = indent
        if formula is None:
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"\||(?<=, )\*(?=\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app):
    """Connect the writing, before Sphinx looks for pages, and the signs, after numpydoc."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-docstring", keep_signs, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
