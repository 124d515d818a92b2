"""Fashion-MNIST from its original idx files."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rayat.data.assemble import Split, assemble
from rayat.data.base import DataSet, Source
from rayat.data.fetch import CACHE, fetch
from rayat.errors import DataError
from rayat.registry import SOURCES

DEBIAN = "/usr/share/datasets/fashion-mnist"
"""Where Debian's package dataset-fashion-mnist puts the files."""

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@SOURCES.register("fashion-mnist")
class FashionMNIST(Source):
    """70,000 pictures of clothes, 28x28 gray, 10 classes; 10,000 are the test.

    Looked for under `root`, then in torchvision's layout below it, then where Debian's package
    dataset-fashion-mnist puts it.

    Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747.
    """

    root: str = Field(CACHE, description="folder of the idx files, or torchvision's root")
    download: bool = Field(False, description="fetch it into root if it is missing")

    def read(self) -> DataSet:
        """Return the data set.

        Raises:
            DataError: not found, or a damaged file.
        """
        folder = self._folder()
        if folder is None and self.download:
            fetch("FashionMNIST", self.root)
            folder = self._folder()
        if folder is None:
            raise DataError(
                f"data 'fashion-mnist' is neither under {self.root} nor under {DEBIAN}; "
                "apt-get install dataset-fashion-mnist, or set data.download=true"
            )
        train, test = (_split(folder, name) for name in ("train", "t10k"))
        return assemble("fashion-mnist", train, test, CLASSES)

    def _folder(self) -> Path | None:
        root = Path(self.root).expanduser()
        for folder in (root, root / "FashionMNIST" / "raw", Path(DEBIAN)):
            if _find(folder, "train-images-idx3-ubyte") is not None:
                return folder
        return None


def _split(folder: Path, name: str) -> Split:
    return (
        read_idx(folder, f"{name}-images-idx3-ubyte", 3),
        read_idx(folder, f"{name}-labels-idx1-ubyte", 1),
    )


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def read_idx(folder: Path, name: str, axes: int) -> NDArray[Any]:
    """Read one idx file of unsigned bytes with `axes` axes, plain or gzipped.

    The format: two zero bytes, the type (8 for unsigned bytes), the number of axes, each axis'
    length as a big-endian 32-bit integer, then the bytes.

    Raises:
        DataError: missing, truncated or another kind of file.
    """
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder / name} is missing, plain and as .gz; install the data set again")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); install the data set again") from error
    head = 4 + 4 * axes
    if len(data) < head or data[:4] != bytes((0, 0, 8, axes)):
        raise DataError(f"{path} is no idx file of bytes with {axes} axes; install it again")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, offset=4))
    if len(data) - head != np.prod(shape, dtype=np.int64):
        raise DataError(
            f"{path} holds {len(data) - head} bytes after its head, but its head says {shape}; "
            "install the data set again"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
