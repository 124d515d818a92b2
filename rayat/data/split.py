"""Which rows go where: seeded, stratified, and the same on every machine and NumPy version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def seeded_order(n: int, seed: int | tuple[int, ...]) -> Rows:
    """Return the rows 0..n-1 in an order that depends on `n` and `seed` alone.

    NumPy promises the raw stream of a bit generator for ever, but not what `permutation` makes of
    it, so the rows are sorted by raw draws.
    """
    draws = np.random.PCG64(seed).random_raw(n)
    return np.argsort(draws, kind="stable").astype(np.int64)


def stratified(y: NDArray[np.int64], order: Rows, size: int) -> tuple[Rows, Rows]:
    """Take `size` of the rows in `order`, as many of each class as its share; the first of each.

    A share that is no whole number is rounded down, and what is missing goes to the largest
    fractions (Hamilton's method; ties to the smaller label).

    Args:
        y: labels of all rows. order: the rows to choose from. size: 0 to len(order).

    Returns:
        The taken rows and the rest, each in the order given.
    """
    labels = y[order]
    counts = np.bincount(labels, minlength=1)
    exact = counts * size
    quota, fraction = exact // len(order), exact % len(order)
    largest = np.argsort(-fraction, kind="stable")[: size - int(quota.sum())]
    quota[largest] += 1
    taken = np.zeros(len(order), dtype=bool)
    for label, number in enumerate(quota):
        taken[np.flatnonzero(labels == label)[:number]] = True
    return order[taken], order[~taken]
