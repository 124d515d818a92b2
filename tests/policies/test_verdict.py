"""The policy `verdict` rule by rule; that it changes no verdict is shown in tests/replay."""

from __future__ import annotations

import itertools
import json
import random

import numpy as np
import pytest
from ray import tune

from rayat.compare.bootstrap import ratio_of_means
from rayat.errors import StudyError
from rayat.ledger.status import Status
from rayat.policies.base import TrialView
from rayat.policies.host import Host
from rayat.policies.question import AT_END, AT_TARGET, Question
from rayat.policies.verdict import never_faster
from rayat.registry import POLICIES
from rayat.study import Study

METRIC = "val_robust_acc"


class Told:
    """A study of a baseline and arms `a` and `b`, three seeds of five epochs, target 0.5."""

    def __init__(self, ends=AT_END, seeds=3, announced=True, **config):
        self.views = {
            f"{arm}{seed}": TrialView(
                f"{arm}{seed}",
                {"seed": seed, "lr": {"peak": arm}, **(config if arm == "b" else {})},
                5,
                arm,
            )
            for arm in ("base", "a", "b")
            for seed in range(seeds)
        }
        self.host = Host(POLICIES.build("verdict"), METRIC, question=Question(0.5, "base", ends))
        if announced:
            self.host.expect(self.views.values())
        self.epochs = dict.fromkeys(self.views, 0)

    def report(self, name, *values, passes=100, **row):
        """Report values one after another; return the last decision."""
        for value in values:
            self.epochs[name] += 1
            told = {METRIC: value, "train_loss": 1.0, "fwd_passes": passes, **row}
            judged = self.host.observe(self.views[name], self.epochs[name], told)[0]
        return judged

    def rule(self, name, *values, **row):
        return self.report(name, *values, **row).decision.rule


def test_at_the_target_a_trial_has_nothing_left_to_say():
    told = Told(AT_TARGET)
    assert told.rule("a0", 0.3, 0.4999) == ""
    stop = told.report("a0", 0.5)
    assert stop.end is Status.STOPPED
    assert stop.decision.rule == "at-target"
    assert "reached the target of 0.5 with val_robust_acc 0.5000 at epoch 3" in (
        stop.decision.sentence
    )
    assert stop.decision.evidence["passes"] == 300
    assert told.rule("base0", 0.7) == "at-target", "also of the baseline"
    assert told.report("a1", 0.1, 0.1, 0.1, 0.1, 0.9).end is Status.FINISHED, "at its last epoch"


def test_an_arm_is_not_reached_once_a_seed_of_a_whole_pair_ended_without_the_target():
    told = Told()
    told.report("a0", *[0.4] * 5)
    assert told.rule("a1", 0.2) == "", "the baseline's seed may still be lost, and with it the pair"
    told.report("base0", 0.6)
    stop = told.report("a1", 0.2)
    assert (stop.decision.rule, stop.end) == ("not-reached", Status.STOPPED)
    assert stop.decision.evidence["other"] == "a0"
    assert told.rule("a2", 0.6) == "not-reached", "also one that has reached it"
    assert told.rule("b1", 0.2) == "", "another arm"
    assert told.rule("base1", 0.2) == "", "every arm is compared with the baseline"


@pytest.mark.parametrize("row", [{"outcome": "diverged"}, {"train_loss": float("nan")}])
def test_a_divergence_ends_a_trial_without_the_target_or_with_it(row):
    told = Told()
    told.report("base0", 0.6)
    assert told.report("a0", 0.4, **row).end is Status.DIVERGED
    assert told.rule("a1", 0.2) == "not-reached"
    told = Told()
    told.report("base0", 0.6)
    told.report("a0", 0.6, **row)
    assert told.rule("a1", 0.2) == "", "compare counts the report that it diverged by"


def test_what_was_lost_may_come_back():
    told = Told()
    told.report("base0", 0.6)
    told.report("a0", 0.4, 0.4)
    told.host.broke("a0")
    assert told.rule("a1", 0.2) == ""


def test_with_three_seeds_one_that_was_not_sooner_keeps_an_arm_from_being_faster():
    told = Told()
    for seed in range(3):
        told.report(f"base{seed}", 0.1, 0.6)
    assert told.rule("a0", 0.6) == "", "sooner: its robustness may be asked"
    assert told.rule("a1", 0.1, 0.1) == "", "it may still be lost, and two seeds give no verdict"
    assert told.rule("a1", 0.6) == "not-faster"
    assert told.rule("a0", 0.6) == "not-faster"
    assert told.rule("a2", 0.1, 0.1, 0.1) == "", "not reached yet: slower or not reached"
    stop = told.report("a2", 0.6)
    assert "300 passes to it against 200" in stop.decision.sentence
    json.dumps(dict(stop.decision.evidence), allow_nan=False)
    assert told.rule("base0", 0.6) == "", "the baseline trains to its end"


def test_an_equal_cost_is_not_sooner():
    told = Told()
    for seed in range(3):
        told.report(f"base{seed}", 0.1, 0.6)
    told.report("a1", 0.1)
    assert told.rule("a1", 0.6) == "not-faster"


def test_a_baseline_that_is_not_reached_makes_no_arm_faster():
    told = Told(seeds=4)
    told.report("base3", *[0.1] * 5)
    assert told.rule("a0", 0.6) == "", "if its seed 3 is lost, three pairs are left"
    told.report("a3", 0.6)
    assert told.rule("a0", 0.6) == "not-faster"
    told = Told(seeds=3)
    told.report("base2", *[0.1] * 5)
    stop = told.report("a0", 0.6)
    assert "only 2 of its seeds can reach it" in stop.decision.sentence


