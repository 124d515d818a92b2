"""The fold: what a sequence of log records means. Tables, resume and policies start from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from rayat.columns import FIXED, SHARED_FROM, Declared
from rayat.errors import LedgerError, RayatError, nearest
from rayat.ledger.keys import VALUES
from rayat.ledger.status import Status

EVAL_KEY = ("trial_id", "checkpoint", "suite", "split", "eps", "n")
"""What names a row of the evals table: of rows with equal values the last one counts."""
RETRY = "retry"
"""The event that takes back the ends of trials which are to run again."""
SECONDS = tuple(name for name in VALUES if name.endswith("_seconds"))
PASSES = tuple(name for name in VALUES if name.endswith("_passes"))


class Held(NamedTuple):
    """One epoch's report: its attempt, when it came (µs UTC), its values (`TrialState.names`)."""

    attempt: int
    at: int
    values: tuple[Any, ...]


@dataclass
class TrialState:
    """What the log says of one trial.

    Attributes:
        declared: the fields it was declared with.
        columns: the report columns that its methods declare, by name.
    """

    declared: dict[str, Any]
    columns: dict[str, Declared] = field(default_factory=dict)
    status: Status = Status.PENDING
    reason: str | None = None
    attempts: int = 0
    device: str | None = None
    host: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    held: dict[int, Held] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> int:
        """Return the last epoch held, 0 at first; epochs have no gaps."""
        return len(self.held)

    @property
    def trained(self) -> int:
        """Return how many of its epochs it trained itself; others trained the rest for it too."""
        place = self.names.index(SHARED_FROM)
        return sum(held.values[place] is None for held in self.held.values())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the columns of its reports besides the epoch, in the order of their values."""
        return (*VALUES, *self.columns)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the epochs table in epoch order, with running totals.

        Every epoch counts once, by its last attempt; null costs count as nothing.
        """
        seconds, passes = 0.0, 0
        for epoch in range(1, self.last + 1):
            attempt, at, values = self.held[epoch]
            row = dict(zip(self.names, values, strict=True))
            seconds += sum(row[name] or 0.0 for name in SECONDS)
            passes += sum(row[name] or 0 for name in PASSES)
            row.update(
                trial_id=self.declared["trial_id"],
                epoch=epoch,
                attempt=attempt,
                seconds_cum=seconds,
                passes_cum=passes,
                reported_at=at,
            )
            yield row


