"""How long a trial may be silent, by a clock that moves only when told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rayat.ledger.status import Status
from rayat.orchestration.overdue import PATIENCE, Overdue
from rayat.orchestration.scheduler import Judge
from rayat.training.messages import Report, to_text


@pytest.fixture
def scene():
    """A trial, its status, and the callback that watches it: `scene.at(seconds)` turns the loop."""
    status = {"a": Status.RUNNING}
    ledger = SimpleNamespace(status=lambda trial_id: status[trial_id])
    judge = Judge(SimpleNamespace(ledger=ledger))
    killed, now = [], [0.0]
    watch = Overdue(judge, 5.0, killed.append, lambda: now[0])
    trial = SimpleNamespace(
        trial_id="x",
        config={"order": {"trial_id": "a"}},
        temporary_state=SimpleNamespace(ray_actor="actor"),
    )

    def at(seconds: float) -> list[str]:
        now[0] = seconds
        watch.on_step_begin(0, [trial])
        return killed

    def report(seconds: float, **row: object) -> None:
        now[0] = seconds
        message = to_text(Report({"epoch": 1, **row}, "here"))
        watch.on_trial_result(0, [trial], trial, {"message": message})

    watch.on_trial_start(0, [trial], trial)
    return SimpleNamespace(at=at, report=report, watch=watch, judge=judge, status=status)


def test_silence_longer_than_the_time_out_ends_the_process_once(scene):
    assert scene.at(5.0) == []
    assert scene.at(6.0) == ["actor"]
    assert scene.judge.reasons == {"a": "timed out: no report for 6 s"}
    assert scene.at(60.0) == ["actor"], "it is dead; its next start begins a new wait"
    scene.watch.on_trial_start(0, [], SimpleNamespace(trial_id="x"))
    assert scene.at(66.0) == ["actor"] * 2


def test_a_report_begins_a_new_wait_and_slow_epochs_a_longer_one(scene):
    scene.report(4.0)
    assert scene.watch.limit == PATIENCE * 4.0
    assert scene.at(44.0) == []
    assert scene.at(44.1) == ["actor"]


def test_epochs_that_another_trial_trained_are_no_measure_of_how_long_one_takes(scene):
    scene.report(4.0)
    for moment in range(20):
        scene.report(4.0 + moment / 100, shared_from="b")
    assert scene.watch.limit == PATIENCE * 4.0


def test_a_trial_that_has_ended_may_take_its_time(scene):
    scene.status["a"] = Status.FINISHED
    assert scene.at(1000.0) == []
