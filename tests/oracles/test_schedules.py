"""The attack schedules against vectors of their rules (`formulas/schedules.py`)."""

from __future__ import annotations

import pytest

from rayat.attacks.base import Moment
from rayat.registry import ATTACKS, SCHEDULES

ROOM = "schedules"


def test_the_attack_of_every_moment(method, recorded):
    case = recorded["case"]
    schedule = SCHEDULES.build({"name": method, **case["given"]})
    attack = ATTACKS.build(case["attack"])
    for moment, at in zip(case["moments"], case["at"], strict=True):
        found = schedule.attack(attack, Moment(*moment)).spec()
        expected = case["attacks"][at]
        seen = {key: found[key] for key in expected}
        assert seen == pytest.approx(expected, rel=1e-12, abs=1e-15), moment
