"""What is no data set, and when two are the same one."""

from __future__ import annotations

import numpy as np
import pytest

from rayat.data.assemble import assemble, mixed
from rayat.errors import DataError

X, Y = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3), np.array([0, 1])


def test_gray_images_get_their_channel_axis():
    data = assemble("a", (X, Y), (X, Y), ["x", "y"])
    assert data.train.x.shape == (2, 3, 3, 1)


def test_every_pixel_and_label_is_in_the_checksum():
    sums = {assemble("a", (X, Y), (X, Y), ["x", "y"]).checksum}
    for split in range(2):
        pixels, labels = [X.copy(), X.copy()], [Y.copy(), Y.copy()]
        pixels[split][1, 2, 2] ^= 1
        sums.add(assemble("a", (pixels[0], Y), (pixels[1], Y), ["x", "y"]).checksum)
        labels[split][1] = 0
        sums.add(assemble("a", (X, labels[0]), (X, labels[1]), ["x", "y"]).checksum)
    assert len(sums) == 5


@pytest.mark.parametrize(
    ("train", "test", "text"),
    [
        ((X[:0], Y[:0]), (X, Y), "training split has 0 images"),
        ((X, Y), (X, Y[:1]), "test split has 2 images and 1 labels"),
        ((X, Y), (X, Y + 1), "test split run from 1 to 2, but there are 2 classes"),
        ((X, Y), (X[:, :2], Y), r"training images are \(3, 3, 1\), test images are \(2, 3, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(train, test, text):
    with pytest.raises(DataError, match=text):
        assemble("a", train, test, ["x", "y"])


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (X * 0.5, "not whole numbers of 0..255"),
        (X.astype(np.int64) - 1, "run from -1 to 16"),
        (X.astype(np.int64) * 100, "run from 0 to 1700"),
        (np.where(X == 3, np.nan, X), "not whole numbers"),
        (X.astype(str), "whole numbers are needed"),
        (X * 0 + 7, "all 2 images of the training split are equal"),
    ],
)
def test_pixels_that_uint8_cannot_hold_or_that_say_nothing_are_refused(x, text):
    with pytest.raises(DataError, match=text):
        assemble("a", (x, Y), (X, Y), ["x", "y"])


def test_whole_numbers_of_another_type_are_taken_exactly():
    expected = assemble("a", (X, Y), (X, Y), ["x", "y"]).checksum
    found = assemble("a", (X.astype(float), Y.astype(float)), (X.astype(int), Y), ["x", "y"])
    assert found.checksum == expected


@pytest.mark.parametrize(
    ("y", "text"), [(np.eye(2), "one-hot rows"), (Y + 0.5, "not whole"), ([[0], [1, 2]], "no list")]
)
def test_labels_that_are_no_numbers_per_image_are_refused(y, text):
    with pytest.raises(DataError, match=text):
        assemble("a", (X, y), (X, Y), ["x", "y"])


def test_one_class_is_refused():
    with pytest.raises(DataError, match=r"has 1 class \(x\); two are needed"):
        assemble("a", (X, Y * 0), (X, Y * 0), ["x"])


def test_mixed_keeps_images_with_their_labels():
    y = np.repeat(np.arange(5), 10)
    x = y[:, None, None].astype(np.uint8)
    mixed_x, mixed_y = mixed((x, y))
    np.testing.assert_array_equal(mixed_x[:, 0, 0], mixed_y)
    assert np.bincount(mixed_y).tolist() == [10] * 5 and mixed_y.tolist() != y.tolist()


def test_test_images_that_are_also_trained_on_are_counted():
    x = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    y = np.arange(10) % 2
    assert assemble("a", (x[:6], y[:6]), (x[6:], y[6:]), ["u", "v"]).notes == ()
    (note,) = assemble("a", (x[:6], y[:6]), (x[[5, 6, 5, 0]], y[:4]), ["u", "v"], []).notes
    assert "3 of 4 test images are also in the training set" in note


def test_classes_that_the_test_lacks_are_named_behind_what_the_source_says():
    x = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    y = np.array([0, 1, 2, 3, 0, 1, 0, 2, 0, 2])
    first, note = assemble("a", (x[:6], y[:6]), (x[6:], y[6:]), list("uvwx"), ["said"]).notes
    assert first == "said" and "no image of 2 of the training split's classes (v, x)" in note
