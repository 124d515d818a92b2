"""From a source to what trials share: split, counted, padded, hashed."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from rayat.data.base import Arrays, Prepared, Source
from rayat.data.split import Rows, seeded_order, stratified
from rayat.errors import DataError

LABELS = 1
"""Names the stream that chooses which images keep their labels."""


def prepare(source: Source) -> Prepared:
    """Read a source and split it: a pure function of the source and its files.

    The validation split is cut from the training set, stratified, in a seeded order that depends on
    `split_seed` alone; a smaller `train_size` takes a stratified part of what is left and never
    moves the validation split. The test split stays as the source gives it. Of the training split a
    stratified `labelled` part, from an order of its own, keeps its labels.

    Raises:
        DataError: the data is missing or damaged, or too small for the sizes asked for.
    """
    data = source.read()
    val_size, train_size = _sizes(source, len(data.train))
    order = seeded_order(len(data.train), source.split_seed)
    val, rest = stratified(data.train.y, order, val_size)
    train, _ = stratified(data.train.y, rest, train_size)
    chosen, hidden = _hide_labels(_take(data.train, train), source)
    mean, std = channel_statistics(chosen.x)
    return Prepared(
        name=data.name,
        train=chosen,
        val=_take(data.train, val),
        test=data.test,
        mean=mean,
        std=std,
        classes=data.classes,
        checksum=data.checksum,
        split_hash=_split_hash(train, val, *([train[hidden]] if len(hidden) else [])),
        windows=pad(chosen.x, source),
        notes=data.notes,
    )


def pad(x: NDArray[np.uint8], source: Source) -> NDArray[np.uint8] | None:
    """Return what the source's random crops are cut from (`Prepared.windows`), None if nothing is.

    Args:
        x: images (N, H, W, C).
    """
    if source.augment == "none":
        return None
    n, height, width, channels = x.shape
    p, mirrors = source.padding, 2 if source.augment == "crop-flip" else 1
    out = np.zeros((n, mirrors, height + 2 * p, width + 2 * p, channels), dtype=np.uint8)
    out[:, 0, p : p + height, p : p + width] = x
    if mirrors == 2:
        out[:, 1] = out[:, 0, :, ::-1]
    return out


def channel_statistics(x: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of pixels in [0, 1].

    Sums are integers, so the result is exact to the last rounding whatever the order. A channel
    that is constant has standard deviation 1, by which it is safe to divide.

    Args:
        x: images (N, H, W, C).
    """
    sums = np.zeros((2, x.shape[-1]), dtype=np.int64)
    for start in range(0, len(x), 1024):  # int64 is eight times the images' memory
        pixels = x[start : start + 1024].reshape(-1, x.shape[-1]).astype(np.int64)
        sums += pixels.sum(0), (pixels * pixels).sum(0)
    n = x.size // x.shape[-1]
    pairs = [(int(s), int(q)) for s, q in sums.T]
    mean = tuple(s / (255 * n) for s, _ in pairs)
    std = tuple((n * q - s * s) ** 0.5 / (255 * n) or 1.0 for s, q in pairs)
    return mean, std


def _sizes(source: Source, n: int) -> tuple[int, int]:
    val = source.val_size if source.val_size is not None else round(source.val_fraction * n)
    asked = (
        f"val_size={source.val_size}"
        if source.val_size is not None
        else f"val_fraction={source.val_fraction:g} ({val} images)"
    )
    if not 0 < val < n:
        raise DataError(
            f"data {source.kind!r} has {n} training images: {asked} leaves none "
            f"{'to validate on' if val == 0 else 'to train on'}"
        )
    train = source.train_size if source.train_size is not None else n - val
    if val + train > n:
        raise DataError(
            f"data {source.kind!r} has {n} training images: train_size={train} and {asked} "
            f"need {val + train}; train_size can be at most {n - val}"
        )
    return val, train


def _take(arrays: Arrays, rows: Rows) -> Arrays:
    return Arrays(np.ascontiguousarray(arrays.x[rows]), np.ascontiguousarray(arrays.y[rows]))


def _hide_labels(train: Arrays, source: Source) -> tuple[Arrays, Rows]:
    """Return the split with the label -1 where it loses its own, and those rows, ascending."""
    if source.labelled == 1:
        return train, np.empty(0, dtype=np.int64)
    size = round(source.labelled * len(train))
    if size == 0:
        raise DataError(
            f"data.labelled={source.labelled:g} of {len(train)} training images leaves no label; "
            "raise it"
        )
    order = seeded_order(len(train), (source.split_seed, LABELS))
    hidden = np.sort(stratified(train.y, order, size)[1])
    y = train.y.copy()
    y[hidden] = -1
    return Arrays(train.x, y), hidden


def _split_hash(*parts: Rows) -> str:
    digest = hashlib.sha256()
    for rows in parts:
        digest.update(len(rows).to_bytes(8, "little"))
        digest.update(rows.astype("<i8").tobytes())
    return digest.hexdigest()
