"""Splits: disjoint, stratified, hashed, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.data.prepare import channel_statistics, prepare
from rayat.data.split import seeded_order, stratified
from rayat.errors import DataError
from rayat.registry import SOURCES


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_strata_are_disjoint_complete_and_within_one_of_their_share(labels, share, seed):
    y = np.array(labels)
    order, size = seeded_order(len(y), seed), int(share * len(y))
    taken, rest = stratified(y, order, size)
    assert len(taken) == size
    assert sorted([*taken, *rest]) == list(range(len(y)))
    exact = np.bincount(y, minlength=5) * size / len(y)
    assert np.abs(np.bincount(y[taken], minlength=5) - exact).max() < 1


def test_order_is_a_permutation_that_the_seed_alone_decides():
    assert seeded_order(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert sorted(seeded_order(1000, 5)) == list(range(1000))
    assert seeded_order(1000, 5).tolist() != seeded_order(1000, 6).tolist()


def test_golden_split_of_digits():
    prepared = prepare(SOURCES.build("digits"))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (1167, 130, 500)
    assert prepared.split_hash == "2a1e810af6932c5692c59bd45bd299b068f07d9264f554923a93ecdbe4286eb5"
    assert prepared.mean == pytest.approx((0.30523038585614193,), rel=1e-12)
    assert prepared.std == pytest.approx((0.37553513761321194,), rel=1e-12)


def test_val_and_train_share_no_image_and_miss_none(memory):
    whole = memory().read().train.x
    prepared = prepare(memory(val_size=13))
    rows = [x.tobytes() for x in (*prepared.train.x, *prepared.val.x)]
    assert sorted(rows) == sorted(x.tobytes() for x in whole)
    assert len(set(rows)) == len(whole)


def test_a_smaller_training_split_leaves_validation_as_it_was(memory):
    full, small = prepare(memory(val_size=12)), prepare(memory(val_size=12, train_size=20))
    np.testing.assert_array_equal(full.val.x, small.val.x)
    assert len(small.train) == 20
    assert full.split_hash != small.split_hash and full.checksum == small.checksum


def test_the_split_seed_moves_the_split_and_its_hash(memory):
    first, second = prepare(memory()), prepare(memory(split_seed=1))
    assert first.split_hash != second.split_hash
    assert first.split_hash == prepare(memory()).split_hash


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"val_size": 60}, r"60 training images: val_size=60 leaves none to train on"),
        ({"val_fraction": 0.001}, r"val_fraction=0.001 \(0 images\) leaves none to validate on"),
        ({"val_size": 10, "train_size": 51}, r"need 61; train_size can be at most 50"),
    ],
)
def test_impossible_sizes_are_refused(memory, sizes, text):
    with pytest.raises(DataError, match=text):
        prepare(memory(**sizes))


def test_statistics_are_those_of_float64(memory):
    x = prepare(memory(n=3000)).train.x
    mean, std = channel_statistics(x)
    assert mean == pytest.approx((x / 255).mean((0, 1, 2)), rel=1e-12)
    assert std == pytest.approx((x / 255).std((0, 1, 2)), rel=1e-9)


def test_a_constant_channel_can_be_divided_by():
    assert channel_statistics(np.full((4, 2, 2, 1), 51, np.uint8)) == ((0.2,), (1.0,))


@pytest.mark.parametrize(("augment", "mirrors"), [("crop", 1), ("crop-flip", 2)])
def test_windows_hold_padded_images_and_mirrors(memory, augment, mirrors):
    prepared = prepare(memory(augment=augment, padding=2))
    assert prepared.windows is not None and prepared.windows.flags.c_contiguous
    padded = np.pad(prepared.train.x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    np.testing.assert_array_equal(prepared.windows[:, 0], padded)
    assert prepared.windows.shape[1] == mirrors
    if mirrors == 2:
        np.testing.assert_array_equal(prepared.windows[:, 1], padded[:, :, ::-1])


def test_nothing_is_padded_without_augmentation(memory):
    assert prepare(memory()).windows is None
