"""How a run that this process drove ended: what is printed last, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rayat.cli.studies import short
from rayat.cli.text import as_json
from rayat.compare.text import plural, printable
from rayat.ledger.status import Status

if TYPE_CHECKING:
    from rayat.runs.record import Summary

TRIALS_LOST = 4
INTERRUPTED = 130


def verdict(folder: Path, json: bool) -> None:
    """Print the comparison and write the report; to standard error if JSON goes to the other."""
    from rayat.compare.table import compare
    from rayat.ledger.reader import read_run
    from rayat.report.write import write_report

    result = read_run(folder)
    typer.echo(compare(result).render(), err=json)
    write_report(result, folder / "report.html")
    typer.echo(f"report: {printable(short(folder / 'report.html'))}", err=json)


def _next(summary: Summary, place: str) -> list[str]:
    """Return the verbs that tell what a run found: of a search, which of its many is best."""
    from rayat.ledger.info import read_info

    info = read_info(summary.folder)
    searches = "search" in info or bool(info["study"].get("nuisance"))
    found = [f"best {place}", f"confirm {place}"] if searches else [f"compare {place}"]
    return [*found, f"report {place}"]


def conclude(summary: Summary, json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print how it ended (JSON: with `more`) and what is next; exit with the code that says so."""
    place = printable(short(summary.folder))
    statuses = ", ".join(f"{n} {status}" for status, n in sorted(summary.statuses.items()))
    if json:
        fields = {
            "folder": str(summary.folder),
            "statuses": summary.statuses,
            "interrupted": summary.interrupted,
            "halted": summary.halted or None,
            "warning": summary.warning or None,
            "unmeasured": list(summary.unmeasured),
            **({"decided": summary.decided} if summary.decided else {}),
            **({} if summary.added is None else {"added": summary.added}),
            "epochs": summary.epochs.asked,
            "trained": summary.epochs.trained,
            **(more or {}),
        }
        typer.echo(as_json(fields))
    if summary.warning:
        typer.echo(f"warning: {printable(summary.warning)}", err=True)
    broken = any(status.is_broken for status in summary.statuses)
    if summary.halted:
        again = " --retry failed" if broken else ""
        said = f"{printable(summary.halted)} ({statuses}); go on with: rayat resume {place}{again}"
        typer.echo(said, err=True)
        raise typer.Exit(TRIALS_LOST if broken else 0)
    if summary.interrupted:
        # Nothing runs any more: what was running has begun, and goes on from its last epoch.
        statuses = statuses.replace(f" {Status.RUNNING}", " begun")
        typer.echo(f"interrupted ({statuses}); go on with: rayat resume {place}", err=True)
        raise typer.Exit(INTERRUPTED)
    if not json:
        if summary.added is not None:
            new = f"{plural(summary.added, 'trial')} added" if summary.added else "nothing added"
            typer.echo(f"{place}: {new}; what it held already was not trained again")
        typer.echo(f"{place}: {statuses}")
        if summary.epochs.shared:
            typer.echo(f"{place}: {summary.epochs.done()}")
        if summary.decided:
            typer.echo(f"{place}: {printable(summary.decided)}")
        typer.echo(f"next: rayat {f'{chr(10)}      rayat '.join(_next(summary, place))}")
    if broken:
        typer.echo(
            f"some trials failed or were lost; see: rayat status {place}; run them again with: "
            f"rayat resume {place} --retry failed",
            err=True,
        )
    for line in summary.unmeasured:
        typer.echo(printable(line), err=True)
    if summary.unmeasured:
        typer.echo(f"after mending the cause, measure with: rayat resume {place}", err=True)
    if broken or summary.unmeasured:
        raise typer.Exit(TRIALS_LOST)
