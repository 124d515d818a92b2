"""Make `golden_trace.json`: the loss traces that a change of the engine must not move.

Run from the repository root with `python tests/training/make_golden_trace.py`, and only when the
numbers are meant to change; the commit then says why.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.training.run import run

FILE = Path(__file__).with_name("golden_trace.json")
BASE = {
    "data": {"name": "digits", "train_size": 512, "val_size": 256},
    "model": {"name": "preactresnet", "width": 8, "blocks": [1, 1]},
    "epochs": 3,
    "batch_size": 64,
    "lr": {"shape": "onecycle", "peak": 0.2},
    "attack": {"name": "fgsm-rs", "eps": 0.1},
    "eval": {"steps": 5, "batch_size": 256},
    "seed": 0,
}
STUDY: dict[str, dict[str, Any]] = {
    "fgsm-rs": {},
    "pgd": {"attack": {"name": "pgd", "eps": 0.1, "steps": 5}},
    "pgd-batch": {"attack": {"name": "pgd", "eps": 0.1, "steps": 3, "bn_mode": "batch"}},
    "cnn": {"model": {"name": "cnn", "width": 8}, "attack": {"name": "pgd", "eps": 0.1}},
    "cnn-batch-norm": {"model": {"name": "cnn", "width": 8, "norm": "batch"}},
    "standard": {"attack": {"name": "none", "eps": 0.1}},
}
COLUMNS = ("train_loss", "val_clean_acc", "val_robust_acc", "fwd_passes", "bwd_passes")


class Kept:
    """A `Context` of one worker that keeps its reports."""

    rank, world_size, device, reported = 0, 1, "cpu", 0

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, []

    def data(self, source):
        return prepare(source)

    def report(self, row):
        self.rows.append(dict(row))


def trace(changes: dict[str, Any], folder: Path) -> dict[str, list[float]]:
    """Train one trial of the study and return its columns, one value per epoch."""
    context = Kept(folder)
    run(TrialConfig.parse({**BASE, **changes}), context)
    return {name: [row[name] for row in context.rows] for name in COLUMNS}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        traces = {name: trace(changes, Path(folder) / name) for name, changes in STUDY.items()}
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    target.write_text(json.dumps(traces, indent=1) + "\n")
