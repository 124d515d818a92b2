"""The one look at the test set: best and last checkpoint of every trial, after its training.

A trial that trained to its end in one process evaluates itself there; the others (stopped early,
several workers, interrupted) are evaluated when the sweep is over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import ray

from rayat.config import TrialConfig
from rayat.evaluation.checkpoint import evaluate_checkpoint, final_suites
from rayat.evaluation.evaluator import one_line
from rayat.evaluation.journal import forget
from rayat.evaluation.masking import flagged
from rayat.evaluation.request import CHECKPOINTS
from rayat.ledger.files import checkpoint_folder
from rayat.ledger.writer import Ledger
from rayat.orchestration.shared_data import SharedData
from rayat.own.parts import adopt
from rayat.planning.placement import Capacity, Need, concurrency
from rayat.runs.driver import Driver
from rayat.training import checkpoints
from rayat.training.launched import cuda_device
from rayat.training.process import prepare_process


def checkpoint_rows(
    trial_id: str,
    config: TrialConfig,
    folder: Path,
    shared: SharedData,
    held: Collection[str] = (),
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Evaluate a trial's checkpoints in this process; equal epochs are evaluated once.

    Finished batches are kept in the folder until the rows are durable (`evaluate_trials`).

    Args:
        held: titles of the suites whose rows the ledger has.

    Returns:
        The rows, and why each suite that failed did, by its title: one costs no other's rows.
    """
    failed: dict[str, str] = {}
    prepare_process(config.threads)
    prepared = shared.get(config.data)
    epochs: dict[int, list[dict[str, Any]]] = {}
    result: list[dict[str, Any]] = []
    for name in CHECKPOINTS:
        checkpoint = checkpoints.load(folder, name, config)
        if checkpoint is None:
            continue
        if checkpoint.epoch not in epochs:
            rows = []
            for suite in final_suites(config):
                if suite.title in held or suite.title in failed:
                    continue
                try:
                    row = evaluate_checkpoint(
                        folder, name, config, prepared, "test", cuda_device(), suite, journal=folder
                    )
                except Exception as error:  # whatever a suite or its library raises
                    failed[suite.title] = one_line(error)
                else:
                    rows.append(row)
            epochs[checkpoint.epoch] = flagged(rows)
        result += [
            {**row, "trial_id": trial_id, "checkpoint": name} for row in epochs[checkpoint.epoch]
        ]
    return result, failed


def _evaluate(
    trial_id: str, config_json: str, folder: str, shared: SharedData, held: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    adopt(Path(folder).parents[1], check=False)
    config = TrialConfig.parse(json.loads(config_json))
    return checkpoint_rows(trial_id, config, Path(folder), shared, held)


def missing(ledger: Ledger, configs: Mapping[str, TrialConfig]) -> dict[str, set[str]]:
    """Return the trials that have ended without all of their final suites, with those they have."""
    done: dict[str, set[str]] = {}
    for row in ledger.evaluations():
        done.setdefault(row["trial_id"], set()).add(row["suite"])
    return {
        trial_id: done.get(trial_id, set())
        for trial_id, config in configs.items()
        if ledger.status(trial_id).is_measurable
        and ledger.reported(trial_id)
        and not {suite.title for suite in final_suites(config)} <= done.get(trial_id, set())
    }


def evaluate_trials(
    folder: Path,
    configs: Mapping[str, TrialConfig],
    driver: Driver,
    shared: SharedData,
    capacity: Capacity,
) -> list[str]:
    """Evaluate what is missing, as many trials at once as the cluster holds; each row is durable.

    An evaluation that fails (a damaged checkpoint, say) is an event in the log and the others go
    on: the training's rows are worth more than one test figure.

    Returns:
        A line for each that failed.
    """
    failures: list[str] = []

    def failed(trial_id: str, reason: str, suite: str | None = None) -> None:
        payload = {"trial_id": trial_id, "reason": reason}
        driver.ledger.event("evaluation_failed", payload | ({"suite": suite} if suite else {}))
        line = f"evaluation of {trial_id}{f' by {suite}' if suite else ''} failed: {reason}"
        driver.observer.phase(line)
        failures.append(line)

    todo = missing(driver.ledger, configs)
    for trial_id in set(configs) - set(todo):
        forget(checkpoint_folder(folder, trial_id))
    if not todo:
        return []
    driver.observer.phase(f"evaluating {len(todo)} trials on the test set")
    running: dict[Any, str] = {}
    queue = list(todo)
    at_once = max(1, int(capacity.cpus))
    while (queue or running) and not driver.interrupted:
        while queue and len(running) < at_once:
            trial_id = queue.pop(0)
            config = configs[trial_id]
            single = Need(1, config.cpus_per_worker, config.gpus_per_worker)
            at_once = concurrency(single, capacity)
            task = ray.remote(
                num_cpus=single.cpus_per_worker, num_gpus=single.gpus_per_worker, max_retries=2
            )(_evaluate)
            place = str(checkpoint_folder(folder, trial_id))
            running[task.remote(trial_id, config.canonical(), place, shared, todo[trial_id])] = (
                trial_id
            )
        # A time-out, so that an interrupt is seen while a long evaluation runs.
        ready, _ = ray.wait(list(running), timeout=1.0)
        for reference in ready:
            trial_id = running.pop(reference)
            try:
                rows, broken = ray.get(reference)
            except Exception as error:
                text = str(error).strip().splitlines()
                reason = text[-1] if text else type(error).__name__
                failed(trial_id, reason)
                continue
            for row in rows:
                driver.ledger.evaluation(row)
            for suite, reason in broken.items():
                failed(trial_id, reason, suite)
            forget(checkpoint_folder(folder, trial_id))
            driver.observer.changed(trial_id, "evaluated")
    for reference in running:
        ray.cancel(reference, force=True)
    return failures
