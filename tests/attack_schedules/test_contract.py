"""The contract of every registered schedule; a new one is tested by being registered."""

from __future__ import annotations

import pytest

from rayat.attacks.base import Attack, Moment
from rayat.config import TrialConfig
from rayat.registry import ATTACKS, SCHEDULES

NEEDED = {
    "ramp": {"eps": 0.0, "steps": 0, "step_size": 0.01},
    "stages": {"stages": [[0.0, {"name": "fgsm-rs"}], [0.5, {"steps": 3}]]},
}
"""Parameters that a schedule does not work without."""

MOMENTS = [Moment(e, 6, (e - 1 + s / 4) / 6, s - 1) for e in range(1, 7) for s in range(1, 5)]


@pytest.fixture(params=SCHEDULES.names())
def schedule(request):
    return SCHEDULES.build({"name": request.param, **NEEDED.get(request.param, {})})


@pytest.fixture
def attack() -> Attack:
    return ATTACKS.build({"name": "pgd", "eps": 0.2, "steps": 5, "step_size": 0.05})


def test_every_moment_has_an_attack_and_the_same_moment_an_equal_one(schedule, attack):
    for moment in MOMENTS:
        found = schedule.attack(attack, moment)
        assert isinstance(found, Attack)
        assert found == schedule.attack(attack, moment)


def test_every_kind_is_announced_before_the_start(schedule, attack):
    known = {found.kind for found in schedule.attacks(attack)} | {"none"}
    assert {schedule.attack(attack, moment).kind for moment in MOMENTS} <= known


def test_the_attack_itself_is_not_changed(schedule, attack):
    before = attack.spec()
    for moment in MOMENTS:
        schedule.attack(attack, moment)
    assert attack.spec() == before


def test_it_survives_the_configurations_json(schedule, attack):
    config = TrialConfig.parse({"attack": attack, "attack_schedule": schedule})
    again = TrialConfig.parse(config.tree())
    assert again.sha256() == config.sha256() and again.attack_schedule == schedule
