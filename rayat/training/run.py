"""The one training body that every launcher runs: `run(config, context)`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rayat.attacks.base import Moment
from rayat.collapse import Watch
from rayat.config import TrialConfig
from rayat.data.base import Arrays
from rayat.data.loader import eval_batches
from rayat.distributed.exchange import Exchange
from rayat.errors import LedgerError
from rayat.registry import ATTACKS
from rayat.sharing.store import Store
from rayat.training import checkpoints
from rayat.training.context import Context
from rayat.training.counters import PARTS, Clock
from rayat.training.epoch import train_epoch
from rayat.training.network import all_finite
from rayat.training.probe import probe
from rayat.training.process import prepare_process
from rayat.training.setup import Training, begin
from rayat.training.teacher import taught
from rayat.training.validate import evaluate, evaluation_eps

Row = dict[str, Any]


def run(
    config: TrialConfig, context: Context, keep: Mapping[int, str] = MappingProxyType({})
) -> None:
    """Train one trial to its end, reporting one row per epoch; resume where it was left.

    From the checkpoint `last` in `context.folder` the weights, the optimiser and the rows come back
    exactly, and every random stream is derived from the seed and the epoch: the rows of a resumed
    trial are, but for the seconds, those of one that never stopped. Rows later than
    `context.reported` that the checkpoint holds are reported again first. An epoch's checkpoint is
    durable before its report.

    A loss, weight or metric that is not finite ends the training with a last row that holds
    `outcome="diverged"` and None for what is not finite; `best` and `last` stay as they were. A
    training accuracy above `stop_at_train_acc` ends it with a last row that holds
    `outcome="finished"`.

    With `on_collapse="rollback"` an epoch that collapsed is reported as it was measured, with the
    `rollback_epoch` from whose weights the next one starts (see `roll_back`).

    Args:
        keep: epochs after which the state is kept for other trials, with its key (`sharing.store`).

    Raises:
        ConfigError, DataError: the configuration and the data do not fit.
        LedgerError: the checkpoint is damaged, of another configuration, or not the same for all
            workers.
    """
    prepare_process(config.threads, context.device)
    exchange = Exchange(context.rank, context.world_size, context.device)
    prepared = context.data(config.data)
    config.pruning.fits(prepared)
    clock = Clock(exchange.device)
    prepared, cost = taught(config, prepared, exchange, context.folder, clock)
    training = begin(config, prepared, exchange, clock)
    training.before = cost
    rows: list[Row] = []
    watch = Watch()
    checkpoint = checkpoints.load(context.folder, "last", config, context.rank)
    if checkpoint is not None and checkpoint.resumable:
        training.load_state_dict(checkpoint.states)
        rows = checkpoint.rows
        training.clock.take()  # what `begin` made again was paid for
    if exchange.sums({"epoch": len(rows)})["epoch"] != len(rows) * context.world_size:
        raise LedgerError(
            f"the workers read different checkpoints from {context.folder}; "
            "give the trial a folder on storage that all workers share"
        )
    keep_state(context, len(rows), keep)
    for row in rows:
        watch.add(row["epoch"], row)
        if row["epoch"] > context.reported:
            context.report(row)
    while len(rows) < config.epochs and not (rows and "outcome" in rows[-1]):
        row = train_and_validate(training, prepared.val, rows)
        if config.on_collapse == "rollback" and watch.fall(row["epoch"], row):
            row["rollback_epoch"] = roll_back(training, context)
            if row.get("outcome") == "finished":
                del row["outcome"]  # what the epoch reached is taken back
        watch.add(row["epoch"], row)
        rows.append(row)
        if row.get("outcome") != "diverged":
            with training.clock.part("checkpoint"):
                due_now = due(config, rows) or row["epoch"] in keep
                states = training.state_dict() if due_now else None
                if states is not None:
                    states["exchange"] = exchange.collect(states["exchange"])
                if context.rank == 0:
                    write_checkpoints(training, context, rows, states)
                    keep_state(context, row["epoch"], keep)
                exchange.barrier()
        if row["epoch"] > context.reported:
            context.report(row)


def due(config: TrialConfig, rows: list[Row]) -> bool:
    """Return whether the newest epoch is one that training may resume from, or its end."""
    epoch = len(rows)
    over = epoch == config.epochs or "outcome" in rows[-1]
    return over or epoch % config.checkpoint_every == 0


def keep_state(context: Context, epoch: int, keep: Mapping[int, str]) -> None:
    """Keep the state after an epoch where other trials will start from it; once is enough."""
    if context.rank == 0 and epoch in keep:
        Store(context.folder.parents[1]).keep(context.folder, keep[epoch], epoch)


def train_and_validate(training: Training, val: Arrays, rows: list[Row]) -> Row:
    """Train the epoch after `rows` and return its whole row, equal on every worker."""
    config, exchange, epoch = training.config, training.exchange, len(rows) + 1
    history = by_epoch(rows)
    row: Row = {"epoch": epoch, **train_epoch(training, epoch, history)}
    if epoch == 1:
        row.update({name: row[name] + count for name, count in training.before.items()})
    now = training.inner.at(Moment(epoch, config.epochs, epoch / config.epochs))
    # Whether it attacked is not told by its passes: noise costs none.
    idle = row["samples"] == 0 or (now.kind == "none" and not row["attack_steps"])
    row["eps"] = 0.0 if idle else now.eps
    exchange.settle_norms(training.model, config.batch_norm)
    skipped = row["samples"] == 0
    if training.average is not None and not skipped:
        training.average.after_epoch(training.model, epoch / config.epochs)
        exchange.settle_norms(training.average.network, config.batch_norm)
    diverged = not skipped and not (math.isfinite(row["train_loss"]) and all_finite(training.model))
    absent = ("val_clean_acc", "val_robust_acc", "rollback_epoch")
    row.update(dict.fromkeys(absent), eval_fwd_passes=0)
    row["eval_bwd_passes"] = 0
    last = epoch == config.epochs or reached(config, row)
    if last and epoch < config.epochs and not diverged:
        row["outcome"] = "finished"
    if not (diverged or skipped) and (epoch % config.eval.every == 0 or last):
        with training.clock.part("eval"):
            row.update(validate(training, val))
    row.update(seconds(training))
    if epoch in config.probe.at and not (diverged or skipped or "outcome" in row):
        row.update(probed(training, val, row, history))
    before = rows[-1] if rows else {"seconds_cum": 0.0, "passes_cum": 0}
    row["seconds_cum"] = before["seconds_cum"] + sum(row[f"{part}_seconds"] for part in PARTS)
    row["passes_cum"] = before["passes_cum"] + sum(
        row[f"{side}_passes"] for side in ("fwd", "bwd", "eval_fwd", "eval_bwd")
    )
    broken = [k for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)]
    if diverged or broken:
        row.update(dict.fromkeys(broken), outcome="diverged")
    return row


def reached(config: TrialConfig, row: Row) -> bool:
    """Return whether an epoch's training accuracy is above what the trial was to reach.

    That under the training attack; the clean one where there was no attack.
    """
    robust, clean = row["train_robust_acc"], row["train_clean_acc"]
    accuracy = clean if robust is None else robust
    target = config.stop_at_train_acc
    return target is not None and accuracy is not None and accuracy > target


def by_epoch(rows: Sequence[Row]) -> list[float]:
    """Return the validation robust accuracy after each epoch so far, NaN where none was measured.

    Epoch e stands at place e - 1 whatever is missing before it: a shape that follows accuracy must
    not take the accuracies of two epochs far apart for neighbours.
    """
    history = [math.nan] * max((row["epoch"] for row in rows), default=0)
    for row in rows:
        if row["val_robust_acc"] is not None:
            history[row["epoch"] - 1] = row["val_robust_acc"]
    return history


def validate(training: Training, val: Arrays) -> Row:
    """Return the validation's part of the row: accuracies and their cost."""
    config, eps = training.config, evaluation_eps(training.config)
    attack = ATTACKS.build(
        {"name": "pgd", "eps": eps, "norm": config.attack.norm, "steps": config.eval.steps}
    )
    device = training.exchange.device
    batches = eval_batches(val, config.eval.batch_size, device, config.eval.size)
    tally = evaluate(training.validated, batches, attack, config.seed, "val", training.exchange)
    return {
        "val_clean_acc": tally.clean_acc,
        "val_robust_acc": tally.robust_acc,
        "eval_fwd_passes": tally.forward,
        "eval_bwd_passes": tally.backward,
    }


