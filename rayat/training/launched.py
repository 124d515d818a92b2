"""A trial as a launcher sends it to a process, and its run there, whatever sends it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from rayat.config import TrialConfig
from rayat.data.base import Prepared, Source
from rayat.errors import RayatError
from rayat.own.parts import adopt
from rayat.training.messages import Failed, Report, result
from rayat.training.run import run

Placement = Literal["pack", "spread"]
COLLECTIVE_TIMEOUT_S = 120.0
"""A dead or hung peer ends a collective after this long; torch's default is half an hour."""
START_TIMEOUT_S = 600.0
"""Most that the workers of a trial take to start and meet. Processes that start on a busy machine
are slow, not hung: giving up on them would throw away how far they came, again and again."""


@dataclass(frozen=True)
class Order:
    """What the driver sends to a launcher: one trial to run, as plain values.

    Attributes:
        folder: where the trial keeps its checkpoints. scratch: where Ray Train keeps its own files.
        reported: the last epoch that the ledger holds.
        max_failures: restarts of a worker group after one of its workers died.
        final_eval: whether the trial evaluates its checkpoints on the test set at its end.
        placement: of several workers: on few nodes or on many.
        collective_timeout: seconds after which workers that wait for one of them give up.
        keep: epochs after which its state is kept for other trials, with its key.
    """

    trial_id: str
    config_json: str
    folder: str
    reported: int
    scratch: str
    max_failures: int
    final_eval: bool
    placement: Placement = "pack"
    collective_timeout: float = COLLECTIVE_TIMEOUT_S
    keep: Mapping[int, str] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """Return the mapping that travels through Ray."""
        return dict(vars(self))

    @property
    def config(self) -> TrialConfig:
        """Return the trial's configuration; its own parts come from the run's folder."""
        adopt(Path(self.folder).parents[1], check=False)
        return TrialConfig.parse(json.loads(self.config_json))


class Shared(Protocol):
    """Where the prepared data of a node is."""

    def get(self, source: Source) -> Prepared:
        """Return the node's copy of a source's data."""


@dataclass
class LauncherContext:
    """A `training.context.Context` over any way of sending a message to the driver.

    `start` changes when the trial is started again (`messages.Report`).
    """

    send: Callable[[dict[str, Any]], None]
    shared: Shared
    folder: Path
    reported: int
    rank: int = 0
    world_size: int = 1
    device: str = "cpu"
    start: str = field(
        default_factory=lambda: f"{os.uname().nodename}:{os.getpid()}:{uuid.uuid4()}"
    )

    def data(self, source: Source) -> Prepared:
        """Return the node's shared copy of the prepared data."""
        return self.shared.get(source)

    def report(self, row: Mapping[str, Any]) -> None:
        """Send one epoch's row."""
        self.send(result(Report(dict(row), self.start, self.device), row["epoch"]))


def perform(order: Order, context: LauncherContext) -> bool:
    """Run the trial and return whether it went through; its own errors are reported, not raised.

    A deterministic error would only fail again, so it must not count as a lost worker: it ends the
    trial as `failed` with its text. `SystemExit` (Tune's stop) passes through.
    """
    try:
        if context.world_size > 1:
            limit_collectives(order.collective_timeout)
        run(order.config, context, order.keep)
    except Exception as error:
        if context.world_size > 1 and not isinstance(error, RayatError | ValueError | TypeError):
            raise  # a collective that lost its peer looks like any RuntimeError: let Train restart
        context.send(result(Failed(failure(error), context.device)))
        return False
    return True


def limit_collectives(seconds: float) -> None:
    """Let the collectives of the workers, which have met by now, give up after `seconds`."""
    from torch.distributed import distributed_c10d

    # Public since torch 2.15.
    name = "set_timeout" if hasattr(distributed_c10d, "set_timeout") else "_set_pg_timeout"
    getattr(distributed_c10d, name)(timedelta(seconds=seconds))


def failure(error: BaseException) -> str:
    """Return why a trial failed: the error's type and its first line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".strip(": ")


def cuda_device() -> str:
    """Return the device Ray gave to this worker."""
    import torch

    return "cuda" if torch.cuda.is_available() and os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu"
