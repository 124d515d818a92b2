"""`rayat train` and `rayat refit`: one configuration through a `TorchTrainer`, no search."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from rayat.compare.select import best_trial
from rayat.config import TrialConfig
from rayat.errors import LedgerError
from rayat.ledger.files import checkpoint_folder, located
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.models.own import unfolded
from rayat.orchestration.cluster import LOCAL, Where
from rayat.orchestration.execute import SCRATCH
from rayat.orchestration.final_eval import evaluate_trials
from rayat.orchestration.pending import Pending
from rayat.orchestration.shared_data import SharedData
from rayat.orchestration.sweep import refuse_what_cannot_run
from rayat.orchestration.trainer import TrainerRun
from rayat.own.parts import adopt
from rayat.planning.advice import advise
from rayat.planning.placement import Capacity, Need, concurrency
from rayat.planning.refusal import own_parts, refuse_what_fails
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.runs.driver import Driver, Observer
from rayat.runs.interrupts import interruptible
from rayat.runs.record import Summary, beginning, refuse_a_taken, run_info
from rayat.runs.search import declare
from rayat.search.plan import Trial
from rayat.study import Study
from rayat.training.launched import Order


def train(
    config: TrialConfig,
    folder: str | Path,
    where: Where = LOCAL,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    name: str = "train",
    origin: Mapping[str, Any] | None = None,
) -> Summary:
    """Train one configuration into a new folder, on `config.workers` workers.

    The folder is a run like any other: it can be compared, reported and resumed.

    Args:
        origin: where the configuration came from, stored in `run.json`.

    Raises:
        ConfigError, DataError, PlacementError, LedgerError: refused before anything started.
    """
    base = config.tree()
    study = Study(name=name, seeds=(base.pop("seed"),), base=base)
    trial = study.trials()[0]
    refuse_what_cannot_run([trial], where)
    folder = located(folder)
    refuse_a_taken(folder)
    read = refuse_what_fails(study, [trial], where.address is None)
    with where.joined(folder) as capacity:
        concurrency(Need.of(config), capacity)
        shared, data = SharedData.put([config.data], read)
        (entry,) = data.values()
        warnings = [
            *entry["notes"],
            *unfolded([(config, entry)]),
            *advise([(trial.arm, config, entry["train"])]),
        ]
        for text in warnings:
            (observer or Observer()).phase(f"warning: {text}")
        info = run_info(study, list(data.values()), capacity, command, origin)
        with beginning(folder, info, own_parts(study, [trial])) as ledger:
            declare(ledger, trial)
            summary = _carry_out(ledger, trial, shared, capacity, observer or Observer())
        return replace(summary, warning="; ".join(filter(None, (*warnings, summary.warning))))


def _carry_out(
    ledger: Ledger, trial: Trial, shared: SharedData, capacity: Capacity, observer: Observer
) -> Summary:
    config = trial.config
    view = TrialView(trial.trial_id, config.tree(), config.epochs, trial.arm)
    policy = POLICIES.build("none")
    driver = Driver(ledger, policy, [view], ledger.info["metric"], True, observer)
    scratch = ledger.folder / SCRATCH / uuid.uuid4().hex[:8]
    scratch.mkdir(parents=True)
    order = Order(
        trial_id=trial.trial_id,
        config_json=config.canonical(),
        folder=str(checkpoint_folder(ledger.folder, trial.trial_id)),
        reported=ledger.reported(trial.trial_id),
        scratch=str(scratch),
        max_failures=ledger.info["study"]["max_failures"],
        final_eval=False,
    )
    reasons: dict[str, str] = {}
    unmeasured: list[str] = []
    waiting = Pending(observer.phase)

    def stop() -> None:
        driver.interrupted = True
        observer.phase("interrupted: stopping; press Ctrl-C again to leave at once")

    try:
        with interruptible(stop):
            observer.begin(driver, 1)
            for _ in range(order.max_failures + 1):
                training = TrainerRun(order, shared, name=f"train-{uuid.uuid4().hex[:8]}")
                try:
                    for message in training.messages(
                        stop=lambda: driver.interrupted, idle=waiting.tick
                    ):
                        told = driver.message(trial.trial_id, message["message"])
                        if told.action != "continue":
                            break
                    break
                except RayActorError as error:  # the controller's: it goes on with a new one
                    reasons[trial.trial_id] = f"{type(error).__name__}: {error}".splitlines()[0]
                    driver.lost(trial.trial_id, "the trainer's controller died")
                finally:
                    training.close()
            driver.settle([trial.trial_id], reasons)
            if not driver.interrupted:
                one = {trial.trial_id: config}
                unmeasured = evaluate_trials(ledger.folder, one, driver, shared, capacity)
        if driver.interrupted:
            ledger.event("interrupted", {})
    finally:
        observer.finish()
        ledger.project()
        shutil.rmtree(ledger.folder / SCRATCH, ignore_errors=True)
    status = ledger.status(trial.trial_id)
    return Summary(
        ledger.folder,
        {status: 1},
        driver.interrupted,
        driver.warning,
        unmeasured=tuple(unmeasured),
    )


def refit(
    run_folder: str | Path,
    folder: str | Path,
    changes: Mapping[str, Any] | None = None,
    where: Where = LOCAL,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
) -> Summary:
    """Train a run's winner again, with `changes` such as more workers or epochs.

    The winner is the configuration with the best mean of the study's metric over its seeds; its
    first seed is used unless `changes` names another.

    Raises:
        LedgerError: the run has no finished trial.
    """
    run_folder = located(run_folder)
    run = read_run(run_folder)
    trial_id, config_json = best_trial(run)
    if trial_id is None:
        raise LedgerError(f"{run_folder} has no trial to refit: let the run finish one first")
    adopt(run_folder)
    config = TrialConfig.parse(json.loads(config_json)).replace(changes or {})
    origin = {"run": str(run_folder), "trial_id": trial_id, "changes": dict(changes or {})}
    name = f"refit-{run.info['study']['name']}"[:64]
    return train(config, folder, where, observer, command, name=name, origin=origin)