def probed(training: Training, val: Arrays, row: Row, history: Sequence[float]) -> Row:
    """Return what a probe after a row's epoch adds to the row and changes of it.

    A probe drives decisions, as a validation does: its cost is among that of the validation.
    """
    known = [*history, math.nan if row["val_robust_acc"] is None else row["val_robust_acc"]]
    found = probe(training, row["epoch"], known, lambda: validate(training, val))
    spent = seconds(training)
    taken = sum(spent[f"{part}_seconds"] for part in PARTS)
    forward, backward = found.pop("fwd_passes"), found.pop("bwd_passes")
    return {
        **found,
        "probe_passes": forward + backward,
        "probe_seconds": taken,
        "eval_fwd_passes": row["eval_fwd_passes"] + forward,
        "eval_bwd_passes": row["eval_bwd_passes"] + backward,
        "eval_seconds": row["eval_seconds"] + taken,
        "comm_bytes": row["comm_bytes"] + found["comm_bytes"],
    }


def seconds(training: Training) -> Row:
    """Return the seconds of each part since the last row, as the mean over the workers.

    A checkpoint follows the row of its epoch, so its seconds stand in the next epoch's row. With
    them: the mean seconds of gradient exchange, and those of the worker that computed longest
    without it; null where workers are on GPUs, on which no wait is measured.
    """
    exchange, clock = training.exchange, training.clock
    parts, waited = clock.take(), clock.waiting.take()
    own = {f"{part}_seconds": spent for part, spent in parts.items()}
    total = exchange.sums({**own, "seconds_exchange": waited})
    row: Row = {name: value / exchange.world_size for name, value in total.items()}
    row["seconds_slowest"] = exchange.largest(
        parts["data"] + parts["attack"] + parts["train"] - waited
    )
    if clock.cuda and exchange.world_size > 1:
        row.update(seconds_exchange=None, seconds_slowest=None)
    return row


