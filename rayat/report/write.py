"""One HTML file on a run: the verdict first, then everything it rests on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from rayat.compare.accuracy import CHECKPOINTS
from rayat.compare.again import all_again
from rayat.compare.answer import METRICS
from rayat.compare.confirmed import table
from rayat.compare.marks import looks
from rayat.compare.measured import shown
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
from rayat.errors import RayatError
from rayat.ledger.files import located
from rayat.ledger.reader import Run
from rayat.ledger.status import Status
from rayat.measurement import Values
from rayat.report.data import as_json
from rayat.report.figures import Figures
from rayat.report.files import embedded
from rayat.report.library import allowed, library
from rayat.report.page import page, script, span

MAX_BYTES = 2_950_000
"""Of the file: tables that would make it larger are not within."""
FILES = "<!-- files -->"
MOST_ROWS = 500
"""Of the lists of trials; the rest is in the run's tables."""
MOST_LETTERS = 400
"""Of one reason: a traceback belongs in the log."""
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
    """Write a run's report as one self-contained HTML file below 3 MB and return its path.

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
    figures = Figures(run, comparison)
    code = library(), script("report.js")
    text = page(
        "report.html",
        policy=allowed(*code),
        scripts=[Markup(text) for text in code],
        rows=Markup(as_json(figures.block())),
        files=Markup(FILES),
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
        drawings=figures.drawings,
        search=figures.search,
        early_ends=_early_ends(run),
        metric=comparison.metric,
        trials=_trials(run),
        command=all_again(info),
        blocks=_blocks(info),
        checksums=_checksums(run.folder),
        interval=comparison.to_json()["interval"],
        level=percent(comparison.level),
        confirmed=_confirmed(comparison),
        decisions=_decisions(run),
    )
    files, said = embedded(run.folder, MAX_BYTES - len(text.encode()))
    return text.replace(FILES, page("files.html", files=files, said=said))


def _facts(run: Run, comparison: Comparison) -> list[dict[str, Any]]:
    """Return what was compared; `warn` where a fact weakens the verdict."""
    base = next(row for row in comparison.rows if row.is_baseline)
    name = METRICS.get(comparison.metric, comparison.metric)
    target = f"{name} ≥ {fraction(comparison.target)}"
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
        ("attacks", *_attacks(run, base.measured), False),
        ("trials", trials, work, False),
        ("protocol", comparison.protocol, decided, published),
    ]
    return [dict(zip(("name", "value", "origin", "warn"), fact, strict=True)) for fact in facts]


def _attacks(run: Run, measured: Values) -> tuple[str, str]:
    """Return which attack every epoch was validated by, and which the final test used."""
    steps, eps = measured.get("PGD steps"), measured.get("eps")
    radius = f" at eps {shown(eps)}" if eps is not None else ""
    name = "not recorded" if steps is None else f"PGD-{shown(steps)}{radius}"
    suites = sorted(set(run.evals.loc[run.evals["split"] == "test", "suite"]))
    final = f"final test: {' and '.join(suites)}" if suites else "no final test"
    return name, f"on validation after every epoch; {final}"


def _checkpoint(comparison: Comparison) -> tuple[str, bool]:
    """Return of which checkpoints accuracies are, and whether that weakens the verdict."""
    if not comparison.asked:
        return "trials may have ended at the target", False
    return "best checkpoint", not comparison.tested


def _arms(comparison: Comparison) -> list[dict[str, Any]]:
    """Return each arm's texts: those of the table of costs and those of the table of accuracies."""
    _, names = short_arms([row.arm for row in comparison.rows])
    marks = looks(comparison)
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
            "color": marks[row.arm].color,
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


def _confirmed(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the table of a confirmation, every column with a name; empty for another run."""
    head, *rows = table(comparison.confirmed) if comparison.confirmed else [()]
    return [("configuration", *head[1:]), *rows] if rows else []


def _decisions(run: Run) -> dict[str, Any]:
    """Return what the policy decided, each with the numbers that it rests on."""
    arms = run.trials.set_index("trial_id")["arm"].to_dict()
    rows = []
    for made in run.decisions.sort_values("position").head(MOST_ROWS).itertuples():
        evidence = str(made.evidence_json or "{}")
        try:
            held = {key: _figure(value) for key, value in json.loads(evidence).items()}
            told = ", ".join(f"{key} {value}" for key, value in held.items())
        except (ValueError, AttributeError):
            told = evidence
        facts = (made.trial_id, arms.get(made.trial_id, NONE), made.epoch, made.action, made.rule)
        rows.append((*facts, _brief(str(made.sentence or NONE)), _brief(told or NONE)))
    n = len(run.decisions)
    return {"rows": rows, "count": plural(n, "decision"), "caption": _rest(n, "decisions")}


def _figure(value: Any) -> str:
    """Return a number of evidence with three significant digits, what else there is as JSON."""
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value)


def _brief(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS] + " ..."


def _early_ends(run: Run) -> dict[str, Any]:
    """Return every trial that did not finish, with the sentence that ended it."""
    last = run.decisions.sort_values("position").groupby("trial_id")["sentence"].last().to_dict()
    early = [s for s in Status if s.is_final and s is not Status.FINISHED]
    ended = run.trials[run.trials["status"].isin(early)]
    rows = []
    for trial in _records(ended):
        reason = _brief(str(last.get(trial["trial_id"]) or trial["stop_reason"] or NONE))
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


def _rest(n: int, table: str = "trials") -> str:
    return f"The first {MOST_ROWS} of {n}; {table}.parquet has all." if n > MOST_ROWS else ""


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
