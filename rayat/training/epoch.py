"""One epoch of adversarial training: batch, attack, objective, step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from rayat.attacks.base import Moment
from rayat.columns import MEASURED, columns_of, refuse_undeclared
from rayat.distributed.exchange import Exchange
from rayat.exchanges.base import bytes_per_step
from rayat.models.base import Normalised
from rayat.pruning.base import Pruner, Selection, SelectionContext
from rayat.pruning.share import shared
from rayat.training.counters import Counters
from rayat.training.pace import progress_of
from rayat.training.setup import Training
from rayat.training.step import Step, Sums
from rayat.training.streams import derive, stream


def train_epoch(
    training: Training,
    epoch: int,
    history: Sequence[float] = (),
    rate: Callable[[float], float] | None = None,
) -> dict[str, Any]:
    """Train one epoch and return its part of the report, reduced over the workers.

    The learning rate is set before every batch to the shape's value at `(s + 1) / S`, s being the
    number of batches done and S that of the whole training. Each worker takes its contiguous slice
    of every global batch, so M workers do what one does.

    Args:
        epoch: 1-based. history: validation robust accuracy of earlier epochs, for feedback shapes.
        rate: learning rate by progress, in place of the shape's.
    """
    config, exchange = training.config, training.exchange
    rank, device = exchange.rank, exchange.device
    counters, lr = Counters(), 0.0
    phase = config.pruning.schedule(epoch, config.epochs)
    if phase == "skip":
        return {**SKIPPED, **dict.fromkeys(config.declared_columns())}
    if phase == "full":
        training.selection = None
    if phase == "select":
        with training.clock.part("selection"):
            chosen = training.selection = select(training, epoch)
        counters.fwd_passes += chosen.forward
        counters.bwd_passes += chosen.backward
    if training.fixed is not None and epoch == 1:
        counters.fwd_passes += training.fixed.forward
        counters.bwd_passes += training.fixed.backward
        counters.attack_steps += training.fixed.steps
    share, steps, kept = training.share, training.steps, training.selection
    weights = None if kept is None else kept.row_weights(training.size).to(device)
    training.wrapped.train()
    torch.manual_seed(derive(config.seed, "network", epoch, rank))  # dropout draws from the global
    noise = stream(config.seed, "attack", epoch, rank, device=device)
    if training.reducer is not None:
        # Ranks end below the number of workers: that place is one for all.
        places = (rank, exchange.world_size)
        draws = [stream(config.seed, "rounding", epoch, place, device=device) for place in places]
        training.reducer.begin(*draws)
    step = Step(training, counters, noise)
    with training.clock.part("data"):
        order = stream(config.seed, "data", epoch)
        plan = training.loader.plan(order, *([] if kept is None else [kept.indices]))
    for number in range(steps):
        progress = progress_of(epoch, number, steps, config.epochs)
        lr = config.rate(progress, history) if rate is None else rate(progress)
        for group in training.optimizer.param_groups:
            group["lr"] = lr
        with training.clock.part("data"):
            start = (number * exchange.world_size + rank) * share
            x, y = training.loader.batch(plan, start, start + share)
        if config.unlabelled:
            y = step.guess(x, y)
        if weights is not None:
            size = share * exchange.world_size
            batch = weights[plan.rows[number * size : (number + 1) * size]]
            own = batch[rank * share : (rank + 1) * share]
            step.weights = own, batch.sum() / exchange.world_size
        if training.fixed is not None:
            step.given = training.fixed.take(plan.rows[start : start + share])
        step.last, step.progress = number == steps - 1, progress
        moment = Moment(epoch, config.epochs, progress, number)
        attack = training.inner.at(moment)
        step.present, step.objective = attack, config.objective.at(moment, attack, noise)
        attack.step(step, x, y)
        counters.samples += len(y)
    shapes = [p.shape for p in training.model.parameters() if p.requires_grad]
    counters.comm_bytes = step.exchanges * bytes_per_step(
        config.exchange, shapes, exchange.world_size
    )
    row = dict.fromkeys(config.declared_columns())
    row |= _report(exchange, counters, step.sums, lr, step.grad_norm)
    row["data_fraction"] = training.images / training.size
    if kept is not None and phase == "select":
        row |= _told(kept, config.pruning, exchange)
    if training.reducer is not None:
        found = training.reducer.measured()
        refuse_undeclared(found, "exchange", config.exchange)
        totals = exchange.sums(found)
        row |= {name: total / exchange.world_size for name, total in totals.items()}
    return row


def _told(kept: Selection, pruner: Pruner, exchange: Exchange) -> dict[str, float]:
    """Return what a selection reports, on every worker: worker 0 made it for all."""
    refuse_undeclared(kept.info, "pruning", pruner)
    own = {"random_fill": kept.random_fill, **kept.info} if exchange.rank == 0 else {}
    names = columns_of(pruner)
    given = exchange.sums({name: int(name in own) for name in names})
    totals = exchange.sums({name: float(own.get(name, 0)) for name in names})
    return {name: totals[name] for name in names if given[name]}


def select(training: Training, epoch: int) -> Selection:
    """Return the pruner's choice of images for the next epochs, made on worker 0 for all."""
    config, exchange = training.config, training.exchange
    assert training.prepared is not None
    # As in the first step of an epoch of all images: what a schedule gives the steps to come.
    first = 1 / max(1, training.size // config.batch_size)
    moment = Moment(epoch, config.epochs, (epoch - 1 + first) / config.epochs)
    attack = training.inner.at(moment)
    noise = stream(config.seed, "selection", epoch, 1, device=exchange.device)
    context = SelectionContext(
        model=cast(Normalised, training.model),
        prepared=training.prepared,
        attack=attack,
        objective=config.objective.at(moment, attack, noise),
        generator=stream(config.seed, "selection", epoch, 0),
        noise=noise,
        batch_size=config.batch_size,
        lr=config.peak_rate,
        device=exchange.device,
    )
    return shared(lambda: config.pruning.select(epoch, context), exchange)


SKIPPED = {
    **dict.fromkeys(
        (
            "lr",
            "train_loss",
            "train_clean_acc",
            "train_robust_acc",
            "grad_norm",
            *(column.name for column in MEASURED),
        )
    ),
    **dict.fromkeys(
        ("samples", "fwd_passes", "bwd_passes", "eval_fwd_passes", "eval_bwd_passes", "comm_bytes"),
        0,
    ),
    "attack_steps": 0.0,
    "data_fraction": 0.0,
}
"""The report of an epoch that a warm start leaves out: nothing was trained (docs/papers.md 5.6)."""


def _report(
    exchange: Exchange, counters: Counters, sums: Sums, lr: float, grad_norm: float
) -> dict[str, Any]:
    comm_bytes = counters.comm_bytes  # of one worker, by definition
    counts = exchange.sums(dataclasses.asdict(counters))
    totals = exchange.sums({name: float(value) for name, value in sums.values.items()})
    seen = exchange.sums(sums.counts)
    means = {name: total / seen[name] for name, total in totals.items() if seen[name]}
    return {
        "lr": lr,
        "attack_steps": counts.pop("attack_steps") / counts["samples"],
        "data_fraction": 1.0,
        **dict.fromkeys(("train_clean_acc", "train_robust_acc")),
        **dict.fromkeys(column.name for column in MEASURED),
        "grad_norm": grad_norm,
        **means,
        **counts,
        "comm_bytes": comm_bytes,
    }
