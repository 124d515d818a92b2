"""Four pictures of a run and the gallery of shapes; Matplotlib's objects, no global state."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rayat.compare.comparison import ArmRow
from rayat.compare.marks import BASELINE, look, looks
from rayat.compare.render import where
from rayat.compare.speedup import AXES, counts_passes
from rayat.compare.table import Comparison
from rayat.compare.text import count, printable, seconds, short_arms
from rayat.errors import RayatError, nearest
from rayat.ledger.reader import Run

INK, FAINT, RATE = "#3A3F47", "#C9CDD3", "#9AA0A8"
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # names are names, also with a dollar sign
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: small, selectable, readable aloud
    "svg.hashsalt": "rayat",  # equal runs give equal files
}
MOST = 24
"""Arms in one picture: the baseline and those that stand first in the table."""
COLUMNS = 4
"""Panels side by side in small multiples."""
PNG_DPI = 160
FORMATS = ("svg", "png")


def draw_curves(run: Run, comparison: Comparison) -> Figure:
    """Draw robust accuracy per epoch, one panel an arm, over the baseline's and the rate's shadow.

    The line is the mean over seeds and the band their range, as far as every seed reported; single
    seeds are thin lines.
    """
    greys = {
        arm: common_epochs(table_of(run, row, comparison.metric)).mean(axis=1)
        for row in comparison.rows
        if (arm := row.arm) in {other.baseline for other in comparison.rows if not other.differs}
    }

    def panel(axes: Axes, row: ArmRow) -> None:
        rates = table_of(run, row, "lr").mean(axis=1)
        shadow = axes.twinx()
        shadow.fill_between(rates.index, rates, color=RATE, alpha=0.16, linewidth=0)
        shadow.set_ylim(0, _top(rates))
        shadow.set_axis_off()
        axes.set_zorder(shadow.get_zorder() + 1)
        if not row.is_baseline and not row.differs:
            axes.plot(greys[row.baseline], color=BASELINE, linewidth=1)
        color = looks(comparison)[row.arm].color
        values = table_of(run, row, comparison.metric)
        common = common_epochs(values)
        axes.plot(
            values.index, values.interpolate(limit_area="inside"), color=color, lw=0.5, alpha=0.5
        )
        axes.fill_between(
            common.index, common.min(axis=1), common.max(axis=1), color=color, alpha=0.2, lw=0
        )
        axes.plot(common.mean(axis=1), color=color, linewidth=1.8)
        if row.target is not None:
            axes.axhline(row.target, color=INK, linewidth=0.7, linestyle=(0, (1, 2)))

    _, names = short_arms([row.arm for row in comparison.rows])
    panels = [(names[row.arm], row) for row in shown(comparison)]
    return _multiples(panels, panel, "epoch", label_of(comparison.metric), share=True)


def draw_cost(run: Run, comparison: Comparison) -> Figure:
    """Draw the mean robust accuracy against cumulative passes, and where the target is reached.

    Where no passes were recorded (an imported run) the axis is seconds.

    Arms that were measured differently have a panel of their own: their accuracies share no axis.
    """
    axis, unit = ("passes", count) if counts_passes(run) else ("seconds", seconds)
    with rc_context(STYLE):
        figure, panels, heading, names = _panels(comparison)
        for axes, rows in panels:
            for row in rows:
                color, line, symbol = looks(comparison)[row.arm]
                values = common_epochs(table_of(run, row, comparison.metric)).mean(axis=1)
                spent = table_of(run, row, AXES[axis]).mean(axis=1).reindex(values.index)
                axes.plot(spent, values, color=color, ls=line, linewidth=1.6, label=names[row.arm])
                paid = row.costs[axis]
                if paid is not None and row.target is not None:
                    axes.plot(
                        paid.mean, row.target, symbol, color=color, markersize=6, mew=0, zorder=3
                    )
            target = rows[0].target
            if target is not None:
                axes.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
                axes.annotate(
                    f"target {target:.3f}",
                    (0, target),
                    xycoords=("axes fraction", "data"),
                    xytext=(4, 3),
                    textcoords="offset points",
                    color=INK,
                )
            axes.set_xlim(left=0)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: unit(value)))
            axes.set_ylabel(label_of(comparison.metric))
            _legend(figure, axes, heading)
        panels[-1][0].set_xlabel(
            "forward and backward passes of single images, attack and validation included"
            if axis == "passes"
            else "seconds as recorded; passes were not"
        )
        return figure


def draw_rates(run: Run, comparison: Comparison) -> Figure:
    """Draw the learning rate at each epoch's end, one panel an arm, seeds as lines."""
    _, names = short_arms([row.arm for row in comparison.rows])

    def panel(axes: Axes, row: ArmRow) -> None:
        color = looks(comparison)[row.arm].color
        rates = table_of(run, row, "lr")
        axes.plot(rates.index, rates, color=color, linewidth=1.3)
        axes.set_ylim(0, _top(rates))

    panels = [(names[row.arm], row) for row in shown(comparison)]
    return _multiples(panels, panel, "epoch", "learning rate", share=False, height=1.5)


