"""The files of CIFAR-10 and CIFAR-100 ("python version"), in torchvision's layout."""

from __future__ import annotations

import codecs
import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rayat.data.assemble import Split, exact, whole_labels
from rayat.data.fetch import fetch
from rayat.errors import DataError


def find(name: str, root: str, folder: str, download: bool) -> Path:
    """Return `root/folder`, after a download if that is wished for.

    Args:
        name: of torchvision's class, such as `CIFAR10`, which keeps files that are complete.

    Raises:
        DataError: no such folder, or the download failed.
    """
    if download:
        fetch(name, root)
    path = Path(root).expanduser() / folder
    if not path.is_dir():
        raise DataError(f"{name} is not at {path}; give data.root, or set data.download=true")
    return path


class _OnlyArrays(pickle.Unpickler):
    """Loads plain values and NumPy arrays only: any other pickle could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in _NUMPY:
            return _NUMPY[name]
        if (module, name) == ("_codecs", "encode"):
            return codecs.encode
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which no CIFAR file does")


# By name, because NumPy moved its module since the files were written.
_NUMPY: dict[str, Any] = {
    "_reconstruct": np.empty(0).__reduce__()[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}


def read_pickle(path: Path, keys: Sequence[str]) -> list[Any]:
    """Return the values under `keys` of one file of the set.

    Raises:
        DataError: missing, truncated or without the keys.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); download the set again") from error
    try:
        value = _OnlyArrays(io.BytesIO(data), encoding="latin1").load()
    # A damaged pickle raises nearly anything: EOFError, KeyError, UnicodeDecodeError, ...
    except Exception as error:
        raise DataError(f"{path} is damaged ({error}); download the set again") from error
    if not isinstance(value, dict) or not set(keys) <= set(value):
        raise DataError(f"{path} does not hold {', '.join(keys)}; download the set again")
    return [value[key] for key in keys]


def read_split(folder: Path, files: Sequence[str], labels: str) -> Split:
    """Read images and labels of one split.

    Args:
        folder: such as `root/cifar-10-batches-py`. files: of the split. labels: their key, such as
            `fine_labels`.

    Returns:
        Images (N, 32, 32, 3), labels.

    Raises:
        DataError: a file is missing or damaged.
    """
    images: list[Any] = []
    numbers: list[Any] = []
    for file in files:
        path = folder / file
        pixels, own = read_pickle(path, ["data", labels])
        own = whole_labels(str(path), own)
        if not isinstance(pixels, np.ndarray) or pixels.shape != (len(own), 3072):
            shape = getattr(pixels, "shape", type(pixels).__name__)
            raise DataError(
                f"{path} holds images of shape {shape}, not ({len(own)}, 3072); "
                "download the set again"
            )
        images.append(exact(pixels, np.uint8, f"{path}: pixels").reshape(-1, 3, 32, 32))
        numbers.append(own)
    return np.concatenate(images).transpose(0, 2, 3, 1), np.concatenate(numbers)
