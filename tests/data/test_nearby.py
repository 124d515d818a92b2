"""A path one level too high or too deep, or with a typing error: the right one is said."""

from __future__ import annotations

import pytest

from rayat.data.nearby import nearby
from rayat.errors import DataError
from rayat.registry import SOURCES


@pytest.mark.parametrize("given", ["", "pets/train", "pets/test", "pets/train/cat", "pets/trian"])
def test_an_image_folder_one_level_off_is_refused_with_the_right_one(image_root, given):
    with pytest.raises(DataError, match=f"it is in {image_root}: give that as data.path"):
        SOURCES.build(f"imagefolder:{image_root.parent / given}").read()


@pytest.mark.parametrize("given", ["", "letters/empty", "letters/train.parquet", "letters/none"])
def test_a_parquet_folder_one_level_off_is_refused_with_the_right_one(parquet_root, given):
    (parquet_root / "empty").mkdir()
    with pytest.raises(DataError, match=f"it is in {parquet_root}: give that as data.path"):
        SOURCES.build(f"folder:{parquet_root.parent / given}").read()


def test_a_data_folder_of_the_hub_is_read_by_itself_too(parquet_root):
    before = SOURCES.build(f"folder:{parquet_root}").read()
    (parquet_root / "data").mkdir()
    for split in ("train", "test"):
        (parquet_root / f"{split}.parquet").rename(parquet_root / "data" / f"{split}.parquet")
    for path in (parquet_root, parquet_root / "data"):
        assert SOURCES.build(f"folder:{path}").read().checksum == before.checksum


def test_where_there_is_none_nothing_is_said_and_of_several_three(tmp_path):
    assert nearby(tmp_path / "none", lambda place: False) == ""
    for name in "abcd":
        (tmp_path / name).mkdir()
    said = nearby(tmp_path, lambda place: place.parent == tmp_path)
    assert said.count(" and in ") == 2
