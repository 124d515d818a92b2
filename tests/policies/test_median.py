"""The median rule by hand, and against means recomputed from scratch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.policies.median import Median

METRIC = "val_robust_acc"


def flat(*levels, epochs=12):
    return [[level] * epochs for level in levels]


def test_the_worst_is_stopped_at_grace_once_three_others_are_there(sweep):
    levels = flat(0.5, 0.4, 0.6, 0.1)
    assert sweep(levels, None).stops(Median(grace=3)) == {"t3": 3}
    assert sweep(levels[:3], None).stops(Median(grace=3)) == {}
    assert sweep(levels, None).stops(Median()) == {"t3": 2}


def test_a_stop_carries_its_numbers(sweep):
    reports = sweep(flat(0.5, 0.4, 0.6, 0.1), None).run(Median(grace=3))
    stop = next(decision for _, decision in reports if decision.action == "stop")
    assert stop.rule == "median"
    assert stop.sentence == (
        "the best val_robust_acc up to epoch 3, 0.1000, is below 0.5000, "
        "the median of 3 other trials' means over epochs 3 to 3"
    )
    assert stop.evidence == {"best": 0.1, "median": 0.5, "compared": 3, "grace": 3}


def test_a_good_early_best_protects(sweep):
    once_good = [0.9] + [0.0] * 11
    assert "t4" not in sweep([*flat(0.5, 0.5, 0.5, 0.5), once_good], None).stops(Median(grace=1))


def twin(grace, min_samples, reports):
    """Return the stops, every mean recomputed from the list of reports."""
    rows, last, stops = {}, {}, {}
    for trial, epoch, value in reports:
        name, good = trial.trial_id, value is not None and math.isfinite(value)
        last[name] = epoch
        rows.setdefault(name, {})
        if good:
            rows[name][epoch] = value
        if not good or epoch < grace or epoch >= trial.epochs:
            continue
        means = []
        for other, seen in rows.items():
            inside = [v for e, v in seen.items() if grace <= e <= epoch]
            if other != name and last[other] >= epoch and inside:
                means.append(np.mean(inside))
        if len(means) >= min_samples and max(rows[name].values()) < np.median(means) - 1e-9:
            stops[name] = epoch
    return stops


@settings(max_examples=150)
@given(
    curves=st.lists(
        st.lists(
            st.none() | st.just(math.nan) | st.integers(0, 64).map(lambda k: k / 64),
            min_size=12,
            max_size=12,
        ),
        min_size=1,
        max_size=8,
    ),
    grace=st.integers(1, 5),
    min_samples=st.integers(1, 4),
    order=st.integers(0, 99),
)
def test_agrees_with_the_twin(sweep, curves, grace, min_samples, order):
    reports = sweep(curves, order).run(Median(grace=grace, min_samples=min_samples))
    stops = {t.trial_id: e for (t, e, _), d in reports if d.action == "stop"}
    assert stops == twin(grace, min_samples, [report for report, _ in reports])


@given(curve=st.lists(st.floats(0, 1), min_size=12, max_size=12).map(sorted))
def test_equal_rising_curves_are_never_stopped(sweep, curve):
    assert sweep([curve] * 6, None).stops(Median(grace=1)) == {}


@pytest.mark.parametrize("level", [0.1, 0.3, 0.7])
def test_equal_flat_curves_are_not_told_apart_by_rounding(sweep, level):
    assert sweep(flat(*[level] * 6), None).stops(Median(grace=1)) == {}


def test_trials_are_compared_within_their_group(sweep):
    configs = [{"lr": {"shape": s}} for s in ("cosine",) * 4 + ("linear",)]
    trials = sweep(flat(0.5, 0.5, 0.5, 0.5, 0.1), None, configs)
    assert set(trials.stops(Median())) == {"t4"}
    assert trials.stops(Median(compare_within=("lr.shape",))) == {}


def test_the_last_epoch_is_never_stopped(sweep):
    assert sweep(flat(0.5, 0.5, 0.5, 0.1, epochs=3), None).stops(Median(grace=3)) == {}
