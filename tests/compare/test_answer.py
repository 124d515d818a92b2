"""The first line of a comparison: what to train with, or what would decide it."""

from __future__ import annotations

import math

import pytest

from rayat.compare.answer import seeds_to_decide
from rayat.compare.bootstrap import ratio_of_means
from rayat.compare.table import compare

BASE, LATE, EARLY, NEVER = "arm=slow", [0.1] * 7 + [0.6], [0.1] * 3 + [0.6], [0.1] * 8


def at(epoch):
    return [0.1] * (epoch - 1) + [0.6]


def said(builder, **study):
    return compare(builder.build(baseline=BASE, **study)).headline


def test_of_several_faster_arms_the_one_with_the_largest_lower_end_is_named(builder):
    builder.arm(BASE, [at(12), at(12), at(12)], test=(0.9, 0.5))
    builder.arm("arm=wild", [at(3), at(3), at(4)], test=(0.9, 0.5))
    builder.arm("arm=steady", [at(4), at(4), at(4)], test=(0.9, 0.5))
    assert said(builder) == (
        "Train with steady: it reaches 0.500 robust accuracy on validation 3.00 [3.00, 3.00] times "
        "sooner than slow in passes, 3 seeds; no loss of robust accuracy is shown, +0.000 [+0.000, "
        "+0.000]. Also sooner: wild."
    )


def test_a_gain_of_robustness_that_is_shown_is_said_whatever_the_cost(builder):
    for seed in range(3):
        builder.trial(BASE, seed, EARLY, test=(0.9, 0.50 + 0.01 * seed))
        builder.trial("arm=strong", seed, LATE, test=(0.9, 0.60 + 0.01 * seed))
    assert said(builder) == (
        "No arm is shown to reach 0.500 robust accuracy on validation sooner than slow at matched "
        "robustness (1 slower). strong ends more robust than slow, by +0.100 [+0.100, +0.100], and "
        "is slower."
    )


def test_what_is_not_decided_says_how_many_seeds_would_decide_it(builder):
    builder.arm(BASE, [at(8), at(9), at(10)], test=(0.9, 0.5))
    builder.arm("arm=maybe", [at(4), at(9), at(5)], test=(0.9, 0.5))
    comparison = compare(builder.build(baseline=BASE))
    speed = comparison.rows[1].speed_up["passes"]
    n = seeds_to_decide(speed)
    assert comparison.rows[1].verdict == "no difference shown"
    assert 3 < n <= 50
    assert f"Not decided: maybe may be 1.50 [{speed.low:.2f}, {speed.high:.2f}] times sooner; " in (
        comparison.headline
    )
    assert comparison.headline.endswith(
        f"about {n} seeds in all would show that it is sooner, if they spread as these do."
    )


@pytest.mark.parametrize("times", [2, 4])
def test_the_estimated_number_of_seeds_shows_the_difference_if_they_spread_alike(times):
    base, arm = [8.0, 9.0, 10.0], [4.0, 9.0, 5.0]
    n = seeds_to_decide(ratio_of_means(base, arm))
    enough, half = (ratio_of_means(base * k, arm * k) for k in (math.ceil(n / 3), 1))
    assert half.low <= 1 < enough.low
    assert seeds_to_decide(enough) is None, "it is shown already"
    assert seeds_to_decide(ratio_of_means([9.0] * 3 * times, [9.0] * 3 * times)) is None


def test_too_few_seeds_and_a_baseline_that_missed_the_target_say_so(builder, make_run, tmp_path):
    builder.arm(BASE, [LATE] * 2).arm("arm=new", [EARLY] * 2)
    assert said(builder).endswith("Not decided: a verdict takes 3 seeds of both.")
    made = make_run().arm(BASE, [NEVER] * 3).arm("arm=new", [EARLY] * 3)
    assert (
        "the baseline itself missed the target; a lower one, or more epochs"
        in compare(made.build(tmp_path / "missed", baseline=BASE)).headline
    )
    made = make_run().arm(BASE, [LATE] * 3)
    for seed in range(3):
        made.trial("arm=new", seed, [0.1, 0.2], status="stopped")
    headline = compare(made.build(tmp_path / "cut", baseline=BASE)).headline
    assert headline.startswith("Of the 6 trials compared, the policy stopped 3 before the target.")
    assert "--policy verdict stops nothing that a verdict needs" in headline


def test_a_faster_arm_that_may_have_lost_robustness_is_not_recommended(builder):
    for seed in range(3):
        builder.trial(BASE, seed, LATE, test=(0.9, 0.55 + 0.01 * seed))
        builder.trial("arm=noisy", seed, EARLY, test=(0.9, 0.46 + 0.08 * seed))
    assert "Not decided: noisy is 2.00 [2.00, 2.00] times sooner and may have lost robust" in (
        said(builder)
    )
