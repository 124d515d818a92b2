"""Arms say what ran: every value that an arm or a point names is the configuration's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune

from rayat.config import TrialConfig
from rayat.errors import RayatError, StudyError
from rayat.search.arms import Arm, refuse_other, same
from rayat.search.plan import Plan
from rayat.study import Study

GRID = tune.grid_search


def expand(**fields):
    return Study(**{"name": "a", "seeds": (0,), **fields}).trials()


def test_a_constant_method_and_the_parameters_that_are_searched():
    space = {"lr.shape": "trapezoid", "lr.rise": GRID([0.3]), "lr.peak": GRID([0.1, 0.2])}
    trials = expand(space=space)
    assert [t.arm for t in trials] == ["lr.rise=0.3,lr.peak=0.1", "lr.rise=0.3,lr.peak=0.2"]
    assert [(t.config.lr.kind, t.config.lr.rise, t.config.lr.peak) for t in trials] == [
        ("trapezoid", 0.3, 0.1),
        ("trapezoid", 0.3, 0.2),
    ]
    study = Study(name="a", space=space)
    assert study.axes() == (("lr.rise", "lr.peak"), ())
    assert expand(space=dict(reversed(space.items())))[0].config == trials[0].config


CASES = [
    # base, constants and axes, `--set`: what names the method, and what its parameter
    ({"lr.rise": 0.3}, {"lr.shape": "trapezoid"}, {}),
    ({"lr.rise": 0.3}, {"lr.shape": GRID(["trapezoid"])}, {}),
    ({"lr.rise": 0.3}, {"lr.shape": tune.choice(["trapezoid"])}, {}),
    ({"lr.rise": 0.3}, {}, {"lr.shape": "trapezoid"}),
    ({"lr.shape": "trapezoid"}, {"lr.rise": 0.3}, {}),
    ({"lr": {"shape": "trapezoid", "rise": 0.1}}, {"lr.rise": 0.3}, {}),
    ({"lr": {"shape": "trapezoid", "rise": 0.1}}, {"lr.rise": GRID([0.3])}, {}),
    ({}, {"lr.rise": GRID([0.3]), "lr.shape": tune.choice(["trapezoid"])}, {}),
    ({}, {"lr.rise": tune.choice([0.3]), "lr.shape": GRID(["trapezoid"])}, {}),
    ({}, {"lr.rise": tune.uniform(0.3, 0.3), "lr": GRID([{"shape": "trapezoid"}])}, {}),
    ({"lr.shape": "trapezoid"}, {"lr.rise": 0.1}, {"lr.rise": 0.3}),
]


@pytest.mark.parametrize(("base", "space", "sets"), CASES)
def test_the_name_comes_before_its_parameters_in_every_pair_of_layers(base, space, sets):
    (trial,) = expand(base=base, space=space, sets=sets)
    assert (trial.config.lr.kind, trial.config.lr.rise) == ("trapezoid", 0.3)


@pytest.mark.parametrize(
    ("base", "space", "arms", "peaks"),
    [
        ({"lr.peak": 0.1}, {"lr.shape": GRID(["cosine"]), "lr.peak": GRID([0.2, 0.3])}, {}, [2, 3]),
        ({"lr.peak": 0.1}, {"lr.shape": GRID(["cosine"]), "lr.peak": tune.choice([0.2])}, {}, [2]),
        ({"lr.peak": 0.1}, {}, {"a": {"lr.shape": "cosine", "lr.peak": 0.3}}, [3]),
        ({"lr.peak": 0.1}, {}, {"a": {"lr": {"shape": "cosine", "peak": 0.3}}}, [3]),
        ({"lr.peak": 0.1}, {}, {"a": {"lr.shape": "cosine"}}, [1]),
        ({"lr": {"peak": 0.1}}, {"lr.shape": GRID(["cosine"]), "lr.peak": GRID([0.2])}, {}, [2]),
    ],
)
def test_a_later_layer_wins_also_over_a_parameter_that_stood_alone(base, space, arms, peaks):
    """The first edit of the first example: a rate in the base, and then an axis of rates."""
    trials = expand(base=base, space=space, arms=arms)
    assert [(t.config.lr.kind, round(10 * t.config.lr.peak)) for t in trials] == [
        ("cosine", peak) for peak in peaks
    ]


def test_what_set_gives_wins_over_a_parameter_that_stood_alone():
    (trial,) = expand(
        base={"attack.eps": 0.1},
        space={"lr.shape": GRID(["cosine"])},
        sets={"attack.name": "fgsm", "attack.eps": 0.3},
    )
    assert (trial.config.attack.kind, trial.config.attack.eps) == ("fgsm", 0.3)


def test_a_deeper_parameter_alone_is_not_hidden_by_a_name_beside_it():
    stages = {"attack_schedule.name": "switch", "attack_schedule.to.name": "pgd"}
    (trial,) = expand(
        base={"attack": {"name": "fgsm", "eps": 0.2}, "attack_schedule.to.eps": 0.2},
        arms={"a": {**stages, "attack_schedule.at": 0.5}},
    )
    assert trial.config.attack_schedule.to["eps"] == 0.2


@pytest.mark.parametrize("turned", [False, True])
def test_one_layer_that_gives_a_key_two_values_is_refused(turned):
    base = {"lr.peak": 0.1, "lr": {"shape": "constant", "peak": 0.3}}
    with pytest.raises(RayatError, match=r"lr\.peak is given twice, as 0\.1 and as 0\.3 in 'lr'"):
        expand(base=dict(reversed(base.items())) if turned else base)
    same_value = {"lr.peak": 0.3, "lr": {"shape": "constant", "peak": 0.3}}
    assert expand(base=same_value)[0].config.lr.peak == 0.3


def test_a_constant_outlives_the_parts_that_arms_give_whole():
    arms = {"pgd": {"attack": {"name": "pgd", "steps": 3}}, "fgsm": {"attack": "fgsm"}}
    trials = expand(arms=arms, space={"attack.eps": 0.2})
    assert [(t.arm, t.config.attack.eps) for t in trials] == [("arm=pgd", 0.2), ("arm=fgsm", 0.2)]
    named = {"pgd": {"attack": {"name": "pgd", "eps": 0.1}}}
    with pytest.raises(
        StudyError, match=r"arm 'arm=pgd' names attack\.eps=0\.2, .*attack\.eps=0\.1"
    ):
        expand(arms=named, space={"attack.eps": 0.2})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"space": {"attack": GRID([{"name": "pgd", "eps": 0.1}]), "attack.eps": GRID([0.2])}},
            r"names attack\.eps=0\.1, but .*attack\.eps=0\.2",
        ),
        (
            {
                "space": {
                    "lr.peak": GRID([0.1]),
                    "lr": tune.choice([{"shape": "cosine", "peak": 1}]),
                }
            },
            r"names lr\.peak=1, but .*lr\.peak=0\.1",
        ),
    ],
)
def test_two_keys_that_give_one_value_are_refused_with_both(fields, text):
    with pytest.raises(StudyError, match=text):
        expand(**fields)


def test_the_check_itself_names_both_values():
    config = TrialConfig.parse({"lr": {"shape": "trapezoid", "rise": 0.1}})
    refuse_other("a", {"lr.rise": 0.1, "lr.shape": "trapezoid"}, config)
    with pytest.raises(StudyError, match=r"names lr\.rise=0\.3, but .* lr\.rise=0\.1"):
        refuse_other("a", {"lr.rise": 0.3}, config)
    with pytest.raises(StudyError, match=r"names lr\.top_at=0\.3, but .* lr\.top_at=None"):
        refuse_other("a", {"lr.top_at": 0.3}, config)


@pytest.mark.parametrize(
    ("wanted", "found", "equal"),
    [
        (1, 1.0, True),
        ("8/255", 8 / 255, True),
        ("0.1", 0.1, True),
        ((1, 2), [1, 2], True),
        ([1], [1, 2], False),
        ("pgd", {"name": "pgd", "steps": 10}, True),
        ("timm:resnet18", {"name": "timm", "arch": "resnet18"}, True),
        ({"name": "pgd", "steps": 5}, {"name": "pgd", "steps": 10}, False),
        ({"name": "pgd"}, {"name": "pgd", "steps": 10}, True),
        (True, 1, False),
        (None, None, True),
        ("fp32", "bf16", False),
    ],
)
def test_same(wanted, found, equal):
    assert same(wanted, found) is equal


KEYS = {
    "lr.shape": ["cosine", "trapezoid", "onecycle", "linear"],
    "lr.rise": [0.05, 0.3],
    "lr.decay": [0.25, 0.4],
    "lr.top_at": [0.2, 0.5],
    "lr.peak": [0.05, 0.7],
    "lr": [{"shape": "trapezoid", "rise": 0.2}, "cosine", {"shape": "linear", "peak": 0.9}],
    "attack.name": ["pgd", "fgsm", "dynamic"],
    "attack.steps": [3, 4],
    "attack.eps": [0.1, "8/255"],
    "attack": [{"name": "pgd", "eps": 0.2, "steps": 2}, "fgsm"],
    "epochs": [3, 4],
    "eval.steps": [2, 7],
    "eval": [{"size": 11}],
}


@st.composite
def studies(draw):
    """Keys in any order, each in one place: base, arms, constant, grid or choice."""
    layers = {"base": {}, "space": {}, "arm": {}, "sets": {}}
    for key in draw(st.permutations(sorted(KEYS)))[: draw(st.integers(1, 7))]:
        values = draw(st.permutations(KEYS[key]))
        role = draw(st.sampled_from(["base", "constant", "grid", "choice", "arm", "sets"]))
        if role in ("base", "arm", "sets"):
            layers[role][key] = values[0]
        else:
            domain = {"constant": values[0], "grid": GRID(values), "choice": tune.choice(values)}
            layers["space"][key] = domain[role]
        if draw(st.booleans()):
            layers["base"].setdefault(key, draw(st.sampled_from(KEYS[key])))
    return layers


def leaves(value, prefix):
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in leaves(v, f"{prefix}.{k}")]
    head = prefix.partition(".")[0]
    if prefix in ("lr", "attack"):
        return [(f"{head}.{'shape' if head == 'lr' else 'name'}", value)]
    return [(prefix, 8 / 255 if value == "8/255" else value)]


@settings(max_examples=150)
@given(layers=studies())
def test_every_trial_of_every_study_is_what_its_arm_and_its_point_name(layers):
    space, arm = layers["space"], layers["arm"]
    try:
        fields = {"base": layers["base"], "space": space, "sets": layers["sets"]}
        study = Study(name="a", seeds=(0,), arms={"x": arm} if arm else {}, **fields)
        trials, plan = study.trials(), study.plan()
    except RayatError:
        return
    assert trials
    for trial in trials:
        flat = trial.config.flat()
        chosen: dict[str, object] = dict(plan.arms[trial.arm].own)
        for key, value in chosen.items():
            for dotted, wanted in leaves(value, key):
                assert flat[dotted] == wanted, trial.arm
        for key, value in space.items():
            if not isinstance(value, dict) and isinstance(value, str | int | float):
                for dotted, wanted in leaves(value, key):
                    if key not in layers["sets"]:
                        assert flat.get(dotted, wanted) == wanted, "a constant"
            if isinstance(value, dict) and set(value) == {"grid_search"}:
                # What is in the label is in the configuration, and in a label of a trial or none.
                assert key in chosen or key not in flat
    # Every value of a grid is measured, or no arm could have it.
    for key, value in space.items():
        if isinstance(value, dict) and set(value) == {"grid_search"}:
            seen = [t.config.flat() for t in trials]
            for wanted in value["grid_search"]:
                for dotted, leaf in leaves(wanted, key)[:1]:
                    assert any(flat.get(dotted) == leaf for flat in seen)


def test_a_plan_that_was_stored_merged_is_still_read():
    study = Study(
        name="a", space={"lr.peak": tune.loguniform(0.01, 1)}, draws=4, search="optuna", seeds=(0,)
    )
    tree = json.loads(json.dumps(study.plan().tree()))
    again = Plan.parse(tree)
    point = again.propose("all")[0]
    assert again.trials("all", 0, point, 0) == study.plan().trials("all", 0, point, 0)
    old = {**tree, "arms": {"all": {"epochs": 3, "lr": {"shape": "cosine", "peak": 0.5}}}}
    assert Plan.parse(old).arms["all"] == Arm((old["arms"]["all"],), {})
    (trial,) = Plan.parse(old).trials("all", 0, point, 0)
    assert (trial.config.epochs, trial.config.lr.peak) == (3, point["lr.peak"])
