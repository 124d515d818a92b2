"""A study with several seeds is judged by configuration, and only like is ranked with like."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayat.policies.base import TrialView
from rayat.policies.groups import recorded
from rayat.registry import POLICIES
from rayat.replay.verify import verify

METRIC = "val_robust_acc"
ROOT = Path(__file__).parents[2]
RANKED = ["asha", "median", "hyperband", "accel:median", "accel:asha"]
LEVELS = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15)
NOISE = (0.0, -0.2, 0.1)
EPOCHS = 12


def view(level, seed, **config):
    tree = {"lr": {"shape": "constant", "peak": level}, "seed": seed, **config}
    return TrialView(f"{level}-{seed}-{config}", tree, EPOCHS)


def sweep(policy, values):
    """Report epoch by epoch, all trials in turn; return the trials that were stopped, by epoch."""
    policy.expect([trial for trial, _ in values])
    stopped = {}
    paused = set()
    for epoch in range(1, EPOCHS + 1):
        for trial, value in values:
            if trial.trial_id in stopped or trial.trial_id in paused:
                continue
            row = {"epoch": epoch, METRIC: value * epoch / EPOCHS, "lr": 0.1}
            decision = policy.observe(trial, epoch, row, METRIC)
            if decision.action == "stop":
                stopped[trial.trial_id] = epoch
            if decision.action == "pause":
                paused.add(trial.trial_id)
            for name, verdict in policy.verdicts().items():
                paused.discard(name)
                if verdict.action == "stop":
                    stopped[name] = epoch
    return stopped


def seeds_left(stopped, values):
    """Return how many seeds of each level were not stopped."""
    left = {}
    for trial, _ in values:
        level = trial.config["lr"]["peak"]
        left[level] = left.get(level, 0) + (trial.trial_id not in stopped)
    return left


@pytest.mark.parametrize("name", [*RANKED, "first-look"])
def test_all_seeds_of_a_configuration_go_on_or_stop_together(name):
    values = [(view(v, s), v + NOISE[s]) for v in LEVELS for s in range(3)]
    left = seeds_left(sweep(POLICIES.build(name).fresh(), values), values)
    assert set(left.values()) == {0, 3}, left
    old = POLICIES.build({**POLICIES.build(name).spec(), "peers": "all"})
    mixed = seeds_left(sweep(old.fresh(), values), values)
    assert set(mixed.values()) - {0, 3}, "the same values tear configurations apart without it"


@pytest.mark.parametrize("name", [*RANKED, "first-look"])
def test_trials_measured_at_another_radius_are_not_ranked_together(name):
    """Every trial at 0.3 is worse than every one at 0.1: that is the radius, not the method."""
    values = []
    for eps, lift in ((0.1, 0.4), (0.3, 0.0)):
        values += [(view(v, 0, attack={"name": "pgd", "eps": eps}), v + lift) for v in LEVELS]
    stopped = sweep(POLICIES.build(name).fresh(), values)
    left = {
        eps: {
            t.config["lr"]["peak"]
            for t, _ in values
            if t.trial_id not in stopped and t.config["attack"]["eps"] == eps
        }
        for eps in (0.1, 0.3)
    }
    assert LEVELS[0] in left[0.3] and left[0.3] == left[0.1]


def test_another_seed_leads_when_the_leader_broke():
    policy = POLICIES.build({"name": "asha", "grace": 2, "eta": 2}).fresh()
    one, two, other = view(0.1, 0), view(0.1, 1), view(0.5, 0)
    for epoch in (1, 2):
        policy.observe(other, epoch, {METRIC: 0.5}, METRIC)
    policy.observe(one, 1, {METRIC: 0.1}, METRIC)
    policy.ended(one.trial_id)
    assert policy.observe(two, 1, {METRIC: 0.1}, METRIC).action == "continue"
    assert policy.observe(two, 2, {METRIC: 0.1}, METRIC).action == "stop"


def test_a_leader_that_finished_lets_its_configuration_through():
    policy = POLICIES.build({"name": "asha", "grace": 2, "eta": 2}).fresh()
    one, two, other = view(0.1, 0), view(0.1, 1), view(0.5, 0)
    for epoch in range(1, EPOCHS + 1):
        assert policy.observe(one, epoch, {METRIC: 0.1}, METRIC).action == "continue"
    policy.ended(one.trial_id)
    for epoch in (1, 2):
        policy.observe(other, epoch, {METRIC: 0.5}, METRIC)
        assert policy.observe(two, epoch, {METRIC: 0.0}, METRIC).action == "continue"


def test_a_run_from_before_keeps_the_rule_it_was_decided_by():
    spec = POLICIES.build("asha").spec()
    assert recorded(spec).peers == "configurations"
    assert recorded({k: v for k, v in spec.items() if k != "peers"}).peers == "all"
    assert recorded({"name": "none"}).kind == "none"


@pytest.mark.parametrize("run", ["asha-1", "accel-1"])
def test_recorded_runs_are_decided_again_as_they_were(run):
    done = verify(ROOT / "results/policies" / run)
    assert done.difference is None and done.decisions > 0
