"""What a study will cost: its trials grouped by cost, each group measured, and a list schedule."""

from __future__ import annotations

import contextlib
import heapq
import json
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.identity import describe, source_key
from rayat.data.prepare import prepare
from rayat.errors import ConfigError, PlacementError
from rayat.host.machine import ONE_THREAD, memory_bytes, native_bf16
from rayat.ledger.reader import read_run
from rayat.models.own import unfolded
from rayat.planning.advice import advise, easy
from rayat.planning.budget import VALIDATION_BUDGET
from rayat.planning.estimate import Estimate, cost_key, estimate
from rayat.planning.overheads import final_passes, final_seconds, ray_seconds
from rayat.planning.placement import Capacity, Need, concurrency
from rayat.planning.refusal import named
from rayat.planning.rehearsal import rehearse
from rayat.planning.searching import notes, searching, weights
from rayat.search.plan import Trial
from rayat.sharing.cache import begun
from rayat.sharing.tree import Tree
from rayat.study import Study
from rayat.training.keys import chain, chains


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
    """Of the data: its name, the original label of 0, 1, 2, ..., what to know of it and the net."""
    validation: int = 0
    """Validation images of the data."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the data is (`data.identity.describe`)."""


@dataclass(frozen=True)
class Held:
    """A run that trials are added to.

    Attributes:
        configs: of its trials, by their ids.
    """

    folder: Path
    configs: Mapping[str, TrialConfig]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a run; trials with keys that this version does not know are left out."""
        configs = {}
        for row in read_run(folder).trials.to_dict("records"):
            with contextlib.suppress(ConfigError):
                configs[str(row["trial_id"])] = TrialConfig.parse(json.loads(row["config_json"]))
        return cls(folder, configs)


def slots(trials: Sequence[Trial], capacity: Capacity, at_once: int | None) -> dict[str, int]:
    """Return how many trials run at once, by trial id.

    Raises:
        PlacementError: a trial cannot be placed at all.
    """

    found = {}
    for trial in trials:
        try:
            fits = concurrency(Need.of(trial.config), capacity)
        except PlacementError as error:
            raise PlacementError(f"trial {trial.trial_id} ({trial.arm}): {error}") from None
        found[trial.trial_id] = min(fits, at_once or fits)
    return found


def measure(
    trials: Sequence[Trial],
    local: bool = True,
    tell: Callable[[str], object] = lambda line: None,
) -> list[Group]:
    """Return the trials grouped by cost, each group tried and then measured with real steps.

    Args:
        local: all workers of a trial share this machine. tell: told in one line what is measured.

    Raises:
        DataError, ConfigError: the data is missing, or a configuration's first step fails.
    """

    by_cost: dict[str, list[Trial]] = {}
    for trial in trials:
        by_cost.setdefault(cost_key(trial.config), []).append(trial)
    prepared: dict[str, Prepared] = {}
    groups = []
    for number, group in enumerate(by_cost.values(), 1):
        config = group[0].config
        source = source_key(config.data)
        tell(f"measuring {number}/{len(by_cost)}: {group[0].arm}")
        with named(group[0]):
            if source not in prepared:
                prepared[source] = prepare(config.data)
            rehearse(config, prepared[source], config.workers if local else 1)
            cost = measured_cost(config, prepared[source])
        data = prepared[source]
        final = final_passes(config, data)
        notes = (*data.notes, *unfolded([(config, describe(data))]))
        named_data = (data.name, data.classes, notes)
        about = describe(data)
        groups.append(
            Group(tuple(group), cost, len(data.train), final, *named_data, len(data.val), about)
        )
    return groups


def measured_cost(config: TrialConfig, prepared: Prepared) -> Estimate:
    """Return what a configuration costs, measured on the kind of device that it asks for."""

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


def shares(group: Group) -> list[tuple[Trial, float]]:
    """Return the first trial of every arm with the share of its passes that validation takes."""
    firsts = {trial.arm: trial for trial in reversed(group.trials)}
    return [(trial, group.cost.validation_share(trial.config)) for trial in firsts.values()]


def costly_validation(groups: Sequence[Group]) -> list[str]:
    """Return one warning if validation is above its budget anywhere, with the worst's remedies."""
    above = [
        (share, trial, group)
        for group in groups
        for trial, share in shares(group)
        if share > VALIDATION_BUDGET
    ]
    if not above:
        return []
    share, worst, group = max(above, key=lambda found: found[0])
    keys = group.cost.remedies(worst.config).items()
    advice = " or ".join(f"{key}={value}" for key, value in keys) or "train on more images"
    more = len(above) - 1
    others = f", in {more} more configuration{'s' * (more > 1)} too" if more else ""
    return [
        f"validation is {share:.0%} of the passes of {worst.arm}, above {VALIDATION_BUDGET:.0%}"
        f"{others}: set {advice}"
    ]


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


