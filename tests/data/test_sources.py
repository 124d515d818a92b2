"""Each source's own format, and what it says of damaged files."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rayat.data.sources import fashion_mnist
from rayat.data.sources.digits import table_of_digits
from rayat.errors import DataError
from rayat.registry import SOURCES


def build(name, **options):
    return SOURCES.build({"name": name, **options})


def cut(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class TestDigits:
    def test_sizes_and_strata(self):
        data = build("digits").read()
        assert data.train.x.shape == (1297, 8, 8, 1)
        assert data.test.x.shape == (500, 8, 8, 1)
        counts = np.bincount(np.concatenate([data.train.y, data.test.y]))
        assert np.abs(np.bincount(data.test.y) - counts * 500 / 1797).max() < 1

    def test_is_scikit_learns_set(self):
        data, bunch = build("digits").read(), load_digits()
        ours = np.concatenate([data.train.x, data.test.x])[..., 0]
        theirs = bunch.images * 255 / 16
        assert np.abs(np.sort(ours.ravel()) - np.sort(theirs.ravel())).max() <= 0.5
        assert ours.min() == 0 and ours.max() == 255

    def test_it_is_read_without_loading_scikit_learn(self, monkeypatch):
        bunch = load_digits()
        expected = np.column_stack([bunch.data, bunch.target])
        assert np.array_equal(table_of_digits(), expected)
        code = (
            "import sys; from rayat.data.sources.digits import table_of_digits; table_of_digits(); "
            "sys.exit('sklearn' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        monkeypatch.setattr("rayat.data.sources.digits.FILE", Path("elsewhere.csv.gz"))
        assert np.array_equal(table_of_digits(), expected)

    def test_golden_checksum(self):
        assert (
            build("digits").read().checksum
            == "53a54434545be0851fc86aca479e343c10ce4fe4ecc58f8c837cd71c74ffd22e"
        )


class TestFashionMNIST:
    def test_plain_and_gzipped_files_are_the_same_data(self, fashion_root, tmp_path):
        import gzip

        plain = tmp_path / "FashionMNIST" / "raw"
        plain.mkdir(parents=True)
        for file in fashion_root.glob("*.gz"):
            (plain / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        first = build("fashion-mnist", root=str(fashion_root)).read()
        assert build("fashion-mnist", root=str(tmp_path)).read().checksum == first.checksum
        assert first.train.x.shape == (40, 6, 5, 1)
        assert first.train.y.tolist() == [i % 10 for i in range(40)]

    @pytest.mark.parametrize("part", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
    def test_truncated_file_is_named(self, fashion_root, part):
        cut(fashion_root / part)
        with pytest.raises(DataError, match=f"{part} is damaged.*install"):
            build("fashion-mnist", root=str(fashion_root)).read()

    def test_wrong_magic_and_wrong_length_are_named(self, fashion_root):
        path = fashion_root / "train-images-idx3-ubyte"
        path.write_bytes(b"nonsense" * 4)
        with pytest.raises(DataError, match="no idx file of bytes with 3 axes"):
            build("fashion-mnist", root=str(fashion_root)).read()
        path.write_bytes(bytes((0, 0, 8, 3)) + np.array([2, 2, 2], ">u4").tobytes() + b"1234567")
        with pytest.raises(DataError, match=r"holds 7 bytes.*\(2, 2, 2\)"):
            build("fashion-mnist", root=str(fashion_root)).read()

    def test_missing_part_is_named(self, fashion_root):
        (fashion_root / "t10k-labels-idx1-ubyte.gz").unlink()
        with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is missing"):
            build("fashion-mnist", root=str(fashion_root)).read()

    def test_missing_set_says_how_to_get_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(fashion_mnist, "DEBIAN", str(tmp_path / "none"))
        with pytest.raises(DataError, match=r"apt-get install dataset-fashion-mnist.*download"):
            build("fashion-mnist", root=str(tmp_path)).read()

    @pytest.mark.skipif(
        not Path(fashion_mnist.DEBIAN).is_dir(), reason="dataset-fashion-mnist is not installed"
    )
    def test_debians_files(self, tmp_path):
        data = build("fashion-mnist", root=str(tmp_path)).read()
        assert data.train.x.shape == (60_000, 28, 28, 1)
        assert data.test.x.shape == (10_000, 28, 28, 1)
        assert np.bincount(data.train.y).tolist() == [6000] * 10
        assert data.classes[0] == "T-shirt/top" and len(data.classes) == 10
        assert data.checksum == "145c7cc693ba9309a106bf85524ac71e85fcfb2e7d8183008ef3c512c60b6793"


class TestCifar:
    def test_files_in_order_and_channels_last(self, cifar_root):
        data = build("cifar10", root=str(cifar_root)).read()
        assert data.train.x.shape == (100, 32, 32, 3)
        assert data.test.x.shape == (20, 32, 32, 3)
        third = np.random.default_rng(2).integers(0, 256, (20, 32, 32, 3), np.uint8)
        np.testing.assert_array_equal(data.train.x[40:60], third)
        assert data.classes[3] == "ten3"

    def test_hundred_reads_the_fine_labels(self, cifar_root):
        data = build("cifar100", root=str(cifar_root)).read()
        assert len(data.classes) == 100 and data.test.y.tolist() == list(range(20))

    @pytest.mark.parametrize("part", ["data_batch_4", "batches.meta"])
    def test_truncated_file_is_named(self, cifar_root, part):
        cut(cifar_root / "cifar-10-batches-py" / part)
        with pytest.raises(DataError, match=f"{part} is damaged.*download the set again"):
            build("cifar10", root=str(cifar_root)).read()

    def test_missing_file_is_named(self, cifar_root):
        (cifar_root / "cifar-10-batches-py" / "test_batch").unlink()
        with pytest.raises(DataError, match="test_batch cannot be read"):
            build("cifar10", root=str(cifar_root)).read()

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"data": np.random.default_rng(0).random((20, 3072))}, "not whole numbers"),
            ({"data": np.zeros((20, 3, 32, 32), np.uint8)}, r"shape \(20, 3, 32, 32\)"),
            ({"data": [[1], [2, 3]]}, "shape list"),
            ({"labels": np.eye(20)}, "one-hot rows"),
            ({"labels": 3}, "one-hot rows"),
            ({"labels": [None] * 20}, "whole numbers are needed"),
        ],
    )
    def test_a_batch_of_other_values_is_refused(self, cifar_root, change, text):
        path = cifar_root / "cifar-10-batches-py" / "test_batch"
        path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | change, protocol=2))
        with pytest.raises(DataError, match=text):
            build("cifar10", root=str(cifar_root)).read()

    def test_labels_may_be_an_array(self, cifar_root):
        path = cifar_root / "cifar-10-batches-py" / "test_batch"
        before = build("cifar10", root=str(cifar_root)).read()
        batch = pickle.loads(path.read_bytes())
        path.write_bytes(pickle.dumps(batch | {"labels": np.array(batch["labels"])}, protocol=2))
        assert build("cifar10", root=str(cifar_root)).read().checksum == before.checksum

    def test_another_file_is_refused(self, cifar_root):
        folder = cifar_root / "cifar-10-batches-py"
        shutil.copy(folder / "batches.meta", folder / "test_batch")
        with pytest.raises(DataError, match="test_batch does not hold data, labels"):
            build("cifar10", root=str(cifar_root)).read()

    def test_wrong_image_size_is_refused(self, cifar_root):
        batch = {"data": np.zeros((2, 100), np.uint8), "labels": [0, 1]}
        path = cifar_root / "cifar-10-batches-py" / "test_batch"
        path.write_bytes(pickle.dumps(batch, protocol=2))
        with pytest.raises(DataError, match=r"shape \(2, 100\), not \(2, 3072\)"):
            build("cifar10", root=str(cifar_root)).read()

    def test_a_file_that_would_run_code_does_not(self, cifar_root, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        path = cifar_root / "cifar-10-batches-py" / "test_batch"
        path.write_bytes(pickle.dumps({"data": Evil(), "labels": []}, protocol=2))
        with pytest.raises(DataError, match=r"test_batch is damaged.*mkdir"):
            build("cifar10", root=str(cifar_root)).read()
        assert not (tmp_path / "ran").exists()

    def test_missing_set_says_how_to_get_it(self, tmp_path):
        with pytest.raises(DataError, match=r"give data.root, or set data.download=true"):
            build("cifar10", root=str(tmp_path)).read()


@pytest.mark.parametrize(
    ("name", "checksum"),
    [("imagefolder", "b4ac74a99315"), ("folder", "f31f0dbc5f77"), ("cifar10", "59f6e1191e91")],
)
def test_checksums_that_ledgers_hold_stay_what_they_are(name, checksum, source_options):
    assert build(name, **source_options(name)).read().checksum.startswith(checksum)
