"""Seeds until verdicts are decided, through a real Ray, digits and the final test."""

from __future__ import annotations

import pytest

from rayat.api.extending import extend
from rayat.api.sweep import resume, run
from rayat.compare.intervals import LOOKS, UNTIL
from rayat.compare.table import compare
from rayat.ledger.reader import read_run
from rayat.runs.looks import verify


@pytest.mark.slow
def test_a_real_run_gets_seeds_until_its_verdicts_are_decided(local_ray, tiny, tmp_path):
    """A run of fixed seeds becomes one, is interrupted, resumed, and trains nothing twice."""
    study = tiny(
        base={"epochs": 1, "data.train_size": 64, "eval.final_steps": 1},
        arms={"pgd-8": {"attack.steps": 8}, "pgd-2": {"attack.steps": 2}},
        seeds=(0, 1),
        target=0.01,
        baseline="pgd-8",
    )
    folder = tmp_path / "run"
    plain = run(study, folder)
    assert not plain.decided and len(read_run(folder).trials) == 4
    before = read_run(folder).epochs
    done = extend(study, folder, most=4)
    found = read_run(folder)
    looks = found.info[UNTIL][LOOKS]
    print(done.decided)
    assert done.added == len(found.trials) - 4 > 0 and done.decided
    assert (found.info[UNTIL]["first"], found.info[UNTIL]["most"]) == (3, 4)
    assert len(looks) >= 2 and looks[-1]["asked"] == []
    kept = found.epochs[found.epochs["trial_id"].isin(before["trial_id"])]
    same = ["trial_id", "epoch", "attempt", "passes_cum", "val_robust_acc", "reported_at"]
    assert kept[same].reset_index(drop=True).equals(before[same].reset_index(drop=True))
    assert set(found.evals["trial_id"]) == set(found.trials["trial_id"]), "tested at each look"
    comparison = compare(found)
    assert comparison.tested and "repeated interval" in comparison.render()
    last = looks[-1]["arms"]
    assert {row.arm: row.verdict for row in comparison.rows if not row.is_baseline} == {
        arm: each["verdict"] for arm, each in last.items()
    }
    assert verify(folder).difference is None
    again = extend(study, folder, most=4)
    assert (again.added, again.decided) == (0, done.decided)
    assert resume(folder).statuses == done.statuses
    assert read_run(folder).info[UNTIL] == found.info[UNTIL]
