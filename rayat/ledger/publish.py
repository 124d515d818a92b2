"""Tables on disk: four Parquet files and the manifest that vouches for them, replaced as one.

`run.json` belongs to them: where a run was extended, the new one comes with the new tables.

A generation is written whole under `*.next` names, its manifest last. From then on it counts:
`settle` renames its files one by one, and whoever comes after a crash finishes the renames. A
reader in between finds every file under one of its two names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayat.errors import LedgerError, quoted
from rayat.ledger.files import naming, sync_folder, write_file
from rayat.ledger.info import RUN, check_version, run_json
from rayat.ledger.keys import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
NEXT = ".next"


def parquet(table: pa.Table) -> bytes:
    """Return a table as a Parquet file: zstd, with a checksum on every page."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def publish(
    folder: Path,
    info: Mapping[str, Any],
    tables: Mapping[str, pa.Table],
    records: int,
    log_bytes: int,
) -> None:
    """Replace the run's tables and manifest by new ones that stand for the log so far.

    Args:
        info: what `run.json` has to say; the file is left as it is where it says that.
        tables: by name, without the suffix.
        records, log_bytes: the log's position that the tables are made from.

    Raises:
        LedgerError: a file cannot be written; the tables before stay whole and readable.
    """
    settle(folder)
    files = {RUN: _entry(_describe(folder, info))}
    for name, table in tables.items():
        data = parquet(table)
        files[f"{name}.parquet"] = {**_entry(data), "rows": table.num_rows}
        write_file(folder / f"{name}.parquet{NEXT}", data)
    log = {"records": records, "bytes": log_bytes}
    manifest = {"schema_version": SCHEMA_VERSION, "log": log, "files": files}
    manifest["sha256"] = seal(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    sync_folder(folder)
    write_file(folder / (MANIFEST + NEXT), text.encode())
    sync_folder(folder)
    settle(folder)


def settle(folder: Path) -> None:
    """Finish a replacement that a crash cut short; do nothing if there is none."""
    pending = folder / (MANIFEST + NEXT)
    if not pending.exists():
        return
    try:
        manifest = read_manifest(pending)
    except LedgerError:
        # Its write was cut short, so the generation never counted.
        with naming(pending, "remove"):
            os.unlink(pending)
        sync_folder(folder)
        return
    for name in manifest["files"]:
        # Some may have been renamed before the crash.
        with naming(folder / name, "replace"), contextlib.suppress(FileNotFoundError):
            os.replace(folder / (name + NEXT), folder / name)
    sync_folder(folder)
    with naming(folder / MANIFEST, "replace"):
        os.replace(pending, folder / MANIFEST)
    sync_folder(folder)


def _describe(folder: Path, info: Mapping[str, Any]) -> bytes:
    """Return the bytes of the generation's `run.json`, written beside the old one if other."""
    path = folder / RUN
    with naming(path, "read"):
        held = path.read_bytes() if path.exists() else b""
    with contextlib.suppress(ValueError, RecursionError):
        if json.loads(held) == info:
            # One that a crash left there would come with the next generation's renames.
            with naming(path, "remove"), contextlib.suppress(FileNotFoundError):
                os.unlink(folder / (RUN + NEXT))
            return held
    data = run_json(info)
    write_file(folder / (RUN + NEXT), data)
    return data


def seal(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content, its own seal left out."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest whose seal is right.

    Raises:
        LedgerError: missing, damaged, or of a newer schema version.
    """
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LedgerError(f"{path}: missing; {cure(path.parent)}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise LedgerError(f"{path}: damaged ({error}); {cure(path.parent)}") from None
    if not isinstance(manifest, dict) or manifest.get("sha256") != seal(manifest):
        raise LedgerError(f"{path}: damaged (its checksum is wrong); {cure(path.parent)}")
    check_version(path, manifest.get("schema_version"))
    return manifest


def cure(folder: Path) -> str:
    """Return what to do about a damaged table, as a part of a sentence."""
    return f"run `rayat repair {quoted(folder)}` to rebuild it from the log"


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
