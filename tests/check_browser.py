"""Pages of results in headless Chromium: ``python tests/check_browser.py [PAGE.html ...]``.

Looks at a page of a run, a comparison, a page of awkward content, and the pages that are given: phone and desktop,
light and dark, print. No request may leave a page, no script may fail, the body must not scroll sideways, text and
figures must stand out from the paper. Needs the package playwright and a Chromium of the system; without them this
program says so and ends without an error. ``--keep FOLDER`` keeps pictures of all pages.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

import nnqm
from nnqm.pages import Page, compare, compare_page, report_page
from nnqm.verdict import Verdict

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
# Smallest ratio of the luminances of text and paper, and of parts of a figure and paper (Web Content Accessibility
# Guidelines 2.2, 1.4.3 and 1.4.11).
TEXT, GRAPHICS = 4.5, 3.0
# Smallest text on a phone, in pixels.
SMALLEST = 12

PROBE = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const paper = light(rgb(getComputedStyle(document.body).backgroundColor));
  const contrast = colour => { const own = light(rgb(colour));
    return (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05); };
  const shown = e => e.getClientRects().length > 0;
  const texts = [...document.querySelectorAll('h1,h2,p,li,a,td,th,caption,figcaption,span,footer')].filter(
    e => shown(e) && e.textContent.trim());
  const parts = [...document.querySelectorAll('svg path, svg use')].filter(shown);
  const drawn = [];
  for (const part of parts) {
    const style = getComputedStyle(part);
    for (const [colour, opacity] of [[style.fill, style.fillOpacity], [style.stroke, style.strokeOpacity]]) {
      const solid = colour !== 'none' && rgb(colour)[3] > 250 && opacity > 0.99 && style.opacity > 0.99;
      if (solid) drawn.push(contrast(colour));
    }
  }
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  return {
    paper, ids: ids.length, different: new Set(ids).size,
    width: document.documentElement.scrollWidth, room: document.documentElement.clientWidth,
    text: Math.min(...texts.map(e => contrast(getComputedStyle(e).color))),
    size: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
    // Open markers and halos have the colour of the paper on purpose.
    drawn: Math.min(...drawn.filter(c => c > 1.02), 99),
    nameless: [...document.querySelectorAll('svg, .scroll')].filter(e => !e.getAttribute('aria-label')).length,
    language: document.documentElement.lang, navigation: [...document.querySelectorAll('nav')].filter(shown).length,
  };
}"""


def awkward():
    """A page whose content is wide, long, hostile or empty."""
    page = Page("A" * 90 + " <title>", "key " + "1234567890" * 12)
    for i in range(12):
        page.heading(f"Part {i} of a page with many parts")
    page.text("word " * 200 + "W" * 300)
    page.points(["https://example.org/" + "x" * 200, "arXiv:2504.05462"])
    page.code("nnqm run " + "--option value " * 40)
    rows = [
        [f"row {i}", *(f"{i}.{j}2345678({j}1)" for j in range(20)), [Verdict.DEVIATES, ": " + "why " * 40]]
        for i in range(60)
    ]
    page.table(["quantity", *(f"column {j}" for j in range(20)), "verdict"], ["a group", *rows], caption="Wide. " * 30)
    page.table(["none"], [])
    for size in ((3, 2), (16, 4)):
        figure = Figure(figsize=size)
        ax = figure.add_subplot()
        ax.plot([1, 2, 3], [1, 4, 2], "o-", mfc="white", label="open")
        ax.text(1, 2, "text", bbox={"facecolor": "white"})
        ax.legend()
        page.figure(figure, "A figure.", "A line through three points.")
    return page


def broken():
    """Pages that must be found faulty: the faults and the HTML."""
    text = awkward().html()
    wide = text.replace("<main>", '<main><div style="width: 2000px">wide</div>')
    pale = text.replace("<main>", '<main><p style="color: #808080">pale</p>')
    open_to_all = text.replace("default-src 'none'", "default-src *")
    remote = open_to_all.replace("<main>", '<main><img alt="x" src="http://192.0.2.1/x.png">')
    script = text.replace("<main>", "<main><script>1</script>")
    twice = text.replace("<main>", '<main><p id="part-1"></p>')
    return {"scrolls": wide, "contrast": pale, "request": remote, "console": script, "ids": twice}


