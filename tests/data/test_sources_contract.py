"""What every registered source promises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from rayat.data.base import Source
from rayat.data.prepare import prepare
from rayat.registry import SOURCES


@pytest.fixture(params=SOURCES.names())
def source(
    request: pytest.FixtureRequest, source_options: Callable[[str], dict[str, object]]
) -> Source:
    return SOURCES.build({"name": request.param, **source_options(request.param)})


def test_arrays_are_contiguous_uint8_images_with_int64_labels(source):
    data = source.read()
    for split in (data.train, data.test):
        assert split.x.dtype == np.uint8 and split.x.flags.c_contiguous
        assert split.y.dtype == np.int64 and split.y.flags.c_contiguous
        assert split.x.ndim == 4 and split.x.shape[-1] in (1, 3)
        assert split.x.shape[1:] == data.train.x.shape[1:]
        assert len(split.x) == len(split.y) == len(split) > 0
        assert split.y.min() >= 0 and split.y.max() < len(data.classes)
    assert all(isinstance(name, str) for name in data.classes)


def test_reading_twice_gives_the_same_data(source):
    first, second = source.read(), source.read()
    assert re.fullmatch(r"[0-9a-f]{64}", first.checksum)
    assert first.checksum == second.checksum
    np.testing.assert_array_equal(first.test.x, second.test.x)
    assert first.classes == second.classes


def test_spec_survives_json(source):
    assert SOURCES.build(json.loads(json.dumps(source.spec()))) == source


def test_can_be_prepared_with_augmentation(source):
    prepared = prepare(source.replace(augment="crop-flip", padding=1, val_fraction=0.25))
    n, height, width, channels = prepared.train.x.shape
    assert prepared.shape == (channels, height, width)
    assert prepared.windows is not None
    assert prepared.windows.shape == (n, 2, height + 2, width + 2, channels)
    assert len(prepared.mean) == len(prepared.std) == channels
