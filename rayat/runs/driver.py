"""The driver's judgement, without Ray: a message comes in, it is made durable, then it is judged.

The ledger's log is the only state. `Driver.rebuild` gives a new policy exactly the reports that the
old one saw, in the same order, so a resumed run decides as the uninterrupted one would have.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rayat.collapse import rule_of
from rayat.errors import LedgerError
from rayat.ledger.rows import report_row
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.planning.budget import VALIDATION_BUDGET
from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.policies.host import Host, Judged
from rayat.policies.question import Question
from rayat.policies.spending import NEVER_BUDGET, Spending
from rayat.probes import PROBE_PASSES
from rayat.search.ordering import SUCCESSIVE
from rayat.sharing.live import Sharing
from rayat.training.messages import Evaluated, Failed, Lost, Report, parse


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
        """Take one change of one trial.

        `launched` (its process was ordered), `start` (its first report is here), `report`, `end`,
        `evaluated` or `lost`.
        """

    def tick(self) -> None:
        """Take a turn of the loop that runs trials, in which nothing may have changed."""

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
        sharing: what trials share of their epochs; None: nothing.

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
        sharing: Sharing | None = None,
    ) -> None:
        self.ledger, self.metric = ledger, metric
        self.trials = {trial.trial_id: trial for trial in trials}
        self.host = Host(
            policy,
            metric,
            stop_collapsed,
            Spending.of(ledger.info),
            rule_of(ledger.info),
            Question.of(ledger.info),
        )
        self.interrupted = False
        self.halted = self.warning = ""
        self.halts, self._begun = halts, halts.clock()
        self.observer = observer or Observer()
        self._grow = grow
        self.sharing = sharing or Sharing(ledger.folder, ledger, {})
        self._starts: dict[str, tuple[str, int]] = {}
        self._resumed: dict[str, None] = {}
        self.rebuild()

    @property
    def spending(self) -> Spending | None:
        """What a search with a budget has spent."""
        return self.host.spending

    def rebuild(self) -> None:
        """Replay the durable reports; write what a crash kept from being written."""
        self.host.expect(self.trials.values())
        gone = deque(self.ledger.gone())
        for number, (trial_id, epoch, row) in enumerate(list(self.ledger.observations())):
            while gone and gone[0][0] <= number:
                self._carry_out(self.host.broke(gone.popleft()[1]))
            self._carry_out(self.host.observe(self.trials[trial_id], epoch, row))
        for _, trial_id in gone:
            self._carry_out(self.host.broke(trial_id))

    def ready(self) -> list[str]:
        """Return the trials to run: those that wait for their first start, then the resumed.

        The policy may order the first; those that run stay among them.
        """
        self.trials.update({trial.trial_id: trial for trial in self._grow()})
        self._leave_unpaid()
        self._leave_dropped()
        waiting = [t for t in self.ledger.unfinished() if self.ledger.status(t).is_live]
        resumed = [t for t in self._resumed if t in waiting]
        first = [self.trials[t] for t in waiting if t not in self._resumed]
        ordered = [*(trial.trial_id for trial in self.host.order(first)), *resumed]
        return self.sharing.startable(ordered)

    def launch(self, trial_id: str) -> dict[int, str]:
        """Take in that a trial's process starts; return the states that it keeps for others."""
        return self.sharing.begin(trial_id)

    def _leave_unpaid(self) -> None:
        """End the trials that have not started where the budget of their search is spent."""
        spending = self.host.spending
        for trial_id in self.ledger.unfinished() if spending is not None else ():
            waits = self.ledger.status(trial_id) is Status.PENDING
            if waits and spending is not None and spending.over(self.trials[trial_id].arm):
                text = f"{NEVER_BUDGET} {spending.budget.text} is spent"
                self.end(trial_id, Status.STOPPED, text)

    def _leave_dropped(self) -> None:
        """End the seeds that have not started of configurations that the policy has stopped."""
        if self.ledger.info["study"].get("order") != SUCCESSIVE:
            return
        for trial_id in self.ledger.unfinished():
            if self.ledger.status(trial_id) is Status.PENDING:
                why = self.host.policy.dropped(self.trials[trial_id])
                if why:
                    self.end(trial_id, Status.STOPPED, f"never started: {why}")

    def message(self, trial_id: str, text: str) -> Decision:
        """Take one message of a trial; return what the trial must do now.

        One that reached its end goes on by itself: it evaluates its checkpoints.

        A row is durable before it is judged. A row that the ledger already holds (the trial was
        started again) is stored under its new attempt and never judged twice.
        """
        told = parse(text)
        if isinstance(told, Evaluated):
            for evaluated in told.rows:
                self.ledger.evaluation(evaluated)
            self._tell(trial_id, "evaluated")
            return CONTINUE
        status = self.ledger.status(trial_id)
        if not status.is_live:
            return Decision("stop", sentence=f"the trial is {status}")
        if isinstance(told, Lost):
            self.lost(trial_id, told.reason, told.kind)
            return self._broke(trial_id, Status.LOST, told.reason) if told.final else CONTINUE
        if isinstance(told, Failed):
            if not self.ledger.state.trial(trial_id).attempts:
                self.ledger.attempt(trial_id, device=told.device)
            return self._broke(trial_id, Status.FAILED, told.reason)
        attempt = self._attempt(trial_id, told)
        # Judged as it is stored, so that a rebuilt driver sees the same row.
        try:
            row = report_row(told.row, self.ledger.state.trial(trial_id).columns)
        except LedgerError as error:  # this trial's own mistake: the others go on
            return self._broke(trial_id, Status.FAILED, str(error))
        epoch = int(row["epoch"])
        seen = self.ledger.reported(trial_id)
        self.ledger.report(trial_id, attempt, row)
        self.sharing.passed(trial_id, epoch)
        decision = CONTINUE
        if epoch > seen:
            judged = self.host.observe(self.trials[trial_id], epoch, row)
            self._carry_out(judged)
            # The last one on it: a trial that its own report pauses may go on by that very report.
            decision = [each.decision for each in judged if each.trial_id == trial_id][-1]
        self._tell(trial_id, "report")
        limit = self.halts.seconds
        if limit is not None and self.halts.clock() - self._begun >= limit:
            self._halt(f"the time budget of {limit:g} s is spent")
        if row.get("eval_fwd_passes") and not self.warning:
            self._weigh_validation(trial_id)
        self.ledger.maybe_project()
        return decision

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

    def _broke(self, trial_id: str, status: Status, reason: str) -> Decision:
        """End a trial that failed or was lost, and tell a policy that waits for it."""
        self.end(trial_id, status, reason)
        self._carry_out(self.host.broke(trial_id))
        return Decision("stop", sentence=reason)

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
                self._broke(trial_id, Status.LOST, reason)

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
        spent -= sum(row.get(PROBE_PASSES) or 0 for row in rows)  # training, for the most part
        share = spent / rows[-1]["passes_cum"]
        if share > VALIDATION_BUDGET:
            self.warning = (
                f"validation takes {share:.0%} of the passes of {self.trials[trial_id].arm}, above "
                f"{VALIDATION_BUDGET:.0%}: raise eval.every, or lower eval.size or eval.steps; "
                "`rayat plan` says how far"
            )
            self.observer.phase(f"warning: {self.warning}")

    def _attempt(self, trial_id: str, report: Report) -> int:
        known = self._starts.get(trial_id)
        if known is None or known[0] != report.start:
            host = report.start.partition(":")[0]
            number = self.ledger.attempt(trial_id, device=report.device, host=host)
            known = self._starts[trial_id] = (report.start, number)
            self._tell(trial_id, "start")
        return known[1]

    def _carry_out(self, judged: Iterable[Judged]) -> None:
        """Record decisions and do what follows from them; what was done already stays done."""
        for each in judged:
            decision, status = each.decision, self.ledger.status(each.trial_id)
            if decision.rule and not self._recorded(each):
                self.ledger.decision(
                    each.trial_id,
                    each.epoch,
                    action=decision.action,
                    rule=decision.rule,
                    sentence=decision.sentence,
                    evidence=dict(decision.evidence),
                )
            if each.was_paused and decision.action == "continue":
                self._resumed[each.trial_id] = None
            elif each.end is not None:
                waits = status is Status.PAUSED if each.was_paused else status.is_live
                if waits:
                    self.end(each.trial_id, each.end, decision.sentence)

    def _recorded(self, judged: Judged) -> bool:
        """Return whether the ledger holds the decision: a driver before this one may have died."""
        known = [d for d in self.ledger.decisions(judged.trial_id) if d["epoch"] == judged.epoch]
        if judged.was_paused:
            return any(d["action"] == judged.decision.action for d in known)
        return bool(known)

    def _tell(self, trial_id: str, what: str) -> None:
        self.observer.changed(trial_id, what)
