"""Tiny data sets in every layout that a source reads, written to a temporary folder."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayat.data.base import Arrays, DataSet, Source
from rayat.data.split import seeded_order


def _pixels(n: int, height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), np.uint8)


def _idx(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def fashion_root(tmp_path: Path) -> Path:
    """Return a folder of gzipped idx files: 40 training and 20 test images of 6x5."""
    root = tmp_path / "fashion"
    root.mkdir()
    for name, n in (("train", 40), ("t10k", 20)):
        x, y = _pixels(n, 6, 5, 1)[..., 0], (np.arange(n) % 10).astype(np.uint8)
        (root / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(x)))
        (root / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(y)))
    return root


@pytest.fixture
def cifar_root(tmp_path: Path) -> Path:
    """Return a folder with both CIFAR sets in torchvision's layout, 20 images a file."""
    root = tmp_path / "cifar"
    ten, hundred = root / "cifar-10-batches-py", root / "cifar-100-python"
    for folder, files, key, classes in (
        (ten, [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], "labels", 10),
        (hundred, ["train", "test"], "fine_labels", 100),
    ):
        folder.mkdir(parents=True)
        for seed, file in enumerate(files):
            # One image: all red, then all green, then all blue; the files' own order.
            data = _pixels(20, 32, 32, 3, seed).transpose(0, 3, 1, 2).reshape(20, -1)
            batch = {"data": data, key: [i % classes for i in range(20)]}
            (folder / file).write_bytes(pickle.dumps(batch, protocol=2))
    (ten / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [f"ten{i}" for i in range(10)]}, protocol=2)
    )
    (hundred / "meta").write_bytes(
        pickle.dumps({"fine_label_names": [f"hundred{i}" for i in range(100)]}, protocol=2)
    )
    return root


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    """Return an ImageFolder layout: classes cat and dog, 12 training and 4 test images each."""
    root = tmp_path / "pets"
    for split, n in (("train", 12), ("test", 4)):
        for seed, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i, image in enumerate(_pixels(n, 8, 8, 3, seed)):
                (root / split / name / f"{i:02}.png").write_bytes(_png(image))
    return root


@pytest.fixture
def parquet_root(tmp_path: Path) -> Path:
    """Return a Parquet folder of gray images: 30 training and 12 test, classes a, b, c."""
    root = tmp_path / "letters"
    root.mkdir()
    features = {"image": {"_type": "Image"}, "label": {"names": ["a", "b", "c"]}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, n in (("train", 30), ("test", 12)):
        images = [{"bytes": _png(x), "path": None} for x in _pixels(n, 7, 7, 1)]
        labels = pa.array(sorted(i % 3 for i in range(n)), pa.int64())
        table = pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata)
        pq.write_table(table, root / f"{split}.parquet")
    return root


@pytest.fixture
def source_options(request: pytest.FixtureRequest) -> Callable[[str], dict[str, object]]:
    """Return the parameters with which a source finds a tiny set; none: its defaults serve."""
    folders = {
        "fashion-mnist": ("root", "fashion_root"),
        "cifar10": ("root", "cifar_root"),
        "cifar100": ("root", "cifar_root"),
        "imagefolder": ("path", "image_root"),
        "folder": ("path", "parquet_root"),
    }

    def options(name: str) -> dict[str, object]:
        if name not in folders:
            return {}
        key, fixture = folders[name]
        return {key: str(request.getfixturevalue(fixture))}

    return options


class Memory(Source):
    """Random images of a given shape; labels are drawn, so classes are of unequal size."""

    n: int = 60
    shape: tuple[int, int, int] = (6, 5, 3)
    classes: int = 4

    def read(self) -> DataSet:
        x = _pixels(self.n, *self.shape)
        y = seeded_order(self.n, 1) % self.classes // (1 + seeded_order(self.n, 2) % 2)
        names = tuple(str(i) for i in range(self.classes))
        arrays = Arrays(x, y)
        return DataSet("memory", arrays, Arrays(x[:10], y[:10]), names, "0" * 64)


@pytest.fixture(scope="session")  # hypothesis refuses fixtures of narrower scope
def memory() -> type[Memory]:
    """Return a source that needs no files."""
    return Memory
