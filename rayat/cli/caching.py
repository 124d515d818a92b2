"""`rayat cache`: the states that a run keeps for trials that begin alike."""

from __future__ import annotations

from typing import Annotated

import typer

from rayat.cli import options
from rayat.cli.text import as_json, columns, size
from rayat.compare.text import plural, printable

DAMAGED = 3


def cache(
    run: options.Run,
    check: Annotated[
        bool, typer.Option("--check", help="Read every byte; exit code 3 if one is damaged.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove them; of a run whose trials have all ended.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show, check and prune the states that trials go on from.

    Trials that begin alike are trained once until they part (docs/sharing.md). A state
    that is not there costs time alone: its epochs are trained again.
    """
    from rayat.cli.results import writer
    from rayat.errors import LockedError
    from rayat.ledger.reader import read_run
    from rayat.ledger.status import Status
    from rayat.sharing.cache import look
    from rayat.sharing.store import Store

    found = read_run(run)
    if prune and writer(run) is not None:
        raise LockedError(f"{run} is being written; prune it when its driver has ended")
    waits = [t for t in found.trials["status"] if not Status(t).is_final]
    states = look(Store(run.absolute()), check, prune and not waits)
    total, removed = (sum(s.bytes for s in states if each or s.removed) for each in (True, False))
    if json:
        facts = {"run": str(run), "states": [vars(s) for s in states], "removed_bytes": removed}
        typer.echo(as_json(facts))
    else:
        rows = [
            (s.key[:12], s.epoch, printable(s.trial or "?"), size(s.bytes), printable(s.damage))
            for s in states
        ]
        if rows:
            typer.echo(columns(rows, ("state", "epoch", "trained by", "size", "damage")))
        typer.echo(f"{plural(len(states), 'state')}, {size(total)}")
        if prune:
            why = f": {plural(len(waits), 'trial')} without an end may start from them"
            typer.echo(f"{size(removed)} removed{why if waits else ''}")
    if any(s.damage for s in states):
        raise typer.Exit(DAMAGED)
