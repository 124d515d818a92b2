"""Stop only what the comparison's verdicts do not depend on, whatever the rest of the curve is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import PrivateAttr

from rayat.ledger.state import PASSES
from rayat.measurement import flat, key, measurement
from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.policies.groups import configuration, measured
from rayat.policies.question import AT_END, AT_TARGET, Question
from rayat.registry import POLICIES
from rayat.resampling import LEVEL, MIN_PAIRS, RESAMPLES, compositions

if TYPE_CHECKING:
    pass

MOST_PAIRS = 5
"""Seeds up to which the order of the seeds alone is drawn by so many resamples that the interval's
lower end cannot lie above the estimate (`never_faster`)."""
ENOUGH = math.ceil((1 - LEVEL) / 2 * (RESAMPLES - 1)) + 1
"""Resamples at or below a ratio that hold the interval's percentile at or below it."""


@dataclass
class Paid:
    """What one trial has shown so far.

    Attributes:
        epoch: of its last report. cost: passes until then, what every completion costs at least.
        reached: passes to the target, None before it is reached.
        whole: whether it ended by itself: it finished, diverged or collapsed.
        cut: whether this policy stopped it.
    """

    view: TrialView
    epoch: int = 0
    cost: float = 0.0
    reached: float | None = None
    whole: bool = False
    cut: bool = False

    @property
    def short(self) -> bool:
        """Whether it is certain never to reach the target."""
        return self.whole and self.reached is None

    @property
    def counts(self) -> bool:
        """Whether nothing that happens can take it out of its pair."""
        return self.whole or self.cut or self.reached is not None


Pairs = Mapping[int, tuple[Paid, Paid]]
"""Baseline and arm by seed; seeds that only one of them has are in no pair."""


@POLICIES.register("verdict")
class Verdict(Policy):
    """Stop only what cannot change a verdict of the comparison, to the letter.

    It knows the study's target and baseline. Of an arm's trials stops one that has not reached the
    target, once another seed of the arm, whose pair is complete, ended without it: the arm is `not
    reached` in any case. A trial that has reached the target stops at once where only cost is asked
    (`ends="at-target"`); where final robustness is asked too, only once no outcome can call its arm
    faster, since no other verdict asks for robustness. Baseline seeds start first, then seed by
    seed. Nothing is stopped by a guess: what a curve may still do, it may do.

    Cost per report: O(seeds), at most 16 small matrix products where robustness is asked.
    """

    _question: Question = PrivateAttr(default_factory=Question)
    _trials: dict[str, Paid] = PrivateAttr(default_factory=dict)
    _arms: dict[str, dict[int, Paid]] = PrivateAttr(default_factory=dict)
    _tuned: set[str] = PrivateAttr(default_factory=set)
    _base: list[str | None] = PrivateAttr(default_factory=list)
    _alike: dict[str, bool] = PrivateAttr(default_factory=dict)
    _settled: dict[str, tuple[str, dict[str, float | int | str | None]]] = PrivateAttr(
        default_factory=dict
    )

    def closed(self, ends: str) -> bool:
        """Return whether robustness is asked: which arms cannot be faster depends on the seeds."""
        return ends == AT_END

    def asked(self, question: Question) -> None:
        """Learn the target, the baseline and whether robustness is asked."""
        self._question = question

    def expect(self, trials: Sequence[TrialView]) -> None:
        """Learn the pairs."""
        for trial in trials:
            self._add(trial)

    def order(self, trials: Sequence[TrialView]) -> Sequence[TrialView]:
        """Return the baseline's trials first, then seed by seed: what ends early stops the rest."""
        base, seeds = self._baseline(), list(dict.fromkeys(_seed(trial) for trial in trials))
        return sorted(trials, key=lambda t: (t.arm != base, seeds.index(_seed(t))))

    def told(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str, whole: bool
    ) -> None:
        """Take what a report shows, also of a trial that breaks by it."""
        paid, value = self._add(trial), measured(metrics, metric)
        paid.epoch, paid.whole = epoch, whole
        paid.cost += sum(metrics.get(name) or 0 for name in PASSES)
        target = self._question.target
        if paid.reached is None and target is not None and value is not None and value >= target:
            paid.reached = paid.cost

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Return `stop` where no verdict depends on the rest of the trial; see the class."""
        target, paid = self._question.target, self._trials.get(trial.trial_id)
        if target is None or paid is None or paid.whole or trial.arm in self._tuned:
            return CONTINUE
        value = measured(metrics, metric)
        if value is None:
            return CONTINUE
        evidence = {"value": value, "target": target, "passes": paid.cost}
        if paid.reached is not None and self._question.ends == AT_TARGET:
            return self._stop(
                paid,
                "at-target",
                f"reached the target of {target:g} with {metric} {value:.4f} at epoch {epoch}: its "
                "cost is known, and nothing else was asked",
                evidence,
            )
        pairs = self._pairs(trial.arm)
        if pairs is None:
            return CONTINUE
        if found := self._not_reached(pairs):
            return self._stop(
                paid,
                "not-reached",
                f"its arm is not reached whatever this trial does: seed {found[0]} ended without "
                f"the target of {target:g}",
                {**evidence, **found[1]},
            )
        if paid.reached is None:
            return CONTINUE
        if trial.arm not in self._settled and (settled := self._not_faster(pairs)):
            self._settled[trial.arm] = settled
        if trial.arm not in self._settled:
            return CONTINUE
        said, more = self._settled[trial.arm]
        return self._stop(
            paid,
            "not-faster",
            f"it has reached the target of {target:g}, and no outcome calls its arm faster, so its "
            f"final robustness decides nothing: {said}",
            {**evidence, **more},
        )

    def _stop(
        self, paid: Paid, rule: str, sentence: str, evidence: Mapping[str, float | int | str | None]
    ) -> Decision:
        paid.cut = True
        return Decision("stop", rule, sentence, evidence)

    def _add(self, trial: TrialView) -> Paid:
        paid = self._trials.get(trial.trial_id)
        if paid is not None:
            return paid
        paid = self._trials[trial.trial_id] = Paid(trial)
        own = self._arms.setdefault(trial.arm, {})
        first = next(iter(own.values()), paid)
        # Which configuration stands for an arm that has several depends on how good they end.
        if _seed(trial) in own or configuration(trial) != configuration(first.view):
            self._tuned.add(trial.arm)
        own.setdefault(_seed(trial), paid)
        self._base, self._alike = [], {}
        return paid

    def _baseline(self) -> str | None:
        if not self._base:  # found again only when a trial is new
            arms = {arm: [p.view.config for p in own.values()] for arm, own in self._arms.items()}
            self._base = [self._question.baseline_of(arms)]
        return self._base[0]

    def _pairs(self, arm: str) -> Pairs | None:
        """Return an arm's pairs; None for the baseline itself and what is not compared with it."""
        base = self._baseline()
        if base is None or arm == base or base in self._tuned:
            return None
        own, theirs = self._arms[arm], self._arms[base]
        if arm not in self._alike:
            one, other = (next(iter(side.values())).view.config for side in (own, theirs))
            same = key(measurement(flat(one))) == key(measurement(flat(other)))
            self._alike[arm] = same and one.get("eval") == other.get("eval")
        if not self._alike[arm]:
            return None
        return {seed: (theirs[seed], own[seed]) for seed in theirs if seed in own}

    def _not_reached(self, pairs: Pairs) -> tuple[int, dict[str, float | int | str | None]] | None:
        """Return the seed that makes an arm `not reached`, with its evidence; None: undecided."""
        for seed, (base, arm) in pairs.items():
            if arm.short and base.counts:
                return seed, {"seed": seed, "other": arm.view.trial_id, "other_epoch": arm.epoch}
        return None

    def _not_faster(self, pairs: Pairs) -> tuple[str, dict[str, float | int | str | None]] | None:
        """Return why an arm can no longer be called faster, with the evidence; None: it can."""
        if len(pairs) < MIN_PAIRS:
            return None
        for seed, (base, arm) in pairs.items():
            if base.short and arm.counts:
                return f"the baseline's seed {seed} never reached it", {"seed": seed}
        # A pair without the target on one side makes another verdict, or is no pair at all.
        left = [pair for pair in pairs.values() if not (pair[0].short or pair[1].short)]
        if len(left) < MIN_PAIRS:
            return f"only {len(left)} of its seeds can reach it", {"pairs": len(left)}
        bounds = [_bounds(base, arm) for base, arm in left]
        known = [bound for bound in bounds if bound[0] < math.inf]
        if any(most <= 0 for most, _, _ in known) or not never_faster(bounds):
            return None
        most = max(known, key=lambda bound: bound[1] / bound[0])
        return (
            f"a seed that paid at least {most[1]:.4g} passes to it against {most[0]:.4g} of the "
            "baseline keeps the interval of the speed-up from lying above 1",
            {"paid": most[1], "baseline_paid": most[0], "pairs": len(left)},
        )


