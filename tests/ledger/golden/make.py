"""Write the golden run of the present schema version: `python tests/ledger/golden/make.py`.

Made once per schema version and committed; never made again for a version that exists.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from rayat.ledger.keys import SCHEMA_VERSION
from rayat.ledger.lock import LOCK
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger

COLUMNS = {
    "trials": [
        *("trial_id", "arm", "status", "epochs_run", "attempts", "best_epoch", "best_value"),
        *("selected_on", "fwd_passes", "seconds", "checkpoint_best", "cfg.lr.peak", "cfg.lr.shape"),
    ],
    "epochs": ["trial_id", "epoch", "attempt", "lr", "val_robust_acc", "seconds_cum", "passes_cum"],
    "decisions": ["position", "trial_id", "epoch", "action", "rule", "sentence", "evidence_json"],
    "evals": ["trial_id", "checkpoint", "epoch", "suite", "split", "n", "robust_acc"],
}


def main() -> None:
    """Write `v<version>/` and what must be read from it, `v<version>.json`."""
    folder = Path(__file__).parent / f"v{SCHEMA_VERSION}"
    with Ledger.create(folder, {"metric": "val_robust_acc", "study": {"name": "golden"}}) as ledger:
        for index, (name, shape) in enumerate((("aaaaaaaa", "cosine"), ("bbbbbbbb", "onecycle"))):
            trial_id = f"{index:04d}-{name}-s0"
            config = {"epochs": 3, "lr": {"shape": shape, "peak": 0.1 + index}}
            ledger.trial(
                trial_id=trial_id,
                index=index,
                arm=f"lr.shape={shape}",
                config_id=name,
                config_sha256="0" * 64,
                config_json=json.dumps(config),
                seed=0,
                epochs=3,
                workers=1,
            )
            ledger.attempt(trial_id, device="cpu", host="node-a")
            for epoch in range(1, 3 - index + 1):
                row = {"epoch": epoch, "lr": 0.1 / epoch, "train_seconds": 0.5, "fwd_passes": 100}
                value = float("nan") if epoch == 2 else 0.25 * epoch
                ledger.report(trial_id, 1, {**row, "val_robust_acc": value})
        ledger.attempt("0000-aaaaaaaa-s0", device="cpu", host="node-b")
        ledger.report("0000-aaaaaaaa-s0", 2, {"epoch": 3, "lr": 0.01, "val_robust_acc": 0.5})
        ledger.decision("0000-aaaaaaaa-s0", 3, "stop", "plateau", "no gain", {"best": 0.5})
        ledger.end("0000-aaaaaaaa-s0", "stopped", "no gain")
        row = {"trial_id": "0000-aaaaaaaa-s0", "checkpoint": "best", "suite": "pgd-20"}
        ledger.evaluation({**row, "split": "test", "epoch": 3, "n": 100, "robust_acc": 0.4})
    (folder / LOCK).unlink()
    run = read_run(folder)
    expected = {
        name: {
            column: [None if pd.isna(v) else v for v in getattr(run, name)[column].tolist()]
            for column in columns
        }
        for name, columns in COLUMNS.items()
    }
    folder.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
