"""What may enter the ledger: known keys, finite numbers, text that is text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from rayat.columns import SHARED_FROM, Declared
from rayat.errors import LedgerError, nearest
from rayat.ledger.keys import DERIVED, REPORT_KEYS

TEXT, FLOAT = "string", "double"
"""Types of a column, as Arrow names them; all others are whole numbers or times."""


@cache
def _types(table: str) -> dict[str, str]:
    """Return the types of a table's columns; loads the schema, and Arrow with it."""
    from rayat.ledger.schema import TABLES

    return {field.name: str(field.type) for field in TABLES[table]}


@cache
def _report_types() -> dict[str, str]:
    types = _types("epochs")
    return {**{name: types[name] for name in REPORT_KEYS}, "outcome": TEXT, SHARED_FROM: TEXT}


def report_row(
    row: Mapping[str, Any], declared: Mapping[str, Declared] | None = None
) -> dict[str, Any]:
    """Return a report as the log keeps it: known keys, no nulls, nothing derived.

    Non-finite numbers become null and are therefore left out; NumPy scalars become plain ones.

    Args:
        declared: the columns that the trial's methods declare, besides those of every report.

    Raises:
        LedgerError: a key that nobody declared (with the nearest one), wrong type, or no epoch of
            1 or more.
    """
    types = _report_types()
    if declared:
        kinds = {"float": FLOAT, "int": "int64"}
        types = types | {name: kinds[each.column.kind] for name, each in declared.items()}
    for key in row:
        if key not in types:
            raise LedgerError(
                f"unknown key {key!r} of a report row{nearest(key, types)}: the attack, objective, "
                "pruner or exchange that reports it must declare the column in its `columns`"
            )
    clean = _typed(row, types, "report")
    epoch = clean.get("epoch")
    if epoch is None or epoch < 1:
        raise LedgerError(f"a report needs an epoch of 1 or more, got {row.get('epoch')!r}")
    return {key: value for key, value in clean.items() if key not in DERIVED}


def eval_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation as the log keeps it.

    Raises:
        LedgerError: unknown key, wrong type, or no trial_id, checkpoint or suite.
    """
    clean = _typed(row, _types("evals"), "evaluation")
    for key in ("trial_id", "checkpoint", "suite"):
        if key not in clean:
            raise LedgerError(f"an evaluation needs {key!r}, got {sorted(row)}")
    return clean


def trial_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's declaration as the log keeps it. Raises `LedgerError` on a wrong type."""
    return _typed(row, _types("trials"), "trial")


def decision_row(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision as the log keeps it. Raises `LedgerError` on a wrong type."""
    return {**_typed(row, _types("decisions"), "decision"), "evidence": plain(evidence)}


def text(value: object) -> str | None:
    """Return `value` as storable text; None stays None."""
    return None if value is None else str(plain(str(value)))


def _typed(row: Mapping[str, Any], types: Mapping[str, str], what: str) -> dict[str, Any]:
    clean = {}
    for key, given in row.items():
        if key not in types:
            raise LedgerError(f"unknown key {key!r} of a {what} row{nearest(key, types)}")
        value = _scalar(plain(given), types[key], key, what)
        if value is not None:
            clean[key] = value
    return clean


def _scalar(value: Any, kind: str, key: str, what: str) -> Any:
    if value is None:
        return None
    if kind == TEXT:
        if isinstance(value, str):
            return value
        raise LedgerError(f"{what} key {key!r} must be a text, got {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LedgerError(f"{what} key {key!r} must be a number, got {value!r}")
    if kind == FLOAT:
        try:
            return float(value)
        except OverflowError:
            return None  # not finite in 64 bits
    if value != int(value) or not -(2**63) <= value < 2**63:
        raise LedgerError(f"{what} key {key!r} must be a 64-bit integer, got {value!r}")
    return int(value)


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: non-finite numbers as null, mappings with text keys.

    Raises:
        LedgerError: a value that is neither a number, a text, a mapping nor a sequence.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        # Lone surrogates (undecodable file names) have no place in UTF-8 tables.
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {plain(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    raise LedgerError(f"{type(value).__name__} {value!r} cannot be stored: give plain values")
