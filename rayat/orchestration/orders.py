"""What Tune runs next: orders in the driver's order, as trials begin, pause and go on.

A paused trial ends in Tune's eyes: it gives its worker back and its checkpoint waits on disk. When
the policy resumes it, it is ordered again as a new Tune trial. So nothing that Tune would have to
remember matters, and a policy may wait for trials of another launcher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from rayat.orchestration.scheduler import Judge
from rayat.runs.driver import Driver


class Orders(Searcher):  # type: ignore[misc]
    """Gives Tune the next order when it has a place free; ends the search when nothing can follow.

    Like the scheduler it must not raise (the first error is kept in `judge`), and travels empty.

    Args:
        judge: the scheduler, with the driver.
        ready: returns the trials that may run here and now, in their order.
        order: returns the order of a trial as plain values.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        ready: Callable[[], list[str]] = list,
        order: Callable[[str], dict[str, Any]] = lambda trial_id: {},
    ) -> None:
        super().__init__()
        self.judge, self.ready, self.order = judge, ready, order
        self.live: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    @property
    def driver(self) -> Driver | None:
        """The driver, None when there is nothing to do any more."""
        judge = self.judge
        return None if judge is None or judge.error is not None else judge.driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of Tune's next trial, None to be asked again, or the end."""
        driver = self.driver
        if self.judge is None or driver is None or driver.interrupted:
            return str(self.FINISHED)
        with self.judge.keeping_errors():
            if self.judge.controller is not None:
                keep_starting(self.judge.controller, lambda: bool(self._free()))
            free = self._free()
            if free:
                order = self.order(free[0])
                self.live[trial_id] = free[0]
                driver.observer.changed(free[0], "launched")
                return {"order": order}
        # A living trial's next report may resume others; without one nothing ever will.
        return None if self.live else str(self.FINISHED)

    def _free(self) -> list[str]:
        """Return the trials that may run and do not."""
        return [name for name in self.ready() if name not in self.live.values()]

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Free the trial's place. One that Tune gave up is settled with its reason (`Errors`)."""
        name, driver = self.live.pop(trial_id, None), self.driver
        if self.judge is not None and driver is not None and name is not None:
            with self.judge.keeping_errors():
                if not error:
                    driver.settle([name], {})
                driver.sharing.left(name)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the ledger is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


def keep_starting(controller: Any, more: Callable[[], bool]) -> None:
    """Let a process that is starting come up, where another trial can take the free one.

    Tune gives a process that has just become free to a trial whose own one is starting, and throws
    that away. Where trials are shorter than a start, and did not all begin together, a second
    process would never come up: trials that begin alike wait for the first of them, so the other
    places are filled later.

    Args:
        controller: Tune's loop, or what a scheduler sees of it. more: whether another trial waits
            for an order.
    """
    controller = getattr(controller, "_tune_controller", controller)
    plain = controller._maybe_reuse_cached_actor
    if getattr(plain, "keeps", False):
        return

    def reuse(trial: Any) -> bool:
        owned = controller._trial_to_actor
        if trial in owned and trial not in controller._resetting_trials:
            queued = any(t not in owned for t in controller._pending_trials)
            if queued or more():
                return False
        return bool(plain(trial))

    reuse.keeps = True  # type: ignore[attr-defined]
    controller._maybe_reuse_cached_actor = reuse


class Aborted(Callback):  # type: ignore[misc]
    """Orders again what Tune gave up without a word.

    Where a process does not leave one trial in time to serve the next, Tune throws the process away
    and marks the next trial as broken, but tells neither the scheduler nor the searcher: the sweep
    would wait for it for ever. Seen on a busy machine, with Ray 2.60.

    Args:
        orders: the searcher that waits. most: how often a trial may be given up like this.
    """

    def __init__(self, orders: Orders | None = None, most: int = 3) -> None:
        self.orders, self.most = orders, most
        self.times: Counter[str] = Counter()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look before Tune asks for the next trial: where all have ended it would block."""
        orders = self.orders
        if orders is None or orders.judge is None or orders.driver is None:
            return
        gone = [t for t in trials if t.status == "ERROR" and t.trial_id in orders.live]
        for trial in gone:
            name, reason = orders.live[trial.trial_id], "its process could not be used again"
            self.times[name] += 1
            with orders.judge.keeping_errors():
                orders.driver.lost(name, reason)
                if self.times[name] > self.most:
                    orders.driver.settle([name], {name: reason})
                # Through Tune, whose limit of trials at once counts it too.
                orders.judge.controller.search_alg.on_trial_complete(trial.trial_id, error=True)
