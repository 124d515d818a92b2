"""Followers of a living run: every durable epoch once, and no harm from a bad one."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rayat.followers.base import Follower, Writer
from rayat.ledger.writer import Ledger
from rayat.registry import POLICIES
from rayat.runs import following
from rayat.runs.driver import Driver, Observer
from rayat.runs.following import Following
from rayat.runs.record import run_info, view
from rayat.runs.search import declare
from rayat.training.messages import Report, to_text

TOLD: list[tuple[Any, ...]] = []
GATE = threading.Event()


class Notes(Writer):
    def __init__(self, holds: int, broken: str) -> None:
        self.holds, self.broken = holds, broken

    def _note(self, what: str, *content: Any) -> None:
        if self.broken == "hangs":
            GATE.wait(30)
        if self.broken == what:
            raise RuntimeError(f"no {what}\nmore")
        TOLD.append((what, *content))

    def begin(self, trial):
        self._note("begin", trial.trial_id, trial.config["lr.peak"])
        return self.holds

    def report(self, trial_id, epoch, at, values):
        self._note("report", trial_id, epoch, values.get("val_robust_acc"))

    def end(self, trial_id, status, reason):
        self._note("end", trial_id, status)

    def close(self):
        self._note("close")


class Noting(Follower):
    holds: int = 0
    broken: str = ""

    def open(self, run):
        return Notes(self.holds, self.broken)


class Said(Observer):
    def __init__(self):
        self.lines, self.finished = [], 0

    def phase(self, text):
        self.lines.append(text)

    def finish(self):
        self.finished += 1


@pytest.fixture
def driven(tiny, tmp_path):
    """Return a function that feeds reports to a driver with followers, and its ledger's folder."""
    TOLD.clear()
    GATE.clear()
    study = tiny(base={"epochs": 4}, seeds=(0, 1))
    trials = study.trials()

    def play(reports, *followers):
        folder, said = tmp_path / "run", Said()
        if (folder / "run.json").exists():
            ledger = Ledger.open(folder)
        else:
            ledger = Ledger.create(folder, run_info(study, [], None, ["test"]))
        with ledger:
            for trial in trials:
                declare(ledger, trial)
            views = [view(t.trial_id, t.config, t.arm) for t in trials]
            watching = Following(said, followers)
            driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc", True, watching)
            watching.begin(driver, 1)
            for trial, epoch in reports:
                row = {"epoch": epoch, "val_robust_acc": 0.1 * epoch}
                name = trials[trial].trial_id
                driver.message(name, to_text(Report(row, f"h:{id(ledger)}:{trial}")))
            watching.finish()
            events = [e["payload"] for e in ledger.events() if e["name"] == "follower_dropped"]
        return said, events

    play.ids = [trial.trial_id for trial in trials]
    return play


def told(what: str) -> list[tuple[Any, ...]]:
    return [entry[1:] for entry in TOLD if entry[0] == what]


def test_every_epoch_is_told_once_in_order_also_to_who_resumes(driven):
    one, two = driven.ids
    driven([(0, 1), (1, 1), (0, 2)], Noting())
    assert told("begin") == [(one, 0.1), (two, 0.1)]
    assert told("report") == [(one, 1, 0.1), (two, 1, 0.1), (one, 2, 0.2)]
    assert told("end") == [] and told("close") == [()]
    TOLD.clear()
    # Epoch 2 comes again: the process restarted from its first checkpoint.
    driven([(0, 2), (0, 3), (0, 4)], Noting())
    assert [(name, epoch) for name, epoch, _ in told("report")] == [
        (one, 1),
        (one, 2),
        (two, 1),
        (one, 3),
        (one, 4),
    ]
    assert told("end") == [(one, "finished")]


def test_a_follower_that_keeps_its_epochs_is_told_only_later_ones(driven):
    driven([(0, 1), (0, 2), (0, 3)], Noting(holds=2))
    assert [epoch for _, epoch, _ in told("report")] == [3]


@pytest.mark.parametrize("broken", ["begin", "report", "end", "close"])
def test_a_broken_follower_is_reported_once_and_the_others_go_on(driven, broken):
    reports = [(0, e) for e in (1, 2, 3, 4)]
    said, events = driven(reports, Noting(broken=broken), Noting())
    good = [entry for entry in TOLD if entry[0] == "report"]
    assert len(good) >= 4
    (line,) = [text for text in said.lines if "dropped" in text]
    assert f"dropped (RuntimeError: no {broken}); the run goes on" in line
    assert [event["reason"] for event in events] == [f"RuntimeError: no {broken}"]
    assert said.finished == 1


def test_a_follower_that_hangs_holds_nobody_up(driven, monkeypatch):
    monkeypatch.setattr(following, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(following, "MOST", 3)
    monkeypatch.setattr(following, "CATCH_UP_SECONDS", 0.05)
    said, events = driven([(0, e) for e in (1, 2, 3, 4)], Noting(broken="hangs"))
    GATE.set()
    assert len(events) == 1 and said.finished == 1
    assert "messages behind" in said.lines[-1]
