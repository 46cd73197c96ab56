"""Figures of Matplotlib as drawings inside a page, in the colours of the page."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__: list[str] = []

# Pixels of a page in a point of Matplotlib.
_PIXELS = 96 / 72

_HEAD = re.compile(r'^.*?<svg[^>]*viewBox="(?P<box>[\d. ]+)"[^>]*>', re.DOTALL)
_UNUSED = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", re.DOTALL)
_IDENTITY = re.compile(r'(?<= id=")|(?<=href="#)|(?<=url\(#)')
_COLOUR = re.compile(r"(?<=: )#([0-9a-f]{2})\1\1\b")


def inline_svg(figure: Figure, name: str, alt: str) -> tuple[str, float]:
    """An ``<svg>`` element and its natural width in pixels.

    Text is drawn as paths: a reader's fonts do not move it. Identities begin with the name, so that drawings of one
    page do not refer to each other.
    """
    import matplotlib

    written = io.BytesIO()
    # The salt replaces random identities, and the date is left out: equal figures give equal bytes.
    with matplotlib.rc_context({"svg.hashsalt": "nnqm", "svg.fonttype": "path"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue().decode()
    head = _HEAD.match(text)
    assert head is not None, "Matplotlib begins a drawing with <svg ... viewBox=...>"
    body = _UNUSED.sub("", text[head.end() :]).replace("xlink:href=", "href=")
    body = _IDENTITY.sub(f"{name}-", body)
    body = _COLOUR.sub(lambda grey: _ink(int(grey[1], 16)), body)
    lines = (line.strip() for line in body.splitlines())
    described = escape(" ".join(alt.split()))
    opened = f'<svg viewBox="{head["box"]}" role="img" aria-label="{described}" fill="currentColor">'
    width = float(head["box"].split()[2]) * _PIXELS
    return "\n".join([opened, *(line for line in lines if line)]), width


def _ink(level: int) -> str:
    """The colour of a level of grey on the page, from the ink (0) to the paper (255)."""
    if level in (0, 255):
        return "var(--paper)" if level else "currentColor"
    return f"color-mix(in srgb, currentColor {100 * (255 - level) / 255:.0f}%, var(--paper))"
