"""Only like is compared with like: the same radius, norm, attack, steps, data, images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rayat.compare.select import best_trial, choose
from rayat.compare.table import compare
from rayat.errors import StudyError
from rayat.ledger.reader import read_run
from rayat.report.write import report

ROOT = Path(__file__).parents[2]
LATE, EARLY = [0.1] * 7 + [0.6], [0.1] * 3 + [0.6]
BASE = {
    "attack.eps": 0.1,
    "attack.norm": "linf",
    "eval.eps": None,
    "eval.steps": 10,
    "eval.size": 1000,
    "eval.every": 1,
    "data.name": "digits",
    "data.split_seed": 0,
    "data.val_size": 200,
    "data.val_fraction": 0.1,
    "data.train_size": None,
}


def row(comparison, arm):
    return next(r for r in comparison.rows if r.arm == arm)


def outputs(run, comparison, page=True):
    """Return every form in which a verdict leaves the package; the page is dear."""
    found = {"report": report(run, comparison)} if page else {}
    return {
        **found,
        "terminal": " ".join(comparison.render().split()),
        "markdown": comparison.markdown(),
        "json": json.dumps(comparison.to_json(), allow_nan=False),
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attack.eps": 0.2}, "eps 0.2 here, 0.1 there"),
        ({"attack.norm": "l2"}, "norm l2 here, linf there"),
        ({"eval.steps": 3}, "PGD steps 3 here, 10 there"),
        ({"eval.size": None}, "validation images not set here, 1000 there"),
        ({"eval.every": 4}, "epochs between validations 4 here, 1 there"),
        ({"data.name": "cifar10"}, "data.name cifar10 here, digits there"),
        ({"data.split_seed": 1}, "data.split_seed 1 here, 0 there"),
        ({"data.val_size": 50}, "data.val_size 50 here, 200 there"),
    ],
)
def test_what_was_measured_differently_has_no_verdict_and_says_why(builder, change, said):
    builder.arm("lr.shape=constant", [LATE] * 3, cfg=BASE)
    builder.arm("lr.shape=new", [EARLY] * 3, cfg={**BASE, **change})
    run = builder.build()
    comparison = compare(run)
    new = row(comparison, "lr.shape=new")
    assert new.verdict.startswith("no verdict (")
    assert set(new.speed_up.values()) == {None} and new.robust_difference is None
    assert "sooner" not in comparison.headline and said in comparison.headline
    for name, text in outputs(run, comparison, "attack.eps" in change).items():
        assert "faster" not in text, name
        assert said in text, name
    name, (ours, theirs) = next(iter(new.differs.items()))
    told = next(r for r in comparison.to_json()["rows"] if r["arm"] == "lr.shape=new")
    assert told["differs"] == {name: [ours, theirs]}


@pytest.mark.parametrize(
    "change",
    [
        {"attack.eps": 0.2, "eval.eps": 0.1},  # trained at one radius, measured at the other
        {"data.train_size": 100},
        {"data.val_fraction": 0.2},  # idle beside a fixed number
        {"attack.eps": 0.1 + 1e-17},
    ],
)
def test_what_changes_only_the_training_is_compared(builder, change):
    builder.arm("lr.shape=constant", [LATE] * 3, cfg={**BASE, "eval.eps": change.get("eval.eps")})
    builder.arm("lr.shape=new", [EARLY] * 3, cfg={**BASE, **change})
    new = row(compare(builder.build()), "lr.shape=new")
    assert new.differs == {} and new.speed_up["passes"].value == 2


@pytest.fixture
def radii(builder):
    """Two methods at two radii; the new one is twice as soon at 0.1 and never there at 0.2."""
    for eps, level, curve in ((0.2, 0.3, [0.1] * 8), (0.1, 0.6, [0.1] * 3 + [0.6] * 5)):
        for arm, values in (("pgd", [level / 2] * 7 + [level]), ("new", curve)):
            config = {**BASE, "attack.eps": eps, "attack.name": arm}
            for seed in range(3):
                builder.trial(f"arm={arm},attack.eps={eps}", seed, values, cfg=config)
    return builder.build(target=None, baseline="arm=pgd,attack.eps=0.2")


@pytest.mark.parametrize("named", [None, "arm=pgd", "arm=pgd,attack.eps=0.2"])
def test_a_study_over_radii_is_compared_within_each(radii, named):
    comparison = compare(radii, baseline=named)
    assert comparison.apart == {"eps": (0.2, 0.1)}
    assert [r.arm for r in comparison.rows if r.is_baseline] == [
        "arm=pgd,attack.eps=0.2",
        "arm=pgd,attack.eps=0.1",
    ]
    sooner = row(comparison, "arm=new,attack.eps=0.1")
    assert sooner.baseline == "arm=pgd,attack.eps=0.1" and sooner.speed_up["passes"].value == 2
    assert sooner.target == pytest.approx(0.98 * 0.6)
    never = row(comparison, "arm=new,attack.eps=0.2")
    assert never.target == pytest.approx(0.98 * 0.3) and never.verdict == "not reached"
    assert "At eps 0.2: No arm is shown" in comparison.headline
    assert "At eps 0.1: Train with new,attack.eps=0.1: it reaches 0.588" in comparison.headline
    for name, text in outputs(radii, comparison, named is None).items():
        assert "only among those measured alike" in text, name


def test_arms_named_by_hand_find_their_equal_by_configuration(builder):
    for eps, mark in ((0.1, ""), (0.2, "-hard")):
        for arm, values in (("pgd", LATE), ("fgsm", EARLY)):
            for seed in range(3):
                config = {**BASE, "attack.eps": eps, "attack.name": arm}
                name = builder.trial(f"arm={arm}{mark}", seed, values, cfg=config)
                builder.trials[-1]["config_json"] = json.dumps({**config, "seed": seed})
                assert name
    comparison = compare(builder.build(baseline="arm=pgd"))
    assert row(comparison, "arm=fgsm-hard").baseline == "arm=pgd-hard"
    assert row(comparison, "arm=fgsm-hard").verdict == "faster"


def test_tests_on_other_numbers_of_images_are_not_compared(builder):
    for arm, n in (("lr.shape=constant", 1000), ("lr.shape=new", 100)):
        for seed in range(3):
            builder.trial(arm, seed, LATE, cfg=BASE, test=(0.9, 0.5))
            for line in builder.evals[-2:]:
                line.update(n=n, precision="fp32", eps=0.1)
    new = row(compare(builder.build()), "lr.shape=new")
    assert new.verdict == "no verdict (test images 100 against 1000)"
    assert new.robust_difference is None


def test_a_larger_test_of_one_arm_does_not_hide_the_one_that_all_have(builder):
    for arm in ("lr.shape=constant", "lr.shape=new"):
        for seed in range(3):
            name = builder.trial(arm, seed, EARLY, cfg=BASE, test=(0.9, 0.5))
            for line in builder.evals[-2:]:
                line.update(n=100, eps=0.1)
            if arm == "lr.shape=new":
                builder.evaluation(name, "best", "pgd-20", 0.9, 0.4)
                builder.evals[-1].update(n=1000, eps=0.1)
    new = row(compare(builder.build()), "lr.shape=new")
    assert new.differs == {} and new.robust_difference.value == 0


def test_no_configuration_is_the_best_across_radii(radii, builder):
    with pytest.raises(StudyError, match=r"measured differently \(eps 0\.2 against 0\.1\)"):
        best_trial(radii)
    tuned = builder  # the same trials as one arm that tuned its radius
    for trial in tuned.trials:
        trial["arm"], trial["config_id"] = "all", str(trial["cfg.attack.eps"])
    with pytest.raises(StudyError, match="arm all has configurations that were measured"):
        choose(tuned.build(baseline=None))


def test_the_recorded_study_over_radii_is_put_right():
    comparison = compare(read_run(ROOT / "results/collapse"))
    for one in comparison.rows:
        assert one.baseline.endswith(one.arm.rpartition("attack.eps=")[2])
    assert [r.arm for r in comparison.rows if r.verdict.startswith("faster")] == [
        "arm=fgsm-sdi,attack.eps=0.1"
    ]
    assert "34.0" not in comparison.render()
