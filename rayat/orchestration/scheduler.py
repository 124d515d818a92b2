"""Ray Tune's face of the driver: a scheduler that hosts any policy, and a stopper for Ctrl-C.

Tune calls these from its single loop and aborts the whole sweep when one raises, so nothing raises:
the first error is kept, the sweep is stopped, and the caller raises it afterwards. Tune pickles
them with the experiment; rayat never restores from pickles, so they travel empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from rayat.orchestration.faults import NodeLost
from rayat.policies.base import Decision
from rayat.runs.driver import Driver

TRIAL_KEY = "trial_id"
DIED = "its process died"


def our_id(trial: Any) -> str:
    """Return our trial id of a Tune trial."""
    return str(trial.config["order"][TRIAL_KEY])


def directory(trial: Any) -> str:
    """Return the name of a Tune trial's folder: ours, and Tune's, for a trial may run twice."""
    return f"{our_id(trial)}-{trial.trial_id}"


def why(trial: Any) -> str:
    """Return the last line of a Tune trial's last error."""
    text, path = "", getattr(trial, "error_file", None)
    if path:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            text = ""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    # What Ray says of a dead process goes on with its ids.
    return lines[-1].partition(" Worker exit ")[0].strip() if lines else DIED


class Judge(FIFOScheduler):  # type: ignore[misc]
    """Gives every result to the driver and returns its verdict.

    Attributes:
        error: the first one, for the caller of the sweep. reasons: why we ended a trial's process.
        controller: Tune's loop, None before its first trial.
    """

    def __init__(self, driver: Driver | None = None) -> None:
        super().__init__()
        self.driver = driver
        self.error: BaseException | None = None
        self.reasons: dict[str, str] = {}
        self.controller: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def set_search_properties(self, metric: Any, mode: Any, **spec: Any) -> bool:
        """Accept whatever Tune was told: the driver knows the study's metric."""
        return True

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Know Tune's loop (`orders.Aborted`)."""
        self.controller = controller

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Make the report durable, judge it, answer STOP (also for a pause) or CONTINUE."""
        if self.driver is None or "message" not in result:
            return str(TrialScheduler.CONTINUE)
        decision = Decision("stop")
        self.reasons.pop(our_id(trial), None)
        with self.keeping_errors():
            decision = self.driver.message(our_id(trial), result["message"])
        goes_on = decision.action == "continue"
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_error(self, controller: Any, trial: Any) -> None:
        """Note a lost worker; Tune starts the trial again while `max_failures` lasts."""
        if self.driver is not None:
            with self.keeping_errors():
                ended = self.reasons.get(our_id(trial))
                reason = ended or why(trial)
                gone = NodeLost.__name__ in reason or "node has died" in reason
                kind = "hung" if ended else "node" if gone else "died"
                self.driver.lost(
                    our_id(trial), reason.rpartition(f"{NodeLost.__name__}: ")[-1], kind
                )

    @contextlib.contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """Keep the first error of the block for the caller of the sweep, which it ends."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error


class StopAll(Stopper):  # type: ignore[misc]
    """Ends the sweep when the user interrupted it or the driver cannot go on."""

    def __init__(self, judge: Judge | None = None) -> None:
        self.judge = judge

    def __getstate__(self) -> dict[str, Any]:
        return {"judge": None}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no trial by itself: the driver has judged the report."""
        return False

    def stop_all(self) -> bool:
        """Return whether every trial must end now; asked in every turn of Tune's loop."""
        judge = self.judge
        if judge is None or judge.driver is None:
            return False
        return judge.driver.interrupted or judge.error is not None


class Errors(Callback):  # type: ignore[misc]
    """Ends a trial that ran out of restarts as lost, with the reason that Tune knows."""

    def __init__(self, judge: Judge | None = None) -> None:
        self.judge = judge

    def __getstate__(self) -> dict[str, Any]:
        return {"judge": None}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End the trial with the last line of its error, before anyone waits for it."""
        judge = self.judge
        if judge is None or judge.driver is None or judge.error is not None:
            return
        with judge.keeping_errors():
            reason = judge.reasons.get(our_id(trial)) or why(trial)
            judge.driver.settle([our_id(trial)], {our_id(trial): reason})
