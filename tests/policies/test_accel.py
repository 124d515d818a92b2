"""AGS: each limit by hand, the filters, collapse, groups, resume."""

from __future__ import annotations

import math
import random
import time

import pytest

from rayat.errors import ConfigError
from rayat.policies.accel import Accel
from rayat.policies.base import TrialView
from rayat.registry import POLICIES, SHAPES
from rayat.replay.curves import table_curves
from rayat.replay.simulate import simulate
from rayat.replay.sweeps import draw
from rayat.replay.synthetic import synthetic

METRIC = "val_robust_acc"
T = 40
DROP = {"shape": "piecewise", "peak": 0.1, "milestones": [0.5], "multipliers": [1.0, 0.1]}


def view(name="a", lr=DROP, epochs=T, **config):
    return TrialView(name, {"lr": lr, **config}, epochs)


def feed(policy, trial, robust, clean=None):
    """Return (epoch, decision) of the first stop, or None."""
    for epoch, value in enumerate(robust, 1):
        row = {METRIC: value, "val_clean_acc": None if clean is None else clean[epoch - 1]}
        decision = policy.observe(trial, epoch, row, METRIC)
        if decision.action == "stop":
            return epoch, decision
    return None


def overfitting(noise=0.0, seed=0):
    """Rise, plateau at the hot rate, jump at the drop, fall afterwards; clean accuracy rises."""
    rng = random.Random(seed)
    hot = [0.1 + 0.3 * (1 - math.exp(-e / 3)) for e in range(1, 21)]
    cold = [0.50 - 0.006 * e for e in range(20)]
    robust = [value + rng.gauss(0, noise) for value in hot + cold]
    return robust, [0.5 + 0.01 * e for e in range(T)]


def test_the_plateau_before_a_drop_stops_nothing_and_the_fall_after_it_does():
    epoch, decision = feed(Accel(filter="none"), view(), *overfitting(0.004))
    assert 22 <= epoch <= 28
    assert decision.rule in ("robust-overfitting", "patience")
    assert decision.evidence["best"] == pytest.approx(0.49, abs=0.02)


def test_the_forecast_says_what_it_saw():
    policy = Accel(filter="none", patience=100, keep_best=False)
    others = [feed(policy, view(f"o{i}"), *overfitting(0.004, i)) for i in range(6)]
    assert all(others)
    epoch, decision = feed(policy, view(), *overfitting(0.004, 9))
    assert decision.rule == "robust-overfitting"
    assert decision.sentence.startswith("past its peak: robust accuracy can reach ")
    assert decision.sentence.endswith("; clean still rising")
    evidence = decision.evidence
    assert evidence["reach"] < evidence["best"] + policy.gain
    assert evidence["robust_slope"] < 0 < evidence["clean_slope"]
    assert evidence["robust_slope_se"] > 0 and evidence["clean_slope_se"] > 0
    assert 20 < evidence["best_epoch"] <= epoch


def test_limits_end_the_worse_of_two_but_not_the_best_unless_it_is_alone():
    robust, clean = overfitting(0.004)
    worse = [value - 0.02 for value in robust]
    policy = Accel(filter="none")
    alone = feed(policy, view("best"), robust, clean)
    assert alone is not None
    assert feed(policy, view("worse"), worse, clean) is not None
    assert feed(policy, view("again"), robust, clean) is None
    off = Accel(filter="none", keep_best=False)
    feed(off, view("worse"), worse, clean)
    assert feed(off, view("again"), robust, clean) is not None


def test_the_best_at_one_radius_says_nothing_of_another():
    robust, clean = overfitting(0.004)
    policy = Accel(filter="none")
    feed(policy, view("wide", attack={"name": "pgd", "eps": 0.3}), [v - 0.2 for v in robust], clean)
    assert feed(policy, view("thin", attack={"name": "pgd", "eps": 0.1}), robust, clean) is not None


def test_a_collapse_ends_also_the_best():
    policy = Accel(filter="none")
    feed(policy, view("other"), [0.2] * T, [0.5] * T)
    robust, clean = collapsing(10, T)
    _, decision = feed(policy, view("best"), robust, clean)
    assert decision.rule == "catastrophic-overfitting"


def test_patience_waits_for_the_planned_drop():
    flat = [0.4 - 0.002 * (e % 2) - 0.0005 * e for e in range(T)]
    policy = Accel(filter="none", patience=4, kappa=50)
    epoch, decision = feed(policy, view(), flat)
    # The rate drops at epoch 20: counting starts there, whatever came before.
    assert epoch == 25
    assert decision.rule == "patience"
    assert decision.evidence["phase_epoch"] == 21
    constant = view("b", {"shape": "constant", "peak": 0.1})
    assert feed(policy.fresh(), constant, flat)[0] == 9  # hot: a fifth of training


