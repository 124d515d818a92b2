"""Running a set of trials with Ray Tune until each has an end, or the user interrupts."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from rayat.config import TrialConfig
from rayat.ledger.files import checkpoint_folder
from rayat.orchestration import inprocess, several
from rayat.orchestration.orders import Aborted, Orders
from rayat.orchestration.orphans import release_orphans
from rayat.orchestration.overdue import Overdue
from rayat.orchestration.pending import Pending
from rayat.orchestration.scheduler import Errors, Judge, StopAll, directory, our_id
from rayat.orchestration.several import Launcher
from rayat.orchestration.shared_data import SharedData
from rayat.planning.placement import Capacity, Need, concurrency
from rayat.runs.driver import NEVER, Driver, Halts
from rayat.training.launched import COLLECTIVE_TIMEOUT_S, Order, Placement

SCRATCH = ".ray"
"""Where Ray keeps its own files inside a run's folder while it works; removed afterwards."""


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: none of these changes a result.

    Attributes:
        at_once: most trials at the same time; None: as many as the cluster holds.
        fresh_processes: a new process for every trial instead of reused ones.
        max_failures: restarts of one trial after its process died.
        launcher: of trials with several workers: `ranks` (actors in the trial's placement group)
            or `trainer` (Ray Train's `TorchTrainer`).
        placement: of the workers of one trial: on few nodes (`pack`) or on many (`spread`).
        collective_timeout: seconds after which workers that wait for one of them give up and the
            trial starts again from its checkpoint.
        trial_timeout: seconds without a report after which a trial's process is ended, or ten
            median epochs where these are longer; None: it may be silent for ever.
        halts: what ends the sweep in order before all trials have ended.
    """

    at_once: int | None = None
    fresh_processes: bool = False
    max_failures: int = 3
    launcher: Launcher = "ranks"
    placement: Placement = "pack"
    collective_timeout: float = COLLECTIVE_TIMEOUT_S
    trial_timeout: float | None = None
    halts: Halts = NEVER


def execute(
    folder: Path,
    configs: Mapping[str, TrialConfig],
    driver: Driver,
    shared: SharedData,
    capacity: Capacity,
    options: Options,
) -> None:
    """Run every trial of `configs` (by trial id; it may grow) that has no end yet.

    Trials with one worker run first, in reused processes; trials with several workers after them,
    by the launcher of the options. Trials that the policy resumed run where their kind runs. A
    trial that is paused when nothing else is left is ended.

    Raises:
        PlacementError: a trial does not fit; checked before anything starts.
        RayatError: the driver could not go on, such as a full disk; all durable rows are kept.
    """
    needs = {trial_id: Need.of(config) for trial_id, config in configs.items()}
    for need in set(needs.values()):
        concurrency(need, capacity)

    def need_of(trial_id: str) -> Need:
        if trial_id not in needs:  # proposed since
            needs[trial_id] = Need.of(configs[trial_id])
        return needs[trial_id]

    while not driver.interrupted:
        kinds = {need_of(trial_id) for trial_id in driver.ready()}
        if not kinds:
            driver.strand()
            break
        need = min(kinds, key=lambda n: (n.workers, n.cpus, n.gpus))

        def ready(need: Need = need) -> list[str]:
            return [trial_id for trial_id in driver.ready() if need_of(trial_id) == need]

        _fit(folder, configs, need, ready, driver, shared, capacity, options)


def _fit(
    folder: Path,
    configs: Mapping[str, TrialConfig],
    need: Need,
    ready: Callable[[], list[str]],
    driver: Driver,
    shared: SharedData,
    capacity: Capacity,
    options: Options,
) -> None:
    """Run the trials of equal needs through one `Tuner` until none of them can go on."""
    scratch = folder / SCRATCH / uuid.uuid4().hex[:8]
    scratch.mkdir(parents=True)

    def order(trial_id: str) -> dict[str, Any]:
        return Order(
            trial_id=trial_id,
            config_json=configs[trial_id].canonical(),
            folder=str(checkpoint_folder(folder, trial_id)),
            reported=driver.ledger.reported(trial_id),
            scratch=str(scratch / "trainers"),
            max_failures=options.max_failures,
            final_eval=driver.ledger.info["study"]["final_eval"],
            placement=options.placement,
            collective_timeout=options.collective_timeout,
            keep=driver.launch(trial_id),
        ).payload()

    driver.sharing.reset()
    slots = concurrency(need, capacity)
    at_once = min(slots, options.at_once or slots, len(ready()))
    driver.observer.begin(driver, at_once)
    judge = Judge(driver)
    orders = Orders(judge, ready, order)
    callbacks: list[Any] = [
        Errors(judge),
        Aborted(orders, options.max_failures),
        Pending(driver.observer.phase, turn=driver.observer.tick),
    ]
    if options.trial_timeout is not None:
        callbacks.append(Overdue(judge, options.trial_timeout))
    tuner = tune.Tuner(
        several.trainable(shared, need, options.launcher, options.placement)
        if need.workers > 1
        else inprocess.trainable(shared, need),
        tune_config=tune.TuneConfig(
            scheduler=judge,
            search_alg=orders,
            # Also lets as many processes start at once. With Ray's default for a searcher, one, the
            # second process is thrown away, half started, each time a trial of the first one ends.
            max_concurrent_trials=at_once,
            num_samples=-1,
            # An actor around a `TorchTrainer` cannot be reused.
            reuse_actors=not options.fresh_processes
            and (need.workers == 1 or options.launcher == "ranks"),
            trial_name_creator=our_id,
            trial_dirname_creator=directory,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(scratch),
            stop=StopAll(judge),
            callbacks=callbacks,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_at_end=None if need.workers == 1 else False
            ),
        ),
    )

    try:
        tuner.fit()
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        release_orphans()
    if judge.error is not None:
        raise judge.error
