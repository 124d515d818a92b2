"""Followers of a living run: fed from the ledger, each in a thread that the driver never waits for.

A follower that fails, hangs or cannot keep up is reported once and dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import queue
import threading
from collections.abc import Sequence
from typing import Any

from rayat.followers.base import Followed, Follower, RunView
from rayat.layers import flatten
from rayat.runs.driver import Driver, Observer

FOLDER = "followers"
"""Where followers keep their files inside a run's folder."""
MOST = 10_000
"""Messages that may wait for a follower; one that is further behind is dropped."""
CATCH_UP_SECONDS = 60.0
"""How long a run that goes on waits, before its first trial, for a follower to read its past."""
CLOSE_SECONDS = 15.0
"""How long the end of a run waits for a follower."""
NO_VALUES = frozenset({"trial_id", "epoch", "attempt", "reported_at"})


class FollowerThread:
    """One follower with its thread.

    Attributes:
        failure: why it was dropped; empty while it works.
    """

    def __init__(self, follower: Follower, run: RunView) -> None:
        self.name, self.failure = follower.kind, ""
        self._follower, self._run = follower, run
        self._queue: queue.Queue[tuple[Any, ...]] = queue.Queue(MOST)
        self._thread = threading.Thread(target=self._work, name=f"follow-{self.name}", daemon=True)
        self._thread.start()

    def put(self, *message: Any, wait: float = 0.0) -> None:
        """Leave a message: what to call of the writer, and with what. Never raises."""
        if self.failure:
            return
        try:
            self._queue.put(message, block=wait > 0, timeout=wait or None)
        except queue.Full:
            self.failure = f"it is {MOST} messages behind"

    def close(self) -> None:
        """Let it finish, for a while."""
        self.put("close", wait=CLOSE_SECONDS)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() and not self.failure:
            self.failure = f"it did not finish within {CLOSE_SECONDS:.0f} s"

    def _work(self) -> None:
        held: dict[str, int] = {}
        try:
            writer = self._follower.open(self._run)
            while not self.failure:
                what, *content = self._queue.get()
                if what == "begin":
                    held[content[0].trial_id] = writer.begin(content[0])
                elif what == "report" and content[1] > held[content[0]]:
                    writer.report(*content)
                elif what == "end":
                    writer.end(*content)
                elif what == "close":
                    writer.close()
                    return
        except BaseException as error:  # whatever a foreign package raises ends in its thread
            self.failure = self.failure or f"{type(error).__name__}: {error}".splitlines()[0]


class Following(Observer):
    """Passes everything on to an observer, and every durable epoch to the followers.

    Each epoch is told once: one that a restarted trial repeats is the same to the bit.
    """

    def __init__(self, observer: Observer, followers: Sequence[Follower]) -> None:
        self._observer, self._followers = observer, list(followers)
        self._driver: Driver | None = None
        self._desks: list[FollowerThread] = []
        self._told: dict[str, int] = {}
        self._ended: set[str] = set()

    def begin(self, driver: Driver, concurrency: int) -> None:
        """Start the followers, and tell them what the ledger holds already."""
        self._observer.begin(driver, concurrency)
        if self._driver is driver:
            return
        self._driver = driver
        info, folder = driver.ledger.info, driver.ledger.folder / FOLDER
        told = [info["study"]["name"], info.get("study_sha256"), info.get("created_at")]
        uid = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
        for follower in self._followers:
            run = RunView(info["study"]["name"], uid, folder / follower.kind)
            self._desks.append(FollowerThread(follower, run))
        for trial_id in driver.ledger.trials():
            self._tell(trial_id, CATCH_UP_SECONDS)
        self._drop()

    def changed(self, trial_id: str, what: str) -> None:
        """Pass it on; tell the followers what is new of the trial."""
        self._observer.changed(trial_id, what)
        if what in ("report", "end"):
            self._tell(trial_id)
            self._drop()

    def tick(self) -> None:
        """Pass it on."""
        self._observer.tick()

    def phase(self, text: str) -> None:
        """Pass it on."""
        self._observer.phase(text)

    def finish(self) -> None:
        """Let the followers finish, then the observer."""
        for desk in self._desks:
            desk.close()
        self._drop()
        self._observer.finish()

    def _tell(self, trial_id: str, wait: float = 0.0) -> None:
        driver = self._driver
        if driver is None or not self._desks or trial_id in self._ended:
            return
        ledger = driver.ledger
        if ledger.reported(trial_id) > self._told.get(trial_id, 0):
            if trial_id not in self._told:
                declared = ledger.trials()[trial_id]
                config = flatten(json.loads(declared["config_json"]))
                trial = Followed(trial_id, declared["arm"] or "", declared["seed"], config)
                self._put("begin", trial, wait=wait)
            for row in ledger.reports(trial_id)[self._told.get(trial_id, 0) :]:
                values = {
                    name: float(value)
                    for name, value in row.items()
                    if name not in NO_VALUES
                    and isinstance(value, int | float)
                    and math.isfinite(value)
                }
                at = row["reported_at"] / 1e6
                self._put("report", trial_id, row["epoch"], at, values, wait=wait)
            self._told[trial_id] = ledger.reported(trial_id)
        if ledger.status(trial_id).is_final and trial_id in self._told:
            self._ended.add(trial_id)
            reason = ledger.state.trial(trial_id).reason or ""
            self._put("end", trial_id, ledger.status(trial_id), reason, wait=wait)

    def _put(self, *message: Any, wait: float) -> None:
        for desk in self._desks:
            desk.put(*message, wait=wait)

    def _drop(self) -> None:
        """Say once which followers failed, and forget them."""
        for desk in [desk for desk in self._desks if desk.failure]:
            self._desks.remove(desk)
            told = {"follower": desk.name, "reason": desk.failure}
            with contextlib.suppress(Exception):
                if self._driver is not None:
                    self._driver.ledger.event("follower_dropped", told)
            self._observer.phase(
                f"follower {desk.name} dropped ({desk.failure}); the run goes on without it"
            )
