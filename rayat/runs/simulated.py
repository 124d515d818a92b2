"""A run without training: recorded curves through the real driver, policy and ledger.

What reports next follows from the ledger alone, as if each of a few workers took the trials in the
driver's order and all epochs took equally long. So a run that was killed and one that was not see
the same reports in the same order, and must make the same decisions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rayat.ledger.info import RUN
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.runs.driver import Driver
from rayat.training.messages import Report, to_text

METRIC = "val_robust_acc"
Rows = Callable[[int, int], Mapping[str, Any]]
"""(trial number, epoch) to the report's row."""


def play(
    folder: Path,
    policy: Mapping[str, Any],
    configs: Sequence[Mapping[str, Any]],
    epochs: int,
    report: Rows,
    workers: int = 4,
    said: Callable[[str, int], None] = lambda trial_id, epoch: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> bool:
    """Start the run in `folder`, or go on with it, to its end; return whether it came there.

    Args:
        policy: its mapping form.
        configs: a configuration tree per trial.
        epochs: length of every trial.
        report: the row of each epoch.
        workers: trials that run at once.
        said: told of every report that was acknowledged.
        interrupted: asked after every report; True leaves the run as Ctrl-C does.
    """
    spec = POLICIES.build(policy).spec()
    info = {"metric": METRIC, "study": {"name": "simulated", "policy": spec}}
    names = [f"t{number:05d}" for number in range(len(configs))]
    exists = (folder / RUN).exists()
    with Ledger.open(folder) if exists else Ledger.create(folder, info) as ledger:
        for number, (name, config) in enumerate(zip(names, configs, strict=True)):
            text = json.dumps(config)
            ledger.trial(name, number, f"a={number}", name, "0", text, 0, epochs, 1)
        views = [TrialView(n, c, epochs) for n, c in zip(names, configs, strict=True)]
        driver = Driver(ledger, POLICIES.build(policy), views, METRIC)
        numbers = {name: number for number, name in enumerate(names)}
        live = driver.ready()[:workers]
        while live:
            name = min(live, key=ledger.reported)
            epoch = ledger.reported(name) + 1
            decided = len(ledger.decisions(name))
            row = {**report(numbers[name], epoch), "epoch": epoch}
            driver.message(name, to_text(Report(row, f"here:{os.getpid()}:{name}")))
            said(name, epoch)
            if interrupted():
                ledger.event("interrupted", {})
                return False
            # As if it were asked after every report, which ten thousand trials would make slow: a
            # started trial keeps its worker until it ends or pauses.
            running = ledger.status(name) is Status.RUNNING
            if not running or len(ledger.decisions(name)) > decided or len(live) < workers:
                live = driver.ready()[:workers]
        driver.strand()
        return True
