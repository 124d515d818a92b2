"""ASHA by hand, and against NumPy's percentile."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.errors import ConfigError
from rayat.policies.asha import ASHA, percentile
from rayat.policies.base import TrialView
from rayat.registry import POLICIES

METRIC = "val_robust_acc"


def flat(*levels, epochs=18):
    return [[level] * epochs for level in levels]


def test_rungs_are_grace_times_powers_of_eta():
    policy, trial = ASHA(eta=3, grace=2), TrialView("a", {}, 40)
    rungs = [policy.rung(trial, epoch) for epoch in range(1, 41)]
    assert rungs == [None] + [2] * 4 + [6] * 12 + [18] * 22 + [None]
    assert ASHA().rung(TrialView("b", {}, 19), 3) is None
    assert ASHA().rung(TrialView("b", {}, 19), 4) == 4


def test_the_first_passes_and_the_worse_are_cut_below_the_percentile(sweep):
    # Rung 3: 0.5 is first; 0.4 < 0.5; 0.6 passes; 0.55 is above 0.5333, the bar of .4, .5, .6.
    # Rung 9: 0.5 is first again; 0.6 passes; 0.55 is below 0.5667, the bar of .5, .6.
    stops = sweep(flat(0.5, 0.4, 0.6, 0.55), None).stops(ASHA(eta=3, grace=3))
    assert stops == {"t1": 3, "t3": 9}


def test_a_stop_carries_its_numbers(sweep):
    reports = sweep(flat(0.5, 0.4, epochs=6), None).run(ASHA(grace=1))
    (stop,) = [decision for _, decision in reports if decision.action == "stop"]
    assert stop.rule == "asha"
    assert stop.sentence == (
        "val_robust_acc 0.4000 at epoch 1 is below 0.5000, the bar for the best 1/3 "
        "of the 1 earlier trials at the rung of epoch 1"
    )
    assert stop.evidence == {
        "value": 0.4,
        "cutoff": 0.5,
        "rung": 1,
        "compared": 1,
        "no_worse": 1,
        "eta": 3,
    }


def twin(trials, eta, grace, reports):
    """Return the stops by recomputing every rung from the whole list of reports, with NumPy."""
    held, stops = {}, {}
    for trial, epoch, value in reports:
        if trial.trial_id in stops or value is None or not math.isfinite(value):
            continue
        reached = [grace * eta**k for k in range(20) if grace * eta**k <= epoch < trial.epochs]
        if not reached:
            continue
        rung = held.setdefault(max(reached), {})
        if trial.trial_id in rung:
            continue
        if rung and value < np.percentile(list(rung.values()), 100 * (1 - 1 / eta)) - 1e-12:
            stops[trial.trial_id] = epoch
        rung[trial.trial_id] = value
    return stops


@settings(max_examples=150)
@given(
    curves=st.lists(
        st.lists(
            st.none() | st.just(math.nan) | st.integers(0, 64).map(lambda k: k / 64),
            min_size=20,
            max_size=20,
        ),
        min_size=1,
        max_size=9,
    ),
    eta=st.sampled_from([2, 4]),
    grace=st.integers(1, 6),
    order=st.integers(0, 99),
)
def test_agrees_with_the_twin(sweep, curves, eta, grace, order):
    trials = sweep(curves, order)
    reports = trials.run(ASHA(eta=eta, grace=grace))
    stops = {t.trial_id: e for (t, e, _), d in reports if d.action == "stop"}
    assert stops == twin(trials.trials, eta, grace, [report for report, _ in reports])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1))
def test_percentile_is_numpys(numbers, share):
    expected = np.percentile(numbers, 100 * share)
    assert percentile(sorted(numbers), share) == pytest.approx(expected, abs=1e-12)


@given(level=st.floats(0, 1), eta=st.integers(2, 5))
def test_equal_trials_are_never_stopped(sweep, level, eta):
    assert sweep(flat(*[level] * 8), None).stops(ASHA(eta=eta, grace=1)) == {}


def test_a_value_missed_at_the_rung_is_taken_at_the_next_measured_epoch(sweep):
    late = [None, None, None, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert sweep([*flat(0.5, epochs=8), late], None).stops(ASHA(grace=3)) == {"t1": 4}


def test_the_last_epoch_is_no_rung(sweep):
    assert sweep(flat(0.5, 0.4, epochs=3), None).stops(ASHA(grace=3)) == {}


def test_trials_are_compared_within_their_group(sweep):
    configs = [{"attack": {"steps": steps}} for steps in (1, 1, 7, 7)]
    trials = sweep(flat(0.9, 0.8, 0.3, 0.4, epochs=8), None, configs)
    assert set(trials.stops(ASHA(grace=2))) == {"t1", "t2", "t3"}
    grouped = ASHA(grace=2, compare_within=("attack.steps",))
    assert set(trials.stops(grouped)) == {"t1"}


def test_wrong_parameters_are_refused():
    with pytest.raises(ConfigError, match=r"policy.eta"):
        POLICIES.build({"name": "asha", "eta": 1})
    with pytest.raises(ConfigError, match=r"got 'lrr.shape' \(did you mean 'lr'\?\)$"):
        POLICIES.build({"name": "asha", "compare_within": ["lrr.shape"]})
