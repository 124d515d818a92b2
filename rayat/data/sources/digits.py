"""The handwritten digits that ship with scikit-learn: no download, trained in seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from rayat.data.assemble import assemble
from rayat.data.base import DataSet, Source
from rayat.data.split import seeded_order, stratified
from rayat.registry import SOURCES

TEST_SIZE = 500
FILE = Path("datasets", "data", "digits.csv.gz")
"""Within scikit-learn: a row an image, 64 intensities 0..16 and the digit."""


@SOURCES.register("digits")
class Digits(Source):
    """1,797 handwritten digits, 8x8 gray, 10 classes; a fixed, stratified 500 are the test.

    Intensities 0..16 become `v * 255 / 16` to the nearest of 0..255 (8 is half way and becomes
    128), so a pixel is at most 1/510 from its share of white.

    Source: scikit-learn, `sklearn.datasets.load_digits`; the test part of the UCI optical digits.
    """

    def read(self) -> DataSet:
        """Return the data set; it ships with scikit-learn."""
        table = table_of_digits()
        x = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        y = table[:, -1].astype(np.int64)
        test, train = stratified(y, seeded_order(len(y), seed=0), TEST_SIZE)
        return assemble("digits", (x[train], y[train]), (x[test], y[test]), list("0123456789"))


def table_of_digits() -> np.ndarray:
    """Return (1797, 65) numbers: each image's 64 intensities 0..16 in row order, and its digit.

    From scikit-learn's folder, without importing scikit-learn, which takes every worker seconds.
    """
    spec = importlib.util.find_spec("sklearn")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    for path in (Path(place) / FILE for place in places):
        if path.is_file():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # another version keeps it elsewhere

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
