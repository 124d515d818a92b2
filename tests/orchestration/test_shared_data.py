"""The data that a run began with: one changed byte anywhere in its files is another data set."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from rayat.data.identity import describe, same_data
from rayat.data.prepare import prepare
from rayat.errors import DataError
from rayat.registry import SOURCES


@pytest.fixture
def folder(tmp_path):
    """Fashion-MNIST's four files, small and made up."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 120), ("t10k", 40)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            (tmp_path / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())
    return tmp_path


def test_one_changed_byte_is_refused_wherever_it_is(folder):
    source = SOURCES.build({"name": "fashion-mnist", "root": str(folder), "val_size": 20})
    began = [describe(prepare(source))]
    same_data(began, [describe(prepare(source))])
    files = sorted(folder.iterdir())
    draw, places, refused = random.Random(0), 100, 0
    for number in range(places):
        path = files[number % len(files)]
        data = path.read_bytes()
        changed = bytearray(data)
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            same_data(began, [describe(prepare(source))])
        except DataError as error:
            said = str(error)
            named = str(path) in said or "fashion-mnist" in said
            refused += named
            assert named, said
        path.write_bytes(data)
    print(f"data: 1 byte changed in {places} places, {refused} refused")
    assert refused == places