@pytest.mark.parametrize(
    "config",
    [
        {"attack": {"eps": 0.2}},
        {"eval": {"final_size": 100}},
    ],
)
def test_arms_that_are_measured_otherwise_are_no_business_of_the_baseline(config):
    told = Told(**config)
    for seed in range(3):
        told.report(f"base{seed}", 0.6)
        told.report(f"b{seed}", 0.1)
    assert [told.rule(f"b{seed}", 0.6) for seed in range(3)] == [""] * 3


def test_of_an_arm_that_tunes_nothing_is_stopped():
    told = Told(AT_TARGET)
    tuned = TrialView("x", {"seed": 0, "lr": {"peak": "another"}}, 5, "a")
    told.host.expect([tuned])
    assert told.rule("a0", 0.6) == ""
    assert told.rule("b0", 0.6) == "at-target"


def test_baseline_seeds_start_first_then_seed_by_seed():
    told = Told()
    views = list(told.views.values())
    random.Random(0).shuffle(views)
    order = [view.trial_id for view in told.host.order(views)]
    assert set(order[:3]) == {"base0", "base1", "base2"}
    assert [sorted(order[n : n + 2]) for n in (3, 5, 7)] in [
        [[f"a{s}", f"b{s}"] for s in seeds] for seeds in itertools.permutations(range(3))
    ]


def test_without_a_question_it_does_nothing():
    host = Host(POLICIES.build("verdict"), METRIC)
    view = TrialView("t", {"seed": 0}, 3, "a")
    assert host.observe(view, 1, {METRIC: 0.9, "train_loss": 1.0})[0].decision.rule == ""


@pytest.mark.parametrize("pairs", [3, 4, 5])
def test_what_can_never_be_faster_is_not(pairs, size):
    """Whatever the open trials still cost and whichever is lost, no interval lies above 1."""
    draw, settled = np.random.default_rng(pairs), 0
    for _ in range(size(40, 3000)):
        base = draw.integers(80, 120, pairs).astype(float)
        arm = draw.integers(40, 130, pairs).astype(float)
        known, open_base = draw.random(pairs) < 0.7, draw.random(pairs) < 0.1
        bounds = [
            (np.inf if o else b, a, bool(k and not o))
            for b, a, k, o in zip(base, arm, known, open_base, strict=True)
        ]
        if not never_faster(bounds):
            continue
        settled += 1
        for _ in range(20):
            late = np.where(known & ~open_base, 0.0, draw.choice([0, 0, 1, 50, 1e4], pairs))
            late = np.where(known, 0.0, late)
            top = np.where(open_base, base * draw.choice([0.1, 1, 100], pairs), base)
            there = known & ~open_base | (draw.random(pairs) < 0.8)
            if there.sum() >= 3:
                low = ratio_of_means(top[there], (arm + late)[there]).low
                assert low <= 1, (bounds, top, arm + late, there)
    assert settled > 2


def test_six_seeds_are_too_many_for_the_bound():
    assert never_faster([(100.0, 200.0, True)] * 5)
    assert not never_faster([(100.0, 200.0, True)] * 6)


def test_a_question_finds_the_baseline_as_compare_does():
    arms = {
        "lr.shape=cosine": [{"lr": {"shape": "cosine", "peak": 0.1}}],
        "arm=pgd-10": [{"lr": {"shape": "cyclic", "peak": 0.2}}],
    }
    for text, found in {
        "lr=cosine": "lr.shape=cosine",
        "pgd-10": "arm=pgd-10",
        "lr.peak=0.20": "arm=pgd-10",
        "lr.peak=0.3": None,
        None: "lr.shape=cosine",
    }.items():
        assert Question(0.5, text).baseline_of(arms) == found


GRID = {"lr.shape": tune.grid_search(["constant", "cosine"])}
WHOLE = {
    "name": "s",
    "base": {"data.name": "digits"},
    "space": GRID,
    "baseline": "lr.shape=constant",
    "target": 0.5,
    "policy": "verdict",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": None}, "policy 'verdict' rests on a target that is fixed before the run"),
        ({"baseline": None}, "must know the arm that the others are compared with"),
        ({"seeds": (0, 1)}, "fewer than 3 seeds give none: got seeds 0, 1"),
        ({"space": {**GRID, "lr.peak": tune.uniform(0.1, 1)}}, r"with a search \(lr.peak\)"),
        ({"policy": "none", "ends": "at-target", "target": None}, 'ends="at-target" rests on'),
        (
            {"policy": "none", "ends": "at-target", "space": {**GRID, "lr.peak": tune.choice([1])}},
            r'ends="at-target" does not go with a search \(lr.peak\)',
        ),
        ({"ends": "target"}, "ends"),
    ],
)
def test_nonsense_is_refused(change, said):
    with pytest.raises(StudyError, match=said):
        Study(**{**WHOLE, **change})


def test_a_study_that_asks_for_the_cost_alone_leaves_the_test_set_alone():
    study = Study(**WHOLE, ends="at-target")
    assert not study.tested and study.tree()["final_eval"] is False
    assert study.replace(ends="at-end").tested
    assert "ends" not in Study(**WHOLE).tree(), "studies from before keep their form"
    assert study.notes() == []
    (note,) = study.replace(policy="none").notes()
    assert "policy 'none' trains on all the same; policy 'verdict' ends trials there" in note
