"""Pseudo-labels: a teacher trained on the labelled images gives them (docs/papers.md 3.2)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rayat.attacks.view import attacked
from rayat.config import TrialConfig
from rayat.data.base import Arrays, Prepared
from rayat.data.loader import eval_batches
from rayat.distributed.exchange import Exchange
from rayat.errors import ConfigError
from rayat.training import checkpoints
from rayat.training.counters import Clock
from rayat.training.epoch import train_epoch
from rayat.training.network import all_finite
from rayat.training.setup import Training, begin
from rayat.training.streams import derive

COUNTS = ("samples", "fwd_passes", "bwd_passes", "comm_bytes")


def taught(
    config: TrialConfig, prepared: Prepared, exchange: Exchange, folder: Path, clock: Clock
) -> tuple[Prepared, dict[str, int]]:
    """Return the data with every image labelled, and what that cost, as counts of a report.

    The teacher is a network of the trial's kind after `teacher.epochs` of standard training on the
    labelled images, with the trial's optimiser, rate and batch, and a seed derived from its own. It
    looks at each unlabelled image once, as it is, in evaluation mode and fp32. It is kept as the
    checkpoint `teacher`, so that a resumed trial has the same labels.

    Without `teacher.epochs` the data comes back as it is.

    Args:
        folder: the trial's. clock: takes the seconds.

    Raises:
        ConfigError: the teacher diverged. DataError: too few labelled images for the workers.
    """
    if config.teacher.epochs == 0:
        return prepared, {}
    missing = np.flatnonzero(prepared.train.y < 0)
    seed = derive(config.seed, "teacher") % 2**32
    teacher = begin(
        config.of_teacher().replace({"seed": seed}), labelled(prepared), exchange, clock
    )
    checkpoint = checkpoints.load(folder, "teacher", config)
    if checkpoint is not None:
        teacher.model.load_state_dict(checkpoint.model)
        cost = checkpoint.rows[0]
    else:
        cost = train(teacher)
        cost["fwd_passes"] += len(missing)
        if exchange.rank == 0:
            states = {"model": teacher.model.state_dict()}
            checkpoints.save(folder, "teacher", config, [cost], states)
        exchange.barrier()
    y = prepared.train.y.copy()
    with clock.part("train"):
        unseen = Arrays(prepared.train.x[missing], y[missing])
        y[missing] = exchange.first(predict(teacher.model, unseen, config, exchange)).cpu().numpy()
    return dataclasses.replace(prepared, train=Arrays(prepared.train.x, y)), cost


def labelled(prepared: Prepared) -> Prepared:
    """Return the data with only those training images that have a label."""
    rows = np.flatnonzero(prepared.train.y >= 0)
    train = Arrays(prepared.train.x[rows], prepared.train.y[rows])
    windows = None if prepared.windows is None else prepared.windows[rows]
    return dataclasses.replace(prepared, train=train, windows=windows)


def train(teacher: Training) -> dict[str, int]:
    """Train to the end and return the counts, summed over the workers as in a report."""
    cost = dict.fromkeys(COUNTS, 0)
    for epoch in range(1, teacher.config.epochs + 1):
        row = train_epoch(teacher, epoch)
        teacher.exchange.settle_norms(teacher.model, teacher.config.batch_norm)
        for name in COUNTS:
            cost[name] += row[name]
    if not all_finite(teacher.model):
        raise ConfigError(
            f"the teacher diverged within teacher.epochs={teacher.config.epochs}, got weights that "
            "are not finite; lower lr.peak"
        )
    return cost


@torch.no_grad()
def predict(
    model: nn.Module, arrays: Arrays, config: TrialConfig, exchange: Exchange
) -> torch.Tensor:
    """Return the predicted classes, int64 (N,)."""
    with attacked(model, fast=False) as frozen:
        batches = eval_batches(arrays, config.eval.batch_size, exchange.device)
        return torch.cat([frozen(x).argmax(1) for x, _ in batches])
