"""SIGKILL of the driver, again and again: no reported epoch is lost and none is doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from drivers import ACKNOWLEDGE

from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS

KILLS = 1, 10
"""At the size for CI, at that for the long run."""
DRIVER = (
    ACKNOWLEDGE
    + """
import sys
from ray import tune
from rayat.orchestration.cluster import cluster
from rayat.study import Study
from rayat.api.sweep import resume, run

study = Study(
    name="kill",
    base={
        "data": {"name": "digits", "train_size": 128, "val_size": 64},
        "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
        "epochs": 12, "batch_size": 64, "lr.peak": 0.1,
        "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
        "eval": {"steps": 2, "final_steps": 2, "final_size": 64},
    },
    space={"lr.shape": tune.grid_search(["constant", "cosine", "accelat"])},
    seeds=(0, 1),
    policy={"name": "asha", "grace": 2, "eta": 2},
)
verb, whole, folder = sys.argv[1:]
with cluster(cpus=1):
    if verb == "run":
        run(study, whole)
        run(study, folder, observer=Acknowledge())
    else:
        resume(folder, observer=Acknowledge())
"""
)
TIMES = [name for name in EPOCHS.names if "seconds" in name] + ["reported_at", "attempt"]


def start(verb: str, folder: Path) -> subprocess.Popen[str]:
    """Start a driver; the first one, `run`, makes the undisturbed run before that it tells of."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, verb, str(folder / "whole"), str(folder / "killed")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def table(folder: Path) -> pd.DataFrame:
    epochs = read_run(folder).epochs
    return (
        epochs.drop(columns=[c for c in TIMES if c in epochs])
        .sort_values(["trial_id", "epoch"])
        .reset_index(drop=True)
    )


@pytest.mark.slow
@pytest.mark.own_ray
@pytest.mark.timeout(900)
def test_kills_lose_nothing_and_change_no_decision(tmp_path, size):
    wanted = size(*KILLS)
    draw = random.Random(7)
    acknowledged: set[tuple[str, int]] = set()
    verb, kills = "run", 0
    while True:
        driver = start(verb, tmp_path)
        assert driver.stdout is not None
        target = draw.randint(1, 5) if kills < wanted else 10**9
        for number, line in enumerate(driver.stdout, start=1):
            trial_id, epoch = line.split()
            acknowledged.add((trial_id, int(epoch)))
            if number == target:
                driver.send_signal(signal.SIGKILL)
                kills += 1
                break
        code = driver.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        verb = "resume"

    before, after = table(tmp_path / "whole"), table(tmp_path / "killed")
    rows = set(zip(after["trial_id"], after["epoch"], strict=True))
    lost = len(acknowledged - rows)
    doubled = len(after) - len(rows)
    columns = ["trial_id", "epoch", "action", "rule"]
    first, second = (
        read_run(tmp_path / name).decisions[columns].sort_values(columns).reset_index(drop=True)
        for name in ("whole", "killed")
    )
    changed = 0 if first.equals(second) else 1
    print(
        f"faults injected {kills}, 1 run, rows lost {lost}, rows doubled {doubled}, "
        f"decisions changed {changed}, files unreadable 0"
    )
    assert kills == wanted
    assert (lost, doubled, changed) == (0, 0, 0)
    pd.testing.assert_frame_equal(before, after)
