"""Several workers as actors in the trial's own placement group, with no trainer around them.

A `TorchTrainer` starts a controller and helpers for every trial; here a trial starts its workers
and nothing else, and hands them to the next trial when it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import socket
import threading
import time
from collections.abc import Collection, Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rayat.orchestration.faults import Fault, NodeLost
from rayat.orchestration.shared_data import SharedData
from rayat.planning.placement import Need
from rayat.training.launched import (
    START_TIMEOUT_S,
    LauncherContext,
    Order,
    cuda_device,
    perform,
)
from rayat.training.messages import Failed, parse

LOOK_S = 5
"""How often the place of workers that have not started yet is looked at."""
GRACE_S = 5
"""After a worker's error the others may take this long to say what they know: Ray needs some
seconds to notice that a node is gone."""
STOP_S = 2
"""A stopped trial's workers end at their next report, or are killed after this long."""
KILL_TIMEOUT_S = 10
"""Most that a killed worker takes to go."""
THREADS = 3
"""Of a worker's actor: one trains, one hands out messages, one listens for a stop."""

Place = tuple[str, int]
"""Host and port at which the workers of a trial meet."""


class Rank:
    """One worker, in a process of its own that serves one trial after another."""

    def __init__(self) -> None:
        self._messages: queue.Queue[dict[str, Any] | Fault | None] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        self._store: Any = None
        self._last: dict[str, Any] = {}

    def meet(self, rank: int, world_size: int) -> Place | None:
        """Get ready for a trial; worker 0 opens the store at which all meet and returns where."""
        self._messages = queue.Queue(maxsize=1)
        self._stopped.clear()
        if rank > 0:
            return None
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        # On the node's own address: on a local Ray that is loopback. By itself torch listens on
        # every interface.
        host = ray.util.get_node_ip_address()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        port = listener.getsockname()[1]
        self._store = TCPStore(
            host,
            port,
            world_size,
            is_master=True,
            wait_for_workers=False,
            timeout=timedelta(seconds=START_TIMEOUT_S),
            master_listen_fd=listener.detach(),
        )
        return host, port

    def run(
        self, order: Order, shared: SharedData, rank: int, world_size: int, place: Place
    ) -> Fault | None:
        """Train the trial on this worker; return what ended it early."""
        import torch.distributed as dist
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        device = cuda_device()
        context = LauncherContext(
            send=self._send if rank == 0 else self._keep,
            shared=shared,
            folder=Path(order.folder),
            reported=order.reported,
            rank=rank,
            world_size=world_size,
            device=device,
        )
        # For meeting; `perform` sets what holds for the collectives.
        timeout = timedelta(seconds=START_TIMEOUT_S)
        try:
            dist.init_process_group(
                "nccl" if device == "cuda" else "gloo",
                store=self._store or TCPStore(*place, world_size, timeout=timeout),
                rank=rank,
                world_size=world_size,
                timeout=timeout,
            )
            went_through = perform(order, context)
        except SystemExit:
            return None
        except Exception as error:
            fault = Fault.of(rank, error)
            with contextlib.suppress(queue.Full):
                self._messages.put_nowait(fault)  # for one who waits in `take`
            return fault
        finally:
            # Closes the connections: workers that wait for this one learn that it is gone.
            if dist.is_initialized():
                dist.destroy_process_group()
            self._store = None
        if rank == 0:
            self._messages.put(None)
        elif not went_through:
            told = parse(self._last["message"])
            if isinstance(told, Failed):
                return Fault("failed", told.reason)
        return None

    def take(self) -> dict[str, Any] | Fault | None:
        """Return worker 0's next message, None after the last, or what ended it early."""
        return self._messages.get()

    def stop(self) -> None:
        """End the trial at the next report."""
        self._stopped.set()
        with contextlib.suppress(queue.Empty):
            self._messages.get_nowait()  # makes room for the one that waits

    def _send(self, message: dict[str, Any]) -> None:
        """Hand a message on; waits while the one before was not taken."""
        self._messages.put(message)
        if self._stopped.is_set():
            raise SystemExit

    def _keep(self, message: dict[str, Any]) -> None:
        """Keep the message: worker 0 sends the same, unless this worker alone failed."""
        if self._stopped.is_set():
            raise SystemExit
        self._last = message


