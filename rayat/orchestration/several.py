"""Several workers per trial: class Trainables that forward the messages of a group of workers."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from ray import tune

from rayat.orchestration.ranks import RankRun, Workers
from rayat.orchestration.shared_data import SharedData
from rayat.orchestration.trainer import TrainerRun
from rayat.planning.placement import Need
from rayat.training.launched import Order, Placement

Launcher = Literal["ranks", "trainer"]


class SeveralWorkers(tune.Trainable):  # type: ignore[misc]
    """Forwards the messages of a run as Tune results."""

    def setup(self, config: dict[str, Any], shared: SharedData) -> None:
        """Start the trial's workers."""
        self._shared = shared
        self._begin(Order(**config["order"]))

    def _begin(self, order: Order) -> None:
        self._epoch = 0
        self._run = self._launch(order)
        self._messages = self._run.messages()

    def _launch(self, order: Order) -> TrainerRun | RankRun:
        raise NotImplementedError

    def step(self) -> dict[str, Any]:
        """Return the next report, or the last one again with `done`.

        What is raised is no error of the trial's own: Tune starts the trial again.
        """
        message = next(self._messages, None)
        if message is None:
            return {"epoch": self._epoch, "done": True}
        self._epoch = message["epoch"]
        return message

    def cleanup(self) -> None:
        """End the workers: their processes and places are gone when it returns."""
        self._run.close()


class NestedTrial(SeveralWorkers):
    """A trial around a `TorchTrainer` of its own.

    It reserves one byte of logical memory and no CPU: the workers reserve the CPUs, and a driver
    that held one could keep them from ever being placed.
    """

    def _launch(self, order: Order) -> TrainerRun:
        # A name of its own, so that it never resumes another's.
        name = f"{order.trial_id}-{uuid.uuid4().hex[:8]}"
        return TrainerRun(order, self._shared, name)


class GroupTrial(SeveralWorkers):
    """A trial whose workers are actors in its own placement group; serves trial after trial."""

    def setup(self, config: dict[str, Any], shared: SharedData) -> None:
        """Start the workers, which stay for the next trial."""
        self._workers = Workers(Need.of(Order(**config["order"]).config))
        super().setup(config, shared)

    def _launch(self, order: Order) -> RankRun:
        return RankRun(order, self._shared, self._workers)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Go on with another trial of the same needs; the workers of the one before are idle."""
        self._run.close()
        self._begin(Order(**new_config["order"]))
        return True

    def cleanup(self) -> None:
        """End the workers' processes."""
        self._workers.kill()


def trainable(shared: SharedData, need: Need, launcher: Launcher, placement: Placement) -> Any:
    """Return the trainable for Tune, with its data references and resources attached."""
    if launcher == "trainer":
        return tune.with_resources(
            tune.with_parameters(NestedTrial, shared=shared),
            tune.PlacementGroupFactory([{"memory": 1}]),
        )
    bundle = {"CPU": need.cpus_per_worker, "GPU": need.gpus_per_worker}
    # An empty head: the trainable itself holds nothing and sits beside worker 0.
    bundles: list[dict[str, float]] = [{}, *[bundle] * need.workers]
    return tune.with_resources(
        tune.with_parameters(GroupTrial, shared=shared),
        tune.PlacementGroupFactory(bundles, strategy=placement.upper()),
    )
