"""One HTML file on a run: the verdict first, then everything it rests on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from rayat.compare import plots
from rayat.compare.accuracy import CHECKPOINTS
from rayat.compare.again import again
from rayat.compare.page import cells, document, escape, figure, fold, span, table
from rayat.compare.render import mean, mean_sd, reached, setting_lines, speed, statuses
from rayat.compare.speedup import CUT
from rayat.compare.table import Comparison, Row, compare
from rayat.compare.text import NONE, count, fraction, plural, printable, seconds, short_arms
from rayat.compare.verdict import robust_interval
from rayat.errors import RayatError
from rayat.ledger.files import located
from rayat.ledger.reader import Run
from rayat.ledger.state import UNFINISHED

MOST_ROWS = 500
"""Of the lists of trials; the rest is in the run's tables."""
MOST_LETTERS = 400
"""Of one reason: a traceback belongs in the log."""
MOST_JSON = 60_000
"""Letters of one settings block."""
TONES = {
    "faster": "good",
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
    page = report(run, compare(run, baseline, target))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise RayatError(f"{path}: the report cannot be written ({error.strerror})") from None
    return path


def report(run: Run, comparison: Comparison) -> str:
    """Return the report's HTML."""
    parts = [
        *_opening(run, comparison),
        *_comparison(comparison),
        *_pictures(run, comparison),
        *_early_ends(run),
        *_trials(run),
        *_settings(run, comparison),
    ]
    return document(f"{comparison.study} - rayat report", parts)


def _opening(run: Run, comparison: Comparison) -> Iterator[str]:
    study = run.info["study"]
    made = run.info.get("created_at")
    line = f"Which schedule trains a robust model sooner? Run {run.folder.name}"
    yield f"<header><h1>{escape(comparison.study)}</h1>"
    yield f'<p class="soft">{escape(line)}{escape(f", {made}" if made else "")}</p>'
    if study.get("description"):
        yield f'<p class="soft">{escape(" ".join(str(study["description"]).split()))}</p>'
    yield f'</header><p class="verdict">{escape(comparison.headline)}</p>'
    base = next(row for row in comparison.rows if row.is_baseline)
    target = f"{comparison.metric} ≥ {fraction(comparison.target)}"
    spent = run.trials[["seconds"]].sum().item()
    facts = [
        ("target", target, comparison.target_origin, not comparison.target_fixed),
        ("baseline", comparison.baseline, comparison.baseline_origin, False),
        ("accuracies", comparison.accuracy_source, "best checkpoint", not comparison.tested),
        (
            "trials",
            f"{len(run.trials)} in {plural(len(comparison.rows), 'arm')}",
            f"{plural(len(base.trial_ids), 'seed')}, {seconds(float(spent))} of training",
            False,
        ),
        (
            "protocol",
            comparison.protocol,
            "decisions may have seen the test set"
            if comparison.protocol == "as-published"
            else "decisions on the validation split",
            comparison.protocol == "as-published",
        ),
    ]
    yield '<dl class="facts">'
    for name, value, small, warn in facts:
        yield (
            f"<div{' class=warn' if warn else ''}><dt>{escape(name)}</dt>"
            f"<dd>{escape(value)}<small>{escape(small)}</small></dd></div>"
        )
    yield "</dl>"


def _comparison(comparison: Comparison) -> Iterator[str]:
    heading, names = short_arms([row.arm for row in comparison.rows])
    ends = [
        end
        for row in comparison.rows
        if (e := row.speed_up["passes"]) is not None and e.low is not None and e.high is not None
        for end in (e.low, e.high)
    ]
    low, high = min([0.8, *ends]), max([1.25, *ends])
    cost = ("verdict", "speed-up in passes", "in seconds", "reached", "epochs", "passes")
    quality = (
        "robust best",
        "robust last",
        "difference to the baseline",
        "clean best",
        "clean last",
    )
    yield "<h2>Comparison</h2>"
    if comparison.apart:
        lines = "".join(f"<li>{escape(line)}</li>" for line in setting_lines(comparison)[:-1])
        yield f"<ul>{lines}</ul>"
    yield table(
        (heading, *cost, "seconds"),
        (_cost(row, _label(row, names[row.arm], comparison), low, high) for row in comparison.rows),
        "Speed-up: the baseline's cost over the arm's with its 95 % interval, drawn on a "
        "logarithmic scale with a dashed line at 1. Epochs, passes and seconds: mean cost to the "
        "target, where every seed reached it. Cut: stopped before the target by the policy.",
        left=(0, 1),
    )
    yield table(
        (heading, *quality, "trials"),
        (_quality(row, _label(row, names[row.arm], comparison)) for row in comparison.rows),
        f"Accuracy ({comparison.accuracy_source}), mean ± sd over seeds. The best checkpoint is "
        "chosen on the study's metric; the difference is its robust accuracy over paired seeds.",
        left=(0, 6),
    )
    said = "".join(f"<li>{escape(row.sentence)}</li>" for row in comparison.rows if row.sentence)
    if said:
        yield fold("Every verdict in words", f"<ul>{said}</ul>")
    if comparison.notes:
        yield "<h2>Before you believe it</h2><ul>"
        yield from (f"<li>{escape(note)}</li>" for note in comparison.notes)
        yield "</ul>"


def _label(row: Row, name: str, comparison: Comparison) -> str:
    """Return an arm's first cell, with its colour and the nuisance values it chose."""
    color, _ = plots.looks(comparison)[row.arm]
    tuned = ", ".join(f"{key}={value}" for key, value in row.tuned.items())
    small = f'<br><span class="soft">{escape(tuned)}</span>' if tuned else ""
    return (
        f"<tr{' class=base' if row.is_baseline else ''}>"
        f'<td class="t"><i class="dot" style="background:{color}"></i>{escape(name)}{small}</td>'
    )


def _cost(row: Row, label: str, low: float, high: float) -> str:
    tone = TONES.get(row.verdict, "")
    values = (
        speed(row, "seconds"),
        reached(row),
        mean(row.costs["epochs"], count),
        mean(row.costs["passes"], count),
        mean(row.costs["seconds"], seconds),
    )
    return (
        f'{label}<td class="t {tone}">{escape(row.verdict)}</td>'
        f"<td>{escape(speed(row, 'passes'))}{span(row.speed_up['passes'], low, high)}</td>"
        + "".join(f"<td>{escape(value)}</td>" for value in values)
        + "</tr>"
    )


def _quality(row: Row, label: str) -> str:
    values = (
        *(mean_sd(row.robust[checkpoint]) for checkpoint in CHECKPOINTS),
        robust_interval(row.robust_difference),
        *(mean_sd(row.clean[checkpoint]) for checkpoint in CHECKPOINTS),
    )
    middle = "".join(f"<td>{escape(value)}</td>" for value in values)
    return f'{label}{middle}<td class="t">{escape(statuses(row))}</td></tr>'


def _pictures(run: Run, comparison: Comparison) -> Iterator[str]:
    less = len(comparison.rows) - len(plots.shown(comparison))
    more = f" {plural(less, 'arm')} further down the table not drawn." if less else ""
    yield "<h2>Robust accuracy over cost</h2>"
    yield figure(
        plots.draw_cost(run, comparison),
        "Mean over seeds, as far as every seed reported. A dot is the mean cost at which the "
        f"target was first reached, where every seed reached it.{more}",
    )
    yield "<h2>Robust accuracy over epochs</h2>"
    yield figure(
        plots.draw_curves(run, comparison),
        "Mean and range over seeds; thin lines are single seeds, the grey line is the baseline, "
        f"the dotted line the target, the shadow the learning rate's course.{more}",
    )
    yield "<h2>Learning rates as they were</h2>"
    yield figure(plots.draw_rates(run, comparison), f"At each epoch's end, one line a seed.{more}")
    yield "<h2>Clean against robust accuracy</h2>"
    yield figure(
        plots.draw_pareto(comparison),
        f"Best checkpoints, mean and sd over seeds; further up and right is better.{more}",
    )


def _early_ends(run: Run) -> Iterator[str]:
    """Every trial that did not finish, with the sentence that ended it."""
    last = run.decisions.sort_values("position").groupby("trial_id")["sentence"].last().to_dict()
    ended = run.trials[~run.trials["status"].isin(["finished", *UNFINISHED])]
    if ended.empty:
        return
    yield "<h2>Trials that did not finish</h2>"
    rows = []
    for trial in _records(ended):
        reason = str(last.get(trial["trial_id"]) or trial["stop_reason"] or NONE)
        if len(reason) > MOST_LETTERS:
            reason = reason[:MOST_LETTERS] + " ..."
        facts = (trial["trial_id"], trial["arm"], trial["seed"], trial["status"])
        rows.append(cells((*facts, trial["epochs_run"], reason), left=(0, 1, 3), long=(5,)))
    header = ("trial", "arm", "seed", "end", "epoch", "why")
    yield table(header, rows, _rest(len(ended)), left=(0, 1, 3, 5))


def _trials(run: Run) -> Iterator[str]:
    rows = [
        cells(
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
            ),
            left=(0, 1, 3),
        )
        for trial in _records(run.trials)
    ]
    metric = run.info["metric"]
    header = ("trial", "arm", "seed", "status", "epochs", "best epoch", f"best {metric}", "last")
    inner = table((*header, "training"), rows, _rest(len(run.trials)), left=(0, 1, 3))
    yield "<h2>Trials</h2>" + fold(f"All {plural(len(run.trials), 'trial')}", inner)


