"""A process that does not leave one trial in time: the next is ordered again, not waited for."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ray.tune.execution.tune_controller import TrialRunnerWrapper, TuneController

from rayat.host.ray_settings import SETTINGS
from rayat.ledger.log import LOG, read_log
from rayat.ledger.reader import read_run
from rayat.orchestration.orders import keep_starting

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


def test_a_process_that_starts_is_kept_where_another_trial_takes_the_free_one():
    taken: list[str] = []
    controller = SimpleNamespace(
        _trial_to_actor={"starting": "process"},
        _resetting_trials=set(),
        _pending_trials={"starting"},
        _maybe_reuse_cached_actor=lambda trial: bool(taken.append(trial) or True),
    )
    waits = [True]
    for _ in range(2):  # asked for at every order, of what a scheduler sees
        keep_starting(SimpleNamespace(_tune_controller=controller), lambda: waits[0])
    assert not controller._maybe_reuse_cached_actor("starting")
    waits[0] = False
    controller._pending_trials.add("queued")
    assert not controller._maybe_reuse_cached_actor("starting")
    assert controller._maybe_reuse_cached_actor("queued")
    controller._pending_trials.remove("queued")
    assert controller._maybe_reuse_cached_actor("starting"), "nobody else wants it"
    assert taken == ["queued", "starting"]


def test_tune_has_what_is_changed_in_it():
    """Private names of Ray 2.60 on which `keep_starting` rests."""
    source = inspect.getsource(TuneController)
    for name in ("_maybe_reuse_cached_actor", "_trial_to_actor", "_resetting_trials"):
        assert f"self.{name}" in source
    assert "self._pending_trials" in source
    assert "self._tune_controller" in inspect.getsource(TrialRunnerWrapper)
