"""CIFAR-10 from its original files."""

from __future__ import annotations

from pydantic import Field

from rayat.data.assemble import assemble
from rayat.data.base import DataSet, Source
from rayat.data.cifar import find, read_pickle, read_split
from rayat.data.fetch import CACHE
from rayat.registry import SOURCES


@SOURCES.register("cifar10")
class CIFAR10(Source):
    """60,000 pictures, 32x32 RGB, 10 classes; 10,000 are the test.

    The files are torchvision's: `root/cifar-10-batches-py/`.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    root: str = Field(CACHE, description="folder that holds cifar-10-batches-py")
    download: bool = Field(False, description="fetch it into root if it is missing")

    def read(self) -> DataSet:
        """Return the data set.

        Raises:
            DataError: not found, or a damaged file.
        """
        folder = find("CIFAR10", self.root, "cifar-10-batches-py", self.download)
        train = read_split(folder, [f"data_batch_{i}" for i in range(1, 6)], "labels")
        test = read_split(folder, ["test_batch"], "labels")
        (classes,) = read_pickle(folder / "batches.meta", ["label_names"])
        return assemble("cifar10", train, test, classes)
