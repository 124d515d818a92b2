"""The charts as Vega-Lite: what each draws of the rows of `data`, and nothing of numbers itself.

Every chart knows two signals that the page sets in all of them at once: `off`, the arms that the
reader took away, and `lit`, the one pointed at.
"""

from __future__ import annotations

import json
from typing import Any

Spec = dict[str, Any]

ON = "indexof(off, datum.arm) < 0"
LIT = {"condition": {"test": "lit === '' || lit === datum.arm", "value": 1}, "value": 0.12}
FAINT = {"condition": {"test": "lit === datum.arm", "value": 0.25}, "value": 0.06}
TARGET: Spec = {"type": "rule", "strokeDash": [1, 3], "color": "currentColor"}
CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "domainColor": "currentColor",
        "tickColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.13,
        "domainOpacity": 0.4,
        "tickOpacity": 0.4,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelOverlap": True,
    },
    "title": {"color": "currentColor", "anchor": "start", "fontWeight": "normal"},
    "text": {"color": "currentColor"},
}
SIGNALS = [{"name": "off", "value": []}, {"name": "lit", "value": ""}]


def zoom(axes: tuple[str, ...] = ("x", "y")) -> Spec:
    """Return the parameter by which a chart is moved (drag) and zoomed (wheel with Alt)."""
    return {
        "name": "grid",
        "select": {"type": "interval", "encodings": list(axes), "zoom": "wheel![event.altKey]"},
        "bind": "scales",
    }


def marks(arms: list[dict[str, Any]]) -> dict[str, Spec]:
    """Return the scales that give each arm its colour, dash and symbol."""

    def by(what: str) -> Spec:
        scale = {"domain": [a["name"] for a in arms], "range": [a[what] for a in arms]}
        return {"field": "arm", "type": "nominal", "scale": scale, "legend": None}

    return {"color": by("color"), "strokeDash": by("dash"), "shape": by("shape")}


def number(field: str, title: str, form: str = ".3f", **more: Any) -> Spec:
    """Return a channel of numbers, `form` being how its axis and its tooltip write them."""
    return {"field": field, "type": "quantitative", "title": title, "format": form, **more}


def axis(field: str, title: str, form: str | None = None, zero: bool = False) -> Spec:
    """Return a position by numbers."""
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": zero, "nice": True},
        "axis": {"format": form} if form else {},
    }


def chart(layers: list[Spec], height: int = 320, title: str = "", **more: Any) -> Spec:
    """Return a whole chart as wide as its place."""
    return {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
        "params": SIGNALS,
        **({"title": title} if title else {}),
        "layer": layers,
        **more,
    }


