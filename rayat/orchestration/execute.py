"""Running a set of trials with Ray Tune until each has an end, or the user interrupts."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray import tune

from rayat.config import TrialConfig
from rayat.orchestration import inprocess, nested
from rayat.orchestration.cluster import Capacity
from rayat.orchestration.contexts import Order
from rayat.orchestration.driver import Driver
from rayat.orchestration.interrupts import interruptible
from rayat.orchestration.placement import Need, concurrency
from rayat.orchestration.scheduler import Errors, Judge, StopAll, our_id
from rayat.orchestration.shared_data import SharedData

SCRATCH = ".ray"
"""Where Ray keeps its own files inside a run's folder while it works; removed afterwards."""


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: none of these changes a result.

    Attributes:
        at_once: most trials at the same time; None: as many as the cluster holds.
        fresh_processes: a new process for every trial instead of reused ones.
        max_failures: restarts of one trial after its process died.
    """

    at_once: int | None = None
    fresh_processes: bool = False
    max_failures: int = 3


def execute(
    folder: Path,
    configs: Mapping[str, TrialConfig],
    driver: Driver,
    shared: SharedData,
    capacity: Capacity,
    options: Options,
) -> None:
    """Run every trial of `configs` (by trial id) that has no end yet.

    Trials with one worker run first, in reused processes; trials with several workers after them,
    each around its own `TorchTrainer`.

    Raises:
        PlacementError: a trial does not fit; checked before anything starts.
        RayatError: the driver could not go on, such as a full disk; all durable rows are kept.
    """
    wanted = [trial_id for trial_id in driver.ledger.unfinished() if trial_id in configs]
    groups: dict[Need, list[str]] = {}
    for trial_id in wanted:
        groups.setdefault(Need.of(configs[trial_id]), []).append(trial_id)
    slots = {need: concurrency(need, capacity) for need in groups}
    for need in sorted(groups, key=lambda n: (n.workers, n.cpus, n.gpus)):
        at_once = min(slots[need], options.at_once or slots[need], len(groups[need]))
        driver.observer.begin(driver, at_once)
        _fit(folder, groups[need], configs, need, driver, shared, at_once, options)
        if driver.interrupted:
            break


def _fit(
    folder: Path,
    trial_ids: Sequence[str],
    configs: Mapping[str, TrialConfig],
    need: Need,
    driver: Driver,
    shared: SharedData,
    at_once: int,
    options: Options,
) -> None:
    """Run trials of equal needs through one `Tuner`."""
    scratch = folder / SCRATCH / uuid.uuid4().hex[:8]
    scratch.mkdir(parents=True)
    several = need.workers > 1
    orders = [
        Order(
            trial_id=trial_id,
            config_json=configs[trial_id].canonical(),
            folder=str(folder / "checkpoints" / trial_id),
            reported=driver.ledger.reported(trial_id),
            scratch=str(scratch / "trainers"),
            max_failures=options.max_failures,
            final_eval=driver.ledger.info["study"]["final_eval"],
        ).payload()
        for trial_id in trial_ids
    ]
    judge, errors = Judge(driver), Errors()
    tuner = tune.Tuner(
        nested.trainable(shared) if several else inprocess.trainable(shared, need),
        # The list is ours, already drawn and ordered: Tune only walks through it.
        param_space={"order": tune.grid_search(orders)},
        tune_config=tune.TuneConfig(
            scheduler=judge,
            max_concurrent_trials=at_once,
            reuse_actors=not several and not options.fresh_processes,
            trial_name_creator=our_id,
            trial_dirname_creator=our_id,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(scratch),
            stop=StopAll(judge),
            callbacks=[errors],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False if several else None),
        ),
    )

    def stop() -> None:
        driver.interrupted = True
        driver.observer.phase("interrupted: stopping the trials; again to leave at once")

    try:
        with interruptible(stop):
            tuner.fit()
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    if judge.error is not None:
        raise judge.error
    driver.settle(trial_ids, errors.reasons)
