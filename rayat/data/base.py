"""The data contract: what a source gives, and what every trial of a node shares."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rayat.registry import Part


@dataclass(frozen=True)
class Arrays:
    """One split: `x` uint8 (N, H, W, C) contiguous, `y` int64 (N,), -1 for an image without label.

    Only a training split of which `Source.labelled` is below 1 has such images.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class DataSet:
    """A whole data set as its source holds it, before any split.

    Attributes:
        classes: the original label or folder name of each label 0, 1, 2, ...
        checksum: hex SHA-256 over both splits' images and labels.
        notes: what a user should know of it before its figures, a sentence without a stop each.
    """

    name: str
    train: Arrays
    test: Arrays
    classes: tuple[str, ...]
    checksum: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A data set split and ready to train on: NumPy only, so that one copy serves a whole node.

    Attributes:
        train, val, test: the splits; `val` is cut from the source's training set.
        mean, std: per channel, of the training pixels in [0, 1].
        classes, notes: as in `DataSet`. name: the source's name.
        checksum: of the source's arrays. split_hash: hex SHA-256 of the chosen row numbers.
        windows: what random crops are cut from: uint8 (N, M, H + 2 padding, W + 2 padding, C), the
            zero-padded training images and, if M = 2, their mirror images; None: no augmentation.
    """

    name: str
    train: Arrays
    val: Arrays
    test: Arrays
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    checksum: str
    split_hash: str
    windows: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of the images."""
        _, height, width, channels = self.train.x.shape
        return channels, height, width


class Source(Part):
    """Where images come from, how many are used, and how they are augmented."""

    train_size: int | None = Field(
        None, ge=1, description="training images after the split; null: all that are left"
    )
    val_size: int | None = Field(None, ge=1, description="validation images; null: val_fraction")
    val_fraction: float = Field(0.1, gt=0, lt=1, description="share of the training set held out")
    split_seed: int = Field(0, ge=0, description="which rows are held out")
    labelled: float = Field(
        1.0, gt=0, le=1, description="share of the training images that keep their labels"
    )
    augment: Literal["none", "crop", "crop-flip"] = Field("none", description="per batch")
    padding: int = Field(4, ge=0, le=16, description="zero padding before the random crop, pixels")

    @abstractmethod
    def read(self) -> DataSet:
        """Read the whole data set into memory.

        Raises:
            DataError: missing or damaged; the text says how to get it.
        """
