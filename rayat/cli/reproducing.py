"""`rayat reproduce`: a paper's claims beside what is measured here, with one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayat.cli import options, planning
from rayat.cli.concluding import conclude
from rayat.cli.running import carefully, display, ended
from rayat.cli.studies import short
from rayat.cli.text import as_json
from rayat.compare.text import printable


def reproduce(
    paper: Annotated[
        str,
        typer.Argument(metavar="PAPER", help="accelat, dat, dynamic, pruning, sdi; or combined."),
    ],
    smoke: Annotated[
        bool, typer.Option("--smoke", help="On digits, in a minute: does the command work?")
    ] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="On Fashion-MNIST, for two cores.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="The paper's own setting on CIFAR, on GPUs.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            show_default=False,
            help="Other data: cifar100, folder:PATH, imagefolder:PATH.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it will cost; --gpus describes a machine.")
    ] = False,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    concurrency: options.Concurrency = None,
    fail_fast: options.FailFast = False,
    time_budget: options.TimeBudget = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            show_default=False,
            help="The run's folder; default: runs/reproduce/<paper>-<tier>.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Train a paper's study and judge its claims.

    Each claim stands beside the published figure, a recipe as published and an honest one, with
    interval, cost and a verdict; a claim whose control was not run has none (docs/reproduce.md).
    The same command goes on with a run that was cut short. Without a tier it is --smoke.
    """
    how = options.how(locals())
    from rayat.api import reproducing
    from rayat.api.how import command_line
    from rayat.claims.table import FILES
    from rayat.errors import ConfigError

    given: dict[reproducing.Tier, bool] = {"smoke": smoke, "cpu": cpu, "full": full}
    asked = [name for name, wanted in given.items() if wanted]
    if len(asked) > 1:
        raise ConfigError(f"--{' and --'.join(asked)} are tiers of one study; give one of them")
    tier = asked[0] if asked else "smoke"
    if dry_run:
        ray = {key: how[key] for key in ("address", "cpus", "gpus", "allow_open_cluster")}
        facts = reproducing.plan_reproduction(
            paper,
            tier,
            data=data,
            out=out,
            concurrency=concurrency,
            tell=lambda line: typer.echo(printable(line), err=True),
            **ray,
        )
        typer.echo(as_json(facts) if json else planning.planned_text(facts, out))
        return
    folder = reproducing.out_folder(reproducing.paper_of(paper), tier, out)
    watching = display(address is None)
    with carefully(folder.absolute()):
        done = reproducing.reproduce(
            paper, tier, data=data, out=folder, observer=watching, command=command_line(), **how
        )
    table = done.table
    if table is not None:
        typer.echo(table.render(), err=json)
        written = ", ".join(short(done.run.folder / name) for name in FILES)
        typer.echo(f"written: {printable(written)}", err=True)
    conclude(ended(done.run), json, {"claims": None if table is None else table.to_json()})
