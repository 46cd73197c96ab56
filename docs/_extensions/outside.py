"""Links of pages to files outside docs/: to their page of the site where there is one, else to the file itself.

Pages keep the links that work in a clone and on a forge, for example ``../CONTRIBUTING.md``.
"""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Texts of the top folder that are pages of the site.
COPIED = {"README.md": "project/readme.md", "CONTRIBUTING.md": "project/contributing.md"} | {
    "CHANGELOG.md": "project/changelog.md"
}
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def target_in_site(path):
    """The page of the site for a path from the top folder, or None."""
    if path in COPIED:
        return COPIED[path]
    if path == "examples":
        return "gallery/index.rst"
    if re.fullmatch(r"examples/(?!test_)\w+\.py", path):
        return f"gallery/{Path(path).stem}.rst"
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def resolved(text, folder, page_folder):
    """A page with its links mended: the links start in ``folder``, the page of the site lies in ``page_folder``."""

    def mended(match):
        words, target = match.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        path, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(folder, path))
        page = target_in_site(path)
        if page is not None and Path(page).suffix in (".md", ".rst"):
            return f"[{words}]({posixpath.relpath(page, page_folder)}{hash_}{anchor})"
        if (ROOT / path).is_dir():
            return words
        return f"[{words}]({posixpath.relpath(path, posixpath.join('docs', page_folder))})"

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(mended, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(mended, text[end:])])


def copy_texts(app, config):
    """Write the pages of texts from the top folder."""
    for name, page in COPIED.items():
        text = resolved((ROOT / name).read_text(encoding="utf-8"), ".", posixpath.dirname(page))
        write(Path(app.srcdir) / page, text)


def mend(app, docname, source):
    """Mend the links of a page of docs/ when it is read."""
    page = Path(app.env.doc2path(docname, base=False)).as_posix()
    if page.endswith(".md") and page not in COPIED.values():
        folder = posixpath.dirname(page)
        source[0] = resolved(source[0], posixpath.join("docs", folder), folder)


def write(path, text):
    """Write a generated page, but keep the time of one that has not changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    """Connect both steps."""
    app.connect("config-inited", copy_texts)
    app.connect("source-read", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
