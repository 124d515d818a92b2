"""One seed after another: which trials start, and what the driver and a replay make of it."""

from __future__ import annotations

import json

import pytest
from ray import tune

from rayat.errors import StudyError
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.replay.curves import run_curves
from rayat.replay.simulate import simulate
from rayat.replay.sweeps import draw
from rayat.replay.verify import verify
from rayat.runs.driver import Driver
from rayat.runs.record import run_info, view
from rayat.runs.search import identity
from rayat.search.ordering import SUCCESSIVE
from rayat.training.messages import Report, to_text

METRIC = "val_robust_acc"
PEAKS = [0.3, 0.25, 0.2, 0.15, 0.1, 0.05]
EPOCHS = 6


@pytest.fixture
def study(tiny):
    def make(**fields):
        given = {"policy": "asha", "seeds": (4, 1, 7), "order": SUCCESSIVE, **fields}
        return tiny(
            base={"epochs": EPOCHS},
            space={"lr.peak": tune.grid_search(PEAKS)},
            final_eval=False,
            **given,
        )

    return make


def test_all_configurations_come_on_one_seed_before_any_on_the_next(study):
    trials = study().trials()
    assert [t.config.seed for t in trials] == [s for s in (4, 1, 7) for _ in PEAKS]
    assert [t.index for t in trials] == list(range(18))
    assert [t.config.lr.peak for t in trials[:6]] == PEAKS
    drawn = study(order_seed=3).trials()
    assert [t.config.seed for t in drawn] == [t.config.seed for t in trials]
    assert [t.config.lr.peak for t in drawn[:6]] != PEAKS
    assert {t.config.sha256() for t in drawn} == {t.config.sha256() for t in trials}
    usual = study(order="configurations")
    assert [t.config.seed for t in usual.trials()[:3]] == [4, 1, 7]
    assert "order" not in usual.tree() and study().tree()["order"] == SUCCESSIVE
    with pytest.raises(StudyError, match="order"):
        study(order="seeds")


def test_an_order_of_trials_that_nobody_knows_is_refused(tiny):
    with pytest.raises(StudyError, match="proposes"):
        tiny(
            space={"lr.peak": tune.loguniform(1e-3, 1)},
            draws=8,
            budget="4 kpasses",
            order=SUCCESSIVE,
        )


def drive(folder, study, workers=2, stop_after=None):
    """Run a study on made-up curves: larger peaks are better, and seeds hardly differ."""
    exists = (folder / "run.json").exists()
    info = run_info(study, [], None, ["rayat"])
    with Ledger.open(folder) if exists else Ledger.create(folder, info) as ledger:
        if not exists:
            ledger.extend(ledger.info, map(identity, study.trials()))
        trials = study.trials()
        views = [view(t.trial_id, t.config, t.arm) for t in trials]
        driver, said = Driver(ledger, study.policy, views, METRIC), 0
        while live := driver.ready()[:workers]:
            name = min(live, key=ledger.reported)
            tree = json.loads(ledger.trials()[name]["config_json"])
            epoch = ledger.reported(name) + 1
            value = tree["lr"]["peak"] * epoch / EPOCHS + 0.001 * tree["seed"]
            row = {"epoch": epoch, METRIC: value, "fwd_passes": 100, "train_seconds": 1.0}
            driver.message(name, to_text(Report(row, f"here:1:{name}")))
            said += 1
            if said == stop_after:
                return None
    return read_run(folder)


@pytest.mark.parametrize("name", ["asha", "median", "accel:asha"])
@pytest.mark.parametrize("peers", ["configurations", "seeds"])
def test_seeds_of_a_stopped_configuration_never_start(study, tmp_path, name, peers):
    policy = {**POLICIES.build(name).spec(), "peers": peers}
    run = drive(tmp_path / "run", study(policy=policy))
    stopped = run.trials[(run.trials["status"] == "stopped") & (run.trials["epochs_run"] > 0)]
    never = run.trials[run.trials["epochs_run"] == 0]
    assert len(stopped) and len(never)
    assert set(never["status"]) == {"stopped"}
    assert all(str(why).startswith("never started: its conf") for why in never["stop_reason"])
    assert set(never["cfg.lr.peak"]) <= set(stopped["cfg.lr.peak"])
    usual = drive(tmp_path / "usual", study(policy=policy, order="configurations"))
    assert (usual.trials["epochs_run"] > 0).all()
    assert run.trials["epochs_run"].sum() < usual.trials["epochs_run"].sum()
    best = run.trials[run.trials["cfg.lr.peak"] == max(PEAKS)]
    assert set(best["status"]) == {"finished"}, "the best has all its seeds"
    assert verify(tmp_path / "run").difference is None


def test_a_driver_that_is_killed_leaves_out_the_same_seeds(study, tmp_path):
    calm = drive(tmp_path / "calm", study())
    for stop_after in (3, 9, 4, 11):
        drive(tmp_path / "killed", study(), stop_after=stop_after)
    killed = drive(tmp_path / "killed", study())
    columns = ["trial_id", "status", "epochs_run", "stop_reason"]
    assert killed.trials[columns].equals(calm.trials[columns])


def test_a_replay_leaves_out_what_the_driver_does(study, tmp_path):
    full = drive(tmp_path / "full", study(policy="none"))
    run = drive(tmp_path / "run", study(), workers=1)
    curves = run_curves(full)
    outcome = simulate(POLICIES.build("asha"), curves, 1, 0.0, SUCCESSIVE)
    assert outcome.epochs == dict(
        zip(run.trials["trial_id"], run.trials["epochs_run"], strict=True)
    )
    usual = simulate(POLICIES.build("asha"), curves, 1, 0.0)
    assert outcome.compute < usual.compute
    assert outcome.final == pytest.approx(usual.final)
    seeds = [curve.view.config["seed"] for curve in draw(curves, 0, 0, SUCCESSIVE)]
    assert seeds == sorted(seeds, key=[4, 1, 7].index)
    usual_seeds = [curve.view.config["seed"] for curve in draw(curves, 0, 0)]
    assert usual_seeds[:3] == [4, 1, 7]


def test_a_policy_that_ranks_all_trials_alike_drops_none():
    trial = TrialView("a", {"seed": 0}, 6)
    for spec in ("none", "patience", {"name": "asha", "peers": "all"}):
        assert POLICIES.build(spec).dropped(trial) == ""