def test_a_slow_noisy_rise_is_not_out_of_patience():
    rng = random.Random(1)
    rise = [0.3 + 0.006 * e + rng.gauss(0, 0.006) for e in range(T)]
    trial = view("a", {"shape": "constant", "peak": 0.1})
    assert feed(Accel(filter="none", kappa=50), trial, rise) is None


def test_an_unknown_schedule_is_watched_for_a_collapse_only():
    robust, clean = overfitting()
    assert feed(Accel(filter="none"), TrialView("a", {}, T), robust, clean) is None


def test_recorded_rates_count_as_a_schedule():
    robust, clean = overfitting(0.004)
    rates = SHAPES.build(DROP).curve(T)
    recorded = feed(Accel(filter="none"), TrialView("a", {}, T, rates=rates), robust, clean)
    assert recorded == feed(Accel(filter="none"), view(), robust, clean)


def collapsing(at, length):
    robust = [0.1 + 0.03 * e for e in range(12)]
    for epoch in range(at, min(at + length, 12)):
        robust[epoch] = 0.01
    return robust, [0.3 + 0.04 * e for e in range(12)]


def test_a_collapse_is_stopped_at_the_second_look():
    trial = TrialView("a", {}, 12)
    epoch, decision = feed(Accel(filter="none"), trial, *collapsing(6, 9))
    assert epoch == 8
    assert decision.rule == "catastrophic-overfitting"
    assert decision.evidence["suspect"] == 2


def test_a_single_bad_report_is_forgiven_and_kept_out_of_the_model():
    good, bad = Accel(filter="none"), Accel(filter="none")
    trial = view("a", {"shape": "constant", "peak": 0.1}, epochs=12)
    robust, clean = collapsing(6, 1)
    assert feed(bad, trial, robust, clean) is None
    skipped = [None if e == 6 else value for e, value in enumerate(robust)]
    assert feed(good, trial, skipped, clean) is None
    assert (good.limits.model.posterior(0)[0] == bad.limits.model.posterior(0)[0]).all()


def test_a_fall_of_both_accuracies_is_no_catastrophic_overfitting():
    robust, clean = collapsing(6, 9)
    assert feed(Accel(filter="none"), TrialView("a", {}, 12), robust, robust) is None
    assert feed(Accel(filter="none"), TrialView("a", {}, 12), robust, None) is None
    assert clean


def test_long_trainings_are_judged_in_blocks():
    robust, clean = overfitting()
    long = [value for value in robust for _ in range(5)], [c for c in clean for _ in range(5)]
    epoch, decision = feed(Accel(filter="none"), view(epochs=200), *long)
    assert decision.evidence["block_epochs"] == 3
    assert epoch % 3 == 0 and 100 < epoch < 150


@pytest.mark.parametrize("kind", ["none", "asha", "median", "first-look"])
def test_the_name_picks_the_filter(kind):
    policy = POLICIES.build(f"accel:{kind}")
    assert policy.filter == kind
    assert POLICIES.build(policy.spec()) == policy


def test_an_unknown_filter_is_refused():
    with pytest.raises(ConfigError, match=r"policy\.filter"):
        POLICIES.build("accel:best")


def test_the_filter_gets_grace_and_groups():
    trials = [view(f"t{i}", attack={"eps": 0.1 * (1 + i % 2)}) for i in range(4)]
    policy = Accel(filter="asha", grace=1, compare_within=("attack.eps",))
    levels = (0.4, 0.2, 0.35, 0.19)
    rules = [
        policy.observe(trial, 1, {METRIC: level}, METRIC).rule
        for trial, level in zip(trials, levels, strict=True)
    ]
    assert rules == ["", "", "asha", "asha"]


FEEDBACK = {"shape": "accelat", "peak": 0.1, "window": 2, "quiet": 4, "factor": 0.2}


FADING = [*(0.1 + 0.03 * e for e in range(10)), *(0.37 - 0.008 * e for e in range(T - 10))]


def cuts(curve):
    rates = SHAPES.build(FEEDBACK).curve(T, curve)
    return [e for e in range(2, T + 1) if rates[e - 1] < rates[e - 2]]


