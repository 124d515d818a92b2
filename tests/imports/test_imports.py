"""Recorded trainings become a run that compare and replay read; what is unknown stays null."""

from __future__ import annotations

import hashlib
import json
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from rayat.api.sweep import resume
from rayat.cli.app import app
from rayat.compare.table import compare
from rayat.errors import LedgerError
from rayat.imports import base, ray_results, robust_overfitting, table
from rayat.ledger.reader import read_run
from rayat.registry import POLICIES
from rayat.replay.curves import read_curves
from rayat.replay.simulate import simulate
from rayat.replay.verify import verify

HEADER = (
    "Epoch \t Train Time \t Test Time \t LR \t \t Train Loss \t Train Acc \t Train Robust Loss "
    "\t Train Robust Acc \t Test Loss \t Test Acc \t Test Robust Loss \t Test Robust Acc"
)
ROW = (
    "%d \t %.1f \t \t %.1f \t \t %.4f \t %.4f \t %.4f \t %.4f \t %.4f \t \t %.4f \t \t %.4f "
    "\t %.4f \t \t %.4f"
)


def log(epochs, planned=4, seed=3, validated=False, tail=""):
    """Return a log in their form, with made-up figures."""
    lines = [f"Namespace(attack='pgd', epochs={planned}, lr_max=0.1, norm='l_inf', seed={seed})"]
    lines.append(HEADER)
    for epoch in epochs:
        robust = 0.3 + 0.02 * epoch
        figures = (1.5, 0.5, 1.9, robust + 0.1, 1.4, 0.6, 1.6, robust)
        lines.append(ROW % (epoch, 100.0, 20.0, 0.1 / (epoch + 1), *figures))
        if validated:
            lines.append(f"validation 1.2000 \t 0.7000 \t 1.5000 \t {robust - 0.1:.4f}")
    return "".join(f"[2020/01/01 00:00:00] - {line}\n" for line in lines) + tail


def put(folder, **logs):
    for name, text in logs.items():
        path = folder / "experiments" / "cifar10" / name / "output.log"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return folder


def test_logs_become_a_run_with_its_provenance(tmp_path):
    clone = put(
        tmp_path / "clone",
        plain=log(range(4)),
        split=log(range(4), validated=True),
        cut=log(range(2), tail="[2020/01/01 00:00:00] - 2 \t 100.0 \t"),
        other="[2020/01/01 00:00:00] - something else\n",
    )
    base.write(robust_overfitting.read(clone), clone, tmp_path / "run", ["test"])
    run = read_run(tmp_path / "run")
    trials = run.trials.set_index("arm")
    plain = "run=experiments/cifar10/plain"
    assert trials.loc[plain, ["status", "seed", "epochs_run", "selected_on"]].tolist() == [
        "finished",
        3,
        4,
        "none",
    ]
    assert trials.loc["run=experiments/cifar10/cut", "stop_reason"].endswith("epoch 2 of 4")
    assert trials.loc[plain, "best_value"] == pytest.approx(0.36)
    assert trials.loc["run=experiments/cifar10/split", "best_value"] == pytest.approx(0.26)
    assert trials.loc[plain, "cfg.imported.norm"] == "l_inf"
    rows = run.epochs[run.epochs["trial_id"] == trials.loc[plain, "trial_id"]]
    assert rows["epoch"].tolist() == [1, 2, 3, 4]
    assert rows["lr"].tolist() == pytest.approx([0.1, 0.05, 0.0333, 0.025])
    assert rows["seconds_cum"].tolist() == [120.0, 240.0, 360.0, 480.0]
    assert rows["train_robust_acc"].iloc[0] == pytest.approx(0.4)
    assert rows["fwd_passes"].isna().all()
    imported = run.info["imported"]
    assert imported["measured_on"] == ["test", "val"]
    assert imported["skipped"] == {"experiments/cifar10/other": "no column 'Epoch'"}
    name = "experiments/cifar10/plain/output.log"
    assert imported["files"][name] == hashlib.sha256((clone / name).read_bytes()).hexdigest()
    assert verify(tmp_path / "run").difference is None
    said = compare(run, baseline=plain).render()
    assert "measured on test data and validation data" in " ".join(said.split())


