"""Figures as others write them: percents, epochs from 0, rows in any order; what is left out."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from rayat.cli.app import app
from rayat.compare import plots
from rayat.compare.table import compare
from rayat.errors import LedgerError
from rayat.imports import robust_overfitting, table
from rayat.ledger.reader import read_run
from rayat.replay.curves import read_curves

CURVES = pd.DataFrame(
    {
        "run": ["a", "a", "a", "b", "b"],
        "epoch": [0, 1, 2, 1, 2],
        "seconds": 1.0,
        "robust_acc": [10.0, 20.0, 30.0, 0.5, 43.5],
        "clean_acc": [50.0, 60.0, 70.0, 80.0, 90.0],
    }
)


def run(*arguments):
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


@pytest.mark.parametrize("written", [float, lambda value: f"{value} %"])
def test_percents_become_fractions_where_they_are_said_to_be_percents(tmp_path, written):
    curves = CURVES.assign(robust_acc=[written(value) for value in CURVES["robust_acc"]])
    curves.to_csv(tmp_path / "t.csv", index=False)
    done = run("table", tmp_path / "t.csv", "--percent", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    epochs = read_run(tmp_path / "run").epochs
    found = epochs["val_robust_acc"].dropna().tolist()
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.005, 0.435])
    assert epochs["val_clean_acc"].dropna().max() == pytest.approx(0.9)
    refused = run("table", tmp_path / "t.csv", "--out", tmp_path / "other")
    assert refused.exit_code == 3 and "give --percent" in refused.stderr


def test_fractions_and_what_is_above_a_hundred_are_no_percents():
    fractions = CURVES.assign(robust_acc=0.4, clean_acc=0.9)
    with pytest.raises(LedgerError, match=r"no accuracy is above 0.9.*leave --percent out"):
        table.trials(fractions, {}, "t", percent=True)
    with pytest.raises(LedgerError, match=r"has 101 in row 1, percents are numbers of 0\.\.100"):
        table.trials(CURVES.assign(robust_acc=101.0), {}, "t", percent=True)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"robust_acc": [10.0, 20.0, 30.0, 0.3, 0.435], "clean_acc": [50, 60, 70, 0.8, 0.9]},
            "'b'",
        ),
        ({"robust_acc": [0.1, 0.2, 0.3, 0.3, 0.4]}, "'robust_acc' is above 0.4"),
    ],
)
def test_fractions_beside_percents_are_refused_by_name(values, text):
    """Divided by 100 they would be wrong, and nothing would show it."""
    with pytest.raises(LedgerError, match=f"{text}.*give all accuracies in one unit"):
        table.trials(CURVES.assign(**values), {}, "t", percent=True)


def test_a_value_without_its_sign_is_refused_and_a_leap_is_said():
    signed = CURVES.assign(robust_acc=["43.1%", "0.45", "40%", "41%", "42%"])
    with pytest.raises(LedgerError, match=r"with a % sign and '0\.45' without one"):
        table.trials(signed, {}, "t", percent=True)
    leaping = CURVES.assign(robust_acc=[0.31, 0.39, 45.0, 40.0, 41.0])
    _, notes = table.trials(leaping, {}, "t", percent=True)
    assert any("'robust_acc' of 'a' from 0.39% to 45.0%" in note for note in notes)
    assert not table.trials(
        CURVES.assign(robust_acc=[10.0, 20, 30, 40, 43]), {}, "t", percent=True
    )[1]


@pytest.mark.parametrize("took", [[-5.0, 5, 5, 5, 5], [float("inf"), 5, 5, 5, 5]])
def test_what_an_epoch_took_is_a_number_of_seconds_from_zero(took):
    curves = CURVES.assign(robust_acc=0.1, clean_acc=0.2, seconds=took)
    with pytest.raises(LedgerError, match="is a number of seconds from 0"):
        table.trials(curves, {}, "t")


def test_a_wall_clock_is_no_clock_of_the_trial():
    clock = [1_700_000_010, 1_700_000_020, 1_700_000_030, 5.0, 10.0]
    curves = CURVES.assign(robust_acc=0.1, clean_acc=0.2, seconds_cum=clock)
    with pytest.raises(LedgerError, match=r"begins at 1\.7e\+09.*subtract its start"):
        table.trials(curves.drop(columns="seconds"), {}, "t")


def test_a_trial_of_ray_tune_in_fractions_beside_percents_is_left_out(tmp_path):
    tune(tmp_path / "exp" / "a", [1, 2], lr=0.1)
    tune(tmp_path / "exp" / "b", [1, 2], lr=0.2)
    file = tmp_path / "exp" / "b" / "result.json"
    file.write_text(file.read_text().replace(": 11.0", ": 0.11").replace(": 12.0", ": 0.12"))
    done = run("ray", tmp_path / "exp", "--percent", "--out", tmp_path / "run")
    assert done.exit_code == 4
    assert "no accuracy of trial 'b' is above" in done.stderr
    assert read_run(tmp_path / "run").trials["trial_id"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("column", "values"), [("arm", ["x", "x", "z", "y", "y"]), ("seed", [0, 0, 1, 0, 0])]
)
def test_a_trial_has_one_arm_and_one_seed(column, values):
    fractions = CURVES.assign(robust_acc=0.1, clean_acc=0.2, **{column: values})
    with pytest.raises(LedgerError, match=f"trial 'a' has {column}s .*--map trial=COLUMN"):
        table.trials(fractions, {}, "t")


def test_what_changes_within_a_trial_is_no_configuration_and_is_said(tmp_path):
    curves = CURVES.assign(robust_acc=0.1, clean_acc=0.2, wd=[1, 1, 2, 3, 3], host="h")
    curves.to_csv(tmp_path / "t.csv", index=False)
    done = run("table", tmp_path / "t.csv", "--out", tmp_path / "run")
    assert (
        "change within a trial are no part of its configuration and are left out: wd" in done.stderr
    )
    configs = [json.loads(text) for text in read_run(tmp_path / "run").trials["config_json"]]
    assert [c["imported"] for c in configs] == [{"host": "h"}, {"host": "h", "wd": 3}]


@pytest.mark.parametrize("given", [[], ["--map", "seconds_cum=clock"]])
def test_a_clock_that_runs_on_becomes_what_each_epoch_took(tmp_path, given):
    clock = [5.0, 7.0, None, 100.0, 104.0]
    curves = CURVES.assign(robust_acc=0.1, clean_acc=0.2)
    named = curves.assign(clock=clock) if given else curves.assign(seconds_cum=clock)
    named = named if given else named.drop(columns="seconds")
    named.to_parquet(tmp_path / "t.parquet")
    done = run("table", tmp_path / "t.parquet", *given, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    epochs = read_run(tmp_path / "run").epochs.dropna(subset="val_robust_acc")
    assert epochs["seconds_cum"].tolist() == pytest.approx([5.0, 7.0, 7.0, 100.0, 104.0])
    curve = read_curves(tmp_path / "t.parquet", {"seconds_cum": "clock"} if given else {})[1]
    assert curve.seconds[-1] == pytest.approx(4.0)


def test_a_clock_that_runs_backwards_is_refused():
    curves = CURVES.assign(robust_acc=0.1, clean_acc=0.2, seconds_cum=[5, 7, 6, 1, 2])
    with pytest.raises(LedgerError, match=r"trial 'a' falls at epoch 2.*--map seconds=COLUMN"):
        table.trials(curves.drop(columns="seconds"), {}, "t")


def test_a_column_called_trial_tells_trials_apart():
    curves = CURVES.rename(columns={"run": "trial"}).assign(robust_acc=0.1, clean_acc=0.2)
    assert [t.name for t in table.trials(curves, {}, "t")[0]] == ["a", "b"]


def test_a_comparison_says_what_an_import_does_not_know(tmp_path):
    """Passes were not recorded: a dash, no 0; accuracies are not called those of a validation."""
    rows = [
        (f"{arm}{seed}", epoch, arm, seed, 1.0, 0.1 * epoch + 0.01 * seed)
        for arm in "ab"
        for seed in range(3)
        for epoch in (1, 2, 3)
    ]
    names = ["trial_id", "epoch", "arm", "seed", "seconds", "robust_acc"]
    pd.DataFrame(rows, columns=names).to_parquet(tmp_path / "t.parquet")
    assert run("table", tmp_path / "t.parquet", "--out", tmp_path / "run").exit_code == 0
    found = compare(read_run(tmp_path / "run"), "a")
    assert [row.costs["passes"] for row in found.rows] == [None, None]
    assert found.rows[0].costs["seconds"].mean == 3.0
    assert found.accuracy_source == "imported, data of an unknown split"
    assert not any("validation split" in note for note in found.notes)
    assert (
        "measured on data of an unknown split, and an arm's best epoch was chosen by the same"
        in found.notes[0]
    )
    figure = plots.draw_cost(read_run(tmp_path / "run"), found)
    assert figure.axes[-1].get_xlabel() == "seconds as recorded; passes were not"


def test_all_trials_of_a_table_count_their_epochs_alike(tmp_path):
    """Trial b lacks epoch 0: its first row is the second epoch, as in trial a."""
    curves = CURVES.assign(robust_acc=0.1, clean_acc=0.2).iloc[[0, 1, 2, 4, 3]]
    curves.to_csv(tmp_path / "t.csv", index=False)
    done = run("table", tmp_path / "t.csv", "--out", tmp_path / "run")
    assert "the epochs of 2 of 2 trials are counted from 0: here epoch 0 is epoch 1" in done.stderr
    assert "the epochs of 1 of 2 trials are out of order: they are sorted here (b)" in done.stderr
    measured = read_run(tmp_path / "run").epochs.dropna(subset="val_robust_acc")
    assert measured["epoch"].tolist() == [1, 2, 3, 2, 3]
    notes = json.loads((tmp_path / "run" / "run.json").read_text())["imported"]["notes"]
    assert len(notes) == 2
    plain = CURVES.assign(robust_acc=0.1, clean_acc=0.2, epoch=[1, 2, 3, 1, 2])
    plain.to_csv(tmp_path / "t.csv", index=False)
    assert run("table", tmp_path / "t.csv", "--out", tmp_path / "two").stderr == ""


def tune(folder, epochs, **params):
    folder.mkdir(parents=True)
    rows = [{"epoch": e, "time_this_iter_s": 1.0, "robust_acc": 10.0 + e} for e in epochs]
    (folder / "result.json").write_text("\n".join(map(json.dumps, rows)))
    (folder / "params.json").write_text(json.dumps(params))


def test_trials_of_ray_tune_that_are_left_out_are_named_and_are_exit_code_4(tmp_path):
    tune(tmp_path / "exp" / "a", [0, 1, 2], lr=0.1)
    tune(tmp_path / "exp" / "b", [1, 2], lr=0.2, seed=3)
    ask = ("ray", tmp_path / "exp", "--percent")
    assert run(*ask, "--out", tmp_path / "one").exit_code == 0
    measured = read_run(tmp_path / "one").epochs.dropna(subset="val_robust_acc")
    assert measured["epoch"].tolist() == [1, 2, 3, 2, 3]
    assert measured["val_robust_acc"].tolist() == pytest.approx([0.1, 0.11, 0.12, 0.11, 0.12])
    for name, seed in (("c", [1, 2]), ("d", "x"), ("e", True), ("f", 1.5), ("g", -1)):
        tune(tmp_path / "exp" / name, [1, 2], lr=0.3, seed=seed)
    done = run(*ask, "--out", tmp_path / "two", "--json")
    assert done.exit_code == 4
    assert sorted(json.loads(done.stdout)["skipped"]) == ["c", "d", "e", "f", "g"]
    assert "skipped c: its seed in params.json is [1, 2]; a seed is one whole" in done.stderr
    assert read_run(tmp_path / "two").trials["seed"].tolist() == [0, 3]


def test_an_experiment_whose_seeds_are_all_lists_is_one_sentence(tmp_path):
    tune(tmp_path / "exp" / "a", [1, 2], seed=[1, 2])
    done = run("ray", tmp_path / "exp", "--out", tmp_path / "run")
    assert done.exit_code == 3 and done.stderr.count("\n") == 1
    assert "its seed in params.json is [1, 2]" in done.stderr


def test_a_log_in_percents_is_read_with_the_option_alone():
    names = "Epoch \t LR \t Test Acc \t Test Robust Acc"
    lines = [names, "0 \t 0.1 \t 80.0 \t 41.5", "1 \t 0.1 \t 82.0 \t 43.5"]
    text = "".join(f"[x] - {line}\n" for line in lines)
    found = robust_overfitting.read_log(text, "a", percent=True)
    assert [row["val_robust_acc"] for row in found.rows] == pytest.approx([0.415, 0.435])
    with pytest.raises(ValueError, match="or give --percent"):
        robust_overfitting.read_log(text, "a")
    tiny = text.replace("80.0", "0.8").replace("82.0", "0.8")
    tiny = tiny.replace("41.5", "0.4").replace("43.5", "0.4")
    with pytest.raises(ValueError, match="leave --percent out"):
        robust_overfitting.read_log(tiny, "a", percent=True)


def test_a_clock_for_the_seconds_and_seeds_that_are_shared_or_unknown_are_said(tmp_path):
    table = pd.DataFrame(
        [
            (f"{arm}{seed}", epoch, arm, seed, 0.1 * epoch, 10.0 * epoch)
            for arm in "ab"
            for seed in (0, 1)
            for epoch in (1, 2, 3)
        ],
        columns=["trial_id", "epoch", "arm", "seed", "robust_acc", "seconds"],
    )
    said = {}
    for name, changes in {
        "clock": {},
        "each": {"seconds": 10.0},
        "one seed": {"seconds": 10.0, "seed": 0},
        "no seed": {"seconds": 10.0, "seed": None},
    }.items():
        changed = table.assign(**changes)
        changed = changed.drop(columns="seed") if name == "no seed" else changed
        changed.to_csv(tmp_path / "t.csv", index=False)
        said[name] = run("table", tmp_path / "t.csv", "--out", tmp_path / name).stderr
    assert "the seconds rise at every epoch of every trial, as a clock" in said["clock"]
    assert said["each"] == ""
    assert "arm 'a' has 2 trials of seed 0, of which comparisons show the best" in said["one seed"]
    assert "the seeds of 4 of 4 trials are not recorded" in said["no seed"]
    assert read_run(tmp_path / "no seed").trials["seed"].tolist() == [0, 1, 0, 1]
    assert read_run(tmp_path / "one seed").trials["seed"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "trial,epoch,seconds,robust_acc\na,1,2.5,0.43\na,2,2.5,0.5\n",
        "\ufeff trial , epoch , seconds , robust_acc \n a , 1 , 2.5 , 0.43 \n a , 2 , 2.5 , 0.5\n",
        "trial;epoch;seconds;robust_acc\na;1;2,5;0,43\na;2;2,5;0,5\n",
        "trial;epoch;seconds;robust_acc\na;1;2.5;0.43\na;2;2.5;0.5\n",
        'trial\tepoch\tseconds\trobust_acc\t"a;b;c;d;e"\na\t1\t2.5\t0.43\t0\na\t2\t2.5\t0.5\t0\n',
    ],
)
def test_csv_is_read_as_it_is_written_elsewhere(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    (trial,) = table.read(tmp_path / "t.csv", {}).trials
    assert trial.name == "a"
    assert [row["val_robust_acc"] for row in trial.rows] == [0.43, 0.5]
    assert [row["train_seconds"] for row in trial.rows] == [2.5, 2.5]


def test_a_name_that_is_there_twice_but_for_spaces_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("trial,epoch,seconds, epoch ,robust_acc\na,1,2,1,0.4\n")
    with pytest.raises(LedgerError, match="has 1 name twice: epoch"):
        table.read(tmp_path / "t.csv", {})
