"""A checkpoint as files: how it gets its name, and how it is known to be whole.

A checkpoint is a folder with `meta.json` and what that lists with its SHA-256. What the files hold
is the training's affair (`training.checkpoints`).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError
from rayat.ledger.files import naming, sync_folder

META = "meta.json"


def sha256(content: bytes) -> str:
    """Return the hex SHA-256."""
    return hashlib.sha256(content).hexdigest()


def meta_of(body: Mapping[str, Any]) -> bytes:
    """Return the content of `meta.json`; JSON values only."""
    meta = {"sha256": sha256(_canonical(body)), "body": body}
    return json.dumps(meta, indent=1, allow_nan=False).encode()


def read_meta(path: Path) -> dict[str, Any]:
    """Return what a checkpoint's `meta.json` says. Raises `LedgerError` where it is damaged."""
    file = path / META
    try:
        meta = json.loads(read(file))
        body: dict[str, Any] = meta["body"]
        intact = sha256(_canonical(body)) == meta["sha256"]
    except (ValueError, KeyError, TypeError):
        raise damaged(file, "it is not the JSON that was written") from None
    if not intact:
        raise damaged(file, "its SHA-256 is not the one it holds")
    return body


def read(path: Path) -> bytes:
    """Return a file's content. Raises `LedgerError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from None


def verified(path: Path, file: str, expected: str) -> bytes:
    """Return a file of the checkpoint `path`. Raises `LedgerError` where its sum is another."""
    content = read(path / file)
    if sha256(content) != expected:
        raise damaged(path / file, "its SHA-256 is not the one in meta.json")
    return content


def damaged(file: Path, why: str) -> LedgerError:
    """Return the error that names a damaged file and what to do."""
    return LedgerError(
        f"checkpoint file {file} is damaged: {why}; restore it from a copy, or delete "
        f"{file.parent} to train this trial again from its first epoch"
    )


def found(folder: Path, name: str) -> Path | None:
    """Return where the checkpoint `folder/name` is, None where there is none yet."""
    places = (folder / name, folder / f".{name}.old")  # killed between the renames of `place`
    return next((path for path in places if path.exists()), None)


def place(folder: Path, name: str, fill: Callable[[Path], object]) -> None:
    """Make `folder/name` anew, durably; a crash at any point leaves the old or the new one whole.

    Args:
        folder: made if absent; one process at a time may write there.
        fill: writes the files, each flushed, into the folder that it is given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final, old = folder / name, folder / f".{name}.old"
    for stale in folder.glob(f".{name}.new-*"):  # of a process killed while writing
        shutil.rmtree(stale)
    new = folder / f".{name}.new-{secrets.token_hex(4)}"
    new.mkdir()
    fill(new)
    sync_folder(new)
    with naming(final, "replace"):
        if final.exists():
            if old.exists():
                shutil.rmtree(old)
            os.rename(final, old)
        os.rename(new, final)
    sync_folder(folder)
    if old.exists():
        shutil.rmtree(old)


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