def faults(browser, path, keep=None, sizes=SIZES, schemes=("light", "dark")):
    """What is wrong with a page, in words."""
    found = []
    for name, (width, height) in sizes.items():
        for scheme in schemes:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            here = f"{path.name}, {name}, {scheme}"
            found += look(context, path, here, scheme, None if keep is None else keep / f"{path.stem}-{name}-{scheme}")
            context.close()
    return found


def look(context, path, here, scheme, picture):
    found = []
    context.route("**/*", lambda route: route.continue_() if route.request.url == path.as_uri() else route.abort())
    view = context.new_page()
    view.on("request", lambda r: found.append(f"{here}: request {r.url[:80]}") if r.url != path.as_uri() else None)
    view.on("console", lambda message: found.append(f"{here}: console {message.text[:120]}"))
    view.on("pageerror", lambda error: found.append(f"{here}: console {error}"))
    view.goto(path.as_uri())
    seen = view.evaluate(PROBE)
    if seen["width"] > seen["room"]:
        found.append(f"{here}: scrolls sideways, {seen['width']} > {seen['room']} pixels")
    if (seen["paper"] > 0.5) != (scheme == "light"):
        found.append(f"{here}: the paper has luminance {seen['paper']:.2f}")
    if seen["text"] < TEXT or seen["drawn"] < GRAPHICS:
        found.append(f"{here}: contrast {seen['text']:.1f} of text, {seen['drawn']:.1f} of figures")
    if seen["size"] < SMALLEST:
        found.append(f"{here}: text of {seen['size']} pixels")
    if seen["ids"] != seen["different"]:
        found.append(f"{here}: {seen['ids'] - seen['different']} ids stand twice")
    if seen["nameless"] or seen["language"] != "en":
        found.append(f"{here}: {seen['nameless']} figures or boxes without a name, language {seen['language']!r}")
    if picture is not None:
        view.screenshot(path=f"{picture}.png", full_page=True)
    printed = view.pdf(format="A4")
    if picture is not None and scheme == "dark":
        Path(f"{picture}.pdf").write_bytes(printed)
    view.emulate_media(media="print")
    paper = view.evaluate(PROBE)
    if paper["paper"] < 0.99 or paper["text"] < TEXT or paper["navigation"] or not printed.startswith(b"%PDF"):
        found.append(f"{here}: print has paper {paper['paper']:.2f}, contrast {paper['text']:.1f}")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("playwright is not installed; pages were not looked at")
        return 0
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("there is no Chromium on this machine; pages were not looked at")
        return 0
    if asked.keep is not None:
        asked.keep.mkdir(exist_ok=True)
    theory = nnqm.builtin_theory("deep-tanh")
    runs = {f"seed {seed}": nnqm.simulate(theory, 4096, 32, 0.2, rng=seed) for seed in (1, 2, 1_000_000)}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        root = Path(folder)
        pages = [page.resolve() for page in asked.pages]
        report = nnqm.analyse(runs["seed 1"])
        pages.append(report_page(runs["seed 1"], report).write(root / "report.html"))
        pages.append(compare_page(compare(runs)).write(root / "compare.html"))
        pages.append(awkward().write(root / "awkward.html"))
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = [fault for page in pages for fault in faults(browser, page, asked.keep)]
        for fault, text in broken().items():
            bad = root / f"{fault}.html"
            bad.write_text(text, encoding="utf-8")
            told = faults(browser, bad, sizes={"phone": SIZES["phone"]}, schemes=("light",))
            if not any(fault in one.partition(": ")[2] for one in told):
                found.append(f"negative control: {fault} was not found; got {told}")
        browser.close()
    print("\n".join(found) or f"{len(pages)} pages are right on phones, desktops and paper, in light and dark")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
