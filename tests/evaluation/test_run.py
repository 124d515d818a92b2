"""`rayat evaluate` on runs: rows in the ledger once, whatever happens in between."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image

from rayat.config import TrialConfig
from rayat.data.identity import describe
from rayat.data.prepare import prepare
from rayat.errors import ConfigError, DataError, LedgerError, LockedError
from rayat.evaluation.checkpoint import final_suites_fit
from rayat.evaluation.journal import PREFIX
from rayat.evaluation.request import Request
from rayat.evaluation.run import evaluate_one, evaluate_run
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.orchestration.final_eval import checkpoint_rows, missing
from rayat.runs.merging import merge
from rayat.suites.base import suite
from rayat.training import checkpoints
from rayat.training.network import build_model
from rayat.training.run import run as train

CONFIG = {
    "data": {"name": "digits", "train_size": 128, "val_size": 32},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 2,
    "batch_size": 64,
    "attack": {"name": "fgsm", "eps": 0.2},
    "eval": {"steps": 1, "final_steps": 2, "final_size": 96, "batch_size": 40},
}
PGD = Request((suite("pgd-2"),))


def make(folder, names, seed=0):
    """Make a run without Ray: the first trial has finished, the others still run."""
    config = TrialConfig.parse({**CONFIG, "seed": seed})
    prepared = prepare(config.data)
    info = {
        "study": {"name": "tiny", "metric": "val_robust_acc", "seeds": [seed]},
        "metric": "val_robust_acc",
        "data": [describe(prepared)],
    }
    with Ledger.create(folder, info) as ledger:
        for index, trial_id in enumerate(names):
            ledger.trial(
                trial_id=trial_id,
                index=index,
                arm="one",
                config_id=config.config_id,
                config_sha256=config.sha256(),
                config_json=config.canonical(),
                seed=seed,
                epochs=2,
                workers=1,
            )
            attempt = ledger.attempt(trial_id)
            context = SimpleNamespace(
                folder=folder / "checkpoints" / trial_id,
                reported=0,
                rank=0,
                world_size=1,
                device="cpu",
                data=lambda source: prepared,
                report=lambda row, t=trial_id, a=attempt: ledger.report(t, a, row),
            )
            train(config, context)
        ledger.end(names[0], "finished")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one finished trial and one that still runs."""
    return make(tmp_path_factory.mktemp("trained") / "run", ("done", "going"))


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def journals(run):
    return list(run.rglob(f"{PREFIX}*"))


def records(run):
    with Ledger.open(run) as ledger:
        return ledger.log.records


def test_rows_of_ended_trials_go_into_the_ledger_once(run):
    rows = evaluate_run(run, PGD)
    assert [(r["trial_id"], r["checkpoint"]) for r in rows] == [("done", "best"), ("done", "last")]
    assert {r["suite"] for r in rows} == {"pgd-2"} and {r["n"] for r in rows} == {96}
    before, said = records(run), []
    again = evaluate_run(run, PGD, tell=said.append)
    assert again == rows and records(run) == before
    assert said and all(line.endswith(": held") for line in said)
    assert len(read_run(run).evals) == 2 and not journals(run)


def test_a_merged_run_is_evaluated_by_the_checkpoints_of_its_parts(tmp_path):
    """Trials that had one id in both are told apart, and each has its own network."""
    parts = [make(tmp_path / name, ("done",), seed) for seed, name in enumerate("ab")]
    alone = [row["robust_acc"] for part in parts for row in evaluate_run(part, PGD)]
    for part in parts:  # as before their evaluation
        shutil.rmtree(part)
    parts = [make(tmp_path / name, ("done",), seed) for seed, name in enumerate("ab")]
    both = merge(parts, tmp_path / "c", ["test"])
    rows = evaluate_run(both, PGD)
    assert [row["robust_acc"] for row in rows] == alone and len(set(alone)) > 1
    assert [row["trial_id"][:4] for row in rows] == ["0000", "0000", "0001", "0001"]
    assert read_run(parts[0]).evals.empty, "the parts stay as they are"
    checkpoint = next((both / "checkpoints").rglob("best/model.safetensors"))
    assert checkpoint.stat().st_nlink == 2, "it takes no room twice"


