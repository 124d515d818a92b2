"""`rayat train` and `rayat refit`: studies of one trial, whose workers are a `TorchTrainer`'s."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayat.api import sweep
from rayat.compare.select import best_trial
from rayat.config import TrialConfig
from rayat.errors import LedgerError
from rayat.ledger.files import located, seen_from
from rayat.ledger.reader import read_run
from rayat.orchestration.cluster import LOCAL, Where
from rayat.orchestration.execute import Options
from rayat.own.parts import adopt
from rayat.runs.driver import Observer
from rayat.runs.record import Summary
from rayat.study import Study


def train(
    config: TrialConfig,
    folder: str | Path,
    where: Where = LOCAL,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    name: str = "train",
    origin: Mapping[str, Any] | None = None,
) -> Summary:
    """Train one configuration into a new folder, on `config.workers` workers.

    The folder is a run like any other: it can be compared, reported and resumed.

    Args:
        origin: where the configuration came from, stored in `run.json`.

    Raises:
        StudyError, ConfigError, DataError, PlacementError, LedgerError: refused before anything
            started.
    """
    base = config.tree()
    study = Study(name=name, seeds=(base.pop("seed"),), base=base)
    options = Options(max_failures=study.max_failures, launcher="trainer")
    return sweep.run(study, folder, where, options, observer, command, origin)


def refit(
    run_folder: str | Path,
    folder: str | Path,
    changes: Mapping[str, Any] | None = None,
    where: Where = LOCAL,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
) -> Summary:
    """Train a run's winner again, with `changes` such as more workers or epochs.

    The winner is the configuration with the best mean of the study's metric over its seeds; its
    first seed is used unless `changes` names another.

    Raises:
        LedgerError: the run has no finished trial.
    """
    run_folder = located(run_folder)
    run = read_run(run_folder)
    trial_id, config_json = best_trial(run)
    if trial_id is None:
        raise LedgerError(f"{run_folder} has no trial to refit: let the run finish one first")
    adopt(run_folder)
    config = TrialConfig.parse(json.loads(config_json)).replace(changes or {})
    origin = {
        "run": seen_from(located(folder), run_folder),
        "trial_id": trial_id,
        "changes": dict(changes or {}),
    }
    name = f"refit-{run.info['study']['name']}"[:64]
    return train(config, folder, where, observer, command, name=name, origin=origin)