Bounds = tuple[float, float, bool]
"""Of a pair the most that the baseline may cost, the least that the arm does, and whether both have
reached the target: then these are the costs, and the pair is one whatever happens."""


def _bounds(base: Paid, arm: Paid) -> Bounds:
    most = math.inf if base.reached is None else base.reached
    least = arm.cost if arm.reached is None else arm.reached
    return most, least, base.reached is not None and arm.reached is not None


def never_faster(bounds: Sequence[Bounds]) -> bool:
    """Return whether no completion has an interval of the speed-up that lies above 1.

    The interval of `compare.bootstrap` is an estimate v and a percentile L of resampled log ratios,
    its lower end v - s (v - L) with s > 1. A resample's ratio falls with every cost of the arm and
    rises with every cost of the baseline. So if `ENOUGH` resamples are at most 1 at these bounds,
    L <= 0 in every completion; with at most `MOST_PAIRS` seeds enough resamples hold every seed
    once, with ratio v, so that L <= v; hence the lower end is at most L. A higher level lowers it.
    A seed whose trial may still be lost may be missing: every such subset must pass.

    Args:
        bounds: of the pairs that may be among those compared.
    """
    if len(bounds) > MOST_PAIRS:
        return False
    certain = [b for b in bounds if b[2]]
    open_ = [b for b in bounds if not b[2]]
    subsets = ([*certain, *some] for n in range(len(open_) + 1) for some in combinations(open_, n))
    return all(_below_one(pairs) for pairs in subsets if len(pairs) >= MIN_PAIRS)


def _below_one(pairs: Sequence[Bounds]) -> bool:
    most, least = (np.array([pair[at] for pair in pairs]) for at in (0, 1))
    kinds, many = compositions(len(pairs))
    without = np.isinf(most)
    ours, theirs = kinds @ least, kinds @ np.where(without, 0.0, most)
    below = (theirs <= ours) & ~kinds[:, without].any(axis=1)
    return int(many[below].sum()) >= ENOUGH


def _seed(trial: TrialView) -> int:
    return int(trial.config.get("seed", 0))
