"""What less would have found: counted by hand, and against runs that were made under a policy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

import rayat
from rayat.errors import ConfigError, LedgerError, StudyError
from rayat.ledger.reader import Run
from rayat.replay.whatif import passes_of, shortened, what_if

ROOT = Path(__file__).parents[2]
START = pd.Timestamp("2026-01-01T00:00:00Z")


def recorded(arms: dict[str, list[float]], order: list[str] | None = None, **study) -> Run:
    """Return a run of one seed; a report costs 10 passes, and they come in turns or in `order`."""
    trials, epochs = [], []
    for index, (arm, values) in enumerate(arms.items()):
        trials.append(
            {
                "trial_id": arm,
                "trial_index": index,
                "arm": f"arm={arm}",
                "config_id": arm,
                "config_json": json.dumps({"arm": arm, "lr": {"shape": "constant"}, "seed": 0}),
                "seed": 0,
                "status": "finished",
                "epochs_planned": len(values),
                "epochs_run": len(values),
                "best_value": max(values),
                "best_epoch": values.index(max(values)) + 1,
                "fwd_passes": 10.0 * len(values),
                **dict.fromkeys(("bwd_passes", "eval_fwd_passes", "eval_bwd_passes"), 0.0),
                **dict.fromkeys(("started_at", "ended_at"), pd.NaT),
            }
        )
        epochs += [
            {
                "trial_id": arm,
                "epoch": epoch,
                "val_robust_acc": value,
                "val_clean_acc": value,
                "lr": 0.1,
                "passes_cum": 10.0 * epoch,
                "seconds_cum": 1.0 * epoch,
                "reported_at": pd.NaT,
            }
            for epoch, value in enumerate(values, 1)
        ]
    frame = pd.DataFrame(epochs)
    if order:
        turn = {arm: iter([at for at, name in enumerate(order) if name == arm]) for arm in arms}
        at = [next(turn[name]) for name in frame["trial_id"]]
        frame["reported_at"] = [START + pd.Timedelta(seconds=n) for n in at]
    info = {
        "study": {"name": "known", "baseline": "base", "target": 0.5, **study},
        "metric": "val_robust_acc",
    }
    columns = ["trial_id", "split", "suite", "checkpoint", "clean_acc", "robust_acc", "eps", "n"]
    evals = pd.DataFrame(columns=columns)
    return Run(Path("runs/known"), info, pd.DataFrame(trials), frame, pd.DataFrame(), evals)


ARMS = {"base": [0.1, 0.2, 0.6], "early": [0.1, 0.5, 0.5], "late": [0.7, 0.7, 0.7]}


def test_the_search_is_cut_in_the_order_in_which_its_reports_came():
    found = what_if(recorded(ARMS), 0.5, ["none"])
    cut, none = found.rows
    assert (cut.passes, cut.share, cut.begun, cut.whole) == (40, 40 / 90, 2, 1)
    assert cut.config_id == "base" and not cut.same and cut.cost == 30
    assert (found.config_id, found.cost, found.passes) == ("late", 10, 90)
    assert (none.passes, none.same, none.begun, none.whole) == (90, True, 3, 3)
    assert "found arm=base (base), where the whole run found arm=late (late)" in found.answer()
    turns = ["late", "base", "early"] * 3
    cut = what_if(recorded(ARMS, turns), 0.5, []).rows[0]
    assert (cut.passes, cut.begun, cut.whole, cut.same) == (40, 3, 0, True)


def test_a_policy_pays_for_what_it_lets_run_and_wins_by_what_it_knew():
    found = what_if(recorded(ARMS), 1.0, ["patience:1"])
    cut, patience = found.rows
    assert cut.same and cut.passes == 90
    assert patience.passes == 80 and patience.begun == 3  # `late` has no new best at its second
    assert patience.same and patience.whole == 2


def test_a_trial_that_was_cut_short_is_known_as_far_as_it_had_come():
    run = shortened(recorded(ARMS), {"base": 3, "early": 1}, "interrupted")
    assert dict(zip(run.trials["trial_id"], run.trials["status"], strict=True)) == {
        "base": "finished",
        "early": "interrupted",
    }
    assert list(run.trials["best_value"]) == [0.6, 0.1] and len(run.epochs) == 4


def test_a_budget_too_small_for_one_report_finds_nothing():
    found = what_if(recorded(ARMS), 2, [])
    assert found.rows[0].arm is None and found.answer().endswith("none of which had a value yet.")


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (0.5, 50),
        ("50%", 50),
        (1, 100),
        (20, 20),
        ("2e1", 20),
        ("1 kpasses", 100),
        ("0.02 kpasses", 20),
    ],
)
def test_a_budget_is_a_share_or_passes(text, passes):
    assert passes_of(text, 100) == pytest.approx(passes)


@pytest.mark.parametrize("text", [0, -1, "x", "", "150%", True, float("nan"), "inf", "1 h"])
def test_what_is_no_budget_is_one_sentence(text):
    with pytest.raises(StudyError, match="a budget is a share of the passes"):
        passes_of(text, 100)


def test_what_cannot_be_known_is_said():
    run = recorded(ARMS, target=None, search={"name": "optuna"})
    run.trials.loc[1, "status"] = "stopped"
    said = " ".join(what_if(run, 0.5, []).unknown)
    assert "1 of 3 trials were stopped in the record" in said
    assert "proposed by optuna" in said and "target comes from the whole record" in said
    assert json.dumps(what_if(run, 0.5, []).to_json(), allow_nan=False)
    with pytest.raises(ConfigError, match="asha"):
        what_if(run, 0.5, ["ash"])
    free = dataclasses.replace(run, trials=run.trials.assign(fwd_passes=None, bwd_passes=None))
    free.trials[["eval_fwd_passes", "eval_bwd_passes"]] = None
    with pytest.raises(LedgerError, match="no passes were recorded"):
        what_if(free, 0.5, [])


def test_under_its_own_policy_a_recorded_run_costs_what_it_cost():
    run = rayat.open(ROOT / "results" / "policies" / "asha-1")
    own = run.what_if(0.5, "asha").rows[1]
    assert own.share == pytest.approx(1) and own.same and own.whole == len(run.trials)


def test_a_verdict_is_kept_or_not_and_the_target_is_an_end_where_it_is_asked_for():
    arms = {"base": [0.1, 0.5, 0.6, 0.6], "late": [0.1, 0.2, 0.3, 0.6], "never": [0.1] * 4}
    run = seeds_of(arms)
    found = what_if(run, 0.5, ["none", "verdict", "patience:1"], ends="at-target")
    assert (found.ends, found.verdicts) == ("at-target", 2)
    shares = {row.how: (row.share, row.verdicts) for row in found.rows}
    assert shares["none"] == (1.0, 2)
    # Of 36 epochs: two each of the baseline, all of late, one seed of never and an epoch each.
    assert shares["verdict"] == ((6 + 12 + 6) / 36, 2)
    assert shares["patience:1"][1] == 1, "never is stopped before the target now"
    assert what_if(run, 0.5, ["verdict"]).rows[1].share == (12 + 12 + 6) / 36


def seeds_of(arms):
    """Return a run of three seeds of each arm, all alike."""
    parts = [recorded(arms) for _ in range(3)]
    for seed, part in enumerate(parts):
        for frame in (part.trials, part.epochs):
            frame["trial_id"] = [f"{name}{seed}" for name in frame["trial_id"]]
        part.trials["seed"], part.trials["trial_index"] = (
            seed,
            part.trials["trial_index"] * 3 + seed,
        )
        texts = [{**json.loads(text), "seed": seed} for text in part.trials["config_json"]]
        part.trials["config_json"] = [json.dumps(text) for text in texts]
    return dataclasses.replace(
        parts[0],
        trials=pd.concat([part.trials for part in parts], ignore_index=True),
        epochs=pd.concat([part.epochs for part in parts], ignore_index=True),
    )
