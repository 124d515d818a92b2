"""How many steps an epoch has, and how much of the training is done after each."""

from __future__ import annotations


def share_of(images: int, batch_size: int, workers: int) -> int:
    """Return one worker's images per step: an equal part of the global batch.

    Fewer images than a batch are one batch; fewer than workers give 0.
    """
    return min(batch_size, images) // workers


def steps_of(images: int, share: int, workers: int) -> int:
    """Return the optimiser steps of an epoch on `images`; an incomplete last batch is dropped."""
    return images // (share * workers)


def progress_of(epoch: int, number: int, steps: int, epochs: int) -> float:
    """Return the share of all steps that is done when step `number` of an epoch ends, in (0, 1].

    Args:
        epoch: 1-based. number: 0-based. steps: of each epoch. epochs: of the whole training.
    """
    return ((epoch - 1) * steps + number + 1) / (epochs * steps)
