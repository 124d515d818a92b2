"""Charts of a run as a whole: its front, its radii, its time, and what a search varied."""

from __future__ import annotations

from typing import Any

from rayat.report.charts import LIT, ON, SIGNALS, TARGET, Spec, axis, chart, marks, number, zoom

KINDS = {"domain": ["baseline", "front", "other"], "range": ["#7A7F87", "#D55E00", "#0072B2"]}
KIND_SHAPES = {"domain": KINDS["domain"], "range": ["diamond", "triangle-up", "circle"]}


def front(metric: str) -> Spec:
    """Return every configuration by cost and best value, with the front that none beats."""
    x = axis("cost", "passes until the best value", ".3~s", zero=True)
    y = axis("value", f"best {metric}", ".3~f")
    dots = {
        "params": [zoom()],
        "mark": {"type": "point", "filled": False, "strokeWidth": 1.5},
        "encoding": {
            "x": x,
            "y": y,
            "stroke": {"field": "kind", "type": "nominal", "scale": KINDS, "legend": None},
            "fill": {"field": "kind", "type": "nominal", "scale": KINDS, "legend": None},
            "shape": {"field": "kind", "type": "nominal", "scale": KIND_SHAPES, "legend": None},
            "size": {"condition": {"test": "datum.kind === 'other'", "value": 50}, "value": 110},
            "fillOpacity": {"condition": {"test": "datum.end !== ''", "value": 0}, "value": 1},
            "opacity": LIT,
            "tooltip": [
                {"field": "place", "title": "place"},
                {"field": "what", "title": "configuration"},
                number("value", "best value"),
                number("cost", "passes to it", ".3~s"),
                {"field": "end", "title": "end"},
            ],
        },
    }
    line = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "color": "#D55E00", "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y, "order": {"field": "cost", "type": "quantitative"}},
    }
    target = {
        "data": {"name": "targets"},
        "mark": TARGET,
        "encoding": {"y": axis("value", f"best {metric}", ".3~f")},
    }
    keep = [{"filter": ON}]
    return chart([line, dots, target], data={"name": "points"}, transform=keep)


def radii(arms: list[dict[str, Any]], suite: str) -> Spec:
    """Return robust accuracy over the radius under one suite."""
    look = marks(arms)
    keep = [{"filter": ON}, {"filter": {"field": "suite", "equal": suite}}]
    x = axis("eps", "radius (eps)", ".3~g", zero=True)
    y = axis("mean", "robust accuracy", ".3~f", zero=True)
    band = {
        "mark": {"type": "area", "opacity": 0.12},
        "encoding": {
            "x": x,
            "y": axis("low", "robust accuracy", ".3~f", zero=True),
            "y2": {"field": "high"},
            "color": look["color"],
        },
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "color": look["color"], "strokeDash": look["strokeDash"],
                     "opacity": LIT},
    }  # fmt: skip
    dots = {
        "params": [zoom(("x",))],
        "mark": {"type": "point", "filled": True, "size": 50},
        "encoding": {
            "x": x,
            "y": y,
            "color": look["color"],
            "shape": look["shape"],
            "opacity": LIT,
            "tooltip": [
                {"field": "arm", "title": "arm"},
                number("eps", "radius", ".3~g"),
                number("mean", "robust accuracy, mean"),
                number("low", "lowest seed"),
                number("high", "highest seed"),
            ],
        },
    }
    return chart([band, line, dots], title=suite, data={"name": "radii"}, transform=keep)


def timeline(arms: list[dict[str, Any]], lanes: int) -> Spec:
    """Return the trials as bars over time."""
    bars = {
        "params": [zoom(("x",))],
        "transform": [{"filter": ON}],
        "data": {"name": "timeline"},
        "mark": {"type": "bar", "stroke": "currentColor", "strokeWidth": 0.4, "clip": True},
        "encoding": {
            "x": axis("start", "minutes since the first trial began", zero=True),
            "x2": {"field": "end"},
            "y": {"field": "lane", "type": "ordinal", "title": "at once", "axis": {"ticks": False}},
            "color": marks(arms)["color"],
            "opacity": LIT,
            "tooltip": [
                {"field": "arm", "title": "arm"},
                {"field": "trial", "title": "trial"},
                {"field": "seed", "title": "seed"},
                {"field": "status", "title": "ended"},
                {"field": "epochs", "title": "epochs"},
                number("start", "began, minutes", ".1f"),
                number("end", "ended, minutes", ".1f"),
            ],
        },
    }
    return chart([bars], height=min(480, 60 + 30 * lanes))


def parallel(axes: list[str], metric: str) -> Spec:
    """Return the configurations of a search as lines through what they have at each axis."""
    x = {
        "field": "axis",
        "type": "ordinal",
        "sort": axes,
        "title": None,
        "axis": {"labelAngle": -35, "grid": True, "labelLimit": 150},
    }
    y = {"field": "at", "type": "quantitative", "axis": None, "scale": {"domain": [-0.04, 1.04]}}
    near = {
        "name": "near",
        "select": {"type": "point", "on": "pointerover", "fields": ["config"],
                   "clear": "pointerout"},
    }  # fmt: skip
    lines = {
        "data": {"name": "parallel"},
        "params": [near],
        "mark": {"type": "line", "strokeWidth": 2.5},
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "config"},
            "color": {
                "field": "value",
                "type": "quantitative",
                "scale": {"scheme": "viridis"},
                "legend": {
                    "title": f"best {metric}",
                    "orient": "top",
                    "format": ".3~f",
                    "labelColor": "currentColor",
                    "titleColor": "currentColor",
                    "titleFontWeight": "normal",
                },
            },
            "opacity": {"condition": {"param": "near", "value": 0.9}, "value": 0.1},
            "tooltip": [
                {"field": "place", "title": "place"},
                {"field": "what", "title": "configuration"},
                number("value", "best value"),
            ],
        },
    }
    names = {
        "data": {"name": "ticks"},
        "mark": {"type": "text", "align": "left", "dx": 5, "dy": -4, "fontSize": 11},
        "encoding": {"x": x, "y": y, "text": {"field": "label"}},
    }
    return chart([lines, names], height=380, params=SIGNALS)


def importance(bars: int) -> Spec:
    """Return the axes by how much of the prediction is lost without them."""
    y = {"field": "axis", "type": "nominal", "sort": None, "title": None,
         "axis": {"labelLimit": 170}}  # fmt: skip
    told = [{"field": "axis", "title": "axis"}, number("mean", "loss of R²"), number("sd", "sd")]
    title = "loss of R² when the axis is shuffled"
    bar = {
        "mark": {"type": "bar", "color": "#0072B2"},
        "encoding": {"x": axis("mean", title, ".3~f", zero=True), "y": y, "tooltip": told},
    }
    rule = {
        "mark": {"type": "rule", "color": "currentColor"},
        "encoding": {"x": axis("low", title, ".3~f", zero=True), "x2": {"field": "high"}, "y": y},
    }
    return chart([bar, rule], height=40 + 26 * bars, data={"name": "importance"})
