"""The configurations of a search in order: the soonest to a target first, then the most robust."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayat.compare.select import SOUND, arms, match_arm
from rayat.compare.speedup import Cost, costs, counts_passes, goal
from rayat.compare.verdict import HEADLINE
from rayat.errors import LedgerError
from rayat.ledger.reader import Run
from rayat.ledger.status import Status
from rayat.measurement import flat, key, measurement, refuse_target
from rayat.search.axes import control


@dataclass(frozen=True)
class Found:
    """A configuration as a search found it.

    Attributes:
        config_id, arm: of its trials. config: its tree, without the seed.
        trial_ids: its trials by seed, at least one of them sound; those that diverged are its own
            doing and count, as not there if they did so below the target.
        value: mean over sound trials of the best value of the study's metric.
        reached: in how many seeds it reached the target, also where the policy stopped it later.
        cost: mean cost to the target in passes of single images (`verdict.HEADLINE`), where every
            seed reached it and passes were recorded; else NaN.
    """

    config_id: str
    arm: str
    config: Mapping[str, Any]
    trial_ids: Mapping[int, str]
    value: float
    reached: int
    cost: float

    @property
    def whole(self) -> bool:
        """Whether every seed reached the target."""
        return self.reached == len(self.trial_ids)


@dataclass(frozen=True)
class Ranking:
    """The configurations of a run in order, and what they were ranked by.

    Attributes:
        baseline: the best configuration of the arm that the others are compared with.
        target, origin: value of the metric whose cost ranks, and where it comes from; None for a
            rank by value alone.
        order: all configurations with a value, best first, the baseline's among them.
    """

    baseline: Found
    target: float | None
    origin: str
    order: tuple[Found, ...]


def ranking(run: Run, baseline: str | None = None, target: float | None = None) -> Ranking:
    """Rank a run's configurations by their cost to the target of a baseline.

    Args:
        baseline: an arm as `select.match_arm` takes it; default: the study's, else its first.
        target: default: the study's, else 98 % of the best value of the baseline's worst seed.

    Raises:
        LedgerError: no trial of the baseline has a value.
        StudyError: no such baseline, or a target that nothing or everything reaches.
    """
    if target is not None:
        refuse_target(run.info["metric"], target)
    arm = match_arm(run, baseline or run.info["study"].get("baseline") or arms(run)[0])
    base = next((found for found in ranked(run, math.inf) if found.arm == arm), None)
    if base is None:
        raise LedgerError(
            f"{run.folder}: no trial of the baseline {arm!r} has a value; name another"
        )
    value, origin, _ = goal(run, base.trial_ids.values(), target)
    if not counts_passes(run):
        value, origin = None, "passes were not recorded"
    order = ranked(run, math.inf if value is None else value)
    base = next(found for found in order if found.arm == arm)
    return Ranking(base, value, origin, tuple(order))


def by_cost(run: Run, target: float | None) -> list[str]:
    """Return the configurations of a search for speed, best first; [] of any other run.

    Args:
        target: default: the study's.
    """
    study = run.info["study"]
    goal = study.get("target") if target is None else target
    if study.get("objective") != "cost" or goal is None:
        return []
    return [found.config_id for found in ranked(run, float(goal))]


def ranked(run: Run, target: float) -> list[Found]:
    """Return a run's configurations, best first; those without a sound trial are left out.

    Trials of a control stay the control's, also where a search came to the same configuration.

    First those that reached the target in every seed, by their mean cost to it; then those that
    reached it in more of their seeds; equals by the mean best value of the study's metric, which
    alone decides among those that never reached it: how soon they would have is not known.

    Args:
        target: value of the study's metric, `inf` for a rank by value alone.
    """
    found = []
    controls = {control(name) for name in run.info["study"].get("controls") or ()}
    counted = run.trials[run.trials["status"].isin([*SOUND, Status.DIVERGED])]
    for config_id, trials in counted.sort_values("trial_index").groupby("config_id", sort=False):
        own = trials[trials["arm"].isin(controls)]
        trials = (trials if own.empty else own).drop_duplicates("seed")
        sound = trials[trials["status"].isin(SOUND) & trials["best_value"].notna()]
        if sound.empty:
            continue
        ids = {int(s): str(t) for s, t in zip(trials["seed"], trials["trial_id"], strict=True)}
        tree = json.loads(trials["config_json"].iloc[0])
        tree.pop("seed", None)
        paid = costs(run, ids.values(), target)
        reached = sum(cost.reached for cost in paid)
        found.append(
            Found(
                str(config_id),
                str(trials["arm"].iloc[0]),
                tree,
                ids,
                float(sound["best_value"].mean()),
                reached,
                _mean_cost(paid) if reached == len(paid) else math.nan,
            )
        )
    return sorted(
        found,
        key=lambda each: (
            not each.whole,
            math.isnan(each.cost),
            0.0 if math.isnan(each.cost) else each.cost,
            -each.reached / len(each.trial_ids),
            -each.value,
        ),
    )


def comparable(one: Found, other: Found) -> bool:
    """Return whether the accuracies of two configurations were measured alike."""
    return key(measurement(flat(one.config))) == key(measurement(flat(other.config)))


def _mean_cost(paid: list[Cost]) -> float:
    spent = [cost.costs[HEADLINE] for cost in paid]
    return sum(spent) / len(spent)
