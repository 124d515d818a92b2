"""Trials and studies small enough to train in seconds, and a launcher that keeps reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rayat.config import TrialConfig, merge
from rayat.study import Study

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
        from rayat.data.prepare import prepare  # torch, for those alone who train

        if source not in PREPARED:
            PREPARED[source] = prepare(source)
        return PREPARED[source]

    def report(self, row):
        if row["epoch"] == self.die_at:
            raise SystemExit("killed between checkpoint and report")
        self.rows.append(dict(row))


PREPARED: dict[Any, Any] = {}


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


TINY = {
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 3,
    "batch_size": 64,
    "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
    "lr.peak": 0.1,
    "eval": {"steps": 2, "final_steps": 3, "final_size": 64},
}


@pytest.fixture(scope="session")
def tiny():
    """Return a maker of tiny digits studies: `tiny(name=..., base={...}, space={...})`.

    Each of its trials trains all of its epochs, unless `share=True` is asked for.
    """

    def make(base=None, **fields):
        fields = {"name": "tiny", "seeds": (0,), "share": False, **fields}
        return Study(base=merge(TINY, base or {}), **fields)

    return make
