"""`rayat doctor`: can runs work here, and what would make them work better."""

from __future__ import annotations

import typer

from rayat.cli import options
from rayat.cli.checks import CHECKS
from rayat.cli.text import as_json, columns

NO_RUN_POSSIBLE = 2


def doctor(json: options.Json = False) -> None:
    """Check whether this machine can run studies well.

    Packages, processor, memory, GPUs, data sets and who could reach Ray; with what to do. Exits
    with 2 if no run can work here.
    """
    found = [check for look in CHECKS for check in look()]
    if json:
        typer.echo(as_json([vars(check) for check in found]))
    else:
        typer.echo(columns((check.state, check.name, check.found) for check in found))
        advice = [(check.name, check.advice) for check in found if check.advice]
        if advice:
            typer.echo("\nwhat to do\n" + columns(advice))
    if any(check.state == "fail" for check in found):
        raise typer.Exit(NO_RUN_POSSIBLE)
