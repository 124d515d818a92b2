"""Trials that have no place yet: what they wait for, said after a while and again."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.tune import Callback

from rayat.orchestration.cluster import capacity
from rayat.planning.placement import amounts, listed

FIRST_S, AGAIN_S = 10.0, 60.0
"""A wait is said after so many seconds, and again after so many more."""
PERIOD_S = 2.0
"""Seconds between two looks at the cluster."""


class Pending(Callback):  # type: ignore[misc]
    """Says what trials wait for; asked in every turn of the loop that runs them.

    Args:
        tell: takes the line. look: returns what is waited for, None if nothing is.
        turn: called in every turn.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        tell: Callable[[str], object] = lambda line: None,
        look: Callable[[], str | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        turn: Callable[[], object] = lambda: None,
    ) -> None:
        self.turn = turn
        self.tell, self.look, self.clock = tell, look or waited_for, clock
        self.since: float | None = None
        self.said: float | None = None
        self._due = float("-inf")

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Let whoever shows the run take a turn, and look if it is time."""
        self.turn()
        self.tick()

    def tick(self) -> None:
        """Look if it is time, and say what is waited for if that is due; never raises."""
        now = self.clock()
        if now < self._due:
            return
        self._due = now + PERIOD_S
        text = None
        # A cluster that does not answer is not this one's to report, and must not end the sweep.
        with contextlib.suppress(Exception):
            text = self.look()
        if text is None:
            if self.said is not None:
                self.tell("what was waited for is there")
            self.since = self.said = None
            return
        if self.since is None:
            self.since = now
        if now - (self.since if self.said is None else self.said) >= (
            FIRST_S if self.said is None else AGAIN_S
        ):
            self.said = now
            self.tell(f"waiting for {text}")


def groups() -> Iterator[Any]:
    """Yield this job's placement groups whose creator lives, as Ray's control service has them."""
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData

    job = ray.get_runtime_context().get_job_id()
    for entry in ray._private.state.state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(entry)
        if group.creator_job_id.hex() == job and group.state != PlacementGroupTableData.REMOVED:
            yield group


def waited_for() -> str | None:
    """Return what this job's trials wait for and what there is, None if all have their places."""
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData

    waiting: list[list[dict[str, float]]] = []
    held: Counter[str] = Counter()
    for group in groups():
        bundles = [dict(b.unit_resources) for b in group.bundles if b.unit_resources]
        if group.state == PlacementGroupTableData.CREATED:
            for bundle in bundles:
                held.update(bundle)
        else:
            waiting.append(bundles)
    if not waiting or not waiting[0]:
        return None
    now = capacity()
    free: Counter[str] = Counter()
    for node in ray._private.state.available_resources_per_node().values():
        free.update(node)
    total = {"CPU": now.cpus, "GPU": now.gpus}
    others = {name: n - free[name] - held[name] for name, n in total.items()}
    return waiting_text(waiting[0], listed(now), others)


def waiting_text(bundles: list[dict[str, float]], there: str, others: dict[str, float]) -> str:
    """Return the sentence: what is wanted, what the nodes have, what others hold."""
    each = amounts(bundles[0])
    want = each if len(bundles) == 1 else f"{len(bundles)} workers of {each} each"
    taken = {name: n for name, n in others.items() if n > 1e-3}
    use = f"{amounts(taken)} in use by others" if taken else "none in use by others"
    return f"{want}: {there}, {use}"
