"""Validation: robust accuracy by PGD in fp32, the same whoever asks and when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Attack
from rayat.attacks.view import attacked
from rayat.config import TrialConfig
from rayat.distributed.exchange import Exchange
from rayat.suites.base import finite
from rayat.training.streams import stream

Split = Literal["val", "test"]

CPU_PART = 128
"""Images computed at a time on a CPU, like a training batch: 500 at once hold more memory than
training does, 60 MB on Fashion-MNIST, and a process keeps it. It takes up to 6 % longer."""


@dataclass
class Tally:
    """Counts of an evaluation; integers, so that sums over workers are exact.

    Attributes:
        n: images. clean, robust: classified rightly as they are, and after the attack.
        unknown: images whose own logits are not finite: neither right nor wrong.
        unmeasured: of those, and of the images that are not fooled, those at which the attack's
            end met logits or a gradient that are not finite.
        forward, backward: passes summed over the images.
    """

    n: int = 0
    clean: int = 0
    robust: int = 0
    unknown: int = 0
    unmeasured: int = 0
    forward: int = 0
    backward: int = 0

    @property
    def clean_acc(self) -> float:
        """Return the clean accuracy; NaN where an image has no answer."""
        return math.nan if self.unknown else self.clean / self.n

    @property
    def robust_acc(self) -> float:
        """Return the robust accuracy; NaN where an image could not be measured."""
        return math.nan if self.unmeasured else self.robust / self.n


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    attack: Attack,
    seed: int,
    split: Split,
    exchange: Exchange | None = None,
) -> Tally:
    """Count what `model` gets right, clean and under `attack`; the model is left as found.

    The random start of batch i comes from a stream of (seed, split, i) alone: the counts are the
    same however many workers share the batches and however often it is asked, and no stream of the
    training moves. On a CPU the parts of a batch draw from its stream one after another.

    Args:
        model: the bare network, in fp32. batches: images in [0, 1] and labels, all of them on every
            worker. attack: such as PGD with 10 steps of `eps / 4`.
        seed: the trial's. split: names the stream.
        exchange: the workers that share the batches; the counts returned are the sums over them.
    """
    exchange = exchange or Exchange()
    tally = Tally()
    found = torch.zeros(4, dtype=torch.int64, device=exchange.device)
    with attacked(model) as frozen, torch.no_grad():
        for index, (x, y) in enumerate(batches):
            if index % exchange.world_size != exchange.rank:
                continue
            noise = stream(seed, split, index, device=x.device)
            part = CPU_PART if x.device.type == "cpu" else len(x)
            for some, labels in zip(torch.split(x, part), torch.split(y, part), strict=True):
                adv = attack(model, some, labels, noise)
                found = found + _judged(frozen(some), frozen(adv.x), labels, adv)
                tally.n += len(labels)
                tally.forward += 2 * len(labels) + adv.forward
                tally.backward += adv.backward
    # The only wait for the device.
    tally.clean, tally.robust, tally.unknown, tally.unmeasured = found.tolist()
    return Tally(**exchange.sums(dataclasses.asdict(tally)))


def _judged(logits: Tensor, attacked: Tensor, y: Tensor, adv: Adversarial) -> Tensor:
    """Return how many are right, still right, unknown and unmeasured (`Tally`), shape (4,)."""
    unknown, lost = ~finite(logits), ~finite(attacked)
    right = (logits.argmax(1) == y) & ~unknown
    held = (attacked.argmax(1) == y) | lost
    broken = lost | ~adv.info["grad_l1"].isfinite() if "grad_l1" in adv.info else lost
    unmeasured = unknown | (held & broken)
    return torch.stack([n.sum() for n in (right, held & ~unmeasured, unknown, unmeasured)])


def evaluation_eps(config: TrialConfig) -> float:
    """Return the radius of the evaluation attacks: `eval.eps`, or the training attack's."""
    return config.attack.eps if config.eval.eps is None else config.eval.eps
