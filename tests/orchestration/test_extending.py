"""A run that is made larger and killed in the middle has the rows of one whole from the start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from drivers import ACKNOWLEDGE

from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS
from rayat.replay.verify import verify

DRIVER = (
    ACKNOWLEDGE
    + """
import sys
from ray import tune
from rayat.api.extending import extend
from rayat.api.sweep import run
from rayat.orchestration.cluster import cluster
from rayat.study import Study

def study(shapes, seeds):
    return Study(
        name="extended",
        base={
            "data": {"name": "digits", "train_size": 128, "val_size": 64},
            "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
            "epochs": 4, "batch_size": 64, "lr.peak": 0.1,
            "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
            "eval": {"steps": 2, "final_steps": 2, "final_size": 64},
        },
        space={"lr.shape": tune.grid_search(shapes)},
        seeds=seeds,
        policy={"name": "patience", "epochs": 3},
        share=False,  # who trains an epoch that is shared depends on when it was killed
    )

verb, whole, folder = sys.argv[1:]
large = study(["constant", "accelat"], (0, 1))
with cluster(cpus=1):
    if verb == "begin":
        run(study(["constant"], (0,)), folder, command=["begin"])
        run(large, whole)
    summary = extend(large, folder, observer=Acknowledge(), command=["extend"])
    assert summary.added == (0 if verb == "again" else 3), summary
    if verb == "again":
        assert extend(large, folder, observer=Acknowledge()).added == 0
"""
)
COSTS = [name for name in EPOCHS.names if "seconds" not in name]


def drive(verb: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, verb, str(folder / "whole"), str(folder / "grown")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(folder: Path) -> pd.DataFrame:
    """Return every epoch by arm and seed, without times."""
    run = read_run(folder)
    named = run.epochs.merge(run.trials[["trial_id", "arm", "seed"]], on="trial_id")
    table = named[["arm", "seed", *COSTS]].drop(columns=["trial_id", "attempt", "reported_at"])
    return table.sort_values(["arm", "seed", "epoch"]).reset_index(drop=True)


def evaluated_of(folder: Path) -> pd.DataFrame:
    """Return every final evaluation by arm and seed, without times."""
    run = read_run(folder)
    named = run.evals.merge(run.trials[["trial_id", "arm", "seed"]], on="trial_id")
    table = named.drop(columns=["trial_id", "seconds"])
    return table.sort_values(["arm", "seed", "checkpoint"]).reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.own_ray
def test_an_extended_run_that_was_killed_has_the_rows_of_a_whole_one(tmp_path):
    driver, told = drive("begin", tmp_path), []
    assert driver.stdout is not None
    for line in driver.stdout:
        told.append(tuple(line.split()[1:]))
        if len(told) == 5:  # in the second of three new trials
            driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL, driver.communicate()[1]
    first = read_run(tmp_path / "grown")
    assert len(first.trials) == 4 and first.info["study"]["seeds"] == [0, 1]
    old = first.trials["trial_id"].iloc[0]
    assert old not in {trial_id for trial_id, _ in told}, "what it held was trained again"
    before = first.epochs[first.epochs["trial_id"] == old]
    driver = drive("again", tmp_path)
    said, errors = driver.communicate()
    assert driver.returncode == 0, errors
    told += [tuple(line.split()[1:]) for line in said.splitlines()]
    assert len(set(told)) == 3 * 4 and old not in {trial_id for trial_id, _ in told}
    grown = read_run(tmp_path / "grown")
    assert set(grown.trials["status"]) == {"finished"}
    pd.testing.assert_frame_equal(before, grown.epochs[grown.epochs["trial_id"] == old])
    pd.testing.assert_frame_equal(rows(tmp_path / "grown"), rows(tmp_path / "whole"))
    pd.testing.assert_frame_equal(
        evaluated_of(tmp_path / "grown"), evaluated_of(tmp_path / "whole")
    )
    assert verify(tmp_path / "grown").difference is None
    (entry,) = grown.info["extensions"]
    assert entry["command"] == ["extend"] and entry["environment"]["rayat"]
    assert entry["grew"] == {"seeds": [1], "values": {"lr.shape": ["accelat"]}}
    assert entry["trials"] == {"before": 1, "after": 4} and entry["note"] == ""
    assert grown.info["command"] == ["begin"]
    assert grown.info["study"] == read_run(tmp_path / "whole").info["study"]
    assert json.loads((tmp_path / "grown" / "run.json").read_text()) == grown.info
