"""`rayat evaluate`: how robust checkpoints are under attacks that a final table may quote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from rayat.cli import options
from rayat.cli.studies import short
from rayat.cli.text import as_json, columns, duration
from rayat.compare.text import fraction, printable
from rayat.errors import ConfigError
from rayat.evaluation.masking import said
from rayat.fractions import number, pixels

if TYPE_CHECKING:
    from rayat.data.base import Source
    from rayat.evaluation.request import Request

SUITES_FAILED = 4


def evaluate(
    what: Annotated[
        Path | None,
        typer.Argument(metavar="RUN|CHECKPOINT", help="A run, or RUN/checkpoints/TRIAL/best."),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            metavar="SUITE",
            help="Suite: autoattack (default), pgd-50x3, cw:50; repeatable.",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", metavar="N", min=1, help="Only the first N images.")
    ] = None,
    split: Annotated[
        Literal["test", "val"], typer.Option("--split", help="Images of which split.")
    ] = ("test"),
    eps: Annotated[
        list[str] | None,
        typer.Option(
            "--eps", metavar="E", help="Radius, such as 8/255; repeatable; default: the trial's."
        ),
    ] = None,
    norm: Annotated[
        Literal["linf", "l2"] | None,
        typer.Option("--norm", help="Norm of the ball; default: the trial's."),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="NAMES", help="Which checkpoints of each trial.")
    ] = "best,last",
    trials: Annotated[
        str | None,
        typer.Option("--trials", metavar="IDS", help="Only these trials, comma-separated."),
    ] = None,
    chosen: Annotated[
        bool, typer.Option("--chosen", help="Only the trial that was best on validation.")
    ] = False,
    flags: Annotated[
        bool, typer.Option("--flags", help="Add cheap suites that look for masked gradients.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again what the run holds already.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODULE:FACTORY", help="A network trained elsewhere."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights of the --model.")
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(
            "--weights-key", metavar="KEY", help="Key of the weights in the file, such as net."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME|FOLDER", help="Data for the --model.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="S", min=0, help="Seed of the random starts.")
    ] = 0,
    workers: Annotated[
        int, typer.Option("--workers", metavar="W", min=1, help="Trials of a RUN measured at once.")
    ] = 1,
    device: Annotated[str, typer.Option("--device", metavar="D", help="Torch device.")] = "cpu",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Also write the rows to this Parquet file."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure how robust checkpoints are.

    For a RUN the rows are added to its ledger, one per trial, checkpoint and suite; rows that it
    holds already are not measured again. For one CHECKPOINT, or a network trained elsewhere, they
    are only printed. After an interruption the same command continues after the last finished
    batch. If one suite fails, the others still run and the exit code is 4.
    """
    elsewhere = {"--model": model, "--data": data}
    if what is None and None in elsewhere.values():
        raise ConfigError("give a RUN or a CHECKPOINT, or --model, --data and --eps of a network")
    if what is not None and (weights is not None or any(elsewhere.values())):
        raise ConfigError(f"{what} has its network and data: leave out --model, --weights, --data")
    if chosen and trials is not None:
        raise ConfigError("--chosen is one trial, and --trials names others: give one of them")
    if weights_key is not None and weights is None:
        raise ConfigError("--weights-key names a part of a weights file: give --weights too")
    request = _request(attack, eps or (), checkpoint, device)
    from dataclasses import replace

    request = replace(request, size=n, norm=norm, split=split, flags=flags, again=again)
    from rayat.evaluation.network import evaluate_network
    from rayat.evaluation.run import evaluate_one, evaluate_run

    target = out.absolute() if out is not None else None
    failed: list[str] = []
    if model is not None and data is not None:
        sys.path.insert(0, "")  # a factory in the present folder, as `python -m` finds it
        folder = target.parent if target is not None else None
        rows = evaluate_network(
            model,
            weights,
            _source(data),
            request,
            seed,
            folder,
            _tell,
            failed.append,
            weights_key,
        )
    else:
        place = cast(Path, what)
        if (place / "run.json").exists() or not (place / "meta.json").exists():
            wanted = [_chosen(place)] if chosen else _names(trials)
            rows = evaluate_run(place.absolute(), request, wanted, _tell, workers, failed.append)
        else:
            rows = evaluate_one(place, request, _tell, failed.append)
    if target is not None:
        from rayat.evaluation.journal import forget
        from rayat.ledger.files import replace_file
        from rayat.ledger.publish import parquet
        from rayat.ledger.tables import eval_table

        replace_file(target, parquet(eval_table(rows)))
        if model is not None:
            forget(target.parent)
    typer.echo(as_json(rows) if json else _text(rows))
    for line in _warnings(rows):  # a script that reads the rows does not look for signs in them
        typer.echo(line, err=json)
    if target is not None and not json:
        typer.echo(f"\nwritten to {printable(short(target))}")
    for line in failed:
        typer.echo(printable(line), err=True)
    if failed:
        raise typer.Exit(SUITES_FAILED)


