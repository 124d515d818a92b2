"""Studies played under the policy `verdict` in any order, and what the comparison says of them.

The words come from `compare`'s own functions, on costs read from the curves: fast enough for
thousands of plays. `words_of` holds them to `compare` itself.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rayat.compare.bootstrap import Estimate, mean_difference
from rayat.compare.select import arms, match_arm
from rayat.compare.speedup import Cost, paired, speed_up
from rayat.compare.table import sound
from rayat.compare.verdict import HEADLINE, word
from rayat.ledger.reader import Run
from rayat.ledger.state import PASSES
from rayat.ledger.status import Status
from rayat.measurement import flat, key, measurement
from rayat.policies.base import Policy, TrialView
from rayat.policies.host import Host
from rayat.policies.question import AT_END, Question
from rayat.replay.curves import run_curves

METRIC = "val_robust_acc"


@dataclass
class Known:
    """A study whose curves are known to their ends.

    Attributes:
        views, rows, ends: of each trial: what a policy sees, its reports, its status in full.
        pairs: the baseline of each arm that is compared. robust: final robust accuracy by trial.
    """

    question: Question
    views: dict[str, TrialView]
    rows: dict[str, list[Mapping[str, Any]]]
    ends: dict[str, Status]
    pairs: dict[str, str]
    robust: dict[str, float] = field(default_factory=dict)
    stop_collapsed: bool = True

    def words(self, epochs: Mapping[str, int], ends: Mapping[str, Status]) -> dict[str, str]:
        """Return each arm's verdict if its trials had reported so much and ended so."""
        by_arm: dict[str, dict[int, str]] = {}
        for name, view in self.views.items():
            by_arm.setdefault(view.arm, {})[view.config["seed"]] = name
        costs = {
            arm: [self._cost(seed, name, epochs[name], ends[name]) for seed, name in own.items()]
            for arm, own in by_arm.items()
        }
        found = {}
        for arm, base in self.pairs.items():
            pairs = paired(costs[base], costs[arm])
            asked, speed = self.question.ends == AT_END, speed_up(pairs, HEADLINE)
            found[arm] = word(pairs, speed, None, asked=asked)
            if asked and found[arm].startswith("faster"):  # no other word asks for it
                ours, theirs = (sound(costs[each], by_arm[each]) for each in (arm, base))
                found[arm] = word(pairs, speed, self._difference(ours, theirs))
        return found

    def _difference(self, ours: Mapping[int, str], theirs: Mapping[int, str]) -> Estimate | None:
        seeds = [s for s in ours if ours[s] in self.robust and theirs.get(s) in self.robust]
        sides = ([self.robust[side[s]] for s in seeds] for side in (ours, theirs))
        return mean_difference(*sides) if seeds else None

    def _cost(self, seed: int, name: str, epochs: int, end: Status) -> Cost:
        values = [row.get(METRIC) for row in self.rows[name][:epochs]]
        paid = np.cumsum([sum(row.get(p) or 0 for p in PASSES) for row in self.rows[name][:epochs]])
        hits = [n for n, v in enumerate(values) if v is not None and v >= self.question.target]
        at = hits[0] if hits else epochs - 1
        passes = float(paid[at]) if epochs else float("nan")
        return Cost(seed, end, bool(hits), at + 1, dict.fromkeys(("passes", "seconds"), passes))


@dataclass
class Played:
    """How a study went: epochs and end of each trial under the policy, and had nobody stopped."""

    epochs: dict[str, int]
    ends: dict[str, Status]
    full_epochs: dict[str, int]
    full_ends: dict[str, Status]

    @property
    def stopped(self) -> list[str]:
        return [name for name, end in self.ends.items() if end != self.full_ends[name]]


