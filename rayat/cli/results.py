"""`rayat status`, `compare`, `report`, `repair` and `copy`: everything that reads a run."""

from __future__ import annotations

import contextlib
import json as jsonlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from rayat.cli import options
from rayat.cli.studies import relative, short
from rayat.cli.text import as_json, columns, duration, size
from rayat.columns import SHARED_FROM
from rayat.compare.text import fraction, printable
from rayat.ledger.status import Status
from rayat.sharing.tree import Counts

if TYPE_CHECKING:
    from rayat.ledger.reader import Run

Format = Literal["text", "markdown", "csv", "latex", "json"]
TRIAL_KEYS = (
    "trial_id",
    "arm",
    "seed",
    "status",
    "stop_reason",
    "epochs_run",
    "epochs_planned",
    "attempts",
    "best_epoch",
    "best_value",
    "last_value",
    "seconds",
)


def status(run: options.Run, json: options.Json = False) -> None:
    """Show how far a run is, whether it runs or has ended.

    Trials by state, one line a trial, and which process writes the run.
    """
    from rayat.ledger.reader import read_run

    found = read_run(run)
    # pandas has NaN where the table has null; JSON has null.
    trials = jsonlib.loads(found.trials[list(TRIAL_KEYS)].to_json(orient="records"))
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial["status"]] = counts.get(trial["status"], 0) + 1
    facts = {
        "run": str(run),
        "study": found.info["study"]["name"],
        "metric": found.info["metric"],
        "writer": writer(run),
        "complete": all(Status(name).is_final for name in counts),
        "statuses": counts,
        "begun": found.info.get("created_at"),
        "last_report": _last_report(found),
        "evaluated": int(found.evals["trial_id"].nunique()),
        "epochs": len(found.epochs),
        "trained": _trained(found),
        "trials": trials,
    }
    typer.echo(as_json(facts) if json else "\n".join(_status_lines(facts)))


def _trained(found: Run) -> int:
    """Return how many epochs were trained; earlier runs shared none."""
    if SHARED_FROM not in found.epochs:
        return len(found.epochs)
    return int(found.epochs[SHARED_FROM].isna().sum())


def _status_lines(facts: dict[str, Any]) -> Iterator[str]:
    metric, holder = facts["metric"], facts["writer"]
    if holder is not None:
        driver = f"process {holder.get('pid', '?')} on {holder.get('host', '?')} is writing it"
        driver += f"; {_heard(facts)}" if not facts["complete"] else ""
    elif facts["complete"]:
        driver = "none; every trial has ended"
    else:
        driver = f"none; go on with: rayat resume {short(Path(facts['run']).absolute())}"
    counts = Counts(facts["epochs"], facts["trained"])
    said = ", ".join(f"{number} {name}" for name, number in sorted(facts["statuses"].items()))
    yield columns(
        [
            ("study", facts["study"]),
            ("driver", driver),
            ("trials", f"{len(facts['trials'])}: {said}; {facts['evaluated']} evaluated"),
            *((("epochs", counts.done()),) if counts.shared else ()),
        ]
    )
    yield ""
    rows = [
        (
            trial["trial_id"],
            trial["arm"],
            trial["seed"],
            f"{trial['epochs_run']}/{trial['epochs_planned']}",
            fraction(trial["best_value"]),
            fraction(trial["last_value"]),
            duration(trial["seconds"]),
            trial["status"] + (f": {trial['stop_reason']}" if trial["stop_reason"] else ""),
        )
        for trial in facts["trials"]
    ]
    header = ("trial", "arm", "seed", "epoch", f"best {metric}", "last", "trained", "state")
    yield columns(rows, header)


def _last_report(run: Run) -> str | None:
    """Return when the last report came, None where none has."""
    times = run.epochs["reported_at"].dropna()
    return None if times.empty else str(times.max().isoformat())


