"""Runs of known content: tables built with the ledger's own schema, as the reader gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rayat.ledger.reader import Run
from rayat.ledger.schema import DECISIONS, EPOCHS, EVALS, TRIALS

START = "2026-01-01T00:00:00Z"


class RunBuilder:
    """Collects trials; `build` returns the `Run` that reading their ledger would give."""

    def __init__(self) -> None:
        self.trials: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.evals: list[dict[str, Any]] = []
        self.decisions: list[dict[str, Any]] = []

    def trial(
        self,
        arm: str,
        seed: int,
        values: list[float | None],
        *,
        passes: int = 1000,
        seconds: float = 2.0,
        status: str = "finished",
        reason: str | None = None,
        config: str | None = None,
        cfg: dict[str, Any] | None = None,
        test: tuple[float, float] | None = None,
        rates: list[float] | None = None,
    ) -> str:
        """Add a trial whose metric is `values`, one an epoch; `test` is (clean, robust)."""
        index = len(self.trials)
        trial_id = f"{index:04d}-s{seed}"
        finite = [(v, e) for e, v in enumerate(values, 1) if v is not None and np.isfinite(v)]
        best = max(finite, key=lambda pair: (pair[0], -pair[1]), default=None)
        self.trials.append(
            {
                "trial_id": trial_id,
                "trial_index": index,
                "arm": arm,
                "config_id": config or arm,
                "config_json": json.dumps({"arm": arm, "seed": seed, **(cfg or {})}),
                "seed": seed,
                "status": status,
                "stop_reason": reason,
                "epochs_planned": max(len(values), 1),
                "epochs_run": len(values),
                "attempts": 1,
                "best_epoch": best[1] if best else None,
                "best_value": best[0] if best else None,
                "last_value": values[-1] if values else None,
                "selected_on": "val" if best else "none",
                "seconds": seconds * len(values),
                "fwd_passes": passes * len(values),
                **{f"cfg.{key}": value for key, value in (cfg or {}).items()},
            }
        )
        for epoch, value in enumerate(values, 1):
            self.epochs.append(
                {
                    "trial_id": trial_id,
                    "epoch": epoch,
                    "attempt": 1,
                    "lr": rates[epoch - 1] if rates else 0.1,
                    "val_robust_acc": value,
                    "val_clean_acc": None if value is None else min(1.0, value + 0.2),
                    "passes_cum": passes * epoch,
                    "seconds_cum": seconds * epoch,
                }
            )
        if test is not None:
            for checkpoint in ("best", "last"):
                self.evaluation(trial_id, checkpoint, "pgd-20", *test)
        return trial_id

    def arm(self, arm: str, curves: list[list[float | None]], **fields: Any) -> RunBuilder:
        """Add one trial per curve, seeds 0, 1, ..."""
        for seed, values in enumerate(curves):
            self.trial(arm, seed, values, **fields)
        return self

    def evaluation(
        self, trial_id: str, checkpoint: str, suite: str, clean: float, robust: float
    ) -> None:
        """Add a row of the test set's evaluation."""
        self.evals.append(
            {
                "trial_id": trial_id,
                "checkpoint": checkpoint,
                "suite": suite,
                "split": "test",
                "clean_acc": clean,
                "robust_acc": robust,
            }
        )

    def decision(self, trial_id: str, epoch: int, sentence: str) -> None:
        """Add a stop."""
        self.decisions.append(
            {
                "position": len(self.decisions),
                "trial_id": trial_id,
                "epoch": epoch,
                "action": "stop",
                "rule": "median",
                "sentence": sentence,
                "evidence_json": "{}",
            }
        )

    def build(self, folder: Path = Path("runs/known"), **study: Any) -> Run:
        """Return the run; `study` overrides fields of its description."""
        tree = {
            "name": "known",
            "metric": "val_robust_acc",
            "target": 0.5,
            "baseline": "lr.shape=constant",
            "seeds": [0, 1, 2],
            "nuisance": [],
            "protocol": "honest",
            **study,
        }
        info = {
            "study": tree,
            "metric": tree["metric"],
            "command": ["rayat", "run", "known.py"],
            "environment": {"rayat": "0.1", "packages": {"numpy": "2.0"}},
            "created_at": START,
        }
        extra = sorted({key for row in self.trials for key in row if key.startswith("cfg.")})
        trials = _frame(self.trials, TRIALS)
        for key in extra:
            trials[key] = [row.get(key) for row in self.trials]
        return Run(
            folder,
            info,
            trials,
            _frame(self.epochs, EPOCHS),
            _frame(self.decisions, DECISIONS),
            _frame(self.evals, EVALS),
        )


def _frame(rows: list[dict[str, Any]], schema: pa.Schema) -> Any:
    # Non-finite numbers never enter a ledger; the tests' NaN stays one on purpose.
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in schema]
    return pa.table(columns, schema=schema).to_pandas()


@pytest.fixture
def builder() -> RunBuilder:
    return RunBuilder()


@pytest.fixture
def make_run() -> type[RunBuilder]:
    """Return what makes builders, for tests of several runs."""
    return RunBuilder


@pytest.fixture
def known(builder: RunBuilder) -> Run:
    """Constant reaches 0.5 at epoch 8, cyclic at 4, in every seed; cosine never does."""
    for seed in range(3):
        late, early = [0.1] * 7 + [0.6, 0.6], [0.1] * 3 + [0.6, 0.61]
        builder.trial("lr.shape=constant", seed, late, test=(0.9, 0.55))
        builder.trial("lr.shape=cyclic", seed, early, test=(0.9, 0.56))
        builder.trial("lr.shape=cosine", seed, [0.1] * 9, test=(0.9, 0.3))
    return builder.build()


@pytest.fixture
def busy(builder: RunBuilder) -> Run:
    """Nine shapes, noise, stops, a divergence and a collapse: what a real study looks like."""
    random = np.random.default_rng(0)
    shapes = ["constant", "piecewise", "linear", "cosine", "cyclic", "onecycle", "accelat"]
    for number, shape in enumerate(shapes):
        for seed in range(3):
            x = np.arange(1, 21) / 20
            rise = 0.58 + 0.01 * number - 0.5 * np.exp(-(3 + number) * x)
            values = list(np.clip(rise + random.normal(0, 0.012, 20), 0, 1))
            rates = list(0.2 * np.linspace(1, 0.05, 20) ** (number / 2))
            test = (0.93, float(values[-1] - 0.02))
            status, reason = "finished", None
            if shape == "accelat" and seed == 2:
                values, status, reason = values[:6], "diverged", "train_loss is not finite"
            if shape == "linear" and seed == 1:
                values, status, reason = values[:9], "stopped", "median rule at epoch 9"
            trial_id = builder.trial(
                f"lr.shape={shape}",
                seed,
                values,
                passes=18_432 + 3_000 * (shape == "accelat"),
                seconds=1.5 + 0.1 * seed,
                status=status,
                reason=reason,
                test=test,
                rates=rates,
            )
            if status == "stopped":
                builder.decision(trial_id, 9, "best 0.41 is below the median 0.47 of 5 trials")
    return builder.build(target=None)