def over(
    x: str, x_title: str, y_title: str, arms: list[dict[str, Any]], group: str, rate: bool
) -> Spec:
    """Return robust accuracy over `x`, with stop marks, and with the rate under it or not.

    Args:
        x: a column of the curves, `spent` or `epoch`. group: of which arms.
    """
    look = marks(arms)
    keep = [{"filter": ON}, {"filter": {"field": "group", "equal": group}}]
    where: Spec = {"x": axis(x, x_title, ".3~s" if x == "spent" else "d", zero=x == "spent")}
    where["x"]["axis"]["tickMinStep"] = 1
    told = [
        {"field": "arm", "title": "arm"},
        {"field": "epoch", "title": "epoch"},
        number("spent", "cost", ".3~s"),
        number("mean", "robust accuracy, mean"),
        number("low", "lowest seed"),
        number("high", "highest seed"),
        number("lr", "learning rate", ".3~g"),
    ]
    base: Spec = {"data": {"name": "curves"}, "transform": keep}
    y = axis("mean", y_title, ".3~f")
    lines: list[Spec] = [
        {
            **base,
            "mark": {"type": "area"},
            "encoding": {
                **where,
                "y": axis("low", y_title, ".3~f"),
                "y2": {"field": "high"},
                "color": look["color"],
                "opacity": FAINT,
            },
        },
        {
            **base,
            "params": [zoom(("x",) if rate else ("x", "y"))],
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {**where, "y": y, **{k: look[k] for k in ("color", "strokeDash")},
                         "opacity": LIT},
        },
        {
            **base,
            "mark": {"type": "point", "filled": True, "size": 34},
            "encoding": {**where, "y": y, "color": look["color"], "shape": look["shape"],
                         "opacity": LIT, "tooltip": told},
        },
        {
            "data": {"name": "ends"},
            "transform": keep,
            "mark": {"type": "text", "text": "×", "fontSize": 22, "fontWeight": "bold"},
            "encoding": {
                **where,
                "y": axis("value", y_title, ".3~f"),
                "color": look["color"],
                "opacity": LIT,
                "tooltip": [
                    {"field": "arm", "title": "arm"},
                    {"field": "seed", "title": "seed"},
                    {"field": "end", "title": "ended"},
                    {"field": "epoch", "title": "epoch"},
                    number("value", "robust accuracy"),
                ],
            },
        },
        {
            "data": {"name": "targets"},
            "transform": keep[1:],
            "mark": TARGET,
            "encoding": {"y": axis("value", y_title, ".3~f"),
                         "tooltip": [number("value", "target")]},
        },
    ]  # fmt: skip
    if x == "spent":
        lines.append(
            {
                "data": {"name": "reached"},
                "transform": keep,
                "mark": {"type": "point", "filled": True, "size": 130, "stroke": "currentColor"},
                "encoding": {
                    **where,
                    "y": axis("value", y_title, ".3~f"),
                    "color": look["color"],
                    "shape": look["shape"],
                    "opacity": LIT,
                    "tooltip": [
                        {"field": "arm", "title": "arm"},
                        number("spent", "mean cost to the target", ".3~s"),
                    ],
                },
            }
        )
    if not rate:
        return chart(lines, title=group)
    base_arm = next((a["name"] for a in arms if a["group"] == group and a["baseline"]), "")
    under: Spec = {
        "data": {"name": "curves"},
        "transform": [{"filter": f"datum.arm === (lit || {json.dumps(base_arm)})"}, *keep[1:]],
        "mark": {"type": "area", "color": "currentColor", "opacity": 0.1},
        "encoding": {
            **where,
            "y": {**axis("lr", "learning rate", ".2~g", zero=True),
                  "axis": {"orient": "right", "grid": False, "format": ".2~g"}},
        },
    }  # fmt: skip
    return chart([under, {"layer": lines}], title=group, resolve={"scale": {"y": "independent"}})


def pareto(arms: list[dict[str, Any]], group: str, source: str) -> Spec:
    """Return clean against robust accuracy with a sd on both sides."""
    look = marks(arms)
    base: Spec = {
        "data": {"name": "quality"},
        "transform": [{"filter": ON}, {"filter": {"field": "group", "equal": group}}],
    }
    clean, robust = f"clean accuracy ({source})", f"robust accuracy ({source})"
    x, y = axis("clean", clean, ".3~f"), axis("robust", robust, ".3~f")
    bars: list[Spec] = [
        {
            **base,
            "mark": "rule",
            "encoding": {
                "x": axis("clean_low", clean, ".3~f"),
                "x2": {"field": "clean_high"},
                "y": y,
                "color": look["color"],
                "opacity": LIT,
            },
        },
        {
            **base,
            "mark": "rule",
            "encoding": {
                "x": x,
                "y": axis("robust_low", robust, ".3~f"),
                "y2": {"field": "robust_high"},
                "color": look["color"],
                "opacity": LIT,
            },
        },
    ]
    dots = {
        **base,
        "params": [zoom()],
        "mark": {"type": "point", "filled": True, "size": 110},
        "encoding": {
            "x": x,
            "y": y,
            "color": look["color"],
            "shape": look["shape"],
            "opacity": LIT,
            "tooltip": [
                {"field": "arm", "title": "arm"},
                number("robust", "robust accuracy"),
                number("clean", "clean accuracy"),
            ],
        },
    }
    return chart([*bars, dots], title=group)
