"""A trial small enough to train in a second, and a launcher that keeps reports in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from rayat.config import TrialConfig
from rayat.data.prepare import prepare

SMALL = {
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 4,
    "batch_size": 64,
    "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
    "lr.peak": 0.1,
    "eval": {"steps": 2, "final_steps": 3, "final_size": 64, "batch_size": 40},
}


@dataclass
class MemoryContext:
    """A `Context` of one worker; `die_at` is an epoch whose report never arrives."""

    folder: Path
    reported: int = 0
    die_at: int | None = None
    rank: int = 0
    world_size: int = 1
    device: str = "cpu"
    rows: list[dict[str, Any]] = field(default_factory=list)

    def data(self, source):
        if source not in PREPARED:
            PREPARED[source] = prepare(source)
        return PREPARED[source]

    def report(self, row):
        if row["epoch"] == self.die_at:
            raise SystemExit("killed between checkpoint and report")
        self.rows.append(dict(row))


PREPARED: dict[Any, Any] = {}


@pytest.fixture(autouse=True)
def process_settings():
    """Put back what `prepare_process` sets for good."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def small():
    """Return a maker of small trials: `small(epochs=2, **{"attack.steps": 3})`."""

    def make(**changes: Any) -> TrialConfig:
        return TrialConfig.parse(SMALL).replace(changes)

    return make


@pytest.fixture
def launch(tmp_path):
    """Return a maker of contexts: `launch("a")` twice is the same trial started again."""

    def make(name: str = "trial", **fields: Any) -> MemoryContext:
        return MemoryContext(tmp_path / name, **fields)

    return make


@pytest.fixture
def timeless():
    """Return a function that drops what may differ between equal runs: the seconds."""

    def drop(rows):
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]

    return drop
