"""How far a living run is: counts, rate, best so far; computed from what its ledger holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rayat.cli.text import duration
from rayat.compare.text import fraction
from rayat.ledger.status import Status

if TYPE_CHECKING:
    from rayat.ledger.held import LedgerState
    from rayat.ledger.state import TrialState
    from rayat.policies.base import TrialView
    from rayat.policies.spending import Spending


class Shown(Protocol):
    """A run as it is shown: by its own driver, or by another process that reads its log."""

    @property
    def ledger(self) -> LedgerState:
        """Every number."""

    @property
    def trials(self) -> Mapping[str, TrialView]:
        """Those that are to run."""

    @property
    def metric(self) -> str:
        """What the best is told by."""

    @property
    def spending(self) -> Spending | None:
        """What a search with a budget has spent."""


@dataclass(frozen=True)
class TrialLine:
    """What one trial's line shows; None where nothing was measured yet."""

    trial_id: str
    arm: str
    seed: int
    epoch: int
    epochs: int
    lr: float | None
    robust: float | None
    clean: float | None
    status: Status
    reason: str
    eta_seconds: float | None
    waits: float | None = None
    """Seconds since it was launched, where it has not reported since."""

    @property
    def state(self) -> str:
        """Return what it is at, with why, or for how long no report has come."""
        if self.waits is not None and not self.status.is_final:
            return f"starting, no report yet, {duration(self.waits)}"
        return f"{self.status}: {self.reason}" if self.reason else self.status


class Progress:
    """Follows a run from its first `begin`.

    Args:
        clock: monotonic seconds.

    Attributes:
        ended: trials that ended since then, in that order.
        running: those that were launched and have not ended.
        waiting: of these, since when, those that have not reported since.
        best: (value, arm, trial id) of the best report of the study's metric.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.driver: Shown | None = None
        self.concurrency = 0
        self.ended: list[str] = []
        self.running: dict[str, None] = {}
        self.waiting: dict[str, float] = {}
        self.best: tuple[float, str, str] | None = None
        self._begun = clock()
        self._epochs_before = 0
        self._heard: set[str] = set()

    def begin(self, driver: Shown, concurrency: int) -> None:
        """Take the run; a later group of trials of the same run changes only the concurrency."""
        self.concurrency = concurrency
        if self.driver is driver:
            return
        self.driver, self._begun = driver, self.clock()
        self._epochs_before = self.epochs_done()
        for trial_id in driver.trials:
            for row in driver.ledger.reports(trial_id):
                self._judge(trial_id, row)

    def changed(self, trial_id: str, what: str) -> None:
        """Take one change of one trial."""
        if self.driver is None:
            return
        if what in ("launched", "start", "report") and not self.state(trial_id).status.is_final:
            self.running[trial_id] = None
        if what in ("launched", "lost"):
            self.waiting[trial_id] = self.clock()
        if what == "report":
            rows = self.driver.ledger.reports(trial_id)
            if rows:
                self._judge(trial_id, rows[-1])
        status = self.state(trial_id).status
        if what == "report" or status.is_final or status is Status.PAUSED:
            self.waiting.pop(trial_id, None)
        if what == "report" or status.is_final:
            self._heard.add(trial_id)
        if status is Status.PAUSED:
            self.running.pop(trial_id, None)
        if status.is_final:
            self.running.pop(trial_id, None)
            if trial_id not in self.ended:
                self.ended.append(trial_id)

    def _judge(self, trial_id: str, row: dict[str, Any]) -> None:
        assert self.driver is not None
        value = row.get(self.driver.metric)
        if value is not None and (self.best is None or value > self.best[0]):
            self.best = (float(value), self.driver.trials[trial_id].arm, trial_id)

    def state(self, trial_id: str) -> TrialState:
        """Return what the ledger says of a trial."""
        assert self.driver is not None
        return self.driver.ledger.state.trials[trial_id]

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return self.clock() - self._begun

    def epochs_done(self) -> int:
        """Return the epochs held of all trials."""
        return sum(self.state(t).last for t in self.driver.trials) if self.driver else 0

    def epochs_left(self) -> int:
        """Return the epochs that trials without an end still have before them."""
        if self.driver is None:
            return 0
        return sum(
            trial.epochs - self.state(trial_id).last
            for trial_id, trial in self.driver.trials.items()
            if not self.state(trial_id).status.is_final
        )

    def eta_seconds(self) -> float | None:
        """Return the seconds left at the rate so far; None until that rests on a whole wave.

        The first to report is the fastest, and its rate times all that is left says little: as many
        trials as run at once must have reported, or ended.
        """
        if self.driver is None:
            return None
        done = self.epochs_done() - self._epochs_before
        going = {t for t in self.driver.trials if not self.state(t).status.is_final}
        enough = len(self._heard) >= min(self.concurrency, len(going | self._heard))
        return self.elapsed() / done * self.epochs_left() if done > 0 and enough else None

    def line(self, trial_id: str) -> TrialLine:
        """Return what to show of one trial."""
        assert self.driver is not None
        state, trial = self.state(trial_id), self.driver.trials[trial_id]
        rows = self.driver.ledger.reports(trial_id)
        row: dict[str, Any] = rows[-1] if rows else {}
        left = None
        if rows and not state.status.is_final:
            left = row["seconds_cum"] / row["epoch"] * (trial.epochs - row["epoch"])
        return TrialLine(
            trial_id=trial_id,
            arm=trial.arm,
            seed=int(state.declared["seed"]),
            epoch=state.last,
            epochs=trial.epochs,
            lr=row.get("lr"),
            robust=row.get("val_robust_acc"),
            clean=row.get("val_clean_acc"),
            status=state.status,
            reason=state.reason or "",
            eta_seconds=left,
            waits=None if (since := self.waiting.get(trial_id)) is None else self.clock() - since,
        )

    def _starting(self) -> str:
        """Return how many of those that run have not reported yet, and for how long."""
        if not self.waiting:
            return ""
        longest = duration(self.clock() - min(self.waiting.values()))
        who = "" if len(self.waiting) == len(self.running) else f"{len(self.waiting)} "
        return f" ({who}starting, no report yet, {longest})"

    def summary(self) -> str:
        """Return one line: trials, epochs, best so far, time left."""
        if self.driver is None:
            return "starting"
        states = [self.state(trial_id).status for trial_id in self.driver.trials]
        over = sum(status.is_final for status in states)
        done, left = self.epochs_done(), self.epochs_left()
        parts = [
            f"{over}/{len(states)} trials ended",
            f"{len(self.running)} running{self._starting()}",
            f"{done} epochs done, at most {left} to go{' in this round' if self.grows else ''}",
            *self._spent(),
        ]
        if self.best is not None:
            parts.append(f"best {self.driver.metric} {fraction(self.best[0])} ({self.best[1]})")
        eta = self.eta_seconds()
        if left:
            time = "time left unknown" if eta is None else f"about {duration(eta)} left"
            parts.append(f"{time} of this round" if self.grows and eta is not None else time)
        return "; ".join(parts)

    @property
    def grows(self) -> bool:
        """Whether more trials are proposed when these have ended."""
        return self.driver is not None and "search" in self.driver.ledger.info

    def _spent(self) -> list[str]:
        """Return how much of a search's budget is spent."""
        spending = None if self.driver is None else self.driver.spending
        if spending is None:
            return []
        share = sum(map(spending.spent, spending.arms)) / spending.budget.amount
        return [f"{min(share, 1):.0%} of the budget of {spending.budget.text} spent"]
