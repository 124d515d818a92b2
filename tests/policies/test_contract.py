"""What every policy promises; a new policy is tested by being registered."""

from __future__ import annotations

import json
import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.errors import ConfigError
from rayat.policies.groups import PeerPolicy
from rayat.registry import POLICIES
from rayat.testing import policy_contract

METRIC = "val_robust_acc"
every_policy = pytest.mark.parametrize("name", POLICIES.names())

values = st.none() | st.sampled_from([math.nan, math.inf, -math.inf]) | st.floats(0, 1)
curves = st.integers(2, 14).flatmap(
    lambda epochs: st.lists(
        st.lists(values, min_size=epochs, max_size=epochs), min_size=1, max_size=9
    )
)


def said(reports):
    """Return decisions in a form where NaN equals NaN."""
    return [
        (t.trial_id, epoch, d.action, d.rule, d.sentence, dict(d.evidence))
        for (t, epoch, _), d in reports
    ]


@every_policy
@settings(max_examples=60)
@given(curves=curves, order=st.integers(0, 99))
def test_same_reports_same_decisions(name, sweep, curves, order):
    first = sweep(curves, order).run(POLICIES.build(name))
    assert said(first) == said(sweep(curves, order).run(POLICIES.build(name)))


@every_policy
@settings(max_examples=60)
@given(curves=curves, order=st.integers(0, 99), data=st.data())
def test_replaying_the_reports_rebuilds_the_state(name, sweep, curves, order, data):
    policy = POLICIES.build(name)
    whole = sweep(curves, order).run(policy)
    cut = data.draw(st.integers(0, len(whole)))
    again = policy.fresh()
    replayed = [
        (report, again.observe(report[0], report[1], {METRIC: report[2]}, METRIC))
        for report, _ in whole
    ]
    assert said(replayed[:cut]) == said(whole[:cut])
    assert said(replayed[cut:]) == said(whole[cut:])


@every_policy
@settings(max_examples=60)
@given(curves=curves, order=st.integers(0, 99))
def test_a_stop_says_why(name, sweep, curves, order):
    for _, decision in sweep(curves, order).run(POLICIES.build(name)):
        assert decision.action in ("continue", "stop", "pause")
        if decision.action != "continue":
            assert decision.rule
            assert any(letter.isdigit() for letter in decision.sentence)
            assert "\n" not in decision.sentence
            assert decision.evidence
            json.dumps(dict(decision.evidence), allow_nan=False)


@every_policy
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_a_number_stops_nothing(name, sweep, bad):
    good = [[0.1 + 0.03 * e for e in range(12)] for _ in range(6)]
    stops = sweep([*good, [bad] * 12], None).stops(POLICIES.build(name))
    assert "t6" not in stops


@every_policy
@settings(max_examples=30)
@given(curves=curves.filter(lambda c: len(c) > 1), bad=st.sampled_from([None, math.nan]))
def test_a_trial_without_values_changes_nothing_for_the_others(name, sweep, curves, bad):
    epochs = len(curves[0])
    with_bad = sweep([*curves, [bad] * epochs], None).run(POLICIES.build(name))
    without = sweep(curves, None).run(POLICIES.build(name))
    ours = [(r, d) for r, d in with_bad if r[0].trial_id != f"t{len(curves)}"]
    assert said(ours) == said(without)


@every_policy
@given(curve=st.lists(values, min_size=2, max_size=20))
def test_a_lone_trial_is_not_compared_with_others(name, sweep, curve):
    for _, decision in sweep([curve]).run(POLICIES.build(name)):
        assert not decision.evidence.get("compared")
        if isinstance(POLICIES.build(name), PeerPolicy):
            assert decision.action == "continue"


@every_policy
def test_a_lone_trial_that_learns_trains_to_its_end(name, sweep):
    assert sweep([[0.1 + 0.02 * e for e in range(20)]]).stops(POLICIES.build(name)) == {}


@every_policy
def test_fresh_forgets_and_keeps_the_parameters(name, sweep):
    policy = POLICIES.build(name)
    untouched = policy.fresh()
    sweep([[0.1 * i] * 12 for i in range(6)], None).run(policy)
    assert policy.fresh() == untouched
    assert policy.fresh().spec() == policy.spec()


@every_policy
def test_it_keeps_what_is_asked_of_every_policy(name):
    policy_contract(POLICIES.build(name))


@every_policy
def test_a_typo_is_refused(name):
    with pytest.raises(ConfigError, match=r"unknown key 'policy.graze'"):
        POLICIES.build({"name": name, "graze": 3})


@every_policy
def test_a_decision_takes_less_than_a_short_loop_at_64_trials(name, sweep):
    """`rayat bench R2` measures milliseconds; here a loop of about one is the yardstick."""
    draw = random.Random(0)
    curves = [[0.3 + 0.002 * e + draw.gauss(0, 0.02) for e in range(30)] for _ in range(64)]
    policy, runs, loops = POLICIES.build(name), [], []
    for _ in range(3):
        start = time.process_time()
        reports = sweep(curves, None).run(policy.fresh())
        runs.append((time.process_time() - start) / len(reports))
        start = time.process_time()
        sum(i * i for i in range(25_000))
        loops.append(time.process_time() - start)
    assert min(runs) < min(loops)
