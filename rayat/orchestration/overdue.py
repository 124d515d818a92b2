"""Trials that hang: their process is ended, so that Tune starts them again."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback

from rayat.orchestration.scheduler import Judge, our_id
from rayat.training.messages import shared

PATIENCE = 10
"""Median epochs that a trial may be silent, whatever the time-out."""
REMEMBERED = 101
"""Epochs of which the median is taken, the last ones of all trials."""


class Overdue(Callback):  # type: ignore[misc]
    """Ends the process of a trial that was silent for max(10 median epochs, `seconds`).

    Tune restarts it from its checkpoint while `max_failures` lasts; then it is `lost`, and the
    reason says why. Asked in every turn of Tune's loop, which a hung trial does not hold up. Like
    the scheduler it must not raise, and travels empty.

    Args:
        seconds: the least silence that counts.
        kill: ends an actor's process. clock: monotonic seconds.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        seconds: float = 0.0,
        kill: Callable[[Any], None] = ray.kill,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.judge, self.seconds, self.kill, self.clock = judge, seconds, kill, clock
        self.heard: dict[str, float] = {}
        self.epochs: deque[float] = deque(maxlen=REMEMBERED)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    @property
    def limit(self) -> float:
        """The seconds of silence after which a trial counts as hung."""
        median = statistics.median(self.epochs) if self.epochs else 0.0
        return max(PATIENCE * median, self.seconds)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Begin to wait for its first report."""
        self.heard[trial.trial_id] = self.clock()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Begin to wait for the next one."""
        now = self.clock()
        before = self.heard.get(trial.trial_id)
        # An epoch that another trial trained takes no time to report, and is no measure of one.
        if before is not None and not shared(result.get("message", "")):
            self.epochs.append(now - before)
        self.heard[trial.trial_id] = now

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """End what is overdue."""
        judge = self.judge
        if judge is None or judge.driver is None or judge.error is not None:
            return
        now, limit = self.clock(), self.limit
        for trial in trials:
            since = self.heard.get(trial.trial_id)
            if since is None or now - since <= limit:
                continue
            del self.heard[trial.trial_id]
            actor, name = trial.temporary_state.ray_actor, our_id(trial)
            with judge.keeping_errors():
                # An ended trial may take its time: it evaluates its checkpoints.
                if actor is not None and judge.driver.ledger.status(name).is_live:
                    judge.reasons[name] = f"timed out: no report for {now - since:.0f} s"
                    self.kill(actor)
