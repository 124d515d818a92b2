"""What ended trials say of running ones: by hand, and who is not judged by whom."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
from scipy.stats import t as student

from rayat.policies._evidence import Evidence
from rayat.policies.accel import Accel
from rayat.policies.base import TrialView
from rayat.policies.groups import recorded
from rayat.policies.median import Median
from rayat.policies.schedule import outlook

METRIC = "val_robust_acc"
T = 24
FLAT = (0.1,) * T
DROP = (0.1,) * 12 + (0.01,) * 12
WARM = tuple(min(1.0, e / 12) for e in range(1, T + 1))
GAINS = (0.05, 0.06, 0.08)


def evidence(filter=None, **given):
    return Evidence(filter=filter or Median(min_samples=99), **given)


def climb(start, gain):
    """Return a curve that rises in a line from its second epoch on."""
    return [start + gain * max(0, e - 2) / (T - 2) for e in range(1, T + 1)]


def feed(policy, name, curve, rates=FLAT, **config):
    """Return (epoch, decision) of the first stop, or None."""
    trial = TrialView(name, config, T, rates=rates)
    for epoch, value in enumerate(curve, 1):
        decision = policy.observe(trial, epoch, {METRIC: value}, METRIC)
        if decision.action == "stop":
            return epoch, decision
    return None


def taught(policy, rates=FLAT):
    """Return it after three trials to their end, the best of them at 0.58."""
    for number, gain in enumerate(GAINS):
        assert feed(policy, f"t{number}", climb(0.5, gain), rates) is None
    return policy


def bound():
    """Return what a trial may still gain after its second epoch, all but a tenth of the time."""
    spread = math.sqrt((stdev(GAINS) ** 2 + 0.01**2) * (1 + 1 / 3))
    return fmean(GAINS) + student.isf(0.1, 2) * spread


@pytest.mark.parametrize("below", [0.001, -0.001])
def test_a_trial_ends_where_its_chance_falls_below_the_tenth(below):
    start = 0.58 - bound() - below
    found = feed(taught(evidence()), "new", [start] * 3)
    if below < 0:
        assert found is None or found[0] > 2
        return
    epoch, stop = found
    assert (epoch, stop.rule) == (2, "evidence")
    assert stop.evidence["reach"] == pytest.approx(0.579)
    assert stop.evidence["gain"] == pytest.approx(fmean(GAINS))
    assert (stop.evidence["top"], stop.evidence["ended"]) == (pytest.approx(0.58), 3)


def test_two_ended_trials_are_no_evidence():
    policy = evidence()
    for number in range(2):
        feed(policy, f"t{number}", climb(0.5, 0.05))
    assert feed(policy, "new", [0.0] * T) is None


def test_nothing_is_stopped_before_the_grace():
    assert feed(taught(evidence()), "new", [0.0] * T)[0] == 2
    assert feed(taught(evidence(grace=9)), "new", [0.0] * T)[0] == 9


def test_a_trial_with_its_drop_ahead_is_not_judged_by_those_that_had_none():
    assert feed(taught(evidence()), "new", [0.0] * 12, DROP) is None
    # Once it has had it, nothing more is to come for either.
    assert feed(taught(evidence()), "new", [0.0] * 13, DROP)[0] == 13
    assert feed(taught(evidence(), DROP), "new", [0.0] * 2, FLAT)[0] == 2


def test_neither_filter_nor_evidence_judges_before_the_rate_is_at_its_peak():
    assert outlook(WARM).peak == 12
    assert feed(taught(evidence()), "new", [0.0] * 12, WARM)[0] == 12
    assert feed(taught(evidence(Median(grace=1))), "new", [0.0] * 12, WARM)[0] == 12
    assert feed(taught(Median(grace=1)), "new", [0.0] * 12, WARM)[0] == 1


def test_a_schedule_that_accuracy_decides_is_left_to_the_filter():
    lr = {"shape": "accelat", "peak": 0.1}
    assert feed(taught(evidence()), "new", [0.0] * T, None, lr=lr) is None
    assert feed(taught(evidence(Median(grace=1))), "new", [0.0], None, lr=lr)[1].rule == "median"


def test_a_trial_that_broke_is_no_evidence():
    policy = evidence()
    for number in range(3):
        trial = f"t{number}"
        feed(policy, trial, [0.5, 0.5])
        policy.ended(trial)  # by the host: it diverged, collapsed or was lost
    assert feed(policy, "new", [0.0] * T) is None


def test_trials_of_another_measurement_are_no_evidence():
    attack = {"name": "pgd", "eps": 0.3}
    assert feed(taught(evidence()), "new", [0.0] * T, attack=attack) is None
    with_all = taught(evidence(peers="all"))
    assert feed(with_all, "new", [0.0] * 2, attack=attack)[0] == 2


def test_a_trial_that_a_limit_stopped_past_its_peak_is_evidence():
    policy = Accel(patience=2, keep_best=False)
    curve = [0.3 + 0.02 * min(e, 8) - 0.03 * max(0, e - 8) for e in range(T)]
    for number in range(3):
        epoch, stop = feed(policy, f"t{number}", [v + 0.001 * number for v in curve])
        assert stop.rule in ("plateau", "robust-overfitting", "patience") and epoch < T
    assert feed(policy, "new", [0.05] * 4)[1].rule == "evidence"
    assert feed(Accel(chance=0.0, patience=2), "new", [0.05] * 4) is None


def test_a_run_from_before_is_decided_without_evidence():
    spec = Accel().spec()
    assert recorded(spec).chance == 0.1 and recorded(spec).keep_best
    del spec["chance"], spec["doubt"], spec["keep_best"]
    assert recorded(spec).chance == 0.0 and not recorded(spec).keep_best
    assert recorded({"name": "accel"}).peers == "all"
