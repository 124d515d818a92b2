"""The handwritten digits that ship with scikit-learn: no download, trained in seconds."""

from __future__ import annotations

import numpy as np

from rayat.data.assemble import assemble
from rayat.data.base import DataSet, Source
from rayat.data.split import seeded_order, stratified
from rayat.registry import SOURCES

TEST_SIZE = 500


@SOURCES.register("digits")
class Digits(Source):
    """1,797 handwritten digits, 8x8 gray, 10 classes; a fixed, stratified 500 are the test.

    Intensities 0..16 become `v * 255 / 16` to the nearest of 0..255 (8 is half way and becomes
    128), so a pixel is at most 1/510 from its share of white.

    Source: scikit-learn, `sklearn.datasets.load_digits`; the test part of the UCI optical digits.
    """

    def read(self) -> DataSet:
        """Return the data set; it ships with scikit-learn."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
        y = bunch.target.astype(np.int64)
        test, train = stratified(y, seeded_order(len(y), seed=0), TEST_SIZE)
        return assemble("digits", (x[train], y[train]), (x[test], y[test]), list("0123456789"))
