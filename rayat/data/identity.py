"""What a data set is: its source by name, its checksums, and whether two are the same."""

from __future__ import annotations

import json
from typing import Any

from rayat.data.base import Prepared, Source
from rayat.errors import DataError


def source_key(source: Source) -> str:
    """Return the text that names a source with all its parameters."""
    return json.dumps(source.spec(), sort_keys=True)


def describe(prepared: Prepared) -> dict[str, Any]:
    """Return what a run records of a prepared data set: name, checksums, sizes, labels, notes."""
    return {
        "name": prepared.name,
        "checksum": prepared.checksum,
        "split_hash": prepared.split_hash,
        "train": len(prepared.train),
        "val": len(prepared.val),
        "test": len(prepared.test),
        "shape": list(prepared.shape),
        "classes": len(prepared.classes),
        "labels": list(prepared.classes),  # the original one of 0, 1, 2, ...
        "notes": list(prepared.notes),
    }


def same_data(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> None:
    """Refuse to go on with another data set than the run began with."""
    known = {entry["split_hash"]: entry for entry in then}
    for entry in now:
        before = known.get(entry["split_hash"])
        if before is None or before["checksum"] != entry["checksum"]:
            found = entry["checksum"][:12]
            expected = ", ".join(sorted({e["checksum"][:12] for e in then}))
            raise DataError(
                f"data set {entry['name']!r} has changed since the run began: "
                f"expected checksum {expected}, found {found}; restore the data or start a new run"
            )
