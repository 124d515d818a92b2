"""Trials of several workers: the same numbers, clean stops, nothing left behind."""

from __future__ import annotations

import psutil
import pytest
import ray
import torch
from ray import tune
from safetensors.torch import load_file

from rayat.api.sweep import run
from rayat.ledger.reader import read_run
from rayat.orchestration.execute import Options

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


TEN_STEPS = {**DETERMINISTIC, "data.train_size": 640, "epochs": 1}


def only_trial(folder):
    """Return the one epoch of a run of one trial, and the weights that it left."""
    (path,) = (folder / "checkpoints").glob("*/last/model.safetensors")
    (row,) = read_run(folder).epochs.to_dict("records")
    return row, load_file(path)


@pytest.fixture(scope="module")
def by_one(local_ray, tiny, tmp_path_factory):
    """The epoch and the weights of one worker, to which every case is held."""
    folder = tmp_path_factory.mktemp("one") / "run"
    assert run(tiny(base=TEN_STEPS, final_eval=False), folder).statuses == {"finished": 1}
    return only_trial(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "workers"),
    [
        ("ranks", 4),
        pytest.param("trainer", 2, marks=pytest.mark.long),
        pytest.param("ranks", 2, marks=pytest.mark.long),
        pytest.param("trainer", 4, marks=pytest.mark.long),
    ],
)
def test_several_workers_compute_what_one_computes(by_one, tiny, tmp_path, launcher, workers):
    """Ten steps; four workers share two CPUs.

    Two workers of a trainer compute bit for bit what two ranks do: `test_faults.py`.
    """
    base = {**TEN_STEPS, "workers": workers, "cpus_per_worker": 2 / workers}
    study = tiny(base=base, final_eval=False)
    summary = run(study, tmp_path / "run", options=Options(launcher=launcher))
    assert summary.statuses == {"finished": 1}
    assert read_run(tmp_path / "run").trials["workers"].tolist() == [workers]
    (one, expected), (many, found) = by_one, only_trial(tmp_path / "run")
    assert one["train_loss"] == pytest.approx(many["train_loss"], rel=1e-5)
    assert one["val_clean_acc"] == pytest.approx(many["val_clean_acc"], abs=1 / 64)
    for count in ("samples", "fwd_passes", "bwd_passes"):
        assert one[count] == many[count]
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0)


# A trial of ranks that is stopped, `test_faults.py` has among others.
@pytest.mark.slow
@pytest.mark.parametrize("launcher", [pytest.param("ranks", marks=pytest.mark.long), "trainer"])
def test_a_stopped_trial_gives_everything_back(
    local_ray, tiny, tmp_path, launcher, eventually, size
):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    rates = [0.1, 1e-6][: 2 if launcher == "ranks" else size(1, 2)]
    study = tiny(
        base={**DETERMINISTIC, "workers": 2, "epochs": 400},
        space={"lr.peak": tune.grid_search(rates)},
        policy={"name": "asha", "grace": 1, "eta": 2},
        final_eval=False,
    )
    # The first trial passes its rungs alone; the second is cut at the first rung, far from its end,
    # which a trainer, slow to start, shows in the long run alone.
    from rayat.runs.driver import Observer

    class StopFirst(Observer):
        def begin(self, driver, concurrency):
            self.driver = driver

        def changed(self, trial_id, what):
            if what == "report" and self.driver.ledger.reported(trial_id) == 2:
                self.driver.ledger.end(trial_id, "stopped", "the test stops it here")

    options = Options(at_once=1, launcher=launcher)
    summary = run(study, tmp_path / "run", options=options, observer=StopFirst())
    assert summary.statuses == {"stopped": len(rates)}
    assert eventually(lambda: held()[0] == local_ray.cpus), held()
    assert eventually(lambda: held()[1] == []), held()

    def orphans() -> list[str]:
        names = []
        for process in psutil.Process().children(recursive=True):
            if process.pid in before:
                continue
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            words = ("RayTrainWorker", "TrainController", "NestedTrial", "ray::Rank", "GroupTrial")
            if any(word in title for word in words):
                names.append(title)
        return names

    assert eventually(lambda: orphans() == []), orphans()
