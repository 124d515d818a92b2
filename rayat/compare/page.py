"""The report's paper: one HTML page without a single outside reference, and its parts."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure
from PIL import Image

from rayat.compare.bootstrap import Estimate
from rayat.compare.plots import FAINT, INK, picture
from rayat.compare.text import printable

MAX_SVG_BYTES = 200_000
"""A larger drawing is sent as a picture of points, so that the page stays below 2 MB."""
POINTS_DPI = 90
POINTS_COLORS = 64

CSS = """
:root { color-scheme: light dark; --paper: #fcfcfa; --ink: #22262c; --soft: #646b75;
  --rule: #dfe2e6; --wash: #f2f3f1; --link: #0a5ea8; --good: #0b7a4b; --bad: #b3401c;
  --unsure: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb; --soft: #9aa2ad;
  --rule: #2e343b; --wash: #1c2026; --link: #7cb8f0; --good: #4cc38a; --bad: #f0845c;
  --unsure: #e0b040; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 76rem; margin: 0 auto; padding: 3rem clamp(1rem, 4vw, 3rem) 4rem; }
header p { margin: 0; }
h1 { margin: 0 0 .15rem; font-size: 1.05rem; font-weight: 600; letter-spacing: .01em; }
h2 { margin: 3.2rem 0 .6rem; font-size: 1.2rem; font-weight: 600; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.verdict { margin: 1.6rem 0 1.4rem; max-width: 46em; font-size: clamp(1.15rem, 2.4vw, 1.5rem);
  line-height: 1.4; text-wrap: pretty; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1px;
  margin: 0; border: 1px solid var(--rule); border-radius: .5rem; overflow: hidden; }
.facts div { box-shadow: 0 0 0 1px var(--rule); padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.facts small { display: block; color: var(--soft); font-weight: 400; font-size: .82rem; }
.facts .warn small { color: var(--unsure); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
.above { margin: 1.4rem 0 .4rem; max-width: 60em; }
th, td { padding: .42rem .75rem .42rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); vertical-align: middle; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
thead th { border-bottom: 1.5px solid var(--soft); }
.t, th.t { text-align: left; }
td.long { white-space: normal; min-width: 16rem; overflow-wrap: anywhere; }
tr.base td { background: var(--wash); }
tr.base td:first-child, td:first-child, th:first-child { padding-left: .5rem; }
i.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); }
.unsure { color: var(--unsure); }
svg.span { width: 7rem; height: 1.1rem; vertical-align: middle; margin-left: .6rem; }
ul { padding-left: 1.1rem; max-width: 60em; } li { margin: .25rem 0; overflow-wrap: anywhere; }
li::marker { color: var(--soft); }
figure { margin: 1.6rem 0 2.4rem; } figcaption { max-width: 46em; margin-top: .3rem; }
figure svg, figure img { display: block; width: 100%; max-width: 58rem; height: auto; }
figure img { background: #fff; border-radius: .4rem; }
.plot path, .plot use { stroke-linejoin: round; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--link); }
pre, code { font: .82rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { overflow-x: auto; background: var(--wash); padding: .8rem 1rem; border-radius: .4rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--rule);
  color: var(--soft); font-size: .85rem; max-width: 60em; }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444;
    --rule: #ccc; --wash: #f4f4f4; }
  main { max-width: none; padding: 0; } body { font-size: 10.5px; } h2 { break-after: avoid; }
  figure, tr, .facts { break-inside: avoid; } summary { display: none; }
  th, td { padding-right: .4rem; } svg.span { width: 4rem; }
  .wide { overflow: visible; } }
"""


def escape(text: object) -> str:
    """Return text for HTML, in an attribute too; control characters made visible."""
    return html.escape(printable(text), quote=True)


def document(title: str, body: Iterable[str]) -> str:
    """Return a whole page around escaped parts."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # No script, no request: not even by what an escape might have missed.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; img-src data:\">",
            f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>",
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def table(
    header: Sequence[str], rows: Iterable[str], caption: str = "", left: Sequence[int] = (0,)
) -> str:
    """Return a table from a plain header and rows that are HTML; columns `left` hold text."""
    heads = "".join(
        f'<th scope="col"{" class=t" if i in left else ""}>{escape(name)}</th>'
        for i, name in enumerate(header)
    )
    # Not a caption element: that one would scroll sideways with a wide table.
    above = f'<p class="soft above">{escape(caption)}</p>' if caption else ""
    lines = "\n".join(rows)
    return (
        f'{above}<div class="wide"><table><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def cells(values: Iterable[object], left: Sequence[int] = (0,), long: Sequence[int] = ()) -> str:
    """Return a row of escaped values; columns `left` and `long` hold text, `long` wraps."""
    found = []
    for i, value in enumerate(values):
        name = "t long" if i in long else "t" if i in left else ""
        found.append(
            f'<td class="{name}">{escape(value)}</td>' if name else f"<td>{escape(value)}</td>"
        )
    return f"<tr>{''.join(found)}</tr>"


def fold(summary: str, inner: str) -> str:
    """Return a part that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>\n{inner}\n</details>"


def figure(drawing: Figure, caption: str) -> str:
    """Return a drawing as inline SVG in the page's own colours, or as points if it is large."""
    svg = picture(drawing, "svg").decode()
    if len(svg) <= MAX_SVG_BYTES:
        inner = _inline(svg, caption)
    else:
        data = base64.b64encode(_points(drawing)).decode()
        inner = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f'<figure class="plot">{inner}<figcaption>{escape(caption)}</figcaption></figure>'


def span(estimate: Estimate | None, low: float, high: float) -> str:
    """Return an interval as a small drawing on a logarithmic scale, with a line at 1."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return '<svg class="span" aria-hidden="true"></svg>'

    def place(value: float) -> float:
        return min(98.0, max(2.0, 2 + 96 * math.log(value / low) / math.log(high / low)))

    a, b, x, one = map(place, (estimate.low, estimate.high, estimate.value, 1.0))
    return (
        '<svg class="span" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="{one:.1f}" x2="{one:.1f}" y1="0" y2="16" stroke="var(--soft)" '
        'stroke-width=".8" stroke-dasharray="2 2"/>'
        f'<line x1="{a:.1f}" x2="{b:.1f}" y1="8" y2="8" stroke="currentColor" stroke-width="2"/>'
        f'<rect x="{x - 1.6:.1f}" y="3.5" width="3.2" height="9" fill="currentColor"/></svg>'
    )


def _points(drawing: Figure) -> bytes:
    """Return a PNG of few colours: a quarter of the bytes, and lines look the same."""
    data = picture(drawing, "png", dpi=POINTS_DPI, facecolor="white")
    sink = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").quantize(POINTS_COLORS).save(sink, "png")
    return sink.getvalue()


def _inline(svg: str, caption: str) -> str:
    """Return Matplotlib's SVG as part of a page: no prologue, no outside names, page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # Its style element would hold for the whole page, and group ids repeat in every drawing.
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' xmlns(:xlink)?="[^"]*"', "", body, count=2)
    body = re.sub(r"font-family: [^;\"]*", "font-family: inherit", body)
    body = re.sub(INK, "currentColor", body, flags=re.IGNORECASE)
    body = re.sub(FAINT, "var(--rule)", body, flags=re.IGNORECASE)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", body, count=1)
    return body.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
