"""`rayat best` and `what-if`: what a run has found, and what it would have found with less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rayat.cli import options
from rayat.cli.studies import short
from rayat.cli.text import as_json, columns
from rayat.compare.text import count, fraction, percent, printable, wrapped

if TYPE_CHECKING:
    from rayat.compare.front import Front


def best(
    run: options.Run,
    top: Annotated[
        int, typer.Option("--top", metavar="K", min=1, help="Configurations to show.")
    ] = 1,
    baseline: options.Baseline = None,
    target: options.Target = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            show_default=False,
            help="Write the configuration there, for `rayat train --config`.",
        ),
    ] = None,
    front: Annotated[
        bool,
        typer.Option("--front", help="Show the front of cost against robustness instead."),
    ] = False,
    axes: Annotated[
        bool, typer.Option("--axes", help="Show the figures of each searched axis instead.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show the best configuration of a run.

    Ranked as `rayat confirm` ranks: those that reached the target in every seed come first, by
    their passes to it. Says what it reached and how sure that is.
    """
    from rayat.compare.best import best as best_of
    from rayat.compare.best import cells, header, settings
    from rayat.ledger.reader import read_run

    tables = read_run(run)
    found = best_of(tables, top, baseline, target)
    if out is not None:
        found.write(out)
    if front or axes:
        from rayat.compare.front import front as front_of

        every = front_of(tables, baseline, target)
        typer.echo(as_json(every.to_json()) if json else _search(every, front, axes))
        return
    if json:
        typer.echo(as_json(found.to_json()))
        return
    goal = f"target: {found.metric} ≥ {fraction(found.target)} ({found.target_origin})"
    lines = [
        wrapped(found.answer),
        wrapped(found.sure),
        "",
        wrapped(f"{printable(goal)}; baseline: {printable(found.baseline)}"),
        *(wrapped(note, "! ") for note in found.notes),
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


def _search(found: Front, front: bool, axes: bool) -> str:
    """Return a search as text: its front, its axes, or both."""
    from rayat.compare.fronttable import AXES_HEADER, AXES_NOTE, HEADER, axes_cells, cells

    goal = f"target: {found.metric} ≥ {fraction(found.target)} ({found.target_origin})"
    lines = [wrapped(found.warning), wrapped(f"{printable(goal)}; baseline: {found.baseline}")]
    if front:
        base = [point for point in found.points if point.is_baseline]
        for text, points in (
            ("Best value for the passes until it, the cheapest first:", found.front),
            ("Best value for the passes to the target:", found.target_front),
        ):
            more = [point for point in base if point not in points]
            lines += ["", text, columns(cells([*points, *more]), HEADER)]
    if axes:
        lines += ["", wrapped(AXES_NOTE), "", columns(axes_cells(found.axes), AXES_HEADER)]
    return "\n".join(lines)


def what_if(
    run: options.Run,
    budget: Annotated[
        str,
        typer.Option("--budget", metavar="B", help="A share of its passes (0.5), or '20 Mpasses'."),
    ] = "0.5",
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="A,B",
            show_default=False,
            help="Policies to replay; default: the shipped ones.",
        ),
    ] = None,
    ends: Annotated[
        Literal["at-end", "at-target"] | None,
        typer.Option(
            "--ends",
            show_default=False,
            help="What trials are for, as in a study; default: what the run's study says.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Ask what a run would have found with less.

    The recorded reports are cut after the budget, in the order in which they came; and each
    stopping policy is replayed on them, with the passes that it would have needed.
    """
    from rayat.ledger.reader import read_run
    from rayat.replay.whatif import SHIPPED
    from rayat.replay.whatif import what_if as ask

    names = SHIPPED if policy is None else [n.strip() for n in policy.split(",") if n.strip()]
    found = ask(read_run(run), budget, names, ends)
    if json:
        typer.echo(as_json(found.to_json()))
        return
    goal = f"target: {found.metric} ≥ {fraction(found.target)} ({found.target_origin})"
    rows = [
        (
            row.how,
            count(row.passes),
            percent(row.share),
            f"{row.begun}, {row.whole}",
            "-" if row.arm is None else "as the whole record" if row.same else printable(row.arm),
            fraction(row.value),
            count(row.cost),
            "-" if row.verdicts is None else f"{row.verdicts} of {found.verdicts}",
        )
        for row in found.rows
    ]
    whole = (found.passes, "100 %", f"{found.trials}, {found.trials}")
    best = (printable(found.arm), fraction(found.value), count(found.cost), "")
    rows.append(("the whole record", count(whole[0]), *whole[1:], *best))
    header = (
        "",
        "passes",
        "share",
        "begun, whole",
        "best configuration",
        "value",
        "its cost",
        "verdicts kept",
    )
    lines = [
        wrapped(found.answer()),
        "",
        wrapped(f"{printable(goal)}; value and cost: of that configuration in the whole record"),
        "",
        columns(rows, header),
        "",
        *(wrapped(line, "! ") for line in found.unknown),
    ]
    typer.echo("\n".join(lines))
