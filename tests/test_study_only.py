"""A part of a study's arms: the same configurations as in the whole."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.errors import StudyError
from rayat.study import Study


def two_axes(**fields):
    arms = {"pgd-10": {}, "fgsm": {"attack": "fgsm"}, "n-fgsm": {"attack": "n-fgsm"}}
    space = {"attack.eps": tune.grid_search([0.1, 0.2])}
    return Study(name="part", arms=arms, space=space, seeds=(0,), **fields)


@pytest.mark.parametrize(
    ("only", "arms"),
    [
        (("fgsm",), ["arm=fgsm,attack.eps=0.1", "arm=fgsm,attack.eps=0.2"]),
        (("arm=fgsm,attack.eps=0.2",), ["arm=fgsm,attack.eps=0.2"]),
        (
            ("attack.eps=0.1", "arm=n-fgsm,attack.eps=0.2"),
            [
                "arm=pgd-10,attack.eps=0.1",
                "arm=fgsm,attack.eps=0.1",
                "arm=n-fgsm,attack.eps=0.1",
                "arm=n-fgsm,attack.eps=0.2",
            ],
        ),
    ],
)
def test_a_part_of_the_arms_is_the_same_configurations(only, arms):
    whole = {trial.arm: trial.config.sha256() for trial in two_axes().trials()}
    part = {trial.arm: trial.config.sha256() for trial in two_axes(only=only).trials()}
    assert part == {arm: whole[arm] for arm in arms}
    assert two_axes(only=only).tree()["only"] == list(only)


def test_an_arm_that_is_none_or_a_baseline_left_out_is_refused():
    with pytest.raises(StudyError, match=r"'n-fgms' is no arm.*did you mean 'n-fgsm'"):
        two_axes(only=("n-fgms",)).trials()
    with pytest.raises(StudyError, match="not among the arms that are to run"):
        two_axes(only=("fgsm",), baseline="arm=pgd-10").trials()


def test_arms_of_several_radii_are_said_before_the_money_is_spent():
    (note,) = two_axes().notes()
    assert "(eps 0.1, 0.2)" in note and "eval.eps gives all arms one radius" in note
    assert two_axes(base={"eval.eps": 0.1}).notes() == []
    assert two_axes(only=("attack.eps=0.1",)).notes() == []
