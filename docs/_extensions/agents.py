"""Pages as plain Markdown beside the HTML, and all of them in llms-full.txt, for people who work with coding agents."""

from pathlib import Path

# In the order of a reader; other pages follow by name.
FIRST = ("project/readme", "first-hour", "recipes/")


def copy_pages(app, error):
    """Copy the sources of the pages into the built site."""
    if error or app.builder.format != "html":
        return
    pages = sorted(name for name in app.env.found_docs if app.env.doc2path(name).suffix == ".md")
    pages.sort(key=lambda name: next((i for i, start in enumerate(FIRST) if name.startswith(start)), len(FIRST)))
    whole = []
    for name in pages:
        text = Path(app.env.doc2path(name)).read_text(encoding="utf-8")
        copy = Path(app.outdir) / f"{name}.md"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        whole.append(f"<!-- {name}.md -->\n\n{text}")
    (Path(app.outdir) / "llms-full.txt").write_text("\n\n".join(whole), encoding="utf-8")


def setup(app):
    """Connect the copying to the end of a build."""
    app.connect("build-finished", copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
