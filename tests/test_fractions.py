"""`8/255` wherever a number of that meaning stands, read in one place, stored as a float."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from rayat.api.studies import changed_study
from rayat.cli.evaluating import _radius
from rayat.cli.studies import parse_changes
from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.fractions import number, numbers
from rayat.registry import ATTACKS, SCHEDULES
from rayat.study import Study

EIGHT = 8 / 255


@given(st.integers(0, 255), st.integers(1, 255))
def test_a_fraction_is_its_quotient(a, b):
    assert number(f"{a}/{b}") == number(f" {a} / {b} ") == a / b
    assert number(str(a / b)) == a / b


@pytest.mark.parametrize(
    "text", ["1/0", "a/b", "8/", "/255", "1/2/3", "nan", "inf", "1e999", "", "x"]
)
def test_what_is_no_number_stays_a_text(text):
    assert number(text) == text
    assert numbers({"a": [text, 3]}) == {"a": [text, 3]}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"attack.eps": "8/255"}, "attack.eps"),
        ({"attack": {"name": "fgsm", "eps": "8/255"}}, "attack.eps"),
        ({"eval.eps": "8/255"}, "eval.eps"),
        ({"eval": {"eps": "8/255"}}, "eval.eps"),
        ({"attack.step_size": "8/255"}, "attack.step_size"),
        ({"attack": {"name": "n-fgsm", "step_size": "8/255"}}, "attack.step_size"),
        ({"attack": {"name": "fgsm-rs", "step_size": "8/255"}}, "attack.step_size"),
        ({"attack": {"name": "fgsm-ckpt", "step_size": "8/255"}}, "attack.step_size"),
        (
            {"attack": {"name": "bullet-train", "robust_step_size": "8/255"}},
            "attack.robust_step_size",
        ),
        ({"attack_schedule": {"name": "ramp", "eps": "8/255"}}, "attack_schedule.eps"),
        (
            {"attack_schedule": {"name": "ramp", "step_size": "8/255"}, "attack.step_size": 0.1},
            "attack_schedule.step_size",
        ),
        ({"attack_schedule": {"name": "switch", "to": {"eps": "8/255"}}}, "attack_schedule.to.eps"),
    ],
)
def test_a_fraction_is_the_float_in_every_place(changes, path):
    config = TrialConfig.parse(changes)
    assert config.flat()[path] == EIGHT
    text = config.canonical()
    assert "8/255" not in text
    spelled = {key: numbers(value) for key, value in changes.items()}
    assert TrialConfig.parse(spelled).sha256() == config.sha256()


def test_stages_studies_and_the_command_line_read_it():
    stages = [[0, {"name": "fgsm", "eps": "8/255"}], ["1/2", {}]]
    schedule = SCHEDULES.build({"name": "stages", "stages": stages})
    assert schedule.stages == ((0, {"name": "fgsm", "eps": EIGHT}), (0.5, {}))
    space = {"attack.eps": tune.grid_search(["4/255", "8/255"])}
    study = Study(name="a", space=space, seeds=(0,), baseline="attack.eps=8/255")
    assert [t.config.attack.eps for t in study.trials()] == [4 / 255, EIGHT]
    changes = parse_changes(["attack.eps=8/255", "eval.eps=0.1"])
    trial = changed_study(Study(name="a", seeds=(0,)), changes).trials()[0]
    assert (trial.config.attack.eps, trial.config.eval.eps) == (EIGHT, 0.1)
    assert _radius("8/255") == EIGHT
    assert _radius("0.1") == 0.1


@pytest.mark.parametrize(
    ("changes", "key", "meant"),
    [
        ({"attack.eps": 8}, "eps", "8/255 = 0.03137"),
        ({"eval.eps": 8}, "eval.eps", "8/255 = 0.03137"),
        ({"attack.step_size": 2}, "step_size", "2/255 = 0.007843"),
        ({"attack": {"name": "fgsm-rs", "step_size": 10}}, "step_size", "10/255 = 0.03922"),
        ({"attack": {"name": "bullet-train", "robust_step_size": 6}}, "robust_step_size", "6/255"),
        ({"attack_schedule": {"name": "ramp", "eps": 8}}, "attack_schedule.eps", "8/255"),
        (
            {"attack_schedule": {"name": "switch", "to": {"name": "pgd", "step_size": 2}}},
            "step",
            "2/255",
        ),
        ({"attack_schedule": {"name": "stages", "stages": [[0, {"eps": 8}]]}}, "eps", "8/255"),
    ],
)
def test_a_length_in_255ths_is_refused_with_what_was_meant(changes, key, meant):
    with pytest.raises(ConfigError) as error:
        TrialConfig.parse(changes)
    text = str(error.value)
    assert key in text
    assert f"did you mean {meant}" in text
    assert "must be at most 1, got" in text
    assert "\n" not in text


def test_the_command_line_says_the_same():
    with pytest.raises(ConfigError, match="did you mean 8/255"):
        _radius("8")
    with pytest.raises(ConfigError, match="a number or a fraction such as 8/255, got '8/0'"):
        _radius("8/0")
    # In l2 a length above 1 is an ordinary one.
    assert ATTACKS.build({"name": "pgd", "norm": "l2", "eps": 2, "step_size": 1.5}).eps == 2
