"""What each schedule gives when, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.attack_schedules.curriculum import Curriculum
from rayat.attack_schedules.ramp import Ramp
from rayat.attack_schedules.stages import Stages
from rayat.attack_schedules.switch import Switch
from rayat.attacks.base import Moment
from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.registry import ATTACKS

PGD = ATTACKS.build({"name": "pgd", "eps": 0.2, "steps": 4, "step_size": 0.05})


def at(progress, epochs=10):
    return Moment(max(1, -int(-progress * epochs // 1)), epochs, progress, 0)


def parse(attack="pgd", **schedule):
    return TrialConfig.parse({"attack": attack, "attack_schedule": schedule})


def test_a_ramp_is_a_line_between_its_ends_and_flat_outside():
    ramp = Ramp(eps=0.0, step_size=0.01, begin=0.2, until=0.6)
    for progress, eps, step_size in [
        (0.1, 0.0, 0.01),
        (0.2, 0.0, 0.01),
        (0.4, 0.1, 0.03),
        (0.6, 0.2, 0.05),
        (1.0, 0.2, 0.05),
    ]:
        found = ramp.attack(PGD, at(progress))
        assert (found.eps, found.step_size) == pytest.approx((eps, step_size))
        assert (found.kind, found.steps) == ("pgd", 4)
    assert ramp.attack(PGD, at(0.6)) is PGD


def test_a_ramp_of_steps_is_rounded_and_none_are_no_attack():
    found = [Ramp(steps=0).attack(PGD, at(i / 16)) for i in range(17)]
    assert [attack.kind for attack in found] == ["none"] * 2 + ["pgd"] * 15
    counts = [attack.steps for attack in found[2:]]
    assert counts == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 3
    assert all(attack.eps == 0.2 for attack in found)


def test_a_ramp_may_come_down():
    assert Ramp(steps=8).attack(PGD, at(0.5)).steps == 6


def test_a_ramp_moves_the_threshold_of_dynamic():
    attack = ATTACKS.build({"name": "dynamic", "threshold": 0.0})
    assert Ramp(threshold=0.5).attack(attack, at(0.5)).at(at(0.5)).limit() == 0.25


@given(most=st.integers(1, 30), epochs=st.integers(1, 60), until=st.floats(0.05, 1))
def test_a_curriculum_climbs_from_none_to_all_and_stays(most, epochs, until):
    attack = PGD.replace(steps=most)
    found = [
        Curriculum(until=until).attack(attack, Moment(e, epochs, 1)) for e in range(1, epochs + 1)
    ]
    steps = [getattr(a, "steps", 0) for a in found]
    assert steps[0] == 0 and steps == sorted(steps) and max(steps) <= most
    assert all(s == most for e, s in enumerate(steps) if e >= until * epochs)
    if epochs % (most + 1) == 0:
        shares = [
            [
                getattr(Curriculum().attack(attack, Moment(e, epochs, 1)), "steps", 0)
                for e in range(1, epochs + 1)
            ].count(k)
            for k in range(most + 1)
        ]
        assert len(set(shares)) == 1, "each number of steps for as many epochs"


def test_stages_hold_until_the_next_one():
    stages = Stages(stages=[(0.25, {"steps": 1}), (0.5, {"name": "fgsm-rs"}), (0.75, {})])
    found = [stages.attack(PGD, at(p)) for p in (0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.8, 1.0)]
    assert [a.kind for a in found] == ["pgd"] * 4 + ["fgsm-rs"] * 2 + ["pgd"] * 2
    assert [found[i].steps for i in (0, 1, 2, 3, 6, 7)] == [4, 4, 1, 1, 4, 4]
    assert found[4].eps == 0.2, "another attack keeps the radius"


def test_a_switch_gives_the_other_attack_after_its_moment():
    weak = ATTACKS.build({"name": "fgsm-rs", "eps": 0.2, "norm": "l2"})
    switch = Switch(at=0.7, to={"name": "pgd", "steps": 3})
    before, after = switch.attack(weak, at(0.7)), switch.attack(weak, at(0.71))
    assert before is weak
    assert (after.kind, after.steps, after.eps, after.norm) == ("pgd", 3, 0.2, "l2")
    assert Switch(at=0.7, to={"step_size": 0.1}).attack(weak, at(0.8)).step_size == 0.1
    assert Switch(to="dynamic").attack(weak, at(1.0)).kind == "dynamic"


def test_every_value_is_a_dotted_key():
    config = TrialConfig.parse(
        {
            "attack": "fgsm-rs",
            "attack_schedule.name": "switch",
            "attack_schedule.at": 0.7,
            "attack_schedule.to.name": "pgd",
            "attack_schedule.to.steps": 3,
        }
    )
    assert config.flat()["attack_schedule.to.steps"] == 3
    assert config.replace({"attack_schedule.at": 0.2}).attack_schedule.at == 0.2
    assert config.attack_schedule.attack(config.attack, at(0.9)).steps == 3


@pytest.mark.parametrize(
    ("attack", "schedule", "text"),
    [
        ("pgd", {"name": "ramp"}, "attack_schedule 'ramp' changes nothing; give where one of eps"),
        ("fgsm", {"name": "ramp", "steps": 1}, "'ramp' changes 'steps', which attack 'fgsm' does"),
        ("pgd", {"name": "ramp", "step_size": 1}, "where 'step_size' ends; give attack.step_size"),
        ("dynamic", {"name": "ramp", "threshold": 1}, "'threshold' ends; give attack.threshold"),
        ("pgd", {"name": "ramp", "eps": 0, "begin": 0.5, "until": 0.5}, "below .*until=0.5, got"),
        ("none", {"name": "curriculum"}, "changes 'steps', which attack 'none' does not have"),
        ("pgd", {"name": "stages"}, "attack_schedule 'stages' has no stage"),
        ("pgd", {"name": "stages", "stages": [[0.5, {}], [0.5, {}]]}, r"in \[0, 1\), got 0.5, 0.5"),
        ("pgd", {"name": "stages", "stages": [[0, {"stepz": 1}]]}, "did you mean 'attack.steps'"),
        ("pgd", {"name": "switch", "to": "pdg"}, "unknown attack 'pdg' .did you mean 'pgd'"),
        ("pgd", {"name": "switch", "to": {"eps": 2}}, "eps must be at most 1, got 2"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_start(attack, schedule, text):
    with pytest.raises(ConfigError, match=text):
        parse(attack, **schedule)


def test_attacks_of_later_moments_are_checked_too(monkeypatch):
    def refuse(self, config):
        raise ConfigError(f"no {self.kind} here")

    monkeypatch.setattr(ATTACKS.get("dynamic"), "check", refuse)
    with pytest.raises(ConfigError, match="no dynamic here"):
        parse("pgd", name="switch", to="dynamic")
