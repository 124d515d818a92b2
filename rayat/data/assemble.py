"""From whatever a source read to a checked `DataSet`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayat.data.base import Arrays, DataSet
from rayat.data.split import seeded_order
from rayat.errors import DataError

Split = tuple[NDArray[Any], NDArray[Any]]
"""Images (N, H, W, C) or (N, H, W), and labels (N,)."""


def assemble(
    name: str, train: Split, test: Split, classes: Sequence[str], notes: Sequence[str] = ()
) -> DataSet:
    """Check both splits and return them as a data set with its checksum.

    Args:
        name: the source's name. train, test: images (gray ones may lack the last axis), labels.
        classes: class names; a label is a place in them. notes: what the source itself noted.

    Raises:
        DataError: an empty split, fewer than two classes, pixels that are not whole numbers of
            0..255, a label that is no class, images that are all equal, splits of different image
            shapes.
    """
    arrays = {
        "training": _arrays(f"data {name!r}: the training split", *train),
        "test": _arrays(f"data {name!r}: the test split", *test),
    }
    if len(classes) < 2:
        raise DataError(
            f"data {name!r} has {len(classes)} class ({', '.join(map(str, classes))}); two are "
            "needed: give the folder whose parts are the classes"
        )
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
        if len(part) > 1 and all(np.array_equal(image, part.x[0]) for image in part.x[1:]):
            raise DataError(
                f"data {name!r}: all {len(part)} images of the {split} split are equal; look at "
                "the files, nothing can be learnt from them"
            )
    first, second = arrays["training"].x.shape[1:], arrays["test"].x.shape[1:]
    if first != second:
        raise DataError(
            f"data {name!r}: training images are {first}, test images are {second} "
            "(height, width, channels); they must be equal"
        )
    return DataSet(
        name,
        arrays["training"],
        arrays["test"],
        tuple(classes),
        checksum(*arrays.values()),
        (*notes, *_doubts(name, arrays["training"], arrays["test"], classes)),
    )


def _doubts(name: str, train: Arrays, test: Arrays, classes: Sequence[str]) -> list[str]:
    """Return what makes figures on the test split worth less than they look."""
    found = []
    wanted = set(_digests(test))
    both = wanted.intersection(_digests(train))
    if both:
        again = sum(digest in both for digest in _digests(test))
        found.append(
            f"data {name!r}: {again} of {len(test)} test images are also in the training set, "
            "pixel for pixel: accuracies on them are of images that were learnt"
        )
    lacking = [str(classes[label]) for label in np.setdiff1d(train.y, test.y)]
    if lacking:
        shown = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        found.append(
            f"data {name!r}: the test split has no image of {len(lacking)} of the training "
            f"split's classes ({shown}): its accuracies say nothing of them"
        )
    return found


def _digests(part: Arrays) -> Iterator[bytes]:
    for image in part.x:
        yield hashlib.blake2b(image.data, digest_size=16).digest()


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


def _arrays(name: str, x: NDArray[Any], y: NDArray[Any]) -> Arrays:
    if x.ndim == 3:
        x = x[..., None]
    pixels = exact(x, np.uint8, f"{name}: pixels")
    return Arrays(np.ascontiguousarray(pixels), np.ascontiguousarray(whole_labels(name, y)))


def whole_labels(name: str, y: Any) -> NDArray[np.int64]:
    """Return labels (N,) as int64.

    Raises:
        DataError: another shape (one-hot rows), or values that are no whole numbers.
    """
    try:
        labels = np.asarray(y)
    except ValueError as error:  # rows of unequal length
        raise DataError(f"{name}: labels are no list of whole numbers ({error})") from error
    if labels.ndim != 1:
        raise DataError(
            f"{name}: labels are of shape {labels.shape}; one whole number per image is needed, "
            "for one-hot rows their argmax"
        )
    return exact(labels, np.int64, f"{name}: labels")


def exact(values: NDArray[Any], kind: Any, name: str) -> NDArray[Any]:
    """Return numbers as another integer type, each of them equal to what it was.

    Raises:
        DataError: a value that the type cannot hold; the text begins with `name`.
    """
    if values.dtype == kind:
        return values
    if values.dtype.kind not in "iuf":
        raise DataError(f"{name} are of type {values.dtype}; whole numbers are needed")
    limits = np.iinfo(kind)
    fits = np.isfinite(values) & (values >= limits.min) & (values <= limits.max)
    if not fits.all() or (values != np.rint(values)).any():
        raise DataError(
            f"{name} run from {values.min():g} to {values.max():g} ({values.dtype}), which are not "
            f"whole numbers of {limits.min}..{limits.max}; convert them in the files"
        )
    return values.astype(kind)
