"""Naming an arm, and the configuration that speaks for it."""

from __future__ import annotations

import pytest

from rayat.arms import split_arm
from rayat.compare.select import arms, best_trial, choose, match_arm
from rayat.compare.table import compare
from rayat.compare.text import short_arms
from rayat.errors import StudyError
from rayat.report.write import report


@pytest.fixture
def grid(builder):
    for shape in ("constant", "cosine"):
        for eps in ("0.1", "0.03137254901960784"):
            cfg = {"lr.shape": shape, "attack.eps": float(eps), "attack.name": "pgd"}
            builder.trial(f"lr.shape={shape},attack.eps={eps}", 0, [0.5], cfg=cfg)
    return builder.build()


@pytest.mark.parametrize(
    ("text", "arm"),
    [
        ("lr.shape=cosine,attack.eps=0.1", "lr.shape=cosine,attack.eps=0.1"),
        ("attack.eps=0.10, lr.shape=cosine", "lr.shape=cosine,attack.eps=0.1"),
        ("lr=cosine,attack.eps=1e-1,attack=pgd", "lr.shape=cosine,attack.eps=0.1"),
    ],
)
def test_an_arm_is_named_by_its_axes_in_any_order(grid, text, arm):
    assert match_arm(grid, text) == arm


def test_a_whole_part_is_named_by_its_name(builder):
    builder.trial("attack=pgd(steps=5,eps=0.1)", 0, [0.5], cfg={"attack.steps": 5})
    builder.trial("attack=fgsm(eps=0.1)", 0, [0.5])
    run = builder.build()
    assert match_arm(run, "attack=pgd") == "attack=pgd(steps=5,eps=0.1)"
    assert match_arm(run, "attack.steps=5") == "attack=pgd(steps=5,eps=0.1)"


def test_a_baseline_that_is_no_arm_names_the_arms_and_the_nearest(known):
    with pytest.raises(StudyError, match=r"'lr\.shape=cosin'.*mean 'lr\.shape=cosine'") as e:
        match_arm(known, "lr.shape=cosin")
    assert "arms: lr.shape=constant; lr.shape=cyclic; lr.shape=cosine" in str(e.value)
    for text in ("", "cosine", "eps=0.1"):
        with pytest.raises(StudyError, match="no arm matches"):
            match_arm(known, text)


def test_an_ambiguous_baseline_lists_what_it_matches(grid):
    with pytest.raises(StudyError, match=r"matches 2 arms: lr\.shape=cosine,attack\.eps=0\.1; lr"):
        match_arm(grid, "lr.shape=cosine")


def test_an_arm_speaks_through_its_best_configuration(builder):
    for config, level in {"low": 0.4, "high": 0.6, "lucky": 0.9}.items():
        for seed in (0, 1, 2):
            broken = config == "lucky" and seed > 0
            builder.trial(
                "lr.shape=constant",
                seed,
                [level],
                config=config,
                cfg={"lr.peak": level},
                status="diverged" if broken else "finished",
            )
    run = builder.build(nuisance=["lr.peak"])
    choice = choose(run)["lr.shape=constant"]
    assert (choice.config_id, choice.tried, dict(choice.tuned)) == ("high", 3, {"lr.peak": 0.6})
    assert list(choice.trial_ids) == [0, 1, 2]
    # The lucky one's first seed is the best single value; it does not win.
    assert best_trial(run)[0] == choice.trial_ids[0]


def test_an_axis_that_an_arm_does_not_have_is_not_among_what_it_tuned(builder):
    builder.trial("lr.shape=onecycle", 0, [0.5], cfg={"lr.top_at": 0.3, "eval.size": None})
    builder.trial("lr.shape=cosine", 0, [0.5], cfg={"eval.size": None})
    choices = choose(builder.build(nuisance=["lr.top_at", "eval.size"], baseline=None))
    assert dict(choices["lr.shape=onecycle"].tuned) == {"lr.top_at": 0.3, "eval.size": None}
    assert dict(choices["lr.shape=cosine"].tuned) == {"eval.size": None}


def test_stopped_and_finished_trials_share_no_mean(builder):
    levels = {"good": [("finished", 0.6), ("stopped", 0.1), ("stopped", 0.1)]}
    levels["cut"] = [("stopped", 0.4)] * 3
    for config, seeds in levels.items():
        for seed, (status, level) in enumerate(seeds):
            builder.trial("lr.shape=constant", seed, [level], config=config, status=status)
    # The mean of the first would be 0.27, below what was cut everywhere.
    assert choose(builder.build())["lr.shape=constant"].config_id == "good"


def test_the_best_trial_comes_with_its_configuration(known):
    trial_id, config = best_trial(known)
    assert known.trials.set_index("trial_id").loc[trial_id, "arm"] == "lr.shape=cyclic"
    assert config == '{"arm": "lr.shape=cyclic", "seed": 0}'


def test_there_is_no_best_trial_without_a_value(builder):
    builder.trial("all", 0, [None], status="failed")
    assert best_trial(builder.build()) == (None, "")


def test_arms_keep_the_order_of_the_study(known):
    assert arms(known) == ["lr.shape=constant", "lr.shape=cyclic", "lr.shape=cosine"]


def test_labels_are_split_outside_brackets():
    assert split_arm("lr=cosine(peak=0.1,floor=0),epochs=5") == {
        "lr": "cosine(peak=0.1,floor=0)",
        "epochs": "5",
    }
    heading, names = short_arms(["lr.shape=a,eps=1", "lr.shape=b,eps=1"])
    assert (heading, names["lr.shape=b,eps=1"]) == ("lr.shape, eps", "b, 1")
    assert short_arms(["all"]) == ("arm", {"all": "all"})


def test_a_search_for_speed_is_represented_by_its_soonest_and_told_by_what_acts(builder):
    trees = {
        "soon": {
            "attack": {"name": "fgsm-rs", "eps": 0.1},
            "pruning": {"name": "none", "fraction": 0.5},
        },
        "strong": {
            "attack": {"name": "pgd", "eps": 0.1},
            "pruning": {"name": "random", "fraction": 0.5},
        },
    }
    builder.arm("arm=control", [[0.1, 0.1, 0.1, 0.6]])
    builder.trial("arm=searched", 0, [0.55, 0.55], config="soon", cfg=trees["soon"])
    builder.trial("arm=searched", 0, [0.1, 0.7], config="strong", cfg=trees["strong"])
    fields = {
        "target": 0.5,
        "baseline": "arm=control",
        "nuisance": ["attack", "pruning", "pruning.fraction"],
        "controls": {"control": {}},
    }
    run = builder.build(**fields, objective="cost")
    row = next(row for row in compare(run).rows if row.arm == "arm=searched")
    assert row.config_id == "soon"
    assert row.tuned == {"attack": "fgsm-rs(eps=0.1)", "pruning": "none"}
    assert any("arm=searched is soon: attack=fgsm-rs(eps=0.1), " in n for n in compare(run).notes)
    assert "attack=fgsm-rs(eps=0.1), pruning=none" in report(run, compare(run))
    row = next(row for row in compare(builder.build(**fields)).rows if row.arm == "arm=searched")
    assert (row.config_id, row.tuned["pruning.fraction"]) == ("strong", 0.5)
