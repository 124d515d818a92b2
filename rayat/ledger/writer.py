"""The ledger open for writing: what the driver of a run calls."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rayat.errors import LedgerError, nearest, quoted
from rayat.ledger.declaring import declaration
from rayat.ledger.files import create_file, located, make_folder
from rayat.ledger.held import LedgerState
from rayat.ledger.info import RUN, read_info, run_json
from rayat.ledger.keys import REPORT_KEYS, SCHEMA_VERSION
from rayat.ledger.lock import RunLock
from rayat.ledger.log import LOG, Extent, Log
from rayat.ledger.publish import MANIFEST, publish, read_manifest, settle
from rayat.ledger.reach import reach, restore_log, tables_there
from rayat.ledger.rows import decision_row, eval_row, plain, report_row, text
from rayat.ledger.state import EVAL_KEY, RETRY, State
from rayat.ledger.status import Status

KEPT = ("schema_version", "created_at")
"""Of `run.json`, whatever is done to the run later."""
CADENCE_SECONDS = 2.0
"""Tables are rewritten at most this often while the run lives."""
COST_FACTOR = 20
"""... and the pause is at least this many times what the last rewrite took (under 5 % of time)."""


class Ledger(LedgerState):
    """One run's log, its state in memory, and the projection to tables.

    Every method that records something returns after it is on disk. One thread of one process
    uses it. A context manager: leaving it closes it.

    Attributes:
        folder: the run's folder. state: the fold of the log, for reading.
        lock: the held lock. log: the open log; `log.torn` is what opening cut off.
    """

    def __init__(self, folder: Path, lock: RunLock, log: Log, state: State) -> None:
        self.folder, self.lock, self.log, self.state = folder, lock, log, state
        self._due = 0.0
        self._projected = -1
        self._closed = False

    @classmethod
    def create(cls, folder: str | Path, info: Mapping[str, Any]) -> Self:
        """Start a new run.

        Args:
            folder: the run's folder; created if needed.
            info: what `run.json` says for ever; JSON values, with the study's `metric`.

        Raises:
            LedgerError: a run is there already, `info` has no metric, or the disk refuses.
            LockedError: another driver is starting it.
        """
        folder = located(folder)
        if info.get("metric") not in REPORT_KEYS:
            raise LedgerError(
                f"a run's info needs a metric of the epochs, got {info.get('metric')!r}"
            )
        created_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        info = {"schema_version": SCHEMA_VERSION, "created_at": created_at, **plain(info)}
        make_folder(folder)
        lock = RunLock.acquire(folder)
        try:
            if not create_file(folder / RUN, run_json(info)):
                raise LedgerError(
                    f"{folder} holds a run already; go on with it by `rayat resume "
                    f"{quoted(folder)}` or choose another folder"
                )
            return cls._start(folder, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a run to go on with it: take the lock, cut a torn tail, rebuild the state.

        Raises:
            LockedError: another driver is writing it.
            LedgerError: no run there, or damage; the text names the file and the cure.
        """
        folder = located(folder)
        read_info(folder)
        lock = RunLock.acquire(folder)
        try:
            return cls._start(folder, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _start(cls, folder: Path, lock: RunLock) -> Self:
        _check_log(folder)
        settle(folder)
        info, state = read_info(folder), State()
        log = Log.open(folder, state.apply, lambda extent: _check_reach(folder, extent, state))
        try:
            lock.raise_fence(state.fence + 1)
            ledger = cls(folder, lock, log, state)
            if state.info is None:
                ledger._append("run", info=info)
            elif state.info != info and info not in state.earlier:
                raise LedgerError(
                    f"{folder / RUN}: changed since the run began; "
                    f"`rayat repair {quoted(folder)}` restores it from the log"
                )
            if log.torn:
                ledger.event("torn_tail", {"bytes": log.torn})
            ledger.project()
        except BaseException:
            log.close()
            raise
        return ledger

    def _append(self, kind: str, **fields: Any) -> int:
        self.lock.check()
        at = time.time_ns() // 1000
        record = {"fence": self.lock.fence, "kind": kind, "at": at, **fields}
        position = self.log.append(record)
        self.state.apply(record)
        return position

    def trial(self, *values: Any, **fields: Any) -> None:
        """Declare a trial; declaring it again with the same values changes nothing.

        Args:
            values, fields: those of `declaring.declaration`, whose errors are raised.
        """
        record = declaration(self.state, *values, **fields)
        if record is not None:
            self._append("trial", **record)

    def extend(self, info: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> None:
        """Say that the run is a larger one from now on: other info, more trials, all or nothing.

        One record holds all of it. A crash behind it leaves tables and a `run.json` of before,
        which can be read; opening the run brings them up to it.

        Args:
            info: in place of what `run.json` says; `schema_version` and `created_at` stay.
            trials: the fields of each new trial (`declaring.declaration`).

        Raises:
            LedgerError, ConfigError: as of `trial`; the disk refuses; nothing has changed.
        """
        records = [declaration(self.state, **fields) for fields in trials]
        kept = {key: self.info[key] for key in KEPT if key in self.info}
        self._append("run", info={**plain(info), **kept}, trials=[r for r in records if r])
        self.project()

    def attempt(self, trial_id: str, device: str | None = None, host: str | None = None) -> int:
        """Record that a trial starts or starts again; return the attempt's number, from 1."""
        self.state.trial(trial_id)
        self._append("attempt", trial_id=trial_id, device=text(device), host=text(host))
        return self.state.trial(trial_id).attempts

    def report(self, trial_id: str, attempt: int, row: Mapping[str, Any]) -> bool:
        """Make one epoch's report durable.

        Args:
            row: `epoch`, columns of the epochs table, and `outcome` if the epoch ended the trial.
                Non-finite numbers are stored as null; running totals are computed, not believed.

        Returns:
            False, with nothing written, if the epoch is held from this or a later attempt, if a
            later attempt has started, or if the trial has ended.

        Raises:
            LedgerError: unknown key (with the nearest), wrong type, unknown trial or attempt, a gap
                before the epoch, or a disk that refuses.
        """
        clean = report_row(row, self.state.trial(trial_id).columns)
        if not self.state.accepts(trial_id, attempt, clean["epoch"]):
            return False
        self._append("report", trial_id=trial_id, attempt=int(attempt), row=clean)
        return True

    def decision(
        self,
        trial_id: str,
        epoch: int,
        action: str,
        rule: str = "",
        sentence: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record a policy's decision; return False if this very decision is recorded already."""
        columns = {"trial_id": trial_id, "epoch": epoch, "action": action}
        decision = decision_row(columns | {"rule": rule, "sentence": sentence}, evidence or {})
        if any(d | decision == d for d in self.state.trial(trial_id).decisions):
            return False
        self._append("decision", decision=decision)
        return True

    def end(self, trial_id: str, status: str, reason: str | None = None) -> None:
        """Record how a trial ended; saying the same again changes nothing.

        Raises:
            LedgerError: a status that says of no trial how it ended.
        """
        trial = self.state.trial(trial_id)
        known = [s.value for s in Status if s.is_final or s is Status.INTERRUPTED]
        if status not in known:
            raise LedgerError(
                f"unknown status {str(status)!r}{nearest(status, known)}; known: {', '.join(known)}"
            )
        reason = text(reason)
        if (trial.status, trial.reason) != (status, reason):
            self._append("end", trial_id=trial_id, status=status, reason=reason)

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Record one row of the evals table; under its `state.EVAL_KEY` the last one counts.

        Recording an equal row again changes nothing.
        """
        clean = eval_row(row)
        self.state.trial(clean["trial_id"])
        if self.state.evals.get(tuple(clean.get(name) for name in EVAL_KEY)) != clean:
            self._append("evaluation", row=clean)

    def event(self, name: str, payload: Mapping[str, Any] | None = None) -> None:
        """Record something that happened to the driver, such as `resume` or `interrupt`."""
        self._append("event", name=text(name), payload=plain(payload or {}))

    def retry(self, trial_ids: Sequence[str]) -> None:
        """Let trials that failed or were lost run again; what they reported stays.

        Raises:
            LedgerError: an unknown trial, or one with another end or none.
        """
        for trial_id in trial_ids:
            status = self.state.trial(trial_id).status
            if not status.is_broken:
                raise LedgerError(
                    f"trial {trial_id} is {status}: only one that failed or was lost can be retried"
                )
        if trial_ids:
            self.event(RETRY, {"trial_ids": list(trial_ids)})

    def project(self) -> None:
        """Rewrite the tables and their manifest from the state, atomically.

        Raises:
            LedgerError: the disk refuses; the log and the tables before are untouched.
        """
        # The only part that needs Arrow, which takes as long to load as all the rest.
        from rayat.ledger.tables import build

        self.lock.check()
        start = time.monotonic()
        publish(self.folder, self.info, build(self.state), self.log.records, self.log.bytes)
        end = time.monotonic()
        self._due = end + max(CADENCE_SECONDS, COST_FACTOR * (end - start))
        self._projected = self.log.records

    def maybe_project(self) -> bool:
        """Rewrite the tables if there is news and it is time; return whether it was done."""
        if self._projected == self.log.records or time.monotonic() < self._due:
            return False
        self.project()
        return True

    def close(self) -> None:
        """Rewrite the tables if there is news, and let the next driver in; again: nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._projected != self.log.records:
                self.project()
        finally:
            self.log.close()
            self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_log(folder: Path) -> None:
    if tables_there(folder) and not (folder / LOG).exists():
        raise LedgerError(
            f"{folder / LOG}: missing; the tables of this run can be read, but without its log it "
            f"cannot go on; {restore_log(folder)}"
        )


def _check_reach(folder: Path, extent: Extent, state: State) -> None:
    """Refuse a log that is shorter than the tables were made from. Raises `LedgerError`."""
    if (folder / MANIFEST).exists():
        read_manifest(folder / MANIFEST)
    said = reach(folder).beyond(extent, state)
    if said:
        raise LedgerError(
            f"{folder}: {said}; {restore_log(folder)}, or `rayat repair {quoted(folder)}` to set "
            "the tables aside and go on from what is left"
        )
