"""An adaptive search on a real ledger: proposals follow from the rows, whoever reports first."""

from __future__ import annotations

import json
import math
import random

import pytest
from ray import tune

from rayat.api.sweep import run
from rayat.compare.table import compare
from rayat.config import TrialConfig
from rayat.errors import StudyError
from rayat.ledger.log import LOG, MAGIC, encode, read_log
from rayat.ledger.reader import read_run
from rayat.ledger.repair import repair
from rayat.ledger.writer import Ledger
from rayat.registry import POLICIES
from rayat.replay.verify import verify
from rayat.runs.driver import Driver
from rayat.runs.record import run_info, view
from rayat.runs.search import Search
from rayat.training.messages import Report, to_text

SEARCH = {"name": "optuna", "batch": 2, "startup": 2}


@pytest.fixture
def searching(tiny):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    return tiny(
        base={"epochs": 2},
        space={
            "lr.shape": tune.grid_search(["constant", "cosine"]),
            "lr.peak": tune.loguniform(1e-3, 1),
        },
        draws=5,
        seeds=(0, 1),
        search=SEARCH,
    )


def play(ledger, order):
    """Go on with the run, trials in a random order, each with an accuracy of its rate."""
    search, draw = Search.of(ledger), random.Random(order)
    configs = {}

    def grow():
        new = search.grow()
        configs.update({trial.trial_id: trial.config for trial in new})
        return [view(trial.trial_id, trial.config, trial.arm) for trial in new]

    views = []
    for trial_id, entry in ledger.trials().items():
        configs[trial_id] = TrialConfig.parse(json.loads(entry["config_json"]))
        views.append(view(trial_id, configs[trial_id], entry["arm"]))
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc", grow=grow)
    while ready := driver.ready():
        trial_id = draw.choice(ready)
        peak = configs[trial_id].lr.peak
        for epoch in range(ledger.reported(trial_id) + 1, 3):
            row = {"epoch": epoch, "val_robust_acc": 0.5 - 0.1 * abs(math.log10(peak) + 1)}
            driver.message(trial_id, to_text(Report(row, f"h:{order}:{trial_id}")))


def proposals(folder):
    with Ledger.open(folder) as ledger:
        trials = sorted(
            (t["arm"], t["seed"], json.loads(t["config_json"])["lr"]["peak"])
            for t in ledger.trials().values()
        )
        assert len({t["trial_index"] for t in ledger.trials().values()}) == len(trials)
    return trials


def begin(study, folder):
    return Ledger.create(folder, run_info(study, [], None, ["test"]))


def test_every_arm_has_its_budget_whoever_reports_first(searching, tmp_path):
    for order in (0, 1):
        with begin(searching, tmp_path / str(order)) as ledger:
            play(ledger, order)
    first, second = (proposals(tmp_path / str(order)) for order in (0, 1))
    assert first == second
    assert len(first) == 2 * 5 * 2
    assert verify(tmp_path / "0").difference is None


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_killed_search_goes_on_to_the_proposals_of_the_whole_one(searching, tmp_path, share):
    with begin(searching, tmp_path / "run") as ledger:
        play(ledger, 0)
    expected = proposals(tmp_path / "run")
    path, records = tmp_path / "run" / LOG, []
    read_log(path, records.append)
    path.write_bytes(MAGIC + b"".join(map(encode, records[: int(share * len(records))])))
    repair(tmp_path / "run")
    with Ledger.open(tmp_path / "run") as ledger:
        play(ledger, 5)
    assert proposals(tmp_path / "run") == expected


def test_the_plan_of_a_study_foresees_its_whole_budget(searching):
    assert len(searching.trials()) == 2 * 2 * 2
    assert len(searching.foreseen()) == 2 * 5 * 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"policy": "first-look"}, "policy 'first-look' waits for all trials"),
        ({"space": {"lr.shape": tune.grid_search(["cosine"])}}, "has no axis to tune"),
        ({"space": {"data.train_size": tune.randint(64, 128)}}, "cannot tune 'data.train_size'"),
    ],
)
def test_what_a_growing_run_cannot_do_is_refused(tiny, fields, text):
    space = {"lr.peak": tune.loguniform(1e-3, 1)}
    with pytest.raises(StudyError, match=text):
        tiny(**{"space": space, "search": "optuna", **fields})


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
