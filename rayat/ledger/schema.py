"""Schema version 1 of the four tables. Fractions, seconds, UTC, nulls (never sentinels).

Columns are only added or widened from one version to the next; readers accept every version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from rayat.columns import COSTS, FOSC, LATER, SHARED_FROM, TOTALS, TRAINED, Column, Declared

f, i, s = pa.float64(), pa.int64(), pa.string()
utc = pa.timestamp("us", tz="UTC")


def _schema(*fields: Any) -> pa.Schema:
    return pa.schema(list(fields))


TYPES = {"float": f, "int": i}


def _field(column: Column, by: str = "") -> Any:
    said = {"unit": column.unit, "says": column.says, **({"by": by} if by else {})}
    return pa.field(column.name, TYPES[column.kind], metadata=said)


EPOCHS = _schema(
    pa.field("trial_id", s, nullable=False),
    pa.field("epoch", i, nullable=False),  # 1-based, monotone across restarts
    # 1-based; +1 after a pause, or after a worker or driver died
    pa.field("attempt", i, nullable=False),
    *map(_field, (*TRAINED, FOSC, *COSTS, *TOTALS)),
    pa.field("reported_at", utc),
    *map(_field, LATER),
    # whose cost this is, where it was trained once for several trials
    pa.field(SHARED_FROM, s, metadata={"says": "the trial that trained the epoch; null: itself"}),
)
"""The columns of every run; those that its trials' methods declare follow (`epochs_schema`)."""

TRIALS = _schema(
    pa.field("trial_id", s, nullable=False),
    pa.field("trial_index", i, nullable=False),
    pa.field("arm", s),
    pa.field("config_id", s),  # equal for the seeds of one configuration
    pa.field("config_sha256", s),
    pa.field("config_json", s),
    pa.field("seed", i),
    # pending|running|paused|finished|stopped|diverged|collapsed|failed|lost|interrupted
    pa.field("status", s),
    pa.field("stop_reason", s),
    pa.field("epochs_planned", i),
    pa.field("epochs_run", i),
    pa.field("attempts", i),
    pa.field("best_epoch", i),
    pa.field("best_value", f),  # of the study's metric
    pa.field("last_value", f),
    pa.field("selected_on", s),  # val|test|none: what chose best_epoch
    pa.field("fwd_passes", i),
    pa.field("bwd_passes", i),
    pa.field("eval_fwd_passes", i),
    pa.field("eval_bwd_passes", i),
    pa.field("samples", i),
    pa.field("comm_bytes", i),
    pa.field("attack_seconds", f),
    pa.field("train_seconds", f),
    pa.field("selection_seconds", f),
    pa.field("eval_seconds", f),
    pa.field("seconds", f),
    pa.field("workers", i),
    pa.field("device", s),
    pa.field("host", s),
    pa.field("checkpoint_best", s),  # relative to the run's folder
    pa.field("checkpoint_last", s),
    pa.field("started_at", utc),
    pa.field("ended_at", utc),
)
"""Followed by one `cfg.<dotted key>` column per configuration leaf (string, int64, float64 or bool;
mixed or composite leaves as JSON text)."""

DECISIONS = _schema(
    pa.field("position", i, nullable=False),  # record number in the log: the order of truth
    pa.field("trial_id", s, nullable=False),
    pa.field("epoch", i, nullable=False),
    pa.field("action", s),
    pa.field("rule", s),
    pa.field("sentence", s),
    pa.field("evidence_json", s),
)

EVALS = _schema(
    pa.field("trial_id", s, nullable=False),
    pa.field("checkpoint", s, nullable=False),  # best|last
    pa.field("epoch", i),
    pa.field("suite", s, nullable=False),  # such as pgd-20
    pa.field("split", s),
    pa.field("eps", f),
    pa.field("n", i),
    pa.field("clean_acc", f),
    pa.field("robust_acc", f),
    pa.field("precision", s),
    pa.field("fwd_passes", i),
    pa.field("bwd_passes", i),
    pa.field("seconds", f),
    pa.field("flags_json", s),  # signs of masked gradients
    pa.field("unmeasured", i),  # images at which logits or a gradient were not finite
    pa.field("zero_gradient", f),  # share of the attacked images that began without a gradient
)

TABLES = {"trials": TRIALS, "epochs": EPOCHS, "decisions": DECISIONS, "evals": EVALS}


def epochs_schema(declared: Iterable[Declared]) -> pa.Schema:
    """Return the epochs table of a run whose trials declare columns, those at its end."""
    schema = EPOCHS
    for each in declared:
        schema = schema.append(_field(each.column, each.by))
    return schema
