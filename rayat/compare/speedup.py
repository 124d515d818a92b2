"""Cost to a target, and how much sooner an arm is there than the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rayat.compare.bootstrap import ONCE, Estimate, Intervals
from rayat.ledger.reader import Run
from rayat.ledger.state import PASSES
from rayat.ledger.status import Status

AXES = {"passes": "passes_cum", "seconds": "seconds_cum", "epochs": "epoch"}
"""Cost axes and their column of the epochs table. Passes and seconds hold the attack, selection and
validation (docs/papers.md 1.4); none holds the final test."""

CUT = "stopped before the target"
"""What became of the target in a trial that the policy cut: nobody knows if it had got there."""

TARGET_SHARE = 0.98
"""Of the baseline's best value, where no target was fixed (docs/papers.md 2.7)."""


@dataclass(frozen=True)
class Cost:
    """What one trial paid until it reached the target or, if it never did, until its end.

    Attributes:
        seed, status: of the trial.
        reached: whether the metric was at or above the target after some epoch.
        epoch: the epoch of `costs`.
        costs: by axis; NaN where it was not recorded.
    """

    seed: int
    status: Status
    reached: bool
    epoch: int
    costs: Mapping[str, float]

    @property
    def fate(self) -> str:
        """Return `reached`, `stopped before the target`, `not reached`, or what else ended it.

        Only a trial that was trained to its end, or whose training broke by itself, has not
        reached a target: `diverged` and `collapsed` say how.
        """
        if self.reached:
            return "reached"
        return {Status.FINISHED: "not reached", Status.STOPPED: CUT}.get(self.status, self.status)

    @property
    def counts(self) -> bool:
        """Return whether the trial can be one of a pair.

        Ends that are the schedule's or the policy's doing are censored without the target. A trial
        that failed, was lost or is not over says nothing about its schedule.
        """
        return self.reached or (self.status.is_measurable and self.epoch > 0)


def costs(run: Run, trial_ids: Iterable[str], target: float) -> list[Cost]:
    """Return each trial's cost, by seed.

    A metric that was not measured or is not finite never reaches a target. What happens after the
    target was reached, divergence included, does not change its cost.
    """
    trials = run.trials.set_index("trial_id")
    counted = counts_passes(run)
    seeds, statuses = trials["seed"].to_dict(), trials["status"].to_dict()
    trial_ids, found = list(trial_ids), []
    reports = run.epochs[run.epochs["trial_id"].isin(trial_ids)].sort_values("epoch")
    for trial_id in trial_ids:
        rows = reports[reports["trial_id"] == trial_id]
        values = rows[run.info["metric"]].to_numpy(float, na_value=math.nan)
        hits = np.flatnonzero(values >= target)
        at = int(hits[0]) if len(hits) else len(rows) - 1
        paid = {
            axis: float(rows[column].to_numpy(float, na_value=math.nan)[at])
            if at >= 0 and (axis != "passes" or trial_id in counted)
            else math.nan
            for axis, column in AXES.items()
        }
        found.append(
            Cost(
                int(seeds[trial_id]),
                Status(statuses[trial_id]),
                bool(len(hits)),
                int(rows["epoch"].iloc[at]) if at >= 0 else 0,
                paid,
            )
        )
    return sorted(found, key=lambda cost: cost.seed)


def counts_passes(run: Run) -> set[str]:
    """Return the trials whose passes were recorded; an imported one's are unknown, not 0."""
    known = run.trials[list(PASSES)].notna().any(axis=1)
    return set(run.trials.loc[known, "trial_id"])


def paired(baseline: Iterable[Cost], arm: Iterable[Cost]) -> list[tuple[Cost, Cost]]:
    """Return the trials of both by seed; a seed of which one side says nothing has no pair."""
    others = {cost.seed: cost for cost in arm if cost.counts}
    return [(cost, others[cost.seed]) for cost in baseline if cost.counts and cost.seed in others]


def speed_up(
    pairs: Sequence[tuple[Cost, Cost]], axis: str, by: Intervals = ONCE
) -> Estimate | None:
    """Return cost(baseline) / cost(arm) as a ratio of means over the pairs.

    Above 1 the arm is sooner there. If some trial of one side never reached the target, the value
    is the limit that its spent cost gives (`bound`) and there is no interval; None if both sides
    have such trials, if there is no pair, or if a cost was not recorded.

    Args:
        pairs: from `paired`, the baseline first.
        axis: a key of `AXES`. by: how the interval is made.
    """
    top = [baseline.costs[axis] for baseline, _ in pairs]
    bottom = [arm.costs[axis] for _, arm in pairs]
    if not pairs or not all(math.isfinite(cost) and cost > 0 for cost in top + bottom):
        return None
    baseline_there = all(baseline.reached for baseline, _ in pairs)
    arm_there = all(arm.reached for _, arm in pairs)
    if baseline_there and arm_there:
        return by.ratio(top, bottom)
    if not baseline_there and not arm_there:
        return None
    limit = float(np.mean(top) / np.mean(bottom))
    return Estimate(limit, None, None, len(pairs), "<" if baseline_there else ">")


def default_target(run: Run, trial_ids: Iterable[str]) -> float | None:
    """Return 98 % of the best value of the baseline's worst seed; None without any value.

    The worst seed, so that the baseline itself reaches the target in every seed: 98 % of the mean
    would leave a noisy baseline without a cost to compare with. Finished trials decide if there is
    one.
    """
    trials = run.trials[run.trials["trial_id"].isin(list(trial_ids))]
    valued = trials[trials["best_value"].notna()]
    finished = valued[valued["status"] == Status.FINISHED]
    chosen = valued if finished.empty else finished
    return None if chosen.empty else TARGET_SHARE * float(chosen["best_value"].min())


def goal(
    run: Run, trial_ids: Iterable[str], given: float | None = None
) -> tuple[float | None, str, bool]:
    """Return the target of a comparison, where it comes from, and whether it was fixed before.

    Args:
        trial_ids: of the baseline, from which a target is chosen where the study fixed none.
        given: a value asked for in its place.
    """
    fixed = run.info["study"].get("target")
    if fixed is not None and given in (None, fixed):
        return float(fixed), "fixed before the runs", True
    if given is not None:
        return float(given), "chosen after the runs: given at the comparison", False
    found = default_target(run, trial_ids)
    if found is None:
        return None, f"none: the baseline has no value of {run.info['metric']}", False
    share = f"{TARGET_SHARE:.0%}".replace("%", " %")
    return found, f"chosen after the runs: {share} of the best of the baseline's worst seed", False
