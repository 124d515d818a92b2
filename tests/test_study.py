"""Studies: what is compared, expanded to the same trials everywhere, refused when it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from ray import tune

from rayat.errors import ConfigError, StudyError
from rayat.registry import SHAPES
from rayat.study import Study, load_study

SHAPE_AXIS = tune.grid_search(["constant", "cosine"])


def study(**fields) -> Study:
    return Study(**{"name": "a", "space": {"lr.shape": SHAPE_AXIS}, **fields})


def test_every_arm_has_every_seed_and_seeds_are_innermost():
    trials = study(seeds=(5, 6)).trials()
    assert [(t.arm, t.config.seed) for t in trials] == [
        ("lr.shape=constant", 5),
        ("lr.shape=constant", 6),
        ("lr.shape=cosine", 5),
        ("lr.shape=cosine", 6),
    ]
    assert [t.index for t in trials] == [0, 1, 2, 3]
    ids = [t.trial_id for t in trials]
    assert len(set(ids)) == 4
    assert ids[1] == f"0001-{trials[1].config.config_id[:8]}-s6"
    assert trials[0].config.config_id == trials[1].config.config_id


def test_another_order_holds_the_same_trials():
    plain, drawn = study().trials(), study(order_seed=1).trials()
    assert {t.config.sha256() for t in drawn} == {t.config.sha256() for t in plain}
    assert [t.index for t in drawn] == list(range(6))
    assert [t.trial_id[:4] for t in drawn] == [f"{n:04d}" for n in range(6)]
    orders = {tuple(t.config.sha256() for t in study(order_seed=n).trials()) for n in range(5)}
    assert len(orders) == 5
    # Fixed for ever: pairs of runs are found by it.
    found = [(t.arm.removeprefix("lr.shape="), t.config.seed) for t in drawn]
    assert [f"{arm}-{seed}" for arm, seed in found] == (
        ["constant-1", "constant-0", "cosine-2", "constant-2", "cosine-0", "cosine-1"]
    )


METHODS = {"madry": {"attack": "pgd"}, "fast": {"attack.name": "fgsm-rs", "epochs": 3}}


def test_named_arms_change_several_keys_and_cross_with_the_space():
    trials = study(arms=METHODS, seeds=(0,), baseline="arm=madry,lr.shape=cosine").trials()
    assert [t.arm for t in trials] == [
        "arm=madry,lr.shape=constant",
        "arm=madry,lr.shape=cosine",
        "arm=fast,lr.shape=constant",
        "arm=fast,lr.shape=cosine",
    ]
    assert [t.config.attack.kind for t in trials] == ["pgd", "pgd", "fgsm-rs", "fgsm-rs"]
    assert [t.config.epochs for t in trials] == [10, 10, 3, 3]
    alone = Study(name="a", arms=METHODS, seeds=(0,), baseline="arm=fast").trials()
    assert [t.arm for t in alone] == ["arm=madry", "arm=fast"]


@pytest.mark.parametrize(
    ("arms", "error", "text"),
    [
        ({"a,b": {}}, StudyError, "an arm's name may hold .*got 'a,b'"),
        ({"a": {"lr.shape": "linear"}}, StudyError, "arm 'a' sets 'lr.shape', which is an axis"),
        ({"a": {"attack.epss": 1}}, ConfigError, "epss.*attack.eps"),
        ({"a": {"atack": "pgd"}}, ConfigError, "arm 'a': unknown key 'atack'"),
        ({"a": {}, "b": {}}, StudyError, "two points of the space are the same"),
    ],
)
def test_named_arms_that_make_no_study_are_refused(arms, error, text):
    with pytest.raises(error, match=text):
        study(arms=arms).trials()


def test_an_empty_space_is_one_arm():
    assert [t.arm for t in Study(name="one", seeds=(0,)).trials()] == ["all"]


def test_base_and_space_meet_in_the_configuration():
    trials = study(base={"lr.peak": 0.7, "epochs": 3, "eval": {"steps": 4}}).trials()
    assert {t.config.lr.peak for t in trials} == {0.7}
    assert {t.config.epochs for t in trials} == {3}
    assert {t.config.eval.steps for t in trials} == {4}


def test_a_part_may_stand_in_the_base():
    cosine = SHAPES.build({"shape": "cosine", "peak": 0.7})
    (trial,) = Study(name="one", base={"lr": cosine}, seeds=(0,)).trials()
    assert trial.config.lr == cosine
    assert Study(name="one", base={"lr": cosine}).tree()["base"]["lr"] == cosine.spec()


def test_nuisance_draws_are_equal_over_the_arms():
    space = {"lr.shape": SHAPE_AXIS, "lr.peak": tune.loguniform(1e-3, 1)}
    trials = Study(name="a", space=space, draws=4, seeds=(0,)).trials()
    peaks = {}
    for trial in trials:
        peaks.setdefault(trial.arm, []).append((trial.draw, trial.config.lr.peak))
    constant, cosine = peaks.values()
    assert constant == cosine
    assert [draw for draw, _ in constant] == [0, 1, 2, 3]
    assert len({peak for _, peak in constant}) == 4
    # Repetitions of a search take draw seeds that follow each other; they must share nothing.
    for seed in (1, 2, 99):
        other = Study(name="a", space=space, draws=4, draw_seed=seed, seeds=(0,)).trials()
        assert {t.config.lr.peak for t in other}.isdisjoint(peak for _, peak in constant)


def test_a_nuisance_grid_is_tried_whole_by_every_arm():
    space = {"lr.shape": SHAPE_AXIS, "lr.peak": tune.grid_search([0.1, 0.2])}
    trials = Study(name="a", space=space, nuisance=("lr.peak",), seeds=(0,)).trials()
    assert [(t.arm, t.draw, t.config.lr.peak) for t in trials] == [
        ("lr.shape=constant", 0, 0.1),
        ("lr.shape=constant", 1, 0.2),
        ("lr.shape=cosine", 0, 0.1),
        ("lr.shape=cosine", 1, 0.2),
    ]


def test_axes_are_told_apart_by_their_domain_unless_named():
    space = {"lr.peak": tune.uniform(0.1, 1), "lr.shape": SHAPE_AXIS}
    assert Study(name="a", space=space).axes() == (("lr.shape",), ("lr.peak",))
    grids = {"lr.shape": SHAPE_AXIS, "epochs": tune.grid_search([1, 2])}
    assert Study(name="a", space=grids).axes() == (("lr.shape", "epochs"), ())
    assert Study(name="a", space=grids, scientific=("epochs",)).axes() == (
        ("epochs",),
        ("lr.shape",),
    )


def test_grid_values_may_be_whole_parts():
    space = {"lr": tune.grid_search([{"shape": "onecycle", "peak": 0.3}, "cosine"])}
    arms = [t.arm for t in Study(name="a", space=space, seeds=(0,)).trials()]
    assert arms == ["lr=onecycle(peak=0.3)", "lr=cosine"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "a/b"}, "a study's name becomes a folder: use letters, digits, . _ -, got 'a/b'"),
        ({"name": ".."}, "becomes a folder"),
        ({"seeds": ()}, "seeds must be distinct and at least one, got ()"),
        ({"seeds": (1, 1)}, "seeds must be distinct and at least one, got (1, 1)"),
        (
            {"metric": "val_robust_accuracy"},
            "unknown metric 'val_robust_accuracy' (did you mean 'val_robust_acc'?)",
        ),
        ({"target": 70}, "above 0 and at most 1, 0.7 if 70 percent are meant, got 70"),
        ({"target": float("nan")}, "a target is a finite value of val_robust_acc, got nan"),
        ({"target": 0}, "above 0 and at most 1, got 0"),
        (
            {"scientific": ("lr.shap",)},
            "axis 'lr.shap' is not in the space (did you mean 'lr.shape'?)",
        ),
        (
            {"scientific": ("lr.shape",), "nuisance": ("lr.shape",)},
            "axis 'lr.shape' cannot be both scientific and nuisance",
        ),
        ({"space": {"seed": tune.grid_search([1, 2])}}, "the seed is no axis of the space"),
        ({"metric": "train_robust_acc"}, "(did you mean 'val_robust_acc'?); a study is judged by"),
        (
            {"metric": "lr"},
            "unknown metric 'lr'; a study is judged by an accuracy on the validation images: "
            "val_robust_acc or val_clean_acc",
        ),
        ({"metric": "train_loss"}, "val_robust_acc or val_clean_acc"),
        (
            {"base": {"seed": 7}},
            "the seed 7 in the study's base would have no effect: give the study seeds=(7,)",
        ),
        (
            {"arms": {"a": {"seed": 7}}},
            "the seed 7 in the study's arm 'a' would have no effect: give the study seeds=(7,)",
        ),
        ({"sets": {"seed": 7}}, "seeds"),
        ({"metrc": 1}, "unknown key 'metrc' of a study (did you mean 'metric'?)"),
        ({"draws": 0}, "draws: input should be greater than or equal to 1, got 0"),
    ],
)
def test_a_wrong_study_is_refused_in_one_sentence(fields, text):
    with pytest.raises(StudyError) as error:
        study(**fields)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match=r"unknown policy 'ashaa'.*did you mean 'asha'"):
        study(policy="ashaa")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"space": {"lr.peak": tune.uniform(0, 1)}, "scientific": ("lr.peak",)},
            "scientific axis 'lr.peak' must be tune.grid_search",
        ),
        (
            {
                "space": {"lr.shape": SHAPE_AXIS, "epochs": tune.grid_search([1])},
                "scientific": ("lr.shape",),
                "nuisance": (),
            },
            "axis 'epochs' is neither scientific nor nuisance: name it",
        ),
        (
            {"space": {"lr.shape": tune.grid_search(["cosine", "cosine"])}},
            "two points of the space are the same configuration: "
            "'lr.shape=cosine' and 'lr.shape=cosine'",
        ),
        (
            {"space": {"lr.peak": tune.grid_search([1, 1.0])}},
            "two points of the space are the same configuration",
        ),
        (
            {"baseline": "lr.shape=constnt"},
            "baseline 'lr.shape=constnt' is no arm of the study (did you mean "
            "'lr.shape=constant'?); arms: lr.shape=constant; lr.shape=cosine",
        ),
    ],
)
def test_a_space_that_cannot_be_compared_is_refused(fields, text):
    with pytest.raises(StudyError) as error:
        study(**fields).trials()
    assert text in str(error.value)


def test_a_baseline_may_name_one_axis_of_several():
    space = {"lr.shape": SHAPE_AXIS, "epochs": tune.grid_search([1, 2])}
    for baseline in ("lr.shape=constant", "epochs=2", "lr.shape=constant,epochs=2"):
        assert len(Study(name="a", space=space, baseline=baseline).trials()) == 12
    with pytest.raises(StudyError, match="is no arm"):
        Study(name="a", space=space, baseline="epochs").trials()


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ({"lr.shap": tune.grid_search(["cosine"])}, "did you mean 'lr.shape'"),
        ({"epoch": tune.grid_search([1])}, "did you mean 'epochs'"),
        ({"epochs": tune.grid_search([0])}, "epochs: "),
    ],
)
def test_a_point_that_is_no_configuration_is_refused(space, text):
    with pytest.raises(ConfigError, match=text):
        study(space=space).trials()


def test_arms_that_differ_in_the_seventh_digit_have_two_names():
    space = {"lr.peak": tune.grid_search([0.1, 0.10000001])}
    arms = {t.arm for t in study(space=space, seeds=(0,)).trials()}
    assert arms == {"lr.peak=0.1", "lr.peak=0.10000001"}


DOMAINS = {
    "lr.shape": SHAPE_AXIS,
    "lr.peak": tune.loguniform(1e-3, 1),
    "lr.warmup": tune.quniform(0.0, 0.4, 0.1),
    "batch_size": tune.choice([32, 64]),
    "workers": tune.sample_from(lambda spec: 1),
    "epochs": tune.grid_search(np.array([1, 2])),
}


def test_a_study_travels_as_json():
    tree = study(space=DOMAINS, policy={"name": "asha", "eta": 2}).tree()
    assert json.loads(json.dumps(tree)) == tree
    assert tree["policy"] == {
        "name": "asha",
        "peers": "configurations",
        "grace": None,
        "compare_within": [],
        "eta": 2,
    }
    assert tree["scientific"] == ["lr.shape", "epochs"]
    assert tree["space"]["lr.shape"] == {"grid_search": ["constant", "cosine"]}
    assert tree["space"]["epochs"] == {"grid_search": [1, 2]}
    assert tree["space"]["lr.peak"].startswith("Float(lower=0.001, sampler=_LogUniform(")
    assert "0x" not in json.dumps(tree), "a memory address differs in every process"


FILE = """
from ray import tune
from rayat.study import Study
study = Study(
    name="s",
    base={"epochs": 2},
    space={"lr.shape": tune.grid_search(["cosine"]), "lr.peak": tune.loguniform(1e-3, 1)},
    draws=2,
)
"""


def test_the_same_file_gives_the_same_trials_in_another_process(tmp_path):
    path = tmp_path / "s.py"
    path.write_text(FILE)
    here = load_study(path)
    code = (
        "import sys; from rayat.study import load_study; s = load_study(sys.argv[1]);"
        "print(s.sha256(), *[t.trial_id for t in s.trials()])"
    )
    env = {"PYTHONHASHSEED": "17", "PATH": "", "HOME": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.split() == [here.sha256(), *[t.trial_id for t in here.trials()]]


def test_the_hash_sees_the_study_and_its_trials():
    base = study()
    assert base.sha256() == study().sha256()
    assert base.sha256() != study(target=0.4).sha256()
    assert base.sha256() != study(base={"epochs": 3}).sha256()


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("x = 1", StudyError, "defines no `study = Study(...)`"),
        ("study = 3", StudyError, "defines no `study = Study(...)`"),
        ("study = (", StudyError, "cannot be read: SyntaxError"),
        ("1 / 0", StudyError, "cannot be read: ZeroDivisionError: division by zero"),
        (
            "from rayat.study import Study\nstudy = Study(name='a b')",
            StudyError,
            "name becomes a folder",
        ),
        (
            "from rayat.study import Study\nstudy = Study(name='a', policy='ashaa')",
            ConfigError,
            "unknown policy 'ashaa'",
        ),
    ],
)
def test_a_bad_file_is_refused_by_its_name(tmp_path, text, error, said):
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(error) as raised:
        load_study(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_refused_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"^no study file 'search_spaces/lr_shape.py'$"):
        load_study("search_spaces/lr_shape.py")
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "lr_shapes.py").write_text(FILE)
    with pytest.raises(StudyError, match=r"did you mean 'search_spaces/lr_shapes.py'"):
        load_study("search_spaces/lr_shape.py")


def test_reading_the_study_room_loads_neither_torch_nor_ray():
    code = "import sys, rayat.study; print([m for m in ('torch', 'ray') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": ""}, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_a_study_with_other_fields_is_checked_again():
    assert study().replace(seeds=(7,)).seeds == (7,)
    with pytest.raises(StudyError, match="seeds must be distinct"):
        study().replace(seeds=(7, 7))
    with pytest.raises(StudyError, match="order_seed has no place"):
        study(space={"lr.peak": tune.uniform(0, 1)}, search="optuna", order_seed=1)


@pytest.mark.parametrize("baseline", ["madry", "arm=madry", "madry,lr.shape=cosine"])
def test_a_baseline_is_named_as_only_names_an_arm(baseline):
    chosen = study(arms=METHODS, seeds=(0,), baseline=baseline)
    assert len(chosen.trials()) == 4
    with pytest.raises(StudyError, match=r"is no arm of the study \(did you mean 'madry'\?\)"):
        study(arms=METHODS, seeds=(0,), baseline="madri").trials()
