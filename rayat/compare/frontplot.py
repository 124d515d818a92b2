"""The picture of a search: every configuration by cost and robustness, and the front of them."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from rayat.compare.front import Front
from rayat.compare.marks import BASELINE, PALETTE
from rayat.compare.plots import INK, STYLE
from rayat.compare.text import count


def draw_front(found: Front) -> Figure:
    """Draw each configuration at the passes until its best value; stopped ones are hollow."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        axes = figure.subplots()
        line = found.front
        axes.plot([p.cost for p in line], [p.value for p in line], color=PALETTE[1], lw=1.2)
        for point in found.points:
            color = BASELINE if point.is_baseline else PALETTE[point.on_front]
            axes.plot(
                point.cost,
                point.value,
                "D" if point.is_baseline else "o",
                color=color,
                mfc="none" if point.stopped else color,
                markersize=8 if point.is_baseline else 5,
                zorder=3,
            )
            if point.on_front or point.is_baseline:
                axes.annotate(
                    "baseline" if point.is_baseline else str(point.place),
                    (point.cost, point.value),
                    xytext=(5, -9),
                    textcoords="offset points",
                    color=INK,
                    fontsize=8,
                )
        if found.target is not None:
            axes.axhline(found.target, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
        axes.set_xlabel("passes until the configuration's best value")
        axes.set_ylabel(f"best {found.metric}")
        return figure
