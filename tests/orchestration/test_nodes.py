"""Workers on other nodes write into the run's folder, which is a path that all nodes see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rayat.ledger.reader import read_run

SCRIPT = Path(__file__).with_name("nodes_run.py")


@pytest.mark.slow
@pytest.mark.own_ray
def test_workers_on_another_node_keep_their_checkpoints_in_the_runs_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "run"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"statuses": {"finished": 2}, "elsewhere": True}
    run = read_run(tmp_path / "run")
    for trial in run.trials.itertuples():
        for path in (trial.checkpoint_best, trial.checkpoint_last):
            assert (run.folder / path / "model.safetensors").stat().st_size > 0
    assert run.trials["workers"].tolist() == [1, 2]
    assert run.epochs["epoch"].tolist() == [1, 2, 1, 2]
