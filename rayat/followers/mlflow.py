"""MLflow: an experiment per study, a run of it per trial."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from rayat.followers.base import Followed, Follower, RunView, Writer
from rayat.ledger.status import Status
from rayat.registry import FOLLOWERS

TRIAL_TAG = "rayat.trial"
MARK = "val_robust_acc"
"""The metric that is written last of an epoch: where it is there, the others are."""
MOST_PARAMETER = 6000
"""Characters that MLflow keeps of a parameter."""


@FOLLOWERS.register("mlflow")
class MLflow(Follower):
    """Runs on an MLflow server or in a folder: `mlflow:http://host:5000`.

    A trial is found again by its tag, and goes on behind the last epoch that the server holds: so a
    resumed run doubles nothing, and tells what a crash kept from the server.
    """

    uri: str | None = Field(
        None, description="null: MLFLOW_TRACKING_URI, else a file in the run's folder"
    )

    package: ClassVar[str] = "mlflow"
    shorthand = "uri"

    def open(self, run: RunView) -> Writer:
        """Find or make the study's experiment."""
        self.library()
        from mlflow import MlflowClient

        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            run.folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{run.folder / 'mlflow.db'}"
        return _Runs(MlflowClient(uri), run)


class _Runs(Writer):
    def __init__(self, client: Any, run: RunView) -> None:
        self.client, self.run = client, run
        found = client.get_experiment_by_name(run.study)
        self.experiment = found.experiment_id if found else client.create_experiment(run.study)
        self.live: dict[str, str] = {}

    def begin(self, trial: Followed) -> int:
        """Find or make the trial's run; return the last epoch whose metrics it has."""
        tag = f"{self.run.uid}/{trial.trial_id}"
        known = self.client.search_runs([self.experiment], f"tags.`{TRIAL_TAG}` = '{tag}'")
        if known:
            run_id = self.live[trial.trial_id] = known[0].info.run_id
            history = self.client.get_metric_history(run_id, MARK)
            return max((point.step for point in history), default=0)
        tags = {TRIAL_TAG: tag, "arm": trial.arm, "seed": str(trial.seed)}
        made = self.client.create_run(self.experiment, tags=tags, run_name=trial.trial_id)
        run_id = self.live[trial.trial_id] = made.info.run_id
        for key, value in trial.config.items():
            self.client.log_param(run_id, key, str(value)[:MOST_PARAMETER])
        return 0

    def report(self, trial_id: str, epoch: int, at: float, values: Mapping[str, float]) -> None:
        """Write an epoch's metrics in one request."""
        from mlflow.entities import Metric

        order = sorted(values, key=lambda name: name == MARK)
        metrics = [Metric(name, values[name], int(1000 * at), epoch) for name in order]
        self.client.log_batch(self.live[trial_id], metrics=metrics)

    def end(self, trial_id: str, status: Status, reason: str) -> None:
        """Close the trial's run."""
        run_id = self.live.pop(trial_id)
        self.client.set_tag(run_id, "status", f"{status}: {reason}" if reason else status)
        broken = status.is_broken or status is Status.DIVERGED
        self.client.set_terminated(run_id, "FAILED" if broken else "FINISHED")

    def close(self) -> None:
        """Leave the runs of trials without an end open: whoever resumes goes on with them."""
