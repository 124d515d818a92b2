"""The finished batches of an evaluation on disk, so that an interrupted one goes on behind them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = ".evaluating-"


class Journal:
    """One file of JSON lines, one a batch; its name says what was evaluated, to the weight.

    A line that a crash cut short counts as absent and is written again.

    Args:
        folder: where the file lies; made if absent. what: everything the counts depend on, as JSON
            values; other values are another file.
    """

    def __init__(self, folder: Path, what: Mapping[str, Any]) -> None:
        text = json.dumps(what, sort_keys=True, allow_nan=False)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"

    def finished(self) -> dict[int, dict[str, Any]]:
        """Return the counts of the batches that are done, by their place."""
        if not self.path.exists():
            return {}
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        rows = map(json.loads, whole.splitlines())
        return {row.pop("batch"): row for row in rows}

    def add(self, batch: int, counts: Mapping[str, Any]) -> None:
        """Make the counts of one batch durable."""
        with open(self.path, "ab") as file:
            file.write(json.dumps({"batch": batch, **counts}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def forget(folder: Path) -> None:
    """Remove the journals in a folder: what they led to is durable elsewhere."""
    for path in folder.glob(f"{PREFIX}*.jsonl"):
        path.unlink(missing_ok=True)
