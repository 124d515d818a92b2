"""The frontier of policies: what each costs against what it loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from rayat.compare.marks import BASELINE, PALETTE
from rayat.compare.plots import STYLE
from rayat.compare.text import printable
from rayat.replay.sweeps import Result


def draw_frontier(results: Sequence[Result]) -> Figure:
    """Return compute against regret, both with their intervals; policies to the lower left win.

    Args:
        results: of `replay`; the first is `none`.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=BASELINE, linewidth=0.8)
        for number, result in enumerate(results):
            row = result.row()
            x, y = row["compute"], -100 * row["final_gain"]
            colour = BASELINE if result.policy == "none" else PALETTE[(number - 1) % len(PALETTE)]
            bars: dict[str, Any] = {}
            if row["compute_ci"] is not None:
                low, high = row["compute_ci"]
                worst, best = (-100 * v for v in row["final_gain_ci"])
                bars = {
                    "xerr": [[max(x - low, 0)], [max(high - x, 0)]],
                    "yerr": [[max(y - best, 0)], [max(worst - y, 0)]],
                }
            axes.errorbar(x, y, fmt="o", color=colour, markersize=5, elinewidth=1, **bars)
            axes.annotate(
                printable(result.policy), (x, y), (5, 4), textcoords="offset points", color=colour
            )
        axes.set_xlabel("compute, as a share of training everything")
        axes.set_ylabel("robust accuracy lost, points")
        axes.set_xlim(left=0)
        return figure
