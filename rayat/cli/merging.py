"""`rayat merge`: runs of one study from several machines as one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayat.cli import options
from rayat.cli.studies import short
from rayat.cli.text import as_json
from rayat.compare.text import plural, printable


def merge(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS", help="Folders of runs.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", show_default=False, help="The new run's folder; a new one."
        ),
    ],
    json: options.Json = False,
) -> None:
    """Make one run of several runs of one study.

    They may differ in seeds, draws and arms. A trial that two of them hold is taken once if its
    counts and accuracies are equal, else the command is refused. The runs stay as they are.
    """
    from rayat.api.how import command_line
    from rayat.ledger.merging import merged
    from rayat.ledger.reader import read_run
    from rayat.runs.merging import merge as merge_runs

    folder = merge_runs(runs, out, command_line())
    info = read_run(folder).info
    parts = merged(info)
    counts = {part["run"]: len(part["trials"]) for part in parts}
    doubles = sum(len(part["left_out"]) for part in parts)
    if json:
        facts = {"folder": str(folder), "trials": counts, "left_out": doubles}
        typer.echo(as_json({**facts, "machines": info["origin"]["machines"] or None}))
        return
    place = printable(short(folder))
    for run, number in counts.items():
        typer.echo(f"{plural(number, 'trial')} of {printable(run)}")
    if doubles:
        typer.echo(f"{plural(doubles, 'trial')} held twice, with equal rows: taken once")
    if info["origin"]["machines"]:
        said = printable(info["origin"]["machines"])
        typer.echo(f"note: seconds are not comparable between them, passes are ({said})")
    typer.echo(f"next: rayat compare {place}\n      rayat report {place}")
