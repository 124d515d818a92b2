"""One HTML file on a run: the verdict first, then everything it rests on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rayat.compare import plots, radii
from rayat.compare.accuracy import CHECKPOINTS
from rayat.compare.again import all_again
from rayat.compare.confirmed import table
from rayat.compare.front import front, searched
from rayat.compare.frontplot import draw_front
from rayat.compare.fronttable import AXES_HEADER, AXES_NOTE, HEADER, axes_cells, cells
from rayat.compare.measured import shown
from rayat.compare.page import Drawing, drawing, page, span
from rayat.compare.render import mean, mean_sd, reached, setting_lines, speed, statuses
from rayat.compare.speedup import CUT
from rayat.compare.table import Comparison, compare
from rayat.compare.text import (
    NONE,
    count,
    fraction,
    percent,
    plural,
    printable,
    seconds,
    short_arms,
)
from rayat.compare.verdict import SOONER, robust_interval
from rayat.errors import LedgerError, RayatError
from rayat.ledger.files import located
from rayat.ledger.reader import Run
from rayat.ledger.status import Status

MOST_ROWS = 500
"""Of the lists of trials; the rest is in the run's tables."""
MOST_LETTERS = 400
"""Of one reason: a traceback belongs in the log."""
MOST_BEST = 10
"""Configurations of a search that are listed."""
MOST_JSON = 60_000
"""Letters of one settings block."""
TONES = {
    "faster": "good",
    SOONER: "good",
    "faster but less robust": "unsure",
    "faster, robustness unclear": "unsure",
    "slower": "bad",
    "not reached": "bad",
    CUT: "unsure",
}


def write_report(
    run: Run, path: str | Path, baseline: str | None = None, target: float | None = None
) -> Path:
    """Write a run's report as one self-contained HTML file below 2 MB and return its path.

    Args:
        baseline, target: as for `compare`.

    Raises:
        LedgerError, StudyError: as `compare`.
        RayatError: the file cannot be written.
    """
    path = located(path)
    text = report(run, compare(run, baseline, target))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise RayatError(f"{path}: the report cannot be written ({error.strerror})") from None
    return path


def report(run: Run, comparison: Comparison) -> str:
    """Return the report's HTML."""
    info, study = run.info, run.info["study"]
    return page(
        "report.html",
        study={
            "name": comparison.study,
            "run": run.folder.name,
            "made": info.get("created_at"),
            "description": " ".join(str(study.get("description") or "").split()),
        },
        headline=comparison.headline,
        facts=_facts(run, comparison),
        settings=setting_lines(comparison)[:-1] if comparison.apart else [],
        heading=short_arms([row.arm for row in comparison.rows])[0],
        accuracy_source=comparison.accuracy_source,
        arms=_arms(comparison),
        sentences=[row.sentence for row in comparison.rows if row.sentence],
        notes=comparison.notes,
        drawings=_drawings(run, comparison),
        search=_search(run, comparison),
        early_ends=_early_ends(run),
        metric=comparison.metric,
        trials=_trials(run),
        command=all_again(info),
        blocks=_blocks(info),
        checksums=_checksums(run.folder),
        interval=comparison.to_json()["interval"],
        level=percent(comparison.level),
        confirmed=table(comparison.confirmed) if comparison.confirmed else [],
    )


def _facts(run: Run, comparison: Comparison) -> list[dict[str, Any]]:
    """Return what was compared; `warn` where a fact weakens the verdict."""
    base = next(row for row in comparison.rows if row.is_baseline)
    target = f"{comparison.metric} ≥ {fraction(comparison.target)}"
    spent = run.trials[["seconds"]].sum().item()
    published = comparison.protocol == "as-published"
    trials = f"{len(run.trials)} in {plural(len(comparison.rows), 'arm')}"
    work = f"{plural(len(base.trial_ids), 'seed')}, {seconds(float(spent))} of training"
    decided = (
        "decisions may have seen the test set" if published else "decisions on the validation split"
    )
    facts = [
        ("target", target, comparison.target_origin, not comparison.target_fixed),
        ("baseline", comparison.baseline, comparison.baseline_origin, False),
        ("accuracies", comparison.accuracy_source, *_checkpoint(comparison)),
        ("trials", trials, work, False),
        ("protocol", comparison.protocol, decided, published),
    ]
    return [dict(zip(("name", "value", "origin", "warn"), fact, strict=True)) for fact in facts]


def _checkpoint(comparison: Comparison) -> tuple[str, bool]:
    """Return of which checkpoints accuracies are, and whether that weakens the verdict."""
    if not comparison.asked:
        return "trials may have ended at the target", False
    return "best checkpoint", not comparison.tested


def _arms(comparison: Comparison) -> list[dict[str, Any]]:
    """Return each arm's texts: those of the table of costs and those of the table of accuracies."""
    _, names = short_arms([row.arm for row in comparison.rows])
    looks = plots.looks(comparison)
    ends = [
        end
        for row in comparison.rows
        if (e := row.speed_up["passes"]) is not None and e.low is not None and e.high is not None
        for end in (e.low, e.high)
    ]
    low, high = min([0.8, *ends]), max([1.25, *ends])
    return [
        {
            "name": names[row.arm],
            "color": looks[row.arm][0],
            "tuned": ", ".join(f"{key}={shown(value)}" for key, value in row.tuned.items()),
            "is_baseline": row.is_baseline,
            "verdict": row.verdict,
            "tone": TONES.get(row.verdict, ""),
            "speed_up": speed(row, "passes"),
            "span": span(row.speed_up["passes"], low, high),
            "costs": (
                speed(row, "seconds"),
                reached(row),
                mean(row.costs["epochs"], count),
                mean(row.costs["passes"], count),
                mean(row.costs["seconds"], seconds),
            ),
            "accuracies": (
                *(mean_sd(row.robust[checkpoint]) for checkpoint in CHECKPOINTS),
                robust_interval(row.robust_difference),
                *(mean_sd(row.clean[checkpoint]) for checkpoint in CHECKPOINTS),
            ),
            "trials": statuses(row),
        }
        for row in comparison.rows
    ]


