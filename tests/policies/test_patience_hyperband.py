"""Patience and Hyperband by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.policies.base import TrialView
from rayat.policies.hyperband import Hyperband
from rayat.policies.patience import Patience
from rayat.registry import POLICIES

METRIC = "val_robust_acc"


def test_patience_counts_epochs_since_the_best(sweep):
    curve = [0.1, 0.4, 0.3, 0.4, 0.2, 0.5, 0.1]
    assert sweep([curve], None).stops(Patience(epochs=3)) == {"t0": 5}
    assert sweep([curve], None).stops(Patience(epochs=4)) == {}
    assert sweep([[0.3] * 12], None).stops(Patience()) == {"t0": 5}
    assert POLICIES.build("patience:3").epochs == 3


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(1, 9))
def test_patience_never_misses_a_new_best_within_it(curve, wait):
    policy = Patience(epochs=wait)
    trial = TrialView("a", {}, len(curve))
    best, at = -1.0, 0
    for epoch, value in enumerate(curve, 1):
        decision = policy.observe(trial, epoch, {METRIC: value}, METRIC)
        if value > best:
            best, at = value, epoch
        expected = epoch - at >= wait and epoch < len(curve)
        assert (decision.action == "stop") == expected
        if expected:
            return


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(1, [1]), (9, [1, 3, 9]), (27, [1, 3, 9, 27]), (40, [2, 5, 14, 40])]
)
def test_brackets_begin_at_t_over_powers_of_eta(epochs, rungs):
    assert Hyperband().rungs(epochs) == rungs


def test_brackets_get_their_shares():
    policy = Hyperband()
    for i in range(100):
        trial = TrialView(f"t{i}", {}, 27)
        policy.observe(trial, 1, {METRIC: 0.1 + 0.001 * i}, METRIC)
    dealt = Counter(bracket.grace for bracket in policy._bracket.values())
    total = sum(policy.shares(27))
    for rung, share in zip(policy.rungs(27), policy.shares(27), strict=True):
        assert abs(dealt[rung] - 100 * share / total) <= 2


def test_a_bracket_is_asha():
    levels = [0.5, 0.4, 0.6, 0.3, 0.2, 0.1]
    policy = Hyperband()
    stopped = {
        i
        for i, level in enumerate(levels)
        if policy.observe(TrialView(f"t{i}", {}, 9), 1, {METRIC: level}, METRIC).action == "stop"
    }
    bold = [i for i in range(6) if policy._bracket[f"t{i}"].grace == 1]
    assert stopped and stopped <= set(bold)
    assert bold[0] not in stopped
