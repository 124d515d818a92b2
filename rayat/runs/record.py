"""A run's record without Ray: how it begins, what `run.json` holds, how it ended."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayat.collapse import RULE
from rayat.config import TrialConfig
from rayat.errors import LedgerError, quoted
from rayat.ledger.keys import SCHEMA_VERSION
from rayat.ledger.provenance import describe_environment
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.own.parts import OwnParts
from rayat.planning.placement import Capacity
from rayat.policies.base import TrialView
from rayat.search.labels import domain_json
from rayat.sharing.tree import Counts
from rayat.study import Study

NO_EPOCHS = Counts(0, 0)


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        interrupted: whether it ended, in order, before all trials had their ends.
        warning: one sentence on what it could have done better; empty if nothing was found.
        halted: why it was interrupted, where the user asked for it beforehand (`Halts`).
        unmeasured: a line for each final evaluation that failed.
        decided: what the last look at the verdicts found; empty where seeds are fixed.
        added: trials by which the run was extended; None where it was not asked for.
        epochs: those that the run holds, and those of them that were trained.
    """

    folder: Path
    statuses: dict[Status, int] = field(default_factory=dict)
    interrupted: bool = False
    warning: str = ""
    halted: str = ""
    unmeasured: tuple[str, ...] = ()
    added: int | None = None
    decided: str = ""
    epochs: Counts = NO_EPOCHS


@contextlib.contextmanager
def beginning(folder: Path, info: Mapping[str, Any], own: OwnParts) -> Iterator[Ledger]:
    """Create a run with its own parts.

    Where an error comes before its first trial has begun, take it back. What the
    folder held before stays. An interrupted run is kept: it can be resumed.
    """
    before = set(folder.iterdir()) if folder.is_dir() else None
    begun = True
    try:
        with Ledger.create(folder, {**info, **own.info()}) as ledger:
            begun = False
            try:
                own.write(folder)
                yield ledger
            finally:
                begun = any(trial.attempts for trial in ledger.state.trials.values())
    except Exception:
        if not begun:
            for path in set(folder.iterdir()) - (before or set()):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if before is None:
                folder.rmdir()
        raise


def view(trial_id: str, config: TrialConfig, arm: str) -> TrialView:
    """Return what a policy may know of a trial."""
    return TrialView(trial_id, config.tree(), config.epochs, arm)


def run_info(
    study: Study,
    data: list[dict[str, Any]],
    capacity: Capacity | None,
    command: Sequence[str] | None,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what `run.json` holds: everything that is needed to run or to judge the run again."""
    info = {
        "schema_version": SCHEMA_VERSION,
        "study": study.tree(),
        "study_sha256": study.sha256(),
        "metric": study.metric,
        "collapse_rule": RULE,
        "data": data,
        "environment": describe_environment(),
        "cluster": capacity.record() if capacity is not None else None,
        "command": list(command if command is not None else sys.argv),
        "origin": dict(origin or {}),
    }
    plan = study.plan()
    if plan.grows:
        info["search"] = json.loads(json.dumps(plan.tree(), default=domain_json))
    return info


def declared(ledger: Ledger) -> dict[str, TrialConfig]:
    """Return the configurations that the ledger holds, by trial id.

    Raises:
        LedgerError: a stored configuration does not have the hash stored beside it.
    """
    configs = {}
    for trial_id, entry in ledger.trials().items():
        config = TrialConfig.parse(json.loads(entry["config_json"]))
        if config.sha256() != entry["config_sha256"]:
            raise LedgerError(
                f"trial {trial_id} of {ledger.folder} means another configuration in this version "
                "of rayat: resume with the version named in run.json"
            )
        configs[trial_id] = config
    return configs


def refuse_a_taken(folder: Path) -> None:
    """Refuse a folder that holds a run, before Ray is started.

    Raises:
        LedgerError: with the command that goes on with that run.
    """
    if (folder / "run.json").exists():
        raise LedgerError(
            f"{folder} holds a run already: continue it with `rayat resume {quoted(folder)}` "
            "or choose another folder"
        )