def _drawings(run: Run, comparison: Comparison) -> list[Drawing]:
    less = len(comparison.rows) - len(plots.shown(comparison))
    more = f" {plural(less, 'arm')} further down the table not drawn." if less else ""
    drawings = [
        drawing(
            plots.draw_cost(run, comparison),
            "Robust accuracy over cost",
            "Mean over seeds, as far as every seed reported. A dot is the mean cost at which the "
            f"target was first reached, where every seed reached it.{more}",
        ),
        drawing(
            plots.draw_curves(run, comparison),
            "Robust accuracy over epochs",
            "Mean and range over seeds; thin lines are single seeds, the grey line is the "
            "baseline, the dotted line the target, the shaded area the learning rate over the "
            f"training.{more}",
        ),
        drawing(
            plots.draw_rates(run, comparison),
            "Learning rates used",
            f"At each epoch's end, one line per seed.{more}",
        ),
    ]
    if any(row.robust["best"] for row in comparison.rows):
        drawings.append(
            drawing(
                plots.draw_pareto(comparison),
                "Clean against robust accuracy",
                f"Best checkpoints, mean and sd over seeds; further up and right is better.{more}",
            )
        )
    curves = radii.robustness(run, comparison)
    if curves:
        drawings.append(
            drawing(
                radii.draw_radii(comparison, curves),
                "Robust accuracy over the radius",
                "Best checkpoints on the test set, at every radius that one suite measured in all "
                "seeds of an arm; mean and range over seeds, at radius 0 the clean accuracy on the "
                "same images. A curve that levels off above 0 is a sign of masked gradients."
                f"{more}",
            )
        )
    return drawings


def _search(run: Run, comparison: Comparison) -> dict[str, Any] | None:
    """Return a search by its configurations: their picture, the front, the best, the axes."""
    if not searched(run):
        return None
    try:
        found = front(run, comparison.baseline, comparison.target)
    except LedgerError:  # the baseline has no value yet
        return None
    return {
        "drawing": drawing(
            draw_front(found),
            "All configurations of the search",
            "Each at the passes until its best value, means over seeds; the line is the front that "
            "none beats in both, by place; hollow ones were stopped early.",
        ),
        "warning": found.warning,
        "header": HEADER,
        "front": cells(found.front),
        "best": cells(found.points[:MOST_BEST]),
        "axes": axes_cells(found.axes),
        "axes_header": AXES_HEADER,
        "axes_note": AXES_NOTE,
    }


def _early_ends(run: Run) -> dict[str, Any]:
    """Return every trial that did not finish, with the sentence that ended it."""
    last = run.decisions.sort_values("position").groupby("trial_id")["sentence"].last().to_dict()
    early = [s for s in Status if s.is_final and s is not Status.FINISHED]
    ended = run.trials[run.trials["status"].isin(early)]
    rows = []
    for trial in _records(ended):
        reason = str(last.get(trial["trial_id"]) or trial["stop_reason"] or NONE)
        if len(reason) > MOST_LETTERS:
            reason = reason[:MOST_LETTERS] + " ..."
        facts = (trial["trial_id"], trial["arm"], trial["seed"], trial["status"])
        rows.append((*facts, trial["epochs_run"], reason))
    return {"rows": rows, "caption": _rest(len(ended))}


def _trials(run: Run) -> dict[str, Any]:
    rows = [
        (
            trial["trial_id"],
            trial["arm"],
            trial["seed"],
            trial["status"],
            f"{trial['epochs_run'] or 0}/{trial['epochs_planned'] or NONE}",
            trial["best_epoch"] or NONE,
            fraction(trial["best_value"]),
            fraction(trial["last_value"]),
            seconds(trial["seconds"]),
        )
        for trial in _records(run.trials)
    ]
    n = len(run.trials)
    return {"rows": rows, "count": plural(n, "trial"), "caption": _rest(n)}


def _blocks(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the lines of what a run recorded of itself, by heading."""
    names = ("Study", "Data", "Environment", "Cluster", "Extensions")
    found = {name: info.get(name.lower()) for name in names}
    return {name: _json(value) for name, value in found.items() if value}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the first rows as plain values, None for every null."""
    text = frame.head(MOST_ROWS).drop(columns=["started_at", "ended_at"]).to_json(orient="records")
    records: list[dict[str, Any]] = json.loads(text)
    return records


def _rest(n: int) -> str:
    return f"The first {MOST_ROWS} of {n}; trials.parquet has all." if n > MOST_ROWS else ""


def _json(value: Any) -> list[str]:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) > MOST_JSON:
        text = text[:MOST_JSON] + "\n... (run.json has all)"
    return text.splitlines()


def _checksums(folder: Path) -> dict[str, str]:
    """Return the files' checksums by the manifest; empty for a run without one."""
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        return {printable(name): str(entry["sha256"]) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