def draw_shapes(shapes: Sequence[tuple[str, Sequence[float]]]) -> Figure:
    """Draw learning-rate shapes side by side.

    Args:
        shapes: names with the rate at each epoch's end, 1-based.

    Raises:
        RayatError: there is no shape to draw.
    """
    if not shapes:
        raise RayatError("there is no shape to draw; give at least one")
    panels = [(printable(name), (i, rates)) for i, (name, rates) in enumerate(shapes)]

    def panel(axes: Axes, numbered: tuple[int, Sequence[float]]) -> None:
        number, rates = numbered
        color = look(number).color
        epochs = np.arange(1, len(rates) + 1)
        axes.fill_between(epochs, rates, color=color, alpha=0.12, linewidth=0)
        axes.plot(epochs, rates, color=color, linewidth=1.6)
        axes.set_ylim(0, _top(rates))

    return _multiples(panels, panel, "epoch", "learning rate", share=False, height=1.6)


def draw_pareto(comparison: Comparison) -> Figure:
    """Draw clean against robust accuracy of the best checkpoints, sd as bars; up and right wins.

    Arms that were measured differently have a panel of their own.
    """
    with rc_context(STYLE):
        figure, panels, heading, names = _panels(comparison)
        for axes, rows in panels:
            for row in rows:
                clean, robust = row.clean["best"], row.robust["best"]
                if clean is None or robust is None:
                    continue
                color, _, symbol = looks(comparison)[row.arm]
                axes.errorbar(
                    clean.mean,
                    robust.mean,
                    xerr=clean.sd or 0,
                    yerr=robust.sd or 0,
                    color=color,
                    marker=symbol,
                    markersize=7,
                    mew=0,
                    elinewidth=0.8,
                    linestyle="none",
                    label=names[row.arm],
                )
            axes.set_ylabel(f"robust accuracy ({comparison.accuracy_source})")
            _legend(figure, axes, heading)
        panels[-1][0].set_xlabel(f"clean accuracy ({comparison.accuracy_source})")
        return figure


def _panels(
    comparison: Comparison,
) -> tuple[Figure, list[tuple[Axes, list[ArmRow]]], str, dict[str, str]]:
    """Return a figure with a panel for each group of arms measured alike, and the arms' names."""
    kept = {row.arm for row in shown(comparison)}
    groups = [[row for row in rows if row.arm in kept] for rows in comparison.groups()]
    groups = [rows for rows in groups if rows]
    high = 4.2 if len(groups) == 1 else 3.4 * len(groups)
    figure = Figure(figsize=(8.6, high), layout="constrained")
    places = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for axes, rows in zip(places, groups, strict=True):
        if len(groups) > 1:
            axes.set_title(f"measured at {where(comparison, rows[0])}")
    heading, names = short_arms([row.arm for row in comparison.rows])
    return figure, list(zip(places, groups, strict=True)), heading, names


def shown(comparison: Comparison) -> tuple[ArmRow, ...]:
    """Return the arms that the pictures hold."""
    return comparison.rows[:MOST]


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as `.svg` or `.png`, by the file's name, on white.

    Raises:
        RayatError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise RayatError(
            f"a picture is .svg or .png, got {path.name!r}{nearest(kind, FORMATS)}; rename it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(figure, kind, facecolor="white"))
    except OSError as error:
        raise RayatError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def picture(figure: Figure, kind: str, **options: Any) -> bytes:
    """Return the bytes of a figure as `svg` or `png`; equal figures give equal bytes."""
    sink = io.BytesIO()
    if kind == "svg":
        options["metadata"] = {"Date": None}
    with rc_context(STYLE):
        figure.savefig(sink, format=kind, **{"dpi": PNG_DPI, **options})
    return sink.getvalue()


def table_of(run: Run, row: ArmRow, column: str) -> pd.DataFrame:
    """Return a column of the epochs, epochs down and the arm's seeds across."""
    chosen = run.epochs[run.epochs["trial_id"].isin(list(row.trial_ids.values()))]
    return chosen.pivot(index="epoch", columns="trial_id", values=column).astype(float)


def common_epochs(values: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs that every seed measured: a mean of survivors would jump."""
    return values.dropna()


def _top(values: Any) -> float:
    highest = float(np.nanmax(np.asarray(values, float), initial=0.0))
    return highest * 1.08 if highest > 0 and math.isfinite(highest) else 1.0


def label_of(metric: str) -> str:
    """Return what an axis calls a metric."""
    names = {"val_robust_acc": "robust accuracy (validation)"}
    return names.get(metric, printable(metric))


def _legend(figure: Figure, axes: Axes, heading: str) -> None:
    if not axes.get_legend_handles_labels()[1]:
        return
    if len(figure.axes) == 1:
        figure.legend(loc="outside right upper", title=heading, alignment="left")
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title=heading, alignment="left")


def _multiples(
    panels: Sequence[tuple[str, Any]],
    draw: Callable[[Axes, Any], None],
    x: str,
    y: str,
    share: bool,
    height: float = 1.9,
) -> Figure:
    """Return panels in rows of `COLUMNS`, each with its name; the outer ones carry the labels."""
    wide = min(COLUMNS, len(panels))
    high = -(-len(panels) // wide)
    with rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.5 + height * high), layout="constrained")
        grid = figure.subplots(high, wide, sharex=True, sharey=share, squeeze=False)
        for axes, (name, content) in zip(grid.flat, panels, strict=False):
            draw(axes, content)
            axes.set_title(name)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        for number, axes in enumerate(grid.flat):
            axes.set_visible(number < len(panels))
            # The last panel of each column carries the scale, also above an empty place.
            axes.tick_params(labelbottom=number + wide >= len(panels))
        figure.supxlabel(x, fontsize=9)
        figure.supylabel(y, fontsize=9)
        return figure
