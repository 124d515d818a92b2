"""A trial's surroundings without a launcher: its rows stay in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayat.data.base import Prepared, Source
from rayat.data.prepare import prepare


class PlainContext:
    """A `training.context.Context` of one worker in this process.

    Attributes:
        rows: what was reported. prepared_seconds, report_seconds: spent in `data` and in `report`.
        first_report_at: when the first report came, by `time.perf_counter`.

    Args:
        folder: for checkpoints. device: of the training.
        send: called with every row, as a launcher would; None: nothing more is done with it.
    """

    rank, world_size, reported = 0, 1, 0

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        send: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> None:
        self.folder, self.device, self.send = folder, device, send
        self.rows: list[dict[str, Any]] = []
        self.prepared_seconds = self.report_seconds = self.first_report_at = 0.0

    def data(self, source: Source) -> Prepared:
        """Return the prepared data."""
        began = time.perf_counter()
        prepared = prepare(source)
        self.prepared_seconds += time.perf_counter() - began
        return prepared

    def report(self, row: Mapping[str, Any]) -> None:
        """Keep the row and pass it on."""
        began = time.perf_counter()
        self.first_report_at = self.first_report_at or began
        self.rows.append(dict(row))
        if self.send is not None:
            self.send(row)
        self.report_seconds += time.perf_counter() - began
