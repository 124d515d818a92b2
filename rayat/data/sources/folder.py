"""A folder of Parquet files with encoded images, as the Hugging Face hub lays image sets out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rayat.data.assemble import Split, assemble, mixed
from rayat.data.base import DataSet, Source
from rayat.data.images import decode_all
from rayat.data.nearby import nearby
from rayat.errors import DataError, nearest
from rayat.registry import SOURCES

TESTS = ("test", "validation", "valid", "val")
"""Names of the split that is the test, the first that is there."""
IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)\.parquet")
"""A file of several: split, its number from 0, how many there are."""


@SOURCES.register("folder")
class Folder(Source):
    """Encoded images and labels in Parquet files, as on the Hugging Face hub: `folder:PATH`.

    A split is `train.parquet`, or all of `train-00000-of-00003.parquet`, in the folder or in its
    `data/`; the test split is `test`, where that is missing `validation`, `valid` or `val`. The
    images' column is the one that holds encoded files (PNG, JPEG, ...), as bytes or as a struct
    with `bytes`; the labels' is `label`, `labels` or `fine_label`. Class names come from the
    schema's `huggingface` metadata, otherwise they are the labels themselves, in order: numbers
    that are not 0, 1, 2, ... and texts are mapped to places. The images are gray if the first one
    is, otherwise RGB, and all are held in memory.
    """

    shorthand: ClassVar[str | None] = "path"

    path: str = Field(min_length=1, description="folder with train.parquet and test.parquet")
    size: int | None = Field(None, ge=1, description="scale and cut to size x size; null: as is")

    def read(self) -> DataSet:
        """Return the data set.

        Raises:
            DataError: a file is missing or damaged, or lacks the columns.
        """
        root = Path(self.path).expanduser()
        train, mode, names = _read(_files(root, ("train",)), self.size, None)
        files = _files(root, TESTS)
        test, _, others = _read(files, self.size, mode)
        if names != others:
            test = test[0], _by_name(root, test[1], others, names)
        if names is None:
            train, test, names = _numbered(train, test)
        name = f"folder:{root.name}"
        return assemble(name, train, mixed(test), names, _unused(name, root, files[0]))


def _unused(name: str, root: Path, test: Path) -> list[str]:
    """Return a note where other files could be meant as the test, [] where there are none."""
    used = SHARD.sub(r"\1", test.name).removesuffix(".parquet")
    others = [
        split
        for split in TESTS
        if split != used
        and any(
            any(place.glob(pattern))
            for place in (root, root / "data")
            for pattern in (f"{split}.parquet", f"{split}-*-of-*.parquet")
        )
    ]
    return [
        f"data {name!r}: {used} is the test, and {' and '.join(others)} is not read: validation "
        "images are drawn from train (data.val_size)"
    ] * bool(others)


def _files(root: Path, splits: Sequence[str]) -> list[Path]:
    """Return the files of the first of the splits that is there, in order.

    Raises:
        DataError: none is, or one of several files is missing.
    """
    for split in splits:
        for folder in (root, root / "data"):
            if (folder / f"{split}.parquet").is_file():
                return [folder / f"{split}.parquet"]
            shards = {
                int(found[2]): (int(found[3]), path)
                for path in sorted(folder.glob(f"{split}-*-of-*.parquet"))
                if (found := SHARD.fullmatch(path.name)) and found[1] == split
            }
            if not shards:
                continue
            counts = {count for count, _ in shards.values()}
            if len(counts) > 1:
                raise DataError(
                    f"{folder} has files of {split!r} that belong to sets of "
                    f"{' and '.join(map(str, sorted(counts)))}; keep those of one"
                )
            missing = sorted(set(range(counts.pop())) - set(shards))
            if missing:
                one = next(path for _, path in shards.values())
                raise DataError(
                    f"{folder} lacks {len(missing)} of the files that {one.name} belongs to, the "
                    f"first is number {missing[0]:05d}; fetch it"
                )
            return [shards[number][1] for number in sorted(shards)]
    raise DataError(
        f"data 'folder' has no {root / splits[0]}.parquet; give the folder that holds it, or "
        f"{splits[0]}-00000-of-00001.parquet in it or its data/, as data.path{nearby(root, holds)}"
    )


def holds(root: Path) -> bool:
    """Return whether a folder, or its `data/`, has a training split's files."""
    names = ("train.parquet", "train-*-of-*.parquet")
    return any(any(place.glob(name)) for place in (root, root / "data") for name in names)


