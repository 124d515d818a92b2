"""CIFAR-100 from its original files."""

from __future__ import annotations

from pydantic import Field

from rayat.data.assemble import assemble
from rayat.data.base import DataSet, Source
from rayat.data.cifar import find, read_pickle, read_split
from rayat.data.fetch import CACHE
from rayat.registry import SOURCES


@SOURCES.register("cifar100")
class CIFAR100(Source):
    """60,000 pictures, 32x32 RGB, 100 classes (the fine labels); 10,000 are the test.

    The files are torchvision's: `root/cifar-100-python/`.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    root: str = Field(CACHE, description="folder that holds cifar-100-python")
    download: bool = Field(False, description="fetch it into root if it is missing")

    def read(self) -> DataSet:
        """Return the data set.

        Raises:
            DataError: not found, or a damaged file.
        """
        folder = find("CIFAR100", self.root, "cifar-100-python", self.download)
        train = read_split(folder, ["train"], "fine_labels")
        test = read_split(folder, ["test"], "fine_labels")
        (classes,) = read_pickle(folder / "meta", ["fine_label_names"])
        return assemble("cifar100", train, test, classes)