def test_a_log_that_was_continued_counts_each_epoch_once_by_its_last_line():
    text = log(range(3)) + log([2, 3]).replace("0.3400", "0.9000")
    found = robust_overfitting.read_log(text, "a")
    assert [row["epoch"] for row in found.rows] == [1, 2, 3, 4]
    assert found.rows[2]["val_robust_acc"] == 0.9


def test_a_log_with_percents_is_skipped_and_the_others_are_kept(tmp_path):
    bad = log(range(2)).replace("0.3000", "30.0000")
    found = robust_overfitting.read(put(tmp_path / "clone", good=log(range(2)), bad=bad))
    assert [trial.name for trial in found.trials] == ["experiments/cifar10/good"]
    assert "of epoch 1 is 30; accuracies" in found.skipped["experiments/cifar10/bad"]


def test_a_replay_knows_the_recorded_rates_of_an_import(tmp_path):
    clone = put(tmp_path / "clone", **{f"r{i}": log(range(8), planned=8, seed=i) for i in range(4)})
    base.write(robust_overfitting.read(clone), clone, tmp_path / "run", ["test"])
    curves = read_curves(tmp_path / "run")
    assert curves[0].view.rates == pytest.approx([round(0.1 / (e + 1), 4) for e in range(8)])
    assert simulate(POLICIES.build("accel"), curves, 2).epochs


def test_an_import_is_not_resumed(tmp_path):
    clone = put(tmp_path / "clone", a=log(range(2)))
    base.write(robust_overfitting.read(clone), clone, tmp_path / "run", ["test"])
    with pytest.raises(LedgerError, match="was imported"):
        resume(tmp_path / "run")


def tune_folder(root):
    """Write two trials as Tune's loggers do, one of them restarted, and a pickle that explodes."""
    for number, peak in enumerate((0.1, 0.2)):
        folder = root / f"trial_{number}"
        folder.mkdir(parents=True)
        rows = [
            {
                "training_iteration": i,
                "time_this_iter_s": 2.0,
                "robust_acc": 0.1 * i + number / 10,
                "config": {"lr": peak},
                "nested": {"x": 1},
            }
            for i in (1, 2, 2, 3)
        ]
        text = "\n".join(map(json.dumps, rows)) + ("\n" if number else '\n{"training_iter')
        (folder / "result.json").write_text(text)
        (folder / "params.json").write_text(json.dumps({"lr": peak, "seed": 5, "width": 4}))
        (folder / "params.pkl").write_bytes(b"cos\nabort\n(tR.")
    return root


def test_ray_tunes_results_become_arms_by_what_differs(tmp_path):
    source = ray_results.read(tune_folder(tmp_path / "exp"), {})
    base.write(source, tmp_path / "exp", tmp_path / "run", ["test"])
    run = read_run(tmp_path / "run")
    assert run.trials["arm"].tolist() == ["lr=0.1", "lr=0.2"]
    assert run.trials["seed"].tolist() == [5, 5]
    assert run.trials["cfg.imported.width"].tolist() == [4, 4]
    assert run.epochs["epoch"].tolist() == [1, 2, 3] * 2
    assert run.epochs["train_seconds"].tolist() == [2.0] * 6
    assert run.trials["best_value"].tolist() == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize(
    ("bad", "params", "text"),
    [
        ({"robust_acc": 30.1}, {}, "it holds percents"),
        ({"robust_acc": "30.1%"}, {}, "is no number"),
        (
            {"robust_acc": 0.3},
            {"seed": [1, 2]},
            r"its seed in params.json is \[1, 2\]; a seed is one whole number",
        ),
    ],
)
def test_a_bad_trial_of_ray_tune_is_skipped_and_the_others_are_kept(tmp_path, bad, params, text):
    root = tune_folder(tmp_path / "exp")
    (root / "bad").mkdir()
    row = {"training_iteration": 1, "time_this_iter_s": 2.0, **bad}
    (root / "bad" / "result.json").write_text(json.dumps(row))
    (root / "bad" / "params.json").write_text(json.dumps({"lr": 0.3, "sizes": [1, 2], **params}))
    source = ray_results.read(root, {})
    assert [trial.name for trial in source.trials] == ["trial_0", "trial_1"]
    assert list(source.skipped) == ["bad"] and re.search(text, source.skipped["bad"])
    assert all(path.parent.name != "bad" for path in source.files)
    base.write(source, root, tmp_path / "run", ["test"])


