"""The report's paper: templates that become one HTML page without a single outside reference."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from rayat.compare.bootstrap import Estimate
from rayat.compare.plots import FAINT, INK, picture
from rayat.compare.text import printable

MAX_SVG_BYTES = 200_000
"""A larger drawing is sent as a picture of points, so that the page stays below 3 MB."""
POINTS_DPI = 90
POINTS_COLORS = 64


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        heading, caption: plain text above and below it.
        svg: the drawing as lines; None where they would be too many bytes.
        png: the same as points, in base64, where there is no `svg`.
        charts: the keys of the interactive charts that replace it where scripts run.
        broad: whether they need more than a telephone is wide, and are moved sideways there.
    """

    heading: str
    caption: str
    svg: Markup | None = None
    png: str = ""
    charts: tuple[str, ...] = ()
    broad: bool = False


@dataclass(frozen=True)
class Span:
    """An interval's places on a logarithmic scale from 0 to 100; `one` is that of the ratio 1."""

    one: float
    low: float
    value: float
    high: float


def page(template: str, **values: Any) -> str:
    """Return a template of `rayat/report/templates` with its values, each escaped.

    Raises:
        jinja2.UndefinedError: the template names a value that was not given.
    """
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("rayat.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )


def _visible(value: Any) -> Any:
    """Return a value with its control characters made visible; markup of our own as it is."""
    return value if isinstance(value, Markup) else printable(value)


def script(name: str) -> str:
    """Return a script of `rayat/report/templates` as it is."""
    return files("rayat.report").joinpath("templates", name).read_text(encoding="utf-8")


def drawing(figure: Figure, heading: str, caption: str, charts: Sequence[str] = ()) -> Drawing:
    """Return a figure as inline SVG in the page's own colours, or as points if it is large."""
    svg = picture(figure, "svg").decode()
    if len(svg) <= MAX_SVG_BYTES:
        return Drawing(heading, caption, _inline(svg, caption), charts=tuple(charts))
    points = base64.b64encode(_points(figure)).decode()
    return Drawing(heading, caption, None, points, tuple(charts))


def span(estimate: Estimate | None, low: float, high: float) -> Span | None:
    """Return where an interval is drawn between `low` and `high`; None without an interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return None

    def place(value: float) -> float:
        return min(98.0, max(2.0, 2 + 96 * math.log(value / low) / math.log(high / low)))

    return Span(place(1.0), place(estimate.low), place(estimate.value), place(estimate.high))


def _points(figure: Figure) -> bytes:
    """Return a PNG of few colours: a quarter of the bytes, and lines look the same."""
    data = picture(figure, "png", dpi=POINTS_DPI, facecolor="white")
    sink = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").quantize(POINTS_COLORS).save(sink, "png")
    return sink.getvalue()


def _inline(svg: str, caption: str) -> Markup:
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
    label = Markup('<svg role="img" aria-label="{}"').format(printable(caption))
    return Markup(body.replace("<svg", label, 1))
