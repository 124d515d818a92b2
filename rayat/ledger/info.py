"""`run.json`: what a run says of itself once, before anything else, for ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError, quoted
from rayat.ledger.files import located
from rayat.ledger.keys import SCHEMA_VERSION

RUN = "run.json"


def run_json(info: Mapping[str, Any]) -> bytes:
    """Return the bytes of `run.json` for `info`."""
    return (json.dumps(info, indent=1, ensure_ascii=False) + "\n").encode()


def read_info(folder: str | Path) -> dict[str, Any]:
    """Return what `run.json` says.

    Raises:
        LedgerError: no run in the folder, a damaged file, or a newer schema version.
    """
    folder = located(folder)
    path = folder / RUN
    try:
        info = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise LedgerError(f"{folder} is not a run: it has no {RUN}; give a run's folder") from None
    except (ValueError, OSError, RecursionError) as error:
        raise LedgerError(
            f"{path}: damaged ({error}); `rayat repair {quoted(folder)}` restores it from the log"
        ) from None
    if not isinstance(info, dict):
        raise LedgerError(
            f"{path}: damaged; `rayat repair {quoted(folder)}` restores it from the log"
        )
    check_version(path, info.get("schema_version"))
    return info


def check_version(path: Path, version: object) -> None:
    """Refuse what a newer rayat wrote. Raises `LedgerError`."""
    if not isinstance(version, int) or version < 1:
        raise LedgerError(
            f"{path}: has no schema version, so it is damaged or foreign; if this is a run, "
            f"`rayat repair {quoted(path.parent)}` restores it from the log"
        )
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path}: written with schema version {version}, this rayat reads up to "
            f"{SCHEMA_VERSION}; update rayat"
        )
