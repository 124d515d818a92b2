"""Several workers: the training body in a Ray Train `TorchTrainer`, its reports in a queue."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue

from rayat.host.ray_settings import settle
from rayat.orchestration.faults import Fault
from rayat.orchestration.orphans import release_orphans
from rayat.orchestration.shared_data import SharedData
from rayat.planning.placement import Need
from rayat.training.launched import (
    COLLECTIVE_TIMEOUT_S,
    START_TIMEOUT_S,
    LauncherContext,
    Order,
    cuda_device,
    perform,
)

HEALTH_CHECK_LEAST_S = 10.0
"""A worker answers its controller between two operations of torch, some of which are long."""


def worker_loop(settings: dict[str, Any]) -> None:
    """Run the trial on one rank; every rank reports equally often, rank 0's report counts."""
    order = Order(**settings["order"])
    here = ray.train.get_context()
    context = LauncherContext(
        send=ray.train.report,
        shared=settings["shared"],
        folder=Path(order.folder),
        reported=order.reported,
        rank=here.get_world_rank(),
        world_size=here.get_world_size(),
        device=cuda_device(),
    )
    perform(order, context)


class Forward(UserCallback):  # type: ignore[misc]
    """Puts rank 0's messages into a queue that the launcher reads; lives in the controller."""

    def __init__(self, queue: Queue, restarts: int) -> None:
        self.queue, self.restarts = queue, restarts
        self.epoch = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come into the controller, which learns here how long it waits for a hung worker."""
        settle()
        self.__dict__.update(state)

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        """Forward the message of rank 0."""
        self.queue.put(metrics[0])
        self.epoch = metrics[0]["epoch"]

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Say why the workers start again; the last time is the launcher's to say."""
        fault = fault_of(worker_exceptions)
        if self.restarts > 0:
            self.queue.put(fault.message(self.epoch, final=False))
        self.restarts -= 1


def fault_of(errors: dict[int, Exception]) -> Fault:
    """Return what the workers' errors, by rank, come from."""
    return Fault.worst(Fault.of(rank, error) for rank, error in errors.items())


def ended(error: BaseException) -> Fault:
    """Return why a trainer gave up."""
    failures = getattr(error, "worker_failures", None)
    return fault_of(failures) if failures else Fault.of(0, error)


class AbortableTrainer(TorchTrainer):  # type: ignore[misc]
    """A `TorchTrainer` that keeps its controller's handle, so that a stopped trial can end it.

    Its workers also meet at every report, where Ray Train waits without end for one that hangs, and
    its controller asks each worker how it does, by default for ten minutes: `patience` limits both.

    Without this a stopped trial leaks the inner placement group and its CPUs (Ray 2.60 cleans up
    only when the dashboard's State API runs); its cleaner, a process for every trainer, is left
    out, and so is the manager of Ray Data's datasets, a process for every start of the workers,
    which read arrays of their own. `tests/orchestration/test_several.py` watches these private
    hooks of Ray.
    """

    controller: Any = None
    patience: float = COLLECTIVE_TIMEOUT_S

    def _initialize_and_run_controller(self, **kwargs: Any) -> Any:
        from ray.train.v2._internal.constants import get_env_vars_to_propagate
        from ray.train.v2._internal.execution.controller import TrainController

        node = {ray._raylet.RAY_NODE_ID_KEY: ray.get_runtime_context().get_node_id()}
        environment = get_env_vars_to_propagate()
        environment.setdefault("RAY_WARN_BLOCKING_GET_INSIDE_ASYNC", "0")
        environment["RAY_TRAIN_COLLECTIVE_TIMEOUT_S"] = str(self.patience)
        health = max(self.patience, HEALTH_CHECK_LEAST_S)
        environment["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(health)
        self.controller = ray.remote(
            num_cpus=0, label_selector=node, runtime_env={"env_vars": environment}
        )(TrainController).remote(**kwargs)
        ray.get(self.controller.run.remote())
        return ray.get(self.controller.get_result.remote())

    def _create_default_callbacks(self) -> list[Any]:
        from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
        from ray.train.v2._internal.callbacks.placement_group_callback import (
            PlacementGroupCleanerCallback,
        )

        unused = (DatasetsCallback, PlacementGroupCleanerCallback)
        found = super()._create_default_callbacks()
        return [each for each in found if not isinstance(each, unused)]


class TrainerRun:
    """One `TorchTrainer.fit()` in a thread, read as a stream of messages.

    Args:
        order: the trial, whose configuration says how many workers. shared: the data references.
        name: of the inner run, never used before: Ray Train silently resumes a known name.
    """

    def __init__(self, order: Order, shared: SharedData, name: str) -> None:
        need = Need.of(order.config)
        self.queue = Queue(actor_options={"num_cpus": 0})
        resources = {"CPU": need.cpus_per_worker}
        if need.gpus_per_worker:
            resources["GPU"] = need.gpus_per_worker
        on_gpu = need.gpus_per_worker > 0
        self.trainer = AbortableTrainer(
            worker_loop,
            train_loop_config={"order": asdict(order), "shared": shared},
            scaling_config=ScalingConfig(
                num_workers=need.workers,
                use_gpu=on_gpu,
                resources_per_worker=resources,
                placement_strategy=order.placement.upper(),
            ),
            torch_config=TorchConfig(
                # For meeting; `perform` sets what holds for the collectives.
                backend="nccl" if on_gpu else "gloo",
                timeout_s=math.ceil(START_TIMEOUT_S),
            ),
            run_config=RunConfig(
                name=name,
                storage_path=order.scratch,
                callbacks=[Forward(self.queue, order.max_failures)],
                failure_config=FailureConfig(max_failures=order.max_failures),
            ),
        )
        self.trainer.patience = order.collective_timeout
        self.error: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._fit, daemon=True)
        self._thread.start()

    def _fit(self) -> None:
        try:
            self.trainer.fit()
        except BaseException as error:
            self.error = error
        finally:
            self._done.set()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield messages until the training has ended and all were read.

        Raises:
            RayActorError: the trainer's controller died; a new trainer may go on.
        """
        epoch = 0
        while True:
            try:
                message = self.queue.get(timeout=0.2)
            except Empty:
                if not self._done.is_set():
                    if epoch == 0:
                        release_orphans()  # of a trainer before this one, whose place it needs
                elif self.queue.empty():
                    if isinstance(self.error, RayActorError):
                        raise self.error from None
                    if self.error is not None:
                        # Train has used up its restarts: another round of them fails as well.
                        yield ended(self.error).message(epoch, final=True)
                    return
            else:
                epoch = message["epoch"]
                yield message

    def close(self) -> None:
        """End the training if it still runs, and give every resource back."""
        controller = self.trainer.controller
        if not self._done.is_set() and controller is not None:
            try:
                ray.get(controller.abort.remote(), timeout=60)
            except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
                ray.kill(controller)
        self._thread.join(timeout=10)
        self.queue.shutdown()
