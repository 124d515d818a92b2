"""Decisions made again from a run's log; a changed one is found."""

from __future__ import annotations

import json

import pytest

from rayat.errors import LedgerError
from rayat.ledger.log import LOG
from rayat.ledger.writer import Ledger
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.replay.verify import verify
from rayat.runs.driver import Driver
from rayat.training.messages import Report, to_text

CONFIG = {"lr": {"shape": "constant", "peak": 0.1}}


def make(folder, policy="accel:median", forge=None):
    """Run five trials of falling accuracies through the real driver; return the decisions."""
    info = {
        "study": {"name": "s", "policy": POLICIES.build(policy).spec(), "stop_collapsed": True},
        "metric": "val_robust_acc",
    }
    with Ledger.create(folder, info) as ledger:
        names = [f"t{i}" for i in range(5)]
        for i, name in enumerate(names):
            ledger.trial(name, i, "", "c", "0", json.dumps(CONFIG), i, 12, 1)
        views = [TrialView(name, CONFIG, 12) for name in names]
        driver = Driver(ledger, POLICIES.build(policy), views, "val_robust_acc")
        for epoch in range(1, 13):
            for i, name in enumerate(names):
                value = 0.3 - 0.02 * i + 0.03 * min(epoch, 5) - 0.01 * max(0, epoch - 5)
                row = {"epoch": epoch, "val_robust_acc": value, "train_loss": 1.0}
                row["train_seconds"] = 1.0
                driver.message(name, to_text(Report(row, f"h:{i}")))
        if forge:
            ledger.decision("t4", 12, **forge)
        return sum(len(ledger.decisions(name)) for name in names)


@pytest.mark.parametrize(
    "policy", ["none", "asha", "median", "patience:3", "accel:none", "accel:asha"]
)
def test_an_honest_run_has_no_difference(tmp_path, policy):
    made = make(tmp_path / "run", policy)
    done = verify(tmp_path / "run")
    assert done.difference is None
    assert done.decisions == made
    assert (made > 0) == (policy != "none")


def test_a_decision_that_the_policy_did_not_make_is_found(tmp_path):
    forge = {"action": "stop", "rule": "asha", "sentence": "because 1", "evidence": {"a": 1}}
    make(tmp_path / "run", "none", forge)
    done = verify(tmp_path / "run")
    assert done.difference == "trial t4: epoch 12: stop by asha is recorded, but not made again"


def test_a_forged_number_is_found(tmp_path, monkeypatch):
    honest = Ledger.decision

    def forged(self, trial_id, epoch, **fields):
        evidence = {**fields.pop("evidence"), "best": 0.9}
        honest(self, trial_id, epoch, evidence=evidence, **fields)

    monkeypatch.setattr(Ledger, "decision", forged)
    make(tmp_path / "run", "median")
    assert "evidence best recorded 0.9, again 0." in verify(tmp_path / "run").difference


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="missing; decisions can be verified"):
        verify(tmp_path)


def test_a_log_that_holds_less_than_the_tables_is_not_said_to_hold(tmp_path):
    make(tmp_path / "run", "none")
    log = tmp_path / "run" / LOG
    data = log.read_bytes()
    log.write_bytes(data[: len(data) * 2 // 3])
    said = r"the log holds \d+ reports, the tables 60: the log was cut; copy .* from where it is"
    with pytest.raises(LedgerError, match=said):
        verify(tmp_path / "run")
    log.unlink()
    with pytest.raises(LedgerError, match="from a run's log only; the tables are there: copy"):
        verify(tmp_path / "run")
