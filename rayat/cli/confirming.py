"""`rayat confirm`: is the winner of a search better, or was it lucky?"""

from __future__ import annotations

from typing import Annotated

import typer

from rayat.cli import options
from rayat.cli.concluding import TRIALS_LOST, conclude, verdict
from rayat.cli.running import carefully, display, ended
from rayat.cli.studies import short
from rayat.compare.text import printable


def confirm(
    run: options.Run,
    top: Annotated[
        int, typer.Option("--top", metavar="K", min=1, help="Configurations to confirm.")
    ] = 3,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", min=1, help="Fresh seeds, that the search never saw."),
    ] = 5,
    baseline: options.Baseline = None,
    target: options.Target = None,
    attack: Annotated[
        str, typer.Option("--attack", metavar="SUITE", help="Suite of the final table, or none.")
    ] = "autoattack",
    n: Annotated[
        int, typer.Option("--n", metavar="N", min=1, help="Test images of the final table.")
    ] = 1000,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    concurrency: options.Concurrency = None,
    out: options.Out = None,
    report: options.Report = False,
    json: options.Json = False,
) -> None:
    """Train the best of a run again, on fresh seeds.

    The best of many configurations is partly the one that chance favoured. So the best K and the
    baseline are trained on seeds that the search never used, without early stopping. Printed are
    what the search found, what fresh seeds say, and what is left of the speed-up; the recommended
    configuration is written for `rayat train --config`. With the same --out it goes on.
    """
    how = options.how(locals())
    from rayat.api.confirming import confirm as again
    from rayat.api.how import command_line
    from rayat.api.studies import run_folder
    from rayat.ledger.info import read_info

    folder = run_folder(f"confirm-{read_info(run)['study']['name']}"[:64], out, None)
    failed: list[str] = []
    watching = display(address is None)
    with carefully(folder):
        done = again(
            run.absolute(),
            folder,
            top=top,
            seeds=seeds,
            baseline=baseline,
            target=target,
            attack=None if attack == "none" else attack,
            images=n,
            observer=watching,
            command=command_line(),
            tell=lambda line: typer.echo(printable(line), err=True),
            fail=failed.append,
            **how,
        )
    if not ended(done).interrupted:
        if report:
            verdict(folder, json)
        else:
            typer.echo(done.compare().render(), err=json)
        file = folder / "train-with.json"
        if file.exists():
            typer.echo(f"train with it: rayat train --config {printable(short(file))}", err=json)
    for line in failed:
        typer.echo(printable(line), err=True)
    conclude(ended(done), json)
    if failed:
        raise typer.Exit(TRIALS_LOST)
