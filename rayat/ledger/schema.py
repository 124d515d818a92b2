"""Schema version 1 of the four tables. Fractions, seconds, UTC, nulls (never sentinels).

Columns are only added or widened from one version to the next; readers accept every version.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1

f, i, s = pa.float64(), pa.int64(), pa.string()
utc = pa.timestamp("us", tz="UTC")


def _schema(*fields: Any) -> pa.Schema:
    return pa.schema(list(fields))


EPOCHS = _schema(
    pa.field("trial_id", s, nullable=False),
    pa.field("epoch", i, nullable=False),  # 1-based, monotone across restarts
    # 1-based; +1 after a pause, or after a worker or driver died
    pa.field("attempt", i, nullable=False),
    pa.field("lr", f),  # at the epoch's last step
    pa.field("attack_steps", f),  # mean gradient steps per sample
    pa.field("eps", f),  # radius of the training attack
    pa.field("data_fraction", f),  # share of the training split visited
    pa.field("train_loss", f),
    pa.field("train_clean_acc", f),  # null where the objective makes no clean pass
    pa.field("train_robust_acc", f),  # under the training attack
    pa.field("val_clean_acc", f),
    pa.field("val_robust_acc", f),
    pa.field("fosc", f),  # mean first-order stationary condition
    pa.field("grad_norm", f),  # L2 norm of the weight gradient at the epoch's last step
    pa.field("samples", i),  # training images visited, all workers
    pa.field("fwd_passes", i),  # forward passes of training, summed over samples and workers
    pa.field("bwd_passes", i),
    pa.field("eval_fwd_passes", i),  # of validation, which drives decisions and costs too
    pa.field("eval_bwd_passes", i),
    pa.field("comm_bytes", i),  # sent by one worker
    pa.field("data_seconds", f),
    pa.field("attack_seconds", f),
    pa.field("train_seconds", f),  # forward, backward and update of the weights
    pa.field("selection_seconds", f),
    pa.field("eval_seconds", f),
    pa.field("checkpoint_seconds", f),
    pa.field("seconds_cum", f),  # all of the above since epoch 1, over all attempts that count
    pa.field("passes_cum", i),  # all four pass counts since epoch 1
    pa.field("reported_at", utc),
    # Added later: at the end, where no reader of an older table looks.
    pa.field("rollback_epoch", i),  # whose weights were taken back after it collapsed; null: none
    pa.field("grad_l1", f),  # mean l1 norm of the attack's last input gradient
    pa.field("start_size", f),  # mean |start| / eps of a learned starting point
    pa.field("start_agreement", f),  # share of its signs that are those of the input gradient
    pa.field("random_fill", f),  # share of a selection drawn at random; null: nothing selected
    # Of train_seconds: gradient exchange that delayed a worker, their mean (docs/scaling.md)
    pa.field("seconds_exchange", f),
    pa.field("seconds_slowest", f),  # data, attack and train of the slowest, without its exchange
)

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

REPORT_KEYS = frozenset(EPOCHS.names) - {"trial_id", "attempt", "reported_at"}
"""What a trial's report may hold, besides `outcome` (`diverged` or `finished`), which ends it."""
