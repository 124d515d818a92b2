"""What a launcher gives to the one training body, `run(config, context)`; it hides Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rayat.data.base import Prepared, Source


class Context(Protocol):
    """A trial's surroundings.

    Attributes:
        rank, world_size: this worker's place; `torch.distributed` is initialised if world_size > 1.
        device: torch device string of this worker.
        folder: the trial's checkpoint folder, on storage that all workers reach.
        reported: the last epoch that the ledger already holds for this trial, 0 at first. A resumed
            trial reports again the stored rows of later epochs, never those up to `reported`.
    """

    rank: int
    world_size: int
    device: str
    folder: Path
    reported: int

    def data(self, source: Source) -> Prepared:
        """Return the prepared data, shared by all trials of the node (arrays may be read-only)."""
        ...

    def report(self, row: Mapping[str, Any]) -> None:
        """Report one epoch; called on every rank with the same reduced row. May not return."""
        ...