def test_equal_weights_are_measured_once_also_when_asked_one_after_the_other(run):
    place, said = run / "checkpoints" / "done", []
    shutil.rmtree(place / "best")
    shutil.copytree(place / "last", place / "best")
    (best,) = evaluate_run(run, Request(PGD.suites, checkpoints=("best",)))
    (last,) = evaluate_run(run, Request(PGD.suites, checkpoints=("last",)), tell=said.append)
    assert last == {**best, "checkpoint": "last"} and len(read_run(run).evals) == 2
    assert said == ["done last pgd-2 at 0.2: held of best, which has the same weights"]


def test_other_weights_of_the_same_epoch_are_measured(run):
    place, said = run / "checkpoints" / "done", []
    config = TrialConfig.parse(CONFIG)
    kept = checkpoints.load(place, "last", config)
    model = build_model(config, prepare(config.data), "cpu")
    model.load_state_dict({k: v + 1 for k, v in kept.model.items()})
    shutil.rmtree(place / "best")
    checkpoints.save(place, "best", config, kept.rows, {"model": model.state_dict()})
    evaluate_run(run, Request(PGD.suites, checkpoints=("best",)))
    evaluate_run(run, Request(PGD.suites, checkpoints=("last",)), tell=said.append)
    assert said[-1] == "done last pgd-2 at 0.2: batch 3 of 3"


def test_asked_again_on_purpose_it_replaces_its_rows(run):
    first = evaluate_run(run, PGD)
    second = evaluate_run(run, Request(PGD.suites, again=True))
    drop = [{k: v for k, v in row.items() if k != "seconds"} for row in (*first, *second)]
    assert drop[:2] == drop[2:] and len(read_run(run).evals) == 2


def test_other_sizes_radii_norms_and_splits_stand_beside_each_other(run):
    for fields in ({}, {"size": 40}, {"eps": (0.1,)}, {"split": "val"}, {"norm": "l2"}):
        evaluate_run(run, Request(PGD.suites, checkpoints=("best",), **fields))
    assert len(read_run(run).evals) == 5


@pytest.mark.slow
def test_several_processes_give_the_rows_of_one(run, trained, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other")
    for folder in (run, other):
        with Ledger.open(folder) as ledger:
            ledger.end("going", "finished")
    said: list[str] = []
    rows = evaluate_run(run, PGD, tell=said.append, workers=2)
    assert [(r["trial_id"], r["checkpoint"]) for r in rows] == [
        (trial, name) for trial in ("done", "going") for name in ("best", "last")
    ]
    assert len(said) == 2 and said[-1].endswith("2 of 2 trials")
    alone = evaluate_run(other, PGD)
    drop = [[{k: v for k, v in r.items() if k != "seconds"} for r in rs] for rs in (rows, alone)]
    assert drop[0] == drop[1] and not journals(run)


class Stop(BaseException):
    """An interruption in the middle of an evaluation, which is no failure of a suite."""


def test_interrupted_it_goes_on_behind_the_last_finished_batch(run, trained, tmp_path):
    whole = evaluate_run(shutil.copytree(trained, tmp_path / "other"), PGD)

    def stop(line):
        if line == "done last pgd-2 at 0.2: batch 2 of 3":
            raise Stop

    with pytest.raises(Stop):
        evaluate_run(run, PGD, tell=stop)
    assert len(read_run(run).evals) == 1, "the first checkpoint's row is durable"
    # Those of a trial stay until it is done: a `last` that is its `best` is not measured twice.
    (journal,) = (path for path in journals(run) if len(path.read_text().splitlines()) == 2)
    kept = journal.read_text().splitlines()
    forged = {**json.loads(kept[0]), "forward": 10**6}
    journal.write_text("".join(line + "\n" for line in (json.dumps(forged), kept[1])))
    rows = evaluate_run(run, PGD)
    assert rows[1]["fwd_passes"] > 10**6, "the finished batches were taken from the file"
    assert rows[1]["robust_acc"] == whole[1]["robust_acc"] and not journals(run)


def test_flags_stand_in_every_row_of_the_checkpoint(run):
    asked = Request((suite("pgd-3"),), size=40, checkpoints=("best",), flags=True)
    rows = evaluate_run(run, asked)
    assert [(r["suite"], r["eps"]) for r in rows] == [
        ("fgsm", 0.2),
        ("pgd-3", 0.2),
        ("pgd-3", 0.4),
        ("square-1000", 0.2),
    ]
    (said,) = {r["flags_json"] for r in rows}
    assert isinstance(json.loads(said), dict)


def test_a_run_in_progress_is_locked(run):
    with Ledger.open(run), pytest.raises(LockedError, match="is being written by"):
        evaluate_run(run, PGD)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dune", r"no trial 'dune' .*\(did you mean 'done'\?\)"),
        ("going", "trial going is running: its checkpoints may still change"),
    ],
)
def test_trials_that_cannot_be_evaluated_are_said(run, name, text):
    with pytest.raises(LedgerError, match=text):
        evaluate_run(run, PGD, [name])


