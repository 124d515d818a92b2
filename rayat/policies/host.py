"""The host of a policy: what follows from a report, judged in one place for whoever has reports.

The driver is this host with a ledger, `replay.verify` with a difference, `replay.simulate` with a
clock. Pure: its state is a function of the calls in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.collapse import RULE
from rayat.ledger.status import Status
from rayat.policies.base import Decision, Policy, TrialView
from rayat.policies.outcomes import Outcomes
from rayat.policies.question import Question
from rayat.policies.spending import Spending

BUDGET = "budget"
"""The rule of a decision that ends a trial since its search has spent what it had."""


@dataclass(frozen=True)
class Judged:
    """One decision on a trial.

    Attributes:
        epoch: the trial's last one that was judged, 0 if none was.
        end: what the decision, or the report it answers, makes of the trial; None: it has no end.
        was_paused: whether it is the policy's verdict on a trial that it had paused; `continue`
            then lets the trial go on from its last checkpoint.
    """

    trial_id: str
    epoch: int
    decision: Decision
    end: Status | None = None
    was_paused: bool = False


class Host:
    """Shows each durable report to the outcomes and the policy, in the order of the ledger.

    Args:
        policy: the settings; its state is made here.
        metric: the key of a report to judge by.
        stop_collapsed: whether catastrophic overfitting ends a trial.
        spending: of a search with a budget; the trials of an arm that has spent its share are
            stopped at their next report.
        collapse_rule: the version of the rule for catastrophic overfitting (`collapse.rule_of`).
        question: what the study compares; None: not known.
    """

    def __init__(
        self,
        policy: Policy,
        metric: str,
        stop_collapsed: bool = True,
        spending: Spending | None = None,
        collapse_rule: int = RULE,
        question: Question | None = None,
    ) -> None:
        self.policy, self.metric, self.stop_collapsed = policy.fresh(), metric, stop_collapsed
        self.spending = spending
        self._outcomes = Outcomes(metric, collapse_rule)
        self._judged: dict[str, int] = {}
        if question is not None:
            self.policy.asked(question)

    def expect(self, trials: Iterable[TrialView]) -> None:
        """Announce every trial that is known, before the first report."""
        self.policy.expect(list(trials))

    def order(self, trials: Sequence[TrialView]) -> Sequence[TrialView]:
        """Return the trials that wait for their start in the order that the policy asks for."""
        return self.policy.order(trials)

    def observe(
        self, trial: TrialView, epoch: int, row: Mapping[str, Any], last: bool = False
    ) -> list[Judged]:
        """Judge one report; return its own decision first, then those on paused trials.

        Args:
            trial: the trial that reported.
            epoch: 1-based; each (trial, epoch) is judged once.
            row: the report, keys as in the ledger's `epochs` table, and `outcome`.
            last: whether the trial has no more reports, though it planned some (a record of one
                that was cut short).
        """
        self._judged[trial.trial_id] = epoch
        decision = self._outcomes.observe(trial.trial_id, epoch, row)
        if decision is not None and decision.rule == Status.COLLAPSED and not self.stop_collapsed:
            decision = None
        whole = epoch >= trial.epochs or row.get("outcome") == Status.FINISHED
        broke = decision is not None and decision.action == "stop"
        self.policy.told(trial, epoch, row, self.metric, whole or broke)
        if decision is None:
            decision = self.policy.observe(trial, epoch, row, self.metric)
        over = last or whole
        if self.spending is not None:
            self.spending.pay(trial.arm, row)
            if self.spending.over(trial.arm) and decision.action != "stop" and not over:
                decision = _spent(self.spending, trial.arm, epoch)
        end = None
        if decision.action == "stop":
            by_itself = decision.rule in (Status.DIVERGED, Status.COLLAPSED)
            end = Status(decision.rule) if by_itself else Status.STOPPED
        elif over:
            end = Status.FINISHED
        judged = [Judged(trial.trial_id, epoch, decision, end), *self._verdicts()]
        if end not in (None, Status.STOPPED):
            self.policy.ended(trial.trial_id)
            judged += self._verdicts()
        return judged

    def broke(self, trial_id: str) -> list[Judged]:
        """Take the end of a trial that failed or was lost; return the decisions on paused trials.

        Only a policy that pauses is told: it would wait for the trial for ever.
        """
        if not self.policy.pauses:
            return []
        self.policy.ended(trial_id)
        return list(self._verdicts())

    def _verdicts(self) -> Iterator[Judged]:
        for trial_id, decision in self.policy.verdicts().items():
            end = Status.STOPPED if decision.action == "stop" else None
            yield Judged(trial_id, self._judged.get(trial_id, 0), decision, end, True)


def _spent(spending: Spending, arm: str, epoch: int) -> Decision:
    spent, share = spending.spent(arm), spending.share
    whose = "" if len(spending.arms) == 1 else f", of which {share:.4g} are {arm}'s,"
    return Decision(
        "stop",
        BUDGET,
        f"the search's budget of {spending.budget.text}{whose} is spent",
        {"epoch": epoch, "spent": spent, "share": share, "what": spending.budget.what},
    )
