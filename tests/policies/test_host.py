"""What follows from a report: the order in which a policy is asked, and what is told to whom."""

from __future__ import annotations

import pytest
from pydantic import PrivateAttr

from rayat.ledger.status import Status
from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.policies.host import Host, Judged

METRIC = "val_robust_acc"
A, B = (TrialView(name, {}, 3) for name in "ab")
STOP = Decision("stop", "script", "a sentence")
PAUSE = Decision("pause", "script", "waits")
RESUME = Decision("continue", "script", "goes on")


class Script(Policy):
    """Answers as told, and remembers what it was asked."""

    waits: bool = False
    _said: list = PrivateAttr(default_factory=list)
    _answers: dict = PrivateAttr(default_factory=dict)
    _due: dict = PrivateAttr(default_factory=dict)

    @property
    def pauses(self):
        return self.waits

    def observe(self, trial, epoch, metrics, metric):
        self._said.append(("observe", trial.trial_id, epoch))
        return self._answers.get((trial.trial_id, epoch), CONTINUE)

    def ended(self, trial_id):
        self._said.append(("ended", trial_id))

    def verdicts(self):
        due, self._due = self._due, {}
        return due


def host(waits=False, **more):
    made = Host(Script(waits=waits), METRIC, **more)
    made.expect([A, B])
    return made


def row(value=0.5, **more):
    return {METRIC: value, "train_loss": 1.0, **more}


def test_a_policy_hears_of_every_end_but_its_own():
    ours = host()
    script = ours.policy
    script._answers["a", 2] = STOP
    assert ours.observe(A, 1, row()) == [Judged("a", 1, CONTINUE)]
    assert ours.observe(A, 2, row()) == [Judged("a", 2, STOP, Status.STOPPED)]
    assert script._said == [("observe", "a", 1), ("observe", "a", 2)]
    assert ours.observe(B, 3, row())[0].end is Status.FINISHED
    assert script._said[-1] == ("ended", "b")


@pytest.mark.parametrize(
    ("report", "end"),
    [
        (row(outcome="diverged"), Status.DIVERGED),
        (row(train_loss=float("nan")), Status.DIVERGED),
        (row(outcome="finished"), Status.FINISHED),
    ],
)
def test_how_a_trial_ends_by_its_report(report, end):
    ours = host()
    (judged,) = ours.observe(A, 1, report)
    assert judged.end is end
    assert ours.policy._said[-1] == ("ended", "a")
    asked = ("observe", "a", 1) in ours.policy._said
    assert asked is (end is Status.FINISHED), "no policy judges what is not finite"


@pytest.mark.parametrize(("stops", "end"), [(True, Status.COLLAPSED), (False, None)])
def test_a_collapse_is_an_end_unless_the_study_lets_it_go_on(stops, end):
    ours = host(stop_collapsed=stops)
    ours.observe(A, 1, row(0.6, train_robust_acc=0.4))
    (judged,) = ours.observe(A, 2, row(0.1, train_robust_acc=0.8))
    assert judged.end is end
    assert (("observe", "a", 2) in ours.policy._said) is not stops


def test_a_record_that_was_cut_short_ends_with_its_last_report():
    (judged,) = host().observe(A, 1, row(), last=True)
    assert judged.end is Status.FINISHED


def test_verdicts_follow_the_report_that_brought_them_with_the_epoch_of_the_paused_trial():
    ours = host(waits=True)
    ours.policy._answers["a", 2] = PAUSE
    ours.observe(A, 1, row())
    assert ours.observe(A, 2, row()) == [Judged("a", 2, PAUSE)]
    ours.policy._due = {"a": RESUME, "b": STOP}
    assert ours.observe(B, 1, row()) == [
        Judged("b", 1, CONTINUE),
        Judged("a", 2, RESUME, None, True),
        Judged("b", 1, STOP, Status.STOPPED, True),
    ]


@pytest.mark.parametrize("waits", [True, False])
def test_only_a_policy_that_waits_hears_of_what_broke(waits):
    ours = host(waits=waits)
    ours.policy._due = {"a": RESUME}
    said = [Judged("a", 0, RESUME, None, True)] if waits else []
    assert ours.broke("b") == said
    assert ours.policy._said == ([("ended", "b")] if waits else [])
