"""An adaptive search while a run lives, without Ray: the ledger is its only memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rayat.errors import ConfigError
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.search.base import Told
from rayat.search.plan import Plan, Trial

PROPOSED = "proposed"
"""The event of a round of proposals: durable before its trials are declared."""


@dataclass(frozen=True)
class _Proposal:
    point: dict[str, Any]
    trial_ids: tuple[str, ...]


class Search:
    """Proposes an arm's next points when all its earlier ones have their end.

    A point's value is the mean over its seeds of the best value of the study's metric. A seed that
    diverged counts as 0; one that failed or was lost is left out.

    Args:
        ledger: the open ledger of a run with an adaptive search; proposals that a crash left
            without their trials are completed by the first `grow`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.metric = ledger, str(ledger.info["metric"])
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
        for arm, proposals in self._known.items():
            ids = [trial_id for proposal in proposals for trial_id in proposal.trial_ids]
            if arm in self._over or not all(self.ledger.status(t).is_final for t in ids):
                continue
            told = [Told(proposal.point, self._value(proposal)) for proposal in proposals]
            points, begun = self._rest(arm, told), self._rounds.get(arm, 0)
            if not points:
                points, begun = self.plan.propose(arm, told), len(told)
            if not points:
                self._over.add(arm)
            else:
                start = len(self.ledger.trials())
                payload = {"arm": arm, "draw": len(proposals), "points": points, "start": start}
                if begun < len(proposals):
                    payload["round"] = begun
                # One record for the whole round: half of one would be another round.
                self.ledger.event(PROPOSED, payload)
                self._take(payload)
        new, self._new = self._new, []
        return new

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
            start += len(trials)
            for trial in trials:
                if trial.trial_id not in self.ledger.state.trials:
                    declare(self.ledger, trial)
                    self._new.append(trial)
            self._known[arm].append(_Proposal(point, tuple(t.trial_id for t in trials)))

    def _value(self, proposal: _Proposal) -> float | None:
        values = []
        for trial_id in proposal.trial_ids:
            status = self.ledger.status(trial_id)
            found = [row[self.metric] for row in self.ledger.reports(trial_id)]
            reached = [value for value in found if value is not None]
            if status is Status.DIVERGED:
                values.append(0.0)
            elif not status.is_broken and reached:
                values.append(float(max(reached)))
        return sum(values) / len(values) if values else None


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
