"""What the charts draw, as plain rows: by the functions that the static pictures draw by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rayat.compare import marks
from rayat.compare.comparison import ArmRow, plain
from rayat.compare.front import Front
from rayat.compare.plots import common_epochs, shown, table_of
from rayat.compare.radii import Robustness
from rayat.compare.render import where
from rayat.compare.speedup import AXES, counts_passes
from rayat.compare.table import Comparison
from rayat.compare.text import printable, short_arms
from rayat.ledger.reader import Run
from rayat.ledger.status import Status

MOST_EPOCHS = 200
"""Of one curve; of a longer one every second epoch is drawn, or every third."""
MOST_BARS = 1500
"""Trials of the timeline."""
DASHES = {"-": [1, 0], "--": [7, 4], ":": [2, 3], "-.": [7, 3, 2, 3]}
SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "<": "triangle-left",
    "X": "stroke",
}

Rows = list[dict[str, Any]]


def arms(comparison: Comparison) -> Rows:
    """Return all arms with their marks and group, those that the charts hold first."""
    _, names = short_arms([row.arm for row in comparison.rows])
    looks, group = marks.looks(comparison), groups(comparison)
    return [
        {
            "name": names[row.arm],
            "color": looks[row.arm].color,
            "dash": DASHES[looks[row.arm].line],
            "shape": SHAPES[looks[row.arm].symbol],
            "symbol": looks[row.arm].symbol,
            "baseline": row.is_baseline,
            "group": group[row.arm],
        }
        for row in comparison.rows
    ]


def groups(comparison: Comparison) -> dict[str, str]:
    """Return by what each arm was measured, in words; "" for all where there is one group."""
    many = len(comparison.groups()) > 1
    return {row.arm: where(comparison, row) if many else "" for row in comparison.rows}


def curves(run: Run, comparison: Comparison) -> dict[str, Rows]:
    """Return mean and range of each arm by epoch, where the target was reached, what was cut."""
    axis = spending(run)
    found: dict[str, Rows] = {"curves": [], "reached": [], "ends": [], "targets": []}
    for row, arm in zip(shown(comparison), arms(comparison), strict=False):
        head = {"arm": arm["name"], "group": arm["group"]}
        values = common_epochs(table_of(run, row, comparison.metric))
        spent = table_of(run, row, AXES[axis]).mean(axis=1).reindex(values.index)
        rates = table_of(run, row, "lr").mean(axis=1).reindex(values.index)
        for epoch in thinned(list(values.index)):
            own = values.loc[epoch]
            found["curves"].append(
                {
                    **head,
                    "epoch": epoch,
                    "spent": spent[epoch],
                    "lr": rates[epoch],
                    "mean": own.mean(),
                    "low": own.min(),
                    "high": own.max(),
                    "seeds": len(own),
                }
            )
        paid = row.costs[axis]
        if paid is not None and row.target is not None:
            found["reached"].append({**head, "spent": paid.mean, "value": row.target})
        if row.target is not None and row.target not in [t["value"] for t in found["targets"]]:
            found["targets"].append({"group": arm["group"], "value": row.target})
        found["ends"] += _ends(run, row, comparison.metric, AXES[axis], head)
    return found


def _ends(run: Run, row: ArmRow, metric: str, spent: str, head: dict[str, Any]) -> Rows:
    """Return the last epoch of each of an arm's trials that did not finish by itself."""
    early = [s for s in Status if s.is_final and s is not Status.FINISHED]
    own = run.trials[
        run.trials["trial_id"].isin(list(row.trial_ids.values())) & run.trials["status"].isin(early)
    ]
    rows = []
    for trial in own.itertuples():
        told = run.epochs[run.epochs["trial_id"] == trial.trial_id].dropna(subset=[metric])
        if told.empty:
            continue
        last = told.sort_values("epoch").iloc[-1]
        rows.append(
            {
                **head,
                "seed": trial.seed,
                "end": str(trial.status),
                "epoch": int(last["epoch"]),
                "spent": last[spent],
                "value": last[metric],
            }
        )
    return rows


