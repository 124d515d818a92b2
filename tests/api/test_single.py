"""`train` and `refit`: studies of one trial, through the same path as every other."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.api.single import refit, train
from rayat.api.sweep import resume, run
from rayat.ledger.reader import read_run
from rayat.orchestration.execute import Options
from rayat.runs.driver import Observer


class StopsAfterOneReport(Observer):
    """A user who interrupts after the first epoch."""

    def begin(self, driver, at_once):
        self.driver = driver

    def changed(self, trial_id, what):
        self.driver.interrupted |= what == "report"


@pytest.mark.slow
def test_the_winner_is_trained_again_on_two_workers(local_ray, tiny, tmp_path):
    study = tiny(space={"lr.peak": tune.grid_search([0.1, 1e-6])})
    run(study, tmp_path / "sweep", options=Options(at_once=1))
    summary = refit(tmp_path / "sweep", tmp_path / "refit", {"workers": 2, "epochs": 2})
    assert summary.statuses == {"finished": 1}
    sweep, result = read_run(tmp_path / "sweep"), read_run(tmp_path / "refit")
    best = sweep.trials.sort_values("best_value").iloc[-1]
    assert result.info["origin"]["trial_id"] == best["trial_id"]
    assert result.trials["workers"].tolist() == [2]
    assert result.epochs["epoch"].tolist() == [1, 2]
    assert set(result.evals["checkpoint"]) == {"best", "last"}
    assert (result.epochs["comm_bytes"] > 0).all()


@pytest.mark.slow
def test_train_alone_gives_the_rows_of_the_same_trial_in_a_sweep(local_ray, tiny, tmp_path):
    study = tiny(base={"eval.eps": 0.5})
    swept = run(study, tmp_path / "sweep")
    alone = train(study.trials()[0].config, tmp_path / "train")
    for summary in (swept, alone):
        assert "eval.eps=0.5 lets every image become grey" in summary.warning
    columns = ["epoch", "train_loss", "val_robust_acc", "val_clean_acc", "fwd_passes", "lr"]
    first, second = (read_run(tmp_path / name).epochs[columns] for name in ("sweep", "train"))
    assert first.equals(second)


@pytest.mark.slow
def test_an_interrupted_training_is_resumed_as_a_sweep_is(local_ray, tiny, tmp_path):
    config = tiny(base={"epochs": 3}).trials()[0].config
    begun = train(config, tmp_path / "cut", observer=StopsAfterOneReport())
    assert begun.interrupted
    before = read_run(tmp_path / "cut").epochs["epoch"].tolist()
    assert 1 <= len(before) < 3
    assert resume(tmp_path / "cut").statuses == {"finished": 1}
    cut = read_run(tmp_path / "cut")
    assert cut.epochs["epoch"].tolist() == [1, 2, 3]
    assert cut.info["study"]["name"] == "train" and len(cut.trials) == 1
    assert set(cut.evals["checkpoint"]) == {"best", "last"}
