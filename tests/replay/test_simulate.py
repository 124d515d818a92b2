"""The simulated cluster by hand, and what must hold for every policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rayat.policies.base import Decision, Policy, TrialView
from rayat.registry import POLICIES
from rayat.replay.curves import METRIC, Curve
from rayat.replay.simulate import simulate
from rayat.replay.sweeps import draw, replay, spearman


def curve(name, values, seconds=1.0):
    values = np.array(values, float)
    rows = tuple({"epoch": e, METRIC: v, "lr": 0.1} for e, v in enumerate(values.tolist(), 1))
    view = TrialView(name, {}, len(values), rates=(0.1,) * len(values))
    return Curve(view, rows, values, np.full(len(values), seconds), values - 0.01)


class Scripted(Policy):
    """Answers from a table."""

    def fresh(self):
        return self

    def observe(self, trial, epoch, metrics, metric):
        return SCRIPT.get((trial.trial_id, epoch), Decision())

    def verdicts(self):
        return DUE.pop() if DUE else {}


SCRIPT: dict = {}
DUE: list = []


@pytest.fixture(autouse=True)
def _clean():
    SCRIPT.clear()
    DUE.clear()


def test_two_workers_three_trials():
    sweep = [curve("a", [0.1, 0.2, 0.3]), curve("b", [0.4]), curve("c", [0.2, 0.1])]
    out = simulate(POLICIES.build("none"), sweep, workers=2, start_cost=0.5)
    assert out.compute == pytest.approx(6 + 3 * 0.5)
    assert out.makespan == pytest.approx(4.0)  # a until 3.5; b until 1.5, then c until 4
    assert out.final == pytest.approx(0.39)
    assert out.delivered == pytest.approx({"a": 0.29, "b": 0.39, "c": 0.19})


def test_a_stop_frees_the_worker_and_keeps_the_best():
    SCRIPT["a", 2] = Decision("stop", "r", "s 1", {"x": 1})
    out = simulate(Scripted(), [curve("a", [0.1, 0.5, 0.9]), curve("b", [0.2])], 1, 0.0)
    assert (out.compute, out.makespan) == (3.0, 3.0)
    assert out.epochs == {"a": 2, "b": 1}
    assert out.final == pytest.approx(0.49)
    assert [(e.time, e.trial_id, e.decision.rule) for e in out.log] == [(2.0, "a", "r")]


def test_a_pause_lets_others_in_and_a_resume_costs_a_start():
    SCRIPT["a", 1] = Decision("pause", "r", "s 1", {"x": 1})
    DUE.extend([{"a": Decision("continue", "r", "s 2", {"x": 1})}, {}])  # popped from the end
    out = simulate(Scripted(), [curve("a", [0.1, 0.2]), curve("b", [0.3])], 1, 0.5)
    assert out.compute == pytest.approx(3 + 3 * 0.5)
    assert out.epochs == {"a": 2, "b": 1}
    assert [e.decision.action for e in out.log] == ["pause", "continue"]


def test_a_trial_that_nobody_resumes_is_ended():
    SCRIPT["a", 1] = Decision("pause", "r", "s 1", {"x": 1})
    out = simulate(Scripted(), [curve("a", [0.1, 0.2])], 1, 0.0)
    assert out.epochs == {"a": 1}


def marked(curve, epoch, **signs):
    """Return the curve with more in the report of one epoch."""
    rows = [{**row, **signs} if row["epoch"] == epoch else row for row in curve.rows]
    return replace(curve, rows=tuple(rows))


def test_a_recorded_collapse_ends_the_trial_as_in_a_run_and_its_configuration_is_whole():
    fallen = curve("a", [0.5, 0.1, 0.6])
    for epoch, train in ((1, 0.5), (2, 0.9), (3, 0.9)):
        fallen = marked(fallen, epoch, train_robust_acc=train)
    out = simulate(POLICIES.build("none"), [fallen, curve("b", [0.2])], 1, 0.0)
    assert out.epochs == {"a": 2, "b": 1}
    assert [(e.trial_id, e.epoch, e.decision.rule) for e in out.log] == [("a", 2, "collapsed")]
    assert out.final == pytest.approx(0.49), "its best epoch speaks for it: no policy cut it"
    back = marked(fallen, 2, rollback_epoch=1.0)
    let = replace(fallen, stop_collapsed=False)
    for goes_on in (back, let):
        assert simulate(POLICIES.build("none"), [goes_on], 1, 0.0).epochs == {"a": 3}


def test_a_recorded_divergence_is_no_policys_stop():
    out = simulate(Scripted(), [marked(curve("a", [0.5, 0.1]), 2, outcome="diverged")], 1, 0.0)
    assert [(e.epoch, e.decision.rule) for e in out.log] == [(2, "diverged")]


@pytest.mark.parametrize("name", POLICIES.names())
@pytest.mark.parametrize("workers", [1, 3, 50])
def test_every_policy_runs_sweeps_of_recorded_curves(name, workers, curves):
    out = simulate(POLICIES.build(name), curves, workers)
    full = simulate(POLICIES.build("none"), curves, workers)
    assert out.compute <= full.compute * 1.2
    assert all(1 <= n <= len(c.rows) for n, c in zip(out.epochs.values(), curves, strict=True))
    assert simulate(POLICIES.build(name), curves, workers) == out


def test_first_look_resumes_a_third(curves):
    out = simulate(POLICIES.build("first-look"), curves, 4)
    assert sorted(out.epochs.values()) == [1] * 12 + [20] * 6


def test_results_are_shares_of_none_with_intervals(curves):
    none, asha = (r.row() for r in replay(curves, ["asha", "none"], workers=4, sweeps=4))
    assert none["policy"] == "none"
    assert none["compute"] == none["makespan"] == none["spearman"] == 1.0
    assert none["final_gain"] == none["worse_share"] == 0.0
    assert 0 < asha["compute"] < 1
    assert asha["compute_ci"][0] <= asha["compute"] <= asha["compute_ci"][1]
    assert 0 < asha["final"] < 1


def test_sweeps_are_drawn_without_replacement(curves):
    drawn = [c.view.trial_id for c in draw(curves, 0)]
    assert len(set(drawn)) == len(drawn) == 17
    assert drawn != [c.view.trial_id for c in draw(curves, 1)]


def test_the_correlation_of_ranks():
    names = "abcd"
    up, down = (dict(zip(names, v, strict=True)) for v in ([1, 2, 3, 4.0], [4, 3, 2, 1.0]))
    assert spearman(up, up) == pytest.approx(1)
    assert spearman(up, down) == pytest.approx(-1)
    assert spearman(up, dict.fromkeys(names, 1.0)) == 1.0
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: equal values share their mean rank.
    tied = dict(zip(names, [1, 2, 2, 4.0], strict=True))
    assert spearman(up, tied) == pytest.approx(4.5 / (5 * 4.5) ** 0.5)
