"""Trials of several workers: the same numbers, clean stops, nothing left behind."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
import ray
from ray import tune

from rayat.ledger.reader import read_run
from rayat.orchestration.execute import Options
from rayat.orchestration.sweep import run

# No BatchNorm and no random start: M workers then compute what one worker computes.
DETERMINISTIC = {
    "model": {"name": "cnn", "norm": "none"},
    "attack": {"name": "pgd", "eps": 0.2, "steps": 2, "random_start": False},
    "epochs": 2,
}


def held() -> tuple[float, list[str]]:
    """Return the free CPUs and the states of placement groups that still exist."""
    groups = [g["state"] for g in ray.util.placement_group_table().values()]
    return ray.available_resources().get("CPU", 0.0), [g for g in groups if g != "REMOVED"]


def wait_until(condition, seconds: float = 30.0) -> bool:
    """Wait for a condition of the cluster; Ray has no event for returned resources."""
    import threading
    import time

    end, pause = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < end:
        if condition():
            return True
        pause.wait(0.1)
    return bool(condition())


@pytest.mark.slow
def test_two_workers_compute_what_one_computes(local_ray, tiny, tmp_path):
    study = tiny(base=DETERMINISTIC, space={"workers": tune.grid_search([1, 2])})
    summary = run(study, tmp_path / "run")
    assert summary.statuses == {"finished": 2}
    epochs = read_run(tmp_path / "run").epochs.merge(
        read_run(tmp_path / "run").trials[["trial_id", "workers"]], on="trial_id"
    )
    one = epochs[epochs["workers"] == 1].sort_values("epoch")
    two = epochs[epochs["workers"] == 2].sort_values("epoch")
    assert len(one) == len(two) == 2
    np.testing.assert_allclose(one["train_loss"], two["train_loss"], rtol=1e-5)
    np.testing.assert_allclose(one["val_clean_acc"], two["val_clean_acc"], atol=1 / 64)
    assert (one["samples"].to_numpy() == two["samples"].to_numpy()).all()
    assert (one["fwd_passes"].to_numpy() == two["fwd_passes"].to_numpy()).all()


@pytest.mark.slow
def test_a_stopped_trial_gives_everything_back(local_ray, tiny, tmp_path):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    study = tiny(
        base={**DETERMINISTIC, "workers": 2, "epochs": 400},
        space={"lr.peak": tune.grid_search([0.1, 1e-6])},
        policy={"name": "asha", "grace": 1, "eta": 2},
        final_eval=False,
    )
    # The first trial passes its rungs alone; the second is cut at the first rung, far from its end.
    from rayat.orchestration.driver import Observer

    class StopFirst(Observer):
        def begin(self, driver, concurrency):
            self.driver = driver

        def changed(self, trial_id, what):
            if what == "report" and self.driver.ledger.reported(trial_id) == 2:
                self.driver.ledger.end(trial_id, "stopped", "the test stops it here")

    summary = run(study, tmp_path / "run", options=Options(at_once=1), observer=StopFirst())
    assert summary.statuses == {"stopped": 2}
    assert wait_until(lambda: held()[0] == local_ray.cpus), held()
    assert wait_until(lambda: held()[1] == []), held()

    def orphans() -> list[str]:
        names = []
        for process in psutil.Process().children(recursive=True):
            if process.pid in before:
                continue
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if any(word in title for word in ("RayTrainWorker", "TrainController", "NestedTrial")):
                names.append(title)
        return names

    assert wait_until(lambda: orphans() == []), orphans()
