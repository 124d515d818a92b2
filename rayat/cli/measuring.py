"""`rayat bench` and `rayat profile`: how fast it is here, and where the time goes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayat.cli import options
from rayat.cli.studies import load, short
from rayat.cli.text import as_json, columns, duration
from rayat.compare.text import printable
from rayat.errors import ConfigError

if TYPE_CHECKING:
    from rayat.bench.profile import Profile
    from rayat.bench.rows import BenchRow

BAR_MISSED = 4
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", metavar="N", min=2, help="Epochs of the trial; default: at most 3."),
]


def bench(
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ROWS", help="Rows such as B1 O2; default: all that need no option."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: only checks that it runs.")
    ] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="Only the rows of the GPU.")] = False,
    slowdowns: Annotated[
        bool, typer.Option("--slowdowns", help="Also torch.compile on the CPU; takes minutes.")
    ] = False,
    long: Annotated[bool, typer.Option("--long", help="Also the run of 200 trials.")] = False,
    links: Annotated[
        bool, typer.Option("--links", help="Also gradient exchange over slowed links; needs root.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 4 if a row misses its limit.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the rows to this Parquet file."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Benchmark the training engine against plain loops.

    Each row is a ratio measured on this machine, with the limit that it should keep: medians and
    extremes of interleaved repetitions, CPU time of one thread. The machine should do nothing else;
    takes about 15 minutes.
    """
    if strict and quick:
        raise ConfigError("--strict judges, and --quick is too small to judge: leave one out")
    from rayat.bench import machine, suite, timing
    from rayat.bench.ray_suite import ORCHESTRATION
    from rayat.bench.rows import write

    known = {**suite.ENGINE, **ORCHESTRATION}
    given = {"--slowdowns": slowdowns, "--long": long, "--links": links}
    names = ["G", *(rows or [])] if gpu else rows or []
    chosen = suite.choose(known, names, [option for option, wanted in given.items() if wanted])
    about = machine.about_machine()
    about["command"] = ["rayat", *sys.argv[1:]]
    settings = timing.QUICK if quick else timing.Settings()
    done: list[BenchRow] = []
    for name, found in suite.rows(chosen, settings):
        done += found
        typer.echo(f"{name}: {chosen[name].claim}", err=True)
    about["load_average_after"] = machine.loads()
    if out is not None:
        write(out.absolute(), done, about)
    if json:
        typer.echo(as_json({"machine": about, "rows": [row.to_json() for row in done]}))
    else:
        typer.echo(_bench_text(done, about, quick))
        if out is not None:
            typer.echo(f"\nwritten to {printable(short(out.absolute()))}")
    if strict and any(row.passed is False for row in done):
        raise typer.Exit(BAR_MISSED)


def profile(
    study: options.Study,
    epochs: Epochs = None,
    ops: Annotated[
        int, typer.Option("--ops", metavar="N", min=0, help="Torch operators to list.")
    ] = 10,
    through_ray: Annotated[
        bool, typer.Option("--through-ray", help="Also what Ray adds to trials and epochs.")
    ] = False,
    changes: options.Set = None,
    json: options.Json = False,
) -> None:
    """Show where the time of a study's first trial goes.

    Trains the trial here for a few epochs and prints shares of the wall time and torch's most
    expensive operators.
    """
    chosen = load(study, changes)
    trial = chosen.trials()[0]
    count = epochs or max(2, min(trial.config.epochs, 3))
    from rayat.bench.driver_cost import driver_of, send
    from rayat.bench.profile import profile_trial
    from rayat.bench.trials import study_of

    with driver_of(study_of(trial.config.replace({"epochs": count}), 1)) as driver:
        (trial_id,) = driver.trials
        found = profile_trial(
            trial.config, count, ops, lambda row: send(driver, trial_id, dict(row))
        )
    facts: dict[str, Any] = {
        "study": chosen.name,
        "arm": trial.arm,
        "epochs": found.epochs,
        "wall_seconds": found.wall,
        "seconds": found.parts,
        "shares": found.shares,
        "operators": [
            {"name": name, "share": share, "calls_per_step": calls}
            for name, share, calls in found.operators
        ],
    }
    if through_ray:
        from rayat.bench.ray_overhead import overhead

        facts["ray_seconds"] = vars(overhead(trial.config, count))
    typer.echo(as_json(facts) if json else _profile_text(facts, found))


def _bench_text(rows: Sequence[BenchRow], about: dict[str, Any], quick: bool) -> str:
    hardware = about["hardware"]
    said = [
        ("processor", f"{hardware['processor']}, {hardware['cores']} cores usable"),
        ("features", ", ".join(hardware["features"]) or "-"),
        ("bars", "with bf16 units" if about["fast_bf16"] else "without bf16 units: fp32"),
        ("torch", f"{about['packages']['torch']}, one thread"),
        ("load", ", ".join(f"{x:.2f}" for x in about["load_average"]) + " before"),
        ("", ", ".join(f"{x:.2f}" for x in about["load_average_after"]) + " after"),
    ]
    table = columns([_line(row) for row in rows], ("row", "value", "extremes", "bar", "", "what"))
    missed = [row.name for row in rows if row.passed is False]
    reached = sum(row.passed is True for row in rows)
    verdict = f"{reached} of {reached + len(missed)} bars reached"
    if missed:
        verdict += f"; missed: {', '.join(missed)}"
    if quick:
        verdict = "quick: sizes are too small for any claim"
    notes = [f"{row.name}: {row.reason}" for row in rows if row.reason]
    return "\n".join([columns(said), "", table, "", *map(printable, notes), verdict])


def _line(row: BenchRow) -> tuple[str, ...]:
    bar = f"{row.bar.side} {row.bar.limit:g}" if row.bar else "-"
    if row.value is None:
        return row.name, "-", "-", bar, row.state, row.what
    extremes = f"{_number(row.low)}..{_number(row.high)}"
    unit = "" if row.unit == "share" else f" {row.unit}"
    return row.name, f"{_number(row.value)}{unit}", extremes, bar, row.state, row.what


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _profile_text(facts: dict[str, Any], found: Profile) -> str:
    shares = sorted(found.shares.items(), key=lambda item: -item[1])
    table = [(name, f"{share:.1%}", duration(found.parts[name])) for name, share in shares]
    lines = [
        f"{facts['study']}, {facts['arm']}: {found.epochs} epochs in {duration(found.wall)}",
        "",
        columns(table),
    ]
    if found.operators:
        operators = [(f"{share:.1%}", f"{n:.0f}", name) for name, share, n in found.operators]
        lines += ["", columns(operators, ("CPU time", "calls a step", "torch operator"))]
    if "ray_seconds" in facts:
        ray = facts["ray_seconds"]
        lines += ["", columns((f"Ray, {k}", f"{v:.3f} s") for k, v in ray.items())]
    return "\n".join(printable(part) for line in lines for part in line.splitlines() or [""])
