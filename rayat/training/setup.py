"""Everything that one worker trains with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.loader import TrainLoader
from rayat.distributed.exchange import Exchange
from rayat.distributed.reducer import Reducer
from rayat.errors import DataError
from rayat.models.synced import synchronise
from rayat.pruning.base import Selection
from rayat.training.average import Average
from rayat.training.counters import Clock
from rayat.training.network import build_model
from rayat.training.once import Fixed, make
from rayat.training.pace import share_of, steps_of
from rayat.training.training_attack import TrainingAttack


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
        reducer: the hook of `wrapped`, where the exchange has one.
        average: the mean of the weights, where one is kept.
        fixed: the adversarial images of the whole training; None: each batch is attacked.
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
    inner: TrainingAttack
    prepared: Prepared | None = None
    selection: Selection | None = None
    reducer: Reducer | None = None
    average: Average | None = None
    fixed: Fixed | None = None
    before: dict[str, int] = field(default_factory=dict)

    @property
    def validated(self) -> nn.Module:
        """Return the network that is validated and kept: the mean, once there is one."""
        if self.average is None or self.average.count == 0:
            return self.model
        return self.average.network

    def state_dict(self) -> dict[str, Any]:
        """Return, by name, everything that the next epoch follows from, besides the rows.

        `model` is the network that is validated and `trained` the one that is trained where that is
        another, a mean of `averaged` of its states; `exchange` is what this worker's gradient
        exchange remembers. The rest is equal on every worker.
        """
        chosen, mean = self.selection, self.validated is not self.model
        return {
            "model": self.validated.state_dict(),
            "trained": self.model.state_dict() if mean else None,
            "averaged": 0 if self.average is None else self.average.count,
            "optimizer": self.optimizer.state_dict(),
            "selection": None
            if chosen is None
            else {"indices": chosen.indices, "weights": chosen.weights},
            "inner": self.inner.state_dict(),
            "exchange": {} if self.reducer is None else self.reducer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; earlier versions left out what they had not."""
        self.model.load_state_dict(state.get("trained") or state["model"])
        if self.average is not None and state.get("trained") is not None:
            self.average.network.load_state_dict(state["model"])
            self.average.count = state["averaged"]
        self.optimizer.load_state_dict(state["optimizer"])
        chosen = state.get("selection")
        self.selection = None if chosen is None else Selection(**chosen)
        self.inner.load_state_dict(state.get("inner", {}))
        if self.reducer is not None and state.get("exchange"):
            self.reducer.load_state_dict(state["exchange"])

    def start_anew(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from weights alone, with everything that is remembered from step to step forgotten.

        A selection stays, and so do the epochs and with them the random streams.
        """
        self.model.load_state_dict(weights)
        self.optimizer.state.clear()
        self.inner.load_state_dict({})
        if self.reducer is not None:
            self.reducer.forget()
        if self.average is not None:
            self.average.count = 0

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
        share = share_of(self.images, self.config.batch_size, self.exchange.world_size)
        if share == 0:
            raise DataError(
                f"{self.size} training images cannot be split over workers="
                f"{self.exchange.world_size}; use fewer workers or more images"
            )
        return share

    @property
    def steps(self) -> int:
        """Return the optimiser steps of an epoch; an incomplete last batch is dropped."""
        return steps_of(self.images, self.share, self.exchange.world_size)


def begin(
    config: TrialConfig,
    prepared: Prepared,
    exchange: Exchange | None = None,
    clock: Clock | None = None,
) -> Training:
    """Return the training of a configuration before its first step.

    Raises:
        ConfigError, DataError: the configuration and the data do not fit.
    """
    exchange = exchange or Exchange()
    model = build_model(config, prepared, str(exchange.device))
    if config.batch_norm == "sync" and exchange.world_size > 1:
        synchronise(model)
    reducer = make_reducer(config, model, exchange)
    clock = clock or Clock(exchange.device)
    averaged = config.weights.average != "none"
    training = Training(
        config,
        model,
        exchange.wrap(model, reducer, clock.waiting),
        config.optimizer.make(model.parameters(), config.lr.peak),
        TrainLoader(prepared, config.data, exchange.device),
        len(prepared.train),
        exchange,
        clock,
        TrainingAttack(config, prepared.shape, len(prepared.classes), exchange),
        prepared,
        reducer=reducer,
        average=Average(config.weights, model) if averaged else None,
    )
    if config.attack_refresh == "once":
        with training.clock.part("attack"):
            training.fixed = make(config, prepared.train, model, training.inner, exchange.device)
    return training


def make_reducer(config: TrialConfig, model: nn.Module, exchange: Exchange) -> Reducer | None:
    """Return this worker's side of the gradient exchange; None where DDP's mean, or nothing, is."""
    if exchange.world_size == 1:
        return None
    return config.exchange.reducer([p for p in model.parameters() if p.requires_grad], exchange)
