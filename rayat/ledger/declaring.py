"""What a trial is declared with, checked against what the ledger holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rayat.columns import Declared, add
from rayat.errors import LedgerError
from rayat.ledger.rows import trial_row
from rayat.ledger.state import State

TRIAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Trial ids name folders of checkpoints."""


def declaration(
    state: State,
    trial_id: str,
    index: int,
    arm: str,
    config_id: str,
    config_sha256: str,
    config_json: str,
    seed: int,
    epochs: int,
    workers: int,
    columns: Mapping[str, Declared] | None = None,
) -> dict[str, Any] | None:
    """Return the fields of a trial's record; None where it is declared so already.

    Args:
        state: of the ledger. columns: report columns that its methods declare
            (`TrialConfig.declared_columns`).

    Raises:
        LedgerError: an id that cannot name a folder, a configuration that is no JSON object, or
            another trial under this id.
        ConfigError: a column that another trial declares differently.
    """
    if not TRIAL_ID.fullmatch(trial_id):
        raise LedgerError(
            f"a trial's id becomes a folder: use letters, digits, . _ -, got {trial_id!r}"
        )
    try:
        config = json.loads(config_json)
    except ValueError as error:
        raise LedgerError(f"trial {trial_id!r}: config_json is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise LedgerError(f"trial {trial_id!r}: config_json must hold an object")
    declared = trial_row(
        {
            "trial_id": trial_id,
            "trial_index": index,
            "arm": arm,
            "config_id": config_id,
            "config_sha256": config_sha256,
            "config_json": config_json,
            "seed": seed,
            "epochs_planned": epochs,
            "workers": workers,
        }
    )
    if trial_id in state.trials:
        before = state.trials[trial_id].declared
        for key, value in declared.items():
            if before[key] != value:
                raise LedgerError(
                    f"trial {trial_id!r} was declared with {key} {before[key]!r}, now "
                    f"{value!r}: another study belongs into another folder"
                )
        return None
    known = state.columns()
    for column in (columns or {}).values():
        add(known, column)
    more = {"columns": [column.record() for column in columns.values()]} if columns else {}
    return {"trial": declared, **more}
