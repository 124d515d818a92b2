"""Runs of known content for claims: tables with the ledger's schema, as the reader gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rayat.ledger.reader import Run
from rayat.ledger.schema import DECISIONS, EPOCHS, EVALS, TRIALS

EPOCHS_RUN = 4


class Runs:
    """Collects arms of three seeds; `build` returns what reading their ledger would give."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {"trials": [], "epochs": [], "evals": []}

    def arm(
        self,
        name: str,
        passes: int = 1000,
        robust: Sequence[float] = (0.5, 0.5, 0.5),
        reached: Sequence[int | None] = (2, 2, 2),
        statuses: Sequence[str] = ("finished",) * 3,
        columns: dict[str, Any] | None = None,
        last: float | None = None,
    ) -> Runs:
        """Add an arm: passes an epoch, test accuracy, and the epoch that reaches 0.5, by seed."""
        for seed, (accuracy, at, status) in enumerate(zip(robust, reached, statuses, strict=True)):
            trial = f"{name}-s{seed}"
            self.tables["trials"].append(
                {
                    "trial_id": trial,
                    "trial_index": len(self.tables["trials"]),
                    "arm": f"arm={name}",
                    "config_id": name,
                    "config_json": "{}",
                    "seed": seed,
                    "status": status,
                    "epochs_run": EPOCHS_RUN,
                    "best_epoch": EPOCHS_RUN,
                    "best_value": accuracy + 0.05,
                    "fwd_passes": passes,
                }
            )
            for epoch in range(1, EPOCHS_RUN + 1):
                self.tables["epochs"].append(
                    {
                        "trial_id": trial,
                        "epoch": epoch,
                        "val_robust_acc": accuracy + 0.05 if at and epoch >= at else 0.1,
                        "val_clean_acc": 0.9,
                        "fwd_passes": passes // 2,
                        "bwd_passes": passes // 2,
                        "passes_cum": passes * epoch,
                        "seconds_cum": 2.0 * epoch,
                        **(columns or {}),
                    }
                )
            for checkpoint in ("best", "last"):
                value = last if checkpoint == "last" and last is not None else accuracy
                self.tables["evals"].append(
                    {
                        "trial_id": trial,
                        "checkpoint": checkpoint,
                        "suite": "autoattack",
                        "split": "test",
                        "clean_acc": 0.9,
                        "robust_acc": value,
                    }
                )
        return self

    def build(self, tested: bool = True) -> Run:
        study = {"name": "known", "metric": "val_robust_acc", "target": 0.5, "baseline": "arm=full"}
        info = {"study": study, "metric": "val_robust_acc", "data": [{"name": "digits"}]}
        evals = self.tables["evals"] if tested else []
        return Run(
            Path("runs/known"),
            info,
            _frame(self.tables["trials"], TRIALS),
            _frame(self.tables["epochs"], EPOCHS),
            _frame([], DECISIONS),
            _frame(evals, EVALS),
        )


def _frame(rows: list[dict[str, Any]], schema: pa.Schema) -> Any:
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.table(columns, schema=schema).to_pandas()


@pytest.fixture
def runs() -> Runs:
    return Runs()
