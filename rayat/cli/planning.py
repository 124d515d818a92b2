"""`rayat plan`: what a study will cost and whether it can run, before anything starts."""

from __future__ import annotations

import heapq
import json as jsonlib
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayat.cli import options, scaling
from rayat.cli.checks import ONE_THREAD
from rayat.cli.overheads import final_passes, final_seconds, ray_seconds, spoken
from rayat.cli.studies import load, replanned
from rayat.cli.text import as_json, columns, duration, size
from rayat.compare.text import count, printable
from rayat.errors import PlacementError
from rayat.machine import memory_bytes
from rayat.own_parts import refuse_own_parts

if TYPE_CHECKING:
    from rayat.config import TrialConfig
    from rayat.data.base import Prepared
    from rayat.orchestration.cluster import Capacity
    from rayat.search.plan import Trial
    from rayat.study import Study
    from rayat.training.estimate import Estimate


@dataclass(frozen=True)
class Group:
    """Trials whose epochs cost the same, and what one costs."""

    trials: tuple[Trial, ...]
    cost: Estimate
    images: int = 0
    final: tuple[int, int] = (0, 0)
    """Most forward and backward passes of a trial's final evaluation."""
    data: str = ""
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Of the data: its name, the original label of 0, 1, 2, ..., what to know of it."""


def plan(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study's file, or a shipped study's name.")
    ],
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
            help="Predict the study's first configuration on so many workers, such as 1,2,4.",
        ),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            "--link",
            metavar="RATE",
            help="Each worker on a host of its own with such a link: 1Gbit/s or 100Mbit/s,50us.",
        ),
    ] = None,
    changes: options.Set = None,
    policy: options.Policy = None,
    seeds: options.Seeds = None,
    order_seed: options.OrderSeed = None,
    arm: options.Arms = None,
    json: options.Json = False,
) -> None:
    """Say what a study will cost; refuse it if it cannot run.

    Passes are counted and seconds are measured with a few real steps of every
    distinct configuration, alone on this machine and without early stopping. Warns of
    validation above a quarter of a trial's passes, and of threads that slow a sweep. For
    several workers it predicts what the exchange of gradients adds (docs/scaling.md).
    """
    chosen = replanned(load(study, changes), policy, seeds, order_seed, arm)
    from rayat.orchestration.apart import surroundings
    from rayat.orchestration.cluster import cluster, local_capacity
    from rayat.orchestration.placement import Need, waits

    trials = chosen.foreseen()
    place = options.where(address, cpus, gpus, allow_open_cluster)
    if place.address is None:
        capacity = local_capacity(cpus, gpus)
    else:
        with cluster(place.address, allow_open=place.allow_open) as capacity:
            pass
    slots = _slots(trials, capacity, concurrency)
    refuse_own_parts([(f"study {chosen.name!r}", chosen)])
    refuse_own_parts((f"trial {t.trial_id} ({t.arm})", t.config) for t in trials)
    groups = measure(trials, place.address is None)
    facts = _facts(chosen, trials, groups, capacity, slots, place.address is None)
    note = surroundings() if place.address is None else ""
    late = [waits(need, capacity) for need in {Need.of(trial.config) for trial in trials}]
    facts["notes"] = [text for text in (note, *late) if text]
    facts["link"] = link or (scaling.CLUSTER_LINK if place.address is not None else None)
    facts["scaling"] = scaling.scaling(groups, workers, facts["link"])
    typer.echo(as_json(facts) if json else _table(facts))


def _slots(trials: Sequence[Trial], capacity: Capacity, at_once: int | None) -> dict[str, int]:
    """Return how many trials run at once, by trial id.

    Raises:
        PlacementError: a trial cannot be placed at all.
    """
    from rayat.orchestration.placement import Need, concurrency

    slots = {}
    for trial in trials:
        try:
            fitting = concurrency(Need.of(trial.config), capacity)
        except PlacementError as error:
            raise PlacementError(f"trial {trial.trial_id} ({trial.arm}): {error}") from None
        slots[trial.trial_id] = min(fitting, at_once or fitting)
    return slots


def measure(trials: Sequence[Trial], local: bool = True) -> list[Group]:
    """Return the trials grouped by cost, each group tried and then measured with real steps.

    Args:
        local: all workers of a trial share this machine.

    Raises:
        DataError, ConfigError: the data is missing, or a configuration's first step fails.
    """
    from rayat.data.prepare import prepare
    from rayat.orchestration.rehearsals import named
    from rayat.training.estimate import cost_key
    from rayat.training.rehearsal import rehearse

    by_cost: dict[str, list[Trial]] = {}
    for trial in trials:
        by_cost.setdefault(cost_key(trial.config), []).append(trial)
    prepared: dict[str, Any] = {}
    groups = []
    for number, group in enumerate(by_cost.values(), 1):
        config = group[0].config
        source = jsonlib.dumps(config.data.spec(), sort_keys=True)
        typer.echo(f"measuring {number}/{len(by_cost)}: {printable(group[0].arm)}", err=True)
        with named(group[0]):
            if source not in prepared:
                prepared[source] = prepare(config.data)
            rehearse(config, prepared[source], config.workers if local else 1)
            cost = measured_cost(config, prepared[source])
        data = prepared[source]
        final = final_passes(config, data)
        named_data = (data.name, data.classes, data.notes)
        groups.append(Group(tuple(group), cost, len(data.train), final, *named_data))
    return groups


def measured_cost(config: TrialConfig, prepared: Prepared) -> Estimate:
    """Return what a configuration costs, measured on the kind of device that it asks for."""
    import torch

    from rayat.training.estimate import estimate

    on_gpu = config.gpus_per_worker > 0 and torch.cuda.is_available()
    return estimate(config, prepared, device="cuda" if on_gpu else "cpu")


def wall_seconds(
    seconds: Mapping[str, float], needs: Mapping[str, object], slots: Mapping[str, int]
) -> float:
    """Return the time until every trial has ended, each slot taking the next trial when free.

    Args:
        seconds, needs, slots: by trial id, in the order of the study. Trials of equal needs run
            together, one such group after another, as `rayat run` does it.
    """
    total = 0.0
    for need in dict.fromkeys(needs.values()):
        members = [trial_id for trial_id in seconds if needs[trial_id] == need]
        free = [0.0] * min(slots[members[0]], len(members))
        for trial_id in members:
            heapq.heapreplace(free, free[0] + seconds[trial_id])
        total += max(free)
    return total


def shares(group: Group) -> dict[Trial, float]:
    """Return the share of its passes that validation takes, for the first trial of every arm."""
    firsts = {trial.arm: trial for trial in reversed(group.trials)}
    return {trial: group.cost.validation_share(trial.config) for trial in firsts.values()}


def costly_validation(groups: Sequence[Group]) -> list[str]:
    """Return a warning per group whose validation is above its budget, with what to change."""
    from rayat.training.estimate import VALIDATION_BUDGET

    found = []
    for group in groups:
        above = {t: share for t, share in shares(group).items() if share > VALIDATION_BUDGET}
        if not above:
            continue
        worst = max(above, key=lambda trial: above[trial])
        others = f" and {len(above) - 1} more arms" if len(above) > 1 else ""
        keys = group.cost.remedies(worst.config).items()
        advice = " or ".join(f"{key}={value}" for key, value in keys) or "train on more images"
        found.append(
            f"validation is {above[worst]:.0%} of the passes of {worst.arm}{others}, above "
            f"{VALIDATION_BUDGET:.0%}: set {advice}"
        )
    return found


def slow_threads(trials: Sequence[Trial], slots: Mapping[str, int]) -> list[str]:
    """Return a warning where trials take several cores each while others wait for a core."""
    waiting = [trial for trial in trials if slots[trial.trial_id] < len(trials)]
    wide = [t.config for t in waiting if t.config.gpus_per_worker == 0 and _wide(t.config)]
    if not wide:
        return []
    return [
        f"{len(wide)} trials with threads={wide[0].threads}, "
        f"cpus_per_worker={wide[0].cpus_per_worker:g}: {ONE_THREAD}; set both to 1"
    ]


def _wide(config: TrialConfig) -> bool:
    return config.threads > 1 or config.cpus_per_worker > 1


def _facts(
    study: Study,
    trials: Sequence[Trial],
    groups: Sequence[Group],
    capacity: Capacity,
    slots: Mapping[str, int],
    local: bool,
) -> dict[str, Any]:
    from rayat.orchestration.placement import Need
    from rayat.training.advice import advise

    cost = {trial.trial_id: group.cost for group in groups for trial in group.trials}
    seconds = {t.trial_id: cost[t.trial_id].trial_seconds(t.config) for t in trials}
    tested = study.final_eval
    final = {
        t.trial_id: final_seconds(g.cost, sum(g.final)) if tested else 0.0
        for g in groups
        for t in g.trials
    }
    whole = {trial_id: seconds[trial_id] + final[trial_id] for trial_id in seconds}
    epochs = sum(trial.config.epochs for trial in trials)
    together = max(min(slots[t.trial_id], len(trials)) for t in trials)
    ray = ray_seconds(len(trials), epochs, together, local)
    needs = {t.trial_id: Need.of(t.config) for t in trials}
    # The process that measured holds what a trial's process holds: Python, torch, data, network.
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    at_once = max(min(slots[t.trial_id], len(trials)) * t.config.workers for t in trials)
    return {
        "study": study.name,
        "data": [
            {"name": name, "labels": list(labels)}
            for name, labels in dict.fromkeys((group.data, group.labels) for group in groups)
        ],
        "trials": len(trials),
        "arms": len({trial.arm for trial in trials}),
        "seeds": list(study.seeds),
        "epochs": epochs,
        "policy": study.policy.kind,
        "configurations": [
            {
                "example": group.trials[0].arm,
                "trials": len(group.trials),
                "epochs": sum(trial.config.epochs for trial in group.trials),
                "seconds_per_epoch": group.cost.seconds_per_epoch,
                "forward_passes_per_epoch": group.cost.forward_passes,
                "backward_passes_per_epoch": group.cost.backward_passes,
                "validation_passes": group.cost.eval_forward_passes
                + group.cost.eval_backward_passes,
                "validation_share": max(shares(group).values()),
            }
            for group in groups
        ],
        "passes": sum(cost[t.trial_id].trial_passes(t.config) for t in trials),
        "final_passes": sum(sum(g.final) * len(g.trials) for g in groups) if tested else 0,
        "trial_seconds": sum(seconds.values()),
        "final_seconds": sum(final.values()),
        "ray_seconds": ray,
        "cluster": {"cpus": capacity.cpus, "gpus": capacity.gpus, "nodes": capacity.nodes},
        "concurrency": together,
        "wall_seconds": wall_seconds(whole, needs, slots) + ray,
        "memory_bytes_per_process": memory,
        "memory_bytes": memory * at_once,
        "memory_free_bytes": memory_bytes()[1] if capacity.nodes == 1 else None,
        "warnings": [
            *study.notes(),
            *dict.fromkeys(note for group in groups for note in group.notes),
            *advise((t.arm, t.config, group.images) for group in groups for t in group.trials),
            *costly_validation(groups),
            *slow_threads(trials, slots),
        ],
        "feasible": True,
    }


def _mapped(labels: Sequence[str]) -> str:
    """Return such as `labels 0 cat, 1 dog`; of many the first and the last."""
    if list(labels) == [str(place) for place in range(len(labels))]:
        return f"labels 0 to {len(labels) - 1}, as in the files"
    places = [f"{place} {printable(label)}" for place, label in enumerate(labels)]
    return "labels " + ", ".join(places if len(places) <= 12 else [*places[:5], "...", places[-1]])


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
    stopped = "" if facts["policy"] == "none" else f"; {facts['policy']} will stop some earlier"
    seeds = ", ".join(map(str, facts["seeds"]))
    free, needed = facts["memory_free_bytes"], facts["memory_bytes"]
    tight = free is not None and needed > free
    advice = f"; only {size(free)} free: lower --concurrency" if tight else ""
    totals = [
        ("study", facts["study"]),
        *(("data", f"{data['name']}: {_mapped(data['labels'])}") for data in facts["data"]),
        ("trials", f"{facts['trials']}: {facts['arms']} arms, seeds {seeds}"),
        ("epochs", f"{facts['epochs']} at most{stopped}"),
        ("passes", f"{count(facts['passes'])} forward and backward, validation included"),
        (
            "cluster",
            f"{cluster['cpus']:g} CPUs, {cluster['gpus']:g} GPUs, {cluster['nodes']} nodes; "
            f"{facts['concurrency']} trials at once",
        ),
        (
            "time",
            f"about {duration(facts['wall_seconds'])} ({spoken(facts)})",
        ),
        (
            "memory",
            f"about {size(facts['memory_bytes'])} "
            f"({size(facts['memory_bytes_per_process'])} a process){advice}",
        ),
        *(("warning", text) for text in facts["warnings"]),
        *(("note", text) for text in facts["notes"]),
        ("feasible", "yes"),
    ]
    parts = [columns(groups, header), columns(totals)]
    if facts["scaling"]:
        parts.insert(1, scaling.table(facts["scaling"], facts["link"]))
    return "\n\n".join(parts)
