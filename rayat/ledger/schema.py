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


def _told(name: str, kind: Any, by: str, says: str, unit: str = "", null: bool = True) -> Any:
    return pa.field(name, kind, null, {"unit": unit, "says": says, "by": by})


def _field(column: Column, by: str) -> Any:
    return _told(column.name, TYPES[column.kind], by, column.says, column.unit)


def _fields(columns: Iterable[Column], by: str) -> list[Any]:
    return [_field(column, METHOD if column in MEASURED else by) for column in columns]


EPOCHS = _schema(
    _told("trial_id", s, DRIVER, "the trial, as in the trials table", null=False),
    _told("epoch", i, TRAINING, "from 1, over restarts too", null=False),
    _told("attempt", i, DRIVER, "from 1; one more after a pause or a death", null=False),
    *_fields((*TRAINED, FOSC, *COSTS), TRAINING),
    *_fields(TOTALS, LEDGER),
    _told("reported_at", utc, LEDGER, "when the report was on disk"),
    *_fields(LATER, TRAINING),
    # whose cost this is, where it was trained once for several trials
    _told(SHARED_FROM, s, DRIVER, "the trial that trained the epoch; null: itself"),
)
"""The columns of every run; those that its trials' methods declare follow (`epochs_schema`)."""

TRIALS = _schema(
    _told("trial_id", s, DRIVER, "index, configuration and seed; names its folder", null=False),
    _told("trial_index", i, DRIVER, "place in the study's order, from 0", null=False),
    _told("arm", s, DRIVER, "the values of the compared axes, such as `lr.shape=cosine`"),
    _told("config_id", s, DRIVER, "equal for the seeds of one configuration"),
    _told("config_sha256", s, DRIVER, "SHA-256 of the configuration"),
    _told("config_json", s, DRIVER, "the whole configuration", "JSON"),
    _told("seed", i, DRIVER, "from which every random stream of the trial is derived"),
    _told("status", s, LEDGER, f"one of {', '.join(Status)}"),
    _told("stop_reason", s, DRIVER, "why it was ended before its last epoch"),
    _told("epochs_planned", i, DRIVER, "as the configuration says", "epochs"),
    _told("epochs_run", i, LEDGER, "reported", "epochs"),
    _told("attempts", i, LEDGER, "starts, pauses and deaths included"),
    _told("best_epoch", i, LEDGER, "the first with the largest value of the study's metric"),
    _told("best_value", f, LEDGER, "the metric there", "the metric's"),
    _told("last_value", f, LEDGER, "the metric at the last epoch", "the metric's"),
    _told("selected_on", s, LEDGER, "what chose `best_epoch`: val, test or none"),
    _told("fwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    _told("bwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    _told("eval_fwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    _told("eval_bwd_passes", i, LEDGER, "sum over the epochs", "passes"),
    _told("samples", i, LEDGER, "sum over the epochs", "images"),
    _told("comm_bytes", i, LEDGER, "sum over the epochs", "bytes"),
    _told("attack_seconds", f, LEDGER, "sum over the epochs", "s"),
    _told("train_seconds", f, LEDGER, "sum over the epochs", "s"),
    _told("selection_seconds", f, LEDGER, "sum over the epochs", "s"),
    _told("eval_seconds", f, LEDGER, "sum over the epochs", "s"),
    _told("seconds", f, LEDGER, "`seconds_cum` of the last epoch", "s"),
    _told("workers", i, DRIVER, "processes that train it together"),
    _told("device", s, TRAINING, "of the last attempt, such as `cpu`"),
    _told("host", s, TRAINING, "of the last attempt"),
    _told("checkpoint_best", s, LEDGER, "its folder, relative to the run's"),
    _told("checkpoint_last", s, LEDGER, "its folder, relative to the run's"),
    _told("started_at", utc, LEDGER, "the first attempt's start"),
    _told("ended_at", utc, LEDGER, "null while it has no end"),
)
"""Followed by one `cfg.<dotted key>` column per configuration leaf (string, int64, float64 or bool;
mixed or composite leaves as JSON text)."""

DECISIONS = _schema(
    _told("position", i, LEDGER, "record in the log: the order of truth", null=False),
    _told("trial_id", s, DRIVER, "whom it is about", null=False),
    _told("epoch", i, DRIVER, "the trial's last epoch when it was made", null=False),
    _told("action", s, DRIVER, "what is done, such as `stop` or `pause`"),
    _told("rule", s, DRIVER, "the policy's rule that asked for it"),
    _told("sentence", s, DRIVER, "the reason, for a reader"),
    _told("evidence_json", s, DRIVER, "the numbers that it rests on", "JSON"),
)

EVALS = _schema(
    _told("trial_id", s, EVALUATION, "the trial measured", null=False),
    _told("checkpoint", s, EVALUATION, "`best` by validation, or `last`", null=False),
    _told("epoch", i, EVALUATION, "the checkpoint's"),
    _told("suite", s, EVALUATION, "the attacks, such as `pgd-20`", null=False),
    _told("split", s, EVALUATION, "whose images: test or val"),
    _told("eps", f, EVALUATION, "radius of the attacks", "pixel scale or l2 length"),
    _told("n", i, EVALUATION, "the first so many of the split", "images"),
    _told("clean_acc", f, EVALUATION, "right without an attack", "share"),
    _told("robust_acc", f, EVALUATION, "right under every attack of the suite", "share"),
    _told("precision", s, EVALUATION, "of the network's numbers, such as `fp32`"),
    _told("fwd_passes", i, EVALUATION, "forward passes of the suite", "passes"),
    _told("bwd_passes", i, EVALUATION, "backward passes of the suite", "passes"),
    _told("seconds", f, EVALUATION, "the suite's", "s"),
    _told("flags_json", s, EVALUATION, "signs that the figure is too high; {}: none", "JSON"),
    _told("unmeasured", i, EVALUATION, "logits or a gradient were not finite", "images"),
    _told("zero_gradient", f, EVALUATION, "of those attacked, began without a gradient", "share"),
)

TABLES = {"trials": TRIALS, "epochs": EPOCHS, "decisions": DECISIONS, "evals": EVALS}


def epochs_schema(declared: Iterable[Declared]) -> pa.Schema:
    """Return the epochs table of a run whose trials declare columns, those at its end."""
    schema = EPOCHS
    for each in declared:
        schema = schema.append(_field(each.column, each.by))
    return schema
