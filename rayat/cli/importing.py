"""`rayat import`: runs that others recorded, as a ledger folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rayat.cli import options
from rayat.cli.policies import roles
from rayat.cli.studies import short
from rayat.cli.text import as_json
from rayat.compare.text import plural, printable
from rayat.errors import ConfigError, nearest, quoted

LEFT_OUT = 4
KINDS = ("robust-overfitting", "ray", "table")


def import_(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.", show_default=False)
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="The folder, or the table's file.", show_default=False),
    ],
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="ROLE=COLUMN",
            show_default=False,
            help="Name a column that is not recognised, such as robust_acc=pgd.",
        ),
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent", help="Accuracies are given in percent: 43.1, not 0.431.")
    ] = False,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Import trainings recorded elsewhere as a run.

    robust-overfitting: the logs in a clone of locuslab/robust_overfitting.
    ray: the folder of an experiment of Ray Tune. table: a CSV or Parquet file
    with one row per trial and epoch. Trials that cannot be read are named and
    left out; the exit code is then 4.
    """
    from rayat.api.studies import run_folder
    from rayat.imports import base, ray_results, robust_overfitting, table
    from rayat.imports.table import known_roles

    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}")
    columns = roles(map_ or [])
    for role in columns:
        if role not in known_roles():
            known = ", ".join(known_roles())
            raise ConfigError(
                f"unknown role {role!r}{nearest(role, known_roles())}; known: {known}"
            )
    if kind == "robust-overfitting":
        if columns:
            raise ConfigError("--map names columns of a table; these logs have their own")
        found = robust_overfitting.read(source, percent)
    else:
        found = (ray_results if kind == "ray" else table).read(source, columns, percent)
    folder = run_folder(f"import-{kind}", out, None)
    base.write(found, source, folder, ["rayat", *sys.argv[1:]])
    for name, reason in found.skipped.items():
        typer.echo(printable(f"skipped {name}: {reason}"), err=True)
    for note in found.notes:
        typer.echo(printable(f"note: {note}"), err=True)
    epochs = sum(len(trial.rows) for trial in found.trials)
    if json:
        facts = {"folder": str(folder), "trials": len(found.trials), "epochs": epochs}
        typer.echo(as_json({**facts, "skipped": dict(found.skipped), "notes": list(found.notes)}))
    else:
        place, first = printable(short(folder)), quoted(found.trials[0].arm)
        typer.echo(f"{place}: {plural(len(found.trials), 'trial')}, {plural(epochs, 'epoch')}")
        typer.echo(f"next: rayat replay {place}\n      rayat compare {place} --baseline {first}")
    if found.skipped:
        raise typer.Exit(LEFT_OUT)
