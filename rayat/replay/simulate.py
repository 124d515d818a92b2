"""One sweep under one policy on a simulated cluster: an event queue, no clock, no randomness."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rayat.ledger.status import Status
from rayat.measurement import flat, key, measurement
from rayat.policies.base import Decision, Policy
from rayat.policies.groups import configuration
from rayat.policies.host import Host
from rayat.policies.question import Question
from rayat.replay.curves import METRIC, Curve
from rayat.search.ordering import SUCCESSIVE, Order

START_COST = 0.2
"""What starting or resuming a trial costs, in median reports of the sweep."""


@dataclass(frozen=True)
class Logged:
    """One decision that was more than `continue`, at a time in seconds since the sweep's start."""

    time: float
    trial_id: str
    epoch: int
    decision: Decision


@dataclass
class Outcome:
    """What a policy did with a sweep.

    Attributes:
        compute: worker-seconds, starts included.
        makespan: seconds until the last worker was done.
        final: truth of the best checkpoints of the configuration that was observed as the best of
            all, mean over its seeds; of several measurements the mean over theirs.
        split: share of the configurations with several seeds of which a part was stopped.
        epochs: epochs run, by trial.
        delivered: truth of each trial's best observed checkpoint.
        log: every decision that was more than `continue`.
        reports: when each report came, in seconds, and of which trial.
    """

    compute: float = 0.0
    makespan: float = 0.0
    final: float = float("nan")
    split: float = 0.0
    epochs: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, float] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)
    reports: list[tuple[float, str]] = field(default_factory=list)


def simulate(
    policy: Policy,
    curves: Sequence[Curve],
    workers: int,
    start_cost: float = START_COST,
    order: Order = "configurations",
    question: Question | None = None,
) -> Outcome:
    """Run one sweep: trials start in the given order as workers become free.

    A policy may ask for another order (`Policy.order`).

    A paused trial gives its worker back; a resumed one waits behind the trials that have not
    started. A trial that is still paused when nothing else is left is ended. Trials that diverge or
    collapse end as in a run: a collapse unless the recorded run let them go on.

    Args:
        policy: its parameters; its state is not used.
        curves: the trials; names must differ.
        workers: trials that run at once, at least 1.
        start_cost: median reports that a start or a resume takes.
        order: of successive seeds one never starts whose configuration the policy has stopped.
        question: what the study compares, where it is known.
    """
    # Curves that an earlier rule cut short have nothing after what it took for a collapse.
    rule = min(curve.collapse_rule for curve in curves)
    collapsed = all(curve.stop_collapsed for curve in curves)
    host = Host(policy, METRIC, collapsed, collapse_rule=rule, question=question)
    by_name = {curve.view.trial_id: curve for curve in curves}
    host.expect(curve.view for curve in curves)
    overhead = start_cost * float(np.median(np.concatenate([c.seconds for c in curves])))
    waiting = deque(trial.trial_id for trial in host.order([curve.view for curve in curves]))
    done = dict.fromkeys(by_name, 0)
    paused: set[str] = set()
    cut: set[str] = set(by_name)
    events: list[tuple[float, int, str]] = []
    outcome, sequence, free, now = Outcome(), 0, workers, 0.0
    while waiting or events:
        while waiting and free:
            name = waiting.popleft()
            view = by_name[name].view
            if order == SUCCESSIVE and not done[name] and host.policy.dropped(view):
                continue
            cost = overhead + float(by_name[name].seconds[done[name]])
            outcome.compute += cost
            heapq.heappush(events, (now + cost, sequence, name))
            sequence, free = sequence + 1, free - 1
        if not events:
            break
        now, _, name = heapq.heappop(events)
        curve = by_name[name]
        done[name] += 1
        outcome.reports.append((now, name))
        epoch = done[name]
        last = epoch >= len(curve.rows)
        own, *verdicts = host.observe(curve.view, epoch, curve.rows[epoch - 1], last)
        if own.decision.action != "continue":
            outcome.log.append(Logged(now, name, epoch, own.decision))
        if last or own.end is Status.COLLAPSED:
            cut.remove(name)
        if own.end is None and own.decision.action == "continue":
            cost = float(curve.seconds[epoch])
            outcome.compute += cost
            heapq.heappush(events, (now + cost, sequence, name))
            sequence += 1
        else:
            free += 1
            if own.end is None:
                paused.add(name)
        for judged in verdicts:
            other, decision = judged.trial_id, judged.decision
            outcome.log.append(Logged(now, other, judged.epoch, decision))
            if other in paused:
                paused.remove(other)
                if decision.action == "continue":
                    waiting.append(other)
    outcome.makespan = now
    return _score(outcome, by_name, done, cut)


def _score(
    outcome: Outcome, curves: dict[str, Curve], done: dict[str, int], cut: set[str]
) -> Outcome:
    """Fill in what was delivered: per measurement the best configuration, by the mean of its seeds.

    As `compare` chooses: seeds that ran to their end speak for a configuration, and those that
    were stopped (`cut`) only where none did; more seeds come first.
    """
    groups: dict[str, dict[str, list[str]]] = {}
    for name, curve in curves.items():
        outcome.epochs[name] = done[name]
        if not done[name]:
            outcome.delivered[name] = float("nan")
            continue
        outcome.delivered[name] = float(curve.truth[curve.best(done[name])])
        measured = key(measurement(flat(curve.view.config)))
        groups.setdefault(measured, {}).setdefault(configuration(curve.view), []).append(name)
    finals, several, split = [], 0, 0
    for configurations in groups.values():
        best: tuple[float, list[str]] = (-np.inf, [])
        for names in configurations.values():
            whole = [name for name in names if name not in cut]
            several += len(names) > 1
            split += 0 < len(whole) < len(names)
            known = [n for n in whole or names if np.isfinite(outcome.delivered[n])]
            observed = [curves[n].robust[curves[n].best(done[n])] for n in known]
            if known and (mean := float(np.mean(observed))) > best[0]:
                best = mean, known
        if best[1]:
            finals.append(float(np.mean([outcome.delivered[name] for name in best[1]])))
    outcome.final = float(np.mean(finals)) if finals else float("nan")
    outcome.split = split / several if several else 0.0
    return outcome
