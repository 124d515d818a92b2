"""Batches from memory: a crop is rows of one uint8 store, a batch is one selection of rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rayat.data.base import Arrays, Prepared, Source
from rayat.errors import DataError


@dataclass(frozen=True)
class EpochOrder:
    """What one epoch shows: four int64 tensors (n,), on the loader's device.

    Attributes:
        rows: place in the training split, in the epoch's order.
        mirror: 1 for the mirror image. dy, dx: corner of the crop in the padded image, pixels.
    """

    rows: Tensor
    mirror: Tensor
    dy: Tensor
    dx: Tensor

    def __len__(self) -> int:
        return len(self.rows)


class TrainLoader:
    """The training split of a prepared data set on one device, augmented in whole batches.

    The store holds padded images and their mirror images. A view lists every run of it that is as
    long as a crop's row, overlapping ones too, so that (row, mirror, dy, dx) names the first of a
    crop's runs and a batch is copied run by run (docs/data.md). On the CPU the store is the
    prepared array itself, which may be read-only and shared by many processes.

    Args:
        prepared: by `prepare(source)`. source: says how to augment. device: of the batches.

    Raises:
        DataError: `prepared` was not padded as `source` asks.
    """

    def __init__(
        self, prepared: Prepared, source: Source, device: torch.device | str = "cpu"
    ) -> None:
        n, height, width, channels = prepared.train.x.shape
        padding = 0 if source.augment == "none" else source.padding
        mirrors = 2 if source.augment == "crop-flip" else 1
        expected = (n, mirrors, height + 2 * padding, width + 2 * padding, channels)
        array = prepared.train.x[:, None] if source.augment == "none" else prepared.windows
        if array is None or array.shape != expected:
            raise DataError(
                f"data {prepared.name!r} was not prepared with augment={source.augment}, "
                f"padding={source.padding}; use prepare() on the same source"
            )
        store = as_tensor(array).to(device)
        self.image, self.drawn = (height, width, channels), (mirrors, *[2 * padding + 1] * 2)
        self.strides = store.stride()[:4]
        # Without padding an image is one run; with it each of its rows is one.
        rows = height if padding else 1
        self.steps = torch.arange(rows, device=device) * self.strides[2]
        self.runs = store.view(-1).unfold(0, height // rows * width * channels, 1)
        self.y = as_tensor(prepared.train.y).to(device)

    def plan(self, generator: torch.Generator, indices: Tensor | None = None) -> EpochOrder:
        """Draw one epoch's order and augmentation: a pure function of the generator's state.

        Args:
            generator: on the CPU, so that every device and number of workers sees the same epoch.
            indices: int64 (k,) rows of the training split to show; None: all.
        """
        n = len(self.y) if indices is None else len(indices)
        order = torch.randperm(n, generator=generator)
        rows = order if indices is None else indices.cpu()[order]
        drawn = [torch.randint(high, (n,), generator=generator) for high in self.drawn]
        return EpochOrder(*(column.to(self.y.device) for column in (rows, *drawn)))

    def batch(self, plan: EpochOrder, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return images `start` to `stop` of the plan.

        Workers of an epoch take slices of one plan: M slices of B / M are one of B, to the bit.

        Returns:
            x: float32 (B, C, H, W) in [0, 1], channels-last. y: int64 (B,).
        """
        part = slice(start, stop)
        rows = plan.rows[part]
        named = zip((plan.mirror, plan.dy, plan.dx), self.strides[1:], strict=True)
        first = sum((column[part] * stride for column, stride in named), rows * self.strides[0])
        # Whole runs are copied at a time: 12 times as fast as indexing a view of all crops.
        images = self.runs.index_select(0, (first[:, None] + self.steps).view(-1))
        return to_float(images.view(-1, *self.image)), self.y[rows]


def eval_batches(
    arrays: Arrays,
    batch_size: int,
    device: torch.device | str = "cpu",
    size: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a split's images in order, as `TrainLoader.batch` does; the last batch may be smaller.

    Args:
        size: only the first `size` images; None or more than there are: all.
    """
    x, y = as_tensor(arrays.x[:size]), as_tensor(arrays.y[:size])
    for start in range(0, len(y), batch_size):
        part = slice(start, start + batch_size)
        yield to_float(x[part].to(device)), y[part].to(device)


def to_float(images: Tensor) -> Tensor:
    """Return uint8 (B, H, W, C) as float32 (B, C, H, W) in [0, 1], channels-last, in new memory."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Return a tensor over the array's memory, which may be read-only: never write to it."""
    with warnings.catch_warnings():
        # Ray's object store gives read-only views, of which torch warns; nothing here writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