def test_cut_first_stops_only_after_a_cut_that_brought_nothing():
    trial = view(lr=FEEDBACK)
    at, plain = feed(Accel(filter="none"), trial, FADING)
    assert "cut_epoch" not in plain.evidence
    cut = next(e for e in cuts(FADING) if e > at)

    epoch, stop = feed(Accel(filter="none", cut_first=True), trial, FADING)
    assert (stop.rule, stop.evidence["cut_epoch"]) == (plain.rule, cut)
    assert epoch >= cut + 2, "three blocks after the cut"
    assert stop.evidence["before_cut"] == pytest.approx(max(FADING[:at]))
    assert stop.evidence["after_cut"] == pytest.approx(max(FADING[cut - 1 : epoch]))
    assert f"the cut of the rate at epoch {cut} brought" in stop.sentence

    helped = [value + (0.15 if e >= cut else 0) for e, value in enumerate(FADING, 1)]
    assert feed(Accel(filter="none"), trial, helped)[0] == at
    later = feed(Accel(filter="none", cut_first=True), trial, helped)
    assert later is None or later[1].evidence["cut_epoch"] > cut


def test_epochs_without_an_accuracy_are_no_flat_ones():
    """A warm start skips 17 epochs while accuracy rises: the rate that is foreseen is the peak."""
    shape = {"shape": "accelat", "peak": 0.1}
    policy = Accel(filter="none")
    for epoch in (1, 2, 3, *range(21, 31)):
        policy.observe(view(lr=shape), epoch, {METRIC: 0.02 * epoch}, METRIC)
    (track,) = policy.limits._tracks.values()
    assert set(track.path[:30]) == {0.1}


def test_cut_first_leaves_shapes_alone_that_know_no_feedback():
    for seed in range(3):
        plain = feed(Accel(filter="none"), view(), *overfitting(0.004, seed))
        assert (
            feed(Accel(filter="none", cut_first=True), view(), *overfitting(0.004, seed)) == plain
        )


CURVES = table_curves(synthetic(24, 20, seed=3), {}, "synthetic")


@pytest.mark.parametrize("kind", ["none", "asha", "median", "first-look"])
def test_rebuilding_at_any_moment_changes_no_decision(kind):
    """A driver that is killed gives a new policy the reports so far; later decisions are equal."""
    whole = simulate(POLICIES.build(f"accel:{kind}"), CURVES, workers=4)

    class Killed(Accel):
        """Is rebuilt from the calls so far, again and again."""

        def fresh(self):
            return Reborn(Accel(filter=kind), random.Random(kind))

    class Reborn:
        def __init__(self, policy, rng):
            self.policy, self.rng, self.calls = policy, rng, []

        def __getattr__(self, name):
            def call(*arguments):
                if self.rng.random() < 0.1:
                    self.policy = self.policy.fresh()
                    for past, given in self.calls:
                        getattr(self.policy, past)(*given)
                self.calls.append((name, arguments))
                return getattr(self.policy, name)(*arguments)

            return call

    again = simulate(Killed(filter=kind), CURVES, workers=4)
    assert again.log == whole.log
    assert len(whole.log) > 3


def test_collapses_are_caught_within_two_reports_and_nothing_else_is():
    table = synthetic(96, 40, seed=5)
    table["collapse_epoch"] = table["collapse_epoch"].astype(float)
    collapse = table.groupby("trial_id")[["collapse_epoch", "recovers"]].first()
    curves = table_curves(table, {}, "synthetic")
    caught, due = 0, 0
    for curve in curves:
        start, recovers = collapse.loc[curve.view.trial_id]
        stop = feed(
            Accel(filter="none", patience=99, kappa=99),
            curve.view,
            [row[METRIC] for row in curve.rows],
            [row["val_clean_acc"] for row in curve.rows],
        )
        if stop is not None:
            assert stop[1].rule == "catastrophic-overfitting"
            assert start == start and stop[0] >= start + 1
        if start == start and not recovers:
            due += 1
            caught += stop is not None and stop[0] <= start + 1
    assert due > 5
    assert caught >= 0.95 * due


def test_a_decision_with_a_schedule_is_fast_and_grows_no_faster_than_the_trials():
    costs = {}
    for trials in (32, 128):
        policy, start, reports = Accel(filter="median"), time.process_time(), 0
        for epoch in range(1, 9):
            for i in range(trials):
                row = {METRIC: 0.1 + 0.03 * epoch + 0.001 * i, "val_clean_acc": 0.05 * epoch}
                policy.observe(view(f"t{i}"), epoch, row, METRIC)
                reports += 1
        costs[trials] = (time.process_time() - start) / reports
    # A decision looks at all trials: twice the room for what the clock cannot resolve.
    assert costs[128] < 2 * 4 * costs[32]


def test_draws_are_paired():
    assert [c.view.trial_id for c in draw(CURVES, 3)] == [c.view.trial_id for c in draw(CURVES, 3)]
