"""Runs on disk and a driver in this process: the ledger is real, Ray is not needed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rayat.ledger.writer import Ledger
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.runs.driver import Driver
from rayat.training.messages import Failed, Report, to_text

INFO = {
    "study": {
        "name": "tiny",
        "policy": {"name": "none"},
        "metric": "val_robust_acc",
        "baseline": "lr.shape=constant",
        "target": None,
        "protocol": "honest",
        "max_failures": 3,
        "seeds": [0, 1, 2],
        "scientific": ["lr.shape"],
        "nuisance": [],
    },
    "metric": "val_robust_acc",
}
GAIN = {"constant": 0.05, "cosine": 0.1}
"""Robust accuracy won per epoch, by arm."""


def declare(ledger: Ledger, index: int, shape: str, seed: int, epochs: int) -> str:
    trial_id = f"{index:04d}-{shape}-s{seed}"
    ledger.trial(
        trial_id=trial_id,
        index=index,
        arm=f"lr.shape={shape}",
        config_id=f"{shape:x<12}",
        config_sha256="0" * 64,
        config_json=json.dumps({"epochs": epochs, "lr": {"shape": shape}, "seed": seed}),
        seed=seed,
        epochs=epochs,
        workers=1,
    )
    return trial_id


def row(epoch: int, robust: float) -> dict:
    return {
        "epoch": epoch,
        "lr": 0.1,
        "train_loss": 1.0 / epoch,
        "val_robust_acc": robust,
        "val_clean_acc": robust + 0.1,
        "fwd_passes": 1000,
        "bwd_passes": 1000,
        "eval_fwd_passes": 100,
        "eval_bwd_passes": 100,
        "samples": 500,
        "train_seconds": 1.0,
        "attack_seconds": 1.0,
    }


@pytest.fixture
def run_folder(tmp_path):
    """A finished run: two shapes, three seeds, five epochs."""
    folder = tmp_path / "run"
    with Ledger.create(folder, INFO) as ledger:
        for index, (shape, seed) in enumerate((s, n) for s in GAIN for n in (0, 1, 2)):
            trial_id = declare(ledger, index, shape, seed, epochs=5)
            attempt = ledger.attempt(trial_id, device="cpu", host="here")
            for epoch in range(1, 6):
                robust = 0.1 + GAIN[shape] * epoch + 0.001 * seed
                ledger.report(trial_id, attempt, row(epoch, robust))
            ledger.end(trial_id, "finished")
    return folder


class Bench:
    """A driver whose trials are fed by hand."""

    def __init__(self, ledger: Ledger, observer, trials: list[tuple[str, int]]) -> None:
        views = []
        for index, (shape, epochs) in enumerate(trials):
            trial_id = declare(ledger, index, shape, 0, epochs)
            views.append(TrialView(trial_id, {}, epochs, f"lr.shape={shape}"))
        self.ids = [view.trial_id for view in views]
        self.driver = Driver(
            ledger, POLICIES.build("none"), views, "val_robust_acc", observer=observer
        )

    def report(self, trial: int, epoch: int, robust: float = 0.5) -> None:
        told = Report(row(epoch, robust), f"here:1:{trial}", "cpu")
        self.driver.message(self.ids[trial], to_text(told))

    def fail(self, trial: int, reason: str) -> None:
        self.driver.message(self.ids[trial], to_text(Failed(reason)))


@pytest.fixture
def bench(tmp_path):
    """Return a maker of benches: `bench(observer, [("cosine", 3), ...])`; closes its ledgers."""
    ledgers = []

    def make(observer, trials):
        ledger = Ledger.create(tmp_path / f"bench-{len(ledgers)}", INFO)
        ledgers.append(ledger)
        return Bench(ledger, observer, trials)

    yield make
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def clock():
    """A monotonic clock that moves only when told: `clock.now += 10`."""

    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    return Clock()


@pytest.fixture
def rayat():
    """Return a function that runs the command in this process: `rayat("ls", "shapes")`."""
    from rayat.cli.app import app

    def run(*arguments: object):
        return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="rayat")

    return run
