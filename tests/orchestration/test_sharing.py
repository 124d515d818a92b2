"""Trials go on from each other's states through a real Ray, with one worker and with several."""

from __future__ import annotations

import pytest
from ray import tune
from safetensors.torch import load_file

from rayat.api.sweep import run
from rayat.columns import SHARED_FROM
from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS
from rayat.sharing.store import Store

SPACE = {
    "lr": tune.grid_search(
        [{"shape": "constant", "peak": 0.1}, {"shape": "onedrop", "peak": 0.1, "at": 0.67}]
    )
}
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
    study = tiny(base=changes, space=SPACE, seeds=(0,), stop_collapsed=False)
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
