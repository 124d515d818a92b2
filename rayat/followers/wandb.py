"""Weights & Biases: a run per trial, offline unless it is told otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from rayat.followers.base import Followed, Follower, RunView, Writer
from rayat.ledger.status import Status
from rayat.registry import FOLLOWERS


@FOLLOWERS.register("wandb")
class WandB(Follower):
    """Runs for Weights & Biases in the run's folder: `wandb sync RUN/followers/wandb/*/*`.

    Offline, nothing leaves the machine. A process that goes on with a run writes the offline files
    again from the ledger, under the same ids: sync them once the run has ended.
    """

    mode: Literal["offline", "online"] = Field(
        "offline", description="online sends every epoch, and needs a key"
    )
    project: str | None = Field(None, description="null: the study's name")

    package: ClassVar[str] = "wandb"
    shorthand = "mode"

    def open(self, run: RunView) -> Writer:
        """Empty the follower's folder."""
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        return _Runs(self.library(), run, self.project or run.study, self.mode)


class _Runs(Writer):
    def __init__(self, wandb: Any, run: RunView, project: str, mode: str) -> None:
        self.wandb, self.run, self.project, self.mode = wandb, run, project, mode
        self.live: dict[str, Any] = {}

    def begin(self, trial: Followed) -> int:
        """Start a run; online, go on behind the last epoch that the server holds."""
        made = self.wandb.init(
            mode=self.mode,
            project=self.project,
            dir=str(_folder(self.run.folder / trial.trial_id)),
            id=f"{self.run.uid}-{trial.trial_id}",
            name=trial.trial_id,
            group=self.run.uid,
            config={"arm": trial.arm, **trial.config},
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",
            settings=self.wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )
        self.live[trial.trial_id] = made
        # `step` is the next one; a run that is new has 0.
        return max(0, int(made.step) - 1)

    def report(self, trial_id: str, epoch: int, at: float, values: Mapping[str, float]) -> None:
        """Write an epoch's values."""
        self.live[trial_id].log({**values, "_timestamp": at}, step=epoch)

    def end(self, trial_id: str, status: Status, reason: str) -> None:
        """Close the trial's run."""
        run = self.live.pop(trial_id)
        run.summary["status"] = f"{status}: {reason}" if reason else status
        run.finish()

    def close(self) -> None:
        """Close the runs of trials that have no end yet."""
        for run in self.live.values():
            run.finish()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
