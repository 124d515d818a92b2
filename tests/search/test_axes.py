"""Axes that only some arms have, domains out of place, keys that would change nothing."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.errors import ConfigError, StudyError
from rayat.study import Study

GRID = tune.grid_search
METHODS = ("pgd", "fgsm")


def expand(**fields):
    return Study(**{"name": "a", "seeds": (0,), **fields}).trials()


def test_an_axis_is_part_of_the_arms_that_have_its_parameter():
    space = {"lr.shape": GRID(["cosine", "onecycle"]), "lr.top_at": GRID([0.2, 0.5])}
    trials = expand(space=space, baseline="lr.shape=cosine")
    assert [t.arm for t in trials] == [
        "lr.shape=cosine",
        "lr.shape=onecycle,lr.top_at=0.2",
        "lr.shape=onecycle,lr.top_at=0.5",
    ]
    assert [getattr(t.config.lr, "top_at", None) for t in trials] == [None, 0.2, 0.5]


def test_a_drawn_axis_is_left_out_where_the_method_lacks_it_and_equal_points_are_one():
    space = {"lr.shape": GRID(["cosine", "onecycle"]), "lr.top_at": tune.uniform(0.1, 0.5)}
    trials = expand(space=space, draws=3)
    assert [t.arm for t in trials] == ["lr.shape=cosine"] + ["lr.shape=onecycle"] * 3
    assert len({t.config.lr.top_at for t in trials[1:]}) == 3
    both = expand(space={**space, "lr.peak": tune.uniform(0.1, 1)}, draws=3)
    assert [t.config.lr.peak for t in both[:3]] == [t.config.lr.peak for t in both[3:]]


def test_constants_and_the_base_may_hold_what_some_arms_have():
    shapes = GRID(["trapezoid", "cosine"])
    for fields in (
        {"base": {"lr.rise": 0.3}, "space": {"lr.shape": shapes}},
        {"space": {"lr.rise": 0.3, "lr.shape": shapes}},
        {"sets": {"lr.rise": 0.3}, "space": {"lr.shape": shapes}},
    ):
        trials = expand(**fields)
        assert [getattr(t.config.lr, "rise", None) for t in trials] == [0.3, None]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"space": {"lr.shape": GRID(["onecycle"]), "lr.top_att": GRID([0.2])}}, "lr.top_at"),
        ({"space": {"lr.shape": GRID(["onecycle"]), "lr.top_att": 0.2}}, "lr.top_at"),
        (
            {"space": {"lr.shape": tune.choice(["onecycle"])}, "base": {"lr.top_att": 0}},
            "lr.top_at",
        ),
        ({"base": {"attack.stps": 3}, "space": {"attack.name": GRID(["pgd"])}}, "attack.steps"),
        (
            {"space": {"lr.shape": GRID(["cosine", "linear"]), "lr.pek": tune.uniform(0, 1)}},
            "lr.peak",
        ),
    ],
)
def test_a_key_that_no_arm_has_is_unknown(fields, text):
    with pytest.raises(ConfigError, match=rf"unknown key .*did you mean '{text}'"):
        expand(**fields)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"space": {"lr.shape": GRID([])}},
            r"axis 'lr.shape' has no value: tune.grid_search\(\[\]",
        ),
        (
            {"space": {"lr.peak": tune.choice([])}},
            r"axis 'lr.peak' has no value: tune.choice\(\[\]",
        ),
        ({"space": {"epochs": tune.randint(3, 3)}}, "axis 'epochs' has no value between 3 and 3"),
        ({"space": {"lr.peak": tune.uniform(1, 0.1)}}, "axis 'lr.peak' has no value between 1 and"),
        (
            {"space": {"epochs": tune.qrandint(11, 14, 5)}},
            "has no value between 11 and 14 in steps",
        ),
        ({"space": {"lr.shape": GRID("cosine")}}, "takes a list of values in order, got 'cosine'"),
        ({"space": {"lr.shape": GRID({"cosine"})}}, "takes a list of values in order"),
        (
            {"space": {"attack": {"name": "pgd", "steps": tune.choice([1, 2])}}},
            r"'attack' of the space holds a domain at 'attack.steps': give it its own key",
        ),
        (
            {"space": {"lr.milestones": [0.2, tune.uniform(0.5, 0.9)]}},
            r"holds a domain at 'lr.milestones\[1\]': make it a choice or a grid of whole lists",
        ),
        (
            {"space": {"lr": GRID(["cosine", {"shape": "linear", "peak": tune.uniform(0, 1)}])}},
            "holds a domain within one of its values; give 'lr.peak' a key of its own",
        ),
        ({"base": {"lr.peak": tune.uniform(0, 1)}}, "the base holds a domain at 'lr.peak'"),
        (
            {"arms": {"x": {"attack": {"eps": GRID([0.1])}}}},
            "arm 'x' holds a domain at 'attack.eps'",
        ),
        ({"space": {"lr.peak": 0.1}, "scientific": ("lr.peak",)}, "a constant is no axis"),
        (
            {"space": {"lr.peak": 0.1}, "arms": {"x": {"lr.peak": 0.2}}},
            "which is a constant of the",
        ),
        ({"draws": 2}, "draws=2, but the study has no nuisance axis to draw from"),
    ],
)
def test_domains_that_hold_nothing_or_stand_in_the_wrong_place_are_refused(fields, text):
    with pytest.raises(StudyError, match=text) as error:
        expand(**fields)
    assert "\n" not in str(error.value)


def test_draws_do_not_repeat_and_more_than_there_are_is_said():
    space = {"epochs": tune.choice([1, 2, 3])}
    drawn = [t.config.epochs for t in expand(space=space, draws=3)]
    assert sorted(drawn) == [1, 2, 3]
    assert [t.config.epochs for t in expand(space=space, draws=2)] == drawn[:2]
    with pytest.raises(StudyError, match=r"draws=4 .*different points \(epochs\): set draws=3"):
        expand(space=space, draws=4)


def test_a_function_may_read_the_arm_and_the_constants():
    space = {
        "epochs": 4,
        "lr.shape": GRID(["cosine", "constant"]),
        "lr.peak": tune.sample_from(
            lambda spec: 0.1 * spec["epochs"] * (2 if spec["lr.shape"] == "cosine" else 1)
        ),
    }
    assert [t.config.lr.peak for t in expand(space=space)] == [0.8, 0.4]


def test_a_function_that_draws_for_itself_is_refused():
    import random

    space = {"lr.peak": tune.sample_from(lambda spec: 0.1 + random.random())}
    with pytest.raises(StudyError, match="sample_from gives other values each time"):
        expand(space=space)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"arms": {"a": {"attack": {"name": "pgd"}}, "b": {"attack": {"name": "fgsm"}}}},
            "the base gives attack.eps=0.3, but no arm has it: arm 'arm=a' gives 'attack' itself",
        ),
        (
            {"arms": {"a": {"eval": {"steps": 3}}}, "base": {"eval.eps": 0.1}},
            "the base gives eval.eps=0.1, but no arm has it",
        ),
        (
            {"arms": {"a": {"epochs": 3}, "b": {"epochs": 4}}, "sets": {"epochs": 1}},
            "--set gives epochs=1, but no arm has it",
        ),
        (
            {"arms": {"a": {"attack": {"name": "pgd", "eps": 0.1}}}, "sets": {"attack.eps": 0.2}},
            "eps",
        ),
    ],
)
def test_what_no_arm_would_have_is_refused(fields, text):
    with pytest.raises(StudyError, match=text):
        expand(**{"base": {"attack.eps": 0.3}, **fields})


def test_what_arms_name_themselves_hides_the_base_in_the_open():
    arms = {n: {"lr": {"shape": n, "peak": p}} for n, p in (("cosine", 0.2), ("linear", 0.3))}
    trials = expand(base={"lr.peak": 0.1, "epochs": 3}, arms=arms)
    assert [t.config.lr.peak for t in trials] == [0.2, 0.3]


def test_a_default_radius_beside_a_named_one_is_refused():
    mapped = {"name": "fgsm", "eps": 0.2}
    with pytest.raises(StudyError, match=r"'attack=fgsm' names no attack.eps .*0.03137.* has 0.2"):
        expand(space={"attack": GRID(["fgsm", mapped])})
    arms = {"pgd": {}, "none": {"attack": {"name": "none"}}}
    with pytest.raises(StudyError, match=r"'arm=none' names no attack\.eps"):
        expand(base={"attack": {"name": "pgd", "eps": 0.2}}, arms=arms)
    # A bare name keeps the base's radius, as `attack.name` does.
    base = {"attack": {"name": "pgd", "eps": 0.3}}
    trials = expand(base=base, space={"attack": GRID(["fgsm", mapped])})
    assert [t.config.attack.eps for t in trials] == [0.3, 0.2]
    bare = expand(space={"attack": GRID(["fgsm", "pgd"])})
    assert {t.config.attack.eps for t in bare} == {8 / 255}


def test_a_default_peak_beside_a_named_one_is_said():
    space = {"lr": GRID(["cosine", {"shape": "linear", "peak": 0.3}])}
    (text,) = Study(name="a", space=space).notes()
    assert "arm 'lr=cosine' names no lr.peak and would have the default 0.1, while" in text
    assert not Study(name="a", base={"lr.peak": 0.2}, space=space).notes()
    assert not Study(name="a", space={"lr.shape": GRID(["cosine", "linear"])}).notes()


def test_what_set_does_not_reach_is_said():
    arms = {"long": {"epochs": 6}, "short": {}, "same": {"epochs": 2}}
    study = Study(name="a", arms=arms, sets={"epochs": 2, "lr.peak": 0.3})
    assert study.notes() == ["--set epochs=2 does not reach arm=long, whose own value stays"]
    assert not Study(name="a", arms=arms, sets={"lr.peak": 0.3}).notes()
    whole = {n: {"attack": {"name": n, **({"eps": 0.1} if n == "pgd" else {})}} for n in METHODS}
    study = Study(name="a", arms=whole, sets={"attack.eps": 0.2}, seeds=(0,))
    said, radii = study.notes()
    assert said == "--set attack.eps=0.2 does not reach arm=pgd, whose own value stays"
    assert "(eps 0.1, 0.2)" in radii
    assert [t.config.attack.eps for t in study.trials()] == [0.1, 0.2]


def test_an_adaptive_search_leaves_out_what_an_arm_lacks():
    fields = {"draws": 4, "search": "optuna"}
    space = {
        "lr.shape": GRID(["cosine", "onecycle"]),
        "lr.top_at": tune.uniform(0.1, 0.5),
        "lr.peak": tune.uniform(0.1, 1),
    }
    plan = Study(name="a", seeds=(0,), space=space, **fields).plan()
    assert set(plan.propose("lr.shape=cosine")[0]) == {"lr.peak"}
    assert set(plan.propose("lr.shape=onecycle")[0]) == {"lr.peak", "lr.top_at"}
    tuned = {**space, "lr.shape": tune.choice(["cosine", "onecycle"])}
    found = Study(name="a", seeds=(0,), space=tuned, **fields).foreseen()
    assert {getattr(t.config.lr, "shape", t.config.lr.kind) for t in found} == {
        "cosine",
        "onecycle",
    }
    for point in Study(name="a", seeds=(0,), space=tuned, **fields).plan().propose("all"):
        assert ("lr.top_at" in point) == (point["lr.shape"] == "onecycle")


def test_a_plan_asks_the_searcher_that_will_run():
    space = {"lr.peak": tune.randn(0.5, 0.01)}
    assert len(Study(name="a", space=space, draws=2, seeds=(0,)).foreseen()) == 2
    with pytest.raises(StudyError, match="this search needs grid_search, choice or a range"):
        Study(name="a", space=space, draws=2, search="optuna").foreseen()
    few = Study(name="a", space={"epochs": tune.choice([1, 2])}, draws=9, search="optuna")
    assert len(few.foreseen()) == 6, "an adaptive search ends when its space is exhausted"


def test_a_draw_that_comes_to_a_controls_own_point_is_left_out():
    found = Study(
        name="a",
        seeds=(0, 1),
        controls={"fixed": {"lr.peak": 0.1}},
        space={"lr.peak": tune.choice([0.1, 0.2, 0.3])},
        draws=3,
        baseline="arm=fixed",
    ).trials()
    assert sorted((t.arm, t.config.lr.peak) for t in found if t.config.seed == 0) == [
        ("arm=fixed", 0.1),
        ("arm=searched", 0.2),
        ("arm=searched", 0.3),
    ]
    assert [t.index for t in found] == list(range(6))
