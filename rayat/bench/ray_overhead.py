"""What Ray adds to a trial and to an epoch: the time between reports that no trial accounts for."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rayat.api import sweep
from rayat.bench.trials import study_of
from rayat.config import TrialConfig
from rayat.orchestration.cluster import cluster
from rayat.orchestration.execute import Options
from rayat.runs.driver import Driver, Observer

TRIALS = 3
"""One after another in one process: the first one's start is the process', not the trial's."""


@dataclass(frozen=True)
class Overhead:
    """Seconds beyond the trial's own, at the driver.

    Attributes:
        per_epoch: median between two reports of a trial, less what the epoch's row says it took.
        per_trial: from a trial's last report to the next one's first, less that first epoch.
        process: the same for the first trial, from the start of the sweep: Ray's new process,
            its imports and the first use of everything.
        cluster: starting the local Ray.
    """

    per_epoch: float
    per_trial: float
    process: float
    cluster: float


class Times(Observer):
    """Notes when each trial's reports arrived."""

    def __init__(self) -> None:
        self.began = 0.0
        self.arrived: dict[str, list[float]] = {}
        self.rows: dict[str, list[float]] = {}
        self.driver: Driver | None = None

    def begin(self, driver: Driver, concurrency: int) -> None:
        """Note the start of the sweep."""
        self.driver, self.began = driver, time.perf_counter()

    def changed(self, trial_id: str, what: str) -> None:
        """Note a report, and what its row says that the epoch took."""
        if what == "report" and self.driver is not None:
            self.arrived.setdefault(trial_id, []).append(time.perf_counter())
            row = self.driver.ledger.reports(trial_id)[-1]
            self.rows.setdefault(trial_id, []).append(row["seconds_cum"])


def overhead(config: TrialConfig, epochs: int) -> Overhead:
    """Run the configuration some times, one after another, through a local Ray.

    Args:
        epochs: of each trial, at least 2: they replace the configuration's own number.
    """
    study = study_of(config.replace({"epochs": epochs, "workers": 1}), TRIALS)
    times = Times()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, cluster():
        started = time.perf_counter() - began
        sweep.run(study, Path(folder) / "run", options=Options(at_once=1), observer=times)
    return reckon(times, started)


def reckon(times: Times, started: float) -> Overhead:
    """Return the overhead that the noted times say."""
    epochs = [
        (b - a) - (own_b - own_a)
        for trial_id, arrived in times.arrived.items()
        for a, b, own_a, own_b in zip(
            arrived, arrived[1:], times.rows[trial_id], times.rows[trial_id][1:], strict=False
        )
    ]
    order = sorted(times.arrived, key=lambda trial_id: times.arrived[trial_id][0])
    ends = [times.began, *(times.arrived[trial_id][-1] for trial_id in order)]
    starts = [
        times.arrived[trial_id][0] - end - times.rows[trial_id][0]
        for trial_id, end in zip(order, ends, strict=False)
    ]
    return Overhead(
        per_epoch=statistics.median(epochs),
        per_trial=statistics.median(starts[1:]),
        process=starts[0],
        cluster=started,
    )
