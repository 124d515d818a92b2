"""Everything that one worker trains with."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from torch.optim import Optimizer

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.loader import TrainLoader
from rayat.distributed.exchange import Exchange
from rayat.errors import DataError
from rayat.pruning.base import Selection
from rayat.training.average import Average
from rayat.training.counters import Clock
from rayat.training.inner import Inner
from rayat.training.network import build_model


@dataclass
class Training:
    """Everything one worker trains with.

    Attributes:
        model: the bare network, which is attacked and evaluated.
        wrapped: what the weights are trained through; the same network (`Exchange.wrap`).
        loader: batches of the training split. size: its number of images.
        inner: the training attack, with what it remembers.
        prepared: the data, where a pruner may ask for it.
        selection: what the pruner chose last; None: every image.
        average: the mean of the weights, where one is kept.
        before: counts of what was done before the first epoch, which are in its report.
    """

    config: TrialConfig
    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    loader: TrainLoader
    size: int
    exchange: Exchange
    clock: Clock
    inner: Inner
    prepared: Prepared | None = None
    selection: Selection | None = None
    average: Average | None = None
    before: dict[str, int] = field(default_factory=dict)

    @property
    def validated(self) -> nn.Module:
        """Return the network that is validated and kept: the mean, once there is one."""
        if self.average is None or self.average.count == 0:
            return self.model
        return self.average.network

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


def begin(config: TrialConfig, prepared: Prepared, exchange: Exchange | None = None) -> Training:
    """Return the training of a configuration before its first step.

    Raises:
        ConfigError, DataError: the configuration and the data do not fit.
    """
    exchange = exchange or Exchange()
    model = build_model(config, prepared, str(exchange.device))
    averaged = config.weights.average != "none"
    return Training(
        config,
        model,
        exchange.wrap(model),
        config.optimizer.make(model.parameters(), config.lr.peak),
        TrainLoader(prepared, config.data, exchange.device),
        len(prepared.train),
        exchange,
        Clock(exchange.device),
        Inner(config, prepared.shape, len(prepared.classes), exchange),
        prepared,
        average=Average(config.weights, model) if averaged else None,
    )