class State:
    """Everything that the records so far say; a pure function of them in order.

    Attributes:
        info: the run's description, None before its record. earlier: those that it replaced, of a
            run that was extended.
        trials: by id, in the order of declaration.
        observed: (trial_id, epoch, values) in the order in which each was first durable.
        gone: (reports observed before it, trial_id) of each end that no report shows.
        decisions, events: as recorded, with their position.
        evals: by `EVAL_KEY`; the last one counts.
        position: records seen. fence: the highest so far. ignored: records with a lower one.
    """

    def __init__(self) -> None:
        self.info: dict[str, Any] | None = None
        self.earlier: list[dict[str, Any]] = []
        self.trials: dict[str, TrialState] = {}
        self.observed: list[tuple[str, int, tuple[Any, ...]]] = []
        self.gone: list[tuple[int, str]] = []
        self.decisions: list[dict[str, Any]] = []
        self.evals: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.position = self.fence = self.ignored = 0

    def trial(self, trial_id: str) -> TrialState:
        """Return one trial. Raises `LedgerError` if it was never declared."""
        if trial_id not in self.trials:
            known = nearest(trial_id, self.trials)
            raise LedgerError(f"unknown trial {trial_id!r}{known}; declare it first")
        return self.trials[trial_id]

    def columns(self) -> dict[str, Declared]:
        """Return the report columns that the trials' methods declare, by name."""
        return {n: each for trial in self.trials.values() for n, each in trial.columns.items()}

    def accepts(self, trial_id: str, attempt: int, epoch: int) -> bool:
        """Return whether a report would count.

        It does not if the epoch is held from the same or a later attempt, if a later attempt has
        started, or if the trial has ended.

        Raises:
            LedgerError: an attempt that was never started, or an epoch that leaves a gap.
        """
        trial = self.trial(trial_id)
        if not 1 <= attempt <= trial.attempts:
            raise LedgerError(
                f"trial {trial_id!r} has {trial.attempts} attempts, got a report of attempt "
                f"{attempt}; start it first"
            )
        if epoch > trial.last + 1:
            raise LedgerError(
                f"trial {trial_id!r} holds epochs up to {trial.last}, got {epoch}; "
                f"report epoch {trial.last + 1} first"
            )
        if attempt < trial.attempts or trial.status is not Status.RUNNING:
            return False
        held = trial.held.get(epoch)
        return held is None or held.attempt < attempt

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take the next record of the log.

        Raises:
            LedgerError: a kind that this version does not know, or a record out of place.
        """
        self.position += 1
        if record["fence"] < self.fence:
            self.ignored += 1
            return
        self.fence = record["fence"]
        take = getattr(self, f"_take_{record['kind']}", None)
        if take is None:
            raise LedgerError(
                f"record {self.position} of the log has the unknown kind {record['kind']!r}; "
                "it was written by a newer rayat: update rayat"
            )
        try:
            take(record)
        except (KeyError, TypeError, ValueError, RayatError) as error:
            raise LedgerError(
                f"record {self.position} of the log makes no sense: {error}"
            ) from error

    def _take_run(self, record: Mapping[str, Any]) -> None:
        if self.info is not None:
            self.earlier.append(self.info)
        self.info = dict(record["info"])
        for trial in record.get("trials", ()):  # those that an extension adds, all or none
            self._take_trial(trial)

    def _take_trial(self, record: Mapping[str, Any]) -> None:
        declared = dict(record["trial"])
        found = [Declared.parse(each) for each in record.get("columns", ())]
        # What a later version has in every report is that version's column.
        columns = {each.column.name: each for each in found if each.column.name not in FIXED}
        self.trials[declared["trial_id"]] = TrialState(declared, columns)

    def _take_attempt(self, record: Mapping[str, Any]) -> None:
        trial = self.trial(record["trial_id"])
        trial.attempts += 1
        trial.status, trial.reason, trial.ended_at = Status.RUNNING, None, None
        trial.device, trial.host = record["device"], record["host"]
        if trial.started_at is None:
            trial.started_at = record["at"]

    def _take_report(self, record: Mapping[str, Any]) -> None:
        trial_id, attempt, row = record["trial_id"], record["attempt"], record["row"]
        epoch = row["epoch"]
        if not self.accepts(trial_id, attempt, epoch):
            return
        trial = self.trials[trial_id]
        values = tuple(row.get(name) for name in trial.names)
        if epoch not in trial.held:
            self.observed.append((trial_id, epoch, values))
        trial.held[epoch] = Held(attempt, record["at"], values)

    def _take_decision(self, record: Mapping[str, Any]) -> None:
        decision = {"position": self.position, **record["decision"]}
        self.decisions.append(decision)
        trial = self.trial(decision["trial_id"])
        trial.decisions.append(decision)
        if decision["action"] == "pause" and trial.status is Status.RUNNING:
            trial.status = Status.PAUSED
        elif decision["action"] == "continue" and trial.status is Status.PAUSED:
            trial.status = Status.RUNNING

    def _take_end(self, record: Mapping[str, Any]) -> None:
        trial = self.trial(record["trial_id"])
        trial.status, trial.reason = Status(record["status"]), record["reason"]
        trial.ended_at = record["at"]
        if trial.status.is_broken:
            self.gone.append((len(self.observed), record["trial_id"]))

    def _take_evaluation(self, record: Mapping[str, Any]) -> None:
        row = record["row"]
        self.evals[tuple(row.get(name) for name in EVAL_KEY)] = row

    def _take_event(self, record: Mapping[str, Any]) -> None:
        if record["name"] == RETRY:
            # Its rows stay, each under its attempt; the next start is an attempt of its own.
            for trial_id in record["payload"]["trial_ids"]:
                trial = self.trial(trial_id)
                trial.status, trial.reason, trial.ended_at = Status.PENDING, None, None
        event = {k: record[k] for k in ("at", "name", "payload")}
        self.events.append({"position": self.position, **event})
