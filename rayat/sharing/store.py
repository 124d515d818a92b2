"""States of trainings under a run's folder, by the key of the epoch after which they are.

`states/KEY` holds what a trial's folder holds after that epoch: `last` to go on from and `best`,
the best so far, as hard links where the file system can. It is there whole or not at all: it gets
its name last, and whoever comes second drops his copy. Nothing in it is ever changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.columns import SHARED_FROM
from rayat.config import TrialConfig
from rayat.errors import LedgerError
from rayat.ledger.checkpoint_files import META, found, meta_of, place, read_meta, verified
from rayat.ledger.files import make_folder, naming, sync_folder, write_file

STATES = "states"
ABOUT = "state.json"
NAMES = ("best", "last")
"""In this order: `last` without its `best` would lose the best so far."""


@dataclass(frozen=True)
class Source:
    """Where a state is: a folder with `last` and, if an epoch was validated, `best`.

    Attributes:
        epoch: the last one trained. owner: the trial that trained it. key: of a stored one.
        config_sha256: of the owner's configuration.
    """

    folder: Path
    epoch: int
    owner: str
    key: str = ""
    config_sha256: str = ""


class Store:
    """The states of a run."""

    def __init__(self, run: Path) -> None:
        self.folder = run / STATES

    def has(self, key: str) -> bool:
        """Return whether the state is there."""
        return (self.folder / key / ABOUT).exists()

    def held(self) -> list[str]:
        """Return the keys of all states that are there, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{ABOUT}"))

    def keep(self, trial: Path, key: str, epoch: int) -> bool:
        """Keep the state of a trial that has just trained `epoch`; return whether it is there.

        It is not where the trial's folder holds another epoch than that, as after a crash.

        Raises:
            LedgerError: the disk refuses.
        """
        if self.has(key):
            return True
        places = {name: found(trial, name) for name in NAMES}
        bodies = {name: read_meta(path) for name, path in places.items() if path is not None}
        if "last" not in bodies or not fitting(bodies, epoch):
            return False
        make_folder(self.folder)
        new = self.folder / f".{key}.new-{secrets.token_hex(4)}"
        with naming(self.folder / key, "write"):
            for name in bodies:
                (new / name).mkdir(parents=True)
                for file in (META, *bodies[name]["files"]):
                    origin = places[name]
                    assert origin is not None
                    _link(origin / file, new / name / file)
                sync_folder(new / name)
        about = {"key": key, "epoch": epoch, "owner": trial.name, "holds": sorted(bodies)}
        write_file(new / ABOUT, json.dumps(about).encode())
        sync_folder(new)
        try:
            os.rename(new, self.folder / key)
        except OSError as error:
            shutil.rmtree(new)
            if not self.has(key):  # another trial was not the first
                raise LedgerError(
                    f"{self.folder / key}: cannot be written: {error.strerror}; check the disk"
                ) from error
        sync_folder(self.folder)
        return True

    def source(self, key: str) -> Source:
        """Return a state that is there.

        Raises:
            LedgerError: it is another one than its name says, or is damaged.
        """
        path = self.folder / key
        try:
            about = json.loads((path / ABOUT).read_bytes())
            held = [name for name in NAMES if (path / name).is_dir()]
            if about["key"] == key and sorted(held) == about["holds"]:
                return Source(path, int(about["epoch"]), str(about["owner"]), key)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise LedgerError(f"state {path} is damaged: it is not what its name says")

    def check(self, key: str) -> None:
        """Read a state, every byte. Raises `LedgerError` where it is damaged."""
        source = self.source(key)
        for name in NAMES:
            path = found(source.folder, name)
            if path is not None:
                for file, expected in read_meta(path)["files"].items():
                    verified(path, file, expected)

    def size(self, key: str) -> int:
        """Return the bytes of a state, also where they are still shared with a checkpoint."""
        return sum(p.stat().st_size for p in (self.folder / key).rglob("*") if p.is_file())

    def remove(self, key: str) -> None:
        """Remove a state; without its name first, so that no half of it is ever found."""
        gone = self.folder / f".{key}.gone-{secrets.token_hex(4)}"
        with contextlib.suppress(OSError):
            os.rename(self.folder / key, gone)
            shutil.rmtree(gone)

    def sweep(self) -> None:
        """Remove what processes left that were killed while they wrote; none may be writing."""
        for path in self.folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)


def fork(source: Source, trial: Path, config: TrialConfig) -> None:
    """Let a trial's folder hold a state of another trial, under the trial's own configuration.

    Its rows get `shared_from`, the trial that trained them. Every byte is verified.

    Raises:
        LedgerError: the state is damaged, or is not of that epoch; the folder is as it was.
    """
    places = {name: found(source.folder, name) for name in NAMES}
    bodies = {name: read_meta(path) for name, path in places.items() if path is not None}
    if "last" not in bodies or not fitting(bodies, source.epoch):
        raise LedgerError(f"state {source.folder} is damaged: it is not of epoch {source.epoch}")
    if any(body["config_sha256"] != source.config_sha256 for body in bodies.values()):
        raise LedgerError(f"state {source.folder} is damaged: it is not of trial {source.owner}")
    contents = {
        name: {file: verified(_of(places[name]), file, s) for file, s in body["files"].items()}
        for name, body in bodies.items()
    }
    for name, body in bodies.items():
        rows = [{**row, SHARED_FROM: row.get(SHARED_FROM) or source.owner} for row in body["rows"]]
        own = {"config": config.tree(), "config_sha256": config.sha256(), "rows": rows}

        def fill(new: Path, name: str = name, body: Mapping[str, Any] = {**body, **own}) -> None:
            for file, content in contents[name].items():
                _link(_of(places[name]) / file, new / file, content)
            write_file(new / META, meta_of(body))

        place(trial, name, fill)


def fitting(bodies: Mapping[str, Mapping[str, Any]], epoch: int) -> bool:
    """Return whether `last` is of `epoch` and `best` of the best epoch up to it."""
    last = bodies["last"]
    best = bodies["best"]["epoch"] if "best" in bodies else None
    whole = last["epoch"] == epoch == len(last["rows"]) and "state.pt" in last["files"]
    return whole and best == best_of(last["rows"])


def best_of(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the epoch whose network a trial keeps as its best; None: none was validated."""
    valued = [row for row in rows if row["val_robust_acc"] is not None]
    best = max(valued, key=lambda row: row["val_robust_acc"], default=None)  # the first of equals
    return None if best is None else int(best["epoch"])


def _of(path: Path | None) -> Path:
    assert path is not None
    return path


def _link(origin: Path, new: Path, content: bytes | None = None) -> None:
    """Make `new` a hard link of a file, or a copy where that cannot be."""
    try:
        os.link(origin, new)
    except OSError:
        write_file(new, origin.read_bytes() if content is None else content)
