"""What a search leaves out by name, and that a slip in it is refused."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.errors import StudyError
from rayat.search.rules import excluded
from rayat.study import Study

SPACE = {
    "attack": tune.choice(["pgd", "fgsm", {"name": "fgsm-rs"}]),
    "attack_schedule": tune.choice(["none", "curriculum"]),
    "pruning": tune.choice(["none", "random"]),
    "pruning.fraction": tune.choice([0.3, 0.7]),
}
ONE_STEP = {
    "one step has nothing to grow": {
        "attack": ["fgsm", "fgsm-rs"],
        "attack_schedule": "curriculum",
    }
}


def study(**fields):
    return Study(**{"name": "a", "seeds": (0,), "space": SPACE, "draws": 6, **fields})


@pytest.mark.parametrize(
    ("rule", "tree", "holds"),
    [
        ({"attack": "pgd"}, {"attack": {"name": "pgd", "steps": 10}}, True),
        ({"attack": {"name": "pgd", "steps": 2}}, {"attack": {"name": "pgd", "steps": 10}}, False),
        ({"attack.steps": [1, 10]}, {"attack": {"name": "pgd", "steps": 10}}, True),
        ({"attack.steps": 1}, {"attack": {"name": "fgsm"}}, False),
        ({"attack.eps": "8/255"}, {"attack": {"name": "fgsm", "eps": 8 / 255}}, True),
        ({"epochs": [2, 3], "seed": 1}, {"epochs": 3, "seed": 0}, False),
        ({"eval.size": None}, {"eval": {"size": None}}, True),
    ],
)
def test_all_conditions_must_hold_and_a_list_is_any_of_its_values(rule, tree, holds):
    assert excluded({"why": rule}, tree) == ("why" if holds else None)


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_what_is_excluded_is_never_proposed_and_budgets_stay_equal(search):
    if search == "optuna":
        pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    with pytest.raises(Exception, match="curriculum"):
        study(draws=9).trials()  # without the rule a draw is no configuration
    space = {**SPACE, "pruning": "random"}
    trials = study(space=space, exclude=ONE_STEP, search=search, draws=7).foreseen()
    assert len(trials) == 7
    assert not any(
        t.config.attack.kind != "pgd" and t.config.attack_schedule.kind == "curriculum"
        for t in trials
    )


def test_a_parameter_that_moves_nothing_makes_no_other_configuration():
    space = {**SPACE, "attack": tune.choice(["pgd"]), "attack_schedule": tune.choice(["none"])}
    found = study(space=space, budget="1 Mpasses", draws=99).plan().propose("all")
    assert len(found) == 3, "none, and random at two fractions"
    assert [("pruning.fraction" in point) for point in found].count(False) == 1


def test_a_survey_says_what_each_rule_leaves_out_and_finds_what_none_names():
    plan = study(exclude=ONE_STEP, budget="1 Mpasses").plan()
    found = plan.survey("all", 300)
    assert found.drawn == 300
    assert found.kept == 300 - found.reasons["one step has nothing to grow"]
    # A third of the draws: two of three attacks, one of two schedules; three standard errors.
    assert (
        abs(found.reasons["one step has nothing to grow"] / 300 - 1 / 3) < 3 * (2 / 9 / 300) ** 0.5
    )
    with pytest.raises(StudyError, match=r"attack 'fgsm.*exclude such points by name"):
        study(budget="1 Mpasses").plan().survey("all", 300)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({}, "has no condition"),
        ({"atack": "pgd"}, "asks for 'atack', which no configuration has .did you mean 'attack'"),
        ({"attack": "pdg"}, "attack='pdg', which is no method .did you mean 'pgd'"),
        ({"attack": ["pgd", "pdg"]}, "attack='pdg', which is no method"),
        ({"pruning.fractoin": 0.3}, "'pruning.fractoin', which no pruning has"),
        ({"eval.sizes": 3}, "'eval.sizes', which no configuration has .did you mean 'eval.size'"),
        ({"attack": []}, "lists no value of 'attack'"),
    ],
)
def test_a_rule_that_can_never_hold_is_refused(rule, text):
    with pytest.raises(StudyError, match=text):
        study(exclude={"why": rule})


def test_an_exclusion_reaches_arms_that_are_compared():
    methods = tune.grid_search(["pgd", "fgsm"])
    schedules = tune.grid_search(["none", "curriculum"])
    space = {"attack": methods, "attack_schedule": schedules}
    arms = [t.arm for t in study(space=space, draws=1, exclude=ONE_STEP).trials()]
    assert arms == [
        "attack=pgd,attack_schedule=none",
        "attack=fgsm,attack_schedule=none",
        "attack=pgd,attack_schedule=curriculum",
    ]