def quality(comparison: Comparison) -> Rows:
    """Return clean and robust accuracy of the best checkpoints, each with a sd on both sides."""
    rows = []
    for row, arm in zip(shown(comparison), arms(comparison), strict=False):
        clean, robust = row.clean["best"], row.robust["best"]
        if clean is None or robust is None:
            continue
        rows.append(
            {
                "arm": arm["name"],
                "group": arm["group"],
                "clean": clean.mean,
                "clean_low": clean.mean - (clean.sd or 0),
                "clean_high": clean.mean + (clean.sd or 0),
                "robust": robust.mean,
                "robust_low": robust.mean - (robust.sd or 0),
                "robust_high": robust.mean + (robust.sd or 0),
            }
        )
    return rows


def points(found: Front, comparison: Comparison) -> Rows:
    """Return all configurations by cost and best value."""
    names = short_arms([row.arm for row in comparison.rows])[1]
    return [
        {
            "arm": names.get(p.arm, printable(p.arm)),
            "place": p.place,
            "what": p.name,
            "cost": p.cost,
            "value": p.value,
            "kind": "baseline" if p.is_baseline else "front" if p.on_front else "other",
            "front": p.on_front,
            "end": "stopped early" if p.stopped else "",
        }
        for p in found.points
    ]


def radii(found: Sequence[Robustness], comparison: Comparison) -> Rows:
    """Return robust accuracy at each radius, mean and range over seeds."""
    names = short_arms([row.arm for row in comparison.rows])[1]
    return [
        {
            "arm": names[each.arm],
            "suite": each.title,
            "eps": eps,
            "mean": own.mean(),
            "low": own.min(),
            "high": own.max(),
        }
        for each in found
        for eps, own in each.accuracies.iterrows()
    ]


def timeline(run: Run, comparison: Comparison) -> Rows:
    """Return when each trial ran, in minutes, in as few lanes as hold them without overlap."""
    names = short_arms([row.arm for row in comparison.rows])[1]
    told = run.trials.dropna(subset=["started_at", "ended_at"]).sort_values("started_at")
    if told.empty:
        return []
    first, free, rows = told["started_at"].iloc[0], list[Any](), []
    for trial in told.head(MOST_BARS).itertuples():
        lane = next((at for at, end in enumerate(free) if end <= trial.started_at), len(free))
        free[lane : lane + 1] = [trial.ended_at]
        rows.append(
            {
                "arm": names.get(str(trial.arm), printable(trial.arm)),
                "trial": printable(trial.trial_id),
                "seed": trial.seed,
                "status": str(trial.status),
                "lane": lane + 1,
                "start": (trial.started_at - first).total_seconds() / 60,
                "end": (trial.ended_at - first).total_seconds() / 60,
                "epochs": trial.epochs_run,
            }
        )
    return rows


def spending(run: Run) -> str:
    """Return by what cost is drawn: `passes`, or `seconds` where no passes were recorded."""
    return "passes" if counts_passes(run) else "seconds"


def thinned(epochs: list[Any]) -> list[Any]:
    """Return at most about `MOST_EPOCHS` epochs of a curve, the last one among them."""
    step = -(-len(epochs) // MOST_EPOCHS) or 1
    kept = epochs[::step]
    return kept if not epochs or kept[-1] == epochs[-1] else [*kept, epochs[-1]]


def filled(spec: dict[str, Any], rows: dict[str, Rows]) -> dict[str, Any]:
    """Return a chart without the layers that have nothing to draw."""
    if "layer" not in spec:
        return spec
    kept = [
        filled(layer, rows)
        for layer in spec["layer"]
        if "data" not in layer or rows.get(layer["data"]["name"])
    ]
    return {**spec, "layer": kept}


def as_json(tree: Any) -> str:
    """Return JSON that may stand inside of a script element: no number is not finite, no `<`."""
    text = json.dumps(_short(plain(tree)), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _short(value: Any) -> Any:
    """Return a tree whose numbers have six significant digits: more than a chart shows."""
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_short(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
