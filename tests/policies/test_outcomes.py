"""Divergence and catastrophic overfitting, seen report by report."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.policies.outcomes import Outcomes
from rayat.registry import POLICIES


def rows(vals, trains):
    return [
        {"train_loss": 1.0, "val_robust_acc": val, "train_robust_acc": train}
        for val, train in zip(vals, trains, strict=True)
    ]


def first(vals, trains):
    """Return (epoch, rule) of the first stop, or None."""
    outcomes = Outcomes()
    for epoch, row in enumerate(rows(vals, trains), 1):
        decision = outcomes.observe("a", epoch, row)
        if decision is not None:
            assert decision.action == "stop"
            json.dumps(dict(decision.evidence), allow_nan=False)
            return epoch, decision.rule
    return None


@pytest.mark.parametrize(
    ("vals", "trains", "expected"),
    [
        ([0.30, 0.35, 0.05], [0.4, 0.5, 0.9], (3, "collapsed")),
        ([0.60, 0.40, 0.40], [0.4, 0.6, 0.6], (2, "collapsed")),  # exactly 0.20, in floats less
        ([0.60, 0.40, 0.42], [0.4, 0.59, 0.61], None),  # the training batches are no 0.20 above
        ([0.60, 0.50, 0.40], [0.4, 0.5, 0.6], (3, "collapsed")),  # in two steps
        ([0.60, 0.53, 0.47, 0.41, 0.35], [0.4, 0.5, 0.6, 0.7, 0.8], None),  # slower
        ([0.60, 0.41, 0.41], [0.4, 0.5, 0.6], None),  # 0.19
        ([0.60, 0.30, 0.20], [0.4, 0.3, 0.2], None),  # training falls too: not overfitting
        ([0.60, 0.30, 0.20], [0.4, None, 0.2], None),
        ([0.60, None, 0.20], [0.4, 0.5, 0.6], (3, "collapsed")),  # one validation skipped
        ([0.60, None, None, 0.10], [0.4, 0.5, 0.6, 0.7], None),  # over more than two epochs
        ([0.30, 0.35, 0.40], [0.4, 0.5, 0.6], None),
    ],
)
def test_collapse(vals, trains, expected):
    assert first(vals, trains) == expected


def test_a_network_that_loses_its_clean_accuracy_too_is_unstable_and_not_collapsed():
    """At too high a rate both fall for an epoch, and come back; earlier runs ended such trials."""
    before, after = rows([0.4, 0.1], [0.3, 0.5])
    before["val_clean_acc"], after["val_clean_acc"] = 0.7, 0.55
    for rule, judged in ((1, "collapsed"), (2, None)):
        outcomes = Outcomes(collapse_rule=rule)
        outcomes.observe("a", 1, before)
        decision = outcomes.observe("a", 2, after)
        assert (decision and decision.rule) == judged
        assert decision is None or "clean" not in decision.sentence, "as it was written then"
    outcomes = Outcomes()
    outcomes.observe("a", 1, before)
    decision = outcomes.observe("a", 2, {**after, "val_clean_acc": 0.56})
    assert decision.sentence.endswith(
        "rose from 0.3000 to 0.5000 and clean accuracy stayed, at 0.5600"
    )
    assert decision.evidence["clean_before"] == 0.7 and decision.evidence["clean_now"] == 0.56


def test_a_dip_that_training_shares_is_no_collapse():
    """Recorded on digits, PGD-2 at a rate of 0.18: the trial ended at 0.70."""
    assert first([0.525, 0.325, 0.56], [0.423, 0.433, 0.48]) is None


def test_the_sentence_names_both_falls():
    outcomes = Outcomes()
    decisions = [
        outcomes.observe("a", e, r) for e, r in enumerate(rows([0.4, 0.05], [0.5, 0.8]), 1)
    ]
    assert decisions[0] is None
    assert decisions[1].sentence == (
        "catastrophic overfitting: validation robust accuracy fell from 0.4000 (epoch 1) to "
        "0.0500 (epoch 2) while training robust accuracy rose from 0.5000 to 0.8000"
    )


def test_a_trial_that_took_back_its_weights_goes_on():
    outcomes, (before, after) = Outcomes(), rows([0.6, 0.1], [0.4, 0.9])
    outcomes.observe("a", 1, before)
    decision = outcomes.observe("a", 2, {**after, "rollback_epoch": 1})
    assert (decision.action, decision.rule) == ("continue", "rolled-back")
    assert decision.sentence.endswith("; it goes on from the weights of epoch 1")
    assert decision.evidence["rollback_epoch"] == 1
    assert outcomes.observe("a", 3, after).rule == "collapsed", "from what it went back to"


def test_trials_are_watched_apart():
    outcomes = Outcomes()
    assert outcomes.observe("a", 1, rows([0.6], [0.4])[0]) is None
    assert outcomes.observe("b", 2, rows([0.1], [0.9])[0]) is None
    assert outcomes.observe("a", 2, rows([0.1], [0.9])[0]).rule == "collapsed"


def test_an_epoch_reported_again_changes_nothing():
    outcomes, (before, after) = Outcomes(), rows([0.6, 0.1], [0.4, 0.9])
    outcomes.observe("a", 1, before)
    assert outcomes.observe("a", 2, after).rule == "collapsed"
    assert outcomes.observe("a", 1, before) is None
    assert outcomes.observe("a", 2, after).rule == "collapsed"


def test_an_epoch_is_not_compared_with_its_own_earlier_attempt():
    outcomes, (lost, again) = Outcomes(), rows([0.6, 0.1], [0.4, 0.9])
    outcomes.observe("a", 2, lost)
    assert outcomes.observe("a", 2, again) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["train_loss", "val_robust_acc"])
def test_a_value_that_is_not_finite_diverged(key, bad):
    decision = Outcomes().observe("a", 4, {"train_loss": 1.0, "val_robust_acc": 0.5, key: bad})
    assert decision.rule == "diverged"
    assert decision.sentence == f"{key} is {bad} at epoch 4"
    json.dumps(dict(decision.evidence), allow_nan=False)


def test_a_trial_may_say_itself_that_it_diverged():
    decision = Outcomes().observe("a", 2, {"train_loss": None, "outcome": "diverged"})
    assert (decision.rule, decision.evidence) == ("diverged", {"epoch": 2})


def test_the_studys_metric_is_watched():
    row = {"train_loss": 1.0, "val_clean_acc": math.nan}
    assert Outcomes().observe("a", 1, row) is None
    assert Outcomes("val_clean_acc").observe("a", 1, row).rule == "diverged"


@given(st.lists(st.none() | st.floats(0, 1), max_size=30))
def test_a_rising_trial_never_collapses(vals):
    known = sorted(v for v in vals if v is not None)
    rising = [None if v is None else known.pop(0) for v in vals]
    assert first(rising, [0.01 * e for e in range(len(vals))]) is None


def test_it_is_no_policy():
    assert POLICIES.names().count("outcomes") == 0
