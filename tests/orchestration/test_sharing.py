"""Trials go on from each other's states through a real Ray, with one worker and with several."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from typing import Any

import pytest
from drivers import ACKNOWLEDGE
from ray import tune
from safetensors.torch import load_file
from shared_runs import comparable, shared_run

from rayat.api.extending import extend
from rayat.api.sweep import run
from rayat.api.verbs import plan
from rayat.columns import SHARED_FROM
from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS
from rayat.sharing.store import Store

RATES = [{"shape": "constant", "peak": 0.1}, {"shape": "onedrop", "peak": 0.1, "at": 0.67}]
MORE = [{**RATES[1], "factor": 0.5}, {**RATES[1], "at": 0.34}]
SPACE = {"lr": tune.grid_search(RATES)}
OTHERWISE = [n for n in EPOCHS.names if "seconds" in n] + ["reported_at", "attempt", SHARED_FROM]


def rows(folder):
    """Return the epochs without what may differ, and how many of them were trained."""
    table = read_run(folder).epochs.sort_values(["trial_id", "epoch"]).reset_index(drop=True)
    trained = int(table[SHARED_FROM].isna().sum())
    return table.drop(columns=OTHERWISE), trained


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        # What each worker's exchange remembers is part of the state.
        pytest.param({"workers": 2, "exchange": "powersgd"}, marks=pytest.mark.long),
    ],
    ids=["one", "two"],
)
def test_a_study_through_ray_is_the_same_shared_and_unshared(changes, local_ray, tiny, tmp_path):
    study = tiny(base=changes, space=SPACE, seeds=(0,), share=True, stop_collapsed=False)
    summary = run(study, tmp_path / "shared")
    alone = run(study.replace(share=False), tmp_path / "alone")
    assert summary.statuses == alone.statuses == {"finished": 2}
    shared, trained = rows(tmp_path / "shared")
    unshared, asked = rows(tmp_path / "alone")
    assert shared.equals(unshared)
    assert (summary.epochs.asked, summary.epochs.trained) == (asked, trained) == (6, 4)
    assert alone.epochs.trained == 6
    assert len(Store(tmp_path / "shared").held()) == 1
    assert Store(tmp_path / "alone").held() == []
    for path in (tmp_path / "shared").glob("checkpoints/*/*/model.safetensors"):
        other = tmp_path / "alone" / path.relative_to(tmp_path / "shared")
        mine, theirs = load_file(path), load_file(other)
        assert all(mine[name].equal(theirs[name]) for name in theirs), path
    evals = [read_run(tmp_path / name).evals for name in ("shared", "alone")]
    tested = ["trial_id", "checkpoint", "epoch", "suite", "clean_acc", "robust_acc"]
    assert evals[0][tested].equals(evals[1][tested])


@pytest.mark.slow
def test_a_plan_of_a_larger_study_is_what_it_then_trains(local_ray, tiny, tmp_path):
    """A state was kept where the one parts, after epoch 2, and none after epoch 1."""
    study = tiny(space=SPACE, seeds=(0,), share=True, stop_collapsed=False, final_eval=False)
    folder = tmp_path / "run"
    assert run(study, folder).epochs.trained == 4
    larger = study.replace(space={"lr": tune.grid_search([*RATES, *MORE])})
    found = plan(larger, out=folder)
    assert (found["held"], found["trials"], found["epochs"], found["trained"]) == (2, 2, 6, 4)
    assert found["shared"] == "6 epochs asked, 4 to train (33 % shared)"
    assert plan(larger.replace(share=False), out=folder)["trained"] == 6
    assert extend(larger, folder).epochs.trained == 4 + found["trained"]
    shared, _ = rows(folder)
    run(larger.replace(share=False), tmp_path / "alone")
    assert shared.equals(rows(tmp_path / "alone")[0])


KILLS = 1, 20
"""Of drivers while trials share: at the size for CI, at that for the long run."""
STUDY = """
from ray import tune
from rayat.study import Study

DROP = {"shape": "onedrop", "peak": 0.1}
study = Study(
    name="killed",
    base={
        "data": {"name": "digits", "train_size": 256, "val_size": 64},
        "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
        "epochs": 8,
        "batch_size": 16,
        "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
        "eval": {"steps": 2},
    },
    space={
        "lr": tune.grid_search(
            [{"shape": "constant", "peak": 0.1}, *({**DROP, "at": n / 8} for n in (2, 4, 6))]
        )
    },
    seeds=(0,),
    stop_collapsed=False,
    final_eval=False,
)
"""
DRIVER = (
    ACKNOWLEDGE
    + STUDY
    + """
import sys
from pathlib import Path
import rayat
from rayat.orchestration.cluster import cluster

run, watch = Path(sys.argv[1]), Acknowledge()
with cluster(cpus=2):
    if (run / "run.json").exists():
        rayat.resume(run, observer=watch)
    else:
        rayat.run(study, run, observer=watch)
"""
)


@pytest.mark.slow
@pytest.mark.own_ray
@pytest.mark.timeout(1800)
def test_kills_of_a_driver_whose_trials_share_train_nothing_again(tmp_path, size):
    """No row differs from those of trials that trained alone, none was reported twice."""
    scope: dict[str, Any] = {}
    exec(STUDY, scope)
    configs = {trial.trial_id: trial.config for trial in scope["study"].trials()}
    alone = comparable(shared_run(tmp_path / "alone", configs, share=False))
    draw, left, runs, doubled = random.Random(11), size(*KILLS), 0, 0
    while left:  # a run that ended is followed by another one
        runs += 1
        folder, seen, code = tmp_path / f"run-{runs}", [], None
        while code != 0:
            wait = draw.randint(1, 12) if left else -1
            driver = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(folder)], stdout=subprocess.PIPE, text=True
            )
            assert driver.stdout is not None
            for line in driver.stdout:
                seen.append(line)
                wait -= 1
                if wait == 0:
                    driver.send_signal(signal.SIGKILL)
                    left -= 1
                    break
            code = driver.wait()
            assert code in (0, -signal.SIGKILL)
        doubled += len(seen) - len(set(seen))
        found = read_run(folder).epochs.sort_values(["trial_id", "epoch"])
        assert int(found[SHARED_FROM].isna().sum()) == 8 + 2 + 4 + 6
        for trial_id, expected in alone.items():
            part = found[found["trial_id"] == trial_id].to_dict("records")
            assert [row["epoch"] for row in part] == list(range(1, 9))
            for row, wanted in zip(part, expected, strict=True):
                assert {k: row[k] for k in wanted if wanted[k] is not None} == {
                    k: v for k, v in wanted.items() if v is not None
                }
    print(f"faults injected {size(*KILLS)}, {runs} shared runs, rows wrong 0, doubled {doubled}")
    assert doubled == 0
