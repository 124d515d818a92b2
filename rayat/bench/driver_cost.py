"""O2: what a report costs the driver: made durable in the ledger, then judged by the policy."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rayat.bench.machine import load
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings
from rayat.bench.trials import study_of
from rayat.config import TrialConfig
from rayat.ledger.writer import Ledger
from rayat.policies.base import Decision, TrialView
from rayat.registry import POLICIES
from rayat.runs.driver import Driver
from rayat.runs.record import run_info
from rayat.runs.search import declare
from rayat.study import Study
from rayat.training.messages import Report, to_text


def o2(settings: Settings) -> list[BenchRow]:
    """Measure the wall time of a report at 100 live trials, tables included, without Ray."""
    trials, epochs = settings.pick(100, 4), settings.pick(20, 2)
    config = TrialConfig.parse({"data": "digits", "epochs": epochs + 1})
    # The dearest policy we have: it looks at every trial at every report. All trials report equal
    # values, so that it stops none.
    study = study_of(config, trials, {"name": "median", "grace": 1})
    means, slowest = [], 0.0
    for _ in range(settings.rounds):
        with driver_of(study) as driver:
            spent = [
                _timed(driver, trial_id, epoch)
                for epoch in range(1, epochs + 1)
                for trial_id in driver.trials
            ]
        means.append(1000 * sum(spent) / len(spent))
        slowest = max(slowest, 1000 * max(spent))
    return [
        measured(
            "O2",
            f"mean cost of a report with {trials} live trials: ledger, policy, tables",
            means,
            unit="ms",
            bar=Bar(10, "<="),
            judged=not settings.quick,
            context={
                "reports": trials * epochs,
                "policy": study.policy.kind,
                "slowest_ms": round(slowest, 2),
                "load": load(),
            },
        )
    ]


@contextlib.contextmanager
def driver_of(study: Study) -> Iterator[Driver]:
    """Give the driver of a new run of the study, in a folder that is removed afterwards."""
    trials = study.trials()
    with tempfile.TemporaryDirectory() as folder:
        info = run_info(study, [], None, ["rayat", "bench"])
        with Ledger.create(Path(folder) / "run", info) as ledger:
            for trial in trials:
                declare(ledger, trial)
            views = [TrialView(t.trial_id, t.config.tree(), t.config.epochs, t.arm) for t in trials]
            policy = POLICIES.build(study.policy)
            yield Driver(ledger, policy, views, study.metric, study.stop_collapsed)


def report(epoch: int) -> dict[str, Any]:
    """Return a whole row of an epoch."""
    accuracy = 0.9 * (1 - math.exp(-epoch / 5))
    counts = ("fwd_passes", "bwd_passes", "eval_fwd_passes", "eval_bwd_passes", "samples")
    parts = ("data", "attack", "train", "selection", "eval", "checkpoint")
    return {
        "epoch": epoch,
        "lr": 0.1,
        "attack_steps": 10.0,
        "eps": 0.03,
        "data_fraction": 1.0,
        "train_loss": 1 - accuracy,
        "train_robust_acc": accuracy,
        "val_clean_acc": accuracy,
        "val_robust_acc": accuracy / 2,
        "grad_norm": 1.0,
        **dict.fromkeys(counts, 50_000 * epoch),
        **dict.fromkeys((f"{part}_seconds" for part in parts), 1.5),
        "seconds_cum": 9.0 * epoch,
        "passes_cum": 200_000 * epoch,
    }


def send(driver: Driver, trial_id: str, row: dict[str, Any]) -> Decision:
    """Give a row to the driver as a launcher does; return its decision."""
    return driver.message(trial_id, to_text(Report(row, f"here:1:{trial_id}", "cpu")))


def _timed(driver: Driver, trial_id: str, epoch: int) -> float:
    row = report(epoch)
    began = time.perf_counter()
    decision = send(driver, trial_id, row)
    spent = time.perf_counter() - began
    if decision.action != "continue":
        raise RuntimeError(f"trial {trial_id} was stopped, so fewer than all trials are live")
    return spent
