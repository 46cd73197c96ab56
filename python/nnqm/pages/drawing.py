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
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")


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
    # Each colour has a short name, because it stands at every point.
    colours = {colour: f"--c{i}" for i, colour in enumerate(dict.fromkeys(_COLOUR.findall(body)))}
    body = _COLOUR.sub(lambda colour: f"var({colours[colour[0]]})", body)
    palette = "; ".join(f"{short}: {_on_page(colour)}" for colour, short in colours.items())
    lines = (line.strip() for line in body.splitlines())
    described = escape(" ".join(alt.split()))
    opened = f'<svg viewBox="{head["box"]}" role="img" aria-label="{described}" fill="currentColor" style="{palette}">'
    width = float(head["box"].split()[2]) * _PIXELS
    return "\n".join([opened, *(line for line in lines if line)]), width


def _on_page(colour: str) -> str:
    """A colour on the page: grey lies between ink (black) and paper (white), and others are lifted on dark paper."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    if red != green or green != blue:
        return f"color-mix(in srgb, {colour}, white var(--lift))"
    if red in (0, 255):
        return "var(--paper)" if red else "currentColor"
    return f"color-mix(in srgb, currentColor {100 * (255 - red) / 255:.0f}%, var(--paper))"
