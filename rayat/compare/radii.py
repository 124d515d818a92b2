"""Robustness against the radius: what one suite leaves of each arm, at every radius it tried."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from rayat.compare.marks import looks
from rayat.compare.plots import STYLE, shown
from rayat.compare.table import Comparison
from rayat.compare.text import printable, short_arms
from rayat.ledger.reader import Run
from rayat.measurement import Values

CHECKPOINT = "best"


@dataclass(frozen=True)
class Robustness:
    """One arm under one suite.

    Attributes:
        title: suite, number of test images and, where arms differ in it, the data.
        arm: its label.
        accuracies: robust accuracy of the best checkpoint, radii down and seeds across; only radii
            that every seed has, from the clean accuracy on the same images at radius 0.
    """

    title: str
    arm: str
    accuracies: pd.DataFrame


def robustness(run: Run, comparison: Comparison) -> list[Robustness]:
    """Return the arms that one suite attacked at two radii above 0 or more, by suite."""
    tests = run.evals[(run.evals["split"] == "test") & (run.evals["checkpoint"] == CHECKPOINT)]
    tests = tests.dropna(subset=["eps", "robust_acc"])
    found = []
    several = {_data(row.measured) for row in comparison.rows}
    for row in shown(comparison):
        own = tests[tests["trial_id"].isin(list(row.trial_ids.values()))]
        for (suite, _), part in own.groupby(["suite", "n"], dropna=False, sort=True):
            # Of one radius on the same images the last row counts, as in the ledger.
            part = part.drop_duplicates(["trial_id", "eps"], keep="last")
            table = part.pivot(index="eps", columns="trial_id", values="robust_acc").dropna()
            if (table.index > 0).sum() < 2:
                continue
            clean = part.groupby("trial_id")["clean_acc"].mean().reindex(table.columns)
            if 0.0 not in table.index and clean.notna().all():
                table.loc[0.0] = clean
            images = f" on {int(part['n'].iloc[0])} test images" if part["n"].notna().all() else ""
            data = f", {_data(row.measured)}" if len(several) > 1 else ""
            title = f"{printable(suite)}{images}{printable(data)}"
            found.append(Robustness(title, row.arm, table.sort_index()))
    return found


def _data(measured: Values) -> str:
    return " ".join(str(value) for key, value in measured.items() if key.startswith("data."))


def draw_radii(comparison: Comparison, found: list[Robustness]) -> Figure:
    """Draw robust accuracy against the radius, a panel for each suite; mean and range over seeds.

    Args:
        found: of `robustness`, not empty.
    """
    titles = list(dict.fromkeys(each.title for each in found))
    heading, names = short_arms([row.arm for row in comparison.rows])
    with rc_context(STYLE):
        high = 4.2 if len(titles) == 1 else 3.4 * len(titles)
        figure = Figure(figsize=(8.6, high), layout="constrained")
        places = figure.subplots(len(titles), 1, squeeze=False)[:, 0]
        for axes, title in zip(places, titles, strict=True):
            for each in found:
                if each.title != title:
                    continue
                color, line, symbol = looks(comparison)[each.arm]
                table = each.accuracies
                if len(table.columns) > 1:
                    low, top = table.min(axis=1), table.max(axis=1)
                    axes.fill_between(table.index, low, top, color=color, alpha=0.15, linewidth=0)
                axes.plot(
                    table.mean(axis=1),
                    color=color,
                    ls=line,
                    marker=symbol,
                    markersize=3.5,
                    linewidth=1.6,
                    label=names[each.arm],
                )
            axes.set_title(title)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.set_ylabel("robust accuracy")
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title=heading, alignment="left")
        places[-1].set_xlabel("radius (eps)")
    return figure
