"""Several runs in one comparison: told apart where equal, refused or flagged where unlike."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from rayat.compare.beside import beside, labels
from rayat.compare.table import compare
from rayat.errors import LedgerError, StudyError

LATE, EARLY = [0.1] * 7 + [0.6, 0.6], [0.1] * 3 + [0.6, 0.61]
MEASURED = {"eval.eps": 0.1, "attack.eps": 0.1, "data.name": "digits"}


@pytest.fixture
def make(make_run, tmp_path):
    """Return a maker of runs: `make("a", {"lr.shape=constant": LATE}, baseline=...)`."""

    def of(name, curves, cfg=MEASURED, checksum="one", environment=None, status=None, **study):
        builder = make_run()
        for arm, curve in curves.items():
            for seed in range(3):
                end = {"status": status} if status else {}
                builder.trial(arm, seed, curve, test=(0.9, 0.5), cfg=cfg, **end)
        run = builder.build(tmp_path / name, **study)
        # As a real configuration names its data.
        texts = [json.dumps({**json.loads(t), "data": "digits"}) for t in run.trials["config_json"]]
        data = [{"name": "digits", "checksum": checksum * 8, "split_hash": "s"}]
        info = {**run.info, "data": data, "environment": environment or {"python": "3.12"}}
        return dataclasses.replace(run, info=info, trials=run.trials.assign(config_json=texts))

    return of


def row(comparison, arm):
    return next(each for each in comparison.rows if each.arm == arm)


def test_one_run_is_itself(make):
    run = make("a", {"lr.shape=constant": LATE})
    assert beside([run]) is run


def test_the_baseline_of_one_run_is_compared_with_arms_of_another(make):
    first = make("a", {"lr.shape=constant": LATE})
    second = make("b", {"lr.shape=cyclic": EARLY}, baseline=None)
    both = compare(beside([first, second]))
    whole = make("c", {"lr.shape=constant": LATE, "lr.shape=cyclic": EARLY})
    alone = row(compare(whole), "lr.shape=cyclic")
    found = row(both, "lr.shape=cyclic")
    assert both.baseline == "lr.shape=constant" and found.verdict == "faster" == alone.verdict
    assert found.speed_up == alone.speed_up and found.sentence == alone.sentence
    assert found.trial_ids[0] == "b:0000-s0" and both.study == "known"
    assert any("a (known, policy none); b (known" in note for note in both.notes)
    assert not any("Seconds are of different machines" in note for note in both.notes)


def test_equal_arms_are_told_apart_by_their_run(make):
    first = make("a", {"lr.shape=constant": LATE, "lr.shape=cyclic": EARLY})
    second = make("b", {"lr.shape=constant": EARLY, "lr.shape=cosine": LATE})
    both = compare(beside([first, second]))
    assert both.baseline == "run=a,lr.shape=constant"
    assert {each.arm for each in both.rows} == {
        *("run=a,lr.shape=constant", "run=b,lr.shape=constant"),
        *("lr.shape=cyclic", "lr.shape=cosine"),
    }
    assert row(both, "run=b,lr.shape=constant").verdict == "faster"
    named = compare(beside([first, second]), baseline="run=b,lr.shape=constant")
    assert row(named, "lr.shape=cosine").verdict == "slower"
    with pytest.raises(StudyError, match="matches 2 arms"):
        compare(beside([first, second]), baseline="lr.shape=constant")


def test_what_was_measured_otherwise_has_no_verdict(make):
    first = make("a", {"lr.shape=constant": LATE})
    other = make("b", {"lr.shape=cyclic": EARLY}, cfg={**MEASURED, "eval.eps": 0.2})
    both = compare(beside([first, other]))
    assert row(both, "lr.shape=cyclic").verdict == "no verdict (eps 0.2 against 0.1)"
    changed = make("c", {"lr.shape=cyclic": EARLY}, checksum="two")
    both = compare(beside([first, changed]))
    said = row(both, "lr.shape=cyclic").verdict
    assert said == "no verdict (data.checksum twotwotwotwo against oneoneoneone)"
    unknown = dataclasses.replace(first, info={**first.info, "data": []})
    assert compare(beside([unknown, make("d", {"lr.shape=cyclic": EARLY})])).rows


def test_each_policy_is_respected_and_machines_are_told_apart(make):
    slow = {"python": "3.12", "hardware": {"processor": "old"}}
    first = make("a", {"lr.shape=constant": LATE}, environment=slow)
    cut = make(
        "b",
        {"lr.shape=cyclic": [0.1] * 3},
        status="stopped",
        environment={"python": "3.12", "hardware": {"processor": "new"}},
        policy={"name": "accel", "filter": "asha"},
    )
    both = compare(beside([first, cut]))
    assert row(both, "lr.shape=cyclic").verdict == "stopped before the target"
    assert any("b (known, policy accel:asha)" in note for note in both.notes)
    (note,) = [note for note in both.notes if "Seconds are of different machines" in note]
    assert "processor old in a, new in b" in note and "passes are" in note


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"metric": "val_clean_acc"}, "the metric differs: val_robust_acc in a, val_clean_acc in"),
        ({"target": 0.6}, "the target differs: 0.5 in a, 0.6 in b; give one by --target"),
    ],
)
def test_runs_that_are_judged_otherwise_are_refused(make, changes, text):
    runs = [
        make("a", {"lr.shape=constant": LATE}),
        make("b", {"lr.shape=cyclic": EARLY}, **changes),
    ]
    with pytest.raises(StudyError, match=text):
        beside(runs)
    if "target" in changes:
        both = compare(beside(runs, 0.55), target=0.55)
        assert both.target == 0.55 and not both.target_fixed


def test_what_is_no_pair_of_runs_is_refused(make, make_run, tmp_path):
    run = make("a", {"lr.shape=constant": LATE})
    with pytest.raises(StudyError, match="is given twice"):
        beside([run, run])
    empty = make_run().build(tmp_path / "b")
    with pytest.raises(LedgerError, match="holds no reports yet"):
        beside([run, empty])
    imported = {**run.info, "imported": {"measured_on": ["test"]}}
    other = dataclasses.replace(run, folder=tmp_path / "c", info=imported)
    with pytest.raises(StudyError, match="where accuracies come from differs"):
        beside([run, other])


def test_unequal_budgets_are_said(make_run, tmp_path):
    first, second = make_run(), make_run()
    for seed in range(3):
        first.trial("lr.shape=constant", seed, LATE, cfg={"lr.peak": 0.1})
        for peak in (0.1, 0.2):
            second.trial("lr.shape=cyclic", seed, EARLY, config=f"c{peak}", cfg={"lr.peak": peak})
    both = beside([first.build(tmp_path / "a"), second.build(tmp_path / "b", nuisance=["lr.peak"])])
    assert any("best of its 1 to 2 configurations" in note for note in compare(both).notes)


def test_names_are_as_short_as_they_may_be(tmp_path):
    folders = [tmp_path / name for name in ("x/a", "y/a", "y/b=1")]
    assert labels(folders[1:]) == ["a", "b-1"] and labels(folders) == ["x/a", "y/a", "y/b-1"]


def test_tables_keep_their_types(make):
    top = {**MEASURED, "lr.top": 0.3}
    runs = [make("a", {"k=1": LATE}, baseline=None), make("b", {"k=2": EARLY}, cfg=top)]
    both = beside(runs)
    for table in ("trials", "epochs", "evals"):
        for name, column in getattr(runs[0], table).items():
            if column.notna().all() or column.dtype.kind in "fM":
                assert getattr(both, table)[name].dtype == column.dtype, name
    assert both.trials["trial_id"].is_unique and both.trials["trial_index"].is_unique
    assert both.trials["started_at"].isna().all() and len(both.decisions) == 0
    assert pd.isna(both.trials["cfg.lr.top"].iloc[0]) and both.trials["cfg.lr.top"].iloc[-1] == 0.3
