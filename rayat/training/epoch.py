"""One epoch of adversarial training: batch, attack, objective, step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rayat.attacks.base import Adversarial
from rayat.config import TrialConfig
from rayat.data.loader import TrainLoader
from rayat.distributed.exchange import Exchange
from rayat.errors import DataError
from rayat.objectives.base import Outcome
from rayat.training.counters import Clock, Counters
from rayat.training.streams import derive, stream


@dataclass
class Training:
    """Everything one worker trains with.

    Attributes:
        model: the bare network, which is attacked and evaluated.
        wrapped: what the weights are trained through; the same network (`Exchange.wrap`).
        loader: batches of the training split. size: its number of images.
    """

    config: TrialConfig
    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    loader: TrainLoader
    size: int
    exchange: Exchange
    clock: Clock

    @property
    def share(self) -> int:
        """Return this worker's images per step: an equal part of the global batch.

        A training split smaller than the batch is one batch.

        Raises:
            DataError: fewer training images than workers.
        """
        share = min(self.config.batch_size, self.size) // self.exchange.world_size
        if share == 0:
            raise DataError(
                f"{self.size} training images cannot be split over workers="
                f"{self.exchange.world_size}; use fewer workers or more images"
            )
        return share

    @property
    def steps(self) -> int:
        """Return the optimiser steps of an epoch; an incomplete last batch is dropped."""
        return self.size // (self.share * self.exchange.world_size)


def train_epoch(training: Training, epoch: int, history: Sequence[float] = ()) -> dict[str, Any]:
    """Train one epoch and return its part of the report, reduced over the workers.

    The learning rate is set before every step to the shape's value at `(s + 1) / S`, s being the
    number of steps done and S that of the whole training. Each worker takes its contiguous slice of
    every global batch, so M workers do what one does (design.md section 9).

    Args:
        epoch: 1-based. history: validation robust accuracy of earlier epochs, for feedback shapes.
    """
    config, exchange = training.config, training.exchange
    rank, device, share, steps = exchange.rank, exchange.device, training.share, training.steps
    autocast = torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=config.precision == "bf16"
    )
    training.wrapped.train()
    torch.manual_seed(derive(config.seed, "network", epoch, rank))  # dropout draws from the global
    noise = stream(config.seed, "attack", epoch, rank, device=device)
    with training.clock.part("data"):
        plan = training.loader.plan(stream(config.seed, "data", epoch))
    counters, sums, lr = Counters(), Sums(), 0.0
    grad_norm = torch.zeros(())
    for step in range(steps):
        progress = ((epoch - 1) * steps + step + 1) / (config.epochs * steps)
        lr = config.lr.lr(progress, config.epochs, history)
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
            torch.autograd.backward(outcome.loss.mean())
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
    counters.comm_bytes = steps * exchange.bytes_per_step(training.model)
    return _report(exchange, counters, sums, lr, float(grad_norm))


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
