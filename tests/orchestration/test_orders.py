"""A process that does not leave one trial in time: the next is ordered again, not waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rayat.host.ray_settings import SETTINGS
from rayat.ledger.log import LOG, read_log
from rayat.ledger.reader import read_run

STUDY = """
from ray import tune
from rayat.study import Study

study = Study(
    name="some",
    base={
        "data": {"name": "digits", "train_size": 64, "val_size": 32},
        "model": "cnn",
        "epochs": 1,
        "attack": "fgsm",
        "eval": {"steps": 1, "size": 32},
    },
    space={"lr.peak": tune.grid_search(RATES)},
    seeds=(0,),
    final_eval=False,
)
"""


@pytest.mark.slow
@pytest.mark.own_ray
def test_a_process_that_tune_throws_away_costs_no_trial(tmp_path, size):
    rates = [0.01, 0.02, 0.04, 0.08][: size(2, 4)]
    (tmp_path / "study.py").write_text(STUDY.replace("RATES", str(rates)))
    # No time at all for a process to leave its trial: Tune gives up every one that would be served
    # by a process that served another.
    env = {**os.environ, "TUNE_FUNCTION_THREAD_TIMEOUT_S": "0"}
    command = [sys.executable, "-m", "rayat.cli", "run", "study.py", "--out", "run"]
    ended = subprocess.run(
        [*command, "--concurrency", "1", "--json"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["statuses"] == {"finished": len(rates)}
    trials = read_run(tmp_path / "run").trials
    assert list(trials["attempts"]) == [1] * len(rates), "what never began is no attempt"
    records: list[dict] = []
    read_log(tmp_path / "run" / LOG, records.append)
    assert any(r.get("name") == "lost" for r in records), (
        "Tune gave up no trial, so the test shows nothing"
    )


def test_a_process_has_longer_than_tune_gives_it():
    assert int(SETTINGS["TUNE_FUNCTION_THREAD_TIMEOUT_S"]) >= 60
