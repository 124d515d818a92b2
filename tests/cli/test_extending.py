"""`rayat run` and `plan` into a folder that holds a run, where nothing has to be trained."""

from __future__ import annotations

import json

import pytest

from rayat.ledger.files import located
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.runs.record import run_info
from rayat.runs.search import declare
from rayat.study import load_study

STUDY = """
from ray import tune
from rayat.study import Study

study = Study(
    name="small",
    base={"data": "digits", "epochs": 2, "attack": {"name": "fgsm-rs", "eps": 0.1}},
    space={"lr.shape": tune.grid_search(["constant", "cosine"])},
    seeds=(0, 1),
    final_eval=False,
)
"""


@pytest.fixture
def small(tmp_path):
    """Return the file of a study, and the folder of a finished run of it."""
    file, folder = tmp_path / "small.py", tmp_path / "run"
    file.write_text(STUDY)
    study = load_study(file)
    with Ledger.create(folder, run_info(study, [], None, ["rayat", "run", str(file)])) as ledger:
        for trial in study.trials():
            declare(ledger, trial)
            attempt = ledger.attempt(trial.trial_id)
            for epoch in (1, 2):
                ledger.report(trial.trial_id, attempt, {"epoch": epoch, "val_robust_acc": 0.3})
            ledger.end(trial.trial_id, "finished")
    return file, folder


def test_the_same_command_again_trains_nothing_and_says_so(rayat, small):
    file, folder = small
    before = read_run(folder)
    done = rayat("run", file, "--out", folder)
    assert done.exit_code == 0, done.output
    assert "nothing added; what it held already was not trained again" in done.stdout
    assert "4 finished" in done.stdout
    done = rayat("run", file, "--out", folder, "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["added"] == 0
    after = read_run(folder)
    assert after.info == before.info and after.epochs.equals(before.epochs)


def test_what_contradicts_the_run_is_one_sentence_and_changes_nothing(rayat, small):
    file, folder = small
    for options, said in (
        (("--policy", "asha"), 'policy.name "none", and the study has "asha"'),
        (("--seeds", "1,2"), "seeds [0, 1], and the study has [1, 2]"),
        (("--set", "epochs=3"), "sets.epochs not set, and the study has 3"),
        (("--arm", "lr.shape=cosine"), "arm 'lr.shape=constant', which is not among the arms"),
    ):
        for verb in ("run", "plan"):
            done = rayat(verb, file, "--out", folder, *options)
            assert done.exit_code == 2 and said in done.stderr, done.output
            assert len(done.stderr.strip().splitlines()) == 1
    assert read_run(folder).info["study"] == load_study(file).tree()


def test_a_plan_counts_what_is_there_and_costs_what_is_not(rayat, small):
    file, folder = small
    done = rayat("plan", file, "--out", folder)
    assert done.exit_code == 0
    assert done.stdout.strip() == f"nothing to train: {located(folder)} holds all 4 trials"
    done = rayat("plan", file, "--out", folder, "--seeds", "0,1,2", "--cpus", "1", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["held"], found["trials"], found["epochs"]) == (4, 2, 4)


def test_two_runs_are_merged_and_what_two_hold_is_taken_once(rayat, small, tmp_path):
    file, folder = small
    other = tmp_path / "other"
    study = load_study(file).replace(seeds=(1, 2))
    with Ledger.create(other, run_info(study, [], None, ["test"])) as ledger:
        for trial in study.trials():
            declare(ledger, trial)
            attempt = ledger.attempt(trial.trial_id)
            for epoch in (1, 2):
                ledger.report(trial.trial_id, attempt, {"epoch": epoch, "val_robust_acc": 0.3})
            ledger.end(trial.trial_id, "finished")
    out = tmp_path / "both"
    done = rayat("merge", folder, other, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"4 trials of {folder}" in done.stdout and f"2 trials of {other}" in done.stdout
    assert "2 trials held twice, with equal rows: taken once" in done.stdout
    assert read_run(out).info["study"]["seeds"] == [0, 1, 2]
    done = rayat("run", file, "--out", out, "--seeds", "0,1,2")
    assert done.exit_code == 0 and "nothing added" in done.stdout, done.output
    done = rayat("verify", out)
    assert done.exit_code == 0 and "0 decisions from 12 reports: none differs" in done.stdout
    done = rayat("merge", folder, other, "--out", out)
    assert done.exit_code == 3 and "holds something already" in done.stderr
    both = rayat("compare", folder, other)
    assert both.exit_code == 0 and "run=other,lr.shape=cosine" in both.stdout