def test_other_data_than_the_run_was_trained_on_are_refused(run):
    with Ledger.open(run) as ledger:
        info = ledger.info
    info["data"][0]["checksum"] = "0" * 64
    other = run.parent / "tampered"
    with Ledger.create(other, info) as ledger, Ledger.open(run) as source:
        (row, _) = source.trials().values()
        keys = ("trial_id", "arm", "config_id", "config_sha256", "config_json", "seed", "workers")
        ledger.trial(index=0, epochs=2, **{key: row[key] for key in keys})
        ledger.attempt("done")
        ledger.end("done", "finished")
    shutil.copytree(run / "checkpoints", other / "checkpoints")
    with pytest.raises(DataError, match="has changed since the run began"):
        evaluate_run(other, PGD)


def test_one_checkpoint_is_evaluated_where_it_lies_also_away_from_its_run(run, tmp_path):
    place = run / "checkpoints" / "done" / "best"
    inside = evaluate_one(place, PGD)
    assert read_run(run).evals.empty and not journals(run)
    outside = evaluate_one(shutil.copytree(place, tmp_path / "moved" / "best"), PGD)
    assert inside[0]["robust_acc"] == outside[0]["robust_acc"]
    with pytest.raises(LedgerError, match="named best or last"):
        evaluate_one(run, PGD)


def test_a_trial_counts_as_evaluated_only_by_all_its_final_suites(run):
    config = TrialConfig.parse({**CONFIG, "eval": {**CONFIG["eval"], "suites": ["fgsm"]}})
    configs = {"done": config, "going": config}
    with Ledger.open(run) as ledger:
        assert list(missing(ledger, configs)) == ["done"]
    evaluate_run(run, PGD)
    with Ledger.open(run) as ledger:
        assert list(missing(ledger, configs)) == ["done"]
    evaluate_run(run, Request((suite("fgsm"),)))
    with Ledger.open(run) as ledger:
        assert not missing(ledger, configs)


def test_a_suite_that_cannot_run_costs_no_other_suites_rows(run, tmp_path):
    """AutoAttack's targeted attacks need four classes; nobody looked before the start."""
    generator = np.random.default_rng(0)
    for split, label in itertools.product(("train", "test"), ("cat", "dog")):
        (tmp_path / "pets" / split / label).mkdir(parents=True)
        for index in range(40):
            pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / split / label / f"{index}.png")
    data = {"name": "imagefolder", "path": str(tmp_path / "pets"), "val_size": 16}
    config = TrialConfig.parse(CONFIG | {"data": data, "epochs": 1, "eval": EVAL})
    prepared = prepare(config.data)
    with pytest.raises(ConfigError, match=r"autoattack cannot run on .*: apgd-t needs at least"):
        final_suites_fit(config, prepared)
    context = SimpleNamespace(
        folder=tmp_path / "trial",
        reported=0,
        rank=0,
        world_size=1,
        device="cpu",
        data=lambda source: prepared,
        report=lambda row: None,
    )
    train(config, context)
    shared = SimpleNamespace(get=lambda source: prepared)
    rows, failed = checkpoint_rows("trial", config, context.folder, shared)
    assert [(r["checkpoint"], r["suite"]) for r in rows] == [("best", "pgd-2"), ("last", "pgd-2")]
    assert list(failed) == ["autoattack"] and "classes" in failed["autoattack"]
    rows, failed = checkpoint_rows("trial", config, context.folder, shared, held=["pgd-2"])
    assert not rows and list(failed) == ["autoattack"]


EVAL = {"steps": 1, "final_steps": 2, "final_size": 16, "suites": ["autoattack"]}
KILLED = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from rayat.evaluation.run import end_with_parent

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(signal.pause)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_outlives_an_evaluation_that_was_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=300)
