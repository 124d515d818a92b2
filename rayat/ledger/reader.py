"""Reading a run, living or finished: nothing is believed before its checksum is right."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayat.errors import LedgerError
from rayat.ledger.files import located
from rayat.ledger.info import RUN, read_info
from rayat.ledger.keys import TABLE_NAMES
from rayat.ledger.lock import holder
from rayat.ledger.publish import MANIFEST, NEXT, cure, read_manifest
from rayat.ledger.status import Status

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TRIES = 8
"""A driver may replace the tables while they are read; it does so once in seconds."""
MAX_CELLS = 2**31
"""Values in one table; a file that claims more is refused before it is unpacked."""


@dataclass(frozen=True)
class Run:
    """A run's description and tables.

    Attributes:
        folder: where it was read from.
        info: `run.json`.
        trials, epochs, decisions, evals: the tables of the ledger's schema; an integer column
            with nulls is float64 with NaN, as pandas has it. `trials` ends with `cfg.*` columns; a
            trial that ran when its driver died is `interrupted`.
    """

    folder: Path
    info: dict[str, Any]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    decisions: pd.DataFrame
    evals: pd.DataFrame


def read_run(folder: str | Path) -> Run:
    """Read a run's tables, also while its driver writes.

    Raises:
        LedgerError: no run there; a file that is missing, truncated, damaged, foreign or of a newer
            schema version. The text names the file and the cure.
    """
    folder = located(folder)
    read_info(folder)
    files = _generation(folder)
    info = json.loads(files[RUN])  # the tables' own: a run may be extended while it is read
    frames = {}
    from rayat.ledger.schema import TABLES

    for name, schema in TABLES.items():
        path = folder / f"{name}.parquet"
        frames[name] = _frame(path, files[path.name], schema)
    running = frames["trials"]["status"] == "running"
    if running.any() and _abandoned(folder):
        # A driver that was killed wrote no end: what it left runs no longer.
        frames["trials"].loc[running, "status"] = "interrupted"
    return Run(folder, info, **frames)


def _abandoned(folder: Path) -> bool:
    """Return whether it is known that no driver holds the run."""
    with contextlib.suppress(OSError):
        return holder(folder) is None
    return False


def require_reports(run: Run) -> Run:
    """Return `run` if it holds an epoch.

    Raises:
        LedgerError: it holds none, so there is nothing to compare or plot.
    """
    if run.epochs.empty:
        ends = Counter(Status(status) for status in run.trials["status"])
        if ends and all(status.is_broken for status in ends):
            said = ", ".join(f"{n} {status}" for status, n in ends.items())
            first = run.trials["stop_reason"].dropna()
            why = f"; the first: {' '.join(str(first.iloc[0]).split())[:200]}" if len(first) else ""
            raise LedgerError(
                f"{run.folder}: all trials ended before their first epoch ({said}), so there is "
                f"nothing to compare{why}; `rayat status {shlex.quote(str(run.folder))}` lists them"
            )
        raise LedgerError(
            f"{run.folder} holds no reports yet ({len(run.trials)} trials declared); "
            f"wait for its first epoch, or go on with it by `rayat resume "
            f"{shlex.quote(str(run.folder))}`"
        )
    return run


def _generation(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of the newest whole generation, checked."""
    for _ in range(TRIES):
        for suffix in ("", NEXT):
            try:
                manifest = read_manifest(folder / (MANIFEST + suffix))
            except LedgerError as error:
                if not suffix:
                    complaint = error
                continue
            found = {name: _find(folder, name, entry) for name, entry in manifest["files"].items()}
            whole = {name: data for name, data in found.items() if data is not None}
            if len(whole) == len(found) and not any(_file(n) not in found for n in TABLE_NAMES):
                return whole
            if not suffix:
                complaint = _complaint(folder, manifest)
    raise complaint


def _file(table: str) -> str:
    return f"{table}.parquet"


def _find(folder: Path, name: str, entry: dict[str, Any]) -> bytes | None:
    """Return the file's bytes, under its own name or the one before its renaming, if right."""
    for candidate in (folder / name, folder / (name + NEXT)):
        try:
            data = candidate.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == entry["sha256"]:
            return data
    return None


def _complaint(folder: Path, manifest: dict[str, Any]) -> LedgerError:
    """Say which file is wrong, and how."""
    for name in [RUN, *map(_file, TABLE_NAMES)]:
        path, entry = folder / name, manifest["files"].get(name)
        if entry is None:
            return LedgerError(f"{folder / MANIFEST}: does not name {name}; {cure(folder)}")
        if _find(folder, name, entry) is not None:
            continue
        try:
            size = path.stat().st_size
        except OSError as error:
            return LedgerError(f"{path}: {error.strerror}; {cure(folder)}")
        if size != entry["bytes"]:
            return LedgerError(
                f"{path}: has {size} bytes instead of {entry['bytes']} (truncated or foreign); "
                f"{cure(folder)}"
            )
        return LedgerError(f"{path}: damaged (its SHA-256 is wrong); {cure(folder)}")
    return LedgerError(f"{folder}: was rewritten all the time while it was read; try again")


def _frame(path: Path, data: bytes, schema: pa.Schema) -> pd.DataFrame:
    """Unpack a table whose bytes are those that the manifest names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        _check_types(path, file.schema_arrow)
        if file.metadata.num_rows * file.metadata.num_columns > MAX_CELLS:
            raise LedgerError(f"{path}: claims more than {MAX_CELLS} values; it is not a ledger's")
        table = file.read()
        for field in schema:  # columns that later versions added
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        frame: pd.DataFrame = table.to_pandas()
        return frame
    # Names and texts that are no UTF-8 are `ValueError`s.
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise LedgerError(f"{path}: not a readable table ({error}); {cure(path.parent)}") from error


def _check_types(path: Path, schema: pa.Schema) -> None:
    """Refuse what a ledger never holds: extension types (they may run code) and nested ones."""
    import pyarrow as pa

    for field in schema:
        extension = isinstance(field.type, pa.BaseExtensionType) or (
            b"ARROW:extension:name" in (field.metadata or {})
        )
        if extension or pa.types.is_nested(field.type):
            raise LedgerError(
                f"{path}: column {field.name!r} has the type {field.type}, which a ledger never "
                "writes; the file is foreign"
            )
