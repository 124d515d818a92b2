"""SIGKILL of a search and of its confirmation: no row lost, the same proposals and answer."""

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
"""Of the search and of the confirmation each: at the size for CI, at that for the long run."""
DRIVER = (
    ACKNOWLEDGE
    + """
import sys
from pathlib import Path
from ray import tune
import rayat
from rayat.orchestration.cluster import cluster
from rayat.study import Study

study = Study(
    name="kill",
    base={
        "data": {"name": "digits", "train_size": 256, "val_size": 128},
        "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
        "epochs": 12, "batch_size": 16,
        "attack": {"name": "pgd", "eps": 0.05, "steps": 2},
        "eval": {"steps": 2, "final_steps": 2, "final_size": 128},
    },
    controls={
        "control": {
            "attack": {"name": "pgd", "eps": 0.05, "steps": 9},
            "lr": {"shape": "constant", "peak": 0.02},
        }
    },
    space={
        "lr.shape": tune.choice(["constant", "cosine", "accelat"]),
        "lr.peak": tune.loguniform(0.03, 0.3),
    },
    seeds=(0,),
    draws=5,
    budget="120 kpasses",
    search={"name": "optuna", "batch": 2, "startup": 2},
    objective="cost",
    policy={"name": "asha", "grace": 2, "eta": 2},
    target=0.2,
    baseline="arm=control",
)
folder = Path(sys.argv[1])
search, answer = folder / "search", folder / "answer"
with cluster(cpus=1):
    watch = Acknowledge()
    if (search / "run.json").exists():
        rayat.resume(search, observer=watch)
    else:
        rayat.run(study, search, observer=watch)
    done = rayat.confirm(search, folder / "confirm", top=1, seeds=3, attack=None, observer=watch)
answer.write_text(done.compare().headline)
"""
)
TIMES = [name for name in EPOCHS.names if "seconds" in name] + ["reported_at", "attempt"]


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a driver that searches and confirms, or goes on with what is there."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
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


def killed(folder: Path, kills: int) -> set[tuple[str, str, int]]:
    """Kill drivers so often in the search, then in the confirmation; return what they reported."""
    draw, acknowledged = random.Random(7), set()
    left = {"search": kills, "confirm": kills}
    while True:
        driver = start(folder)
        assert driver.stdout is not None
        said = dict.fromkeys(left, 0)
        wait = {name: draw.randint(1, 5) if many else 10**9 for name, many in left.items()}
        for line in driver.stdout:
            run, trial_id, epoch = line.split()
            acknowledged.add((run, trial_id, int(epoch)))
            said[run] += 1
            if said[run] == wait[run]:
                driver.send_signal(signal.SIGKILL)
                left[run] -= 1
                break
        code = driver.wait()
        if code == 0:
            assert not any(left.values()), "it ended before it was killed as often as asked"
            return acknowledged
        assert code == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.own_ray
@pytest.mark.timeout(1800)
def test_kills_of_a_search_and_its_confirmation_change_nothing(tmp_path, size):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    kills = size(*KILLS)
    undisturbed = start(tmp_path / "whole")
    acknowledged = killed(tmp_path / "killed", kills)
    undisturbed.communicate()
    assert undisturbed.returncode == 0
    lost = doubled = changed = 0
    for name in ("search", "confirm"):
        one, other = (tmp_path / which / name for which in ("whole", "killed"))
        before, after = table(one), table(other)
        rows = set(zip(after["trial_id"], after["epoch"], strict=True))
        lost += len({(i, e) for run, i, e in acknowledged if run == name} - rows)
        doubled += len(after) - len(rows)
        for of, columns in (
            ("decisions", ["trial_id", "epoch", "action", "rule"]),
            ("trials", ["trial_id", "config_json", "status"]),
        ):
            first, second = (
                getattr(read_run(folder), of)[columns].sort_values(columns).reset_index(drop=True)
                for folder in (one, other)
            )
            changed += not first.equals(second)
        pd.testing.assert_frame_equal(before, after)
    print(
        f"faults injected {2 * kills}, 1 search and its confirmation, rows lost {lost}, "
        f"rows doubled {doubled}, decisions or proposals changed {changed}, files unreadable 0"
    )
    assert (lost, doubled, changed) == (0, 0, 0)
    for file in ("answer", "confirm/train-with.json"):
        texts = [(tmp_path / name / file).read_text() for name in ("whole", "killed")]
        assert texts[0] == texts[1]
    assert (tmp_path / "whole" / "answer").read_text().startswith("Train with this: ")
