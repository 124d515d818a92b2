"""The fold against a naive model, over random histories with restarts in between."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sizes import tries

from rayat.errors import LedgerError
from rayat.ledger.reader import read_run
from rayat.ledger.state import State
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger

TRIALS = ("a", "b", "c")
ENDINGS = [status for status in Status if status.is_final or status is Status.INTERRUPTED]
value = st.none() | st.floats() | st.floats(0, 1)


class History(RuleBasedStateMachine):
    """What a driver may do in any order; the model keeps plain dictionaries."""

    @initialize()
    def begin(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.temporary = tempfile.TemporaryDirectory(dir=memory)
        self.folder = Path(self.temporary.name) / "run"
        self.ledger = Ledger.create(self.folder, {"metric": "val_robust_acc"})
        self.attempts, self.rows, self.seen, self.status, self.decided = {}, {}, [], {}, []

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.temporary.cleanup()

    @rule(trial=st.sampled_from(TRIALS))
    def declare(self, trial):
        index = TRIALS.index(trial)
        self.ledger.trial(trial, index, "arm", "id", "sha", "{}", 0, 5, 1)
        self.attempts.setdefault(trial, 0)
        self.status.setdefault(trial, "pending")

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def attempt(self, data):
        trial = data.draw(st.sampled_from(sorted(self.attempts)))
        self.attempts[trial] += 1
        self.status[trial] = "running"
        assert self.ledger.attempt(trial) == self.attempts[trial]

    @precondition(lambda self: any(self.attempts.values()))
    @rule(data=st.data(), metric=value, cost=st.integers(0, 1000))
    def report(self, data, metric, cost):
        trial = data.draw(st.sampled_from([t for t, n in self.attempts.items() if n]))
        attempt = data.draw(st.integers(1, self.attempts[trial]))
        last = max((e for t, e in self.rows if t == trial), default=0)
        epoch = data.draw(st.integers(1, last + 1))
        row = {"epoch": epoch, "val_robust_acc": metric, "fwd_passes": cost}
        held = self.rows.get((trial, epoch))
        running = self.status[trial] == "running" and attempt == self.attempts[trial]
        expected = running and (held is None or held[0] < attempt)
        assert self.ledger.report(trial, attempt, row) is expected
        if expected:
            finite = metric is not None and abs(metric) < float("inf")
            self.rows[trial, epoch] = (attempt, metric if finite else None, cost)
            if held is None:
                self.seen.append((trial, epoch, metric if finite else None))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), action=st.sampled_from(["stop", "continue"]), epoch=st.integers(1, 3))
    def decide(self, data, action, epoch):
        trial = data.draw(st.sampled_from(sorted(self.attempts)))
        new = (trial, epoch, action) not in self.decided
        assert self.ledger.decision(trial, epoch, action, "rule") is new
        if new:
            self.decided.append((trial, epoch, action))

    @precondition(lambda self: self.attempts)
    @rule(
        data=st.data(),
        status=st.sampled_from(ENDINGS),
    )
    def end(self, data, status):
        trial = data.draw(st.sampled_from(sorted(self.attempts)))
        self.ledger.end(trial, status)
        self.status[trial] = status

    @rule(tail=st.binary(max_size=7), tables=st.booleans())
    def restart(self, tail, tables):
        if tables:
            self.ledger.close()
        else:  # killed: no tables, no goodbye
            self.ledger.log.close()
            self.ledger.lock.release()
        with self.ledger.log.path.open("ab") as file:
            file.write(tail)
        self.ledger = Ledger.open(self.folder)
        assert self.ledger.log.torn == len(tail)

    @invariant()
    def state_is_the_model(self):
        if not hasattr(self, "ledger"):
            return
        for trial in self.attempts:
            mine = {e: v for (t, e), v in self.rows.items() if t == trial}
            rows = self.ledger.reports(trial)
            assert [r["epoch"] for r in rows] == sorted(mine)
            for row in rows:
                held = (row["attempt"], row["val_robust_acc"], row["fwd_passes"])
                assert held == mine[row["epoch"]]
            if rows:
                assert rows[-1]["passes_cum"] == sum(cost for _, _, cost in mine.values())
            assert self.ledger.status(trial) == self.status[trial]
        seen = [(t, e, r["val_robust_acc"]) for t, e, r in self.ledger.observations()]
        assert seen == self.seen
        assert set(self.ledger.unfinished()) == {
            t for t, status in self.status.items() if not Status(status).is_final
        }

    @rule()
    def tables_are_the_model(self):
        self.ledger.project()
        run = read_run(self.folder)
        assert len(run.epochs) == len(self.rows)
        assert not run.epochs.duplicated(["trial_id", "epoch"]).any()
        assert len(run.decisions) == len(self.decided)
        for trial in run.trials.itertuples():
            values = [v for (t, _), (_, v, _) in sorted(self.rows.items()) if t == trial.trial_id]
            finite = [v for v in values if v is not None]
            assert trial.epochs_run == len(values)
            if finite:
                assert trial.best_value == max(finite)
                assert values[int(trial.best_epoch) - 1] == max(finite)
            else:
                assert trial.best_value != trial.best_value


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=tries(12, 50), stateful_step_count=25, deadline=None)


def test_records_of_a_newer_rayat_are_refused():
    with pytest.raises(LedgerError, match=r"record 1 of the log has the unknown kind 'x'.*update"):
        State().apply({"fence": 1, "kind": "x", "at": 0})


def test_a_record_out_of_place_is_named():
    with pytest.raises(LedgerError, match="record 1 of the log makes no sense: unknown trial 't'"):
        State().apply({"fence": 1, "kind": "end", "at": 0, "trial_id": "t"})