def test_progress_csv_is_read_where_there_is_no_json(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        frame = pd.DataFrame({"training_iteration": [1, 2], "pgd": [0.1, 0.2], "s": [1.0, 1.0]})
        frame.to_csv(tmp_path / folder / "progress.csv", index=False)
    source = ray_results.read(tmp_path, {"robust_acc": "pgd", "seconds": "s"})
    assert [trial.name for trial in source.trials] == ["one", "two"]
    assert [row["val_robust_acc"] for row in source.trials[0].rows] == [0.1, 0.2]


CURVES = pd.DataFrame(
    {
        "run": ["a", "a", "b", "b"],
        "method": ["x", "x", "y", "y"],
        "epoch": [0, 1, 0, 2],
        "pgd": [0.1, 0.2, 0.3, 0.4],
        "seconds": 1.0,
    }
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_mapped_by_roles_and_gaps_are_null(tmp_path, suffix):
    path = tmp_path / f"curves{suffix}"
    CURVES.to_csv(path, index=False) if suffix == ".csv" else CURVES.to_parquet(path)
    arguments = ["import", "table", str(path), "--map", "robust_acc=pgd", "--map", "arm=method"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "2 trials, 4 epochs" in done.output
    run = read_run(tmp_path / "run")
    assert run.trials["arm"].tolist() == ["x", "y"]
    assert run.epochs["epoch"].tolist() == [1, 2, 1, 2, 3]
    assert run.epochs["val_robust_acc"].isna().tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (CURVES.assign(pgd=CURVES["pgd"] * 100), "holds percents; give --percent"),
        (CURVES.assign(pgd=[0.1, 1.2, 0.3, 0.4]), "has 1.2 in row 2, accuracies are fractions"),
        (CURVES.assign(pgd=[0.1, -0.2, 0.3, 0.4]), "look at how it was measured"),
        (CURVES.assign(clean_acc=50.0), "column 'clean_acc' has 50 in row 1"),
        (CURVES.assign(train_robust_acc=50.0), "column 'train_robust_acc' has 50"),
        (CURVES.assign(pgd=["0.1", "30.1%", "0.3", "0.4"]), "'30.1%' in row 2.*give --percent"),
        (CURVES.assign(pgd=["0.1", "None", "0.3", "0.4"]), "'None' in row 2.*leave the cell empty"),
        (CURVES.assign(run=["a", None, "b", "b"]), "row 2 has no trial in column 'run'"),
        (CURVES.assign(epoch=[0, 0.5, 1, 2]), "0.5 in row 2; epochs are whole numbers"),
        (CURVES.assign(epoch=[-1, 0, 1, 2]), "-1 in row 1"),
        (CURVES.assign(epoch=[1, None, 1, 2]), "column 'epoch' has nan in row 2"),
        (CURVES.assign(seed="x"), "column 'seed' holds 'x'"),
        (CURVES[:0], "holds no rows"),
        (CURVES.assign(epoch=1), "has an epoch twice"),
        (CURVES.drop(columns="seconds"), "no column for seconds"),
    ],
)
def test_tables_that_no_ledger_takes_are_refused(frame, text):
    with pytest.raises(LedgerError, match=text):
        table.trials(frame, {"robust_acc": "pgd"}, "t")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["tabel", "x"], 2, "did you mean 'table'?"),
        (["table", "x", "--map", "robust=y"], 2, "unknown role 'robust'"),
        (["table", "x.csv"], 3, "no such file"),
        (["ray", "nowhere"], 3, "no trial with a result.json or progress.csv"),
        (["robust-overfitting", "nowhere"], 3, "holds no output.log"),
    ],
)
def test_what_cannot_be_imported_is_said(tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["import", *arguments])
    assert done.exit_code == code
    assert text in done.stderr
    assert not list(tmp_path.iterdir())
