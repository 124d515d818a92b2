"""Resource arithmetic: what a trial needs, how many fit at once, and a refusal before the start."""

from __future__ import annotations

import math
from dataclasses import dataclass

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from rayat.config import TrialConfig
from rayat.errors import PlacementError
from rayat.orchestration.cluster import Capacity


@dataclass(frozen=True)
class Need:
    """What one trial holds while it runs."""

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float

    @classmethod
    def of(cls, config: TrialConfig) -> Need:
        """Return what `config` asks for."""
        return cls(config.workers, config.cpus_per_worker, config.gpus_per_worker)

    @property
    def cpus(self) -> float:
        """Return the CPUs of all workers."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """Return the GPUs of all workers."""
        return self.workers * self.gpus_per_worker


def concurrency(need: Need, capacity: Capacity) -> int:
    """Return how many such trials the cluster holds at once, at least 1.

    Raises:
        PlacementError: not even one fits; the text says what is short and what there is.
    """
    short = (
        ("CPU", need.cpus_per_worker, need.cpus, capacity.largest_cpus, capacity.cpus),
        ("GPU", need.gpus_per_worker, need.gpus, capacity.largest_gpus, capacity.gpus),
    )
    for name, each, total, largest, have in short:
        if each > largest:
            raise PlacementError(
                f"a worker needs {each:g} {name}s but the largest node has {largest:g}: "
                f"lower {name.lower()}s_per_worker or join a larger cluster with --address"
            )
        if total > have:
            raise PlacementError(
                f"a trial needs {need.workers} workers x {each:g} = {total:g} {name}s "
                f"but the cluster has {have:g}: lower workers or join a larger cluster"
            )
    slots = [math.floor(capacity.cpus / need.cpus + 1e-9)]
    if need.gpus > 0:
        slots.append(math.floor(capacity.gpus / need.gpus + 1e-9))
    return max(1, min(slots))


def release_orphans() -> None:
    """Remove the placement groups whose creator, a trainer's controller, has died.

    Ray 2.60 keeps such a group, and its CPUs, for the rest of the driver's life, so a trial that
    starts again would wait for ever for the place that its own first start still holds. Without the
    dashboard Ray's own cleaner finds nothing.
    """
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData

    job = ray.get_runtime_context().get_job_id()
    for entry in ray._private.state.state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(entry)
        if group.creator_job_id.hex() != job or group.state == PlacementGroupTableData.REMOVED:
            continue
        # What the driver itself made has no creator, which Ray calls dead.
        if group.creator_actor_dead and not ray.ActorID(group.creator_actor_id).is_nil():
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
