"""`rayat best`: what to train with, by what a run has shown."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from rayat.cli import options
from rayat.cli.studies import short
from rayat.cli.text import as_json, columns
from rayat.compare.text import fraction, printable

WIDTH = 80


def best(
    run: options.Run,
    top: Annotated[
        int, typer.Option("--top", metavar="K", min=1, help="Configurations to show.")
    ] = 1,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="ARM", help="Compare with this arm; default: the study's."
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option("--target", metavar="VALUE", help="Rank by the cost to this value."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            show_default=False,
            help="Write the configuration there, for `rayat train --config`.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show the best configuration of a run.

    Ranked as `rayat confirm` ranks: those that reached the target in every seed come first, by
    their passes to it. Says what it reached and how sure that is.
    """
    from rayat.compare.best import best as best_of
    from rayat.compare.best import cells, header, settings
    from rayat.ledger.reader import read_run

    found = best_of(read_run(run), top, baseline, target)
    if out is not None:
        found.write(out)
    if json:
        typer.echo(as_json(found.to_json()))
        return
    goal = f"target: {found.metric} ≥ {fraction(found.target)} ({found.target_origin})"
    lines = [
        _wrap(found.answer),
        _wrap(found.sure),
        "",
        _wrap(f"{printable(goal)}; baseline: {printable(found.baseline)}"),
        *(_wrap(f"! {note}") for note in found.notes),
        "",
        columns(cells(found), header(found.metric)),
    ]
    differing = settings(found.rows[0])
    if differing:
        lines += ["", "Set otherwise than in the baseline:", *(f"  {line}" for line in differing)]
    if not found.imported:
        file = Path(f"{found.study}-best.json") if out is None else out.absolute()
        first = f"rayat best {short(run.absolute())} --out {short(file)} && " if out is None else ""
        lines += ["", printable(f"train with it: {first}rayat train --config {short(file)}")]
    typer.echo("\n".join(lines))


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False)
