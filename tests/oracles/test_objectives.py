"""Each objective's losses and their slope against recorded vectors (`formulas/objectives.py`)."""

from __future__ import annotations

import pytest
import torch

from rayat.attacks.base import Adversarial, Moment
from rayat.registry import ATTACKS, OBJECTIVES

ROOM = "objectives"
TIGHT = {"atol": 1e-12, "rtol": 1e-9}


def test_the_losses_and_their_slope_are_those_of_the_rule(method, recorded, draws, torched):
    case = recorded["case"]
    model, x = torched.network(recorded["network"]), torched.picture(recorded["x"])
    moved, y = torched.picture(recorded["adversarial"]), torched.tensor(recorded["y"])
    if "y" in case:
        y, moved = torched.tensor(case["y"]), moved if case["attacked"] else x
    objective = OBJECTIVES.get(method)(**case["parameters"])
    if case.get("attack"):
        attack, noise = ATTACKS.get("fgsm")(**case["attack"]), draws(case["draws"])
        objective = objective.at(Moment(1, 3, 1.0), attack, noise)
    if "epoch" in case:
        attack = ATTACKS.get("fgsm")()
        objective = objective.at(Moment(case["epoch"], 3, 1.0), attack, torch.Generator())
    outcome = objective.loss(model, x, Adversarial(moved, 0, 0), y)
    torch.testing.assert_close(outcome.loss, torched.tensor(case["loss"]), **TIGHT)
    outcome.loss.mean().backward()
    names = ("w1", "b1", "w2", "b2")
    for name, weight in zip(names, model.parameters(), strict=True):
        expected = torched.tensor(case["slope"][name])
        torch.testing.assert_close(
            weight.grad, expected, **TIGHT, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize(("method", "loss"), [("trades", "kl"), ("mart", "ce"), ("madry", "ce")])
def test_what_attacks_climb_for_it(method, loss):
    assert OBJECTIVES.get(method).inner == loss
