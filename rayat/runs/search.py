"""An adaptive search while a run lives, without Ray: the ledger is its only memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.errors import ConfigError
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.policies.spending import Spending
from rayat.search.base import Told
from rayat.search.plan import Plan, Trial

MEGA = 1e6
PROPOSED = "proposed"
"""The event of a round of proposals: durable before its trials are declared."""


@dataclass(frozen=True)
class _Proposal:
    point: dict[str, Any]
    trial_ids: tuple[str, ...]


class Search:
    """Proposes an arm's next points when all its earlier ones have their end.

    A point's value is the mean over its seeds of what the study's objective makes of a trial
    (`worth`). A seed that failed or was lost is left out. With a budget nothing is proposed any
    more once an arm has spent its share.

    Args:
        ledger: the open ledger of a run with an adaptive search; proposals that a crash left
            without their trials are completed by the first `grow`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.metric = ledger, str(ledger.info["metric"])
        study = ledger.info["study"]
        self.objective, self.target = study.get("objective", "accuracy"), study.get("target")
        self.plan = Plan.parse(ledger.info["search"])
        self._known: dict[str, list[_Proposal]] = {arm: [] for arm in self.plan.arms}
        self._new: list[Trial] = []
        self._over: set[str] = set()
        self._rounds: dict[str, int] = {}
        for event in ledger.events():
            if event["name"] == PROPOSED:
                self._take(event["payload"])

    @classmethod
    def of(cls, ledger: Ledger) -> Search | None:
        """Return the search of a run, None if all its trials were known from the start."""
        return cls(ledger) if "search" in ledger.info else None

    def grow(self) -> list[Trial]:
        """Return the trials that are new in the ledger since the last call."""
        for arm in self._known:
            # A round may hold no new trial: no configuration at all, or a control's own.
            while self._ended(arm):
                self._propose(arm)
        new, self._new = self._new, []
        return new

    def _ended(self, arm: str) -> bool:
        """Return whether an arm waits for its next round."""
        ids = [trial_id for proposal in self._known[arm] for trial_id in proposal.trial_ids]
        return arm not in self._over and all(self.ledger.status(t).is_final for t in ids)

    def _propose(self, arm: str) -> None:
        """Take an arm's next round, or learn that there is none."""
        proposals = self._known[arm]
        told = [Told(proposal.point, *self._values(proposal)) for proposal in proposals]
        points, begun = self._next(arm, told)
        if not points:
            self._over.add(arm)
            return
        start = len(self.ledger.trials())
        payload = {"arm": arm, "draw": len(proposals), "points": points, "start": start}
        if begun < len(proposals):
            payload["round"] = begun
        # One record for the whole round: half of one would be another round.
        self.ledger.event(PROPOSED, payload)
        self._take(payload)

    def _next(self, arm: str, told: list[Told]) -> tuple[list[dict[str, Any]], int]:
        """Return the points to try now, none if the arm's search is over, and their round."""
        if self._spent(arm):
            return [], 0
        points = self._rest(arm, told)
        if points:
            return points, self._rounds[arm]
        return self.plan.propose(arm, told), len(told)

    def _rest(self, arm: str, told: list[Told]) -> list[dict[str, Any]]:
        """Return what an arm's last round lacks that had fewer points than it would have now.

        A run that was extended by draws so goes on as if they had been as many from the start.
        """
        if "extensions" not in self.ledger.info or not told:
            return []
        begun = self._rounds[arm]
        had = [dict(each.point) for each in told[begun:]]
        points = self.plan.propose(arm, told[:begun])
        return points[len(had) :] if points[: len(had)] == had else []

    def _take(self, payload: dict[str, Any]) -> None:
        """Declare a round's trials, which changes nothing where they are declared already."""
        arm, start = payload["arm"], payload["start"]
        self._rounds[arm] = payload.get("round", payload["draw"])
        for draw, point in enumerate(payload["points"], payload["draw"]):
            try:
                trials = self.plan.trials(arm, draw, point, start)
            except ConfigError:
                # Some combinations are no configuration: a proposal without trials and value.
                trials = []
            same = self._as_control(trials)
            if same:
                self._known[arm].append(_Proposal(point, same))
                continue
            start += len(trials)
            for trial in trials:
                if trial.trial_id not in self.ledger.state.trials:
                    declare(self.ledger, trial)
                    self._new.append(trial)
            self._known[arm].append(_Proposal(point, tuple(t.trial_id for t in trials)))

    def _of_controls(self) -> dict[tuple[str, int], str]:
        """Return the controls' trials by configuration and seed."""
        return {
            (entry["config_id"], entry["seed"]): trial_id
            for trial_id, entry in self.ledger.trials().items()
            if entry["arm"] in self.plan.controls
        }

    def _as_control(self, trials: Sequence[Trial]) -> tuple[str, ...]:
        """Return the control's own trials where a point came to its configuration; () elsewhere.

        Nothing is trained twice, and the point is worth what the control is. A version before
        trained such a point again: what it declared stays.
        """
        if any(trial.trial_id in self.ledger.state.trials for trial in trials):
            return ()
        controls = self._of_controls()
        found = [controls.get((t.config.config_id, t.config.seed)) for t in trials]
        return tuple(each for each in found if each) if all(found) else ()

    def _values(self, proposal: _Proposal) -> tuple[float | None, float | None]:
        found = []
        for trial_id in proposal.trial_ids:
            status = self.ledger.status(trial_id)
            if not status.is_broken:
                rows = self.ledger.reports(trial_id)
                worth = self.worth(rows, status is Status.DIVERGED)
                if worth is not None:
                    found.append(worth)
        if not found:
            return None, None
        value = sum(first for first, _ in found) / len(found)
        others = [second for _, second in found if second is not None]
        return value, sum(others) / len(others) if others else None

    def worth(
        self, rows: Sequence[Mapping[str, Any]], diverged: bool
    ) -> tuple[float, float | None] | None:
        """Return what the study's objective makes of a trial, larger is better; None: no value.

        `accuracy`: its best value of the metric. `cost`: between 1 and 2 where it reached the
        target, the sooner in passes the more; below 1 where it did not, by how near it came: how
        soon it would have is not known (the rank of `rayat confirm`). `front`: its best value, and
        minus the decimal logarithm of the passes until then. A trial that diverged is worth 0.

        Args:
            rows: its reports in order, with running totals.
        """
        values = [(row[self.metric], row["passes_cum"]) for row in rows]
        valued = [(value, paid) for value, paid in values if value is not None]
        if self.objective == "cost":
            there = next((paid for value, paid in valued if value >= self.target), None)
            if there is not None:
                return 1 + 1 / (1 + there / MEGA), None
        if diverged:
            return 0.0, None
        if not valued:
            return None
        best, paid = max(valued, key=lambda each: each[0])
        if self.objective == "cost":
            return float(best / self.target), None
        return float(best), -math.log10(max(paid, 1)) if self.objective == "front" else None

    def _spent(self, arm: str) -> bool:
        """Return whether an arm's trials, which have all ended, cost its share of the budget."""
        spending = Spending.of(self.ledger.info)
        if spending is None:
            return False
        for trial_id, name in self.ledger.arms().items():
            if name == arm:
                for row in self.ledger.reports(trial_id):
                    spending.pay(arm, row)
        return spending.over(arm)


def declare(ledger: Ledger, trial: Trial) -> None:
    """Write a trial's identity to the ledger."""
    ledger.trial(**identity(trial))


def identity(trial: Trial) -> dict[str, Any]:
    """Return what a ledger declares a trial with."""
    return {
        "trial_id": trial.trial_id,
        "index": trial.index,
        "arm": trial.arm,
        "config_id": trial.config.config_id,
        "config_sha256": trial.config.sha256(),
        "config_json": trial.config.canonical(),
        "seed": trial.config.seed,
        "epochs": trial.config.epochs,
        "workers": trial.config.workers,
        "columns": trial.config.declared_columns(),
    }
