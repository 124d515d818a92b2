"""`rayat plan`: what a study will cost and whether it can run, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rayat.cli import options, scaling
from rayat.cli.studies import load, numbers
from rayat.cli.text import as_json, columns, duration, size
from rayat.compare.text import count, printable
from rayat.policies.question import AT_TARGET

NOT_ROBUST = "the cost to the target alone: no final test, no word on final robustness"


def plan(
    study: options.Study,
    address: options.Address = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    allow_open_cluster: options.AllowOpen = False,
    concurrency: options.Concurrency = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N,N",
            help="Predict the study's first configuration on so many workers: 1,2,4.",
        ),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            "--link",
            metavar="RATE",
            help="Assume each worker on its own host with this link: 1Gbit/s, or 100Mbit/s,50us.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            show_default=False,
            help="The folder it would run in: of a run there, plan what it lacks.",
        ),
    ] = None,
    changes: options.Set = None,
    policy: options.Policy = None,
    seeds: options.Seeds = None,
    order_seed: options.OrderSeed = None,
    arm: options.Arms = None,
    until_decided: options.UntilDecided = False,
    max_seeds: options.MaxSeeds = None,
    json: options.Json = False,
) -> None:
    """Estimate a study's cost; refuse it if it cannot run.

    Passes are counted and seconds are measured with a few real steps of every
    distinct configuration, alone on this machine and without early stopping. Warns of
    validation above a quarter of a trial's passes, and of threads that slow a sweep. For
    several workers it predicts what the exchange of gradients adds (docs/scaling.md).
    """
    from rayat.api.verbs import plan as planned

    found = planned(
        load(study, changes),
        policy=policy,
        seeds=numbers(seeds),
        order_seed=order_seed,
        arms=arm,
        until_decided=until_decided,
        max_seeds=max_seeds,
        concurrency=concurrency,
        workers=scaling.counts(workers),
        link=link,
        out=out,
        tell=lambda line: typer.echo(printable(line), err=True),
        address=address,
        cpus=cpus,
        gpus=gpus,
        allow_open_cluster=allow_open_cluster,
    )
    typer.echo(as_json(found) if json else planned_text(found, out))


def planned_text(found: Mapping[str, Any], out: Path | None) -> str:
    """Return a plan for a person. `out` is the folder that it is of."""
    if found["trials"]:
        return _table(found)
    return f"nothing to train: {printable(str(out))} holds all {found['held']} trials"


def _mapped(labels: Sequence[str]) -> str:
    """Return such as `labels 0 cat, 1 dog`; of many the first and the last."""
    if list(labels) == [str(place) for place in range(len(labels))]:
        return f"labels 0 to {len(labels) - 1}, as in the files"
    places = [f"{place} {printable(label)}" for place, label in enumerate(labels)]
    return "labels " + ", ".join(places if len(places) <= 12 else [*places[:5], "...", places[-1]])


def _stops(facts: Mapping[str, Any]) -> str:
    """Return what a plan's policy will do, which its figures leave out."""
    if facts["policy"] != "verdict":
        return f"{facts['policy']} will stop some earlier"
    ends = f"each trial at the target of {facts['target']:g}, and "
    return f"verdict ends {ends if facts['ends'] == AT_TARGET else ''}what no verdict depends on"


def _table(facts: Mapping[str, Any]) -> str:
    groups = [
        (
            entry["example"],
            entry["trials"],
            entry["epochs"],
            duration(entry["seconds_per_epoch"]),
            count(entry["forward_passes_per_epoch"]),
            count(entry["backward_passes_per_epoch"]),
            count(entry["validation_passes"]),
            f"{entry['validation_share']:.0%}",
        )
        for entry in facts["configurations"]
    ]
    header = (
        "measured on",
        "trials",
        "epochs",
        "per epoch",
        "forward",
        "backward",
        "validation",
        "share",
    )
    cluster = facts["cluster"]
    stopped = f"; {_stops(facts)}" if facts["policy"] != "none" else ""
    seeds = ", ".join(map(str, facts["seeds"]))
    about = "about " if (facts["search"] or {}).get("budget") else ""
    free, needed = facts["memory_free_bytes"], facts["memory_bytes"]
    tight = free is not None and needed is not None and needed > free
    advice = f"; only {size(free)} free: lower --concurrency" if tight else ""
    totals = [
        ("study", facts["study"]),
        *(("data", f"{data['name']}: {_mapped(data['labels'])}") for data in facts["data"]),
        ("trials", f"{about}{facts['trials']}: {facts['arms']} arms, seeds {seeds}"),
        *_held(facts.get("held")),
        *_until(facts.get("until_decided")),
        *_searched(facts["search"]),
        ("epochs", f"{facts['epochs']}{'' if about else ' at most'}{stopped}"),
        *((("shared", facts["shared"]),) if facts["shared"] else ()),
        ("passes", f"{count(facts['passes'])} forward and backward, validation included"),
        *((("asked", NOT_ROBUST),) if facts["ends"] == AT_TARGET else ()),
        (
            "cluster",
            f"{cluster['cpus']:g} CPUs, {cluster['gpus']:g} GPUs, {cluster['nodes']} nodes; "
            f"{facts['concurrency']} trials at once",
        ),
        *_measured(facts, advice),
        *(("warning", text) for text in facts["warnings"]),
        *(("note", text) for text in facts["notes"]),
        ("feasible", "yes"),
    ]
    parts = [columns(groups, header), columns(totals)]
    if facts["scaling"]:
        parts.insert(1, scaling.table(facts["scaling"], facts["link"]))
    return "\n\n".join(parts)


def _measured(facts: Mapping[str, Any], advice: str) -> list[tuple[str, str]]:
    """Return time and memory; nothing of a machine that was described and not measured."""
    if facts["wall_seconds"] is None:
        return []
    memory = (
        f"about {size(facts['memory_bytes'])} ({size(facts['memory_bytes_per_process'])} a process)"
    )
    return [
        ("time", f"about {duration(facts['wall_seconds'])} ({spoken(facts)})"),
        ("memory", f"{memory}{advice}"),
    ]


def _held(trials: int | None) -> list[tuple[str, str]]:
    """Return what a plan says of a run that is extended."""
    text = f"{trials} more are in the run already; all here is of those to train"
    return [] if trials is None else [("held", text)]


def _until(design: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a plan says of a run whose seeds follow from its verdicts."""
    if design is None:
        return []
    text = f"all here is the most: no arm that is decided after {design['first']} seeds or more"
    return [("decided", f"{text} gets another, {design['most']} at most")]


def _searched(search: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a plan says of a search, a line each: a label and a text."""
    if search is None:
        return []
    seeks = {
        "accuracy": "the best value",
        "cost": "the least cost to the target",
        "front": "the front between value and cost",
    }[search["objective"]]
    lines = [("search", f"{search['searcher']} over {len(search['axes'])} axes, for {seeks}")]
    if search["budget"]:
        lines.append(
            (
                "budget",
                f"{search['budget']}, without the controls; trials are a guess from a sample",
            )
        )
    lines += [
        ("excluded", f"about {share:.0%} of the space: {printable(why)}")
        for why, share in search["excluded"].items()
    ]
    return lines


def spoken(facts: Mapping[str, Any]) -> str:
    """Return the parts of a plan's time, longest first, without those of no length."""
    parts = {
        "of training and validation over all trials": facts["trial_seconds"],
        "of final evaluation at most over all trials": facts["final_seconds"],
        "of Ray": facts["ray_seconds"],
    }
    return ", ".join(f"{duration(seconds)} {what}" for what, seconds in parts.items() if seconds)
