"""One page of results as one HTML file, without scripts and without anything from elsewhere."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _core
from ..errors import InputError, InputTypeError
from ..runs.writing import check_writable, replacing
from ..verdict import Verdict
from .drawing import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURE_SIZE", "Cell", "Page"]

# Size of a figure in inches, with which its text can be read on a phone, and two stand side by side on a desktop.
FIGURE_SIZE = (5.4, 3.7)

# A text, a verdict, or several of them in a row.
Cell = str | Sequence[str]

# A number with or without an error: 0.50(1), 1.0007(4)(6), +0.5, 1e-3, 200,000, nan.
_NUMBER = re.compile(r"[-+\u2212]?(\d[\d,]*\.?\d*|\.\d+)(\([\d.]+\))*(e[-+]?\d+)?( ?%)?|[-+]?(nan|inf)")

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})")

# Headings from which a page has a list of its parts.
_MANY = 4

# Columns that fit on a phone side by side.
_FEW = 2

# Width of a drawing in pixels above which it scrolls on a phone, and the smallest scale of its text there.
_WIDE, _SMALLEST = 640, 0.65

# No request leaves the page, and no script runs in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="nnqm {version}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{subtitle}
{contents}
</header>
<main>
{body}
</main>
<footer>Made by nnqm {version}. This file works offline and contains no scripts.</footer>
</body>
</html>
"""


