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


GREY = "eval.eps=0.5 lets every image become grey"


@pytest.fixture(scope="module")
def swept(local_ray, tiny, tmp_path_factory):
    """Return a study of two trials, the folder of its run and what `run` returned."""
    # By clean accuracy, since no image withstands that radius.
    study = tiny(
        base={"eval.eps": 0.5},
        space={"lr.peak": tune.grid_search([0.1, 1e-6])},
        metric="val_clean_acc",
    )
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    return study, folder, run(study, folder, options=Options(at_once=1))


@pytest.mark.slow
def test_the_winner_is_trained_again_on_two_workers(swept, tmp_path):
    _, folder, _ = swept
    summary = refit(folder, tmp_path / "refit", {"workers": 2, "epochs": 2})
    assert summary.statuses == {"finished": 1}
    sweep, result = read_run(folder), read_run(tmp_path / "refit")
    best = sweep.trials.sort_values("best_value").iloc[-1]
    assert result.info["origin"]["trial_id"] == best["trial_id"]
    assert result.trials["workers"].tolist() == [2]
    assert result.epochs["epoch"].tolist() == [1, 2]
    assert set(result.evals["checkpoint"]) == {"best", "last"}
    assert (result.epochs["comm_bytes"] > 0).all()


@pytest.mark.slow
def test_train_alone_also_interrupted_gives_the_rows_of_the_same_trial_in_a_sweep(swept, tmp_path):
    study, folder, summary = swept
    trial = study.trials()[0]
    begun = train(trial.config, tmp_path / "cut", observer=StopsAfterOneReport())
    assert begun.interrupted
    assert all(GREY in each.warning for each in (summary, begun))
    before = read_run(tmp_path / "cut").epochs["epoch"].tolist()
    assert 1 <= len(before) < 3
    assert resume(tmp_path / "cut").statuses == {"finished": 1}
    cut = read_run(tmp_path / "cut")
    assert cut.epochs["epoch"].tolist() == [1, 2, 3]
    assert cut.info["study"]["name"] == "train" and len(cut.trials) == 1
    assert set(cut.evals["checkpoint"]) == {"best", "last"}
    columns = ["epoch", "train_loss", "val_robust_acc", "val_clean_acc", "fwd_passes", "lr"]
    swept_rows = read_run(folder).epochs
    first = swept_rows[swept_rows["trial_id"] == trial.trial_id][columns].reset_index(drop=True)
    assert first.equals(cut.epochs[columns])
