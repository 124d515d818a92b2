"""MLflow's own store, read back by its client."""

from __future__ import annotations

import pytest

from rayat.registry import FOLLOWERS

mlflow = pytest.importorskip("mlflow", reason="MLflow: an extra, too heavy for the test set")


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_goes_on_behind_what_the_server_holds(tell, view, tmp_path):
    uri = f"file://{tmp_path / 'store'}"
    follower = FOLLOWERS.build(f"mlflow:{uri}")
    assert follower.uri == uri
    assert tell(follower, view, 1, 2) == 0  # and was killed
    assert tell(follower, view, 1, 3, end=True) == 2
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    (run,) = client.search_runs([experiment])
    history = client.get_metric_history(run.info.run_id, "val_robust_acc")
    assert [(m.step, round(m.value, 6)) for m in history] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert run.data.params["lr.shape"] == "cosine"
    assert run.data.tags["status"] == "stopped: below the median"
    assert run.info.status == "FINISHED"
