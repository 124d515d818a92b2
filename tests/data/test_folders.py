"""A user's own images, in folders of files and in Parquet files, and what is wrong with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayat.errors import DataError
from rayat.registry import SOURCES


def build(name, **options):
    return SOURCES.build({"name": name, **options})


def cut(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class TestImageFolder:
    def test_pixels_labels_and_class_names(self, image_root):
        data = SOURCES.build(f"imagefolder:{image_root}").read()
        assert data.name == "imagefolder:pets" and data.classes == ("cat", "dog")
        assert data.train.y.tolist() == [0] * 12 + [1] * 12
        dogs = np.random.default_rng(1).integers(0, 256, (12, 8, 8, 3), np.uint8)
        np.testing.assert_array_equal(data.train.x[12:], dogs)

    def test_a_prefix_of_the_test_split_has_all_classes(self, image_root):
        assert set(SOURCES.build(f"imagefolder:{image_root}").read().test.y[:4]) == {0, 1}

    def test_val_serves_as_test(self, image_root):
        before = SOURCES.build(f"imagefolder:{image_root}").read()
        (image_root / "test").rename(image_root / "val")
        assert SOURCES.build(f"imagefolder:{image_root}").read().checksum == before.checksum

    def test_size_scales_the_shorter_side_and_cuts_the_middle(self, image_root):
        wide = np.zeros((8, 24, 3), np.uint8)
        wide[:, 8:16] = 255
        Image.fromarray(wide).save(image_root / "train" / "cat" / "00.png")
        with pytest.raises(DataError, match=r"01.png is 8x8 pixels, the first image is 8x24"):
            SOURCES.build(f"imagefolder:{image_root}").read()
        data = build("imagefolder", path=str(image_root), size=4).read()
        assert data.train.x.shape == (24, 4, 4, 3)
        assert data.train.x[0].mean() > 200  # the white middle, its edges smoothed

    def test_hidden_files_and_folders_are_no_data(self, image_root):
        before = SOURCES.build(f"imagefolder:{image_root}").read()
        for place in ("train", "test", "train/cat"):
            (image_root / place / ".ipynb_checkpoints").mkdir()
            shutil.copy(
                image_root / "train" / "dog" / "00.png",
                image_root / place / ".ipynb_checkpoints" / "00.png",
            )
        (image_root / "train" / "cat" / "._00.png").write_bytes(b"a resource fork")
        after = SOURCES.build(f"imagefolder:{image_root}").read()
        assert (after.checksum, after.classes) == (before.checksum, before.classes)

    def test_an_empty_class_is_named(self, image_root):
        (image_root / "train" / "emu").mkdir()
        with pytest.raises(DataError, match="train/emu has no image files; remove"):
            SOURCES.build(f"imagefolder:{image_root}").read()

    def test_a_folder_too_deep_names_the_classes(self, image_root):
        for split in ("train", "test"):
            (image_root / split).rename(image_root / "moved")
            (image_root / split).mkdir()
            (image_root / "moved").rename(image_root / split / "pets")
        with pytest.raises(DataError, match="one class, pets; its folders cat, dog look like"):
            SOURCES.build(f"imagefolder:{image_root}").read()

    def test_files_that_are_no_images_are_counted_and_named(self, image_root):
        before = SOURCES.build(f"imagefolder:{image_root}").read().notes
        (image_root / "train" / "labels.csv").write_text("a")
        for name in ("a.npy", "b.txt", "c.gif", ".DS_Store"):
            (image_root / "test" / "dog" / name).write_text("a")
        shutil.copy(image_root / "train" / "dog" / "00.png", image_root / "train" / "loose.png")
        note, *others = SOURCES.build(f"imagefolder:{image_root}").read().notes
        assert tuple(others) == before
        assert "5 files are left out" in note
        assert "(train/labels.csv, train/loose.png, test/dog/a.npy, ...)" in note

    def test_images_below_a_class_and_a_second_test_are_said(self, image_root):
        before = SOURCES.build(f"imagefolder:{image_root}").read()
        inner = image_root / "train" / "cat" / "raw"
        inner.mkdir()
        shutil.move(image_root / "train" / "cat" / "00.png", inner / "00.png")
        shutil.copytree(image_root / "test", image_root / "val")
        nested, unused, *others = SOURCES.build(f"imagefolder:{image_root}").read().notes
        assert tuple(others) == before.notes
        assert "1 images lie in folders below their class's own and count for that class" in nested
        assert "(train/cat/raw/00.png)" in nested
        assert "test/ is the test, and val/ is not read: validation images are drawn from" in unused

    def test_damaged_image_is_named(self, image_root):
        cut(image_root / "test" / "dog" / "03.png")
        with pytest.raises(DataError, match=r"dog/03.png cannot be decoded"):
            SOURCES.build(f"imagefolder:{image_root}").read()

    def test_unknown_test_class_is_named(self, image_root):
        (image_root / "test" / "dogs").mkdir()
        with pytest.raises(DataError, match=r"dogs is a class without.*did you mean 'dog'"):
            SOURCES.build(f"imagefolder:{image_root}").read()

    def test_missing_or_empty_folders_are_named(self, image_root, tmp_path):
        with pytest.raises(DataError, match=r"none/train/CLASS/ and .*none/test/CLASS/"):
            SOURCES.build(f"imagefolder:{tmp_path / 'none'}").read()
        for image in (image_root / "test").rglob("*.png"):
            image.unlink()
        with pytest.raises(DataError, match="test has no image files"):
            SOURCES.build(f"imagefolder:{image_root}").read()


class TestFolder:
    def test_gray_images_and_names_from_the_metadata(self, parquet_root):
        data = SOURCES.build(f"folder:{parquet_root}").read()
        assert data.name == "folder:letters" and data.classes == ("a", "b", "c")
        pixels = np.random.default_rng(0).integers(0, 256, (30, 7, 7, 1), np.uint8)
        np.testing.assert_array_equal(data.train.x, pixels)
        assert data.train.y.tolist() == [0] * 10 + [1] * 10 + [2] * 10
        assert set(data.test.y[:6]) == {0, 1, 2}

    @staticmethod
    def rename(path, names, order):
        table = pq.read_table(path)
        features = {"image": {"_type": "Image"}, "label": {"names": names}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
        place = pa.array([order[label] for label in table["label"].to_pylist()], pa.int64())
        table = table.set_column(table.schema.get_field_index("label"), "label", place)
        pq.write_table(table.replace_schema_metadata(metadata), path)

    def test_test_labels_are_matched_by_the_classes_names(self, parquet_root):
        before = SOURCES.build(f"folder:{parquet_root}").read()
        self.rename(parquet_root / "test.parquet", ["c", "a", "b"], [1, 2, 0])
        assert SOURCES.build(f"folder:{parquet_root}").read().checksum == before.checksum

    @pytest.mark.parametrize(
        ("names", "text"),
        [
            (["a", "b", "bb"], "class 'bb' is not one of.*did you mean 'b'"),
            (None, r"test.parquet has no class names and the other split has"),
            (["a", "b"], "labels run from 0 to 2, but it names 2 classes"),
        ],
    )
    def test_test_classes_that_cannot_be_matched_are_refused(self, parquet_root, names, text):
        self.rename(parquet_root / "test.parquet", names, [0, 1, 2])
        with pytest.raises(DataError, match=text):
            SOURCES.build(f"folder:{parquet_root}").read()

    def test_without_metadata_classes_are_numbers(self, parquet_root):
        for path in parquet_root.glob("*.parquet"):
            pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
        assert SOURCES.build(f"folder:{parquet_root}").read().classes == ("0", "1", "2")

    @pytest.mark.parametrize(
        ("test", "columns"),
        [
            ("test", ("image", "label")),
            ("validation", ("img", "labels")),
            ("valid", ("img", "fine_label")),
        ],
    )
    def test_the_hubs_layout_is_read(self, parquet_root, test, columns):
        """Shards under data/, in order, with the hub's other names, images as plain bytes."""
        before = SOURCES.build(f"folder:{parquet_root}").read()
        (parquet_root / "data").mkdir()
        for old, new, count in (("train", "train", 3), ("test", test, 1)):
            table = pq.read_table(parquet_root / f"{old}.parquet")
            (parquet_root / f"{old}.parquet").unlink()
            images = pa.array([row["bytes"] for row in table["image"].to_pylist()])
            whole = pa.table(dict(zip(columns, (images, table["label"]), strict=True)))
            each = len(whole) // count
            for number in range(count):
                name = f"{new}-{number:05d}-of-{count:05d}.parquet"
                pq.write_table(whole.slice(number * each, each), parquet_root / "data" / name)
        assert SOURCES.build(f"folder:{parquet_root}").read().checksum == before.checksum
        (parquet_root / "data" / "train-00001-of-00003.parquet").unlink()
        with pytest.raises(DataError, match=r"lacks 1 of the files .* the first is number 00001"):
            SOURCES.build(f"folder:{parquet_root}").read()

    def test_files_that_could_also_be_the_test_are_said(self, parquet_root):
        before = SOURCES.build(f"folder:{parquet_root}").read().notes
        shutil.copy(parquet_root / "test.parquet", parquet_root / "validation.parquet")
        unused, *others = SOURCES.build(f"folder:{parquet_root}").read().notes
        assert tuple(others) == before
        assert "test is the test, and validation is not read: validation images are" in unused

    @pytest.mark.parametrize(
        ("labels", "classes"),
        [([1, 2, 3], ("1", "2", "3")), (["dog", "cat", "emu"], ("cat", "dog", "emu"))],
    )
    def test_labels_that_are_no_places_are_mapped_in_order(self, parquet_root, labels, classes):
        for path in parquet_root.glob("*.parquet"):
            table = pq.read_table(path)
            column = pa.array([labels[label] for label in table["label"].to_pylist()])
            table = table.set_column(table.schema.get_field_index("label"), "label", column)
            pq.write_table(table.replace_schema_metadata(None), path)
        data = SOURCES.build(f"folder:{parquet_root}").read()
        assert data.classes == classes
        assert [data.classes[place] for place in data.train.y[::10]] == [str(x) for x in labels]

    def test_parts_that_name_the_classes_otherwise_are_refused(self, parquet_root):
        """The same number would mean two classes."""
        (parquet_root / "data").mkdir()
        table = pq.read_table(parquet_root / "train.parquet")
        (parquet_root / "train.parquet").unlink()
        paths = [parquet_root / "data" / f"train-0000{n}-of-00002.parquet" for n in (0, 1)]
        for path, start in zip(paths, (0, 15), strict=True):
            pq.write_table(table.slice(start, 15), path)
        assert len(SOURCES.build(f"folder:{parquet_root}").read().train) == 30
        self.rename(paths[1], ["c", "b", "a"], [2, 1, 0])
        with pytest.raises(DataError, match=r"00001-of-00002.parquet names the classes \['c', 'b'"):
            SOURCES.build(f"folder:{parquet_root}").read()
        pq.write_table(table.slice(15, 15).rename_columns(["picture", "label"]), paths[1])
        with pytest.raises(DataError, match="column 'image' is missing, in train-00000"):
            SOURCES.build(f"folder:{parquet_root}").read()

    @pytest.mark.parametrize(
        ("train", "test", "text"),
        [
            ([0, 1, 2], ["a", "b", "c"], "numbers in one split and texts in the other"),
            ([0, 1, 2], [0, 1, 3], "label 3 of the test split is none of the training split's"),
            (["a", "b", "c"], ["a", "b", "d"], "label 'd' of the test split is none"),
        ],
    )
    def test_labels_of_two_kinds_or_unknown_to_training_are_refused(
        self, parquet_root, train, test, text
    ):
        for name, labels in (("train", train), ("test", test)):
            path = parquet_root / f"{name}.parquet"
            table = pq.read_table(path)
            column = pa.array([labels[label] for label in table["label"].to_pylist()])
            pq.write_table(table.set_column(1, "label", column).replace_schema_metadata(None), path)
        with pytest.raises(DataError, match=text):
            SOURCES.build(f"folder:{parquet_root}").read()

    def test_the_image_column_is_told_by_its_name(self, parquet_root):
        before = SOURCES.build(f"folder:{parquet_root}").read()
        for path in parquet_root.glob("*.parquet"):
            table = pq.read_table(path)
            masks = pa.array([b"no image"] * len(table))
            pq.write_table(table.add_column(0, "mask", masks), path)
        assert SOURCES.build(f"folder:{parquet_root}").read().checksum == before.checksum
        for path in parquet_root.glob("*.parquet"):
            pq.write_table(pq.read_table(path).rename_columns(["mask", "photo", "label"]), path)
        with pytest.raises(DataError, match=r"several columns of encoded images \(mask, photo\)"):
            SOURCES.build(f"folder:{parquet_root}").read()

    def test_images_without_a_label_are_refused(self, parquet_root):
        """The hub marks a hidden test set's labels by -1."""
        path = parquet_root / "test.parquet"
        table = pq.read_table(path)
        none = pa.array([-1] * len(table), pa.int64())
        pq.write_table(table.set_column(1, "label", none).replace_schema_metadata(None), path)
        train = parquet_root / "train.parquet"
        pq.write_table(pq.read_table(train).replace_schema_metadata(None), train)
        with pytest.raises(DataError, match="labels of the test split run from -1 to -1"):
            SOURCES.build(f"folder:{parquet_root}").read()

    def test_truncated_file_is_named(self, parquet_root):
        cut(parquet_root / "test.parquet")
        with pytest.raises(DataError, match=r"test.parquet cannot be read"):
            SOURCES.build(f"folder:{parquet_root}").read()

    @pytest.mark.parametrize(
        ("columns", "text"),
        [
            ({"label": [0]}, r"no column of encoded images .*, only label"),
            (
                {"image": [{"bytes": b""}]},
                r"no column 'label', 'labels', 'fine_label' .*, only image",
            ),
            ({"image": [{"bytes": b"x"}], "label": [0]}, r"train.parquet: row 0 cannot be decoded"),
            ({"image": [{"bytes": b"x"}], "label": [None]}, r"row 0 has no image bytes or no"),
        ],
    )
    def test_wrong_columns_are_named(self, parquet_root, columns, text):
        if "label" in columns:
            columns = {**columns, "label": pa.array(columns["label"], pa.int64())}
        pq.write_table(pa.table(columns), parquet_root / "train.parquet")
        with pytest.raises(DataError, match=text):
            SOURCES.build(f"folder:{parquet_root}").read()

    def test_missing_file_is_named(self, parquet_root):
        (parquet_root / "test.parquet").unlink()
        with pytest.raises(DataError, match=r"no .*test.parquet; give the folder"):
            SOURCES.build(f"folder:{parquet_root}").read()
