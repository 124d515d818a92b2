"""Which of several evaluations a comparison shows."""

from __future__ import annotations

import pytest

from rayat.compare.accuracy import accuracies
from rayat.compare.table import compare
from rayat.errors import StudyError


@pytest.fixture
def several(builder):
    """Two trials at eps 0.1, both evaluated by PGD; `add` adds rows to their best checkpoints."""
    ids = [
        builder.trial("a", seed, [0.5], test=(0.9, 0.6), cfg={"attack.eps": 0.1}) for seed in (0, 1)
    ]

    def add(suite, robust, checkpoints=("best", "last"), trials=ids, **fields):
        for trial_id in trials:
            for checkpoint in checkpoints:
                builder.evaluation(trial_id, checkpoint, suite, 0.9, robust)
                builder.evals[-1].update(fields)

    return builder, add


def shown(run, suite=None):
    found = accuracies(run, suite)
    return found.source, found.of({0: "0000-s0", 1: "0001-s1"}, "best", "robust")


def test_autoattack_comes_first_whatever_it_leaves(several):
    builder, add = several
    add("pgd-50x3", 0.5)
    add("autoattack", 0.55)
    assert shown(builder.build()) == ("test, autoattack", {0: 0.55, 1: 0.55})


def test_without_it_the_strongest_suite_is_shown(several):
    builder, add = several
    add("pgd-50x3", 0.5)
    add("fgsm", 0.7)
    assert shown(builder.build())[0] == "test, pgd-50x3"


def test_a_suite_that_does_not_cover_all_is_shown_when_asked_for(several):
    builder, add = several
    add("autoattack", 0.4, checkpoints=("best",), trials=["0000-s0"])
    assert shown(builder.build())[0] == "test, pgd-20"
    assert shown(builder.build(), "autoattack") == ("test, autoattack", {0: 0.4})


def test_other_radii_are_not_mixed_in(several):
    builder, add = several
    add("pgd-20", 0.1, eps=0.2, n=9000)
    add("pgd-50", 0.0, eps=0.2)
    assert shown(builder.build()) == ("test, pgd-20", {0: 0.6, 1: 0.6})


def test_of_several_sizes_the_largest_counts(several):
    builder, add = several
    add("pgd-50", 0.5, n=1000, eps=0.1)
    add("pgd-50", 0.4, n=100, eps=0.1)
    assert shown(builder.build()) == ("test, pgd-50", {0: 0.5, 1: 0.5})


def test_an_unknown_suite_is_said(several):
    with pytest.raises(StudyError, match=r"no test evaluation by suite 'pgd-21' \(did you mean"):
        accuracies(several[0].build(), "pgd-21")


@pytest.mark.parametrize(
    ("ends", "shown", "n"),
    [
        (["finished", "stopped", "stopped"], 0.3, 1),
        (["finished", "finished", "failed"], 0.25, 2),
        (["finished", "collapsed", "lost"], 0.3, 1),
        (["stopped", "stopped", "stopped"], 0.2, 3),
        (["stopped", "failed", "lost"], None, 0),
    ],
)
def test_one_mean_holds_trials_of_one_end(builder, ends, shown, n):
    for seed, (status, robust) in enumerate(zip(ends, (0.3, 0.2, 0.1), strict=True)):
        builder.trial("lr.shape=constant", seed, [0.2], status=status, test=(0.9, robust))
    found = compare(builder.build()).rows[0].robust["best"]
    assert (found is None) if shown is None else (found.mean, found.n) == (pytest.approx(shown), n)
