"""The resamples that every interval rests on: which seeds each of them draws, and how often."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
RESAMPLING_SEED = 0
LEVEL = 0.95
MIN_PAIRS = 3
"""With fewer seeds there is no interval, and therefore no verdict (design: honest numbers)."""


def resample(n: int) -> NDArray[np.int64]:
    """Return the places of n values that each resample draws, (RESAMPLES, n); always the same."""
    return np.random.default_rng(RESAMPLING_SEED).integers(0, n, size=(RESAMPLES, n))


@lru_cache(maxsize=16)
def compositions(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the same resamples by what they hold: of a few values many are equal.

    Returns:
        How often each distinct resample holds each value, (distinct, n), and how many resamples
        are equal to it, (distinct,).
    """
    held = np.apply_along_axis(np.bincount, 1, resample(n), minlength=n)
    kinds, many = np.unique(held, axis=0, return_counts=True)
    return kinds, many
