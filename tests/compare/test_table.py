"""Verdicts on runs whose answer is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from rayat.compare.table import compare
from rayat.errors import LedgerError, StudyError

BASE = "lr.shape=constant"
LATE, EARLY, NEVER = [0.1] * 7 + [0.6], [0.1] * 3 + [0.6], [0.1] * 10


def row(comparison, shape):
    return next(r for r in comparison.rows if r.arm == f"lr.shape={shape}")


def pair(builder, base, arm, **fields):
    """Three seeds of the baseline and of `lr.shape=new`, and what may be said of the second."""
    builder.arm(BASE, base)
    builder.arm("lr.shape=new", arm, **fields)
    return row(compare(builder.build()), "new")


def test_a_known_speed_up_is_found_exactly(known):
    comparison = compare(known)
    cyclic = row(comparison, "cyclic")
    assert {axis: e.value for axis, e in cyclic.speed_up.items()} == {
        "passes": 2.0,
        "seconds": 2.0,
        "epochs": 2.0,
    }
    assert cyclic.costs["passes"].mean == 4000 and cyclic.costs["seconds"].mean == 8
    assert cyclic.speed_up["passes"].low == pytest.approx(2.0)
    assert cyclic.verdict == "faster" and cyclic.reached == 3
    assert cyclic.robust_difference.value == pytest.approx(0.01)
    assert cyclic.sentence == (
        "lr.shape=cyclic reaches 0.500 sooner than lr.shape=constant: speed-up 2.00 [2.00, 2.00] "
        "in passes, 2.00 [2.00, 2.00] in seconds, 3 seeds; robust accuracy differs by +0.010 "
        "[+0.010, +0.010], no loss shown."
    )
    assert comparison.headline.startswith("Train with lr.shape=cyclic: it reaches 0.500 robust ")
    assert "it ends more robust, by +0.010 [+0.010, +0.010]." in comparison.headline
    assert comparison.rows[0].is_baseline and comparison.rows[0].verdict == "baseline"


def test_costlier_epochs_count(builder):
    new = pair(builder, [LATE] * 3, [EARLY] * 3, passes=4000, seconds=2.0)
    assert new.speed_up["passes"].value == 0.5 and new.speed_up["seconds"].value == 2.0
    assert new.verdict == "slower"
    assert "in seconds it is the other way round" in new.sentence


def test_pairs_are_formed_by_seed(builder):
    for seed, length in enumerate([4, 8, 16]):
        builder.trial(BASE, seed, [0.1] * (length - 1) + [0.6])
    for seed, length in reversed(list(enumerate([2, 4, 8]))):
        builder.trial("lr.shape=new", seed, [0.1] * (length - 1) + [0.6])
    new = row(compare(builder.build()), "new")
    assert new.speed_up["passes"].low == pytest.approx(2.0)


def test_an_arm_that_never_arrives_has_a_limit_and_no_speed_up(builder):
    new = pair(builder, [LATE] * 3, [LATE, LATE, NEVER])
    speed = new.speed_up["passes"]
    assert (speed.bound, speed.low, speed.pairs) == ("<", None, 3)
    assert speed.value == pytest.approx(24 / 26)
    assert new.verdict == "not reached" and new.reached == 2 and new.costs["passes"] is None
    assert "reached 0.500 in 2 of 3 seeds; its speed-up in passes is below 0.92" in new.sentence


def test_a_baseline_that_never_arrives_gives_a_lower_limit(builder):
    new = pair(builder, [NEVER] * 3, [EARLY] * 3)
    assert new.verdict == "baseline not reached"
    assert (new.speed_up["passes"].bound, new.speed_up["passes"].value) == (">", 2.5)


def test_two_censored_sides_say_nothing(builder):
    new = pair(builder, [NEVER] * 3, [NEVER] * 3)
    assert new.speed_up["passes"] is None and new.verdict == "not reached"


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_give_no_verdict(builder, n):
    new = pair(builder, [LATE] * n, [EARLY] * n)
    assert new.verdict == ("no verdict (1 seed)" if n == 1 else "no verdict (2 seeds)")
    assert new.speed_up["passes"].value == 2.0 and new.speed_up["passes"].low is None
    assert "no verdict" in new.sentence


def test_a_failed_trial_has_no_pair_unless_it_had_arrived(builder):
    builder.arm(BASE, [LATE] * 3)
    for seed, status in enumerate(["finished", "failed", "lost"]):
        builder.trial("lr.shape=new", seed, EARLY if seed < 2 else [0.1], status=status)
    comparison = compare(builder.build())
    new = row(comparison, "new")
    assert new.speed_up["passes"].pairs == 2 and new.verdict == "no verdict (2 seeds)"
    assert new.statuses == {"finished": 1, "failed": 1, "lost": 1}
    assert any("2 trials broke (1 failed, 1 lost)" in note for note in comparison.notes)


@pytest.mark.parametrize("status", ["stopped", "diverged", "collapsed"])
def test_an_early_end_below_the_target_is_censored(builder, status):
    builder.arm(BASE, [LATE] * 3)
    builder.arm("lr.shape=new", [EARLY] * 2)
    builder.trial("lr.shape=new", 2, [0.1, 0.2], status=status)
    new = row(compare(builder.build()), "new")
    cut = status == "stopped"
    assert new.verdict == ("stopped before the target" if cut else "not reached")
    assert new.speed_up["passes"].bound == "<" and new.statuses[status] == 1
    assert new.fates == {"reached": 2, "stopped before the target" if cut else status: 1}
    assert ("1 stopped before the target by the policy" if cut else f"1 {status}") in new.sentence
    assert ("not reached" in compare(builder.build()).render()) != cut


def test_a_run_that_is_not_over_says_so(builder):
    builder.arm(BASE, [LATE] * 3)
    builder.arm("lr.shape=new", [EARLY] * 2)
    builder.trial("lr.shape=new", 2, [], status="pending")
    builder.trial("lr.shape=later", 0, [], status="pending")
    comparison = compare(builder.build())
    assert row(comparison, "new").verdict == "no verdict (2 seeds)"
    assert row(comparison, "later").verdict == "no verdict (0 seeds)"
    assert comparison.notes[0] == "The run is not over: 2 of 7 trials have no end yet."
    assert comparison.render() and json.dumps(comparison.to_json(), allow_nan=False)


def test_unmeasured_epochs_and_nan_never_reach_a_target(builder):
    new = pair(builder, [LATE] * 3, [[None, math.nan, None, 0.6]] * 3)
    assert new.costs["epochs"].mean == 4 and new.verdict == "faster"


def test_a_value_exactly_at_the_target_reaches_it(builder):
    assert pair(builder, [LATE] * 3, [[0.4999, 0.5, 0.6]] * 3).costs["epochs"].mean == 2


def test_equal_costs_show_no_difference(builder):
    new = pair(builder, [LATE, LATE, EARLY], [EARLY, LATE, LATE])
    assert new.verdict == "no difference shown"
    assert "is not shown to reach 0.500 sooner" in new.sentence


def test_a_faster_arm_that_is_less_robust_is_called_so(builder):
    for seed in range(3):
        builder.trial(BASE, seed, LATE, test=(0.9, 0.55 + 0.01 * seed))
        builder.trial("lr.shape=loses", seed, EARLY, test=(0.9, 0.50 + 0.01 * seed))
        builder.trial("lr.shape=noisy", seed, EARLY, test=(0.9, 0.40 + 0.12 * seed))
    comparison = compare(builder.build())
    assert row(comparison, "loses").verdict == "faster but less robust"
    assert row(comparison, "noisy").verdict == "faster, robustness unclear"
    assert comparison.headline.startswith("No arm is shown to reach 0.500 robust ")


def test_accuracy_is_the_strongest_suite_on_the_test_set(builder):
    for seed in range(3):
        trial_id = builder.trial(BASE, seed, LATE, test=(0.9, 0.55))
        for checkpoint, robust in (("best", 0.5), ("last", 0.45)):
            builder.evaluation(trial_id, checkpoint, "autoattack", 0.9, robust)
    comparison = compare(builder.build())
    assert comparison.accuracy_source == "test, autoattack" and comparison.tested
    assert comparison.rows[0].robust["best"].mean == 0.5
    assert comparison.rows[0].robust["last"].mean == 0.45


def test_without_a_test_the_validation_split_speaks_and_is_named(builder):
    builder.arm(BASE, [[0.3, 0.6, 0.5, None]] * 3)
    comparison = compare(builder.build())
    base = comparison.rows[0]
    assert base.robust["best"].mean == pytest.approx(0.6)
    assert base.robust["last"].mean == pytest.approx(0.5)
    assert base.clean["best"].mean == pytest.approx(0.8)
    assert comparison.accuracy_source == "validation"
    assert any("No test evaluation" in note for note in comparison.notes)


def test_a_target_says_whether_it_was_fixed_before(builder):
    builder.arm(BASE, [[0.6], [0.5], [0.7]])
    fixed = compare(builder.build(target=0.5))
    assert (fixed.target, fixed.target_fixed) == (0.5, True)
    given = compare(builder.build(target=0.5), target=0.4)
    assert (given.target, given.target_fixed) == (0.4, False)
    assert given.target_origin.startswith("chosen after the runs")
    assert compare(builder.build(target=0.5), target=0.5).target_fixed
    chosen = compare(builder.build(target=None))
    assert chosen.target == pytest.approx(0.98 * 0.5) and not chosen.target_fixed
    assert chosen.rows[0].reached == 3


def test_a_baseline_without_values_leaves_no_target(builder):
    new = [None, None]
    builder.arm(BASE, [new] * 3, status="diverged")
    builder.arm("lr.shape=new", [EARLY] * 3)
    comparison = compare(builder.build(target=None))
    assert comparison.target is None and "no value" in comparison.target_origin
    assert row(comparison, "new").verdict == "not reached"
    assert json.dumps(comparison.to_json(), allow_nan=False) and comparison.render()


def test_without_a_baseline_the_first_arm_is_it(known):
    known.info["study"]["baseline"] = None
    comparison = compare(known)
    assert comparison.baseline == BASE and "first arm" in comparison.baseline_origin
    assert compare(known, baseline="lr=cyclic").baseline == "lr.shape=cyclic"


def test_a_target_that_one_class_for_every_image_reaches_is_said(builder):
    """Ten classes and 100 images: 0.1, and three standard errors of 0.03 above it."""
    pair(builder, [EARLY] * 3, [LATE] * 3)
    run = builder.build(target=None)
    run.info["data"] = [{"classes": 10, "val": 100}]
    notes = [" ".join(compare(run, target=target).notes) for target in (0.19, 0.2)]
    assert "The target of 0.190 is no more than chance" in notes[0] and "up to 0.190" in notes[0]
    assert "chance" not in notes[1]


def test_wrong_questions_are_refused(known):
    with pytest.raises(StudyError, match=r"no arm matches 'lr\.shape=cubic'"):
        compare(known, baseline="lr.shape=cubic")
    with pytest.raises(StudyError, match="finite value of val_robust_acc, got nan"):
        compare(known, target=math.nan)
    with pytest.raises(StudyError, match=r"above 0 and at most 1, 0\.7 if 70 percent are meant"):
        compare(known, target=70)
    with pytest.raises(LedgerError, match="holds no reports yet"):
        compare(replace(known, epochs=known.epochs.head(0)))


def test_a_single_arm_has_nothing_to_be_compared_with(builder):
    builder.trial("all", 0, EARLY)
    comparison = compare(builder.build(baseline=None))
    assert comparison.headline == "all is the only arm: there is nothing to compare it with."
    assert comparison.render() and comparison.markdown()


def test_an_equal_budget_of_tuning_is_named(builder):
    for arm in (BASE, "lr.shape=new"):
        for config, level in {"a": 0.6, "b": 0.7}.items():
            for seed in range(3):
                values = [level if arm == BASE else level + 0.01]
                cfg = {"lr.peak": level}
                builder.trial(arm, seed, values, config=f"{arm}-{config}", cfg=cfg)
    comparison = compare(builder.build(nuisance=["lr.peak"], protocol="as-published"))
    assert [r.tried for r in comparison.rows] == [2, 2]
    assert comparison.to_json()["rows"][0]["tuned"] == {"lr.peak": 0.7}
    assert "best of its 2 configurations" in " ".join(comparison.notes)
    assert "as-published" in comparison.notes[0]


def test_json_survives_a_round_trip(busy):
    tree = compare(busy).to_json()
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["interval"] == {"level": 0.95, "resamples": 10_000, "seed": 0}
    assert tree["rows"][0]["speed_up"]["passes"] is None


def test_the_same_run_gives_the_same_numbers(busy):
    assert compare(busy).to_json() == compare(busy).to_json()


def test_text_fits_a_terminal_and_says_the_verdict_first(busy):
    text = compare(busy).render()
    first = "Of the 21 trials compared, the policy stopped 1 before the target. Train with"
    assert " ".join(text.split()).startswith(first)
    assert "constant *" in text and "chosen after the runs" in text
    assert max(map(len, text.splitlines())) <= 84


def test_markdown_is_one_table_of_equal_width(busy):
    lines = compare(busy).markdown().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 7 and len({line.count("|") for line in table}) == 1


def test_names_cannot_break_the_text_or_the_markdown(builder):
    evil = "lr.shape=<script>|\x1b[31m\n\u202e"
    builder.arm(BASE, [LATE] * 3)
    builder.arm(evil, [EARLY] * 3)
    comparison = compare(builder.build())
    assert "\x1b" not in comparison.render() and "\u202e" not in comparison.render()
    table = [line for line in comparison.markdown().splitlines() if line.startswith("|")]
    assert "<script>" not in "".join(table)
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_a_run_whose_trials_all_failed_says_so(builder):
    for seed, status in enumerate(("failed", "failed", "lost")):
        builder.trial(BASE, seed, [], status=status, reason=f"ValueError: no such model {seed}")
    with pytest.raises(LedgerError, match="ended before their first epoch") as error:
        compare(builder.build())
    text = str(error.value)
    assert "(2 failed, 1 lost)" in text and "the first: ValueError: no such model 0" in text
    assert "wait for" not in text and "`rayat status runs/known` lists them" in text


def test_the_policys_stops_are_counted_once_for_the_run_and_once_for_what_is_compared(builder):
    for arm in (BASE, "lr.shape=cosine"):
        for config, level in (("good", 0.6), ("bad", 0.3)):
            for seed in range(3):
                ended = "stopped" if seed == 0 and arm != BASE else "finished"
                values, name = [level, level], f"{arm}-{config}"
                builder.trial(arm, seed, values, config=name, status=ended)
    comparison = compare(builder.build(nuisance=["lr.peak"]), target=0.7)
    assert "Of the 6 trials compared, the policy stopped 1 before" in comparison.headline
    (note,) = [note for note in comparison.notes if "early" in note]
    assert "stopped 2 trials of the run's 12 early, 1 of them compared above" in note


def test_intervals_are_called_uncorrected_only_where_there_are_any(builder):
    for arm in (BASE, *(f"lr.shape={name}" for name in "abc")):
        builder.trial(arm, 0, [0.2, 0.5])
        builder.trial(arm, 1, [0.2, 0.5])
    assert "interval" not in " ".join(compare(builder.build()).notes)


def test_a_named_arm_is_a_baseline_by_its_name_alone(builder):
    for arm in ("arm=a", "arm=b"):
        builder.arm(arm, [EARLY] * 3)
    assert compare(builder.build(), "b").baseline == "arm=b"
    assert compare(builder.build(baseline="b")).baseline == "arm=b"
