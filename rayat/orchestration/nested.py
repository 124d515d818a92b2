"""Several workers per trial: a class Trainable around a `TorchTrainer`, ended by its `cleanup`."""

from __future__ import annotations

import json
import uuid
from typing import Any

from ray import tune
from ray.exceptions import RayActorError

from rayat.orchestration.contexts import Order, failure
from rayat.orchestration.shared_data import SharedData
from rayat.orchestration.trainer import TrainerRun


class NestedTrial(tune.Trainable):  # type: ignore[misc]
    """Forwards the messages of an inner trainer as Tune results.

    It reserves one byte of logical memory and no CPU: the workers reserve the CPUs, and a driver
    that held one could keep them from ever being placed.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Any:
        """Return the outer trial's own resources."""
        return tune.PlacementGroupFactory([{"memory": 1}])

    def setup(self, config: dict[str, Any], shared: SharedData) -> None:
        """Start the inner trainer under a name of its own, so that it never resumes another's."""
        order = Order(**config["order"])
        self._epoch = 0
        self._run = TrainerRun(order, shared, name=f"{order.trial_id}-{uuid.uuid4().hex[:8]}")
        self._messages = self._run.messages()

    def step(self) -> dict[str, Any]:
        """Return the next report, or the last one again with `done`."""
        try:
            message = next(self._messages, None)
        except RayActorError:
            raise  # the controller died: Tune starts the trial again
        except Exception as error:
            # Train has used up its own restarts: another round of them would fail as well.
            return {"epoch": self._epoch, "message": json.dumps(failure(error))}
        if message is None:
            return {"epoch": self._epoch, "done": True}
        self._epoch = message["epoch"]
        return message

    def cleanup(self) -> None:
        """Abort the inner trainer: workers, placement group and queue are gone when it returns."""
        self._run.close()


def trainable(shared: SharedData) -> Any:
    """Return the trainable for Tune with its data references attached."""
    return tune.with_parameters(NestedTrial, shared=shared)