def _measured(groups: Sequence[Group]) -> list[tuple[TrialConfig, int, int]]:
    return [
        (t.config, len(group.labels), group.validation) for group in groups for t in group.trials
    ]


def _wide(config: TrialConfig) -> bool:
    return config.threads > 1 or config.cpus_per_worker > 1


def common_epochs(study: Study, groups: Sequence[Group], held: Held | None = None) -> Tree:
    """Return which epochs the trials have in common; none where the study trains each alone.

    Args:
        held: a run from whose states they go on.
    """
    found: dict[str, Sequence[str]] = {}
    data = {source_key(g.trials[0].config.data): g.about for g in groups}
    states = begun(held.folder, chains(held.configs, data)) if held and study.share else ()
    for group in groups:
        for trial in group.trials:
            keys = chain(trial.config, group.about)
            found[trial.trial_id] = keys if study.share else [f"{trial.trial_id} {k}" for k in keys]
    return Tree(found, states)


def facts(
    study: Study,
    trials: Sequence[Trial],
    groups: Sequence[Group],
    capacity: Capacity,
    slots: Mapping[str, int],
    local: bool,
    held: Held | None = None,
) -> dict[str, Any]:
    """Return what `rayat plan --json` prints of a study.

    Args:
        trials: all of the study, or those that a search is expected to make.
        groups: from `measure`. slots: from `slots`. local: a Ray is started for the run.
        held: the run that they are added to.

    Returns:
        Plain values: counts, passes (of single images, forward and backward), seconds, bytes, and
        `warnings`, a sentence each.
    """
    cost = {trial.trial_id: group.cost for group in groups for trial in group.trials}
    seconds = {t.trial_id: cost[t.trial_id].trial_seconds(t.config) for t in trials}
    tested = study.tested
    final = {
        t.trial_id: final_seconds(g.cost, sum(g.final)) if tested else 0.0
        for g in groups
        for t in g.trials
    }
    tree = common_epochs(study, groups, held)
    counts = tree.counts()
    whole = {i: seconds[i] * tree.own_share(i) + final[i] for i in seconds}
    passes = {t.trial_id: cost[t.trial_id].trial_passes(t.config) for t in trials}
    spent = {i: {"passes": passes[i], "seconds": seconds[i]} for i in seconds}
    stands = weights(study, trials, spent)
    count = round(sum(stands.values()))
    epochs = round(sum(trial.config.epochs * stands[trial.trial_id] for trial in trials))
    search = searching(study)
    together = max(min(slots[t.trial_id], len(trials)) for t in trials)
    ray = ray_seconds(count, epochs, together, local)
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
        "trials": count,
        "search": search,
        "arms": len({trial.arm for trial in trials}),
        "seeds": list(study.seeds),
        "epochs": epochs,
        "trained": epochs if study.plan().grows else counts.trained,
        "shared": "" if study.plan().grows or not counts.shared else counts.text(),
        "policy": study.policy.kind,
        "ends": study.ends,
        "target": study.target,
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
                "validation_share": max(share for _, share in shares(group)),
            }
            for group in groups
        ],
        "passes": round(sum(passes[i] * stands[i] for i in passes)),
        "final_passes": round(
            sum(sum(g.final) * stands[t.trial_id] for g in groups for t in g.trials)
        )
        if tested
        else 0,
        "trial_seconds": sum(seconds[i] * tree.own_share(i) * stands[i] for i in seconds),
        "final_seconds": sum(final[i] * stands[i] for i in final),
        "ray_seconds": ray,
        "cluster": {"cpus": capacity.cpus, "gpus": capacity.gpus, "nodes": capacity.nodes},
        "concurrency": together,
        "wall_seconds": ray
        + (
            wall_seconds(whole, needs, slots)
            if study.budget is None
            else sum(whole[i] * stands[i] for i in whole) / together
        ),
        "memory_bytes_per_process": memory,
        "memory_bytes": memory * at_once,
        "memory_free_bytes": memory_bytes()[1] if capacity.nodes == 1 else None,
        "warnings": [
            *study.notes(),
            *easy(study.metric, study.target, _measured(groups)),
            *notes(search),
            *dict.fromkeys(note for group in groups for note in group.notes),
            *advise(
                ((t.arm, t.config, group.images) for group in groups for t in group.trials),
                native_bf16(),
            ),
            *costly_validation(groups),
            *slow_threads(trials, slots),
        ],
        "feasible": True,
    }