def _heard(facts: dict[str, Any]) -> str:
    """Return how long ago a living run was heard of, so that a start is told from a standstill."""
    last, begun = facts["last_report"], facts["begun"]
    text = "starting, no report yet" if last is None else "last report"
    try:
        since = datetime.now(UTC) - datetime.fromisoformat(str(last or begun))
    except (ValueError, TypeError):
        return text
    ago = duration(max(0.0, since.total_seconds()))
    return f"{text}, begun {ago} ago" if last is None else f"{text} {ago} ago"


def writer(run: Path) -> dict[str, Any] | None:
    """Return what is known of the driver that holds the run, None if no one is known to."""
    from rayat.ledger.lock import holder

    with contextlib.suppress(OSError):
        return holder(run)
    return None


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS", help="Folder of a run, or of several.", show_default=False),
    ],
    baseline: options.Baseline = None,
    target: options.Target = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            metavar="SUITE",
            help="Suite of the accuracies shown; default: the strongest.",
        ),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arms",
            metavar="A,B",
            show_default=False,
            help="Only these, beside the baseline: labels, names or key=value; repeatable.",
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", help="Print it so; default: text.", show_default=False),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The same as --format markdown.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Compare the arms: which trains a robust model sooner?

    Speed-up is the baseline's cost to reach the target over the arm's, paired over seeds, with its
    interval; fewer than three seeds give no verdict. Of several runs the arms stand in
    one table, labelled by run where two have the same.
    """
    from rayat.compare.beside import beside
    from rayat.compare.table import compare as compare_run
    from rayat.ledger.reader import read_run

    kind = _format(format, markdown, json)
    found = beside([read_run(run) for run in runs], target)
    comparison = compare_run(found, baseline, target, suite, arms or ())
    if kind == "json":
        typer.echo(as_json(comparison.to_json()))
    else:
        typer.echo(getattr(comparison, "render" if kind == "text" else kind)())


def _format(asked: Format | None, markdown: bool, json: bool) -> Format:
    """Return the one format that was asked for. Raises `ConfigError` for two."""
    from rayat.errors import ConfigError

    wanted = {*([asked] if asked else []), *(["markdown"] if markdown else [])}
    wanted |= {"json"} if json else set()
    if len(wanted) > 1:
        raise ConfigError(
            f"one format at a time, got {' and '.join(sorted(wanted))}; leave one out"
        )
    return cast(Format, next(iter(wanted), "text"))


def report(
    run: options.Run,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            show_default=False,
            help="File to write; default: report.html in RUN.",
        ),
    ] = None,
) -> None:
    """Write a report on a run as one self-contained HTML file."""
    from rayat.ledger.reader import read_run
    from rayat.report.write import write_report

    path = (out or run / "report.html").absolute()
    write_report(read_run(run), path)
    typer.echo(printable(relative(path)))


def repair(run: options.Run, json: options.Json = False) -> None:
    """Rebuild a run's tables from its log.

    A damaged log keeps the records before the damage; as it was, it is set aside. So are
    tables that hold more than the log.
    """
    from rayat.ledger.repair import repair as repair_run

    done = repair_run(run)
    if json:
        typer.echo(as_json({**vars(done), "rebuilt": list(done.rebuilt)}))
    else:
        typer.echo("\n".join(printable(line) for line in str(done).splitlines()))


def copy(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a copy's URI.")],
    to: Annotated[
        str, typer.Argument(metavar="TO", help="Empty folder or URI, such as s3://bucket/x.")
    ],
    json: options.Json = False,
) -> None:
    """Copy a run to an object store, or back.

    Each file is read again and compared. A run lives on a file system that its workers
    share; a copy elsewhere is for keeping, and is read once it is copied back.
    """
    from rayat.errors import LockedError
    from rayat.ledger.copying import copy_run
    from rayat.ledger.reader import read_run

    if "://" not in run:
        if writer(Path(run)) is not None:
            raise LockedError(f"{run} is being written; copy it when its driver has ended")
        read_run(run)
    done = copy_run(run, to)
    if "://" not in to:
        read_run(to)
    said = f"{done['files']} files, {size(done['bytes'])}, each compared: {to}"
    typer.echo(as_json(done) if json else printable(said))
