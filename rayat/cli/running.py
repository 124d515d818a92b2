"""`rayat run`, `resume`, `train`, `refit`: start it, show it, say where it is and what is next."""

from __future__ import annotations

import contextlib
import json as jsonlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayat.cli import options
from rayat.cli.concluding import INTERRUPTED, conclude, verdict
from rayat.cli.studies import load, numbers, parse_changes, short
from rayat.compare.text import printable

if TYPE_CHECKING:
    from rayat.api.run import Run
    from rayat.runs.driver import Observer
    from rayat.runs.record import Summary


def run(
    study: options.Study,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    concurrency: options.Concurrency = None,
    fresh_processes: options.Fresh = False,
    launcher: options.Launcher = "ranks",
    placement: options.Placement = "pack",
    collective_timeout: options.CollectiveTimeout = 120,
    trial_timeout: options.TrialTimeout = None,
    fail_fast: options.FailFast = False,
    time_budget: options.TimeBudget = None,
    follow: options.Follow = None,
    out: options.Out = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Name of the run's folder instead of the time."
        ),
    ] = None,
    changes: options.Set = None,
    policy: options.Policy = None,
    seeds: options.Seeds = None,
    order_seed: options.OrderSeed = None,
    arm: options.Arms = None,
    until_decided: options.UntilDecided = False,
    max_seeds: options.MaxSeeds = None,
    no_share: options.NoShare = False,
    report: options.Report = False,
    json: options.Json = False,
) -> None:
    """Run a study on this machine or a Ray cluster.

    Every epoch of every trial is on disk before it counts: a run that is interrupted or killed goes
    on with `rayat resume`. A run in --out of the same study gets the seeds, draws and arms that it
    lacks, and trains those alone. --until-decided gives arms whose verdict is open more seeds.
    """
    how = options.how(locals())
    chosen = load(study, changes)
    from rayat.api.how import command_line
    from rayat.api.studies import replanned, run_folder
    from rayat.api.verbs import run as start

    chosen = replanned(chosen, policy, numbers(seeds), order_seed, arm, not no_share)
    folder = run_folder(chosen.name, out, name)
    watching = display(address is None, follow)
    with carefully(folder):
        done = start(
            chosen,
            folder,
            until_decided=until_decided,
            max_seeds=max_seeds,
            observer=watching,
            command=command_line(),
            **how,
        )
    summary = ended(done)
    if report and not summary.interrupted:
        verdict(folder, json)
    conclude(summary, json)


def resume(
    run: options.Run,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    concurrency: options.Concurrency = None,
    fresh_processes: options.Fresh = False,
    launcher: options.Launcher = "ranks",
    placement: options.Placement = "pack",
    collective_timeout: options.CollectiveTimeout = 120,
    trial_timeout: options.TrialTimeout = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(
            "--retry",
            metavar="TRIAL",
            show_default=False,
            help="Run this failed or lost trial again; `failed`: all of them; repeatable.",
        ),
    ] = None,
    fail_fast: options.FailFast = False,
    time_budget: options.TimeBudget = None,
    follow: options.Follow = None,
    json: options.Json = False,
) -> None:
    """Continue a run that was interrupted or killed.

    The study's file is not needed. Trials that have ended stay as they are, but
    for those that --retry names.
    """
    how = options.how(locals())
    from rayat.api.verbs import resume as go_on
    from rayat.ledger.info import read_info

    folder = run.absolute()
    read_info(folder)  # what is no run is refused before anything else is said
    watching = display(address is None, follow)
    with carefully(folder):
        done = go_on(folder, retry=retry or (), observer=watching, **how)
    conclude(ended(done), json)


