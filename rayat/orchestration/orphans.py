"""Placement groups that nobody holds any more."""

from __future__ import annotations

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group


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
