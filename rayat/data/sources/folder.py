"""A folder of Parquet files with encoded images, as the Hugging Face hub lays image sets out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rayat.data.assemble import Split, assemble, mixed
from rayat.data.base import DataSet, Source
from rayat.data.images import decode_all
from rayat.errors import DataError, nearest
from rayat.registry import SOURCES


@SOURCES.register("folder")
class Folder(Source):
    """Encoded images and labels in `train.parquet` and `test.parquet`: `folder:PATH`.

    The images' column is the struct that has `bytes` (PNG, JPEG, ...), the labels' is `label`, an
    integer. Class names come from the schema's `huggingface` metadata, otherwise they are the
    numbers. The images are gray if the first one is, otherwise RGB, and all are held in memory.
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
        train, mode, names = _read(root / "train.parquet", self.size, None)
        test, _, others = _read(root / "test.parquet", self.size, mode)
        if names != others:
            test = test[0], _by_name(root, test[1], others, names)
        if names is None:
            names = [str(label) for label in range(int(max(train[1].max(), test[1].max())) + 1)]
        return assemble(f"folder:{root.name}", train, mixed(test), names)


def _read(path: Path, size: int | None, mode: str | None) -> tuple[Split, str, list[str] | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"data 'folder' has no {path}; give the folder that holds it as data.path")
    try:
        with pq.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            column = _image_column(path, schema)
            if count == 0:
                raise DataError(f"{path} has no rows")
            labels: list[int | None] = []

            def images() -> Iterator[tuple[str, bytes]]:
                for batch in file.iter_batches(1024, columns=[column, "label"]):
                    start = len(labels)
                    labels.extend(batch.column("label").to_pylist())
                    for row, image in enumerate(batch.column(column).to_pylist(), start):
                        if image is None or image["bytes"] is None or labels[row] is None:
                            raise DataError(f"{path}: row {row} has no image bytes or no label")
                        yield f"{path}: row {row}", image["bytes"]

            x, mode = decode_all(images(), count, size, mode)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); copy it again") from error
    return (x, np.array(labels, dtype=np.int64)), mode, _names(schema.metadata)


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


def _image_column(path: Path, schema: Any) -> str:
    import pyarrow as pa

    for field in schema:
        struct = pa.types.is_struct(field.type)
        if struct and any(child.name == "bytes" for child in field.type):
            break
    else:
        raise DataError(f"{path} has no struct column with 'bytes', only {', '.join(schema.names)}")
    if "label" not in schema.names or not pa.types.is_integer(schema.field("label").type):
        raise DataError(f"{path} has no integer column 'label', only {', '.join(schema.names)}")
    name: str = field.name
    return name


def _names(metadata: dict[bytes, bytes] | None) -> list[str] | None:
    """Return the class names of the label column, None if the metadata does not say."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features["label"]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