def roll_back(training: Training, context: Context) -> int:
    """Take back the weights of `best` and return its epoch.

    The optimiser, a mean of the weights, and what attack and gradient exchange remember, which led
    into the collapse, start anew. Nothing else changes: the learning rate and the epochs go on, and
    with them the random streams.
    """
    with training.clock.part("checkpoint"):
        best = checkpoints.load(context.folder, "best", training.config)
        if best is None:
            raise LedgerError(
                f"no checkpoint {context.folder / 'best'} to roll back to, although an epoch was "
                "validated; restore it from a copy, or train this trial again from its first epoch"
            )
        training.start_anew(best.model)
    return best.epoch


def write_checkpoints(
    training: Training, context: Context, rows: list[Row], states: dict[str, Any] | None
) -> None:
    """Write `best` if the newest epoch is the best so far, and `last` where it is due.

    Args:
        states: what training may resume from, with every worker's exchange; None: not due.
    """
    config = training.config
    value = rows[-1]["val_robust_acc"]
    earlier = [r["val_robust_acc"] for r in rows[:-1] if r["val_robust_acc"] is not None]
    if value is not None and value > max(earlier, default=-1.0):
        model = {"model": training.validated.state_dict()}
        checkpoints.save(context.folder, "best", config, rows, model)
    if states is not None:
        checkpoints.save(context.folder, "last", config, rows, states)
