"""What a trial is at: one vocabulary for the log, the tables and everyone who reads them."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """A trial's status; its value is what the ledger stores.

    `PENDING` waits for its first start, or for its next one after a retry. `PAUSED` waits for its
    policy. `INTERRUPTED` was running when a limit that the user set ended the run (`Halts`).
    `FINISHED` trained to its end, `STOPPED` was ended by its policy, `DIVERGED` and `COLLAPSED`
    by themselves. `FAILED` raised an error of its own, `LOST` lost its process too often.
    """

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    COLLAPSED = "collapsed"
    FAILED = "failed"
    LOST = "lost"

    def __repr__(self) -> str:
        """Return the stored text: a dictionary of statuses reads as what the ledger holds."""
        return repr(self.value)

    @property
    def is_live(self) -> bool:
        """Whether the trial may run now: it has no end and waits for nobody's verdict."""
        return self in (Status.PENDING, Status.RUNNING, Status.INTERRUPTED)

    @property
    def is_final(self) -> bool:
        """Whether the trial has an end; a resumed run goes on with all others."""
        return not self.is_live and self is not Status.PAUSED

    @property
    def is_broken(self) -> bool:
        """Whether it ended without a report of its end: its place among the reports is a fact."""
        return self in (Status.FAILED, Status.LOST)

    @property
    def is_measurable(self) -> bool:
        """Whether its end says something of its schedule, and its checkpoints are its last."""
        return self.is_final and not self.is_broken

    @property
    def is_sound(self) -> bool:
        """Whether its best value so far may speak for its configuration."""
        return self not in (Status.PENDING, Status.DIVERGED) and not self.is_broken
