"""Event files for TensorBoard, one folder per trial."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rayat.followers.base import Followed, Follower, RunView, Writer
from rayat.ledger.status import Status
from rayat.registry import FOLLOWERS


@FOLLOWERS.register("tensorboard")
class TensorBoard(Follower):
    """Event files in the run's folder: `tensorboard --logdir RUN/followers/tensorboard`.

    Every column of the epochs table is a scalar, its step the epoch, its time that of the report;
    the configuration is a text. A process that goes on with a run writes the files again from the
    ledger, so they hold each epoch once, whatever was killed.
    """

    package: ClassVar[str] = "tensorboardX"

    def open(self, run: RunView) -> Writer:
        """Empty the follower's folder."""
        shutil.rmtree(run.folder, ignore_errors=True)
        return _Files(run.folder, self.library().SummaryWriter)


class _Files(Writer):
    def __init__(self, folder: Path, summary_writer: Any) -> None:
        self.folder, self.summary_writer = folder, summary_writer
        self.live: dict[str, Any] = {}

    def begin(self, trial: Followed) -> int:
        """Start an event file."""
        writer = self.summary_writer(str(self.folder / trial.trial_id), flush_secs=10)
        self.live[trial.trial_id] = writer
        text = json.dumps({"arm": trial.arm, **trial.config}, indent=1, ensure_ascii=False)
        # Four spaces: Markdown shows it as it is.
        writer.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()), 0)
        return 0

    def report(self, trial_id: str, epoch: int, at: float, values: Mapping[str, float]) -> None:
        """Write a scalar per value."""
        for name, value in values.items():
            self.live[trial_id].add_scalar(name, value, epoch, walltime=at)

    def end(self, trial_id: str, status: Status, reason: str) -> None:
        """Write how it ended, and close the file."""
        writer = self.live.pop(trial_id)
        writer.add_text("end", f"{status}: {reason}" if reason else status, 0)
        writer.close()

    def close(self) -> None:
        """Close the files of trials that have no end yet."""
        for writer in self.live.values():
            writer.close()
