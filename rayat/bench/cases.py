"""The networks and images that are measured: made here, so that every machine can run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rayat.config import TrialConfig
from rayat.data.base import Arrays, Prepared
from rayat.data.prepare import channel_statistics, pad, prepare
from rayat.distributed.exchange import Exchange
from rayat.training.epoch import train_epoch
from rayat.training.setup import Training, begin

CNN = {"name": "cnn", "width": 116, "hidden": 16, "norm": "batch"}
"""58 MFLOP forward and 0.68 million weights at 32x32x3."""
PREACT18_W16 = {"name": "preactresnet", "width": 16, "blocks": [2, 2, 2, 2]}
PREACT18 = {"name": "preactresnet18"}
FASHION = {"name": "preactresnet", "width": 16, "blocks": [1, 1, 1], "stem_stride": 2}
DIGITS = {"name": "preactresnet", "width": 16, "blocks": [1, 1]}

DIGITS_IMAGES = 1152
"""Whole batches of 64 that are left of the digits' training split after validation."""


@dataclass(frozen=True)
class Case:
    """One training to measure.

    Attributes:
        config: what is trained; its data source names the shape and the augmentation.
        prepared: the images. users: how others load such images: through `torchvision` transforms,
            or as `arrays` that lie in memory anyway.
    """

    name: str
    config: TrialConfig
    prepared: Prepared
    users: Literal["torchvision", "arrays"] = "torchvision"

    @property
    def images(self) -> int:
        """Return the images of an epoch: whole batches only."""
        return len(self.prepared.train) // self.config.batch_size * self.config.batch_size

    def variant(self, **changes: Any) -> Case:
        """Return the case with another configuration; `__` in a key stands for the point."""
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        return Case(self.name, self.config.replace(dotted), self.prepared, self.users)


def cifar(name: str, model: dict[str, Any], batch: int, images: int) -> Case:
    """Return a case on CIFAR-shaped noise with random crops and flips, PGD-10 at 8/255."""
    data = {"name": "cifar10", "augment": "crop-flip"}
    attack = {"name": "pgd", "eps": 8 / 255, "steps": 10}
    config = _config(data, model, batch, attack)
    return Case(name, config, noise(config, (3, 32, 32), images))


def fashion(batch: int, images: int) -> Case:
    """Return the Fashion net on Fashion-shaped noise, PGD-10 at 0.2."""
    attack = {"name": "pgd", "eps": 0.2, "steps": 10}
    config = _config({"name": "fashion-mnist"}, FASHION, batch, attack)
    return Case("Fashion net", config, noise(config, (1, 28, 28), images))


def digits(train_size: int | None = None) -> Case:
    """Return the digits net on the digits themselves, PGD-5 at 0.3."""
    attack = {"name": "pgd", "eps": 0.3, "steps": 5}
    config = _config({"name": "digits", "train_size": train_size}, DIGITS, 64, attack)
    return Case("digits net", config, prepare(config.data), "arrays")


def noise(config: TrialConfig, shape: tuple[int, int, int], images: int) -> Prepared:
    """Return `images` random images of `shape` (C, H, W) as the configuration's data.

    The speed of a dense network does not depend on what the images show.
    """
    channels, height, width = shape
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (images, height, width, channels), dtype=np.uint8)
    split = Arrays(x, random.integers(0, 10, images))
    mean, std = channel_statistics(x)
    classes = tuple(map(str, range(10)))
    windows = pad(x, config.data)
    return Prepared("noise", split, split, split, mean, std, classes, "", "", windows)


def training(case: Case, device: str = "cpu") -> Training:
    """Return the engine's training of the case, before its first step."""
    return begin(case.config, case.prepared, Exchange(device=device))


class Engine:
    """The engine's side of a comparison: each call trains one epoch, as a trial does.

    Attributes:
        row: the last epoch's report.
    """

    def __init__(self, case: Case, device: str = "cpu") -> None:
        self.training, self.epoch = training(case, device), 0
        self.row: dict[str, Any] = {}

    def __call__(self) -> None:
        """Train the next epoch; its report waits for the device."""
        self.epoch += 1
        self.row = train_epoch(self.training, self.epoch)


def _config(
    data: dict[str, Any], model: dict[str, Any], batch: int, attack: dict[str, Any]
) -> TrialConfig:
    # A small constant rate: on noise nothing is learned, and nothing may overflow.
    lr = {"shape": "constant", "peak": 0.01}
    tree = {"data": data, "model": model, "batch_size": batch, "attack": attack, "lr": lr}
    return TrialConfig.parse({**tree, "epochs": 10_000})
