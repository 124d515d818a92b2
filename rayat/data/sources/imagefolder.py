"""A folder of image files, one subfolder per class: torchvision's ImageFolder layout."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from rayat.data.assemble import assemble, mixed
from rayat.data.base import DataSet, Source
from rayat.data.images import decode_all
from rayat.data.nearby import nearby
from rayat.errors import DataError, nearest
from rayat.registry import SOURCES

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
"""The endings that torchvision's ImageFolder reads."""
TESTS = ("test", "val")
"""Names of the test's folder, the first that is there."""


@SOURCES.register("imagefolder")
class ImageFolder(Source):
    """Image files in `train/CLASS/` and `test/CLASS/` (or `val/CLASS/`): `imagefolder:PATH`.

    Classes are the sorted names of the training folders; hidden files and folders are ignored.
    The images are gray if the first one is, otherwise RGB, and all of them are held in memory.
    """

    shorthand: ClassVar[str | None] = "path"

    path: str = Field(min_length=1, description="folder with train/ and test/ (or val/)")
    size: int | None = Field(None, ge=1, description="scale and cut to size x size; null: as is")

    def read(self) -> DataSet:
        """Return the data set.

        Raises:
            DataError: no such folder, no images, an unknown class, or a damaged image.
        """
        root = Path(self.path).expanduser()
        if not holds(root):
            raise DataError(
                f"data 'imagefolder' needs {root}/train/CLASS/ and {root}/test/CLASS/ "
                f"(or val/CLASS/) with image files{nearby(root, holds)}"
            )
        test = next(root / name for name in TESTS if (root / name).is_dir())
        classes = [p.name for p in _folders(root / "train")]
        if len(classes) == 1:
            inner = [p.name for p in _folders(root / "train" / classes[0])]
            raise DataError(
                f"{root / 'train'} has one class, {classes[0]}; "
                + (
                    f"its folders {', '.join(inner[:5])} look like the classes: move them up into "
                    "train/, and likewise those of the test"
                    if inner
                    else "at least two are needed"
                )
            )
        files = [_files(folder, classes) for folder in (root / "train", test)]
        splits = []
        mode: str | None = None
        for listed in files:
            images = ((str(path), path) for path, _ in listed)
            x, mode = decode_all(images, len(listed), self.size, mode)
            splits.append((x, np.array([label for _, label in listed], dtype=np.int64)))
        name = f"imagefolder:{root.name}"
        notes = [
            *_left_out(name, root, test),
            *_nested(name, root, files),
            *_unused(name, root, test),
        ]
        return assemble(name, splits[0], mixed(splits[1]), classes, notes)


def holds(root: Path) -> bool:
    """Return whether a folder has the layout: `train/` and `test/` or `val/`."""
    return (root / "train").is_dir() and any((root / name).is_dir() for name in TESTS)


def _left_out(name: str, root: Path, test: Path) -> list[str]:
    """Return a note that names the files of both splits that are no images, [] without any."""
    files = [
        str(path.relative_to(root))
        for folder in (root / "train", test)
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (path.suffix.lower() not in SUFFIXES or path.parent == folder)
        and path.is_file()
    ]
    if not files:
        return []
    shown = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    return [
        f"data {name!r}: {len(files)} files are left out, as they are no images by their ending or "
        f"lie in no class's folder ({shown})"
    ]


def _nested(name: str, root: Path, files: list[list[tuple[Path, int]]]) -> list[str]:
    """Return a note where images lie in folders below their class's own, [] where none does."""
    inner = [
        str(path.relative_to(root))
        for listed in files
        for path, _ in listed
        if len(path.relative_to(root).parts) > 3
    ]
    if not inner:
        return []
    return [
        f"data {name!r}: {len(inner)} images lie in folders below their class's own and count for "
        f"that class ({inner[0]}{', ...' if len(inner) > 1 else ''})"
    ]


def _unused(name: str, root: Path, test: Path) -> list[str]:
    """Return a note where a second folder could be meant as the test, [] where there is none."""
    others = [each for each in TESTS if each != test.name and (root / each).is_dir()]
    return [
        f"data {name!r}: {test.name}/ is the test, and {other}/ is not read: validation images are "
        "drawn from train/ (data.val_size)"
        for other in others
    ]


def _files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    files: list[tuple[Path, int]] = []
    empty: list[Path] = []
    for sub in _folders(folder):
        if sub.name not in classes:
            raise DataError(
                f"{sub} is a class without training images{nearest(sub.name, classes)}; "
                f"remove it or add train/{sub.name}"
            )
        found = sorted(
            p
            for p in sub.rglob("*")
            if p.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in p.relative_to(sub).parts)
            and p.is_file()
        )
        if not found:
            empty.append(sub)
        files += [(path, classes.index(sub.name)) for path in found]
    if not files:
        raise DataError(
            f"{folder} has no image files ({', '.join(sorted(SUFFIXES))}) in subfolders"
        )
    if empty:
        raise DataError(f"{empty[0]} has no image files; remove the folder or add its images")
    return files


def _folders(folder: Path) -> list[Path]:
    """Return the folders in it, sorted, without hidden ones (`.ipynb_checkpoints`)."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
