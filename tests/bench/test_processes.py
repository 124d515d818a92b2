"""Measuring processes answer, and their end is noticed."""

from __future__ import annotations

import json

import pytest

from rayat.bench.processes import Worker, together, workers
from rayat.config import TrialConfig


@pytest.mark.slow
def test_processes_train_steps_at_the_same_time():
    steps = {"batch": 4, "images": 4, "threads": 1, "device": "cpu", "precision": "fp32"}
    with workers(2) as pair:
        assert together(pair, {"steps": steps}) > 0
        pair[0].ask({"go": 2})
        assert pair[0].answer() > 0
    assert all(worker.process.returncode == 0 for worker in pair)


@pytest.mark.slow
def test_a_process_trains_whole_trials(tmp_path):
    config = TrialConfig.parse(
        {
            "data": {"name": "digits", "train_size": 64, "val_size": 16},
            "model": {"name": "preactresnet", "width": 2, "blocks": [1]},
            "epochs": 1,
            "batch_size": 64,
            "attack": {"name": "fgsm", "eps": 0.2},
        }
    )
    with workers(1) as (worker,):
        worker.ask({"trials": [config.canonical()] * 2, "folder": str(tmp_path)})
        assert worker.answer() > 0
    for number in ("0", "1"):
        meta = json.loads((tmp_path / number / "last" / "meta.json").read_text())
        assert meta["body"]["epoch"] == 1


@pytest.mark.slow
def test_a_process_that_ends_instead_of_answering_is_an_error(capfd):
    worker = Worker()
    worker.ask({"trials": ["no json"], "folder": "/"})
    with pytest.raises(RuntimeError, match="ended with 1"):
        worker.answer()
    worker.close()
    assert "JSONDecodeError" in capfd.readouterr().err
