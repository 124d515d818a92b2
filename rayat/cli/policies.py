"""`rayat replay` and `verify`: policies on recorded curves, decisions made again."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayat.cli import options
from rayat.cli.text import as_json, columns
from rayat.compare.text import printable

if TYPE_CHECKING:
    from rayat.replay.sweeps import Result

DIFFERENT = 4
POLICIES = "median,asha,patience,hyperband,accel:none,accel:median,accel:asha,accel:first-look"


def replay(
    curves: Annotated[
        Path,
        typer.Argument(
            metavar="CURVES",
            help="A run's folder, or a Parquet file with a row per trial and epoch.",
            show_default=False,
        ),
    ],
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="A,B",
            help="Names of policies, comma-separated.",
            show_default=False,
        ),
    ] = POLICIES,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="W", min=1, help="Simulated workers: trials at once."),
    ] = 8,
    sweeps: Annotated[
        int, typer.Option("--sweeps", metavar="K", min=1, help="Sweeps drawn from the curves.")
    ] = 30,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the draw.")] = 0,
    peers: Annotated[
        str | None,
        typer.Option(
            "--peers",
            metavar="WHO",
            show_default=False,
            help="Who is ranked: configurations (default), seeds (within each), all (trials).",
        ),
    ] = None,
    successive: Annotated[
        bool,
        typer.Option(
            "--successive-seeds", help="One seed after another, as a study with that order."
        ),
    ] = False,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="ROLE=COLUMN",
            show_default=False,
            help="Name a column that is not recognised, such as robust_acc=pgd.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            show_default=False,
            help="Draw accuracy over compute to this file.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            show_default=False,
            help="Write all decisions to this file, one JSON object per line.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Replay recorded trials under other stopping policies.

    Recorded trials run again on a simulated cluster: sweeps of them in random order, the same for
    every policy. Compute and makespan are shares of those of `none`.
    """
    from rayat.replay.curves import read_curves
    from rayat.replay.sweeps import replay as run_replay
    from rayat.search.ordering import SUCCESSIVE

    names = [name.strip() for name in policy.split(",") if name.strip()]
    recorded = read_curves(curves, roles(map_ or []))
    order = SUCCESSIVE if successive else "configurations"
    found = run_replay(recorded, names, workers, sweeps, seed, peers, order)
    if plot is not None:
        from rayat.compare.plots import save
        from rayat.replay.plot import draw_frontier

        save(draw_frontier(found), plot)
    if log is not None:
        from rayat.ledger.files import write_file

        write_file(log, "".join(_log_lines(found)).encode())
    rows = [result.row() for result in found]
    if json:
        facts = {"curves": str(curves), "workers": workers, "sweeps": sweeps, "seed": seed}
        typer.echo(as_json({**facts, "policies": rows}))
    else:
        typer.echo(_table(rows))


def roles(given: Iterable[str]) -> dict[str, str]:
    """Return `--map ROLE=COLUMN` texts as columns by role. Raises `ConfigError`."""
    from rayat.errors import ConfigError

    found: dict[str, str] = {}
    for text in given:
        role, equals, column = text.partition("=")
        if not (role and equals and column):
            raise ConfigError(f"--map takes ROLE=COLUMN, such as robust_acc=pgd, got {text!r}")
        if role in found:
            raise ConfigError(
                f"--map names {role} twice, as {found[role]} and as {column}: give it once"
            )
        found[role] = column
    return found


def _table(rows: list[dict[str, Any]]) -> str:
    def cell(row: dict[str, Any], key: str, digits: int = 3) -> str:
        interval = row[f"{key}_ci"]
        half = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.{digits}f}"
        return f"{row[key]:.{digits}f}{half}"

    header = ("policy", "compute", "makespan", "final", "vs none", "worse", "spearman", "split")
    return columns(
        (
            (
                row["policy"],
                cell(row, "compute"),
                cell(row, "makespan"),
                cell(row, "final", 4),
                cell(row, "final_gain", 4),
                cell(row, "worse_share", 2),
                cell(row, "spearman", 2),
                cell(row, "split", 2),
            )
            for row in rows
        ),
        header,
    )


def _log_lines(found: Iterable[Result]) -> Iterable[str]:
    for result in found:
        for sweep, outcome in enumerate(result.outcomes):
            for entry in outcome.log:
                line = {
                    "policy": result.policy,
                    "sweep": sweep,
                    "seconds": entry.time,
                    "trial_id": entry.trial_id,
                    "epoch": entry.epoch,
                    "action": entry.decision.action,
                    "rule": entry.decision.rule,
                    "sentence": entry.decision.sentence,
                    "evidence": dict(entry.decision.evidence),
                }
                yield jsonlib.dumps(line, ensure_ascii=False) + "\n"


def compare_policies(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Finished runs of one study.")],
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="POLICY", help="Policy to compare with.")
    ] = "none",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table for a Markdown document.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Compare stopping policies by real runs of one study.

    Runs of the same trials in the same order (rayat run --policy --seeds --order-seed) are a
    repetition; policies are paired within it. What a run delivers is the trial that validation
    chose, tested by rayat evaluate --chosen.
    """
    from rayat.compare.policies import compare_policies as compare
    from rayat.ledger.reader import read_run

    found = compare([read_run(run) for run in runs], baseline)
    if json:
        typer.echo(as_json(found.to_json()))
    elif markdown:
        typer.echo(found.markdown())
    else:
        text = [columns(found.cells(), found.header()), "", *found.lines()]
        typer.echo("\n".join(text))


def verify(run: options.Run, json: options.Json = False) -> None:
    """Recompute every decision of a run from its log.

    So are the looks of a run with --until-decided. Prints the first difference
    between what was recorded and what is found now.
    """
    from rayat.runs.looks import verify as verify_run

    done = verify_run(run)
    if json:
        typer.echo(as_json(vars(done)))
    elif done.difference is None:
        typer.echo(f"{done.decisions} decisions from {done.reports} reports: none differs")
    else:
        typer.echo(printable(f"differs: {done.difference}"))
    if done.note:
        typer.echo(printable(f"note: {done.note}"), err=True)
    if done.difference is not None:
        raise typer.Exit(DIFFERENT)
