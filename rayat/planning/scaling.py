"""How long a step of M workers takes: a prediction from one worker's step, the model and the link.

    step(M) = compute(B / M) + codec + network - hidden
    network = rounds * latency + bytes / rate
    hidden  = min(network * early, compute * backward), 0 where the whole gradient is exchanged

`bytes` and `rounds` are the exchange's own (`exchanges.base`), `early` is the share of the gradient
that is sent before the last bucket, `backward` that of the step's computation in which weights'
gradients arrive. docs/scaling.md says what is assumed and what was measured.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.distributed.exchange import Exchange
from rayat.errors import ConfigError
from rayat.exchanges.base import GradientExchange, WholeReducer, buckets, bytes_per_step
from rayat.exchanges.half import HalfReducer
from rayat.planning.estimate import Estimate
from rayat.training.network import build_model

LATENCY_S = 1e-4
"""Of a message between two hosts of one switch, gloo's own work included, where none is given."""
CODEC_ROUNDS = 3
_LINK = re.compile(
    r"(?P<rate>\d+(?:\.\d+)?) *(?P<unit>[KMG])bit/s"
    r"(?:, *(?P<latency>\d+(?:\.\d+)?) *(?P<time>us|ms))?"
)
_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "us": 1e-6, "ms": 1e-3}


@dataclass(frozen=True)
class Link:
    """A worker's connection to the others.

    Attributes:
        rate: bytes a second, each way at the same time. latency: seconds of a message, one way.
    """

    rate: float
    latency: float = LATENCY_S

    @classmethod
    def parse(cls, text: str) -> Link:
        """Return the link of a text such as `1Gbit/s` or `100Mbit/s,50us`.

        Raises:
            ConfigError: it is none, or a rate of nothing.
        """
        found = _LINK.fullmatch(text.strip())
        if found is None or float(found["rate"]) == 0:
            raise ConfigError(
                f"a link is a rate, or a rate and a latency, such as 1Gbit/s or 100Mbit/s,50us; "
                f"got {text!r}"
            )
        rate = float(found["rate"]) * _UNITS[found["unit"]] / 8
        if found["latency"] is None:
            return cls(rate)
        return cls(rate, float(found["latency"]) * _UNITS[found["time"]])


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimiser step of several workers.

    Attributes:
        compute: of one worker's part of the batch. codec: rounding and packing.
        network: from the first byte to the last. hidden: of it, while gradients are computed.
        nbytes: what a worker sends.
    """

    compute: float
    codec: float
    network: float
    hidden: float
    nbytes: int

    @property
    def exchange(self) -> float:
        """Return the seconds by which the exchange delays a step."""
        return self.codec + self.network - self.hidden

    @property
    def seconds(self) -> float:
        """Return the seconds of the step."""
        return self.compute + self.exchange


def step_time(
    exchange: GradientExchange,
    shapes: Sequence[Sequence[int]],
    workers: int,
    link: Link,
    compute: float,
    codec: float = 0.0,
    backward: float = 0.0,
) -> StepTime:
    """Return the prediction for one step; see the module.

    Args:
        shapes: of the trained parameters. compute: seconds of B / M images on one worker, alone.
        codec: seconds a worker works on messages. backward: share of `compute`, in [0, 1], that the
            weights' gradients take; 0: nothing can be sent early.
    """
    if workers == 1:
        return StepTime(compute, 0.0, 0.0, 0.0, 0)
    nbytes = bytes_per_step(exchange, shapes, workers)
    network = exchange.rounds(shapes, workers) * link.latency + nbytes / link.rate
    hidden = 0.0
    if not whole(exchange):
        sizes = buckets(shapes)
        hidden = min(network * (1 - sizes[-1] / sum(sizes)), compute * backward)
    return StepTime(compute, codec, network, hidden, nbytes)


def whole(exchange: GradientExchange) -> bool:
    """Return whether the exchange waits for the whole gradient before it sends anything."""
    reducer = exchange.reducer([nn.Parameter(torch.zeros(1))], Exchange(0, 2))
    return reducer is not None and reducer.whole


class Loopback(Exchange):
    """Workers whose messages come from this worker: what they compute, and nothing is sent."""

    def gather(self, message: Tensor) -> Tensor:
        """Return the message once for every worker."""
        return message.expand(self.world_size, -1).clone()

    def swap(self, messages: Tensor) -> Tensor:
        """Return the messages as if they were the others'; all are as long."""
        return messages[:1].expand_as(messages).clone()

    def average(self, tensors: list[Tensor]) -> None:
        """Leave the tensors as they are: the others have the same."""


def codec_seconds(
    exchange: GradientExchange, parameters: Sequence[nn.Parameter], workers: int
) -> float:
    """Measure how long one of M workers encodes, decodes and averages messages, per step.

    Args:
        parameters: those that are trained. workers: M, >= 1.
    """
    if workers == 1:
        return 0.0
    reducer = exchange.reducer(parameters, Loopback(0, workers, parameters[0].device))
    if reducer is None:
        return 0.0
    reducer.begin(*(torch.Generator(parameters[0].device) for _ in range(2)))
    noise = torch.Generator().manual_seed(0)
    gradient = torch.randn(sum(p.numel() for p in parameters), generator=noise)
    gradient = gradient.to(parameters[0].device)
    seconds = []
    for _ in range(CODEC_ROUNDS + 1):
        began = time.perf_counter()
        if isinstance(reducer, WholeReducer):
            reducer.mean(gradient.clone())
        elif isinstance(reducer, HalfReducer):
            gradient.copy_(reducer.narrow(gradient))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def backward_share(found: Estimate, images: int) -> float:
    """Return the share of a training step in which the weights' gradients are computed.

    A forward pass and a gradient of the images count as one, a gradient of weights and images as
    two.

    Args:
        images: of the epoch whose passes the estimate holds.
    """
    passes = (found.forward_passes + found.backward_passes) / images
    return 2 / (passes + 1)


def predict(
    config: TrialConfig,
    prepared: Prepared,
    found: Estimate,
    link: Link,
    cores: int | None = None,
) -> tuple[StepTime, int]:
    """Return the prediction of a configuration's step, and the steps of an epoch on all images.

    Args:
        found: the configuration's estimate, of one worker's part of the batch.
        cores: of the machine that all workers share; None: each has its own.
    """
    size = len(prepared.train)
    batch = min(config.batch_size, size) // config.workers * config.workers
    steps = size // batch
    parameters = [p for p in build_model(config, prepared).parameters() if p.requires_grad]
    crowd = 1.0 if cores is None else max(1.0, config.workers * config.threads / cores)
    predicted = step_time(
        config.exchange,
        [p.shape for p in parameters],
        config.workers,
        link,
        found.train_seconds / steps * crowd,
        codec_seconds(config.exchange, parameters, config.workers) * crowd,
        backward_share(found, steps * batch),
    )
    return predicted, steps