def play(known: Known, policy: Policy, draw: random.Random, losses: float = 0.0) -> Played:
    """Play a study: who reports next is drawn, and with `losses` when a trial's worker dies.

    Half of the plays start trials in the policy's order, the others in any. At a drawn report the
    driver dies: the next one rebuilds the policy from the reports and must decide the same.
    """

    def begin() -> Host:
        made = Host(policy, METRIC, known.stop_collapsed, question=known.question)
        made.expect(known.views.values())
        return made

    host, names = begin(), list(known.views)
    deaths = {n: draw.randrange(len(known.rows[n]) + 1) for n in names if draw.random() < losses}
    waiting = [view.trial_id for view in host.order(list(known.views.values()))]
    if draw.random() < 0.5:
        draw.shuffle(waiting)
    places, running = draw.randint(1, len(waiting)), []
    killed = draw.randrange(sum(map(len, known.rows.values())))
    epochs, ends, told = dict.fromkeys(names, 0), dict(known.ends), []
    lost = {}
    while waiting or running:
        while waiting and len(running) < places:
            running.append(waiting.pop(0))
        name = draw.choice(running)
        if deaths.get(name) == epochs[name]:
            ends[name] = lost[name] = Status.LOST
            host.broke(name)
            running.remove(name)
            continue
        if len(told) == killed:
            host = begin()
            assert [host.observe(known.views[n], e, known.rows[n][e - 1]) for n, e, _ in told] == [
                said for _, _, said in told
            ]
        epochs[name] += 1
        judged = host.observe(known.views[name], epochs[name], known.rows[name][epochs[name] - 1])
        told.append((name, epochs[name], judged))
        if judged[0].end is Status.STOPPED:
            ends[name] = Status.STOPPED
        if judged[0].end is not None or epochs[name] == len(known.rows[name]):
            running.remove(name)
    full = {n: epochs[n] if n in lost else len(known.rows[n]) for n in names}
    return Played(epochs, ends, full, {**known.ends, **lost})


def recorded(run: Run, ends: str) -> Known:
    """Return a recorded run: its arms of one configuration that were measured as the baseline was.

    The target is the study's, else 98 % of the best of the baseline's worst trial.
    """
    curves = {curve.view.trial_id: curve for curve in run_curves(run)}
    study, by_arm = run.info["study"], run.trials.groupby("arm", sort=False)
    base = match_arm(run, study["baseline"]) if study.get("baseline") else arms(run)[0]
    target = study.get("target")
    if target is None:
        target = 0.98 * float(by_arm.get_group(base)["best_value"].min())
    configs = {
        arm: {key(measurement(flat(json.loads(text)))) for text in own["config_json"]}
        for arm, own in by_arm
        if own["config_id"].nunique() == 1
    }
    alike = [arm for arm in configs if arm != base and configs[arm] == configs.get(base)]
    tests = run.evals[(run.evals["split"] == "test") & (run.evals["checkpoint"] == "best")]
    statuses = run.trials.set_index("trial_id")["status"]
    return Known(
        Question(target, study.get("baseline"), ends),
        {name: curve.view for name, curve in curves.items()},
        {name: list(curve.rows) for name, curve in curves.items()},
        {name: Status(statuses[name]) for name in curves},
        dict.fromkeys(alike, base),
        dict(zip(tests["trial_id"], tests["robust_acc"], strict=True)),
        bool(study.get("stop_collapsed", True)),
    )


def generated(draw: random.Random, ends: str) -> Known:
    """Return a study of some arms and seeds: noise, crossings, divergences, collapses, gaps."""
    seeds, epochs = range(draw.choice((3, 3, 3, 4, 5, 6))), draw.randint(3, 9)
    names = ["base", *"abc"[: draw.randint(1, 3)]]
    spread, target = draw.choice((0.0, 0.02, 0.1)), draw.uniform(0.3, 0.6)
    rate = {arm: draw.uniform(0.3, 1.5) for arm in names}
    price = {arm: draw.choice((1.0, 1.0, 0.5, 2.0)) for arm in names}
    end = {arm: draw.uniform(0.45, 0.75) for arm in names}
    question = Question(round(target, 2), "base", ends)
    known = Known(question, {}, {}, {}, dict.fromkeys(names[1:], "base"))
    for arm in names:
        for seed in seeds:
            name = f"{arm}{seed}"
            known.views[name] = TrialView(name, {"seed": seed, "lr": {"peak": arm}}, epochs, arm)
            rows = known.rows[name] = []
            status, bad, at = Status.FINISHED, draw.random(), draw.randint(1, epochs)
            for epoch in range(1, epochs + 1):
                mean = end[arm] * (1 - 2.0 ** (-rate[arm] * epoch)) + draw.gauss(0, spread)
                value = None if draw.random() < 0.05 else round(min(max(mean, 0.0), 1.0), 3)
                cost = int(1000 * price[arm] * draw.uniform(0.9, 1.1))
                row = {METRIC: value, "train_loss": 1.0, "fwd_passes": cost}
                rows.append(row)
                if bad < 0.1 and epoch == at:
                    row["train_loss"], status = float("nan"), Status.DIVERGED
                    break
            known.ends[name] = status
            known.robust[name] = draw.gauss(0.4, 0.02)
    return known
