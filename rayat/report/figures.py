"""The figures of a report: each static picture beside the charts of the same numbers."""

from __future__ import annotations

from typing import Any

from rayat.compare import plots
from rayat.compare import radii as by_radius
from rayat.compare.front import Front, front, searched
from rayat.compare.frontplot import draw_front
from rayat.compare.fronttable import AXES_HEADER, AXES_NOTE, HEADER, axes_cells, cells
from rayat.compare.plots import label_of
from rayat.compare.table import Comparison
from rayat.compare.text import fraction, plural, printable
from rayat.errors import LedgerError
from rayat.ledger.reader import Run
from rayat.report import charts, data, wholes
from rayat.report.charts import Spec
from rayat.report.page import Drawing, drawing
from rayat.report.searching import importance, lines, varied

MOST_BEST = 10
"""Configurations of a search that are listed."""
SPENT = {
    "passes": "passes, attack and validation included",
    "seconds": "seconds as recorded; passes were not",
}


class Figures:
    """The drawings of a run, and the block of rows and charts for scripts."""

    def __init__(self, run: Run, comparison: Comparison) -> None:
        self._run, self._comparison = run, comparison
        self._arms = data.arms(comparison)
        self._drawn = [arm["name"] for arm in self._arms[: len(plots.shown(comparison))]]
        self._groups = list(dict.fromkeys(arm["group"] for arm in self._arms))
        self._rows: dict[str, Any] = data.curves(run, comparison)
        self._charts: dict[str, Spec] = {}
        less = len(comparison.rows) - len(plots.shown(comparison))
        self._more = f" {plural(less, 'arm')} further down the table not drawn." if less else ""
        longest = int(run.epochs["epoch"].max()) if len(run.epochs) else 0
        if longest > data.MOST_EPOCHS:
            self._more += f" Charts draw every {-(-longest // data.MOST_EPOCHS)}th epoch."
        found = self._front()
        self.drawings = self._drawings(found)
        self.search = self._search(found) if found and searched(run) else None

    def block(self) -> dict[str, Any]:
        """Return arms, rows and charts."""
        whole = {key: data.filled(spec, self._rows) for key, spec in self._charts.items()}
        drawn = [arm for arm in self._arms if arm["name"] in self._drawn]
        return {"arms": drawn, "rows": self._rows, "charts": whole}

    def _front(self) -> Front | None:
        try:
            return front(self._run, self._comparison.baseline, self._comparison.target)
        except LedgerError:  # no passes, or the baseline has no value yet
            return None

    def _chart(self, key: str, specs: list[Spec]) -> list[str]:
        named = {f"{key}-{at}": spec for at, spec in enumerate(specs)}
        self._charts |= named
        return list(named)

    def _drawings(self, found: Front | None) -> list[Drawing]:
        run, comparison, more = self._run, self._comparison, self._more
        label = label_of(comparison.metric)
        title = SPENT[data.spending(run)]
        self._rows["quality"] = data.quality(comparison)
        drawings = [
            drawing(
                plots.draw_cost(run, comparison),
                "Robust accuracy over cost",
                "Mean and range over seeds, as far as every seed reported. A large mark is the "
                "mean cost at which the target (dotted) was first reached, where every seed "
                f"reached it; × is where a trial was stopped, collapsed, diverged or failed.{more}",
                self._chart(
                    "cost",
                    [
                        charts.over("spent", title, label, self._arms, g, False)
                        for g in self._groups
                    ],
                ),
            ),
            drawing(
                plots.draw_curves(run, comparison),
                "Robust accuracy over epochs",
                "Mean and range over seeds, the shaded area the learning rate over the training, "
                "the dotted line the target. Static: thin lines are single seeds, the grey line is "
                f"the baseline.{more}",
                self._chart(
                    "epochs",
                    [
                        charts.over("epoch", "epoch", label, self._arms, g, True)
                        for g in self._groups
                    ],
                ),
            ),
            drawing(
                plots.draw_rates(run, comparison),
                "Learning rates used",
                f"At each epoch's end, one line per seed.{more}",
            ),
        ]
        source = printable(comparison.accuracy_source)
        if self._rows["quality"]:
            drawings.append(
                drawing(
                    plots.draw_pareto(comparison),
                    "Clean against robust accuracy",
                    "Best checkpoints, mean and sd over seeds; further up and right is better."
                    f"{more}",
                    self._chart(
                        "pareto", [charts.pareto(self._arms, g, source) for g in self._groups]
                    ),
                )
            )
        if found is not None:
            self._rows["points"] = data.points(found, comparison)
            if not searched(run):
                drawings.append(self._front_drawing(found, "Cost against robust accuracy"))
        return [*drawings, *self._radii(), *self._timeline()]

    def _front_drawing(self, found: Front, heading: str) -> Drawing:
        return drawing(
            draw_front(found),
            heading,
            "Each configuration at the passes until its best value, means over seeds; the line is "
            "the front that none beats in both (triangles), the diamond the baseline; hollow ones "
            "were stopped early.",
            self._chart("front", [wholes.front(printable(found.metric))]),
        )

    def _radii(self) -> list[Drawing]:
        found = by_radius.robustness(self._run, self._comparison)
        if not found:
            return []
        self._rows["radii"] = data.radii(found, self._comparison)
        suites = list(dict.fromkeys(each.title for each in found))
        return [
            drawing(
                by_radius.draw_radii(self._comparison, found),
                "Robust accuracy over the radius",
                "Best checkpoints on the test set, at every radius that one suite measured in all "
                "seeds of an arm; mean and range over seeds, at radius 0 the clean accuracy on the "
                "same images. A curve that levels off above 0 is a sign of masked gradients."
                f"{self._more}",
                self._chart("radii", [wholes.radii(self._arms, suite) for suite in suites]),
            )
        ]

    def _timeline(self) -> list[Drawing]:
        rows = data.timeline(self._run, self._comparison)
        if not rows:
            return []
        self._rows["timeline"] = rows
        lanes = max(row["lane"] for row in rows)
        caption = "When each trial ran, from its first start to its end, pauses included."
        keys = self._chart("timeline", [wholes.timeline(self._arms, lanes)])
        return [Drawing("Trials over time", caption, charts=tuple(keys))]

    def _search(self, found: Front) -> dict[str, Any]:
        """Return a search by its configurations: their picture, the front, the best, the axes."""
        held = varied(self._run, found)
        measure = importance({p.config_id: p.value for p in found.points}, held)
        axes, self._rows["parallel"], self._rows["ticks"] = lines(found, held)
        more = []
        if len(axes) > 1:
            keys = self._chart("parallel", [wholes.parallel(axes, printable(found.metric))])
            more.append(
                Drawing(
                    "Every configuration through its axes",
                    "A line is a configuration, its colour its best value; numbers to scale (by "
                    "their logarithm where they span much), methods in alphabetical order, none "
                    "where an axis does nothing in it.",
                    charts=tuple(keys),
                    broad=True,
                )
            )
        if measure is not None:
            self._rows["importance"] = [
                {"axis": printable(axis), "mean": mean, "sd": sd, "low": mean - sd,
                 "high": mean + sd}
                for axis, (mean, sd) in measure.loss.items()
            ]  # fmt: skip
            keys = self._chart("importance", [wholes.importance(len(measure.loss))])
            more.append(Drawing("Which axes matter", measure.warning, charts=tuple(keys)))
        return {
            "drawing": self._front_drawing(found, "All configurations of the search"),
            "warning": found.warning,
            "header": ("place", *HEADER[1:6], "end", HEADER[7]),
            "front": cells(found.front),
            "best": cells(found.points[:MOST_BEST]),
            "more": more,
            "importance": [
                (printable(axis), fraction(mean), fraction(sd))
                for axis, (mean, sd) in (measure.loss if measure else {}).items()
            ],
            "axes": axes_cells(found.axes),
            "axes_header": AXES_HEADER,
            "axes_note": AXES_NOTE,
        }
