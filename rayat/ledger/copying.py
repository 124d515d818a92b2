"""A run to an object store and back, through Arrow's file systems, every file compared."""

from __future__ import annotations

import hashlib
import posixpath
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from rayat.errors import LedgerError
from rayat.ledger.files import located, make_folder, write_file
from rayat.ledger.lock import LOCK
from rayat.ledger.publish import MANIFEST


def copy_run(source: str, target: str) -> dict[str, int]:
    """Copy a run's files and return their number and bytes; each is read again and compared.

    The manifest comes last: a copy that was cut off has none, so no reader takes it for a run.

    Args:
        source, target: folders, or URIs that Arrow knows: `s3://`, `gs://`, `hdfs://`, `file://`.
            Credentials are those of the environment. The source must not be written meanwhile.

    Raises:
        LedgerError: no run at `source`, something at `target`, or a file that came out different.
    """
    (origin, start), (store, place) = _place(source), _place(target)
    try:
        files = origin.get_file_info(fs.FileSelector(start, recursive=True, allow_not_found=True))
        names = [posixpath.relpath(f.path, start) for f in files if f.type == fs.FileType.File]
        # Ray's scratch files and the lock belong to the driver that ran here.
        names = sorted(n for n in names if n[0] != "." and n != LOCK)
        if MANIFEST not in names:
            raise LedgerError(f"{source}: no run (it holds no {MANIFEST}); nothing was copied")
        if isinstance(origin, fs.LocalFileSystem):
            _refuse_links(Path(start), names)
        taken = fs.FileSelector(place, recursive=True, allow_not_found=True)
        if any(f.type == fs.FileType.File for f in store.get_file_info(taken)):
            raise LedgerError(f"{target}: holds files already; copy to a new place")
        total = 0
        for name in sorted(names, key=lambda name: (name == MANIFEST, name)):
            data = _read(origin, posixpath.join(start, name))
            _write(store, posixpath.join(place, name), data)
            again = _read(store, posixpath.join(place, name))
            if hashlib.sha256(again).digest() != hashlib.sha256(data).digest():
                raise LedgerError(
                    f"{target}: {name} came out different; remove the copy, try again"
                )
            total += len(data)
    except (OSError, pa.ArrowException) as error:
        raise LedgerError(f"cannot copy {source} to {target}: {error}") from error
    return {"files": len(names), "bytes": total}


def _place(text: str) -> tuple[Any, str]:
    """Return the file system and the path of a folder or URI."""
    if "://" not in text:
        return fs.LocalFileSystem(), str(located(text))
    try:
        found, path = fs.FileSystem.from_uri(text)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise LedgerError(f"{text}: no place that Arrow can reach: {error}") from error
    return found, path.rstrip("/")


def _refuse_links(folder: Path, names: list[str]) -> None:
    """Refuse files that only seem to be the run's: a planted link would publish another file."""
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise LedgerError(f"{folder / name}: a link out of the run; nothing was copied")


def _read(store: Any, path: str) -> bytes:
    with store.open_input_file(path) as file:
        data: bytes = file.read()
    return data


def _write(store: Any, path: str, data: bytes) -> None:
    if isinstance(store, fs.LocalFileSystem):  # durable, and for this user alone
        folder = Path(path).parent
        make_folder(folder)
        write_file(Path(path), data)
        return
    store.create_dir(posixpath.dirname(path), recursive=True)
    with store.open_output_stream(path) as file:
        file.write(data)
