"""Figures of Matplotlib as drawings inside a page, in the colours of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__: list[str] = []

# Pixels of a page in a point of Matplotlib.
_PIXELS = 96 / 72

# Colours of the paper in style.css, the least contrast with them of the colours of a figure, and the difference of the
# largest and the smallest part of a colour that is not pale.
_LIGHT, _DARK = (255, 255, 255), (0x14, 0x17, 0x1A)
_CONTRAST, _CONTRAST_DARK = 3.1, 5.5
_STRONG = 100

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
    """A colour on the page: grey lies between ink (black) and paper (white); others stand out from either paper."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    if max(rgb) > min(rgb):
        # A pale colour is a background, on which text stands.
        strong = max(rgb) - min(rgb) >= _STRONG
        by_day = _apart(rgb, 0, _LIGHT, _CONTRAST) if strong else colour
        return f"color-mix(in srgb, {_apart(rgb, 255, _DARK, _CONTRAST_DARK)} var(--night), {by_day})"
    if rgb[0] in (0, 255):
        return "var(--paper)" if rgb[0] else "currentColor"
    return f"color-mix(in srgb, currentColor {100 * (255 - rgb[0]) / 255:.0f}%, var(--paper))"


def _apart(rgb: Sequence[int], end: int, paper: Sequence[int], contrast: float) -> str:
    """The nearest mixture of a colour with black (0) or white (255) that has a contrast with the paper."""
    for part in range(0, 101, 2):
        mixed = [round(v + (end - v) * part / 100) for v in rgb]
        darker, lighter = sorted((_luminance(mixed), _luminance(paper)))
        if (lighter + 0.05) / (darker + 0.05) >= contrast:
            break
    return "#" + "".join(f"{v:02x}" for v in mixed)


def _luminance(rgb: Sequence[int]) -> float:
    """Relative luminance, Web Content Accessibility Guidelines 2.2."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
