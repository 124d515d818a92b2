"""The policies against vectors of their rules (`formulas/policies.py`): every decision, exactly."""

from __future__ import annotations

import pytest

from rayat.policies.base import TrialView
from rayat.policies.question import Question
from rayat.registry import POLICIES

ROOM = "policies"
METRIC = "val_robust_acc"


def test_every_decision(method, recorded):
    case = recorded["case"]
    policy = POLICIES.build({"name": method, **case["given"]})
    trials = []
    for i, trial in enumerate(case["trials"]):
        rates = tuple(trial["rates"]) if "rates" in trial else None
        arm = trial.get("arm", "")
        trials.append(TrialView(f"t{i}", trial["config"], trial["epochs"], arm, rates))
    if "question" in case:
        policy.asked(Question(**case["question"]))
    policy.expect(trials)
    for number, (i, *report) in enumerate(case["events"]):
        where = f"event {number}: trial t{i} reports {report}"
        if report:
            epoch, value, *more = report
            row = {METRIC: None if value is None else float(value)}
            row.update(more.pop() if more and isinstance(more[-1], dict) else {})
            row.update(zip(("val_clean_acc", "lr"), more, strict=False))
            policy.told(trials[i], epoch, row, METRIC, epoch >= trials[i].epochs)
            found = policy.observe(trials[i], epoch, row, METRIC)
            action, rule, by = case["decisions"].get(str(number), ("continue", "", {}))
            assert (found.action, found.rule) == (action, rule), where
            seen = {key: found.evidence[key] for key in by}
            assert seen == pytest.approx(by, rel=1e-9, abs=1e-12), where
        else:
            policy.ended(f"t{i}")
        due = {name: found.action for name, found in policy.verdicts().items()}
        assert due == case["verdicts"].get(str(number), {}), where