def _settings(run: Run, comparison: Comparison) -> Iterator[str]:
    info = run.info
    yield "<h2>How to get these numbers again</h2>"
    command = info.get("command") or []
    if command:
        yield f"<pre>{escape(again(command))}</pre>"
    blocks = {
        "Study": info.get("study"),
        "Data": info.get("data"),
        "Environment": info.get("environment"),
        "Cluster": info.get("cluster"),
    }
    for name, value in blocks.items():
        if value:
            yield fold(name, f"<pre>{_json(value)}</pre>")
    files = _checksums(run.folder)
    if files:
        rows = [cells((name, digest), left=(0, 1)) for name, digest in files.items()]
        yield fold("SHA-256 of the tables", table(("file", "sha-256"), rows, left=(0, 1)))
    interval = comparison.to_json()["interval"]
    yield (
        "<footer>Cost holds training, attack, selection and the validation that drives decisions, "
        "not the final test. A trial reaches the target at the first epoch whose "
        f"{escape(comparison.metric)} is at or above it; one that never does is censored, and its "
        "arm has no speed-up but a limit. Speed-up is a ratio of means over paired seeds; its "
        f"{interval['level']:.0%} interval comes from {interval['resamples']:,} paired bootstrap "
        "resamples, widened for few seeds. Fewer than three paired seeds give no verdict.</footer>"
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the first rows as plain values, None for every null."""
    text = frame.head(MOST_ROWS).drop(columns=["started_at", "ended_at"]).to_json(orient="records")
    records: list[dict[str, Any]] = json.loads(text)
    return records


def _rest(n: int) -> str:
    return f"The first {MOST_ROWS} of {n}; trials.parquet has all." if n > MOST_ROWS else ""


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) > MOST_JSON:
        text = text[:MOST_JSON] + "\n... (run.json has all)"
    return "\n".join(escape(line) for line in text.splitlines())


def _checksums(folder: Path) -> dict[str, str]:
    """Return the files' checksums by the manifest; empty for a run without one."""
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        return {printable(name): str(entry["sha256"]) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
