"""Robustness against the radius: which rows make a curve, and that it stands in the report."""

from __future__ import annotations

import pytest

from rayat.compare.plots import picture
from rayat.compare.radii import draw_radii, robustness
from rayat.compare.table import compare
from rayat.report.write import report


def measure(builder, trial_id, robust, suite="pgd-20", n=100, clean=0.9, checkpoint="best"):
    """Add rows of a suite: `robust` has accuracies by radius."""
    for eps, accuracy in robust.items():
        builder.evaluation(trial_id, checkpoint, suite, clean, accuracy)
        builder.evals[-1] |= {"eps": eps, "n": n}


@pytest.fixture
def run(builder):
    for seed in (0, 1):
        trial = builder.trial("lr.shape=constant", seed, [0.6])
        more = {0.3: 0.1} if seed == 0 else {}
        measure(builder, trial, {0.2: 0.3 + 0.1 * seed, 0.1: 0.5, **more})
        measure(builder, trial, {0.1: 0.45}, suite="autoattack")
        measure(builder, trial, {0.1: 0.1, 0.2: 0.1}, checkpoint="last")
        measure(builder, builder.trial("lr.shape=cosine", seed, [0.6]), {0.1: 0.55})
    measure(builder, trial, {0.2: 0.35})  # measured again: the last one counts
    return builder.build()


def test_a_curve_has_the_radii_of_all_seeds_and_begins_at_the_clean_accuracy(run):
    (found,) = robustness(run, compare(run))
    assert (found.arm, found.title) == ("lr.shape=constant", "pgd-20 on 100 test images")
    assert list(found.accuracies.index) == [0.0, 0.1, 0.2], "not 0.3, which one seed has alone"
    assert found.accuracies.loc[0.0].tolist() == [0.9, 0.9]
    assert found.accuracies.loc[0.2].tolist() == [0.3, 0.35]


def test_numbers_of_images_and_suites_are_drawn_apart(run, builder):
    measure(builder, "0000-s0", {0.1: 0.4, 0.2: 0.2}, n=50)
    measure(builder, "0002-s1", {0.1: 0.4, 0.2: 0.2}, n=50)
    again = builder.build()
    found = robustness(again, compare(again))
    assert [each.title for each in found] == [
        "pgd-20 on 50 test images",
        "pgd-20 on 100 test images",
    ]
    svg = picture(draw_radii(compare(again), found), "svg").decode()
    assert "pgd-20 on 50 test images" in svg and "radius (eps)" in svg


def test_the_report_has_the_curve_where_there_is_one(run, known):
    heading = "<h2>Robust accuracy over the radius</h2>"
    assert heading in report(run, compare(run))
    assert heading not in report(known, compare(known))
