"""A search with a budget through a real Ray."""

from __future__ import annotations

import json

import pytest
from ray import tune

from rayat.api.sweep import run
from rayat.compare.table import compare
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.replay.verify import verify

SEARCH = {"name": "optuna", "batch": 2, "startup": 2}


def proposals(folder):
    with Ledger.open(folder) as ledger:
        trials = sorted(
            (t["arm"], t["seed"], json.loads(t["config_json"])["lr"]["peak"])
            for t in ledger.trials().values()
        )
        assert len({t["trial_index"] for t in ledger.trials().values()}) == len(trials)
    return trials


@pytest.mark.slow
def test_a_real_search_spends_its_budget_and_is_compared_with_its_control(
    local_ray, tiny, tmp_path
):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    study = tiny(
        base={"epochs": 2, "data.train_size": 64},
        controls={"constant": {"lr": {"shape": "constant", "peak": 0.1}}},
        space={"lr.peak": tune.loguniform(1e-3, 1), "lr.shape": tune.choice(["cosine", "linear"])},
        draws=40,
        budget="4 kpasses",
        objective="cost",
        target=0.05,
        search=SEARCH,
        baseline="arm=constant",
        final_eval=False,
    )
    run(study, tmp_path / "run")
    found = read_run(tmp_path / "run")
    searched = found.trials[found.trials["arm"] == "arm=searched"]
    last = found.epochs.sort_values("epoch").groupby("trial_id").tail(1).set_index("trial_id")
    paid = last.loc[[t for t in searched["trial_id"] if t in last.index], "passes_cum"]
    one = float(found.epochs[found.epochs["epoch"] == 1]["passes_cum"].max())
    assert 4_000 <= paid.sum() < 4_000 + 2 * one, "by no more than an epoch of each that ran"
    assert set(found.trials["status"]) <= {"finished", "stopped"}
    assert any("budget of 4 kpasses is spent" in str(why) for why in searched["stop_reason"])
    assert len(proposals(tmp_path / "run")) == len(found.trials)
    assert verify(tmp_path / "run").difference is None
    table = compare(found)
    assert {row.arm for row in table.rows} == {"arm=constant", "arm=searched"}
