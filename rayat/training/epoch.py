"""One epoch of adversarial training: batch, attack, objective, step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rayat.attacks.base import Adversarial
from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.loader import TrainLoader
from rayat.distributed.exchange import Exchange
from rayat.errors import DataError
from rayat.exchanges.base import Reducer, bytes_per_step
from rayat.models.base import Normalised
from rayat.objectives.base import Outcome
from rayat.pruning.base import Selection, SelectionContext
from rayat.pruning.share import shared
from rayat.pruning.weighted import weighted_mean
from rayat.training.counters import Clock, Counters
from rayat.training.streams import derive, stream


@dataclass
class Training:
    """Everything one worker trains with.

    Attributes:
        model: the bare network, which is attacked and evaluated.
        wrapped: what the weights are trained through; the same network (`Exchange.wrap`).
        loader: batches of the training split. size: its number of images.
        prepared: the data, where a pruner may ask for it.
        selection: what the pruner chose last; None: every image.
        reducer: the hook of `wrapped`, where the exchange has one.
    """

    config: TrialConfig
    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    loader: TrainLoader
    size: int
    exchange: Exchange
    clock: Clock
    prepared: Prepared | None = None
    selection: Selection | None = None
    reducer: Reducer | None = None

    @property
    def images(self) -> int:
        """Return how many images an epoch shows: all, or those selected."""
        return self.size if self.selection is None else len(self.selection.indices)

    @property
    def share(self) -> int:
        """Return this worker's images per step: an equal part of the global batch.

        A training split smaller than the batch is one batch.

        Raises:
            DataError: fewer training images than workers.
        """
        share = min(self.config.batch_size, self.images) // self.exchange.world_size
        if share == 0:
            raise DataError(
                f"{self.size} training images cannot be split over workers="
                f"{self.exchange.world_size}; use fewer workers or more images"
            )
        return share

    @property
    def steps(self) -> int:
        """Return the optimiser steps of an epoch; an incomplete last batch is dropped."""
        return self.images // (self.share * self.exchange.world_size)


def train_epoch(training: Training, epoch: int, history: Sequence[float] = ()) -> dict[str, Any]:
    """Train one epoch and return its part of the report, reduced over the workers.

    The learning rate is set before every step to the shape's value at `(s + 1) / S`, s being the
    number of steps done and S that of the whole training. Each worker takes its contiguous slice of
    every global batch, so M workers do what one does (design.md section 9).

    Args:
        epoch: 1-based. history: validation robust accuracy of earlier epochs, for feedback shapes.
    """
    config, exchange = training.config, training.exchange
    rank, device = exchange.rank, exchange.device
    counters, sums, lr = Counters(), Sums(), 0.0
    phase = config.pruning.schedule(epoch, config.epochs)
    if phase == "skip":
        return dict(SKIPPED)
    if phase == "full":
        training.selection = None
    if phase == "select":
        with training.clock.part("selection"):
            chosen = training.selection = select(training, epoch, history)
        counters.fwd_passes += chosen.forward
        counters.bwd_passes += chosen.backward
    share, steps, kept = training.share, training.steps, training.selection
    weights = None if kept is None else kept.row_weights(training.size).to(device)
    autocast = torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=config.precision == "bf16"
    )
    training.wrapped.train()
    torch.manual_seed(derive(config.seed, "network", epoch, rank))  # dropout draws from the global
    noise = stream(config.seed, "attack", epoch, rank, device=device)
    if training.reducer is not None:
        # Ranks end below the number of workers: that place is one for all.
        places = (rank, exchange.world_size)
        draws = [stream(config.seed, "rounding", epoch, place, device=device) for place in places]
        training.reducer.begin(*draws)
    with training.clock.part("data"):
        order = stream(config.seed, "data", epoch)
        plan = training.loader.plan(order, *([] if kept is None else [kept.indices]))
    grad_norm = torch.zeros(())
    for step in range(steps):
        progress = ((epoch - 1) * steps + step + 1) / (config.epochs * steps)
        lr = config.rate(progress, history)
        for group in training.optimizer.param_groups:
            group["lr"] = lr
        with training.clock.part("data"):
            start = (step * exchange.world_size + rank) * share
            x, y = training.loader.batch(plan, start, start + share)
        with training.clock.part("attack"), autocast:
            adv = config.attack(training.model, x, y, noise)
        with training.clock.part("train"):
            with autocast:
                outcome = config.objective.loss(training.wrapped, x, adv, y)
            if weights is None:
                loss = outcome.loss.mean()
            else:
                size = share * exchange.world_size
                batch = weights[plan.rows[step * size : (step + 1) * size]]
                own = batch[rank * share : (rank + 1) * share]
                loss = weighted_mean(outcome.loss, own, batch.sum() / exchange.world_size)
            torch.autograd.backward(loss)
            if step == steps - 1:
                grads = [p.grad for p in training.model.parameters() if p.grad is not None]
                grad_norm = torch.nn.utils.get_total_norm(grads)
            training.optimizer.step()
            training.optimizer.zero_grad(set_to_none=True)
            sums.add(outcome, adv, y)
        counters.samples += len(y)
        counters.fwd_passes += adv.forward + outcome.forward
        counters.bwd_passes += adv.backward + outcome.backward
        counters.attack_steps += adv.backward
    shapes = [p.shape for p in training.model.parameters() if p.requires_grad]
    counters.comm_bytes = steps * bytes_per_step(config.exchange, shapes, exchange.world_size)
    row = _report(exchange, counters, sums, lr, float(grad_norm))
    row["data_fraction"] = training.images / training.size
    return row


def select(training: Training, epoch: int, history: Sequence[float]) -> Selection:
    """Return the pruner's choice of images for the next epochs, made on worker 0 for all."""
    config, exchange = training.config, training.exchange
    assert training.prepared is not None
    context = SelectionContext(
        model=cast(Normalised, training.model),
        prepared=training.prepared,
        attack=config.attack,
        objective=config.objective,
        generator=stream(config.seed, "selection", epoch, 0),
        noise=stream(config.seed, "selection", epoch, 1, device=exchange.device),
        batch_size=config.batch_size,
        lr=config.rate((epoch - 1) / config.epochs, history),
        device=exchange.device,
    )
    return shared(lambda: config.pruning.select(epoch, context), exchange)


