"""From whatever a source read to a checked `DataSet`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayat.data.base import Arrays, DataSet
from rayat.data.split import seeded_order
from rayat.errors import DataError

Split = tuple[NDArray[Any], NDArray[Any]]
"""Images (N, H, W, C) or (N, H, W), and labels (N,)."""


def assemble(name: str, train: Split, test: Split, classes: Sequence[str]) -> DataSet:
    """Check both splits and return them as a data set with its checksum.

    Args:
        name: the source's name. train, test: images (gray ones may lack the last axis), labels.
        classes: class names; a label is a place in them.

    Raises:
        DataError: an empty split, a label that is no class, splits of different image shapes.
    """
    arrays = {"training": _arrays(*train), "test": _arrays(*test)}
    for split, part in arrays.items():
        if not (len(part.x) == len(part.y) > 0):
            raise DataError(
                f"data {name!r}: the {split} split has {len(part.x)} images and {len(part.y)} "
                "labels; one label per image and at least one image are needed"
            )
        if part.y.min() < 0 or part.y.max() >= len(classes):
            raise DataError(
                f"data {name!r}: labels of the {split} split run from {part.y.min()} to "
                f"{part.y.max()}, but there are {len(classes)} classes"
            )
    first, second = arrays["training"].x.shape[1:], arrays["test"].x.shape[1:]
    if first != second:
        raise DataError(
            f"data {name!r}: training images are {first}, test images are {second} "
            "(height, width, channels); they must be equal"
        )
    return DataSet(
        name, arrays["training"], arrays["test"], tuple(classes), checksum(*arrays.values())
    )


def checksum(*parts: Arrays) -> str:
    """Return the hex SHA-256 of shapes, images and labels, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part.x.shape).encode())
        digest.update(part.x.data)
        digest.update(part.y.astype("<i8").data)
    return digest.hexdigest()


def mixed(split: Split) -> Split:
    """Return the split's rows in a fixed random order.

    Folders are often sorted by class, and an evaluation of the first n images must be fair.
    """
    x, y = split
    order = seeded_order(len(y), seed=0)
    return x[order], y[order]


def _arrays(x: NDArray[Any], y: NDArray[Any]) -> Arrays:
    if x.ndim == 3:
        x = x[..., None]
    return Arrays(np.ascontiguousarray(x, dtype=np.uint8), np.ascontiguousarray(y, dtype=np.int64))