class Page:
    """One page of results: headings, paragraphs, tables and figures, in the order in which they are added.

    The page is one HTML file. It needs no network and no script, follows the light or dark scheme of the reader, prints
    without its navigation, and scrolls wide tables in their own box on a phone. All text is escaped; "arXiv:2504.05462"
    becomes a link. The same content gives the same bytes.

    Parameters
    ----------
    title : str
    subtitle : str, optional
        A line below the title.

    Examples
    --------
    >>> from nnqm.verdict import Verdict
    >>> page = Page("Oscillator", "omega = 1")
    >>> page.heading("Levels")
    >>> page.table(["quantity", "measured", "verdict"], [["gap 1", "0.99991(21)", Verdict.RESOLVED]])
    >>> "<h1>Oscillator</h1>" in page.html()
    True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = _text("title", title)
        self._subtitle = _text("subtitle", subtitle)
        self._parts: list[str] = []
        self._headings: list[str] = []
        self._figures = 0

    def heading(self, text: str) -> None:
        """Begin a part of the page. From four parts on, the page lists them below its title.

        Parameters
        ----------
        text : str
        """
        self._headings.append(_text("text", text))
        self._parts.append(f'<h2 id="part-{len(self._headings)}">{escape(text)}</h2>')

    def text(self, paragraph: str) -> None:
        """Add a paragraph.

        Parameters
        ----------
        paragraph : str
        """
        self._parts.append(f"<p>{_linked(_text('paragraph', paragraph))}</p>")

    def points(self, texts: Sequence[str]) -> None:
        """Add a list of short texts; an empty one adds nothing.

        Parameters
        ----------
        texts : sequence of str
        """
        if texts:
            self._parts.append(
                "<ul>" + "".join(f"<li>{_linked(_text('texts', text))}</li>" for text in texts) + "</ul>"
            )

    def code(self, text: str) -> None:
        """Add a command or a piece of code, its lines unbroken.

        Parameters
        ----------
        text : str
        """
        self._parts.append(_scrolling(f"<pre><code>{escape(_text('text', text))}</code></pre>", "code"))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[Cell] | str], *, caption: str = "") -> None:
        """Add a table.

        Parameters
        ----------
        headings : sequence of str
            One for each column. Columns of numbers, with or without errors in brackets, are set flush right.
        rows : sequence
            Each row has one cell for each column, or is a str, the heading of the rows that follow. The first cell of a
            row is its name. A cell is a text, a ``Verdict``, which gets a badge, or a sequence of both.
        caption : str
            Sentence above the table.

        Raises
        ------
        InputError, InputTypeError
            If a row has another number of cells, or a cell is no text.
        """
        for text in headings:
            _text("a heading", text)
        _text("caption", caption)
        cells = [row for row in rows if not isinstance(row, str)]
        for row in cells:
            if len(row) != len(headings):
                raise InputError(f"a row must have {len(headings)} cells, one for each heading; got {len(row)}: {row}")
        numbers = [_is_numeric([row[i] for row in cells]) for i in range(len(headings))]
        columns = list(zip(headings, numbers, strict=True))
        above = "".join(f'<th scope="col"{_sided(number)}>{escape(text)}</th>' for text, number in columns)
        lines = []
        for row in rows:
            if isinstance(row, str):
                lines.append(f'<th class="group" scope="rowgroup" colspan="{len(headings)}">{escape(row)}</th>')
                continue
            first, *others = zip(row, numbers, strict=True)
            name = f'<th scope="row"{_sided(first[1])}>{_content(first[0])}</th>'
            lines.append(name + "".join(f"<td{_sided(number)}>{_content(cell)}</td>" for cell, number in others))
        body = "\n".join(f"<tr>{line}</tr>" for line in lines)
        # A caption inside the table would be as wide as the table, which scrolls.
        if caption:
            self._parts.append(f'<p class="caption">{_linked(caption)}</p>')
        name = caption or f"table of {', '.join(headings)}"
        few = ' class="few"' if len(headings) <= _FEW else ""
        parts = f"<thead><tr>{above}</tr></thead>\n<tbody>\n{body}\n</tbody>"
        self._parts.append(_scrolling(f'<table{few} aria-label="{escape(name)}">{parts}</table>', name))

    def figure(self, figure: Figure, caption: str, alt: str) -> None:
        """Add a figure of Matplotlib as a vector drawing. Successive figures stand side by side if they fit.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            It is not changed. Its black, grey and white become the ink and the paper of the page, so that it can be
            read in light and dark; other colours stay.
        caption : str
            Sentence below the figure.
        alt : str
            The content of the figure in words, for readers who do not see it.

        Raises
        ------
        InputTypeError
            If the figure is none of Matplotlib.
        """
        if not hasattr(figure, "savefig"):
            raise InputTypeError(f"figure must be a Figure of Matplotlib; got {type(figure).__name__}; give ax.figure")
        _text("caption", caption)
        _text("alt", alt)
        self._figures += 1
        drawing, width = inline_svg(figure, f"figure-{self._figures}", alt)
        told = f"<figcaption>{_linked(caption)}</figcaption>" if caption else ""
        if width > _WIDE:
            least = f' style="min-width: {width * _SMALLEST:.0f}px"'
            drawing = _scrolling(f"<div{least}>{drawing}</div>", caption or alt)
        self._parts.append(f'<figure style="max-width: {width:.0f}px">{drawing}{told}</figure>')

    def html(self) -> str:
        """The whole page.

        Returns
        -------
        str
            HTML; ``write`` puts it into a file.
        """
        version = escape(_core.build_info()["version"])
        return _FRAME.format(
            policy=_POLICY,
            version=version,
            title=escape(self._title),
            style=files(__package__).joinpath("style.css").read_text(encoding="utf-8"),
            subtitle=f'<p class="subtitle">{_linked(self._subtitle)}</p>' if self._subtitle else "",
            contents=self._contents(),
            body=self._body(),
        )

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page. An existing file is replaced once the new one is complete.

        Parameters
        ----------
        path : path-like
            Name of the file, usually with the ending ``.html``.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If no file can be written there.
        """
        target = check_writable(path)
        text = self.html()
        with replacing(target) as name:
            # A name of a file may have bytes that are no text.
            Path(name).write_text(text, encoding="utf-8", errors="replace")
        return target

    def _contents(self) -> str:
        """Links to the parts of the page, if there are many."""
        if len(self._headings) < _MANY:
            return ""
        links = (f'<li><a href="#part-{i}">{escape(text)}</a></li>' for i, text in enumerate(self._headings, start=1))
        return f'<nav aria-label="Parts of this page"><ul>{"".join(links)}</ul></nav>'

    def _body(self) -> str:
        """The parts of the page, figures in succession side by side."""
        found = []
        for figures, parts in itertools.groupby(self._parts, key=lambda part: part.startswith("<figure")):
            text = "\n".join(parts)
            found.append(f'<div class="figures">\n{text}\n</div>' if figures else text)
        return "\n".join(found)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputTypeError(f"{name} must be a text; got {value!r}; convert it with str or f'{{...:.4g}}'")
    return value


def _linked(text: str) -> str:
    """Escaped text, in which numbers of the arXiv are links."""
    return _ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">\g<0></a>', escape(text))


def _scrolling(content: str, name: str) -> str:
    """A box that scrolls by itself, with the keyboard too."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'


def _sided(number: bool) -> str:
    return ' class="number"' if number else ""


def _is_numeric(column: Sequence[Cell]) -> bool:
    """Whether a column has numbers and nothing else, other than empty cells and verdicts in place of a number."""
    filled = [cell for cell in column if cell and not isinstance(cell, Verdict)]
    return bool(filled) and all(isinstance(cell, str) and _NUMBER.fullmatch(cell) for cell in filled)


def _content(cell: Cell) -> str:
    if isinstance(cell, Verdict):
        return f'<span class="badge {cell.tone}">{escape(cell)}</span>'
    if isinstance(cell, list | tuple):
        return "".join(_content(part) for part in cell)
    return _linked(_text("a cell", cell))