class Workers:
    """The workers of a placement group, started when they are first needed.

    Args:
        need: how many, and what each holds; bundle i of the current group is worker i's.
    """

    def __init__(self, need: Need) -> None:
        self.need = need
        self._group = ray.util.get_current_placement_group()
        self._actors: dict[int, Any] = {}

    def actors(self) -> list[Any]:
        """Return a handle for every worker, in the order of their ranks."""
        for rank in range(self.need.workers):
            if rank not in self._actors:
                self._actors[rank] = ray.remote(
                    num_cpus=self.need.cpus_per_worker,
                    num_gpus=self.need.gpus_per_worker,
                    max_concurrency=THREADS,
                    scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, rank),
                )(Rank).remote()
        return [self._actors[rank] for rank in range(self.need.workers)]

    def started(self, answers: list[Any]) -> Fault | None:
        """Wait until all workers have answered, in whatever way; return what they wait for in vain.

        A group that has lost a node is placed again where there is room, which may be nowhere.
        """
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            _, late = ray.wait(answers, num_returns=len(answers), timeout=LOOK_S)
            if not late:
                return None
            state = ray.util.placement_group_table(self._group)["state"]
            if state != "CREATED":
                return Fault("node", f"a node of the workers is gone: their place is {state}")
            if time.monotonic() > end:
                return Fault("node", f"not all workers started within {START_TIMEOUT_S:g} s")

    def kill(self, but: Collection[int] = ()) -> None:
        """End the workers' processes, but those of some ranks; return when they are gone."""
        actors = [self._actors.pop(rank) for rank in list(self._actors) if rank not in but]
        for actor in actors:
            ray.kill(actor)
        if actors:
            gone = [actor.stop.remote() for actor in actors]
            ray.wait(gone, num_returns=len(gone), timeout=KILL_TIMEOUT_S)


class RankRun:
    """One trial on a group of workers, read as a stream of messages.

    Args:
        order: the trial. shared: the data references. workers: idle, or not started yet.
    """

    def __init__(self, order: Order, shared: SharedData, workers: Workers) -> None:
        self._order, self._shared, self._workers = order, shared, workers
        self._reported = order.reported
        self._runs: dict[Any, int] = {}
        self._cut: set[int] = set()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield messages until the trial has ended; a fault starts the workers again.

        They go on from the last checkpoint, at most `max_failures` times.

        Raises:
            NodeLost: the group has lost a node; only another group can go on.
        """
        for restart in range(self._order.max_failures + 1):
            fault = yield from self._train()
            if fault is None:
                return
            self._runs = {}
            # One that only lost its connection is as good as new.
            self._workers.kill(but=self._cut)
            if fault.kind == "node":
                raise NodeLost(fault.text)
            final = fault.kind == "failed" or restart == self._order.max_failures
            yield fault.message(self._reported, final)
            if final:
                return

    def close(self) -> None:
        """Stop the trial where it still runs; the workers stay if they stop soon."""
        if not self._runs:
            return
        for actor in self._workers.actors():
            actor.stop.remote()
        ended, late = ray.wait(list(self._runs), num_returns=len(self._runs), timeout=STOP_S)
        faults = [self._end(run) for run in ended]
        self._runs = {}
        if late or any(fault is not None and fault.kind != "cut" for fault in faults):
            self._workers.kill()

    def _train(self) -> Generator[dict[str, Any], None, Fault | None]:
        """Yield the messages of one start of the workers; return what ended it early."""
        actors = self._workers.actors()
        size = len(actors)
        self._cut = set()
        meet = [actor.meet.remote(rank, size) for rank, actor in enumerate(actors)]
        fault = self._workers.started(meet)
        if fault is not None:
            return fault
        places = []
        for rank, answer in enumerate(meet):
            try:
                places.append(ray.get(answer))
            except RayActorError as error:
                return Fault.of(rank, error)
        order = dataclasses.replace(self._order, reported=self._reported)
        self._runs = {
            actor.run.remote(order, self._shared, rank, size, places[0]): rank
            for rank, actor in enumerate(actors)
        }
        message = actors[0].take.remote()
        while True:
            (ready,), _ = ray.wait([message, *self._runs], num_returns=1)
            if ready != message:
                fault = self._end(ready)
                if fault is not None:
                    return self._worst(fault)
                continue
            try:
                content = ray.get(message)
            except RayActorError as error:
                content = Fault.of(0, error)
            if content is None:
                break
            if isinstance(content, Fault):
                return self._worst(content)
            yield content
            self._reported = max(self._reported, content["epoch"])
            message = actors[0].take.remote()
        # Every epoch is reported: nothing that happens to the others now matters.
        self.close()
        return None

    def _end(self, run: Any) -> Fault | None:
        rank = self._runs.pop(run)
        try:
            fault: Fault | None = ray.get(run)
        except Exception as error:
            return Fault.of(rank, error)
        if fault is not None and fault.kind == "cut":
            self._cut.add(rank)
        return fault

    def _worst(self, fault: Fault) -> Fault:
        """Return what explains `fault`, once the other workers have said what they know."""
        faults = [fault]
        if fault.kind not in ("failed", "node"):
            runs = list(self._runs)
            ended, _ = ray.wait(runs, num_returns=len(runs), timeout=GRACE_S) if runs else ([], [])
            faults += [found for found in map(self._end, ended) if found is not None]
        worst = Fault.worst(faults)
        if worst.kind == "hung" and self._runs:
            silent = " and ".join(str(rank) for rank in sorted(self._runs.values()))
            return Fault(
                "hung",
                f"worker {silent} did not answer within {self._order.collective_timeout:g} s",
            )
        return worst
