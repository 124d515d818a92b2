"""Schema version 1 of the four tables. Fractions, seconds, UTC, nulls (never sentinels).

Columns are only added or widened from one version to the next; readers accept every version. Each
field's metadata holds its unit, what it says and who writes it (`by`): a file explains itself, and
docs/dictionary.md is made from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from rayat.columns import (
    COSTS,
    FOSC,
    LATER,
    MEASURED,
    SHARED_FROM,
    TOTALS,
    TRAINED,
    Column,
    Declared,
)
from rayat.ledger.status import Status

f, i, s = pa.float64(), pa.int64(), pa.string()
utc = pa.timestamp("us", tz="UTC")


def _schema(*fields: Any) -> pa.Schema:
    return pa.schema(list(fields))


TYPES = {"float": f, "int": i}
LEDGER, DRIVER, TRAINING = "ledger", "driver", "training"
"""Who writes a column: computed from other rows; the run's driver; the trial's own process."""
EVALUATION, METHOD = "evaluation", "the method at work"


def told(name: str, kind: Any, by: str, says: str, unit: str = "", null: bool = True) -> Any:
    """Return a column with its unit, what it says and who writes it in its metadata."""
    return pa.field(name, kind, null, {"unit": unit, "says": says, "by": by})


def _field(column: Column, by: str) -> Any:
    return told(column.name, TYPES[column.kind], by, column.says, column.unit)


def _fields(columns: Iterable[Column], by: str) -> list[Any]:
    return [_field(column, METHOD if column in MEASURED else by) for column in columns]


EPOCHS = _schema(
    told("trial_id", s, DRIVER, "the trial, as in the trials table", null=False),
    told("epoch", i, TRAINING, "from 1, over restarts too", null=False),
    told("attempt", i, DRIVER, "from 1; one more after a pause or a death", null=False),
    *_fields((*TRAINED, FOSC, *COSTS), TRAINING),
    *_fields(TOTALS, LEDGER),
    told("reported_at", utc, LEDGER, "when the report was on disk"),
    *_fields(LATER, TRAINING),
    # whose cost this is, where it was trained once for several trials
    told(SHARED_FROM, s, DRIVER, "the trial that trained the epoch; null: itself"),
)
"""The columns of every run; those that its trials' methods declare follow (`epochs_schema`)."""

TRIALS = _schema(
    told("trial_id", s, DRIVER, "index, configuration and seed; names its folder", null=False),
    told("trial_index", i, DRIVER, "place in the study's order, from 0", null=False),
    told("arm", s, DRIVER, "the values of the compared axes, such as `lr.shape=cosine`"),
    told("config_id", s, DRIVER, "equal for the seeds of one configuration"),
    told("config_sha256", s, DRIVER, "SHA-256 of the configuration"),
    told("config_json", s, DRIVER, "the whole configuration", "JSON"),
    told("seed", i, DRIVER, "from which every random stream of the trial is derived"),
    told("status", s, LEDGER, f"one of {', '.join(Status)}"),
    told("stop_reason", s, DRIVER, "why it was ended before its last epoch"),
    told("epochs_planned", i, DRIVER, "as the configuration says", "epochs"),
    told("epochs_run", i, LEDGER, "reported", "epochs"),
    told("attempts", i, LEDGER, "starts, pauses and deaths included"),
    told("best_epoch", i, LEDGER, "the first with the largest value of the study's metric"),
    told("best_value", f, LEDGER, "the metric there", "the metric's"),
    told("last_value", f, LEDGER, "the metric at the last epoch", "the metric's"),
    told("selected_on", s, LEDGER, "what chose `best_epoch`: val, test or none"),
    told("fwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    told("bwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    told("eval_fwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    told("eval_bwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    told("samples", i, LEDGER, "sum over the epochs", "images"),
    told("comm_bytes", i, LEDGER, "sum over the epochs", "bytes"),
    told("attack_seconds", f, LEDGER, "sum over the epochs", "s"),
    told("train_seconds", f, LEDGER, "sum over the epochs", "s"),
    told("selection_seconds", f, LEDGER, "sum over the epochs", "s"),
    told("eval_seconds", f, LEDGER, "sum over the epochs", "s"),
    told("seconds", f, LEDGER, "`seconds_cum` of the last epoch", "s"),
    told("workers", i, DRIVER, "processes that train it together"),
    told("device", s, TRAINING, "of the last attempt, such as `cpu`"),
    told("host", s, TRAINING, "of the last attempt"),
    told("checkpoint_best", s, LEDGER, "its folder, relative to the run's"),
    told("checkpoint_last", s, LEDGER, "its folder, relative to the run's"),
    told("started_at", utc, LEDGER, "the first attempt's start"),
    told("ended_at", utc, LEDGER, "null while it has no end"),
)
"""Followed by one `cfg.<dotted key>` column per configuration leaf (string, int64, float64 or bool;
mixed or composite leaves as JSON text)."""

DECISIONS = _schema(
    told("position", i, LEDGER, "record in the log: the order of truth", null=False),
    told("trial_id", s, DRIVER, "whom it is about", null=False),
    told("epoch", i, DRIVER, "the trial's last epoch when it was made", null=False),
    told("action", s, DRIVER, "what is done, such as `stop` or `pause`"),
    told("rule", s, DRIVER, "the policy's rule that asked for it"),
    told("sentence", s, DRIVER, "the reason, for a reader"),
    told("evidence_json", s, DRIVER, "the numbers that it rests on", "JSON"),
)

EVALS = _schema(
    told("trial_id", s, EVALUATION, "the trial measured", null=False),
    told("checkpoint", s, EVALUATION, "`best` by validation, or `last`", null=False),
    told("epoch", i, EVALUATION, "the checkpoint's"),
    told("suite", s, EVALUATION, "the attacks, such as `pgd-20`", null=False),
    told("split", s, EVALUATION, "whose images: test or val"),
    told("eps", f, EVALUATION, "radius of the attacks", "pixel scale or l2 length"),
    told("n", i, EVALUATION, "the first so many of the split", "images"),
    told("clean_acc", f, EVALUATION, "right without an attack", "share"),
    told("robust_acc", f, EVALUATION, "right under every attack of the suite", "share"),
    told("precision", s, EVALUATION, "of the network's numbers, such as `fp32`"),
    told("fwd_passes", i, EVALUATION, "forward passes of the suite", "passes"),
    told("bwd_passes", i, EVALUATION, "backward passes of the suite", "passes"),
    told("seconds", f, EVALUATION, "the suite's", "s"),
    told("flags_json", s, EVALUATION, "signs that the figure is too high; {}: none", "JSON"),
    told("unmeasured", i, EVALUATION, "logits or a gradient were not finite", "images"),
    told("zero_gradient", f, EVALUATION, "of those attacked, began without a gradient", "share"),
)

TABLES = {"trials": TRIALS, "epochs": EPOCHS, "decisions": DECISIONS, "evals": EVALS}


def epochs_schema(declared: Iterable[Declared]) -> pa.Schema:
    """Return the epochs table of a run whose trials declare columns, those at its end."""
    schema = EPOCHS
    for each in declared:
        schema = schema.append(_field(each.column, each.by))
    return schema
