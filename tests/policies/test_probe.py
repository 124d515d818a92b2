"""Ranking by probes: by their value alone, where there is one, and said where there is none."""

from __future__ import annotations

import pytest

from rayat.policies.base import TrialView
from rayat.policies.probe import PROBED
from rayat.registry import POLICIES
from rayat.study import Study

METRIC = "val_robust_acc"
PROBES = {"probe": {"at": [2], "epochs": 1}}


@pytest.mark.parametrize("spec", ["probe", {"name": "accel", "filter": "probe", "chance": 0}])
def test_probes_decide_and_hot_accuracies_do_not(spec):
    """The hot accuracies have the opposite order, and a report without a probe stops nobody."""
    policy = POLICIES.build(spec)
    stops = []
    for place, probe in enumerate((0.6, None, 0.5, 0.7, 0.4)):
        trial = TrialView(f"t{place}", {"seed": 0, "width": place}, 24)
        for epoch in (1, 2, 3):
            row = {METRIC: 0.9 - (probe or 0), PROBED: probe if epoch == 2 else None}
            if policy.observe(trial, epoch, row, METRIC).action == "stop":
                stops.append((place, epoch))
                break
    assert stops == [(2, 2), (4, 2)]


def test_a_stop_names_the_probe():
    policy = POLICIES.build("probe")
    for name, value in (("a", 0.6), ("b", 0.5)):
        trial = TrialView(name, {"seed": 0, "name": name}, 24)
        found = policy.observe(trial, 4, {METRIC: 0.1, PROBED: value}, METRIC)
    assert found.rule == "probe"
    assert found.sentence.startswith("probe_robust_acc 0.5000 at epoch 4 is below 0.6000")
    assert (found.evidence["rung"], found.evidence["compared"]) == (4, 1)


@pytest.mark.parametrize("policy", ["probe", "accel:probe"])
def test_a_study_without_probes_is_told_so(policy):
    said = Study(name="a", seeds=(0,), policy=policy).notes()
    assert any("judges by cool-down probes" in text and "probe.at" in text for text in said)
    assert not Study(name="a", seeds=(0,), policy=policy, base=PROBES).notes()