def _chosen(run: Path) -> str:
    """Return the trial that a sweep delivers. Raises `LedgerError` if none has a value."""
    from rayat.compare.select import best_trial
    from rayat.errors import LedgerError
    from rayat.ledger.reader import read_run

    trial_id, _ = best_trial(read_run(run))
    if trial_id is None:
        raise LedgerError(f"{run} has no sound trial with a value yet: let one report first")
    return trial_id


def _request(attacks: list[str] | None, radii: Sequence[str], names: str, device: str) -> Request:
    """Return the request that the texts mean.

    Raises:
        ConfigError: a text that means nothing, or a device that is not there.
    """
    from rayat.evaluation.request import CHECKPOINTS, Request
    from rayat.suites.base import suite
    from rayat.training.process import refuse_device

    refuse_device(device)
    chosen = tuple(name for name in CHECKPOINTS if name in _names(names))
    if len(chosen) != len(_names(names)):
        raise ConfigError(f"--checkpoint is best, last or best,last, got {names!r}")
    suites = tuple(suite(text) for text in attacks or ["autoattack"])
    eps = tuple(dict.fromkeys(_radius(text) for text in radii))
    return Request(suites, eps, checkpoints=chosen, device=device)


def _radius(text: str) -> float:
    eps = number(text)
    if not isinstance(eps, float):
        raise ConfigError(f"--eps is a number or a fraction such as 8/255, got {text!r}")
    if eps < 0:
        raise ConfigError(f"--eps must be at least 0, got {text}")
    if eps > 1:
        raise ConfigError(f"--eps must be at most 1, got {text}{pixels(eps)}")
    return eps


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _source(text: str) -> Source:
    """Return the source that `--data` means: a name, or a folder in a layout that rayat reads."""
    from rayat.registry import SOURCES

    folder = Path(text)
    if folder.is_dir():
        from rayat.data.sources.folder import holds

        kind = "folder" if holds(folder) else "imagefolder"
        return cast("Source", SOURCES.build({"name": kind, "path": text}))
    return cast("Source", SOURCES.build(text))


def _tell(line: str) -> None:
    typer.echo(printable(line), err=True)


def _text(rows: list[dict[str, Any]]) -> str:
    header = ("trial", "checkpoint", "suite", "split", "eps", "n", "clean", "robust", "time")
    lines = [
        (
            row["trial_id"],
            row["checkpoint"],
            row["suite"],
            row["split"],
            f"{row['eps']:g}",
            row["n"],
            fraction(row["clean_acc"]),
            fraction(row["robust_acc"]),
            duration(row["seconds"]),
        )
        for row in rows
    ]
    return columns(lines, header)


def _warnings(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each sign in the rows that an accuracy may be wrong."""
    found = {
        f"{row['trial_id']} {row['checkpoint']}, {row['suite']} at {row['eps']:g}: {sign}"
        for row in rows
        for sign in said(row)
    }
    return [f"warning: {printable(each)}" for each in sorted(found)]