def _numbered(train: Split, test: Split) -> tuple[Split, Split, list[str]]:
    """Return the splits with labels as places in the training's sorted ones, and these as names."""
    kinds = {split[1].dtype.kind for split in (train, test)}
    if len(kinds) > 1:
        raise DataError(
            "data 'folder': labels are numbers in one split and texts in the other; write them "
            "alike in both"
        )
    known = np.unique(train[1]).tolist()
    new = [label for label in np.unique(test[1]).tolist() if label not in known]
    if new and new[0] != -1:
        raise DataError(
            f"data 'folder': label {new[0]!r} of the test split is none of the training split's "
            f"({known[0]} to {known[-1]}); remove its rows, or name it alike in both"
        )
    if new or known == list(range(len(known))) or (not isinstance(known[0], str) and known[0] < 0):
        return train, test, [str(label) for label in known]  # -1 is no label, and refused later
    place = {label: index for index, label in enumerate(known)}

    def placed(split: Split) -> Split:
        return split[0], np.array([place[label] for label in split[1].tolist()], dtype=np.int64)

    return placed(train), placed(test), [str(label) for label in known]


def _read(
    paths: Sequence[Path], size: int | None, mode: str | None
) -> tuple[Split, str, list[str] | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = paths[0]
    try:
        schemas = []
        count = 0
        for path in paths:
            with pq.ParquetFile(path) as file:
                schemas.append(file.schema_arrow)
                count += file.metadata.num_rows
        path = paths[0]
        image, label = _columns(path, schemas[0])
        names = _names(schemas[0].metadata, label)
        for other, schema in zip(paths[1:], schemas[1:], strict=True):
            _refuse_unlike(path, schemas[0], other, schema, (image, label))
        if count == 0:
            raise DataError(f"{path} has no rows")
        labels: list[Any] = []

        def images() -> Iterator[tuple[str, bytes]]:
            nonlocal path
            for path in paths:
                first = len(labels)
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(1024, columns=[image, label]):
                        start = len(labels) - first
                        values = batch.column(label).to_pylist()
                        labels.extend(values)
                        for place, found in enumerate(batch.column(image).to_pylist()):
                            data = found["bytes"] if isinstance(found, dict) else found
                            where = f"{path}: row {start + place}"
                            if data is None or values[place] is None:
                                raise DataError(f"{where} has no image bytes or no label")
                            yield where, data

        x, mode = decode_all(images(), count, size, mode)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}); copy it again") from error
    return (x, np.array(labels)), mode, names


def _refuse_unlike(
    path: Path, schema: Any, other: Path, found: Any, columns: tuple[str, str]
) -> None:
    """Refuse parts of a split whose columns or class names differ, since labels would too."""
    for column in columns:
        kinds = [s.field(column).type if column in s.names else None for s in (schema, found)]
        if kinds[0] != kinds[1]:
            raise DataError(
                f"{other}: column {column!r} is {kinds[1] or 'missing'}, in {path.name} it is "
                f"{kinds[0]}; the parts of a split must be alike"
            )
    names = [_names(s.metadata, columns[1]) for s in (schema, found)]
    if names[0] != names[1]:
        raise DataError(
            f"{other} names the classes {names[1]}, {path.name} names them {names[0]}; the same "
            "label would mean two classes, write the names alike"
        )


def _by_name(
    root: Path, labels: NDArray[np.int64], own: list[str] | None, names: list[str] | None
) -> NDArray[np.int64]:
    """Return test labels as places in the training split's class names, matched by name."""
    if own is None or names is None:
        without = "test.parquet" if own is None else "train.parquet"
        raise DataError(
            f"{root / without} has no class names and the other split has, so their labels cannot "
            "be matched; write the names (the huggingface metadata) into both files or into none"
        )
    used = np.unique(labels)
    if used[0] < 0 or used[-1] >= len(own):
        raise DataError(
            f"{root / 'test.parquet'}: labels run from {used[0]} to {used[-1]}, but it names "
            f"{len(own)} classes"
        )
    unknown = [own[label] for label in used if own[label] not in names]
    if unknown:
        raise DataError(
            f"{root / 'test.parquet'}: class {unknown[0]!r} is not one of the training split's"
            f"{nearest(unknown[0], names)}; remove its rows or name it alike"
        )
    place = {name: index for index, name in enumerate(names)}
    return np.array([place.get(name, -1) for name in own], dtype=np.int64)[labels]


def _columns(path: Path, schema: Any) -> tuple[str, str]:
    """Return the names of the images' and the labels' column. Raises `DataError`."""
    import pyarrow as pa

    def encoded(field: Any) -> bool:
        kind = field.type
        if pa.types.is_struct(kind):
            return any(child.name == "bytes" for child in kind)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    images = [field.name for field in schema if encoded(field)]
    if not images:
        raise DataError(
            f"{path} has no column of encoded images (bytes, or a struct with 'bytes'), only "
            f"{', '.join(schema.names)}"
        )
    named = [name for name in IMAGES if name in images] or images
    if len(named) > 1:
        raise DataError(
            f"{path} has several columns of encoded images ({', '.join(named)}); name that of the "
            "images 'image'"
        )
    for name in LABELS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_integer(kind) or pa.types.is_string(kind):
                return named[0], name
    raise DataError(
        f"{path} has no column {', '.join(map(repr, LABELS))} of whole numbers or texts, only "
        f"{', '.join(schema.names)}"
    )


def _names(metadata: dict[bytes, bytes] | None, label: str) -> list[str] | None:
    """Return the class names of the label column, None if the metadata does not say."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