SKIPPED = {
    **dict.fromkeys(
        ("lr", "train_loss", "train_clean_acc", "train_robust_acc", "fosc", "grad_norm")
    ),
    **dict.fromkeys(
        ("samples", "fwd_passes", "bwd_passes", "eval_fwd_passes", "eval_bwd_passes", "comm_bytes"),
        0,
    ),
    "attack_steps": 0.0,
    "data_fraction": 0.0,
}
"""The report of an epoch that a warm start leaves out: nothing was trained (docs/papers.md 5.6)."""


class Sums:
    """Per-sample quantities summed on the device, so that no step waits for it.

    Attributes:
        values: sum by name: `loss`, `robust` and `clean` (rightly classified), an attack's info.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}

    def add(self, outcome: Outcome, adv: Adversarial, y: Tensor) -> None:
        """Add one batch."""
        columns = {"loss": outcome.loss, **adv.info}
        if outcome.clean_logits is not None:
            columns["clean"] = outcome.clean_logits.argmax(1) == y
        if outcome.clean_logits is not outcome.adv_logits:  # there was something to be robust to
            columns["robust"] = outcome.adv_logits.argmax(1) == y
        for name, column in columns.items():
            total = column.detach().sum(dtype=torch.float64)
            self.values[name] = self.values[name] + total if name in self.values else total


def _report(
    exchange: Exchange, counters: Counters, sums: Sums, lr: float, grad_norm: float
) -> dict[str, Any]:
    comm_bytes = counters.comm_bytes  # of one worker, by definition
    counts = exchange.sums(dataclasses.asdict(counters))
    totals = exchange.sums({name: float(value) for name, value in sums.values.items()})
    means = {name: total / counts["samples"] for name, total in totals.items()}
    return {
        "lr": lr,
        "attack_steps": counts.pop("attack_steps") / counts["samples"],
        "data_fraction": 1.0,
        "train_loss": means.pop("loss"),
        "train_clean_acc": means.pop("clean", None),
        "train_robust_acc": means.pop("robust", None),
        "fosc": None,
        "grad_norm": grad_norm,
        **means,
        **counts,
        "comm_bytes": comm_bytes,
    }
