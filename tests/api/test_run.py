"""From Python: run, resume, plan and open, and what a run can be asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from ray import tune

import rayat
from rayat.data.loader import as_tensor, to_float
from rayat.data.prepare import prepare
from rayat.errors import ConfigError, LedgerError, PlacementError, StudyError
from rayat.runs.driver import Observer

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def shapes(tiny):
    return tiny(base={"epochs": 2}, space={"lr.shape": tune.grid_search(["constant", "cosine"])})


@pytest.fixture(scope="module")
def done(local_ray, tiny, tmp_path_factory):
    """A run that this process has driven, with all that a run has."""
    study = tiny(base={"epochs": 2}, space={"lr.shape": tune.grid_search(["constant", "cosine"])})
    return rayat.run(study, tmp_path_factory.mktemp("api") / "run", concurrency=1)


@pytest.mark.slow
def test_a_run_is_returned_with_its_tables_and_how_it_ended(done):
    assert done.summary.statuses == done.statuses == {"finished": 2}
    assert len(done.trials) == 2 and len(done.epochs) == 4 and len(done.evals) == 4
    assert isinstance(done.decisions, pd.DataFrame)
    again = rayat.open(done.folder)
    assert again.summary is None and again.trials.equals(done.trials)
    assert repr(again) == f"Run({str(done.folder)!r}: 2 finished; 4 epochs)"
    assert "<table" in again._repr_html_()


@pytest.mark.slow
def test_the_best_trials_network_answers_as_its_row_says(done):
    best = done.chosen()
    assert best["best_value"] == done.trials["best_value"].max()
    model, config = done.load_model(), done.config()
    assert not model.training
    test = prepare(config.data).test
    size = config.eval.final_size
    pixels = to_float(as_tensor(test.x)[:size])
    with torch.no_grad():
        right = (model(pixels).argmax(1).numpy() == test.y[:size]).mean()
    rows = done.evals[(done.evals["trial_id"] == best["trial_id"])]
    assert right == rows.set_index("checkpoint").loc["best", "clean_acc"]
    last = done.load_model(best["trial_id"], "last")
    assert {name for name, _ in last.named_parameters()} == {n for n, _ in model.named_parameters()}


@pytest.mark.slow
def test_a_run_is_compared_reported_verified_and_evaluated(done, tmp_path):
    found = done.compare("lr.shape=constant")
    assert [row.arm for row in found.rows] == ["lr.shape=constant", "lr.shape=cosine"]
    assert done.report(tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert done.verify().difference is None
    rows = done.evaluate(["fgsm"], n=8, trials=["best"])
    assert set(rows["checkpoint"]) == {"best", "last"} and set(rows["suite"]) == {"fgsm"}
    assert len(done.refresh().evals) == len(done.evals) + 2


@pytest.mark.slow
def test_an_interrupted_run_goes_on(local_ray, shapes, tmp_path):
    class AtOnce(Observer):
        def begin(self, driver, at_once):
            os.kill(os.getpid(), 2)

    cut = rayat.run(shapes, tmp_path / "run", seeds=[5], observer=AtOnce(), concurrency=1)
    assert cut.summary.interrupted and cut.statuses == {"pending": 2}
    with pytest.raises(LedgerError, match="no sound trial with a value yet"):
        cut.chosen()
    on = rayat.resume(tmp_path / "run", concurrency=1)
    assert on.statuses == {"finished": 2}
    assert set(on.trials["seed"]) == {5}


def test_what_cannot_be_asked_is_one_sentence(tmp_path):
    run = rayat.open(RESULTS / "lr_shapes")
    with pytest.raises(LedgerError, match=r"no trial 'nobody' in .*`run\.trials` lists them"):
        run.config("nobody")
    with pytest.raises(LedgerError, match="no checkpoint there"):
        run.load_model()
    with pytest.raises(LedgerError):
        rayat.open(tmp_path / "nothing")
    with pytest.raises(StudyError, match="quickstart"):
        rayat.plan("quickstrat")
    with pytest.raises(StudyError, match="seed cannot be set"):
        rayat.plan("quickstart", changes={"seed": 1})
    with pytest.raises(ConfigError, match="policy"):
        rayat.run("quickstart", tmp_path / "run", policy="nonesuch")
    with pytest.raises(PlacementError, match="size a local Ray"):
        rayat.run("quickstart", tmp_path / "run", address="127.0.0.1:1", cpus=2)
    for call, said in (
        (lambda: rayat.run("quickstart", tmp_path / "run", cpu=2), "no option 'cpu'.*'cpus'"),
        (lambda: rayat.plan("quickstart", concurency=1), "no option 'concurency'"),
        (
            lambda: rayat.run("quickstart", tmp_path / "run", seeds=3),
            "seeds should be a list, got 3",
        ),
        (lambda: rayat.run("quickstart", tmp_path / "run", arms="nobody"), "'nobody' is no arm"),
        (lambda: rayat.confirm(RESULTS / "lr_shapes", top=1.5), "integer, got 1.5"),
    ):
        with pytest.raises(rayat.RayatError, match=said):
            call()
    assert not (tmp_path / "run").exists()


def test_a_plan_is_what_the_command_prints(shapes):
    told = []
    found = rayat.plan(shapes, cpus=2, tell=told.append)
    assert found["trials"] == 2 and found["feasible"] and found["passes"] > 0
    assert told and told[0].startswith("measuring 1/")


LIGHT = """
import sys
import rayat
assert not {"torch", "ray", "pandas", "pydantic"} & set(sys.modules), "import rayat is heavy"
assert set(rayat.__all__) <= set(dir(rayat))
import rayat.runs.driver, rayat.runs.record, rayat.runs.search, rayat.ledger.writer
assert not {"torch", "ray", "pandas"} & set(sys.modules), "a run's record is light"
from rayat import Run, Study, open, plan, resume, run
assert callable(rayat.run)
"""


def test_the_package_is_light_and_its_names_are_loaded_when_they_are_used():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rayat.nonsense  # noqa: B018
    assert (Path(rayat.__file__).parent / "py.typed").is_file()
