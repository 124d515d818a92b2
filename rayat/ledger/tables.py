"""State to tables: the four Parquet tables are a pure function of the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from rayat.layers import flatten
from rayat.ledger.files import checkpoint_folder
from rayat.ledger.keys import SCHEMA_VERSION
from rayat.ledger.schema import DECISIONS, DRIVER, EVALS, TRIALS, epochs_schema
from rayat.ledger.state import State, TrialState

METADATA = {"rayat.schema_version": str(SCHEMA_VERSION)}
TOTALS = (
    "fwd_passes",
    "bwd_passes",
    "eval_fwd_passes",
    "eval_bwd_passes",
    "samples",
    "comm_bytes",
    "attack_seconds",
    "train_seconds",
    "selection_seconds",
    "eval_seconds",
)
"""Columns of the trials table that sum a column of the epochs table; null where none was given."""


def build(state: State) -> dict[str, pa.Table]:
    """Return the tables by name, rows in a fixed order: trials by index, epochs within them."""
    info = state.info or {}
    metric, imported = info["metric"], "imported" in info
    trials = sorted(state.trials.values(), key=lambda t: t.declared["trial_index"])
    order = {t.declared["trial_id"]: i for i, t in enumerate(trials)}
    summaries: list[dict[str, Any]] = []
    # By column: a dict per epoch would take several times the memory of the state.
    schema = epochs_schema(state.columns().values())
    epochs: dict[str, list[Any]] = {name: [] for name in schema.names}
    for trial in trials:
        rows = list(trial.rows())
        chosen = {"selected_on": "none"} if imported else {}
        summaries.append({**summary(trial, rows, metric), **chosen})
        for name, column in epochs.items():
            column.extend(row.get(name) for row in rows)
    decisions = [{**d, "evidence_json": _json(d["evidence"])} for d in state.decisions]
    evals = sorted(
        state.evals.values(),
        key=lambda r: (
            order[r["trial_id"]],
            *(r["checkpoint"], r["suite"], r.get("split") or ""),
            *(r.get("eps") or 0.0, r.get("n") or 0),
        ),
    )
    return {
        "trials": _with_config(_table(summaries, TRIALS), [t.declared for t in trials]),
        "epochs": _arrow(epochs, schema),
        "decisions": _table(decisions, DECISIONS),
        "evals": _table(evals, EVALS),
    }


def summary(trial: TrialState, rows: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Return a trial's row of the trials table.

    `best_epoch` is the first epoch with the largest value of `metric`; a null is never best.
    """
    valued = [row for row in rows if row[metric] is not None]
    best = max(valued, key=lambda row: row[metric], default=None)  # the first one of equals
    folder = checkpoint_folder(Path(), trial.declared["trial_id"]).as_posix()
    totals = {name: _total(row[name] for row in rows) for name in TOTALS}
    return {
        **trial.declared,
        **totals,
        "status": trial.status,
        "stop_reason": trial.reason,
        "epochs_run": trial.last,
        "attempts": trial.attempts,
        "best_epoch": best["epoch"] if best else None,
        "best_value": best[metric] if best else None,
        "last_value": rows[-1][metric] if rows else None,
        "selected_on": "val" if best and metric.startswith("val_") else "none",
        "seconds": rows[-1]["seconds_cum"] if rows else 0.0,
        "device": trial.device,
        "host": trial.host,
        "checkpoint_best": f"{folder}/best" if best else None,
        "checkpoint_last": f"{folder}/last" if rows else None,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
    }


def _total(values: Iterable[Any]) -> Any:
    given = [value for value in values if value is not None]
    return sum(given) if given else None


def eval_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows of the evals table, in their order."""
    return _table(rows, EVALS)


def _table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    return _arrow({f.name: [row.get(f.name) for row in rows] for f in schema}, schema)


def _arrow(columns: Mapping[str, list[Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(columns[f.name], type=f.type) for f in schema]
    return pa.table(arrays, schema=schema.with_metadata(METADATA))


def _with_config(table: pa.Table, declared: list[dict[str, Any]]) -> pa.Table:
    leaves = [flatten(json.loads(trial["config_json"])) for trial in declared]
    for name in sorted({name for leaf in leaves for name in leaf}):
        values = _column([leaf.get(name) for leaf in leaves])
        told = {"unit": "", "says": f"{name} of the configuration", "by": DRIVER}
        table = table.append_column(pa.field(f"cfg.{name}", values.type, metadata=told), values)
    return table


def _column(values: list[Any]) -> Any:
    """Return the narrowest of bool, int64, float64 and string that holds all, else JSON texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pa.array(values, pa.int64())
    if kinds in ({float}, {int, float}):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if kinds <= {str}:
        return pa.array(values, pa.string())
    return pa.array([None if v is None else _json(v) for v in values], pa.string())


def _json(value: Mapping[str, Any] | Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
