"""How far a run's tables reach: more than the log says means that the log was cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rayat.errors import LedgerError
from rayat.ledger.keys import TABLE_NAMES
from rayat.ledger.log import LOG, Extent
from rayat.ledger.publish import MANIFEST, read_manifest
from rayat.ledger.state import State

WORDS = {"trials": "trials", "epochs": "reports", "decisions": "decisions", "evals": "evaluations"}


@dataclass(frozen=True)
class Reach:
    """What the tables in a folder stand for.

    Attributes:
        records, log_bytes: the log's position that they were made from; None without a manifest
            that can be read.
        rows: by table; as the manifest says or, without one, as the readable files say.
    """

    records: int | None
    log_bytes: int | None
    rows: Mapping[str, int]

    def beyond(self, extent: Extent, state: State) -> str | None:
        """Say what the tables hold that the log does not, None if the log holds it all.

        Args:
            extent, state: of the log, read after the tables' reach: a living run's log only grows.
        """
        held = {
            "trials": len(state.trials),
            "epochs": len(state.observed),
            "decisions": len(state.decisions),
            "evals": len(state.evals),
        }
        more = [name for name, rows in self.rows.items() if rows > held[name]]
        if self.log_bytes is not None and extent.bytes >= self.log_bytes:
            return None
        if more:
            log = " and ".join(f"{held[name]} {WORDS[name]}" for name in more)
            tables = " and ".join(str(self.rows[name]) for name in more)
            return f"the log holds {log}, the tables {tables}: the log was cut"
        if self.records is None:
            return None
        return (
            f"the log holds {extent.records} records, the tables were made from {self.records}: "
            "the log was cut"
        )


def reach(folder: Path) -> Reach:
    """Return what a folder's tables stand for; without tables that is nothing."""
    rows = {}
    try:
        manifest = read_manifest(folder / MANIFEST)
    except LedgerError:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name in TABLE_NAMES:
            try:
                rows[name] = pq.read_metadata(folder / f"{name}.parquet").num_rows
            except (pa.ArrowException, OSError, ValueError, MemoryError):
                continue  # missing or unreadable: nothing that could be lost
        return Reach(None, None, rows)
    for name in TABLE_NAMES:
        rows[name] = manifest["files"].get(f"{name}.parquet", {}).get("rows", 0)
    log = manifest["log"]
    return Reach(log["records"], log["bytes"], rows)


def restore_log(folder: Path) -> str:
    """Say what to do about a log that is cut or missing, as a part of a sentence."""
    return f"copy {folder / LOG} again from where it is whole"


def tables_there(folder: Path) -> bool:
    """Return whether a folder holds tables, or a manifest that vouches for some."""
    return any(
        (folder / name).exists() for name in (MANIFEST, *(f"{t}.parquet" for t in TABLE_NAMES))
    )
