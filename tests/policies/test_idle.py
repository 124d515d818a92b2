"""A policy that has no epoch to act in says so; one that may act on a trial does not."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.study import Study

METRIC = "val_robust_acc"
SPECS = [
    {"name": name, **({} if grace is None else {"grace": grace})}
    for name in ("asha", "hyperband", "median", "first-look")
    for grace in (None, 2, 4, 9)
] + [{"name": "patience", "epochs": n} for n in (1, 3, 4, 9)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("every", [1, 2, 3, 5, 7])
def test_it_is_said_exactly_where_no_trial_can_be_stopped(spec, every):
    epochs = 6
    policy = POLICIES.build(spec)
    trials = [TrialView(f"t{i}", {"width": i}, epochs) for i in range(60)]
    policy.expect(trials)
    acted = False
    for place, trial in enumerate(trials):
        for epoch in range(1, epochs + 1):
            measured = epoch % every == 0 or epoch == epochs
            # Each worse than those before it, and falling: whoever may stop one does.
            row = {METRIC: 0.9 - 0.01 * place - 0.001 * epoch} if measured else {}
            acted |= policy.observe(trial, epoch, row, METRIC).action != "continue"
    said = policy.idle(epochs, every)
    if spec["name"] == "patience":  # waits from the first value on, which may come later than 1
        assert not (said and acted)
    else:
        assert bool(said) is not acted


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"name": "asha", "grace": 30}, "policy asha acts after epoch 30 at the earliest"),
        ({"name": "accel", "grace": 30}, "the filter of accel, policy median acts after epoch 30"),
        ({"name": "ray", "scheduler": "asha", "grace": 30}, "policy ray acts after epoch 30"),
        (
            {"name": "patience", "epochs": 9},
            "acts after epoch 10 at the earliest, and with epochs=",
        ),
        ("none", ""),
        ("asha", ""),
        ("accel", ""),
        ("ray:hyperband", ""),
    ],
)
def test_a_study_says_it_before_the_start(policy, text):
    space = {"lr.shape": tune.grid_search(["constant", "cosine"])}
    study = Study(name="a", base={"epochs": 10}, space=space, policy=policy)
    notes = [note for note in study.notes() if "at the earliest" in note]
    assert len(notes) == bool(text) and all(text in note for note in notes)
    assert not text or "the last validation before the end is after epoch 9, so it" in notes[0]
    if text and policy["name"] != "accel":
        bare = study.replace(base={"epochs": 10, "eval.every": 20})
        assert any("nothing is validated before the end" in note for note in bare.notes())
