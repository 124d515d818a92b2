"""Pause after the first look; the best third goes on once all were looked at."""

from __future__ import annotations

import pytest

from rayat.policies.base import TrialView
from rayat.policies.first_look import FirstLook

METRIC = "val_robust_acc"


def trials(n, epochs=20, **config):
    return [TrialView(f"t{i}", config, epochs) for i in range(n)]


def look(policy, trial, value, epoch=1):
    return policy.observe(trial, epoch, {METRIC: value}, METRIC)


def test_the_best_third_goes_on_when_all_were_looked_at():
    policy, views = FirstLook(), trials(6)
    policy.expect(views)
    for view, value in zip(views[:-1], (0.1, 0.5, 0.2, 0.4, 0.3), strict=True):
        assert look(policy, view, value).action == "pause"
        assert policy.verdicts() == {}
    last = look(policy, views[-1], 0.15)
    assert (last.action, last.rule) == ("pause", "first-look")
    due = policy.verdicts()
    assert [(name, d.action) for name, d in due.items()] == [
        ("t1", "continue"),
        ("t3", "continue"),
        ("t4", "stop"),
        ("t2", "stop"),
        ("t5", "stop"),
        ("t0", "stop"),
    ]
    assert due["t4"].evidence == {"value": 0.3, "rank": 3, "compared": 5, "bar": 0.4}
    assert policy.verdicts() == {}
    assert look(policy, views[1], 0.0, epoch=2).action == "continue"


def test_nobody_waits_for_a_trial_that_was_lost():
    policy, views = FirstLook(), trials(3)
    policy.expect(views)
    look(policy, views[0], 0.1)
    look(policy, views[1], 0.2)
    policy.ended("t2")
    assert {name: d.action for name, d in policy.verdicts().items()} == {
        "t1": "continue",
        "t0": "stop",
    }
    policy.ended("t2")
    policy.ended("stranger")
    assert policy.verdicts() == {}


@pytest.mark.parametrize("bad", [None, float("nan")])
def test_a_trial_that_was_not_measured_takes_no_place_and_goes_on(bad):
    policy, views = FirstLook(), trials(4)
    policy.expect(views)
    assert look(policy, views[0], bad).action == "continue"
    for view, value in zip(views[1:], (0.1, 0.2, 0.3), strict=True):
        look(policy, view, value)
    assert {n for n, d in policy.verdicts().items() if d.action == "continue"} == {"t3"}


def test_groups_are_looked_at_apart():
    views = [TrialView(f"t{i}", {"attack": {"eps": i % 2}}, 20) for i in range(6)]
    policy = FirstLook(compare_within=("attack.eps",))
    policy.expect(views)
    for view in views[::2]:
        look(policy, view, 0.3)
    assert {n: d.action for n, d in policy.verdicts().items()} == {
        "t0": "continue",
        "t2": "stop",
        "t4": "stop",
    }


def test_without_an_announcement_or_with_too_few_nobody_pauses():
    policy, views = FirstLook(), trials(2)
    assert look(policy, views[0], 0.1).action == "continue"
    policy.expect(views)
    assert look(policy, views[0], 0.1).action == "continue"


def test_the_look_is_a_fiftieth_of_training():
    policy, views = FirstLook(), trials(3, epochs=200)
    policy.expect(views)
    assert [look(policy, views[0], 0.1, e).action for e in (1, 2, 3, 4)] == [
        "continue",
        "continue",
        "continue",
        "pause",
    ]