def train(
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            show_default=False,
            help="A configuration as JSON, such as a confirmation's train-with.json.",
        ),
    ] = None,
    changes: options.Set = None,
    workers: options.Workers = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Train one configuration, without a search around it.

    What is neither in --config nor set has its default. The result is a run like any
    other: status, compare, report and resume work on it.
    """
    from rayat.api.studies import run_folder
    from rayat.config import TrialConfig

    wanted = _with_workers(parse_changes(changes), workers)
    config = TrialConfig.parse(_read(config_file) if config_file else {}).replace(wanted)
    folder = run_folder("train", out, None)
    from rayat.api import single
    from rayat.api.how import Ray, command_line, where

    place = where(Ray(address=address, cpus=cpus, gpus=gpus, allow_open_cluster=allow_open_cluster))

    with carefully(folder):
        summary = single.train(config, folder, place, display(address is None), command_line())
    conclude(summary, json)


def refit(
    run: options.Run,
    changes: options.Set = None,
    workers: options.Workers = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Train a run's best configuration again.

    With --set and --workers it may get more epochs or workers, say. The result is a run of its own.
    """
    from rayat.api.studies import run_folder
    from rayat.ledger.info import read_info

    name = read_info(run)["study"]["name"]
    folder = run_folder(f"refit-{name}", out, None)
    wanted = _with_workers(parse_changes(changes), workers)
    from rayat.api import single
    from rayat.api.how import Ray, command_line, where

    place = where(Ray(address=address, cpus=cpus, gpus=gpus, allow_open_cluster=allow_open_cluster))

    with carefully(folder):
        summary = single.refit(
            run.absolute(), folder, wanted, place, display(address is None), command_line()
        )
    conclude(summary, json)


def ended(run: Run) -> Summary:
    """Return how a run ended that this process has driven."""
    assert run.summary is not None
    return run.summary


def display(local: bool, follow: list[str] | None = None) -> Observer:
    """Return the display, with the followers that were asked for; it says what is ignored here.

    Raises:
        ConfigError: no such follower, or its package is not installed.
    """
    from rayat.cli.live import observer
    from rayat.host.rays import surroundings
    from rayat.registry import FOLLOWERS
    from rayat.runs.following import Following

    followers = [FOLLOWERS.build(name) for name in dict.fromkeys(follow or ())]
    for follower in followers:
        follower.library()
    watching = observer()
    note = surroundings() if local else ""
    if note:
        watching.phase(f"note: {note}")
    return Following(watching, followers) if followers else watching


def _read(path: Path) -> dict[str, Any]:
    """Return a configuration file's tree. Raises `ConfigError` where it holds none."""
    from rayat.errors import ConfigError, quoted

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, _ in pairs:
            if [name for name, _ in pairs].count(key) > 1:
                raise ConfigError(f"--config {path}: gives {key!r} twice; give it once")
        return dict(pairs)

    try:
        # Editors of Windows put a byte order mark first, which is no part of the text.
        tree = jsonlib.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"no JSON: {error}"
        raise ConfigError(f"--config {path}: {reason}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"--config {path}: holds no object of configuration keys")
    if "study" in tree and "schema_version" in tree:
        run = printable(quoted(path.parent))
        raise ConfigError(
            f"--config {path}: is the record of a run and no configuration; its best one is "
            f"written by `rayat best {run} --out best.json`"
        )
    return tree


def _with_workers(changes: dict[str, Any], workers: int | None) -> dict[str, Any]:
    return changes if workers is None else {**changes, "workers": workers}


@contextlib.contextmanager
def carefully(folder: Path) -> Iterator[None]:
    """Silence Ray, and say how to go on where Ctrl-C came before the driver listened for it.

    Within it, standard output and the loggers of this process are Ray's alone: the display writes
    to standard error, and why a trial was lost stands in the ledger.
    """
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            logging.disable(logging.CRITICAL)
            yield
    except KeyboardInterrupt:
        if (folder / "run.json").exists():
            typer.echo(
                f"interrupted; go on with: rayat resume {printable(short(folder))}", err=True
            )
        else:
            typer.echo("interrupted before anything was written", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        logging.disable(logging.NOTSET)
