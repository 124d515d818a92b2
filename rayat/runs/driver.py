"""The driver's judgement, without Ray: a message comes in, it is made durable, then it is judged.

The ledger's log is the only state. `Driver.rebuild` gives a new policy exactly the reports that the
old one saw, in the same order, so a resumed run decides as the uninterrupted one would have.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rayat.errors import LedgerError
from rayat.ledger.rows import report_row
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.planning.budget import VALIDATION_BUDGET
from rayat.policies.base import REPORTED_ENDS, Decision, Policy, TrialView
from rayat.policies.outcomes import Outcomes


@dataclass(frozen=True)
class Halts:
    """What ends a sweep in order, everything durable, so that it can be resumed.

    Attributes:
        fail_fast: the first trial that fails or is lost.
        seconds: the first report after so many seconds of this driver; None: no limit.
        clock: monotonic seconds.
    """

    fail_fast: bool = False
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic


NEVER = Halts()


class Observer:
    """Is told of everything that changes while a run lives; the live table is one. Does nothing."""

    def begin(self, driver: Driver, concurrency: int) -> None:
        """Know the driver, whose ledger holds every number, before the first trial starts."""

    def changed(self, trial_id: str, what: str) -> None:
        """Take one change of one trial: `start`, `report`, `end`, `evaluated` or `lost`."""

    def phase(self, text: str) -> None:
        """Take one line on what the run does now, such as `evaluating`."""

    def finish(self) -> None:
        """Stop showing anything; called once, also after an error."""


class Driver:
    """Takes reports for a run and says which trials go on.

    Args:
        ledger: the open ledger; owned by the caller.
        policy: the stopping policy's settings; its state is rebuilt here.
        trials: every trial of the run.
        metric: what the policy judges by.
        stop_collapsed: whether catastrophic overfitting ends a trial.
        observer: told of every change, for the live table; must not raise.
        grow: returns trials that were declared since it was last asked (adaptive searches).
        halts: what ends the sweep in order before all trials have ended.

    Attributes:
        interrupted: whether the sweep ends now, in order: by the user, or by `halts`.
        halted: why `halts` ended it; otherwise empty.
        warning: one sentence if validation costs more than it should; otherwise empty.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        trials: Iterable[TrialView],
        metric: str,
        stop_collapsed: bool = True,
        observer: Observer | None = None,
        grow: Callable[[], Iterable[TrialView]] = tuple,
        halts: Halts = NEVER,
    ) -> None:
        self.ledger, self.metric, self.stop_collapsed = ledger, metric, stop_collapsed
        self.trials = {trial.trial_id: trial for trial in trials}
        self.policy = policy.fresh()
        self.outcomes = Outcomes(metric)
        self.interrupted = False
        self.halted = self.warning = ""
        self.halts, self._begun = halts, halts.clock()
        self.observer = observer or Observer()
        self._grow = grow
        self._starts: dict[str, tuple[str, int]] = {}
        self._resumed: dict[str, None] = {}
        self._judged: dict[str, int] = {}
        self.rebuild()

    def rebuild(self) -> None:
        """Replay the durable reports; write what a crash kept from being written."""
        self.policy.expect(list(self.trials.values()))
        gone = deque(self.ledger.gone())
        for number, (trial_id, epoch, row) in enumerate(list(self.ledger.observations())):
            while gone and gone[0][0] <= number:
                self._gone(gone.popleft()[1])
            logged = any(d["epoch"] == epoch for d in self.ledger.decisions(trial_id))
            self._take(trial_id, epoch, row, logged)
        for _, trial_id in gone:
            self._gone(trial_id)

    def ready(self) -> list[str]:
        """Return the trials to run: those that wait for their first start, then the resumed."""
        self.trials.update({trial.trial_id: trial for trial in self._grow()})
        waiting = [t for t in self.ledger.unfinished() if self.ledger.status(t).is_live]
        resumed = [t for t in self._resumed if t in waiting]
        return [*(t for t in waiting if t not in self._resumed), *resumed]

    def message(self, trial_id: str, text: str) -> bool:
        """Take one message of a trial; return whether the trial must stop now.

        A row is durable before it is judged. A row that the ledger already holds (the trial was
        started again) is stored under its new attempt and never judged twice.
        """
        content: Mapping[str, Any] = json.loads(text)
        if "evals" in content:
            for row in content["evals"]:
                self.ledger.evaluation(row)
            self._tell(trial_id, "evaluated")
            return False
        if not self.ledger.status(trial_id).is_live:
            return True
        if "lost" in content:
            self.lost(trial_id, content["lost"], content["kind"])
            if content["final"]:
                self.end(trial_id, Status.LOST, content["lost"])
                self._gone(trial_id)
            return bool(content["final"])
        if "failed" in content:
            if not self.ledger.state.trial(trial_id).attempts:
                self.ledger.attempt(trial_id, device=content.get("device"))
            self.end(trial_id, Status.FAILED, content["failed"])
            self._gone(trial_id)
            return True
        attempt = self._attempt(trial_id, content)
        # Judged as it is stored, so that a rebuilt driver sees the same row.
        try:
            row = report_row(content["row"], self.ledger.state.trial(trial_id).columns)
        except LedgerError as error:  # this trial's own mistake: the others go on
            self.end(trial_id, Status.FAILED, str(error))
            self._gone(trial_id)
            return True
        epoch = int(row["epoch"])
        seen = self.ledger.reported(trial_id)
        self.ledger.report(trial_id, attempt, row)
        if epoch > seen:
            self._take(trial_id, epoch, row, logged=False)
        self._tell(trial_id, "report")
        limit = self.halts.seconds
        if limit is not None and self.halts.clock() - self._begun >= limit:
            self._halt(f"the time budget of {limit:g} s is spent")
        if row.get("eval_fwd_passes") and not self.warning:
            self._weigh_validation(trial_id)
        self.ledger.maybe_project()
        # A trial that reached its end goes on by itself: it evaluates its checkpoints.
        status = self.ledger.status(trial_id)
        return not status.is_live and status is not Status.FINISHED

    def lost(self, trial_id: str, reason: str, kind: str = "died") -> None:
        """Note that a trial's workers ended (`faults.Kind`); it starts again or gets its end."""
        self.ledger.event("lost", {"trial_id": trial_id, "kind": kind, "reason": reason})
        self._tell(trial_id, "lost")

    def end(self, trial_id: str, status: Status, reason: str = "") -> None:
        """Give a trial its final status, durably."""
        self.ledger.end(trial_id, status, reason)
        self._tell(trial_id, "end")
        if self.halts.fail_fast and status.is_broken:
            self._halt(f"trial {trial_id} {'failed' if status is Status.FAILED else 'was lost'}")

    def _halt(self, why: str) -> None:
        """End the sweep in order if something is left to do: what runs may go on another time."""
        if not self.interrupted and self.ledger.unfinished():
            self.interrupted, self.halted = True, why
            self.observer.phase(f"{why}: stopping the trials")

    def leave(self) -> None:
        """Say of every trial that `halts` kept from its end that it is unfinished, and why."""
        for trial_id in self.ledger.unfinished() if self.halted else ():
            if self.ledger.status(trial_id) is Status.RUNNING:
                self.ledger.end(trial_id, Status.INTERRUPTED, self.halted)

    def settle(self, launched: Iterable[str], errors: Mapping[str, str]) -> None:
        """After a launcher ended: what it launched, has no end and was not interrupted is lost."""
        if self.interrupted:
            return
        for trial_id in launched:
            if self.ledger.status(trial_id).is_live:
                reason = errors.get(trial_id, "the launcher ended without a report of its end")
                self.end(trial_id, Status.LOST, reason)
                self._gone(trial_id)

    def strand(self) -> None:
        """End the trials that are still paused: nothing is left that could resume them."""
        for trial_id in self.ledger.unfinished():
            if self.ledger.status(trial_id) is Status.PAUSED:
                epoch = self.ledger.reported(trial_id)
                self.end(trial_id, Status.STOPPED, f"paused at epoch {epoch}, and never resumed")

    def _weigh_validation(self, trial_id: str) -> None:
        """Warn, once a run, where a trial's validations take more passes than their budget."""
        rows = self.ledger.reports(trial_id)
        sides = ("eval_fwd_passes", "eval_bwd_passes")
        spent = sum(row[side] or 0 for row in rows for side in sides)
        share = spent / rows[-1]["passes_cum"]
        if share > VALIDATION_BUDGET:
            self.warning = (
                f"validation takes {share:.0%} of the passes of {self.trials[trial_id].arm}, above "
                f"{VALIDATION_BUDGET:.0%}: raise eval.every, or lower eval.size or eval.steps; "
                "`rayat plan` says how far"
            )
            self.observer.phase(f"warning: {self.warning}")

    def _attempt(self, trial_id: str, content: Mapping[str, Any]) -> int:
        start = str(content["start"])
        known = self._starts.get(trial_id)
        if known is None or known[0] != start:
            host = start.partition(":")[0]
            number = self.ledger.attempt(trial_id, device=content.get("device"), host=host)
            known = self._starts[trial_id] = (start, number)
            self._tell(trial_id, "start")
        return known[1]

    def _judge(self, trial_id: str, epoch: int, row: Mapping[str, Any]) -> Decision:
        outcome = self.outcomes.observe(trial_id, epoch, row)
        if outcome is not None and (outcome.rule != "collapsed" or self.stop_collapsed):
            return outcome
        return self.policy.observe(self.trials[trial_id], epoch, row, self.metric)

    def _take(self, trial_id: str, epoch: int, row: Mapping[str, Any], logged: bool) -> None:
        """Judge a durable report and carry out what follows from it."""
        self._judged[trial_id] = epoch
        decision = self._judge(trial_id, epoch, row)
        if not logged:
            self._log(trial_id, epoch, decision)
        self._verdicts()
        status = None
        if decision.action == "stop":
            by_itself = decision.rule in (Status.DIVERGED, Status.COLLAPSED)
            status = Status(decision.rule) if by_itself else Status.STOPPED
        elif epoch >= self.trials[trial_id].epochs or row.get("outcome") == "finished":
            status = Status.FINISHED
        if status is not None and self.ledger.status(trial_id).is_live:
            self.end(trial_id, status, decision.sentence)
        if status in REPORTED_ENDS:
            # Also when replaying: an end that a report shows has its place in the reports' order.
            self.policy.lost(trial_id)
            self._verdicts()

    def _verdicts(self) -> None:
        """Resume or end the paused trials whose time has come."""
        for trial_id, decision in self.policy.verdicts().items():
            # Not the ledger's last epoch: while replaying, the trial has long gone on from here.
            epoch = self._judged.get(trial_id, 0)
            known = self.ledger.decisions(trial_id)
            if not any((d["epoch"], d["action"]) == (epoch, decision.action) for d in known):
                self._log(trial_id, epoch, decision)
            if decision.action == "continue":
                self._resumed[trial_id] = None
            elif self.ledger.status(trial_id) is Status.PAUSED:
                self.end(trial_id, Status.STOPPED, decision.sentence)

    def _gone(self, trial_id: str) -> None:
        """Tell a policy that waits for every trial that this one ended without a report of it."""
        if self.policy.pauses:
            self.policy.lost(trial_id)
            self._verdicts()

    def _log(self, trial_id: str, epoch: int, decision: Decision) -> None:
        if decision.rule:
            self.ledger.decision(
                trial_id,
                epoch,
                action=decision.action,
                rule=decision.rule,
                sentence=decision.sentence,
                evidence=dict(decision.evidence),
            )

    def _tell(self, trial_id: str, what: str) -> None:
        self.observer.changed(trial_id, what)
